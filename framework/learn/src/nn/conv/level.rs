//! One level: a convolution of gathered patches, what halves the image, and both passes of some images.

use crate::nn::batch_norm::{rows, take};
use ndarray::ArrayViewMut2;
use numerics::Real;
use numerics::linalg::product_into;
use serde::{Deserialize, Serialize};

/// Rows of patches that are gathered at once, where an image has fewer.
const PATCHES: usize = 256;

/// How a level halves the image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shrink {
    /// The convolution takes every second place.
    #[default]
    Stride,
    /// The largest of 2 x 2 after the activation.
    MaxPool,
}

/// What becomes of the last level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The mean over places: as many numbers as channels.
    #[default]
    Average,
    /// All places one after another.
    Flatten,
}

/// Sizes and kinds of levels.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvShape {
    /// Channels, rows and columns of an image.
    pub image: [usize; 3],
    /// Channels of each level.
    pub widths: Vec<usize>,
    /// How a level halves.
    pub shrink: Shrink,
    /// What becomes of the last.
    pub end: End,
    /// Slope of the activation below zero: 0 is ReLU.
    pub slope: f64,
}

#[derive(Clone, Debug)]
pub(super) struct Level {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    /// Rows and columns of what enters, of the convolution, and of what leaves.
    pub(super) enter: (usize, usize),
    pub(super) conv: (usize, usize),
    pub(super) leave: (usize, usize),
    pub(super) stride: usize,
}

impl Level {
    pub(super) fn entering(&self) -> usize {
        self.enter.0 * self.enter.1 * self.inputs
    }

    pub(super) fn between(&self) -> usize {
        self.conv.0 * self.conv.1 * self.outputs
    }

    pub(super) fn leaving(&self) -> usize {
        self.leave.0 * self.leave.1 * self.outputs
    }

    pub(super) fn patch(&self) -> usize {
        9 * self.inputs
    }

    pub(super) fn n_parameters(&self) -> usize {
        (self.patch() + 2) * self.outputs
    }

    /// Images whose patches are gathered at once.
    fn group(&self) -> usize {
        (PATCHES / (self.conv.0 * self.conv.1)).max(1)
    }

    /// Weights, γ and β.
    pub(super) fn parts<'a, T>(&self, mut parameters: &'a [T]) -> (&'a [T], &'a [T], &'a [T]) {
        let p = &mut parameters;
        (take(p, self.patch() * self.outputs), take(p, self.outputs), take(p, self.outputs))
    }

    /// For each place of the convolution and each of its three rows: where the row begins in the image and in the
    /// patch, and how many numbers it has inside the image.
    fn rows(&self, mut f: impl FnMut(usize, usize, usize)) {
        let (c, (h, w), s) = (self.inputs, self.enter, self.stride);
        for oy in 0..self.conv.0 {
            for ox in 0..self.conv.1 {
                let patch = (oy * self.conv.1 + ox) * 9 * c;
                let (left, right) = (usize::from(ox == 0), 3.min(w + 1 - ox * s));
                for ky in 0..3 {
                    let y = oy * s + ky;
                    if y >= 1 && y <= h && left < right {
                        f(((y - 1) * w + ox * s + left - 1) * c, patch + (ky * 3 + left) * c, (right - left) * c);
                    }
                }
            }
        }
    }

    /// Patches of one image, zero outside of it.
    fn gather<T: Real>(&self, x: &[T], patches: &mut [T]) {
        patches.fill(T::zero());
        self.rows(|image, patch, n| patches[patch..patch + n].copy_from_slice(&x[image..image + n]));
    }

    /// Adds patches to where they came from.
    fn scatter<T: Real>(&self, patches: &[T], x: &mut [T]) {
        self.rows(|image, patch, n| {
            x[image..image + n].iter_mut().zip(&patches[patch..patch + n]).for_each(|(x, p)| *x += *p);
        });
    }

    /// Convolution of some images.
    pub(super) fn convolve<T: Real>(&self, x: &[T], z: &mut [T], weight: &[T], patches: &mut Vec<T>) {
        let group = self.group();
        patches.resize(group * self.conv.0 * self.conv.1 * self.patch(), T::zero());
        for (x, z) in x.chunks(group * self.entering()).zip(z.chunks_mut(group * self.between())) {
            let each = self.conv.0 * self.conv.1 * self.patch();
            let n = x.len() / self.entering();
            x.chunks_exact(self.entering()).zip(patches.chunks_exact_mut(each)).for_each(|(x, p)| self.gather(x, p));
            let patches = rows(&patches[..n * each], self.patch());
            product_into(&mut rows_mut(z, self.outputs), patches, rows(weight, self.outputs), false, T::one());
        }
    }

    /// What leaves, from the convolution z and y = scale z + shift of some images.
    pub(super) fn finish<T: Real>(
        &self,
        form: &ConvShape,
        z: &[T],
        norm: (&[T], &[T]),
        out: &mut [T],
        work: &mut Vec<T>,
    ) {
        let slope = T::of(form.slope);
        if form.shrink == Shrink::Stride {
            return activate(out, z, norm.0, norm.1, slope);
        }
        work.resize(self.between(), T::zero());
        for (z, out) in z.chunks_exact(self.between()).zip(out.chunks_exact_mut(self.leaving())) {
            activate(work, z, norm.0, norm.1, slope);
            let c = self.outputs;
            for (p, out) in out.chunks_exact_mut(c).enumerate() {
                let four = self.four(p).map(|at| &work[at * c..(at + 1) * c]);
                for (l, o) in out.iter_mut().enumerate() {
                    *o = four[1..].iter().fold(four[0][l], |m, f| if f[l] > m { f[l] } else { m });
                }
            }
        }
    }

    /// Places of the convolution that a place of the pooled image is the largest of.
    fn four(&self, p: usize) -> [usize; 4] {
        let (y, x, w) = (2 * (p / self.leave.1), 2 * (p % self.leave.1), self.conv.1);
        [y * w + x, y * w + x + 1, (y + 1) * w + x, (y + 1) * w + x + 1]
    }

    /// From the derivative by what leaves to that by y = scale z + shift, of some images.
    pub(super) fn unfinish<T: Real>(
        &self,
        form: &ConvShape,
        z: &[T],
        norm: (&[T], &[T]),
        from: &[T],
        to: &mut [T],
        work: &mut Vec<T>,
    ) {
        let slope = T::of(form.slope);
        if form.shrink == Shrink::Stride {
            to.copy_from_slice(from);
        } else {
            to.fill(T::zero());
            work.resize(self.between(), T::zero());
            let images = z.chunks_exact(self.between()).zip(to.chunks_exact_mut(self.between()));
            for ((z, to), from) in images.zip(from.chunks_exact(self.leaving())) {
                activate(work, z, norm.0, norm.1, slope);
                let c = self.outputs;
                for (p, from) in from.chunks_exact(c).enumerate() {
                    let four = self.four(p);
                    for (l, g) in from.iter().enumerate() {
                        let better =
                            |best: usize, at: &usize| if work[at * c + l] > work[best * c + l] { *at } else { best };
                        to[four[1..].iter().fold(four[0], better) * c + l] += *g;
                    }
                }
            }
        }
        times_slope(to, z, norm.0, norm.1, slope);
    }
}

