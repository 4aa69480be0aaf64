//! DiscoBAX: the measurements that tell most about the output of an algorithm (Lyle et al. 2023; Bayesian algorithm
//! execution, Neiswanger et al. 2021).
//!
//! score(x) = H[y_x | D] - (1/J) Σ_j H[y_x | D, f(S_j) = f_j(S_j)], where S_j is the output of the algorithm run on
//! posterior draw f_j over measured perturbations and candidates: the k best (`top_k`), all beyond a threshold
//! (`level_set`), or the greedy set of k that maximises E_η max_{x in S} max(0, m(x) + η(x)) (`subset_max`), m the
//! merit of the draw and η a Gaussian process over the features: what may go wrong downstream, alike for alike
//! perturbations. Entropies are those of a Gaussian posterior, ½ log(v + σ²) with v the variance before and after
//! conditioning on S_j and σ² the noise of a measurement, so that neither a draw's values nor a refit is needed. The
//! released code refits the model for each draw and estimates entropies from 20 dropout masks with σ² = 1. Covariances
//! are the model's own, else those of its functions or of joint draws. A profile is judged by its norm, linearised at
//! its predicted mean.
//!
//! Cost: J draws of all, covariances of the union of all S_j with all, and O(n Σ|S_j|²).

use framework::domain::Top;
use framework::ndarray::s;
use framework::numerics::matmul;
use framework::numerics::memory::{Limit, Size};
use framework::numerics::stats::{quantile, sd};
use framework::prelude::*;
use framework::serde_json::{self, json};
use rand_distr::{Distribution, StandardNormal};

/// Takes the candidates whose measurement is expected to tell most about the best set. The score is that information
/// in nats.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Discobax {
    /// The algorithm: `"subset_max"` (default), `"top_k"` or `"level_set"`.
    pub set: Set,
    /// Size of the set; absent: 5 for subset_max and 3 for top_k, as in the released code.
    pub k: Option<usize>,
    /// Threshold of level_set on the merit scale (|y|, y or -y by the target's direction), in units of the readout;
    /// absent: a quantile of what has been measured.
    pub threshold: Option<f64>,
    /// Which quantile of the measured merits is the threshold when none is given, 0 to 1. Default 0.95.
    pub quantile: f64,
    /// Most members of a level set, the largest; bounds time and memory. Default 200.
    pub most: usize,
    /// Number J of posterior draws. Default 20.
    pub draws: usize,
    /// Noise sd of a measurement in units of the readout; absent: the model's, or the root mean squared residual of
    /// the measured rows.
    pub noise: Option<f64>,
    /// Whether S_j is known through measurements with that noise rather than exactly. Default false.
    pub noisy_set: bool,
    /// How η acts in subset_max: `"additive"` (default), max(0, m + η), or `"multiplicative"`, max(0, m B) with B 1 or
    /// 0, P(B = 1) = 1 / (1 + e^-η).
    pub eta: Eta,
    /// Kernel of η, a table with `use`; absent: { use = "rbf" } with the median distance as length. The released code
    /// has length 1.
    pub eta_kernel: Option<Box<dyn Kernel>>,
    /// Sd of η where its kernel has diagonal 1; absent: the sd of the measured merits (additive) or 1
    /// (multiplicative). The released code has 1.
    pub eta_scale: Option<f64>,
    /// Number of η drawn for each posterior draw. Default 20.
    pub eta_draws: usize,
    /// Number of joint draws that covariances are taken from where the model gives neither covariances nor functions.
    /// Default 100.
    pub covariance_draws: usize,
}

/// The algorithm whose output is of interest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Set {
    /// The greedy set whose best member does best under random downstream effects.
    #[default]
    SubsetMax,
    /// The k best.
    TopK,
    /// All beyond a threshold.
    LevelSet,
}

/// How downstream effects act.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Eta {
    /// Added.
    #[default]
    Additive,
    /// Switches perturbations off.
    Multiplicative,
}

impl Default for Discobax {
    fn default() -> Self {
        Self {
            set: Set::default(),
            k: None,
            threshold: None,
            quantile: 0.95,
            most: 200,
            draws: 20,
            noise: None,
            noisy_set: false,
            eta: Eta::default(),
            eta_kernel: None,
            eta_scale: None,
            eta_draws: 20,
            covariance_draws: 100,
        }
    }
}

