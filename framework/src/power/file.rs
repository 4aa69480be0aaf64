//! The file of a study of plans.

use crate::domain::Target;
use crate::error::{Error, Result};
use crate::plugin::{Kind, Oracle};
use crate::scenario::schema::{Shape, Slot, check_table};
use crate::scenario::{Document, Mistake};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Which plans to compare, under which expectations.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanStudy {
    /// Names the output.
    pub name: String,
    /// Effects of a screen that was measured before.
    #[serde(default)]
    pub pilot: Option<Pilot>,
    /// Effects of a simulated or recorded screen: its noise-free scalar readouts.
    #[serde(default)]
    pub oracle: Option<Box<dyn Oracle>>,
    /// Effects by a formula.
    #[serde(default)]
    pub effects: Option<Mixture>,
    /// How noisy a measurement is.
    pub noise: Noise,
    /// What a model can know of a perturbation before it is measured.
    #[serde(default)]
    pub learning: Learning,
    /// What it costs.
    #[serde(default)]
    pub cost: Prices,
    /// What is sought; default the 5 % of largest absolute effect.
    #[serde(default)]
    pub target: Target,
    /// The plans.
    pub plans: Plans,
}

/// A table of effects measured before, one row per perturbation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pilot {
    /// CSV, TSV or Parquet, relative to the data folder.
    pub path: PathBuf,
    /// Columns of effects: one, or replicates, of which the mean is taken; default `["effect"]`.
    #[serde(default = "effect_column")]
    pub values: Vec<String>,
    /// Column of the standard error of the effect. Absent: from the replicates, or none with one column.
    #[serde(default)]
    pub error: Option<String>,
}

fn effect_column() -> Vec<String> {
    vec!["effect".into()]
}

/// Effects that are 0 for most perturbations and normal for the rest.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixture {
    /// Share of perturbations with an effect, above 0, at most 1.
    pub active: f64,
    /// Standard deviation of their effects.
    pub sd: f64,
}

/// Errors of a measured effect, in the units of the effects.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Noise {
    /// Standard deviation between single cells of one perturbation.
    pub cell: f64,
    /// Standard deviation between replicates (wells, transductions), beyond that of their cells. Absent: that of the
    /// pilot's replicates, else 0.
    #[serde(default)]
    pub replicate: Option<f64>,
    /// Control cells of a replicate, which all of its perturbations are compared with; default 1,000.
    #[serde(default = "thousand")]
    pub control_cells: f64,
}

fn thousand() -> f64 {
    1000.0
}

/// What a model learns from round to round. Rounds after the first measure what it expects most of.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Learning {
    /// Share of the variance of effects that features explain to a linear model that has seen all of them. Default 0: every
    /// round is drawn at random.
    pub r2: f64,
    /// Number of features among which it is spread; more make it harder to learn. Default 10.
    pub features: usize,
}

impl Default for Learning {
    fn default() -> Self {
        Self { r2: 0.0, features: 10 }
    }
}

/// Prices in USD, and time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Prices {
    /// For each cell measured; default 0.5.
    pub per_cell: f64,
    /// For each perturbation measured (guides, cloning); default 0.
    pub per_perturbation: f64,
    /// For each replicate of each round (transduction, library); default 0.
    pub per_replicate: f64,
    /// For each round; default 0.
    pub per_round: f64,
    /// Months that a round takes; default 1.
    pub months_per_round: f64,
}

impl Default for Prices {
    fn default() -> Self {
        Self { per_cell: 0.5, per_perturbation: 0.0, per_replicate: 0.0, per_round: 0.0, months_per_round: 1.0 }
    }
}

/// The plans: all combinations of the lists.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plans {
    /// Cells of each perturbation in each replicate.
    pub cells: Vec<usize>,
    /// Replicates; default `[1]`.
    #[serde(default = "one")]
    pub replicates: Vec<usize>,
    /// Perturbations measured in each round.
    pub batch: Vec<usize>,
    /// Rounds; default `[1]`.
    #[serde(default = "one")]
    pub rounds: Vec<usize>,
    /// Perturbations to choose from. Absent: as many as the pilot or the oracle has; 1,000 with [effects].
    #[serde(default)]
    pub perturbations: Option<usize>,
    /// USD there are. Absent: no plan is recommended.
    #[serde(default)]
    pub budget: Option<f64>,
    /// Accepted rate of false discoveries among calls (Benjamini and Hochberg), between 0 and 1; default 0.1.
    #[serde(default = "tenth")]
    pub fdr: f64,
    /// Simulated worlds; default 200.
    #[serde(default = "two_hundred")]
    pub worlds: usize,
    /// First seed; default 0.
    #[serde(default)]
    pub seed: u64,
}

