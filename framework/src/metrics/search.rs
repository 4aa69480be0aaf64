//! How good the choices were, in true readouts.

use crate::inventory;
use crate::metric::{Formula, Metric, Need, Scored};

inventory::submit! {
    Metric {
        name: "best",
        definition: "best true-direction merit among measured readouts: max |y|, max y, or max -y by direction (norm for profiles)",
        larger_is_better: true,
        needs: &[],
        formula: Formula::AfterRound(|s| s.observed.y.outer_iter().map(|r| s.target.merit(&r.to_vec())).reduce(f64::max)),
        yardsticks: None,
    }
}

inventory::submit! {
    Metric {
        name: "regret",
        definition: "sum over the rounds so far, initial set left out, of what the best choice of as many perturbations among those not measured before the round would have brought less what the chosen ones brought, in true readouts by direction (|y|, y, -y; the norm of a profile)",
        larger_is_better: false,
        needs: &[Need::Merits],
        formula: Formula::AfterRound(regret),
        yardsticks: None,
    }
}

fn regret(s: &Scored) -> Option<f64> {
    let merit = s.search.merit?;
    let mut order: Vec<usize> = (0..merit.len()).collect();
    order.sort_by(|&a, &b| merit[b].total_cmp(&merit[a]).then(a.cmp(&b)));
    let mut taken = vec![false; merit.len()];
    let mut total = 0.0;
    // Rows stand in the order of rounds.
    for rows in s.observed.round.iter().zip(&s.observed.ids).collect::<Vec<_>>().chunk_by(|a, b| a.0 == b.0) {
        let mut chosen: Vec<usize> = rows.iter().filter_map(|r| s.search.place(*r.1)).filter(|p| !taken[*p]).collect();
        chosen.sort_unstable();
        chosen.dedup();
        if *rows[0].0 > 0 {
            let best = order.iter().filter(|p| !taken[**p]).take(chosen.len());
            total += best.map(|&p| merit[p]).sum::<f64>() - chosen.iter().map(|&p| merit[p]).sum::<f64>();
        }
        chosen.iter().for_each(|&p| taken[p] = true);
    }
    Some(total)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Observed, Target};
    use crate::metric::{Search, find};

    #[test]
    fn search_metrics_by_hand() {
        // Ids 1, 2, 4, 6, 7 may be chosen, with merits 5, 1, 4, 3, 0; 1 and 6 are known.
        let ids = [1, 2, 4, 6, 7];
        let known = [true, false, false, true, false];
        let mut observed = Observed::empty(1);
        for (round, ids) in [(0usize, vec![7]), (1, vec![2, 4]), (2, vec![6, 6])] {
            observed.round.extend(vec![round; ids.len()]);
            observed.ids.extend(ids);
        }
        let search = Search {
            ids: &ids,
            merit: Some(&[5.0, 1.0, 4.0, 3.0, 0.0]),
            known: Some(&known),
            predicted: Some(&[1.0, 2.0, 0.0, 3.0, 0.5]),
        };
        let s = Scored { search, ..Scored::new(&observed, Target::default()) };
        let get = |s: &Scored, n: &str| find(n).unwrap().value(s);
        // Round 1 could have had 5 + 4 and took 1 + 4; round 2 could have had 5 and took 3 (twice, which is once).
        assert_eq!(get(&s, "regret"), Some(4.0 + 2.0));
        assert_eq!(get(&s, "known_found"), Some(0.5));
        assert!((get(&s, "known_auprc").unwrap() - (0.5 + 0.5 * 2.0 / 3.0)).abs() < 1e-15);
        assert_eq!(get(&s, "known_auroc"), Some(5.0 / 6.0));
        let nothing = Scored { search: Search { known: Some(&[false; 5]), ..search }, ..s };
        assert!(["known_found", "known_auprc", "known_auroc"].iter().all(|n| get(&nothing, n).is_none()));
    }
}
