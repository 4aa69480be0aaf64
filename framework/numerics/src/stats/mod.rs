//! Correlations, intervals and the normal distribution.

pub mod calls;
pub mod compare;

use serde::{Deserialize, Serialize};
use statrs::distribution::{Continuous, ContinuousCDF, Normal, StudentsT};

/// Mean; NaN of nothing.
pub fn mean(x: &[f64]) -> f64 {
    x.iter().sum::<f64>() / x.len() as f64
}

/// Standard deviation with n - 1; NaN below two values.
pub fn sd(x: &[f64]) -> f64 {
    let m = mean(x);
    (x.iter().map(|v| (v - m).powi(2)).sum::<f64>() / (x.len() as f64 - 1.0)).sqrt()
}

/// Linear interpolation between order statistics (numpy's default); NaN of nothing.
pub fn quantile(x: &[f64], q: f64) -> f64 {
    let mut s = x.to_vec();
    s.sort_by(f64::total_cmp);
    match s.len() {
        0 => f64::NAN,
        n => {
            let at = q.clamp(0.0, 1.0) * (n - 1) as f64;
            let (lo, part) = (at.floor() as usize, at.fract());
            s[lo] + part * (s[(lo + 1).min(n - 1)] - s[lo])
        }
    }
}

/// Half width of the 95 % Student t interval of a mean, t(.975, n-1) s / √n; NaN below two values.
pub fn half_width_95(x: &[f64]) -> f64 {
    match StudentsT::new(0.0, 1.0, x.len() as f64 - 1.0) {
        Ok(t) if x.len() > 1 => t.inverse_cdf(0.975) * sd(x) / (x.len() as f64).sqrt(),
        _ => f64::NAN,
    }
}

/// Holm's step-down correction of p-values over their family; NaN stays NaN and does not count (Holm 1979).
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).filter(|&i| !p[i].is_nan()).collect();
    order.sort_by(|&a, &b| p[a].total_cmp(&p[b]).then(a.cmp(&b)));
    let mut out = vec![f64::NAN; p.len()];
    let mut least: f64 = 0.0;
    for (k, &i) in order.iter().enumerate() {
        least = least.max((p[i] * (order.len() - k) as f64).min(1.0));
        out[i] = least;
    }
    out
}

/// Two-sided p of the exact sign-flip permutation test that paired differences have mean zero: the
/// share of the 2ⁿ sign patterns whose |mean| is at least the observed one. Exact up to n = 20; above,
/// the t test's p. NaN of nothing.
pub fn sign_flip_p(d: &[f64]) -> f64 {
    let n = d.len();
    if n == 0 {
        return f64::NAN;
    }
    let observed = d.iter().sum::<f64>().abs();
    if n > 20 {
        let t = mean(d) / (sd(d) / (n as f64).sqrt());
        return student_two_sided(t, n as f64 - 1.0);
    }
    let slack = 1e-12 * d.iter().map(|v| v.abs()).sum::<f64>();
    let bar = observed - slack;
    if bar <= 0.0 {
        return 1.0;
    }
    // Each pattern is one of the first half's with one of the second's, so two sorted lists of 2^(n/2) sums
    // are enough.
    let sums = |half: &[f64]| {
        let mut sums = vec![0.0];
        for v in half {
            sums = sums.iter().flat_map(|s| [s + v, s - v]).collect();
        }
        sums.sort_by(f64::total_cmp);
        sums
    };
    let (first, second) = d.split_at(n / 2);
    let second = sums(second);
    let extreme: usize = sums(first)
        .iter()
        .map(|s| second.partition_point(|t| s + t <= -bar) + second.len() - second.partition_point(|t| s + t < bar))
        .sum();
    extreme as f64 / 2f64.powi(n as i32)
}

/// Pearson correlation; 0 where one side is constant.
pub fn pearson(a: &[f64], b: &[f64]) -> f64 {
    let (ma, mb) = (mean(a), mean(b));
    let (mut ab, mut aa, mut bb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        ab += (x - ma) * (y - mb);
        aa += (x - ma) * (x - ma);
        bb += (y - mb) * (y - mb);
    }
    if aa > 0.0 && bb > 0.0 { ab / (aa * bb).sqrt() } else { 0.0 }
}

