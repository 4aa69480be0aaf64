//! The types behind a scenario file. No `flatten`, no `untagged`: every mistake has a place.

use super::schema::{Shape, Slot};
use crate::compatibility::Parts;
use crate::domain::{Compose, Missing, Target};
use crate::plugin::{Acquisition, Kernel, Kind, Model, Oracle, Prior};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Which seeds a scenario is repeated under.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seeds {
    /// First seed.
    #[serde(default)]
    pub from: u64,
    /// How many.
    pub count: u64,
}

impl Seeds {
    /// The seeds in order.
    pub fn iter(self) -> std::ops::Range<u64> {
        self.from..self.from + self.count
    }
}

/// What differs between repeats.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Varies {
    /// Training and selection only: split, initial set and noise are those of the first seed.
    #[serde(rename = "training")]
    Training,
    /// Also the initial set.
    #[serde(rename = "init+training")]
    Init,
    /// Also the test split, the noise and, where it is simulated, the world.
    #[default]
    #[serde(rename = "split+init+training")]
    Split,
}

/// Where selection rules with GPU kernels (max_dist, lcmd, max_det, bait) run. A GPU works in single precision, so its
/// choices may differ from the CPU's where two candidates are nearly equal; the setting is part of a run's identity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// On the processor, in the precision of the kernel.
    #[default]
    Cpu,
    /// On a GPU, where the kernel has explicit features; without one, the processor and a message.
    Gpu,
}

impl Place {
    /// The GPU, opened and probed once in a process. Where it is missing or faulty a message says so once, and the
    /// processor takes its place.
    pub fn open(self) -> Option<&'static dyn device::Device> {
        static GPU: std::sync::OnceLock<Option<Box<dyn device::Device>>> = std::sync::OnceLock::new();
        if self == Place::Cpu {
            return None;
        }
        let opened = GPU.get_or_init(|| match device::open(device::Choice::Gpu) {
            (device, None) => {
                eprintln!("computing on {}", device.name());
                Some(device)
            }
            (_, Some(reason)) => {
                eprintln!("{reason}");
                None
            }
        });
        opened.as_deref()
    }
}

/// The `[repeat]` section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Repeat {
    /// What differs between repeats.
    pub varies: Varies,
}

/// Which perturbations the scenario uses, judged by the priors that the file names (not only the
/// active ones), so that all arms share one pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoveredBy {
    /// Keep all genes.
    #[default]
    None,
    /// Keep genes that at least one prior covers.
    Any,
    /// Keep genes that every prior covers (GeneDisco's usable genes).
    All,
}

/// What happens to a screen that asks for more perturbations than the pool has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exhausted {
    /// It is refused before its first round.
    #[default]
    Error,
    /// It ends with the last round that the pool can fill.
    Stop,
}

/// The `[pool]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PoolRules {
    /// Which genes stay.
    pub covered_by: CoveredBy,
    /// What stands in for genes that a prior lacks.
    pub missing: Missing,
    /// How rows of genes become rows of pairs and larger sets.
    pub compose: Compose,
    /// Share of the pool held out for testing.
    pub test: f64,
    /// Size of the initial set, drawn uniformly; it is measured before round 1 and costs no round.
    pub init: usize,
    /// What happens when initial set and rounds together ask for more than the pool has.
    pub exhausted: Exhausted,
    /// A table of old and current gene symbols (columns old_symbol, symbol), used when joining priors.
    pub symbol_updates: Option<PathBuf>,
    /// How many genes of the screen to keep, drawn anew for each seed of the world; absent: all. Perturbations stay whose
    /// genes all stay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub genes: Option<usize>,
}

impl Default for PoolRules {
    fn default() -> Self {
        Self {
            covered_by: CoveredBy::None,
            missing: Missing::Mean,
            compose: Compose::Sum,
            test: 0.2,
            init: 0,
            exhausted: Exhausted::Error,
            symbol_updates: None,
            genes: None,
        }
    }
}

/// The `[known]` section: pairs that are known to interact, for the metrics `known_found`, `known_auprc` and
/// `known_auroc`. Their order within a row means nothing; in the screen's gene names, an `@` and what follows it are
/// ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Known {
    /// Table with a row for each pair, relative to the data folder.
    pub path: PathBuf,
    /// The two columns of gene names; default `["gene1", "gene2"]`.
    #[serde(default = "gene_columns")]
    pub genes: Vec<String>,
    /// Columns of 0 and 1, of which one must be 1 for a row to count; default none: all rows count.
    #[serde(default)]
    pub sources: Vec<String>,
}

fn gene_columns() -> Vec<String> {
    vec!["gene1".into(), "gene2".into()]
}

