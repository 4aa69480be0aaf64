//! Fully connected networks: batched passes, gradients and training steps.
//!
//! Layer l computes z = c_w a W + c_b b from its input a, and a hidden layer hands its activation on. The factors
//! c_w and c_b make the parametrisation: σ_w/√inputs and σ_b in that of the neural tangent kernel, 1 in the
//! standard one. The gradient of a loss is c_w aᵀδ for W and c_b δ for b, δ the signal propagated back to z.
//!
//! A training step is [`Pass::forward`], the caller's signal at the output, [`Pass::backward`] and [`Pass::step`]:
//! the passes run over tiles of rows, gradient and update over blocks of W while they are in the cache. Nothing is
//! allocated of the size of the network or the batch. O(rows x parameters) a step.

use super::optimiser::{Adam, BLOCK};
use faer::{Accum, MatMut, MatRef, Par};
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, Axis, s};
use numerics::Real;
use numerics::linalg::view;
use rand::{Rng, RngExt};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Rows of a tile of a pass: fixed, so that the result does not depend on the number of threads.
const TILE: usize = 128;
/// Below this many rows x parameters a pass takes less time than handing its tiles to threads.
const SMALL: usize = 1 << 20;

/// What a hidden layer does to its sums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// max(0, z).
    #[default]
    Relu,
    /// z times the normal distribution function of z.
    Gelu,
}

impl Activation {
    /// Value and derivative at `z`.
    fn at<T: Real>(self, z: T) -> (T, T) {
        match self {
            Activation::Relu if z > T::zero() => (z, T::one()),
            Activation::Relu => (T::zero(), T::zero()),
            Activation::Gelu => {
                let z: f64 = z.into();
                let below = 0.5 * (1.0 + statrs::function::erf::erf(z * std::f64::consts::FRAC_1_SQRT_2));
                let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
                (T::of(z * below), T::of(below + z * density))
            }
        }
    }
}

/// How the parameters of a network start, and with which factors they enter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Start {
    /// W ~ N(0, 1) with factor `sigma_w`/√inputs, b ~ N(0, `bias_sd`²) with factor `sigma_b` (Jacot et al. 2018).
    Ntk { sigma_w: f64, sigma_b: f64, bias_sd: f64 },
    /// W and b uniform in ±1/√inputs, factors 1 (the default of PyTorch's Linear).
    Standard,
}

/// One layer.
#[derive(Clone, Debug)]
pub struct Layer<T> {
    /// inputs x outputs.
    pub weight: Array2<T>,
    /// One an output.
    pub bias: Array1<T>,
    /// c_w.
    pub weight_factor: f64,
    /// c_b; 0 makes a layer without bias.
    pub bias_factor: f64,
}

impl<T: Real> Layer<T> {
    /// A new layer.
    pub fn new(inputs: usize, outputs: usize, start: Start, rng: &mut impl Rng) -> Self {
        let root = (inputs as f64).sqrt();
        match start {
            Start::Standard => {
                let mut draw = || T::of(rng.random_range(-1.0..=1.0) / root);
                Self {
                    weight: Array2::from_shape_simple_fn((inputs, outputs), &mut draw),
                    bias: Array1::from_shape_simple_fn(outputs, draw),
                    weight_factor: 1.0,
                    bias_factor: 1.0,
                }
            }
            Start::Ntk { sigma_w, sigma_b, bias_sd } => {
                let mut draw = || -> f64 { StandardNormal.sample(rng) };
                Self {
                    weight: Array2::from_shape_simple_fn((inputs, outputs), || T::of(draw())),
                    bias: Array1::from_shape_simple_fn(outputs, || T::of(bias_sd * draw())),
                    weight_factor: sigma_w / root,
                    bias_factor: sigma_b,
                }
            }
        }
    }

    fn inputs(&self) -> usize {
        self.weight.nrows()
    }

    fn outputs(&self) -> usize {
        self.weight.ncols()
    }
}

/// Layers with an activation between them; the last is linear.
#[derive(Clone, Debug)]
pub struct Network<T> {
    /// First to last.
    pub layers: Vec<Layer<T>>,
    /// Of the hidden layers.
    pub activation: Activation,
}

impl<T: Real> Network<T> {
    /// A network of `widths` [inputs, hidden ..., outputs], at least two and none of them 0.
    pub fn new(widths: &[usize], activation: Activation, start: Start, rng: &mut impl Rng) -> Self {
        assert!(widths.len() > 1 && widths.iter().all(|w| *w > 0), "widths of a network");
        let layers = widths.windows(2).map(|w| Layer::new(w[0], w[1], start, rng)).collect();
        Self { layers, activation }
    }

