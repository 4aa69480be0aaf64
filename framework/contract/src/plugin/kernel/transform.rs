//! What kernels that transform another kernel share.

use super::{Kernel, KernelContext};
use crate::error::{Error, Result};
use crate::plugin::{Abilities, Ability};
use numerics::Gram;

impl KernelContext<'_> {
    /// What a transform acts on: the kernel given to it, else what stands before it in a chain.
    pub fn base(&self, of: Option<&dyn Kernel>, transform: &str) -> Result<Gram> {
        match (of, self.input) {
            // Streams of its own: two projections, one inside the other, must be independent.
            (Some(k), _) => k.gram(&KernelContext { input: None, streams: &self.streams.child("of"), ..*self }),
            (None, Some(g)) => Ok(g.clone()),
            (None, None) => Err(Error::Config(format!(
                "`{transform}` transforms another kernel; give it one as `of`, or put it after one in the steps of a chain"
            ))),
        }
    }
}

/// What a transform of `of` needs, beside its own needs: those of the kernel, or a kernel.
pub fn transform_needs(of: Option<&dyn Kernel>) -> Abilities {
    of.map_or(Abilities::of([Ability::InputKernel]), |k| k.needs())
}
