//! Largest predicted effect. Score: the mean μ in the wanted direction (|μ|, μ or -μ). NAIAD's maximum
//! predicted effect; what both pair-discovery papers describe as "TS" is this rule. Cost: one prediction
//! of the candidates.

use framework::prelude::*;

/// The candidates of largest predicted merit.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Greedy {}

#[typetag::serde(name = "greedy")]
impl Acquisition for Greedy {
    fn needs(&self) -> Needs {
        Needs { model: true, ..Needs::default() }
    }

    fn select(&self, cx: &RunContext) -> Result<Batch> {
        cx.top_by(|ids, p| Ok((0..ids.len()).map(|i| p.merit(i, &cx.target)).collect()))
    }
}

framework::register!(Acquisition, Greedy, "greedy", "largest predicted effect in the wanted direction");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::{MockSurrogate, TinyWorld};

    #[test]
    fn follows_the_direction() {
        let world = TinyWorld::new(5, 2, 1, false, 1).unwrap();
        let s = MockSurrogate { mean: vec![0.5, -3.0, 2.0, 1.0, -0.1], sd: vec![9.0; 5] };
        let observed = Observed::empty(1);
        let candidates = Candidates::new(5, vec![]);
        let pick = |direction| {
            let mut cx = world.context(2, &candidates, &observed, Some(&s), None, 1);
            cx.target.direction = direction;
            Greedy {}.select(&cx).unwrap()
        };
        assert_eq!(pick(Direction::Abs), Batch { ids: vec![1, 2], scores: vec![3.0, 2.0] });
        assert_eq!(pick(Direction::Max).ids, [2, 3]);
        assert_eq!(pick(Direction::Min).ids, [1, 4]);
    }
}
