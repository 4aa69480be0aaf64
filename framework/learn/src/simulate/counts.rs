//! Log-normalised counts of single cells: their moments, and fast samples.
//!
//! A gene holds a share π of a cell's counts. The cell has l counts in all, ln l ~ N(ln median, sd²), of which
//! k ~ NB(mean l π, variance m + α m²) are the gene's, and the value is x = ln(1 + T k / l). With α and the law of l
//! fixed, the mean and the variance of x are functions of ln π alone: [`CountLaw`] tabulates them by the sum over k
//! and the trapezoid rule over ln l, so that expectations are exact to about 1e-6. [`CountSampler`] draws cells by
//! inversion from P(k = 0), with single-precision exponentials of whole rows and nothing allocated.

use numerics::special::exp_f32_cephes as exp;
use numerics::streams::StreamRng;
use rand::Rng;
use rand_distr::{Distribution, Gamma, Poisson};
use rayon::prelude::*;
use statrs::function::gamma::ln_gamma;

/// Least and largest share of a cell's counts that a table reaches.
pub const SHARES: (f64, f64) = (1e-9, 0.02);

/// Distance of tabulated points in ln π.
const STEP: f64 = 0.1;
/// Nodes of the trapezoid rule for a normal variable: its error at this spacing is below 1e-14.
const NODE: f64 = 0.75;

/// Moments of a gene's value in a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moments {
    /// Mean.
    pub mean: f64,
    /// Variance between cells.
    pub variance: f64,
    /// Logarithm of the probability that no count is seen.
    pub ln_zero: f64,
}

/// Moments of the values of genes of one dispersion, by the logarithm of their share.
#[derive(Clone, Debug)]
pub struct CountLaw {
    low: f64,
    table: Vec<[f64; 3]>,
}

impl CountLaw {
    /// For dispersion `alpha`, cells of `library` counts (median; `library_sd` of the logarithm), a further normal
    /// `spread` of ln π between cells, and T = `target`. About 20 ms.
    pub fn new(alpha: f64, library: f64, library_sd: f64, spread: f64, target: f64) -> Self {
        // The spread reaches beyond the shares that are asked for.
        let margin = 6.0 * spread + 2.0 * STEP;
        let low = SHARES.0.ln() - margin;
        let n = ((SHARES.1.ln() + margin - low) / STEP).ceil() as usize + 1;
        let nodes = normal_nodes();
        // Mean, mean square and P(0) at each point.
        let raw: Vec<[f64; 3]> = (0..n)
            .into_par_iter()
            .map(|i| {
                let share = (low + STEP * i as f64).exp();
                let mut sum = [0.0; 3];
                for &(z, w) in &nodes {
                    let l = library * (library_sd * z).exp();
                    let of_l = given_library(l * share, alpha, target / l);
                    sum.iter_mut().zip(of_l).for_each(|(s, v)| *s += w * v);
                }
                sum
            })
            .collect();
        let spread_out = |i: usize| {
            if spread == 0.0 {
                return raw[i];
            }
            let mut sum = [0.0; 3];
            for &(z, w) in &nodes {
                let at = interpolate(&raw, i as f64 + spread * z / STEP);
                sum.iter_mut().zip(at).for_each(|(s, v)| *s += w * v);
            }
            sum
        };
        let table = (0..n)
            .map(|i| {
                let [mean, square, zero] = spread_out(i);
                [mean, (square - mean * mean).max(0.0), zero.max(1e-300).ln()]
            })
            .collect();
        Self { low, table }
    }

    /// At a logarithm of the share within [`SHARES`]; beyond, at the nearest.
    pub fn moments(&self, ln_share: f64) -> Moments {
        let at = ln_share.clamp(SHARES.0.ln(), SHARES.1.ln());
        let [mean, variance, ln_zero] = interpolate(&self.table, (at - self.low) / STEP);
        Moments { mean, variance: variance.max(0.0), ln_zero: ln_zero.min(0.0) }
    }
}

/// Standard normal nodes and weights.
fn normal_nodes() -> Vec<(f64, f64)> {
    let raw: Vec<(f64, f64)> = (-8..=8).map(|j| NODE * f64::from(j)).map(|z| (z, (-0.5 * z * z).exp())).collect();
    let total: f64 = raw.iter().map(|n| n.1).sum();
    raw.into_iter().map(|(z, w)| (z, w / total)).collect()
}

