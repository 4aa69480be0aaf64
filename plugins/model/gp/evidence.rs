//! Marginal likelihood of noise and scale for one matrix, where no error is known beforehand.

use super::contrasts::Contrasts;
use super::priors::Priors;
use argmin::core::Executor;
use argmin::solver::brent::BrentOpt;
use framework::numerics::minimise::Cost;
use framework::numerics::{Band, eigh, matmul, symmetric_product};
use framework::prelude::*;

/// Hyper-parameters and how likely they make the data.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hyper {
    /// σ²/s².
    pub(super) ratio: f64,
    /// s².
    pub(super) scale2: f64,
    pub(super) log_marginal: f64,
}

/// What the marginal likelihood of the contrasts needs of the data.
pub(super) struct Evidence {
    reduced: Reduced,
    /// Contrasts: rows less one.
    n: f64,
    outputs: f64,
    /// Sum of squares of the contrasts.
    total: f64,
    /// Contrasts less features where the matrix is that of the features, else nothing.
    missing: Option<f64>,
    /// Mean variance about the mean of a function of scale 1.
    unit: f64,
    priors: Priors,
}

/// The matrix in a form in which adding to the diagonal is cheap.
enum Reduced {
    Band(Band),
    /// Eigenvalues, and squared sums of the right-hand sides along the eigenvectors.
    Eigen(Array1<f64>, Array1<f64>),
}

/// Above this many outputs an eigendecomposition, after which their number does not matter, is cheaper.
const FEW_OUTPUTS: usize = 32;

impl Evidence {
    /// Of at least two measurements, by the matrix of the kernel or by its features (rows x features).
    pub(super) fn new(kernel: Side, y: &Array2<f64>, priors: Priors) -> Result<Self> {
        let contrasts = Contrasts::new(y.nrows());
        let (matrix, rhs, missing, trace) = match kernel {
            Side::Function(k) => {
                let k = contrasts.of_matrix(k);
                let trace = k.diag().sum();
                (k, contrasts.of_rows(y), None, trace)
            }
            Side::Features(x) => {
                let x = contrasts.of_rows(x);
                let m = symmetric_product(x.view());
                let (missing, trace) = (x.nrows() as f64 - x.ncols() as f64, m.diag().sum());
                let rhs = matmul(x.t(), contrasts.of_rows(y).view());
                (m, rhs, Some(missing), trace)
            }
        };
        let reduced = if y.ncols() <= FEW_OUTPUTS {
            Reduced::Band(Band::new(matrix.view(), rhs.view()))
        } else {
            let (values, vectors) = eigh(matrix.view())?;
            let along = matmul(vectors.t(), rhs.view());
            Reduced::Eigen(values, along.mapv(|v| v * v).sum_axis(Axis(1)))
        };
        let n = y.nrows() as f64 - 1.0;
        let total = contrasts.of_rows(y).iter().map(|v| v * v).sum();
        // A kernel that is the same everywhere has no signal; 1 then stands for the unit of its ratios.
        let unit = if trace > 1e-12 * n { trace / n } else { 1.0 };
        Ok(Self { reduced, n, outputs: y.ncols() as f64, total, missing, unit, priors })
    }

    /// log|K + rI| and tr Yᵀ(K + rI)⁻¹Y.
    fn log_det_and_quadratic(&self, r: f64) -> Option<(f64, f64)> {
        let (log_det, quadratic) = match &self.reduced {
            Reduced::Band(band) => band.log_det_and_quadratic(r)?,
            Reduced::Eigen(values, squares) => {
                if values.iter().any(|v| v + r <= 0.0) {
                    return None;
                }
                let log_det = values.iter().map(|v| (v + r).ln()).sum();
                (log_det, values.iter().zip(squares).map(|(v, s)| s / (v + r)).sum())
            }
        };
        Some(match self.missing {
            None => (log_det, quadratic),
            // |ΦΦᵀ + rI| = |ΦᵀΦ + rI| r^(n-d), and the inverse by Woodbury's identity.
            Some(m) => (log_det + m * r.ln(), ((self.total - quadratic) / r).max(0.0)),
        })
    }

