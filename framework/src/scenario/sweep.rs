//! From a scenario file to the arms of a sweep.

use super::diagnose::{Document, Mistake, Shape, Slot, Step, check_table, check_typed};
use super::file::{Campaign, Known, Place, PoolRules, Repeat, Scenario, Seeds, UserTable};
use super::judge::{Assertion, At, Claim, ClaimEntry, ClaimKind, Cost, Published};
use crate::domain::{Compose, Missing, Target};
use crate::error::{Error, Result, hint};
use crate::metrics;
use crate::plugin::{self, Kind};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bumped whenever a change to the code moves stored numbers, so that old runs are not taken for new.
pub const NUMBERS: u32 = 2;

/// Sections that describe the sweep and not a run.
const SWEEP_KEYS: [&str; 11] =
    ["grid", STRATEGY, AXIS, "skip", INCOMPATIBLE, "compare", "quick", VARIANT, "cost", "published", "claim"];

/// The sections of named variants.
const VARIANT: &str = "variant";

/// The axis whose values are the `[strategy.NAME]` sections.
const STRATEGY: &str = "strategy";

/// The sections of further axes whose values set several things at once: `[axis.NAME.VALUE]`.
const AXIS: &str = "axis";

/// What happens to cells whose model cannot give what acquisition or kernel ask of it.
const INCOMPATIBLE: &str = "incompatible";

/// The section that holds the values of an axis.
fn section_of(axis: &str) -> Vec<&str> {
    if axis == STRATEGY { vec![STRATEGY] } else { vec![AXIS, axis] }
}

fn no_fields() -> &'static [&'static str] {
    &[]
}

const SLOTS: &[Slot] = &[
    ("name", Shape::Typed(no_fields, plugin::check::<String>), true),
    ("seeds", Shape::Typed(plugin::fields::<Seeds>, plugin::check::<Seeds>), true),
    ("rounds", Shape::Typed(no_fields, plugin::check::<usize>), true),
    ("batch", Shape::Typed(no_fields, plugin::check::<usize>), true),
    ("metrics", Shape::Typed(no_fields, plugin::check::<Vec<String>>), true),
    ("target", Shape::Typed(plugin::fields::<Target>, plugin::check::<Target>), false),
    ("pool", Shape::Typed(plugin::fields::<PoolRules>, plugin::check::<PoolRules>), false),
    ("repeat", Shape::Typed(plugin::fields::<Repeat>, plugin::check::<Repeat>), false),
    ("oracle", Shape::Plugin(Kind::Oracle), true),
    ("model", Shape::Plugin(Kind::Model), false),
    ("kernel", Shape::Plugin(Kind::Kernel), false),
    ("acquisition", Shape::Plugin(Kind::Acquisition), true),
    ("prior", Shape::Plugins(Kind::Prior), false),
    ("priors", Shape::Typed(no_fields, plugin::check::<Option<Vec<String>>>), false),
    ("device", Shape::Typed(no_fields, plugin::check::<Place>), false),
    ("known", Shape::Typed(plugin::fields::<Known>, plugin::check::<Known>), false),
];

/// One cell of the grid.
#[derive(Debug)]
pub struct Arm {
    /// The axis values that differ between arms, joined by " / ".
    pub label: String,
    /// Axis and value, in the order of the grid.
    pub axes: Vec<(String, String)>,
    /// What to run.
    pub scenario: Arc<Scenario>,
    /// The scenario with every default filled in, without seeds and name: what identifies the arm.
    pub resolved: Value,
    /// The arm it is compared with, if the file names one.
    pub reference: Option<usize>,
}

/// Which form of a scenario file is meant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Form {
    /// Names of `[variant.NAME]` sections, applied in this order.
    pub variants: Vec<String>,
    /// The small form: at most 2 seeds and 2 rounds, then the overrides of `[quick]`.
    pub quick: bool,
}

impl Form {
    /// The name of a scenario in this form.
    fn name(&self, scenario: &str) -> String {
        let quick = self.quick.then_some("quick");
        let all = std::iter::once(scenario).chain(self.variants.iter().map(String::as_str)).chain(quick);
        all.collect::<Vec<_>>().join("-")
    }

    /// The sections that it applies.
    fn sections(&self) -> Vec<Vec<&str>> {
        let quick = self.quick.then(|| vec!["quick"]);
        self.variants.iter().map(|v| vec![VARIANT, v.as_str()]).chain(quick).collect()
    }
}

/// A scenario file, expanded.
#[derive(Debug)]
pub struct Sweep {
    /// Names the results folder: the scenario's name, its variants and `quick`, joined by `-`.
    pub name: String,
    /// The form that was asked for.
    pub form: Form,
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

/// One value of an axis: its label, the word it came from, and what it sets.
#[derive(Clone, Debug)]
struct Choice {
    label: String,
    value: Value,
    word: Value,
    position: usize,
    /// Whether `value` is a section of several settings.
    several: bool,
}

impl Choice {
    /// What this value of `axis` sets: dotted path, value, and where the file says so.
    fn settings(&self, axis: &str) -> Vec<(String, Value, Vec<Step>)> {
        match (&self.value, axis) {
            (Value::Object(set), _) if self.several => set
                .iter()
                .map(|(path, value)| {
                    let keys = section_of(axis).into_iter().chain([self.label.as_str(), path]);
                    (path.clone(), value.clone(), keys.map(|k| Step::Key(k.into())).collect())
                })
                .collect(),
            (_, "prior") => vec![("priors".into(), self.value.clone(), grid_path(axis, Some(self.position)))],
            _ => vec![(axis.into(), self.value.clone(), grid_path(axis, Some(self.position)))],
        }
    }
}

struct Cell {
    choices: Vec<Choice>,
    table: Map<String, Value>,
}

impl Sweep {
    /// Reads, checks and expands a file. All mistakes are reported together.
    pub fn read(path: &Path, form: &Form) -> Result<Self> {
        Self::expand(Document::read(path)?, form)
    }

