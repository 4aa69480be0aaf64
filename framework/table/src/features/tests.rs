use super::rules::{COUNTS, IDS, LARGE, POSITIONS, ROW_NUMBERS};
use super::*;
use std::path::Path;

fn texts(values: &[&str]) -> Column {
    Column::Text(values.iter().map(|value| Some((*value).to_owned())).collect())
}

fn genes() -> Table {
    Table::new().with("gene", texts(&["A", "B", "C", "D"]))
}

fn choice(columns: &[&str], exclude: &[&str]) -> FeatureChoice {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    FeatureChoice { columns: owned(columns), exclude: owned(exclude) }
}

fn mageck() -> Table {
    ["sgRNA", "A|beta", "A|z", "A|p-value", "A|fdr", "A|wald-p-value", "neg|rank", "neg|lfc", "neg|score", "num"]
        .iter()
        .fold(genes(), |table, name| table.with(*name, Column::Number(vec![0.5, 1.5, 2.5, 3.5])))
}

#[test]
fn leaves_out_what_is_no_measurement() {
    let features = FeatureChoice::default().of(&mageck(), &[]).unwrap();
    assert_eq!(features.names, ["A|beta", "A|z", "neg|lfc"]);
    assert!(features.left_out.iter().all(|left| left.why == Why::TestResult));
    let mut table = genes();
    let metadata = [
        "Metadata_Plate",
        "Image_Metadata_Site",
        "num_cells",
        "cell_count",
        "Plate",
        "site",
        "WELL",
        "Row",
        "Column",
        "batch",
        "n_genes_by_counts",
        "total_counts",
        "pct_counts_mt",
        "n_counts",
        "n_genes",
        "Unnamed: 7",
    ];
    for name in metadata {
        table.push(name, Column::Number(vec![0.5; 4])).unwrap();
    }
    table.push("area", Column::Number(vec![0.5; 4])).unwrap();
    let features = FeatureChoice::default().of(&table, &["gene"]).unwrap();
    assert_eq!(features.names, ["area"]);
    let out: Vec<_> = features.left_out.iter().map(|left| (left.name.as_str(), left.why)).collect();
    assert_eq!(out, metadata.map(|name| (name, Why::Metadata)));
    assert_eq!(features.lines().len(), 1);
    assert!(features.lines()[0].starts_with("left out 16 columns that are no measurements: Metadata_Plate, "));
    assert!(
        features.lines()[0].ends_with("Row and 8 more (name them under `columns` to use them)"),
        "{:?}",
        features.lines()
    );
}

#[test]
fn names_of_results() {
    for name in [
        "pvalue",
        "p.value",
        "P-Value",
        "neg_p_value",
        "p_adj",
        "padj",
        "adj.P.Val",
        "q.value",
        "FDR",
        "fdr_bh",
        "pval_adj",
    ] {
        let table = genes().with(name, Column::Number(vec![0.5; 4])).with("f", Column::Number(vec![0.5; 4]));
        assert_eq!(FeatureChoice::default().of(&table, &[]).unwrap().names, ["f"], "{name}");
    }
    for name in
        ["PC1", "f1", "beta", "TP53", "PLATR1", "SITEX", "NUMB", "Q1", "lfc", "Cells_AreaShape_Area", "RANKL", "PADI4"]
    {
        let table = genes().with(name, Column::Number(vec![0.5; 4]));
        assert_eq!(FeatureChoice::default().of(&table, &[]).unwrap().names, [name]);
    }
}

#[test]
fn explicit_lists_go_first() {
    let table = mageck();
    let names = |columns: &[&str], exclude: &[&str]| choice(columns, exclude).of(&table, &[]).unwrap().names;
    assert_eq!(names(&["sgRNA", "A|beta"], &[]), ["sgRNA", "A|beta"]);
    assert_eq!(names(&["A|*"], &["*fdr"]), ["A|beta", "A|z", "A|p-value", "A|wald-p-value"]);
    assert_eq!(names(&["A|?", "A|*"], &["*p-value"]), ["A|z", "A|beta", "A|fdr"]);
    assert_eq!(names(&[], &["neg|*"]), ["A|beta", "A|z"]);
    assert_eq!(names(&["*"], &[]).len(), 10);
}

#[test]
fn names_that_no_column_has() {
    let error =
        |columns: &[&str], exclude: &[&str]| choice(columns, exclude).of(&mageck(), &[]).unwrap_err().to_string();
    assert!(error(&["A|bta"], &[]).contains("did you mean \"A|beta\"?"));
    assert!(error(&["A|bet?a"], &[]).contains("did you mean \"A|beta\"?"));
    assert!(error(&[], &["A|btea"]).contains("did you mean \"A|beta\"?"));
    assert!(error(&[], &["zzz*"]).contains("no column that fits \"zzz*\""));
    assert!(error(&[], &["*"]).contains("no column left that is a feature"));
}

#[test]
fn what_looks_suspicious() {
    let table = genes()
        .with("nth", Column::Integer(vec![0, 1, 2, 3]))
        .with("entrez_id", Column::Integer(vec![7157, 1, 4609, 7157]))
        .with("chr", Column::Integer(vec![1, 2, 1, 7]))
        .with("n_reads", Column::Integer(vec![1, 2, 1, 7]))
        .with("what", Column::Integer(vec![7157, 4609, 940, 27040]))
        .with("which", Column::Integer(vec![71570, 4609, 94000, 27040]))
        .with("levels", Column::Integer(vec![1, 2, 1, 7]))
        .with("f", Column::Number(vec![0.5, 1.5, 2.5, 1e6]));
    let features = FeatureChoice::default().of(&table, &[]).unwrap();
    assert_eq!(features.names.len(), 8);
    let found: Vec<_> = features.suspicious.iter().map(|s| (s.name.as_str(), s.why)).collect();
    assert_eq!(
        found,
        [("nth", ROW_NUMBERS), ("entrez_id", IDS), ("chr", POSITIONS), ("n_reads", COUNTS), ("which", LARGE)]
    );
    assert!(features.lines().iter().any(|line| line
        == "1 column is used as a feature, but looks like ids: entrez_id (name it under `exclude` to leave it out)"));
}

#[test]
fn columns_that_are_partly_text() {
    let table = genes()
        .with("f", Column::Number(vec![0.5; 4]))
        .with("broken", texts(&["0.5", "1.5", "x", "NA"]))
        .with("none", Column::Number(vec![f64::NAN; 4]));
    let features = FeatureChoice::default().of(&table, &[]).unwrap();
    assert_eq!(features.names, ["f"]);
    assert_eq!(
        features.left_out,
        [LeftOut { name: "broken".into(), why: Why::Mixed }, LeftOut { name: "none".into(), why: Why::Empty }]
    );
}

#[test]
fn an_index_is_no_feature() {
    let folder = std::env::temp_dir().join(format!("table-features-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("t.csv");
    std::fs::write(&path, ",gene,f1\n0,A,0\n1,B,0.1\n2,C,0.9\n3,D,0.2\n").unwrap();
    let table = crate::read(Path::new(&path)).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    let features = FeatureChoice::default().of(&table, &["gene"]).unwrap();
    assert_eq!(features.names, ["f1"]);
    assert_eq!(features.left_out, [LeftOut { name: "Unnamed: 0".into(), why: Why::Index }]);
    assert_eq!(choice(&["*"], &[]).of(&table, &[]).unwrap().names, ["f1"]);
    assert_eq!(choice(&["Unnamed: 0"], &[]).of(&table, &[]).unwrap().names, ["Unnamed: 0"]);
}
