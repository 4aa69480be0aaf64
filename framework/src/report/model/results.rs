//! The numbers of a report, each computed once.

use super::claims::{Judgement, judge_all};
use super::groups::{GroupSummary, group_summaries};
use super::published_values::{ValueComparison, compare};
use super::ranking::{Ranking, rankings};
use super::report::Report;
use super::speedup::{SpeedUp, speedups};
use super::summary::Summary;

/// What follows from a study, its view and its comparisons.
pub struct Results<'a> {
    /// Each arm judged by each metric.
    pub summary: Summary,
    /// Groups of arms; single arms where the view names no axis.
    pub groups: Vec<GroupSummary>,
    /// Methods ranked over blocks.
    pub rankings: Vec<Ranking>,
    /// How soon arms reach what others do.
    pub speedups: Vec<SpeedUp>,
    /// What became of the claims.
    pub judgements: Vec<Judgement>,
    /// Ours beside published numbers.
    pub values: Vec<ValueComparison<'a>>,
}

impl<'a> Results<'a> {
    /// Computes all of them.
    pub fn of(report: &'a Report) -> Self {
        let Report { study, view, comparisons } = report;
        Self {
            summary: Summary::of(study),
            groups: group_summaries(study, &view.by),
            rankings: rankings(study, &view.by),
            speedups: speedups(study, view),
            judgements: judge_all(study, &comparisons.claims),
            values: compare(study, comparisons.values.as_ref()),
        }
    }
}
