//! Planning a screen: how many perturbations, cells, replicates, rounds, and what they find for what they cost.
//!
//! A [`PlanStudy`] says what effects are expected, how noisy measurements are, what they cost and which plans to compare;
//! [`PlanStudy::simulate`] plays every plan in the same simulated worlds and gives an [`Outlook`] each.

mod effects;
mod file;
mod simulate;

pub use effects::EffectSizes;
pub use file::{Learning, Mixture, Noise, Pilot, PlanStudy, Plans, Prices};
pub(crate) use simulate::frontier;
pub use simulate::{Outlook, ScreenPlan, recommended, table};
