//! Gene features from a table: one row a gene, one column a feature.
//!
//! Any embedding fits (network, language model, expression atlas, image profile); IterPert, section 3.3,
//! takes its eight prior kernels from tables of this kind. Costs one pass over the table.

use framework::prelude::*;
use std::path::PathBuf;

/// Reads gene features from a table and joins them to the pool by gene name. Genes without a row are
/// marked missing.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingTable {
    /// Table with one row for each gene (.csv, .csv.gz, .tsv, .tsv.gz, .parquet), relative to the data folder.
    pub path: PathBuf,
    /// Column with the gene names; default `"gene"`.
    #[serde(default = "gene_column")]
    pub gene: String,
    /// Columns to use as features; absent: every column of numbers.
    #[serde(default)]
    pub columns: Option<Vec<String>>,
}

fn gene_column() -> String {
    "gene".into()
}

#[typetag::serde(name = "embedding_table")]
impl Prior for EmbeddingTable {
    fn embed(&self, cx: &PriorContext) -> Result<Block> {
        let table = cx.setup.data.table(&self.path)?;
        let names = table.text(&self.gene)?;
        let columns: Vec<&str> = match &self.columns {
            Some(columns) => columns.iter().map(String::as_str).collect(),
            None => table.numeric_columns().into_iter().filter(|c| *c != self.gene).collect(),
        };
        if columns.is_empty() {
            return Err(Error::Data(format!(
                "prior `{}`: {} has no column of numbers besides `{}`; features must be numbers",
                cx.name,
                cx.setup.data.path(&self.path).display(),
                self.gene
            )));
        }
        let mut x = Array2::zeros((names.len(), columns.len()));
        for (c, name) in columns.iter().enumerate() {
            x.column_mut(c).assign(&Array1::from(table.numbers(name)?));
        }
        cx.block_from_rows(&names, &x)
    }

    fn data_files(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }
}

framework::register!(Prior, EmbeddingTable, "embedding_table", "gene features from a table", example = |dir| {
    let path = dir.join("embedding_table.csv");
    let value = |i: usize, c: usize| ((i * (7 + c) + 3 * c) % 11) as f64 / 5.0 - 1.0;
    let rows: String =
        (0..200).map(|i| format!("G{i:03},{},{},{}\n", value(i, 0), value(i, 1), value(i, 2))).collect();
    // A file that cannot be written shows as an error of the prior, which names the path.
    let _ = std::fs::write(&path, format!("gene,d1,d2,d3\n{rows}"));
    framework::serde_json::json!({ "path": path })
});

#[cfg(test)]
mod tests {
    use super::*;
    use framework::data::DataRoot;

    fn embed(text: &str, mut settings: serde_json::Value, genes: &[&str]) -> Result<Block> {
        static N: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let n = N.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("embedding_table-{}-{n}.csv", std::process::id()));
        std::fs::write(&path, text).unwrap();
        settings["path"] = path.to_str().unwrap().into();
        let prior: EmbeddingTable = serde_json::from_value(settings).unwrap();
        let (data, streams) = (DataRoot::default(), Streams::new(1));
        let genes = Genes::new(genes.iter().copied()).unwrap();
        let setup = Setup { data: &data, streams: &streams };
        let b = prior.embed(&PriorContext { name: "p", genes: &genes, updates: None, screen: None, setup: &setup });
        std::fs::remove_file(path).unwrap();
        b
    }

    #[test]
    fn rows_are_joined_by_name() {
        let text = "gene,a,b,note\nX,1,2,u\nY,3,4,v\nZ,5,6,w\n";
        let b = embed(text, serde_json::json!({}), &["Z", "Q", "X"]).unwrap();
        assert_eq!(b.present, [true, false, true]);
        assert_eq!(b.x.row(0).to_vec(), [5.0, 6.0]);
        assert_eq!(b.x.row(2).to_vec(), [1.0, 2.0]);
        assert!(b.note.starts_with("2 of 3 genes covered"), "{}", b.note);
        let b = embed(text, serde_json::json!({ "columns": ["b"] }), &["Z"]).unwrap();
        assert_eq!(b.x.row(0).to_vec(), [6.0]);
    }

    #[test]
    fn mistakes_are_told() {
        let told = |text: &str, genes: &[&str]| embed(text, serde_json::json!({}), genes).unwrap_err().to_string();
        assert!(told("gene,a\nX,1\n", &["Q"]).contains("covers no gene of the pool"));
        assert!(told("gene,a\nX,1\nX,2\n", &["X"]).contains("gene `X` has two rows (1 and 2)"));
        assert!(told("gene,a\nX,u\n", &["X"]).contains("no column of numbers"));
        assert!(told("gene,a\nX,1\nY,\n", &["X"]).contains("line 3"));
    }
}
