//! Optimistic arm elimination: the candidates that are best under an optimistic function (Pacchiano et al. 2023).
//!
//! `ensemble`: score(x) = max_j merit(f_j(x)) over the functions of the model. `fit`: the scores are those of f = b +
//! xᵀw that minimises (1/n) Σ (f(x_i) - y_i)² + (ρ/n)‖w‖² - λ A(f), n measured rows, A over the candidates U: the mean
//! of f, its maximum, or the p-norm ((1/|U|) Σ max(0, f)^p)^(1/p). A grows no faster than f and the first two terms
//! with its square, so a minimum exists whatever λ; the p-th power in place of the norm would have none for p > 2.
//! With z the rows whitened by XᵀX + ρI and f = f₀ + zᵀv around the ridge regression f₀, mean and maximum have closed
//! forms, v = λn z̄/2 and v = λn z_i/2 with i of largest f₀ + λn‖z‖²/4, an upper confidence bound; the p-norm is
//! minimised from the former by L-BFGS. Targets of large absolute value are fitted twice, upwards and downwards, and
//! the larger counts. A profile counts by its norm.
//!
//! Batches: the best b, or diverse ones: `determinant` adds to the standardised score a multiple of the logarithm by
//! which a candidate multiplies the determinant of the batch's similarities; `sequential` goes on as if each pick had
//! been measured and gave its predicted mean. Cost: one prediction, or O(n d²) for `fit`; O(n b²) for diverse batches.

use framework::domain::Top;
use framework::ndarray::Array3;
use framework::numerics::memory::{Limit, Size};
use framework::numerics::stats::sd;
use framework::numerics::{Conditioned, Explained, lbfgs, symmetric_product};
use framework::prelude::*;
use framework::serde_json::{self, json};

/// Takes the candidates of best optimistic value. The score is that value (with `determinant`, what the greedy choice
/// maximised).
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Oae {
    /// The optimistic function: `"ensemble"` (default), the pointwise best of the model's functions, or `"fit"`, a
    /// linear function of the prior features fitted with a reward for high values.
    pub form: Form,
    /// What `fit` rewards, over the candidates: `"mean"` (default), `"max"` or `"p_norm"`, of the positive parts.
    pub reward: Reward,
    /// p of p_norm, at least 1. Default 2.
    pub p: f64,
    /// Weight λ ≥ 0 of the reward of `fit`, in sds of the measured readouts. Default 0.1.
    pub lambda: f64,
    /// Penalty ρ > 0 of `fit`, in units of the squared features; absent: by the evidence, as in `ridge`.
    pub penalty: Option<f64>,
    /// `"none"` (default), `"determinant"` or `"sequential"`.
    pub diversity: Diversity,
    /// Weight of the log determinant, in sds of the score. Default 1.
    pub weight: f64,
    /// Noise sd of a measurement in units of the readout, for a sequential `ensemble`; absent: the model's, or the
    /// root mean squared residual of the measured rows.
    pub noise: Option<f64>,
    /// Number of joint draws for an `ensemble` of a model that is not made of functions. Default 10.
    pub draws: usize,
}

/// Where the optimistic function comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// The model's functions.
    #[default]
    Ensemble,
    /// A fit of its own.
    Fit,
}

/// What optimism is about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reward {
    /// All candidates.
    #[default]
    Mean,
    /// The best candidate.
    Max,
    /// In between.
    PNorm,
}

/// How candidates of one batch are kept apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Diversity {
    /// Not at all.
    #[default]
    None,
    /// By the determinant of their similarities.
    Determinant,
    /// By what would be known after measuring the picks before.
    Sequential,
}

impl Default for Oae {
    fn default() -> Self {
        Self {
            form: Form::default(),
            reward: Reward::default(),
            p: 2.0,
            lambda: 0.1,
            penalty: None,
            diversity: Diversity::default(),
            weight: 1.0,
            noise: None,
            draws: 10,
        }
    }
}

/// Features at most, whose square matrix is factored.
const WIDE: usize = 8192;

