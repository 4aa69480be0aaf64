//! Weights by leave-one-out error: K = Σ wₘ Kₘ of the Gaussian process that predicts each measurement best from the others.
//!
//! Residuals in closed form, eᵢ = [A⁻¹ Y]ᵢ / [A⁻¹]ᵢᵢ with A = Σ wₘ Kₘ + v I and one kernel for all outputs (Rasmussen &
//! Williams 2006, eq. 5.12), their mean square minimised over w and v in their logarithms by L-BFGS from three
//! starts. O(t³ + m t²) a step for t measured rows, at most 1,000 of them. Weights are divided by their sum. A row
//! and its replicate predict each other, so replicates favour kernels that tell perturbations apart. Equal weights
//! before three rows are measured or where all agree.
//! The predictions of a model that was fitted to the same readouts explain them twice: beside them priors get
//! little weight. with = [] weighs the priors against each other alone.

use framework::numerics::matmul;
use framework::plugin::{Fusion, fit_weights, gp_problem};
use framework::prelude::*;

framework::fusion! {
    "fuse_loo",
    /// A weighted sum of the kernels of the active priors and of the model, each normalised, with the weights (and
    /// noise) that predict each measurement best from the others. Records `weight NAME`, `noise_to_signal` (noise
    /// variance over the sum of weights) and `weights_from_data` each round.
    pub struct FuseLoo {}
}

impl Fusion for FuseLoo {
    fn fuse(&self, cx: &KernelContext, sources: &Sources, found: Vec<Source>) -> Result<Gram> {
        let fit = gp_problem(cx, &found).and_then(|(kernels, y)| fit_weights(&kernels, |a| loo_error(a, &y)));
        if let Some((_, noise)) = &fit {
            cx.record("noise_to_signal", *noise);
        }
        sources.weighted(cx, found, fit.map(|f| f.0))
    }
}

/// ½ Σ ‖eᵢ‖² at A = `a`, and its derivatives by the entries of A: P diag(‖αᵢ‖²/Pᵢᵢ³) P - sym(α (P diag(1/Pᵢᵢ²) α)ᵀ) with
/// P = A⁻¹ and α = P Y.
fn loo_error(a: &Array2<f64>, y: &Array2<f64>) -> Option<(f64, Array2<f64>)> {
    let factor = Cholesky::new(a.view()).ok().filter(|c| c.jitter == 0.0)?;
    let p = factor.solve(Array2::<f64>::eye(a.nrows()).view());
    let alpha = matmul(p.view(), y.view());
    let diagonal = p.diag().to_owned();
    let squares: Vec<f64> = alpha.outer_iter().map(|r| r.dot(&r)).collect();
    let value: f64 = squares.iter().zip(&diagonal).map(|(s, d)| 0.5 * s / (d * d)).sum();
    let mut scaled = p.clone();
    for ((mut row, s), d) in scaled.outer_iter_mut().zip(&squares).zip(&diagonal) {
        row *= s / d.powi(3);
    }
    let mut by_entry = matmul(p.view(), scaled.view());
    let mut weighted = alpha.clone();
    weighted.outer_iter_mut().zip(&diagonal).for_each(|(mut row, d)| row /= d * d);
    let back = matmul(p.view(), weighted.view());
    let outer = framework::numerics::matmul_t(alpha.view(), back.view());
    by_entry.scaled_add(-0.5, &outer);
    by_entry.scaled_add(-0.5, &outer.t());
    value.is_finite().then_some((value, by_entry))
}

framework::register!(Kernel, FuseLoo, "fuse_loo", "weights of priors and model by leave-one-out error");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::{check_fusion_finds_the_signal, check_fusion_starts_as_mean, check_matrix_derivatives};

    #[test]
    fn before_anything_is_measured_it_is_the_mean_and_says_so() {
        check_fusion_starts_as_mean(&FuseLoo { with: Some(vec![]), ..FuseLoo::default() }).unwrap();
    }

    #[test]
    fn the_informative_prior_gets_the_weight() {
        check_fusion_finds_the_signal(&FuseLoo { with: Some(vec![]), ..FuseLoo::default() }).unwrap();
    }

    #[test]
    fn derivatives_are_those_of_finite_differences() {
        check_matrix_derivatives(loo_error);
    }

    #[test]
    fn the_value_is_the_error_of_leaving_each_row_out() {
        let mut rng = Streams::new(4).rng("x");
        let x = Array2::from_shape_simple_fn((7, 3), || rng.random_range(-1.0..1.0));
        let y = Array2::from_shape_simple_fn((7, 2), || rng.random_range(-1.0..1.0));
        let a = x.dot(&x.t()) + Array2::<f64>::eye(7) * 0.2;
        let mut want = 0.0;
        for out in 0..7 {
            let rest: Vec<usize> = (0..7).filter(|i| *i != out).collect();
            let part = Array2::from_shape_fn((6, 6), |(i, j)| a[(rest[i], rest[j])]);
            let weights = Cholesky::new(part.view()).unwrap().solve(y.select(Axis(0), &rest).view());
            let k = Array1::from_iter(rest.iter().map(|&i| a[(out, i)]));
            want += 0.5 * (&y.row(out) - &k.dot(&weights)).mapv(|v| v * v).sum();
        }
        assert!((loo_error(&a, &y).unwrap().0 - want).abs() < 1e-10);
    }
}
