//! Probability that the effect passes a threshold τ: Φ((μ-τ)/sd); for direction abs
//! Φ((μ-τ)/sd) + Φ((-μ-τ)/sd); for direction min Φ((-μ-τ)/sd). Cost: one prediction of the candidates.

use framework::numerics::stats::{normal_cdf, quantile};
use framework::prelude::*;

/// The candidates most likely to be hits.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbabilityOfHit {
    /// Threshold τ on the readout in the wanted direction; absent: `quantile` decides.
    #[serde(default)]
    pub threshold: Option<f64>,
    /// Quantile of the measured merits (|y|, y or -y) that serves as τ.
    #[serde(default = "top_twentieth")]
    pub quantile: f64,
}

fn top_twentieth() -> f64 {
    0.95
}

#[typetag::serde(name = "probability_of_hit")]
impl Acquisition for ProbabilityOfHit {
    fn needs(&self) -> Needs {
        Needs { model: true, sd: true, ..Needs::default() }
    }

    fn select(&self, cx: &RunContext) -> Result<Batch> {
        let tau = match self.threshold {
            Some(t) => t,
            None => {
                if !(0.0..=1.0).contains(&self.quantile) {
                    return Err(Error::Config(format!("quantile must lie between 0 and 1, not {}", self.quantile)));
                }
                let merits: Vec<f64> =
                    cx.observed.y.outer_iter().map(|r| cx.target.merit(&r.to_vec())).collect();
                if merits.is_empty() {
                    return Err(Error::Config(
                        "nothing is measured yet to take the threshold from; set `threshold` or an initial set".into(),
                    ));
                }
                quantile(&merits, self.quantile)
            }
        };
        cx.record("probability_of_hit.threshold", tau);
        let above = |m: f64, sd: f64| {
            if sd > 0.0 { normal_cdf((m - tau) / sd) } else { f64::from(m >= tau) }
        };
        cx.top_by_mean_sd(|mean, sd| match cx.target.direction {
            Direction::Abs => (above(mean, sd) + above(-mean, sd)).min(1.0),
            Direction::Max => above(mean, sd),
            Direction::Min => above(-mean, sd),
        })
    }
}

framework::register!(Acquisition, ProbabilityOfHit, "probability_of_hit", "probability of passing a threshold");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::{MockSurrogate, TinyWorld};

    #[test]
    fn closed_form_by_direction() {
        let world = TinyWorld::new(3, 2, 1, false, 1).unwrap();
        let s = MockSurrogate { mean: vec![1.0, -2.0, 0.0], sd: vec![1.0, 0.5, 0.0] };
        let (observed, candidates) = (Observed::empty(1), Candidates::new(3, vec![]));
        let score = |direction| {
            let mut cx = world.context(3, &candidates, &observed, Some(&s), None, 1);
            cx.target.direction = direction;
            let b = ProbabilityOfHit { threshold: Some(1.5), quantile: 0.5 }.select(&cx).unwrap();
            let mut by_id = [0.0; 3];
            b.ids.iter().zip(&b.scores).for_each(|(&i, &v)| by_id[i] = v);
            by_id
        };
        let near = |a: [f64; 3], b: [f64; 3]| a.iter().zip(b).for_each(|(x, y)| assert!((x - y).abs() < 1e-6, "{x} {y}"));
        // Φ(-0.5) = 0.3085375, Φ(-2.5) = 0.0062097, Φ(1) = 0.8413447, Φ(-7) = 1.3e-12
        near(score(Direction::Max), [0.3085375, 0.0, 0.0]);
        near(score(Direction::Min), [0.0062097, 0.8413447, 0.0]);
        near(score(Direction::Abs), [0.3085375 + 0.0062097, 0.8413447, 0.0]);
    }
}
