//! Products and distances of dense matrices.

use crate::real::Real;
use faer::{Accum, MatMut, MatRef, Par};
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, Axis};
use rayon::prelude::*;

/// Rows of a tile: large enough that a tile's product runs at full speed, fixed so that the result does
/// not depend on the number of threads.
pub(super) const TILE: usize = 256;

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
