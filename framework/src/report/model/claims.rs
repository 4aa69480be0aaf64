//! Whether the finished runs support what a scenario claims.

use super::paired::{Paired, paired};
use super::speedup::{Goal, SpeedUp, speedup};
use super::study::{Study, larger_is_better, last_value};
use crate::metrics::aulc;
use crate::scenario::{Assertion, At, Claim};
use numerics::stats::mean;

/// What the runs say of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// The whole interval agrees with it.
    Supported,
    /// The interval holds both.
    Undecided,
    /// The whole interval disagrees with it.
    Contradicted,
    /// An arm, a run or a value that it needs is missing.
    NotRun,
}

impl Verdict {
    /// As printed.
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Supported => "supported",
            Verdict::Undecided => "undecided",
            Verdict::Contradicted => "contradicted",
            Verdict::NotRun => "not run",
        }
    }
}

/// A claim and what became of it.
#[derive(Clone, Debug)]
pub struct Judgement {
    pub text: String,
    pub metric: String,
    /// What is compared: "last round", "AULC", "round 3", "speed-up >= 5".
    pub what: String,
    pub better: String,
    pub than: String,
    /// The number with its interval, in words.
    pub ours: String,
    /// Estimate and interval; NaN where a bound or nothing is known.
    pub numbers: [f64; 3],
    pub n: usize,
    pub verdict: Verdict,
}

/// One pair of arms under a claim.
struct PairJudgement {
    better: usize,
    than: usize,
    ours: String,
    numbers: [f64; 3],
    n: usize,
    verdict: Verdict,
    /// How much it speaks for the claim; the least is the weakest pair.
    strength: f64,
}

/// Judges claims, in their order.
pub fn judge_all(study: &Study, claims: &[Claim]) -> Vec<Judgement> {
    claims.iter().map(|c| judge(study, c)).collect()
}

fn judge(study: &Study, claim: &Claim) -> Judgement {
    let what = match claim.says {
        Assertion::Better(At::Last) => "last round".to_string(),
        Assertion::Better(At::Aulc) => "AULC".to_string(),
        Assertion::Better(At::Round(t)) => format!("round {t}"),
        Assertion::Sooner(least) => format!("speed-up >= {least}"),
    };
    let has_runs = |side: &[usize]| side.iter().copied().filter(|&i| !study.arms[i].runs.is_empty()).collect();
    let (mut better, mut than): (Vec<usize>, Vec<usize>) = (has_runs(&claim.better), has_runs(&claim.than));
    // Every pair needs every arm; the best of a side only one.
    let lacking = if claim.all_of {
        better.len() < claim.better.len() || than.len() < claim.than.len() || better.is_empty() || than.is_empty()
    } else {
        better.is_empty() || than.is_empty()
    };
    if !claim.all_of {
        better = best(study, claim, &better).into_iter().collect();
        than = best(study, claim, &than).into_iter().collect();
    }
    let pairs: Vec<PairJudgement> = better
        .iter()
        .flat_map(|&b| than.iter().map(move |&t| (b, t)))
        .map(|(b, t)| compare(study, claim, b, t))
        .collect();
    let weakest = pairs.iter().min_by(|a, b| a.strength.total_cmp(&b.strength));
    let mut out = Judgement {
        text: claim.text.clone(),
        metric: claim.metric.clone(),
        what,
        better: String::new(),
        than: String::new(),
        ours: "-".into(),
        numbers: [f64::NAN; 3],
        n: 0,
        verdict: Verdict::NotRun,
    };
    if let (false, Some(p)) = (lacking, weakest) {
        out.better = study.arms[p.better].label.clone();
        out.than = study.arms[p.than].label.clone();
        out.ours = match pairs.len() {
            1 => p.ours.clone(),
            many => format!("{} (weakest of {many} pairs)", p.ours),
        };
        (out.numbers, out.n) = (p.numbers, p.n);
        // One pair that disagrees is enough to contradict it, one that is undecided to leave it open.
        out.verdict = pairs.iter().map(|p| p.verdict).max().unwrap_or(Verdict::NotRun);
    }
    out
}

