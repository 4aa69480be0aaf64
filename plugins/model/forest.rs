//! Random forest of regression trees.
//!
//! Trees grown on bootstrap samples by the split that lowers the squared error most, summed over outputs (Breiman
//! 2001; Breiman et al. 1984); ŷ = mean over trees, sd = standard deviation over trees (÷ m). Every feature is
//! sorted once for the whole forest and its order kept by stable partition down each tree, so a tree costs
//! O(n d depth) and no sorting. Prediction O(trees · depth) an id.

use framework::prelude::*;
use rayon::prelude::*;
use std::sync::Arc;

/// Bagged regression trees on the prior features. A draw of the posterior is one tree.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forest {
    /// Number of trees; default 100.
    #[serde(default = "trees")]
    pub trees: usize,
    /// Splits on the way to a leaf at most; absent: no limit.
    #[serde(default)]
    pub max_depth: Option<usize>,
    /// Different measured rows in a leaf at least; default 1.
    #[serde(default = "min_leaf")]
    pub min_leaf: usize,
    /// Features looked at for each split, drawn anew; absent: all.
    #[serde(default)]
    pub features_per_split: Option<usize>,
    /// Whether each tree sees its own sample with replacement; default true.
    #[serde(default = "bootstrap")]
    pub bootstrap: bool,
}

fn trees() -> usize {
    100
}

fn min_leaf() -> usize {
    1
}

fn bootstrap() -> bool {
    true
}

impl Default for Forest {
    fn default() -> Self {
        Self {
            trees: trees(),
            max_depth: None,
            min_leaf: min_leaf(),
            features_per_split: None,
            bootstrap: bootstrap(),
        }
    }
}

#[typetag::serde(name = "forest")]
impl Model for Forest {
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>> {
        for (name, value) in [
            ("trees", self.trees),
            ("min_leaf", self.min_leaf),
            ("features_per_split", self.features_per_split.unwrap_or(1)),
        ] {
            if value == 0 {
                return Err(Error::Config(format!("forest: {name} must be at least 1")));
            }
        }
        if cx.inputs.n_features() == 0 {
            return Err(Error::Config(
                "forest splits on prior features but no prior is active; add a [prior.NAME] section".into(),
            ));
        }
        let data = Sorted::new(&cx.inputs.features(&cx.observed.ids), &cx.observed.y);
        let trees: Vec<Tree> = (0..self.trees)
            .into_par_iter()
            .map(|t| Grower::new(&data, self, cx.streams.index(t).rng("tree")).grow())
            .collect();
        Ok(Box::new(Fitted { inputs: cx.inputs.clone(), trees, outputs: cx.observed.n_outputs() }))
    }

    fn provides(&self) -> Provides {
        Provides { sd: true, draws: true, embedding: false }
    }

    fn requires(&self) -> Requires {
        Requires { features: true, single_effects: false }
    }
}

/// The measured rows, each feature sorted.
struct Sorted {
    rows: usize,
    features: usize,
    outputs: usize,
    /// rows x outputs.
    y: Vec<f64>,
    /// features x rows: values.
    x: Vec<f64>,
    /// features x rows: rows in ascending order of the feature, ties by row.
    order: Vec<u32>,
    /// Whether a value of the feature occurs twice.
    tied: Vec<bool>,
}

impl Sorted {
    fn new(x: &Array2<f64>, y: &Array2<f64>) -> Self {
        let (rows, features) = x.dim();
        let columns: Vec<(Vec<f64>, Vec<u32>, bool)> = (0..features)
            .into_par_iter()
            .map(|f| {
                let column = x.column(f).to_vec();
                let mut order: Vec<u32> = (0..rows as u32).collect();
                order.sort_by(|&a, &b| column[a as usize].total_cmp(&column[b as usize]));
                let tied = order.windows(2).any(|w| column[w[0] as usize] == column[w[1] as usize]);
                (column, order, tied)
            })
            .collect();
        let mut sorted = Self {
            rows,
            features,
            outputs: y.ncols(),
            y: y.iter().copied().collect(),
            x: Vec::with_capacity(rows * features),
            order: Vec::with_capacity(rows * features),
            tied: Vec::with_capacity(features),
        };
        for (column, order, tied) in columns {
            sorted.x.extend(column);
            sorted.order.extend(order);
            sorted.tied.push(tied);
        }
        sorted
    }
}

