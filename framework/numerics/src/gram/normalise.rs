//! Normalisations of kernels: one or two constants, or one number a row, computed over a scope of positions and
//! applied where entries are read. Nothing n x n is stored.
//!
//! K is the matrix over the scope (measured perturbations and candidates). The largest entry of a positive
//! semidefinite matrix is its largest diagonal entry, so `max`, `diag` and `trace` read the diagonal only;
//! `min_max` passes over the lower triangle once in tiles, `frobenius` of d < n features is ‖ΦᵀΦ‖_F in O(n d²),
//! and `center` subtracts the mean row of features.

use super::features::{Features, Rows};
use super::matrix::{Affine, FeatureGram, Gram, GramSource, unit_rows};
use crate::error::{Error, Result};
use crate::linalg::matmul_t;
use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;

/// How the size of a kernel is made comparable with that of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalise {
    /// K as it is.
    None,
    /// K / max K: the code behind every figure of IterPert.
    #[default]
    Max,
    /// (K - min K) / (max K - min K): what the paper of IterPert says. Subtracts a constant where min K > 0, and
    /// may then no longer be positive semidefinite; its distances always are.
    MinMax,
    /// K over the mean of its diagonal.
    Diag,
    /// K_ij / √(K_ii K_jj).
    Cosine,
    /// K over its trace.
    Trace,
    /// K over its Frobenius norm.
    Frobenius,
    /// H K H with H = I - 11ᵀ/n.
    Center,
    /// `center`, then `diag`: every kernel gets the same mean squared distance.
    CenterDiag,
}

impl Normalise {
    /// The kernel normalised by its matrix over the positions `scope`, and whether it is known to be positive
    /// semidefinite, given whether it was before. Feature forms stay feature forms, except under `min_max`
    /// where min K > 0. Numbers outside the scope may be anything.
    pub fn apply(self, gram: &Gram, scope: &[usize], psd: bool) -> Result<(Gram, bool)> {
        let psd = psd || gram.rows().is_some();
        if scope.is_empty() {
            return Err(Error::Setting("a kernel cannot be normalised over no perturbations".into()));
        }
        let over = |size: f64, what: &str| -> Result<(Gram, bool)> {
            let size = positive(size, what)?;
            Ok((Gram::new(Affine::new(gram.clone(), size.recip(), 0.0)), psd))
        };
        match self {
            Normalise::None => Ok((gram.clone(), psd)),
            Normalise::Max if psd => over(largest(&diagonal(gram, scope)?), "largest entry"),
            Normalise::Max => over(extremes(&gram.restrict(scope))?.1, "largest entry"),
            Normalise::Diag => over(mean(&diagonal(gram, scope)?), "mean of the diagonal"),
            Normalise::Trace => over(diagonal(gram, scope)?.iter().sum(), "trace"),
            Normalise::Frobenius => over(frobenius(&gram.restrict(scope))?, "Frobenius norm"),
            Normalise::MinMax => {
                let (low, mut high) = extremes(&gram.restrict(scope))?;
                if psd {
                    // The diagonal holds the maximum; as rounded there, so that it becomes exactly 1.
                    high = largest(&diagonal(gram, scope)?);
                }
                let scale = positive(high - low, "range from the smallest to the largest entry")?.recip();
                let offset = -low * scale;
                Ok((Gram::new(Affine::new(gram.clone(), scale, offset)), psd && offset >= 0.0))
            }
            Normalise::Cosine => Ok((cosine(gram, scope)?, psd)),
            Normalise::Center => Ok((centre(gram, scope)?, psd)),
            Normalise::CenterDiag => {
                let centred = centre(gram, scope)?;
                // Rounding leaves something of a kernel that is constant.
                let (before, after) = (mean(&diagonal(gram, scope)?), mean(&diagonal(&centred, scope)?));
                let size = if after.abs() <= 1e-13 * before.abs() { 0.0 } else { after };
                let size = positive(size, "mean of the diagonal after centring")?;
                Ok((Gram::new(Affine::new(centred, size.recip(), 0.0)), psd))
            }
        }
    }
}

