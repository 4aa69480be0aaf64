//! Each arm judged by each metric, and the arms from best to worst.

use super::paired::{Paired, paired};
use super::study::{Study, larger_is_better, last_value};
use crate::metric::CEILING;
use crate::metrics::aulc;
use numerics::stats::{half_width_95, holm, mean};
use rayon::prelude::*;
use std::cmp::Ordering;

/// One arm judged by one metric.
#[derive(Clone, Debug)]
pub struct ArmSummary {
    /// The arm's label.
    pub label: String,
    /// The metric's name.
    pub metric: String,
    /// Seeds whose last round has a value.
    pub n_seeds: usize,
    /// Mean over seeds of the last round's value; NaN without any.
    pub final_mean: f64,
    /// Half width of its 95 % t interval; NaN below two seeds.
    pub final_half_width: f64,
    /// Seeds with an area under the learning curve (a missing value leaves it undefined).
    pub n_aulc: usize,
    /// Mean over seeds of the area under the learning curve; NaN without any.
    pub aulc_mean: f64,
    /// Half width of its 95 % t interval; NaN below two seeds.
    pub aulc_half_width: f64,
    /// What the noise of the readouts allows after the last round, mean over seeds; NaN where it is not known.
    pub ceiling: f64,
    /// Whether the arm is what others, or itself, are compared with and has no other reference.
    pub is_reference: bool,
    /// The comparison with the arm's reference, if it has another arm as one.
    pub difference: Option<Difference>,
}

/// An arm minus its reference.
#[derive(Clone, Debug)]
pub struct Difference {
    /// Label of the reference arm.
    pub reference: String,
    /// Of the areas under the learning curve.
    pub aulc: Paired,
    /// Of the last round's values.
    pub last: Paired,
}

/// All arms judged by all metrics of a study.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Arm by arm, for each the metrics in their order.
    pub rows: Vec<ArmSummary>,
    n_metrics: usize,
    /// The arms from best to worst by the first metric's AULC, then its last value; those without values come last.
    pub order: Vec<usize>,
}

impl Summary {
    /// Judges the arms of a study.
    pub fn of(study: &Study) -> Self {
        let rows: Vec<(usize, &String)> =
            (0..study.arms.len()).flat_map(|a| study.metrics.iter().map(move |m| (a, m))).collect();
        let rows = rows.into_par_iter().map(|(a, m)| summarise(study, a, m)).collect();
        let mut out = Self { rows, n_metrics: study.metrics.len(), order: vec![] };
        out.correct();
        out.order = out.ranked(study);
        out
    }

    /// An arm judged by the metric of this index.
    pub fn row(&self, arm: usize, metric: usize) -> &ArmSummary {
        &self.rows[arm * self.n_metrics + metric]
    }

    /// All arms in their order, judged by the metric of this index.
    pub fn by_metric(&self, metric: usize) -> impl Iterator<Item = &ArmSummary> {
        self.rows.iter().skip(metric).step_by(self.n_metrics.max(1))
    }

    /// The least and the largest ceiling of a metric over the arms, where any is known.
    pub fn ceilings(&self, metric: usize) -> Option<(f64, f64)> {
        let known = self.by_metric(metric).map(|r| r.ceiling).filter(|c| c.is_finite());
        known.fold(None, |range, c| Some(range.map_or((c, c), |(lo, hi): (f64, f64)| (lo.min(c), hi.max(c)))))
    }

    /// Place of an arm in [`Summary::order`], from 1.
    pub fn rank(&self, arm: usize) -> usize {
        self.order.iter().position(|&o| o == arm).unwrap_or(0) + 1
    }

    /// Holm's correction over the comparisons of each metric.
    fn correct(&mut self) {
        type Pick = fn(&mut Difference) -> &mut Paired;
        let kinds: [Pick; 2] = [|d| &mut d.aulc, |d| &mut d.last];
        for metric in 0..self.n_metrics {
            for pick in kinds {
                let of_metric = self.rows.iter_mut().skip(metric).step_by(self.n_metrics);
                let mut family: Vec<&mut Paired> = of_metric.filter_map(|r| r.difference.as_mut()).map(pick).collect();
                let p: Vec<f64> = family.iter().map(|d| d.p).collect();
                family.iter_mut().zip(holm(&p)).for_each(|(d, p)| d.p_holm = p);
            }
        }
    }

    fn ranked(&self, study: &Study) -> Vec<usize> {
        let larger = study.metrics.first().is_none_or(|m| larger_is_better(m));
        let better = |a: f64, b: f64| match (a.is_nan(), b.is_nan()) {
            (false, false) if larger => b.total_cmp(&a),
            (false, false) => a.total_cmp(&b),
            (x, y) => x.cmp(&y),
        };
        let mut order: Vec<usize> = (0..study.arms.len()).collect();
        order.sort_by(|&a, &b| {
            let row = |i: usize| self.rows.get(i * self.n_metrics);
            row(a).zip(row(b)).map_or(Ordering::Equal, |(a, b)| {
                better(a.aulc_mean, b.aulc_mean).then(better(a.final_mean, b.final_mean))
            })
        });
        order
    }
}

