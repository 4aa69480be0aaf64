//! What the network is trained on and validated by: cells paired with control cells, or profiles in their place.

use super::CLEAREST;
use framework::domain::Cells;
use framework::prelude::*;
use std::collections::HashMap;

/// A perturbed cell and the control cell it is paired with, both minus the control mean.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// Number of its perturbation among those of the training set.
    pub perturbation: u32,
    /// The perturbed cell.
    pub x: &'a [f32],
    /// The control cell.
    pub control: &'a [f32],
}

/// What the network is trained on.
#[derive(Debug)]
pub struct Data<'a> {
    /// All training cells.
    pub cells: Vec<Pair<'a>>,
    /// Numbers of the cells of each perturbation.
    pub cells_of: Vec<Vec<u32>>,
    /// Perturbed genes of each perturbation.
    pub genes: Vec<Vec<Gene>>,
    /// Which outputs count for each perturbation: those seen in any of its cells. Empty: all.
    pub keep: Vec<Vec<bool>>,
    /// Whether there are cells, or rows in their place.
    pub has_cells: bool,
}

impl<'a> Data<'a> {
    /// Every cell of the perturbations at these positions of `samples`, each with a control cell drawn for it, or with
    /// `no_control` where none was measured.
    pub(super) fn paired(samples: &Samples<'a>, trained: &[usize], no_control: &'a [f32], cx: &FitContext) -> Self {
        let seen = samples.seen(no_control.len());
        let mut pairs = cx.streams.rng("pairs");
        let has_cells = cx.observed.cells.is_some();
        let mut data = Data { cells: vec![], cells_of: vec![], genes: vec![], keep: vec![], has_cells };
        for (p, &at) in trained.iter().enumerate() {
            let (id, own) = &samples.of[at];
            let first = data.cells.len() as u32;
            for x in own {
                let control = match samples.control.len() {
                    0 => no_control,
                    n => samples.control[pairs.random_range(0..n)],
                };
                data.cells.push(Pair { perturbation: p as u32, x, control });
            }
            data.cells_of.push((first..data.cells.len() as u32).collect());
            data.genes.push(cx.inputs.pool().get(*id).genes().to_vec());
            data.keep.push(seen[at].clone());
        }
        data
    }
}

/// The measurements as rows of single precision, owned here where there are no cells.
pub(super) struct Samples<'a> {
    /// Measured perturbations with their rows: cells, or readouts in their place.
    pub(super) of: Vec<(usize, Vec<&'a [f32]>)>,
    pub(super) control: Vec<&'a [f32]>,
    pub(super) lanes: Vec<Vec<u32>>,
    pub(super) control_lanes: &'a [u32],
}

