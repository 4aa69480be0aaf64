//! Gene features from a table: one row a gene, one column a feature.
//!
//! Any embedding fits (network, language model, expression atlas, image profile); IterPert, section 3.3,
//! takes its eight prior kernels from tables of this kind. The layouts of GeneDisco's descriptors (Mehrjou et al. 2022)
//! are read as they are published: Achilles gene effects, Mashup vectors of STRING, CCLE proteomics; see docs/data.md.
//! Costs one pass over the table.

use framework::prelude::*;
use framework::table::{Column, FeatureChoice};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Reads gene features from a table and joins them to the pool by gene name. Genes without a row are
/// marked missing. Columns that hold one value only tell nothing and are left out, with a note.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmbeddingTable {
    /// Table (.csv, .csv.gz, .tsv, .tsv.gz, .parquet; for layout "vectors" any text file), relative to the data folder.
    pub path: PathBuf,
    /// How the table is laid out: `"rows"` (default), a row a gene; `"columns"`, a column a gene and a row a sample,
    /// whose headers may go on after the name, as in DepMap's `A1BG (1)`; `"vectors"`, a row a gene of numbers between
    /// spaces or tabs without header or names, which `names` holds (Mashup).
    #[serde(default)]
    pub layout: Layout,
    /// Column with the gene names in layout "rows"; default `"gene"`. Rows without a name are left out.
    #[serde(default = "gene_column")]
    pub gene: String,
    /// File with a gene name a line, in the order of the rows, for layout "vectors".
    #[serde(default)]
    pub names: Option<PathBuf>,
    /// Columns to use as features, by name or pattern (`pca_*`); absent: every column of numbers that is a measurement by its
    /// name, with a note of what is left out.
    #[serde(default)]
    pub columns: Option<Vec<String>>,
    /// Columns of numbers that are no features, by name or pattern; default none.
    #[serde(default)]
    pub exclude: Vec<String>,
    /// Numbers at the start of each row to leave out in layout "vectors"; default 0 (GeneDisco drops 1 of Mashup's 800).
    #[serde(default)]
    pub skip: usize,
    /// What stands in empty cells: `"error"` (default) refuses them, `"mean"` takes the mean of the feature over genes,
    /// as GeneDisco does.
    #[serde(default)]
    pub empty: Empty,
    /// What to do with genes that have several rows (isoforms): `"error"` (default), `"first"`, as GeneDisco does, or
    /// `"mean"`.
    #[serde(default)]
    pub repeats: Repeats,
}

/// How a table of features is laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// A row a gene.
    #[default]
    Rows,
    /// A column a gene.
    Columns,
    /// A row of bare numbers a gene.
    Vectors,
}

/// What stands in empty cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Empty {
    /// Nothing: they are refused.
    #[default]
    Error,
    /// The feature's mean over genes.
    Mean,
}

/// Genes with several rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeats {
    /// Refused.
    #[default]
    Error,
    /// The first counts.
    First,
    /// Averaged.
    Mean,
}

fn gene_column() -> String {
    "gene".into()
}

#[typetag::serde(name = "embedding_table")]
impl Prior for EmbeddingTable {
    fn embed(&self, cx: &PriorContext) -> Result<Block> {
        let mut notes = vec![];
        let mut features = vec![];
        let (names, x) = self.read(cx, &mut features, &mut notes)?;
        let (names, x) = self.merge(names, x, &mut notes);
        let x = fill(x, &mut notes);
        let x = self.varying(x, cx, &mut features, &mut notes)?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut block = cx.block_from_rows(&names, &x)?;
        block.features = features;
        block.note = std::iter::once(block.note).chain(notes).collect::<Vec<_>>().join("; ");
        Ok(block)
    }

    fn data_files(&self) -> Vec<PathBuf> {
        std::iter::once(self.path.clone()).chain(self.names.clone()).collect()
    }
}

