//! What was measured: the finished runs of a scenario, arm by arm.

use crate::error::{Error, Result};
use crate::metric::CEILING;
use crate::metric::find;
use crate::store::Seconds;
use std::collections::BTreeMap;

/// One finished run.
#[derive(Clone, Debug, Default)]
pub struct RunCurve {
    /// The seed; runs of two arms with one seed are paired.
    pub seed: u64,
    /// Perturbations measured by the end of each round.
    pub n_measured: Vec<f64>,
    /// For each metric, and for what else was recorded and the page shows, its value after each round, NaN where absent.
    pub values: BTreeMap<String, Vec<f64>>,
}

/// One arm of a sweep and its finished runs.
#[derive(Clone, Debug, Default)]
pub struct StudyArm {
    /// The arm's values on the axes of the grid, as "a / b / c".
    pub label: String,
    /// The arm it is compared with, as an index into [`Study::arms`].
    pub reference: Option<usize>,
    /// Its values on [`Study::axes`].
    pub cell: Vec<String>,
    /// Its finished runs.
    pub runs: Vec<RunCurve>,
    /// Where the time of a run went, mean over its runs.
    pub seconds: Option<Seconds>,
    /// Its resolved scenario: dotted path and value.
    pub settings: BTreeMap<String, String>,
}

/// The finished runs of a scenario.
#[derive(Clone, Debug, Default)]
pub struct Study {
    /// Name of the scenario: the title of figures.
    pub name: String,
    /// What it was made to answer; may be empty.
    pub question: String,
    /// The metrics reported; the first ranks the arms.
    pub metrics: Vec<String>,
    /// The axes of the grid on which arms differ.
    pub axes: Vec<String>,
    /// The axis whose values are different screens. Each has its own panel in figures: their numbers are not on one
    /// scale.
    pub screens: Option<String>,
    /// The arms, in the order of the grid.
    pub arms: Vec<StudyArm>,
    /// The seeds that were asked for; empty where that is not known.
    pub seeds: Vec<u64>,
    /// The command that makes the runs.
    pub command: String,
    /// What program, revision, machine and data made them.
    pub provenance: Vec<(String, String)>,
    /// Runs that could not be read, each with its remedy.
    pub unreadable: Vec<String>,
}

impl Study {
    /// Refuses a study that has nothing to report.
    pub fn check(&self) -> Result<()> {
        let problem = if self.metrics.is_empty() {
            "names no metric to report"
        } else if self.arms.iter().all(|a| a.runs.is_empty()) {
            "has no finished run to report"
        } else {
            return Ok(());
        };
        Err(Error::Data(format!("the study `{}` {problem}; run its scenario first", self.name)))
    }

    /// Whether an arm is what others, or itself, are compared with.
    pub fn is_reference(&self, arm: usize) -> bool {
        self.arms.iter().any(|other| other.reference == Some(arm))
    }

    /// The arm's reference, unless it is the arm itself.
    pub fn other_reference(&self, arm: usize) -> Option<usize> {
        self.arms[arm].reference.filter(|&r| r != arm)
    }

    /// Where [`Study::screens`] stands among the axes.
    pub fn screen_axis(&self) -> Option<usize> {
        let screens = self.screens.as_ref()?;
        self.axes.iter().position(|a| a == screens)
    }
}

impl StudyArm {
    /// One number per run, computed from the perturbations measured and the values of a metric, with the run's seed;
    /// numbers that are not finite are left out.
    pub fn by_seed(&self, metric: &str, f: impl Fn(&[f64], &[f64]) -> f64) -> Vec<(u64, f64)> {
        let of = |v: &Vec<f64>, x: &[f64]| f(&x[..x.len().min(v.len())], v);
        self.runs
            .iter()
            .filter_map(|r| r.values.get(metric).map(|v| (r.seed, of(v, &r.n_measured))))
            .filter(|(_, v)| v.is_finite())
            .collect()
    }
}

/// Whether larger values of a metric are better, which is assumed of metrics that are not in the catalogue.
pub fn larger_is_better(metric: &str) -> bool {
    find(metric).is_none_or(|m| m.larger_is_better)
}

/// The value after the last round, for [`StudyArm::by_seed`].
pub fn last_value(_: &[f64], values: &[f64]) -> f64 {
    values.last().copied().unwrap_or(f64::NAN)
}

/// Whether a recorded column that is no metric is kept for the page.
pub fn is_kept(column: &str) -> bool {
    ["weight ", "alignment", "centred_alignment", CEILING].iter().any(|p| column.starts_with(p))
}