/// A node of a tree. Its right child follows its left one. A leaf has itself as child on both sides.
#[derive(Clone, Copy, Debug)]
struct Node {
    threshold: f64,
    feature: u32,
    left: u32,
}

/// A fitted tree: `x[feature] <= threshold` goes left.
#[derive(Clone, Debug)]
struct Tree {
    nodes: Vec<Node>,
    /// nodes x outputs; filled at leaves.
    values: Vec<f64>,
}

impl Tree {
    /// The leaf of a feature row.
    fn leaf(&self, x: &[f64]) -> usize {
        let mut at = 0;
        loop {
            let node = &self.nodes[at];
            if node.left as usize == at {
                return at;
            }
            at = node.left as usize + usize::from(x[node.feature as usize] > node.threshold);
        }
    }
}

/// A split of a node.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Split {
    feature: usize,
    /// Rows on the left, in the order of the feature.
    left: usize,
    gain: f64,
}

/// Grows one tree. `order` holds, for each feature, the rows of the sample in ascending order; a node is the same
/// range of every feature's list.
struct Grower<'a> {
    data: &'a Sorted,
    settings: &'a Forest,
    rng: StreamRng,
    /// Different rows in the sample.
    rows: usize,
    /// features x rows.
    order: Vec<u32>,
    /// How often each row was drawn.
    weight: Vec<u32>,
    /// Scratch by row: weight times centred output, side of the split.
    centred: Vec<f64>,
    goes_left: Vec<bool>,
    /// Scratch of the node: rows of the right side, 1/(w (W - w)) by weight w of the left side.
    right: Vec<u32>,
    balance: Vec<f64>,
    tree: Tree,
}

/// Relative gain below which two splits count as equal, so that rounding never decides a tie.
const TIE: f64 = 1e-12;

impl<'a> Grower<'a> {
    fn new(data: &'a Sorted, settings: &'a Forest, mut rng: StreamRng) -> Self {
        let mut weight = vec![0u32; data.rows];
        if settings.bootstrap {
            for _ in 0..data.rows {
                weight[rng.random_range(0..data.rows)] += 1;
            }
        } else {
            weight.fill(1);
        }
        let order: Vec<u32> = data.order.iter().copied().filter(|&r| weight[r as usize] > 0).collect();
        let rows = order.len() / data.features;
        Self {
            data,
            settings,
            rng,
            rows,
            order,
            weight,
            centred: vec![0.0; data.rows * data.outputs],
            goes_left: vec![false; data.rows],
            right: Vec::with_capacity(rows),
            balance: Vec::with_capacity(data.rows),
            tree: Tree { nodes: Vec::with_capacity(2 * rows), values: Vec::with_capacity(2 * rows * data.outputs) },
        }
    }

    fn add_node(&mut self) -> usize {
        let at = self.tree.nodes.len();
        self.tree.nodes.push(Node { threshold: f64::INFINITY, feature: 0, left: at as u32 });
        self.tree.values.resize((at + 1) * self.data.outputs, 0.0);
        at
    }

    fn grow(mut self) -> Tree {
        let root = self.add_node();
        let mut open = vec![(root, 0, self.rows, 0)];
        while let Some((node, start, end, depth)) = open.pop() {
            let split = if self.settings.max_depth.is_some_and(|m| depth >= m) { None } else { self.best(start, end) };
            let Some(split) = split else {
                self.finish(node, start, end);
                continue;
            };
            let list = split.feature * self.rows;
            let value = |i: usize| self.data.x[split.feature * self.data.rows + self.order[list + i] as usize];
            let middle = start + split.left;
            let (below, above) = (value(middle - 1), value(middle));
            let half = below + 0.5 * (above - below);
            // Rounding may move the midpoint of neighbouring numbers onto the upper one.
            let threshold = if half < above { half } else { below };
            let left = self.add_node();
            self.add_node();
            self.tree.nodes[node] = Node { threshold, feature: split.feature as u32, left: left as u32 };
            if end - start > 2 {
                self.partition(split.feature, start, middle, end);
            } else {
                self.order.copy_within(list + start..list + end, start);
            }
            open.push((left + 1, middle, end, depth + 1));
            open.push((left, start, middle, depth + 1));
        }
        self.tree
    }

