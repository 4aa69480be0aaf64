//! Reduction of a symmetric matrix to band form: what a one-parameter family A + s I needs.

use super::dense::{view, view_mut};
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::matmul::matmul;
use faer::linalg::qr::no_pivoting::factor::{qr_in_place, qr_in_place_scratch};
use faer::linalg::triangular_solve::solve_lower_triangular_in_place;
use faer::{Accum, Mat, Par};
use ndarray::{Array2, ArrayView2, s};

/// Diagonals below the main one. Wider bands reduce faster and are slower to factor; 16 was best for
/// some 30 factorisations of matrices of 300 to 2,000 rows.
const WIDTH: usize = 16;

/// `Qᵀ A Q = B` with B of bandwidth 16 and Q orthogonal. log|A + s I| and yᵀ(A + s I)⁻¹y then cost
/// O(n) for every further s. About a sixth of the time of an eigendecomposition, because all the work
/// is in matrix products.
pub struct Band {
    /// Row j holds B[j..=j + WIDTH, j].
    columns: Array2<f64>,
    rotated: Array2<f64>,
}

impl Band {
    /// Reduces `a` (n x n, symmetric) and rotates `y` (n x k) with it, one block of columns after the
    /// other: QR of what lies below the band, then both sides by the compact WY form (Bischof & Van Loan
    /// 1987; Schreiber & Van Loan 1989). O(2n³ + n²k).
    pub fn new(a: ArrayView2<f64>, y: ArrayView2<f64>) -> Self {
        let n = a.nrows();
        let mut a = view(&a).to_owned();
        let mut rotated = y.to_owned();
        let mut start = 0;
        while start + WIDTH + 1 < n {
            let below = start + WIDTH;
            let rest = n - below;
            let size = WIDTH.min(rest);
            let mut factor = Mat::<f64>::zeros(size, size);
            let mut memory =
                MemBuffer::new(qr_in_place_scratch::<f64>(rest, WIDTH, size, Par::Seq, Default::default()));
            let rank = qr_in_place(
                a.as_mut().submatrix_mut(below, start, rest, WIDTH),
                factor.as_mut(),
                Par::Seq,
                MemStack::new(&mut memory),
                Default::default(),
            )
            .rank;
            // H = I - V T⁻¹ Vᵀ with unit lower V below the diagonal of the panel.
            let t = factor.submatrix(0, 0, rank, rank);
            let v = Mat::from_fn(rest, rank, |i, j| match i.cmp(&j) {
                std::cmp::Ordering::Less => 0.0,
                std::cmp::Ordering::Equal => 1.0,
                std::cmp::Ordering::Greater => a[(below + i, start + j)],
            });
            // HᵀAH = A - Z Vᵀ - V Zᵀ with Y = A V T⁻¹ and Z = Y - V T⁻ᵀ VᵀY / 2.
            let corner = a.as_mut().submatrix_mut(below, below, rest, rest);
            let mut z = Mat::<f64>::zeros(rest, rank);
            matmul(z.as_mut(), Accum::Replace, corner.as_ref(), v.as_ref(), 1.0, Par::Seq);
            solve_lower_triangular_in_place(t.transpose(), z.as_mut().transpose_mut(), Par::Seq);
            let mut c = v.transpose() * &z;
            solve_lower_triangular_in_place(t.transpose(), c.as_mut(), Par::Seq);
            matmul(z.as_mut(), Accum::Add, v.as_ref(), c.as_ref(), -0.5, Par::Seq);
            let both = |left: &Mat<f64>, right: &Mat<f64>| {
                Mat::from_fn(rest, 2 * rank, |i, j| if j < rank { left[(i, j)] } else { right[(i, j - rank)] })
            };
            matmul(corner, Accum::Add, both(&z, &v).as_ref(), both(&v, &z).transpose(), -1.0, Par::Seq);

            let mut tail = rotated.slice_mut(s![below.., ..]);
            let mut tail = view_mut(&mut tail);
            let mut c = v.transpose() * &tail;
            solve_lower_triangular_in_place(t.transpose(), c.as_mut(), Par::Seq);
            matmul(tail.as_mut(), Accum::Add, v.as_ref(), c.as_ref(), -1.0, Par::Seq);
            start += WIDTH;
        }
        let columns = Array2::from_shape_fn((n, WIDTH + 1), |(j, i)| if j + i < n { a[(j + i, j)] } else { 0.0 });
        Self { columns, rotated }
    }

