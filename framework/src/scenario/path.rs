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
pub(crate) fn get<'a>(
    table: &'a Map<String, Value>,
    keys: impl IntoIterator<Item = impl AsRef<str>>,
) -> Option<&'a Value> {
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