impl Level {
    /// Gradient by the weights from that by the convolution, of some images; writes that by what entered if asked.
    pub(super) fn backward<T: Real>(&self, g: &[T], x: &[T], weight: &[T], to: &mut [T], further: bool) -> Vec<T> {
        let mut by_weight = vec![T::zero(); weight.len()];
        let (group, each) = (self.group(), self.conv.0 * self.conv.1 * self.patch());
        let mut patches = vec![T::zero(); group * each];
        let groups = x.chunks(group * self.entering()).zip(g.chunks(group * self.between()));
        for ((x, g), to) in groups.zip(to.chunks_mut(group * self.entering())) {
            let n = x.len() / self.entering();
            x.chunks_exact(self.entering()).zip(patches.chunks_exact_mut(each)).for_each(|(x, p)| self.gather(x, p));
            let g = rows(g, self.outputs);
            let mut by = rows_mut(&mut by_weight, self.outputs);
            product_into(&mut by, rows(&patches[..n * each], self.patch()).t(), g, true, T::one());
            if further {
                let mut back = rows_mut(&mut patches[..n * each], self.patch());
                product_into(&mut back, g, rows(weight, self.outputs).t(), false, T::one());
                to.fill(T::zero());
                to.chunks_exact_mut(self.entering())
                    .zip(patches.chunks_exact(each))
                    .for_each(|(to, p)| self.scatter(p, to));
            }
        }
        by_weight
    }
}

/// A matrix of `columns` columns over a slice of whole rows, to write.
#[inline]
pub(super) fn rows_mut<T>(x: &mut [T], columns: usize) -> ArrayViewMut2<'_, T> {
    let n = x.len() / columns.max(1);
    // As in `rows`: only a slip in this file could make the lengths differ.
    ArrayViewMut2::from_shape((n, columns), x).unwrap_or_else(|_| ArrayViewMut2::from(&mut [[]; 0]))
}

wide! {
    /// (Leaky) ReLU of scale z + shift.
    pub(super) fn activate<T: Real>(out: &mut [T], z: &[T], scale: &[T], shift: &[T], slope: T) {
        for (out, z) in out.chunks_exact_mut(scale.len()).zip(z.chunks_exact(scale.len())) {
            for (((o, z), s), t) in out.iter_mut().zip(z).zip(scale).zip(shift) {
                let v = *s * *z + *t;
                *o = if v > T::zero() { v } else { slope * v };
            }
        }
    }
}

wide! {
    /// Multiplies by the derivative of the activation at scale z + shift.
    pub(super) fn times_slope<T: Real>(g: &mut [T], z: &[T], scale: &[T], shift: &[T], slope: T) {
        for (g, z) in g.chunks_exact_mut(scale.len()).zip(z.chunks_exact(scale.len())) {
            for (((g, z), s), t) in g.iter_mut().zip(z).zip(scale).zip(shift) {
                *g = if *s * *z + *t > T::zero() { *g } else { slope * *g };
            }
        }
    }
}
