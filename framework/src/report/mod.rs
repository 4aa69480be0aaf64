//! From finished runs to figures and tables.
//!
//! A [`Study`] holds the learning curves of a sweep. [`Study::summarise`] gives the numbers,
//! [`Study::table`] the text for the terminal and [`Study::write`] the folder with CSV, figures and a
//! report. Equal studies give equal files, byte for byte.

mod axis;
mod canvas;
mod claims;
mod curves;
mod evidence;
mod findings;
mod glyph;
mod groups;
mod heat;
mod latex;
mod page;
mod pairs;
mod plans;
mod published;
mod ranks;
mod speedup;
mod summary;
mod text;
mod theme;
mod tradeoff;
mod values;

pub use claims::Verdict;
pub use evidence::Ranking;
pub use findings::Finding;
pub use groups::GroupSummary;
pub use latex::latex;
pub(crate) use page::is_kept;
pub use pairs::write_contact_sheet;
pub use plans::{plan_words, write_plans};
pub use published::PublishedCurves;
pub use summary::{ArmSummary, Difference, Paired};
pub use values::{PublishedTable, PublishedValue};

use crate::error::{Error, Result};
use crate::scenario::{Claim, Cost};
use crate::store::Seconds;
use claims::Judged;
use rayon::prelude::*;
use speedup::{Ratio, Reach, SpeedUp};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use table::{Column, Table};

/// One finished run.
#[derive(Clone, Debug, Default)]
pub struct RunCurve {
    /// The seed; runs of two arms with one seed are paired.
    pub seed: u64,
    /// Perturbations measured by the end of each round.
    pub n_measured: Vec<f64>,
    /// For each metric, and for what else was recorded and the page shows, its value after each round, NaN where absent.
    pub values: BTreeMap<String, Vec<f64>>,
}

/// One arm of a sweep and its finished runs.
#[derive(Clone, Debug, Default)]
pub struct StudyArm {
    /// The arm's values on the axes of the grid, as "a / b / c".
    pub label: String,
    /// The arm it is compared with, as an index into [`Study::arms`].
    pub reference: Option<usize>,
    /// Its values on [`Study::axes`].
    pub cell: Vec<String>,
    /// Its finished runs.
    pub runs: Vec<RunCurve>,
    /// Where the time of a run went, mean over its runs.
    pub seconds: Option<Seconds>,
    /// Its resolved scenario: dotted path and value.
    pub settings: BTreeMap<String, String>,
}

/// What figures are drawn over. Areas under curves are over perturbations measured whatever this is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Along {
    /// Perturbations measured.
    #[default]
    Measured,
    /// Rounds; 0 is the initial set.
    Round,
    /// USD.
    Cost,
    /// Months.
    Months,
}

impl Along {
    fn title(self) -> &'static str {
        match self {
            Along::Measured => "perturbations measured",
            Along::Round => "round (0: initial set)",
            Along::Cost => "cost (USD)",
            Along::Months => "months after the initial set",
        }
    }
}

/// The finished runs of a scenario.
#[derive(Clone, Debug, Default)]
pub struct Study {
    /// Name of the scenario: the title of figures.
    pub name: String,
    /// What it was made to answer; may be empty.
    pub question: String,
    /// The metrics reported; the first ranks the arms.
    pub metrics: Vec<String>,
    /// The axes of the grid on which arms differ.
    pub axes: Vec<String>,
    /// The axis whose values are different screens, which have a panel each in figures: their numbers are not on one
    /// scale.
    pub screens: Option<String>,
    /// The arms, in the order of the grid.
    pub arms: Vec<StudyArm>,
    /// Axes by which arms are grouped for the effects of a choice averaged over the rest of the grid; see
    /// [`GroupSummary`].
    pub by: Vec<String>,
    /// What figures are drawn over.
    pub along: Along,
    /// Whether learning curves that need one panel are drawn for one column of a journal (85 to 90 mm).
    pub narrow: bool,
    /// What a screen costs.
    pub cost: Cost,
    /// Metrics whose speed-up is reported; none: the first.
    pub speed_metrics: Vec<String>,
    /// A value of these metrics whose rounds are reported as well.
    pub target: Option<f64>,
    /// Claims to judge.
    pub claims: Vec<Claim>,
    /// Published curves to compare with.
    pub published: Option<PublishedCurves>,
    /// Published numbers to print beside ours.
    pub published_values: Option<PublishedTable>,
    /// The seeds that were asked for; nothing where that is not known.
    pub seeds: Vec<u64>,
    /// The command that makes the runs.
    pub command: String,
    /// What program, revision, machine and data made them.
    pub provenance: Vec<(String, String)>,
    /// Runs that could not be read, each with its remedy.
    pub unreadable: Vec<String>,
}

