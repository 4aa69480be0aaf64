//! Soft uncertainty sampling: draws without replacement, more often where the prediction is less certain.
//!
//! w(x) = exp(I(x)/T) with I = ½ log(1 + V) and V the predictive variance (GeneDisco, Mehrjou et al. 2022); the
//! released code has w(x) = exp((1e-7 + V)^{1/T}), an exponential of an exponential, at T = 0.9. A batch drawn one
//! after another in proportion to w is the top of log w + g with independent Gumbel noise g (Gumbel-top-k, Kool et al.
//! 2019). V of a profile is the sum of its outputs' variances. One prediction of the pool; the noise is keyed by
//! perturbation.

use framework::prelude::*;
use rand_distr::{Distribution, Exp1};

/// Draws candidates with probability growing with the predicted variance. The score is log w plus Gumbel noise.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SoftUncertain {
    /// Weights: `"paper"` (default), exp(½ log(1 + V) / T), or `"code"`, exp((1e-7 + V)^(1/T)) as released.
    #[serde(default)]
    pub form: Form,
    /// Temperature T > 0: low ones come near to `top_uncertain`, high ones to `random`. Default 0.9.
    #[serde(default = "temperature")]
    pub temperature: f64,
}

/// How the variance becomes a weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// As printed.
    #[default]
    Paper,
    /// As released.
    Code,
}

fn temperature() -> f64 {
    0.9
}

impl Default for SoftUncertain {
    fn default() -> Self {
        Self { form: Form::Paper, temperature: temperature() }
    }
}

impl SoftUncertain {
    fn log_weight(&self, variance: f64) -> f64 {
        match self.form {
            Form::Paper => 0.5 * variance.ln_1p() / self.temperature,
            Form::Code => (1e-7 + variance).powf(1.0 / self.temperature),
        }
    }
}

#[typetag::serde(name = "soft_uncertain")]
impl Acquisition for SoftUncertain {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return Err(Error::Config(format!(
                "soft_uncertain: temperature must be a positive number, not {}",
                self.temperature
            )));
        }
        let stream = cx.stream("soft_uncertain");
        cx.top_by(|ids, p| match &p.sd {
            Some(sd) => Ok(ids
                .iter()
                .zip(sd.outer_iter())
                .map(|(id, s)| {
                    let e: f64 = Exp1.sample(&mut stream.index(*id).rng("gumbel"));
                    self.log_weight(s.dot(&s)) - e.max(f64::MIN_POSITIVE).ln()
                })
                .collect()),
            None => Err(Error::Unsupported(
                "soft_uncertain needs predicted standard deviations and the model gives none".into(),
            )),
        })
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Model, Ability::Sd])
    }
}

framework::register!(Acquisition, SoftUncertain, "soft_uncertain", "draws in proportion to predictive uncertainty");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::{MockSurrogate, TinyWorld};

    /// Ordered pairs of picks against their probabilities w_a/W · w_b/(W - w_a), by chi-square.
    #[test]
    fn the_first_two_picks_have_the_probabilities_of_drawing_without_replacement() {
        const N: usize = 7;
        const RUNS: usize = 40_000;
        let world = TinyWorld::new(N, 2, 1, false, 1).unwrap();
        let observed = world.observe(&[0], 1).unwrap();
        let candidates = Candidates::new(N, vec![0]);
        let sd: Vec<f64> = (0..N).map(|i| 0.3 * i as f64).collect();
        let model = MockSurrogate { mean: vec![0.0; N], sd: sd.clone() };
        for rule in [
            SoftUncertain { form: Form::Paper, temperature: 0.4 },
            SoftUncertain { form: Form::Code, temperature: 0.9 },
        ] {
            let weight: Vec<f64> = sd
                .iter()
                .map(|s| match rule.form {
                    Form::Paper => (0.5 * (1.0 + s * s).ln() / 0.4).exp(),
                    Form::Code => ((1e-7 + s * s).ln() / 0.9).exp().exp(),
                })
                .collect();
            let total: f64 = weight[1..].iter().sum();
            let mut seen = Array2::<f64>::zeros((N, N));
            for seed in 0..RUNS {
                let b =
                    rule.select(&world.context(2, &candidates, &observed, Some(&model), None, seed as u64)).unwrap();
                seen[(b.ids[0], b.ids[1])] += 1.0;
            }
            let (mut pairs, mut first) = (0.0, 0.0);
            for a in 1..N {
                let of_first = RUNS as f64 * weight[a] / total;
                first += (seen.row(a).sum() - of_first).powi(2) / of_first;
                for b in (1..N).filter(|b| *b != a) {
                    let want = of_first * weight[b] / (total - weight[a]);
                    pairs += (seen[(a, b)] - want).powi(2) / want;
                }
            }
            // 5 and 29 degrees of freedom: above 20.5 and 58.3 with probability 0.001.
            assert!(first < 20.5 && pairs < 58.3, "chi-square {first} {pairs}");
        }
    }

    #[test]
    fn the_pick_of_a_perturbation_does_not_depend_on_who_else_is_there() {
        let world = TinyWorld::new(30, 2, 1, false, 1).unwrap();
        let observed = world.observe(&[0], 1).unwrap();
        let model = MockSurrogate { mean: vec![0.0; 30], sd: (0..30).map(|i| 0.1 * i as f64).collect() };
        let scores = |excluded: Vec<usize>| {
            let candidates = Candidates::new(30, excluded);
            let cx = world.context(candidates.len(), &candidates, &observed, Some(&model), None, 3);
            let b = SoftUncertain::default().select(&cx).unwrap();
            b.ids.into_iter().zip(b.scores).filter(|(id, _)| *id > 9).collect::<Vec<_>>()
        };
        assert_eq!(scores(vec![0]), scores((0..9).collect()));
    }

    #[test]
    fn a_temperature_out_of_range_is_refused() {
        let world = TinyWorld::new(5, 2, 1, false, 1).unwrap();
        let (observed, candidates) = (world.observe(&[0], 1).unwrap(), Candidates::new(5, vec![0]));
        let model = MockSurrogate { mean: vec![0.0; 5], sd: vec![1.0; 5] };
        let rule = SoftUncertain { temperature: 0.0, ..SoftUncertain::default() };
        let e = rule.select(&world.context(1, &candidates, &observed, Some(&model), None, 1)).unwrap_err().to_string();
        assert!(e.contains("temperature must be a positive number, not 0"), "{e}");
    }
}