    /// Makes a leaf of the weighted mean.
    fn finish(&mut self, node: usize, start: usize, end: usize) {
        let l = self.data.outputs;
        let value = &mut self.tree.values[node * l..(node + 1) * l];
        let mut total = 0.0;
        for &r in &self.order[start..end] {
            let (r, w) = (r as usize, f64::from(self.weight[r as usize]));
            total += w;
            value.iter_mut().zip(&self.data.y[r * l..(r + 1) * l]).for_each(|(v, y)| *v += w * y);
        }
        value.iter_mut().for_each(|v| *v /= total);
    }

    /// The split of largest gain, ties to the lowest feature and then the lowest threshold.
    fn best(&mut self, start: usize, end: usize) -> Option<Split> {
        let (n, l, least) = (end - start, self.data.outputs, self.settings.min_leaf);
        if n < 2 * least || n < 2 {
            return None;
        }
        let rows = &self.order[start..end];
        let first = &self.data.y[rows[0] as usize * l..(rows[0] as usize + 1) * l];
        if rows.iter().all(|&r| &self.data.y[r as usize * l..(r as usize + 1) * l] == first) {
            return None;
        }
        let mut mean = vec![0.0; l];
        let mut total = 0;
        for &r in rows {
            let (r, w) = (r as usize, self.weight[r as usize]);
            total += w;
            mean.iter_mut().zip(&self.data.y[r * l..(r + 1) * l]).for_each(|(m, y)| *m += f64::from(w) * y);
        }
        mean.iter_mut().for_each(|m| *m /= f64::from(total));
        // A split of left weight w and left sum s of the centred outputs lowers the squared error by
        // W s² / (w (W - w)); W is common to all.
        let mut spread = 0.0;
        for &r in rows {
            let (r, w) = (r as usize, f64::from(self.weight[r as usize]));
            for o in 0..l {
                let c = self.data.y[r * l + o] - mean[o];
                self.centred[r * l + o] = w * c;
                spread += w * c * c;
            }
        }
        self.balance.clear();
        self.balance.push(0.0);
        self.balance.extend((1..total).map(|w| 1.0 / (f64::from(w) * f64::from(total - w))));
        let most = if l == 1 { self.most(start, end) } else { spread / f64::from(total) };
        let slack = TIE * most;
        let mut best = Split { feature: 0, left: 0, gain: -1.0 };
        let all = self.data.features;
        let chosen: Option<Vec<usize>> = self.settings.features_per_split.filter(|k| *k < all).map(|k| {
            let mut c = rand::seq::index::sample(&mut self.rng, all, k).into_vec();
            c.sort_unstable();
            c
        });
        let mut sums = vec![0.0; l];
        for i in 0..chosen.as_ref().map_or(all, Vec::len) {
            let f = chosen.as_ref().map_or(i, |c| c[i]);
            self.scan(f, start, end, slack, &mut sums, &mut best);
            if best.gain >= most - slack {
                break;
            }
        }
        (best.left > 0).then_some(best)
    }

    /// The largest gain that any division of the node's rows in two can have: the best cut of the rows sorted
    /// by their output. One output only.
    fn most(&mut self, start: usize, end: usize) -> f64 {
        self.right.clear();
        self.right.extend_from_slice(&self.order[start..end]);
        let y = &self.data.y;
        self.right.sort_unstable_by(|&a, &b| y[a as usize].total_cmp(&y[b as usize]));
        let (mut most, mut sum, mut weight) = (0.0f64, 0.0, 0);
        for &r in &self.right[..end - start - 1] {
            sum += self.centred[r as usize];
            weight += self.weight[r as usize] as usize;
            most = most.max(sum * sum * self.balance[weight]);
        }
        most
    }

