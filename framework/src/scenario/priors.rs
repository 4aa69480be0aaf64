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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Vec<(String, String)>, String> {
        let names = ["go", "ppi", "esm"].map(String::from);
        Ok(sets(&value, &names)?.into_iter().map(|(label, set)| (label, set.join(" "))).collect())
    }

    #[track_caller]
    fn stands_for(value: Value, expected: &[(&str, &str)]) {
        let expected: Vec<_> = expected.iter().map(|(l, s)| (l.to_string(), s.to_string())).collect();
        assert_eq!(read(value), Ok(expected));
    }

    #[test]
    fn words_stand_for_sets() {
        stands_for(json!("all"), &[("all", "go ppi esm")]);
        stands_for(json!("none"), &[("none", "")]);
        stands_for(json!("each_alone"), &[("go", "go"), ("ppi", "ppi"), ("esm", "esm")]);
        stands_for(
            json!("leave_one_out"),
            &[("all but go", "ppi esm"), ("all but ppi", "go esm"), ("all but esm", "go ppi")],
        );
    }

    #[test]
    fn names_stand_for_themselves() {
        stands_for(json!("ppi"), &[("ppi", "ppi")]);
        stands_for(json!(["esm", "go"]), &[("esm+go", "esm go")]);
        stands_for(json!([]), &[("", "")]);
    }

    #[test]
    fn what_is_no_prior_is_refused() {
        let refused = |value| read(value).unwrap_err();
        assert_eq!(refused(json!("each_alon")), "unknown prior `each_alon`; did you mean `each_alone`?");
        assert_eq!(refused(json!(["go", "pip"])), "unknown prior `pip`; did you mean `ppi`?");
        let known = "known: all, none, each_alone, leave_one_out, go, ppi, esm";
        assert_eq!(refused(json!(["transcriptome"])), format!("unknown prior `transcriptome`; {known}"));
        assert_eq!(refused(json!(["go", 2])), "a prior is named in quotes, not 2");
        assert_eq!(refused(json!(2)), "expected a word or a list of prior names, not 2");
    }
}
