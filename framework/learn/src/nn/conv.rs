//! A small convolutional encoder: 3 x 3 convolutions that halve the image, batch normalisation, (leaky) ReLU.
//!
//! Pixels lie channels last, so that a convolution is one product of gathered patches (rows x 9 channels) with the
//! weights, batch normalisation works on columns, and what leaves a level enters the next as it is. Patches are
//! gathered a few images at a time and again on the way back: memory is that of the activations, not nine times that.
//! A batch is cut into eight parts whatever the number of threads; sums over parts run in their order.
//! O(images x pixels x 9 x channels in x channels out) a level.

use super::batch_norm::{Moments, Norm, Running, rows, take, take_mut};
use super::outer_mlp::moments;
use ndarray::{Array2, ArrayView2, ArrayViewMut2};
use numerics::Real;
use numerics::linalg::product_into;
use numerics::{Error, Result};
use rand::{Rng, RngExt};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Parts of a batch.
const PARTS: usize = 8;
/// Rows of patches that are gathered at once, where an image has fewer.
const PATCHES: usize = 256;
/// Images of a task of prediction.
const IMAGES: usize = 16;

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
pub struct ConvForm {
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
struct Level {
    inputs: usize,
    outputs: usize,
    /// Rows and columns of what enters, of the convolution, and of what leaves.
    enter: (usize, usize),
    conv: (usize, usize),
    leave: (usize, usize),
    stride: usize,
}

impl Level {
    fn entering(&self) -> usize {
        self.enter.0 * self.enter.1 * self.inputs
    }

    fn between(&self) -> usize {
        self.conv.0 * self.conv.1 * self.outputs
    }

    fn leaving(&self) -> usize {
        self.leave.0 * self.leave.1 * self.outputs
    }

    fn patch(&self) -> usize {
        9 * self.inputs
    }

    fn n_parameters(&self) -> usize {
        (self.patch() + 2) * self.outputs
    }

    /// Images whose patches are gathered at once.
    fn group(&self) -> usize {
        (PATCHES / (self.conv.0 * self.conv.1)).max(1)
    }

