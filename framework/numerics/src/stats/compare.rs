//! Comparing strategies over seeds and over scenarios: bootstrap intervals, signed ranks, mean ranks over blocks, and how
//! many seeds a comparison needs.

use crate::stats::{normal_cdf, normal_pdf, ranks};
use crate::streams::Streams;
use rand::RngExt;
use rand::seq::SliceRandom;
use statrs::distribution::{ChiSquared, Continuous, ContinuousCDF, StudentsT};
use std::sync::{Arc, Mutex};

const RESAMPLES: usize = 4000;
const SHUFFLES: usize = 9999;
/// Where more would be needed, no number is given.
const MOST_SEEDS: usize = 10_000;

/// 95 % bootstrap interval of a mean: percentiles of 4,000 resamples, widened so that normal data get the width of the t
/// interval (expanded percentiles, Hesterberg 2015, section 5.3: plain ones are too short for few values). Every sample
/// of one size meets the same resamples. NaN below two values. Cost: 4,000 n.
pub fn bootstrap_mean_95(x: &[f64]) -> [f64; 2] {
    let n = x.len();
    let Ok(t) = StudentsT::new(0.0, 1.0, n as f64 - 1.0) else { return [f64::NAN; 2] };
    let size = n as f64;
    let tail = normal_cdf(-(size / (size - 1.0)).sqrt() * t.inverse_cdf(0.975));
    let draws = resamples(n);
    let mut means: Vec<f64> =
        draws.chunks_exact(n).map(|rows| rows.iter().map(|&i| x[i as usize]).sum::<f64>() / size).collect();
    [tail, 1.0 - tail].map(|q| {
        // Linear between order statistics, as `quantile`, without sorting the rest.
        let at = q * (RESAMPLES - 1) as f64;
        let (_, low, above) = means.select_nth_unstable_by(at.floor() as usize, f64::total_cmp);
        let low = *low;
        let next = above.iter().copied().min_by(f64::total_cmp).unwrap_or(low);
        low + at.fract() * (next - low)
    })
}

/// The rows of [`RESAMPLES`] samples with replacement of `n` things, drawn once a size.
fn resamples(n: usize) -> Arc<Vec<u32>> {
    static DRAWN: Mutex<Vec<(usize, Arc<Vec<u32>>)>> = Mutex::new(vec![]);
    let mut drawn = DRAWN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(found) = drawn.iter().find(|d| d.0 == n) {
        return found.1.clone();
    }
    let mut rng = Streams::new(0).child("report").child("mean").rng("bootstrap");
    let rows: Arc<Vec<u32>> = Arc::new((0..RESAMPLES * n).map(|_| rng.random_range(0..n as u32)).collect());
    drawn.push((n, rows.clone()));
    rows
}

/// Two-sided p of Wilcoxon's signed-rank test that paired differences are symmetric about zero. Zeros are left out, ties
/// share their mean rank; exact given the ties up to 50 differences, by the normal approximation with correction for ties
/// above. 1 where all are zero, NaN of nothing.
pub fn wilcoxon_p(d: &[f64]) -> f64 {
    let d: Vec<f64> = match d.len() {
        0 => return f64::NAN,
        _ => d.iter().copied().filter(|v| *v != 0.0).collect(),
    };
    if d.is_empty() {
        return 1.0;
    }
    // Twice the ranks are whole numbers.
    let doubled: Vec<usize> =
        ranks(&d.iter().map(|v| v.abs()).collect::<Vec<_>>()).iter().map(|r| (2.0 * r).round() as usize).collect();
    let total: usize = doubled.iter().sum();
    let plus: usize = doubled.iter().zip(&d).filter(|r| *r.1 > 0.0).map(|r| r.0).sum();
    let low = plus.min(total - plus);
    if d.len() > 50 {
        let variance: f64 = doubled.iter().map(|r| (*r as f64).powi(2)).sum::<f64>() / 4.0;
        return (2.0 * normal_cdf((low as f64 - total as f64 / 2.0) / variance.sqrt())).min(1.0);
    }
    // Share of the sign patterns with each sum.
    let mut share = vec![0.0; total + 1];
    share[0] = 1.0;
    for r in doubled {
        for s in (0..=total).rev() {
            share[s] = 0.5 * (share[s] + if s >= r { share[s - r] } else { 0.0 });
        }
    }
    (2.0 * share[..=low].iter().sum::<f64>()).min(1.0)
}

