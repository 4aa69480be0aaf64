//! Neural tangent kernel of an infinitely wide ReLU network (NTK).
//!
//! With a = weight_gain², b = bias², start with S = a⟨x, x'⟩/d + b and T = S;
//! then layers - 1 times, with ρ = S/√(S(x, x) S(x', x')),
//! S ← a √(S(x, x) S(x', x')) (√(1-ρ²) + (π - arccos ρ) ρ)/2π + b, then
//! T ← S + a T (π - arccos ρ)/2π.
//! The kernel is T (Jacot et al. 2018; Arora et al. 2019; Holzmüller et al. 2023, section 3.1).
//! Diagonals, and so distances, come from the closed form. Cost of a block: one product of its feature rows and
//! layers - 1 arccosines an entry.

use framework::numerics::{DeepRelu, Wide};
use framework::prelude::*;

/// Kernel by which a wide ReLU network learns, on the concatenated features of the active priors: its gradients
/// before any training.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ntk {
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

#[typetag::serde(name = "ntk")]
impl Kernel for Ntk {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        Ok(DeepRelu::of_rows(
            "ntk",
            Rows::Made(cx.inputs.clone()),
            Wide::Tangent,
            self.layers,
            self.weight_gain,
            self.bias,
        )?)
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Features])
    }
}

framework::register!(Kernel, Ntk, "ntk", "tangent kernel of an infinitely wide ReLU network");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::TinyWorld;

    #[test]
    fn two_layers_have_a_short_formula() {
        let world = TinyWorld::new(6, 3, 1, true, 4).unwrap();
        let ids: Vec<usize> = (0..15).collect();
        let x = world.inputs.features(&ids);
        let kernel = Ntk { layers: 2, weight_gain: 1.0, bias: 0.0 };
        let k = world.gram(&kernel, &Observed::empty(1)).unwrap().to_dense(&ids);
        for (i, j) in [(0, 1), (3, 14), (9, 2)] {
            let (a, b) = (x.row(i), x.row(j));
            let size = (a.dot(&a) * b.dot(&b)).sqrt() / 3.0;
            let angle = (a.dot(&b) / 3.0 / size).acos();
            let rest = std::f64::consts::PI - angle;
            let want = size / std::f64::consts::TAU * (angle.sin() + 2.0 * rest * angle.cos());
            assert!((k[(i, j)] - want).abs() < 1e-12 * want.abs(), "{} for {want}", k[(i, j)]);
        }
    }

    #[test]
    fn large_blocks_are_finite() {
        let x = Array2::from_shape_fn((2000, 512), |(i, j)| ((i * 37 + j * 101 + i * j) % 257) as f64 / 128.0 - 1.0);
        let k = Gram::new(DeepRelu::new(Gram::of_features(x), 512, Wide::Tangent, 3, 1.4, 0.3));
        let all: Vec<usize> = (0..2000).collect();
        assert!(k.block(&all, &all).iter().all(|v| v.is_finite()));
    }
}
