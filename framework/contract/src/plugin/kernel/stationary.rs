//! What stationary kernels share: the default length scale and random features.

use super::{FeatureMap, KernelContext};
use crate::error::{Error, Result};
use ndarray::{Array2, Axis};
use numerics::streams::StreamRng;
use rand::RngExt;
use rayon::prelude::*;

/// The length scale of a stationary kernel: `given`, or the median Euclidean distance between the rows
/// of different measured perturbations (at most the first 1,000; the first 1,000 of the pool while
/// fewer than two are measured). Errors where there are no features or the length is not positive.
pub fn median_distance(given: Option<f64>, cx: &KernelContext) -> Result<f64> {
    if cx.inputs.n_features() == 0 {
        return Err(Error::Config(
            "this kernel compares feature rows but no prior is active; add a [prior.NAME] section".into(),
        ));
    }
    if let Some(l) = given {
        return if l > 0.0 && l.is_finite() {
            Ok(l)
        } else {
            Err(Error::Config(format!("a kernel's length scale must be a positive number, not {l}")))
        };
    }
    const MOST: usize = 1000;
    let mut ids: Vec<usize> = cx.observed.ids.iter().copied().take(MOST).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() < 2 {
        ids = (0..cx.inputs.pool().len().min(MOST)).collect();
    }
    let x = cx.inputs.features(&ids);
    let d = numerics::linalg::sq_distances(x.view(), x.view());
    let mut pairs: Vec<f64> = Vec::with_capacity(ids.len() * ids.len() / 2);
    for (i, row) in d.outer_iter().enumerate() {
        pairs.extend(row.iter().take(i));
    }
    if pairs.is_empty() {
        return Ok(1.0);
    }
    let middle = pairs.len() / 2;
    let (_, m, _) = pairs.select_nth_unstable_by(middle, f64::total_cmp);
    // All rows alike: every positive length gives the same matrix.
    Ok(if *m > 0.0 { m.sqrt() } else { 1.0 })
}

/// Random Fourier features √(2/n) cos(xᵀω + u) of a stationary kernel with the given spectral draws
/// (features x n); phases are uniform.
pub fn fourier_features(frequencies: Array2<f64>, rng: &mut StreamRng) -> FeatureMap {
    let n = frequencies.ncols();
    let phase: Vec<f64> = (0..n).map(|_| rng.random_range(0.0..std::f64::consts::TAU)).collect();
    let scale = (2.0 / n as f64).sqrt();
    Box::new(move |x| {
        let mut z = numerics::linalg::matmul(x.view(), frequencies.view());
        z.axis_chunks_iter_mut(Axis(0), 256).into_par_iter().for_each(|mut tile| {
            for mut row in tile.outer_iter_mut() {
                row.iter_mut().zip(&phase).for_each(|(v, u)| *v += u);
                match row.as_slice_mut() {
                    Some(row) => numerics::cos_slice(row),
                    None => row.mapv_inplace(f64::cos),
                }
                row *= scale;
            }
        });
        z
    })
}
