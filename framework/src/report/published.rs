//! Published learning curves beside ours, both as a ratio to their own value at round 0: absolute values depend on the
//! data set, the shape of the curves is what can be compared.

use super::curves::{Looks, Words};
use super::summary::CurvePoint;
use super::{RunCurve, Study, StudyArm};
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
pub(super) fn cells(table: &Table, name: &str) -> crate::error::Result<Vec<String>> {
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
    pub fn read(
        table: &Table,
        rules: &scenario::Published,
        source: String,
        study: &Study,
    ) -> crate::error::Result<Self> {
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
        let columns: Vec<(&String, Vec<f64>)> = out
            .metrics
            .iter()
            .map(|(m, c)| Ok((m, table.numbers_or_missing(c)?)))
            .collect::<crate::error::Result<_>>()?;
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

/// The mean curve of an arm over its value at round 0, or why that says nothing.
struct Relative {
    mean: Vec<CurvePoint>,
    ratio: Result<Vec<f64>, String>,
}

fn relative(arm: &StudyArm, metric: &str) -> Relative {
    let mean = arm.curve(metric);
    let ratio = match mean.first() {
        Some(p) if p.n == 0 => Err("has no value at round 0".to_string()),
        None => Err("has no run".to_string()),
        // What takes either sign may be 0 in truth. Errors cannot, however much they vary between runs.
        Some(p) if p.mean == 0.0 || (p.half_width >= p.mean.abs() && either_sign(arm, metric)) => {
            Err("is not clearly different from 0 at round 0".to_string())
        }
        Some(p) => Ok(mean.iter().map(|q| q.mean / p.mean).collect()),
    };
    Relative { mean, ratio }
}

/// An arm and what is published of it, both over their value at round 0.
struct Pair<'a> {
    /// Index of the arm.
    arm: usize,
    ours: &'a StudyArm,
    theirs: &'a StudyArm,
    ratios: [Vec<f64>; 2],
}

impl Study {
    /// A row a matched arm, metric and round.
    pub(super) fn published_table(&self, published: &PublishedCurves) -> Table {
        let (mut text, mut round): ([Vec<Option<String>>; 4], Vec<i64>) = Default::default();
        let mut numbers: [Vec<f64>; 4] = Default::default();
        let mut counts: [Vec<i64>; 2] = Default::default();
        for (i, theirs) in &published.arms {
            for (metric, column) in &published.metrics {
                let (a, b) = (relative(&self.arms[*i], metric), relative(theirs, metric));
                for t in 0..a.mean.len().max(b.mean.len()) {
                    let words = [&self.arms[*i].label, &theirs.label, metric, column];
                    text.iter_mut().zip(words).for_each(|(c, w)| c.push(Some(w.clone())));
                    round.push(t as i64);
                    for (k, r) in [&a, &b].into_iter().enumerate() {
                        let ratio = r.ratio.as_ref().ok().and_then(|v| v.get(t)).copied();
                        numbers[2 * k].push(r.mean.get(t).map_or(f64::NAN, |p| p.mean));
                        numbers[2 * k + 1].push(ratio.unwrap_or(f64::NAN));
                        counts[k].push(r.mean.get(t).map_or(0, |p| p.n as i64));
                    }
                }
            }
        }
        let ([arm, method, metric, column], [ours, ours_ratio, theirs, theirs_ratio]) = (text, numbers);
        let [n_ours, n_theirs] = counts;
        Table::new()
            .with("arm", Column::Text(arm))
            .with("method", Column::Text(method))
            .with("metric", Column::Text(metric))
            .with("published_column", Column::Text(column))
            .with("round", Column::Integer(round))
            .with("ours", Column::Number(ours))
            .with("ours_ratio", Column::Number(ours_ratio))
            .with("n_ours", Column::Integer(n_ours))
            .with("published", Column::Number(theirs))
            .with("published_ratio", Column::Number(theirs_ratio))
            .with("n_published", Column::Integer(n_theirs))
    }

    /// What cannot be compared, and what was not found.
    pub(super) fn published_notes(&self, published: &PublishedCurves) -> Vec<String> {
        let mut out = published.notes.clone();
        let mut reasons: Vec<(String, Vec<&str>)> = vec![];
        for (metric, _) in &published.metrics {
            for (who, theirs) in [("ours", false), ("published", true)] {
                for (i, method) in &published.arms {
                    let arm = if theirs { method } else { &self.arms[*i] };
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

    /// The matched curves of a metric as a study of their own, and how it is drawn: ours solid, published dashed, in
    /// one panel for few methods and in one each for many. Nothing where no pair has both ratios.
    pub(super) fn published_figure(&self, published: &PublishedCurves, metric: &str) -> Option<(Study, Looks)> {
        let pairs: Vec<Pair> = published
            .arms
            .iter()
            .filter_map(|(i, theirs)| {
                let ours = &self.arms[*i];
                let ratios = [relative(ours, metric).ratio.ok()?, relative(theirs, metric).ratio.ok()?];
                Some(Pair { arm: *i, ours, theirs, ratios })
            })
            .collect();
        if pairs.is_empty() {
            return None;
        }
        let curve = |label: String, ratio: &[f64]| StudyArm {
            label,
            runs: vec![RunCurve {
                seed: 0,
                n_measured: (0..ratio.len()).map(|t| t as f64).collect(),
                values: BTreeMap::from([(metric.to_string(), ratio.to_vec())]),
            }],
            ..StudyArm::default()
        };
        let arms = pairs
            .iter()
            .flat_map(|p| {
                let [ours, theirs] = &p.ratios;
                [
                    curve(format!("{}, ours", p.ours.label), ours),
                    curve(format!("{}, published", p.theirs.label), theirs),
                ]
            })
            .collect();
        let labels: Vec<String> = pairs.iter().map(|p| p.ours.label.clone()).collect();
        let reference = pairs.iter().position(|p| self.arms.iter().any(|a| a.reference == Some(p.arm)));
        let column = published.metrics.iter().find(|m| m.0 == *metric).map_or("", |m| &m.1);
        let n = |side: fn(&Pair) -> usize| pairs.iter().map(side).max().unwrap_or(0);
        let words = Words {
            subtitle: format!("mean {metric}, and {column} as published, over their own value at round 0"),
            x: "round".into(),
            y: format!("{metric} / {metric} at round 0"),
            note: format!(
                "Solid: ours (n = {}). Dashed: published (n = {}; {}).",
                n(|p| p.ours.runs.len()),
                n(|p| p.theirs.runs.len()),
                published.source
            ),
        };
        let study = Study {
            name: format!("{}: against published curves", self.name),
            metrics: vec![metric.to_string()],
            arms,
            ..Study::default()
        };
        Some((study, Looks::of_pairs(&labels, reference, words)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn published() -> Table {
        let words = |v: &[&str]| Column::Text(v.iter().map(|s| Some(s.to_string())).collect());
        Table::new()
            .with("paper_method", words(&["Core-Set", "Core-Set", "Core-Set", "Core-Set", "Random", "Random"]))
            .with("run", Column::Integer(vec![1, 1, 2, 2, 1, 1]))
            .with("round", Column::Integer(vec![0, 1, 0, 1, 1, 0]))
            .with("loss", Column::Number(vec![4.0, 2.0, 4.2, 1.0, 3.0, 4.0]))
            .with("mse", Column::Number(vec![0.0; 6]))
    }

    fn study() -> Study {
        let arm = |label: &str, v: [f64; 2]| StudyArm {
            label: label.into(),
            runs: vec![RunCurve {
                seed: 0,
                n_measured: vec![5.0, 10.0],
                values: BTreeMap::from([("focal".to_string(), v.to_vec()), ("mse".to_string(), vec![2.0, 1.0])]),
            }],
            ..StudyArm::default()
        };
        Study {
            name: "s".into(),
            metrics: vec!["focal".into(), "mse".into(), "hit_ratio".into()],
            arms: vec![arm("core_set", [10.0, 4.0]), arm("by_hand", [8.0, 6.0]), arm("other", [1.0, 1.0])],
            ..Study::default()
        }
    }

    #[test]
    fn matched_by_name_or_by_rule_and_divided_by_round_0() {
        let rules = scenario::Published {
            metrics: BTreeMap::from([("focal".into(), "loss".into())]),
            arms: BTreeMap::from([("by_hand".into(), "Random".into()), ("other".into(), "Nobody".into())]),
            ..Default::default()
        };
        let s = study();
        let p = PublishedCurves::read(&published(), &rules, "file".into(), &s).unwrap();
        let names: Vec<(usize, &str)> = p.arms.iter().map(|a| (a.0, a.1.label.as_str())).collect();
        assert_eq!(names, [(0, "Core-Set"), (1, "Random")]);
        assert_eq!(p.notes, ["no method `Nobody` for other"]);
        assert_eq!(p.metrics.iter().map(|m| m.1.as_str()).collect::<Vec<_>>(), ["loss", "mse"]);
        let t = s.published_table(&p);
        // Two arms, two metrics, two rounds.
        assert_eq!(t.height(), 8);
        assert_eq!(t.numbers("ours_ratio").unwrap()[..2], [1.0, 0.4]);
        let theirs = t.numbers_or_missing("published_ratio").unwrap();
        assert!((theirs[1] - 1.5 / 4.1).abs() < 1e-12 && (theirs[5] - 0.75).abs() < 1e-12, "{theirs:?}");
        assert_eq!(t.integers("n_published").unwrap()[..2], [2, 2]);
        // Zero at round 0 has no ratio.
        assert!(theirs[2].is_nan() && theirs[3].is_nan());
        let notes = s.published_notes(&p);
        let want = "no ratio where mse (published) is not clearly different from 0 at round 0: Core-Set, Random";
        assert_eq!(notes[1..], [want]);
        assert!(s.published_figure(&p, "mse").is_none());
        let (figure, looks) = s.published_figure(&p, "focal").unwrap();
        assert_eq!(figure.arms.len(), 4);
        let styles = looks.styles();
        assert!(styles[0].colour == styles[1].colour && styles[0].dash.is_empty() && !styles[1].dash.is_empty());
        assert_ne!(styles[0].colour, styles[2].colour);
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
    fn missing_columns_are_told() {
        let rules = scenario::Published { method: "who".into(), ..Default::default() };
        let e = PublishedCurves::read(&published(), &rules, "file".into(), &study()).unwrap_err().to_string();
        assert!(e.contains("who") && e.contains("paper_method"), "{e}");
        let rules =
            scenario::Published { metrics: BTreeMap::from([("focal".into(), "lost".into())]), ..Default::default() };
        let e = PublishedCurves::read(&published(), &rules, "file".into(), &study()).unwrap_err().to_string();
        assert!(e.contains("lost"), "{e}");
    }
}
