//! Which gene a guide is against, from a library's table.

use super::{Measurements, genes};
use crate::data::DataRoot;
use crate::domain::Names;
use crate::error::{Error, Result, counted, hint, listed};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use table::Table;

/// A table with a row a guide, or a row a construct of several guides, and the genes they are against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuideMap {
    /// The table, looked up like the one whose rows are named by guides.
    pub path: PathBuf,
    /// Its column of guides, named as in the other table; default `"guide"`.
    #[serde(default = "guide_column")]
    pub guide: String,
    /// Its column of genes, or columns where a construct perturbs several; default `"gene"`.
    #[serde(default = "gene_column")]
    pub gene: Names,
}

fn guide_column() -> String {
    "guide".into()
}

fn gene_column() -> Names {
    Names(vec!["gene".into()])
}

impl GuideMap {
    /// The genes of each guide. A guide that is listed with different genes is an error.
    pub fn genes(&self, data: &DataRoot) -> Result<HashMap<String, Vec<String>>> {
        let table: Arc<Table> = data.table(&self.path)?;
        if self.gene.0.is_empty() {
            let file = data.path(&self.path);
            return Err(Error::Config(format!("{}: `gene` of `guides` names no column; name one", file.display())));
        }
        let guides = table.text(&self.guide)?;
        let columns: Vec<Vec<Option<String>>> =
            self.gene.0.iter().map(|c| table.text_or_missing(c)).collect::<Result<_, _>>()?;
        let mut map: HashMap<String, (Vec<String>, usize)> = HashMap::with_capacity(guides.len());
        for (row, guide) in guides.iter().enumerate() {
            // A guide without a gene is like one that is not listed.
            let Some(genes) = columns.iter().map(|c| c[row].clone()).collect::<Option<Vec<String>>>() else { continue };
            match map.get(*guide) {
                Some((known, first)) if *known != genes => {
                    return Err(Error::Data(format!(
                        "{}: guide `{guide}` is against {} ({}) and {} ({}); keep one row for each guide",
                        data.path(&self.path).display(),
                        known.join("+"),
                        table.place(*first),
                        genes.join("+"),
                        table.place(row)
                    )));
                }
                Some(_) => {}
                None => {
                    map.insert((*guide).to_string(), (genes, row));
                }
            }
        }
        Ok(map.into_iter().map(|(guide, (genes, _))| (guide, genes)).collect())
    }

    /// Puts genes for the guides that name the rows; rows with a guide that is not in the table are left out and counted.
    pub(super) fn apply(
        &self,
        m: &mut Measurements,
        guides: Vec<Vec<String>>,
        separator: Option<&str>,
        file: &str,
        data: &DataRoot,
    ) -> Result<()> {
        let map = self.genes(data)?;
        let listed_in = data.path(&self.path).display().to_string();
        let mut unknown: Vec<&str> = vec![];
        let (mut rows, mut names) = (vec![], vec![]);
        for (row, guides) in guides.iter().enumerate() {
            match guides.iter().map(|g| map.get(g).ok_or(g)).collect::<Result<Vec<_>, _>>() {
                Ok(genes) => {
                    rows.push(row);
                    names.push(genes.into_iter().flatten().cloned().collect::<Vec<String>>());
                }
                Err(guide) => unknown.push(guide),
            }
        }
        if rows.is_empty() {
            let first = unknown.first().copied().unwrap_or_default();
            let mut known: Vec<&str> = map.keys().map(String::as_str).collect();
            known.sort_unstable();
            return Err(Error::Data(format!(
                "{file}: no row is named by guides of {listed_in} (`{first}` here, `{}` there){}; check `genes` and `guide`, \
                 which name the columns of guides",
                known.first().copied().unwrap_or_default(),
                hint(first, known.iter().copied())
            )));
        }
        if !unknown.is_empty() {
            let n = unknown.len();
            unknown.sort_unstable();
            unknown.dedup();
            m.notes.push(format!(
                "{} left out: {} not in {listed_in}: {}",
                counted(n, "row"),
                if unknown.len() == 1 {
                    "a guide that is".to_string()
                } else {
                    format!("{} guides that are", unknown.len())
                },
                listed(&unknown, 5)
            ));
        }
        let mut table = m.table.take(&rows);
        let columns: Vec<String> = match separator {
            Some(_) => m.genes.iter().map(|c| format!("genes of {c}")).collect(),
            None if self.gene.0.len() == 1 => m.genes.iter().map(|c| format!("gene of {c}")).collect(),
            None => {
                let of = |c: &String| (1..=self.gene.0.len()).map(|k| format!("gene {k} of {c}")).collect::<Vec<_>>();
                m.genes.iter().flat_map(of).collect()
            }
        };
        genes::write(&mut table, &columns, &names, separator)?;
        m.notes.push(format!("{} named by guides of {listed_in}", counted(rows.len(), "row")));
        m.table = Arc::new(table);
        m.genes = columns;
        Ok(())
    }
}
