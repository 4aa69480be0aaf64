//! A perceptron on the sum of every row of one table (u) and every row of another (p): batch normalisation and ReLU,
//! MLP(d, h, d), and a linear readout of each u of its own:
//!
//!   x = relu(bn₀(a_u + b_p)),  H = relu(bn₁(x W₁)),  o_pu = ⟨r_u, bn₂(H W₂)⟩ + c_u.
//!
//! Each p stands for a share of the samples of a batch, and the normalisations are those over samples and u. The
//! moments of bn₀ are sums of those of a and b; bn₂ and the readout are one product. Work goes in blocks of u: a block
//! takes all p in turn, a few at a time, so that a tile stays in the cache from one product to the next. Six
//! products of d x h numbers for each p and u in a training step, 12 d h operations: 98,304 at d = 64, h = 128.

mod loops;
mod passes;

pub use passes::{OuterMlp, OuterPass};

#[cfg(test)]
mod tests;
