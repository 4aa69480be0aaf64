//! BAIT: the batch that lowers the total posterior variance of pool and measured perturbations most, for a
//! Bayesian linear model (Ash et al. 2021; Holzmüller et al. 2023, section 4 and appendix D).
//!
//! Forward: each pick is argmax_x N_x / (D_x + σ² + 1e-8), ties to the lowest id, where k_S is the posterior
//! kernel given the picks S so far, D_x = k_S(x, x) and N_x = Σ_z k_S(x, z)² over all candidates and measured
//! perturbations: up to 1e-8 the fall of Σ_z k_S(z, z). S starts empty (mode P) or as the measured
//! perturbations (mode TP). Backward (`form = "fb"`): `oversample` times the batch is taken forward, then
//! the pick is dropped, one at a time, whose loss raises that sum least: for A = (k(S, S) + σ² I)⁻¹ and
//! G = k(S, ·) k(·, S) it is (A G A)_xx / A_xx.
//!
//! With p picked and d = k_S(p, p) + σ², u_x = k_S(x, p) and t_x = Σ_z k_S(x, z) k_S(z, p), all follow from
//! D_x -= u_x² / d and N_x += (u_x / d)² N_p - 2 (u_x / d) t_x. In feature space k_S(x, y) = φ_xᵀ M φ_y, so
//! u = Φ M φ_p and t = Φ M (ΦᵀΦ) M φ_p are one pass over Φ.
//!
//! Cost: features, O(nd²) once and O(nd + d²) a pick, d at most 4,096; other kernels hold the n x n matrix,
//! n at most 5,000, and take O(n²) a pick.

use framework::numerics::Features;
use framework::numerics::{Cholesky, Explained, matmul, matmul_t, symmetric_product};
use framework::prelude::*;

/// Picks the candidate whose measurement lowers the total posterior variance most, one after another. The
/// score is N_x / (D_x + σ² + 1e-8) at the time of picking.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bait {
    /// What counts as known at the start: `"p"` (default), nothing, or `"tp"`, the measured perturbations.
    #[serde(default = "pool_only")]
    pub mode: Mode,
    /// Noise standard deviation of a measurement, on the kernel's scale; default 0, where picks end (and the
    /// batch is filled at random) when no variance is left.
    #[serde(default)]
    pub sigma: f64,
    /// `"f"` (default), forward only, or `"fb"`, forward and back.
    #[serde(default)]
    pub form: Form,
    /// Forward picks for each perturbation of the batch with `form = "fb"`, at least 1; default 2.
    #[serde(default = "two")]
    pub oversample: f64,
}

/// How the batch is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Forward only.
    #[default]
    F,
    /// Forward, then backward.
    Fb,
}

fn pool_only() -> Mode {
    Mode::P
}

fn two() -> f64 {
    2.0
}

impl Default for Bait {
    fn default() -> Self {
        Self { mode: pool_only(), sigma: 0.0, form: Form::F, oversample: two() }
    }
}

/// Most positions of a kernel held as a matrix.
const MOST: usize = 5000;
/// Most features.
const WIDEST: usize = 4096;

