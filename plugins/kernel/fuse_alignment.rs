//! Alignment-weighted sum of kernels: weights aₘ = KA(Kₘ, K_truth) on the measured perturbations (Huang et al. 2023,
//! App. A), negative ones set to 0, divided by their sum.
//!
//! K_truth = Δ Δᵀ of the mean readout of each measured perturbation; KA(A, B) = ⟨A, B⟩ / (‖A‖ ‖B‖). The released
//! code does not centre although the paper cites centred alignment; both are here. O(t² Σdₘ) for t measured
//! perturbations. While fewer than two are measured, or where no source aligns, the weights are equal.

use framework::numerics::alignment;
use framework::plugin::{Fusion, mean_readouts};
use framework::prelude::*;

framework::fusion! {
    "fuse_alignment",
    /// A weighted sum of the kernels of the active priors and of the model, each normalised, with weights by how well
    /// each agrees with what was measured. Records `weight NAME` and `weights_from_data` each round.
    pub struct FuseAlignment {
        /// Whether kernels are centred before they are compared with the truth; default false.
        pub centred: bool,
    }
}

impl Fusion for FuseAlignment {
    fn fuse(&self, cx: &KernelContext, sources: &Sources, found: Vec<Source>) -> Result<Gram> {
        let weights = self.weights(cx, &found)?;
        sources.weighted(cx, found, weights)
    }
}

impl FuseAlignment {
    fn weights(&self, cx: &KernelContext, found: &[Source]) -> Result<Option<Vec<f64>>> {
        let train = cx.train();
        if train.len() < 2 {
            return Ok(None);
        }
        let truth = Gram::of_features(mean_readouts(cx.observed));
        let aligned = found
            .iter()
            .map(|s| Ok(alignment(&s.gram.restrict(&train), &truth, self.centred)?.unwrap_or(0.0).max(0.0)))
            .collect::<Result<Vec<f64>>>()?;
        let sum: f64 = aligned.iter().sum();
        Ok((sum > 0.0).then(|| aligned.iter().map(|a| a / sum).collect()))
    }
}

framework::register!(
    Kernel,
    FuseAlignment,
    "fuse_alignment",
    "kernels of priors and model weighted by their alignment with the measurements"
);

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::{check_fusion_starts_as_mean, fuse};

    #[test]
    fn before_anything_is_measured_it_is_the_mean_and_says_so() {
        check_fusion_starts_as_mean(&FuseAlignment { with: Some(vec![]), ..FuseAlignment::default() }).unwrap();
    }

    #[test]
    fn weights_are_alignments_with_the_mean_profiles() {
        let measured: Vec<usize> = (0..40).step_by(2).collect();
        for centred in [false, true] {
            let kernel = FuseAlignment { with: Some(vec![]), centred, ..FuseAlignment::default() };
            let fused = fuse(&kernel, &measured).unwrap();
            let (k, profiles) = (&fused.sources, &fused.readouts);
            let centre = |k: Array2<f64>| {
                let n = k.nrows();
                let h = Array2::<f64>::eye(n) - 1.0 / n as f64;
                if centred { h.dot(&k).dot(&h) } else { k }
            };
            let truth = centre(profiles.dot(&profiles.t()));
            let norm = |k: &Array2<f64>| k.iter().map(|v| v * v).sum::<f64>().sqrt();
            let a: Vec<f64> = (0..2)
                .map(|m| {
                    let part = Array2::from_shape_fn((20, 20), |(i, j)| k[m][(measured[i], measured[j])]);
                    let part = centre(part);
                    (&part * &truth).sum() / (norm(&part) * norm(&truth))
                })
                .collect();
            let want = a[1] / (a[0] + a[1]);
            assert!((fused.number("weight signal") - want).abs() < 1e-12);
            assert!(want > 0.6 && fused.number("weights_from_data") == 1.0, "{want}");
            assert!(fused.is_sum(1.0 - want, want) && fused.gram.rows().is_some());
        }
    }
}
