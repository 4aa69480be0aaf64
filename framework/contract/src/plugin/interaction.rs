//! Interaction tests: do two perturbations act independently?

use super::Plugin;
use crate::domain::Samples;
use crate::error::Result;
use device::Device;
use numerics::streams::Streams;
use serde::{Deserialize, Serialize};

/// What independent action means; the two are different hypotheses (a pair may fulfil one and violate the other).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Null {
    /// Densities, and with them all means, add up: p_ij + p_0 = p_i + p_j.
    Additive,
    /// Density ratios multiply: p_ij p_0 = p_i p_j.
    Separable,
}

impl Null {
    /// The word in tables.
    pub fn word(self) -> &'static str {
        match self {
            Null::Additive => "additive",
            Null::Separable => "separable",
        }
    }
}

/// The answer of an interaction test for one pair.
#[derive(Clone, Debug, PartialEq)]
pub struct TestOutcome {
    /// Larger means further from the null.
    pub score: f64,
    /// Probability of a score at least this large under the null, where the test gives one.
    pub p_value: Option<f64>,
    /// Samples of control, first, second, both.
    pub n: [usize; 4],
    /// Further numbers by name; the same names for every pair.
    pub diagnostics: Vec<(String, f64)>,
}

/// What a test is given.
pub struct TestContext<'a> {
    /// Samples of control, singles and pairs, checked to be finite, non-empty and of equal width.
    pub samples: &'a Samples,
    /// Streams of this test.
    pub streams: &'a Streams,
    device: Option<&'a dyn Device>,
    progress: Option<&'a (dyn Fn(usize, usize) + Sync)>,
}

impl<'a> TestContext<'a> {
    /// Without a GPU, telling nobody how far it is.
    pub fn new(samples: &'a Samples, streams: &'a Streams) -> Self {
        Self { samples, streams, device: None, progress: None }
    }

    /// A GPU for tests that can use one.
    pub fn with_device(self, device: Option<&'a dyn Device>) -> Self {
        Self { device, ..self }
    }

    /// Somebody to tell how far a long test has come: steps done and steps in all.
    pub fn with_progress(self, progress: &'a (dyn Fn(usize, usize) + Sync)) -> Self {
        Self { progress: Some(progress), ..self }
    }

    /// The GPU, if there is one.
    pub fn device(&self) -> Option<&'a dyn Device> {
        self.device
    }

    /// Tells how far the test has come. Tests that may take seconds call it now and then.
    pub fn tick(&self, done: usize, of: usize) {
        if let Some(p) = self.progress {
            p(done, of);
        }
    }
}

/// A test of all pairs of a screen, which share control and single perturbations.
#[typetag::serde(tag = "use")]
pub trait InteractionTest: Plugin {
    /// One outcome for each pair of the samples, in their order. The caller has left out pairs with a class of fewer
    /// than [`InteractionTest::min_samples`].
    fn test(&self, cx: &TestContext) -> Result<Vec<TestOutcome>>;

    /// Its null hypothesis.
    fn null(&self) -> Null;

    /// Samples that it needs in each class of a pair.
    fn min_samples(&self) -> usize {
        1
    }
}
