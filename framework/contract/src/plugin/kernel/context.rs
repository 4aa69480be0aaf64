//! What a kernel is handed.

use crate::domain::{Candidates, Inputs, Observed};
use crate::error::{Error, Result};
use crate::plugin::Surrogate;
use ndarray::{Array1, Array2, Axis, s};
use numerics::streams::Streams;
use numerics::{Affine, FeatureGram, Gram, Product, Rows};
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::sync::Arc;

/// What a kernel may look at.
#[derive(Clone, Copy)]
pub struct KernelContext<'a> {
    /// Features of all perturbations, one block a prior.
    pub inputs: &'a Arc<Inputs>,
    /// The fitted model, where there is one (absent inside a Gaussian process).
    pub surrogate: Option<&'a dyn Surrogate>,
    /// Measurements so far; length scales, posteriors and adaptive fusions read them.
    pub observed: &'a Observed,
    /// What may be chosen; absent: the whole pool.
    pub candidates: Option<&'a Candidates>,
    /// What a chain has built so far, for a transform without a kernel of its own.
    pub input: Option<&'a Gram>,
    /// Which model of an ensemble a kernel of gradients reads; 0 unless `ens` says otherwise.
    pub member: usize,
    /// Streams of this kernel in this round.
    pub streams: &'a Streams,
    /// Where numbers worth keeping with the round go.
    pub recorded: Option<&'a RefCell<Vec<(String, f64)>>>,
}

impl<'a> KernelContext<'a> {
    /// Without a model and over the whole pool.
    pub fn new(inputs: &'a Arc<Inputs>, observed: &'a Observed, streams: &'a Streams) -> Self {
        Self { inputs, surrogate: None, observed, candidates: None, input: None, member: 0, streams, recorded: None }
    }

    /// The measured perturbations, each once, in the order of their first measurement.
    pub fn train(&self) -> Vec<usize> {
        self.observed.distinct()
    }

    /// The candidates; without a screen around, everything that is not measured.
    pub fn pool(&self) -> Candidates {
        match self.candidates {
            Some(c) => c.clone(),
            None => Candidates::new(self.inputs.pool().len(), self.observed.ids.clone()),
        }
    }

    /// Measured perturbations and candidates together, ascending: the matrix that normalisations are
    /// computed on. Only for pools whose ids fit in memory.
    pub fn scope(&self) -> Vec<usize> {
        let mut ids = self.train();
        ids.extend(self.pool().iter());
        ids.sort_unstable();
        ids
    }

