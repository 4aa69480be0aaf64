//! Choosing arms by their settings, as skip rules, `[compare] reference` and both sides of a claim do.

use super::file::SLOTS;
use super::grid::Cell;
use super::path::{Location, Mistake, get_dotted, head};
use crate::error::hint;
use serde_json::{Map, Value};

/// What holds of the arms that are meant: an axis or a dotted path, and its value or one of a list of values.
#[derive(Debug, Default)]
pub(super) struct Conditions(Vec<(String, Value)>);

impl Conditions {
    /// All keys of a table but `not`, which belongs to skip rules.
    pub(super) fn of(table: &Map<String, Value>) -> Self {
        Self(table.iter().filter(|(k, _)| *k != "not").map(|(k, v)| (k.clone(), v.clone())).collect())
    }

    /// See [`Conditions::of`]; none where the value is no table.
    pub(super) fn read(value: &Value) -> Self {
        value.as_object().map(Self::of).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every condition must begin with a key of the scenario or name one of the `named_axes`.
    pub(super) fn check(&self, location: &Location, named_axes: &[String], mistakes: &mut Vec<Mistake>) {
        let known = || SLOTS.iter().map(|s| s.0);
        for (path, _) in &self.0 {
            let head = head(path);
            if !named_axes.iter().any(|n| n == head) && !known().any(|k| k == head) {
                let text = format!("unknown key `{head}`{}", hint(head, known()));
                mistakes.push(Mistake::in_key(location.key(path), text));
            }
        }
    }

    /// Whether all of them hold.
    pub(super) fn hold(&self, cell: &Cell) -> bool {
        self.0.iter().all(|(path, want)| {
            let one = |want: &Value| is(cell, path, want);
            match want {
                Value::Array(any) => any.iter().any(one) || one(want),
                _ => one(want),
            }
        })
    }

    /// Positions of the cells that are meant.
    pub(super) fn find(&self, cells: &[Cell]) -> Vec<usize> {
        (0..cells.len()).filter(|&i| self.hold(&cells[i])).collect()
    }
}

/// Whether a cell has a value: as written in the grid, by its label, in the cell's table, or as the plugin there.
fn is(cell: &Cell, path: &str, want: &Value) -> bool {
    cell.choice(path).is_some_and(|c| c.written == *want || want.as_str() == Some(&c.label))
        || get_dotted(&cell.table, path).is_some_and(|v| v == want || v.get("use") == Some(want))
}
