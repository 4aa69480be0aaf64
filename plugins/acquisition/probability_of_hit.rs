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
            Some(t) => return Err(Error::Config(format!("probability_of_hit: threshold = {t} is not a finite number"))),
            None if !(0.0..=1.0).contains(&self.quantile) => {
                return Err(Error::Config(format!("probability_of_hit: quantile = {} is not within 0 to 1", self.quantile)));
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

    fn needs(&self) -> Needs {
        Needs { model: true, sd: true, ..Needs::default() }
    }
}

/// P(f > τ) for f ~ N(mean, sd²); a certain f either is beyond or is not.
fn beyond(mean: f64, sd: f64, tau: f64) -> f64 {
    if sd > 0.0 { normal_cdf((mean - tau) / sd) } else { f64::from(u8::from(mean > tau)) }
}

framework::register!(Acquisition, ProbabilityOfHit, "probability_of_hit", "probability of lying beyond a threshold");
