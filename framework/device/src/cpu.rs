//! The plain implementation: the reference of every other device. Distances and products are `f32` with sums
//! over 16 fixed lanes; what contains a posterior (`max_det`, `bait`) is `f64` inside. Work is cut into tiles of
//! fixed size, so results do not depend on the number of threads.

use crate::contract::{
    Device, Error, Forms, Picks, Reduced, Result, Tile, check, check_factors, check_noise, check_tile, checked,
};
use ndarray::{Array2, ArrayView1, ArrayView2, Axis, concatenate, s};
use rayon::prelude::*;

/// The processor, through rayon's threads.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu;

/// Rows handled together by one thread.
const TILE: usize = 512;
const LANES: usize = 16;

impl Device for Cpu {
    fn name(&self) -> String {
        "cpu".into()
    }

    fn reduce(&self, a: ArrayView2<f32>, b: ArrayView2<f32>, tile: Tile) -> Result<Reduced> {
        check(a, b, "b", 0)?;
        check_tile(tile)?;
        if b.nrows() == 0 {
            return Err(Error::Input("b has no rows to reduce over".into()));
        }
        let (a, b) = (a.as_standard_layout(), b.as_standard_layout());
        let rows: Vec<_> = a
            .axis_chunks_iter(Axis(0), TILE)
            .into_par_iter()
            .flat_map_iter(|part| {
                let b = &b;
                part.outer_iter().map(|x| reduce_row(slice(&x), b.view(), tile)).collect::<Vec<_>>()
            })
            .collect();
        let mut out = Reduced::default();
        for row in rows {
            out.min.push(row.min);
            out.argmin.push(row.argmin);
            out.max.push(row.max);
            out.argmax.push(row.argmax);
            out.sum.push(row.sum as f32);
        }
        Ok(out)
    }

    fn quadratic_forms(
        &self,
        x: ArrayView2<f32>,
        y: ArrayView2<f32>,
        tile: Tile,
        left: ArrayView2<f32>,
        right: ArrayView2<f32>,
    ) -> Result<Forms> {
        check_factors(x, y, tile, left, right)?;
        let (x, y, right) = (x.as_standard_layout(), y.as_standard_layout(), right.as_standard_layout());
        // Each row's sum, and each part's forms, in the order of the rows.
        let parts: Vec<Forms> = x
            .axis_chunks_iter(Axis(0), TILE)
            .into_par_iter()
            .zip(left.axis_chunks_iter(Axis(0), TILE).into_par_iter())
            .map(|(x, left)| {
                let mut part = Forms { forms: vec![0.0; left.ncols()], row_sums: vec![] };
                let mut with = vec![0f32; left.ncols()];
                for (x, left) in x.outer_iter().zip(left.outer_iter()) {
                    with.fill(0.0);
                    let mut sum = 0.0;
                    for (y, right) in y.outer_iter().zip(right.outer_iter()) {
                        let k = evaluate(slice(&x), slice(&y), tile);
                        sum += f64::from(k);
                        with.iter_mut().zip(slice(&right)).for_each(|(v, r)| *v += k * r);
                    }
                    part.row_sums.push(sum);
                    part.forms.iter_mut().zip(&left).zip(&with).for_each(|((f, l), v)| *f += f64::from(l * v));
                }
                part
            })
            .collect();
        let mut all = Forms { forms: vec![0.0; left.ncols()], row_sums: vec![] };
        for part in parts {
            all.forms.iter_mut().zip(part.forms).for_each(|(f, p)| *f += p);
            all.row_sums.extend(part.row_sums);
        }
        Ok(all)
    }

    fn max_dist(&self, rows: ArrayView2<f32>, centres: ArrayView2<f32>, batch: usize) -> Result<Picks> {
        greedy(rows, centres, batch, |near| farthest(&near.distance, |_| true))
    }

    fn lcmd(&self, rows: ArrayView2<f32>, centres: ArrayView2<f32>, batch: usize) -> Result<Picks> {
        greedy(rows, centres, batch, |near| {
            let mut size = vec![0f64; near.centres];
            for (&owner, &distance) in near.owner.iter().zip(&near.distance) {
                size[owner] += f64::from(distance);
            }
            let heaviest = argmax(&size);
            farthest(&near.distance, |row| near.owner[row] == heaviest)
        })
    }

