//! Products and factorisations: ndarray outside, faer inside.

mod band;
mod conditioned;
pub mod dots;
mod explained;
mod low_rank;
mod sparse;

pub use band::Band;
pub use conditioned::Conditioned;
pub use explained::Explained;
pub use low_rank::low_rank;
pub use sparse::{Sparse, truncated_svd};

use crate::error::{Error, Result};
use crate::real::Real;
use faer::linalg::solvers::{Llt, SelfAdjointEigen};
use faer::linalg::triangular_solve::{solve_lower_triangular_in_place, solve_upper_triangular_in_place};
use faer::{Accum, MatMut, MatRef, Par, Side};
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;

/// Rows of a tile: large enough that a tile's product runs at full speed, fixed so that the result does
/// not depend on the number of threads.
const TILE: usize = 256;

/// The same matrix as faer sees it.
pub fn view<'a, T>(a: &'a ArrayView2<'_, T>) -> MatRef<'a, T> {
    let (r, c) = a.dim();
    // SAFETY: pointer, shape and strides describe the borrowed ndarray view, which outlives the result.
    unsafe { MatRef::from_raw_parts(a.as_ptr(), r, c, a.strides()[0], a.strides()[1]) }
}

/// The same matrix as faer sees it, to write to.
pub fn view_mut<'a, T>(a: &'a mut ArrayViewMut2<'_, T>) -> MatMut<'a, T> {
    let (r, c) = a.dim();
    let s = (a.strides()[0], a.strides()[1]);
    // SAFETY: as in `view`, and the exclusive borrow makes the view unique.
    unsafe { MatMut::from_raw_parts_mut(a.as_mut_ptr(), r, c, s.0, s.1) }
}

/// `a b`: (m x k)(k x n). Tiles of rows in parallel. O(mkn).
pub fn matmul(a: ArrayView2<f64>, b: ArrayView2<f64>) -> Array2<f64> {
    assert_eq!(a.ncols(), b.nrows(), "inner dimensions of a product");
    let mut out = Array2::zeros((a.nrows(), b.ncols()));
    out.axis_chunks_iter_mut(Axis(0), TILE).into_par_iter().zip(a.axis_chunks_iter(Axis(0), TILE)).for_each(
        |(mut o, a)| {
            faer::linalg::matmul::matmul(view_mut(&mut o), Accum::Replace, view(&a), view(&b), 1.0, Par::Seq);
        },
    );
    out
}

/// `a bᵀ`: (m x k)(n x k)ᵀ.
pub fn matmul_t(a: ArrayView2<f64>, b: ArrayView2<f64>) -> Array2<f64> {
    matmul(a, b.t())
}

/// `out = weight a b`, added to what was there if `add`, on one thread.
pub fn product_into<T: Real>(out: &mut ArrayViewMut2<T>, a: ArrayView2<T>, b: ArrayView2<T>, add: bool, weight: T) {
    let how = if add { Accum::Add } else { Accum::Replace };
    faer::linalg::matmul::matmul(view_mut(out), how, view(&a), view(&b), weight, Par::Seq);
}

/// `a b`, large products in tiles of rows in parallel. The tiles depend on the shape alone.
pub fn product<T: Real>(a: ArrayView2<T>, b: ArrayView2<T>) -> Array2<T> {
    const SMALL: usize = 1 << 19;
    assert_eq!(a.ncols(), b.nrows(), "inner dimensions of a product");
    let mut out = Array2::zeros((a.nrows(), b.ncols()));
    if a.len() * b.ncols() < SMALL {
        product_into(&mut out.view_mut(), a, b, false, T::one());
    } else {
        let rows = a.nrows().div_ceil(8).clamp(16, TILE);
        out.axis_chunks_iter_mut(Axis(0), rows)
            .into_par_iter()
            .zip(a.axis_chunks_iter(Axis(0), rows))
            .for_each(|(mut o, a)| product_into(&mut o, a, b, false, T::one()));
    }
    out
}

/// `a v` into `out`: (m x k)(k). Tiles of rows in parallel when the matrix is large. O(mk).
pub fn times_vector(a: ArrayView2<f64>, v: ndarray::ArrayView1<f64>, out: &mut [f64]) {
    let dot = |(o, row): (&mut f64, ndarray::ArrayView1<f64>)| *o = row.dot(&v);
    if a.len() < 1 << 18 {
        out.iter_mut().zip(a.outer_iter()).for_each(dot);
    } else {
        out.par_chunks_mut(TILE)
            .zip(a.axis_chunks_iter(Axis(0), TILE).into_par_iter())
            .for_each(|(o, a)| o.iter_mut().zip(a.outer_iter()).for_each(dot));
    }
}

/// `aᵀ a`: (k x k) of an m x k matrix, half the work of [`matmul`].
pub fn symmetric_product(a: ArrayView2<f64>) -> Array2<f64> {
    self_product(a.t())
}

/// `a aᵀ`: tiles of rows in parallel, each up to its diagonal, then mirrored.
fn self_product(a: ArrayView2<f64>) -> Array2<f64> {
    const ROWS: usize = 128;
    let n = a.nrows();
    let mut out = Array2::zeros((n, n));
    out.axis_chunks_iter_mut(Axis(0), ROWS)
        .into_par_iter()
        .zip(a.axis_chunks_iter(Axis(0), ROWS))
        .enumerate()
        .for_each(|(t, (mut o, rows))| {
            let end = t * ROWS + rows.nrows();
            let (mut o, before) = (o.slice_mut(ndarray::s![.., ..end]), a.slice(ndarray::s![..end, ..]));
            faer::linalg::matmul::matmul(
                view_mut(&mut o),
                Accum::Replace,
                view(&rows),
                view(&before.t()),
                1.0,
                Par::Seq,
            );
        });
    for i in 0..n {
        let (above, mut row) = out.multi_slice_mut((ndarray::s![..i, i], ndarray::s![i, ..i]));
        ndarray::Zip::from(above).and(&mut row).for_each(|a, r| *a = *r);
    }
    out
}

