//! What is found of the perturbations known to interact, by measurement or by the order of predictions.

use crate::inventory;
use crate::metric::{Formula, Metric, Need, Scored};
use numerics::stats;

inventory::submit! {
    Metric {
        name: "known_found",
        definition: "share of the perturbations known to interact (rows of the [known] table, or what a simulator planted) that have been measured, initial set included, among those that may be chosen",
        larger_is_better: true,
        needs: &[Need::Known],
        formula: Formula::AfterRound(known_found),
        yardsticks: None,
    }
}

inventory::submit! {
    Metric {
        name: "known_auprc",
        definition: "average precision (ties are one step) of the predicted merit of all perturbations that may be chosen, measured ones included, against those known to interact; chance is their share",
        larger_is_better: true,
        needs: &[Need::Known, Need::PoolPrediction],
        formula: Formula::AfterRound(|s| stats::average_precision(s.search.predicted?, s.search.known?)),
        yardsticks: None,
    }
}

inventory::submit! {
    Metric {
        name: "known_auroc",
        definition: "chance that a perturbation known to interact has a larger predicted merit than one that is not, over all that may be chosen, measured ones included; ties count half",
        larger_is_better: true,
        needs: &[Need::Known, Need::PoolPrediction],
        formula: Formula::AfterRound(|s| stats::auroc(s.search.predicted?, s.search.known?)),
        yardsticks: None,
    }
}

fn known_found(s: &Scored) -> Option<f64> {
    let known = s.search.known?;
    let total = known.iter().filter(|k| **k).count();
    let found = s.observed.distinct().iter().filter(|id| s.search.place(**id).is_some_and(|p| known[p])).count();
    (total > 0).then(|| found as f64 / total as f64)
}
