use super::run::Plan;
use super::{Folders, Which};
use crate::error::{Error, Result, hint};
use crate::metrics::when_reported;
use crate::report::{
    self, Along, Comparisons, PublishedCurves, PublishedTable, RunCurve, Study, StudyArm, View, is_kept,
};
use crate::runner::Seconds;
use crate::scenario::Arm;
use crate::store::RunHeader;
use clap::{Args, ValueEnum};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use table::{Column, Table};

#[derive(Clone, Copy, Default, ValueEnum)]
pub(crate) enum Axis {
    /// Perturbations measured
    #[default]
    Measured,
    /// Rounds
    Round,
    /// USD, by the scenario's [cost]
    Cost,
    /// Months, by the scenario's [cost]
    Months,
}

#[derive(Args)]
#[command(
    after_help = "Example: screenwright report scenarios/ifng.toml\n         screenwright report my_screen.toml --axis cost --target 0.3 --against curves.csv\n         screenwright report scenarios/ifng.toml scenarios/il2.toml\nWrites results/NAME/report/ (report.html, figures as SVG and PNG, arms.csv, curves.csv, speedup.csv, report.md) and\nresults/NAME.parquet; with --alignment [ARM] only the figure and table of kernel alignment by round."
)]
pub(crate) struct Report {
    /// Scenario file; several are compared with each other, arm by arm, with a panel and a block of ranks a scenario
    #[arg(required = true)]
    scenario: Vec<PathBuf>,
    #[command(flatten)]
    which: Which,
    /// What figures are drawn over; areas under curves stay over perturbations measured
    #[arg(long, value_enum, default_value = "measured")]
    axis: Axis,
    /// Metric whose speed-up is reported (may be given several times) [default: the first]
    #[arg(long = "metric", value_name = "NAME")]
    metrics: Vec<String>,
    /// Report also the rounds until this value of these metrics is reached
    #[arg(long, value_name = "VALUE", allow_negative_numbers = true)]
    target: Option<f64>,
    /// Lay published learning curves over ours: a table below the data root or any path; how its columns and methods
    /// are matched is set in the scenario's [published]
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Group arms by these axes (comma between them) and report what each choice changes, averaged over the rest of the
    /// grid [default: the scenario's [compare] by]
    #[arg(long, value_name = "AXIS,...", value_delimiter = ',')]
    by: Vec<String>,
    /// Only arms with this value of an axis (may be given several times; several values of an axis are all kept); the
    /// report goes to a folder of its own
    #[arg(long = "where", value_name = "AXIS=VALUE")]
    only: Vec<String>,
    /// Draw kernel alignment with the truth by round, for the model and each prior, in one arm (default: the
    /// reference arm, else the first); the scenario must list `alignment` or `centred_alignment` in metrics
    #[arg(long, value_name = "ARM", num_args = 0..=1, default_missing_value = "")]
    alignment: Option<String>,
    #[command(flatten)]
    folders: Folders,
}

