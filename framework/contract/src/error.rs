//! One error type. A message names the file or setting, the place, the cause and the remedy.

use std::path::{Path, PathBuf};

/// What can go wrong, by who has to act.
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
    /// A plugin was asked for something it cannot supply.
    #[error("{0}")]
    Unsupported(String),
    /// A computation broke down (a matrix that cannot be factored, a value that is not finite).
    #[error("{0}")]
    Numerical(String),
    /// A plugin broke a rule of its kind (wrong batch size, a repeat, a panic).
    #[error("{0}")]
    Plugin(String),
    /// The file system refused.
    #[error("{}: {action} failed: {source}. {}", path.display(), remedy(source))]
    Io { path: PathBuf, action: &'static str, source: std::io::Error },
}

impl From<numerics::Error> for Error {
    fn from(e: numerics::Error) -> Self {
        match e {
            numerics::Error::Setting(text) => Error::Config(text),
            numerics::Error::Input(text) => Error::Data(text),
            numerics::Error::Breakdown(text) => Error::Numerical(text),
            numerics::Error::Unsupported(text) => Error::Unsupported(text),
        }
    }
}

impl From<cells::CellsError> for Error {
    fn from(e: cells::CellsError) -> Self {
        Error::Data(e.to_string())
    }
}

/// Shorthand used throughout.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Wraps an I/O error with the path and the action that failed.
    pub fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { path, action, source }
    }

    /// True for mistakes in settings, which end the program with exit code 2.
    pub fn is_config(&self) -> bool {
        matches!(self, Error::Config(_))
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