    /// The same in another precision.
    pub fn cast<U: Real>(&self) -> Network<U> {
        let cast = |v: &T| U::of((*v).into());
        let layers = self.layers.iter().map(|l| Layer {
            weight: l.weight.map(cast),
            bias: l.bias.map(cast),
            weight_factor: l.weight_factor,
            bias_factor: l.bias_factor,
        });
        Network { layers: layers.collect(), activation: self.activation }
    }

    /// Whether every parameter is a finite number; training that diverges ends otherwise.
    pub fn is_finite(&self) -> bool {
        self.layers.iter().all(|l| l.weight.iter().chain(&l.bias).all(|v| v.is_finite()))
    }

    /// Outputs of the rows of `x`: rows x outputs. Tiles of rows in parallel.
    pub fn forward(&self, x: ArrayView2<T>) -> Array2<T> {
        self.values(x, self.layers.len())
    }

    /// What enters the last layer, without the one for the bias: rows x last hidden width.
    pub fn last_hidden(&self, x: ArrayView2<T>) -> Array2<T> {
        self.values(x, self.layers.len() - 1)
    }

    /// What comes out of the first `depth` layers.
    fn values(&self, x: ArrayView2<T>, depth: usize) -> Array2<T> {
        let widths = &self.widths()[..=depth];
        let mut out = [Array2::zeros((x.nrows(), widths[depth]))];
        tiles(&mut out).into_par_iter().zip(x.axis_chunks_iter(Axis(0), TILE)).for_each(|(out, x)| {
            let mut values = buffers(x.nrows(), widths);
            values[0].assign(&x);
            self.forward_tile(&mut slices(&mut values), &mut [], &[], 0);
            out.into_iter().for_each(|o| o.copy_from_slice(flat(&values[depth])));
        });
        let [out] = out;
        out
    }

    /// For each layer, what enters it as it enters the gradient, [c_w a, c_b] (rows x (inputs + 1)), and the signal
    /// of `directions`ᵀ f(x) at its sums, all directions (outputs x directions) side by side (rows x (directions *
    /// width)). The inner product of two rows' parameter gradients is the sum over layers of the products of both.
    /// Tiles of rows in parallel. O(rows x parameters x directions).
    pub fn gradient_factors(&self, x: ArrayView2<T>, directions: ArrayView2<T>) -> Vec<(Array2<T>, Array2<T>)> {
        let (k, widths, depth) = (directions.ncols(), self.widths(), self.layers.len());
        let mut inputs = buffers(x.nrows(), &self.layers.iter().map(|l| l.inputs() + 1).collect::<Vec<_>>());
        let mut signals = buffers(x.nrows(), &widths[1..].iter().map(|w| w * k).collect::<Vec<_>>());
        // Without directions there are no signals, and so no tiles of them.
        let mut parts: Vec<_> = tiles(&mut inputs).into_iter().map(|i| (i, vec![])).collect();
        parts.iter_mut().zip(tiles(&mut signals)).for_each(|(p, s)| p.1 = s);
        parts.into_par_iter().zip(x.axis_chunks_iter(Axis(0), TILE)).for_each(|((mut inputs, mut signals), x)| {
            let (mut values, mut slopes) = (buffers(x.nrows(), &widths), buffers(x.nrows(), &widths[1..depth]));
            values[0].assign(&x);
            self.forward_tile(&mut slices(&mut values), &mut slices(&mut slopes), &[], 0);
            for (l, layer) in self.layers.iter().enumerate() {
                let (weight_factor, bias_factor) = (T::of(layer.weight_factor), T::of(layer.bias_factor));
                for (to, a) in inputs[l].chunks_exact_mut(layer.inputs() + 1).zip(values[l].outer_iter()) {
                    to.iter_mut().zip(a).for_each(|(t, a)| *t = weight_factor * *a);
                    to[layer.inputs()] = bias_factor;
                }
            }
            if let Some(last) = signals.last_mut() {
                let each = last.chunks_exact_mut(directions.nrows()).zip(directions.columns().into_iter().cycle());
                each.for_each(|(s, d)| s.iter_mut().zip(d).for_each(|(s, d)| *s = *d));
            }
            // A row of several directions is several rows of one.
            for l in (1..signals.len()).rev() {
                let (before, after) = signals.split_at_mut(l);
                let (layer, s) = (&self.layers[l], &mut *before[l - 1]);
                product_t(s, after[0], layer.weight.view(), layer.weight_factor);
                let rows =
                    s.chunks_exact_mut(k * layer.inputs()).zip(flat(&slopes[l - 1]).chunks_exact(layer.inputs()));
                rows.for_each(|(s, slope)| s.chunks_exact_mut(slope.len()).for_each(|s| multiply(s, slope)));
            }
        });
        inputs.into_iter().zip(signals).collect()
    }

