//! A kernel that sees the features of some priors only.
//!
//! For comparing sources while the model keeps all of them, and for kernels of their own on parts of what is known.
//! Costs what the kernel costs.

use framework::numerics::{FeatureGram, Rows};
use framework::prelude::*;
use std::sync::Arc;

/// A kernel on the features of the named priors. With an empty list it sees none, which suits fusions that have the
/// model beside the priors.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OnPriors {
    /// Names of active priors, as in [prior.NAME].
    pub priors: Vec<String>,
    /// The kernel, as a table with `use`; default: inner products.
    #[serde(default)]
    pub kernel: Option<Box<dyn Kernel>>,
}

#[typetag::serde(name = "on_priors")]
impl Kernel for OnPriors {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        let inputs = Arc::new(self.inputs(cx)?);
        match &self.kernel {
            Some(k) => k.gram(&KernelContext { inputs: &inputs, ..*cx }),
            None if inputs.n_features() == 0 => Err(Error::Config(
                "on_priors: inner products of the features of no prior; name priors, or a kernel that reads the model"
                    .into(),
            )),
            None => Ok(Gram::new(FeatureGram::linear(Rows::Made(inputs)))),
        }
    }

    fn keeps_psd(&self) -> bool {
        self.kernel.as_ref().is_none_or(|k| k.keeps_psd())
    }

    fn needs(&self) -> Abilities {
        let of = self.kernel.as_ref().map_or(Abilities::NONE, |k| k.needs());
        of.with_if(Ability::Features, !self.priors.is_empty())
    }
}

impl OnPriors {
    fn inputs(&self, cx: &KernelContext) -> Result<Inputs> {
        let blocks = cx.inputs.blocks();
        let mut at = Vec::with_capacity(self.priors.len());
        for name in &self.priors {
            match blocks.iter().position(|b| b.name == *name) {
                Some(b) if !at.contains(&b) => at.push(b),
                Some(_) => return Err(Error::Config(format!("on_priors: `{name}` is named twice"))),
                None => {
                    let active: Vec<&str> = blocks.iter().map(|b| b.name.as_str()).collect();
                    let list = if active.is_empty() { "none".into() } else { active.join(", ") };
                    return Err(Error::Config(format!("on_priors: no active prior `{name}`; active: {list}")));
                }
            }
        }
        // In the order of the scenario, however they are named here.
        at.sort_unstable();
        Ok(cx.inputs.only(&at))
    }
}

framework::register!(
    Kernel,
    OnPriors,
    "on_priors",
    "a kernel of the features of some priors only",
    // The prior of the test kit's world.
    example = |_| framework::serde_json::json!({ "priors": ["signal"] })
);

#[cfg(test)]
mod tests {
    use super::*;
    use framework::serde_json::{self, json};
    use framework::testing::TinyWorld;

    #[test]
    fn only_the_named_priors_are_seen() {
        let world = TinyWorld::new(8, 3, 1, false, 4).unwrap();
        let block = |name: &str, f: f64| {
            Arc::new(
                Block::new(
                    name,
                    Array2::from_shape_fn((8, 2), |(i, j)| (f * i as f64 + j as f64).cos()),
                    vec![true; 8],
                )
                .unwrap(),
            )
        };
        let blocks = vec![block("a", 1.0), block("b", 2.0), block("c", 3.0)];
        let inputs = Arc::new(Inputs::new(world.inputs.pool().clone(), blocks, Compose::Sum).unwrap());
        let (observed, streams) = (Observed::empty(1), Streams::new(1));
        let cx = KernelContext::new(&inputs, &observed, &streams);
        let kernel = |form| serde_json::from_value::<OnPriors>(form).unwrap();
        let ids: Vec<usize> = (0..8).collect();
        let x = inputs.only(&[0, 2]).features(&ids);
        assert_eq!(x.ncols(), 4);
        for form in [json!({ "priors": ["c", "a"] }), json!({ "priors": ["a", "c"], "kernel": { "use": "linear" } })] {
            let k = kernel(form).gram(&cx).unwrap().to_dense(&ids);
            assert!((&k - &x.dot(&x.t())).iter().all(|d| d.abs() < 1e-12));
        }
        let e = kernel(json!({ "priors": ["d"] })).gram(&cx).unwrap_err().to_string();
        assert_eq!(e, "on_priors: no active prior `d`; active: a, b, c");
        assert!(kernel(json!({ "priors": ["a", "a"] })).gram(&cx).unwrap_err().to_string().contains("named twice"));
        assert!(kernel(json!({ "priors": [] })).gram(&cx).is_err());
        assert!(
            !kernel(json!({ "priors": [] })).needs().contains(Ability::Features)
                && kernel(json!({ "priors": ["a"] })).needs().contains(Ability::Features)
        );
    }
}
