//! Models: from measurements to a surrogate.

use super::Plugin;
use crate::domain::{Inputs, Observed, Posterior};
use crate::error::{Error, Result};
use ndarray::{Array1, Array2, Array3, ArrayView2};
use numerics::streams::{StreamRng, Streams};
use std::sync::Arc;

/// What a fitted model can be asked for, known before fitting so that a scenario is refused early.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Provides {
    /// A standard deviation beside the mean.
    pub sd: bool,
    /// Joint draws of the function.
    pub draws: bool,
    /// A representation of its own ([`Surrogate::embed`]).
    pub embedding: bool,
    /// The factors of its gradient, layer by layer ([`Surrogate::layers`]).
    pub layers: bool,
    /// Posterior covariances ([`Surrogate::covariance`]).
    pub covariance: bool,
    /// The gradient of its variance with respect to the features ([`Surrogate::variance_gradient`]).
    pub variance_gradient: bool,
}

/// What a model must be given.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Requires {
    /// Feature rows, that is at least one active prior.
    pub features: bool,
    /// Measured effects of single genes.
    pub single_effects: bool,
    /// A pool of pairs of genes with one readout.
    pub pairs: bool,
    /// Readouts of one number.
    pub scalar: bool,
}

/// What a model sees when it is fitted.
pub struct FitContext<'a> {
    /// Features of all perturbations; kept by the surrogate to predict by id.
    pub inputs: &'a Arc<Inputs>,
    /// All measurements so far; never empty.
    pub observed: &'a Observed,
    /// Streams of this model in this round.
    pub streams: &'a Streams,
}

/// A model family with its settings. Fitted from scratch every round.
#[typetag::serde(tag = "use")]
pub trait Model: Plugin {
    /// Fits all outputs at once.
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>>;
    /// What the surrogate will be able to answer.
    fn provides(&self) -> Provides {
        Provides::default()
    }
    /// What fitting needs.
    fn requires(&self) -> Requires {
        Requires::default()
    }
}

/// One layer's part of a network's gradient: k(x, x') gets ⟨a, a'⟩⟨δ, δ'⟩ from it.
#[derive(Clone, Debug)]
pub struct LayerFactors {
    /// What enters the layer, bias included, as it enters the gradient: ids x (inputs + 1).
    pub input: Array2<f64>,
    /// Signal propagated back to the layer's output, for all directions side by side: ids x (directions * outputs).
    pub signal: Array2<f64>,
}

/// Joint draws of a function, kept so that they can be evaluated piece by piece.
pub trait Drawn: Send + Sync {
    /// Writes the values at `ids`: draws x ids x outputs, one draw after another. The same draw number stands for the same
    /// function in every call.
    fn at(&self, ids: &[usize], out: &mut Vec<f64>) -> Result<()>;
}

/// A fitted model.
pub trait Surrogate: Send + Sync {
    /// Mean and, where provided, sd of the noise-free readout: ids x outputs.
    fn predict(&self, ids: &[usize]) -> Result<Posterior>;

    /// `n` joint draws of the function: n x ids x outputs. A draw is one function: the same draw number
    /// of one call is consistent over ids.
    fn draw(&self, ids: &[usize], n: usize, rng: &mut StreamRng) -> Result<Array3<f64>> {
        let _ = (ids, n, rng);
        Err(Error::Unsupported("this model gives no posterior draws".into()))
    }

    /// `n` joint draws that can be evaluated piece by piece, for pools of pairs that are too many to draw at once; `None`
    /// where [`Surrogate::draw`] has to be asked for all perturbations together.
    fn drawn(&self, n: usize, rng: &mut StreamRng) -> Result<Option<Box<dyn Drawn + '_>>> {
        let _ = (n, rng);
        Ok(None)
    }

    /// The functions that the surrogate is made of, where they are finitely many (trees, members of an ensemble,
    /// dropout masks): functions x ids x outputs, the same functions in every call. `predict` gives their mean and,
    /// as sd, their spread (÷ functions).
    fn functions(&self, ids: &[usize]) -> Result<Option<Array3<f64>>> {
        let _ = ids;
        Ok(None)
    }

    /// Posterior covariance of one output of the noise-free readouts: a x b.
    fn covariance(&self, a: &[usize], b: &[usize], output: usize) -> Result<Array2<f64>> {
        let _ = (a, b, output);
        Err(Error::Unsupported("this model gives no posterior covariances".into()))
    }

    /// Where the covariances of all outputs are one matrix times a number each: these numbers. Spares the others'
    /// computation.
    fn covariance_scales(&self) -> Option<Array1<f64>> {
        None
    }

    /// Variance of the noise of a measurement that the fit assumes, for each output.
    fn noise_variance(&self) -> Option<Array1<f64>> {
        None
    }

    /// Predictive variance, summed over outputs, at any points of feature space (points x features, as in
    /// [`Inputs::features`]), and its gradient with respect to the features (points x features).
    fn variance_gradient(&self, x: ArrayView2<f64>) -> Result<(Array1<f64>, Array2<f64>)> {
        let _ = x;
        Err(Error::Unsupported("this model gives no gradient of its variance".into()))
    }

    /// The model's own representation: ids x features.
    fn embed(&self, ids: &[usize]) -> Result<Array2<f64>> {
        let _ = ids;
        Err(Error::Unsupported("this model has no representation of its own".into()))
    }

    /// How many models it is made of.
    fn n_members(&self) -> usize {
        1
    }

    /// The factors of the gradient of `directions`ᵀ f(x) (outputs x directions) with respect to the
    /// parameters of one member, first layer to last.
    fn layers(&self, ids: &[usize], member: usize, directions: ArrayView2<f64>) -> Result<Vec<LayerFactors>> {
        let _ = (ids, member, directions);
        Err(Error::Unsupported("this model has no layers to take gradients of".into()))
    }

    /// Leave-one-out residuals y - ŷ of the measured rows (rows x outputs), where they are cheap.
    fn loo_residuals(&self) -> Option<Array2<f64>> {
        None
    }

    /// Fitted quantities worth keeping with the round (noise, length scale), by name.
    fn record(&self) -> Vec<(String, f64)> {
        vec![]
    }

    /// What a user should know of this fit, in words, for the log.
    fn notes(&self) -> Vec<String> {
        vec![]
    }
}
