//! Posterior covariances, in whatever form a model has them.

use super::{PosteriorCovariance, Surrogate};
use crate::domain::Posterior;
use crate::error::{Error, Result};
use ndarray::{Array1, Array2, ArrayView3, Axis, s};
use numerics::matmul_t;
use numerics::memory::Limit;
use numerics::streams::StreamRng;
use rayon::prelude::*;

/// Posterior of one number a perturbation at some positions of the pool: the readout, or the norm of a profile,
/// linearised at the predicted mean as in [`Posterior::scalar`]. Covariances are the model's own; where it gives none,
/// those of the functions that it is made of, or else of joint draws, with the predicted variances.
pub struct Covariance<'a> {
    ids: Vec<usize>,
    mean: Vec<f64>,
    variance: Vec<f64>,
    /// ids x outputs: the number is the sum of the outputs with these weights.
    weight: Array2<f64>,
    form: Form<'a>,
}

enum Form<'a> {
    /// The model's; with the numbers of [`PosteriorCovariance::scales`] over that of the output to ask for.
    Own(&'a dyn PosteriorCovariance, Option<(usize, Array1<f64>)>),
    /// ids x functions, whose inner products are the covariances.
    Sample(Array2<f64>),
}

/// Positions whose columns are computed in one piece.
const TILE: usize = 2048;

impl<'a> Covariance<'a> {
    /// From the predictions of `ids` with their sds; see [`crate::plugin::RunContext::covariance`].
    pub fn new(
        surrogate: &'a dyn Surrogate,
        ids: Vec<usize>,
        p: Posterior,
        draws: usize,
        rng: &mut StreamRng,
    ) -> Result<Self> {
        let (n, l) = p.mean.dim();
        let mut weight = Array2::from_elem((n, l), 1.0 / (l.max(1) as f64).sqrt());
        if l == 1 {
            weight.fill(1.0);
        } else {
            for (mut w, m) in weight.outer_iter_mut().zip(p.mean.outer_iter()) {
                let norm = m.dot(&m).sqrt();
                if norm > 0.0 {
                    w.assign(&(&m / norm));
                }
            }
        }
        let scalars: Vec<(f64, Option<f64>)> = (0..n).map(|i| p.scalar(i)).collect();
        let mean = scalars.iter().map(|v| v.0).collect();
        let variance: Vec<f64> = scalars.iter().map(|v| v.1.map_or(0.0, |s| s * s)).collect();
        let form = match surrogate.covariance() {
            None if ids.is_empty() => Form::Sample(Array2::zeros((0, 0))),
            None => Form::Sample(sample(surrogate, &ids, &p.mean, &weight, &variance, draws, rng)?),
            Some(own) => {
                let shared = own.scales().filter(|_| l > 1).map(|scales| {
                    let o = (0..scales.len()).fold(0, |b, o| if scales[o] > scales[b] { o } else { b });
                    let largest = scales[o];
                    (o, scales.mapv(|v| if largest > 0.0 { v / largest } else { 1.0 }))
                });
                Form::Own(own, shared)
            }
        };
        Ok(Self { ids, mean, variance, weight, form })
    }

    /// The perturbations behind the positions.
    pub fn ids(&self) -> &[usize] {
        &self.ids
    }

    /// Mean at each position.
    pub fn mean(&self) -> &[f64] {
        &self.mean
    }

    /// Variance at each position.
    pub fn variance(&self) -> &[f64] {
        &self.variance
    }

    /// Noise variance of the number at each position, from that of each output.
    pub fn noise(&self, of_outputs: &Array1<f64>) -> Vec<f64> {
        self.weight.outer_iter().map(|w| w.iter().zip(of_outputs).map(|(w, v)| w * w * v).sum()).collect()
    }

