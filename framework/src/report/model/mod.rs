//! What a report says: a study, how it is shown, what it is compared with, and the numbers that follow from them.

pub mod claims;
pub mod curve;
pub mod findings;
#[cfg(test)]
pub mod fixtures;
pub mod groups;
pub mod paired;
pub mod published_curves;
pub mod published_values;
pub mod ranking;
pub mod report;
pub mod results;
pub mod speedup;
pub mod study;
pub mod summary;
pub mod view;