impl Report {
    pub(crate) fn execute(self) -> Result<u8> {
        if self.scenario.len() > 1 {
            return self.together();
        }
        let plan = Plan::read(&self.scenario[0], &self.which, &self.folders)?;
        let (mut report, runs) = study(&plan)?;
        if !self.by.is_empty() {
            for axis in &self.by {
                known_axis(&report.study, axis, "--by")?;
            }
            report.view.by = self.by.clone();
        }
        let folder = restrict(&mut report, &self.only)?;
        report.view.along = match self.axis {
            Axis::Measured => Along::Measured,
            Axis::Round => Along::Round,
            Axis::Cost => Along::Cost,
            Axis::Months => Along::Months,
        };
        for m in &self.metrics {
            if !report.study.metrics.contains(m) {
                let near = hint(m, report.study.metrics.iter().map(String::as_str));
                let list =
                    if near.is_empty() { format!("; it lists: {}", report.study.metrics.join(", ")) } else { near };
                return Err(Error::Config(format!("--metric {m}: not among the scenario's metrics{list}")));
            }
        }
        report.view.speed_metrics = self.metrics.clone();
        if self.target.is_some_and(|t| !t.is_finite()) {
            return Err(Error::Config("--target must be a finite number".into()));
        }
        report.view.target = self.target;
        if report.study.arms.iter().all(|a| a.runs.is_empty()) {
            return Err(Error::Data(format!(
                "{}: no finished run of this scenario; first do: screenwright run {}{}",
                plan.store.folder().display(),
                self.scenario[0].display(),
                self.which.words()
            )));
        }
        super::print(&plan.headline());
        if let Some(arm) = &self.alignment {
            let (study, stem) = alignment(&plan, &report.study, &runs, arm)?;
            for path in report::write_curves(&study, &report.view, &plan.store.folder().join("report"), &stem)? {
                super::print(&format!("wrote {}", path.display()));
            }
            return Ok(super::OK);
        }
        add_published(&mut report, &plan, self.against.as_deref())?;
        super::print(&report::table(&report));
        for path in write(&plan, &report, &runs, &folder)? {
            super::print(&format!("wrote {}", path.display()));
        }
        Ok(if report.study.unreadable.is_empty() { super::OK } else { super::SOME_FAILED })
    }
}

impl Report {
    /// One report over several scenarios.
    fn together(&self) -> Result<u8> {
        if self.alignment.is_some() || self.against.is_some() || !self.by.is_empty() {
            return Err(Error::Config(
                "--alignment, --against and --by take one scenario; give them one at a time".into(),
            ));
        }
        let mut studies = vec![];
        for file in &self.scenario {
            let plan = Plan::read(file, &self.which, &self.folders)?;
            let (one, _) = study(&plan)?;
            if one.study.arms.iter().all(|a| a.runs.is_empty()) {
                return Err(Error::Data(format!("{}: no finished run; first do: {}", file.display(), plan.command())));
            }
            super::print(&plan.headline());
            studies.push(one);
        }
        let mut report = combined(studies)?;
        let folder = restrict(&mut report, &self.only)?;
        let dir = self.folders.results_dir.join(report.study.name.replace(" and ", "+")).join(folder);
        super::print(&report::table(&report));
        for path in report::write(&report, &dir)? {
            super::print(&format!("wrote {}", path.display()));
        }
        Ok(if report.study.unreadable.is_empty() { super::OK } else { super::SOME_FAILED })
    }
}

/// Several studies as one whose first axis is the scenario.
fn combined(reports: Vec<report::Report>) -> Result<report::Report> {
    let Some(cost) = reports.first().map(|r| r.view.cost) else {
        return Err(Error::Config("no scenario given".into()));
    };
    let studies: Vec<Study> = reports.into_iter().map(|r| r.study).collect();
    let first = &studies[0];
    let metrics: Vec<String> =
        first.metrics.iter().filter(|m| studies.iter().all(|s| s.metrics.contains(m))).cloned().collect();
    if metrics.is_empty() {
        let lists: Vec<String> = studies.iter().map(|s| format!("{}: {}", s.name, s.metrics.join(", "))).collect();
        return Err(Error::Config(format!("the scenarios share no metric ({})", lists.join("; "))));
    }
    let alike = studies.iter().all(|s| s.axes == first.axes);
    let own = if alike { first.axes.clone() } else { vec!["arm".to_string()] };
    let mut out = Study {
        name: studies.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(" and "),
        metrics,
        axes: std::iter::once("scenario".to_string()).chain(own).collect(),
        screens: Some("scenario".into()),
        seeds: first.seeds.clone(),
        command: studies.iter().map(|s| s.command.as_str()).collect::<Vec<_>>().join(" && "),
        ..Study::default()
    };
    for s in studies {
        let before = out.arms.len();
        for arm in s.arms {
            let rest = if alike { arm.cell } else { vec![arm.label.clone()] };
            out.arms.push(StudyArm {
                label: format!("{} / {}", s.name, arm.label),
                reference: arm.reference.map(|r| r + before),
                cell: std::iter::once(s.name.clone()).chain(rest).collect(),
                ..arm
            });
        }
        for p in s.provenance {
            if !out.provenance.contains(&p) {
                out.provenance.push(p);
            }
        }
        out.unreadable.extend(s.unreadable);
    }
    Ok(report::Report { study: out, view: View { cost, ..View::default() }, ..Default::default() })
}