    /// The fitted model.
    pub fn surrogate(&self, kernel: &str) -> Result<&'a dyn Surrogate> {
        self.surrogate.ok_or_else(|| {
            Error::Config(format!(
                "the kernel `{kernel}` reads the fitted model and there is none; add a [model] section, and measure \
                 something before the first round (init under [pool])"
            ))
        })
    }

    /// `gram` times `factor`; absent, over its mean diagonal at the measured perturbations, so that this becomes
    /// 1. While nothing is measured, that of the candidates stands in, and `scale_from_pool` is recorded.
    pub fn scaled(&self, gram: Gram, factor: Option<f64>, transform: &str) -> Result<Gram> {
        let factor = match factor {
            Some(f) if f > 0.0 && f.is_finite() => f,
            Some(f) => {
                return Err(Error::Config(format!("`{transform}`: factor must be a positive number, not {f}")));
            }
            None => {
                let train = self.train();
                let (mut sum, mut n) = (gram.diagonal(&train).iter().sum::<f64>(), train.len());
                if train.is_empty() {
                    self.record("scale_from_pool", 1.0);
                    self.pool().tiles(TILE, |ids| {
                        sum += gram.diagonal(ids).iter().sum::<f64>();
                        n += ids.len();
                        Ok::<(), Error>(())
                    })?;
                }
                let mean = sum / n as f64;
                if !(mean > 0.0 && mean.is_finite()) {
                    let whose = if train.is_empty() { "candidates" } else { "measured perturbations" };
                    return Err(Error::Numerical(format!(
                        "`{transform}` divides the kernel by its mean diagonal over the {n} {whose}, which is {mean}; \
                         check the features they have, or give a factor"
                    )));
                }
                mean.recip()
            }
        };
        Ok(if factor == 1.0 { gram } else { Gram::new(Affine::new(gram, factor, 0.0)) })
    }

    /// The kernels of the gradient's factors, layer by layer (or of the last layer only): each the product of
    /// the kernels of what enters the layer and of the signal propagated back to it, computed once and held.
    /// `projections` is the number of directions of [`Outputs::Project`]. A signal that is the same for all
    /// perturbations (that of a linear head) leaves features.
    pub fn layers(&self, kernel: &str, outputs: Outputs, projections: usize, last_only: bool) -> Result<Vec<Gram>> {
        /// Perturbations propagated at once.
        const AT_ONCE: usize = 2048;
        let network = self.surrogate(kernel)?.try_layers()?;
        let directions = outputs.directions(self.observed.n_outputs(), projections, self.streams)?;
        let factors = |ids: &[usize]| -> Result<Vec<Array2<f64>>> {
            let layers = network.factors(ids, self.member, directions.view())?;
            let skip = if last_only { layers.len().saturating_sub(1) } else { 0 };
            Ok(layers.into_iter().skip(skip).flat_map(|l| [l.input, l.signal]).collect())
        };
        let scope = self.scope();
        let Some(first) = scope.first() else {
            return Err(Error::Data(format!("`{kernel}`: the pool holds no perturbation")));
        };
        let widths: Vec<usize> = factors(&[*first])?.iter().map(|x| x.ncols()).collect();
        if widths.is_empty() {
            return Err(Error::Plugin(format!("the model gave no layers for the kernel `{kernel}`")));
        }
        let rows = self.hold_several(kernel, &widths, |ids| {
            let mut all: Vec<Array2<f64>> = widths.iter().map(|d| Array2::zeros((ids.len(), *d))).collect();
            for (t, tile) in ids.chunks(AT_ONCE).enumerate() {
                let parts = factors(tile)?;
                if parts.iter().map(|x| x.dim()).ne(widths.iter().map(|d| (tile.len(), *d))) {
                    return Err(Error::Plugin(
                        "the model's layers change their widths from one call to another".into(),
                    ));
                }
                for (whole, part) in all.iter_mut().zip(&parts) {
                    whole.slice_mut(s![t * AT_ONCE..t * AT_ONCE + tile.len(), ..]).assign(part);
                }
            }
            Ok(all)
        })?;
        let mut grams = Vec::with_capacity(rows.len() / 2);
        let mut rows = rows.into_iter();
        while let (Some(input), Some(signal)) = (rows.next(), rows.next()) {
            let input: Gram = FeatureGram::linear(input).into();
            grams.push(match constant(&signal, &scope) {
                Some(row) => Gram::new(Affine::new(input, row.dot(&row), 0.0)),
                None => Gram::new(Product::new(vec![input, FeatureGram::linear(signal).into()])?),
            });
        }
        Ok(grams)
    }

    /// Rows of `d` features computed once by `f` for all measured perturbations and candidates, and held
    /// (n x d); rows of others are not numbers. `f` gets some ids at a time. Refuses what would take more
    /// than 8 GB.
    pub fn hold(&self, what: &str, d: usize, mut f: impl FnMut(&[usize]) -> Result<Array2<f64>>) -> Result<Rows> {
        let mut rows = self.hold_several(what, &[d], |ids| Ok(vec![f(ids)?]))?;
        rows.pop().ok_or_else(|| Error::Plugin(format!("no {what} features")))
    }

    /// Holds rows that are already there: one for each of [`KernelContext::scope`], in its order.
    pub fn hold_rows(&self, what: &str, rows: &Array2<f64>) -> Result<Rows> {
        let scope = self.scope();
        self.hold(what, rows.ncols(), |ids| {
            let at: Vec<usize> = ids.iter().filter_map(|id| scope.binary_search(id).ok()).collect();
            Ok(rows.select(Axis(0), &at))
        })
    }

    /// [`KernelContext::hold`] for several sets of rows that are computed together.
    pub fn hold_several(
        &self,
        what: &str,
        widths: &[usize],
        mut f: impl FnMut(&[usize]) -> Result<Vec<Array2<f64>>>,
    ) -> Result<Vec<Rows>> {
        const MOST: usize = 1 << 30;
        let n = self.inputs.pool().len();
        let d: usize = widths.iter().sum();
        if n.saturating_mul(d) > MOST {
            return Err(Error::Config(format!(
                "the {what} features of {n} perturbations x {d} would take {:.0} GB; take fewer outputs of the model \
                 (`outputs = \"project\"` or \"sum\" of a kernel of gradients), use a kernel of the prior features, or \
                 make the pool smaller",
                (n as f64) * (d as f64) * 8e-9
            )));
        }
        let mut held: Vec<Array2<f64>> = widths.iter().map(|d| Array2::from_elem((n, *d), f64::NAN)).collect();
        for ids in self.scope().chunks(TILE) {
            let parts = f(ids)?;
            if parts.iter().map(|x| x.dim()).ne(widths.iter().map(|d| (ids.len(), *d))) {
                return Err(Error::Plugin(format!(
                    "the model gave {:?} {what} features where {widths:?} of {} perturbations were asked for",
                    parts.iter().map(|x| x.dim()).collect::<Vec<_>>(),
                    ids.len()
                )));
            }
            for (x, rows) in held.iter_mut().zip(&parts) {
                for (row, &id) in rows.outer_iter().zip(ids) {
                    if row.iter().any(|v| !v.is_finite()) {
                        return Err(Error::Numerical(format!(
                            "a {what} feature of `{}` is not finite; check the model's training",
                            self.inputs.pool().label(id)
                        )));
                    }
                    x.row_mut(id).assign(&row);
                }
            }
        }
        Ok(held.into_iter().map(|x| Rows::Held(Arc::new(x))).collect())
    }

    /// Keeps a number with this round's results.
    pub fn record(&self, name: &str, value: f64) {
        if let Some(r) = self.recorded {
            r.borrow_mut().push((name.into(), value));
        }
    }
}

