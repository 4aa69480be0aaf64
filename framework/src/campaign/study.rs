//! What is known: the finished runs of a plan as a study, its figures and tables, and one long table of all rounds.

use super::plan::Plan;
use crate::error::{Error, Result, hint};
use crate::metrics::when_reported;
use crate::report::{self, Comparisons, Report, RunCurve, Study, StudyArm, View, is_kept};
use crate::scenario::Arm;
use crate::store::{RunHeader, Seconds, stack};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;
use table::{Column, Table};

/// Finished runs of a plan by id: header and rounds.
pub type Runs = HashMap<String, (RunHeader, Table)>;

/// Finished runs of a plan by arm, and as they were read.
pub fn study(plan: &Plan) -> Result<(Report, Runs)> {
    let (finished, unreadable) = plan.store.read(&plan.ids);
    let seeds: Vec<u64> = plan.sweep.seeds.iter().collect();
    let metrics = plan.sweep.arms[0].scenario.metrics.clone();
    let first = &plan.sweep.arms[0].axes;
    let differs: Vec<bool> = (0..first.len())
        .map(|x| plan.sweep.arms.iter().any(|a| a.axes.get(x).map(|v| &v.1) != first.get(x).map(|v| &v.1)))
        .collect();
    let axes: Vec<String> =
        first.iter().zip(&differs).filter(|(_, d)| **d).map(|((name, _), _)| name.clone()).collect();
    let mut arms = Vec::new();
    for (a, arm) in plan.sweep.arms.iter().enumerate() {
        let (mut runs, mut times) = (vec![], vec![]);
        for (s, &seed) in seeds.iter().enumerate() {
            let Some((header, rounds)) = finished.get(&plan.ids[a * seeds.len() + s]) else { continue };
            let n_measured: Vec<f64> = rounds.integers("n_measured")?.into_iter().map(|n| n as f64).collect();
            let kept = rounds.names().into_iter().filter(|c| is_kept(c)).map(String::from);
            let mut values: BTreeMap<String, Vec<f64>> = metrics
                .iter()
                .cloned()
                .chain(kept)
                .filter_map(|m| rounds.numbers_or_missing(&m).ok().map(|v| (m, v)))
                .collect();
            let usd = |(t, n): (usize, &f64)| plan.sweep.cost.money(t as f64, *n);
            when_reported(&metrics, &mut values, &n_measured.iter().enumerate().map(usd).collect::<Vec<_>>());
            runs.push(RunCurve { seed, n_measured, values });
            times.push(header.seconds);
        }
        let cell = arm.axes.iter().zip(&differs).filter(|(_, d)| **d).map(|((_, v), _)| v.clone()).collect();
        arms.push(StudyArm {
            label: arm.label.clone(),
            reference: arm.reference,
            cell,
            runs,
            seconds: mean_seconds(&times),
            settings: settings(&arm.resolved),
        });
    }
    let study = Study {
        name: plan.sweep.name.clone(),
        question: plan.sweep.question.clone(),
        metrics,
        screens: axes.iter().find(|a| sets_the_screen(&plan.sweep.arms, a)).cloned(),
        axes,
        arms,
        seeds,
        command: plan.command(),
        provenance: provenance(finished.values().map(|f| &f.0)),
        unreadable,
    };
    let view = View { by: plan.sweep.by.clone(), cost: plan.sweep.cost, ..View::default() };
    let comparisons = Comparisons { claims: plan.sweep.claims.clone(), ..Comparisons::default() };
    Ok((Report { study, view, comparisons }, finished))
}

fn mean_seconds(of: &[Seconds]) -> Option<Seconds> {
    let mean = |f: fn(&Seconds) -> f64| of.iter().map(f).sum::<f64>() / of.len() as f64;
    (!of.is_empty()).then(|| Seconds {
        fit: mean(|s| s.fit),
        predict: mean(|s| s.predict),
        select: mean(|s| s.select),
        measure: mean(|s| s.measure),
        other: mean(|s| s.other),
    })
}

/// A resolved scenario as dotted paths and values; what is in lists stays whole.
fn settings(resolved: &Value) -> BTreeMap<String, String> {
    fn walk(at: &str, value: &Value, out: &mut BTreeMap<String, String>) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                for (key, v) in map {
                    walk(&if at.is_empty() { key.clone() } else { format!("{at}.{key}") }, v, out);
                }
            }
            Value::String(text) => drop(out.insert(at.into(), text.clone())),
            Value::Null => {}
            other => drop(out.insert(at.into(), other.to_string())),
        }
    }
    let mut out = BTreeMap::new();
    walk("", resolved, &mut out);
    out
}

/// What program, revision, machine and data made the runs; several values of one thing stand beside each other.
fn provenance<'a>(headers: impl Iterator<Item = &'a RunHeader>) -> Vec<(String, String)> {
    let mut out: BTreeMap<(u8, String), BTreeSet<String>> = BTreeMap::new();
    let mut put = |place: u8, name: &str, value: String| {
        if !value.is_empty() {
            out.entry((place, name.to_string())).or_default().insert(value);
        }
    };
    let (mut first, mut last, mut runs) = (u64::MAX, 0, 0);
    for h in headers {
        let p = &h.provenance;
        put(0, "program", format!("screenwright {}", p.version));
        let dirty = if p.git_dirty == Some(true) { " with uncommitted changes" } else { "" };
        put(1, "revision", p.git_revision.as_ref().map_or(String::new(), |r| format!("{r}{dirty}")));
        put(2, "machine", format!("{} ({})", p.host, p.platform));
        put(3, "device", p.device.clone());
        for (file, hash) in &h.data {
            put(5, &format!("data {file}"), format!("sha256 {hash}"));
        }
        (first, last, runs) = (first.min(h.started), last.max(h.ended), runs + 1);
    }
    if runs > 0 {
        put(4, "runs", format!("{runs}, started {} to {} (seconds since 1970)", first, last));
    }
    out.into_iter().map(|((_, name), v)| (name, v.into_iter().collect::<Vec<_>>().join("; "))).collect()
}