/// Numbers held at most for draws and for η: 2 GB.
const MOST: Limit = Limit::doubles(1 << 28);

#[typetag::serde(name = "discobax")]
impl Acquisition for Discobax {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        self.check()?;
        // The algorithm sees what was measured, too.
        let mut scope = cx.observed.distinct();
        scope.extend(cx.candidates.iter());
        scope.sort_unstable();
        scope.dedup();
        let sets = self.sets(cx, &scope)?;
        let members: usize = sets.iter().map(Vec::len).sum();
        cx.record("set_size", members as f64 / sets.len() as f64);
        let k = cx.covariance(scope, self.covariance_draws, &mut cx.rng("discobax.covariance"))?;
        let noise = match self.noise {
            Some(sd) => vec![sd * sd; k.ids().len()],
            None => k.noise(&cx.noise_variance()?),
        };
        let mut union = sets.concat();
        union.sort_unstable();
        union.dedup();
        let own = k.block(&union, &union)?;
        let mut known: Vec<(Vec<usize>, Cholesky)> = Vec::with_capacity(sets.len());
        for set in &sets {
            let at: Vec<usize> = set.iter().filter_map(|i| union.binary_search(i).ok()).collect();
            let mut c = own.select(Axis(0), &at).select(Axis(1), &at);
            let jitter = 1e-8 * c.diag().sum() / at.len().max(1) as f64;
            for (v, i) in c.diag_mut().iter_mut().zip(set) {
                *v += jitter + if self.noisy_set { noise[*i] } else { 0.0 };
            }
            known.push((at, Cholesky::new(c.view())?));
        }
        // Without any noise the entropy of a known value is -∞: what rounding leaves of a variance stands in.
        let least = 1e-10 * k.variance().iter().sum::<f64>() / k.ids().len() as f64;
        let mut top = Top::new(cx.batch());
        let at: Vec<usize> = (0..k.ids().len()).filter(|&i| cx.candidates.contains(k.ids()[i])).collect();
        for (t, tile) in at.chunks(2048).enumerate() {
            cx.tick(t * 2048, at.len());
            let cross = k.block(&union, tile)?;
            let entropy = |i: usize, v: f64| 0.5 * (v.max(0.0) + noise[i].max(least).max(f64::MIN_POSITIVE)).ln();
            let before: Vec<f64> = tile.iter().map(|&i| entropy(i, k.variance()[i])).collect();
            let mut scores = vec![0.0; tile.len()];
            for (members, factor) in &known {
                let explained = factor.quadratic(cross.select(Axis(0), members).view());
                // Differences first: a set that tells nothing adds exactly 0.
                for (((s, before), &i), q) in scores.iter_mut().zip(&before).zip(tile).zip(explained) {
                    *s += (before - entropy(i, k.variance()[i] - q)) / known.len() as f64;
                }
            }
            let ids: Vec<usize> = tile.iter().map(|&i| k.ids()[i]).collect();
            top.extend(&ids, &scores)?;
        }
        Ok(top.into_batch())
    }

    fn needs(&self) -> Abilities {
        let of_kernel = self.eta_kernel.as_ref().map_or(Abilities::of([Ability::Features]), |k| k.needs());
        Abilities::of([Ability::Model, Ability::Sd, Ability::Draws]) | of_kernel
    }
}

impl Discobax {
    fn check(&self) -> Result<()> {
        let bad = |text: String| Err(Error::Config(format!("discobax: {text}")));
        for (name, v) in [("noise", self.noise), ("eta_scale", self.eta_scale)] {
            if let Some(v) = v.filter(|v| !(*v >= 0.0 && v.is_finite())) {
                return bad(format!("{name} must be 0 or a positive number, not {v}"));
            }
        }
        for (name, v) in [
            ("k", self.k.unwrap_or(1)),
            ("most", self.most),
            ("draws", self.draws),
            ("eta_draws", self.eta_draws),
            ("covariance_draws", self.covariance_draws),
        ] {
            if v == 0 {
                return bad(format!("{name} must be at least 1"));
            }
        }
        if !(0.0..=1.0).contains(&self.quantile) {
            return bad(format!("quantile = {} is not within 0 to 1", self.quantile));
        }
        match self.threshold {
            Some(t) if !t.is_finite() => bad(format!("threshold = {t} is not a finite number")),
            _ => Ok(()),
        }
    }

