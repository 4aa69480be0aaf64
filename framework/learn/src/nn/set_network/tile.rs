//! Forward and backward pass of a tile of rows.

use super::gelu::Lane;
use super::loops::{activate, add, dot};
use super::sizes::SetSizes;
use crate::nn::fused::{WIDE, add_product};
use numerics::streams::StreamRng;
use numerics::wide::madd;

/// What all rows of a step share.
pub(super) struct Shared<'a, T> {
    pub(super) sizes: SetSizes,
    pub(super) w1: &'a [T],
    pub(super) w2: &'a [T],
    /// W2 transposed.
    pub(super) w2_back: &'a [T],
    pub(super) out: &'a [T],
    pub(super) constants: &'a [T],
    /// L3, or L2 L3.
    pub(super) encoder: &'a [T],
    /// Transposed.
    pub(super) encoder_back: &'a [T],
    pub(super) bias: &'a [T],
    /// b2 L3, added once a gene, where lifted.
    pub(super) lift: &'a [T],
    pub(super) head: &'a [T],
    /// relu(x L1 + b1) of all genes.
    pub(super) units: &'a [T],
    /// 1/(1 - p).
    pub(super) scale: T,
    /// The derivative of the loss by a prediction over the error.
    pub(super) factor: T,
}

/// Some rows of a batch, and what both passes need of them.
pub(super) struct Tile<T> {
    pub(super) rng: StreamRng,
    /// Places left out: first and second layer of A, genes, encoder.
    pub(super) dropped: [Vec<u32>; 4],
    /// gelu and its slope, for each layer of A: rows x hidden.
    pub(super) value: [Vec<T>; 2],
    pub(super) slope: [Vec<T>; 2],
    pub(super) signal: Vec<T>,
    /// Factors of the units of genes: occurrences x width.
    pub(super) mask: Vec<T>,
    /// s, relu(D(z)), and the signals at z and s: rows x width.
    pub(super) sums: Vec<T>,
    pub(super) encoded: Vec<T>,
    pub(super) at_code: Vec<T>,
    pub(super) at_sums: Vec<T>,
    pub(super) gradient: Vec<T>,
    pub(super) squares: f64,
}

/// Where the gradients of a tile begin: W1, W2, w, constants, encoder, b3, the sum of signals a gene, v.
pub(super) fn gradient_places(sizes: &SetSizes) -> [usize; 9] {
    let (h, p) = (sizes.hidden_lanes(), sizes.width_lanes());
    let mut at = [0; 9];
    let sizes = [sizes.order * h, if sizes.deep { h * h } else { 0 }, h, WIDE, p * p, p, p, p];
    for (k, n) in sizes.iter().enumerate() {
        at[k + 1] = at[k] + n;
    }
    at
}

/// Rows of a tile: genes by `start`, effects, and what was measured.
pub(super) struct Part<'a, T> {
    pub(super) start: &'a [usize],
    pub(super) genes: &'a [u32],
    pub(super) effects: &'a [T],
    pub(super) y: &'a [T],
}

impl<T> Part<'_, T> {
    pub(super) fn genes(&self, r: usize) -> &[u32] {
        let base = self.start[0];
        &self.genes[self.start[r] - base..self.start[r + 1] - base]
    }
}