/// One resolved scenario: an arm of a sweep, without its seed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Names the results folder.
    pub name: String,
    /// Seeds of the sweep.
    pub seeds: Seeds,
    /// Rounds after the initial set.
    pub rounds: usize,
    /// Perturbations in each round.
    pub batch: usize,
    /// Names of the metrics to compute each round.
    pub metrics: Vec<String>,
    /// What counts as a hit.
    #[serde(default)]
    pub target: Target,
    /// Which perturbations, and how they are divided.
    #[serde(default)]
    pub pool: PoolRules,
    /// What differs between repeats.
    #[serde(default)]
    pub repeat: Repeat,
    /// What is measured: a recorded screen or a simulator.
    pub oracle: Box<dyn Oracle>,
    /// What predicts the readouts of perturbations that were not measured.
    #[serde(default)]
    pub model: Option<Box<dyn Model>>,
    /// Similarity for selection rules; absent: inner products of prior features.
    #[serde(default)]
    pub kernel: Option<Box<dyn Kernel>>,
    /// What chooses the next perturbations.
    pub acquisition: Box<dyn Acquisition>,
    /// Knowledge about genes, by name.
    #[serde(default)]
    pub prior: BTreeMap<String, Box<dyn Prior>>,
    /// Names of the priors in use; absent: all.
    #[serde(default)]
    pub priors: Option<Vec<String>>,
    /// Where selection rules run that have GPU kernels; see [`Place`].
    #[serde(default)]
    pub device: Place,
    /// Pairs known to interact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<Known>,
}

impl Scenario {
    /// The names of the active priors, sorted.
    pub fn active_priors(&self) -> Vec<&str> {
        self.prior
            .keys()
            .map(String::as_str)
            .filter(|n| self.priors.as_ref().is_none_or(|list| list.iter().any(|p| p == n)))
            .collect()
    }

    /// What has to fit together; see [`misfits`](crate::compatibility::misfits).
    pub fn parts(&self) -> Parts<'_> {
        Parts {
            model: self.model.as_deref(),
            kernel: self.kernel.as_deref(),
            acquisition: &*self.acquisition,
            features: !self.active_priors().is_empty(),
            measured: self.pool.init > 0,
        }
    }

    /// Every data file that the scenario reads, relative to the data root, sorted.
    pub fn data_files(&self) -> Vec<PathBuf> {
        let mut files = self.oracle.data_files();
        files.extend(self.prior.values().flat_map(|p| p.data_files()));
        files.extend(self.pool.symbol_updates.clone());
        files.extend(self.known.as_ref().map(|k| k.path.clone()));
        files.sort();
        files.dedup();
        files
    }
}

/// The keys of a scenario.
pub(super) const SLOTS: &[Slot] = &[
    ("name", Shape::of::<String>(), true),
    ("seeds", Shape::of::<Seeds>(), true),
    ("rounds", Shape::of::<usize>(), true),
    ("batch", Shape::of::<usize>(), true),
    ("metrics", Shape::of::<Vec<String>>(), true),
    ("target", Shape::of::<Target>(), false),
    ("pool", Shape::of::<PoolRules>(), false),
    ("repeat", Shape::of::<Repeat>(), false),
    ("oracle", Shape::Plugin(Kind::Oracle), true),
    ("model", Shape::Plugin(Kind::Model), false),
    ("kernel", Shape::Plugin(Kind::Kernel), false),
    ("acquisition", Shape::Plugin(Kind::Acquisition), true),
    ("prior", Shape::Plugins(Kind::Prior), false),
    ("priors", Shape::of::<Option<Vec<String>>>(), false),
    ("device", Shape::of::<Place>(), false),
    ("known", Shape::of::<Known>(), false),
];

/// Keys of a scenario file that describe the sweep and not a run.
pub(super) const SWEEP_KEYS: [&str; 11] =
    ["grid", STRATEGY, AXIS, "skip", INCOMPATIBLE, "compare", "quick", VARIANT, "cost", "published", "claim"];

/// The sections of named variants: `[variant.NAME]`.
pub(super) const VARIANT: &str = "variant";

/// The axis whose values are the `[strategy.NAME]` sections.
pub(super) const STRATEGY: &str = "strategy";

/// The sections of further axes whose values make several settings at once: `[axis.NAME.VALUE]`.
pub(super) const AXIS: &str = "axis";

/// What happens to cells whose model cannot give what acquisition or kernel ask of it.
pub(super) const INCOMPATIBLE: &str = "incompatible";

/// Keys that all arms share, so that no axis can set them.
pub(super) const SHARED_KEYS: [&str; 3] = ["name", "seeds", "metrics"];
