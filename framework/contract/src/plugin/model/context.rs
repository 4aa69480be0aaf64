//! What a model is handed.

use crate::domain::{Inputs, Observed};
use numerics::streams::Streams;
use std::sync::Arc;

/// What a model sees when it is fitted.
pub struct FitContext<'a> {
    /// Features of all perturbations; kept by the surrogate to predict by id.
    pub inputs: &'a Arc<Inputs>,
    /// All measurements so far; never empty.
    pub observed: &'a Observed,
    /// Streams of this model in this round.
    pub streams: &'a Streams,
}