    /// Tries every threshold of one feature.
    fn scan(&self, f: usize, start: usize, end: usize, slack: f64, sums: &mut [f64], best: &mut Split) {
        let list = &self.order[f * self.rows + start..f * self.rows + end];
        let (n, l, least) = (list.len(), self.data.outputs, self.settings.min_leaf);
        let x = &self.data.x[f * self.data.rows..(f + 1) * self.data.rows];
        let (tied, centred, weights, balance) = (self.data.tied[f], &*self.centred, &*self.weight, &*self.balance);
        let mut weight = 0;
        let allowed = least..=n - least;
        if l == 1 {
            let mut sum = 0.0;
            for i in 1..n {
                let r = list[i - 1] as usize;
                sum += centred[r];
                weight += weights[r] as usize;
                let gain = sum * sum * balance[weight];
                if gain > best.gain + slack
                    && allowed.contains(&i)
                    && !(tied && x[r] == x[list[i] as usize])
                {
                    *best = Split { feature: f, left: i, gain };
                }
            }
            return;
        }
        sums.fill(0.0);
        for i in 1..n {
            let r = list[i - 1] as usize;
            sums.iter_mut().zip(&centred[r * l..(r + 1) * l]).for_each(|(s, c)| *s += c);
            weight += weights[r] as usize;
            if !allowed.contains(&i) || (tied && x[r] == x[list[i] as usize]) {
                continue;
            }
            let gain = sums.iter().map(|s| s * s).sum::<f64>() * balance[weight];
            if gain > best.gain + slack {
                *best = Split { feature: f, left: i, gain };
            }
        }
    }

    /// Puts the rows of the left side first in every feature's list, each side in its old order.
    fn partition(&mut self, by: usize, start: usize, middle: usize, end: usize) {
        let list = by * self.rows;
        for &r in &self.order[list + start..list + middle] {
            self.goes_left[r as usize] = true;
        }
        for &r in &self.order[list + middle..list + end] {
            self.goes_left[r as usize] = false;
        }
        self.right.resize(end - start, 0);
        for f in (0..self.data.features).filter(|f| *f != by) {
            let rows = &mut self.order[f * self.rows + start..f * self.rows + end];
            let (mut a, mut b) = (0, 0);
            for i in 0..rows.len() {
                let r = rows[i];
                let left = usize::from(self.goes_left[r as usize]);
                // Both are written and one counter moves: no branch to mispredict.
                rows[a] = r;
                self.right[b] = r;
                a += left;
                b += 1 - left;
            }
            rows[a..].copy_from_slice(&self.right[..b]);
        }
    }
}

struct Fitted {
    inputs: Arc<Inputs>,
    trees: Vec<Tree>,
    outputs: usize,
}

/// Rows predicted in one piece; their features stay in the cache while the trees pass over them.
const TILE: usize = 64;

impl Fitted {
    /// The leaf of each row of a tile in each tree: trees x ids.
    fn leaves(&self, tile: &[usize], trees: &[usize]) -> Vec<usize> {
        let x = self.inputs.features(tile);
        let rows: Vec<&[f64]> = x.outer_iter().filter_map(|r| r.to_slice()).collect();
        trees.iter().flat_map(|&t| rows.iter().map(move |r| self.trees[t].leaf(r))).collect()
    }
}

