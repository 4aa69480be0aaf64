//! Optimistic arm elimination: the candidates that are best under an optimistic function (Pacchiano et al. 2023).
//!
//! `ensemble`: score(x) = max_j merit(f_j(x)) over the functions of the model. `fit`: the scores are those of f = b +
//! xᵀw that minimises (1/n) Σ (f(x_i) - y_i)² + (ρ/n)‖w‖² - λ A(f), n measured rows, A over the candidates U: the mean
//! of f, its maximum, or the p-norm ((1/|U|) Σ max(0, f)^p)^(1/p). A grows no faster than f and the first two terms
//! with its square, so a minimum exists whatever λ; the p-th power in place of the norm would have none for p > 2.
//! With z the rows whitened by XᵀX + ρI and f = f₀ + zᵀv around the ridge regression f₀, mean and maximum have closed
//! forms, v = λn z̄/2 and v = λn z_i/2 with i of largest f₀ + λn‖z‖²/4, an upper confidence bound; the p-norm is
//! minimised from the former by L-BFGS. Targets of large absolute value are fitted twice, upwards and downwards, and
//! the larger counts. A profile counts by its norm.
//!
//! Batches: the best b, or diverse ones: `determinant` adds to the standardised score a multiple of the logarithm by
//! which a candidate multiplies the determinant of the batch's similarities; `sequential` goes on as if each pick had
//! been measured and gave its predicted mean. Cost: one prediction, or O(n d²) for `fit`; O(n b²) for diverse batches.

mod fit;
#[cfg(test)]
mod tests;

use fit::Fit;
use framework::domain::Top;
use framework::ndarray::Array3;
use framework::numerics::Conditioned;
use framework::numerics::memory::{Limit, Size};
use framework::numerics::stats::sd;
use framework::prelude::*;

/// Takes the candidates of best optimistic value. The score is that value (with `determinant`, what the greedy choice
/// maximised).
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Oae {
    /// The optimistic function: `"ensemble"` (default), the pointwise best of the model's functions, or `"fit"`, a
    /// linear function of the prior features fitted with a reward for high values.
    pub form: Optimism,
    /// What `fit` rewards, over the candidates: `"mean"` (default), `"max"` or `"p_norm"`, of the positive parts.
    pub reward: Reward,
    /// p of p_norm, at least 1. Default 2.
    pub p: f64,
    /// Weight λ ≥ 0 of the reward of `fit`, in sds of the measured readouts. Default 0.1.
    pub lambda: f64,
    /// Penalty ρ > 0 of `fit`, in units of the squared features; absent: by the evidence, as in `ridge`.
    pub penalty: Option<f64>,
    /// `"none"` (default), `"determinant"` or `"sequential"`.
    pub diversity: Diversity,
    /// Weight of the log determinant, in sds of the score. Default 1.
    pub weight: f64,
    /// Noise sd of a measurement in units of the readout, for a sequential `ensemble`; absent: the model's, or the
    /// root mean squared residual of the measured rows.
    pub noise: Option<f64>,
    /// Number of joint draws for an `ensemble` of a model that is not made of functions. Default 10.
    pub draws: usize,
}

/// Where the optimistic function comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimism {
    /// The model's functions.
    #[default]
    Ensemble,
    /// A fit of its own.
    Fit,
}

/// What optimism is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reward {
    /// All candidates.
    #[default]
    Mean,
    /// The best candidate.
    Max,
    /// In between.
    PNorm,
}

/// How candidates of one batch are kept apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Diversity {
    /// Not at all.
    #[default]
    None,
    /// By the determinant of their similarities.
    Determinant,
    /// By what would be known after measuring the picks before.
    Sequential,
}

impl Default for Oae {
    fn default() -> Self {
        Self {
            form: Optimism::default(),
            reward: Reward::default(),
            p: 2.0,
            lambda: 0.1,
            penalty: None,
            diversity: Diversity::default(),
            weight: 1.0,
            noise: None,
            draws: 10,
        }
    }
}

/// Features at most, whose square matrix is factored.
const WIDE: usize = 8192;