/// Normalising constants must be positive numbers.
fn positive(v: f64, what: &str) -> Result<f64> {
    if v.is_finite() && v > 0.0 {
        return Ok(v);
    }
    Err(Error::Breakdown(format!(
        "a kernel whose {what} is {v} cannot be normalised by it: it tells no perturbations apart; leave its source out, \
         or set normalise = \"none\""
    )))
}

fn largest(v: &[f64]) -> f64 {
    v.iter().fold(f64::NEG_INFINITY, |a, b| a.max(*b))
}

fn mean(v: &[f64]) -> f64 {
    v.iter().sum::<f64>() / v.len() as f64
}

/// The diagonal, finite.
fn diagonal(gram: &Gram, scope: &[usize]) -> Result<Vec<f64>> {
    let d = gram.diagonal(scope);
    match d.iter().position(|v| !v.is_finite()) {
        None => Ok(d),
        Some(i) => Err(Error::Breakdown(format!(
            "the kernel of perturbation {} with itself is {}; check the features for huge or missing values",
            scope[i], d[i]
        ))),
    }
}

/// Rows and columns of a tile.
const ROWS: usize = 256;
const COLUMNS: usize = 2048;

/// Visits the tiles of a matrix (its lower triangle with the diagonal, or all of it), a band of rows after another
/// on several threads; what the bands found, in order. A tile of the triangle may reach beyond the diagonal.
fn bands<T: Default + Send>(
    g: &Gram,
    lower: bool,
    visit: impl Fn(&mut T, Range<usize>, Range<usize>, ArrayView2<f64>) + Sync,
) -> Vec<T> {
    let n = g.n();
    let held = match g.features() {
        Some(Features::F64(x)) => Some(x.clone()),
        _ => None,
    };
    (0..n.div_ceil(ROWS))
        .into_par_iter()
        .map(|t| {
            let rows = t * ROWS..n.min((t + 1) * ROWS);
            let end = if lower { rows.end } else { n };
            let mut found = T::default();
            for start in (0..end).step_by(COLUMNS) {
                let columns = start..end.min(start + COLUMNS);
                let tile = match &held {
                    Some(x) => matmul_t(x.slice(s![rows.clone(), ..]), x.slice(s![columns.clone(), ..])),
                    None => g.block(&rows.clone().collect::<Vec<_>>(), &columns.clone().collect::<Vec<_>>()),
                };
                visit(&mut found, rows.clone(), columns, tile.view());
            }
            found
        })
        .collect()
}

/// Smallest and largest of some numbers, with the sum to tell whether all are finite. Eight lanes at a time.
fn extremes_of(v: &[f64]) -> (f64, f64, f64) {
    let (mut low, mut high, mut sum) = ([f64::INFINITY; 8], [f64::NEG_INFINITY; 8], [0.0; 8]);
    let eights = v.chunks_exact(8);
    let rest = eights.remainder();
    for c in eights {
        for i in 0..8 {
            low[i] = if c[i] < low[i] { c[i] } else { low[i] };
            high[i] = if c[i] > high[i] { c[i] } else { high[i] };
            sum[i] += c[i];
        }
    }
    let fold = |a: (f64, f64, f64), l: f64, h: f64, s: f64| (a.0.min(l), a.1.max(h), a.2 + s);
    let start = (f64::INFINITY, f64::NEG_INFINITY, 0.0);
    let most = (0..8).fold(start, |a, i| fold(a, low[i], high[i], sum[i]));
    rest.iter().fold(most, |a, v| fold(a, *v, *v, *v))
}

/// Smallest and largest entry.
fn extremes(g: &Gram) -> Result<(f64, f64)> {
    #[derive(Clone, Copy)]
    struct Found(f64, f64, f64);
    impl Default for Found {
        fn default() -> Self {
            Found(f64::INFINITY, f64::NEG_INFINITY, 0.0)
        }
    }
    let found = bands(g, true, |f: &mut Found, _, _, tile| {
        for row in tile.outer_iter() {
            let (low, high, sum) = row.as_slice().map_or_else(|| extremes_of(&row.to_vec()), extremes_of);
            *f = Found(f.0.min(low), f.1.max(high), f.2 + sum);
        }
    });
    finite(found.iter().map(|f| f.2).sum())?;
    Ok(found.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |a, f| (a.0.min(f.0), a.1.max(f.1))))
}

