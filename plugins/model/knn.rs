//! k nearest neighbours in the space of prior features.
//!
//! ŷ(x) = Σ_j w_j y_j over the k measured perturbations nearest to x, w uniform or ∝ exp(-d²/τ). Replicates of a
//! perturbation are averaged first, so that none is its own neighbour when k is chosen by leave-one-out. Fit
//! O(n²(d + log n)), prediction O(n d) an id.

use framework::numerics::sq_distances;
use framework::prelude::*;
use std::sync::Arc;

/// Mean of the nearest measured perturbations. sd² = c²(Σ w(y - ŷ)² + g² Σ w²): the spread of the neighbours, plus the
/// mean squared leave-one-out error g² with the weight of one neighbour in 1/Σw² (so that neighbours that
/// happen to agree, or a single one, do not mean certainty); c makes it right on average over the measured
/// perturbations when each is left out.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knn {
    /// Number of neighbours; absent: the one of 1, 3, 5, 10, 20, 50, 100, 200 with the smallest leave-one-out
    /// error.
    #[serde(default)]
    pub k: Option<usize>,
    /// How neighbours are weighted; default "uniform".
    #[serde(default)]
    pub weights: Weights,
    /// τ of softmax weights, in squared units of the features; absent: the median over the measured
    /// perturbations of the squared distance to the k-th neighbour.
    #[serde(default)]
    pub tau: Option<f64>,
}

/// Weights of neighbours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weights {
    /// All alike.
    #[default]
    Uniform,
    /// Proportional to exp(-d²/τ).
    Softmax,
}

#[typetag::serde(name = "knn")]
impl Model for Knn {
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>> {
        if self.k == Some(0) {
            return Err(Error::Config("knn: k must be at least 1".into()));
        }
        if let Some(t) = self.tau
            && !(t > 0.0 && t.is_finite())
        {
            return Err(Error::Config(format!("knn: tau must be a positive number, not {t}")));
        }
        if cx.inputs.n_features() == 0 {
            return Err(Error::Config(
                "knn measures distances of feature rows but no prior is active; add a [prior.NAME] section".into(),
            ));
        }
        let (ids, y) = averaged(cx.observed);
        let x = cx.inputs.features(&ids);
        let n = ids.len();
        // Every perturbation's others, nearest first.
        let others: Vec<Vec<(f64, usize)>> = sq_distances(x.view(), x.view())
            .outer_iter()
            .enumerate()
            .map(|(i, row)| nearest(row.iter().copied().enumerate().filter(|(j, _)| *j != i), n))
            .collect();
        let ks: Vec<usize> = match self.k {
            Some(k) => vec![k.min(n)],
            None => [1, 3, 5, 10, 20, 50, 100, 200].into_iter().filter(|k| *k == 1 || *k < n).collect(),
        };
        let mut best: Option<(f64, Fitted)> = None;
        for k in ks {
            let (fitted, error) = self.with_k(k, cx, &x, &y, &others);
            if best.as_ref().is_none_or(|(least, _)| error < *least) {
                best = Some((error, fitted));
            }
        }
        match best {
            Some((_, fitted)) => Ok(Box::new(fitted)),
            None => Err(Error::Numerical("knn: no number of neighbours could be tried".into())),
        }
    }

    fn provides(&self) -> Abilities {
        Abilities::of([Ability::Sd])
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Features])
    }
}

/// One row a perturbation, in the order of its first measurement, replicates averaged.
fn averaged(observed: &Observed) -> (Vec<usize>, Array2<f64>) {
    let mut at = std::collections::HashMap::new();
    let (mut ids, mut counts) = (Vec::new(), Vec::new());
    let mut y = Array2::<f64>::zeros((observed.len(), observed.n_outputs()));
    for (id, row) in observed.ids.iter().zip(observed.y.outer_iter()) {
        let i = *at.entry(*id).or_insert_with(|| {
            ids.push(*id);
            counts.push(0.0);
            ids.len() - 1
        });
        counts[i] += 1.0;
        let mut mean = y.row_mut(i);
        mean.zip_mut_with(&row, |m, v| *m += (v - *m) / counts[i]);
    }
    let y = y.slice(ndarray::s![..ids.len(), ..]).to_owned();
    (ids, y)
}