/// A number of each run that a claim compares; for a speed-up the last value.
fn quantity(study: &Study, claim: &Claim, arm: usize) -> Vec<(u64, f64)> {
    let arm = &study.arms[arm];
    match claim.says {
        Assertion::Better(At::Aulc) => arm.by_seed(&claim.metric, aulc),
        Assertion::Better(At::Round(t)) => arm.by_seed(&claim.metric, |_, v| v.get(t).copied().unwrap_or(f64::NAN)),
        _ => arm.by_seed(&claim.metric, last_value),
    }
}

/// The arm with the best mean; ties to the first.
fn best(study: &Study, claim: &Claim, arms: &[usize]) -> Option<usize> {
    let sign = if larger_is_better(&claim.metric) { 1.0 } else { -1.0 };
    let mut best: Option<(usize, f64)> = None;
    for &i in arms {
        let values: Vec<f64> = quantity(study, claim, i).into_iter().map(|v| v.1).collect();
        let m = sign * mean(&values);
        if m.is_finite() && best.is_none_or(|b| m > b.1) {
            best = Some((i, m));
        }
    }
    best.map(|b| b.0).or(arms.first().copied())
}

fn compare(study: &Study, claim: &Claim, better: usize, than: usize) -> PairJudgement {
    match claim.says {
        Assertion::Better(_) => {
            let d = paired(&quantity(study, claim, better), &quantity(study, claim, than));
            let sign = if larger_is_better(&claim.metric) { 1.0 } else { -1.0 };
            let (low, high) = (f64::min(sign * d.lo, sign * d.hi), f64::max(sign * d.lo, sign * d.hi));
            let verdict = match d.n {
                0 => Verdict::NotRun,
                _ if low > 0.0 => Verdict::Supported,
                _ if high < 0.0 => Verdict::Contradicted,
                _ => Verdict::Undecided,
            };
            let strength = if low.is_finite() { low } else { sign * d.mean };
            PairJudgement { better, than, ours: words(&d), numbers: [d.mean, d.lo, d.hi], n: d.n, verdict, strength }
        }
        Assertion::Sooner(least) => {
            let Some(s) = speedup(study, &claim.metric, better, Goal::LastOf(than)) else {
                let (numbers, verdict) = ([f64::NAN; 3], Verdict::NotRun);
                return PairJudgement {
                    better,
                    than,
                    ours: "-".into(),
                    numbers,
                    n: 0,
                    verdict,
                    strength: f64::NEG_INFINITY,
                };
            };
            let verdict = match s.ratio_interval {
                Some([lo, _]) if lo.at_least(least) => Verdict::Supported,
                Some([_, hi]) if hi.below(least) => Verdict::Contradicted,
                _ => Verdict::Undecided,
            };
            let SpeedUp { ratio, ratio_interval, n, .. } = &s;
            let end = |i: usize| ratio_interval.map_or(f64::NAN, |r| r[i].value());
            let numbers = [ratio.map_or(f64::NAN, |r| r.value()), end(0), end(1)];
            let strength = ratio_interval.map(|r| r[0]).or(*ratio).map_or(f64::NEG_INFINITY, |r| r.key());
            PairJudgement { better, than, ours: s.words(), numbers, n: *n, verdict, strength }
        }
    }
}

