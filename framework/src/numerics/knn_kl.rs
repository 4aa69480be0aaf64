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
//! The error of an estimate is found by the jackknife over groups of samples: the bootstrap would put each sample in
//! twice, at distance 0 to itself. The list of a few more than k neighbours tells what the distances are without any
//! group; a new search is needed only where a group owns most of the list.

use super::linalg::product_into;
use crate::error::{Error, Result};
use ndarray::{Array1, Array2, ArrayView2, Axis, s};
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
/// Neighbours beyond the k-th that the jackknife keeps.
const MORE: usize = 6;

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
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx2")]
            fn wide<const D: usize>(
                tree: &Tree<D>,
                queries: &[f64],
                k: usize,
                without: Option<Without>,
                d2: &mut [f64],
                at: &mut [u32],
            ) {
                tree.all(queries, k, without, d2, at)
            }
            if is_x86_feature_detected!("avx2") {
                // SAFETY: the feature that the function is compiled for was just found.
                return unsafe { wide(self, queries, k, without, d2, at) };
            }
        }
        self.all(queries, k, without, d2, at)
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
        let mut q = super::batch_norm::rows(queries, d).to_owned();
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
    /// What each group of P, and all groups of Q together, add to the variance of the estimate.
    pub error: Option<GroupError>,
}

/// Error of an estimate by the jackknife. A sum of estimates that share P has the sum of their `of_p`.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupError {
    /// A number for each group of P; their squares sum to the variance.
    pub of_p: Vec<f64>,
    /// The variance that comes from Q, and the number of its groups.
    pub of_q: f64,
    /// Groups of Q.
    pub groups_q: usize,
}

/// Which group each sample belongs to, numbered from 0 without gaps.
#[derive(Clone, Debug)]
pub struct Groups {
    /// Of each sample.
    pub of: Vec<u32>,
    /// Samples of each.
    pub sizes: Vec<usize>,
}

impl Groups {
    /// From the group of each sample.
    pub fn new(of: Vec<u32>) -> Self {
        let mut sizes = vec![0; of.iter().max().map_or(0, |m| *m as usize + 1)];
        of.iter().for_each(|g| sizes[*g as usize] += 1);
        Self { of, sizes }
    }

    /// What samples are left without the largest group.
    fn least(&self) -> usize {
        self.of.len() - self.sizes.iter().max().unwrap_or(&0)
    }
}

/// P of many estimates: its index, its own neighbours, its groups.
pub struct Base {
    index: Index,
    own: Neighbours,
    groups: Option<Groups>,
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
        return Err(Error::Data(format!(
            "a divergence by {k} nearest neighbours needs k of at least 1 and {least} samples of {which}, and there are \
             {} of {} features",
            x.nrows(),
            x.ncols()
        )));
    }
    if let Some(((row, column), v)) = x.indexed_iter().find(|(_, v)| !v.is_finite()) {
        return Err(Error::Data(format!(
            "sample {} of {which} has the value {v} as its feature {}; values must be finite",
            row + 1,
            column + 1
        )));
    }
    Ok(())
}

impl Base {
    /// Of samples of P, with groups where errors are asked for.
    pub fn new(x: ArrayView2<f64>, k: usize, groups: Option<Groups>) -> Result<Self> {
        enough(x, k + 1, k, "the first distribution")?;
        let index = Index::new(x);
        // Two groups at least, and enough samples without either.
        let groups = groups.filter(|g| g.sizes.len() > 1 && g.least() > k);
        let more = if groups.is_some() { MORE } else { 0 };
        let own = index.own((k + more).min(x.nrows() - 1));
        let (mean, spread) = spread(x);
        Ok(Self { index, own, groups, k, spread, mean })
    }

