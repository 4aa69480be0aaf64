//! Rounds and picks as tables: of one run, and of many stacked.

use super::round::RoundRecord;
use crate::error::Result;
use std::collections::BTreeSet;
use table::{Column, Table};

/// One row per round: round, n_measured, metrics in scenario order, then what was recorded by name.
pub(super) fn rounds_table(rounds: &[RoundRecord], metrics: &[String]) -> Result<Table> {
    let whole = |f: fn(&RoundRecord) -> usize| Column::Integer(rounds.iter().map(|r| f(r) as i64).collect());
    let mut t = Table::new();
    t.push("round", whole(|r| r.round))?;
    t.push("n_measured", whole(|r| r.n_measured))?;
    for m in metrics {
        t.push(m, Column::Number(rounds.iter().map(|r| r.metrics.get(m).copied().unwrap_or(f64::NAN)).collect()))?;
    }
    let recorded: BTreeSet<&String> = rounds.iter().flat_map(|r| r.recorded.keys()).collect();
    for name in recorded.into_iter().filter(|n| !metrics.contains(n)) {
        t.push(
            name,
            Column::Number(rounds.iter().map(|r| r.recorded.get(name).copied().unwrap_or(f64::NAN)).collect()),
        )?;
    }
    Ok(t)
}

/// One row per measured perturbation: round, rank, perturbation, score, value.
pub(super) fn picks_table(rounds: &[RoundRecord]) -> Result<Table> {
    let rows: Vec<(&RoundRecord, usize)> = rounds.iter().flat_map(|r| (0..r.ids.len()).map(move |i| (r, i))).collect();
    let mut t = Table::new();
    t.push("round", Column::Integer(rows.iter().map(|(r, _)| r.round as i64).collect()))?;
    t.push("rank", Column::Integer(rows.iter().map(|(_, i)| *i as i64 + 1).collect()))?;
    t.push("perturbation", Column::Text(rows.iter().map(|(r, i)| Some(r.names[*i].clone())).collect()))?;
    let score = |(r, i): &(&RoundRecord, usize)| r.scores.get(*i).copied().unwrap_or(f64::NAN);
    t.push("score", Column::Number(rows.iter().map(score).collect()))?;
    t.push("value", Column::Number(rows.iter().map(|(r, i)| r.values[*i]).collect()))?;
    Ok(t)
}

/// One long table of the tables of several runs, with the columns run, arm and seed in front. A column
/// that some runs lack is missing in their rows.
pub fn stack(parts: &[(String, String, u64, Table)]) -> Result<Table> {
    let heights: Vec<usize> = parts.iter().map(|p| p.3.height()).collect();
    let repeat = |f: &dyn Fn(usize) -> String| -> Column {
        Column::Text(
            heights
                .iter()
                .enumerate()
                .flat_map(|(i, &h)| std::iter::repeat_n(f(i), h).map(Some).collect::<Vec<_>>())
                .collect(),
        )
    };
    let mut all = Table::new();
    all.push("run", repeat(&|i| parts[i].0.clone()))?;
    all.push("arm", repeat(&|i| parts[i].1.clone()))?;
    let seeds = heights.iter().zip(parts).flat_map(|(&h, p)| std::iter::repeat_n(p.2 as i64, h)).collect();
    all.push("seed", Column::Integer(seeds))?;
    let mut names: Vec<String> = Vec::new();
    for (_, _, _, t) in parts {
        for n in t.names() {
            if !names.iter().any(|m| m == n) {
                names.push(n.to_string());
            }
        }
    }
    for name in names {
        let kind = parts.iter().find_map(|p| p.3.column(&name));
        let column = match kind {
            Some(Column::Text(_)) => {
                let cells = parts.iter().flat_map(|p| match p.3.column(&name) {
                    Some(Column::Text(v)) => v.clone(),
                    _ => vec![None; p.3.height()],
                });
                Column::Text(cells.collect())
            }
            Some(Column::Integer(_)) if parts.iter().all(|p| matches!(p.3.column(&name), Some(Column::Integer(_)))) => {
                let cells = parts.iter().flat_map(|p| match p.3.column(&name) {
                    Some(Column::Integer(v)) => v.clone(),
                    _ => vec![],
                });
                Column::Integer(cells.collect())
            }
            _ => {
                let mut cells = Vec::new();
                for p in parts {
                    match p.3.column(&name) {
                        Some(_) => cells.extend(p.3.numbers_or_missing(&name)?),
                        None => cells.extend(std::iter::repeat_n(f64::NAN, p.3.height())),
                    }
                }
                Column::Number(cells)
            }
        };
        all.push(&name, column)?;
    }
    Ok(all)
}
