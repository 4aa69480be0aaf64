//! Design and simulate sequential genetic-perturbation screens.
//!
//! This crate holds the loop, the store, the reports and the command line, and hands on what a plugin sees: the nouns
//! ([`domain`]), the six plugin traits ([`plugin`]) and the test kit ([`testing`]) of the contract. It knows no plugin
//! by name: whatever is linked into the program and registered with [`register!`] is in the catalogue.

pub mod campaign;
pub mod cli;
pub mod compatibility;
pub mod interactions;
pub mod laboratory;
pub mod metrics;
pub mod power;
pub mod report;
pub mod runner;
pub mod scenario;
pub mod store;
#[cfg(test)]
mod tiny;

use contract::panics;
pub use contract::{
    Error, ErrorKind, Result, cells, data, domain, error, inventory, measured, metric, ndarray, numerics, plugin,
    prelude, register, serde_json, streams, table, testing, typetag,
};
