//! What may stand under which key of a file, and the check of a whole table, plugins within plugins included, that goes on
//! after a mistake and finds the next.

use super::path::{Location, Mistake, Step};
use crate::error::{Result, hint};
use crate::plugin::{self, Entry, Kind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Reads a value and writes it back with its defaults; an error says where in the value, and what.
type Check = fn(Value) -> Result<Value, (String, String)>;

/// What may stand under a key of a file.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    /// A plugin of a kind.
    Plugin(Kind),
    /// Named sections, each a plugin of a kind.
    Plugins(Kind),
    /// A value of a type: the fields of a struct, none of other types, and the check.
    Typed(fn() -> &'static [&'static str], Check),
}

impl Shape {
    /// A value of type `T`.
    pub(crate) const fn of<T: DeserializeOwned + Serialize>() -> Self {
        Shape::Typed(plugin::fields::<T>, plugin::check::<T>)
    }
}

/// A key of a file, what may stand there, and whether it must.
pub(crate) type Slot = (&'static str, Shape, bool);

/// Checks a whole table against its slots; keys in `also` are known and checked elsewhere.
pub(crate) fn check_table(table: &Map<String, Value>, slots: &[Slot], also: &[&str], mistakes: &mut Vec<Mistake>) {
    let known: Vec<&str> = slots.iter().map(|s| s.0).chain(also.iter().copied()).collect();
    let top = Location::default();
    for key in table.keys().filter(|k| !known.contains(&k.as_str())) {
        mistakes.push(unknown_key(key, &known, &top));
    }
    for (key, shape, required) in slots {
        match table.get(*key) {
            Some(value) => check_slot(key, value, *shape, mistakes),
            None if *required => {
                mistakes.push(Mistake::in_value(top.clone(), format!("the key `{key}` is missing{}", example_of(key))))
            }
            None => {}
        }
    }
}

fn check_slot(key: &str, value: &Value, shape: Shape, mistakes: &mut Vec<Mistake>) {
    let location = Location::of([key]);
    match (shape, value) {
        (Shape::Plugin(kind), _) => {
            check_plugin(value, Some(kind), &location, mistakes);
        }
        (Shape::Plugins(kind), Value::Object(sections)) => {
            for (name, value) in sections {
                check_plugin(value, Some(kind), &location.key(name), mistakes);
            }
        }
        (Shape::Plugins(_), _) => {
            mistakes.push(Mistake::in_value(location, format!("`{key}` holds named sections; write [{key}.NAME]")));
        }
        (Shape::Typed(fields, check), _) => check_fields(value.clone(), fields(), check, &location, mistakes),
    }
}

fn example_of(key: &str) -> &'static str {
    match key {
        "name" => "; add a line such as name = \"my_screen\"",
        "seeds" => "; add seeds = { from = 0, count = 10 }",
        "metrics" => "; add metrics = [\"rmse\", \"hit_ratio\"]",
        "rounds" => "; add rounds = 5",
        "batch" => "; add batch = 100",
        "oracle" => "; add an [oracle] section, for example use = \"screen_table\"",
        "text" => "; add the claim in words",
        "better" | "than" => "; choose arms like [compare] reference, for example { \"acquisition\" = \"random\" }",
        "acquisition" => "; add an [acquisition] section, for example use = \"random\"",
        _ => "",
    }
}

fn unknown_key(key: &str, known: &[&str], table: &Location) -> Mistake {
    let near = hint(key, known.iter().copied());
    let list = if near.is_empty() { format!("; known here: {}", known.join(", ")) } else { near };
    Mistake::in_key(table.key(key), format!("unknown key `{key}`{list}"))
}

/// Checks a value of type `T`; all its mistakes are found.
pub(crate) fn check_typed<T: DeserializeOwned + Serialize>(
    value: &Value,
    location: &Location,
    mistakes: &mut Vec<Mistake>,
) {
    check_fields(value.clone(), plugin::fields::<T>(), plugin::check::<T>, location, mistakes);
}

fn check_fields(mut value: Value, fields: &[&str], check: Check, location: &Location, mistakes: &mut Vec<Mistake>) {
    if let (Value::Object(map), false) = (&mut value, fields.is_empty()) {
        let unknown: Vec<String> = map.keys().filter(|k| !fields.contains(&k.as_str())).cloned().collect();
        for key in unknown {
            mistakes.push(unknown_key(&key, fields, location));
            map.remove(&key);
        }
    }
    check_repeatedly(value, vec![], check, location, mistakes);
}

