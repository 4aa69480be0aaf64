//! Largest predicted standard deviation (GeneDisco's top-uncertain: the paper's ½ log(1 + V) and the
//! code's sd rank alike). Cost: one prediction of the candidates.

use framework::prelude::*;

/// The candidates that the model knows least about.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TopUncertain {}

#[typetag::serde(name = "top_uncertain")]
impl Acquisition for TopUncertain {
    fn needs(&self) -> Needs {
        Needs { model: true, sd: true, ..Needs::default() }
    }

    fn select(&self, cx: &RunContext) -> Result<Batch> {
        cx.top_by(|ids, p| match &p.sd {
            // For a profile, the total standard deviation over outputs.
            Some(sd) => Ok((0..ids.len()).map(|i| sd.row(i).dot(&sd.row(i)).sqrt()).collect()),
            None => Err(Error::Unsupported("top_uncertain needs predicted standard deviations and the model gives none".into())),
        })
    }
}

framework::register!(Acquisition, TopUncertain, "top_uncertain", "largest predicted standard deviation");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::{MockSurrogate, TinyWorld};

    #[test]
    fn ranks_by_spread_alone() {
        let world = TinyWorld::new(4, 2, 1, false, 1).unwrap();
        let s = MockSurrogate { mean: vec![9.0, 0.0, 0.0, 0.0], sd: vec![0.1, 0.3, 0.3, 2.0] };
        let (observed, candidates) = (Observed::empty(1), Candidates::new(4, vec![]));
        let b = TopUncertain {}.select(&world.context(3, &candidates, &observed, Some(&s), None, 1)).unwrap();
        assert_eq!(b, Batch { ids: vec![3, 1, 2], scores: vec![2.0, 0.3, 0.3] });
    }
}
