//! Tables for the terminal and the Markdown report.

use super::axis::extent;
use super::claims::{Judged, Verdict};
use super::speedup::{Reach, SpeedUp};
use super::summary::larger_is_better;
use super::{ArmSummary, GroupSummary, Paired, Study};
use crate::metric::find;
use numerics::stats::quantile;

/// Widths of the terminal and of an arm's label.
const WIDTH: usize = 110;
const LABEL: usize = 40;
/// Arms shown, and rows up to which all metrics have all their columns.
const MOST_ARMS: usize = 20;
const MOST_ROWS: usize = 40;
const NONE: &str = "-";
/// Columns of the table of speed-ups.
const MOST_COLUMNS: usize = 12;

/// What a table says on one metric, row by row as ranked.
struct Block {
    title: String,
    heads: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Study {
    /// The arms from best to worst, for the terminal.
    pub fn table(&self) -> String {
        if let Err(e) = self.check() {
            return format!("{e}\n");
        }
        let rows = self.summarise();
        let order = self.ranking(&rows);
        let (shown, hidden) = order.split_at(order.len().min(MOST_ARMS));
        // References stay in sight.
        let late: Vec<usize> =
            hidden.iter().copied().filter(|&a| rows[a * self.metrics.len()].is_reference).take(3).collect();
        let listed: Vec<usize> = shown.iter().chain(&late).copied().collect();
        let full = self.metrics.len() * listed.len() <= MOST_ROWS;
        let mut blocks = self.blocks(&rows, &listed, full);
        blocks.extend(self.speed_blocks(&listed));

        let rank = |a: &usize| (order.iter().position(|o| o == a).unwrap_or(0) + 1).to_string();
        let mut first = vec![vec!["#".to_string(), "arm".to_string(), "n".to_string()]];
        first.extend(listed.iter().map(|a| {
            let arm = &self.arms[*a];
            vec![rank(a), shorten(&arm.label, LABEL), arm.runs.len().to_string()]
        }));
        let first = pad(&first, &[true, false, true]);
        let bodies: Vec<Vec<String>> = blocks
            .iter()
            .map(|b| {
                let lines: Vec<Vec<String>> =
                    std::iter::once(b.heads.iter().map(|h| h.to_string()).collect()).chain(b.rows.clone()).collect();
                let mut body = pad(&lines, &[false; 5]);
                body.insert(0, b.title.clone());
                let width = body.iter().map(|l| chars(l)).max().unwrap_or(0);
                body.iter().map(|l| fill(l, width, false)).collect()
            })
            .collect();

        let mut out = self.heading(self.metrics.first().map_or("", String::as_str));
        let label_width = first.first().map_or(0, |l| chars(l));
        let mut at = 0;
        while at < bodies.len() {
            let (from, mut width) = (at, label_width);
            while at < bodies.len() && (at == from || width + 3 + chars(&bodies[at][0]) <= WIDTH) {
                width += 3 + chars(&bodies[at][0]);
                at += 1;
            }
            out.push('\n');
            for line in 0..=listed.len() + 1 {
                let label = if line == 0 { " ".repeat(label_width) } else { first[line - 1].clone() };
                let cells: Vec<&str> = bodies[from..at].iter().map(|b| b[line].as_str()).collect();
                out += format!("{label}   {}", cells.join("   ")).trim_end();
                out.push('\n');
                if line == 1 {
                    out += &format!("{}\n", "-".repeat(width));
                }
                if line == shown.len() + 1 && !hidden.is_empty() {
                    out += &format!("... {} more in arms.csv\n", hidden.len());
                }
            }
        }
        out.push('\n');
        let (speed, power) = (self.speed_notes(), self.power_notes(&rows, &order));
        for note in self.notes(&rows, full).iter().chain(&power).chain(&speed).chain(&self.definitions()) {
            out += &wrap(note, WIDTH);
        }
        for warning in self.warnings(&rows) {
            out += &wrap(&format!("warning: {warning}"), WIDTH);
        }
        out += &self.groups_text(MOST_ARMS);
        let judged = self.judged();
        if !judged.is_empty() {
            out += "\nClaims (difference: better - other, paired by seed, 95 % interval; see claims.csv)\n";
            for j in judged.iter().filter(|j| j.verdict != Verdict::NotRun) {
                out += &wrap(&format!("{}: {}", j.verdict.word(), j.text), WIDTH);
                out += &format!("    {}   n = {}\n", j.ours, j.n);
            }
            let without = judged.iter().filter(|j| j.verdict == Verdict::NotRun).count();
            if without > 0 {
                out += &format!("not run: {} whose arms or values are missing here\n", count(without, "claim"));
            }
        }
        if let Some(p) = &self.published {
            let n = p.arms.len();
            out.push('\n');
            out +=
                &wrap(&format!("Published curves of {}: {} matched, published.csv", p.source, count(n, "arm")), WIDTH);
            for note in self.published_notes(p) {
                out += &wrap(&format!("  {note}"), WIDTH);
            }
        }
        out += &self.published_values_text();
        out
    }

    /// The last lines of a run: the best arms by the first metric with their intervals, and the reference.
    pub fn best_lines(&self) -> String {
        const BEST: usize = 5;
        if self.check().is_err() {
            return String::new();
        }
        let rows = self.summarise();
        let order = self.ranking(&rows);
        let row = |a: usize| &rows[a * self.metrics.len()];
        let late = order.iter().skip(BEST).copied().filter(|&a| row(a).is_reference).take(1);
        let listed: Vec<usize> = order.iter().copied().take(BEST).chain(late).collect();
        let digits = Digits::of(listed.iter().map(|&a| [row(a).aulc_mean, row(a).aulc_half_width]));
        let wide = listed.iter().map(|&a| chars(&self.arms[a].label)).max().unwrap_or(0).min(LABEL);
        let mut out = format!("best by the AULC of {}, 95 % t intervals over seeds:\n", self.metrics[0]);
        for a in listed {
            let place = order.iter().position(|&o| o == a).unwrap_or(0) + 1;
            let mark = if row(a).is_reference { "   (reference)" } else { "" };
            out += &format!(
                "{place:>4}  {}  {}{mark}\n",
                fill(&shorten(&self.arms[a].label, LABEL), wide, false),
                value(row(a).aulc_mean, row(a).aulc_half_width, row(a).n_aulc, digits)
            );
        }
        out
    }

    /// Ours beside published numbers, for the terminal.
    fn published_values_text(&self) -> String {
        let Some(p) = &self.published_values else { return String::new() };
        let mut out = format!("\nPublished numbers of {} (last round; published_values.csv)\n", p.source);
        let rows = self.beside();
        let wide = rows.iter().map(|r| r.label.chars().count()).max().unwrap_or(0);
        for r in &rows {
            let error = if r.published.error.is_nan() { String::new() } else { format!(" ({:.4})", r.published.error) };
            out += &format!(
                "  {:wide$}  {:>20}  ours {:.4} +- {:.4} (n = {})   published {:.4}{error}\n",
                r.label, r.published.metric, r.ours, r.half_width, r.n, r.published.value
            );
        }
        p.notes.iter().for_each(|n| out += &wrap(&format!("  {n}"), WIDTH));
        out
    }

    /// The section of `report.md` on published numbers.
    fn published_values_markdown(&self) -> String {
        let Some(p) = &self.published_values else { return String::new() };
        let mut out = format!(
            "## Published numbers\n\nFrom {}: `published_values.csv`. Ours: last round, mean over seeds and half width of its 95 % \
             interval; apart: ours less published, in published standard errors.\n\n| arm | metric | ours | n | published (se) | \
             apart |\n|---|---|---|---|---|---|\n",
            escape(&p.source)
        );
        for r in self.beside() {
            let number = |v: f64| if v.is_nan() { NONE.to_string() } else { format!("{v:.4}") };
            out += &format!(
                "| {} | {} | {:.4} +- {} | {} | {:.4} ({}) | {} |\n",
                escape(r.label),
                escape(&r.published.metric),
                r.ours,
                number(r.half_width),
                r.n,
                r.published.value,
                number(r.published.error),
                if r.apart().is_nan() { NONE.to_string() } else { format!("{:.1}", r.apart()) },
            );
        }
        p.notes.iter().for_each(|n| out += &format!("\n- {}", escape(n)));
        out + "\n"
    }

    /// The terminal's columns of speed-up over each arm's reference, and of rounds to the target.
    fn speed_blocks(&self, listed: &[usize]) -> Vec<Block> {
        let mut out = vec![];
        for metric in self.speed_metrics() {
            let mut block = |title: String, head: &'static str, cells: Vec<Option<String>>| {
                if cells.iter().any(Option::is_some) {
                    let rows = cells.into_iter().map(|c| vec![c.unwrap_or_else(|| NONE.to_string())]).collect();
                    out.push(Block { title, heads: vec![head], rows });
                }
            };
            let over = |a: &usize| self.arms[*a].reference.filter(|r| r != a);
            let ratios =
                listed.iter().map(|a| over(a).and_then(|r| self.speedup(metric, *a, Some(r))).map(|s| s.words()));
            block(format!("speed-up over reference ({metric})"), "R / r*", ratios.collect());
            if let Some(target) = self.target {
                let rounds = listed.iter().map(|a| self.speedup(metric, *a, None).map(|s| s.reach_words()));
                block(format!("{metric} at {target}"), "rounds", rounds.collect());
            }
        }
        out
    }