/// The `k` nearest as (squared distance, index), nearest first, ties to the lower index.
fn nearest(distances: impl Iterator<Item = (usize, f64)>, k: usize) -> Vec<(f64, usize)> {
    let mut all: Vec<(f64, usize)> = distances.map(|(j, d)| (d, j)).collect();
    let order = |a: &(f64, usize), b: &(f64, usize)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
    if k < all.len() {
        all.select_nth_unstable_by(k, order);
        all.truncate(k);
    }
    all.sort_unstable_by(order);
    all
}

impl Knn {
    /// The fit with k neighbours and its leave-one-out squared error.
    fn with_k(
        &self,
        k: usize,
        cx: &FitContext,
        x: &Array2<f64>,
        y: &Array2<f64>,
        others: &[Vec<(f64, usize)>],
    ) -> (Fitted, f64) {
        let tau = (self.weights == Weights::Softmax).then(|| {
            self.tau.unwrap_or_else(|| {
                let kth = |o: &Vec<(f64, usize)>| o.get(k.min(o.len()).wrapping_sub(1)).map(|n| n.0);
                let mut far: Vec<f64> = others.iter().filter_map(kth).collect();
                far.sort_unstable_by(f64::total_cmp);
                far.get(far.len() / 2).copied().unwrap_or(1.0)
            })
        });
        let l = y.ncols();
        let mut fitted = Fitted {
            inputs: cx.inputs.clone(),
            x: x.clone(),
            y: y.clone(),
            k,
            tau,
            error2: Array1::zeros(l),
            inflate2: Array1::ones(l),
        };
        if others.len() < 2 {
            return (fitted, 0.0);
        }
        let (mut error2, mut spread2, mut equal) = (Array1::<f64>::zeros(l), Array1::<f64>::zeros(l), 0.0);
        for (i, o) in others.iter().enumerate() {
            let (mean, spread, share) = fitted.local(&o[..k.min(o.len())]);
            error2 += &(&y.row(i) - &mean).mapv(|v| v * v);
            spread2 += &spread;
            equal += share;
        }
        let n = others.len() as f64;
        fitted.error2 = &error2 / n;
        for o in 0..l {
            let stated = spread2[o] + fitted.error2[o] * equal;
            fitted.inflate2[o] = if stated > 0.0 { error2[o] / stated } else { 1.0 };
        }
        (fitted, error2.sum())
    }
}

struct Fitted {
    inputs: Arc<Inputs>,
    x: Array2<f64>,
    y: Array2<f64>,
    k: usize,
    /// Of softmax weights.
    tau: Option<f64>,
    /// Mean squared leave-one-out error of each output.
    error2: Array1<f64>,
    /// c² of each output.
    inflate2: Array1<f64>,
}

impl Fitted {
    /// Weighted mean and variance of the neighbours' outputs, and Σw².
    fn local(&self, neighbours: &[(f64, usize)]) -> (Array1<f64>, Array1<f64>, f64) {
        let closest = neighbours.first().map_or(0.0, |n| n.0);
        let raw: Vec<f64> = match self.tau {
            // Relative to the nearest, so that not all can vanish. Neighbours at no distance share all.
            Some(t) => neighbours
                .iter()
                .map(|n| {
                    if n.0 == closest {
                        1.0
                    } else if t > 0.0 {
                        (-(n.0 - closest) / t).exp()
                    } else {
                        0.0
                    }
                })
                .collect(),
            None => vec![1.0; neighbours.len()],
        };
        let total: f64 = raw.iter().sum();
        let (mut mean, mut spread) = (Array1::<f64>::zeros(self.y.ncols()), Array1::<f64>::zeros(self.y.ncols()));
        for (w, (_, j)) in raw.iter().zip(neighbours) {
            mean.scaled_add(w / total, &self.y.row(*j));
        }
        for (w, (_, j)) in raw.iter().zip(neighbours) {
            let off = &self.y.row(*j) - &mean;
            spread.zip_mut_with(&off, |s, v| *s += w / total * v * v);
        }
        (mean, spread, raw.iter().map(|w| (w / total).powi(2)).sum())
    }
}

/// Perturbations predicted in one piece.
const TILE: usize = 1024;

