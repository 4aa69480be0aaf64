//! Buffers of a batch, cut into tiles of rows, and the products that fill them.

use faer::{Accum, MatMut, MatRef, Par};
use ndarray::{Array2, ArrayView2};
use numerics::Real;
use numerics::linalg::view;
use rayon::prelude::*;

/// Rows of a tile of a pass: fixed, so that the result does not depend on the number of threads.
pub(super) const TILE: usize = 128;

/// `out = factor a w` for the rows of `a`.
pub(super) fn product<T: Real>(out: &mut [T], a: &[T], w: ArrayView2<T>, factor: f64) {
    let (i, o) = w.dim();
    let rows = a.len() / i;
    let (out, a) = (MatMut::from_row_major_slice_mut(out, rows, o), MatRef::from_row_major_slice(a, rows, i));
    faer::linalg::matmul::matmul(out, Accum::Replace, a, view(&w), T::of(factor), Par::Seq);
}

/// `out = factor a wᵀ` for the rows of `a`.
pub(super) fn product_t<T: Real>(out: &mut [T], a: &[T], w: ArrayView2<T>, factor: f64) {
    let (i, o) = w.dim();
    let rows = a.len() / o;
    let (out, a) = (MatMut::from_row_major_slice_mut(out, rows, i), MatRef::from_row_major_slice(a, rows, o));
    faer::linalg::matmul::matmul(out, Accum::Replace, a, view(&w).transpose(), T::of(factor), Par::Seq);
}

#[inline]
pub(super) fn multiply<T: Real>(x: &mut [T], by: &[T]) {
    x.iter_mut().zip(by).for_each(|(x, b)| *x *= *b);
}

/// Zeros, rows x width for each width.
pub(super) fn buffers<T: Real>(rows: usize, widths: &[usize]) -> Vec<Array2<T>> {
    widths.iter().map(|w| Array2::zeros((rows, *w))).collect()
}

/// The values of a buffer, row by row; buffers are made in that layout and keep it.
#[inline]
pub(super) fn flat<T>(a: &Array2<T>) -> &[T] {
    a.as_slice().unwrap_or_default()
}

pub(super) fn slices<T>(buffers: &mut [Array2<T>]) -> Vec<&mut [T]> {
    buffers.iter_mut().map(|b| b.as_slice_mut().unwrap_or_default()).collect()
}

/// Buffers cut into tiles of rows: for each tile, its part of each buffer.
pub(super) fn tiles<T>(buffers: &mut [Array2<T>]) -> Vec<Vec<&mut [T]>> {
    let rows = buffers.first().map_or(0, Array2::nrows);
    let mut out: Vec<Vec<&mut [T]>> = (0..rows.div_ceil(TILE)).map(|_| Vec::with_capacity(buffers.len())).collect();
    let lengths: Vec<usize> = buffers.iter().map(|b| (TILE * b.ncols()).max(1)).collect();
    for (buffer, length) in slices(buffers).into_iter().zip(lengths) {
        buffer.chunks_mut(length).zip(&mut out).for_each(|(part, tile)| tile.push(part));
    }
    out
}

/// Runs `f` over tasks, in parallel unless the whole is small.
pub(super) fn each<A: Send>(tasks: Vec<A>, small: bool, f: impl Fn(A) + Sync + Send) {
    if small || tasks.len() < 2 { tasks.into_iter().for_each(f) } else { tasks.into_par_iter().for_each(f) }
}
