//! The grid: its axes and the values on each, and a cell for every combination of values.

use super::cell::{Cell, Choice, Setting};
use super::diagnose::Document;
use super::file::{SHARED_KEYS, SLOTS};
use super::path::{Location, Mistake, get, head};
use super::{named_axes, priors};
use crate::error::hint;
use serde_json::{Map, Value, json};
use std::rc::Rc;

/// All axes of a scenario file.
pub(super) struct Grid {
    /// Names of the axes: those with sections that `[grid]` does not list, then those of `[grid]`.
    pub(super) axes: Vec<String>,
    /// Names of the axes with sections.
    pub(super) named: Vec<String>,
    /// The values on each axis that has any.
    choices: Vec<Vec<Rc<Choice>>>,
}

impl Grid {
    /// Reads and checks `[grid]`, `[strategy]` and `[axis]`.
    pub(super) fn read(doc: &Document, mistakes: &mut Vec<Mistake>) -> Self {
        let named = named_axes::names(doc);
        let listed = doc.keys("grid");
        let unlisted = named.iter().filter(|axis| !listed.contains(axis));
        let axes: Vec<String> = unlisted.chain(&listed).cloned().collect();
        let mut choices = Vec::new();
        for axis in &axes {
            let found = if named.contains(axis) {
                named_axes::choices(doc, axis, mistakes)
            } else {
                values(doc, axis, mistakes)
            };
            if !found.is_empty() {
                choices.push(found.into_iter().map(Rc::new).collect());
            }
        }
        Self { axes, named, choices }
    }

    /// A cell for every combination, the last axis fastest, made from what all cells share.
    pub(super) fn cells(&self, base: &Map<String, Value>, mistakes: &mut Vec<Mistake>) -> Vec<Cell> {
        product(&self.choices).into_iter().map(|choices| Cell::new(choices, base, mistakes)).collect()
    }
}

/// The values of an axis without sections.
fn values(doc: &Document, axis: &str, mistakes: &mut Vec<Mistake>) -> Vec<Choice> {
    let location = Location::of(["grid", axis]);
    let head = head(axis);
    let keys = || SLOTS.iter().map(|s| s.0);
    if !keys().any(|k| k == head) {
        let text = format!("unknown axis `{axis}`{}", hint(head, keys()));
        mistakes.push(Mistake::in_key(location.clone(), text));
    } else if SHARED_KEYS.contains(&head) {
        let text = format!("`{head}` cannot be an axis; all arms share it");
        mistakes.push(Mistake::in_key(location.clone(), text));
    }
    let list = match get(&doc.value, ["grid", axis]) {
        Some(Value::Array(list)) if !list.is_empty() => list,
        _ => {
            let text = format!("an axis is a list of values: \"{axis}\" = [ ... ]");
            mistakes.push(Mistake::in_key(location, text));
            return vec![];
        }
    };
    let mut choices = Vec::new();
    for (position, value) in list.iter().enumerate() {
        let here = location.item(position);
        if axis == "prior" {
            match prior_choices(value, doc, &here) {
                Ok(found) => choices.extend(found),
                Err(text) => mistakes.push(Mistake::in_value(here, text)),
            }
        } else {
            let settings = vec![Setting::new(axis, value.clone(), here, false)];
            choices.push(Choice { axis: axis.into(), label: label_of(value), written: value.clone(), settings });
        }
    }
    choices
}

/// The choices behind one value of the `prior` axis.
fn prior_choices(value: &Value, doc: &Document, written: &Location) -> Result<Vec<Choice>, String> {
    let names: Vec<String> =
        doc.value.get("prior").and_then(Value::as_object).into_iter().flat_map(|m| m.keys().cloned()).collect();
    let choice = |(label, set)| {
        let settings = vec![Setting::new("priors", json!(set), written.clone(), true)];
        Choice { axis: "prior".into(), label, written: value.clone(), settings }
    };
    Ok(priors::sets(value, &names)?.into_iter().map(choice).collect())
}

/// How a value is called in labels.
fn label_of(value: &Value) -> String {
    match value {
        Value::String(s) => s.clone(),
        Value::Object(m) => {
            let rest: Vec<String> =
                m.iter().filter(|(k, _)| *k != "use").map(|(k, v)| format!("{k}={}", label_of(v))).collect();
            let name = m.get("use").and_then(Value::as_str).unwrap_or("");
            if rest.is_empty() { name.to_string() } else { format!("{name}({})", rest.join(", ")) }
        }
        Value::Array(a) => format!("[{}]", a.iter().map(label_of).collect::<Vec<_>>().join(", ")),
        other => other.to_string(),
    }
}

