//! Gram matrices of feature rows.

use super::features::{Features, Rows};
use super::matrix::{Gram, GramSource};
use crate::error::{Error, Result};
use crate::linalg::{matmul, matmul_t};
use crate::streams::Streams;
use ndarray::{Array2, Axis};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use std::sync::Arc;

/// Turns squared distances into kernel values, in place.
type Radial = Arc<dyn Fn(&mut [f64]) + Send + Sync>;

/// A kernel of feature rows: inner products, or a function of Euclidean distance.
#[derive(Clone)]
pub struct FeatureGram {
    pub(super) rows: Rows,
    pub(super) radial: Option<Radial>,
    single: bool,
    held: Option<Held>,
}

/// Rows in memory with their squared norms.
#[derive(Clone)]
pub(super) struct Held {
    pub(super) features: Features,
    norms: Arc<Vec<f64>>,
}

impl Held {
    pub(super) fn new(features: Features) -> Self {
        let norms = Arc::new(features.sq_norms());
        Self { features, norms }
    }
}

/// Rows of length 1; rows of zeros stay.
pub(super) fn unit_rows(rows: Rows) -> Rows {
    let d = rows.d();
    rows.map(d, |mut x| {
        for mut row in x.outer_iter_mut() {
            let norm = row.dot(&row).sqrt();
            if norm > 0.0 {
                row /= norm;
            }
        }
        x
    })
}

impl FeatureGram {
    /// The rows of `ids` in one piece, tiles in parallel.
    fn gather<T: Clone + Default + Send + Sync>(&self, ids: &[usize], f: impl Fn(f64) -> T + Sync) -> Array2<T> {
        const TILE: usize = 256;
        let mut x = Array2::default((ids.len(), self.rows.d()));
        let tiles = x.axis_chunks_iter_mut(Axis(0), TILE).into_par_iter().zip(ids.par_chunks(TILE));
        tiles.for_each(|(mut x, ids)| x.zip_mut_with(&self.rows.get(ids), |x, v| *x = f(*v)));
        x
    }

    /// k(x, x') = ⟨x, x'⟩.
    pub fn linear(rows: Rows) -> Self {
        Self { rows, radial: None, single: false, held: None }
    }

    /// k(x, x') = ⟨x, x'⟩ / (‖x‖‖x'‖). A row of zeros has no direction and is an error when the pool is
    /// small enough to look (at most 2,000,000 rows); in larger pools its similarity is 0.
    pub fn cosine(rows: Rows) -> Result<Self> {
        const LOOK: usize = 2_000_000;
        if rows.n() <= LOOK {
            for start in (0..rows.n()).step_by(4096) {
                let ids: Vec<usize> = (start..rows.n().min(start + 4096)).collect();
                let x = rows.get(&ids);
                if let Some(i) = x.outer_iter().position(|r| r.iter().all(|v| *v == 0.0)) {
                    return Err(Error::Breakdown(format!(
                        "row {} has zero norm, so its cosine similarity is not defined; \
                         set `missing = \"mean\"` under [pool] or use another kernel",
                        start + i
                    )));
                }
            }
        }
        Ok(Self::linear(unit_rows(rows)))
    }

    /// k(x, x') = f(‖x - x'‖²), with f applied in place to a slice; f(0) must be the diagonal.
    pub fn radial(rows: Rows, f: impl Fn(&mut [f64]) + Send + Sync + 'static) -> Self {
        Self { radial: Some(Arc::new(f)), ..Self::linear(rows) }
    }

    /// The same kernel with rows kept and multiplied in single precision once they are in memory: half the
    /// memory traffic, relative error about 1e-6 of the squared norms.
    pub fn single(self) -> Self {
        Self { single: true, ..self }
    }
}

impl Gram {
    /// The inner products of the rows of `x`.
    pub fn of_features(x: Array2<f64>) -> Self {
        FeatureGram::linear(Rows::Held(Arc::new(x))).into()
    }
}

impl From<FeatureGram> for Gram {
    fn from(g: FeatureGram) -> Gram {
        match &g.rows {
            // Rows in memory are prepared at once, so that row reads cost one product each.
            Rows::Held(_) if g.held.is_none() => {
                let all: Vec<usize> = (0..g.rows.n()).collect();
                g.restrict(&all)
            }
            _ => Gram::new(g),
        }
    }
}

impl GramSource for FeatureGram {
    fn n(&self) -> usize {
        self.rows.n()
    }

