//! A network on sets of genes: what their effects alone say, and what learned embeddings of the genes add.
//!
//! f(S) = A(y_g: g in S) + B(Σ_{g in S} h(x_g)), after NAIAD (Qin et al.; `docs/design/naiad.md`). With D for dropout
//! before an activation, scaled by 1/(1 - p):
//!
//! A = w·gelu(D(y W1)) + b, or, deep, w·gelu(D(gelu(D(y W1)) W2)) + b: no biases inside, one number an effect, so that
//! its order counts. B = v·relu(D(s L3 + b3)) + c with s = Σ relu(x_g L1 + b1), or, lifted, s = Σ (relu(D(x_g L1 + b1)) L2
//! + b2). x_g is a row of a table of parameters, or a learned product of given features (tied).
//!
//! Sums of linear maps are linear maps of sums, so L2 L3 is one matrix while rows pass, and x_g L1 is computed once a
//! gene. Dropped units are found by drawing how many are kept before the next one: a tenth of the numbers at p = 0.1.
//! A step costs 6 rows x order x hidden (+ 6 rows x hidden² deep) + 6 (rows + genes) x width² operations and
//! rows x hidden normal distribution functions. Units are padded to a multiple of eight that stay 0. The same bits on
//! any number of threads: rows pass in tiles with streams of their own, whose gradients are added in order.

mod dropout;
mod gelu;
mod loops;
mod parameters;
mod predict;
mod sets;
mod sizes;
mod tile;
mod training;

pub use gelu::Lane;
pub use parameters::SetNetwork;
pub use predict::Ready;
pub use sets::{Sets, Table};
pub use sizes::SetSizes;
pub use training::{SetTraining, rate_share};

#[cfg(test)]
mod tests;
