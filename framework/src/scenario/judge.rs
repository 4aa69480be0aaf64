//! Sections of a scenario that say how its results are judged and not what is run: changing them repeats nothing.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What a screen costs: the `[cost]` section.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cost {
    /// USD for each perturbation measured, the initial set included. The default, 30, is IterPert's: 0.5 USD a cell,
    /// 2 guides, 30 cells a guide.
    pub per_perturbation: f64,
    /// USD for each round after the initial set, on top. Default 0.
    pub per_round: f64,
    /// Months that a round after the initial set takes. Default 1.
    pub months_per_round: f64,
}

impl Default for Cost {
    fn default() -> Self {
        Self { per_perturbation: 30.0, per_round: 0.0, months_per_round: 1.0 }
    }
}

impl Cost {
    /// USD spent by the end of a round (which may be a fraction, between two rounds).
    pub fn money(&self, round: f64, n_measured: f64) -> f64 {
        self.per_perturbation * n_measured + self.per_round * round
    }

    /// Months from the initial set to the end of a round.
    pub fn months(&self, round: f64) -> f64 {
        self.months_per_round * round
    }
}

/// Published learning curves to lay over ours: the `[published]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Published {
    /// A table of curves, relative to the data root: a row a method, run and round.
    pub file: Option<PathBuf>,
    /// Its column of method names.
    pub method: String,
    /// Its column that tells repeats apart.
    pub run: String,
    /// Its column of rounds, 0 for the initial set.
    pub round: String,
    /// For each of our metrics the column that is compared with it; absent: columns of the same names.
    pub metrics: BTreeMap<String, String>,
    /// For each of our arms, by label, the method that is compared with it; absent: methods whose names have the same
    /// letters and digits.
    pub arms: BTreeMap<String, String>,
    /// Single numbers to print beside ours.
    pub values: Option<PublishedValues>,
}

/// Numbers of a published table to print beside ours: the `[published.values]` section. A row belongs to an arm and metric
/// if it has all the cells that `row`, the metric and the arm's values on the axes name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedValues {
    /// A table, relative to the data root.
    pub file: PathBuf,
    /// Its column of values; default `value`.
    #[serde(default = "value_column")]
    pub value: String,
    /// Its column of standard errors; absent: none.
    #[serde(default)]
    pub error: Option<String>,
    /// Cells that every row must have, by column.
    #[serde(default)]
    pub row: BTreeMap<String, String>,
    /// For each of our metrics the cells of its rows, and what its values are multiplied with.
    pub metrics: BTreeMap<String, PublishedMetric>,
    /// For each axis and value on it the cells of its rows. Arms with a value that is not named are not compared.
    #[serde(default)]
    pub axes: BTreeMap<String, BTreeMap<String, BTreeMap<String, String>>>,
}

/// Where the values of a metric stand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedMetric {
    /// Cells of its rows, by column.
    pub row: BTreeMap<String, String>,
    /// What brings a published value to our unit; default 1.
    #[serde(default = "one")]
    pub times: f64,
}

fn value_column() -> String {
    "value".into()
}

fn one() -> f64 {
    1.0
}

impl Default for Published {
    fn default() -> Self {
        Self {
            file: None,
            method: "paper_method".into(),
            run: "run".into(),
            round: "round".into(),
            metrics: BTreeMap::new(),
            arms: BTreeMap::new(),
            values: None,
        }
    }
}

/// What a claim is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimKind {
    /// A paired difference of a metric.
    #[default]
    Difference,
    /// Rounds saved: how many times sooner one arm reaches the other's last value.
    Speedup,
}

/// One `[[claim]]` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimEntry {
    /// The claim in words.
    pub text: String,
    /// `difference` (default) or `speedup`.
    #[serde(default)]
    pub kind: ClaimKind,
    /// The metric, one of the scenario's; default the first.
    #[serde(default)]
    pub metric: Option<String>,
    /// The arms said to be better, chosen like `[compare] reference`.
    pub better: Map<String, Value>,
    /// The arms they are better than; `{}` is all others.
    pub than: Map<String, Value>,
    /// For a difference: "last" (default), "aulc", or a round.
    #[serde(default)]
    pub at: Option<Value>,
    /// For a speed-up: the least factor. Default 1.
    #[serde(default)]
    pub at_least: Option<f64>,
    /// Whether each of `better` must beat each of `than`, instead of the best the best.
    #[serde(default)]
    pub all_of: bool,
}

/// Where on the learning curve a difference is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum At {
    /// After the last round.
    Last,
    /// The area under the curve.
    Aulc,
    /// After a round.
    Round(usize),
}

/// What a claim says of its arms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Assertion {
    /// The one side has the better value.
    Better(At),
    /// The one side reaches the other's last value at least so many times sooner.
    Sooner(f64),
}

/// A claim with its arms found.
#[derive(Clone, Debug)]
pub struct Claim {
    /// In words.
    pub text: String,
    /// The metric.
    pub metric: String,
    /// What it says.
    pub says: Assertion,
    /// Arms said to be better; empty where this form of the scenario has none of them.
    pub better: Vec<usize>,
    /// Arms they are compared with.
    pub than: Vec<usize>,
    /// Whether every pair counts, or the best against the best.
    pub all_of: bool,
}
