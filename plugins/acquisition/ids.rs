//! Information-directed sampling: little regret for much knowledge about which candidate is best.
//!
//! From k joint posterior draws S (draws x candidates, on the scale of the target's merit):
//!
//! 1. μ_a = mean_s S_sa; a*_s the best candidate of draw s; ρ* = mean_s max_a S_sa; regret Δ_a = ρ* - μ_a ≥ 0;
//! 2. draws grouped by their a*: n_j draws, mean M_ja in the group of the j-th of J different best candidates;
//! 3. v_a = Σ_j (n_j / k) (M_ja - μ_a)², the variance of E[R_a | a*];
//! 4. Ψ_a = Δ_a^λ / max(v_a, ε), 0 where Δ_a = 0; the batch are the candidates of smallest Ψ.
//!
//! Russo & Van Roy 2018, in the form of Jain et al. 2024 (section 4) and Xu, Jain et al. 2024 (section 4): the
//! deterministic minimiser, not the policy that mixes two actions. With J near k every group is a draw or two and v_a
//! becomes the plain variance; `variance = "debiased"` takes off what groups of that size show by chance,
//! v_a ← max(0, v_a - W_a (J - 1) / k) with the mean square within groups W_a on k - J degrees of freedom. J and J / k are
//! recorded in each round. λ other than 2 makes the ranking depend on the unit of the readout.
//!
//! Two passes over the candidates, O(k) numbers each; draws that a model can evaluate piece by piece (`low_rank_matrix`)
//! are never all in memory, so all pairs of 20,000 genes take the memory of the factors' draws.

use framework::plugin::DrawnMerits;
use framework::prelude::*;
use rayon::prelude::*;

/// Takes the candidates of least regret to the power λ for the variance that knowing the best candidate explains.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ids {
    /// Joint posterior draws k; default 500.
    #[serde(default = "samples")]
    pub samples: usize,
    /// Exponent λ of the regret; default 2.
    #[serde(default = "lambda")]
    pub lambda: f64,
    /// Least variance ε that a regret is divided by, in squared units of the readout; default 1e-12.
    #[serde(default = "epsilon")]
    pub epsilon: f64,
    /// `"plain"` (default, the papers') or `"debiased"`; where every draw has a best candidate of its own, nothing can be
    /// taken off and the plain one stands.
    #[serde(default)]
    pub variance: Variance,
}

/// How the variance that the best candidate explains is estimated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variance {
    /// Between the groups' means.
    #[default]
    Plain,
    /// Less what groups of that size show by chance.
    Debiased,
}

fn samples() -> usize {
    500
}

fn lambda() -> f64 {
    2.0
}

fn epsilon() -> f64 {
    1e-12
}

impl Default for Ids {
    fn default() -> Self {
        Self { samples: samples(), lambda: lambda(), epsilon: epsilon(), variance: Variance::default() }
    }
}

#[typetag::serde(name = "ids")]
impl Acquisition for Ids {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        let positive = |v: f64| v > 0.0 && v.is_finite();
        if self.samples < 2 || !positive(self.lambda) || !positive(self.epsilon) {
            return Err(Error::Config(format!(
                "ids: samples = {}, lambda = {} and epsilon = {}; there must be at least 2 draws, and the others must be \
                 positive numbers",
                self.samples, self.lambda, self.epsilon
            )));
        }
        let (k, wanted) = (self.samples, cx.batch());
        let draws = cx.draws("ids", k, &mut cx.rng("ids"))?;
        // Neither pass depends on how pieces are dealt to threads.
        let best: Vec<Leader> = (0..draws.pieces())
            .into_par_iter()
            .map(|piece| leaders(&draws, piece, k))
            .try_reduce(Vec::new, |a, b| Ok(if a.is_empty() { b } else { merged(a, b) }))?;
        let bar = best.iter().map(|b| b.merit).sum::<f64>() / k as f64;
        let groups = groups(&best);
        let j = groups.len();
        cx.record("ids_maximisers", j as f64);
        cx.record("ids_j_over_k", j as f64 / k as f64);

