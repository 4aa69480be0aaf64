//! What is stored of a round, and of the time that rounds took.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a finished round leaves behind: enough to go on from, and all that results are made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundRecord {
    /// 0 for the initial set.
    pub round: usize,
    /// Pool ids measured in this round, in order of selection.
    pub ids: Vec<usize>,
    /// Their names.
    pub names: Vec<String>,
    /// What the acquisition scored them; empty for the initial set.
    pub scores: Vec<f64>,
    /// What was measured, as one number each (the value, or the norm of a profile).
    pub values: Vec<f64>,
    /// Perturbations measured so far.
    pub n_measured: usize,
    /// Metrics that could be computed.
    pub metrics: BTreeMap<String, f64>,
    /// Whatever plugins recorded.
    pub recorded: BTreeMap<String, f64>,
}

/// Where the time of a run went, in seconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Seconds {
    /// Fitting models.
    pub fit: f64,
    /// Predicting the test set.
    pub predict: f64,
    /// Selecting batches.
    pub select: f64,
    /// Asking the oracle.
    pub measure: f64,
    /// Metrics, records and checks.
    pub other: f64,
}

impl Seconds {
    /// All of it.
    pub fn total(&self) -> f64 {
        self.fit + self.predict + self.select + self.measure + self.other
    }
}
