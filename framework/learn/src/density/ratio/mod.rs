//! Density ratios between all classes of a screen by one network.
//!
//! f(x, c) = Enc(x)·W_c learns to tell samples with their own class from samples with the class of another: with f_joint
//! and f_marginal its values for the two, the loss of a batch of B is (1/2B) Σ [ln(1 + e^-f_joint) + ln(1 + e^f_marginal)].
//! At its least, f(x, c) = ln p(x|c)/p(x), so that ln p(x|a)/p(x|b) = f(x, a) - f(x, b) for any two classes.
//!
//! Marginal pairs come from permuting the classes of the batch (the paper's way). Of the head only the two rows of W
//! that a sample needs are touched, whatever the number of classes: a step costs what the encoder costs. Samples are
//! fetched a batch at a time, sorted by class, so that sources which make samples on demand are never held whole.

mod encoder;
mod head;
mod standard;
mod trained;
mod training;

pub use encoder::{ConvEncoder, Encoder, MlpEncoder};
pub use standard::{Scale, Standard};
pub use trained::{Ratio, Trained};
pub use training::{Keep, Schedule, train};

#[cfg(test)]
mod tests;
