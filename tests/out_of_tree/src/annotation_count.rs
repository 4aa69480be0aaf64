//! How well a gene is studied: φ(g) = log(1 + n_g), n_g the number of different sets that list gene g.
//!
//! Well-studied genes have more annotations, whatever they do (Haynes, Tomczak & Khatri 2018). A prior that helps no
//! more than this one knows who was studied and not what a gene does: a control beside `gene_sets` on the same table.
//! Cost: one pass over the table.

use framework::prelude::*;
use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

/// One feature a gene, from a table of memberships. Genes that the table does not name are missing.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnnotationCount {
    /// Table with one row for each gene and set, relative to the data folder.
    pub path: PathBuf,
    /// Column with the gene names; default `"gene"`.
    #[serde(default = "gene_column")]
    pub gene: String,
    /// Column with the set names; default `"term"`.
    #[serde(default = "set_column")]
    pub set: String,
}

fn gene_column() -> String {
    "gene".into()
}
fn set_column() -> String {
    "term".into()
}

#[typetag::serde(name = "annotation_count")]
impl Prior for AnnotationCount {
    fn embed(&self, cx: &PriorContext) -> Result<Block> {
        let table = cx.setup.data.table(&self.path)?;
        // A row that stands twice counts once.
        let mut sets: BTreeMap<&str, HashSet<&str>> = BTreeMap::new();
        for (gene, set) in table.text(&self.gene)?.into_iter().zip(table.text(&self.set)?) {
            sets.entry(gene).or_default().insert(set);
        }
        let names: Vec<&str> = sets.keys().copied().collect();
        let counts: Vec<f64> = sets.values().map(|s| (s.len() as f64).ln_1p()).collect();
        // Joins by name, through the table of current symbols where there is one, and counts what it lacks.
        cx.block_from_rows(&names, &Array1::from(counts).insert_axis(Axis(1)))
    }

    fn data_files(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }
}

framework::register!(
    Prior,
    AnnotationCount,
    "annotation_count",
    "how many sets list a gene: a control of study bias",
    example = |dir| {
        let path = dir.join("annotation_count.csv");
        let rows: String = (0..40).map(|i| format!("G{:03},t{i}\n", i % 12)).collect();
        // A file that cannot be written shows as an error of the prior, which names the path.
        let _ = std::fs::write(&path, format!("gene,term\n{rows}"));
        framework::serde_json::json!({ "path": path })
    }
);

#[cfg(test)]
mod tests {
    use super::*;
    use framework::data::DataRoot;
    use framework::testing::TempDir;

    #[test]
    fn different_sets_are_counted_and_unknown_genes_are_missing() {
        let dir = TempDir::new().unwrap();
        std::fs::write(dir.path().join("t.csv"), "gene,term\nA,s1\nA,s2\nA,s2\nC,s1\nZ,s1\n").unwrap();
        let (data, streams) = (DataRoot::new(dir.path()), Streams::new(1));
        let genes = Genes::new(["A", "B", "C"]).unwrap();
        let setup = Setup { data: &data, streams: &streams };
        let cx = PriorContext { name: "p", genes: &genes, updates: None, screen: None, setup: &setup };
        let prior: AnnotationCount = serde_json::from_value(serde_json::json!({ "path": "t.csv" })).unwrap();
        let block = prior.embed(&cx).unwrap();
        assert_eq!(block.present, [true, false, true]);
        assert!((block.x[(0, 0)] - 3f64.ln()).abs() < 1e-12 && (block.x[(2, 0)] - 2f64.ln()).abs() < 1e-12);
        assert!(block.note.contains("2 of 3 genes covered"), "{}", block.note);
    }
}
