//! Random forest of regression trees (Breiman 2001) in the form GeneDisco uses: bootstrap, squared-error
//! splits over all features, unlimited depth; mean and standard deviation (÷ trees) over the trees.
//!
//! A split of a node with weight W into w and W - w, whose left side has the weighted sum of deviations S_o from
//! the node's mean, maximises Σ_o S_o² W / (w (W - w)); thresholds lie midway between neighbouring values. Splits
//! are exact. Fit: O(measured x features x levels) per tree ([`learn::trees`]); prediction:
//! O(levels) per tree and row.

use framework::prelude::*;
use learn::trees::{self, Growth, Tree};
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
    /// Trees whose standard deviation is the spread; default "all".
    pub spread: Spread,
}

/// Trees that the spread is taken over. The mean is over all trees in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// Each tree once (GeneDisco's paper).
    #[default]
    All,
    /// As many trees as there are, drawn with replacement, once per fit (GeneDisco's released code; it draws them
    /// anew for every 256 rows).
    Drawn,
}

impl Default for Forest {
    fn default() -> Self {
        Self { trees: 100, max_depth: None, min_leaf: 1, features: 1.0, bootstrap: true, spread: Spread::All }
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
        let d = cx.inputs.n_features();
        if d == 0 {
            return Err(Error::Config(
                "model forest learns from features and no prior is active; add a [prior.NAME] section".into(),
            ));
        }
        let x = cx.inputs.features(&cx.observed.ids);
        let mean = cx.observed.mean();
        let y = &cx.observed.y - &mean;
        let how = Growth {
            trees: self.trees,
            max_depth: self.max_depth,
            min_leaf: self.min_leaf,
            tried: ((self.features * d as f64).round() as usize).clamp(1, d),
            bootstrap: self.bootstrap,
        };
        let trees = trees::grow(x.view(), y.view(), &how, |t| cx.streams.index(t).rng("tree"));
        let functions = match self.spread {
            Spread::All => (0..self.trees).collect(),
            Spread::Drawn => {
                let mut rng = cx.streams.rng("spread");
                (0..self.trees).map(|_| rng.random_range(0..self.trees)).collect()
            }
        };
        Ok(Box::new(Fitted { trees, functions, mean, inputs: cx.inputs.clone() }))
    }

    fn provides(&self) -> Abilities {
        Abilities::of([Ability::Sd, Ability::Draws])
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Features])
    }
}

struct Fitted {
    trees: Vec<Tree>,
    /// Tree of each function that the spread is over.
    functions: Vec<usize>,
    mean: Array1<f64>,
    inputs: Arc<Inputs>,
}

/// Feature values of the rows predicted in one piece: they and a tree stay in the cache.
const TILE: usize = 1 << 17;

impl Fitted {
    /// Calls `use_tile` with the predictions of each tree (trees x rows x outputs, centred) for tiles of rows, in
    /// parallel; what it returns is in the order of the rows.
    fn tiles<T: Send>(&self, ids: &[usize], use_tile: impl Fn(&[f64]) -> T + Sync) -> Vec<T> {
        let o = self.mean.len();
        let rows = (TILE / self.inputs.n_features()).clamp(64, 2048);
        // Rows of single genes are read where they lie; others are composed first.
        let singles = self.inputs.pool().is_singles().then(|| self.inputs.gene_matrix());
        ids.par_chunks(rows)
            .map(|ids| {
                let composed = if singles.is_some() { Array2::zeros((0, 0)) } else { self.inputs.features(ids) };
                let row = |i: usize| singles.map_or_else(|| composed.row(i), |x| x.row(ids[i]));
                let rows: Vec<&[f64]> = (0..ids.len()).filter_map(|i| row(i).to_slice()).collect();
                let mut all = vec![0.0; self.trees.len() * ids.len() * o];
                self.trees.iter().zip(all.chunks_mut(ids.len() * o)).for_each(|(t, out)| t.predict(&rows, out));
                use_tile(&all)
            })
            .collect()
    }

