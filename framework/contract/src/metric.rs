//! What a metric is, what one is handed, and the catalogue of those linked in.
//!
//! A metric is one entry in one file, of the framework or of a crate of plugins:
//!
//! ```
//! # use contract as framework;
//! use framework::metric::{Formula, Metric, Need, Scored};
//!
//! /// Largest error on the test set.
//! fn worst_error(s: &Scored) -> Option<f64> {
//!     s.test_truth?.iter().zip(&s.test_posterior?.mean).map(|(t, p)| (p - t).abs()).reduce(f64::max)
//! }
//!
//! framework::inventory::submit! {
//!     Metric {
//!         name: "worst_error",
//!         definition: "max over test perturbations and outputs of |prediction - truth|",
//!         larger_is_better: false,
//!         needs: &[Need::TestTruth, Need::TestPrediction],
//!         formula: Formula::AfterRound(worst_error),
//!         yardsticks: None,
//!     }
//! }
//!
//! # fn main() {
//! use framework::domain::{Observed, Posterior, Target};
//! use framework::ndarray::array;
//! let (truth, mean) = (array![[1.0], [2.0]], array![[1.5], [-1.0]]);
//! let (observed, posterior) = (Observed::empty(1), Posterior { mean, sd: None });
//! let metric = framework::metric::find("worst_error").expect("it is linked in");
//! let nothing = Scored::new(&observed, Target::default());
//! let scored = Scored { test_truth: Some(&truth), test_posterior: Some(&posterior), ..nothing };
//! assert_eq!(metric.value(&scored), Some(3.0));
//! assert_eq!(metric.value(&nothing), None);
//! # }
//! ```

use crate::domain::{Inputs, Observed, Posterior, Target};
use ndarray::Array2;
use std::collections::BTreeMap;

/// A number that says how good a screen is after each of its rounds.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name in scenario files and result columns: lower-case letters, digits and `_`.
    pub name: &'static str,
    /// Its definition in words, printed with results and stored with every run. Figures show what stands before the
    /// first semicolon.
    pub definition: &'static str,
    /// Whether larger is better.
    pub larger_is_better: bool,
    /// All that it needs; a run that lacks any of it has no value.
    pub needs: &'static [Need],
    /// How it is computed.
    pub formula: Formula,
    /// What is recorded beside it to judge it by, where there is anything.
    pub yardsticks: Option<fn(&Setting) -> Vec<Yardstick>>,
}

/// What a metric may need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Need {
    /// A test set of which the truth is known: [`Scored::test_truth`].
    TestTruth,
    /// A model's predictions on the test set: [`Scored::test_posterior`].
    TestPrediction,
    /// Predictions on the test set with standard deviations.
    TestSd,
    /// Readouts of several outputs.
    Profiles,
    /// The outputs of each test perturbation that differ most clearly from control: [`Scored::clearest`].
    ClearestOutputs,
    /// Which perturbations outside the test set are hits: [`Scored::is_hit`].
    Hits,
    /// Which of all perturbations are hits: [`Scored::is_hit_all`].
    HitsOfAll,
    /// How much the true readouts are wanted: [`Search::merit`].
    Merits,
    /// Which perturbations are known to interact: [`Search::known`].
    Known,
    /// Predictions for all that may be chosen, [`Search::predicted`]; they cost a prediction of the pool each round.
    PoolPrediction,
    /// Another metric, which the scenario must list too. It may not be made of others itself.
    Metric(&'static str),
    /// What has been spent; known when results are reported.
    Prices,
}

/// When and from what a metric is computed. A value that is not finite counts as none.
#[derive(Clone, Copy, Debug)]
pub enum Formula {
    /// After each round, from what is known of the run then; nothing where the number is not defined.
    AfterRound(fn(&Scored) -> Option<f64>),
    /// When results are reported, from other metrics and what has been spent: new prices repeat no run.
    WhenReported(fn(&Reported) -> Option<f64>),
}

/// What a metric may look at after a round.
#[derive(Clone, Copy, Debug)]
pub struct Scored<'a> {
    /// Rounds since the initial set.
    pub round: usize,
    /// Values of metrics after the initial set; nothing in round 0.
    pub initial: Option<&'a BTreeMap<String, f64>>,
    /// Measurements so far, the initial set included.
    pub observed: &'a Observed,
    /// What counts as a hit.
    pub target: Target,
    /// Pool ids of the test set, in the order of its truth and predictions.
    pub test: &'a [usize],
    /// True readouts of the test set (test x outputs), if known.
    pub test_truth: Option<&'a Array2<f64>>,
    /// Predictions on the test set.
    pub test_posterior: Option<&'a Posterior>,
    /// For each test perturbation its clearest outputs, clearest first, where a metric asks for them.
    pub clearest: Option<&'a [Vec<usize>]>,
    /// For each pool id whether it is a hit among those outside the test set, if the truth is known.
    pub is_hit: Option<&'a [bool]>,
    /// For each pool id whether it is a hit where those of the test set count too.
    pub is_hit_all: Option<&'a [bool]>,
    /// What may be chosen.
    pub search: Search<'a>,
}