    /// S_j as positions in `scope`, ascending.
    fn sets(&self, cx: &RunContext, scope: &[usize]) -> Result<Vec<Vec<usize>>> {
        let merits = self.merits(cx, scope)?;
        let measured = || -> Vec<f64> { cx.observed.y.outer_iter().map(|y| cx.target.merit(&y.to_vec())).collect() };
        let all: Vec<usize> = (0..scope.len()).collect();
        let best = |m: &[f64], k: usize| -> Result<Vec<usize>> { Ok(Batch::top(&all, m, k)?.ids) };
        let mut sets = Vec::with_capacity(self.draws);
        match self.set {
            Set::TopK => {
                for m in merits.outer_iter() {
                    sets.push(best(&m.to_vec(), self.k.unwrap_or(3))?);
                }
            }
            Set::LevelSet => {
                let threshold = match self.threshold {
                    Some(t) => t,
                    None if cx.observed.is_empty() => {
                        return Err(Error::Config(
                            "discobax takes the threshold of its level set from measurements and there are none yet; \
                             set `threshold`, or `init` under [pool]"
                                .into(),
                        ));
                    }
                    None => quantile(&measured(), self.quantile),
                };
                cx.record("level", threshold);
                for m in merits.outer_iter() {
                    let mut set = best(&m.to_vec(), self.most)?;
                    set.retain(|&i| m[i] > threshold);
                    sets.push(set);
                }
            }
            Set::SubsetMax => {
                let scale = match (self.eta_scale, self.eta) {
                    (Some(s), _) => s,
                    (None, Eta::Multiplicative) => 1.0,
                    // One measurement has no spread.
                    (None, Eta::Additive) => Some(sd(&measured())).filter(|s| s.is_finite()).unwrap_or(1.0),
                };
                let mut rng = cx.rng("discobax.eta");
                let eta = self.effects(cx, scope, &mut rng)? * scale;
                for (j, m) in merits.outer_iter().enumerate() {
                    let eta = eta.slice(s![.., j * self.eta_draws..(j + 1) * self.eta_draws]);
                    let values = Array2::from_shape_fn(eta.dim(), |(i, l)| {
                        let h = match self.eta {
                            Eta::Additive => m[i] + eta[(i, l)],
                            Eta::Multiplicative if rng.random::<f64>() * (1.0 + (-eta[(i, l)]).exp()) < 1.0 => m[i],
                            Eta::Multiplicative => 0.0,
                        };
                        h.max(0.0)
                    });
                    sets.push(subset_max(values.view(), self.k.unwrap_or(5)));
                }
            }
        }
        sets.iter_mut().for_each(|s| s.sort_unstable());
        Ok(sets)
    }

    /// Merits of the draws: draws x scope.
    fn merits(&self, cx: &RunContext, scope: &[usize]) -> Result<Array2<f64>> {
        let outputs = cx.observed.n_outputs();
        MOST.check(&[scope.len(), self.draws.max(outputs)]).map_err(too_large)?;
        let at_once = (MOST.numbers() / (scope.len() * outputs).max(1)).clamp(1, self.draws);
        let mut rng = cx.rng("discobax");
        let mut merits = Array2::zeros((self.draws, scope.len()));
        for start in (0..self.draws).step_by(at_once) {
            let n = at_once.min(self.draws - start);
            let f = cx.surrogate()?.try_draws()?.draw(scope, n, &mut rng)?;
            if f.dim() != (n, scope.len(), outputs) {
                return Err(Error::Plugin(format!(
                    "the model returned draws of shape {:?} for {n} draws of {} perturbations and {outputs} outputs",
                    f.dim(),
                    scope.len()
                )));
            }
            for j in 0..n {
                for i in 0..scope.len() {
                    let row = f.slice(s![j, i, ..]);
                    merits[(start + j, i)] =
                        if outputs == 1 { cx.target.merit(&[row[0]]) } else { cx.target.merit(&row.to_vec()) };
                }
            }
        }
        match merits.indexed_iter().find(|(_, v)| !v.is_finite()) {
            None => Ok(merits),
            Some(((_, i), v)) => Err(Error::Numerical(format!("a posterior draw of perturbation {} is {v}", scope[i]))),
        }
    }

