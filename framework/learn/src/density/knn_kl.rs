//! Nearest neighbours, and the Kullback-Leibler divergence that follows from their distances.
//!
//! Of n samples x of P and m samples of Q in d dimensions, KL(P ‖ Q) is estimated by
//! (d/n) Σᵢ ln(νₖ(xᵢ)/ρₖ(xᵢ)) + ln(m/(n - 1)), ρₖ the distance to the k-th neighbour among the other samples of P, νₖ
//! that to the k-th among those of Q (Wang, Kulkarni & Verdú 2009). It can be negative, and it lies below the truth
//! where samples of P fall where Q has next to none.
//!
//! Neighbours come from a k-d tree up to ten dimensions (leaves of 16 points, one dimension after another, so that a
//! leaf is compared eight or sixteen numbers at a time; bounds are exact in floating point, no neighbour is missed),
//! and from tiled products above. Queries go in the order of their own tree, so that the next one finds its part of
//! the other tree in the cache. O((n + m) log m) in few dimensions, O(n m d) in many.
//!
//! The error of an estimate comes from estimates by random halves of the samples, whose difference has four times its
//! variance. The bootstrap would put each sample in twice, at distance 0 to itself, and the jackknife counts what
//! neighbours do together twice (Efron & Stein 1981): in simulations its variance was 1.6 times too large. A list of about
//! 3 k neighbours tells the distances within nearly all halves; the few others are searched for.

use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use numerics::linalg::product_into;
use numerics::{Error, Result};
use rand::Rng;
use rand::seq::SliceRandom;
use rayon::prelude::*;

/// Points of a leaf.
const LEAF: usize = 16;
/// Queries of a task.
const TILE: usize = 256;
/// Dimensions up to which a tree pays.
const TREE: usize = 10;
/// Points compared at once by a product, and how many more than k are then compared exactly.
const BLOCK: usize = 1024;
const SPARE: usize = 8;

/// Neighbours of which k are of one half but for a few in a thousand.
fn listed(k: usize) -> usize {
    3 * k + 6
}

/// Nearest points of each query, nearest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbours {
    /// How many a query.
    pub k: usize,
    /// Squared distances, query after query in the order of [`Index::order`] of the queries.
    pub d2: Vec<f64>,
    /// Numbers of the points.
    pub at: Vec<u32>,
}

/// A point is passed over where its label is that of the query.
#[derive(Clone, Copy)]
struct Without<'a> {
    labels: &'a [u32],
    of_query: &'a [u32],
}

trait Search: Send + Sync {
    /// Writes squared distances and numbers of the nearest of `queries` (row by row).
    fn search(&self, queries: &[f64], k: usize, without: Option<Without>, d2: &mut [f64], at: &mut [u32]);
}

/// Points in which to look for neighbours.
pub struct Index {
    search: Box<dyn Search>,
    d: usize,
    /// Row by row, in the order of the index.
    points: Vec<f64>,
    order: Vec<u32>,
}

impl Index {
    /// Of the rows of `x`, all finite, of at least one number.
    pub fn new(x: ArrayView2<f64>) -> Self {
        match x.ncols() {
            1 => Self::tree::<1>(x),
            2 => Self::tree::<2>(x),
            3 => Self::tree::<3>(x),
            4 => Self::tree::<4>(x),
            5 => Self::tree::<5>(x),
            6 => Self::tree::<6>(x),
            7 => Self::tree::<7>(x),
            8 => Self::tree::<8>(x),
            9 => Self::tree::<9>(x),
            TREE => Self::tree::<TREE>(x),
            _ => Self::brute(x),
        }
    }

    fn tree<const D: usize>(x: ArrayView2<f64>) -> Self {
        let row = |(i, r): (usize, ndarray::ArrayView1<f64>)| (std::array::from_fn(|j| r[j]), i as u32);
        let mut points: Vec<([f64; D], u32)> = x.outer_iter().enumerate().map(row).collect();
        let mut nodes = Vec::with_capacity(2 * points.len().div_ceil(LEAF));
        split(&mut points, 0, &mut nodes);
        let mut blocks = vec![[[f64::INFINITY; LEAF]; D]; points.len().div_ceil(LEAF)];
        for (i, (p, _)) in points.iter().enumerate() {
            for j in 0..D {
                blocks[i / LEAF][j][i % LEAF] = p[j];
            }
        }
        let order: Vec<u32> = points.iter().map(|p| p.1).collect();
        let flat = points.iter().flat_map(|p| p.0).collect();
        Self { search: Box::new(Tree { nodes, blocks, ids: order.clone() }), d: D, points: flat, order }
    }

