//! The divergence, and its error by random halves.

use super::index::{Index, Neighbours, TILE};
use super::search::Without;
use ndarray::{Array1, ArrayView2, Axis};
use numerics::{Error, Result};
use rand::Rng;
use rand::seq::SliceRandom;
use rayon::prelude::*;

/// Neighbours of which k are of one half but for a few in a thousand.
fn listed(k: usize) -> usize {
    3 * k + 6
}

/// An estimate of KL(P ‖ Q).
#[derive(Clone, Debug, PartialEq)]
pub struct Kl {
    /// The estimate; may be negative.
    pub value: f64,
    /// Samples of P with k others of P, or k of Q, in the same place. Their distances count as 1e-12 of the spread.
    pub duplicates: usize,
    /// Of each random split of P and Q into halves, the difference of the two estimates. The same splits of P belong to
    /// all estimates that share it, so that of a sum of estimates the differences are added.
    pub halves: Option<Vec<f64>>,
}

/// Standard error of a statistic, and its degrees of freedom, from the differences between its values by the halves of
/// random splits, with `units` independent units in its smallest sample.
pub fn half_error(apart: &[f64], units: usize) -> (f64, f64) {
    let n = apart.len() as f64;
    let variance = apart.iter().map(|d| d * d).sum::<f64>() / (4.0 * n);
    (variance.sqrt(), 1.0 / (1.0 / n + 1.0 / (units as f64 - 1.0)))
}

/// Random splits of samples into two halves.
#[derive(Clone, Debug)]
pub struct Halves {
    /// Of each sample a bit a split.
    pub(super) bits: Vec<u64>,
    splits: usize,
}

impl Halves {
    /// `splits` (at most 64) splits of `n` samples, or of the units they belong to, numbered from 0 without gaps.
    pub fn new(n: usize, units: Option<&[usize]>, splits: usize, rng: &mut impl Rng) -> Self {
        let count = units.map_or(n, |u| u.iter().max().map_or(0, |m| m + 1));
        let mut of_unit = vec![0u64; count];
        let mut order: Vec<usize> = (0..count).collect();
        let splits = splits.min(64);
        for r in 0..splits {
            order.shuffle(rng);
            order[..count / 2].iter().for_each(|u| of_unit[*u] |= 1 << r);
        }
        Self { bits: (0..n).map(|i| of_unit[units.map_or(i, |u| u[i])]).collect(), splits }
    }

    /// Samples whose bit is set.
    fn set(&self, r: usize) -> usize {
        self.bits.iter().filter(|b| *b >> r & 1 == 1).count()
    }

    /// Whether every half has at least so many samples.
    fn enough(&self, least: usize) -> bool {
        (0..self.splits).map(|r| self.set(r)).all(|set| set >= least && self.bits.len() - set >= least)
    }
}

/// P of many estimates: its index, its own neighbours, its halves.
pub struct Base {
    index: Index,
    own: Neighbours,
    halves: Option<Halves>,
    k: usize,
    spread: f64,
    mean: Array1<f64>,
}

fn spread(x: ArrayView2<f64>) -> (Array1<f64>, f64) {
    let mean = x.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(x.ncols()));
    let squares = x.outer_iter().map(|r| r.iter().zip(&mean).map(|(a, b)| (a - b) * (a - b)).sum::<f64>()).sum::<f64>();
    (mean, squares / x.nrows() as f64)
}

fn enough(x: ArrayView2<f64>, least: usize, k: usize, which: &str) -> Result<()> {
    if k == 0 || x.nrows() < least || x.ncols() == 0 {
        return Err(Error::Input(format!(
            "a divergence by {k} nearest neighbours needs k of at least 1 and {least} samples of {which}, and there are \
             {} of {} features",
            x.nrows(),
            x.ncols()
        )));
    }
    if let Some(((row, column), v)) = x.indexed_iter().find(|(_, v)| !v.is_finite()) {
        return Err(Error::Input(format!(
            "sample {} of {which} has the value {v} as its feature {}; values must be finite",
            row + 1,
            column + 1
        )));
    }
    Ok(())
}

impl Base {
    /// Of samples of P, with splits where errors are asked for.
    pub fn new(x: ArrayView2<f64>, k: usize, halves: Option<Halves>) -> Result<Self> {
        enough(x, k + 1, k, "the first distribution")?;
        let index = Index::new(x);
        let halves = halves.filter(|h| h.enough(k + 1));
        let ask = if halves.is_some() { listed(k) } else { k };
        let own = index.own(ask.min(x.nrows() - 1));
        let (mean, spread) = spread(x);
        Ok(Self { index, own, halves, k, spread, mean })
    }