#[typetag::serde(name = "oae")]
impl Acquisition for Oae {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        self.check()?;
        match (self.form, self.diversity) {
            (Form::Ensemble, Diversity::Sequential) => self.ensemble_in_sequence(cx),
            (Form::Fit, Diversity::Sequential) => Fit::new(self, cx)?.in_sequence(cx),
            (form, diversity) => {
                let ids = cx.candidates.to_vec();
                let value = match form {
                    Form::Ensemble => {
                        let mut best = vec![f64::NEG_INFINITY; ids.len()];
                        self.functions(cx, &ids, |i, g| best[i] = best[i].max(cx.target.direction.merit(g)))?;
                        best
                    }
                    Form::Fit => Fit::new(self, cx)?.values()?,
                };
                match diversity {
                    Diversity::Determinant => self.by_determinant(cx, &ids, &value),
                    _ => Batch::top(&ids, &value, cx.batch()),
                }
            }
        }
    }

    fn needs(&self) -> Needs {
        let ensemble = self.form == Form::Ensemble;
        Needs { model: ensemble, draws: ensemble, gram: self.diversity == Diversity::Determinant, ..Needs::default() }
    }
}

impl Oae {
    fn check(&self) -> Result<()> {
        let bad = |text: String| Err(Error::Config(format!("oae: {text}")));
        for (name, v) in [("lambda", self.lambda), ("weight", self.weight), ("noise", self.noise.unwrap_or(0.0))] {
            if !(v >= 0.0 && v.is_finite()) {
                return bad(format!("{name} must be 0 or a positive number, not {v}"));
            }
        }
        if !(self.p >= 1.0 && self.p.is_finite()) {
            return bad(format!("p must be at least 1, not {}", self.p));
        }
        if self.draws == 0 {
            return bad("draws must be at least 1".into());
        }
        Ok(())
    }

    /// Gives `each` the values of all functions at each candidate's position, functions in order: the readout, or the
    /// norm of a profile. Returns their number.
    fn functions(&self, cx: &RunContext, ids: &[usize], mut each: impl FnMut(usize, f64)) -> Result<usize> {
        const TILE: usize = 2048;
        let (surrogate, outputs) = (cx.surrogate()?, cx.observed.n_outputs());
        let mut enter = |start: usize, n: usize, f: Array3<f64>| -> Result<()> {
            if f.shape()[1..] != [n, outputs] {
                return Err(Error::Plugin(format!(
                    "the model returned functions of shape {:?} for {n} perturbations and {outputs} outputs",
                    f.dim()
                )));
            }
            for g in f.outer_iter() {
                for (i, row) in g.outer_iter().enumerate() {
                    let v = if outputs == 1 { row[0] } else { row.dot(&row).sqrt() };
                    if !v.is_finite() {
                        return Err(Error::Numerical(format!(
                            "a function of the model predicts {v} for candidate {}",
                            ids[start + i]
                        )));
                    }
                    each(start + i, v);
                }
            }
            Ok(())
        };
        let Some(one) = surrogate.functions(&ids[..ids.len().min(1)])? else {
            Limit::USUAL.check(&[ids.len(), self.draws, outputs]).map_err(too_large)?;
            enter(0, ids.len(), surrogate.draw(ids, self.draws, &mut cx.rng("oae"))?)?;
            return Ok(self.draws);
        };
        for (t, tile) in ids.chunks(TILE).enumerate() {
            let f = surrogate
                .functions(tile)?
                .ok_or_else(|| Error::Plugin("the model gave functions of some perturbations only".into()))?;
            enter(t * TILE, tile.len(), f)?;
        }
        Ok(one.dim().0)
    }

