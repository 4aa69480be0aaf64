//! Embeddings of genes, summed, and one linear layer: the "MLP" rows of NAIAD's tables (Qin et al., section 4.1).
//!
//! ŷ(S) = wᵀ Σ_{g in S} x_g + b with x_g learned, standard normal at the start, w and b uniform in ±1/√width. However wide
//! the embeddings are, this is a sum of one number a gene: a set's effect without interaction, learned from sets alone.
//! Sum of squared errors, Adam with the schedule of `naiad`. O(rows x width) an epoch.

use framework::prelude::*;
use learn::nn::optimiser::Adam;
use learn::nn::set_network::rate_share;
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;

/// Linear map of summed gene embeddings, for pools of gene sets with one readout. Needs neither features nor single
/// effects. Gives the summed embeddings as its own.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PairMlp {
    /// Numbers of an embedding; default 128.
    pub width: usize,
    /// Passes over the measured rows; default 200.
    pub epochs: usize,
    /// Rows of a step; default 1,024.
    pub batch: usize,
    /// Largest rate of Adam; default 0.01.
    pub learning_rate: f64,
    /// Share of it at the end; default 0.1.
    pub last_rate: f64,
    /// Times a parameter, added to its gradient; default 0.
    pub l2: f64,
}

impl Default for PairMlp {
    fn default() -> Self {
        Self { width: 128, epochs: 200, batch: 1024, learning_rate: 0.01, last_rate: 0.1, l2: 0.0 }
    }
}

#[typetag::serde(name = "pair_mlp")]
impl Model for PairMlp {
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>> {
        let wrong = |what: String| Err(Error::Config(format!("model pair_mlp: {what}")));
        if self.width == 0 || self.epochs == 0 || self.batch == 0 {
            return wrong("`width`, `epochs` and `batch` must be at least 1".into());
        }
        let rates = self.learning_rate > 0.0 && self.learning_rate.is_finite() && self.l2 >= 0.0 && self.l2.is_finite();
        if !rates || !(0.0..=1.0).contains(&self.last_rate) {
            return wrong(
                "`learning_rate` must be positive, `l2` not below 0 and `last_rate` from 0 to 1, all finite".into(),
            );
        }
        let (pool, observed, p) = (cx.inputs.pool(), cx.observed, self.width);
        if observed.n_outputs() != 1 {
            return wrong(format!("it predicts one number and readouts have {} outputs", observed.n_outputs()));
        }
        let genes = pool.genes().len();
        let mut rng = cx.streams.rng("start");
        let mut v: Vec<f64> = (0..genes * p).map(|_| StandardNormal.sample(&mut rng)).collect();
        let bound = (p as f64).sqrt().recip();
        v.extend((0..p + 1).map(|_| rng.random_range(-bound..=bound)));
        let (mut g, mut adam) = (vec![0.0; v.len()], Adam::new(v.len()));
        adam.l2 = self.l2;
        let steps = self.epochs * observed.len().div_ceil(self.batch);
        let rows: Vec<usize> = (0..observed.len()).collect();
        let (mut loss, mut sum, head) = (0.0, vec![0.0; p], genes * p);
        for s in 0..steps {
            let batches = rows.chunks(self.batch).len();
            if s % batches == 0 {
                loss = 0.0;
            }
            g.fill(0.0);
            for &r in rows.chunks(self.batch).nth(s % batches).unwrap_or_default() {
                pool.with_genes(observed.ids[r], |set| {
                    summed(&v, p, set, &mut sum);
                    let dot: f64 = sum.iter().zip(&v[head..]).map(|(a, b)| a * b).sum();
                    let error = dot + v[head + p] - observed.y[(r, 0)];
                    loss += error * error;
                    for l in 0..p {
                        g[head + l] += 2.0 * error * sum[l];
                        set.iter().for_each(|gene| g[gene.index() * p + l] += 2.0 * error * v[head + l]);
                    }
                    g[head + p] += 2.0 * error;
                });
            }
            adam.step(&mut v, &mut g, self.learning_rate * rate_share(s, steps, self.last_rate));
        }
        if v.iter().any(|v| !v.is_finite()) {
            return Err(Error::Numerical(format!(
                "model pair_mlp: training diverged at learning rate {}; lower `learning_rate`",
                self.learning_rate
            )));
        }
        Ok(Box::new(Fitted { inputs: cx.inputs.clone(), values: v, width: p, loss: loss / observed.len() as f64 }))
    }

