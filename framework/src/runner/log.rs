//! What becomes of events in the folder of a run: rounds are kept, and what a reader should know is a line of its log.

use super::event::Event;
use super::job::Job;
use crate::error::Result;
use crate::store::{Partial, RoundRecord};

/// Writes an event down; when this returns, it is on disk.
pub(super) fn write(event: &Event, job: &Job, partial: &mut Partial) -> Result<()> {
    match event {
        Event::RunStarted { rounds_done } => {
            let line = match rounds_done.checked_sub(1) {
                Some(last) => format!("going on after round {last}"),
                None if partial.begun_before() => "starting again: no round was finished".to_string(),
                None => format!("{} / seed {} / run {}", job.arm, job.seed, job.id),
            };
            partial.log(&line);
        }
        Event::Note { round: Some(round), text } => partial.log(&format!("round {round}: {text}")),
        Event::Note { round: None, text } => partial.log(text),
        Event::Unplaced { names } => {
            table::write_csv(&names.table, &partial.folder().join("names.csv"))?;
            partial.log(&format!("genes by name: {} (names.csv)", names.summary));
        }
        Event::RoundFinished { record } => {
            partial.keep(record)?;
            partial.log(&summary(record));
        }
        Event::RoundStarted { .. } => {}
        // The store itself writes how a run ended.
        Event::RunFinished { .. } | Event::RunFailed { .. } | Event::RunStopped { .. } => {}
    }
    Ok(())
}

fn summary(r: &RoundRecord) -> String {
    let metrics: Vec<String> = r.metrics.iter().map(|(k, v)| format!("{k} {v:.5}")).collect();
    format!("round {}: {} measured; {}", r.round, r.n_measured, metrics.join(", "))
}
