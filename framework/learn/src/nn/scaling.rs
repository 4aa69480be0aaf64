//! Features and readouts as a network sees them, and back.

use ndarray::{Array1, Array2, Axis};
use numerics::gram::MakeRows;
use numerics::{Error, Result};
use serde::{Deserialize, Serialize};

/// How outputs are scaled for training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputScale {
    /// Centred, and divided by one number, so that the loss weighs outputs as the readout does.
    #[default]
    Together,
    /// Centred, and each divided by its own sd, for outputs in different units.
    Each,
    /// As they are.
    Raw,
}

/// Shift and scale of each feature and each output, taken from the measured rows.
#[derive(Clone, Debug)]
pub struct Scaling {
    /// Who asks, for messages.
    pub(crate) model: &'static str,
    /// Of each feature.
    pub x_mean: Array1<f64>,
    /// Of each feature, positive.
    pub x_sd: Array1<f64>,
    /// Of each output.
    pub y_mean: Array1<f64>,
    /// Of each output; 0 where none varies among the measured (one by itself where each has its own), so that the
    /// constant is predicted.
    pub y_sd: Array1<f64>,
}

impl Scaling {
    /// Features to mean 0 and standard deviation 1 over the measured rows, all of whose features must be numbers.
    pub fn new(
        model: &'static str,
        inputs: &dyn MakeRows,
        ids: &[usize],
        y: &Array2<f64>,
        outputs: OutputScale,
    ) -> Result<Self> {
        let x = finite_rows(model, inputs, ids)?;
        let n = x.nrows() as f64;
        let mean_sd = |x: &Array2<f64>| {
            let mean = x.sum_axis(Axis(0)) / n;
            let squares = (x - &mean).mapv(|v| v * v).sum_axis(Axis(0));
            (mean, squares.mapv(|s| (s / (n - 1.0).max(1.0)).sqrt()))
        };
        let (x_mean, mut x_sd) = mean_sd(&x);
        // What does not vary among the measured, rounding aside, keeps its unit: elsewhere it may tell.
        x_sd.zip_mut_with(&x_mean, |s, m| *s = if *s > 1e-9 * m.abs() { *s } else { 1.0 });
        let (mut y_mean, mut y_sd) = mean_sd(y);
        if outputs == OutputScale::Together {
            let all = (y_sd.dot(&y_sd) / y_sd.len() as f64).sqrt();
            y_sd.fill(all);
        }
        y_sd.zip_mut_with(&y_mean, |s, m| *s = if *s > 1e-9 * m.abs() { *s } else { 0.0 });
        if outputs == OutputScale::Raw {
            for (m, s) in y_mean.iter_mut().zip(&mut y_sd).filter(|(_, s)| **s > 0.0) {
                (*m, *s) = (0.0, 1.0);
            }
        }
        Ok(Self { model, x_mean, x_sd, y_mean, y_sd })
    }

    /// Leaves features as they are.
    pub fn keep_features(&mut self) {
        self.x_mean.fill(0.0);
        self.x_sd.fill(1.0);
    }

    /// Scaled features: ids x features.
    pub fn rows(&self, inputs: &dyn MakeRows, ids: &[usize]) -> Result<Array2<f64>> {
        Ok((finite_rows(self.model, inputs, ids)? - &self.x_mean) / &self.x_sd)
    }

    /// Readouts as targets; 0 where they do not vary.
    pub fn targets(&self, y: &Array2<f64>) -> Array2<f64> {
        (y - &self.y_mean) * self.y_sd.mapv(|s| if s > 0.0 { 1.0 / s } else { 0.0 })
    }
}

/// Features of `ids`, every one of them a number.
fn finite_rows(model: &str, inputs: &dyn MakeRows, ids: &[usize]) -> Result<Array2<f64>> {
    let x = inputs.get(ids);
    match x.indexed_iter().find(|(_, v)| !v.is_finite()) {
        None => Ok(x),
        Some(((r, c), v)) => Err(Error::Input(format!(
            "model {model}: feature {c} of perturbation `{}` is {v}; features must be finite, so correct the prior's \
             table",
            inputs.label(ids[r])
        ))),
    }
}

/// Columns less their mean, divided by their sd (over n); a column that varies by no more than rounding becomes 0.
pub fn standardised(x: &Array2<f64>) -> Array2<f64> {
    let n = x.nrows().max(1) as f64;
    let mean = x.sum_axis(Axis(0)) / n;
    let mut scaled = x - &mean;
    for (mut column, raw) in scaled.columns_mut().into_iter().zip(x.columns()) {
        let (sd, most) = ((column.dot(&column) / n).sqrt(), raw.iter().fold(0.0f64, |m, v| m.max(v.abs())));
        let factor = if sd > 1e-12 * most { 1.0 / sd } else { 0.0 };
        column.mapv_inplace(|v| v * factor);
    }
    scaled
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn columns_have_mean_zero_and_unit_variance_or_nothing() {
        let x = array![[1.0, 0.1, 0.0, 1e-30], [3.0, 0.1, 0.0, -1e-30], [8.0, 0.1, 0.0, 0.0]];
        let s = standardised(&x);
        let sd = (26.0f64 / 3.0).sqrt();
        for (got, want) in s.column(0).iter().zip([-3.0 / sd, -1.0 / sd, 4.0 / sd]) {
            assert!((got - want).abs() < 1e-14, "{s}");
        }
        // Three times 0.1 is not three tenths: what is left of a constant is rounding, and no signal.
        assert!(s.column(1).iter().chain(s.column(2)).all(|v| *v == 0.0), "{s}");
        assert!((s[(0, 3)] - 1.5f64.sqrt()).abs() < 1e-14, "{s}");
        assert_eq!(standardised(&Array2::zeros((0, 2))).dim(), (0, 2));
    }
}