fn summarise(study: &Study, a: usize, metric: &str) -> ArmSummary {
    let arm = &study.arms[a];
    let numbers =
        |f: fn(&[f64], &[f64]) -> f64| -> Vec<f64> { arm.by_seed(metric, f).into_iter().map(|(_, v)| v).collect() };
    let (last, area) = (numbers(last_value), numbers(aulc));
    let reference = study.other_reference(a).and_then(|r| study.arms.get(r));
    let ceiling = arm.by_seed(&format!("{CEILING} {metric}"), last_value).into_iter().map(|v| v.1);
    ArmSummary {
        label: arm.label.clone(),
        metric: metric.to_string(),
        n_seeds: last.len(),
        final_mean: mean(&last),
        final_half_width: half_width_95(&last),
        n_aulc: area.len(),
        aulc_mean: mean(&area),
        aulc_half_width: half_width_95(&area),
        ceiling: mean(&ceiling.collect::<Vec<_>>()),
        is_reference: reference.is_none() && study.is_reference(a),
        difference: reference.map(|r| Difference {
            reference: r.label.clone(),
            aulc: paired(&arm.by_seed(metric, aulc), &r.by_seed(metric, aulc)),
            last: paired(&arm.by_seed(metric, last_value), &r.by_seed(metric, last_value)),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::fixtures::tiny;

    #[test]
    fn statistics_by_hand() {
        let study = tiny([
            &[(1, 4.0), (2, 6.0), (3, 8.0)],
            // Seed 9 has no partner; the pairs differ by -2, -1, -3.
            &[(3, 5.0), (1, 2.0), (2, 5.0), (9, 40.0)],
            &[(1, 100.0)],
        ]);
        let summary = Summary::of(&study);
        let rows = &summary.rows;
        let (control, good, bad) = (&rows[0], &rows[1], &rows[2]);
        assert!(control.is_reference && control.difference.is_none());
        assert_eq!((control.n_seeds, control.final_mean, control.aulc_mean), (3, 6.0, 3.0));
        assert!((control.final_half_width - half_width_95(&[4.0, 6.0, 8.0])).abs() < 1e-12);
        // t(.975, 2) = 4.302653, s = 2.
        assert!((control.final_half_width - 4.302653 * 2.0 / 3f64.sqrt()).abs() < 1e-5);

        assert_eq!((good.n_seeds, good.final_mean), (4, mean(&[5.0, 2.0, 5.0, 40.0])));
        let d = good.difference.as_ref().unwrap();
        assert_eq!((d.reference.as_str(), d.last.n, d.last.mean), ("control", 3, -2.0));
        assert!((d.last.hi - d.last.mean - 4.302653 / 3f64.sqrt()).abs() < 1e-5);
        // Of the sign patterns of (2, 1, 3) two of eight reach |sum| = 6.
        assert_eq!((d.last.p, d.aulc.p, d.aulc.mean), (0.25, 0.25, -1.0));

        let d = bad.difference.as_ref().unwrap();
        assert_eq!((bad.n_seeds, d.last.n, d.last.mean), (1, 1, 96.0));
        assert!(bad.final_half_width.is_nan() && d.last.lo.is_nan() && d.last.p.is_nan());

        // A smaller mse is better: control 3, good 6.5, bad 50.
        assert_eq!(summary.order, [0, 1, 2]);
        let mut other = study.clone();
        other.metrics = vec!["pearson".into()];
        other.arms.iter_mut().flat_map(|a| &mut a.runs).for_each(|r| {
            let v = r.values.remove("mse").unwrap();
            r.values.insert("pearson".into(), v);
        });
        assert_eq!(Summary::of(&other).order, [2, 1, 0]);
    }

    #[test]
    fn equal_arms_differ_by_nothing_however_many_seeds() {
        let v: Vec<(u64, f64)> = (0..30).map(|s| (s, s as f64)).collect();
        let rows = Summary::of(&tiny([&v, &v, &v])).rows;
        let d = rows[1].difference.as_ref().unwrap().last;
        assert_eq!((d.mean, d.lo, d.hi, d.p), (0.0, 0.0, 0.0, 1.0));
    }

    #[test]
    fn a_missing_value_leaves_the_area_undefined_and_ranks_last() {
        let mut study = tiny([&[(1, 4.0)], &[(1, 2.0)], &[(1, 3.0)]]);
        study.arms[1].runs[0].values.get_mut("mse").unwrap()[0] = f64::NAN;
        let summary = Summary::of(&study);
        let rows = &summary.rows;
        assert!(rows[1].aulc_mean.is_nan() && rows[1].final_mean == 2.0 && rows[1].n_aulc == 0);
        assert_eq!(summary.order, [2, 0, 1]);
    }
}