    fn brute(x: ArrayView2<f64>) -> Self {
        let centre = x.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(x.ncols()));
        let moved = &x - &centre;
        let norms = moved.outer_iter().map(|r| r.dot(&r)).collect();
        Self {
            search: Box::new(Brute { x: moved, norms, centre }),
            d: x.ncols(),
            points: x.iter().copied().collect(),
            order: (0..x.nrows() as u32).collect(),
        }
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// True without points.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Numbers of the points in the order in which they are taken as queries.
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// The `k` nearest of these points to each point of `queries`.
    pub fn nearest(&self, queries: &Index, k: usize) -> Neighbours {
        self.run(&queries.points, k, None)
    }

    /// The `k` nearest others of each of these points.
    pub fn own(&self, k: usize) -> Neighbours {
        let labels: Vec<u32> = (0..self.len() as u32).collect();
        self.run(&self.points, k, Some(Without { labels: &labels, of_query: &self.order }))
    }

    fn run(&self, queries: &[f64], k: usize, without: Option<Without>) -> Neighbours {
        let n = queries.len() / self.d;
        let (mut d2, mut at) = (vec![f64::INFINITY; n * k], vec![u32::MAX; n * k]);
        let parts = d2.par_chunks_mut(TILE * k).zip(at.par_chunks_mut(TILE * k));
        parts.zip(queries.par_chunks(TILE * self.d)).enumerate().for_each(|(t, ((d2, at), q))| {
            let rows = t * TILE..t * TILE + d2.len() / k;
            let without = without.map(|w| Without { of_query: &w.of_query[rows], ..w });
            self.search.search(q, k, without, d2, at);
        });
        Neighbours { k, d2, at }
    }
}

struct Node {
    /// Dimension of the cut; of a leaf, its number.
    dim: u32,
    /// The second child, the first follows at once; 0 for a leaf.
    right: u32,
    /// Largest value of the first child, smallest of the second.
    below: f64,
    above: f64,
}

/// Cuts points along their widest dimension, whole leaves to the left.
fn split<const D: usize>(points: &mut [([f64; D], u32)], leaf: usize, nodes: &mut Vec<Node>) {
    let at = nodes.len();
    nodes.push(Node { dim: leaf as u32, right: 0, below: 0.0, above: 0.0 });
    if points.len() <= LEAF {
        return;
    }
    let (mut low, mut high) = ([f64::INFINITY; D], [f64::NEG_INFINITY; D]);
    for (p, _) in points.iter() {
        for j in 0..D {
            low[j] = if p[j] < low[j] { p[j] } else { low[j] };
            high[j] = if p[j] > high[j] { p[j] } else { high[j] };
        }
    }
    let dim = (1..D).fold(0, |best, j| if high[j] - low[j] > high[best] - low[best] { j } else { best });
    let half = (points.len() / 2).next_multiple_of(LEAF);
    let (left, middle, _) =
        points.select_nth_unstable_by(half, |a, b| a.0[dim].total_cmp(&b.0[dim]).then(a.1.cmp(&b.1)));
    let below = left.iter().fold(f64::NEG_INFINITY, |m, p| m.max(p.0[dim]));
    let above = middle.0[dim];
    let (left, right) = points.split_at_mut(half);
    split(left, leaf, nodes);
    nodes[at] = Node { dim: dim as u32, right: nodes.len() as u32, below, above };
    split(right, leaf + half / LEAF, nodes);
}

struct Tree<const D: usize> {
    nodes: Vec<Node>,
    /// Coordinates of each leaf, infinite where there is no point.
    blocks: Vec<[[f64; LEAF]; D]>,
    ids: Vec<u32>,
}

impl<const D: usize> Search for Tree<D> {
    fn search(&self, queries: &[f64], k: usize, without: Option<Without>, d2: &mut [f64], at: &mut [u32]) {
        search_tree(self, queries, k, without, d2, at)
    }
}

wide! {
    fn search_tree<const D: usize>(
        tree: &Tree<D>,
        queries: &[f64],
        k: usize,
        without: Option<Without>,
        d2: &mut [f64],
        at: &mut [u32],
    ) {
        tree.all(queries, k, without, d2, at)
    }
}

