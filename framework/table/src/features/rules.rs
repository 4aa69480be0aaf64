//! What the name and the values of a column say about it.

use crate::column::Column;
use crate::features::Why;
use crate::index::are_row_numbers;
use crate::pattern::fits;
use crate::table::Named;
use crate::words::is_missing_word;

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

/// Why a column is no feature, if it holds numbers and is none.
pub(super) fn reason(named: &Named) -> Option<Why> {
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
    } else if named.metadata || any(METADATA) {
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

pub(super) const ROW_NUMBERS: &str = "row numbers";
pub(super) const IDS: &str = "ids";
pub(super) const POSITIONS: &str = "positions in a genome";
pub(super) const COUNTS: &str = "numbers of something";
pub(super) const LARGE: &str = "ids or positions (whole, large and all different)";
/// In the order in which they are told.
pub(super) const SUSPICIONS: [&str; 5] = [ROW_NUMBERS, IDS, POSITIONS, COUNTS, LARGE];

/// What a column of whole numbers looks like, if not like a measurement.
pub(super) fn suspicion(named: &Named) -> Option<&'static str> {
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
