//! Choosing arms by their settings, as skip rules, `[compare] reference` and both sides of a claim do.

use super::cell::Cell;
use super::file::SLOTS;
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

#[cfg(test)]
mod tests {
    use super::super::cell::{Choice, Setting};
    use super::*;
    use serde_json::json;
    use std::rc::Rc;

    /// A cell with the axis `strategy` at its section `near`, `prior` at `all` and a table.
    fn cell() -> Cell {
        let choice = |axis: &str, label: &str, written: Value| {
            Rc::new(Choice { axis: axis.into(), label: label.into(), written, settings: Vec::<Setting>::new() })
        };
        let table = json!({
            "batch": 4, "priors": ["a", "b"], "kernel": { "use": "rbf", "length": 2.0 }, "acquisition": { "use": "lcmd" },
        });
        let choices = vec![choice("strategy", "near", json!("near")), choice("prior", "a", json!("each_alone"))];
        Cell { choices, table: table.as_object().cloned().unwrap_or_default() }
    }

    fn hold(conditions: Value) -> bool {
        Conditions::read(&conditions).hold(&cell())
    }

    #[test]
    fn a_condition_is_a_value_or_a_list_of_them() {
        assert!(hold(json!({ "batch": 4 })) && !hold(json!({ "batch": 5 })));
        assert!(hold(json!({ "batch": [5, 4] })) && !hold(json!({ "batch": [5, 6] })));
        assert!(hold(json!({ "kernel.length": 2.0 })) && !hold(json!({ "kernel.width": 2.0 })));
        assert!(hold(json!({ "priors": ["a", "b"] })), "a list may be the value itself");
        assert!(hold(json!({ "priors": [["b"], ["a", "b"]] })) && !hold(json!({ "priors": [["a"], ["b"]] })));
    }

    #[test]
    fn a_plugin_is_meant_by_its_name() {
        assert!(hold(json!({ "kernel": "rbf" })) && !hold(json!({ "kernel": "linear" })));
        assert!(hold(json!({ "kernel": { "use": "rbf", "length": 2.0 } })));
        assert!(!hold(json!({ "kernel": { "use": "rbf" } })), "a table must be the whole table");
    }

    #[test]
    fn an_axis_is_meant_by_label_or_by_what_the_grid_has() {
        assert!(hold(json!({ "strategy": "near" })) && hold(json!({ "strategy": ["far", "near"] })));
        assert!(
            hold(json!({ "prior": "a" })) && hold(json!({ "prior": "each_alone" })) && !hold(json!({ "prior": "b" }))
        );
    }

    #[test]
    fn all_must_hold_and_none_is_no_condition() {
        assert!(hold(json!({ "batch": 4, "kernel": "rbf" })) && !hold(json!({ "batch": 4, "kernel": "linear" })));
        assert!(hold(json!({})) && hold(json!(3)) && hold(json!({ "not": { "batch": 4 } })));
    }

    #[test]
    fn conditions_begin_with_a_known_key_or_an_axis_with_sections() {
        let conditions = json!({ "batsh": 1, "kernel.lenght": 1, "size": 2, "strategy": "x" });
        let mut mistakes = vec![];
        Conditions::read(&conditions).check(&Location::of(["skip"]).item(1), &["size".into()], &mut mistakes);
        let at = |key: &str| Location::of(["skip"]).item(1).key(key);
        assert_eq!(
            mistakes,
            [
                Mistake::in_key(at("batsh"), "unknown key `batsh`; did you mean `batch`?"),
                Mistake::in_key(at("strategy"), "unknown key `strategy`"),
            ]
        );
    }
}