#[inline(always)]
fn forward_and_backward<T: Lane, const FMA: bool>(n: &Shared<T>, part: &Part<T>, t: &mut Tile<T>) {
    let (h, p, k) = (n.sizes.hidden_lanes(), n.sizes.width_lanes(), n.sizes.order);
    let (hidden, width) = (n.sizes.hidden, n.sizes.width);
    let rows = part.y.len();
    let zero = T::zero();
    // A.
    let [value1, value2] = &mut t.value;
    let [slope1, slope2] = &mut t.slope;
    value1[..rows * h].fill(zero);
    add_product::<T, FMA>(value1, rows, h, part.effects, k, 1, n.w1, k);
    activate::<T, FMA>(&mut value1[..rows * h], &mut slope1[..rows * h], n.scale, &t.dropped[0]);
    if n.sizes.deep {
        value2[..rows * h].fill(zero);
        add_product::<T, FMA>(value2, rows, h, value1, h, 1, n.w2, hidden);
        activate::<T, FMA>(&mut value2[..rows * h], &mut slope2[..rows * h], n.scale, &t.dropped[1]);
    }
    // B: `mask` is `scale` where nothing is left out.
    for &at in &t.dropped[2] {
        t.mask[at as usize] = zero;
    }
    let mut occurrence = 0;
    for (r, (sums, code)) in t.sums.chunks_exact_mut(p).zip(t.encoded.chunks_exact_mut(p)).enumerate().take(rows) {
        sums.fill(zero);
        code.copy_from_slice(n.bias);
        for &g in part.genes(r) {
            let units = &n.units[g as usize * p..][..p];
            if n.sizes.lifted {
                let mask = &t.mask[occurrence * p..][..p];
                for ((s, u), m) in sums.iter_mut().zip(units).zip(mask) {
                    *s = madd::<T, FMA>(*m, *u, *s);
                }
                add::<T, FMA>(code, T::one(), n.lift);
                occurrence += 1;
            } else {
                add::<T, FMA>(sums, T::one(), units);
            }
        }
    }
    add_product::<T, FMA>(&mut t.encoded, rows, p, &t.sums, p, 1, n.encoder, width);
    let code = &mut t.encoded[..rows * p];
    code.iter_mut().for_each(|c| *c = if *c > zero { *c * n.scale } else { zero });
    for &at in &t.dropped[3] {
        code[at as usize] = zero;
    }
    // Errors and the backward pass.
    let at = gradient_places(&n.sizes);
    t.gradient.fill(zero);
    let (value, slope) = if n.sizes.deep { (value2, slope2) } else { (&mut *value1, &mut *slope1) };
    t.squares = 0.0;
    for r in 0..rows {
        let (value, slope) = (&value[r * h..][..h], &slope[r * h..][..h]);
        let code = &t.encoded[r * p..][..p];
        let effects = dot::<T, FMA>(value, n.out) + n.constants[0];
        let error = effects + dot::<T, FMA>(code, n.head) + n.constants[1] - part.y[r];
        t.squares += {
            let e: f64 = error.into();
            e * e
        };
        let g = n.factor * error;
        add::<T, FMA>(&mut t.gradient[at[2]..at[3]], g, value);
        t.gradient[at[3]] += g;
        t.gradient[at[3] + 1] += g;
        add::<T, FMA>(&mut t.gradient[at[7]..at[8]], g, code);
        for ((s, w), d) in t.signal[r * h..][..h].iter_mut().zip(n.out).zip(slope) {
            *s = g * *w * *d;
        }
        let of = &mut t.at_code[r * p..][..p];
        for ((s, v), c) in of.iter_mut().zip(n.head).zip(code) {
            *s = if *c > zero { g * *v * n.scale } else { zero };
        }
        let genes = T::of(part.genes(r).len() as f64);
        add::<T, FMA>(&mut t.gradient[at[5]..at[6]], T::one(), of);
        add::<T, FMA>(&mut t.gradient[at[6]..at[7]], genes, of);
    }
    add_product::<T, FMA>(&mut t.gradient[at[4]..at[5]], width, p, &t.sums, 1, p, &t.at_code, rows);
    t.at_sums[..rows * p].fill(zero);
    add_product::<T, FMA>(&mut t.at_sums, rows, p, &t.at_code, p, 1, n.encoder_back, width);
    if n.sizes.deep {
        add_product::<T, FMA>(&mut t.gradient[at[1]..at[2]], hidden, h, value1, 1, h, &t.signal, rows);
        // The second layer's values have served; the signal at the first layer takes their place.
        let back = &mut t.value[1];
        back[..rows * h].fill(zero);
        add_product::<T, FMA>(back, rows, h, &t.signal, h, 1, n.w2_back, hidden);
        for ((s, b), d) in t.signal[..rows * h].iter_mut().zip(back).zip(&t.slope[0]) {
            *s = *b * *d;
        }
    }
    add_product::<T, FMA>(&mut t.gradient[..at[1]], k, h, part.effects, 1, k, &t.signal, rows);
}

fused! {
    pub(super) fn tile_step<T: Lane>(n: &Shared<T>, part: &Part<T>, t: &mut Tile<T>) = forward_and_backward
}

/// Signals at the units of genes: each occurrence gives what its set got, where it was not left out.
#[inline(always)]
fn to_genes<T: Lane, const FMA: bool>(sizes: &SetSizes, part: &Part<T>, t: &Tile<T>, signals: &mut [T]) {
    let p = sizes.width_lanes();
    let mut occurrence = 0;
    for r in 0..part.y.len() {
        let from = &t.at_sums[r * p..][..p];
        for &g in part.genes(r) {
            let to = &mut signals[g as usize * p..][..p];
            if sizes.lifted {
                for ((to, from), m) in to.iter_mut().zip(from).zip(&t.mask[occurrence * p..][..p]) {
                    *to = madd::<T, FMA>(*m, *from, *to);
                }
                occurrence += 1;
            } else {
                add::<T, FMA>(to, T::one(), from);
            }
        }
    }
}

fused! {
    pub(super) fn scatter<T: Lane>(sizes: &SetSizes, part: &Part<T>, t: &Tile<T>, signals: &mut [T]) = to_genes
}
