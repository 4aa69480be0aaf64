//! How large a kernel is over a scope: its diagonal, its extremes, its norm.

use crate::error::{Error, Result};
use crate::gram::features::Features;
use crate::gram::matrix::Gram;
use crate::linalg::matmul_t;
use ndarray::{ArrayView2, s};
use rayon::prelude::*;
use std::ops::Range;

/// Normalising constants must be positive numbers.
pub(super) fn positive(v: f64, what: &str) -> Result<f64> {
    if v.is_finite() && v > 0.0 {
        return Ok(v);
    }
    Err(Error::Breakdown(format!(
        "a kernel whose {what} is {v} cannot be normalised by it: it tells no perturbations apart; leave its source out, \
         or set normalise = \"none\""
    )))
}

pub(super) fn largest(v: &[f64]) -> f64 {
    v.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b))
}

pub(super) fn mean(v: &[f64]) -> f64 {
    v.iter().sum::<f64>() / v.len() as f64
}

/// The diagonal, finite.
pub(super) fn diagonal(gram: &Gram, scope: &[usize]) -> Result<Vec<f64>> {
    let d = gram.diagonal(scope);
    match d.iter().position(|v| !v.is_finite()) {
        None => Ok(d),
        Some(i) => Err(Error::Breakdown(format!(
            "the kernel of perturbation {} with itself is {}; check the features for huge or missing values",
            scope[i], d[i]
        ))),
    }
}

/// Rows and columns of a tile.
const ROWS: usize = 256;
const COLUMNS: usize = 2048;

/// Visits the tiles of a matrix (its lower triangle with the diagonal, or all of it), a band of rows after another
/// on several threads; what the bands found, in order. A tile of the triangle may reach beyond the diagonal.
pub(super) fn bands<T: Default + Send>(
    g: &Gram,
    lower: bool,
    visit: impl Fn(&mut T, Range<usize>, Range<usize>, ArrayView2<f64>) + Sync,
) -> Vec<T> {
    let n = g.n();
    let held = match g.features() {
        Some(Features::F64(x)) => Some(x.clone()),
        _ => None,
    };
    (0..n.div_ceil(ROWS))
        .into_par_iter()
        .map(|t| {
            let rows = t * ROWS..n.min((t + 1) * ROWS);
            let end = if lower { rows.end } else { n };
            let mut found = T::default();
            for start in (0..end).step_by(COLUMNS) {
                let columns = start..end.min(start + COLUMNS);
                let tile = match &held {
                    Some(x) => matmul_t(x.slice(s![rows.clone(), ..]), x.slice(s![columns.clone(), ..])),
                    None => g.block(&rows.clone().collect::<Vec<_>>(), &columns.clone().collect::<Vec<_>>()),
                };
                visit(&mut found, rows.clone(), columns, tile.view());
            }
            found
        })
        .collect()
}

/// Smallest and largest of some numbers, with the sum to tell whether all are finite. Eight lanes at a time.
pub(super) fn extremes_of(v: &[f64]) -> (f64, f64, f64) {
    let (mut low, mut high, mut sum) = ([f64::INFINITY; 8], [f64::NEG_INFINITY; 8], [0.0; 8]);
    let eights = v.chunks_exact(8);
    let rest = eights.remainder();
    for c in eights {
        for i in 0..8 {
            low[i] = if c[i] < low[i] { c[i] } else { low[i] };
            high[i] = if c[i] > high[i] { c[i] } else { high[i] };
            sum[i] += c[i];
        }
    }
    let fold = |a: (f64, f64, f64), l: f64, h: f64, s: f64| (a.0.min(l), a.1.max(h), a.2 + s);
    let start = (f64::INFINITY, f64::NEG_INFINITY, 0.0);
    let most = (0..8).fold(start, |a, i| fold(a, low[i], high[i], sum[i]));
    rest.iter().fold(most, |a, v| fold(a, *v, *v, *v))
}

/// Smallest and largest entry.
pub(super) fn extremes(g: &Gram) -> Result<(f64, f64)> {
    #[derive(Clone, Copy)]
    struct Found(f64, f64, f64);
    impl Default for Found {
        fn default() -> Self {
            Found(f64::INFINITY, f64::NEG_INFINITY, 0.0)
        }
    }
    let found = bands(g, true, |f: &mut Found, _, _, tile| {
        for row in tile.outer_iter() {
            let (low, high, sum) = row.as_slice().map_or_else(|| extremes_of(&row.to_vec()), extremes_of);
            *f = Found(f.0.min(low), f.1.max(high), f.2 + sum);
        }
    });
    finite(found.iter().map(|f| f.2).sum())?;
    Ok(found.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |a, f| (a.0.min(f.0), a.1.max(f.1))))
}

/// A sum over all entries, which is a number only if they are.
pub(super) fn finite(sum: f64) -> Result<f64> {
    if sum.is_finite() {
        return Ok(sum);
    }
    Err(Error::Breakdown(
        "a kernel holds entries that are not finite; check the features for huge or missing values".into(),
    ))
}

/// ‖K‖_F.
pub(super) fn frobenius(g: &Gram) -> Result<f64> {
    if let Some(x) = g.features().filter(|x| x.d() < x.n()) {
        return Ok(finite(x.covariance().iter().map(|v| v * v).sum())?.sqrt());
    }
    let parts = bands(g, true, |sum: &mut f64, rows, columns, tile| {
        for (i, row) in rows.zip(tile.outer_iter()) {
            for (j, v) in columns.clone().zip(row).filter(|(j, _)| *j <= i) {
                *sum += if j < i { 2.0 * v * v } else { v * v };
            }
        }
    });
    Ok(finite(parts.iter().sum())?.sqrt())
}
