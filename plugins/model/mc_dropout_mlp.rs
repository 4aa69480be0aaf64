//! Monte-Carlo dropout network of GeneDisco (Mehrjou et al. 2022, after Gal & Ghahramani 2016), retrained every round.
//!
//! z = W t + b, a = m relu(z) with m = 0 or 1/(1 - p) for each unit, g = V a + c. Training draws m for each row and
//! step: mean squared error, Adam (0.9, 0.999, 1e-8), penalty l2/2 ‖parameters‖² (added to the gradient, as PyTorch's
//! `weight_decay`). Each of `masks` masks m, drawn once a fit and the same for every row, is a function g_m; their mean
//! and spread (÷ masks) are the posterior. Both are exact sums: with u = V ∘ relu(z), E g = ⟨u, E m⟩ + c and
//! Var g = uᵀ Cov(m) u, so a prediction costs h² numbers an output however many masks there are.
//!
//! Protocols. "paper": a share of the measured perturbations, with all their replicates, is held out; its squared error
//! (of the network without dropout, the mean over all masks) chooses the number of units, ends training when it has
//! not fallen for `patience` epochs, and chooses the epoch. With `folds` above 1 as many disjoint shares are held out
//! in turn, the mean of their errors chooses the units, and the network of the first is kept. "code": what the
//! released genedisco and slingpy do: the share is held out just so, but training ends, and the epoch is chosen, by
//! the mean training loss of the epoch; `search` > 0 draws units and start that many times and keeps the draw of
//! least absolute error on the share, and 0, the released single loop, never looks at it. Where a share is less than
//! one perturbation nothing is held out, and the first of `hidden` ("paper") or the last ("code") is trained by its
//! training loss.
//!
//! GeneDisco trains on features and readouts as they are; here both are standardised unless told otherwise
//! (`input_scale`, `output_scale`). An output that does not vary among the measured is predicted as that constant with
//! sd 0.
//!
//! Cost: 4 rows x features x units operations an epoch and network in single precision (one core, wide registers),
//! networks side by side; a prediction 2 features x units + units² a row and output.

#[cfg(test)]
mod tests;
mod training;

use framework::prelude::*;
use learn::nn::dropout_mlp::DropoutMlp;
use learn::nn::network::{Activation, Layer, Network};
use learn::nn::scaling::{OutputScale, Scaling};
use rayon::prelude::*;
use std::sync::Arc;
use training::{Table, Trained};

/// Network with one hidden layer and dropout before its ReLU, on the prior features; masks that are drawn once a fit
/// give mean, sd and functions, fresh masks give draws. Gives its hidden layer and the factors of its gradient.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct McDropoutMlp {
    /// What the held out perturbations decide: "paper" (default), units and epoch; "code", nothing, or with `search`
    /// the units.
    pub protocol: Protocol,
    /// Numbers of units to choose from; default [4, 8, 16].
    pub hidden: Vec<usize>,
    /// Shares held out in turn to choose the units in "paper", at most 1 over `validation`; default 2.
    pub folds: usize,
    /// Random draws of the units in "code", 15 in the released search; default 0: none, the last of `hidden`.
    pub search: usize,
    /// Share of the measured perturbations that is held out, rounded down; default 0.2.
    pub validation: f64,
    /// Most passes over the rows; default 100.
    pub epochs: usize,
    /// Epochs without a lower loss after which training ends; default 13.
    pub patience: usize,
    /// Rows of a step; default 64.
    pub batch: usize,
    /// Of Adam; default 0.001.
    pub learning_rate: f64,
    /// Times a parameter, added to its gradient; default 1e-4.
    pub l2: f64,
    /// Probability p that a mask leaves out a unit; default 0.5.
    pub dropout: f64,
    /// Masks m of a prediction; default 100.
    pub masks: usize,
    /// Features: "standard" (default), mean 0 and sd 1 over the measured rows, or "raw", as they are (GeneDisco).
    pub input_scale: InputScale,
    /// Readouts: "together" (default), centred and over the root mean square sd of all outputs; "each", over the own
    /// sd; "raw", as they are (GeneDisco).
    pub output_scale: OutputScale,
    /// What the hidden layer shows to kernels: "penultimate" (default), relu(z), the expected input of the last layer
    /// (the paper), or "first_layer", z (the released code).
    pub embedding: Embedding,
}

