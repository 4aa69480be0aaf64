//! Expected improvement over the best so far.
//!
//! For a posterior N(μ, σ²) of f and τ = best + ξ: E[max(f - τ, 0)] = σ (z Φ(z) + φ(z)), z = (μ - τ)/σ, for targets
//! that are large (Mockus 1975; Jones et al. 1998), the same with -μ for small ones, and for large absolute values
//! both tails, E[max(|f| - τ, 0)] = EI(μ, τ) + EI(-μ, τ) as τ ≥ 0. A profile counts by its norm, taken as Gaussian.
//! Ranked by the logarithm (Ament et al. 2023), so that candidates far below the best are still told apart. One
//! prediction of the pool.

use framework::numerics::stats::log_normal_excess;
use framework::plugin::Best;
use framework::prelude::*;

/// Takes the candidates that are expected to improve most on the best so far. The score is the expected improvement in
/// units of the readout.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ei {
    /// The best so far: `"measured"` (default), the best measured readout, or `"mean"`, the best predicted mean of a
    /// measured perturbation, which noise does not flatter.
    #[serde(default)]
    pub best: Best,
    /// Least improvement ξ ≥ 0 that counts, in units of the readout. Default 0.
    #[serde(default)]
    pub xi: f64,
}

#[typetag::serde(name = "ei")]
impl Acquisition for Ei {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        if !(self.xi >= 0.0 && self.xi.is_finite()) {
            return Err(Error::Config(format!("ei: xi must be 0 or a positive number, not {}", self.xi)));
        }
        let best = cx.best("ei", self.best)?;
        cx.record("best", best);
        let tau = best + self.xi;
        cx.top_by_log_tail(|mean, sd| log_gain(mean, sd, tau))
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Model, Ability::Sd])
    }
}

/// ln E[max(f - tau, 0)] for f ~ N(mean, sd²).
fn log_gain(mean: f64, sd: f64, tau: f64) -> f64 {
    if sd > 0.0 { sd.ln() + log_normal_excess((mean - tau) / sd) } else { (mean - tau).max(0.0).ln() }
}

framework::register!(Acquisition, Ei, "ei", "expected improvement over the best so far");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::{MockSurrogate, TinyWorld};

    /// Scores by id of candidates with the given means and sds; 0, 1 and 2 are measured.
    fn scores(
        rule: &Ei,
        posterior: &[(f64, f64)],
        direction: Direction,
        measured: [f64; 3],
    ) -> Result<Vec<(usize, f64)>> {
        let n = posterior.len() + 3;
        let world = TinyWorld::new(n, 2, 1, false, 1)?;
        let mut observed = world.observe(&[0, 1, 2], 1)?;
        observed.y.column_mut(0).assign(&Array1::from_vec(measured.to_vec()));
        let candidates = Candidates::new(n, vec![0, 1, 2]);
        let (mean, sd) = [(0.25, 0.0); 3].iter().chain(posterior).copied().unzip();
        let model = MockSurrogate { mean, sd };
        let mut cx = world.context(posterior.len(), &candidates, &observed, Some(&model), None, 1);
        cx.target.direction = direction;
        let b = rule.select(&cx)?;
        Ok(b.ids.into_iter().map(|i| i - 3).zip(b.scores).collect())
    }

    /// E g(f) for f ~ N(mean, sd²), by the trapezoidal rule.
    fn expectation(mean: f64, sd: f64, g: impl Fn(f64) -> f64) -> f64 {
        let step = 1e-4;
        let at = |k: i64| k as f64 * step;
        (-100_000..=100_000)
            .map(|k| g(mean + sd * at(k)) * (-0.5 * at(k) * at(k)).exp() * step / std::f64::consts::TAU.sqrt())
            .sum()
    }

    #[test]
    fn scores_are_the_integrals_of_their_definition() {
        let posterior = [(0.0, 1.0), (1.5, 0.5), (-2.0, 2.0), (0.3, 0.01), (-1.2, 0.7)];
        for direction in [Direction::Max, Direction::Min, Direction::Abs] {
            for xi in [0.0, 0.4] {
                let rule = Ei { xi, ..Ei::default() };
                let measured = [0.5, -0.8, 0.2];
                let best = measured.map(|y| direction.merit(y)).into_iter().fold(f64::MIN, f64::max);
                for (i, score) in scores(&rule, &posterior, direction, measured).unwrap() {
                    let (mean, sd) = posterior[i];
                    let want = expectation(mean, sd, |f| (direction.merit(f) - best - xi).max(0.0));
                    assert!((score - want).abs() < 1e-7, "{direction:?} {xi} {i}: {score} {want}");
                }
            }
        }
    }

    #[test]
    fn the_far_and_the_certain_are_ranked() {
        // 50, 45 and 60 sds below the best: all scores are 0 in double precision, and the order is right.
        let posterior = [(-50.0, 1.0), (-45.0, 1.0), (-60.0, 1.0), (0.9, 0.0), (1.5, 0.0)];
        let got = scores(&Ei::default(), &posterior, Direction::Max, [0.0, 1.0, 0.5]).unwrap();
        assert_eq!(got.iter().map(|s| s.0).collect::<Vec<_>>(), [4, 1, 0, 2, 3]);
        assert!((got[0].1 - 0.5).abs() < 1e-12 && got[4].1 == 0.0);
    }

    #[test]
    fn the_best_mean_may_stand_for_the_best_measurement() {
        let rule = Ei { best: Best::Mean, xi: 0.0 };
        let got = scores(&rule, &[(1.0, 0.3)], Direction::Max, [9.0, 9.0, 9.0]).unwrap();
        let want = expectation(1.0, 0.3, |f| (f - 0.25).max(0.0));
        assert!((got[0].1 - want).abs() < 1e-7, "{got:?} {want}");
    }

    #[test]
    fn without_measurements_or_with_a_negative_margin_it_says_so() {
        let world = TinyWorld::new(5, 2, 1, false, 1).unwrap();
        let candidates = Candidates::new(5, vec![]);
        let model = MockSurrogate { mean: vec![0.0; 5], sd: vec![1.0; 5] };
        let nothing = Observed::empty(1);
        let e = Ei::default().select(&world.context(1, &candidates, &nothing, Some(&model), None, 1));
        assert!(e.unwrap_err().to_string().contains("there are none yet"));
        let e = scores(&Ei { xi: -1.0, ..Ei::default() }, &[(0.0, 1.0)], Direction::Max, [0.0; 3]);
        assert!(e.unwrap_err().to_string().contains("xi must be 0 or a positive number"));
    }
}
