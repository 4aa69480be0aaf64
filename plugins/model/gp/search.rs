//! Marginal likelihood with its gradient: for measurements with known errors, and for a length scale for each prior.
//!
//! An output has the covariance A = s²K + σ²I + E, E diagonal with the squared known errors, and a mean with a flat prior,
//! P = A⁻¹ - A⁻¹11ᵀA⁻¹/1ᵀA⁻¹1. The log likelihood of the contrasts is
//! -½ (tr YᵀPY + L(log|A| + log 1ᵀA⁻¹1 - log n) + (n-1)L log 2π), its derivative
//! ½ tr (PYYᵀP - L P) ∂A (Rasmussen & Williams 2006, eq. 5.9 and section 2.7). O(n³) a point.

use super::priors::Priors;
use framework::numerics::{eigh, exp_slice, lbfgs, matmul, matmul_t};
use framework::prelude::*;

/// How the kernel of the measurements follows from its parameters.
pub(super) enum Form {
    /// Not at all: its matrix.
    Fixed(Array2<f64>),
    /// exp(-½ Σ d²/ℓ²) over priors: squared distances, and the usual length of each.
    Lengths(Vec<(Array2<f64>, f64)>),
}

/// A point of the search.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Point {
    /// s².
    pub(super) scale2: f64,
    /// σ².
    pub(super) noise2: f64,
    /// A length for each prior.
    pub(super) lengths: Vec<f64>,
    pub(super) log_marginal: f64,
}

/// What is given and not searched for.
#[derive(Clone, Copy, Default)]
pub(super) struct Given {
    pub(super) noise: Option<f64>,
    pub(super) scale: Option<f64>,
}

pub(super) struct Search {
    form: Form,
    /// Rows x outputs; where outputs outnumber rows, as many columns as rows with the same YYᵀ.
    y: Array2<f64>,
    outputs: f64,
    /// Squared known errors.
    errors: Vec<f64>,
    /// How much each measurement counts in the variance of the signal: less where its error is large.
    weights: Array1<f64>,
    priors: Priors,
    given: Given,
}

/// Standard deviation of the logarithm of a length over the usual one.
const SPREAD: f64 = 1.0;
/// Steps of a search.
const STEPS: usize = 40;

impl Search {
    /// Of at least two measurements, centred.
    pub(super) fn new(form: Form, y: Array2<f64>, errors: Vec<f64>, priors: Priors, given: Given) -> Result<Self> {
        let outputs = y.ncols() as f64;
        let y = if y.ncols() <= y.nrows() {
            y
        } else {
            let (values, vectors) = eigh(matmul_t(y.view(), y.view()).view())?;
            vectors * &values.mapv(|v| v.max(0.0).sqrt())
        };
        let usual = 2.0 * priors.half();
        let weights = errors.iter().map(|e| usual / (usual + e)).collect();
        Ok(Self { form, y, outputs, errors, weights, priors, given })
    }

    fn n_lengths(&self) -> usize {
        match &self.form {
            Form::Fixed(_) => 0,
            Form::Lengths(of) => of.len(),
        }
    }

    /// Parameters of a start: log of the lengths over the usual, of the scale and of the noise.
    fn start(&self, length: f64, share: f64) -> Vec<f64> {
        let mut start = vec![length.ln(); self.n_lengths()];
        let (k, _) = self.kernel(&start);
        let variance = 2.0 * self.priors.half();
        start.push((share * variance).ln() - self.spread(&k).max(1e-12).ln());
        start.push(((1.0 - share) * variance).ln());
        start
    }

    /// The matrix, and for each prior Σ d²/ℓ².
    fn kernel(&self, parameters: &[f64]) -> (Array2<f64>, Vec<Array2<f64>>) {
        match &self.form {
            Form::Fixed(k) => (k.clone(), vec![]),
            Form::Lengths(of) => {
                let scaled: Vec<Array2<f64>> =
                    of.iter().zip(parameters).map(|((d2, usual), p)| d2 * (-2.0 * p).exp() / (usual * usual)).collect();
                let mut k = Array2::zeros(self.k_dim());
                scaled.iter().for_each(|d2| k.scaled_add(-0.5, d2));
                if let Some(k) = k.as_slice_mut() {
                    exp_slice(k);
                }
                (k, scaled)
            }
        }
    }

    /// Mean variance about its mean of a function with this covariance: tr QᵀKQ / (n - 1) with equal weights.
    fn spread(&self, k: &Array2<f64>) -> f64 {
        let w = &self.weights / self.weights.sum();
        (k.diag().dot(&w) - k.dot(&w).dot(&w)) / (1.0 - w.dot(&w)).max(f64::MIN_POSITIVE)
    }

    fn k_dim(&self) -> (usize, usize) {
        (self.y.nrows(), self.y.nrows())
    }

    /// Scale and noise as variances, the given ones in place of those searched for.
    fn variances(&self, parameters: &[f64]) -> (f64, f64) {
        let at = self.n_lengths();
        let of = |given: Option<f64>, log: f64| given.map_or(log.exp(), |v| v * v);
        (of(self.given.scale, parameters[at]), of(self.given.noise, parameters[at + 1]))
    }

