//! Which columns of a table are features: the one place that decides it.
//!
//! Every column of numbers is a feature, unless it is the index of the rows, or its name is one that
//! tools give to what is no measurement. What is left out is always said, and an explicit list of
//! columns goes before every rule.

use std::collections::HashSet;

use crate::column::Column;
use crate::error::TableError;
use crate::nearest::nearest;
use crate::pattern::{fits, is_pattern};
use crate::table::{Named, Table};

mod rules;

use rules::{SUSPICIONS, reason, suspicion};

/// Which columns a user wants as features; empty lists leave it to the rules.
///
/// Both lists hold names of columns, or patterns in which `*` stands for any text and `?` for any
/// character.
///
/// ```
/// use table::{Column, FeatureChoice, Table};
///
/// let table = Table::new()
///     .with("gene", Column::Text(vec![Some("TP53".into()), Some("KRAS".into())]))
///     .with("Metadata_Plate", Column::Integer(vec![1, 2]))
///     .with("area", Column::Number(vec![0.5, -1.25]));
/// let features = FeatureChoice::default().of(&table, &["gene"])?;
/// assert_eq!(features.names, ["area"]);
/// assert_eq!(
///     features.lines(),
///     ["left out 1 column that is no measurement: Metadata_Plate (name it under `columns` to use it)"]
/// );
/// # Ok::<(), table::TableError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeatureChoice {
    /// The columns to use; rules do not apply to them.
    pub columns: Vec<String>,
    /// The columns not to use, of those that are listed or follow from the rules.
    pub exclude: Vec<String>,
}

/// The columns that are features.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// In the order of the table, or of the list.
    pub names: Vec<String>,
    /// Columns with numbers that are no features by the rules.
    pub left_out: Vec<LeftOut>,
    /// Features that may be none.
    pub suspicious: Vec<Suspicion>,
}

/// A column that is no feature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    pub name: String,
    pub why: Why,
}

/// Why a column is no feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It only numbers or names the rows.
    Index,
    /// Its name is one that tools give to descriptions of a sample: plate, well, number of cells.
    Metadata,
    /// Its name is that of a result of a test: a p value, a rank, a number of guides.
    TestResult,
    /// It has words among its numbers.
    Mixed,
    /// It has no values.
    Empty,
}

/// A feature that may be none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspicion {
    pub name: String,
    /// What it looks like: "ids", "row numbers".
    pub why: &'static str,
}

impl FeatureChoice {
    /// The features of a table. `not` names columns that have another role, such as that of genes.
    ///
    /// Errors: a name or pattern that no column has, and a table in which no feature is left.
    pub fn of(&self, table: &Table, not: &[&str]) -> Result<Features, TableError> {
        table.check()?;
        let free = |named: &&Named| !not.contains(&named.name.as_str());
        let numeric = |named: &Named| matches!(named.column, Column::Number(_) | Column::Integer(_));
        let mut features = Features::default();
        let mut listed = HashSet::new();
        for wanted in &self.columns {
            // A name in full is meant, whatever it holds; a pattern takes the columns of numbers.
            let found: Vec<&Named> = match table.named(wanted) {
                Some(named) => vec![named],
                None if is_pattern(wanted) => table
                    .all()
                    .iter()
                    .filter(free)
                    .filter(|named| !named.index && !named.metadata && numeric(named) && fits(wanted, &named.name))
                    .collect(),
                None => return Err(table.no_column(wanted)),
            };
            if found.is_empty() {
                return Err(unmatched(table, wanted, "of numbers "));
            }
            for named in found {
                if listed.insert(named.name.as_str()) {
                    features.names.push(named.name.clone());
                }
            }
        }
        if self.columns.is_empty() {
            for named in table.all().iter().filter(free) {
                match reason(named) {
                    Some(why) => features.left_out.push(LeftOut { name: named.name.clone(), why }),
                    None if numeric(named) => {
                        features.names.push(named.name.clone());
                        if let Some(why) = suspicion(named) {
                            features.suspicious.push(Suspicion { name: named.name.clone(), why });
                        }
                    }
                    None => {}
                }
            }
        }
        for unwanted in &self.exclude {
            if !table.all().iter().any(|named| named.name == *unwanted || fits(unwanted, &named.name)) {
                return Err(if is_pattern(unwanted) {
                    unmatched(table, unwanted, "")
                } else {
                    table.no_column(unwanted)
                });
            }
            let kept = |name: &String| name != unwanted && !fits(unwanted, name);
            features.names.retain(kept);
            features.left_out.retain(|left| kept(&left.name));
            features.suspicious.retain(|suspicion| kept(&suspicion.name));
        }
        if features.names.is_empty() {
            let hint = match features.lines().as_slice() {
                [] => "no column of numbers is left; name the right file, or check `exclude`".to_owned(),
                lines => lines.join("; "),
            };
            return Err(TableError::NoFeatures { file: table.file(), hint });
        }
        Ok(features)
    }
}

impl Features {
    /// What was left out and what may be wrong, in sentences for the user.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for why in [Why::Index, Why::Metadata, Why::TestResult, Why::Mixed, Why::Empty] {
            let names: Vec<&str> =
                self.left_out.iter().filter(|left| left.why == why).map(|left| left.name.as_str()).collect();
            let (one, many) = why.said();
            match names.as_slice() {
                [] => {}
                [name] => {
                    lines.push(format!("left out 1 column that is {one}: {name} (name it under `columns` to use it)"))
                }
                _ => lines.push(format!(
                    "left out {} columns that are {many}: {} (name them under `columns` to use them)",
                    names.len(),
                    some(&names)
                )),
            }
        }
        for why in SUSPICIONS {
            let names: Vec<&str> = self.suspicious.iter().filter(|s| s.why == why).map(|s| s.name.as_str()).collect();
            match names.as_slice() {
                [] => {}
                [name] => lines.push(format!(
                    "1 column is used as a feature, but looks like {why}: {name} (name it under `exclude` to leave it out)"
                )),
                _ => lines.push(format!(
                    "{} columns are used as features, but look like {why}: {} (name them under `exclude` to leave them out)",
                    names.len(),
                    some(&names)
                )),
            }
        }
        lines
    }
}

impl Why {
    fn said(self) -> (&'static str, &'static str) {
        match self {
            Self::Index => ("the index of the rows", "indices of the rows"),
            Self::Metadata => ("no measurement", "no measurements"),
            Self::TestResult => ("a result of a test", "results of a test"),
            Self::Mixed => ("partly text", "partly text"),
            Self::Empty => ("empty", "empty"),
        }
    }
}

fn some(names: &[&str]) -> String {
    const MOST: usize = 8;
    match names.len().checked_sub(MOST) {
        Some(more) if more > 0 => format!("{} and {more} more", names[..MOST].join(", ")),
        _ => names.join(", "),
    }
}

fn unmatched(table: &Table, pattern: &str, kind: &str) -> TableError {
    let names = table.names();
    let hint = match nearest(&pattern.replace(['*', '?'], ""), &names) {
        Some(name) => format!("did you mean {name:?}?"),
        None => format!("it has {}", some(&names)),
    };
    TableError::NoMatch { file: table.file(), pattern: pattern.into(), kind: kind.into(), hint }
}

#[cfg(test)]
mod tests;
