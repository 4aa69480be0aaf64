//! The `[published]` section: curves and numbers of a paper to show beside ours.

use super::arm::Arm;
use super::meaning::unlisted_metric;
use super::path::{Location, Mistake, get};
use super::schema::check_typed;
use crate::error::hint;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Published learning curves to lay over ours: the `[published]` section.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Published {
    /// A table of curves, relative to the data root: a row a method, run and round.
    pub file: Option<PathBuf>,
    /// Its column of method names.
    pub method: String,
    /// Its column that tells repeats apart.
    pub run: String,
    /// Its column of rounds, 0 for the initial set.
    pub round: String,
    /// For each of our metrics the column that is compared with it; absent: columns of the same names.
    pub metrics: BTreeMap<String, String>,
    /// For each of our arms, by label, the method that is compared with it; absent: methods whose names have the same
    /// letters and digits.
    pub arms: BTreeMap<String, String>,
    /// Single numbers to print beside ours.
    pub values: Option<PublishedValues>,
}

/// Numbers of a published table to print beside ours: the `[published.values]` section. A row belongs to an arm and metric
/// if it has all the cells that `row`, the metric and the arm's values on the axes name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedValues {
    /// A table, relative to the data root.
    pub file: PathBuf,
    /// Its column of values; default `value`.
    #[serde(default = "value_column")]
    pub value: String,
    /// Its column of standard errors; absent: none.
    #[serde(default)]
    pub error: Option<String>,
    /// Cells that every row must have, by column.
    #[serde(default)]
    pub row: BTreeMap<String, String>,
    /// For each of our metrics the cells of its rows, and what its values are multiplied with.
    pub metrics: BTreeMap<String, PublishedMetric>,
    /// For each axis and value on it the cells of its rows. Arms with a value that is not named are not compared.
    #[serde(default)]
    pub axes: BTreeMap<String, BTreeMap<String, BTreeMap<String, String>>>,
}

/// Where the values of a metric stand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedMetric {
    /// Cells of its rows, by column.
    pub row: BTreeMap<String, String>,
    /// What brings a published value to our unit; default 1.
    #[serde(default = "one")]
    pub times: f64,
}

impl Default for Published {
    fn default() -> Self {
        Self {
            file: None,
            method: "paper_method".into(),
            run: "run".into(),
            round: "round".into(),
            metrics: BTreeMap::new(),
            arms: BTreeMap::new(),
            values: None,
        }
    }
}

fn value_column() -> String {
    "value".into()
}

fn one() -> f64 {
    1.0
}

/// Checks the section; `metrics` are those of the scenario.
pub(super) fn check(section: &Value, metrics: &[&str], mistakes: &mut Vec<Mistake>) {
    let location = Location::of(["published"]);
    check_typed::<Published>(section, &location, mistakes);
    for keys in [&["metrics"][..], &["values", "metrics"]] {
        let at = keys.iter().fold(location.clone(), |at, key| at.key(key));
        let compared = section.as_object().and_then(|s| get(s, keys)).and_then(Value::as_object);
        for metric in compared.into_iter().flat_map(|m| m.keys()) {
            if let Some(text) = unlisted_metric(metric, metrics) {
                mistakes.push(Mistake::in_key(at.key(metric), text));
            }
        }
    }
}

/// Arms that are compared with a published method must exist.
pub(super) fn check_arms(published: &Published, arms: &[Arm], mistakes: &mut Vec<Mistake>) {
    for label in published.arms.keys().filter(|label| !arms.iter().any(|a| a.label == **label)) {
        let near = hint(label, arms.iter().map(|a| a.label.as_str()));
        let location = Location::of(["published", "arms", label]);
        mistakes.push(Mistake::in_key(location, format!("no arm is called `{label}`{near}")));
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_complaints, complaints, expand, expand_as, variant};

    #[test]
    fn metrics_that_are_compared_are_listed_and_arms_exist() {
        let section = "[published]\nmetrics = { mse = \"loss\" }\n[published.arms]\n4 = \"Random\"\n";
        let grid = "[grid]\nbatch = [4, 5]\n[variant.v]\n\"grid.batch\" = [5, 6]\n";
        let sweep = expand("", &format!("{grid}{section}"));
        assert_eq!(
            sweep.published.map(|p| (p.method, p.metrics["mse"].clone())),
            Some(("paper_method".into(), "loss".into()))
        );
        assert!(expand_as(&variant("v"), "", &format!("{grid}{section}")).is_ok(), "a variant may leave out arms");
        assert_complaints(
            complaints("", &format!("{grid}{}", section.replace("4 =", "40 ="))),
            &[("40", "no arm is called `40`; did you mean `4`?")],
        );
    }

    #[test]
    fn mistakes_in_the_section_are_found_together() {
        let section = "[published]\nmetrics = { mze = \"loss\" }\nruns = \"x\"\n[published.values]\nfile = \"t.csv\"\n[published.values.metrics.pearson]\nrow = {}\n";
        assert_complaints(
            complaints("", section),
            &[
                ("mze", "`mze` is not among this scenario's metrics; did you mean `mse`?"),
                ("runs", "unknown key `runs`; did you mean `run`?"),
                ("pearson", "`pearson` is not among this scenario's metrics; it lists: hits, mse"),
            ],
        );
    }
}