    /// See [`Sweep::read`].
    pub fn expand(mut doc: Document, form: &Form) -> Result<Self> {
        let mut mistakes = Vec::new();
        let overrides = apply_form(&mut doc, form, &mut mistakes)?;
        let mut base = doc.value.clone();
        SWEEP_KEYS.iter().for_each(|k| {
            base.remove(*k);
        });
        let mut axes = doc.keys("grid");
        let named = named_axes(&doc);
        let unlisted = named.iter().filter(|a| !axes.contains(a)).cloned().collect::<Vec<_>>();
        axes.splice(0..0, unlisted);
        let choices = read_grid(&doc, &axes, &base, &mut mistakes);
        let skips = read_skips(doc.value.get("skip"), &named, &mut mistakes);
        let skip_misfits = match doc.value.get(INCOMPATIBLE).map(|v| v.as_str()) {
            None | Some(Some("error")) => false,
            Some(Some("skip")) => true,
            Some(_) => {
                let text = "expected \"error\" (the default) or \"skip\"";
                mistakes.push(Mistake::at(&[INCOMPATIBLE], text));
                false
            }
        };
        let mut cells: Vec<Cell> = Vec::new();
        for chosen in product(&choices) {
            let mut table = base.clone();
            for (axis, c) in axes.iter().zip(&chosen) {
                for (path, value, place) in c.settings(axis) {
                    if let Err(text) = set_path(&mut table, &path, value) {
                        mistakes.push(Mistake { path: place, at_key: true, text });
                    }
                }
            }
            let cell = Cell { choices: chosen, table };
            if !skips.iter().any(|s| s.matches(&cell, &axes)) {
                cells.push(cell);
            }
        }
        if cells.is_empty() && mistakes.is_empty() {
            mistakes.push(Mistake::at(&["skip"], "the skip rules leave no arm; remove one of them"));
        }
        let mut incompatible: Vec<(String, usize)> = Vec::new();
        cells.retain(|cell| {
            let (mut found, mut misfits) = (Vec::new(), Vec::new());
            check_table(&cell.table, SLOTS, &SWEEP_KEYS, &mut found);
            if found.is_empty() {
                misfits = check_meaning(&cell.table, &mut found);
            }
            if skip_misfits && let Some(why) = misfits.first().filter(|_| found.is_empty()) {
                let why = misfit_text(&cell.table, &why.text);
                match incompatible.iter_mut().find(|i| i.0 == why) {
                    Some(known) => known.1 += 1,
                    None => incompatible.push((why, 1)),
                }
                return false;
            }
            mistakes.extend(found.into_iter().chain(misfits).map(|m| relocate(m, &axes, &cell.choices)));
            true
        });
        if let (true, true, Some((why, _))) = (cells.is_empty(), mistakes.is_empty(), incompatible.first()) {
            mistakes.push(Mistake::at(&[INCOMPATIBLE], format!("no arm is left: {why}")));
        }
        if cells.is_empty() {
            check_table(&base, SLOTS, &SWEEP_KEYS, &mut mistakes);
        }
        check_conditions(doc.value.get("compare"), &named, &axes, &mut mistakes);
        check_judging(&doc.value, *form == Form::default(), &named, &mut mistakes);
        if !mistakes.is_empty() {
            for m in &mut mistakes {
                let _ = overrides.iter().rev().any(|o| o.relocate(m));
            }
            return Err(doc.report(&mistakes));
        }
        let by = doc.value.get("compare").and_then(|c| c.get("by")).cloned();
        let by = by.and_then(|v| serde_json::from_value(v).ok()).unwrap_or_default();
        Ok(Self { by, incompatible, ..Self::assemble(&doc, axes, cells, form)? })
    }

    fn assemble(doc: &Document, axes: Vec<String>, cells: Vec<Cell>, form: &Form) -> Result<Self> {
        let mut arms: Vec<Arm> = Vec::new();
        let mut kept: Vec<Cell> = Vec::new();
        let mut known = std::collections::HashSet::new();
        for cell in cells {
            let scenario: Scenario = serde_json::from_value(Value::Object(cell.table.clone()))
                .map_err(|e| Error::Config(format!("{}: {e}", doc.path.display())))?;
            let resolved = resolve(&scenario)?;
            if !known.insert(resolved.to_string()) {
                continue;
            }
            let named = axes.iter().cloned().zip(cell.choices.iter().map(|c| c.label.clone())).collect();
            arms.push(Arm {
                label: String::new(),
                axes: named,
                scenario: Arc::new(scenario),
                resolved,
                reference: None,
            });
            kept.push(cell);
        }
        let differs: Vec<bool> =
            (0..axes.len()).map(|x| kept.iter().any(|c| c.choices[x].label != kept[0].choices[x].label)).collect();
        for arm in &mut arms {
            let words: Vec<&str> =
                arm.axes.iter().zip(&differs).filter(|(_, d)| **d).map(|((_, v), _)| v.as_str()).collect();
            arm.label = words.join(" / ");
            if words.is_empty() {
                arm.label = arm.resolved["acquisition"]["use"].as_str().unwrap_or("arm").to_string();
            }
        }
        if let Some(reference) = doc.value.get("compare").and_then(|c| c.get("reference")) {
            let rule = Skip { when: conditions(reference), not: vec![] };
            let matching: Vec<usize> = (0..kept.len()).filter(|&i| rule.matches(&kept[i], &axes)).collect();
            if matching.is_empty() {
                return Err(doc.report(&[Mistake::at(
                    &["compare", "reference"],
                    "no arm matches the reference; name values that occur in the grid",
                )]));
            }
            for i in 0..arms.len() {
                // The reference that agrees in the most axes; the first of those.
                let agree = |j: usize| arms[i].axes.iter().zip(&arms[j].axes).filter(|(a, b)| a == b).count();
                let best = matching.iter().copied().max_by_key(|&j| (agree(j), std::cmp::Reverse(j)));
                arms[i].reference = best;
            }
        }
        let first = &arms[0].scenario;
        let (name, seeds) = (first.name.clone(), first.seeds);
        let safe = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.is_empty() || !name.chars().all(safe) {
            return Err(doc.report(&[Mistake::at(
                &["name"],
                "the name becomes a folder; use letters, digits, `_` and `-` only",
            )]));
        }
        let section = |key: &str| doc.value.get(key).cloned();
        let mut mistakes = vec![];
        let published: Option<Published> = section("published").map(|v| read_checked(doc, v)).transpose()?;
        // A variant may leave out arms; then there is nothing to say of them.
        let whole = *form == Form::default();
        for label in published.iter().flat_map(|p| p.arms.keys()) {
            if whole && !arms.iter().any(|a| a.label == *label) {
                let near = hint(label, arms.iter().map(|a| a.label.as_str()));
                let path = ["published", "arms", label].map(|k| Step::Key(k.into())).to_vec();
                mistakes.push(Mistake { path, at_key: true, text: format!("no arm is called `{label}`{near}") });
            }
        }
        let find = |side: &Map<String, Value>| -> Vec<usize> {
            let rule = Skip { when: conditions(&Value::Object(side.clone())), not: vec![] };
            (0..kept.len()).filter(|&i| rule.matches(&kept[i], &axes)).collect()
        };
        let mut claims = vec![];
        for (i, entry) in list_of(section("claim")).into_iter().enumerate() {
            let entry: ClaimEntry = read_checked(doc, entry)?;
            let better = find(&entry.better);
            let than: Vec<usize> = find(&entry.than).into_iter().filter(|t| !better.contains(t)).collect();
            for (side, found) in [("better", &better), ("than", &than)] {
                if whole && found.is_empty() {
                    let path = vec![Step::Key("claim".into()), Step::At(i), Step::Key(side.into())];
                    let text = format!("no arm matches `{side}`; name values that occur in the grid");
                    mistakes.push(Mistake { path, at_key: false, text });
                }
            }
            let says = match entry.kind {
                ClaimKind::Difference => Assertion::Better(read_at(entry.at.as_ref()).unwrap_or(At::Last)),
                ClaimKind::Speedup => Assertion::Sooner(entry.at_least.unwrap_or(1.0)),
            };
            let metric = entry.metric.unwrap_or_else(|| first.metrics.first().cloned().unwrap_or_default());
            claims.push(Claim { text: entry.text, metric, says, better, than, all_of: entry.all_of });
        }
        if !mistakes.is_empty() {
            return Err(doc.report(&mistakes));
        }
        Ok(Self {
            name: form.name(&name),
            form: form.clone(),
            variants: doc.keys(VARIANT),
            cost: section("cost").map(|v| read_checked(doc, v)).transpose()?.unwrap_or_default(),
            published,
            claims,
            file: doc.path.clone(),
            arms,
            by: vec![],
            incompatible: vec![],
            seeds,
            question: doc.question(),
        })
    }
}

/// Reads what was checked before.
fn read_checked<T: serde::de::DeserializeOwned>(doc: &Document, value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|e| Error::Config(format!("{}: {e}", doc.path.display())))
}