#[typetag::serde(name = "bait")]
impl Acquisition for Bait {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        if !(self.sigma >= 0.0 && self.sigma.is_finite()) {
            return Err(Error::Config(format!("`sigma` of bait must be 0 or a positive number, not {}", self.sigma)));
        }
        if !(self.oversample >= 1.0 && self.oversample.is_finite()) {
            return Err(Error::Config(format!("`oversample` of bait must be at least 1, not {}", self.oversample)));
        }
        if self.mode == Mode::Last {
            return Err(Error::Config(
                "bait knows the modes \"p\" and \"tp\"; what it minimises counts all measured".into(),
            ));
        }
        // Forward only, and with noise: without it single precision loses the small variances that decide.
        if self.form == Form::F && self.sigma > 0.0 {
            let noise = (self.sigma * self.sigma) as f32;
            let given = self.mode == Mode::Tp;
            let on_gpu = cx.on_device(Mode::Tp, |gpu, rows, train| gpu.bait(rows, train, noise, cx.batch(), given))?;
            if let Some(batch) = on_gpu {
                return Ok(cx.fill(batch));
            }
        }
        // The measured perturbations count in the sum in either mode.
        let train = cx.centres(Mode::Tp);
        let held = cx.prepared("bait", &train)?;
        let gram = held.gram();
        let n = cx.candidates.len();
        let given = if self.mode == Mode::Tp { n..held.len() } else { n..n };
        let noise = self.sigma * self.sigma;
        let widest = WIDEST.min(held.len().max(1024));
        let mut state: Box<dyn Covariance> = match gram.features() {
            Some(phi) if phi.d() <= widest => Box::new(InFeatures::new(phi, given, noise)?),
            _ if held.len() <= MOST => Box::new(InKernel::new(gram, given, noise)?),
            _ => {
                return Err(Error::Config(format!(
                    "bait needs at most {WIDEST} features, or at most {MOST} candidates and measured perturbations \
                     (here {}); project the kernel with an `rp` step, or make the pool smaller",
                    held.len()
                )));
            }
        };
        let batch = cx.batch();
        let want = match self.form {
            Form::F => batch,
            Form::Fb => ((self.oversample * batch as f64).round() as usize).clamp(batch, n),
        };
        let (mut picks, mut scores) = forward(&mut *state, n, noise, want, |i| {
            Error::Numerical(format!(
                "the posterior covariance of candidate {} is not a finite number; check the features and the kernel",
                held.name(Position(i), cx.pool)
            ))
        })?;
        if picks.len() > batch {
            let kept = backward(&*state, &picks, noise, batch)?;
            scores = kept.iter().map(|&s| scores[s]).collect();
            picks = kept.iter().map(|&s| picks[s]).collect();
        }
        // Nothing is left to learn of the candidates left over.
        Ok(cx.fill(held.batch(picks.into_iter().map(Position), scores)))
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Similarity])
    }
}

/// The posterior kernel given what was picked.
trait Covariance {
    /// N_x and D_x of all positions before any pick.
    fn start(&self) -> (Vec<f64>, Vec<f64>);
    /// Writes (u_x, t_x) for a pick, gives (u_p, t_p) at full precision, and takes the pick into account.
    fn observe(&mut self, p: usize, out: &mut [[f64; 2]]) -> Result<[f64; 2]>;
    /// k(a, b) and Σ_z k(a, z) k(z, b) among some positions, before any pick.
    fn among(&self, at: &[usize]) -> (Array2<f64>, Array2<f64>);
    /// Variances up to this, noise included, are rounding: 0 with noise.
    fn zero(&self) -> f64;
}

fn negligible(noise: f64, epsilon: f64, diagonal: &[f64]) -> f64 {
    if noise > 0.0 { 0.0 } else { 64.0 * epsilon * diagonal.iter().fold(0.0, |a: f64, b| a.max(*b)) }
}

fn forward(
    state: &mut dyn Covariance,
    n: usize,
    noise: f64,
    want: usize,
    not_finite: impl Fn(usize) -> Error,
) -> Result<(Vec<usize>, Vec<f64>)> {
    let (mut total, mut variance) = state.start();
    let zero = state.zero();
    let mut open = vec![true; n];
    let mut both = vec![[0.0; 2]; total.len()];
    let (mut picks, mut scores) = (Vec::with_capacity(want), Vec::with_capacity(want));
    while picks.len() < want {
        let mut best = (0.0, usize::MAX);
        for (i, (t, v)) in total.iter().zip(&variance).enumerate() {
            let score = t / (v.max(0.0) + noise + 1e-8);
            if !score.is_finite() {
                return Err(not_finite(i));
            }
            if i < n && open[i] && v + noise > zero && score > best.0 {
                best = (score, i);
            }
        }
        let (score, p) = best;
        if p == usize::MAX {
            break;
        }
        open[p] = false;
        picks.push(p);
        scores.push(score);
        let [own, all] = state.observe(p, &mut both)?;
        let d = own.max(0.0) + noise;
        if d <= zero {
            continue;
        }
        for ((t, v), [u, w]) in total.iter_mut().zip(&mut variance).zip(&both) {
            let c = u / d;
            *t += c * (c * all - 2.0 * w);
            *v -= c * u;
        }
    }
    Ok((picks, scores))
}