    /// Gradient of `signal`ᵀ f(x) with respect to x, each row with a signal of its own (rows x outputs): rows x inputs.
    /// Tiles of rows in parallel.
    pub fn input_gradient(&self, x: ArrayView2<T>, signal: ArrayView2<T>) -> Array2<T> {
        let (widths, depth) = (self.widths(), self.layers.len());
        let mut out = [Array2::zeros(x.dim())];
        let rows = x.axis_chunks_iter(Axis(0), TILE).zip(signal.axis_chunks_iter(Axis(0), TILE));
        tiles(&mut out).into_par_iter().zip(rows.collect::<Vec<_>>()).for_each(|(out, (x, signal))| {
            let (mut values, mut slopes) = (buffers(x.nrows(), &widths), buffers(x.nrows(), &widths[1..depth]));
            let mut signals = buffers(x.nrows(), &widths);
            values[0].assign(&x);
            signals[depth].assign(&signal);
            self.forward_tile(&mut slices(&mut values), &mut slices(&mut slopes), &[], 0);
            let mut signals = slices(&mut signals);
            for l in (0..depth).rev() {
                let (before, after) = signals.split_at_mut(l + 1);
                product_t(before[l], after[0], self.layers[l].weight.view(), self.layers[l].weight_factor);
                if l > 0 {
                    multiply(before[l], flat(&slopes[l - 1]));
                }
            }
            out.into_iter().for_each(|o| o.copy_from_slice(signals[0]));
        });
        let [out] = out;
        out
    }

    fn widths(&self) -> Vec<usize> {
        self.layers.iter().map(Layer::inputs).chain(self.layers.last().map(Layer::outputs)).collect()
    }

    /// Number of weights and biases.
    pub fn n_parameters(&self) -> usize {
        self.layers.iter().map(|l| l.weight.len() + l.bias.len()).sum()
    }

    /// Fills `values[1..]` from `values[0]`, a buffer a layer, and the slopes of the hidden layers where asked for.
    /// The masks are those of the whole batch, in which the tile begins at row `first`.
    fn forward_tile(&self, values: &mut [&mut [T]], slopes: &mut [&mut [T]], masks: &[Array2<T>], first: usize) {
        for l in 1..values.len() {
            let layer = &self.layers[l - 1];
            let (before, after) = values.split_at_mut(l);
            let z = &mut *after[0];
            product(z, before[l - 1], layer.weight.view(), layer.weight_factor);
            let (rows, factor) = (z.chunks_exact_mut(layer.outputs()), T::of(layer.bias_factor));
            if l == self.layers.len() {
                rows.for_each(|z| z.iter_mut().zip(&layer.bias).for_each(|(z, b)| *z += factor * *b));
            } else if let Some(slopes) = slopes.get_mut(l - 1) {
                for (r, (z, slope)) in rows.zip(slopes.chunks_exact_mut(layer.outputs())).enumerate() {
                    for ((z, slope), b) in z.iter_mut().zip(slope.iter_mut()).zip(&layer.bias) {
                        (*z, *slope) = self.activation.at(*z + factor * *b);
                    }
                    if let Some(mask) = masks.get(l - 1) {
                        let row = if mask.nrows() == 1 { 0 } else { first + r };
                        for ((z, slope), m) in z.iter_mut().zip(slope.iter_mut()).zip(mask.row(row)) {
                            (*z, *slope) = (*z * *m, *slope * *m);
                        }
                    }
                }
            } else {
                let activation = self.activation;
                for z in rows {
                    for (z, b) in z.iter_mut().zip(&layer.bias) {
                        *z = activation.at(*z + factor * *b).0;
                    }
                }
            }
        }
    }
}

/// `out = factor a w` for the rows of `a`.
fn product<T: Real>(out: &mut [T], a: &[T], w: ArrayView2<T>, factor: f64) {
    let (i, o) = w.dim();
    let rows = a.len() / i;
    let (out, a) = (MatMut::from_row_major_slice_mut(out, rows, o), MatRef::from_row_major_slice(a, rows, i));
    faer::linalg::matmul::matmul(out, Accum::Replace, a, view(&w), T::of(factor), Par::Seq);
}

