//! Differences paired by seed.

use numerics::stats::compare::{bootstrap_mean_95, seeds_needed, wilcoxon_p};
use numerics::stats::{half_width_95, mean, sd, sign_flip_p};

/// A mean difference over the seeds that both arms finished.
#[derive(Clone, Copy, Debug)]
pub struct Paired {
    /// Mean; NaN without pairs.
    pub mean: f64,
    /// Lower end of the 95 % t interval; NaN below two pairs.
    pub lo: f64,
    /// Upper end.
    pub hi: f64,
    /// 95 % bootstrap interval ([`bootstrap_mean_95`]); NaN below two pairs.
    pub boot: [f64; 2],
    /// Number of pairs.
    pub n: usize,
    /// Two-sided p of the exact sign-flip test; NaN below two pairs.
    pub p: f64,
    /// Two-sided p of Wilcoxon's signed-rank test; NaN below two pairs.
    pub p_wilcoxon: f64,
    /// `p` after Holm's correction over all arms compared by the metric; NaN where it was not asked for.
    pub p_holm: f64,
    /// Seeds with which a t test would find a difference of this mean and spread with 80 % probability; nothing below two
    /// pairs, or where more than 10,000 would be needed.
    pub seeds_needed: Option<usize>,
}

/// The differences between an arm and its reference over the seeds that both have.
pub fn paired(arm: &[(u64, f64)], reference: &[(u64, f64)]) -> Paired {
    let d: Vec<f64> =
        arm.iter().filter_map(|(seed, v)| reference.iter().find(|(s, _)| s == seed).map(|(_, r)| v - r)).collect();
    let (m, h) = (mean(&d), half_width_95(&d));
    let p = match d.len() {
        0 | 1 => f64::NAN,
        // The t test, taken above 20 pairs, has no answer for differences that are all zero.
        _ if d.iter().all(|v| *v == 0.0) => 1.0,
        _ => sign_flip_p(&d),
    };
    let several = d.len() > 1;
    Paired {
        mean: m,
        lo: m - h,
        hi: m + h,
        boot: bootstrap_mean_95(&d),
        n: d.len(),
        p,
        p_wilcoxon: if several { wilcoxon_p(&d) } else { f64::NAN },
        p_holm: f64::NAN,
        seeds_needed: if several { seeds_needed(m, sd(&d)) } else { None },
    }
}
