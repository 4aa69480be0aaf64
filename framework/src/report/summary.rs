//! Means, intervals and paired differences over seeds.

use super::{Along, RunCurve, Study, StudyArm};
use crate::metrics::{aulc, find};
use crate::store::CEILING;
use numerics::stats::compare::{bootstrap_mean_95, seeds_needed, wilcoxon_p};
use numerics::stats::{half_width_95, holm, mean, sd, sign_flip_p};
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

/// A mean difference over the seeds that both arms finished.
#[derive(Clone, Copy, Debug)]
pub struct Paired {
    /// Mean; NaN without pairs.
    pub mean: f64,
    /// Lower end of the 95 % t interval; NaN below two pairs.
    pub lo: f64,
    /// Upper end.
    pub hi: f64,
    /// 95 % bootstrap interval ([`bootstrap_mean_95`]); NaN below two pairs.
    pub boot: [f64; 2],
    /// Number of pairs.
    pub n: usize,
    /// Two-sided p of the exact sign-flip test; NaN below two pairs.
    pub p: f64,
    /// Two-sided p of Wilcoxon's signed-rank test; NaN below two pairs.
    pub p_wilcoxon: f64,
    /// `p` after Holm's correction over all arms compared by the metric; NaN where it was not asked for.
    pub p_holm: f64,
    /// Seeds with which a t test would tell a difference of this mean and spread from zero with 80 % probability; nothing
    /// below two pairs, or where more than 10,000 would be needed.
    pub seeds_needed: Option<usize>,
}

/// The mean curve of an arm at one round.
#[derive(Clone, Copy, Debug)]
pub(super) struct CurvePoint {
    /// Place along the axis of figures: perturbations measured, unless the study asks for another axis.
    pub x: f64,
    pub n_measured: f64,
    pub mean: f64,
    pub half_width: f64,
    /// Seeds with a value at this round.
    pub n: usize,
}

impl Study {
    /// One row for each arm and metric, arms in their order.
    pub fn summarise(&self) -> Vec<ArmSummary> {
        let rows: Vec<(usize, &String)> =
            (0..self.arms.len()).flat_map(|a| self.metrics.iter().map(move |m| (a, m))).collect();
        let mut rows: Vec<ArmSummary> = rows.into_par_iter().map(|(a, m)| self.summarise_arm(a, m)).collect();
        let n_metrics = self.metrics.len();
        type Pick = fn(&mut Difference) -> &mut Paired;
        let kinds: [Pick; 2] = [|d| &mut d.aulc, |d| &mut d.last];
        for metric in 0..n_metrics {
            for pick in kinds {
                let mut family: Vec<&mut Paired> = rows
                    .iter_mut()
                    .skip(metric)
                    .step_by(n_metrics)
                    .filter_map(|r| r.difference.as_mut())
                    .map(pick)
                    .collect();
                let p: Vec<f64> = family.iter().map(|d| d.p).collect();
                family.iter_mut().zip(holm(&p)).for_each(|(d, p)| d.p_holm = p);
            }
        }
        rows
    }

    fn summarise_arm(&self, a: usize, metric: &str) -> ArmSummary {
        let arm = &self.arms[a];
        let numbers =
            |f: fn(&[f64], &[f64]) -> f64| -> Vec<f64> { arm.by_seed(metric, f).into_iter().map(|(_, v)| v).collect() };
        let (last, area) = (numbers(last_value), numbers(aulc));
        let reference = arm.reference.filter(|&r| r != a).and_then(|r| self.arms.get(r));
        ArmSummary {
            label: arm.label.clone(),
            metric: metric.to_string(),
            n_seeds: last.len(),
            final_mean: mean(&last),
            final_half_width: half_width_95(&last),
            n_aulc: area.len(),
            aulc_mean: mean(&area),
            aulc_half_width: half_width_95(&area),
            ceiling: mean(
                &arm.by_seed(&format!("{CEILING} {metric}"), last_value).into_iter().map(|v| v.1).collect::<Vec<_>>(),
            ),
            is_reference: reference.is_none() && self.arms.iter().any(|other| other.reference == Some(a)),
            difference: reference.map(|r| Difference {
                reference: r.label.clone(),
                aulc: paired(&arm.by_seed(metric, aulc), &r.by_seed(metric, aulc)),
                last: paired(&arm.by_seed(metric, last_value), &r.by_seed(metric, last_value)),
            }),
        }
    }

    /// The mean curve of an arm along the axis of the study.
    pub(super) fn curve(&self, arm: usize, metric: &str) -> Vec<CurvePoint> {
        let place = |(t, p): (usize, CurvePoint)| CurvePoint { x: self.place(t as f64, p.n_measured), ..p };
        self.arms[arm].curve(metric).into_iter().enumerate().map(place).collect()
    }

