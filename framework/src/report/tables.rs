//! The tables of a report, as they are written and as the page shows them.

use super::model::claims::Judgement;
use super::model::curve::{CurvePoint, mean_curve};
use super::model::groups::GroupSummary;
use super::model::paired::Paired;
use super::model::published_curves::{PublishedCurves, relative};
use super::model::published_values::ValueComparison;
use super::model::ranking::Ranking;
use super::model::speedup::{Ratio, Reach, SpeedUp};
use super::model::study::Study;
use super::model::summary::{ArmSummary, Difference, Summary};
use crate::scenario::Cost;
use table::{Column, Table};

/// One row for each arm and metric, best arm first.
pub fn arms(study: &Study, summary: &Summary) -> Table {
    let rows: Vec<(usize, &ArmSummary)> = summary
        .order
        .iter()
        .enumerate()
        .flat_map(|(k, &a)| (0..study.metrics.len()).map(move |m| (k + 1, summary.row(a, m))))
        .collect();
    let number = |f: &dyn Fn(&ArmSummary) -> f64| Column::Number(rows.iter().map(|(_, r)| f(r)).collect());
    let count = |f: &dyn Fn(&ArmSummary) -> usize| Column::Integer(rows.iter().map(|(_, r)| f(r) as i64).collect());
    let text = |f: &dyn Fn(&ArmSummary) -> &str| {
        Column::Text(rows.iter().map(|(_, r)| Some(f(r).to_string()).filter(|s| !s.is_empty())).collect())
    };
    let mut t = Table::new()
        .with("rank", Column::Integer(rows.iter().map(|(rank, _)| *rank as i64).collect()))
        .with("arm", text(&|r| &r.label))
        .with("metric", text(&|r| &r.metric))
        .with("n_seeds", count(&|r| r.n_seeds))
        .with("final_mean", number(&|r| r.final_mean))
        .with("final_half_width", number(&|r| r.final_half_width))
        .with("n_aulc", count(&|r| r.n_aulc))
        .with("aulc_mean", number(&|r| r.aulc_mean))
        .with("aulc_half_width", number(&|r| r.aulc_half_width))
        .with("ceiling", number(&|r| r.ceiling))
        .with("reference", text(&|r| r.difference.as_ref().map_or("", |d| &d.reference)));
    type Pick = fn(&Difference) -> &Paired;
    let kinds: [(&str, Pick); 2] = [("final", |d| &d.last), ("aulc", |d| &d.aulc)];
    for (kind, pick) in kinds {
        let of = |f: fn(&Paired) -> f64| number(&|r| r.difference.as_ref().map_or(f64::NAN, |d| f(pick(d))));
        t = t
            .with(format!("{kind}_difference"), of(|p| p.mean))
            .with(format!("{kind}_difference_lo"), of(|p| p.lo))
            .with(format!("{kind}_difference_hi"), of(|p| p.hi))
            .with(format!("{kind}_difference_boot_lo"), of(|p| p.boot[0]))
            .with(format!("{kind}_difference_boot_hi"), of(|p| p.boot[1]))
            .with(format!("{kind}_difference_p"), of(|p| p.p))
            .with(format!("{kind}_difference_p_wilcoxon"), of(|p| p.p_wilcoxon))
            .with(format!("{kind}_difference_p_holm"), of(|p| p.p_holm))
            .with(format!("{kind}_seeds_needed"), of(|p| p.seeds_needed.map_or(f64::NAN, |n| n as f64)))
            .with(format!("{kind}_pairs"), count(&|r| r.difference.as_ref().map_or(0, |d| pick(d).n)));
    }
    t
}

