//! The forms of a scenario file: `[variant.NAME]` and `[quick]` sections replace settings of the rest of the file.

use super::diagnose::Document;
use super::file::{AXIS, SLOTS, STRATEGY, VARIANT};
use super::path::{Location, Mistake, Origin, get, get_dotted, head, set_dotted, set_in_section};
use crate::error::{Error, Result, hint};
use serde_json::{Map, Value, json};

/// Which form of a scenario file is meant.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScenarioForm {
    /// Names of `[variant.NAME]` sections, applied in this order.
    pub variants: Vec<String>,
    /// The small form: at most 2 seeds and 2 rounds, then the overrides of `[quick]`.
    pub quick: bool,
}

impl ScenarioForm {
    /// The name of a scenario in this form.
    pub(super) fn name(&self, scenario: &str) -> String {
        let quick = self.quick.then_some("quick");
        let all = std::iter::once(scenario).chain(self.variants.iter().map(String::as_str)).chain(quick);
        all.collect::<Vec<_>>().join("-")
    }

    /// Whether this is the file as it stands, without overrides.
    pub(super) fn is_whole(&self) -> bool {
        *self == Self::default()
    }

    /// The sections that it applies.
    fn sections(&self) -> Vec<Vec<&str>> {
        let quick = self.quick.then(|| vec!["quick"]);
        self.variants.iter().map(|v| vec![VARIANT, v.as_str()]).chain(quick).collect()
    }
}

/// Whether a name can become part of a folder's.
pub(super) fn is_folder_name(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// Changes a document into one of its forms. The overrides of all `[variant.NAME]` sections and of `[quick]` are
/// checked, those of the form are applied: variants in the order asked for, then the small form. Gives where each
/// override is written; errors if the file lacks a variant of the form.
pub(super) fn apply(doc: &mut Document, form: &ScenarioForm, mistakes: &mut Vec<Mistake>) -> Result<Vec<Origin>> {
    let variants = doc.keys(VARIANT);
    for name in &form.variants {
        if !variants.contains(name) {
            return Err(no_such_variant(doc, name, &variants));
        }
    }
    check_names(&variants, mistakes);
    let heads = replaceable();
    let quick = doc.value.contains_key("quick").then_some(vec!["quick"]);
    for section in variants.iter().map(|v| vec![VARIANT, v.as_str()]).chain(quick) {
        check_section(&doc.value, &section, &heads, mistakes);
    }
    let mut origins = Vec::new();
    for section in form.sections() {
        if section == ["quick"] {
            shrink(&mut doc.value);
        }
        let Some(Value::Object(overrides)) = get(&doc.value, &section).cloned() else { continue };
        for (path, value) in overrides.into_iter().filter(|(path, _)| heads.contains(&head(path))) {
            let written = Location::of(section.iter().copied()).key(&path);
            match set(&mut doc.value, &path, value) {
                Ok(setting) => origins.push(Origin { setting, written, is_word: false }),
                Err(text) => mistakes.push(Mistake::in_key(written, text)),
            }
        }
    }
    Ok(origins)
}

fn no_such_variant(doc: &Document, name: &str, variants: &[String]) -> Error {
    let near = hint(name, variants.iter().map(String::as_str));
    let list = match (near.is_empty(), variants.is_empty()) {
        (false, _) => near,
        (true, true) => format!("; it has none, write one as a [variant.{name}] section"),
        (true, false) => format!("; it has: {}", variants.join(", ")),
    };
    Error::Config(format!("{} has no variant `{name}`{list}", doc.path.display()))
}

fn check_names(variants: &[String], mistakes: &mut Vec<Mistake>) {
    for name in variants.iter().filter(|n| !is_folder_name(n)) {
        let text = "the name becomes part of a folder's; use letters, digits, `_` and `-` only";
        mistakes.push(Mistake::in_key(Location::of([VARIANT, name]), text));
    }
}

/// With what the path of an override may begin.
fn replaceable() -> Vec<&'static str> {
    let keys = SLOTS.iter().map(|s| s.0).filter(|k| *k != "name");
    keys.chain(["grid", STRATEGY, AXIS, "compare", "cost", "published"]).collect()
}

fn check_section(file: &Map<String, Value>, section: &[&str], heads: &[&str], mistakes: &mut Vec<Mistake>) {
    let location = Location::of(section.iter().copied());
    let Some(Value::Object(overrides)) = get(file, section) else {
        let text = format!("[{}] holds dotted paths and values, such as \"seeds.count\" = 2", section.join("."));
        mistakes.push(Mistake::in_value(location, text));
        return;
    };
    for path in overrides.keys() {
        let head = head(path);
        if !heads.contains(&head) {
            let text = format!("unknown key `{head}`{}", hint(head, heads.iter().copied()));
            mistakes.push(Mistake::in_key(location.key(path), text));
        }
    }
}

