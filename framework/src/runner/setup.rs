//! Before the first round: what stays the same over all rounds of a run, and what changes with each.

use super::split::Split;
use super::world::Base;
use crate::compatibility::misfits;
use crate::domain::{Candidates, Inputs, Observed};
use crate::error::{Error, Result};
use crate::metric::Need;
use crate::metrics;
use crate::plugin::{FitContext, Surrogate};
use crate::scenario::Scenario;
use crate::store::{RoundRecord, RunSeeds};
use numerics::streams::Streams;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// What a run starts from.
pub struct Start<'a> {
    /// The arm.
    pub scenario: &'a Scenario,
    /// Its seeds.
    pub seeds: RunSeeds,
    /// Its world.
    pub base: &'a Base,
    /// Rounds that an earlier, interrupted run finished.
    pub done: Vec<RoundRecord>,
    /// Set to stop after the current round.
    pub stop: &'a AtomicBool,
}

/// What stays the same over all rounds.
pub(super) struct Fixed<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) base: &'a Base,
    pub(super) split: Split,
    pub(super) inputs: Arc<Inputs>,
    /// Of the oracle; it keys them by perturbation and round.
    pub(super) noise: Streams,
    /// Of models and acquisitions; keyed by round.
    training: Streams,
}

impl<'a> Fixed<'a> {
    pub(super) fn new(scenario: &'a Scenario, seeds: RunSeeds, base: &'a Base) -> Result<Self> {
        let split = Split::new(base, scenario, seeds)?;
        let inputs = base.inputs(scenario)?;
        if let Some(m) = misfits(&scenario.parts(), Some(&base.facts())).into_iter().next() {
            return Err(Error::Config(m.text));
        }
        let noise = Streams::new(seeds.world).child("noise");
        let training = Streams::new(seeds.training).child("training");
        Ok(Self { scenario, base, split, inputs, noise, training })
    }

    /// The streams of a round.
    pub(super) fn streams(&self, round: usize) -> Streams {
        self.training.child("round").index(round)
    }

    /// What the reader of the log should know before the first round.
    pub(super) fn notes(&self) -> Vec<String> {
        let (scenario, split) = (self.scenario, &self.split);
        let mut notes = vec![];
        let asks_hits = [Need::Hits, Need::HitsOfAll].into_iter().any(|n| metrics::ask(&scenario.metrics, n, |_| true));
        if split.is_hit.is_none() && asks_hits {
            notes.push("hits cannot be told: the truth is not known, or all perturbations are equally wanted".into());
        }
        if split.rounds < scenario.rounds {
            notes.push(format!(
                "the pool is exhausted after {} rounds of {}; the screen stops there",
                split.rounds, scenario.batch
            ));
        }
        notes
    }
}

/// What changes from round to round.
pub(super) struct State {
    /// Measurements so far.
    pub(super) observed: Observed,
    /// What may still be chosen.
    pub(super) candidates: Candidates,
    /// Perturbations measured so far.
    pub(super) n_measured: usize,
    /// The model fitted to all measurements up to a round, if the scenario has one.
    pub(super) surrogate: Option<Box<dyn Surrogate>>,
    /// The round after which it was fitted; absent before the first fit.
    pub(super) fitted_after: Option<usize>,
    /// Finished rounds.
    pub(super) records: Vec<RoundRecord>,
}

impl State {
    pub(super) fn new(fixed: &Fixed) -> Self {
        Self {
            observed: Observed::empty(fixed.base.n_outputs()),
            candidates: Candidates::new(fixed.base.pool().len(), fixed.split.test.clone()),
            n_measured: 0,
            surrogate: None,
            fitted_after: None,
            records: Vec::with_capacity(fixed.scenario.rounds + 1),
        }
    }

    /// Fits the model to all measurements, on the streams of a round.
    pub(super) fn fit(&mut self, fixed: &Fixed, round: usize) -> Result<()> {
        self.surrogate = match fixed.scenario.model.as_deref() {
            Some(model) if !self.observed.is_empty() => Some(model.fit(&FitContext {
                inputs: &fixed.inputs,
                observed: &self.observed,
                streams: &fixed.streams(round).child("model"),
            })?),
            _ => None,
        };
        self.fitted_after = Some(round);
        Ok(())
    }
}
