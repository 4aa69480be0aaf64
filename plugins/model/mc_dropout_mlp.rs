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

use framework::prelude::*;
use learn::nn::dropout_mlp::{DropoutMlp, DropoutTraining};
use learn::nn::network::{Activation, Layer, Network};
use learn::nn::scaling::{OutputScale, Scaling};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use std::sync::Arc;

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

/// Measured rows in single precision, one after another.
struct Table {
    x: Vec<f32>,
    y: Vec<f32>,
    inputs: usize,
    outputs: usize,
}

impl Table {
    /// Some of the rows, packed.
    fn select(&self, rows: &[usize]) -> (Vec<f32>, Vec<f32>) {
        let part = |v: &[f32], width: usize| -> Vec<f32> {
            rows.iter().flat_map(|r| &v[r * width..(r + 1) * width]).copied().collect()
        };
        (part(&self.x, self.inputs), part(&self.y, self.outputs))
    }
}

/// A trained network, and what training saw of it.
struct Trained {
    network: DropoutMlp,
    epochs: usize,
    /// The loss that chose the epoch.
    loss: f64,
    /// Mean absolute error on the held out rows, if there are any.
    absolute: f64,
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

    /// Trains one network on `rows`; the loss that is watched is that on `held`, or of training where it is empty.
    fn train(&self, table: &Table, rows: &[usize], held: &[usize], hidden: usize, streams: &Streams) -> Trained {
        let network = DropoutMlp::new(table.inputs, hidden, table.outputs, &mut streams.rng("start"));
        let batch = self.batch.min(rows.len());
        let mut training = DropoutTraining::new(network, batch, self.dropout, self.learning_rate, self.l2);
        let (mut order, mut orders, mut masks) = (rows.to_vec(), streams.rng("order"), streams.rng("dropout"));
        let (held_x, held_y) = table.select(held);
        let watched = !held.is_empty() && self.protocol == Protocol::Paper;
        let (mut best, mut least, mut waited, mut epochs) = (training.network.clone(), f64::INFINITY, 0, 0);
        while epochs < self.epochs && waited < self.patience {
            order.shuffle(&mut orders);
            let mut loss = training.epoch(&table.x, &table.y, &order, &mut masks);
            if watched {
                loss = training.network.errors(&held_x, &held_y).0;
            }
            epochs += 1;
            waited += 1;
            if loss < least {
                (least, waited) = (loss, 0);
                best.clone_from(&training.network);
            }
        }
        let absolute = if held.is_empty() { f64::NAN } else { best.errors(&held_x, &held_y).1 };
        Trained { network: best, epochs, loss: least, absolute }
    }

    /// Rows held out in each fold, by the perturbation they belong to.
    fn held_out(&self, observed: &Observed, streams: &Streams) -> Vec<Vec<bool>> {
        let mut distinct = observed.distinct();
        distinct.shuffle(&mut streams.rng("validation"));
        // A whole number of perturbations may come out a rounding error short of itself.
        let share = (self.validation * distinct.len() as f64 + 1e-9) as usize;
        let folds = if self.protocol == Protocol::Paper && self.hidden.len() > 1 { self.folds } else { 1 };
        (0..folds)
            .map(|f| {
                let held: std::collections::HashSet<usize> =
                    distinct.iter().skip(f * share).take(share).copied().collect();
                observed.ids.iter().map(|id| held.contains(id)).collect()
            })
            .collect()
    }

