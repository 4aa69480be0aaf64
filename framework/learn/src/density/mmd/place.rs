//! The same sums on a GPU, where there is one.

use super::kernel::{MeanKernel, Shape};
use super::points::Points;
use super::sums::{BlockSums, OwnSums, block, own, unit_sizes};
use device::Device;
use ndarray::{Array2, ArrayView2, s};
use numerics::{Error, Result};
use std::sync::atomic::{AtomicBool, Ordering};

/// Where sums over kernel values are computed: on a GPU, where there is one and until it fails, or else here.
pub struct Place<'a> {
    gpu: Option<&'a dyn Device>,
    failed: AtomicBool,
}

impl<'a> Place<'a> {
    /// With a GPU, if there is one.
    pub fn new(gpu: Option<&'a dyn Device>) -> Self {
        Self { gpu, failed: AtomicBool::new(false) }
    }

    /// [`block`].
    pub fn block(
        &self,
        kernel: MeanKernel,
        x: &Points<f32>,
        y: &Points<f32>,
        left: &Array2<f32>,
        right: &Array2<f32>,
    ) -> Result<BlockSums> {
        Ok(match self.forms(kernel, x, y, left.view(), right.view())? {
            Some(f) => BlockSums { sum: f.row_sums.iter().sum(), forms: f.forms },
            None => block(kernel, x, y, left, right),
        })
    }

    /// [`own`].
    pub fn own(
        &self,
        kernel: MeanKernel,
        x: &Points<f32>,
        units: Option<&[usize]>,
        left: &Array2<f32>,
    ) -> Result<OwnSums> {
        if self.gpu.is_none() {
            return Ok(own(kernel, x, units, left));
        }
        // With a column that marks the samples of a unit, a form is what the unit shares with itself.
        let (draws, sizes) = (left.ncols(), units.map_or(vec![], unit_sizes));
        let mut factors = Array2::<f32>::zeros((x.len(), draws + sizes.len()));
        factors.slice_mut(s![.., ..draws]).assign(left);
        units.iter().flat_map(|u| u.iter()).enumerate().for_each(|(i, u)| factors[[i, draws + u]] = 1.0);
        let Some(mut f) = self.forms(kernel, x, x, factors.view(), factors.view())? else {
            return Ok(own(kernel, x, units, left));
        };
        let marked = f.forms.split_off(draws);
        let sum: f64 = f.row_sums.iter().sum();
        let (same, lever) = match units {
            Some(units) => (marked, units.iter().zip(&f.row_sums).map(|(u, r)| sizes[*u] * r).sum()),
            // A device takes differences, so that a sample is at distance 0 from itself.
            None if kernel.shape == Shape::Linear => (x.norms.iter().map(|n| f64::from(*n)).collect(), sum),
            None => (vec![1.0; x.len()], sum),
        };
        Ok(OwnSums { sum, same, lever, forms: f.forms })
    }

    fn forms(
        &self,
        kernel: MeanKernel,
        x: &Points<f32>,
        y: &Points<f32>,
        left: ArrayView2<f32>,
        right: ArrayView2<f32>,
    ) -> Result<Option<device::Forms>> {
        let Some(gpu) = self.gpu.filter(|_| !self.failed.load(Ordering::Relaxed)) else { return Ok(None) };
        let length = kernel.length as f32;
        let tile = match kernel.shape {
            Shape::Linear => device::Tile::Product,
            Shape::Rbf => device::Tile::Rbf { length },
            Shape::Matern52 => device::Tile::Matern52 { length },
        };
        match gpu.quadratic_forms(x.rows(), y.rows(), tile, left, right) {
            Ok(forms) => Ok(Some(forms)),
            Err(device::Error::Input(text)) => Err(Error::Breakdown(text)),
            Err(e) => {
                if !self.failed.swap(true, Ordering::Relaxed) {
                    eprintln!("{e}");
                }
                Ok(None)
            }
        }
    }
}
