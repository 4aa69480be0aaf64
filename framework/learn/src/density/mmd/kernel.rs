//! Kernels on samples, evaluated a tile at a time.

use super::points::Tile;
use ndarray::ArrayViewMut2;
use numerics::Real;
use numerics::linalg::product_into;
use numerics::special::Exp;
use numerics::{Error, Result};
use serde::{Deserialize, Serialize};

/// The form of a kernel on samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// x'y.
    Linear,
    /// exp(-r²/2ℓ²).
    #[default]
    Rbf,
    /// (1 + q + q²/3) exp(-q) with q = √5 r/ℓ.
    Matern52,
}

/// A kernel whose mean embeddings are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanKernel {
    /// Its form.
    pub shape: Shape,
    /// Length scale ℓ, without meaning for the linear kernel.
    pub length: f64,
}

impl MeanKernel {
    /// Errors on a length that single precision cannot divide by.
    pub fn new(shape: Shape, length: f64) -> Result<Self> {
        if shape == Shape::Linear || (1e-15..1e15).contains(&length) {
            return Ok(Self { shape, length });
        }
        Err(Error::Setting(format!(
            "a kernel's length scale must lie between 1e-15 and 1e15, and is {length:e}; scale the features"
        )))
    }

    /// k(x_a, y_b) of the rows into `out`, by their products and squared norms.
    pub(super) fn values<T: Real + Exp>(self, x: Tile<T>, y: Tile<T>, out: &mut ArrayViewMut2<T>, spare: &mut [T]) {
        product_into(out, x.rows, y.rows.t(), false, T::one());
        let scale = match self.shape {
            Shape::Linear => return,
            Shape::Rbf => -0.5 / (self.length * self.length),
            Shape::Matern52 => 5.0 / (self.length * self.length),
        };
        for (mut row, norm) in out.outer_iter_mut().zip(x.norms) {
            let Some(row) = row.as_slice_mut() else { continue };
            scaled_distances(row, *norm, y.norms, T::of(scale));
            if self.shape == Shape::Rbf {
                T::exp_all(row);
            } else {
                let spare = &mut spare[..row.len()];
                roots(row, spare);
                T::exp_all(spare);
                matern(row, spare);
            }
        }
    }
}

wide! {
    /// scale (n + m - 2 v), at least 0 before scaling, of products v.
    fn scaled_distances<T: Real>(v: &mut [T], n: T, m: &[T], scale: T) {
        for (v, m) in v.iter_mut().zip(m) {
            let r = n + *m - (*v + *v);
            *v = if r > T::zero() { r * scale } else { T::zero() };
        }
    }
}

wide! {
    /// q of q², and -q.
    fn roots<T: Real>(v: &mut [T], minus: &mut [T]) {
        for (v, m) in v.iter_mut().zip(minus) {
            *v = v.sqrt();
            *m = -*v;
        }
    }
}

wide! {
    /// (1 + q + q²/3) e.
    fn matern<T: Real>(v: &mut [T], e: &[T]) {
        let third = T::of(1.0 / 3.0);
        for (q, e) in v.iter_mut().zip(e) {
            *q = (T::one() + *q + *q * *q * third) * *e;
        }
    }
}
