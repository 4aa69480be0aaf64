//! Comparing all with all by products, for many dimensions.

use super::search::{Search, Without, insert};
use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use numerics::linalg::product_into;

/// Points compared at once by a product, and how many more than k are then compared exactly.
const BLOCK: usize = 1024;
const SPARE: usize = 8;

pub(super) struct Brute {
    /// About their mean.
    x: Array2<f64>,
    norms: Vec<f64>,
    centre: Array1<f64>,
}

impl Brute {
    /// Of the rows of `x`.
    pub(super) fn new(x: ArrayView2<f64>) -> Self {
        let centre = x.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(x.ncols()));
        let moved = &x - &centre;
        let norms = moved.outer_iter().map(|r| r.dot(&r)).collect();
        Self { x: moved, norms, centre }
    }
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
