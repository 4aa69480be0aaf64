//! How honest predicted standard deviations are, on the test set.

use crate::inventory;
use crate::metric::{Formula, Metric, Need, Scored};

inventory::submit! {
    Metric {
        name: "nll",
        definition: "mean negative log density of the test truth under the predicted normal (sd of the noise-free value)",
        larger_is_better: false,
        needs: &[Need::TestTruth, Need::TestSd],
        formula: Formula::AfterRound(|s| calibrated(s, negative_log_density)),
        yardsticks: None,
    }
}

inventory::submit! {
    Metric {
        name: "coverage95",
        definition: "share of test truths within mean +- 1.96 sd; calibrated predictions give 0.95",
        larger_is_better: true,
        needs: &[Need::TestTruth, Need::TestSd],
        formula: Formula::AfterRound(|s| calibrated(s, |e, sd| f64::from(e.abs() <= 1.959963984540054 * sd))),
        yardsticks: None,
    }
}

inventory::submit! {
    Metric {
        name: "sharpness",
        definition: "mean predicted sd on the test set",
        larger_is_better: false,
        needs: &[Need::TestTruth, Need::TestSd],
        formula: Formula::AfterRound(|s| calibrated(s, |_, sd| sd)),
        yardsticks: None,
    }
}

/// Of an error under a normal.
fn negative_log_density(e: f64, sd: f64) -> f64 {
    let sd = sd.max(1e-12);
    0.5 * (2.0 * std::f64::consts::PI).ln() + sd.ln() + 0.5 * (e / sd).powi(2)
}

/// Mean over perturbations and outputs of a number of (truth - prediction, sd).
fn calibrated(s: &Scored, f: impl Fn(f64, f64) -> f64) -> Option<f64> {
    let (t, p) = (s.test_truth?, s.test_posterior?);
    let sd = p.sd.as_ref()?;
    Some(t.iter().zip(&p.mean).zip(sd).map(|((t, m), sd)| f(t - m, *sd)).sum::<f64>() / t.len() as f64)
}
