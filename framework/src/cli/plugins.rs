use crate::error::{Error, Result, hint};
use crate::plugin::{self, Entry, Kind, SHARED_SETTINGS};
use clap::Subcommand;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::PathBuf;

#[derive(Subcommand)]
pub(crate) enum Plugins {
    /// List all plugins
    List {
        /// Print an array of objects with kind, name, summary and parameters
        #[arg(long)]
        json: bool,
        /// Only one kind: acquisition, interaction, kernel, model, oracle or prior
        #[arg(long)]
        kind: Option<String>,
    },
    /// Show what a plugin does: formula, source, parameters with defaults
    Show {
        /// Its name
        name: String,
    },
    /// Write a Markdown page for each kind: every plugin with formula, source and parameters
    #[command(after_help = "Example: screenwright plugins pages docs/plugins && mdbook build docs")]
    Pages {
        /// Folder to write to
        folder: PathBuf,
    },
}

impl Plugins {
    pub(crate) fn execute(self) -> Result<u8> {
        let all = plugin::catalogue();
        match self {
            Plugins::List { json, kind } => {
                let words = Kind::ALL.map(Kind::word);
                if let Some(k) = kind.as_deref().filter(|k| !words.contains(k)) {
                    return Err(Error::Config(format!(
                        "unknown kind `{k}`{}; known: {}",
                        hint(k, words),
                        words.join(", ")
                    )));
                }
                let chosen = all.into_iter().filter(|e| kind.as_deref().is_none_or(|k| e.kind.word() == k));
                super::print(&if json { as_json(chosen) } else { as_text(chosen) });
            }
            Plugins::Pages { folder } => {
                std::fs::create_dir_all(&folder).map_err(Error::io(&folder, "making the folder"))?;
                for kind in Kind::ALL {
                    let path = folder.join(format!("{}.md", kind.word()));
                    let of: Vec<&Entry> = all.iter().copied().filter(|e| e.kind == kind).collect();
                    std::fs::write(&path, page(kind, &of)).map_err(Error::io(&path, "writing"))?;
                    super::print(&format!("wrote {} ({} plugins)", path.display(), of.len()));
                }
            }
            Plugins::Show { name } => match all.iter().find(|e| e.name == name) {
                Some(e) => super::print(&show(e)),
                None => {
                    let near = hint(&name, all.iter().map(|e| e.name));
                    return Err(Error::Config(format!(
                        "unknown plugin `{name}`{near}; `screenwright plugins list` names all"
                    )));
                }
            },
        }
        Ok(super::OK)
    }
}

fn as_json<'a>(entries: impl Iterator<Item = &'a Entry>) -> String {
    let list: Vec<Value> = entries
        .map(|e| json!({ "kind": e.kind.word(), "name": e.name, "summary": e.summary, "parameters": (e.fields)() }))
        .collect();
    serde_json::to_string_pretty(&list).unwrap_or_default()
}

fn as_text<'a>(entries: impl Iterator<Item = &'a Entry>) -> String {
    let mut out = String::new();
    let mut last = None;
    for e in entries {
        if last != Some(e.kind) {
            let _ = writeln!(out, "{}{}", if last.is_some() { "\n" } else { "" }, e.kind.word());
            last = Some(e.kind);
        }
        let _ = writeln!(out, "  {:20} {}", e.name, e.summary);
    }
    out
}

/// The header of a plugin's file: what it computes, after whom, at what cost.
fn header(e: &Entry) -> String {
    let lines = e.source.lines().take_while(|l| l.starts_with("//!"));
    lines.map(|l| format!("{}\n", l.trim_start_matches("//!").strip_prefix(' ').unwrap_or(""))).collect()
}