    /// Covariances between positions: a x b.
    pub fn block(&self, a: &[usize], b: &[usize]) -> Result<Array2<f64>> {
        let out = match &self.form {
            Form::Sample(z) => matmul_t(z.select(Axis(0), a).view(), z.select(Axis(0), b).view()),
            Form::Own(own, shared) => {
                let pick = |at: &[usize]| -> Vec<usize> { at.iter().map(|&i| self.ids[i]).collect() };
                let (ids_a, ids_b) = (pick(a), pick(b));
                let of = |output: usize| -> Result<Array2<f64>> {
                    let k = own.between(&ids_a, &ids_b, output)?;
                    if k.dim() == (a.len(), b.len()) {
                        return Ok(k);
                    }
                    Err(Error::Plugin(format!(
                        "the model returned covariances of {} x {} for {} x {} perturbations",
                        k.nrows(),
                        k.ncols(),
                        a.len(),
                        b.len()
                    )))
                };
                let (wa, wb) = (self.weight.select(Axis(0), a), self.weight.select(Axis(0), b));
                match shared {
                    _ if self.weight.ncols() == 1 => of(0)?,
                    Some((output, scales)) => of(*output)? * matmul_t((wa * scales).view(), wb.view()),
                    None => {
                        let mut sum = Array2::zeros((a.len(), b.len()));
                        for o in 0..self.weight.ncols() {
                            let (wa, wb) = (wa.slice(s![.., o..o + 1]), wb.slice(s![.., o..o + 1]));
                            sum += &(of(o)? * matmul_t(wa, wb));
                        }
                        sum
                    }
                }
            }
        };
        match out.iter().find(|v| !v.is_finite()) {
            None => Ok(out),
            Some(v) => Err(Error::Numerical(format!("the model gave a posterior covariance of {v}"))),
        }
    }

    /// Covariances of some positions with all: some x all.
    pub fn columns(&self, some: &[usize]) -> Result<Array2<f64>> {
        let n = self.ids.len();
        if let Err(size) = Limit::USUAL.check(&[some.len(), n]) {
            return Err(Error::Config(format!(
                "covariances of {} with {n} perturbations would take {size}; make the batch or the pool smaller",
                some.len()
            )));
        }
        let mut out = Array2::zeros((some.len(), n));
        out.axis_chunks_iter_mut(Axis(1), TILE).into_par_iter().enumerate().try_for_each(|(t, mut tile)| {
            let at: Vec<usize> = (t * TILE..t * TILE + tile.ncols()).collect();
            tile.assign(&self.block(some, &at)?);
            Ok::<(), Error>(())
        })?;
        Ok(out)
    }
}

/// Deviations from the mean of functions or draws, a column each, over the root of their number and with rows brought
/// to the predicted variances.
fn sample(
    surrogate: &dyn Surrogate,
    ids: &[usize],
    mean: &Array2<f64>,
    weight: &Array2<f64>,
    variance: &[f64],
    draws: usize,
    rng: &mut StreamRng,
) -> Result<Array2<f64>> {
    let check = |f: ArrayView3<f64>, m: usize, n: usize| match f.dim() == (m, n, mean.ncols()) {
        true => Ok(()),
        false => Err(Error::Plugin(format!(
            "the model returned functions of shape {:?} for {m} functions, {n} perturbations and {} outputs",
            f.dim(),
            mean.ncols()
        ))),
    };
    let functions = surrogate.functions();
    let m = match functions {
        Some(f) => f.evaluate(&ids[..ids.len().min(1)])?.dim().0,
        None => draws,
    };
    if m == 0 {
        return Err(Error::Config("covariances by draws need at least one draw; raise `draws`".into()));
    }
    if let Err(size) = Limit::USUAL.check(&[m, ids.len(), mean.ncols()]) {
        return Err(Error::Config(format!(
            "{m} functions of {} perturbations would take {size}; lower `draws`, or make the pool smaller",
            ids.len()
        )));
    }
    let mut z = Array2::zeros((ids.len(), m));
    let mut enter = |start: usize, f: ArrayView3<f64>| {
        for i in 0..f.dim().1 {
            let (mean, weight) = (mean.row(start + i), weight.row(start + i));
            for j in 0..m {
                let f = f.slice(s![j, i, ..]);
                let off: f64 = f.iter().zip(mean).zip(weight).map(|((f, m), w)| w * (f - m)).sum();
                z[(start + i, j)] = off / (m as f64).sqrt();
            }
        }
    };
    if let Some(functions) = functions {
        for (t, tile) in ids.chunks(TILE).enumerate() {
            let f = functions.evaluate(tile)?;
            check(f.view(), m, tile.len())?;
            enter(t * TILE, f.view());
        }
    } else {
        let f = surrogate.try_draws()?.draw(ids, m, rng)?;
        check(f.view(), m, ids.len())?;
        enter(0, f.view());
    }
    for (mut row, v) in z.outer_iter_mut().zip(variance) {
        let own = row.dot(&row);
        if !own.is_finite() {
            return Err(Error::Numerical(format!("a function of the model has a squared deviation of {own}")));
        }
        if own > 0.0 {
            row *= (v / own).sqrt();
        }
    }
    Ok(z)
}
