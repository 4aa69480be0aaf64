//! A measured screen, replayed: the pool is the table's rows and a measurement is looked up.
//!
//! A measurement is the table's value plus, where `noise` says so, an error drawn from the stream of the
//! perturbation, so that every arm under one seed meets the same numbers in any round. Opening costs one
//! pass over the rows; measuring costs O(outputs) for each perturbation.
//!
//! A vector of readouts can be reduced to one number, its norm, row by row: with replicate rows a measurement is the
//! norm of one replicate, and the truth the mean of these norms.

mod reading;
#[cfg(test)]
mod tests;

use framework::domain::{MissingRows, Names};
use framework::measured::{Counts, Form, GuideMap, Mageck, Measurements};
use framework::prelude::*;
use rand_distr::{Distribution, StandardNormal};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Replays a table of measured perturbations: one gene column for single-gene screens, two for pairs, k
/// for sets of k genes (their order within a row means nothing).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScreenTable {
    /// Table with one row for each perturbation, or for each guide (.csv, .tsv, .txt and others, also with .gz, or .parquet),
    /// relative to the data folder.
    pub path: PathBuf,
    /// Use only rows with these values in these columns, as in `{ screen = "A" }`. Default all.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub only: BTreeMap<String, String>,
    /// The table that tells the genes of guides, where `genes` names columns of guides: `{ path = "library.csv", guide =
    /// "sgRNA", gene = "Gene" }`. Default: `genes` are genes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guides: Option<GuideMap>,
    /// Reads of guides, a column a sample, as log2 ratios of genes: `{ treatment = ["T1", "T2"], control = ["C1", "C2"] }`,
    /// with `normalise` (`"median"`, `"total"`, `"control"`, `"none"`), `pseudocount` (1), `min_count` (0), `paired` (false) and
    /// `summary` (`"mean"`, `"median"`). It gives the columns `log2_ratio`, `sd`, `guides` and those of the treated samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<Counts>,
    /// Which effect of a table of MAGeCK is read: `"lfc"` (gene_summary or sgrna_summary of test), `"beta"` or `"z"` (of mle), or
    /// `{ effect = "beta", sample = "HL60" }`. Its error, where known, is the column `sd`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mageck: Option<Mageck>,
    /// Columns that name the genes of a row; default `["gene"]`.
    #[serde(default = "gene_column")]
    pub genes: Vec<String>,
    /// Columns of the readout: one for a scalar phenotype, several for a profile. Absent: `["value"]`, or
    /// the mean of the replicate columns where `noise` or `replicates` names some, or what `counts` or `mageck` gives.
    #[serde(default)]
    pub values: Option<Vec<String>>,
    /// Columns that hits and test scores are judged by instead of the measured values, such as those of another donor;
    /// as many as `values`. Absent: the values themselves.
    #[serde(default)]
    pub truth: Option<Vec<String>>,
    /// Columns of replicates (donors, wells) whose mean is judged: what their noise allows at best is reported beside
    /// the scores. Default none, or those that `noise` names.
    #[serde(default)]
    pub replicates: Vec<String>,
    /// Columns with the effect of each gene alone, in the order of `genes` (scalar readouts only); empty
    /// cells are unknown effects. Default none.
    #[serde(default)]
    pub single: Vec<String>,
    /// Measurement error: `{ from = "none" }` (default), `{ from = "sd", column = "sd" }` for a Gaussian
    /// error with each row's own sd, `{ from = "fixed", sd = 0.1 }` for one sd, or
    /// `{ from = "replicates", columns = ["rep1", "rep2"] }` to answer with one of the replicates.
    #[serde(default)]
    pub noise: Noise,
    /// What to do with rows that name a gene twice: `"keep"` (default) or `"drop"`.
    #[serde(default)]
    pub same_gene: SameGene,
    /// What to do with perturbations that have several rows: `"error"` (default), `"mean"`, or `"replicates"`: a
    /// measurement is one of the rows, and their mean is judged.
    #[serde(default)]
    pub repeats: Repeats,
    /// Whether the readout of a row becomes one number: `"none"` (default), `"abs"` (the absolute value of one column) or
    /// `"norm"` (the Euclidean norm of several).
    #[serde(default, skip_serializing_if = "Reduce::is_none")]
    pub reduce: Reduce,
    /// What columns are divided by before the norm is taken: `"none"` (default) or `"noise"`, the standard deviation
    /// between the replicate rows of a perturbation, pooled over all perturbations.
    #[serde(default, skip_serializing_if = "Unit::is_none")]
    pub scale: Unit,
    /// Endings for the gene names of each column, such as `["", "@query"]` where a gene of the second column is not the
    /// gene of that name in the first. Default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mark: Vec<String>,
    /// The name, or names, that stand in a gene column where no gene is perturbed (non-targeting guides); patterns such as
    /// `"NTC_*"` too. Rows with one gene
    /// and otherwise control are that gene's effect alone, their mean where there are several; rows of control only are left
    /// out. Default: no name does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control: Option<Names>,
    /// What joins the genes of a row where one column holds them all, such as `"_"` or `"|"`. Default: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub separator: Option<String>,
    /// Rows in which a value is missing: `"error"` (default) refuses them, `"drop"` leaves them out and counts them. A row
    /// with some of its replicates is measured by those.
    #[serde(default, skip_serializing_if = "MissingRows::is_error")]
    pub missing: MissingRows,
    /// Genes that look like a word for no value and are genes. Default none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accept: Vec<String>,
    /// With repeats = "replicates": rows that a measurement is the mean of, drawn without replacement (all, where there are
    /// fewer). Default 1.
    #[serde(default = "one_row", skip_serializing_if = "is_one")]
    pub rows: usize,
}

