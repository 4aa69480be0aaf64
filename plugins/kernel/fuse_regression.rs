//! Regression of the measured similarity on kernels: weights min ‖K_truth - Σ αₘ Kₘ‖_F² on the measured perturbations
//! (Huang et al. 2023, App. A).
//!
//! K_truth = Δ Δᵀ of the mean readout of each measured perturbation. Without constraint a weight may be negative and
//! the sum not positive semidefinite: `smallest_eigenvalue` is then recorded and `repair` says what is done. With
//! `non_negative` weights by an active set (Lawson & Hanson 1974). Least squares of t² numbers in m unknowns: normal
//! equations with columns scaled to norm 1, in their eigenvectors, those below 1e-12 of the largest left out, so
//! that equal sources share their weight. O(t² (Σdₘ + m²)) for t measured perturbations. While fewer than three are
//! measured, or where no weight is left, the weights are equal.

use framework::numerics::eigh;
use framework::plugin::{Fusion, mean_readouts};
use framework::prelude::*;

framework::fusion! {
    "fuse_regression",
    /// A weighted sum of the kernels of the active priors and of the model, each normalised, fitted to the similarity of
    /// what was measured. Records `weight NAME` and `weights_from_data` each round.
    pub struct FuseRegression {
        /// Whether weights must not be negative; default false, as in IterPert's code.
        pub non_negative: bool,
    }
}

impl Fusion for FuseRegression {
    fn fuse(&self, cx: &KernelContext, sources: &Sources, found: Vec<Source>) -> Result<Gram> {
        let weights = self.weights(cx, &found)?;
        sources.weighted(cx, found, weights)
    }

    fn stays_psd(&self, all: bool) -> bool {
        (self.non_negative && all) || self.repair == Repair::Clip
    }
}

impl FuseRegression {
    fn weights(&self, cx: &KernelContext, found: &[Source]) -> Result<Option<Vec<f64>>> {
        let train = cx.train();
        if train.len() < 3 {
            return Ok(None);
        }
        let profiles = mean_readouts(cx.observed);
        let truth = framework::numerics::matmul_t(profiles.view(), profiles.view());
        let kernels: Vec<Array2<f64>> = found.iter().map(|s| s.gram.to_dense(&train)).collect();
        let dot = |a: &Array2<f64>, b: &Array2<f64>| -> f64 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
        let norms: Vec<f64> = kernels.iter().map(|k| dot(k, k).sqrt()).collect();
        // A kernel that is zero here can explain nothing; any scale does.
        let scale: Vec<f64> = norms.iter().map(|n| if *n > 0.0 { n.recip() } else { 0.0 }).collect();
        let m = kernels.len();
        let mut normal = Array2::<f64>::zeros((m, m));
        for i in 0..m {
            for j in 0..=i {
                normal[(i, j)] = dot(&kernels[i], &kernels[j]) * scale[i] * scale[j];
                normal[(j, i)] = normal[(i, j)];
            }
        }
        let right: Vec<f64> = kernels.iter().zip(&scale).map(|(k, s)| dot(k, &truth) * s).collect();
        if normal.iter().chain(&right).any(|v| !v.is_finite()) {
            return Err(Error::Numerical(
                "fuse_regression: the kernels or readouts hold values that are too large or not finite".into(),
            ));
        }
        let weights = if self.non_negative { non_negative(&normal, &right)? } else { least_squares(&normal, &right)? };
        let weights: Vec<f64> = weights.iter().zip(&scale).map(|(w, s)| w * s).collect();
        Ok(weights.iter().any(|w| *w != 0.0).then_some(weights))
    }
}

/// The shortest solution of the normal equations.
fn least_squares(normal: &Array2<f64>, right: &[f64]) -> Result<Vec<f64>> {
    let (values, vectors) = eigh(normal.view())?;
    let least = 1e-12 * values.iter().fold(0.0f64, |m, v| m.max(*v));
    let mut x = vec![0.0; right.len()];
    for (value, v) in values.iter().zip(vectors.columns()).filter(|(value, _)| **value > least) {
        let along: f64 = v.iter().zip(right).map(|(v, b)| v * b).sum::<f64>() / value;
        x.iter_mut().zip(v).for_each(|(x, v)| *x += along * v);
    }
    Ok(x)
}