    /// The network that the protocol keeps.
    fn choose(&self, table: &Table, observed: &Observed, streams: &Streams) -> Trained {
        let folds: Vec<(Vec<usize>, Vec<usize>)> = self
            .held_out(observed, streams)
            .into_iter()
            .map(|held| (0..observed.len()).partition(|r| held[*r]))
            .collect();
        // Which units in which fold, with streams that do not depend on what else is tried.
        let tried: Vec<(usize, usize, Streams)> = match self.protocol {
            _ if folds[0].0.is_empty() => {
                let of = self.hidden[if self.protocol == Protocol::Code { self.hidden.len() - 1 } else { 0 }];
                vec![(of, 0, streams.child("fit").index(of).index(0))]
            }
            Protocol::Paper => {
                let each = |h: &usize| {
                    let h = *h;
                    (0..folds.len()).map(move |f| (h, f, streams.child("fit").index(h).index(f)))
                };
                self.hidden.iter().flat_map(each).collect()
            }
            Protocol::Code if self.search == 0 => {
                let of = self.hidden[self.hidden.len() - 1];
                vec![(of, 0, streams.child("fit").index(of).index(0))]
            }
            Protocol::Code => {
                let mut rng = streams.rng("search");
                let mut draw =
                    |s| (self.hidden[rng.random_range(0..self.hidden.len())], 0, streams.child("search").index(s));
                (0..self.search).map(&mut draw).collect()
            }
        };
        let mut all: Vec<Trained> = tried
            .par_iter()
            .map(|(h, f, streams)| self.train(table, &folds[*f].1, &folds[*f].0, *h, streams))
            .collect();
        // Folds of one number of units stand side by side; the first of the best group is kept, ties to the first.
        let group = if self.protocol == Protocol::Paper { folds.len().min(all.len()) } else { 1 };
        let score = |g: &[Trained]| match self.protocol {
            Protocol::Paper => g.iter().map(|t| t.loss).sum::<f64>(),
            Protocol::Code => g.iter().map(|t| t.absolute).sum::<f64>(),
        };
        let scores: Vec<f64> = all.chunks(group).map(score).collect();
        let best = (1..scores.len()).fold(0, |b, k| if scores[k] < scores[b] { k } else { b });
        all.swap_remove(best * group)
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

    fn provides(&self) -> Provides {
        Provides {
            sd: true,
            draws: true,
            embedding: true,
            layers: true,
            variance_gradient: true,
            ..Provides::default()
        }
    }

    fn requires(&self) -> Requires {
        Requires { features: true, ..Requires::default() }
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

    /// Each draw is a fresh mask.
    fn draw(&self, ids: &[usize], n: usize, rng: &mut StreamRng) -> Result<Array3<f64>> {
        self.values(ids, &masks(self.dropout, n, self.network.hidden, rng))
    }

    /// One for each mask of the fit.
    fn functions(&self, ids: &[usize]) -> Result<Option<Array3<f64>>> {
        self.values(ids, &self.masks).map(Some)
    }

    /// With s_o the rows of V on the readouts' scale, Var = relu(z)ᵀ C relu(z), C = Cov(m) ∘ Σ_o s_o s_oᵀ, and its
    /// gradient 2 Wᵀ (1[z > 0] ∘ C relu(z)) over the features' scale.
    fn variance_gradient(&self, x: ArrayView2<f64>) -> Result<(Array1<f64>, Array2<f64>)> {
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

    fn embed(&self, ids: &[usize]) -> Result<Array2<f64>> {
        let shown = |z: f32| f64::from(if self.embedding == Embedding::Penultimate { z.max(0.0) } else { z });
        let h = self.network.hidden;
        let parts = self.tiles(ids, |z| -> Vec<f64> {
            z.chunks_exact(self.network.width()).flat_map(|z| z[..h].iter().map(|z| shown(*z))).collect()
        })?;
        let all = Array2::from_shape_vec((ids.len(), h), parts.concat());
        all.map_err(|e| Error::Plugin(format!("model mc_dropout_mlp: {e}")))
    }

    /// Of the network without dropout, whose outputs are scaled as in training.
    fn layers(&self, ids: &[usize], member: usize, directions: ArrayView2<f64>) -> Result<Vec<LayerFactors>> {
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

    fn record(&self) -> Vec<(String, f64)> {
        self.record.clone()
    }
}

framework::register!(Model, McDropoutMlp, "mc_dropout_mlp", "network with Monte-Carlo dropout, as in GeneDisco");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::domain::Readouts;
    use framework::testing::TinyWorld;

    fn fit(model: &McDropoutMlp, inputs: &Arc<Inputs>, observed: &Observed) -> Result<Box<dyn Surrogate>> {
        model.fit(&FitContext { inputs, observed, streams: &Streams::new(1).child("model") })
    }

    fn recorded(s: &dyn Surrogate, name: &str) -> Option<f64> {
        s.record().into_iter().find(|(n, _)| n.ends_with(name)).map(|r| r.1)
    }

    /// Readouts of the first `n` of 400 perturbations, a bent function of the features and some noise.
    fn bent(n: usize) -> (TinyWorld, Observed, Array1<f64>) {
        let world = TinyWorld::new(400, 3, 1, false, 2).unwrap();
        let x = world.inputs.features(&(0..400).collect::<Vec<_>>());
        let truth: Array1<f64> = x.outer_iter().map(|x| 3.0 * x[0].abs() + x[1] + 10.0).collect();
        let noisy = world.observe(&(0..n).collect::<Vec<_>>(), 1).unwrap();
        let y = Array2::from_shape_fn((n, 1), |(i, _)| truth[i] + 4.0 * (noisy.y[(i, 0)] - world.truth[(i, 0)]));
        let mut observed = Observed::empty(1);
        observed.push(&Readouts::plain(&(0..n).collect::<Vec<_>>(), y), 0).unwrap();
        (world, observed, truth)
    }

    #[test]
    fn learns_a_bent_function_better_than_mean_and_ridge() {
        let (world, observed, truth) = bent(300);
        let test: Vec<usize> = (300..400).collect();
        let error = |s: &dyn Surrogate| {
            let p = s.predict(&test).unwrap();
            (test.iter().zip(&p.mean).map(|(i, m)| (truth[*i] - m).powi(2)).sum::<f64>() / 100.0).sqrt()
        };
        let ridge: Box<dyn Model> = serde_json::from_value(serde_json::json!({ "use": "ridge" })).unwrap();
        let cx = FitContext { inputs: &world.inputs, observed: &observed, streams: &Streams::new(1) };
        let ridge = error(&*ridge.fit(&cx).unwrap());
        let model = McDropoutMlp { epochs: 600, learning_rate: 0.01, batch: 32, ..McDropoutMlp::default() };
        let own = error(&*fit(&model, &world.inputs, &observed).unwrap());
        assert!(own < 0.75 * ridge, "{own} against {ridge} of ridge");
    }

    #[test]
    fn mean_and_sd_are_those_of_the_functions_whatever_the_tiles() {
        for outputs in [1, 3] {
            let world = TinyWorld::new(600, 5, outputs, false, 3).unwrap();
            let observed = world.observe(&(0..90).collect::<Vec<_>>(), 1).unwrap();
            for (masks, dropout) in [(100, 0.5), (7, 0.2)] {
                let model = McDropoutMlp { masks, dropout, epochs: 20, ..McDropoutMlp::default() };
                let s = fit(&model, &world.inputs, &observed).unwrap();
                let ids: Vec<usize> = (0..600).rev().collect();
                let (p, f) = (s.predict(&ids).unwrap(), s.functions(&ids).unwrap().unwrap());
                assert_eq!(f.dim(), (masks, 600, outputs));
                let mean = f.mean_axis(Axis(0)).unwrap();
                let sd = (&f - &mean).mapv(|v| v * v).mean_axis(Axis(0)).unwrap().mapv(f64::sqrt);
                let own = p.sd.unwrap();
                assert!(own.iter().all(|s| *s > 0.0));
                assert!((&p.mean - &mean).iter().chain(&(&own - &sd)).all(|d| d.abs() < 1e-9));
                // A function is a function: the same value alone, in another order, and on the next call.
                let some = s.functions(&[599, 0, 300]).unwrap().unwrap();
                for m in 0..masks {
                    for (i, id) in [599, 0, 300].into_iter().enumerate() {
                        assert_eq!(
                            some.slice(framework::ndarray::s![m, i, ..]),
                            f.slice(framework::ndarray::s![m, 599 - id, ..])
                        );
                    }
                }
                // A draw is one too, of masks of its own.
                let draw = |ids: &[usize]| s.draw(ids, 5, &mut Streams::new(4).rng("draw")).unwrap();
                let all = draw(&ids);
                assert_eq!(draw(&[10]).index_axis(Axis(1), 0), all.index_axis(Axis(1), 589));
                assert!(all.index_axis(Axis(0), 0) != all.index_axis(Axis(0), 1));
                // relu(m z) = m relu(z): the mean of many draws is the network without dropout.
                let many = s.draw(&[10], 40_000, &mut Streams::new(5).rng("draw")).unwrap();
                let by_layers = s.layers(&[10], 0, Array2::eye(outputs).view()).unwrap();
                let h = s.embed(&[10]).unwrap();
                assert!((0..h.ncols()).all(|u| (h[(0, u)] - by_layers[1].input[(0, u)]).abs() < 1e-5));
                for o in 0..outputs {
                    let values = many.slice(framework::ndarray::s![.., 0, o]);
                    let (mean, sd) = (values.mean().unwrap(), values.std(0.0));
                    let near = s.predict(&[10]).unwrap();
                    assert!((mean - near.mean[(0, o)]).abs() < 6.0 * sd / (masks as f64).sqrt());
                }
            }
        }
    }

    #[test]
    fn variance_has_its_gradient_and_is_that_of_predict() {
        let world = TinyWorld::new(80, 6, 2, false, 3).unwrap();
        let observed = world.observe(&(0..60).collect::<Vec<_>>(), 1).unwrap();
        for input_scale in [InputScale::Standard, InputScale::Raw] {
            let model = McDropoutMlp { input_scale, epochs: 30, ..McDropoutMlp::default() };
            let s = fit(&model, &world.inputs, &observed).unwrap();
            let ids: Vec<usize> = (40..80).collect();
            let x = world.inputs.features(&ids);
            let (variance, gradient) = s.variance_gradient(x.view()).unwrap();
            let sd = s.predict(&ids).unwrap().sd.unwrap();
            for i in 0..40 {
                let want: f64 = sd.row(i).iter().map(|s| s * s).sum();
                assert!((variance[i] / want - 1.0).abs() < 1e-3, "{} {want}", variance[i]);
                for j in 0..6 {
                    let by = |h: f64| {
                        let mut x = x.clone();
                        x[(i, j)] += h;
                        s.variance_gradient(x.view()).unwrap().0[i]
                    };
                    let want = (by(1e-7) - by(-1e-7)) / 2e-7;
                    let near = 1e-5 * variance[i].max(want.abs()).max(1e-3);
                    assert!((gradient[(i, j)] - want).abs() < near, "{i} {j}: {} {want}", gradient[(i, j)]);
                }
            }
        }
    }

    #[test]
    fn protocols_stop_by_the_loss_they_say() {
        let (world, observed, _) = bent(40);
        // Pure noise: held out error soon rises while training error falls on.
        let mut noise = observed.clone();
        let mut rng = Streams::new(8).rng("noise");
        noise.y.mapv_inplace(|_| rng.random_range(-1.0..1.0));
        let paper = McDropoutMlp { hidden: vec![16], learning_rate: 0.02, epochs: 400, ..McDropoutMlp::default() };
        let s = fit(&paper, &world.inputs, &noise).unwrap();
        let stopped = recorded(&*s, "epochs").unwrap();
        assert!(stopped < 400.0 && stopped > 13.0, "{stopped}");
        // With more patience, the same start, masks and order: the loss can only be lower.
        let patient = McDropoutMlp { patience: 400, ..paper };
        let longer = fit(&patient, &world.inputs, &noise).unwrap();
        assert_eq!(recorded(&*longer, "epochs"), Some(400.0));
        assert!(recorded(&*longer, "loss") <= recorded(&*s, "loss"));
        // The kept network is the one of the recorded loss: its error on the held out rows is that.
        let held = patient.held_out(&noise, &Streams::new(1).child("model"));
        let rows: Vec<usize> = (0..40).filter(|r| held[0][*r]).collect();
        assert_eq!(rows.len(), 8);
        let scaling = Scaling::new("t", &*world.inputs, &noise.ids, &noise.y, OutputScale::Together).unwrap();
        let f = {
            // Mean over masks -> without dropout: from the layers' inputs.
            let layers = longer.layers(&rows, 0, Array2::eye(1).view()).unwrap();
            let h = longer.embed(&rows).unwrap();
            assert_eq!(layers[1].input.ncols(), h.ncols() + 1);
            longer.draw(&rows, 100_000, &mut Streams::new(3).rng("d")).unwrap().mean_axis(Axis(0)).unwrap()
        };
        let error = rows.iter().enumerate().map(|(i, r)| ((f[(i, 0)] - noise.y[(*r, 0)]) / scaling.y_sd[0]).powi(2));
        let error = error.sum::<f64>() / 8.0;
        let loss = recorded(&*longer, "loss").unwrap();
        assert!((error / loss - 1.0).abs() < 0.05, "{error} {loss}");
        // In the code's protocol what is held out changes nothing.
        let code = McDropoutMlp { protocol: Protocol::Code, epochs: 30, ..McDropoutMlp::default() };
        let a = fit(&code, &world.inputs, &noise).unwrap();
        assert_eq!(recorded(&*a, "hidden"), Some(16.0));
        let held = code.held_out(&noise, &Streams::new(1).child("model"));
        let mut other = noise.clone();
        // Swaps two held out readouts: the scale stays, and so does all else.
        let rows: Vec<usize> = (0..40).filter(|r| held[0][*r]).collect();
        assert_eq!((held.len(), rows.len()), (1, 8));
        other.y.swap((rows[0], 0), (rows[1], 0));
        let b = fit(&code, &world.inputs, &other).unwrap();
        let near = |a: &dyn Surrogate, b: &dyn Surrogate| {
            let d = a.predict(&[1, 50]).unwrap().mean - b.predict(&[1, 50]).unwrap().mean;
            d.iter().all(|d| d.abs() < 1e-4)
        };
        assert!(near(&*a, &*b));
        let paper = McDropoutMlp { patience: 5, ..McDropoutMlp::default() };
        let moved = fit(&paper, &world.inputs, &other).unwrap();
        assert!(recorded(&*moved, "loss") != recorded(&*fit(&paper, &world.inputs, &noise).unwrap(), "loss"));
    }

    #[test]
    fn replicates_are_held_out_together_and_folds_do_not_overlap() {
        let world = TinyWorld::new(60, 3, 1, false, 3).unwrap();
        let ids: Vec<usize> = (0..50).chain(10..40).collect();
        let observed = world.observe(&ids, 1).unwrap();
        let model = McDropoutMlp { folds: 5, ..McDropoutMlp::default() };
        let folds = model.held_out(&observed, &Streams::new(1));
        let mut times = vec![0; 60];
        for held in &folds {
            let of: std::collections::HashSet<usize> = (0..80).filter(|r| held[*r]).map(|r| ids[r]).collect();
            assert_eq!(of.len(), 10);
            assert!((0..80).all(|r| held[r] == of.contains(&ids[r])));
            of.iter().for_each(|id| times[*id] += 1);
        }
        assert!(times[..50].iter().all(|t| *t == 1));
    }

    #[test]
    fn units_are_chosen_by_what_is_held_out() {
        let (world, observed, _) = bent(200);
        // One unit cannot bend as |x| + another does; sixteen can.
        let settings = |hidden: Vec<usize>| McDropoutMlp {
            hidden,
            learning_rate: 0.02,
            epochs: 300,
            batch: 32,
            folds: 2,
            ..McDropoutMlp::default()
        };
        let s = fit(&settings(vec![1, 16]), &world.inputs, &observed).unwrap();
        assert_eq!(recorded(&*s, "hidden"), Some(16.0));
        // The kept network is the one that a choice of its number of units alone trains.
        let alone = fit(&settings(vec![16]), &world.inputs, &observed).unwrap();
        assert_eq!(alone.predict(&[3, 300]).unwrap().mean, s.predict(&[3, 300]).unwrap().mean);
        // A search in the code's protocol keeps the least absolute error.
        let code = |search| McDropoutMlp { protocol: Protocol::Code, search, ..settings(vec![1, 16]) };
        let found = fit(&code(6), &world.inputs, &observed).unwrap();
        let fewer = fit(&code(1), &world.inputs, &observed).unwrap();
        assert!(recorded(&*found, "held_out_mae") <= recorded(&*fewer, "held_out_mae"));
        assert_eq!(recorded(&*found, "hidden"), Some(16.0));
    }

    #[test]
    fn threads_change_no_bit() {
        let world = TinyWorld::new(900, 90, 1, false, 3).unwrap();
        let observed = world.observe(&(0..300).collect::<Vec<_>>(), 1).unwrap();
        let run = |threads: usize, batch: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let model = McDropoutMlp { batch, hidden: vec![4, 48], epochs: 8, ..McDropoutMlp::default() };
            pool.install(|| {
                let s = fit(&model, &world.inputs, &observed).unwrap();
                let ids: Vec<usize> = (0..900).collect();
                let p = s.predict(&ids).unwrap();
                (
                    p.mean,
                    p.sd,
                    s.functions(&[7, 800]).unwrap(),
                    s.variance_gradient(world.inputs.features(&ids).view()).unwrap(),
                )
            })
        };
        assert!(run(1, 64) == run(4, 64));
        assert!(run(1, 256) == run(4, 256));
    }

    #[test]
    fn constants_and_few_rows_are_predicted() {
        let world = TinyWorld::new(30, 4, 2, false, 3).unwrap();
        let mut observed = world.observe(&(0..20).collect::<Vec<_>>(), 1).unwrap();
        observed.y.column_mut(1).fill(0.1);
        for output_scale in [OutputScale::Each, OutputScale::Raw] {
            let p = fit(&McDropoutMlp { output_scale, ..McDropoutMlp::default() }, &world.inputs, &observed).unwrap();
            let p = p.predict(&[1, 25]).unwrap();
            let sd = p.sd.unwrap();
            assert!((p.mean[(1, 1)] - 0.1).abs() < 1e-12 && sd[(0, 1)] == 0.0 && sd[(0, 0)] > 0.0);
        }
        for n in 1..7 {
            for protocol in [Protocol::Paper, Protocol::Code] {
                let few = world.observe(&(0..n).collect::<Vec<_>>(), 1).unwrap();
                let s = fit(&McDropoutMlp { protocol, ..McDropoutMlp::default() }, &world.inputs, &few).unwrap();
                s.predict(&[1, 25]).unwrap().check(2, 2).unwrap();
                assert_eq!(recorded(&*s, "held_out_mae").is_some(), n >= 5);
            }
        }
        let one = world.observe(&[7], 1).unwrap();
        let p = fit(&McDropoutMlp::default(), &world.inputs, &one).unwrap().predict(&[1, 25]).unwrap();
        assert!(p.mean.outer_iter().all(|r| r == one.y.row(0)) && p.sd.unwrap().iter().all(|s| *s == 0.0));
    }

    #[test]
    fn what_cannot_be_trained_is_refused() {
        let world = TinyWorld::new(30, 4, 1, false, 3).unwrap();
        let observed = world.observe(&(0..20).collect::<Vec<_>>(), 1).unwrap();
        let base = McDropoutMlp::default;
        let refused = |model: McDropoutMlp| fit(&model, &world.inputs, &observed).err().unwrap().to_string();
        assert!(refused(McDropoutMlp { hidden: vec![], ..base() }).contains("`hidden`"));
        assert!(refused(McDropoutMlp { masks: 0, ..base() }).contains("`masks`"));
        assert!(refused(McDropoutMlp { dropout: 1.0, ..base() }).contains("`dropout`"));
        assert!(refused(McDropoutMlp { folds: 6, ..base() }).contains("`folds`"));
        assert!(refused(McDropoutMlp { search: 3, ..base() }).contains("`search`"));
        assert!(refused(McDropoutMlp { learning_rate: f64::NAN, ..base() }).contains("`learning_rate`"));
        let diverged = refused(McDropoutMlp { learning_rate: 1e30, ..base() });
        assert!(diverged.contains("diverged") && diverged.contains("`learning_rate`"), "{diverged}");
        let nothing = Arc::new(Inputs::new(world.inputs.pool().clone(), vec![], Compose::Sum).unwrap());
        assert!(fit(&base(), &nothing, &observed).err().unwrap().to_string().contains("[prior.NAME]"));
        let with = |row: usize, value: f64| {
            let mut x = Array2::from_shape_fn((30, 2), |(i, j)| (i * (j + 1) % 7) as f64);
            x[(row, 1)] = value;
            let block = Block { name: "b".into(), x, present: vec![true; 30], graph: None, note: String::new() };
            Arc::new(Inputs::new(world.inputs.pool().clone(), vec![Arc::new(block)], Compose::Sum).unwrap())
        };
        let want = |row: usize| {
            format!(
                "model mc_dropout_mlp: feature 1 of perturbation `G0{row:02}` is NaN; features must be finite, so \
                 correct the prior's table"
            )
        };
        assert_eq!(fit(&base(), &with(4, f64::NAN), &observed).err().unwrap().to_string(), want(4));
        // Among those not measured it is found when they are asked for.
        let s = fit(&base(), &with(25, f64::NAN), &observed).unwrap();
        assert_eq!(s.predict(&[24, 25]).unwrap_err().to_string(), want(25));
    }
}