/// A part of the tree to be looked at: its node, the least squared distance of a point there, and the distance from
/// the query along each dimension.
type Waiting<const D: usize> = (u32, f64, [f64; D]);

impl<const D: usize> Tree<D> {
    #[inline(always)]
    fn all(&self, queries: &[f64], k: usize, without: Option<Without>, d2: &mut [f64], at: &mut [u32]) {
        let mut waiting: Vec<Waiting<D>> = Vec::with_capacity(64);
        let own = d2.chunks_exact_mut(k).zip(at.chunks_exact_mut(k));
        for (i, (q, (d2, at))) in queries.as_chunks::<D>().0.iter().zip(own).enumerate() {
            self.one(q, without.map(|w| (w.labels, w.of_query[i])), d2, at, &mut waiting);
        }
    }

    #[inline(always)]
    fn one(
        &self,
        q: &[f64; D],
        without: Option<(&[u32], u32)>,
        best: &mut [f64],
        at: &mut [u32],
        waiting: &mut Vec<Waiting<D>>,
    ) {
        let last = best.len() - 1;
        let mut worst = best[last];
        waiting.push((0, 0.0, [0.0; D]));
        while let Some((mut n, least, away)) = waiting.pop() {
            if least >= worst {
                continue;
            }
            loop {
                let node = &self.nodes[n as usize];
                if node.right == 0 {
                    self.leaf(node.dim as usize, q, without, best, at, &mut worst);
                    break;
                }
                let j = node.dim as usize;
                let (to_left, to_right) = (q[j] - node.below, node.above - q[j]);
                let (near, far, gap) =
                    if to_left <= to_right { (n + 1, node.right, to_right) } else { (node.right, n + 1, to_left) };
                // Summed in the order of the distances themselves: rounding cannot lift the bound above them.
                let mut other = away;
                other[j] = gap;
                let mut bound = 0.0;
                for o in other {
                    bound += o * o;
                }
                if bound < worst {
                    waiting.push((far, bound, other));
                }
                n = near;
            }
        }
    }

    #[inline(always)]
    fn leaf(
        &self,
        leaf: usize,
        q: &[f64; D],
        without: Option<(&[u32], u32)>,
        best: &mut [f64],
        at: &mut [u32],
        worst: &mut f64,
    ) {
        let block = &self.blocks[leaf];
        let mut d2 = [0.0; LEAF];
        for j in 0..D {
            for l in 0..LEAF {
                let v = q[j] - block[j][l];
                d2[l] += v * v;
            }
        }
        let mut least = d2;
        let mut width = LEAF / 2;
        while width > 0 {
            for l in 0..width {
                least[l] = if least[l + width] < least[l] { least[l + width] } else { least[l] };
            }
            width /= 2;
        }
        if least[0] >= *worst {
            return;
        }
        for (l, v) in d2.into_iter().enumerate() {
            if v < *worst {
                let id = self.ids[leaf * LEAF + l];
                if without.is_none_or(|(labels, own)| labels[id as usize] != own) {
                    *worst = insert(best, at, v, id);
                }
            }
        }
    }
}

/// Puts a nearer point in its place; gives the distance of the last.
#[inline(always)]
fn insert(best: &mut [f64], at: &mut [u32], v: f64, id: u32) -> f64 {
    let mut p = best.len() - 1;
    while p > 0 && best[p - 1] > v {
        (best[p], at[p]) = (best[p - 1], at[p - 1]);
        p -= 1;
    }
    (best[p], at[p]) = (v, id);
    best[best.len() - 1]
}

struct Brute {
    /// About their mean.
    x: Array2<f64>,
    norms: Vec<f64>,
    centre: Array1<f64>,
}

