//! Metrics: one table of names, definitions and formulas. What a metric needs and lacks gives no value,
//! never a made-up one.

mod expression;

use crate::domain::{Inputs, Observed, Posterior, Target};
use ndarray::{Array2, ArrayView2, Axis};
use numerics::{feature_alignment, stats};

/// What a metric may look at after a round.
pub struct Scored<'a> {
    /// True readouts of the test set (test x outputs), if known.
    pub test_truth: Option<&'a Array2<f64>>,
    /// Predictions on the test set.
    pub test_posterior: Option<&'a Posterior>,
    /// For each pool id whether it is a hit, if the truth is known.
    pub is_hit: Option<&'a [bool]>,
    /// The same where the held-out ids count too.
    pub is_hit_all: Option<&'a [bool]>,
    /// Ids that may be chosen from the start: the pool without the held-out.
    pub n_choosable: usize,
    /// For each test perturbation its clearest outputs; see [`top_outputs`].
    pub top: Option<&'a [Vec<usize>]>,
    /// Measurements so far, the initial set included.
    pub observed: &'a Observed,
    /// What counts as a hit.
    pub target: Target,
    /// What metrics of the search look at.
    pub search: Search<'a>,
    /// Ids of the test set, in the order of its truth and predictions.
    pub test: &'a [usize],
    /// Rounds since the initial set, and `fraction_discovered` then, where both are known.
    pub since_start: Option<(usize, f64)>,
}

/// The perturbations that may be chosen from the start, and what is known of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Search<'a> {
    /// Their ids, ascending.
    pub ids: &'a [usize],
    /// How much the true readout of each is wanted, if known.
    pub merit: Option<&'a [f64]>,
    /// For each whether it is known to interact: from the table of `[known]`, or planted by a simulator.
    pub known: Option<&'a [bool]>,
    /// How much the prediction for each is wanted, where a metric asks for it.
    pub predicted: Option<&'a [f64]>,
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

/// The metric that is made of `hits` and what a screen costs; results are not computed again when prices change.
pub const HITS_PER_KUSD: &str = "hits_per_kusd";

/// What the search has found, predictions counted, and what a round adds to it; the second is made of the first.
pub const FRACTION_DISCOVERED: &str = "fraction_discovered";
pub const MARGINAL_GAIN: &str = "marginal_gain";

/// Metrics that read the prediction for everything that may be chosen.
const KNOWN_AUPRC: &str = "known_auprc";
const KNOWN_AUROC: &str = "known_auroc";

