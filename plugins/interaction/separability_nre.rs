//! Separability by a learned density ratio: do divergences from control add up?
//!
//! One network f(x, c) learns the density ratios of all classes at once (contrastive estimation, `learn::density::ratio`);
//! ln p(x|0)/p(x|c) = f(x, 0) - f(x, c) goes into the SMILE estimate of KL(p_0‖p_c), and the score of a pair is the
//! absolute value of T = KL(p_0‖p_i) + KL(p_0‖p_j) - KL(p_0‖p_ij) (Xu, Jain et al. 2024, section 3.1). The clip of SMILE
//! moves T of a separable pair away from 0 even where the ratio is exact; `null_level` tells by how much, from the closed
//! form for normal log ratios (`learn::density::smile`), and p values are for T against that level. The pointwise statistic
//! v(x) = ln p_ij + ln p_0 - ln p_i - ln p_j is 0 everywhere for a separable pair, cannot miss what cancels in the mean,
//! and can be taken where all four classes have samples: what f says of a class at control, more than about 10 nats away,
//! is extrapolation, as the loss hardly sees it; estimates of large divergences are then off in either direction.
//! Samples are fetched in batches and never held. O(epochs x samples x parameters).

mod encoder;
#[cfg(test)]
mod tests;

use framework::domain::Class;
use framework::numerics::stats::{Reference, empirical_null_p, quantile};
use framework::prelude::*;
use learn::density::ratio::{Keep, Scale};
use learn::density::smile::{log_mean_clipped, normal_kl, of_normal, of_normal_slope};
use rayon::prelude::*;

/// Scores a pair by how far the divergences of its singles from control are from summing to its own, by a network.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeparabilityNre {
    /// Encoder and schedule of the papers: `"tabular"`, `"images"`, `"gene_embeddings"` or `"guides"`. Default: `"images"`
    /// where samples are images, `"tabular"` otherwise. The settings below, where given, replace its own.
    #[serde(default)]
    pub preset: Option<Preset>,
    /// `"mlp"` or `"conv"`, which needs images. Default: the preset's.
    #[serde(default)]
    pub encoder: Option<Kind>,
    /// Channels of the convolutions of `"conv"`, each of which halves the image. Default: the preset's, otherwise 32, 54,
    /// 128, 256, 512.
    #[serde(default)]
    pub widths: Option<Vec<usize>>,
    /// Widths of the fully connected layers, each with a ReLU; the head of the classes stands on the last. Default: the
    /// preset's (tabular 128, 64).
    #[serde(default)]
    pub hidden: Option<Vec<usize>>,
    /// Share of units left out between fully connected layers in training, 0 to below 1. Default: the preset's (0, guides
    /// 0.3).
    #[serde(default)]
    pub dropout: Option<f64>,
    /// Learning rate of Adam. Default: the preset's (tabular 5e-3).
    #[serde(default)]
    pub rate: Option<f64>,
    /// Passes over the samples. Default: the preset's (tabular 500).
    #[serde(default)]
    pub epochs: Option<usize>,
    /// Samples of a step. Default: the preset's (tabular 1,024).
    #[serde(default)]
    pub batch: Option<usize>,
    /// Which epoch to use: `"train"` (default; the best accuracy on its own batches, as the papers), `"held_out"` (the
    /// least loss on samples that are held out, which a network that learns its samples by heart needs) or `"last"`.
    #[serde(default)]
    pub keep: Keep,
    /// Share of the samples (guides or wells where they are told apart) of each class that `"held_out"` holds out.
    /// Default 0.1.
    #[serde(default = "held_out")]
    pub held_out: f64,
    /// Where SMILE clips log ratios, above 0 and at most 100. Larger: less bias, more variance. Default 5.
    #[serde(default = "tau")]
    pub tau: f64,
    /// Brings features to one scale over all classes: `"each"` (default; to mean 0 and sd 1, of images each channel),
    /// `"whiten"` (the covariance becomes the identity, for up to 2,048 features; strongly correlated features are learned
    /// in far fewer epochs) or `"none"`. Density ratios do not depend on it.
    #[serde(default)]
    pub standardise: Scale,
    /// What the score is. `"kl"` (default): |T| of SMILE estimates, as the papers. `"kl_debiased"`: the same after each
    /// estimate is taken back through the closed form of its bias. `"pointwise_absolute"` and `"pointwise_squared"`: the
    /// mean of |v| or v².
    #[serde(default)]
    pub statistic: Statistic,
    /// Over which samples the pointwise mean is taken: `"overlap"` (default; those of the four classes, each by how
    /// likely it is under all four: the normalised geometric mean of the densities), `"control"`, or `"all"` (the four
    /// classes with equal weight).
    #[serde(default)]
    pub mixture: Mixture,
    /// Where p values come from. `"pairs"` (default): the other pairs, by median and MAD; valid where most pairs are
    /// separable; needs 10 pairs. `"zero"`: T at its null level, by the standard error of the samples with the network as
    /// it is; it leaves out the error of training and rejects too often where that matters; not for pointwise means.
    /// `"none"`: no p values.
    #[serde(default)]
    pub null: Reference,
}

