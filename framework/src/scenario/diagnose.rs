//! Finding every mistake of a file at once and showing each with its line, a caret and a remedy.

use crate::error::{Error, Result, hint};
use crate::plugin::{self, Kind};
use serde_json::{Map, Value};
use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One step into a file: a key or a position in a list.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Key of a table.
    Key(String),
    /// Position in an array.
    At(usize),
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct Mistake {
    /// Where, as steps from the top of the file.
    pub path: Vec<Step>,
    /// Whether the key is meant rather than its value.
    pub at_key: bool,
    /// What is wrong and what to do.
    pub text: String,
}

impl Mistake {
    /// At the value behind a dotted path.
    pub fn at(path: &[&str], text: impl Into<String>) -> Self {
        Self { path: path.iter().map(|k| Step::Key(k.to_string())).collect(), at_key: false, text: text.into() }
    }
}

/// A TOML file with the place of everything in it.
pub struct Document {
    /// Where it was read from.
    pub path: PathBuf,
    text: String,
    spans: Spanned<DeTable<'static>>,
    /// Its content.
    pub value: Map<String, Value>,
}

/// What may stand under a key of a file.
#[derive(Clone, Copy)]
pub(crate) enum Shape {
    Plugin(Kind),
    Plugins(Kind),
    Typed(fn() -> &'static [&'static str], fn(Value) -> Result<Value, (String, String)>),
}

/// A key of a file, what may stand there, and whether it must.
pub(crate) type Slot = (&'static str, Shape, bool);

impl Document {
    /// Reads a file; a syntax error is shown at its place.
    pub fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .map_err(|e| Error::Config(format!("{}: cannot be read: {e}; check the path", path.display())))?;
        Self::parse(path, text)
    }

    /// From text; `path` is only for messages.
    pub fn parse(path: &Path, text: String) -> Result<Self> {
        let syntax = |e: toml::de::Error| {
            let span = e.span().unwrap_or(0..0);
            Error::Config(format!(
                "error: {} is not valid TOML\n{}",
                path.display(),
                caret(path, &text, span, e.message())
            ))
        };
        let spans = DeTable::parse(&text).map_err(syntax)?;
        let table: toml::Table = toml::from_str(&text).map_err(syntax)?;
        let value = match serde_json::to_value(&table) {
            Ok(Value::Object(m)) => m,
            _ => return Err(Error::Config(format!("{}: not a table", path.display()))),
        };
        let spans = Spanned::new(spans.span(), own(spans.into_inner()));
        Ok(Self { path: path.to_owned(), text, spans, value })
    }

    /// Keys of a table, named with its parents as in its header, in the order in which they are written.
    pub(crate) fn keys(&self, table: &str) -> Vec<String> {
        let mut at = self.spans.get_ref();
        for key in table.split('.') {
            match at.get(key).map(|v| v.get_ref()) {
                Some(DeValue::Table(t)) => at = t,
                _ => return vec![],
            }
        }
        at.keys().map(|k| k.get_ref().to_string()).collect()
    }

    /// The comment lines at the top of the file, joined.
    pub fn question(&self) -> String {
        let lines: Vec<&str> =
            self.text.lines().take_while(|l| l.starts_with('#')).map(|l| l.trim_start_matches('#').trim()).collect();
        lines.join(" ")
    }

    /// All mistakes as one message.
    pub fn report(&self, mistakes: &[Mistake]) -> Error {
        let n = mistakes.len();
        let mut out = format!("error: {} has {n} mistake{}", self.path.display(), if n == 1 { "" } else { "s" });
        let mut placed: Vec<(Range<usize>, &str)> = Vec::new();
        for m in mistakes {
            let here = (self.span(&m.path, m.at_key), m.text.as_str());
            if !placed.contains(&here) {
                placed.push(here);
            }
        }
        placed.sort_by_key(|p| p.0.start);
        if placed.len() != n {
            let n = placed.len();
            out = format!("error: {} has {n} mistake{}", self.path.display(), if n == 1 { "" } else { "s" });
        }
        for (span, text) in placed {
            out.push('\n');
            out.push_str(&caret(&self.path, &self.text, span, text));
        }
        Error::Config(out)
    }

    /// The place of a path, or of its nearest existing parent.
    fn span(&self, path: &[Step], at_key: bool) -> Range<usize> {
        let mut best = 0..0;
        let mut table = Some(self.spans.get_ref());
        let mut array: Option<&[Spanned<DeValue>]> = None;
        for step in path {
            let (key, value) = match step {
                Step::Key(k) => match table.and_then(|t| t.iter().find(|(key, _)| key.get_ref() == k)) {
                    Some((key, v)) => (key.span(), v),
                    None => return best,
                },
                Step::At(i) => match array.and_then(|a| a.get(*i)) {
                    Some(v) => (v.span(), v),
                    None => return best,
                },
            };
            table = None;
            array = None;
            // The span of a [section] is its whole body; its name is the better place to point at.
            let mut is_section = false;
            match value.get_ref() {
                DeValue::Table(t) => {
                    is_section = self.text.as_bytes().get(value.span().start) == Some(&b'[');
                    table = Some(t);
                }
                DeValue::Array(a) => array = Some(a.as_ref()),
                _ => {}
            }
            let last = std::ptr::eq(step, &path[path.len() - 1]);
            best = if (last && at_key) || is_section { key } else { value.span() };
        }
        best
    }
}

