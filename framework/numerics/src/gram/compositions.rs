//! Gram matrices made of others, evaluated where they are read.

use super::features::Rows;
use super::matrix::{Gram, GramSource};
use super::of_rows::FeatureGram;
use crate::error::{Error, Result};
use crate::streams::Streams;
use ndarray::Array2;

/// A weighted sum of Gram matrices; stays in feature form if all its terms are.
pub struct Sum {
    terms: Vec<(f64, Gram)>,
}

/// Refuses no kernels at all and kernels of different sizes.
fn check_sizes<'a>(mut grams: impl Iterator<Item = &'a Gram>) -> Result<()> {
    match grams.next() {
        None => Err(Error::Setting("a fusion of no kernels; give it at least one prior".into())),
        Some(first) if grams.any(|g| g.n() != first.n()) => {
            Err(Error::Breakdown("kernels of different sizes cannot be combined".into()))
        }
        _ => Ok(()),
    }
}

impl Sum {
    /// Non-negative weights keep the sum positive semidefinite.
    pub fn new(terms: Vec<(f64, Gram)>) -> Result<Self> {
        check_sizes(terms.iter().map(|t| &t.1))?;
        Ok(Self { terms })
    }
}

impl GramSource for Sum {
    fn n(&self) -> usize {
        self.terms.first().map_or(0, |t| t.1.n())
    }
    fn diagonal(&self, ids: &[usize]) -> Vec<f64> {
        let mut d = vec![0.0; ids.len()];
        for (w, g) in &self.terms {
            d.iter_mut().zip(g.diagonal(ids)).for_each(|(o, v)| *o += w * v);
        }
        d
    }
    fn block(&self, a: &[usize], b: &[usize]) -> Array2<f64> {
        let mut k = Array2::zeros((a.len(), b.len()));
        for (w, g) in &self.terms {
            k.scaled_add(*w, &g.block(a, b));
        }
        k
    }
    fn row(&self, i: usize, out: &mut [f64]) {
        let mut part = vec![0.0; out.len()];
        out.fill(0.0);
        for (w, g) in &self.terms {
            g.row(i, &mut part);
            out.iter_mut().zip(&part).for_each(|(o, v)| *o += w * v);
        }
    }
    fn restrict(&self, ids: &[usize]) -> Gram {
        match self.rows() {
            Some(rows) => FeatureGram::linear(rows).restrict(ids),
            None => Gram::new(Sum { terms: self.terms.iter().map(|(w, g)| (*w, g.restrict(ids))).collect() }),
        }
    }
    fn rows(&self) -> Option<Rows> {
        let parts: Option<Vec<(f64, Rows)>> =
            self.terms.iter().map(|(w, g)| if *w >= 0.0 { Some((w.sqrt(), g.rows()?)) } else { None }).collect();
        Some(Rows::side_by_side(parts?))
    }
    fn sketch(&self, p: usize, streams: &Streams) -> Option<Gram> {
        // Independent sketches add without bias, and p features do for all terms together.
        let parts: Option<Vec<(f64, Rows)>> = self
            .terms
            .iter()
            .enumerate()
            .map(|(t, (w, g))| if *w >= 0.0 { Some((w.sqrt(), g.sketch(p, &streams.index(t))?.rows()?)) } else { None })
            .collect();
        Some(FeatureGram::linear(Rows::added(parts?)).into())
    }
    fn up_to_constant(&self) -> Option<Gram> {
        if self.terms.iter().all(|t| t.1.up_to_constant().is_none()) {
            return None;
        }
        let drop = |g: &Gram| g.up_to_constant().unwrap_or_else(|| g.clone());
        Some(Gram::new(Sum { terms: self.terms.iter().map(|(w, g)| (*w, drop(g))).collect() }))
    }
}

/// The elementwise product of Gram matrices (positive semidefinite if all are: Schur).
pub struct Product {
    factors: Vec<Gram>,
}

impl Product {
    /// At least one, all of one size.
    pub fn new(factors: Vec<Gram>) -> Result<Self> {
        check_sizes(factors.iter())?;
        Ok(Self { factors })
    }
}