    /// The greedy batch by score over its sd plus the weighted log of what the determinant of similarities (the kernel
    /// over its own scale) is multiplied by.
    fn by_determinant(&self, cx: &RunContext, ids: &[usize], value: &[f64]) -> Result<Batch> {
        /// Similarities tell no more apart than this.
        const LEAST: f64 = 1e-6;
        let spread = sd(value);
        let unit = if spread > 0.0 { spread } else { 1.0 };
        let mean = value.iter().sum::<f64>() / value.len() as f64;
        let quality: Vec<f64> = value.iter().map(|v| (v - mean) / unit).collect();
        let (_, gram) = cx.prepared("oae", &[])?;
        let all: Vec<usize> = (0..ids.len()).collect();
        let length: Vec<f64> = gram.diagonal(&all).iter().map(|v| if *v > 0.0 { v.sqrt() } else { 1.0 }).collect();
        let mut state = Conditioned::new(vec![1.0; ids.len()]);
        let (mut taken, mut batch) = (vec![false; ids.len()], Batch::default());
        while batch.ids.len() < cx.batch() {
            cx.tick(batch.ids.len(), cx.batch());
            let gain = |i: usize| quality[i] + self.weight * state.variance()[i].max(LEAST).ln();
            let Some(i) = best_left(&taken, gain, ids, &mut batch)? else { break };
            taken[i] = true;
            let mut row = vec![0.0; ids.len()];
            gram.row(i, &mut row);
            row.iter_mut().zip(&length).for_each(|(v, l)| *v /= l * length[i]);
            row[i] = 1.0;
            state.observe(i, row, 0.0);
        }
        Ok(batch)
    }

    /// Each pick pulls every function to the mean there, by the gain of a measurement under the functions' covariance.
    fn ensemble_in_sequence(&self, cx: &RunContext) -> Result<Batch> {
        let ids = cx.candidates.to_vec();
        let n = ids.len();
        let mut flat: Vec<Vec<f64>> = vec![vec![]; n];
        let m = self.functions(cx, &ids, |i, g| flat[i].push(g))?;
        let mut f = Array2::from_shape_fn((m, n), |(j, i)| flat[i][j]);
        drop(flat);
        let mean: Vec<f64> = f.columns().into_iter().map(|c| c.sum() / m as f64).collect();
        let off = &f - &Array1::from_vec(mean.clone());
        let noise = match self.noise {
            Some(sd) => sd * sd,
            None => cx.noise_variance()?.mean().unwrap_or(0.0),
        };
        let variance = off.columns().into_iter().map(|c| c.dot(&c) / m as f64).collect();
        let mut state = Conditioned::new(variance);
        let (mut taken, mut batch) = (vec![false; n], Batch::default());
        while batch.ids.len() < cx.batch() {
            cx.tick(batch.ids.len(), cx.batch());
            let merit = |i: usize| f.column(i).iter().map(|g| cx.target.direction.merit(*g)).fold(f64::MIN, f64::max);
            let Some(i) = best_left(&taken, merit, &ids, &mut batch)? else { break };
            taken[i] = true;
            let prior = off.t().dot(&off.column(i)) / m as f64;
            if let Some((direction, root)) = state.observe(i, prior.to_vec(), noise) {
                for mut g in f.outer_iter_mut() {
                    let residual = (g[i] - mean[i]) / root;
                    g.iter_mut().zip(direction).for_each(|(g, d)| *g -= d * residual);
                }
            }
        }
        Ok(batch)
    }
}

fn too_large(size: Size) -> Error {
    Error::Config(format!(
        "oae would hold {size} of numbers; make the pool smaller, lower `draws`, or use fewer features"
    ))
}

/// The best position that is not taken, entered into the batch; ties to the lowest.
fn best_left(taken: &[bool], score: impl Fn(usize) -> f64, ids: &[usize], batch: &mut Batch) -> Result<Option<usize>> {
    let mut top = Top::new(1);
    let left: Vec<usize> = (0..taken.len()).filter(|i| !taken[*i]).collect();
    top.extend(&left, &left.iter().map(|&i| score(i)).collect::<Vec<_>>())?;
    let best = top.into_batch();
    Ok(best.ids.first().map(|&i| {
        batch.ids.push(ids[i]);
        batch.scores.push(best.scores[0]);
        i
    }))
}

/// The optimistic linear function around a ridge regression.
struct Fit<'a> {
    rule: &'a Oae,
    ids: Vec<usize>,
    /// Ridge prediction of each candidate.
    plain: Array1<f64>,
    /// Whitened rows of the candidates, the last column for the intercept: candidates x (features + 1).
    z: Array2<f64>,
    /// λn in units of the readout.
    pull: f64,
    /// 1 for optimism upwards, -1 downwards.
    signs: &'static [f64],
}

