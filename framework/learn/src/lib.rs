//! What plugins share to learn with. Knows no gene, no pool and no plugin: everything works on rows of numbers.

#[macro_use(fused, wide)]
extern crate numerics;

pub mod clustering;
pub mod density;
pub mod matrix_posterior;
pub mod nn;
pub mod simulate;
pub mod trees;
