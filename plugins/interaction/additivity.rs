//! Additivity of mean embeddings: do two perturbations add up?
//!
//! With h_c = mean(X_c) - mean(X_0), the residual of the null h_ij = h_i + h_j is scored by its length
//! ‖h_ij - h_i - h_j‖ (Jain et al. 2024, theorem 3.3; Xu, Jain et al. 2024, equation 5). The plug-in square
//! overshoots by Σ_c tr(S_c)/n_c; `debiased` takes that off and is four times the weighted contrast with
//! the linear kernel, exactly unbiased for any class sizes. The p value is by multiplier bootstrap, which
//! asks for no exchangeable samples, with one sign for each sample, or each guide or well where these are told apart.
//! Control and singles are drawn once for all pairs. Cost O(resamples x N x d) for N samples of d features.

use framework::domain::Class;
use framework::numerics::matmul;
use framework::prelude::*;
use rayon::prelude::*;

/// Scores a pair by how far its mean is from the sum of the two single effects.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Additivity {
    /// `"norm"` (default), `"squared"`, or `"debiased"` (the squared norm without its bias; may be
    /// negative, and needs two samples in each class). All three have the same p value.
    #[serde(default)]
    pub form: Form,
    /// Bootstrap resamples for the p value; the smallest p is 1/(resamples + 1). 0: no p value. Default 999.
    #[serde(default = "resamples")]
    pub resamples: usize,
}

/// How the residual becomes a score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Euclidean length.
    #[default]
    Norm,
    /// Its square.
    Squared,
    /// Its square, without the bias from finite classes.
    Debiased,
}

fn resamples() -> usize {
    999
}

impl Default for Additivity {
    fn default() -> Self {
        Self { form: Form::default(), resamples: resamples() }
    }
}

/// Numbers of the shared draws that are held at once (of 8 bytes).
const TILE_NUMBERS: usize = 1 << 26;

/// What one class brings to every pair it is part of.
struct ClassMean {
    /// One value a feature.
    mean: Array1<f64>,
    /// Deviations from it, summed over each unit, times √(u/(u - 1))/n for u units of n samples in all: units x
    /// features. Their squared lengths sum to an unbiased estimate of the mean's variance. Absent with one unit.
    spread: Option<Array2<f64>>,
    /// That sum.
    variance: f64,
    n: usize,
}

impl ClassMean {
    fn new(class: &Class) -> Result<Self> {
        let x = class.x()?.mapv(f64::from);
        let n = x.nrows();
        let mean = x.sum_axis(Axis(0)) / n as f64;
        let (units, unit) = (class.n_units(), class.units());
        let spread = (units >= 2).then(|| {
            let w = (units as f64 / (units as f64 - 1.0)).sqrt() / n as f64;
            let mut spread = Array2::zeros((units, x.ncols()));
            for (row, x) in x.outer_iter().enumerate() {
                spread.row_mut(unit.as_ref().map_or(row, |u| u[row])).scaled_add(w, &(&x - &mean));
            }
            spread
        });
        let variance = spread.iter().flatten().map(|v| v * v).sum();
        Ok(Self { mean, spread, variance, n })
    }

    /// Σ_u ±s_u for `draws` random choices of the signs: draws x features.
    fn draw(&self, draws: usize, mut rng: StreamRng) -> Array2<f64> {
        match &self.spread {
            None => Array2::zeros((draws, self.mean.len())),
            Some(s) => {
                let sign = || if rng.random::<bool>() { 1.0 } else { -1.0 };
                matmul(Array2::from_shape_simple_fn((draws, s.nrows()), sign).view(), s.view())
            }
        }
    }
}

