use std::fs;
use std::io::{ErrorKind, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::error::{TableError, opening};
use crate::table::Table;
use crate::{csv, parquet};

enum Format {
    Text { separator: u8, gzip: bool },
    Parquet,
}

/// Reads a table; its format is told by its name: `.csv`, `.csv.gz`, `.tsv`, `.tsv.gz` or
/// `.parquet`. Rows and columns keep the order of the file.
///
/// In text files the first line names the columns, and a column is of integers, of true and false,
/// of numbers, or else of text, whichever first fits all of its cells. Blank lines are skipped.
pub fn read(path: &Path) -> Result<Table, TableError> {
    let unreadable = |cause: std::io::Error| match cause.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => TableError::NoFile { path: path.into() },
        ErrorKind::IsADirectory => TableError::Folder { path: path.into() },
        _ => TableError::Unreadable { path: path.into(), cause },
    };
    if fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Err(TableError::Folder { path: path.into() });
    }
    let format = format(path).ok_or_else(|| TableError::UnknownExtension { path: path.into() })?;
    let bytes = fs::read(path).map_err(unreadable)?;
    if bytes.is_empty() {
        return Err(TableError::Empty { path: path.into() });
    }
    refuse_stand_ins(path, &bytes)?;
    match format {
        Format::Parquet => parquet::parse(path, &bytes),
        Format::Text { separator, gzip: true } => csv::parse(path, &gunzip(path, &bytes)?, separator),
        Format::Text { separator, gzip: false } => {
            refuse_binary(path, &bytes)?;
            csv::parse(path, &bytes, separator)
        }
    }
}

fn format(path: &Path) -> Option<Format> {
    let name = path.file_name()?.to_string_lossy().to_lowercase();
    let (name, gzip) = match name.strip_suffix(".gz") {
        Some(name) => (name, true),
        None => (name.as_str(), false),
    };
    match Path::new(name).extension()?.to_str()? {
        "csv" => Some(Format::Text { separator: b',', gzip }),
        "tsv" => Some(Format::Text { separator: b'\t', gzip }),
        "parquet" if !gzip => Some(Format::Parquet),
        _ => None,
    }
}

fn gunzip(path: &Path, bytes: &[u8]) -> Result<Vec<u8>, TableError> {
    if !bytes.starts_with(&GZIP) {
        return Err(if GZIP.starts_with(bytes) {
            TableError::Truncated { path: path.into(), kind: "gzip" }
        } else {
            TableError::WrongKind {
                path: path.into(),
                expected: "a gzip file",
                found: opening(bytes),
                remedy: "compress it with gzip, or remove .gz from its name",
            }
        });
    }
    let mut text = Vec::new();
    MultiGzDecoder::new(bytes).read_to_end(&mut text).map_err(|cause| match cause.kind() {
        ErrorKind::UnexpectedEof => TableError::Truncated { path: path.into(), kind: "gzip" },
        _ => TableError::Damaged { path: path.into(), kind: "gzip", cause: cause.to_string() },
    })?;
    if text.is_empty() {
        return Err(TableError::Empty { path: path.into() });
    }
    Ok(text)
}

const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Text files which hold something else, as after a wrong name.
fn refuse_binary(path: &Path, bytes: &[u8]) -> Result<(), TableError> {
    let (found, remedy) = if bytes.starts_with(&GZIP) {
        ("it is compressed with gzip", "add .gz to its name")
    } else if bytes.starts_with(b"PAR1") {
        ("it is a Parquet file", "let its name end in .parquet")
    } else if bytes.starts_with(b"PK\x03\x04") {
        ("it is an Excel or zip file", "save the sheet as CSV, or unpack the zip file")
    } else {
        return Ok(());
    };
    Err(TableError::WrongKind { path: path.into(), expected: "a text file", found: found.into(), remedy })
}

/// Files which stand where the data should be, as after a clone or a download that went wrong.
fn refuse_stand_ins(path: &Path, bytes: &[u8]) -> Result<(), TableError> {
    let start = bytes[..bytes.len().min(64)].trim_ascii_start().to_ascii_lowercase();
    let (found, remedy) = if start.starts_with(b"version https://git-lfs") {
        ("it is a Git LFS pointer to the data", "fetch the data with: git lfs pull")
    } else if start.starts_with(b"<!doctype html") || start.starts_with(b"<html") {
        ("it is a web page", "download the file itself")
    } else {
        return Ok(());
    };
    Err(TableError::WrongKind { path: path.into(), expected: "a table", found: found.into(), remedy })
}