/// `-0.021 [-0.034, -0.008]`.
fn words(d: &Paired) -> String {
    let show = |v: f64| {
        // Three significant digits of the mean difference.
        let decimals = if d.mean == 0.0 { 3.0 } else { 2.0 - d.mean.abs().log10().floor() };
        if (0.0..=6.0).contains(&decimals) { format!("{v:+.0$}", decimals as usize) } else { format!("{v:+.2e}") }
    };
    match d.n {
        0 => "-".into(),
        1 => format!("{} (n = 1)", show(d.mean)),
        _ => format!("{} [{}, {}]", show(d.mean), show(d.lo), show(d.hi)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::study::{RunCurve, StudyArm};
    use std::collections::BTreeMap;

    /// Arms whose runs end at the values given; they start at `start`.
    fn study(metric: &str, start: f64, ends: &[&[f64]]) -> Study {
        let arm = |(i, v): (usize, &&[f64])| StudyArm {
            label: format!("arm {i}"),
            runs: v
                .iter()
                .enumerate()
                .map(|(seed, v)| RunCurve {
                    seed: seed as u64,
                    n_measured: vec![10.0, 20.0],
                    values: BTreeMap::from([(metric.to_string(), vec![start, *v])]),
                })
                .collect(),
            ..StudyArm::default()
        };
        Study { metrics: vec![metric.into()], arms: ends.iter().enumerate().map(arm).collect(), ..Study::default() }
    }

    fn claim(metric: &str, says: Assertion, better: &[usize], than: &[usize], all_of: bool) -> Claim {
        let (better, than) = (better.to_vec(), than.to_vec());
        Claim { text: "so it is".into(), metric: metric.into(), says, better, than, all_of }
    }

    #[test]
    fn verdicts_follow_the_interval_and_the_direction() {
        let last = Assertion::Better(At::Last);
        let s = study("mse", 9.0, &[&[1.0, 2.0, 3.0], &[2.0, 3.1, 3.9], &[0.0, 3.0, 4.0], &[]]);
        let judge = |b: &[usize], t: &[usize], all| super::judge(&s, &claim("mse", last, b, t, all));
        // Differences -1, -1.1, -0.9: smaller is better.
        let j = judge(&[0], &[1], false);
        assert_eq!((j.verdict, j.n, j.better.as_str()), (Verdict::Supported, 3, "arm 0"));
        assert!(
            (j.numbers[0] + 1.0).abs() < 1e-12 && j.numbers[2] < 0.0 && j.ours.starts_with("-1.00 ["),
            "{}",
            j.ours
        );
        assert_eq!(judge(&[1], &[0], false).verdict, Verdict::Contradicted);
        assert_eq!(judge(&[0], &[2], false).verdict, Verdict::Undecided);
        assert_eq!(judge(&[0], &[3], false).verdict, Verdict::NotRun);
        assert_eq!(judge(&[], &[1], false).verdict, Verdict::NotRun);
        // The best of 1 and 2 is 2 (mean 7/3 against 3); each of them is another question.
        let j = judge(&[0], &[1, 2], false);
        assert_eq!((j.than.as_str(), j.verdict), ("arm 2", Verdict::Undecided));
        let j = judge(&[0], &[1, 2], true);
        assert_eq!((j.than.as_str(), j.verdict), ("arm 2", Verdict::Undecided));
        assert!(j.ours.contains("weakest of 2 pairs"));
        assert_eq!(judge(&[0], &[1, 3], true).verdict, Verdict::NotRun);
        // One seed decides nothing.
        let one = study("mse", 9.0, &[&[1.0], &[5.0]]);
        assert_eq!(super::judge(&one, &claim("mse", last, &[0], &[1], false)).verdict, Verdict::Undecided);
        let larger = study("hit_ratio", 0.0, &[&[0.1, 0.2], &[0.4, 0.5]]);
        let j = super::judge(&larger, &claim("hit_ratio", Assertion::Better(At::Aulc), &[1], &[0], false));
        assert_eq!((j.verdict, j.what.as_str()), (Verdict::Supported, "AULC"));
        let at =
            |t| super::judge(&larger, &claim("hit_ratio", Assertion::Better(At::Round(t)), &[1], &[0], false)).verdict;
        assert_eq!((at(0), at(1), at(2)), (Verdict::Undecided, Verdict::Supported, Verdict::NotRun));
    }

    #[test]
    fn speed_ups_are_judged_by_their_interval() {
        let s = study("hit_ratio", 0.0, &[&[0.1, 0.2, 0.1], &[0.5, 0.6, 0.5]]);
        let judge = |least, b: usize, t: usize| {
            super::judge(&s, &claim("hit_ratio", Assertion::Sooner(least), &[b], &[t], false))
        };
        // 0.4 / 3 of 1.6 / 3 is reached at a quarter of the round; resamples lie between a fifth and a third.
        let j = judge(2.9, 1, 0);
        assert_eq!((j.verdict, j.what.as_str()), (Verdict::Supported, "speed-up >= 2.9"));
        assert!((j.numbers[0] - 4.0).abs() < 1e-9, "{:?}", j.numbers);
        assert_eq!(judge(4.0, 1, 0).verdict, Verdict::Undecided);
        assert_eq!(judge(6.0, 1, 0).verdict, Verdict::Contradicted);
        assert_eq!(judge(1.0, 0, 1).verdict, Verdict::Contradicted);
    }
}
