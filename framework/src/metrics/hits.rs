//! What share of the hits a screen finds, measured or predicted.

use crate::domain::Target;
use crate::inventory;
use crate::metric::{CEILING, Formula, Metric, Need, Scored, Setting, Yardstick};
use ndarray::{Array2, ArrayView2, Axis};
use std::collections::BTreeMap;

/// What the search has found, predictions counted, and what a round adds to it; the second is made of the first.
const FRACTION_DISCOVERED: &str = "fraction_discovered";

inventory::submit! {
    Metric {
        name: "hit_ratio",
        definition: "share of all hits measured so far, initial set included; hits are the floor(hit_fraction x n) most wanted of the n non-test perturbations by true readout (by |y| for direction abs), ties to the lower id",
        larger_is_better: true,
        needs: &[Need::Hits],
        formula: Formula::AfterRound(|s| share(s, s.is_hit)),
        yardsticks: Some(of_another_replicate),
    }
}

inventory::submit! {
    Metric {
        name: "hit_ratio_all",
        definition: "hit_ratio with the hits ranked among all perturbations, held-out ones included, which are never measured: the reading of GeneDisco's text; its released program takes hit_ratio",
        larger_is_better: true,
        needs: &[Need::HitsOfAll],
        formula: Formula::AfterRound(|s| share(s, s.is_hit_all)),
        yardsticks: None,
    }
}

inventory::submit! {
    Metric {
        name: "hits",
        definition: "number of hits measured so far, initial set included",
        larger_is_better: true,
        needs: &[Need::Hits],
        formula: Formula::AfterRound(|s| hits(s, s.is_hit).map(|(found, _)| found as f64)),
        yardsticks: None,
    }
}

inventory::submit! {
    Metric {
        name: "enrichment",
        definition: "hit_ratio over the share of the non-test pool measured so far, which random choice has on average; 1 is chance",
        larger_is_better: true,
        needs: &[Need::Hits],
        formula: Formula::AfterRound(enrichment),
        yardsticks: None,
    }
}

inventory::submit! {
    Metric {
        name: FRACTION_DISCOVERED,
        definition: "share of all hits, held-out ones included, among as many most wanted by measurement, or by prediction where there is none (NAIAD's count); hit_ratio_all counts measured hits only",
        larger_is_better: true,
        needs: &[Need::HitsOfAll, Need::PoolPrediction],
        formula: Formula::AfterRound(|s| discovered(s).map(|(found, total)| found as f64 / total as f64)),
        yardsticks: None,
    }
}

inventory::submit! {
    Metric {
        name: "marginal_gain",
        definition: "hits that fraction_discovered gained since the initial set, for each round since (NAIAD's marginal gain, there of 200 hits over four rounds)",
        larger_is_better: true,
        needs: &[Need::Metric(FRACTION_DISCOVERED), Need::HitsOfAll, Need::PoolPrediction],
        formula: Formula::AfterRound(marginal_gain),
        yardsticks: None,
    }
}

inventory::submit! {
    Metric {
        name: "tpr",
        definition: "share of the hits among test perturbations that stand among as many most wanted by prediction (NAIAD's true positive rate)",
        larger_is_better: true,
        needs: &[Need::TestTruth, Need::TestPrediction],
        formula: Formula::AfterRound(tpr),
        yardsticks: None,
    }
}

/// Which rows are hits: the floor(hit_fraction x n) of highest merit, ties to the earlier one, or all that reach
/// `hit_threshold`. Nothing where all rows are equally wanted: there is nothing to find.
pub fn hit_flags(truth: &Array2<f64>, target: &Target) -> Option<Vec<bool>> {
    let merit: Vec<f64> = truth.outer_iter().map(|r| target.merit(&r.to_vec())).collect();
    if merit.iter().all(|m| *m == merit[0]) {
        return None;
    }
    if let Some(least) = target.hit_threshold {
        return Some(merit.iter().map(|m| *m >= least).collect());
    }
    let mut order: Vec<usize> = (0..merit.len()).collect();
    order.sort_by(|&a, &b| merit[b].total_cmp(&merit[a]).then(a.cmp(&b)));
    let mut hit = vec![false; merit.len()];
    order.iter().take(target.n_hits(merit.len())).for_each(|&i| hit[i] = true);
    Some(hit)
}

fn of_another_replicate(s: &Setting) -> Vec<Yardstick> {
    let shares = (s.replicates)(s.choosable).and_then(|r| replicate_hits(r.view(), &s.target));
    shares.map(|values| Yardstick { name: format!("{CEILING} hit_ratio"), values }).into_iter().collect()
}

