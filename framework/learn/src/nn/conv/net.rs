//! Levels one after another, in training and prediction.

use super::level::{ConvShape, End, Level, Shrink};
use crate::nn::batch_norm::{Moments, Norm, Running, moments, rows, take, take_mut};
use ndarray::{Array2, ArrayView2};
use numerics::Real;
use numerics::{Error, Result};
use rand::{Rng, RngExt};
use rayon::prelude::*;

/// Parts of a batch.
const PARTS: usize = 8;

/// Images of a task of prediction.
const IMAGES: usize = 16;

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

/// The levels with their parameters.
#[derive(Clone, Debug)]
pub struct ConvNet<T> {
    pub(super) form: ConvShape,
    levels: Vec<Level>,
    /// Of each level its weights (9 places x channels in, channels out), γ and β.
    pub parameters: Vec<T>,
    running: Vec<Running>,
}

/// Forward and backward pass of a batch; the buffers are kept from one batch to the next.
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
    pub fn new(form: ConvShape, rng: &mut impl Rng) -> Result<Self> {
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
