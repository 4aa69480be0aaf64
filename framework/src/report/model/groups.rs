//! What a choice (a strategy, a model) changes, averaged over everything else on the grid.
//!
//! Arms that agree on the axes asked for form a group. An arm's change is its value minus that of its reference under the
//! same seed, over the mean of the reference, so that cells of different scale count alike; a seed's change is the mean
//! over the cells of the group, and intervals and tests are over seeds. Without references the groups are single arms
//! and show their values.

use super::paired::{Paired, paired};
use super::study::{Study, StudyArm, larger_is_better, last_value};
use crate::metrics::aulc;
use numerics::stats::{half_width_95, holm, mean};

/// A group of arms judged by one metric.
#[derive(Clone, Debug)]
pub struct GroupSummary {
    /// The group's values on the axes asked for, joined by " / ".
    pub label: String,
    /// Its arms.
    pub arms: Vec<usize>,
    /// The metric.
    pub metric: String,
    /// Mean over cells and seeds of the last round's value.
    pub final_mean: f64,
    /// Half width of its 95 % t interval over seeds.
    pub final_half_width: f64,
    /// Change of the last round's value relative to the reference, 0.1 for ten per cent more; absent where no arm of
    /// the group has another arm as reference.
    pub last: Option<Paired>,
    /// The same of the area under the learning curve.
    pub aulc: Option<Paired>,
    /// p of `last` after Holm's correction over the groups.
    pub p_holm: f64,
    /// Cells with a change.
    pub n_cells: usize,
}

impl GroupSummary {
    /// Sorts groups from best to worst: by change, references at no change, those without values last.
    pub fn place(&self) -> f64 {
        let sign = if larger_is_better(&self.metric) { -1.0 } else { 1.0 };
        if self.final_mean.is_nan() { f64::INFINITY } else { sign * self.last.map_or(0.0, |p| p.mean) }
    }
}

/// Arms grouped by the axes of `by`, in the order in which groups first appear; all arms apart where it is empty.
pub fn groups(study: &Study, by: &[String]) -> Vec<(String, Vec<usize>)> {
    let at: Vec<usize> = by.iter().filter_map(|b| study.axes.iter().position(|a| a == b)).collect();
    let mut groups: Vec<(String, Vec<usize>)> = vec![];
    for (i, arm) in study.arms.iter().enumerate() {
        let label = match at.is_empty() {
            true => arm.label.clone(),
            false => at.iter().filter_map(|&x| arm.cell.get(x)).map(String::as_str).collect::<Vec<_>>().join(" / "),
        };
        match groups.iter_mut().find(|g| g.0 == label) {
            Some(g) => g.1.push(i),
            None => groups.push((label, vec![i])),
        }
    }
    groups
}

/// One row for each metric and group.
pub fn group_summaries(study: &Study, by: &[String]) -> Vec<GroupSummary> {
    let groups = groups(study, by);
    let mut out = vec![];
    for metric in &study.metrics {
        let mut rows: Vec<GroupSummary> = groups.iter().map(|g| summarise(study, &g.0, &g.1, metric)).collect();
        let p: Vec<f64> = rows.iter().map(|r| r.last.map_or(f64::NAN, |l| l.p)).collect();
        rows.iter_mut().zip(holm(&p)).for_each(|(r, p)| r.p_holm = p);
        out.extend(rows);
    }
    out
}

fn summarise(study: &Study, label: &str, arms: &[usize], metric: &str) -> GroupSummary {
    let values: Vec<Vec<(u64, f64)>> = arms.iter().map(|&a| study.arms[a].by_seed(metric, last_value)).collect();
    let finals: Vec<f64> = by_seed_mean(&values).into_iter().map(|v| v.1).collect();
    let change = |f: fn(&[f64], &[f64]) -> f64| {
        let cells: Vec<Vec<(u64, f64)>> = arms
            .iter()
            .filter_map(|&a| {
                let reference = study.other_reference(a)?;
                relative(&study.arms[a], &study.arms[reference], metric, f)
            })
            .collect();
        let seeds = by_seed_mean(&cells);
        let zero: Vec<(u64, f64)> = seeds.iter().map(|s| (s.0, 0.0)).collect();
        (cells.len(), (!seeds.is_empty()).then(|| paired(&seeds, &zero)))
    };
    let (n_cells, last) = change(last_value);
    GroupSummary {
        label: label.to_string(),
        arms: arms.to_vec(),
        metric: metric.to_string(),
        final_mean: mean(&finals),
        final_half_width: half_width_95(&finals),
        last,
        aulc: change(aulc).1,
        p_holm: f64::NAN,
        n_cells,
    }
}

/// For each seed that all cells have: the mean over cells.
fn by_seed_mean(cells: &[Vec<(u64, f64)>]) -> Vec<(u64, f64)> {
    let Some(first) = cells.first() else { return vec![] };
    first
        .iter()
        .filter_map(|&(seed, _)| {
            let of: Option<Vec<f64>> = cells.iter().map(|c| c.iter().find(|v| v.0 == seed).map(|v| v.1)).collect();
            Some((seed, mean(&of?)))
        })
        .collect()
}

/// (arm - reference) / |mean of the reference| by seed; nothing where the reference is 0 on the mean.
fn relative(
    arm: &StudyArm,
    reference: &StudyArm,
    metric: &str,
    f: fn(&[f64], &[f64]) -> f64,
) -> Option<Vec<(u64, f64)>> {
    let (own, other) = (arm.by_seed(metric, f), reference.by_seed(metric, f));
    let scale = mean(&other.iter().map(|v| v.1).collect::<Vec<_>>()).abs();
    if scale.is_nan() || scale <= 0.0 {
        return None;
    }
    let pairs = own.iter().filter_map(|(s, v)| other.iter().find(|o| o.0 == *s).map(|o| (*s, (v - o.1) / scale)));
    Some(pairs.collect::<Vec<_>>()).filter(|p| !p.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::fixtures::two_rules_in_two_assays;

    #[test]
    fn groups_average_changes_over_cells_by_seed() {
        let study = two_rules_in_two_assays();
        let rows = group_summaries(&study, &["rule".to_string()]);
        let of = |label: &str, metric: &str| rows.iter().find(|r| r.label == label && r.metric == metric).unwrap();
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} for {b}");
        let hits = of("ucb", "hit_ratio");
        // Cell a: +0.5 and 0 of a mean of 0.2; cell b: +0.2 and +0.4 of 0.5. By seed 0.35 and 0.2.
        near(hits.last.unwrap().mean, 0.275);
        near(hits.last.unwrap().hi - 0.275, half_width_95(&[0.35, 0.2]));
        near(hits.last.unwrap().p, 0.5);
        near(hits.p_holm, 0.5);
        near(hits.final_mean, mean(&[0.4, 0.5]));
        // Cell a: 0 and -1 of 5; cell b: -20 and -10 of 100.
        near(of("ucb", "mse").last.unwrap().mean, mean(&[-0.1, -0.15]));
        assert!(of("random", "mse").last.is_none() && of("random", "mse").n_cells == 0);
        assert_eq!(of("ucb", "mse").n_cells, 2);
    }
}
