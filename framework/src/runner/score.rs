//! How a round is judged: the scenario's metrics, and what is recorded beside them (ceilings set by the noise of the
//! readouts, alignment of priors, calls of an online test).

use super::setup::{Fixed, State};
use super::world::Base;
use crate::domain::{Observed, Posterior};
use crate::error::Result;
use crate::metrics::{self, Scored, Search};
use crate::plugin::{Relation, Surrogate};
use crate::scenario::Scenario;
use crate::store::CEILING;
use numerics::stats::calls::lord;
use std::collections::BTreeMap;

/// Share of false calls that the online procedure accepts.
const ONLINE_RATE: f64 = 0.1;

/// Perturbations predicted at a time.
const TILE: usize = 16_384;

/// What judging needs of the truth, computed once a run.
pub(super) struct Scorer {
    /// Alignment of each prior with the truth, by the name under which it is recorded.
    alignments: Vec<(String, f64)>,
    /// The clearest outputs of each test perturbation.
    top: Option<Vec<Vec<usize>>>,
    /// What noise allows, for the metrics that the scenario lists.
    ceilings: Vec<(String, f64)>,
    /// By number measured, the share of hits that another replicate finds.
    replicate_hits: Option<Vec<f64>>,
    /// For each perturbation that may be chosen whether it is known to interact.
    known: Option<Vec<bool>>,
    /// Whether everything that may be chosen is predicted: only if a listed metric reads it and can be computed.
    predicts_choosable: bool,
}

impl Scorer {
    pub(super) fn new(fixed: &Fixed) -> Self {
        let Fixed { scenario, base, split, inputs, .. } = fixed;
        let listed = |name: &str| scenario.metrics.iter().any(|m| m == name);
        let ceilings = base.replicates(&split.test).map(|r| metrics::ceilings(r.view())).unwrap_or_default();
        let known =
            if scenario.metrics.iter().any(|m| m.starts_with("known_")) { base.known(&split.choosable) } else { None };
        Self {
            alignments: metrics::prior_alignments(&scenario.metrics, inputs, &split.test, split.test_truth.as_ref()),
            top: metrics::top_outputs(&scenario.metrics, split.test_truth.as_ref(), || base.clarity(&split.test)),
            ceilings: ceilings
                .into_iter()
                .filter(|(metric, _)| listed(metric))
                .map(|(metric, value)| (format!("{CEILING} {metric}"), value))
                .collect(),
            replicate_hits: base
                .replicates(&split.choosable)
                .filter(|_| listed("hit_ratio"))
                .and_then(|r| metrics::replicate_hits(r.view(), &scenario.target)),
            predicts_choosable: (known.is_some() && metrics::reads_predicted(&scenario.metrics))
                || (split.is_hit_all.is_some() && listed(metrics::FRACTION_DISCOVERED)),
            known,
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
        let at_start = state.records.first().and_then(|r| r.metrics.get(metrics::FRACTION_DISCOVERED));
        let scored = Scored {
            test_truth: split.test_truth.as_ref(),
            test_posterior: predictions.test.as_ref(),
            is_hit: split.is_hit.as_deref(),
            is_hit_all: split.is_hit_all.as_deref(),
            n_choosable: split.choosable.len(),
            top: self.top.as_deref(),
            observed: &state.observed,
            target: fixed.scenario.target,
            search: Search {
                ids: &split.choosable,
                merit: split.merit.as_deref(),
                known: self.known.as_deref(),
                predicted: predictions.merits.as_deref(),
            },
            test: &split.test,
            since_start: at_start.map(|share| (index, *share)),
        };
        let value = |name: &String| (metrics::find(name)?.compute)(&scored).filter(|v| v.is_finite());
        fixed.scenario.metrics.iter().filter_map(|name| Some((name.clone(), value(name)?))).collect()
    }

    /// What is recorded beside the metrics.
    pub(super) fn beside(&self, fixed: &Fixed, state: &State) -> Vec<(String, f64)> {
        let mut all = self.alignments.clone();
        all.extend(self.ceilings.iter().cloned());
        let found = self.replicate_hits.as_ref().map(|shares| shares[state.n_measured.min(shares.len() - 1)]);
        all.extend(found.map(|share| (format!("{CEILING} hit_ratio"), share)));
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
