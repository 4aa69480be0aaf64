//! Dense linear algebra, Gram matrices and statistics. Knows no plugin, no file and no figure.
//!
//! Every operation gives the same bits on any number of threads: work is cut into tiles of fixed size,
//! each tile is computed sequentially, and reductions run in tile order.

/// Compiles a function a second time for processors with AVX2: the same operations eight at a time, the same bits.
macro_rules! wide {
    ($(#[$doc:meta])* $vis:vis fn $name:ident $(<$t:ident: $bound:ident>)? ($($arg:ident: $type:ty),* $(,)?)
        $(-> $out:ty)? $body:block) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name $(<$t: $bound>)? ($($arg: $type),*) $(-> $out)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn any $(<$t: $bound>)? ($($arg: $type),*) $(-> $out)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                #[allow(clippy::too_many_arguments)]
                fn avx2 $(<$t: $bound>)? ($($arg: $type),*) $(-> $out)? {
                    any($($arg),*)
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the feature that the function is compiled for was just found.
                    return unsafe { avx2($($arg),*) };
                }
            }
            any($($arg),*)
        }
    };
}

pub mod band;
pub mod batch_norm;
pub mod calls;
pub mod compare;
pub mod condition;
pub mod conditioned;
pub mod conv;
pub mod cos;
pub mod counts;
pub mod deep_relu;
mod dots;
pub mod dropout_mlp;
pub mod ensemble;
pub mod exp;
pub mod explained;
pub mod features;
mod fused;
pub mod gram;
pub mod kmeans;
pub mod knn_kl;
pub mod linalg;
pub mod low_rank;
pub mod matrix_posterior;
pub mod minimise;
pub mod mixing;
pub mod mmd;
pub mod nearest;
pub mod network;
pub mod normalise;
pub mod outer_mlp;
pub mod ratio;
pub mod scaling;
pub mod set_network;
pub mod smile;
pub mod sparse;
pub mod stats;
pub mod trees;

pub use band::Band;
pub use condition::{posterior, posterior_rows};
pub use conditioned::Conditioned;
pub use cos::cos_slice;
pub use counts::{CountLaw, CountSampler, Moments};
pub use deep_relu::{DeepRelu, Wide};
pub use exp::{exp_slice, exp_slice_f32};
pub use explained::Explained;
pub use features::{Features, Rows};
pub use gram::{Affine, FeatureGram, Gram, GramSource, Product, Sum};
pub use linalg::{Cholesky, eigh, matmul, matmul_t, sq_distances, symmetric_product};
pub use low_rank::low_rank;
pub use minimise::lbfgs;
pub use mixing::Mixing;
pub use mmd::{MeanKernel, Points, Shape};
pub use nearest::Nearest;
pub use normalise::{Normalise, alignment, feature_alignment, fuse_dense};
pub use scaling::{OutputScale, Scaling, standardised};
pub use sparse::{Sparse, truncated_svd};