    /// Draws of η with unit scale: scope x (draws * eta_draws).
    fn effects(&self, cx: &RunContext, scope: &[usize], rng: &mut StreamRng) -> Result<Array2<f64>> {
        /// Largest covariance that is factored; above, random features stand in.
        const EXACT: usize = 1000;
        const FEATURES: usize = 2048;
        let columns = self.draws * self.eta_draws;
        MOST.check(&[scope.len(), columns]).map_err(too_large)?;
        let default: Box<dyn Kernel>;
        let kernel = match &self.eta_kernel {
            Some(k) => &**k,
            None => {
                default = serde_json::from_value(json!({ "use": "rbf" }))
                    .map_err(|e| Error::Config(format!("discobax: the kernel of η cannot be built: {e}")))?;
                &*default
            }
        };
        let streams = cx.stream("discobax.kernel");
        let of = KernelContext::new(cx.inputs, cx.observed, &streams);
        let mut normals = |rows: usize| -> Array2<f64> {
            Array2::from_shape_simple_fn((rows, columns), || StandardNormal.sample(rng))
        };
        if scope.len() <= EXACT {
            let mut k = kernel.gram(&of)?.to_dense(scope);
            let jitter = 1e-8 * k.diag().sum() / scope.len().max(1) as f64;
            k.diag_mut().iter_mut().for_each(|v| *v += jitter);
            return Ok(Cholesky::new(k.view())?.times(normals(scope.len()).view()));
        }
        let w = normals(FEATURES);
        let Some(map) = kernel.random_features(&of, FEATURES, &mut streams.rng("features"))? else {
            return Err(Error::Unsupported(format!(
                "discobax draws effects over {} perturbations from random features, and `eta_kernel` has none; \
                 use rbf, matern52 or laplace",
                scope.len()
            )));
        };
        let mut out = Array2::zeros((scope.len(), columns));
        for (mut rows, ids) in out.axis_chunks_iter_mut(Axis(0), 2048).zip(scope.chunks(2048)) {
            rows.assign(&matmul(map(&cx.inputs.features(ids)).view(), w.view()));
        }
        Ok(out)
    }
}

fn too_large(size: Size) -> Error {
    Error::Config(format!(
        "discobax would hold {size} of draws; make the pool smaller, or lower `draws` or `eta_draws`"
    ))
}

/// Greedy maximisation of mean_l max_{i in S} values[i, l] over sets of `k`; ties to the lowest position.
fn subset_max(values: ArrayView2<f64>, k: usize) -> Vec<usize> {
    let (n, l) = values.dim();
    let mut best = vec![0.0; l];
    let mut set: Vec<usize> = Vec::with_capacity(k);
    while set.len() < k.min(n) {
        let gain = |i: usize| values.row(i).iter().zip(&best).map(|(v, b): (&f64, &f64)| v.max(*b)).sum::<f64>();
        let left = (0..n).filter(|i| !set.contains(i)).map(|i| (i, gain(i)));
        let Some((i, _)) = left.reduce(|a, b| if b.1 > a.1 { b } else { a }) else { break };
        best.iter_mut().zip(values.row(i)).for_each(|(b, v)| *b = v.max(*b));
        set.push(i);
    }
    set
}

