//! Matrices of single cells, read in pieces so that a file may be larger than memory.
//!
//! Both readers hand out a matrix entry by entry, in the order of the file, and never the matrix itself: the
//! caller keeps what it needs. Zeros may be left out. Every error is one message that names the file, the place
//! in it, the cause and the remedy.

mod anndata;
mod lzf;
mod tenx;

pub use anndata::AnnData;
pub use tenx::{TenX, open};

use std::path::Path;

/// A file that cannot be read as it is; the text is ready to print.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CellsError(String);

/// Shorthand used throughout.
pub type Result<T, E = CellsError> = std::result::Result<T, E>;

impl CellsError {
    /// A message about a file.
    pub fn of(path: &Path, what: impl std::fmt::Display) -> Self {
        Self(format!("{}: {what}", path.display()))
    }
}

/// The known names, for a message: the first few, and how many more there are.
fn listed<S: AsRef<str>>(names: &[S]) -> String {
    const MOST: usize = 12;
    let shown: Vec<&str> = names.iter().take(MOST).map(AsRef::as_ref).collect();
    match names.len() {
        0 => "none".into(),
        n if n <= MOST => shown.join(", "),
        n => format!("{} and {} more", shown.join(", "), n - MOST),
    }
}