impl Surrogate for Fitted {
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        let l = self.y.ncols();
        let (mut mean, mut sd) = (Array2::zeros((ids.len(), l)), Array2::zeros((ids.len(), l)));
        for (t, tile) in ids.chunks(TILE).enumerate() {
            let d = sq_distances(self.inputs.features(tile).view(), self.x.view());
            for (i, row) in d.outer_iter().enumerate() {
                let (m, spread, share) = self.local(&nearest(row.iter().copied().enumerate(), self.k));
                mean.row_mut(t * TILE + i).assign(&m);
                let variance = (spread + &self.error2 * share) * &self.inflate2;
                sd.row_mut(t * TILE + i).assign(&variance.mapv(f64::sqrt));
            }
        }
        Ok(Posterior { mean, sd: Some(sd) })
    }

    fn record(&self) -> Vec<(String, f64)> {
        vec![("knn.k".into(), self.k as f64)]
    }
}

framework::register!(Model, Knn, "knn", "mean of the nearest measured perturbations");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::domain::Readouts;
    use framework::testing::TinyWorld;
    use rand_distr::{Distribution, StandardNormal};

    fn line(x: &[f64]) -> Arc<Inputs> {
        let genes = Arc::new(Genes::new((0..x.len()).map(|i| format!("g{i}"))).unwrap());
        let block = Block::new("x", Array2::from_shape_fn((x.len(), 1), |(i, _)| x[i]), vec![true; x.len()]).unwrap();
        Arc::new(Inputs::new(Arc::new(Pool::singles(genes)), vec![Arc::new(block)], Compose::Sum).unwrap())
    }

    fn fit(model: &Knn, inputs: &Arc<Inputs>, ids: &[usize], y: &[f64]) -> Box<dyn Surrogate> {
        let mut observed = Observed::empty(1);
        observed.push(&Readouts::plain(ids, Array2::from_shape_fn((ids.len(), 1), |(i, _)| y[i])), 0).unwrap();
        model.fit(&FitContext { inputs, observed: &observed, streams: &Streams::new(1) }).unwrap()
    }

    #[test]
    fn means_by_hand_with_ties_to_the_lower_index() {
        let inputs = line(&[0.0, 2.0, 5.0, 9.0, 1.0, 2.5]);
        let s = fit(&Knn { k: Some(1), ..Knn::default() }, &inputs, &[0, 1, 2, 3], &[10.0, 20.0, 30.0, 40.0]);
        // 1.0 lies between 0.0 and 2.0.
        assert_eq!(s.predict(&[4, 5]).unwrap().mean, ndarray::array![[10.0], [20.0]]);
        let s = fit(&Knn { k: Some(3), ..Knn::default() }, &inputs, &[0, 1, 2, 3], &[10.0, 20.0, 30.0, 40.0]);
        assert!((s.predict(&[4]).unwrap().mean[(0, 0)] - 20.0).abs() < 1e-12);
        let soft = Knn { k: Some(2), weights: Weights::Softmax, tau: Some(2.0) };
        let s = fit(&soft, &inputs, &[0, 1, 2, 3], &[10.0, 20.0, 30.0, 40.0]);
        let (a, b) = ((-0.25f64 / 2.0).exp(), (-6.25f64 / 2.0).exp());
        // Indices 0 and 2 are equally far; the lower one is second.
        assert!((s.predict(&[5]).unwrap().mean[(0, 0)] - (20.0 * a + 10.0 * b) / (a + b)).abs() < 1e-12);
    }

    #[test]
    fn the_sd_of_one_neighbour_is_the_leave_one_out_error() {
        let inputs = line(&[0.0, 1.0, 3.0, 4.0, 8.0]);
        let s = fit(&Knn { k: Some(1), ..Knn::default() }, &inputs, &[0, 1, 2, 3], &[1.0, 2.0, 5.0, 9.0]);
        // Left out, each of the pairs predicts the other: errors 1, 1, 4, 4.
        let want = ((1.0f64 + 1.0 + 16.0 + 16.0) / 4.0).sqrt();
        assert!((s.predict(&[4]).unwrap().sd.unwrap()[(0, 0)] - want).abs() < 1e-12);
    }

    #[test]
    fn replicates_are_averaged_and_do_not_predict_themselves() {
        let world = TinyWorld::new(60, 2, 1, false, 3).unwrap();
        let ids: Vec<usize> = (0..40).collect();
        let y: Vec<f64> = world.observe(&ids, 1).unwrap().y.iter().copied().collect();
        let once = fit(&Knn::default(), &world.inputs, &ids, &y);
        let twice_ids = [ids.clone(), ids.clone()].concat();
        let twice_y: Vec<f64> = y.iter().map(|v| v + 0.1).chain(y.iter().map(|v| v - 0.1)).collect();
        let twice = fit(&Knn::default(), &world.inputs, &twice_ids, &twice_y);
        let star: Vec<usize> = (40..60).collect();
        let (a, b) = (once.predict(&star).unwrap(), twice.predict(&star).unwrap());
        assert_eq!(once.record(), twice.record());
        assert!((&a.mean - &b.mean).iter().all(|d| d.abs() < 1e-12));
        assert!((a.sd.unwrap() - b.sd.unwrap()).iter().all(|d| d.abs() < 1e-12));
    }

    #[test]
    fn the_chosen_k_has_the_least_error_by_brute_force() {
        let world = TinyWorld::new(80, 2, 1, false, 4).unwrap();
        let ids: Vec<usize> = (0..60).collect();
        let mut rng = Streams::new(5).rng("noise");
        let y: Vec<f64> = ids
            .iter()
            .map(|&i| {
                let z: f64 = StandardNormal.sample(&mut rng);
                world.truth[(i, 0)] + z
            })
            .collect();
        let error = |k: usize| -> f64 {
            (0..60)
                .map(|i| {
                    let rest: Vec<usize> = ids.iter().copied().filter(|j| *j != i).collect();
                    let own: Vec<f64> = rest.iter().map(|&j| y[j]).collect();
                    let p =
                        fit(&Knn { k: Some(k), ..Knn::default() }, &world.inputs, &rest, &own).predict(&[i]).unwrap();
                    (y[i] - p.mean[(0, 0)]).powi(2)
                })
                .sum()
        };
        let best = [1, 3, 5, 10, 20, 50].into_iter().min_by(|&a, &b| error(a).total_cmp(&error(b))).unwrap();
        assert_eq!(fit(&Knn::default(), &world.inputs, &ids, &y).record()[0].1, best as f64);
    }

    #[test]
    fn stated_sds_are_right_on_average() {
        for weights in [Weights::Uniform, Weights::Softmax] {
            let (mut error, mut stated) = (0.0, 0.0);
            for seed in 0..10 {
                let world = TinyWorld::new(400, 3, 1, false, seed).unwrap();
                let size = world.truth.mapv(|v| v * v).sum();
                let ids: Vec<usize> = (0..200).collect();
                let y: Vec<f64> = world.observe(&ids, 1).unwrap().y.iter().copied().collect();
                let s = fit(&Knn { weights, ..Knn::default() }, &world.inputs, &ids, &y);
                let star: Vec<usize> = (200..400).collect();
                let p = s.predict(&star).unwrap();
                let off = star.iter().enumerate().map(|(i, &id)| (p.mean[(i, 0)] - world.truth[(id, 0)]).powi(2));
                error += off.sum::<f64>() / size;
                stated += p.sd.unwrap().iter().map(|s| s * s).sum::<f64>() / size;
            }
            println!("{weights:?}: {}", error / stated);
            // 2,000 errors; their mean square is known to some 5 %.
            assert!((0.85..1.15).contains(&(error / stated)), "{weights:?}: {}", error / stated);
        }
    }

    #[test]
    fn settings_out_of_range_are_refused_and_large_k_is_everyone() {
        let inputs = line(&[0.0, 1.0, 3.0]);
        let mut observed = Observed::empty(1);
        observed.push(&Readouts::plain(&[0, 1], ndarray::array![[1.0], [2.0]]), 0).unwrap();
        let cx = FitContext { inputs: &inputs, observed: &observed, streams: &Streams::new(1) };
        assert!(Knn { k: Some(0), ..Knn::default() }.fit(&cx).is_err());
        assert!(Knn { tau: Some(-1.0), weights: Weights::Softmax, k: None }.fit(&cx).is_err());
        let p = Knn { k: Some(99), ..Knn::default() }.fit(&cx).unwrap().predict(&[2]).unwrap();
        assert!((p.mean[(0, 0)] - 1.5).abs() < 1e-12);
    }
}