/// The page of a kind: a list with links, then each plugin.
fn page(kind: Kind, entries: &[&Entry]) -> String {
    let word = kind.word();
    let mut out = format!(
        "# Plugins: {word}\n\nWritten by `screenwright plugins pages` from the plugins linked into the program.\n\n| plugin | |\n|:--|:--|\n"
    );
    for e in entries {
        let _ = writeln!(out, "| [`{0}`](#{0}) | {1} |", e.name, e.summary.replace('|', "\\|"));
    }
    for e in entries {
        let _ = writeln!(out, "\n## `{0}` {{#{0}}}\n\n{1}.\n\n{2}", e.name, e.summary.trim_end_matches('.'), header(e));
        let (fields, defaults) = ((e.fields)(), Defaults::of(e));
        if !fields.is_empty() {
            out += "| parameter | default | |\n|:--|:--|:--|\n";
        }
        for f in fields {
            let default = defaults.get(f).map_or("required".to_string(), |v| format!("`{v}`"));
            let _ = writeln!(out, "| `{f}` | {default} | {} |", field_docs(e, f).join(" ").replace('|', "\\|"));
        }
        let section = if kind == Kind::Prior { "prior.NAME" } else { word };
        let _ = writeln!(out, "\n```toml\n[{section}]\nuse = \"{}\"\n```", e.name);
    }
    out
}

/// What a plugin's parameters are when a scenario leaves them out.
struct Defaults {
    required: Vec<String>,
    filled: Value,
}

impl Defaults {
    /// Found by leaving out, one by one, the parameters of the plugin's example: those that cannot be are required.
    fn of(e: &Entry) -> Self {
        if let Ok(filled) = (e.check)(json!({})) {
            return Self { required: vec![], filled };
        }
        // Examples may write small files.
        let dir = std::env::temp_dir().join(format!("screenwright-plugins-{}", std::process::id()));
        let mut given = match std::fs::create_dir_all(&dir) {
            Ok(()) => (e.example)(&dir),
            Err(_) => json!({}),
        };
        let _ = std::fs::remove_dir_all(&dir);
        let names: Vec<String> = given.as_object().into_iter().flat_map(|m| m.keys().cloned()).collect();
        let mut required = Vec::new();
        for name in names {
            let Some(table) = given.as_object_mut() else { break };
            let Some(value) = table.remove(&name) else { continue };
            if (e.check)(given.clone()).is_err() {
                given[&name] = value;
                required.push(name);
            }
        }
        Self { required, filled: (e.check)(given).unwrap_or_default() }
    }

    /// Nothing where the parameter is required.
    fn get(&self, field: &str) -> Option<String> {
        let value = self.filled.get(field);
        (!self.required.iter().any(|r| r == field)).then(|| toml_like(value.unwrap_or(&Value::Null)))
    }
}

fn show(e: &Entry) -> String {
    let mut out = format!("{}   ({})\n{}\n\n{}", e.name, e.kind.word(), e.summary, header(e));
    let fields = (e.fields)();
    if fields.is_empty() {
        let _ = writeln!(out, "\nno parameters");
    } else {
        let _ = writeln!(out, "\nparameters");
    }
    let defaults = Defaults::of(e);
    for f in fields {
        let default = defaults.get(f).map_or("   (required)".to_string(), |v| format!(" = {v}"));
        let _ = writeln!(out, "  {f}{default}");
        for line in field_docs(e, f) {
            let _ = writeln!(out, "      {line}");
        }
    }
    let _ = writeln!(
        out,
        "\nin a scenario\n  [{}{}]\n  use = \"{}\"",
        e.kind.word(),
        if e.kind == Kind::Prior { ".NAME" } else { "" },
        e.name
    );
    out
}

fn toml_like(v: &Value) -> String {
    match v {
        Value::Null => "absent".into(),
        Value::Object(m) => {
            format!("{{ {} }}", m.iter().map(|(k, v)| format!("{k} = {}", toml_like(v))).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// The doc comment above a field of the plugin's struct, from the text of its file; of a setting that all fusions
/// share, from where these are written.
fn field_docs(e: &Entry, field: &str) -> Vec<String> {
    [e.source, SHARED_SETTINGS].iter().find_map(|text| docs_in(text, field)).unwrap_or_default()
}

fn docs_in(source: &str, field: &str) -> Option<Vec<String>> {
    let mut docs = Vec::new();
    for line in source.lines().map(str::trim) {
        if let Some(d) = line.strip_prefix("///") {
            docs.push(d.trim().to_string());
        } else if line.starts_with(&format!("pub {field}:")) {
            return Some(docs);
        } else if !line.starts_with("#[") {
            docs.clear();
        }
    }
    None
}
