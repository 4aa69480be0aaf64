//! Distances of candidates to a few centres, tile by tile: by rows in memory, or by kernel values.

use crate::error::{Error, Result};
use crate::gram::features::Rows;
use crate::gram::matrix::Gram;
use crate::linalg::{view, view_mut};
use faer::{Accum, Par};
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, Axis, s};
use rayon::prelude::*;

/// Rows of a tile.
const TILE: usize = 256;

/// Single or double precision.
pub(super) trait Real: Copy + Send + Sync + Into<f64> + ndarray::LinalgScalar {
    /// Squared distances below this part of the squared norms are formed again from differences.
    const NEAR: f64;
    fn of(v: f64) -> Self;
    /// `out = a bᵀ` on this thread.
    fn product(out: &mut ArrayViewMut2<Self>, a: ArrayView2<Self>, b: ArrayView2<Self>);
}

impl Real for f32 {
    const NEAR: f64 = 1e-3;
    fn of(v: f64) -> Self {
        v as f32
    }
    fn product(out: &mut ArrayViewMut2<f32>, a: ArrayView2<f32>, b: ArrayView2<f32>) {
        faer::linalg::matmul::matmul(view_mut(out), Accum::Replace, view(&a), view(&b.t()), 1.0, Par::Seq);
    }
}

impl Real for f64 {
    const NEAR: f64 = 1e-8;
    fn of(v: f64) -> Self {
        v
    }
    fn product(out: &mut ArrayViewMut2<f64>, a: ArrayView2<f64>, b: ArrayView2<f64>) {
        faer::linalg::matmul::matmul(view_mut(out), Accum::Replace, view(&a), view(&b.t()), 1.0, Par::Seq);
    }
}

/// Rows from a common origin, with their squared norms.
pub(super) struct Table<T> {
    /// Candidates, then centres.
    pub(super) x: Array2<T>,
    pub(super) n: usize,
    norms: Vec<f64>,
}

impl<T: Real> Table<T> {
    pub(super) fn new(rows: &Rows, ids: &[usize], n: usize, origin: &Array1<f64>) -> Result<Self> {
        let mut x = Array2::zeros((ids.len(), rows.d()));
        let mut norms = vec![0.0; ids.len()];
        let zeros = vec![T::of(0.0); rows.d()];
        x.axis_chunks_iter_mut(Axis(0), TILE)
            .into_par_iter()
            .zip(ids.par_chunks(TILE))
            .zip(norms.par_chunks_mut(TILE))
            .for_each(|((mut x, ids), norms)| {
                x.zip_mut_with(&(rows.get(ids) - origin), |o, v| *o = T::of(*v));
                for (n, row) in norms.iter_mut().zip(x.outer_iter()) {
                    *n = row.as_slice().map_or(0.0, |r| squared_difference(r, &zeros));
                }
            });
        match norms.iter().position(|n| !n.is_finite()) {
            None => Ok(Self { x, n, norms }),
            Some(i) => Err(Error::Breakdown(format!(
                "perturbation {} has kernel features that are not finite numbers; check the priors, the model and the \
                 kernel",
                ids[i]
            ))),
        }
    }

    pub(super) fn tiles<R: Send>(&self, cs: &[usize], f: impl Fn(usize, Array2<f64>) -> R + Sync) -> Vec<R> {
        let centres = self.x.select(Axis(0), cs);
        let rows = self.x.slice(s![..self.n, ..]);
        let tiles = rows.axis_chunks_iter(Axis(0), TILE).into_par_iter().zip(self.norms[..self.n].par_chunks(TILE));
        tiles
            .enumerate()
            .map(|(t, (x, norms))| {
                let mut products = Array2::<T>::zeros((cs.len(), norms.len()));
                if cs.len() == 1 {
                    let c = centres.row(0);
                    products.iter_mut().zip(x.outer_iter()).for_each(|(p, x)| *p = x.dot(&c));
                } else {
                    T::product(&mut products.view_mut(), centres.view(), x);
                }
                let mut d = Array2::zeros(products.dim());
                for (j, (mut d, p)) in d.outer_iter_mut().zip(products.outer_iter()).enumerate() {
                    let m = self.norms[cs[j]];
                    for (i, ((d, &p), n)) in d.iter_mut().zip(p).zip(norms).enumerate() {
                        let p: f64 = p.into();
                        *d = n + m - 2.0 * p;
                        if *d < T::NEAR * (n + m) {
                            *d = difference(x.row(i), centres.row(j));
                        }
                    }
                }
                f(t * TILE, d)
            })
            .collect()
    }

