//! GEARS (Roohani, Huang & Leskovec 2024): a network that predicts a profile from the genes perturbed, trained on cells.
//!
//! Gene u: e = relu(BN(E_u)), z_u = MLP(d, d, d)(e + 0.2 SGConv(E'; co-expression)_u). Perturbation P: q = SGConv(E"; graph)
//! or a linear map of supplied embeddings, w = MLP(d, d, d)(Σ_{v∈P} q_v). Decoder: h = MLP(d, 2d, d)(relu(BN(z_u + w))),
//! o_u = ⟨w¹_u, h⟩ + b¹_u, g = MLP(L, d, d)(o), δ_u = ⟨w²_u, [o_u; g]⟩ + b²_u. MLP = linear, BN, ReLU a layer, the last
//! ReLU left out; rows of embeddings have norm at most 1; SGConv = D^-½(A + I)D^-½ X Θ. Loss of a batch: mean over its
//! perturbations of the mean over their cells and genes of |x + δ - y|^(2+γ), y a perturbed and x a control cell.
//!
//! Start, optimiser and schedule are those of the released code (snap-stanford/GEARS: model.py, gears.py), and with
//! `choose = "last"` of its copy in IterPert (Huang et al. 2023). δ does not depend on the cell: the cells of a
//! perturbation in a batch share one pass with their number as weight, to the same result. Trains in single precision.
//! 12 L d h operations, h = 2d, a step and different perturbation of its batch: 0.1 GFLOP at L = 1000, d = 64.

pub mod data;
pub mod graph;
pub mod network;
#[cfg(test)]
mod tests;
pub mod training;

use data::{Data, Held, Samples, mean_and_error};
use framework::numerics::Sparse;
use framework::prelude::*;
use graph::coexpression;
use network::Net;
use rand::seq::SliceRandom;
use std::sync::Arc;
use training::validation_error;

/// Graph-enhanced network on perturbed genes, trained on single cells (or on pseudobulk rows where there are none).
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gears {
    /// Name of the prior whose network joins the perturbed genes; absent: embeddings are used instead.
    pub graph: Option<String>,
    /// Name of the prior whose features describe the perturbed genes, through a learned linear map; absent, and
    /// without `graph`: all active priors side by side.
    pub embeddings: Option<String>,
    /// What is done about genes of the pool that the network of `graph` lacks: "refuse" (default), or "mean": they
    /// are taken for the mean of its genes.
    pub absent: Absent,
    /// Neighbours of a gene kept in the network of `graph`, those of largest weight; default 20.
    pub neighbours: usize,
    /// Partners of an output in the co-expression network, those of largest absolute correlation; default 20.
    pub partners: usize,
    /// Absolute correlation above which outputs are partners; default 0.4.
    pub threshold: f64,
    /// Width d of the network; default 64.
    pub hidden: usize,
    /// Passes over the cells; default 20, and 100 where rows take the place of cells.
    pub epochs: Option<usize>,
    /// Cells of a step; default 256, and 16 rows where there are no cells.
    pub batch: Option<usize>,
    /// Cells of a perturbation that stay together in a batch; 1 shuffles single cells as the paper does. The time of
    /// a step goes with the number of different perturbations in it. Default 8.
    pub together: usize,
    /// Learning rate of the first epoch; default 0.001.
    pub learning_rate: f64,
    /// Factor on the learning rate after every epoch; default 0.5, and 0.97 without cells.
    pub decay: Option<f64>,
    /// Penalty on half the squared parameters; default 0.0005.
    pub weight_decay: f64,
    /// Largest absolute value of an entry of the gradient; default 1.
    pub clip: f64,
    /// The γ of the loss |residual|^(2+γ): how much large effects count above small ones; default 2.
    pub gamma: f64,
    /// Weight λ of the loss for wrong directions, λ(tanh((y - x̄)/τ) - tanh((ŷ - x̄)/τ))² with x̄ the control mean;
    /// default 0. GEARS' code has 0.1 (its help says 1) with a sign in place of tanh, which trains nothing.
    pub direction: f64,
    /// The τ of that loss, in units of the readout; default 0.1.
    pub tau: f64,
    /// Share of the measured perturbations kept from training; default 0.1.
    pub validation: f64,
    /// "last" epoch (default, IterPert) or the "best" (GEARS): that of least validation error in the 20 outputs that
    /// differ most clearly from control.
    pub choose: Choose,
    /// For screens of one number: this many genes are made up, whose expression in control is drawn from N(0, 1) once, and
    /// the number is a learned linear map of their expression after perturbation (NAIAD's use of GEARS). Without active
    /// priors perturbed genes have embeddings of their own. Default: none, outputs are those of the screen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<usize>,
}

