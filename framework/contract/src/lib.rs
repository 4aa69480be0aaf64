//! What a plugin sees of screenwright: the nouns ([`domain`]), the six traits with what
//! a plugin is handed, and the catalogue ([`plugin`]), tables of measurements as tools write them ([`measured`]), what a metric is
//! ([`metric`]), and the kit that tests them ([`testing`]). Knows no
//! scenario, no loop, no store and no figure, so that a change of those compiles no plugin again.

pub mod data;
pub mod domain;
pub mod error;
pub mod measured;
pub mod metric;
#[doc(hidden)]
pub mod panics;
pub mod plugin;
pub mod testing;

pub use cells;
pub use error::{Error, ErrorKind, Result};
pub use inventory;
pub use ndarray;
pub use numerics::{self, streams};
pub use serde_json;
pub use table;
pub use typetag;

/// What most plugin files need: the six traits with what they are handed and what they give back, and the nouns. The
/// rest is found by its path.
pub mod prelude {
    pub use crate::domain::{
        Batch, Block, Candidates, Compose, Direction, Gene, Genes, Inputs, Observed, Perturbation, Pool, Posterior,
        Readouts, Target, Top,
    };
    pub use crate::error::{Error, Result};
    pub use crate::plugin::{
        Abilities, Ability, Acquisition, Experiment, FitContext, Functions, InteractionTest, JointDraws, Kernel,
        KernelContext, LayerFactors, LayerGradients, Mode, Model, Null, Oracle, Position, PosteriorCovariance, Prior,
        PriorContext, Relation, Repair, Representation, Round, RunContext, Screen, Setup, Source, Sources, Surrogate,
        TestContext, TestOutcome, VarianceGradient, transform_needs,
    };
    pub use crate::register;
    pub use ndarray::{Array1, Array2, Array3, ArrayView1, ArrayView2, Axis};
    pub use numerics::streams::{StreamRng, Streams};
    pub use numerics::{Cholesky, FeatureGram, Gram, Normalise, Rows};
    pub use rand::RngExt;
    pub use serde::{Deserialize, Serialize};
}
