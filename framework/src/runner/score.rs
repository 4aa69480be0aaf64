//! How a round is judged: the scenario's metrics, and what is recorded beside them (ceilings set by the noise of the
//! readouts, alignment of priors, calls of an online test).

use super::setup::{Fixed, State};
use super::world::Base;
use crate::domain::{Observed, Posterior};
use crate::error::Result;
use crate::metric::{Need, Scored, Search, Setting, Yardstick};
use crate::metrics;
use crate::plugin::{Relation, Surrogate};
use crate::scenario::Scenario;
use numerics::stats::calls::lord;
use std::collections::BTreeMap;

/// Share of false calls that the online procedure accepts.
const ONLINE_RATE: f64 = 0.1;

/// Perturbations predicted at a time.
const TILE: usize = 16_384;

/// What judging needs of the truth, computed once a run.
pub(super) struct Scorer {
    /// What is recorded beside the metrics, known before the first round.
    yardsticks: Vec<Yardstick>,
    /// The clearest outputs of each test perturbation.
    clearest: Option<Vec<Vec<usize>>>,
    /// For each perturbation that may be chosen whether it is known to interact.
    known: Option<Vec<bool>>,
    /// Whether everything that may be chosen is predicted: only if a listed metric reads it and can be computed.
    predicts_choosable: bool,
}

impl Scorer {
    pub(super) fn new(fixed: &Fixed) -> Self {
        let Fixed { scenario, base, split, inputs, .. } = fixed;
        let names = &scenario.metrics;
        let setting = Setting {
            inputs,
            target: scenario.target,
            test: &split.test,
            test_truth: split.test_truth.as_ref(),
            choosable: &split.choosable,
            replicates: &|ids| base.replicates(ids),
        };
        let known = if metrics::ask(names, Need::Known, |_| true) { base.known(&split.choosable) } else { None };
        let predicts_choosable = metrics::ask(names, Need::PoolPrediction, |need| match need {
            Need::Known => known.is_some(),
            Need::HitsOfAll => split.is_hit_all.is_some(),
            _ => true,
        });
        Self {
            yardsticks: metrics::yardsticks(names, &setting),
            clearest: metrics::clearest_outputs(names, split.test_truth.as_ref(), || base.clarity(&split.test)),
            known,
            predicts_choosable,
        }
    }

    /// Asks the model of a round.
    pub(super) fn predict(&self, fixed: &Fixed, state: &State) -> Result<Predictions> {
        let (split, n_outputs) = (&fixed.split, fixed.base.n_outputs());
        let test = match &state.surrogate {
            Some(s) if !split.test.is_empty() => {
                let p = s.predict(&split.test)?;
                p.check(split.test.len(), n_outputs)?;
                Some(p)
            }
            _ => None,
        };
        let merits = match &state.surrogate {
            Some(s) if self.predicts_choosable => {
                Some(predicted_merits(&**s, &split.choosable, n_outputs, fixed.scenario)?)
            }
            _ => None,
        };
        Ok(Predictions { test, merits })
    }

    /// The scenario's metrics after a round, those that could be computed.
    pub(super) fn metrics(
        &self,
        fixed: &Fixed,
        state: &State,
        index: usize,
        predictions: &Predictions,
    ) -> BTreeMap<String, f64> {
        let split = &fixed.split;
        let scored = Scored {
            round: index,
            initial: state.records.first().map(|r| &r.metrics),
            observed: &state.observed,
            target: fixed.scenario.target,
            test: &split.test,
            test_truth: split.test_truth.as_ref(),
            test_posterior: predictions.test.as_ref(),
            clearest: self.clearest.as_deref(),
            is_hit: split.is_hit.as_deref(),
            is_hit_all: split.is_hit_all.as_deref(),
            search: Search {
                ids: &split.choosable,
                merit: split.merit.as_deref(),
                known: self.known.as_deref(),
                predicted: predictions.merits.as_deref(),
            },
        };
        metrics::after_round(&fixed.scenario.metrics, &scored)
    }

    /// What is recorded beside the metrics.
    pub(super) fn beside(&self, fixed: &Fixed, state: &State) -> Vec<(String, f64)> {
        let known = |y: &Yardstick| Some((y.name.clone(), y.at(state.n_measured)?));
        let mut all: Vec<_> = self.yardsticks.iter().filter_map(known).collect();
        all.extend(online_calls(fixed.base, &state.observed));
        all
    }
}

/// What the model of a round says of what it is judged on.
pub(super) struct Predictions {
    /// Of the test set.
    test: Option<Posterior>,
    /// How much the predicted mean of each perturbation that may be chosen is wanted.
    merits: Option<Vec<f64>>,
}

fn predicted_merits(s: &dyn Surrogate, ids: &[usize], n_outputs: usize, scenario: &Scenario) -> Result<Vec<f64>> {
    let mut all = Vec::with_capacity(ids.len());
    for tile in ids.chunks(TILE) {
        let p = s.predict(tile)?;
        p.check(tile.len(), n_outputs)?;
        all.extend((0..tile.len()).map(|i| p.merit(i, &scenario.target)));
    }
    Ok(all)
}

/// Where readouts are scores of a test: how many measured pairs an online procedure calls, in the order in which they were
/// measured, and how many of these calls are false where that is known.
fn online_calls(base: &Base, observed: &Observed) -> Vec<(String, f64)> {
    let ids = observed.distinct();
    let Some(p) = base.p_values(&ids) else { return vec![] };
    let called: Vec<usize> = ids.iter().zip(lord(&p, ONLINE_RATE)).filter(|(_, c)| c.1).map(|(id, _)| *id).collect();
    let mut out = vec![("online_calls".to_string(), called.len() as f64)];
    if let Some(relations) = base.relations(&called) {
        let wrong = relations.iter().filter(|r| **r != Relation::Interacting).count();
        out.push(("online_false_calls".to_string(), wrong as f64));
    }
    out
}