/// A sum over all entries, which is a number only if they are.
fn finite(sum: f64) -> Result<f64> {
    if sum.is_finite() {
        return Ok(sum);
    }
    Err(Error::Breakdown(
        "a kernel holds entries that are not finite; check the features for huge or missing values".into(),
    ))
}

/// ‖K‖_F.
fn frobenius(g: &Gram) -> Result<f64> {
    if let Some(x) = g.features().filter(|x| x.d() < x.n()) {
        return Ok(finite(x.covariance().iter().map(|v| v * v).sum())?.sqrt());
    }
    let parts = bands(g, true, |sum: &mut f64, rows, columns, tile| {
        for (i, row) in rows.zip(tile.outer_iter()) {
            for (j, v) in columns.clone().zip(row).filter(|(j, _)| *j <= i) {
                *sum += if j < i { 2.0 * v * v } else { v * v };
            }
        }
    });
    Ok(finite(parts.iter().sum())?.sqrt())
}

fn cosine(gram: &Gram, scope: &[usize]) -> Result<Gram> {
    let diagonal = diagonal(gram, scope)?;
    if let Some(i) = diagonal.iter().position(|v| *v <= 0.0) {
        return Err(Error::Breakdown(format!(
            "perturbation {} has zero norm in this kernel, so its cosine similarity is not defined; leave the source \
             out where it knows nothing, or choose another normalisation",
            scope[i]
        )));
    }
    if let Some(rows) = gram.rows() {
        return Ok(FeatureGram::linear(unit_rows(rows)).into());
    }
    let mut scale = vec![f64::NAN; gram.n()];
    scope.iter().zip(&diagonal).for_each(|(&i, d)| scale[i] = d.sqrt().recip());
    Ok(Gram::new(ByRow { of: gram.clone(), scale, shift: vec![0.0; gram.n()], constant: 0.0 }))
}

fn centre(gram: &Gram, scope: &[usize]) -> Result<Gram> {
    if let Some(rows) = gram.rows() {
        return Ok(FeatureGram::linear(centred_rows(rows, scope)?).into());
    }
    let n = scope.len() as f64;
    let bands = bands(&gram.restrict(scope), false, |sums: &mut Vec<f64>, _, columns, tile| {
        if columns.start == 0 {
            *sums = vec![0.0; tile.nrows()];
        }
        sums.iter_mut().zip(tile.outer_iter()).for_each(|(s, row)| *s += row.sum());
    });
    let means: Vec<f64> = bands.concat().into_iter().map(|s| s / n).collect();
    let constant = finite(means.iter().sum())? / n;
    let mut shift = vec![f64::NAN; gram.n()];
    scope.iter().zip(&means).for_each(|(&i, m)| shift[i] = *m);
    Ok(Gram::new(ByRow { of: gram.clone(), scale: vec![1.0; gram.n()], shift, constant }))
}

/// The rows less their mean over the scope.
fn centred_rows(rows: Rows, scope: &[usize]) -> Result<Rows> {
    let mut sum = Array1::<f64>::zeros(rows.d());
    for tile in scope.chunks(4096) {
        sum += &rows.get(tile).sum_axis(Axis(0));
    }
    finite(sum.sum())?;
    let (d, mean) = (rows.d(), sum / scope.len() as f64);
    Ok(rows.map(d, move |x| x - &mean))
}

/// s_i s_j k(i, j) - m_i - m_j + c: cosine and centring of kernels without features. Numbers of positions outside
/// the scope are not numbers.
struct ByRow {
    of: Gram,
    scale: Vec<f64>,
    shift: Vec<f64>,
    constant: f64,
}

impl ByRow {
    fn entry(&self, i: usize, j: usize, k: f64) -> f64 {
        // The shifts are added first, so that (i, j) and (j, i) are the same bits.
        self.scale[i] * self.scale[j] * k - (self.shift[i] + self.shift[j]) + self.constant
    }
}

