//! Probability that a perturbation is a hit.
//!
//! score(x) = P(f(x) > τ) = Φ((μ - τ)/σ); for targets of large absolute value
//! P(|f| > τ) = Φ((μ - τ)/σ) + Φ((-μ - τ)/σ); for small ones the same with -μ. A profile counts by its
//! norm, taken as Gaussian. One prediction of the pool.

use framework::numerics::stats::{normal_cdf, quantile};
use framework::prelude::*;

/// Takes the candidates most likely to lie beyond a threshold on the merit scale (|y|, y or -y by the
/// target's direction).
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProbabilityOfHit {
    /// Threshold τ in units of the readout; absent: a quantile of what has been measured.
    #[serde(default)]
    pub threshold: Option<f64>,
    /// Which quantile of the measured merits is the threshold when none is given, 0 to 1; default 0.95.
    #[serde(default = "top_twentieth")]
    pub quantile: f64,
}

fn top_twentieth() -> f64 {
    0.95
}

impl Default for ProbabilityOfHit {
    fn default() -> Self {
        Self { threshold: None, quantile: top_twentieth() }
    }
}

#[typetag::serde(name = "probability_of_hit")]
impl Acquisition for ProbabilityOfHit {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        let tau = match self.threshold {
            Some(t) if t.is_finite() => t,
            Some(t) => {
                return Err(Error::Config(format!("probability_of_hit: threshold = {t} is not a finite number")));
            }
            None if !(0.0..=1.0).contains(&self.quantile) => {
                return Err(Error::Config(format!(
                    "probability_of_hit: quantile = {} is not within 0 to 1",
                    self.quantile
                )));
            }
            None if cx.observed.is_empty() => {
                return Err(Error::Config(
                    "probability_of_hit takes its threshold from measurements and there are none yet; \
                     set `threshold`, or `init` under [pool]"
                        .into(),
                ));
            }
            None => {
                let merits: Vec<f64> = cx.observed.y.outer_iter().map(|y| cx.target.merit(&y.to_vec())).collect();
                quantile(&merits, self.quantile)
            }
        };
        cx.record("hit_threshold", tau);
        // The norm of a profile has one tail only.
        let two_sided = cx.target.direction == Direction::Abs && cx.observed.n_outputs() == 1;
        cx.top_by_mean_sd(|mean, sd| match cx.target.direction {
            Direction::Abs if two_sided => beyond(mean, sd, tau.max(0.0)) + beyond(-mean, sd, tau.max(0.0)),
            Direction::Min => beyond(-mean, sd, tau),
            _ => beyond(mean, sd, tau),
        })
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Model, Ability::Sd])
    }
}

/// P(f > τ) for f ~ N(mean, sd²); a certain f either is beyond or is not.
fn beyond(mean: f64, sd: f64, tau: f64) -> f64 {
    if sd > 0.0 { normal_cdf((mean - tau) / sd) } else { f64::from(u8::from(mean > tau)) }
}

framework::register!(Acquisition, ProbabilityOfHit, "probability_of_hit", "probability of lying beyond a threshold");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::{MockSurrogate, choose};

    fn select(
        rule: &dyn Acquisition,
        posterior: &[(f64, f64)],
        direction: Direction,
        measured: &[f64],
    ) -> Result<Batch> {
        let (mean, sd) = posterior.iter().copied().unzip();
        choose(rule, &MockSurrogate { mean, sd }, posterior.len(), direction, measured)
    }

    #[test]
    fn probabilities_are_those_of_the_normal_distribution() {
        let posterior = [(0.0, 0.0), (1.0, 1.0), (-2.0, 2.0), (0.5, 0.0)];
        let at = |threshold, d| {
            let b =
                select(&ProbabilityOfHit { threshold: Some(threshold), ..Default::default() }, &posterior, d, &[0.0]);
            b.map(|b| b.ids.into_iter().zip(b.scores).collect::<Vec<_>>()).unwrap()
        };
        // P(f > 2): N(1, 1²) gives 1 - Φ(1), N(-2, 2²) gives 1 - Φ(2).
        let max = at(2.0, Direction::Max);
        assert_eq!(max.iter().map(|s| s.0).collect::<Vec<_>>(), [1, 2, 3]);
        assert!((max[0].1 - 0.158_655_254).abs() < 1e-8 && (max[1].1 - 0.022_750_132).abs() < 1e-8);
        assert_eq!(max[2].1, 0.0);
        // |f| > 2 for N(-2, 2²): Φ(0) + Φ(-2) = 0.5 + 0.0227501.
        let abs = at(2.0, Direction::Abs);
        assert_eq!(abs[0].0, 2);
        assert!((abs[0].1 - 0.522_750_132).abs() < 1e-8, "{abs:?}");
        assert!(at(-1.0, Direction::Abs).iter().all(|s| (s.1 - 1.0).abs() < 1e-12));
    }

    #[test]
    fn the_threshold_comes_from_the_measured_merits() {
        let posterior = [(0.0, 1.0); 8];
        let rule = ProbabilityOfHit { quantile: 0.5, ..Default::default() };
        // Measured |y|: 1, 2, 3; the median is 2.
        let b = select(&rule, &posterior, Direction::Abs, &[1.0, -2.0, 3.0]).unwrap();
        assert!((b.scores[0] - 2.0 * 0.022_750_132).abs() < 1e-8);
        assert_eq!(b.ids, [3, 4, 5]);
        let e = select(&rule, &posterior, Direction::Abs, &[]).unwrap_err().to_string();
        assert!(e.contains("there are none yet"), "{e}");
    }
}
