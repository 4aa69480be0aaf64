//! Feature rows and Gram matrices: made, transformed, compared, conditioned on what was measured.

mod condition;
mod deep_relu;
pub mod features;
mod matrix;
mod nearest;
pub mod normalise;

pub use condition::{posterior, posterior_rows};
pub use deep_relu::{DeepRelu, Wide};
pub use features::{Features, MakeRows, Rows};
pub use matrix::{Affine, FeatureGram, Gram, GramSource, Product, Sum};
pub use nearest::Nearest;
pub use normalise::{Normalise, alignment, feature_alignment, fuse_dense};
