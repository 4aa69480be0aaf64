//! Half of the batch by predicted uncertainty, half at random: an example of a rule outside the tree.
//!
//! score(x) = σ(x) for the first ⌊share b⌉ places, 0 for the rest, which is drawn uniformly: uncertainty sampling that
//! cannot be trapped by a model that is certain and wrong. Cost: one prediction of the pool.

use framework::prelude::*;

/// The most uncertain candidates first, then a random rest.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FarAndUncertain {
    /// Share of the batch chosen by uncertainty.
    #[serde(default = "half")]
    pub share: f64,
}

fn half() -> f64 {
    0.5
}

#[typetag::serde(name = "far_and_uncertain")]
impl Acquisition for FarAndUncertain {
    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Model, Ability::Sd])
    }

    fn select(&self, cx: &RunContext) -> Result<Batch> {
        let first = (self.share.clamp(0.0, 1.0) * cx.batch() as f64).round() as usize;
        let mut batch = cx.top_by_mean_sd(|_, sd| sd)?;
        batch.ids.truncate(first);
        batch.scores.truncate(first);
        let mut rest = cx.candidates.clone();
        rest.remove(&batch.ids);
        let drawn = rest.sample(cx.batch() - first, &mut cx.rng("rest"));
        batch.scores.extend(vec![0.0; drawn.len()]);
        batch.ids.extend(drawn);
        Ok(batch)
    }
}

framework::register!(Acquisition, FarAndUncertain, "far_and_uncertain", "half by uncertainty, half at random");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::{MockSurrogate, TinyWorld};

    #[test]
    fn the_most_uncertain_come_first_and_the_rest_is_others() {
        let world = TinyWorld::new(20, 3, 1, false, 1).unwrap();
        let (candidates, observed) = (Candidates::new(20, vec![19]), world.observe(&[19], 1).unwrap());
        let model = MockSurrogate { mean: vec![0.0; 20], sd: (0..20).map(f64::from).collect() };
        let cx = world.context(6, &candidates, &observed, Some(&model), None, 7);
        let batch = FarAndUncertain { share: 0.5 }.select(&cx).unwrap();
        assert_eq!(batch.ids[..3], [18, 17, 16], "19 is measured");
        assert!(batch.ids[3..].iter().all(|id| *id < 16) && batch.scores[3..] == [0.0; 3]);
    }
}
