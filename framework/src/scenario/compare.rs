//! The `[compare]` section: the arm that others are compared with, and the axes by which reports group arms.

use super::arm::Arm;
use super::cell::Cell;
use super::conditions::Conditions;
use super::path::{Location, Mistake};
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

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_complaints, complaints, expand};

    const GRID: &str = "[grid]\nrounds = [1, 2]\nbatch = [4, 5]\nacquisition = [{ use = \"any_rule\", offset = 1 }, { use = \"any_rule\" }]\n";

    #[test]
    fn the_reference_agrees_on_most_axes() {
        let sweep = expand("", &format!("{GRID}[compare]\nreference = {{ acquisition = {{ use = \"any_rule\" }} }}\n"));
        let references: Vec<_> = sweep.arms.iter().map(|a| a.reference).collect();
        assert_eq!(references, [1, 1, 3, 3, 5, 5, 7, 7].map(Some), "the arm itself where it is one");
        let sweep = expand("", &format!("{GRID}[compare]\nreference = {{ batch = 5, \"acquisition.offset\" = 1 }}\n"));
        assert_eq!(sweep.arms[4].reference, Some(6));
        assert_eq!(sweep.arms[5].reference, Some(6));
        let sweep = expand("", &format!("{GRID}[compare]\nreference = {{ rounds = 2, batch = [4, 5] }}\n"));
        assert_eq!(sweep.arms[0].reference, Some(4), "of equally near ones the first");
        assert!(expand("", GRID).arms.iter().all(|a| a.reference.is_none()));
    }

    #[test]
    fn reports_group_by_axes() {
        let sweep = expand("", &format!("{GRID}[compare]\nby = [\"acquisition\", \"batch\"]\n"));
        assert_eq!(sweep.by, ["acquisition", "batch"]);
        assert!(expand("", GRID).by.is_empty());
    }

    #[test]
    fn mistakes_in_the_section_are_found_together() {
        let section = "[compare]\nby = [\"round\", \"model\"]\nbye = 1\nreference = { batsh = 4 }\n";
        assert_complaints(
            complaints("", &format!("{GRID}{section}")),
            &[
                ("\"round\"", "no axis `round`; did you mean `rounds`?"),
                ("\"model\"", "no axis `model`; there are: rounds, batch, acquisition"),
                ("bye", "unknown key `bye`; did you mean `by`?; known here: reference, by"),
                ("batsh", "unknown key `batsh`; did you mean `batch`?"),
            ],
        );
        assert_complaints(
            complaints("", &format!("{GRID}[compare]\nby = \"rounds\"\n")),
            &[("\"rounds\"", "expected a list of axes, such as by = [\"strategy\"]")],
        );
        assert_complaints(
            complaints("", &format!("{GRID}[compare]\nreference = {{ batch = 6 }}\n")),
            &[("{ batch = 6 }", "no arm matches the reference; name values that occur in the grid")],
        );
    }
}