/// Least squares under x >= 0: unknowns enter one at a time by the steepest descent, and leave when the solution
/// among those that are in would cross 0.
fn non_negative(normal: &Array2<f64>, right: &[f64]) -> Result<Vec<f64>> {
    let m = right.len();
    let mut inside = vec![false; m];
    let mut x = vec![0.0; m];
    let tolerance = 1e-12 * right.iter().fold(0.0f64, |a, b| a.max(b.abs()));
    // Each round lowers the error, so a set of unknowns never returns; the bound is for rounding.
    for _ in 0..10 * m {
        let slope = |j: usize| right[j] - (0..m).map(|i| normal[(j, i)] * x[i]).sum::<f64>();
        let best = (0..m)
            .filter(|&j| !inside[j])
            .map(|j| (j, slope(j)))
            .fold(None, |best: Option<(usize, f64)>, s| if best.is_none_or(|b| s.1 > b.1) { Some(s) } else { best });
        match best {
            Some((j, slope)) if slope > tolerance => inside[j] = true,
            _ => break,
        }
        loop {
            let set: Vec<usize> = (0..m).filter(|&j| inside[j]).collect();
            let part = Array2::from_shape_fn((set.len(), set.len()), |(i, j)| normal[(set[i], set[j])]);
            let solution = least_squares(&part, &set.iter().map(|&j| right[j]).collect::<Vec<_>>())?;
            let crossing = |(&j, &s): (&usize, &f64)| (s <= 0.0).then(|| (j, x[j] / (x[j] - s)));
            let step = set.iter().zip(&solution).filter_map(crossing).map(|c| c.1).fold(1.0f64, f64::min).max(0.0);
            let blocked = solution.iter().any(|s| *s <= 0.0);
            for (&j, s) in set.iter().zip(&solution) {
                x[j] += step * (s - x[j]);
                if blocked && *s <= 0.0 && x[j] <= 1e-14 {
                    (x[j], inside[j]) = (0.0, false);
                }
            }
            if !blocked {
                break;
            }
        }
    }
    Ok(x)
}

framework::register!(
    Kernel,
    FuseRegression,
    "fuse_regression",
    "kernels of priors and model regressed on the similarity of measurements"
);

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::{check_fusion_starts_as_mean, fuse};

    #[test]
    fn before_anything_is_measured_it_is_the_mean_and_says_so() {
        check_fusion_starts_as_mean(&FuseRegression { with: Some(vec![]), ..FuseRegression::default() }).unwrap();
    }

    #[test]
    fn weights_minimise_the_squared_difference() {
        let measured: Vec<usize> = (0..40).step_by(2).collect();
        for non_negative in [false, true] {
            let kernel = FuseRegression { with: Some(vec![]), non_negative, ..FuseRegression::default() };
            let fused = fuse(&kernel, &measured).unwrap();
            let (k, profiles) = (&fused.sources, &fused.readouts);
            let truth = profiles.dot(&profiles.t());
            let part = |m: usize| Array2::from_shape_fn((20, 20), |(i, j)| k[m][(measured[i], measured[j])]);
            let (a, b) = (part(0), part(1));
            let error = |x: f64, y: f64| (&truth - &(&a * x) - &(&b * y)).mapv(|v| v * v).sum();
            let (x, y) = (fused.number("weight other"), fused.number("weight signal"));
            let least = error(x, y);
            let size = y.abs();
            for (dx, dy) in [(1e-4, 0.0), (-1e-4, 0.0), (0.0, 1e-4), (0.0, -1e-4), (1e-4, -1e-4)] {
                let (x, y) = (x + dx * size, y + dy * size);
                assert!((non_negative && x.min(y) < 0.0) || error(x, y) >= least, "{non_negative} {dx} {dy}");
            }
            assert!(y > 0.0 && (!non_negative || x >= 0.0));
            assert!(fused.is_sum(x, y));
            assert_eq!(x < 0.0, fused.recorded.iter().any(|r| r.0 == "smallest_eigenvalue"));
        }
    }

    #[test]
    fn active_sets_reach_the_optimum_of_every_subset() {
        let mut rng = Streams::new(9).rng("x");
        for trial in 0..200 {
            let m = 1 + trial % 5;
            let x = Array2::from_shape_simple_fn((8, m), || rng.random_range(-1.0..1.0));
            let y: Vec<f64> = (0..8).map(|_| rng.random_range(-1.0..1.0)).collect();
            let normal = x.t().dot(&x);
            let right = x.t().dot(&Array1::from(y)).to_vec();
            let cost = |w: &[f64]| -> f64 {
                let w = Array1::from(w.to_vec());
                w.dot(&normal.dot(&w)) - 2.0 * w.dot(&Array1::from(right.clone()))
            };
            let got = non_negative(&normal, &right).unwrap();
            assert!(got.iter().all(|w| *w >= 0.0));
            // Every subset solved without constraint; the best of those that are feasible.
            let mut best = 0.0f64;
            for set in 1..1usize << m {
                let set: Vec<usize> = (0..m).filter(|j| set >> j & 1 == 1).collect();
                let part = Array2::from_shape_fn((set.len(), set.len()), |(i, j)| normal[(set[i], set[j])]);
                let s = least_squares(&part, &set.iter().map(|&j| right[j]).collect::<Vec<_>>()).unwrap();
                if s.iter().all(|v| *v >= 0.0) {
                    let mut w = vec![0.0; m];
                    set.iter().zip(&s).for_each(|(&j, v)| w[j] = *v);
                    best = best.min(cost(&w));
                }
            }
            assert!((cost(&got) - best).abs() < 1e-9, "{trial}: {} {best}", cost(&got));
        }
    }

    #[test]
    fn equal_sources_share_their_weight() {
        let normal = framework::ndarray::array![[1.0, 1.0], [1.0, 1.0]];
        let w = least_squares(&normal, &[0.6, 0.6]).unwrap();
        assert!((w[0] - 0.3).abs() < 1e-12 && (w[1] - 0.3).abs() < 1e-12);
    }
}