    /// KL(P ‖ Q).
    pub fn kl(&self, y: ArrayView2<f64>, groups: Option<&Groups>) -> Result<Kl> {
        let k = self.k;
        enough(y, k, k, "the second distribution")?;
        if y.ncols() != self.index.d {
            return Err(Error::Data(format!("samples of {} and {} features", self.index.d, y.ncols())));
        }
        let (n, m, d) = (self.index.len(), y.nrows(), self.index.d as f64);
        let groups = self.groups.as_ref().zip(groups.filter(|g| g.sizes.len() > 1 && g.least() >= k));
        let index = Index::new(y);
        let other = index.nearest(&self.index, (k + if groups.is_some() { MORE } else { 0 }).min(m));
        // All squares about the common mean.
        let (mean, spread) = spread(y);
        let (share, apart) = (m as f64 / (n + m) as f64, &mean - &self.mean);
        let scale = (1.0 - share) * self.spread + share * spread + share * (1.0 - share) * apart.dot(&apart);
        if scale == 0.0 {
            // One place for all: no difference.
            let error =
                groups.map(|(g, h)| GroupError { of_p: vec![0.0; g.sizes.len()], of_q: 0.0, groups_q: h.sizes.len() });
            return Ok(Kl { value: 0.0, duplicates: n, error });
        }
        let (floor, log) = (1e-24 * scale, |d2: f64| 0.5 * d2.ln());
        let at = |of: &Neighbours, i: usize| of.d2[i * of.k + k - 1];
        let term = |i: usize| log(at(&other, i).max(floor)) - log(at(&self.own, i).max(floor));
        let terms: Vec<f64> = (0..n).map(term).collect();
        let duplicates = (0..n).filter(|i| at(&other, *i) <= floor || at(&self.own, *i) <= floor).count();
        let total: f64 = terms.iter().sum();
        let value = |sum: f64, n: usize, m: usize| d * sum / n as f64 + (m as f64 / (n as f64 - 1.0)).ln();
        let whole = value(total, n, m);
        let error = groups.map(|(p, q)| {
            let order = self.index.order();
            let mut without_p = without(&self.index, &self.own, &self.index, p, k, floor, true);
            for (i, t) in terms.iter().enumerate() {
                // The term of a sample goes with its group, and that of the distance within P counts as negative.
                without_p[p.of[order[i] as usize] as usize] += *t;
            }
            let of_p = (0..p.sizes.len()).map(|g| value(total - without_p[g], n - p.sizes[g], m));
            let without_q = without(&index, &other, &self.index, q, k, floor, false);
            let of_q = (0..q.sizes.len()).map(|g| value(total + without_q[g], n, m - q.sizes[g]));
            let of_q = deviations(whole, &of_q.collect::<Vec<_>>(), q);
            GroupError {
                of_p: deviations(whole, &of_p.collect::<Vec<_>>(), p),
                of_q: of_q.iter().map(|e| e * e).sum(),
                groups_q: q.sizes.len(),
            }
        });
        Ok(Kl { value: whole, duplicates, error })
    }
}

/// For each group of the points, by how much the sum over queries of ln(distance to the k-th neighbour) grows without
/// it; queries of the group itself are left out where they are `own` points.
fn without(
    index: &Index,
    found: &Neighbours,
    queries: &Index,
    groups: &Groups,
    k: usize,
    floor: f64,
    own: bool,
) -> Vec<f64> {
    let log = |d2: f64| 0.5 * d2.max(floor).ln();
    let mut sums = vec![0.0; groups.sizes.len()];
    // Queries and groups for which the list is too short.
    let mut open: Vec<(usize, u32)> = vec![];
    for i in 0..queries.len() {
        let (d2, at) = (&found.d2[i * found.k..][..found.k], &found.at[i * found.k..][..found.k]);
        let of = |p: usize| groups.of[at[p] as usize];
        let mine = own.then(|| groups.of[queries.order[i] as usize]);
        for first in 0..k {
            let g = of(first);
            if mine == Some(g) || (0..first).any(|p| of(p) == g) {
                continue;
            }
            match (0..found.k).filter(|p| of(*p) != g).nth(k - 1) {
                Some(p) => sums[g as usize] += log(d2[p]) - log(d2[k - 1]),
                None => open.push((i, g)),
            }
        }
    }
    let d = index.d;
    let points: Vec<f64> = open.iter().flat_map(|(i, _)| queries.points[i * d..(i + 1) * d].iter().copied()).collect();
    let of_query: Vec<u32> = open.iter().map(|o| o.1).collect();
    // A point is its own nearest neighbour; one more is asked for, and it is passed over.
    let ask = k + usize::from(own);
    if !open.is_empty() {
        let more = index.run(&points, ask, Some(Without { labels: &groups.of, of_query: &of_query }));
        for (r, (i, g)) in open.iter().enumerate() {
            let row = r * ask..(r + 1) * ask;
            let others =
                more.d2[row.clone()].iter().zip(&more.at[row]).filter(|(_, a)| !own || **a != queries.order[*i]);
            if let Some((d2, _)) = others.take(k).last() {
                sums[*g as usize] += log(*d2) - log(found.d2[i * found.k + k - 1]);
            }
        }
    }
    sums
}

