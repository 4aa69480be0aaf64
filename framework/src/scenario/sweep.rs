//! From a scenario file to the arms of a sweep: puts together what the other files of this folder do.

use super::arm::{self, Arm};
use super::cell::Cell;
use super::claims::{self, Claim, ClaimEntry, Facts};
use super::compare;
use super::cost::{self, Cost};
use super::diagnose::Document;
use super::file::{INCOMPATIBLE, SLOTS, SWEEP_KEYS, Seeds, VARIANT};
use super::grid::Grid;
use super::meaning;
use super::path::{Mistake, get, relocate_to_last};
use super::published::{self, Published};
use super::schema::check_table;
use super::skip;
use super::variants::{self, ScenarioForm, is_folder_name};
use crate::error::{Error, Result};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// A scenario file, expanded.
#[derive(Debug)]
pub struct Sweep {
    /// Names the results folder: the scenario's name, its variants and `quick`, joined by `-`.
    pub name: String,
    /// The form that was asked for.
    pub form: ScenarioForm,
    /// Names of all variants that the file has.
    pub variants: Vec<String>,
    /// What a screen costs.
    pub cost: Cost,
    /// Published curves to compare with.
    pub published: Option<Published>,
    /// What the file says should come out.
    pub claims: Vec<Claim>,
    /// The file.
    pub file: PathBuf,
    /// Cells in grid order; equal cells are merged.
    pub arms: Vec<Arm>,
    /// Axes by which reports group arms: `[compare] by`.
    pub by: Vec<String>,
    /// Why cells were left out because the model cannot give what they need, and how many.
    pub incompatible: Vec<(String, usize)>,
    /// Seeds, the same for every arm.
    pub seeds: Seeds,
    /// The first comment lines of the file: its question.
    pub question: String,
}

impl Sweep {
    /// Reads, checks and expands a file. All mistakes are reported together.
    pub fn read(path: &Path, form: &ScenarioForm) -> Result<Self> {
        Self::expand(Document::read(path)?, form)
    }

    /// See [`Sweep::read`].
    pub fn expand(mut doc: Document, form: &ScenarioForm) -> Result<Self> {
        let mut mistakes = Vec::new();
        let overrides = variants::apply(&mut doc, form, &mut mistakes)?;
        let mut base = doc.value.clone();
        base.retain(|key, _| !SWEEP_KEYS.contains(&key.as_str()));
        let grid = Grid::read(&doc, &mut mistakes);
        let (cells, incompatible) = possible_cells(&doc, &base, &grid, &mut mistakes);
        if cells.is_empty() {
            check_table(&base, SLOTS, &SWEEP_KEYS, &mut mistakes);
        }
        check_judging(&doc.value, form, &grid, &mut mistakes);
        if !mistakes.is_empty() {
            mistakes.iter_mut().for_each(|m| relocate_to_last(m, &overrides));
            return Err(doc.report(&mistakes));
        }
        Self::assemble(&doc, cells, incompatible, form)
    }

    /// From cells without mistakes.
    fn assemble(
        doc: &Document,
        cells: Vec<Cell>,
        incompatible: Vec<(String, usize)>,
        form: &ScenarioForm,
    ) -> Result<Self> {
        let (mut arms, cells) = arm::distinct(cells).map_err(|e| in_file(doc, e))?;
        if let Some(reference) = get(&doc.value, ["compare", "reference"]) {
            compare::set_references(reference, &mut arms, &cells).map_err(|m| doc.report(&[m]))?;
        }
        let first = &arms[0].scenario;
        let (name, seeds) = (first.name.clone(), first.seeds);
        if name.is_empty() || !is_folder_name(&name) {
            let text = "the name becomes a folder; use letters, digits, `_` and `-` only";
            return Err(doc.report(&[Mistake::at(&["name"], text)]));
        }
        let published: Option<Published> = read_checked(doc, doc.value.get("published"))?;
        let claims: Vec<ClaimEntry> = read_checked(doc, doc.value.get("claim"))?.unwrap_or_default();
        let claims: Vec<Claim> =
            claims.into_iter().map(|c| claims::resolve(c, first.metrics.first(), &cells)).collect();
        // A variant may leave out arms; then there is nothing to say of them.
        if form.is_whole() {
            let mut mistakes = vec![];
            published.iter().for_each(|p| published::check_arms(p, &arms, &mut mistakes));
            claims.iter().enumerate().for_each(|(i, c)| claims::check_arms(c, i, &mut mistakes));
            if !mistakes.is_empty() {
                return Err(doc.report(&mistakes));
            }
        }
        Ok(Self {
            name: form.name(&name),
            form: form.clone(),
            variants: doc.keys(VARIANT),
            cost: read_checked(doc, doc.value.get("cost"))?.unwrap_or_default(),
            published,
            claims,
            file: doc.path.clone(),
            arms,
            by: read_checked(doc, get(&doc.value, ["compare", "by"]))?.unwrap_or_default(),
            incompatible,
            seeds,
            question: doc.question(),
        })
    }
}