impl Default for McDropoutMlp {
    fn default() -> Self {
        Self {
            protocol: Protocol::Paper,
            hidden: vec![4, 8, 16],
            folds: 2,
            search: 0,
            validation: 0.2,
            epochs: 100,
            patience: 13,
            batch: 64,
            learning_rate: 0.001,
            l2: 1e-4,
            dropout: 0.5,
            masks: 100,
            input_scale: InputScale::Standard,
            output_scale: OutputScale::Together,
            embedding: Embedding::Penultimate,
        }
    }
}

/// What the held out perturbations are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// They choose units and epoch.
    #[default]
    Paper,
    /// They go unused, or rank the draws of a search.
    Code,
}

/// How features enter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputScale {
    /// Standardised by the measured rows.
    #[default]
    Standard,
    /// As they are.
    Raw,
}

/// What the hidden layer shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Embedding {
    /// relu(z).
    #[default]
    Penultimate,
    /// z.
    FirstLayer,
}

impl McDropoutMlp {
    fn check(&self, inputs: &Inputs) -> Result<()> {
        let wrong = |what: &str| Err(Error::Config(format!("model mc_dropout_mlp: {what}")));
        if self.hidden.is_empty() || self.hidden.contains(&0) {
            return wrong("`hidden` needs at least one number of units, and none may be 0");
        }
        if [self.folds, self.epochs, self.patience, self.batch, self.masks].contains(&0) {
            return wrong("`folds`, `epochs`, `patience`, `batch` and `masks` must be at least 1");
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite() && self.l2 >= 0.0 && self.l2.is_finite()) {
            return wrong("`learning_rate` must be a positive number and `l2` not below 0");
        }
        if !(0.0..1.0).contains(&self.dropout) || !(0.0..1.0).contains(&self.validation) {
            return wrong("`dropout` and `validation` must be at least 0 and below 1");
        }
        if self.folds > 1 && self.folds as f64 * self.validation > 1.0 + 1e-9 {
            return wrong("`folds` shares of size `validation` are more than there is; make one of them smaller");
        }
        if self.search > 0 && self.protocol == Protocol::Paper {
            return wrong("`search` belongs to protocol \"code\"; \"paper\" tries every number of `hidden`");
        }
        if inputs.n_features() == 0 {
            return wrong("it learns from features and no prior is active; add a [prior.NAME] section");
        }
        Ok(())
    }
}

#[typetag::serde(name = "mc_dropout_mlp")]
impl Model for McDropoutMlp {
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>> {
        self.check(cx.inputs)?;
        let observed = cx.observed;
        let mut scaling = Scaling::new("mc_dropout_mlp", &**cx.inputs, &observed.ids, &observed.y, self.output_scale)?;
        if self.input_scale == InputScale::Raw {
            scaling.keep_features();
        }
        let single = |a: Array2<f64>| a.iter().map(|v| *v as f32).collect();
        let table = Table {
            x: single(scaling.rows(&**cx.inputs, &observed.ids)?),
            y: single(scaling.targets(&observed.y)),
            inputs: cx.inputs.n_features(),
            outputs: observed.n_outputs(),
        };
        let trained = self.choose(&table, observed, cx.streams);
        if !(trained.network.is_finite() && trained.loss.is_finite()) {
            return Err(Error::Numerical(format!(
                "model mc_dropout_mlp: training diverged at learning rate {}; lower `learning_rate`, or scale the \
                 features and readouts (`input_scale`, `output_scale`)",
                self.learning_rate
            )));
        }
        let masks = masks(self.dropout, self.masks, trained.network.hidden, &mut cx.streams.rng("masks"));
        Ok(Box::new(Fitted::new(cx.inputs.clone(), scaling, trained, masks, self.dropout, self.embedding)))
    }

    fn provides(&self) -> Abilities {
        Abilities::of([Ability::Sd, Ability::Draws, Ability::Embedding, Ability::Layers, Ability::VarianceGradient])
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Features])
    }
}

