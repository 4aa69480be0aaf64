//! The `[[claim]]` sections: what a paper says should come out, and which arms that is about.

use super::cell::Cell;
use super::conditions::Conditions;
use super::meaning::unlisted_metric;
use super::path::{Location, Mistake};
use super::schema::check_typed;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a claim is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClaimKind {
    /// A paired difference of a metric.
    #[default]
    Difference,
    /// Rounds saved: how many times sooner one arm reaches the other's last value.
    Speedup,
}

/// One `[[claim]]` section.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimEntry {
    /// The claim in words.
    pub text: String,
    /// `difference` (default) or `speedup`.
    #[serde(default)]
    pub kind: ClaimKind,
    /// The metric, one of the scenario's; default the first.
    #[serde(default)]
    pub metric: Option<String>,
    /// The arms said to be better, chosen like `[compare] reference`.
    pub better: Map<String, Value>,
    /// The arms they are better than; `{}` is all others.
    pub than: Map<String, Value>,
    /// For a difference: "last" (default), "aulc", or a round.
    #[serde(default)]
    pub at: Option<Value>,
    /// For a speed-up: the least factor. Default 1.
    #[serde(default)]
    pub at_least: Option<f64>,
    /// Whether each of `better` must beat each of `than`, instead of the best the best.
    #[serde(default)]
    pub all_of: bool,
}

/// Where on the learning curve a difference is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum At {
    /// After the last round.
    Last,
    /// The area under the curve.
    Aulc,
    /// After a round.
    Round(usize),
}

/// What a claim says of its arms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Assertion {
    /// The one side has the better value.
    Better(At),
    /// The one side reaches the other's last value at least so many times sooner.
    Sooner(f64),
}

/// A claim with its arms found.
#[derive(Clone, Debug)]
pub struct Claim {
    /// In words.
    pub text: String,
    /// The metric.
    pub metric: String,
    /// What it says.
    pub says: Assertion,
    /// Arms said to be better; empty where this form of the scenario has none of them.
    pub better: Vec<usize>,
    /// Arms they are compared with.
    pub than: Vec<usize>,
    /// Whether every pair counts, or the best against the best.
    pub all_of: bool,
}

impl At {
    /// `"last"`, `"aulc"` or a round; the last where nothing is said, nothing for anything else.
    fn read(value: Option<&Value>) -> Option<Self> {
        match value {
            None => Some(At::Last),
            Some(Value::String(s)) if s == "last" => Some(At::Last),
            Some(Value::String(s)) if s == "aulc" => Some(At::Aulc),
            Some(v) => v.as_u64().map(|t| At::Round(t as usize)),
        }
    }
}

/// What a claim is checked against.
pub(super) struct Facts<'a> {
    /// The scenario's metrics.
    pub(super) metrics: &'a [&'a str],
    /// The last round, where it is the same for all arms and the claim is about this form.
    pub(super) last_round: Option<u64>,
    /// Axes with sections of their own.
    pub(super) named_axes: &'a [String],
}

/// Checks the sections.
pub(super) fn check(claims: &Value, facts: &Facts, mistakes: &mut Vec<Mistake>) {
    let Value::Array(list) = claims else {
        mistakes.push(Mistake::at(&["claim"], "write each claim as its own [[claim]] section"));
        return;
    };
    for (i, claim) in list.iter().enumerate() {
        let location = Location::of(["claim"]).item(i);
        let before = mistakes.len();
        check_typed::<ClaimEntry>(claim, &location, mistakes);
        for side in ["better", "than"] {
            if let Some(v) = claim.get(side) {
                Conditions::read(v).check(&location.key(side), facts.named_axes, mistakes);
            }
        }
        if mistakes.len() == before {
            let found = check_values(claim, facts).into_iter().flatten();
            mistakes.extend(found.map(|(key, text)| Mistake::in_value(location.key(key), text)));
        }
    }
}