impl EmbeddingTable {
    /// Names, and genes x features with NaN in empty cells.
    fn read(
        &self,
        cx: &PriorContext,
        features: &mut Vec<String>,
        notes: &mut Vec<String>,
    ) -> Result<(Vec<String>, Array2<f64>)> {
        let file = cx.setup.data.path(&self.path);
        let wrong = |what: String| Error::Config(format!("prior `{}` ({}): {what}", cx.name, file.display()));
        if self.layout == Layout::Vectors {
            let Some(names) = &self.names else {
                return Err(wrong(
                    "layout \"vectors\" has no gene names; give the file that has them as `names`".into(),
                ));
            };
            return self.vectors(&file, &cx.setup.data.path(names));
        }
        if self.names.is_some() || self.skip > 0 {
            return Err(wrong("`names` and `skip` belong to layout = \"vectors\"".into()));
        }
        let table = cx.setup.data.table(&self.path)?;
        let choice = FeatureChoice { columns: self.columns.clone().unwrap_or_default(), exclude: self.exclude.clone() };
        notes.extend(table.notes().iter().cloned());
        let columns = if self.layout == Layout::Rows {
            let chosen = choice.of(&table, &[&self.gene])?;
            notes.extend(chosen.lines());
            features.clone_from(&chosen.names);
            chosen.names
        } else {
            // A column is a gene, whatever its name looks like.
            let all = FeatureChoice {
                columns: if choice.columns.is_empty() { vec!["*".into()] } else { choice.columns },
                ..choice
            };
            all.of(&table, &[&self.gene])?.names
        };
        let mut x = Array2::zeros((table.height(), columns.len()));
        for (c, values) in table.all_numbers(&columns, self.empty == Empty::Mean)?.into_iter().enumerate() {
            x.column_mut(c).assign(&Array1::from(values));
        }
        if self.layout == Layout::Columns {
            let first = |c: &String| c.split(' ').next().unwrap_or_default().to_string();
            return Ok((columns.iter().map(first).collect(), x.reversed_axes().as_standard_layout().to_owned()));
        }
        // A row whose name is empty belongs to no gene.
        let names = match table.column(&self.gene) {
            Some(Column::Text(names)) => names.iter().map(|n| n.clone().unwrap_or_default()).collect(),
            _ => table.text(&self.gene)?.into_iter().map(String::from).collect(),
        };
        Ok((names, x))
    }

    /// Bare numbers, and a file of names beside them.
    fn vectors(&self, file: &Path, names: &Path) -> Result<(Vec<String>, Array2<f64>)> {
        let text = |path: &Path| std::fs::read_to_string(path).map_err(Error::io(path, "reading"));
        let names: Vec<String> = text(names)?.lines().map(|l| l.trim().to_string()).filter(|l| !l.is_empty()).collect();
        let (mut values, mut width, mut rows) = (vec![], None, 0);
        for (line, content) in text(file)?.lines().enumerate().filter(|l| !l.1.trim().is_empty()) {
            let before = values.len();
            for (at, cell) in content.split_whitespace().enumerate().skip(self.skip) {
                match cell.parse::<f64>() {
                    Ok(v) if v.is_finite() => values.push(v),
                    _ => {
                        return Err(Error::Data(format!(
                            "{}: line {}, number {}: `{cell}` is not a finite number; a row holds numbers between spaces \
                             or tabs",
                            file.display(),
                            line + 1,
                            at + 1
                        )));
                    }
                }
            }
            let here = values.len() - before;
            let expected = *width.get_or_insert(here);
            if here != expected || here == 0 {
                return Err(Error::Data(format!(
                    "{}: line {} has {here} numbers after `skip` and the first row {expected}; the file may be cut short",
                    file.display(),
                    line + 1
                )));
            }
            rows += 1;
        }
        if rows != names.len() {
            return Err(Error::Data(format!(
                "{} has {rows} rows and its file of names {}; both must have a line a gene",
                file.display(),
                names.len()
            )));
        }
        let shape = (rows, width.unwrap_or(0));
        let x = Array2::from_shape_vec(shape, values).map_err(|e| Error::Data(format!("{}: {e}", file.display())))?;
        Ok((names, x))
    }

