//! Random cells: counts with known moments, and networks that mix latent variables into features.

mod counts;
mod mixing;

pub use counts::{CountLaw, CountSampler, Moments, SHARES};
pub use mixing::Mixing;
