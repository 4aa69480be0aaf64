//! Fully connected networks: batched passes, gradients and training steps.
//!
//! Layer l computes z = c_w a W + c_b b from its input a, and a hidden layer hands its activation on. The factors
//! c_w and c_b make the parametrisation: σ_w/√inputs and σ_b in that of the neural tangent kernel, 1 in the
//! standard one. The gradient of a loss is c_w aᵀδ for W and c_b δ for b, δ the signal propagated back to z.
//!
//! A training step is [`Pass::forward`], the caller's signal at the output, [`Pass::backward`] and [`Pass::step`]:
//! the passes run over tiles of rows, gradient and update over blocks of W while they are in the cache. Nothing is
//! allocated of the size of the network or the batch. O(rows x parameters) a step.

mod layer;
mod pass;
mod stack;
mod tiles;

pub use layer::{Activation, Layer, Start};
pub use pass::Pass;
pub use stack::Network;

#[cfg(test)]
mod tests;