/// At most 2 seeds and 2 rounds.
fn shrink(file: &mut Map<String, Value>) {
    for path in ["seeds.count", "rounds"] {
        if get_dotted(file, path).and_then(Value::as_u64).is_some_and(|n| n > 2) {
            let _ = set_dotted(file, path, json!(2));
        }
    }
}

/// Sets one dotted path of a whole file and gives the setting's location. `grid.AXIS` replaces the values of an axis,
/// `strategy.NAME.PATH` a setting of a strategy and `axis.NAME.VALUE.PATH` one of another named axis.
fn set(file: &mut Map<String, Value>, path: &str, value: Value) -> Result<Location, String> {
    match path.split_once('.') {
        Some(("grid", axis)) => set_axis(file, axis, value),
        Some((STRATEGY, rest)) => {
            let Some((name, key)) = rest.split_once('.').filter(|(_, key)| !key.is_empty()) else {
                return Err("name the strategy and what it sets, such as \"strategy.NAME.kernel.use\"".into());
            };
            set_in_section(file, &[STRATEGY, name], key, value)
                .ok_or_else(|| format!("there is no [strategy.{name}] section"))?;
            Ok(Location::of([STRATEGY, name, key]))
        }
        Some((AXIS, rest)) => {
            let mut parts = rest.splitn(3, '.');
            let (Some(axis), Some(name), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
                return Err("name the axis, its value and what it sets, such as \"axis.NAME.VALUE.batch\"".into());
            };
            set_in_section(file, &[AXIS, axis, name], key, value)
                .ok_or_else(|| format!("there is no [axis.{axis}.{name}] section"))?;
            Ok(Location::of([AXIS, axis, name, key]))
        }
        _ => {
            set_dotted(file, path, value)?;
            Ok(Location::dotted(path))
        }
    }
}

