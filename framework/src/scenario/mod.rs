//! Scenario files: what one looks like, how a grid becomes runs, how mistakes are shown.

pub(crate) mod diagnose;
mod file;
mod judge;
mod sweep;

pub use diagnose::{Document, Mistake};
pub use file::{Campaign, CoveredBy, Exhausted, Known, Place, PoolRules, Repeat, Scenario, Seeds, UserTable, Varies};
pub use judge::{Assertion, At, Claim, ClaimEntry, ClaimKind, Cost, Published, PublishedMetric, PublishedValues};
pub use sweep::{Arm, Form, NUMBERS, Sweep};
pub(crate) use sweep::{Misfit, check_campaign, check_needs};
