//! The model that chooses what later rounds measure.

use crate::domain::Target;
use ndarray::{Array1, Array2};
use numerics::Cholesky;
use numerics::stats::{mean, sd};

/// Bayesian linear regression with known variances: weights of mean 0 and variance r² s² / d, residuals of (1 - r²) s² and
/// the error of the measurement, s² the variance of the effects.
pub(super) struct Learner<'a> {
    x: &'a Array2<f64>,
    precision: Array2<f64>,
    moment: Array1<f64>,
    values: Vec<f64>,
    seen: Vec<usize>,
    r2: f64,
    se: f64,
}

impl<'a> Learner<'a> {
    /// A learner that has seen nothing. `x`: perturbations x features; `se`: standard error of a measured effect.
    pub fn new(x: &'a Array2<f64>, r2: f64, se: f64) -> Self {
        let d = x.ncols();
        Self { x, precision: Array2::zeros((d, d)), moment: Array1::zeros(d), values: vec![], seen: vec![], r2, se }
    }

    /// Takes in a measured perturbation.
    pub fn see(&mut self, i: usize, value: f64) {
        let row = self.x.row(i);
        for a in 0..row.len() {
            for b in 0..=a {
                self.precision[[a, b]] += row[a] * row[b];
            }
        }
        self.values.push(value);
        self.seen.push(i);
    }

    /// The unmeasured perturbations of highest expected merit, of equal ones the lower index.
    pub fn choose(&mut self, taken: &[bool], batch: usize, target: &Target) -> Vec<usize> {
        let (centre, total) = (mean(&self.values), sd(&self.values).powi(2));
        // What of the spread is not measurement error; a tenth of it at the least.
        let variance = (total - self.se * self.se).max(0.1 * total).max(f64::MIN_POSITIVE);
        let d = self.x.ncols();
        let penalty = d as f64 * ((1.0 - self.r2) * variance + self.se * self.se) / (self.r2 * variance);
        self.moment.fill(0.0);
        for (&i, v) in self.seen.iter().zip(&self.values) {
            self.moment.scaled_add(v - centre, &self.x.row(i));
        }
        let mut a = self.precision.clone();
        for i in 0..d {
            a[[i, i]] += penalty;
            for j in 0..i {
                a[[j, i]] = a[[i, j]];
            }
        }
        let weights = match Cholesky::new(a.view()) {
            Ok(c) => c.solve(self.moment.view().insert_axis(ndarray::Axis(1))).column(0).to_owned(),
            // Above the penalty the matrix is positive definite; without weights all are expected to be alike.
            Err(_) => Array1::zeros(d),
        };
        let mut merit: Vec<(f64, usize)> = (0..taken.len())
            .filter(|&i| !taken[i])
            .map(|i| (target.merit(&[centre + self.x.row(i).dot(&weights)]), i))
            .collect();
        let by_merit = |a: &(f64, usize), b: &(f64, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if batch < merit.len() {
            merit.select_nth_unstable_by(batch, by_merit);
            merit.truncate(batch);
        }
        merit.sort_unstable_by(by_merit);
        merit.into_iter().map(|m| m.1).collect()
    }
}