#[typetag::serde(name = "oae")]
impl Acquisition for Oae {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        self.check()?;
        match (self.form, self.diversity) {
            (Optimism::Ensemble, Diversity::Sequential) => self.ensemble_in_sequence(cx),
            (Optimism::Fit, Diversity::Sequential) => Fit::new(self, cx)?.in_sequence(cx),
            (form, diversity) => {
                let ids = cx.candidates.to_vec();
                let value = match form {
                    Optimism::Ensemble => {
                        let mut best = vec![f64::NEG_INFINITY; ids.len()];
                        self.functions(cx, &ids, |i, g| best[i] = best[i].max(cx.target.direction.merit(g)))?;
                        best
                    }
                    Optimism::Fit => Fit::new(self, cx)?.values()?,
                };
                match diversity {
                    Diversity::Determinant => self.by_determinant(cx, &ids, &value),
                    _ => Batch::top(&ids, &value, cx.batch()),
                }
            }
        }
    }

    fn needs(&self) -> Abilities {
        let of_model = match self.form {
            Optimism::Ensemble => Abilities::of([Ability::Model, Ability::Draws]),
            Optimism::Fit => Abilities::NONE,
        };
        of_model.with_if(Ability::Similarity, self.diversity == Diversity::Determinant)
    }
}

impl Oae {
    fn check(&self) -> Result<()> {
        let bad = |text: String| Err(Error::Config(format!("oae: {text}")));
        for (name, v) in [("lambda", self.lambda), ("weight", self.weight), ("noise", self.noise.unwrap_or(0.0))] {
            if !(v >= 0.0 && v.is_finite()) {
                return bad(format!("{name} must be 0 or a positive number, not {v}"));
            }
        }
        if !(self.p >= 1.0 && self.p.is_finite()) {
            return bad(format!("p must be at least 1, not {}", self.p));
        }
        if self.draws == 0 {
            return bad("draws must be at least 1".into());
        }
        Ok(())
    }

    /// Gives `each` the values of all functions at each candidate's position, functions in order: the readout, or the
    /// norm of a profile. Returns their number.
    fn functions(&self, cx: &RunContext, ids: &[usize], mut each: impl FnMut(usize, f64)) -> Result<usize> {
        const TILE: usize = 2048;
        let (surrogate, outputs) = (cx.surrogate()?, cx.observed.n_outputs());
        let mut enter = |start: usize, n: usize, f: Array3<f64>| -> Result<()> {
            if f.shape()[1..] != [n, outputs] {
                return Err(Error::Plugin(format!(
                    "the model returned functions of shape {:?} for {n} perturbations and {outputs} outputs",
                    f.dim()
                )));
            }
            for g in f.outer_iter() {
                for (i, row) in g.outer_iter().enumerate() {
                    let v = if outputs == 1 { row[0] } else { row.dot(&row).sqrt() };
                    if !v.is_finite() {
                        return Err(Error::Numerical(format!(
                            "a function of the model predicts {v} for candidate {}",
                            ids[start + i]
                        )));
                    }
                    each(start + i, v);
                }
            }
            Ok(())
        };
        let Some(functions) = surrogate.functions() else {
            Limit::USUAL.check(&[ids.len(), self.draws, outputs]).map_err(too_large)?;
            enter(0, ids.len(), surrogate.try_draws()?.draw(ids, self.draws, &mut cx.rng("oae"))?)?;
            return Ok(self.draws);
        };
        let mut n = 0;
        for (t, tile) in ids.chunks(TILE).enumerate() {
            let f = functions.evaluate(tile)?;
            n = f.dim().0;
            enter(t * TILE, tile.len(), f)?;
        }
        Ok(n)
    }

