//! Gaussian process regression with one kernel shared by all outputs.
//!
//! y = m + s f(x) + ε, f ~ GP(0, k), ε ~ N(0, σ² + e²) with the known error e of the measurement, flat prior on the mean m
//! of an output. With C = K + diag(σ² + e²)/s², u = C⁻¹1 and γ = 1/1ᵀu: m̂ = γuᵀy, mean m̂ + k_xᵀC⁻¹(y - m̂), variance
//! s²(k(x,x) - k_xᵀC⁻¹k_x + γ(1 - uᵀk_x)²), whose last term is the error of m̂ (Rasmussen & Williams 2006, eq. 2.41-2.42).
//! s, σ and, without a kernel given, a length scale for each prior maximise the likelihood of the contrasts times weak
//! priors. Fit O(n³), prediction O(n²) an id. A kernel held as d < n features is solved in feature space instead: fit
//! O(nd²), prediction O(d²) an id. Above 3,000 measurements the kernel is that of its values at 1,500 of them (Nyström's
//! features), with the variance that these leave out added again to predictions (the deterministic training conditional
//! of Quiñonero-Candela & Rasmussen 2005).

mod contrasts;
mod evidence;
mod priors;
mod search;
#[cfg(test)]
mod tests;

use evidence::{Evidence, Side};
use framework::numerics::{matmul, sq_distances, symmetric_product};
use framework::plugin::median_of_pairs;
use framework::prelude::*;
use framework::serde_json::{self, json};
use priors::{Priors, median, variance_of};
use rand::seq::index;
use rand_distr::{Distribution, StandardNormal};
use search::{Form, Given, Point, Search};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Gaussian process with a kernel of the prior features. The mean of an output is not taken as known, so the sd, which is
/// that of the noise-free readout, holds its error. Known errors of measurements count beside the noise, which is then what
/// they leave unexplained. Noise and signal have weak priors: the logarithm of each variance is normal around half of the
/// variance of the measurements, with sd 2; that of a length scale, around its median distance, with sd 1. Where all
/// measurements agree (or there is one), nothing can be fitted: the scale is then 1 and the noise 0.1, so that the sd still
/// tells near from far.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gp {
    /// A kernel, as a table with `use`; absent: squared exponential with a length scale for each prior that is found with
    /// the others, so that a prior that tells nothing is weighed down. Found on at most 600 measurements.
    #[serde(default)]
    pub kernel: Option<Box<dyn Kernel>>,
    /// Noise sd of a measurement beside its known error, in units of the readout; absent: by marginal likelihood.
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

