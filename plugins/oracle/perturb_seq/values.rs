//! The values: what they look like, how much each gene varies, and the entries that are kept in memory.

use super::PerturbSeq;
use super::input::Matrix;
use super::reading::Class;
use framework::prelude::*;

/// What the values of a file look like.
pub(super) struct ValueCheck {
    whole: bool,
    largest: f64,
    least: f64,
    /// Whether cells came in ascending order.
    pub(super) ordered: bool,
    last: usize,
}

impl ValueCheck {
    pub(super) fn new() -> Self {
        Self { whole: true, largest: 0.0, least: 0.0, ordered: true, last: 0 }
    }

    pub(super) fn add(&mut self, cell: usize, v: f64) {
        self.whole &= v.fract() == 0.0;
        self.largest = self.largest.max(v);
        self.least = self.least.min(v);
        self.ordered &= cell >= self.last;
        self.last = cell;
    }

    /// What to say where the values are not what the settings claim. The logarithm of 1 + 10,000 is 9.2.
    pub(super) fn warning(&self, s: &PerturbSeq) -> Option<String> {
        const LOG: f64 = 15.0;
        let most = self.largest;
        if s.counts && !self.whole {
            let also = if most < LOG { "; they look log-normalised: set counts = false" } else { "" };
            Some(format!("counts = true, and not all values are whole numbers (the largest is {most:.3}){also}"))
        } else if !s.counts && !s.differences && self.whole && most > LOG {
            Some(format!("all values are whole numbers up to {most}: they look like raw counts; set counts = true"))
        } else if !s.counts && !s.differences && most > LOG {
            Some(format!(
                "the largest value is {most:.1}, too large for a logarithm: values look normalised but not log \
                 transformed; use counts = true with the raw counts, or sc.pp.log1p"
            ))
        } else if !s.counts && !s.differences && self.least < 0.0 {
            Some(format!(
                "the least value is {:.3}: values look scaled; differences are in units of that scale",
                self.least
            ))
        } else {
            None
        }
    }
}

/// Sums and sums of squares of each gene.
pub(super) struct Spread {
    sum: Vec<f64>,
    squares: Vec<f64>,
}

impl Spread {
    pub(super) fn new(n: usize) -> Self {
        Self { sum: vec![0.0; n], squares: vec![0.0; n] }
    }

    pub(super) fn add(&mut self, gene: usize, v: f64) {
        self.sum[gene] += v;
        self.squares[gene] += v * v;
    }

    /// Sample variance over `n` cells, zeros included.
    pub(super) fn variance(&self, n: usize) -> Vec<f64> {
        let n = n as f64;
        let each = self.sum.iter().zip(&self.squares);
        each.map(|(s, q)| ((q - s * s / n) / (n - 1.0).max(1.0)).max(0.0)).collect()
    }
}

/// Cells x outputs, entries that are not zero, row by row.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) starts: Vec<usize>,
    pub(super) output: Vec<u32>,
    pub(super) value: Vec<f32>,
}

/// Reads the entries of used cells and kept genes. A file that comes cell by cell is read once; any other twice, to
/// count and to place. A cell that lists a gene twice is an error, worded by `fault`.
pub(super) fn gather(
    matrix: &Matrix,
    class: &[Class],
    keep: &[usize],
    ordered: bool,
    value: impl Fn(usize, f64) -> f64,
    fault: impl Fn(String) -> Error,
) -> Result<Rows> {
    let mut row_of = vec![u32::MAX; class.len()];
    let mut n = 0u32;
    for (row, _) in row_of.iter_mut().zip(class).filter(|(_, c)| **c != Class::Unused) {
        *row = n;
        n += 1;
    }
    let n = n as usize;
    let mut output_of = vec![u32::MAX; matrix.genes().len()];
    keep.iter().enumerate().for_each(|(o, &g)| output_of[g] = o as u32);
    let mut rows = Rows { starts: vec![0; n + 1], ..Rows::default() };
    if ordered {
        let visit = |cell: usize, gene: usize, v: f64| {
            let (row, output) = (row_of[cell], output_of[gene]);
            if row != u32::MAX && output != u32::MAX {
                rows.output.push(output);
                rows.value.push(value(cell, v) as f32);
                rows.starts[row as usize + 1] += 1;
            }
            Ok(())
        };
        matrix.entries(visit)?;
        for r in 0..n {
            rows.starts[r + 1] += rows.starts[r];
        }
    } else {
        let count = |cell: usize, gene: usize, _| {
            if row_of[cell] != u32::MAX && output_of[gene] != u32::MAX {
                rows.starts[row_of[cell] as usize + 1] += 1;
            }
            Ok(())
        };
        matrix.entries(count)?;
        for r in 0..n {
            rows.starts[r + 1] += rows.starts[r];
        }
        rows.output = vec![0; rows.starts[n]];
        rows.value = vec![0.0; rows.starts[n]];
        let mut next = rows.starts.clone();
        let place = |cell: usize, gene: usize, v: f64| {
            let (row, output) = (row_of[cell], output_of[gene]);
            if row != u32::MAX && output != u32::MAX {
                let at = &mut next[row as usize];
                rows.output[*at] = output;
                rows.value[*at] = value(cell, v) as f32;
                *at += 1;
            }
            Ok(())
        };
        matrix.entries(place)?;
    }
    for r in 0..n {
        let span = rows.starts[r]..rows.starts[r + 1];
        if rows.output[span.clone()].is_sorted_by(|a, b| a < b) {
            continue;
        }
        let mut pairs: Vec<(u32, f32)> =
            rows.output[span.clone()].iter().copied().zip(rows.value[span.clone()].iter().copied()).collect();
        pairs.sort_by_key(|p| p.0);
        if let Some(w) = pairs.windows(2).find(|w| w[0].0 == w[1].0) {
            let cell = row_of.iter().position(|x| *x as usize == r).unwrap_or(0);
            let gene = &matrix.genes()[keep[w[0].0 as usize]];
            return Err(fault(format!(
                "cell {} lists gene {gene} twice; merge entries in Python (adata.X.sum_duplicates()) and write it again",
                cell + 1
            )));
        }
        for (k, (o, v)) in pairs.into_iter().enumerate() {
            rows.output[span.start + k] = o;
            rows.value[span.start + k] = v;
        }
    }
    Ok(rows)
}
