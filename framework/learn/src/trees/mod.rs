//! Exact regression trees: growing many on resampled rows, and walking many rows through them.
//!
//! A split of a node with weight W into w and W - w, whose left side has the weighted sum of deviations s from the
//! node's mean, gains s² W / (w (W - w)); all thresholds of all tried features are compared, equal gains (up to
//! rounding) go to the first feature (in an order drawn for each bagged tree) and its lowest threshold. Thresholds lie midway between neighbouring values.
//!
//! Features are sorted once for all trees. A node with many rows keeps its rows in the order of every feature, and
//! four features are searched side by side; its order comes from its parent's by a stable partition. A node with few
//! rows sorts them in registers, eight features at a time, and stops as soon as a feature parts its outcomes as well
//! as any could. Time: O(drawn rows x features x levels of nodes with many rows).

#[cfg(target_arch = "x86_64")]
mod avx;
mod few;
mod four;
mod grow;
mod many;
mod node;
mod sorted;
mod tree;

pub use grow::grow;
pub use node::Growth;
pub use tree::Tree;
