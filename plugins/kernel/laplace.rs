//! Laplace kernel exp(-‖x-x'‖/ℓ), also called Matérn 1/2 or exponential.
//!
//! Continuous, nowhere differentiable functions. Rasmussen & Williams (2006), eq. 4.18; spectral law a
//! multivariate Cauchy scaled by 1/ℓ. Cost of a block: one product of its feature rows, one root and one
//! exponential an entry.

use framework::numerics::exp_slice;
use framework::prelude::*;
use rand_distr::{Distribution, StandardNormal};

/// Laplace kernel exp(-s‖x-x'‖), s = 1/ℓ, on the concatenated features of the active priors. Unit diagonal.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Laplace {
    /// Length scale ℓ in units of the features; absent: the median distance between measured
    /// perturbations (of the first 1,000 pool entries while fewer than 2 are measured).
    #[serde(default)]
    pub length: Option<f64>,
}

#[typetag::serde(name = "laplace")]
impl Kernel for Laplace {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        let l = median_distance(self.length, cx)?;
        let f = move |d2: &mut [f64]| {
            d2.iter_mut().for_each(|v| *v = -v.sqrt() / l);
            exp_slice(d2);
        };
        Ok(Gram::new(FeatureGram::radial(Rows::Composed(cx.inputs.clone()), f)))
    }

    fn random_features(&self, cx: &KernelContext, n: usize, rng: &mut StreamRng) -> Result<Option<FeatureMap>> {
        let l = median_distance(self.length, cx)?;
        let mut frequencies = Array2::from_shape_simple_fn((cx.inputs.n_features(), n), || {
            let z: f64 = StandardNormal.sample(rng);
            z / l
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
    use framework::testing::TinyWorld;

    #[test]
    fn entries_are_the_formula_and_random_features_average_to_it() {
        let world = TinyWorld::new(12, 3, 1, false, 4).unwrap();
        let streams = Streams::new(1);
        let cx =
            KernelContext { inputs: &world.inputs, surrogate: None, observed: &Observed::empty(1), streams: &streams };
        let kernel = Laplace { length: Some(1.7) };
        let ids: Vec<usize> = (0..12).collect();
        let x = world.inputs.features(&ids);
        let k = kernel.gram(&cx).unwrap().to_dense(&ids);
        let n = 40_000;
        let map = kernel.random_features(&cx, n, &mut streams.rng("features")).unwrap().unwrap();
        let z = map(&x);
        let estimate = z.dot(&z.t());
        for i in 0..12 {
            for j in 0..12 {
                let r = (&x.row(i) - &x.row(j)).mapv(|v| v * v).sum().sqrt() / 1.7;
                let want = (-r).exp();
                assert!((k[(i, j)] - want).abs() < 1e-12, "{i} {j}");
                // A term of the average has variance below 2: five standard errors.
                assert!((estimate[(i, j)] - want).abs() < 5.0 * (2.0 / n as f64).sqrt(), "{i} {j}");
            }
        }
    }

    #[test]
    fn the_default_length_is_the_median_distance_and_bad_ones_are_refused() {
        let world = TinyWorld::new(12, 3, 1, false, 4).unwrap();
        let observed = world.observe(&[1, 4, 9], 1).unwrap();
        let streams = Streams::new(1);
        let cx = KernelContext { inputs: &world.inputs, surrogate: None, observed: &observed, streams: &streams };
        let x = world.inputs.features(&[1, 4, 9]);
        let distance = |i: usize, j: usize| (&x.row(i) - &x.row(j)).mapv(|v| v * v).sum().sqrt();
        let mut all = [distance(0, 1), distance(0, 2), distance(1, 2)];
        all.sort_by(f64::total_cmp);
        let of = |length| Laplace { length }.gram(&cx).map(|g| g.to_dense(&[0, 5])[(0, 1)]);
        assert!((of(None).unwrap() - of(Some(all[1])).unwrap()).abs() < 1e-12);
        assert!(of(Some(0.0)).unwrap_err().to_string().contains("positive"));
    }
}
