//! Density ratios between all classes of a screen by one network.
//!
//! f(x, c) = Enc(x)·W_c learns to tell samples with their own class from samples with the class of another: with f_joint
//! and f_marginal its values for the two, the loss of a batch of B is (1/2B) Σ [ln(1 + e^-f_joint) + ln(1 + e^f_marginal)].
//! At its least, f(x, c) = ln p(x|c)/p(x), so that ln p(x|a)/p(x|b) = f(x, a) - f(x, b) for any two classes.
//!
//! Marginal pairs come from permuting the classes of the batch (the paper's way). Of the head only the two rows of W
//! that a sample needs are touched, whatever the number of classes: a step costs what the encoder costs. Samples are
//! fetched a batch at a time, sorted by class, so that sources which make samples on demand are never held whole.

use crate::nn::conv::{ConvNet, ConvPass};
use crate::nn::network::{Network, Pass};
use crate::nn::optimiser::Adam;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};
use numerics::linalg::{eigh, product};
use numerics::samples::Design;
use numerics::streams::{StreamRng, Streams};
use numerics::{Error, Result};
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Rows of the head that are worked on together, and the numbers of a batch from which threads share it.
const TILE: usize = 128;
const SHARED: usize = 1 << 18;
/// Samples that are embedded at a time.
const ROWS: usize = 1024;
/// Samples of a class from which features are standardised.
const SCALED: usize = 1000;
/// Most features that are whitened.
const WHITENED: usize = 2048;
/// Numbers of a batch from which threads share fetching it.
const FETCH: usize = 1 << 16;

/// Which parameters training hands back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Those of the epoch with the largest accuracy on its own batches.
    #[default]
    Train,
    /// Those of the epoch with the least loss on samples that are held out.
    HeldOut,
    /// The last.
    Last,
}

/// How long and how fast to train.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Learning rate of Adam.
    pub rate: f64,
    /// Passes over the samples.
    pub epochs: usize,
    /// Samples of a step; what is left at the end of an epoch below that waits for the next.
    pub batch: usize,
    /// What is handed back.
    pub keep: Keep,
    /// Share of the units of each class that is held out, with [`Keep::HeldOut`].
    pub held_out: f64,
}

/// What makes a few numbers of a sample.
pub trait Encoder: Send + Sync {
    /// How many.
    fn width(&self) -> usize;
    /// Whether a ReLU is still to follow; the head applies it.
    fn rectified(&self) -> bool;
    /// For the rows of `x`, as it is now and without randomness: rows x width.
    fn predict(&self, x: ArrayView2<f32>) -> Array2<f32>;
    /// Prepares batches of `rows` samples.
    fn begin(&mut self, rows: usize);
    /// The batch, to be filled: rows x features.
    fn input(&mut self) -> ArrayViewMut2<'_, f32>;
    /// Sends the batch through.
    fn forward(&mut self, rng: &mut StreamRng);
    /// What came out, and the derivative of the loss by it, to be filled.
    fn output_and_signal(&mut self) -> (ArrayView2<'_, f32>, ArrayViewMut2<'_, f32>);
    /// One step of Adam along the gradient.
    fn step(&mut self, rate: f64);
    /// Remembers the parameters as they are.
    fn keep(&mut self);
    /// Goes back to what was remembered.
    fn restore(&mut self);
    /// Whether all parameters are finite.
    fn is_finite(&self) -> bool;
}

/// A fully connected encoder; ReLU after every layer.
pub struct MlpEncoder {
    network: Network<f32>,
    pass: Pass<f32>,
    adam: Adam<f32>,
    dropout: f64,
    kept: Option<Network<f32>>,
}

impl MlpEncoder {
    /// Around a new network; in training a share `dropout` of the units between its layers is left out.
    pub fn new(network: Network<f32>, dropout: f64) -> Self {
        Self { pass: Pass::new(&network, 0), adam: Adam::new(network.n_parameters()), network, dropout, kept: None }
    }
}

impl Encoder for MlpEncoder {
    fn width(&self) -> usize {
        self.network.layers.last().map_or(0, |l| l.weight.ncols())
    }

    fn rectified(&self) -> bool {
        true
    }