/// The perturbations that may be chosen from the start, all outside the test set, and what is known of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Search<'a> {
    /// Their pool ids, ascending.
    pub ids: &'a [usize],
    /// How much the true readout of each is wanted, if known.
    pub merit: Option<&'a [f64]>,
    /// For each whether it is known to interact: from the table of `[known]`, or planted by a simulator.
    pub known: Option<&'a [bool]>,
    /// How much the prediction for each is wanted, where a metric asks for it.
    pub predicted: Option<&'a [f64]>,
}

/// What a metric may look at when results are reported: one round of one run.
#[derive(Clone, Copy, Debug)]
pub struct Reported<'a> {
    /// Finite values, after this round, of the metrics that it is made of.
    pub values: &'a BTreeMap<&'static str, f64>,
    /// USD spent by the end of the round.
    pub usd: f64,
}

/// What is known of a run before its first round.
pub struct Setting<'a> {
    /// The features of its priors.
    pub inputs: &'a Inputs,
    /// What counts as a hit.
    pub target: Target,
    /// Pool ids of the test set.
    pub test: &'a [usize],
    /// True readouts of the test set (test x outputs), if known.
    pub test_truth: Option<&'a Array2<f64>>,
    /// Pool ids that may be chosen, ascending.
    pub choosable: &'a [usize],
    /// Replicates (ids x replicates) behind the truth of pool ids, where readouts are scalar and the oracle knows them.
    pub replicates: &'a dyn Fn(&[usize]) -> Option<Array2<f64>>,
}

/// A number recorded beside a metric that no model has a part in.
#[derive(Clone, Debug, PartialEq)]
pub struct Yardstick {
    /// Its column.
    pub name: String,
    /// Its values by the number of perturbations measured, from 0; the last holds for more.
    pub values: Vec<f64>,
}

/// What is recorded of the noise ceiling of a metric is named by this word and the metric.
pub const CEILING: &str = "ceiling";

impl Yardstick {
    /// One that stays the same.
    pub fn constant(name: String, value: f64) -> Self {
        Self { name, values: vec![value] }
    }

    /// Its value once so many perturbations were measured.
    pub fn at(&self, n_measured: usize) -> Option<f64> {
        self.values.get(n_measured).or(self.values.last()).copied()
    }
}

impl Search<'_> {
    /// Where an id stands among those that may be chosen.
    pub fn place(&self, id: usize) -> Option<usize> {
        self.ids.binary_search(&id).ok()
    }
}

impl<'a> Scored<'a> {
    /// After the initial set, with measurements and nothing else known.
    pub fn new(observed: &'a Observed, target: Target) -> Self {
        Self {
            round: 0,
            initial: None,
            observed,
            target,
            test: &[],
            test_truth: None,
            test_posterior: None,
            clearest: None,
            is_hit: None,
            is_hit_all: None,
            search: Search::default(),
        }
    }

    /// Whether something that a metric needs is there.
    pub fn has(&self, need: Need) -> bool {
        match need {
            Need::TestTruth => self.test_truth.is_some_and(|t| t.nrows() > 0),
            Need::TestPrediction => self.test_posterior.is_some(),
            Need::TestSd => self.test_posterior.is_some_and(|p| p.sd.is_some()),
            Need::Profiles => self.observed.y.ncols() > 1,
            Need::ClearestOutputs => self.clearest.is_some(),
            Need::Hits => self.is_hit.is_some(),
            Need::HitsOfAll => self.is_hit_all.is_some(),
            Need::Merits => self.search.merit.is_some(),
            Need::Known => self.search.known.is_some(),
            Need::PoolPrediction => self.search.predicted.is_some(),
            Need::Metric(name) => {
                find(name).is_some_and(|m| m.needs.iter().all(|n| !matches!(n, Need::Metric(_)) && self.has(*n)))
            }
            Need::Prices => false,
        }
    }

    /// The value of another metric after this round.
    pub fn metric(&self, name: &str) -> Option<f64> {
        find(name)?.value(self)
    }
}

impl Metric {
    /// Its value after a round; nothing where the run lacks what it needs, or where it is not a finite number.
    pub fn value(&self, s: &Scored) -> Option<f64> {
        match self.formula {
            Formula::AfterRound(compute) if self.needs.iter().all(|n| s.has(*n)) => {
                compute(s).filter(|v| v.is_finite())
            }
            _ => None,
        }
    }

    /// The metrics that it is made of.
    pub fn made_of(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.needs.iter().filter_map(|n| match n {
            Need::Metric(name) => Some(*name),
            _ => None,
        })
    }
}

inventory::collect!(Metric);

/// Every metric linked in, sorted by name (link order means nothing).
pub fn catalogue() -> Vec<&'static Metric> {
    let mut all: Vec<&Metric> = inventory::iter::<Metric>.into_iter().collect();
    all.sort_by_key(|m| m.name);
    all
}

/// The metric of a name. The area under its curve, `aulc_NAME`, is not a metric of its own.
pub fn find(name: &str) -> Option<&'static Metric> {
    inventory::iter::<Metric>.into_iter().find(|m| m.name == name)
}
