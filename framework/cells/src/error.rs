//! What cannot be read, as one message ready to print.

use std::path::Path;

/// A file that cannot be read as it is: file, place in it, cause and remedy.
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
pub(crate) fn listed<S: AsRef<str>>(names: &[S]) -> String {
    const MOST: usize = 12;
    let shown: Vec<&str> = names.iter().take(MOST).map(AsRef::as_ref).collect();
    match names.len() {
        0 => "none".into(),
        n if n <= MOST => shown.join(", "),
        n => format!("{} and {} more", shown.join(", "), n - MOST),
    }
}

/// The name that differs in fewest places by letter, if it is near.
pub(crate) fn nearest<'a>(wanted: &str, known: &'a [String]) -> Option<&'a String> {
    let plain = |s: &str| -> Vec<char> { s.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect() };
    let a = plain(wanted);
    known
        .iter()
        .map(|k| {
            let b = plain(k);
            let mut row: Vec<usize> = (0..=b.len()).collect();
            for (i, x) in a.iter().enumerate() {
                let mut diagonal = row[0];
                row[0] = i + 1;
                for (j, y) in b.iter().enumerate() {
                    let change = diagonal + usize::from(x != y);
                    diagonal = row[j + 1];
                    row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
                }
            }
            (row[b.len()], k)
        })
        .min_by_key(|(d, _)| *d)
        .filter(|(d, k)| *d <= 1 + a.len().max(k.len()) / 4)
        .map(|(_, k)| k)
}
