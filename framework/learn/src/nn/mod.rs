//! Neural networks, on one thread or many with the same bits.

pub mod batch_norm;
pub mod conv;
pub mod dropout_mlp;
pub mod ensemble;
mod fused;
pub mod network;
pub mod optimiser;
pub mod outer_mlp;
pub mod scaling;
pub mod set_network;
