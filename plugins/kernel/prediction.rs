//! Prediction kernel ⟨μ(x), μ(x')⟩: inner products of predicted mean profiles.
//!
//! The model kernel behind the figures of IterPert (Huang et al. 2023, released code), where μ is the predicted
//! change of expression. Cost: one prediction of measured perturbations and candidates, whose outputs are held; many
//! outputs of low rank are replaced by as few features as give the same inner products.

use framework::numerics::low_rank;
use framework::prelude::*;

/// Inner products of the model's predicted means, one feature an output.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prediction {}

#[typetag::serde(name = "prediction")]
impl Kernel for Prediction {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        let surrogate = cx.surrogate("prediction")?;
        let mut rows = cx.hold("prediction", cx.observed.n_outputs(), |ids| Ok(surrogate.predict(ids)?.mean))?;
        if let Some(z) = low_rank(rows.get(&cx.scope()).view()) {
            rows = cx.hold_rows("prediction", &z)?;
        }
        Ok(FeatureGram::linear(rows).into())
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Model])
    }
}

framework::register!(Kernel, Prediction, "prediction", "inner products of the model's predicted profiles");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::{MockSurrogate, TinyWorld};

    #[test]
    fn entries_are_products_of_predictions() {
        let world = TinyWorld::new(5, 3, 1, false, 2).unwrap();
        let (observed, streams) = (world.observe(&[1, 4], 1).unwrap(), Streams::new(3));
        let model = MockSurrogate { mean: vec![1.0, -2.0, 0.5, 0.0, 3.0], sd: vec![0.1; 5] };
        let cx = KernelContext { surrogate: Some(&model), ..KernelContext::new(&world.inputs, &observed, &streams) };
        let k = Prediction {}.gram(&cx).unwrap();
        assert_eq!(k.block(&[0, 1], &[4, 2]), ndarray::array![[3.0, 0.5], [-6.0, -1.0]]);
        let bad = MockSurrogate { mean: vec![f64::NAN; 5], sd: vec![0.1; 5] };
        let e = Prediction {}.gram(&KernelContext { surrogate: Some(&bad), ..cx }).unwrap_err().to_string();
        assert!(e.contains("`G000` is not finite"), "{e}");
    }
}
