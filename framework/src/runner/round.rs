//! The loop: round 0 measures the initial set; each later round selects, measures, fits and scores.

use super::world::{Base, RunSeeds, Split};
use crate::compatibility::misfits;
use crate::context::{FitContext, Round, RunContext, fill_note, select_batch};
use crate::domain::{Batch, Candidates, Inputs, Observed, Pool};
use crate::error::{Error, Result};
use crate::metric::{Need, Scored, Search, Setting};
use crate::metrics;
use crate::plugin::{Model, Relation, Surrogate};
use crate::scenario::Scenario;
use numerics::stats::calls::lord;
use numerics::streams::Streams;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Share of false calls that the online procedure accepts.
const ONLINE_RATE: f64 = 0.1;

/// What a finished round leaves behind: enough to go on from, and all that results are made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundRecord {
    /// 0 for the initial set.
    pub round: usize,
    /// Pool ids measured in this round, in order of selection.
    pub ids: Vec<usize>,
    /// Their names.
    pub names: Vec<String>,
    /// What the acquisition scored them; empty for the initial set.
    pub scores: Vec<f64>,
    /// What was measured, as one number each (the value, or the norm of a profile).
    pub values: Vec<f64>,
    /// Perturbations measured so far.
    pub n_measured: usize,
    /// Metrics that could be computed.
    pub metrics: BTreeMap<String, f64>,
    /// Whatever plugins recorded.
    pub recorded: BTreeMap<String, f64>,
}

/// Where the time of a run went, in seconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Seconds {
    /// Fitting models.
    pub fit: f64,
    /// Predicting the test set.
    pub predict: f64,
    /// Selecting batches.
    pub select: f64,
    /// Asking the oracle.
    pub measure: f64,
    /// Metrics, records and checks.
    pub other: f64,
}

impl Seconds {
    /// All of it.
    pub fn total(&self) -> f64 {
        self.fit + self.predict + self.select + self.measure + self.other
    }
}

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

fn fit(
    model: Option<&dyn Model>,
    inputs: &Arc<Inputs>,
    observed: &Observed,
    streams: &Streams,
) -> Result<Option<Box<dyn Surrogate>>> {
    match model {
        Some(m) if !observed.is_empty() => Ok(Some(m.fit(&FitContext { inputs, observed, streams })?)),
        _ => Ok(None),
    }
}