    /// How to read speed-ups.
    fn speed_notes(&self) -> Vec<String> {
        let mut out = vec![];
        if self.arms.iter().enumerate().any(|(i, a)| a.reference.is_some_and(|r| r != i)) {
            out.push(
                "speed-up: R / r*, with r* the round, interpolated, at which the mean curve first reaches the other \
                 arm's mean at its last round R [95 % bootstrap interval over paired seeds]; below the bound (<) where \
                 it never does, above it (>) where it starts there"
                    .to_string(),
            );
        }
        if self.target.is_some() {
            out.push("rounds: r* of the target given [95 % bootstrap interval over seeds]".to_string());
        }
        out
    }

    /// The sections of `report.md` on speed-up.
    fn speed_markdown(&self, speedups: &[SpeedUp], order: &[usize]) -> String {
        let mut out = String::new();
        for metric in self.speed_metrics() {
            let of = |arm: usize, over: Option<usize>| {
                speedups.iter().find(|s| s.metric == *metric && s.arm == arm && s.over == over)
            };
            let named = |i: usize| escape(&self.arms[i].label);
            let others: Vec<usize> =
                order.iter().copied().filter(|&b| speedups.iter().any(|s| s.over == Some(b))).collect();
            let references: Vec<usize> =
                others.iter().copied().filter(|&b| self.arms.iter().any(|a| a.reference == Some(b))).collect();
            let all = if others.len() > MOST_COLUMNS { vec![] } else { others };
            // Over references with intervals, over all others without.
            for (columns, what, interval) in [(references, "over the reference", true), (all, "row over column", false)]
            {
                if columns.is_empty() {
                    continue;
                }
                out += &format!("### {}, {what}\n\n| arm |", escape(metric));
                columns.iter().for_each(|&b| out += &format!(" {} |", named(b)));
                out += &format!("\n|:--|{}\n", ":--|".repeat(columns.len()));
                for &a in order {
                    let words = |s: &SpeedUp| match s.ratio {
                        Some(r) if !interval => escape(&r.words()),
                        _ => escape(&s.words()),
                    };
                    let cells: Vec<String> = columns
                        .iter()
                        .map(|&b| if a == b { String::new() } else { of(a, Some(b)).map_or(NONE.into(), words) })
                        .collect();
                    out += &format!("| {} | {} |\n", named(a), cells.join(" | "));
                }
                out.push('\n');
            }
            if let Some(target) = self.target {
                out += &format!(
                    "### {} at {target}\n\n| arm | rounds | perturbations | cost (USD) | months |\n",
                    escape(metric)
                );
                out += "|:--|:--|--:|--:|--:|\n";
                for s in order.iter().filter_map(|&a| of(a, None)) {
                    let paid = match s.reach {
                        Reach::At(r) => [s.n_measured, self.cost.money(r, s.n_measured), self.cost.months(r)]
                            .map(|v| format!("{v:.1}"))
                            .join(" | "),
                        _ => [NONE; 3].join(" | "),
                    };
                    out += &format!("| {} | {} | {paid} |\n", named(s.arm), escape(&s.reach_words()));
                }
                out.push('\n');
            }
        }
        if !out.is_empty() {
            let notes: String = self.speed_notes().iter().map(|n| format!("- {}\n", escape(n))).collect();
            out = format!("## Speed-up\n\n{out}{notes}- all pairs, with what they cost, are in `speedup.csv`\n\n");
        }
        out
    }

