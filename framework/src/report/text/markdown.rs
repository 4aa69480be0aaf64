//! The text of `report.md`.

use super::format::{NONE, escape, percent};
use super::warnings::warnings;
use super::{columns, notes};
use crate::report::model::claims::Judgement;
use crate::report::model::groups::GroupSummary;
use crate::report::model::published_curves::{self, PublishedCurves};
use crate::report::model::published_values::{PublishedTable, ValueComparison};
use crate::report::model::report::Report;
use crate::report::model::results::Results;
use crate::report::model::speedup::{Reach, SpeedUp, reported_metrics};
use crate::report::model::study::Study;
use crate::report::model::view::View;

/// Columns of the table of speed-ups.
const MOST_COLUMNS: usize = 12;

/// The text of `report.md`.
pub fn text(report: &Report, results: &Results, figures: &[&str]) -> String {
    let Report { study, view, comparisons } = report;
    let Results { summary, speedups, judgements, .. } = results;
    let mut out = format!("# {}\n\n", escape(&study.name));
    if !study.question.trim().is_empty() {
        out += &format!("{}\n\n", study.question.trim());
    }
    out += "## Arms\n\n";
    out += &format!("{}\n\n", notes::ranked_by(&study.metrics[0]));
    for columns in columns::by_metric(study, summary, &summary.order, true) {
        out += &format!("### {}\n\n| # | arm | n | {} |\n", escape(&columns.title), columns.heads.join(" | "));
        out += &format!("|--:|:--|--:|{}\n", ":--|".repeat(columns.heads.len()));
        for (i, (a, cells)) in summary.order.iter().zip(&columns.rows).enumerate() {
            let arm = &study.arms[*a];
            out += &format!("| {} | {} | {} | {} |\n", i + 1, escape(&arm.label), arm.runs.len(), cells.join(" | "));
        }
        out.push('\n');
    }
    for note in notes::arms(study, summary, true).iter().chain(&notes::seeds_needed(study, summary)) {
        out += &format!("- {}\n", escape(note));
    }
    for warning in warnings(study, summary) {
        out += &format!("- **warning**: {}\n", escape(&warning));
    }
    out.push('\n');
    out += &groups(study, &view.by, &results.groups);
    out += &claims(judgements);
    out += &speed(study, view, speedups, &summary.order);
    if let Some(p) = &comparisons.curves {
        out += &published_curves(study, p);
    }
    if let Some(p) = &comparisons.values {
        out += &published_values(p, &results.values);
    }
    out += "## Definitions\n\n";
    for definition in notes::definitions(study) {
        out += &format!("- {}\n", escape(&definition));
    }
    out += "\n## Figures\n";
    for name in figures {
        out += &format!("\n![{name}]({name}.svg)\n");
    }
    out += "\n## Files\n\n- `report.html`: all of it as a page with curves to explore\n- `arms.csv`: one row for each arm and metric\n- `curves.csv`: the mean curves\n";
    for (name, what, there) in [
        ("groups.csv", "what each choice changes, averaged over the rest of the grid", !view.by.is_empty()),
        ("claims.csv", "what became of each claim", !judgements.is_empty()),
        ("ranks.csv", "mean ranks of methods over blocks", figures.iter().any(|f| f.starts_with("ranks_"))),
        ("speedup.csv", "how soon each arm reaches what another has in the end", !speedups.is_empty()),
        ("published.csv", "published curves beside ours", comparisons.curves.is_some()),
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

/// Groups from best to worst by the change of each metric; nothing without axes to group by.
fn groups(study: &Study, by: &[String], rows: &[GroupSummary]) -> String {
    if by.is_empty() {
        return String::new();
    }
    let mut out = format!("## By {}\n\n", by.join(" and "));
    for metric in &study.metrics {
        let mut of: Vec<&GroupSummary> = rows.iter().filter(|r| r.metric == *metric).collect();
        of.sort_by(|a, b| a.place().total_cmp(&b.place()));
        if of.iter().all(|r| r.final_mean.is_nan()) {
            continue;
        }
        out += &format!(
            "### {metric}\n\n| {} | cells | final | change of final over reference | p | p (Holm) |\n\
             |:--|--:|:--|:--|--:|--:|\n",
            by.join(" / ")
        );
        for r in of {
            let (change, p) = match r.last {
                None => (
                    if r.final_mean.is_nan() { "-" } else { "reference" }.to_string(),
                    ["-".to_string(), "-".to_string()],
                ),
                Some(c) => {
                    (percent(&c), [c.p, r.p_holm].map(|p| if p.is_finite() { format!("{p:.4}") } else { "-".into() }))
                }
            };
            let label = r.label.replace('|', "\\|");
            out += &format!(
                "| {label} | {} | {:.4} ± {:.4} | {change} | {} | {} |\n",
                r.arms.len(),
                r.final_mean,
                r.final_half_width,
                p[0],
                p[1]
            );
        }
        out.push('\n');
    }
    out + "- change: (arm - reference) / mean of the reference, under the same seed and all else equal; mean over \
           cells (those where the reference is not 0), then 95 % t interval over seeds\n- p: two-sided, exact sign flips of the seeds' changes (a t test \
           above 20 seeds); Holm: corrected over the groups of the table\n- final ±: mean over cells, 95 % t interval \
           over seeds\n\n"
}

fn claims(judgements: &[Judgement]) -> String {
    if judgements.is_empty() {
        return String::new();
    }
    let mut out =
        "## Claims\n\n| claim | compared | arms | ours | n | verdict |\n|:--|:--|:--|:--|--:|:--|\n".to_string();
    for j in judgements {
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

fn speed(study: &Study, view: &View, speedups: &[SpeedUp], order: &[usize]) -> String {
    let mut out = String::new();
    for metric in reported_metrics(study, view) {
        let of = |arm: usize, over: Option<usize>| {
            speedups.iter().find(|s| s.metric == *metric && s.arm == arm && s.over == over)
        };
        let named = |i: usize| escape(&study.arms[i].label);
        let others: Vec<usize> =
            order.iter().copied().filter(|&b| speedups.iter().any(|s| s.over == Some(b))).collect();
        let references: Vec<usize> = others.iter().copied().filter(|&b| study.is_reference(b)).collect();
        let all = if others.len() > MOST_COLUMNS { vec![] } else { others };
        // Over references with intervals, over all others without.
        for (columns, what, interval) in [(references, "over the reference", true), (all, "row over column", false)] {
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
        if let Some(target) = view.target {
            out += &format!(
                "### {} at {target}\n\n| arm | rounds | perturbations | cost (USD) | months |\n",
                escape(metric)
            );
            out += "|:--|:--|--:|--:|--:|\n";
            for s in order.iter().filter_map(|&a| of(a, None)) {
                let paid = match s.reach {
                    Reach::At(r) => [s.n_measured, view.cost.money(r, s.n_measured), view.cost.months(r)]
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
        let notes: String = notes::speed(study, view).iter().map(|n| format!("- {}\n", escape(n))).collect();
        out = format!("## Speed-up\n\n{out}{notes}- all pairs, with what they cost, are in `speedup.csv`\n\n");
    }
    out
}

fn published_curves(study: &Study, p: &PublishedCurves) -> String {
    let mut out = format!("## Published curves\n\nFrom {}: `published.csv`.\n\n", escape(&p.source));
    for (i, theirs) in &p.arms {
        out += &format!("- {} against {}\n", escape(&study.arms[*i].label), escape(&theirs.label));
    }
    for (ours, column) in &p.metrics {
        out +=
            &format!("- {} against its column {}, each over its own value at round 0\n", escape(ours), escape(column));
    }
    for note in published_curves::notes(study, p) {
        out += &format!("- {}\n", escape(&note));
    }
    out + "\n"
}

fn published_values(p: &PublishedTable, values: &[ValueComparison]) -> String {
    let mut out = format!(
        "## Published numbers\n\nFrom {}: `published_values.csv`. Ours: last round, mean over seeds and half width of its 95 % \
         interval; apart: ours less published, in published standard errors.\n\n| arm | metric | ours | n | published (se) | \
         apart |\n|---|---|---|---|---|---|\n",
        escape(&p.source)
    );
    for r in values {
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
