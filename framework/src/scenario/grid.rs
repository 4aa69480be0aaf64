//! The grid: axes, the values on each, and a cell for every combination of values.

use super::diagnose::Document;
use super::file::{SHARED_KEYS, SLOTS};
use super::path::{Location, Mistake, Origin, get, head, relocate_to_closest, set_dotted};
use super::{named_axes, priors};
use crate::error::hint;
use serde_json::{Map, Value, json};
use std::rc::Rc;

/// A value that a choice gives to a setting.
#[derive(Debug)]
pub(super) struct Setting {
    path: String,
    value: Value,
    origin: Origin,
}

impl Setting {
    /// Sets a dotted path, as `written` in the file; `is_word` if a word is written there that stands for the value.
    pub(super) fn new(path: &str, value: Value, written: Location, is_word: bool) -> Self {
        let origin = Origin { setting: Location::dotted(path), written, is_word };
        Self { path: path.into(), value, origin }
    }
}

/// One value of an axis.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) axis: String,
    /// Its part in labels of arms.
    pub(super) label: String,
    /// What the grid has for it: a value, a word or the name of a section.
    pub(super) written: Value,
    pub(super) settings: Vec<Setting>,
}

/// One choice on each axis, and the scenario that they make.
pub(super) struct Cell {
    pub(super) choices: Vec<Rc<Choice>>,
    pub(super) table: Map<String, Value>,
}

impl Cell {
    fn new(choices: Vec<Rc<Choice>>, base: &Map<String, Value>, mistakes: &mut Vec<Mistake>) -> Self {
        let mut table = base.clone();
        for setting in choices.iter().flat_map(|c| &c.settings) {
            if let Err(text) = set_dotted(&mut table, &setting.path, setting.value.clone()) {
                mistakes.push(Mistake::in_key(setting.origin.written.clone(), text));
            }
        }
        Self { choices, table }
    }

    /// What the cell has on an axis.
    pub(super) fn choice(&self, axis: &str) -> Option<&Choice> {
        self.choices.iter().find(|c| c.axis == axis).map(Rc::as_ref)
    }

    /// Moves a mistake in a value that the grid or a section supplied to its place there.
    pub(super) fn relocate(&self, mistake: &mut Mistake) {
        let origins: Vec<&Origin> = self.choices.iter().flat_map(|c| &c.settings).map(|s| &s.origin).collect();
        relocate_to_closest(mistake, &origins);
    }
}

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

/// An axis of `[grid]`.
pub(super) fn location(axis: &str) -> Location {
    Location::of(["grid", axis])
}

/// The values of an axis without sections.
fn values(doc: &Document, axis: &str, mistakes: &mut Vec<Mistake>) -> Vec<Choice> {
    let location = location(axis);
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

/// A label for each cell: its values on the axes on which the cells differ, joined by " / ". Nothing where none do.
pub(super) fn labels(cells: &[Cell]) -> Option<Vec<String>> {
    let n_axes = cells.first().map_or(0, |c| c.choices.len());
    let label = |cell: &Cell, axis: usize| cell.choices[axis].label.clone();
    let differing: Vec<usize> =
        (0..n_axes).filter(|&x| cells.iter().any(|c| label(c, x) != label(&cells[0], x))).collect();
    let joined = |c: &Cell| differing.iter().map(|&x| label(c, x)).collect::<Vec<_>>().join(" / ");
    (!differing.is_empty()).then(|| cells.iter().map(joined).collect())
}
