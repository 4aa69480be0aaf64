//! Text tables. Written by hand so that every error can name its line, names stay text whatever they
//! look like, and only the values of a file are held in memory.

use std::collections::{BTreeSet, HashSet};

use crate::column::Column;
use crate::encoding::Encoding;
use crate::error::TableError;
use crate::table::{Source, Table};

mod column;
mod file;
mod gmt;
mod grouped;
mod records;
mod rows;
mod sniff;
mod split;

pub(crate) use file::TextFile;
pub(crate) use grouped::both_readings;
pub(crate) use sniff::Ending;

use column::{Growing, Grown};
use records::{Records, Stop};
use sniff::{Plan, Shape};
use split::split;

/// Above it a line is no header of a table, and each column costs memory.
const MOST_COLUMNS: usize = 1 << 20;

/// Reads a delimited text file.
pub(crate) fn parse(file: &TextFile<'_>, ending: Ending) -> Result<Table, TableError> {
    decoded(file, |encoding, mark| match pass(file, ending, encoding, mark, &BTreeSet::new())? {
        Pass::Done(table) => Ok(*table),
        Pass::Again(as_text) => match pass(file, ending, encoding, mark, &as_text)? {
            Pass::Done(table) => Ok(*table),
            Pass::Again(_) => {
                let cause = "it changed while it was read".into();
                Err(TableError::Damaged { path: file.path.into(), kind: "text", cause }.into())
            }
        },
    })
}

/// Reads gene sets.
pub(crate) fn parse_gmt(file: &TextFile<'_>) -> Result<Table, TableError> {
    decoded(file, |encoding, mark| gmt::pass(file, encoding, mark))
}

/// Reads with the encoding that a file has: what its mark says, or UTF-8, or else Windows-1252.
fn decoded<T>(file: &TextFile<'_>, mut read: impl FnMut(Encoding, usize) -> Result<T, Stop>) -> Result<T, TableError> {
    let (encoding, mark) = file.marked()?;
    let mut result = read(encoding, mark);
    // A file with other text in UTF-8 is damaged.
    if mark == 0 && matches!(result, Err(Stop::NotUtf8 { some_is: false, .. })) {
        result = read(Encoding::Windows1252, 0);
    }
    result.map_err(|stop| match stop {
        Stop::Fault(error) => error,
        Stop::NotUtf8 { line, .. } => TableError::NotUtf8 { path: file.path.into(), line },
    })
}

fn encoding_note(encoding: Encoding) -> Option<String> {
    (encoding != Encoding::Utf8).then(|| format!("the text is not UTF-8: it is read as {}", encoding.name()))
}

enum Pass {
    Done(Box<Table>),
    /// These columns must be read as text from their first cell on.
    Again(BTreeSet<usize>),
}

