//! What the finished runs allow one to say: mean ranks of methods over blocks, how many seeds a comparison needs, and
//! warnings with their remedies.

use super::summary::{larger_is_better, paired};
use super::{ArmSummary, Study};
use crate::metrics::aulc;
use numerics::stats::compare::{MeanRanks, cliques, mean_ranks, seeds_for_holm};
use numerics::stats::mean;
use std::collections::BTreeMap;
use table::{Column, Table};

/// Metrics that have a diagram of ranks, the first ones.
const MOST_METRICS: usize = 3;
/// Fewer blocks than these are divided by seed.
const FEW_BLOCKS: usize = 5;

/// Methods ranked over blocks by one metric.
#[derive(Clone, Debug)]
pub struct Ranking {
    /// The metric, by its area under the learning curve.
    pub metric: String,
    /// What the blocks are, in words.
    pub blocks: String,
    /// How many.
    pub n_blocks: usize,
    /// Label, mean rank and one of its arms, from best to worst.
    pub methods: Vec<(String, f64, usize)>,
    /// Friedman's test and the critical difference; `ranks.mean` is in the order of `methods`.
    pub ranks: MeanRanks,
    /// First and last place of groups whose mean ranks do not differ.
    pub cliques: Vec<(usize, usize)>,
}

/// An arm's part in a ranking: its method, its block, and its area under the curve by seed.
struct Part {
    method: String,
    block: String,
    arm: usize,
    by_seed: Vec<(u64, f64)>,
}

impl Study {
    /// Mean ranks by each of the first metrics that at least two methods share at least two blocks of.
    ///
    /// A method is what [`Study::by`] names, without the axis of screens; without `by` every combination of values but the
    /// screen. What is left of the grid makes blocks, in which areas under curves are averaged over the seeds that all
    /// methods have; below five, each is divided by seed. Methods and blocks that are not complete are left out, so that
    /// methods x blocks is as large as may be.
    pub fn rankings(&self) -> Vec<Ranking> {
        self.metrics.iter().take(MOST_METRICS).filter_map(|m| self.ranking_of(m)).collect()
    }

    fn ranking_of(&self, metric: &str) -> Option<Ranking> {
        let screen = self.screens.as_ref().and_then(|s| self.axes.iter().position(|a| a == s));
        let of_method =
            |x: usize| Some(x) != screen && (self.by.is_empty() || self.by.iter().any(|b| self.axes.get(x) == Some(b)));
        let words = |cell: &[String], keep: &dyn Fn(usize) -> bool| {
            cell.iter().enumerate().filter(|(x, _)| keep(*x)).map(|(_, v)| v.as_str()).collect::<Vec<_>>().join(" / ")
        };
        let parts: Vec<Part> = self
            .arms
            .iter()
            .enumerate()
            .map(|(i, arm)| Part {
                method: if self.axes.is_empty() { arm.label.clone() } else { words(&arm.cell, &of_method) },
                block: words(&arm.cell, &|x| !of_method(x)),
                arm: i,
                by_seed: arm.by_seed(metric, aulc),
            })
            .filter(|p| !p.by_seed.is_empty())
            .collect();
        let (methods, blocks) = complete(&parts)?;
        // By block, by method: values by seed.
        let found = |b: &String, m: &String| parts.iter().find(|p| p.block == *b && p.method == *m);
        let mut rows: Vec<Vec<f64>> = vec![];
        let by_seed = blocks.len() < FEW_BLOCKS;
        for b in &blocks {
            let cells: Vec<&[(u64, f64)]> =
                methods.iter().filter_map(|m| found(b, m)).map(|p| p.by_seed.as_slice()).collect();
            let of_seed = |seed: u64| -> Option<Vec<f64>> {
                cells.iter().map(|c| c.iter().find(|v| v.0 == seed).map(|v| v.1)).collect()
            };
            let common: Vec<Vec<f64>> = cells[0].iter().filter_map(|v| of_seed(v.0)).collect();
            match by_seed {
                true => rows.extend(common),
                false if common.is_empty() => {}
                false => rows
                    .push((0..methods.len()).map(|m| mean(&common.iter().map(|r| r[m]).collect::<Vec<_>>())).collect()),
            }
        }
        let ranks = mean_ranks(&rows, larger_is_better(metric))?;
        let mut order: Vec<usize> = (0..methods.len()).collect();
        order.sort_by(|&a, &b| ranks.mean[a].total_cmp(&ranks.mean[b]).then(a.cmp(&b)));
        let ascending: Vec<f64> = order.iter().map(|&m| ranks.mean[m]).collect();
        let what = match (by_seed, blocks.len()) {
            (true, 1) => "seeds".to_string(),
            (true, n) => format!("{n} {} x seeds", self.block_words()),
            (false, _) => format!("{}, means over seeds", self.block_words()),
        };
        Some(Ranking {
            metric: metric.to_string(),
            blocks: what,
            n_blocks: rows.len(),
            methods: order
                .iter()
                .map(|&m| {
                    let arm = parts.iter().find(|p| p.method == methods[m]).map_or(0, |p| p.arm);
                    (methods[m].clone(), ranks.mean[m], arm)
                })
                .collect(),
            cliques: cliques(&ascending, ranks.critical_difference),
            ranks: MeanRanks { mean: ascending, ..ranks },
        })
    }

