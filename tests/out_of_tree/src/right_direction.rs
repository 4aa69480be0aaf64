//! Whether predictions have the right sign: an example of a metric outside the tree.

use framework::metric::{Formula, Metric, Need, Scored};

framework::inventory::submit! {
    Metric {
        name: "right_direction",
        definition: "share of the true test readouts other than 0 whose prediction has the same sign; 1 is best",
        larger_is_better: true,
        needs: &[Need::TestTruth, Need::TestPrediction],
        formula: Formula::AfterRound(right_direction),
        yardsticks: None,
    }
}

fn right_direction(s: &Scored) -> Option<f64> {
    let (truth, predicted) = (s.test_truth?, &s.test_posterior?.mean);
    // Half the pathways of a simulated screen have no effect, and 0 has no direction.
    let (mut right, mut of) = (0, 0);
    for (t, p) in truth.iter().zip(predicted).filter(|(t, _)| **t != 0.0) {
        right += usize::from(t * p > 0.0);
        of += 1;
    }
    (of > 0).then(|| right as f64 / of as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use framework::domain::{Observed, Posterior, Target};
    use ndarray::array;

    #[test]
    fn signs_are_counted_and_sizes_are_not() {
        let (truth, mean) = (array![[1.0], [-2.0], [0.5], [0.0]], array![[9.0], [-0.1], [-0.5], [0.3]]);
        let (observed, posterior) = (Observed::empty(1), Posterior { mean, sd: None });
        let known = Scored { test_truth: Some(&truth), ..Scored::new(&observed, Target::default()) };
        let metric = framework::metric::find("right_direction").unwrap();
        assert_eq!(metric.value(&Scored { test_posterior: Some(&posterior), ..known }), Some(2.0 / 3.0));
        assert_eq!(metric.value(&known), None, "no model, no value");
    }
}
