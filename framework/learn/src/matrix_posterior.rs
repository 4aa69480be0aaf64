//! A low-rank matrix that is known in some entries: its mean-field normal posterior, and draws from it.
//!
//! Entries y_ij ~ N(M_ij, σ²) with M = U Vᵀ, or M = U diag(s) Uᵀ, all factor entries N(0, 1) beforehand and independent
//! normal in the posterior q, mean μ and variance v. The bound on the evidence has a closed form:
//!
//! - E_q(y - Σ_k a_k b_k)² = (y - Σ μ^a μ^b)² + Σ_k [v^a v^b + v^a (μ^b)² + (μ^a)² v^b]; for U diag(s) Uᵀ the product
//!   s_k u_jk stands for b_k, with mean μ^s μ^u and variance E s² E u² - (μ^s μ^u)²;
//! - each factor entry costs ½ (μ² + v - 1 - ln v).
//!
//! Two ways up. *Adam* on μ and ln √v with the exact gradient, a fixed number of steps. *Coordinate ascent*: given the
//! other side, the best q of a row has the mean of a ridge regression, (I + σ⁻² Σ_j (diag v_j + μ_j μ_jᵀ))⁻¹ σ⁻² Σ_j y_j μ_j,
//! and variances 1 / diag of the same matrix. Solving for a row at once keeps q in the family that Adam searches, needs
//! far fewer sweeps than one entry at a time, and never lowers the bound. Rows without any known entry are N(0, 1) at
//! the optimum and are left out of the work, so cost does not grow with the genes never measured.
//!
//! After Jain et al. 2024 (section 4, appendix C) and Xu, Jain et al. 2024 (appendix D.3). Cost for N known entries, n rows
//! with any, rank m: a step of Adam O(N m + n m), a sweep O(N m² + n m³). Draws: O(n m) numbers a draw, O(m) an entry.

use numerics::special::exp_slice;
use numerics::streams::{StreamRng, Streams};
use numerics::{Error, Result};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// How the matrix is made of its factors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// Symmetric: U Vᵀ with every entry put in as (i, j) and as (j, i), and read as the mean of the two.
    #[default]
    Mirror,
    /// Symmetric: U diag(s) Uᵀ, every entry put in once.
    Diag,
    /// Symmetric without negative eigenvalues: U Uᵀ, every entry put in once. For matrices known to be of that kind.
    Gram,
    /// U Vᵀ between two different sets.
    Rectangular,
}

impl Form {
    /// Made of one side only, scaled by s; [`Form::Gram`] has s = 1 once and for all.
    fn one_sided(self) -> bool {
        matches!(self, Form::Diag | Form::Gram)
    }
}

/// The way up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inference {
    /// Coordinate ascent, a row at a time, until a sweep gains less than the tolerance.
    #[default]
    Cavi,
    /// Adam, a fixed number of steps.
    Adam,
}

/// Where the means start; every sd starts at 0.1. All means 0 would be a saddle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// Normal with sd 0.1, or 0.5 where three factors are multiplied, which fall back to 0 from less.
    #[default]
    Small,
    /// Uniform between -2 and 2, as probabilistic programming libraries do.
    Uniform,
}

/// What to fit and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatrixSettings {
    /// Rank m, from 1 to the number of rows and columns, at most 64.
    pub rank: usize,
    /// How the matrix is made of its factors.
    pub form: Form,
    /// The way up.
    pub inference: Inference,
    /// Steps of Adam, or the most sweeps of coordinate ascent.
    pub steps: usize,
    /// Step size of Adam.
    pub rate: f64,
    /// Coordinate ascent ends when a sweep gains less than this, in nats.
    pub tolerance: f64,
    /// Where the means start.
    pub init: Init,
    /// Standard deviation σ of the noise of an entry.
    pub noise: f64,
    /// Whether σ is fitted: the point of largest bound under ln σ ~ N(ln `noise`, 1).
    pub learn_noise: bool,
    /// Whether coordinate ascent with a given noise first comes down from the size of the entries: see [`sweeps`].
    pub anneal: bool,
    /// Starts, of which the one of largest bound is kept.
    pub restarts: usize,
}

impl Default for MatrixSettings {
    fn default() -> Self {
        Self {
            rank: 5,
            form: Form::Mirror,
            inference: Inference::Cavi,
            steps: 500,
            rate: 0.01,
            tolerance: 1e-3,
            init: Init::Small,
            noise: 0.1,
            learn_noise: false,
            anneal: true,
            restarts: 1,
        }
    }
}

/// The known entries: row, column, value. Of a symmetric matrix either triangle will do; the same entry may stand
/// several times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entries {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// Row, column and value of each.
    pub list: Vec<(u32, u32, f64)>,
}

/// Numbers after the end of a factor that wide loads of its last rows may touch; the largest width.
const SLACK: usize = 64;

/// Independent normals: rows x m, one row after another.
#[derive(Clone, Debug, PartialEq)]
struct Factor {
    n: usize,
    m: usize,
    mu: Vec<f64>,
    var: Vec<f64>,
}

impl Factor {
    /// All N(0, 1).
    fn prior(n: usize, m: usize) -> Self {
        Self { n, m, mu: vec![0.0; n * m + SLACK], var: vec![1.0; n * m + SLACK] }
    }

    fn cold(n: usize, m: usize, s: &MatrixSettings, rng: &mut StreamRng) -> Self {
        let small = if s.form.one_sided() { 0.5 } else { 0.1 };
        let mut f = Self::prior(n, m);
        for v in &mut f.mu[..n * m] {
            *v = match s.init {
                Init::Small => {
                    let z: f64 = StandardNormal.sample(rng);
                    small * z
                }
                Init::Uniform => rng.random_range(-2.0..2.0),
            };
        }
        f.var[..n * m].fill(0.01);
        f
    }

    fn rows(&self, rows: &[usize]) -> Self {
        let mut f = Self::prior(rows.len(), self.m);
        for (i, &r) in rows.iter().enumerate() {
            let (to, from) = (i * self.m..(i + 1) * self.m, r * self.m..(r + 1) * self.m);
            f.mu[to.clone()].copy_from_slice(&self.mu[from.clone()]);
            f.var[to].copy_from_slice(&self.var[from]);
        }
        f
    }

    fn put(&mut self, rows: &[usize], part: &Factor) {
        for (i, &r) in rows.iter().enumerate() {
            let (from, to) = (i * self.m..(i + 1) * self.m, r * self.m..(r + 1) * self.m);
            self.mu[to.clone()].copy_from_slice(&part.mu[from.clone()]);
            self.var[to].copy_from_slice(&part.var[from]);
        }
    }

    /// Mean and variance of an entry.
    fn at(&self, i: usize, k: usize) -> (f64, f64) {
        (self.mu[i * self.m + k], self.var[i * self.m + k])
    }

    /// What q costs against the prior.
    fn divergence(&self) -> f64 {
        let pairs = self.mu[..self.n * self.m].iter().zip(&self.var);
        pairs.map(|(m, v)| 0.5 * (m * m + v - 1.0 - v.ln())).sum()
    }

