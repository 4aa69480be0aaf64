//! Gaussian process regression with one kernel shared by all outputs.
//!
//! y = ȳ + s f(x) + ε, f ~ GP(0, k), ε ~ N(0, σ²). With r = σ²/s²: mean ȳ + k_xᵀ(K + rI)⁻¹(y - ȳ), variance
//! s²(k(x,x) - k_xᵀ(K + rI)⁻¹k_x) (Rasmussen & Williams 2006, eq. 2.25-2.26). σ and s maximise
//! log p(Y) = -½ tr(Yᵀ(s²K + σ²I)⁻¹Y) - (L/2) log|s²K + σ²I| - (nL/2) log 2π. s has a closed form given r, and r is
//! found by Brent's method on a band form of K, O(n) a step. Fit O(n³), prediction O(n²) an id. A kernel held as
//! d < n features is solved in feature space instead: fit O(nd²), prediction O(d²) an id.

use argmin::core::Executor;
use argmin::solver::brent::BrentOpt;
use framework::numerics::minimise::Cost;
use framework::numerics::{Band, eigh, matmul, symmetric_product};
use framework::prelude::*;
use framework::serde_json::{self, json};
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;

/// Gaussian process with a kernel of the prior features. Outputs are centred by the mean of the measurements; the
/// sd is that of the noise-free readout. Where all measurements agree (or there is one), nothing can be
/// fitted: the scale is then 1 and the noise 0.1, so that the sd still tells near from far.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gp {
    /// A kernel, as a table with `use`; default { use = "rbf" }.
    #[serde(default)]
    pub kernel: Option<Box<dyn Kernel>>,
    /// Noise sd of a measurement, in units of the readout; absent: by marginal likelihood.
    #[serde(default)]
    pub noise: Option<f64>,
    /// Sd of the function where the kernel's diagonal is 1, in units of the readout; absent: by marginal
    /// likelihood.
    #[serde(default)]
    pub scale: Option<f64>,
    /// Random features for draws over more than 2,000 perturbations; the error of a covariance falls as one
    /// over the root of their number. Default 2048.
    #[serde(default = "random_features")]
    pub random_features: usize,
}

fn random_features() -> usize {
    2048
}

#[typetag::serde(name = "gp")]
impl Model for Gp {
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>> {
        for (name, value, least) in [("noise", self.noise, 0.0), ("scale", self.scale, f64::MIN_POSITIVE)] {
            if let Some(v) = value
                && !(v >= least && v.is_finite())
            {
                return Err(Error::Config(format!("gp: {name} must be a positive number, not {v}")));
            }
        }
        let kernel = self.own_kernel()?;
        let streams = cx.streams.child("kernel");
        let gram = kernel.gram(&KernelContext::new(cx.inputs, cx.observed, &streams))?;
        let observed = cx.observed;
        let y_mean = observed.mean();
        let y = &observed.y - &y_mean;
        let train = gram.restrict(&observed.ids);
        let features = train.features().filter(|x| x.d() < x.n()).map(|x| x.to_f64());
        let all: Vec<usize> = (0..observed.len()).collect();
        let matrix = match &features {
            Some(x) => symmetric_product(x.view()),
            None => train.to_dense(&all),
        };
        if matrix.iter().any(|v| !v.is_finite()) {
            return Err(Error::Numerical(
                "gp: the kernel of the measured perturbations holds values that are not finite; check the prior \
                 features for huge values or set the kernel's length"
                    .into(),
            ));
        }
        let rhs = features.as_ref().map(|x| matmul(x.t(), y.view()));
        let mut evidence = Evidence::new(&matrix, rhs.as_ref().unwrap_or(&y), &y, features.is_some())?;
        evidence.constant = observed.y.outer_iter().all(|row| row == observed.y.row(0));
        // The scale of the kernel, by which ratios of noise to signal are judged.
        let unit = matrix.diag().sum() / observed.len() as f64;
        let fit = evidence.maximise(self.noise, self.scale, if unit > 0.0 { unit } else { 1.0 })?;
        let mut shifted = matrix;
        shifted.diag_mut().iter_mut().for_each(|v| *v += fit.ratio);
        let factor = Cholesky::new(shifted.view())?;
        let weights = factor.solve(rhs.as_ref().unwrap_or(&y).view());
        Ok(Box::new(Fitted {
            inputs: cx.inputs.clone(),
            observed: observed.clone(),
            kernel,
            streams,
            gram,
            features,
            factor,
            weights,
            y,
            y_mean,
            fit,
            random_features: self.random_features,
        }))
    }

