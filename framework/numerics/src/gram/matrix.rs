//! Gram matrices that are read by row, block or diagonal and become dense only on request.
//!
//! Three forms stand behind one interface: feature rows (`of_rows`), stored matrices, and compositions of others that are
//! evaluated where they are read (`compositions`). Positions are pool ids until [`GramSource::restrict`] renumbers them.

use super::features::{Features, Rows};
use crate::error::{Error, Result};
use crate::streams::Streams;
use ndarray::Array2;
use std::sync::Arc;

/// A symmetric kernel matrix over positions `0..n`, in whatever form is cheapest.
pub trait GramSource: Send + Sync {
    /// Number of rows.
    fn n(&self) -> usize;
    /// k(i, i) for each of `ids`.
    fn diagonal(&self, ids: &[usize]) -> Vec<f64>;
    /// k(a, b): a x b.
    fn block(&self, a: &[usize], b: &[usize]) -> Array2<f64>;
    /// k(i, ·) over all positions, written to `out` of length n.
    fn row(&self, i: usize, out: &mut [f64]) {
        let all: Vec<usize> = (0..self.n()).collect();
        let b = self.block(&[i], &all);
        out.iter_mut().zip(b.iter()).for_each(|(o, v)| *o = *v);
    }
    /// The same kernel over some positions only, renumbered from 0 and prepared for many row reads.
    fn restrict(&self, ids: &[usize]) -> Gram;

    /// Feature rows whose inner products are the kernel, if it is known by such.
    fn rows(&self) -> Option<Rows> {
        None
    }
    /// These rows in memory: of a restriction of a kernel that has [`GramSource::rows`].
    fn features(&self) -> Option<&Features> {
        None
    }
    /// Random projection to `p` features, unbiased for the kernel (Holzmüller et al. 2023, section 3.2);
    /// `None` where there are no features to project.
    fn sketch(&self, _p: usize, _streams: &Streams) -> Option<Gram> {
        None
    }
    /// A kernel with the same distances that is cheaper to hold: constants added to every entry dropped.
    fn up_to_constant(&self) -> Option<Gram> {
        None
    }
}

/// A shared Gram matrix.
#[derive(Clone)]
pub struct Gram(Arc<dyn GramSource>);

impl std::fmt::Debug for Gram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gram({} x {})", self.n(), self.n())
    }
}

impl std::ops::Deref for Gram {
    type Target = dyn GramSource;
    fn deref(&self) -> &Self::Target {
        &*self.0
    }
}

impl Gram {
    /// Any form.
    pub fn new(source: impl GramSource + 'static) -> Self {
        Self(Arc::new(source))
    }

    /// A stored matrix; must be square, symmetric (relative 1e-8) and finite, with no negative diagonal.
    pub fn dense(k: Array2<f64>) -> Result<Self> {
        let n = k.nrows();
        if k.ncols() != n {
            return Err(Error::Breakdown(format!("a kernel matrix must be square, this one is {n} x {}", k.ncols())));
        }
        for i in 0..n {
            for j in 0..=i {
                let (a, b) = (k[(i, j)], k[(j, i)]);
                if !a.is_finite() || !b.is_finite() {
                    return Err(Error::Breakdown(format!("kernel entry ({i}, {j}) is {a}; entries must be finite")));
                }
                if (a - b).abs() > 1e-8 * a.abs().max(b.abs()).max(1e-300) {
                    return Err(Error::Breakdown(format!(
                        "the kernel matrix is not symmetric: ({i}, {j}) is {a} and ({j}, {i}) is {b}"
                    )));
                }
            }
            if k[(i, i)] < 0.0 {
                return Err(Error::Breakdown(format!(
                    "the kernel matrix has the negative diagonal entry {} at {i}; no kernel has one",
                    k[(i, i)]
                )));
            }
        }
        Ok(Self::stored(k))
    }

    /// A stored matrix whose making already guarantees symmetry: fused, centred or conditioned kernels.
    pub fn stored(k: Array2<f64>) -> Self {
        Self::new(Dense { k: Arc::new(k), ids: None })
    }

    /// A stored matrix in single precision, made symmetric by its maker: half the memory of [`Gram::stored`].
    pub fn stored_single(k: Array2<f32>) -> Self {
        Self::new(Dense { k: Arc::new(k), ids: None })
    }

    /// The matrix over some positions, stored.
    pub fn to_dense(&self, ids: &[usize]) -> Array2<f64> {
        self.block(ids, ids)
    }

    /// Squared kernel distances between positions: a x b, clamped at 0.
    pub fn sq_distances(&self, a: &[usize], b: &[usize]) -> Array2<f64> {
        let (da, db) = (self.diagonal(a), self.diagonal(b));
        let mut d = self.block(a, b);
        for (mut row, x) in d.outer_iter_mut().zip(&da) {
            row.iter_mut().zip(&db).for_each(|(v, y)| *v = (x + y - 2.0 * *v).max(0.0));
        }
        d
    }
}

/// A stored matrix, or some of its positions: a restriction shares the numbers.
struct Dense<T> {
    pub(super) k: Arc<Array2<T>>,
    pub(super) ids: Option<Arc<[usize]>>,
}

impl<T> Dense<T> {
    pub(super) fn at(&self, i: usize) -> usize {
        self.ids.as_ref().map_or(i, |ids| ids[i])
    }
}

impl<T: Copy + Send + Sync + Into<f64> + 'static> GramSource for Dense<T> {
    fn n(&self) -> usize {
        self.ids.as_ref().map_or(self.k.nrows(), |ids| ids.len())
    }
    fn diagonal(&self, ids: &[usize]) -> Vec<f64> {
        ids.iter().map(|&i| self.k[(self.at(i), self.at(i))].into()).collect()
    }
    fn block(&self, a: &[usize], b: &[usize]) -> Array2<f64> {
        Array2::from_shape_fn((a.len(), b.len()), |(i, j)| self.k[(self.at(a[i]), self.at(b[j]))].into())
    }
    fn row(&self, i: usize, out: &mut [f64]) {
        let row = self.k.row(self.at(i));
        match &self.ids {
            None => out.iter_mut().zip(row).for_each(|(o, v)| *o = (*v).into()),
            Some(ids) => out.iter_mut().zip(ids.iter()).for_each(|(o, j)| *o = row[*j].into()),
        }
    }
    fn restrict(&self, ids: &[usize]) -> Gram {
        Gram::new(Dense { k: self.k.clone(), ids: Some(ids.iter().map(|&i| self.at(i)).collect()) })
    }
}
