//! Gram matrices that are read by row, block or diagonal and become dense only on request.

use super::linalg::{matmul_t, sq_norms};
use crate::domain::Inputs;
use crate::error::{Error, Result};
use ndarray::{Array1, Array2, ArrayView2, Axis};
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
    /// Explicit features whose inner products are the kernel, if the matrix is held that way and the
    /// rows are in memory: n x d.
    fn features(&self) -> Option<ArrayView2<'_, f64>> {
        None
    }
    /// The same kernel over some positions only, prepared for many row reads.
    fn restrict(&self, ids: &[usize]) -> Gram;
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

    /// A stored matrix; must be square, symmetric (relative 1e-8) and finite.
    pub fn dense(k: Array2<f64>) -> Result<Self> {
        let n = k.nrows();
        if k.ncols() != n {
            return Err(Error::Numerical(format!("a kernel matrix must be square, this one is {n} x {}", k.ncols())));
        }
        for i in 0..n {
            for j in 0..=i {
                let (a, b) = (k[(i, j)], k[(j, i)]);
                if !a.is_finite() || !b.is_finite() {
                    return Err(Error::Numerical(format!("kernel entry ({i}, {j}) is {a}; entries must be finite")));
                }
                if (a - b).abs() > 1e-8 * a.abs().max(b.abs()).max(1e-300) {
                    return Err(Error::Numerical(format!(
                        "the kernel matrix is not symmetric: ({i}, {j}) is {a} and ({j}, {i}) is {b}"
                    )));
                }
            }
        }
        Ok(Self::new(Dense(k)))
    }

    /// The inner products of the rows of `x`.
    pub fn of_features(x: Array2<f64>) -> Self {
        FeatureGram::linear(Rows::Held(Arc::new(x))).into()
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

struct Dense(Array2<f64>);

impl GramSource for Dense {
    fn n(&self) -> usize {
        self.0.nrows()
    }
    fn diagonal(&self, ids: &[usize]) -> Vec<f64> {
        ids.iter().map(|&i| self.0[(i, i)]).collect()
    }
    fn block(&self, a: &[usize], b: &[usize]) -> Array2<f64> {
        Array2::from_shape_fn((a.len(), b.len()), |(i, j)| self.0[(a[i], b[j])])
    }
    fn row(&self, i: usize, out: &mut [f64]) {
        out.iter_mut().zip(self.0.row(i)).for_each(|(o, v)| *o = *v);
    }
    fn restrict(&self, ids: &[usize]) -> Gram {
        Gram::new(Dense(self.block(ids, ids)))
    }
}

/// Where feature rows come from.
#[derive(Clone)]
pub enum Rows {
    /// In memory: n x d.
    Held(Arc<Array2<f64>>),
    /// Composed from the inputs when asked for; nothing of the pool's size is stored.
    Composed(Arc<Inputs>),
}

impl Rows {
    fn n(&self) -> usize {
        match self {
            Rows::Held(x) => x.nrows(),
            Rows::Composed(inputs) => inputs.pool().len(),
        }
    }

    fn get(&self, ids: &[usize]) -> Array2<f64> {
        match self {
            Rows::Held(x) => x.select(Axis(0), ids),
            Rows::Composed(inputs) => inputs.features(ids),
        }
    }
}

/// Turns squared distances into kernel values, in place.
type Radial = Arc<dyn Fn(&mut [f64]) + Send + Sync>;

/// A kernel of feature rows: inner products, or a function of Euclidean distance.
#[derive(Clone)]
pub struct FeatureGram {
    rows: Rows,
    unit: bool,
    radial: Option<Radial>,
    norms: Option<Arc<Vec<f64>>>,
}

impl FeatureGram {
    /// k(x, x') = ⟨x, x'⟩.
    pub fn linear(rows: Rows) -> Self {
        Self { rows, unit: false, radial: None, norms: None }
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
                    return Err(Error::Numerical(format!(
                        "row {} has zero norm, so its cosine similarity is not defined; \
                         set `missing = \"mean\"` under [pool] or use another kernel",
                        start + i
                    )));
                }
            }
        }
        Ok(Self { rows, unit: true, radial: None, norms: None })
    }

    /// k(x, x') = f(‖x - x'‖²), with f applied in place to a slice; f(0) must be the diagonal.
    pub fn radial(rows: Rows, f: impl Fn(&mut [f64]) + Send + Sync + 'static) -> Self {
        Self { rows, unit: false, radial: Some(Arc::new(f)), norms: None }
    }

    fn get(&self, ids: &[usize]) -> Array2<f64> {
        let mut x = self.rows.get(ids);
        if self.unit && self.norms.is_none() {
            for mut row in x.outer_iter_mut() {
                let norm = row.dot(&row).sqrt();
                if norm > 0.0 {
                    row /= norm;
                }
            }
        }
        x
    }
}