/// Masks x units, 0 or 1/(1 - p).
fn masks(dropout: f64, n: usize, hidden: usize, rng: &mut StreamRng) -> Array2<f64> {
    Array2::from_shape_simple_fn((n, hidden), || {
        let left_out = rng.random::<f64>() < dropout;
        if left_out { 0.0 } else { 1.0 / (1.0 - dropout) }
    })
}

struct Fitted {
    inputs: Arc<Inputs>,
    scaling: Scaling,
    network: DropoutMlp,
    /// V on the scale of the readouts (outputs x units), and the constant beside it.
    head: Array2<f64>,
    offset: Array1<f64>,
    masks: Array2<f64>,
    mask_mean: Array1<f64>,
    mask_cov: Array2<f64>,
    dropout: f64,
    embedding: Embedding,
    record: Vec<(String, f64)>,
}

/// Rows answered in one piece.
const TILE: usize = 256;

impl Fitted {
    fn new(
        inputs: Arc<Inputs>,
        scaling: Scaling,
        trained: Trained,
        masks: Array2<f64>,
        dropout: f64,
        embedding: Embedding,
    ) -> Self {
        let network = trained.network;
        let head = Array2::from_shape_fn((network.outputs, network.hidden), |(o, u)| {
            let v = network.head().nth(o).map_or(0.0, |v| v[u]);
            f64::from(v) * scaling.y_sd[o]
        });
        let offset: Array1<f64> = network
            .offset()
            .iter()
            .zip(scaling.y_sd.iter().zip(&scaling.y_mean))
            .map(|(c, (s, m))| f64::from(*c) * s + m)
            .collect();
        let n = masks.nrows() as f64;
        let mask_mean = masks.sum_axis(Axis(0)) / n;
        let apart = &masks - &mask_mean;
        let mask_cov = apart.t().dot(&apart) / n;
        let mut record = vec![
            ("mc_dropout_mlp.hidden".into(), network.hidden as f64),
            ("mc_dropout_mlp.epochs".into(), trained.epochs as f64),
            ("mc_dropout_mlp.loss".into(), trained.loss),
        ];
        if trained.absolute.is_finite() {
            record.push(("mc_dropout_mlp.held_out_mae".into(), trained.absolute));
        }
        Self { inputs, scaling, network, head, offset, masks, mask_mean, mask_cov, dropout, embedding, record }
    }

    /// z of some perturbations, tile by tile in parallel; `f` gets the rows of a tile (each of `width` numbers, the
    /// first of them units).
    fn tiles<A: Send>(&self, ids: &[usize], f: impl Fn(&[f32]) -> A + Sync) -> Result<Vec<A>> {
        let matrix = self.inputs.pool().is_singles().then(|| self.inputs.gene_matrix());
        // Slices, which become vector instructions as iterators over arrays do not.
        let mean: Vec<f64> = self.scaling.x_mean.to_vec();
        let inverse: Vec<f64> = self.scaling.x_sd.iter().map(|s| s.recip()).collect();
        let scaled = |to: &mut Vec<f32>, row: ArrayView1<f64>| {
            let held;
            let row = match row.to_slice() {
                Some(row) => row,
                None => {
                    held = row.to_vec();
                    &held[..]
                }
            };
            to.extend(row.iter().zip(&mean).zip(&inverse).map(|((v, m), i)| ((v - m) * i) as f32));
        };
        ids.par_chunks(TILE)
            .map_init(Default::default, |(x, z): &mut (Vec<f32>, Vec<f32>), tile| {
                x.clear();
                match matrix {
                    // Genes of the pool need no copy before.
                    Some(all) => tile.iter().for_each(|id| scaled(x, all.row(*id))),
                    None => self.inputs.features(tile).outer_iter().for_each(|row| scaled(x, row)),
                }
                z.clear();
                self.network.sums(x, z);
                if z.iter().all(|v| v.is_finite()) {
                    return Ok(f(z));
                }
                // Says which feature it is.
                self.scaling.rows(&*self.inputs, tile)?;
                Err(Error::Numerical("model mc_dropout_mlp: features are too large for single precision".into()))
            })
            .collect()
    }

