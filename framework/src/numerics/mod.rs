//! Dense linear algebra, Gram matrices and statistics. Knows no plugin, no file and no figure.
//!
//! Every operation gives the same bits on any number of threads: work is cut into tiles of fixed size,
//! each tile is computed sequentially, and reductions run in tile order.

pub mod band;
pub mod condition;
pub mod counts;
pub mod deep_relu;
mod dots;
pub mod exp;
pub mod explained;
pub mod features;
pub mod gram;
pub mod kmeans;
pub mod linalg;
pub mod low_rank;
pub mod minimise;
pub mod nearest;
pub mod network;
pub mod normalise;
pub mod sparse;
pub mod stats;

pub use band::Band;
pub use condition::{posterior, posterior_rows};
pub use counts::{CountLaw, CountSampler, Moments};
pub use deep_relu::{DeepRelu, Wide};
pub use exp::exp_slice;
pub use explained::Explained;
pub use features::{Features, Rows};
pub use gram::{Affine, FeatureGram, Gram, GramSource, Product, Sum};
pub use linalg::{Cholesky, eigh, matmul, matmul_t, sq_distances, symmetric_product};
pub use low_rank::low_rank;
pub use minimise::lbfgs;
pub use nearest::Nearest;
pub use normalise::{Normalise, alignment, feature_alignment, fuse_dense};
pub use sparse::{Sparse, truncated_svd};