impl GramSource for ByRow {
    fn n(&self) -> usize {
        self.of.n()
    }
    fn diagonal(&self, ids: &[usize]) -> Vec<f64> {
        let d = self.of.diagonal(ids);
        ids.iter().zip(d).map(|(&i, k)| self.entry(i, i, k)).collect()
    }
    fn block(&self, a: &[usize], b: &[usize]) -> Array2<f64> {
        let mut k = self.of.block(a, b);
        for (mut row, &i) in k.outer_iter_mut().zip(a) {
            row.iter_mut().zip(b).for_each(|(v, &j)| *v = self.entry(i, j, *v));
        }
        k
    }
    fn row(&self, i: usize, out: &mut [f64]) {
        self.of.row(i, out);
        out.iter_mut().enumerate().for_each(|(j, v)| *v = self.entry(i, j, *v));
    }
    fn restrict(&self, ids: &[usize]) -> Gram {
        let pick = |v: &[f64]| ids.iter().map(|&i| v[i]).collect();
        Gram::new(ByRow {
            of: self.of.restrict(ids),
            scale: pick(&self.scale),
            shift: pick(&self.shift),
            constant: self.constant,
        })
    }
    fn up_to_constant(&self) -> Option<Gram> {
        // d²(i, j) = k'(i, i) + k'(j, j) - 2 k'(i, j): shifts and constant cancel.
        self.scale.iter().all(|s| *s == 1.0).then(|| self.of.clone())
    }
}

/// Kernel alignment ⟨A, B⟩_F / (‖A‖_F ‖B‖_F) of two matrices over the same positions; `centred`: of H A H and
/// H B H (Cristianini et al. 2002; Cortes et al. 2012). Nothing where one is zero. Features stay features where
/// that is cheaper.
pub fn alignment(a: &Gram, b: &Gram, centred: bool) -> Result<Option<f64>> {
    let n = a.n();
    let features = |g: &Gram| g.features().filter(|x| x.d() <= n / 2).map(|x| x.to_f64());
    if let (Some(x), Some(y)) = (features(a), features(b)) {
        return Ok(feature_alignment(x.view(), y.view(), centred));
    }
    let all: Vec<usize> = (0..n).collect();
    let (mut a, mut b) = (a.to_dense(&all), b.to_dense(&all));
    if centred {
        for k in [&mut a, &mut b] {
            centre_dense(k);
        }
    }
    ratio(dot(&a, &b), dot(&a, &a), dot(&b, &b))
}

/// [`alignment`] of the inner products of the rows of `x` and of `y`, both with one row a perturbation.
pub fn feature_alignment(x: ArrayView2<f64>, y: ArrayView2<f64>, centred: bool) -> Option<f64> {
    let less_mean = |x: ArrayView2<f64>| match x.mean_axis(Axis(0)) {
        Some(m) if centred => &x - &m,
        _ => x.to_owned(),
    };
    let (x, y) = (less_mean(x), less_mean(y));
    if x.ncols().max(y.ncols()) > x.nrows() {
        let (a, b) = (matmul_t(x.view(), x.view()), matmul_t(y.view(), y.view()));
        return ratio(dot(&a, &b), dot(&a, &a), dot(&b, &b)).ok().flatten();
    }
    // ⟨XXᵀ, YYᵀ⟩ = ‖XᵀY‖².
    let square = |a: &Array2<f64>, b: &Array2<f64>| {
        let p = crate::linalg::matmul(a.t(), b.view());
        dot(&p, &p)
    };
    ratio(square(&x, &y), square(&x, &x), square(&y, &y)).ok().flatten()
}

fn ratio(ab: f64, aa: f64, bb: f64) -> Result<Option<f64>> {
    finite(ab + aa + bb)?;
    let size = aa.sqrt() * bb.sqrt();
    Ok((size > 0.0).then(|| ab / size))
}

