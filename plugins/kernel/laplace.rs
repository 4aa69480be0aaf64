//! Laplace kernel exp(-‖x-x'‖/ℓ), also called Matérn 1/2 or exponential.
//!
//! Continuous, nowhere differentiable functions. Rasmussen & Williams (2006), eq. 4.18; spectral law a
//! multivariate Cauchy scaled by 1/ℓ. Cost of a block: one product of its feature rows, one root and one
//! exponential an entry.

use framework::numerics::exp_slice;
use framework::plugin::{FeatureMap, Length, Stationary, fourier_features};
use framework::prelude::*;
use rand_distr::{Distribution, StandardNormal};

/// Laplace kernel exp(-s‖x-x'‖), s = 1/ℓ, on the concatenated features of the active priors. Unit diagonal.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Laplace {
    /// Length scale ℓ in units of the features, or a table of one for each prior; absent: the median distance between
    /// measured perturbations (of the first 1,000 pool entries while fewer than 2 are measured).
    #[serde(default)]
    pub length: Option<Length>,
}

#[typetag::serde(name = "laplace")]
impl Kernel for Laplace {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        let s = Stationary::new(self.length.as_ref(), cx)?;
        let l = s.length;
        let f = move |d2: &mut [f64]| {
            d2.iter_mut().for_each(|v| *v = -v.sqrt() / l);
            exp_slice(d2);
        };
        Ok(Gram::new(FeatureGram::radial(s.rows, f)))
    }

    fn random_features(&self, cx: &KernelContext, n: usize, rng: &mut StreamRng) -> Result<Option<FeatureMap>> {
        let s = Stationary::new(self.length.as_ref(), cx)?;
        let mut frequencies = Array2::from_shape_fn((s.of_features.len(), n), |(j, _)| {
            let z: f64 = StandardNormal.sample(rng);
            z / s.of_features[j]
        });
        for mut column in frequencies.columns_mut() {
            // A normal vector over an independent |normal| is a multivariate Cauchy.
            let c: f64 = StandardNormal.sample(rng);
            column /= c.abs().max(f64::MIN_POSITIVE.sqrt());
        }
        Ok(Some(fourier_features(frequencies, rng)))
    }
}

framework::register!(Kernel, Laplace, "laplace", "exponential of minus the feature distance");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_random_features_and_length_are_the_formula() {
        framework::testing::check_stationary(
            |length| Box::new(Laplace { length: length.map(Length::One) }),
            |r| (-r).exp(),
        );
    }
}
