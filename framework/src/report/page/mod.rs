//! The report as one self-contained HTML file: the study as data, and the scripts in `page/` that show it.

use super::draw::theme::{self, Style};
use super::model::curve::{CurvePoint, mean_curve};
use super::model::paired::Paired;
use super::model::ranking::Ranking;
use super::model::report::Report;
use super::model::results::Results;
use super::model::study::{Study, larger_is_better};
use super::model::summary::ArmSummary;
use super::text::warnings::warnings;
use crate::metric::find;
use serde_json::{Value, json};
use table::{Column, Table};

const HTML: &str = include_str!("page.html");
const CSS: &str = include_str!("page.css");
/// The parts of the script, which share one scope: what is shown, tools, the parts of the page, and what starts them.
const JS: [&str; 8] = [
    include_str!("study.js"),
    include_str!("base.js"),
    include_str!("arms.js"),
    include_str!("curves.js"),
    include_str!("heat.js"),
    include_str!("figures.js"),
    include_str!("sections.js"),
    include_str!("main.js"),
];
/// Arms whose weights, and whose alignment, are shown, the best ones.
const MOST_TRACES: usize = 40;
/// Rows of a table that the page shows; the files have all.
const MOST_ROWS: usize = 1000;

/// What the page shows after the arms.
pub struct Appendix {
    /// Tables with their titles.
    pub tables: Vec<(&'static str, Table)>,
    /// How to read the numbers.
    pub notes: Vec<String>,
    /// Names of the files in its folder.
    pub files: Vec<String>,
}

/// The page as text.
pub fn html(report: &Report, results: &Results, styles: &[Style], appendix: &Appendix) -> String {
    let data = data(report, results, styles, appendix);
    // Only strings of JSON hold a `<`, and none that opens or ends anything may reach the page.
    let data = data.to_string().replace('<', "\\u003c");
    let title = report.study.name.replace('&', "&amp;").replace('<', "&lt;");
    let script = format!("\"use strict\";\n(() => {{\n{}}})();", JS.concat());
    HTML.replacen("{{title}}", &title, 1).replacen("/*{{css}}*/", CSS, 1).replacen("/*{{js}}*/", &script, 1).replacen(
        "{{study}}",
        &data,
        1,
    )
}

fn data(report: &Report, results: &Results, styles: &[Style], appendix: &Appendix) -> Value {
    let Report { study, view, .. } = report;
    let summary = &results.summary;
    let settings = differing_settings(study);
    let arms: Vec<Value> = study
        .arms
        .iter()
        .enumerate()
        .map(|(a, arm)| {
            let measured: Vec<f64> = mean_curve(arm, &study.metrics[0]).iter().map(|p| p.n_measured).collect();
            let rounds = || measured.iter().enumerate().map(|(t, n)| (t as f64, *n));
            json!({
                "label": arm.label,
                "cell": arm.cell,
                "reference": arm.reference,
                "is_reference": study.is_reference(a),
                "seeds": arm.runs.iter().map(|r| r.seed).collect::<Vec<_>>(),
                "look": look(&styles[a]),
                "ranked": summary.rank(a),
                "n_measured": numbers(measured.iter().copied()),
                "cost": numbers(rounds().map(|(t, n)| view.cost.money(t, n))),
                "months": numbers(rounds().map(|(t, _)| view.cost.months(t))),
                "seconds": arm.seconds.map(|s| json!({
                    "fit": number(s.fit), "predict": number(s.predict), "select": number(s.select),
                    "measure": number(s.measure), "other": number(s.other),
                })),
                "settings": settings.iter().map(|p| arm.settings.get(p).cloned().unwrap_or_default()).collect::<Vec<_>>(),
            })
        })
        .collect();
    let curves: Vec<Value> = study
        .metrics
        .iter()
        .map(|m| study.arms.iter().map(|arm| curve(&mean_curve(arm, m))).collect::<Vec<_>>().into())
        .collect();
    let summaries: Vec<Value> = (0..study.metrics.len())
        .map(|m| summary.by_metric(m).map(|r| summary_value(study, r)).collect::<Vec<_>>().into())
        .collect();
    let metrics: Vec<Value> = study
        .metrics
        .iter()
        .enumerate()
        .map(|(m, name)| {
            let ceiling = summary.ceilings(m).map(|(lo, hi)| [number(lo), number(hi)]);
            json!({
                "name": name,
                "definition": find(name).map_or("", |f| f.definition),
                "larger": larger_is_better(name),
                "ceiling": ceiling,
            })
        })
        .collect();
    json!({
        "format": 1,
        "name": study.name,
        "question": study.question.trim(),
        "command": study.command,
        "metrics": metrics,
        "axes": study.axes,
        "screens": study.screens,
        "has_cost": true,
        "arms": arms,
        "settings": settings,
        "curves": curves,
        "summary": summaries,
        "ranks": results.rankings.iter().map(ranks).collect::<Vec<_>>(),
        "traces": traces(study, &summary.order),
        "tables": appendix.tables.iter().map(|(title, t)| table_value(title, t)).collect::<Vec<_>>(),
        "notes": appendix.notes,
        "warnings": warnings(study, summary),
        "provenance": study.provenance,
        "files": appendix.files,
    })
}

fn summary_value(study: &Study, r: &ArmSummary) -> Value {
    let difference = r.difference.as_ref().map(|d| {
        json!({
            "reference": study.arms.iter().position(|a| a.label == d.reference),
            "aulc": paired(&d.aulc),
            "final": paired(&d.last),
        })
    });
    json!({
        "n": r.n_seeds,
        "final": whole(r.final_mean), "final_half": whole(r.final_half_width),
        "aulc": whole(r.aulc_mean), "aulc_half": whole(r.aulc_half_width),
        "difference": difference,
    })
}

/// Dotted paths on which the resolved scenarios of the arms differ.
fn differing_settings(study: &Study) -> Vec<String> {
    let mut paths: Vec<&String> = study.arms.iter().flat_map(|a| a.settings.keys()).collect();
    paths.sort_unstable();
    paths.dedup();
    let first = |p: &String| study.arms.first().and_then(|a| a.settings.get(p));
    paths.into_iter().filter(|p| study.arms.iter().any(|a| a.settings.get(*p) != first(p))).cloned().collect()
}

/// Weights and alignment of kernels by round, the best arms that have any.
fn traces(study: &Study, order: &[usize]) -> Vec<Value> {
    let mut out = vec![];
    for (what, name, prefixes) in [
        ("kernel weights", "weight", &["weight "][..]),
        ("kernel alignment", "alignment", &["alignment"][..]),
        ("kernel alignment", "centred_alignment", &["centred_alignment"][..]),
    ] {
        let most = out.len() + MOST_TRACES;
        for &a in order {
            let arm = &study.arms[a];
            let mut columns: Vec<&String> = arm.runs.iter().flat_map(|r| r.values.keys()).collect();
            columns.retain(|c| prefixes.iter().any(|p| c.starts_with(p)));
            columns.sort_unstable();
            columns.dedup();
            if columns.is_empty() || out.len() >= most {
                continue;
            }
            let curves: Vec<Value> = columns
                .into_iter()
                .map(|c| {
                    let label = c.split_once(' ').map_or("model", |s| s.1);
                    let mut v = curve(&mean_curve(arm, c));
                    v["label"] = label.into();
                    v
                })
                .collect();
            out.push(json!({ "title": arm.label, "what": what, "name": name, "curves": curves }));
        }
    }
    out
}

/// A number as it is, so that the page rounds it as tables do; null where it is missing.
fn whole(v: f64) -> Value {
    if v.is_finite() { Value::from(v) } else { Value::Null }
}

/// A number with six significant digits; null where it is missing.
fn number(v: f64) -> Value {
    if !v.is_finite() {
        return Value::Null;
    }
    if v == v.trunc() && v.abs() < 1e15 {
        return Value::from(v as i64);
    }
    let digits = 5 - v.abs().log10().floor() as i32;
    let rounded = match digits {
        0..=15 => {
            let scale = 10f64.powi(digits);
            (v * scale).round() / scale
        }
        _ => format!("{v:.5e}").parse().unwrap_or(v),
    };
    Value::from(rounded)
}

fn numbers(v: impl Iterator<Item = f64>) -> Vec<Value> {
    v.map(number).collect()
}

fn curve(points: &[CurvePoint]) -> Value {
    json!({
        "mean": numbers(points.iter().map(|p| p.mean)),
        "lo": numbers(points.iter().map(|p| p.mean - p.half_width)),
        "hi": numbers(points.iter().map(|p| p.mean + p.half_width)),
        "n": points.iter().map(|p| p.n).collect::<Vec<_>>(),
    })
}

fn paired(p: &Paired) -> Value {
    json!({
        "n": p.n, "mean": whole(p.mean), "lo": whole(p.lo), "hi": whole(p.hi),
        "boot_lo": whole(p.boot[0]), "boot_hi": whole(p.boot[1]),
        "p": whole(p.p), "p_wilcoxon": whole(p.p_wilcoxon), "p_holm": whole(p.p_holm),
        "seeds_needed": p.seeds_needed,
    })
}

fn ranks(r: &Ranking) -> Value {
    json!({
        "metric": r.metric, "blocks": r.blocks, "n_blocks": r.n_blocks, "alpha": 0.05,
        "cd": number(r.ranks.critical_difference), "chi2": number(r.ranks.chi2),
        "df": r.methods.len() - 1, "p": number(r.ranks.p),
        "methods": r.methods.iter().map(|m| json!({ "label": m.0, "rank": number(m.1), "arm": m.2 })).collect::<Vec<_>>(),
        "cliques": r.cliques.iter().map(|c| [c.0, c.1]).collect::<Vec<_>>(),
    })
}

fn look(s: &Style) -> Value {
    let hex = |c: plotters::style::RGBColor| format!("#{:02X}{:02X}{:02X}", c.0, c.1, c.2);
    let dash: Vec<String> = s.dash.iter().map(f64::to_string).collect();
    json!({
        "light": hex(s.colour), "dark": hex(theme::on_dark(s.colour)), "dash": dash.join(" "),
        "marker": s.marker.word(),
    })
}

fn table_value(title: &str, t: &Table) -> Value {
    let names: Vec<&str> = t.names();
    let columns: Vec<&Column> = names.iter().filter_map(|n| t.column(n)).collect();
    let cell = |c: &Column, row: usize| match c {
        Column::Text(v) => v[row].clone().unwrap_or_default(),
        Column::Integer(v) => v[row].to_string(),
        Column::Number(v) => match v[row] {
            v if !v.is_finite() => String::new(),
            v => number(v).to_string(),
        },
        Column::Flag(v) => v[row].to_string(),
    };
    let shown = t.height().min(MOST_ROWS);
    let rows: Vec<Vec<String>> = (0..shown).map(|r| columns.iter().map(|c| cell(c, r)).collect()).collect();
    let title = match t.height() > shown {
        true => format!("{title} (the first {shown} of {} rows)", t.height()),
        false => title.to_string(),
    };
    json!({
        "title": title, "columns": names,
        "numeric": columns.iter().map(|c| !matches!(c, Column::Text(_))).collect::<Vec<_>>(), "rows": rows,
    })
}
