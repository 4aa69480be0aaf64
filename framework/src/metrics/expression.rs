//! Metrics of predicted expression profiles: per test perturbation over its outputs, then averaged over perturbations.
//! Readouts and predictions are differences from control. Sources: Huang et al. 2023 (IterPert, its released code) for
//! focal, top 20 and opposite direction; Roohani et al. 2025 (Virtual Cell Challenge) for discrimination. Cost: one pass
//! over perturbations x outputs; discrimination one matrix product of test x outputs x test.

use crate::inventory;
use crate::metric::{Formula, Metric, Need, Scored};
use ndarray::{Array1, Array2, ArrayView1, Axis, s};
use numerics::stats;

/// What a metric over all outputs needs, and one over the clearest.
const PROFILES: &[Need] = &[Need::TestTruth, Need::TestPrediction, Need::Profiles];
const CLEAREST: &[Need] = &[Need::TestTruth, Need::TestPrediction, Need::Profiles, Need::ClearestOutputs];

inventory::submit! {
    Metric {
        name: "focal",
        definition: "mean over test perturbations of the mean over all outputs of (prediction - truth)^4 (the GEARS training loss of IterPert's figures, on profiles averaged over cells); needs profiles",
        larger_is_better: false,
        needs: PROFILES,
        formula: Formula::AfterRound(|s| over_all(s, |p, t| power(p, t, 4))),
        yardsticks: None,
    }
}

inventory::submit! {
    Metric {
        name: "focal_top20",
        definition: "focal over the 20 outputs of each perturbation that differ most clearly from control: by the screen's |t| score where it gives one (outputs that it leaves out never count), else by |truth|",
        larger_is_better: false,
        needs: CLEAREST,
        formula: Formula::AfterRound(|s| over_clearest(s, |p, t| power(p, t, 4))),
        yardsticks: None,
    }
}

inventory::submit! {
    Metric {
        name: "mse_top20",
        definition: "mean over test perturbations of the mean of (prediction - truth)^2 over the 20 clearest outputs of each, chosen as for focal_top20",
        larger_is_better: false,
        needs: CLEAREST,
        formula: Formula::AfterRound(|s| over_clearest(s, |p, t| power(p, t, 2))),
        yardsticks: None,
    }
}

inventory::submit! {
    Metric {
        name: "pearson_delta",
        definition: "Pearson correlation over outputs of predicted and true difference from control, mean over test perturbations; 0 where one side is constant",
        larger_is_better: true,
        needs: PROFILES,
        formula: Formula::AfterRound(|s| over_all(s, |p, t| correlation(p, t, None))),
        yardsticks: None,
    }
}

inventory::submit! {
    Metric {
        name: "pearson_delta_top20",
        definition: "pearson_delta over the 20 clearest outputs of each perturbation, chosen as for focal_top20",
        larger_is_better: true,
        needs: CLEAREST,
        formula: Formula::AfterRound(|s| over_clearest(s, |p, t| correlation(p, t, None))),
        yardsticks: None,
    }
}

inventory::submit! {
    Metric {
        name: "pearson_centred",
        definition: "pearson_delta after subtracting from both sides the mean of the profiles measured so far, which removes the response that all perturbations share; 0 for a model that predicts that mean",
        larger_is_better: true,
        needs: PROFILES,
        formula: Formula::AfterRound(pearson_centred),
        yardsticks: None,
    }
}

inventory::submit! {
    Metric {
        name: "opposite_direction",
        definition: "share of the 20 clearest outputs (chosen as for focal_top20) whose predicted and true difference from control have opposite signs, both not zero; mean over test perturbations",
        larger_is_better: false,
        needs: CLEAREST,
        formula: Formula::AfterRound(|s| over_clearest(s, opposite)),
        yardsticks: None,
    }
}

inventory::submit! {
    Metric {
        name: "discrimination",
        definition: "share of the other test perturbations whose true profile is farther (Euclidean) from the prediction than its own true profile, ties count half, mean over test perturbations; 1 is best and 0.5 chance, as in the Virtual Cell Challenge's perturbation discrimination score, which counts itself too, takes L1 and leaves out the target gene",
        larger_is_better: true,
        needs: PROFILES,
        formula: Formula::AfterRound(discrimination),
        yardsticks: None,
    }
}