/// Replaces the values of an axis that the grid lists or that has sections.
fn set_axis(file: &mut Map<String, Value>, axis: &str, values: Value) -> Result<Location, String> {
    let is_named = axis == STRATEGY || get(file, [AXIS, axis]).is_some();
    if !is_named && get(file, ["grid", axis]).is_none() {
        return Err(format!("[grid] has no axis `{axis}` to replace"));
    }
    file.entry("grid").or_insert_with(|| json!({}));
    set_in_section(file, &["grid"], axis, values).ok_or("`grid` is not a section")?;
    Ok(Location::of(["grid", axis]))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_complaints, complaints, expand, expand_as, labels, pointed_at, variant};
    use super::*;

    const VARIANTS: &str = r#"
    [grid]
    batch = [2, 3, 4]
    [strategy.x]
    "acquisition.offset" = 1
    [axis.size.s]
    "pool.init" = 7
    [variant.one]
    rounds = 3
    "acquisition.use" = "sd_rule"
    "model" = { use = "sd_model" }
    [variant.two]
    rounds = 1
    "grid.batch" = [9]
    "strategy.x.acquisition.offset" = 5
    "axis.size.s.pool.init" = 8
    [quick]
    "oracle.genes" = 10
    "#;

    fn form(variants: &[&str], quick: bool) -> ScenarioForm {
        ScenarioForm { variants: variants.iter().map(|v| v.to_string()).collect(), quick }
    }

    fn refused(form: &ScenarioForm, sections: &str) -> Vec<(String, String)> {
        pointed_at(expand_as(form, "", sections))
    }

    #[test]
    fn variants_apply_in_the_order_asked_for() {
        let whole = expand("", VARIANTS);
        assert_eq!((whole.arms.len(), whole.name.as_str(), whole.arms[0].scenario.rounds), (3, "small", 5));
        assert_eq!(whole.variants, ["one", "two"]);
        let both = expand_as(&form(&["one", "two"], false), "", VARIANTS).unwrap();
        assert_eq!((both.name.as_str(), both.arms.len()), ("small-one-two", 1));
        let s = &both.arms[0].scenario;
        assert_eq!((s.rounds, s.batch, s.pool.init), (1, 9, 8));
        assert_eq!(both.arms[0].resolved["acquisition"], json!({ "use": "sd_rule", "offset": 5 }));
        let reversed = expand_as(&form(&["two", "one"], false), "", VARIANTS).unwrap();
        assert_eq!((reversed.name.as_str(), reversed.arms[0].scenario.rounds), ("small-two-one", 3));
    }

    #[test]
    fn the_quick_form_is_small_before_its_overrides() {
        let quick = expand_as(&form(&[], true), "", VARIANTS).unwrap();
        assert_eq!((quick.name.as_str(), quick.seeds.count, quick.arms[0].scenario.rounds), ("small-quick", 2, 2));
        assert_eq!(quick.arms[0].resolved["oracle"]["genes"], 10);
        let more = expand_as(&form(&[], true), "", "[quick]\n\"seeds.count\" = 3\nrounds = 4\n").unwrap();
        assert_eq!((more.seeds.count, more.arms[0].scenario.rounds), (3, 4));
        let one = expand_as(&form(&["two"], true), "", VARIANTS).unwrap();
        assert_eq!((one.name.as_str(), one.arms[0].scenario.rounds), ("small-two-quick", 1), "fewer rounds stay fewer");
    }

    #[test]
    fn a_variant_may_list_the_values_of_an_axis_with_sections() {
        let sections = "[strategy.x]\nbatch = 4\n[strategy.y]\nbatch = 5\n[variant.v]\n\"grid.strategy\" = [\"y\"]\n";
        assert_eq!(labels(&expand("", sections)), ["x", "y"]);
        let sweep = expand_as(&variant("v"), "", sections).unwrap();
        assert_eq!(sweep.arms.len(), 1);
        assert_eq!(sweep.arms[0].scenario.batch, 5);
    }

    #[test]
    fn a_variant_that_the_file_lacks_is_refused_by_name() {
        let text = |name: &str, sections: &str| expand_as(&variant(name), "", sections).unwrap_err().to_string();
        assert_eq!(text("tow", VARIANTS), "small.toml has no variant `tow`; did you mean `two`?");
        assert_eq!(text("entirely", VARIANTS), "small.toml has no variant `entirely`; it has: one, two");
        let none = "small.toml has no variant `v`; it has none, write one as a [variant.v] section";
        assert_eq!(text("v", ""), none);
    }

    #[test]
    fn keys_of_all_variants_are_checked_whatever_the_form() {
        assert_complaints(
            complaints("quick = 3", "[variant.\"a b\"]\nbatch = 1\n[variant.v]\nbach = 1\n\"name\" = \"x\"\n"),
            &[
                ("3", "[quick] holds dotted paths and values, such as \"seeds.count\" = 2"),
                ("\"a b\"", "the name becomes part of a folder's; use letters, digits, `_` and `-` only"),
                ("bach", "unknown key `bach`; did you mean `batch`?"),
                ("\"name\"", "unknown key `name`"),
            ],
        );
    }

    #[test]
    fn an_override_that_cannot_be_set_is_reported_where_it_is_written() {
        let sections = r#"[variant.v]
    "grid.batsh" = [1]
    "strategy.x" = 1
    "strategy.x.batch" = 1
    "axis.size.batch" = 1
    "axis.size.s.batch" = 1
    "batch.x" = 1
    "#;
        assert_complaints(
            refused(&variant("v"), sections),
            &[
                ("\"grid.batsh\"", "[grid] has no axis `batsh` to replace"),
                ("\"strategy.x\"", "name the strategy and what it sets, such as \"strategy.NAME.kernel.use\""),
                ("\"strategy.x.batch\"", "there is no [strategy.x] section"),
                ("\"axis.size.batch\"", "name the axis, its value and what it sets, such as \"axis.NAME.VALUE.batch\""),
                ("\"axis.size.s.batch\"", "there is no [axis.size.s] section"),
                ("\"batch.x\"", "`batch` in `batch.x` is not a section"),
            ],
        );
    }

    #[test]
    fn a_mistake_in_a_setting_is_shown_where_the_last_override_made_it() {
        let sections = r#"[grid]
    batch = [2, 3]
    [variant.v]
    "acquisition.offset" = "a"
    "grid.batch" = [1, "two"]
    [quick]
    "acquisition.offset" = "b"
    "pool.init" = -1
    "#;
        let wrong = "expected a whole number, 0 or more";
        assert_complaints(
            refused(&form(&["v"], true), sections),
            &[
                ("\"two\"", &format!("wrong type: got string \"two\", {wrong}")),
                ("\"b\"", &format!("wrong type: got string \"b\", {wrong}")),
                ("-1", &format!("wrong value: got the number `-1`, {wrong}")),
            ],
        );
    }
}
