//! What a choice (a strategy, a model) changes, averaged over everything else on the grid.
//!
//! Arms that agree on the axes asked for form a group. An arm's change is its value minus that of its reference under the
//! same seed, over the mean of the reference, so that cells of different scale count alike; a seed's change is the mean
//! over the cells of the group, and intervals and tests are over seeds. Without references the groups are single arms
//! and show their values.

use super::summary::{larger_is_better, last_value, paired};
use super::{Paired, Study, StudyArm};
use crate::metrics::aulc;
use numerics::stats::{half_width_95, holm, mean};
use table::{Column, Table};

/// A group of arms judged by one metric.
#[derive(Clone, Debug)]
pub struct GroupSummary {
    /// The group's values on the axes asked for, joined by " / ".
    pub label: String,
    /// Its arms.
    pub arms: Vec<usize>,
    /// The metric.
    pub metric: String,
    /// Mean over cells and seeds of the last round's value.
    pub final_mean: f64,
    /// Half width of its 95 % t interval over seeds.
    pub final_half_width: f64,
    /// Change of the last round's value relative to the reference, 0.1 for ten per cent more; absent where no arm of
    /// the group has another arm as reference.
    pub last: Option<Paired>,
    /// The same of the area under the learning curve.
    pub aulc: Option<Paired>,
    /// p of `last` after Holm's correction over the groups.
    pub p_holm: f64,
    /// Cells with a change.
    pub n_cells: usize,
}

impl GroupSummary {
    /// Sorts groups from best to worst: by change, references at no change, those without values last.
    fn place(&self) -> f64 {
        let sign = if larger_is_better(&self.metric) { -1.0 } else { 1.0 };
        if self.final_mean.is_nan() { f64::INFINITY } else { sign * self.last.map_or(0.0, |p| p.mean) }
    }
}

impl Study {
    /// Arms grouped by [`Study::by`], in the order in which groups first appear; all arms apart where it is empty.
    pub(super) fn groups(&self) -> Vec<(String, Vec<usize>)> {
        let at: Vec<usize> = self.by.iter().filter_map(|b| self.axes.iter().position(|a| a == b)).collect();
        let mut groups: Vec<(String, Vec<usize>)> = vec![];
        for (i, arm) in self.arms.iter().enumerate() {
            let label = match at.is_empty() {
                true => arm.label.clone(),
                false => at.iter().filter_map(|&x| arm.cell.get(x)).map(String::as_str).collect::<Vec<_>>().join(" / "),
            };
            match groups.iter_mut().find(|g| g.0 == label) {
                Some(g) => g.1.push(i),
                None => groups.push((label, vec![i])),
            }
        }
        groups
    }

    /// One row for each metric and group.
    pub fn group_summaries(&self) -> Vec<GroupSummary> {
        let groups = self.groups();
        let mut out = vec![];
        for metric in &self.metrics {
            let mut rows: Vec<GroupSummary> = groups.iter().map(|g| self.group(&g.0, &g.1, metric)).collect();
            let p: Vec<f64> = rows.iter().map(|r| r.last.map_or(f64::NAN, |l| l.p)).collect();
            rows.iter_mut().zip(holm(&p)).for_each(|(r, p)| r.p_holm = p);
            out.extend(rows);
        }
        out
    }

    fn group(&self, label: &str, arms: &[usize], metric: &str) -> GroupSummary {
        let values: Vec<Vec<(u64, f64)>> = arms.iter().map(|&a| self.arms[a].by_seed(metric, last_value)).collect();
        let finals: Vec<f64> = by_seed_mean(&values).into_iter().map(|v| v.1).collect();
        let change = |f: fn(&[f64], &[f64]) -> f64| {
            let cells: Vec<Vec<(u64, f64)>> = arms
                .iter()
                .filter_map(|&a| {
                    let reference = self.arms[a].reference.filter(|&r| r != a)?;
                    relative(&self.arms[a], &self.arms[reference], metric, f)
                })
                .collect();
            let seeds = by_seed_mean(&cells);
            let zero: Vec<(u64, f64)> = seeds.iter().map(|s| (s.0, 0.0)).collect();
            (cells.len(), (!seeds.is_empty()).then(|| paired(&seeds, &zero)))
        };
        let (n_cells, last) = change(last_value);
        GroupSummary {
            label: label.to_string(),
            arms: arms.to_vec(),
            metric: metric.to_string(),
            final_mean: mean(&finals),
            final_half_width: half_width_95(&finals),
            last,
            aulc: change(aulc).1,
            p_holm: f64::NAN,
            n_cells,
        }
    }

