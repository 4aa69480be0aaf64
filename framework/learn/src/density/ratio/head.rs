//! The head: two rows of W for each sample of a batch.

use crate::nn::optimiser::Adam;
use numerics::streams::StreamRng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

/// Rows of the head that are worked on together, and the numbers of a batch from which threads share it.
const TILE: usize = 128;
const SHARED: usize = 1 << 18;

/// The head: joint and marginal values of some rows, their loss, and the derivatives.
pub(super) struct Head {
    pub(super) width: usize,
    rectified: bool,
    pub(super) w: Vec<f32>,
    pub(super) gradient: Vec<f32>,
    adam: Adam<f32>,
    /// What enters, and the derivatives of the loss by the two values, of each row of a batch.
    pub(super) h: Vec<f32>,
    pub(super) by: Vec<[f32; 2]>,
}

/// Adds up a dot product in eight lanes.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut sums = [0.0f32; 8];
    for (a, b) in a.iter().zip(b) {
        for l in 0..8 {
            sums[l] += a[l] * b[l];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7])) + rest
}

wide! {
    /// Loss (sum) and right decisions of some rows; `h`, `by` and the signal are filled.
    fn head_rows(
        w: &[f32],
        rectified: bool,
        out: &[f32],
        classes: &[[u32; 2]],
        share: f32,
        h: &mut [f32],
        by: &mut [[f32; 2]],
        signal: &mut [f32],
    ) -> (f64, usize) {
        let width = out.len() / classes.len();
        let (mut loss, mut product, mut right) = (0.0f64, 1.0f64, 0);
        let rows = out.chunks_exact(width).zip(classes).zip(h.chunks_exact_mut(width));
        for ((((out, classes), h), by), signal) in rows.zip(by).zip(signal.chunks_exact_mut(width)) {
            for (h, o) in h.iter_mut().zip(out) {
                *h = if rectified && *o < 0.0 { 0.0 } else { *o };
            }
            let [joint, marginal] = classes.map(|c| &w[c as usize * width..][..width]);
            let (f, g) = (dot(h, joint), dot(h, marginal));
            // ln(1 + e^-f) = max(-f, 0) + ln(1 + e^-|f|); the logarithms are taken of the product.
            let (e, k) = ((-f.abs()).exp(), (-g.abs()).exp());
            loss += f64::from((-f).max(0.0) + g.max(0.0));
            product *= f64::from(1.0 + e) * f64::from(1.0 + k);
            right += usize::from(f > 0.0) + usize::from(g < 0.0);
            let (a, b) = (
                if f > 0.0 { e / (1.0 + e) } else { 1.0 / (1.0 + e) },
                if g > 0.0 { 1.0 / (1.0 + k) } else { k / (1.0 + k) },
            );
            *by = [-a * share, b * share];
            for (((s, h), j), m) in signal.iter_mut().zip(h.iter()).zip(joint).zip(marginal) {
                *s = if rectified && *h <= 0.0 { 0.0 } else { by[0] * *j + by[1] * *m };
            }
        }
        (loss + product.ln(), right)
    }
}

wide! {
    /// Gradient of W.
    pub(super) fn head_gradient(h: &[f32], by: &[[f32; 2]], classes: &[[u32; 2]], gradient: &mut [f32]) {
        let width = h.len() / classes.len();
        for ((h, by), classes) in h.chunks_exact(width).zip(by).zip(classes) {
            for (c, by) in classes.iter().zip(by) {
                let to = &mut gradient[*c as usize * width..][..width];
                to.iter_mut().zip(h).for_each(|(t, h)| *t += *by * *h);
            }
        }
    }
}

impl Head {
    pub(super) fn new(classes: usize, width: usize, rectified: bool, mut rng: StreamRng) -> Self {
        let root = (width as f64).sqrt();
        let mut draw = || -> f64 { StandardNormal.sample(&mut rng) };
        let w: Vec<f32> = (0..classes * width).map(|_| (draw() / root) as f32).collect();
        Self { width, rectified, gradient: vec![0.0; w.len()], adam: Adam::new(w.len()), w, h: vec![], by: vec![] }
    }

    /// Mean loss of a row and share of right decisions; fills the signal, and keeps what the gradient needs.
    pub(super) fn pass(&mut self, out: &[f32], classes: &[[u32; 2]], signal: &mut [f32]) -> (f64, f64) {
        self.h.resize(out.len(), 0.0);
        self.by.resize(classes.len(), [0.0; 2]);
        let (w, rectified, share) = (&self.w[..], self.rectified, 0.5 / classes.len() as f32);
        let tile = TILE * self.width;
        type Parts<'a> = ((((&'a [f32], &'a [[u32; 2]]), &'a mut [f32]), &'a mut [[f32; 2]]), &'a mut [f32]);
        let run =
            |((((out, classes), h), by), signal): Parts| head_rows(w, rectified, out, classes, share, h, by, signal);
        let found: Vec<(f64, usize)> = if out.len() < SHARED {
            let rows = out.chunks(tile).zip(classes.chunks(TILE)).zip(self.h.chunks_mut(tile));
            rows.zip(self.by.chunks_mut(TILE)).zip(signal.chunks_mut(tile)).map(run).collect()
        } else {
            let rows = out.par_chunks(tile).zip(classes.par_chunks(TILE)).zip(self.h.par_chunks_mut(tile));
            rows.zip(self.by.par_chunks_mut(TILE)).zip(signal.par_chunks_mut(tile)).map(run).collect()
        };
        let n = 2.0 * classes.len() as f64;
        (found.iter().map(|f| f.0).sum::<f64>() / n, found.iter().map(|f| f.1).sum::<usize>() as f64 / n)
    }

    pub(super) fn step(&mut self, classes: &[[u32; 2]], rate: f64) {
        self.gradient.fill(0.0);
        head_gradient(&self.h, &self.by, classes, &mut self.gradient);
        self.adam.step(&mut self.w, &mut self.gradient, rate);
    }
}
