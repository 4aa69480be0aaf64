//! The six kinds of plugin and the catalogue of what is linked in.
//!
//! A plugin is one file: a struct of parameters, an `impl` of its kind under
//! `#[typetag::serde(name = "...")]`, and one [`register!`](crate::register) line. The file, the tag and
//! the catalogue share one name.

mod acquisition;
mod capability;
mod catalogue;
mod interaction;
mod kernel;
mod model;
mod oracle;
mod prior;
mod surrogate;

pub use acquisition::Acquisition;
pub use capability::{Abilities, Ability};
pub use catalogue::{Entry, Kind, Plugin, catalogue, check, fields, find};
pub use interaction::{InteractionTest, Null, TestOutcome};
pub use kernel::{FeatureMap, Kernel};
pub use model::Model;
pub use oracle::{Experiment, Oracle, Relation, Screen};
pub use prior::Prior;
pub use surrogate::{
    Drawn, Functions, JointDraws, LayerFactors, LayerGradients, PosteriorCovariance, Representation, Surrogate,
    VarianceGradient,
};
