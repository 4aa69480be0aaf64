//! Numbers in single or double precision.

use ndarray::NdFloat;

/// Single precision, which trains twice as fast, or double.
pub trait Real: NdFloat + faer::traits::ComplexField + Into<f64> {
    /// The nearest value.
    fn of(v: f64) -> Self;
}
impl Real for f32 {
    fn of(v: f64) -> Self {
        v as f32
    }
}
impl Real for f64 {
    fn of(v: f64) -> Self {
        v
    }
}