    /// Row `i` becomes the elementwise product of row `a` of `x` and row `b` of `y`.
    fn product_row(&mut self, i: usize, x: &Factor, a: usize, y: &Factor, b: usize) {
        for k in 0..self.m {
            let ((xm, xv), (ym, yv)) = (x.at(a, k), y.at(b, k));
            let mean = xm * ym;
            self.mu[i * self.m + k] = mean;
            self.var[i * self.m + k] = (xm * xm + xv) * (ym * ym + yv) - mean * mean;
        }
    }
}

/// For each row the other side's rows that it has entries with.
#[derive(Clone, Debug)]
struct Links {
    start: Vec<usize>,
    other: Vec<u32>,
    y: Vec<f64>,
}

impl Links {
    /// From (own, other, value), whose order is kept within a row.
    fn new(n: usize, entries: &[(u32, u32, f64)]) -> Self {
        let mut start = vec![0; n + 1];
        entries.iter().for_each(|e| start[e.0 as usize + 1] += 1);
        for i in 0..n {
            start[i + 1] += start[i];
        }
        let mut next = start.clone();
        let (mut other, mut y) = (vec![0; entries.len()], vec![0.0; entries.len()]);
        for &(own, o, v) in entries {
            let at = next[own as usize];
            (other[at], y[at]) = (o, v);
            next[own as usize] += 1;
        }
        Self { start, other, y }
    }

    fn of(&self, i: usize) -> (&[u32], &[f64]) {
        let range = self.start[i]..self.start[i + 1];
        (&self.other[range.clone()], &self.y[range])
    }
}

/// The known entries, renumbered to the rows and columns that have any.
struct Problem {
    form: Form,
    rows: Vec<usize>,
    columns: Vec<usize>,
    /// Each entry as often as the likelihood counts it.
    list: Vec<(u32, u32, f64)>,
    by_row: Links,
    /// For [`Form::Diag`] one row with all entries: those that s has a part in.
    by_column: Links,
}

impl Problem {
    fn new(form: Form, entries: &Entries) -> Self {
        let flip = |e: &(u32, u32, f64)| (e.1, e.0, e.2);
        let mut list = entries.list.clone();
        if form == Form::Mirror {
            list.extend(entries.list.iter().map(flip));
        }
        let distinct = |of: &mut dyn Iterator<Item = u32>| {
            let mut all: Vec<usize> = of.map(|i| i as usize).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        let (rows, columns) = match form {
            Form::Rectangular => (distinct(&mut list.iter().map(|e| e.0)), distinct(&mut list.iter().map(|e| e.1))),
            _ => {
                let both = distinct(&mut list.iter().flat_map(|e| [e.0, e.1]));
                (both.clone(), both)
            }
        };
        let place = |all: &[usize], i: u32| all.binary_search(&(i as usize)).unwrap_or(0) as u32;
        for e in &mut list {
            *e = (place(&rows, e.0), place(&columns, e.1), e.2);
        }
        let turned: Vec<_> = list.iter().map(flip).collect();
        let (by_row, by_column) = if form.one_sided() {
            let parts: Vec<_> = list.iter().enumerate().map(|(t, e)| (0, t as u32, e.2)).collect();
            (Links::new(rows.len(), &[&list[..], &turned].concat()), Links::new(1, &parts))
        } else {
            (Links::new(rows.len(), &list), Links::new(columns.len(), &turned))
        };
        Self { form, rows, columns, list, by_row, by_column }
    }

    /// The factors that are fitted, from those of all rows and columns.
    fn compact(&self, u: &Factor, v: &Factor) -> (Factor, Factor) {
        (u.rows(&self.rows), if self.form.one_sided() { v.clone() } else { v.rows(&self.columns) })
    }
}

/// The two sides and what each is multiplied with.
struct State {
    u: Factor,
    /// V, or s as one row.
    v: Factor,
    /// [`Form::Diag`]: s u_j for each row, u_i u_j for each entry.
    scaled: Factor,
    pairs: Factor,
    ln_noise: f64,
}

impl State {
    fn new(p: &Problem, u: Factor, v: Factor, ln_noise: f64) -> Self {
        let m = u.m;
        let (scaled, pairs) = if p.form.one_sided() { (u.n, p.list.len()) } else { (0, 0) };
        let mut s = Self { scaled: Factor::prior(scaled, m), pairs: Factor::prior(pairs, m), u, v, ln_noise };
        s.scale_all();
        s
    }

    fn scale_all(&mut self) {
        for i in 0..self.scaled.n {
            self.scaled.product_row(i, &self.u, i, &self.v, 0);
        }
    }

    fn pair_all(&mut self, p: &Problem) {
        if p.form == Form::Diag {
            // What s is multiplied with; nobody asks for it where s is given.
            for (t, e) in p.list.iter().enumerate() {
                self.pairs.product_row(t, &self.u, e.0 as usize, &self.u, e.1 as usize);
            }
        }
    }

    /// What the rows of U are multiplied with.
    fn beside_u(&self, p: &Problem) -> &Factor {
        if p.form.one_sided() { &self.scaled } else { &self.v }
    }

