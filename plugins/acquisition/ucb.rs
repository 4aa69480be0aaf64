//! Upper confidence bound μ + β·sd, in the wanted direction: |μ| + β·sd for direction abs (NAIAD's
//! mean + sd), -μ + β·sd for direction min. Cost: one prediction of the candidates.

use framework::prelude::*;

/// Optimism in the face of uncertainty.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ucb {
    /// Weight β of the predicted standard deviation; 0 is `greedy`.
    #[serde(default = "one")]
    pub beta: f64,
}

fn one() -> f64 {
    1.0
}

#[typetag::serde(name = "ucb")]
impl Acquisition for Ucb {
    fn needs(&self) -> Needs {
        Needs { model: true, sd: true, ..Needs::default() }
    }

    fn select(&self, cx: &RunContext) -> Result<Batch> {
        let direction = cx.target.direction;
        cx.top_by_mean_sd(|mean, sd| direction.merit(mean) + self.beta * sd)
    }
}

framework::register!(Acquisition, Ucb, "ucb", "predicted effect plus beta standard deviations");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::{MockSurrogate, TinyWorld};

    #[test]
    fn adds_uncertainty_to_the_merit() {
        let world = TinyWorld::new(4, 2, 1, false, 1).unwrap();
        let s = MockSurrogate { mean: vec![1.0, -1.5, 0.0, 0.5], sd: vec![0.1, 0.1, 2.0, 0.2] };
        let observed = Observed::empty(1);
        let candidates = Candidates::new(4, vec![]);
        let pick = |beta, direction| {
            let mut cx = world.context(4, &candidates, &observed, Some(&s), None, 1);
            cx.target.direction = direction;
            Ucb { beta }.select(&cx).unwrap()
        };
        let b = pick(1.0, Direction::Abs);
        assert_eq!(b.ids, [2, 1, 0, 3]);
        assert!((b.scores[1] - 1.6).abs() < 1e-12);
        assert_eq!(pick(0.0, Direction::Min).ids, [1, 2, 3, 0]);
        assert_eq!(pick(0.0, Direction::Max).ids, [0, 3, 2, 1]);
    }
}