/// Rules that types cannot express: the offending key of a claim and what is wrong with it.
fn check_values(claim: &Value, facts: &Facts) -> [Option<(&'static str, String)>; 3] {
    let metric = claim.get("metric").and_then(Value::as_str).and_then(|m| unlisted_metric(m, facts.metrics));
    let is_speedup = claim.get("kind").and_then(Value::as_str) == Some("speedup");
    [
        metric.map(|text| ("metric", text)),
        wrong_at(claim.get("at"), is_speedup, facts.last_round).map(|text| ("at", text)),
        wrong_factor(claim.get("at_least"), is_speedup).map(|text| ("at_least", text)),
    ]
}

fn wrong_at(at: Option<&Value>, is_speedup: bool, last_round: Option<u64>) -> Option<String> {
    let value = at?;
    if is_speedup {
        return Some("a speed-up is taken at the last round; leave `at` out".into());
    }
    match (At::read(at), last_round) {
        (None, _) => Some(format!("expected \"last\", \"aulc\" or a round, not {value}")),
        (Some(At::Round(t)), Some(last)) if t as u64 > last => {
            Some(format!("there is no round {t}; the last is {last}"))
        }
        _ => None,
    }
}

fn wrong_factor(factor: Option<&Value>, is_speedup: bool) -> Option<String> {
    let factor = factor?.as_f64()?;
    if !is_speedup {
        return Some("only a speed-up has a least factor; add kind = \"speedup\" or leave it out".into());
    }
    (!(factor > 0.0 && factor.is_finite())).then(|| format!("the factor must be above 0, not {factor}"))
}

/// Finds the arms of a checked claim. A claim without a metric is about the `first` of the scenario.
pub(super) fn resolve(entry: ClaimEntry, first: Option<&String>, cells: &[Cell]) -> Claim {
    let find = |side: &Map<String, Value>| Conditions::of(side).find(cells);
    let better = find(&entry.better);
    let than = find(&entry.than).into_iter().filter(|t| !better.contains(t)).collect();
    let says = match entry.kind {
        ClaimKind::Difference => Assertion::Better(At::read(entry.at.as_ref()).unwrap_or(At::Last)),
        ClaimKind::Speedup => Assertion::Sooner(entry.at_least.unwrap_or(1.0)),
    };
    let metric = entry.metric.or_else(|| first.cloned()).unwrap_or_default();
    Claim { text: entry.text, metric, says, better, than, all_of: entry.all_of }
}

/// Both sides of a claim must have arms.
pub(super) fn check_arms(claim: &Claim, position: usize, mistakes: &mut Vec<Mistake>) {
    for (side, found) in [("better", &claim.better), ("than", &claim.than)] {
        if found.is_empty() {
            let location = Location::of(["claim"]).item(position).key(side);
            let text = format!("no arm matches `{side}`; name values that occur in the grid");
            mistakes.push(Mistake::in_value(location, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_complaints, complaints, expand, expand_as, variant};
    use super::*;

    const GRID: &str = "[grid]\nrounds = [5]\nbatch = [4, 5, 6]\n[variant.v]\n\"grid.batch\" = [4, 5]\n";

    fn claim(lines: &str) -> String {
        format!("[[claim]]\ntext = \"t\"\n{lines}\n")
    }

    fn with(lines: &str) -> String {
        format!("[grid]\nbatch = [4, 5, 6]\n{}", claim(&format!("better = {{ batch = 5 }}\nthan = {{}}\n{lines}")))
    }

    #[test]
    fn claims_find_their_arms() {
        let sections = [
            GRID.to_string(),
            claim("better = { batch = [6, 5] }\nthan = {}\nall_of = true"),
            claim("better = { batch = 4 }\nthan = { batch = [4, 6] }\nat = \"aulc\"\nmetric = \"mse\""),
            claim("better = { batch = 4 }\nthan = { batch = 5 }\nat = 3"),
            claim("better = { batch = 4 }\nthan = { batch = 5 }\nkind = \"speedup\"\nat_least = 1.5"),
            claim("better = { batch = 4 }\nthan = { batch = 5 }\nkind = \"speedup\""),
        ];
        let sweep = expand("", &sections.concat());
        let c = &sweep.claims;
        assert_eq!((&c[0].better, &c[0].than, c[0].all_of), (&vec![1, 2], &vec![0], true), "the others are the rest");
        assert_eq!(
            (c[0].metric.as_str(), c[0].says),
            ("hits", Assertion::Better(At::Last)),
            "the first metric, at the end"
        );
        assert_eq!((&c[1].better, &c[1].than, c[1].metric.as_str()), (&vec![0], &vec![2], "mse"));
        let says: Vec<Assertion> = c[1..].iter().map(|c| c.says).collect();
        let expected = [
            Assertion::Better(At::Aulc),
            Assertion::Better(At::Round(3)),
            Assertion::Sooner(1.5),
            Assertion::Sooner(1.0),
        ];
        assert_eq!(says, expected);
    }

    #[test]
    fn a_variant_may_lack_the_arms_of_a_claim_and_the_file_may_not() {
        let sections = format!("{GRID}{}", claim("better = { batch = 6 }\nthan = { batch = 5 }"));
        assert_eq!(expand("", &sections).claims[0].better, [2]);
        let sweep = expand_as(&variant("v"), "", &sections).unwrap();
        assert_eq!((sweep.claims[0].better.len(), &sweep.claims[0].than), (0, &vec![1]));
        let text = |side: &str| format!("no arm matches `{side}`; name values that occur in the grid");
        assert_complaints(
            complaints("", &format!("{GRID}{}", claim("better = { batch = 7 }\nthan = { rounds = 4 }"))),
            &[("{ batch = 7 }", &text("better")), ("{ rounds = 4 }", &text("than"))],
        );
    }

    #[test]
    fn values_that_make_no_sense_are_refused() {
        for (lines, above, message) in [
            ("at = 6", "6", "there is no round 6; the last is 5"),
            ("at = \"first\"", "\"first\"", "expected \"last\", \"aulc\" or a round, not \"first\""),
            ("at = -1", "-1", "expected \"last\", \"aulc\" or a round, not -1"),
            ("kind = \"speedup\"\nat = \"last\"", "\"last\"", "a speed-up is taken at the last round; leave `at` out"),
            ("kind = \"speedup\"\nat_least = 0.0", "0.0", "the factor must be above 0, not 0"),
            ("at_least = 2", "2", "only a speed-up has a least factor; add kind = \"speedup\" or leave it out"),
            ("metric = \"msee\"", "\"msee\"", "`msee` is not among this scenario's metrics; did you mean `mse`?"),
            ("metric = \"rmse_x\"", "\"rmse_x\"", "`rmse_x` is not among this scenario's metrics; it lists: hits, mse"),
            (
                "kind = \"speed\"",
                "\"speed\"",
                "unknown word `speed`; did you mean `speedup`?; known: difference, speedup",
            ),
            ("al_of = true", "al_of", "unknown key `al_of`; did you mean `all_of`?"),
        ] {
            assert_complaints(complaints("", &with(lines)), &[(above, message)]);
        }
    }

    #[test]
    fn the_last_round_is_known_only_where_all_arms_share_it() {
        let sections = format!("[grid]\nrounds = [5, 9]\n{}", claim("better = { rounds = 9 }\nthan = {}\nat = 7"));
        assert_eq!(expand("", &sections).claims[0].says, Assertion::Better(At::Round(7)));
    }

    #[test]
    fn sides_are_conditions_and_sections_are_lists() {
        assert_complaints(
            complaints("", "[[claim]]\nbetter = { batsh = 1 }\nthan = {}\n"),
            &[
                ("[[claim]]", "the key `text` is missing here; add the claim in words"),
                ("batsh", "unknown key `batsh`; did you mean `batch`?"),
            ],
        );
        assert_complaints(complaints("claim = 3", ""), &[("3", "write each claim as its own [[claim]] section")]);
    }
}
