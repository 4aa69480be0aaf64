//! From a resolved scenario and a seed to rounds: open, split, then fit, score, select, measure.

mod round;
mod workers;
mod world;

pub use round::{RoundRecord, Seconds, Start, execute};
pub use workers::{Event, Job, Outcome, run_all};
pub(crate) use world::known_pairs;
pub use world::{Base, RunSeeds, Split, Worlds};