    /// The section of `report.md` on claims.
    fn claims_markdown(&self, judged: &[Judged]) -> String {
        if judged.is_empty() {
            return String::new();
        }
        let mut out =
            "## Claims\n\n| claim | compared | arms | ours | n | verdict |\n|:--|:--|:--|:--|--:|:--|\n".to_string();
        for j in judged {
            let arms = if j.better.is_empty() { NONE.to_string() } else { format!("{} against {}", j.better, j.than) };
            let what = format!("{}, {}", j.metric, j.what);
            let cells = [&j.text, &what, &arms, &j.ours].map(|c| escape(c));
            out += &format!("| {} | {} | {} |\n", cells.join(" | "), j.n, j.verdict.word());
        }
        out + "\n- ours: mean difference, better minus other, or the speed-up, with its 95 % interval, paired by seed; where \
               several arms match, the best of each side (chosen on these runs) or, for `all_of`, the weakest pair\n\
               - supported: the whole interval agrees with the claim; contradicted: the whole interval disagrees; \
               undecided: it holds both, or there is one seed; not run: arms or values are missing\n\
               - not corrected for the number of claims\n\n"
    }

    /// The section of `report.md` on published curves.
    fn published_markdown(&self) -> String {
        let Some(p) = &self.published else { return String::new() };
        let mut out = format!("## Published curves\n\nFrom {}: `published.csv`.\n\n", escape(&p.source));
        for (i, theirs) in &p.arms {
            out += &format!("- {} against {}\n", escape(&self.arms[*i].label), escape(&theirs.label));
        }
        for (ours, column) in &p.metrics {
            out += &format!(
                "- {} against its column {}, each over its own value at round 0\n",
                escape(ours),
                escape(column)
            );
        }
        for note in self.published_notes(p) {
            out += &format!("- {}\n", escape(&note));
        }
        out + "\n"
    }

