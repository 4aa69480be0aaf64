//! Samples as they are tested, with what is known of them.

use crate::domain::Samples;
use crate::plugin::Relation;

/// The samples of one seed, and what is known of them.
pub struct Loaded {
    /// What is tested.
    pub samples: Samples,
    /// How each pair is known to act, in a simulator.
    pub relations: Option<Vec<Relation>>,
    /// Whether each pair is in the study's table of known pairs.
    pub known: Option<Vec<bool>>,
    /// Pairs that cannot be tested, with the reason.
    pub left_out: Vec<(String, String)>,
    /// What the features are called, where samples come from a file.
    pub features: Vec<String>,
    /// What the log should say.
    pub notes: Vec<String>,
}
