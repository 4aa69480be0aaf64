//! Products and factorisations: ndarray outside, faer inside.

mod band;
mod conditioned;
mod dense;
pub mod dots;
mod explained;
mod factors;
mod low_rank;
mod sparse;

pub use band::Band;
pub use conditioned::Conditioned;
pub use dense::{
    matmul, matmul_t, product, product_into, sq_distances, sq_distances_with, sq_norms, symmetric_product,
    times_vector, view, view_mut,
};
pub use explained::Explained;
pub use factors::{Cholesky, eigh};
pub use low_rank::low_rank;
pub use sparse::{Sparse, truncated_svd};

#[cfg(test)]
mod tests;
