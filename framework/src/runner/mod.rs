//! From a resolved scenario and a seed to rounds: open the world and split it, go through the rounds that are stored
//! already, then select, measure, fit and score, round by round. What happens is heard as [`Event`]s while it happens.

mod event;
mod job;
mod log;
mod part;
mod replay;
mod round;
mod score;
mod setup;
mod split;
#[cfg(test)]
mod tests;
mod workers;
mod world;

pub use event::{Event, Listener};
pub use job::Job;
pub use setup::Start;
pub use split::Split;
pub use workers::Workers;
pub(crate) use world::known_pairs;
pub use world::{Base, Worlds};

use crate::error::Result;
use crate::store::{RoundRecord, Seconds};
use score::Scorer;
use setup::{Fixed, State};
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Runs a scenario under one seed; round 0 measures the initial set. `listen` hears of every round before the next one
/// starts, and an error that it returns ends the run.
///
/// Returns all rounds, or nothing when the run was stopped. A run that goes on from earlier rounds gives the same records
/// as one that was never interrupted: readouts are keyed by perturbation and round, and models are fitted from scratch on
/// streams keyed by round.
pub fn execute(start: Start, listen: &mut Listener) -> Result<Option<(Vec<RoundRecord>, Seconds)>> {
    let Start { scenario, seeds, base, done, stop } = start;
    let fixed = Fixed::new(scenario, seeds, base)?;
    let scorer = Scorer::new(&fixed);
    for text in fixed.notes() {
        listen(Event::Note { round: None, text })?;
    }
    let mut state = State::new(&fixed);
    let mut seconds = Seconds::default();
    for index in 0..=fixed.split.rounds {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match done.get(index) {
            Some(record) => replay::replay(&fixed, &mut state, index, record)?,
            None => round::round(&fixed, &scorer, &mut state, index, &mut seconds, listen)?,
        }
    }
    Ok(Some((state.records, seconds)))
}

/// Takes a step and adds the seconds that it took.
fn timed<T>(seconds: &mut f64, step: impl FnOnce() -> T) -> T {
    let clock = Instant::now();
    let out = step();
    *seconds += clock.elapsed().as_secs_f64();
    out
}
