//! Linear kernel ⟨x, x'⟩ of the concatenated prior features.
//!
//! The sum of the priors' own linear kernels, as IterPert builds them (F Fᵀ, no centring). Rows of pairs
//! are composed when asked for. Cost of a block: one product of its feature rows.

use framework::prelude::*;

/// Inner products of the features of the active priors, without centring or scaling.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Linear {}

#[typetag::serde(name = "linear")]
impl Kernel for Linear {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        if cx.inputs.n_features() == 0 {
            return Err(Error::Config(
                "the linear kernel compares feature rows but no prior is active; add a [prior.NAME] section".into(),
            ));
        }
        Ok(Gram::new(FeatureGram::linear(Rows::Made(cx.inputs.clone()))))
    }
}

framework::register!(Kernel, Linear, "linear", "inner products of the prior features");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::TinyWorld;

    #[test]
    fn entries_are_inner_products_of_composed_rows() {
        let world = TinyWorld::new(6, 3, 1, true, 4).unwrap();
        let ids: Vec<usize> = (0..15).collect();
        let (x, k) = (world.inputs.features(&ids), world.gram(&Linear {}, &Observed::empty(1)).unwrap().to_dense(&ids));
        assert!((&x.dot(&x.t()) - &k).iter().all(|d| d.abs() < 1e-12));
    }
}
