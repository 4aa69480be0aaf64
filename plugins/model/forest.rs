//! Random forest of regression trees (Breiman 2001) in the form GeneDisco uses: bootstrap, squared-error
//! splits over all features, unlimited depth; mean and standard deviation (÷ trees) over all trees.
//!
//! A split of a node with weight W and output sums S maximises Σ_o S_l²/W_l + S_r²/W_r; thresholds lie
//! midway between neighbouring values. Every feature is sorted once for the whole forest; trees keep the
//! order by stable partition, so a level of a tree costs O(measured x features). Splits are exact.

use framework::ndarray::ArrayView1;
use framework::prelude::*;
use rayon::prelude::*;
use std::sync::Arc;

/// Bagged regression trees on the concatenated features of the active priors.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Forest {
    /// Number of trees; default 100.
    pub trees: usize,
    /// Most splits on the way to a leaf; absent: unlimited.
    pub max_depth: Option<usize>,
    /// Least measured rows (counted as often as drawn) in a leaf; default 1.
    pub min_leaf: usize,
    /// Share of the features tried at each split, above 0 and at most 1; default 1: all.
    pub features: f64,
    /// Whether each tree learns from rows drawn with replacement; default true.
    pub bootstrap: bool,
}

impl Default for Forest {
    fn default() -> Self {
        Self { trees: 100, max_depth: None, min_leaf: 1, features: 1.0, bootstrap: true }
    }
}

#[typetag::serde(name = "forest")]
impl Model for Forest {
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>> {
        if self.trees == 0 || self.min_leaf == 0 || !(self.features > 0.0 && self.features <= 1.0) {
            return Err(Error::Config(
                "model forest: `trees` and `min_leaf` must be at least 1 and `features` above 0 and at most 1".into(),
            ));
        }
        if cx.inputs.n_features() == 0 {
            return Err(Error::Config(
                "model forest learns from features and no prior is active; add a [prior.NAME] section".into(),
            ));
        }
        let x = cx.inputs.features(&cx.observed.ids);
        let mean = cx.observed.mean();
        let y = &cx.observed.y - &mean;
        let sorted = Sorted::new(&x);
        let trees = (0..self.trees)
            .into_par_iter()
            .map(|t| Grower::new(self, &sorted, &x, &y, &cx.streams.index(t)).grow())
            .collect();
        Ok(Box::new(Fitted { trees, mean, inputs: cx.inputs.clone() }))
    }

    fn provides(&self) -> Provides {
        Provides { sd: true, draws: true, ..Provides::default() }
    }

    fn requires(&self) -> Requires {
        Requires { features: true, ..Requires::default() }
    }
}

/// Rows in ascending order of each feature, and the rank of each row (equal values share one).
struct Sorted {
    order: Vec<Vec<u32>>,
    rank: Vec<Vec<u32>>,
}

impl Sorted {
    fn new(x: &Array2<f64>) -> Self {
        let columns: Vec<(Vec<u32>, Vec<u32>)> = (0..x.ncols())
            .into_par_iter()
            .map(|f| {
                let v = x.column(f).to_vec();
                let mut order: Vec<u32> = (0..v.len() as u32).collect();
                order.sort_by(|&a, &b| v[a as usize].total_cmp(&v[b as usize]).then(a.cmp(&b)));
                let mut rank = vec![0; v.len()];
                let mut r = 0;
                for w in 1..order.len() {
                    r += u32::from(v[order[w] as usize] != v[order[w - 1] as usize]);
                    rank[order[w] as usize] = r;
                }
                (order, rank)
            })
            .collect();
        let (order, rank) = columns.into_iter().unzip();
        Self { order, rank }
    }
}

/// A node: a split, or a leaf where `left` is 0 (the root is nobody's child).
#[derive(Clone, Copy)]
struct Node {
    threshold: f64,
    feature: u32,
    left: u32,
    right: u32,
    /// Row of `Tree::leaves`.
    leaf: u32,
}

struct Tree {
    nodes: Vec<Node>,
    /// leaves x outputs.
    leaves: Vec<f64>,
}

