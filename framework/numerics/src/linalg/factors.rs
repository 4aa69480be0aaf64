//! Factorisations of symmetric matrices.

use super::dense::{TILE, view, view_mut};
use crate::error::{Error, Result};
use faer::linalg::solvers::{Llt, SelfAdjointEigen};
use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::{Accum, Par, Side};
use ndarray::{Array1, Array2, ArrayView2, Axis};
use rayon::prelude::*;

/// Eigenvalues (ascending) and eigenvectors (columns) of a symmetric matrix. O(n³).
pub fn eigh(a: ArrayView2<f64>) -> Result<(Array1<f64>, Array2<f64>)> {
    let e = SelfAdjointEigen::new(view(&a), Side::Lower)
        .map_err(|_| Error::Breakdown("the eigenvalues of a symmetric matrix did not converge".into()))?;
    let n = a.nrows();
    let s = e.S().column_vector();
    let u = e.U();
    Ok(((0..n).map(|i| s[i]).collect(), Array2::from_shape_fn((n, n), |(i, j)| u[(i, j)])))
}

/// `L Lᵀ = A` of a symmetric positive definite matrix.
#[derive(Clone, Debug)]
pub struct Cholesky {
    lower: faer::Mat<f64>,
    /// What had to be added to the diagonal; 0 for a matrix that factored as it was.
    pub jitter: f64,
}

impl Cholesky {
    /// Factors `a`; on failure adds 1e-5 tr/n (+ 1e-30) to the diagonal, doubling, at most 15 times.
    pub fn new(a: ArrayView2<f64>) -> Result<Self> {
        let n = a.nrows();
        if n == 0 {
            return Ok(Self { lower: faer::Mat::zeros(0, 0), jitter: 0.0 });
        }
        if let Ok(llt) = Llt::new(view(&a), Side::Lower) {
            return Ok(Self { lower: llt.L().to_owned(), jitter: 0.0 });
        }
        let trace: f64 = a.diag().sum();
        let mut jitter = 1e-5 * trace.abs() / n as f64 + 1e-30;
        for _ in 0..15 {
            let mut b = a.to_owned();
            b.diag_mut().iter_mut().for_each(|v| *v += jitter);
            if let Ok(llt) = Llt::new(view(&b.view()), Side::Lower) {
                return Ok(Self { lower: llt.L().to_owned(), jitter });
            }
            jitter *= 2.0;
        }
        Err(Error::Breakdown(format!(
            "a {n} x {n} matrix is not positive definite, even with {jitter:.1e} added to its diagonal; \
             check the kernel for values that are not finite, or raise its noise"
        )))
    }

    /// Size of the matrix.
    pub fn n(&self) -> usize {
        self.lower.nrows()
    }

    /// `A⁻¹ b` for the columns of `b` (n x k). O(n²k).
    pub fn solve(&self, b: ArrayView2<f64>) -> Array2<f64> {
        let mut x = self.half_solve(b);
        solve_upper_triangular_in_place(self.lower.transpose(), view_mut(&mut x.view_mut()), Par::Seq);
        x
    }

    /// `L⁻¹ b` for the columns of `b` (n x k). O(n²k).
    pub fn half_solve(&self, b: ArrayView2<f64>) -> Array2<f64> {
        let mut x = b.to_owned();
        solve_lower_triangular_in_place(self.lower.as_ref(), view_mut(&mut x.view_mut()), Par::Seq);
        x
    }

    /// `L z` for the columns of `z`: draws from N(0, A) when z is standard normal.
    pub fn times(&self, z: ArrayView2<f64>) -> Array2<f64> {
        let mut out = Array2::zeros(z.dim());
        faer::linalg::matmul::matmul(
            view_mut(&mut out.view_mut()),
            Accum::Replace,
            self.lower.as_ref(),
            view(&z),
            1.0,
            Par::Seq,
        );
        out
    }

    /// `L⁻ᵀ z` for the columns of `z`: draws from N(0, A⁻¹) when z is standard normal.
    pub fn upper_solve(&self, z: ArrayView2<f64>) -> Array2<f64> {
        let mut x = z.to_owned();
        solve_upper_triangular_in_place(self.lower.transpose(), view_mut(&mut x.view_mut()), Par::Seq);
        x
    }

    /// Squared norms of the columns of `L⁻¹ b`: the diagonal of `bᵀ A⁻¹ b`, tiles of columns in parallel.
    pub fn quadratic(&self, b: ArrayView2<f64>) -> Vec<f64> {
        let parts: Vec<Vec<f64>> = b
            .axis_chunks_iter(Axis(1), TILE)
            .into_par_iter()
            .map(|tile| {
                let half = self.half_solve(tile);
                let mut sum = Array1::<f64>::zeros(half.ncols());
                for row in half.outer_iter() {
                    sum.zip_mut_with(&row, |s, v| *s += v * v);
                }
                sum.to_vec()
            })
            .collect();
        parts.concat()
    }

    /// log |A|.
    pub fn log_det(&self) -> f64 {
        (0..self.n()).map(|i| self.lower[(i, i)].ln()).sum::<f64>() * 2.0
    }
}