/// One row for each metric and group.
pub fn groups(rows: &[GroupSummary]) -> Table {
    let text = |f: fn(&GroupSummary) -> &str| Column::Text(rows.iter().map(|r| Some(f(r).to_string())).collect());
    let number = |f: &dyn Fn(&GroupSummary) -> f64| Column::Number(rows.iter().map(f).collect());
    let change = |p: Option<Paired>, f: fn(&Paired) -> f64| p.as_ref().map_or(f64::NAN, f);
    Table::new()
        .with("group", text(|r| &r.label))
        .with("metric", text(|r| &r.metric))
        .with("n_cells", Column::Integer(rows.iter().map(|r| r.n_cells as i64).collect()))
        .with("final_mean", number(&|r| r.final_mean))
        .with("final_half_width", number(&|r| r.final_half_width))
        .with("final_change", number(&|r| change(r.last, |p| p.mean)))
        .with("final_change_lo", number(&|r| change(r.last, |p| p.lo)))
        .with("final_change_hi", number(&|r| change(r.last, |p| p.hi)))
        .with("final_change_p", number(&|r| change(r.last, |p| p.p)))
        .with("final_change_p_holm", number(&|r| r.p_holm))
        .with("aulc_change", number(&|r| change(r.aulc, |p| p.mean)))
        .with("aulc_change_lo", number(&|r| change(r.aulc, |p| p.lo)))
        .with("aulc_change_hi", number(&|r| change(r.aulc, |p| p.hi)))
        .with("aulc_change_p", number(&|r| change(r.aulc, |p| p.p)))
}

/// One row for each pair of arms, and for each arm where a target was given.
pub fn speedups(study: &Study, cost: &Cost, rows: &[SpeedUp]) -> Table {
    let text = |f: &dyn Fn(&SpeedUp) -> String| {
        Column::Text(rows.iter().map(|r| Some(f(r)).filter(|s| !s.is_empty())).collect())
    };
    let number = |f: &dyn Fn(&SpeedUp) -> f64| Column::Number(rows.iter().map(f).collect());
    let round = |r: Option<Reach>| match r {
        Some(Reach::Start) => 0.0,
        Some(Reach::At(r)) => r,
        _ => f64::NAN,
    };
    let ratio = |r: Option<Ratio>| r.map_or(f64::NAN, Ratio::value);
    let end = |r: &SpeedUp, i: usize| round(r.reach_interval.map(|e| e[i]));
    let at_round =
        |f: &dyn Fn(&SpeedUp, f64) -> f64| number(&|r| if let Reach::At(t) = r.reach { f(r, t) } else { f64::NAN });
    Table::new()
        .with("metric", text(&|r| r.metric.clone()))
        .with("arm", text(&|r| study.arms[r.arm].label.clone()))
        .with("over", text(&|r| r.over.map_or(String::new(), |b| study.arms[b].label.clone())))
        .with("target", number(&|r| r.target))
        .with(
            "reached",
            text(&|r| {
                let word = match r.reach {
                    Reach::Start => "at round 0",
                    Reach::At(_) => "yes",
                    Reach::Never(_) => "never",
                };
                word.to_string()
            }),
        )
        .with("rounds", number(&|r| round(Some(r.reach))))
        .with("rounds_lo", number(&|r| end(r, 0)))
        .with("rounds_hi", number(&|r| end(r, 1)))
        .with("n_measured", at_round(&|r, _| r.n_measured))
        .with("cost", at_round(&|r, t| cost.money(t, r.n_measured)))
        .with("months", at_round(&|_, t| cost.months(t)))
        .with("speedup", number(&|r| ratio(r.ratio)))
        .with("speedup_lo", number(&|r| ratio(r.ratio_interval.map(|e| e[0]))))
        .with("speedup_hi", number(&|r| ratio(r.ratio_interval.map(|e| e[1]))))
        .with("speedup_text", text(&|r| if r.ratio.is_some() { r.words() } else { String::new() }))
        .with("n_seeds", Column::Integer(rows.iter().map(|r| r.n as i64).collect()))
}