impl Study {
    /// Writes `arms.csv`, `curves.csv`, a figure for each metric as `curves_METRIC.svg` and `.png`, for a grid of two
    /// axes also `heat_METRIC` of the first metric, where error and hits are reported `tradeoff`, where methods can be
    /// ranked over blocks `ranks_METRIC` and `ranks.csv`, `report.md`, and `report.html`, and gives their paths; with [`Study::by`] `groups.csv`, with two arms
    /// `speedup.csv`, with claims `claims.csv`, with published curves `published.csv` and figures `published_METRIC`, with
    /// published numbers `published_values.csv`.
    /// Each file appears whole or not at all.
    pub fn write(&self, dir: &Path) -> Result<Vec<PathBuf>> {
        self.check()?;
        theme::register_fonts()?;
        std::fs::create_dir_all(dir).map_err(Error::io(dir, "making the report's folder"))?;
        let rows = self.summarise();
        let order = self.ranking(&rows);

        let looks = curves::Looks::new(self, &order);
        let mut figures: Vec<Option<String>> = self
            .metrics
            .par_iter()
            .map(|m| write_figure(curves::draw(self, &looks, m), &format!("curves_{m}"), dir))
            .collect::<Result<_>>()?;
        let first = &self.metrics[0];
        figures.insert(0, write_figure(heat::draw(self, &rows, first), &format!("heat_{first}"), dir)?);
        let groups = self.group_summaries();
        let at = figures.len().min(1);
        figures.insert(at, write_figure(tradeoff::draw(self, &groups), "tradeoff", dir)?);
        let rankings = self.rankings();
        let styles = self.page_styles(&looks, &order);
        for r in &rankings {
            let drawn = ranks::draw(&self.name, r, &|arm| styles.get(arm).copied());
            figures.push(write_figure(drawn, &format!("ranks_{}", r.metric), dir)?);
        }
        let mut paths = vec![dir.join("arms.csv"), dir.join("curves.csv")];
        table::write_csv(&self.arms_table(&rows, &order), &paths[0])?;
        table::write_csv(&self.curves_table(), &paths[1])?;
        let (speedups, judged) = (self.speedups(), self.judged());
        let mut more: Vec<(&str, &str, Table)> = vec![];
        if !self.by.is_empty() {
            more.push(("groups.csv", "Effects of each choice", self.groups_table(&groups)));
        }
        if !speedups.is_empty() {
            more.push(("speedup.csv", "Speed-up", self.speedup_table(&speedups)));
        }
        if !judged.is_empty() {
            more.push(("claims.csv", "Claims", claims_table(&judged)));
        }
        if !rankings.is_empty() {
            more.push(("ranks.csv", "Ranks of methods", self.ranks_table(&rankings)));
        }
        if let Some(p) = &self.published {
            more.push(("published.csv", "Published curves", self.published_table(p)));
            for (metric, _) in &p.metrics {
                let drawn = self.published_figure(p, metric).and_then(|(s, looks)| curves::draw(&s, &looks, metric));
                figures.push(write_figure(drawn, &format!("published_{metric}"), dir)?);
            }
        }
        if self.published_values.is_some() {
            more.push(("published_values.csv", "Published numbers", self.published_values_table()));
        }
        // Of an earlier report that had more to say.
        for name in ["groups.csv", "speedup.csv", "claims.csv", "ranks.csv", "published.csv", "published_values.csv"] {
            if !more.iter().any(|m| m.0 == name) {
                let _ = std::fs::remove_file(dir.join(name));
            }
        }
        for (name, _, t) in &more {
            table::write_csv(t, &dir.join(name))?;
            paths.push(dir.join(name));
        }
        let names: Vec<&str> = figures.iter().flatten().map(String::as_str).collect();
        paths.extend(names.iter().flat_map(|n| [dir.join(format!("{n}.svg")), dir.join(format!("{n}.png"))]));
        paths.push(dir.join("report.md"));
        put(&dir.join("report.md"), |part| {
            std::fs::write(part, self.markdown(&rows, &order, &groups, &speedups, &judged, &names))
        })?;
        let beside = page::Beside {
            tables: more.into_iter().map(|(_, title, t)| (title, t)).collect(),
            notes: [self.notes(&rows, true), self.power_notes(&rows, &order)].concat(),
            files: paths.iter().filter_map(|p| Some(p.file_name()?.to_string_lossy().into_owned())).collect(),
        };
        let html = self.page(&rows, &order, &styles, &rankings, &beside);
        put(&dir.join("report.html"), |part| std::fs::write(part, html))?;
        paths.push(dir.join("report.html"));
        Ok(paths)
    }

