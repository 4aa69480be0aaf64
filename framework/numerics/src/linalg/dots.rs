//! Products of many rows with a few vectors, the inner loop of every greedy rule: each row is read once.

use std::ops::{AddAssign, Mul};

/// Numbers added side by side; fixed, so that a sum has the same bits whatever the processor can do.
const LANES: usize = 16;

/// f32 or f64.
pub(crate) trait Number: Copy + Default + Mul<Output = Self> + AddAssign + Into<f64> {}
impl Number for f32 {}
impl Number for f64 {}

/// The inner products of each row (`d` numbers) of `rows` with each of `v`, into `out`.
pub(crate) fn dots<T: Number, const K: usize>(rows: &[T], d: usize, v: [&[T]; K], out: &mut [[f64; K]]) {
    debug_assert!(rows.len() == d * out.len() && v.iter().all(|v| v.len() == d));
    if d == 0 {
        return out.fill([0.0; K]);
    }
    sums(rows, d, v, out)
}

wide! {
    fn sums<T: Number, const K: usize>(rows: &[T], d: usize, v: [&[T]; K], out: &mut [[f64; K]]) {
        plain(rows, d, v, out)
    }
}

#[inline(always)]
fn plain<T: Number, const K: usize>(rows: &[T], d: usize, v: [&[T]; K], out: &mut [[f64; K]]) {
    let v = v.map(|v| v.as_chunks::<LANES>());
    for (row, out) in rows.chunks_exact(d).zip(out) {
        let (chunks, rest) = row.as_chunks::<LANES>();
        let mut sums = [[T::default(); LANES]; K];
        // One vector after another: its sums stay in registers, and the row in the nearest cache.
        for (sums, (v, _)) in sums.iter_mut().zip(&v) {
            let mut own = [T::default(); LANES];
            for (x, w) in chunks.iter().zip(*v) {
                for l in 0..LANES {
                    own[l] += x[l] * w[l];
                }
            }
            *sums = own;
        }
        for ((out, sums), (_, w)) in out.iter_mut().zip(&mut sums).zip(&v) {
            for (sum, (x, w)) in sums.iter_mut().zip(rest.iter().zip(*w)) {
                *sum += *x * *w;
            }
            let mut width = LANES / 2;
            while width > 0 {
                for l in 0..width {
                    let other = sums[l + width];
                    sums[l] += other;
                }
                width /= 2;
            }
            *out = sums[0].into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_the_definition_on_every_path() {
        for d in [0, 1, 15, 16, 17, 40, 129] {
            let rows: Vec<f64> = (0..5 * d).map(|i| ((i * 37) % 19) as f64 / 7.0 - 1.0).collect();
            let (v, w): (Vec<f64>, Vec<f64>) = (0..d).map(|i| ((i % 5) as f64 - 2.0, 1.0 / (1.0 + i as f64))).unzip();
            let mut out = [[0.0; 2]; 5];
            dots(&rows, d, [&v, &w], &mut out);
            let mut same = [[0.0; 2]; 5];
            if d > 0 {
                plain(&rows, d, [&v, &w], &mut same);
            }
            assert_eq!(out, same, "the same bits with and without wide registers");
            let single: Vec<f32> = rows.iter().map(|x| *x as f32).collect();
            let mut rough = [[0.0; 1]; 5];
            dots(&single, d, [&v.iter().map(|x| *x as f32).collect::<Vec<_>>()], &mut rough);
            for i in 0..5 {
                let row = &rows[i * d..(i + 1) * d];
                let want = |v: &[f64]| row.iter().zip(v).map(|(a, b)| a * b).sum::<f64>();
                assert!((out[i][0] - want(&v)).abs() < 1e-12 && (out[i][1] - want(&w)).abs() < 1e-12);
                assert!((rough[i][0] - want(&v)).abs() < 1e-4);
            }
        }
    }
}