/// Cubic through the four nearest points.
fn interpolate(table: &[[f64; 3]], at: f64) -> [f64; 3] {
    let i = (at.floor() as isize).clamp(1, table.len() as isize - 3) as usize;
    let t = (at - i as f64).clamp(-1.0, 2.0);
    let w = [
        -t * (t - 1.0) * (t - 2.0) / 6.0,
        (t + 1.0) * (t - 1.0) * (t - 2.0) / 2.0,
        -(t + 1.0) * t * (t - 2.0) / 2.0,
        (t + 1.0) * t * (t - 1.0) / 6.0,
    ];
    let p = &table[i - 1..i + 3];
    std::array::from_fn(|c| w[0] * p[0][c] + w[1] * p[1][c] + w[2] * p[2][c] + w[3] * p[3][c])
}

/// E x, E x² and P(k = 0) of x = ln(1 + c k), k ~ NB(mean m, dispersion α), by summation.
fn given_library(m: f64, alpha: f64, c: f64) -> [f64; 3] {
    let r = 1.0 / alpha;
    let (ln_q, ln_rest) = ((alpha * m).ln() - (alpha * m).ln_1p(), -(alpha * m).ln_1p());
    let zero = (r * ln_rest).exp();
    // Far below the mean nothing is left to sum.
    let sd = (m + alpha * m * m).sqrt();
    let first = (m - 12.0 * sd).max(0.0).floor();
    let mut k = first;
    let mut p = (ln_gamma(k + r) - ln_gamma(k + 1.0) - ln_gamma(r) + k * ln_q + r * ln_rest).exp();
    let q = ln_q.exp();
    let (mut total, mut mean, mut square) = (0.0, 0.0, 0.0);
    while k <= m || p * k > 1e-13 {
        let x = (c * k).ln_1p();
        total += p;
        mean += p * x;
        square += p * x * x;
        p *= q * (k + r) / (k + 1.0);
        k += 1.0;
    }
    [mean / total, square / total, zero]
}

/// Draws the log-normalised values of cells. Holds its work space, so that a cell allocates nothing.
#[derive(Clone, Debug)]
pub struct CountSampler {
    alpha: Vec<f32>,
    target: f64,
    words: Vec<u32>,
    mean: Vec<f32>,
    none: Vec<f32>,
    count: Vec<f32>,
}

/// Above this mean, or below this probability of no count, inversion from zero is slow or inexact.
const INVERTED: (f32, f32) = (48.0, 1e-30);
/// Counts below this are found for whole rows at once.
const FEW: u8 = 8;

impl CountSampler {
    /// For genes of the given dispersions.
    pub fn new(alpha: &[f64], target: f64) -> Self {
        let (n, empty) = (alpha.len(), vec![0.0; alpha.len()]);
        let alpha = alpha.iter().map(|a| *a as f32).collect();
        Self { alpha, target, words: vec![0; n], mean: empty.clone(), none: empty.clone(), count: empty }
    }

    /// Values of one cell of `library` counts, from the logarithms of its genes' shares.
    pub fn cell(&mut self, ln_share: &[f32], library: f64, rng: &mut StreamRng, out: &mut [f32]) {
        let n = self.alpha.len();
        assert!(ln_share.len() == n && out.len() == n, "one share and one value a gene");
        self.words.iter_mut().for_each(|w| *w = rng.next_u32());
        few(self, ln_share, library.ln() as f32);
        let c = self.target / library;
        let small: [f32; 32] = std::array::from_fn(|k| (c * k as f64).ln_1p() as f32);
        for (g, x) in out.iter_mut().enumerate() {
            let mut k = f64::from(self.count[g]);
            if k < 0.0 {
                let (m, none, alpha) = (self.mean[g], self.none[g], self.alpha[g]);
                k = if m <= INVERTED.0 && none >= INVERTED.1 {
                    invert(m, none, alpha, uniform(self.words[g]))
                } else {
                    mixture(f64::from(m), f64::from(alpha), rng)
                };
            }
            *x = if k < 32.0 { small[k as usize] } else { (c * k).ln_1p() as f32 };
        }
    }
}

