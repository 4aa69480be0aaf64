//! What is missing, and where seeds are too few, each with its remedy.

use crate::report::model::paired::Paired;
use crate::report::model::study::{Study, StudyArm};
use crate::report::model::summary::Summary;
use numerics::stats::compare::seeds_for_holm;

/// What is missing or too little, each with its remedy.
pub fn warnings(study: &Study, summary: &Summary) -> Vec<String> {
    let mut out = study.unreadable.clone();
    let again = if study.command.is_empty() { "run the scenario again".into() } else { format!("`{}`", study.command) };
    let planned = study.seeds.len();
    let short: Vec<&StudyArm> = study.arms.iter().filter(|a| a.runs.len() < planned).collect();
    if let Some(first) = short.first() {
        let missing: usize = short.iter().map(|a| planned - a.runs.len()).sum();
        out.push(format!(
            "{missing} of {} runs are missing, in {} of {} arms (`{}`: {} of {planned} seeds); paired statistics use the \
             seeds that both arms have: {again} goes on with the rest",
            planned * study.arms.len(),
            short.len(),
            study.arms.len(),
            first.label,
            first.runs.len(),
        ));
    }
    let one = study.arms.iter().filter(|a| a.runs.len() == 1).count();
    if one > 0 {
        out.push(format!(
            "{one} of {} arms have one seed, hence no interval and no test: set count under [seeds] to 2 or more, \
             better 5 to 10",
            study.arms.len()
        ));
    }
    let first: Vec<&Paired> =
        summary.by_metric(0).filter_map(|r| r.difference.as_ref()).map(|d| &d.aulc).filter(|d| d.n > 1).collect();
    let n = first.iter().map(|d| d.n).max().unwrap_or(0);
    if n > 1 && n <= 20 && n < seeds_for_holm(first.len()) {
        out.push(format!(
            "with {n} seeds no exact test can stand after Holm's correction over {} comparisons (the least p is 2^(1 - {n})): \
             set count under [seeds] to {} or more, or compare fewer arms (report --where)",
            first.len(),
            seeds_for_holm(first.len())
        ));
    }
    let undecided: Vec<Option<usize>> =
        first.iter().filter(|d| d.lo <= 0.0 && d.hi >= 0.0 && d.mean != 0.0).map(|d| d.seeds_needed).collect();
    if !undecided.is_empty() {
        let mut needed: Vec<usize> = undecided.iter().map(|n| n.unwrap_or(usize::MAX)).collect();
        needed.sort_unstable();
        let show = |n: usize| if n == usize::MAX { "more than 10,000".into() } else { n.to_string() };
        let (low, high) = (show(needed[0]), show(needed[needed.len() - 1]));
        let range = if low == high { low } else { format!("{low} to {high}") };
        out.push(format!(
            "{} of {} arms are not told from their reference by {} (AULC, {n} seeds); differences as small as these need \
             {range} seeds: raise count under [seeds] if they matter",
            undecided.len(),
            first.len(),
            study.metrics[0]
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::fixtures::{study, words};

    #[test]
    fn warnings_name_what_is_missing_and_what_to_do() {
        let mut s = study(&words("random ucb bait"), Some(0), 4, 5);
        (s.seeds, s.command) = ((0..5).collect(), "screenwright run x.toml".into());
        s.arms[2].runs.truncate(1);
        s.unreadable = vec!["results/x/abc/run.json: broken; delete it".into()];
        let summary = Summary::of(&s);
        let all = warnings(&s, &summary).join("\n");
        for part in [
            "results/x/abc/run.json: broken",
            "6 of 15 runs are missing, in 3 of 3 arms (`random`: 4 of 5 seeds)",
            "`screenwright run x.toml` goes on with the rest",
            "1 of 3 arms have one seed",
            "with 4 seeds no exact test can stand",
        ] {
            assert!(all.contains(part), "{part}\n{all}");
        }
        // Pairs are those seeds that both arms have, and arms with one have neither interval nor test.
        let d = |a: usize| summary.row(a, 0).difference.as_ref().unwrap().aulc;
        assert_eq!((d(1).n, d(2).n), (4, 1));
        assert!(d(2).lo.is_nan() && d(2).p.is_nan() && d(2).boot[0].is_nan() && d(2).seeds_needed.is_none());
        assert!(d(1).boot[0] <= d(1).mean && d(1).mean <= d(1).boot[1] && d(1).p_holm >= d(1).p);
        // Enough seeds and clear differences: nothing to warn of.
        let mut s = study(&words("random ucb"), Some(0), 10, 5);
        s.seeds = (0..10).collect();
        assert!(warnings(&s, &Summary::of(&s)).is_empty(), "{:?}", warnings(&s, &Summary::of(&s)));
    }
}