    /// The axes that make blocks.
    fn block_words(&self) -> String {
        let own = |a: &&String| Some(*a) == self.screens.as_ref() || (!self.by.is_empty() && !self.by.contains(a));
        self.axes.iter().filter(own).cloned().collect::<Vec<_>>().join(" x ")
    }

    /// One row for each metric and method.
    pub(super) fn ranks_table(&self, rankings: &[Ranking]) -> Table {
        let rows: Vec<(&Ranking, usize)> =
            rankings.iter().flat_map(|r| (0..r.methods.len()).map(move |i| (r, i))).collect();
        let text = |f: &dyn Fn(&(&Ranking, usize)) -> String| Column::Text(rows.iter().map(|r| Some(f(r))).collect());
        let number = |f: &dyn Fn(&(&Ranking, usize)) -> f64| Column::Number(rows.iter().map(f).collect());
        let groups = |(r, i): &(&Ranking, usize)| {
            let inside = r.cliques.iter().enumerate().filter(|(_, c)| c.0 <= *i && *i <= c.1);
            inside.map(|(k, _)| (k + 1).to_string()).collect::<Vec<_>>().join(" ")
        };
        Table::new()
            .with("metric", text(&|r| r.0.metric.clone()))
            .with("method", text(&|r| r.0.methods[r.1].0.clone()))
            .with("mean_rank", number(&|r| r.0.methods[r.1].1))
            .with("not_differing", text(&groups))
            .with("critical_difference", number(&|r| r.0.ranks.critical_difference))
            .with("friedman_chi2", number(&|r| r.0.ranks.chi2))
            .with("friedman_p", number(&|r| r.0.ranks.p))
            .with("blocks", text(&|r| r.0.blocks.clone()))
            .with("n_blocks", Column::Integer(rows.iter().map(|r| r.0.n_blocks as i64).collect()))
    }

    /// How many seeds would tell the two best arms apart, and the arms from their references, by the first metric.
    pub(super) fn power_notes(&self, rows: &[ArmSummary], order: &[usize]) -> Vec<String> {
        let mut out = vec![];
        let metric = &self.metrics[0];
        let measured: Vec<usize> = order.iter().copied().filter(|&a| !self.arms[a].runs.is_empty()).collect();
        if let (None, [best, next, ..]) = (&self.screens, &measured[..]) {
            let d = paired(&self.arms[*best].by_seed(metric, aulc), &self.arms[*next].by_seed(metric, aulc));
            let names = (&self.arms[*best].label, &self.arms[*next].label);
            if d.n > 1 {
                let needed = match d.seeds_needed {
                    Some(n) => format!("{n} seeds"),
                    None => "more than 10,000 seeds".to_string(),
                };
                out.push(format!(
                    "to tell the best, {}, from the next, {} (AULC of {metric}): {needed} for 80 % power at 5 %, at the \
                     difference and spread of these {} pairs",
                    names.0, names.1, d.n
                ));
            }
        }
        if rows.iter().any(|r| r.difference.as_ref().is_some_and(|d| d.aulc.n > 1)) {
            out.push(
                "seeds needed: for 80 % power of a paired t test at 5 %, at the difference and spread seen here (a guide \
                 for the next sweep, not a test)"
                    .to_string(),
            );
        }
        out
    }