/// Whether arms with one value of the axis measure one screen, and some with another measure another.
fn sets_the_screen(arms: &[Arm], axis: &str) -> bool {
    let mut oracles: HashMap<&str, &serde_json::Value> = HashMap::new();
    let all = arms.iter().all(|arm| {
        let (Some((_, value)), Some(oracle)) = (arm.axes.iter().find(|a| a.0 == axis), arm.resolved.get("oracle"))
        else {
            return false;
        };
        *oracles.entry(value).or_insert(oracle) == oracle
    });
    let mut different = oracles.values();
    let first = different.next();
    all && different.any(|o| Some(o) != first)
}

/// Alignment by round of the model and of each prior in one arm (Huang et al. 2023, Fig. 1c), as a study whose arms
/// are these, and the name of its files.
pub fn alignment(plan: &Plan, study: &Study, read: &Runs, arm: &str) -> Result<(Study, String)> {
    let labels: Vec<&str> = study.arms.iter().map(|a| a.label.as_str()).collect();
    let at = if arm.is_empty() {
        study.arms.iter().find_map(|a| a.reference).unwrap_or(0)
    } else {
        labels.iter().position(|l| *l == arm).ok_or_else(|| {
            let near = hint(arm, labels.iter().copied());
            let list = if near.is_empty() { format!("; there are: {}", labels.join(", ")) } else { near };
            Error::Config(format!("no arm `{arm}` in this scenario{list}"))
        })?
    };
    let metrics: Vec<String> = ["alignment", "centred_alignment"].map(String::from).to_vec();
    let n_seeds = plan.sweep.seeds.count as usize;
    let ids: Vec<&String> = plan.ids[at * n_seeds..(at + 1) * n_seeds].iter().collect();
    // By curve, its runs.
    let mut curves: Vec<(String, Vec<RunCurve>)> = vec![];
    for (header, rounds) in ids.into_iter().filter_map(|id| read.get(id)) {
        let n_measured: Vec<f64> = rounds.integers("n_measured")?.into_iter().map(|n| n as f64).collect();
        for column in rounds.names() {
            let (metric, of) = column.split_once(' ').unwrap_or((column, ""));
            let Some(metric) = metrics.iter().find(|m| *m == metric) else { continue };
            let of = if of.is_empty() { "model".to_string() } else { format!("prior {of}") };
            let values = rounds.numbers_or_missing(column)?;
            let place = curves.iter().position(|c| c.0 == of).unwrap_or_else(|| {
                curves.push((of, vec![]));
                curves.len() - 1
            });
            let runs = &mut curves[place].1;
            let run = runs.iter().position(|r| r.seed == header.seed).unwrap_or_else(|| {
                runs.push(RunCurve { seed: header.seed, n_measured: n_measured.clone(), ..RunCurve::default() });
                runs.len() - 1
            });
            runs[run].values.insert(metric.clone(), values);
        }
    }
    let has = |m: &String| curves.iter().any(|c| c.1.iter().any(|r| r.values.contains_key(m)));
    let metrics: Vec<String> = metrics.into_iter().filter(has).collect();
    if metrics.is_empty() {
        return Err(Error::Data(format!(
            "the runs of `{}` hold no alignment; add \"alignment\" to metrics in the scenario and run it again",
            labels[at]
        )));
    }
    curves.sort_by(|a, b| (a.0 != "model", &a.0).cmp(&(b.0 != "model", &b.0)));
    let arms = curves.into_iter().map(|(label, runs)| StudyArm { label, runs, ..StudyArm::default() }).collect();
    let name = format!("{}: kernel alignment, {}", study.name, labels[at]);
    Ok((Study { name, metrics, arms, ..Study::default() }, format!("alignment_{}", labels[at])))
}

/// Figures and tables in the store, and the long table beside it.
pub fn write(plan: &Plan, report: &Report, runs: &Runs, folder: &str) -> Result<Vec<PathBuf>> {
    let mut written = report::write(report, &plan.store.folder().join(folder))?;
    let path = plan.store.folder().with_extension("parquet");
    table::write_parquet(&long_table(plan, runs)?, &path)?;
    written.push(path);
    Ok(written)
}

/// All rounds of all finished runs of the plan: run, arm, seed, then the columns of `rounds.parquet`.
fn long_table(plan: &Plan, runs: &Runs) -> Result<Table> {
    let n_seeds = plan.sweep.seeds.count as usize;
    let mut parts = Vec::new();
    for (i, id) in plan.ids.iter().enumerate() {
        if let Some((header, rounds)) = runs.get(id) {
            let arm = plan.sweep.arms[i / n_seeds].label.clone();
            parts.push((id.clone(), arm, header.seed, rounds.clone()));
        }
    }
    let mut all = stack(&parts)?;
    let (rounds, measured) = (all.integers("round")?, all.integers("n_measured")?);
    let cost = plan.sweep.cost;
    let money = rounds.iter().zip(&measured).map(|(&t, &n)| cost.money(t as f64, n as f64)).collect();
    let months = rounds.iter().map(|&t| cost.months(t as f64)).collect();
    for (name, column) in [("cost", money), ("months", months)] {
        // A plugin may have recorded something of that name; it keeps it.
        if all.column(name).is_none() {
            all.push(name, Column::Number(column))?;
        }
    }
    Ok(all)
}
