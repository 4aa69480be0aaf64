//! Sparse matrices, and the leading singular vectors of whatever can be multiplied.

use super::dense::{matmul, symmetric_product};
use super::factors::eigh;
use crate::error::{Error, Result};
use crate::streams::StreamRng;
use ndarray::{Array1, Array2, ArrayView2, Axis, s};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

/// A matrix by its entries that are not zero, row after row.
#[derive(Clone, Debug)]
pub struct Sparse {
    n_cols: usize,
    start: Vec<usize>,
    col: Vec<u32>,
    value: Vec<f64>,
}

impl Sparse {
    /// From (row, column, value), in any order; entries at one place add up.
    pub fn new(n_rows: usize, n_cols: usize, mut entries: Vec<(u32, u32, f64)>) -> Self {
        entries.sort_by_key(|e| (e.0, e.1));
        let mut out =
            Self { n_cols, start: vec![0; n_rows + 1], col: Vec::with_capacity(entries.len()), value: vec![] };
        let mut last = None;
        for (r, c, v) in entries {
            if last == Some((r, c)) {
                if let Some(sum) = out.value.last_mut() {
                    *sum += v;
                }
                continue;
            }
            last = Some((r, c));
            out.start[r as usize + 1] += 1;
            out.col.push(c);
            out.value.push(v);
        }
        for r in 0..n_rows {
            out.start[r + 1] += out.start[r];
        }
        out
    }

    /// Rows and columns.
    pub fn dim(&self) -> (usize, usize) {
        (self.start.len() - 1, self.n_cols)
    }

    /// The columns and values of a row.
    pub fn row(&self, r: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let range = self.start[r]..self.start[r + 1];
        self.col[range.clone()].iter().map(|c| *c as usize).zip(self.value[range].iter().copied())
    }

    /// All (row, column, value), row after row.
    pub fn entries(&self) -> impl Iterator<Item = (usize, usize, f64)> + '_ {
        (0..self.dim().0).flat_map(|r| self.row(r).map(move |(c, v)| (r, c, v)))
    }

    /// The transpose.
    pub fn transpose(&self) -> Self {
        let entries = self.entries().map(|(r, c, v)| (c as u32, r as u32, v)).collect();
        Self::new(self.n_cols, self.dim().0, entries)
    }

    /// The rows and columns `kept` of a square matrix, renumbered in that order.
    pub fn restrict(&self, kept: &[usize]) -> Self {
        let mut to = vec![None; self.n_cols];
        kept.iter().enumerate().for_each(|(new, &old)| to[old] = Some(new as u32));
        let mut entries = Vec::new();
        for (r, &old) in kept.iter().enumerate() {
            entries.extend(self.row(old).filter_map(|(c, v)| Some((r as u32, to[c]?, v))));
        }
        Self::new(kept.len(), kept.len(), entries)
    }

    /// `A x`: (m x n)(n x k). Tiles of rows in parallel. O(entries x k).
    pub fn times(&self, x: ArrayView2<f64>) -> Array2<f64> {
        const TILE: usize = 256;
        assert_eq!(self.n_cols, x.nrows(), "inner dimensions of a product");
        let x = x.as_standard_layout();
        let k = x.ncols();
        let mut out = Array2::zeros((self.dim().0, k));
        let Some(flat) = x.as_slice() else { return out };
        out.axis_chunks_iter_mut(Axis(0), TILE).into_par_iter().enumerate().for_each(|(t, mut tile)| {
            for (i, mut row) in tile.outer_iter_mut().enumerate() {
                let Some(out) = row.as_slice_mut() else { continue };
                let entries = self.start[t * TILE + i]..self.start[t * TILE + i + 1];
                // Eight sums at a time stay in registers over all entries of the row.
                for (block, out) in out.chunks_mut(8).enumerate() {
                    let at = 8 * block;
                    let mut sums = [0.0; 8];
                    if out.len() == 8 {
                        for e in entries.clone() {
                            let (from, v) = (self.col[e] as usize * k + at, self.value[e]);
                            let x = &flat[from..from + 8];
                            sums.iter_mut().zip(x).for_each(|(s, x)| *s += v * x);
                        }
                    } else {
                        for e in entries.clone() {
                            let (from, v) = (self.col[e] as usize * k + at, self.value[e]);
                            let x = &flat[from..from + out.len()];
                            sums.iter_mut().zip(x).for_each(|(s, x)| *s += v * x);
                        }
                    }
                    out.copy_from_slice(&sums[..out.len()]);
                }
            }
        });
        out
    }
}

