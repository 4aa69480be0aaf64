//! Axes whose values have sections of their own and make several settings at once: `[strategy.NAME]` and
//! `[axis.AXIS.NAME]`.

use super::cell::{Choice, Setting};
use super::diagnose::Document;
use super::file::{AXIS, SHARED_KEYS, SLOTS, STRATEGY, SWEEP_KEYS};
use super::path::{Location, Mistake, get, head};
use crate::error::hint;
use serde_json::{Map, Value, json};

/// Their names, in the order of the file: `strategy` first.
pub(super) fn names(doc: &Document) -> Vec<String> {
    doc.value.contains_key(STRATEGY).then(|| STRATEGY.to_string()).into_iter().chain(doc.keys(AXIS)).collect()
}

/// The section that holds the sections of an axis.
fn section_of(axis: &str) -> Vec<&str> {
    if axis == STRATEGY { vec![STRATEGY] } else { vec![AXIS, axis] }
}

/// The values of an axis: those of its sections that the grid lists, or all.
pub(super) fn choices(doc: &Document, axis: &str, mistakes: &mut Vec<Mistake>) -> Vec<Choice> {
    let section = section_of(axis);
    let header = section.join(".");
    let location = Location::of(section.iter().copied());
    if axis != STRATEGY && SLOTS.iter().map(|s| s.0).chain(SWEEP_KEYS).any(|k| k == axis) {
        let text = format!("`{axis}` is a key of the scenario; give the axis another name");
        mistakes.push(Mistake::in_value(location.clone(), text));
    }
    let sections = doc.keys(&header);
    let mut choices = Vec::new();
    for (position, name) in listed(doc, axis, &location, &sections, mistakes).into_iter().enumerate() {
        match get(&doc.value, section.iter().copied().chain([name.as_str()])) {
            Some(Value::Object(settings)) => {
                let location = location.key(&name);
                check_settings(settings, &location, mistakes);
                choices.push(choice(axis, name, settings, &location));
            }
            _ => {
                let near = hint(&name, sections.iter().map(String::as_str));
                let text = format!("unknown {axis} `{name}`{near}; write it as a [{header}.NAME] section");
                mistakes.push(Mistake::in_value(Location::of(["grid", axis]).item(position), text));
            }
        }
    }
    choices
}

/// The names of sections that the grid lists, or of all.
fn listed(
    doc: &Document,
    axis: &str,
    location: &Location,
    sections: &[String],
    mistakes: &mut Vec<Mistake>,
) -> Vec<String> {
    match get(&doc.value, ["grid", axis]) {
        Some(Value::Array(list)) => list.iter().map(|v| v.as_str().unwrap_or_default().to_string()).collect(),
        Some(_) => {
            let text = format!("an axis is a list: {axis} = [ \"NAME\", ... ]");
            mistakes.push(Mistake::in_value(Location::of(["grid", axis]), text));
            vec![]
        }
        None => {
            if sections.is_empty() {
                let header = section_of(axis).join(".");
                let text = format!("the axis has no values; write each as a [{header}.NAME] section");
                mistakes.push(Mistake::in_value(location.clone(), text));
            }
            sections.to_vec()
        }
    }
}

fn check_settings(settings: &Map<String, Value>, location: &Location, mistakes: &mut Vec<Mistake>) {
    for path in settings.keys() {
        let head = head(path);
        if SHARED_KEYS.contains(&head) {
            let text = format!("`{head}` cannot be an axis; all arms share it");
            mistakes.push(Mistake::in_value(location.key(path), text));
        } else if !SLOTS.iter().any(|s| s.0 == head) {
            let text = format!("unknown key `{head}`{}", hint(head, SLOTS.iter().map(|s| s.0)));
            mistakes.push(Mistake::in_value(location.key(path), text));
        }
    }
}

fn choice(axis: &str, name: String, settings: &Map<String, Value>, location: &Location) -> Choice {
    let settings =
        settings.iter().map(|(path, value)| Setting::new(path, value.clone(), location.key(path), false)).collect();
    Choice { axis: axis.into(), written: json!(name), label: name, settings }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_complaints, complaints, expand, labels};

    const SIZES: &str = "[axis.size.small]\nbatch = 4\n[axis.size.large]\nbatch = 8\n\"acquisition.use\" = \"sd_rule\"\nmodel = { use = \"sd_model\" }\n";

    #[test]
    fn a_section_makes_several_settings_at_once() {
        let sweep = expand("", SIZES);
        assert_eq!(labels(&sweep), ["small", "large"]);
        let large = &sweep.arms[1];
        assert_eq!((large.scenario.batch, &large.resolved["acquisition"]["use"]), (8, &"sd_rule".into()));
        assert_eq!(sweep.arms[0].resolved["acquisition"]["use"], "any_rule");
        assert_eq!(labels(&expand("", &format!("[grid]\nsize = [\"large\"]\n{SIZES}"))), ["sd_rule"]);
    }

    #[test]
    fn mistakes_in_sections_are_shown_there() {
        assert_complaints(
            complaints(
                "",
                "[axis.size.small]\nbach = 4\nmetrics = [\"mse\"]\n\"acquisition.ofset\" = 2\n[strategy.x]\nbatch = 0\n",
            ),
            &[
                ("4", "unknown key `bach`; did you mean `batch`?"),
                ("[\"mse\"]", "`metrics` cannot be an axis; all arms share it"),
                ("2", "unknown key `ofset`; did you mean `offset`?"),
            ],
        );
        assert_complaints(
            complaints("", "[strategy.x]\nbatch = 0\n"),
            &[("0", "the batch is empty; choose at least 1")],
        );
    }

    #[test]
    fn the_grid_lists_sections_that_exist() {
        assert_complaints(
            complaints("", &format!("[grid]\nsize = [\"smal\", 3]\nstrategy = 2\n{SIZES}[strategy.x]\nbatch = 2\n")),
            &[
                ("\"smal\"", "unknown size `smal`; did you mean `small`?; write it as a [axis.size.NAME] section"),
                ("3", "unknown size ``; write it as a [axis.size.NAME] section"),
                ("2", "an axis is a list: strategy = [ \"NAME\", ... ]"),
            ],
        );
    }

    #[test]
    fn an_axis_has_values_and_a_name_of_its_own() {
        assert_complaints(
            complaints("", "[axis.batch.a]\nrounds = 2\n[axis.empty]\n"),
            &[
                ("batch", "`batch` is a key of the scenario; give the axis another name"),
                ("empty", "the axis has no values; write each as a [axis.empty.NAME] section"),
            ],
        );
    }
}