fn pass(
    file: &TextFile<'_>,
    ending: Ending,
    encoding: Encoding,
    mark: usize,
    as_text: &BTreeSet<usize>,
) -> Result<Pass, Stop> {
    let mut records = Records::new(file, file.open(encoding, mark)?);
    let mut plan = sniff::plan(&records.sample()?, ending);
    if ending == Ending::Gct && plan.promised.is_none() {
        return Err(TableError::WrongKind {
            path: file.path.into(),
            expected: "a GCT file of version 1.2 or 1.3",
            found: "its first two lines are not \"#1.2\" (or \"#1.3\") and the numbers of rows and samples (in 1.3 also of columns \
                    and rows that describe them)"
                .into(),
            remedy: "export it again as GCT 1.3, or as CSV",
        }
        .into());
    }
    records.delimiter = plan.delimiter;
    for _ in 0..plan.skipped {
        records.skip_line()?;
    }
    let names = header(file, &mut records, &plan)?;
    for _ in 0..plan.promised.map_or(0, |gct| gct.of_samples) {
        records.skip_line()?;
    }
    let mut columns: Vec<Growing> = (0..names.len()).map(|at| Growing::new(as_text.contains(&at))).collect();
    let lines = rows::read(file, &mut records, &plan, &mut columns)?;
    if let Some(gct) = plan.promised {
        check_gct(file, (gct.rows, gct.samples), (lines.len(), names.len().saturating_sub(1 + gct.of_rows)))?;
        if gct.of_samples > 0 {
            plan.notes.push(format!("rows after the header that describe samples are left out: {}", gct.of_samples));
        }
    }

    let mut read = Vec::new();
    let mut again = BTreeSet::new();
    for (at, (name, column)) in names.into_iter().zip(columns).enumerate() {
        match column.finish() {
            Grown::Done(column, spelling) => read.push((name, column, spelling)),
            Grown::ReadAgain => drop(again.insert(at)),
        }
    }
    if !again.is_empty() {
        return Ok(Pass::Again(again));
    }
    plan.notes.extend(grouped::read_columns(&mut read, plan.delimiter));
    plan.notes.extend(encoding_note(encoding));
    let source = Source {
        format: if plan.promised.is_some() { "GCT" } else { "delimited text" },
        gzip: file.gzip,
        delimiter: Some(plan.delimiter),
        encoding: Some(encoding),
        bytes: file.bytes,
    };
    let mut table = Table::of(file.path, Some(lines), source);
    for note in plan.notes {
        table.note(note);
    }
    for (name, column, spelling) in read {
        table.push_spelled(name, column, spelling)?;
    }
    table.mark_index();
    if let Some(gct) = plan.promised {
        table.mark_metadata(1..=gct.of_rows);
    }
    Ok(Pass::Done(Box::new(table)))
}

/// The names of the columns.
fn header(file: &TextFile<'_>, records: &mut Records<'_>, plan: &Plan) -> Result<Vec<String>, Stop> {
    let mut names = Vec::new();
    let delimiter = plan.delimiter;
    let push = |cell: std::borrow::Cow<'_, str>| {
        if names.len() <= MOST_COLUMNS {
            names.push(cell.trim().to_owned());
        }
    };
    let Some((line, record)) = records.next()? else {
        return Err(TableError::Empty { path: file.path.into() }.into());
    };
    if let Err(mistake) = split(record, delimiter, push) {
        let record = record.to_owned();
        return Err(records.misquoted(line, &record, mistake).into());
    }
    if names.len() > MOST_COLUMNS {
        let cause = format!("its header names more than {MOST_COLUMNS} columns");
        return Err(TableError::Damaged { path: file.path.into(), kind: "text", cause }.into());
    }
    match plan.shape {
        Shape::RowNames => names.insert(0, String::new()),
        Shape::HeaderTail => drop(names.pop()),
        Shape::Equal | Shape::RowTail => {}
    }
    if plan.promised.is_some_and(|gct| gct.old) && names.len() >= 2 {
        names[0] = "Name".into();
        names[1] = "Description".into();
    }
    for (at, name) in names.iter_mut().enumerate() {
        if name.is_empty() {
            // As pandas calls the nameless column that it writes for its row index.
            *name = format!("Unnamed: {at}");
        }
    }
    let mut known = HashSet::new();
    if let Some(twice) = names.iter().find(|name| !known.insert(name.as_str())) {
        let file = file.path.display().to_string();
        return Err(TableError::DuplicateColumn { file, name: twice.clone() }.into());
    }
    Ok(names)
}

/// A GCT file says how large its table is.
fn check_gct(file: &TextFile<'_>, promised: (usize, usize), found: (usize, usize)) -> Result<(), TableError> {
    if promised == found {
        return Ok(());
    }
    let cause = format!(
        "its second line promises {} rows and {} samples, and there are {} and {}",
        promised.0, promised.1, found.0, found.1
    );
    Err(TableError::Damaged { path: file.path.into(), kind: "GCT", cause })
}

/// Whether a column holds numbers that are not whole.
fn has_fractions(column: &Column) -> bool {
    matches!(column, Column::Number(values) if values.iter().any(|value| value.fract() != 0.0 && value.is_finite()))
}
