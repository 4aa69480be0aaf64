//! The file of a study of interactions.

use crate::error::{Error, Result};
use crate::measured::GuideMap;
use crate::plugin::{InteractionTest, Kind, Oracle};
use crate::scenario::schema::{Shape, Slot, check_table};
use crate::scenario::{Document, Known, Mistake, Place, Seeds};
use numerics::stats::calls::ErrorControl;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A study of interactions: samples, tests, and how calls are made.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PairStudy {
    /// Names the output.
    pub name: String,
    /// Seeds; where an oracle simulates samples, each seed has its own world and samples. Default: seed 0 alone.
    #[serde(default = "one_seed")]
    pub seeds: Seeds,
    /// Where samples come from, if from an oracle.
    #[serde(default)]
    pub oracle: Option<Box<dyn Oracle>>,
    /// Where samples come from, if from a file.
    #[serde(default)]
    pub samples: Option<SampleFile>,
    /// Tests, by the name under which they report.
    #[serde(default)]
    pub test: BTreeMap<String, Box<dyn InteractionTest>>,
    /// Pairs that are known to act together; see [`Known`].
    #[serde(default)]
    pub known: Option<Known>,
    /// How calls are made.
    #[serde(default)]
    pub calls: Calls,
    /// Where tests that can use a GPU run.
    #[serde(default)]
    pub device: Place,
}

fn one_seed() -> Seeds {
    Seeds { from: 0, count: 1 }
}

/// A table of samples (cells or wells): one row per sample, a column of labels and columns of features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SampleFile {
    /// A table (.csv, .csv.gz, .tsv, .tsv.gz, .parquet) or AnnData (.h5ad, .zarr); relative to the data folder.
    pub path: PathBuf,
    /// The columns that name what was done to a sample, joined where there are several; default `["perturbation"]`.
    #[serde(default = "label_columns")]
    pub labels: Vec<String>,
    /// Labels of unperturbed samples; default `["control"]`. They may fill the other half of a single perturbation.
    #[serde(default = "control_words")]
    pub control: Vec<String>,
    /// What joins two genes; default `"+"`.
    #[serde(default = "plus")]
    pub separator: String,
    /// The column of the guide or well of a sample, where samples of one are not independent. Default none.
    #[serde(default)]
    pub unit: Option<String>,
    /// The columns of features (genes of an AnnData file), by name or pattern. Absent: all columns of numbers that have no other
    /// role and are measurements by their name; what is left out is told.
    #[serde(default, alias = "features")]
    pub columns: Option<Vec<String>>,
    /// Columns of numbers that are not features, by name or pattern. Default none.
    #[serde(default, alias = "ignore")]
    pub exclude: Vec<String>,
    /// The layer of an AnnData file, or `"raw"`; absent: X.
    #[serde(default)]
    pub layer: Option<String>,
    /// Use only samples with these values in these columns, as in `{ cell_type = "K562" }`. Default all.
    #[serde(default)]
    pub only: BTreeMap<String, String>,
    /// The table that tells the genes of guides, where labels name guides: `{ path = "library.csv", guide = "sgRNA", gene =
    /// "Gene" }`. Samples of guides that it lacks are left out and counted. Default: labels name genes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guides: Option<GuideMap>,
    /// `"none"` (default), or `"control"`: each feature is divided by its standard deviation over control.
    #[serde(default)]
    pub scale: Scale,
}

/// How features are brought to one scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// As they are.
    #[default]
    None,
    /// In standard deviations over control.
    Control,
}

fn label_columns() -> Vec<String> {
    vec!["perturbation".into()]
}

fn control_words() -> Vec<String> {
    vec!["control".into()]
}

fn plus() -> String {
    "+".into()
}

/// How p values become calls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calls {
    /// `"bh"` (default), `"by"`, or `"online"` (LORD++, in the order of the pairs).
    #[serde(default)]
    pub control: ErrorControl,
    /// Share of false calls that is accepted, above 0 and below 1; default 0.1.
    #[serde(default = "tenth")]
    pub rate: f64,
}

fn tenth() -> f64 {
    0.1
}

impl Default for Calls {
    fn default() -> Self {
        Self { control: ErrorControl::default(), rate: tenth() }
    }
}

const SLOTS: &[Slot] = &[
    ("name", Shape::of::<String>(), true),
    ("seeds", Shape::of::<Seeds>(), false),
    ("oracle", Shape::Plugin(Kind::Oracle), false),
    ("samples", Shape::of::<SampleFile>(), false),
    ("test", Shape::Plugins(Kind::InteractionTest), false),
    ("known", Shape::of::<Known>(), false),
    ("calls", Shape::of::<Calls>(), false),
    ("device", Shape::of::<Place>(), false),
];

impl PairStudy {
    /// Reads a study; all mistakes are reported together.
    pub fn read(path: &Path) -> Result<Self> {
        let doc = Document::read(path)?;
        let mut mistakes = vec![];
        check_table(&doc.value, SLOTS, &[], &mut mistakes);
        let has = |key: &str| doc.value.contains_key(key);
        if has("oracle") == has("samples") {
            mistakes.push(Mistake::at(
                &[if has("oracle") { "samples" } else { "name" }],
                "a study has either an [oracle] that simulates or replays samples, or [samples] with the path of a table",
            ));
        }
        if doc.value.get("test").is_none_or(|t| t.as_object().is_some_and(|t| t.is_empty())) {
            mistakes.push(Mistake::at(
                &["name"],
                "no test; add a section such as [test.contrast] with use = \"mmd_contrast\" (`screenwright plugins list --kind \
                 interaction` shows all)",
            ));
        }
        if !mistakes.is_empty() {
            return Err(doc.report(&mistakes));
        }
        let study: PairStudy = serde_json::from_value(Value::Object(doc.value.clone()))
            .map_err(|e| Error::Config(format!("{}: {e}", path.display())))?;
        study.check().map_err(|e| Error::Config(format!("{}: {e}", path.display())))?;
        Ok(study)
    }

    /// Errors unless settings make sense.
    pub fn check(&self) -> Result<()> {
        if !(self.calls.rate > 0.0 && self.calls.rate < 1.0) {
            return Err(Error::Config(format!(
                "the rate of false calls is {}; it must lie between 0 and 1",
                self.calls.rate
            )));
        }
        if self.seeds.count == 0 {
            return Err(Error::Config("seeds.count is 0; at least one seed is needed".into()));
        }
        let plain = |n: &str| !n.is_empty() && n.chars().all(|c| c.is_alphanumeric() || "_-".contains(c));
        match std::iter::once(&self.name).chain(self.test.keys()).find(|n| !plain(n)) {
            Some(bad) => Err(Error::Config(format!("`{bad}` names files; use letters, digits, _ and - only"))),
            None => Ok(()),
        }
    }
}
