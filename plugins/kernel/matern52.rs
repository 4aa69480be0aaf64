//! Matérn kernel of smoothness 5/2: (1 + √5 r/ℓ + 5r²/3ℓ²) exp(-√5 r/ℓ), r = ‖x-x'‖.
//!
//! Twice differentiable functions, rougher than RBF. Rasmussen & Williams (2006), eq. 4.17; spectral law a
//! multivariate t of 5 degrees of freedom scaled by 1/ℓ. Cost of a block: one product of its feature rows,
//! one root and one exponential an entry.

use framework::numerics::exp_slice;
use framework::plugin::{FeatureMap, Length, Stationary, fourier_features};
use framework::prelude::*;
use rand_distr::{ChiSquared, Distribution, StandardNormal};

/// Matérn-5/2 kernel on the concatenated features of the active priors. Unit diagonal.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matern52 {
    /// Length scale ℓ in units of the features, or a table of one for each prior; absent: the median distance between
    /// measured perturbations (of the first 1,000 pool entries while fewer than 2 are measured).
    #[serde(default)]
    pub length: Option<Length>,
}

#[typetag::serde(name = "matern52")]
impl Kernel for Matern52 {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        let s = Stationary::new(self.length.as_ref(), cx)?;
        let scale = 5.0 / (s.length * s.length);
        let f = move |d2: &mut [f64]| {
            let mut decay = [0.0; 64];
            for piece in d2.chunks_mut(64) {
                let decay = &mut decay[..piece.len()];
                for (v, e) in piece.iter_mut().zip(decay.iter_mut()) {
                    let r2 = scale * *v;
                    let r = r2.sqrt();
                    *e = -r;
                    *v = 1.0 + r + r2 / 3.0;
                }
                exp_slice(decay);
                piece.iter_mut().zip(decay.iter()).for_each(|(v, e)| *v *= e);
            }
        };
        Ok(Gram::new(FeatureGram::radial(s.rows, f)))
    }

    fn random_features(&self, cx: &KernelContext, n: usize, rng: &mut StreamRng) -> Result<Option<FeatureMap>> {
        let s = Stationary::new(self.length.as_ref(), cx)?;
        let chi = ChiSquared::new(5.0).map_err(|e| Error::Numerical(format!("matern52: {e}")))?;
        let mut frequencies = Array2::from_shape_fn((s.of_features.len(), n), |(j, _)| {
            let z: f64 = StandardNormal.sample(rng);
            z / s.of_features[j]
        });
        for mut column in frequencies.columns_mut() {
            let c: f64 = chi.sample(rng);
            column *= (5.0 / c).sqrt();
        }
        Ok(Some(fourier_features(frequencies, rng)))
    }
}

framework::register!(Kernel, Matern52, "matern52", "Matérn 5/2 of the feature distance");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_random_features_and_length_are_the_formula() {
        framework::testing::check_stationary(
            |length| Box::new(Matern52 { length: length.map(Length::One) }),
            |r| (1.0 + 5f64.sqrt() * r + 5.0 * r * r / 3.0) * (-(5f64.sqrt()) * r).exp(),
        );
    }
}
