//! How alike two kernels are.

use super::size::finite;
use crate::error::Result;
use crate::gram::matrix::Gram;
use crate::linalg::matmul_t;
use ndarray::{Array2, ArrayView2, Axis};

/// Kernel alignment ⟨A, B⟩_F / (‖A‖_F ‖B‖_F) of two matrices over the same positions; `centred`: of H A H and
/// H B H (Cristianini et al. 2002; Cortes et al. 2012). Nothing where one is zero. Features stay features where
/// that is cheaper.
pub fn alignment(a: &Gram, b: &Gram, centred: bool) -> Result<Option<f64>> {
    let n = a.n();
    let features = |g: &Gram| g.features().filter(|x| x.d() <= n / 2).map(|x| x.to_f64());
    if let (Some(x), Some(y)) = (features(a), features(b)) {
        return Ok(feature_alignment(x.view(), y.view(), centred));
    }
    let all: Vec<usize> = (0..n).collect();
    let (mut a, mut b) = (a.to_dense(&all), b.to_dense(&all));
    if centred {
        for k in [&mut a, &mut b] {
            centre_dense(k);
        }
    }
    ratio(dot(&a, &b), dot(&a, &a), dot(&b, &b))
}

/// [`alignment`] of the inner products of the rows of `x` and of `y`, both with one row a perturbation.
pub fn feature_alignment(x: ArrayView2<f64>, y: ArrayView2<f64>, centred: bool) -> Option<f64> {
    let less_mean = |x: ArrayView2<f64>| match x.mean_axis(Axis(0)) {
        Some(m) if centred => &x - &m,
        _ => x.to_owned(),
    };
    let (x, y) = (less_mean(x), less_mean(y));
    if x.ncols().max(y.ncols()) > x.nrows() {
        let (a, b) = (matmul_t(x.view(), x.view()), matmul_t(y.view(), y.view()));
        return ratio(dot(&a, &b), dot(&a, &a), dot(&b, &b)).ok().flatten();
    }
    // ⟨XXᵀ, YYᵀ⟩ = ‖XᵀY‖².
    let square = |a: &Array2<f64>, b: &Array2<f64>| {
        let p = crate::linalg::matmul(a.t(), b.view());
        dot(&p, &p)
    };
    ratio(square(&x, &y), square(&x, &x), square(&y, &y)).ok().flatten()
}

fn ratio(ab: f64, aa: f64, bb: f64) -> Result<Option<f64>> {
    finite(ab + aa + bb)?;
    let size = aa.sqrt() * bb.sqrt();
    Ok((size > 0.0).then(|| ab / size))
}

/// Sum of the products of entries.
pub fn dot(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// H K H in place.
pub fn centre_dense(k: &mut Array2<f64>) {
    let Some(means) = k.mean_axis(Axis(1)) else { return };
    let all = means.mean().unwrap_or(0.0);
    for (i, mut row) in k.outer_iter_mut().enumerate() {
        row.iter_mut().zip(&means).for_each(|(v, m)| *v += all - (means[i] + m));
    }
}
