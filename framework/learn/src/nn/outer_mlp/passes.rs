//! The network and its passes.

use super::loops::*;
use crate::nn::batch_norm::{Moments, Norm, Running, rows, take, take_mut};
use ndarray::{Array2, ArrayView2, Axis, s};
use numerics::Real;
use numerics::linalg::product_into;
use rayon::prelude::*;

/// Rows u of a block: fixed, so that results do not depend on the number of threads.
const BLOCK: usize = 64;

/// Its shape.
#[derive(Clone, Copy, Debug)]
pub struct OuterMlp {
    /// Rows of the first table, each with a readout of its own.
    pub units: usize,
    /// d.
    pub width: usize,
    /// h.
    pub hidden: usize,
}

/// Buffers of a batch, kept from one to the next, and what the backward pass needs of the forward pass.
#[derive(Debug)]
pub struct OuterPass<T> {
    /// x W₁, H W₂ and the derivative by x W₁'s normalised values, each block of u after another, in it p after p.
    first: Vec<T>,
    second: Vec<T>,
    signal: Vec<T>,
    /// a_u and b_p centred, and as they enter the ReLU.
    centred: [Array2<T>; 2],
    scaled: [Array2<T>; 2],
    norms: [Norm<T>; 3],
}

struct Parts<'a, T> {
    gamma0: &'a [T],
    beta0: &'a [T],
    w1: ArrayView2<'a, T>,
    gamma1: &'a [T],
    beta1: &'a [T],
    w2: ArrayView2<'a, T>,
    gamma2: &'a [T],
    beta2: &'a [T],
    readout: ArrayView2<'a, T>,
    bias: &'a [T],
}

impl OuterMlp {
    /// Number of parameters, in one line: γ₀, β₀, W₁, γ₁, β₁, W₂, γ₂, β₂, r (units x d), c.
    pub fn n_parameters(&self) -> usize {
        let (d, h) = (self.width, self.hidden);
        2 * d + d * h + 2 * h + h * d + 2 * d + self.units * (d + 1)
    }

    /// Statistics before training.
    pub fn running(&self) -> [Running; 3] {
        [Running::new(self.width), Running::new(self.hidden), Running::new(self.width)]
    }