inventory::submit! {
    Metric {
        name: "e_distance",
        definition: "energy distance, squared Euclidean base and all pairs of cells counted, between the cells of a test perturbation and control cells shifted by the predicted difference, mean over test perturbations; exactly 2 |prediction - truth|^2, so 2 x outputs x mse",
        larger_is_better: false,
        needs: PROFILES,
        formula: Formula::AfterRound(|s| over_all(s, |p, t| 2.0 * power(p, t, 2) * t.len() as f64)),
        yardsticks: None,
    }
}

/// Outputs of the "top" metrics.
const TOP: usize = 20;

/// For each test perturbation its [`TOP`] outputs that differ most clearly from control, clearest first, ties to the
/// lower output: by `clarity` where the screen gives one (minus infinity and NaN: never), else by |true value|.
pub(super) fn top_outputs(truth: &Array2<f64>, clarity: Option<&Array2<f64>>) -> Vec<Vec<usize>> {
    let by = |row: usize| -> Vec<f64> {
        match clarity {
            Some(c) => c.row(row).to_vec(),
            None => truth.row(row).iter().map(|v| v.abs()).collect(),
        }
    };
    (0..truth.nrows())
        .map(|row| {
            let score = by(row);
            let mut order: Vec<usize> = (0..score.len()).filter(|&v| score[v] > f64::NEG_INFINITY).collect();
            order.sort_by(|&a, &b| score[b].total_cmp(&score[a]).then(a.cmp(&b)));
            order.truncate(TOP);
            order
        })
        .collect()
}

/// Mean of a number over test perturbations that have one.
fn mean_of(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let values: Vec<f64> = values.flatten().collect();
    (!values.is_empty()).then(|| stats::mean(&values))
}

/// Mean over test perturbations of a number of (prediction, truth) over all outputs.
fn over_all(s: &Scored, f: impl Fn(&[f64], &[f64]) -> f64) -> Option<f64> {
    let (t, p) = (s.test_truth?, s.test_posterior?);
    mean_of(t.outer_iter().zip(p.mean.outer_iter()).map(|(t, m)| Some(f(&m.to_vec(), &t.to_vec()))))
}

/// The same over the clearest outputs of each perturbation; those without any do not count.
fn over_clearest(s: &Scored, f: impl Fn(&[f64], &[f64]) -> f64) -> Option<f64> {
    let (t, p) = (s.test_truth?, s.test_posterior?);
    let clearest = s.clearest?;
    let pick = |row: ArrayView1<f64>, of: &[usize]| -> Vec<f64> { of.iter().map(|&v| row[v]).collect() };
    mean_of(
        t.outer_iter()
            .zip(p.mean.outer_iter())
            .zip(clearest)
            .map(|((t, m), of)| (!of.is_empty()).then(|| f(&pick(m, of), &pick(t, of)))),
    )
}

/// Mean of a power of the errors.
fn power(p: &[f64], t: &[f64], n: i32) -> f64 {
    p.iter().zip(t).map(|(p, t)| (p - t).powi(n)).sum::<f64>() / t.len() as f64
}

/// Pearson correlation after subtracting `centre` from both sides; 0 where one side is constant. What is left of a side
/// that equals the centre up to rounding is no prediction and counts as constant.
fn correlation(p: &[f64], t: &[f64], centre: Option<&Array1<f64>>) -> f64 {
    let Some(centre) = centre else { return stats::pearson(p, t) };
    let less = |x: &[f64]| -> Vec<f64> {
        let d: Vec<f64> = x.iter().zip(centre).map(|(v, c)| v - c).collect();
        let size = |v: &[f64]| v.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
        if size(&d) <= 1e-9 * size(x) { vec![0.0; d.len()] } else { d }
    };
    stats::pearson(&less(p), &less(t))
}

/// Share of outputs with the other sign.
fn opposite(p: &[f64], t: &[f64]) -> f64 {
    p.iter().zip(t).filter(|(p, t)| *p * *t < 0.0).count() as f64 / t.len() as f64
}

fn pearson_centred(s: &Scored) -> Option<f64> {
    if s.observed.is_empty() {
        return None;
    }
    let shared = s.observed.mean();
    over_all(s, |p, t| correlation(p, t, Some(&shared)))
}