/// Repeats a check, each time without the field that failed it, until nothing more is found. Fields that were `removed`
/// are not reported as missing.
fn check_repeatedly(
    mut value: Value,
    mut removed: Vec<String>,
    check: Check,
    location: &Location,
    mistakes: &mut Vec<Mistake>,
) {
    while let Err((inner, text)) = check(value.clone()) {
        if let Some(missing) = text.strip_prefix("missing field `").and_then(|t| t.strip_suffix('`')) {
            if !removed.iter().any(|r| r == missing) {
                let text = format!("the key `{missing}` is missing here{}", example_of(missing));
                mistakes.push(Mistake::in_key(location.clone(), text));
            }
            return;
        }
        let inner = Location::parse(&inner);
        mistakes.push(Mistake::in_value(location.join(inner.steps()), in_plain_words(&text)));
        let Some(Step::Key(field)) = inner.steps().first() else { return };
        if value.as_object_mut().is_none_or(|m| m.remove(field).is_none()) {
            return;
        }
        removed.push(field.clone());
    }
}

/// A message of serde in the words of a scenario file.
fn in_plain_words(text: &str) -> String {
    let mut t = text.replace("invalid type: ", "wrong type: got ").replace("invalid value: ", "wrong value: got ");
    for (from, to) in [
        ("expected usize", "expected a whole number, 0 or more"),
        ("expected u64", "expected a whole number, 0 or more"),
        ("expected u32", "expected a whole number, 0 or more"),
        ("expected f64", "expected a number"),
        ("expected a boolean", "expected true or false"),
        ("expected a sequence", "expected a list in [ ]"),
        ("expected path string", "expected a file path in quotes"),
        ("expected a string", "expected text in quotes"),
        ("floating point `", "the number `"),
        ("integer `", "the number `"),
    ] {
        t = t.replace(from, to);
    }
    if let Some(rest) = t.strip_prefix("unknown variant `")
        && let Some((word, list)) = rest.split_once("`, expected ")
    {
        let known: Vec<&str> = list.split('`').skip(1).step_by(2).collect();
        return format!("unknown word `{word}`{}; known: {}", hint(word, known.iter().copied()), known.join(", "));
    }
    t
}

/// Checks one plugin table, nested plugins included; false if anything was wrong. Nested plugins may be of any kind: the
/// check of the plugin around them knows which.
fn check_plugin(value: &Value, kind: Option<Kind>, location: &Location, mistakes: &mut Vec<Mistake>) -> bool {
    let (entry, table) = match find_plugin(value, kind, location) {
        Ok(found) => found,
        Err(mistake) => {
            mistakes.push(mistake);
            return false;
        }
    };
    let before = mistakes.len();
    let fields = (entry.fields)();
    let mut sound = Map::new();
    let mut removed = Vec::new();
    for (key, value) in table.iter().filter(|(k, _)| *k != "use") {
        if !fields.contains(&key.as_str()) {
            mistakes.push(unknown_key(key, fields, location));
        } else if check_nested(value, &location.key(key), mistakes) {
            sound.insert(key.clone(), value.clone());
        } else {
            removed.push(key.clone());
        }
    }
    check_repeatedly(Value::Object(sound), removed, entry.check, location, mistakes);
    mistakes.len() == before
}

/// The plugin that a table names, and the table.
fn find_plugin<'a>(
    value: &'a Value,
    kind: Option<Kind>,
    location: &Location,
) -> Result<(&'static Entry, &'a Map<String, Value>), Mistake> {
    let what = kind.map_or("plugin", Kind::word);
    let names = || -> Vec<&'static str> {
        plugin::catalogue().into_iter().filter(|e| kind.is_none_or(|k| e.kind == k)).map(|e| e.name).collect()
    };
    let Value::Object(table) = value else {
        let example = names().first().copied().unwrap_or("NAME");
        let text = format!("expected a table such as {{ use = \"{example}\" }}");
        return Err(Mistake::in_value(location.clone(), text));
    };
    let in_use = |text| Mistake::in_value(location.key("use"), text);
    let name = match table.get("use") {
        Some(Value::String(name)) => name,
        Some(_) => return Err(in_use("wrong type: expected the name of a plugin in quotes".into())),
        None => {
            let text = format!("say which {what} with use = \"NAME\"; known: {}", names().join(", "));
            return Err(Mistake::in_key(location.clone(), text));
        }
    };
    let Some(entry) = plugin::find(name) else {
        let near = hint(name, names());
        let list = if near.is_empty() { format!("; known: {}", names().join(", ")) } else { near };
        return Err(in_use(format!("unknown {what} `{name}`{list}")));
    };
    if kind.is_some_and(|k| k != entry.kind) {
        let (is, list) = (entry.kind.word(), names().join(", "));
        return Err(in_use(format!("`{name}` is of kind {is}, not {what}; known: {list}")));
    }
    Ok((entry, table))
}

