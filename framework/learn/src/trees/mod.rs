//! Exact regression trees: growing many on resampled rows, and walking many rows through them.
//!
//! A split of a node with weight W into w and W - w, whose left side has the weighted sum of deviations s from the
//! node's mean, gains s² W / (w (W - w)); all thresholds of all tried features are compared, equal gains (up to
//! rounding) go to the first feature (in an order drawn for each bagged tree) and its lowest threshold. Thresholds lie midway between neighbouring values.
//!
//! Features are sorted once for all trees. A node with many rows keeps its rows in the order of every feature, and
//! four features are searched side by side; its order comes from its parent's by a stable partition. A node with few
//! rows sorts them in registers, eight features at a time, and stops as soon as a feature parts its outcomes as well
//! as any could. Time: O(drawn rows x features x levels of nodes with many rows).

mod few;
mod four;
mod grow;
mod many;
mod sorted;

pub use grow::{Growth, grow};

/// A split, or a leaf: its threshold is infinite and its left child is itself, so a walk may step on without asking.
#[derive(Clone, Copy, Debug)]
struct Node {
    threshold: f64,
    feature: u32,
    /// The right child follows the left one.
    left: u32,
}

/// A grown tree.
#[derive(Debug)]
pub struct Tree {
    nodes: Vec<Node>,
    /// Row of `values` of each node that is a leaf.
    leaf: Vec<u32>,
    /// leaves x outputs.
    values: Vec<f64>,
    n_features: usize,
    n_outputs: usize,
}

/// Rows on their way at once: each step waits for memory, so the others use the time.
const WALKERS: usize = 8;

impl Tree {
    /// Number of leaves.
    pub fn n_leaves(&self) -> usize {
        self.values.len() / self.n_outputs
    }

    /// Mean outputs of the leaf that each row falls into, into `out` (rows x outputs).
    pub fn predict(&self, rows: &[&[f64]], out: &mut [f64]) {
        let o = self.n_outputs;
        for (rows, out) in rows.chunks(WALKERS).zip(out.chunks_mut(WALKERS * o)) {
            // The last rows stand in for those that are missing in an incomplete group.
            let group: [&[f64]; WALKERS] = std::array::from_fn(|i| rows[i.min(rows.len() - 1)]);
            let ends = self.walk(group);
            if o == 1 {
                for (v, end) in out.iter_mut().zip(ends) {
                    *v = self.values[self.leaf[end as usize] as usize];
                }
            } else {
                for (v, end) in out.chunks_mut(o).zip(ends) {
                    v.copy_from_slice(&self.values[self.leaf[end as usize] as usize * o..][..o]);
                }
            }
        }
    }

    /// The node that each row ends in.
    fn walk(&self, rows: [&[f64]; WALKERS]) -> [u32; WALKERS] {
        assert!(rows.iter().all(|r| r.len() == self.n_features), "rows have the features that the tree was grown on");
        let mut at = [0u32; WALKERS];
        let nodes = &self.nodes[..];
        loop {
            let mut moved = 0;
            for (at, x) in at.iter_mut().zip(&rows) {
                let node = nodes[*at as usize];
                let next = node.left.wrapping_add(u32::from(x[node.feature as usize] > node.threshold));
                moved |= next ^ *at;
                *at = next;
            }
            if moved == 0 {
                return at;
            }
        }
    }
}
