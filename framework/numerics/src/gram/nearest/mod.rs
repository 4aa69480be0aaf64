//! The distance of every candidate to its nearest centre, kept up to date while centres are added.
//!
//! Rules that spread a batch over the pool share this state. Rows in memory are compared by norms and one
//! product after moving the origin into the cloud, and by direct differences where the two are close, so
//! that duplicates are at distance exactly 0; other kernels through k(x, x) + k(y, y) - 2 k(x, y), where
//! values at the level of rounding are 0. Every tile of rows is one task and results are taken in tile
//! order, so they do not depend on the number of threads.

mod distances;
mod state;

pub use state::Nearest;

#[cfg(test)]
mod tests;
