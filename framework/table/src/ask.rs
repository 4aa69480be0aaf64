//! Columns by name and by type, with an error for each way in which they may not be what was asked for.

use crate::cells;
use crate::column::Column;
use crate::error::TableError;
use crate::nearest::nearest;
use crate::table::{Named, Table};
use crate::text::both_readings;
use crate::words::is_missing_word;

const FILL: &str = "fill it in, or remove the row";

impl Table {
    /// A required column of names, every cell filled. Numbers come back as the file has them; only
    /// those with a point and more than 15 digits come back in their shortest form.
    pub fn text(&self, name: &str) -> Result<Vec<&str>, TableError> {
        let named = self.find(name)?;
        let filled = |cell: &'_ str| !cell.is_empty();
        let fault = |row| self.cell(named, row, "the cell is empty".into(), FILL);
        match &named.column {
            Column::Text(values) => {
                self.gather(values.iter().map(|value| value.as_deref().filter(|v| filled(v))), fault)
            }
            _ => self.gather(named.written().iter().map(|cell| Some(cell).filter(|v| filled(v))), fault),
        }
    }

    /// A required column of text, none where a cell is empty or blank.
    pub fn text_or_missing(&self, name: &str) -> Result<Vec<Option<String>>, TableError> {
        let named = self.find(name)?;
        let filled = |cell: &str| (!cell.trim().is_empty()).then(|| cell.to_owned());
        Ok(match &named.column {
            Column::Text(values) => values.iter().map(|value| value.as_deref().and_then(filled)).collect(),
            _ => named.written().iter().map(filled).collect(),
        })
    }

