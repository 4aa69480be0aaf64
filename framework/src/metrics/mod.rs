//! The metrics that come with the framework, a file for each family, and what computes them and all others.
//!
//! A file holds entries of the catalogue ([`metric`](crate::metric)) with their formulas; a new metric is one more entry.

mod alignment;
mod calibration;
mod cost;
mod expression;
mod hits;
mod known;
mod regression;
mod search;

pub use hits::hit_flags;

use crate::metric::{Formula, Metric, Need, Reported, Scored, Setting, Yardstick, find};
use ndarray::Array2;
use std::collections::BTreeMap;

fn listed(metrics: &[String]) -> impl Iterator<Item = &'static Metric> + '_ {
    metrics.iter().filter_map(|m| find(m))
}

/// Whether one of the metrics needs something, and may have all else that it needs: `has` says what there is.
pub fn ask(metrics: &[String], need: Need, has: impl Fn(Need) -> bool) -> bool {
    listed(metrics).any(|m| m.needs.contains(&need) && m.needs.iter().all(|n| *n == need || has(*n)))
}

/// Metrics of a list, each with one that it is made of and that the list lacks.
pub fn lacking_parts(metrics: &[String]) -> Vec<(&'static str, &'static str)> {
    let lacks = |part: &str| !metrics.iter().any(|m| m == part);
    listed(metrics).flat_map(|m| m.made_of().filter(|p| lacks(p)).map(|p| (m.name, p))).collect()
}

/// What is recorded beside the metrics, known before the first round.
pub fn yardsticks(metrics: &[String], setting: &Setting) -> Vec<Yardstick> {
    listed(metrics).filter_map(|m| m.yardsticks).flat_map(|of| of(setting)).collect()
}

/// The values that the metrics have after a round, by name.
pub fn after_round(metrics: &[String], scored: &Scored) -> BTreeMap<String, f64> {
    listed(metrics).filter_map(|m| Some((m.name.to_string(), m.value(scored)?))).collect()
}

/// Adds to the curves of a run those of metrics that are made when results are reported; `usd` is what had been spent by
/// the end of each round. One whose parts have no curve gets none.
pub fn when_reported(metrics: &[String], curves: &mut BTreeMap<String, Vec<f64>>, usd: &[f64]) {
    for m in listed(metrics) {
        let Formula::WhenReported(compute) = m.formula else { continue };
        let parts: Option<Vec<_>> = m.made_of().map(|p| Some((p, curves.get(p)?))).collect();
        let Some(parts) = parts else { continue };
        let value = |(t, usd): (usize, &f64)| {
            let finite = parts.iter().filter_map(|(p, c)| Some((*p, *c.get(t)?))).filter(|v| v.1.is_finite());
            compute(&Reported { values: &finite.collect(), usd: *usd }).unwrap_or(f64::NAN)
        };
        let curve = usd.iter().enumerate().map(value).collect();
        curves.insert(m.name.into(), curve);
    }
}

/// For each test perturbation the 20 outputs that differ most clearly from control, if one of `metrics` asks for them:
/// computed once a run. `clarity` is what the screen knows of it.
pub fn clearest_outputs(
    metrics: &[String],
    truth: Option<&Array2<f64>>,
    clarity: impl FnOnce() -> Option<Array2<f64>>,
) -> Option<Vec<Vec<usize>>> {
    let truth = truth.filter(|t| t.ncols() > 1 && ask(metrics, Need::ClearestOutputs, |_| true))?;
    match clarity() {
        Some(c) if c.dim() != truth.dim() => None,
        c => Some(expression::top_outputs(truth, c.as_ref())),
    }
}

