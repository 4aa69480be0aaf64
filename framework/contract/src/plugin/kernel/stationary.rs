//! What stationary kernels share: the default length scale and random features.

use super::{FeatureMap, KernelContext};
use crate::error::{Error, Result};
use ndarray::{Array1, Array2, ArrayView2, Axis};
use numerics::Rows;
use numerics::streams::StreamRng;
use rand::RngExt;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Length scale of a stationary kernel, in units of the features: one for all, or one for each prior.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Length {
    /// The same for all features.
    One(f64),
    /// By the name of the prior; every active prior needs its own.
    Each(BTreeMap<String, f64>),
}

/// What a stationary kernel compares.
pub struct Stationary {
    /// Rows to compare: the features of the priors, divided by their length scales where each prior has its own.
    pub rows: Rows,
    /// Length scale in units of `rows`.
    pub length: f64,
    /// Length scale of each feature of the priors.
    pub of_features: Array1<f64>,
}

impl Stationary {
    /// By the given length; absent: that of [`median_distance`]. Errors where there are no features, a length is not
    /// positive, or priors and names differ.
    pub fn new(length: Option<&Length>, cx: &KernelContext) -> Result<Self> {
        let d = cx.inputs.n_features();
        let one = |length: f64| Self {
            rows: Rows::Made(cx.inputs.clone()),
            length,
            of_features: Array1::from_elem(d, length),
        };
        let each = match length {
            None => return median_distance(None, cx).map(one),
            Some(Length::One(l)) => return median_distance(Some(*l), cx).map(one),
            Some(Length::Each(each)) => each,
        };
        let blocks = cx.inputs.blocks();
        if let Some(name) = each.keys().find(|name| blocks.iter().all(|b| b.name != **name)) {
            let known: Vec<&str> = blocks.iter().map(|b| b.name.as_str()).collect();
            return Err(Error::Config(format!(
                "a kernel has a length for the prior `{name}`, which is not active; active are {}",
                if known.is_empty() { "none".into() } else { known.join(", ") }
            )));
        }
        let mut of_features = Vec::with_capacity(d);
        for block in blocks {
            let l = each.get(&block.name).ok_or_else(|| {
                Error::Config(format!("a kernel has lengths by prior, but none for the prior `{}`", block.name))
            })?;
            of_features.extend(std::iter::repeat_n(median_distance(Some(*l), cx)?, block.x.ncols()));
        }
        let of_features = Array1::from(of_features);
        let inverse = of_features.mapv(f64::recip);
        let rows = Rows::Made(cx.inputs.clone()).map(d, move |x| x * &inverse);
        Ok(Self { rows, length: 1.0, of_features })
    }
}

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
    // All rows alike: every positive length gives the same matrix.
    Ok(median_of_pairs(numerics::linalg::sq_distances(x.view(), x.view()).view()).map_or(1.0, f64::sqrt))
}

/// Median of the entries below the diagonal (for an even number, the larger of the middle two), if it is positive.
pub fn median_of_pairs(squared: ArrayView2<f64>) -> Option<f64> {
    let mut pairs: Vec<f64> = Vec::with_capacity(squared.nrows() * squared.nrows() / 2);
    for (i, row) in squared.outer_iter().enumerate() {
        pairs.extend(row.iter().take(i));
    }
    if pairs.is_empty() {
        return None;
    }
    let middle = pairs.len() / 2;
    let (_, m, _) = pairs.select_nth_unstable_by(middle, f64::total_cmp);
    (*m > 0.0).then_some(*m)
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
