//! Which columns of a table are features: the one place that decides it.
//!
//! Every column of numbers is a feature, unless it is the index of the rows, or its name is one that
//! tools give to what is no measurement. What is left out is always said, and an explicit list of
//! columns goes before every rule.

use std::collections::HashSet;

use crate::error::TableError;
use crate::index::are_row_numbers;
use crate::nearest::nearest;
use crate::pattern::{fits, is_pattern};
use crate::table::{Column, Named, Table};
use crate::words::is_missing_word;

/// Which columns a user wants as features; empty lists leave it to the rules.
///
/// Both lists hold names of columns, or patterns in which `*` stands for any text and `?` for any
/// character.
///
/// ```
/// use table::{Column, FeatureChoice, Table};
///
/// let table = Table::new()
///     .with("gene", Column::Text(vec![Some("TP53".into()), Some("KRAS".into())]))
///     .with("Metadata_Plate", Column::Integer(vec![1, 2]))
///     .with("area", Column::Number(vec![0.5, -1.25]));
/// let features = FeatureChoice::default().of(&table, &["gene"])?;
/// assert_eq!(features.names, ["area"]);
/// assert_eq!(
///     features.lines(),
///     ["left out 1 column that is no measurement: Metadata_Plate (name it under `columns` to use it)"]
/// );
/// # Ok::<(), table::TableError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeatureChoice {
    /// The columns to use; rules do not apply to them.
    pub columns: Vec<String>,
    /// The columns not to use, of those that are listed or follow from the rules.
    pub exclude: Vec<String>,
}

/// The columns that are features.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// In the order of the table, or of the list.
    pub names: Vec<String>,
    /// Columns with numbers that are no features by the rules.
    pub left_out: Vec<LeftOut>,
    /// Features that may be none.
    pub suspicious: Vec<Suspicion>,
}

/// A column that is no feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    pub name: String,
    pub why: Why,
}

/// Why a column is no feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It only numbers or names the rows.
    Index,
    /// Its name is one that tools give to descriptions of a sample: plate, well, number of cells.
    Metadata,
    /// Its name is that of a result of a test: a p value, a rank, a number of guides.
    TestResult,
    /// It has words among its numbers.
    Mixed,
    /// It has no values.
    Empty,
}

/// A feature that may be none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspicion {
    pub name: String,
    /// What it looks like: "ids", "row numbers".
    pub why: &'static str,
}

impl FeatureChoice {
    /// The features of a table. `not` names columns that have another role, such as that of genes.
    ///
    /// Errors: a name or pattern that no column has, and a table in which no feature is left.
    pub fn of(&self, table: &Table, not: &[&str]) -> Result<Features, TableError> {
        table.check()?;
        let free = |named: &&Named| !not.contains(&named.name.as_str());
        let numeric = |named: &Named| matches!(named.column, Column::Number(_) | Column::Integer(_));
        let mut features = Features::default();
        let mut listed = HashSet::new();
        for wanted in &self.columns {
            // A name in full is meant, whatever it holds; a pattern takes the columns of numbers.
            let found: Vec<&Named> = match table.named(wanted) {
                Some(named) => vec![named],
                None if is_pattern(wanted) => table
                    .all()
                    .iter()
                    .filter(free)
                    .filter(|named| !named.index && numeric(named) && fits(wanted, &named.name))
                    .collect(),
                None => return Err(table.no_column(wanted)),
            };
            if found.is_empty() {
                return Err(unmatched(table, wanted, "of numbers "));
            }
            for named in found {
                if listed.insert(named.name.as_str()) {
                    features.names.push(named.name.clone());
                }
            }
        }
        if self.columns.is_empty() {
            for named in table.all().iter().filter(free) {
                match reason(named) {
                    Some(why) => features.left_out.push(LeftOut { name: named.name.clone(), why }),
                    None if numeric(named) => {
                        features.names.push(named.name.clone());
                        if let Some(why) = suspicion(named) {
                            features.suspicious.push(Suspicion { name: named.name.clone(), why });
                        }
                    }
                    None => {}
                }
            }
        }
        for unwanted in &self.exclude {
            if !table.all().iter().any(|named| named.name == *unwanted || fits(unwanted, &named.name)) {
                return Err(if is_pattern(unwanted) {
                    unmatched(table, unwanted, "")
                } else {
                    table.no_column(unwanted)
                });
            }
            let kept = |name: &String| name != unwanted && !fits(unwanted, name);
            features.names.retain(kept);
            features.left_out.retain(|left| kept(&left.name));
            features.suspicious.retain(|suspicion| kept(&suspicion.name));
        }
        if features.names.is_empty() {
            let hint = match features.lines().as_slice() {
                [] => "no column of numbers is left; name the right file, or check `exclude`".to_owned(),
                lines => lines.join("; "),
            };
            return Err(TableError::NoFeatures { file: table.file(), hint });
        }
        Ok(features)
    }
}