/// Finished runs of a plan by id: header and rounds.
pub(crate) type Runs = HashMap<String, (RunHeader, Table)>;

/// Finished runs of a plan by arm, and as they were read.
pub(crate) fn study(plan: &Plan) -> Result<(report::Report, Runs)> {
    let (finished, unreadable) = plan.store.read(&plan.ids);
    let seeds: Vec<u64> = plan.sweep.seeds.iter().collect();
    let metrics = plan.sweep.arms[0].scenario.metrics.clone();
    let first = &plan.sweep.arms[0].axes;
    let differs: Vec<bool> = (0..first.len())
        .map(|x| plan.sweep.arms.iter().any(|a| a.axes.get(x).map(|v| &v.1) != first.get(x).map(|v| &v.1)))
        .collect();
    let axes: Vec<String> =
        first.iter().zip(&differs).filter(|(_, d)| **d).map(|((name, _), _)| name.clone()).collect();
    let mut arms = Vec::new();
    for (a, arm) in plan.sweep.arms.iter().enumerate() {
        let (mut runs, mut times) = (vec![], vec![]);
        for (s, &seed) in seeds.iter().enumerate() {
            let Some((header, rounds)) = finished.get(&plan.ids[a * seeds.len() + s]) else { continue };
            let n_measured: Vec<f64> = rounds.integers("n_measured")?.into_iter().map(|n| n as f64).collect();
            let kept = rounds.names().into_iter().filter(|c| is_kept(c)).map(String::from);
            let mut values: BTreeMap<String, Vec<f64>> = metrics
                .iter()
                .cloned()
                .chain(kept)
                .filter_map(|m| rounds.numbers_or_missing(&m).ok().map(|v| (m, v)))
                .collect();
            let usd = |(t, n): (usize, &f64)| plan.sweep.cost.money(t as f64, *n);
            when_reported(&metrics, &mut values, &n_measured.iter().enumerate().map(usd).collect::<Vec<_>>());
            runs.push(RunCurve { seed, n_measured, values });
            times.push(header.seconds);
        }
        let cell = arm.axes.iter().zip(&differs).filter(|(_, d)| **d).map(|((_, v), _)| v.clone()).collect();
        arms.push(StudyArm {
            label: arm.label.clone(),
            reference: arm.reference,
            cell,
            runs,
            seconds: mean_seconds(&times),
            settings: settings(&arm.resolved),
        });
    }
    let study = Study {
        name: plan.sweep.name.clone(),
        question: plan.sweep.question.clone(),
        metrics,
        screens: axes.iter().find(|a| sets_the_screen(&plan.sweep.arms, a)).cloned(),
        axes,
        arms,
        seeds,
        command: plan.command(),
        provenance: provenance(finished.values().map(|f| &f.0)),
        unreadable,
    };
    let view = View { by: plan.sweep.by.clone(), cost: plan.sweep.cost, ..View::default() };
    let comparisons = Comparisons { claims: plan.sweep.claims.clone(), ..Comparisons::default() };
    Ok((report::Report { study, view, comparisons }, finished))
}

fn mean_seconds(of: &[Seconds]) -> Option<Seconds> {
    let mean = |f: fn(&Seconds) -> f64| of.iter().map(f).sum::<f64>() / of.len() as f64;
    (!of.is_empty()).then(|| Seconds {
        fit: mean(|s| s.fit),
        predict: mean(|s| s.predict),
        select: mean(|s| s.select),
        measure: mean(|s| s.measure),
        other: mean(|s| s.other),
    })
}

