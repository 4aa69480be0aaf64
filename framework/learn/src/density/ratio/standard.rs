//! Features of samples, fetched and brought to one scale.

use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis};
use numerics::linalg::{eigh, product};
use numerics::samples::Design;
use numerics::{Error, Result};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Samples of a class from which features are standardised.
const SCALED: usize = 1000;

/// Most features that are whitened.
const WHITENED: usize = 2048;

/// Numbers of a batch from which threads share fetching it.
const FETCH: usize = 1 << 16;

/// How features are brought to one scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scale {
    /// Each to mean 0 and sd 1.
    #[default]
    Each,
    /// Then rotated and scaled to the identity as covariance, for features that are strongly correlated.
    Whiten,
    /// As they are.
    None,
}

/// Shift, scale and rotation of features.
#[derive(Clone, Debug)]
pub struct Standard {
    pub(super) mean: Vec<f32>,
    inverse: Vec<f32>,
    rotation: Option<Array2<f32>>,
}

impl Standard {
    /// From up to 1,000 samples evenly spaced in each of some classes, every class weighing the same. Neighbouring
    /// features, `together` of them (the pixels of a channel), share mean and sd. What does not vary keeps its unit.
    pub fn new(samples: &dyn Design, classes: Range<usize>, together: usize, scale: Scale) -> Result<Option<Self>> {
        let d = samples.n_features();
        if scale == Scale::None {
            return Ok(None);
        }
        if scale == Scale::Whiten && d > WHITENED {
            return Err(Error::Setting(format!(
                "{d} features are too many to be whitened (at most {WHITENED}); standardise = \"each\" takes any number"
            )));
        }
        let each = |f: &mut dyn FnMut(f64, ndarray::ArrayView1<f32>)| -> Result<()> {
            for c in classes.clone() {
                let class = samples.class(c);
                let n = class.len().min(SCALED);
                let at: Vec<usize> = (0..n).map(|i| i * class.len() / n).collect();
                for at in at.chunks((FETCH / d).max(1)) {
                    class.rows(at)?.outer_iter().for_each(|row| f(1.0 / n as f64, row));
                }
            }
            Ok(())
        };
        let (mut weight, mut mean, mut squares) = (0.0f64, vec![0.0f64; d], vec![0.0f64; d]);
        each(&mut |w, row| {
            weight += w;
            for ((m, s), v) in mean.iter_mut().zip(&mut squares).zip(row) {
                let away = f64::from(*v) - *m;
                *m += w / weight * away;
                *s += w * away * (f64::from(*v) - *m);
            }
        })?;
        let mut out = Self { mean: vec![], inverse: vec![], rotation: None };
        for (means, squares) in mean.chunks(together.max(1)).zip(squares.chunks(together.max(1))) {
            let n = means.len() as f64;
            let all = means.iter().sum::<f64>() / n;
            let variance = means.iter().zip(squares).map(|(m, s)| s / weight + (m - all).powi(2)).sum::<f64>() / n;
            let sd = variance.sqrt();
            let inverse = if sd > 1e-7 * all.abs() { (1.0 / sd) as f32 } else { 1.0 };
            out.mean.extend(means.iter().map(|_| all as f32));
            out.inverse.extend(means.iter().map(|_| inverse));
        }
        if scale == Scale::Whiten {
            let mut covariance = Array2::<f64>::zeros((d, d));
            each(&mut |w, row| {
                let row = out.rows(row.insert_axis(Axis(0)));
                for (a, mut to) in row.iter().zip(covariance.outer_iter_mut()) {
                    to.scaled_add(w / weight * a, &row.row(0));
                }
            })?;
            let (values, mut vectors) = eigh(covariance.view())?;
            // Directions without spread are not blown up.
            let least = 1e-6 * values.iter().fold(0.0f64, |m, v| m.max(*v));
            for (mut column, v) in vectors.columns_mut().into_iter().zip(&values) {
                column *= if *v > least { 1.0 / v.sqrt() } else { 0.0 };
            }
            out.rotation = Some(vectors.mapv(|v| v as f32));
        }
        Ok(Some(out))
    }

    /// Rows after shift and scale, in double precision, not rotated.
    pub fn rows(&self, x: ArrayView2<f32>) -> Array2<f64> {
        let shifted = |(f, v): (usize, &f32)| (f64::from(*v) - f64::from(self.mean[f])) * f64::from(self.inverse[f]);
        let rows = x.outer_iter().flat_map(|r| r.iter().enumerate().map(shifted).collect::<Vec<_>>()).collect();
        Array2::from_shape_vec(x.dim(), rows).unwrap_or_else(|_| Array2::zeros((0, 0)))
    }

    fn apply(&self, mut x: ArrayViewMut2<f32>) {
        for mut row in x.outer_iter_mut() {
            row.iter_mut().zip(self.mean.iter().zip(&self.inverse)).for_each(|(x, (m, i))| *x = (*x - m) * i);
        }
        if let Some(r) = &self.rotation {
            let turned = product(x.view(), r.view());
            x.assign(&turned);
        }
    }
}

/// Classes and numbers of samples, sorted, into the rows of `out`.
pub(super) fn fetch(
    samples: &dyn Design,
    standard: Option<&Standard>,
    picks: &[(u32, u32)],
    mut out: ArrayViewMut2<f32>,
) -> Result<()> {
    let shared = out.len() >= FETCH;
    // A task is a class, or a part of one where threads share.
    let most = if shared { (FETCH / out.ncols().max(1)).clamp(1, 64) } else { picks.len() };
    let mut tasks = vec![];
    let mut rest = out.view_mut();
    for run in picks.chunk_by(|a, b| a.0 == b.0).flat_map(|r| r.chunks(most.max(1))) {
        let (part, next) = rest.split_at(Axis(0), run.len());
        tasks.push((run, part));
        rest = next;
    }
    let run = |(run, mut part): (&[(u32, u32)], ArrayViewMut2<f32>)| {
        let at: Vec<usize> = run.iter().map(|p| p.1 as usize).collect();
        samples.class(run[0].0 as usize).rows_into(&at, part.view_mut())?;
        if let Some(s) = standard {
            s.apply(part);
        }
        Ok(())
    };
    if shared { tasks.into_par_iter().try_for_each(run) } else { tasks.into_iter().try_for_each(run) }
}