    /// Values of given masks: masks x ids x outputs.
    fn values(&self, ids: &[usize], masks: &Array2<f64>) -> Result<Array3<f64>> {
        let mut out = Array3::zeros((masks.nrows(), ids.len(), self.offset.len()));
        let parts = self.tiles(ids, |z| {
            let rows = z.len() / self.network.width();
            let mut part = Array3::zeros((masks.nrows(), rows, self.offset.len()));
            for (r, z) in z.chunks_exact(self.network.width()).enumerate() {
                for (o, v) in self.head.outer_iter().enumerate() {
                    let u: Array1<f64> = v.iter().zip(z).map(|(v, z)| v * f64::from(z.max(0.0))).collect();
                    let f = masks.dot(&u) + self.offset[o];
                    part.slice_mut(framework::ndarray::s![.., r, o]).assign(&f);
                }
            }
            part
        })?;
        for (t, part) in parts.iter().enumerate() {
            out.slice_mut(framework::ndarray::s![.., t * TILE..t * TILE + part.dim().1, ..]).assign(part);
        }
        Ok(out)
    }

    /// The network without dropout, as a general one.
    fn plain(&self) -> Network<f64> {
        let n = &self.network;
        let layer = |rows: Vec<f64>, inputs: usize, outputs: usize, bias: &[f32]| Layer {
            weight: Array2::from_shape_vec((inputs, outputs), rows).unwrap_or_default(),
            bias: bias.iter().map(|v| f64::from(*v)).collect(),
            weight_factor: 1.0,
            bias_factor: 1.0,
        };
        let first: Vec<f64> = n.weight().flatten().map(|v| f64::from(*v)).collect();
        let head: Vec<&[f32]> = n.head().collect();
        let second = (0..n.hidden).flat_map(|u| head.iter().map(move |v| f64::from(v[u]))).collect();
        let layers = vec![layer(first, n.inputs, n.hidden, n.bias()), layer(second, n.hidden, n.outputs, n.offset())];
        Network { layers, activation: Activation::Relu }
    }
}

impl Surrogate for Fitted {
    /// Mean and sd (÷ masks) over the masks of the fit.
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        let (h, n_outputs) = (self.network.hidden, self.offset.len());
        let parts = self.tiles(ids, |z| {
            let (mut mean, mut sd) = (vec![], vec![]);
            let (mut u, mut by) = (vec![0.0; h], vec![0.0; h]);
            for z in z.chunks_exact(self.network.width()) {
                for (v, c) in self.head.outer_iter().zip(&self.offset) {
                    for ((u, v), z) in u.iter_mut().zip(v).zip(z) {
                        *u = v * f64::from(z.max(0.0));
                    }
                    by.fill(0.0);
                    for (u, cov) in u.iter().zip(self.mask_cov.outer_iter()) {
                        by.iter_mut().zip(cov).for_each(|(b, c)| *b += u * c);
                    }
                    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
                    mean.push(c + self.mask_mean.iter().zip(&u).map(|(m, u)| m * u).sum::<f64>());
                    sd.push(dot(&u, &by).max(0.0).sqrt());
                }
            }
            (mean, sd)
        })?;
        let (mean, sd): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let shaped = |parts: Vec<Vec<f64>>| {
            let shape = Array2::from_shape_vec((ids.len(), n_outputs), parts.concat());
            shape.map_err(|e| Error::Plugin(format!("model mc_dropout_mlp: {e}")))
        };
        Ok(Posterior { mean: shaped(mean)?, sd: Some(shaped(sd)?) })
    }

    fn draws(&self) -> Option<&dyn JointDraws> {
        Some(self)
    }

    fn functions(&self) -> Option<&dyn Functions> {
        Some(self)
    }

    fn variance_gradient(&self) -> Option<&dyn VarianceGradient> {
        Some(self)
    }

    fn representation(&self) -> Option<&dyn Representation> {
        Some(self)
    }

    fn layers(&self) -> Option<&dyn LayerGradients> {
        Some(self)
    }

    fn record(&self) -> Vec<(String, f64)> {
        self.record.clone()
    }
}

