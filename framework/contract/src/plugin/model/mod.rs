//! Models: from measurements to a surrogate.

mod context;

pub use context::FitContext;

use super::{Abilities, Plugin, Surrogate};
use crate::error::Result;

/// A model family with its settings. Fitted from scratch every round.
///
/// [`Model::fit`] is all that a model must have; what it gives beyond means is said by [`Model::provides`] and given by
/// the surrogate, what it asks of the scenario by [`Model::needs`]. The conformance suite holds a model to both.
///
/// ```
/// use contract::prelude::*;
/// # use contract::typetag;
///
/// /// Predicts the mean of the measurements everywhere.
/// #[derive(Debug, Serialize, Deserialize)]
/// struct Average {}
///
/// #[typetag::serde(name = "average")]
/// impl Model for Average {
///     fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>> {
///         Ok(Box::new(Fitted(cx.observed.mean())))
///     }
/// }
///
/// struct Fitted(Array1<f64>);
///
/// impl Surrogate for Fitted {
///     fn predict(&self, ids: &[usize]) -> Result<Posterior> {
///         let mean = Array2::from_shape_fn((ids.len(), self.0.len()), |(_, output)| self.0[output]);
///         Ok(Posterior { mean, sd: None })
///     }
/// }
///
/// let world = contract::testing::TinyWorld::new(20, 3, 1, false, 1)?;
/// let observed = world.observe(&[2, 3, 5], 1)?;
/// let cx = FitContext { inputs: &world.inputs, observed: &observed, streams: &Streams::new(1) };
/// assert_eq!(Average {}.fit(&cx)?.predict(&[7])?.mean[(0, 0)], observed.mean()[0]);
/// # Ok::<(), Error>(())
/// ```
#[typetag::serde(tag = "use")]
pub trait Model: Plugin {
    /// Fits all outputs at once.
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>>;

    /// What the surrogate will give beside means, known before fitting so that a scenario is refused early:
    /// [`Sd`](super::Ability::Sd) and the abilities for which [`Surrogate`] has an accessor.
    fn provides(&self) -> Abilities {
        Abilities::NONE
    }

    /// What fitting needs, that of the models and kernels inside it included. A kernel inside a model that asks for a
    /// fitted model cannot be served, which is found before anything runs.
    fn needs(&self) -> Abilities {
        Abilities::NONE
    }
}
