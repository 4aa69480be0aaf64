//! One error type. A message names the file or setting, the place, the cause and the remedy.

use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What can go wrong. [`Error::kind`] says who has to act.
#[derive(thiserror::Error, Debug)]
pub enum Error {
    /// The scenario, campaign or command line is wrong; the text is ready to print.
    #[error("{0}")]
    Config(String),
    /// Measured values, priors or pools are unusable.
    #[error("{0}")]
    Data(String),
    /// A table file is missing, damaged or has the wrong columns.
    #[error(transparent)]
    Table(#[from] table::TableError),
    /// A file of cells is missing, damaged or lacks what was asked for.
    #[error(transparent)]
    Cells(#[from] cells::CellsError),
    /// A computation was refused or broke down.
    #[error(transparent)]
    Numerics(#[from] numerics::Error),
    /// A plugin was asked for something it cannot supply.
    #[error("{0}")]
    Unsupported(String),
    /// A computation of a plugin broke down (a matrix that cannot be factored, a value that is not finite).
    #[error("{0}")]
    Numerical(String),
    /// A plugin broke a rule of its kind (wrong batch size, a repeat, a panic).
    #[error("{0}")]
    Plugin(String),
    /// The file system refused.
    #[error("{}: {action} failed: {source}. {}", path.display(), remedy(source))]
    Io { path: PathBuf, action: &'static str, source: std::io::Error },
    /// An error with the place where it was met: a file, an arm, a kernel.
    #[error("{place}: {source}")]
    At { place: String, source: Box<Error> },
    /// An error that several runs met together.
    #[error(transparent)]
    Shared(#[from] Arc<Error>),
}

/// Who has to act on an error, wherever it was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// Settings are wrong.
    Config,
    /// Data are unusable.
    Data,
    /// A plugin cannot supply what was asked for.
    Unsupported,
    /// A computation broke down.
    Numerical,
    /// A plugin broke a rule.
    Plugin,
    /// The file system refused.
    Io,
}

/// Shorthand used throughout.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Wraps an I/O error with the path and the action that failed.
    pub fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { path, action, source }
    }

    /// The same error with the place where it was met before its text.
    pub fn at(self, place: impl Into<String>) -> Self {
        Error::At { place: place.into(), source: Box::new(self) }
    }

    /// Who has to act.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Error::Config(_) | Error::Numerics(numerics::Error::Setting(_)) => ErrorKind::Config,
            Error::Data(_) | Error::Table(_) | Error::Cells(_) | Error::Numerics(numerics::Error::Input(_)) => {
                ErrorKind::Data
            }
            Error::Unsupported(_) | Error::Numerics(numerics::Error::Unsupported(_)) => ErrorKind::Unsupported,
            Error::Numerical(_) | Error::Numerics(numerics::Error::Breakdown(_)) => ErrorKind::Numerical,
            Error::Plugin(_) => ErrorKind::Plugin,
            Error::Io { .. } => ErrorKind::Io,
            Error::At { source, .. } => source.kind(),
            Error::Shared(source) => source.kind(),
        }
    }
}

fn remedy(source: &std::io::Error) -> &'static str {
    use std::io::ErrorKind as K;
    match source.kind() {
        K::StorageFull | K::QuotaExceeded => {
            "The disk is full: free some space and run the same command again; finished rounds are kept"
        }
        K::PermissionDenied | K::ReadOnlyFilesystem => {
            "Choose a folder that you may write to with --results-dir, or change its permissions"
        }
        K::NotFound => "Check the path",
        K::NotADirectory | K::AlreadyExists => "Move the file that is in the way",
        _ => "Finished rounds are kept; run the same command again to go on",
    }
}

/// The known word nearest to `word`, if any is near enough to be a likely slip.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|k| (strsim::damerau_levenshtein(&word.to_lowercase(), &k.to_lowercase()), k))
        .filter(|(d, k)| *d <= 1 + word.len().max(k.len()) / 4)
        .min_by_key(|(d, _)| *d)
        .map(|(_, k)| k)
}

/// "; did you mean `x`?" or nothing.
pub fn hint<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map_or(String::new(), |k| format!("; did you mean `{k}`?"))
}

/// A number of things: `1 row`, `2 rows`.
pub fn counted(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// The first `most` of some names, and how many more there are.
pub fn listed<S: AsRef<str>>(names: &[S], most: usize) -> String {
    let shown: Vec<&str> = names.iter().take(most).map(AsRef::as_ref).collect();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn a_place_hides_neither_kind_nor_source() {
        let full = Error::io(Path::new("log.txt"), "writing")(std::io::ErrorKind::StorageFull.into());
        let e = full.at("arm `a`").at("s.toml");
        assert_eq!(e.kind(), ErrorKind::Io);
        assert!(e.to_string().starts_with("s.toml: arm `a`: log.txt: writing failed: "), "{e}");
        assert!(e.source().unwrap().source().unwrap().source().unwrap().is::<std::io::Error>());
        let shared = Arc::new(Error::from(numerics::Error::Input("NaN in row 3".into())).at("prior go"));
        let e = Error::from(shared.clone());
        assert_eq!((e.kind(), e.to_string()), (ErrorKind::Data, "prior go: NaN in row 3".to_string()));
        assert_eq!(Error::from(numerics::Error::Setting("k = 0".into())).kind(), ErrorKind::Config);
    }
}