    /// KL(P ‖ Q).
    pub fn kl(&self, y: ArrayView2<f64>, halves: Option<&Halves>) -> Result<Kl> {
        let k = self.k;
        enough(y, k, k, "the second distribution")?;
        if y.ncols() != self.index.d {
            return Err(Error::Input(format!("samples of {} and {} features", self.index.d, y.ncols())));
        }
        let (n, m, d) = (self.index.len(), y.nrows(), self.index.d as f64);
        let halves = self.halves.as_ref().zip(halves.filter(|h| h.enough(k)));
        let halves = halves.filter(|(p, q)| p.splits == q.splits);
        let index = Index::new(y);
        let other = index.nearest(&self.index, if halves.is_some() { listed(k) } else { k }.min(m));
        // All squares about the common mean.
        let (mean, spread) = spread(y);
        let (share, apart) = (m as f64 / (n + m) as f64, &mean - &self.mean);
        let scale = (1.0 - share) * self.spread + share * spread + share * (1.0 - share) * apart.dot(&apart);
        if scale == 0.0 {
            // One place for all: no difference.
            return Ok(Kl { value: 0.0, duplicates: n, halves: halves.map(|h| vec![0.0; h.0.splits]) });
        }
        let (floor, log) = (1e-24 * scale, |d2: f64| 0.5 * d2.ln());
        let at = |of: &Neighbours, i: usize| of.d2[i * of.k + k - 1];
        let term = |i: usize| log(at(&other, i).max(floor)) - log(at(&self.own, i).max(floor));
        let terms: Vec<f64> = (0..n).map(term).collect();
        let duplicates = (0..n).filter(|i| at(&other, *i) <= floor || at(&self.own, *i) <= floor).count();
        let total: f64 = terms.iter().sum();
        let value = |sum: f64, n: usize, m: usize| d * sum / n as f64 + (m as f64 / (n as f64 - 1.0)).ln();
        let whole = value(total, n, m);
        let halves = halves.map(|(p, q)| {
            let order = self.index.order();
            let of_query: Vec<u64> = order.iter().map(|i| p.bits[*i as usize]).collect();
            let own = half_logs(&self.index, &self.own, &self.index, p, &of_query, k, floor, true);
            let across = half_logs(&index, &other, &self.index, q, &of_query, k, floor, false);
            let apart = |r: usize| {
                let (n1, m1) = (p.set(r), q.set(r));
                let (of_own, of_other) = (own[r], across[r]);
                value(of_other[1] - of_own[1], n1, m1) - value(of_other[0] - of_own[0], n - n1, m - m1)
            };
            (0..p.splits).map(apart).collect()
        });
        Ok(Kl { value: whole, duplicates, halves })
    }
}

/// Of each split the sums of ln(distance to the k-th neighbour of the same half), over queries whose bit is clear and
/// whose bit is set.
#[allow(clippy::too_many_arguments)]
fn half_logs(
    index: &Index,
    found: &Neighbours,
    queries: &Index,
    halves: &Halves,
    of_query: &[u64],
    k: usize,
    floor: f64,
    own: bool,
) -> Vec<[f64; 2]> {
    let log = |d2: f64| 0.5 * d2.max(floor).ln();
    // Tiles of queries: their sums, and where the list is too short.
    type Part = (Vec<[f64; 2]>, Vec<(u32, u32)>);
    let tile = |t: usize| -> Part {
        let (mut sums, mut open) = (vec![[0.0; 2]; halves.splits], vec![]);
        let mut logs = vec![0.0; found.k];
        for (i, bits) in of_query.iter().enumerate().take(((t + 1) * TILE).min(queries.len())).skip(t * TILE) {
            let row = i * found.k..(i + 1) * found.k;
            logs.iter_mut().zip(&found.d2[row.clone()]).for_each(|(l, d2)| *l = log(*d2));
            let at = &found.at[row];
            for (r, sums) in sums.iter_mut().enumerate() {
                let mine = bits >> r & 1;
                let mut left = k;
                let hit = at.iter().position(|a| {
                    left -= usize::from(halves.bits[*a as usize] >> r & 1 == mine);
                    left == 0
                });
                match hit {
                    Some(p) => sums[mine as usize] += logs[p],
                    None => open.push((i as u32, r as u32)),
                }
            }
        }
        (sums, open)
    };
    let parts: Vec<Part> = (0..queries.len().div_ceil(TILE)).into_par_iter().map(tile).collect();
    let mut sums = vec![[0.0; 2]; halves.splits];
    for (part, _) in &parts {
        sums.iter_mut().zip(part).for_each(|(s, p)| *s = [s[0] + p[0], s[1] + p[1]]);
    }
    let d = index.d;
    // A point is its own nearest neighbour; one more is asked for, and it is passed over.
    let ask = k + usize::from(own);
    for (r, sums) in sums.iter_mut().enumerate() {
        let of_split = |p: &Part| p.1.iter().filter(|o| o.1 as usize == r).map(|o| o.0 as usize).collect::<Vec<_>>();
        let open: Vec<usize> = parts.iter().flat_map(of_split).collect();
        if open.is_empty() {
            continue;
        }
        let points: Vec<f64> = open.iter().flat_map(|i| queries.points[i * d..(i + 1) * d].iter().copied()).collect();
        let labels: Vec<u32> = halves.bits.iter().map(|b| (b >> r & 1) as u32).collect();
        let other_half: Vec<u32> = open.iter().map(|i| 1 - (of_query[*i] >> r & 1) as u32).collect();
        let more = index.run(&points, ask, Some(Without { labels: &labels, of_query: &other_half }));
        for (q, i) in open.iter().enumerate() {
            let row = q * ask..(q + 1) * ask;
            let all = more.d2[row.clone()].iter().zip(&more.at[row]);
            let others = all.filter(|(_, a)| !own || **a != queries.order[*i]);
            if let Some((d2, _)) = others.take(k).last() {
                sums[(of_query[*i] >> r & 1) as usize] += log(*d2);
            }
        }
    }
    sums
}

/// KL(P ‖ Q) from the rows of `x`, samples of P, and `y`, samples of Q, by the `k`-th neighbours.
pub fn knn_kl(x: ArrayView2<f64>, y: ArrayView2<f64>, k: usize) -> Result<Kl> {
    Base::new(x, k, None)?.kl(y, None)
}
