//! A ratio that was learned.

use super::encoder::Encoder;
use super::standard::{Standard, fetch};
use ndarray::{Array2, ArrayView2, Axis};
use numerics::linalg::product;
use numerics::samples::Design;
use numerics::{Error, Result};

/// Samples that are embedded at a time.
pub(super) const ROWS: usize = 1024;

/// A trained f.
pub struct Ratio {
    pub(super) encoder: Box<dyn Encoder>,
    pub(super) standard: Option<Standard>,
    /// W: classes x width.
    pub(super) head: Array2<f32>,
}

impl Ratio {
    /// W: classes x width.
    pub fn head(&self) -> ArrayView2<'_, f32> {
        self.head.view()
    }

    /// Enc(x)·v for all samples of a class and the rows v of `heads` (rows of W, or sums and differences of them): heads
    /// x samples. Samples are fetched a thousand at a time. O(samples x (parameters + heads x width)).
    pub fn values(&self, samples: &dyn Design, class: usize, heads: ArrayView2<f32>) -> Result<Array2<f32>> {
        let n = samples.class(class).len();
        let mut out = Array2::zeros((heads.nrows(), n));
        let picks: Vec<(u32, u32)> = (0..n as u32).map(|i| (class as u32, i)).collect();
        let mut x = Array2::zeros((ROWS.min(n), samples.n_features()));
        for (picks, mut out) in picks.chunks(ROWS).zip(out.axis_chunks_iter_mut(Axis(1), ROWS)) {
            let mut x = x.slice_mut(ndarray::s![..picks.len(), ..]);
            fetch(samples, self.standard.as_ref(), picks, x.view_mut())?;
            let mut h = self.encoder.predict(x.view());
            if self.encoder.rectified() {
                h.mapv_inplace(|v| if v < 0.0 { 0.0 } else { v });
            }
            out.assign(&product(heads, h.t()));
        }
        if out.iter().any(|v| !v.is_finite()) {
            return Err(Error::Input(format!(
                "the ratio of samples of `{}` is not finite; look there for values that are not finite or far from those \
                 of the other classes",
                samples.name(class)
            )));
        }
        Ok(out)
    }
}

/// A trained ratio, and how the training went.
pub struct Trained {
    /// The ratio.
    pub ratio: Ratio,
    /// The epoch whose parameters it has, from 1.
    pub epoch: usize,
    /// Mean loss and share of right decisions over the batches of that epoch.
    pub loss: f64,
    /// See `loss`.
    pub accuracy: f64,
    /// Loss of that epoch on what was held out.
    pub held_out: Option<f64>,
}
