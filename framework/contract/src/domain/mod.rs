//! The nouns: genes, perturbations, pools, readouts, batches.

mod batch;
mod candidates;
mod gene;
mod inputs;
mod mismatch;
mod names;
mod pool;
mod readout;
mod samples;
mod suspects;
mod symbols;
mod target;

pub use batch::{Batch, Top};
pub use candidates::Candidates;
pub use gene::{Gene, Genes, Match, NameReport, Unplaced};
pub use inputs::{Block, Compose, Inputs, Missing};
pub use names::Names;
pub use numerics::samples::{Class, SampleSource};
pub use pool::{Perturbation, Pool, ScreenId};
pub use readout::{Cells, Control, MissingRows, Observed, Posterior, Readouts};
pub use samples::{Grouped, Labels, PairClass, Samples};
pub use suspects::Suspects;
pub use symbols::SymbolUpdates;
pub use target::{Direction, Target};
