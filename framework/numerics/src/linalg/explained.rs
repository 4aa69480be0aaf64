//! What observed feature rows leave unexplained: posterior covariance in weight space.

use super::dense::matmul_t;
use super::factors::Cholesky;
use crate::error::{Error, Result};
use ndarray::{Array1, Array2, ArrayView1, ArrayView2};

/// The posterior of a linear model with prior weights N(0, I) and noise variance `noise` after some rows:
/// k_S(x, y) = xᵀ M y with M = I - GᵀG, where G holds one direction a row. With `noise = 0` the directions
/// are orthonormal, and a row within their span adds none.
#[derive(Clone, Debug)]
pub struct Explained {
    g: Array2<f64>,
    noise: f64,
}

impl Explained {
    /// Nothing observed: M = I. Rows have `d` features.
    pub fn new(d: usize, noise: f64) -> Self {
        Self { g: Array2::zeros((0, d)), noise }
    }

    /// Directions so far: G (s x d).
    pub fn directions(&self) -> ArrayView2<'_, f64> {
        self.g.view()
    }

    /// Noise variance.
    pub fn noise(&self) -> f64 {
        self.noise
    }

    /// `M x`. O(sd).
    pub fn rest(&self, x: ArrayView1<f64>) -> Array1<f64> {
        let mut v = self.without(x.to_owned());
        if self.noise == 0.0 && !self.g.is_empty() {
            // A projection: taken twice, it is exact to rounding of what is left.
            v = self.without(v);
        }
        v
    }

    fn without(&self, mut v: Array1<f64>) -> Array1<f64> {
        if !self.g.is_empty() {
            let along = self.g.dot(&v);
            for (a, g) in along.iter().zip(self.g.outer_iter()) {
                v.scaled_add(-a, &g);
            }
        }
        v
    }

    /// Observes a row given `v = M x` and `variance` = xᵀ M x + noise, which must be positive.
    pub fn observe(&mut self, mut v: Array1<f64>, variance: f64) -> Result<()> {
        v /= variance.sqrt();
        self.g.push_row(v.view()).map_err(|e| Error::Breakdown(e.to_string()))
    }

    /// Observes rows (m x d) one after another. Without noise, rows that keep at most `zero` of variance are
    /// passed over. O(m²d).
    pub fn observe_all(&mut self, rows: ArrayView2<f64>, zero: f64) -> Result<()> {
        if self.noise > 0.0 && self.g.is_empty() {
            let mut k = matmul_t(rows, rows);
            k.diag_mut().iter_mut().for_each(|v| *v += self.noise);
            let c = Cholesky::new(k.view())?;
            if c.jitter == 0.0 {
                self.g = c.half_solve(rows);
                return Ok(());
            }
        }
        for x in rows.outer_iter() {
            let v = self.rest(x);
            let variance = if self.noise == 0.0 { v.dot(&v) } else { x.dot(&v).max(0.0) + self.noise };
            if variance > zero || self.noise > 0.0 {
                self.observe(v, variance)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn the_posterior_is_that_of_the_textbook() {
        let x = array![[1.0, 0.5, -0.2], [0.3, -1.0, 0.7]];
        let star = array![0.4, 0.1, 2.0];
        for noise in [0.0, 0.3] {
            let mut k = x.dot(&x.t());
            k.diag_mut().iter_mut().for_each(|v| *v += noise);
            let a = Cholesky::new(k.view()).unwrap();
            let cross = x.dot(&star).insert_axis(ndarray::Axis(1));
            let want = star.dot(&star) - cross.column(0).dot(&a.solve(cross.view()).column(0));
            let mut all = Explained::new(3, noise);
            all.observe_all(x.view(), 1e-12).unwrap();
            let mut one = Explained::new(3, noise);
            for row in x.outer_iter() {
                let v = one.rest(row);
                let variance = row.dot(&v) + noise;
                one.observe(v, variance).unwrap();
            }
            for e in [all, one] {
                assert!((star.dot(&e.rest(star.view())) - want).abs() < 1e-12, "noise {noise}");
            }
        }
    }

    #[test]
    fn without_noise_a_repeated_row_adds_nothing() {
        let x = array![[1.0, 2.0], [2.0, 4.0], [0.0, 1.0], [5.0, 5.0]];
        let mut e = Explained::new(2, 0.0);
        e.observe_all(x.view(), 1e-12).unwrap();
        assert_eq!(e.directions().nrows(), 2);
    }
}