/// Whether one of the metrics reads [`Search::predicted`] and [`Search::known`].
pub fn reads_predicted(metrics: &[String]) -> bool {
    metrics.iter().any(|m| m == KNOWN_AUPRC || m == KNOWN_AUROC)
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
        name: "smape",
        definition: "mean over test perturbations and outputs of 2 |prediction - truth| / (|prediction| + |truth|), from 0 to 2; 0 where both are 0",
        larger_is_better: false,
        compute: |s| {
            let (t, p) = pair(s)?;
            let one = |t: f64, m: f64| if t == m { 0.0 } else { 2.0 * (m - t).abs() / (m.abs() + t.abs()) };
            Some(t.iter().zip(&p.mean).map(|(t, m)| one(*t, *m)).sum::<f64>() / t.len() as f64)
        },
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
        compute: |s| share(s, s.is_hit),
    },
    Metric {
        name: "hit_ratio_all",
        definition: "hit_ratio with the hits ranked among all perturbations, held-out ones included, which are never measured: the reading of GeneDisco's text; its released program takes hit_ratio",
        larger_is_better: true,
        compute: |s| share(s, s.is_hit_all),
    },
    Metric {
        name: "hits",
        definition: "number of hits measured so far, initial set included",
        larger_is_better: true,
        compute: |s| hits(s, s.is_hit).map(|(found, _)| found as f64),
    },
    Metric {
        name: "enrichment",
        definition: "hit_ratio over the share of the non-test pool measured so far, which random choice has on average; 1 is chance",
        larger_is_better: true,
        compute: |s| {
            let measured = s.observed.distinct().len() as f64 / s.n_choosable as f64;
            share(s, s.is_hit).filter(|_| measured > 0.0).map(|h| h / measured)
        },
    },
    Metric {
        name: FRACTION_DISCOVERED,
        definition: "share of all hits, held-out ones included, among as many most wanted by measurement, or by prediction where there is none (NAIAD's count); hit_ratio_all counts measured hits only",
        larger_is_better: true,
        compute: |s| discovered(s).map(|(found, total)| found as f64 / total as f64),
    },
    Metric {
        name: MARGINAL_GAIN,
        definition: "hits that fraction_discovered gained since the initial set, for each round since (NAIAD's marginal gain, there of 200 hits over four rounds)",
        larger_is_better: true,
        compute: |s| {
            let ((found, total), (rounds, before)) = (discovered(s)?, s.since_start?);
            (rounds > 0).then(|| (found as f64 - before * total as f64) / rounds as f64)
        },
    },
    Metric {
        name: "tpr",
        definition: "share of the hits among test perturbations that stand among as many most wanted by prediction (NAIAD's true positive rate)",
        larger_is_better: true,
        compute: |s| {
            let (truth, p) = pair(s)?;
            let hit = hit_flags(truth, &s.target)?;
            let merit: Vec<f64> = (0..hit.len()).map(|i| p.merit(i, &s.target)).collect();
            let total = hit.iter().filter(|h| **h).count();
            (total > 0).then(|| overlap(&merit, &hit, total) as f64 / total as f64)
        },
    },
    Metric {
        name: HITS_PER_KUSD,
        definition: "hits measured so far for each 1,000 USD spent, by the scenario's [cost]; computed when results are reported",
        larger_is_better: true,
        compute: |_| None,
    },
    Metric {
        name: "best",
        definition: "best true-direction merit among measured readouts: max |y|, max y, or max -y by direction (norm for profiles)",
        larger_is_better: true,
        compute: |s| s.observed.y.outer_iter().map(|r| s.target.merit(&r.to_vec())).reduce(f64::max),
    },
    Metric {
        name: "regret",
        definition: "sum over the rounds so far, initial set left out, of what the best choice of as many perturbations among those not measured before the round would have brought less what the chosen ones brought, in true readouts by direction (|y|, y, -y; the norm of a profile)",
        larger_is_better: false,
        compute: regret,
    },
    Metric {
        name: "known_found",
        definition: "share of the perturbations known to interact (rows of the [known] table, or what a simulator planted) that have been measured, initial set included, among those that may be chosen",
        larger_is_better: true,
        compute: |s| {
            let known = s.search.known?;
            let total = known.iter().filter(|k| **k).count();
            let found = s.observed.distinct().iter().filter(|id| place(s, **id).is_some_and(|p| known[p])).count();
            (total > 0).then(|| found as f64 / total as f64)
        },
    },
    Metric {
        name: KNOWN_AUPRC,
        definition: "average precision (ties are one step) of the predicted merit of all perturbations that may be chosen, measured ones included, against those known to interact; chance is their share",
        larger_is_better: true,
        compute: |s| stats::average_precision(s.search.predicted?, s.search.known?),
    },
    Metric {
        name: KNOWN_AUROC,
        definition: "chance that a perturbation known to interact has a larger predicted merit than one that is not, over all that may be chosen, measured ones included; ties count half",
        larger_is_better: true,
        compute: |s| stats::auroc(s.search.predicted?, s.search.known?),
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

/// What the noise of the readouts allows, from replicates (n x replicates) of scalar readouts whose mean is judged: by
/// metric name the best that a prediction of the noise-free readout of the test set can expect,
///
/// - `pearson`, `spearman`: √ρ, where ρ = kr / (1 + (k - 1)r) is the reliability of the mean of k replicates and r
///   their mean correlation (Spearman-Brown);
/// - `mse`: the variance of the mean times 1 - ρ; `rmse`: its square root.
///
/// Nothing where the replicates do not agree (r not above 0).
pub fn ceilings(replicates: ArrayView2<f64>) -> Vec<(&'static str, f64)> {
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

/// At place n the share of one replicate's hits that is found by taking the n most wanted of another, mean over ordered
/// pairs of replicates (rows: the non-test pool): what the whole screen of another donor would find.
pub fn replicate_hits(replicates: ArrayView2<f64>, target: &Target) -> Option<Vec<f64>> {
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

/// Where an id stands among those that may be chosen.
fn place(s: &Scored, id: usize) -> Option<usize> {
    s.search.ids.binary_search(&id).ok()
}

fn regret(s: &Scored) -> Option<f64> {
    let merit = s.search.merit?;
    let mut order: Vec<usize> = (0..merit.len()).collect();
    order.sort_by(|&a, &b| merit[b].total_cmp(&merit[a]).then(a.cmp(&b)));
    let mut taken = vec![false; merit.len()];
    let mut total = 0.0;
    // Rows stand in the order of rounds.
    for rows in s.observed.round.iter().zip(&s.observed.ids).collect::<Vec<_>>().chunk_by(|a, b| a.0 == b.0) {
        let mut chosen: Vec<usize> = rows.iter().filter_map(|r| place(s, *r.1)).filter(|p| !taken[*p]).collect();
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
    let mut sums: std::collections::BTreeMap<usize, (f64, Vec<f64>)> = Default::default();
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
            is_hit_all: Some(&[true, true, false, false, true]),
            n_choosable: 4,
            top: None,
            observed: &observed,
            target: Target { hit_fraction: 0.5, ..Target::default() },
            search: Search::default(),
            test: &[],
            since_start: None,
        };
        let get = |n: &str| (find(n).unwrap().compute)(&s).unwrap();
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
        let s = Scored {
            test_truth: None,
            test_posterior: None,
            is_hit: None,
            is_hit_all: None,
            n_choosable: 5,
            top: None,
            observed: &observed,
            target: Target::default(),
            search,
            test: &[],
            since_start: None,
        };
        let get = |s: &Scored, n: &str| (find(n).unwrap().compute)(s);
        // Round 1 could have had 5 + 4 and took 1 + 4; round 2 could have had 5 and took 3 (twice, which is once).
        assert_eq!(get(&s, "regret"), Some(4.0 + 2.0));
        assert_eq!(get(&s, "known_found"), Some(0.5));
        assert!((get(&s, "known_auprc").unwrap() - (0.5 + 0.5 * 2.0 / 3.0)).abs() < 1e-15);
        assert_eq!(get(&s, "known_auroc"), Some(5.0 / 6.0));
        let nothing = Scored { search: Search { known: Some(&[false; 5]), ..search }, ..s };
        assert!(["known_found", "known_auprc", "known_auroc"].iter().all(|n| get(&nothing, n).is_none()));
    }

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
        let search = Search { ids: &[0, 1, 3, 4], predicted: Some(&[-1.0, 9.0, -9.0, 1.0]), ..Search::default() };
        let truth = array![[-4.0], [0.0]];
        let p = Posterior { mean: array![[-2.0], [0.5]], sd: None };
        let s = Scored {
            test_truth: Some(&truth),
            test_posterior: Some(&p),
            is_hit: None,
            is_hit_all: Some(&hit),
            n_choosable: 4,
            top: None,
            observed: &observed,
            target,
            search,
            test: &[2, 5],
            since_start: Some((2, 0.0)),
        };
        let get = |s: &Scored, n: &str| (find(n).unwrap().compute)(s);
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
        assert_eq!(get(&Scored { since_start: None, ..s }, "marginal_gain"), None);
    }

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
        let by_hand = array![[9.0, 0.0], [0.0, 9.0], [5.0, 5.0], [1.0, 1.0]];
        let target = Target { hit_fraction: 0.5, ..Target::default() };
        // Hits {0, 2} and {1, 2}; taking 1 finds {0} or {1}: none; taking 2 finds gene 2 of two.
        assert_eq!(replicate_hits(by_hand.view(), &target).unwrap()[1], 0.0);
        assert_eq!(replicate_hits(by_hand.view(), &target).unwrap()[2], 0.5);
        assert_eq!(replicate_hits(by_hand.view(), &target).unwrap()[4], 1.0);
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
            is_hit_all: None,
            n_choosable: 0,
            top: None,
            observed: &Observed::empty(2),
            target: Target::default(),
            search: Search::default(),
            test: &[],
            since_start: None,
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
