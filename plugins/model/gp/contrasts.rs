//! Measurements without their mean.
//!
//! With a flat prior on the mean of an output, its likelihood is that of the n - 1 contrasts Qᵀy, whose covariance
//! Qᵀ(s²K + σ²I)Q = s²QᵀKQ + σ²I has the same form (Rasmussen & Williams 2006, section 2.7; Harville 1974).

use framework::prelude::*;

/// Rows 2..n of the reflection that maps the vector of ones to a multiple of the first unit vector: an orthonormal
/// basis of the contrasts. O(1) memory.
#[derive(Clone, Copy)]
pub(super) struct Contrasts {
    n: usize,
    /// First entry of the reflected vector, whose other entries are 1.
    first: f64,
    /// 2 over its squared norm.
    beta: f64,
}

impl Contrasts {
    pub(super) fn new(n: usize) -> Self {
        let first = 1.0 + (n as f64).sqrt();
        Self { n, first, beta: 2.0 / (first * first + n as f64 - 1.0) }
    }

    fn entry(&self, i: usize) -> f64 {
        if i == 0 { self.first } else { 1.0 }
    }

    /// Qᵀy: n - 1 x outputs.
    pub(super) fn of_rows(&self, y: &Array2<f64>) -> Array2<f64> {
        let mut along = Array1::<f64>::zeros(y.ncols());
        y.outer_iter().enumerate().for_each(|(i, row)| along.scaled_add(self.entry(i) * self.beta, &row));
        Array2::from_shape_fn((self.n - 1, y.ncols()), |(i, o)| y[(i + 1, o)] - along[o])
    }

    /// QᵀKQ of a symmetric matrix. O(n²).
    pub(super) fn of_matrix(&self, k: &Array2<f64>) -> Array2<f64> {
        let w = Array1::from_shape_fn(self.n, |i| self.entry(i));
        let p = k.dot(&w) * self.beta;
        let z = &p - &(&w * (0.5 * self.beta * w.dot(&p)));
        Array2::from_shape_fn((self.n - 1, self.n - 1), |(i, j)| k[(i + 1, j + 1)] - z[j + 1] - z[i + 1])
    }
}
