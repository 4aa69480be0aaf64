//! Kernel means: squared maximum mean discrepancies, their permutation test, and quadratic forms of kernel blocks
//! that are never stored.
//!
//! Kernel values come in tiles of fixed size from one product of rows that were moved to a common centre; what is
//! summed up over a tile is kept in f64 and added in tile order, so that the result has the same bits on any number of
//! threads. Memory is that of the rows and one tile a thread.

use device::Device;
use ndarray::{Array1, Array2, ArrayView2, ArrayViewMut2, s};
use numerics::Real;
use numerics::linalg::{product_into, sq_distances};
use numerics::special::Exp;
use numerics::streams::Streams;
use numerics::{Error, Result};
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};

/// Rows of a tile of kernel values.
const ROWS: usize = 256;
/// Its columns: a tile of single precision fills half of a usual second-level cache.
const COLUMNS: usize = 512;
/// Resamples whose factors are held at once.
const DRAWS: usize = 256;

/// The form of a kernel on samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// x'y.
    Linear,
    /// exp(-r²/2ℓ²).
    #[default]
    Rbf,
    /// (1 + q + q²/3) exp(-q) with q = √5 r/ℓ.
    Matern52,
}

/// A kernel whose mean embeddings are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanKernel {
    /// Its form.
    pub shape: Shape,
    /// Length scale ℓ, without meaning for the linear kernel.
    pub length: f64,
}

impl MeanKernel {
    /// Errors on a length that single precision cannot divide by.
    pub fn new(shape: Shape, length: f64) -> Result<Self> {
        if shape == Shape::Linear || (1e-15..1e15).contains(&length) {
            return Ok(Self { shape, length });
        }
        Err(Error::Setting(format!(
            "a kernel's length scale must lie between 1e-15 and 1e15, and is {length:e}; scale the features"
        )))
    }

    /// k(x_a, y_b) of the rows into `out`, by their products and squared norms.
    fn values<T: Real + Exp>(self, x: Tile<T>, y: Tile<T>, out: &mut ArrayViewMut2<T>, spare: &mut [T]) {
        product_into(out, x.rows, y.rows.t(), false, T::one());
        let scale = match self.shape {
            Shape::Linear => return,
            Shape::Rbf => -0.5 / (self.length * self.length),
            Shape::Matern52 => 5.0 / (self.length * self.length),
        };
        for (mut row, norm) in out.outer_iter_mut().zip(x.norms) {
            let Some(row) = row.as_slice_mut() else { continue };
            scaled_distances(row, *norm, y.norms, T::of(scale));
            if self.shape == Shape::Rbf {
                T::exp_all(row);
            } else {
                let spare = &mut spare[..row.len()];
                roots(row, spare);
                T::exp_all(spare);
                matern(row, spare);
            }
        }
    }
}

wide! {
    /// scale (n + m - 2 v), at least 0 before scaling, of products v.
    fn scaled_distances<T: Real>(v: &mut [T], n: T, m: &[T], scale: T) {
        for (v, m) in v.iter_mut().zip(m) {
            let r = n + *m - (*v + *v);
            *v = if r > T::zero() { r * scale } else { T::zero() };
        }
    }
}

wide! {
    /// q of q², and -q.
    fn roots<T: Real>(v: &mut [T], minus: &mut [T]) {
        for (v, m) in v.iter_mut().zip(minus) {
            *v = v.sqrt();
            *m = -*v;
        }
    }
}

wide! {
    /// (1 + q + q²/3) e.
    fn matern<T: Real>(v: &mut [T], e: &[T]) {
        let third = T::of(1.0 / 3.0);
        for (q, e) in v.iter_mut().zip(e) {
            *q = (T::one() + *q + *q * *q * third) * *e;
        }
    }
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

/// Samples around a common centre. Kernel values of two sets are meaningful where both have the same centre.
#[derive(Clone, Debug)]
pub struct Points<T> {
    x: Array2<T>,
    norms: Vec<T>,
}

#[derive(Clone, Copy)]
struct Tile<'a, T> {
    rows: ArrayView2<'a, T>,
    norms: &'a [T],
}

