//! Samples of several distributions, held in memory or made when asked for.

use crate::error::Result;
use ndarray::{Array2, ArrayViewMut2};
use std::borrow::Cow;
use std::sync::Arc;

/// Samples (cells, wells, images) that are made or read when asked for.
pub trait SampleSource: Send + Sync {
    /// Number of samples.
    fn len(&self) -> usize;
    /// True without samples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Numbers that make up a sample.
    fn n_features(&self) -> usize;
    /// Writes the samples of the given numbers to the rows of `out`; the same number gives the same sample.
    fn rows(&self, at: &[usize], out: ArrayViewMut2<f32>) -> Result<()>;
    /// All samples (samples x features), where they are in memory.
    fn held(&self) -> Option<&Array2<f32>> {
        None
    }
}

/// In memory: samples x features.
struct Held(Array2<f32>);

impl SampleSource for Held {
    fn len(&self) -> usize {
        self.0.nrows()
    }

    fn n_features(&self) -> usize {
        self.0.ncols()
    }

    fn rows(&self, at: &[usize], mut out: ArrayViewMut2<f32>) -> Result<()> {
        at.iter().zip(out.outer_iter_mut()).for_each(|(i, mut row)| row.assign(&self.0.row(*i)));
        Ok(())
    }

    fn held(&self) -> Option<&Array2<f32>> {
        Some(&self.0)
    }
}

/// Samples of one distribution.
#[derive(Clone)]
pub struct Class {
    source: Arc<dyn SampleSource>,
    /// Guide or well of each sample, where samples of one are alike for other reasons than their class. Absent:
    /// every sample stands for itself. Numbers mean nothing beyond their class.
    pub unit: Option<Arc<[u32]>>,
}

impl Class {
    /// From anything that gives samples.
    pub fn new(source: impl SampleSource + 'static) -> Self {
        Self::of(Arc::new(source))
    }

    /// The same, shared.
    pub fn of(source: Arc<dyn SampleSource>) -> Self {
        Self { source, unit: None }
    }

    /// Samples in memory: samples x features.
    pub fn held(x: Array2<f32>) -> Self {
        Self::new(Held(x))
    }

    /// With the guide or well of each sample.
    pub fn with_units(self, unit: Vec<u32>) -> Self {
        Self { unit: Some(unit.into()), ..self }
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.source.len()
    }

    /// True without samples.
    pub fn is_empty(&self) -> bool {
        self.source.is_empty()
    }

    /// Numbers that make up a sample.
    pub fn n_features(&self) -> usize {
        self.source.n_features()
    }

    /// Number of independent units: guides or wells where they are told apart, samples otherwise.
    pub fn n_units(&self) -> usize {
        self.units().map_or(self.len(), |u| u.iter().max().map_or(0, |m| m + 1))
    }

    /// The unit of each sample, numbered from 0 without gaps; absent where every sample stands for itself.
    pub fn units(&self) -> Option<Vec<usize>> {
        let labels = self.unit.as_ref()?;
        let mut sorted = labels.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        Some(labels.iter().map(|u| sorted.partition_point(|v| v < u)).collect())
    }

    /// All samples, samples x features.
    pub fn x(&self) -> Result<Cow<'_, Array2<f32>>> {
        match self.source.held() {
            Some(x) => Ok(Cow::Borrowed(x)),
            None => self.rows(&(0..self.len()).collect::<Vec<_>>()).map(Cow::Owned),
        }
    }

    /// All samples, where they are in memory.
    pub fn in_memory(&self) -> Option<&Array2<f32>> {
        self.source.held()
    }

    /// Some samples, in the order asked.
    pub fn rows(&self, at: &[usize]) -> Result<Array2<f32>> {
        let mut out = Array2::zeros((at.len(), self.n_features()));
        self.source.rows(at, out.view_mut())?;
        Ok(out)
    }

    /// Writes some samples to the rows of `out`.
    pub fn rows_into(&self, at: &[usize], out: ArrayViewMut2<f32>) -> Result<()> {
        self.source.rows(at, out)
    }
}

/// The classes of a two-by-two design: a baseline, single treatments, and pairs of them. Classes are numbered in this
/// order; baseline and singles are shared by all pairs.
pub trait Design: Sync {
    /// Number of classes.
    fn n_classes(&self) -> usize;
    /// Baseline and singles.
    fn n_shared(&self) -> usize;
    /// A class by its number.
    fn class(&self, c: usize) -> &Class;
    /// Class numbers of baseline, first, second and both of a pair.
    fn four(&self, pair: usize) -> [usize; 4];
    /// What a class is called in messages.
    fn name(&self, c: usize) -> String;
    /// Numbers that make up a sample.
    fn n_features(&self) -> usize;
    /// Number of pairs.
    fn n_pairs(&self) -> usize {
        self.n_classes() - self.n_shared()
    }
}