impl JointDraws for Fitted {
    /// Each draw is a fresh mask.
    fn draw(&self, ids: &[usize], n: usize, rng: &mut StreamRng) -> Result<Array3<f64>> {
        self.values(ids, &masks(self.dropout, n, self.network.hidden, rng))
    }
}

impl Functions for Fitted {
    /// One for each mask of the fit.
    fn evaluate(&self, ids: &[usize]) -> Result<Array3<f64>> {
        self.values(ids, &self.masks)
    }
}

impl VarianceGradient for Fitted {
    /// With s_o the rows of V on the readouts' scale, Var = relu(z)ᵀ C relu(z), C = Cov(m) ∘ Σ_o s_o s_oᵀ, and its
    /// gradient 2 Wᵀ (1[z > 0] ∘ C relu(z)) over the features' scale.
    fn at(&self, x: ArrayView2<f64>) -> Result<(Array1<f64>, Array2<f64>)> {
        let n = &self.network;
        let weight =
            Array2::from_shape_vec((n.inputs, n.hidden), n.weight().flatten().map(|v| f64::from(*v)).collect());
        let weight = weight.map_err(|e| Error::Plugin(format!("model mc_dropout_mlp: {e}")))?;
        let bias: Array1<f64> = n.bias().iter().map(|v| f64::from(*v)).collect();
        let c = self.head.t().dot(&self.head) * &self.mask_cov;
        let inverse = self.scaling.x_sd.mapv(f64::recip);
        let (mut variance, mut gradient) = (Array1::zeros(x.nrows()), Array2::zeros(x.dim()));
        variance
            .axis_chunks_iter_mut(Axis(0), TILE)
            .into_par_iter()
            .zip(gradient.axis_chunks_iter_mut(Axis(0), TILE))
            .zip(x.axis_chunks_iter(Axis(0), TILE))
            .for_each(|((mut variance, mut gradient), x)| {
                let z = ((&x - &self.scaling.x_mean) * &inverse).dot(&weight) + &bias;
                let a = z.mapv(|z| z.max(0.0));
                let mut signal = a.dot(&c);
                for ((v, s), a) in variance.iter_mut().zip(signal.outer_iter()).zip(a.outer_iter()) {
                    *v = s.dot(&a).max(0.0);
                }
                signal.zip_mut_with(&z, |s, z| *s = if *z > 0.0 { 2.0 * *s } else { 0.0 });
                gradient.assign(&(signal.dot(&weight.t()) * &inverse));
            });
        Ok((variance, gradient))
    }
}

impl Representation for Fitted {
    fn embed(&self, ids: &[usize]) -> Result<Array2<f64>> {
        let shown = |z: f32| f64::from(if self.embedding == Embedding::Penultimate { z.max(0.0) } else { z });
        let h = self.network.hidden;
        let parts = self.tiles(ids, |z| -> Vec<f64> {
            z.chunks_exact(self.network.width()).flat_map(|z| z[..h].iter().map(|z| shown(*z))).collect()
        })?;
        let all = Array2::from_shape_vec((ids.len(), h), parts.concat());
        all.map_err(|e| Error::Plugin(format!("model mc_dropout_mlp: {e}")))
    }
}

impl LayerGradients for Fitted {
    /// Of the network without dropout, whose outputs are scaled as in training.
    fn factors(&self, ids: &[usize], member: usize, directions: ArrayView2<f64>) -> Result<Vec<LayerFactors>> {
        if member > 0 || directions.nrows() != self.offset.len() {
            return Err(Error::Plugin(format!(
                "member {member} and directions of {} outputs were asked of one network of {} outputs",
                directions.nrows(),
                self.offset.len()
            )));
        }
        let factors = self.plain().gradient_factors(self.scaling.rows(&*self.inputs, ids)?.view(), directions);
        Ok(factors.into_iter().map(|(input, signal)| LayerFactors { input, signal }).collect())
    }
}

framework::register!(Model, McDropoutMlp, "mc_dropout_mlp", "network with Monte-Carlo dropout, as in GeneDisco");
