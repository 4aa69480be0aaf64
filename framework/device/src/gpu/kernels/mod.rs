//! The kernels. Every cube has 256 units. Rows lie on the device feature by feature (`d_pad x n_pad`, four rows to
//! a vector), so that neighbouring units read neighbouring memory; padding is zero. A cube of a greedy kernel owns
//! 128 rows: 32 lanes of four rows, times 8 slices of the features that are added in a fixed order.
//!
//! Best rows travel between launches as one (score, row) per cube; every cube of the next launch reduces them for
//! itself, so that a pick costs no launch and no transfer of its own. `flip` tells which half of the winners is
//! read; the other half is written.

mod bait;
mod ceiling;
mod common;
mod greedy;
mod pairwise;
mod rows;

pub use bait::*;
pub use ceiling::*;
pub use common::*;
pub use greedy::*;
pub use pairwise::*;
pub use rows::*;
