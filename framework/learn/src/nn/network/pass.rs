//! A batch in training: forward, backward, a step of the parameters.

use super::layer::Activation;
use super::stack::Network;
use super::tiles::{TILE, buffers, each, flat, multiply, product_t, tiles};
use crate::nn::batch_norm::take_mut;
use crate::nn::optimiser::{Adam, BLOCK};
use faer::{Accum, MatMut, Par};
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, s};
use numerics::Real;
use numerics::linalg::view;

/// Below this many rows x parameters a pass takes less time than handing its tiles to threads.
const SMALL: usize = 1 << 20;

/// Forward and backward pass of a batch; the buffers are kept from one batch to the next.
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

    /// Computes the output: rows x outputs.
    pub fn forward(&mut self, network: &Network<T>) -> ArrayView2<'_, T> {
        let mut tasks: Vec<_> = tiles(&mut self.values).into_iter().map(|v| (v, vec![])).collect();
        tasks.iter_mut().zip(tiles(&mut self.slopes)).for_each(|(t, s)| t.1 = s);
        let masks = &self.masks;
        each(tasks.into_iter().enumerate().collect(), self.small, |(t, (mut values, mut slopes))| {
            network.forward_tile(&mut values, &mut slopes, masks, t * TILE);
        });
        self.values[self.last].view()
    }

    /// The output of the last forward pass and the derivative of the loss by it, to be filled before the backward pass:
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
                let [mean, square, gradient] = [&mut mean, &mut square, &mut left].map(|v| take_mut(v, n));
                tasks.push(ParameterBlock { layer: l, from, factor, parameters, mean, square, gradient });
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

/// A block of parameters with what belongs to it.
struct ParameterBlock<'a, T> {
    layer: usize,
    /// Where it begins: the input of the layer, or none for the bias.
    from: Option<usize>,
    factor: f64,
    parameters: &'a mut [T],
    mean: &'a mut [T],
    square: &'a mut [T],
    gradient: &'a mut [T],
}
