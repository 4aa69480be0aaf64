use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::error::TableError;
use crate::parquet;
use crate::refuse;
use crate::table::Table;
use crate::text::{self, Ending, TextFile};

enum Format {
    Delimited(Ending),
    Gmt,
    Parquet,
}

/// Reads a table; its format is told by its name, in letters of any case: `.csv`, `.tsv`, `.tab`,
/// `.txt`, `.gct` or `.gmt`, each also with `.gz`, or `.parquet`. Rows and columns keep the order of
/// the file.
///
/// In text files the first line names the columns, and a column is of integers, of true and false,
/// of numbers, or else of text, whichever first fits all of its cells. Blank lines and lines before
/// the header that begin with `#` are skipped. What stands between cells is found out where the name
/// does not say it, or says it wrongly; what was found out is in [`Table::notes`].
///
/// A `.gmt` file gives the columns `set`, `description` and `gene`, with a row for each gene in a set;
/// a `.gct` file begins with the columns `Name` and `Description`.
///
/// Memory is bounded: text is held only as values, and files that unpack to far more than any table
/// does, or claim more rows than they can hold, are refused.
pub fn read(path: &Path) -> Result<Table, TableError> {
    let unreadable = |cause: std::io::Error| match cause.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => TableError::NoFile { path: path.into() },
        ErrorKind::IsADirectory => TableError::Folder { path: path.into() },
        _ => TableError::Unreadable { path: path.into(), cause },
    };
    let metadata = fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(TableError::Folder { path: path.into() });
    }
    let (format, gzip) = format(path)?;
    let mut start = Vec::new();
    File::open(path).and_then(|file| file.take(128).read_to_end(&mut start)).map_err(unreadable)?;
    if start.is_empty() {
        return Err(TableError::Empty { path: path.into() });
    }
    refuse::stand_ins(path, &start)?;
    let file = TextFile { path, gzip, bytes: metadata.len() };
    let ending = match format {
        Format::Parquet => return parquet::parse(path, &fs::read(path).map_err(unreadable)?),
        Format::Delimited(ending) => Some(ending),
        Format::Gmt => None,
    };
    refuse::by_start(path, &start, gzip)?;
    match ending {
        Some(ending) => text::parse(&file, ending),
        None => text::parse_gmt(&file),
    }
}

/// The format that a name says, and whether the file is packed with gzip.
fn format(path: &Path) -> Result<(Format, bool), TableError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let (name, gzip) = match name.strip_suffix(".gz") {
        Some(name) => (name, true),
        None => (name.as_str(), false),
    };
    let ending = Path::new(name).extension().unwrap_or_default().to_string_lossy().into_owned();
    let format = match ending.as_str() {
        "csv" => Format::Delimited(Ending::Csv),
        "tsv" => Format::Delimited(Ending::Tsv),
        "txt" | "tab" => Format::Delimited(Ending::Text),
        "gct" => Format::Delimited(Ending::Gct),
        "gmt" => Format::Gmt,
        "parquet" if !gzip => Format::Parquet,
        _ => return Err(refuse::by_name(path, &ending)),
    };
    Ok((format, gzip))
}