    fn provides(&self) -> Provides {
        Provides { sd: true, draws: true, covariance: true, ..Provides::default() }
    }

    fn requires(&self) -> Requires {
        Requires { features: true, ..Requires::default() }
    }
}

impl Gp {
    /// A kernel that the surrogate can keep.
    fn own_kernel(&self) -> Result<Box<dyn Kernel>> {
        let form = match &self.kernel {
            Some(k) => serde_json::to_value(k),
            None => Ok(json!({ "use": "rbf" })),
        };
        form.and_then(serde_json::from_value).map_err(|e| Error::Config(format!("gp: the kernel cannot be built: {e}")))
    }
}

/// Hyper-parameters and how likely they make the data.
#[derive(Clone, Copy, Debug)]
struct Hyper {
    /// σ²/s².
    ratio: f64,
    /// s².
    scale2: f64,
    log_marginal: f64,
}

/// What the marginal likelihood needs of the data.
struct Evidence {
    form: Form,
    n: f64,
    outputs: f64,
    /// Sum of squares of the centred outputs.
    total: f64,
    /// All rows alike: nothing to learn from.
    constant: bool,
    /// Rows less features where the matrix is that of the features, else nothing.
    missing: Option<f64>,
}

/// The matrix in a form in which adding to the diagonal is cheap.
enum Form {
    Band(Band),
    /// Eigenvalues, and squared sums of the right-hand sides along the eigenvectors.
    Eigen(Array1<f64>, Array1<f64>),
}

/// Above this many outputs an eigendecomposition, after which their number does not matter, is cheaper.
const FEW_OUTPUTS: usize = 32;

impl Evidence {
    fn new(matrix: &Array2<f64>, rhs: &Array2<f64>, y: &Array2<f64>, by_features: bool) -> Result<Self> {
        let form = if y.ncols() <= FEW_OUTPUTS {
            Form::Band(Band::new(matrix.view(), rhs.view()))
        } else {
            let (values, vectors) = eigh(matrix.view())?;
            let along = matmul(vectors.t(), rhs.view());
            Form::Eigen(values, along.mapv(|v| v * v).sum_axis(Axis(1)))
        };
        let (n, outputs) = (y.nrows() as f64, y.ncols() as f64);
        Ok(Self {
            form,
            n,
            outputs,
            total: y.iter().map(|v| v * v).sum(),
            constant: false,
            missing: by_features.then(|| n - matrix.nrows() as f64),
        })
    }

