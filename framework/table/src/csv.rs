//! Text tables by RFC 4180. Written by hand so that every error can name its line, and so that
//! names stay text whatever they look like.

use std::borrow::Cow;
use std::path::Path;

use crate::cells::{self, Cells};
use crate::error::TableError;
use crate::table::{Column, Table};

pub(crate) fn parse(path: &Path, bytes: &[u8], separator: u8) -> Result<Table, TableError> {
    let text = decode(path, bytes)?;
    let mut reader = Reader { path, text, separator, at: 0, line: 1 };
    let mut record = Vec::new();
    if reader.next(&mut record)?.is_none() {
        return Err(TableError::Empty { path: path.into() });
    }
    let names: Vec<String> = record
        .iter()
        .enumerate()
        .map(|(at, name)| match name.trim() {
            // As pandas calls the nameless column that it writes for its row index.
            "" => format!("Unnamed: {at}"),
            name => name.to_owned(),
        })
        .collect();

    let mut columns = vec![Cells::default(); names.len()];
    let mut lines = Vec::new();
    while let Some(line) = reader.next(&mut record)? {
        if record.len() != names.len() {
            return Err(TableError::Ragged {
                path: path.into(),
                line,
                found: record.len(),
                expected: names.len(),
                separator: if separator == b'\t' { "tab" } else { "comma" },
            });
        }
        lines.push(line);
        for (column, cell) in columns.iter_mut().zip(&record) {
            column.push(cell);
        }
    }

    let mut table = Table::of(path, Some(lines), Some(separator.into()));
    for (name, cells) in names.into_iter().zip(columns) {
        let column = typed(&cells);
        let written = (!matches!(column, Column::Text(_))).then_some(cells);
        table.push_written(name, column, written)?;
    }
    Ok(table)
}

fn decode<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a str, TableError> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(TableError::NotUtf8 { path: path.into(), line: 1 });
    }
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    std::str::from_utf8(bytes).map_err(|cause| {
        let before = &bytes[..cause.valid_up_to()];
        let line = 1 + before.iter().filter(|&&byte| byte == b'\n').count();
        TableError::NotUtf8 { path: path.into(), line }
    })
}

/// The narrowest type that holds every cell.
fn typed(cells: &Cells) -> Column {
    let filled = || cells.iter().any(|cell| !cell.is_empty());
    if cells.iter().next().is_none() {
        return Column::Text(Vec::new());
    }
    if let Some(values) = cells.iter().map(|cell| cell.trim().parse().ok()).collect() {
        return Column::Integer(values);
    }
    if let Some(values) = cells.iter().map(cells::flag).collect() {
        return Column::Flag(values);
    }
    let mut any = false;
    let numbers = cells
        .iter()
        .map(|cell| {
            if cells::is_missing(cell) {
                return Some(f64::NAN);
            }
            // A gene may be called INF; a column is only numeric if a digit shows it.
            any |= cell.bytes().any(|byte| byte.is_ascii_digit());
            cells::number(cell)
        })
        .collect();
    match numbers {
        Some(values) if any || !filled() => Column::Number(values),
        _ => Column::Text(cells.iter().map(|cell| (!cell.is_empty()).then(|| cell.to_owned())).collect()),
    }
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    separator: u8,
    at: usize,
    line: usize,
}

impl<'a> Reader<'a> {
    /// Reads the next record that is not a blank line; its line, or `None` at the end.
    fn next(&mut self, record: &mut Vec<Cow<'a, str>>) -> Result<Option<usize>, TableError> {
        while self.at < self.text.len() {
            let line = self.line;
            record.clear();
            let mut quoted = false;
            loop {
                quoted |= self.peek() == Some(b'"');
                let cell = if self.peek() == Some(b'"') { self.quoted()? } else { self.plain() };
                record.push(cell);
                if self.peek() != Some(self.separator) {
                    break;
                }
                self.at += 1;
            }
            self.end_line();
            if quoted || record.len() > 1 || record.iter().any(|cell| !cell.trim().is_empty()) {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn plain(&mut self) -> Cow<'a, str> {
        let rest = &self.text[self.at..];
        let end = rest
            .bytes()
            .position(|byte| byte == self.separator || byte == b'\n' || byte == b'\r')
            .unwrap_or(rest.len());
        self.at += end;
        Cow::Borrowed(&rest[..end])
    }

    fn quoted(&mut self) -> Result<Cow<'a, str>, TableError> {
        let opened = self.line;
        let mut cell = Cow::Borrowed("");
        loop {
            self.at += 1;
            let rest = &self.text[self.at..];
            let Some(end) = rest.find('"') else {
                return Err(self.quote(opened, "a cell starts with a \" that is never closed"));
            };
            let part = &rest[..end];
            self.line += lines(part);
            self.at += end + 1;
            if cell.is_empty() {
                cell = Cow::Borrowed(part);
            } else {
                cell.to_mut().push_str(part);
            }
            match self.peek() {
                Some(b'"') => cell.to_mut().push('"'),
                None | Some(b'\n' | b'\r') => return Ok(cell),
                Some(byte) if byte == self.separator => return Ok(cell),
                Some(_) => return Err(self.quote(self.line, "there is text after a closing \"")),
            }
        }
    }

    fn end_line(&mut self) {
        if self.peek() == Some(b'\r') {
            self.at += 1;
            if self.peek() == Some(b'\n') {
                self.at += 1;
            }
        } else if self.peek() == Some(b'\n') {
            self.at += 1;
        }
        self.line += 1;
    }

    fn quote(&self, line: usize, problem: &'static str) -> TableError {
        TableError::Quote { path: self.path.into(), line, problem }
    }
}

/// Line ends of any kind within a quoted cell.
fn lines(part: &str) -> usize {
    let bytes = part.as_bytes();
    (0..bytes.len())
        .filter(|&at| bytes[at] == b'\n' || (bytes[at] == b'\r' && bytes.get(at + 1) != Some(&b'\n')))
        .count()
}