/// Ranks from 1, ties share their mean rank.
pub fn ranks(x: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..x.len()).collect();
    order.sort_by(|&i, &j| x[i].total_cmp(&x[j]));
    let mut out = vec![0.0; x.len()];
    let mut i = 0;
    while i < order.len() {
        let mut j = i;
        while j + 1 < order.len() && x[order[j + 1]] == x[order[i]] {
            j += 1;
        }
        let rank = (i + j) as f64 / 2.0 + 1.0;
        order[i..=j].iter().for_each(|&k| out[k] = rank);
        i = j + 1;
    }
    out
}

/// Spearman correlation: Pearson of the ranks.
pub fn spearman(a: &[f64], b: &[f64]) -> f64 {
    pearson(&ranks(a), &ranks(b))
}

/// Area under the receiver operating curve: the chance that a flagged item scores above one that is not, ties one half.
/// Nothing where all are flagged, or none.
pub fn auroc(scores: &[f64], flags: &[bool]) -> Option<f64> {
    let hits = flags.iter().filter(|f| **f).count() as f64;
    let others = flags.len() as f64 - hits;
    let sum: f64 = ranks(scores).iter().zip(flags).filter(|r| *r.1).map(|r| r.0).sum();
    (hits > 0.0 && others > 0.0).then(|| (sum - hits * (hits + 1.0) / 2.0) / (hits * others))
}

/// Area under precision against recall as a sum of steps (average precision); equal scores are one step. Nothing where
/// none is flagged. A random order gives about the share of flagged items.
pub fn average_precision(scores: &[f64], flags: &[bool]) -> Option<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let hits = flags.iter().filter(|f| **f).count();
    let (mut found, mut seen, mut area) = (0usize, 0usize, 0.0);
    for step in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let new = step.iter().filter(|&&i| flags[i]).count();
        (found, seen) = (found + new, seen + step.len());
        area += new as f64 / hits as f64 * found as f64 / seen as f64;
    }
    (hits > 0).then_some(area)
}

/// Probability that a Student t variable with `df` degrees of freedom is further from 0 than `t`; NaN below df 0.
pub fn student_two_sided(t: f64, df: f64) -> f64 {
    StudentsT::new(0.0, 1.0, df).map_or(f64::NAN, |d| 2.0 * d.cdf(-t.abs()))
}

/// Two-sided p values of `t` by the empirical null: standardised by median and MAD, Student t with (n - 1)/2 degrees
/// of freedom for their error (with normal values its level is right from n = 10 on, by simulation). Valid where most
/// of the values are null. None below 10 values, or where half of them are equal.
pub fn empirical_null_p(t: &[f64]) -> Option<Vec<f64>> {
    let centre = quantile(t, 0.5);
    let away: Vec<f64> = t.iter().map(|v| (v - centre).abs()).collect();
    let scale = 1.4826 * quantile(&away, 0.5);
    let df = 0.5 * (t.len() as f64 - 1.0);
    // A p value is above 0, also where the distribution function has no smaller number.
    let p = |a: &f64| student_two_sided(a / scale, df).max(f64::MIN_POSITIVE);
    (t.len() >= 10 && scale > 0.0 && scale.is_finite()).then(|| away.iter().map(p).collect())
}

/// Against what statistics of many pairs are held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reference {
    /// Each other: the empirical null of [`empirical_null_p`].
    #[default]
    Pairs,
    /// Zero, by their own standard errors.
    Zero,
    /// Nothing: no p values.
    None,
}

