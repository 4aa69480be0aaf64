//! What happens in a run, told while it happens.

use super::world::Unplaced;
use crate::error::Result;
use crate::store::RoundRecord;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Something that happened in a run. A run that starts ends in exactly one of [`Event::RunFinished`],
/// [`Event::RunFailed`] and [`Event::RunStopped`].
#[derive(Clone, Debug)]
pub enum Event {
    /// A run began, or went on from where an earlier attempt ended.
    RunStarted {
        /// Rounds that earlier attempts finished, the initial set counted as one.
        rounds_done: usize,
    },

    /// Something that the reader of the log should know.
    Note {
        /// The round that it is about; absent where it is about the whole run.
        round: Option<usize>,
        /// What to know.
        text: String,
    },

    /// Names of genes that priors lack or that may mean several genes.
    Unplaced {
        /// Which, and how many.
        names: Unplaced,
    },

    /// A round began.
    RoundStarted {
        /// Its number; 0 is the initial set.
        round: usize,
    },

    /// A round was selected, measured, fitted and scored.
    RoundFinished {
        /// What is stored of it.
        record: RoundRecord,
    },

    /// All rounds are finished and stored.
    RunFinished {
        /// Metrics of the last round.
        metrics: BTreeMap<String, f64>,
        /// Its folder in the store.
        folder: PathBuf,
        /// Seconds since it started.
        seconds: f64,
    },

    /// The run cannot go on; its finished rounds are kept.
    RunFailed {
        /// Why.
        reason: String,
        /// The folder with its log.
        folder: PathBuf,
        /// Seconds since it started.
        seconds: f64,
    },

    /// The run was asked to stop, and the same command goes on from here.
    RunStopped {
        /// Seconds since it started.
        seconds: f64,
    },
}

/// Whoever wants to hear of events; an error of a listener ends the run.
pub type Listener<'a> = dyn FnMut(Event) -> Result<()> + 'a;