impl Features {
    /// What was left out and what may be wrong, in sentences for the user.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for why in [Why::Index, Why::Metadata, Why::TestResult, Why::Mixed, Why::Empty] {
            let names: Vec<&str> =
                self.left_out.iter().filter(|left| left.why == why).map(|left| left.name.as_str()).collect();
            let (one, many) = why.said();
            match names.as_slice() {
                [] => {}
                [name] => {
                    lines.push(format!("left out 1 column that is {one}: {name} (name it under `columns` to use it)"))
                }
                _ => lines.push(format!(
                    "left out {} columns that are {many}: {} (name them under `columns` to use them)",
                    names.len(),
                    some(&names)
                )),
            }
        }
        for why in SUSPICIONS {
            let names: Vec<&str> = self.suspicious.iter().filter(|s| s.why == why).map(|s| s.name.as_str()).collect();
            match names.as_slice() {
                [] => {}
                [name] => lines.push(format!(
                    "1 column is used as a feature, but looks like {why}: {name} (name it under `exclude` to leave it out)"
                )),
                _ => lines.push(format!(
                    "{} columns are used as features, but look like {why}: {} (name them under `exclude` to leave them out)",
                    names.len(),
                    some(&names)
                )),
            }
        }
        lines
    }
}

impl Why {
    fn said(self) -> (&'static str, &'static str) {
        match self {
            Self::Index => ("the index of the rows", "indices of the rows"),
            Self::Metadata => ("no measurement", "no measurements"),
            Self::TestResult => ("a result of a test", "results of a test"),
            Self::Mixed => ("partly text", "partly text"),
            Self::Empty => ("empty", "empty"),
        }
    }
}

fn some(names: &[&str]) -> String {
    const MOST: usize = 8;
    match names.len().checked_sub(MOST) {
        Some(more) if more > 0 => format!("{} and {more} more", names[..MOST].join(", ")),
        _ => names.join(", "),
    }
}

fn unmatched(table: &Table, pattern: &str, kind: &str) -> TableError {
    let names = table.names();
    let hint = match nearest(&pattern.replace(['*', '?'], ""), &names) {
        Some(name) => format!("did you mean {name:?}?"),
        None => format!("it has {}", some(&names)),
    };
    TableError::NoMatch { file: table.file(), pattern: pattern.into(), kind: kind.into(), hint }
}

/// Names of what is no measurement, in small letters: what CellProfiler and pycytominer, scanpy,
/// Seurat and published Perturb-seq tables write beside the measurements of a sample.
const METADATA: &[&str] = &[
    "metadata_*",
    "image_metadata_*",
    "*_metadata_*",
    "unnamed: *",
    "plate",
    "plate_*",
    "site",
    "well",
    "row",
    "column",
    "col",
    "batch",
    "batch_*",
    "field",
    "fov",
    "tile",
    "lane",
    "replicate",
    "imagenumber",
    "objectnumber",
    "*_number_object_number",
    "n_genes_by_counts",
    "log1p_n_genes_by_counts",
    "total_counts",
    "total_counts_*",
    "log1p_total_counts*",
    "pct_counts_*",
    "n_counts",
    "n_genes",
    "n_cells",
    "n_cells_by_counts",
    "num_cells*",
    "cell_count",
    "cell_count_*",
    "ncells",
    "count_cells",
    "umi_count",
    "*_umi_count",
    "ncount_*",
    "nfeature_*",
    "percent.mt",
    "percent_mt",
    "percent_mito",
    "mitopercent",
    "doublet_score*",
    "leiden",
    "louvain",
    "seurat_clusters",
    "gem_group",
    "gemgroup",
    "z_gemgroup_umi",
    "core_scale_factor",
];

