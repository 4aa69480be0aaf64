//! A grown tree, and how rows walk through it.

/// A split, or a leaf: its threshold is infinite and its left child is itself, so a walk may step on without asking.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) threshold: f64,
    pub(super) feature: u32,
    /// The right child follows the left one.
    pub(super) left: u32,
}

/// A grown tree.
#[derive(Debug)]
pub struct Tree {
    pub(super) nodes: Vec<Node>,
    /// Row of `values` of each node that is a leaf.
    pub(super) leaf: Vec<u32>,
    /// leaves x outputs.
    pub(super) values: Vec<f64>,
    pub(super) n_features: usize,
    pub(super) n_outputs: usize,
}

/// Rows that walk at once: each step waits for memory, and the others use the time.
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