/// Deviations whose squares sum to the jackknife variance of an estimate, from its values without each group, which
/// may have unequal sizes (Busing, Meijer & van der Leeden 1999).
fn deviations(whole: f64, without: &[f64], groups: &Groups) -> Vec<f64> {
    let (n, count) = (groups.of.len() as f64, without.len() as f64);
    let h: Vec<f64> = groups.sizes.iter().map(|s| n / *s as f64).collect();
    let pseudo: Vec<f64> = without.iter().zip(&h).map(|(w, h)| h * whole - (h - 1.0) * w).collect();
    let centre: f64 = pseudo.iter().zip(&h).map(|(p, h)| p / h).sum();
    pseudo.iter().zip(&h).map(|(p, h)| (p - centre) / (count * (h - 1.0)).sqrt()).collect()
}

/// KL(P ‖ Q) from the rows of `x`, samples of P, and `y`, samples of Q, by the `k`-th neighbours.
pub fn knn_kl(x: ArrayView2<f64>, y: ArrayView2<f64>, k: usize) -> Result<Kl> {
    Base::new(x, k, None)?.kl(y, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::Streams;
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
        assert_eq!(knn_kl(same.view(), same.view(), 3).unwrap(), Kl { value: 0.0, duplicates: 10, error: None });
        let far = knn_kl(same.view(), y.view(), 3).unwrap();
        assert!(far.value > 20.0 && far.value.is_finite() && far.duplicates == 10);
        let text = |r: Result<Kl>| r.unwrap_err().to_string();
        assert!(text(knn_kl(same.slice(s![..3, ..]), y.view(), 3)).contains("needs k of at least 1 and 4 samples"));
        let mut bad = x.clone();
        bad[(2, 1)] = f64::NAN;
        assert!(text(knn_kl(bad.view(), y.view(), 1)).contains("sample 3"));
    }

    /// Everything again for each sample set without a group.
    #[test]
    fn errors_are_those_of_leaving_groups_out() {
        for d in [2, 12] {
            let (x, y) = (normal(60, d, 0.5, "x"), normal(45, d, 0.0, "y"));
            // The first groups own whole regions, so that lists are too short.
            let mut of_p: Vec<u32> = (0..60).map(|i| i % 7).collect();
            for i in 0..60 {
                of_p[i] = if x[(i, 0)] > 0.8 { 0 } else { 1 + of_p[i] % 6 };
            }
            let (p, q) = (
                Groups::new(of_p),
                Groups::new((0..45).map(|i| u32::from(y[(i, 1)] > 0.5) + 2 * (i as u32 % 3)).collect()),
            );
            let kl = Base::new(x.view(), 3, Some(p.clone())).unwrap().kl(y.view(), Some(&q)).unwrap();
            let but = |x: &Array2<f64>, g: &Groups, out: usize| {
                let keep: Vec<usize> = (0..x.nrows()).filter(|i| g.of[*i] as usize != out).collect();
                x.select(Axis(0), &keep)
            };
            let of_p: Vec<f64> =
                (0..p.sizes.len()).map(|g| knn_kl(but(&x, &p, g).view(), y.view(), 3).unwrap().value).collect();
            let of_q: Vec<f64> =
                (0..q.sizes.len()).map(|g| knn_kl(x.view(), but(&y, &q, g).view(), 3).unwrap().value).collect();
            let error = kl.error.unwrap();
            let want = deviations(kl.value, &of_p, &p);
            assert!(want.iter().zip(&error.of_p).all(|(a, b)| (a - b).abs() < 1e-10), "{want:?} {:?}", error.of_p);
            let want: f64 = deviations(kl.value, &of_q, &q).iter().map(|e| e * e).sum();
            assert!((want - error.of_q).abs() < 1e-10, "{want} {}", error.of_q);
        }
    }

    #[test]
    fn jackknife_of_a_mean_is_its_variance() {
        // Groups of one: the variance of a mean is s²/n.
        let x = [1.0, 4.0, 2.0, 8.0, 5.0];
        let mean = |skip: usize| x.iter().enumerate().filter(|(i, _)| *i != skip).map(|(_, v)| v).sum::<f64>() / 4.0;
        let without: Vec<f64> = (0..5).map(mean).collect();
        let e = deviations(4.0, &without, &Groups::new((0..5).collect()));
        assert!((e.iter().map(|e| e * e).sum::<f64>() - 7.5 / 5.0).abs() < 1e-12);
    }

    #[test]
    fn threads_change_no_bit() {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                [3, 14].map(|d| {
                    let groups = Groups::new((0..700).map(|i| i % 9).collect());
                    let base = Base::new(normal(700, d, 0.4, "x").view(), 5, Some(groups.clone())).unwrap();
                    base.kl(normal(700, d, 0.0, "y").view(), Some(&groups)).unwrap()
                })
            })
        };
        assert!(run(1) == run(4));
    }
}
