//! Plugins named on the command line: `NAME:KEY=VALUE,KEY=VALUE`.

use crate::error::{Error, Result};
use crate::plugin::{Entry, Kind};
use serde_json::{Map, Value, json};

/// A plugin named on the command line, with its parameters so far.
pub(super) struct Named {
    pub(super) entry: &'static Entry,
    pub(super) map: Map<String, Value>,
}

/// Reads `NAME` or `NAME:KEY=VALUE,KEY=VALUE`.
pub(super) fn parse_plugin(option: &str, text: &str, kind: Kind) -> Result<Named> {
    let (name, rest) = text.split_once(':').unwrap_or((text, ""));
    let entry = crate::plugin::find(name).filter(|e| e.kind == kind).ok_or_else(|| {
        let names = crate::plugin::catalogue().into_iter().filter(|e| e.kind == kind).map(|e| e.name);
        let names: Vec<&str> = names.collect();
        Error::Config(format!(
            "{option} {name}: unknown {}{}; known: {}",
            kind.word(),
            crate::error::hint(name, names.iter().copied()),
            names.join(", ")
        ))
    })?;
    let mut form = Named { entry, map: Map::new() };
    for p in rest.split(',').filter(|p| !p.is_empty()) {
        set_parameter(&mut form, option, p)?;
    }
    Ok(form)
}

pub(super) fn set_parameter(form: &mut Named, option: &str, text: &str) -> Result<()> {
    let (k, v) = text
        .split_once('=')
        .ok_or_else(|| Error::Config(format!("{option} {text}: write a parameter as KEY=VALUE")))?;
    // A value that is not JSON is a word.
    form.map.insert(k.trim().into(), serde_json::from_str(v).unwrap_or_else(|_| json!(v)));
    Ok(())
}

/// The plugin of a form; a parameter that it does not know or cannot read is named.
pub(super) fn checked<T: serde::de::DeserializeOwned>(option: &str, form: Named) -> Result<T> {
    let Named { entry, mut map } = form;
    (entry.check)(Value::Object(map.clone())).map_err(|(path, e)| {
        let name = entry.name;
        Error::Config(format!("{option} {name}: {path}: {e}; `screenwright plugins show {name}` lists its parameters"))
    })?;
    map.insert("use".into(), json!(entry.name));
    serde_json::from_value(Value::Object(map)).map_err(|e| Error::Config(format!("{option} {}: {e}", entry.name)))
}
