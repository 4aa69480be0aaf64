//! Columns of the table of arms, the same for the terminal and for Markdown.

use super::format::{Digits, NONE, difference, p_value, value};
use crate::report::model::speedup::{Goal, reported_metrics, speedup};
use crate::report::model::study::{Study, larger_is_better};
use crate::report::model::summary::{ArmSummary, Summary};
use crate::report::model::view::View;

/// Columns under a common title, row by row as arms are listed.
pub struct Columns {
    pub title: String,
    pub heads: Vec<&'static str>,
    pub rows: Vec<Vec<String>>,
}

/// The cells of every metric for the arms listed; unless `full`, only the first metric is compared.
pub fn by_metric(study: &Study, summary: &Summary, listed: &[usize], full: bool) -> Vec<Columns> {
    (0..study.metrics.len())
        .map(|m| {
            let of: Vec<&ArmSummary> = listed.iter().map(|a| summary.row(*a, m)).collect();
            let column = |f: fn(&ArmSummary) -> [f64; 2]| Digits::of(of.iter().map(|r| f(r)));
            let last = column(|r| [r.final_mean, r.final_half_width]);
            let area = column(|r| [r.aulc_mean, r.aulc_half_width]);
            let gap =
                column(|r| r.difference.as_ref().map_or([f64::NAN; 2], |d| [d.aulc.mean, d.aulc.hi - d.aulc.mean]));
            let compared = (full || m == 0) && of.iter().any(|r| r.difference.is_some());
            let cells = |r: &&ArmSummary| {
                let mut cells = vec![value(r.final_mean, r.final_half_width, r.n_seeds, last), area.show(r.aulc_mean)];
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
            let better = if larger_is_better(&study.metrics[m]) { "larger" } else { "smaller" };
            Columns {
                title: format!("{} ({better} is better)", study.metrics[m]),
                heads: heads.to_vec(),
                rows: of.iter().map(cells).collect(),
            }
        })
        .collect()
}

/// Speed-up over each arm's reference, and rounds to the target.
pub fn speed(study: &Study, view: &View, listed: &[usize]) -> Vec<Columns> {
    let mut out = vec![];
    for metric in reported_metrics(study, view) {
        let mut column = |title: String, head: &'static str, cells: Vec<Option<String>>| {
            if cells.iter().any(Option::is_some) {
                let rows = cells.into_iter().map(|c| vec![c.unwrap_or_else(|| NONE.to_string())]).collect();
                out.push(Columns { title, heads: vec![head], rows });
            }
        };
        let ratio = |&a: &usize| {
            let over = study.other_reference(a)?;
            Some(speedup(study, metric, a, Goal::LastOf(over))?.words())
        };
        let ratios = listed.iter().map(ratio);
        column(format!("speed-up over reference ({metric})"), "R / r*", ratios.collect());
        if let Some(target) = view.target {
            let rounds =
                listed.iter().map(|a| speedup(study, metric, *a, Goal::Value(target)).map(|s| s.reach_words()));
            column(format!("{metric} at {target}"), "rounds", rounds.collect());
        }
    }
    out
}
