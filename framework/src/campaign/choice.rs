//! Which arms of which studies a report is about: several scenarios as one, or some arms of one.

use crate::error::{Error, Result, hint};
use crate::report::{Report, Study, StudyArm, View};
use std::collections::BTreeMap;

/// Several studies as one whose first axis is the scenario.
pub fn combined(reports: Vec<Report>) -> Result<Report> {
    let Some(cost) = reports.first().map(|r| r.view.cost) else {
        return Err(Error::Config("no scenario given".into()));
    };
    let studies: Vec<Study> = reports.into_iter().map(|r| r.study).collect();
    let first = &studies[0];
    let metrics: Vec<String> =
        first.metrics.iter().filter(|m| studies.iter().all(|s| s.metrics.contains(m))).cloned().collect();
    if metrics.is_empty() {
        let lists: Vec<String> = studies.iter().map(|s| format!("{}: {}", s.name, s.metrics.join(", "))).collect();
        return Err(Error::Config(format!("the scenarios share no metric ({})", lists.join("; "))));
    }
    let alike = studies.iter().all(|s| s.axes == first.axes);
    let own = if alike { first.axes.clone() } else { vec!["arm".to_string()] };
    let mut out = Study {
        name: studies.iter().map(|s| s.name.as_str()).collect::<Vec<_>>().join(" and "),
        metrics,
        axes: std::iter::once("scenario".to_string()).chain(own).collect(),
        screens: Some("scenario".into()),
        seeds: first.seeds.clone(),
        command: studies.iter().map(|s| s.command.as_str()).collect::<Vec<_>>().join(" && "),
        ..Study::default()
    };
    for s in studies {
        let before = out.arms.len();
        for arm in s.arms {
            let rest = if alike { arm.cell } else { vec![arm.label.clone()] };
            out.arms.push(StudyArm {
                label: format!("{} / {}", s.name, arm.label),
                reference: arm.reference.map(|r| r + before),
                cell: std::iter::once(s.name.clone()).chain(rest).collect(),
                ..arm
            });
        }
        for p in s.provenance {
            if !out.provenance.contains(&p) {
                out.provenance.push(p);
            }
        }
        out.unreadable.extend(s.unreadable);
    }
    Ok(Report { study: out, view: View { cost, ..View::default() }, ..Default::default() })
}

/// The place of an axis on which arms differ; `option` asked for it.
pub fn known_axis(study: &Study, axis: &str, option: &str) -> Result<usize> {
    study.axes.iter().position(|a| a == axis).ok_or_else(|| {
        let near = hint(axis, study.axes.iter().map(String::as_str));
        let list = if near.is_empty() { format!("; there are: {}", study.axes.join(", ")) } else { near };
        Error::Config(format!("{option} {axis}: no axis of this scenario on which arms differ{list}"))
    })
}

/// Keeps the arms with the values asked for and gives the name of the report's folder.
pub fn restrict(report: &mut Report, only: &[String]) -> Result<String> {
    let study = &report.study;
    let mut wanted: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for rule in only {
        let Some((axis, value)) = rule.split_once('=') else {
            return Err(Error::Config(format!(
                "--where {rule}: write an axis and a value, such as --where model=forest"
            )));
        };
        let x = known_axis(study, axis.trim(), "--where")?;
        let value = value.trim();
        if !study.arms.iter().any(|a| a.cell.get(x).is_some_and(|v| v == value)) {
            let mut values: Vec<&str> = study.arms.iter().filter_map(|a| a.cell.get(x)).map(String::as_str).collect();
            values.sort_unstable();
            values.dedup();
            let near = hint(value, values.iter().copied());
            let list = if near.is_empty() { format!("; there are: {}", values.join(", ")) } else { near };
            return Err(Error::Config(format!("--where {rule}: no arm has `{value}`{list}")));
        }
        wanted.entry(x).or_default().push(value);
    }
    let keep: Vec<usize> = (0..study.arms.len())
        .filter(|&i| wanted.iter().all(|(&x, v)| study.arms[i].cell.get(x).is_some_and(|c| v.contains(&c.as_str()))))
        .collect();
    if keep.is_empty() {
        return Err(Error::Config(format!("no arm fits all of: {}", only.join(", "))));
    }
    report.keep(&keep);
    let Report { study, view, .. } = report;
    let arms = &mut study.arms;
    let folder = std::iter::once("report".to_string()).chain(only.iter().map(|rule| {
        let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
        rule.chars().map(safe).collect::<String>()
    }));
    let folder = folder.collect::<Vec<_>>().join("-");
    // Axes on which the arms left no longer differ leave the labels.
    let differs: Vec<bool> =
        (0..study.axes.len()).map(|x| arms.iter().any(|a| a.cell.get(x) != arms[0].cell.get(x))).collect();
    if !only.is_empty() {
        let kept = |all: &[String]| all.iter().zip(&differs).filter(|d| *d.1).map(|d| d.0.clone()).collect::<Vec<_>>();
        for arm in arms {
            arm.cell = kept(&arm.cell);
            if !arm.cell.is_empty() {
                arm.label = arm.cell.join(" / ");
            }
        }
        study.axes = kept(&study.axes);
        view.by.retain(|b| study.axes.contains(b));
        study.name = format!("{}: {}", study.name, only.join(", "));
    }
    Ok(folder)
}