    /// A style for every arm, one a method: those of the figures where they tell all methods apart, else (faint curves,
    /// panels that use colours again) the best methods have the plainest.
    fn page_styles(&self, looks: &curves::Looks, order: &[usize]) -> Vec<theme::Style> {
        let screen = self.screens.as_ref().and_then(|s| self.axes.iter().position(|a| a == s));
        let method = |a: usize| -> Vec<&String> {
            let cell = self.arms[a].cell.iter().enumerate().filter(|(x, _)| Some(*x) != screen).map(|(_, v)| v);
            if self.axes.len() > usize::from(screen.is_some()) { cell.collect() } else { vec![&self.arms[a].label] }
        };
        let is_reference = |a: usize| self.arms.iter().any(|o| o.reference == Some(a));
        // Methods that are references have greys of their own.
        let mut methods: [Vec<Vec<&String>>; 2] = [vec![], vec![]];
        for &a in order {
            let of = &mut methods[usize::from(is_reference(a))];
            if !of.contains(&method(a)) {
                of.push(method(a));
            }
        }
        let styles = looks.styles();
        let plain = |s: &theme::Style| (s.colour.0, s.colour.1, s.colour.2, s.dash.len(), s.marker.word());
        let mut used: Vec<_> = styles.iter().map(plain).collect();
        used.sort_unstable();
        used.dedup();
        let apart = styles.iter().all(|s| !s.is_faint()) && used.len() == methods[0].len() + methods[1].len();
        let of = |a: usize| {
            let reference = is_reference(a);
            let k = methods[usize::from(reference)].iter().position(|m| *m == method(a)).unwrap_or(0);
            match (apart, reference) {
                (true, _) => styles[a],
                (false, true) => theme::reference_style(k, k),
                (false, false) => theme::style(k),
            }
        };
        (0..self.arms.len()).map(of).collect()
    }

    /// Writes the curves of each metric as figures `STEM_METRIC.svg` and `.png`, and as a table `STEM.csv`; gives the
    /// paths.
    pub fn write_curves(&self, dir: &Path, stem: &str) -> Result<Vec<PathBuf>> {
        self.check()?;
        theme::register_fonts()?;
        std::fs::create_dir_all(dir).map_err(Error::io(dir, "making the report's folder"))?;
        let looks = curves::Looks::new(self, &self.ranking(&self.summarise()));
        let mut paths = vec![dir.join(format!("{}.csv", plain(stem)))];
        table::write_csv(&self.curves_table(), &paths[0])?;
        for m in &self.metrics {
            if let Some(name) = write_figure(curves::draw(self, &looks, m), &format!("{stem}_{m}"), dir)? {
                paths.extend([dir.join(format!("{name}.svg")), dir.join(format!("{name}.png"))]);
            }
        }
        Ok(paths)
    }

    /// Refuses what has nothing to report.
    fn check(&self) -> Result<()> {
        let problem = if self.metrics.is_empty() {
            "names no metric to report"
        } else if self.arms.iter().all(|a| a.runs.is_empty()) {
            "has no finished run to report"
        } else {
            return Ok(());
        };
        Err(Error::Data(format!("the study `{}` {problem}; run its scenario first", self.name)))
    }