wide! {
    /// Means, probabilities of no count, and counts below [`FEW`]; -1 for those that are larger or need more care.
    fn few(s: &mut CountSampler, ln_share: &[f32], ln_library: f32) {
        let rows = s.mean.iter_mut().zip(&mut s.none).zip(&mut s.count).zip(&s.alpha).zip(&s.words).zip(ln_share);
        for (((((mean, none), count), alpha), word), share) in rows {
            let m = exp(share + ln_library);
            let (a, r) = (alpha * m, 1.0 / alpha);
            let odds = a / (1.0 + a);
            let zero = exp(-ln(1.0 + a) * r);
            (*mean, *none) = (m, zero);
            let u = uniform(*word);
            let (mut p, mut sum, mut k) = (zero, zero, 0.0f32);
            for j in 0..FEW {
                let j = f32::from(j);
                k += if u > sum { 1.0 } else { 0.0 };
                p *= odds * (j + r) * (1.0 / (j + 1.0));
                sum += p;
            }
            let found = k < f32::from(FEW) && m <= INVERTED.0 && zero >= INVERTED.1;
            *count = if found { k } else { -1.0 };
        }
    }
}

/// Within (0, 1).
#[inline(always)]
fn uniform(word: u32) -> f32 {
    ((word >> 8) as i32 as f32 + 0.5) * (1.0 / 16_777_216.0)
}

/// Adds up the probabilities of 0, 1, 2, ... until they pass a uniform number.
fn invert(m: f32, none: f32, alpha: f32, mut u: f32) -> f64 {
    let (odds, r) = (alpha * m / (1.0 + alpha * m), 1.0 / alpha);
    let (mut p, mut k) = (none, 0.0f32);
    // Past the mean, what rounding leaves of u must not run into the far tail.
    while u > p && (p > 1e-9 || k < m) {
        u -= p;
        p *= odds * (k + r) / (k + 1.0);
        k += 1.0;
    }
    f64::from(k)
}

/// A Poisson number whose mean is gamma distributed: the same law, for large means.
#[cold]
fn mixture(m: f64, alpha: f64, rng: &mut StreamRng) -> f64 {
    let mean = Gamma::new(1.0 / alpha, alpha * m).map_or(m, |g| g.sample(rng));
    Poisson::new(mean).map_or(0.0, |p| p.sample(rng))
}

