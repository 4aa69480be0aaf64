//! What was measured, and what a model believes.

use super::target::Target;
use crate::error::{Error, Result};
use ndarray::{Array1, Array2, ArrayView1};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Rows in which a value is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MissingRows {
    /// Are refused.
    #[default]
    Error,
    /// Are left out.
    Drop,
}

impl MissingRows {
    /// Whether it is the default, which files need not tell.
    pub fn is_error(&self) -> bool {
        *self == MissingRows::Error
    }
}

/// Single cells (or wells) of one perturbation.
#[derive(Clone, Debug)]
pub struct Cells {
    /// samples x features, in single precision: cells are many and noisy. Cells of an oracle are log-normalised
    /// profiles minus the control mean of their lane.
    pub x: Array2<f32>,
    /// Batch label (lane) of each sample.
    pub lane: Vec<u32>,
}

impl Cells {
    /// The samples in double precision.
    pub fn in_f64(&self) -> Array2<f64> {
        self.x.mapv(f64::from)
    }
}

/// The unperturbed state of a screen of profiles. Readouts are differences from it.
#[derive(Clone, Debug)]
pub struct Control {
    /// Mean log-normalised profile of the control cells of all lanes: one value an output.
    pub mean: Array1<f64>,
    /// Control cells (cells x outputs), each minus the control mean of its lane, where the oracle has them.
    pub cells: Option<Arc<Cells>>,
    /// Names of the outputs, where they are genes.
    pub outputs: Option<Vec<String>>,
}

/// Answers of an oracle to a batch: one row for each perturbation and replicate, in the order asked.
#[derive(Clone, Debug)]
pub struct Readouts {
    /// Pool id of each row.
    pub ids: Vec<usize>,
    /// rows x outputs: scalar phenotypes (one column) or pseudobulk profiles.
    pub y: Array2<f64>,
    /// Standard error of each row's values, where the oracle knows it: rows x outputs.
    pub sd: Option<Array2<f64>>,
    /// Replicate number of each row.
    pub replicate: Vec<u32>,
    /// Batch label (lane) of each row; 0 where there is only one.
    pub lane: Vec<u32>,
    /// The cells behind each row, where the oracle has them.
    pub cells: Option<Vec<Arc<Cells>>>,
}

impl Readouts {
    /// One row an id, lane 0, no known error. An id that is asked for again counts its replicates from 0.
    pub fn plain(ids: &[usize], y: Array2<f64>) -> Self {
        let mut seen = std::collections::HashMap::with_capacity(ids.len());
        let replicate = ids
            .iter()
            .map(|id| {
                let next = seen.entry(*id).or_insert(0u32);
                *next += 1;
                *next - 1
            })
            .collect();
        Self { ids: ids.to_vec(), y, sd: None, replicate, lane: vec![0; ids.len()], cells: None }
    }

    /// Errors unless every value is finite and the shapes agree.
    pub fn check(&self) -> Result<()> {
        if self.ids.len() != self.y.nrows() {
            return Err(Error::Plugin(format!("{} ids but {} rows of readouts", self.ids.len(), self.y.nrows())));
        }
        if let Some(cells) = self.cells.as_ref().filter(|c| c.len() != self.ids.len()) {
            return Err(Error::Plugin(format!("cells for {} of {} rows of readouts", cells.len(), self.ids.len())));
        }
        match self.y.indexed_iter().find(|(_, v)| !v.is_finite()) {
            None => Ok(()),
            Some(((r, c), v)) => Err(Error::Data(format!(
                "the readout of perturbation {} is {v} (output {c}); readouts must be finite",
                self.ids[r]
            ))),
        }
    }
}

/// All measurements of a run so far, in the order in which they came. A perturbation that was measured
/// several times has several rows.
#[derive(Clone, Debug)]
pub struct Observed {
    /// Pool id of each row.
    pub ids: Vec<usize>,
    /// rows x outputs.
    pub y: Array2<f64>,
    /// Standard errors, rows x outputs, if every row has them.
    pub sd: Option<Array2<f64>>,
    /// Round in which each row was measured; 0 is the initial set.
    pub round: Vec<usize>,
    /// Lane of each row.
    pub lane: Vec<u32>,
    /// The cells behind each row, if every row has them.
    pub cells: Option<Vec<Arc<Cells>>>,
}