/// Power of the two-sided paired t test at 5 % with `n` pairs whose differences have a mean of `effect` standard
/// deviations: the noncentral t distribution, integrated over the estimate of the spread.
pub fn paired_t_power(effect: f64, n: usize) -> f64 {
    let df = n as f64 - 1.0;
    let (Ok(t), Ok(chi2)) = (StudentsT::new(0.0, 1.0, df), ChiSquared::new(df)) else { return f64::NAN };
    let (bar, shift) = (t.inverse_cdf(0.975), effect.abs() * (n as f64).sqrt());
    // Over the estimate s of a spread of 1: its density is that of chi over the square root of df.
    const STEPS: usize = 400;
    let most = 1.0 + 8.0 / (2.0 * df).sqrt() + 2.0 / df;
    let width = most / STEPS as f64;
    let at = |s: f64| {
        let density = 2.0 * s * df * chi2.pdf(df * s * s);
        density * (normal_cdf(shift - bar * s) + normal_cdf(-shift - bar * s))
    };
    width * (0..STEPS).map(|i| at((i as f64 + 0.5) * width)).sum::<f64>()
}

/// The least number of seeds with which the paired t test at 5 % tells a difference of this mean and spread from zero with a
/// probability of 80 %. Nothing where the mean is zero, either is not a number, or more than 10,000 would be needed.
pub fn seeds_needed(mean: f64, sd: f64) -> Option<usize> {
    let effect = mean.abs() / sd;
    if effect.is_nan() || effect <= 0.0 {
        return None;
    }
    let enough = |n: usize| paired_t_power(effect, n) >= 0.8;
    // The normal approximation, which is a little too low, is where to start.
    let start = ((1.959964 + 0.841621) / effect).powi(2).ceil();
    if start > MOST_SEEDS as f64 {
        return None;
    }
    let start = (start as usize).max(2);
    (start..=start + 4).find(|&n| enough(n))
}

/// Mean ranks of methods over blocks, and whether they differ.
#[derive(Clone, Debug, PartialEq)]
pub struct MeanRanks {
    /// By method, 1 is best.
    pub mean: Vec<f64>,
    /// Friedman's statistic, corrected for ties.
    pub chi2: f64,
    /// Its p by 9,999 shuffles of the ranks within blocks; its least value is 1e-4.
    pub p: f64,
    /// Mean ranks further apart than this differ at 5 % (Nemenyi's test for all pairs).
    pub critical_difference: f64,
}

/// Friedman's test over blocks x methods and the critical difference of Nemenyi's (Demsar 2006, section 3.2.2). Rows are
/// blocks. Nothing below two blocks or two methods. Cost: 10,000 x blocks x methods.
pub fn mean_ranks(values: &[Vec<f64>], larger_is_better: bool) -> Option<MeanRanks> {
    let (n, k) = (values.len(), values.first().map_or(0, Vec::len));
    if n < 2 || k < 2 {
        return None;
    }
    let sign = if larger_is_better { -1.0 } else { 1.0 };
    let mut ranked: Vec<Vec<f64>> =
        values.iter().map(|row| ranks(&row.iter().map(|v| sign * v).collect::<Vec<_>>())).collect();
    let sums = |rows: &[Vec<f64>]| -> Vec<f64> { (0..k).map(|m| rows.iter().map(|r| r[m]).sum()).collect() };
    let centre = n as f64 * (k as f64 + 1.0) / 2.0;
    let spread = |s: &[f64]| s.iter().map(|v| (v - centre).powi(2)).sum::<f64>();
    let first = sums(&ranked);
    let observed = spread(&first);
    // Sum of the variances of ranks in each block; k (k^2 - 1) / 12 without ties.
    let within: f64 = ranked.iter().flatten().map(|r| (r - (k as f64 + 1.0) / 2.0).powi(2)).sum();
    let chi2 = if within > 0.0 { (k as f64 - 1.0) * observed / within } else { 0.0 };
    let mut rng = Streams::new(0).child("report").child("friedman").rng("shuffle");
    let reached = (0..SHUFFLES)
        .filter(|_| {
            ranked.iter_mut().for_each(|r| r.shuffle(&mut rng));
            spread(&sums(&ranked)) >= observed * (1.0 - 1e-12)
        })
        .count();
    let per_rank = (k as f64 * (k as f64 + 1.0) / (6.0 * n as f64)).sqrt();
    Some(MeanRanks {
        mean: first.iter().map(|s| s / n as f64).collect(),
        chi2,
        p: (1 + reached) as f64 / (SHUFFLES + 1) as f64,
        critical_difference: studentised_range_95(k) / 2f64.sqrt() * per_rank,
    })
}