/// Which of the picks stay, in their order.
fn backward(state: &dyn Covariance, picks: &[usize], noise: f64, keep: usize) -> Result<Vec<usize>> {
    let (mut k, g) = state.among(picks);
    k.diag_mut().iter_mut().for_each(|v| *v += noise);
    let mut a = Cholesky::new(k.view())?.solve(Array2::eye(picks.len()).view());
    let mut aga = matmul(matmul(a.view(), g.view()).view(), a.view());
    let mut left: Vec<usize> = (0..picks.len()).collect();
    while left.len() > keep {
        let mut least = (f64::INFINITY, usize::MAX);
        for &s in &left {
            let rise = aga[(s, s)] / a[(s, s)];
            if !rise.is_finite() {
                return Err(Error::Numerical(
                    "bait's backward pass met a matrix that cannot be inverted; give it a `sigma` above 0".into(),
                ));
            }
            if rise < least.0 || (rise == least.0 && picks[s] < picks[least.1]) {
                least = (rise, s);
            }
        }
        let s = least.1;
        left.retain(|o| *o != s);
        // The inverse without row and column s, and the product A G A of it.
        let (column, product) = (a.column(s).to_owned() / a[(s, s)], aga.column(s).to_owned());
        let (own, all) = (a[(s, s)], aga[(s, s)]);
        for &i in &left {
            for &j in &left {
                let (ci, cj) = (column[i], column[j]);
                a[(i, j)] -= ci * cj * own;
                aga[(i, j)] += ci * cj * all - ci * product[j] - cj * product[i];
            }
        }
    }
    Ok(left)
}

/// In feature space: k_S(x, y) = φ_xᵀ M φ_y.
struct InFeatures<'a> {
    phi: &'a Features,
    /// M as it is now.
    known: Explained,
    zero: f64,
    /// ΦᵀΦ over all positions.
    covariance: Array2<f64>,
    /// M and M ΦᵀΦ M before any pick; none: I and ΦᵀΦ.
    before: Option<(Array2<f64>, Array2<f64>)>,
}

impl<'a> InFeatures<'a> {
    fn new(phi: &'a Features, given: std::ops::Range<usize>, noise: f64) -> Result<Self> {
        let covariance = phi.covariance();
        let zero = negligible(noise, phi.epsilon(), &phi.sq_norms());
        let mut known = Explained::new(phi.d(), noise);
        let mut before = None;
        if !given.is_empty() {
            let rows = phi.select(&given.collect::<Vec<_>>());
            known.observe_all(rows.view(), zero)?;
            let m = Array2::eye(phi.d()) - symmetric_product(known.directions());
            let c = matmul(matmul(m.view(), covariance.view()).view(), m.view());
            before = Some((m, c));
        }
        Ok(Self { phi, known, zero, covariance, before })
    }
}

impl Covariance for InFeatures<'_> {
    fn start(&self) -> (Vec<f64>, Vec<f64>) {
        match &self.before {
            None => (self.phi.quadratic(self.covariance.view()), self.phi.sq_norms()),
            Some((m, c)) => (self.phi.quadratic(c.view()), self.phi.quadratic(m.view())),
        }
    }

    fn observe(&mut self, p: usize, out: &mut [[f64; 2]]) -> Result<[f64; 2]> {
        let x = self.phi.row(p);
        let v = self.known.rest(x.view());
        let mut cv = Array1::zeros(v.len());
        framework::numerics::linalg::times_vector(
            self.covariance.view(),
            v.view(),
            cv.as_slice_mut().unwrap_or(&mut []),
        );
        let w = self.known.rest(cv.view());
        self.phi.times_two(&v.to_vec(), &w.to_vec(), out);
        let (own, all) = (x.dot(&v), v.dot(&cv));
        let variance = own.max(0.0) + self.known.noise();
        if variance > self.zero {
            self.known.observe(v, variance)?;
        }
        Ok([own, all])
    }

    fn among(&self, at: &[usize]) -> (Array2<f64>, Array2<f64>) {
        let x = self.phi.select(at);
        let with = |m: &Array2<f64>| matmul_t(matmul(x.view(), m.view()).view(), x.view());
        match &self.before {
            None => (matmul_t(x.view(), x.view()), with(&self.covariance)),
            Some((m, c)) => (with(m), with(c)),
        }
    }

    fn zero(&self) -> f64 {
        self.zero
    }
}

