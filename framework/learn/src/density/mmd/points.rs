//! Samples as kernels read them.

use ndarray::{Array1, Array2, ArrayView2, s};
use numerics::Real;
use numerics::special::Exp;
use numerics::{Error, Result};

/// Samples around a common centre. Kernel values of two sets are meaningful where both have the same centre.
#[derive(Clone, Debug)]
pub struct Points<T> {
    pub(super) x: Array2<T>,
    pub(super) norms: Vec<T>,
}

#[derive(Clone, Copy)]
pub(super) struct Tile<'a, T> {
    pub(super) rows: ArrayView2<'a, T>,
    pub(super) norms: &'a [T],
}

impl<T: Real + Exp> Points<T> {
    /// Rows minus `centre`, which keeps their squared distances exact to rounding of the centred values.
    pub fn new<S: Real>(x: ArrayView2<S>, centre: &Array1<f64>) -> Result<Self> {
        let mut own = Array2::<T>::zeros(x.dim());
        for (mut own, x) in own.outer_iter_mut().zip(x.outer_iter()) {
            for ((o, v), c) in own.iter_mut().zip(&x).zip(centre) {
                let v: f64 = (*v).into();
                *o = T::of(v - c);
            }
        }
        let norm = |row: ndarray::ArrayView1<T>| -> f64 {
            row.iter()
                .map(|v| {
                    let v: f64 = (*v).into();
                    v * v
                })
                .sum()
        };
        let mut norms = Vec::with_capacity(own.nrows());
        for row in own.outer_iter() {
            let n = norm(row);
            // Far below the largest number of single precision, sums of two and their scaling are finite.
            if !n.is_finite() {
                return Err(Error::Breakdown(
                    "a sample holds a value that is not finite, or too large; fill it in, or leave the sample out"
                        .into(),
                ));
            }
            if n > 1e30 {
                return Err(Error::Breakdown(format!(
                    "a sample lies {:.1e} away from the mean of control, too far for single precision; scale the \
                     features",
                    n.sqrt()
                )));
            }
            norms.push(T::of(n));
        }
        Ok(Self { x: own, norms })
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.norms.len()
    }

    /// True without samples.
    pub fn is_empty(&self) -> bool {
        self.norms.is_empty()
    }

    /// Samples x features, centred.
    pub fn rows(&self) -> ArrayView2<'_, T> {
        self.x.view()
    }

    pub(super) fn tile(&self, from: usize, to: usize) -> Tile<'_, T> {
        Tile { rows: self.x.slice(s![from..to, ..]), norms: &self.norms[from..to] }
    }
}
