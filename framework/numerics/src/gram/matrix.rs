//! Gram matrices that are read by row, block or diagonal and become dense only on request.
//!
//! Three forms stand behind one interface: feature rows (n x d), stored matrices, and compositions of
//! others that are evaluated where they are read. Positions are pool ids until [`GramSource::restrict`]
//! renumbers them.

use super::features::{Features, Rows};
use crate::error::{Error, Result};
use crate::linalg::{matmul, matmul_t};
use crate::streams::Streams;
use ndarray::{Array2, Axis};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
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
    fn sketch(&self, p: usize, streams: &Streams) -> Option<Gram> {
        let rows = self.rows()?;
        let mut rng = streams.rng("sketch");
        let scale = (p as f64).sqrt().recip();
        let g = Array2::from_shape_simple_fn((rows.d(), p), || -> f64 {
            let z: f64 = StandardNormal.sample(&mut rng);
            z * scale
        });
        Some(FeatureGram::linear(rows.map(p, move |x| matmul(x.view(), g.view()))).into())
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

/// A stored matrix, or some of its positions: a restriction shares the numbers.
struct Dense<T> {
    k: Arc<Array2<T>>,
    ids: Option<Arc<[usize]>>,
}

impl<T> Dense<T> {
    fn at(&self, i: usize) -> usize {
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

/// Turns squared distances into kernel values, in place.
type Radial = Arc<dyn Fn(&mut [f64]) + Send + Sync>;

/// A kernel of feature rows: inner products, or a function of Euclidean distance.
#[derive(Clone)]
pub struct FeatureGram {
    rows: Rows,
    radial: Option<Radial>,
    single: bool,
    held: Option<Held>,
}

/// Rows in memory with their squared norms.
#[derive(Clone)]
struct Held {
    features: Features,
    norms: Arc<Vec<f64>>,
}

impl Held {
    fn new(features: Features) -> Self {
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
}

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
        assert!(text(array![[1.0, 0.0], [0.0, -1.0]]).contains("negative diagonal entry -1 at 1"));
        let zero = Rows::Held(Arc::new(array![[1.0, 1.0], [0.0, 0.0]]));
        let e = FeatureGram::cosine(zero).err().unwrap().to_string();
        assert!(e.contains("row 1 has zero norm"), "{e}");
    }
}
