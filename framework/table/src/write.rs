use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::cells::digits;
use crate::column::Column;
use crate::error::TableError;
use crate::parquet;
use crate::table::Table;

/// Writes a table as Parquet, compressed with zstd; NaN becomes null. Equal tables give equal files.
pub fn write_parquet(table: &Table, path: &Path) -> Result<(), TableError> {
    check(table, path)?;
    let bytes =
        parquet::render(table).map_err(|cause| TableError::Encode { path: path.into(), cause: cause.to_string() })?;
    put(path, |file| file.write_all(&bytes))
}

/// Writes a table as CSV; NaN becomes an empty cell. A name with `.tsv` or `.tab` in its end separates by tabs,
/// and one which ends in `.gz` is compressed, so that [`read`](crate::read) takes the file back.
/// Equal tables give equal files.
pub fn write_csv(table: &Table, path: &Path) -> Result<(), TableError> {
    check(table, path)?;
    let name = path.to_string_lossy().to_lowercase();
    let (name, gzip) = match name.strip_suffix(".gz") {
        Some(name) => (name, true),
        None => (name.as_str(), false),
    };
    let text = csv(table, if name.ends_with(".tsv") || name.ends_with(".tab") { '\t' } else { ',' });
    put(path, |file| {
        if gzip {
            let mut packed = GzEncoder::new(file, Compression::default());
            packed.write_all(text.as_bytes())?;
            packed.finish().map(drop)
        } else {
            file.write_all(text.as_bytes())
        }
    })
}

/// The text that [`write_csv`] writes to a `.csv` file.
pub fn to_csv(table: &Table) -> String {
    csv(table, ',')
}

/// Writes a table as JSON, an array with one object per row; NaN becomes null. Equal tables give
/// equal files.
pub fn write_json(table: &Table, path: &Path) -> Result<(), TableError> {
    check(table, path)?;
    let text = json(table)?;
    put(path, |file| file.write_all(text.as_bytes()))
}

fn check(table: &Table, path: &Path) -> Result<(), TableError> {
    table.check()?;
    if table.columns().len() == 0 {
        return Err(TableError::NoColumns { path: path.into() });
    }
    Ok(())
}

fn csv(table: &Table, separator: char) -> String {
    let columns: Vec<_> = table.columns().collect();
    // A line which is blank would be skipped when it is read.
    let empty = if columns.len() == 1 { "\"\"" } else { "" };
    let quoted = |cell: &str| {
        let special = |c| c == separator || matches!(c, '"' | '\n' | '\r');
        let blank = columns.len() == 1 && cell.trim().is_empty();
        if blank || cell.contains(special) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
    };
    let mut text = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = String>| {
        for (at, cell) in cells.enumerate() {
            if at > 0 {
                text.push(separator);
            }
            text.push_str(&cell);
        }
        text.push('\n');
    };
    line(&mut columns.iter().map(|(name, _)| quoted(name)));
    for row in 0..table.height() {
        line(&mut columns.iter().map(|(_, column)| match column {
            Column::Text(values) => quoted(values[row].as_deref().unwrap_or_default()),
            Column::Number(values) if values[row].is_nan() => empty.into(),
            Column::Number(values) => digits(values[row]),
            Column::Integer(values) => values[row].to_string(),
            Column::Flag(values) => values[row].to_string(),
        }));
    }
    text
}

fn json(table: &Table) -> Result<String, TableError> {
    let columns: Vec<_> = table.columns().map(|(name, column)| (name, string(name), column)).collect();
    let mut text = String::from("[");
    for row in 0..table.height() {
        text.push_str(if row == 0 { "\n{" } else { ",\n{" });
        for (at, (name, key, column)) in columns.iter().enumerate() {
            if at > 0 {
                text.push(',');
            }
            text.push_str(key);
            text.push(':');
            text.push_str(&match column {
                Column::Text(values) => values[row].as_deref().map_or_else(|| "null".into(), string),
                Column::Number(values) if values[row].is_nan() => "null".into(),
                Column::Number(values) if values[row].is_infinite() => {
                    let problem = format!("{} cannot be written as JSON", digits(values[row]));
                    return Err(table.unwritable(name, row, problem, "write CSV or Parquet instead"));
                }
                Column::Number(values) => digits(values[row]),
                Column::Integer(values) => values[row].to_string(),
                Column::Flag(values) => values[row].to_string(),
            });
        }
        text.push('}');
    }
    text.push_str(if table.height() == 0 { "]\n" } else { "\n]\n" });
    Ok(text)
}

/// Text as a JSON string.
fn string(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c < ' ' => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Writes beside the target and renames, so that the target is the old file or the whole new one.
fn put(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), TableError> {
    let fail = |cause| TableError::Write { path: path.into(), cause };
    let temporary =
        beside(path).ok_or_else(|| fail(io::Error::new(io::ErrorKind::IsADirectory, "it is no file name")))?;
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(&temporary)
        .and_then(|mut file| {
            fill(&mut file)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, path));
    if let Err(cause) = written {
        // If this fails too, a stray temporary file is all that stays.
        let _ = fs::remove_file(&temporary);
        return Err(fail(cause));
    }
    // The rename itself outlives a crash only once the folder is on disk; not every system can.
    if let Some(folder) = temporary.parent() {
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(())
}

fn beside(path: &Path) -> Option<PathBuf> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = path.file_name()?.to_string_lossy();
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    Some(folder.join(format!(".{name}.{}.{count}.tmp", std::process::id())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_leaves_the_old_file() {
        let folder = std::env::temp_dir().join(format!("table-full-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("t.csv");
        fs::write(&path, "old").unwrap();
        for (kind, remedy) in [
            (io::ErrorKind::StorageFull, "free some space, or choose another folder"),
            (io::ErrorKind::QuotaExceeded, "free some space, or choose another folder"),
            (io::ErrorKind::PermissionDenied, "choose a folder that you may write to"),
            (io::ErrorKind::ReadOnlyFilesystem, "choose a folder that you may write to"),
        ] {
            let error = put(&path, |file| {
                file.write_all(b"half")?;
                Err(kind.into())
            })
            .unwrap_err()
            .to_string();
            for part in ["cannot write", "t.csv", remedy, "nothing already written is lost"] {
                assert!(error.contains(part), "{part:?} is not in: {error}");
            }
            assert_eq!(fs::read_to_string(&path).unwrap(), "old");
            assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "a temporary file stayed");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
