//! Planning a screen: how many perturbations, cells, replicates, rounds, and what they find for what they cost.
//!
//! A [`PlanStudy`] says what effects are expected, how noisy measurements are, what they cost and which plans to compare;
//! [`PlanStudy::simulate`] plays every plan in the same simulated worlds and gives an [`Outlook`] for each.

mod effects;
mod file;
mod learner;
mod outlook;
mod plan;
mod simulate;
mod world;

pub use effects::EffectSizes;
pub use file::{Learning, Mixture, Noise, Pilot, PlanStudy, Plans, Prices};
pub(crate) use outlook::frontier;
pub use outlook::{Outlook, recommended, table};
pub use plan::ScreenPlan;
