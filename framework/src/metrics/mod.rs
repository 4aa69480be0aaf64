//! Metrics: one table of names, definitions and formulas. What a metric needs and lacks gives no value,
//! never a made-up one.

mod expression;

use crate::domain::{Inputs, Observed, Posterior, Target};
use crate::numerics::{feature_alignment, stats};
use ndarray::{Array2, Axis};

/// What a metric may look at after a round.
pub struct Scored<'a> {
    /// True readouts of the test set (test x outputs), if known.
    pub test_truth: Option<&'a Array2<f64>>,
    /// Predictions on the test set.
    pub test_posterior: Option<&'a Posterior>,
    /// For each pool id whether it is a hit, if the truth is known.
    pub is_hit: Option<&'a [bool]>,
    /// For each test perturbation its clearest outputs; see [`top_outputs`].
    pub top: Option<&'a [Vec<usize>]>,
    /// Measurements so far, the initial set included.
    pub observed: &'a Observed,
    /// What counts as a hit.
    pub target: Target,
}

/// A number computed after each round.
pub struct Metric {
    /// Its name in scenario files and result columns.
    pub name: &'static str,
    /// Its definition, printed with results.
    pub definition: &'static str,
    /// Whether larger is better.
    pub larger_is_better: bool,
    /// Computes it; nothing where the run lacks what it needs.
    pub compute: fn(&Scored) -> Option<f64>,
}

