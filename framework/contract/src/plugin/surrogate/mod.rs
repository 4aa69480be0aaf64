//! A fitted model and what it may give beside means.

mod covariance;

pub use covariance::Covariance;

use crate::domain::Posterior;
use crate::error::{Error, Result};
use ndarray::{Array1, Array2, Array3, ArrayView2};
use numerics::streams::StreamRng;

/// A fitted model.
///
/// What only some models give is a trait of its own with an accessor here: a surrogate that gives it implements the trait
/// and returns `Some(self)`. [`Model::provides`](super::Model::provides) says the same before the fit.
pub trait Surrogate: Send + Sync {
    /// Mean and, where provided, sd of the noise-free readout: ids x outputs.
    fn predict(&self, ids: &[usize]) -> Result<Posterior>;

    /// Joint draws of the function.
    fn draws(&self) -> Option<&dyn JointDraws> {
        None
    }

    /// The functions that the surrogate is made of, where they are finitely many (trees, members of an ensemble,
    /// dropout masks).
    fn functions(&self) -> Option<&dyn Functions> {
        None
    }

    /// Posterior covariances.
    fn covariance(&self) -> Option<&dyn PosteriorCovariance> {
        None
    }

    /// The gradient of its variance.
    fn variance_gradient(&self) -> Option<&dyn VarianceGradient> {
        None
    }

    /// Its own representation of a perturbation.
    fn representation(&self) -> Option<&dyn Representation> {
        None
    }

    /// The gradient with respect to its parameters, layer by layer.
    fn layers(&self) -> Option<&dyn LayerGradients> {
        None
    }

    /// How many models it is made of.
    fn n_members(&self) -> usize {
        1
    }

    /// Variance of the noise of a measurement that the fit assumes, for each output.
    fn noise_variance(&self) -> Option<Array1<f64>> {
        None
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

/// The accessors for those who cannot do without: an error that the user understands in place of `None`.
impl dyn Surrogate + '_ {
    /// [`Surrogate::draws`], or an error.
    pub fn try_draws(&self) -> Result<&dyn JointDraws> {
        self.draws().ok_or_else(|| lacks("gives no posterior draws"))
    }

    /// [`Surrogate::covariance`], or an error.
    pub fn try_covariance(&self) -> Result<&dyn PosteriorCovariance> {
        self.covariance().ok_or_else(|| lacks("gives no posterior covariances"))
    }

    /// [`Surrogate::variance_gradient`], or an error.
    pub fn try_variance_gradient(&self) -> Result<&dyn VarianceGradient> {
        self.variance_gradient().ok_or_else(|| lacks("gives no gradient of its variance"))
    }

    /// [`Surrogate::representation`], or an error.
    pub fn try_representation(&self) -> Result<&dyn Representation> {
        self.representation().ok_or_else(|| lacks("has no representation of its own"))
    }

    /// [`Surrogate::layers`], or an error.
    pub fn try_layers(&self) -> Result<&dyn LayerGradients> {
        self.layers().ok_or_else(|| lacks("has no layers to take gradients of"))
    }
}

fn lacks(what: &str) -> Error {
    Error::Unsupported(format!("this model {what}"))
}

/// Joint draws of a fitted function.
pub trait JointDraws {
    /// `n` joint draws: n x ids x outputs. A draw is one function: the same draw number of one call is consistent over
    /// ids.
    fn draw(&self, ids: &[usize], n: usize, rng: &mut StreamRng) -> Result<Array3<f64>>;

    /// `n` joint draws that can be evaluated piece by piece, for pools of pairs that are too many to draw at once; `None`
    /// where [`JointDraws::draw`] has to be asked for all perturbations together.
    fn drawn(&self, n: usize, rng: &mut StreamRng) -> Result<Option<Box<dyn Drawn + '_>>> {
        let _ = (n, rng);
        Ok(None)
    }
}

/// Joint draws, kept so that they can be evaluated piece by piece.
pub trait Drawn: Send + Sync {
    /// Writes the values at `ids`: draws x ids x outputs, one draw after another. The same draw number stands for the same
    /// function in every call.
    fn at(&self, ids: &[usize], out: &mut Vec<f64>) -> Result<()>;
}

/// A surrogate made of finitely many functions.
pub trait Functions {
    /// Their values: functions x ids x outputs, the same functions in every call. `predict` gives their mean and, as sd,
    /// their spread (÷ functions).
    fn evaluate(&self, ids: &[usize]) -> Result<Array3<f64>>;
}

/// Posterior covariances of the noise-free readouts.
pub trait PosteriorCovariance: Sync {
    /// Those of one output: a x b.
    fn between(&self, a: &[usize], b: &[usize], output: usize) -> Result<Array2<f64>>;

    /// Where the covariances of all outputs are one matrix times a number each: these numbers. Spares the others'
    /// computation.
    fn scales(&self) -> Option<Array1<f64>> {
        None
    }
}

/// Predictive variance as a function of the features.
pub trait VarianceGradient {
    /// The variance, summed over outputs, at any points of feature space (points x features, as in
    /// [`Inputs::features`](crate::domain::Inputs::features)), and its gradient with respect to the features (points x
    /// features).
    fn at(&self, x: ArrayView2<f64>) -> Result<(Array1<f64>, Array2<f64>)>;
}

/// A representation that the model has made for itself.
pub trait Representation {
    /// ids x features.
    fn embed(&self, ids: &[usize]) -> Result<Array2<f64>>;
}

/// Gradients of a network with respect to its parameters.
pub trait LayerGradients {
    /// The factors of the gradient of `directions`ᵀ f(x) (outputs x directions) with respect to the parameters of one of
    /// the [`Surrogate::n_members`], first layer to last.
    fn factors(&self, ids: &[usize], member: usize, directions: ArrayView2<f64>) -> Result<Vec<LayerFactors>>;
}

/// One layer's part of a network's gradient: k(x, x') gets ⟨a, a'⟩⟨δ, δ'⟩ from it.
#[derive(Clone, Debug)]
pub struct LayerFactors {
    /// What enters the layer, bias included, as it enters the gradient: ids x (inputs + 1).
    pub input: Array2<f64>,
    /// Signal propagated back to the layer's output, for all directions side by side: ids x (directions * outputs).
    pub signal: Array2<f64>,
}