    /// One row for each arm and metric, best arm first.
    fn arms_table(&self, rows: &[ArmSummary], order: &[usize]) -> Table {
        let n_metrics = self.metrics.len();
        let rows: Vec<(usize, &ArmSummary)> = order
            .iter()
            .enumerate()
            .flat_map(|(rank, &a)| rows[a * n_metrics..][..n_metrics].iter().map(move |r| (rank + 1, r)))
            .collect();
        let number = |f: &dyn Fn(&ArmSummary) -> f64| Column::Number(rows.iter().map(|(_, r)| f(r)).collect());
        let count = |f: &dyn Fn(&ArmSummary) -> usize| Column::Integer(rows.iter().map(|(_, r)| f(r) as i64).collect());
        let text = |f: &dyn Fn(&ArmSummary) -> &str| {
            Column::Text(rows.iter().map(|(_, r)| Some(f(r).to_string()).filter(|s| !s.is_empty())).collect())
        };
        let mut t = Table::new()
            .with("rank", Column::Integer(rows.iter().map(|(rank, _)| *rank as i64).collect()))
            .with("arm", text(&|r| &r.label))
            .with("metric", text(&|r| &r.metric))
            .with("n_seeds", count(&|r| r.n_seeds))
            .with("final_mean", number(&|r| r.final_mean))
            .with("final_half_width", number(&|r| r.final_half_width))
            .with("n_aulc", count(&|r| r.n_aulc))
            .with("aulc_mean", number(&|r| r.aulc_mean))
            .with("aulc_half_width", number(&|r| r.aulc_half_width))
            .with("ceiling", number(&|r| r.ceiling))
            .with("reference", text(&|r| r.difference.as_ref().map_or("", |d| &d.reference)));
        type Pick = fn(&Difference) -> &Paired;
        let kinds: [(&str, Pick); 2] = [("final", |d| &d.last), ("aulc", |d| &d.aulc)];
        for (kind, pick) in kinds {
            let of = |f: fn(&Paired) -> f64| number(&|r| r.difference.as_ref().map_or(f64::NAN, |d| f(pick(d))));
            t = t
                .with(format!("{kind}_difference"), of(|p| p.mean))
                .with(format!("{kind}_difference_lo"), of(|p| p.lo))
                .with(format!("{kind}_difference_hi"), of(|p| p.hi))
                .with(format!("{kind}_difference_boot_lo"), of(|p| p.boot[0]))
                .with(format!("{kind}_difference_boot_hi"), of(|p| p.boot[1]))
                .with(format!("{kind}_difference_p"), of(|p| p.p))
                .with(format!("{kind}_difference_p_wilcoxon"), of(|p| p.p_wilcoxon))
                .with(format!("{kind}_difference_p_holm"), of(|p| p.p_holm))
                .with(format!("{kind}_seeds_needed"), of(|p| p.seeds_needed.map_or(f64::NAN, |n| n as f64)))
                .with(format!("{kind}_pairs"), count(&|r| r.difference.as_ref().map_or(0, |d| pick(d).n)));
        }
        t
    }

    /// One row for each pair of arms, and for each arm where a target was given.
    fn speedup_table(&self, rows: &[SpeedUp]) -> Table {
        let text = |f: &dyn Fn(&SpeedUp) -> String| {
            Column::Text(rows.iter().map(|r| Some(f(r)).filter(|s| !s.is_empty())).collect())
        };
        let number = |f: &dyn Fn(&SpeedUp) -> f64| Column::Number(rows.iter().map(f).collect());
        let round = |r: Option<Reach>| match r {
            Some(Reach::Start) => 0.0,
            Some(Reach::At(r)) => r,
            _ => f64::NAN,
        };
        let ratio = |r: Option<Ratio>| r.map_or(f64::NAN, Ratio::value);
        let end = |r: &SpeedUp, i: usize| round(r.reach_interval.map(|e| e[i]));
        let at_round =
            |f: &dyn Fn(&SpeedUp, f64) -> f64| number(&|r| if let Reach::At(t) = r.reach { f(r, t) } else { f64::NAN });
        Table::new()
            .with("metric", text(&|r| r.metric.clone()))
            .with("arm", text(&|r| self.arms[r.arm].label.clone()))
            .with("over", text(&|r| r.over.map_or(String::new(), |b| self.arms[b].label.clone())))
            .with("target", number(&|r| r.target))
            .with(
                "reached",
                text(&|r| {
                    let word = match r.reach {
                        Reach::Start => "at round 0",
                        Reach::At(_) => "yes",
                        Reach::Never(_) => "never",
                    };
                    word.to_string()
                }),
            )
            .with("rounds", number(&|r| round(Some(r.reach))))
            .with("rounds_lo", number(&|r| end(r, 0)))
            .with("rounds_hi", number(&|r| end(r, 1)))
            .with("n_measured", at_round(&|r, _| r.n_measured))
            .with("cost", at_round(&|r, t| self.cost.money(t, r.n_measured)))
            .with("months", at_round(&|_, t| self.cost.months(t)))
            .with("speedup", number(&|r| ratio(r.ratio)))
            .with("speedup_lo", number(&|r| ratio(r.ratio_interval.map(|e| e[0]))))
            .with("speedup_hi", number(&|r| ratio(r.ratio_interval.map(|e| e[1]))))
            .with("speedup_text", text(&|r| if r.ratio.is_some() { r.words() } else { String::new() }))
            .with("n_seeds", Column::Integer(rows.iter().map(|r| r.n as i64).collect()))
    }

