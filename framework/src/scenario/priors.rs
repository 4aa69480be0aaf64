//! The values of the `prior` axis: sets of priors, or a word for one set or several.

use crate::error::hint;
use serde_json::Value;

const WORDS: [&str; 4] = ["all", "none", "each_alone", "leave_one_out"];

/// The sets of priors that one value of the axis stands for, each with its label; `names` are the scenario's priors.
pub(super) fn sets(value: &Value, names: &[String]) -> Result<Vec<(String, Vec<String>)>, String> {
    Ok(match value {
        Value::String(word) => match word.as_str() {
            "all" => vec![(word.clone(), names.to_vec())],
            "none" => vec![(word.clone(), vec![])],
            "each_alone" => names.iter().map(|n| (n.clone(), vec![n.clone()])).collect(),
            "leave_one_out" => names.iter().map(|n| (format!("all but {n}"), without(n, names))).collect(),
            _ => vec![(word.clone(), vec![known(word, names)?])],
        },
        Value::Array(list) => {
            let name = |v: &Value| match v {
                Value::String(n) => known(n, names),
                other => Err(format!("a prior is named in quotes, not {other}")),
            };
            let set = list.iter().map(name).collect::<Result<Vec<_>, _>>()?;
            vec![(set.join("+"), set)]
        }
        other => return Err(format!("expected a word or a list of prior names, not {other}")),
    })
}

fn without(name: &str, names: &[String]) -> Vec<String> {
    names.iter().filter(|n| *n != name).cloned().collect()
}

/// The name, if it is one of the priors.
fn known(name: &String, names: &[String]) -> Result<String, String> {
    if names.contains(name) {
        return Ok(name.clone());
    }
    let near = hint(name, names.iter().map(String::as_str).chain(WORDS));
    let list = if near.is_empty() { format!("; known: {}, {}", WORDS.join(", "), names.join(", ")) } else { near };
    Err(format!("unknown prior `{name}`{list}"))
}
