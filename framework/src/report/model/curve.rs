//! Mean learning curves over seeds.

use super::study::{RunCurve, Study, StudyArm};
use super::view::View;
use numerics::stats::{half_width_95, mean};

/// The mean curve of an arm at one round.
#[derive(Clone, Copy, Debug)]
pub struct CurvePoint {
    /// Place along the axis of figures: perturbations measured, unless the view asks for another axis.
    pub x: f64,
    /// Perturbations measured, mean over those seeds.
    pub n_measured: f64,
    /// Mean over seeds; NaN without any.
    pub mean: f64,
    /// Half width of its 95 % t interval; NaN below two seeds.
    pub half_width: f64,
    /// Seeds with a value at this round.
    pub n: usize,
}

/// The mean curve, round by round; rounds without a value have a NaN mean.
pub fn mean_curve(arm: &StudyArm, metric: &str) -> Vec<CurvePoint> {
    let rounds = arm.runs.iter().map(|r| r.n_measured.len()).max().unwrap_or(0);
    (0..rounds)
        .map(|t| {
            let at: Vec<(f64, f64)> = arm
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

/// The mean curve of an arm along the axis of figures.
pub fn curve_along(view: &View, arm: &StudyArm, metric: &str) -> Vec<CurvePoint> {
    let place = |(t, p): (usize, CurvePoint)| CurvePoint { x: view.place(t as f64, p.n_measured), ..p };
    mean_curve(arm, metric).into_iter().enumerate().map(place).collect()
}

/// For each arm and round, the half width of the 95 % t interval within seeds: what the arms share of a seed (its world,
/// its split) is taken out, since arms are compared under the same seeds (Cousineau 2005, with the factor of Morey
/// 2008). Nothing unless two arms or more have values, under the same two seeds or more in every round.
pub fn within_seeds(study: &Study, metric: &str) -> Option<Vec<Vec<f64>>> {
    let value = |r: &RunCurve, t: usize| r.values.get(metric).and_then(|v| v.get(t)).copied();
    let shown: Vec<usize> = (0..study.arms.len())
        .filter(|&a| {
            study.arms[a].runs.iter().any(|r| r.values.get(metric).is_some_and(|v| v.iter().any(|v| v.is_finite())))
        })
        .collect();
    let first = &study.arms[*shown.first()?];
    let seeds: Vec<u64> = first.runs.iter().map(|r| r.seed).collect();
    let rounds = first.runs.iter().map(|r| r.n_measured.len()).max()?;
    if shown.len() < 2 || seeds.len() < 2 {
        return None;
    }
    let factor = (shown.len() as f64 / (shown.len() as f64 - 1.0)).sqrt();
    let mut out = vec![Vec::with_capacity(rounds); study.arms.len()];
    for t in 0..rounds {
        out.iter_mut().for_each(|halves| halves.push(f64::NAN));
        let mut runs = shown.iter().flat_map(|&a| &study.arms[a].runs);
        if runs.all(|r| value(r, t).is_none_or(f64::is_nan)) {
            continue;
        }
        // Seeds x arms.
        let mut table = Vec::with_capacity(seeds.len());
        for &seed in &seeds {
            let row: Option<Vec<f64>> = shown
                .iter()
                .map(|&a| {
                    let arm = &study.arms[a];
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::fixtures::{study, tiny, words};
    use crate::report::model::view::Along;

    #[test]
    fn a_round_without_values_has_no_mean() {
        let mut study = tiny([&[(1, 4.0)], &[(1, 2.0)], &[(1, 3.0)]]);
        study.arms[1].runs[0].values.get_mut("mse").unwrap()[0] = f64::NAN;
        let curve = mean_curve(&study.arms[1], "mse");
        assert_eq!((curve[0].n, curve[1].n, curve[1].mean), (0, 1, 2.0));
        assert!(curve[0].mean.is_nan() && curve[0].n_measured == 10.0);
    }

    #[test]
    fn bands_within_seeds_leave_out_what_arms_share() {
        let arm = |values: [[f64; 2]; 3]| StudyArm {
            runs: values
                .iter()
                .enumerate()
                .map(|(seed, v)| RunCurve {
                    seed: seed as u64,
                    n_measured: vec![1.0, 2.0],
                    values: [("mse".to_string(), v.to_vec())].into(),
                })
                .collect(),
            ..StudyArm::default()
        };
        let of =
            |arms: Vec<StudyArm>| within_seeds(&Study { metrics: vec!["mse".into()], arms, ..Study::default() }, "mse");
        // Worlds far apart; the arms differ by 1 in every one of them, then by 1, 2 and 3.
        let a = arm([[10.0, 10.0], [20.0, 20.0], [30.0, 30.0]]);
        let b = arm([[11.0, 11.0], [21.0, 22.0], [31.0, 33.0]]);
        let found = of(vec![a.clone(), b.clone()]).unwrap();
        assert!(found[0][0].abs() < 1e-12 && found[1][0].abs() < 1e-12);
        // Deviations from the mean of two arms are half the difference; times the root of 2.
        let want = 2f64.sqrt() * half_width_95(&[0.5, 1.0, 1.5]);
        assert!(found.iter().all(|h| (h[1] - want).abs() < 1e-12), "{found:?} {want}");
        assert!(of(vec![a.clone()]).is_none(), "one arm is compared with nothing");
        let mut other = b;
        other.runs[0].seed = 9;
        assert!(of(vec![a, other]).is_none(), "not the same seeds");
    }

    #[test]
    fn the_axis_moves_curves() {
        let s = study(&words("random ucb"), Some(0), 3, 4);
        let cost = crate::scenario::Cost { per_perturbation: 2.0, per_round: 100.0, months_per_round: 0.5 };
        let x = |along| -> Vec<f64> {
            let view = View { along, cost, ..View::default() };
            curve_along(&view, &s.arms[1], "mse").iter().map(|p| p.x).collect()
        };
        assert_eq!(x(Along::Measured), [96.0, 192.0, 288.0, 384.0]);
        assert_eq!(x(Along::Round), [0.0, 1.0, 2.0, 3.0]);
        assert_eq!(x(Along::Months), [0.0, 0.5, 1.0, 1.5]);
        assert_eq!(x(Along::Cost), [192.0, 484.0, 776.0, 1068.0]);
    }
}