        let debiased = self.variance == Variance::Debiased && j < k;
        let scored: Vec<Batch> = (0..draws.pieces())
            .into_par_iter()
            .map(|piece| {
                let (mut top, mut room) = (Top::new(wanted), Room::default());
                draws.piece(piece, |ids, x| {
                    room.fill(x, ids.len(), &groups, k, debiased);
                    let psi = room.mean.iter().zip(&room.variance).map(|(m, v)| {
                        let regret = (bar - m).max(0.0);
                        // The smallest are wanted.
                        if regret == 0.0 { 0.0 } else { -regret.powf(self.lambda) / v.max(self.epsilon) }
                    });
                    top.extend(ids, &psi.collect::<Vec<f64>>())
                })?;
                Ok(top.into_batch())
            })
            .collect::<Result<_>>()?;
        let mut top = Top::new(wanted);
        for b in &scored {
            top.extend(&b.ids, &b.scores)?;
        }
        let mut batch = top.into_batch();
        // The score told is Ψ itself; adding 0 turns -0 into 0.
        batch.scores.iter_mut().for_each(|s| *s = -*s + 0.0);
        Ok(batch)
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Model, Ability::Draws])
    }
}

/// The best candidate of a draw.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Leader {
    merit: f64,
    id: usize,
}

impl Leader {
    /// Larger merit, then lower id.
    fn offer(&mut self, merit: f64, id: usize) {
        if merit > self.merit || (merit == self.merit && id < self.id) {
            *self = Leader { merit, id };
        }
    }
}

fn merged(mut a: Vec<Leader>, b: Vec<Leader>) -> Vec<Leader> {
    a.iter_mut().zip(b).for_each(|(a, b)| a.offer(b.merit, b.id));
    a
}

/// The draws of each best candidate, in the order of candidates.
fn groups(best: &[Leader]) -> Vec<Vec<usize>> {
    let mut by_id = std::collections::BTreeMap::<usize, Vec<usize>>::new();
    best.iter().enumerate().for_each(|(s, b)| by_id.entry(b.id).or_default().push(s));
    by_id.into_values().collect()
}

/// The best candidate of each draw within a piece.
fn leaders(draws: &DrawnMerits, piece: usize, k: usize) -> Result<Vec<Leader>> {
    let mut best = vec![Leader { merit: f64::NEG_INFINITY, id: usize::MAX }; k];
    draws.piece(piece, |ids, x| {
        for (row, best) in x.chunks_exact(ids.len()).zip(&mut best) {
            // Mostly nothing improves; finding that out runs several at a time.
            if largest(row) >= best.merit {
                row.iter().zip(ids).for_each(|(m, id)| best.offer(*m, *id));
            }
        }
        Ok(())
    })?;
    Ok(best)
}

fn largest(row: &[f64]) -> f64 {
    let (eights, rest) = row.as_chunks::<8>();
    let mut most = [f64::NEG_INFINITY; 8];
    for e in eights {
        for l in 0..8 {
            most[l] = if e[l] > most[l] { e[l] } else { most[l] };
        }
    }
    most.into_iter().chain(rest.iter().copied()).fold(f64::NEG_INFINITY, f64::max)
}

/// Mean and explained variance of each candidate of a list.
#[derive(Default)]
struct Room {
    mean: Vec<f64>,
    variance: Vec<f64>,
}

impl Room {
    /// From draws x n merits, the draws of each group, and whether to take off chance.
    fn fill(&mut self, x: &[f64], n: usize, groups: &[Vec<usize>], k: usize, debiased: bool) {
        // Candidates side by side, whose sums stay in registers.
        const WIDE: usize = 16;
        self.mean.resize(n, 0.0);
        self.variance.resize(n, 0.0);
        let whole = n - n % WIDE;
        for from in (0..whole).step_by(WIDE) {
            self.columns::<WIDE>(x, n, from, groups, k, debiased);
        }
        for from in whole..n {
            self.columns::<1>(x, n, from, groups, k, debiased);
        }
    }

