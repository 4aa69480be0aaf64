//! Growing trees one split at a time.

use super::four::Record;
use super::node::{Grower, Growth, Split, Stretch};
use super::sorted::{Id, Sorted};
use super::tree::{Node, Tree};
use super::{few, many};
use ndarray::ArrayView2;
use numerics::streams::StreamRng;
use rand::RngExt;
use rand::seq::SliceRandom;
use rayon::prelude::*;

/// Trees on the rows of `x` (rows x features) with outcomes `y` (rows x outputs), tree `t` by the generator `rng(t)`.
/// `x` and `y` are finite and have the same rows, at least one.
pub fn grow(
    x: ArrayView2<f64>,
    y: ArrayView2<f64>,
    how: &Growth,
    rng: impl Fn(usize) -> StreamRng + Sync,
) -> Vec<Tree> {
    if x.nrows() <= 1 << 16 { grow_by::<u16>(x, y, how, rng) } else { grow_by::<u32>(x, y, how, rng) }
}

fn grow_by<I: Id>(
    x: ArrayView2<f64>,
    y: ArrayView2<f64>,
    how: &Growth,
    rng: impl Fn(usize) -> StreamRng + Sync,
) -> Vec<Tree> {
    let sorted = Sorted::<I>::new(x);
    let trees = 0..how.trees;
    trees
        .into_par_iter()
        .map_init(Vec::new, |lists, t| Grower::new(how, &sorted, x, y, std::mem::take(lists), rng(t)).grow(lists))
        .collect()
}

impl<'a, I: Id> Grower<'a, I> {
    fn new(
        how: &'a Growth,
        sorted: &'a Sorted<I>,
        x: ArrayView2<'a, f64>,
        y: ArrayView2<f64>,
        mut lists: Vec<I>,
        mut rng: StreamRng,
    ) -> Self {
        let (rows, outputs) = y.dim();
        let mut count = vec![if how.bootstrap { 0u32 } else { 1 }; rows];
        if how.bootstrap {
            (0..rows).for_each(|_| count[rng.random_range(0..rows)] += 1);
        }
        let drawn: Vec<u32> = (0..rows as u32).filter(|&r| count[r as usize] > 0).collect();
        let n = drawn.len();
        // New number of each row, and whether it was drawn.
        let mut number = vec![(I::new(0), false); rows];
        drawn.iter().enumerate().for_each(|(new, &old)| number[old as usize] = (I::new(new), true));
        // One place more than needed: what is not kept is written over by the next.
        lists.resize(sorted.n_features * n + 1, I::new(0));
        let mut end = 0usize;
        for row in &sorted.order {
            let (row, kept) = number[row.at()];
            lists[end] = row;
            end = end.wrapping_add(usize::from(kept));
        }
        let mut order = sorted.varying.clone();
        if how.bootstrap {
            order.shuffle(&mut rng);
        }
        let few = if outputs == 1 { few::MOST } else { 1 };
        Self {
            how,
            sorted,
            x,
            outputs,
            y: drawn.iter().flat_map(|&r| y.row(r as usize).to_vec()).collect(),
            record: drawn.iter().map(|&r| Record(0.0, f64::from(count[r as usize]))).collect(),
            deviation: vec![0.0; if outputs > 1 { n * outputs } else { 0 }],
            drawn,
            n,
            lists,
            rows: (0..n).map(I::new).collect(),
            buffer: vec![I::new(0); n],
            goes_left: vec![false; n],
            mean: vec![0.0; outputs],
            few,
            order,
            rng,
            tree: Tree {
                nodes: vec![],
                leaf: vec![],
                values: vec![],
                n_features: sorted.n_features,
                n_outputs: outputs,
            },
        }
    }

    /// The tree; gives the memory of the lists back.
    fn grow(mut self, lists: &mut Vec<I>) -> Tree {
        self.add_node();
        // (node, lo, hi, depth); children are made in a fixed order, so node numbers are too.
        let mut open = vec![(0usize, 0usize, self.n, 0usize)];
        while let Some((node, lo, hi, depth)) = open.pop() {
            let pure = self.is_pure(lo, hi);
            let weight = self.find_mean(lo, hi, pure);
            let deep = self.how.max_depth.is_some_and(|m| depth >= m);
            let split = if deep || pure { None } else { self.best_split(lo, hi, weight) };
            let Some((feature, at)) = split else {
                self.tree.leaf[node] = self.tree.n_leaves() as u32;
                self.tree.values.extend_from_slice(&self.mean);
                continue;
            };
            let middle = lo + at + 1;
            self.order_rows(lo, hi, feature);
            let left = self.add_node();
            self.add_node();
            self.tree.nodes[node] =
                Node { threshold: self.threshold(middle, feature), feature: feature as u32, left: left as u32 };
            self.partition(lo, middle, hi, feature);
            open.push((left + 1, middle, hi, depth + 1));
            open.push((left, lo, middle, depth + 1));
        }
        *lists = self.lists;
        self.tree
    }