/// The 95 % quantile of the range of `k` standard normal values: the studentised range with infinite degrees of freedom.
pub fn studentised_range_95(k: usize) -> f64 {
    // P(range <= q) = k times the integral of density(z) (P(z - q < one other <= z))^(k - 1).
    let below = |q: f64| {
        const STEPS: usize = 2000;
        let width = 18.0 / STEPS as f64;
        let at = |z: f64| normal_pdf(z) * (normal_cdf(z) - normal_cdf(z - q)).powi(k as i32 - 1);
        k as f64 * width * (0..STEPS).map(|i| at(-9.0 + (i as f64 + 0.5) * width)).sum::<f64>()
    };
    let (mut lo, mut hi) = (0.0, 20.0);
    while hi - lo > 1e-9 {
        let q = 0.5 * (lo + hi);
        if below(q) < 0.95 { lo = q } else { hi = q }
    }
    0.5 * (lo + hi)
}

/// Groups of neighbours in ascending mean ranks, as first and last place, that lie within the critical difference and are
/// no part of a larger such group.
pub fn cliques(ascending: &[f64], critical_difference: f64) -> Vec<(usize, usize)> {
    let mut out: Vec<(usize, usize)> = vec![];
    for first in 0..ascending.len() {
        let last = ascending.partition_point(|r| r - ascending[first] <= critical_difference) - 1;
        if last > first && out.last().is_none_or(|c| c.1 < last) {
            out.push((first, last));
        }
    }
    out
}

