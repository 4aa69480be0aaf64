//! The inner loops of both passes.

use crate::nn::batch_norm::{Moments, Norm, Running, moments};
use ndarray::{ArrayView2, ArrayViewMut2};
use numerics::Real;

/// Rows p of a tile: fixed as well.
pub(super) const GROUP: usize = 4;

wide! {
    /// x = relu(a_u + b) for the rows u.
    pub(super) fn outer_relu<T: Real>(out: &mut [T], a: &[T], b: &[T]) {
        for (out, a) in out.chunks_exact_mut(b.len()).zip(a.chunks_exact(b.len())) {
            for ((o, a), b) in out.iter_mut().zip(a).zip(b) {
                let v = *a + *b;
                *o = if v > T::zero() { v } else { T::zero() };
            }
        }
    }
}

wide! {
    /// relu(scale x + shift).
    pub(super) fn affine_relu<T: Real>(out: &mut [T], x: &[T], scale: &[T], shift: &[T]) {
        for (out, x) in out.chunks_exact_mut(scale.len()).zip(x.chunks_exact(scale.len())) {
            for (((o, x), s), t) in out.iter_mut().zip(x).zip(scale).zip(shift) {
                let v = *s * *x + *t;
                *o = if v > T::zero() { v } else { T::zero() };
            }
        }
    }
}

wide! {
    /// ⟨v_u, x_u⟩ for the rows u, in eight sums side by side.
    pub(super) fn row_dots<T: Real>(out: &mut [T], v: &[T], x: &[T]) {
        let width = x.len() / out.len();
        for ((out, v), x) in out.iter_mut().zip(v.chunks_exact(width)).zip(x.chunks_exact(width)) {
            let ((v, v_rest), (x, x_rest)) = (v.as_chunks::<8>(), x.as_chunks::<8>());
            let mut sums = [T::zero(); 8];
            for (v, x) in v.iter().zip(x) {
                for l in 0..8 {
                    sums[l] += v[l] * x[l];
                }
            }
            let [a, b, c, d, e, f, g, h] = sums;
            *out = ((a + e) + (c + g)) + ((b + f) + (d + h));
            v_rest.iter().zip(x_rest).for_each(|(v, x)| *out += *v * *x);
        }
    }
}

wide! {
    /// to_u += k_u (x_u - mean) inverse for the rows u.
    pub(super) fn add_hats<T: Real>(to: &mut [T], k: &[T], x: &[T], mean: &[T], inverse: &[T]) {
        let width = mean.len();
        for ((to, k), x) in to.chunks_exact_mut(width).zip(k).zip(x.chunks_exact(width)) {
            for (((t, x), m), i) in to.iter_mut().zip(x).zip(mean).zip(inverse) {
                *t += *k * ((*x - *m) * *i);
            }
        }
    }
}

wide! {
    /// Derivative by the sums of a normalised layer: k_u r_u - pull - push x for the rows u.
    pub(super) fn readout_signal<T: Real>(out: &mut [T], k: &[T], r: &[T], x: &[T], pull: &[T], push: &[T]) {
        let width = pull.len();
        let inputs = r.chunks_exact(width).zip(x.chunks_exact(width));
        for ((out, k), (r, x)) in out.chunks_exact_mut(width).zip(k).zip(inputs) {
            for ((((o, r), x), a), b) in out.iter_mut().zip(r).zip(x).zip(pull).zip(push) {
                *o = *k * *r - *a - *b * *x;
            }
        }
    }
}

wide! {
    /// The same for a signal of each row: scale s - pull - push x.
    pub(super) fn normalised_signal<T: Real>(out: &mut [T], signal: &[T], x: &[T], scale: &[T], pull: &[T], push: &[T]) {
        let width = pull.len();
        let inputs = signal.chunks_exact(width).zip(x.chunks_exact(width));
        for (out, (s, x)) in out.chunks_exact_mut(width).zip(inputs) {
            for (((((o, s), x), c), a), b) in out.iter_mut().zip(s).zip(x).zip(scale).zip(pull).zip(push) {
                *o = *c * *s - *a - *b * *x;
            }
        }
    }
}

