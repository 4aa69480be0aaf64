//! Squared-exponential kernel exp(-‖x-x'‖²/2ℓ²).
//!
//! Very smooth functions. Spectral law N(0, 1/ℓ²) (Rahimi & Recht 2007). Cost of a block: one product of
//! its feature rows and one exponential an entry.

use framework::numerics::exp_slice;
use framework::plugin::{FeatureMap, fourier_features, median_distance};
use framework::prelude::*;
use rand_distr::{Distribution, StandardNormal};

/// RBF kernel on the concatenated features of the active priors. Unit diagonal.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rbf {
    /// Length scale ℓ in units of the features; absent: the median distance between measured
    /// perturbations (of the first 1,000 pool entries while fewer than 2 are measured).
    #[serde(default)]
    pub length: Option<f64>,
}

#[typetag::serde(name = "rbf")]
impl Kernel for Rbf {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        let l = median_distance(self.length, cx)?;
        let scale = -0.5 / (l * l);
        let f = move |d2: &mut [f64]| {
            d2.iter_mut().for_each(|v| *v *= scale);
            exp_slice(d2);
        };
        Ok(Gram::new(FeatureGram::radial(Rows::Made(cx.inputs.clone()), f)))
    }

    fn random_features(&self, cx: &KernelContext, n: usize, rng: &mut StreamRng) -> Result<Option<FeatureMap>> {
        let l = median_distance(self.length, cx)?;
        let frequencies = Array2::from_shape_simple_fn((cx.inputs.n_features(), n), || {
            let z: f64 = StandardNormal.sample(rng);
            z / l
        });
        Ok(Some(fourier_features(frequencies, rng)))
    }
}

framework::register!(Kernel, Rbf, "rbf", "squared exponential of the feature distance");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_random_features_and_length_are_the_formula() {
        framework::testing::check_stationary(|length| Box::new(Rbf { length }), |r| (-0.5 * r * r).exp());
    }
}
