//! GP-UCB with a batch by hallucination (GP-BUCB).
//!
//! score(x) = merit(μ(x)) + β_t σ_S(x), β_t = √(2 log(|A| t² π² / 6δ)) with |A| the size of the pool and t the round
//! (Srinivas et al. 2010, theorem 1). Within a batch the mean stays and σ_S shrinks as if the picks S had been
//! measured and gave their predicted means (Desautels, Krause & Burdick 2014): σ_S² = k(x, x) - k(x, S)(k(S, S) +
//! σ²I)⁻¹k(S, x) with k the posterior covariance and σ² the noise variance of a measurement; both are the model's own,
//! else those of its functions or of joint draws, and the mean squared residual of the measured rows. A profile is
//! judged by its norm, linearised at its predicted mean. With a β of one's own and no shrinking it is `ucb`.
//!
//! Cost: O(n b²) and n b numbers beside the model's covariances of some hundred candidates with all.

use framework::numerics::Conditioned;
use framework::prelude::*;
use std::collections::HashMap;

/// Takes the candidate of best optimistic value, one after another, as if those before had been measured. The score is
/// the optimistic value at that time.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpUcb {
    /// Chance δ that the bound fails somewhere, between 0 and 1. Default 0.1.
    #[serde(default = "delta")]
    pub delta: f64,
    /// Noise sd of a measurement in units of the readout; absent: the model's, or the root mean squared residual of
    /// the measured rows.
    #[serde(default)]
    pub noise: Option<f64>,
    /// Number of joint draws for a model that gives neither covariances nor functions; default 100.
    #[serde(default = "hundred")]
    pub draws: usize,
}

fn delta() -> f64 {
    0.1
}

fn hundred() -> usize {
    100
}

impl Default for GpUcb {
    fn default() -> Self {
        Self { delta: delta(), noise: None, draws: hundred() }
    }
}

/// Columns of covariances asked for at once: those of the candidates that are likely to be picked next.
const AHEAD: usize = 64;

#[typetag::serde(name = "gp_ucb")]
impl Acquisition for GpUcb {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        if !(self.delta > 0.0 && self.delta < 1.0) {
            return Err(Error::Config(format!("gp_ucb: delta must lie between 0 and 1, not {}", self.delta)));
        }
        if let Some(v) = self.noise
            && !(v >= 0.0 && v.is_finite())
        {
            return Err(Error::Config(format!("gp_ucb: noise must be 0 or a positive number, not {v}")));
        }
        let t = cx.round.index.max(1) as f64;
        let inside = cx.pool.len() as f64 * t * t * std::f64::consts::PI.powi(2) / (6.0 * self.delta);
        let beta = (2.0 * inside.ln()).max(0.0).sqrt();
        cx.record("beta", beta);
        let k = cx.covariance(cx.candidates.to_vec(), self.draws, &mut cx.rng("gp_ucb"))?;
        let noise = match self.noise {
            Some(sd) => vec![sd * sd; k.ids().len()],
            None => k.noise(&cx.noise_variance()?),
        };
        let merit: Vec<f64> = k.mean().iter().map(|m| cx.target.direction.merit(*m)).collect();
        let mut state = Conditioned::new(k.variance().to_vec());
        let mut taken = vec![false; merit.len()];
        let mut ahead: HashMap<usize, Vec<f64>> = HashMap::new();
        let mut batch = Batch::default();
        while batch.ids.len() < cx.batch() {
            cx.tick(batch.ids.len(), cx.batch());
            let left: Vec<usize> = (0..merit.len()).filter(|&i| !taken[i]).collect();
            let scores: Vec<f64> = left.iter().map(|&i| merit[i] + beta * state.variance()[i].sqrt()).collect();
            let best = Batch::top(&left, &scores, 1)?;
            let (Some(&i), Some(&score)) = (best.ids.first(), best.scores.first()) else { break };
            taken[i] = true;
            batch.ids.push(k.ids()[i]);
            batch.scores.push(score);
            if batch.ids.len() == cx.batch() {
                break;
            }
            if !ahead.contains_key(&i) {
                // Scores only fall: who is high now is likely to be picked.
                let likely = Batch::top(&left, &scores, AHEAD.min(cx.batch() - batch.ids.len() + 1))?.ids;
                ahead = likely.iter().copied().zip(k.columns(&likely)?.outer_iter().map(|c| c.to_vec())).collect();
            }
            if let Some(column) = ahead.remove(&i) {
                state.observe(i, column, noise[i]);
            }
        }
        Ok(batch)
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Model, Ability::Sd, Ability::Draws])
    }
}

