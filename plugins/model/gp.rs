//! Gaussian process regression with one kernel shared by all outputs.
//!
//! y = ȳ + s f(x) + ε, f ~ GP(0, k), ε ~ N(0, σ²). With r = σ²/s²: mean ȳ + k_xᵀ(K + rI)⁻¹(y - ȳ), variance
//! s²(k(x,x) - k_xᵀ(K + rI)⁻¹k_x) (Rasmussen & Williams 2006, eq. 2.25-2.26). σ and s maximise
//! log p(Y) = -½ tr(Yᵀ(s²K + σ²I)⁻¹Y) - (L/2) log|s²K + σ²I| - (nL/2) log 2π. s has a closed form given r, and r is
//! found by Brent's method on a band form of K, O(n) a step. Fit O(n³), prediction O(n²) an id. A kernel held as
//! d < n features is solved in feature space instead: fit O(nd²), prediction O(d²) an id.

mod evidence;
#[cfg(test)]
mod tests;

use evidence::{Evidence, Hyper};
use framework::numerics::{matmul, symmetric_product};
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

    fn provides(&self) -> Abilities {
        Abilities::of([Ability::Sd, Ability::Draws, Ability::Covariance])
    }

    fn needs(&self) -> Abilities {
        let of_kernel = self.kernel.as_ref().map_or(Abilities::NONE, |k| k.needs());
        of_kernel.with(Ability::Features)
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

    fn draws(&self) -> Option<&dyn JointDraws> {
        Some(self)
    }

    fn covariance(&self) -> Option<&dyn PosteriorCovariance> {
        Some(self)
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

impl JointDraws for Fitted {
    /// Exact for kernels held as features and for at most 2,000 ids; for more, by Matheron's rule with random
    /// features standing in for the prior (Wilson et al. 2020).
    fn draw(&self, ids: &[usize], n: usize, rng: &mut StreamRng) -> Result<Array3<f64>> {
        let l = self.y_mean.len();
        let deviation = self.deviations(ids, n * l, rng)?;
        let mean = self.predict_mean(ids)?;
        Ok(Array3::from_shape_fn((n, ids.len(), l), |(k, i, o)| mean[(i, o)] + deviation[(i, k * l + o)]))
    }
}

impl PosteriorCovariance for Fitted {
    /// s²(k(a, b) - k_aᵀ(K + rI)⁻¹k_b), in feature space σ² φ_aᵀ(ΦᵀΦ + rI)⁻¹φ_b: the same for all outputs.
    fn between(&self, a: &[usize], b: &[usize], _: usize) -> Result<Array2<f64>> {
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

    fn scales(&self) -> Option<Array1<f64>> {
        Some(Array1::ones(self.y_mean.len()))
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
