//! Dirichlet selection: weights drawn from a Dirichlet distribution that favours far and typical candidates.
//!
//! w ~ Dirichlet(α), α(x) = d²(x) + (λ / round) · scale · typicality(x), and the batch is the candidates of largest
//! weight. d² is the squared distance to the nearest measured perturbation, typicality 1 / (mean distance to the k
//! nearest candidates + 1e-5), the candidate itself left out. Unpublished; a rule in the code of IterPert (Huang et al.
//! 2023) with λ = 2 and k = 20.
//!
//! Chosen here, because no source says: scale = mean d² / mean typicality, so that in the first rounds typicality
//! weighs λ times as much as distance, and less each round; one draw gives the whole batch (top weights), not one
//! draw a place; rounds count from 1; without any measured perturbation d² is k(x, x). α is taken as it is, so the
//! size of the kernel sets how random the choice is: put a `scale` transform before it where kernels differ in size.
//!
//! Cost: O(n² d) for the neighbours, 64 candidates at a time, memory n d.

use framework::numerics::Nearest;
use framework::prelude::*;
use rand_distr::{Distribution, Gamma};

/// Draws a weight for each candidate from a Dirichlet distribution whose parameters grow with distance and
/// typicality, and takes the largest. The score is the weight.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dirichlet {
    /// Centres for distances: `"tp"` (default), the measured perturbations, or `"p"`, none.
    #[serde(default)]
    pub mode: Mode,
    /// Weight of typicality against distance in the first round (default 2); divided by the number of the round.
    #[serde(default = "two")]
    pub lambda: f64,
    /// Neighbours in the typicality (default 20).
    #[serde(default = "twenty")]
    pub k: usize,
}

fn two() -> f64 {
    2.0
}

fn twenty() -> usize {
    20
}

impl Default for Dirichlet {
    fn default() -> Self {
        Self { mode: Mode::Tp, lambda: two(), k: twenty() }
    }
}

#[typetag::serde(name = "dirichlet")]
impl Acquisition for Dirichlet {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        let ids = cx.candidates.to_vec();
        let alpha = self.alpha(cx.gram()?, &ids, &cx.centres(self.mode), cx.round.index)?;
        let logs = log_gammas(&alpha, &mut cx.rng("dirichlet"))?;
        // Parameters of 0 have weight 0 for certain: such candidates are left to chance.
        let (some, logs): (Vec<usize>, Vec<f64>) =
            ids.iter().copied().zip(logs).filter(|(_, w)| *w > f64::NEG_INFINITY).unzip();
        let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = logs.iter().map(|w| (w - most).exp()).sum();
        let mut batch = Batch::top(&some, &logs, cx.batch())?;
        batch.scores.iter_mut().for_each(|w| *w = (*w - most).exp() / total);
        Ok(cx.fill(batch))
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Similarity])
    }
}

impl Dirichlet {
    /// The parameter of each candidate.
    fn alpha(&self, gram: &Gram, ids: &[usize], centres: &[usize], round: usize) -> Result<Vec<f64>> {
        if !(self.lambda >= 0.0 && self.lambda.is_finite()) || self.k == 0 {
            return Err(Error::Config(format!(
                "`dirichlet` needs a `lambda` of 0 or more and a `k` of 1 or more; these are {} and {}",
                self.lambda, self.k
            )));
        }
        let state = Nearest::new(gram, ids, centres)?;
        let d2 = if centres.is_empty() { gram.diagonal(ids) } else { state.d2().to_vec() };
        let factor = self.lambda / round.max(1) as f64;
        if factor == 0.0 {
            return Ok(d2);
        }
        let typicality = self.typicality(&state)?;
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len().max(1) as f64;
        let scale = mean(&d2) / mean(&typicality);
        Ok(d2.iter().zip(&typicality).map(|(d, t)| d + factor * scale * t).collect())
    }

    fn typicality(&self, state: &Nearest) -> Result<Vec<f64>> {
        let all: Vec<usize> = (0..state.n()).collect();
        let k = self.k.min(state.n().saturating_sub(1));
        let mut typicality = Vec::with_capacity(state.n());
        for group in all.chunks(64) {
            for (&i, d2) in group.iter().zip(state.distances(group).outer_iter()) {
                let mut d2: Vec<f64> = d2.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, d)| *d).collect();
                if k > 0 {
                    d2.select_nth_unstable_by(k - 1, f64::total_cmp);
                }
                let near = &mut d2[..k];
                near.sort_unstable_by(f64::total_cmp);
                let mean = near.iter().map(|d| d.sqrt()).sum::<f64>() / k.max(1) as f64;
                if !mean.is_finite() {
                    return Err(Error::Numerical(
                        "a kernel distance between candidates is not a finite number; check the kernel".into(),
                    ));
                }
                typicality.push(1.0 / (mean + 1e-5));
            }
        }
        Ok(typicality)
    }
}