    /// The text of `report.md`.
    pub(super) fn markdown(
        &self,
        rows: &[ArmSummary],
        order: &[usize],
        groups: &[GroupSummary],
        speedups: &[SpeedUp],
        judged: &[Judged],
        figures: &[&str],
    ) -> String {
        let mut out = format!("# {}\n\n", escape(&self.name));
        if !self.question.trim().is_empty() {
            out += &format!("{}\n\n", self.question.trim());
        }
        out += "## Arms\n\n";
        out += &format!("{}\n\n", self.ranked_by(&self.metrics[0]));
        for block in self.blocks(rows, order, true) {
            out += &format!("### {}\n\n| # | arm | n | {} |\n", escape(&block.title), block.heads.join(" | "));
            out += &format!("|--:|:--|--:|{}\n", ":--|".repeat(block.heads.len()));
            for (i, (a, cells)) in order.iter().zip(&block.rows).enumerate() {
                let arm = &self.arms[*a];
                out +=
                    &format!("| {} | {} | {} | {} |\n", i + 1, escape(&arm.label), arm.runs.len(), cells.join(" | "));
            }
            out.push('\n');
        }
        for note in self.notes(rows, true).iter().chain(&self.power_notes(rows, order)) {
            out += &format!("- {}\n", escape(note));
        }
        for warning in self.warnings(rows) {
            out += &format!("- **warning**: {}\n", escape(&warning));
        }
        out.push('\n');
        out += &self.groups_markdown(groups);
        out += &self.claims_markdown(judged);
        out += &self.speed_markdown(speedups, order);
        out += &self.published_markdown();
        out += &self.published_values_markdown();
        out += "## Definitions\n\n";
        for definition in self.definitions() {
            out += &format!("- {}\n", escape(&definition));
        }
        out += "\n## Figures\n";
        for name in figures {
            out += &format!("\n![{name}]({name}.svg)\n");
        }
        out += "\n## Files\n\n- `report.html`: all of it as a page with curves to explore\n- `arms.csv`: one row for each arm and metric\n- `curves.csv`: the mean curves\n";
        for (name, what, there) in [
            ("groups.csv", "what each choice changes, averaged over the rest of the grid", !self.by.is_empty()),
            ("claims.csv", "what became of each claim", !judged.is_empty()),
            ("ranks.csv", "mean ranks of methods over blocks", figures.iter().any(|f| f.starts_with("ranks_"))),
            ("speedup.csv", "how soon each arm reaches what another has in the end", !speedups.is_empty()),
            ("published.csv", "published curves beside ours", self.published.is_some()),
        ] {
            if there {
                out += &format!("- `{name}`: {what}\n");
            }
        }
        for name in figures {
            out += &format!("- `{name}.svg`, `{name}.png`\n");
        }
        out
    }

