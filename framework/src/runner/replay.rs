//! Rounds that an earlier attempt finished: their batches are measured again, everything else is read.

use super::setup::{Fixed, State};
use crate::error::{Error, Result};
use crate::store::RoundRecord;

/// Takes a stored round as done. Readouts are keyed by perturbation and round, so they come out as before.
pub(super) fn replay(fixed: &Fixed, state: &mut State, index: usize, record: &RoundRecord) -> Result<()> {
    if !fits(fixed, state, index, record) {
        return Err(Error::Data(format!(
            "the unfinished run on disk does not fit its scenario (round {index}); delete its .partial folder to start it afresh"
        )));
    }
    state.observed.push(&fixed.base.measure(&record.ids, index, &fixed.noise)?, index)?;
    state.candidates.remove(&record.ids);
    state.n_measured += record.ids.len();
    state.records.push(record.clone());
    Ok(())
}

fn fits(fixed: &Fixed, state: &State, index: usize, record: &RoundRecord) -> bool {
    let pool = fixed.base.pool();
    let mut chosen = record.ids.iter().zip(&record.names);
    record.round == index && chosen.all(|(&id, name)| state.candidates.contains(id) && pool.label(id) == *name)
}