/// Checks the plugins in a parameter: one, or those of a list; true where there are none.
fn check_nested(value: &Value, location: &Location, mistakes: &mut Vec<Mistake>) -> bool {
    let is_plugin = |v: &Value| v.as_object().is_some_and(|m| m.contains_key("use"));
    match value {
        Value::Array(list) => {
            let plugins = list.iter().enumerate().filter(|(_, v)| is_plugin(v));
            plugins.fold(true, |ok, (i, v)| check_plugin(v, None, &location.item(i), mistakes) && ok)
        }
        _ => !is_plugin(value) || check_plugin(value, None, location, mistakes),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_complaints, complaints, document, pointed_at};
    use super::*;
    use crate::scenario::PoolRules;

    const SLOTS: &[Slot] = &[
        ("batch", Shape::of::<usize>(), true),
        ("pool", Shape::of::<PoolRules>(), false),
        ("kernel", Shape::Plugin(Kind::Kernel), false),
        ("prior", Shape::Plugins(Kind::Prior), false),
    ];

    fn check(text: &str) -> Vec<(String, String)> {
        let doc = document(text);
        let mut mistakes = vec![];
        check_table(&doc.value, SLOTS, &["elsewhere"], &mut mistakes);
        if mistakes.is_empty() { vec![] } else { pointed_at::<()>(Err(doc.report(&mistakes))) }
    }

    #[test]
    fn what_is_right_passes() {
        let text = "batch = 3\nelsewhere = 1\n[pool]\ntest = 0.5\n[prior.a]\nuse = \"any_prior\"\n[kernel]\nuse = \"any_kernel\"\nlength = 1.0\n";
        assert_complaints(check(text), &[]);
    }

    #[test]
    fn all_mistakes_of_a_table_are_found_at_once() {
        assert_complaints(
            check("bach = 3\n[pool]\ninit = -1\ntest = \"half\"\nexhausted = \"stp\"\ninitial = 2\n[prior.a]\n"),
            &[
                ("bach", "unknown key `bach`; did you mean `batch`?"),
                ("b", "the key `batch` is missing; add batch = 100"),
                ("-1", "wrong value: got the number `-1`, expected a whole number, 0 or more"),
                ("\"half\"", "wrong type: got string \"half\", expected a number"),
                ("\"stp\"", "unknown word `stp`; did you mean `stop`?; known: error, stop"),
                (
                    "initial",
                    "unknown key `initial`; known here: covered_by, missing, compose, test, init, exhausted, symbol_updates, genes",
                ),
                ("a", "say which prior with use = \"NAME\"; known: any_prior"),
            ],
        );
    }

    #[test]
    fn plugins_are_checked_within_plugins() {
        let text = "batch = 3\nkernel = { use = \"any_kernel\", length = \"x\", steps = [{ use = \"any_kernel\", length = 1 }, \
                    { use = \"any_kernl\" }], of = { use = \"any_kernel\", lenght = 2 } }\n";
        assert_complaints(
            check(text),
            &[
                ("\"x\"", "wrong type: got string \"x\", expected a number"),
                ("\"any_kernl\"", "unknown plugin `any_kernl`; did you mean `any_kernel`?"),
                ("of", "the key `length` is missing here"),
                ("lenght", "unknown key `lenght`; did you mean `length`?"),
            ],
        );
    }

    #[test]
    fn what_was_wrong_is_not_called_missing_too() {
        assert_complaints(
            check("batch = 3\n[kernel]\nuse = \"any_kernel\"\nlength = true\n"),
            &[("true", "wrong type: got boolean `true`, expected a number")],
        );
    }

    #[test]
    fn a_plugin_of_another_kind_or_none_is_refused() {
        assert_complaints(
            check("batch = 3\nkernel = { use = \"any_prior\" }\nprior = { a = 3, b = { use = 4 } }\n"),
            &[
                ("\"any_prior\"", "`any_prior` is of kind prior, not kernel; known: any_kernel"),
                ("3", "expected a table such as { use = \"any_prior\" }"),
                ("4", "wrong type: expected the name of a plugin in quotes"),
            ],
        );
        assert_complaints(
            check("batch = 3\nprior = 5\n"),
            &[("5", "`prior` holds named sections; write [prior.NAME]")],
        );
    }

    #[test]
    fn a_nested_plugin_of_another_kind_is_refused_by_the_one_around_it() {
        let found = complaints("kernel = { use = \"any_kernel\", length = 1, of = { use = \"any_prior\" } }", "");
        assert_eq!(found.len(), 1);
        assert!(found[0].1.contains("any_prior"), "{found:?}");
    }
}
