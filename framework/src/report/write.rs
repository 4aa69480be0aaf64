//! The folder of a report.

use super::draw::figure::{files_of, write_figure};
use super::draw::font::register_fonts;
use super::draw::layout::{Layout, method_styles};
use super::draw::theme::Style;
use super::draw::{curves, heat, published, ranks, tradeoff};
use super::files::{plain, put};
use super::model::report::Report;
use super::model::results::Results;
use super::model::study::Study;
use super::model::summary::Summary;
use super::model::view::View;
use super::page::{Appendix, html};
use super::tables;
use super::text::{markdown, notes};
use crate::error::{Error, Result};
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use table::Table;

/// Tables that only some reports have.
const OPTIONAL: [&str; 6] =
    ["groups.csv", "speedup.csv", "claims.csv", "ranks.csv", "published.csv", "published_values.csv"];

/// Writes `arms.csv`, `curves.csv`, a figure for each metric as `curves_METRIC.svg` and `.png`, for a grid of two axes
/// also `heat_METRIC` of the first metric, where error and hits are reported `tradeoff`, where methods can be ranked over
/// blocks `ranks_METRIC` and `ranks.csv`, `report.md`, and `report.html`, and gives their paths; with [`View::by`]
/// `groups.csv`, with two arms `speedup.csv`, with claims `claims.csv`, with published curves `published.csv` and figures
/// `published_METRIC`, with published numbers `published_values.csv`. Each file appears whole or not at all; equal reports
/// give equal files.
pub fn write(report: &Report, dir: &Path) -> Result<Vec<PathBuf>> {
    let study = &report.study;
    prepare(study, dir)?;
    let results = Results::of(report);
    let summary = &results.summary;
    let layout = Layout::new(study, &summary.order);
    let styles = method_styles(study, &layout, &summary.order);
    let figures = write_figures(report, &results, &layout, &styles, dir)?;

    let mut paths = vec![dir.join("arms.csv"), dir.join("curves.csv")];
    table::write_csv(&tables::arms(study, summary), &paths[0])?;
    table::write_csv(&tables::curves(study, &report.view.cost), &paths[1])?;
    let optional = optional_tables(report, &results);
    // Of an earlier report that had more to say.
    for name in OPTIONAL {
        if !optional.iter().any(|t| t.0 == name) {
            let _ = std::fs::remove_file(dir.join(name));
        }
    }
    for (name, _, t) in &optional {
        table::write_csv(t, &dir.join(name))?;
        paths.push(dir.join(name));
    }
    paths.extend(figures.iter().flat_map(|name| files_of(dir, name)));
    let names: Vec<&str> = figures.iter().map(String::as_str).collect();
    paths.push(dir.join("report.md"));
    put(&dir.join("report.md"), |part| std::fs::write(part, markdown::text(report, &results, &names)))?;
    let appendix = Appendix {
        tables: optional.into_iter().map(|(_, title, t)| (title, t)).collect(),
        notes: [notes::arms(study, summary, true), notes::seeds_needed(study, summary)].concat(),
        files: paths.iter().filter_map(|p| Some(p.file_name()?.to_string_lossy().into_owned())).collect(),
    };
    let page = html(report, &results, &styles, &appendix);
    put(&dir.join("report.html"), |part| std::fs::write(part, page))?;
    paths.push(dir.join("report.html"));
    Ok(paths)
}

/// Writes the curves of each metric as figures `STEM_METRIC.svg` and `.png`, and as a table `STEM.csv`; gives the paths.
pub fn write_curves(study: &Study, view: &View, dir: &Path, stem: &str) -> Result<Vec<PathBuf>> {
    prepare(study, dir)?;
    let layout = Layout::new(study, &Summary::of(study).order);
    let mut paths = vec![dir.join(format!("{}.csv", plain(stem)))];
    table::write_csv(&tables::curves(study, &view.cost), &paths[0])?;
    for m in &study.metrics {
        if let Some(name) = write_figure(curves::draw(study, view, &layout, m), &format!("{stem}_{m}"), dir)? {
            paths.extend(files_of(dir, &name));
        }
    }
    Ok(paths)
}

fn prepare(study: &Study, dir: &Path) -> Result<()> {
    study.check()?;
    register_fonts()?;
    std::fs::create_dir_all(dir).map_err(Error::io(dir, "making the report's folder"))
}

/// Writes all figures and gives their names, in the order of the report.
fn write_figures(
    report: &Report,
    results: &Results,
    layout: &Layout,
    styles: &[Style],
    dir: &Path,
) -> Result<Vec<String>> {
    let Report { study, view, comparisons } = report;
    let first = &study.metrics[0];
    let mut names = vec![];
    names.extend(write_figure(heat::draw(study, &results.summary, first), &format!("heat_{first}"), dir)?);
    names.extend(write_figure(tradeoff::draw(study, &view.by, &results.groups), "tradeoff", dir)?);
    let drawn: Vec<Option<String>> = study
        .metrics
        .par_iter()
        .map(|m| write_figure(curves::draw(study, view, layout, m), &format!("curves_{m}"), dir))
        .collect::<Result<_>>()?;
    names.extend(drawn.into_iter().flatten());
    for r in &results.rankings {
        names.extend(write_figure(ranks::draw(&study.name, r, styles), &format!("ranks_{}", r.metric), dir)?);
    }
    if let Some(p) = &comparisons.curves {
        for (metric, _) in &p.metrics {
            names.extend(write_figure(published::draw(study, p, metric), &format!("published_{metric}"), dir)?);
        }
    }
    Ok(names)
}

/// File name, title and content of the tables that this report has.
fn optional_tables(report: &Report, results: &Results) -> Vec<(&'static str, &'static str, Table)> {
    let Report { study, view, comparisons } = report;
    let mut out = vec![];
    if !view.by.is_empty() {
        out.push(("groups.csv", "Effects of each choice", tables::groups(&results.groups)));
    }
    if !results.speedups.is_empty() {
        out.push(("speedup.csv", "Speed-up", tables::speedups(study, &view.cost, &results.speedups)));
    }
    if !results.judgements.is_empty() {
        out.push(("claims.csv", "Claims", tables::claims(&results.judgements)));
    }
    if !results.rankings.is_empty() {
        out.push(("ranks.csv", "Ranks of methods", tables::ranks(&results.rankings)));
    }
    if let Some(p) = &comparisons.curves {
        out.push(("published.csv", "Published curves", tables::published_curves(study, p)));
    }
    if comparisons.values.is_some() {
        out.push(("published_values.csv", "Published numbers", tables::published_values(&results.values)));
    }
    out
}

#[cfg(test)]
mod tests;