    fn predict(&self, x: ArrayView2<f32>) -> Array2<f32> {
        self.network.forward(x)
    }

    fn begin(&mut self, rows: usize) {
        self.pass = Pass::new(&self.network, rows);
    }

    fn input(&mut self) -> ArrayViewMut2<'_, f32> {
        self.pass.input_mut()
    }

    fn forward(&mut self, rng: &mut StreamRng) {
        if self.dropout > 0.0 {
            let (rows, factor) = (self.pass.input_mut().nrows(), (1.0 / (1.0 - self.dropout)) as f32);
            let hidden = self.network.layers.iter().map(|l| l.weight.ncols()).take(self.network.layers.len() - 1);
            let mut draw = || if rng.random_bool(self.dropout) { 0.0 } else { factor };
            let masks = hidden.map(|w| Array2::from_shape_simple_fn((rows, w), &mut draw)).collect();
            self.pass.set_masks(masks);
        }
        self.pass.forward(&self.network);
    }

    fn output_and_signal(&mut self) -> (ArrayView2<'_, f32>, ArrayViewMut2<'_, f32>) {
        self.pass.output_and_signal()
    }

    fn step(&mut self, rate: f64) {
        self.pass.backward(&self.network);
        self.pass.step(&mut self.network, &mut self.adam, rate);
    }

    fn keep(&mut self) {
        self.kept = Some(self.network.clone());
    }

    fn restore(&mut self) {
        if let Some(kept) = self.kept.take() {
            self.network = kept;
        }
    }

    fn is_finite(&self) -> bool {
        self.network.is_finite()
    }
}

/// A convolutional encoder, with fully connected layers behind it where there are any.
pub struct ConvEncoder {
    net: ConvNet<f32>,
    dense: Option<MlpEncoder>,
    pass: ConvPass<f32>,
    adam: Adam<f32>,
    input: Array2<f32>,
    out: Array2<f32>,
    signal: Array2<f32>,
    kept: Option<ConvNet<f32>>,
}

impl ConvEncoder {
    /// Around new levels and layers.
    pub fn new(net: ConvNet<f32>, dense: Option<MlpEncoder>) -> Self {
        let none = || Array2::zeros((0, 0));
        let (adam, pass) = (Adam::new(net.parameters.len()), ConvPass::default());
        Self { net, dense, pass, adam, input: none(), out: none(), signal: none(), kept: None }
    }
}

impl Encoder for ConvEncoder {
    fn width(&self) -> usize {
        self.dense.as_ref().map_or(self.net.width(), Encoder::width)
    }

    fn rectified(&self) -> bool {
        self.dense.is_some()
    }

    fn predict(&self, x: ArrayView2<f32>) -> Array2<f32> {
        let out = self.net.predict(x);
        match &self.dense {
            Some(d) => d.predict(out.view()),
            None => out,
        }
    }

    fn begin(&mut self, rows: usize) {
        self.input = Array2::zeros((rows, self.net.n_inputs()));
        self.signal = Array2::zeros((rows, self.net.width()));
        if let Some(d) = &mut self.dense {
            d.begin(rows);
        }
    }

    fn input(&mut self) -> ArrayViewMut2<'_, f32> {
        self.input.view_mut()
    }

    fn forward(&mut self, rng: &mut StreamRng) {
        self.out = self.net.forward(self.input.view(), &mut self.pass);
        if let Some(d) = &mut self.dense {
            d.input().assign(&self.out);
            d.forward(rng);
        }
    }

    fn output_and_signal(&mut self) -> (ArrayView2<'_, f32>, ArrayViewMut2<'_, f32>) {
        match &mut self.dense {
            Some(d) => d.output_and_signal(),
            None => (self.out.view(), self.signal.view_mut()),
        }
    }

    fn step(&mut self, rate: f64) {
        if let Some(d) = &mut self.dense {
            d.pass.backward(&d.network);
            self.signal.assign(&d.pass.input_signal(&d.network));
            d.pass.step(&mut d.network, &mut d.adam, rate);
        }
        self.net.backward(self.signal.view(), &mut self.pass);
        self.adam.step(&mut self.net.parameters, &mut self.pass.gradient, rate);
    }

    fn keep(&mut self) {
        self.kept = Some(self.net.clone());
        if let Some(d) = &mut self.dense {
            d.keep();
        }
    }

    fn restore(&mut self) {
        if let Some(kept) = self.kept.take() {
            self.net = kept;
        }
        if let Some(d) = &mut self.dense {
            d.restore();
        }
    }

    fn is_finite(&self) -> bool {
        self.net.is_finite() && self.dense.as_ref().is_none_or(Encoder::is_finite)
    }
}