impl Tree {
    fn leaf(&self, x: &[f64]) -> usize {
        let mut at = 0;
        loop {
            let n = &self.nodes[at];
            if n.left == 0 {
                return n.leaf as usize;
            }
            at = if x[n.feature as usize] <= n.threshold { n.left } else { n.right } as usize;
        }
    }
}

/// Grows one tree. The rows of a node are the same stretch `lo..hi` of every feature's list.
struct Grower<'a> {
    settings: &'a Forest,
    sorted: &'a Sorted,
    x: &'a Array2<f64>,
    outputs: usize,
    /// How often each row was drawn, and that times its outputs (rows x outputs).
    weight: Vec<f64>,
    weighted: Vec<f64>,
    y: Vec<f64>,
    /// features x active rows.
    lists: Vec<u32>,
    n: usize,
    buffer: Vec<u32>,
    goes_left: Vec<bool>,
    rng: StreamRng,
    tree: Tree,
}

struct Split {
    gain: f64,
    /// Gains that differ by less are equal.
    tie: f64,
    feature: usize,
    /// Last position of the left side in that feature's list.
    at: usize,
}

impl<'a> Grower<'a> {
    fn new(settings: &'a Forest, sorted: &'a Sorted, x: &'a Array2<f64>, y: &Array2<f64>, streams: &Streams) -> Self {
        let (rows, outputs) = y.dim();
        let mut rng = streams.rng("tree");
        let mut weight = vec![if settings.bootstrap { 0.0 } else { 1.0 }; rows];
        if settings.bootstrap {
            (0..rows).for_each(|_| weight[rng.random_range(0..rows)] += 1.0);
        }
        let y: Vec<f64> = y.iter().copied().collect();
        let weighted = y.iter().enumerate().map(|(i, v)| v * weight[i / outputs]).collect();
        let mut lists = Vec::new();
        for order in &sorted.order {
            lists.extend(order.iter().copied().filter(|&r| weight[r as usize] > 0.0));
        }
        let n = lists.len() / sorted.order.len();
        Self {
            settings,
            sorted,
            x,
            outputs,
            weight,
            weighted,
            y,
            lists,
            n,
            buffer: vec![0; n],
            goes_left: vec![false; rows],
            rng,
            tree: Tree { nodes: vec![], leaves: vec![] },
        }
    }

    fn grow(mut self) -> Tree {
        let root = Node { threshold: 0.0, feature: 0, left: 0, right: 0, leaf: 0 };
        self.tree.nodes.push(root);
        // (node, lo, hi, depth); children are made in a fixed order, so node numbers are too.
        let mut open = vec![(0usize, 0usize, self.n, 0usize)];
        while let Some((node, lo, hi, depth)) = open.pop() {
            let deep = self.settings.max_depth.is_some_and(|m| depth >= m);
            let split = if deep || self.is_pure(lo, hi) { None } else { self.best_split(lo, hi) };
            let Some(split) = split else {
                self.make_leaf(node, lo, hi);
                continue;
            };
            let list = &self.lists[split.feature * self.n..][..self.n];
            let value = |p: usize| self.x[(list[p] as usize, split.feature)];
            let (a, b) = (value(split.at), value(split.at + 1));
            let middle = a + (b - a) / 2.0;
            // Between neighbouring floats the middle rounds to one of them; the left side must keep its own.
            let threshold = if middle < b { middle } else { a };
            let left = self.tree.nodes.len();
            self.tree.nodes.push(root);
            self.tree.nodes.push(root);
            self.tree.nodes[node] =
                Node { threshold, feature: split.feature as u32, left: left as u32, right: left as u32 + 1, leaf: 0 };
            let middle = split.at + 1;
            self.partition(lo, hi, split.feature, middle);
            open.push((left + 1, middle, hi, depth + 1));
            open.push((left, lo, middle, depth + 1));
        }
        self.tree
    }

    fn rows(&self, lo: usize, hi: usize) -> &[u32] {
        &self.lists[lo..hi]
    }

    /// Weighted sum of squared outputs of a row.
    fn squares(&self, row: usize) -> f64 {
        let of = row * self.outputs..(row + 1) * self.outputs;
        self.weighted[of.clone()].iter().zip(&self.y[of]).map(|(w, y)| w * y).sum()
    }