impl<'a> Fit<'a> {
    fn new(rule: &'a Oae, cx: &RunContext) -> Result<Self> {
        if cx.observed.is_empty() {
            return Err(Error::Config(
                "oae with form = \"fit\" learns from measurements and there are none yet; set `init` under [pool]"
                    .into(),
            ));
        }
        let (ids, d) = (cx.candidates.to_vec(), cx.inputs.n_features());
        if d > WIDE {
            return Err(Error::Config(format!(
                "oae with form = \"fit\" factors a matrix of the features and there are {d}, above {WIDE}; use fewer \
                 priors"
            )));
        }
        Limit::USUAL.check(&[ids.len(), d + 1]).map_err(too_large)?;
        let mut observed = cx.observed.clone();
        let outputs = observed.n_outputs();
        if outputs > 1 {
            // A profile counts by the merit of its norm, already signed.
            let merits: Vec<f64> = observed.y.outer_iter().map(|y| cx.target.merit(&y.to_vec())).collect();
            observed.y = Array1::from_vec(merits).insert_axis(Axis(1));
            observed.sd = None;
        }
        let mut form = json!({ "use": "ridge" });
        if let Some(p) = rule.penalty {
            form["penalty"] = json!(p);
        }
        let ridge: Box<dyn Model> = serde_json::from_value(form)
            .map_err(|e| Error::Config(format!("oae with form = \"fit\" regresses by `ridge`: {e}")))?;
        let fitted =
            ridge.fit(&FitContext { inputs: cx.inputs, observed: &observed, streams: &cx.stream("oae.fit") })?;
        let plain = fitted.predict(&ids)?;
        plain.check(ids.len(), 1)?;
        let recorded = fitted.record();
        let penalty = recorded.iter().find(|r| r.0 == "ridge.penalty").map(|r| r.1).ok_or_else(|| {
            Error::Plugin("oae reads the penalty that `ridge` records as ridge.penalty, and there is none".into())
        })?;
        cx.record("oae.penalty", penalty);
        let x = cx.inputs.features(&observed.ids);
        let centre = x.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(d));
        let mut a = symmetric_product((x - &centre).view());
        a.diag_mut().iter_mut().for_each(|v| *v += penalty);
        let factor = Cholesky::new(a.view())?;
        let mut z = Array2::from_elem((ids.len(), d + 1), 1.0 / (observed.len() as f64).sqrt());
        for (mut rows, tile) in z.axis_chunks_iter_mut(Axis(0), 2048).zip(ids.chunks(2048)) {
            let x = cx.inputs.features(tile) - &centre;
            rows.slice_mut(framework::ndarray::s![.., ..d]).assign(&factor.half_solve(x.t()).t());
        }
        let spread = Some(sd(&observed.y.column(0).to_vec())).filter(|s| s.is_finite() && *s > 0.0).unwrap_or(1.0);
        let signs: &[f64] = match cx.target.direction {
            _ if outputs > 1 => &[1.0],
            Direction::Abs => &[1.0, -1.0],
            Direction::Max => &[1.0],
            Direction::Min => &[-1.0],
        };
        let pull = rule.lambda * spread * observed.len() as f64;
        Ok(Self { rule, plain: plain.mean.column(0).to_owned(), ids, z, pull, signs })
    }

    /// Optimistic values of the candidates.
    fn values(&self) -> Result<Vec<f64>> {
        let mut step = vec![Array1::zeros(self.z.ncols()); self.signs.len()];
        self.optimistic(&Explained::new(self.z.ncols(), 1.0), &[], &vec![false; self.ids.len()], &mut step)
    }

    /// Optimistic values once the picks (positions) count as measured at their plain predictions: then the squared
    /// error grows by (z_sᵀv)² each, and `known` holds the inverse of I + Σ z_s z_sᵀ. `step` holds v of each sign,
    /// from which searches start.
    fn optimistic(
        &self,
        known: &Explained,
        picks: &[usize],
        taken: &[bool],
        step: &mut [Array1<f64>],
    ) -> Result<Vec<f64>> {
        let left = taken.iter().filter(|t| !**t).count().max(1) as f64;
        let half = 0.5 * self.pull;
        let mut best = vec![f64::NEG_INFINITY; self.ids.len()];
        for (sign, v) in self.signs.iter().zip(step) {
            let plain = &self.plain * *sign;
            let mean = || {
                let mut sum = Array1::<f64>::zeros(self.z.ncols());
                self.z.outer_iter().zip(taken).filter(|(_, t)| !**t).for_each(|(z, _)| sum += &z);
                known.rest((sum / left).view()) * half
            };
            match self.rule.reward {
                Reward::Mean => *v = mean(),
                Reward::Max => {
                    let mut top = Top::new(1);
                    for i in (0..self.ids.len()).filter(|i| !taken[*i]) {
                        let z = self.z.row(i);
                        let along = known.directions().dot(&z);
                        let h = z.dot(&z) - along.dot(&along);
                        top.extend(&[i], &[plain[i] + 0.5 * half * h])?;
                    }
                    if let Some(&i) = top.into_batch().ids.first() {
                        *v = known.rest(self.z.row(i)) * half;
                    }
                }
                Reward::PNorm => {
                    if picks.is_empty() {
                        *v = mean();
                    }
                    let objective = |v: &[f64], g: &mut [f64]| self.objective(&plain, picks, taken, left, v, g);
                    let found = lbfgs(objective, &v.to_vec(), 1e-9 * (1.0 + self.pull), 300).ok_or_else(|| {
                        Error::Numerical("oae: the optimistic fit has no finite value; check the features".into())
                    })?;
                    *v = Array1::from_vec(found.0);
                }
            }
            let f = plain + self.z.dot(v);
            best.iter_mut().zip(&f).for_each(|(b, f)| *b = b.max(*f));
        }
        Ok(best)
    }

    /// ‖v‖² + Σ_s (z_sᵀv)² - λn A with A the p-norm of the positive parts, and its gradient.
    fn objective(
        &self,
        plain: &Array1<f64>,
        picks: &[usize],
        taken: &[bool],
        left: f64,
        v: &[f64],
        gradient: &mut [f64],
    ) -> f64 {
        let (p, v) = (self.rule.p, ArrayView1::from(v));
        let f = plain + &self.z.dot(&v);
        // Over the largest value, so that no power overflows.
        let largest = f.iter().zip(taken).filter(|(_, t)| !**t).fold(0.0f64, |m, (f, _)| m.max(*f));
        let mut g = &v * 2.0;
        let mut value = v.dot(&v);
        for &s in picks {
            let along = self.z.row(s).dot(&v);
            value += along * along;
            g.scaled_add(2.0 * along, &self.z.row(s));
        }
        if largest > 0.0 {
            let part = |(f, t): (&f64, &bool)| if *t { 0.0 } else { f.max(0.0) / largest };
            let parts: Vec<f64> = f.iter().zip(taken).map(part).collect();
            let sum = parts.iter().map(|u| u.powf(p)).sum::<f64>() / left;
            value -= self.pull * largest * sum.powf(1.0 / p);
            let outer = sum.powf(1.0 / p - 1.0) / left;
            let slope: Array1<f64> =
                parts.iter().map(|u| if *u > 0.0 { outer * u.powf(p - 1.0) } else { 0.0 }).collect();
            g.scaled_add(-self.pull, &self.z.t().dot(&slope));
        }
        gradient.iter_mut().zip(&g).for_each(|(o, g)| *o = *g);
        value
    }

    fn in_sequence(&self, cx: &RunContext) -> Result<Batch> {
        let mut known = Explained::new(self.z.ncols(), 1.0);
        let mut step = vec![Array1::zeros(self.z.ncols()); self.signs.len()];
        let (mut taken, mut picks) = (vec![false; self.ids.len()], vec![]);
        let mut batch = Batch::default();
        while batch.ids.len() < cx.batch() {
            cx.tick(batch.ids.len(), cx.batch());
            let value = self.optimistic(&known, &picks, &taken, &mut step)?;
            let Some(i) = best_left(&taken, |i| value[i], &self.ids, &mut batch)? else { break };
            taken[i] = true;
            picks.push(i);
            let z = self.z.row(i);
            let rest = known.rest(z);
            let variance = z.dot(&rest).max(0.0) + 1.0;
            known.observe(rest, variance)?;
        }
        Ok(batch)
    }
}

