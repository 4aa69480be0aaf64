//! One side of the matrix under q.

use super::settings::{Init, MatrixSettings};
use numerics::streams::StreamRng;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

/// Numbers after the end of a factor that wide loads of its last rows may touch; the largest width.
pub(super) const SLACK: usize = 64;

/// Independent normals: rows x m, one row after another.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Factor {
    pub(super) n: usize,
    pub(super) m: usize,
    pub(super) mu: Vec<f64>,
    pub(super) var: Vec<f64>,
}

impl Factor {
    /// All N(0, 1).
    pub(super) fn prior(n: usize, m: usize) -> Self {
        Self { n, m, mu: vec![0.0; n * m + SLACK], var: vec![1.0; n * m + SLACK] }
    }

    pub(super) fn cold(n: usize, m: usize, s: &MatrixSettings, rng: &mut StreamRng) -> Self {
        let small = if s.form.one_sided() { 0.5 } else { 0.1 };
        let mut f = Self::prior(n, m);
        for v in &mut f.mu[..n * m] {
            *v = match s.init {
                Init::Small => {
                    let z: f64 = StandardNormal.sample(rng);
                    small * z
                }
                Init::Uniform => rng.random_range(-2.0..2.0),
            };
        }
        f.var[..n * m].fill(0.01);
        f
    }

    pub(super) fn rows(&self, rows: &[usize]) -> Self {
        let mut f = Self::prior(rows.len(), self.m);
        for (i, &r) in rows.iter().enumerate() {
            let (to, from) = (i * self.m..(i + 1) * self.m, r * self.m..(r + 1) * self.m);
            f.mu[to.clone()].copy_from_slice(&self.mu[from.clone()]);
            f.var[to].copy_from_slice(&self.var[from]);
        }
        f
    }

    pub(super) fn put(&mut self, rows: &[usize], part: &Factor) {
        for (i, &r) in rows.iter().enumerate() {
            let (from, to) = (i * self.m..(i + 1) * self.m, r * self.m..(r + 1) * self.m);
            self.mu[to.clone()].copy_from_slice(&part.mu[from.clone()]);
            self.var[to].copy_from_slice(&part.var[from]);
        }
    }

    /// Mean and variance of an entry.
    #[inline]
    pub(super) fn at(&self, i: usize, k: usize) -> (f64, f64) {
        (self.mu[i * self.m + k], self.var[i * self.m + k])
    }

    /// What q costs against the prior.
    pub(super) fn divergence(&self) -> f64 {
        let pairs = self.mu[..self.n * self.m].iter().zip(&self.var);
        pairs.map(|(m, v)| 0.5 * (m * m + v - 1.0 - v.ln())).sum()
    }

    /// Row `i` becomes the elementwise product of row `a` of `x` and row `b` of `y`.
    #[inline]
    pub(super) fn product_row(&mut self, i: usize, x: &Factor, a: usize, y: &Factor, b: usize) {
        for k in 0..self.m {
            let ((xm, xv), (ym, yv)) = (x.at(a, k), y.at(b, k));
            let mean = xm * ym;
            self.mu[i * self.m + k] = mean;
            self.var[i * self.m + k] = (xm * xm + xv) * (ym * ym + yv) - mean * mean;
        }
    }
}
