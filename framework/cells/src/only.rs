//! A part of the cells, chosen by a column.

use crate::error::{listed, nearest};
use crate::{CellsError, Result};
use std::path::Path;

/// Takes away the labels of cells whose value in a column is another than `wanted`. Answers what was left out, in words.
///
/// # Errors
/// No cell with that value; the message names the values there are.
pub fn only(
    path: &Path,
    labels: &mut [Option<String>],
    column: &str,
    values: &[Option<String>],
    wanted: &str,
) -> Result<String> {
    if !values.iter().flatten().any(|v| v == wanted) {
        let mut known: Vec<String> = values.iter().flatten().cloned().collect();
        known.sort();
        known.dedup();
        let near = nearest(wanted, &known).map_or(String::new(), |k| format!("; did you mean `{k}`?"));
        let what = format!("no cell has `{wanted}` in `{column}`; values: {}{near}", listed(&known));
        return Err(CellsError::of(path, what));
    }
    let mut left_out = 0;
    for (label, value) in labels.iter_mut().zip(values) {
        if value.as_deref() != Some(wanted) && label.take().is_some() {
            left_out += 1;
        }
    }
    Ok(format!("{left_out} of {} cells are not `{wanted}` in `{column}` and were left out", labels.len()))
}