    /// Mean over all trees and standard deviation over the functions, from what the trees predict for one tile.
    fn moments(&self, all: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let cells = all.len() / self.trees.len();
        let tree = |t: usize| &all[t * cells..][..cells];
        // Distances from the first tree, so that equal values have their mean exactly and no spread.
        let mean_of = |trees: &mut dyn Iterator<Item = usize>| {
            let mut mean = vec![0.0; cells];
            trees.for_each(|t| mean.iter_mut().zip(tree(t)).zip(tree(0)).for_each(|((s, v), a)| *s += v - a));
            // There are as many functions as trees.
            mean.iter_mut().zip(tree(0)).for_each(|(s, a)| *s = a + *s / self.trees.len() as f64);
            mean
        };
        let centre = mean_of(&mut self.functions.iter().copied());
        let mut sd = vec![0.0; cells];
        for &t in &self.functions {
            sd.iter_mut().zip(tree(t)).zip(&centre).for_each(|((s, v), c)| *s += (v - c) * (v - c));
        }
        sd.iter_mut().for_each(|s| *s = (*s / self.trees.len() as f64).sqrt());
        (mean_of(&mut (0..self.trees.len())), sd)
    }

    /// What the given trees predict: trees x ids x outputs.
    fn values(&self, ids: &[usize], trees: &[usize]) -> Array3<f64> {
        let o = self.mean.len();
        let mut out = Array3::zeros((trees.len(), ids.len(), o));
        let mut done = 0;
        for all in self.tiles(ids, <[f64]>::to_vec) {
            let rows = all.len() / (self.trees.len() * o);
            for (l, &t) in trees.iter().enumerate() {
                for (c, v) in all[t * rows * o..][..rows * o].iter().enumerate() {
                    out[(l, done + c / o, c % o)] = self.mean[c % o] + v;
                }
            }
            done += rows;
        }
        out
    }
}

impl Surrogate for Fitted {
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        let (mean, sd): (Vec<_>, Vec<_>) = self.tiles(ids, |all| self.moments(all)).into_iter().unzip();
        let shape = |v: Vec<Vec<f64>>| {
            Array2::from_shape_vec((ids.len(), self.mean.len()), v.concat())
                .map_err(|e| Error::Numerical(format!("model forest: {e}")))
        };
        Ok(Posterior { mean: shape(mean)? + &self.mean, sd: Some(shape(sd)?) })
    }

    fn draws(&self) -> Option<&dyn JointDraws> {
        Some(self)
    }

    fn functions(&self) -> Option<&dyn Functions> {
        Some(self)
    }
}

impl JointDraws for Fitted {
    /// A draw is a tree: `n` different ones in random order, starting over after the last.
    fn draw(&self, ids: &[usize], n: usize, rng: &mut StreamRng) -> Result<Array3<f64>> {
        let order = rand::seq::index::sample(rng, self.functions.len(), self.functions.len()).into_vec();
        let trees: Vec<usize> = (0..n).map(|l| self.functions[order[l % order.len()]]).collect();
        Ok(self.values(ids, &trees))
    }
}

impl Functions for Fitted {
    /// The trees that the spread is over.
    fn evaluate(&self, ids: &[usize]) -> Result<Array3<f64>> {
        Ok(self.values(ids, &self.functions))
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
        let d = s.draws().unwrap().draw(&ids, 30, &mut Streams::new(1).rng("draw")).unwrap();
        // Thirty draws are the thirty trees once each, so their moments are the forest's.
        let (mean, sd) = (d.mean_axis(Axis(0)).unwrap(), d.std_axis(Axis(0), 0.0));
        assert!((&mean - &p.mean).iter().all(|v| v.abs() < 1e-9));
        assert!((&sd - p.sd.as_ref().unwrap()).iter().all(|v| v.abs() < 1e-9));
    }

    /// A pool of single genes with the given feature rows, all blocks present, and the first outcomes measured.
    fn measured(x: Array2<f64>, y: &[f64]) -> (Arc<Inputs>, Observed) {
        let n = x.nrows();
        let genes = Arc::new(Genes::new((0..n).map(|i| format!("g{i}"))).unwrap());
        let block = Block::new("x", x, vec![true; n]).unwrap();
        let inputs = Inputs::new(Arc::new(Pool::singles(genes)), vec![Arc::new(block)], Compose::Sum).unwrap();
        let mut observed = Observed::empty(1);
        let ids: Vec<usize> = (0..y.len()).collect();
        let y = Array2::from_shape_vec((y.len(), 1), y.to_vec()).unwrap();
        observed.push(&Readouts::plain(&ids, y), 0).unwrap();
        (Arc::new(inputs), observed)
    }

