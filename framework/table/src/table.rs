use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::cells::Cells;
use crate::column::Column;
use crate::delimiter::Delimiter;
use crate::encoding::Encoding;
use crate::error::TableError;
use crate::index;
use crate::spelling::Spelling;

/// What a file is, beside its contents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// `delimited text`, `GCT`, `GMT` or `Parquet`.
    pub format: &'static str,
    /// Whether it is packed with gzip.
    pub gzip: bool,
    /// What stands between cells, in text files.
    pub delimiter: Option<Delimiter>,
    /// How its characters are stored, in text files.
    pub encoding: Option<Encoding>,
    /// Size on disk.
    pub bytes: u64,
}

#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub name: String,
    pub column: Column,
    /// Whether it only numbers or names the rows.
    pub index: bool,
    /// Whether the file says that it describes rows.
    pub metadata: bool,
    spelling: Spelling,
    /// The cells as the file has them, made when they are first asked for.
    written: OnceLock<Cells>,
}

/// A mistake made while building a table, kept so that [`Table::with`] can be chained.
#[derive(Clone, Debug)]
enum Fault {
    Length { name: String, found: usize, expected: usize },
    Duplicate { name: String },
}

/// Named columns of equal length, in order.
#[derive(Clone, Debug, Default)]
pub struct Table {
    columns: Vec<Named>,
    /// The place of each column by its name.
    places: HashMap<String, usize>,
    /// Columns in the file whose type is not read, and why.
    unread: Vec<(String, String)>,
    path: Option<PathBuf>,
    source: Option<Source>,
    /// The line of each row, for text files.
    lines: Option<Vec<usize>>,
    /// The row of the file that each row is, where only some were taken.
    taken: Option<Vec<usize>>,
    notes: Vec<String>,
    fault: Option<Fault>,
}