    pub(super) fn least(&self, i: usize, to: &[usize]) -> f64 {
        to.iter().map(|&j| difference(self.x.row(i), self.x.row(j))).fold(f64::INFINITY, f64::min)
    }
}

fn difference<T: Real>(a: ndarray::ArrayView1<T>, b: ndarray::ArrayView1<T>) -> f64 {
    match (a.as_slice(), b.as_slice()) {
        (Some(a), Some(b)) => squared_difference(a, b),
        _ => a.iter().zip(b).map(|(&a, &b)| (a.into() - b.into()).powi(2)).sum(),
    }
}

/// Σ (a - b)², in running sums side by side so that none waits on another.
fn squared_difference<T: Real>(a: &[T], b: &[T]) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let (mut x, mut y) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    for (a, b) in x.by_ref().zip(y.by_ref()) {
        for k in 0..LANES {
            let d: f64 = a[k].into() - b[k].into();
            sums[k] += d * d;
        }
    }
    let rest: f64 = x.remainder().iter().zip(y.remainder()).map(|(&a, &b)| (a.into() - b.into()).powi(2)).sum();
    sums.iter().sum::<f64>() + rest
}

/// A kernel that is read by its values.
pub(super) struct Values {
    pub(super) gram: Gram,
    /// Candidates, then centres, as the matrix numbers them.
    pub(super) ids: Vec<usize>,
    pub(super) n: usize,
    diagonal: Vec<f64>,
    /// Distances up to here are rounding.
    zero: f64,
    /// Whether the matrix was prepared for row reads.
    prepared: bool,
}

impl Values {
    pub(super) fn new(gram: &Gram, ids: Vec<usize>, n: usize) -> Result<Self> {
        let diagonal = gram.diagonal(&ids);
        if let Some(i) = diagonal.iter().position(|v| !v.is_finite()) {
            return Err(Error::Breakdown(format!(
                "the kernel of perturbation {} with itself is {}; kernel values must be finite: check the kernel",
                ids[i], diagonal[i]
            )));
        }
        let zero = 1e-14 * diagonal.iter().copied().fold(0.0, f64::max);
        let prepared = ids.len() <= 1 << 20 && gram.rows().is_none();
        let (gram, ids) = match prepared {
            true => (gram.restrict(&ids), (0..ids.len()).collect()),
            false => (gram.clone(), ids),
        };
        Ok(Self { gram, ids, n, diagonal, zero, prepared })
    }

    /// k(a, a) + k(b, b) - 2 k(a, b), 0 at the level of rounding; NaN passes.
    fn distance(&self, a: usize, b: usize, k: f64) -> f64 {
        let d = self.diagonal[a] + self.diagonal[b] - 2.0 * k;
        if a == b || d <= self.zero { 0.0 } else { d }
    }

    pub(super) fn tiles<R: Send>(&self, cs: &[usize], f: impl Fn(usize, Array2<f64>) -> R + Sync) -> Vec<R> {
        const FEW: usize = 16;
        let of = |at: usize, k: ArrayView2<f64>| {
            let d = Array2::from_shape_fn(k.dim(), |(j, i)| self.distance(at + i, cs[j], k[(j, i)]));
            f(at, d)
        };
        if self.prepared && cs.len() <= FEW {
            let mut rows = Array2::zeros((cs.len(), self.ids.len()));
            for (mut row, &c) in rows.outer_iter_mut().zip(cs) {
                if let Some(row) = row.as_slice_mut() {
                    self.gram.row(self.ids[c], row);
                }
            }
            let rows = rows.slice(s![.., ..self.n]);
            return rows
                .axis_chunks_iter(Axis(1), TILE)
                .into_par_iter()
                .enumerate()
                .map(|(t, k)| of(t * TILE, k))
                .collect();
        }
        // Blocks are themselves worked out by all threads.
        const BLOCK: usize = 4096;
        let columns: Vec<usize> = cs.iter().map(|&c| self.ids[c]).collect();
        let blocks = (0..self.n).step_by(BLOCK).map(|at| {
            let k = self.gram.block(&columns, &self.ids[at..self.n.min(at + BLOCK)]);
            of(at, k.view())
        });
        blocks.collect()
    }

    pub(super) fn least(&self, i: usize, to: &[usize]) -> f64 {
        let ids: Vec<usize> = to.iter().map(|&j| self.ids[j]).collect();
        let k = self.gram.block(&[self.ids[i]], &ids);
        // `min` passes over NaN, which must not go unseen.
        let less = |a: f64, b: f64| if b >= a { a } else { b };
        to.iter().zip(k.iter()).map(|(&j, k)| self.distance(i, j, *k)).fold(f64::INFINITY, less)
    }
}