/// `out = factor a wᵀ` for the rows of `a`.
fn product_t<T: Real>(out: &mut [T], a: &[T], w: ArrayView2<T>, factor: f64) {
    let (i, o) = w.dim();
    let rows = a.len() / o;
    let (out, a) = (MatMut::from_row_major_slice_mut(out, rows, i), MatRef::from_row_major_slice(a, rows, o));
    faer::linalg::matmul::matmul(out, Accum::Replace, a, view(&w).transpose(), T::of(factor), Par::Seq);
}

fn multiply<T: Real>(x: &mut [T], by: &[T]) {
    x.iter_mut().zip(by).for_each(|(x, b)| *x *= *b);
}

/// Zeros, rows x width for each width.
fn buffers<T: Real>(rows: usize, widths: &[usize]) -> Vec<Array2<T>> {
    widths.iter().map(|w| Array2::zeros((rows, *w))).collect()
}

/// The values of a buffer, row by row; buffers are made in that layout and keep it.
fn flat<T>(a: &Array2<T>) -> &[T] {
    a.as_slice().unwrap_or_default()
}

fn slices<T>(buffers: &mut [Array2<T>]) -> Vec<&mut [T]> {
    buffers.iter_mut().map(|b| b.as_slice_mut().unwrap_or_default()).collect()
}

/// Buffers cut into tiles of rows: for each tile, its part of each buffer.
fn tiles<T>(buffers: &mut [Array2<T>]) -> Vec<Vec<&mut [T]>> {
    let rows = buffers.first().map_or(0, Array2::nrows);
    let mut out: Vec<Vec<&mut [T]>> = (0..rows.div_ceil(TILE)).map(|_| Vec::with_capacity(buffers.len())).collect();
    let lengths: Vec<usize> = buffers.iter().map(|b| (TILE * b.ncols()).max(1)).collect();
    for (buffer, length) in slices(buffers).into_iter().zip(lengths) {
        buffer.chunks_mut(length).zip(&mut out).for_each(|(part, tile)| tile.push(part));
    }
    out
}

/// Runs `f` over tasks, in parallel unless the whole is small.
fn each<A: Send>(tasks: Vec<A>, small: bool, f: impl Fn(A) + Sync + Send) {
    if small || tasks.len() < 2 { tasks.into_iter().for_each(f) } else { tasks.into_par_iter().for_each(f) }
}

/// A batch on its way through a network and back; the buffers are kept from one batch to the next.
#[derive(Clone, Debug)]
pub struct Pass<T> {
    /// What enters each layer, and the output: rows x width each.
    values: Vec<Array2<T>>,
    /// Signal at the sums of each layer: rows x outputs each.
    signals: Vec<Array2<T>>,
    /// Derivative of each hidden layer's values by its sums; none where the sign of the value tells it.
    slopes: Vec<Array2<T>>,
    masks: Vec<Array2<T>>,
    input_signal: Array2<T>,
    /// Of all parameters, layer by layer; filled by a step.
    gradient: Vec<T>,
    /// The output layer, and whether the whole is too small to be cut.
    last: usize,
    small: bool,
}

impl<T: Real> Pass<T> {
    /// Buffers for batches of `rows` rows.
    pub fn new(network: &Network<T>, rows: usize) -> Self {
        let (widths, last) = (network.widths(), network.layers.len());
        let hidden = if network.activation == Activation::Relu { &[] } else { &widths[1..last] };
        Self {
            values: buffers(rows, &widths),
            signals: buffers(rows, &widths[1..]),
            slopes: buffers(rows, hidden),
            masks: vec![],
            input_signal: Array2::zeros((0, widths[0])),
            gradient: vec![],
            last,
            small: rows * network.n_parameters() < SMALL,
        }
    }

