//! Gradient kernel of a network's last layer: k(x, x') = ⟨h̃(x), h̃(x')⟩ ⟨δ(x), δ(x')⟩.
//!
//! h̃ is what enters the last linear layer, a constant for its bias included, and δ the signal propagated back
//! to its output; for a linear head of L outputs that sum, and the Jacobian, is L ⟨h̃, h̃'⟩ (Holzmüller et al.
//! 2023, section 3.1). A linear head leaves features, one for each input of the layer. Cost: one pass of the
//! network over measured perturbations and candidates, n features a perturbation held.

use framework::plugin::Outputs;
use framework::prelude::*;

/// The model's last hidden representation as a linear model on top of it sees it. Needs a network; of an
/// ensemble the first member (see `ens`).
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastLayer {
    /// Which gradients of several outputs: `"sum"` (default), of the sum of the outputs; `"jacobian"`, of each
    /// (the same kernel for a linear head); `"project"`, of random combinations.
    #[serde(default)]
    pub outputs: Outputs,
    /// Number of random combinations where outputs = "project". Default 8.
    #[serde(default = "eight")]
    pub projections: usize,
}

fn eight() -> usize {
    8
}

#[typetag::serde(name = "last_layer")]
impl Kernel for LastLayer {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        let mut layers = cx.layers("last_layer", self.outputs, self.projections, true)?;
        layers.pop().ok_or_else(|| Error::Plugin("the model gave no layers".into()))
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Model, Ability::Layers])
    }
}

framework::register!(Kernel, LastLayer, "last_layer", "inner products of a network's last hidden layer");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::{MockSurrogate, TinyWorld};

    #[test]
    fn a_linear_head_leaves_its_inputs_as_features() {
        let world = TinyWorld::new(9, 3, 1, false, 2).unwrap();
        let (observed, streams) = (world.observe(&[1, 4], 1).unwrap(), Streams::new(3));
        let mean: Vec<f64> = (0..9).map(|i| (i as f64 * 0.7).sin()).collect();
        let model = MockSurrogate { sd: mean.iter().map(|m| 0.2 + m * m).collect(), mean };
        let cx = KernelContext { surrogate: Some(&model), ..KernelContext::new(&world.inputs, &observed, &streams) };
        let ids: Vec<usize> = (0..9).collect();
        let h = model.factors(&ids, 0, Array2::ones((1, 1)).view()).unwrap().pop().unwrap().input;
        for outputs in [Outputs::Sum, Outputs::Jacobian] {
            let k = LastLayer { outputs, projections: 8 }.gram(&cx).unwrap();
            assert!(k.rows().is_some_and(|r| r.d() == 4));
            let off = &k.to_dense(&ids) - &h.dot(&h.t());
            assert!(off.iter().all(|d| d.abs() < 1e-12));
        }
    }

    #[test]
    fn without_a_network_it_says_what_to_do() {
        let world = TinyWorld::new(5, 2, 1, false, 2).unwrap();
        let k: Box<dyn Kernel> = serde_json::from_str(r#"{"use": "last_layer"}"#).unwrap();
        assert!(k.needs().contains(Ability::Layers) && k.needs().contains(Ability::Model));
        let e = world.gram(&*k, &Observed::empty(1)).unwrap_err().to_string();
        assert!(e.contains("`last_layer`") && e.contains("[model]"), "{e}");
    }
}