/// The tree of keys and places without its borrow of the text. Only places and shapes are read from it.
fn own(table: DeTable<'_>) -> DeTable<'static> {
    fn value(v: DeValue<'_>) -> DeValue<'static> {
        match v {
            DeValue::Table(t) => DeValue::Table(own(t)),
            DeValue::Array(a) => DeValue::Array(
                a.into_iter()
                    .map(|v| {
                        let span = v.span();
                        Spanned::new(span, value(v.into_inner()))
                    })
                    .collect(),
            ),
            DeValue::Boolean(b) => DeValue::Boolean(b),
            _ => DeValue::Boolean(false),
        }
    }
    table
        .into_iter()
        .map(|(k, v)| {
            let (ks, vs) = (k.span(), v.span());
            (
                Spanned::new(ks, std::borrow::Cow::Owned(k.into_inner().into_owned())),
                Spanned::new(vs, value(v.into_inner())),
            )
        })
        .collect()
}

/// The line of a place with a caret under it.
fn caret(path: &Path, text: &str, span: Range<usize>, message: &str) -> String {
    let start = span.start.min(text.len());
    let line_start = text[..start].rfind('\n').map_or(0, |i| i + 1);
    let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
    let line_no = text[..start].matches('\n').count() + 1;
    let column = text[line_start..start].chars().count();
    let width = text[start..span.end.clamp(start, line_end)].chars().count().max(1);
    let gutter = line_no.to_string().len();
    let mut out = String::new();
    let _ = writeln!(out, "{:gutter$}--> {}:{line_no}:{}", "", path.display(), column + 1);
    let _ = writeln!(out, "{:gutter$} |", "");
    let _ = writeln!(out, "{line_no} | {}", &text[line_start..line_end]);
    let _ = write!(out, "{:gutter$} | {:column$}{} {message}", "", "", "^".repeat(width));
    out
}

/// Checks a whole table against its slots.
pub(crate) fn check_table(table: &Map<String, Value>, slots: &[Slot], also: &[&str], mistakes: &mut Vec<Mistake>) {
    let known: Vec<&str> = slots.iter().map(|s| s.0).chain(also.iter().copied()).collect();
    for key in table.keys() {
        if !known.contains(&key.as_str()) {
            unknown_key(key, &known, &[], mistakes);
        }
    }
    for (key, shape, required) in slots {
        let path = [Step::Key(key.to_string())];
        match (table.get(*key), shape) {
            (None, _) if *required => mistakes.push(Mistake {
                path: vec![],
                at_key: false,
                text: format!("the key `{key}` is missing{}", example_of(key)),
            }),
            (None, _) => {}
            (Some(v), Shape::Plugin(kind)) => {
                check_plugin(v, Some(*kind), &path, mistakes);
            }
            (Some(Value::Object(map)), Shape::Plugins(kind)) => {
                for (name, v) in map {
                    check_plugin(v, Some(*kind), &[path[0].clone(), Step::Key(name.clone())], mistakes);
                }
            }
            (Some(_), Shape::Plugins(_)) => mistakes.push(Mistake {
                path: path.to_vec(),
                at_key: false,
                text: format!("`{key}` holds named sections; write [{key}.NAME]"),
            }),
            (Some(v), Shape::Typed(fields, check)) => check_typed(v.clone(), fields(), *check, &path, mistakes),
        }
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

fn unknown_key(key: &str, known: &[&str], path: &[Step], mistakes: &mut Vec<Mistake>) {
    let near = hint(key, known.iter().copied());
    let list = if near.is_empty() { format!("; known here: {}", known.join(", ")) } else { near };
    let mut path = path.to_vec();
    path.push(Step::Key(key.into()));
    mistakes.push(Mistake { path, at_key: true, text: format!("unknown key `{key}`{list}") });
}

/// Repeats a typed check, taking out each offender, until nothing more is found.
pub(crate) fn check_typed(
    mut value: Value,
    fields: &[&str],
    check: fn(Value) -> Result<Value, (String, String)>,
    path: &[Step],
    mistakes: &mut Vec<Mistake>,
) {
    let mut removed: Vec<String> = Vec::new();
    if let (Value::Object(map), false) = (&mut value, fields.is_empty()) {
        let unknown: Vec<String> = map.keys().filter(|k| !fields.contains(&k.as_str())).cloned().collect();
        for key in unknown {
            unknown_key(&key, fields, path, mistakes);
            map.remove(&key);
        }
    }
    finish_typed(value, check, path, &mut removed, mistakes);
}

fn finish_typed(
    mut value: Value,
    check: fn(Value) -> Result<Value, (String, String)>,
    path: &[Step],
    removed: &mut Vec<String>,
    mistakes: &mut Vec<Mistake>,
) {
    while let Err((inner, text)) = check(value.clone()) {
        if let Some(missing) = text.strip_prefix("missing field `").and_then(|t| t.strip_suffix('`')) {
            if !removed.iter().any(|r| r == missing) {
                let text = format!("the key `{missing}` is missing here{}", example_of(missing));
                mistakes.push(Mistake { path: path.to_vec(), at_key: true, text });
            }
            return;
        }
        let steps = parse_path(&inner);
        let mut full = path.to_vec();
        full.extend(steps.iter().cloned());
        mistakes.push(Mistake { path: full, at_key: false, text: plain(&text) });
        match steps.first() {
            Some(Step::Key(k)) => {
                removed.push(k.clone());
                if value.as_object_mut().is_none_or(|m| m.remove(k).is_none()) {
                    return;
                }
            }
            _ => return,
        }
    }
}

fn parse_path(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in text.split('.').filter(|p| !p.is_empty()) {
        let (key, rest) = part.split_once('[').map_or((part, ""), |(k, r)| (k, r));
        if !key.is_empty() {
            steps.push(Step::Key(key.into()));
        }
        steps.extend(rest.split('[').filter_map(|i| i.trim_end_matches(']').parse().ok()).map(Step::At));
    }
    steps
}

/// A serde message in the words of a scenario file.
fn plain(text: &str) -> String {
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

/// Checks one plugin table, nested plugins included; false if anything was wrong.
fn check_plugin(value: &Value, kind: Option<Kind>, path: &[Step], mistakes: &mut Vec<Mistake>) -> bool {
    let before = mistakes.len();
    let what = kind.map_or("plugin", Kind::word);
    let here = |text: String| Mistake { path: path.to_vec(), at_key: true, text };
    let names = || -> Vec<&'static str> {
        plugin::catalogue().into_iter().filter(|e| kind.is_none_or(|k| e.kind == k)).map(|e| e.name).collect()
    };
    let Value::Object(map) = value else {
        mistakes.push(Mistake {
            at_key: false,
            ..here(format!("expected a table such as {{ use = \"{}\" }}", names().first().unwrap_or(&"NAME")))
        });
        return false;
    };
    let Some(name) = map.get("use") else {
        mistakes.push(here(format!("say which {what} with use = \"NAME\"; known: {}", names().join(", "))));
        return false;
    };
    let mut at_use = path.to_vec();
    at_use.push(Step::Key("use".into()));
    let at_use = |text| Mistake { path: at_use.clone(), at_key: false, text };
    let Value::String(name) = name else {
        mistakes.push(at_use("wrong type: expected the name of a plugin in quotes".into()));
        return false;
    };
    let Some(entry) = plugin::find(name) else {
        let near = hint(name, names());
        let list = if near.is_empty() { format!("; known: {}", names().join(", ")) } else { near };
        mistakes.push(at_use(format!("unknown {what} `{name}`{list}")));
        return false;
    };
    if kind.is_some_and(|k| k != entry.kind) {
        let (is, list) = (entry.kind.word(), names().join(", "));
        mistakes.push(at_use(format!("`{name}` is of kind {is}, not {what}; known: {list}")));
        return false;
    }
    let fields = (entry.fields)();
    let mut rest = map.clone();
    rest.remove("use");
    let mut removed = Vec::new();
    for (key, v) in map.iter().filter(|(k, _)| *k != "use") {
        let mut inner = path.to_vec();
        inner.push(Step::Key(key.clone()));
        if !fields.contains(&key.as_str()) {
            unknown_key(key, fields, path, mistakes);
            rest.remove(key);
            continue;
        }
        let nested_ok = match v {
            Value::Object(m) if m.contains_key("use") => check_plugin(v, None, &inner, mistakes),
            Value::Array(list) => {
                let mut ok = true;
                for (i, v) in list.iter().enumerate() {
                    if v.as_object().is_some_and(|m| m.contains_key("use")) {
                        let mut at = inner.clone();
                        at.push(Step::At(i));
                        ok &= check_plugin(v, None, &at, mistakes);
                    }
                }
                ok
            }
            _ => true,
        };
        if !nested_ok {
            rest.remove(key);
            removed.push(key.clone());
        }
    }
    finish_typed(Value::Object(rest), entry.check, path, &mut removed, mistakes);
    mistakes.len() == before
}