/// A resolved scenario as dotted paths and values; what is in lists stays whole.
fn settings(resolved: &Value) -> BTreeMap<String, String> {
    fn walk(at: &str, value: &Value, out: &mut BTreeMap<String, String>) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                for (key, v) in map {
                    walk(&if at.is_empty() { key.clone() } else { format!("{at}.{key}") }, v, out);
                }
            }
            Value::String(text) => drop(out.insert(at.into(), text.clone())),
            Value::Null => {}
            other => drop(out.insert(at.into(), other.to_string())),
        }
    }
    let mut out = BTreeMap::new();
    walk("", resolved, &mut out);
    out
}

/// What program, revision, machine and data made the runs; several values of one thing stand beside each other.
fn provenance<'a>(headers: impl Iterator<Item = &'a RunHeader>) -> Vec<(String, String)> {
    let mut out: BTreeMap<(u8, String), BTreeSet<String>> = BTreeMap::new();
    let mut put = |place: u8, name: &str, value: String| {
        if !value.is_empty() {
            out.entry((place, name.to_string())).or_default().insert(value);
        }
    };
    let (mut first, mut last, mut runs) = (u64::MAX, 0, 0);
    for h in headers {
        let p = &h.provenance;
        put(0, "program", format!("screenwright {}", p.version));
        let dirty = if p.git_dirty == Some(true) { " with uncommitted changes" } else { "" };
        put(1, "revision", p.git_revision.as_ref().map_or(String::new(), |r| format!("{r}{dirty}")));
        put(2, "machine", format!("{} ({})", p.host, p.platform));
        put(3, "device", p.device.clone());
        for (file, hash) in &h.data {
            put(5, &format!("data {file}"), format!("sha256 {hash}"));
        }
        (first, last, runs) = (first.min(h.started), last.max(h.ended), runs + 1);
    }
    if runs > 0 {
        put(4, "runs", format!("{runs}, started {} to {} (seconds since 1970)", first, last));
    }
    out.into_iter().map(|((_, name), v)| (name, v.into_iter().collect::<Vec<_>>().join("; "))).collect()
}

/// Whether arms with one value of the axis measure one screen, and some with another measure another.
fn sets_the_screen(arms: &[Arm], axis: &str) -> bool {
    let mut oracles: HashMap<&str, &serde_json::Value> = HashMap::new();
    let all = arms.iter().all(|arm| {
        let (Some((_, value)), Some(oracle)) = (arm.axes.iter().find(|a| a.0 == axis), arm.resolved.get("oracle"))
        else {
            return false;
        };
        *oracles.entry(value).or_insert(oracle) == oracle
    });
    let mut different = oracles.values();
    let first = different.next();
    all && different.any(|o| Some(o) != first)
}

fn known_axis(study: &Study, axis: &str, option: &str) -> Result<usize> {
    study.axes.iter().position(|a| a == axis).ok_or_else(|| {
        let near = hint(axis, study.axes.iter().map(String::as_str));
        let list = if near.is_empty() { format!("; there are: {}", study.axes.join(", ")) } else { near };
        Error::Config(format!("{option} {axis}: no axis of this scenario on which arms differ{list}"))
    })
}

