//! Extremely randomised trees (Geurts et al. 2006): each split tries one threshold a feature, drawn uniformly between the
//! smallest and the largest value in the node, and takes the best; no bootstrap. Mean and standard deviation (÷ trees)
//! over the trees.
//!
//! Without a search for the best threshold trees differ more than those of `forest`, their mean is smoother, and each is
//! cheaper. Trees are smartcore's, one output at a time and seeded one by one, so the tree of a number is the same on any
//! number of threads. Fit: O(outputs x trees x features x measured x levels); prediction: O(levels) per tree, row and
//! output.

use framework::prelude::*;
use rayon::prelude::*;
use smartcore::ensemble::extra_trees_regressor::{ExtraTreesRegressor, ExtraTreesRegressorParameters};
use smartcore::error::Failed;
use smartcore::linalg::basic::matrix::DenseMatrix;
use std::sync::Arc;

/// Extremely randomised trees on the concatenated features of the active priors.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExtraTrees {
    /// Number of trees; default 100.
    pub trees: usize,
    /// Least measured rows of a node that is split; default 5, the paper's for regression. 2: down to single rows.
    pub min_split: usize,
    /// Share of the features tried at each split, above 0 and at most 1; default 1: all, the paper's for regression.
    pub features: f64,
}

impl Default for ExtraTrees {
    fn default() -> Self {
        Self { trees: 100, min_split: 5, features: 1.0 }
    }
}

type Tree = ExtraTreesRegressor<f64, f64, DenseMatrix<f64>, Vec<f64>>;

fn failed(e: Failed) -> Error {
    Error::Numerical(format!("model extra_trees: {e}"))
}

/// Rows side by side in memory, since a tree reads few features of a row.
fn matrix(x: &Array2<f64>) -> Result<DenseMatrix<f64>> {
    DenseMatrix::new(x.nrows(), x.ncols(), x.iter().copied().collect(), false).map_err(failed)
}

#[typetag::serde(name = "extra_trees")]
impl Model for ExtraTrees {
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>> {
        if self.trees == 0 || self.min_split < 2 || !(self.features > 0.0 && self.features <= 1.0) {
            return Err(Error::Config(
                "model extra_trees: `trees` must be at least 1, `min_split` at least 2 and `features` above 0 and at most 1"
                    .into(),
            ));
        }
        let d = cx.inputs.n_features();
        if d == 0 {
            return Err(Error::Config(
                "model extra_trees learns from features and no prior is active; add a [prior.NAME] section".into(),
            ));
        }
        let x = matrix(&cx.inputs.features(&cx.observed.ids))?;
        let columns: Vec<Vec<f64>> = cx.observed.y.columns().into_iter().map(|c| c.to_vec()).collect();
        let tried = ((self.features * d as f64).round() as usize).clamp(1, d);
        let grow = |at: usize| -> Result<Tree> {
            let (tree, output) = (at / columns.len(), at % columns.len());
            let how = ExtraTreesRegressorParameters::default()
                .with_n_trees(1)
                .with_m(tried)
                .with_min_samples_split(self.min_split)
                .with_seed(cx.streams.index(tree).index(output).rng("tree").random());
            Tree::fit(&x, &columns[output], how).map_err(failed)
        };
        let trees = (0..self.trees * columns.len()).into_par_iter().map(grow).collect::<Result<_>>()?;
        Ok(Box::new(Fitted { trees, outputs: columns.len(), inputs: cx.inputs.clone() }))
    }

    fn provides(&self) -> Abilities {
        Abilities::of([Ability::Sd, Ability::Draws])
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Features])
    }
}

struct Fitted {
    /// trees x outputs.
    trees: Vec<Tree>,
    outputs: usize,
    inputs: Arc<Inputs>,
}

/// Rows predicted in one piece.
const TILE: usize = 512;

impl Fitted {
    fn n_trees(&self) -> usize {
        self.trees.len() / self.outputs
    }

    /// What each of some trees predicts, for tiles of rows in their order: a vector of rows for each tree and output.
    fn tiles<T: Send>(
        &self,
        ids: &[usize],
        trees: &[usize],
        use_tile: impl Fn(Vec<Vec<f64>>) -> T + Sync,
    ) -> Result<Vec<T>> {
        ids.par_chunks(TILE)
            .map(|ids| {
                let x = matrix(&self.inputs.features(ids))?;
                let of = trees.iter().flat_map(|t| &self.trees[t * self.outputs..][..self.outputs]);
                Ok(use_tile(of.map(|tree| tree.predict(&x).map_err(failed)).collect::<Result<_>>()?))
            })
            .collect()
    }

