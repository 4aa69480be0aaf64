//! Published learning curves beside ours, both as a ratio to their own value at round 0: absolute values depend on the
//! data set, the shape of the curves is what can be compared.

use super::curve::{CurvePoint, mean_curve};
use super::study::{RunCurve, Study, StudyArm};
use crate::error::Result;
use crate::scenario;
use std::collections::BTreeMap;
use table::{Column, Table};

/// Published curves, matched with our arms and metrics.
#[derive(Clone, Debug, Default)]
pub struct PublishedCurves {
    /// Where they are from, as printed.
    pub source: String,
    /// Our metric and the column compared with it.
    pub metrics: Vec<(String, String)>,
    /// Our arm, as an index into [`Study::arms`], and the published method with its runs under our metric names.
    pub arms: Vec<(usize, StudyArm)>,
    /// What could not be matched.
    pub notes: Vec<String>,
}

/// The cells of a column as they are compared with names; what is missing is empty.
pub fn cells(table: &Table, name: &str) -> Result<Vec<String>> {
    let number = |v: &f64| if v.is_nan() { String::new() } else { v.to_string() };
    Ok(match table.column(name) {
        Some(Column::Text(v)) => v.iter().map(|c| c.clone().unwrap_or_default()).collect(),
        Some(Column::Integer(v)) => v.iter().map(i64::to_string).collect(),
        Some(Column::Number(v)) => v.iter().map(number).collect(),
        // Gives the error that names the columns there are.
        _ => table.text(name)?.into_iter().map(String::from).collect(),
    })
}