fn product(axes: &[Vec<Rc<Choice>>]) -> Vec<Vec<Rc<Choice>>> {
    axes.iter().fold(vec![vec![]], |combinations, axis| {
        let longer = |shorter: &Vec<Rc<Choice>>| -> Vec<Vec<Rc<Choice>>> {
            axis.iter().map(|c| shorter.iter().chain([c]).cloned().collect()).collect()
        };
        combinations.iter().flat_map(longer).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_complaints, complaints, expand, labels};
    use serde_json::json;

    #[test]
    fn the_last_axis_runs_fastest_and_axes_that_differ_make_labels() {
        let sweep = expand("", "[grid]\nrounds = [2, 1]\n\"pool.init\" = [4]\nbatch = [6, 5]\n");
        assert_eq!(labels(&sweep), ["2 / 6", "2 / 5", "1 / 6", "1 / 5"]);
        let axes = [("rounds", "1"), ("pool.init", "4"), ("batch", "6")].map(|(a, v)| (a.into(), v.into()));
        assert_eq!(sweep.arms[2].axes, axes, "all axes, in the order of the file");
        let s = &sweep.arms[2].scenario;
        assert_eq!((s.rounds, s.pool.init, s.batch), (1, 4, 6));
    }

    #[test]
    fn axes_with_sections_come_first_unless_the_grid_lists_them() {
        let sections = "[strategy.a]\nbatch = 4\n[strategy.b]\nbatch = 5\n[axis.length.x]\nrounds = 3\n[axis.length.y]\nrounds = 4\n";
        let sweep = expand("", &format!("[grid]\n\"pool.init\" = [6, 7]\n{sections}"));
        assert_eq!(labels(&sweep)[..3], ["a / x / 6", "a / x / 7", "a / y / 6"]);
        let sweep = expand("", &format!("[grid]\n\"pool.init\" = [6, 7]\nstrategy = [\"b\", \"a\"]\n{sections}"));
        assert_eq!(labels(&sweep)[..3], ["x / 6 / b", "x / 6 / a", "x / 7 / b"]);
    }

    #[test]
    fn labels_are_words_of_the_values() {
        let values = "{ use = \"any_rule\" }, { use = \"any_rule\", offset = 2, width = 1 }";
        let sweep = expand("", &format!("[grid]\nacquisition = [{values}]\n"));
        assert_eq!(labels(&sweep), ["any_rule", "any_rule(offset=2, width=1)"]);
        let sweep = expand("", "[grid]\npriors = [[], [\"a\"], [\"a\", \"b\"]]\n");
        assert_eq!(labels(&sweep), ["[]", "[a]", "[a, b]"]);
        assert_eq!(labels(&expand("", "")), ["any_rule"], "a single arm is called by its acquisition");
    }

    #[test]
    fn cells_that_are_the_same_run_become_one_arm() {
        // With two priors each word stands for the same two sets.
        let sweep = expand("", "[grid]\nprior = [\"each_alone\", \"leave_one_out\", [\"b\", \"a\"], \"all\"]\n");
        assert_eq!(labels(&sweep), ["a", "b", "b+a"]);
        assert_eq!(sweep.arms[2].resolved["priors"], json!(["a", "b"]));
        let sweep = expand("", "[grid]\nacquisition = [{ use = \"any_rule\" }, { use = \"any_rule\", offset = 0 }]\n");
        assert_eq!(labels(&sweep), ["any_rule"], "a default written out changes nothing");
    }

    #[test]
    fn a_prior_named_twice_in_one_grid_keeps_its_first_label() {
        let sweep = expand("", "[grid]\nprior = [\"all\", [\"a\", \"b\"]]\n");
        assert_eq!(sweep.arms.len(), 1);
        assert_eq!(sweep.arms[0].axes, [("prior".to_string(), "all".to_string())]);
    }

    #[test]
    fn what_cannot_be_an_axis_is_refused() {
        assert_complaints(
            complaints(
                "",
                "[grid]\nbatsh = [1]\nseeds = [{ count = 1 }]\nrounds = 3\n\"batch\" = []\nprior = [\"c\", \"a\"]\n",
            ),
            &[
                ("batsh", "unknown axis `batsh`; did you mean `batch`?"),
                ("1", "unknown key `batsh`; did you mean `batch`?"),
                ("seeds", "`seeds` cannot be an axis; all arms share it"),
                ("rounds", "an axis is a list of values: \"rounds\" = [ ... ]"),
                ("\"batch\"", "an axis is a list of values: \"batch\" = [ ... ]"),
                ("\"c\"", "unknown prior `c`; did you mean `a`?"),
            ],
        );
    }

    #[test]
    fn an_axis_without_values_leaves_the_others_alone() {
        let found = complaints("", "[grid]\nbatch = []\nrounds = [2, 3]\n[[skip]]\nrounds = 3\n");
        assert_complaints(found, &[("batch", "an axis is a list of values: \"batch\" = [ ... ]")]);
    }

    #[test]
    fn a_mistake_in_a_value_of_the_grid_is_shown_there() {
        let kernels = "{ use = \"any_kernel\", length = 1 }, { use = \"any_kernel\", length = 1, steps = [{ use = \"any_kernel\", \
                       lenght = 1 }] }, { use = \"any_kernel\", length = \"x\" }";
        assert_complaints(
            complaints("", &format!("[grid]\nbatch = [2, 0]\nkernel = [{kernels}]\n")),
            &[
                ("0", "the batch is empty; choose at least 1"),
                ("{ use = \"any_kernel\", lenght = 1 }", "the key `length` is missing here"),
                ("lenght", "unknown key `lenght`; did you mean `length`?"),
                ("\"x\"", "wrong type: got string \"x\", expected a number"),
            ],
        );
    }

    #[test]
    fn the_closest_setting_on_the_grid_is_to_blame() {
        let text = "[grid]\nacquisition = [{ use = \"any_rule\" }]\n\"acquisition.offset\" = [1, \"two\"]\n\"batch.x\" = [1]\n";
        assert_complaints(
            complaints("", text),
            &[
                ("\"two\"", "wrong type: got string \"two\", expected a whole number, 0 or more"),
                ("1", "`batch` in `batch.x` is not a section"),
            ],
        );
    }
}
