use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::cells::{self, Cells};
use crate::error::TableError;

/// The values of one column.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Text; `None` where a cell is empty.
    Text(Vec<Option<String>>),
    /// Numbers; NaN where a cell is empty.
    Number(Vec<f64>),
    /// Whole numbers.
    Integer(Vec<i64>),
    /// True and false.
    Flag(Vec<bool>),
}

impl Column {
    /// Number of rows.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(values) => values.len(),
            Self::Number(values) => values.len(),
            Self::Integer(values) => values.len(),
            Self::Flag(values) => values.len(),
        }
    }

    /// Whether the column has no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each cell as text, empty where there is no value.
    fn written(&self) -> Cells {
        match self {
            Self::Text(values) => values.iter().map(|v| v.clone().unwrap_or_default()).collect(),
            Self::Number(values) => {
                values.iter().map(|v| if v.is_nan() { String::new() } else { v.to_string() }).collect()
            }
            Self::Integer(values) => values.iter().map(i64::to_string).collect(),
            Self::Flag(values) => values.iter().map(bool::to_string).collect(),
        }
    }
}

#[derive(Clone, Debug)]
struct Named {
    name: String,
    column: Column,
    /// The cells as the file has them, or as they are first asked for.
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
    /// Columns in the file whose type is not read, and why.
    unread: Vec<(String, String)>,
    path: Option<PathBuf>,
    /// The line of each row, for text files.
    lines: Option<Vec<usize>>,
    separator: Option<char>,
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
        if let Err(fault) = self.insert(name.into(), column, None) {
            self.fault.get_or_insert(fault);
        }
        self
    }

    /// Adds a column, which must have a new name and the length of the others.
    pub fn push(&mut self, name: impl Into<String>, column: Column) -> Result<(), TableError> {
        self.check()?;
        self.insert(name.into(), column, None).map_err(|fault| self.report(&fault))
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
        self.columns.iter().find(|named| named.name == name).map(|named| &named.column)
    }

    /// The file the table was read from.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The names of the columns which hold numbers or integers, in order.
    pub fn numeric_columns(&self) -> Vec<&str> {
        self.columns
            .iter()
            .filter(|named| matches!(named.column, Column::Number(_) | Column::Integer(_)))
            .map(|named| named.name.as_str())
            .collect()
    }

    /// A required column of names, every cell filled. Numbers come back as the file has them.
    pub fn text(&self, name: &str) -> Result<Vec<&str>, TableError> {
        let named = self.find(name)?;
        let fault = |row| self.cell(named, row, "the cell is empty".into(), FILL);
        if let Column::Text(values) = &named.column {
            return values
                .iter()
                .enumerate()
                .map(|(row, value)| value.as_deref().filter(|v| !v.is_empty()).ok_or_else(|| fault(row)))
                .collect();
        }
        named
            .written()
            .iter()
            .enumerate()
            .map(|(row, cell)| if cell.is_empty() { Err(fault(row)) } else { Ok(cell) })
            .collect()
    }

    /// A required column of finite numbers.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>, TableError> {
        self.measured(name, false)
    }

    /// A required column of finite numbers, NaN where a cell is empty, NaN or NA.
    pub fn numbers_or_missing(&self, name: &str) -> Result<Vec<f64>, TableError> {
        self.measured(name, true)
    }

    /// A required column of whole numbers.
    pub fn integers(&self, name: &str) -> Result<Vec<i64>, TableError> {
        let named = self.find(name)?;
        let fault = |row| self.misfit(named, row, "a whole number", "write whole numbers only");
        match &named.column {
            Column::Integer(values) => Ok(values.clone()),
            Column::Number(_) | Column::Text(_) => named
                .written()
                .iter()
                .enumerate()
                .map(|(row, cell)| cells::integer(cell).ok_or_else(|| fault(row)))
                .collect(),
            Column::Flag(values) if values.is_empty() => Ok(Vec::new()),
            Column::Flag(_) => Err(fault(0)),
        }
    }

    /// A required column of true and false, or of 1 and 0.
    pub fn flags(&self, name: &str) -> Result<Vec<bool>, TableError> {
        let named = self.find(name)?;
        if let Column::Flag(values) = &named.column {
            return Ok(values.clone());
        }
        named
            .written()
            .iter()
            .enumerate()
            .map(|(row, cell)| {
                cells::flag(cell)
                    .or(match cells::integer(cell) {
                        Some(0) => Some(false),
                        Some(1) => Some(true),
                        _ => None,
                    })
                    .ok_or_else(|| self.misfit(named, row, "true or false", "write true or false"))
            })
            .collect()
    }

    fn measured(&self, name: &str, missing: bool) -> Result<Vec<f64>, TableError> {
        let named = self.find(name)?;
        let check = |row, value: f64| {
            if value.is_finite() || (missing && value.is_nan()) {
                Ok(value)
            } else {
                Err(self.not_finite(named, row, missing))
            }
        };
        match &named.column {
            Column::Number(values) => values.iter().enumerate().map(|(row, &value)| check(row, value)).collect(),
            Column::Integer(values) => Ok(values.iter().map(|&value| value as f64).collect()),
            Column::Text(_) => named
                .written()
                .iter()
                .enumerate()
                .map(|(row, cell)| match cells::number(cell) {
                    Some(value) => check(row, value),
                    None if missing && cells::is_missing(cell) => Ok(f64::NAN),
                    None => Err(self.not_finite(named, row, missing)),
                })
                .collect(),
            Column::Flag(values) if values.is_empty() => Ok(Vec::new()),
            Column::Flag(_) => Err(self.not_finite(named, 0, missing)),
        }
    }

    fn not_finite(&self, named: &Named, row: usize, missing: bool) -> TableError {
        let cell = named.written().iter().nth(row).unwrap_or_default();
        let shown = cells::shown(cell);
        if cell.trim().is_empty() {
            self.cell(named, row, "the cell is empty (or NaN), and a number is needed".into(), FILL)
        } else if cells::is_missing(cell) {
            let problem = format!("{shown} stands for a missing value, and a number is needed");
            self.cell(named, row, problem, FILL)
        } else if cells::number(cell).is_some() {
            let remedy = match missing {
                true => "write a finite number, or leave the cell empty",
                false => "write a finite number, or remove the row",
            };
            self.cell(named, row, format!("{shown} is not a finite number"), remedy)
        } else {
            let decimal_comma = cell.matches(',').count() == 1 && cells::number(&cell.replace(',', ".")).is_some();
            let remedy = match (decimal_comma, missing) {
                (true, _) => "write the decimals after a point, as in 0.5",
                (false, true) => "write a number, or leave the cell empty",
                (false, false) => "write a number, or remove the row",
            };
            self.cell(named, row, format!("{shown} is not a number"), remedy)
        }
    }

    fn misfit(&self, named: &Named, row: usize, wanted: &str, remedy: &'static str) -> TableError {
        let cell = named.written().iter().nth(row).unwrap_or_default();
        if cell.is_empty() {
            return self.cell(named, row, format!("the cell is empty, and {wanted} is needed"), FILL);
        }
        self.cell(named, row, format!("{} is not {wanted}", cells::shown(cell)), remedy)
    }

    fn cell(&self, named: &Named, row: usize, problem: String, remedy: &'static str) -> TableError {
        TableError::Cell { file: self.file(), place: self.place(row), column: named.name.clone(), problem, remedy }
    }

    /// Where a row stands in the file (`line 7`, or `row 7` where there are no lines), for messages.
    pub fn place(&self, row: usize) -> String {
        match self.lines.as_ref().and_then(|lines| lines.get(row)) {
            Some(line) => format!("line {line}"),
            None => format!("row {}", row + 1),
        }
    }

    fn file(&self) -> String {
        match &self.path {
            Some(path) => path.display().to_string(),
            None => "the table".into(),
        }
    }

    fn find(&self, name: &str) -> Result<&Named, TableError> {
        self.check()?;
        if let Some(named) = self.columns.iter().find(|named| named.name == name) {
            return Ok(named);
        }
        let name = name.to_owned();
        Err(match self.unread.iter().find(|(unread, _)| *unread == name) {
            Some((_, cause)) => TableError::UnreadColumn { file: self.file(), name, cause: cause.clone() },
            None => TableError::NoColumn { file: self.file(), hint: self.hint(&name), name },
        })
    }

    fn hint(&self, wanted: &str) -> String {
        const MOST: usize = 10;
        let names = self.names();
        if let (Some(separator), [only]) = (self.separator, names.as_slice())
            && let Some(other) = [',', '\t', ';'].into_iter().find(|&c| c != separator && only.contains(c))
        {
            return format!(
                "its header seems to be separated by {other:?}, where {separator:?} is expected: save it as .csv with commas, or as .tsv with tabs"
            );
        }
        let mut hint = match names.len() {
            0 => "it has no columns".to_owned(),
            n if n <= MOST => format!("it has {}", names.join(", ")),
            n => format!("it has {} and {} more", names[..MOST].join(", "), n - MOST),
        };
        if !self.unread.is_empty() {
            let unread: Vec<_> = self.unread.iter().map(|(name, cause)| format!("{name} ({cause})")).collect();
            hint.push_str(&format!(", and, not readable, {}", unread.join(", ")));
        }
        match nearest(wanted, &names) {
            Some(name) => hint.push_str(&format!("; did you mean {name:?}?")),
            None => hint.push_str("; name one of these, or rename the column"),
        }
        hint
    }

    fn insert(&mut self, name: String, column: Column, written: Option<Cells>) -> Result<(), Fault> {
        if self.columns.iter().any(|named| named.name == name) {
            return Err(Fault::Duplicate { name });
        }
        let (found, expected) = (column.len(), self.height());
        if !self.columns.is_empty() && found != expected {
            return Err(Fault::Length { name, found, expected });
        }
        self.columns.push(Named { name, column, written: written.map_or_else(OnceLock::new, OnceLock::from) });
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

    /// An empty table that stands for a file; `lines` and `separator` for text files.
    pub(crate) fn of(path: &Path, lines: Option<Vec<usize>>, separator: Option<char>) -> Self {
        Self { path: Some(path.to_owned()), lines, separator, ..Self::default() }
    }

    /// Adds a column together with its cells as the file has them.
    pub(crate) fn push_written(
        &mut self,
        name: String,
        column: Column,
        written: Option<Cells>,
    ) -> Result<(), TableError> {
        self.insert(name, column, written).map_err(|fault| self.report(&fault))
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
    fn written(&self) -> &Cells {
        self.written.get_or_init(|| self.column.written())
    }
}

const FILL: &str = "fill it in, or remove the row";

/// The name most like the wanted one, if one is alike.
fn nearest<'a>(wanted: &str, names: &[&'a str]) -> Option<&'a str> {
    let plain = |name: &str| -> Vec<char> {
        name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let wanted = plain(wanted);
    let most = if wanted.len() < 4 { 1 } else { (wanted.len() / 3).max(2) };
    names
        .iter()
        .map(|&name| (distance(&wanted, &plain(name)), name))
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= most)
        .map(|(_, name)| name)
}

/// Edits (insert, delete, replace) between two words.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