framework::register!(Acquisition, Discobax, "discobax", "information about the best set of perturbations (DiscoBAX)");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::{MockGaussian, TinyWorld};

    const N: usize = 14;

    fn posterior() -> MockGaussian {
        let x = Array2::from_shape_fn((N, 9), |(i, j)| ((i * 31 + j * 17 + i * j * j) % 23) as f64 / 7.0 - 1.5);
        let covariance = x.dot(&x.t()) / 9.0 + Array2::<f64>::eye(N) * 0.2;
        MockGaussian { mean: (0..N).map(|i| (i as f64 * 1.3).sin()).collect(), covariance, noise: Some(0.3) }
    }

    fn rule(form: serde_json::Value) -> Discobax {
        serde_json::from_value(form).unwrap()
    }

    /// The score from its definition with explicit covariance matrices and sets.
    fn brute(model: &MockGaussian, sets: &[Vec<usize>], i: usize, noise: f64, noisy: bool) -> f64 {
        let c = &model.covariance;
        let mut score = 0.5 * (c[(i, i)] + noise).ln();
        for set in sets {
            let own = c.select(Axis(0), set).select(Axis(1), set)
                + Array2::<f64>::eye(set.len()) * if noisy { noise } else { 0.0 };
            let cross = c.select(Axis(0), set).select(Axis(1), &[i]);
            let left = c[(i, i)] - Cholesky::new(own.view()).unwrap().quadratic(cross.view())[0];
            score -= 0.5 * (left.max(0.0) + noise).ln() / sets.len() as f64;
        }
        score
    }

    #[test]
    fn scores_are_the_information_about_top_k_and_level_sets() {
        let world = TinyWorld::new(N, 3, 1, false, 1).unwrap();
        let observed = world.observe(&[2, 5], 1).unwrap();
        let candidates = Candidates::new(N, vec![2, 5, 13]);
        let model = posterior();
        // What may not be chosen and was not measured (13) is out of the algorithm's sight.
        let scope: Vec<usize> = (0..13).collect();
        let draws = model.draw(&scope, 20, &mut Streams::new(1).child("context").rng("discobax")).unwrap();
        for direction in [Direction::Max, Direction::Abs] {
            for (form, noise, noisy) in [
                (json!({ "set": "top_k", "k": 4 }), 0.3, false),
                (json!({ "set": "top_k", "k": 4, "noise": 0.1, "noisy_set": true }), 0.01, true),
                (json!({ "set": "level_set", "threshold": 0.8 }), 0.3, false),
                (json!({ "set": "level_set", "threshold": 0.8, "most": 2 }), 0.3, false),
                (json!({ "set": "level_set", "threshold": 1e9 }), 0.3, false),
            ] {
                let r = rule(form.clone());
                let sets: Vec<Vec<usize>> = (0..20)
                    .map(|j| {
                        let m = |i: &usize| direction.merit(draws[(j, *i, 0)]);
                        let mut order = scope.clone();
                        order.sort_by(|a, b| m(b).total_cmp(&m(a)));
                        match r.set {
                            Set::TopK => order[..4].to_vec(),
                            _ => {
                                let beyond: Vec<usize> =
                                    order.into_iter().filter(|i| m(i) > r.threshold.unwrap()).collect();
                                beyond[..beyond.len().min(r.most)].to_vec()
                            }
                        }
                    })
                    .collect();
                let mut cx = world.context(5, &candidates, &observed, Some(&model), None, 1);
                cx.target.direction = direction;
                let got = r.select(&cx).unwrap();
                let ids = candidates.to_vec();
                let scores: Vec<f64> = ids.iter().map(|&i| brute(&model, &sets, i, noise, noisy)).collect();
                let want = Batch::top(&ids, &scores, 5).unwrap();
                for (a, b) in got.scores.iter().zip(&want.scores) {
                    assert!((a - b).abs() < 1e-5, "{form}: {:?} {:?}", got.scores, want.scores);
                }
                match r.threshold {
                    Some(t) if t > 1e6 => assert_eq!(got.ids, [0, 1, 3, 4, 6], "empty sets tell nothing: all tie"),
                    _ => assert_eq!(got.ids, want.ids, "{form}"),
                }
            }
        }
    }

    #[test]
    fn greedy_sets_are_greedy_and_near_the_best() {
        let values = Array2::from_shape_fn((9, 12), |(i, l)| ((i * 37 + l * 101 + i * l * l) % 53) as f64 / 10.0);
        let value = |set: &[usize]| -> f64 {
            (0..12).map(|l| set.iter().map(|&i| values[(i, l)]).fold(0.0, f64::max)).sum::<f64>() / 12.0
        };
        let mut greedy: Vec<usize> = vec![];
        for _ in 0..3 {
            let with = |i: usize| value(&[&greedy[..], &[i]].concat());
            let best = (0..9).map(with).fold(f64::MIN, f64::max);
            let next = (0..9).find(|&i| with(i) == best).unwrap();
            greedy.push(next);
        }
        assert_eq!(subset_max(values.view(), 3), greedy);
        let mut best: f64 = 0.0;
        for a in 0..9 {
            for b in 0..a {
                for c in 0..b {
                    best = best.max(value(&[a, b, c]));
                }
            }
        }
        assert!(value(&greedy) >= (1.0 - (-1f64).exp()) * best && value(&greedy) <= best);
        assert_eq!(subset_max(Array2::zeros((4, 3)).view(), 2), [0, 1], "ties to the lowest");
        assert_eq!(subset_max(values.view(), 20).len(), 9);
    }

    #[test]
    fn subset_max_without_effects_is_the_single_best_and_with_them_its_definition() {
        let world = TinyWorld::new(N, 3, 1, false, 1).unwrap();
        let observed = world.observe(&[2, 5], 1).unwrap();
        let candidates = Candidates::new(N, vec![2, 5]);
        let model = posterior();
        let cx = || {
            let mut cx = world.context(5, &candidates, &observed, Some(&model), None, 1);
            cx.target.direction = Direction::Max;
            cx
        };
        let plain = rule(json!({ "k": 1, "eta_scale": 0.0 })).select(&cx()).unwrap();
        assert_eq!(plain, rule(json!({ "set": "top_k", "k": 1 })).select(&cx()).unwrap());
        for eta in ["additive", "multiplicative"] {
            let r = rule(json!({ "eta": eta, "eta_kernel": { "use": "rbf", "length": 2.0 }, "k": 3, "eta_draws": 7 }));
            let got = r.select(&cx()).unwrap();
            assert_eq!(got, r.select(&cx()).unwrap());
            let all: Vec<usize> = (0..N).collect();
            let sets = r.sets(&cx(), &all).unwrap();
            assert!(sets.len() == 20 && sets.iter().all(|s| s.len() == 3));
            for (id, score) in got.ids.iter().zip(&got.scores) {
                assert!((brute(&model, &sets, *id, 0.3, false) - score).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn effects_have_the_covariance_of_their_kernel_with_and_without_random_features() {
        for n in [30, 1100] {
            let world = TinyWorld::new(n, 2, 1, false, 1).unwrap();
            let observed = world.observe(&[0, 1], 1).unwrap();
            let candidates = Candidates::new(n, vec![0, 1]);
            let cx = world.context(1, &candidates, &observed, None, None, 1);
            let r = rule(json!({ "eta_kernel": { "use": "rbf", "length": 1.5 }, "draws": 100, "eta_draws": 60 }));
            let all: Vec<usize> = (0..n).collect();
            let eta = r.effects(&cx, &all, &mut Streams::new(5).rng("eta")).unwrap();
            let x = world.inputs.features(&all);
            for (a, b) in [(0, 0), (1, 7), (3, 20), (n - 1, 2)] {
                let d2 = (&x.row(a) - &x.row(b)).mapv(|v| v * v).sum();
                let got = eta.row(a).dot(&eta.row(b)) / 6000.0;
                // Five standard errors of the average, and of the random features.
                assert!(
                    (got - (-d2 / 4.5).exp()).abs() < 5.0 * (2.0f64 / 6000.0).sqrt() + 5.0 / 2048f64.sqrt(),
                    "{a} {b}"
                );
            }
        }
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let world = TinyWorld::new(N, 3, 1, false, 1).unwrap();
        let observed = world.observe(&[2, 5], 1).unwrap();
        let (candidates, model) = (Candidates::new(N, vec![2, 5]), posterior());
        for (form, text) in [
            (json!({ "draws": 0 }), "draws must be at least 1"),
            (json!({ "noise": -1.0 }), "noise must be 0 or a positive number"),
            (json!({ "quantile": 2.0 }), "not within 0 to 1"),
        ] {
            let e = rule(form).select(&world.context(1, &candidates, &observed, Some(&model), None, 1)).unwrap_err();
            assert!(e.to_string().contains(text), "{e}");
        }
    }
}
