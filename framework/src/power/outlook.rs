//! What plans find for what they cost, and which of them are worth their price.

use super::plan::ScreenPlan;
use std::collections::BTreeSet;
use table::{Column, Table};

/// What a plan finds, over all worlds.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Outlook {
    /// The plan.
    pub plan: ScreenPlan,
    /// Its standard error of an effect.
    pub standard_error: f64,
    /// The effect that it would call with 80 % probability where it is measured, at the mean threshold of its calls.
    pub detectable: f64,
    /// Share of all hits that it calls, mean over worlds.
    pub recall: f64,
    /// Half width of its 95 % interval over worlds.
    pub recall_half_width: f64,
    /// Share of all hits that it measures.
    pub measured: f64,
    /// Calls.
    pub calls: f64,
    /// Share of the calls that are hits; NaN where nothing is called in any world.
    pub precision: f64,
    /// USD.
    pub cost: f64,
    /// USD for each hit called; NaN where none is.
    pub cost_per_hit: f64,
    /// Months.
    pub months: f64,
}

/// The plan of highest recall that a budget pays for, of equal ones the cheaper; nothing where none is affordable.
pub fn recommended(all: &[Outlook], budget: f64) -> Option<usize> {
    let able = (0..all.len()).filter(|&i| all[i].cost <= budget && all[i].recall.is_finite());
    able.min_by(|&a, &b| all[b].recall.total_cmp(&all[a].recall).then(all[a].cost.total_cmp(&all[b].cost)))
}

/// One row for each plan.
pub fn table(all: &[Outlook], budget: Option<f64>) -> Table {
    let number = |f: fn(&Outlook) -> f64| Column::Number(all.iter().map(f).collect());
    let whole = |f: fn(&ScreenPlan) -> usize| Column::Integer(all.iter().map(|o| f(&o.plan) as i64).collect());
    let best = budget.and_then(|b| recommended(all, b));
    let efficient: BTreeSet<usize> = frontier(all).into_iter().collect();
    Table::new()
        .with("cells", whole(|p| p.cells))
        .with("replicates", whole(|p| p.replicates))
        .with("batch", whole(|p| p.batch))
        .with("rounds", whole(|p| p.rounds))
        .with("n_measured", whole(ScreenPlan::n_measured))
        .with("cost", number(|o| o.cost))
        .with("months", number(|o| o.months))
        .with("standard_error", number(|o| o.standard_error))
        .with("detectable_effect", number(|o| o.detectable))
        .with("recall", number(|o| o.recall))
        .with("recall_half_width", number(|o| o.recall_half_width))
        .with("hits_measured", number(|o| o.measured))
        .with("calls", number(|o| o.calls))
        .with("precision", number(|o| o.precision))
        .with("cost_per_hit", number(|o| o.cost_per_hit))
        .with("on_frontier", Column::Flag((0..all.len()).map(|i| efficient.contains(&i)).collect()))
        .with("recommended", Column::Flag((0..all.len()).map(|i| best == Some(i)).collect()))
}

/// Plans that no other beats in both recall and cost, from cheap to dear.
pub(crate) fn frontier(all: &[Outlook]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..all.len()).filter(|&i| all[i].recall.is_finite()).collect();
    order.sort_by(|&a, &b| all[a].cost.total_cmp(&all[b].cost).then(all[b].recall.total_cmp(&all[a].recall)));
    let mut best = f64::NEG_INFINITY;
    order.retain(|&i| {
        let better = all[i].recall > best;
        best = best.max(all[i].recall);
        better
    });
    order
}
