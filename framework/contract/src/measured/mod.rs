//! Tables of measurements as tools write them, made into what a screen needs: genes, readouts, standard errors, replicates.
//!
//! One reader serves replayed screens and campaigns. It takes four steps, each only where its key is set: some rows are
//! chosen (`only`), guides are named by their genes (`guides`), reads become log2 ratios of genes (`counts`), or a table of
//! MAGeCK gives one of its effects (`mageck`). Without any of these keys the table stays what it is.

mod counts;
mod genes;
mod guides;
mod mageck;
#[cfg(test)]
mod tests;

pub use counts::{Counts, Normalise, Summary};
pub use genes::names as gene_names;
pub use guides::GuideMap;
pub use mageck::{Effect, Mageck};

use crate::data::DataRoot;
use crate::domain::{Names, Suspects};
use crate::error::{Error, Result, counted, hint, listed};
use genes::find_ignoring_case;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use table::Table;

/// How a table of measurements is read: the keys that scenarios and campaigns share.
#[derive(Clone, Copy)]
pub struct Form<'a> {
    /// The columns that name genes, or guides.
    pub genes: &'a [String],
    /// What joins the genes of a row where one column holds them all.
    pub separator: Option<&'a str>,
    /// Names that stand where no gene is perturbed; absent: those that look like it.
    pub control: Option<&'a Names>,
    /// Names that are genes, whatever they look like.
    pub accept: &'a [String],
    /// Only rows with these values in these columns are read.
    pub only: &'a BTreeMap<String, String>,
    /// The genes of guides.
    pub guides: Option<&'a GuideMap>,
    /// How reads of guides become effects of genes.
    pub counts: Option<&'a Counts>,
    /// Which effect of a table of MAGeCK is read.
    pub mageck: Option<&'a Mageck>,
}

/// A table that a screen can be read from, and which of its columns are what.
#[derive(Clone, Debug)]
pub struct Measurements {
    /// A row a perturbation or, if neither `counts` nor `mageck` says otherwise, as the file has them.
    pub table: Arc<Table>,
    /// The columns that name genes.
    pub genes: Vec<String>,
    /// The columns that hold readouts, if `counts` or `mageck` says which.
    pub values: Vec<String>,
    /// The column of their standard errors, where they are known.
    pub sd: Option<String>,
    /// Columns of replicates, whose mean is the readout.
    pub replicates: Vec<String>,
    /// Names in the table that stand for no gene; found with `counts` only.
    pub control: Vec<String>,
    /// What was found and left out, for the user.
    pub notes: Vec<String>,
}

impl Form<'_> {
    /// Reads a table below `data`. The message of an error names the file, the place, the cause and the remedy.
    pub fn read(&self, path: &Path, data: &DataRoot) -> Result<Measurements> {
        let file = data.path(path).display().to_string();
        let wrong = |what: &str| Err(Error::Config(format!("{file}: {what}")));
        if self.counts.is_some() && self.mageck.is_some() {
            return wrong("`counts` is for reads and `mageck` for results; leave out one");
        }
        let mut m = Measurements {
            table: data.table(path)?,
            genes: self.genes.to_vec(),
            values: vec![],
            sd: None,
            replicates: vec![],
            control: vec![],
            notes: vec![],
        };
        for (column, value) in self.only {
            m.choose(&file, column, value)?;
        }
        if self.counts.is_some() || self.mageck.is_some() {
            // Tools call the column of genes in their own ways.
            if let [column] = &mut m.genes[..]
                && column == "gene"
                && let Some(found) = find_ignoring_case(&m.table, &["gene", "id"])
            {
                *column = found;
            }
        }
        if let Some(map) = self.guides {
            let names = genes::names(&m.table, &m.genes, self.separator).map_err(|e| e.at(file.clone()))?;
            map.apply(&mut m, names, self.separator, &file, data)?;
        }
        if let Some(counts) = self.counts {
            let names = genes::names(&m.table, &m.genes, self.separator).map_err(|e| e.at(file.clone()))?;
            let control = self.controls(&names);
            counts.apply(&mut m, names, &control, self.separator, &file)?;
            m.control = control;
        }
        if let Some(mageck) = self.mageck {
            mageck.apply(&mut m, self.separator, &file)?;
        }
        Ok(m)
    }

    /// The names of some rows that stand for no gene.
    fn controls(&self, names: &[Vec<String>]) -> Vec<String> {
        let all = names.iter().flatten().map(String::as_str);
        let Some(declared) = self.control else { return Suspects::among(all, self.accept).controls };
        let mut found: Vec<String> = vec![];
        let mut seen = std::collections::HashSet::new();
        for name in all.filter(|n| seen.insert(*n) && declared.contains(n)) {
            found.push(name.into());
        }
        found
    }
}

impl Measurements {
    /// Keeps the rows with a value in a column.
    fn choose(&mut self, file: &str, column: &str, value: &str) -> Result<()> {
        let cells = self.table.text_or_missing(column)?;
        let rows: Vec<usize> = (0..cells.len()).filter(|&row| cells[row].as_deref() == Some(value)).collect();
        if rows.is_empty() {
            let mut known: Vec<&str> = cells.iter().flatten().map(String::as_str).collect();
            known.sort_unstable();
            known.dedup();
            let near = hint(value, known.iter().copied());
            return Err(Error::Data(format!(
                "{file}: no row has `{value}` in column {column}{near}; it has {}",
                listed(&known, 10)
            )));
        }
        self.notes.push(format!("{} of {} with {column} = {value}", rows.len(), counted(cells.len(), "row")));
        self.table = Arc::new(self.table.take(&rows));
        Ok(())
    }
}
