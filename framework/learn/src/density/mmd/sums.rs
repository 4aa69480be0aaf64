//! Sums over blocks of kernel values, and their quadratic forms.

use super::kernel::MeanKernel;
use super::points::Points;
use ndarray::{Array2, ArrayView2, s};
use numerics::Real;
use numerics::linalg::product_into;
use numerics::special::Exp;
use rayon::prelude::*;

/// Rows of a tile of kernel values.
pub(super) const ROWS: usize = 256;

/// Its columns: a tile of single precision fills half of a usual second-level cache.
pub(super) const COLUMNS: usize = 512;

/// Sums over a block of kernel values between two sets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BlockSums {
    /// Σ_ab k(x_a, y_b).
    pub sum: f64,
    /// Σ_ab left[a, b'] k(x_a, y_b) right[b, b'] for each column b' of the factors.
    pub forms: Vec<f64>,
}

/// Sums over the kernel values within one set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnSums {
    /// Σ_ab k(x_a, x_b), a = b included.
    pub sum: f64,
    /// The part of it within each unit; the diagonal where every sample is a unit.
    pub same: Vec<f64>,
    /// Σ_a n_u(a) Σ_b k(x_a, x_b) with n_u(a) the size of a's unit.
    pub lever: f64,
    /// Σ_ab left[a, b'] k(x_a, x_b) left[b, b'] for each column b' of the factors.
    pub forms: Vec<f64>,
}

wide! {
    /// Adds a·b to `sum`.
    fn add_products<T: Real>(sum: &mut [T], a: &[T], b: &[T]) {
        for (s, (a, b)) in sum.iter_mut().zip(a.iter().zip(b)) {
            *s += *a * *b;
        }
    }
}

wide! {
    /// Adds the values to `sum`, eight side by side.
    fn add_all<T: Real>(v: &[T], sum: &mut f64) {
        let (eights, rest) = v.as_chunks::<8>();
        let mut lanes = [0.0f64; 8];
        for eight in eights {
            for l in 0..8 {
                let x: f64 = eight[l].into();
                lanes[l] += x;
            }
        }
        let rest: f64 = rest.iter().map(|v| -> f64 { (*v).into() }).sum();
        let (first, second) = (lanes[0] + lanes[4], lanes[1] + lanes[5]);
        *sum += (first + second) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7])) + rest;
    }
}

/// What one tile of rows works in.
struct Scratch<T> {
    k: Array2<T>,
    spare: Vec<T>,
    /// Kernel rows times factors.
    v: Array2<T>,
}

impl<T: Real> Scratch<T> {
    fn new(rows: usize, columns: usize, draws: usize) -> Self {
        let columns = columns.min(COLUMNS);
        Self { k: Array2::zeros((rows, columns)), spare: vec![T::zero(); columns], v: Array2::zeros((rows, draws)) }
    }

    /// Adds Σ_a left[a, b] v[a, b] to each b's number.
    fn weigh(&self, left: ArrayView2<T>, forms: &mut [f64]) {
        // Few enough for single precision, then in double.
        const FEW: usize = 16;
        let mut few = vec![T::zero(); forms.len()];
        let rows = left.outer_iter().zip(self.v.outer_iter()).enumerate();
        let last = left.nrows().saturating_sub(1);
        for (a, (l, v)) in rows {
            if let (Some(l), Some(v)) = (l.to_slice(), v.to_slice()) {
                add_products(&mut few, l, v);
            }
            if a % FEW == FEW - 1 || a == last {
                for (f, s) in forms.iter_mut().zip(&mut few) {
                    let part: f64 = (*s).into();
                    *f += part;
                    *s = T::zero();
                }
            }
        }
    }
}

pub(super) fn tiles(from: usize, to: usize, step: usize) -> impl Iterator<Item = (usize, usize)> {
    (from..to).step_by(step).map(move |a| (a, to.min(a + step)))
}