impl Default for Gears {
    fn default() -> Self {
        Self {
            graph: None,
            embeddings: None,
            absent: Absent::Refuse,
            neighbours: 20,
            partners: 20,
            threshold: 0.4,
            hidden: 64,
            epochs: None,
            batch: None,
            together: 8,
            learning_rate: 0.001,
            decay: None,
            weight_decay: 5e-4,
            clip: 1.0,
            gamma: 2.0,
            direction: 0.0,
            tau: 0.1,
            validation: 0.1,
            choose: Choose::Last,
            synthetic: None,
        }
    }
}

/// What is done about genes that a network lacks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Absent {
    /// An error names them.
    Refuse,
    /// The mean of the genes of the network stands for them.
    Mean,
}

/// Which epoch is kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choose {
    /// The last.
    Last,
    /// That of least validation error.
    Best,
}

/// Outputs in the validation error of the clearest.
const CLEAREST: usize = 20;
impl Gears {
    fn check(&self) -> Result<()> {
        let wrong = |what: &str| Err(Error::Config(format!("model gears: {what}")));
        let positive = |v: f64| v > 0.0 && v.is_finite();
        let not_negative = |v: f64| v >= 0.0 && v.is_finite();
        if self.graph.is_some() && self.embeddings.is_some() {
            return wrong("`graph` and `embeddings` both name what describes the perturbed genes; keep one of them");
        }
        if self.hidden == 0 || self.together == 0 || [self.epochs, self.batch, self.synthetic].contains(&Some(0)) {
            return wrong("`hidden`, `epochs`, `batch`, `together` and `synthetic` must be at least 1");
        }
        if !positive(self.learning_rate) || !positive(self.tau) || self.clip.is_nan() || self.clip <= 0.0 {
            return wrong("`learning_rate`, `clip` and `tau` must be positive numbers");
        }
        if !self.decay.is_none_or(positive) {
            return wrong("`decay` must be a positive number");
        }
        if ![self.weight_decay, self.gamma, self.direction, self.threshold].into_iter().all(not_negative) {
            return wrong("`weight_decay`, `gamma`, `direction` and `threshold` must not be below 0");
        }
        if !(0.0..1.0).contains(&self.validation) {
            return wrong("`validation` must be at least 0 and below 1");
        }
        if self.choose == Choose::Best && self.validation == 0.0 {
            return wrong("choose = \"best\" looks at validation errors; set `validation` above 0");
        }
        Ok(())
    }
}