    fn add_node(&mut self) -> usize {
        let own = self.tree.nodes.len();
        self.tree.nodes.push(Node { threshold: f64::INFINITY, feature: 0, left: own as u32 });
        self.tree.leaf.push(0);
        own
    }

    /// Midway between the last value of the left side and the first of the right side.
    fn threshold(&self, middle: usize, feature: usize) -> f64 {
        let value = |p: usize| self.x[(self.drawn[self.rows[p].at()] as usize, feature)];
        let (a, b) = (value(middle - 1), value(middle));
        let midway = a + (b - a) / 2.0;
        // Between neighbouring floats it rounds to one of them; the left side must keep its own.
        if midway < b { midway } else { a }
    }

    /// Finds the mean outputs of the node and returns its weight. Equal outputs are their own mean, to the last bit.
    fn find_mean(&mut self, lo: usize, hi: usize, pure: bool) -> f64 {
        let o = self.outputs;
        let rows = self.rows[lo..hi].iter().map(|r| r.at());
        if pure {
            let first = self.rows[lo].at();
            self.mean.copy_from_slice(&self.y[first * o..][..o]);
            return rows.map(|r| self.record[r].1).sum();
        }
        if o == 1 {
            let (mut weight, mut sum) = (0.0, 0.0);
            for r in rows {
                let w = self.record[r].1;
                weight += w;
                sum += w * self.y[r];
            }
            self.mean[0] = sum / weight;
            return weight;
        }
        self.mean.fill(0.0);
        let mut weight = 0.0;
        for r in rows {
            let w = self.record[r].1;
            weight += w;
            self.mean.iter_mut().zip(&self.y[r * o..][..o]).for_each(|(s, v)| *s += w * v);
        }
        self.mean.iter_mut().for_each(|s| *s /= weight);
        weight
    }

    fn is_pure(&self, lo: usize, hi: usize) -> bool {
        let o = self.outputs;
        let of = |r: I| &self.y[r.at() * o..][..o];
        let first = of(self.rows[lo]);
        self.rows[lo..hi].iter().all(|&r| of(r) == first)
    }

    /// A node that is not pure is always split, even where no single split gains (exclusive or), as in scikit-learn.
    fn best_split(&mut self, lo: usize, hi: usize, weight: f64) -> Option<(usize, usize)> {
        let squares = self.centre(lo, hi);
        let d = self.sorted.n_features;
        let node = Stretch { lo, hi, weight };
        let sampled =
            (self.how.tried < d).then(|| rand::seq::index::sample(&mut self.rng, d, self.how.tried).into_vec());
        let features = sampled.as_deref().unwrap_or(&self.order);
        // Features that part a node alike differ in gain by rounding only; the first of them is to win.
        let mut best = Split { gain: -1.0, tie: 1e-12 * squares, place: d, at: 0 };
        if hi - lo <= self.few {
            few::search(self, node, features, &mut best);
        } else {
            many::search(self, node, features, &mut best);
        }
        (best.place < d).then(|| (features[best.place], best.at))
    }

    /// Writes the deviations of the node's rows from its mean; returns the weighted sum of squared outputs, on which
    /// rounding of the deviations depends.
    fn centre(&mut self, lo: usize, hi: usize) -> f64 {
        let (o, mean) = (self.outputs, &self.mean);
        let mut squares = 0.0;
        for r in self.rows[lo..hi].iter().map(|r| r.at()) {
            let w = self.record[r].1;
            let y = &self.y[r * o..][..o];
            self.record[r].0 = w * (y[0] - mean[0]);
            squares += y.iter().map(|y| w * y * y).sum::<f64>();
            if o > 1 {
                let to = &mut self.deviation[r * o..][..o];
                to.iter_mut().zip(y.iter().zip(mean)).for_each(|(d, (y, m))| *d = w * (y - m));
            }
        }
        squares
    }

    /// Puts the node's rows into the order of a feature.
    fn order_rows(&mut self, lo: usize, hi: usize, feature: usize) {
        if hi - lo > self.few {
            self.rows[lo..hi].copy_from_slice(&self.lists[feature * self.n..][lo..hi]);
        } else {
            self.rows[lo..hi].sort_by_key(|r| self.sorted.rank(self.drawn[r.at()] as usize, feature));
        }
    }

    /// Makes the lists of children with many rows: each keeps the order of its parent's.
    fn partition(&mut self, lo: usize, middle: usize, hi: usize, feature: usize) {
        let keep = (middle - lo > self.few, hi - middle > self.few);
        if keep == (false, false) {
            return;
        }
        self.rows[lo..middle].iter().for_each(|r| self.goes_left[r.at()] = true);
        self.rows[middle..hi].iter().for_each(|r| self.goes_left[r.at()] = false);
        for f in self.sorted.varying.iter().filter(|&&f| f != feature) {
            let list = &mut self.lists[f * self.n + lo..f * self.n + hi];
            many::partition(list, middle - lo, keep, &self.goes_left, &mut self.buffer);
        }
    }
}
