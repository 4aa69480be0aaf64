//! Rows of a 10x matrix: which are genes, and which are guides or antibodies.

use crate::{CellsError, Options, Result, error::listed};
use std::collections::BTreeMap;
use std::path::Path;

/// The rows that are taken.
pub(super) struct Features {
    pub(super) genes: Vec<String>,
    /// For each row of the file its position among `genes`, where it is taken.
    pub(super) of_row: Vec<Option<u32>>,
    /// Rows of other types, by type.
    left_out: BTreeMap<String, usize>,
}

/// Which of id and name is asked for.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum By {
    Name,
    Id,
}

impl By {
    pub(super) fn of(path: &Path, options: &Options) -> Result<Self> {
        match options.gene_column.as_deref() {
            None | Some("name") => Ok(By::Name),
            Some("id") => Ok(By::Id),
            Some(other) => {
                Err(CellsError::of(path, format!("gene_column = \"{other}\"; a 10x matrix has \"name\" and \"id\"")))
            }
        }
    }
}

impl Features {
    /// From the name and the type of each row. Rows without a type are genes.
    pub(super) fn take(
        path: &Path,
        rows: impl Iterator<Item = (String, Option<String>)>,
        options: &Options,
    ) -> Result<Self> {
        let mut all = Self { genes: vec![], of_row: vec![], left_out: BTreeMap::new() };
        for (name, kind) in rows {
            let taken = kind.as_ref().is_none_or(|k| options.feature_types.contains(k));
            all.of_row.push(taken.then_some(all.genes.len() as u32));
            match kind {
                _ if taken => all.genes.push(name),
                kind => *all.left_out.entry(kind.unwrap_or_default()).or_default() += 1,
            }
        }
        if all.genes.is_empty() {
            let kinds: Vec<&String> = all.left_out.keys().collect();
            let what = format!(
                "no feature has the type {}; the file has: {}",
                options.feature_types.join(" or "),
                listed(&kinds)
            );
            return Err(CellsError::of(path, format!("{what}. Name one of them in `feature_types`")));
        }
        Ok(all)
    }

    /// What was left out, in words.
    pub(super) fn note(&self) -> Option<String> {
        let kinds: Vec<String> = self.left_out.iter().map(|(kind, n)| format!("{n} of {kind}")).collect();
        (!kinds.is_empty()).then(|| format!("features that are no genes were left out: {}", kinds.join(", ")))
    }
}