/// Letters and digits in lower case.
fn letters(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

impl PublishedCurves {
    /// Matches a table of curves with a study.
    pub fn read(table: &Table, rules: &scenario::Published, source: String, study: &Study) -> Result<Self> {
        let cells = |name: &str| cells(table, name);
        let (methods, runs, rounds) = (cells(&rules.method)?, cells(&rules.run)?, table.integers(&rules.round)?);
        let mut out = Self { source, ..Self::default() };
        for metric in &study.metrics {
            match rules.metrics.get(metric) {
                Some(column) => {
                    // A column that was asked for must be there.
                    table.numbers_or_missing(column)?;
                    out.metrics.push((metric.clone(), column.clone()));
                }
                None if table.column(metric).is_some() => out.metrics.push((metric.clone(), metric.clone())),
                None => {}
            }
        }
        let columns: Vec<(&String, Vec<f64>)> =
            out.metrics.iter().map(|(m, c)| Ok((m, table.numbers_or_missing(c)?))).collect::<Result<_>>()?;
        for (i, arm) in study.arms.iter().enumerate() {
            let method = match rules.arms.get(&arm.label) {
                Some(name) => methods.iter().find(|m| *m == name),
                None => methods.iter().find(|m| !m.is_empty() && letters(m) == letters(&arm.label)),
            };
            let Some(method) = method else {
                if let Some(name) = rules.arms.get(&arm.label) {
                    out.notes.push(format!("no method `{name}` for {}", arm.label));
                }
                continue;
            };
            let mut by_run: BTreeMap<&str, RunCurve> = BTreeMap::new();
            for row in (0..methods.len()).filter(|&r| methods[r] == *method) {
                let n = by_run.len() as u64;
                let run = by_run.entry(&runs[row]).or_insert_with(|| RunCurve { seed: n, ..RunCurve::default() });
                let Ok(round) = usize::try_from(rounds[row]) else { continue };
                run.n_measured.resize(run.n_measured.len().max(round + 1), f64::NAN);
                run.n_measured[round] = round as f64;
                for (metric, values) in &columns {
                    let curve = run.values.entry(metric.to_string()).or_default();
                    curve.resize(curve.len().max(round + 1), f64::NAN);
                    curve[round] = values[row];
                }
            }
            let runs = by_run.into_values().collect();
            out.arms.push((i, StudyArm { label: method.clone(), runs, ..StudyArm::default() }));
        }
        if out.metrics.is_empty() {
            out.notes.push("no metric has a column in it; name them under [published.metrics]".into());
        }
        if out.arms.is_empty() {
            out.notes.push("no arm has a method in it; name them under [published.arms]".into());
        }
        Ok(out)
    }
}

/// Whether runs lie on both sides of 0 at round 0.
fn either_sign(arm: &StudyArm, metric: &str) -> bool {
    let start: Vec<f64> = arm.runs.iter().filter_map(|r| r.values.get(metric)?.first().copied()).collect();
    start.iter().any(|v| *v <= 0.0) && start.iter().any(|v| *v >= 0.0)
}

/// The mean curve of an arm over its value at round 0, or the reason why there is no such ratio.
pub struct RelativeCurve {
    /// The mean curve itself.
    pub mean: Vec<CurvePoint>,
    /// By round, over the value at round 0; or the reason why there is no ratio.
    pub ratio: std::result::Result<Vec<f64>, String>,
}

/// Divides the mean curve of an arm by its value at round 0.
pub fn relative(arm: &StudyArm, metric: &str) -> RelativeCurve {
    let mean = mean_curve(arm, metric);
    let ratio = match mean.first() {
        Some(p) if p.n == 0 => Err("has no value at round 0".to_string()),
        None => Err("has no run".to_string()),
        // What takes either sign may be 0 in truth. Errors cannot, however much they vary between runs.
        Some(p) if p.mean == 0.0 || (p.half_width >= p.mean.abs() && either_sign(arm, metric)) => {
            Err("is not clearly different from 0 at round 0".to_string())
        }
        Some(p) => Ok(mean.iter().map(|q| q.mean / p.mean).collect()),
    };
    RelativeCurve { mean, ratio }
}

/// What cannot be compared, and what was not found.
pub fn notes(study: &Study, published: &PublishedCurves) -> Vec<String> {
    let mut out = published.notes.clone();
    let mut reasons: Vec<(String, Vec<&str>)> = vec![];
    for (metric, _) in &published.metrics {
        for (who, theirs) in [("ours", false), ("published", true)] {
            for (i, method) in &published.arms {
                let arm = if theirs { method } else { &study.arms[*i] };
                let Err(why) = relative(arm, metric).ratio else { continue };
                let reason = format!("no ratio where {metric} ({who}) {why}");
                match reasons.iter_mut().find(|r| r.0 == reason) {
                    Some(r) => r.1.push(&arm.label),
                    None => reasons.push((reason, vec![&arm.label])),
                }
            }
        }
    }
    out.extend(reasons.into_iter().map(|(reason, arms)| format!("{reason}: {}", arms.join(", "))));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::fixtures::{published_losses, rules_for_losses, study_of_losses};

    #[test]
    fn matched_by_name_or_by_rule_and_divided_by_round_0() {
        let s = study_of_losses();
        let p = PublishedCurves::read(&published_losses(), &rules_for_losses(), "file".into(), &s).unwrap();
        let names: Vec<(usize, &str)> = p.arms.iter().map(|a| (a.0, a.1.label.as_str())).collect();
        assert_eq!(names, [(0, "Core-Set"), (1, "Random")]);
        assert_eq!(p.notes, ["no method `Nobody` for other"]);
        assert_eq!(p.metrics.iter().map(|m| m.1.as_str()).collect::<Vec<_>>(), ["loss", "mse"]);
        let notes = super::notes(&s, &p);
        let want = "no ratio where mse (published) is not clearly different from 0 at round 0: Core-Set, Random";
        assert_eq!(notes[1..], [want]);
    }

    #[test]
    fn only_what_takes_either_sign_can_be_too_near_0() {
        let arm = |starts: &[f64]| StudyArm {
            runs: starts
                .iter()
                .map(|v| RunCurve {
                    n_measured: vec![5.0],
                    values: BTreeMap::from([("m".to_string(), vec![*v])]),
                    ..RunCurve::default()
                })
                .collect(),
            ..StudyArm::default()
        };
        assert!(relative(&arm(&[0.1, -0.2, 0.4]), "m").ratio.is_err());
        assert!(relative(&arm(&[0.1, 90.0, 0.4]), "m").ratio.is_ok());
        assert!(relative(&arm(&[0.3, 0.31, 0.29]), "m").ratio.is_ok());
        assert!(relative(&arm(&[0.0, 0.0]), "m").ratio.is_err());
        assert!(relative(&arm(&[f64::NAN]), "m").ratio.is_err() && relative(&arm(&[]), "m").ratio.is_err());
    }

    #[test]
    fn missing_columns_are_named() {
        let rules = scenario::Published { method: "who".into(), ..Default::default() };
        let e = PublishedCurves::read(&published_losses(), &rules, "file".into(), &study_of_losses())
            .unwrap_err()
            .to_string();
        assert!(e.contains("who") && e.contains("paper_method"), "{e}");
        let rules =
            scenario::Published { metrics: BTreeMap::from([("focal".into(), "lost".into())]), ..Default::default() };
        let e = PublishedCurves::read(&published_losses(), &rules, "file".into(), &study_of_losses())
            .unwrap_err()
            .to_string();
        assert!(e.contains("lost"), "{e}");
    }
}
