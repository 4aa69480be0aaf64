//! Campaign files: the next batch of a real screen, for `screenwright suggest`.

use super::diagnose::Document;
use super::file::Place;
use super::schema::{Shape, Slot, check_table};
use crate::domain::{Compose, Missing, MissingRows, Names, Target};
use crate::error::{Error, Result};
use crate::measured::{Counts, GuideMap, Mageck};
use crate::plugin::{Acquisition, Kernel, Kind, Model, Prior};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The table of all perturbations that could be measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Library {
    /// File, relative to the campaign file.
    pub path: PathBuf,
    /// The columns that hold gene names: one for single genes, two for pairs, and so on.
    #[serde(default = "gene_column")]
    pub genes: Vec<String>,
    /// What joins the genes of a perturbation where one column holds them all.
    #[serde(default)]
    pub separator: Option<String>,
    /// Names, or patterns (`NTC_*`), that stand where no gene is perturbed. Absent: the usual ones are taken for that and told.
    #[serde(default)]
    pub control: Option<Names>,
    /// Genes that are never chosen, by name or pattern (`RPL*`).
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Genes that look like a word for no value, a date or a control and are genes.
    #[serde(default)]
    pub accept: Vec<String>,
    /// What stands in for genes that a prior lacks; also at the top of the file.
    #[serde(default)]
    pub missing: Option<Missing>,
    /// How rows of genes become rows of pairs and larger sets; also at the top of the file.
    #[serde(default)]
    pub compose: Option<Compose>,
    /// A table of old and current gene symbols; also at the top of the file.
    #[serde(default)]
    pub symbol_updates: Option<PathBuf>,
}

/// A table of what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// File, relative to the campaign file.
    pub path: PathBuf,
    /// The columns that hold gene names.
    #[serde(default = "gene_column")]
    pub genes: Vec<String>,
    /// What joins the genes of a perturbation where one column holds them all.
    #[serde(default)]
    pub separator: Option<String>,
    /// Only rows with these values in these columns are read.
    #[serde(default)]
    pub only: BTreeMap<String, String>,
    /// The genes of guides, where `genes` names columns of guides.
    #[serde(default)]
    pub guides: Option<GuideMap>,
    /// How reads of guides become effects of genes.
    #[serde(default)]
    pub counts: Option<Counts>,
    /// Which effect of a table of MAGeCK is read.
    #[serde(default)]
    pub mageck: Option<Mageck>,
    /// The columns that hold readouts: one for a scalar readout, several for a profile.
    #[serde(default)]
    pub values: Names,
    /// Columns of replicates in place of `values`: each cell is a measurement of its own.
    #[serde(default)]
    pub replicates: Names,
    /// The columns of standard errors, as many as `values` (or `replicates`).
    #[serde(default)]
    pub sd: Option<Names>,
    /// What is done with rows without a readout.
    #[serde(default)]
    pub missing: MissingRows,
}

/// A table of what is being measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pending {
    /// File, relative to the campaign file.
    pub path: PathBuf,
    /// The columns that hold gene names.
    #[serde(default = "gene_column")]
    pub genes: Vec<String>,
    /// What joins the genes of a perturbation where one column holds them all.
    #[serde(default)]
    pub separator: Option<String>,
}

fn gene_column() -> Vec<String> {
    vec!["gene".into()]
}

/// A campaign file: the next batch of a real screen. Like a scenario, with the laboratory as oracle.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Campaign {
    /// Names the output.
    pub name: String,
    /// Seed of every random choice.
    #[serde(default)]
    pub seed: u64,
    /// Perturbations to choose.
    pub batch: usize,
    /// What counts as a hit.
    #[serde(default)]
    pub target: Target,
    /// All perturbations that could be measured.
    pub pool: Library,
    /// What stands in for genes that a prior lacks.
    #[serde(default)]
    pub missing: Missing,
    /// How rows of genes become rows of pairs and larger sets.
    #[serde(default)]
    pub compose: Compose,
    /// A table of old and current gene symbols.
    #[serde(default)]
    pub symbol_updates: Option<PathBuf>,
    /// Readouts so far.
    #[serde(default)]
    pub measured: Option<Measured>,
    /// What is being measured and has no readout yet.
    #[serde(default)]
    pub pending: Option<Pending>,
    /// What predicts the readouts of perturbations that were not measured.
    #[serde(default)]
    pub model: Option<Box<dyn Model>>,
    /// Similarity for selection rules.
    #[serde(default)]
    pub kernel: Option<Box<dyn Kernel>>,
    /// What chooses the next perturbations.
    pub acquisition: Box<dyn Acquisition>,
    /// Knowledge about genes, by name.
    #[serde(default)]
    pub prior: BTreeMap<String, Box<dyn Prior>>,
    /// Where selection rules run that have GPU kernels; see [`Place`].
    #[serde(default)]
    pub device: Place,
}

const SLOTS: &[Slot] = &[
    ("name", Shape::of::<String>(), true),
    ("seed", Shape::of::<u64>(), false),
    ("batch", Shape::of::<usize>(), true),
    ("target", Shape::of::<Target>(), false),
    ("pool", Shape::of::<Library>(), true),
    ("missing", Shape::of::<Missing>(), false),
    ("compose", Shape::of::<Compose>(), false),
    ("symbol_updates", Shape::of::<PathBuf>(), false),
    ("measured", Shape::of::<Measured>(), false),
    ("pending", Shape::of::<Pending>(), false),
    ("model", Shape::Plugin(Kind::Model), false),
    ("kernel", Shape::Plugin(Kind::Kernel), false),
    ("acquisition", Shape::Plugin(Kind::Acquisition), true),
    ("prior", Shape::Plugins(Kind::Prior), false),
    ("device", Shape::of::<Place>(), false),
];

/// Checks and reads a campaign file; all mistakes are reported together.
pub(crate) fn check_campaign(doc: &Document) -> Result<Campaign> {
    let mut mistakes = Vec::new();
    check_table(&doc.value, SLOTS, &[], &mut mistakes);
    if !mistakes.is_empty() {
        return Err(doc.report(&mistakes));
    }
    serde_json::from_value(Value::Object(doc.value.clone()))
        .map_err(|e| Error::Config(format!("{}: {e}", doc.path.display())))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_complaints, document, pointed_at};
    use super::*;

    const CAMPAIGN: &str =
        "name = \"next\"\nbatch = 8\npool = { path = \"genes.csv\" }\n[acquisition]\nuse = \"any_rule\"\n";

    #[test]
    fn what_is_left_out_has_defaults() {
        let campaign = check_campaign(&document(CAMPAIGN)).unwrap();
        assert_eq!((campaign.seed, campaign.batch, campaign.pool.genes), (0, 8, vec!["gene".to_string()]));
        assert!(campaign.measured.is_none() && campaign.model.is_none() && campaign.prior.is_empty());
    }

    #[test]
    fn all_mistakes_are_shown_at_once() {
        let text = CAMPAIGN.replace("batch = 8", "bach = 8").replace("path", "paht").replace("any_rule", "any_rle");
        assert_complaints(
            pointed_at(check_campaign(&document(&text))),
            &[
                ("n", "the key `batch` is missing; add batch = 100"),
                ("bach", "unknown key `bach`; did you mean `batch`?"),
                ("pool", "the key `path` is missing here"),
                ("paht", "unknown key `paht`; did you mean `path`?"),
                ("\"any_rle\"", "unknown acquisition `any_rle`; did you mean `any_rule`?"),
            ],
        );
    }
}