fn list_of(value: Option<Value>) -> Vec<Value> {
    match value {
        Some(Value::Array(list)) => list,
        _ => vec![],
    }
}

/// `"last"`, `"aulc"` or a round.
fn read_at(value: Option<&Value>) -> Option<At> {
    match value {
        None => Some(At::Last),
        Some(Value::String(s)) if s == "last" => Some(At::Last),
        Some(Value::String(s)) if s == "aulc" => Some(At::Aulc),
        Some(v) => v.as_u64().map(|t| At::Round(t as usize)),
    }
}

/// Checks `[cost]`, `[published]` and `[[claim]]`. Only the `whole` form has all rounds that a claim may name.
fn check_judging(table: &Map<String, Value>, whole: bool, named: &[String], mistakes: &mut Vec<Mistake>) {
    let metrics: Vec<&str> =
        table.get("metrics").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect();
    let fixed = whole && table.get("grid").is_none_or(|g| g.get("rounds").is_none());
    let rounds = table.get("rounds").and_then(Value::as_u64).filter(|_| fixed);
    let listed = |m: &str| {
        (!metrics.contains(&m)).then(|| {
            let near = hint(m, metrics.iter().copied());
            let list = if near.is_empty() { format!("; it lists: {}", metrics.join(", ")) } else { near };
            format!("`{m}` is not among this scenario's metrics{list}")
        })
    };
    if let Some(v) = table.get("cost") {
        let path = [Step::Key("cost".into())];
        check_typed(v.clone(), plugin::fields::<Cost>(), plugin::check::<Cost>, &path, mistakes);
        for (key, v) in v.as_object().into_iter().flatten() {
            if v.as_f64().is_some_and(|v| v.is_nan() || v < 0.0) {
                mistakes.push(Mistake::at(&["cost", key], format!("a price or time must be 0 or more, not {v}")));
            }
        }
    }
    if let Some(v) = table.get("published") {
        let path = [Step::Key("published".into())];
        check_typed(v.clone(), plugin::fields::<Published>(), plugin::check::<Published>, &path, mistakes);
        for m in v.get("metrics").and_then(Value::as_object).into_iter().flat_map(|m| m.keys()) {
            if let Some(text) = listed(m) {
                let path = ["published", "metrics", m].map(|k| Step::Key(k.into())).to_vec();
                mistakes.push(Mistake { path, at_key: true, text });
            }
        }
        let values = v.get("values").and_then(|v| v.get("metrics"));
        for m in values.and_then(Value::as_object).into_iter().flat_map(|m| m.keys()) {
            if let Some(text) = listed(m) {
                let path = ["published", "values", "metrics", m].map(|k| Step::Key(k.into())).to_vec();
                mistakes.push(Mistake { path, at_key: true, text });
            }
        }
    }
    match table.get("claim") {
        None | Some(Value::Array(_)) => {}
        Some(_) => mistakes.push(Mistake::at(&["claim"], "write each claim as its own [[claim]] section")),
    }
    for (i, claim) in list_of(table.get("claim").cloned()).into_iter().enumerate() {
        let path = [Step::Key("claim".into()), Step::At(i)];
        let before = mistakes.len();
        check_typed(claim.clone(), plugin::fields::<ClaimEntry>(), plugin::check::<ClaimEntry>, &path, mistakes);
        for side in ["better", "than"] {
            if let Some(v) = claim.get(side) {
                check_heads(&conditions(v), &[&path[..], &[Step::Key(side.into())]].concat(), named, mistakes);
            }
        }
        if mistakes.len() > before {
            continue;
        }
        let mut bad = |key: &str, text: String| {
            let path = [&path[..], &[Step::Key(key.into())]].concat();
            mistakes.push(Mistake { path, at_key: false, text });
        };
        if let Some(text) = claim.get("metric").and_then(Value::as_str).and_then(listed) {
            bad("metric", text);
        }
        let speedup = claim.get("kind").and_then(Value::as_str) == Some("speedup");
        match (read_at(claim.get("at")), claim.get("at")) {
            (_, Some(_)) if speedup => bad("at", "a speed-up is taken at the last round; leave `at` out".into()),
            (None, Some(at)) => bad("at", format!("expected \"last\", \"aulc\" or a round, not {at}")),
            (Some(At::Round(t)), _) if rounds.is_some_and(|r| t as u64 > r) => {
                bad("at", format!("there is no round {t}; the last is {}", rounds.unwrap_or(0)));
            }
            _ => {}
        }
        match claim.get("at_least").and_then(Value::as_f64) {
            Some(_) if !speedup => {
                bad("at_least", "only a speed-up has a least factor; add kind = \"speedup\" or leave it out".into());
            }
            Some(v) if !(v > 0.0 && v.is_finite()) => bad("at_least", format!("the factor must be above 0, not {v}")),
            _ => {}
        }
    }
}

