//! The distance of every candidate to its nearest centre, kept up to date while centres are added.
//!
//! Rules that spread a batch over the pool share this state. Rows in memory are compared by norms and one
//! product after moving the origin into the cloud, and by direct differences where the two are close, so
//! that duplicates are at distance exactly 0; other kernels through k(x, x) + k(y, y) - 2 k(x, y), where
//! values at the level of rounding are 0. Every tile of rows is one task and results are taken in tile
//! order, so they do not depend on the number of threads.

use super::features::{Features, Rows};
use super::matrix::Gram;
use crate::error::{Error, Result};
use crate::linalg::{view, view_mut};
use crate::streams::StreamRng;
use faer::{Accum, Par};
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, Axis, s};
use rand::RngExt;
use rayon::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;

/// Rows of a tile.
const TILE: usize = 256;
/// Numbers that may be held in memory for row reads (8 GB in double precision); above, rows are formed at each read.
const MOST: usize = 1 << 30;
/// Centres entered at once.
const GROUP: usize = 256;

fn joined(ids: &[usize], centres: &[usize]) -> Vec<usize> {
    ids.iter().chain(centres).copied().collect()
}

/// Distances to a few centres at once, tile by tile.
type Columns = Arc<Vec<Array2<f64>>>;

/// Squared distances of candidates to their nearest centre. Candidates are numbered `0..n` in the order
/// given (their *positions*), centres in the order in which they came.
#[derive(Clone)]
pub struct Nearest {
    form: Arc<Form>,
    n: usize,
    n_centres: usize,
    d2: Vec<f64>,
    nearest: Vec<u32>,
    /// Distances worked out ahead of need, by position: tiles of several columns and which column it is.
    ahead: HashMap<usize, (Columns, usize)>,
    /// For draws in proportion: cumulative `d2`, the centres drawn since, and how many draws were rejected.
    sums: Vec<f64>,
    waiting: Vec<usize>,
    rejected: usize,
}

enum Form {
    Single(Table<f32>),
    Double(Table<f64>),
    Kernel(Values),
}

impl Nearest {
    /// The candidates `ids` (pool ids, ascending) and the centres from which to start (may be none: all
    /// distances are infinite then). O(n |centres| d) in tiled products, memory n d.
    pub fn new(gram: &Gram, ids: &[usize], centres: &[usize]) -> Result<Self> {
        let slim = gram.up_to_constant();
        let gram = slim.as_ref().unwrap_or(gram);
        match gram.rows().filter(|r| r.d() * ids.len() <= MOST) {
            Some(rows) => {
                let some = &ids[..ids.len().min(1)];
                let single = matches!(gram.restrict(some).features(), Some(Features::F32(_)));
                Self::of_rows(&rows, single, ids, centres)
            }
            None => {
                Self::start(Form::Kernel(Values::new(gram, joined(ids, centres), ids.len())?), ids.len(), centres.len())
            }
        }
    }

