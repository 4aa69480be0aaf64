//! Greedy: the candidates of best predicted mean.
//!
//! score(x) = μ(x), |μ(x)| or -μ(x) by the target's direction, or by one of its own; no exploration. NAIAD's maximum
//! predicted effect: |μ| in the paper, -μ in the released program. One prediction of the pool.

use framework::prelude::*;

/// Takes the candidates whose predicted mean is most wanted (a profile is judged by its norm).
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Greedy {
    /// Which end of the readout is taken: "abs", "max" or "min"; absent: the target's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
}

#[typetag::serde(name = "greedy")]
impl Acquisition for Greedy {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        let target = Target { direction: self.direction.unwrap_or(cx.target.direction), ..cx.target };
        cx.top_by(|ids, p| Ok((0..ids.len()).map(|i| p.merit(i, &target)).collect()))
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Model])
    }
}

framework::register!(Acquisition, Greedy, "greedy", "best predicted mean");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::MockSurrogate;
    use std::sync::Arc;

    #[test]
    fn an_own_direction_comes_first() {
        let genes = Arc::new(Genes::new(["a", "b", "c", "d"]).unwrap());
        let inputs = Arc::new(Inputs::new(Arc::new(Pool::singles(genes)), vec![], Compose::Sum).unwrap());
        let (observed, candidates) = (Observed::empty(1), Candidates::new(4, vec![]));
        let model = MockSurrogate { mean: vec![0.5, -3.0, 2.0, -1.0], sd: vec![0.0; 4] };
        let of = |direction| {
            let round = Round { index: 1, of: 1, batch: 2 };
            let target = Target { direction: Direction::Max, ..Target::default() };
            let (model, streams) = (Some(&model as &dyn Surrogate), Streams::new(1));
            let cx = RunContext::new(round, &inputs, &candidates, &observed, streams)
                .with_target(target)
                .with_surrogate(model);
            Greedy { direction }.select(&cx).unwrap().ids
        };
        assert_eq!(of(None), [2, 0]);
        assert_eq!(of(Some(Direction::Min)), [1, 3]);
        assert_eq!(of(Some(Direction::Abs)), [1, 2]);
    }
}
