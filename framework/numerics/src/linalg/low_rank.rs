//! Fewer features with the same inner products.

use super::dense::times_vector;
use ndarray::{Array1, Array2, ArrayView2};

/// Entries of the inner products may change by this times the largest squared length.
const EXACT: f64 = 1e-13;
/// Rows narrower than this are not worth the search.
const NARROW: usize = 128;

/// Rows L (n x r) with L Lᵀ = X Xᵀ up to rounding, where X (n x d) has so low a rank r that they are at most half as
/// wide; such are the predictions of a linear smoother, which span no more than its few measured rows. Pivoted Cholesky
/// of X Xᵀ, a column at a time, ties to the lowest row: O(n r (d + r)), and at most O(n d²) where nothing is found.
pub fn low_rank(x: ArrayView2<f64>) -> Option<Array2<f64>> {
    let (n, d) = x.dim();
    if d < NARROW {
        return None;
    }
    let most = n.min(d) / 2;
    let mut left: Vec<f64> = x.outer_iter().map(|r| r.dot(&r)).collect();
    if left.iter().any(|l| !l.is_finite()) {
        return None;
    }
    let largest = left.iter().fold(0.0f64, |m, v| m.max(*v));
    let mut columns: Vec<Array1<f64>> = Vec::new();
    loop {
        let pivot = (0..n).fold(0, |b, i| if left[i] > left[b] { i } else { b });
        if left.get(pivot).is_none_or(|l| *l <= EXACT * largest) {
            break;
        }
        if columns.len() == most {
            return None;
        }
        let mut column = Array1::<f64>::zeros(n);
        times_vector(x, x.row(pivot), column.as_slice_mut()?);
        for c in &columns {
            column.scaled_add(-c[pivot], c);
        }
        column /= left[pivot].sqrt();
        left.iter_mut().zip(&column).for_each(|(l, c)| *l -= c * c);
        left[pivot] = 0.0;
        columns.push(column);
    }
    let mut out = Array2::zeros((n, columns.len().max(1)));
    for (mut to, c) in out.columns_mut().into_iter().zip(&columns) {
        to.assign(c);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::streams::Streams;
    use rand_distr::{Distribution, StandardNormal};

    #[test]
    fn inner_products_stay_and_a_full_rank_is_left_alone() {
        let mut rng = Streams::new(1).rng("x");
        let mut normal = |n, d| Array2::<f64>::from_shape_simple_fn((n, d), || StandardNormal.sample(&mut rng));
        let x = normal(300, 7).dot(&normal(7, 200)) + 3.0;
        let z = low_rank(x.view()).unwrap();
        assert_eq!(z.dim(), (300, 8));
        let (a, b) = (x.dot(&x.t()), z.dot(&z.t()));
        let most = a.diag().iter().fold(0.0f64, |m, v| m.max(*v));
        assert!((&a - &b).iter().all(|e| e.abs() < 1e-11 * most));
        assert!(low_rank(normal(300, 200).view()).is_none());
        assert!(low_rank(normal(300, 20).view()).is_none(), "not worth it");
        assert_eq!(low_rank(Array2::zeros((5, 200)).view()).unwrap().dim(), (5, 1));
        assert!(low_rank(Array2::from_elem((5, 200), f64::NAN).view()).is_none());
    }
}
