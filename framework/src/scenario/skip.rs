//! Cells that are left out of the grid: `[[skip]]` rules and `incompatible`.

use super::conditions::Conditions;
use super::file::INCOMPATIBLE;
use super::grid::Cell;
use super::path::{Location, Mistake};
use serde_json::Value;

/// One `[[skip]]` section: cells of which all of `when` holds, and not all of `not`.
pub(super) struct SkipRule {
    when: Conditions,
    not: Conditions,
}

impl SkipRule {
    /// Whether a cell is left out.
    pub(super) fn applies(&self, cell: &Cell) -> bool {
        self.when.hold(cell) && (self.not.is_empty() || !self.not.hold(cell))
    }
}

/// Reads and checks the `[[skip]]` sections.
pub(super) fn read(sections: Option<&Value>, named_axes: &[String], mistakes: &mut Vec<Mistake>) -> Vec<SkipRule> {
    let list = match sections {
        None => return vec![],
        Some(Value::Array(list)) => list,
        Some(_) => {
            mistakes.push(Mistake::at(&["skip"], "write each skip rule as its own [[skip]] section"));
            return vec![];
        }
    };
    let mut rules = Vec::new();
    for (i, section) in list.iter().enumerate() {
        let when = Conditions::read(section);
        when.check(&Location::of(["skip"]).item(i), named_axes, mistakes);
        rules.push(SkipRule { when, not: section.get("not").map(Conditions::read).unwrap_or_default() });
    }
    rules
}

/// Whether cells are left out whose model cannot give what acquisition or kernel ask of it, instead of being mistakes.
pub(super) fn skips_incompatible(setting: Option<&Value>, mistakes: &mut Vec<Mistake>) -> bool {
    match setting.map(Value::as_str) {
        None | Some(Some("error")) => false,
        Some(Some("skip")) => true,
        Some(_) => {
            mistakes.push(Mistake::at(&[INCOMPATIBLE], "expected \"error\" (the default) or \"skip\""));
            false
        }
    }
}
