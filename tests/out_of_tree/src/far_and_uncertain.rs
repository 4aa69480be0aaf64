//! Half of the batch by predicted uncertainty, half at random: an example of a rule outside the tree.

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
    fn needs(&self) -> Needs {
        Needs { model: true, sd: true, ..Needs::default() }
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
