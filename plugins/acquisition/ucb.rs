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
    use framework::testing::MockSurrogate;
    use std::sync::Arc;

    fn select(
        rule: &dyn Acquisition,
        posterior: &[(f64, f64)],
        direction: Direction,
        measured: &[f64],
    ) -> Result<Batch> {
        let genes = Arc::new(Genes::new((0..posterior.len()).map(|i| format!("g{i}")))?);
        let inputs = Arc::new(Inputs::new(Arc::new(Pool::singles(genes)), vec![], Compose::Sum)?);
        let mut observed = Observed::empty(1);
        let ids: Vec<usize> = (0..measured.len()).collect();
        observed.push(&Readouts::plain(&ids, Array2::from_shape_fn((ids.len(), 1), |(i, _)| measured[i])), 0)?;
        let candidates = Candidates::new(posterior.len(), ids);
        let (mean, sd) = posterior.iter().copied().unzip();
        let model = MockSurrogate { mean, sd };
        let round = Round { index: 1, of: 1, batch: 3 };
        let target = Target { direction, ..Target::default() };
        let streams = Streams::new(1);
        let cx = RunContext::new(round, &inputs, &candidates, &observed, streams)
            .with_target(target)
            .with_surrogate(Some(&model));
        rule.select(&cx)
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
