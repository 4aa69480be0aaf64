//! The rules of a batch.

use super::{Acquisition, RunContext};
use crate::domain::{Batch, Candidates, Pool};
use crate::error::{Error, Result};

/// Checks the rules of a batch: right size, no repeats, only candidates.
pub fn check_batch(batch: &Batch, candidates: &Candidates, pool: &Pool, want: usize) -> Result<()> {
    if batch.ids.len() != want || batch.scores.len() != want {
        return Err(Error::Plugin(format!(
            "the acquisition returned {} perturbations and {} scores where {want} were asked for",
            batch.ids.len(),
            batch.scores.len()
        )));
    }
    let mut sorted = batch.ids.clone();
    sorted.sort_unstable();
    if let Some(w) = sorted.windows(2).find(|w| w[0] == w[1]) {
        return Err(Error::Plugin(format!("the acquisition chose `{}` twice in one batch", name(pool, w[0]))));
    }
    if let Some(&id) = batch.ids.iter().find(|&&id| !candidates.contains(id)) {
        return Err(Error::Plugin(format!(
            "the acquisition chose `{}`, which is not a candidate (already measured, held out, or outside the pool)",
            name(pool, id)
        )));
    }
    match batch.scores.iter().find(|s| !s.is_finite()) {
        Some(s) => Err(Error::Plugin(format!("the acquisition returned the score {s}; scores must be finite"))),
        None => Ok(()),
    }
}

fn name(pool: &Pool, id: usize) -> String {
    if id < pool.len() { pool.label(id) } else { format!("number {id}") }
}

/// Selects one batch and checks it; everything that `run` and `suggest` share.
pub fn select_batch(acquisition: &dyn Acquisition, cx: &RunContext) -> Result<Batch> {
    let want = cx.batch();
    if want > cx.candidates.len() {
        return Err(Error::Config(format!(
            "a batch of {want} is larger than the {} candidates left; lower the batch",
            cx.candidates.len()
        )));
    }
    let batch = acquisition.select(cx)?;
    check_batch(&batch, cx.candidates, cx.pool, want)?;
    Ok(batch)
}

/// What to tell where a rule could not finish its batch by itself.
pub fn fill_note(recorded: &[(String, f64)], batch: usize) -> Option<String> {
    let filled = recorded.iter().find(|r| r.0 == "filled").map(|r| r.1).filter(|n| *n > 0.0)?;
    Some(format!(
        "{filled} of {batch} were chosen at random: the rule could not tell the candidates left apart (all at distance or \
         variance 0); check the features and the kernel"
    ))
}

/// What to tell where the scores of a whole batch are alike and there were others to choose: then the order of the pool
/// chose, not the rule.
pub fn tie_note(batch: &Batch, candidates: usize) -> Option<String> {
    const ALIKE: f64 = 1e-9;
    let (first, n) = (*batch.scores.first()?, batch.scores.len());
    let alike = batch.scores.iter().all(|s| (s - first).abs() <= ALIKE * first.abs().max(1e-300));
    (alike && n > 1 && candidates > n && first != 0.0).then(|| {
        format!(
            "all {n} chosen have the same score ({first:.6}): what the rule reads does not tell the candidates apart, so these are \
             simply the first of them"
        )
    })
}