/// With the matrix over all positions.
struct InKernel {
    /// Before any pick.
    k: Array2<f64>,
    noise: f64,
    zero: f64,
    /// k_S = k - Σ c cᵀ.
    columns: Vec<Array1<f64>>,
}

impl InKernel {
    fn new(gram: &Gram, given: std::ops::Range<usize>, noise: f64) -> Result<Self> {
        let all: Vec<usize> = (0..gram.n()).collect();
        let mut k = gram.to_dense(&all);
        let zero = negligible(noise, f64::EPSILON, &k.diag().to_vec());
        for p in given {
            let (u, own) = (k.column(p).to_owned(), k[(p, p)].max(0.0) + noise);
            if own > zero {
                for (mut row, v) in k.outer_iter_mut().zip(&u) {
                    row.scaled_add(-v / own, &u);
                }
            }
        }
        Ok(Self { k, noise, zero, columns: vec![] })
    }

    /// k_S less k, times a vector.
    fn less(&self, of: impl Fn(&Array1<f64>) -> f64, out: &mut Array1<f64>) {
        self.columns.iter().for_each(|c| out.scaled_add(-of(c), c));
    }
}

impl Covariance for InKernel {
    fn start(&self) -> (Vec<f64>, Vec<f64>) {
        (self.k.outer_iter().map(|r| r.dot(&r)).collect(), self.k.diag().to_vec())
    }

    fn observe(&mut self, p: usize, out: &mut [[f64; 2]]) -> Result<[f64; 2]> {
        let mut u = self.k.column(p).to_owned();
        self.less(|c| c[p], &mut u);
        let mut t = Array1::zeros(u.len());
        framework::numerics::linalg::times_vector(self.k.view(), u.view(), t.as_slice_mut().unwrap_or(&mut []));
        self.less(|c| c.dot(&u), &mut t);
        out.iter_mut().zip(u.iter().zip(&t)).for_each(|(o, (u, t))| *o = [*u, *t]);
        let (own, all) = (u[p], u.dot(&u));
        let variance = own.max(0.0) + self.noise;
        if variance > self.zero {
            self.columns.push(u / variance.sqrt());
        }
        Ok([own, all])
    }

    fn among(&self, at: &[usize]) -> (Array2<f64>, Array2<f64>) {
        let rows = self.k.select(Axis(0), at);
        (rows.select(Axis(1), at), matmul_t(rows.view(), rows.view()))
    }

    fn zero(&self) -> f64 {
        self.zero
    }
}

