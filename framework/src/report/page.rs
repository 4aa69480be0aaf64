//! The report as one self-contained HTML file: the study as data, and the scripts in `page/` that show it.

use super::evidence::Ranking;
use super::summary::larger_is_better;
use super::theme::{self, Style};
use super::{ArmSummary, Paired, Study};
use crate::metrics::find;
use crate::store::CEILING;
use serde_json::{Value, json};
use table::{Column, Table};

const HTML: &str = include_str!("page/page.html");
const CSS: &str = include_str!("page/page.css");
/// The parts of the script, which share one scope: what is shown, tools, the parts of the page, and what starts them.
const JS: [&str; 8] = [
    include_str!("page/study.js"),
    include_str!("page/base.js"),
    include_str!("page/arms.js"),
    include_str!("page/curves.js"),
    include_str!("page/heat.js"),
    include_str!("page/figures.js"),
    include_str!("page/sections.js"),
    include_str!("page/main.js"),
];
/// Arms whose weights, and whose alignment, are shown, the best ones.
const MOST_TRACES: usize = 40;
/// Rows of a table that the page shows; the files have all.
const MOST_ROWS: usize = 1000;

/// What the page shows beside the arms: tables with their titles, and the names of the files in its folder.
pub(super) struct Beside {
    pub tables: Vec<(&'static str, Table)>,
    pub notes: Vec<String>,
    pub files: Vec<String>,
}

impl Study {
    /// The page as text.
    pub(super) fn page(
        &self,
        rows: &[ArmSummary],
        order: &[usize],
        styles: &[Style],
        rankings: &[Ranking],
        beside: &Beside,
    ) -> String {
        let study = self.page_data(rows, order, styles, rankings, beside);
        // Only strings of JSON hold a `<`, and none that opens or ends anything may reach the page.
        let data = study.to_string().replace('<', "\\u003c");
        let title = self.name.replace('&', "&amp;").replace('<', "&lt;");
        let script = format!("\"use strict\";\n(() => {{\n{}}})();", JS.concat());
        HTML.replacen("{{title}}", &title, 1)
            .replacen("/*{{css}}*/", CSS, 1)
            .replacen("/*{{js}}*/", &script, 1)
            .replacen("{{study}}", &data, 1)
    }

    fn page_data(
        &self,
        rows: &[ArmSummary],
        order: &[usize],
        styles: &[Style],
        rankings: &[Ranking],
        beside: &Beside,
    ) -> Value {
        let n_metrics = self.metrics.len();
        let settings = self.differing_settings();
        let arms: Vec<Value> = self
            .arms
            .iter()
            .enumerate()
            .map(|(a, arm)| {
                let measured: Vec<f64> = self.arms[a].curve(&self.metrics[0]).iter().map(|p| p.n_measured).collect();
                let rounds = || measured.iter().enumerate().map(|(t, n)| (t as f64, *n));
                json!({
                    "label": arm.label,
                    "cell": arm.cell,
                    "reference": arm.reference,
                    "is_reference": self.arms.iter().any(|o| o.reference == Some(a)),
                    "seeds": arm.runs.iter().map(|r| r.seed).collect::<Vec<_>>(),
                    "look": look(&styles[a]),
                    "ranked": order.iter().position(|&o| o == a).map_or(0, |r| r + 1),
                    "n_measured": numbers(measured.iter().copied()),
                    "cost": numbers(rounds().map(|(t, n)| self.cost.money(t, n))),
                    "months": numbers(rounds().map(|(t, _)| self.cost.months(t))),
                    "seconds": arm.seconds.map(|s| json!({
                        "fit": number(s.fit), "predict": number(s.predict), "select": number(s.select),
                        "measure": number(s.measure), "other": number(s.other),
                    })),
                    "settings": settings.iter().map(|p| arm.settings.get(p).cloned().unwrap_or_default()).collect::<Vec<_>>(),
                })
            })
            .collect();
        let curves: Vec<Value> = self
            .metrics
            .iter()
            .map(|m| self.arms.iter().map(|arm| curve(&arm.curve(m))).collect::<Vec<_>>().into())
            .collect();
        let summary: Vec<Value> = (0..n_metrics)
            .map(|m| rows.iter().skip(m).step_by(n_metrics).map(|r| self.summary_value(r)).collect::<Vec<_>>().into())
            .collect();
        let metrics: Vec<Value> = self
            .metrics
            .iter()
            .enumerate()
            .map(|(m, name)| {
                let known = rows.iter().skip(m).step_by(n_metrics).map(|r| r.ceiling).filter(|c| c.is_finite());
                let ceiling = super::axis::extent(known).map(|(lo, hi)| [number(lo), number(hi)]);
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
            "name": self.name,
            "question": self.question.trim(),
            "command": self.command,
            "metrics": metrics,
            "axes": self.axes,
            "screens": self.screens,
            "has_cost": true,
            "arms": arms,
            "settings": settings,
            "curves": curves,
            "summary": summary,
            "ranks": rankings.iter().map(ranks).collect::<Vec<_>>(),
            "traces": self.traces(order),
            "tables": beside.tables.iter().map(|(title, t)| table_value(title, t)).collect::<Vec<_>>(),
            "notes": beside.notes,
            "warnings": self.warnings(rows),
            "provenance": self.provenance,
            "files": beside.files,
        })
    }

    fn summary_value(&self, r: &ArmSummary) -> Value {
        let difference = r.difference.as_ref().map(|d| {
            json!({
                "reference": self.arms.iter().position(|a| a.label == d.reference),
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
    fn differing_settings(&self) -> Vec<String> {
        let mut paths: Vec<&String> = self.arms.iter().flat_map(|a| a.settings.keys()).collect();
        paths.sort_unstable();
        paths.dedup();
        let first = |p: &String| self.arms.first().and_then(|a| a.settings.get(p));
        paths.into_iter().filter(|p| self.arms.iter().any(|a| a.settings.get(*p) != first(p))).cloned().collect()
    }

    /// Weights and alignment of kernels by round, the best arms that have any.
    fn traces(&self, order: &[usize]) -> Vec<Value> {
        let mut out = vec![];
        for (what, name, prefixes) in [
            ("kernel weights", "weight", &["weight "][..]),
            ("kernel alignment", "alignment", &["alignment"][..]),
            ("kernel alignment", "centred_alignment", &["centred_alignment"][..]),
        ] {
            let most = out.len() + MOST_TRACES;
            for &a in order {
                let arm = &self.arms[a];
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
                        let mut v = curve(&arm.curve(c));
                        v["label"] = label.into();
                        v
                    })
                    .collect();
                out.push(json!({ "title": arm.label, "what": what, "name": name, "curves": curves }));
            }
        }
        out
    }
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

fn curve(points: &[super::summary::CurvePoint]) -> Value {
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

/// Recorded columns that a study keeps beside its metrics, for the page.
pub(crate) fn is_kept(column: &str) -> bool {
    ["weight ", "alignment", "centred_alignment", CEILING].iter().any(|p| column.starts_with(p))
}