    fn max_det(&self, rows: ArrayView2<f32>, centres: ArrayView2<f32>, sigma2: f32, batch: usize) -> Result<Picks> {
        check(rows, centres, "the centres", batch)?;
        check_noise(sigma2)?;
        let (n, m) = (rows.nrows(), centres.nrows());
        let sigma2 = f64::from(sigma2);
        let x = both(rows, centres);
        let mut factor = Array2::<f64>::zeros((n + m, m + batch));
        let mut variance: Vec<f64> = x.outer_iter().map(|x| x.dot(&x) + sigma2).collect();
        let mut picks = vec![];
        for step in 0..m + batch {
            let pivot = if step < m { n + step } else { argmax(&variance[..n]) };
            let of_pivot = variance[pivot];
            if of_pivot <= 0.0 || !of_pivot.is_finite() {
                if step < m {
                    continue;
                }
                break;
            }
            let (x_pivot, l_pivot) = (x.row(pivot).to_owned(), factor.row(pivot).to_owned());
            factor
                .axis_chunks_iter_mut(Axis(0), TILE)
                .into_par_iter()
                .zip(x.axis_chunks_iter(Axis(0), TILE))
                .zip(variance.par_chunks_mut(TILE))
                .for_each(|((mut factor, x), variance)| {
                    for ((mut l, x), v) in factor.outer_iter_mut().zip(x.outer_iter()).zip(variance) {
                        let known = l.slice(s![..step]).dot(&l_pivot.slice(s![..step]));
                        l[step] = (x.dot(&x_pivot) - known) / of_pivot.sqrt();
                        *v -= l[step] * l[step];
                    }
                });
            variance[pivot] = f64::NEG_INFINITY;
            if step >= m {
                picks.push((pivot, of_pivot as f32));
            }
        }
        checked(picks)
    }

    fn bait(
        &self,
        rows: ArrayView2<f32>,
        train: ArrayView2<f32>,
        sigma2: f32,
        batch: usize,
        condition_on_train: bool,
    ) -> Result<Picks> {
        check(rows, train, "the training rows", batch)?;
        check_noise(sigma2)?;
        let (n, m) = (rows.nrows(), train.nrows());
        let (sigma2, sigma) = (f64::from(sigma2), f64::from(sigma2).sqrt());
        let mut phi = both(rows, train);
        let mut c = phi.t().dot(&phi);
        let forced = if condition_on_train { m } else { 0 };
        // N and D of every row follow each conditioning in O(n d).
        let mut variance: Vec<f64> = phi.outer_iter().map(|x| x.dot(&x)).collect();
        let mut weight: Vec<f64> = phi.dot(&c).outer_iter().zip(phi.outer_iter()).map(|(w, x)| w.dot(&x)).collect();
        let mut open = vec![true; n];
        let mut picks = vec![];
        for step in 0..forced + batch {
            let pivot = if step < forced {
                n + step
            } else {
                let score = |row: usize| match open[row] {
                    true => weight[row] / (variance[row] + sigma2 + 1e-8),
                    false => f64::NEG_INFINITY,
                };
                let scores: Vec<f64> = (0..n).map(score).collect();
                let best = argmax(&scores);
                if scores[best] <= 0.0 {
                    break;
                }
                open[best] = false;
                picks.push((best, scores[best] as f32));
                best
            };
            // The features after conditioning on the pivot, and their scatter downdated alike.
            let of_pivot = phi.row(pivot).to_owned();
            let d = of_pivot.dot(&of_pivot) + sigma2;
            if d <= 0.0 {
                continue;
            }
            let beta = 1.0 / (d.sqrt() * (d.sqrt() + sigma));
            let w = c.dot(&of_pivot);
            let q = of_pivot.dot(&w);
            phi.axis_chunks_iter_mut(Axis(0), TILE)
                .into_par_iter()
                .zip(variance.par_chunks_mut(TILE).zip(weight.par_chunks_mut(TILE)))
                .for_each(|(mut phi, (variance, weight))| {
                    for ((mut x, variance), weight) in phi.outer_iter_mut().zip(variance).zip(weight) {
                        let (g, h) = (x.dot(&of_pivot), x.dot(&w));
                        *variance -= g * g / d;
                        *weight += g / d * (g / d * q - 2.0 * h);
                        x.scaled_add(-beta * g, &of_pivot);
                    }
                });
            for ((i, j), c) in c.indexed_iter_mut() {
                *c += beta * (beta * q * of_pivot[i] * of_pivot[j] - of_pivot[i] * w[j] - w[i] * of_pivot[j]);
            }
        }
        checked(picks)
    }
}

/// Every row's nearest centre.
struct Nearest {
    distance: Vec<f32>,
    owner: Vec<usize>,
    centres: usize,
}