/// How features are brought to one scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Each to mean 0 and sd 1.
    #[default]
    Each,
    /// Then rotated and scaled to the identity as covariance, for features that are strongly correlated.
    Whiten,
    /// As they are.
    None,
}

/// Shift, scale and rotation of features.
#[derive(Clone, Debug)]
pub struct Standard {
    mean: Vec<f32>,
    inverse: Vec<f32>,
    rotation: Option<Array2<f32>>,
}

impl Standard {
    /// From up to 1,000 samples evenly spaced in each of some classes, every class weighing the same. Neighbouring
    /// features, `together` of them (the pixels of a channel), share mean and sd. What does not vary keeps its unit.
    pub fn new(samples: &dyn Design, classes: Range<usize>, together: usize, scale: Scale) -> Result<Option<Self>> {
        let d = samples.n_features();
        if scale == Scale::None {
            return Ok(None);
        }
        if scale == Scale::Whiten && d > WHITENED {
            return Err(Error::Setting(format!(
                "{d} features are too many to be whitened (at most {WHITENED}); standardise = \"each\" takes any number"
            )));
        }
        let each = |f: &mut dyn FnMut(f64, ndarray::ArrayView1<f32>)| -> Result<()> {
            for c in classes.clone() {
                let class = samples.class(c);
                let n = class.len().min(SCALED);
                let at: Vec<usize> = (0..n).map(|i| i * class.len() / n).collect();
                for at in at.chunks((FETCH / d).max(1)) {
                    class.rows(at)?.outer_iter().for_each(|row| f(1.0 / n as f64, row));
                }
            }
            Ok(())
        };
        let (mut weight, mut mean, mut squares) = (0.0f64, vec![0.0f64; d], vec![0.0f64; d]);
        each(&mut |w, row| {
            weight += w;
            for ((m, s), v) in mean.iter_mut().zip(&mut squares).zip(row) {
                let away = f64::from(*v) - *m;
                *m += w / weight * away;
                *s += w * away * (f64::from(*v) - *m);
            }
        })?;
        let mut out = Self { mean: vec![], inverse: vec![], rotation: None };
        for (means, squares) in mean.chunks(together.max(1)).zip(squares.chunks(together.max(1))) {
            let n = means.len() as f64;
            let all = means.iter().sum::<f64>() / n;
            let variance = means.iter().zip(squares).map(|(m, s)| s / weight + (m - all).powi(2)).sum::<f64>() / n;
            let sd = variance.sqrt();
            let inverse = if sd > 1e-7 * all.abs() { (1.0 / sd) as f32 } else { 1.0 };
            out.mean.extend(means.iter().map(|_| all as f32));
            out.inverse.extend(means.iter().map(|_| inverse));
        }
        if scale == Scale::Whiten {
            let mut covariance = Array2::<f64>::zeros((d, d));
            each(&mut |w, row| {
                let row = out.rows(row.insert_axis(Axis(0)));
                for (a, mut to) in row.iter().zip(covariance.outer_iter_mut()) {
                    to.scaled_add(w / weight * a, &row.row(0));
                }
            })?;
            let (values, mut vectors) = eigh(covariance.view())?;
            // Directions without spread are not blown up.
            let least = 1e-6 * values.iter().fold(0.0f64, |m, v| m.max(*v));
            for (mut column, v) in vectors.columns_mut().into_iter().zip(&values) {
                column *= if *v > least { 1.0 / v.sqrt() } else { 0.0 };
            }
            out.rotation = Some(vectors.mapv(|v| v as f32));
        }
        Ok(Some(out))
    }

