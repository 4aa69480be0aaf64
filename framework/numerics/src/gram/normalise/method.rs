//! The normalisations.

use super::size::{bands, diagonal, extremes, finite, frobenius, largest, mean, positive};
use crate::error::{Error, Result};
use crate::gram::compositions::Affine;
use crate::gram::features::Rows;
use crate::gram::matrix::{Gram, GramSource};
use crate::gram::of_rows::{FeatureGram, unit_rows};
use ndarray::{Array1, Array2, Axis};
use serde::{Deserialize, Serialize};

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