    fn columns<const W: usize>(
        &mut self,
        x: &[f64],
        n: usize,
        from: usize,
        groups: &[Vec<usize>],
        k: usize,
        debiased: bool,
    ) {
        let add = |to: &mut [f64; W], s: usize| {
            let at = s * n + from;
            to.iter_mut().zip(&x[at..at + W]).for_each(|(t, v)| *t += v);
        };
        let mut mean = [0.0; W];
        (0..k).for_each(|s| add(&mut mean, s));
        mean = mean.map(|m| m / k as f64);
        let mut variance = [0.0; W];
        for group in groups {
            let mut sum = [0.0; W];
            group.iter().for_each(|&s| add(&mut sum, s));
            let (part, share) = (1.0 / group.len() as f64, group.len() as f64 / k as f64);
            for l in 0..W {
                let away = sum[l] * part - mean[l];
                variance[l] += share * away * away;
            }
        }
        if debiased {
            let mut total = [0.0; W];
            for s in 0..k {
                let at = s * n + from;
                for (l, v) in x[at..at + W].iter().enumerate() {
                    total[l] += (v - mean[l]) * (v - mean[l]);
                }
            }
            let j = groups.len() as f64;
            for l in 0..W {
                // Squares within groups are those about the mean less those between.
                let within = (total[l] - k as f64 * variance[l]).max(0.0) / (k as f64 - j);
                variance[l] = (variance[l] - within * (j - 1.0) / k as f64).max(0.0);
            }
        }
        self.mean[from..from + W].copy_from_slice(&mean);
        self.variance[from..from + W].copy_from_slice(&variance);
    }
}