/// ln x of x >= 1 to 2e-7, in a form that compilers turn into vector instructions.
#[inline(always)]
fn ln(x: f32) -> f32 {
    const HALF: u32 = 0x3f35_04f3; // √½
    let bits = x.to_bits().wrapping_sub(HALF);
    let e = (bits as i32 >> 23) as f32;
    let m = f32::from_bits((bits & 0x007f_ffff) + HALF);
    let s = (m - 1.0) / (m + 1.0);
    let z = s * s;
    e * std::f32::consts::LN_2 + 2.0 * s * (1.0 + z * (1.0 / 3.0 + z * (0.2 + z * (1.0 / 7.0 + z / 9.0))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use numerics::streams::Streams;
    use rand_distr::StandardNormal;

    #[test]
    fn single_precision_functions_are_close() {
        for i in 0..20_000 {
            let x = -60.0 + i as f32 * 0.004;
            assert!((f64::from(exp(x)) / f64::from(x).exp() - 1.0).abs() < 1e-6, "exp {x}");
            let y = 1.0 + (i as f32 * 0.001).powi(3);
            assert!((f64::from(ln(y)) - f64::from(y).ln()).abs() < 2e-7 * f64::from(y).ln().max(1.0), "ln {y}");
        }
    }

    #[test]
    fn counts_follow_the_negative_binomial() {
        // Each mean and dispersion against the exact probabilities, through the values that a cell reports.
        let target = 1e4;
        let library = 1e4;
        for (m, alpha) in
            [(0.05f64, 0.3f64), (0.8, 0.05), (0.8, 2.0), (6.0, 0.3), (40.0, 0.1), (30.0, 1.5), (90.0, 0.2)]
        {
            const GENES: usize = 500;
            const CELLS: usize = 400;
            let mut sampler = CountSampler::new(&[alpha; GENES], target);
            let share = [(m / library).ln() as f32; GENES];
            let mut rng = Streams::new(5).rng("counts");
            let mut out = vec![0.0; GENES];
            let mut seen = std::collections::BTreeMap::new();
            for _ in 0..CELLS {
                sampler.cell(&share, library, &mut rng, &mut out);
                out.iter().for_each(|x| *seen.entry(f64::from(*x).exp_m1().round() as u64).or_insert(0u32) += 1);
            }
            // Bins of an expected 50 or more.
            let (r, q) = (1.0 / alpha, alpha * m / (1.0 + alpha * m));
            let (mut p, mut k) = ((1.0 + alpha * m).powf(-r), 0u64);
            let n = (GENES * CELLS) as f64;
            let (mut chi, mut bins, mut left) = (0.0, 0, n);
            let (mut expected, mut observed, mut counted) = (0.0, 0.0, 0.0);
            while left > 50.0 {
                expected += n * p;
                observed += f64::from(*seen.get(&k).unwrap_or(&0));
                if expected >= 50.0 {
                    chi += (observed - expected).powi(2) / expected;
                    bins += 1;
                    left -= expected;
                    counted += observed;
                    (expected, observed) = (0.0, 0.0);
                }
                p *= q * (k as f64 + r) / (k as f64 + 1.0);
                k += 1;
            }
            let rest = n - counted;
            chi += (rest - left).powi(2) / left.max(10.0);
            let degrees = f64::from(bins);
            println!("mean {m}, dispersion {alpha}: chi² {chi:.1} of {degrees} degrees");
            assert!(
                chi < degrees + 5.0 * (2.0 * degrees).sqrt() + 5.0,
                "mean {m}, dispersion {alpha}: {chi} of {degrees}"
            );
        }
    }

    #[test]
    fn tabulated_moments_are_those_of_the_samples() {
        let (library, sd, spread, target) = (8000.0, 0.4, 0.3, 1e4);
        for alpha in [0.05, 0.6] {
            let law = CountLaw::new(alpha, library, sd, spread, target);
            for ln_share in [-13.0, -10.5, -8.7, -6.4, -4.2] {
                const GENES: usize = 200;
                const CELLS: usize = 4000;
                let mut sampler = CountSampler::new(&[alpha; GENES], target);
                let mut rng = Streams::new(6).rng("moments");
                let (mut out, mut share) = (vec![0.0; GENES], vec![0.0f32; GENES]);
                let (mut means, mut squares, mut zeros) = (vec![], vec![], 0);
                for _ in 0..CELLS {
                    let z: f64 = StandardNormal.sample(&mut rng);
                    share.iter_mut().for_each(|s| {
                        let e: f64 = StandardNormal.sample(&mut rng);
                        *s = (ln_share + spread * e) as f32;
                    });
                    sampler.cell(&share, library * (sd * z).exp(), &mut rng, &mut out);
                    means.push(out.iter().map(|x| f64::from(*x)).sum::<f64>() / GENES as f64);
                    squares.push(out.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / GENES as f64);
                    zeros += out.iter().filter(|x| **x == 0.0).count();
                }
                let want = law.moments(ln_share);
                let stats = numerics::stats::sd;
                let error = |v: &[f64]| 4.5 * stats(v) / (CELLS as f64).sqrt() + 1e-6;
                let mean = numerics::stats::mean(&means);
                assert!((mean - want.mean).abs() < error(&means), "α {alpha}, {ln_share}: {mean} {want:?}");
                let square = numerics::stats::mean(&squares);
                let second = want.variance + want.mean * want.mean;
                assert!((square - second).abs() < error(&squares), "α {alpha}, {ln_share}: {square} {second}");
                let zero = zeros as f64 / (GENES * CELLS) as f64;
                assert!((zero - want.ln_zero.exp()).abs() < 0.004, "α {alpha}, {ln_share}: {zero} {want:?}");
            }
        }
    }

    #[test]
    fn the_table_is_fine_enough() {
        // Points between those tabulated against the sum itself.
        let law = CountLaw::new(0.3, 1e4, 0.35, 0.0, 1e4);
        for ln_share in [-14.23, -9.07, -8.55, -6.949, -4.51] {
            let mut want = [0.0; 3];
            for (z, w) in normal_nodes() {
                let l = 1e4 * (0.35 * z).exp();
                let v = given_library(l * f64::exp(ln_share), 0.3, 1e4 / l);
                want.iter_mut().zip(v).for_each(|(s, v)| *s += w * v);
            }
            let got = law.moments(ln_share);
            assert!((got.mean - want[0]).abs() < 3e-6, "{ln_share}: {got:?} {want:?}");
            assert!((got.variance - (want[1] - want[0] * want[0])).abs() < 1e-5, "{ln_share}: {got:?} {want:?}");
            assert!((got.ln_zero.exp() - want[2]).abs() < 1e-5, "{ln_share}: {got:?} {want:?}");
        }
    }
}
