//! Rounds to a target and speed-up: how many times sooner the mean curve of one arm reaches what another has after its
//! last round.
//!
//! speed-up = R / r*, with R the last round of the other arm and r* the round, interpolated, at which the mean curve
//! first reaches the other's mean value there (IterPert, Fig. 4). An arm that never does has r* above its own last
//! round, so a speed-up below R over that round; one that starts there (round 0) has paid less than a round, so a
//! speed-up above R. Intervals: 95 % percentiles of 1,000 bootstrap resamples of the seeds that both arms finished, the
//! same draws for both. Cost: 1,000 x seeds x rounds for each pair of arms.

use super::study::{Study, StudyArm, larger_is_better};
use super::view::View;
use numerics::stats::mean;
use numerics::streams::Streams;
use rand::RngExt;
use rayon::prelude::*;
use std::cmp::Ordering;

const RESAMPLES: usize = 1000;
/// With more arms than this, each is compared with its reference only, not with every other.
const MOST_ARMS: usize = 40;

/// Where a curve first reaches a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reach {
    /// It starts there.
    Start,
    /// At this round, interpolated.
    At(f64),
    /// Not by its last round.
    Never(f64),
}

impl Reach {
    fn key(self) -> f64 {
        match self {
            Reach::Start => 0.0,
            Reach::At(r) => r,
            Reach::Never(_) => f64::INFINITY,
        }
    }

    /// The speed-up over an arm whose last round is `of`.
    fn ratio(self, of: f64) -> Ratio {
        match self {
            Reach::Start => Ratio::Above(of),
            Reach::At(r) => Ratio::Is(of / r),
            Reach::Never(last) => Ratio::Below(of / last),
        }
    }

    pub fn words(self) -> String {
        match self {
            Reach::Start => "at the start".into(),
            Reach::At(r) => format!("{r:.2}"),
            Reach::Never(last) => format!("> {last}"),
        }
    }
}

/// A speed-up, or the bound that is known of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ratio {
    Below(f64),
    Is(f64),
    Above(f64),
}

impl Ratio {
    /// Puts values and bounds in order.
    pub fn key(self) -> f64 {
        match self {
            Ratio::Below(_) => 0.0,
            Ratio::Is(v) => v,
            Ratio::Above(_) => f64::INFINITY,
        }
    }

    /// The value; NaN where only a bound is known.
    pub fn value(self) -> f64 {
        if let Ratio::Is(v) = self { v } else { f64::NAN }
    }

    /// Whether it is certainly at least `v`.
    pub fn at_least(self, v: f64) -> bool {
        match self {
            Ratio::Is(r) | Ratio::Above(r) => r >= v,
            Ratio::Below(_) => false,
        }
    }

    /// Whether it is certainly below `v`.
    pub fn below(self, v: f64) -> bool {
        match self {
            Ratio::Is(r) => r < v,
            Ratio::Below(r) => r <= v,
            Ratio::Above(_) => false,
        }
    }

    pub fn words(self) -> String {
        match self {
            Ratio::Below(v) => format!("< {v:.2}"),
            Ratio::Is(v) => format!("{v:.2}"),
            Ratio::Above(v) => format!("> {v:.2}"),
        }
    }
}

/// What an arm is to reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// The last value of another arm.
    LastOf(usize),
    /// A value.
    Value(f64),
}

/// How soon an arm reaches a value.
#[derive(Clone, Debug)]
pub struct SpeedUp {
    pub metric: String,
    pub arm: usize,
    /// The arm whose last value is the target; nothing where the target was given.
    pub over: Option<usize>,
    pub target: f64,
    pub reach: Reach,
    /// 95 % interval; nothing below two seeds.
    pub reach_interval: Option<[Reach; 2]>,
    /// Perturbations measured by then; NaN unless reached.
    pub n_measured: f64,
    /// Over the other arm.
    pub ratio: Option<Ratio>,
    pub ratio_interval: Option<[Ratio; 2]>,
    /// Seeds that both arms finished.
    pub n: usize,
}

impl SpeedUp {
    /// `2.31 [1.80, > 5.00]`.
    pub fn words(&self) -> String {
        match (self.ratio, self.ratio_interval) {
            (None, _) => "-".into(),
            (Some(r), None) => r.words(),
            (Some(r), Some([lo, hi])) => format!("{} [{}, {}]", r.words(), lo.words(), hi.words()),
        }
    }