framework::register!(Acquisition, Ids, "ids", "information-directed sampling: regret over information");

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// A model whose draws are told: draws x pool.
    struct Told(Array2<f64>);
    impl Surrogate for Told {
        fn predict(&self, ids: &[usize]) -> Result<Posterior> {
            let mean = self.0.mean_axis(Axis(0)).unwrap();
            Ok(Posterior { mean: Array2::from_shape_fn((ids.len(), 1), |(i, _)| mean[ids[i]]), sd: None })
        }

        fn draws(&self) -> Option<&dyn JointDraws> {
            Some(self)
        }
    }

    impl JointDraws for Told {
        fn draw(&self, ids: &[usize], n: usize, _: &mut StreamRng) -> Result<Array3<f64>> {
            Ok(Array3::from_shape_fn((n, ids.len(), 1), |(s, i, _)| self.0[(s, ids[i])]))
        }
    }

    /// The batch and what was recorded.
    fn select(
        rule: &Ids,
        draws: &Array2<f64>,
        direction: Direction,
        batch: usize,
        gone: &[usize],
    ) -> Result<(Batch, Vec<(String, f64)>)> {
        let genes = Arc::new(Genes::new((0..draws.ncols()).map(|i| format!("g{i}")))?);
        let inputs = Arc::new(Inputs::new(Arc::new(Pool::singles(genes)), vec![], Compose::Sum)?);
        let candidates = Candidates::new(draws.ncols(), gone.to_vec());
        let (model, target) = (Told(draws.clone()), Target { direction, ..Target::default() });
        let (round, observed) = (Round { index: 1, of: 1, batch }, Observed::empty(1));
        let cx = RunContext::new(round, &inputs, &candidates, &observed, Streams::new(1))
            .with_target(target)
            .with_surrogate(Some(&model));
        let b = rule.select(&cx)?;
        Ok((b, cx.into_recorded()))
    }

    fn rule(samples: usize) -> Ids {
        Ids { samples, ..Ids::default() }
    }

    /// Ψ of every candidate with loops over the definition.
    fn by_hand(s: &Array2<f64>, lambda: f64, debiased: bool) -> Vec<f64> {
        let (k, n) = s.dim();
        let best: Vec<usize> =
            (0..k).map(|d| (0..n).fold(0, |b, a| if s[(d, a)] > s[(d, b)] { a } else { b })).collect();
        let bar = (0..k).map(|d| s[(d, best[d])]).sum::<f64>() / k as f64;
        let mut tops = best.clone();
        tops.sort_unstable();
        tops.dedup();
        (0..n)
            .map(|a| {
                let mean = s.column(a).sum() / k as f64;
                let (mut v, mut within) = (0.0, 0.0);
                for t in &tops {
                    let of: Vec<f64> = (0..k).filter(|d| best[*d] == *t).map(|d| s[(d, a)]).collect();
                    let m = of.iter().sum::<f64>() / of.len() as f64;
                    v += of.len() as f64 / k as f64 * (m - mean).powi(2);
                    within += of.iter().map(|x| (x - m).powi(2)).sum::<f64>();
                }
                if debiased && tops.len() < k {
                    let j = tops.len() as f64;
                    v = (v - (j - 1.0) / k as f64 * within / (k as f64 - j)).max(0.0);
                }
                let regret = bar - mean;
                if regret <= 0.0 { 0.0 } else { regret.powf(lambda) / v.max(1e-12) }
            })
            .collect()
    }

    #[test]
    fn two_draws_of_two_candidates_have_ratio_one() {
        let s = ndarray::array![[1.0, 0.0], [0.0, 1.0]];
        let (b, recorded) = select(&rule(2), &s, Direction::Max, 2, &[]).unwrap();
        // Δ = (½, ½), v = (¼, ¼).
        assert_eq!((b.ids, b.scores), (vec![0, 1], vec![1.0, 1.0]));
        assert_eq!(recorded, [("ids_maximisers".into(), 2.0), ("ids_j_over_k".into(), 1.0)]);
        // Nothing can be taken off where each draw has a best candidate of its own.
        let debiased = Ids { variance: Variance::Debiased, ..rule(2) };
        assert_eq!(select(&debiased, &s, Direction::Max, 2, &[]).unwrap().0.scores, [1.0, 1.0]);
    }

    #[test]
    fn agrees_with_the_definition() {
        let mut rng = Streams::new(3).rng("draws");
        for (k, n, lambda) in [(5, 4, 2.0), (40, 7, 3.0), (200, 150, 2.0), (300, 3, 1.5)] {
            // Quarters, so that draws tie.
            let s = Array2::from_shape_simple_fn((k, n), || (rng.random_range(-2.0f64..2.0) * 4.0).round() / 4.0);
            for (direction, merit) in
                [(Direction::Max, s.clone()), (Direction::Min, s.mapv(|v| -v)), (Direction::Abs, s.mapv(f64::abs))]
            {
                for variance in [Variance::Plain, Variance::Debiased] {
                    let r = Ids { lambda, variance, ..rule(k) };
                    let (b, _) = select(&r, &s, direction, n, &[]).unwrap();
                    let want = by_hand(&merit, lambda, variance == Variance::Debiased);
                    for (id, score) in b.ids.iter().zip(&b.scores) {
                        assert!(
                            (score - want[*id]).abs() <= 1e-7 * (1.0 + want[*id]),
                            "{k} {n} {id}: {score} {}",
                            want[*id]
                        );
                    }
                    let near = |a: f64, b: f64| a <= b || (a - b) <= 1e-7 * (1.0 + b);
                    assert!(b.scores.windows(2).all(|w| near(w[0], w[1])));
                }
            }
        }
    }

    #[test]
    fn measured_ones_count_for_nothing_and_ties_go_to_the_lower_id() {
        // Candidates 1 and 2 are alike; the far better 0 has been measured.
        let s = ndarray::array![[9.0, 1.0, 1.0, 0.0], [9.0, 0.0, 0.0, 1.0], [9.0, 1.0, 1.0, 0.5]];
        let (b, recorded) = select(&rule(3), &s, Direction::Max, 3, &[0]).unwrap();
        assert_eq!(recorded[0].1, 2.0, "candidates 1 and 3 are best somewhere");
        let at = |id: usize| b.ids.iter().position(|i| *i == id).unwrap();
        assert!(at(1) < at(2));
        // One candidate that is best in every draw has no regret.
        let sure = ndarray::array![[1.0, 2.0], [0.0, 5.0]];
        let (b, _) = select(&rule(2), &sure, Direction::Max, 2, &[]).unwrap();
        assert_eq!((b.ids[0], b.scores[0]), (1, 0.0));
        let bad = ndarray::array![[1.0, 2.0], [0.0, f64::NAN]];
        let e = select(&rule(2), &bad, Direction::Max, 1, &[]).unwrap_err().to_string();
        assert_eq!(e, "a posterior draw of candidate 1 is NaN; draws must be finite numbers");
        let e = select(&rule(1), &sure, Direction::Max, 1, &[]).unwrap_err().to_string();
        assert!(e.contains("at least 2 draws"), "{e}");
    }

    #[test]
    fn agrees_with_the_golden_scores() {
        let text =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/numerics.json")).unwrap();
        let golden = &serde_json::from_str::<serde_json::Value>(&text).unwrap()["ids"];
        let draws: Vec<Vec<f64>> = serde_json::from_value(golden["samples_draws_by_pairs"].clone()).unwrap();
        let s = Array2::from_shape_fn((draws.len(), draws[0].len()), |(d, a)| draws[d][a]);
        for (lambda, name) in [(2.0, "score_lambda2"), (3.0, "score_lambda3")] {
            let want: Vec<f64> = serde_json::from_value(golden[name].clone()).unwrap();
            let (b, _) = select(&Ids { lambda, ..rule(draws.len()) }, &s, Direction::Max, want.len(), &[]).unwrap();
            for (id, score) in b.ids.iter().zip(&b.scores) {
                assert!((score / want[*id] - 1.0).abs() < 1e-9, "{id}: {score} {}", want[*id]);
            }
            if lambda == 2.0 {
                let order: Vec<usize> = serde_json::from_value(golden["ranking_lambda2"].clone()).unwrap();
                assert_eq!(b.ids, order);
            }
        }
    }

    #[test]
    fn pieces_and_threads_change_nothing() {
        let n = 60;
        let genes = Arc::new(Genes::new((0..n).map(|g| format!("g{g}"))).unwrap());
        let formula = Arc::new(Pool::all_pairs(genes.clone()));
        let list = Arc::new(Pool::list(genes, (0..formula.len()).map(|id| formula.get(id))).unwrap());
        let mut rng = Streams::new(7).rng("y");
        let ids: Vec<usize> = (0..formula.len()).step_by(9).collect();
        let y = Array2::from_shape_simple_fn((ids.len(), 1), || rng.random_range(-1.0..1.0));
        let mut observed = Observed::empty(1);
        observed.push(&Readouts::plain(&ids, y), 0).unwrap();
        let candidates = Candidates::new(formula.len(), ids);
        let model: Box<dyn Model> = serde_json::from_value(serde_json::json!({ "use": "low_rank_matrix" })).unwrap();
        let pick = |pool: &Arc<Pool>, threads: usize| {
            let inputs = Arc::new(Inputs::new(pool.clone(), vec![], Compose::Sum).unwrap());
            let cx = FitContext { inputs: &inputs, observed: &observed, streams: &Streams::new(2) };
            let s = model.fit(&cx).unwrap();
            let round = Round { index: 1, of: 1, batch: 40 };
            let target = Target { direction: Direction::Max, ..Target::default() };
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let streams = Streams::new(1);
                let cx = RunContext::new(round, &inputs, &candidates, &observed, streams)
                    .with_target(target)
                    .with_surrogate(Some(&*s));
                Ids { samples: 100, ..Ids::default() }.select(&cx).unwrap()
            })
        };
        let one = pick(&formula, 1);
        assert_eq!(one, pick(&formula, 4));
        assert_eq!(one, pick(&list, 1));
    }
}