/// One row for each claim.
pub fn claims(rows: &[Judgement]) -> Table {
    let text = |f: fn(&Judgement) -> &str| {
        Column::Text(rows.iter().map(|r| Some(f(r).to_string()).filter(|s| !s.is_empty())).collect())
    };
    let number = |i: usize| Column::Number(rows.iter().map(|r| r.numbers[i]).collect());
    Table::new()
        .with("claim", text(|r| &r.text))
        .with("metric", text(|r| &r.metric))
        .with("compared", text(|r| &r.what))
        .with("better", text(|r| &r.better))
        .with("than", text(|r| &r.than))
        .with("ours", number(0))
        .with("lo", number(1))
        .with("hi", number(2))
        .with("ours_text", text(|r| &r.ours))
        .with("n_pairs", Column::Integer(rows.iter().map(|r| r.n as i64).collect()))
        .with("verdict", text(|r| r.verdict.word()))
}

/// One row for each metric and method.
pub fn ranks(rankings: &[Ranking]) -> Table {
    let rows: Vec<(&Ranking, usize)> =
        rankings.iter().flat_map(|r| (0..r.methods.len()).map(move |i| (r, i))).collect();
    let text = |f: &dyn Fn(&(&Ranking, usize)) -> String| Column::Text(rows.iter().map(|r| Some(f(r))).collect());
    let number = |f: &dyn Fn(&(&Ranking, usize)) -> f64| Column::Number(rows.iter().map(f).collect());
    let groups = |(r, i): &(&Ranking, usize)| {
        let inside = r.cliques.iter().enumerate().filter(|(_, c)| c.0 <= *i && *i <= c.1);
        inside.map(|(k, _)| (k + 1).to_string()).collect::<Vec<_>>().join(" ")
    };
    Table::new()
        .with("metric", text(&|r| r.0.metric.clone()))
        .with("method", text(&|r| r.0.methods[r.1].0.clone()))
        .with("mean_rank", number(&|r| r.0.methods[r.1].1))
        .with("not_differing", text(&groups))
        .with("critical_difference", number(&|r| r.0.ranks.critical_difference))
        .with("friedman_chi2", number(&|r| r.0.ranks.chi2))
        .with("friedman_p", number(&|r| r.0.ranks.p))
        .with("blocks", text(&|r| r.0.blocks.clone()))
        .with("n_blocks", Column::Integer(rows.iter().map(|r| r.0.n_blocks as i64).collect()))
}

/// The mean curves, arms in their order.
pub fn curves(study: &Study, cost: &Cost) -> Table {
    let mut keys: Vec<(&str, &str, i64)> = vec![];
    let mut points = vec![];
    for arm in &study.arms {
        for metric in &study.metrics {
            for (t, p) in mean_curve(arm, metric).into_iter().enumerate() {
                keys.push((&arm.label, metric, t as i64));
                points.push(p);
            }
        }
    }
    let text = |v: Vec<&str>| Column::Text(v.into_iter().map(|s| Some(s.to_string())).collect());
    let number = |f: fn(&CurvePoint) -> f64| Column::Number(points.iter().map(f).collect());
    let rounds = || keys.iter().map(|k| k.2 as f64);
    let money = Column::Number(rounds().zip(&points).map(|(t, p)| cost.money(t, p.n_measured)).collect());
    let months = Column::Number(rounds().map(|t| cost.months(t)).collect());
    Table::new()
        .with("arm", text(keys.iter().map(|k| k.0).collect()))
        .with("metric", text(keys.iter().map(|k| k.1).collect()))
        .with("round", Column::Integer(keys.iter().map(|k| k.2).collect()))
        .with("n_measured", number(|p| p.n_measured))
        .with("cost", money)
        .with("months", months)
        .with("mean", number(|p| p.mean))
        .with("lo", number(|p| p.mean - p.half_width))
        .with("hi", number(|p| p.mean + p.half_width))
        .with("n", Column::Integer(points.iter().map(|p| p.n as i64).collect()))
}