    fn is_pure(&self, lo: usize, hi: usize) -> bool {
        let o = self.outputs;
        let first = self.rows(lo, hi)[0] as usize;
        let first = &self.y[first * o..][..o];
        self.rows(lo, hi).iter().all(|&r| &self.y[r as usize * o..][..o] == first)
    }

    fn make_leaf(&mut self, node: usize, lo: usize, hi: usize) {
        let o = self.outputs;
        let mut sums = vec![0.0; o];
        let mut total = 0.0;
        for &r in self.rows(lo, hi) {
            total += self.weight[r as usize];
            sums.iter_mut().zip(&self.weighted[r as usize * o..][..o]).for_each(|(s, v)| *s += v);
        }
        self.tree.nodes[node].leaf = (self.tree.leaves.len() / o) as u32;
        self.tree.leaves.extend(sums.iter().map(|s| s / total));
    }

    fn best_split(&mut self, lo: usize, hi: usize) -> Option<Split> {
        let d = self.sorted.order.len();
        let tried = ((self.settings.features * d as f64).round() as usize).clamp(1, d);
        let mut features: Vec<usize> = (0..d).collect();
        if tried < d {
            features = rand::seq::index::sample(&mut self.rng, d, tried).into_vec();
            features.sort_unstable();
        }
        let o = self.outputs;
        let mut sums = vec![0.0; o];
        let mut total = 0.0;
        for &r in self.rows(lo, hi) {
            total += self.weight[r as usize];
            sums.iter_mut().zip(&self.weighted[r as usize * o..][..o]).for_each(|(s, v)| *s += v);
        }
        // Features that part a node alike differ in gain by rounding only; the first of them is to win. A node
        // that is not pure is always split, even where no single split gains (exclusive or), as in scikit-learn.
        let squares: f64 = self.rows(lo, hi).iter().map(|&r| self.squares(r as usize)).sum();
        let mut best = Split { gain: -1.0, tie: 1e-12 * squares, feature: d, at: 0 };
        for f in features {
            let list = &self.lists[f * self.n + lo..f * self.n + hi];
            let rank = &self.sorted.rank[f];
            if rank[list[0] as usize] == rank[list[list.len() - 1] as usize] {
                continue;
            }
            if o == 1 { self.scan_one(f, lo, list, rank, total, sums[0], &mut best) } else { self.scan(f, lo, list, rank, total, &sums, &mut best) }
        }
        (best.feature < d).then_some(best)
    }

    #[allow(clippy::too_many_arguments)]
    fn scan_one(&self, f: usize, lo: usize, list: &[u32], rank: &[u32], total: f64, sum: f64, best: &mut Split) {
        let least = self.settings.min_leaf as f64;
        let (mut w, mut s) = (0.0, 0.0);
        for (p, pair) in list.windows(2).enumerate() {
            let (r, next) = (pair[0] as usize, pair[1] as usize);
            w += self.weight[r];
            s += self.weighted[r];
            if rank[r] == rank[next] || w < least || total - w < least {
                continue;
            }
            let rest = sum - s;
            // The weights are positive, so gain = s²/w + rest²/(total-w) is compared without dividing twice.
            let gain = (s * s * (total - w) + rest * rest * w) / (w * (total - w));
            if gain > best.gain + best.tie {
                *best = Split { gain, feature: f, at: lo + p, ..*best };
            }
        }
    }

    #[allow(clippy::too_many_arguments)]
    fn scan(&self, f: usize, lo: usize, list: &[u32], rank: &[u32], total: f64, sums: &[f64], best: &mut Split) {
        let o = self.outputs;
        let least = self.settings.min_leaf as f64;
        let mut w = 0.0;
        let mut left = vec![0.0; o];
        for (p, pair) in list.windows(2).enumerate() {
            let (r, next) = (pair[0] as usize, pair[1] as usize);
            w += self.weight[r];
            left.iter_mut().zip(&self.weighted[r * o..][..o]).for_each(|(s, v)| *s += v);
            if rank[r] == rank[next] || w < least || total - w < least {
                continue;
            }
            let (mut a, mut b) = (0.0, 0.0);
            for (s, sum) in left.iter().zip(sums) {
                a += s * s;
                b += (sum - s) * (sum - s);
            }
            let gain = a / w + b / (total - w);
            if gain > best.gain + best.tie {
                *best = Split { gain, feature: f, at: lo + p, ..*best };
            }
        }
    }