    /// Rows after shift and scale, in double precision, not rotated.
    pub fn rows(&self, x: ArrayView2<f32>) -> Array2<f64> {
        let shifted = |(f, v): (usize, &f32)| (f64::from(*v) - f64::from(self.mean[f])) * f64::from(self.inverse[f]);
        let rows = x.outer_iter().flat_map(|r| r.iter().enumerate().map(shifted).collect::<Vec<_>>()).collect();
        Array2::from_shape_vec(x.dim(), rows).unwrap_or_else(|_| Array2::zeros((0, 0)))
    }

    fn apply(&self, mut x: ArrayViewMut2<f32>) {
        for mut row in x.outer_iter_mut() {
            row.iter_mut().zip(self.mean.iter().zip(&self.inverse)).for_each(|(x, (m, i))| *x = (*x - m) * i);
        }
        if let Some(r) = &self.rotation {
            let turned = product(x.view(), r.view());
            x.assign(&turned);
        }
    }
}

/// Classes and numbers of samples, sorted, into the rows of `out`.
fn fetch(
    samples: &dyn Design,
    standard: Option<&Standard>,
    picks: &[(u32, u32)],
    mut out: ArrayViewMut2<f32>,
) -> Result<()> {
    let shared = out.len() >= FETCH;
    // A task is a class, or a part of one where threads share.
    let most = if shared { (FETCH / out.ncols().max(1)).clamp(1, 64) } else { picks.len() };
    let mut tasks = vec![];
    let mut rest = out.view_mut();
    for run in picks.chunk_by(|a, b| a.0 == b.0).flat_map(|r| r.chunks(most.max(1))) {
        let (part, next) = rest.split_at(Axis(0), run.len());
        tasks.push((run, part));
        rest = next;
    }
    let run = |(run, mut part): (&[(u32, u32)], ArrayViewMut2<f32>)| {
        let at: Vec<usize> = run.iter().map(|p| p.1 as usize).collect();
        samples.class(run[0].0 as usize).rows_into(&at, part.view_mut())?;
        if let Some(s) = standard {
            s.apply(part);
        }
        Ok(())
    };
    if shared { tasks.into_par_iter().try_for_each(run) } else { tasks.into_iter().try_for_each(run) }
}

/// A trained f.
pub struct Ratio {
    encoder: Box<dyn Encoder>,
    standard: Option<Standard>,
    /// W: classes x width.
    head: Array2<f32>,
}

impl Ratio {
    /// W: classes x width.
    pub fn head(&self) -> ArrayView2<'_, f32> {
        self.head.view()
    }

    /// Enc(x)·v for all samples of a class and the rows v of `heads` (rows of W, or sums and differences of them): heads
    /// x samples. Samples are fetched a thousand at a time. O(samples x (parameters + heads x width)).
    pub fn values(&self, samples: &dyn Design, class: usize, heads: ArrayView2<f32>) -> Result<Array2<f32>> {
        let n = samples.class(class).len();
        let mut out = Array2::zeros((heads.nrows(), n));
        let picks: Vec<(u32, u32)> = (0..n as u32).map(|i| (class as u32, i)).collect();
        let mut x = Array2::zeros((ROWS.min(n), samples.n_features()));
        for (picks, mut out) in picks.chunks(ROWS).zip(out.axis_chunks_iter_mut(Axis(1), ROWS)) {
            let mut x = x.slice_mut(ndarray::s![..picks.len(), ..]);
            fetch(samples, self.standard.as_ref(), picks, x.view_mut())?;
            let mut h = self.encoder.predict(x.view());
            if self.encoder.rectified() {
                h.mapv_inplace(|v| if v < 0.0 { 0.0 } else { v });
            }
            out.assign(&product(heads, h.t()));
        }
        if out.iter().any(|v| !v.is_finite()) {
            return Err(Error::Input(format!(
                "the ratio of samples of `{}` is not finite; look there for values that are not finite or far from those \
                 of the other classes",
                samples.name(class)
            )));
        }
        Ok(out)
    }
}