    pub fn reach_words(&self) -> String {
        match self.reach_interval {
            None => self.reach.words(),
            Some([lo, hi]) => format!("{} [{}, {}]", self.reach.words(), lo.words(), hi.words()),
        }
    }
}

/// Where a curve (one value per round, NaN where missing) first reaches a target.
fn reach(curve: &[f64], target: f64, larger: bool) -> Reach {
    let there = |v: f64| if larger { v >= target } else { v <= target };
    let mut before: Option<(f64, f64)> = None;
    for (t, v) in curve.iter().enumerate().filter(|(_, v)| v.is_finite()).map(|(t, v)| (t as f64, *v)) {
        if there(v) {
            return match before {
                None if t == 0.0 => Reach::Start,
                None => Reach::At(t),
                Some((t0, v0)) => Reach::At(t0 + (t - t0) * (target - v0) / (v - v0)),
            };
        }
        before = Some((t, v));
    }
    Reach::Never(before.map_or(0.0, |b| b.0))
}

/// Curves of the same seeds, row by row.
struct Runs<'a>(Vec<&'a [f64]>);

impl Runs<'_> {
    /// The mean curve of some rows, which may repeat.
    fn mean(&self, rows: &[usize]) -> Vec<f64> {
        let rounds = self.0.iter().map(|r| r.len()).max().unwrap_or(0);
        (0..rounds)
            .map(|t| {
                let (mut sum, mut n) = (0.0, 0.0);
                for v in rows.iter().filter_map(|&i| self.0[i].get(t)).filter(|v| v.is_finite()) {
                    sum += v;
                    n += 1.0;
                }
                sum / n
            })
            .collect()
    }
}

/// The same draws whatever is compared: rows of so many seeds.
fn draws(n: usize) -> Vec<Vec<usize>> {
    let mut rng = Streams::new(0).child("report").child("speed-up").rng("bootstrap");
    (0..RESAMPLES).map(|_| (0..n).map(|_| rng.random_range(0..n)).collect()).collect()
}

/// The middle 95 % of values in the order of a key; order statistics, since bounds cannot be averaged.
fn interval<T: Copy>(mut values: Vec<T>, key: impl Fn(T) -> f64) -> Option<[T; 2]> {
    values.sort_by(|a, b| key(*a).partial_cmp(&key(*b)).unwrap_or(Ordering::Equal));
    let last = values.len().checked_sub(1)? as f64;
    Some([values[(0.025 * last).floor() as usize], values[(0.975 * last).ceil() as usize]])
}

fn runs_of<'a>(arm: &'a StudyArm, metric: &str) -> Vec<(u64, &'a [f64])> {
    arm.runs
        .iter()
        .filter_map(|r| r.values.get(metric).map(|v| (r.seed, v.as_slice())))
        .filter(|(_, v)| v.iter().any(|v| v.is_finite()))
        .collect()
}

/// The last value and its round.
fn last(curve: &[f64]) -> Option<(f64, f64)> {
    curve.iter().rposition(|v| v.is_finite()).map(|t| (t as f64, curve[t]))
}

/// The arms that one is compared with: each other one, or with many arms its reference.
fn baselines(study: &Study, arm: usize) -> Vec<usize> {
    match study.arms.len() <= MOST_ARMS {
        true => (0..study.arms.len()).filter(|&b| b != arm).collect(),
        false => study.other_reference(arm).into_iter().collect(),
    }
}

/// Metrics whose speed-up is reported: those asked for, else the first.
pub fn reported_metrics<'a>(study: &'a Study, view: &'a View) -> &'a [String] {
    // Without a round after the initial set nothing is reached sooner.
    if study.arms.iter().flat_map(|a| &a.runs).all(|r| r.n_measured.len() < 2) {
        return &[];
    }
    if view.speed_metrics.is_empty() { &study.metrics[..1.min(study.metrics.len())] } else { &view.speed_metrics }
}

