//! Published numbers beside ours.

use super::published_curves::cells;
use super::study::{Study, StudyArm, last_value};
use crate::error::Result;
use crate::scenario;
use numerics::stats::{half_width_95, mean};
use std::collections::BTreeMap;
use table::Table;

/// An arm's last value of a metric, and the published one.
#[derive(Clone, Debug, PartialEq)]
pub struct PublishedValue {
    /// Index of the arm.
    pub arm: usize,
    /// The metric.
    pub metric: String,
    /// Published, in our unit.
    pub value: f64,
    /// Its standard error; NaN where none is given.
    pub error: f64,
}

/// Published values, matched with our arms and metrics.
#[derive(Clone, Debug, Default)]
pub struct PublishedTable {
    /// Where they are from, as printed.
    pub source: String,
    /// What was matched.
    pub rows: Vec<PublishedValue>,
    /// What could not be.
    pub notes: Vec<String>,
}

impl PublishedTable {
    /// Finds the row of each arm and metric.
    pub fn read(
        table: &Table,
        rules: &scenario::PublishedValues,
        source: String,
        study: &Study,
        values_of: impl Fn(&StudyArm) -> Vec<(String, String)>,
    ) -> Result<Self> {
        let mut out = Self { source, ..Self::default() };
        let values = table.numbers_or_missing(&rules.value)?;
        let errors = match &rules.error {
            Some(column) => table.numbers_or_missing(column)?,
            None => vec![f64::NAN; values.len()],
        };
        let mut columns: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let named = rules.row.keys().chain(rules.metrics.values().flat_map(|m| m.row.keys()));
        let named = named.chain(rules.axes.values().flat_map(|a| a.values().flat_map(|v| v.keys())));
        for column in named {
            if !columns.contains_key(column.as_str()) {
                columns.insert(column, cells(table, column)?);
            }
        }
        for (a, arm) in study.arms.iter().enumerate() {
            let of_axes: Option<Vec<&BTreeMap<String, String>>> = values_of(arm)
                .iter()
                .filter_map(|(axis, value)| rules.axes.get(axis).map(|known| known.get(value)))
                .collect();
            let Some(of_axes) = of_axes else { continue };
            for (metric, m) in rules.metrics.iter().filter(|m| study.metrics.contains(m.0)) {
                let wanted: Vec<(&String, &String)> =
                    rules.row.iter().chain(&m.row).chain(of_axes.iter().copied().flatten()).collect();
                let fits = |r: &usize| wanted.iter().all(|(c, v)| columns[c.as_str()][*r] == **v);
                let found: Vec<usize> = (0..values.len()).filter(fits).collect();
                match found[..] {
                    [r] => out.rows.push(PublishedValue {
                        arm: a,
                        metric: metric.clone(),
                        value: values[r] * m.times,
                        error: errors[r] * m.times,
                    }),
                    [] => out.notes.push(format!("no row for {metric} of {}", arm.label)),
                    _ => {
                        out.notes.push(format!("{} rows for {metric} of {}; name more columns", found.len(), arm.label))
                    }
                }
            }
        }
        Ok(out)
    }
}

/// Ours beside a published value.
pub struct ValueComparison<'a> {
    /// Label of the arm.
    pub label: &'a str,
    /// The published value.
    pub published: &'a PublishedValue,
    /// Ours: mean over seeds of the last round's value; NaN without any.
    pub ours: f64,
    /// Half width of its 95 % t interval; NaN below two seeds.
    pub half_width: f64,
    /// Seeds.
    pub n: usize,
}

impl ValueComparison<'_> {
    /// Ours less published, over the published standard error.
    pub fn apart(&self) -> f64 {
        (self.ours - self.published.value) / self.published.error
    }
}

/// Ours beside the published values, in the order of their rows.
pub fn compare<'a>(study: &'a Study, published: Option<&'a PublishedTable>) -> Vec<ValueComparison<'a>> {
    let rows = published.into_iter().flat_map(|p| &p.rows);
    rows.map(|published| {
        let arm = &study.arms[published.arm];
        let values: Vec<f64> = arm.by_seed(&published.metric, last_value).into_iter().map(|v| v.1).collect();
        let (ours, half_width) = (mean(&values), half_width_95(&values));
        ValueComparison { label: &arm.label, published, ours, half_width, n: values.len() }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::fixtures::{study, words};
    use table::Column;

    #[test]
    fn published_numbers_are_found_by_axes_and_metric() {
        use crate::scenario::PublishedValues;
        let s = study(&words("linear naiad other"), Some(0), 3, 2);
        let t = Table::new()
            .with("metric", Column::Text(["rmse", "rmse", "rmse", "hits"].map(|v| Some(v.into())).to_vec()))
            .with("model", Column::Text(["Linear", "NAIAD", "NAIAD", "Linear"].map(|v| Some(v.into())).to_vec()))
            .with("obs", Column::Integer(vec![4, 4, 10, 4]))
            .with("value", Column::Number(vec![6.2, 5.1, 4.7, 92.0]))
            .with("se", Column::Number(vec![1.7, 1.8, 1.2, f64::NAN]));
        let rules = |given: serde_json::Value| serde_json::from_value::<PublishedValues>(given).unwrap();
        let read = |r: &PublishedValues| {
            let axes = |a: &StudyArm| vec![("learner".to_string(), a.label.clone()), ("seed".into(), "x".into())];
            PublishedTable::read(&t, r, "t.csv".into(), &s, axes).unwrap()
        };
        let given = serde_json::json!({
            "file": "t.csv", "error": "se", "row": { "obs": "4" }, "metrics": { "mse": { "row": { "metric": "rmse" }, "times": 0.01 } },
            "axes": { "learner": { "linear": { "model": "Linear" }, "naiad": { "model": "NAIAD" } } },
        });
        let found = read(&rules(given.clone()));
        let at = |arm, value, error| PublishedValue { arm, metric: "mse".into(), value, error };
        assert_eq!(found.rows.len(), 2);
        for (r, w) in found.rows.iter().zip([at(0, 0.062, 0.017), at(1, 0.051, 0.018)]) {
            assert!(r.arm == w.arm && (r.value - w.value).abs() < 1e-12 && (r.error - w.error).abs() < 1e-12, "{r:?}");
        }
        assert!(found.notes.is_empty());
        let mut vague = given;
        vague["row"] = serde_json::json!({});
        assert!(read(&rules(vague.clone())).notes[0].contains("2 rows for mse of naiad"));
        vague["row"] = serde_json::json!({ "obs": "7" });
        assert_eq!(read(&rules(vague)).notes.len(), 2);
    }
}
