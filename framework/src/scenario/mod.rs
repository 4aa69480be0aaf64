//! Scenario files: what one looks like, how a grid becomes runs, how mistakes are shown.

mod arm;
mod campaign;
mod cell;
mod claims;
mod compare;
mod conditions;
mod cost;
pub(crate) mod diagnose;
mod file;
mod grid;
mod meaning;
mod named_axes;
pub(crate) mod path;
mod priors;
mod published;
pub(crate) mod schema;
mod skip;
mod sweep;
#[cfg(test)]
mod testing;
mod variants;

pub use arm::{Arm, NUMBERS};
pub(crate) use campaign::check_campaign;
pub use campaign::{Campaign, Library, Measured, Pending};
pub use claims::{Assertion, At, Claim, ClaimEntry, ClaimKind};
pub use cost::Cost;
pub use diagnose::Document;
pub use file::{CoveredBy, Exhausted, Known, Place, PoolRules, Repeat, Scenario, Seeds, Varies};
pub use path::{Location, Mistake};
pub use published::{Published, PublishedMetric, PublishedValues};
pub use sweep::Sweep;
pub use variants::ScenarioForm;