/// Seeds below which `comparisons` exact sign-flip tests cannot all be judged after Holm's correction: the least p of n
/// pairs is 2^(1 - n), and the best of them must be below 5 % / comparisons.
pub fn seeds_for_holm(comparisons: usize) -> usize {
    (1 + (comparisons as f64 / 0.05).log2().ceil() as i64).max(2) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{half_width_95, mean, sign_flip_p};
    use rand_distr::{Distribution, Exp1, StandardNormal};

    /// Share of samples of `n` whose interval holds the true mean, and the mean length over that of the t interval.
    fn coverage(n: usize, draw: impl Fn(&mut rand_chacha::ChaCha8Rng) -> f64, truth: f64) -> (f64, f64, f64) {
        let mut rng = Streams::new(n as u64).rng("coverage");
        let (mut t, mut boot, mut length) = (0.0, 0.0, 0.0);
        const TRIALS: usize = 2000;
        for _ in 0..TRIALS {
            let x: Vec<f64> = (0..n).map(|_| draw(&mut rng)).collect();
            let ([lo, hi], half) = (bootstrap_mean_95(&x), half_width_95(&x));
            boot += f64::from(u8::from(lo <= truth && truth <= hi));
            t += f64::from(u8::from((mean(&x) - truth).abs() <= half));
            length += (hi - lo) / (2.0 * half);
        }
        let all = TRIALS as f64;
        (boot / all, t / all, length / all)
    }

    #[test]
    fn intervals_hold_the_mean_as_often_as_they_say() {
        // Binomial 99 % band of 2,000 trials at 95 %: 0.937 to 0.963.
        for n in [5, 10, 20] {
            let (boot, t, length) = coverage(n, |rng| StandardNormal.sample(rng), 0.0);
            assert!((0.937..=0.963).contains(&t), "t, n = {n}: {t}");
            // With 5 values resamples have few distinct means; the interval cannot reach as far as the t interval.
            let least = if n == 5 { 0.90 } else { 0.93 };
            assert!((least..=0.965).contains(&boot), "bootstrap, n = {n}: {boot}");
            assert!((0.8..=1.05).contains(&length), "n = {n}: {length}");
        }
        // Skewed values: neither keeps its level with few of them.
        let (boot, t, _) = coverage(20, |rng| Exp1.sample(rng), 1.0);
        assert!((0.90..=0.95).contains(&boot) && (0.90..=0.95).contains(&t), "{boot} {t}");
        assert!(bootstrap_mean_95(&[1.0]).iter().all(|v| v.is_nan()));
        assert_eq!(bootstrap_mean_95(&[2.0; 6]), [2.0, 2.0]);
        // The same as by sorting all means.
        let x = [0.3, -1.0, 2.5, 0.7, 0.1, 4.0];
        let tail = normal_cdf(-(6.0f64 / 5.0).sqrt() * 2.570581836);
        let means: Vec<f64> =
            resamples(6).chunks_exact(6).map(|r| r.iter().map(|&i| x[i as usize]).sum::<f64>() / 6.0).collect();
        let sorted = [tail, 1.0 - tail].map(|q| crate::stats::quantile(&means, q));
        assert!(bootstrap_mean_95(&x).iter().zip(sorted).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn signed_ranks_match_their_enumeration() {
        for n in 1..=12usize {
            // With ties and a zero.
            let d: Vec<f64> = (0..n).map(|i| ((i * 29 + 5) % 9) as f64 - 3.0).collect();
            let kept: Vec<f64> = d.iter().copied().filter(|v| *v != 0.0).collect();
            let r = ranks(&kept.iter().map(|v| v.abs()).collect::<Vec<_>>());
            let sum = |p: u32| r.iter().enumerate().filter(|(i, _)| p >> i & 1 == 1).map(|v| v.1).sum::<f64>();
            let middle = r.iter().sum::<f64>() / 2.0;
            let own = kept.iter().enumerate().fold(0u32, |p, (i, v)| p | (u32::from(*v > 0.0) << i));
            let away = (sum(own) - middle).abs();
            let count = (0..1u32 << kept.len()).filter(|p| (sum(*p) - middle).abs() >= away - 1e-9).count();
            let want = count as f64 / 2f64.powi(kept.len() as i32);
            assert!((wilcoxon_p(&d) - want).abs() < 1e-12, "{d:?}: {} {want}", wilcoxon_p(&d));
        }
        assert_eq!(wilcoxon_p(&[0.0, 0.0]), 1.0);
        assert!(wilcoxon_p(&[]).is_nan());
        // A published example (Wilcoxon 1945 in scipy's documentation): p = 0.041259765625.
        let corn = [6.0, 8.0, 14.0, 16.0, 23.0, 24.0, 28.0, 29.0, 41.0, -48.0, 49.0, 56.0, 60.0, -67.0, 75.0];
        assert!((wilcoxon_p(&corn) - 0.041259765625).abs() < 1e-12);
        // Above 50 values the approximation stays close to the exact test of the same values.
        let many: Vec<f64> = (0..60).map(|i| ((i * 37) % 61) as f64 - 25.0).collect();
        let mut rng = Streams::new(3).rng("x");
        let r = ranks(&many.iter().map(|v| v.abs()).collect::<Vec<_>>());
        let middle = r.iter().sum::<f64>() / 2.0;
        let own: f64 = r.iter().zip(&many).filter(|v| *v.1 > 0.0).map(|v| v.0).sum();
        let flips = (0..20_000)
            .filter(|_| {
                let s: f64 = r.iter().filter(|_| rng.random_bool(0.5)).sum();
                (s - middle).abs() >= (own - middle).abs() - 1e-9
            })
            .count();
        assert!((wilcoxon_p(&many) - flips as f64 / 20_000.0).abs() < 0.015);
    }

    #[test]
    fn tests_keep_their_level_and_power_is_as_computed() {
        let (n, effect) = (10, 1.0);
        let mut rng = Streams::new(8).rng("level");
        let (mut flips, mut signed, mut power, mut power_t) = (0, 0, 0, 0);
        const TRIALS: usize = 4000;
        for _ in 0..TRIALS {
            let null: Vec<f64> = (0..n).map(|_| StandardNormal.sample(&mut rng)).collect();
            flips += usize::from(sign_flip_p(&null) <= 0.05);
            signed += usize::from(wilcoxon_p(&null) <= 0.05);
            let moved: Vec<f64> = null.iter().map(|v| v + effect).collect();
            power += usize::from(sign_flip_p(&moved) <= 0.05);
            power_t += usize::from(mean(&moved).abs() > half_width_95(&moved));
        }
        let share = |c: usize| c as f64 / TRIALS as f64;
        // Binomial 99 % band: 0.041 to 0.059; exact tests of few values may lie below, never above.
        assert!(share(flips) <= 0.059 && share(flips) >= 0.035, "{}", share(flips));
        assert!(share(signed) <= 0.059 && share(signed) >= 0.035, "{}", share(signed));
        let computed = paired_t_power(effect, n);
        assert!((share(power_t) - computed).abs() < 0.02, "{} {computed}", share(power_t));
        assert!((share(power) - computed).abs() < 0.03, "{} {computed}", share(power));
    }

    #[test]
    fn seeds_needed_are_those_of_the_tables() {
        // Sample sizes of the paired t test at 5 % and 80 %, as G*Power and R's power.t.test give them.
        for (effect, n) in [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10), (2.0, 5)] {
            assert_eq!(seeds_needed(effect * 3.0, 3.0), Some(n), "{effect}");
        }
        assert_eq!(seeds_needed(0.0, 1.0), None);
        assert_eq!(seeds_needed(1.0, 0.0), Some(2));
        assert_eq!(seeds_needed(1e-4, 1.0), None);
        assert_eq!(seeds_needed(f64::NAN, 1.0), None);
        // Least p of 10 seeds is 1/512; 25 comparisons need 0.002.
        assert_eq!((seeds_for_holm(1), seeds_for_holm(25), seeds_for_holm(26)), (6, 10, 11));
    }

    #[test]
    fn mean_ranks_by_hand_and_by_table() {
        // Demsar (2006), table 6: four classifiers on 14 data sets; chi2 = 9.28 with ranks 3.143, 2.000, 2.893, 1.964
        // and, at 5 %, a critical difference of 1.25.
        let values = [
            [0.763, 0.768, 0.771, 0.798],
            [0.599, 0.591, 0.590, 0.569],
            [0.954, 0.971, 0.968, 0.967],
            [0.628, 0.661, 0.654, 0.657],
            [0.882, 0.888, 0.886, 0.898],
            [0.936, 0.931, 0.916, 0.931],
            [0.661, 0.668, 0.609, 0.685],
            [0.583, 0.583, 0.563, 0.625],
            [0.775, 0.838, 0.866, 0.875],
            [1.000, 1.000, 1.000, 1.000],
            [0.940, 0.962, 0.965, 0.962],
            [0.619, 0.666, 0.614, 0.669],
            [0.972, 0.981, 0.9751, 0.975],
            [0.957, 0.978, 0.946, 0.970],
        ]
        .map(|r| r.to_vec());
        let r = mean_ranks(&values, true).unwrap();
        for (got, want) in r.mean.iter().zip([3.143, 2.000, 2.893, 1.964]) {
            assert!((got - want).abs() < 6e-4, "{:?}", r.mean);
        }
        assert!((r.critical_difference - 1.2536).abs() < 1e-3, "{}", r.critical_difference);
        // The book's number has no correction for ties: a block of equal values and three pairs leave 63.5 of 70.
        assert!((r.chi2 * 63.5 / 70.0 - 9.28).abs() < 0.01 && (0.01..0.03).contains(&r.p), "{} {}", r.chi2, r.p);
        assert_eq!(mean_ranks(&values, false).unwrap().mean[0], 5.0 - r.mean[0]);
        assert!(mean_ranks(&values[..1], true).is_none());
        let equal = mean_ranks(&vec![vec![1.0; 3]; 4], true).unwrap();
        assert_eq!((equal.chi2, equal.p), (0.0, 1.0));
        // Tables of the studentised range with infinite degrees of freedom.
        for (k, q) in [(2, 2.7718), (3, 3.3145), (5, 3.8577), (10, 4.4745)] {
            assert!((studentised_range_95(k) - q).abs() < 1e-3, "{k}: {}", studentised_range_95(k));
        }
    }

    #[test]
    fn friedman_keeps_its_level() {
        let mut rng = Streams::new(5).rng("friedman");
        let rejected = (0..300)
            .filter(|_| {
                let values: Vec<Vec<f64>> =
                    (0..6).map(|_| (0..4).map(|_| StandardNormal.sample(&mut rng)).collect()).collect();
                mean_ranks(&values, true).is_some_and(|r| r.p <= 0.05)
            })
            .count();
        // Binomial 99 % band of 300 at 5 %: 6 to 25.
        assert!((6..=25).contains(&rejected), "{rejected}");
    }

    #[test]
    fn cliques_are_the_largest_runs_within_the_difference() {
        assert_eq!(cliques(&[1.0, 1.5, 2.2, 4.0, 4.5], 1.0), [(0, 1), (1, 2), (3, 4)]);
        assert_eq!(cliques(&[1.0, 1.5, 1.9], 1.0), [(0, 2)]);
        assert!(cliques(&[1.0, 3.0], 1.0).is_empty() && cliques(&[], 1.0).is_empty());
    }
}
