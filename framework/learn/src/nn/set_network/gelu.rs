//! The activation of the effects, in both precisions.

use numerics::Real;
use numerics::special::exp_f32;
use numerics::wide::madd;

/// f32 and f64, with the activation of the effects.
pub trait Lane: Real {
    /// z Φ(z) and its derivative, Φ the normal distribution function.
    fn gelu<const FMA: bool>(z: Self) -> (Self, Self);
}

impl Lane for f32 {
    /// Φ by 7.1.26 of Abramowitz & Stegun: absolute error below 2e-7.
    #[inline(always)]
    fn gelu<const FMA: bool>(z: f32) -> (f32, f32) {
        let c = -0.5 * z * z;
        let e = exp_f32::<FMA>(if c < -87.0 { -87.0 } else { c });
        let t = 1.0 / madd::<f32, FMA>(0.327_591_1, z.abs() * std::f32::consts::FRAC_1_SQRT_2, 1.0);
        let mut p = 1.061_405_4;
        for of in [-1.453_152, 1.421_413_8, -0.284_496_74, 0.254_829_6] {
            p = madd::<f32, FMA>(p, t, of);
        }
        let tail = 0.5 * p * t * e;
        let below = if z > 0.0 { 1.0 - tail } else { tail };
        (z * below, madd::<f32, FMA>(z * e, 0.398_942_3, below))
    }
}

impl Lane for f64 {
    #[inline(always)]
    fn gelu<const FMA: bool>(z: f64) -> (f64, f64) {
        let below = 0.5 * (1.0 + statrs::function::erf::erf(z * std::f64::consts::FRAC_1_SQRT_2));
        let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
        (z * below, below + z * density)
    }
}