/// Encoders and schedules of the papers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// MLP 128, 64; rate 5e-3, 500 epochs, batch 1,024.
    Tabular,
    /// Convolutions 32, 54, 128, 256, 512 of stride 2, leaky ReLU; rate 2e-4, 200 epochs, batch 1,024.
    Images,
    /// MLP 2048, 256; rate 1e-4, 2,500 epochs, batch 16,384.
    GeneEmbeddings,
    /// Convolutions 32, 64, 128 with pooling, then 256, 128 with dropout 0.3; rate 5e-5, 5,000 epochs, batch 2,048.
    Guides,
}

/// Kinds of encoder.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Fully connected.
    Mlp,
    /// Convolutional.
    Conv,
}

/// What the score is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Statistic {
    /// |T| of SMILE estimates.
    #[default]
    Kl,
    /// |T| of estimates without the bias that normal log ratios would give them.
    KlDebiased,
    /// Mean of |v|.
    PointwiseAbsolute,
    /// Mean of v².
    PointwiseSquared,
}

/// Samples of the pointwise mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mixture {
    /// The geometric mean of the four densities.
    #[default]
    Overlap,
    /// Control.
    Control,
    /// Control, first, second and both, equally.
    All,
}

fn held_out() -> f64 {
    0.1
}

fn tau() -> f64 {
    5.0
}

impl Default for SeparabilityNre {
    fn default() -> Self {
        Self {
            preset: None,
            encoder: None,
            widths: None,
            hidden: None,
            dropout: None,
            rate: None,
            epochs: None,
            batch: None,
            keep: Keep::default(),
            held_out: held_out(),
            tau: tau(),
            standardise: Scale::default(),
            statistic: Statistic::default(),
            mixture: Mixture::default(),
            null: Reference::default(),
        }
    }
}

/// What a class other than control brings to the pairs it is part of.
#[derive(Clone, Default)]
struct Side {
    /// ln mean clip e^f over its samples, and the variance of that.
    log_mean: f64,
    variance: f64,
}

/// Sums, over units, of values of samples about their mean; their squares, scaled, sum to the variance of the mean.
fn unit_variance(
    values: impl Iterator<Item = f64>,
    mean: f64,
    units: Option<&[usize]>,
    n_units: usize,
    n: usize,
) -> f64 {
    let mut sums = vec![0.0; n_units];
    values.enumerate().for_each(|(i, v)| sums[units.map_or(i, |u| u[i])] += v - mean);
    let (u, n) = (n_units as f64, n as f64);
    sums.iter().map(|s| s * s).sum::<f64>() / (n * n) * u / (u - 1.0)
}

/// Weighted sums of v, |v| and v², and of the weights.
#[derive(Clone, Copy, Default)]
struct Pointwise([f64; 4]);

impl Pointwise {
    fn take(&mut self, v: f64, weight: f64) {
        self.0.iter_mut().zip([v, v.abs(), v * v, 1.0]).for_each(|(s, v)| *s += weight * v);
    }

    fn add(&mut self, other: Self) {
        self.0.iter_mut().zip(other.0).for_each(|(a, b)| *a += b);
    }

    /// The means.
    fn means(&self) -> [f64; 3] {
        let [a, b, c, weight] = self.0;
        [a / weight, b / weight, c / weight]
    }
}

