//! The file: cells with what was done to them (AnnData, or 10x beside a table), or a pseudobulk table.

use super::PerturbSeq;
use framework::cells::{Cells, CellsError, Options};
use framework::prelude::*;
use framework::table::{FeatureChoice, Table};
use std::collections::HashMap;
use std::path::Path;

/// Where the entries come from.
pub(super) enum Matrix {
    Cells(Cells),
    /// rows x genes.
    Table(Array2<f64>, Vec<String>),
}

impl Matrix {
    pub(super) fn genes(&self) -> &[String] {
        match self {
            Matrix::Cells(m) => m.genes(),
            Matrix::Table(_, genes) => genes,
        }
    }

    /// Every entry that is not zero: cell, gene, value.
    pub(super) fn entries(&self, mut f: impl FnMut(usize, usize, f64) -> Result<()>) -> Result<()> {
        match self {
            Matrix::Cells(m) => m.entries(f),
            Matrix::Table(x, _) => x.indexed_iter().filter(|(_, v)| **v != 0.0).try_for_each(|((i, j), v)| f(i, j, *v)),
        }
    }
}

/// A column of text where cells may be empty.
type Texts = Vec<Option<String>>;
/// Labels, lanes, and what was left out.
type Labels = (Texts, Option<Texts>, Vec<String>);

/// The file and what its cells are.
pub(super) struct Input {
    pub(super) matrix: Matrix,
    pub(super) label: Texts,
    pub(super) lane: Option<Texts>,
    /// What was left out, a sentence each.
    pub(super) notes: Vec<String>,
}

impl PerturbSeq {
    /// Opens the matrix and reads labels and lanes of its rows.
    pub(super) fn input(&self, setup: &Setup, path: &Path, is_table: bool) -> Result<Input> {
        if is_table {
            let table = setup.data.table(&self.path)?;
            let (label, lane, mut notes) = self.labels(path, vec![], |c| Ok(table.text_or_missing(c)?))?;
            let matrix = self.profiles(&table, &mut notes)?;
            return Ok(Input { matrix, label, lane, notes });
        }
        let cells = framework::cells::open(
            path,
            &Options {
                layer: self.layer.clone(),
                gene_column: self.gene_column.clone(),
                feature_types: match &self.feature_types[..] {
                    [] => Options::default().feature_types,
                    named => named.to_vec(),
                },
            },
        )?;
        self.misplaced(&cells)?;
        if cells.has_columns() {
            let (label, lane, notes) = self.labels(path, vec![], |c| Ok(cells.column(c)?))?;
            return Ok(Input { matrix: Matrix::Cells(cells), label, lane, notes });
        }
        let barcodes = cells.names()?;
        let Some(obs) = &self.obs else {
            let what = format!(
                "a 10x matrix does not say how cells were perturbed; name a table with the columns `{}` and `{}` in `obs`",
                self.barcode, self.label
            );
            return Err(CellsError::of(path, what).into());
        };
        let table = setup.data.table(obs)?;
        let mut row_of: HashMap<&str, usize> = HashMap::with_capacity(table.height());
        for (row, barcode) in table.text(&self.barcode)?.into_iter().enumerate() {
            if let Some(first) = row_of.insert(barcode, row) {
                return Err(Error::Data(format!(
                    "{}: barcode {barcode} has two rows ({} and {}); keep one row for each cell",
                    setup.data.path(obs).display(),
                    table.place(first),
                    table.place(row)
                )));
            }
        }
        let rows: Vec<Option<usize>> = barcodes.iter().map(|b| row_of.get(b.as_str()).copied()).collect();
        if rows.iter().all(Option::is_none) {
            let show = |b: Option<&str>| b.unwrap_or("none").to_string();
            return Err(Error::Data(format!(
                "{}: none of the {} barcodes of the matrix (as {}) is among its {} barcodes (as {}); check suffixes as in -1",
                setup.data.path(obs).display(),
                rows.len(),
                show(barcodes.first().map(String::as_str)),
                table.height(),
                show(table.text(&self.barcode)?.first().copied())
            )));
        }
        let take = |c: &str| {
            let values = table.text_or_missing(c)?;
            Ok(rows.iter().map(|r| r.and_then(|r| values[r].clone())).collect())
        };
        let (label, lane, notes) = self.labels(path, cells.notes(), take)?;
        Ok(Input { matrix: Matrix::Cells(cells), label, lane, notes })
    }

    /// Labels and lanes of the cells asked for, and what was left out.
    fn labels(&self, path: &Path, mut notes: Vec<String>, text: impl Fn(&str) -> Result<Texts>) -> Result<Labels> {
        let mut label = text(&self.label)?;
        for (column, value) in &self.only {
            notes.push(framework::cells::only(path, &mut label, column, &text(column)?, value)?);
        }
        Ok((label, self.lane.as_deref().map(text).transpose()?, notes))
    }

    /// Errors where a setting means nothing for what was opened.
    fn misplaced(&self, cells: &Cells) -> Result<()> {
        let (name, kind) = match (cells.has_columns(), &self.layer, &self.obs) {
            (false, Some(_), _) => ("layer", "a 10x matrix"),
            (true, _, Some(_)) => ("obs", "an AnnData file"),
            _ => return Ok(()),
        };
        Err(self.wrong(format!("`{name}` means nothing for {kind}; leave it out")))
    }

    /// The genes of a pseudobulk table: its columns of measurements. What is left out is noted.
    fn profiles(&self, table: &Table, notes: &mut Vec<String>) -> Result<Matrix> {
        let other: Vec<&str> =
            std::iter::once(&self.label).chain(&self.lane).chain(self.only.keys()).map(String::as_str).collect();
        let choice = FeatureChoice { columns: vec![], exclude: self.not_genes.clone() };
        let chosen = choice.of(table, &other)?;
        notes.extend(table.notes().iter().cloned());
        notes.extend(chosen.lines());
        let mut x = Array2::zeros((table.height(), chosen.names.len()));
        for (j, values) in table.all_numbers(&chosen.names, false)?.into_iter().enumerate() {
            x.column_mut(j).assign(&Array1::from(values));
        }
        Ok(Matrix::Table(x, chosen.names))
    }
}