impl Reference {
    /// Two-sided p values of statistics with their standard errors and degrees of freedom (NaN where unknown).
    pub fn p_values(self, statistics: &[f64], errors: &[(f64, f64)]) -> Vec<Option<f64>> {
        let known = |e: &(f64, f64)| e.0 > 0.0 && e.0.is_finite();
        let ratio = |(s, e): (&f64, &(f64, f64))| s / e.0;
        match self {
            Reference::Pairs => {
                // Pairs of unequal precision are comparable in units of their errors, if all have one.
                let all = errors.iter().all(known);
                let t: Vec<f64> =
                    statistics.iter().zip(errors).map(|(s, e)| if all { ratio((s, e)) } else { *s }).collect();
                match empirical_null_p(&t) {
                    Some(p) => p.into_iter().map(Some).collect(),
                    None => vec![None; t.len()],
                }
            }
            Reference::Zero => {
                let p = |(s, e)| known(e).then(|| student_two_sided(ratio((s, e)), e.1).max(f64::MIN_POSITIVE));
                statistics.iter().zip(errors).map(p).map(|p| p.filter(|p| p.is_finite())).collect()
            }
            Reference::None => vec![None; statistics.len()],
        }
    }
}

/// Φ, the standard normal distribution function.
pub fn normal_cdf(z: f64) -> f64 {
    Normal::standard().cdf(z)
}

/// φ, the standard normal density.
pub fn normal_pdf(z: f64) -> f64 {
    Normal::standard().pdf(z)
}

/// ln Φ(z), to full relative precision however small Φ is.
pub fn log_normal_cdf(z: f64) -> f64 {
    if z > FAR { normal_cdf(z).ln() } else { log_normal_pdf(z) + tail_fraction(-z, 1).ln() }
}

/// ln E[max(g + z, 0)] = ln(z Φ(z) + φ(z)) of a standard normal g, to full relative precision.
pub fn log_normal_excess(z: f64) -> f64 {
    if z > FAR {
        return (z * normal_cdf(z) + normal_pdf(z)).ln();
    }
    // 1 - x R(x) = R(x) / (x + 2 / (x + ...)) with R Mills' ratio, without cancellation.
    log_normal_pdf(z) + tail_fraction(-z, 1).ln() + tail_fraction(-z, 2).ln()
}

