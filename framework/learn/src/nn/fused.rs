//! Products of small matrices in registers: the inner loops of networks so small that general products would spend their
//! time around the work. Where they are not small, the general product.

use faer::{Accum, MatMut, MatRef, Par};
use numerics::Real;
use numerics::wide::madd;

/// Numbers side by side in a register.
pub(crate) const WIDE: usize = 8;

/// Rows, terms and lanes from which on a general product is faster than the loops here.
const GENERAL: [usize; 3] = [8, 32, 64];

/// `to` (R rows of W numbers, `step` apart) += Σ_t s_rt v_t: the scalar of row r and term t lies at
/// `s[r * s_row + t * s_term]`, the vector of term t at `v[t * v_step]`.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn block<T: Real, const FMA: bool, const W: usize, const R: usize>(
    to: &mut [T],
    step: usize,
    s: &[T],
    s_row: usize,
    s_term: usize,
    v: &[T],
    v_step: usize,
    terms: usize,
) {
    let mut sums = [[T::zero(); W]; R];
    for (r, sums) in sums.iter_mut().enumerate() {
        sums.copy_from_slice(&to[r * step..r * step + W]);
    }
    let last = (R - 1) * s_row + terms.saturating_sub(1) * s_term;
    let s = &s[..=last];
    for t in 0..terms {
        let v = &v[t * v_step..t * v_step + W];
        for (r, sums) in sums.iter_mut().enumerate() {
            let s = s[r * s_row + t * s_term];
            for l in 0..W {
                sums[l] = madd::<T, FMA>(s, v[l], sums[l]);
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        to[r * step..r * step + W].copy_from_slice(sums);
    }
}

/// The same for any number of rows, R at a time.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn blocks<T: Real, const FMA: bool, const W: usize, const R: usize>(
    to: &mut [T],
    rows: usize,
    step: usize,
    s: &[T],
    s_row: usize,
    s_term: usize,
    v: &[T],
    v_step: usize,
    terms: usize,
) {
    let mut r = 0;
    while r + R <= rows {
        block::<T, FMA, W, R>(&mut to[r * step..], step, &s[r * s_row..], s_row, s_term, v, v_step, terms);
        r += R;
    }
    while r < rows {
        block::<T, FMA, W, 1>(&mut to[r * step..], step, &s[r * s_row..], s_row, s_term, v, v_step, terms);
        r += 1;
    }
}

/// The same for any number of lanes: at most 32 at a time, with as many rows as fill the registers; large products by
/// the general routine.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(crate) fn add_product<T: Real, const FMA: bool>(
    to: &mut [T],
    rows: usize,
    lanes: usize,
    s: &[T],
    s_row: usize,
    s_term: usize,
    v: &[T],
    terms: usize,
) {
    if terms == 0 || rows == 0 {
        return;
    }
    if rows >= GENERAL[0] && terms >= GENERAL[1] && lanes >= GENERAL[2] && (s_row == 1 || s_term == 1) {
        let s = match s_term {
            1 => MatRef::from_row_major_slice_with_stride(s, rows, terms, s_row),
            _ => MatRef::from_column_major_slice_with_stride(s, rows, terms, s_term),
        };
        let v = MatRef::from_row_major_slice(&v[..terms * lanes], terms, lanes);
        let to = MatMut::from_row_major_slice_mut(&mut to[..rows * lanes], rows, lanes);
        return faer::linalg::matmul::matmul(to, Accum::Add, s, v, T::one(), Par::Seq);
    }
    let mut at = 0;
    while at < lanes {
        let (to, v) = (&mut to[at..], &v[at..]);
        at += match lanes - at {
            32.. => {
                blocks::<T, FMA, 32, 2>(to, rows, lanes, s, s_row, s_term, v, lanes, terms);
                32
            }
            16.. => {
                blocks::<T, FMA, 16, 4>(to, rows, lanes, s, s_row, s_term, v, lanes, terms);
                16
            }
            _ => {
                blocks::<T, FMA, WIDE, 8>(to, rows, lanes, s, s_row, s_term, v, lanes, terms);
                WIDE
            }
        };
    }
}

/// The sum of eight numbers, in a fixed order.
#[inline(always)]
pub(crate) fn total<T: Real>(v: [T; WIDE]) -> T {
    ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_the_plain_sum_whatever_their_size_and_layout() {
        for (rows, terms, lanes) in
            [(1, 1, 8), (3, 2, 24), (7, 40, 64), (8, 31, 64), (8, 32, 64), (64, 64, 64), (65, 70, 136)]
        {
            for gap in [0, 3] {
                let number = |i: usize| ((i * 37) % 41) as f64 / 16.0 - 1.0;
                let (by_row, by_term) = (terms + gap, rows + gap);
                let s: Vec<f64> = (0..rows * by_row).map(number).collect();
                let turned: Vec<f64> =
                    (0..terms * by_term).map(|i| number(i % by_term * by_row + i / by_term)).collect();
                // Longer than asked, as parts of a larger matrix are.
                let v: Vec<f64> = (0..terms * lanes + 5).map(|i| number(i + 11)).collect();
                let start: Vec<f64> = (0..rows * lanes + 2).map(|i| number(i + 5)).collect();
                let mut want = start.clone();
                for r in 0..rows {
                    for l in 0..lanes {
                        want[r * lanes + l] += (0..terms).map(|t| s[r * by_row + t] * v[t * lanes + l]).sum::<f64>();
                    }
                }
                for (s, s_row, s_term) in [(&s, by_row, 1), (&turned, 1, by_term)] {
                    let mut to = start.clone();
                    add_product::<f64, false>(&mut to, rows, lanes, s, s_row, s_term, &v, terms);
                    for (at, (to, want)) in to.iter().zip(&want).enumerate() {
                        assert!((to - want).abs() < 1e-11, "{rows} x {terms} x {lanes}, {at}: {to} for {want}");
                    }
                }
            }
        }
    }
}