/// One row for each matched arm, metric and round.
pub fn published_curves(study: &Study, published: &PublishedCurves) -> Table {
    let (mut text, mut round): ([Vec<Option<String>>; 4], Vec<i64>) = Default::default();
    let mut numbers: [Vec<f64>; 4] = Default::default();
    let mut counts: [Vec<i64>; 2] = Default::default();
    for (i, theirs) in &published.arms {
        for (metric, column) in &published.metrics {
            let (a, b) = (relative(&study.arms[*i], metric), relative(theirs, metric));
            for t in 0..a.mean.len().max(b.mean.len()) {
                let words = [&study.arms[*i].label, &theirs.label, metric, column];
                text.iter_mut().zip(words).for_each(|(c, w)| c.push(Some(w.clone())));
                round.push(t as i64);
                for (k, r) in [&a, &b].into_iter().enumerate() {
                    let ratio = r.ratio.as_ref().ok().and_then(|v| v.get(t)).copied();
                    numbers[2 * k].push(r.mean.get(t).map_or(f64::NAN, |p| p.mean));
                    numbers[2 * k + 1].push(ratio.unwrap_or(f64::NAN));
                    counts[k].push(r.mean.get(t).map_or(0, |p| p.n as i64));
                }
            }
        }
    }
    let ([arm, method, metric, column], [ours, ours_ratio, theirs, theirs_ratio]) = (text, numbers);
    let [n_ours, n_theirs] = counts;
    Table::new()
        .with("arm", Column::Text(arm))
        .with("method", Column::Text(method))
        .with("metric", Column::Text(metric))
        .with("published_column", Column::Text(column))
        .with("round", Column::Integer(round))
        .with("ours", Column::Number(ours))
        .with("ours_ratio", Column::Number(ours_ratio))
        .with("n_ours", Column::Integer(n_ours))
        .with("published", Column::Number(theirs))
        .with("published_ratio", Column::Number(theirs_ratio))
        .with("n_published", Column::Integer(n_theirs))
}

/// One row for each arm and metric that has a published value.
pub fn published_values(rows: &[ValueComparison]) -> Table {
    let number = |f: &dyn Fn(&ValueComparison) -> f64| Column::Number(rows.iter().map(f).collect());
    let text = |f: &dyn Fn(&ValueComparison) -> String| Column::Text(rows.iter().map(|r| Some(f(r))).collect());
    Table::new()
        .with("arm", text(&|r| r.label.to_string()))
        .with("metric", text(&|r| r.published.metric.clone()))
        .with("ours", number(&|r| r.ours))
        .with("half_width", number(&|r| r.half_width))
        .with("n", Column::Integer(rows.iter().map(|r| r.n as i64).collect()))
        .with("published", number(&|r| r.published.value))
        .with("published_se", number(&|r| r.published.error))
        .with("apart_in_se", number(&|r| r.apart()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::fixtures::{
        published_losses, rules_for_losses, study_of_losses, three_rules_on_six_screens,
    };
    use crate::report::model::ranking::rankings;

    #[test]
    fn ranks_name_the_groups_that_do_not_differ() {
        let t = ranks(&rankings(&three_rules_on_six_screens(), &[]));
        assert_eq!(t.text("not_differing").unwrap(), ["1", "1 2", "2"]);
    }

    #[test]
    fn published_curves_are_divided_by_their_value_at_round_0() {
        let s = study_of_losses();
        let p = PublishedCurves::read(&published_losses(), &rules_for_losses(), "file".into(), &s).unwrap();
        let t = published_curves(&s, &p);
        // Two arms, two metrics, two rounds.
        assert_eq!(t.height(), 8);
        assert_eq!(t.numbers("ours_ratio").unwrap()[..2], [1.0, 0.4]);
        let theirs = t.numbers_or_missing("published_ratio").unwrap();
        assert!((theirs[1] - 1.5 / 4.1).abs() < 1e-12 && (theirs[5] - 0.75).abs() < 1e-12, "{theirs:?}");
        assert_eq!(t.integers("n_published").unwrap()[..2], [2, 2]);
        // Zero at round 0 has no ratio.
        assert!(theirs[2].is_nan() && theirs[3].is_nan());
    }
}