framework::register!(Acquisition, GpUcb, "gp_ucb", "optimistic value with a batch by hallucination (GP-BUCB)");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::ndarray::Array3;
    use framework::serde_json::{self, json};
    use framework::testing::{MockFunctions, MockGaussian, TinyWorld};

    /// GP-BUCB by refitting the model with hallucinated measurements at their predicted means.
    #[test]
    fn picks_and_scores_are_those_of_refits_with_hallucinated_labels() {
        for kernel in ["rbf", "linear"] {
            let world = TinyWorld::new(60, 3, 1, false, 4).unwrap();
            let measured: Vec<usize> = (0..12).collect();
            let observed = world.observe(&measured, 1).unwrap();
            let candidates = Candidates::new(60, measured);
            let model: Box<dyn Model> = serde_json::from_value(
                json!({ "use": "gp", "kernel": { "use": kernel, "length": 2.0 }, "noise": 0.5, "scale": 1.3 }),
            )
            .unwrap_or_else(|_| {
                serde_json::from_value(json!({ "use": "gp", "kernel": { "use": kernel }, "noise": 0.5, "scale": 1.3 }))
                    .unwrap()
            });
            let streams = Streams::new(2);
            let fit = |observed: &Observed| {
                model.fit(&FitContext { inputs: &world.inputs, observed, streams: &streams }).unwrap()
            };
            let s = fit(&observed);
            for direction in [Direction::Max, Direction::Abs, Direction::Min] {
                let mut cx = world.context(30, &candidates, &observed, Some(&*s), None, 1);
                cx.target.direction = direction;
                cx.round.index = 3;
                let got = GpUcb::default().select(&cx).unwrap();
                let beta = (2.0 * (60.0 * 9.0 * std::f64::consts::PI.powi(2) / 0.6f64).ln()).sqrt();
                assert_eq!(cx.into_recorded(), vec![("beta".to_string(), beta)]);
                let ids = candidates.to_vec();
                let mean = s.predict(&ids).unwrap().mean;
                let (mut all, mut picks): (Observed, Vec<usize>) = (observed.clone(), vec![]);
                for (id, score) in got.ids.iter().zip(&got.scores) {
                    // The mean of the refit moves with its centre; the sd does not.
                    let sd = fit(&all).predict(&ids).unwrap().sd.unwrap();
                    let value = |i: usize| direction.merit(mean[(i, 0)]) + beta * sd[(i, 0)];
                    let best = (0..ids.len()).filter(|i| !picks.contains(&ids[*i])).map(value).fold(f64::MIN, f64::max);
                    let own = value(ids.iter().position(|j| j == id).unwrap());
                    assert!((own - score).abs() < 1e-8 && best - own < 1e-8, "{kernel} {id}: {own} {score} {best}");
                    picks.push(*id);
                    let label = Array2::from_elem((1, 1), mean[(ids.iter().position(|j| j == id).unwrap(), 0)]);
                    all.push(&Readouts::plain(&[*id], label), 1).unwrap();
                }
            }
        }
    }

    #[test]
    fn functions_stand_in_with_their_own_covariances() {
        let (m, n) = (7, 20);
        let world = TinyWorld::new(n, 2, 2, false, 4).unwrap();
        for outputs in [1, 2] {
            let f = Array3::from_shape_fn((m, n, outputs), |(j, i, o)| {
                ((i * 37 + j * 101 + i * j * (o + 2)) % 53) as f64 / 10.0 - 2.0
            });
            let mut observed = Observed::empty(outputs);
            let y = Array2::from_shape_fn((2, outputs), |(i, o)| 0.3 * i as f64 - o as f64);
            observed.push(&Readouts::plain(&[0, 1], y.clone()), 0).unwrap();
            let candidates = Candidates::new(n, vec![0, 1]);
            let model = MockFunctions(f.clone());
            let cx = world.context(3, &candidates, &observed, Some(&model), None, 1);
            let got = GpUcb::default().select(&cx).unwrap();
            // One number each: the readout, or the norm by its slope at the mean.
            let mean = f.mean_axis(Axis(0)).unwrap();
            let norm = |i: usize| if outputs == 1 { mean[(i, 0)] } else { mean.row(i).dot(&mean.row(i)).sqrt() };
            let weight = |i: usize, o: usize| if outputs == 1 { 1.0 } else { mean[(i, o)] / norm(i) };
            let off =
                |i: usize, j: usize| (0..outputs).map(|o| weight(i, o) * (f[(j, i, o)] - mean[(i, o)])).sum::<f64>();
            let noise_of = |o: usize| (0..2).map(|i| (y[(i, o)] - mean[(i, o)]).powi(2)).sum::<f64>() / 2.0;
            let noise = |i: usize| (0..outputs).map(|o| weight(i, o).powi(2) * noise_of(o)).sum::<f64>();
            // The predicted variance of a norm takes outputs as independent.
            let sd = f.std_axis(Axis(0), 0.0);
            let variance = |i: usize| (0..outputs).map(|o| (weight(i, o) * sd[(i, o)]).powi(2)).sum::<f64>();
            let scale = |i: usize| (variance(i) / (0..m).map(|j| off(i, j).powi(2)).sum::<f64>()).sqrt();
            let k = |a: usize, b: usize| (0..m).map(|j| off(a, j) * off(b, j)).sum::<f64>() * scale(a) * scale(b);
            let beta = (2.0 * (20.0 * std::f64::consts::PI.powi(2) / 0.6f64).ln()).sqrt();
            let mut picks: Vec<usize> = vec![];
            for (id, score) in got.ids.iter().zip(&got.scores) {
                let own = Array2::from_shape_fn((picks.len(), picks.len()), |(a, b)| {
                    k(picks[a], picks[b]) + if a == b { noise(picks[a]) } else { 0.0 }
                });
                let factor = Cholesky::new(own.view()).unwrap();
                let value = |i: usize| {
                    let cross = Array2::from_shape_fn((picks.len(), 1), |(a, _)| k(picks[a], i));
                    Direction::Abs.merit(norm(i)) + beta * (k(i, i) - factor.quadratic(cross.view())[0]).max(0.0).sqrt()
                };
                let best = (2..n).filter(|i| !picks.contains(i)).map(value).fold(f64::MIN, f64::max);
                assert!((value(*id) - score).abs() < 1e-8 && best - score < 1e-8, "{outputs} {id}");
                picks.push(*id);
            }
        }
    }

    #[test]
    fn profiles_are_conditioned_by_their_norms_slope() {
        let world = TinyWorld::new(30, 3, 4, false, 4).unwrap();
        let observed = world.observe(&(0..9).collect::<Vec<_>>(), 1).unwrap();
        let candidates = Candidates::new(30, (0..9).collect());
        let streams = Streams::new(2);
        // Of ridge the outputs have covariances of different sizes, of gp one.
        for model in ["ridge", "gp"] {
            let model: Box<dyn Model> = serde_json::from_value(json!({ "use": model })).unwrap();
            let cx = FitContext { inputs: &world.inputs, observed: &observed, streams: &streams };
            let s = model.fit(&cx).unwrap();
            let cx = world.context(3, &candidates, &observed, Some(&*s), None, 1);
            let ids = candidates.to_vec();
            let k = cx.covariance(ids.clone(), 5, &mut cx.rng("x")).unwrap();
            let p = s.predict(&ids).unwrap();
            let weight = |i: usize, o: usize| p.mean[(i, o)] / p.mean.row(i).dot(&p.mean.row(i)).sqrt();
            let columns = k.columns(&[3, 8]).unwrap();
            let each: Vec<Array2<f64>> =
                (0..4).map(|o| s.covariance().unwrap().between(&ids, &ids, o).unwrap()).collect();
            let noise = k.noise(&cx.noise_variance().unwrap());
            for i in 0..21 {
                for (c, j) in [3, 8].into_iter().enumerate() {
                    let want: f64 = (0..4).map(|o| weight(i, o) * weight(j, o) * each[o][(i, j)]).sum();
                    assert!((columns[(c, i)] - want).abs() < 1e-10, "{i} {j}");
                }
                assert!((k.variance()[i] - k.block(&[i], &[i]).unwrap()[(0, 0)]).abs() < 1e-9);
                let want: f64 = (0..4).map(|o| weight(i, o).powi(2) * s.noise_variance().unwrap()[o]).sum();
                assert!((noise[i] - want).abs() < 1e-12);
            }
            assert_eq!(GpUcb::default().select(&cx).unwrap().ids.len(), 3);
        }
    }

    #[test]
    fn more_picks_than_columns_at_once_and_any_number_of_threads() {
        let n = 300;
        let world = TinyWorld::new(n, 3, 1, false, 4).unwrap();
        let observed = world.observe(&[0, 1], 1).unwrap();
        let candidates = Candidates::new(n, vec![0, 1]);
        let x = world.inputs.features(&(0..n).collect::<Vec<_>>());
        let model = MockGaussian { mean: vec![0.0; n], covariance: x.dot(&x.t()), noise: Some(0.1) };
        let pick =
            || GpUcb::default().select(&world.context(200, &candidates, &observed, Some(&model), None, 1)).unwrap();
        let b = pick();
        let mut sorted = b.ids.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), 200);
        assert!(b.scores.windows(2).all(|w| w[1] <= w[0] + 1e-9), "scores can only fall");
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(pool.install(pick), b);
        let e = GpUcb { delta: 1.0, ..GpUcb::default() };
        let e = e.select(&world.context(2, &candidates, &observed, Some(&model), None, 1)).unwrap_err().to_string();
        assert!(e.contains("between 0 and 1"), "{e}");
    }
}