    /// What the rows of V are multiplied with.
    fn beside_v(&self, p: &Problem) -> &Factor {
        if p.form.one_sided() { &self.pairs } else { &self.u }
    }
}

#[inline(always)]
fn load<const W: usize>(x: &[f64], at: usize) -> [f64; W] {
    let mut out = [0.0; W];
    out.copy_from_slice(&x[at..at + W]);
    out
}

/// Writes a row; what spills over the next row is overwritten when that one is written.
#[inline(always)]
fn store<const W: usize>(x: &mut [f64], at: usize, row: &[f64; W]) {
    x[at..at + W].copy_from_slice(row);
}

/// 1 for the numbers of a row, 0 for what a wide load takes of the next.
#[inline(always)]
fn mask<const W: usize>(m: usize) -> [f64; W] {
    std::array::from_fn(|k| if k < m { 1.0 } else { 0.0 })
}

#[inline(always)]
fn times<const W: usize>(a: [f64; W], b: &[f64; W]) -> [f64; W] {
    std::array::from_fn(|k| a[k] * b[k])
}

/// Added up four at a time, in an order that does not depend on the processor.
#[inline(always)]
fn dot<const W: usize>(a: &[f64; W], b: &[f64; W]) -> f64 {
    let mut four = [0.0; 4];
    for c in 0..W / 4 {
        for l in 0..4 {
            four[l] += a[4 * c + l] * b[4 * c + l];
        }
    }
    (four[0] + four[2]) + (four[1] + four[3])
}

/// Gradient of the bound with respect to the means and logarithmic sds of one side.
#[inline(always)]
fn gradient<const W: usize>(
    links: &Links,
    own: &Factor,
    other: &Factor,
    precision: f64,
    by_mu: &mut [f64],
    by_ln_sd: &mut [f64],
) {
    let (m, keep) = (own.m, mask::<W>(own.m));
    for i in 0..own.n {
        let mu = times(load::<W>(&own.mu, i * m), &keep);
        let var = load::<W>(&own.var, i * m);
        let (mut pull, mut spread, mut square) = ([0.0; W], [0.0; W], [0.0; W]);
        let (others, y) = links.of(i);
        for (&j, &y) in others.iter().zip(y) {
            let b = load::<W>(&other.mu, j as usize * m);
            let v = load::<W>(&other.var, j as usize * m);
            let rest = y - dot(&mu, &b);
            for k in 0..W {
                pull[k] += rest * b[k];
                spread[k] += v[k];
                square[k] += b[k] * b[k];
            }
        }
        let g: [f64; W] = std::array::from_fn(|k| precision * (pull[k] - mu[k] * spread[k]) - mu[k]);
        let h: [f64; W] = std::array::from_fn(|k| 1.0 - var[k] * (1.0 + precision * (spread[k] + square[k])));
        store(by_mu, i * m, &g);
        store(by_ln_sd, i * m, &h);
    }
}

/// Σ E_q(y - Σ_k a_k b_k)² over the entries.
#[inline(always)]
fn expected_squares<const W: usize>(list: &[(u32, u32, f64)], a: &Factor, b: &Factor) -> f64 {
    let (m, keep) = (a.m, mask::<W>(a.m));
    let mut sum = 0.0;
    for &(i, j, y) in list {
        let (i, j) = (i as usize * m, j as usize * m);
        let (am, av) = (times(load::<W>(&a.mu, i), &keep), times(load::<W>(&a.var, i), &keep));
        let (bm, bv) = (load::<W>(&b.mu, j), load::<W>(&b.var, j));
        let rest = y - dot(&am, &bm);
        let around: [f64; W] = std::array::from_fn(|k| bv[k] + bm[k] * bm[k]);
        sum += rest * rest + dot(&av, &around) + dot(&times(am, &am), &bv);
    }
    sum
}

/// Sets row `i` to the best q given the other side: a ridge regression.
#[inline(always)]
fn ridge_row<const W: usize>(
    links: (&[u32], &[f64]),
    own: &mut Factor,
    i: usize,
    other: &Factor,
    precision: f64,
    gram: &mut [[f64; W]],
) {
    let m = own.m;
    let (mut right, mut spread) = ([0.0; W], [0.0; W]);
    gram.fill([0.0; W]);
    for (&j, &y) in links.0.iter().zip(links.1) {
        let b = load::<W>(&other.mu, j as usize * m);
        let v = load::<W>(&other.var, j as usize * m);
        for (k, row) in gram.iter_mut().enumerate() {
            for l in 0..W {
                row[l] += b[k] * b[l];
            }
        }
        for k in 0..W {
            right[k] += y * b[k];
            spread[k] += v[k];
        }
    }
    for k in 0..m {
        gram[k].iter_mut().for_each(|g| *g *= precision);
        gram[k][k] += 1.0 + precision * spread[k];
        own.var[i * m + k] = 1.0 / gram[k][k];
        right[k] *= precision;
    }
    solve(gram, &mut right, m);
    own.mu[i * m..(i + 1) * m].copy_from_slice(&right[..m]);
}

/// Solves the m x m system in place by Cholesky; its matrix is at least the identity. (`Cholesky` allocates, which costs
/// more than a system of rank 5.)
#[inline(always)]
fn solve<const W: usize>(a: &mut [[f64; W]], x: &mut [f64; W], m: usize) {
    for c in 0..m {
        for l in 0..c {
            x[c] -= a[c][l] * x[l];
            let f = a[c][l];
            for row in a[c..m].iter_mut() {
                row[c] -= row[l] * f;
            }
        }
        let d = a[c][c].sqrt();
        for row in a[c..m].iter_mut() {
            row[c] /= d;
        }
        x[c] /= d;
    }
    for c in (0..m).rev() {
        for r in c + 1..m {
            x[c] -= a[r][c] * x[r];
        }
        x[c] /= a[c][c];
    }
}

/// Exponential averages of the gradient and of its square.
struct Adam {
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Adam {
    fn new(n: usize) -> Self {
        Self { first: vec![0.0; n], second: vec![0.0; n] }
    }

    /// One step uphill; `t` counts from 1.
    #[inline(always)]
    fn step(&mut self, x: &mut [f64], g: &[f64], rate: f64, t: usize) {
        const B1: f64 = 0.9;
        const B2: f64 = 0.999;
        const EPS: f64 = 1e-8;
        let t = t.min(100_000) as i32;
        let (c1, c2) = (1.0 / (1.0 - B1.powi(t)), 1.0 / (1.0 - B2.powi(t)));
        let n = self.first.len();
        let (x, g, first, second) = (&mut x[..n], &g[..n], &mut self.first[..n], &mut self.second[..n]);
        for i in 0..n {
            first[i] = B1 * first[i] + (1.0 - B1) * g[i];
            second[i] = B2 * second[i] + (1.0 - B2) * g[i] * g[i];
            x[i] += rate * (first[i] * c1) / ((second[i] * c2).sqrt() + EPS);
        }
    }
}

/// Logarithm of the noise of largest bound: -N l - ½ Q e^(-2l) - ½ (l - l₀)², whose slope falls in l.
fn best_ln_noise(n: f64, squares: f64, centre: f64) -> f64 {
    let slope = |l: f64| -n + squares * (-2.0 * l).exp() - (l - centre);
    let (mut low, mut high) = (centre - 40.0, centre + 40.0);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if slope(middle) > 0.0 { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// The bound, with the prior of the noise where it is fitted.
#[inline(always)]
fn bound<const W: usize>(s: &MatrixSettings, p: &Problem, state: &State) -> f64 {
    let n = p.list.len() as f64;
    let squares = expected_squares::<W>(&p.list, &state.u, state.beside_u(p));
    let l = state.ln_noise;
    let fit = -n * (0.5 * (2.0 * std::f64::consts::PI).ln() + l) - 0.5 * squares * (-2.0 * l).exp();
    let prior = if s.learn_noise { -0.5 * (l - s.noise.ln()).powi(2) } else { 0.0 };
    let v = if p.form == Form::Gram { 0.0 } else { state.v.divergence() };
    fit + prior - state.u.divergence() - v
}

/// Improves the state; returns the bound after each sweep, or after the last step, and how many there were.
#[inline(always)]
fn improve<const W: usize>(s: &MatrixSettings, p: &Problem, state: &mut State, steps: usize) -> (Vec<f64>, usize) {
    match s.inference {
        Inference::Cavi => sweeps::<W>(s, p, state, steps),
        Inference::Adam => {
            climb::<W>(s, p, state, steps);
            (vec![bound::<W>(s, p, state)], steps)
        }
    }
}

/// Sweeps until one gains less than the tolerance. With a given noise and a cold start, sweeps that fit the noise come
/// first, from the size of the entries down to the given value: a rough fit of the largest factors finds far better
/// optima than a start that has to explain every entry to 0.1 sd. They are not in the trace. (Not with three factors:
/// under so much noise a small start falls back to 0, where it stays.)
#[inline(always)]
fn sweeps<const W: usize>(s: &MatrixSettings, p: &Problem, state: &mut State, steps: usize) -> (Vec<f64>, usize) {
    let mut gram = vec![[0.0; W]; s.rank];
    let mut trace: Vec<f64> = Vec::new();
    let count = p.list.len() as f64;
    let (mut made, mut before) = (0, f64::NEG_INFINITY);
    if s.anneal && !s.learn_noise && !s.form.one_sided() {
        let size = p.list.iter().map(|e| e.2 * e.2).sum::<f64>() / count;
        state.ln_noise = (0.5 * size.ln()).max(s.noise.ln());
        while made < steps / 2 && state.ln_noise > s.noise.ln() {
            sweep::<W>(p, state, &mut gram);
            let squares = expected_squares::<W>(&p.list, &state.u, state.beside_u(p));
            state.ln_noise = (0.5 * (squares / count).ln()).max(s.noise.ln());
            made += 1;
            let now = bound::<W>(s, p, state);
            if now - before < s.tolerance {
                break;
            }
            before = now;
        }
        state.ln_noise = s.noise.ln();
    }
    while made < steps {
        sweep::<W>(p, state, &mut gram);
        if s.learn_noise {
            let squares = expected_squares::<W>(&p.list, &state.u, state.beside_u(p));
            state.ln_noise = best_ln_noise(count, squares, s.noise.ln());
        }
        made += 1;
        let now = bound::<W>(s, p, state);
        let gain = trace.last().map_or(f64::INFINITY, |last| now - last);
        trace.push(now);
        // A bound that is not a number ends it too.
        if gain.is_nan() || gain < s.tolerance {
            break;
        }
    }
    (trace, made)
}

/// Every row once, every column once.
#[inline(always)]
fn sweep<const W: usize>(p: &Problem, state: &mut State, gram: &mut [[f64; W]]) {
    let precision = (-2.0 * state.ln_noise).exp();
    for i in 0..state.u.n {
        let State { u, v, scaled, .. } = state;
        let other = if p.form.one_sided() { &*scaled } else { &*v };
        ridge_row(p.by_row.of(i), u, i, other, precision, gram);
        if p.form.one_sided() {
            scaled.product_row(i, u, i, v, 0);
        }
    }
    state.pair_all(p);
    let free = if p.form == Form::Gram { 0 } else { state.v.n };
    for j in 0..free {
        let State { u, v, pairs, .. } = state;
        let other = if p.form.one_sided() { &*pairs } else { &*u };
        ridge_row(p.by_column.of(j), v, j, other, precision, gram);
    }
    state.scale_all();
}

#[inline(always)]
fn climb<const W: usize>(s: &MatrixSettings, p: &Problem, state: &mut State, steps: usize) {
    let (nu, nv) = (state.u.n * s.rank, state.v.n * s.rank);
    let ln_sd = |f: &Factor| -> Vec<f64> { f.var.iter().map(|v| 0.5 * v.ln()).collect() };
    let (mut lu, mut lv) = (ln_sd(&state.u), ln_sd(&state.v));
    let mut g: [Vec<f64>; 4] = [nu, nu, nv, nv].map(|n| vec![0.0; n + SLACK]);
    let mut adam = [nu, nu, nv, nv].map(Adam::new);
    let (mut noise, mut slope) = (Adam::new(1), [0.0]);
    let count = p.list.len() as f64;
    for t in 1..=steps {
        let precision = (-2.0 * state.ln_noise).exp();
        state.scale_all();
        state.pair_all(p);
        let [gu, hu, gv, hv] = &mut g;
        gradient::<W>(&p.by_row, &state.u, state.beside_u(p), precision, gu, hu);
        let free = p.form != Form::Gram;
        if free {
            gradient::<W>(&p.by_column, &state.v, state.beside_v(p), precision, gv, hv);
        }
        if s.learn_noise {
            let squares = expected_squares::<W>(&p.list, &state.u, state.beside_u(p));
            slope[0] = -count + squares * precision - (state.ln_noise - s.noise.ln());
            noise.step(std::slice::from_mut(&mut state.ln_noise), &slope, s.rate, t);
        }
        adam[0].step(&mut state.u.mu, gu, s.rate, t);
        adam[1].step(&mut lu, hu, s.rate, t);
        if free {
            adam[2].step(&mut state.v.mu, gv, s.rate, t);
            adam[3].step(&mut lv, hv, s.rate, t);
        }
        for (f, l) in [(&mut state.u, &lu), (&mut state.v, &lv)].into_iter().take(1 + usize::from(free)) {
            f.var.iter_mut().zip(l).for_each(|(v, l)| *v = 2.0 * l);
            exp_slice(&mut f.var);
        }
    }
    state.scale_all();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn improve_wide<const W: usize>(s: &MatrixSettings, p: &Problem, state: &mut State, steps: usize) -> (Vec<f64>, usize) {
    improve::<W>(s, p, state, steps)
}

/// [`improve`], compiled for AVX2 where the processor has it: the same operations four at a time, the same bits.
fn improve_at<const W: usize>(s: &MatrixSettings, p: &Problem, state: &mut State, steps: usize) -> (Vec<f64>, usize) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the feature that the function is compiled for was just found.
        return unsafe { improve_wide::<W>(s, p, state, steps) };
    }
    improve::<W>(s, p, state, steps)
}

/// [`improve`] at the least width that holds the rank.
fn improve_any(s: &MatrixSettings, p: &Problem, state: &mut State, steps: usize) -> (Vec<f64>, usize) {
    match s.rank {
        0..=4 => improve_at::<4>(s, p, state, steps),
        5..=8 => improve_at::<8>(s, p, state, steps),
        9..=12 => improve_at::<12>(s, p, state, steps),
        13..=16 => improve_at::<16>(s, p, state, steps),
        17..=32 => improve_at::<32>(s, p, state, steps),
        _ => improve_at::<64>(s, p, state, steps),
    }
}

/// A fit to be made: [`fit_all`] makes many.
#[derive(Clone, Debug)]
pub struct MatrixJob<'a> {
    /// What to fit and how.
    pub settings: MatrixSettings,
    /// The known entries. Several lists are fitted one after another, each from where the last one ended; every list
    /// holds all that is known by then.
    pub stages: &'a [Entries],
    /// Most steps or sweeps of every stage but the last, which has those of the settings.
    pub stage_steps: usize,
    /// Where the start is drawn.
    pub streams: Streams,
}

/// Makes many fits, several at a time; each is the same on any number of threads.
pub fn fit_all(jobs: &[MatrixJob]) -> Vec<Result<MatrixPosterior>> {
    jobs.par_iter().map(MatrixPosterior::fit).collect()
}

fn check(s: &MatrixSettings, e: &Entries) -> Result<()> {
    let wrong = |what: String| Err(Error::Setting(format!("low-rank matrix: {what}")));
    let symmetric = s.form != Form::Rectangular;
    if s.rank == 0 || s.rank > SLACK {
        return wrong(format!("rank = {}; it must be from 1 to {SLACK}", s.rank));
    }
    if s.rank > e.rows.min(e.columns) {
        let size =
            if symmetric { format!("{} genes", e.rows) } else { format!("{} rows and {} columns", e.rows, e.columns) };
        return wrong(format!("rank = {} is larger than a matrix of {size} can have; lower the rank", s.rank));
    }
    for (name, v) in [("noise", s.noise), ("rate", s.rate)] {
        if !(v > 0.0 && v.is_finite()) {
            return wrong(format!("{name} = {v}; it must be a positive number"));
        }
    }
    if !(s.tolerance >= 0.0 && s.tolerance.is_finite()) {
        return wrong(format!("tolerance = {}; it must be a finite number, not negative", s.tolerance));
    }
    if s.steps == 0 || s.restarts == 0 {
        return wrong("steps and restarts must be at least 1".into());
    }
    for &(i, j, y) in &e.list {
        if i as usize >= e.rows || j as usize >= e.columns || (symmetric && i == j) || !y.is_finite() {
            return wrong(format!(
                "entry ({i}, {j}) = {y} cannot be used; entries are finite, within the matrix, and off the diagonal of a \
                 symmetric one"
            ));
        }
    }
    Ok(())
}

/// The fitted posterior.
#[derive(Clone, Debug)]
pub struct MatrixPosterior {
    form: Form,
    u: Factor,
    v: Factor,
    /// Standard deviation of the noise of an entry, as given or fitted.
    pub noise: f64,
    /// The bound on the logarithm of the evidence; where the noise is fitted, plus the logarithm of its prior without
    /// constants.
    pub elbo: f64,
    /// The bound after each sweep of the last stage; after the last step only, with Adam.
    pub trace: Vec<f64>,
    /// Sweeps or steps made, over all stages.
    pub steps: usize,
}

impl MatrixPosterior {
    /// Fits; of several starts the one of largest bound is kept, the first of equals.
    pub fn fit(job: &MatrixJob) -> Result<Self> {
        for entries in job.stages {
            check(&job.settings, entries)?;
        }
        let Some(last) = job.stages.last() else {
            return Err(Error::Setting("low-rank matrix: there are no entries to fit".into()));
        };
        let mut best: Option<Self> = None;
        for start in 0..job.settings.restarts {
            let fitted = Self::fit_from(job, last, &mut job.streams.index(start).rng("factors"));
            if !fitted.elbo.is_finite() {
                return Err(Error::Breakdown(format!(
                    "the bound of the low-rank matrix became {}; standardise the rewards, raise the noise or lower the rate",
                    fitted.elbo
                )));
            }
            if best.as_ref().is_none_or(|b| fitted.elbo > b.elbo) {
                best = Some(fitted);
            }
        }
        best.ok_or_else(|| Error::Setting("low-rank matrix: restarts must be at least 1".into()))
    }

