//! Feature rows and Gram matrices: made, transformed, compared, conditioned on what was measured.

mod compositions;
mod condition;
mod deep_relu;
pub mod features;
mod matrix;
mod nearest;
pub mod normalise;
mod of_rows;

pub use compositions::{Affine, Product, Sum};
pub use condition::{posterior, posterior_rows};
pub use deep_relu::{DeepRelu, Wide};
pub use features::{Features, MakeRows, Rows};
pub use matrix::{Gram, GramSource};
pub use nearest::Nearest;
pub use normalise::{Normalise, alignment, feature_alignment, fuse_dense};
pub use of_rows::FeatureGram;

#[cfg(test)]
mod tests;
