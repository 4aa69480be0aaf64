//! One round: select a batch, measure it, fit the model again, predict, score, and hand on what came of it.

use super::event::{Event, Listener};
use super::score::{Predictions, Scorer};
use super::setup::{Fixed, State};
use super::timed;
use crate::domain::{Batch, Readouts};
use crate::error::Result;
use crate::plugin::{Round, RunContext, fill_note, select_batch};
use crate::store::{RoundRecord, Seconds};
use std::collections::{BTreeMap, HashMap};

/// Numbers that plugins recorded, by name.
type Recorded = BTreeMap<String, f64>;

pub(super) fn round(
    fixed: &Fixed,
    scorer: &Scorer,
    state: &mut State,
    index: usize,
    seconds: &mut Seconds,
    listen: &mut Listener,
) -> Result<()> {
    listen(Event::RoundStarted { round: index })?;
    let (batch, recorded) = timed(&mut seconds.select, || select(fixed, state, index, listen))?;
    let readouts = timed(&mut seconds.measure, || fixed.base.measure(&batch.ids, index, &fixed.noise))?;
    let mut record = timed(&mut seconds.other, || take(fixed, state, index, batch, recorded, &readouts))?;
    timed(&mut seconds.fit, || state.fit(fixed, index))?;
    let predictions = timed(&mut seconds.predict, || scorer.predict(fixed, state))?;
    timed(&mut seconds.other, || {
        judge(fixed, scorer, state, &predictions, &mut record, listen)?;
        state.records.push(record.clone());
        listen(Event::RoundFinished { record })
    })
}

/// The initial set, or the batch that the acquisition chooses, and what it recorded.
fn select(fixed: &Fixed, state: &mut State, index: usize, listen: &mut Listener) -> Result<(Batch, Recorded)> {
    let Some(last) = index.checked_sub(1) else {
        return Ok((Batch { ids: fixed.split.init.clone(), scores: vec![] }, Recorded::new()));
    };
    if state.fitted_after != Some(last) {
        // Going on after an interruption: the model of the last finished round is made again.
        state.fit(fixed, last)?;
    }
    let scenario = fixed.scenario;
    let round = Round { index, of: fixed.split.rounds, batch: scenario.batch };
    let streams = fixed.streams(index).child("acquisition");
    let cx = RunContext::new(round, &fixed.inputs, &state.candidates, &state.observed, streams)
        .with_target(scenario.target)
        .with_surrogate(state.surrogate.as_deref())
        .with_kernel(scenario.kernel.as_deref())
        .with_device(scenario.device.open());
    let batch = select_batch(&*scenario.acquisition, &cx)?;
    let recorded = cx.into_recorded();
    if let Some(text) = fill_note(&recorded, batch.ids.len()) {
        listen(Event::Note { round: Some(index), text })?;
    }
    Ok((batch, recorded.into_iter().collect()))
}

/// Adds what was measured, and starts the record of the round with it.
fn take(
    fixed: &Fixed,
    state: &mut State,
    index: usize,
    batch: Batch,
    recorded: Recorded,
    readouts: &Readouts,
) -> Result<RoundRecord> {
    let values = batch_values(&batch.ids, readouts);
    state.observed.push(readouts, index)?;
    state.candidates.remove(&batch.ids);
    state.n_measured += batch.ids.len();
    Ok(RoundRecord {
        round: index,
        names: batch.ids.iter().map(|&id| fixed.base.pool().label(id)).collect(),
        ids: batch.ids,
        scores: batch.scores,
        values,
        n_measured: state.n_measured,
        metrics: BTreeMap::new(),
        recorded,
    })
}

/// The mean over the replicates of each chosen perturbation of the value, or of the norm of the profile.
fn batch_values(ids: &[usize], readouts: &Readouts) -> Vec<f64> {
    let mut sum: HashMap<usize, (f64, f64)> = HashMap::with_capacity(ids.len());
    for (id, row) in readouts.ids.iter().zip(readouts.y.outer_iter()) {
        let v = if row.len() == 1 { row[0] } else { row.dot(&row).sqrt() };
        let e = sum.entry(*id).or_default();
        *e = (e.0 + v, e.1 + 1.0);
    }
    ids.iter().map(|id| sum.get(id).map_or(f64::NAN, |(s, n)| s / n)).collect()
}

/// Fills in what is known once the model is fitted: what it recorded, and how the round is scored.
fn judge(
    fixed: &Fixed,
    scorer: &Scorer,
    state: &State,
    predictions: &Predictions,
    record: &mut RoundRecord,
    listen: &mut Listener,
) -> Result<()> {
    if let Some(surrogate) = &state.surrogate {
        record.recorded.extend(surrogate.record());
        for text in surrogate.notes() {
            listen(Event::Note { round: Some(record.round), text })?;
        }
    }
    record.recorded.extend(scorer.beside(fixed, state));
    record.recorded.retain(|_, v| v.is_finite());
    record.metrics = scorer.metrics(fixed, state, record.round, predictions);
    Ok(())
}