    fn fit_from(job: &MatrixJob, last: &Entries, rng: &mut StreamRng) -> Self {
        let s = &job.settings;
        let columns = if s.form.one_sided() { 1 } else { last.columns };
        let mut u = Factor::cold(last.rows, s.rank, s, rng);
        let mut v = Factor::cold(columns, s.rank, s, rng);
        if s.form == Form::Gram {
            v.mu.fill(1.0);
            v.var.fill(0.0);
        }
        let mut ln_noise = s.noise.ln();
        let mut done = Self {
            form: s.form,
            u: Factor::prior(last.rows, s.rank),
            v: Factor::prior(columns, s.rank),
            noise: s.noise,
            elbo: 0.0,
            trace: vec![0.0],
            steps: 0,
        };
        for (t, entries) in job.stages.iter().enumerate() {
            let p = Problem::new(s.form, entries);
            if p.list.is_empty() {
                continue;
            }
            let steps = if t + 1 == job.stages.len() { s.steps } else { job.stage_steps };
            let (cu, cv) = p.compact(&u, &v);
            let mut state = State::new(&p, cu, cv, ln_noise);
            // Only a cold start comes down.
            let s = MatrixSettings { anneal: s.anneal && t == 0, ..*s };
            let made;
            (done.trace, made) = improve_any(&s, &p, &mut state, steps);
            done.steps += made;
            ln_noise = state.ln_noise;
            u.put(&p.rows, &state.u);
            done.u.put(&p.rows, &state.u);
            if s.form.one_sided() {
                (v, done.v) = (state.v.clone(), state.v);
            } else {
                v.put(&p.columns, &state.v);
                done.v.put(&p.columns, &state.v);
            }
        }
        done.noise = ln_noise.exp();
        done.elbo = done.trace.last().copied().unwrap_or(f64::NAN);
        done
    }

