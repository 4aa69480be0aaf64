//! Gaussian conditioning on one perturbation after another.

use rayon::prelude::*;

/// Variances of some positions as measurements of some of them come in: pivoted Cholesky, one column of prior
/// covariances a measurement. O(n s) a measurement after s others, and n s numbers.
#[derive(Clone, Debug)]
pub struct Conditioned {
    variance: Vec<f64>,
    directions: Vec<Vec<f64>>,
}

impl Conditioned {
    /// Before any measurement.
    pub fn new(variance: Vec<f64>) -> Self {
        Self { variance, directions: vec![] }
    }

    /// Variances given the measurements so far.
    pub fn variance(&self) -> &[f64] {
        &self.variance
    }

    /// Takes a measurement at position `i` with the given noise variance into account; `prior` are the covariances of
    /// `i` with all positions before any measurement. Gives those left just before this one divided by the root of
    /// the measurement's variance, and that root: the gain of a residual ρ is direction ρ / root. Nothing where there
    /// was nothing left to learn.
    pub fn observe(&mut self, i: usize, mut prior: Vec<f64>, noise: f64) -> Option<(&[f64], f64)> {
        const TILE: usize = 4096;
        let total = self.variance[i] + noise;
        if total.is_nan() || total <= 0.0 {
            return None;
        }
        let (root, directions) = (total.sqrt(), &self.directions);
        prior.par_chunks_mut(TILE).zip(self.variance.par_chunks_mut(TILE)).enumerate().for_each(|(t, (c, v))| {
            for d in directions {
                let (at, d) = (d[i], &d[t * TILE..t * TILE + c.len()]);
                c.iter_mut().zip(d).for_each(|(c, d)| *c -= at * d);
            }
            c.iter_mut().for_each(|c| *c /= root);
            v.iter_mut().zip(c).for_each(|(v, c)| *v = (*v - *c * *c).max(0.0));
        });
        self.directions.push(prior);
        self.directions.last().map(|d| (d.as_slice(), root))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::Cholesky;
    use ndarray::{Array2, Axis};

    #[test]
    fn one_after_another_is_all_at_once() {
        let x = Array2::from_shape_fn((9, 12), |(i, j)| ((i * 31 + j * 17 + i * j * j) % 23) as f64 / 7.0 - 1.5);
        let k = x.dot(&x.t());
        for noise in [0.0, 0.7] {
            let mut c = Conditioned::new(k.diag().to_vec());
            let picks = [4, 1, 7];
            for i in picks {
                assert!(c.observe(i, k.row(i).to_vec(), noise).is_some());
            }
            let (own, cross) = (k.select(Axis(0), &picks).select(Axis(1), &picks), k.select(Axis(0), &picks));
            let factor = Cholesky::new((own + Array2::<f64>::eye(3) * noise).view()).unwrap();
            for (i, q) in factor.quadratic(cross.view()).iter().enumerate() {
                assert!((c.variance()[i] - (k[(i, i)] - q)).abs() < 1e-9, "{i}");
            }
        }
        let mut c = Conditioned::new(vec![0.0, 1.0]);
        assert!(c.observe(0, vec![0.0, 0.0], 0.0).is_none());
    }
}