/// The speed-up of each arm over each other one, and the rounds of each arm to the target that was asked for.
pub fn speedups(study: &Study, view: &View) -> Vec<SpeedUp> {
    let mut asked: Vec<(&str, usize, Goal)> = vec![];
    for metric in reported_metrics(study, view) {
        for arm in 0..study.arms.len() {
            asked.extend(baselines(study, arm).into_iter().map(|b| (metric.as_str(), arm, Goal::LastOf(b))));
            asked.extend(view.target.map(|t| (metric.as_str(), arm, Goal::Value(t))));
        }
    }
    asked.into_par_iter().filter_map(|(metric, arm, goal)| speedup(study, metric, arm, goal)).collect()
}

/// How soon an arm reaches a goal; nothing where no run of the arm, or no pair of runs of one seed, has values.
pub fn speedup(study: &Study, metric: &str, arm: usize, goal: Goal) -> Option<SpeedUp> {
    let larger = larger_is_better(metric);
    let own = runs_of(&study.arms[arm], metric);
    let (a, b) = match goal {
        Goal::Value(_) => (Runs(own.into_iter().map(|r| r.1).collect()), None),
        Goal::LastOf(b) => {
            let other = runs_of(&study.arms[b], metric);
            let pairs: Vec<(&[f64], &[f64])> =
                own.into_iter().filter_map(|(seed, v)| other.iter().find(|o| o.0 == seed).map(|o| (v, o.1))).collect();
            let (a, b): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            (Runs(a), Some(Runs(b)))
        }
    };
    let n = a.0.len();
    let one = |rows: &[usize]| -> Option<(f64, f64, Reach)> {
        let (end, target) = match (&b, goal) {
            (Some(b), _) => last(&b.mean(rows))?,
            (None, Goal::Value(target)) => (f64::NAN, target),
            (None, Goal::LastOf(_)) => return None,
        };
        Some((end, target, reach(&a.mean(rows), target, larger)))
    };
    let all: Vec<usize> = (0..n).collect();
    let (end, target, found) = one(&all).filter(|_| n > 0)?;
    let resampled: Vec<(f64, f64, Reach)> =
        if n > 1 { draws(n).iter().filter_map(|rows| one(rows)).collect() } else { vec![] };
    let over = match goal {
        Goal::LastOf(b) => Some(b),
        Goal::Value(_) => None,
    };
    let ratio = |end: f64, r: Reach| over.is_some().then(|| r.ratio(end));
    let n_measured = match found {
        Reach::At(r) => measured_at(&study.arms[arm], r),
        _ => f64::NAN,
    };
    Some(SpeedUp {
        metric: metric.to_string(),
        arm,
        over,
        target,
        reach: found,
        reach_interval: interval(resampled.iter().map(|r| r.2).collect(), Reach::key),
        n_measured,
        ratio: ratio(end, found),
        ratio_interval: interval(resampled.iter().filter_map(|r| ratio(r.0, r.2)).collect(), Ratio::key),
        n,
    })
}