/// Keeps the arms with the values asked for and gives the name of the report's folder.
pub(crate) fn restrict(report: &mut report::Report, only: &[String]) -> Result<String> {
    let study = &report.study;
    let mut wanted: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for rule in only {
        let Some((axis, value)) = rule.split_once('=') else {
            return Err(Error::Config(format!(
                "--where {rule}: write an axis and a value, such as --where model=forest"
            )));
        };
        let x = known_axis(study, axis.trim(), "--where")?;
        let value = value.trim();
        if !study.arms.iter().any(|a| a.cell.get(x).is_some_and(|v| v == value)) {
            let mut values: Vec<&str> = study.arms.iter().filter_map(|a| a.cell.get(x)).map(String::as_str).collect();
            values.sort_unstable();
            values.dedup();
            let near = hint(value, values.iter().copied());
            let list = if near.is_empty() { format!("; there are: {}", values.join(", ")) } else { near };
            return Err(Error::Config(format!("--where {rule}: no arm has `{value}`{list}")));
        }
        wanted.entry(x).or_default().push(value);
    }
    let keep: Vec<usize> = (0..study.arms.len())
        .filter(|&i| wanted.iter().all(|(&x, v)| study.arms[i].cell.get(x).is_some_and(|c| v.contains(&c.as_str()))))
        .collect();
    if keep.is_empty() {
        return Err(Error::Config(format!("no arm fits all of: {}", only.join(", "))));
    }
    report.keep(&keep);
    let report::Report { study, view, .. } = report;
    let arms = &mut study.arms;
    let folder = std::iter::once("report".to_string()).chain(only.iter().map(|rule| {
        let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        rule.chars().map(safe).collect::<String>()
    }));
    let folder = folder.collect::<Vec<_>>().join("-");
    // Axes on which the arms left no longer differ leave the labels.
    let differs: Vec<bool> =
        (0..study.axes.len()).map(|x| arms.iter().any(|a| a.cell.get(x) != arms[0].cell.get(x))).collect();
    if !only.is_empty() {
        let kept = |all: &[String]| all.iter().zip(&differs).filter(|d| *d.1).map(|d| d.0.clone()).collect::<Vec<_>>();
        for arm in arms {
            arm.cell = kept(&arm.cell);
            if !arm.cell.is_empty() {
                arm.label = arm.cell.join(" / ");
            }
        }
        study.axes = kept(&study.axes);
        view.by.retain(|b| study.axes.contains(b));
        study.name = format!("{}: {}", study.name, only.join(", "));
    }
    Ok(folder)
}

/// Adds the published curves that the command or the scenario names; without their file it says so and goes on.
pub(crate) fn add_published(report: &mut report::Report, plan: &Plan, against: Option<&Path>) -> Result<()> {
    let rules = plan.sweep.published.clone().unwrap_or_default();
    add_published_values(report, plan, &rules)?;
    let Some(file) = against.map(Path::to_path_buf).or(rules.file.clone()) else { return Ok(()) };
    let below = plan.data.path(&file);
    let path = if against.is_some() && file.is_file() { file.clone() } else { below };
    if !path.is_file() {
        eprintln!(
            "{}: no such file, so nothing published is compared; give a path that exists or point --data-dir (or \
             SCREENWRIGHT_DATA) at the folder that has it",
            path.display()
        );
        return Ok(());
    }
    let source = file.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let curves = PublishedCurves::read(&table::read(&path)?, &rules, source, &report.study)?;
    report.comparisons.curves = Some(curves);
    Ok(())
}

/// Adds the published numbers that the scenario names; without their file it says so and goes on.
fn add_published_values(report: &mut report::Report, plan: &Plan, rules: &crate::scenario::Published) -> Result<()> {
    let Some(values) = &rules.values else { return Ok(()) };
    let path = plan.data.path(&values.file);
    if !path.is_file() {
        eprintln!("{}: no such file, so no published number is printed beside ours", path.display());
        return Ok(());
    }
    let source = values.file.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let study = &report.study;
    let axes = |arm: &StudyArm| -> Vec<(String, String)> {
        let of = plan.sweep.arms.iter().find(|a| a.label == arm.label);
        of.map_or_else(|| study.axes.iter().cloned().zip(arm.cell.iter().cloned()).collect(), |a| a.axes.clone())
    };
    report.comparisons.values = Some(PublishedTable::read(&table::read(&path)?, values, source, study, axes)?);
    Ok(())
}

