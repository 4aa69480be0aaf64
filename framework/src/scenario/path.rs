//! Where things are in a file: steps from its top, dotted paths such as `oracle.genes`, and moving a mistake from the
//! setting that is wrong to the line that set it.

use crate::plugin;
use serde_json::{Map, Value, json};

/// One step into a file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Key of a table.
    Key(String),
    /// Position in an array.
    Item(usize),
}

/// Steps from the top of a file to a key or value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Location(Vec<Step>);

impl Location {
    /// Behind keys of tables, outermost first.
    pub fn of<K: Into<String>>(keys: impl IntoIterator<Item = K>) -> Self {
        Self(keys.into_iter().map(|k| Step::Key(k.into())).collect())
    }

    /// Behind a path as scenario files write it: `oracle.genes`.
    pub(crate) fn dotted(path: &str) -> Self {
        Self::of(path.split('.'))
    }

    /// Behind a path as deserialisers write it: `steps[2].sigma`.
    pub(crate) fn parse(path: &str) -> Self {
        let mut steps = Vec::new();
        for part in path.split('.').filter(|p| !p.is_empty()) {
            let (key, rest) = part.split_once('[').unwrap_or((part, ""));
            if !key.is_empty() {
                steps.push(Step::Key(key.into()));
            }
            steps.extend(rest.split('[').filter_map(|i| i.trim_end_matches(']').parse().ok()).map(Step::Item));
        }
        Self(steps)
    }

    /// The value of a key here.
    pub fn key(&self, key: &str) -> Self {
        self.join(&[Step::Key(key.into())])
    }

    /// An item of the list here.
    pub fn item(&self, position: usize) -> Self {
        self.join(&[Step::Item(position)])
    }

    /// What `inside` leads to from here.
    pub(crate) fn join(&self, inside: &[Step]) -> Self {
        Self([&self.0, inside].concat())
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.0
    }
}

/// Something wrong in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Mistake {
    /// Where.
    pub location: Location,
    /// Whether the key there is meant, rather than its value.
    pub on_key: bool,
    /// What is wrong and what to do about it.
    pub text: String,
}

impl Mistake {
    /// In the value behind `keys`.
    pub fn at(keys: &[&str], text: impl Into<String>) -> Self {
        Self::in_value(Location::of(keys.iter().copied()), text)
    }

    /// In a value.
    pub fn in_value(location: Location, text: impl Into<String>) -> Self {
        Self { location, on_key: false, text: text.into() }
    }

    /// In a key, or in the header of a section.
    pub fn in_key(location: Location, text: impl Into<String>) -> Self {
        Self { location, on_key: true, text: text.into() }
    }
}

/// The value behind `keys`, outermost first.
pub(crate) fn get(table: &Map<String, Value>, keys: impl IntoIterator<Item = impl AsRef<str>>) -> Option<&Value> {
    let mut keys = keys.into_iter();
    let first = table.get(keys.next()?.as_ref())?;
    keys.try_fold(first, |value, key| value.get(key.as_ref()))
}

/// The value behind a dotted path.
pub(crate) fn get_dotted<'a>(table: &'a Map<String, Value>, path: &str) -> Option<&'a Value> {
    get(table, path.split('.'))
}

/// Sets `key` in the existing section behind `section`; `None` if there is no such section.
pub(crate) fn set_in_section(table: &mut Map<String, Value>, section: &[&str], key: &str, value: Value) -> Option<()> {
    let mut at = table;
    for k in section {
        at = at.get_mut(*k)?.as_object_mut()?;
    }
    at.insert(key.to_string(), value);
    Some(())
}

/// Sets the value behind a dotted path, adding the sections on the way there.
pub(crate) fn set_dotted(table: &mut Map<String, Value>, path: &str, value: Value) -> Result<(), String> {
    let (sections, last) = path.rsplit_once('.').map_or((None, path), |(s, last)| (Some(s), last));
    let mut at = table;
    for key in sections.into_iter().flat_map(|s| s.split('.')) {
        let next = at.entry(key.to_string()).or_insert_with(|| json!({}));
        at = next.as_object_mut().ok_or_else(|| format!("`{key}` in `{path}` is not a section"))?;
    }
    // Another plugin keeps only those parameters of the one before that it has too.
    if last == "use"
        && let Some(entry) = value.as_str().and_then(plugin::find)
    {
        at.retain(|k, _| (entry.fields)().contains(&k.as_str()));
    }
    at.insert(last.to_string(), value);
    Ok(())
}

/// The first key of a dotted path.
pub(crate) fn head(path: &str) -> &str {
    path.split('.').next().unwrap_or(path)
}

/// Where a file says what a setting is, for settings that a variant, the quick form or the grid makes.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// The setting, as if the file had made it in its own section.
    pub(crate) setting: Location,
    /// Where the file says so.
    pub(crate) written: Location,
    /// Whether a word is written there that stands for the value: then nothing inside the value has a place in the file.
    pub(crate) is_word: bool,
}

impl Origin {
    fn covers(&self, m: &Mistake) -> bool {
        m.location.0.starts_with(&self.setting.0)
    }

    fn relocate(&self, m: &mut Mistake) {
        let inside = if self.is_word { &[][..] } else { &m.location.0[self.setting.0.len()..] };
        m.on_key &= !inside.is_empty();
        m.location = self.written.join(inside);
    }
}