    fn provides(&self) -> Abilities {
        Abilities::of([Ability::Embedding])
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Scalar])
    }
}

/// Σ x_g of a set.
fn summed(values: &[f64], width: usize, set: &[Gene], to: &mut [f64]) {
    to.fill(0.0);
    for g in set {
        to.iter_mut().zip(&values[g.index() * width..][..width]).for_each(|(t, v)| *t += v);
    }
}

struct Fitted {
    inputs: Arc<Inputs>,
    /// Embeddings, w and b.
    values: Vec<f64>,
    width: usize,
    loss: f64,
}

impl Surrogate for Fitted {
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        let (w, p) = (&self.values[self.values.len() - self.width - 1..], self.width);
        let mean = self.embed(ids)?.map_axis(Axis(1), |x| x.iter().zip(w).map(|(a, b)| a * b).sum::<f64>() + w[p]);
        Ok(Posterior { mean: mean.insert_axis(Axis(1)), sd: None })
    }

    fn representation(&self) -> Option<&dyn Representation> {
        Some(self)
    }

    fn record(&self) -> Vec<(String, f64)> {
        vec![("pair_mlp.loss".into(), self.loss)]
    }
}

impl Representation for Fitted {
    /// Sums of embeddings.
    fn embed(&self, ids: &[usize]) -> Result<Array2<f64>> {
        let mut out = Array2::zeros((ids.len(), self.width));
        for (mut row, &id) in out.outer_iter_mut().zip(ids) {
            let row = row.as_slice_mut().unwrap_or_default();
            self.inputs.pool().with_genes(id, |set| summed(&self.values, self.width, set, row));
        }
        Ok(out)
    }
}

framework::register!(Model, PairMlp, "pair_mlp", "linear map of summed gene embeddings");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_one_number_a_gene_are_learnt_and_nothing_else_can_be() {
        let genes = Arc::new(Genes::new((0..20).map(|i| format!("g{i}"))).unwrap());
        let pool = Arc::new(Pool::all_pairs(genes));
        let number = |g: Gene| (f64::from(g.0) * 1.3).sin();
        let y =
            Array2::from_shape_fn((pool.len(), 1), |(i, _)| pool.with_genes(i, |g| 0.4 + number(g[0]) + number(g[1])));
        let train: Vec<usize> = (0..pool.len()).filter(|i| i % 3 > 0).collect();
        let inputs = Arc::new(Inputs::new(pool.clone(), vec![], Compose::Sum).unwrap());
        let mut observed = Observed::empty(1);
        observed.push(&Readouts::plain(&train, y.select(Axis(0), &train)), 0).unwrap();
        let model = PairMlp { width: 8, epochs: 600, ..PairMlp::default() };
        let s = model.fit(&FitContext { inputs: &inputs, observed: &observed, streams: &Streams::new(1) }).unwrap();
        let id = |a: u32, b: u32| pool.find(&Perturbation::new([Gene(a), Gene(b)])).unwrap();
        let all: Vec<usize> = (0..pool.len()).collect();
        let p = s.predict(&all).unwrap().mean;
        let worst = (&p - &y).iter().fold(0.0f64, |m, e| m.max(e.abs()));
        assert!(worst < 0.02, "{worst}");
        // No interaction: f(1,2) + f(3,4) = f(1,4) + f(3,2).
        let at = |a, b| p[(id(a, b), 0)];
        assert!((at(1, 2) + at(3, 4) - at(1, 4) - at(2, 3)).abs() < 1e-9);
        assert_eq!(s.representation().unwrap().embed(&[3]).unwrap().dim(), (1, 8));
    }
}
