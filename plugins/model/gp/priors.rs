//! Weak priors that keep few measurements from being explained by nothing, or without error.

use framework::prelude::*;

/// Normal priors on the logarithms of two variances, both around half of the variance of the measurements, with a
/// standard deviation of 2 (a factor of 7 either way): that of the noise, and that of the signal, which is the mean
/// variance of the function about its mean at the measurements. They weigh as much as a few measurements.
#[derive(Clone, Copy, Debug)]
pub(super) struct Priors {
    middle: f64,
}

/// Standard deviation of the logarithm of a variance.
const SPREAD: f64 = 2.0;

impl Priors {
    pub(super) fn new(variance: f64) -> Self {
        Self { middle: (0.5 * variance).ln() }
    }

    /// Minus the log density of a variance of noise or signal, without constants, and its slope in the logarithm.
    pub(super) fn cost(&self, log_variance: f64) -> (f64, f64) {
        let z = (log_variance - self.middle) / SPREAD;
        (0.5 * z * z, z / SPREAD)
    }

    /// Half of the variance of the measurements.
    pub(super) fn half(&self) -> f64 {
        self.middle.exp()
    }

    pub(super) fn curvature() -> f64 {
        1.0 / (SPREAD * SPREAD)
    }
}

/// Variance of the measurements about their mean, averaged over outputs. Those with errors that are large against the
/// usual deviation from the median count less, so that one of them cannot set it.
pub(super) fn variance_of(y: &Array2<f64>, errors: Option<&[f64]>) -> f64 {
    let weighted = |weight: &dyn Fn(usize) -> f64| -> f64 {
        let total: f64 = (0..y.nrows()).map(weight).sum();
        // Rows of equal weight that would tell as much.
        let n = total * total / (0..y.nrows()).map(|i| weight(i).powi(2)).sum::<f64>();
        let of = |column: ArrayView1<f64>| {
            let mean = column.iter().enumerate().map(|(i, v)| weight(i) * v).sum::<f64>() / total;
            column.iter().enumerate().map(|(i, v)| weight(i) * (v - mean).powi(2)).sum::<f64>() / total
        };
        y.columns().into_iter().map(of).sum::<f64>() / y.ncols() as f64 * n / (n - 1.0).max(0.5)
    };
    let Some(errors) = errors else { return weighted(&|_| 1.0) };
    let usual = y.columns().into_iter().map(|c| squared_deviation(&c.to_vec())).sum::<f64>() / y.ncols() as f64;
    if usual > 0.0 { weighted(&|i| usual / (usual + errors[i])) } else { weighted(&|_| 1.0) }
}

/// Square of 1.4826 times the median absolute deviation.
fn squared_deviation(values: &[f64]) -> f64 {
    let middle = median(values.to_vec());
    (1.4826 * median(values.iter().map(|v| (v - middle).abs()).collect())).powi(2)
}

/// The middle value, the upper of two. Of nothing: 0.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}