impl Table {
    /// A table without columns.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a column. A duplicate name or another length than the first column's is reported by
    /// whatever uses the table next.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, column: Column) -> Self {
        if let Err(fault) = self.insert(name.into(), column, Spelling::default()) {
            self.fault.get_or_insert(fault);
        }
        self
    }

    /// Adds a column, which must have a new name and the length of the others.
    pub fn push(&mut self, name: impl Into<String>, column: Column) -> Result<(), TableError> {
        self.check()?;
        self.insert(name.into(), column, Spelling::default()).map_err(|fault| self.report(&fault))
    }

    /// The rows at these positions, in this order; their places in the file stay what they are.
    ///
    /// Panics where a position is not below [`Table::height`].
    #[must_use]
    pub fn take(&self, rows: &[usize]) -> Self {
        let of = |all: &Vec<usize>| rows.iter().map(|&row| all[row]).collect();
        let columns = self.columns.iter().map(|named| Named {
            name: named.name.clone(),
            column: named.column.take(rows),
            index: named.index,
            metadata: named.metadata,
            spelling: named.spelling.take(rows),
            written: OnceLock::new(),
        });
        Self {
            columns: columns.collect(),
            places: self.places.clone(),
            unread: self.unread.clone(),
            path: self.path.clone(),
            source: self.source.clone(),
            lines: self.lines.as_ref().map(of),
            taken: Some(self.taken.as_ref().map_or_else(|| rows.to_vec(), of)),
            notes: self.notes.clone(),
            fault: self.fault.clone(),
        }
    }

    /// A table without columns that stands for the same file in messages, for what is computed from its rows.
    pub fn emptied(&self) -> Self {
        Self { path: self.path.clone(), source: self.source.clone(), ..Self::default() }
    }

    /// Number of rows.
    pub fn height(&self) -> usize {
        self.columns.first().map_or(0, |named| named.column.len())
    }

    /// The names of the columns, in order.
    pub fn names(&self) -> Vec<&str> {
        self.columns.iter().map(|named| named.name.as_str()).collect()
    }

    /// The column of this name, if there is one.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.named(name).map(|named| &named.column)
    }

    /// The file the table was read from.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// What the file is that the table was read from.
    pub fn source(&self) -> Option<&Source> {
        self.source.as_ref()
    }

    /// What was found out about the file while it was read and may surprise, in short sentences:
    /// "cells are separated by semicolons", "decimals are written with commas: lfc".
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The names of the columns that only number or name the rows, as data frames write them: a first
    /// column without a name (`Unnamed: 0`), `__index_level_0__`, `...1`, and `X` if it holds row
    /// numbers. They are read like others, and are never among [`Table::numeric_columns`].
    pub fn index(&self) -> Vec<&str> {
        self.columns.iter().filter(|named| named.index).map(|named| named.name.as_str()).collect()
    }

    /// The names of the columns which hold numbers or integers, in order, without the index and what describes rows.
    pub fn numeric_columns(&self) -> Vec<&str> {
        self.columns
            .iter()
            .filter(|named| {
                !named.index && !named.metadata && matches!(named.column, Column::Number(_) | Column::Integer(_))
            })
            .map(|named| named.name.as_str())
            .collect()
    }

    /// Where a row stands in the file (`line 7`, or `row 7` where there are no lines), for messages.
    pub fn place(&self, row: usize) -> String {
        match self.lines.as_ref().and_then(|lines| lines.get(row)) {
            Some(line) => format!("line {line}"),
            None => format!("row {}", self.taken.as_ref().and_then(|taken| taken.get(row)).unwrap_or(&row) + 1),
        }
    }

    pub(crate) fn file(&self) -> String {
        match &self.path {
            Some(path) => path.display().to_string(),
            None => "the table".into(),
        }
    }

    fn insert(&mut self, name: String, column: Column, spelling: Spelling) -> Result<(), Fault> {
        if self.places.contains_key(&name) {
            return Err(Fault::Duplicate { name });
        }
        let (found, expected) = (column.len(), self.height());
        if !self.columns.is_empty() && found != expected {
            return Err(Fault::Length { name, found, expected });
        }
        self.places.insert(name.clone(), self.columns.len());
        self.columns.push(Named { name, column, index: false, metadata: false, spelling, written: OnceLock::new() });
        Ok(())
    }

    fn report(&self, fault: &Fault) -> TableError {
        match fault.clone() {
            Fault::Length { name, found, expected } => TableError::Length { name, found, expected },
            Fault::Duplicate { name } => TableError::DuplicateColumn { file: self.file(), name },
        }
    }

    /// The first mistake made with [`Table::with`].
    pub(crate) fn check(&self) -> Result<(), TableError> {
        self.fault.as_ref().map_or(Ok(()), |fault| Err(self.report(fault)))
    }

    /// An empty table that stands for a file; `lines` for text files.
    pub(crate) fn of(path: &Path, lines: Option<Vec<usize>>, source: Source) -> Self {
        Self { path: Some(path.to_owned()), lines, source: Some(source), ..Self::default() }
    }

    /// Adds a column together with the way its cells are written in the file.
    pub(crate) fn push_spelled(&mut self, name: String, column: Column, spelling: Spelling) -> Result<(), TableError> {
        self.insert(name, column, spelling).map_err(|fault| self.report(&fault))
    }

    /// Says something that was found out about the file.
    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Marks the columns that are an index, and notes them.
    pub(crate) fn mark_index(&mut self) {
        for (at, named) in self.columns.iter_mut().enumerate() {
            named.index = index::is_index(at, &named.name, &named.column);
            if named.index {
                self.notes.push(format!("column {:?} is taken for the index of the rows", named.name));
            }
        }
    }

    /// Marks the columns at these places as descriptions of rows.
    pub(crate) fn mark_metadata(&mut self, places: RangeInclusive<usize>) {
        for (_, named) in self.columns.iter_mut().enumerate().filter(|(at, _)| places.contains(at)) {
            named.metadata = true;
        }
    }

    pub(crate) fn named(&self, name: &str) -> Option<&Named> {
        self.places.get(name).and_then(|&at| self.columns.get(at))
    }

    pub(crate) fn all(&self) -> &[Named] {
        &self.columns
    }

    pub(crate) fn unread(&self) -> &[(String, String)] {
        &self.unread
    }

    /// Notes a column which is in the file but is not read.
    pub(crate) fn push_unread(&mut self, name: String, cause: String) {
        self.unread.push((name, cause));
    }

    pub(crate) fn columns(&self) -> impl ExactSizeIterator<Item = (&str, &Column)> {
        self.columns.iter().map(|named| (named.name.as_str(), &named.column))
    }

    /// The error for a number which a format cannot hold.
    pub(crate) fn unwritable(&self, column: &str, row: usize, problem: String, remedy: &'static str) -> TableError {
        TableError::Cell { file: self.file(), place: self.place(row), column: column.into(), problem, remedy }
    }
}

impl Named {
    /// The cells as the file has them, empty where there is no value.
    pub fn written(&self) -> &Cells {
        self.written.get_or_init(|| self.spelling.written(&self.column))
    }
}
