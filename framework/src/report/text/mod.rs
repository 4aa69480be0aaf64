//! The report as text: for the terminal, in Markdown and for LaTeX.

pub mod columns;
pub mod format;
pub mod latex;
pub mod markdown;
pub mod notes;
pub mod terminal;
pub mod warnings;