    /// Rank of the factors.
    pub fn rank(&self) -> usize {
        self.u.m
    }

    /// Mean and variance of the noise-free entry (i, j), i ≠ j where the matrix is symmetric.
    pub fn moments(&self, i: usize, j: usize) -> (f64, f64) {
        let (mut mean, mut var) = (0.0, 0.0);
        let mut add = |weight: f64, (am, av): (f64, f64), (bm, bv): (f64, f64)| {
            mean += weight * am * bm;
            var += weight * weight * (av * bv + av * bm * bm + am * am * bv);
        };
        for k in 0..self.rank() {
            match self.form {
                Form::Rectangular => add(1.0, self.u.at(i, k), self.v.at(j, k)),
                Form::Mirror => {
                    add(0.5, self.u.at(i, k), self.v.at(j, k));
                    add(0.5, self.u.at(j, k), self.v.at(i, k));
                }
                Form::Diag | Form::Gram => {
                    let ((am, av), (bm, bv)) = (self.u.at(i, k), self.u.at(j, k));
                    let product = am * bm;
                    add(1.0, self.v.at(0, k), (product, (am * am + av) * (bm * bm + bv) - product * product));
                }
            }
        }
        (mean, var)
    }

    /// `n` draws of the factors, in single precision: O(n m) numbers a row, made in parallel, the same on any number of
    /// threads.
    pub fn draws(&self, n: usize, streams: &Streams) -> MatrixDraws {
        let m = self.rank();
        let table = |sides: &[&Factor], name: &str| Table::draw(sides, n, &streams.child(name));
        let ones = |w: f32| vec![w; n * m];
        match self.form {
            Form::Mirror => {
                // ½ (u_i v_j + v_i u_j): rows (u, v) against rows (v, u).
                let left = table(&[&self.u, &self.v], "rows");
                MatrixDraws { n, left, right: None, turn: m, weight: vec![0.5; n * 2 * m] }
            }
            Form::Rectangular => {
                let (left, right) = (table(&[&self.u], "rows"), table(&[&self.v], "columns"));
                MatrixDraws { n, left, right: Some(right), turn: 0, weight: ones(1.0) }
            }
            Form::Diag | Form::Gram => {
                let mut rng = streams.rng("scales");
                let mut weight = ones(0.0);
                for (at, w) in weight.iter_mut().enumerate() {
                    let (mean, var) = self.v.at(0, at % m);
                    let z: f64 = StandardNormal.sample(&mut rng);
                    *w = (mean + var.sqrt() * z) as f32;
                }
                MatrixDraws { n, left: table(&[&self.u], "rows"), right: None, turn: 0, weight }
            }
        }
    }
}

/// Rows of a block: their numbers stand side by side, one block after another, so that the draws of a few rows lie
/// together and a block's entries are computed in one go.
const BLOCK: usize = 16;

/// Draws of rows of `width` numbers: block x draw x number, each for the rows of the block.
struct Table {
    width: usize,
    x: Vec<[f32; BLOCK]>,
}

impl Table {
    /// The sides' rows behind one another.
    fn draw(sides: &[&Factor], n: usize, streams: &Streams) -> Self {
        let rows = sides.first().map_or(0, |s| s.n);
        let width = sides.iter().map(|s| s.m).sum::<usize>();
        let mut x = vec![[0.0f32; BLOCK]; rows.div_ceil(BLOCK) * n * width];
        x.par_chunks_mut((n * width).max(1)).enumerate().for_each(|(b, block)| {
            let mut rng = streams.index(b).rng("draws");
            // Mean and sd of every number of the block; rows beyond the last stay 0.
            let moments = |side: &Factor, k: usize, r: usize| match b * BLOCK + r {
                row if row < side.n => side.at(row, k),
                _ => (0.0, 0.0),
            };
            let of: Vec<[(f64, f64); BLOCK]> = sides
                .iter()
                .flat_map(|side| (0..side.m).map(move |k| (side, k)))
                .map(|(side, k)| {
                    std::array::from_fn(|r| {
                        let (mean, var) = moments(side, k, r);
                        (mean, var.sqrt())
                    })
                })
                .collect();
            for draw in block.chunks_exact_mut(width) {
                for (row, of) in draw.iter_mut().zip(&of) {
                    for (v, (mean, sd)) in row.iter_mut().zip(of) {
                        let z: f64 = StandardNormal.sample(&mut rng);
                        *v = (mean + sd * z) as f32;
                    }
                }
            }
        });
        Self { width, x }
    }