/// The scenario as plain data with every default filled in, without name and seeds, priors sorted.
fn resolve(scenario: &Scenario) -> Result<Value> {
    let mut v = serde_json::to_value(scenario).map_err(|e| Error::Config(e.to_string()))?;
    if let Some(m) = v.as_object_mut() {
        m.remove("name");
        m.remove("seeds");
        m.insert("priors".into(), json!(scenario.active_priors()));
        m.insert("numbers".into(), json!(NUMBERS));
    }
    Ok(v)
}

/// A setting that a variant or the small form replaced: where it lies, and where the file says so.
struct Override {
    target: Vec<Step>,
    place: Vec<Step>,
}

impl Override {
    /// Moves a mistake in what it set to the section that set it.
    fn relocate(&self, m: &mut Mistake) -> bool {
        let here = m.path.starts_with(&self.target);
        if here {
            let inside = m.path[self.target.len()..].to_vec();
            m.at_key &= !inside.is_empty();
            m.path = [self.place.clone(), inside].concat();
        }
        here
    }
}

/// Changes a document into one of its forms. The overrides of all `[variant.NAME]` sections and of `[quick]` are
/// checked, those of the form are applied: variants in the order asked for, then the small form.
fn apply_form(doc: &mut Document, form: &Form, mistakes: &mut Vec<Mistake>) -> Result<Vec<Override>> {
    let variants = doc.keys(VARIANT);
    for name in &form.variants {
        if !variants.contains(name) {
            let near = hint(name, variants.iter().map(String::as_str));
            let list = match (near.is_empty(), variants.is_empty()) {
                (false, _) => near,
                (true, true) => format!("; it has none, write one as a [variant.{name}] section"),
                (true, false) => format!("; it has: {}", variants.join(", ")),
            };
            return Err(Error::Config(format!("{} has no variant `{name}`{list}", doc.path.display())));
        }
    }
    let safe = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    for name in variants.iter().filter(|n| !n.chars().all(safe)) {
        mistakes.push(Mistake {
            path: [VARIANT, name].map(|k| Step::Key(k.into())).to_vec(),
            at_key: true,
            text: "the name becomes part of a folder's; use letters, digits, `_` and `-` only".into(),
        });
    }
    let mut known: Vec<&str> = SLOTS.iter().map(|s| s.0).filter(|k| *k != "name").collect();
    known.extend(["grid", STRATEGY, AXIS, "compare", "cost", "published"]);
    let all: Vec<Vec<String>> = variants
        .iter()
        .map(|v| vec![VARIANT.to_string(), v.clone()])
        .chain(doc.value.contains_key("quick").then(|| vec!["quick".to_string()]))
        .collect();
    for section in &all {
        let at = |key: Option<&str>| -> Vec<Step> {
            section.iter().map(String::as_str).chain(key).map(|k| Step::Key(k.into())).collect()
        };
        match inside(&doc.value, section) {
            Some(Value::Object(map)) => {
                for key in map.keys() {
                    let head = key.split('.').next().unwrap_or(key);
                    if !known.contains(&head) {
                        let text = format!("unknown key `{head}`{}", hint(head, known.iter().copied()));
                        mistakes.push(Mistake { path: at(Some(key)), at_key: true, text });
                    }
                }
            }
            _ => mistakes.push(Mistake {
                path: at(None),
                at_key: false,
                text: format!("[{}] holds dotted paths and values, such as \"seeds.count\" = 2", section.join(".")),
            }),
        }
    }
    let mut overrides = Vec::new();
    for section in form.sections() {
        if section == ["quick"] {
            for (path, most) in [("seeds.count", 2), ("rounds", 2)] {
                if get_path(&doc.value, path).and_then(Value::as_u64).is_some_and(|n| n > most) {
                    let _ = set_path(&mut doc.value, path, json!(most));
                }
            }
        }
        let Some(Value::Object(map)) = inside(&doc.value, &section).cloned() else { continue };
        for (path, value) in map {
            let place: Vec<Step> =
                section.iter().copied().chain([path.as_str()]).map(|k| Step::Key(k.into())).collect();
            if !known.contains(&path.split('.').next().unwrap_or(&path)) {
                continue;
            }
            match set_override(&mut doc.value, &path, value) {
                Ok(target) => overrides.push(Override { target, place }),
                Err(text) => mistakes.push(Mistake { path: place, at_key: true, text }),
            }
        }
    }
    Ok(overrides)
}

/// What lies behind a list of keys.
fn inside<'a>(table: &'a Map<String, Value>, keys: &[impl AsRef<str>]) -> Option<&'a Value> {
    let (first, rest) = keys.split_first()?;
    rest.iter().try_fold(table.get(first.as_ref())?, |v, k| v.get(k.as_ref()))
}

