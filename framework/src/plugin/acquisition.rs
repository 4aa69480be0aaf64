//! Acquisitions: which perturbations to measure next.

use super::{Kernel, KernelContext, Plugin, Surrogate};
use crate::domain::{Batch, Candidates, Inputs, Observed, Pool, Posterior, Target, Top};
use crate::error::{Error, Result};
use crate::numerics::Gram;
use crate::streams::{StreamRng, Streams};
use serde::{Deserialize, Serialize};
use std::cell::{OnceCell, RefCell};
use std::sync::Arc;

/// What an acquisition asks of the rest of the scenario, checked before the first round.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Needs {
    /// Predicted means.
    pub model: bool,
    /// Predicted standard deviations.
    pub sd: bool,
    /// Joint draws.
    pub draws: bool,
    /// A Gram matrix: a kernel, or at least one prior for the default linear kernel.
    pub gram: bool,
}

/// Where the campaign stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Round {
    /// Number of this round, from 1.
    pub index: usize,
    /// Rounds planned.
    pub of: usize,
    /// Perturbations to choose.
    pub batch: usize,
}

/// What a selection rule sees as chosen before it starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The measured perturbations (the rule sees train and pool).
    #[default]
    Tp,
    /// Nothing (the rule sees the pool only).
    P,
}

/// Everything an acquisition sees.
pub struct RunContext<'a> {
    /// Where the campaign stands.
    pub round: Round,
    /// What counts as a hit.
    pub target: Target,
    /// All perturbations.
    pub pool: &'a Pool,
    /// Features of all perturbations.
    pub inputs: &'a Arc<Inputs>,
    /// Perturbations that may be chosen.
    pub candidates: &'a Candidates,
    /// Measurements so far.
    pub observed: &'a Observed,
    surrogate: Option<&'a dyn Surrogate>,
    kernel: Option<&'a dyn Kernel>,
    streams: Streams,
    gram: OnceCell<Gram>,
    recorded: RefCell<Vec<(String, f64)>>,
}

/// Candidates scored in one piece; bounds the memory of score-based rules on huge pools.
const TILE: usize = 16_384;

impl<'a> RunContext<'a> {
    /// Puts a context together; the runner, `suggest` and the test kit do this.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        round: Round,
        target: Target,
        inputs: &'a Arc<Inputs>,
        candidates: &'a Candidates,
        observed: &'a Observed,
        surrogate: Option<&'a dyn Surrogate>,
        kernel: Option<&'a dyn Kernel>,
        streams: Streams,
    ) -> Self {
        Self {
            round,
            target,
            pool: inputs.pool(),
            inputs,
            candidates,
            observed,
            surrogate,
            kernel,
            streams,
            gram: OnceCell::new(),
            recorded: RefCell::default(),
        }
    }

    /// Perturbations to choose.
    pub fn batch(&self) -> usize {
        self.round.batch
    }

    /// The generator for one purpose in this round.
    pub fn rng(&self, purpose: &str) -> StreamRng {
        self.streams.rng(purpose)
    }

    /// The fitted model.
    pub fn surrogate(&self) -> Result<&dyn Surrogate> {
        self.surrogate.ok_or_else(|| {
            Error::Config("this acquisition needs a model; add a [model] section to the scenario".into())
        })
    }

    /// Mean and sd of the given perturbations, checked.
    pub fn posterior(&self, ids: &[usize]) -> Result<Posterior> {
        let p = self.surrogate()?.predict(ids)?;
        p.check(ids.len(), self.observed.n_outputs())?;
        Ok(p)
    }

    /// The scenario's kernel over the pool, or inner products of the prior features where it names none;
    /// computed at first use.
    pub fn gram(&self) -> Result<&Gram> {
        if let Some(g) = self.gram.get() {
            return Ok(g);
        }
        let g = match self.kernel {
            Some(k) => k.gram(&KernelContext {
                inputs: self.inputs,
                surrogate: self.surrogate,
                observed: self.observed,
                candidates: Some(self.candidates),
                input: None,
                member: 0,
                streams: &self.streams.child("kernel"),
                recorded: Some(&self.recorded),
            })?,
            None if self.inputs.n_features() > 0 => {
                Gram::new(crate::numerics::FeatureGram::linear(crate::numerics::Rows::Composed(self.inputs.clone())))
            }
            None => {
                return Err(Error::Config(
                    "this acquisition compares perturbations but nothing describes them; add a [kernel] or a [prior.NAME] section"
                        .into(),
                ));
            }
        };
        Ok(self.gram.get_or_init(|| g))
    }

    /// What a rule starts from: the measured perturbations in the order of their first measurement, or
    /// nothing.
    pub fn centres(&self, mode: Mode) -> Vec<usize> {
        match mode {
            Mode::Tp => self.observed.distinct(),
            Mode::P => vec![],
        }
    }

    /// Fills a batch that a rule could not finish with candidates drawn uniformly, with score 0, and records
    /// how many as `filled`.
    pub fn fill(&self, mut batch: Batch) -> Batch {
        let missing = self.batch().saturating_sub(batch.ids.len());
        if missing > 0 {
            let mut left = self.candidates.clone();
            left.remove(&batch.ids);
            batch.ids.extend(left.sample(missing, &mut self.rng("fill")));
            batch.scores.resize(batch.ids.len(), 0.0);
        }
        self.record("filled", missing as f64);
        batch
    }

    /// The batch of highest scores, where `score` maps a tile of candidates and their posterior to one
    /// number each. Memory does not grow with the pool.
    pub fn top_by(&self, mut score: impl FnMut(&[usize], &Posterior) -> Result<Vec<f64>>) -> Result<Batch> {
        let mut top = Top::new(self.batch());
        self.candidates.tiles(TILE, |ids| {
            let p = self.posterior(ids)?;
            top.extend(ids, &score(ids, &p)?)
        })?;
        Ok(top.into_batch())
    }

    /// Like [`RunContext::top_by`] for rules that score one candidate from its scalar mean and sd.
    pub fn top_by_mean_sd(&self, score: impl Fn(f64, f64) -> f64) -> Result<Batch> {
        self.top_by(|ids, p| {
            (0..ids.len())
                .map(|i| match p.scalar(i) {
                    (m, Some(s)) => Ok(score(m, s)),
                    _ => Err(Error::Unsupported(
                        "this acquisition needs predicted standard deviations and the model gives none".into(),
                    )),
                })
                .collect()
        })
    }

    /// Keeps a number with this round's results.
    pub fn record(&self, name: &str, value: f64) {
        self.recorded.borrow_mut().push((name.into(), value));
    }

    /// What was recorded.
    pub fn into_recorded(self) -> Vec<(String, f64)> {
        self.recorded.into_inner()
    }
}

/// A rule that chooses the next batch, with its settings.
#[typetag::serde(tag = "use")]
pub trait Acquisition: Plugin {
    /// Chooses `cx.batch()` different candidates, in order of selection. The framework checks number,
    /// repeats and membership after every call and never asks for more than there are.
    fn select(&self, cx: &RunContext) -> Result<Batch>;

    /// What it asks of the model and kernel.
    fn needs(&self) -> Needs {
        Needs::default()
    }
}