    /// Minus the log posterior density of the parameters and its gradient, and the log likelihood.
    fn cost(&self, parameters: &[f64], gradient: &mut [f64]) -> Option<(f64, f64)> {
        let (n, l) = (self.y.nrows(), self.outputs);
        let lengths = self.n_lengths();
        let (scale2, noise2) = self.variances(parameters);
        let (k, scaled) = self.kernel(parameters);
        let mut a = &k * scale2;
        a.diag_mut().iter_mut().zip(&self.errors).for_each(|(v, e)| *v += noise2 + e);
        if a.iter().any(|v| !v.is_finite()) {
            return None;
        }
        let factor = Cholesky::new(a.view()).ok().filter(|f| f.jitter == 0.0)?;
        let mut p = factor.solve(Array2::eye(n).view());
        let u = p.sum_axis(Axis(1));
        let of_mean = u.sum();
        let u = u.insert_axis(Axis(1));
        p.scaled_add(-1.0 / of_mean, &matmul_t(u.view(), u.view()));
        let alpha = matmul(p.view(), self.y.view());
        let quadratic: f64 = self.y.iter().zip(&alpha).map(|(y, a)| y * a).sum();
        let contrasts = n as f64 - 1.0;
        let log_marginal = -0.5
            * (quadratic
                + l * (factor.log_det() + of_mean.ln() - (n as f64).ln() + contrasts * std::f64::consts::TAU.ln()));
        // Half of tr(P Y Yᵀ P - L P) ∂A.
        let g = matmul_t(alpha.view(), alpha.view()) - &p * l;
        let along = |m: &Array2<f64>| 0.5 * g.iter().zip(m).map(|(g, m)| g * m).sum::<f64>();
        let mut cost = -log_marginal;
        gradient.fill(0.0);
        let mut of_signal = 0.0;
        if self.given.scale.is_none() {
            let (c, slope) = self.priors.cost(scale2.ln() + self.spread(&k).max(1e-300).ln());
            (cost, of_signal) = (cost + c, slope);
            gradient[lengths] = slope - scale2 * along(&k);
        }
        if self.given.noise.is_none() {
            let (c, slope) = self.priors.cost(noise2.ln());
            cost += c;
            gradient[lengths + 1] = slope - 0.5 * noise2 * g.diag().sum();
        }
        for (b, d2) in scaled.iter().enumerate() {
            let change = &k * d2;
            let z = parameters[b] / SPREAD;
            cost += 0.5 * z * z;
            gradient[b] =
                z / SPREAD - scale2 * along(&change) + of_signal * self.spread(&change) / self.spread(&k).max(1e-300);
        }
        (cost.is_finite() && gradient.iter().all(|v| v.is_finite())).then_some((cost, log_marginal))
    }

    /// The best point from several starts. Nothing where no start has a likelihood.
    pub(super) fn best(&self) -> Option<Point> {
        let starts: &[(f64, f64)] = match &self.form {
            Form::Fixed(_) => &[(1.0, 0.5), (1.0, 0.05)],
            Form::Lengths(_) => &[(0.4, 0.5), (1.0, 0.5), (3.0, 0.2)],
        };
        let found = starts.iter().filter_map(|&(length, share)| self.from(&self.start(length, share)));
        found.reduce(|a, b| if b.1 < a.1 { b } else { a }).and_then(|(p, _)| self.point(&p))
    }

    /// The best point near one that another search found.
    pub(super) fn refine(&self, near: &Point) -> Option<Point> {
        let mut start: Vec<f64> = match &self.form {
            Form::Fixed(_) => vec![],
            Form::Lengths(of) => near.lengths.iter().zip(of).map(|(l, (_, usual))| (l / usual).ln()).collect(),
        };
        start.extend([near.scale2.max(1e-300).ln(), near.noise2.max(1e-300).ln()]);
        self.from(&start).and_then(|(p, _)| self.point(&p))
    }

    fn from(&self, start: &[f64]) -> Option<(Vec<f64>, f64)> {
        lbfgs(|p, g| self.cost(p, g).map_or(f64::INFINITY, |c| c.0), start, 1e-5, STEPS)
    }

    fn point(&self, parameters: &[f64]) -> Option<Point> {
        let (_, log_marginal) = self.cost(parameters, &mut vec![0.0; parameters.len()])?;
        let (scale2, noise2) = self.variances(parameters);
        let lengths = match &self.form {
            Form::Fixed(_) => vec![],
            Form::Lengths(of) => of.iter().zip(parameters).map(|((_, usual), p)| usual * p.exp()).collect(),
        };
        Some(Point { scale2, noise2, lengths, log_marginal })
    }

    /// Cost at a point, for tests.
    #[cfg(test)]
    pub(super) fn cost_at(&self, parameters: &[f64], gradient: &mut [f64]) -> (f64, f64) {
        self.cost(parameters, gradient).unwrap()
    }
}