#[typetag::serde(name = "additivity")]
impl InteractionTest for Additivity {
    fn test(&self, cx: &TestContext) -> Result<Vec<TestOutcome>> {
        let samples = cx.samples;
        let shared = 1 + samples.singles.len();
        let classes: Vec<ClassMean> =
            (0..shared).into_par_iter().map(|c| ClassMean::new(samples.class(c))).collect::<Result<_>>()?;
        let pairs = 0..samples.pairs.len();
        // Draws that reach the observed value, of each pair. All pairs meet the same signs of control and singles.
        let mut reached = vec![0usize; pairs.len()];
        let tile = (TILE_NUMBERS / (shared * samples.n_features())).clamp(16, 256);
        for start in (0..self.resamples).step_by(tile) {
            let draws = tile.min(self.resamples - start);
            let signs = |c: usize| cx.streams.child("additivity").index(c).index(start).rng("signs");
            let common: Vec<Array2<f64>> =
                (0..shared).into_par_iter().map(|c| classes[c].draw(draws, signs(c))).collect();
            let more: Vec<usize> = pairs
                .clone()
                .into_par_iter()
                .map(|p| {
                    let [zero, i, j, ij] = samples.four(p);
                    let both = ClassMean::new(samples.class(ij))?;
                    let residual = &both.mean - &classes[i].mean - &classes[j].mean + &classes[zero].mean;
                    let draw = both.draw(draws, signs(ij)) - &common[i] - &common[j] + &common[zero];
                    // Rounding must not break ties: identical samples give draws equal to the observed value.
                    let least = residual.dot(&residual) * (1.0 - 1e-12);
                    Ok(draw.outer_iter().filter(|d| d.dot(d) >= least).count())
                })
                .collect::<Result<_>>()?;
            reached.iter_mut().zip(more).for_each(|(r, m)| *r += m);
            cx.tick(start + draws, self.resamples);
        }
        pairs
            .into_par_iter()
            .map(|p| {
                let four = samples.four(p);
                let both = ClassMean::new(samples.class(four[3]))?;
                let of = [&classes[four[0]], &classes[four[1]], &classes[four[2]], &both];
                self.outcome(&samples.label(p), of, reached[p])
            })
            .collect()
    }

    fn null(&self) -> Null {
        Null::Additive
    }

    fn min_samples(&self) -> usize {
        if self.form == Form::Debiased { 2 } else { 1 }
    }
}

impl Additivity {
    fn outcome(&self, label: &str, [zero, i, j, ij]: [&ClassMean; 4], reached: usize) -> Result<TestOutcome> {
        let four = [zero, i, j, ij];
        let n = four.map(|c| c.n);
        let (hi, hj, hij) = (&i.mean - &zero.mean, &j.mean - &zero.mean, &ij.mean - &zero.mean);
        let residual = &hij - &hi - &hj;
        let squared = residual.dot(&residual);
        let repeated = four.iter().all(|c| c.spread.is_some());
        let debiased = squared - four.iter().map(|c| c.variance).sum::<f64>();
        let score = match self.form {
            Form::Norm => squared.sqrt(),
            Form::Squared => squared,
            Form::Debiased if repeated => debiased,
            Form::Debiased => {
                return Err(Error::Data(format!(
                    "{label}: the debiased additivity score needs two samples (or units) in each class, and there are \
                     {}, {}, {} and {} samples (control, first, second, both); use form = \"norm\"",
                    n[0], n[1], n[2], n[3]
                )));
            }
        };
        let p_value = (repeated && self.resamples > 0).then(|| (1 + reached) as f64 / (self.resamples + 1) as f64);
        let length = |h: &Array1<f64>| h.dot(h).sqrt();
        let ratio = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
        let severity = |h: &Array1<f64>| {
            ratio(h.iter().zip(&hij).map(|(h, j)| h * sign(*j)).sum(), hij.iter().map(|v| v.abs()).sum())
        };
        let (si, sj) = (severity(&hi), severity(&hj));
        let diagnostics = vec![
            ("cosine".to_string(), ratio(hi.dot(&hj), length(&hi) * length(&hj)).powi(2)),
            ("severity_min".to_string(), si.min(sj)),
            ("severity_max".to_string(), si.max(sj)),
            ("severity_sum".to_string(), si + sj),
            ("squared".to_string(), squared),
            ("debiased".to_string(), if repeated { debiased } else { f64::NAN }),
            ("effect_first".to_string(), length(&hi)),
            ("effect_second".to_string(), length(&hj)),
            ("effect_both".to_string(), length(&hij)),
        ];
        Ok(TestOutcome { score, p_value, n, diagnostics })
    }
}