impl<T: Real + Exp> Points<T> {
    /// Rows minus `centre`, which keeps their squared distances exact to rounding of the centred values.
    pub fn new<S: Real>(x: ArrayView2<S>, centre: &Array1<f64>) -> Result<Self> {
        let mut own = Array2::<T>::zeros(x.dim());
        for (mut own, x) in own.outer_iter_mut().zip(x.outer_iter()) {
            for ((o, v), c) in own.iter_mut().zip(&x).zip(centre) {
                let v: f64 = (*v).into();
                *o = T::of(v - c);
            }
        }
        let norm = |row: ndarray::ArrayView1<T>| -> f64 {
            row.iter()
                .map(|v| {
                    let v: f64 = (*v).into();
                    v * v
                })
                .sum()
        };
        let mut norms = Vec::with_capacity(own.nrows());
        for row in own.outer_iter() {
            let n = norm(row);
            // Far below the largest number of single precision, sums of two and their scaling are finite.
            if !n.is_finite() {
                return Err(Error::Breakdown(
                    "a sample holds a value that is not finite, or too large; fill it in, or leave the sample out"
                        .into(),
                ));
            }
            if n > 1e30 {
                return Err(Error::Breakdown(format!(
                    "a sample lies {:.1e} away from the mean of control, too far for single precision; scale the \
                     features",
                    n.sqrt()
                )));
            }
            norms.push(T::of(n));
        }
        Ok(Self { x: own, norms })
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.norms.len()
    }

    /// True without samples.
    pub fn is_empty(&self) -> bool {
        self.norms.is_empty()
    }

    /// Samples x features, centred.
    pub fn rows(&self) -> ArrayView2<'_, T> {
        self.x.view()
    }

    fn tile(&self, from: usize, to: usize) -> Tile<'_, T> {
        Tile { rows: self.x.slice(s![from..to, ..]), norms: &self.norms[from..to] }
    }
}

/// Sums over a block of kernel values between two sets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Block {
    /// Σ_ab k(x_a, y_b).
    pub sum: f64,
    /// Σ_ab left[a, b'] k(x_a, y_b) right[b, b'] for each column b' of the factors.
    pub forms: Vec<f64>,
}

/// Sums over the kernel values within one set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Own {
    /// Σ_ab k(x_a, x_b), a = b included.
    pub sum: f64,
    /// The part of it within each unit; the diagonal where every sample is a unit.
    pub same: Vec<f64>,
    /// Σ_a n_u(a) Σ_b k(x_a, x_b) with n_u(a) the size of a's unit.
    pub lever: f64,
    /// Σ_ab left[a, b'] k(x_a, x_b) left[b, b'] for each column b' of the factors.
    pub forms: Vec<f64>,
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