    /// The mean curves, arms in their order.
    fn curves_table(&self) -> Table {
        let mut keys: Vec<(&str, &str, i64)> = vec![];
        let mut points = vec![];
        for (a, arm) in self.arms.iter().enumerate() {
            for metric in &self.metrics {
                for (t, p) in self.curve(a, metric).into_iter().enumerate() {
                    keys.push((&arm.label, metric, t as i64));
                    points.push(p);
                }
            }
        }
        let text = |v: Vec<&str>| Column::Text(v.into_iter().map(|s| Some(s.to_string())).collect());
        let number = |f: fn(&summary::CurvePoint) -> f64| Column::Number(points.iter().map(f).collect());
        let rounds = || keys.iter().map(|k| k.2 as f64);
        let money = Column::Number(rounds().zip(&points).map(|(t, p)| self.cost.money(t, p.n_measured)).collect());
        let months = Column::Number(rounds().map(|t| self.cost.months(t)).collect());
        Table::new()
            .with("arm", text(keys.iter().map(|k| k.0).collect()))
            .with("metric", text(keys.iter().map(|k| k.1).collect()))
            .with("round", Column::Integer(keys.iter().map(|k| k.2).collect()))
            .with("n_measured", number(|p| p.n_measured))
            .with("cost", money)
            .with("months", months)
            .with("mean", number(|p| p.mean))
            .with("lo", number(|p| p.mean - p.half_width))
            .with("hi", number(|p| p.mean + p.half_width))
            .with("n", Column::Integer(points.iter().map(|p| p.n as i64).collect()))
    }
}

/// One row for each claim.
fn claims_table(rows: &[Judged]) -> Table {
    let text = |f: fn(&Judged) -> &str| {
        Column::Text(rows.iter().map(|r| Some(f(r).to_string()).filter(|s| !s.is_empty())).collect())
    };
    let number = |i: usize| Column::Number(rows.iter().map(|r| r.numbers[i]).collect());
    Table::new()
        .with("claim", text(|r| &r.text))
        .with("metric", text(|r| &r.metric))
        .with("compared", text(|r| &r.what))
        .with("better", text(|r| &r.better))
        .with("than", text(|r| &r.than))
        .with("ours", number(0))
        .with("lo", number(1))
        .with("hi", number(2))
        .with("ours_text", text(|r| &r.ours))
        .with("n_pairs", Column::Integer(rows.iter().map(|r| r.n as i64).collect()))
        .with("verdict", text(|r| r.verdict.word()))
}

/// A name that every file system takes.
fn plain(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        match c.is_ascii_alphanumeric() || c == '-' {
            true => out.push(c),
            false if out.ends_with('_') => {}
            false => out.push('_'),
        }
    }
    out.trim_end_matches('_').to_string()
}

/// Writes a figure, if there is one, as SVG and PNG; gives the file name without its ending.
fn write_figure(canvas: Option<canvas::Canvas>, name: &str, dir: &Path) -> Result<Option<String>> {
    let Some(canvas) = canvas else { return Ok(None) };
    let name = plain(name);
    put(&dir.join(format!("{name}.svg")), |part| std::fs::write(part, canvas.svg()?))?;
    put(&dir.join(format!("{name}.png")), |part| canvas.write_png(part))?;
    Ok(Some(name))
}

/// Fills a file beside the target and renames it.
fn put(path: &Path, fill: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    // The ending stays, for it tells the format.
    let part = path.with_file_name(format!(".part-{}-{name}", std::process::id()));
    fill(&part).and_then(|()| std::fs::rename(&part, path)).map_err(|e| {
        let _ = std::fs::remove_file(&part);
        Error::io(path, "writing")(e)
    })
}

#[cfg(test)]
mod tests;
