use std::io::{self, ErrorKind};
use std::path::PathBuf;

use crate::delimiter::Delimiter;

/// Why a table could not be read, used or written. Each message names the file, the place, the
/// cause and the remedy.
#[derive(thiserror::Error, Debug)]
#[non_exhaustive]
pub enum TableError {
    #[error("there is no file {}; check its name, and set the folder which holds the data with --data-dir or SCREENWRIGHT_DATA", .path.display())]
    NoFile { path: PathBuf },

    #[error("{} is a folder, not a table; name a table in it, a file which ends in {TABLES}", .path.display())]
    Folder { path: PathBuf },

    #[error("cannot read {}: {cause}; {}", .path.display(), read_remedy(.cause))]
    Unreadable { path: PathBuf, cause: io::Error },

    #[error("{} is not a table that can be read: its name must end in {TABLES}; convert it, in Python for example with frame.to_csv(\"name.csv\", index=False)", .path.display())]
    UnknownExtension { path: PathBuf },

    #[error("{} is empty; write it again, or fetch it again", .path.display())]
    Empty { path: PathBuf },

    /// The contents are of another kind than the name says.
    #[error("{} is not {expected}: {found}; {remedy}", .path.display())]
    WrongKind { path: PathBuf, expected: &'static str, found: String, remedy: &'static str },

    /// The end of the file is missing.
    #[error("{} ends early: it is a truncated {kind} file, as after an interrupted download or copy; fetch or copy it again", .path.display())]
    Truncated { path: PathBuf, kind: &'static str },

    #[error("{} is a damaged {kind} file: {cause}; fetch or write it again", .path.display())]
    Damaged { path: PathBuf, kind: &'static str, cause: String },

    #[error("{}, line {line}: the text is not UTF-8, though text before it is; save the file as UTF-8, in Python for example with frame.to_csv(name, encoding=\"utf-8\")", .path.display())]
    NotUtf8 { path: PathBuf, line: usize },

    #[error("{}, line {line}: {found} {}, but the header names {expected} {}; {}", .path.display(), plural("cell", *.found), plural("column", *.expected), ragged_remedy(*.found, *.expected, *.delimiter))]
    Ragged { path: PathBuf, line: usize, found: usize, expected: usize, delimiter: Delimiter },

    #[error("{}, line {line}: {problem}; put \" around the whole cell, and write a \" inside it as \"\"", .path.display())]
    Quote { path: PathBuf, line: usize, problem: &'static str },

    #[error("{file} has two columns named {name:?}; rename one of them")]
    DuplicateColumn { file: String, name: String },

    #[error("column {name:?} has {found} {}, but the table has {expected}; give every column the same length", plural("row", *.found))]
    Length { name: String, found: usize, expected: usize },

    #[error("{file} has no column {name:?}; {hint}")]
    NoColumn { file: String, name: String, hint: String },

    /// No column fits a name with wildcards.
    #[error("{file} has no column {kind}that fits {pattern:?}; {hint}")]
    NoMatch { file: String, pattern: String, kind: String, hint: String },

    /// No column is left that is a feature.
    #[error("{file} has no column left that is a feature: {hint}")]
    NoFeatures { file: String, hint: String },

    /// The column is there, but its type is not read.
    #[error("{file}: column {name:?} cannot be used: {cause}; store it as text or as numbers instead")]
    UnreadColumn { file: String, name: String, cause: String },

    /// One cell cannot be what was asked for.
    #[error("{file}, {place}, column {column:?}: {problem}; {remedy}")]
    Cell { file: String, place: String, column: String, problem: String, remedy: &'static str },

    /// Several columns are not what was asked for.
    #[error("{}", several(.errors))]
    Several { errors: Vec<TableError> },

    #[error("cannot write {}: the table has no columns; give it at least one", .path.display())]
    NoColumns { path: PathBuf },

    #[error("cannot write {}: {cause}; store the columns as numbers or text", .path.display())]
    Encode { path: PathBuf, cause: String },

    #[error("cannot write {}: {cause}; {}; nothing already written is lost", .path.display(), write_remedy(.cause))]
    Write { path: PathBuf, cause: io::Error },
}

const TABLES: &str = ".csv, .tsv, .tab, .txt, .gmt or .gct, each also with .gz, or in .parquet";

/// Errors in one line, the first few in full.
fn several(errors: &[TableError]) -> String {
    const MOST: usize = 5;
    let mut all: Vec<String> = errors.iter().take(MOST).map(ToString::to_string).collect();
    if errors.len() > MOST {
        all.push(format!("{} more columns cannot be used", errors.len() - MOST));
    }
    all.join("; also: ")
}

fn plural(noun: &str, count: usize) -> String {
    if count == 1 { noun.into() } else { format!("{noun}s") }
}

fn ragged_remedy(found: usize, expected: usize, delimiter: Delimiter) -> String {
    let separator = delimiter.singular();
    if found > expected {
        format!("put \" around a cell which contains a {separator}, or remove what is too many")
    } else {
        format!("add the missing cells: an empty cell still needs its {separator}")
    }
}

fn read_remedy(cause: &io::Error) -> &'static str {
    match cause.kind() {
        ErrorKind::PermissionDenied => "ask for the right to read it, or copy it to your own folder",
        _ => "check the disk or the network folder it is on, then try again",
    }
}

fn write_remedy(cause: &io::Error) -> &'static str {
    match cause.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "free some space, or choose another folder"
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => "choose a folder that you may write to",
        ErrorKind::NotFound => "create the folder it is in first, or choose another folder",
        ErrorKind::IsADirectory | ErrorKind::DirectoryNotEmpty => "there is a folder of that name: choose another name",
        _ => "check the disk it is on, or choose another folder",
    }
}

/// How a file begins, for an error message.
pub(crate) fn opening(bytes: &[u8]) -> String {
    format!("it begins with \"{}\"", bytes[..bytes.len().min(8)].escape_ascii())
}