    fn heading(&self, metric: &str) -> String {
        let n: Vec<usize> = self.arms.iter().map(|a| a.runs.len()).collect();
        let (least, most) = (n.iter().min().copied().unwrap_or(0), n.iter().max().copied().unwrap_or(0));
        let seeds = if least == most { format!("{most}") } else { format!("{least} to {most}") };
        let text =
            format!("{}, {seeds} {} each. {}", count(n.len(), "arm"), plural(most, "seed"), self.ranked_by(metric));
        let question = if self.question.trim().is_empty() { String::new() } else { wrap(&self.question, WIDTH) };
        question + &wrap(&text, WIDTH)
    }

    fn ranked_by(&self, metric: &str) -> String {
        let better = if larger_is_better(metric) { "larger" } else { "smaller" };
        format!("Ranked by the AULC of {metric} ({better} is better).")
    }

    /// The cells of every metric for the arms listed; unless `full`, only the first metric is compared.
    fn blocks(&self, rows: &[ArmSummary], listed: &[usize], full: bool) -> Vec<Block> {
        (0..self.metrics.len())
            .map(|m| {
                let of: Vec<&ArmSummary> = listed.iter().map(|a| &rows[a * self.metrics.len() + m]).collect();
                let column = |f: fn(&ArmSummary) -> [f64; 2]| Digits::of(of.iter().map(|r| f(r)));
                let last = column(|r| [r.final_mean, r.final_half_width]);
                let area = column(|r| [r.aulc_mean, r.aulc_half_width]);
                let gap =
                    column(|r| r.difference.as_ref().map_or([f64::NAN; 2], |d| [d.aulc.mean, d.aulc.hi - d.aulc.mean]));
                let compared = (full || m == 0) && of.iter().any(|r| r.difference.is_some());
                let cells = |r: &&ArmSummary| {
                    let mut cells =
                        vec![value(r.final_mean, r.final_half_width, r.n_seeds, last), area.show(r.aulc_mean)];
                    if compared {
                        cells.extend(match &r.difference {
                            Some(d) => [difference(&d.aulc, gap), p_value(d.aulc.p), p_value(d.aulc.p_holm)],
                            None if r.is_reference => ["reference".to_string(), String::new(), String::new()],
                            None => [NONE.to_string(), String::new(), String::new()],
                        });
                    }
                    cells
                };
                let heads: &[&str] =
                    if compared { &["final", "AULC", "AULC - reference", "p", "p Holm"] } else { &["final", "AULC"] };
                let better = if larger_is_better(&self.metrics[m]) { "larger" } else { "smaller" };
                Block {
                    title: format!("{} ({better} is better)", self.metrics[m]),
                    heads: heads.to_vec(),
                    rows: of.iter().map(cells).collect(),
                }
            })
            .collect()
    }