/// The logarithm of a Gamma(α, 1) draw for each α: divided by their sum the draws are one from the Dirichlet. By
/// Gamma(α) = Gamma(α + 1) U^(1/α) small α do not end in a tie at 0. -inf where α = 0.
fn log_gammas(alpha: &[f64], rng: &mut StreamRng) -> Result<Vec<f64>> {
    let draw = |&a: &f64| {
        let gamma = Gamma::new(a + 1.0, 1.0)
            .map_err(|_| Error::Numerical(format!("a Dirichlet parameter is {a}; check the kernel")))?;
        let u = 1.0 - rng.random::<f64>();
        Ok(if a > 0.0 { gamma.sample(rng).ln() + u.ln() / a } else { f64::NEG_INFINITY })
    };
    alpha.iter().map(draw).collect()
}

framework::register!(Acquisition, Dirichlet, "dirichlet", "Dirichlet weights by distance and typicality");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_have_the_mean_and_variance_of_the_dirichlet() {
        let alpha = [0.05, 0.0, 1.0, 3.0, 12.0];
        let total: f64 = alpha.iter().sum();
        const RUNS: usize = 20_000;
        let mut rng = Streams::new(1).rng("d");
        let (mut sum, mut squares) = ([0.0; 5], [0.0; 5]);
        for _ in 0..RUNS {
            let w: Vec<f64> = log_gammas(&alpha, &mut rng).unwrap().iter().map(|l| l.exp()).collect();
            let all: f64 = w.iter().sum();
            for i in 0..5 {
                sum[i] += w[i] / all;
                squares[i] += (w[i] / all).powi(2);
            }
        }
        for i in 0..5 {
            let (mean, p) = (sum[i] / RUNS as f64, alpha[i] / total);
            let var = p * (1.0 - p) / (total + 1.0);
            // Four standard errors: a false alarm in one of five has probability 0.0003.
            assert!((mean - p).abs() <= 4.0 * (var / RUNS as f64).sqrt(), "{i}: {mean} {p}");
            assert!((squares[i] / RUNS as f64 - mean * mean - var).abs() <= 0.1 * var + 1e-12, "{i}");
        }
    }

    #[test]
    fn parameters_are_those_of_the_definition() {
        let x = ndarray::array![[0.0], [1.0], [3.0], [4.5], [10.0]];
        let gram = Gram::of_features(x.clone());
        let rule = Dirichlet { lambda: 2.0, k: 2, ..Dirichlet::default() };
        let got = rule.alpha(&gram, &[1, 2, 3, 4], &[0], 4).unwrap();
        let d2 = [1.0, 9.0, 20.25, 100.0];
        let typicality = [(2.0, 3.5), (1.5, 2.0), (1.5, 3.5), (5.5, 7.0)].map(|(a, b)| 1.0 / ((a + b) / 2.0 + 1e-5));
        let scale = d2.iter().sum::<f64>() / typicality.iter().sum::<f64>();
        for i in 0..4 {
            assert!((got[i] - (d2[i] + 0.5 * scale * typicality[i])).abs() < 1e-9, "{i}");
        }
        // From nothing, k(x, x) stands for the distance.
        let plain = Dirichlet { lambda: 0.0, ..rule };
        assert_eq!(plain.alpha(&gram, &[0, 1, 3], &[], 1).unwrap(), [0.0, 1.0, 20.25]);
        assert_eq!(plain.alpha(&gram, &[1, 2], &[0], 1).unwrap(), [1.0, 9.0]);
        let e = Dirichlet { k: 0, ..Dirichlet::default() }.alpha(&gram, &[1, 2], &[0], 1).unwrap_err().to_string();
        assert!(e.contains("`k` of 1 or more"), "{e}");
    }

    #[test]
    fn small_parameters_do_not_tie() {
        let w = log_gammas(&[1e-3; 200], &mut Streams::new(2).rng("d")).unwrap();
        let mut sorted = w.clone();
        sorted.sort_by(f64::total_cmp);
        assert!(sorted.windows(2).all(|p| p[0] < p[1]) && w.iter().all(|w| w.is_finite()));
    }
}