    /// A required column of finite numbers.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>, TableError> {
        self.measured(name, false)
    }

    /// A required column of finite numbers, NaN where a cell is empty or holds a word for "no value"
    /// (see [`is_missing_word`]).
    pub fn numbers_or_missing(&self, name: &str) -> Result<Vec<f64>, TableError> {
        self.measured(name, true)
    }

    /// Several columns of finite numbers, each as [`Table::numbers`] or, with `missing`, as
    /// [`Table::numbers_or_missing`] gives it. The error names all columns that are not, up to a few.
    pub fn all_numbers<S: AsRef<str>>(&self, names: &[S], missing: bool) -> Result<Vec<Vec<f64>>, TableError> {
        let mut columns = Vec::with_capacity(names.len());
        let mut errors = Vec::new();
        for name in names {
            match self.measured(name.as_ref(), missing) {
                Ok(column) => columns.push(column),
                Err(error) => errors.push(error),
            }
        }
        match errors.len() {
            0 => Ok(columns),
            1 => Err(errors.remove(0)),
            _ => Err(TableError::Several { errors }),
        }
    }

    /// A required column of whole numbers.
    pub fn integers(&self, name: &str) -> Result<Vec<i64>, TableError> {
        let named = self.find(name)?;
        let fault = |row| self.misfit(named, row, "a whole number", "write whole numbers only");
        match &named.column {
            Column::Integer(values) => Ok(values.clone()),
            Column::Number(values) => self.gather(values.iter().map(|&value| cells::whole(value)), fault),
            Column::Text(_) => self.gather(named.written().iter().map(cells::integer), fault),
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
        let flag = |cell| {
            cells::flag(cell).or(match cells::integer(cell) {
                Some(0) => Some(false),
                Some(1) => Some(true),
                _ => None,
            })
        };
        let fault = |row| self.misfit(named, row, "true or false", "write true or false");
        self.gather(named.written().iter().map(flag), fault)
    }

    fn measured(&self, name: &str, missing: bool) -> Result<Vec<f64>, TableError> {
        let named = self.find(name)?;
        let fits = |value: &f64| value.is_finite() || (missing && value.is_nan());
        let fault = |row| self.not_finite(named, row, missing);
        match &named.column {
            Column::Number(values) => self.gather(values.iter().map(|&value| Some(value).filter(fits)), fault),
            Column::Integer(values) => Ok(values.iter().map(|&value| value as f64).collect()),
            Column::Text(_) => {
                let value = |cell| match cells::number(cell) {
                    None if missing && is_missing_word(cell) => Some(f64::NAN),
                    number => number.filter(fits),
                };
                self.gather(named.written().iter().map(value), fault)
            }
            Column::Flag(values) if values.is_empty() => Ok(Vec::new()),
            Column::Flag(_) => Err(fault(0)),
        }
    }

    /// All values, or the error for the first row without one, which tells how many others there are.
    fn gather<T>(
        &self,
        values: impl Iterator<Item = Option<T>>,
        fault: impl Fn(usize) -> TableError,
    ) -> Result<Vec<T>, TableError> {
        const MOST: usize = 5;
        let mut good = Vec::with_capacity(values.size_hint().0);
        let mut bad = Vec::new();
        for (row, value) in values.enumerate() {
            match value {
                Some(value) => good.push(value),
                None => bad.push(row),
            }
        }
        let [first, rest @ ..] = bad.as_slice() else { return Ok(good) };
        let mut error = fault(*first);
        if let (TableError::Cell { problem, .. }, false) = (&mut error, rest.is_empty()) {
            let places: Vec<_> = rest.iter().take(MOST).map(|&row| self.place(row)).collect();
            let more = rest.len() - places.len();
            let more = if more > 0 { format!(" and in {more} more") } else { String::new() };
            problem.push_str(&format!(" (as in {}{more})", places.join(", ")));
        }
        Err(error)
    }

    fn not_finite(&self, named: &Named, row: usize, missing: bool) -> TableError {
        let cell = named.written().get(row).unwrap_or_default();
        let shown = cells::shown(cell);
        if cell.trim().is_empty() {
            return self.cell(named, row, "the cell is empty (or NaN), and a number is needed".into(), FILL);
        }
        if is_missing_word(cell) {
            let problem = format!("{shown} stands for a missing value, and a number is needed");
            return self.cell(named, row, problem, FILL);
        }
        if cells::number(cell).is_some() {
            let remedy = match missing {
                true => "write a finite number, or leave the cell empty",
                false => "write a finite number, or remove the row",
            };
            return self.cell(named, row, format!("{shown} is not a finite number"), remedy);
        }
        if let Some((thousands, decimals)) = both_readings(cell) {
            let problem = format!("{shown} may mean {thousands} or {decimals}");
            return self.cell(named, row, problem, "write the number without separators, and decimals after a point");
        }
        let point = cells::number(&cell.replace(',', ".")).is_some();
        let remedy = match (point, missing) {
            (true, _) => "write the decimals after a point, as in 0.5",
            (false, true) => "write a number, or leave the cell empty",
            (false, false) => "write a number, or remove the row",
        };
        self.cell(named, row, format!("{shown} is not a number"), remedy)
    }

    fn misfit(&self, named: &Named, row: usize, wanted: &str, remedy: &'static str) -> TableError {
        let cell = named.written().get(row).unwrap_or_default();
        if cell.is_empty() {
            return self.cell(named, row, format!("the cell is empty, and {wanted} is needed"), FILL);
        }
        self.cell(named, row, format!("{} is not {wanted}", cells::shown(cell)), remedy)
    }

    fn cell(&self, named: &Named, row: usize, problem: String, remedy: &'static str) -> TableError {
        TableError::Cell { file: self.file(), place: self.place(row), column: named.name.clone(), problem, remedy }
    }

    fn find(&self, name: &str) -> Result<&Named, TableError> {
        self.check()?;
        self.named(name).ok_or_else(|| self.no_column(name))
    }

    /// The error for a column that is not there, or is not read.
    pub(crate) fn no_column(&self, name: &str) -> TableError {
        let name = name.to_owned();
        match self.unread().iter().find(|(unread, _)| *unread == name) {
            Some((_, cause)) => TableError::UnreadColumn { file: self.file(), name, cause: cause.clone() },
            None => TableError::NoColumn { file: self.file(), hint: self.hint(&name), name },
        }
    }

    fn hint(&self, wanted: &str) -> String {
        const MOST: usize = 10;
        let names = self.names();
        let delimiter = self.source().and_then(|source| source.delimiter);
        if let (Some(delimiter), [only]) = (delimiter, names.as_slice())
            && let Some(other) =
                [',', '\t', ';'].into_iter().find(|&c| c != char::from(delimiter.byte()) && only.contains(c))
        {
            let expected = char::from(delimiter.byte());
            return format!(
                "its header seems to be separated by {other:?}, where {expected:?} is expected, but its rows are not: give every row as many cells as the header"
            );
        }
        let mut hint = match names.len() {
            0 => "it has no columns".to_owned(),
            n if n <= MOST => format!("it has {}", names.join(", ")),
            n => format!("it has {} and {} more", names[..MOST].join(", "), n - MOST),
        };
        if !self.unread().is_empty() {
            let unread: Vec<_> = self.unread().iter().map(|(name, cause)| format!("{name} ({cause})")).collect();
            hint.push_str(&format!(", and, not readable, {}", unread.join(", ")));
        }
        match nearest(wanted, &names) {
            Some(name) => hint.push_str(&format!("; did you mean {name:?}?")),
            None => hint.push_str("; name one of these, or rename the column"),
        }
        hint
    }
}