impl<'a> Samples<'a> {
    pub(super) fn new(cx: &'a FitContext, plain: &'a Array2<f32>) -> Result<Self> {
        let (observed, pool) = (cx.observed, cx.inputs.pool());
        let control = cx.inputs.control().and_then(|c| c.cells.as_ref());
        let mut of: Vec<(usize, Vec<&'a [f32]>)> = vec![];
        let mut lanes: Vec<Vec<u32>> = vec![];
        let mut place = HashMap::new();
        for (row, &id) in observed.ids.iter().enumerate() {
            let at = *place.entry(id).or_insert(of.len());
            if at == of.len() {
                of.push((id, vec![]));
                lanes.push(vec![]);
            }
            match &observed.cells {
                Some(cells) => {
                    let name = || pool.label(id);
                    let found = finite_rows(&cells[row], observed.n_outputs(), name)?;
                    if found.is_empty() {
                        return Err(Error::Data(format!(
                            "model gears: perturbation `{}` was measured without a cell; raise the least number of cells \
                             of the oracle, or train on profiles (a model that needs no cells)",
                            name()
                        )));
                    }
                    of[at].1.extend(found);
                    lanes[at].extend(&cells[row].lane);
                }
                None => of[at].1.extend(plain.row(row).to_slice()),
            }
        }
        let paired = control.filter(|_| observed.cells.is_some());
        let control = match paired {
            Some(c) => finite_rows(c, observed.n_outputs(), || "control".into())?,
            None => vec![],
        };
        Ok(Self { of, control, lanes, control_lanes: paired.map_or(&[], |c| c.lane.as_slice()) })
    }

    /// Which outputs were seen in any cell of each perturbation. A cell without a count has the least value of its
    /// lane; what is at that floor in all cells of a perturbation was not seen.
    pub(super) fn seen(&self, outputs: usize) -> Vec<Vec<bool>> {
        if self.control.is_empty() {
            return vec![vec![]; self.of.len()];
        }
        let mut floors: HashMap<u32, Vec<f32>> = HashMap::new();
        let own = self.of.iter().zip(&self.lanes).flat_map(|((_, rows), lanes)| rows.iter().zip(lanes));
        for (row, lane) in self.control.iter().zip(self.control_lanes).chain(own) {
            let floor = floors.entry(*lane).or_insert_with(|| vec![f32::INFINITY; outputs]);
            floor.iter_mut().zip(*row).for_each(|(f, x)| *f = f.min(*x));
        }
        let seen = self.of.iter().zip(&self.lanes).map(|((_, rows), lanes)| {
            let mut seen = vec![false; outputs];
            for (row, lane) in rows.iter().zip(lanes) {
                let Some(floor) = floors.get(lane) else { continue };
                seen.iter_mut().zip(*row).zip(floor).for_each(|((s, x), f)| *s |= *x > *f + 1e-5);
            }
            if seen.iter().all(|s| *s) || !seen.contains(&true) { vec![] } else { seen }
        });
        seen.collect()
    }
}

/// The rows of cells, checked to be as wide as a readout and finite.
fn finite_rows(cells: &Cells, outputs: usize, name: impl Fn() -> String) -> Result<Vec<&[f32]>> {
    if cells.x.ncols() != outputs {
        return Err(Error::Data(format!(
            "model gears: cells of `{}` have {} values and readouts {outputs}; both must be of the same genes",
            name(),
            cells.x.ncols()
        )));
    }
    let mut out = Vec::with_capacity(cells.x.nrows());
    for row in cells.x.outer_iter() {
        let Some(row) = row.to_slice() else {
            return Err(Error::Plugin("model gears: cells must be stored cell after cell (standard layout)".into()));
        };
        if let Some(v) = row.iter().find(|v| !v.is_finite()) {
            return Err(Error::Data(format!("model gears: a cell of `{}` holds the value {v}", name())));
        }
        out.push(row);
    }
    Ok(out)
}

/// A measured perturbation kept from training.
pub(super) struct Held {
    pub(super) genes: Vec<Gene>,
    pub(super) mean: Array1<f64>,
    /// Outputs that differ most clearly from control.
    pub(super) clearest: Vec<usize>,
}

/// Mean of each column, and its squared standard error.
pub(super) fn mean_and_error(rows: &[&[f32]], width: usize) -> Vec<(f64, f64)> {
    let n = rows.len() as f64;
    let mut out = vec![(0.0, 0.0); width];
    for row in rows {
        out.iter_mut().zip(*row).for_each(|(o, x)| o.0 += f64::from(*x) / n);
    }
    for row in rows {
        out.iter_mut().zip(*row).for_each(|(o, x)| o.1 += (f64::from(*x) - o.0).powi(2));
    }
    out.iter_mut().for_each(|o| o.1 /= (n - 1.0).max(1.0) * n);
    out
}

impl Held {
    pub(super) fn new(samples: &Samples, at: usize, control: &[(f64, f64)], cx: &FitContext) -> Self {
        let (id, own) = &samples.of[at];
        let observed = cx.observed;
        let measured: Vec<usize> = (0..observed.len()).filter(|r| observed.ids[*r] == *id).collect();
        let mean = observed.y.select(Axis(0), &measured).sum_axis(Axis(0)) / measured.len() as f64;
        // The absolute t score, or the absolute mean where there are too few cells for a spread.
        let scores: Vec<f64> = if own.len() < 2 || samples.control.len() < 2 {
            mean.iter().map(|m| m.abs()).collect()
        } else {
            let t = |(a, b): (&(f64, f64), &(f64, f64))| {
                let apart = (a.0 - b.0).abs();
                if apart > 0.0 { apart / (a.1 + b.1).sqrt() } else { 0.0 }
            };
            mean_and_error(own, mean.len()).iter().zip(control).map(t).collect()
        };
        let mut clearest: Vec<usize> = (0..mean.len()).collect();
        clearest.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b)));
        clearest.truncate(CLEAREST);
        Self { genes: cx.inputs.pool().get(*id).genes().to_vec(), mean, clearest }
    }
}