/// Sum of the products of entries.
pub fn dot(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// H K H in place.
pub fn centre_dense(k: &mut Array2<f64>) {
    let Some(means) = k.mean_axis(Axis(1)) else { return };
    let all = means.mean().unwrap_or(0.0);
    for (i, mut row) in k.outer_iter_mut().enumerate() {
        row.iter_mut().zip(&means).for_each(|(v, m)| *v += all - (means[i] + m));
    }
}

/// The mean of normalised kernels of feature rows as a stored matrix in single precision: each of `sources` is
/// n x d_m, the normalisation is `max` or `min_max`. Tiles of the lower triangle only, so half the products of
/// whole matrices; at most 6 bytes an entry of the result at a time. O(n² Σd_m).
pub fn fuse_dense(sources: &[Arc<Array2<f32>>], normalise: Normalise) -> Result<Gram> {
    const T: usize = 256;
    let n = sources.first().map_or(0, |x| x.nrows());
    if n == 0 || sources.iter().any(|x| x.nrows() != n) {
        return Err(Error::Setting("a fusion needs sources that describe the same perturbations".into()));
    }
    let share = 1.0 / sources.len() as f64;
    let high: Vec<f64> = sources
        .iter()
        .map(|x| largest(&x.outer_iter().map(|r| r.iter().map(|v| f64::from(*v).powi(2)).sum()).collect::<Vec<f64>>()))
        .collect();
    let bands = n.div_ceil(T);
    let places: Vec<(usize, usize)> = (0..bands).flat_map(|i| (0..=i).map(move |j| (i, j))).collect();
    let span = |t: usize| t * T..n.min((t + 1) * T);
    let product = |tile: &mut Vec<f32>, (i, j): (usize, usize), x: &Array2<f32>, keep: bool, weight: f64| {
        let (rows, columns) = (span(i), span(j));
        tile.resize(rows.len() * columns.len(), 0.0);
        if let Ok(mut out) = ndarray::ArrayViewMut2::from_shape((rows.len(), columns.len()), &mut tile[..]) {
            let (a, b) = (x.slice(s![rows, ..]), x.slice(s![columns, ..]));
            crate::linalg::product_into(&mut out, a, b.t(), keep, weight as f32);
        }
    };
    let mut sum: Vec<Vec<f32>> = vec![Vec::new(); places.len()];
    let mut constant = 0.0;
    match normalise {
        Normalise::Max => {
            let weights: Vec<f64> =
                high.iter().map(|h| Ok(share / positive(*h, "largest entry")?)).collect::<Result<_>>()?;
            sum.par_iter_mut().zip(&places).for_each(|(tile, at)| {
                for (m, (x, w)) in sources.iter().zip(&weights).enumerate() {
                    product(tile, *at, x, m > 0, *w);
                }
            });
        }
        Normalise::MinMax => {
            // A kernel's weight is known only when all of it has been seen: it waits in `last` until the next is made.
            let mut last: Vec<Vec<f32>> = vec![Vec::new(); places.len()];
            let mut weight = 0.0f32;
            let add = |sum: &mut Vec<f32>, last: &[f32], weight: f32| {
                sum.resize(last.len(), 0.0);
                sum.iter_mut().zip(last).for_each(|(s, l)| *s += weight * l);
            };
            for (x, high) in sources.iter().zip(&high) {
                let lows: Vec<f32> = sum
                    .par_iter_mut()
                    .zip(&mut last)
                    .zip(&places)
                    .map(|((sum, last), at)| {
                        if weight > 0.0 {
                            add(sum, last, weight);
                        }
                        product(last, *at, x, false, 1.0);
                        lowest(last)
                    })
                    .collect();
                let low = f64::from(lows.into_iter().fold(f32::INFINITY, f32::min));
                let w = share / positive(high - low, "range from the smallest to the largest entry")?;
                constant += w * low;
                weight = w as f32;
            }
            sum.par_iter_mut().zip(last).for_each(|(sum, last)| add(sum, &last, weight));
        }
        other => {
            return Err(Error::Setting(format!("a dense fusion normalises by max or min_max, not {other:?}")));
        }
    }
    // Each band of rows of the result copies its own tiles, and turned those below its diagonal.
    let mut out = Array2::<f32>::zeros((n, n));
    let constant = constant as f32;
    out.axis_chunks_iter_mut(Axis(0), T).into_par_iter().enumerate().for_each(|(i, mut band)| {
        for j in 0..bands {
            let (rows, columns) = (span(i), span(j));
            let at = |a: usize, b: usize| a * (a + 1) / 2 + b;
            let mut to = band.slice_mut(s![.., columns.clone()]);
            if j <= i {
                let tile = &sum[at(i, j)];
                for (mut row, from) in to.outer_iter_mut().zip(tile.chunks_exact(columns.len())) {
                    row.iter_mut().zip(from).for_each(|(o, v)| *o = v - constant);
                }
            } else {
                let tile = &sum[at(j, i)];
                for r in 0..rows.len() {
                    for (c, o) in to.row_mut(r).iter_mut().enumerate() {
                        *o = tile[c * rows.len() + r] - constant;
                    }
                }
            }
        }
    });
    finite(out.diag().iter().map(|v| f64::from(*v)).sum())?;
    Ok(Gram::stored_single(out))
}

/// Smallest of some numbers; eight lanes at a time.
fn lowest(v: &[f32]) -> f32 {
    let mut low = [f32::INFINITY; 16];
    let chunks = v.chunks_exact(16);
    let rest = chunks.remainder().iter().fold(f32::INFINITY, |a, b| a.min(*b));
    for c in chunks {
        for i in 0..16 {
            low[i] = if c[i] < low[i] { c[i] } else { low[i] };
        }
    }
    low.into_iter().fold(rest, f32::min)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::Streams;
    use crate::{Product, Sum, eigh};
    use rand_distr::{Distribution, StandardNormal};

    fn normals(n: usize, d: usize, seed: u64) -> Array2<f64> {
        let mut rng = Streams::new(seed).rng("x");
        Array2::from_shape_simple_fn((n, d), || StandardNormal.sample(&mut rng))
    }

    fn golden() -> serde_json::Value {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/numerics.json");
        let all: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        all["kernels"].clone()
    }

    fn matrix(v: &serde_json::Value) -> Array2<f64> {
        let rows: Vec<Vec<f64>> = serde_json::from_value(v.clone()).unwrap();
        Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j])
    }

    fn near(a: &Array2<f64>, b: &Array2<f64>) {
        let scale = b.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        assert_eq!(a.dim(), b.dim());
        for ((at, a), b) in a.indexed_iter().zip(b) {
            assert!((a - b).abs() <= 1e-9 * b.abs().max(1e-3 * scale), "{at:?}: {a} {b}");
        }
    }

    #[test]
    fn golden_matrices_alignments_and_fusions() {
        let g = golden();
        let all: Vec<usize> = (0..9).collect();
        let grams: Vec<Gram> = (0..3).map(|m| Gram::dense(matrix(&g["matrices"][m])).unwrap()).collect();
        for (i, j) in [(0, 1), (0, 2), (1, 2)] {
            for (centred, name) in [(false, "alignment"), (true, "centred_alignment")] {
                let Some(want) = g[format!("{name}_{i}{j}")].as_f64() else { continue };
                let got = alignment(&grams[i], &grams[j], centred).unwrap().unwrap();
                assert!((got - want).abs() < 1e-12, "{name} {i} {j}: {got} {want}");
            }
        }
        let scaled: Vec<Gram> = grams.iter().map(|k| Normalise::MinMax.apply(k, &all, true).unwrap().0).collect();
        for m in 0..3 {
            near(&scaled[m].to_dense(&all), &matrix(&g["minmax"][m]));
        }
        let sum = |w: &[f64]| Gram::new(Sum::new(w.iter().copied().zip(scaled.clone()).collect()).unwrap());
        near(&sum(&[1.0 / 3.0; 3]).to_dense(&all), &matrix(&g["fusion_mean"]));
        near(&Gram::new(Product::new(scaled.clone()).unwrap()).to_dense(&all), &matrix(&g["fusion_product"]));
        let weights: Vec<f64> = (0..3).map(|m| alignment(&scaled[0], &scaled[m], false).unwrap().unwrap()).collect();
        for (m, w) in weights.iter().enumerate() {
            assert!((w - g["alignment_weights_to_minmax0"][m].as_f64().unwrap()).abs() < 1e-12);
        }
        near(&sum(&weights).to_dense(&all), &matrix(&g["fusion_alignment_weighted"]));
    }

    /// Entry by entry from the definition, for features, for a stored matrix, and over part of the positions.
    #[test]
    fn every_normalisation_is_its_formula() {
        let x = normals(300, 5, 1) + 0.7;
        let scope: Vec<usize> = (0..300).filter(|i| i % 7 != 3).collect();
        let n = scope.len() as f64;
        let full = x.dot(&x.t());
        let k = Array2::from_shape_fn((scope.len(), scope.len()), |(i, j)| full[(scope[i], scope[j])]);
        let (low, high, _) = extremes_of(k.as_slice().unwrap());
        let d = k.diag().to_owned();
        let mut centred = k.clone();
        centre_dense(&mut centred);
        let want = |by| match by {
            Normalise::None => k.clone(),
            Normalise::Max => &k / high,
            Normalise::MinMax => (&k - low) / (high - low),
            Normalise::Diag => &k / (d.sum() / n),
            Normalise::Cosine => Array2::from_shape_fn(k.dim(), |(i, j)| k[(i, j)] / (d[i] * d[j]).sqrt()),
            Normalise::Trace => &k / d.sum(),
            Normalise::Frobenius => &k / dot(&k, &k).sqrt(),
            Normalise::Center => centred.clone(),
            Normalise::CenterDiag => &centred / (centred.diag().sum() / n),
        };
        let all = [
            Normalise::None,
            Normalise::Max,
            Normalise::MinMax,
            Normalise::Diag,
            Normalise::Cosine,
            Normalise::Trace,
            Normalise::Frobenius,
            Normalise::Center,
            Normalise::CenterDiag,
        ];
        for by in all {
            for (gram, features) in [(Gram::of_features(x.clone()), true), (Gram::stored(full.clone()), false)] {
                for psd in [false, true] {
                    let (got, still) = by.apply(&gram, &scope, psd).unwrap();
                    near(&got.to_dense(&scope), &want(by));
                    near(&got.restrict(&scope).to_dense(&(0..scope.len()).collect::<Vec<_>>()), &want(by));
                    let mut row = vec![0.0; 300];
                    got.row(scope[4], &mut row);
                    let row = Array2::from_shape_fn((1, scope.len()), |(_, j)| row[scope[j]]);
                    near(&row, &want(by).slice(s![4..5, ..]).to_owned());
                    let diagonal = Array2::from_shape_vec((1, scope.len()), got.diagonal(&scope)).unwrap();
                    near(&diagonal, &want(by).diag().to_owned().insert_axis(Axis(0)));
                    assert_eq!(got.rows().is_some(), features && (by != Normalise::MinMax || low <= 0.0), "{by:?}");
                    assert_eq!(still, (psd || features) && (by != Normalise::MinMax || low <= 0.0));
                }
            }
        }
        // Large values are no larger after centring than their spread.
        let far = Gram::of_features(&x + 1e6);
        let (got, _) = Normalise::CenterDiag.apply(&far, &scope, true).unwrap();
        let got = got.to_dense(&scope);
        assert!((&got - &want(Normalise::CenterDiag)).iter().all(|d| d.abs() < 1e-8));
    }

    #[test]
    fn a_positive_minimum_may_cost_definiteness_and_is_said() {
        let k = ndarray::array![[1.0, 0.8, 0.5], [0.8, 1.0, 0.8], [0.5, 0.8, 1.0]];
        let (g, psd) = Normalise::MinMax.apply(&Gram::stored(k), &[0, 1, 2], true).unwrap();
        let smallest = eigh(g.to_dense(&[0, 1, 2]).view()).unwrap().0[0];
        assert!(!psd && smallest > -1.0, "{smallest}");
    }

    #[test]
    fn kernels_that_tell_nothing_apart_are_refused() {
        let refused = |by: Normalise, x: Array2<f64>| {
            let n = x.nrows();
            let ids: Vec<usize> = (0..n).collect();
            let a = by.apply(&Gram::of_features(x.clone()), &ids, true).unwrap_err().to_string();
            let b = by.apply(&Gram::stored(x.dot(&x.t())), &ids, false).unwrap_err().to_string();
            assert_eq!(a, b);
            a
        };
        for by in [Normalise::Max, Normalise::MinMax, Normalise::Diag, Normalise::Trace, Normalise::Frobenius] {
            let e = refused(by, Array2::zeros((4, 2)));
            assert!(e.contains("is 0 cannot be normalised by it"), "{by:?}: {e}");
        }
        assert!(refused(Normalise::MinMax, Array2::ones((4, 2))).contains("range from the smallest"));
        assert!(refused(Normalise::CenterDiag, Array2::ones((4, 2)) * 0.1).contains("after centring"));
        let mut x = Array2::ones((4, 2));
        x.row_mut(2).fill(0.0);
        assert!(refused(Normalise::Cosine, x.clone()).contains("perturbation 2 has zero norm"));
        x[(1, 1)] = f64::NAN;
        let e = Normalise::Max.apply(&Gram::of_features(x), &[0, 1, 2], true).unwrap_err().to_string();
        assert!(e.contains("perturbation 1 with itself is NaN"), "{e}");
        assert!(Normalise::Max.apply(&Gram::of_features(normals(3, 2, 1)), &[], true).is_err());
    }

    #[test]
    fn dense_fusion_is_the_mean_of_the_normalised_matrices() {
        for n in [2, 255, 256, 600] {
            let sources: Vec<Array2<f64>> = (0..3).map(|m| normals(n, 4 + m as usize, m) + m as f64 * 0.3).collect();
            let single: Vec<_> = sources.iter().map(|x| Arc::new(x.mapv(|v| v as f32))).collect();
            let ids: Vec<usize> = (0..n).collect();
            for by in [Normalise::Max, Normalise::MinMax] {
                let got = fuse_dense(&single, by).unwrap().to_dense(&ids);
                let mut want = Array2::<f64>::zeros((n, n));
                for x in &sources {
                    let k = by.apply(&Gram::of_features(x.clone()), &ids, true).unwrap().0.to_dense(&ids);
                    want.scaled_add(1.0 / 3.0, &k);
                }
                assert!((&got - &want).iter().all(|d| d.abs() < 2e-6), "{n} {by:?}");
                assert!((&got - &got.t()).iter().all(|d| *d == 0.0));
            }
        }
        let e = fuse_dense(&[Arc::new(Array2::ones((3, 2)))], Normalise::Trace).unwrap_err().to_string();
        assert!(e.contains("max or min_max"), "{e}");
    }

    #[test]
    fn alignments_of_features_and_matrices_agree() {
        let (x, y) = (normals(40, 3, 1) + 0.5, normals(40, 6, 2) - 0.2);
        let (a, b) = (x.dot(&x.t()), y.dot(&y.t()));
        for centred in [false, true] {
            let dense = alignment(&Gram::stored(a.clone()), &Gram::stored(b.clone()), centred).unwrap().unwrap();
            let by_features = alignment(&Gram::of_features(x.clone()), &Gram::of_features(y.clone()), centred);
            assert!((dense - by_features.unwrap().unwrap()).abs() < 1e-12);
            let few = feature_alignment(x.slice(s![..4, ..]), y.slice(s![..4, ..]), centred).unwrap();
            let small = |k: &Array2<f64>| Gram::stored(k.slice(s![..4, ..4]).to_owned());
            assert!((few - alignment(&small(&a), &small(&b), centred).unwrap().unwrap()).abs() < 1e-12);
        }
        assert!(feature_alignment(x.view(), Array2::zeros((40, 2)).view(), false).is_none());
        assert!((feature_alignment(x.view(), (&x * 3.0).view(), true).unwrap() - 1.0).abs() < 1e-12);
    }
}
