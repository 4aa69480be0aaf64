//! Normalisations of kernels: one or two constants, or one number a row, computed over a scope of positions and
//! applied where entries are read. Nothing n x n is stored.
//!
//! K is the matrix over the scope (measured perturbations and candidates). The largest entry of a positive
//! semidefinite matrix is its largest diagonal entry, so `max`, `diag` and `trace` read the diagonal only;
//! `min_max` passes over the lower triangle once in tiles, `frobenius` of d < n features is ‖ΦᵀΦ‖_F in O(n d²),
//! and `center` subtracts the mean row of features.

mod alignment;
mod fuse;
mod method;
mod size;

pub use alignment::{alignment, centre_dense, dot, feature_alignment};
pub use fuse::fuse_dense;
pub use method::Normalise;

#[cfg(test)]
mod tests;