#[typetag::serde(name = "gears")]
impl Model for Gears {
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>> {
        self.check()?;
        let source = self.source(cx.inputs)?;
        let outputs = cx.observed.n_outputs();
        if self.synthetic.is_some() && outputs != 1 {
            return Err(Error::Config(format!(
                "model gears: `synthetic` is for screens of one number, and readouts have {outputs} outputs; leave it out"
            )));
        }
        let plain = cx.observed.y.mapv(|v| v as f32);
        let samples = Samples::new(cx, &plain)?;

        // A perturbation is kept from training with all its cells.
        let mut order: Vec<usize> = (0..samples.of.len()).collect();
        order.shuffle(&mut cx.streams.rng("validation"));
        let n_held = (self.validation * order.len() as f64).round() as usize;
        let (mut held, mut trained) = (order[..n_held].to_vec(), order[n_held..].to_vec());
        held.sort_unstable();
        trained.sort_unstable();
        if self.choose == Choose::Best && held.is_empty() {
            return Err(Error::Config(format!(
                "model gears: choose = \"best\" needs a validation set, and {} of {} measured perturbations is none; \
                 measure more, raise `validation`, or use choose = \"last\"",
                self.validation,
                samples.of.len()
            )));
        }
        let control = mean_and_error(&samples.control, outputs);
        let held: Vec<Held> = held.into_iter().map(|at| Held::new(&samples, at, &control, cx)).collect();

        let no_control = vec![0.0f32; outputs];
        let data = Data::paired(&samples, &trained, &no_control, cx);

        let all: Vec<&[f32]> = samples.control.iter().copied().chain(data.cells.iter().map(|c| c.x)).collect();
        let net = match self.synthetic {
            None => {
                let graph = coexpression(&all, self.partners, self.threshold);
                Net::new(outputs, self.hidden, graph, source, &mut cx.streams.rng("start"))
            }
            Some(n) => {
                let none = Sparse::new(n, n, vec![]);
                let net = Net::new(n, self.hidden, none, source, &mut cx.streams.rng("start"));
                net.with_head(&mut cx.streams.rng("head"))
            }
        };
        let (net, epoch, last_loss) = self.train(net, &data, &held, cx.streams)?;
        let mut record = vec![("epoch".into(), epoch as f64), ("training_loss".into(), last_loss)];
        if !held.is_empty() {
            let (all, clearest) = validation_error(&net, &held);
            record.extend([("validation_mse".into(), all), (format!("validation_mse_top{CLEAREST}"), clearest)]);
        }
        let z = net.outputs_for_prediction();
        Ok(Box::new(Fitted { inputs: cx.inputs.clone(), net, z, record }))
    }

    fn provides(&self) -> Abilities {
        Abilities::of([Ability::Embedding])
    }

    fn needs(&self) -> Abilities {
        Abilities::of([if self.synthetic.is_some() { Ability::Scalar } else { Ability::Features }])
    }
}

/// Perturbations predicted at a time.
const TILE: usize = 256;

struct Fitted {
    inputs: Arc<Inputs>,
    net: Net<f32>,
    /// The outputs' side of the decoder, which is the same for every perturbation.
    z: Array2<f32>,
    record: Vec<(String, f64)>,
}

impl Fitted {
    /// δ, or the cross-gene state, of each id.
    fn answer(
        &self,
        ids: &[usize],
        width: usize,
        pick: impl Fn((Array2<f32>, Array2<f32>)) -> Array2<f32>,
    ) -> Array2<f64> {
        let mut out = Array2::zeros((ids.len(), width));
        for (tile, mut to) in ids.chunks(TILE).zip(out.axis_chunks_iter_mut(Axis(0), TILE)) {
            let sets: Vec<Perturbation> = tile.iter().map(|id| self.inputs.pool().get(*id)).collect();
            let genes: Vec<&[Gene]> = sets.iter().map(Perturbation::genes).collect();
            to.zip_mut_with(&pick(self.net.evaluate(&self.z, &genes)), |t, v| *t = f64::from(*v));
        }
        out
    }
}

impl Surrogate for Fitted {
    /// Readouts with the running statistics.
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        Ok(Posterior { mean: self.answer(ids, self.net.n_readouts(), |a| a.0), sd: None })
    }

    fn representation(&self) -> Option<&dyn Representation> {
        Some(self)
    }

    fn record(&self) -> Vec<(String, f64)> {
        self.record.clone()
    }
}

impl Representation for Fitted {
    /// The cross-gene state g.
    fn embed(&self, ids: &[usize]) -> Result<Array2<f64>> {
        Ok(self.answer(ids, self.net.width, |a| a.1))
    }
}

framework::register!(
    Model,
    Gears,
    "gears",
    "graph-enhanced network on perturbed genes, trained on cells",
    example = |_| framework::serde_json::json!({ "hidden": 16, "gamma": 0.0, "learning_rate": 0.01 })
);
