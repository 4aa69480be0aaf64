//! Methods ranked over blocks: seeds, screens, and whatever else a grid has.

use super::study::{Study, larger_is_better};
use crate::metrics::aulc;
use numerics::stats::compare::{MeanRanks, cliques, mean_ranks};
use numerics::stats::mean;
use std::collections::BTreeMap;

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

/// What an arm brings to a ranking: its method, its block, and its area under the curve by seed.
struct Entry {
    method: String,
    block: String,
    arm: usize,
    by_seed: Vec<(u64, f64)>,
}

/// Mean ranks by each of the first metrics that at least two methods share at least two blocks of.
///
/// A method is what [`View::by`](super::view::View::by) names, without the axis of screens; without `by` every combination of values but the
/// screen. What is left of the grid makes blocks, in which areas under curves are averaged over the seeds that all
/// methods have; below five, each is divided by seed. Methods and blocks that are not complete are left out, so that
/// methods x blocks is as large as may be.
pub fn rankings(study: &Study, by: &[String]) -> Vec<Ranking> {
    study.metrics.iter().take(MOST_METRICS).filter_map(|m| ranking(study, by, m)).collect()
}

fn ranking(study: &Study, by: &[String], metric: &str) -> Option<Ranking> {
    let screen = study.screen_axis();
    let of_method = |x: usize| Some(x) != screen && (by.is_empty() || by.iter().any(|b| study.axes.get(x) == Some(b)));
    let words = |cell: &[String], keep: &dyn Fn(usize) -> bool| {
        cell.iter().enumerate().filter(|(x, _)| keep(*x)).map(|(_, v)| v.as_str()).collect::<Vec<_>>().join(" / ")
    };
    let entries: Vec<Entry> = study
        .arms
        .iter()
        .enumerate()
        .map(|(i, arm)| Entry {
            method: if study.axes.is_empty() { arm.label.clone() } else { words(&arm.cell, &of_method) },
            block: words(&arm.cell, &|x| !of_method(x)),
            arm: i,
            by_seed: arm.by_seed(metric, aulc),
        })
        .filter(|p| !p.by_seed.is_empty())
        .collect();
    let (methods, blocks) = complete(&entries)?;
    // By block, by method: values by seed.
    let found = |b: &String, m: &String| entries.iter().find(|p| p.block == *b && p.method == *m);
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
            false => {
                rows.push((0..methods.len()).map(|m| mean(&common.iter().map(|r| r[m]).collect::<Vec<_>>())).collect())
            }
        }
    }
    let ranks = mean_ranks(&rows, larger_is_better(metric))?;
    let mut order: Vec<usize> = (0..methods.len()).collect();
    order.sort_by(|&a, &b| ranks.mean[a].total_cmp(&ranks.mean[b]).then(a.cmp(&b)));
    let ascending: Vec<f64> = order.iter().map(|&m| ranks.mean[m]).collect();
    let what = match (by_seed, blocks.len()) {
        (true, 1) => "seeds".to_string(),
        (true, n) => format!("{n} {} x seeds", block_words(study, by)),
        (false, _) => format!("{}, means over seeds", block_words(study, by)),
    };
    Some(Ranking {
        metric: metric.to_string(),
        blocks: what,
        n_blocks: rows.len(),
        methods: order
            .iter()
            .map(|&m| {
                let arm = entries.iter().find(|p| p.method == methods[m]).map_or(0, |p| p.arm);
                (methods[m].clone(), ranks.mean[m], arm)
            })
            .collect(),
        cliques: cliques(&ascending, ranks.critical_difference),
        ranks: MeanRanks { mean: ascending, ..ranks },
    })
}

/// The axes that make blocks.
fn block_words(study: &Study, by: &[String]) -> String {
    let own = |a: &&String| Some(*a) == study.screens.as_ref() || (!by.is_empty() && !by.contains(a));
    study.axes.iter().filter(own).cloned().collect::<Vec<_>>().join(" x ")
}

/// Methods and blocks of the largest complete table, in the order in which they come.
fn complete(entries: &[Entry]) -> Option<(Vec<String>, Vec<String>)> {
    let mut blocks: Vec<&String> = vec![];
    let mut covers: BTreeMap<&String, Vec<usize>> = BTreeMap::new();
    let mut methods: Vec<&String> = vec![];
    for p in entries {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::fixtures::three_rules_on_six_screens;

    #[test]
    fn methods_are_ranked_over_blocks() {
        let mut s = three_rules_on_six_screens();
        let r = &rankings(&s, &[])[0];
        assert_eq!((r.n_blocks, r.methods.len()), (5, 3), "{r:?}");
        let names: Vec<(&str, f64)> = r.methods.iter().map(|m| (m.0.as_str(), m.1)).collect();
        assert_eq!(names, [("c", 1.0), ("b", 2.0), ("a", 3.0)]);
        assert!((r.ranks.chi2 - 10.0).abs() < 1e-9, "n (k - 1) where all blocks agree: {}", r.ranks.chi2);
        assert_eq!(r.cliques, [(0, 1), (1, 2)], "critical difference {}", r.ranks.critical_difference);
        assert_eq!(r.blocks, "screen, means over seeds");
        // One screen: blocks are its seeds.
        s.arms.retain(|a| a.cell[1] == "s0");
        let r = &rankings(&s, &[])[0];
        assert_eq!((r.n_blocks, r.blocks.as_str()), (2, "seeds"));
    }
}
