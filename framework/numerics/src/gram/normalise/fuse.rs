//! The mean of stored matrices, each normalised.

use super::method::Normalise;
use super::size::{finite, largest, positive};
use crate::error::{Error, Result};
use crate::gram::matrix::Gram;
use ndarray::{Array2, Axis, s};
use rayon::prelude::*;
use std::sync::Arc;

/// The mean of normalised kernels of feature rows as a stored matrix in single precision: each of `sources` is
/// n x d_m, the normalisation is `max` or `min_max`. Tiles of the lower triangle only, so half the products of
/// whole matrices; at most 6 bytes an entry of the result at a time. O(n² Σd_m).
pub fn fuse_dense(sources: &[Arc<Array2<f32>>], normalise: Normalise) -> Result<Gram> {
    const T: usize = 256;
    let n = sources.first().map_or(0, |x| x.nrows());
    if n == 0 || sources.iter().any(|x| x.nrows() != n) {
        return Err(Error::Setting("a fusion needs sources that describe the same perturbations".into()));
    }
    let share = 1.0 / sources.len() as f64;
    let high: Vec<f64> = sources
        .iter()
        .map(|x| largest(&x.outer_iter().map(|r| r.iter().map(|v| f64::from(*v).powi(2)).sum()).collect::<Vec<f64>>()))
        .collect();
    let bands = n.div_ceil(T);
    let places: Vec<(usize, usize)> = (0..bands).flat_map(|i| (0..=i).map(move |j| (i, j))).collect();
    let span = |t: usize| t * T..n.min((t + 1) * T);
    let product = |tile: &mut Vec<f32>, (i, j): (usize, usize), x: &Array2<f32>, keep: bool, weight: f64| {
        let (rows, columns) = (span(i), span(j));
        tile.resize(rows.len() * columns.len(), 0.0);
        if let Ok(mut out) = ndarray::ArrayViewMut2::from_shape((rows.len(), columns.len()), &mut tile[..]) {
            let (a, b) = (x.slice(s![rows, ..]), x.slice(s![columns, ..]));
            crate::linalg::product_into(&mut out, a, b.t(), keep, weight as f32);
        }
    };
    let mut sum: Vec<Vec<f32>> = vec![Vec::new(); places.len()];
    let mut constant = 0.0;
    match normalise {
        Normalise::Max => {
            let weights: Vec<f64> =
                high.iter().map(|h| Ok(share / positive(*h, "largest entry")?)).collect::<Result<_>>()?;
            sum.par_iter_mut().zip(&places).for_each(|(tile, at)| {
                for (m, (x, w)) in sources.iter().zip(&weights).enumerate() {
                    product(tile, *at, x, m > 0, *w);
                }
            });
        }
        Normalise::MinMax => {
            // A kernel's weight is known only when all of it has been seen: it waits in `last` until the next is made.
            let mut last: Vec<Vec<f32>> = vec![Vec::new(); places.len()];
            let mut weight = 0.0f32;
            let add = |sum: &mut Vec<f32>, last: &[f32], weight: f32| {
                sum.resize(last.len(), 0.0);
                sum.iter_mut().zip(last).for_each(|(s, l)| *s += weight * l);
            };
            for (x, high) in sources.iter().zip(&high) {
                let lows: Vec<f32> = sum
                    .par_iter_mut()
                    .zip(&mut last)
                    .zip(&places)
                    .map(|((sum, last), at)| {
                        if weight > 0.0 {
                            add(sum, last, weight);
                        }
                        product(last, *at, x, false, 1.0);
                        lowest(last)
                    })
                    .collect();
                let low = f64::from(lows.into_iter().fold(f32::INFINITY, f32::min));
                let w = share / positive(high - low, "range from the smallest to the largest entry")?;
                constant += w * low;
                weight = w as f32;
            }
            sum.par_iter_mut().zip(last).for_each(|(sum, last)| add(sum, &last, weight));
        }
        other => {
            return Err(Error::Setting(format!("a dense fusion normalises by max or min_max, not {other:?}")));
        }
    }
    // Each band of rows of the result copies its own tiles, and turned those below its diagonal.
    let mut out = Array2::<f32>::zeros((n, n));
    let constant = constant as f32;
    out.axis_chunks_iter_mut(Axis(0), T).into_par_iter().enumerate().for_each(|(i, mut band)| {
        for j in 0..bands {
            let (rows, columns) = (span(i), span(j));
            let at = |a: usize, b: usize| a * (a + 1) / 2 + b;
            let mut to = band.slice_mut(s![.., columns.clone()]);
            if j <= i {
                let tile = &sum[at(i, j)];
                for (mut row, from) in to.outer_iter_mut().zip(tile.chunks_exact(columns.len())) {
                    row.iter_mut().zip(from).for_each(|(o, v)| *o = v - constant);
                }
            } else {
                let tile = &sum[at(j, i)];
                for r in 0..rows.len() {
                    for (c, o) in to.row_mut(r).iter_mut().enumerate() {
                        *o = tile[c * rows.len() + r] - constant;
                    }
                }
            }
        }
    });
    finite(out.diag().iter().map(|v| f64::from(*v)).sum())?;
    Ok(Gram::stored_single(out))
}

/// Smallest of some numbers; eight lanes at a time.
fn lowest(v: &[f32]) -> f32 {
    let mut low = [f32::INFINITY; 16];
    let chunks = v.chunks_exact(16);
    let rest = chunks.remainder().iter().fold(f32::INFINITY, |a, b| a.min(*b));
    for c in chunks {
        for i in 0..16 {
            low[i] = if c[i] < low[i] { c[i] } else { low[i] };
        }
    }
    low.into_iter().fold(rest, f32::min)
}