    /// What some trees predict: trees x ids x outputs.
    fn values(&self, ids: &[usize], trees: &[usize]) -> Result<Array3<f64>> {
        let mut out = Array3::zeros((trees.len(), ids.len(), self.outputs));
        let mut done = 0;
        for tile in self.tiles(ids, trees, |all| all)? {
            for (c, rows) in tile.iter().enumerate() {
                rows.iter().enumerate().for_each(|(i, v)| out[(c / self.outputs, done + i, c % self.outputs)] = *v);
            }
            done += tile.first().map_or(0, Vec::len);
        }
        Ok(out)
    }
}

impl Surrogate for Fitted {
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        let (n, o) = (self.n_trees(), self.outputs);
        let all: Vec<usize> = (0..n).collect();
        // Distances from the first tree, so that equal values have their mean exactly and no spread.
        let moments = |values: Vec<Vec<f64>>| {
            let of = |i: usize, k: usize| {
                let first = values[k][i];
                let value = |t: usize| values[t * o + k][i];
                let mean = first + (0..n).map(|t| value(t) - first).sum::<f64>() / n as f64;
                (mean, ((0..n).map(|t| (value(t) - mean).powi(2)).sum::<f64>() / n as f64).sqrt())
            };
            (0..values[0].len()).flat_map(|i| (0..o).map(move |k| (i, k))).map(|(i, k)| of(i, k)).collect::<Vec<_>>()
        };
        let (mean, sd) = self.tiles(ids, &all, moments)?.into_iter().flatten().unzip();
        let shape = |v: Vec<f64>| {
            Array2::from_shape_vec((ids.len(), o), v).map_err(|e| Error::Numerical(format!("model extra_trees: {e}")))
        };
        Ok(Posterior { mean: shape(mean)?, sd: Some(shape(sd)?) })
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
        let order = rand::seq::index::sample(rng, self.n_trees(), self.n_trees()).into_vec();
        let trees: Vec<usize> = (0..n).map(|l| order[l % order.len()]).collect();
        self.values(ids, &trees)
    }
}

impl Functions for Fitted {
    /// The trees.
    fn evaluate(&self, ids: &[usize]) -> Result<Array3<f64>> {
        self.values(ids, &(0..self.n_trees()).collect::<Vec<_>>())
    }
}