framework::register!(Acquisition, Bait, "bait", "lowers the total posterior variance of the pool most");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::numerics::Rows;
    use framework::testing::normal;
    use std::sync::Arc;

    /// k given the positions `s`, from the textbook formula.
    fn posterior(k: &Array2<f64>, s: &[usize], noise: f64) -> Array2<f64> {
        let mut kss = k.select(Axis(0), s).select(Axis(1), s);
        kss.diag_mut().iter_mut().for_each(|v| *v += noise);
        let cross = k.select(Axis(0), s);
        k - &cross.t().dot(&Cholesky::new(kss.view()).unwrap().solve(cross.view()))
    }

    fn sum(k: &Array2<f64>, i: usize) -> f64 {
        k.row(i).dot(&k.row(i))
    }

    /// The definition, with a new posterior matrix for every question.
    fn plain(k: &Array2<f64>, n: usize, given: &[usize], noise: f64, forward: usize, keep: usize) -> Vec<usize> {
        let mut picks: Vec<usize> = vec![];
        let with = |s: &[usize]| posterior(k, &[given, s].concat(), noise);
        while picks.len() < forward {
            let now = with(&picks);
            let score = |i: usize| sum(&now, i) / (now[(i, i)] + noise + 1e-8);
            let open = (0..n).filter(|i| !picks.contains(i));
            picks.push(open.max_by(|a, b| score(*a).total_cmp(&score(*b)).then(b.cmp(a))).unwrap());
        }
        while picks.len() > keep {
            let trace = |s: usize| {
                let left: Vec<usize> = picks.iter().copied().filter(|p| *p != s).collect();
                with(&left).diag().sum()
            };
            let worst = picks.iter().copied().min_by(|a, b| trace(*a).total_cmp(&trace(*b))).unwrap();
            picks.retain(|p| *p != worst);
        }
        picks
    }

    fn pick(gram: &Gram, n: usize, tp: bool, noise: f64, take: usize, keep: usize) -> (Vec<usize>, Vec<f64>) {
        let gram = gram.restrict(&(0..gram.n()).collect::<Vec<_>>());
        let given = if tp { n..gram.n() } else { n..n };
        let mut state: Box<dyn Covariance> = match gram.features() {
            Some(phi) => Box::new(InFeatures::new(phi, given, noise).unwrap()),
            None => Box::new(InKernel::new(&gram, given, noise).unwrap()),
        };
        let (picks, scores) = forward(&mut *state, n, noise, take, |i| Error::Plugin(format!("{i}"))).unwrap();
        let kept = if picks.len() > keep {
            backward(&*state, &picks, noise, keep).unwrap()
        } else {
            (0..picks.len()).collect()
        };
        (kept.iter().map(|&s| picks[s]).collect(), kept.iter().map(|&s| scores[s]).collect())
    }

    #[test]
    fn both_forms_pick_as_the_definition() {
        let x = normal(50, 9, 1);
        let k = x.dot(&x.t());
        let given: Vec<usize> = (42..50).collect();
        for noise in [0.0, 0.04, 1.0] {
            for tp in [false, true] {
                // Without noise a batch of d rows determines everything.
                let (take, keep) = match (noise > 0.0, tp) {
                    (true, _) => (16, 8),
                    (false, false) => (8, 4),
                    (false, true) => (1, 1),
                };
                for take in [keep, take] {
                    let want = plain(&k, 42, if tp { &given } else { &[] }, noise, take, keep);
                    for gram in [Gram::of_features(x.clone()), Gram::dense(k.clone()).unwrap()] {
                        assert_eq!(pick(&gram, 42, tp, noise, take, keep).0, want, "noise {noise} tp {tp} take {take}");
                    }
                }
            }
        }
    }

    #[test]
    fn p_after_the_posterior_is_tp_without() {
        let x = normal(60, 12, 3);
        let k = x.dot(&x.t());
        let given: Vec<usize> = (50..60).collect();
        let after = Gram::stored(posterior(&k, &given, 0.09));
        let features = Gram::of_features(x);
        assert_eq!(pick(&after, 50, false, 0.09, 10, 10).0, pick(&features, 50, true, 0.09, 10, 10).0);
        assert_eq!(pick(&after, 50, false, 0.09, 20, 10).0, pick(&features, 50, true, 0.09, 20, 10).0);
    }

    #[test]
    fn the_order_of_the_candidates_does_not_matter() {
        let x = normal(70, 15, 5);
        let turned: Vec<usize> = (0..70).map(|i| (i * 11 + 3) % 70).collect();
        for take in [10, 20] {
            let want = pick(&Gram::of_features(x.clone()), 70, false, 0.1, take, 10).0;
            let got = pick(&Gram::of_features(x.select(Axis(0), &turned)), 70, false, 0.1, take, 10).0;
            assert_eq!(got.iter().map(|&i| turned[i]).collect::<Vec<_>>(), want);
        }
    }

    #[test]
    fn without_noise_picks_end_with_the_rank() {
        let x = normal(30, 5, 2);
        for gram in [Gram::of_features(x.clone()), Gram::stored(x.dot(&x.t()))] {
            assert_eq!(pick(&gram, 30, false, 0.0, 12, 12).0.len(), 5);
        }
    }

    #[test]
    fn single_precision_picks_the_same() {
        let mut x = normal(3000, 40, 9);
        for (j, mut column) in x.columns_mut().into_iter().enumerate() {
            column /= (1.0 + j as f64).sqrt();
        }
        let rows = Rows::Held(Arc::new(x));
        for (take, keep) in [(30, 30), (40, 20)] {
            let (double, a) = pick(&FeatureGram::linear(rows.clone()).into(), 2900, false, 0.01, take, keep);
            let (single, b) = pick(&FeatureGram::linear(rows.clone()).single().into(), 2900, false, 0.01, take, keep);
            assert_eq!(single, double);
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4 * a.abs()), "{a:?} {b:?}");
        }
    }

    #[test]
    fn any_number_of_threads_gives_the_same() {
        let x = normal(2000, 150, 4);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| pick(&Gram::of_features(x.clone()), 1900, true, 0.1, 20, 10))
        };
        assert_eq!(on(1), on(3));
    }
}
