//! Nearest neighbours, and the Kullback-Leibler divergence that follows from their distances.
//!
//! Of n samples x of P and m samples of Q in d dimensions, KL(P ‖ Q) is estimated by
//! (d/n) Σᵢ ln(νₖ(xᵢ)/ρₖ(xᵢ)) + ln(m/(n - 1)), ρₖ the distance to the k-th neighbour among the other samples of P, νₖ
//! that to the k-th among those of Q (Wang, Kulkarni & Verdú 2009). It can be negative, and it lies below the truth
//! where samples of P fall where Q has next to none.
//!
//! Neighbours come from a k-d tree up to ten dimensions (leaves of 16 points, one dimension after another, so that a
//! leaf is compared eight or sixteen numbers at a time; bounds are exact in floating point, no neighbour is missed),
//! and from tiled products above. Queries go in the order of their own tree, so that the next one finds its part of
//! the other tree in the cache. O((n + m) log m) in few dimensions, O(n m d) in many.
//!
//! The error of an estimate comes from estimates by random halves of the samples, whose difference has four times its
//! variance. The bootstrap would put each sample in twice, at distance 0 to itself, and the jackknife counts what
//! neighbours do together twice (Efron & Stein 1981): in simulations its variance was 1.6 times too large. A list of about
//! 3 k neighbours tells the distances within nearly all halves; the few others are searched for.

mod brute;
mod divergence;
mod index;
mod search;
mod tree;

pub use divergence::{Base, Halves, Kl, half_error, knn_kl};
pub use index::{Index, Neighbours};

#[cfg(test)]
mod tests;
