//! The state: distances to the nearest centre, and which it is.

use super::distances::{Table, Values};
use crate::error::{Error, Result};
use crate::gram::features::{Features, Rows};
use crate::gram::matrix::Gram;
use crate::memory::Limit;
use crate::streams::StreamRng;
use ndarray::{Array1, Array2, Axis, s};
use rand::RngExt;
use std::collections::HashMap;
use std::sync::Arc;

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
    form: Arc<Distances>,
    pub(super) n: usize,
    pub(super) n_centres: usize,
    pub(super) d2: Vec<f64>,
    pub(super) nearest: Vec<u32>,
    /// Distances worked out ahead of need, by position: tiles of several columns and which column it is.
    ahead: HashMap<usize, (Columns, usize)>,
    /// For draws in proportion: cumulative `d2`, the centres drawn since, and how many draws were rejected.
    sums: Vec<f64>,
    waiting: Vec<usize>,
    rejected: usize,
}

enum Distances {
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
        // Above the limit rows are formed at each read.
        match gram.rows().filter(|r| Limit::USUAL.check(&[ids.len(), r.d()]).is_ok()) {
            Some(rows) => {
                let some = &ids[..ids.len().min(1)];
                let single = matches!(gram.restrict(some).features(), Some(Features::F32(_)));
                Self::of_rows(&rows, single, ids, centres)
            }
            None => Self::start(
                Distances::Kernel(Values::new(gram, joined(ids, centres), ids.len())?),
                ids.len(),
                centres.len(),
            ),
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
            true => Distances::Single(Table::new(rows, &all, ids.len(), &origin)?),
            false => Distances::Double(Table::new(rows, &all, ids.len(), &origin)?),
        };
        Self::start(form, ids.len(), centres.len())
    }

    /// Enters the first centres, which stand behind the `n` candidates.
    fn start(form: Distances, n: usize, n_centres: usize) -> Result<Self> {
        let mut state = Self::bare(Arc::new(form), n);
        let centres: Vec<usize> = (n..n + n_centres).collect();
        for group in centres.chunks(GROUP) {
            state.add_group(group)?;
        }
        Ok(state)
    }

    fn bare(form: Arc<Distances>, n: usize) -> Self {
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
        if matches!(&*self.form, Distances::Kernel(_)) {
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
            Distances::Single(t) => t.least(i, to),
            Distances::Double(t) => t.least(i, to),
            Distances::Kernel(k) => k.least(i, to),
        }
    }

    /// Calls `f` with the first position of each tile and its squared distances to `cs` (cs x tile).
    fn tiles<R: Send>(&self, cs: &[usize], f: impl Fn(usize, Array2<f64>) -> R + Sync) -> Vec<R> {
        match &*self.form {
            Distances::Single(t) => t.tiles(cs, f),
            Distances::Double(t) => t.tiles(cs, f),
            Distances::Kernel(k) => k.tiles(cs, f),
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

pub(super) fn finite(d: f64) -> Result<()> {
    if d.is_finite() {
        return Ok(());
    }
    Err(Error::Breakdown(format!(
        "a kernel distance between perturbations is {d}; distances must be finite: check the kernel"
    )))
}