/// The axes that have sections of their own, in the order of the file: `strategy` first.
fn named_axes(doc: &Document) -> Vec<String> {
    doc.value.contains_key(STRATEGY).then(|| STRATEGY.to_string()).into_iter().chain(doc.keys(AXIS)).collect()
}

/// Sets one dotted path of a whole file and gives its place. `grid.AXIS` replaces the values of an axis,
/// `strategy.NAME.PATH` a setting of a strategy and `axis.NAME.VALUE.PATH` one of another named axis.
fn set_override(file: &mut Map<String, Value>, path: &str, value: Value) -> Result<Vec<Step>, String> {
    let steps = |list: &[&str]| list.iter().map(|k| Step::Key(k.to_string())).collect();
    let put = |file: &mut Map<String, Value>, keys: &[&str], key: &str, value: Value| -> Option<()> {
        let mut at = file;
        for k in keys {
            at = at.get_mut(*k)?.as_object_mut()?;
        }
        at.insert(key.to_string(), value);
        Some(())
    };
    match path.split_once('.') {
        Some(("grid", axis)) => {
            let named = axis == STRATEGY || file.get(AXIS).is_some_and(|a| a.get(axis).is_some());
            if file.get("grid").and_then(|g| g.get(axis)).is_none() && !named {
                return Err(format!("[grid] has no axis `{axis}` to replace"));
            }
            file.entry("grid").or_insert_with(|| json!({}));
            put(file, &["grid"], axis, value).ok_or("`grid` is not a section")?;
            Ok(steps(&["grid", axis]))
        }
        Some((STRATEGY, rest)) => {
            let (name, key) = rest.split_once('.').unwrap_or((rest, ""));
            if key.is_empty() {
                return Err("name the strategy and what it sets, such as \"strategy.NAME.kernel.use\"".into());
            }
            put(file, &[STRATEGY, name], key, value).ok_or(format!("there is no [strategy.{name}] section"))?;
            Ok(steps(&[STRATEGY, name, key]))
        }
        Some((AXIS, rest)) => {
            let mut parts = rest.splitn(3, '.');
            let (Some(axis), Some(name), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
                return Err("name the axis, its value and what it sets, such as \"axis.NAME.VALUE.batch\"".into());
            };
            put(file, &[AXIS, axis, name], key, value).ok_or(format!("there is no [axis.{axis}.{name}] section"))?;
            Ok(steps(&[AXIS, axis, name, key]))
        }
        _ => {
            set_path(file, path, value)?;
            Ok(steps(&path.split('.').collect::<Vec<_>>()))
        }
    }
}

fn grid_path(axis: &str, at: Option<usize>) -> Vec<Step> {
    let mut p = vec![Step::Key("grid".into()), Step::Key(axis.into())];
    p.extend(at.map(Step::At));
    p
}

fn read_grid(
    doc: &Document,
    axes: &[String],
    base: &Map<String, Value>,
    mistakes: &mut Vec<Mistake>,
) -> Vec<Vec<Choice>> {
    let names: Vec<String> = match base.get("prior") {
        Some(Value::Object(m)) => m.keys().cloned().collect(),
        _ => vec![],
    };
    let known: Vec<&str> = SLOTS.iter().map(|s| s.0).collect();
    let named = named_axes(doc);
    let mut all = Vec::new();
    for axis in axes {
        let mut bad = |at: Option<usize>, text: String| {
            mistakes.push(Mistake { path: grid_path(axis, at), at_key: at.is_none(), text });
        };
        let head = axis.split('.').next().unwrap_or(axis);
        if named.contains(axis) {
            let choices = sections(doc, axis, mistakes);
            all.extend(Some(choices).filter(|c| !c.is_empty()));
            continue;
        }
        if !known.contains(&head) {
            bad(None, format!("unknown axis `{axis}`{}", hint(head, known.iter().copied())));
        } else if ["name", "seeds", "metrics"].contains(&head) {
            bad(None, format!("`{head}` cannot be an axis; all arms share it"));
        }
        let list = match doc.value.get("grid").and_then(|g| g.get(axis)) {
            Some(Value::Array(list)) if !list.is_empty() => list.clone(),
            _ => {
                bad(None, format!("an axis is a list of values: \"{axis}\" = [ ... ]"));
                vec![]
            }
        };
        let mut choices = Vec::new();
        for (position, value) in list.into_iter().enumerate() {
            if axis == "prior" {
                match prior_choices(&value, &names) {
                    Ok(found) => choices.extend(found.into_iter().map(|(label, set)| Choice {
                        label,
                        value: json!(set),
                        word: value.clone(),
                        position,
                        several: false,
                    })),
                    Err(text) => bad(Some(position), text),
                }
            } else {
                choices.push(Choice { label: label_of(&value), word: value.clone(), value, position, several: false });
            }
        }
        if !choices.is_empty() {
            all.push(choices);
        }
    }
    all
}

/// The `[strategy.NAME]` or `[axis.AXIS.NAME]` sections of an axis: those that the grid lists, or all.
fn sections(doc: &Document, axis: &str, mistakes: &mut Vec<Mistake>) -> Vec<Choice> {
    let section = section_of(axis);
    let header = section.join(".");
    let listed = doc.value.get("grid").and_then(|g| g.get(axis));
    let mut bad = |path: Vec<Step>, text: String| mistakes.push(Mistake { path, at_key: false, text });
    let at = |more: &[&str]| section.iter().chain(more).map(|k| Step::Key((*k).into())).collect::<Vec<_>>();
    if axis != STRATEGY && SLOTS.iter().map(|s| s.0).chain(SWEEP_KEYS).any(|k| k == axis) {
        bad(at(&[]), format!("`{axis}` is a key of the scenario; give the axis another name"));
    }
    let known = doc.keys(&header);
    let names: Vec<String> = match listed {
        None => known.clone(),
        Some(Value::Array(list)) => list.iter().map(|v| v.as_str().unwrap_or_default().to_string()).collect(),
        Some(_) => {
            bad(grid_path(axis, None), format!("an axis is a list: {axis} = [ \"NAME\", ... ]"));
            vec![]
        }
    };
    if names.is_empty() && listed.is_none() {
        bad(at(&[]), format!("the axis has no values; write each as a [{header}.NAME] section"));
    }
    let mut choices = Vec::new();
    for (position, name) in names.into_iter().enumerate() {
        match inside(&doc.value, &section).and_then(|s| s.get(&name)) {
            Some(Value::Object(set)) => {
                for key in set.keys() {
                    let head = key.split('.').next().unwrap_or(key);
                    if ["name", "seeds", "metrics"].contains(&head) {
                        bad(at(&[&name, key]), format!("`{head}` cannot be an axis; all arms share it"));
                    } else if !SLOTS.iter().any(|s| s.0 == head) {
                        let near = hint(head, SLOTS.iter().map(|s| s.0));
                        bad(at(&[&name, key]), format!("unknown key `{head}`{near}"));
                    }
                }
                let word = json!(name);
                choices.push(Choice { label: name, value: Value::Object(set.clone()), word, position, several: true });
            }
            _ => {
                let near = hint(&name, known.iter().map(String::as_str));
                bad(
                    grid_path(axis, Some(position)),
                    format!("unknown {axis} `{name}`{near}; write it as a [{header}.NAME] section"),
                );
            }
        }
    }
    choices
}

