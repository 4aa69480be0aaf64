//! Layers: what they hold, how they start, what they do to a sum.

use ndarray::{Array1, Array2};
use numerics::Real;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

/// What a hidden layer does to its sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// max(0, z).
    #[default]
    Relu,
    /// z times the normal distribution function of z.
    Gelu,
}

impl Activation {
    /// Value and derivative at `z`.
    #[inline]
    pub(super) fn at<T: Real>(self, z: T) -> (T, T) {
        match self {
            Activation::Relu if z > T::zero() => (z, T::one()),
            Activation::Relu => (T::zero(), T::zero()),
            Activation::Gelu => {
                let z: f64 = z.into();
                let below = 0.5 * (1.0 + statrs::function::erf::erf(z * std::f64::consts::FRAC_1_SQRT_2));
                let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
                (T::of(z * below), T::of(below + z * density))
            }
        }
    }
}

/// How the parameters of a network start, and with which factors they enter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    /// W ~ N(0, 1) with factor `sigma_w`/√inputs, b ~ N(0, `bias_sd`²) with factor `sigma_b` (Jacot et al. 2018).
    Ntk { sigma_w: f64, sigma_b: f64, bias_sd: f64 },
    /// W and b uniform in ±1/√inputs, factors 1 (the default of PyTorch's Linear).
    Standard,
}

/// One layer.
#[derive(Clone, Debug)]
pub struct Layer<T> {
    /// inputs x outputs.
    pub weight: Array2<T>,
    /// One per output.
    pub bias: Array1<T>,
    /// c_w.
    pub weight_factor: f64,
    /// c_b; 0 makes a layer without bias.
    pub bias_factor: f64,
}

impl<T: Real> Layer<T> {
    /// A new layer.
    pub fn new(inputs: usize, outputs: usize, start: Start, rng: &mut impl Rng) -> Self {
        let root = (inputs as f64).sqrt();
        match start {
            Start::Standard => {
                let mut draw = || T::of(rng.random_range(-1.0..=1.0) / root);
                Self {
                    weight: Array2::from_shape_simple_fn((inputs, outputs), &mut draw),
                    bias: Array1::from_shape_simple_fn(outputs, draw),
                    weight_factor: 1.0,
                    bias_factor: 1.0,
                }
            }
            Start::Ntk { sigma_w, sigma_b, bias_sd } => {
                let mut draw = || -> f64 { StandardNormal.sample(rng) };
                Self {
                    weight: Array2::from_shape_simple_fn((inputs, outputs), || T::of(draw())),
                    bias: Array1::from_shape_simple_fn(outputs, || T::of(bias_sd * draw())),
                    weight_factor: sigma_w / root,
                    bias_factor: sigma_b,
                }
            }
        }
    }

    #[inline]
    pub(super) fn inputs(&self) -> usize {
        self.weight.nrows()
    }

    #[inline]
    pub(super) fn outputs(&self) -> usize {
        self.weight.ncols()
    }
}