    /// The greedy batch by score over its sd plus the weighted log of what the determinant of similarities (the kernel
    /// over its own scale) is multiplied by.
    fn by_determinant(&self, cx: &RunContext, ids: &[usize], value: &[f64]) -> Result<Batch> {
        /// Similarities tell no more apart than this.
        const LEAST: f64 = 1e-6;
        let spread = sd(value);
        let unit = if spread > 0.0 { spread } else { 1.0 };
        let mean = value.iter().sum::<f64>() / value.len() as f64;
        let quality: Vec<f64> = value.iter().map(|v| (v - mean) / unit).collect();
        let held = cx.prepared("oae", &[])?;
        let gram = held.gram();
        let all: Vec<usize> = (0..ids.len()).collect();
        let length: Vec<f64> = gram.diagonal(&all).iter().map(|v| if *v > 0.0 { v.sqrt() } else { 1.0 }).collect();
        let mut state = Conditioned::new(vec![1.0; ids.len()]);
        let (mut taken, mut batch) = (vec![false; ids.len()], Batch::default());
        while batch.ids.len() < cx.batch() {
            cx.tick(batch.ids.len(), cx.batch());
            let gain = |i: usize| quality[i] + self.weight * state.variance()[i].max(LEAST).ln();
            let Some(i) = best_left(&taken, gain, ids, &mut batch)? else { break };
            taken[i] = true;
            let mut row = vec![0.0; ids.len()];
            gram.row(i, &mut row);
            row.iter_mut().zip(&length).for_each(|(v, l)| *v /= l * length[i]);
            row[i] = 1.0;
            state.observe(i, row, 0.0);
        }
        Ok(batch)
    }

    /// Each pick pulls every function to the mean there, by the gain of a measurement under the functions' covariance.
    fn ensemble_in_sequence(&self, cx: &RunContext) -> Result<Batch> {
        let ids = cx.candidates.to_vec();
        let n = ids.len();
        let mut flat: Vec<Vec<f64>> = vec![vec![]; n];
        let m = self.functions(cx, &ids, |i, g| flat[i].push(g))?;
        let mut f = Array2::from_shape_fn((m, n), |(j, i)| flat[i][j]);
        drop(flat);
        let mean: Vec<f64> = f.columns().into_iter().map(|c| c.sum() / m as f64).collect();
        let off = &f - &Array1::from_vec(mean.clone());
        let noise = match self.noise {
            Some(sd) => sd * sd,
            None => cx.noise_variance()?.mean().unwrap_or(0.0),
        };
        let variance = off.columns().into_iter().map(|c| c.dot(&c) / m as f64).collect();
        let mut state = Conditioned::new(variance);
        let (mut taken, mut batch) = (vec![false; n], Batch::default());
        while batch.ids.len() < cx.batch() {
            cx.tick(batch.ids.len(), cx.batch());
            let merit = |i: usize| f.column(i).iter().map(|g| cx.target.direction.merit(*g)).fold(f64::MIN, f64::max);
            let Some(i) = best_left(&taken, merit, &ids, &mut batch)? else { break };
            taken[i] = true;
            let prior = off.t().dot(&off.column(i)) / m as f64;
            if let Some((direction, root)) = state.observe(i, prior.to_vec(), noise) {
                for mut g in f.outer_iter_mut() {
                    let residual = (g[i] - mean[i]) / root;
                    g.iter_mut().zip(direction).for_each(|(g, d)| *g -= d * residual);
                }
            }
        }
        Ok(batch)
    }
}

fn too_large(size: Size) -> Error {
    Error::Config(format!(
        "oae would hold {size} of numbers; make the pool smaller, lower `draws`, or use fewer features"
    ))
}

/// The best position that is not taken, entered into the batch; ties to the lowest.
fn best_left(taken: &[bool], score: impl Fn(usize) -> f64, ids: &[usize], batch: &mut Batch) -> Result<Option<usize>> {
    let mut top = Top::new(1);
    let left: Vec<usize> = (0..taken.len()).filter(|i| !taken[*i]).collect();
    top.extend(&left, &left.iter().map(|&i| score(i)).collect::<Vec<_>>())?;
    let best = top.into_batch();
    Ok(best.ids.first().map(|&i| {
        batch.ids.push(ids[i]);
        batch.scores.push(best.scores[0]);
        i
    }))
}

framework::register!(Acquisition, Oae, "oae", "best under an optimistic function (optimistic arm elimination)");