    /// Moves the rows of the left side to the front of `lo..hi` in every feature's list, order kept.
    fn partition(&mut self, lo: usize, hi: usize, feature: usize, middle: usize) {
        let n = self.n;
        for p in lo..hi {
            self.goes_left[self.lists[feature * n + p] as usize] = p < middle;
        }
        for f in 0..self.sorted.order.len() {
            if f == feature {
                continue;
            }
            let list = &mut self.lists[f * n + lo..f * n + hi];
            let (mut l, mut r) = (0, 0);
            // Both writes always happen and only one counter moves: no branch to mispredict.
            for p in 0..list.len() {
                let row = list[p];
                let left = self.goes_left[row as usize];
                list[l] = row;
                self.buffer[r] = row;
                l += usize::from(left);
                r += usize::from(!left);
            }
            list[l..].copy_from_slice(&self.buffer[..r]);
        }
    }
}

struct Fitted {
    trees: Vec<Tree>,
    mean: Array1<f64>,
    inputs: Arc<Inputs>,
}

/// Rows predicted in one piece.
const TILE: usize = 128;

impl Fitted {
    /// Calls `use_row` with (row, prediction of each tree: trees x outputs, centred), rows in parallel tiles.
    fn each_row<T: Send>(&self, ids: &[usize], use_row: impl Fn(&[f64]) -> T + Sync) -> Vec<T> {
        let o = self.mean.len();
        let tiles: Vec<Vec<T>> = ids
            .par_chunks(TILE)
            .map(|tile| {
                let x = self.inputs.features(tile);
                let mut all = vec![0.0; self.trees.len() * o];
                let row = |x: ArrayView1<f64>| {
                    let own = x.to_vec();
                    for (t, tree) in self.trees.iter().enumerate() {
                        let leaf = tree.leaf(&own);
                        all[t * o..][..o].copy_from_slice(&tree.leaves[leaf * o..][..o]);
                    }
                    use_row(&all)
                };
                x.outer_iter().map(row).collect()
            })
            .collect();
        tiles.into_iter().flatten().collect()
    }
}

impl Surrogate for Fitted {
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        let o = self.mean.len();
        let m = self.trees.len() as f64;
        let rows = self.each_row(ids, |all| {
            (0..o)
                .map(|k| {
                    let values = || all.iter().skip(k).step_by(o);
                    let mean = values().sum::<f64>() / m;
                    let spread = values().map(|v| (v - mean).powi(2)).sum::<f64>() / m;
                    (self.mean[k] + mean, spread.sqrt())
                })
                .collect::<Vec<_>>()
        });
        let mean = Array2::from_shape_fn((ids.len(), o), |(i, k)| rows[i][k].0);
        let sd = Array2::from_shape_fn((ids.len(), o), |(i, k)| rows[i][k].1);
        Ok(Posterior { mean, sd: Some(sd) })
    }

    /// A draw is a tree: `n` different ones in random order, starting over after the last.
    fn draw(&self, ids: &[usize], n: usize, rng: &mut StreamRng) -> Result<Array3<f64>> {
        let o = self.mean.len();
        let order = rand::seq::index::sample(rng, self.trees.len(), self.trees.len()).into_vec();
        let rows = self.each_row(ids, <[f64]>::to_vec);
        Ok(Array3::from_shape_fn((n, ids.len(), o), |(l, i, k)| {
            self.mean[k] + rows[i][order[l % order.len()] * o + k]
        }))
    }
}

