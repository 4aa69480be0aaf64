//! Uncertainty sampling: the candidates whose prediction is least certain.
//!
//! score(x) = σ(x); for a profile the root of the summed variances of its outputs. GeneDisco's
//! `topuncertain` ranks by ½ log(1 + σ²), which is the same order. One prediction of the pool.

use framework::prelude::*;

/// Takes the candidates of largest predicted standard deviation, whatever their mean.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopUncertain {}

#[typetag::serde(name = "top_uncertain")]
impl Acquisition for TopUncertain {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        cx.top_by(|_, p| match &p.sd {
            Some(sd) => Ok(sd.outer_iter().map(|s| s.dot(&s).sqrt()).collect()),
            None => Err(Error::Unsupported(
                "top_uncertain needs predicted standard deviations and the model gives none".into(),
            )),
        })
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Model, Ability::Sd])
    }
}

framework::register!(Acquisition, TopUncertain, "top_uncertain", "largest predicted standard deviation");
