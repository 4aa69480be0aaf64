//! Tables for the terminal.

use super::format::{Digits, chars, fill, pad, percent, plural, shorten, value, wrap};
use super::warnings::warnings;
use super::{columns, notes};
use crate::error::counted;
use crate::report::model::claims::{Judgement, Verdict, judge_all};
use crate::report::model::groups::{GroupSummary, group_summaries};
use crate::report::model::published_curves::{self, PublishedCurves};
use crate::report::model::published_values::{PublishedTable, ValueComparison, compare};
use crate::report::model::report::Report;
use crate::report::model::study::Study;
use crate::report::model::summary::Summary;

/// Widths of the terminal and of an arm's label.
const WIDTH: usize = 110;
const LABEL: usize = 40;
/// Arms shown, and rows up to which all metrics have all their columns.
const MOST_ARMS: usize = 20;
const MOST_ROWS: usize = 40;

/// The arms from best to worst, for the terminal.
pub fn table(report: &Report) -> String {
    let Report { study, view, comparisons } = report;
    if let Err(e) = study.check() {
        return format!("{e}\n");
    }
    let summary = Summary::of(study);
    let order = &summary.order;
    let (shown, hidden) = order.split_at(order.len().min(MOST_ARMS));
    // References stay in sight.
    let late: Vec<usize> = hidden.iter().copied().filter(|&a| summary.row(a, 0).is_reference).take(3).collect();
    let listed: Vec<usize> = shown.iter().chain(&late).copied().collect();
    let full = study.metrics.len() * listed.len() <= MOST_ROWS;
    let mut columns = columns::by_metric(study, &summary, &listed, full);
    columns.extend(columns::speed(study, view, &listed));

    let mut first = vec![vec!["#".to_string(), "arm".to_string(), "n".to_string()]];
    first.extend(listed.iter().map(|a| {
        let arm = &study.arms[*a];
        vec![summary.rank(*a).to_string(), shorten(&arm.label, LABEL), arm.runs.len().to_string()]
    }));
    let first = pad(&first, &[true, false, true]);
    let bodies: Vec<Vec<String>> = columns
        .iter()
        .map(|b| {
            let lines: Vec<Vec<String>> =
                std::iter::once(b.heads.iter().map(|h| h.to_string()).collect()).chain(b.rows.clone()).collect();
            let mut body = pad(&lines, &[false; 5]);
            body.insert(0, b.title.clone());
            let width = body.iter().map(|l| chars(l)).max().unwrap_or(0);
            body.iter().map(|l| fill(l, width, false)).collect()
        })
        .collect();

    let mut out = heading(study);
    let label_width = first.first().map_or(0, |l| chars(l));
    let mut at = 0;
    while at < bodies.len() {
        let (from, mut width) = (at, label_width);
        while at < bodies.len() && (at == from || width + 3 + chars(&bodies[at][0]) <= WIDTH) {
            width += 3 + chars(&bodies[at][0]);
            at += 1;
        }
        out.push('\n');
        for line in 0..=listed.len() + 1 {
            let label = if line == 0 { " ".repeat(label_width) } else { first[line - 1].clone() };
            let cells: Vec<&str> = bodies[from..at].iter().map(|b| b[line].as_str()).collect();
            out += format!("{label}   {}", cells.join("   ")).trim_end();
            out.push('\n');
            if line == 1 {
                out += &format!("{}\n", "-".repeat(width));
            }
            if line == shown.len() + 1 && !hidden.is_empty() {
                out += &format!("... {} more in arms.csv\n", hidden.len());
            }
        }
    }
    out.push('\n');
    let all_notes = [
        notes::arms(study, &summary, full),
        notes::seeds_needed(study, &summary),
        notes::speed(study, view),
        notes::definitions(study),
    ];
    for note in all_notes.iter().flatten() {
        out += &wrap(note, WIDTH);
    }
    for warning in warnings(study, &summary) {
        out += &wrap(&format!("warning: {warning}"), WIDTH);
    }
    out += &groups(study, &view.by);
    out += &claims(&judge_all(study, &comparisons.claims));
    if let Some(p) = &comparisons.curves {
        out += &published_curves(study, p);
    }
    if let Some(p) = &comparisons.values {
        out += &published_values(p, &compare(study, Some(p)));
    }
    out
}

fn claims(judgements: &[Judgement]) -> String {
    if judgements.is_empty() {
        return String::new();
    }
    let mut out = "\nClaims (difference: better - other, paired by seed, 95 % interval; see claims.csv)\n".to_string();
    for j in judgements.iter().filter(|j| j.verdict != Verdict::NotRun) {
        out += &wrap(&format!("{}: {}", j.verdict.word(), j.text), WIDTH);
        out += &format!("    {}   n = {}\n", j.ours, j.n);
    }
    let without = judgements.iter().filter(|j| j.verdict == Verdict::NotRun).count();
    if without > 0 {
        out += &format!("not run: {} whose arms or values are missing here\n", counted(without, "claim"));
    }
    out
}

fn published_curves(study: &Study, p: &PublishedCurves) -> String {
    let n = counted(p.arms.len(), "arm");
    let mut out =
        format!("\n{}", wrap(&format!("Published curves of {}: {n} matched, published.csv", p.source), WIDTH));
    for note in published_curves::notes(study, p) {
        out += &wrap(&format!("  {note}"), WIDTH);
    }
    out
}

