//! Additivity of mean embeddings: do two perturbations add up?
//!
//! With h_c = mean(X_c) - mean(X_0), the residual of the null h_ij = h_i + h_j is scored by its length
//! ‖h_ij - h_i - h_j‖ (Jain et al. 2024, theorem 3.3; Xu, Jain et al. 2024, equation 5). The plug-in square
//! overshoots by Σ_c tr(S_c)/n_c; `debiased` takes that off and is four times the weighted contrast with
//! the linear kernel, exactly unbiased for any class sizes. The p value is by multiplier bootstrap, which
//! asks for no exchangeable samples. Cost O(resamples x N x min(N, d)) for N samples of d features.

use framework::numerics::{matmul, matmul_t};
use framework::prelude::*;

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

/// Signs of control, first, second and both in the residual.
const SIGN: [f64; 4] = [1.0, -1.0, -1.0, 1.0];

#[typetag::serde(name = "additivity")]
impl InteractionTest for Additivity {
    fn test(&self, classes: &FourClasses, streams: &Streams) -> Result<TestOutcome> {
        let cells = classes.all().map(Cells::in_f64);
        let n: [usize; 4] = std::array::from_fn(|c| cells[c].nrows());
        let d = cells[0].ncols();
        let means: [Array1<f64>; 4] = std::array::from_fn(|c| cells[c].sum_axis(Axis(0)) / n[c] as f64);
        let effect = |c: usize| &means[c] - &means[0];
        let (hi, hj, hij) = (effect(1), effect(2), effect(3));
        let residual = &hij - &hi - &hj;
        let squared = residual.dot(&residual);

        // Rows sign/√(n(n-1)) (x - class mean): their squared lengths sum to Σ_c tr(S_c)/n_c, the bias.
        let repeated = n.iter().all(|n| *n >= 2);
        let mut spread = Array2::zeros((if repeated { n.iter().sum() } else { 0 }, d));
        if repeated {
            let rows = (0..4).flat_map(|c| cells[c].outer_iter().map(move |x| (c, x)));
            for (mut out, (c, x)) in spread.outer_iter_mut().zip(rows) {
                let w = SIGN[c] / (n[c] as f64 * (n[c] as f64 - 1.0)).sqrt();
                out.assign(&((&x - &means[c]) * w));
            }
        }
        let bias: f64 = spread.iter().map(|v| v * v).sum();
        let score = match self.form {
            Form::Norm => squared.sqrt(),
            Form::Squared => squared,
            Form::Debiased if repeated => squared - bias,
            Form::Debiased => {
                return Err(Error::Data(format!(
                    "the debiased additivity score needs two samples in each class, and there are {}, {}, {} and {} \
                     (control, first, second, both); use form = \"norm\"",
                    n[0], n[1], n[2], n[3]
                )));
            }
        };
        let p_value = (repeated && self.resamples > 0).then(|| self.p_value(&spread, squared, streams));

        let length = |h: &Array1<f64>| h.dot(h).sqrt();
        let ratio = |a: f64, b: f64| if b > 0.0 { a / b } else { 0.0 };
        let severity = |h: &Array1<f64>| {
            ratio(h.iter().zip(&hij).map(|(h, j)| h * sign(*j)).sum(), hij.iter().map(|v| v.abs()).sum())
        };
        let (si, sj) = (severity(&hi), severity(&hj));
        let mut diagnostics = vec![
            ("cosine".to_string(), ratio(hi.dot(&hj), length(&hi) * length(&hj)).powi(2)),
            ("severity_min".to_string(), si.min(sj)),
            ("severity_max".to_string(), si.max(sj)),
            ("severity_sum".to_string(), si + sj),
            ("squared".to_string(), squared),
        ];
        if repeated {
            diagnostics.push(("debiased".to_string(), squared - bias));
        }
        Ok(TestOutcome { score, p_value, null: "additive", n, diagnostics })
    }
}

