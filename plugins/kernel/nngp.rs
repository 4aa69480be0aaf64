//! Gaussian process of an infinitely wide ReLU network at initialisation (NNGP).
//!
//! With a = weight_gain², b = bias², start with S = a⟨x, x'⟩/d + b;
//! then layers - 1 times, with ρ = S/√(S(x, x) S(x', x')),
//! S ← a √(S(x, x) S(x', x')) (√(1-ρ²) + (π - arccos ρ) ρ)/2π + b.
//! The kernel is S (Lee et al. 2018; Holzmüller et al. 2023, section 3.1).
//! Diagonals, and so distances, come from the closed form. Cost of a block: one product of its feature rows and
//! layers - 1 arccosines an entry.

use framework::numerics::{DeepRelu, Wide};
use framework::prelude::*;

/// Covariance of a wide ReLU network with random weights, on the concatenated features of the active priors.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nngp {
    /// Number of linear layers, at least 1. Default 3.
    #[serde(default = "three")]
    pub layers: usize,
    /// Standard deviation of a weight times the root of the number of inputs. Default 1.4, near √2, which keeps
    /// the size of signals.
    #[serde(default = "weight_gain")]
    pub weight_gain: f64,
    /// Standard deviation of a bias. Default 0.3.
    #[serde(default = "bias")]
    pub bias: f64,
}

fn three() -> usize {
    3
}

fn weight_gain() -> f64 {
    1.4
}

fn bias() -> f64 {
    0.3
}

#[typetag::serde(name = "nngp")]
impl Kernel for Nngp {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        Ok(DeepRelu::of_rows(
            "nngp",
            Rows::Made(cx.inputs.clone()),
            Wide::AtStart,
            self.layers,
            self.weight_gain,
            self.bias,
        )?)
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Features])
    }
}

framework::register!(Kernel, Nngp, "nngp", "covariance of an infinitely wide random ReLU network");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::TinyWorld;

    #[test]
    fn entries_are_covariances_of_wide_random_networks() {
        use rand_distr::{Distribution, StandardNormal};
        let world = TinyWorld::new(4, 3, 1, false, 4).unwrap();
        let ids: Vec<usize> = (0..4).collect();
        let x = world.inputs.features(&ids);
        let kernel = Nngp { layers: 2, weight_gain: 1.2, bias: 0.4 };
        let k = world.gram(&kernel, &Observed::empty(1)).unwrap().to_dense(&ids);
        // One hidden layer: E over its units of σ_w² relu relu' + σ_b².
        let (n, mut rng) = (200_000, Streams::new(1).rng("weights"));
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let mut terms: Vec<Vec<f64>> = vec![vec![]; 2];
        for _ in 0..n {
            let (w, b) = ([normal(), normal(), normal()], 0.4 * normal());
            let unit = |i: usize| {
                let z: f64 = (0..3).map(|j| 1.2 / 3f64.sqrt() * w[j] * x[(i, j)]).sum::<f64>() + b;
                z.max(0.0)
            };
            terms[0].push(1.44 * unit(0) * unit(2) + 0.16);
            terms[1].push(1.44 * unit(1) * unit(1) + 0.16);
        }
        for (t, at) in terms.iter().zip([(0, 2), (1, 1)]) {
            let (mean, sd) = (framework::numerics::stats::mean(t), framework::numerics::stats::sd(t));
            assert!((mean - k[at]).abs() < 5.0 * sd / (n as f64).sqrt(), "{mean} for {}", k[at]);
        }
    }

    #[test]
    fn settings_that_mean_nothing_are_refused() {
        let world = TinyWorld::new(4, 3, 1, false, 4).unwrap();
        let text = |k: Nngp| world.gram(&k, &Observed::empty(1)).unwrap_err().to_string();
        assert!(text(Nngp { layers: 0, weight_gain: 1.0, bias: 0.0 }).contains("layers must be at least 1"));
        assert!(text(Nngp { layers: 2, weight_gain: 0.0, bias: 0.0 }).contains("weight_gain"));
        assert!(text(Nngp { layers: 2, weight_gain: 1.0, bias: f64::NAN }).contains("bias"));
    }
}