    fn fit_to(settings: &Forest, (inputs, observed): &(Arc<Inputs>, Observed), seed: u64) -> Box<dyn Surrogate> {
        settings.fit(&FitContext { inputs, observed, streams: &Streams::new(seed) }).unwrap()
    }

    #[test]
    fn functions_are_the_trees_of_the_spread() {
        let world = TinyWorld::new(60, 3, 2, false, 5).unwrap();
        let observed = world.observe(&(0..40).collect::<Vec<_>>(), 1).unwrap();
        let ids: Vec<usize> = (30..60).rev().collect();
        let near = |a: &Array2<f64>, b: &Array2<f64>| (a - b).iter().all(|v| v.abs() < 1e-9);
        let all = fit(&Forest { trees: 30, ..Forest::default() }, &world, &observed);
        let drawn = fit(&Forest { trees: 30, spread: Spread::Drawn, ..Forest::default() }, &world, &observed);
        let (p, q) = (all.predict(&ids).unwrap(), drawn.predict(&ids).unwrap());
        let (f, g) =
            (all.functions().unwrap().evaluate(&ids).unwrap(), drawn.functions().unwrap().evaluate(&ids).unwrap());
        assert_eq!((f.dim(), g.dim()), ((30, 30, 2), (30, 30, 2)));
        assert!(near(&f.mean_axis(Axis(0)).unwrap(), &p.mean));
        assert!(near(&f.std_axis(Axis(0), 0.0), p.sd.as_ref().unwrap()));
        assert!(near(&g.std_axis(Axis(0), 0.0), q.sd.as_ref().unwrap()));
        // Drawing changes the spread only: same trees, same mean; some tree comes twice and some never.
        assert_eq!(p.mean, q.mean);
        assert_ne!(p.sd, q.sd);
        let tree_of = |g: ArrayView2<f64>| f.outer_iter().position(|t| t == g).unwrap();
        let mut trees: Vec<usize> = g.outer_iter().map(tree_of).collect();
        trees.sort_unstable();
        trees.dedup();
        assert!((10..30).contains(&trees.len()), "{} different trees", trees.len());
        // Rows asked for alone get the same answers.
        assert_eq!(
            drawn.functions().unwrap().evaluate(&ids[3..5]).unwrap(),
            g.slice(framework::ndarray::s![.., 3..5, ..])
        );
    }

