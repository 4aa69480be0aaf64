//! Kernels: similarity of perturbations, for Gaussian processes and for selection rules.

use super::{Plugin, Surrogate};
use crate::domain::{Inputs, Observed};
use crate::error::{Error, Result};
use crate::numerics::Gram;
use crate::streams::{StreamRng, Streams};
use ndarray::{Array2, Axis};
use rand::RngExt;
use rayon::prelude::*;
use std::sync::Arc;

/// What a kernel may look at.
pub struct KernelContext<'a> {
    /// Features of all perturbations, one block a prior.
    pub inputs: &'a Arc<Inputs>,
    /// The fitted model, where the scenario has one (absent inside a Gaussian process).
    pub surrogate: Option<&'a dyn Surrogate>,
    /// Measurements so far; length scales and adaptive fusions read them.
    pub observed: &'a Observed,
    /// Streams of this kernel in this round.
    pub streams: &'a Streams,
}

/// A kernel with its settings. Fusions and transforms are kernels that contain kernels.
#[typetag::serde(tag = "use")]
pub trait Kernel: Plugin {
    /// The Gram matrix over the whole pool, in its cheapest form.
    fn gram(&self, cx: &KernelContext) -> Result<Gram>;

    /// Whether the matrix is positive semidefinite whatever the input.
    fn keeps_psd(&self) -> bool {
        true
    }

    /// Whether it reads the fitted model, so that a scenario without one is refused early.
    fn needs_model(&self) -> bool {
        false
    }

    /// For a stationary kernel: random features z with E⟨z(x), z(x')⟩ = k(x, x'), as a function of
    /// feature rows, drawn once. Used for joint draws on large pools.
    fn random_features(&self, cx: &KernelContext, n: usize, rng: &mut StreamRng) -> Result<Option<FeatureMap>> {
        let _ = (cx, n, rng);
        Ok(None)
    }
}

/// Maps feature rows (ids x d) to random features (ids x n).
pub type FeatureMap = Box<dyn Fn(&Array2<f64>) -> Array2<f64> + Send + Sync>;

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
    let d = crate::numerics::linalg::sq_distances(x.view(), x.view());
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
        let mut z = crate::numerics::linalg::matmul(x.view(), frequencies.view());
        z.axis_chunks_iter_mut(Axis(0), 256).into_par_iter().for_each(|mut tile| {
            for mut row in tile.outer_iter_mut() {
                row.iter_mut().zip(&phase).for_each(|(v, u)| *v = scale * (*v + u).cos());
            }
        });
        z
    })
}
