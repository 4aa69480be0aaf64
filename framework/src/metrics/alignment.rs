//! Whether perturbations that are predicted alike are alike: alignment of matrices of inner products.

use crate::inventory;
use crate::metric::{Formula, Metric, Need, Scored, Setting, Yardstick};
use ndarray::Axis;
use numerics::feature_alignment;

inventory::submit! {
    Metric {
        name: "alignment",
        definition: "alignment <K, T> / (|K| |T|) of the inner products of predictions with those of the truth over test perturbations (at most 2,000, evenly spaced); that of each prior's features is recorded beside it as `alignment PRIOR`",
        larger_is_better: true,
        needs: &[Need::TestTruth, Need::TestPrediction],
        formula: Formula::AfterRound(|s| aligned(s, false)),
        yardsticks: Some(|s| of_priors(s, "alignment", false)),
    }
}

inventory::submit! {
    Metric {
        name: "centred_alignment",
        definition: "alignment after centring both matrices (H K H), over the same test perturbations; that of each prior is recorded beside it as `centred_alignment PRIOR`",
        larger_is_better: true,
        needs: &[Need::TestTruth, Need::TestPrediction],
        formula: Formula::AfterRound(|s| aligned(s, true)),
        yardsticks: Some(|s| of_priors(s, "centred_alignment", true)),
    }
}

/// Test perturbations on which alignment is computed.
const ALIGNED: usize = 2000;

/// At most [`ALIGNED`] of `n`, evenly spaced.
fn spaced(n: usize) -> Vec<usize> {
    if n <= ALIGNED { (0..n).collect() } else { (0..ALIGNED).map(|i| i * n / ALIGNED).collect() }
}

fn aligned(s: &Scored, centred: bool) -> Option<f64> {
    let (t, p) = (s.test_truth?, s.test_posterior?);
    let some = spaced(t.nrows());
    feature_alignment(p.mean.select(Axis(0), &some).view(), t.select(Axis(0), &some).view(), centred)
}

/// The same of the linear kernel of each prior. IterPert computes it on the pool left after the last round; held-out
/// perturbations are likewise never measured, and known from the start.
fn of_priors(s: &Setting, metric: &str, centred: bool) -> Vec<Yardstick> {
    let Some(truth) = s.test_truth else { return vec![] };
    let some = spaced(s.test.len());
    let ids: Vec<usize> = some.iter().map(|&i| s.test[i]).collect();
    let truth = truth.select(Axis(0), &some);
    let of = |(b, name): (usize, &str)| {
        let x = s.inputs.only(&[b]).features(&ids);
        let value = feature_alignment(x.view(), truth.view(), centred)?;
        Some(Yardstick::constant(format!("{metric} {name}"), value))
    };
    s.inputs.blocks().iter().map(|b| b.name.as_str()).enumerate().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Observed, Posterior, Target};
    use crate::metric::find;
    use crate::metrics::yardsticks;
    use ndarray::array;

    #[test]
    fn alignment_of_model_and_priors_by_hand() {
        let truth = array![[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]];
        let mean = array![[1.0, 1.0], [0.0, 1.0], [2.0, 0.0]];
        let p = Posterior { mean: mean.clone(), sd: None };
        let observed = Observed::empty(2);
        let nothing = Scored::new(&observed, Target::default());
        let s = Scored { test_truth: Some(&truth), test_posterior: Some(&p), ..nothing };
        let (a, b) = (mean.dot(&mean.t()), truth.dot(&truth.t()));
        let want = (&a * &b).sum() / ((&a * &a).sum() * (&b * &b).sum()).sqrt();
        assert!((find("alignment").unwrap().value(&s).unwrap() - want).abs() < 1e-12);
        assert!(find("centred_alignment").unwrap().value(&s).is_some());
        let world = crate::testing::TinyWorld::new(9, 3, 2, false, 1).unwrap();
        let test = [1, 4, 6];
        let names = ["rmse".to_string(), "alignment".to_string()];
        let setting = Setting {
            inputs: &world.inputs,
            target: Target::default(),
            test: &test,
            test_truth: Some(&truth),
            choosable: &[0, 2],
            replicates: &|_| None,
        };
        let got = yardsticks(&names, &setting);
        let x = world.inputs.features(&test);
        let a = x.dot(&x.t());
        let want = (&a * &b).sum() / ((&a * &a).sum() * (&b * &b).sum()).sqrt();
        assert_eq!(got[0].name, "alignment signal");
        let same = [0, 5].map(|n| got[0].at(n).unwrap());
        assert!(got.len() == 1 && same.iter().all(|v| (v - want).abs() < 1e-12));
        assert!(yardsticks(&names, &Setting { test_truth: None, ..setting }).is_empty());
        let many = spaced(5001);
        assert!(many.len() == 2000 && many[0] == 0 && many.windows(2).all(|w| w[1] > w[0]) && many[1999] < 5001);
    }
}
