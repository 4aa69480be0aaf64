//! The matrix as Matrix Market text: features x cells, in coordinates from 1.

use super::files::{next_line, unpacked};
use crate::{CellsError, Result};
use std::path::PathBuf;

/// A matrix that stays on disk, and the shape that its tables of names give it.
pub(super) struct Mtx {
    pub(super) path: PathBuf,
    pub(super) rows: usize,
    pub(super) columns: usize,
}

impl Mtx {
    fn wrong(&self, what: impl std::fmt::Display) -> CellsError {
        CellsError::of(&self.path, what)
    }

    /// Calls `f` with column, row and value of every entry, in the order of the file.
    pub(super) fn entries<E: From<CellsError>>(
        &self,
        mut f: impl FnMut(usize, usize, f64) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut reader = unpacked(&self.path)?;
        let (mut line, mut number) = (Vec::new(), 1usize);
        if !next_line(&mut *reader, &mut line, &self.path, 1)? {
            return Err(self.wrong("it is empty; copy it again").into());
        }
        self.head(&String::from_utf8_lossy(&line))?;
        let (mut size, mut seen) = (None, 0usize);
        loop {
            number += 1;
            if !next_line(&mut *reader, &mut line, &self.path, number)? {
                break;
            }
            if line.first() == Some(&b'%') || line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let Some(of) = size else {
                size = Some(self.sizes(&line, number)?);
                continue;
            };
            let Some((row, column, v)) = entry(&line) else {
                let what = format!("line {number} is `{}`; it must give row, column (from 1) and value", shown(&line));
                return Err(self.wrong(what).into());
            };
            seen += 1;
            if row == 0 || column == 0 || row > self.rows || column > self.columns {
                let what = format!(
                    "line {number} is `{}`, outside the {} x {} that the file announces",
                    shown(&line),
                    self.rows,
                    self.columns
                );
                return Err(self.wrong(format!("{what}; it is damaged or was edited, copy it again")).into());
            }
            if seen > of {
                let what = format!("line {number} is entry {seen}, and the file announces {of} entries");
                return Err(self.wrong(format!("{what}; it is damaged or was edited, copy it again")).into());
            }
            f(column - 1, row - 1, v)?;
        }
        match size {
            Some(of) if of == seen => Ok(()),
            Some(of) => {
                let what = format!("it announces {of} entries and holds {seen}: it is cut short; copy it again");
                Err(self.wrong(what).into())
            }
            None => Err(self.wrong("it has no line of sizes: it is cut short; copy it again").into()),
        }
    }

    /// Checks the first line: which forms of Matrix Market make sense for cells.
    fn head(&self, text: &str) -> Result<()> {
        let lower = text.trim().to_ascii_lowercase();
        let words: Vec<&str> = lower.split_ascii_whitespace().collect();
        let short: String = text.trim().chars().take(60).collect();
        let fault = |what: &str| Err(self.wrong(format!("line 1 is `{short}`; {what}")));
        let write = "write it in Python: scipy.io.mmwrite(path, scipy.sparse.coo_matrix(x), symmetry=\"general\")";
        match words.as_slice() {
            [
                "%%matrixmarket",
                "matrix",
                "coordinate",
                "integer" | "unsigned-integer" | "real" | "double",
                "general",
            ] => Ok(()),
            ["%%matrixmarket", "matrix", "array", ..] => fault(&format!("a dense matrix is not read; {write}")),
            ["%%matrixmarket", "matrix", "coordinate", "pattern", ..] => {
                fault("a pattern has no values, and counts are needed; write it again with them")
            }
            ["%%matrixmarket", "matrix", "coordinate", "complex", ..] => fault("complex numbers are no counts"),
            ["%%matrixmarket", "matrix", "coordinate", _, symmetry] => {
                fault(&format!("a matrix of genes and cells cannot be {symmetry}; {write}"))
            }
            _ => fault("a 10x matrix begins with `%%MatrixMarket matrix coordinate integer (or real) general`"),
        }
    }

    /// The line of sizes; answers the number of entries.
    fn sizes(&self, line: &[u8], number: usize) -> Result<usize> {
        let text = shown(line);
        let sizes: Vec<Option<usize>> = text.split_ascii_whitespace().map(|v| v.parse().ok()).collect();
        let &[Some(rows), Some(columns), Some(entries)] = sizes.as_slice() else {
            return Err(self.wrong(format!("line {number} is `{text}`; it must give rows, columns and entries")));
        };
        if (rows, columns) == (self.rows, self.columns) {
            return Ok(entries);
        }
        let what = format!(
            "line {number}: it has {rows} rows and {columns} columns, and there are {} features and {} barcodes",
            self.rows, self.columns
        );
        let remedy = match (rows, columns) == (self.columns, self.rows) {
            true => "it has cells as rows: write its transpose",
            false => "the three files must belong together, without header lines, with genes as rows",
        };
        Err(self.wrong(format!("{what}; {remedy}")))
    }
}

/// The start of a line, for a message.
fn shown(line: &[u8]) -> String {
    String::from_utf8_lossy(line).trim().chars().take(60).collect()
}

/// Row, column and value.
fn entry(line: &[u8]) -> Option<(usize, usize, f64)> {
    let mut fields = line.split(u8::is_ascii_whitespace).filter(|f| !f.is_empty());
    let (row, column, value) = (whole(fields.next()?)?, whole(fields.next()?)?, fields.next()?);
    if fields.next().is_some() {
        return None;
    }
    // Counts are short; whatever else is a number is left to the library.
    let value = match whole(value) {
        Some(v) if value.len() < 16 => v as f64,
        _ => std::str::from_utf8(value).ok()?.parse().ok()?,
    };
    Some((row, column, value))
}

fn whole(digits: &[u8]) -> Option<usize> {
    let digit = |n: usize, b: &u8| b.is_ascii_digit().then(|| n * 10 + usize::from(b - b'0'));
    (1..19).contains(&digits.len()).then(|| digits.iter().try_fold(0, digit))?
}