/// The loop of `max_dist` and `lcmd`: they differ in which row `next` names.
fn greedy(
    rows: ArrayView2<f32>,
    centres: ArrayView2<f32>,
    batch: usize,
    next: impl Fn(&Nearest) -> (usize, f32),
) -> Result<Picks> {
    check(rows, centres, "the centres", batch)?;
    let n = rows.nrows();
    let rows = rows.as_standard_layout();
    let mut near = Nearest { distance: vec![f32::INFINITY; n], owner: vec![0; n], centres: 0 };
    let add = |near: &mut Nearest, centre: &[f32]| {
        let id = near.centres;
        near.centres += 1;
        rows.axis_chunks_iter(Axis(0), TILE)
            .into_par_iter()
            .zip(near.distance.par_chunks_mut(TILE).zip(near.owner.par_chunks_mut(TILE)))
            .for_each(|(rows, (distance, owner))| {
                for ((row, distance), owner) in rows.outer_iter().zip(distance).zip(owner) {
                    let new = sq_distance(slice(&row), centre);
                    if new < *distance {
                        (*distance, *owner) = (new, id);
                    }
                }
            });
    };
    for centre in centres.as_standard_layout().outer_iter() {
        add(&mut near, slice(&centre));
    }
    let mut picks = vec![];
    while picks.len() < batch {
        let (row, score) = if near.centres == 0 {
            let norms: Vec<f32> = rows.outer_iter().map(|x| product(slice(&x), slice(&x))).collect();
            let first = argmax(&norms);
            (first, norms[first])
        } else {
            let found = next(&near);
            if found.1 <= 0.0 {
                break;
            }
            found
        };
        picks.push((row, score));
        add(&mut near, slice(&rows.row(row)));
    }
    checked(picks)
}

/// The first of the largest values.
fn argmax<T: PartialOrd>(values: &[T]) -> usize {
    let mut best = 0;
    for (i, value) in values.iter().enumerate() {
        if *value > values[best] {
            best = i;
        }
    }
    best
}

fn farthest(distance: &[f32], among: impl Fn(usize) -> bool) -> (usize, f32) {
    let mut best = (0, f32::NEG_INFINITY);
    for (row, &value) in distance.iter().enumerate() {
        if value > best.1 && among(row) {
            best = (row, value);
        }
    }
    best
}

struct Row {
    min: f32,
    argmin: usize,
    max: f32,
    argmax: usize,
    sum: f64,
}

fn reduce_row(x: &[f32], b: ArrayView2<f32>, tile: Tile) -> Row {
    let mut row = Row { min: f32::INFINITY, argmin: 0, max: f32::NEG_INFINITY, argmax: 0, sum: 0.0 };
    for (j, y) in b.outer_iter().enumerate() {
        let value = evaluate(x, slice(&y), tile);
        if value < row.min {
            (row.min, row.argmin) = (value, j);
        }
        if value > row.max {
            (row.max, row.argmax) = (value, j);
        }
        row.sum += f64::from(value);
    }
    row
}

fn evaluate(x: &[f32], y: &[f32], tile: Tile) -> f32 {
    match tile {
        Tile::Product => product(x, y),
        Tile::SqDistance => sq_distance(x, y),
        Tile::Rbf { length } => (-0.5 * sq_distance(x, y) / (length * length)).exp(),
        Tile::Matern52 { length } => {
            let q = (5.0 * sq_distance(x, y) / (length * length)).sqrt();
            (1.0 + q + q * q / 3.0) * (-q).exp()
        }
    }
}

fn product(x: &[f32], y: &[f32]) -> f32 {
    lanes(x, y, |a, b| a * b)
}

fn sq_distance(x: &[f32], y: &[f32]) -> f32 {
    lanes(x, y, |a, b| (a - b) * (a - b))
}

#[inline(always)]
fn lanes(x: &[f32], y: &[f32], term: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0f32; LANES];
    let (x_parts, y_parts) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let rest = x_parts.remainder().iter().zip(y_parts.remainder());
    for (x, y) in x_parts.clone().zip(y_parts.clone()) {
        for (sum, (&a, &b)) in sums.iter_mut().zip(x.iter().zip(y)) {
            *sum += term(a, b);
        }
    }
    for (sum, (&a, &b)) in sums.iter_mut().zip(rest) {
        *sum += term(a, b);
    }
    // By halves, which loses less than one after another.
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            sums[i] += sums[i + width];
        }
        width /= 2;
    }
    sums[0]
}

/// A row of an array in standard layout.
fn slice<'a>(row: &ArrayView1<'a, f32>) -> &'a [f32] {
    row.to_slice().unwrap_or(&[])
}

fn both(rows: ArrayView2<f32>, others: ArrayView2<f32>) -> Array2<f64> {
    let rows = rows.mapv(f64::from);
    let others = others.mapv(f64::from);
    if others.nrows() == 0 {
        return rows;
    }
    // The widths were checked to be equal, so this cannot fail.
    concatenate(Axis(0), &[rows.view(), others.view()]).unwrap_or(rows)
}