fn tiles(from: usize, to: usize, step: usize) -> impl Iterator<Item = (usize, usize)> {
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
) -> Block {
    let (n, m, draws) = (x.len(), y.len(), left.ncols());
    let (left, right) = (left.as_standard_layout(), right.as_standard_layout());
    let parts: Vec<Block> = (0..n.div_ceil(ROWS))
        .into_par_iter()
        .map(|t| {
            let (a, z) = (t * ROWS, n.min((t + 1) * ROWS));
            let mut own = Block { sum: 0.0, forms: vec![0.0; draws] };
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
    let mut all = Block { sum: 0.0, forms: vec![0.0; draws] };
    for part in parts {
        all.sum += part.sum;
        all.forms.iter_mut().zip(&part.forms).for_each(|(a, p)| *a += p);
    }
    all
}

/// Sums over the kernel values of the samples of `x` with each other, which are computed once for (a, b) and (b, a)
/// outside of tiles on the diagonal. `left` (samples by draws) may have no columns; `units` number the unit of each
/// sample from 0 without gaps. O(n² (d + draws)).
pub fn own<T: Real + Exp>(kernel: MeanKernel, x: &Points<T>, units: Option<&[usize]>, left: &Array2<T>) -> Own {
    let (n, draws) = (x.len(), left.ncols());
    let left = left.as_standard_layout();
    let size: Option<Vec<f64>> = units.map(|units| {
        let sizes = unit_sizes(units);
        units.iter().map(|u| sizes[*u]).collect()
    });
    // `same` of a tile: what each of its rows shares with its unit.
    let parts: Vec<Own> = (0..n.div_ceil(ROWS))
        .into_par_iter()
        .map(|t| {
            let (a, z) = (t * ROWS, n.min((t + 1) * ROWS));
            let mut own = Own { same: vec![0.0; z - a], forms: vec![0.0; draws], ..Own::default() };
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
    let mut all = Own { forms: vec![0.0; draws], ..Own::default() };
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

/// Where sums over kernel values are computed: on a GPU, where there is one and until it fails, or else here.
pub struct Place<'a> {
    gpu: Option<&'a dyn Device>,
    failed: AtomicBool,
}

impl<'a> Place<'a> {
    /// With a GPU, if there is one.
    pub fn new(gpu: Option<&'a dyn Device>) -> Self {
        Self { gpu, failed: AtomicBool::new(false) }
    }

    /// [`block`].
    pub fn block(
        &self,
        kernel: MeanKernel,
        x: &Points<f32>,
        y: &Points<f32>,
        left: &Array2<f32>,
        right: &Array2<f32>,
    ) -> Result<Block> {
        Ok(match self.forms(kernel, x, y, left.view(), right.view())? {
            Some(f) => Block { sum: f.row_sums.iter().sum(), forms: f.forms },
            None => block(kernel, x, y, left, right),
        })
    }

    /// [`own`].
    pub fn own(&self, kernel: MeanKernel, x: &Points<f32>, units: Option<&[usize]>, left: &Array2<f32>) -> Result<Own> {
        if self.gpu.is_none() {
            return Ok(own(kernel, x, units, left));
        }
        // With a column that marks the samples of a unit, a form is what the unit shares with itself.
        let (draws, sizes) = (left.ncols(), units.map_or(vec![], unit_sizes));
        let mut factors = Array2::<f32>::zeros((x.len(), draws + sizes.len()));
        factors.slice_mut(s![.., ..draws]).assign(left);
        units.iter().flat_map(|u| u.iter()).enumerate().for_each(|(i, u)| factors[[i, draws + u]] = 1.0);
        let Some(mut f) = self.forms(kernel, x, x, factors.view(), factors.view())? else {
            return Ok(own(kernel, x, units, left));
        };
        let marked = f.forms.split_off(draws);
        let sum: f64 = f.row_sums.iter().sum();
        let (same, lever) = match units {
            Some(units) => (marked, units.iter().zip(&f.row_sums).map(|(u, r)| sizes[*u] * r).sum()),
            // A device takes differences, so that a sample is at distance 0 from itself.
            None if kernel.shape == Shape::Linear => (x.norms.iter().map(|n| f64::from(*n)).collect(), sum),
            None => (vec![1.0; x.len()], sum),
        };
        Ok(Own { sum, same, lever, forms: f.forms })
    }

    fn forms(
        &self,
        kernel: MeanKernel,
        x: &Points<f32>,
        y: &Points<f32>,
        left: ArrayView2<f32>,
        right: ArrayView2<f32>,
    ) -> Result<Option<device::Forms>> {
        let Some(gpu) = self.gpu.filter(|_| !self.failed.load(Ordering::Relaxed)) else { return Ok(None) };
        let length = kernel.length as f32;
        let tile = match kernel.shape {
            Shape::Linear => device::Tile::Product,
            Shape::Rbf => device::Tile::Rbf { length },
            Shape::Matern52 => device::Tile::Matern52 { length },
        };
        match gpu.quadratic_forms(x.rows(), y.rows(), tile, left, right) {
            Ok(forms) => Ok(Some(forms)),
            Err(device::Error::Input(text)) => Err(Error::Breakdown(text)),
            Err(e) => {
                if !self.failed.swap(true, Ordering::Relaxed) {
                    eprintln!("{e}");
                }
                Ok(None)
            }
        }
    }
}

/// Samples of each unit.
pub fn unit_sizes(units: &[usize]) -> Vec<f64> {
    let mut sizes = vec![0.0; units.iter().max().map_or(0, |u| u + 1)];
    units.iter().for_each(|u| sizes[*u] += 1.0);
    sizes
}

/// The unbiased squared maximum mean discrepancy of two sets of at least two samples each; it may be negative.
/// O((n + m)² d), half of it saved within the sets.
pub fn mmd2<T: Real + Exp>(kernel: MeanKernel, x: &Points<T>, y: &Points<T>) -> f64 {
    let none = |p: &Points<T>| Array2::zeros((p.len(), 0));
    let within = |p: &Points<T>| {
        let (n, own) = (p.len() as f64, own(kernel, p, None, &none(p)));
        (own.sum - own.same.iter().sum::<f64>()) / (n * (n - 1.0))
    };
    let across = block(kernel, x, y, &none(x), &none(y)).sum / (x.len() as f64 * y.len() as f64);
    within(x) + within(y) - 2.0 * across
}

/// The median Euclidean distance between the rows (the mean of the two middle ones of an even number). Where more
/// than half of the distances are 0, the median of the others; `None` where all rows are alike.
pub fn median_distance(x: ArrayView2<f64>) -> Option<f64> {
    let d = sq_distances(x, x);
    let largest = d.iter().fold(0.0f64, |m, v| m.max(*v));
    let mut pairs: Vec<f64> = Vec::with_capacity(d.len() / 2);
    for (i, row) in d.outer_iter().enumerate() {
        pairs.extend(row.iter().take(i));
    }
    let median = |pairs: &mut [f64]| {
        let (even, half) = (pairs.len().is_multiple_of(2), pairs.len() / 2);
        let (below, middle, _) = pairs.select_nth_unstable_by(half, f64::total_cmp);
        let other = if even { below.iter().fold(0.0, |m: f64, v| m.max(*v)) } else { *middle };
        (other.sqrt() + middle.sqrt()) / 2.0
    };
    // Rounding leaves equal rows a little apart.
    let zero = 1e-14 * largest;
    if pairs.is_empty() || largest == 0.0 {
        return None;
    }
    let m = median(&mut pairs);
    if m * m > zero {
        return Some(m);
    }
    pairs.retain(|v| *v > zero);
    Some(median(&mut pairs))
}

/// Two sets of samples, pooled, for [`two_sample`].
pub struct Pooled<'a, T> {
    /// All samples.
    pub points: &'a Points<T>,
    /// The weight of each, the same within a unit.
    pub weight: &'a [f64],
    /// The unit of each, numbered from 0 without gaps: units change sides as a whole.
    pub unit: &'a [usize],
    /// The units of the first set.
    pub first: &'a [bool],
}

/// The answer of [`two_sample`].
#[derive(Clone, Debug, PartialEq)]
pub struct TwoSample {
    /// Weighted squared maximum mean discrepancy without the pairs of samples of one unit.
    pub mmd2: f64,
    /// (1 + permutations that reach it) / (1 + permutations), ties counted; absent without permutations.
    pub p: Option<f64>,
    /// Standard deviation over the permutations; NaN below two of them.
    pub sd: f64,
}

/// Squared maximum mean discrepancy of two sets and its permutation p value: units keep their number on each side.
/// The kernel values are computed once for 256 permutations, which are one product with them. Each side needs two
/// units. O(N² (d + 2 permutations)) for N samples in all.
pub fn two_sample<T: Real + Exp>(
    kernel: MeanKernel,
    pooled: &Pooled<T>,
    permutations: usize,
    streams: &Streams,
) -> TwoSample {
    let Pooled { points, weight, unit, first } = pooled;
    let n = points.len();
    // What a unit weighs, and what it shares with itself.
    let mut mass = vec![0.0; first.len()];
    unit.iter().zip(*weight).for_each(|(u, w)| mass[*u] += w);
    let unit_weight: Vec<f64> = {
        let mut of = vec![0.0; first.len()];
        unit.iter().zip(*weight).for_each(|(u, w)| of[*u] = *w);
        of
    };
    let every_sample = unit.iter().enumerate().all(|(i, u)| i == *u);
    let units = (!every_sample).then_some(*unit);
    // Number 0 is the sets as they are.
    let side = |draw: usize| -> Vec<bool> {
        let mut side = first.to_vec();
        if draw > 0 {
            side.shuffle(&mut streams.index(draw).rng("permutation"));
        }
        side
    };
    let mut values = Vec::with_capacity(permutations + 1);
    let mut slack = 0.0;
    for (from, to) in tiles(0, permutations + 1, DRAWS) {
        let draws = to - from;
        let sides: Vec<Vec<bool>> = (from..to).into_par_iter().map(side).collect();
        // Weights of the first set, of the second, and of all.
        let mut factors = Array2::<T>::zeros((n, 2 * draws + 1));
        factors.outer_iter_mut().into_par_iter().enumerate().for_each(|(i, mut row)| {
            let w = T::of(weight[i]);
            for (b, side) in sides.iter().enumerate() {
                row[if side[unit[i]] { b } else { draws + b }] = w;
            }
            row[2 * draws] = w;
        });
        let sums = own(kernel, points, units, &factors);
        let all = sums.forms[2 * draws];
        slack = 1e-6 * sums.same.iter().sum::<f64>().abs() / (n * n) as f64;
        for (b, side) in sides.iter().enumerate() {
            // Of both sets: weight, its square over units, and what units share with themselves.
            let mut of = [[0.0; 3]; 2];
            for (u, s) in side.iter().enumerate() {
                let own = &mut of[usize::from(!s)];
                own[0] += mass[u];
                own[1] += mass[u] * mass[u];
                own[2] += unit_weight[u] * unit_weight[u] * sums.same[u];
            }
            let forms = [sums.forms[b], sums.forms[draws + b]];
            let within = |k: usize| (forms[k] - of[k][2]) / (of[k][0] * of[k][0] - of[k][1]);
            values.push(within(0) + within(1) - (all - forms[0] - forms[1]) / (of[0][0] * of[1][0]));
        }
    }
    let observed = values[0];
    // Rounding must not break ties.
    let reached = values[1..].iter().filter(|v| **v >= observed - slack).count();
    TwoSample {
        mmd2: observed,
        p: (permutations > 0).then(|| (1 + reached) as f64 / (1 + permutations) as f64),
        sd: numerics::stats::sd(&values[1..]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;
    use rand_distr::{Distribution, StandardNormal};

    const SHAPES: [Shape; 3] = [Shape::Linear, Shape::Rbf, Shape::Matern52];

    fn normal(n: usize, d: usize, mean: f64, sd: f64, seed: u64) -> Array2<f64> {
        let mut rng = Streams::new(seed).rng("x");
        Array2::from_shape_simple_fn((n, d), || {
            let z: f64 = StandardNormal.sample(&mut rng);
            mean + sd * z
        })
    }

    fn plain(kernel: MeanKernel, x: ndarray::ArrayView1<f64>, y: ndarray::ArrayView1<f64>) -> f64 {
        let r2: f64 = x.iter().zip(&y).map(|(a, b)| (a - b).powi(2)).sum();
        let q = (5.0 * r2).sqrt() / kernel.length;
        match kernel.shape {
            Shape::Linear => x.dot(&y),
            Shape::Rbf => (-r2 / 2.0 / kernel.length.powi(2)).exp(),
            Shape::Matern52 => (1.0 + q + q * q / 3.0) * (-q).exp(),
        }
    }

    #[test]
    fn golden_values() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/numerics.json");
        let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let rows = |v: &serde_json::Value| {
            let rows: Vec<Vec<f64>> = serde_json::from_value(v.clone()).unwrap();
            Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
        };
        let mut compared = 0;
        for case in golden["two_sample"].as_array().unwrap() {
            let (x, y) = (rows(&case["x"]), rows(&case["y"]));
            let both = ndarray::concatenate(ndarray::Axis(0), &[x.view(), y.view()]).unwrap();
            let m = median_distance(both.view()).unwrap();
            assert!((m / case["median_pooled_distance"].as_f64().unwrap() - 1.0).abs() < 1e-9);
            for want in case["mmd"].as_array().unwrap() {
                let shape = serde_json::from_value(want["kernel"].clone()).unwrap();
                let kernel = MeanKernel::new(shape, want["bandwidth"].as_f64().unwrap()).unwrap();
                let centre = x.mean_axis(ndarray::Axis(0)).unwrap();
                let (px, py) = (Points::<f64>::new(x.view(), &centre), Points::<f64>::new(y.view(), &centre));
                let want = want["mmd2_unbiased"].as_f64().unwrap();
                let got = mmd2(kernel, &px.unwrap(), &py.unwrap());
                assert!((got - want).abs() < 1e-9 * want.abs(), "{got} {want}");
                let (px, py) = (Points::<f32>::new(x.view(), &centre), Points::<f32>::new(y.view(), &centre));
                let got = mmd2(kernel, &px.unwrap(), &py.unwrap());
                assert!((got - want).abs() < 1e-6, "single precision {got} {want}");
                compared += 1;
            }
        }
        assert!(compared >= 18, "{compared}");
    }

    #[test]
    fn expected_values_of_gaussian_classes() {
        // E k = (l² / (l² + s² + t²))^(d/2) exp(-|m|² / 2 (l² + s² + t²)) for N(0, s² I) and N(m, t² I).
        let (d, l, n) = (3, 1.7f64, 4000);
        let expected = |s: f64, t: f64, m: f64| {
            let v = l * l + s * s + t * t;
            (l * l / v).powf(d as f64 / 2.0) * (-(d as f64) * m * m / 2.0 / v).exp()
        };
        let (x, y) = (normal(n, d, 0.0, 1.0, 1), normal(n, d, 0.8, 1.5, 2));
        let centre = Array1::zeros(d);
        let (x, y) = (Points::<f32>::new(x.view(), &centre).unwrap(), Points::<f32>::new(y.view(), &centre).unwrap());
        let got = mmd2(MeanKernel::new(Shape::Rbf, l).unwrap(), &x, &y);
        let want = expected(1.0, 1.0, 0.0) + expected(1.5, 1.5, 0.0) - 2.0 * expected(1.0, 1.5, 0.8);
        // The standard error at this size is 0.003.
        assert!((got - want).abs() < 0.01, "{got} {want}");
    }

    /// Across tile edges, with units and factors, against double loops.
    #[test]
    fn sums_and_forms_match_their_definition() {
        let (n, m, d, draws) = (ROWS + 40, COLUMNS + 70, 4, 3);
        let (x, y) = (normal(n, d, 10.0, 1.0, 3), normal(m, d, 10.5, 1.0, 4));
        let factor = |n: usize, seed| normal(n, draws, 0.0, 1.0, seed);
        let (left, right) = (factor(n, 5), factor(m, 6));
        let units: Vec<usize> = (0..n).map(|i| (3 * i + i / 11) % 7).collect();
        let sizes = unit_sizes(&units);
        for shape in SHAPES {
            let kernel = MeanKernel::new(shape, 2.0).unwrap();
            let centre = Array1::from_elem(d, 10.0);
            let (cx, cy) = (&x - &centre, &y - &centre);
            let (px, py) =
                (Points::<f64>::new(x.view(), &centre).unwrap(), Points::<f64>::new(y.view(), &centre).unwrap());
            let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-8 * (1.0 + b.abs()), "{shape:?}: {a} {b}");
            let mut want = Block { sum: 0.0, forms: vec![0.0; draws] };
            for a in 0..n {
                for b in 0..m {
                    let k = plain(kernel, cx.row(a), cy.row(b));
                    want.sum += k;
                    (0..draws).for_each(|f| want.forms[f] += left[[a, f]] * k * right[[b, f]]);
                }
            }
            let got = block(kernel, &px, &py, &left, &right);
            near(got.sum, want.sum);
            (0..draws).for_each(|f| near(got.forms[f], want.forms[f]));
            let mut want = Own { same: vec![0.0; 7], forms: vec![0.0; draws], ..Own::default() };
            let mut diagonal = vec![0.0; n];
            for a in 0..n {
                for b in 0..n {
                    let k = plain(kernel, cx.row(a), cx.row(b));
                    want.sum += k;
                    want.lever += sizes[units[a]] * k;
                    if units[a] == units[b] {
                        want.same[units[a]] += k;
                    }
                    if a == b {
                        diagonal[a] = k;
                    }
                    (0..draws).for_each(|f| want.forms[f] += left[[a, f]] * k * left[[b, f]]);
                }
            }
            let got = own(kernel, &px, Some(&units), &left);
            near(got.sum, want.sum);
            near(got.lever, want.lever);
            (0..7).for_each(|u| near(got.same[u], want.same[u]));
            (0..draws).for_each(|f| near(got.forms[f], want.forms[f]));
            let got = own(kernel, &px, None, &left);
            near(got.lever, want.sum);
            (0..n).for_each(|a| near(got.same[a], diagonal[a]));
            // Single precision, whose products of rows are rounded.
            let single = (
                Points::<f32>::new(x.view(), &centre).unwrap(),
                own(kernel, &Points::<f32>::new(x.view(), &centre).unwrap(), Some(&units), &left.mapv(|v| v as f32)),
            );
            assert_eq!(single.0.len(), n);
            assert!((single.1.sum - want.sum).abs() < 1e-5 * want.sum.abs());
            let scale: f64 = want.same.iter().sum::<f64>().abs();
            (0..draws).for_each(|f| assert!((single.1.forms[f] - want.forms[f]).abs() < 1e-4 * scale));
        }
    }

    #[test]
    fn far_off_samples_lose_nothing_and_overflow_is_told() {
        let x = normal(60, 5, 0.0, 1.0, 7);
        let y = normal(50, 5, 0.4, 1.0, 8);
        let kernel = MeanKernel::new(Shape::Rbf, 2.0).unwrap();
        let at = |offset: f64| {
            let (x, y) = (&x + offset, &y + offset);
            let centre = x.mean_axis(ndarray::Axis(0)).unwrap();
            let points = |v: &Array2<f64>| Points::<f32>::new(v.view(), &centre).unwrap();
            mmd2(kernel, &points(&x), &points(&y))
        };
        assert!((at(0.0) - at(1e5)).abs() < 1e-6);
        let text = Points::<f32>::new((&x * 1e17).view(), &Array1::zeros(5)).unwrap_err().to_string();
        assert!(text.contains("too far for single precision"), "{text}");
        assert!(MeanKernel::new(Shape::Rbf, 0.0).is_err() && MeanKernel::new(Shape::Linear, 0.0).is_ok());
    }

    #[test]
    fn medians_of_even_odd_and_equal_distances() {
        let line = |x: &[f64]| Array2::from_shape_vec((x.len(), 1), x.to_vec()).unwrap();
        // Distances 1, 3, 4; and 1, 2, 3, 4, 6, 7.
        assert!((median_distance(line(&[0.0, 1.0, 4.0]).view()).unwrap() - 3.0).abs() < 1e-12);
        assert!((median_distance(line(&[0.0, 1.0, 4.0, 7.0]).view()).unwrap() - 3.5).abs() < 1e-12);
        assert_eq!(median_distance(line(&[5.1; 9]).view()), None);
        // 28 of 36 distances are 0.
        let mut most = [0.0; 9];
        most[8] = 2.0;
        assert!((median_distance(line(&most).view()).unwrap() - 2.0).abs() < 1e-12);
    }

    /// By definition, with permutations drawn the same way.
    fn by_loops(kernel: MeanKernel, x: &Array2<f64>, weight: &[f64], unit: &[usize], side: &[bool]) -> f64 {
        let mut sums = [[0.0; 2]; 3];
        for a in 0..x.nrows() {
            for b in 0..x.nrows() {
                let (s, t) = (side[unit[a]], side[unit[b]]);
                if s == t && unit[a] == unit[b] {
                    continue;
                }
                let at = &mut sums[if s != t { 2 } else { usize::from(!s) }];
                let w = weight[a] * weight[b];
                at[0] += w * plain(kernel, x.row(a), x.row(b));
                at[1] += w;
            }
        }
        let mean = |k: usize| sums[k][0] / sums[k][1];
        mean(0) + mean(1) - 2.0 * mean(2)
    }

    #[test]
    fn permutations_match_their_definition() {
        let x = normal(30, 2, 0.0, 1.0, 9);
        let unit: Vec<usize> = (0..30).map(|i| i / 3).collect();
        let single: Vec<usize> = (0..30).collect();
        let kernel = MeanKernel::new(Shape::Matern52, 1.0).unwrap();
        let points = Points::<f64>::new(x.view(), &Array1::zeros(2)).unwrap();
        for units in [&unit, &single] {
            let n = units.iter().max().unwrap() + 1;
            let first: Vec<bool> = (0..n).map(|u| u < 2 * n / 5).collect();
            let weight: Vec<f64> = units.iter().map(|u| if *u % 2 == 0 { 0.5 } else { 1.5 }).collect();
            let streams = Streams::new(4);
            let pooled = Pooled { points: &points, weight: &weight, unit: units, first: &first };
            let got = two_sample(kernel, &pooled, 300, &streams);
            let observed = by_loops(kernel, &x, &weight, units, &first);
            let mut reached = 0;
            for b in 1..=300 {
                let mut side = first.clone();
                side.shuffle(&mut streams.index(b).rng("permutation"));
                reached += usize::from(by_loops(kernel, &x, &weight, units, &side) >= observed - 1e-9);
            }
            assert!((got.mmd2 - observed).abs() < 1e-9);
            assert_eq!(got.p, Some((1 + reached) as f64 / 301.0));
        }
    }

    #[test]
    fn a_constant_statistic_has_p_one_and_so_have_equal_samples() {
        let streams = Streams::new(1);
        let one = |x: Array2<f64>, shape| {
            let points = Points::<f32>::new(x.view(), &Array1::zeros(2)).unwrap();
            let unit: Vec<usize> = (0..20).collect();
            let first: Vec<bool> = (0..20).map(|u| u < 12).collect();
            let pooled = Pooled { points: &points, weight: &[1.0; 20], unit: &unit, first: &first };
            two_sample(MeanKernel::new(shape, 1.0).unwrap(), &pooled, 99, &streams)
        };
        for shape in SHAPES {
            let equal = one(Array2::from_elem((20, 2), 0.3), shape);
            assert!(equal.mmd2.abs() < 1e-6, "{equal:?}");
            assert_eq!(equal.p, Some(1.0), "{shape:?}");
        }
        let mut rng = Streams::new(2).rng("x");
        let x = Array2::from_shape_fn((20, 2), |(i, _)| if i < 12 { 4.0 } else { 0.0 } + rng.random::<f64>());
        assert_eq!(one(x, Shape::Rbf).p, Some(0.01));
    }

    #[test]
    fn a_device_gives_the_same_sums() {
        let (x, y) = (normal(60, 5, 3.0, 1.0, 14), normal(40, 5, 3.1, 1.0, 15));
        let centre = Array1::from_elem(5, 3.0);
        let (x, y) = (Points::<f32>::new(x.view(), &centre).unwrap(), Points::<f32>::new(y.view(), &centre).unwrap());
        let factor = |n, seed| normal(n, 4, 0.0, 1.0, seed).mapv(|v| v as f32);
        let (left, right) = (factor(60, 16), factor(40, 17));
        let units: Vec<usize> = (0..60).map(|i| (i * i + i / 9) % 5).collect();
        // The CPU as a device computes in its own way.
        let (here, there) = (Place::new(None), Place::new(Some(&device::Cpu)));
        let near = |a: &[f64], b: &[f64]| {
            assert_eq!(a.len(), b.len());
            a.iter().zip(b).for_each(|(a, b)| assert!((a - b).abs() < 2e-3 * (1.0 + b.abs()), "{a} {b}"));
        };
        for shape in SHAPES {
            let kernel = MeanKernel::new(shape, 2.0).unwrap();
            let of = |p: &Place| p.block(kernel, &x, &y, &left, &right).unwrap();
            near(&[of(&here).sum], &[of(&there).sum]);
            near(&of(&here).forms, &of(&there).forms);
            for units in [None, Some(units.as_slice())] {
                let of = |p: &Place| p.own(kernel, &x, units, &left).unwrap();
                let (a, b) = (of(&here), of(&there));
                near(&[a.sum, a.lever], &[b.sum, b.lever]);
                near(&a.same, &b.same);
                near(&a.forms, &b.forms);
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit() {
        let (x, y) = (normal(700, 5, 0.0, 1.0, 10), normal(900, 5, 0.1, 1.0, 11));
        let centre = Array1::zeros(5);
        let (x, y) = (Points::<f32>::new(x.view(), &centre).unwrap(), Points::<f32>::new(y.view(), &centre).unwrap());
        let (left, right) =
            (normal(700, 9, 0.0, 1.0, 12).mapv(|v| v as f32), normal(900, 9, 0.0, 1.0, 13).mapv(|v| v as f32));
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let kernel = MeanKernel::new(Shape::Matern52, 2.0).unwrap();
            pool.install(|| (block(kernel, &x, &y, &left, &right), own(kernel, &x, None, &left)))
        };
        assert_eq!(run(1), run(3));
    }
}