fn one_row() -> usize {
    1
}

fn is_one(n: &usize) -> bool {
    *n == 1
}

/// How a row of readouts becomes one number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reduce {
    /// Not at all.
    #[default]
    None,
    /// By its absolute value.
    Abs,
    /// By its Euclidean norm.
    Norm,
}

impl Reduce {
    fn is_none(&self) -> bool {
        *self == Reduce::None
    }
}

/// What columns are measured in before a norm is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Their own units.
    #[default]
    None,
    /// The noise of a replicate row.
    Noise,
}

impl Unit {
    fn is_none(&self) -> bool {
        *self == Unit::None
    }
}

/// Where measurement errors come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case", deny_unknown_fields)]
pub enum Noise {
    /// None: a measurement is the table's value.
    None {},
    /// Gaussian, with the sd in a column.
    Sd {
        /// Name of the column.
        column: String,
    },
    /// A measurement is one of the replicates.
    Replicates {
        /// One column for each replicate.
        columns: Vec<String>,
    },
    /// Gaussian, with one sd for all.
    Fixed {
        /// Standard deviation, in units of the readout.
        sd: f64,
    },
}

impl Default for Noise {
    fn default() -> Self {
        Noise::None {}
    }
}

/// Rows that name a gene twice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SameGene {
    /// They are perturbations like others (two guides against one gene).
    #[default]
    Keep,
    /// They are left out.
    Drop,
}

/// Perturbations with several rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeats {
    /// Refused.
    #[default]
    Error,
    /// Averaged.
    Mean,
    /// A measurement is one of them, and their mean the truth.
    Replicates,
}

fn gene_column() -> Vec<String> {
    vec!["gene".into()]
}

#[typetag::serde(name = "screen_table")]
impl Oracle for ScreenTable {
    fn open(&self, setup: &Setup) -> Result<Box<dyn Screen>> {
        let form = Form {
            genes: &self.genes,
            separator: self.separator.as_deref(),
            control: self.control.as_ref(),
            accept: &self.accept,
            only: &self.only,
            guides: self.guides.as_ref(),
            counts: self.counts.as_ref(),
            mageck: self.mageck.as_ref(),
        };
        let mut found = form.read(&self.path, setup.data)?;
        let (table, notes) = (found.table.clone(), std::mem::take(&mut found.notes));
        let mut replay = self.with(found)?.read(&table, &setup.data.path(&self.path))?;
        replay.notes.splice(0..0, notes);
        Ok(Box::new(replay))
    }

    fn data_files(&self) -> Vec<PathBuf> {
        std::iter::once(&self.path).chain(self.guides.as_ref().map(|g| &g.path)).cloned().collect()
    }

    fn seeded(&self) -> bool {
        false
    }
}

impl ScreenTable {
    /// The settings for what was made of the file: its columns stand in where the settings name none.
    fn with(&self, found: Measurements) -> Result<Self> {
        if self.mageck.is_some() && self.values.is_some() {
            return Err(Error::Config(format!(
                "screen_table ({}): `mageck` and `values` both say what is read; leave out one",
                self.path.display()
            )));
        }
        if self.counts.is_some() && !self.mark.is_empty() {
            return Err(Error::Config(format!(
                "screen_table ({}): `mark` tells columns of genes apart, and `counts` takes both orders of a pair for one; leave out \
                 one",
                self.path.display()
            )));
        }
        let mut own = self.clone();
        own.genes = found.genes;
        own.values = own.values.or((!found.values.is_empty()).then_some(found.values));
        // Replicates serve one readout that is their mean.
        let by_columns = matches!(self.noise, Noise::Replicates { .. }) || !self.replicates.is_empty();
        let plain = self.values.is_none() && self.reduce == Reduce::None && self.noise == Noise::None {};
        if plain && !by_columns {
            own.replicates = found.replicates;
        }
        own.control = own.control.or((!found.control.is_empty()).then_some(Names(found.control)));
        Ok(own)
    }
}