    fn diagonal(&self, ids: &[usize]) -> Vec<f64> {
        match (&self.radial, &self.held) {
            (Some(f), _) => {
                let mut d = vec![0.0; ids.len()];
                f(&mut d);
                d
            }
            (None, Some(held)) => ids.iter().map(|&i| held.norms[i]).collect(),
            (None, None) => {
                let mut d = vec![0.0; ids.len()];
                d.par_chunks_mut(1024)
                    .zip(ids.par_chunks(1024))
                    .for_each(|(d, ids)| d.copy_from_slice(&crate::linalg::sq_norms(self.rows.get(ids).view())));
                d
            }
        }
    }

    fn block(&self, a: &[usize], b: &[usize]) -> Array2<f64> {
        if let (None, Some(Held { features: Features::F32(x), .. })) = (&self.radial, &self.held) {
            return super::features::matmul_t_single(x.select(Axis(0), a).view(), x.select(Axis(0), b).view());
        }
        let get = |ids: &[usize]| self.held.as_ref().map_or_else(|| self.rows.get(ids), |h| h.features.select(ids));
        let x = get(a);
        // The same rows on both sides need to be formed, and multiplied, only once.
        let y = if a == b { None } else { Some(get(b)) };
        let y = y.as_ref().unwrap_or(&x).view();
        match &self.radial {
            None => matmul_t(x.view(), y),
            Some(f) => crate::linalg::sq_distances_with(x.view(), y, |i, row| {
                // A point is at distance exactly 0 from itself, whatever rounding says.
                row.iter_mut().zip(b).filter(|(_, j)| a[i] == **j).for_each(|(v, _)| *v = 0.0);
                f(row);
            }),
        }
    }

    fn row(&self, i: usize, out: &mut [f64]) {
        let Some(Held { features, norms }) = &self.held else {
            let x = self.rows.get(&[i]);
            let mut at = 0;
            let all: Vec<usize> = (0..self.n()).collect();
            for tile in all.chunks(4096) {
                let y = self.rows.get(tile);
                let mut part = match &self.radial {
                    None => matmul_t(x.view(), y.view()),
                    Some(_) => crate::linalg::sq_distances(x.view(), y.view()),
                };
                if let (Some(f), Some(s)) = (&self.radial, part.as_slice_mut()) {
                    if (at..at + tile.len()).contains(&i) {
                        s[i - at] = 0.0;
                    }
                    f(s);
                }
                out[at..at + tile.len()].iter_mut().zip(part.iter()).for_each(|(o, v)| *o = *v);
                at += tile.len();
            }
            return;
        };
        features.times(&features.row(i).to_vec(), out);
        if let Some(f) = &self.radial {
            let n = norms[i];
            out.iter_mut().zip(norms.iter()).for_each(|(o, m)| *o = (n + m - 2.0 * *o).max(0.0));
            out[i] = 0.0;
            f(out);
        }
    }

    fn restrict(&self, ids: &[usize]) -> Gram {
        if self.single && self.radial.is_none() {
            let x = Arc::new(self.gather(ids, |v| v as f32));
            let rows = Rows::Single(x.clone());
            return Gram::new(FeatureGram { rows, held: Some(Held::new(Features::F32(x))), ..self.clone() });
        }
        let mut x = self.gather(ids, |v| v);
        if self.radial.is_some() {
            // Distances do not change when the origin moves, and are formed from norms without loss.
            if let Some(m) = x.mean_axis(Axis(0)) {
                x -= &m;
            }
        }
        let x = Arc::new(x);
        let features =
            if self.single { Features::F32(Arc::new(x.mapv(|v| v as f32))) } else { Features::F64(x.clone()) };
        Gram::new(FeatureGram { rows: Rows::Held(x), held: Some(Held::new(features)), ..self.clone() })
    }

    fn rows(&self) -> Option<Rows> {
        self.radial.is_none().then(|| self.rows.clone())
    }

    fn features(&self) -> Option<&Features> {
        self.held.as_ref().filter(|_| self.radial.is_none()).map(|h| &h.features)
    }
    fn sketch(&self, p: usize, streams: &Streams) -> Option<Gram> {
        // A function of distances has no features to project.
        let rows = GramSource::rows(self)?;
        let mut rng = streams.rng("sketch");
        let scale = (p as f64).sqrt().recip();
        let g = Array2::from_shape_simple_fn((rows.d(), p), || -> f64 {
            let z: f64 = StandardNormal.sample(&mut rng);
            z * scale
        });
        Some(FeatureGram::linear(rows.map(p, move |x| matmul(x.view(), g.view()))).into())
    }
}