    /// The rows as a table.
    pub(super) fn groups_table(&self, rows: &[GroupSummary]) -> Table {
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

    /// For the terminal: the groups, best first by the first metric, and what they change of the first metrics.
    pub(super) fn groups_text(&self, most: usize) -> String {
        if self.by.is_empty() {
            return String::new();
        }
        let rows = self.group_summaries();
        let metrics: Vec<&String> = self.metrics.iter().take(3).collect();
        let of = |metric: &str| rows.iter().filter(|r| r.metric == metric).collect::<Vec<_>>();
        let columns: Vec<Vec<&GroupSummary>> = metrics.iter().map(|m| of(m)).collect();
        let Some(first) = columns.first() else { return String::new() };
        let mut order: Vec<usize> = (0..first.len()).collect();
        order.sort_by(|&a, &b| first[a].place().total_cmp(&first[b].place()).then(a.cmp(&b)));
        let width = first.iter().map(|r| r.label.chars().count()).max().unwrap_or(0).min(40);
        let heads: Vec<String> = metrics.iter().map(|m| format!("  {m:>24}")).collect();
        let by = self.by.join(" / ");
        let mut out = format!(
            "\nBy {by}: change of the last value over the reference, mean over all else, 95 % t interval over seeds\n\
             {:width$}   cells{}\n",
            "",
            heads.concat()
        );
        for &i in order.iter().take(most) {
            let cells = columns.iter().map(|c| match c[i].last {
                Some(p) => format!("  {:>24}", percent(&p)),
                None => format!("  {:>24}", if c[i].final_mean.is_nan() { "-" } else { "reference" }),
            });
            let label: String = first[i].label.chars().take(width).collect();
            out += &format!("{label:width$}   {:>5}{}\n", first[i].arms.len(), cells.collect::<String>());
        }
        if order.len() > most {
            out += &format!("... {} more in groups.csv\n", order.len() - most);
        }
        out
    }

    /// The section of `report.md`, groups from best to worst by the change of each metric; nothing without `by`.
    pub(super) fn groups_markdown(&self, rows: &[GroupSummary]) -> String {
        if self.by.is_empty() {
            return String::new();
        }
        let mut out = format!("## By {}\n\n", self.by.join(" and "));
        for metric in &self.metrics {
            let mut of: Vec<&GroupSummary> = rows.iter().filter(|r| r.metric == *metric).collect();
            of.sort_by(|a, b| a.place().total_cmp(&b.place()));
            if of.iter().all(|r| r.final_mean.is_nan()) {
                continue;
            }
            out += &format!(
                "### {metric}\n\n| {} | cells | final | change of final over reference | p | p (Holm) |\n\
                 |:--|--:|:--|:--|--:|--:|\n",
                self.by.join(" / ")
            );
            for r in of {
                let (change, p) = match r.last {
                    None => (
                        if r.final_mean.is_nan() { "-" } else { "reference" }.to_string(),
                        ["-".to_string(), "-".to_string()],
                    ),
                    Some(c) => (
                        percent(&c),
                        [c.p, r.p_holm].map(|p| if p.is_finite() { format!("{p:.4}") } else { "-".into() }),
                    ),
                };
                let label = r.label.replace('|', "\\|");
                out += &format!(
                    "| {label} | {} | {:.4} ± {:.4} | {change} | {} | {} |\n",
                    r.arms.len(),
                    r.final_mean,
                    r.final_half_width,
                    p[0],
                    p[1]
                );
            }
            out.push('\n');
        }
        out + "- change: (arm - reference) / mean of the reference, under the same seed and all else equal; mean over \
               cells (those where the reference is not 0), then 95 % t interval over seeds\n- p: two-sided, exact sign flips of the seeds' changes (a t test \
               above 20 seeds); Holm: corrected over the groups of the table\n- final ±: mean over cells, 95 % t interval \
               over seeds\n\n"
    }
}

fn percent(p: &Paired) -> String {
    let all = [p.mean, p.lo, p.hi].map(|v| 100.0 * v);
    if p.lo.is_finite() {
        format!("{:+.1} % [{:+.1}, {:+.1}]", all[0], all[1], all[2])
    } else {
        format!("{:+.1} %", all[0])
    }
}

/// For each seed that all cells have: the mean over cells.
fn by_seed_mean(cells: &[Vec<(u64, f64)>]) -> Vec<(u64, f64)> {
    let Some(first) = cells.first() else { return vec![] };
    first
        .iter()
        .filter_map(|&(seed, _)| {
            let of: Option<Vec<f64>> = cells.iter().map(|c| c.iter().find(|v| v.0 == seed).map(|v| v.1)).collect();
            Some((seed, mean(&of?)))
        })
        .collect()
}

/// (arm - reference) / |mean of the reference| by seed; nothing where the reference is 0 on the mean.
fn relative(
    arm: &StudyArm,
    reference: &StudyArm,
    metric: &str,
    f: fn(&[f64], &[f64]) -> f64,
) -> Option<Vec<(u64, f64)>> {
    let (own, other) = (arm.by_seed(metric, f), reference.by_seed(metric, f));
    let scale = mean(&other.iter().map(|v| v.1).collect::<Vec<_>>()).abs();
    if scale.is_nan() || scale <= 0.0 {
        return None;
    }
    let pairs = own.iter().filter_map(|(s, v)| other.iter().find(|o| o.0 == *s).map(|o| (*s, (v - o.1) / scale)));
    Some(pairs.collect::<Vec<_>>()).filter(|p| !p.is_empty())
}