    /// One row a gene, nameless rows left out; repeated genes stay where they are to be refused.
    fn merge(&self, names: Vec<String>, x: Array2<f64>, notes: &mut Vec<String>) -> (Vec<String>, Array2<f64>) {
        let mut rows_of: Vec<(String, Vec<usize>)> = vec![];
        let mut place: HashMap<&str, usize> = HashMap::with_capacity(names.len());
        let mut nameless = 0;
        for (row, name) in names.iter().enumerate() {
            match place.get(name.as_str()) {
                _ if name.is_empty() => nameless += 1,
                Some(&at) if self.repeats != Repeats::Error => rows_of[at].1.push(row),
                _ => {
                    place.insert(name, rows_of.len());
                    rows_of.push((name.clone(), vec![row]));
                }
            }
        }
        let repeated = rows_of.iter().filter(|r| r.1.len() > 1).count();
        if nameless > 0 {
            notes.push(format!("{nameless} rows without a name left out"));
        }
        if repeated > 0 {
            let what = if self.repeats == Repeats::First { "the first counts" } else { "averaged" };
            notes.push(format!("{repeated} genes have several rows, {what}"));
        }
        if repeated == 0 && nameless == 0 {
            return (names, x);
        }
        let mut out = Array2::zeros((rows_of.len(), x.ncols()));
        for ((_, rows), mut to) in rows_of.iter().zip(out.outer_iter_mut()) {
            let rows = if self.repeats == Repeats::First { &rows[..1] } else { &rows[..] };
            for (c, v) in to.iter_mut().enumerate() {
                let known: Vec<f64> = rows.iter().map(|&r| x[(r, c)]).filter(|v| !v.is_nan()).collect();
                *v = known.iter().sum::<f64>() / known.len() as f64;
            }
        }
        (rows_of.into_iter().map(|r| r.0).collect(), out)
    }

    /// The columns that tell genes apart.
    fn varying(
        &self,
        x: Array2<f64>,
        cx: &PriorContext,
        features: &mut Vec<String>,
        notes: &mut Vec<String>,
    ) -> Result<Array2<f64>> {
        let varies = |c: &usize| x.column(*c).iter().any(|v| *v != x[(0, *c)]);
        let kept: Vec<usize> = (0..x.ncols()).filter(varies).collect();
        if x.nrows() < 2 || kept.len() == x.ncols() {
            return Ok(x);
        }
        if kept.is_empty() {
            return Err(Error::Data(format!(
                "prior `{}` ({}): every feature has the same value for all genes; it tells nothing about them",
                cx.name,
                cx.setup.data.path(&self.path).display()
            )));
        }
        notes.push(format!("{} constant or empty columns left out", x.ncols() - kept.len()));
        if !features.is_empty() {
            *features = kept.iter().map(|&c| std::mem::take(&mut features[c])).collect();
        }
        Ok(x.select(Axis(1), &kept))
    }
}

/// Empty cells become the mean of their column; 0 in a column without values, which is then constant.
fn fill(mut x: Array2<f64>, notes: &mut Vec<String>) -> Array2<f64> {
    let empty = x.iter().filter(|v| v.is_nan()).count();
    if empty > 0 {
        notes.push(format!("{empty} empty cells filled with the mean of their column"));
        for mut column in x.columns_mut() {
            let known: Vec<f64> = column.iter().copied().filter(|v| !v.is_nan()).collect();
            let mean = if known.is_empty() { 0.0 } else { known.iter().sum::<f64>() / known.len() as f64 };
            column.iter_mut().filter(|v| v.is_nan()).for_each(|v| *v = mean);
        }
    }
    x
}