framework::register!(Acquisition, Oae, "oae", "best under an optimistic function (optimistic arm elimination)");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::{MockFunctions, TinyWorld};

    fn rule(form: serde_json::Value) -> Oae {
        serde_json::from_value(form).unwrap()
    }

    /// 16 genes, 2 features; 0 to 5 measured.
    fn world() -> (TinyWorld, Observed, Candidates) {
        let world = TinyWorld::new(16, 2, 1, false, 7).unwrap();
        let mut observed = world.observe(&(0..6).collect::<Vec<_>>(), 1).unwrap();
        observed.y.mapv_inplace(|y| (1.7 * y).sin() - 0.2);
        (world, observed, Candidates::new(16, (0..6).collect()))
    }

    fn functions() -> Array3<f64> {
        Array3::from_shape_fn((5, 16, 1), |(j, i, _)| ((i * 37 + j * 101 + i * j * j) % 53) as f64 / 10.0 - 2.5)
    }

    fn run(r: &Oae, direction: Direction, batch: usize) -> Batch {
        let (world, observed, candidates) = world();
        let model = MockFunctions(functions());
        let mut cx = world.context(batch, &candidates, &observed, Some(&model), None, 1);
        cx.target.direction = direction;
        r.select(&cx).unwrap()
    }

    #[test]
    fn the_ensemble_is_the_pointwise_best_of_the_functions() {
        let f = functions();
        for direction in [Direction::Max, Direction::Min, Direction::Abs] {
            let best = |i: &usize| (0..5).map(|j| direction.merit(f[(j, *i, 0)])).fold(f64::MIN, f64::max);
            let ids: Vec<usize> = (6..16).collect();
            let want = Batch::top(&ids, &ids.iter().map(best).collect::<Vec<_>>(), 10).unwrap();
            assert_eq!(run(&Oae::default(), direction, 10), want);
        }
    }

    #[test]
    fn a_sequential_ensemble_pulls_functions_to_their_mean_where_it_has_picked() {
        let mut f = functions().index_axis_move(Axis(2), 0);
        let mean = f.mean_axis(Axis(0)).unwrap();
        let off = &f - &mean;
        let mut k = off.t().dot(&off) / 5.0;
        let r = rule(json!({ "diversity": "sequential", "noise": 0.5 }));
        let got = run(&r, Direction::Max, 6);
        let mut taken = vec![];
        for (id, score) in got.ids.iter().zip(&got.scores) {
            let best = |i: usize| f.column(i).iter().copied().fold(f64::MIN, f64::max);
            let most = (6..16).filter(|i| !taken.contains(i)).map(best).fold(f64::MIN, f64::max);
            assert!((best(*id) - score).abs() < 1e-9 && (most - score).abs() < 1e-9);
            taken.push(*id);
            let gain = k.column(*id).to_owned() / (k[(*id, *id)] + 0.25);
            for mut g in f.outer_iter_mut() {
                let residual = g[*id] - mean[*id];
                g.scaled_add(-residual, &gain);
            }
            let row = k.row(*id).to_owned();
            k.zip_mut_with(&Array2::from_shape_fn((16, 16), |(a, b)| gain[a] * row[b]), |k, v| *k -= v);
        }
    }

    /// (1/n) Σ (f - y)² + (ρ/n)‖w‖² - λ A by its definition, at the candidates left; w then b.
    struct Plain {
        x: Array2<f64>,
        y: Vec<f64>,
        /// Rows that count as measured.
        extra: Vec<(usize, f64)>,
        penalty: f64,
        lambda: f64,
    }

    impl Plain {
        fn f(&self, i: usize, t: &[f64]) -> f64 {
            self.x[(i, 0)] * t[0] + self.x[(i, 1)] * t[1] + t[2]
        }
        fn loss(&self, t: &[f64], reward: impl Fn(&dyn Fn(usize) -> f64) -> f64) -> f64 {
            let n = self.y.len() as f64;
            let mut e: f64 = self.y.iter().enumerate().map(|(i, y)| (self.f(i, t) - y).powi(2)).sum();
            e += self.extra.iter().map(|(i, y)| (self.f(*i, t) - y).powi(2)).sum::<f64>();
            (e + self.penalty * (t[0] * t[0] + t[1] * t[1])) / n - self.lambda * reward(&|i| self.f(i, t))
        }
        /// The minimum from several starts, with gradients by differences.
        fn minimise(&self, reward: impl Fn(&dyn Fn(usize) -> f64) -> f64) -> (Vec<f64>, f64) {
            let f = |t: &[f64], g: &mut [f64]| {
                for k in 0..3 {
                    let (mut up, mut down) = (t.to_vec(), t.to_vec());
                    up[k] += 1e-5;
                    down[k] -= 1e-5;
                    g[k] = (self.loss(&up, &reward) - self.loss(&down, &reward)) / 2e-5;
                }
                self.loss(t, &reward)
            };
            let starts = [[0.0, 0.0, 0.0], [1.0, 1.0, 0.5], [-1.0, 1.0, 0.5], [1.0, -1.0, 0.5], [-1.0, -1.0, 2.0]];
            let all = starts.iter().filter_map(|s| lbfgs(f, s, 1e-10, 500));
            all.reduce(|a, b| if b.1 < a.1 { b } else { a }).unwrap()
        }
    }

    fn plain(sign: f64) -> Plain {
        let (world, observed, _) = world();
        let y: Vec<f64> = observed.y.iter().map(|y| sign * y).collect();
        let lambda = 0.8 * sd(&y);
        Plain { x: world.inputs.features(&(0..16).collect::<Vec<_>>()), y, extra: vec![], penalty: 0.6, lambda }
    }

    fn p_norm(f: &dyn Fn(usize) -> f64, left: &[usize]) -> f64 {
        (left.iter().map(|i| f(*i).max(0.0).powf(3.0)).sum::<f64>() / left.len() as f64).powf(1.0 / 3.0)
    }

    #[test]
    fn fits_are_the_minima_of_their_objective() {
        let all: Vec<usize> = (6..16).collect();
        for (direction, signs) in
            [(Direction::Max, &[1.0][..]), (Direction::Min, &[-1.0][..]), (Direction::Abs, &[1.0, -1.0][..])]
        {
            for reward in ["mean", "max", "p_norm"] {
                let mut want = [f64::MIN; 16];
                for sign in signs {
                    let o = plain(*sign);
                    let t = match reward {
                        "mean" => o.minimise(|f| all.iter().map(|i| f(*i)).sum::<f64>() / 10.0).0,
                        "p_norm" => o.minimise(|f| p_norm(f, &all)).0,
                        _ => {
                            let each = all.iter().map(|i| o.minimise(|f| f(*i)));
                            each.reduce(|a, b| if b.1 < a.1 { b } else { a }).unwrap().0
                        }
                    };
                    (0..16).for_each(|i| want[i] = want[i].max(o.f(i, &t)));
                }
                let r = rule(json!({ "form": "fit", "reward": reward, "p": 3.0, "lambda": 0.8, "penalty": 0.6 }));
                let got = run(&r, direction, 10);
                for (id, score) in got.ids.iter().zip(&got.scores) {
                    assert!((score - want[*id]).abs() < 1e-4, "{direction:?} {reward} {id}: {score} {}", want[*id]);
                }
            }
        }
        // Without a reward it is the ridge regression.
        let o = plain(1.0);
        let t = Plain { lambda: 0.0, ..o }.minimise(|_| 0.0).0;
        let got = run(&rule(json!({ "form": "fit", "lambda": 0.0, "penalty": 0.6 })), Direction::Max, 10);
        let o = plain(1.0);
        assert!(got.ids.iter().zip(&got.scores).all(|(i, s)| (o.f(*i, &t) - s).abs() < 1e-5));
    }

    #[test]
    fn sequential_fits_are_refits_with_hallucinated_rows() {
        for reward in ["mean", "max", "p_norm"] {
            let form = json!({ "form": "fit", "reward": reward, "p": 3.0, "lambda": 0.8, "penalty": 0.6,
                               "diversity": "sequential" });
            let got = run(&rule(form), Direction::Max, 4);
            let mut o = plain(1.0);
            let lambda = o.lambda;
            o.lambda = 0.0;
            let ridge = o.minimise(|_| 0.0).0;
            o.lambda = lambda;
            let mut left: Vec<usize> = (6..16).collect();
            for (id, score) in got.ids.iter().zip(&got.scores) {
                let t = match reward {
                    "mean" => o.minimise(|f| left.iter().map(|i| f(*i)).sum::<f64>() / left.len() as f64).0,
                    "p_norm" => o.minimise(|f| p_norm(f, &left)).0,
                    _ => {
                        let each = left.iter().map(|i| o.minimise(|f| f(*i)));
                        each.reduce(|a, b| if b.1 < a.1 { b } else { a }).unwrap().0
                    }
                };
                let most = left.iter().map(|i| o.f(*i, &t)).fold(f64::MIN, f64::max);
                assert!((o.f(*id, &t) - score).abs() < 1e-4 && most - score < 1e-4, "{reward} {id}: {score} {most}");
                let label = o.f(*id, &ridge);
                o.extra.push((*id, label));
                left.retain(|i| i != id);
            }
        }
    }

    #[test]
    fn determinants_are_those_of_the_similarities() {
        let (world, ..) = world();
        let ids: Vec<usize> = (6..16).collect();
        let f = functions();
        let value: Vec<f64> =
            ids.iter().map(|&i| (0..5).map(|j| f[(j, i, 0)].abs()).fold(f64::MIN, f64::max)).collect();
        let (mean, unit) = (value.iter().sum::<f64>() / 10.0, sd(&value));
        let x = world.inputs.features(&ids);
        let similarity = Array2::from_shape_fn((10, 10), |(a, b)| {
            let (x, y) = (x.row(a), x.row(b));
            x.dot(&y) / (x.dot(&x) * y.dot(&y)).sqrt()
        });
        let log_det = |set: &[usize]| -> f64 {
            let own = similarity.select(Axis(0), set).select(Axis(1), set);
            if set.is_empty() { 0.0 } else { Cholesky::new(own.view()).unwrap().log_det() }
        };
        // Two features: two picks have a determinant, more are told apart by their scores only.
        let got = run(&rule(json!({ "diversity": "determinant", "weight": 0.7 })), Direction::Abs, 2);
        let mut set: Vec<usize> = vec![];
        for (id, score) in got.ids.iter().zip(&got.scores) {
            let gain =
                |i: usize| (value[i] - mean) / unit + 0.7 * (log_det(&[&set[..], &[i]].concat()) - log_det(&set));
            let best = (0..10).filter(|i| !set.contains(i)).map(gain).fold(f64::MIN, f64::max);
            assert!((gain(id - 6) - score).abs() < 1e-7 && best - score < 1e-7, "{id}: {score} {best}");
            set.push(id - 6);
        }
        assert_eq!(run(&rule(json!({ "diversity": "determinant" })), Direction::Abs, 10).ids.len(), 10);
    }

    #[test]
    fn settings_out_of_range_and_fits_without_measurements_are_refused() {
        let (world, observed, candidates) = world();
        let model = MockFunctions(functions());
        for (form, text) in [
            (json!({ "lambda": -1.0 }), "lambda must be 0 or a positive number"),
            (json!({ "p": 0.5 }), "p must be at least 1"),
            (json!({ "draws": 0 }), "draws must be at least 1"),
        ] {
            let e = rule(form).select(&world.context(1, &candidates, &observed, Some(&model), None, 1)).unwrap_err();
            assert!(e.to_string().contains(text), "{e}");
        }
        let r = rule(json!({ "form": "fit" }));
        assert!(!r.needs().model);
        let e = r.select(&world.context(1, &candidates, &Observed::empty(1), None, None, 1)).unwrap_err().to_string();
        assert!(e.contains("there are none yet"), "{e}");
    }
}
