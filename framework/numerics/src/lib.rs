//! Linear algebra, Gram matrices, statistics and random streams. Knows no gene, no plugin, no file and no figure.
//!
//! Every operation gives the same bits on any number of threads: work is cut into tiles of fixed size,
//! each tile is computed sequentially, and reductions run in tile order.

#[macro_use]
pub mod wide;

pub mod error;
pub mod gram;
pub mod linalg;
pub mod memory;
pub mod minimise;
pub mod real;
pub mod samples;
pub mod special;
pub mod stats;
pub mod streams;

pub use error::{Error, Result};
pub use gram::{
    Affine, DeepRelu, FeatureGram, Features, Gram, GramSource, MakeRows, Nearest, Normalise, Product, Rows, Sum, Wide,
    alignment, feature_alignment, fuse_dense, posterior, posterior_rows,
};
pub use linalg::{
    Band, Cholesky, Conditioned, Explained, Sparse, eigh, low_rank, matmul, matmul_t, sq_distances, symmetric_product,
    truncated_svd,
};
pub use minimise::lbfgs;
pub use real::Real;
pub use special::{cos_slice, exp_slice, exp_slice_f32};
