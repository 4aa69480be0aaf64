//! Are two sets of samples alike? The squared discrepancy and its permutation test.

use super::kernel::MeanKernel;
use super::points::Points;
use super::sums::{block, own, tiles};
use ndarray::Array2;
use numerics::Real;
use numerics::special::Exp;
use numerics::streams::Streams;
use rand::seq::SliceRandom;
use rayon::prelude::*;

/// Resamples whose factors are held at once.
const DRAWS: usize = 256;

/// The unbiased squared maximum mean discrepancy of two sets of at least two samples each; it may be negative.
/// O((n + m)² d), half of it saved within the sets.
pub fn mmd2<T: Real + Exp>(kernel: MeanKernel, x: &Points<T>, y: &Points<T>) -> f64 {
    let none = |p: &Points<T>| Array2::zeros((p.len(), 0));
    let within = |p: &Points<T>| {
        let (n, own) = (p.len() as f64, own(kernel, p, None, &none(p)));
        (own.sum - own.same.iter().sum::<f64>()) / (n * (n - 1.0))
    };
    let across = block(kernel, x, y, &none(x), &none(y)).sum / (x.len() as f64 * y.len() as f64);
    within(x) + within(y) - 2.0 * across
}

/// Two sets of samples, pooled, for [`two_sample`].
pub struct Pooled<'a, T> {
    /// All samples.
    pub points: &'a Points<T>,
    /// The weight of each, the same within a unit.
    pub weight: &'a [f64],
    /// The unit of each, numbered from 0 without gaps: units change sides as a whole.
    pub unit: &'a [usize],
    /// The units of the first set.
    pub first: &'a [bool],
}

/// The answer of [`two_sample`].
#[derive(Clone, Debug, PartialEq)]
pub struct TwoSample {
    /// Weighted squared maximum mean discrepancy without the pairs of samples of one unit.
    pub mmd2: f64,
    /// (1 + permutations that reach it) / (1 + permutations), ties counted; absent without permutations.
    pub p: Option<f64>,
    /// Standard deviation over the permutations; NaN below two of them.
    pub sd: f64,
}

/// Squared maximum mean discrepancy of two sets and its permutation p value: units keep their number on each side.
/// The kernel values are computed once for 256 permutations, which are one product with them. Each side needs two
/// units. O(N² (d + 2 permutations)) for N samples in all.
pub fn two_sample<T: Real + Exp>(
    kernel: MeanKernel,
    pooled: &Pooled<T>,
    permutations: usize,
    streams: &Streams,
) -> TwoSample {
    let Pooled { points, weight, unit, first } = pooled;
    let n = points.len();
    // What a unit weighs, and what it shares with itself.
    let mut mass = vec![0.0; first.len()];
    unit.iter().zip(*weight).for_each(|(u, w)| mass[*u] += w);
    let unit_weight: Vec<f64> = {
        let mut of = vec![0.0; first.len()];
        unit.iter().zip(*weight).for_each(|(u, w)| of[*u] = *w);
        of
    };
    let every_sample = unit.iter().enumerate().all(|(i, u)| i == *u);
    let units = (!every_sample).then_some(*unit);
    // Number 0 is the sets as they are.
    let side = |draw: usize| -> Vec<bool> {
        let mut side = first.to_vec();
        if draw > 0 {
            side.shuffle(&mut streams.index(draw).rng("permutation"));
        }
        side
    };
    let mut values = Vec::with_capacity(permutations + 1);
    let mut slack = 0.0;
    for (from, to) in tiles(0, permutations + 1, DRAWS) {
        let draws = to - from;
        let sides: Vec<Vec<bool>> = (from..to).into_par_iter().map(side).collect();
        // Weights of the first set, of the second, and of all.
        let mut factors = Array2::<T>::zeros((n, 2 * draws + 1));
        factors.outer_iter_mut().into_par_iter().enumerate().for_each(|(i, mut row)| {
            let w = T::of(weight[i]);
            for (b, side) in sides.iter().enumerate() {
                row[if side[unit[i]] { b } else { draws + b }] = w;
            }
            row[2 * draws] = w;
        });
        let sums = own(kernel, points, units, &factors);
        let all = sums.forms[2 * draws];
        slack = 1e-6 * sums.same.iter().sum::<f64>().abs() / (n * n) as f64;
        for (b, side) in sides.iter().enumerate() {
            // Of both sets: weight, its square over units, and what units share with themselves.
            let mut of = [[0.0; 3]; 2];
            for (u, s) in side.iter().enumerate() {
                let own = &mut of[usize::from(!s)];
                own[0] += mass[u];
                own[1] += mass[u] * mass[u];
                own[2] += unit_weight[u] * unit_weight[u] * sums.same[u];
            }
            let forms = [sums.forms[b], sums.forms[draws + b]];
            let within = |k: usize| (forms[k] - of[k][2]) / (of[k][0] * of[k][0] - of[k][1]);
            values.push(within(0) + within(1) - (all - forms[0] - forms[1]) / (of[0][0] * of[1][0]));
        }
    }
    let observed = values[0];
    // Rounding must not break ties.
    let reached = values[1..].iter().filter(|v| **v >= observed - slack).count();
    TwoSample {
        mmd2: observed,
        p: (permutations > 0).then(|| (1 + reached) as f64 / (1 + permutations) as f64),
        sd: numerics::stats::sd(&values[1..]),
    }
}