/// Measurements in the first, coarse search of length scales, and in the last.
const COARSE: usize = 200;
const FINE: usize = 600;
/// Measurements by which noise and scale are found where errors are known.
const WITH_ERRORS: usize = 1000;
/// Most measurements of an exact posterior, and measurements that stand for more.
const EXACT: usize = 3000;
const INDUCING: usize = 1500;
/// Perturbations of the pool whose median distance is the usual length of a prior.
const USUAL: usize = 500;

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
        let observed = cx.observed;
        let data = Data::new(cx)?;
        let learnt = if self.kernel.is_none() { self.lengths(cx, &data)? } else { None };
        let kernel = self.own_kernel(cx, learnt.as_ref())?;
        let streams = cx.streams.child("kernel");
        let gram = kernel.gram(&KernelContext::new(cx.inputs, observed, &streams))?;
        let train = gram.restrict(&observed.ids);
        let n = observed.len();
        let (rows, inducing) = match train.features().filter(|x| x.d() < x.n()) {
            Some(x) => (Some(x.to_f64()), None),
            None if n > EXACT => {
                let ids: Vec<usize> = data.some(INDUCING).iter().map(|&i| observed.ids[i]).collect();
                let factor = Cholesky::new(gram.to_dense(&ids).view())?;
                let inducing = Inducing { ids, factor };
                let mut x = Array2::zeros((n, INDUCING));
                for (mut rows, tile) in x.axis_chunks_iter_mut(Axis(0), TILE).zip(observed.ids.chunks(TILE)) {
                    rows.assign(&inducing.rows(&gram, tile));
                }
                (Some(Arc::new(x)), Some(inducing))
            }
            None => (None, None),
        };
        let all: Vec<usize> = (0..n).collect();
        let matrix = if rows.is_none() { Some(train.to_dense(&all)) } else { None };
        let held = rows.as_deref().or(matrix.as_ref());
        if held.is_some_and(|m| m.iter().any(|v| !v.is_finite())) {
            return Err(Error::Numerical(
                "gp: the kernel of the measured perturbations holds values that are not finite; check the prior \
                 features for huge values or set the kernel's length"
                    .into(),
            ));
        }
        let side = match (&rows, &matrix) {
            (Some(x), _) => Side::Features(x),
            (None, Some(k)) => Side::Function(k),
            (None, None) => return Err(Error::Plugin("gp: no kernel".into())),
        };
        let (scale2, noise2, log_marginal) = self.variances(&data, &train, side, learnt)?;
        // In units of s²; without any noise a little keeps replicates apart.
        let noise: Vec<f64> = (0..n).map(|i| (noise2 + data.error(i)) / scale2).collect();
        let space = match side {
            Side::Function(k) => Space::function(k, noise, &observed.y)?,
            Side::Features(x) => Space::features(x, inducing, noise, &observed.y)?,
        };
        let usual_error = median((0..n).map(|i| data.error(i)).collect());
        Ok(Box::new(Fitted {
            inputs: cx.inputs.clone(),
            observed: observed.clone(),
            streams,
            space,
            recorded: recorded(&*kernel, scale2, noise2, log_marginal),
            kernel,
            gram,
            scale2,
            noise2: noise2 + usual_error,
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

/// What the search of hyper-parameters reads.
struct Data {
    /// Readouts less their plain mean.
    y: Array2<f64>,
    /// Mean over outputs of the squared known errors, where one is above 0.
    errors: Option<Vec<f64>>,
    /// Nothing where all measurements agree.
    priors: Option<Priors>,
    /// All rows in random order.
    order: Vec<usize>,
}

impl Data {
    fn new(cx: &FitContext) -> Result<Self> {
        let observed = cx.observed;
        let y = &observed.y - &observed.mean();
        let errors = match &observed.sd {
            None => None,
            Some(sd) => {
                if let Some(((i, o), v)) = sd.indexed_iter().find(|(_, v)| !(**v >= 0.0 && v.is_finite())) {
                    let label = cx.inputs.pool().label(observed.ids[i]);
                    return Err(Error::Data(format!(
                        "the error of the readout of `{label}` (output {o}) is {v}; errors must be finite and not negative"
                    )));
                }
                let squares: Vec<f64> = sd.outer_iter().map(|r| r.dot(&r) / r.len().max(1) as f64).collect();
                squares.iter().any(|v| *v > 0.0).then_some(squares)
            }
        };
        let variance = variance_of(&y, errors.as_deref());
        let constant = observed.y.outer_iter().all(|row| row == observed.y.row(0));
        let priors = (!constant && variance > 0.0).then(|| Priors::new(variance));
        let n = observed.len();
        let order = index::sample(&mut cx.streams.rng("subset"), n, n).into_vec();
        Ok(Self { y, errors, priors, order })
    }

    fn error(&self, i: usize) -> f64 {
        self.errors.as_ref().map_or(0.0, |e| e[i])
    }

    /// At most `most` rows at random, ascending; a smaller set is part of a larger one.
    fn some(&self, most: usize) -> Vec<usize> {
        let mut some = self.order[..most.min(self.order.len())].to_vec();
        some.sort_unstable();
        some
    }

    fn rows(&self, some: &[usize]) -> (Array2<f64>, Vec<f64>) {
        (self.y.select(Axis(0), some), some.iter().map(|&i| self.error(i)).collect())
    }
}

/// Length scales that were found, and whether by all measurements.
struct Learnt {
    lengths: BTreeMap<String, f64>,
    point: Point,
    by_all: bool,
}

impl Gp {
    fn given(&self) -> Given {
        Given { noise: self.noise, scale: self.scale }
    }

    /// A kernel that the surrogate can keep.
    fn own_kernel(&self, cx: &FitContext, learnt: Option<&Learnt>) -> Result<Box<dyn Kernel>> {
        let form = match (&self.kernel, learnt) {
            (Some(k), _) => serde_json::to_value(k),
            (None, Some(l)) if cx.inputs.n_features() > 0 => Ok(json!({ "use": "rbf", "length": l.lengths })),
            (None, _) => Ok(json!({ "use": "rbf" })),
        };
        form.and_then(serde_json::from_value).map_err(|e| Error::Config(format!("gp: the kernel cannot be built: {e}")))
    }

    /// A length scale for each prior: several starts on few measurements, the best refined on more. Nothing where there is
    /// nothing to learn from.
    fn lengths(&self, cx: &FitContext, data: &Data) -> Result<Option<Learnt>> {
        let Some(priors) = data.priors else { return Ok(None) };
        let blocks = cx.inputs.blocks();
        let pool = cx.inputs.pool().len();
        let usual_of =
            cx.inputs.features(&(0..USUAL.min(pool)).map(|i| i * pool / USUAL.min(pool)).collect::<Vec<_>>());
        let mut at = 0;
        // Columns and median squared distance of the priors whose rows differ.
        let mut varying = vec![];
        for (b, block) in blocks.iter().enumerate() {
            let columns = at..at + block.x.ncols();
            at = columns.end;
            let x = usual_of.slice(framework::ndarray::s![.., columns.clone()]);
            if let Some(m) = median_of_pairs(sq_distances(x, x).view()) {
                varying.push((b, columns, m));
            }
        }
        if varying.is_empty() {
            return Ok(None);
        }
        let parts = varying.len() as f64;
        let search = |most: usize| {
            let some = data.some(most);
            let ids: Vec<usize> = some.iter().map(|&i| cx.observed.ids[i]).collect();
            let x = cx.inputs.features(&ids);
            let distances = varying.iter().map(|(_, columns, m)| {
                let x = x.slice(framework::ndarray::s![.., columns.clone()]);
                (sq_distances(x, x), (m * parts).sqrt())
            });
            let (y, errors) = data.rows(&some);
            Search::new(Form::Lengths(distances.collect()), y, errors, priors, self.given())
        };
        let Some(mut point) = search(COARSE)?.best() else { return Ok(None) };
        if data.order.len() > COARSE {
            point = search(FINE)?.refine(&point).unwrap_or(point);
        }
        let mut lengths: BTreeMap<String, f64> = blocks.iter().map(|b| (b.name.clone(), 1.0)).collect();
        varying.iter().zip(&point.lengths).for_each(|((b, ..), l)| {
            lengths.insert(blocks[*b].name.clone(), *l);
        });
        Ok(Some(Learnt { lengths, point, by_all: data.order.len() <= FINE }))
    }

    /// s², σ² and, where all measurements were read, the log marginal likelihood.
    fn variances(&self, data: &Data, train: &Gram, side: Side, learnt: Option<Learnt>) -> Result<(f64, f64, f64)> {
        let unknown = f64::NAN;
        let Some(priors) = data.priors else {
            let (noise, scale) = (self.noise.unwrap_or(0.1), self.scale.unwrap_or(1.0));
            return Ok((scale * scale, noise * noise, unknown));
        };
        if data.errors.is_none() {
            let found = Evidence::new(side, &data.y, priors)?.maximise(self.noise, self.scale)?;
            return Ok((found.scale2, found.scale2 * found.ratio, found.log_marginal));
        }
        let (point, by_all) = match learnt {
            Some(l) => (Some(l.point), l.by_all),
            None => {
                let some = data.some(WITH_ERRORS);
                let (y, errors) = data.rows(&some);
                let form = Form::Fixed(train.to_dense(&some));
                (Search::new(form, y, errors, priors, self.given())?.best(), some.len() == data.order.len())
            }
        };
        let point = point.ok_or_else(|| {
            Error::Numerical(
                "gp: the marginal likelihood is not finite at any noise; check the readouts, their errors and the kernel"
                    .into(),
            )
        })?;
        Ok((point.scale2, point.noise2, if by_all { point.log_marginal } else { unknown }))
    }
}

/// What is kept with a round: noise, scale, likelihood and the length scale of each prior.
fn recorded(kernel: &dyn Kernel, scale2: f64, noise2: f64, log_marginal: f64) -> Vec<(String, f64)> {
    let mut kept = vec![("gp.noise".into(), noise2.sqrt()), ("gp.scale".into(), scale2.sqrt())];
    if log_marginal.is_finite() {
        kept.push(("gp.log_marginal".into(), log_marginal));
    }
    let form = serde_json::to_value(kernel).unwrap_or_default();
    for (name, length) in form.get("length").and_then(|l| l.as_object()).into_iter().flatten() {
        kept.extend(length.as_f64().map(|l| (format!("gp.length.{name}"), l)));
    }
    kept
}

/// Measurements whose kernel values stand for all.
struct Inducing {
    ids: Vec<usize>,
    /// Of their matrix.
    factor: Cholesky,
}

impl Inducing {
    /// Nyström's features K_xZ L⁻ᵀ with K_ZZ = LLᵀ.
    fn rows(&self, gram: &Gram, ids: &[usize]) -> Array2<f64> {
        self.factor.half_solve(gram.block(&self.ids, ids).view()).reversed_axes()
    }
}

/// The posterior in units of s². `noise` is σ² + e² of each measurement in these units.
#[allow(clippy::large_enum_variant)] // one a fit
enum Space {
    Function {
        /// Of C = K + diag(noise).
        factor: Cholesky,
        /// C⁻¹1, and γ = 1/1ᵀC⁻¹1.
        ones: Array1<f64>,
        flat: f64,
        /// C⁻¹(y - m̂): measurements x outputs.
        weights: Array2<f64>,
        mean: Array1<f64>,
        noise: Vec<f64>,
    },
    Features {
        /// Rows of the measurements less `centre`.
        rows: Array2<f64>,
        /// Their mean, weighted by the inverse noise, and one over the sum of these weights.
        centre: Array1<f64>,
        flat: f64,
        /// Of A = ΦᵀN⁻¹Φ + I.
        factor: Cholesky,
        /// A⁻¹ΦᵀN⁻¹(y - m̂): features x outputs.
        weights: Array2<f64>,
        mean: Array1<f64>,
        /// y - m̂.
        y: Array2<f64>,
        noise: Vec<f64>,
        inducing: Option<Inducing>,
    },
}

/// Noise that replaces none in feature space, in units of the mean squared norm of a row.
const LEAST: f64 = 1e-12;

impl Space {
    fn function(k: &Array2<f64>, noise: Vec<f64>, y: &Array2<f64>) -> Result<Self> {
        let mut c = k.clone();
        c.diag_mut().iter_mut().zip(&noise).for_each(|(v, r)| *v += r);
        let factor = Cholesky::new(c.view())?;
        let ones = factor.solve(Array2::ones((k.nrows(), 1)).view()).remove_axis(Axis(1));
        let flat = ones.sum().recip();
        let mean = y.t().dot(&ones) * flat;
        let weights = factor.solve((y - &mean).view());
        Ok(Self::Function { factor, ones, flat, weights, mean, noise })
    }

    fn features(x: &Array2<f64>, inducing: Option<Inducing>, mut noise: Vec<f64>, y: &Array2<f64>) -> Result<Self> {
        let least = LEAST * x.iter().map(|v| v * v).sum::<f64>() / x.nrows() as f64;
        noise.iter_mut().for_each(|r| *r = r.max(least).max(f64::MIN_POSITIVE));
        let precision = Array1::from_shape_fn(noise.len(), |i| noise[i].recip());
        let flat = precision.sum().recip();
        let weighted = |a: &Array2<f64>| a.t().dot(&precision) * flat;
        let (centre, mean) = (weighted(x), weighted(y));
        let (rows, y) = (x - &centre, y - &mean);
        let root = precision.mapv(f64::sqrt).insert_axis(Axis(1));
        let scaled = &rows * &root;
        let mut a = symmetric_product(scaled.view());
        a.diag_mut().iter_mut().for_each(|v| *v += 1.0);
        let factor = Cholesky::new(a.view())?;
        let weights = factor.solve(matmul(scaled.t(), (&y * &root).view()).view());
        Ok(Self::Features { rows, centre, flat, factor, weights, mean, y, noise, inducing })
    }

    fn mean(&self) -> &Array1<f64> {
        match self {
            Space::Function { mean, .. } | Space::Features { mean, .. } => mean,
        }
    }

    fn weights(&self) -> &Array2<f64> {
        match self {
            Space::Function { weights, .. } | Space::Features { weights, .. } => weights,
        }
    }
}

struct Fitted {
    inputs: Arc<Inputs>,
    observed: Observed,
    kernel: Box<dyn Kernel>,
    streams: Streams,
    gram: Gram,
    space: Space,
    scale2: f64,
    /// Noise variance of another measurement with the usual error.
    noise2: f64,
    recorded: Vec<(String, f64)>,
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
    /// What predictions multiply: kernel values at the measurements (ids x n), or features less their centre (ids x d).
    fn rows(&self, ids: &[usize]) -> Result<Array2<f64>> {
        match &self.space {
            Space::Function { .. } => Ok(self.gram.block(ids, &self.observed.ids)),
            Space::Features { centre, inducing: Some(i), .. } => Ok(i.rows(&self.gram, ids) - centre),
            Space::Features { centre, inducing: None, .. } => feature_rows(&self.gram, ids)
                .map(|x| x - centre)
                .ok_or_else(|| Error::Plugin("a kernel in feature form gave no features for part of its rows".into())),
        }
    }

    /// Variance that inducing points leave out, in units of s²; nothing for the other forms.
    fn left_out(&self, ids: &[usize], rows: &Array2<f64>) -> Option<Vec<f64>> {
        let Space::Features { centre, inducing: Some(_), .. } = &self.space else { return None };
        let of = |(d, row): (f64, ArrayView1<f64>)| {
            let explained: f64 = row.iter().zip(centre).map(|(v, c)| (v + c).powi(2)).sum();
            (d - explained).max(0.0)
        };
        Some(self.gram.diagonal(ids).into_iter().zip(rows.outer_iter()).map(of).collect())
    }

    /// Mean less m̂, and variance in units of s².
    fn tile(&self, ids: &[usize]) -> Result<(Array2<f64>, Vec<f64>)> {
        let x = self.rows(ids)?;
        let mean = matmul(x.view(), self.space.weights().view());
        let variance = match &self.space {
            Space::Function { factor, ones, flat, .. } => {
                let of_mean = x.dot(ones).mapv(|v| flat * (1.0 - v).powi(2));
                let explained = factor.quadratic(x.t());
                let of = |((d, q), m): ((f64, f64), &f64)| (d - q).max(0.0) + m;
                self.gram.diagonal(ids).into_iter().zip(explained).zip(&of_mean).map(of).collect()
            }
            Space::Features { factor, flat, .. } => {
                let mut v: Vec<f64> = factor.quadratic(x.t()).into_iter().map(|q| q + flat).collect();
                if let Some(rest) = self.left_out(ids, &x) {
                    v.iter_mut().zip(rest).for_each(|(v, r)| *v += r);
                }
                v
            }
        };
        Ok((mean, variance))
    }

    /// Draws as deviations from the mean, ids x (draws * outputs).
    fn deviations(&self, ids: &[usize], columns: usize, rng: &mut StreamRng) -> Result<Array2<f64>> {
        let s = self.scale2.sqrt();
        let (factor, ones, flat, noise) = match &self.space {
            Space::Features { inducing: Some(_), .. } if ids.len() <= JOINT => return self.joint(ids, columns, rng),
            Space::Features { factor, flat, .. } => {
                let w = factor.upper_solve(normals(factor.n(), columns, rng).view());
                let of_mean = normals(1, columns, rng) * flat.sqrt();
                let mut z = self.tiled(ids, columns, |tile| {
                    let x = self.rows(tile)?;
                    Ok((matmul(x.view(), w.view()) + &of_mean) * s)
                })?;
                // What inducing points leave out is drawn for each perturbation alone.
                for (t, tile) in ids.chunks(TILE).enumerate() {
                    let Some(rest) = self.left_out(tile, &self.rows(tile)?) else { break };
                    for (i, v) in rest.iter().enumerate() {
                        let own = normals(1, columns, rng) * (s * v.sqrt());
                        z.row_mut(t * TILE + i).scaled_add(1.0, &own.row(0));
                    }
                }
                return Ok(z);
            }
            Space::Function { factor, ones, flat, noise, .. } => (factor, ones, *flat, noise),
        };
        let train = &self.observed.ids;
        let prior: RowsOf = if feature_rows(&self.gram, &train[..1]).is_some() {
            Box::new(|ids| {
                feature_rows(&self.gram, ids).ok_or_else(|| {
                    Error::Plugin("a kernel in feature form gave no features for part of its rows".into())
                })
            })
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
        let mut error = normals(train.len(), columns, rng);
        error.outer_iter_mut().zip(noise).for_each(|(mut e, r)| e *= r.sqrt());
        error += &matmul(at_train.view(), w.view());
        let of_mean = error.t().dot(ones) * flat;
        let correction = factor.solve((error - &of_mean).view());
        self.tiled(ids, columns, |tile| {
            let k = self.gram.block(tile, train);
            Ok((matmul(prior(tile)?.view(), w.view()) - matmul(k.view(), correction.view()) - &of_mean) * s)
        })
    }

    /// By the Cholesky factor of the joint posterior covariance.
    fn joint(&self, ids: &[usize], columns: usize, rng: &mut StreamRng) -> Result<Array2<f64>> {
        let mut covariance = self.between(ids, ids, 0)?;
        // What rounding leaves of the variance of measured or repeated perturbations may be negative.
        let most = self.scale2 * self.gram.diagonal(ids).into_iter().fold(0.0, f64::max);
        covariance.diag_mut().iter_mut().for_each(|v| *v = v.max(0.0) + 1e-10 * most);
        Ok(Cholesky::new(covariance.view())?.times(normals(ids.len(), columns, rng).view()))
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
        let l = self.space.mean().len();
        let (mut mean, mut sd) = (Array2::zeros((ids.len(), l)), Array2::zeros((ids.len(), l)));
        for (t, tile) in ids.chunks(TILE).enumerate() {
            let (m, v) = self.tile(tile)?;
            for (i, v) in v.iter().enumerate() {
                mean.row_mut(t * TILE + i).assign(&(&m.row(i) + self.space.mean()));
                sd.row_mut(t * TILE + i).fill((self.scale2 * v).sqrt());
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
        Some(Array1::from_elem(self.space.mean().len(), self.noise2))
    }

    /// [Py]ᵢ/Pᵢᵢ with P = C⁻¹ - γuuᵀ: the mean is fitted without the row too (Rasmussen & Williams 2006, eq. 5.12), at
    /// fixed hyper-parameters. O(n³).
    fn loo_residuals(&self) -> Option<Array2<f64>> {
        let (mut residuals, share): (Array2<f64>, Vec<f64>) = match &self.space {
            Space::Function { factor, ones, flat, weights, .. } => {
                let diagonal = factor.quadratic(Array2::eye(factor.n()).view());
                (weights.clone(), diagonal.iter().zip(ones).map(|(d, u)| d - flat * u * u).collect())
            }
            Space::Features { rows, factor, flat, weights, y, noise, .. } => {
                let leverage = factor.quadratic(rows.t()).into_iter().zip(noise).map(|(q, r)| 1.0 - (q + flat) / r);
                (y - &matmul(rows.view(), weights.view()), leverage.collect())
            }
        };
        for (mut r, s) in residuals.outer_iter_mut().zip(share) {
            r /= s.max(f64::MIN_POSITIVE);
        }
        residuals.iter().all(|v| v.is_finite()).then_some(residuals)
    }

    fn record(&self) -> Vec<(String, f64)> {
        self.recorded.clone()
    }
}

impl JointDraws for Fitted {
    /// Exact for kernels held as features and for at most 2,000 ids; for more, by Matheron's rule with random
    /// features standing in for the prior (Wilson et al. 2020).
    fn draw(&self, ids: &[usize], n: usize, rng: &mut StreamRng) -> Result<Array3<f64>> {
        let l = self.space.mean().len();
        let deviation = self.deviations(ids, n * l, rng)?;
        let mean = self.tiled(ids, l, |tile| Ok(matmul(self.rows(tile)?.view(), self.space.weights().view())))?;
        let centre = self.space.mean();
        Ok(Array3::from_shape_fn((n, ids.len(), l), |(k, i, o)| mean[(i, o)] + centre[o] + deviation[(i, k * l + o)]))
    }
}

impl PosteriorCovariance for Fitted {
    /// s²(k(a, b) - k_aᵀC⁻¹k_b + γ(1 - uᵀk_a)(1 - uᵀk_b)), in feature space s²(φ_aᵀA⁻¹φ_b + γ): the same for all outputs.
    fn between(&self, a: &[usize], b: &[usize], _: usize) -> Result<Array2<f64>> {
        let (x, z) = (self.rows(a)?, self.rows(b)?);
        let covariance = match &self.space {
            Space::Function { factor, ones, flat, .. } => {
                let (left, right) = (factor.half_solve(x.t()), factor.half_solve(z.t()));
                let (p, q) = (1.0 - x.dot(ones), 1.0 - z.dot(ones));
                let of_mean = matmul((p * *flat).insert_axis(Axis(1)).view(), q.insert_axis(Axis(0)).view());
                self.gram.block(a, b) - matmul(left.t(), right.view()) + of_mean
            }
            Space::Features { factor, flat, centre, inducing, .. } => {
                let (left, right) = (factor.half_solve(x.t()), factor.half_solve(z.t()));
                let explained = matmul(left.t(), right.view()) + *flat;
                match inducing {
                    None => explained,
                    Some(_) => explained + self.gram.block(a, b) - matmul((x + centre).view(), (z + centre).t()),
                }
            }
        };
        Ok(covariance * self.scale2)
    }

    fn scales(&self) -> Option<Array1<f64>> {
        Some(Array1::ones(self.space.mean().len()))
    }
}

framework::register!(Model, Gp, "gp", "Gaussian process with a kernel of the prior features");