    /// The numbers of a block in one draw.
    #[inline(always)]
    fn of(&self, block: usize, n: usize, draw: usize) -> &[[f32; BLOCK]] {
        let at = (block * n + draw) * self.width;
        &self.x[at..at + self.width]
    }
}

/// Draws of the whole matrix, held as draws of its factors and multiplied out where they are asked for.
pub struct MatrixDraws {
    n: usize,
    left: Table,
    /// Absent: the same rows again.
    right: Option<Table>,
    /// Number k of a row on the left meets number k + turn on the right.
    turn: usize,
    /// Factor of each product: draw x number.
    weight: Vec<f32>,
}

/// Entries of one row and of columns that follow one another within a block.
struct Run {
    row: usize,
    block: usize,
    from: usize,
    to: usize,
    at: usize,
}

impl MatrixDraws {
    /// Number of draws.
    pub fn len(&self) -> usize {
        self.n
    }

    /// True without draws.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Writes `offset + scale` x the entries (row, column) of every draw: draws x entries. Fastest where neighbours in the
    /// list share their row and have neighbouring columns.
    pub fn values(&self, entries: &[(u32, u32)], offset: f64, scale: f64, out: &mut Vec<f64>) {
        out.resize(self.n * entries.len(), 0.0);
        let mut runs: Vec<Run> = Vec::new();
        for (at, &(i, j)) in entries.iter().enumerate() {
            let (row, block, lane) = (i as usize, j as usize / BLOCK, j as usize % BLOCK);
            match runs.last_mut() {
                Some(r) if r.row == row && r.block == block && r.to == lane => r.to += 1,
                _ => runs.push(Run { row, block, from: lane, to: lane + 1, at }),
            }
        }
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the feature that the function is compiled for was just found.
            return unsafe { self.multiply_wide(&runs, entries.len(), offset, scale, out) };
        }
        self.multiply(&runs, entries.len(), offset, scale, out)
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn multiply_wide(&self, runs: &[Run], entries: usize, offset: f64, scale: f64, out: &mut [f64]) {
        self.multiply(runs, entries, offset, scale, out)
    }