/// -1, 0 or 1.
fn sign(v: f64) -> f64 {
    if v == 0.0 { 0.0 } else { v.signum() }
}

framework::register!(
    InteractionTest,
    Additivity,
    "additivity",
    "distance of a pair's mean effect from the sum of its singles"
);

#[cfg(test)]
mod tests {
    use super::*;
    use framework::domain::{PairClass, Samples};
    use rand_distr::{Distribution, StandardNormal};

    /// The samples of one pair: Gaussian classes around the given means.
    fn classes(n: [usize; 4], means: [[f64; 3]; 4], sd: f64, rng: &mut StreamRng) -> Samples {
        let mut class = |c: usize| {
            Class::held(Array2::from_shape_fn((n[c], 3), |(_, l)| {
                let z: f64 = StandardNormal.sample(rng);
                (means[c][l] + sd * (1.0 + l as f64) * z) as f32
            }))
        };
        let (control, first, second, both) = (class(0), class(1), class(2), class(3));
        let pairs = vec![PairClass { first: 0, second: 1, both }];
        Samples { genes: vec!["A".into(), "B".into()], control, singles: vec![first, second], pairs, image: None }
    }

    fn test(form: Form, resamples: usize, s: &Samples, seed: u64) -> TestOutcome {
        let streams = Streams::new(seed);
        Additivity { form, resamples }.test(&TestContext::new(s, &streams)).unwrap().remove(0)
    }

    const ADDITIVE: [[f64; 3]; 4] = [[5.0, 1.0, 0.0], [6.0, 1.0, 2.0], [5.0, 4.0, 0.0], [6.0, 4.0, 2.0]];

    #[test]
    fn without_noise_the_score_is_the_residual() {
        let mut means = ADDITIVE;
        means[3] = [6.0 + 3.0, 4.0 - 4.0, 2.0];
        let c = classes([1, 1, 1, 1], means, 0.0, &mut Streams::new(1).rng("x"));
        let o = test(Form::Norm, 999, &c, 1);
        assert_eq!((o.score, o.p_value, o.n), (5.0, None, [1; 4]));
        assert_eq!(test(Form::Squared, 999, &c, 1).score, 25.0);
        let streams = Streams::new(1);
        let debiased = Additivity { form: Form::Debiased, resamples: 0 };
        assert!(debiased.test(&TestContext::new(&c, &streams)).is_err());
        // h_i = (1, 0, 2), h_j = (0, 3, 0), h_ij = (4, -1, 2): cosine 0; severities 3/7 and -3/7.
        let get = |name: &str| o.diagnostics.iter().find(|d| d.0 == name).unwrap().1;
        assert_eq!(get("cosine"), 0.0);
        assert!((get("severity_max") - 3.0 / 7.0).abs() < 1e-12 && (get("severity_min") + 3.0 / 7.0).abs() < 1e-12);
    }

    #[test]
    fn debiased_is_the_weighted_contrast_of_pairwise_products() {
        let c = classes([4, 3, 5, 2], ADDITIVE, 1.0, &mut Streams::new(2).rng("x"));
        let weight = [0.5, -0.5, -0.5, 0.5];
        let x = c.classes(0).map(|c| c.x().unwrap().mapv(f64::from));
        let mut t = 0.0;
        for a in 0..4 {
            for b in 0..4 {
                let (na, nb) = (x[a].nrows(), x[b].nrows());
                let mut sum = 0.0;
                for i in 0..na {
                    for j in 0..nb {
                        sum += if a == b && i == j { 0.0 } else { x[a].row(i).dot(&x[b].row(j)) };
                    }
                }
                t += weight[a] * weight[b] * sum / if a == b { na * (na - 1) } else { na * nb } as f64;
            }
        }
        assert!((test(Form::Debiased, 0, &c, 1).score - 4.0 * t).abs() < 1e-10);
    }

