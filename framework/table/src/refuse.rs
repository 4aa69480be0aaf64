//! Files that are no tables, each with the way to make a table of it.

use std::path::Path;

use crate::error::{TableError, opening};

pub(crate) const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What another program's file is and how it becomes a table, by the ending of its name (in small
/// letters, without `.gz`).
fn known(ending: &str) -> Option<(&'static str, &'static str)> {
    Some(match ending {
        "xlsx" | "xls" | "xlsm" | "xlsb" | "ods" | "numbers" => (
            "a spreadsheet",
            "save the sheet as CSV from the spreadsheet program, with gene names as text so that they do not become dates, or in Python with pandas.read_excel(\"name\").to_csv(\"name.csv\", index=False)",
        ),
        "rds" | "rda" | "rdata" => (
            "a file of R",
            "export it in R with write.csv(readRDS(\"name.rds\"), \"name.csv\", row.names = FALSE), or load(\"name.rda\") and write.csv of the table in it",
        ),
        "pkl" | "pickle" => (
            "a pickle of Python",
            "export it in Python with pandas.read_pickle(\"name.pkl\").to_parquet(\"name.parquet\"), only if you trust its origin",
        ),
        "npy" | "npz" => (
            "an array of NumPy",
            "export it in Python with pandas.DataFrame(numpy.load(\"name.npy\"), index=genes).to_csv(\"name.csv\", index_label=\"gene\")",
        ),
        "feather" | "arrow" | "ipc" => (
            "an Arrow file",
            "export it in Python with pandas.read_feather(\"name.feather\").to_parquet(\"name.parquet\")",
        ),
        "h5ad" | "loom" | "zarr" | "h5mu" => (
            "a file of single cells",
            "name it where cells are read, or export its profiles in Python with anndata.read_h5ad(\"name.h5ad\").to_df().to_parquet(\"name.parquet\")",
        ),
        "h5" | "hdf5" | "hdf" => (
            "an HDF5 file",
            "export the table in it in Python with pandas.read_hdf(\"name.h5\").to_parquet(\"name.parquet\")",
        ),
        "json" | "jsonl" | "ndjson" => (
            "a JSON file",
            "export it in Python with pandas.read_json(\"name.json\").to_csv(\"name.csv\", index=False)",
        ),
        "mtx" => ("a sparse matrix", "name its folder where cells are read, or export it as CSV"),
        "zip" | "7z" | "rar" | "tar" | "tgz" => ("an archive", "unpack it, and name the table in it"),
        "bz2" | "xz" | "zst" | "lz4" => ("a compressed file", "unpack it, or compress it with gzip instead"),
        _ => return None,
    })
}

/// The error for a name that no table has.
pub(crate) fn by_name(path: &Path, ending: &str) -> TableError {
    match known(ending) {
        Some((found, remedy)) => TableError::WrongKind {
            path: path.into(),
            expected: "a table that can be read",
            found: format!("its name says that it is {found}"),
            remedy,
        },
        None => TableError::UnknownExtension { path: path.into() },
    }
}

/// Refuses a file whose beginning shows that it is not the text, or the packed text, that its name says.
pub(crate) fn by_start(path: &Path, start: &[u8], gzip: bool) -> Result<(), TableError> {
    let path = || path.into();
    if gzip {
        if start.starts_with(&GZIP) {
            return Ok(());
        }
        return Err(if GZIP.starts_with(start) {
            TableError::Truncated { path: path(), kind: "gzip" }
        } else {
            TableError::WrongKind {
                path: path(),
                expected: "a gzip file",
                found: opening(start),
                remedy: "compress it with gzip, or remove .gz from its name",
            }
        });
    }
    let (found, remedy) = if start.starts_with(&GZIP) {
        ("it is compressed with gzip", "add .gz to its name")
    } else if start.starts_with(b"PAR1") {
        ("it is a Parquet file", "let its name end in .parquet")
    } else if start.starts_with(b"PK\x03\x04") {
        ("it is an Excel or zip file", "save the sheet as CSV, or unpack the zip file")
    } else if start.starts_with(b"\xd0\xcf\x11\xe0") {
        ("it is a file of an old Excel", "save the sheet as CSV")
    } else if start.starts_with(b"\x89HDF\r\n") {
        ("it is an HDF5 file", "let its name end in .h5ad if it holds cells, or export the table in it")
    } else if start.starts_with(b"BZh") || start.starts_with(b"\xfd7zXZ") || start.starts_with(b"\x28\xb5\x2f\xfd") {
        ("it is compressed, and not with gzip", "unpack it, or compress it with gzip instead")
    } else {
        return Ok(());
    };
    Err(TableError::WrongKind { path: path(), expected: "a text file", found: found.into(), remedy })
}

/// Refuses files which stand where the data should be, as after a clone or a download that went wrong.
pub(crate) fn stand_ins(path: &Path, start: &[u8]) -> Result<(), TableError> {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start).trim_ascii_start().to_ascii_lowercase();
    let (found, remedy) = if start.starts_with(b"version https://git-lfs") {
        ("it is a Git LFS pointer to the data", "fetch the data with: git lfs pull")
    } else if start.starts_with(b"<!doctype html") || start.starts_with(b"<html") {
        ("it is a web page", "download the file itself")
    } else if start.starts_with(b"<?xml") {
        ("it is an XML file, as a server sends for an error", "download the file itself")
    } else {
        return Ok(());
    };
    Err(TableError::WrongKind { path: path.into(), expected: "a table", found: found.into(), remedy })
}