/// The subsets behind one word of the `prior` axis.
fn prior_choices(value: &Value, names: &[String]) -> Result<Vec<(String, Vec<String>)>, String> {
    let check = |n: &String| {
        let known = ["all", "none", "each_alone", "leave_one_out"];
        names.contains(n).then(|| n.clone()).ok_or_else(|| {
            let near = hint(n, names.iter().map(String::as_str).chain(known));
            let or =
                if near.is_empty() { format!("; known: {}, {}", known.join(", "), names.join(", ")) } else { near };
            format!("unknown prior `{n}`{or}")
        })
    };
    Ok(match value {
        Value::String(w) => match w.as_str() {
            "all" => vec![("all".into(), names.to_vec())],
            "none" => vec![("none".into(), vec![])],
            "each_alone" => names.iter().map(|n| (n.clone(), vec![n.clone()])).collect(),
            "leave_one_out" => names
                .iter()
                .map(|n| (format!("all but {n}"), names.iter().filter(|m| *m != n).cloned().collect()))
                .collect(),
            _ => vec![(w.clone(), vec![check(w)?])],
        },
        Value::Array(list) => {
            let set = list
                .iter()
                .map(|v| match v {
                    Value::String(n) => check(n),
                    other => Err(format!("a prior is named in quotes, not {other}")),
                })
                .collect::<Result<Vec<_>, _>>()?;
            vec![(set.join("+"), set)]
        }
        other => return Err(format!("expected a word or a list of prior names, not {other}")),
    })
}

/// How an axis value is called in labels.
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

fn product(choices: &[Vec<Choice>]) -> Vec<Vec<Choice>> {
    choices.iter().fold(vec![vec![]], |cells, axis| {
        cells
            .iter()
            .flat_map(|cell| {
                axis.iter().map(move |c| {
                    let mut next: Vec<Choice> = cell.clone();
                    next.push(c.clone());
                    next
                })
            })
            .collect()
    })
}

fn get_path<'a>(table: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    let mut parts = path.split('.');
    let mut at = table.get(parts.next()?)?;
    for p in parts {
        at = at.get(p)?;
    }
    Some(at)
}

fn set_path(table: &mut Map<String, Value>, path: &str, value: Value) -> Result<(), String> {
    let mut parts: Vec<&str> = path.split('.').collect();
    let last = parts.pop().unwrap_or(path);
    let mut at = table;
    for p in parts {
        let next = at.entry(p.to_string()).or_insert_with(|| json!({}));
        at = next.as_object_mut().ok_or_else(|| format!("`{p}` in `{path}` is not a section"))?;
    }
    // A new plugin name keeps none of the old one's parameters that it does not know.
    if last == "use"
        && let Some(entry) = value.as_str().and_then(plugin::find)
    {
        at.retain(|k, _| (entry.fields)().contains(&k.as_str()));
    }
    at.insert(last.to_string(), value);
    Ok(())
}

/// Moves a mistake inside a value that the grid or a strategy supplied to its place there.
fn relocate(mut m: Mistake, axes: &[String], choices: &[Choice]) -> Mistake {
    // The most specific setting around the mistake.
    let mut best: Option<(usize, Vec<Step>, bool)> = None;
    for (axis, c) in axes.iter().zip(choices) {
        for (path, _, place) in c.settings(axis) {
            let steps: Vec<Step> = path.split('.').map(|k| Step::Key(k.into())).collect();
            if m.path.starts_with(&steps) && best.as_ref().is_none_or(|b| steps.len() > b.0) {
                best = Some((steps.len(), place, axis == "prior"));
            }
        }
    }
    if let Some((n, place, is_word)) = best {
        // A word of the prior axis stands for a list that is not in the file.
        let inside = if is_word { &[][..] } else { &m.path[n..] };
        m.at_key &= !inside.is_empty();
        m.path = [&place, inside].concat();
    }
    m
}

struct Skip {
    when: Vec<(String, Value)>,
    not: Vec<(String, Value)>,
}

impl Skip {
    fn matches(&self, cell: &Cell, axes: &[String]) -> bool {
        let holds = |(path, want): &(String, Value)| {
            let axis = axes.iter().position(|a| a == path).map(|x| &cell.choices[x]);
            let one = |want: &Value| match axis {
                Some(c) if c.word == *want || want.as_str() == Some(&c.label) => true,
                _ => get_path(&cell.table, path).is_some_and(|v| v == want || v.get("use") == Some(want)),
            };
            match want {
                Value::Array(any) => any.iter().any(one) || one(want),
                _ => one(want),
            }
        };
        self.when.iter().all(holds) && (self.not.is_empty() || !self.not.iter().all(holds))
    }
}

fn conditions(table: &Value) -> Vec<(String, Value)> {
    match table {
        Value::Object(m) => m.iter().filter(|(k, _)| *k != "not").map(|(k, v)| (k.clone(), v.clone())).collect(),
        _ => vec![],
    }
}

