//! Marginal likelihood: noise and scale at which the measurements are likeliest.

use argmin::core::Executor;
use argmin::solver::brent::BrentOpt;
use framework::numerics::minimise::Cost;
use framework::numerics::{Band, eigh, matmul};
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

/// What the marginal likelihood needs of the data.
pub(super) struct Evidence {
    reduced: Reduced,
    n: f64,
    outputs: f64,
    /// Sum of squares of the centred outputs.
    total: f64,
    /// All rows alike: nothing to learn from.
    pub(super) constant: bool,
    /// Rows less features where the matrix is that of the features, else nothing.
    missing: Option<f64>,
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
    pub(super) fn new(matrix: &Array2<f64>, rhs: &Array2<f64>, y: &Array2<f64>, by_features: bool) -> Result<Self> {
        let reduced = if y.ncols() <= FEW_OUTPUTS {
            Reduced::Band(Band::new(matrix.view(), rhs.view()))
        } else {
            let (values, vectors) = eigh(matrix.view())?;
            let along = matmul(vectors.t(), rhs.view());
            Reduced::Eigen(values, along.mapv(|v| v * v).sum_axis(Axis(1)))
        };
        let (n, outputs) = (y.nrows() as f64, y.ncols() as f64);
        Ok(Self {
            reduced,
            n,
            outputs,
            total: y.iter().map(|v| v * v).sum(),
            constant: false,
            missing: by_features.then(|| n - matrix.nrows() as f64),
        })
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

    /// The likelihood at a ratio, with the scale given, implied by a given noise, or at its best.
    fn at(&self, ratio: f64, noise: Option<f64>, scale: Option<f64>) -> Option<Hyper> {
        let (log_det, quadratic) = self.log_det_and_quadratic(ratio)?;
        let cells = self.n * self.outputs;
        let scale2 = match (scale, noise) {
            (Some(s), _) => s * s,
            (None, Some(noise)) if noise > 0.0 => noise * noise / ratio,
            _ => quadratic / cells,
        };
        let half = |v: f64| 0.5 * v;
        let log_marginal = -half(quadratic / scale2)
            - half(self.outputs * log_det)
            - half(cells * (scale2.ln() + std::f64::consts::TAU.ln()));
        log_marginal.is_finite().then_some(Hyper { ratio, scale2, log_marginal })
    }

    pub(super) fn maximise(&self, noise: Option<f64>, scale: Option<f64>, unit: f64) -> Result<Hyper> {
        let known = |noise: f64, scale: f64| {
            let ratio = (noise / scale).powi(2);
            let at = self.at(ratio, Some(noise), Some(scale));
            // A singular kernel without noise has no likelihood; the factorisation adds what it needs.
            at.unwrap_or(Hyper { ratio, scale2: scale * scale, log_marginal: f64::NEG_INFINITY })
        };
        match (noise, scale) {
            (Some(noise), Some(scale)) => return Ok(known(noise, scale)),
            _ if self.constant => return Ok(known(noise.unwrap_or(0.1), scale.unwrap_or(1.0))),
            (Some(0.0), None) => {
                return self.at(0.0, noise, scale).ok_or_else(|| {
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
        let cost = |t: f64| self.at(t.exp(), noise, scale).map_or(FAILED, |h| -h.log_marginal);
        let decade = std::f64::consts::LN_10;
        let at = |i: usize| unit.ln() + decade * (i as f64 - 8.0);
        let costs: Vec<f64> = (0..=12).map(|i| cost(at(i))).collect();
        let best = (0..costs.len()).min_by(|&a, &b| costs[a].total_cmp(&costs[b])).unwrap_or(0);
        let solver = BrentOpt::new(at(best) - decade, at(best) + decade).set_tolerance(1e-8, 1e-4);
        let text = |e: argmin::core::Error| Error::Numerical(format!("gp: the search for noise and scale failed: {e}"));
        let found = Executor::new(Cost(&cost), solver).configure(|s| s.max_iters(60)).run().map_err(text)?;
        let t = found.state.best_param.unwrap_or(at(best));
        self.at(t.exp(), noise, scale).ok_or_else(|| {
            Error::Numerical(
                "gp: the marginal likelihood is not finite at any noise; check the readouts and the kernel".into(),
            )
        })
    }
}