    /// The input of the batch, to be filled: rows x inputs.
    pub fn input_mut(&mut self) -> ArrayViewMut2<'_, T> {
        self.values[0].view_mut()
    }

    /// Factors on the values of each hidden layer, 0 or 1/(1 - p) for dropout: rows x width each, or 1 x width for
    /// the same mask on every row. They hold until they are set again; an empty list takes them away.
    pub fn set_masks(&mut self, masks: Vec<Array2<T>>) {
        if self.slopes.is_empty() {
            self.slopes = self.values[1..self.last].iter().map(|v| Array2::zeros(v.dim())).collect();
        }
        self.masks = masks;
    }

    /// Sends the input through the network; gives the output: rows x outputs.
    pub fn forward(&mut self, network: &Network<T>) -> ArrayView2<'_, T> {
        let mut tasks: Vec<_> = tiles(&mut self.values).into_iter().map(|v| (v, vec![])).collect();
        tasks.iter_mut().zip(tiles(&mut self.slopes)).for_each(|(t, s)| t.1 = s);
        let masks = &self.masks;
        each(tasks.into_iter().enumerate().collect(), self.small, |(t, (mut values, mut slopes))| {
            network.forward_tile(&mut values, &mut slopes, masks, t * TILE);
        });
        self.values[self.last].view()
    }

    /// The output of the last forward pass and the derivative of the loss by it, to be filled before the way back:
    /// rows x outputs each.
    pub fn output_and_signal(&mut self) -> (ArrayView2<'_, T>, ArrayViewMut2<'_, T>) {
        (self.values[self.last].view(), self.signals[self.last - 1].view_mut())
    }

    /// Propagates the signal at the output back to every layer.
    pub fn backward(&mut self, network: &Network<T>) {
        let (values, slopes) = (&self.values, &self.slopes);
        each(tiles(&mut self.signals).into_iter().enumerate().collect(), self.small, |(t, mut signals)| {
            for l in (1..signals.len()).rev() {
                let (before, after) = signals.split_at_mut(l);
                let (layer, s) = (&network.layers[l], &mut *before[l - 1]);
                product_t(s, after[0], layer.weight.view(), layer.weight_factor);
                let at = t * TILE * layer.inputs()..t * TILE * layer.inputs() + s.len();
                match slopes.get(l - 1) {
                    Some(slopes) => multiply(s, &flat(slopes)[at]),
                    None => s.iter_mut().zip(&flat(&values[l])[at]).for_each(|(s, v)| {
                        *s = if *v > T::zero() { *s } else { T::zero() };
                    }),
                }
            }
        });
    }

    /// The signal at the input, after [`Pass::backward`]: rows x inputs. For what stands before the network.
    pub fn input_signal(&mut self, network: &Network<T>) -> ArrayView2<'_, T> {
        let layer = &network.layers[0];
        if self.input_signal.dim() != self.values[0].dim() {
            self.input_signal = Array2::zeros(self.values[0].dim());
        }
        let (signal, task) = (&self.signals[0], tiles(std::slice::from_mut(&mut self.input_signal)));
        each(task.into_iter().enumerate().collect(), self.small, |(t, parts)| {
            let w = layer.outputs();
            for part in parts {
                let rows = part.len() / layer.inputs();
                let at = t * TILE * w..(t * TILE + rows) * w;
                product_t(part, &flat(signal)[at], layer.weight.view(), layer.weight_factor);
            }
        });
        self.input_signal.view()
    }

    /// Gradient of the loss by the weights and the bias of a layer, after [`Pass::backward`].
    pub fn gradient(&self, network: &Network<T>, layer: usize) -> (Array2<T>, Array1<T>) {
        let l = &network.layers[layer];
        let (mut weight, mut bias) = (Array2::zeros(l.weight.dim()), Array1::zeros(l.outputs()));
        self.weight_gradient(layer, 0, l.weight_factor, weight.as_slice_mut().unwrap_or_default());
        self.bias_gradient(layer, l.bias_factor, bias.as_slice_mut().unwrap_or_default());
        (weight, bias)
    }

    /// c_w aᵀδ for as many inputs as fit in `out`, the first of them `from`.
    fn weight_gradient(&self, layer: usize, from: usize, factor: f64, out: &mut [T]) {
        let signal = self.signals[layer].view();
        let n = out.len() / signal.ncols();
        let a = self.values[layer].slice(s![.., from..from + n]);
        let out = MatMut::from_row_major_slice_mut(out, n, signal.ncols());
        faer::linalg::matmul::matmul(out, Accum::Replace, view(&a).transpose(), view(&signal), T::of(factor), Par::Seq);
    }

    /// c_b times the sum of δ over rows.
    fn bias_gradient(&self, layer: usize, factor: f64, out: &mut [T]) {
        out.fill(T::zero());
        for s in self.signals[layer].outer_iter() {
            out.iter_mut().zip(s).for_each(|(o, s)| *o += *s);
        }
        out.iter_mut().for_each(|o| *o *= T::of(factor));
    }
}

/// A block of parameters with what belongs to it.
struct Block<'a, T> {
    layer: usize,
    /// Where it begins: the input of the layer, or none for the bias.
    from: Option<usize>,
    factor: f64,
    parameters: &'a mut [T],
    mean: &'a mut [T],
    square: &'a mut [T],
    gradient: &'a mut [T],
}