/// Sums over the kernel values of each sample of `x` with each of `y`. `left` (samples of x by draws) and `right`
/// (samples of y by draws) may have no columns. O(n m (d + draws)).
pub fn block<T: Real + Exp>(
    kernel: MeanKernel,
    x: &Points<T>,
    y: &Points<T>,
    left: &Array2<T>,
    right: &Array2<T>,
) -> BlockSums {
    let (n, m, draws) = (x.len(), y.len(), left.ncols());
    let (left, right) = (left.as_standard_layout(), right.as_standard_layout());
    let parts: Vec<BlockSums> = (0..n.div_ceil(ROWS))
        .into_par_iter()
        .map(|t| {
            let (a, z) = (t * ROWS, n.min((t + 1) * ROWS));
            let mut own = BlockSums { sum: 0.0, forms: vec![0.0; draws] };
            let mut work = Scratch::new(z - a, m, draws);
            for (b, e) in tiles(0, m, COLUMNS) {
                let mut k = work.k.slice_mut(s![.., ..e - b]);
                kernel.values(x.tile(a, z), y.tile(b, e), &mut k, &mut work.spare);
                k.outer_iter().for_each(|row| add_all(row.to_slice().unwrap_or(&[]), &mut own.sum));
                if draws > 0 {
                    product_into(&mut work.v.view_mut(), k.view(), right.slice(s![b..e, ..]), b > 0, T::one());
                }
            }
            work.weigh(left.slice(s![a..z, ..]), &mut own.forms);
            own
        })
        .collect();
    let mut all = BlockSums { sum: 0.0, forms: vec![0.0; draws] };
    for part in parts {
        all.sum += part.sum;
        all.forms.iter_mut().zip(&part.forms).for_each(|(a, p)| *a += p);
    }
    all
}

/// Sums over the kernel values of the samples of `x` with each other, which are computed once for (a, b) and (b, a)
/// outside of tiles on the diagonal. `left` (samples by draws) may have no columns; `units` number the unit of each
/// sample from 0 without gaps. O(n² (d + draws)).
pub fn own<T: Real + Exp>(kernel: MeanKernel, x: &Points<T>, units: Option<&[usize]>, left: &Array2<T>) -> OwnSums {
    let (n, draws) = (x.len(), left.ncols());
    let left = left.as_standard_layout();
    let size: Option<Vec<f64>> = units.map(|units| {
        let sizes = unit_sizes(units);
        units.iter().map(|u| sizes[*u]).collect()
    });
    // `same` of a tile: what each of its rows shares with its unit.
    let parts: Vec<OwnSums> = (0..n.div_ceil(ROWS))
        .into_par_iter()
        .map(|t| {
            let (a, z) = (t * ROWS, n.min((t + 1) * ROWS));
            let mut own = OwnSums { same: vec![0.0; z - a], forms: vec![0.0; draws], ..OwnSums::default() };
            let mut work = Scratch::new(z - a, z, draws);
            for (b, e) in tiles(0, a, COLUMNS).chain([(a, z)]) {
                let twice = if b < a { 2.0 } else { 1.0 };
                let mut k = work.k.slice_mut(s![.., ..e - b]);
                kernel.values(x.tile(a, z), x.tile(b, e), &mut k, &mut work.spare);
                let mut sum = 0.0;
                k.outer_iter().for_each(|row| add_all(row.to_slice().unwrap_or(&[]), &mut sum));
                own.sum += twice * sum;
                match (units, &size) {
                    (Some(units), Some(size)) => {
                        for (i, row) in k.outer_iter().enumerate() {
                            let (unit, mine) = (units[a + i], size[a + i]);
                            for (v, j) in row.iter().zip(b..e) {
                                let v: f64 = (*v).into();
                                own.lever += if b < a { (mine + size[j]) * v } else { mine * v };
                                if units[j] == unit {
                                    own.same[i] += twice * v;
                                }
                            }
                        }
                    }
                    _ if b == a => own.same.iter_mut().zip(k.diag()).for_each(|(s, v)| *s = (*v).into()),
                    _ => {}
                }
                if draws > 0 {
                    let right = left.slice(s![b..e, ..]);
                    product_into(&mut work.v.view_mut(), k.view(), right, b > 0, T::of(twice));
                }
            }
            work.weigh(left.slice(s![a..z, ..]), &mut own.forms);
            own
        })
        .collect();
    let mut all = OwnSums { forms: vec![0.0; draws], ..OwnSums::default() };
    for part in parts {
        all.sum += part.sum;
        all.lever += part.lever;
        all.same.extend(part.same);
        all.forms.iter_mut().zip(&part.forms).for_each(|(a, p)| *a += p);
    }
    match units {
        None => all.lever = all.sum,
        Some(units) => {
            let mut same = vec![0.0; unit_sizes(units).len()];
            units.iter().zip(&all.same).for_each(|(u, v)| same[*u] += v);
            all.same = same;
        }
    }
    all
}

/// Samples of each unit.
pub fn unit_sizes(units: &[usize]) -> Vec<f64> {
    let mut sizes = vec![0.0; units.iter().max().map_or(0, |u| u + 1)];
    units.iter().for_each(|u| sizes[*u] += 1.0);
    sizes
}