impl GramSource for Product {
    fn n(&self) -> usize {
        self.factors.first().map_or(0, |g| g.n())
    }
    fn diagonal(&self, ids: &[usize]) -> Vec<f64> {
        let mut d = vec![1.0; ids.len()];
        for g in &self.factors {
            d.iter_mut().zip(g.diagonal(ids)).for_each(|(o, v)| *o *= v);
        }
        d
    }
    fn block(&self, a: &[usize], b: &[usize]) -> Array2<f64> {
        let mut k = Array2::ones((a.len(), b.len()));
        for g in &self.factors {
            k *= &g.block(a, b);
        }
        k
    }
    fn row(&self, i: usize, out: &mut [f64]) {
        let mut part = vec![0.0; out.len()];
        out.fill(1.0);
        for g in &self.factors {
            g.row(i, &mut part);
            out.iter_mut().zip(&part).for_each(|(o, v)| *o *= v);
        }
    }
    fn restrict(&self, ids: &[usize]) -> Gram {
        Gram::new(Product { factors: self.factors.iter().map(|g| g.restrict(ids)).collect() })
    }
    fn sketch(&self, p: usize, streams: &Streams) -> Option<Gram> {
        // Products of independent sketches: √p (s ∘ s'), each with entries of variance 1/p.
        let parts: Option<Vec<Rows>> =
            (0..).zip(&self.factors).map(|(t, g)| g.sketch(p, &streams.index(t))?.rows()).collect();
        Some(FeatureGram::linear(Rows::multiplied(parts?, (p as f64).sqrt())).into())
    }
}

/// `scale k + offset`: normalisations that are never written into a matrix.
pub struct Affine {
    of: Gram,
    scale: f64,
    offset: f64,
}

impl Affine {
    /// `scale` must be positive for the result to stay a kernel.
    pub fn new(of: Gram, scale: f64, offset: f64) -> Self {
        Self { of, scale, offset }
    }
}

impl GramSource for Affine {
    fn n(&self) -> usize {
        self.of.n()
    }
    fn diagonal(&self, ids: &[usize]) -> Vec<f64> {
        self.of.diagonal(ids).into_iter().map(|v| self.scale * v + self.offset).collect()
    }
    fn block(&self, a: &[usize], b: &[usize]) -> Array2<f64> {
        let mut k = self.of.block(a, b);
        k.mapv_inplace(|v| self.scale * v + self.offset);
        k
    }
    fn row(&self, i: usize, out: &mut [f64]) {
        self.of.row(i, out);
        out.iter_mut().for_each(|v| *v = self.scale * *v + self.offset);
    }
    fn restrict(&self, ids: &[usize]) -> Gram {
        match self.rows() {
            Some(rows) => FeatureGram::linear(rows).restrict(ids),
            None => Gram::new(Affine { of: self.of.restrict(ids), ..*self }),
        }
    }
    fn rows(&self) -> Option<Rows> {
        if self.scale < 0.0 || self.offset < 0.0 {
            return None;
        }
        let (root, constant) = (self.scale.sqrt(), self.offset.sqrt());
        let rows = self.of.rows()?;
        let (d, extra) = (rows.d(), usize::from(constant > 0.0));
        Some(rows.map(d + extra, move |x| {
            if extra == 0 {
                return x * root;
            }
            let mut y = Array2::from_elem((x.nrows(), d + 1), constant);
            y.slice_mut(ndarray::s![.., ..d]).assign(&(x * root));
            y
        }))
    }
    fn sketch(&self, p: usize, streams: &Streams) -> Option<Gram> {
        if self.offset != 0.0 {
            return FeatureGram::linear(self.rows()?).sketch(p, streams);
        }
        Some(Gram::new(Affine { of: self.of.sketch(p, streams)?, ..*self }))
    }
    fn up_to_constant(&self) -> Option<Gram> {
        let inner = self.of.up_to_constant();
        if self.offset == 0.0 && inner.is_none() {
            return None;
        }
        Some(Gram::new(Affine { of: inner.unwrap_or_else(|| self.of.clone()), scale: self.scale, offset: 0.0 }))
    }
}