    /// How to read the columns.
    pub(super) fn notes(&self, rows: &[ArmSummary], full: bool) -> Vec<String> {
        let mut out = vec![
            "final: mean over seeds after the last round ± half width of its 95 % t interval; n = 1 has no interval"
                .to_string(),
            "AULC: area under the curve over perturbations measured, divided by their range, so on the metric's own \
             scale; - where a run has a round without value"
                .to_string(),
        ];
        for (m, metric) in self.metrics.iter().enumerate() {
            let known = rows.iter().skip(m).step_by(self.metrics.len()).map(|r| r.ceiling).filter(|c| c.is_finite());
            if let Some((lo, hi)) = extent(known) {
                let range = if hi - lo < 5e-4 * hi.abs() { format!("{hi:.3}") } else { format!("{lo:.3} to {hi:.3}") };
                let what = match metric.as_str() {
                    "hit_ratio" => "one replicate finds of another's hits by taking as many of its most wanted",
                    _ => "a prediction of the noise-free readout would have, from the agreement of replicates",
                };
                out.push(format!("noise ceiling of {metric}: {range}, what {what}"));
            }
        }
        let compared: Vec<&Paired> = rows.iter().filter_map(|r| r.difference.as_ref()).map(|d| &d.aulc).collect();
        if compared.is_empty() {
            return out;
        }
        let mut references: Vec<&str> =
            rows.iter().filter_map(|r| r.difference.as_ref()).map(|d| d.reference.as_str()).collect();
        references.sort_unstable();
        references.dedup();
        let names = match references[..] {
            [one] => format!("the reference is {one}"),
            _ => format!("{} references, named in arms.csv", references.len()),
        };
        let more = if full || self.metrics.len() == 1 { "" } else { "; of the other metrics see report.md" };
        out.push(format!("AULC - reference: mean difference [95 % t interval], paired by seed; {names}{more}"));
        let n = compared.iter().map(|d| d.n).max().unwrap_or(0);
        let tests = compared.iter().step_by(self.metrics.len()).filter(|d| d.p.is_finite()).count();
        let (few, many) = (n > 1 && n <= 20, tests > 1);
        let least = if few {
            format!("; {n} pairs reach {} at best", p_value(0.5f64.powi(n as i32 - 1)))
        } else {
            String::new()
        };
        let family = if many {
            format!("; p Holm: corrected over the {tests} comparisons of the metric")
        } else {
            String::new()
        };
        out.push(format!("p: two-sided, exact sign flips of the paired differences{least}{family}"));
        out.push(
            "arms.csv also has bootstrap intervals, Wilcoxon's signed ranks and the seeds that each comparison needs"
                .into(),
        );
        out
    }

    fn definitions(&self) -> Vec<String> {
        self.metrics.iter().filter_map(|m| find(m)).map(|m| format!("{}: {}", m.name, m.definition)).collect()
    }
}

/// How the numbers of a column are written: with so many decimals, or else with an exponent.
#[derive(Clone, Copy)]
struct Digits(Option<usize>);

impl Digits {
    /// Three significant digits for a column's typical value, and one for its typical half width.
    fn of(column: impl Iterator<Item = [f64; 2]>) -> Self {
        let (values, halves): (Vec<f64>, Vec<f64>) = column.map(|[v, h]| (v.abs(), h.abs())).unzip();
        let digits = |v: Vec<f64>, significant: f64| {
            let v: Vec<f64> = v.into_iter().filter(|v| *v > 0.0 && v.is_finite()).collect();
            let middle = quantile(&v, 0.5);
            if middle.is_finite() { significant - 1.0 - middle.log10().floor() } else { 0.0 }
        };
        let (value, half) = (digits(values, 3.0), digits(halves, 1.0));
        Self((-3.0..=5.0).contains(&value).then(|| value.max(half.min(6.0)).max(0.0) as usize))
    }