fn discrimination(s: &Scored) -> Option<f64> {
    let (t, p) = (s.test_truth?, s.test_posterior?);
    let n = t.nrows();
    if n < 2 {
        return None;
    }
    let norms: Vec<f64> = t.outer_iter().map(|r| r.dot(&r)).collect();
    // Rows in tiles, so that a large test set needs no square matrix.
    const TILE: usize = 256;
    let mut total = 0.0;
    for from in (0..n).step_by(TILE) {
        let to = (from + TILE).min(n);
        let dots = p.mean.slice(s![from..to, ..]).dot(&t.t());
        for (row, dots) in dots.axis_iter(Axis(0)).enumerate() {
            // Squared distance less the prediction's own norm, which all share.
            let far = |other: usize| norms[other] - 2.0 * dots[other];
            let own = far(from + row);
            let mut farther = 0.0;
            for other in (0..n).filter(|&o| o != from + row) {
                // Equal up to rounding is a tie.
                let slack = 1e-12 * (norms[other] + norms[from + row]);
                let gap = far(other) - own;
                farther += if gap > slack {
                    1.0
                } else if gap >= -slack {
                    0.5
                } else {
                    0.0
                };
            }
            total += farther / (n - 1) as f64;
        }
    }
    Some(total / n as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Observed, Posterior, Target};
    use crate::metric::find;
    use ndarray::array;

    fn value(
        name: &str,
        t: &Array2<f64>,
        p: &Array2<f64>,
        observed: &Observed,
        top: Option<&[Vec<usize>]>,
    ) -> Option<f64> {
        let p = Posterior { mean: p.clone(), sd: None };
        let nothing = Scored::new(observed, Target::default());
        let s = Scored { test_truth: Some(t), test_posterior: Some(&p), clearest: top, ..nothing };
        find(name).unwrap().value(&s)
    }

    #[track_caller]
    fn near(a: Option<f64>, b: f64) {
        assert!(a.is_some_and(|a| (a - b).abs() < 1e-12), "{a:?} {b}");
    }

    #[test]
    fn by_hand() {
        let t = array![[1.0, -2.0, 0.0], [0.0, 1.0, 3.0]];
        let p = array![[2.0, 1.0, 0.0], [0.0, -1.0, 4.0]];
        let mut observed = Observed::empty(3);
        observed.ids = vec![0, 1];
        observed.y = array![[1.0, 1.0, 1.0], [0.0, 0.0, 3.0]];
        let top = [vec![1, 0], vec![2]];
        let get = |name: &str| value(name, &t, &p, &observed, Some(&top));
        // Errors (1, 3, 0) and (0, -2, 1).
        near(get("focal"), (82.0 / 3.0 + 17.0 / 3.0) / 2.0);
        near(get("focal_top20"), (82.0 / 2.0 + 1.0) / 2.0);
        near(get("mse"), 15.0 / 6.0);
        near(get("mse_top20"), (10.0 / 2.0 + 1.0) / 2.0);
        near(get("e_distance"), (2.0 * 10.0 + 2.0 * 5.0) / 2.0);
        // Of two outputs one has the other sign; of one, none.
        near(get("opposite_direction"), 0.25);
        let delta =
            [stats::pearson(&[2.0, 1.0, 0.0], &[1.0, -2.0, 0.0]), stats::pearson(&[0.0, -1.0, 4.0], &[0.0, 1.0, 3.0])];
        near(get("pearson_delta"), (delta[0] + delta[1]) / 2.0);
        // (2, 1) against (1, -2) rises together; a single output has no correlation.
        near(get("pearson_delta_top20"), 0.5);
        // The mean of the measured profiles is (0.5, 0.5, 2).
        let centred = [
            stats::pearson(&[1.5, 0.5, -2.0], &[0.5, -2.5, -2.0]),
            stats::pearson(&[-0.5, -1.5, 2.0], &[-0.5, 0.5, 1.0]),
        ];
        near(get("pearson_centred"), (centred[0] + centred[1]) / 2.0);
        // (2, 1, 0) is sqrt(10) from its truth and sqrt(13) from the other; (0, -1, 4) sqrt(5) and sqrt(18).
        near(get("discrimination"), 1.0);
    }

    #[test]
    fn zeros_have_no_direction() {
        let (t, p) = (array![[1.0, -1.0, 0.0, 2.0]], array![[0.0, 1.0, -5.0, -0.5]]);
        let top = top_outputs(&t, None);
        near(value("opposite_direction", &t, &p, &Observed::empty(4), Some(&top)), 0.5);
    }

    #[test]
    fn predictors_that_do_not_look_are_at_chance() {
        let n = 700;
        let t = Array2::from_shape_fn((n, 7), |(i, j)| (((i * 31 + j * 17) % 101) as f64).sin() + 2.0);
        let mut observed = Observed::empty(7);
        observed.ids = (0..n).collect();
        observed.y = t.clone();
        let shared = observed.mean();
        let p = Array2::from_shape_fn((n, 7), |(_, j)| shared[j]);
        near(value("discrimination", &t, &p, &observed, None), 0.5);
        near(value("pearson_centred", &t, &p, &observed, None), 0.0);
        assert!(value("pearson_delta", &t, &p, &observed, None).unwrap().abs() > 0.001);
        near(value("discrimination", &t, &Array2::zeros((n, 7)), &observed, None), 0.5);
    }

    #[test]
    fn discrimination_matches_brute_force() {
        let (n, l) = (300, 5);
        let t = Array2::from_shape_fn((n, l), |(i, j)| ((i * 37 + j * 11) as f64 * 0.7).sin());
        let p = Array2::from_shape_fn((n, l), |(i, j)| 0.6 * t[[i, j]] + 0.5 * ((i * 13 + j * 29) as f64).cos());
        let d = |i: usize, o: usize| (&p.row(i) - &t.row(o)).mapv(|v| v * v).sum();
        let share = |i: usize| (0..n).filter(|&o| o != i && d(i, o) > d(i, i)).count() as f64 / (n - 1) as f64;
        let want = (0..n).map(share).sum::<f64>() / n as f64;
        let got = value("discrimination", &t, &p, &Observed::empty(l), None).unwrap();
        assert!((got - want).abs() < 1e-9 && (0.55..0.99).contains(&got), "{got} {want}");
    }

    #[test]
    fn energy_distance_of_shifted_cells_is_closed() {
        // Cells of two perturbations in the plane; all pairs counted, squared Euclidean base.
        let x = array![[0.0, 1.0], [2.0, -1.0], [4.0, 3.0]];
        let y = array![[1.0, 1.0], [5.0, 0.0]];
        let base = |a: &Array2<f64>, b: &Array2<f64>| {
            let mut sum = 0.0;
            for r in a.outer_iter() {
                sum += b.outer_iter().map(|q| (&r - &q).mapv(|v| v * v).sum()).sum::<f64>();
            }
            sum / (a.nrows() * b.nrows()) as f64
        };
        let energy = 2.0 * base(&x, &y) - base(&x, &x) - base(&y, &y);
        let (mx, my) = (x.mean_axis(Axis(0)).unwrap(), y.mean_axis(Axis(0)).unwrap());
        let row = |m: Array1<f64>| m.insert_axis(Axis(0));
        near(value("e_distance", &row(mx), &row(my), &Observed::empty(2), None), energy);
    }

    #[test]
    fn the_clearest_outputs_come_first_and_excluded_ones_never() {
        let truth = array![[0.5, -2.0, 2.0, 0.0]];
        assert_eq!(top_outputs(&truth, None), [vec![1, 2, 0, 3]]);
        let clarity = array![[3.0, f64::NEG_INFINITY, f64::NAN, 5.0]];
        assert_eq!(top_outputs(&truth, Some(&clarity)), [vec![3, 0]]);
        let wide = Array2::from_shape_fn((1, 50), |(_, j)| j as f64);
        assert_eq!(top_outputs(&wide, None)[0], (30..50).rev().collect::<Vec<_>>());
        // A perturbation without any clear output does not count.
        let t = array![[1.0, 1.0], [1.0, 3.0]];
        let p = array![[9.0, 9.0], [1.0, 2.0]];
        near(value("mse_top20", &t, &p, &Observed::empty(2), Some(&[vec![], vec![0, 1]])), 0.5);
        assert_eq!(value("mse_top20", &t, &p, &Observed::empty(2), None), None);
    }

    #[test]
    fn scalar_readouts_have_no_profile() {
        let (t, p) = (array![[1.0], [2.0]], array![[1.0], [3.0]]);
        for name in ["focal", "pearson_delta", "discrimination", "e_distance"] {
            assert_eq!(value(name, &t, &p, &Observed::empty(1), Some(&[vec![0], vec![0]])), None, "{name}");
        }
    }
}
