//! Published curves and numbers beside ours.

use super::plan::Plan;
use crate::error::Result;
use crate::report::{PublishedCurves, PublishedTable, Report, StudyArm};
use crate::scenario::Published;
use std::path::Path;

/// Adds the published curves and numbers that the scenario names, the curves from the file `against` instead if there is
/// one. Gives what is not there to compare with, in words.
pub fn add_published(report: &mut Report, plan: &Plan, against: Option<&Path>) -> Result<Vec<String>> {
    let rules = plan.sweep.published.clone().unwrap_or_default();
    let mut missing = vec![];
    missing.extend(add_values(report, plan, &rules)?);
    missing.extend(add_curves(report, plan, &rules, against)?);
    Ok(missing)
}

fn add_curves(report: &mut Report, plan: &Plan, rules: &Published, against: Option<&Path>) -> Result<Option<String>> {
    let Some(file) = against.map(Path::to_path_buf).or(rules.file.clone()) else { return Ok(None) };
    let below = plan.data.path(&file);
    let path = if against.is_some() && file.is_file() { file.clone() } else { below };
    if !path.is_file() {
        return Ok(Some(format!(
            "{}: no such file, so nothing published is compared; give a path that exists or point --data-dir (or \
             SCREENWRIGHT_DATA) at the folder that has it",
            path.display()
        )));
    }
    let source = file.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let curves = PublishedCurves::read(&table::read(&path)?, rules, source, &report.study)?;
    report.comparisons.curves = Some(curves);
    Ok(None)
}

fn add_values(report: &mut Report, plan: &Plan, rules: &Published) -> Result<Option<String>> {
    let Some(values) = &rules.values else { return Ok(None) };
    let path = plan.data.path(&values.file);
    if !path.is_file() {
        return Ok(Some(format!("{}: no such file, so no published number is printed beside ours", path.display())));
    }
    let source = values.file.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    let axes = |arm: &StudyArm| -> Vec<(String, String)> {
        let of = plan.sweep.arms.iter().find(|a| a.label == arm.label);
        of.map_or_else(|| report.study.axes.iter().cloned().zip(arm.cell.iter().cloned()).collect(), |a| a.axes.clone())
    };
    let values = PublishedTable::read(&table::read(&path)?, values, source, &report.study, axes)?;
    report.comparisons.values = Some(values);
    Ok(None)
}