/// Squared Euclidean norm of each row.
pub fn sq_norms(a: ArrayView2<f64>) -> Vec<f64> {
    a.outer_iter().map(|r| r.dot(&r)).collect()
}

/// Squared Euclidean distances between the rows of `a` and of `b`: m x n, clamped at 0. Formed from
/// norms and one product after moving both to the mean of `b`, which keeps near-duplicates exact to
/// rounding of the centred values. O(mnk); half of it where both are the same view.
pub fn sq_distances(a: ArrayView2<f64>, b: ArrayView2<f64>) -> Array2<f64> {
    sq_distances_with(a, b, |_, _| {})
}

/// [`sq_distances`], each row given to `f` with its number while it is in the cache.
pub fn sq_distances_with(a: ArrayView2<f64>, b: ArrayView2<f64>, f: impl Fn(usize, &mut [f64]) + Sync) -> Array2<f64> {
    let centre = b.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(b.ncols()));
    let same = a.as_ptr() == b.as_ptr() && a.dim() == b.dim() && a.strides() == b.strides();
    let b = &b - &centre;
    let nb = sq_norms(b.view());
    let (na, mut d) = if same {
        (nb.clone(), self_product(b.view()))
    } else {
        let a = &a - &centre;
        (sq_norms(a.view()), matmul_t(a.view(), b.view()))
    };
    d.axis_chunks_iter_mut(Axis(0), TILE).into_par_iter().enumerate().for_each(|(t, mut tile)| {
        for (i, mut row) in tile.outer_iter_mut().enumerate() {
            let n = na[t * TILE + i];
            if let Some(row) = row.as_slice_mut() {
                row.iter_mut().zip(&nb).for_each(|(v, m)| *v = (n + m - 2.0 * *v).max(0.0));
                f(t * TILE + i, row);
            }
        }
    });
    d
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{Array, array};

    fn table(r: usize, c: usize) -> Array2<f64> {
        Array::from_shape_fn((r, c), |(i, j)| ((i * 31 + j * 17 + i * j) % 23) as f64 / 7.0 - 1.0)
    }

    #[test]
    fn products_match_the_definition_for_any_layout() {
        let (a, b) = (table(530, 9), table(9, 11));
        let p = matmul(a.view(), b.view());
        for (i, j) in [(0, 0), (255, 3), (256, 10), (529, 7)] {
            let want: f64 = (0..9).map(|k| a[(i, k)] * b[(k, j)]).sum();
            assert!((p[(i, j)] - want).abs() < 1e-12 * want.abs().max(1.0));
        }
        let q = matmul_t(a.view(), b.t());
        assert!((&p - &q).iter().all(|d| d.abs() < 1e-12));
        let s = symmetric_product(a.view());
        assert!((&s - &matmul(a.t(), a.view())).iter().all(|d| d.abs() < 1e-10));
    }

    #[test]
    fn distances_of_far_off_duplicates_are_exact() {
        let a = table(7, 5) + 1e6;
        let d = sq_distances(a.view(), a.view());
        for i in 0..7 {
            for j in 0..7 {
                let want: f64 = (0..5).map(|k| (a[(i, k)] - a[(j, k)]).powi(2)).sum();
                assert!((d[(i, j)] - want).abs() < 1e-12 * want.max(1.0), "{i} {j}");
            }
        }
    }

    #[test]
    fn cholesky_solves_and_knows_its_determinant() {
        let a = array![[4.0, 2.0, 0.6], [2.0, 5.0, 1.0], [0.6, 1.0, 3.0]];
        let c = Cholesky::new(a.view()).unwrap();
        let b = array![[1.0, 0.0], [2.0, 1.0], [3.0, -1.0]];
        let x = c.solve(b.view());
        assert!((&a.dot(&x) - &b).iter().all(|d| d.abs() < 1e-12));
        let det: f64 = 4.0 * (15.0 - 1.0) - 2.0 * (6.0 - 0.6) + 0.6 * (2.0 - 3.0);
        assert!((c.log_det() - det.ln()).abs() < 1e-12);
        let q = c.quadratic(b.view());
        for (j, q) in q.iter().enumerate() {
            assert!((q - b.column(j).dot(&x.column(j))).abs() < 1e-12);
        }
    }

    #[test]
    fn cholesky_adds_jitter_or_says_why_not() {
        let c = Cholesky::new(array![[1.0, 1.0], [1.0, 1.0]].view()).unwrap();
        assert!(c.jitter >= 0.0 && c.jitter < 1e-3);
        let e = Cholesky::new(array![[1.0, 3.0], [3.0, 1.0]].view()).unwrap_err().to_string();
        assert!(e.contains("not positive definite"), "{e}");
    }

    #[test]
    fn eigenpairs_rebuild_the_matrix() {
        let a = symmetric_product(table(20, 6).view());
        let (s, u) = eigh(a.view()).unwrap();
        let back = (&u * &s).dot(&u.t());
        assert!((&back - &a).iter().all(|d| d.abs() < 1e-9));
        assert!(s.windows(2).into_iter().all(|w| w[0] <= w[1]));
    }
}