    /// The same for explicit rows; `single` keeps them in single precision.
    pub fn of_rows(rows: &Rows, single: bool, ids: &[usize], centres: &[usize]) -> Result<Self> {
        // Any origin inside the cloud will do: distances do not change, and products lose less near it.
        let step = ids.len().div_ceil(1024).max(1);
        let some: Vec<usize> = ids.iter().copied().step_by(step).collect();
        let mut origin = rows.get(&some).mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(rows.d()));
        // A value that is not finite is reported with its row, not spread over all.
        origin.mapv_inplace(|v| if v.is_finite() { v } else { 0.0 });
        let all = joined(ids, centres);
        let form = match single {
            true => Form::Single(Table::new(rows, &all, ids.len(), &origin)?),
            false => Form::Double(Table::new(rows, &all, ids.len(), &origin)?),
        };
        Self::start(form, ids.len(), centres.len())
    }

    /// Enters the first centres, which stand behind the `n` candidates.
    fn start(form: Form, n: usize, n_centres: usize) -> Result<Self> {
        let mut state = Self::bare(Arc::new(form), n);
        let centres: Vec<usize> = (n..n + n_centres).collect();
        for group in centres.chunks(GROUP) {
            state.add_group(group)?;
        }
        Ok(state)
    }

    fn bare(form: Arc<Form>, n: usize) -> Self {
        Self {
            form,
            n,
            n_centres: 0,
            d2: vec![f64::INFINITY; n],
            nearest: vec![u32::MAX; n],
            ahead: HashMap::new(),
            sums: vec![],
            waiting: vec![],
            rejected: 0,
        }
    }

    /// The same candidates without any centre.
    pub fn without_centres(&self) -> Self {
        Self::bare(self.form.clone(), self.n)
    }

    /// Number of candidates.
    pub fn n(&self) -> usize {
        self.n
    }

    /// Number of centres so far.
    pub fn n_centres(&self) -> usize {
        self.n_centres
    }

    /// Squared distance of each candidate to its nearest centre; infinite without any.
    pub fn d2(&self) -> &[f64] {
        &self.d2
    }

    /// The number of each candidate's nearest centre, the first of several; `u32::MAX` without any.
    pub fn nearest(&self) -> &[u32] {
        &self.nearest
    }

    /// Makes candidate `c` a centre; a row goes over to it only when it is strictly nearer. One pass over
    /// the rows, O(n d), or O(n) where [`Nearest::look_ahead`] has been.
    pub fn add(&mut self, c: usize) -> Result<()> {
        let number = self.n_centres as u32;
        let found: Vec<(usize, f64)> = match self.ahead.remove(&c) {
            Some((tiles, column)) => {
                let mut found = vec![];
                let mut at = 0;
                for tile in tiles.iter() {
                    let d2 = &self.d2[at..at + tile.ncols()];
                    let column = tile.row(column);
                    let nearer = column.iter().zip(d2).enumerate().filter(|(_, (d, old))| *d < *old || d.is_nan());
                    found.extend(nearer.map(|(i, (d, _))| (at + i, *d)));
                    at += tile.ncols();
                }
                found
            }
            None => {
                let d2 = &self.d2;
                let tiles = self.tiles(&[c], |at, d| -> Vec<(usize, f64)> {
                    let old = &d2[at..at + d.ncols()];
                    let nearer = d.iter().zip(old).enumerate().filter(|(_, (d, old))| *d < *old || d.is_nan());
                    nearer.map(|(i, (d, _))| (at + i, *d)).collect()
                });
                tiles.concat()
            }
        };
        for (i, d) in found {
            finite(d)?;
            self.d2[i] = d;
            self.nearest[i] = number;
        }
        self.n_centres += 1;
        self.sums.clear();
        Ok(())
    }

    /// Whether adding `c` needs no pass over the rows.
    pub fn is_ahead(&self, c: usize) -> bool {
        self.ahead.contains_key(&c)
    }

    /// Works out the distances to candidates that may become centres soon, all in one pass over the rows:
    /// a pass reads memory for one as for several. Nothing is lost but time if they do not.
    pub fn look_ahead(&mut self, cs: &[usize]) {
        const KEEP: usize = 64;
        if matches!(&*self.form, Form::Kernel(_)) {
            return; // rows of stored matrices are read as they are
        }
        if self.ahead.len() + cs.len() > KEEP {
            self.ahead.clear();
        }
        let tiles = Arc::new(self.tiles(cs, |_, d| d.to_owned()));
        self.ahead.extend(cs.iter().enumerate().map(|(j, &c)| (c, (tiles.clone(), j))));
    }

    /// Squared distances of the candidates `cs` to all: cs x n.
    pub fn distances(&self, cs: &[usize]) -> Array2<f64> {
        let mut out = Array2::zeros((cs.len(), self.n));
        let mut at = 0;
        for tile in self.tiles(cs, |_, d| d.to_owned()) {
            out.slice_mut(s![.., at..at + tile.ncols()]).assign(&tile);
            at += tile.ncols();
        }
        out
    }

    /// For each of `cs`, the sum of all distances to the nearest centre if it were added:
    /// Σ_z min(d²(z), d²(z, c)). One pass over the rows.
    pub fn sums_with(&self, cs: &[usize]) -> Vec<f64> {
        let parts = self.tiles(cs, |at, d| -> Vec<f64> {
            let old = &self.d2[at..at + d.ncols()];
            d.outer_iter().map(|d| d.iter().zip(old).map(|(d, old)| d.min(*old)).sum()).collect()
        });
        parts.iter().fold(vec![0.0; cs.len()], |mut sum, part| {
            sum.iter_mut().zip(part).for_each(|(s, p)| *s += p);
            sum
        })
    }

    /// Draws a candidate with probability proportional to its squared distance to the nearest centre, makes
    /// it a centre and gives its position and that distance; `None` when all distances are 0, and uniformly
    /// while there is no centre.
    ///
    /// Distances are brought up to date only now and then: a draw in proportion to old distances that is
    /// kept with probability new / old is a draw in proportion to new ones, and only the drawn candidate's
    /// new distance is needed. [`Nearest::d2`] lags behind until [`Nearest::settle`].
    pub fn draw(&mut self, rng: &mut StreamRng) -> Result<Option<(usize, f64)>> {
        if self.n_centres == 0 {
            let Some(i) = self.propose(rng)? else { return Ok(None) };
            self.add(i)?;
            return Ok(Some((i, f64::INFINITY)));
        }
        loop {
            // A pass costs about as much as looking at a sixteenth of the candidates one by one.
            if self.rejected > 16 + self.n / 16 {
                self.settle()?;
            }
            let Some(i) = self.propose(rng)? else { return Ok(None) };
            let old = self.d2[i];
            let new = if self.waiting.is_empty() { old } else { self.least(i, &self.waiting) };
            finite(new)?;
            let new = new.min(old);
            if rng.random::<f64>() * old < new {
                self.waiting.push(i);
                return Ok(Some((i, new)));
            }
            self.rejected += 1;
        }
    }

    /// A position drawn in proportion to [`Nearest::d2`], uniformly while there is no centre; `None` when all are 0.
    pub fn propose(&mut self, rng: &mut StreamRng) -> Result<Option<usize>> {
        if self.n == 0 || self.n_centres == 0 {
            return Ok((self.n > 0).then(|| rng.random_range(0..self.n)));
        }
        if self.sums.is_empty() {
            let mut sum = 0.0;
            self.sums.extend(self.d2.iter().map(|d| {
                sum += d;
                sum
            }));
        }
        let total = self.sums.last().copied().unwrap_or(0.0);
        finite(total)?;
        if total <= 0.0 {
            return Ok(None);
        }
        let at = rng.random::<f64>() * total;
        // A product that rounds up to the total belongs to the last candidate that has any part in it.
        let i = self.sums.partition_point(|s| *s <= at);
        Ok(Some(if i < self.n { i } else { self.sums.partition_point(|s| *s < total) }))
    }

    /// Brings all distances up to date with the candidates drawn.
    pub fn settle(&mut self) -> Result<()> {
        let waiting = std::mem::take(&mut self.waiting);
        for group in waiting.chunks(GROUP) {
            self.add_group(group)?;
        }
        self.rejected = 0;
        self.sums.clear();
        Ok(())
    }

    /// Least squared distance of candidate `i` to the candidates `to`.
    pub fn least(&self, i: usize, to: &[usize]) -> f64 {
        match &*self.form {
            Form::Single(t) => t.least(i, to),
            Form::Double(t) => t.least(i, to),
            Form::Kernel(k) => k.least(i, to),
        }
    }

    /// Calls `f` with the first position of each tile and its squared distances to `cs` (cs x tile).
    fn tiles<R: Send>(&self, cs: &[usize], f: impl Fn(usize, Array2<f64>) -> R + Sync) -> Vec<R> {
        match &*self.form {
            Form::Single(t) => t.tiles(cs, f),
            Form::Double(t) => t.tiles(cs, f),
            Form::Kernel(k) => k.tiles(cs, f),
        }
    }

    /// Makes several positions centres in one pass.
    fn add_group(&mut self, cs: &[usize]) -> Result<()> {
        let first = self.n_centres as u32;
        let found = self.tiles(cs, |_, d| least_of(&d));
        let old = self.d2.iter_mut().zip(&mut self.nearest);
        for ((d2, nearest), (d, c)) in old.zip(found.into_iter().flatten()) {
            finite(d)?;
            if d < *d2 {
                (*d2, *nearest) = (d, first + c);
            }
        }
        self.n_centres += cs.len();
        Ok(())
    }
}

