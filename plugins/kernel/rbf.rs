//! Squared-exponential kernel exp(-‖x-x'‖²/2ℓ²).
//!
//! Very smooth functions. Spectral law N(0, 1/ℓ²) (Rahimi & Recht 2007). Cost of a block: one product of
//! its feature rows and one exponential an entry.

use framework::numerics::exp_slice;
use framework::plugin::{FeatureMap, Length, Stationary, fourier_features};
use framework::prelude::*;
use rand_distr::{Distribution, StandardNormal};

/// RBF kernel on the concatenated features of the active priors. Unit diagonal.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rbf {
    /// Length scale ℓ in units of the features, or a table of one for each prior; absent: the median distance between
    /// measured perturbations (of the first 1,000 pool entries while fewer than 2 are measured).
    #[serde(default)]
    pub length: Option<Length>,
}

#[typetag::serde(name = "rbf")]
impl Kernel for Rbf {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        let s = Stationary::new(self.length.as_ref(), cx)?;
        let scale = -0.5 / (s.length * s.length);
        let f = move |d2: &mut [f64]| {
            d2.iter_mut().for_each(|v| *v *= scale);
            exp_slice(d2);
        };
        Ok(Gram::new(FeatureGram::radial(s.rows, f)))
    }

    fn random_features(&self, cx: &KernelContext, n: usize, rng: &mut StreamRng) -> Result<Option<FeatureMap>> {
        let s = Stationary::new(self.length.as_ref(), cx)?;
        let frequencies = Array2::from_shape_fn((s.of_features.len(), n), |(j, _)| {
            let z: f64 = StandardNormal.sample(rng);
            z / s.of_features[j]
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
        framework::testing::check_stationary(
            |length| Box::new(Rbf { length: length.map(Length::One) }),
            |r| (-0.5 * r * r).exp(),
        );
    }
}
