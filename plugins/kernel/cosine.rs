//! Cosine kernel ⟨x, x'⟩ / (‖x‖ ‖x'‖) of the concatenated prior features.
//!
//! The similarity by which gene embeddings are usually compared. Cost of a block: one product of its
//! feature rows, and one look at every row for zeros in pools of at most 2,000,000.

use framework::prelude::*;

/// Cosine of the angle between feature rows; unit diagonal. A row of zeros is an error.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cosine {}

#[typetag::serde(name = "cosine")]
impl Kernel for Cosine {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        if cx.inputs.n_features() == 0 {
            return Err(Error::Config(
                "the cosine kernel compares feature rows but no prior is active; add a [prior.NAME] section".into(),
            ));
        }
        Ok(Gram::new(FeatureGram::cosine(Rows::Made(cx.inputs.clone()))?))
    }
}

framework::register!(Kernel, Cosine, "cosine", "cosine of the angle between feature rows");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::TinyWorld;

    #[test]
    fn entries_are_cosines() {
        let world = TinyWorld::new(8, 3, 1, false, 4).unwrap();
        let ids: Vec<usize> = (0..8).collect();
        let (x, k) = (world.inputs.features(&ids), world.gram(&Cosine {}, &Observed::empty(1)).unwrap().to_dense(&ids));
        for (i, j) in [(0, 0), (0, 5), (7, 2)] {
            let (a, b) = (x.row(i), x.row(j));
            let want = a.dot(&b) / (a.dot(&a) * b.dot(&b)).sqrt();
            assert!((k[(i, j)] - want).abs() < 1e-12);
        }
    }
}
