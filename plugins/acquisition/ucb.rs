//! Upper confidence bound: mean plus a multiple of the standard deviation.
//!
//! score(x) = μ + β σ for targets that are large, |μ| + β σ for large absolute values, -μ + β σ for small
//! ones (Srinivas et al. 2010; Xu, Jain et al. 2024, section 4). One prediction of the pool.

use framework::prelude::*;

/// Takes the candidates of best optimistic value.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ucb {
    /// Weight of the predicted standard deviation, in sds; default 1.
    #[serde(default = "beta")]
    pub beta: f64,
}

fn beta() -> f64 {
    1.0
}

impl Default for Ucb {
    fn default() -> Self {
        Self { beta: beta() }
    }
}

#[typetag::serde(name = "ucb")]
impl Acquisition for Ucb {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        cx.top_by_mean_sd(|mean, sd| cx.target.merit(&[mean]) + self.beta * sd)
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Model, Ability::Sd])
    }
}

framework::register!(Acquisition, Ucb, "ucb", "mean plus beta standard deviations");

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
    fn the_bound_follows_the_direction() {
        let posterior = [(0.0, 0.0), (1.0, 0.0), (-2.0, 0.5), (0.5, 1.0)];
        let ids = |d| select(&Ucb { beta: 2.0 }, &posterior, d, &[0.0]).unwrap();
        assert_eq!(ids(Direction::Max).ids, [3, 1, 2]);
        assert_eq!(ids(Direction::Max).scores, [2.5, 1.0, -1.0]);
        assert_eq!(ids(Direction::Min).ids, [2, 3, 1]);
        assert_eq!(ids(Direction::Abs).scores, [3.0, 2.5, 1.0]);
    }
}