    #[test]
    fn threads_do_not_matter() {
        let world = TinyWorld::new(700, 5, 1, false, 5).unwrap();
        let observed = world.observe(&(0..90).collect::<Vec<_>>(), 1).unwrap();
        let ids: Vec<usize> = (0..700).collect();
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let p = fit(&Forest { features: 0.5, ..Forest::default() }, &world, &observed).predict(&ids).unwrap();
                (p.mean, p.sd)
            })
        };
        assert_eq!(on(1), on(4));
    }

    #[test]
    fn features_and_outcomes_without_variation() {
        let mut x = Array2::from_shape_fn((40, 6), |(i, f)| ((i * (f + 3)) as f64 * 0.37).sin());
        x.column_mut(0).fill(2.0);
        x.column_mut(4).fill(-1.0);
        let ids: Vec<usize> = (0..40).collect();
        // One outcome: every tree is that outcome.
        let p = fit_to(&Forest::default(), &measured(x.clone(), &[0.7; 25]), 1).predict(&ids).unwrap();
        assert!(p.mean.iter().all(|m| (m - 0.7).abs() < 1e-12) && p.sd.unwrap().iter().all(|s| *s == 0.0));
        // One measured row.
        let p = fit_to(&Forest::default(), &measured(x.clone(), &[0.3]), 1).predict(&ids).unwrap();
        assert!(p.mean.iter().all(|m| (m - 0.3).abs() < 1e-12) && p.sd.unwrap().iter().all(|s| *s == 0.0));
        // Constant features are never split on: the trees are those without them.
        let y: Vec<f64> = (0..25).map(|i| (i as f64).sqrt().cos()).collect();
        let varying = x.select(Axis(1), &[1, 2, 3, 5]);
        let (a, b) = (measured(x, &y), measured(varying, &y));
        let of = |w| fit_to(&Forest::default(), w, 1).predict(&ids).unwrap();
        assert_eq!(of(&a).mean, of(&b).mean);
        // Nothing but constant features: the mean of what each tree drew.
        let p = fit_to(&Forest::default(), &measured(Array2::ones((40, 3)), &y), 1).predict(&ids).unwrap();
        assert!(p.mean.iter().all(|m| *m == p.mean[(0, 0)]) && p.sd.unwrap().iter().all(|s| *s > 0.0));
    }

    #[test]
    fn rows_with_the_same_features_share_a_leaf() {
        let x = Array2::from_shape_fn((60, 3), |(i, f)| ((i / 3 * (f + 2)) as f64 * 0.61).cos());
        let y: Vec<f64> = (0..60).map(|i| (i as f64 * 1.7).sin()).collect();
        let one = Forest { trees: 1, bootstrap: false, ..Forest::default() };
        let p = fit_to(&one, &measured(x, &y), 1).predict(&(0..60).collect::<Vec<_>>()).unwrap();
        for i in 0..60 {
            let mean = y[i / 3 * 3..][..3].iter().sum::<f64>() / 3.0;
            assert!((p.mean[(i, 0)] - mean).abs() < 1e-12, "row {i}");
        }
    }

    /// Squared error and spread of scikit-learn 1.9.1 (numpy 1.26.4) on the same rows: mean and standard error over
    /// 30 values of `random_state` of `RandomForestRegressor(100)`, all other settings its defaults. Error: of the
    /// mean, against the outcome without its wobble, over rows 200 to 599; spread: numpy's `std` over `estimators_`.
    #[test]
    fn errs_and_spreads_as_scikit_learn() {
        let (error, error_se) = (6.144491122645314, 0.01933123614881961);
        let (spread, spread_se) = (3.033333815233531, 0.006219653914385385);
        let primes = [2.0, 3.0, 5.0, 7.0, 11.0, 13.0, 17.0, 19.0, 23.0, 29.0];
        let x = Array2::from_shape_fn((600, 10), |(i, f)| ((i + 1) as f64 * f64::sqrt(primes[f])).fract());
        let friedman = |r: ArrayView1<f64>| {
            10.0 * (std::f64::consts::PI * r[0] * r[1]).sin() + 20.0 * (r[2] - 0.5).powi(2) + 10.0 * r[3] + 5.0 * r[4]
        };
        let truth: Vec<f64> = x.outer_iter().map(friedman).collect();
        let y: Vec<f64> = (0..200).map(|i| truth[i] + 4.0 * (((i + 1) as f64 * 31f64.sqrt()).fract() - 0.5)).collect();
        let world = measured(x, &y);
        let ids: Vec<usize> = (200..600).collect();
        let runs: Vec<(f64, f64)> = (0..30)
            .map(|seed| {
                let p = fit_to(&Forest::default(), &world, seed).predict(&ids).unwrap();
                let e = ids.iter().zip(&p.mean).map(|(&i, m)| (m - truth[i]).powi(2)).sum::<f64>() / 400.0;
                (e, p.sd.unwrap().mean().unwrap())
            })
            .collect();
        let check = |what: &str, of: &dyn Fn(&(f64, f64)) -> f64, theirs: f64, their_se: f64| {
            let mean = runs.iter().map(of).sum::<f64>() / 30.0;
            let se = (runs.iter().map(|r| (of(r) - mean).powi(2)).sum::<f64>() / 29.0 / 30.0).sqrt();
            let far = (mean - theirs) / se.hypot(their_se);
            assert!(far.abs() < 4.0, "{what}: {mean} ± {se}, scikit-learn {theirs} ± {their_se}");
            assert!(se < 2.0 * their_se, "{what}: {se} between seeds, scikit-learn {their_se}");
        };
        check("error", &|r| r.0, error, error_se);
        check("spread", &|r| r.1, spread, spread_se);
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
        let s = Forest::default()
            .fit(&FitContext { inputs: &inputs, observed: &observed, streams: &Streams::new(3) })
            .unwrap();
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