impl Search for Brute {
    fn search(&self, queries: &[f64], k: usize, without: Option<Without>, d2: &mut [f64], at: &mut [u32]) {
        let d = self.centre.len();
        let mut q = crate::nn::batch_norm::rows(queries, d).to_owned();
        q.outer_iter_mut().for_each(|mut r| r -= &self.centre);
        let keep = (k + SPARE).min(self.norms.len());
        let (mut best, mut found) = (vec![f64::INFINITY; q.nrows() * keep], vec![u32::MAX; q.nrows() * keep]);
        let mut products = Array2::zeros((q.nrows(), BLOCK));
        for from in (0..self.norms.len()).step_by(BLOCK) {
            let to = (from + BLOCK).min(self.norms.len());
            let mut tile = products.slice_mut(s![.., ..to - from]);
            product_into(&mut tile, q.view(), self.x.slice(s![from..to, ..]).t(), false, -2.0);
            let own = best.chunks_exact_mut(keep).zip(found.chunks_exact_mut(keep));
            for (i, (row, (best, found))) in tile.outer_iter().zip(own).enumerate() {
                // Without the norm of the query, which does not change the order.
                let mut worst = best[keep - 1];
                for (j, (p, n)) in row.iter().zip(&self.norms[from..to]).enumerate() {
                    let (v, id) = (p + n, (from + j) as u32);
                    if v < worst && without.is_none_or(|w| w.labels[from + j] != w.of_query[i]) {
                        worst = insert(best, found, v, id);
                    }
                }
            }
        }
        // Norms and products lose digits between near points: the few that are left are compared directly.
        let own = d2.chunks_exact_mut(k).zip(at.chunks_exact_mut(k));
        for ((q, found), (d2, at)) in q.outer_iter().zip(found.chunks_exact(keep)).zip(own) {
            for id in found.iter().filter(|id| **id != u32::MAX) {
                let v: f64 = q.iter().zip(self.x.row(*id as usize)).map(|(a, b)| (a - b) * (a - b)).sum();
                if v < d2[k - 1] {
                    insert(d2, at, v, *id);
                }
            }
        }
    }
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
    bits: Vec<u64>,
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

#[cfg(test)]
mod tests {
    use super::*;
    use numerics::streams::Streams;
    use rand_distr::{Distribution, StandardNormal};

    fn normal(n: usize, d: usize, shift: f64, name: &str) -> Array2<f64> {
        let mut rng = Streams::new(4).rng(name);
        Array2::from_shape_fn((n, d), |(_, j)| {
            let z: f64 = StandardNormal.sample(&mut rng);
            z + if j == 0 { shift } else { 0.0 }
        })
    }

    fn distance(a: ArrayView2<f64>, i: usize, b: ArrayView2<f64>, j: usize) -> f64 {
        a.row(i).iter().zip(b.row(j)).map(|(x, y)| (x - y) * (x - y)).sum()
    }

    /// Distances to the k nearest, by the definition.
    fn plain(x: ArrayView2<f64>, y: ArrayView2<f64>, k: usize, own: bool) -> Vec<Vec<f64>> {
        (0..x.nrows())
            .map(|i| {
                let mut all: Vec<f64> =
                    (0..y.nrows()).filter(|j| !own || i != *j).map(|j| distance(x, i, y, j)).collect();
                all.sort_by(f64::total_cmp);
                all.truncate(k);
                all
            })
            .collect()
    }