/// Leading left singular vectors (rows x rank) and singular values, descending, of a matrix given by its
/// products `A x` and `Aᵀ y`. Randomised subspace iteration (Halko, Martinsson & Tropp 2011, algorithm 4.4)
/// with rank/4 + 20 spare vectors; exact where these span the matrix. Columns whose singular value is
/// negligible are left out, and the largest entry of each column is positive.
pub fn truncated_svd(
    (n_rows, n_cols): (usize, usize),
    rank: usize,
    iterations: usize,
    times: impl Fn(ArrayView2<f64>) -> Array2<f64>,
    times_transposed: impl Fn(ArrayView2<f64>) -> Array2<f64>,
    rng: &mut StreamRng,
) -> Result<(Array2<f64>, Array1<f64>)> {
    let width = (rank + rank / 4 + 20).min(n_rows).min(n_cols);
    let start = Array2::<f64>::from_shape_simple_fn((n_cols, width), || StandardNormal.sample(rng));
    let mut q = orthonormal(times(start.view()))?;
    for _ in 0..iterations {
        q = orthonormal(times(orthonormal(times_transposed(q.view()))?.view()))?;
    }
    let b = times_transposed(q.view());
    let (squares, rotation) = eigh(symmetric_product(b.view()).view())?;
    let most = squares.iter().copied().fold(0.0, f64::max);
    if most <= 0.0 {
        return Err(Error::Breakdown("a matrix of zeros has no singular vectors".into()));
    }
    let keep = squares.iter().rev().take(rank).take_while(|v| **v > 1e-20 * most).count();
    let order: Vec<usize> = (0..squares.len()).rev().take(keep).collect();
    let mut u = matmul(q.view(), rotation.select(Axis(1), &order).view());
    for mut column in u.columns_mut() {
        let mut largest = 0.0f64;
        for &v in &column {
            if v.abs() > largest.abs() {
                largest = v;
            }
        }
        if largest < 0.0 {
            column.mapv_inplace(|v| -v);
        }
    }
    Ok((u, order.iter().map(|&i| squares[i].max(0.0).sqrt()).collect()))
}

/// An orthonormal basis of the columns of `y`; directions at the level of rounding are left out. Done
/// twice, since the first pass loses half the digits.
fn orthonormal(mut y: Array2<f64>) -> Result<Array2<f64>> {
    for _ in 0..2 {
        let (values, vectors) = eigh(symmetric_product(y.view()).view())?;
        let most = values.iter().copied().fold(0.0, f64::max);
        let first = values.iter().position(|v| *v > 1e-14 * most).unwrap_or(values.len());
        let mut basis = vectors.slice(s![.., first..]).to_owned();
        basis.columns_mut().into_iter().zip(values.iter().skip(first)).for_each(|(mut c, v)| c /= v.sqrt());
        y = matmul(y.view(), basis.view());
    }
    Ok(y)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::Streams;

    #[test]
    fn sparse_products_match_dense_ones() {
        let entries = vec![(2, 1, 3.0), (0, 0, 1.0), (2, 1, -1.0), (0, 3, 2.0), (1, 2, 5.0)];
        let a = Sparse::new(3, 4, entries.clone());
        let mut dense = Array2::<f64>::zeros((3, 4));
        entries.iter().for_each(|&(r, c, v)| dense[(r as usize, c as usize)] += v);
        let x = Array2::from_shape_fn((4, 2), |(i, j)| (i * 2 + j) as f64 - 1.5);
        assert_eq!(a.times(x.view()), dense.dot(&x));
        let y = Array2::from_shape_fn((3, 2), |(i, j)| (i + 3 * j) as f64);
        assert_eq!(a.transpose().times(y.view()), dense.t().dot(&y));
        assert_eq!(a.row(2).collect::<Vec<_>>(), [(1, 2.0)]);
    }

    #[test]
    fn leading_singular_vectors_are_found() {
        let mut rng = Streams::new(1).rng("x");
        let x = Array2::<f64>::from_shape_simple_fn((300, 120), || StandardNormal.sample(&mut rng));
        // Singular values that fall by 5 % each.
        let decay = Array1::from_shape_fn(120, |i| 0.95f64.powi(i as i32));
        let x = orthonormal(x).unwrap() * &decay;
        let mix = Array2::<f64>::from_shape_simple_fn((120, 120), || StandardNormal.sample(&mut rng));
        let x = matmul(x.view(), orthonormal(mix).unwrap().t());
        let svd = |rank| {
            let mut rng = Streams::new(2).rng("svd");
            truncated_svd((300, 120), rank, 6, |y| matmul(x.view(), y), |y| matmul(x.t(), y), &mut rng).unwrap()
        };
        let (u, s) = svd(20);
        assert_eq!(u.dim(), (300, 20));
        for i in 0..20 {
            assert!((s[i] - decay[i]).abs() < 1e-6, "{i}: {} for {}", s[i], decay[i]);
        }
        let exact = svd(120);
        assert!((&exact.1 - &decay).iter().all(|d| d.abs() < 1e-12), "the whole space is exact");
        assert!((&symmetric_product(u.view()) - &Array2::<f64>::eye(20)).iter().all(|d| d.abs() < 1e-12));
        for i in 0..20 {
            assert!((u.column(i).dot(&exact.0.column(i)) - 1.0).abs() < 1e-6, "the same vectors, signs included");
        }
    }
}
