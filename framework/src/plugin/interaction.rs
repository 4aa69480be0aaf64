//! Interaction tests: do two perturbations act independently?

use super::Plugin;
use crate::domain::FourClasses;
use crate::error::Result;
use crate::streams::Streams;

/// The answer of an interaction test.
#[derive(Clone, Debug, PartialEq)]
pub struct TestOutcome {
    /// Larger means further from the null.
    pub score: f64,
    /// Probability of a score at least this large under the null, where the test gives one.
    pub p_value: Option<f64>,
    /// The null hypothesis by name (`additive`, `separable`).
    pub null: &'static str,
    /// Samples of control, first, second, both.
    pub n: [usize; 4],
    /// Further numbers by name.
    pub diagnostics: Vec<(String, f64)>,
}

/// A test of one pair from samples of its four classes.
#[typetag::serde(tag = "use")]
pub trait InteractionTest: Plugin {
    /// Scores a pair; the classes have been checked to be finite, non-empty and of equal width.
    fn test(&self, classes: &FourClasses, streams: &Streams) -> Result<TestOutcome>;
}