/// Moves a mistake to where the last of the settings around it is written.
pub(crate) fn relocate_to_last(m: &mut Mistake, origins: &[Origin]) {
    if let Some(origin) = origins.iter().rev().find(|o| o.covers(m)) {
        origin.relocate(m);
    }
}

/// Moves a mistake to where the closest of the settings around it is written, the first of equally close ones.
pub(crate) fn relocate_to_closest(m: &mut Mistake, origins: &[&Origin]) {
    if let Some(origin) = origins.iter().rev().filter(|o| o.covers(m)).max_by_key(|o| o.setting.0.len()) {
        origin.relocate(m);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(setting: &str, written: &[&str]) -> Origin {
        Origin { setting: Location::dotted(setting), written: Location::of(written.iter().copied()), is_word: false }
    }

    #[test]
    fn locations_are_read_as_files_and_as_deserialisers_write_them() {
        assert_eq!(Location::dotted("oracle.genes"), Location::of(["oracle"]).key("genes"));
        assert_eq!(Location::parse("steps[2].sigma"), Location::of(["steps"]).item(2).key("sigma"));
        assert_eq!(Location::parse("rows[0][1]"), Location::of(["rows"]).item(0).item(1));
        assert_eq!(Location::parse(""), Location::default());
    }

    #[test]
    fn dotted_paths_add_sections_and_go_through_no_value() {
        let mut table = Map::new();
        set_dotted(&mut table, "oracle.genes", json!(5)).unwrap();
        set_dotted(&mut table, "batch", json!(2)).unwrap();
        assert_eq!(Value::Object(table.clone()), json!({ "oracle": { "genes": 5 }, "batch": 2 }));
        assert_eq!(get_dotted(&table, "oracle.genes"), Some(&json!(5)));
        assert_eq!(get_dotted(&table, "oracle.genes.x"), None);
        assert_eq!(get_dotted(&table, "batch"), Some(&json!(2)));
        let refused = set_dotted(&mut table, "oracle.genes.x", json!(1));
        assert_eq!(refused.unwrap_err(), "`genes` in `oracle.genes.x` is not a section");
        assert_eq!(set_in_section(&mut table, &["oracle"], "a.b", json!(1)), Some(()));
        assert_eq!(table["oracle"]["a.b"], json!(1), "a key of a section may have dots of its own");
        assert_eq!(set_in_section(&mut table, &["orakel"], "a", json!(1)), None);
        assert_eq!(set_in_section(&mut table, &["batch"], "a", json!(1)), None);
    }

    #[test]
    fn another_plugin_keeps_only_parameters_that_it_has() {
        let mut table = Map::new();
        table.insert("acquisition".into(), json!({ "use": "any_rule", "offset": 1, "width": 2 }));
        set_dotted(&mut table, "acquisition.use", json!("sd_rule")).unwrap();
        assert_eq!(table["acquisition"], json!({ "use": "sd_rule", "offset": 1 }));
        set_dotted(&mut table, "acquisition.use", json!("no_such_rule")).unwrap();
        assert_eq!(table["acquisition"], json!({ "use": "no_such_rule", "offset": 1 }));
    }

    #[test]
    fn mistakes_move_to_the_closest_or_to_the_last_setting_around_them() {
        let origins = [
            origin("kernel.steps", &["variant", "v", "kernel.steps"]),
            origin("kernel", &["grid", "kernel"]),
            origin("batch", &["grid", "batch"]),
            origin("kernel.steps", &["quick", "kernel.steps"]),
        ];
        let found = Mistake::in_value(Location::parse("kernel.steps[1].p"), "wrong");
        let mut closest = found.clone();
        relocate_to_closest(&mut closest, &origins.iter().collect::<Vec<_>>());
        assert_eq!(closest.location, Location::of(["variant", "v", "kernel.steps"]).item(1).key("p"));
        let mut last = found.clone();
        relocate_to_last(&mut last, &origins[..3]);
        assert_eq!(last.location, Location::of(["grid", "kernel", "steps"]).item(1).key("p"));
        let mut elsewhere = Mistake::at(&["kernels"], "wrong");
        relocate_to_last(&mut elsewhere, &origins);
        assert_eq!(elsewhere.location, Location::of(["kernels"]), "a longer key is another key");
    }

    #[test]
    fn a_moved_mistake_means_a_key_only_inside_the_value() {
        let grid = origin("kernel", &["grid", "kernel"]);
        let mut whole = Mistake::in_key(Location::of(["kernel"]), "wrong");
        relocate_to_last(&mut whole, std::slice::from_ref(&grid));
        assert!(!whole.on_key, "the section became a value of a list");
        let mut inside = Mistake::in_key(Location::of(["kernel", "lenght"]), "wrong");
        relocate_to_last(&mut inside, &[grid]);
        assert!(inside.on_key);
        let word = Origin { is_word: true, ..origin("priors", &["grid", "prior"]) };
        let mut item = Mistake::in_value(Location::of(["priors"]).item(3), "wrong");
        relocate_to_last(&mut item, &[word]);
        assert_eq!(item.location, Location::of(["grid", "prior"]), "a word has no fourth item");
    }
}
