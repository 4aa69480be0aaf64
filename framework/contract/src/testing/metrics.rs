//! What every metric must do, whoever wrote it.

use crate::metric::{Formula, Metric, Need};

/// Columns of stored rounds and long tables that a metric would hide.
const TAKEN: [&str; 7] = ["run", "arm", "seed", "round", "n_measured", "cost", "months"];

/// What is wrong with the metrics of a catalogue, by name.
pub(super) fn flaws(all: &[&Metric]) -> Vec<String> {
    all.iter().filter_map(|m| Some(format!("metric {}: {}", m.name, flaw(m, all)?))).collect()
}

fn flaw(m: &Metric, all: &[&Metric]) -> Option<String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if m.name.is_empty() || !m.name.chars().all(plain) || TAKEN.contains(&m.name) {
        return Some("its name must be of lower-case letters, digits and _, and no column of results".into());
    }
    if all.iter().filter(|o| o.name == m.name).count() > 1 {
        return Some("registered twice; names are unique".into());
    }
    if m.definition.trim().is_empty() {
        return Some("it has no definition".into());
    }
    for name in m.made_of() {
        match all.iter().find(|o| o.name == name) {
            None => return Some(format!("it is made of `{name}`, which there is not")),
            Some(o) if o.made_of().next().is_some() => {
                return Some(format!("it is made of `{name}`, which is itself made of others"));
            }
            _ => {}
        }
    }
    let reported = matches!(m.formula, Formula::WhenReported(_));
    let kept = |n: &Need| matches!(n, Need::Metric(_) | Need::Prices);
    if reported && !m.needs.iter().all(kept) {
        return Some("it is computed when results are reported, when only metrics and prices are known".into());
    }
    if !reported && m.needs.contains(&Need::Prices) {
        return Some("prices are known only when results are reported".into());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: Metric = Metric {
        name: "good",
        definition: "a number",
        larger_is_better: true,
        needs: &[Need::Hits],
        formula: Formula::AfterRound(|_| Some(1.0)),
        yardsticks: None,
    };

    #[test]
    fn mistakes_are_named() {
        let derived = Metric { name: "derived", needs: &[Need::Metric("good")], ..GOOD };
        let priced = Metric {
            name: "priced",
            needs: &[Need::Metric("good"), Need::Prices],
            formula: Formula::WhenReported(|_| Some(1.0)),
            ..GOOD
        };
        assert!(flaws(&[&GOOD, &derived, &priced]).is_empty());
        let with = |m: &Metric| flaws(&[&GOOD, &derived, m]).join("\n");
        let says = |m: Metric, text: &str| assert!(with(&m).contains(text), "no `{text}` in {}", with(&m));
        says(GOOD, "metric good: registered twice");
        says(Metric { name: "two words", ..GOOD }, "its name must be of lower-case letters");
        says(Metric { name: "cost", ..GOOD }, "no column of results");
        says(Metric { name: "mute", definition: " ", ..GOOD }, "it has no definition");
        says(Metric { name: "m", needs: &[Need::Metric("lost")], ..GOOD }, "it is made of `lost`, which there is not");
        says(Metric { name: "m", needs: &[Need::Metric("derived")], ..GOOD }, "which is itself made of others");
        says(Metric { name: "m", needs: &[Need::Prices], ..GOOD }, "only when results are reported");
        says(Metric { name: "m", needs: &[Need::Known], ..priced }, "when only metrics and prices are known");
    }
}