framework::register!(Model, Forest, "forest", "bagged regression trees, mean and spread over all trees");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::TinyWorld;

    fn fit(settings: &Forest, world: &TinyWorld, observed: &Observed) -> Box<dyn Surrogate> {
        settings.fit(&FitContext { inputs: &world.inputs, observed, streams: &Streams::new(3) }).unwrap()
    }

    /// The textbook tree: every threshold of every feature tried, recursively.
    fn brute(x: &Array2<f64>, y: &Array2<f64>, rows: &[usize], at: &[f64]) -> Vec<f64> {
        let mean = |rows: &[usize]| -> Vec<f64> {
            (0..y.ncols()).map(|k| rows.iter().map(|&r| y[(r, k)]).sum::<f64>() / rows.len() as f64).collect()
        };
        let error = |rows: &[usize]| -> f64 {
            let m = mean(rows);
            rows.iter().map(|&r| (0..m.len()).map(|k| (y[(r, k)] - m[k]).powi(2)).sum::<f64>()).sum()
        };
        let mut best: Option<(f64, usize, f64)> = None;
        for f in 0..x.ncols() {
            let mut values: Vec<f64> = rows.iter().map(|&r| x[(r, f)]).collect();
            values.sort_by(f64::total_cmp);
            values.dedup();
            for w in values.windows(2) {
                let t = w[0] + (w[1] - w[0]) / 2.0;
                let (l, r): (Vec<usize>, Vec<usize>) = rows.iter().partition(|&&i| x[(i, f)] <= t);
                let e = error(&l) + error(&r);
                if best.is_none_or(|b| e < b.0 - 1e-12) {
                    best = Some((e, f, t));
                }
            }
        }
        match best {
            Some((e, f, t)) if e < error(rows) - 1e-12 => {
                let side: Vec<usize> = rows.iter().copied().filter(|&i| (x[(i, f)] <= t) == (at[f] <= t)).collect();
                brute(x, y, &side, at)
            }
            _ => mean(rows),
        }
    }

    #[test]
    fn one_tree_is_the_textbook_tree() {
        for outputs in [1, 3] {
            let world = TinyWorld::new(60, 4, outputs, false, 8).unwrap();
            let train: Vec<usize> = (0..30).collect();
            let observed = world.observe(&train, 1).unwrap();
            let one = Forest { trees: 1, bootstrap: false, ..Forest::default() };
            let s = fit(&one, &world, &observed);
            let all: Vec<usize> = (0..60).collect();
            let (p, x) = (s.predict(&all).unwrap(), world.inputs.features(&all));
            for i in 0..60 {
                let want = brute(&x, &observed.y, &train, &x.row(i).to_vec());
                for (k, w) in want.iter().enumerate() {
                    assert!((p.mean[(i, k)] - w).abs() < 1e-9, "row {i} output {k}");
                }
            }
            // Unlimited depth without bootstrap reproduces what it was fitted to.
            assert!((0..30).all(|i| (p.mean[(i, 0)] - observed.y[(i, 0)]).abs() < 1e-9));
            assert!(p.sd.unwrap().iter().all(|s| *s == 0.0));
        }
    }

    #[test]
    fn exclusive_or_is_learnt_although_no_first_split_gains() {
        let x = framework::ndarray::array![[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]];
        let genes = Arc::new(Genes::new(["a", "b", "c", "d"]).unwrap());
        let block = Block::new("x", x, vec![true; 4]).unwrap();
        let inputs =
            Arc::new(Inputs::new(Arc::new(Pool::singles(genes)), vec![Arc::new(block)], Compose::Sum).unwrap());
        let mut observed = Observed::empty(1);
        let y = framework::ndarray::array![[0.0], [1.0], [1.0], [0.0]];
        observed.push(&Readouts::plain(&[0, 1, 2, 3], y.clone()), 0).unwrap();
        let one = Forest { trees: 1, bootstrap: false, ..Forest::default() };
        let s = one.fit(&FitContext { inputs: &inputs, observed: &observed, streams: &Streams::new(1) }).unwrap();
        assert_eq!(s.predict(&[0, 1, 2, 3]).unwrap().mean, y);
    }

    #[test]
    fn limits_hold() {
        let world = TinyWorld::new(80, 3, 1, false, 8).unwrap();
        let observed = world.observe(&(0..60).collect::<Vec<_>>(), 1).unwrap();
        let all: Vec<usize> = (0..80).collect();
        let values = |f: Forest| {
            let p = fit(&f, &world, &observed).predict(&all).unwrap();
            let mut v: Vec<u64> = p.mean.iter().map(|m| m.to_bits()).collect();
            v.sort_unstable();
            v.dedup();
            v.len()
        };
        let one = || Forest { trees: 1, bootstrap: false, ..Forest::default() };
        assert_eq!(values(Forest { max_depth: Some(2), ..one() }), 4);
        assert!(values(Forest { min_leaf: 20, ..one() }) <= 3);
        assert_eq!(values(Forest { max_depth: Some(0), ..one() }), 1);
    }

    #[test]
    fn spread_and_draws_are_those_of_the_trees() {
        let world = TinyWorld::new(60, 3, 2, false, 5).unwrap();
        let observed = world.observe(&(0..40).collect::<Vec<_>>(), 1).unwrap();
        let s = fit(&Forest { trees: 30, ..Forest::default() }, &world, &observed);
        let ids: Vec<usize> = (40..60).collect();
        let p = s.predict(&ids).unwrap();
        let d = s.draw(&ids, 30, &mut Streams::new(1).rng("draw")).unwrap();
        // Thirty draws are the thirty trees once each, so their moments are the forest's.
        let (mean, sd) = (d.mean_axis(Axis(0)).unwrap(), d.std_axis(Axis(0), 0.0));
        assert!((&mean - &p.mean).iter().all(|v| v.abs() < 1e-9));
        assert!((&sd - p.sd.as_ref().unwrap()).iter().all(|v| v.abs() < 1e-9));
    }

    /// Friedman's function, as an independent implementation (smartcore's forest) learns it.
    #[test]
    fn as_good_as_another_implementation() {
        use smartcore::ensemble::random_forest_regressor::{RandomForestRegressor, RandomForestRegressorParameters};
        use smartcore::linalg::basic::matrix::DenseMatrix;
        let mut rng = Streams::new(12).rng("friedman");
        let (n, m) = (300, 600);
        let x = Array2::from_shape_simple_fn((n + m, 8), || rng.random::<f64>());
        let f = |r: ArrayView1<f64>| {
            10.0 * (std::f64::consts::PI * r[0] * r[1]).sin() + 20.0 * (r[2] - 0.5).powi(2) + 10.0 * r[3] + 5.0 * r[4]
        };
        let y: Vec<f64> = x.outer_iter().map(f).collect();
        let genes = Arc::new(Genes::new((0..n + m).map(|i| format!("g{i}"))).unwrap());
        let block = Block::new("x", x.clone(), vec![true; n + m]).unwrap();
        let pool = Arc::new(Pool::singles(genes));
        let inputs = Arc::new(Inputs::new(pool, vec![Arc::new(block)], Compose::Sum).unwrap());
        let train: Vec<usize> = (0..n).collect();
        let mut observed = Observed::empty(1);
        let yt = Array2::from_shape_vec((n, 1), y[..n].to_vec()).unwrap();
        observed.push(&Readouts::plain(&train, yt), 0).unwrap();
        let s = Forest::default().fit(&FitContext { inputs: &inputs, observed: &observed, streams: &Streams::new(3) }).unwrap();
        let ours = s.predict(&(n..n + m).collect::<Vec<_>>()).unwrap().mean.column(0).to_vec();
        let rows = |a: usize, b: usize| -> Vec<Vec<f64>> { (a..b).map(|i| x.row(i).to_vec()).collect() };
        let train_x = DenseMatrix::from_2d_vec(&rows(0, n)).unwrap();
        let params = RandomForestRegressorParameters::default().with_n_trees(100).with_m(8).with_min_samples_leaf(1);
        let theirs = RandomForestRegressor::fit(&train_x, &y[..n].to_vec(), params).unwrap();
        let theirs = theirs.predict(&DenseMatrix::from_2d_vec(&rows(n, n + m)).unwrap()).unwrap();
        let r2 = |p: &[f64]| {
            let mean = y[n..].iter().sum::<f64>() / m as f64;
            let (e, t): (f64, f64) =
                p.iter().zip(&y[n..]).fold((0.0, 0.0), |a, (p, y)| (a.0 + (p - y).powi(2), a.1 + (y - mean).powi(2)));
            1.0 - e / t
        };
        let (a, b) = (r2(&ours), r2(&theirs));
        assert!(a > 0.8 && a > b - 0.03, "ours {a:.3}, smartcore {b:.3}");
    }
}