impl Observed {
    /// Nothing measured yet.
    pub fn empty(n_outputs: usize) -> Self {
        Self { ids: vec![], y: Array2::zeros((0, n_outputs)), sd: None, round: vec![], lane: vec![], cells: None }
    }

    /// Adds the readouts of a round.
    pub fn push(&mut self, readouts: &Readouts, round: usize) -> Result<()> {
        readouts.check()?;
        let shape = |e: ndarray::ShapeError| Error::Plugin(format!("readouts change their width: {e}"));
        self.sd = match (self.sd.take(), &readouts.sd) {
            (None, Some(new)) if self.ids.is_empty() => Some(new.clone()),
            (Some(mut old), Some(new)) => {
                old.append(ndarray::Axis(0), new.view()).map_err(shape)?;
                Some(old)
            }
            _ => None,
        };
        self.cells = match (self.cells.take(), &readouts.cells) {
            (None, Some(new)) if self.ids.is_empty() => Some(new.clone()),
            (Some(mut old), Some(new)) => {
                old.extend_from_slice(new);
                Some(old)
            }
            _ => None,
        };
        self.y.append(ndarray::Axis(0), readouts.y.view()).map_err(shape)?;
        self.ids.extend_from_slice(&readouts.ids);
        self.round.extend(std::iter::repeat_n(round, readouts.ids.len()));
        self.lane.extend_from_slice(&readouts.lane);
        Ok(())
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// True before the first measurement.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Number of outputs.
    pub fn n_outputs(&self) -> usize {
        self.y.ncols()
    }

    /// The measured perturbations, each once, in the order of their first measurement.
    pub fn distinct(&self) -> Vec<usize> {
        let mut seen = std::collections::HashSet::with_capacity(self.ids.len());
        self.ids.iter().copied().filter(|id| seen.insert(*id)).collect()
    }

    /// Mean of each output over the rows; zeros when nothing is measured.
    pub fn mean(&self) -> ndarray::Array1<f64> {
        self.y.mean_axis(ndarray::Axis(0)).unwrap_or_else(|| ndarray::Array1::zeros(self.n_outputs()))
    }
}

/// A model's belief about some perturbations, in the order asked.
#[derive(Clone, Debug)]
pub struct Posterior {
    /// ids x outputs.
    pub mean: Array2<f64>,
    /// Standard deviation of the noise-free value, ids x outputs, where the model has one.
    pub sd: Option<Array2<f64>>,
}

impl Posterior {
    /// Errors unless the shape is `ids x outputs` and every value is finite (and no sd negative).
    pub fn check(&self, n: usize, n_outputs: usize) -> Result<()> {
        for (what, a) in [("mean", Some(&self.mean)), ("sd", self.sd.as_ref())] {
            let Some(a) = a else { continue };
            if a.dim() != (n, n_outputs) {
                return Err(Error::Plugin(format!(
                    "the model returned a {what} of {} x {} for {n} perturbations and {n_outputs} outputs",
                    a.nrows(),
                    a.ncols()
                )));
            }
            if let Some(v) = a.iter().find(|v| !v.is_finite() || (what == "sd" && **v < 0.0)) {
                return Err(Error::Numerical(format!("the model predicted a {what} of {v}")));
            }
        }
        Ok(())
    }

    /// Row `i` as one number on the scale of the target: the value itself for a scalar readout, the
    /// norm of the mean for a profile (sd by the delta method). The sign is kept: `Abs` and `Min` are
    /// applied by the acquisition, which knows how to treat uncertainty.
    pub fn scalar(&self, i: usize) -> (f64, Option<f64>) {
        let (m, s) = (self.mean.row(i), self.sd.as_ref().map(|s| s.row(i)));
        if m.len() == 1 {
            return (m[0], s.map(|s| s[0]));
        }
        let norm = m.dot(&m).sqrt();
        let sd = |s: ArrayView1<f64>| {
            let w = if norm > 0.0 { 1.0 / norm } else { 0.0 };
            let slope: f64 = m.iter().zip(s).map(|(m, s)| (m * w * s).powi(2)).sum();
            // At a zero mean the norm has no slope; the root mean square spread stands in.
            if norm > 0.0 { slope.sqrt() } else { (s.dot(&s) / s.len() as f64).sqrt() }
        };
        (norm, s.map(sd))
    }

    /// How much the predicted mean of row `i` is wanted, without regard to uncertainty.
    pub fn merit(&self, i: usize, target: &Target) -> f64 {
        target.direction.merit(self.scalar(i).0)
    }
}