fn read_skips(value: Option<&Value>, named: &[String], mistakes: &mut Vec<Mistake>) -> Vec<Skip> {
    match value {
        None => vec![],
        Some(Value::Array(list)) => list
            .iter()
            .enumerate()
            .map(|(i, s)| {
                let skip = Skip { when: conditions(s), not: s.get("not").map(conditions).unwrap_or_default() };
                check_heads(&skip.when, &[Step::Key("skip".into()), Step::At(i)], named, mistakes);
                skip
            })
            .collect(),
        Some(_) => {
            mistakes.push(Mistake::at(&["skip"], "write each skip rule as its own [[skip]] section"));
            vec![]
        }
    }
}

fn check_heads(list: &[(String, Value)], path: &[Step], named: &[String], mistakes: &mut Vec<Mistake>) {
    let known: Vec<&str> = SLOTS.iter().map(|s| s.0).collect();
    for (key, _) in list {
        let head = key.split('.').next().unwrap_or(key);
        if !named.iter().any(|n| n == head) && !known.contains(&head) {
            let mut path = path.to_vec();
            path.push(Step::Key(key.clone()));
            let text = format!("unknown key `{head}`{}", hint(head, known.iter().copied()));
            mistakes.push(Mistake { path, at_key: true, text });
        }
    }
}

fn check_conditions(compare: Option<&Value>, named: &[String], axes: &[String], mistakes: &mut Vec<Mistake>) {
    let Some(Value::Object(m)) = compare else { return };
    let by: Vec<&Value> = m.get("by").and_then(Value::as_array).into_iter().flatten().collect();
    if m.contains_key("by") && by.is_empty() {
        mistakes.push(Mistake::at(&["compare", "by"], "expected a list of axes, such as by = [\"strategy\"]"));
    }
    for (i, axis) in by.iter().enumerate() {
        let axis = axis.as_str().unwrap_or_default();
        if !axes.iter().any(|a| a == axis) {
            let near = hint(axis, axes.iter().map(String::as_str));
            let list = if near.is_empty() { format!("; there are: {}", axes.join(", ")) } else { near };
            mistakes.push(Mistake {
                path: vec![Step::Key("compare".into()), Step::Key("by".into()), Step::At(i)],
                at_key: false,
                text: format!("no axis `{axis}`{list}"),
            });
        }
    }
    for key in m.keys().filter(|k| !["reference", "by"].contains(&k.as_str())) {
        mistakes.push(Mistake {
            path: vec![Step::Key("compare".into()), Step::Key(key.clone())],
            at_key: true,
            text: format!("unknown key `{key}`{}; known here: reference, by", hint(key, ["reference", "by"])),
        });
    }
    if let Some(r) = m.get("reference") {
        check_heads(&conditions(r), &[Step::Key("compare".into()), Step::Key("reference".into())], named, mistakes);
    }
}

/// Which model does not serve which acquisition or kernel, and why.
fn misfit_text(table: &Map<String, Value>, why: &str) -> String {
    let name = |key: &str| table.get(key).and_then(|v| v.get("use")).and_then(Value::as_str).unwrap_or("none");
    format!("model {} with acquisition {} and kernel {}: {why}", name("model"), name("acquisition"), name("kernel"))
}

/// Rules that types cannot express. Gives apart what only another model would mend.
fn check_meaning(table: &Map<String, Value>, mistakes: &mut Vec<Mistake>) -> Vec<Mistake> {
    let scenario: Scenario = match serde_json::from_value(Value::Object(table.clone())) {
        Ok(s) => s,
        Err(e) => {
            mistakes.push(Mistake::at(&[], e.to_string()));
            return vec![];
        }
    };
    for (i, m) in scenario.metrics.iter().enumerate() {
        if metrics::find(m).is_none() {
            let near = hint(m, metrics::names());
            let list = if near.is_empty() {
                format!("; known: {}", metrics::names().collect::<Vec<_>>().join(", "))
            } else {
                near
            };
            mistakes.push(Mistake {
                path: vec![Step::Key("metrics".into()), Step::At(i)],
                at_key: false,
                text: format!("unknown metric `{m}`{list}"),
            });
        }
    }
    let mut bad = |path: &[&str], text: String| mistakes.push(Mistake::at(path, text));
    let lists = |m: &str| scenario.metrics.iter().any(|n| n == m);
    if lists(metrics::HITS_PER_KUSD) && !lists("hits") {
        bad(&["metrics"], format!("`{}` is made of `hits`; list that too", metrics::HITS_PER_KUSD));
    }
    if lists(metrics::MARGINAL_GAIN) && !lists(metrics::FRACTION_DISCOVERED) {
        let text = format!("`{}` is made of `{}`; list that too", metrics::MARGINAL_GAIN, metrics::FRACTION_DISCOVERED);
        bad(&["metrics"], text);
    }
    if scenario.batch == 0 {
        bad(&["batch"], "the batch is empty; choose at least 1".into());
    }
    if scenario.seeds.count == 0 {
        bad(&["seeds"], "no seeds; set count to at least 1".into());
    }
    let fraction = |v: f64| (0.0..1.0).contains(&v);
    if !fraction(scenario.pool.test) {
        bad(&["pool", "test"], format!("the test share must be at least 0 and below 1, not {}", scenario.pool.test));
    }
    if !(scenario.target.hit_fraction > 0.0 && scenario.target.hit_fraction <= 1.0) {
        bad(
            &["target", "hit_fraction"],
            format!("the share of hits must be above 0 and at most 1, not {}", scenario.target.hit_fraction),
        );
    }
    if scenario.target.hit_count == Some(0) {
        bad(&["target", "hit_count"], "no hit to find; choose at least 1".into());
    }
    if scenario.target.hit_count.is_some() && scenario.target.hit_threshold.is_some() {
        bad(&["target", "hit_count"], "hits are either a number or all above a threshold; give one of the two".into());
    }
    for p in scenario.priors.iter().flatten() {
        if !scenario.prior.contains_key(p) {
            bad(&["priors"], format!("unknown prior `{p}`{}", hint(p, scenario.prior.keys().map(String::as_str))));
        }
    }
    let mut misfits = vec![];
    for m in check_needs(
        scenario.model.as_deref(),
        scenario.kernel.as_deref(),
        &*scenario.acquisition,
        !scenario.active_priors().is_empty(),
        scenario.pool.init > 0,
    ) {
        let to = if m.of_model { &mut misfits } else { &mut *mistakes };
        to.push(Mistake::at(&[m.section], m.text));
    }
    misfits
}

