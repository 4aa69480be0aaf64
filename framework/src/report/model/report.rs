//! All that a report is made of.

use super::published_curves::PublishedCurves;
use super::published_values::PublishedTable;
use super::study::Study;
use super::view::View;
use crate::scenario::Claim;

/// What a study is compared with.
#[derive(Clone, Debug, Default)]
pub struct Comparisons {
    /// Claims to judge.
    pub claims: Vec<Claim>,
    /// Published learning curves.
    pub curves: Option<PublishedCurves>,
    /// Published numbers to print beside ours.
    pub values: Option<PublishedTable>,
}

/// What was measured, how it is shown, and what it is compared with.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What was measured.
    pub study: Study,
    /// How it is shown.
    pub view: View,
    /// What it is compared with.
    pub comparisons: Comparisons,
}
