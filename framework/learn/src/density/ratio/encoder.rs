//! Encoders: what makes a few numbers of a sample.

use crate::nn::conv::{ConvNet, ConvPass};
use crate::nn::network::{Network, Pass};
use crate::nn::optimiser::Adam;
use ndarray::{Array2, ArrayView2, ArrayViewMut2};
use numerics::streams::StreamRng;
use rand::RngExt;

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