    #[test]
    fn debiased_is_unbiased_and_squared_is_not() {
        let mut rng = Streams::new(3).rng("x");
        let (mut debiased, mut squared) = (vec![], vec![]);
        for _ in 0..4000 {
            let c = classes([5, 3, 8, 4], ADDITIVE, 1.0, &mut rng);
            debiased.push(test(Form::Debiased, 0, &c, 1).score);
            squared.push(test(Form::Squared, 0, &c, 1).score);
        }
        use framework::numerics::stats::{mean, sd};
        // Truth 0; four standard errors. The plug-in bias is 14 (1/5 + 1/3 + 1/8 + 1/4).
        let error = 4.0 * sd(&debiased) / (4000f64).sqrt();
        assert!(mean(&debiased).abs() < error, "{} +- {error}", mean(&debiased));
        let bias = 14.0 * (1.0 / 5.0 + 1.0 / 3.0 + 1.0 / 8.0 + 1.0 / 4.0);
        assert!((mean(&squared) - bias).abs() < error, "{} for {bias}", mean(&squared));
    }

    #[test]
    fn level_under_the_null_and_power_on_an_interaction() {
        let mut rng = Streams::new(4).rng("x");
        let mut planted = ADDITIVE;
        planted[3][0] += 5.0;
        let trials = 600;
        let (mut level, mut power) = (0, 0);
        for t in 0..trials {
            let null = classes([20, 10, 12, 15], ADDITIVE, 1.0, &mut rng);
            let pair = classes([20, 10, 12, 15], planted, 1.0, &mut rng);
            level += usize::from(test(Form::Norm, 199, &null, t).p_value.unwrap() <= 0.05);
            power += usize::from(test(Form::Norm, 199, &pair, t).p_value.unwrap() <= 0.05);
        }
        let (level, power) = (level as f64 / trials as f64, power as f64 / trials as f64);
        println!("level {level}, power {power}");
        // Binomial standard error of the level is 0.009; three of them around 5 %.
        assert!((level - 0.05).abs() < 0.027, "{level}");
        assert!(power > 0.9, "{power}");
    }

    #[test]
    fn wells_that_shift_all_their_cells_keep_the_level() {
        let mut rng = Streams::new(6).rng("x");
        let (trials, wells, cells) = (600, 6, 8);
        let (mut by_well, mut by_cell) = (0, 0);
        for t in 0..trials {
            let mut class = |c: usize| {
                let mut x = Array2::zeros((wells * cells, 3));
                for w in 0..wells {
                    let shift: [f64; 3] = std::array::from_fn(|_| StandardNormal.sample(&mut rng));
                    for k in 0..cells {
                        for l in 0..3 {
                            let z: f64 = StandardNormal.sample(&mut rng);
                            x[[w * cells + k, l]] = (ADDITIVE[c][l] + shift[l] + z) as f32;
                        }
                    }
                }
                let units = (0..wells * cells).map(|i| (i / cells) as u32).collect();
                Class::held(x).with_units(units)
            };
            let (control, first, second, both) = (class(0), class(1), class(2), class(3));
            let pairs = vec![PairClass { first: 0, second: 1, both }];
            let singles = vec![first, second];
            let mut s = Samples { genes: vec!["A".into(), "B".into()], control, singles, pairs, image: None };
            by_well += usize::from(test(Form::Norm, 199, &s, t).p_value.unwrap() <= 0.05);
            s.control.unit = None;
            s.singles.iter_mut().for_each(|c| c.unit = None);
            s.pairs[0].both.unit = None;
            by_cell += usize::from(test(Form::Norm, 199, &s, t).p_value.unwrap() <= 0.05);
        }
        let (by_well, by_cell) = (by_well as f64 / trials as f64, by_cell as f64 / trials as f64);
        println!("level by wells {by_well}, by cells {by_cell}");
        assert!((by_well - 0.05).abs() < 0.027, "{by_well}");
        assert!(by_cell > 0.3, "cells of one well taken as independent: {by_cell}");
    }