const CAMPAIGN_SLOTS: &[Slot] = &[
    ("name", Shape::Typed(no_fields, plugin::check::<String>), true),
    ("seed", Shape::Typed(no_fields, plugin::check::<u64>), false),
    ("batch", Shape::Typed(no_fields, plugin::check::<usize>), true),
    ("target", Shape::Typed(plugin::fields::<Target>, plugin::check::<Target>), false),
    ("pool", Shape::Typed(plugin::fields::<UserTable>, plugin::check::<UserTable>), true),
    ("missing", Shape::Typed(no_fields, plugin::check::<Missing>), false),
    ("compose", Shape::Typed(no_fields, plugin::check::<Compose>), false),
    ("symbol_updates", Shape::Typed(no_fields, plugin::check::<PathBuf>), false),
    ("measured", Shape::Typed(plugin::fields::<UserTable>, plugin::check::<UserTable>), false),
    ("model", Shape::Plugin(Kind::Model), false),
    ("kernel", Shape::Plugin(Kind::Kernel), false),
    ("acquisition", Shape::Plugin(Kind::Acquisition), true),
    ("prior", Shape::Plugins(Kind::Prior), false),
    ("device", Shape::Typed(no_fields, plugin::check::<Place>), false),
];

/// Checks and reads a campaign file; all mistakes are reported together.
pub(crate) fn check_campaign(doc: &Document) -> Result<Campaign> {
    let mut mistakes = Vec::new();
    check_table(&doc.value, CAMPAIGN_SLOTS, &[], &mut mistakes);
    if !mistakes.is_empty() {
        return Err(doc.report(&mistakes));
    }
    serde_json::from_value(Value::Object(doc.value.clone()))
        .map_err(|e| Error::Config(format!("{}: {e}", doc.path.display())))
}

/// Something that does not fit together.
pub(crate) struct Misfit {
    /// The section to change.
    pub(crate) section: &'static str,
    /// What is wrong.
    pub(crate) text: String,
    /// Whether the model cannot give what is asked of it.
    pub(crate) of_model: bool,
}

/// Whether model, kernel and acquisition fit together.
pub(crate) fn check_needs(
    model: Option<&dyn plugin::Model>,
    kernel: Option<&dyn plugin::Kernel>,
    acquisition: &dyn plugin::Acquisition,
    any_prior: bool,
    any_measured: bool,
) -> Vec<Misfit> {
    let mut all = Vec::new();
    let mut bad = |section, text: String, of_model| all.push(Misfit { section, text, of_model });
    let needs = acquisition.needs();
    let providers = |who: &str, what: &str, has: fn(plugin::Provides) -> bool| {
        let able: Vec<&str> = plugin::catalogue()
            .into_iter()
            .filter(|e| e.kind == Kind::Model)
            .filter(|e| {
                let dir = std::env::temp_dir();
                let mut v = (e.example)(&dir);
                v.as_object_mut().map(|m| m.insert("use".into(), json!(e.name)));
                serde_json::from_value::<Box<dyn plugin::Model>>(v).is_ok_and(|m| has(m.provides()))
            })
            .map(|e| e.name)
            .collect();
        if able.is_empty() {
            return format!("this {who} needs {what}, and no model that is linked in gives them");
        }
        format!("this {who} needs {what}; models that give them: {}", able.join(", "))
    };
    let asks_model = needs.model || needs.sd || needs.draws || needs.covariance || needs.variance_gradient;
    match model {
        None if asks_model => {
            bad("acquisition", "this acquisition needs a model; add a [model] section".into(), false);
        }
        Some(m) => {
            let p = m.provides();
            if needs.sd && !p.sd {
                bad("acquisition", providers("acquisition", "predicted standard deviations", |p| p.sd), true);
            }
            if needs.draws && !p.draws {
                bad("acquisition", providers("acquisition", "posterior draws", |p| p.draws), true);
            }
            if needs.covariance && !p.covariance {
                bad("acquisition", providers("acquisition", "posterior covariances", |p| p.covariance), true);
            }
            if needs.variance_gradient && !p.variance_gradient {
                let what = "the gradient of its variance with respect to the features";
                bad("acquisition", providers("acquisition", what, |p| p.variance_gradient), true);
            }
            if m.requires().features && !any_prior {
                bad(
                    "model",
                    "this model learns from features and no prior is active; add a [prior.NAME] section".into(),
                    false,
                );
            }
        }
        None => {}
    }
    if model.is_some() && asks_model && !any_measured {
        bad("acquisition", "this acquisition needs a fitted model from the first round on, and nothing is measured before; set init under [pool]".into(), false);
    }
    if needs.gram && kernel.is_none() && !any_prior {
        bad("acquisition", "this acquisition compares perturbations but nothing describes them; add a [kernel] or a [prior.NAME] section".into(), false);
    }
    if let Some(k) = kernel {
        let needs = k.needs();
        if needs.input {
            bad("kernel", "this transform has no kernel to act on; put it after one in the `steps` of a chain, or give it one as `of`"
                    .into(), false);
        }
        if needs.features && !any_prior {
            bad(
                "kernel",
                "this kernel compares feature rows and no prior is active; add a [prior.NAME] section".into(),
                false,
            );
        }
        let reads_model = needs.model || needs.embedding || needs.layers;
        match model {
            None if reads_model => {
                bad("kernel", "this kernel reads the fitted model; add a [model] section".into(), false)
            }
            Some(m) if needs.layers && !m.provides().layers => {
                bad("kernel", providers("kernel", "the layers of a network", |p| p.layers), true);
            }
            Some(m) if needs.embedding && !m.provides().embedding => {
                bad("kernel", providers("kernel", "the model's own representation", |p| p.embedding), true);
            }
            _ => {}
        }
        if (reads_model || needs.measured) && !any_measured {
            bad("kernel", "this kernel needs measurements from the first round on, and nothing is measured before; set init under [pool]"
                    .into(), false);
        }
    }
    all
}
