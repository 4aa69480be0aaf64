//! The six kinds of plugin, each in a room with what it is handed, and the catalogue of what is linked in.
//!
//! A plugin is one file: a struct of parameters, an `impl` of its kind under
//! `#[typetag::serde(name = "...")]`, and one [`register!`](crate::register) line. The file, the tag and
//! the catalogue share one name.

mod abilities;
mod acquisition;
mod catalogue;
mod interaction;
mod kernel;
mod model;
mod oracle;
mod prior;
mod surrogate;

pub use abilities::{Abilities, Ability};
pub use acquisition::{
    Acquisition, Best, DrawnMerits, Held, Mode, Position, Round, RunContext, check_batch, fill_note, select_batch,
    tie_note,
};
pub use catalogue::{Entry, Kind, Plugin, catalogue, check, fields, find};
pub use interaction::{InteractionTest, Null, TestContext, TestOutcome};
pub use kernel::{
    FeatureMap, Fusion, Kernel, KernelContext, Length, Outputs, Repair, SHARED_SETTINGS, Source, Sources, Stationary,
    fit_weights, fourier_features, gp_problem, mean_readouts, median_distance, median_of_pairs, transform_needs,
};
pub use model::{FitContext, Model};
pub use oracle::{DrawClass, Experiment, Oracle, Relation, SampledScreen, Screen, Setup};
pub use prior::{Prior, PriorContext};
pub use surrogate::{
    Covariance, Drawn, Functions, JointDraws, LayerFactors, LayerGradients, PosteriorCovariance, Representation,
    Surrogate, VarianceGradient,
};