fn one() -> Vec<usize> {
    vec![1]
}

fn tenth() -> f64 {
    0.1
}

fn two_hundred() -> usize {
    200
}

const SLOTS: &[Slot] = &[
    ("name", Shape::of::<String>(), true),
    ("pilot", Shape::of::<Pilot>(), false),
    ("oracle", Shape::Plugin(Kind::Oracle), false),
    ("effects", Shape::of::<Mixture>(), false),
    ("noise", Shape::of::<Noise>(), true),
    ("learning", Shape::of::<Learning>(), false),
    ("cost", Shape::of::<Prices>(), false),
    ("target", Shape::of::<Target>(), false),
    ("plans", Shape::of::<Plans>(), true),
];

impl PlanStudy {
    /// Reads a study; all mistakes are reported together.
    pub fn read(path: &Path) -> Result<Self> {
        let doc = Document::read(path)?;
        let mut mistakes = vec![];
        check_table(&doc.value, SLOTS, &[], &mut mistakes);
        let sources = ["pilot", "oracle", "effects"].iter().filter(|k| doc.value.contains_key(**k)).count();
        if sources != 1 {
            mistakes.push(Mistake::at(
                &["name"],
                format!(
                    "{} of [pilot], [oracle] and [effects] are given; effects come from exactly one: a table of a pilot \
                     screen, a screen such as use = \"latent_dag\", or active = 0.1 with sd = 1.0",
                    if sources == 0 { "none" } else { "several" }
                ),
            ));
        }
        if !mistakes.is_empty() {
            return Err(doc.report(&mistakes));
        }
        let study: PlanStudy = serde_json::from_value(Value::Object(doc.value.clone()))
            .map_err(|e| Error::Config(format!("{}: {e}", path.display())))?;
        match study.mistake() {
            None => Ok(study),
            Some((at, text)) => Err(doc.report(&[Mistake::at(at, text)])),
        }
    }

    /// The first setting that makes no sense, and what to do.
    fn mistake(&self) -> Option<(&'static [&'static str], String)> {
        let p = &self.plans;
        for (at, list) in [
            (&["plans", "cells"][..], &p.cells),
            (&["plans", "replicates"], &p.replicates),
            (&["plans", "batch"], &p.batch),
            (&["plans", "rounds"], &p.rounds),
        ] {
            if list.is_empty() || list.contains(&0) {
                return Some((at, "needs at least one number, and none of them 0".into()));
            }
        }
        let positive = |v: f64| v > 0.0 && v.is_finite();
        let not_below = |v: f64| v >= 0.0 && v.is_finite();
        let c = &self.cost;
        let prices = [c.per_cell, c.per_perturbation, c.per_replicate, c.per_round, c.months_per_round];
        let checks: [(bool, &'static [&'static str], &str); 10] = [
            (positive(self.noise.cell), &["noise", "cell"], "must be above 0"),
            (self.noise.replicate.is_none_or(not_below), &["noise", "replicate"], "must not be below 0"),
            (self.noise.control_cells >= 1.0, &["noise", "control_cells"], "must be at least 1"),
            ((0.0..1.0).contains(&self.learning.r2), &["learning", "r2"], "must be at least 0 and below 1"),
            ((1..=200).contains(&self.learning.features), &["learning", "features"], "must be 1 to 200"),
            (prices.into_iter().all(not_below), &["cost"], "prices must not be below 0"),
            (p.fdr > 0.0 && p.fdr < 1.0, &["plans", "fdr"], "must lie between 0 and 1"),
            ((2..=100_000).contains(&p.worlds), &["plans", "worlds"], "must be 2 to 100,000"),
            (p.budget.is_none_or(positive), &["plans", "budget"], "must be above 0"),
            (p.perturbations.is_none_or(|n| n > 1), &["plans", "perturbations"], "must be at least 2"),
        ];
        if let Some((_, at, text)) = checks.into_iter().find(|c| !c.0) {
            return Some((at, text.into()));
        }
        match self.effects {
            Some(m) if !(m.active > 0.0 && m.active <= 1.0) => {
                Some((&["effects", "active"], "must be above 0 and at most 1".into()))
            }
            Some(m) if !positive(m.sd) => Some((&["effects", "sd"], "must be above 0".into())),
            _ => None,
        }
    }
}