    #[inline(always)]
    fn multiply(&self, runs: &[Run], entries: usize, offset: f64, scale: f64, out: &mut [f64]) {
        let width = self.left.width;
        let right = self.right.as_ref().unwrap_or(&self.left);
        for (draw, out) in out.chunks_exact_mut(entries.max(1)).enumerate() {
            let weight = &self.weight[draw * width..(draw + 1) * width];
            for r in runs {
                let a = self.left.of(r.row / BLOCK, self.n, draw);
                let lane = r.row % BLOCK;
                // Number k meets number k + turn, the last ones the first.
                let (first, last) = right.of(r.block, self.n, draw).split_at(self.turn);
                let mut sum = [0.0f32; BLOCK];
                for ((w, a), b) in weight.iter().zip(a).zip(last.iter().chain(first)) {
                    let f = w * a[lane];
                    for l in 0..BLOCK {
                        sum[l] += f * b[l];
                    }
                }
                let values: [f64; BLOCK] = std::array::from_fn(|l| offset + scale * f64::from(sum[l]));
                let to = &mut out[r.at..r.at + (r.to - r.from)];
                match to.first_chunk_mut::<BLOCK>() {
                    Some(all) => *all = values,
                    None => to.iter_mut().zip(&values[r.from..]).for_each(|(o, v)| *o = *v),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use numerics::stats;

    const FORMS: [Form; 4] = [Form::Mirror, Form::Diag, Form::Gram, Form::Rectangular];

    /// Some entries of a small matrix, one of them twice.
    fn small(form: Form, n: usize, columns: usize) -> Entries {
        let mut rng = Streams::new(5).rng("entries");
        let mut list = Vec::new();
        let columns = if form == Form::Rectangular { columns } else { n };
        for i in 0..n as u32 {
            for j in 0..columns as u32 {
                let wanted = if form == Form::Rectangular { true } else { i < j };
                if wanted && (i + 2 * j) % 3 != 0 {
                    let z: f64 = StandardNormal.sample(&mut rng);
                    list.push(if (i + j) % 2 == 0 || form == Form::Rectangular { (i, j, z) } else { (j, i, z) });
                }
            }
        }
        list.push((list[0].0, list[0].1, 0.3));
        Entries { rows: n, columns, list }
    }

    fn settings(form: Form, rank: usize) -> MatrixSettings {
        MatrixSettings { form, rank, noise: 0.5, learn_noise: true, ..MatrixSettings::default() }
    }

    /// A state away from any optimum.
    fn somewhere(s: &MatrixSettings, p: &Problem, e: &Entries, seed: u64) -> State {
        let mut rng = Streams::new(seed).rng("state");
        let columns = if s.form.one_sided() { 1 } else { e.columns };
        let mut factor = |n: usize| {
            let mut f = Factor::prior(n, s.rank);
            for k in 0..n * s.rank {
                f.mu[k] = StandardNormal.sample(&mut rng);
                f.var[k] = rng.random_range(0.05..0.8);
            }
            f
        };
        let (u, mut v) = (factor(e.rows), factor(columns));
        if s.form == Form::Gram {
            v.mu.fill(1.0);
            v.var.fill(0.0);
        }
        let (u, v) = p.compact(&u, &v);
        State::new(p, u, v, -0.9)
    }

    #[test]
    fn bound_agrees_with_monte_carlo() {
        for form in FORMS {
            let (s, e) = (settings(form, 2), small(form, 5, 4));
            let s = MatrixSettings { learn_noise: false, ..s };
            let p = Problem::new(form, &e);
            let state = somewhere(&s, &p, &e, 1);
            let mut rng = Streams::new(2).rng("q");
            let sigma = state.ln_noise.exp();
            let log_normal = |x: f64, m: f64, sd: f64| {
                -0.5 * (2.0 * std::f64::consts::PI).ln() - sd.ln() - 0.5 * ((x - m) / sd).powi(2)
            };
            let draws: Vec<f64> = (0..60_000)
                .map(|_| {
                    let mut total = 0.0;
                    let mut draw = |f: &Factor| -> Vec<f64> {
                        (0..f.n * f.m)
                            .map(|k| {
                                let z: f64 = StandardNormal.sample(&mut rng);
                                let (m, sd) = (f.mu[k], f.var[k].sqrt());
                                let x = m + sd * z;
                                total += log_normal(x, 0.0, 1.0) - log_normal(x, m, sd);
                                x
                            })
                            .collect()
                    };
                    let u = draw(&state.u);
                    let v = if form == Form::Gram { vec![1.0; 2] } else { draw(&state.v) };
                    for &(i, j, y) in &p.list {
                        let (i, j) = (i as usize, j as usize);
                        let mean: f64 = (0..2)
                            .map(|k| match form {
                                Form::Diag | Form::Gram => u[2 * i + k] * v[k] * u[2 * j + k],
                                _ => u[2 * i + k] * v[2 * j + k],
                            })
                            .sum();
                        total += log_normal(y, mean, sigma);
                    }
                    total
                })
                .collect();
            let (mean, error) = (stats::mean(&draws), stats::sd(&draws) / (draws.len() as f64).sqrt());
            let got = bound::<4>(&s, &p, &state);
            assert!((got - mean).abs() < 5.0 * error, "{form:?}: {got} for {mean} ± {error}");
            assert!(error < 0.02 * got.abs(), "{form:?}: {got} ± {error}");
        }
    }

    #[test]
    fn gradient_agrees_with_finite_differences() {
        for form in FORMS {
            // Rank 5 in rows of 8: what a wide load takes of the next row must not count.
            let (s, e) = (settings(form, 5), small(form, 7, 6));
            let p = Problem::new(form, &e);
            let state = somewhere(&s, &p, &e, 3);
            let at = |side: usize, k: usize, ln_sd: bool, h: f64| {
                let (mut u, mut v) = (state.u.clone(), state.v.clone());
                let f = if side == 0 { &mut u } else { &mut v };
                if ln_sd {
                    f.var[k] *= (2.0 * h).exp()
                } else {
                    f.mu[k] += h
                };
                bound::<8>(&s, &p, &State::new(&p, u, v, state.ln_noise))
            };
            let precision = (-2.0 * state.ln_noise).exp();
            let mut state = State::new(&p, state.u.clone(), state.v.clone(), state.ln_noise);
            state.pair_all(&p);
            for (side, links) in
                [(0, &p.by_row), (1, &p.by_column)].into_iter().take(2 - usize::from(form == Form::Gram))
            {
                let (own, other) =
                    if side == 0 { (&state.u, state.beside_u(&p)) } else { (&state.v, state.beside_v(&p)) };
                let size = own.n * own.m;
                let (mut g, mut h) = (vec![0.0; size + SLACK], vec![0.0; size + SLACK]);
                gradient::<8>(links, own, other, precision, &mut g, &mut h);
                for k in 0..size {
                    for (ln_sd, got) in [(false, g[k]), (true, h[k])] {
                        let d = 1e-5;
                        let want = (at(side, k, ln_sd, d) - at(side, k, ln_sd, -d)) / (2.0 * d);
                        assert!(
                            (got - want).abs() < 1e-5 * (1.0 + want.abs()),
                            "{form:?} {side} {k} {ln_sd}: {got} {want}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn sweeps_never_lower_the_bound_and_end_where_adam_does_or_near() {
        for form in FORMS {
            for learn_noise in [false, true] {
                let e = small(form, 9, 7);
                let streams = Streams::new(8);
                let fit = |inference, steps, restarts| {
                    let s =
                        MatrixSettings { inference, steps, restarts, tolerance: 0.0, learn_noise, ..settings(form, 3) };
                    let stages = [e.clone()];
                    let job = MatrixJob { settings: s, stages: &stages, stage_steps: 0, streams: streams.clone() };
                    MatrixPosterior::fit(&job).unwrap()
                };
                // Optima are many; the best of several starts is no worse than half a nat below.
                let cavi = fit(Inference::Cavi, 2000, 8);
                let slack = |v: f64| 1e-9 * (1.0 + v.abs());
                assert!(cavi.trace.windows(2).all(|w| w[1] >= w[0] - slack(w[0])), "{form:?} {:?}", cavi.trace);
                // From where Adam ended the sweeps have next to nothing left to gain: it is an optimum of the same bound.
                let adam = fit(Inference::Adam, 5000, 1);
                assert!(adam.steps == 5000 && cavi.trace.len() > 3);
                let p = Problem::new(form, &e);
                let s = MatrixSettings { learn_noise, tolerance: 1e-9, anneal: false, ..settings(form, 3) };
                let (u, v) = p.compact(&adam.u, &adam.v);
                let mut state = State::new(&p, u, v, adam.noise.ln());
                let after = improve_any(&s, &p, &mut state, 200).0;
                let gain = after.last().unwrap() - adam.elbo;
                assert!((-1e-6..0.2).contains(&gain), "{form:?} {learn_noise}: {gain}");
                assert!(cavi.elbo > adam.elbo - 0.5, "{form:?} {learn_noise}: {} {}", cavi.elbo, adam.elbo);
            }
        }
    }

    /// A matrix of rank 2 and the pairs i < j of which every `every`-th is hidden.
    fn planted(n: usize) -> impl Fn(usize, usize) -> f64 {
        let mut rng = Streams::new(11).rng("planted");
        let u: Vec<f64> = (0..2 * n).map(|_| StandardNormal.sample(&mut rng)).collect();
        move |i, j| (u[2 * i] * u[2 * j] - u[2 * i + 1] * u[2 * j + 1]) / 2f64.sqrt()
    }

    #[test]
    fn hidden_entries_of_a_low_rank_matrix_are_recovered() {
        let (n, mut rng) = (40, Streams::new(12).rng("noise"));
        let truth = planted(n);
        let (mut list, mut hidden) = (vec![], vec![]);
        for i in 0..n {
            for j in i + 1..n {
                let z: f64 = StandardNormal.sample(&mut rng);
                if rng.random_range(0.0..1.0) < 0.4 {
                    list.push((i as u32, j as u32, truth(i, j) + 0.1 * z));
                } else {
                    hidden.push((i, j));
                }
            }
        }
        let stages = [Entries { rows: n, columns: n, list }];
        for form in [Form::Mirror, Form::Diag] {
            for inference in [Inference::Cavi, Inference::Adam] {
                for init in [Init::Small, Init::Uniform] {
                    // Three factors of size 2 against noise of 0.1 are too rough a start for steps of 0.01.
                    if (form, inference, init) == (Form::Diag, Inference::Adam, Init::Uniform) {
                        continue;
                    }
                    let steps = if inference == Inference::Adam { 3000 } else { 500 };
                    let s = MatrixSettings { form, inference, init, steps, rank: 5, ..MatrixSettings::default() };
                    let job = MatrixJob { settings: s, stages: &stages, stage_steps: 0, streams: Streams::new(3) };
                    let fit = MatrixPosterior::fit(&job).unwrap();
                    let mean: Vec<f64> = hidden.iter().map(|&(i, j)| fit.moments(i, j).0).collect();
                    let want: Vec<f64> = hidden.iter().map(|&(i, j)| truth(i, j)).collect();
                    let r = stats::pearson(&mean, &want);
                    assert!(r > 0.95, "{form:?} {inference:?} {init:?}: {r}");
                }
            }
        }
    }

    #[test]
    fn moments_are_those_of_the_draws_and_a_draw_is_one_matrix() {
        for form in FORMS {
            let (s, e) = (settings(form, 3), small(form, 18, 20));
            // The last row has no entry: its factors are as before any measurement.
            let e = Entries { rows: 19, columns: if form == Form::Rectangular { 20 } else { 19 }, ..e };
            let stages = [e.clone()];
            let job = MatrixJob { settings: s, stages: &stages, stage_steps: 0, streams: Streams::new(4) };
            let fit = MatrixPosterior::fit(&job).unwrap();
            let n = 20_000;
            let draws = fit.draws(n, &Streams::new(6));
            let all: Vec<(u32, u32)> = (0..19)
                .flat_map(|i| (0..e.columns as u32).map(move |j| (i, j)))
                .filter(|(i, j)| form == Form::Rectangular || i < j)
                .collect();
            let mut x = vec![];
            draws.values(&all, 1.0, 2.0, &mut x);
            for (c, &(i, j)) in all.iter().enumerate() {
                let column: Vec<f64> = (0..n).map(|s| x[s * all.len() + c]).collect();
                let (mean, var) = fit.moments(i as usize, j as usize);
                let (got, sd) = (stats::mean(&column), stats::sd(&column));
                assert!((got - 1.0 - 2.0 * mean).abs() < 6.0 * sd / (n as f64).sqrt() + 1e-9, "{form:?} {i} {j}");
                assert!((sd / (2.0 * var.sqrt()) - 1.0).abs() < 0.1, "{form:?} {i} {j}: {sd} {}", 2.0 * var.sqrt());
            }
            // The same numbers, wherever an entry stands in the list.
            let some = [all[40], all[7], all[8], all[9], all[100]];
            let mut y = vec![];
            draws.values(&some, 1.0, 2.0, &mut y);
            for (c, at) in [40, 7, 8, 9, 100].into_iter().enumerate() {
                assert!((0..50).all(|s| y[s * 5 + c] == x[s * all.len() + at]));
            }
        }
    }

    #[test]
    fn rows_never_measured_keep_the_prior_which_is_where_adam_would_take_them() {
        let list = vec![(0, 1, 1.0), (1, 2, -1.0)];
        let stages = [Entries { rows: 6, columns: 6, list }];
        let settings = MatrixSettings { rank: 2, ..MatrixSettings::default() };
        let job = MatrixJob { settings, stages: &stages, stage_steps: 0, streams: Streams::new(1) };
        let (mean, var) = MatrixPosterior::fit(&job).unwrap().moments(4, 5);
        assert!(mean == 0.0 && (var - 1.0).abs() < 1e-12, "½ (uv + uv) of rank 2: {mean} {var}");
    }

    #[test]
    fn fits_are_the_same_on_any_number_of_threads_and_stages_go_on_from_one_another() {
        let e = small(Form::Mirror, 12, 12);
        let half = Entries { list: e.list[..e.list.len() / 2].to_vec(), ..e.clone() };
        let stages = [half, e];
        let jobs: Vec<MatrixJob> = (0..6)
            .map(|seed| MatrixJob {
                settings: MatrixSettings { rank: 3, restarts: 2, ..MatrixSettings::default() },
                stages: if seed % 2 == 0 { &stages } else { &stages[1..] },
                stage_steps: 20,
                streams: Streams::new(seed / 2),
            })
            .collect();
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let fits = fit_all(&jobs).into_iter().map(Result::unwrap);
                fits.map(|f| {
                    let mut x = vec![];
                    f.draws(7, &Streams::new(1)).values(&[(0, 5), (3, 4)], 0.0, 1.0, &mut x);
                    (f.elbo.to_bits(), f.moments(0, 3).0.to_bits(), x)
                })
                .collect::<Vec<_>>()
            })
        };
        let one = on(1);
        assert_eq!(one, on(4));
        assert_ne!(one[0].0, one[1].0, "a start from half of the entries");
    }

    #[test]
    fn mistakes_are_told() {
        let e = |list: Vec<(u32, u32, f64)>| [Entries { rows: 4, columns: 4, list }];
        let fit = |s: MatrixSettings, e: &[Entries]| {
            let job = MatrixJob { settings: s, stages: e, stage_steps: 0, streams: Streams::new(1) };
            MatrixPosterior::fit(&job).unwrap_err().to_string()
        };
        let s = MatrixSettings { rank: 3, ..MatrixSettings::default() };
        let text = fit(MatrixSettings { rank: 5, ..s }, &e(vec![(0, 1, 1.0)]));
        assert_eq!(text, "low-rank matrix: rank = 5 is larger than a matrix of 4 genes can have; lower the rank");
        let wide = MatrixSettings { rank: 5, form: Form::Rectangular, ..s };
        assert!(fit(wide, &e(vec![(0, 0, 1.0)])).contains("4 rows and 4 columns"));
        assert!(fit(s, &e(vec![(2, 2, 1.0)])).contains("off the diagonal"));
        assert!(fit(s, &e(vec![(0, 1, f64::NAN)])).contains("entries are finite"));
        assert!(
            fit(MatrixSettings { noise: 0.0, ..s }, &e(vec![])).contains("noise = 0; it must be a positive number")
        );
        // Numbers beyond any reason do not pass for a fit.
        let far = fit(s, &e(vec![(0, 1, 1e200), (1, 2, -1e200), (0, 3, 1e199)]));
        assert!(far.contains("standardise the rewards"), "{far}");
    }
}