impl Surrogate for Fitted {
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        let (l, m) = (self.outputs, self.trees.len() as f64);
        let all: Vec<usize> = (0..self.trees.len()).collect();
        let moments = |tile: &[usize]| {
            let leaves = self.leaves(tile, &all);
            let (mut mean, mut sd) = (vec![0.0; tile.len() * l], vec![0.0; tile.len() * l]);
            for (tree, leaves) in self.trees.iter().zip(leaves.chunks(tile.len())) {
                for (mean, leaf) in mean.chunks_mut(l).zip(leaves) {
                    mean.iter_mut().zip(&tree.values[leaf * l..]).for_each(|(s, v)| *s += v);
                }
            }
            mean.iter_mut().for_each(|v| *v /= m);
            for (tree, leaves) in self.trees.iter().zip(leaves.chunks(tile.len())) {
                for ((sd, mean), leaf) in sd.chunks_mut(l).zip(mean.chunks(l)).zip(leaves) {
                    let values = mean.iter().zip(&tree.values[leaf * l..]);
                    sd.iter_mut().zip(values).for_each(|(s, (m, v))| *s += (v - m) * (v - m));
                }
            }
            sd.iter_mut().for_each(|v| *v = (*v / m).sqrt());
            (mean, sd)
        };
        let (mean, sd): (Vec<_>, Vec<_>) = ids.par_chunks(TILE).map(moments).unzip();
        let table = |parts: Vec<Vec<f64>>| {
            Array2::from_shape_vec((ids.len(), l), parts.concat()).map_err(|e| Error::Plugin(format!("forest: {e}")))
        };
        Ok(Posterior { mean: table(mean)?, sd: Some(table(sd)?) })
    }

    /// Draw k is the k-th tree of a random order, without repeats up to the number of trees (so that asking for
    /// as many draws as trees gives all of them); then a new order begins.
    fn draw(&self, ids: &[usize], n: usize, rng: &mut StreamRng) -> Result<Array3<f64>> {
        let m = self.trees.len();
        let mut trees = Vec::with_capacity(n);
        while trees.len() < n {
            trees.extend(rand::seq::index::sample(rng, m, m.min(n - trees.len())));
        }
        let leaves: Vec<Vec<usize>> = ids.par_chunks(TILE).map(|tile| self.leaves(tile, &trees)).collect();
        Ok(Array3::from_shape_fn((n, ids.len(), self.outputs), |(k, i, o)| {
            let tile = &leaves[i / TILE];
            let leaf = tile[k * (tile.len() / n) + i % TILE];
            self.trees[trees[k]].values[leaf * self.outputs + o]
        }))
    }
}