wide! {
    /// Takes the signal away where the ReLU gave 0, and adds up s and s x by columns.
    pub(super) fn mask_and_sum<T: Real>(signal: &mut [T], value: &[T], x: &[T], sums: &mut [T], products: &mut [T]) {
        let width = sums.len();
        let inputs = value.chunks_exact(width).zip(x.chunks_exact(width));
        for (signal, (value, x)) in signal.chunks_exact_mut(width).zip(inputs) {
            let to = sums.iter_mut().zip(products.iter_mut());
            for (((s, v), x), (sum, product)) in signal.iter_mut().zip(value).zip(x).zip(to) {
                let kept = if *v > T::zero() { *s } else { T::zero() };
                *s = kept;
                *sum += kept;
                *product += kept * *x;
            }
        }
    }
}

wide! {
    /// Adds the signal, where the ReLU gave more than 0, to its row and to one sum.
    pub(super) fn mask_and_spread<T: Real>(signal: &[T], value: &[T], to_rows: &mut [T], to_all: &mut [T]) {
        let width = to_all.len();
        let inputs = signal.chunks_exact(width).zip(value.chunks_exact(width));
        for (to, (signal, value)) in to_rows.chunks_exact_mut(width).zip(inputs) {
            for (((t, all), s), v) in to.iter_mut().zip(to_all.iter_mut()).zip(signal).zip(value) {
                let kept = if *v > T::zero() { *s } else { T::zero() };
                *t += kept;
                *all += kept;
            }
        }
    }
}

#[inline]
pub(super) fn add<T: Real>(to: &mut [T], from: &[T]) {
    to.iter_mut().zip(from).for_each(|(t, f)| *t += *f);
}

#[inline]
pub(super) fn matrix_mut<T>(x: &mut [T], columns: usize) -> ArrayViewMut2<'_, T> {
    let n = x.len() / columns.max(1);
    ArrayViewMut2::from_shape((n, columns), &mut x[..n * columns]).unwrap_or_else(|_| ArrayViewMut2::from(&mut [[]; 0]))
}

/// Tiles of a block, with the number of their first p.
#[inline]
pub(super) fn tiles<T>(block: &mut [T], a: &ArrayView2<T>, width: usize, mut f: impl FnMut(usize, &mut [T])) {
    for (t, tile) in block.chunks_mut(GROUP * a.nrows() * width).enumerate() {
        f(t * GROUP, tile);
    }
}

/// Adds the moments of a tile, p by p.
pub(super) fn take_moments<T: Real>(to: &mut Moments, tile: &[T], units: usize, width: usize, weights: &[T]) {
    let (mut mean, mut variance) = (vec![T::zero(); width], vec![T::zero(); width]);
    for (x, w) in tile.chunks_exact(units * width).zip(weights) {
        moments(x, &mut mean, &mut variance);
        to.add((*w).into() * units as f64, &mean, &variance);
    }
}

pub(super) fn merged<T: Real>(found: &[Moments], width: usize, samples: f64, running: &mut Running) -> Norm<T> {
    let mut all = Moments::new(width);
    found.iter().for_each(|m| all.merge(m));
    running.update(&all, samples);
    all.norm()
}

/// What a normalisation takes from scale s: scale (ΣG + x̂ ΣGx̂) = pull + push x, for weight 1.
pub(super) fn pulls<T: Real>(norm: &Norm<T>, scale: &[T], sums: &[T], products: &[T]) -> (Vec<T>, Vec<T>) {
    let push: Vec<T> = (0..scale.len()).map(|c| scale[c] * products[c] * norm.inverse[c]).collect();
    let pull = (0..scale.len()).map(|c| scale[c] * sums[c] - push[c] * norm.mean[c]).collect();
    (pull, push)
}

#[inline]
pub(super) fn times<T: Real>(to: &mut [T], x: &[T], factor: T) {
    to.iter_mut().zip(x).for_each(|(t, x)| *t = *x * factor);
}

#[inline]
pub(super) fn cast<T: Real>(x: &[f64]) -> Vec<T> {
    x.iter().map(|v| T::of(*v)).collect()
}