/// Alignment by round of the model and of each prior in one arm (Huang et al. 2023, Fig. 1c), as a study whose arms
/// are these, and the name of its files.
fn alignment(plan: &Plan, study: &Study, read: &Runs, arm: &str) -> Result<(Study, String)> {
    let labels: Vec<&str> = study.arms.iter().map(|a| a.label.as_str()).collect();
    let at = if arm.is_empty() {
        study.arms.iter().find_map(|a| a.reference).unwrap_or(0)
    } else {
        labels.iter().position(|l| *l == arm).ok_or_else(|| {
            let near = hint(arm, labels.iter().copied());
            let list = if near.is_empty() { format!("; there are: {}", labels.join(", ")) } else { near };
            Error::Config(format!("no arm `{arm}` in this scenario{list}"))
        })?
    };
    let metrics: Vec<String> = ["alignment", "centred_alignment"].map(String::from).to_vec();
    let n_seeds = plan.sweep.seeds.count as usize;
    let ids: Vec<&String> = plan.ids[at * n_seeds..(at + 1) * n_seeds].iter().collect();
    // By curve, its runs.
    let mut curves: Vec<(String, Vec<RunCurve>)> = vec![];
    for (header, rounds) in ids.into_iter().filter_map(|id| read.get(id)) {
        let n_measured: Vec<f64> = rounds.integers("n_measured")?.into_iter().map(|n| n as f64).collect();
        for column in rounds.names() {
            let (metric, of) = column.split_once(' ').unwrap_or((column, ""));
            let Some(metric) = metrics.iter().find(|m| *m == metric) else { continue };
            let of = if of.is_empty() { "model".to_string() } else { format!("prior {of}") };
            let values = rounds.numbers_or_missing(column)?;
            let place = curves.iter().position(|c| c.0 == of).unwrap_or_else(|| {
                curves.push((of, vec![]));
                curves.len() - 1
            });
            let runs = &mut curves[place].1;
            let run = runs.iter().position(|r| r.seed == header.seed).unwrap_or_else(|| {
                runs.push(RunCurve { seed: header.seed, n_measured: n_measured.clone(), ..RunCurve::default() });
                runs.len() - 1
            });
            runs[run].values.insert(metric.clone(), values);
        }
    }
    let has = |m: &String| curves.iter().any(|c| c.1.iter().any(|r| r.values.contains_key(m)));
    let metrics: Vec<String> = metrics.into_iter().filter(has).collect();
    if metrics.is_empty() {
        return Err(Error::Data(format!(
            "the runs of `{}` hold no alignment; add \"alignment\" to metrics in the scenario and run it again",
            labels[at]
        )));
    }
    curves.sort_by(|a, b| (a.0 != "model", &a.0).cmp(&(b.0 != "model", &b.0)));
    let arms = curves.into_iter().map(|(label, runs)| StudyArm { label, runs, ..StudyArm::default() }).collect();
    let name = format!("{}: kernel alignment, {}", study.name, labels[at]);
    Ok((Study { name, metrics, arms, ..Study::default() }, format!("alignment_{}", labels[at])))
}

/// Figures and tables in the store, and the long table beside it.
pub(crate) fn write(plan: &Plan, report: &report::Report, runs: &Runs, folder: &str) -> Result<Vec<PathBuf>> {
    let mut written = report::write(report, &plan.store.folder().join(folder))?;
    let path = plan.store.folder().with_extension("parquet");
    table::write_parquet(&long_table(plan, runs)?, &path)?;
    written.push(path);
    Ok(written)
}

/// All rounds of all finished runs of the plan: run, arm, seed, then the columns of `rounds.parquet`.
fn long_table(plan: &Plan, runs: &Runs) -> Result<Table> {
    let n_seeds = plan.sweep.seeds.count as usize;
    let mut parts = Vec::new();
    for (i, id) in plan.ids.iter().enumerate() {
        if let Some((header, rounds)) = runs.get(id) {
            let arm = plan.sweep.arms[i / n_seeds].label.clone();
            parts.push((id.clone(), arm, header.seed, rounds.clone()));
        }
    }
    let mut all = super::results::stack(&parts)?;
    let (rounds, measured) = (all.integers("round")?, all.integers("n_measured")?);
    let cost = plan.sweep.cost;
    let money = rounds.iter().zip(&measured).map(|(&t, &n)| cost.money(t as f64, n as f64)).collect();
    let months = rounds.iter().map(|&t| cost.months(t as f64)).collect();
    for (name, column) in [("cost", money), ("months", months)] {
        // A plugin may have recorded something of that name; it keeps it.
        if all.column(name).is_none() {
            all.push(name, Column::Number(column))?;
        }
    }
    Ok(all)
}
