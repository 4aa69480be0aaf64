//! A scenario and its stored runs: what is to do, and what is known.

mod choice;
mod plan;
mod published;
mod study;
#[cfg(test)]
mod tests;

pub use choice::{combined, known_axis, restrict};
pub use plan::{Estimate, Plan, Why};
pub use published::add_published;
pub use study::{Runs, alignment, study, write};
