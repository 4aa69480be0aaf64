//! Acquisitions: which perturbations to measure next.

mod batch;
mod context;
mod held;

pub use batch::{check_batch, fill_note, select_batch, tie_note};
pub use context::{Best, DrawnMerits, Mode, Round, RunContext};
pub use held::{Held, Position};

use super::{Abilities, Plugin};
use crate::domain::Batch;
use crate::error::Result;

/// A rule that chooses the next batch, with its settings.
///
/// [`Acquisition::select`] is all that a rule must have. Most rules score candidates one by one and leave the rest to
/// [`RunContext::top_by`] or [`RunContext::top_by_mean_sd`].
///
/// ```
/// use contract::prelude::*;
/// # use contract::typetag;
/// use contract::testing::{MockSurrogate, TinyWorld};
///
/// /// Predicted mean and twice its sd.
/// #[derive(Debug, Serialize, Deserialize)]
/// struct Hopeful {}
///
/// #[typetag::serde(name = "hopeful")]
/// impl Acquisition for Hopeful {
///     fn select(&self, cx: &RunContext) -> Result<Batch> {
///         let direction = cx.target.direction;
///         cx.top_by_mean_sd(|mean, sd| direction.merit(mean) + 2.0 * sd)
///     }
///
///     fn needs(&self) -> Abilities {
///         Abilities::of([Ability::Model, Ability::Sd])
///     }
/// }
///
/// let world = TinyWorld::new(4, 2, 1, false, 1)?;
/// let (candidates, observed) = (Candidates::new(4, vec![0]), world.observe(&[0], 1)?);
/// let model = MockSurrogate { mean: vec![0.0, 0.1, 0.3, -0.2], sd: vec![0.1, 0.5, 0.1, 0.2] };
/// let cx = world.context(1, &candidates, &observed, Some(&model), None, 1);
/// assert_eq!(Hopeful {}.select(&cx)?.ids, [1]);
/// # Ok::<(), Error>(())
/// ```
#[typetag::serde(tag = "use")]
pub trait Acquisition: Plugin {
    /// Chooses `cx.batch()` different candidates, in order of selection. The framework checks number,
    /// repeats and membership after every call and never asks for more than there are.
    fn select(&self, cx: &RunContext) -> Result<Batch>;

    /// What it asks of the model and the kernel, that of the rules and models inside it included.
    fn needs(&self) -> Abilities {
        Abilities::NONE
    }
}