/// Cuts `n` numbers off the front.
fn cut<'a, T>(from: &mut &'a mut [T], n: usize) -> &'a mut [T] {
    from.split_off_mut(..n).unwrap_or_default()
}

impl<T: Real> Pass<T> {
    /// One step of `adam` (for as many parameters as the network has) at learning rate `rate`, with the gradient that
    /// [`Pass::backward`] left behind.
    pub fn step(&mut self, network: &mut Network<T>, adam: &mut Adam<T>, rate: f64) {
        let mut gradient = std::mem::take(&mut self.gradient);
        gradient.resize(network.n_parameters(), T::zero());
        let (step, mut mean, mut square) = adam.begin(rate);
        let (mut left, mut tasks) = (&mut gradient[..], vec![]);
        for (l, layer) in network.layers.iter_mut().enumerate() {
            let (wide, bias_factor) = (layer.outputs(), layer.bias_factor);
            let (rows, factor) = ((BLOCK / wide).max(16), layer.weight_factor);
            let weights = layer.weight.as_slice_mut().unwrap_or_default().chunks_mut(rows * wide);
            let bias = layer.bias.as_slice_mut().unwrap_or_default();
            let weights = weights.enumerate().map(|(b, w)| (Some(b * rows), factor, w));
            for (from, factor, parameters) in weights.chain([(None, bias_factor, bias)]) {
                let n = parameters.len();
                let [mean, square, gradient] = [&mut mean, &mut square, &mut left].map(|v| cut(v, n));
                tasks.push(Block { layer: l, from, factor, parameters, mean, square, gradient });
            }
        }
        each(tasks, self.small, |block| {
            match block.from {
                Some(from) => self.weight_gradient(block.layer, from, block.factor, block.gradient),
                None => self.bias_gradient(block.layer, block.factor, block.gradient),
            }
            step.update(block.parameters, block.mean, block.square, block.gradient);
        });
        self.gradient = gradient;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_gradients_are_those_of_the_outputs() {
        for activation in [Activation::Relu, Activation::Gelu] {
            let network = Network::<f64>::new(&[5, 7, 6, 3], activation, NTK, &mut rng("start"));
            let (x, signal) = (normal::<f64>(140, 5, "x"), normal::<f64>(140, 3, "signal"));
            let own = network.input_gradient(x.view(), signal.view());
            for (r, j) in [(0, 0), (17, 3), (128, 4), (139, 2)] {
                let by = |h: f64| {
                    let mut x = x.clone();
                    x[(r, j)] += h;
                    (network.forward(x.view()) * &signal).sum()
                };
                let want = (by(1e-6) - by(-1e-6)) / 2e-6;
                assert!((own[(r, j)] - want).abs() < 1e-6, "{activation:?} {r} {j}: {} {want}", own[(r, j)]);
            }
        }
    }

    /// Moves one number of a network or its input by a step.
    type Move<'a> = dyn Fn(&mut Network<f64>, &mut Array2<f64>, f64) + 'a;
    use numerics::streams::{StreamRng, Streams};

    const NTK: Start = Start::Ntk { sigma_w: 1.3, sigma_b: 0.4, bias_sd: 1.0 };

    fn rng(name: &str) -> StreamRng {
        Streams::new(5).rng(name)
    }

    fn normal<T: Real>(rows: usize, columns: usize, name: &str) -> Array2<T> {
        let mut rng = rng(name);
        Array2::from_shape_simple_fn((rows, columns), || {
            let z: f64 = StandardNormal.sample(&mut rng);
            T::of(z)
        })
    }

    /// Half the squared error, with its gradient left in the pass.
    fn loss(network: &Network<f64>, pass: &mut Pass<f64>, x: &Array2<f64>, y: &Array2<f64>) -> f64 {
        pass.input_mut().assign(x);
        pass.forward(network);
        let (output, mut signal) = pass.output_and_signal();
        signal.assign(&(&output - y));
        let loss = 0.5 * signal.mapv(|v| v * v).sum();
        pass.backward(network);
        loss
    }

    #[test]
    fn gradients_match_central_differences() {
        let (x, y) = (normal(6, 3, "x"), normal(6, 2, "y"));
        let mut keep = rng("mask");
        let masks: Vec<Array2<f64>> = [(6, 5), (1, 4)]
            .map(|shape| Array2::from_shape_simple_fn(shape, || if keep.random_bool(0.7) { 1.0 / 0.7 } else { 0.0 }))
            .to_vec();
        for (start, activation, masked) in [
            (NTK, Activation::Relu, false),
            (NTK, Activation::Relu, true),
            (NTK, Activation::Gelu, false),
            (Start::Standard, Activation::Relu, false),
            (Start::Standard, Activation::Gelu, true),
        ] {
            let mut network = Network::new(&[3, 5, 4, 2], activation, start, &mut rng("start"));
            let mut pass = Pass::new(&network, 6);
            if masked {
                pass.set_masks(masks.clone());
            }
            loss(&network, &mut pass, &x, &y);
            let gradients: Vec<_> = (0..3).map(|l| pass.gradient(&network, l)).collect();
            let input = pass.input_signal(&network).to_owned();
            let h = 1e-6;
            let mut central = |set: &Move<'_>| {
                let mut at = |step: f64| {
                    let mut x = x.clone();
                    set(&mut network, &mut x, step);
                    let l = loss(&network, &mut pass, &x, &y);
                    set(&mut network, &mut x, -step);
                    l
                };
                (at(h) - at(-h)) / (2.0 * h)
            };
            for (l, (weight, bias)) in gradients.iter().enumerate() {
                for (at, g) in weight.indexed_iter() {
                    let d = central(&|n, _, step| n.layers[l].weight[at] += step);
                    assert!((g - d).abs() < 1e-7 * g.abs().max(1.0), "{start:?} {activation:?} W{l} {at:?}: {g} {d}");
                }
                for (at, g) in bias.indexed_iter() {
                    let d = central(&|n, _, step| n.layers[l].bias[at] += step);
                    assert!((g - d).abs() < 1e-7 * g.abs().max(1.0), "{start:?} {activation:?} b{l} {at}: {g} {d}");
                }
            }
            for (at, g) in input.indexed_iter() {
                let d = central(&|_, x, step| x[at] += step);
                assert!((g - d).abs() < 1e-7 * g.abs().max(1.0), "{start:?} {activation:?} x {at:?}: {g} {d}");
            }
        }
    }

