//! A small convolutional encoder: 3 x 3 convolutions that halve the image, batch normalisation, (leaky) ReLU.
//!
//! Pixels lie channels last, so that a convolution is one product of gathered patches (rows x 9 channels) with the
//! weights, batch normalisation works on columns, and what leaves a level enters the next as it is. Patches are
//! gathered a few images at a time, and again in the backward pass: memory is that of the activations, not nine times that.
//! A batch is cut into eight parts whatever the number of threads; sums over parts run in their order.
//! O(images x pixels x 9 x channels in x channels out) a level.

mod level;
mod net;

pub use level::{ConvShape, End, Shrink};
pub use net::{ConvNet, ConvPass};

#[cfg(test)]
mod tests;
