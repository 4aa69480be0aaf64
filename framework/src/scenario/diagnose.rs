//! A TOML file with the place of everything in it, and its mistakes shown with their lines and a caret each.

use super::path::{Location, Mistake, Step};
use crate::error::{Error, Result};
use serde_json::{Map, Value};
use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A TOML file with the place of everything in it.
pub struct Document {
    /// Where it was read from.
    pub path: PathBuf,
    text: String,
    spans: Spanned<DeTable<'static>>,
    /// Its content.
    pub value: Map<String, Value>,
}

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

    /// All mistakes as one message, in the order of the file; the same mistake at the same place is shown once.
    pub fn report(&self, mistakes: &[Mistake]) -> Error {
        let mut placed: Vec<(Range<usize>, &str)> = Vec::new();
        for m in mistakes {
            let here = (self.span(&m.location, m.on_key), m.text.as_str());
            if !placed.contains(&here) {
                placed.push(here);
            }
        }
        placed.sort_by_key(|p| p.0.start);
        let n = placed.len();
        let mut out = format!("error: {} has {n} mistake{}", self.path.display(), if n == 1 { "" } else { "s" });
        for (span, text) in placed {
            out.push('\n');
            out.push_str(&caret(&self.path, &self.text, span, text));
        }
        Error::Config(out)
    }

    /// The text of a location, or of its nearest existing parent.
    fn span(&self, location: &Location, on_key: bool) -> Range<usize> {
        let path = location.steps();
        let mut best = 0..0;
        let mut table = Some(self.spans.get_ref());
        let mut array: Option<&[Spanned<DeValue>]> = None;
        for step in path {
            let (key, value) = match step {
                Step::Key(k) => match table.and_then(|t| t.iter().find(|(key, _)| key.get_ref() == k)) {
                    Some((key, v)) => (key.span(), v),
                    None => return best,
                },
                Step::Item(i) => match array.and_then(|a| a.get(*i)) {
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
            best = if (last && on_key) || is_section { key } else { value.span() };
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

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_complaints, document, pointed_at};
    use super::*;

    const TEXT: &str = "# Question: which\n# rule is best?\nbatch = 3\n\n[kernel]\nuse = \"chain\"\nsteps = [{ use = \"a\" }, { p = 2 }]\n\n[prior.one]\nx = 1\n[prior.\"zwei.drei\"]\n";

    #[test]
    fn each_mistake_is_shown_once_with_its_line_in_the_order_of_the_file() {
        let doc = document(TEXT);
        let step = Mistake::in_value(Location::of(["kernel", "steps"]).item(1).key("p"), "too small");
        let error = doc.report(&[step.clone(), Mistake::in_key(Location::of(["batch"]), "too large"), step]);
        let expected = [
            "error: small.toml has 2 mistakes",
            " --> small.toml:3:1",
            "  |",
            "3 | batch = 3",
            "  | ^^^^^ too large",
            " --> small.toml:7:31",
            "  |",
            "7 | steps = [{ use = \"a\" }, { p = 2 }]",
            "  |                               ^ too small",
        ];
        assert_eq!(error.to_string().lines().collect::<Vec<_>>(), expected);
        assert_eq!(error.kind(), crate::error::ErrorKind::Config);
    }

    #[test]
    fn carets_stand_under_the_value_the_key_or_the_nearest_parent() {
        let doc = document(TEXT);
        let kernel = Location::of(["kernel"]);
        let under = |m: Mistake| pointed_at::<()>(Err(doc.report(&[m])));
        for (mistake, above) in [
            (Mistake::in_value(kernel.key("use"), "x"), "\"chain\""),
            (Mistake::in_key(kernel.key("use"), "x"), "use"),
            (Mistake::in_value(kernel.clone(), "x"), "kernel"),
            (Mistake::in_value(kernel.key("steps").item(1), "x"), "{ p = 2 }"),
            (Mistake::in_value(kernel.key("steps").item(2), "x"), "[{ use = \"a\" }, { p = 2 }]"),
            (Mistake::in_value(kernel.key("missing"), "x"), "kernel"),
            (Mistake::at(&["prior", "zwei.drei"], "x"), "\"zwei.drei\""),
        ] {
            assert_complaints(under(mistake), &[(above, "x")]);
        }
    }

    #[test]
    fn a_syntax_error_has_its_place() {
        let refused = Document::parse(Path::new("small.toml"), "batch = 3\nrounds = = 2\n".into());
        let text = refused.err().expect("an error").to_string();
        assert!(text.starts_with("error: small.toml is not valid TOML\n --> small.toml:2:"), "{text}");
    }

    #[test]
    fn comments_at_the_top_are_the_question_and_keys_keep_their_order() {
        let doc = document(TEXT);
        assert_eq!(doc.question(), "Question: which rule is best?");
        assert_eq!(doc.keys("prior"), ["one", "zwei.drei"]);
        assert_eq!(doc.keys("kernel"), ["use", "steps"]);
        assert!(doc.keys("batch").is_empty() && doc.keys("prior.two").is_empty());
    }
}
