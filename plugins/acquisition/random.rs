//! Uniform sampling without replacement: the control in every table.

use framework::prelude::*;

/// Draws the batch uniformly from the candidates. Cost O(batch), whatever the size of the pool.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Random {}

#[typetag::serde(name = "random")]
impl Acquisition for Random {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        let ids = cx.candidates.sample(cx.batch(), &mut cx.rng("random"));
        Ok(Batch { scores: vec![0.0; ids.len()], ids })
    }
}

framework::register!(Acquisition, Random, "random", "uniform over the candidates, without replacement");