/// For each column its least value and the row of it, the first of several; NaN where there is one.
fn least_of(d: &Array2<f64>) -> Vec<(f64, u32)> {
    let mut least = vec![(f64::INFINITY, 0); d.ncols()];
    for (c, row) in (0..).zip(d.outer_iter()) {
        for (best, &v) in least.iter_mut().zip(row) {
            if v < best.0 || v.is_nan() {
                *best = (v, c);
            }
        }
    }
    least
}

fn finite(d: f64) -> Result<()> {
    if d.is_finite() {
        return Ok(());
    }
    Err(Error::Breakdown(format!(
        "a kernel distance between perturbations is {d}; distances must be finite: check the kernel"
    )))
}

/// Single or double precision.
trait Real: Copy + Send + Sync + Into<f64> + ndarray::LinalgScalar {
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
struct Table<T> {
    /// Candidates, then centres.
    x: Array2<T>,
    n: usize,
    norms: Vec<f64>,
}

impl<T: Real> Table<T> {
    fn new(rows: &Rows, ids: &[usize], n: usize, origin: &Array1<f64>) -> Result<Self> {
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

    fn tiles<R: Send>(&self, cs: &[usize], f: impl Fn(usize, Array2<f64>) -> R + Sync) -> Vec<R> {
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

    fn least(&self, i: usize, to: &[usize]) -> f64 {
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
struct Values {
    gram: Gram,
    /// Candidates, then centres, as the matrix numbers them.
    ids: Vec<usize>,
    n: usize,
    diagonal: Vec<f64>,
    /// Distances up to here are rounding.
    zero: f64,
    /// Whether the matrix was prepared for row reads.
    prepared: bool,
}

impl Values {
    fn new(gram: &Gram, ids: Vec<usize>, n: usize) -> Result<Self> {
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

    fn tiles<R: Send>(&self, cs: &[usize], f: impl Fn(usize, Array2<f64>) -> R + Sync) -> Vec<R> {
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

    fn least(&self, i: usize, to: &[usize]) -> f64 {
        let ids: Vec<usize> = to.iter().map(|&j| self.ids[j]).collect();
        let k = self.gram.block(&[self.ids[i]], &ids);
        // `min` passes over NaN, which must not go unseen.
        let less = |a: f64, b: f64| if b >= a { a } else { b };
        to.iter().zip(k.iter()).map(|(&j, k)| self.distance(i, j, *k)).fold(f64::INFINITY, less)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gram::FeatureGram;
    use crate::streams::Streams;
    use rand_distr::{Distribution, StandardNormal};

    fn rows(n: usize, d: usize, far: f64) -> Array2<f64> {
        let mut rng = Streams::new(1).rng("rows");
        Array2::from_shape_simple_fn((n, d), || -> f64 { StandardNormal.sample(&mut rng) }) + far
    }

    fn forms(x: &Array2<f64>) -> Vec<(Gram, f64)> {
        let held = || Rows::Held(Arc::new(x.clone()));
        let shifted = crate::gram::Affine::new(Gram::of_features(x.clone()), 1.0, 1e6);
        vec![
            (Gram::of_features(x.clone()), 1e-10),
            (FeatureGram::linear(held()).single().into(), 2e-5),
            (Gram::stored(x.dot(&x.t())), 1e-10),
            (Gram::new(shifted), 1e-10),
            (FeatureGram::linear(held().map(x.ncols(), |x| x)).into(), 1e-10),
        ]
    }

    /// Distances and nearest centres by the definition.
    fn plain(x: &Array2<f64>, ids: &[usize], centres: &[usize]) -> (Vec<f64>, Vec<u32>) {
        let d2 = |a: usize, b: usize| (&x.row(a) - &x.row(b)).mapv(|v| v * v).sum();
        let nearest = |&i: &usize| {
            let all = centres.iter().enumerate().map(|(c, &s)| (d2(i, s), c as u32));
            all.fold((f64::INFINITY, u32::MAX), |best, v| if v.0 < best.0 { v } else { best })
        };
        ids.iter().map(nearest).unzip()
    }

    #[test]
    fn every_form_keeps_the_distances_of_the_definition() {
        let x = rows(900, 17, 5.0);
        let (ids, centres): (Vec<usize>, Vec<usize>) = (0..900).partition(|i| i % 3 > 0);
        for (f, (gram, tolerance)) in forms(&x).into_iter().enumerate() {
            let mut state = Nearest::new(&gram, &ids, &centres).unwrap();
            let mut all = centres.clone();
            state.look_ahead(&[7, 50, 300]);
            for c in [50, 11, 7, 599, 300] {
                state.add(c).unwrap();
                all.push(ids[c]);
            }
            let (d2, nearest) = plain(&x, &ids, &all);
            assert_eq!(state.nearest(), nearest, "form {f}");
            assert!(state.d2().iter().zip(&d2).all(|(a, b)| (a - b).abs() <= tolerance * (1.0 + b)), "form {f}");
            assert!([50, 11, 7, 599, 300].iter().all(|&c| state.d2()[c] == 0.0));
            let (sums, to) = (state.sums_with(&[3, 4]), state.distances(&[3, 4]));
            for j in 0..2 {
                let want: f64 = state.d2().iter().zip(to.row(j)).map(|(a, b)| a.min(*b)).sum();
                assert!((sums[j] - want).abs() < 1e-9 * want);
                assert_eq!(to[(j, 3 + j)], 0.0);
            }
            assert!((state.least(9, &[3, 4]) - to[(0, 9)].min(to[(1, 9)])).abs() < tolerance * 50.0);
        }
    }

    #[test]
    fn duplicates_are_at_distance_zero_far_from_the_origin() {
        let x = rows(60, 5, 1000.0);
        let x = ndarray::concatenate![Axis(0), x, x];
        let ids: Vec<usize> = (0..120).collect();
        for (gram, _) in &forms(&x)[..2] {
            let mut state = Nearest::new(gram, &ids[60..], &ids[..30]).unwrap();
            assert!(state.d2()[..30].iter().all(|d| *d == 0.0) && state.d2()[30..].iter().all(|d| *d > 0.0));
            assert_eq!(state.nearest()[..30], (0..30).collect::<Vec<u32>>());
            state.add(45).unwrap();
            assert_eq!((state.d2()[45], state.nearest()[45]), (0.0, 30));
        }
    }

    #[test]
    fn draws_settle_to_the_distances_of_all_that_was_drawn() {
        let x = rows(300, 3, 0.0);
        let ids: Vec<usize> = (0..300).collect();
        for (gram, tolerance) in forms(&x) {
            let mut state = Nearest::new(&gram, &ids, &[]).unwrap();
            let mut rng = Streams::new(2).rng("draws");
            let mut drawn = vec![];
            for _ in 0..40 {
                let (i, d2) = state.draw(&mut rng).unwrap().unwrap();
                let own = plain(&x, &[i], &drawn).0[0];
                assert!(own == d2 || (own - d2).abs() < tolerance * (1.0 + own), "{own} {d2}");
                drawn.push(i);
            }
            state.settle().unwrap();
            let (d2, nearest) = plain(&x, &ids, &drawn);
            assert_eq!((state.n_centres(), state.nearest()), (40, &nearest[..]));
            assert!(state.d2().iter().zip(&d2).all(|(a, b)| (a - b).abs() <= tolerance * (1.0 + b)));
        }
    }
}
