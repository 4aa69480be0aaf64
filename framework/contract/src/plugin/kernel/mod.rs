//! Kernels: similarity of perturbations, for Gaussian processes and for selection rules.

mod context;
mod fuse;
mod fusion;
mod stationary;
mod transform;

pub use context::{KernelContext, Outputs};
pub use fuse::{Fusion, SHARED_SETTINGS};
pub use fusion::{Repair, Source, Sources, fit_weights, gp_problem, mean_readouts};
pub use stationary::{Length, Stationary, fourier_features, median_distance, median_of_pairs};
pub use transform::transform_needs;

use super::{Abilities, Plugin};
use crate::error::Result;
use ndarray::Array2;
use numerics::Gram;
use numerics::streams::StreamRng;

/// A kernel with its settings. Fusions and transforms are kernels that contain kernels.
///
/// [`Kernel::gram`] is all that a kernel must have. Its [`Gram`] is lazy: feature rows where there are any
/// ([`FeatureGram`](numerics::FeatureGram)), a stored matrix where there are none.
///
/// ```
/// use contract::prelude::*;
/// use contract::testing::TinyWorld;
/// # use contract::typetag;
///
/// /// Inner products of the first prior's features.
/// #[derive(Debug, Serialize, Deserialize)]
/// struct First {}
///
/// #[typetag::serde(name = "first")]
/// impl Kernel for First {
///     fn gram(&self, cx: &KernelContext) -> Result<Gram> {
///         Ok(FeatureGram::linear(Rows::Made(std::sync::Arc::new(cx.inputs.only(&[0])))).into())
///     }
///
///     fn needs(&self) -> Abilities {
///         Abilities::of([Ability::Features])
///     }
/// }
///
/// let world = TinyWorld::new(6, 2, 1, false, 1)?;
/// let gram = world.gram(&First {}, &world.observe(&[0], 1)?)?;
/// let x = world.inputs.features(&[2, 5]);
/// assert!((gram.block(&[2], &[5])[(0, 0)] - x.row(0).dot(&x.row(1))).abs() < 1e-12);
/// # Ok::<(), Error>(())
/// ```
#[typetag::serde(tag = "use")]
pub trait Kernel: Plugin {
    /// The Gram matrix over the whole pool, in its cheapest form. Only positions of measured
    /// perturbations and candidates need hold numbers.
    fn gram(&self, cx: &KernelContext) -> Result<Gram>;

    /// Whether the matrix is positive semidefinite whatever the input.
    fn keeps_psd(&self) -> bool {
        true
    }

    /// What it asks of the scenario, that of the kernels inside it included.
    fn needs(&self) -> Abilities {
        Abilities::NONE
    }

    /// For a stationary kernel: random features z with E⟨z(x), z(x')⟩ = k(x, x'), as a function of
    /// feature rows, drawn once. Used for joint draws on large pools.
    fn random_features(&self, cx: &KernelContext, n: usize, rng: &mut StreamRng) -> Result<Option<FeatureMap>> {
        let _ = (cx, n, rng);
        Ok(None)
    }
}

/// Maps feature rows (ids x d) to random features (ids x n).
pub type FeatureMap = Box<dyn Fn(&Array2<f64>) -> Array2<f64> + Send + Sync>;