/// The cells that skip rules leave, each checked, and why others were left out as incompatible and how many.
fn possible_cells(
    doc: &Document,
    base: &Map<String, Value>,
    grid: &Grid,
    mistakes: &mut Vec<Mistake>,
) -> (Vec<Cell>, Vec<(String, usize)>) {
    let rules = skip::read(doc.value.get("skip"), &grid.named, mistakes);
    let skips_incompatible = skip::skips_incompatible(doc.value.get(INCOMPATIBLE), mistakes);
    let mut cells = grid.cells(base, mistakes);
    cells.retain(|cell| !rules.iter().any(|r| r.applies(cell)));
    if cells.is_empty() && mistakes.is_empty() {
        mistakes.push(Mistake::at(&["skip"], "the skip rules leave no arm; remove one of them"));
    }
    let mut incompatible: Vec<(String, usize)> = Vec::new();
    cells.retain(|cell| {
        let (mut found, misfits) = check_cell(&cell.table);
        if skips_incompatible
            && found.is_empty()
            && let Some(misfit) = misfits.first()
        {
            let why = misfit_text(&cell.table, &misfit.text);
            match incompatible.iter_mut().find(|i| i.0 == why) {
                Some((_, n)) => *n += 1,
                None => incompatible.push((why, 1)),
            }
            return false;
        }
        found.extend(misfits);
        found.iter_mut().for_each(|m| cell.relocate(m));
        mistakes.append(&mut found);
        true
    });
    if let (true, true, Some((why, _))) = (cells.is_empty(), mistakes.is_empty(), incompatible.first()) {
        mistakes.push(Mistake::at(&[INCOMPATIBLE], format!("no arm is left: {why}")));
    }
    (cells, incompatible)
}

/// The mistakes of one cell, and apart from them what only another model would mend.
fn check_cell(table: &Map<String, Value>) -> (Vec<Mistake>, Vec<Mistake>) {
    let mut mistakes = Vec::new();
    check_table(table, SLOTS, &SWEEP_KEYS, &mut mistakes);
    let misfits = if mistakes.is_empty() { meaning::check(table, &mut mistakes) } else { vec![] };
    (mistakes, misfits)
}

/// Checks the sections that say how results are judged.
fn check_judging(file: &Map<String, Value>, form: &ScenarioForm, grid: &Grid, mistakes: &mut Vec<Mistake>) {
    if let Some(section) = file.get("compare") {
        compare::check(section, &grid.named, &grid.axes, mistakes);
    }
    if let Some(section) = file.get("cost") {
        cost::check(section, mistakes);
    }
    let metrics: Vec<&str> =
        file.get("metrics").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    if let Some(section) = file.get("published") {
        published::check(section, &metrics, mistakes);
    }
    if let Some(sections) = file.get("claim") {
        let is_fixed = form.is_whole() && get(file, ["grid", "rounds"]).is_none();
        let last_round = file.get("rounds").and_then(Value::as_u64).filter(|_| is_fixed);
        claims::check(sections, &Facts { metrics: &metrics, last_round, named_axes: &grid.named }, mistakes);
    }
}

/// Reads a section that was checked before.
fn read_checked<T: DeserializeOwned>(doc: &Document, section: Option<&Value>) -> Result<Option<T>> {
    section.map(|v| serde_json::from_value(v.clone())).transpose().map_err(|e| in_file(doc, e))
}

fn in_file(doc: &Document, error: serde_json::Error) -> Error {
    Error::Config(format!("{}: {error}", doc.path.display()))
}

/// Which model does not serve which acquisition or kernel, and why.
fn misfit_text(table: &Map<String, Value>, why: &str) -> String {
    let name = |key: &str| table.get(key).and_then(|v| v.get("use")).and_then(Value::as_str).unwrap_or("none");
    format!("model {} with acquisition {} and kernel {}: {why}", name("model"), name("acquisition"), name("kernel"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_complaints, complaints, document, pointed_at};
    use super::*;

    #[test]
    fn mistakes_all_over_the_file_are_shown_together() {
        let sections = "[grid]\nkernel = [{ use = \"any_kernel\" }]\n[[skip]]\nbatsh = 1\n[variant.v]\nbatsh = 2\n[cost]\nper_round = -1\n\
                        [published]\nfiel = \"x\"\n[[claim]]\ntext = \"t\"\nbetter = {}\n[compare]\nbye = 1\n";
        let found = complaints("devise = \"cpu\"", sections);
        let above: Vec<&str> = found.iter().map(|(above, _)| above.as_str()).collect();
        let expected = ["devise", "{ use = \"any_kernel\" }", "batsh", "batsh", "-1", "fiel", "[[claim]]", "bye"];
        assert_eq!(above, expected, "{found:?}");
    }

    #[test]
    fn a_mistake_that_every_arm_makes_is_shown_once() {
        let found = complaints("", "[grid]\nbatch = [1, 2, 3]\nrounds = [1, 2]\n\"oracle.gens\" = [4]\n");
        assert_complaints(found, &[("4", "unknown key `gens`; did you mean `genes`?")]);
    }

    #[test]
    fn the_name_of_a_scenario_can_be_a_folder() {
        let text = "name = \"a/b\"\nseeds = { count = 1 }\nrounds = 1\nbatch = 1\nmetrics = [\"mse\"]\noracle = { use = \"any_oracle\" }\n\
                    acquisition = { use = \"any_rule\" }\n";
        assert_complaints(
            pointed_at(Sweep::expand(document(text), &ScenarioForm::default())),
            &[("\"a/b\"", "the name becomes a folder; use letters, digits, `_` and `-` only")],
        );
    }

    #[test]
    fn an_empty_file_lacks_every_required_key() {
        let found = Sweep::expand(document(""), &ScenarioForm::default()).unwrap_err().to_string();
        assert!(found.starts_with("error: small.toml has 7 mistakes\n"), "{found}");
        for key in ["name", "seeds", "rounds", "batch", "metrics", "oracle", "acquisition"] {
            assert!(found.contains(&format!("the key `{key}` is missing")), "{found}");
        }
    }
}
