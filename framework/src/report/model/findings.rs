//! What a study says of published statements and numbers, one line for each.

use super::claims::{Verdict, judge_all};
use super::published_values::compare;
use super::report::Comparisons;
use super::study::Study;
use serde::{Deserialize, Serialize};

/// A published statement or number beside ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// The statement; for a number the arm and metric.
    pub claim: String,
    /// The published number with its standard error; empty for statements.
    pub published: String,
    /// Ours with its 95 % interval.
    pub ours: String,
    /// Seeds.
    pub n: usize,
    /// Whether it holds: `supported`, `undecided`, `contradicted`, `not run`; of numbers `agrees`, `differs`.
    pub verdict: String,
}

/// Claims first, then published numbers. A number agrees where ours lies within a published standard error, or the
/// published one within our 95 % interval.
pub fn findings(study: &Study, with: &Comparisons) -> Vec<Finding> {
    let claims = judge_all(study, &with.claims).into_iter().map(|j| Finding {
        claim: j.text,
        published: String::new(),
        ours: if j.verdict == Verdict::NotRun { String::new() } else { j.ours },
        n: j.n,
        verdict: j.verdict.word().to_string(),
    });
    let numbers = compare(study, with.values.as_ref()).into_iter().map(|b| {
        let p = b.published;
        let close = (b.ours - p.value).abs() <= p.error || (b.ours - p.value).abs() <= b.half_width;
        let verdict = match b.n {
            0 => Verdict::NotRun.word(),
            _ if close => "agrees",
            _ => "differs",
        };
        let error = if p.error.is_nan() { String::new() } else { format!(" (se {})", short(p.error)) };
        let half = if b.half_width.is_nan() { String::new() } else { format!(" ± {}", short(b.half_width)) };
        Finding {
            claim: format!("{}: {}", b.label, p.metric),
            published: format!("{}{error}", short(p.value)),
            ours: if b.n == 0 { String::new() } else { format!("{}{half}", short(b.ours)) },
            n: b.n,
            verdict: verdict.to_string(),
        }
    });
    claims.chain(numbers).collect()
}

/// Three significant digits.
fn short(v: f64) -> String {
    if v == 0.0 || !v.is_finite() {
        return v.to_string();
    }
    let digits = (2 - v.abs().log10().floor() as i32).clamp(0, 8) as usize;
    format!("{v:.digits$}")
}