/// Names of results of a test, in small letters: MAGeCK's gene summaries and what others call p
/// values, q values, ranks and numbers of guides. Effects (`neg|lfc`, `A|beta`, `BF`) are measurements.
const TEST_RESULTS: &[&str] = &[
    "*|p-value",
    "*|fdr",
    "*|wald-p-value",
    "*|wald-fdr",
    "*|rank",
    "*|goodsgrna",
    "*|score",
    "*|permutation*",
    "sgrna",
    "num",
    "numobs",
    "p",
    "q",
    "p?value",
    "pvalue*",
    "*?p?value",
    "*_pvalue",
    "*.pvalue",
    "pval*",
    "*_pval*",
    "*.pval*",
    "p?val",
    "*?p?val",
    "padj",
    "*_padj",
    "p?adj*",
    "adj?p*",
    "q?value",
    "qvalue*",
    "*_qvalue",
    "qval",
    "*_qval",
    "fdr",
    "*_fdr",
    "*.fdr",
    "fdr_*",
    "fdr.*",
    "rank",
    "*_rank",
    "high_in_class_rank",
    "neg_log10_p*",
    "-log10*",
    "nlog10p*",
];

fn reason(named: &Named) -> Option<Why> {
    let empty = match &named.column {
        Column::Number(values) => !values.is_empty() && values.iter().all(|value| value.is_nan()),
        Column::Integer(_) => false,
        Column::Text(values) => return (!named.index && is_mixed(values)).then_some(Why::Mixed),
        Column::Flag(_) => return None,
    };
    let name = named.name.to_lowercase();
    let any = |patterns: &[&str]| patterns.iter().any(|pattern| fits(pattern, &name));
    Some(if named.index {
        Why::Index
    } else if any(METADATA) {
        Why::Metadata
    } else if any(TEST_RESULTS) {
        Why::TestResult
    } else if empty {
        Why::Empty
    } else {
        return None;
    })
}

/// Whether text is mostly numbers with a point, which a few words keep from being a column of numbers.
fn is_mixed(values: &[Option<String>]) -> bool {
    let filled = || values.iter().flatten().filter(|cell| !is_missing_word(cell));
    // Names of genes may be whole numbers, but never have decimals.
    let numbers = filled().filter(|cell| cell.contains(['.', ',']) && cell.replace(',', ".").parse::<f64>().is_ok());
    let (numbers, all) = (numbers.count(), filled().count());
    numbers > 0 && 2 * numbers >= all
}

const ROW_NUMBERS: &str = "row numbers";
const IDS: &str = "ids";
const POSITIONS: &str = "positions in a genome";
const COUNTS: &str = "numbers of something";
const LARGE: &str = "ids or positions (whole, large and all different)";
const SUSPICIONS: [&str; 5] = [ROW_NUMBERS, IDS, POSITIONS, COUNTS, LARGE];

/// What a column of whole numbers looks like, if not like a measurement.
fn suspicion(named: &Named) -> Option<&'static str> {
    const LEAST: usize = 4;
    const LARGE_FROM: f64 = 1000.0;
    let mut values: Vec<f64> = match &named.column {
        Column::Integer(values) => values.iter().map(|&value| value as f64).collect(),
        Column::Number(values) => values.iter().copied().filter(|value| !value.is_nan()).collect(),
        _ => return None,
    };
    if values.is_empty() || values.iter().any(|value| value.fract() != 0.0) {
        return None;
    }
    if are_row_numbers(&named.column) {
        return Some(ROW_NUMBERS);
    }
    let name = named.name.to_lowercase();
    let words: Vec<&str> = name.split(|c: char| !c.is_alphanumeric()).collect();
    let has = |wanted: &[&str]| words.iter().any(|word| wanted.contains(word));
    if has(&["id", "ids", "entrez", "entrezid", "geneid", "index", "number", "no", "barcode"]) {
        return Some(IDS);
    }
    if has(&["start", "end", "pos", "position", "chr", "chrom", "chromosome", "strand", "length", "tss"]) {
        return Some(POSITIONS);
    }
    if has(&["count", "counts", "n", "nguides", "guides", "reads", "cells", "year", "date"]) {
        return Some(COUNTS);
    }
    let large = values.len() >= LEAST && values.iter().all(|value| value.abs() >= LARGE_FROM);
    if !large {
        return None;
    }
    values.sort_by(f64::total_cmp);
    values.windows(2).all(|pair| pair[0] != pair[1]).then_some(LARGE)
}

#[cfg(test)]
mod tests;