    /// log|K + rI| and tr Yᵀ(K + rI)⁻¹Y.
    fn log_det_and_quadratic(&self, r: f64) -> Option<(f64, f64)> {
        let (log_det, quadratic) = match &self.form {
            Form::Band(band) => band.log_det_and_quadratic(r)?,
            Form::Eigen(values, squares) => {
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

    fn maximise(&self, noise: Option<f64>, scale: Option<f64>, unit: f64) -> Result<Hyper> {
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

struct Fitted {
    inputs: Arc<Inputs>,
    observed: Observed,
    kernel: Box<dyn Kernel>,
    streams: Streams,
    gram: Gram,
    /// Feature rows of the measurements where the fit is in feature space.
    features: Option<Arc<Array2<f64>>>,
    /// Of K + rI, or of ΦᵀΦ + rI in feature space.
    factor: Cholesky,
    /// (K + rI)⁻¹(y - ȳ), or (ΦᵀΦ + rI)⁻¹Φᵀ(y - ȳ) in feature space.
    weights: Array2<f64>,
    y: Array2<f64>,
    y_mean: Array1<f64>,
    fit: Hyper,
    random_features: usize,
}

/// Perturbations predicted in one piece.
const TILE: usize = 2048;
/// Largest joint covariance that is factored for draws.
const JOINT: usize = 2000;

/// Feature rows of a kernel held as features.
fn feature_rows(gram: &Gram, ids: &[usize]) -> Option<Array2<f64>> {
    gram.rows().map(|rows| rows.get(ids))
}

fn normals(rows: usize, columns: usize, rng: &mut StreamRng) -> Array2<f64> {
    Array2::from_shape_simple_fn((rows, columns), || StandardNormal.sample(rng))
}

impl Fitted {
    /// Centred mean and variance in units of s².
    fn tile(&self, ids: &[usize]) -> Result<(Array2<f64>, Vec<f64>)> {
        if self.features.is_some() {
            let x = self.rows(ids)?;
            let v = self.factor.quadratic(x.t()).into_iter().map(|q| self.fit.ratio * q).collect();
            return Ok((matmul(x.view(), self.weights.view()), v));
        }
        let k = self.gram.block(ids, &self.observed.ids);
        let explained = self.factor.quadratic(k.t());
        let v = self.gram.diagonal(ids).iter().zip(explained).map(|(d, q)| (d - q).max(0.0)).collect();
        Ok((matmul(k.view(), self.weights.view()), v))
    }

    fn rows(&self, ids: &[usize]) -> Result<Array2<f64>> {
        feature_rows(&self.gram, ids)
            .ok_or_else(|| Error::Plugin("a kernel in feature form gave no features for part of its rows".into()))
    }

    /// Draws as deviations from the centred mean, ids x (draws * outputs).
    fn deviations(&self, ids: &[usize], columns: usize, rng: &mut StreamRng) -> Result<Array2<f64>> {
        let s = self.fit.scale2.sqrt();
        let noise = s * self.fit.ratio.sqrt();
        if self.features.is_some() {
            let w = self.factor.upper_solve(normals(self.factor.n(), columns, rng).view());
            return self.tiled(ids, columns, |tile| Ok(matmul(self.rows(tile)?.view(), w.view()) * noise));
        }
        let train = &self.observed.ids;
        let prior: RowsOf = if feature_rows(&self.gram, &train[..1]).is_some() {
            Box::new(|ids| self.rows(ids))
        } else if ids.len() <= JOINT {
            return self.joint(ids, columns, rng);
        } else {
            let cx = KernelContext::new(&self.inputs, &self.observed, &self.streams);
            let Some(map) = self.kernel.random_features(&cx, self.random_features, rng)? else {
                return Err(Error::Unsupported(format!(
                    "joint draws over {} perturbations are beyond the {JOINT} whose covariance is factored, and the \
                     kernel of this gp has neither features nor random features; use one of rbf, matern52, laplace or \
                     linear, or an acquisition that needs no draws",
                    ids.len()
                )));
            };
            Box::new(move |ids| Ok(map(&self.inputs.features(ids))))
        };
        // Matheron's rule: a draw of the prior, corrected by what it gets wrong at the measurements.
        let at_train = prior(train)?;
        let w = normals(at_train.ncols(), columns, rng);
        let error = normals(train.len(), columns, rng) * noise + matmul(at_train.view(), w.view()) * s;
        let correction = self.factor.solve(error.view());
        self.tiled(ids, columns, |tile| {
            let k = self.gram.block(tile, train);
            Ok(matmul(prior(tile)?.view(), w.view()) * s - matmul(k.view(), correction.view()))
        })
    }

    /// By the Cholesky factor of the joint posterior covariance.
    fn joint(&self, ids: &[usize], columns: usize, rng: &mut StreamRng) -> Result<Array2<f64>> {
        let half = self.factor.half_solve(self.gram.block(&self.observed.ids, ids).view());
        let mut covariance = self.gram.to_dense(ids) - symmetric_product(half.view());
        // What rounding leaves of the variance of measured or repeated perturbations may be negative.
        let most = self.gram.diagonal(ids).into_iter().fold(0.0, f64::max);
        covariance.diag_mut().iter_mut().for_each(|v| *v = v.max(0.0) + 1e-10 * most);
        Ok(Cholesky::new(covariance.view())?.times(normals(ids.len(), columns, rng).view()) * self.fit.scale2.sqrt())
    }

    fn tiled(&self, ids: &[usize], columns: usize, f: impl Fn(&[usize]) -> Result<Array2<f64>>) -> Result<Array2<f64>> {
        let mut out = Array2::zeros((ids.len(), columns));
        for (mut rows, tile) in out.axis_chunks_iter_mut(Axis(0), TILE).zip(ids.chunks(TILE)) {
            rows.assign(&f(tile)?);
        }
        Ok(out)
    }
}

/// Feature rows of some ids.
type RowsOf<'a> = Box<dyn Fn(&[usize]) -> Result<Array2<f64>> + 'a>;

impl Surrogate for Fitted {
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        let l = self.y_mean.len();
        let (mut mean, mut sd) = (Array2::zeros((ids.len(), l)), Array2::zeros((ids.len(), l)));
        for (t, tile) in ids.chunks(TILE).enumerate() {
            let (m, v) = self.tile(tile)?;
            for (i, v) in v.iter().enumerate() {
                mean.row_mut(t * TILE + i).assign(&(&m.row(i) + &self.y_mean));
                sd.row_mut(t * TILE + i).fill((self.fit.scale2 * v).sqrt());
            }
        }
        Ok(Posterior { mean, sd: Some(sd) })
    }

    /// Exact for kernels held as features and for at most 2,000 ids; for more, by Matheron's rule with random
    /// features standing in for the prior (Wilson et al. 2020).
    fn draw(&self, ids: &[usize], n: usize, rng: &mut StreamRng) -> Result<Array3<f64>> {
        let l = self.y_mean.len();
        let deviation = self.deviations(ids, n * l, rng)?;
        let mean = self.predict_mean(ids)?;
        Ok(Array3::from_shape_fn((n, ids.len(), l), |(k, i, o)| mean[(i, o)] + deviation[(i, k * l + o)]))
    }

    /// s²(k(a, b) - k_aᵀ(K + rI)⁻¹k_b), in feature space σ² φ_aᵀ(ΦᵀΦ + rI)⁻¹φ_b: the same for all outputs.
    fn covariance(&self, a: &[usize], b: &[usize], _: usize) -> Result<Array2<f64>> {
        let half = |ids: &[usize]| -> Result<Array2<f64>> {
            Ok(match self.features.is_some() {
                true => self.factor.half_solve(self.rows(ids)?.t()),
                false => self.factor.half_solve(self.gram.block(&self.observed.ids, ids).view()),
            })
        };
        let product = matmul(half(a)?.t(), half(b)?.view());
        Ok(match self.features.is_some() {
            true => product * (self.fit.scale2 * self.fit.ratio),
            false => (self.gram.block(a, b) - product) * self.fit.scale2,
        })
    }

    fn covariance_scales(&self) -> Option<Array1<f64>> {
        Some(Array1::ones(self.y_mean.len()))
    }

    fn noise_variance(&self) -> Option<Array1<f64>> {
        Some(Array1::from_elem(self.y_mean.len(), self.fit.scale2 * self.fit.ratio))
    }

    /// [(K + rI)⁻¹(y - ȳ)]ᵢ / [(K + rI)⁻¹]ᵢᵢ (Rasmussen & Williams 2006, eq. 5.12), at fixed hyper-parameters and
    /// centre. O(n³).
    fn loo_residuals(&self) -> Option<Array2<f64>> {
        let mut residuals = match &self.features {
            Some(x) => &self.y - &matmul(x.view(), self.weights.view()),
            None => self.weights.clone(),
        };
        let share: Vec<f64> = match &self.features {
            Some(x) => self.factor.quadratic(x.t()).into_iter().map(|h| 1.0 - h).collect(),
            None => self.factor.quadratic(Array2::eye(self.factor.n()).view()),
        };
        for (mut r, s) in residuals.outer_iter_mut().zip(share) {
            r /= s.max(f64::MIN_POSITIVE);
        }
        residuals.iter().all(|v| v.is_finite()).then_some(residuals)
    }

    fn record(&self) -> Vec<(String, f64)> {
        let scale = self.fit.scale2.sqrt();
        let mut kept = vec![("gp.noise".into(), scale * self.fit.ratio.sqrt()), ("gp.scale".into(), scale)];
        if self.fit.log_marginal.is_finite() {
            kept.push(("gp.log_marginal".into(), self.fit.log_marginal));
        }
        kept
    }
}

impl Fitted {
    fn predict_mean(&self, ids: &[usize]) -> Result<Array2<f64>> {
        self.tiled(ids, self.y_mean.len(), |tile| {
            let k = if self.features.is_some() { self.rows(tile)? } else { self.gram.block(tile, &self.observed.ids) };
            Ok(matmul(k.view(), self.weights.view()) + &self.y_mean)
        })
    }
}

framework::register!(Model, Gp, "gp", "Gaussian process with a kernel of the prior features");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::domain::Readouts;
    use framework::ndarray;
    use framework::testing::TinyWorld;

    fn gp(form: serde_json::Value) -> Gp {
        serde_json::from_value(form).unwrap()
    }

    fn fit(form: serde_json::Value, inputs: &Arc<Inputs>, observed: &Observed) -> Box<dyn Surrogate> {
        gp(form).fit(&FitContext { inputs, observed, streams: &Streams::new(1) }).unwrap()
    }

    fn recorded(s: &dyn Surrogate) -> [f64; 3] {
        let r = s.record();
        [r[0].1, r[1].1, r[2].1]
    }

    fn noisy(world: &TinyWorld, ids: &[usize], noise: f64) -> Observed {
        let mut rng = Streams::new(8).rng("noise");
        let y = Array2::from_shape_fn((ids.len(), world.truth.ncols()), |(i, o)| {
            let z: f64 = StandardNormal.sample(&mut rng);
            world.truth[(ids[i], o)].sin() + noise * z
        });
        let mut observed = Observed::empty(world.truth.ncols());
        observed.push(&Readouts::plain(ids, y), 0).unwrap();
        observed
    }

    /// Points on a line.
    fn line(x: &[f64]) -> Arc<Inputs> {
        let genes = Arc::new(Genes::new((0..x.len()).map(|i| format!("g{i}"))).unwrap());
        let block = Block::new("x", Array2::from_shape_fn((x.len(), 1), |(i, _)| x[i]), vec![true; x.len()]).unwrap();
        Arc::new(Inputs::new(Arc::new(Pool::singles(genes)), vec![Arc::new(block)], Compose::Sum).unwrap())
    }

    #[test]
    fn three_points_by_hand() {
        // Measured at 0, 1 and 3, asked at 2; 3 x 3 system solved by cofactors.
        let inputs = line(&[0.0, 1.0, 3.0, 2.0]);
        let mut observed = Observed::empty(1);
        let y = [0.5, 2.0, -1.0];
        observed.push(&Readouts::plain(&[0, 1, 2], Array2::from_shape_fn((3, 1), |(i, _)| y[i])), 0).unwrap();
        let form = json!({ "kernel": { "use": "rbf", "length": 1.5 }, "noise": 0.3, "scale": 2.0 });
        let p = fit(form, &inputs, &observed).predict(&[3]).unwrap();
        let k = |a: f64, b: f64| 4.0 * (-(a - b) * (a - b) / (2.0 * 2.25)).exp();
        let (d, a, b, c) = (4.0 + 0.09, k(0.0, 1.0), k(0.0, 3.0), k(1.0, 3.0));
        let det = d * (d * d - c * c) - a * (a * d - c * b) + b * (a * c - d * b);
        let inverse = [
            [d * d - c * c, c * b - a * d, a * c - b * d],
            [c * b - a * d, d * d - b * b, a * b - d * c],
            [a * c - b * d, a * b - d * c, d * d - a * a],
        ];
        let star = [k(2.0, 0.0), k(2.0, 1.0), k(2.0, 3.0)];
        let (mut mean, mut explained) = (0.5, 0.0);
        for i in 0..3 {
            for j in 0..3 {
                mean += star[i] * inverse[i][j] / det * (y[j] - 0.5);
                explained += star[i] * inverse[i][j] / det * star[j];
            }
        }
        assert!((p.mean[(0, 0)] - mean).abs() < 1e-12);
        assert!((p.sd.unwrap()[(0, 0)] - (4.0 - explained).sqrt()).abs() < 1e-12);
    }

    /// The log marginal likelihood from its definition.
    fn brute(k: &Array2<f64>, y: &Array2<f64>, noise: f64, scale: f64) -> f64 {
        let n = k.nrows();
        let c = Cholesky::new((k * (scale * scale) + Array2::<f64>::eye(n) * (noise * noise)).view()).unwrap();
        let quadratic: f64 = c.quadratic(y.view()).iter().sum();
        let l = y.ncols() as f64;
        -0.5 * quadratic - 0.5 * l * c.log_det() - 0.5 * n as f64 * l * std::f64::consts::TAU.ln()
    }

    #[test]
    fn the_recorded_likelihood_is_the_definition_and_no_grid_point_is_better() {
        // Band and eigen form, function and feature space, more and fewer features than rows.
        for (kernel, features, outputs) in
            [("rbf", 4, 1), ("matern52", 4, 40), ("linear", 4, 2), ("linear", 4, 40), ("linear", 60, 2)]
        {
            let world = TinyWorld::new(90, features, outputs, false, 3).unwrap();
            let ids: Vec<usize> = (0..50).collect();
            let observed = noisy(&world, &ids, 0.3);
            let s = fit(json!({ "kernel": { "use": kernel } }), &world.inputs, &observed);
            let [noise, scale, log_marginal] = recorded(&*s);
            let k: Box<dyn Kernel> = serde_json::from_value(json!({ "use": kernel })).unwrap();
            let (k, y) = (world.gram(&*k, &observed).unwrap().to_dense(&ids), &observed.y - &observed.mean());
            let at = brute(&k, &y, noise, scale);
            assert!((at - log_marginal).abs() < 1e-6 * at.abs(), "{kernel} {outputs}: {at} {log_marginal}");
            for i in 0..40 {
                for j in 0..40 {
                    let (a, b) = (10f64.powf(-2.0 + 0.1 * i as f64), 10f64.powf(-2.0 + 0.1 * j as f64));
                    let other = brute(&k, &y, a, b);
                    assert!(other <= at + 1e-6 * at.abs(), "{kernel}: noise {a} and scale {b} give {other}, not {at}");
                }
            }
            // With one of the two given, the other is still the best.
            let fixed = fit(json!({ "kernel": { "use": kernel }, "noise": 0.5 }), &world.inputs, &observed);
            let [noise, scale, log_marginal] = recorded(&*fixed);
            assert!(noise == 0.5 || (noise - 0.5).abs() < 1e-12);
            for f in [0.98, 1.02] {
                assert!(brute(&k, &y, 0.5, scale * f) < log_marginal, "{kernel} {f}");
            }
            let fixed = fit(json!({ "kernel": { "use": kernel }, "scale": 0.8 }), &world.inputs, &observed);
            let [noise, _, log_marginal] = recorded(&*fixed);
            for f in [0.98, 1.02] {
                assert!(brute(&k, &y, noise * f, 0.8) < log_marginal, "{kernel} {f}");
            }
        }
    }

    #[test]
    fn feature_space_and_function_space_agree() {
        let world = TinyWorld::new(40, 3, 2, false, 3).unwrap();
        let observed = noisy(&world, &(0..20).collect::<Vec<_>>(), 0.2);
        let ids: Vec<usize> = (15..40).collect();
        let own = fit(json!({ "kernel": { "use": "linear" }, "noise": 0.3, "scale": 0.9 }), &world.inputs, &observed);
        let p = own.predict(&ids).unwrap();
        let (x, star) = (world.inputs.features(&observed.ids), world.inputs.features(&ids));
        let k = x.dot(&x.t()) * 0.81 + Array2::<f64>::eye(20) * 0.09;
        let c = Cholesky::new(k.view()).unwrap();
        let cross = star.dot(&x.t()) * 0.81;
        let mean = cross.dot(&c.solve((&observed.y - &observed.mean()).view())) + &observed.mean();
        assert!((&mean - &p.mean).iter().all(|d| d.abs() < 1e-10));
        for (i, q) in c.quadratic(cross.t()).iter().enumerate() {
            let v = star.row(i).dot(&star.row(i)) * 0.81 - q;
            assert!((p.sd.as_ref().unwrap()[(i, 1)] - v.sqrt()).abs() < 1e-9);
        }
        let residuals = own.loo_residuals().unwrap();
        let inverse = c.solve(Array2::eye(20).view());
        let alpha = inverse.dot(&(&observed.y - &observed.mean()));
        assert!((0..20).all(|i| (residuals[(i, 1)] - alpha[(i, 1)] / inverse[(i, i)]).abs() < 1e-9));
    }

    #[test]
    fn leave_one_out_residuals_equal_predictions_without_the_row() {
        let world = TinyWorld::new(30, 3, 1, false, 3).unwrap();
        let observed = noisy(&world, &(0..12).collect::<Vec<_>>(), 0.2);
        let s = fit(json!({ "kernel": { "use": "rbf", "length": 2.0 } }), &world.inputs, &observed);
        let [noise, scale, _] = recorded(&*s);
        let loo = s.loo_residuals().unwrap();
        let x = world.inputs.features(&observed.ids);
        let k = |i: usize, j: usize| scale * scale * (-(&x.row(i) - &x.row(j)).mapv(|v| v * v).sum() / 8.0).exp();
        let centre = observed.mean()[0];
        for i in 0..12 {
            let rest: Vec<usize> = (0..12).filter(|j| *j != i).collect();
            let own = Array2::from_shape_fn((11, 11), |(a, b)| {
                k(rest[a], rest[b]) + if a == b { noise * noise } else { 0.0 }
            });
            let y = Array2::from_shape_fn((11, 1), |(a, _)| observed.y[(rest[a], 0)] - centre);
            let alpha = Cholesky::new(own.view()).unwrap().solve(y.view());
            let mean: f64 = (0..11).map(|a| k(i, rest[a]) * alpha[(a, 0)]).sum::<f64>() + centre;
            assert!((loo[(i, 0)] - (observed.y[(i, 0)] - mean)).abs() < 1e-9, "{i}");
        }
    }

    /// Mean and covariance of many draws against the posterior, for the ids `keep` of `ids`.
    fn check_draws(s: &dyn Surrogate, ids: &[usize], keep: &[usize], covariance: &Array2<f64>, tolerance: f64) {
        let n = 6000;
        let p = s.predict(ids).unwrap();
        let mut rng = Streams::new(3).rng("draw");
        let mut sums = Array2::<f64>::zeros((keep.len(), keep.len()));
        let mut means = vec![0.0; keep.len()];
        for _ in 0..n / 500 {
            let d = s.draw(ids, 500, &mut rng).unwrap();
            for k in 0..500 {
                for (a, &i) in keep.iter().enumerate() {
                    means[a] += (d[(k, i, 0)] - p.mean[(i, 0)]) / n as f64;
                    for (b, &j) in keep.iter().enumerate() {
                        sums[(a, b)] += (d[(k, i, 0)] - p.mean[(i, 0)]) * (d[(k, j, 0)] - p.mean[(j, 0)]) / n as f64;
                    }
                }
            }
        }
        for a in 0..keep.len() {
            let sd = covariance[(a, a)].sqrt();
            assert!(means[a].abs() < 4.0 * sd / (n as f64).sqrt() + 1e-9, "mean {a}: {}", means[a]);
            for b in 0..keep.len() {
                let unit = (covariance[(a, a)] * covariance[(b, b)]).sqrt();
                let off = (sums[(a, b)] - covariance[(a, b)]).abs();
                assert!(off < tolerance * unit + 1e-9, "covariance {a} {b}: {} {}", sums[(a, b)], covariance[(a, b)]);
            }
        }
    }

    #[test]
    fn draws_have_the_posterior_moments_in_every_form() {
        // (kernel, features, genes): weights, exact features, joint covariance, random features.
        for (kernel, features, genes, tolerance) in
            [("linear", 3, 30, 0.07), ("linear", 20, 30, 0.07), ("rbf", 2, 30, 0.07), ("rbf", 2, 2100, 0.15)]
        {
            let world = TinyWorld::new(genes, features, 1, false, 3).unwrap();
            let observed = noisy(&world, &(0..12).collect::<Vec<_>>(), 0.5);
            let form = json!({ "kernel": { "use": kernel }, "noise": 0.5, "scale": 0.7 });
            let s = fit(form, &world.inputs, &observed);
            let ids: Vec<usize> = (0..genes).rev().collect();
            let keep = [0, 1, genes - 3, genes / 2];
            let kept: Vec<usize> = keep.iter().map(|&i| ids[i]).collect();
            let k: Box<dyn Kernel> = serde_json::from_value(json!({ "use": kernel })).unwrap();
            let g = world.gram(&*k, &observed).unwrap();
            let own = g.to_dense(&observed.ids) * 0.49 + Array2::<f64>::eye(12) * 0.25;
            let cross = g.block(&observed.ids, &kept) * 0.49;
            let explained = cross.t().dot(&Cholesky::new(own.view()).unwrap().solve(cross.view()));
            let covariance = g.to_dense(&kept) * 0.49 - explained;
            let own = s.covariance(&kept, &kept[..3], 0).unwrap();
            assert!((&own - &covariance.slice(ndarray::s![.., ..3])).iter().all(|d| d.abs() < 1e-9));
            let sd = s.predict(&kept).unwrap().sd.unwrap();
            assert!((0..3).all(|i| (own[(i, i)] - sd[(i, 0)].powi(2)).abs() < 1e-9));
            assert!((s.noise_variance().unwrap()[0] - 0.25).abs() < 1e-12);
            check_draws(&*s, &ids, &keep, &covariance, tolerance);
        }
    }

    #[test]
    fn draws_beyond_the_joint_limit_need_features() {
        let world = TinyWorld::new(2100, 2, 1, false, 3).unwrap();
        let observed = noisy(&world, &[0, 1, 2, 3], 0.5);
        let s = fit(json!({ "kernel": { "use": "stored_for_test" } }), &world.inputs, &observed);
        let ids: Vec<usize> = (0..2100).collect();
        assert!(s.draw(&ids[..2000], 1, &mut Streams::new(1).rng("d")).is_ok());
        let e = s.draw(&ids, 1, &mut Streams::new(1).rng("d")).unwrap_err().to_string();
        assert!(e.contains("neither features nor random features"), "{e}");
    }

    /// A kernel known by its matrix only.
    #[derive(Debug, Serialize, Deserialize)]
    struct Stored {}

    #[typetag::serde(name = "stored_for_test")]
    impl Kernel for Stored {
        fn gram(&self, cx: &KernelContext) -> Result<Gram> {
            let n = cx.inputs.pool().len();
            Ok(Gram::dense(Array2::from_shape_fn((n, n), |(i, j)| if i == j { 1.0 } else { 0.5 }))?)
        }
    }

    #[test]
    fn replicates_constants_and_single_rows() {
        let world = TinyWorld::new(30, 3, 1, false, 3).unwrap();
        let mut observed = noisy(&world, &[0, 1, 2, 3, 4, 5, 6, 7], 0.1);
        let once = fit(json!({}), &world.inputs, &observed).predict(&[0, 20]).unwrap();
        let again = observed.y.clone() + 0.05;
        observed.push(&Readouts::plain(&[0, 1, 2, 3, 4, 5, 6, 7], again), 1).unwrap();
        let twice = fit(json!({}), &world.inputs, &observed).predict(&[0, 20]).unwrap();
        assert!(twice.mean.iter().all(|v| v.is_finite()) && (&twice.mean - &once.mean).iter().all(|d| d.abs() < 0.5));
        let mut one = Observed::empty(1);
        one.push(&Readouts::plain(&[4], Array2::from_elem((1, 1), 2.5)), 0).unwrap();
        let s = fit(json!({}), &world.inputs, &one);
        let p = s.predict(&[4, 9]).unwrap();
        let sd = p.sd.unwrap();
        assert_eq!(p.mean, Array2::from_elem((2, 1), 2.5));
        assert!(sd[(0, 0)] < 0.11 && sd[(1, 0)] > sd[(0, 0)], "the sd tells near from far");
        let mut flat = noisy(&world, &[0, 1, 2, 3], 0.1);
        flat.y.fill(0.1);
        assert!(fit(json!({}), &world.inputs, &flat).predict(&[0, 9]).unwrap().check(2, 1).is_ok());
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let world = TinyWorld::new(8, 2, 1, false, 3).unwrap();
        let observed = noisy(&world, &[0, 1, 2], 0.1);
        let cx = FitContext { inputs: &world.inputs, observed: &observed, streams: &Streams::new(1) };
        for form in [json!({ "noise": -1.0 }), json!({ "scale": 0.0 })] {
            assert!(gp(form).fit(&cx).err().unwrap().to_string().contains("must be a positive number"));
        }
    }
}