    /// Weights, γ and β.
    fn parts<'a, T>(&self, mut parameters: &'a [T]) -> (&'a [T], &'a [T], &'a [T]) {
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
    fn convolve<T: Real>(&self, x: &[T], z: &mut [T], weight: &[T], patches: &mut Vec<T>) {
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
    fn finish<T: Real>(&self, form: &ConvForm, z: &[T], norm: (&[T], &[T]), out: &mut [T], work: &mut Vec<T>) {
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
    fn unfinish<T: Real>(
        &self,
        form: &ConvForm,
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

wide! {
    /// (Leaky) ReLU of scale z + shift.
    fn activate<T: Real>(out: &mut [T], z: &[T], scale: &[T], shift: &[T], slope: T) {
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
    fn times_slope<T: Real>(g: &mut [T], z: &[T], scale: &[T], shift: &[T], slope: T) {
        for (g, z) in g.chunks_exact_mut(scale.len()).zip(z.chunks_exact(scale.len())) {
            for (((g, z), s), t) in g.iter_mut().zip(z).zip(scale).zip(shift) {
                *g = if *s * *z + *t > T::zero() { *g } else { slope * *g };
            }
        }
    }
}

wide! {
    /// Column sums of g and of g (z - mean).
    fn column_sums<T: Real>(g: &[T], z: &[T], mean: &[T], sums: &mut [T], products: &mut [T]) {
        sums.fill(T::zero());
        products.fill(T::zero());
        for (g, z) in g.chunks_exact(mean.len()).zip(z.chunks_exact(mean.len())) {
            for ((((s, p), g), z), m) in sums.iter_mut().zip(products.iter_mut()).zip(g).zip(z).zip(mean) {
                *s += *g;
                *p += *g * (*z - *m);
            }
        }
    }
}

wide! {
    /// g = scale g - pull - push z.
    fn centre<T: Real>(g: &mut [T], z: &[T], scale: &[T], pull: &[T], push: &[T]) {
        for (g, z) in g.chunks_exact_mut(scale.len()).zip(z.chunks_exact(scale.len())) {
            for ((((g, z), s), a), b) in g.iter_mut().zip(z).zip(scale).zip(pull).zip(push) {
                *g = *s * *g - *a - *b * *z;
            }
        }
    }
}

/// A matrix of `columns` columns over a slice of whole rows, to write.
fn rows_mut<T>(x: &mut [T], columns: usize) -> ArrayViewMut2<'_, T> {
    let n = x.len() / columns.max(1);
    // As in `rows`: only a slip in this file could make the lengths differ.
    ArrayViewMut2::from_shape((n, columns), x).unwrap_or_else(|_| ArrayViewMut2::from(&mut [[]; 0]))
}

/// The levels with their parameters.
#[derive(Clone, Debug)]
pub struct ConvNet<T> {
    form: ConvForm,
    levels: Vec<Level>,
    /// Of each level its weights (9 places x channels in, channels out), γ and β.
    pub parameters: Vec<T>,
    running: Vec<Running>,
}

/// A batch on its way through the levels and back; the buffers are kept from one batch to the next.
#[derive(Clone, Debug, Default)]
pub struct ConvPass<T> {
    /// What enters each level and leaves the last, and the convolutions.
    values: Vec<Vec<T>>,
    convs: Vec<Vec<T>>,
    norms: Vec<Option<Norm<T>>>,
    /// Gradient of the loss by the parameters.
    pub gradient: Vec<T>,
    signals: [Vec<T>; 2],
}

impl<T: Real> ConvNet<T> {
    /// New levels; weights uniform in ±1/√(9 channels) (the default of PyTorch).
    pub fn new(form: ConvForm, rng: &mut impl Rng) -> Result<Self> {
        let [mut inputs, mut h, mut w] = form.image;
        if form.image.contains(&0) || form.widths.is_empty() || form.widths.contains(&0) {
            return Err(Error::Setting(format!(
                "a convolutional encoder needs images and widths without zeros, and has images of {:?} and widths {:?}",
                form.image, form.widths
            )));
        }
        let (mut levels, mut parameters) = (vec![], vec![]);
        for (l, outputs) in form.widths.iter().copied().enumerate() {
            let (stride, conv, leave) = match form.shrink {
                Shrink::Stride => (2, (h.div_ceil(2), w.div_ceil(2)), (h.div_ceil(2), w.div_ceil(2))),
                Shrink::MaxPool => (1, (h, w), (h / 2, w / 2)),
            };
            if leave.0 * leave.1 == 0 {
                return Err(Error::Setting(format!(
                    "images of {} x {} are too small for {} levels of 2 x 2 pooling: level {} has {h} x {w} left; give \
                     fewer `widths` or shrink = \"stride\"",
                    form.image[1],
                    form.image[2],
                    form.widths.len(),
                    l + 1
                )));
            }
            let level = Level { inputs, outputs, enter: (h, w), conv, leave, stride };
            let bound = 1.0 / (level.patch() as f64).sqrt();
            parameters.extend((0..level.patch() * outputs).map(|_| T::of(rng.random_range(-bound..=bound))));
            parameters.extend((0..2 * outputs).map(|i| if i < outputs { T::one() } else { T::zero() }));
            levels.push(level);
            (inputs, h, w) = (outputs, leave.0, leave.1);
        }
        let running = form.widths.iter().map(|w| Running::new(*w)).collect();
        Ok(Self { form, levels, parameters, running })
    }

    /// Numbers of an image.
    pub fn n_inputs(&self) -> usize {
        self.form.image.iter().product()
    }

    /// Numbers that come out for an image.
    pub fn width(&self) -> usize {
        let places = |l: &Level| if self.form.end == End::Flatten { l.leave.0 * l.leave.1 } else { 1 };
        self.levels.last().map_or(0, |l| l.outputs * places(l))
    }

    /// Whether every parameter is a finite number.
    pub fn is_finite(&self) -> bool {
        self.parameters.iter().all(|p| p.is_finite())
    }

    /// Images (channels, rows, columns each) with channels last.
    fn channels_last(&self, x: ArrayView2<T>, to: &mut [T]) {
        let [c, h, w] = self.form.image;
        to.par_chunks_mut(IMAGES * c * h * w).enumerate().for_each(|(t, to)| {
            for (i, to) in to.chunks_exact_mut(c * h * w).enumerate() {
                for (at, v) in x.row(t * IMAGES + i).iter().enumerate() {
                    to[at % (h * w) * c + at / (h * w)] = *v;
                }
            }
        });
    }

    /// The output of what leaves the last level.
    fn end(&self, last: &[T], out: &mut [T]) {
        let Some(level) = self.levels.last() else { return };
        if self.form.end == End::Flatten {
            return out.copy_from_slice(last);
        }
        let share = T::of(1.0 / (level.leave.0 * level.leave.1) as f64);
        for (x, out) in last.chunks_exact(level.leaving()).zip(out.chunks_exact_mut(level.outputs)) {
            out.fill(T::zero());
            x.chunks_exact(level.outputs).for_each(|x| out.iter_mut().zip(x).for_each(|(o, x)| *o += *x * share));
        }
    }

    /// Outputs of images by the statistics gathered in training: images x width. Tasks of images in parallel.
    pub fn predict(&self, x: ArrayView2<T>) -> Array2<T> {
        let mut images = vec![T::zero(); x.len()];
        self.channels_last(x, &mut images);
        let mut out = vec![T::zero(); x.nrows() * self.width()];
        let norms: Vec<Norm<T>> = self.running.iter().map(Running::norm).collect();
        let tasks = out.par_chunks_mut(IMAGES * self.width()).zip(images.par_chunks(IMAGES * x.ncols()));
        tasks.for_each(|(out, x)| {
            let (mut patches, mut work, mut now) = (vec![], vec![], x.to_vec());
            let (n, mut parameters) = (out.len() / self.width(), &self.parameters[..]);
            for (level, norm) in self.levels.iter().zip(&norms) {
                let (weight, gamma, beta) = level.parts(take(&mut parameters, level.n_parameters()));
                let mut z = vec![T::zero(); n * level.between()];
                level.convolve(&now, &mut z, weight, &mut patches);
                now = vec![T::zero(); n * level.leaving()];
                let (scale, shift) = norm.affine(gamma, beta);
                level.finish(&self.form, &z, (&scale, &shift), &mut now, &mut work);
            }
            self.end(&now, out);
        });
        rows(&out, self.width().max(1)).to_owned()
    }

    /// A pass over a batch, normalised by itself; its statistics go into those for prediction. Images x width.
    pub fn forward(&mut self, x: ArrayView2<T>, pass: &mut ConvPass<T>) -> Array2<T> {
        let n = x.nrows();
        let per = n.div_ceil(PARTS).max(1);
        let count = self.levels.len();
        pass.values.resize(count + 1, vec![]);
        pass.convs.resize(count, vec![]);
        pass.norms.resize(count, None);
        pass.values[0].resize(x.len(), T::zero());
        self.channels_last(x, &mut pass.values[0]);
        let mut parameters = &self.parameters[..];
        for (l, level) in self.levels.iter().enumerate() {
            let (weight, gamma, beta) = level.parts(take(&mut parameters, level.n_parameters()));
            let (before, after) = pass.values.split_at_mut(l + 1);
            let (x, z, out) = (&before[l], &mut pass.convs[l], &mut after[0]);
            z.resize(n * level.between(), T::zero());
            out.resize(n * level.leaving(), T::zero());
            let found: Vec<Moments> = z
                .par_chunks_mut(per * level.between())
                .zip(x.par_chunks(per * level.entering()))
                .map(|(z, x)| {
                    level.convolve(x, z, weight, &mut vec![]);
                    let (mut mean, mut variance) = (vec![T::zero(); level.outputs], vec![T::zero(); level.outputs]);
                    let mut all = Moments::new(level.outputs);
                    for z in z.chunks_exact(level.between()) {
                        moments(z, &mut mean, &mut variance);
                        all.add((level.conv.0 * level.conv.1) as f64, &mean, &variance);
                    }
                    all
                })
                .collect();
            let mut all = Moments::new(level.outputs);
            found.iter().for_each(|m| all.merge(m));
            self.running[l].update(&all, (n * level.conv.0 * level.conv.1) as f64);
            let norm = all.norm();
            let (scale, shift) = norm.affine(gamma, beta);
            z.par_chunks(per * level.between()).zip(out.par_chunks_mut(per * level.leaving())).for_each(|(z, out)| {
                level.finish(&self.form, z, (&scale, &shift), out, &mut vec![]);
            });
            pass.norms[l] = Some(norm);
        }
        let mut out = Array2::zeros((n, self.width()));
        if let Some(out) = out.as_slice_mut() {
            self.end(&pass.values[count], out);
        }
        out
    }

    /// The gradient by the parameters, left in the pass, from the derivative by the output (images x width).
    pub fn backward(&self, signal: ArrayView2<T>, pass: &mut ConvPass<T>) {
        let n = signal.nrows();
        let per = n.div_ceil(PARTS).max(1);
        let Some(last) = self.levels.last() else { return };
        let [next, between] = &mut pass.signals;
        next.resize(n * last.leaving(), T::zero());
        let places = last.leave.0 * last.leave.1;
        for (to, from) in next.chunks_exact_mut(last.leaving()).zip(signal.outer_iter()) {
            match self.form.end {
                End::Flatten => to.iter_mut().zip(from).for_each(|(t, f)| *t = *f),
                End::Average => {
                    let share = T::of(1.0 / places as f64);
                    let all = to.chunks_exact_mut(last.outputs);
                    all.for_each(|to| to.iter_mut().zip(from).for_each(|(t, f)| *t = *f * share));
                }
            }
        }
        pass.gradient.resize(self.parameters.len(), T::zero());
        let mut at = self.parameters.len();
        for (l, level) in self.levels.iter().enumerate().rev() {
            at -= level.n_parameters();
            let (weight, gamma, beta) = level.parts(&self.parameters[at..]);
            let Some(norm) = &pass.norms[l] else { return };
            let (x, z) = (&pass.values[l], &pass.convs[l]);
            let (scale, shift) = norm.affine(gamma, beta);
            between.resize(n * level.between(), T::zero());
            let found: Vec<(Vec<f64>, Vec<f64>)> = between
                .par_chunks_mut(per * level.between())
                .zip(z.par_chunks(per * level.between()))
                .zip(next.par_chunks(per * level.leaving()))
                .map(|((g, z), from)| {
                    level.unfinish(&self.form, z, (&scale, &shift), from, g, &mut vec![]);
                    let width = level.outputs;
                    let (mut s, mut p) = (vec![T::zero(); width], vec![T::zero(); width]);
                    let (mut sums, mut products) = (vec![0.0; width], vec![0.0; width]);
                    for (g, z) in g.chunks_exact(level.between()).zip(z.chunks_exact(level.between())) {
                        column_sums(g, z, &norm.mean, &mut s, &mut p);
                        sums.iter_mut().zip(&s).for_each(|(t, s)| *t += (*s).into());
                        products.iter_mut().zip(&p).for_each(|(t, p)| *t += (*p).into());
                    }
                    (sums, products)
                })
                .collect();
            let sum = |c: usize| found.iter().map(|f| f.0[c]).sum::<f64>();
            let product = |c: usize| found.iter().map(|f| f.1[c]).sum::<f64>();
            // Σg and Σg x̂ are the gradients by β and γ.
            let by_beta: Vec<T> = (0..level.outputs).map(|c| T::of(sum(c))).collect();
            let by_gamma: Vec<T> = (0..level.outputs).map(|c| T::of(product(c)) * norm.inverse[c]).collect();
            let share = T::of(1.0 / (n * level.conv.0 * level.conv.1) as f64);
            let push: Vec<T> = (0..level.outputs).map(|c| share * scale[c] * by_gamma[c] * norm.inverse[c]).collect();
            let pull: Vec<T> =
                (0..level.outputs).map(|c| share * scale[c] * by_beta[c] - push[c] * norm.mean[c]).collect();
            next.resize(n * level.entering(), T::zero());
            let parts: Vec<Vec<T>> = between
                .par_chunks_mut(per * level.between())
                .zip(z.par_chunks(per * level.between()))
                .zip(x.par_chunks(per * level.entering()))
                .zip(next.par_chunks_mut(per * level.entering()))
                .map(|(((g, z), x), to)| {
                    centre(g, z, &scale, &pull, &push);
                    level.backward(g, x, weight, to, l > 0)
                })
                .collect();
            let mut gradient = &mut pass.gradient[at..at + level.n_parameters()];
            let by_weight = take_mut(&mut gradient, level.patch() * level.outputs);
            by_weight.fill(T::zero());
            for part in &parts {
                by_weight.iter_mut().zip(part).for_each(|(b, p)| *b += *p);
            }
            take_mut(&mut gradient, level.outputs).copy_from_slice(&by_gamma);
            take_mut(&mut gradient, level.outputs).copy_from_slice(&by_beta);
        }
    }
}

impl Level {
    /// Gradient by the weights from that by the convolution, of some images; writes that by what entered if asked.
    fn backward<T: Real>(&self, g: &[T], x: &[T], weight: &[T], to: &mut [T], further: bool) -> Vec<T> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use numerics::streams::Streams;
    use rand_distr::{Distribution, StandardNormal};

    fn normal<T: Real>(n: usize, d: usize, name: &str) -> Array2<T> {
        let mut rng = Streams::new(8).rng(name);
        Array2::from_shape_simple_fn((n, d), || {
            let z: f64 = StandardNormal.sample(&mut rng);
            T::of(z)
        })
    }

    fn forms() -> Vec<ConvForm> {
        let form = |image, widths: &[usize], shrink, end, slope| ConvForm {
            image,
            widths: widths.to_vec(),
            shrink,
            end,
            slope,
        };
        vec![
            form([2, 5, 6], &[3, 4], Shrink::Stride, End::Average, 0.2),
            form([1, 6, 4], &[3, 2], Shrink::MaxPool, End::Flatten, 0.0),
            form([3, 4, 4], &[2, 3, 2], Shrink::Stride, End::Flatten, 0.01),
        ]
    }

    fn net<T: Real>(form: &ConvForm) -> ConvNet<T> {
        let mut net = ConvNet::new(form.clone(), &mut Streams::new(3).rng("start")).unwrap();
        // γ and β away from 1 and 0, so that nothing cancels.
        net.parameters.iter_mut().enumerate().for_each(|(i, p)| *p += T::of(0.1 * ((i * 7 % 11) as f64 - 5.0) / 5.0));
        net
    }

    #[test]
    fn a_level_is_its_definition() {
        let form =
            ConvForm { image: [2, 5, 6], widths: vec![3], shrink: Shrink::Stride, end: End::Flatten, slope: 0.2 };
        let (mut net, x) = (net::<f64>(&form), normal::<f64>(9, 60, "x"));
        let mut pass = ConvPass::default();
        let out = net.forward(x.view(), &mut pass);
        let weight = |ky: usize, kx: usize, c: usize, o: usize| net.parameters[((ky * 3 + kx) * 2 + c) * 3 + o];
        // Channel by channel over all images and places: 3 x 3 sums, normalised, leaky.
        for o in 0..3 {
            let mut z = vec![];
            for i in 0..9 {
                for oy in 0..3usize {
                    for ox in 0..3usize {
                        let mut sum = 0.0;
                        for (ky, kx, c) in (0..18).map(|t| (t / 6, t / 2 % 3, t % 2)) {
                            let (y, xx) = (2 * oy + ky, 2 * ox + kx);
                            if (1..=5).contains(&y) && (1..=6).contains(&xx) {
                                sum += x[(i, c * 30 + (y - 1) * 6 + xx - 1)] * weight(ky, kx, c, o);
                            }
                        }
                        z.push(sum);
                    }
                }
            }
            let mean = z.iter().sum::<f64>() / 81.0;
            let variance = z.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 81.0;
            for (at, v) in z.iter().enumerate() {
                let y = net.parameters[54 + o] * (v - mean) / (variance + 1e-5).sqrt() + net.parameters[57 + o];
                let want = if y > 0.0 { y } else { 0.2 * y };
                assert!((out[(at / 9, at % 9 * 3 + o)] - want).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn gradients_match_central_differences() {
        for form in forms() {
            let (mut net, x) = (net::<f64>(&form), normal::<f64>(11, form.image.iter().product(), "x"));
            let direction = normal::<f64>(11, net.width(), "direction");
            let mut pass = ConvPass::default();
            net.forward(x.view(), &mut pass);
            net.backward(direction.view(), &mut pass);
            let gradient = pass.gradient.clone();
            let mut worst = 0.0f64;
            for (i, g) in gradient.iter().enumerate() {
                let mut at = |h: f64| {
                    net.parameters[i] += h;
                    let value = (&net.forward(x.view(), &mut pass) * &direction).sum();
                    net.parameters[i] -= h;
                    value
                };
                let want = (at(1e-6) - at(-1e-6)) / 2e-6;
                worst = worst.max((g - want).abs() / want.abs().max(1.0));
            }
            assert!(worst < 1e-5, "{form:?}: {worst:e}");
        }
    }

    #[test]
    fn prediction_uses_the_gathered_statistics() {
        for form in forms() {
            let (mut net, x) = (net::<f64>(&form), normal::<f64>(37, form.image.iter().product(), "x"));
            let mut pass = ConvPass::default();
            let mut out = Array2::zeros((0, 0));
            for _ in 0..400 {
                out = net.forward(x.view(), &mut pass);
            }
            // Statistics of the same batch, but for the divisor n - 1.
            let said = net.predict(x.view());
            assert!((&said - &out).iter().all(|d| d.abs() < 0.1), "{form:?}");
        }
    }

    #[test]
    fn threads_change_no_bit_and_small_images_are_refused() {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let form = ConvForm {
                    image: [3, 12, 12],
                    widths: vec![8, 9],
                    shrink: Shrink::MaxPool,
                    end: End::Average,
                    slope: 0.1,
                };
                let (mut net, x) = (net::<f32>(&form), normal::<f32>(50, 432, "x"));
                let mut pass = ConvPass::default();
                let out = net.forward(x.view(), &mut pass);
                net.backward(out.view(), &mut pass);
                (out, pass.gradient, net.predict(x.view()))
            })
        };
        assert!(run(1) == run(4));
        let form =
            ConvForm { image: [1, 4, 4], widths: vec![2; 3], shrink: Shrink::MaxPool, end: End::Average, slope: 0.0 };
        let e = ConvNet::<f32>::new(form, &mut Streams::new(1).rng("x")).unwrap_err().to_string();
        assert!(e.contains("level 3 has 1 x 1 left"), "{e}");
    }
}
