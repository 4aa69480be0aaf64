//! Errors and correlations of predictions on the test set, whatever the number of outputs.

use crate::inventory;
use crate::metric::{CEILING, Formula, Metric, Need, Scored, Setting, Yardstick};
use ndarray::ArrayView2;
use numerics::stats;

inventory::submit! {
    Metric {
        name: "mse",
        definition: "mean over test perturbations and outputs of (prediction - truth)^2",
        larger_is_better: false,
        needs: &[Need::TestTruth, Need::TestPrediction],
        formula: Formula::AfterRound(|s| errors(s, |e| e * e)),
        yardsticks: Some(|s| ceiling(s, "mse")),
    }
}

inventory::submit! {
    Metric {
        name: "rmse",
        definition: "square root of mse",
        larger_is_better: false,
        needs: &[Need::TestTruth, Need::TestPrediction],
        formula: Formula::AfterRound(|s| errors(s, |e| e * e).map(f64::sqrt)),
        yardsticks: Some(|s| ceiling(s, "rmse")),
    }
}

inventory::submit! {
    Metric {
        name: "mae",
        definition: "mean over test perturbations and outputs of |prediction - truth|",
        larger_is_better: false,
        needs: &[Need::TestTruth, Need::TestPrediction],
        formula: Formula::AfterRound(|s| errors(s, f64::abs)),
        yardsticks: None,
    }
}

inventory::submit! {
    Metric {
        name: "smape",
        definition: "mean over test perturbations and outputs of 2 |prediction - truth| / (|prediction| + |truth|), from 0 to 2; 0 where both are 0",
        larger_is_better: false,
        needs: &[Need::TestTruth, Need::TestPrediction],
        formula: Formula::AfterRound(smape),
        yardsticks: None,
    }
}

inventory::submit! {
    Metric {
        name: "pearson",
        definition: "Pearson correlation of prediction and truth over test perturbations, mean over outputs; 0 where one side is constant",
        larger_is_better: true,
        needs: &[Need::TestTruth, Need::TestPrediction],
        formula: Formula::AfterRound(|s| by_output(s, stats::pearson)),
        yardsticks: Some(|s| ceiling(s, "pearson")),
    }
}

inventory::submit! {
    Metric {
        name: "spearman",
        definition: "rank correlation of prediction and truth over test perturbations (ties share their mean rank), mean over outputs",
        larger_is_better: true,
        needs: &[Need::TestTruth, Need::TestPrediction],
        formula: Formula::AfterRound(|s| by_output(s, stats::spearman)),
        yardsticks: Some(|s| ceiling(s, "spearman")),
    }
}

fn errors(s: &Scored, f: impl Fn(f64) -> f64) -> Option<f64> {
    let (t, p) = (s.test_truth?, s.test_posterior?);
    Some(t.iter().zip(&p.mean).map(|(t, m)| f(m - t)).sum::<f64>() / t.len() as f64)
}

fn smape(s: &Scored) -> Option<f64> {
    let (t, p) = (s.test_truth?, s.test_posterior?);
    let one = |t: f64, m: f64| if t == m { 0.0 } else { 2.0 * (m - t).abs() / (m.abs() + t.abs()) };
    Some(t.iter().zip(&p.mean).map(|(t, m)| one(*t, *m)).sum::<f64>() / t.len() as f64)
}

fn by_output(s: &Scored, f: impl Fn(&[f64], &[f64]) -> f64) -> Option<f64> {
    let (t, p) = (s.test_truth?, s.test_posterior?);
    let total: f64 = t.columns().into_iter().zip(p.mean.columns()).map(|(t, m)| f(&m.to_vec(), &t.to_vec())).sum();
    Some(total / t.ncols() as f64)
}

/// The noise ceiling of one of the metrics that [`ceilings`] knows.
fn ceiling(s: &Setting, metric: &str) -> Vec<Yardstick> {
    let all = (s.replicates)(s.test).map(|r| ceilings(r.view())).unwrap_or_default();
    let this = all.into_iter().filter(|c| c.0 == metric);
    this.map(|(name, v)| Yardstick::constant(format!("{CEILING} {name}"), v)).collect()
}

/// What the noise of the readouts allows, from replicates (n x replicates) of scalar readouts whose mean is judged: by
/// metric name the best that a prediction of the noise-free readout of the test set can expect,
///
/// - `pearson`, `spearman`: √ρ, where ρ = kr / (1 + (k - 1)r) is the reliability of the mean of k replicates and r
///   their mean correlation (Spearman-Brown);
/// - `mse`: the variance of the mean times 1 - ρ; `rmse`: its square root.
///
/// Nothing where the replicates do not agree (r not above 0).
fn ceilings(replicates: ArrayView2<f64>) -> Vec<(&'static str, f64)> {
    let k = replicates.ncols() as f64;
    let columns: Vec<Vec<f64>> = replicates.columns().into_iter().map(|c| c.to_vec()).collect();
    let agreement = |of: fn(&[f64], &[f64]) -> f64| {
        let pairs = (0..columns.len()).flat_map(|a| (0..a).map(move |b| (a, b)));
        stats::mean(&pairs.map(|(a, b)| of(&columns[a], &columns[b])).collect::<Vec<_>>())
    };
    let reliability = |r: f64| Some(k * r / (1.0 + (k - 1.0) * r)).filter(|_| r > 0.0);
    let mut all = vec![];
    if let Some(rho) = reliability(agreement(stats::pearson)) {
        let means: Vec<f64> = replicates.outer_iter().map(|r| r.sum() / k).collect();
        let mse = stats::sd(&means).powi(2) * (1.0 - rho);
        all.extend([("pearson", rho.sqrt()), ("mse", mse), ("rmse", mse.sqrt())]);
    }
    all.extend(reliability(agreement(stats::spearman)).map(|rho| ("spearman", rho.sqrt())));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;

    #[test]
    fn ceilings_are_reached_by_the_noise_free_readout() {
        use rand_distr::{Distribution, StandardNormal};
        let mut rng = numerics::streams::Streams::new(4).rng("donors");
        let mut z = || -> f64 { StandardNormal.sample(&mut rng) };
        // Signal of sd 1, noise of sd 1.5 in each of two replicates: r = 1 / 3.25, reliability of the mean 8 / 17.
        let n = 40_000;
        let signal: Vec<f64> = (0..n).map(|_| z()).collect();
        let replicates = Array2::from_shape_fn((n, 2), |(i, _)| signal[i] + 1.5 * z());
        let means: Vec<f64> = replicates.outer_iter().map(|r| (r[0] + r[1]) / 2.0).collect();
        let got: std::collections::BTreeMap<_, _> = ceilings(replicates.view()).into_iter().collect();
        // Five standard errors of a variance of 2 from 40,000 draws are 0.07.
        let near = |a: f64, b: f64| assert!((a - b).abs() < 0.07 * b, "{a} for {b}");
        near(got["pearson"], stats::pearson(&signal, &means));
        near(got["pearson"], (8.0f64 / 17.0).sqrt());
        near(got["spearman"], stats::spearman(&signal, &means));
        let error = signal.iter().zip(&means).map(|(s, m)| (s - m).powi(2)).sum::<f64>() / n as f64;
        // The best prediction given as the noise-free value itself errs by the noise of the mean.
        near(got["mse"], error);
        near(got["rmse"], error.sqrt());
        let apart = Array2::from_shape_fn((50, 2), |(i, c)| if c == 0 { i as f64 } else { -(i as f64) });
        assert!(ceilings(apart.view()).is_empty());
    }
}