/// The error of each row.
#[derive(Debug)]
enum Errors {
    None,
    Gaussian(Vec<f64>),
    Replicates(Array2<f64>),
    /// The readouts of all rows, and for each perturbation its rows.
    Rows(Array2<f64>, Vec<Vec<usize>>),
}

#[derive(Debug)]
struct Replay {
    pool: Arc<Pool>,
    values: Array2<f64>,
    truth: Option<Array2<f64>>,
    replicates: Option<Array2<f64>>,
    errors: Errors,
    /// Rows that a measurement is the mean of.
    rows: usize,
    single_effects: Option<Array2<f64>>,
    notes: Vec<String>,
}

impl Screen for Replay {
    fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    fn n_outputs(&self) -> usize {
        self.values.ncols()
    }

    fn measure(&self, ids: &[usize], _: &Experiment, streams: &Streams) -> Result<Readouts> {
        let mut out = Readouts::plain(ids, self.values.select(Axis(0), ids));
        let key = |id: usize| streams.child("screen_table").index(id);
        match &self.errors {
            Errors::None => {}
            Errors::Gaussian(sd) => {
                let mut known = Array2::zeros(out.y.dim());
                for (r, &id) in ids.iter().enumerate() {
                    let mut rng = key(id).index(out.replicate[r] as usize).rng("noise");
                    known.row_mut(r).fill(sd[id]);
                    for v in out.y.row_mut(r) {
                        let z: f64 = StandardNormal.sample(&mut rng);
                        *v += sd[id] * z;
                    }
                }
                // An sd of exactly 0 would claim a certainty that no weighting survives.
                if sd.iter().all(|s| *s > 0.0) {
                    out.sd = Some(known);
                }
            }
            Errors::Replicates(values) => {
                let n = values.ncols();
                for (r, &id) in ids.iter().enumerate() {
                    // Repeated measurements go through the replicates in turn.
                    let start = key(id).rng("replicate").random_range(0..n);
                    let known: Vec<f64> =
                        (0..n).map(|k| values[(id, (start + k) % n)]).filter(|v| !v.is_nan()).collect();
                    out.y[(r, 0)] = known[out.replicate[r] as usize % known.len()];
                }
            }
            Errors::Rows(values, rows) => {
                for (r, &id) in ids.iter().enumerate() {
                    let rows = &rows[id];
                    let mut rng = key(id).rng("replicate");
                    if self.rows == 1 {
                        let start = rng.random_range(0..rows.len());
                        out.y.row_mut(r).assign(&values.row(rows[(start + out.replicate[r] as usize) % rows.len()]));
                        continue;
                    }
                    // Repeated measurements go on where the last one ended.
                    let order = rand::seq::index::sample(&mut rng, rows.len(), rows.len()).into_vec();
                    let n = self.rows.min(rows.len());
                    let mut mean = Array1::zeros(values.ncols());
                    for k in 0..n {
                        mean += &values.row(rows[order[(out.replicate[r] as usize * n + k) % rows.len()]]);
                    }
                    out.y.row_mut(r).assign(&(mean / n as f64));
                }
            }
        }
        Ok(out)
    }

    fn truth(&self, ids: &[usize]) -> Option<Array2<f64>> {
        Some(self.truth.as_ref().unwrap_or(&self.values).select(Axis(0), ids))
    }

    fn replicates(&self, ids: &[usize]) -> Option<Array2<f64>> {
        // They are noise of what is judged only where that is their mean.
        let r = self.replicates.as_ref().filter(|_| self.truth.is_none())?;
        Some(r.select(Axis(0), ids))
    }

    fn single_effects(&self) -> Option<Array2<f64>> {
        self.single_effects.clone()
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

framework::register!(
    Oracle,
    ScreenTable,
    "screen_table",
    "replays a measured screen from a table",
    example = |dir| {
        let path = dir.join("screen_table.csv");
        let rows: String = (0..60).map(|i| format!("g{i},{}\n", ((i * 37) % 23) as f64 / 5.0 - 2.0)).collect();
        // A file that cannot be written shows as an error of the oracle, which names the path.
        let _ = std::fs::write(&path, format!("gene,value\n{rows}"));
        framework::serde_json::json!({ "path": path })
    }
);