    /// log|A + s I| and tr yᵀ(A + s I)⁻¹y; nothing where A + s I is not positive definite. O(n k).
    pub fn log_det_and_quadratic(&self, s: f64) -> Option<(f64, f64)> {
        const W: usize = WIDTH + 1;
        let (n, k) = self.rotated.dim();
        let mut band = self.columns.iter().copied().collect::<Vec<f64>>();
        let mut y = self.rotated.iter().copied().collect::<Vec<f64>>();
        let (mut log_det, mut quadratic) = (0.0, 0.0);
        for j in 0..n {
            let (done, rest) = band.split_at_mut((j + 1) * W);
            let column = &mut done[j * W..];
            let pivot = column[0] + s;
            if pivot.is_nan() || pivot <= 0.0 {
                return None;
            }
            log_det += pivot.ln();
            let (head, tail) = y.split_at_mut((j + 1) * k);
            let head = &head[j * k..];
            quadratic += head.iter().map(|v| v * v).sum::<f64>() / pivot;
            for i in 1..W.min(n - j) {
                let l = column[i] / pivot;
                let target = &mut rest[(i - 1) * W..i * W - i];
                target.iter_mut().zip(&column[i..]).for_each(|(t, c)| *t -= l * c);
                tail[(i - 1) * k..i * k].iter_mut().zip(head).for_each(|(t, h)| *t -= l * h);
            }
        }
        Some((log_det, quadratic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::{Cholesky, symmetric_product};
    use ndarray::Array;

    fn check(a: &Array2<f64>, tolerance: f64) {
        let n = a.nrows();
        let y = Array::from_shape_fn((n, 3), |(i, j)| ((i * 7 + j * 13) % 11) as f64 - 4.0);
        let band = Band::new(a.view(), y.view());
        for s in [0.3, 20.0] {
            let mut shifted = a.clone();
            shifted.diag_mut().iter_mut().for_each(|v| *v += s);
            let c = Cholesky::new(shifted.view()).unwrap();
            let (log_det, quadratic) = band.log_det_and_quadratic(s).unwrap();
            let want: f64 = c.quadratic(y.view()).iter().sum();
            assert!((log_det - c.log_det()).abs() < tolerance * n as f64, "{n}: {log_det} {}", c.log_det());
            assert!((quadratic - want).abs() < tolerance * want, "{n}: {quadratic} {want}");
        }
    }

    #[test]
    fn band_form_keeps_determinants_and_quadratics() {
        for n in [1, 2, 15, 16, 17, 18, 33, 34, 50, 100] {
            let x = Array::from_shape_fn((n + 3, n), |(i, j)| ((i * 31 + j * 17 + i * j * j) % 23) as f64 / 7.0 - 1.5);
            check(&symmetric_product(x.view()), 1e-9);
        }
    }

    #[test]
    fn low_rank_zero_and_repeated_rows_are_fine() {
        let x = Array::from_shape_fn((3, 60), |(i, j)| ((i * 5 + (j / 2) * 3) % 7) as f64);
        check(&symmetric_product(x.view()), 1e-9);
        check(&Array2::zeros((40, 40)), 1e-12);
        let indefinite = Array2::from_diag_elem(40, -1.0);
        assert!(Band::new(indefinite.view(), Array2::zeros((40, 1)).view()).log_det_and_quadratic(0.5).is_none());
    }
}