/// All metrics.
pub const METRICS: &[Metric] = &[
    Metric {
        name: "mse",
        definition: "mean over test perturbations and outputs of (prediction - truth)^2",
        larger_is_better: false,
        compute: |s| errors(s, |e| e * e),
    },
    Metric {
        name: "focal",
        definition: "mean over test perturbations of the mean over all outputs of (prediction - truth)^4 (the GEARS training loss of IterPert's figures, on profiles averaged over cells); needs profiles",
        larger_is_better: false,
        compute: expression::focal,
    },
    Metric {
        name: "focal_top20",
        definition: "focal over the 20 outputs of each perturbation that differ most clearly from control: by the screen's |t| score where it gives one (outputs that it leaves out never count), else by |truth|",
        larger_is_better: false,
        compute: expression::focal_top20,
    },
    Metric {
        name: "mse_top20",
        definition: "mean over test perturbations of the mean of (prediction - truth)^2 over the 20 clearest outputs of each, chosen as for focal_top20",
        larger_is_better: false,
        compute: expression::mse_top20,
    },
    Metric {
        name: "pearson_delta",
        definition: "Pearson correlation over outputs of predicted and true difference from control, mean over test perturbations; 0 where one side is constant",
        larger_is_better: true,
        compute: expression::pearson_delta,
    },
    Metric {
        name: "pearson_delta_top20",
        definition: "pearson_delta over the 20 clearest outputs of each perturbation, chosen as for focal_top20",
        larger_is_better: true,
        compute: expression::pearson_delta_top20,
    },
    Metric {
        name: "pearson_centred",
        definition: "pearson_delta after subtracting from both sides the mean of the profiles measured so far, which removes the response that all perturbations share; 0 for a model that predicts that mean",
        larger_is_better: true,
        compute: expression::pearson_centred,
    },
    Metric {
        name: "opposite_direction",
        definition: "share of the 20 clearest outputs (chosen as for focal_top20) whose predicted and true difference from control have opposite signs, both not zero; mean over test perturbations",
        larger_is_better: false,
        compute: expression::opposite_direction,
    },
    Metric {
        name: "discrimination",
        definition: "share of the other test perturbations whose true profile is farther (Euclidean) from the prediction than its own true profile, ties count half, mean over test perturbations; 1 is best and 0.5 chance, as in the Virtual Cell Challenge's perturbation discrimination score, which counts itself too, takes L1 and leaves out the target gene",
        larger_is_better: true,
        compute: expression::discrimination,
    },
    Metric {
        name: "e_distance",
        definition: "energy distance, squared Euclidean base and all pairs of cells counted, between the cells of a test perturbation and control cells shifted by the predicted difference, mean over test perturbations; exactly 2 |prediction - truth|^2, so 2 x outputs x mse",
        larger_is_better: false,
        compute: expression::e_distance,
    },
    Metric {
        name: "rmse",
        definition: "square root of mse",
        larger_is_better: false,
        compute: |s| errors(s, |e| e * e).map(f64::sqrt),
    },
    Metric {
        name: "mae",
        definition: "mean over test perturbations and outputs of |prediction - truth|",
        larger_is_better: false,
        compute: |s| errors(s, f64::abs),
    },
    Metric {
        name: "pearson",
        definition: "Pearson correlation of prediction and truth over test perturbations, mean over outputs; 0 where one side is constant",
        larger_is_better: true,
        compute: |s| by_output(s, stats::pearson),
    },
    Metric {
        name: "spearman",
        definition: "rank correlation of prediction and truth over test perturbations (ties share their mean rank), mean over outputs",
        larger_is_better: true,
        compute: |s| by_output(s, stats::spearman),
    },
    Metric {
        name: "hit_ratio",
        definition: "share of all hits measured so far, initial set included; hits are the floor(hit_fraction x n) most wanted of the n non-test perturbations by true readout (by |y| for direction abs), ties to the lower id",
        larger_is_better: true,
        compute: |s| hits(s).map(|(found, total)| found as f64 / total as f64),
    },
    Metric {
        name: "hits",
        definition: "number of hits measured so far, initial set included",
        larger_is_better: true,
        compute: |s| hits(s).map(|(found, _)| found as f64),
    },
    Metric {
        name: "best",
        definition: "best true-direction merit among measured readouts: max |y|, max y, or max -y by direction (norm for profiles)",
        larger_is_better: true,
        compute: |s| s.observed.y.outer_iter().map(|r| s.target.merit(&r.to_vec())).reduce(f64::max),
    },
    Metric {
        name: "nll",
        definition: "mean negative log density of the test truth under the predicted normal (sd of the noise-free value)",
        larger_is_better: false,
        compute: |s| {
            calibrated(s, |e, sd| {
                let sd = sd.max(1e-12);
                0.5 * (2.0 * std::f64::consts::PI).ln() + sd.ln() + 0.5 * (e / sd).powi(2)
            })
        },
    },
    Metric {
        name: "coverage95",
        definition: "share of test truths within mean +- 1.96 sd; calibrated predictions give 0.95",
        larger_is_better: true,
        compute: |s| calibrated(s, |e, sd| f64::from(e.abs() <= 1.959963984540054 * sd)),
    },
    Metric {
        name: "sharpness",
        definition: "mean predicted sd on the test set",
        larger_is_better: false,
        compute: |s| calibrated(s, |_, sd| sd),
    },
    Metric {
        name: "alignment",
        definition: "alignment <K, T> / (|K| |T|) of the inner products of predictions with those of the truth over test perturbations (at most 2,000, evenly spaced); that of each prior's features is recorded beside it as `alignment PRIOR`",
        larger_is_better: true,
        compute: |s| aligned(s, false),
    },
    Metric {
        name: "centred_alignment",
        definition: "alignment after centring both matrices (H K H), over the same test perturbations; that of each prior is recorded beside it as `centred_alignment PRIOR`",
        larger_is_better: true,
        compute: |s| aligned(s, true),
    },
];

/// Test perturbations on which alignment is computed.
const ALIGNED: usize = 2000;

/// At most [`ALIGNED`] of `n`, evenly spaced.
fn spaced(n: usize) -> Vec<usize> {
    if n <= ALIGNED { (0..n).collect() } else { (0..ALIGNED).map(|i| i * n / ALIGNED).collect() }
}