    #[test]
    fn factors_give_the_inner_products_of_explicit_gradients() {
        let x = normal::<f64>(300, 3, "x");
        let directions = normal::<f64>(2, 3, "directions");
        for (start, activation) in [(NTK, Activation::Relu), (Start::Standard, Activation::Gelu)] {
            let network = Network::new(&[3, 5, 4, 2], activation, start, &mut rng("start"));
            let factors = network.gradient_factors(x.view(), directions.view());
            // The gradient of one direction of one row, all parameters in a line.
            let explicit = |row: usize, k: usize| -> Vec<f64> {
                let mut pass = Pass::new(&network, 1);
                pass.input_mut().row_mut(0).assign(&x.row(row));
                pass.forward(&network);
                pass.output_and_signal().1.row_mut(0).assign(&directions.column(k));
                pass.backward(&network);
                let all = (0..3).map(|l| pass.gradient(&network, l));
                all.flat_map(|(w, b)| w.into_iter().chain(b)).collect()
            };
            for (i, j) in [(0, 0), (1, 299), (127, 128), (200, 5)] {
                let mut want = 0.0;
                for k in 0..3 {
                    let (a, b) = (explicit(i, k), explicit(j, k));
                    want += a.iter().zip(&b).map(|(a, b)| a * b).sum::<f64>();
                }
                let dot = |m: &Array2<f64>| m.row(i).dot(&m.row(j));
                let got: f64 = factors.iter().map(|(a, s)| dot(a) * dot(s)).sum();
                assert!((got - want).abs() < 1e-12 * want.abs().max(1.0), "{start:?} {i} {j}: {got} {want}");
            }
            let none = network.gradient_factors(x.view(), directions.slice(s![.., ..0]));
            assert!(none.iter().zip(&factors).all(|(n, f)| n.0 == f.0 && n.1.dim() == (300, 0)));
        }
    }

    /// Neural tangent kernel of three layers in the limit of infinite width (Lee et al. 2019).
    fn ntk(x: ndarray::ArrayView1<f64>, z: ndarray::ArrayView1<f64>, sigma_w: f64, sigma_b: f64) -> f64 {
        let (a, b, pi) = (sigma_w * sigma_w, sigma_b * sigma_b, std::f64::consts::PI);
        let first = |u: ndarray::ArrayView1<f64>, v: ndarray::ArrayView1<f64>| a * u.dot(&v) / u.len() as f64 + b;
        let (mut sxx, mut szz, mut s) = (first(x, x), first(z, z), first(x, z));
        let mut theta = s;
        for _ in 0..2 {
            let root = (sxx * szz).sqrt();
            let c = (s / root).clamp(-1.0, 1.0);
            let angle = pi - c.acos();
            s = a * root * ((1.0 - c * c).sqrt() + angle * c) / (2.0 * pi) + b;
            theta = s + a * theta * angle / (2.0 * pi);
            (sxx, szz) = (a * sxx / 2.0 + b, a * szz / 2.0 + b);
        }
        theta
    }

