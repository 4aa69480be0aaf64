//! Raising the bound: by sweeps of ridge regressions or by steps of Adam, in rows as wide as registers.

use super::factor::{Factor, SLACK};
use super::problem::{Links, Problem, State};
use super::settings::{Factorisation, Inference, MatrixSettings};
use crate::nn::optimiser::Adam;
use numerics::special::exp_slice;

#[inline(always)]
pub(super) fn load<const W: usize>(x: &[f64], at: usize) -> [f64; W] {
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
pub(super) fn gradient<const W: usize>(
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
pub(super) fn bound<const W: usize>(s: &MatrixSettings, p: &Problem, state: &State) -> f64 {
    let n = p.list.len() as f64;
    let squares = expected_squares::<W>(&p.list, &state.u, state.beside_u(p));
    let l = state.ln_noise;
    let fit = -n * (0.5 * (2.0 * std::f64::consts::PI).ln() + l) - 0.5 * squares * (-2.0 * l).exp();
    let prior = if s.learn_noise { -0.5 * (l - s.noise.ln()).powi(2) } else { 0.0 };
    let v = if p.form == Factorisation::Gram { 0.0 } else { state.v.divergence() };
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
pub(super) fn sweeps<const W: usize>(
    s: &MatrixSettings,
    p: &Problem,
    state: &mut State,
    steps: usize,
) -> (Vec<f64>, usize) {
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
pub(super) fn sweep<const W: usize>(p: &Problem, state: &mut State, gram: &mut [[f64; W]]) {
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
    let free = if p.form == Factorisation::Gram { 0 } else { state.v.n };
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
    let uphill = -s.rate;
    let count = p.list.len() as f64;
    for _ in 0..steps {
        let precision = (-2.0 * state.ln_noise).exp();
        state.scale_all();
        state.pair_all(p);
        let [gu, hu, gv, hv] = &mut g;
        gradient::<W>(&p.by_row, &state.u, state.beside_u(p), precision, gu, hu);
        let free = p.form != Factorisation::Gram;
        if free {
            gradient::<W>(&p.by_column, &state.v, state.beside_v(p), precision, gv, hv);
        }
        if s.learn_noise {
            let squares = expected_squares::<W>(&p.list, &state.u, state.beside_u(p));
            slope[0] = -count + squares * precision - (state.ln_noise - s.noise.ln());
            noise.step_as_written(std::slice::from_mut(&mut state.ln_noise), &slope, uphill);
        }
        adam[0].step_as_written(&mut state.u.mu, gu, uphill);
        adam[1].step_as_written(&mut lu, hu, uphill);
        if free {
            adam[2].step_as_written(&mut state.v.mu, gv, uphill);
            adam[3].step_as_written(&mut lv, hv, uphill);
        }
        for (f, l) in [(&mut state.u, &lu), (&mut state.v, &lv)].into_iter().take(1 + usize::from(free)) {
            f.var.iter_mut().zip(l).for_each(|(v, l)| *v = 2.0 * l);
            exp_slice(&mut f.var);
        }
    }
    state.scale_all();
}

wide! {
    fn improve_at<const W: usize>(
        s: &MatrixSettings,
        p: &Problem,
        state: &mut State,
        steps: usize,
    ) -> (Vec<f64>, usize) {
        improve::<W>(s, p, state, steps)
    }
}

/// [`improve`] at the least width that holds the rank.
pub(super) fn improve_any(s: &MatrixSettings, p: &Problem, state: &mut State, steps: usize) -> (Vec<f64>, usize) {
    match s.rank {
        0..=4 => improve_at::<4>(s, p, state, steps),
        5..=8 => improve_at::<8>(s, p, state, steps),
        9..=12 => improve_at::<12>(s, p, state, steps),
        13..=16 => improve_at::<16>(s, p, state, steps),
        17..=32 => improve_at::<32>(s, p, state, steps),
        _ => improve_at::<64>(s, p, state, steps),
    }
}
