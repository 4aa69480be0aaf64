//! The three files of a 10x matrix: found in a folder or by a prefix, and the two that name rows and columns.

use super::features::{By, Features};
use crate::error::listed;
use crate::{CellsError, Options, Result};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// The longest line that is read; a longer one is no line of these files.
pub(super) const MOST_LINE: u64 = 1 << 20;
/// The most rows of a table of names.
const MOST_ROWS: usize = 1 << 27;

const MATRIX: &[&str] = &["matrix.mtx", "matrix.mtx.txt"];
const BARCODES: &[&str] = &["barcodes.tsv"];
const FEATURES: &[&str] = &["features.tsv", "genes.tsv"];

pub(super) struct Found {
    pub(super) matrix: PathBuf,
    pub(super) barcodes: PathBuf,
    pub(super) features: PathBuf,
}

/// Names of the files in a folder, in order.
fn names(folder: &Path) -> Vec<String> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|e| e.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// What stands before `matrix.mtx` in a name of a file.
fn before_matrix(name: &str) -> Option<&str> {
    let name = name.strip_suffix(".gz").unwrap_or(name);
    MATRIX.iter().find_map(|end| name.strip_suffix(end))
}

/// Prefixes in a folder that begin with some letters.
fn prefixes<'a>(names: &'a [String], start: &str) -> Vec<&'a str> {
    let mut all: Vec<&str> = names.iter().filter_map(|n| before_matrix(n)).filter(|p| p.starts_with(start)).collect();
    all.dedup();
    all
}

/// The folder and the letters that names begin with.
fn taken_apart(path: &Path) -> (PathBuf, String) {
    let start = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    (path.parent().unwrap_or(Path::new("")).into(), start)
}

/// Whether files of a 10x matrix begin with that path.
pub(crate) fn is_prefix(path: &Path) -> bool {
    let (folder, start) = taken_apart(path);
    !path.exists() && !start.is_empty() && !prefixes(&names(&folder), &start).is_empty()
}

/// The files that a prefix stands for; none for a path that is no prefix, or lacks one of the three.
pub fn behind(path: &Path) -> Vec<PathBuf> {
    match is_prefix(path).then(|| find(path)) {
        Some(Ok(found)) => vec![found.matrix, found.barcodes, found.features],
        _ => vec![],
    }
}

/// The three files of a folder, or of a prefix as `folder/GSM1234567_sampleA_`.
pub(super) fn find(path: &Path) -> Result<Found> {
    let (folder, start) = if path.is_dir() { (path.to_path_buf(), String::new()) } else { taken_apart(path) };
    let names = names(&folder);
    let found = prefixes(&names, &start);
    let exact = |p: &&str| p.trim_end_matches(['_', '-', '.']) == start.trim_end_matches(['_', '-', '.']);
    let prefix = match (found.iter().copied().find(exact), found.as_slice()) {
        (Some(p), _) => p,
        (None, [one]) => one,
        (None, []) => "",
        (None, many) => {
            let paths: Vec<String> = many.iter().map(|p| folder.join(p).display().to_string()).collect();
            let what =
                format!("there are {} matrices here; name one of them as `path`: {}", many.len(), listed(&paths));
            return Err(CellsError::of(path, what));
        }
    };
    let file = |ends: &[&str]| {
        let all = ends.iter().flat_map(|end| [format!("{prefix}{end}"), format!("{prefix}{end}.gz")]);
        all.map(|name| folder.join(name)).find(|f| f.is_file()).ok_or_else(|| {
            let ends: Vec<String> =
                ends.iter().filter(|e| !e.ends_with(".txt")).map(|e| format!("{prefix}{e}")).collect();
            let what = format!(
                "there is no {} (or .gz) in this folder, which holds: {}; a 10x folder has matrix.mtx, barcodes.tsv \
                 and features.tsv or genes.tsv, all three with the same prefix or none",
                ends.join(" or "),
                listed(&names)
            );
            CellsError::of(path, what)
        })
    };
    Ok(Found { matrix: file(MATRIX)?, barcodes: file(BARCODES)?, features: file(FEATURES)? })
}

/// The bytes of a file, unpacked where its name ends in `.gz`.
pub fn unpacked(path: &Path) -> Result<Box<dyn BufRead>> {
    let file = File::open(path).map_err(|e| CellsError::of(path, format!("opening failed: {e}; check the path")))?;
    let plain: Box<dyn Read> = match path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz")) {
        true => Box::new(MultiGzDecoder::new(BufReader::with_capacity(1 << 18, file))),
        false => Box::new(file),
    };
    Ok(Box::new(BufReader::with_capacity(1 << 18, plain)))
}

pub(super) fn unreadable(path: &Path, line: usize, e: &std::io::Error) -> CellsError {
    CellsError::of(path, format!("reading line {line} failed: {e}; the file is damaged or cut short, copy it again"))
}

/// The next line without its end, in `line`; `false` at the end of the file. Lines are bounded, so that a file without
/// any cannot fill memory.
pub(super) fn next_line(reader: &mut dyn BufRead, line: &mut Vec<u8>, path: &Path, number: usize) -> Result<bool> {
    line.clear();
    let read = reader.take(MOST_LINE).read_until(b'\n', line).map_err(|e| unreadable(path, number, &e))?;
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if read as u64 == MOST_LINE {
        let what = format!("line {number} is longer than {MOST_LINE} bytes; the file is damaged or of another kind");
        return Err(CellsError::of(path, what));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(read > 0)
}

/// Calls `f` with each line that is not blank.
fn each_line(path: &Path, mut f: impl FnMut(&str)) -> Result<()> {
    let mut reader = unpacked(path)?;
    let (mut line, mut number, mut rows) = (vec![], 1, 0);
    while next_line(&mut *reader, &mut line, path, number)? {
        let text = std::str::from_utf8(&line).map_err(|_| {
            CellsError::of(path, format!("line {number} is not UTF-8 text; save the table as UTF-8, tab-separated"))
        })?;
        if text.contains('\0') {
            let what = format!("line {number} holds zero bytes; the file is damaged, copy it again");
            return Err(CellsError::of(path, what));
        }
        number += 1;
        if text.trim().is_empty() {
            continue;
        }
        rows += 1;
        if rows > MOST_ROWS {
            return Err(CellsError::of(path, format!("has more than {MOST_ROWS} rows; the file is of another kind")));
        }
        f(text);
    }
    Ok(())
}

/// A field of a line, without quotes.
fn field(line: &str, i: usize) -> Option<&str> {
    line.split('\t').nth(i).map(|f| f.trim().trim_matches('"'))
}

/// A column of a table without header.
pub(super) fn column(path: &Path, i: usize) -> Result<Vec<String>> {
    let mut out = vec![];
    each_line(path, |line| out.push(field(line, i).unwrap_or_default().to_string()))?;
    Ok(out)
}

/// The rows of the matrix: id, name and type in columns; older tables have no type, and some only a name.
pub(super) fn features(path: &Path, options: &Options) -> Result<Features> {
    let by = By::of(path, options)?;
    let mut rows = vec![];
    each_line(path, |line| {
        let (id, name) = (field(line, 0).unwrap_or_default(), field(line, 1));
        let name = if by == By::Id { id } else { name.unwrap_or(id) };
        rows.push((name.to_string(), field(line, 2).filter(|k| !k.is_empty()).map(str::to_string)));
    })?;
    Features::take(path, rows.into_iter(), options)
}