/// The head: joint and marginal values of some rows, their loss, and the derivatives.
struct Head {
    width: usize,
    rectified: bool,
    w: Vec<f32>,
    gradient: Vec<f32>,
    adam: Adam<f32>,
    /// What enters, and the derivatives of the loss by the two values, of each row of a batch.
    h: Vec<f32>,
    by: Vec<[f32; 2]>,
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
    fn head_gradient(h: &[f32], by: &[[f32; 2]], classes: &[[u32; 2]], gradient: &mut [f32]) {
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
    fn new(classes: usize, width: usize, rectified: bool, mut rng: StreamRng) -> Self {
        let root = (width as f64).sqrt();
        let mut draw = || -> f64 { StandardNormal.sample(&mut rng) };
        let w: Vec<f32> = (0..classes * width).map(|_| (draw() / root) as f32).collect();
        Self { width, rectified, gradient: vec![0.0; w.len()], adam: Adam::new(w.len()), w, h: vec![], by: vec![] }
    }

    /// Mean loss of a row and share of right decisions; fills the signal, and keeps what the gradient needs.
    fn pass(&mut self, out: &[f32], classes: &[[u32; 2]], signal: &mut [f32]) -> (f64, f64) {
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

    fn step(&mut self, classes: &[[u32; 2]], rate: f64) {
        self.gradient.fill(0.0);
        head_gradient(&self.h, &self.by, classes, &mut self.gradient);
        self.adam.step(&mut self.w, &mut self.gradient, rate);
    }
}

/// A trained ratio, and how the training went.
pub struct Trained {
    /// The ratio.
    pub ratio: Ratio,
    /// The epoch whose parameters it has, from 1.
    pub epoch: usize,
    /// Mean loss and share of right decisions over the batches of that epoch.
    pub loss: f64,
    /// See `loss`.
    pub accuracy: f64,
    /// Loss of that epoch on what was held out.
    pub held_out: Option<f64>,
}

/// Joint and marginal class of each pick; marginal ones are the joint ones in random order.
fn pair(picks: &[(u32, u32)], rng: &mut StreamRng, to: &mut Vec<[u32; 2]>) {
    let mut marginal: Vec<u32> = picks.iter().map(|p| p.0).collect();
    marginal.shuffle(rng);
    to.clear();
    to.extend(picks.iter().zip(marginal).map(|(p, m)| [p.0, m]));
}

/// Trains f on all classes at once; `tick` is told the epochs done.
pub fn train(
    samples: &dyn Design,
    mut encoder: Box<dyn Encoder>,
    standard: Option<Standard>,
    schedule: &Schedule,
    streams: &Streams,
    tick: &dyn Fn(usize),
) -> Result<Trained> {
    let (mut picks, mut held) = (vec![], vec![]);
    for c in 0..samples.n_classes() {
        let class = samples.class(c);
        let (units, of) = (class.n_units(), class.units());
        // Whole units are held out, and never the last of a class.
        let share = if schedule.keep == Keep::HeldOut { schedule.held_out } else { 0.0 };
        let out = ((share * units as f64).ceil() as usize).min(units - 1);
        let mut is_out = vec![false; units];
        is_out[..out].fill(true);
        is_out.shuffle(&mut streams.child("held out").index(c).rng("units"));
        for i in 0..class.len() {
            let to = if is_out[of.as_ref().map_or(i, |u| u[i])] { &mut held } else { &mut picks };
            to.push((c as u32, i as u32));
        }
    }
    let rows = schedule.batch.min(picks.len());
    if rows < 2 {
        return Err(Error::Setting(format!(
            "a batch of {rows} sample cannot tell joint from marginal pairs; use 2 or more"
        )));
    }
    encoder.begin(rows);
    let mut head = Head::new(samples.n_classes(), encoder.width(), encoder.rectified(), streams.rng("head"));
    let mut best = None;
    let (mut batch, mut classes) = (vec![], vec![]);
    let mut kept = head.w.clone();
    for epoch in 1..=schedule.epochs {
        let mut rng = streams.index(epoch).rng("batches");
        picks.shuffle(&mut rng);
        let (mut loss, mut accuracy, steps) = (0.0, 0.0, picks.len() / rows);
        for chosen in picks.chunks_exact(rows) {
            batch.clear();
            batch.extend_from_slice(chosen);
            batch.sort_unstable();
            fetch(samples, standard.as_ref(), &batch, encoder.input())?;
            encoder.forward(&mut rng);
            pair(&batch, &mut rng, &mut classes);
            let (out, mut signal) = encoder.output_and_signal();
            let found = match (out.as_slice(), signal.as_slice_mut()) {
                (Some(out), Some(signal)) => head.pass(out, &classes, signal),
                _ => return Err(Error::Breakdown("an encoder whose output is not row by row".into())),
            };
            loss += found.0 / steps as f64;
            accuracy += found.1 / steps as f64;
            encoder.step(schedule.rate);
            head.step(&classes, schedule.rate);
        }
        if !loss.is_finite() || !encoder.is_finite() || head.w.iter().any(|v| !v.is_finite()) {
            return Err(Error::Breakdown(format!(
                "the density ratio diverged in epoch {epoch} of {} (loss {loss}); lower `rate`, {}",
                schedule.epochs,
                if standard.is_some() {
                    "and look for samples far from all others"
                } else {
                    "or standardise the features"
                }
            )));
        }
        let held_out = match schedule.keep {
            Keep::HeldOut if !held.is_empty() => {
                Some(held_out_loss(samples, &*encoder, standard.as_ref(), &held, &mut head, streams)?)
            }
            _ => None,
        };
        let gain = match schedule.keep {
            Keep::Train => accuracy,
            Keep::HeldOut => -held_out.unwrap_or(0.0),
            Keep::Last => epoch as f64,
        };
        if best.as_ref().is_none_or(|b: &(f64, _)| gain > b.0) {
            // The last needs no copy.
            if schedule.keep != Keep::Last {
                encoder.keep();
                kept.copy_from_slice(&head.w);
            }
            best = Some((gain, (epoch, loss, accuracy, held_out)));
        }
        tick(epoch);
    }
    let Some((_, (epoch, loss, accuracy, held_out))) = best else {
        return Err(Error::Setting("a density ratio needs at least one epoch".into()));
    };
    if schedule.keep == Keep::Last {
        kept = head.w;
    } else {
        encoder.restore();
    }
    let head = crate::nn::batch_norm::rows(&kept, head.width).to_owned();
    Ok(Trained { ratio: Ratio { encoder, standard, head }, epoch, loss, accuracy, held_out })
}

/// Loss of what is held out, with the same marginal classes in every epoch.
fn held_out_loss(
    samples: &dyn Design,
    encoder: &dyn Encoder,
    standard: Option<&Standard>,
    held: &[(u32, u32)],
    head: &mut Head,
    streams: &Streams,
) -> Result<f64> {
    let mut classes = vec![];
    pair(held, &mut streams.child("held out").rng("marginal"), &mut classes);
    let mut sum = 0.0;
    for (picks, classes) in held.chunks(ROWS).zip(classes.chunks(ROWS)) {
        let mut x = Array2::zeros((picks.len(), samples.n_features()));
        fetch(samples, standard, picks, x.view_mut())?;
        let out = encoder.predict(x.view());
        let mut signal = vec![0.0; out.len()];
        sum += head.pass(out.as_slice().unwrap_or_default(), classes, &mut signal).0 * picks.len() as f64;
    }
    Ok(sum / held.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PairClass, Samples};
    use super::*;
    use crate::nn::conv::{ConvForm, End, Shrink};
    use crate::nn::network::{Activation, Start};
    use numerics::samples::Class;

    /// Control, two genes and their pair: normals with the given means.
    fn samples(n: usize, d: usize, shift: f32) -> Samples {
        let mut rng = Streams::new(2).rng("x");
        let mut class = |at: [bool; 2]| {
            Class::held(Array2::from_shape_fn((n, d), |(_, j)| {
                let z: f32 = StandardNormal.sample(&mut rng);
                z + if at[0] && 2 * j < d || at[1] && 2 * j >= d { shift } else { 0.0 }
            }))
        };
        let control = class([false; 2]);
        let singles = vec![class([true, false]), class([false, true])];
        let pairs = vec![PairClass { first: 0, second: 1, both: class([true; 2]) }];
        Samples { genes: vec!["A".into(), "B".into()], control, singles, pairs }
    }

    fn mlp(widths: &[usize], dropout: f64) -> Box<dyn Encoder> {
        let network = Network::new(widths, Activation::Relu, Start::Standard, &mut Streams::new(1).rng("start"));
        Box::new(MlpEncoder::new(network, dropout))
    }

    const SCHEDULE: Schedule = Schedule { rate: 5e-3, epochs: 15, batch: 128, keep: Keep::Train, held_out: 0.1 };

    #[test]
    fn gradient_of_the_loss_matches_central_differences() {
        let mut rng = Streams::new(3).rng("x");
        let (rows, width) = (150, 11);
        for rectified in [true, false] {
            let mut head = Head::new(4, width, rectified, Streams::new(4).rng("head"));
            let mut out: Vec<f32> = (0..rows * width).map(|_| StandardNormal.sample(&mut rng)).collect();
            let classes: Vec<[u32; 2]> = (0..rows as u32).map(|i| [i % 4, i * 7 % 3]).collect();
            // The definition, in double precision.
            let loss = |w: &[f32], out: &[f32]| {
                let f = |r: usize, c: u32| -> f64 {
                    (0..width)
                        .map(|l| {
                            let h = f64::from(out[r * width + l]);
                            f64::from(w[c as usize * width + l]) * if rectified { h.max(0.0) } else { h }
                        })
                        .sum()
                };
                let each =
                    classes.iter().enumerate().map(|(r, c)| (-f(r, c[0])).exp().ln_1p() + f(r, c[1]).exp().ln_1p());
                each.sum::<f64>() / (2 * rows) as f64
            };
            let mut signal = vec![0.0; out.len()];
            let (got, _) = head.pass(&out, &classes, &mut signal);
            assert!((got - loss(&head.w, &out)).abs() < 1e-6);
            head.gradient.fill(0.0);
            head_gradient(&head.h, &head.by, &classes, &mut head.gradient);
            let h = 1.0 / 128.0;
            for i in 0..head.w.len() {
                let (mut up, mut down) = (head.w.clone(), head.w.clone());
                (up[i], down[i]) = (up[i] + h, down[i] - h);
                let want = (loss(&up, &out) - loss(&down, &out)) / f64::from(2.0 * h);
                assert!((f64::from(head.gradient[i]) - want).abs() < 1e-5, "{i}: {} {want}", head.gradient[i]);
            }
            for i in (0..out.len()).step_by(37).filter(|i| !rectified || signal[*i] != 0.0) {
                let at = out[i];
                if rectified && at.abs() < 2.0 * h {
                    continue;
                }
                let mut value = |v: f32| {
                    out[i] = v;
                    loss(&head.w, &out)
                };
                let want = (value(at + h) - value(at - h)) / f64::from(2.0 * h);
                out[i] = at;
                assert!((f64::from(signal[i]) - want).abs() < 1e-5, "{i}: {} {want}", signal[i]);
            }
        }
    }

    /// Mean of ln p_0/p_A over control, which is KL(p_0 ‖ p_A).
    fn divergence(t: &Trained, s: &Samples) -> f64 {
        let f = t.ratio.values(s, 0, t.ratio.head()).unwrap();
        f64::from((&f.row(0) - &f.row(1)).mean().unwrap())
    }

    #[test]
    fn a_trained_ratio_knows_the_divergence() {
        // One of two features shifted by 1.5: KL = 1.125.
        let s = samples(1500, 2, 1.5);
        let streams = Streams::new(5);
        for keep in [Keep::Train, Keep::HeldOut, Keep::Last] {
            let schedule = Schedule { keep, ..SCHEDULE };
            let standard = Standard::new(&s, 0..4, 1, Scale::Each).unwrap();
            let t = train(&s, mlp(&[2, 32, 16], 0.0), standard, &schedule, &streams, &|_| ()).unwrap();
            let got = divergence(&t, &s);
            assert!((got - 1.125).abs() < 0.2, "{keep:?}: {got}");
            assert!(t.accuracy > 0.6 && t.loss < 0.6 && t.held_out.is_some() == (keep == Keep::HeldOut));
        }
    }

    #[test]
    fn a_convolutional_encoder_learns_too() {
        let s = samples(400, 2 * 16, 0.5);
        let form =
            ConvForm { image: [2, 4, 4], widths: vec![6, 8], shrink: Shrink::Stride, end: End::Average, slope: 0.2 };
        for dense in [None, Some(12)] {
            let net = ConvNet::new(form.clone(), &mut Streams::new(1).rng("conv")).unwrap();
            let dense = dense.map(|w| {
                let start = &mut Streams::new(1).rng("dense");
                MlpEncoder::new(Network::new(&[net.width(), 10, w], Activation::Relu, Start::Standard, start), 0.1)
            });
            let encoder = Box::new(ConvEncoder::new(net, dense));
            let standard = Standard::new(&s, 0..4, 16, Scale::Each).unwrap();
            let t = train(&s, encoder, standard, &SCHEDULE, &Streams::new(6), &|_| ()).unwrap();
            // The classes differ in the mean of a channel: KL = 16 0.5² / 2 = 2.
            let got = divergence(&t, &s);
            assert!(got > 1.0 && t.accuracy > 0.65, "{got} {}", t.accuracy);
        }
    }

    #[test]
    fn features_are_brought_to_one_scale() {
        let mut s = samples(600, 2, 1.0);
        // Far from zero, and strongly correlated.
        let bend = |c: &Class| {
            let x = c.x().unwrap();
            Class::held(Array2::from_shape_fn((600, 2), |(i, f)| {
                500.0 + 3.0 * x[(i, 0)] + if f == 1 { 0.1 * x[(i, 1)] } else { 0.0 }
            }))
        };
        s.control = bend(&s.control);
        s.singles = s.singles.iter().map(bend).collect();
        s.pairs[0].both = bend(&s.pairs[0].both);
        for (scale, correlation) in [(Scale::Each, 0.99), (Scale::Whiten, 0.0)] {
            let standard = Standard::new(&s, 0..4, 1, scale).unwrap().unwrap();
            let mut all = Array2::<f32>::zeros((2400, 2));
            let picks: Vec<(u32, u32)> = (0..2400).map(|i| (i / 600, i % 600)).collect();
            fetch(&s, Some(&standard), &picks, all.view_mut()).unwrap();
            let all = all.mapv(f64::from);
            let covariance = numerics::linalg::symmetric_product(all.view()) / 2400.0;
            assert!((covariance[(0, 0)] - 1.0).abs() < 0.01 && (covariance[(1, 1)] - 1.0).abs() < 0.01, "{covariance}");
            assert!((covariance[(0, 1)].abs() - correlation).abs() < 0.011, "{covariance}");
            assert!(all.sum_axis(Axis(0)).iter().all(|m| m.abs() < 2400.0 * 1e-3));
        }
        assert!(Standard::new(&s, 0..4, 1, Scale::None).unwrap().is_none());
    }

    #[test]
    fn threads_change_no_bit() {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let s = samples(900, 40, 0.5);
                let schedule = Schedule { epochs: 2, batch: 1024, ..SCHEDULE };
                let standard = Standard::new(&s, 0..4, 1, Scale::Each).unwrap();
                let t = train(&s, mlp(&[40, 64, 300], 0.2), standard, &schedule, &Streams::new(5), &|_| ()).unwrap();
                (t.loss, t.ratio.head().to_owned(), t.ratio.values(&s, 3, t.ratio.head()).unwrap())
            })
        };
        assert!(run(1) == run(4));
    }

    #[test]
    fn training_that_cannot_go_on_says_why() {
        let s = samples(50, 2, 1.0);
        let error = |schedule: Schedule| {
            train(&s, mlp(&[2, 4], 0.0), None, &schedule, &Streams::new(5), &|_| ())
                .map(|_| ())
                .unwrap_err()
                .to_string()
        };
        assert!(error(Schedule { rate: 1e30, ..SCHEDULE }).contains("diverged in epoch"));
        assert!(error(Schedule { batch: 1, ..SCHEDULE }).contains("joint from marginal"));
        assert!(error(Schedule { epochs: 0, ..SCHEDULE }).contains("at least one epoch"));
    }
}
