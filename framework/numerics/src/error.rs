//! What can go wrong in a computation, by who has to act. The text is ready to print.

/// A computation that was refused or broke down.
#[derive(thiserror::Error, Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// A setting cannot be used as it is.
    #[error("{0}")]
    Setting(String),
    /// The numbers given are unusable.
    #[error("{0}")]
    Input(String),
    /// It broke down: a matrix that cannot be factored, a value that is not finite.
    #[error("{0}")]
    Breakdown(String),
    /// Something was asked for that cannot be given.
    #[error("{0}")]
    Unsupported(String),
}

/// Shorthand used throughout.
pub type Result<T, E = Error> = std::result::Result<T, E>;
