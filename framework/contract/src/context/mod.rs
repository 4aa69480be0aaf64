//! What a plugin is handed, and the rules that hold for what it gives back.

mod batch;
mod covariance;
mod fit;
mod fuse;
mod fusion;
mod held;
mod kernel;
mod prior;
mod run;
mod sampled;
mod setup;
mod stationary;
mod test;
mod transform;

pub use batch::{check_batch, fill_note, select_batch};
pub use covariance::Covariance;
pub use fit::FitContext;
pub use fuse::{Fusion, SHARED_SETTINGS};
pub use fusion::{Repair, Source, Sources, fit_weights, gp_problem, mean_readouts};
pub use held::{Held, Position};
pub use kernel::{KernelContext, Outputs};
pub use prior::PriorContext;
pub use run::{Best, DrawnMerits, Mode, Round, RunContext};
pub use sampled::{DrawClass, SampledScreen};
pub use setup::Setup;
pub use stationary::{fourier_features, median_distance};
pub use test::TestContext;
pub use transform::transform_needs;