/// The alignment metrics among `metrics` for the linear kernel of each prior, by name. IterPert computes them on the
/// pool left after the last round; held-out perturbations are likewise never measured, and known from the start.
pub fn prior_alignments(
    metrics: &[String],
    inputs: &Inputs,
    test: &[usize],
    truth: Option<&Array2<f64>>,
) -> Vec<(String, f64)> {
    let Some(truth) = truth else { return vec![] };
    let some = spaced(test.len());
    let ids: Vec<usize> = some.iter().map(|&i| test[i]).collect();
    let truth = truth.select(Axis(0), &some);
    let mut all = vec![];
    for (name, centred) in [("alignment", false), ("centred_alignment", true)] {
        if metrics.iter().any(|m| m == name) {
            for (b, block) in inputs.blocks().iter().enumerate() {
                let x = inputs.only(&[b]).features(&ids);
                let a = feature_alignment(x.view(), truth.view(), centred);
                all.extend(a.map(|a| (format!("{name} {}", block.name), a)));
            }
        }
    }
    all
}

fn aligned(s: &Scored, centred: bool) -> Option<f64> {
    let (t, p) = pair(s)?;
    let some = spaced(t.nrows());
    feature_alignment(p.mean.select(Axis(0), &some).view(), t.select(Axis(0), &some).view(), centred)
}

/// For each test perturbation the 20 outputs that differ most clearly from control, if one of `metrics` asks for them:
/// computed once a run. `clarity` is what the screen knows of it.
pub fn top_outputs(
    metrics: &[String],
    truth: Option<&Array2<f64>>,
    clarity: impl FnOnce() -> Option<Array2<f64>>,
) -> Option<Vec<Vec<usize>>> {
    let truth = truth.filter(|t| t.ncols() > 1 && metrics.iter().any(|m| expression::reads_top(m)))?;
    match clarity() {
        Some(c) if c.dim() != truth.dim() => None,
        c => Some(expression::top_outputs(truth, c.as_ref())),
    }
}

/// The metric of a name. `aulc_NAME` is derived from the whole curve by [`aulc`] and is always reported.
pub fn find(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|m| m.name == name)
}

/// All names.
pub fn names() -> impl Iterator<Item = &'static str> {
    METRICS.iter().map(|m| m.name)
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

/// Which of `ids` are hits: the floor(hit_fraction x n) of highest merit, ties to the earlier one.
pub fn hit_flags(truth: &Array2<f64>, target: &Target) -> Vec<bool> {
    let merit: Vec<f64> = truth.outer_iter().map(|r| target.merit(&r.to_vec())).collect();
    let mut order: Vec<usize> = (0..merit.len()).collect();
    order.sort_by(|&a, &b| merit[b].total_cmp(&merit[a]).then(a.cmp(&b)));
    let mut hit = vec![false; merit.len()];
    order.iter().take(target.n_hits(merit.len())).for_each(|&i| hit[i] = true);
    hit
}

fn pair<'a>(s: &Scored<'a>) -> Option<(&'a Array2<f64>, &'a Posterior)> {
    let (t, p) = (s.test_truth?, s.test_posterior?);
    (t.nrows() > 0).then_some((t, p))
}

fn errors(s: &Scored, f: impl Fn(f64) -> f64) -> Option<f64> {
    let (t, p) = pair(s)?;
    Some(t.iter().zip(&p.mean).map(|(t, m)| f(m - t)).sum::<f64>() / t.len() as f64)
}

fn by_output(s: &Scored, f: impl Fn(&[f64], &[f64]) -> f64) -> Option<f64> {
    let (t, p) = pair(s)?;
    let total: f64 = t.columns().into_iter().zip(p.mean.columns()).map(|(t, m)| f(&m.to_vec(), &t.to_vec())).sum();
    Some(total / t.ncols() as f64)
}

