//! The `[compare]` section: the arm that others are compared with, and the axes by which reports group arms.

use super::conditions::Conditions;
use super::grid::Cell;
use super::path::{Location, Mistake};
use super::sweep::Arm;
use crate::error::hint;
use serde_json::Value;

/// Checks the section against the axes of the grid.
pub(super) fn check(section: &Value, named_axes: &[String], axes: &[String], mistakes: &mut Vec<Mistake>) {
    let Value::Object(m) = section else { return };
    let location = Location::of(["compare"]);
    let by: Vec<&Value> = m.get("by").and_then(Value::as_array).into_iter().flatten().collect();
    if m.contains_key("by") && by.is_empty() {
        mistakes.push(Mistake::in_value(location.key("by"), "expected a list of axes, such as by = [\"strategy\"]"));
    }
    for (i, axis) in by.iter().enumerate() {
        let axis = axis.as_str().unwrap_or_default();
        if !axes.iter().any(|a| a == axis) {
            let near = hint(axis, axes.iter().map(String::as_str));
            let list = if near.is_empty() { format!("; there are: {}", axes.join(", ")) } else { near };
            mistakes.push(Mistake::in_value(location.key("by").item(i), format!("no axis `{axis}`{list}")));
        }
    }
    for key in m.keys().filter(|k| !["reference", "by"].contains(&k.as_str())) {
        let near = hint(key, ["reference", "by"]);
        mistakes
            .push(Mistake::in_key(location.key(key), format!("unknown key `{key}`{near}; known here: reference, by")));
    }
    if let Some(r) = m.get("reference") {
        Conditions::read(r).check(&location.key("reference"), named_axes, mistakes);
    }
}

/// Gives each arm its reference: of the arms that `reference` chooses the one that agrees with it on the most axes, the
/// first of those.
pub(super) fn set_references(reference: &Value, arms: &mut [Arm], cells: &[Cell]) -> Result<(), Mistake> {
    let references = Conditions::read(reference).find(cells);
    if references.is_empty() {
        return Err(Mistake::at(
            &["compare", "reference"],
            "no arm matches the reference; name values that occur in the grid",
        ));
    }
    for i in 0..arms.len() {
        let agreement = |j: usize| arms[i].axes.iter().zip(&arms[j].axes).filter(|(a, b)| a == b).count();
        arms[i].reference = references.iter().copied().max_by_key(|&j| (agreement(j), std::cmp::Reverse(j)));
    }
    Ok(())
}