impl From<FeatureGram> for Gram {
    fn from(g: FeatureGram) -> Gram {
        match &g.rows {
            // Rows in memory are prepared at once, so that row reads cost one product each.
            Rows::Held(_) if g.norms.is_none() => {
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
        match (&self.radial, &self.norms) {
            (Some(f), _) => {
                let mut d = vec![0.0; ids.len()];
                f(&mut d);
                d
            }
            (None, Some(norms)) => ids.iter().map(|&i| norms[i]).collect(),
            (None, None) => {
                let mut d = Vec::with_capacity(ids.len());
                for tile in ids.chunks(4096) {
                    d.extend(sq_norms(self.get(tile).view()));
                }
                d
            }
        }
    }

    fn block(&self, a: &[usize], b: &[usize]) -> Array2<f64> {
        let x = self.get(a);
        // The same rows on both sides need to be formed, and multiplied, only once.
        let y = if a == b { None } else { Some(self.get(b)) };
        let y = y.as_ref().unwrap_or(&x).view();
        match &self.radial {
            None => matmul_t(x.view(), y),
            Some(f) => super::linalg::sq_distances_with(x.view(), y, |i, row| {
                // A point is at distance exactly 0 from itself, whatever rounding says.
                row.iter_mut().zip(b).filter(|(_, j)| a[i] == **j).for_each(|(v, _)| *v = 0.0);
                f(row);
            }),
        }
    }

    fn row(&self, i: usize, out: &mut [f64]) {
        let (Rows::Held(x), Some(norms)) = (&self.rows, &self.norms) else {
            let x = self.get(&[i]);
            let mut at = 0;
            let all: Vec<usize> = (0..self.n()).collect();
            for tile in all.chunks(4096) {
                let y = self.get(tile);
                let mut part = match &self.radial {
                    None => matmul_t(x.view(), y.view()),
                    Some(_) => super::linalg::sq_distances(x.view(), y.view()),
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
        super::linalg::times_vector(x.view(), x.row(i), out);
        if let Some(f) = &self.radial {
            let n = norms[i];
            out.iter_mut().zip(norms.iter()).for_each(|(o, m)| *o = (n + m - 2.0 * *o).max(0.0));
            out[i] = 0.0;
            f(out);
        }
    }

    fn features(&self) -> Option<ArrayView2<'_, f64>> {
        match (&self.rows, &self.radial, &self.norms) {
            (Rows::Held(x), None, Some(_)) => Some(x.view()),
            _ => None,
        }
    }

    fn restrict(&self, ids: &[usize]) -> Gram {
        let mut x = self.get(ids);
        if self.radial.is_some() {
            // Distances do not change when the origin moves, and are formed from norms without loss.
            if let Some(m) = x.mean_axis(Axis(0)) {
                x -= &m;
            }
        }
        let norms = sq_norms(x.view());
        Gram::new(FeatureGram { rows: Rows::Held(Arc::new(x)), norms: Some(Arc::new(norms)), ..self.clone() })
    }
}

/// A weighted sum of Gram matrices; stays in feature form if all its terms are.
pub struct Sum {
    terms: Vec<(f64, Gram)>,
}

impl Sum {
    /// Non-negative weights keep the sum positive semidefinite.
    pub fn new(terms: Vec<(f64, Gram)>) -> Result<Self> {
        match terms.first() {
            None => Err(Error::Config("a fusion of no kernels; give it at least one prior".into())),
            Some((_, first)) if terms.iter().any(|(_, g)| g.n() != first.n()) => {
                Err(Error::Numerical("kernels of different sizes cannot be added".into()))
            }
            _ => Ok(Self { terms }),
        }
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
        let terms: Vec<(f64, Gram)> = self.terms.iter().map(|(w, g)| (*w, g.restrict(ids))).collect();
        let parts: Option<Vec<Array2<f64>>> =
            terms.iter().map(|(w, g)| if *w >= 0.0 { g.features().map(|x| &x * w.sqrt()) } else { None }).collect();
        if let Some(parts) = parts {
            let views: Vec<ArrayView2<f64>> = parts.iter().map(|p| p.view()).collect();
            if let Ok(x) = ndarray::concatenate(Axis(1), &views) {
                return Gram::of_features(x);
            }
        }
        Gram::new(Sum { terms })
    }
}

/// The vector of squared distances from position `i` to all, from one row read.
pub fn sq_distance_row(gram: &Gram, diagonal: &[f64], i: usize, out: &mut Array1<f64>) {
    if let Some(s) = out.as_slice_mut() {
        gram.row(i, s);
        let d = diagonal[i];
        s.iter_mut().zip(diagonal).for_each(|(o, x)| *o = (d + x - 2.0 * *o).max(0.0));
        s[i] = 0.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn rows() -> Array2<f64> {
        array![[1.0, 0.5], [0.2, -1.0], [3.0, 1.0], [0.0, 0.25]]
    }

    fn agree(g: &Gram, k: impl Fn(usize, usize) -> f64) {
        let all: Vec<usize> = (0..g.n()).collect();
        let full = g.to_dense(&all);
        let sub = g.restrict(&[2, 0]);
        let mut row = vec![0.0; g.n()];
        for i in 0..g.n() {
            g.row(i, &mut row);
            for j in 0..g.n() {
                assert!((full[(i, j)] - k(i, j)).abs() < 1e-12, "block {i} {j}");
                assert!((row[j] - k(i, j)).abs() < 1e-12, "row {i} {j}");
            }
            assert!((g.diagonal(&[i])[0] - k(i, i)).abs() < 1e-12, "diagonal {i}");
        }
        assert!((sub.to_dense(&[0, 1])[(0, 1)] - k(2, 0)).abs() < 1e-12);
    }

    #[test]
    fn every_form_answers_alike() {
        let x = rows();
        let dot = |i: usize, j: usize| x.row(i).dot(&x.row(j));
        let rbf = |i: usize, j: usize| (-(dot(i, i) + dot(j, j) - 2.0 * dot(i, j)) / 2.0).exp();
        agree(&Gram::of_features(x.clone()), dot);
        agree(&Gram::dense(x.dot(&x.t())).unwrap(), dot);
        let exp = |s: &mut [f64]| s.iter_mut().for_each(|v| *v = (-*v / 2.0).exp());
        let radial: Gram = FeatureGram::radial(Rows::Held(Arc::new(x.clone())), exp).into();
        agree(&radial, rbf);
        let cosine: Gram = FeatureGram::cosine(Rows::Held(Arc::new(x.clone()))).unwrap().into();
        agree(&cosine, |i, j| dot(i, j) / (dot(i, i) * dot(j, j)).sqrt());
        let mixed = Sum::new(vec![(0.5, radial), (2.0, Gram::of_features(x.clone()))]).unwrap();
        agree(&Gram::new(mixed), |i, j| 0.5 * rbf(i, j) + 2.0 * dot(i, j));
        let both = Gram::of_features(x.clone());
        let sum = Gram::new(Sum::new(vec![(0.25, both.clone()), (0.75, both)]).unwrap());
        agree(&sum, dot);
        assert!(sum.restrict(&[0, 1]).features().is_some(), "a sum of features stays in feature form");
    }

    #[test]
    fn bad_matrices_are_refused() {
        let text = |k: Array2<f64>| Gram::dense(k).unwrap_err().to_string();
        assert!(text(array![[1.0, 0.2], [0.3, 1.0]]).contains("not symmetric"));
        assert!(text(array![[1.0, f64::NAN], [0.3, 1.0]]).contains("must be finite"));
        assert!(text(array![[1.0, 0.0]]).contains("square"));
        let zero = Rows::Held(Arc::new(array![[1.0, 1.0], [0.0, 0.0]]));
        let e = FeatureGram::cosine(zero).err().unwrap().to_string();
        assert!(e.contains("row 1 has zero norm"), "{e}");
    }
}