/// The last lines of a run: the best arms by the first metric with their intervals, and the reference.
pub fn best_lines(study: &Study) -> String {
    const BEST: usize = 5;
    if study.check().is_err() {
        return String::new();
    }
    let summary = Summary::of(study);
    let order = &summary.order;
    let row = |a: usize| summary.row(a, 0);
    let late = order.iter().skip(BEST).copied().filter(|&a| row(a).is_reference).take(1);
    let listed: Vec<usize> = order.iter().copied().take(BEST).chain(late).collect();
    let digits = Digits::of(listed.iter().map(|&a| [row(a).aulc_mean, row(a).aulc_half_width]));
    let wide = listed.iter().map(|&a| chars(&study.arms[a].label)).max().unwrap_or(0).min(LABEL);
    let mut out = format!("best by the AULC of {}, 95 % t intervals over seeds:\n", study.metrics[0]);
    for a in listed {
        let place = summary.rank(a);
        let mark = if row(a).is_reference { "   (reference)" } else { "" };
        out += &format!(
            "{place:>4}  {}  {}{mark}\n",
            fill(&shorten(&study.arms[a].label, LABEL), wide, false),
            value(row(a).aulc_mean, row(a).aulc_half_width, row(a).n_aulc, digits)
        );
    }
    out
}

/// The question, and how many arms and seeds there are.
fn heading(study: &Study) -> String {
    let n: Vec<usize> = study.arms.iter().map(|a| a.runs.len()).collect();
    let (least, most) = (n.iter().min().copied().unwrap_or(0), n.iter().max().copied().unwrap_or(0));
    let seeds = if least == most { format!("{most}") } else { format!("{least} to {most}") };
    let text = format!(
        "{}, {seeds} {} each. {}",
        counted(n.len(), "arm"),
        plural(most, "seed"),
        notes::ranked_by(&study.metrics[0])
    );
    let question = if study.question.trim().is_empty() { String::new() } else { wrap(&study.question, WIDTH) };
    question + &wrap(&text, WIDTH)
}

/// The groups, best first by the first metric, and what they change of the first metrics.
fn groups(study: &Study, by: &[String]) -> String {
    if by.is_empty() {
        return String::new();
    }
    let rows = group_summaries(study, by);
    let metrics: Vec<&String> = study.metrics.iter().take(3).collect();
    let of = |metric: &str| rows.iter().filter(|r| r.metric == metric).collect::<Vec<_>>();
    let columns: Vec<Vec<&GroupSummary>> = metrics.iter().map(|m| of(m)).collect();
    let Some(first) = columns.first() else { return String::new() };
    let mut order: Vec<usize> = (0..first.len()).collect();
    order.sort_by(|&a, &b| first[a].place().total_cmp(&first[b].place()).then(a.cmp(&b)));
    let width = first.iter().map(|r| r.label.chars().count()).max().unwrap_or(0).min(40);
    let heads: Vec<String> = metrics.iter().map(|m| format!("  {m:>24}")).collect();
    let mut out = format!(
        "\nBy {}: change of the last value over the reference, mean over all else, 95 % t interval over seeds\n\
         {:width$}   cells{}\n",
        by.join(" / "),
        "",
        heads.concat()
    );
    for &i in order.iter().take(MOST_ARMS) {
        let cells = columns.iter().map(|c| match c[i].last {
            Some(p) => format!("  {:>24}", percent(&p)),
            None => format!("  {:>24}", if c[i].final_mean.is_nan() { "-" } else { "reference" }),
        });
        let label: String = first[i].label.chars().take(width).collect();
        out += &format!("{label:width$}   {:>5}{}\n", first[i].arms.len(), cells.collect::<String>());
    }
    if order.len() > MOST_ARMS {
        out += &format!("... {} more in groups.csv\n", order.len() - MOST_ARMS);
    }
    out
}

fn published_values(p: &PublishedTable, rows: &[ValueComparison]) -> String {
    let mut out = format!("\nPublished numbers of {} (last round; published_values.csv)\n", p.source);
    let wide = rows.iter().map(|r| r.label.chars().count()).max().unwrap_or(0);
    for r in rows {
        let error = if r.published.error.is_nan() { String::new() } else { format!(" ({:.4})", r.published.error) };
        out += &format!(
            "  {:wide$}  {:>20}  ours {:.4} +- {:.4} (n = {})   published {:.4}{error}\n",
            r.label, r.published.metric, r.ours, r.half_width, r.n, r.published.value
        );
    }
    p.notes.iter().for_each(|n| out += &wrap(&format!("  {n}"), WIDTH));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::fixtures::{gallery, tiny};

    #[test]
    fn the_terminal_says_what_the_numbers_are() {
        let study = tiny([&[(1, 4.0), (2, 6.0)], &[(1, 2.0), (2, 5.0)], &[(1, 100.0)]]);
        let text = table(&Report { study, ..Report::default() });
        for part in [
            "good, better  2     3.50 ± 19.06",
            "reference   ",
            "100.00 (n = 1)",
            "0.5000",
            "Ranked by the AULC of mse (smaller",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        let of_100 = gallery().into_iter().find(|(name, _)| *name == "hundred").unwrap().1;
        let many = table(&Report { study: of_100, ..Report::default() });
        assert!(many.contains("... 80 more in arms.csv"), "{many}");
        assert!(many.lines().any(|l| l.contains("97  random / ridge") && l.contains("reference")), "{many}");
    }
}