fn calibrated(s: &Scored, f: impl Fn(f64, f64) -> f64) -> Option<f64> {
    let (t, p) = pair(s)?;
    let sd = p.sd.as_ref()?;
    Some(t.iter().zip(&p.mean).zip(sd).map(|((t, m), sd)| f(t - m, *sd)).sum::<f64>() / t.len() as f64)
}

fn hits(s: &Scored) -> Option<(usize, usize)> {
    let flags = s.is_hit?;
    let mut seen: Vec<usize> = s.observed.ids.iter().copied().filter(|&i| flags[i]).collect();
    seen.sort_unstable();
    seen.dedup();
    Some((seen.len(), flags.iter().filter(|f| **f).count()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Direction;
    use ndarray::array;

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
            top: None,
            observed: &observed,
            target: Target { direction: Direction::Abs, hit_fraction: 0.5 },
        };
        let get = |n: &str| (find(n).unwrap().compute)(&s).unwrap();
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-9, "{a} {b}");
        near(get("mse"), 1.25 / 3.0);
        near(get("rmse"), (1.25f64 / 3.0).sqrt());
        near(get("mae"), 0.5);
        near(get("spearman"), 1.0);
        near(get("hit_ratio"), 2.0 / 3.0);
        near(get("hits"), 2.0);
        near(get("best"), 5.0);
        near(get("coverage95"), 2.0 / 3.0);
        near(get("sharpness"), 0.7);
        let c = 0.5 * (2.0 * std::f64::consts::PI).ln();
        near(get("nll"), c + (0.125 + 0.0 + 0.1f64.ln() + 50.0) / 3.0);
        near(get("pearson"), stats::pearson(&[1.5, 2.0, 3.0], &[1.0, 2.0, 4.0]));
    }

    #[test]
    fn alignment_of_model_and_priors_by_hand() {
        let truth = array![[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]];
        let mean = array![[1.0, 1.0], [0.0, 1.0], [2.0, 0.0]];
        let p = Posterior { mean: mean.clone(), sd: None };
        let s = Scored {
            test_truth: Some(&truth),
            test_posterior: Some(&p),
            is_hit: None,
            top: None,
            observed: &Observed::empty(2),
            target: Target::default(),
        };
        let (a, b) = (mean.dot(&mean.t()), truth.dot(&truth.t()));
        let want = (&a * &b).sum() / ((&a * &a).sum() * (&b * &b).sum()).sqrt();
        assert!(((find("alignment").unwrap().compute)(&s).unwrap() - want).abs() < 1e-12);
        assert!((find("centred_alignment").unwrap().compute)(&s).is_some());
        let world = crate::testing::TinyWorld::new(9, 3, 2, false, 1).unwrap();
        let test = [1, 4, 6];
        let names = ["rmse".to_string(), "alignment".to_string()];
        let got = prior_alignments(&names, &world.inputs, &test, Some(&truth));
        let x = world.inputs.features(&test);
        let a = x.dot(&x.t());
        let want = (&a * &b).sum() / ((&a * &a).sum() * (&b * &b).sum()).sqrt();
        assert_eq!(got[0].0, "alignment signal");
        assert!(got.len() == 1 && (got[0].1 - want).abs() < 1e-12);
        assert!(prior_alignments(&names, &world.inputs, &test, None).is_empty());
        let many = spaced(5001);
        assert!(many.len() == 2000 && many[0] == 0 && many.windows(2).all(|w| w[1] > w[0]) && many[1999] < 5001);
    }

    #[test]
    fn hits_follow_the_direction_and_ties_the_order() {
        let y = array![[-3.0], [1.0], [3.0], [0.0]];
        let t = |direction| Target { direction, hit_fraction: 0.25 };
        assert_eq!(hit_flags(&y, &t(Direction::Abs)), [true, false, false, false]);
        assert_eq!(hit_flags(&y, &t(Direction::Max)), [false, false, true, false]);
        assert_eq!(hit_flags(&y, &t(Direction::Min)), [true, false, false, false]);
    }
}
