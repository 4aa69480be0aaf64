//! One run to do.

use crate::scenario::Scenario;
use crate::store::DataHashes;
use serde_json::Value;
use std::sync::Arc;

/// A run: an arm under a seed.
#[derive(Clone, Debug)]
pub struct Job {
    /// Run id.
    pub id: String,
    /// Scenario name (the results folder).
    pub name: String,
    /// Label of its arm.
    pub arm: String,
    /// Axis values of its arm.
    pub axes: Vec<(String, String)>,
    /// Seed.
    pub seed: u64,
    /// What to run.
    pub scenario: Arc<Scenario>,
    /// The same as plain data.
    pub resolved: Value,
    /// Hashes of its data files.
    pub data: DataHashes,
}
