//! Interaction tests: do two perturbations act independently?

mod context;

pub use context::TestContext;

use super::Plugin;
use crate::error::Result;
use serde::{Deserialize, Serialize};

/// A test of all pairs of a screen, which share control and single perturbations.
///
/// [`InteractionTest::test`] answers for all pairs at once, so that what control and singles need is worked out once.
///
/// ```
/// use contract::prelude::*;
/// # use contract::typetag;
///
/// /// How far the mean of the first feature under both is from the sum of the means under each.
/// #[derive(Debug, Serialize, Deserialize)]
/// struct FirstMean {}
///
/// #[typetag::serde(name = "first_mean")]
/// impl InteractionTest for FirstMean {
///     fn test(&self, cx: &TestContext) -> Result<Vec<TestOutcome>> {
///         let samples = cx.samples;
///         let mean = |class: usize| -> Result<f64> {
///             let x = samples.class(class).x()?;
///             Ok(x.column(0).iter().map(|v| f64::from(*v)).sum::<f64>() / x.nrows() as f64)
///         };
///         let outcome = |pair: usize| {
///             let [control, first, second, both] = samples.four(pair);
///             let score = (mean(both)? - mean(first)? - mean(second)? + mean(control)?).abs();
///             Ok(TestOutcome { score, p_value: None, n: samples.sizes(pair), diagnostics: vec![] })
///         };
///         (0..samples.pairs.len()).map(outcome).collect()
///     }
///
///     fn null(&self) -> Null {
///         Null::Additive
///     }
/// }
///
/// let streams = Streams::new(1);
/// let samples = contract::testing::Mixture::of([50, 20, 20, 20]).draw(&mut streams.rng("samples"));
/// let outcomes = FirstMean {}.test(&TestContext::new(&samples, &streams))?;
/// assert_eq!(outcomes[0].n, [50, 20, 20, 20]);
/// # Ok::<(), Error>(())
/// ```
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
