//! Which genes the rows of a user's table name.

use crate::domain::{Names, Suspects};
use crate::error::{Error, Result};
use crate::measured::gene_names;
use std::sync::Arc;
use table::Table;

/// A table whose rows name perturbations: the names of each row, without those of controls.
pub(super) struct Rows {
    pub table: Arc<Table>,
    /// How errors name the file.
    pub file: String,
    /// By row, what is written there; the genes of one row may be one label.
    names: Vec<Vec<String>>,
    /// Names that stand where no gene is perturbed.
    control: Names,
}

/// The columns that name genes, and what joins the genes in one.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub genes: &'a [String],
    pub separator: Option<&'a str>,
}

impl Rows {
    /// Reads the names; words for no value among them are refused unless `accept`ed.
    pub(super) fn read(table: Arc<Table>, file: String, at: Place, accept: &[String]) -> Result<(Self, Suspects)> {
        let names = gene_names(&table, at.genes, at.separator).map_err(|e| match e {
            Error::Config(what) => Error::Config(format!("{file}: {what}")),
            other => other,
        })?;
        let suspects = Suspects::among(names.iter().flatten().map(String::as_str), accept);
        suspects.refuse_missing(&file, "`accept` under [pool]")?;
        Ok((Self { table, file, names, control: Names::default() }, suspects))
    }

    pub(super) fn with_control(self, control: &Names) -> Self {
        Self { control: control.clone(), ..self }
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// How many names the longest row has.
    pub(super) fn order(&self) -> usize {
        self.names.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// The genes of a row.
    pub(super) fn genes(&self, row: usize) -> Vec<&str> {
        self.names[row].iter().map(String::as_str).filter(|n| !self.control.contains(n)).collect()
    }

    /// An error of a row.
    pub(super) fn at(&self, row: usize, e: Error) -> Error {
        Error::Data(format!("{}, {}: {e}", self.file, self.table.place(row)))
    }
}
