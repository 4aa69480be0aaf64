//! Scenario files: what one looks like, how a grid becomes runs, how mistakes are shown.

mod diagnose;
mod file;
mod sweep;

pub use diagnose::{Document, Mistake};
pub use file::{Campaign, PoolRules, Repeat, Scenario, Seeds, UserTable};
pub use sweep::{Arm, Sweep};
