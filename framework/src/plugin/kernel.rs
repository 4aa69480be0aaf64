//! Kernels: similarity of perturbations, for Gaussian processes and for selection rules.

use super::{Plugin, Surrogate};
use crate::domain::{Candidates, Inputs, Observed};
use crate::error::{Error, Result};
use crate::numerics::{Gram, Rows};
use crate::streams::{StreamRng, Streams};
use ndarray::{Array2, Axis};
use rand::RngExt;
use rayon::prelude::*;
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
    /// Streams of this kernel in this round.
    pub streams: &'a Streams,
    /// Where numbers worth keeping with the round go.
    pub recorded: Option<&'a RefCell<Vec<(String, f64)>>>,
}

impl<'a> KernelContext<'a> {
    /// Without a model and over the whole pool.
    pub fn new(inputs: &'a Arc<Inputs>, observed: &'a Observed, streams: &'a Streams) -> Self {
        Self { inputs, surrogate: None, observed, candidates: None, input: None, streams, recorded: None }
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

    /// What a transform acts on: the kernel given to it, else what stands before it in a chain.
    pub fn base(&self, of: Option<&dyn Kernel>, transform: &str) -> Result<Gram> {
        match (of, self.input) {
            (Some(k), _) => k.gram(&KernelContext { input: None, ..*self }),
            (None, Some(g)) => Ok(g.clone()),
            (None, None) => Err(Error::Config(format!(
                "`{transform}` transforms another kernel; give it one as `of`, or put it after one in the steps of a chain"
            ))),
        }
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

    /// Rows of `d` features computed once by `f` for all measured perturbations and candidates, and held
    /// (n x d); rows of others are not numbers. `f` gets some ids at a time. Refuses what would take more
    /// than 8 GB.
    pub fn hold(&self, what: &str, d: usize, mut f: impl FnMut(&[usize]) -> Result<Array2<f64>>) -> Result<Rows> {
        const MOST: usize = 1 << 30;
        const TILE: usize = 16_384;
        let n = self.inputs.pool().len();
        if n.saturating_mul(d) > MOST {
            return Err(Error::Config(format!(
                "the {what} features of {n} perturbations x {d} would take {:.0} GB; project them (`rp`), use a kernel \
                 of the prior features, or make the pool smaller",
                (n as f64) * (d as f64) * 8e-9
            )));
        }
        let mut x = Array2::from_elem((n, d), f64::NAN);
        for ids in self.scope().chunks(TILE) {
            let rows = f(ids)?;
            if rows.dim() != (ids.len(), d) {
                return Err(Error::Plugin(format!(
                    "the model gave {:?} {what} features where {:?} were asked for",
                    rows.dim(),
                    (ids.len(), d)
                )));
            }
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
        Ok(Rows::Held(Arc::new(x)))
    }

    /// Keeps a number with this round's results.
    pub fn record(&self, name: &str, value: f64) {
        if let Some(r) = self.recorded {
            r.borrow_mut().push((name.into(), value));
        }
    }
}

/// What a kernel asks of the rest of the scenario, checked before the first round.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KernelNeeds {
    /// Feature rows, that is at least one active prior.
    pub features: bool,
    /// A fitted model.
    pub model: bool,
    /// The model's own representation.
    pub embedding: bool,
    /// The factors of a network's gradient.
    pub layers: bool,
    /// A kernel to act on: it is a transform without one of its own.
    pub input: bool,
    /// Something measured before the first round.
    pub measured: bool,
}

impl KernelNeeds {
    /// What either needs.
    pub fn and(self, other: Self) -> Self {
        Self {
            features: self.features || other.features,
            model: self.model || other.model,
            embedding: self.embedding || other.embedding,
            layers: self.layers || other.layers,
            input: self.input || other.input,
            measured: self.measured || other.measured,
        }
    }

    /// The needs of a transform of `of`, beside its own.
    pub fn of(of: Option<&dyn Kernel>) -> Self {
        of.map_or(Self { input: true, ..Self::default() }, |k| k.needs())
    }
}

/// A kernel with its settings. Fusions and transforms are kernels that contain kernels.
#[typetag::serde(tag = "use")]
pub trait Kernel: Plugin {
    /// The Gram matrix over the whole pool, in its cheapest form. Only positions of measured
    /// perturbations and candidates need hold numbers.
    fn gram(&self, cx: &KernelContext) -> Result<Gram>;

    /// Whether the matrix is positive semidefinite whatever the input.
    fn keeps_psd(&self) -> bool {
        true
    }

    /// What it asks of the scenario.
    fn needs(&self) -> KernelNeeds {
        KernelNeeds::default()
    }

    /// For a stationary kernel: random features z with E⟨z(x), z(x')⟩ = k(x, x'), as a function of
    /// feature rows, drawn once. Used for joint draws on large pools.
    fn random_features(&self, cx: &KernelContext, n: usize, rng: &mut StreamRng) -> Result<Option<FeatureMap>> {
        let _ = (cx, n, rng);
        Ok(None)
    }
}

/// Maps feature rows (ids x d) to random features (ids x n).
pub type FeatureMap = Box<dyn Fn(&Array2<f64>) -> Array2<f64> + Send + Sync>;

/// The length scale of a stationary kernel: `given`, or the median Euclidean distance between the rows
/// of different measured perturbations (at most the first 1,000; the first 1,000 of the pool while
/// fewer than two are measured). Errors where there are no features or the length is not positive.
pub fn median_distance(given: Option<f64>, cx: &KernelContext) -> Result<f64> {
    if cx.inputs.n_features() == 0 {
        return Err(Error::Config(
            "this kernel compares feature rows but no prior is active; add a [prior.NAME] section".into(),
        ));
    }
    if let Some(l) = given {
        return if l > 0.0 && l.is_finite() {
            Ok(l)
        } else {
            Err(Error::Config(format!("a kernel's length scale must be a positive number, not {l}")))
        };
    }
    const MOST: usize = 1000;
    let mut ids: Vec<usize> = cx.observed.ids.iter().copied().take(MOST).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() < 2 {
        ids = (0..cx.inputs.pool().len().min(MOST)).collect();
    }
    let x = cx.inputs.features(&ids);
    let d = crate::numerics::linalg::sq_distances(x.view(), x.view());
    let mut pairs: Vec<f64> = Vec::with_capacity(ids.len() * ids.len() / 2);
    for (i, row) in d.outer_iter().enumerate() {
        pairs.extend(row.iter().take(i));
    }
    if pairs.is_empty() {
        return Ok(1.0);
    }
    let middle = pairs.len() / 2;
    let (_, m, _) = pairs.select_nth_unstable_by(middle, f64::total_cmp);
    // All rows alike: every positive length gives the same matrix.
    Ok(if *m > 0.0 { m.sqrt() } else { 1.0 })
}

/// Random Fourier features √(2/n) cos(xᵀω + u) of a stationary kernel with the given spectral draws
/// (features x n); phases are uniform.
pub fn fourier_features(frequencies: Array2<f64>, rng: &mut StreamRng) -> FeatureMap {
    let n = frequencies.ncols();
    let phase: Vec<f64> = (0..n).map(|_| rng.random_range(0.0..std::f64::consts::TAU)).collect();
    let scale = (2.0 / n as f64).sqrt();
    Box::new(move |x| {
        let mut z = crate::numerics::linalg::matmul(x.view(), frequencies.view());
        z.axis_chunks_iter_mut(Axis(0), 256).into_par_iter().for_each(|mut tile| {
            for mut row in tile.outer_iter_mut() {
                row.iter_mut().zip(&phase).for_each(|(v, u)| *v = scale * (*v + u).cos());
            }
        });
        z
    })
}