    #[test]
    fn pairs_share_their_singles_and_do_not_disturb_each_other() {
        let mut rng = Streams::new(5).rng("x");
        let one = classes([9, 3, 5, 6], ADDITIVE, 1.0, &mut rng);
        let mut two = one.clone();
        two.pairs.push(PairClass { first: 1, second: 0, both: Class::held(Array2::ones((2, 3))) });
        let outcomes = |s: &Samples| {
            let streams = Streams::new(7);
            Additivity::default().test(&TestContext::new(s, &streams)).unwrap()
        };
        assert_eq!(outcomes(&one)[0], outcomes(&two)[0]);
        assert_eq!(outcomes(&two)[1].n, [9, 5, 3, 2]);
    }

    #[test]
    fn false_calls_over_simulated_screens_stay_at_the_rate() {
        use framework::numerics::stats::calls::ErrorControl;
        // 200 screens of 12 genes and 66 pairs, 8 of them planted; all classes of unequal size.
        const GENES: usize = 12;
        let (mut shares, mut found) = (vec![], 0.0);
        for screen in 0..200 {
            let mut rng = Streams::new(900 + screen).rng("x");
            let effects: Vec<[f64; 3]> =
                (0..GENES).map(|_| std::array::from_fn(|_| StandardNormal.sample(&mut rng))).collect();
            let mut class = |mean: [f64; 3]| {
                let n = rng.random_range(10..25);
                Class::held(Array2::from_shape_fn((n, 3), |(_, l)| {
                    let z: f64 = StandardNormal.sample(&mut rng);
                    (mean[l] + z) as f32
                }))
            };
            let control = class([0.0; 3]);
            let singles: Vec<Class> = effects.iter().map(|e| class(*e)).collect();
            let mut pairs = vec![];
            for first in 0..GENES {
                for second in first + 1..GENES {
                    let planted = if pairs.len() % 8 == 0 && pairs.len() < 64 { 2.0 } else { 0.0 };
                    let both = class(std::array::from_fn(|l| effects[first][l] + effects[second][l] + planted));
                    pairs.push(PairClass { first, second, both });
                }
            }
            let genes = (0..GENES).map(|g| format!("g{g}")).collect();
            let s = Samples { genes, control, singles, pairs, image: None };
            let streams = Streams::new(screen);
            let test = Additivity { form: Form::Norm, resamples: 999 };
            let p: Vec<f64> =
                test.test(&TestContext::new(&s, &streams)).unwrap().iter().map(|o| o.p_value.unwrap()).collect();
            let called: Vec<bool> = ErrorControl::Bh.adjust(&p).iter().map(|q| *q <= 0.1).collect();
            let real = |i: &usize| i.is_multiple_of(8) && *i < 64;
            let all = called.iter().filter(|c| **c).count() as f64;
            let right = (0..p.len()).filter(|i| called[*i] && real(i)).count() as f64;
            shares.push((all - right) / all.max(1.0));
            found += right / 8.0 / 200.0;
        }
        use framework::numerics::stats::{mean, sd};
        let (rate, error) = (mean(&shares), sd(&shares) / 200f64.sqrt());
        println!("false discoveries {rate} +- {error}, found {found}");
        // The expected share is 0.1 x 58/66 for independent tests; shared controls make it vary from screen to screen.
        assert!(rate < 0.1 + 2.6 * error && rate > 0.03, "{rate} +- {error}");
        assert!(found > 0.5, "{found}");
    }
}
