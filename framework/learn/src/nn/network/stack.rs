//! A network, and what it says of rows without being trained: values, gradients by parameters and by inputs.

use super::layer::{Activation, Layer, Start};
use super::tiles::{TILE, buffers, flat, multiply, product, product_t, slices, tiles};
use ndarray::{Array2, ArrayView2, Axis};
use numerics::Real;
use rand::Rng;
use rayon::prelude::*;

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

    pub(super) fn widths(&self) -> Vec<usize> {
        self.layers.iter().map(Layer::inputs).chain(self.layers.last().map(Layer::outputs)).collect()
    }

    /// Number of weights and biases.
    pub fn n_parameters(&self) -> usize {
        self.layers.iter().map(|l| l.weight.len() + l.bias.len()).sum()
    }

    /// Fills `values[1..]` from `values[0]`, a buffer a layer, and the slopes of the hidden layers where asked for.
    /// The masks are those of the whole batch, in which the tile begins at row `first`.
    pub(super) fn forward_tile(
        &self,
        values: &mut [&mut [T]],
        slopes: &mut [&mut [T]],
        masks: &[Array2<T>],
        first: usize,
    ) {
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