    fn parts<'a, T>(&self, mut parameters: &'a [T]) -> Parts<'a, T> {
        let (d, h, p) = (self.width, self.hidden, &mut parameters);
        Parts {
            gamma0: take(p, d),
            beta0: take(p, d),
            w1: rows(take(p, d * h), h),
            gamma1: take(p, h),
            beta1: take(p, h),
            w2: rows(take(p, h * d), d),
            gamma2: take(p, d),
            beta2: take(p, d),
            readout: rows(take(p, self.units * d), d),
            bias: take(p, self.units),
        }
    }

    /// r_u and c_u as they act on H W₂.
    fn folded<T: Real>(&self, parts: &Parts<T>, norm: &Norm<T>) -> (Array2<T>, Vec<T>) {
        let (scale, shift) = norm.affine(parts.gamma2, parts.beta2);
        let mut direct = parts.readout.to_owned();
        let mut bias = parts.bias.to_vec();
        for (mut row, bias) in direct.outer_iter_mut().zip(&mut bias) {
            for ((r, s), t) in row.iter_mut().zip(&scale).zip(&shift) {
                *bias += *r * *t;
                *r *= *s;
            }
        }
        (direct, bias)
    }

    /// o for all p (rows of `b`) and u (rows of `a`): p x u. `weights` are the shares of each p in the samples of the
    /// batch. O(p u d h).
    #[allow(clippy::too_many_arguments)]
    pub fn forward<T: Real>(
        &self,
        parameters: &[T],
        a: ArrayView2<T>,
        b: ArrayView2<T>,
        weights: &[T],
        samples: f64,
        running: &mut [Running; 3],
        pass: &mut OuterPass<T>,
    ) -> Array2<T> {
        let (d, h, n_p) = (self.width, self.hidden, b.nrows());
        let parts = self.parts(parameters);
        let samples = samples * self.units as f64;
        let equal = vec![T::of(1.0 / self.units as f64); self.units];
        let (of_a, of_b) = (Moments::of(a, &equal), Moments::of(b, weights));
        let all = Moments::sum(&of_a, &of_b);
        running[0].update(&all, samples);
        pass.norms[0] = all.norm();
        self.enter(&parts, a, b, [&of_a.mean, &of_b.mean], pass);
        for (buffer, width) in [(&mut pass.first, h), (&mut pass.second, d)] {
            buffer.resize(n_p * self.units * width, T::zero());
        }
        // x W₁ and its moments.
        let [a, b] = &pass.scaled;
        let found: Vec<Moments> = pass
            .first
            .par_chunks_mut(BLOCK * n_p * h)
            .zip(a.axis_chunks_iter(Axis(0), BLOCK))
            .map(|(first, a)| {
                let mut found = Moments::new(h);
                let mut x = vec![T::zero(); GROUP * a.len()];
                tiles(first, &a, h, |p, first| {
                    let x = self.tile(&mut x, &a, b, p, first.len() / h);
                    product_into(&mut matrix_mut(first, h), rows(x, d), parts.w1, false, T::one());
                    take_moments(&mut found, first, a.nrows(), h, &weights[p..]);
                });
                found
            })
            .collect();
        pass.norms[1] = merged(&found, h, samples, &mut running[1]);
        // H W₂ and its moments.
        let (scale, shift) = pass.norms[1].affine(parts.gamma1, parts.beta1);
        let found: Vec<Moments> = pass
            .second
            .par_chunks_mut(BLOCK * n_p * d)
            .zip(pass.first.par_chunks(BLOCK * n_p * h))
            .map(|(second, first)| {
                let mut found = Moments::new(d);
                let units = second.len() / (n_p * d);
                let mut values = vec![T::zero(); GROUP * units * h];
                let tiles = second.chunks_mut(GROUP * units * d).zip(first.chunks(GROUP * units * h));
                for (t, (second, first)) in tiles.enumerate() {
                    let values = &mut values[..first.len()];
                    affine_relu(values, first, &scale, &shift);
                    product_into(&mut matrix_mut(second, d), rows(values, h), parts.w2, false, T::one());
                    take_moments(&mut found, second, units, d, &weights[t * GROUP..]);
                }
                found
            })
            .collect();
        pass.norms[2] = merged(&found, d, samples, &mut running[2]);
        let (direct, bias) = self.folded(&parts, &pass.norms[2]);
        let parts: Vec<Vec<T>> = pass
            .second
            .par_chunks(BLOCK * n_p * d)
            .zip(direct.axis_chunks_iter(Axis(0), BLOCK))
            .map(|(second, direct)| {
                let (units, flat) = (direct.nrows(), direct.to_slice().unwrap_or_default());
                let mut out = vec![T::zero(); n_p * units];
                let each = out.chunks_exact_mut(units).zip(second.chunks_exact(units * d));
                each.for_each(|(out, second)| row_dots(out, flat, second));
                out
            })
            .collect();
        self.gather(&parts, n_p, &bias)
    }

    /// o with the running statistics: p x u.
    pub fn evaluate<T: Real>(
        &self,
        parameters: &[T],
        a: ArrayView2<T>,
        b: ArrayView2<T>,
        running: &[Running; 3],
    ) -> Array2<T> {
        let (d, h, n_p) = (self.width, self.hidden, b.nrows());
        let parts = self.parts(parameters);
        let mut pass = OuterPass::<T>::new();
        pass.norms = [running[0].norm(), running[1].norm(), running[2].norm()];
        let mean: Vec<f64> = pass.norms[0].mean.iter().map(|m| (*m).into()).collect();
        self.enter(&parts, a, b, [&mean, &vec![0.0; d]], &mut pass);
        let (scale, shift) = pass.norms[1].affine(parts.gamma1, parts.beta1);
        let (direct, bias) = self.folded(&parts, &pass.norms[2]);
        // ⟨r, W₂ᵀ H⟩ = ⟨W₂ r, H⟩: one product less for each p and u.
        let direct = numerics::linalg::product(direct.view(), parts.w2.t());
        let [a, b] = &pass.scaled;
        let found: Vec<Vec<T>> = a
            .axis_chunks_iter(Axis(0), BLOCK)
            .into_par_iter()
            .zip(direct.axis_chunks_iter(Axis(0), BLOCK))
            .map(|(a, direct)| {
                let (units, flat) = (a.nrows(), direct.to_slice().unwrap_or_default());
                let mut out = vec![T::zero(); n_p * units];
                let (mut x, mut first) = (vec![T::zero(); GROUP * a.len()], vec![T::zero(); GROUP * units * h]);
                let mut values = first.clone();
                for (t, out) in out.chunks_mut(GROUP * units).enumerate() {
                    let x = self.tile(&mut x, &a, b, t * GROUP, out.len());
                    let (first, values) = (&mut first[..out.len() * h], &mut values[..out.len() * h]);
                    product_into(&mut matrix_mut(first, h), rows(x, d), parts.w1, false, T::one());
                    affine_relu(values, first, &scale, &shift);
                    let each = out.chunks_exact_mut(units).zip(values.chunks_exact(units * h));
                    each.for_each(|(out, values)| row_dots(out, flat, values));
                }
                out
            })
            .collect();
        self.gather(&found, n_p, &bias)
    }

    /// From the derivative by o (p x u) to those by a and b; that by the parameters is added to `gradient`.
    #[allow(clippy::too_many_arguments)]
    pub fn backward<T: Real>(
        &self,
        parameters: &[T],
        weights: &[T],
        signal: ArrayView2<T>,
        pass: &mut OuterPass<T>,
        mut gradient: &mut [T],
    ) -> (Array2<T>, Array2<T>) {
        let (d, h, n_p) = (self.width, self.hidden, weights.len());
        let parts = self.parts(parameters);
        let g = &mut gradient;
        let (d_gamma0, d_beta0, d_w1) = (take_mut(g, d), take_mut(g, d), take_mut(g, d * h));
        let (d_gamma1, d_beta1, d_w2) = (take_mut(g, h), take_mut(g, h), take_mut(g, h * d));
        let (d_gamma2, d_beta2) = (take_mut(g, d), take_mut(g, d));
        let (d_readout, d_bias) = (take_mut(g, self.units * d), take_mut(g, self.units));
        let share = T::of(1.0 / self.units as f64);
        let weights: Vec<T> = weights.iter().map(|w| *w * share).collect();

        // The readout: Σ_p s_pu and Σ_p s_pu x̂_pu, of which its own derivatives and the sums of bn₂ are made.
        let norm = &pass.norms[2];
        let blocks: Vec<Vec<T>> = (0..self.units)
            .step_by(BLOCK)
            .map(|from| {
                let to = (from + BLOCK).min(self.units);
                signal.slice(s![.., from..to]).iter().copied().collect()
            })
            .collect();
        let hats: Vec<Vec<T>> = pass
            .second
            .par_chunks(BLOCK * n_p * d)
            .zip(&blocks)
            .map(|(second, signal)| {
                let units = signal.len() / n_p;
                let mut hats = vec![T::zero(); units * d];
                for (signal, second) in signal.chunks_exact(units).zip(second.chunks_exact(units * d)) {
                    add_hats(&mut hats, signal, second, &norm.mean, &norm.inverse);
                }
                hats
            })
            .collect();
        let sums = signal.sum_axis(Axis(0));
        let (mut sum2, mut product2) = (vec![0.0f64; d], vec![0.0f64; d]);
        let each = d_readout.chunks_exact_mut(d).zip(hats.iter().flat_map(|h| h.chunks_exact(d)));
        for (((to, hat), sum), (r, to_bias)) in each.zip(&sums).zip(parts.readout.outer_iter().zip(d_bias)) {
            *to_bias += *sum;
            for c in 0..d {
                to[c] += parts.gamma2[c] * hat[c] + parts.beta2[c] * *sum;
                sum2[c] += (r[c] * *sum).into();
                product2[c] += (r[c] * hat[c]).into();
            }
        }
        let (sum2, product2) = (cast(&sum2), cast(&product2));
        add(d_gamma2, &product2);
        add(d_beta2, &sum2);

        // Through bn₂, W₂ and the ReLU before it.
        let (scale, _) = norm.affine(parts.gamma2, parts.beta2);
        let (pull2, push2) = pulls(norm, &scale, &sum2, &product2);
        let mut direct = parts.readout.to_owned();
        direct.outer_iter_mut().for_each(|mut row| row.iter_mut().zip(&scale).for_each(|(r, s)| *r *= *s));
        let (scale1, shift1) = pass.norms[1].affine(parts.gamma1, parts.beta1);
        pass.signal.resize(n_p * self.units * h, T::zero());
        let inputs = pass.first.par_chunks(BLOCK * n_p * h).zip(pass.second.par_chunks(BLOCK * n_p * d));
        let found: Vec<(Vec<T>, Vec<f64>, Vec<f64>)> = pass
            .signal
            .par_chunks_mut(BLOCK * n_p * h)
            .zip(inputs)
            .zip(blocks.par_iter().zip(direct.axis_chunks_iter(Axis(0), BLOCK)))
            .map(|((signal, (first, second)), (from, direct))| {
                let units = direct.nrows();
                let direct = direct.to_slice().unwrap_or_default();
                let (mut d_w2, mut sum1, mut product1) = (vec![T::zero(); h * d], vec![0.0; h], vec![0.0; h]);
                let (mut values, mut below) = (vec![T::zero(); GROUP * units * h], vec![T::zero(); GROUP * units * d]);
                let (mut pull, mut push) = (vec![T::zero(); d], vec![T::zero(); d]);
                let (mut sums, mut products) = (vec![T::zero(); h], vec![T::zero(); h]);
                let tiles = signal.chunks_mut(GROUP * units * h).zip(first.chunks(GROUP * units * h));
                let tiles = tiles.zip(second.chunks(GROUP * units * d)).zip(from.chunks(GROUP * units));
                for (t, (((signal, first), second), from)) in tiles.enumerate() {
                    let (values, below) = (&mut values[..first.len()], &mut below[..second.len()]);
                    affine_relu(values, first, &scale1, &shift1);
                    let each = below.chunks_exact_mut(units * d).zip(second.chunks_exact(units * d));
                    for (k, ((below, second), from)) in each.zip(from.chunks_exact(units)).enumerate() {
                        times(&mut pull, &pull2, weights[t * GROUP + k]);
                        times(&mut push, &push2, weights[t * GROUP + k]);
                        readout_signal(below, from, direct, second, &pull, &push);
                    }
                    let below = rows(below, d);
                    product_into(&mut matrix_mut(&mut d_w2, d), rows(values, h).t(), below, true, T::one());
                    product_into(&mut matrix_mut(signal, h), below, parts.w2.t(), false, T::one());
                    sums.fill(T::zero());
                    products.fill(T::zero());
                    mask_and_sum(signal, values, first, &mut sums, &mut products);
                    sum1.iter_mut().zip(&sums).for_each(|(t, s): (&mut f64, _)| *t += (*s).into());
                    product1.iter_mut().zip(&products).for_each(|(t, s): (&mut f64, _)| *t += (*s).into());
                }
                (d_w2, sum1, product1)
            })
            .collect();
        let norm = &pass.norms[1];
        let (mut sum1, mut product1) = (vec![0.0; h], vec![0.0; h]);
        for (w2, sums, products) in &found {
            add(d_w2, w2);
            sum1.iter_mut().zip(sums).for_each(|(t, s)| *t += s);
            product1.iter_mut().zip(products).for_each(|(t, s)| *t += s);
        }
        // Σ s x̂ from Σ s x.
        for c in 0..h {
            product1[c] = (product1[c] - sum1[c] * norm.mean[c].into()) * norm.inverse[c].into();
        }
        let (sum1, product1) = (cast(&sum1), cast(&product1));
        add(d_gamma1, &product1);
        add(d_beta1, &sum1);

        // Through bn₁ and W₁, to the sums over p and over u.
        let (pull1, push1) = pulls(norm, &scale1, &sum1, &product1);
        let [a, b] = &pass.scaled;
        let found: Vec<(Vec<T>, Array2<T>, Array2<T>)> = pass
            .signal
            .par_chunks(BLOCK * n_p * h)
            .zip(pass.first.par_chunks(BLOCK * n_p * h))
            .zip(a.axis_chunks_iter(Axis(0), BLOCK))
            .map(|((signal, first), a)| {
                let units = a.nrows();
                let mut d_w1 = vec![T::zero(); d * h];
                let (mut to_a, mut to_b) = (Array2::zeros((units, d)), Array2::zeros((n_p, d)));
                let (mut x, mut back) = (vec![T::zero(); GROUP * a.len()], vec![T::zero(); GROUP * a.len()]);
                let mut below = vec![T::zero(); GROUP * units * h];
                let (mut pull, mut push) = (vec![T::zero(); h], vec![T::zero(); h]);
                let tiles = signal.chunks(GROUP * units * h).zip(first.chunks(GROUP * units * h));
                for (t, (signal, first)) in tiles.enumerate() {
                    let below = &mut below[..first.len()];
                    let each = below.chunks_exact_mut(units * h).zip(signal.chunks_exact(units * h));
                    for (k, ((below, signal), first)) in each.zip(first.chunks_exact(units * h)).enumerate() {
                        times(&mut pull, &pull1, weights[t * GROUP + k]);
                        times(&mut push, &push1, weights[t * GROUP + k]);
                        normalised_signal(below, signal, first, &scale1, &pull, &push);
                    }
                    let x = self.tile(&mut x, &a, b, t * GROUP, first.len() / h);
                    let (below, back) = (rows(below, h), &mut back[..x.len()]);
                    product_into(&mut matrix_mut(&mut d_w1, h), rows(x, d).t(), below, true, T::one());
                    product_into(&mut matrix_mut(back, d), below, parts.w1.t(), false, T::one());
                    let to_a = to_a.as_slice_mut().unwrap_or_default();
                    let each = back.chunks_exact(units * d).zip(x.chunks_exact(units * d));
                    for ((back, x), mut to_b) in each.zip(to_b.outer_iter_mut().skip(t * GROUP)) {
                        mask_and_spread(back, x, to_a, to_b.as_slice_mut().unwrap_or_default());
                    }
                }
                (d_w1, to_a, to_b)
            })
            .collect();
        let (mut to_a, mut to_b) = (Array2::zeros((self.units, d)), Array2::<T>::zeros((n_p, d)));
        for (k, (w1, of_a, of_b)) in found.iter().enumerate() {
            add(d_w1, w1);
            to_a.slice_mut(s![k * BLOCK..k * BLOCK + of_a.nrows(), ..]).assign(of_a);
            to_b += of_b;
        }

        // Through bn₀, whose sums are sums over the rows of a and of b.
        let norm = &pass.norms[0];
        let (mut sum0, mut product0) = (vec![0.0f64; d], vec![0.0f64; d]);
        for (signal, centred) in [(&to_a, &pass.centred[0]), (&to_b, &pass.centred[1])] {
            for (s, x) in signal.outer_iter().zip(centred.outer_iter()) {
                for c in 0..d {
                    product0[c] += (s[c] * x[c]).into();
                }
            }
        }
        to_a.outer_iter().for_each(|row| sum0.iter_mut().zip(row).for_each(|(t, s)| *t += (*s).into()));
        product0.iter_mut().zip(&norm.inverse).for_each(|(p, i)| *p *= (*i).into());
        let (sum0, product0) = (cast::<T>(&sum0), cast::<T>(&product0));
        add(d_gamma0, &product0);
        add(d_beta0, &sum0);
        let (scale0, _) = norm.affine(parts.gamma0, parts.beta0);
        let back = |to: &mut Array2<T>, centred: &Array2<T>, weight: &dyn Fn(usize) -> T| {
            for (i, (mut row, x)) in to.outer_iter_mut().zip(centred.outer_iter()).enumerate() {
                for c in 0..d {
                    let hat = x[c] * norm.inverse[c];
                    row[c] = scale0[c] * (row[c] - weight(i) * (sum0[c] + hat * product0[c]));
                }
            }
        };
        back(&mut to_a, &pass.centred[0], &|_| share);
        back(&mut to_b, &pass.centred[1], &|p| weights[p] / share);
        (to_a, to_b)
    }

    /// Centres both tables and scales them as bn₀ does; the shift goes with b.
    fn enter<T: Real>(
        &self,
        parts: &Parts<T>,
        a: ArrayView2<T>,
        b: ArrayView2<T>,
        means: [&Vec<f64>; 2],
        pass: &mut OuterPass<T>,
    ) {
        let scale: Vec<T> = pass.norms[0].inverse.iter().zip(parts.gamma0).map(|(i, g)| *i * *g).collect();
        for (k, x) in [a, b].into_iter().enumerate() {
            let mut centred = x.to_owned();
            for mut row in centred.outer_iter_mut() {
                row.iter_mut().zip(means[k]).for_each(|(x, m)| *x -= T::of(*m));
            }
            let mut scaled = centred.clone();
            for mut row in scaled.outer_iter_mut() {
                for (c, x) in row.iter_mut().enumerate() {
                    *x = *x * scale[c] + if k == 1 { parts.beta0[c] } else { T::zero() };
                }
            }
            (pass.centred[k], pass.scaled[k]) = (centred, scaled);
        }
    }

    /// The input of `n` rows: all u of a block for each p from the given one on.
    fn tile<'a, T: Real>(&self, x: &'a mut [T], a: &ArrayView2<T>, b: &Array2<T>, p: usize, n: usize) -> &'a [T] {
        let x = &mut x[..n * self.width];
        for (x, b) in x.chunks_exact_mut(a.len()).zip(b.outer_iter().skip(p)) {
            outer_relu(x, a.as_slice().unwrap_or_default(), b.as_slice().unwrap_or_default());
        }
        x
    }

    /// From blocks of u to p x u, with c_u added.
    fn gather<T: Real>(&self, blocks: &[Vec<T>], n_p: usize, bias: &[T]) -> Array2<T> {
        let mut out = Array2::zeros((n_p, self.units));
        for (k, (block, bias)) in blocks.iter().zip(bias.chunks(BLOCK)).enumerate() {
            let from = k * BLOCK;
            for (mut row, block) in out.outer_iter_mut().zip(block.chunks_exact(bias.len())) {
                let to = row.slice_mut(s![from..from + bias.len()]);
                to.into_iter().zip(block.iter().zip(bias)).for_each(|(t, (v, b))| *t = *v + *b);
            }
        }
        out
    }
}

impl<T: Real> OuterPass<T> {
    /// Empty buffers.
    pub fn new() -> Self {
        let none = || Norm::new(&[], &[]);
        Self {
            first: vec![],
            second: vec![],
            signal: vec![],
            centred: [Array2::zeros((0, 0)), Array2::zeros((0, 0))],
            scaled: [Array2::zeros((0, 0)), Array2::zeros((0, 0))],
            norms: [none(), none(), none()],
        }
    }
}

impl<T: Real> Default for OuterPass<T> {
    fn default() -> Self {
        Self::new()
    }
}