    #[test]
    fn wide_networks_approach_the_neural_tangent_kernel() {
        const MEMBERS: usize = 12;
        let x = normal::<f64>(4, 6, "x");
        let mut mean = Array2::<f64>::zeros((4, 4));
        let mut rng = rng("start");
        for _ in 0..MEMBERS {
            let network = Network::new(&[6, 1024, 1024, 1], Activation::Relu, NTK, &mut rng);
            for (a, s) in network.gradient_factors(x.view(), Array2::ones((1, 1)).view()) {
                mean += &(a.dot(&a.t()) * s.dot(&s.t()) / MEMBERS as f64);
            }
        }
        let limit = Array2::from_shape_fn((4, 4), |(i, j)| ntk(x.row(i), x.row(j), 1.3, 0.4));
        // What is left falls with the root of width x networks.
        let mut worst = 0.0f64;
        for ((i, j), k) in mean.indexed_iter() {
            worst = worst.max((k - limit[(i, j)]).abs() / (limit[(i, i)] * limit[(j, j)]).sqrt());
        }
        assert!(worst < 0.05, "{worst}");
    }

    #[test]
    fn adam_follows_its_formula_in_both_precisions() {
        let (x, y) = (normal::<f64>(20, 3, "x"), normal::<f64>(20, 1, "y"));
        let start = Network::<f64>::new(&[3, 4, 1], Activation::Relu, NTK, &mut rng("start"));
        let (mut network, mut adam, mut pass) = (start.clone(), Adam::new(start.n_parameters()), Pass::new(&start, 20));
        adam.l2 = 0.1;
        let (mut m, mut v, mut want) = ([0.0; 12], [0.0; 12], start.layers[0].weight.clone());
        for t in 1..=5 {
            loss(&network, &mut pass, &x, &y);
            let g = pass.gradient(&network, 0).0 + 0.1 * &network.layers[0].weight;
            pass.step(&mut network, &mut adam, 0.01);
            for (k, (g, p)) in g.iter().zip(&mut want).enumerate() {
                m[k] = 0.9 * m[k] + 0.1 * g;
                v[k] = 0.999 * v[k] + 0.001 * g * g;
                let (m, v) = (m[k] / (1.0 - 0.9f64.powi(t)), v[k] / (1.0 - 0.999f64.powi(t)));
                *p -= 0.01 * m / (v.sqrt() + 1e-8);
            }
            let worst = (&network.layers[0].weight - &want).fold(0.0f64, |w, d| w.max(d.abs()));
            assert!(worst < 1e-13, "step {t}: {worst:e}");
        }
        let mut single = start.cast::<f32>();
        let (mut adam, mut pass) = (Adam::new(single.n_parameters()), Pass::new(&single, 20));
        adam.l2 = 0.1;
        for _ in 0..5 {
            pass.input_mut().assign(&x.mapv(|v| v as f32));
            pass.forward(&single);
            let (output, mut signal) = pass.output_and_signal();
            signal.assign(&(&output - &y.mapv(|v| v as f32)));
            pass.backward(&single);
            pass.step(&mut single, &mut adam, 0.01);
        }
        assert!((&single.cast::<f64>().layers[0].weight - &want).iter().all(|d| d.abs() < 1e-4));
    }

    #[test]
    fn threads_change_no_bit() {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let (x, y) = (normal::<f32>(700, 40, "x"), normal::<f32>(700, 2, "y"));
                let mut network = Network::new(&[40, 1100, 50, 2], Activation::Relu, NTK, &mut rng("start"));
                let (mut adam, mut pass) = (Adam::new(network.n_parameters()), Pass::new(&network, 700));
                for _ in 0..3 {
                    pass.input_mut().assign(&x);
                    pass.forward(&network);
                    let (output, mut signal) = pass.output_and_signal();
                    signal.assign(&(&output - &y));
                    pass.backward(&network);
                    pass.step(&mut network, &mut adam, 0.01);
                }
                let factors = network.gradient_factors(x.view(), Array2::ones((2, 1)).view());
                (network.forward(x.view()), network.layers[1].weight.clone(), factors)
            })
        };
        assert!(run(1) == run(4));
    }
}