framework::register!(Model, ExtraTrees, "extra_trees", "trees split at random thresholds, mean and spread over trees");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::ndarray::array;
    use framework::testing::TinyWorld;

    fn fit(settings: &ExtraTrees, inputs: &Arc<Inputs>, observed: &Observed) -> Box<dyn Surrogate> {
        settings.fit(&FitContext { inputs, observed, streams: &Streams::new(3) }).unwrap()
    }

    fn inputs(x: Array2<f64>) -> Arc<Inputs> {
        let n = x.nrows();
        let genes = Arc::new(Genes::new((0..n).map(|i| format!("g{i}"))).unwrap());
        let block = Block::new("x", x, vec![true; n]).unwrap();
        Arc::new(Inputs::new(Arc::new(Pool::singles(genes)), vec![Arc::new(block)], Compose::Sum).unwrap())
    }

    fn measured(ids: Vec<usize>, y: Array2<f64>) -> Observed {
        let mut observed = Observed::empty(y.ncols());
        observed.push(&Readouts::plain(&ids, y), 0).unwrap();
        observed
    }

    #[test]
    fn between_two_rows_the_threshold_is_uniform() {
        // P(threshold < x) = x between 0 and 1, so a tree says 5 with chance x and 1 otherwise; the second output is its
        // mirror image. Beyond the rows nothing changes.
        let inputs = inputs(array![[0.0], [1.0], [0.25], [0.7], [-3.0], [9.0]]);
        let observed = measured(vec![0, 1], array![[1.0, -1.0], [5.0, -5.0]]);
        let s = fit(&ExtraTrees { trees: 4000, min_split: 2, ..ExtraTrees::default() }, &inputs, &observed);
        let p = s.predict(&[0, 1, 2, 3, 4, 5]).unwrap();
        let sd = p.sd.unwrap();
        for (i, x) in [0.0, 1.0, 0.25, 0.7, 0.0, 1.0].into_iter().enumerate() {
            // Five standard errors of a share of 4,000 trees, times 4.
            let near = 5.0 * 4.0 * (x * (1.0 - x) / 4000.0f64).sqrt() + 1e-12;
            for (k, sign) in [(0, 1.0), (1, -1.0)] {
                assert!((p.mean[(i, k)] - sign * (1.0 + 4.0 * x)).abs() <= near, "{i} {k}: {}", p.mean[(i, k)]);
                assert!((sd[(i, k)] - 4.0 * (x * (1.0 - x)).sqrt()).abs() <= 0.1, "{i} {k}: {}", sd[(i, k)]);
            }
        }
    }

    /// A tree as the paper defines it, down to nodes of fewer than `min_split` rows; what it says at a point.
    fn textbook(x: &Array2<f64>, y: &[f64], rows: &[usize], at: &[f64], min_split: usize, rng: &mut StreamRng) -> f64 {
        let mean = |rows: &[usize]| rows.iter().map(|&r| y[r]).sum::<f64>() / rows.len() as f64;
        let error = |rows: &[usize]| rows.iter().map(|&r| (y[r] - mean(rows)).powi(2)).sum::<f64>();
        let mut best: Option<(f64, usize, f64)> = None;
        for f in (0..x.ncols()).filter(|_| rows.len() >= min_split) {
            let of = |better: fn(f64, f64) -> f64| rows.iter().map(|&r| x[(r, f)]).reduce(better).unwrap();
            let (low, high) = (of(f64::min), of(f64::max));
            if low < high {
                let t = rng.random_range(low..high);
                let (l, r): (Vec<usize>, Vec<usize>) = rows.iter().partition(|&&i| x[(i, f)] <= t);
                let e = error(&l) + error(&r);
                if best.is_none_or(|b| e < b.0) {
                    best = Some((e, f, t));
                }
            }
        }
        let Some((_, f, t)) = best else { return mean(rows) };
        let side: Vec<usize> = rows.iter().copied().filter(|&i| (x[(i, f)] <= t) == (at[f] <= t)).collect();
        textbook(x, y, &side, at, min_split, rng)
    }

    #[test]
    fn the_mean_over_many_trees_is_the_textbooks() {
        let world = TinyWorld::new(40, 3, 1, false, 8).unwrap();
        let train: Vec<usize> = (0..25).collect();
        let observed = world.observe(&train, 1).unwrap();
        let (x, y) = (world.inputs.features(&(0..40).collect::<Vec<_>>()), observed.y.column(0).to_vec());
        let trees = 3000;
        let s = fit(&ExtraTrees { trees, ..ExtraTrees::default() }, &world.inputs, &observed);
        let ids: Vec<usize> = (25..40).collect();
        let p = s.predict(&ids).unwrap();
        let sd = p.sd.unwrap();
        let mut rng = Streams::new(1).rng("textbook");
        for (i, &id) in ids.iter().enumerate() {
            let at = x.row(id).to_vec();
            let draws: Vec<f64> = (0..trees).map(|_| textbook(&x, &y, &train, &at, 5, &mut rng)).collect();
            let want = draws.iter().sum::<f64>() / trees as f64;
            let spread = (draws.iter().map(|d| (d - want).powi(2)).sum::<f64>() / trees as f64).sqrt();
            // Five standard errors of the difference of two means.
            let error = 5.0 * spread * (2.0 / trees as f64).sqrt();
            assert!((p.mean[(i, 0)] - want).abs() < error, "{i}: {} for {want} ± {error}", p.mean[(i, 0)]);
            assert!((sd[(i, 0)] / spread - 1.0).abs() < 0.1, "{i}: spread {} for {spread}", sd[(i, 0)]);
        }
    }

    #[test]
    fn grown_to_the_end_it_repeats_what_it_was_fitted_to_and_a_draw_is_a_tree() {
        let world = TinyWorld::new(700, 4, 3, false, 8).unwrap();
        let observed = world.observe(&(0..30).collect::<Vec<_>>(), 1).unwrap();
        let s = fit(&ExtraTrees { trees: 7, min_split: 2, features: 0.5 }, &world.inputs, &observed);
        let all: Vec<usize> = (0..700).collect();
        let p = s.predict(&all).unwrap();
        assert!((0..30).all(|i| (0..3).all(|k| (p.mean[(i, k)] - observed.y[(i, k)]).abs() < 1e-9)));
        let functions = s.functions().unwrap().evaluate(&all).unwrap();
        let mean = functions.mean_axis(Axis(0)).unwrap();
        assert!((&mean - &p.mean).iter().all(|d| d.abs() < 1e-9));
        assert!((&functions.std_axis(Axis(0), 0.0) - &p.sd.unwrap()).iter().all(|d| d.abs() < 1e-9));
        let drawn = s.draws().unwrap().draw(&all, 7, &mut Streams::new(2).rng("draw")).unwrap();
        let is_tree = |d: &ArrayView2<f64>| functions.outer_iter().filter(|f| f == d).count() == 1;
        assert!(drawn.outer_iter().all(|d| is_tree(&d)));
        assert!(functions.index_axis(Axis(0), 0) != functions.index_axis(Axis(0), 1));
    }
}