framework::register!(
    Prior,
    EmbeddingTable,
    "embedding_table",
    "gene features from a table",
    example = |dir| {
        let path = dir.join("embedding_table.csv");
        let value = |i: usize, c: usize| ((i * (7 + c) + 3 * c) % 11) as f64 / 5.0 - 1.0;
        let rows: String =
            (0..200).map(|i| format!("G{i:03},{},{},{}\n", value(i, 0), value(i, 1), value(i, 2))).collect();
        // A file that cannot be written shows as an error of the prior, which names the path.
        let _ = std::fs::write(&path, format!("gene,d1,d2,d3\n{rows}"));
        framework::serde_json::json!({ "path": path })
    }
);

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
        let b = framework::testing::embed(&prior, genes, DataRoot::default());
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
    fn genes_may_be_columns_as_in_depmap() {
        let text = "DepMap_ID,X (1),Y (22),Z (3)\nACH-1,1,2,\nACH-2,3,,5\nACH-3,4,4,4\n";
        let b = embed(text, serde_json::json!({ "layout": "columns", "empty": "mean" }), &["Y", "X", "Z"]).unwrap();
        // ACH-3 does not vary; the empty cells are means over genes of their line.
        assert_eq!(b.x, framework::ndarray::array![[2.0, 4.0], [1.0, 3.0], [1.5, 5.0]]);
        assert!(b.note.contains("2 empty cells") && b.note.contains("1 constant"), "{}", b.note);
        let e = embed(text, serde_json::json!({ "layout": "columns" }), &["Y"]).unwrap_err().to_string();
        assert!(e.contains("empty"), "{e}");
    }

    #[test]
    fn isoforms_and_nameless_rows_as_in_ccle() {
        let text = "Protein_Id,Gene_Symbol,Group_ID,a,b\np1,X,7,1,5\np2,X,8,3,\np3,,9,9,9\np4,Y,1,6,\n";
        let json = |repeats: &str| serde_json::json!({ "gene": "Gene_Symbol", "exclude": ["Group_ID"], "empty": "mean", "repeats": repeats });
        let b = embed(text, json("first"), &["X", "Y"]).unwrap();
        assert_eq!(b.x, framework::ndarray::array![[1.0], [6.0]]);
        assert!(b.note.contains("1 rows without a name") && b.note.contains("1 genes have several"), "{}", b.note);
        assert_eq!(embed(text, json("mean"), &["X", "Y"]).unwrap().x, framework::ndarray::array![[2.0], [6.0]]);
        assert!(embed(text, json("error"), &["X"]).unwrap_err().to_string().contains("`X` has two rows"));
        let wrong = serde_json::json!({ "gene": "Gene_Symbol", "exclude": ["Group"] });
        assert!(embed(text, wrong, &["X"]).unwrap_err().to_string().contains("did you mean \"Group_ID\"?"));
    }

    #[test]
    fn vectors_without_names_as_in_mashup() {
        let dir = framework::testing::TempDir::new().unwrap();
        let names = dir.path().join("genes.txt");
        std::fs::write(&names, "X\nY\n").unwrap();
        let json = serde_json::json!({ "layout": "vectors", "names": names, "skip": 1 });
        let b = embed("0\t1.5\t2\n1\t-3e-1\t4\n", json.clone(), &["Y", "X"]).unwrap();
        assert_eq!(b.x, framework::ndarray::array![[-0.3, 4.0], [1.5, 2.0]]);
        let message = |text: &str, json: &serde_json::Value| embed(text, json.clone(), &["X"]).unwrap_err().to_string();
        assert!(
            message("0\t1\t2\n1\t3\n", &json).contains("line 2 has 1 numbers"),
            "{}",
            message("0\t1\t2\n1\t3\n", &json)
        );
        assert!(message("0\t1\t2\n1\t3\tx\n", &json).contains("line 2, number 3: `x`"));
        assert!(message("0\t1\t2\n", &json).contains("has 1 rows and its file of names 2"));
        let nameless = serde_json::json!({ "layout": "vectors" });
        assert!(message("1\n", &nameless).contains("has no gene names"));
    }

    #[test]
    fn mistakes_are_told() {
        let message = |text: &str, genes: &[&str]| embed(text, serde_json::json!({}), genes).unwrap_err().to_string();
        assert!(message("gene,a\nX,1\n", &["Q"]).contains("covers no gene of the pool"));
        assert!(message("gene,a\nX,1\nX,2\n", &["X"]).contains("gene `X` has two rows (1 and 2)"));
        assert!(message("gene,a\nX,u\n", &["X"]).contains("no column of numbers"));
        assert!(message("gene,a\nX,1\nY,\n", &["X"]).contains("line 3"));
        assert!(message("gene,a\nX,1\nY,1\n", &["X"]).contains("the same value for all genes"));
    }
}