framework::register!(Model, Forest, "forest", "random forest; sd and draws over its trees");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::domain::Readouts;
    use framework::testing::TinyWorld;
    use rand_distr::{Distribution, StandardNormal};

    fn world(x: &Array2<f64>) -> Arc<Inputs> {
        let genes = Arc::new(Genes::new((0..x.nrows()).map(|i| format!("g{i}"))).unwrap());
        let block = Block::new("x", x.clone(), vec![true; x.nrows()]).unwrap();
        Arc::new(Inputs::new(Arc::new(Pool::singles(genes)), vec![Arc::new(block)], Compose::Sum).unwrap())
    }

    fn fit(model: &Forest, inputs: &Arc<Inputs>, ids: &[usize], y: Array2<f64>) -> Box<dyn Surrogate> {
        let mut observed = Observed::empty(y.ncols());
        observed.push(&Readouts::plain(ids, y), 0).unwrap();
        model.fit(&FitContext { inputs, observed: &observed, streams: &Streams::new(1) }).unwrap()
    }

    /// Whole numbers, so that sums are exact and ties are ties.
    fn table(rows: usize, columns: usize, seed: u64, values: u32) -> Array2<f64> {
        let mut rng = Streams::new(seed).rng("table");
        Array2::from_shape_simple_fn((rows, columns), || f64::from(rng.random_range(0..values)))
    }

    /// CART by definition: every feature, every threshold, squared errors from scratch.
    fn brute(x: &Array2<f64>, y: &Array2<f64>, rows: &[usize], star: &[f64], least: usize, depth: usize) -> Vec<f64> {
        let mean = |r: &[usize]| y.select(Axis(0), r).mean_axis(Axis(0)).unwrap();
        let error = |r: &[usize]| {
            let m = mean(r);
            r.iter().map(|&i| (&y.row(i) - &m).mapv(|v| v * v).sum()).sum::<f64>()
        };
        let mut best: Option<(f64, usize, f64)> = None;
        if error(rows) > 1e-12 && depth > 0 {
            for f in 0..x.ncols() {
                let mut values: Vec<f64> = rows.iter().map(|&i| x[(i, f)]).collect();
                values.sort_by(f64::total_cmp);
                values.dedup();
                for w in values.windows(2) {
                    let t = 0.5 * (w[0] + w[1]);
                    let (a, b): (Vec<usize>, Vec<usize>) = rows.iter().partition(|&&i| x[(i, f)] <= t);
                    let e = error(&a) + error(&b);
                    if a.len() >= least && b.len() >= least && best.is_none_or(|(least, _, _)| e < least - 1e-9) {
                        best = Some((e, f, t));
                    }
                }
            }
        }
        match best {
            None => mean(rows).to_vec(),
            Some((_, f, t)) => {
                let side: Vec<usize> = rows.iter().copied().filter(|&i| (x[(i, f)] <= t) == (star[f] <= t)).collect();
                brute(x, y, &side, star, least, depth - 1)
            }
        }
    }

    #[test]
    fn one_tree_is_cart_by_definition() {
        for (seed, outputs, values, min_leaf, max_depth) in
            [(1, 1, 5, 1, None), (2, 1, 1000, 1, None), (3, 3, 6, 1, None), (4, 1, 4, 3, None), (5, 2, 1000, 2, Some(3))]
        {
            let (x, y) = (table(60, 4, seed, values), table(60, outputs, seed + 100, 7));
            let model = Forest { trees: 1, bootstrap: false, min_leaf, max_depth, ..Forest::default() };
            let train: Vec<usize> = (0..40).collect();
            let s = fit(&model, &world(&x), &train, y.slice(ndarray::s![..40, ..]).to_owned());
            let ids: Vec<usize> = (0..60).collect();
            let p = s.predict(&ids).unwrap();
            for &i in &ids {
                let want = brute(&x, &y, &train, &x.row(i).to_vec(), min_leaf, max_depth.unwrap_or(99));
                for o in 0..outputs {
                    assert!((p.mean[(i, o)] - want[o]).abs() < 1e-9, "seed {seed}, row {i}: {} {want:?}", p.mean[(i, o)]);
                }
            }
        }
    }

    #[test]
    fn a_bootstrap_tree_is_cart_on_the_repeated_rows() {
        let (x, y) = (table(50, 3, 7, 9), table(50, 1, 8, 9));
        let ids: Vec<usize> = (0..50).collect();
        let s = fit(&Forest { trees: 1, ..Forest::default() }, &world(&x), &ids, y.clone());
        let mut rng = Streams::new(1).index(0).rng("tree");
        let mut rows: Vec<usize> = (0..50).map(|_| rng.random_range(0..50)).collect();
        rows.sort_unstable();
        let p = s.predict(&ids).unwrap();
        for &i in &ids {
            let want = brute(&x, &y, &rows, &x.row(i).to_vec(), 1, 99)[0];
            assert!((p.mean[(i, 0)] - want).abs() < 1e-9, "row {i}");
        }
    }

    #[test]
    fn without_bootstrap_the_training_data_are_met_exactly() {
        let mut rng = Streams::new(2).rng("data");
        let x = Array2::from_shape_simple_fn((300, 5), || StandardNormal.sample(&mut rng));
        let y = Array2::from_shape_simple_fn((300, 2), || StandardNormal.sample(&mut rng));
        let ids: Vec<usize> = (0..300).collect();
        let s = fit(&Forest { trees: 3, bootstrap: false, ..Forest::default() }, &world(&x), &ids, y.clone());
        let p = s.predict(&ids).unwrap();
        assert!((&p.mean - &y).iter().all(|d| d.abs() < 1e-14));
        assert!(p.sd.unwrap().iter().all(|s| *s < 1e-14), "all trees are alike");
        // No single split lowers the error of an exclusive or; growing on finds the second that does.
        let x = ndarray::array![[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]];
        let y = ndarray::array![[0.0], [1.0], [1.0], [0.0]];
        let s = fit(&Forest { trees: 1, bootstrap: false, ..Forest::default() }, &world(&x), &[0, 1, 2, 3], y.clone());
        assert_eq!(s.predict(&[0, 1, 2, 3]).unwrap().mean, y);
    }

    #[test]
    fn draws_are_the_trees_and_their_moments_the_posterior() {
        let world = TinyWorld::new(200, 4, 2, false, 5).unwrap();
        let observed = world.observe(&(0..100).collect::<Vec<_>>(), 1).unwrap();
        let cx = FitContext { inputs: &world.inputs, observed: &observed, streams: &Streams::new(1) };
        let s = Forest { trees: 30, ..Forest::default() }.fit(&cx).unwrap();
        let ids: Vec<usize> = (0..200).rev().collect();
        let p = s.predict(&ids).unwrap();
        let d = s.draw(&ids, 30, &mut Streams::new(2).rng("draw")).unwrap();
        assert!((&d.mean_axis(Axis(0)).unwrap() - &p.mean).iter().all(|v| v.abs() < 1e-12));
        assert!((&d.std_axis(Axis(0), 0.0) - p.sd.as_ref().unwrap()).iter().all(|v| v.abs() < 1e-12));
        let more = s.draw(&ids, 60, &mut Streams::new(2).rng("draw")).unwrap();
        assert!((&more.mean_axis(Axis(0)).unwrap() - &p.mean).iter().all(|v| v.abs() < 1e-12), "two full rounds");
    }

    #[test]
    fn one_and_two_threads_give_the_same_bits() {
        let world = TinyWorld::new(150, 6, 1, false, 5).unwrap();
        let observed = world.observe(&(0..90).collect::<Vec<_>>(), 1).unwrap();
        let model = Forest { features_per_split: Some(2), ..Forest::default() };
        let run = |threads| {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(|| {
                let cx = FitContext { inputs: &world.inputs, observed: &observed, streams: &Streams::new(1) };
                let p = model.fit(&cx).unwrap().predict(&(0..150).collect::<Vec<_>>()).unwrap();
                (p.mean, p.sd)
            })
        };
        assert_eq!(run(1), run(2));
    }

    #[test]
    fn quality_equals_another_forest_on_the_friedman_function() {
        // Friedman (1991) no. 1 with five idle features; noise sd 1.
        let mut rng = Streams::new(4).rng("friedman");
        let x = Array2::from_shape_simple_fn((1400, 10), || rng.random_range(0.0..1.0));
        let f = |r: ndarray::ArrayView1<f64>| {
            10.0 * (std::f64::consts::PI * r[0] * r[1]).sin() + 20.0 * (r[2] - 0.5).powi(2) + 10.0 * r[3] + 5.0 * r[4]
        };
        let truth: Vec<f64> = x.outer_iter().map(f).collect();
        let y: Vec<f64> = truth.iter().map(|t| { let z: f64 = StandardNormal.sample(&mut rng); t + z }).collect();
        let (train, test): (Vec<usize>, Vec<usize>) = ((0..400).collect(), (400..1400).collect());
        let own = fit(&Forest::default(), &world(&x), &train, Array2::from_shape_fn((400, 1), |(i, _)| y[i]));
        let own: Vec<f64> = own.predict(&test).unwrap().mean.iter().copied().collect();

        use smartcore::ensemble::random_forest_regressor::{RandomForestRegressor, RandomForestRegressorParameters};
        use smartcore::linalg::basic::matrix::DenseMatrix;
        let dense = |ids: &[usize]| {
            DenseMatrix::from_2d_vec(&ids.iter().map(|&i| x.row(i).to_vec()).collect::<Vec<_>>()).unwrap()
        };
        let settings = RandomForestRegressorParameters::default().with_n_trees(100).with_m(10).with_min_samples_split(2);
        let other = RandomForestRegressor::fit(&dense(&train), &y[..400].to_vec(), settings).unwrap();
        let other: Vec<f64> = other.predict(&dense(&test)).unwrap();

        let r2 = |p: &[f64]| {
            let mean = truth[400..].iter().sum::<f64>() / 1000.0;
            let total: f64 = truth[400..].iter().map(|t| (t - mean).powi(2)).sum();
            1.0 - truth[400..].iter().zip(p).map(|(t, p)| (t - p).powi(2)).sum::<f64>() / total
        };
        let (a, b) = (r2(&own), r2(&other));
        println!("r2 {a:.4}, smartcore {b:.4}");
        assert!(a > 0.8 && (a - b).abs() < 0.03, "r2 {a} against {b}");
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let world = TinyWorld::new(8, 2, 1, false, 3).unwrap();
        let observed = world.observe(&[0, 1], 1).unwrap();
        let cx = FitContext { inputs: &world.inputs, observed: &observed, streams: &Streams::new(1) };
        let e = Forest { trees: 0, ..Forest::default() }.fit(&cx).err().unwrap().to_string();
        assert_eq!(e, "forest: trees must be at least 1");
    }
}