/// ln(eᵃ + eᵇ).
pub fn sum_of_logs(a: f64, b: f64) -> f64 {
    let (low, high) = (a.min(b), a.max(b));
    if high == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// Below this, logarithms of the tail come from its continued fraction.
const FAR: f64 = -3.0;

fn log_normal_pdf(z: f64) -> f64 {
    -0.5 * (z * z + std::f64::consts::TAU.ln())
}

/// 1 / (x + first / (x + (first + 1) / (x + ...))), from which first = 1 makes Mills' ratio (1 - Φ(x)) / φ(x)
/// (Laplace).
fn tail_fraction(x: f64, first: usize) -> f64 {
    const TERMS: usize = 200;
    1.0 / (first..first + TERMS).rev().fold(x, |rest, k| x + k as f64 / rest)
}

/// Φ⁻¹.
pub fn normal_quantile(p: f64) -> f64 {
    Normal::standard().inverse_cdf(p)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empirical_null_keeps_its_level_and_finds_outliers() {
        use rand_distr::{Distribution, StandardNormal};
        let mut rng = crate::streams::Streams::new(1).rng("x");
        let (mut rejected, mut planted) = (0, 0);
        for _ in 0..500 {
            let mut t: Vec<f64> = (0..20).map(|_| StandardNormal.sample(&mut rng)).collect();
            rejected += empirical_null_p(&t).unwrap().iter().filter(|p| **p <= 0.05).count();
            t.extend([12.0, -14.0]);
            planted += empirical_null_p(&t).unwrap()[20..].iter().filter(|p| **p <= 0.01).count();
        }
        let level = rejected as f64 / 10_000.0;
        assert!((level - 0.05).abs() < 0.012, "{level}");
        assert!(planted > 980, "{planted}");
        assert!(empirical_null_p(&[1.0; 9]).is_none() && empirical_null_p(&[1.0; 20]).is_none());
        assert!((student_two_sided(2.228, 10.0) - 0.05).abs() < 1e-4);
    }

    #[test]
    fn closed_forms() {
        assert_eq!(ranks(&[3.0, 1.0, 3.0, 2.0]), [3.5, 1.0, 3.5, 2.0]);
        assert!((pearson(&[1.0, 2.0, 3.0], &[2.0, 4.0, 6.5]) - 0.9979487).abs() < 1e-6);
        assert_eq!(pearson(&[1.0, 1.0], &[2.0, 4.0]), 0.0);
        assert_eq!(spearman(&[1.0, 2.0, 3.0], &[1.0, 8.0, 9.0]), 1.0);
        assert_eq!(quantile(&[4.0, 1.0, 3.0, 2.0], 0.5), 2.5);
        // 3 beats 2 and 1; one of the 2s ties with the other and beats 1: (2 + 1.5) of 4.
        let (scores, flags) = ([2.0, 3.0, 1.0, 2.0], [true, true, false, false]);
        assert_eq!(auroc(&scores, &flags), Some(3.5 / 4.0));
        // 3 alone is right; the step of both 2s has two right of three.
        assert!((average_precision(&scores, &flags).unwrap() - (0.5 + 0.5 * 2.0 / 3.0)).abs() < 1e-15);
        assert_eq!((auroc(&scores, &[false; 4]), average_precision(&scores, &[false; 4])), (None, None));
        assert!((normal_cdf(1.959963985) - 0.975).abs() < 1e-9);
        // t(.975, 4) = 2.776445
        assert!((half_width_95(&[1.0, 2.0, 3.0, 4.0, 5.0]) - 2.776445 * 2.5f64.sqrt() / 5f64.sqrt()).abs() < 1e-5);
        assert!(half_width_95(&[1.0]).is_nan());
    }

    #[test]
    fn logarithms_of_the_tail() {
        // (z, ln Φ(z), ln(zΦ(z) + φ(z))), computed with 60 digits. The error function has about 11.
        for (z, cdf, excess) in LOG_TAILS {
            assert!((log_normal_cdf(z) / cdf - 1.0).abs() < 1e-9, "{z}: {} {cdf}", log_normal_cdf(z));
            assert!((log_normal_excess(z) / excess - 1.0).abs() < 1e-9, "{z}: {} {excess}", log_normal_excess(z));
        }
        let (a, b) = (log_normal_excess(FAR + 1e-9), log_normal_excess(FAR - 1e-9));
        assert!((a - b).abs() < 1e-7);
    }

    const LOG_TAILS: [(f64, f64, f64); 6] = [
        (1.5, -0.06914345561223398, 0.4248145567622593),
        (-0.5, -1.175911761593619, -1.62051626438732),
        (-2.5, -5.08164827727869, -6.212541645443513),
        (-4.0, -10.36010148652729, -11.84906157755066),
        (-12.0, -75.4106730015688, -77.90910054500735),
        (-45.0, -1017.226094241952, -1021.033742441914),
    ];

    #[test]
    fn sign_flips_by_hand() {
        // Of the 8 patterns of {1, 2, 3} only all-plus and all-minus reach |sum| = 6.
        let h = holm(&[0.01, f64::NAN, 0.04, 0.03, 0.005]);
        assert!(h[1].is_nan());
        let want = [0.03, 0.06, 0.06, 0.02];
        assert!([h[0], h[2], h[3], h[4]].iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-12), "{h:?}");
        assert_eq!(sign_flip_p(&[1.0, 2.0, 3.0]), 0.25);
        assert_eq!(sign_flip_p(&[1.0, -1.0]), 1.0);
        assert_eq!(sign_flip_p(&[0.0, 0.0, 0.0]), 1.0);
        assert!((sign_flip_p(&[1.0; 10]) - 2.0 / 1024.0).abs() < 1e-15);
    }

    #[test]
    fn sign_flips_match_their_enumeration() {
        for n in 1..=12 {
            let d: Vec<f64> = (0..n).map(|i| ((i * 37 + 11) % 23) as f64 / 10.0 - 0.7).collect();
            let observed = d.iter().sum::<f64>().abs();
            let flipped =
                |p: u32| d.iter().enumerate().map(|(i, v)| if p >> i & 1 == 1 { -v } else { *v }).sum::<f64>().abs();
            let extreme = (0..1u32 << n).filter(|p| flipped(*p) >= observed - 1e-9).count();
            assert_eq!(sign_flip_p(&d), extreme as f64 / (1u32 << n) as f64, "{d:?}");
        }
    }
}