/// At place n the share of one replicate's hits that is found by taking the n most wanted of another, mean over ordered
/// pairs of replicates (rows: the non-test pool): what the whole screen of another donor would find.
fn replicate_hits(replicates: ArrayView2<f64>, target: &Target) -> Option<Vec<f64>> {
    let ranked: Vec<Vec<usize>> = replicates
        .columns()
        .into_iter()
        .map(|c| {
            let mut order: Vec<usize> = (0..c.len()).collect();
            order.sort_by(|&a, &b| target.merit(&[c[b]]).total_cmp(&target.merit(&[c[a]])).then(a.cmp(&b)));
            order
        })
        .collect();
    let mut shares = vec![0.0; replicates.nrows() + 1];
    let mut pairs = 0.0;
    for (a, judge) in replicates.columns().into_iter().enumerate() {
        let hit = hit_flags(&judge.to_owned().insert_axis(Axis(1)), target)?;
        let total = hit.iter().filter(|h| **h).count();
        for order in ranked.iter().enumerate().filter(|(b, _)| *b != a && total > 0).map(|r| r.1) {
            pairs += 1.0;
            let mut found = 0;
            for (n, &i) in order.iter().enumerate() {
                found += usize::from(hit[i]);
                shares[n + 1] += found as f64 / total as f64;
            }
        }
    }
    (pairs > 0.0).then(|| shares.into_iter().map(|s| s / pairs).collect())
}

/// How many of the flagged stand among the `n` of most merit, ties to the lower place.
fn overlap(merit: &[f64], flags: &[bool], n: usize) -> usize {
    let mut order: Vec<usize> = (0..merit.len()).collect();
    order.sort_by(|&a, &b| merit[b].total_cmp(&merit[a]).then(a.cmp(&b)));
    order.iter().take(n).filter(|i| flags[**i]).count()
}

/// Hits among as many perturbations that are most wanted by measurement or prediction, and hits in all.
fn discovered(s: &Scored) -> Option<(usize, usize)> {
    let (hit, predicted) = (s.is_hit_all?, s.search.predicted?);
    let mut merit = vec![f64::NEG_INFINITY; hit.len()];
    s.search.ids.iter().zip(predicted).for_each(|(id, m)| merit[*id] = *m);
    if !s.test.is_empty() {
        let p = s.test_posterior?;
        s.test.iter().enumerate().for_each(|(i, id)| merit[*id] = p.merit(i, &s.target));
    }
    let mut sums: BTreeMap<usize, (f64, Vec<f64>)> = Default::default();
    for (id, y) in s.observed.ids.iter().zip(s.observed.y.outer_iter()) {
        let (n, sum) = sums.entry(*id).or_insert_with(|| (0.0, vec![0.0; y.len()]));
        *n += 1.0;
        sum.iter_mut().zip(y).for_each(|(s, y)| *s += y);
    }
    for (id, (n, mut sum)) in sums {
        sum.iter_mut().for_each(|s| *s /= n);
        merit[id] = s.target.merit(&sum);
    }
    let total = hit.iter().filter(|h| **h).count();
    Some((overlap(&merit, hit, total), total))
}

/// Share of flagged perturbations that were measured.
fn share(s: &Scored, flags: Option<&[bool]>) -> Option<f64> {
    hits(s, flags).map(|(found, total)| found as f64 / total as f64)
}

fn hits(s: &Scored, flags: Option<&[bool]>) -> Option<(usize, usize)> {
    let flags = flags?;
    let mut seen: Vec<usize> = s.observed.ids.iter().copied().filter(|&i| flags[i]).collect();
    seen.sort_unstable();
    seen.dedup();
    Some((seen.len(), flags.iter().filter(|f| **f).count()))
}

fn enrichment(s: &Scored) -> Option<f64> {
    let measured = s.observed.distinct().len() as f64 / s.search.ids.len() as f64;
    share(s, s.is_hit).filter(|_| measured > 0.0).map(|h| h / measured)
}

fn marginal_gain(s: &Scored) -> Option<f64> {
    let ((found, total), before) = (discovered(s)?, s.initial?.get(FRACTION_DISCOVERED)?);
    (s.round > 0).then(|| (found as f64 - before * total as f64) / s.round as f64)
}

