//! Published numbers beside ours.

use super::published::cells;
use super::{Study, StudyArm};
use crate::error::Result;
use crate::scenario;
use numerics::stats::{half_width_95, mean};
use std::collections::BTreeMap;
use table::{Column, Table};

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
pub(super) struct Beside<'a> {
    pub label: &'a str,
    pub published: &'a PublishedValue,
    pub ours: f64,
    pub half_width: f64,
    pub n: usize,
}

impl Beside<'_> {
    /// Ours less published, over the published standard error.
    pub fn apart(&self) -> f64 {
        (self.ours - self.published.value) / self.published.error
    }
}

impl Study {
    pub(super) fn beside(&self) -> Vec<Beside<'_>> {
        let rows = self.published_values.iter().flat_map(|p| &p.rows);
        rows.map(|published| {
            let arm = &self.arms[published.arm];
            let last = |_: &[f64], v: &[f64]| v.last().copied().unwrap_or(f64::NAN);
            let values: Vec<f64> = arm.by_seed(&published.metric, last).into_iter().map(|v| v.1).collect();
            let (ours, half_width) = (mean(&values), half_width_95(&values));
            Beside { label: &arm.label, published, ours, half_width, n: values.len() }
        })
        .collect()
    }

    /// A row an arm and metric.
    pub(super) fn published_values_table(&self) -> Table {
        let rows = self.beside();
        let number = |f: &dyn Fn(&Beside) -> f64| Column::Number(rows.iter().map(f).collect());
        let text = |f: &dyn Fn(&Beside) -> String| Column::Text(rows.iter().map(|r| Some(f(r))).collect());
        Table::new()
            .with("arm", text(&|r| r.label.to_string()))
            .with("metric", text(&|r| r.published.metric.clone()))
            .with("ours", number(&|r| r.ours))
            .with("half_width", number(&|r| r.half_width))
            .with("n", Column::Integer(rows.iter().map(|r| r.n as i64).collect()))
            .with("published", number(&|r| r.published.value))
            .with("published_se", number(&|r| r.published.error))
            .with("apart_in_se", number(&|r| r.apart()))
    }
}