impl Additivity {
    /// Share of the draws ‖Σ_a ε_a s_a‖², ε = ±1, that reach the observed squared residual. The rows s_a
    /// carry the factor √(n/(n-1)) of each class, so that the draws have exactly the variance of the mean.
    fn p_value(&self, spread: &Array2<f64>, squared: f64, streams: &Streams) -> f64 {
        const TILE: usize = 256;
        let mut rng = streams.rng("additivity");
        let (rows, d) = spread.dim();
        let gram = (rows < d).then(|| matmul_t(spread.view(), spread.view()));
        let mut reached = 0;
        for start in (0..self.resamples).step_by(TILE) {
            let size = TILE.min(self.resamples - start);
            let signs = Array2::from_shape_simple_fn((size, rows), || if rng.random::<bool>() { 1.0 } else { -1.0 });
            let lengths = match &gram {
                Some(k) => (matmul(signs.view(), k.view()) * &signs).sum_axis(Axis(1)),
                None => matmul(signs.view(), spread.view()).map_axis(Axis(1), |v| v.dot(&v)),
            };
            // Rounding must not break ties: identical samples give draws equal to the observed value.
            reached += lengths.iter().filter(|v| **v >= squared * (1.0 - 1e-12)).count();
        }
        (1 + reached) as f64 / (self.resamples + 1) as f64
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
    use rand_distr::{Distribution, StandardNormal};
    use std::sync::Arc;

    /// Gaussian classes around the given means.
    fn classes(n: [usize; 4], means: [[f64; 3]; 4], sd: f64, rng: &mut StreamRng) -> FourClasses {
        let mut class = |c: usize| {
            let x = Array2::from_shape_fn((n[c], 3), |(_, l)| {
                let z: f64 = StandardNormal.sample(rng);
                (means[c][l] + sd * (1.0 + l as f64) * z) as f32
            });
            Arc::new(Cells { lane: vec![0; n[c]], x })
        };
        FourClasses { control: class(0), first: class(1), second: class(2), both: class(3) }
    }

    fn test(form: Form, resamples: usize, c: &FourClasses, seed: u64) -> TestOutcome {
        Additivity { form, resamples }.test(c, &Streams::new(seed)).unwrap()
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
        assert!(Additivity { form: Form::Debiased, resamples: 0 }.test(&c, &Streams::new(1)).is_err());
        // h_i = (1, 0, 2), h_j = (0, 3, 0), h_ij = (4, -1, 2): cosine 0; severities 3/7 and -3/7.
        let get = |name: &str| o.diagnostics.iter().find(|d| d.0 == name).unwrap().1;
        assert_eq!(get("cosine"), 0.0);
        assert!((get("severity_max") - 3.0 / 7.0).abs() < 1e-12 && (get("severity_min") + 3.0 / 7.0).abs() < 1e-12);
    }

    #[test]
    fn debiased_is_the_weighted_contrast_of_pairwise_products() {
        let c = classes([4, 3, 5, 2], ADDITIVE, 1.0, &mut Streams::new(2).rng("x"));
        let weight = [0.5, -0.5, -0.5, 0.5];
        let x = c.all().map(Cells::in_f64);
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
    fn both_ways_of_drawing_agree() {
        // 3 features: fewer than samples. The same data padded with zeros to 40 features: more.
        let c = classes([4, 3, 5, 6], ADDITIVE, 1.0, &mut Streams::new(5).rng("x"));
        let wide = |c: &Arc<Cells>| {
            let mut x = Array2::zeros((c.x.nrows(), 40));
            x.slice_mut(ndarray::s![.., ..3]).assign(&c.x);
            Arc::new(Cells { x, lane: c.lane.clone() })
        };
        let padded = FourClasses {
            control: wide(&c.control),
            first: wide(&c.first),
            second: wide(&c.second),
            both: wide(&c.both),
        };
        assert_eq!(test(Form::Norm, 999, &c, 7).p_value, test(Form::Norm, 999, &padded, 7).p_value);
    }
}