    /// What is missing or too little, each with its remedy.
    pub fn warnings(&self, rows: &[ArmSummary]) -> Vec<String> {
        let mut out = self.unreadable.clone();
        let again =
            if self.command.is_empty() { "run the scenario again".into() } else { format!("`{}`", self.command) };
        let planned = self.seeds.len();
        let short: Vec<&super::StudyArm> = self.arms.iter().filter(|a| a.runs.len() < planned).collect();
        if let Some(first) = short.first() {
            let missing: usize = short.iter().map(|a| planned - a.runs.len()).sum();
            out.push(format!(
                "{missing} of {} runs are missing, in {} of {} arms (`{}`: {} of {planned} seeds); paired statistics use the \
                 seeds that both arms have: {again} goes on with the rest",
                planned * self.arms.len(),
                short.len(),
                self.arms.len(),
                first.label,
                first.runs.len(),
            ));
        }
        let one = self.arms.iter().filter(|a| a.runs.len() == 1).count();
        if one > 0 {
            out.push(format!(
                "{one} of {} arms have one seed, hence no interval and no test: set count under [seeds] to 2 or more, \
                 better 5 to 10",
                self.arms.len()
            ));
        }
        let first: Vec<&super::Paired> = rows
            .iter()
            .step_by(self.metrics.len().max(1))
            .filter_map(|r| r.difference.as_ref())
            .map(|d| &d.aulc)
            .filter(|d| d.n > 1)
            .collect();
        let n = first.iter().map(|d| d.n).max().unwrap_or(0);
        if n > 1 && n <= 20 && n < seeds_for_holm(first.len()) {
            out.push(format!(
                "with {n} seeds no exact test can stand after Holm's correction over {} comparisons (the least p is 2^(1 - {n})): \
                 set count under [seeds] to {} or more, or compare fewer arms (report --where)",
                first.len(),
                seeds_for_holm(first.len())
            ));
        }
        let undecided: Vec<Option<usize>> =
            first.iter().filter(|d| d.lo <= 0.0 && d.hi >= 0.0 && d.mean != 0.0).map(|d| d.seeds_needed).collect();
        if !undecided.is_empty() {
            let mut needed: Vec<usize> = undecided.iter().map(|n| n.unwrap_or(usize::MAX)).collect();
            needed.sort_unstable();
            let show = |n: usize| if n == usize::MAX { "more than 10,000".into() } else { n.to_string() };
            let (low, high) = (show(needed[0]), show(needed[needed.len() - 1]));
            let range = if low == high { low } else { format!("{low} to {high}") };
            out.push(format!(
                "{} of {} arms are not told from their reference by {} (AULC, {n} seeds); differences as small as these need \
                 {range} seeds: raise count under [seeds] if they matter",
                undecided.len(),
                first.len(),
                self.metrics[0]
            ));
        }
        out
    }
}

/// Methods and blocks of the largest complete table, in the order in which they come.
fn complete(parts: &[Part]) -> Option<(Vec<String>, Vec<String>)> {
    let mut blocks: Vec<&String> = vec![];
    let mut covers: BTreeMap<&String, Vec<usize>> = BTreeMap::new();
    let mut methods: Vec<&String> = vec![];
    for p in parts {
        let b = blocks.iter().position(|b| *b == &p.block).unwrap_or_else(|| {
            blocks.push(&p.block);
            blocks.len() - 1
        });
        if !methods.contains(&&p.method) {
            methods.push(&p.method);
        }
        covers.entry(&p.method).or_default().push(b);
    }
    let able = |set: &[usize]| -> Vec<&String> {
        methods.iter().copied().filter(|m| set.iter().all(|b| covers[*m].contains(b))).collect()
    };
    let mut sets: Vec<&Vec<usize>> = methods.iter().map(|m| &covers[*m]).collect();
    sets.sort();
    sets.dedup();
    let size = |set: &Vec<usize>| set.len() * able(set).len();
    // Of equal sizes the one with more methods.
    let best = sets.into_iter().filter(|s| able(s).len() > 1).max_by_key(|s| (size(s), able(s).len()))?;
    let names = |all: Vec<&String>| all.into_iter().cloned().collect::<Vec<String>>();
    Some((names(able(best)), best.iter().map(|&b| blocks[b].clone()).collect()))
}
