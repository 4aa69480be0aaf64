//! The nouns: genes, perturbations, pools, readouts, batches.

mod batch;
mod candidates;
mod gene;
mod inputs;
mod pool;
mod readout;
mod samples;
mod target;

pub use batch::{Batch, Top};
pub use candidates::Candidates;
pub use gene::{Gene, Genes, Match, NameReport, SymbolUpdates};
pub use inputs::{Block, Compose, Inputs, Missing};
pub use numerics::samples::{Class, SampleSource};
pub use pool::{Perturbation, Pool, ScreenId};
pub use readout::{Cells, Control, Observed, Posterior, Readouts};
pub use samples::{Grouped, Labels, PairClass, Samples};
pub use target::{Direction, Target};
