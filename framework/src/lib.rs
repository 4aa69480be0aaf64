//! Design and simulate sequential genetic-perturbation screens.
//!
//! This crate holds the nouns ([`domain`]), the six plugin traits ([`plugin`]), the loop, the store,
//! the reports and the command line. It knows no plugin by name: whatever is linked into the program
//! and registered with [`register!`] is in the catalogue.

pub mod cli;
pub mod data;
pub mod domain;
pub mod error;
pub mod interactions;
pub mod metrics;
pub mod numerics;
pub mod plugin;
pub mod power;
pub mod report;
pub mod runner;
pub mod scenario;
pub mod store;
pub mod streams;
pub mod testing;

pub use cells;
pub use error::{Error, Result};
pub use inventory;
pub use ndarray;
pub use serde_json;
pub use table;
pub use typetag;

/// What a plugin file needs.
pub mod prelude {
    pub use crate::domain::*;
    pub use crate::error::{Error, Result};
    pub use crate::numerics::{Cholesky, FeatureGram, Features, Gram, GramSource, Normalise, Rows};
    pub use crate::plugin::*;
    pub use crate::register;
    pub use crate::streams::{StreamRng, Streams};
    pub use ndarray::{Array1, Array2, Array3, ArrayView1, ArrayView2, Axis};
    pub use rand::{Rng, RngExt};
    pub use serde::{Deserialize, Serialize};
}
