//! Tables in and out of CSV and Parquet.
//!
//! [`read`] takes delimited text (`.csv`, `.tsv`, `.tab`, `.txt`, `.gct`), gene sets (`.gmt`), each
//! also with `.gz`, and `.parquet`, and gives a [`Table`] whose columns are asked for by name and by
//! type. [`FeatureChoice`]
//! decides which columns are features, [`describe`] says what a table holds. Every failure is a [`TableError`], which names the
//! file, the place in it, the cause and the remedy.
//!
//! ```
//! use table::{Column, Table};
//!
//! let table = Table::new()
//!     .with("gene", Column::Text(vec![Some("TP53".into()), Some("KRAS".into())]))
//!     .with("value", Column::Number(vec![0.5, -1.25]));
//! assert_eq!(table.text("gene")?, ["TP53", "KRAS"]);
//! assert_eq!(table.numbers("value")?, [0.5, -1.25]);
//! # Ok::<(), table::TableError>(())
//! ```

mod ask;
mod cells;
mod column;
mod decimal;
mod delimiter;
mod describe;
mod encoding;
mod error;
pub mod features;
mod genes;
mod index;
mod nearest;
mod parquet;
mod pattern;
mod read;
mod refuse;
mod spelling;
mod table;
mod text;
pub mod words;
mod write;

pub use column::Column;
pub use delimiter::Delimiter;
pub use describe::{Description, Found, Kind, Summary, describe};
pub use encoding::Encoding;
pub use error::TableError;
pub use features::{FeatureChoice, Features};
pub use genes::GeneNames;
pub use pattern::fits;
pub use read::read;
pub use table::{Source, Table};

pub use write::{to_csv, write_csv, write_json, write_parquet};

#[cfg(test)]
mod tests;