/// Of the samples of one class, by ln density of control, first, second and both (up to what is common to them): with
/// equal weight, and with that of the overlap. The weights of a class sum to at most 1.
fn pointwise(l: [ndarray::ArrayView1<f32>; 4]) -> [Pointwise; 2] {
    let (mut equal, mut overlap) = (Pointwise::default(), Pointwise::default());
    let share = 1.0 / l[0].len() as f64;
    for k in 0..l[0].len() {
        let [zero, i, j, ij] = [0, 1, 2, 3].map(|c| f64::from(l[c][k]));
        let v = ij + zero - i - j;
        equal.take(v, share);
        // Geometric over arithmetic mean of the four densities.
        let top = zero.max(i).max(j).max(ij);
        let mean = [zero, i, j, ij].iter().map(|l| (l - top).exp()).sum::<f64>() / 4.0;
        overlap.take(v, share * (0.25 * (zero + i + j + ij) - top).exp() / mean);
    }
    [equal, overlap]
}

#[typetag::serde(name = "separability_nre")]
impl InteractionTest for SeparabilityNre {
    fn test(&self, cx: &TestContext) -> Result<Vec<TestOutcome>> {
        let samples = cx.samples;
        let settings = self.settings(samples.image)?;
        let n_classes = samples.n_classes();
        let steps = settings.schedule.epochs + n_classes;
        let trained = self.trained(cx, &settings, steps)?;
        let w = trained.ratio.head();
        // f of all classes at the samples of control.
        let f = trained.ratio.values(samples, 0, w)?;
        let (units, n_units) = (samples.control.units(), samples.control.n_units());
        // The pairs that a class is part of.
        let mut of_class: Vec<Vec<usize>> = vec![vec![]; n_classes];
        (0..samples.pairs.len()).for_each(|p| samples.four(p)[1..].iter().for_each(|c| of_class[*c].push(p)));
        let mut sides = vec![Side::default(); n_classes];
        // Of each pair: over control, over its other classes, over the overlap of all.
        let mut points = vec![[Pointwise::default(); 3]; samples.pairs.len()];
        let of_control = |p: usize| pointwise(samples.four(p).map(|c| f.row(c)));
        let found: Vec<_> = (0..samples.pairs.len()).into_par_iter().map(of_control).collect();
        for (to, [equal, overlap]) in points.iter_mut().zip(found) {
            (to[0], to[2]) = (equal, overlap);
        }
        for c in 1..n_classes {
            let (class, pairs) = (samples.class(c), &of_class[c]);
            if !pairs.is_empty() {
                let mut heads = Array2::zeros((1 + 4 * pairs.len(), w.ncols()));
                heads.row_mut(0).assign(&(&w.row(0) - &w.row(c)));
                let rows = pairs.iter().flat_map(|p| samples.four(*p));
                heads.outer_iter_mut().skip(1).zip(rows).for_each(|(mut head, c)| head.assign(&w.row(c)));
                let values = trained.ratio.values(samples, c, heads.view())?;
                let ratios: Vec<f64> = values.row(0).iter().map(|v| f64::from(*v)).collect();
                let log_mean = log_mean_clipped(&ratios, self.tau);
                let clipped = ratios.iter().map(|v| (v.clamp(-self.tau, self.tau) - log_mean).exp());
                let variance = unit_variance(clipped, 1.0, class.units().as_deref(), class.n_units(), class.len());
                sides[c] = Side { log_mean, variance };
                let of_pair = |k: usize| pointwise([1, 2, 3, 4].map(|r| values.row(4 * k + r)));
                let found: Vec<_> = (0..pairs.len()).into_par_iter().map(of_pair).collect();
                for (p, [equal, overlap]) in pairs.iter().zip(found) {
                    points[*p][1].add(equal);
                    points[*p][2].add(overlap);
                }
            }
            cx.tick(settings.schedule.epochs + c + 1, steps);
        }
        let mut outcomes = vec![];
        let (mut statistics, mut errors) = (vec![], vec![]);
        for (p, point) in points.iter().enumerate() {
            let four = samples.four(p);
            let [zero, i, j, ij] = four.map(|c| f.row(c));
            let n = zero.len();
            let at = |c: &ndarray::ArrayView1<f32>, k: usize| f64::from(zero[k]) - f64::from(c[k]);
            // SMILE estimates, and the divergences that normal log ratios would have with them.
            let first = [&i, &j, &ij].map(|c| (0..n).map(|k| at(c, k)).sum::<f64>() / n as f64);
            let side = [1, 2, 3].map(|c| &sides[four[c]]);
            let kl: [f64; 3] = std::array::from_fn(|c| first[c] - side[c].log_mean);
            let plain = kl.map(|m| normal_kl(m, self.tau));
            let signed = kl[0] + kl[1] - kl[2];
            let separable = of_normal(plain[0] + plain[1], self.tau);
            let null_signed = kl[0] + kl[1] - separable;
            let excess = signed - null_signed;
            let debiased = plain[0] + plain[1] - plain[2];
            // How the excess moves with the three estimates, and so with the samples of the four classes.
            let top = of_normal_slope(plain[0] + plain[1], self.tau);
            let by = [top / of_normal_slope(plain[0], self.tau), top / of_normal_slope(plain[1], self.tau), -1.0];
            let moved = |k: usize| by[0] * at(&i, k) + by[1] * at(&j, k) + by[2] * at(&ij, k);
            let mean: f64 = by.iter().zip(first).map(|(b, f)| b * f).sum();
            let of_control = unit_variance((0..n).map(moved), mean, units.as_deref(), n_units, n);
            let variance = of_control + by.iter().zip(side).map(|(b, s)| b * b * s.variance).sum::<f64>();
            let least = samples.classes(p).map(Class::n_units).into_iter().min().unwrap_or(1);
            let error = (variance.sqrt(), least as f64 - 1.0);
            let [mut equal, others, overlap] = *point;
            let [v, v_absolute, v_squared] = match self.mixture {
                Mixture::Control => equal.means(),
                Mixture::All => {
                    equal.add(others);
                    equal.means()
                }
                Mixture::Overlap => overlap.means(),
            };
            let score = match self.statistic {
                Statistic::Kl => signed.abs(),
                Statistic::KlDebiased => debiased.abs(),
                Statistic::PointwiseAbsolute => v_absolute,
                Statistic::PointwiseSquared => v_squared,
            };
            statistics.push(excess);
            errors.push(error);
            let diagnostics = [
                ("signed", signed),
                ("null_level", null_signed.abs()),
                ("excess", excess),
                ("standard_error", error.0),
                ("debiased", debiased),
                ("kl_first", kl[0]),
                ("kl_second", kl[1]),
                ("kl_both", kl[2]),
                ("pointwise_mean", v),
                ("pointwise_absolute", v_absolute),
                ("pointwise_squared", v_squared),
                ("overlap", overlap.0[3] / 4.0),
                ("epoch", trained.epoch as f64),
                ("loss", trained.held_out.unwrap_or(trained.loss)),
                ("accuracy", trained.accuracy),
            ];
            let diagnostics = diagnostics.map(|(name, v)| (name.to_string(), v)).to_vec();
            outcomes.push(TestOutcome { score, p_value: None, n: samples.sizes(p), diagnostics });
        }
        let p_values = match self.statistic {
            Statistic::Kl | Statistic::KlDebiased => self.null.p_values(&statistics, &errors),
            _ if self.null == Reference::Pairs => upper(&outcomes.iter().map(|o| o.score).collect::<Vec<_>>()),
            _ => vec![None; outcomes.len()],
        };
        outcomes.iter_mut().zip(p_values).for_each(|(o, p)| o.p_value = p);
        Ok(outcomes)
    }

    fn null(&self) -> Null {
        Null::Separable
    }

    fn min_samples(&self) -> usize {
        2
    }
}

/// One-sided p values of positive scores by the empirical null of their logarithms: only large scores speak against
/// separability.
fn upper(scores: &[f64]) -> Vec<Option<f64>> {
    let logs: Vec<f64> = scores.iter().map(|s| s.max(f64::MIN_POSITIVE).ln()).collect();
    let centre = quantile(&logs, 0.5);
    match empirical_null_p(&logs) {
        Some(p) => p.iter().zip(&logs).map(|(p, l)| Some(if *l > centre { 0.5 * p } else { 1.0 - 0.5 * p })).collect(),
        None => vec![None; scores.len()],
    }
}

framework::register!(
    InteractionTest,
    SeparabilityNre,
    "separability_nre",
    "do divergences from control add up, by a learned density ratio",
    example = |_| framework::serde_json::json!({ "hidden": [32, 16], "epochs": 12, "batch": 512 })
);
