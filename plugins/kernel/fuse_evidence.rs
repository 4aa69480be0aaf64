//! Weights by marginal likelihood: K = Σ wₘ Kₘ of the Gaussian process under which the measurements are likeliest.
//!
//! log p(Y) = -½ tr(Yᵀ A⁻¹ Y) - (L/2) log|A| + const with A = Σ wₘ Kₘ + v I and one kernel for all L outputs (Rasmussen &
//! Williams 2006, eq. 5.8-5.9; multiple-kernel learning), maximised over w and v in their logarithms by L-BFGS from
//! three starts. O(t³ + m t²) a step for t measured rows, at most 1,000 of them. Weights are divided by their sum.
//! Equal weights before three rows are measured or where all agree.
//! The predictions of a model that was fitted to the same readouts explain them twice: beside them priors get
//! little weight. with = [] weighs the priors against each other alone.

use framework::plugin::{Fusion, fit_weights, gp_problem};
use framework::prelude::*;

framework::fusion! {
    "fuse_evidence",
    /// A weighted sum of the kernels of the active priors and of the model, each normalised, with the weights (and
    /// noise) under which the measurements are likeliest. Records `weight NAME`, `noise_to_signal` (noise variance over
    /// the sum of weights) and `weights_from_data` each round.
    pub struct FuseEvidence {}
}

impl Fusion for FuseEvidence {
    fn fuse(&self, cx: &KernelContext, sources: &Sources, found: Vec<Source>) -> Result<Gram> {
        let fit = gp_problem(cx, &found).and_then(|(kernels, y)| fit_weights(&kernels, |a| evidence(a, &y)));
        if let Some((_, noise)) = &fit {
            cx.record("noise_to_signal", *noise);
        }
        sources.weighted(cx, found, fit.map(|f| f.0))
    }
}

/// Negative log marginal likelihood (without its constant) at A = `a`, and its derivatives by the entries of A:
/// ½ (L A⁻¹ - α αᵀ), α = A⁻¹ Y.
fn evidence(a: &Array2<f64>, y: &Array2<f64>) -> Option<(f64, Array2<f64>)> {
    let factor = Cholesky::new(a.view()).ok().filter(|c| c.jitter == 0.0)?;
    let alpha = factor.solve(y.view());
    let fit: f64 = alpha.iter().zip(y).map(|(a, y)| a * y).sum();
    let l = y.ncols() as f64;
    let value = 0.5 * (fit + l * factor.log_det());
    let mut by_entry = factor.solve(Array2::<f64>::eye(a.nrows()).view());
    by_entry *= 0.5 * l;
    by_entry.scaled_add(-0.5, &framework::numerics::matmul_t(alpha.view(), alpha.view()));
    value.is_finite().then_some((value, by_entry))
}

framework::register!(Kernel, FuseEvidence, "fuse_evidence", "weights of priors and model by marginal likelihood");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::{
        TinyWorld, check_fusion_finds_the_signal, check_fusion_starts_as_mean, check_matrix_derivatives, fuse,
    };

    #[test]
    fn before_anything_is_measured_it_is_the_mean_and_says_so() {
        check_fusion_starts_as_mean(&FuseEvidence { with: Some(vec![]), ..FuseEvidence::default() }).unwrap();
    }

    #[test]
    fn the_informative_prior_gets_the_weight() {
        check_fusion_finds_the_signal(&FuseEvidence { with: Some(vec![]), ..FuseEvidence::default() }).unwrap();
    }

    #[test]
    fn derivatives_are_those_of_finite_differences() {
        check_matrix_derivatives(evidence);
    }

    #[test]
    fn the_value_is_the_log_density_of_the_outputs() {
        // Two points, one output: density of a bivariate normal.
        let a = framework::ndarray::array![[2.0, 0.5], [0.5, 1.0]];
        let y = framework::ndarray::array![[0.3], [-0.7]];
        let det: f64 = 2.0 - 0.25;
        let quadratic = (1.0 * 0.09 + 2.0 * 0.49 - 2.0 * 0.5 * 0.3 * -0.7) / det;
        let (value, _) = evidence(&a, &y).unwrap();
        assert!((value - 0.5 * (quadratic + det.ln())).abs() < 1e-12);
        assert!(evidence(&framework::ndarray::array![[1.0, 2.0], [2.0, 1.0]], &y).is_none());
    }

    #[test]
    fn no_weights_nearby_are_likelier() {
        let measured: Vec<usize> = (0..40).collect();
        let kernel = FuseEvidence { with: Some(vec![]), ..FuseEvidence::default() };
        let fused = fuse(&kernel, &measured).unwrap();
        let k = &fused.sources;
        let world = TinyWorld::new(60, 4, 6, false, 3).unwrap();
        let mut observed = world.observe(&measured, 1).unwrap();
        let again = world.observe(&measured[..20], 2).unwrap();
        observed.push(&framework::domain::Readouts::plain(&again.ids, again.y), 1).unwrap();
        let y = &observed.y - &observed.mean();
        let size = (y.mapv(|v| v * v).sum() / y.len() as f64).sqrt();
        let y = y / size;
        let parts: Vec<Array2<f64>> =
            k.iter().map(|k| Array2::from_shape_fn((60, 60), |(i, j)| k[(observed.ids[i], observed.ids[j])])).collect();
        let at = |w: f64, noise: f64, scale: f64| {
            let a = (&parts[0] * (1.0 - w) + &parts[1] * w + Array2::<f64>::eye(60) * noise) * scale;
            evidence(&a, &y).unwrap().0
        };
        let (w, noise) = (fused.number("weight signal"), fused.number("noise_to_signal"));
        let best = |w: f64, noise: f64| {
            (0..400).map(|i| at(w, noise, (0.02 * i as f64 - 2.0).exp())).fold(f64::INFINITY, f64::min)
        };
        let here = best(w, noise);
        for (dw, factor) in [(0.0, 1.3), (0.0, 0.75), (-0.02, 1.0), (-0.2, 1.0)] {
            assert!(best(w + dw, noise * factor) > here - 1e-3, "{dw} {factor}");
        }
    }
}