/// Perturbations measured by an arm at a round, interpolated; the mean over its runs.
fn measured_at(arm: &StudyArm, round: f64) -> f64 {
    let at = |t: usize| {
        let all: Vec<f64> = arm.runs.iter().filter_map(|r| r.n_measured.get(t).copied()).collect();
        mean(&all)
    };
    let (low, part) = (round.floor() as usize, round.fract());
    if part == 0.0 { at(low) } else { at(low) + part * (at(low + 1) - at(low)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::model::study::RunCurve;
    use std::collections::BTreeMap;

    #[test]
    fn reaching_by_hand() {
        let c = [1.0, 3.0, f64::NAN, 7.0];
        assert_eq!(reach(&c, 2.0, true), Reach::At(0.5));
        assert_eq!(reach(&c, 5.0, true), Reach::At(2.0));
        assert_eq!(reach(&c, 1.0, true), Reach::Start);
        assert_eq!(reach(&c, 8.0, true), Reach::Never(3.0));
        assert_eq!(reach(&[4.0, 2.0, 1.0], 1.5, false), Reach::At(1.5));
        assert_eq!(reach(&[f64::NAN, 2.0], 1.0, true), Reach::At(1.0));
        assert_eq!(reach(&[f64::NAN], 1.0, true), Reach::Never(0.0));
    }

    #[test]
    fn bounds_have_a_direction() {
        // Over an arm of 5 rounds: reached after half a round, never in 5, there from the start.
        let of = |r: Reach| r.ratio(5.0);
        assert_eq!(of(Reach::At(0.5)), Ratio::Is(10.0));
        assert_eq!(of(Reach::Never(5.0)).words(), "< 1.00");
        assert_eq!(of(Reach::Start).words(), "> 5.00");
        assert_eq!(Reach::Never(5.0).words(), "> 5");
        assert!(of(Reach::Start).at_least(5.0) && !of(Reach::Start).at_least(6.0));
        assert!(of(Reach::Never(5.0)).below(1.0) && !of(Reach::Never(5.0)).below(0.5));
        assert!(!of(Reach::At(0.5)).below(10.0) && of(Reach::At(0.5)).at_least(10.0));
    }

    fn study(arms: &[&[&[f64]]]) -> Study {
        let arm = |runs: &&[&[f64]]| StudyArm {
            runs: runs
                .iter()
                .enumerate()
                .map(|(seed, v)| RunCurve {
                    seed: seed as u64,
                    n_measured: (0..v.len()).map(|t| 10.0 * (t + 1) as f64).collect(),
                    values: BTreeMap::from([("hit_ratio".to_string(), v.to_vec())]),
                })
                .collect(),
            ..StudyArm::default()
        };
        Study { metrics: vec!["hit_ratio".into()], arms: arms.iter().map(arm).collect(), ..Study::default() }
    }

    #[test]
    fn speed_up_by_hand() {
        // Means 0, 0.4, 0.8, 0.9 and 0, 0.1, 0.2, 0.4: reached after exactly one of three rounds.
        let s =
            study(&[&[&[0.0, 0.3, 0.7, 0.9], &[0.0, 0.5, 0.9, 0.9]], &[&[0.0, 0.1, 0.2, 0.3], &[0.0, 0.1, 0.2, 0.5]]]);
        let fast = speedup(&s, "hit_ratio", 0, Goal::LastOf(1)).unwrap();
        assert_eq!((fast.n, fast.n_measured), (2, 20.0));
        assert!((fast.ratio.unwrap().value() - 3.0).abs() < 1e-12 && (fast.target - 0.4).abs() < 1e-12);
        // Resamples: only the first seed gives 0.3 / 0.3, only the second 0.5 / 0.5, so always one round.
        let [lo, hi] = fast.ratio_interval.unwrap().map(Ratio::value);
        assert!((lo - 3.0).abs() < 1e-12 && (hi - 3.0).abs() < 1e-12, "{lo} {hi}");
        let slow = speedup(&s, "hit_ratio", 1, Goal::LastOf(0)).unwrap();
        assert_eq!((slow.ratio, slow.reach), (Some(Ratio::Below(1.0)), Reach::Never(3.0)));
        assert_eq!(slow.words(), "< 1.00 [< 1.00, < 1.00]");
    }

    #[test]
    fn pairs_are_by_seed_and_one_seed_has_no_interval() {
        let mut s = study(&[&[&[0.0, 1.0], &[0.0, 9.0]], &[&[0.0, 0.5]]]);
        let one = speedup(&s, "hit_ratio", 0, Goal::LastOf(1)).unwrap();
        assert_eq!((one.n, one.ratio, one.ratio_interval), (1, Some(Ratio::Is(2.0)), None));
        s.arms[1].runs[0].seed = 7;
        assert!(speedup(&s, "hit_ratio", 0, Goal::LastOf(1)).is_none());
        let to = speedups(&s, &View { target: Some(0.25), ..View::default() });
        assert_eq!(to.len(), 2);
        assert_eq!((to[1].over, to[1].reach, to[1].ratio), (None, Reach::At(0.5), None));
    }

    #[test]
    fn intervals_are_order_statistics_with_bounds() {
        let mut v: Vec<Ratio> = (0..995).map(|i| Ratio::Is(1.0 + i as f64)).collect();
        v.extend([Ratio::Above(5.0); 5]);
        let [lo, hi] = interval(v, Ratio::key).unwrap();
        assert_eq!((lo, hi), (Ratio::Is(25.0), Ratio::Is(976.0)));
        let v = [vec![Ratio::Below(1.0); 30], vec![Ratio::Is(2.0); 940], vec![Ratio::Above(5.0); 30]].concat();
        assert_eq!(interval(v, Ratio::key).unwrap(), [Ratio::Below(1.0), Ratio::Above(5.0)]);
    }
}
