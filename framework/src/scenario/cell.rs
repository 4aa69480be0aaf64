//! A cell of the grid: one choice on each axis, and the settings that these make.

use super::path::{Location, Mistake, Origin, relocate_to_closest, set_dotted};
use serde_json::{Map, Value};
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
    /// Makes the settings of `choices` in `base`, which all cells share.
    pub(super) fn new(choices: Vec<Rc<Choice>>, base: &Map<String, Value>, mistakes: &mut Vec<Mistake>) -> Self {
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

/// A label for each cell: its values on the axes on which the cells differ, joined by " / ". `None` where no axis does.
pub(super) fn labels(cells: &[Cell]) -> Option<Vec<String>> {
    fn label(cell: &Cell, axis: usize) -> &str {
        &cell.choices[axis].label
    }
    let first = cells.first()?;
    let differs = |axis: &usize| cells.iter().any(|c| label(c, *axis) != label(first, *axis));
    let axes: Vec<usize> = (0..first.choices.len()).filter(differs).collect();
    let joined = |c: &Cell| axes.iter().map(|&x| label(c, x)).collect::<Vec<_>>().join(" / ");
    (!axes.is_empty()).then(|| cells.iter().map(joined).collect())
}