/// Runs a scenario under one seed, calling `keep` with every new round before the next one starts.
/// Returns all rounds, or nothing when it was stopped. A run that goes on from earlier rounds gives the
/// same records as one that was never interrupted: readouts are keyed by perturbation and round, and
/// models are fitted from scratch on streams keyed by round.
pub fn execute(
    start: Start,
    mut keep: impl FnMut(&RoundRecord) -> Result<()>,
    log: &mut dyn FnMut(String),
) -> Result<Option<(Vec<RoundRecord>, Seconds)>> {
    let Start { scenario, seeds, base, done, stop } = start;
    let split = Split::new(base, scenario, seeds)?;
    let inputs = base.inputs(scenario)?;
    let names = &scenario.metrics;
    let yardsticks = metrics::yardsticks(
        names,
        &Setting {
            inputs: &inputs,
            target: scenario.target,
            test: &split.test,
            test_truth: split.test_truth.as_ref(),
            choosable: &split.choosable,
            replicates: &|ids| base.replicates(ids),
        },
    );
    let clearest = metrics::clearest_outputs(names, split.test_truth.as_ref(), || base.clarity(&split.test));
    let known = if metrics::ask(names, Need::Known, |_| true) { base.known(&split.choosable) } else { None };
    // All of the pool is predicted only for a metric that can be told.
    let reads_predicted = metrics::ask(names, Need::PoolPrediction, |need| match need {
        Need::Known => known.is_some(),
        Need::HitsOfAll => split.is_hit_all.is_some(),
        _ => true,
    });
    let pool = base.pool();
    let noise = Streams::new(seeds.world).child("noise");
    let training = Streams::new(seeds.training).child("training");
    let mut observed = Split::nothing(base);
    let mut candidates = Candidates::new(pool.len(), split.test.clone());
    let mut seconds = Seconds::default();
    let mut records: Vec<RoundRecord> = Vec::with_capacity(scenario.rounds + 1);
    let model = scenario.model.as_deref();
    if let Some(m) = misfits(&scenario.parts(), Some(&base.facts())).into_iter().next() {
        return Err(Error::Config(m.text));
    }
    let mut surrogate: Option<Box<dyn Surrogate>> = None;
    let mut fitted_at = None;
    let mut n_measured = 0;
    let asks_hits = [Need::Hits, Need::HitsOfAll].into_iter().any(|need| metrics::ask(names, need, |_| true));
    if split.is_hit.is_none() && asks_hits {
        log("hits cannot be told: the truth is not known, or all perturbations are equally wanted".into());
    }
    if split.rounds < scenario.rounds {
        log(format!(
            "the pool is exhausted after {} rounds of {}; the screen stops there",
            split.rounds, scenario.batch
        ));
    }
    for index in 0..=split.rounds {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        if let Some(r) = done.get(index) {
            replay(r, index, &candidates, pool)?;
            observed.push(&base.measure(&r.ids, index, &noise)?, index)?;
            candidates.remove(&r.ids);
            n_measured += r.ids.len();
            records.push(r.clone());
            continue;
        }
        let clock = Instant::now();
        let mut recorded = BTreeMap::new();
        let streams = training.child("round").index(index);
        let batch = if index == 0 {
            Batch { ids: split.init.clone(), scores: vec![] }
        } else {
            if fitted_at != Some(index - 1) {
                // Going on after an interruption: the model of the last finished round is made again.
                let streams = training.child("round").index(index - 1);
                surrogate = fit(model, &inputs, &observed, &streams.child("model"))?;
            }
            let round = Round { index, of: split.rounds, batch: scenario.batch };
            let cx = RunContext::new(round, &inputs, &candidates, &observed, streams.child("acquisition"))
                .with_target(scenario.target)
                .with_surrogate(surrogate.as_deref())
                .with_kernel(scenario.kernel.as_deref())
                .with_device(scenario.device.open());
            let batch = select_batch(&*scenario.acquisition, &cx)?;
            let said = cx.into_recorded();
            if let Some(text) = fill_note(&said, batch.ids.len()) {
                log(format!("round {index}: {text}"));
            }
            recorded.extend(said);
            batch
        };
        seconds.select += clock.elapsed().as_secs_f64();
        let clock = Instant::now();
        let readouts = base.measure(&batch.ids, index, &noise)?;
        seconds.measure += clock.elapsed().as_secs_f64();
        let clock = Instant::now();
        let values = batch_values(&batch.ids, &readouts);
        observed.push(&readouts, index)?;
        candidates.remove(&batch.ids);
        n_measured += batch.ids.len();
        seconds.other += clock.elapsed().as_secs_f64();
        let clock = Instant::now();
        surrogate = fit(model, &inputs, &observed, &streams.child("model"))?;
        fitted_at = Some(index);
        seconds.fit += clock.elapsed().as_secs_f64();
        let clock = Instant::now();
        let posterior = match &surrogate {
            Some(s) if !split.test.is_empty() => {
                let p = s.predict(&split.test)?;
                p.check(split.test.len(), base.n_outputs())?;
                Some(p)
            }
            _ => None,
        };
        let predicted = match &surrogate {
            Some(s) if reads_predicted => Some(predicted_merits(&**s, &split.choosable, base.n_outputs(), scenario)?),
            _ => None,
        };
        seconds.predict += clock.elapsed().as_secs_f64();
        let clock = Instant::now();
        if let Some(s) = &surrogate {
            recorded.extend(s.record());
            s.notes().into_iter().for_each(|text| log(format!("round {index}: {text}")));
        }
        recorded.extend(yardsticks.iter().filter_map(|y| Some((y.name.clone(), y.at(n_measured)?))));
        recorded.extend(online_calls(base, &observed));
        let scored = Scored {
            round: index,
            initial: records.first().map(|r| &r.metrics),
            observed: &observed,
            target: scenario.target,
            test: &split.test,
            test_truth: split.test_truth.as_ref(),
            test_posterior: posterior.as_ref(),
            clearest: clearest.as_deref(),
            is_hit: split.is_hit.as_deref(),
            is_hit_all: split.is_hit_all.as_deref(),
            search: Search {
                ids: &split.choosable,
                merit: split.merit.as_deref(),
                known: known.as_deref(),
                predicted: predicted.as_deref(),
            },
        };
        let metrics = metrics::after_round(names, &scored);
        recorded.retain(|_, v| v.is_finite());
        let record = RoundRecord {
            round: index,
            names: batch.ids.iter().map(|&i| pool.label(i)).collect(),
            ids: batch.ids,
            scores: batch.scores,
            values,
            n_measured,
            metrics,
            recorded,
        };
        keep(&record)?;
        log(summary_line(&record));
        records.push(record);
        seconds.other += clock.elapsed().as_secs_f64();
    }
    Ok(Some((records, seconds)))
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

/// How much the predicted mean of each id is wanted.
fn predicted_merits(s: &dyn Surrogate, ids: &[usize], n_outputs: usize, scenario: &Scenario) -> Result<Vec<f64>> {
    const TILE: usize = 16_384;
    let mut all = Vec::with_capacity(ids.len());
    for tile in ids.chunks(TILE) {
        let p = s.predict(tile)?;
        p.check(tile.len(), n_outputs)?;
        all.extend((0..tile.len()).map(|i| p.merit(i, &scenario.target)));
    }
    Ok(all)
}

/// One number for each chosen perturbation: the mean over its replicates of the value or profile norm.
fn batch_values(ids: &[usize], readouts: &crate::domain::Readouts) -> Vec<f64> {
    let mut sum: std::collections::HashMap<usize, (f64, f64)> = std::collections::HashMap::with_capacity(ids.len());
    for (id, row) in readouts.ids.iter().zip(readouts.y.outer_iter()) {
        let v = if row.len() == 1 { row[0] } else { row.dot(&row).sqrt() };
        let e = sum.entry(*id).or_default();
        *e = (e.0 + v, e.1 + 1.0);
    }
    ids.iter().map(|id| sum.get(id).map_or(f64::NAN, |(s, n)| s / n)).collect()
}

fn replay(r: &RoundRecord, index: usize, candidates: &Candidates, pool: &Pool) -> Result<()> {
    let fits =
        r.round == index && r.ids.iter().zip(&r.names).all(|(&id, n)| candidates.contains(id) && pool.label(id) == *n);
    if fits {
        Ok(())
    } else {
        Err(Error::Data(format!(
            "the unfinished run on disk does not fit its scenario (round {index}); delete its .partial folder to start it afresh"
        )))
    }
}

fn summary_line(r: &RoundRecord) -> String {
    let metrics: Vec<String> = r.metrics.iter().map(|(k, v)| format!("{k} {v:.5}")).collect();
    format!("round {}: {} measured; {}", r.round, r.n_measured, metrics.join(", "))
}