/// Area under a learning curve: trapezoid rule over the number of measured perturbations, divided by the
/// range, so that it is on the metric's own scale. One point is its own area; NaN values make it NaN.
pub fn aulc(n_measured: &[f64], values: &[f64]) -> f64 {
    match (n_measured, values) {
        (_, []) => f64::NAN,
        (_, [one]) => *one,
        (x, v) => {
            let area: f64 = x.windows(2).zip(v.windows(2)).map(|(x, v)| (x[1] - x[0]) * (v[0] + v[1]) / 2.0).sum();
            area / (x[x.len() - 1] - x[0])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Observed, Posterior, Target};
    use crate::metric::{Search, catalogue};
    use ndarray::array;
    use numerics::stats;

    #[test]
    fn areas_by_hand() {
        assert_eq!(aulc(&[0.0, 10.0, 20.0], &[0.0, 1.0, 1.0]), 0.75);
        assert_eq!(aulc(&[0.0, 10.0, 40.0], &[2.0, 2.0, 2.0]), 2.0);
        assert_eq!(aulc(&[5.0], &[3.0]), 3.0);
    }

    #[test]
    fn every_metric_by_hand() {
        let truth = array![[1.0], [2.0], [4.0]];
        let p = Posterior { mean: array![[1.5], [2.0], [3.0]], sd: Some(array![[1.0], [1.0], [0.1]]) };
        let mut observed = Observed::empty(1);
        observed.ids = vec![2, 0, 2];
        observed.y = array![[-5.0], [1.0], [-5.0]];
        let flags = [true, false, true, false, true];
        let s = Scored {
            test_truth: Some(&truth),
            test_posterior: Some(&p),
            is_hit: Some(&flags),
            is_hit_all: Some(&[true, true, false, false, true]),
            search: Search { ids: &[0, 2, 3, 4], ..Search::default() },
            ..Scored::new(&observed, Target { hit_fraction: 0.5, ..Target::default() })
        };
        let get = |n: &str| find(n).unwrap().value(&s).unwrap();
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        near(get("mse"), 1.25 / 3.0);
        near(get("rmse"), (1.25f64 / 3.0).sqrt());
        near(get("mae"), 0.5);
        near(get("spearman"), 1.0);
        near(get("hit_ratio"), 2.0 / 3.0);
        near(get("hits"), 2.0);
        near(get("hit_ratio_all"), 1.0 / 3.0);
        near(get("enrichment"), (2.0 / 3.0) / 0.5);
        near(get("smape"), (2.0 * 0.5 / 2.5 + 0.0 + 2.0 / 7.0) / 3.0);
        near(get("best"), 5.0);
        near(get("coverage95"), 2.0 / 3.0);
        near(get("sharpness"), 0.7);
        let c = 0.5 * (2.0 * std::f64::consts::PI).ln();
        near(get("nll"), c + (0.125 + 0.0 + 0.1f64.ln() + 50.0) / 3.0);
        near(get("pearson"), stats::pearson(&[1.5, 2.0, 3.0], &[1.0, 2.0, 4.0]));
    }

    /// Everything that a metric may need, for pools whose readouts have one output or three.
    struct Whole {
        initial: BTreeMap<String, f64>,
        observed: Observed,
        truth: Array2<f64>,
        posterior: Posterior,
        clearest: Vec<Vec<usize>>,
    }

    impl Whole {
        fn new(outputs: usize) -> Self {
            let y = |rows: usize, by: f64| {
                Array2::from_shape_fn((rows, outputs), |(i, j)| (by * (1 + i + 2 * j) as f64).sin())
            };
            let mut observed = Observed::empty(outputs);
            (observed.ids, observed.round, observed.y) = (vec![0, 1, 2], vec![0, 1, 2], y(3, 1.3));
            Self {
                initial: BTreeMap::from([("fraction_discovered".to_string(), 0.0)]),
                observed,
                truth: y(3, 0.7),
                posterior: Posterior { mean: y(3, 0.9), sd: Some(y(3, 0.4).mapv(|v| 0.1 + v.abs())) },
                clearest: vec![(0..outputs).collect(); 3],
            }
        }

        fn scored(&self) -> Scored<'_> {
            Scored {
                round: 2,
                initial: Some(&self.initial),
                test: &[5, 6, 7],
                test_truth: Some(&self.truth),
                test_posterior: Some(&self.posterior),
                clearest: Some(&self.clearest),
                is_hit: Some(&[true, false, false, true, false, false, false, false]),
                is_hit_all: Some(&[true, false, false, true, false, true, false, false]),
                search: Search {
                    ids: &[0, 1, 2, 3, 4],
                    merit: Some(&[0.5, 0.1, 0.2, 0.9, 0.3]),
                    known: Some(&[true, false, false, true, false]),
                    predicted: Some(&[0.1, 0.4, 0.3, 0.2, 0.0]),
                },
                ..Scored::new(&self.observed, Target::default())
            }
        }
    }

    /// The same without what one need stands for.
    fn without<'a>(s: Scored<'a>, need: Need, scalar: &'a Observed, no_sd: &'a Posterior) -> Scored<'a> {
        match need {
            Need::TestTruth => Scored { test_truth: None, ..s },
            Need::TestPrediction => Scored { test_posterior: None, ..s },
            Need::TestSd => Scored { test_posterior: s.test_posterior.map(|_| no_sd), ..s },
            Need::Profiles => Scored { observed: scalar, ..s },
            Need::ClearestOutputs => Scored { clearest: None, ..s },
            Need::Hits => Scored { is_hit: None, ..s },
            Need::HitsOfAll => Scored { is_hit_all: None, ..s },
            Need::Merits => Scored { search: Search { merit: None, ..s.search }, ..s },
            Need::Known => Scored { search: Search { known: None, ..s.search }, ..s },
            Need::PoolPrediction => Scored { search: Search { predicted: None, ..s.search }, ..s },
            Need::Metric(_) | Need::Prices => s,
        }
    }

    const GIVEN: [Need; 10] = [
        Need::TestSd,
        Need::TestPrediction,
        Need::TestTruth,
        Need::Profiles,
        Need::ClearestOutputs,
        Need::Hits,
        Need::HitsOfAll,
        Need::Merits,
        Need::Known,
        Need::PoolPrediction,
    ];

    #[test]
    fn a_metric_has_a_value_where_its_needs_are_met_and_only_there() {
        let (one, three) = (Whole::new(1), Whole::new(3));
        for m in catalogue().into_iter().filter(|m| matches!(m.formula, Formula::AfterRound(_))) {
            let profiles = m.needs.contains(&Need::Profiles);
            let whole = if profiles { &three } else { &one };
            let no_sd = Posterior { sd: None, ..whole.posterior.clone() };
            let mut least = Scored { test: &[], ..whole.scored() };
            assert!(m.value(&least).is_some(), "{}: all is known", m.name);
            for need in GIVEN {
                let implied = need == Need::TestPrediction && m.needs.contains(&Need::TestSd);
                if m.needs.contains(&need) {
                    let lacking = without(whole.scored(), need, &one.observed, &no_sd);
                    assert_eq!(m.value(&lacking), None, "{} without {need:?}", m.name);
                } else if !implied {
                    least = without(least, need, &one.observed, &no_sd);
                }
            }
            assert!(m.value(&least).is_some(), "{} needs more than it says: {:?}", m.name, m.needs);
        }
    }

    #[test]
    fn the_catalogue_is_sorted_and_finds_every_entry() {
        let names: Vec<&str> = catalogue().iter().map(|m| m.name).collect();
        assert!(names.len() >= 33 && names.is_sorted() && names.windows(2).all(|w| w[0] != w[1]), "{names:?}");
        assert!(catalogue().iter().all(|m| find(m.name).is_some_and(|f| std::ptr::eq(f, *m))));
        assert!(find("aulc_mse").is_none() && find("").is_none());
        assert_eq!(crate::error::hint("rmsee", names.iter().copied()), "; did you mean `rmse`?");
    }

    fn list(metrics: &[&str]) -> Vec<String> {
        metrics.iter().map(|m| m.to_string()).collect()
    }

    #[test]
    fn parts_must_be_listed_too() {
        assert_eq!(
            lacking_parts(&list(&["hits_per_kusd", "marginal_gain", "mse", "no_such"])),
            [("hits_per_kusd", "hits"), ("marginal_gain", "fraction_discovered")]
        );
        assert!(lacking_parts(&list(&["hits", "hits_per_kusd", "fraction_discovered", "marginal_gain"])).is_empty());
    }

    #[test]
    fn the_pool_is_predicted_only_for_what_can_be_told() {
        let asks = |m: &[&str], there: Need| {
            ask(&list(m), Need::PoolPrediction, |n| n == there || matches!(n, Need::Metric(_)))
        };
        assert!(asks(&["mse", "known_auroc"], Need::Known) && !asks(&["known_auroc"], Need::HitsOfAll));
        assert!(asks(&["fraction_discovered"], Need::HitsOfAll) && !asks(&["known_found", "hits"], Need::Known));
    }

    #[test]
    fn reported_metrics_are_made_of_curves_and_prices() {
        let names = list(&["hits", "hits_per_kusd", "mse"]);
        let mut curves = BTreeMap::from([("hits".to_string(), vec![2.0, 3.0, f64::NAN])]);
        when_reported(&names, &mut curves, &[0.0, 1500.0, 2000.0]);
        let got = &curves["hits_per_kusd"];
        assert!(got[0].is_nan() && got[1] == 2.0 && got[2].is_nan(), "{got:?}");
        assert_eq!(curves.keys().collect::<Vec<_>>(), ["hits", "hits_per_kusd"]);
        let mut no_hits = BTreeMap::new();
        when_reported(&names, &mut no_hits, &[30.0]);
        assert!(no_hits.is_empty());
        let whole = Whole::new(1);
        assert_eq!(after_round(&names, &whole.scored()).keys().collect::<Vec<_>>(), ["hits", "mse"]);
    }
}