    /// For each arm and round the half width of the 95 % t interval within seeds: what the arms share of a seed (its world,
    /// its split) is taken out, since arms are compared under the same seeds (Cousineau 2005, with the factor of Morey
    /// 2008). Nothing unless two arms or more have values, under the same two seeds or more in every round.
    pub(super) fn within_seeds(&self, metric: &str) -> Option<Vec<Vec<f64>>> {
        let value = |r: &RunCurve, t: usize| r.values.get(metric).and_then(|v| v.get(t)).copied();
        let shown: Vec<usize> = (0..self.arms.len())
            .filter(|&a| {
                self.arms[a].runs.iter().any(|r| r.values.get(metric).is_some_and(|v| v.iter().any(|v| v.is_finite())))
            })
            .collect();
        let first = &self.arms[*shown.first()?];
        let seeds: Vec<u64> = first.runs.iter().map(|r| r.seed).collect();
        let rounds = first.runs.iter().map(|r| r.n_measured.len()).max()?;
        if shown.len() < 2 || seeds.len() < 2 {
            return None;
        }
        let factor = (shown.len() as f64 / (shown.len() as f64 - 1.0)).sqrt();
        let mut out = vec![Vec::with_capacity(rounds); self.arms.len()];
        for t in 0..rounds {
            out.iter_mut().for_each(|halves| halves.push(f64::NAN));
            let mut runs = shown.iter().flat_map(|&a| &self.arms[a].runs);
            if runs.all(|r| value(r, t).is_none_or(f64::is_nan)) {
                continue;
            }
            // Seeds x arms.
            let mut table = Vec::with_capacity(seeds.len());
            for &seed in &seeds {
                let row: Option<Vec<f64>> = shown
                    .iter()
                    .map(|&a| {
                        let arm = &self.arms[a];
                        let same = arm.runs.len() == seeds.len();
                        let run = arm.runs.iter().find(|r| same && r.seed == seed)?;
                        value(run, t).filter(|v| v.is_finite())
                    })
                    .collect();
                table.push(row?);
            }
            for (c, &a) in shown.iter().enumerate() {
                let own: Vec<f64> = table.iter().map(|row| row[c] - mean(row)).collect();
                if let Some(half) = out[a].last_mut() {
                    *half = factor * half_width_95(&own);
                }
            }
        }
        Some(out)
    }

    /// Where a round lies on the axis of the study.
    pub(super) fn place(&self, round: f64, n_measured: f64) -> f64 {
        match self.along {
            Along::Measured => n_measured,
            Along::Round => round,
            Along::Cost => self.cost.money(round, n_measured),
            Along::Months => self.cost.months(round),
        }
    }

    /// Arms from best to worst by the first metric's AULC, then its last value; those without come last.
    pub(super) fn ranking(&self, rows: &[ArmSummary]) -> Vec<usize> {
        let larger = self.metrics.first().is_none_or(|m| larger_is_better(m));
        let better = |a: f64, b: f64| match (a.is_nan(), b.is_nan()) {
            (false, false) if larger => b.total_cmp(&a),
            (false, false) => a.total_cmp(&b),
            (x, y) => x.cmp(&y),
        };
        let mut order: Vec<usize> = (0..self.arms.len()).collect();
        order.sort_by(|&a, &b| {
            let row = |i: usize| rows.get(i * self.metrics.len());
            row(a).zip(row(b)).map_or(Ordering::Equal, |(a, b)| {
                better(a.aulc_mean, b.aulc_mean).then(better(a.final_mean, b.final_mean))
            })
        });
        order
    }
}

impl StudyArm {
    /// A number of each run's curve by seed, those that are finite.
    pub(super) fn by_seed(&self, metric: &str, f: impl Fn(&[f64], &[f64]) -> f64) -> Vec<(u64, f64)> {
        let of = |v: &Vec<f64>, x: &[f64]| f(&x[..x.len().min(v.len())], v);
        self.runs
            .iter()
            .filter_map(|r| r.values.get(metric).map(|v| (r.seed, of(v, &r.n_measured))))
            .filter(|(_, v)| v.is_finite())
            .collect()
    }

    /// The mean curve, round by round; rounds without a value have a NaN mean.
    pub(super) fn curve(&self, metric: &str) -> Vec<CurvePoint> {
        let rounds = self.runs.iter().map(|r| r.n_measured.len()).max().unwrap_or(0);
        (0..rounds)
            .map(|t| {
                let at: Vec<(f64, f64)> = self
                    .runs
                    .iter()
                    .filter_map(|r| {
                        let v = r.values.get(metric).and_then(|v| v.get(t)).copied().unwrap_or(f64::NAN);
                        r.n_measured.get(t).map(|x| (*x, v))
                    })
                    .collect();
                let with: Vec<(f64, f64)> = at.iter().copied().filter(|(_, v)| v.is_finite()).collect();
                let x: Vec<f64> = if with.is_empty() { &at } else { &with }.iter().map(|p| p.0).collect();
                let v: Vec<f64> = with.iter().map(|p| p.1).collect();
                let n_measured = mean(&x);
                CurvePoint { x: n_measured, n_measured, mean: mean(&v), half_width: half_width_95(&v), n: v.len() }
            })
            .collect()
    }
}

/// Whether larger values of a metric are better; so for names that are not in the list.
pub(super) fn larger_is_better(metric: &str) -> bool {
    find(metric).is_none_or(|m| m.larger_is_better)
}

pub(super) fn last_value(_: &[f64], values: &[f64]) -> f64 {
    values.last().copied().unwrap_or(f64::NAN)
}

pub(super) fn paired(arm: &[(u64, f64)], reference: &[(u64, f64)]) -> Paired {
    let d: Vec<f64> =
        arm.iter().filter_map(|(seed, v)| reference.iter().find(|(s, _)| s == seed).map(|(_, r)| v - r)).collect();
    let (m, h) = (mean(&d), half_width_95(&d));
    let p = match d.len() {
        0 | 1 => f64::NAN,
        // The t test, taken above 20 pairs, has no answer for differences that are all zero.
        _ if d.iter().all(|v| *v == 0.0) => 1.0,
        _ => sign_flip_p(&d),
    };
    let several = d.len() > 1;
    Paired {
        mean: m,
        lo: m - h,
        hi: m + h,
        boot: bootstrap_mean_95(&d),
        n: d.len(),
        p,
        p_wilcoxon: if several { wilcoxon_p(&d) } else { f64::NAN },
        p_holm: f64::NAN,
        seeds_needed: if several { seeds_needed(m, sd(&d)) } else { None },
    }
}
