//! A k-d tree, for few dimensions.

use super::search::{Search, Without, insert};
use ndarray::{ArrayView1, ArrayView2};

/// Points of a leaf.
const LEAF: usize = 16;

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

pub(super) struct Tree<const D: usize> {
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
    /// Of the rows of `x`; with their numbers in the order of the leaves, and their coordinates row by row in that order.
    pub(super) fn new(x: ArrayView2<f64>) -> (Self, Vec<u32>, Vec<f64>) {
        let row = |(i, r): (usize, ArrayView1<f64>)| (std::array::from_fn(|j| r[j]), i as u32);
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
        (Self { nodes, blocks, ids: order.clone() }, order, flat)
    }

    #[inline(always)]
    pub(super) fn all(&self, queries: &[f64], k: usize, without: Option<Without>, d2: &mut [f64], at: &mut [u32]) {
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