fn tpr(s: &Scored) -> Option<f64> {
    let (truth, p) = (s.test_truth?, s.test_posterior?);
    let hit = hit_flags(truth, &s.target)?;
    let merit: Vec<f64> = (0..hit.len()).map(|i| p.merit(i, &s.target)).collect();
    let total = hit.iter().filter(|h| **h).count();
    (total > 0).then(|| overlap(&merit, &hit, total) as f64 / total as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Direction, Observed, Posterior};
    use crate::metric::{Search, find};
    use ndarray::array;

    #[test]
    fn discoveries_by_hand() {
        // Of ids 0 to 5, 2 and 5 are held out; the strongest three (most negative) are 0, 2 and 3.
        let target = Target { direction: Direction::Min, hit_count: Some(3), ..Target::default() };
        let hit = hit_flags(&array![[-5.0], [1.0], [-4.0], [-3.0], [2.0], [0.0]], &target).unwrap();
        assert_eq!(hit, [true, false, true, true, false, false]);
        let mut observed = Observed::empty(1);
        // Two replicates of 1 (mean -0.5) and one of 3.
        observed.ids = vec![1, 3, 1];
        observed.y = array![[-2.0], [-3.0], [1.0]];
        // Predicted: 0 not wanted, 4 wrongly so; the model's opinion of 1 and 3 does not count.
        let initial = BTreeMap::from([("fraction_discovered".to_string(), 0.0)]);
        let search = Search { ids: &[0, 1, 3, 4], predicted: Some(&[-1.0, 9.0, -9.0, 1.0]), ..Search::default() };
        let truth = array![[-4.0], [0.0]];
        let p = Posterior { mean: array![[-2.0], [0.5]], sd: None };
        let s = Scored {
            test_truth: Some(&truth),
            test_posterior: Some(&p),
            is_hit_all: Some(&hit),
            search,
            test: &[2, 5],
            round: 2,
            initial: Some(&initial),
            ..Scored::new(&observed, target)
        };
        let get = |s: &Scored, n: &str| find(n).unwrap().value(s);
        // Merits: 0: -1, 1: 0.5, 2: 2, 3: 3, 4: 1, 5: -0.5; the first three are 3, 2 and 4.
        assert_eq!(get(&s, "fraction_discovered"), Some(2.0 / 3.0));
        assert_eq!(get(&s, "marginal_gain"), Some(1.0));
        assert_eq!(get(&s, "hit_ratio_all"), Some(1.0 / 3.0));
        // One hit of two: three are more than there are, so both count.
        assert_eq!(get(&s, "tpr"), Some(1.0));
        let one = Target { hit_count: Some(1), ..target };
        assert_eq!(get(&Scored { target: one, ..s }, "tpr"), Some(1.0));
        let wrong = Posterior { mean: array![[2.0], [0.5]], sd: None };
        assert_eq!(get(&Scored { target: one, test_posterior: Some(&wrong), ..s }, "tpr"), Some(0.0));
        assert_eq!(get(&Scored { initial: None, ..s }, "marginal_gain"), None);
    }

    #[test]
    fn another_replicate_finds_by_hand() {
        let by_hand = array![[9.0, 0.0], [0.0, 9.0], [5.0, 5.0], [1.0, 1.0]];
        let target = Target { hit_fraction: 0.5, ..Target::default() };
        // Hits {0, 2} and {1, 2}; taking 1 finds {0} or {1}: none; taking 2 finds gene 2 of two.
        assert_eq!(replicate_hits(by_hand.view(), &target).unwrap()[1], 0.0);
        assert_eq!(replicate_hits(by_hand.view(), &target).unwrap()[2], 0.5);
        assert_eq!(replicate_hits(by_hand.view(), &target).unwrap()[4], 1.0);
    }

    #[test]
    fn hits_follow_the_direction_and_ties_the_order() {
        let y = array![[-3.0], [1.0], [3.0], [0.0]];
        let t = |direction| Target { direction, hit_fraction: 0.25, hit_threshold: None, hit_count: None };
        let hit_flags = |y: &Array2<f64>, t: &Target| super::hit_flags(y, t).unwrap();
        assert_eq!(hit_flags(&y, &t(Direction::Abs)), [true, false, false, false]);
        assert_eq!(hit_flags(&y, &t(Direction::Max)), [false, false, true, false]);
        assert_eq!(hit_flags(&y, &t(Direction::Min)), [true, false, false, false]);
        let above = |v| Target { hit_threshold: Some(v), ..Target::default() };
        assert_eq!(hit_flags(&y, &above(1.0)), [true, true, true, false]);
        assert_eq!(hit_flags(&y, &above(9.0)), [false; 4]);
        assert!(super::hit_flags(&array![[2.0], [-2.0]], &t(Direction::Abs)).is_none(), "nothing to find");
    }
}