/// Perturbations whose features are computed in one piece.
const TILE: usize = 16_384;

/// The row that all of these are, if they are one.
fn constant(rows: &Rows, ids: &[usize]) -> Option<Array1<f64>> {
    let first = rows.get(ids.get(..1)?).row(0).to_owned();
    let same = |tile: &[usize]| rows.get(tile).outer_iter().all(|r| r == first);
    ids.chunks(1024).all(same).then_some(first)
}

/// Which gradients of a model with several outputs a kernel takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outputs {
    /// That of the sum of the outputs: one direction.
    #[default]
    Sum,
    /// Those of all outputs; their kernels add up.
    Jacobian,
    /// Those of a few random combinations, which give the sum over all outputs on average.
    Project,
}

impl Outputs {
    /// The directions as columns: outputs x directions.
    pub fn directions(self, n_outputs: usize, projections: usize, streams: &Streams) -> Result<Array2<f64>> {
        match self {
            Outputs::Sum => Ok(Array2::ones((n_outputs, 1))),
            Outputs::Jacobian => Ok(Array2::eye(n_outputs)),
            Outputs::Project if projections == 0 => {
                Err(Error::Config("projections must be at least 1 where outputs = \"project\"".into()))
            }
            Outputs::Project => {
                let mut rng = streams.rng("directions");
                let scale = (projections as f64).sqrt().recip();
                Ok(Array2::from_shape_simple_fn((n_outputs, projections), || -> f64 {
                    let z: f64 = StandardNormal.sample(&mut rng);
                    z * scale
                }))
            }
        }
    }
}
