//! Kernel means: squared maximum mean discrepancies, their permutation test, and quadratic forms of kernel blocks
//! that are never stored.
//!
//! Kernel values come in tiles of fixed size from one product of rows that were moved to a common centre; what is
//! summed up over a tile is kept in f64 and added in tile order, so that the result has the same bits on any number of
//! threads. Memory is that of the rows and one tile a thread.

mod kernel;
mod place;
mod points;
mod sums;
mod two_sample;

pub use kernel::{MeanKernel, Shape};
pub use place::Place;
pub use points::Points;
pub use sums::{BlockSums, OwnSums, unit_sizes};
pub use two_sample::{Pooled, TwoSample, mmd2, two_sample};

#[cfg(test)]
mod tests;
