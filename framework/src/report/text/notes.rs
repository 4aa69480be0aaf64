//! How to read the numbers of a report.

use super::format::p_value;
use crate::metric::find;
use crate::metrics::aulc;
use crate::report::model::paired::{Paired, paired};
use crate::report::model::study::{Study, larger_is_better};
use crate::report::model::summary::Summary;
use crate::report::model::view::View;

/// By what the arms are ranked.
pub fn ranked_by(metric: &str) -> String {
    let better = if larger_is_better(metric) { "larger" } else { "smaller" };
    format!("Ranked by the AULC of {metric} ({better} is better).")
}

/// How to read the columns of arms; `full` where every metric has all of them.
pub fn arms(study: &Study, summary: &Summary, full: bool) -> Vec<String> {
    let mut out = vec![
        "final: mean over seeds after the last round ± half width of its 95 % t interval; n = 1 has no interval"
            .to_string(),
        "AULC: area under the curve over perturbations measured, divided by their range, so on the metric's own \
         scale; - where a run has a round without value"
            .to_string(),
    ];
    for (m, metric) in study.metrics.iter().enumerate() {
        if let Some((lo, hi)) = summary.ceilings(m) {
            let range = if hi - lo < 5e-4 * hi.abs() { format!("{hi:.3}") } else { format!("{lo:.3} to {hi:.3}") };
            let what = match metric.as_str() {
                "hit_ratio" => "one replicate finds of another's hits by taking as many of its most wanted",
                _ => "a prediction of the noise-free readout would have, from the agreement of replicates",
            };
            out.push(format!("noise ceiling of {metric}: {range}, what {what}"));
        }
    }
    let compared: Vec<&Paired> = summary.rows.iter().filter_map(|r| r.difference.as_ref()).map(|d| &d.aulc).collect();
    if compared.is_empty() {
        return out;
    }
    let mut references: Vec<&str> =
        summary.rows.iter().filter_map(|r| r.difference.as_ref()).map(|d| d.reference.as_str()).collect();
    references.sort_unstable();
    references.dedup();
    let names = match references[..] {
        [one] => format!("the reference is {one}"),
        _ => format!("{} references, named in arms.csv", references.len()),
    };
    let more = if full || study.metrics.len() == 1 { "" } else { "; of the other metrics see report.md" };
    out.push(format!("AULC - reference: mean difference [95 % t interval], paired by seed; {names}{more}"));
    let n = compared.iter().map(|d| d.n).max().unwrap_or(0);
    let tests = compared.iter().step_by(study.metrics.len()).filter(|d| d.p.is_finite()).count();
    let least = if n > 1 && n <= 20 {
        format!("; {n} pairs reach {} at best", p_value(0.5f64.powi(n as i32 - 1)))
    } else {
        String::new()
    };
    let family = if tests > 1 {
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

/// How many seeds it takes to separate the two best arms, and the arms from their references, by the first metric.
pub fn seeds_needed(study: &Study, summary: &Summary) -> Vec<String> {
    let mut out = vec![];
    let metric = &study.metrics[0];
    let measured: Vec<usize> = summary.order.iter().copied().filter(|&a| !study.arms[a].runs.is_empty()).collect();
    if let (None, [best, next, ..]) = (&study.screens, &measured[..]) {
        let d = paired(&study.arms[*best].by_seed(metric, aulc), &study.arms[*next].by_seed(metric, aulc));
        let names = (&study.arms[*best].label, &study.arms[*next].label);
        if d.n > 1 {
            let needed = match d.seeds_needed {
                Some(n) => format!("{n} seeds"),
                None => "more than 10,000 seeds".to_string(),
            };
            out.push(format!(
                "to tell the best, {}, from the next, {} (AULC of {metric}): {needed} for 80 % power at 5 %, at the \
                 difference and spread of these {} pairs",
                names.0, names.1, d.n
            ));
        }
    }
    if summary.rows.iter().any(|r| r.difference.as_ref().is_some_and(|d| d.aulc.n > 1)) {
        out.push(
            "seeds needed: for 80 % power of a paired t test at 5 %, at the difference and spread seen here (a guide \
             for the next sweep, not a test)"
                .to_string(),
        );
    }
    out
}

/// How to read speed-ups.
pub fn speed(study: &Study, view: &View) -> Vec<String> {
    let mut out = vec![];
    if (0..study.arms.len()).any(|a| study.other_reference(a).is_some()) {
        out.push(
            "speed-up: R / r*, with r* the round, interpolated, at which the mean curve first reaches the other \
             arm's mean at its last round R [95 % bootstrap interval over paired seeds]; below the bound (<) where \
             it never does, above it (>) where it starts there"
                .to_string(),
        );
    }
    if view.target.is_some() {
        out.push("rounds: r* of the target given [95 % bootstrap interval over seeds]".to_string());
    }
    out
}

/// What the metrics are.
pub fn definitions(study: &Study) -> Vec<String> {
    study.metrics.iter().filter_map(|m| find(m)).map(|m| format!("{}: {}", m.name, m.definition)).collect()
}
