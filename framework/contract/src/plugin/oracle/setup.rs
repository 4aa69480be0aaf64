//! What oracles and priors are handed when data is opened.

use crate::data::DataRoot;
use numerics::streams::Streams;

/// What is at hand when data is opened.
pub struct Setup<'a> {
    /// Tables under the data root, each read once.
    pub data: &'a DataRoot,
    /// Streams of the world (the same for every arm under one seed).
    pub streams: &'a Streams,
}
