//! Draws of the whole matrix, multiplied out where asked for.

use super::factor::Factor;
use numerics::streams::Streams;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

/// Rows of a block: their numbers stand side by side, one block after another, so that the draws of a few rows lie
/// together and a block's entries are computed in one go.
const BLOCK: usize = 16;

/// Draws of rows of `width` numbers: block x draw x number, each for the rows of the block.
pub(super) struct Table {
    width: usize,
    x: Vec<[f32; BLOCK]>,
}

impl Table {
    /// The sides' rows behind one another.
    pub(super) fn draw(sides: &[&Factor], n: usize, streams: &Streams) -> Self {
        let rows = sides.first().map_or(0, |s| s.n);
        let width = sides.iter().map(|s| s.m).sum::<usize>();
        let mut x = vec![[0.0f32; BLOCK]; rows.div_ceil(BLOCK) * n * width];
        x.par_chunks_mut((n * width).max(1)).enumerate().for_each(|(b, block)| {
            let mut rng = streams.index(b).rng("draws");
            // Mean and sd of every number of the block; rows beyond the last stay 0.
            let moments = |side: &Factor, k: usize, r: usize| match b * BLOCK + r {
                row if row < side.n => side.at(row, k),
                _ => (0.0, 0.0),
            };
            let of: Vec<[(f64, f64); BLOCK]> = sides
                .iter()
                .flat_map(|side| (0..side.m).map(move |k| (side, k)))
                .map(|(side, k)| {
                    std::array::from_fn(|r| {
                        let (mean, var) = moments(side, k, r);
                        (mean, var.sqrt())
                    })
                })
                .collect();
            for draw in block.chunks_exact_mut(width) {
                for (row, of) in draw.iter_mut().zip(&of) {
                    for (v, (mean, sd)) in row.iter_mut().zip(of) {
                        let z: f64 = StandardNormal.sample(&mut rng);
                        *v = (mean + sd * z) as f32;
                    }
                }
            }
        });
        Self { width, x }
    }

    /// The numbers of a block in one draw.
    #[inline(always)]
    fn of(&self, block: usize, n: usize, draw: usize) -> &[[f32; BLOCK]] {
        let at = (block * n + draw) * self.width;
        &self.x[at..at + self.width]
    }
}

/// Draws of the whole matrix, held as draws of its factors and multiplied out where they are asked for.
pub struct MatrixDraws {
    pub(super) n: usize,
    pub(super) left: Table,
    /// Absent: the same rows again.
    pub(super) right: Option<Table>,
    /// Number k of a row on the left meets number k + turn on the right.
    pub(super) turn: usize,
    /// Factor of each product: draw x number.
    pub(super) weight: Vec<f32>,
}

/// Entries of one row and of columns that follow one another within a block.
struct Run {
    row: usize,
    block: usize,
    from: usize,
    to: usize,
    at: usize,
}

impl MatrixDraws {
    /// Number of draws.
    pub fn len(&self) -> usize {
        self.n
    }

    /// True without draws.
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Writes `offset + scale` x the entries (row, column) of every draw: draws x entries. Fastest where neighbours in the
    /// list share their row and have neighbouring columns.
    pub fn values(&self, entries: &[(u32, u32)], offset: f64, scale: f64, out: &mut Vec<f64>) {
        out.resize(self.n * entries.len(), 0.0);
        let mut runs: Vec<Run> = Vec::new();
        for (at, &(i, j)) in entries.iter().enumerate() {
            let (row, block, lane) = (i as usize, j as usize / BLOCK, j as usize % BLOCK);
            match runs.last_mut() {
                Some(r) if r.row == row && r.block == block && r.to == lane => r.to += 1,
                _ => runs.push(Run { row, block, from: lane, to: lane + 1, at }),
            }
        }
        multiply(self, &runs, entries.len(), offset, scale, out)
    }
}

wide! {
    fn multiply(draws: &MatrixDraws, runs: &[Run], entries: usize, offset: f64, scale: f64, out: &mut [f64]) {
        let width = draws.left.width;
        let right = draws.right.as_ref().unwrap_or(&draws.left);
        for (draw, out) in out.chunks_exact_mut(entries.max(1)).enumerate() {
            let weight = &draws.weight[draw * width..(draw + 1) * width];
            for r in runs {
                let a = draws.left.of(r.row / BLOCK, draws.n, draw);
                let lane = r.row % BLOCK;
                // Number k meets number k + turn, the last ones the first.
                let (first, last) = right.of(r.block, draws.n, draw).split_at(draws.turn);
                let mut sum = [0.0f32; BLOCK];
                for ((w, a), b) in weight.iter().zip(a).zip(last.iter().chain(first)) {
                    let f = w * a[lane];
                    for l in 0..BLOCK {
                        sum[l] += f * b[l];
                    }
                }
                let values: [f64; BLOCK] = std::array::from_fn(|l| offset + scale * f64::from(sum[l]));
                let to = &mut out[r.at..r.at + (r.to - r.from)];
                match to.first_chunk_mut::<BLOCK>() {
                    Some(all) => *all = values,
                    None => to.iter_mut().zip(&values[r.from..]).for_each(|(o, v)| *o = *v),
                }
            }
        }
    }
}