    /// The likelihood at a ratio and the cost to minimise, with the scale given, implied by a given noise, or at its best.
    fn at(&self, ratio: f64, noise: Option<f64>, scale: Option<f64>) -> Option<(Hyper, f64)> {
        let (log_det, quadratic) = self.log_det_and_quadratic(ratio)?;
        let cells = self.n * self.outputs;
        let log_scale2 = match (scale, noise) {
            (Some(s), _) => 2.0 * s.ln(),
            (None, Some(noise)) if noise > 0.0 => 2.0 * noise.ln() - ratio.ln(),
            _ => self.best_scale(ratio, quadratic, cells, noise.is_none()),
        };
        let scale2 = log_scale2.exp();
        let log_marginal =
            -0.5 * (quadratic / scale2 + self.outputs * log_det + cells * (log_scale2 + std::f64::consts::TAU.ln()));
        let of_signal = if scale.is_none() { self.priors.cost(log_scale2 + self.unit.ln()).0 } else { 0.0 };
        let of_noise = if noise.is_none() { self.priors.cost(log_scale2 + ratio.ln()).0 } else { 0.0 };
        let cost = of_signal + of_noise - log_marginal;
        cost.is_finite().then_some((Hyper { ratio, scale2, log_marginal }, cost))
    }

    /// log s² of least cost at a ratio: the bottom of a convex function, by Newton's method.
    fn best_scale(&self, ratio: f64, quadratic: f64, cells: f64, noise_is_free: bool) -> f64 {
        let mut u = (quadratic / cells).max(1e-300).ln();
        for _ in 0..100 {
            let misfit = 0.5 * quadratic * (-u).exp();
            let (mut slope, mut curvature) = (0.5 * cells - misfit, misfit);
            let free = [Some(self.unit.ln()), noise_is_free.then(|| ratio.ln())];
            for shift in free.into_iter().flatten() {
                slope += self.priors.cost(u + shift).1;
                curvature += Priors::curvature();
            }
            let step = slope / curvature;
            u -= step.clamp(-2.0, 2.0);
            if step.abs() < 1e-12 {
                break;
            }
        }
        u
    }

    pub(super) fn maximise(&self, noise: Option<f64>, scale: Option<f64>) -> Result<Hyper> {
        match (noise, scale) {
            (Some(noise), Some(scale)) => {
                let ratio = (noise / scale).powi(2);
                // A singular kernel without noise has no likelihood; the factorisation adds what it needs.
                let unknown = Hyper { ratio, scale2: scale * scale, log_marginal: f64::NEG_INFINITY };
                return Ok(self.at(ratio, Some(noise), Some(scale)).map_or(unknown, |(h, _)| h));
            }
            (Some(0.0), None) => {
                return self.at(0.0, noise, scale).map(|(h, _)| h).ok_or_else(|| {
                    Error::Numerical(
                        "gp: without noise the kernel matrix is singular (perturbations with equal features, or \
                         replicates); leave `noise` out or set it above 0"
                            .into(),
                    )
                });
            }
            _ => {}
        }
        // One free number, log r. A coarse look over twelve decades finds the basin, Brent its bottom.
        const FAILED: f64 = 1e100;
        let cost = |t: f64| self.at(t.exp(), noise, scale).map_or(FAILED, |(_, cost)| cost);
        let decade = std::f64::consts::LN_10;
        let at = |i: usize| self.unit.ln() + decade * (i as f64 - 8.0);
        let costs: Vec<f64> = (0..=12).map(|i| cost(at(i))).collect();
        let best = (0..costs.len()).min_by(|&a, &b| costs[a].total_cmp(&costs[b])).unwrap_or(0);
        let solver = BrentOpt::new(at(best) - decade, at(best) + decade).set_tolerance(1e-8, 1e-4);
        let text = |e: argmin::core::Error| Error::Numerical(format!("gp: the search for noise and scale failed: {e}"));
        let found = Executor::new(Cost(&cost), solver).configure(|s| s.max_iters(60)).run().map_err(text)?;
        let t = found.state.best_param.unwrap_or(at(best));
        self.at(t.exp(), noise, scale).map(|(h, _)| h).ok_or_else(|| {
            Error::Numerical(
                "gp: the marginal likelihood is not finite at any noise; check the readouts and the kernel".into(),
            )
        })
    }
}

/// A kernel at the measurements: its matrix, or its features.
#[derive(Clone, Copy)]
pub(super) enum Side<'a> {
    Function(&'a Array2<f64>),
    Features(&'a Array2<f64>),
}