    fn show(self, v: f64) -> String {
        match self.0 {
            _ if !v.is_finite() => NONE.to_string(),
            None => format!("{v:.2e}"),
            // An outlier among small numbers.
            Some(_) if v.abs() >= 1e7 => format!("{v:.2e}"),
            // No "-0.000".
            Some(d) => format!("{:.d$}", if (v * 10f64.powi(d as i32)).abs() < 0.5 { 0.0 } else { v }),
        }
    }

    fn signed(self, v: f64) -> String {
        format!("{}{}", if v > 0.0 { "+" } else { "" }, self.show(v))
    }
}

fn value(mean: f64, half: f64, n: usize, digits: Digits) -> String {
    match n {
        0 => NONE.to_string(),
        1 => format!("{} (n = 1)", digits.show(mean)),
        _ => format!("{} ± {}", digits.show(mean), digits.show(half)),
    }
}

fn difference(d: &Paired, digits: Digits) -> String {
    let [mean, lo, hi] = [d.mean, d.lo, d.hi].map(|v| digits.signed(v));
    match d.n {
        0 => NONE.to_string(),
        1 => format!("{mean} (n = 1)"),
        _ => format!("{mean} [{lo}, {hi}]"),
    }
}

fn p_value(p: f64) -> String {
    match p {
        p if p.is_nan() => NONE.to_string(),
        p if p < 0.0001 => "<0.0001".to_string(),
        p => format!("{p:.4}"),
    }
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

fn fill(text: &str, width: usize, right: bool) -> String {
    let space = " ".repeat(width.saturating_sub(chars(text)));
    if right { space + text } else { text.to_string() + &space }
}

/// Lines of cells as lines of text with aligned columns. Cells that begin with a number are aligned at
/// its decimal point.
fn pad(lines: &[Vec<String>], right: &[bool]) -> Vec<String> {
    let columns = lines.first().map_or(0, Vec::len);
    // Characters before the first decimal point or the end of the first word.
    let head = |cell: &str| {
        let numeric =
            cell.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '<') || (c == '-' && cell.len() > 1));
        if numeric { cell.find(['.', ' ']).unwrap_or(cell.len()) } else { 0 }
    };
    let shift: Vec<usize> =
        (0..columns).map(|c| lines.iter().skip(1).map(|l| head(&l[c])).max().unwrap_or(0)).collect();
    let moved = |line: &[String], c: usize| match right[c] || head(&line[c]) == 0 {
        true => line[c].clone(),
        false => " ".repeat(shift[c] - head(&line[c])) + &line[c],
    };
    let lines: Vec<Vec<String>> = lines
        .iter()
        .enumerate()
        .map(|(i, l)| (0..columns).map(|c| if i == 0 { l[c].clone() } else { moved(l, c) }).collect())
        .collect();
    let widths: Vec<usize> = (0..columns).map(|c| lines.iter().map(|l| chars(&l[c])).max().unwrap_or(0)).collect();
    lines
        .iter()
        .map(|l| (0..columns).map(|c| fill(&l[c], widths[c], right[c])).collect::<Vec<_>>().join("  "))
        .collect()
}

/// A label shortened in its middle.
fn shorten(label: &str, most: usize) -> String {
    let all: Vec<char> = label.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if all.len() <= most {
        return all.into_iter().collect();
    }
    let keep = most - 1;
    all[..keep.div_ceil(2)].iter().chain(&['…']).chain(&all[all.len() - keep / 2..]).collect()
}

/// Lines of at most `width` characters, the later ones indented.
fn wrap(text: &str, width: usize) -> String {
    let mut out = String::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.trim().is_empty() && chars(&line) + 1 + chars(word) > width {
            out += &format!("{line}\n");
            line = " ".to_string();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    out + &line + "\n"
}

fn count(n: usize, noun: &str) -> String {
    format!("{n} {}", plural(n, noun))
}

fn plural(n: usize, noun: &str) -> String {
    if n == 1 { noun.to_string() } else { format!("{noun}s") }
}

/// Text in which nothing is Markdown.
fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut out, c| {
        match c {
            '|' | '*' | '_' | '`' | '<' | '[' | ']' | '\\' | '#' | '~' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
        out
    })
}