    #[test]
    fn neighbours_are_those_of_brute_force() {
        for (d, n, m) in
            [(1, 300, 200), (2, 17, 16), (3, 700, 530), (5, 257, 33), (10, 300, 300), (11, 300, 1100), (40, 90, 90)]
        {
            let mut x = normal(n, d, 0.3, "x");
            let y = normal(m, d, 0.0, "y");
            // Duplicates, within and across.
            x.row_mut(3).assign(&y.row(5));
            let again = x.row(1).to_owned();
            x.row_mut(7).assign(&again);
            let (p, q) = (Index::new(x.view()), Index::new(y.view()));
            for k in [1, 4, 16] {
                for (found, want) in [
                    (q.nearest(&p, k), plain(x.view(), y.view(), k, false)),
                    (p.own(k), plain(x.view(), x.view(), k, true)),
                ] {
                    for (r, i) in p.order().iter().enumerate() {
                        let got = &found.d2[r * k..(r + 1) * k];
                        let want = &want[*i as usize];
                        assert_eq!(want.len(), k);
                        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-12 * (1.0 + b);
                        assert!(got.iter().zip(want).all(near), "d {d} k {k}: {got:?} {want:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn golden_divergences() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/numerics.json");
        let all: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let mut seen = 0;
        for case in all["two_sample"].as_array().unwrap() {
            let table = |name: &str| {
                let rows: Vec<Vec<f64>> = serde_json::from_value(case[name].clone()).unwrap();
                Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j])
            };
            let (x, y) = (table("x"), table("y"));
            for kl in case["knn_kl"].as_array().unwrap() {
                let got = knn_kl(x.view(), y.view(), kl["k"].as_u64().unwrap() as usize).unwrap();
                for (name, want) in kl.as_object().unwrap().iter().filter(|(name, _)| *name != "k") {
                    let want = want.as_f64().unwrap();
                    let got = match name.as_str() {
                        "kl_x_to_y" | "kl" | "x_to_y" | "kl_xy" => got.value,
                        _ => knn_kl(y.view(), x.view(), kl["k"].as_u64().unwrap() as usize).unwrap().value,
                    };
                    assert!((got - want).abs() < 1e-9 * want.abs().max(1.0), "{name}: {got} {want}");
                    seen += 1;
                }
            }
        }
        assert!(seen >= 9);
    }

    #[test]
    fn known_divergences_and_special_samples() {
        // KL of normals a shift of 1 apart is 1/2.
        let (x, y) = (normal(4000, 2, 1.0, "x"), normal(3000, 2, 0.0, "y"));
        let kl = knn_kl(x.view(), y.view(), 5).unwrap();
        assert!((kl.value - 0.5).abs() < 0.06 && kl.duplicates == 0, "{kl:?}");
        let same = Array2::<f64>::ones((10, 2));
        assert_eq!(knn_kl(same.view(), same.view(), 3).unwrap(), Kl { value: 0.0, duplicates: 10, halves: None });
        let far = knn_kl(same.view(), y.view(), 3).unwrap();
        assert!(far.value > 20.0 && far.value.is_finite() && far.duplicates == 10);
        let text = |r: Result<Kl>| r.unwrap_err().to_string();
        assert!(text(knn_kl(same.slice(s![..3, ..]), y.view(), 3)).contains("needs k of at least 1 and 4 samples"));
        let mut bad = x.clone();
        bad[(2, 1)] = f64::NAN;
        assert!(text(knn_kl(bad.view(), y.view(), 1)).contains("sample 3"));
    }

    #[test]
    fn halves_are_estimated_by_themselves() {
        for d in [2, 12] {
            let (x, y) = (normal(60, d, 0.5, "x"), normal(45, d, 0.0, "y"));
            let rng = &mut Streams::new(1).rng("halves");
            // Units that own whole regions, so that lists are too short.
            let units: Vec<usize> = (0..60).map(|i| if x[(i, 0)] > 0.8 { 0 } else { 1 + i % 20 }).collect();
            let (p, q) = (Halves::new(60, Some(&units), 30, rng), Halves::new(45, None, 30, rng));
            let kl = Base::new(x.view(), 2, Some(p.clone())).unwrap().kl(y.view(), Some(&q)).unwrap();
            let half = |x: &Array2<f64>, h: &Halves, r: usize, bit: u64| {
                let keep: Vec<usize> = (0..x.nrows()).filter(|i| h.bits[*i] >> r & 1 == bit).collect();
                x.select(Axis(0), &keep)
            };
            for (r, apart) in kl.halves.unwrap().iter().enumerate() {
                let of = |bit| knn_kl(half(&x, &p, r, bit).view(), half(&y, &q, r, bit).view(), 2).unwrap().value;
                let want = of(1) - of(0);
                assert!((apart - want).abs() < 1e-10, "{r}: {apart} {want}");
            }
        }
    }

    #[test]
    fn the_error_of_a_mean_by_halves_is_its_error() {
        let x: Vec<f64> = (0..40).map(|i| f64::from(i * i % 17)).collect();
        let halves = Halves::new(40, None, 64, &mut Streams::new(2).rng("halves"));
        let apart =
            |r: usize| (0..40).map(|i| x[i] / if halves.bits[i] >> r & 1 == 1 { 20.0 } else { -20.0 }).sum::<f64>();
        let (error, df) = half_error(&(0..64).map(apart).collect::<Vec<f64>>(), 40);
        let want = numerics::stats::sd(&x) / 40f64.sqrt();
        assert!((error / want - 1.0).abs() < 0.25, "{error} {want}");
        assert!((df - 1.0 / (1.0 / 64.0 + 1.0 / 39.0)).abs() < 1e-12);
    }

    #[test]
    fn threads_change_no_bit() {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                [3, 14].map(|d| {
                    let halves = Halves::new(700, None, 9, &mut Streams::new(1).rng("halves"));
                    let base = Base::new(normal(700, d, 0.4, "x").view(), 5, Some(halves.clone())).unwrap();
                    base.kl(normal(700, d, 0.0, "y").view(), Some(&halves)).unwrap()
                })
            })
        };
        assert!(run(1) == run(4));
    }
}
