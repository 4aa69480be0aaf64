//! Profiles: the mean of a perturbation's cells against control, and the variance about it.

use super::reading::listed;
use super::values::Rows;
use super::{Centre, NoCells};
use framework::domain::{Cells, Control};
use framework::prelude::*;
use rayon::prelude::*;
use std::path::Path;
use std::sync::Arc;

/// An opened screen.
#[derive(Debug)]
pub(super) struct Profiles {
    pub(super) pool: Arc<Pool>,
    pub(super) cells: Rows,
    /// Lane of each row.
    pub(super) lane_of: Vec<u32>,
    /// Rows of each perturbation, ascending.
    pub(super) members: Vec<Vec<u32>>,
    pub(super) controls: Vec<u32>,
    /// What is subtracted in each lane: lanes x outputs.
    pub(super) centre: Array2<f64>,
    pub(super) n_lanes: usize,
    pub(super) lane_names: Vec<String>,
    pub(super) control: Arc<Control>,
    /// Mean and variance of the centred control cells.
    pub(super) control_moments: (Array1<f64>, Array1<f64>),
    /// Outputs seen in control.
    pub(super) control_seen: Vec<bool>,
    /// perturbations x outputs, over all lanes.
    pub(super) truth: Array2<f64>,
    /// Variance of each output within perturbations.
    pub(super) pooled: Option<Array1<f64>>,
    pub(super) no_cells: NoCells,
    pub(super) bootstrap: bool,
    pub(super) single_cells: bool,
    pub(super) differences: bool,
    pub(super) notes: Vec<String>,
}

/// Perturbations summarised in one piece.
const TILE: usize = 64;

impl Profiles {
    /// Centres, truth and the variances behind errors.
    pub(super) fn prepare(&mut self, centre: Centre, path: &Path) -> Result<()> {
        let l = self.n_outputs();
        if !self.differences {
            let mut sums = Array2::<f64>::zeros(self.centre.dim());
            let mut n = vec![0usize; sums.nrows()];
            let mut all = Array1::<f64>::zeros(l);
            for &row in &self.controls {
                let lane = self.lane_of[row as usize] as usize;
                n[lane] += 1;
                for (o, v) in self.entries(row) {
                    sums[(lane, o)] += v;
                    all[o] += v;
                }
            }
            all /= self.controls.len() as f64;
            self.control_seen = all.iter().map(|v| *v != 0.0).collect();
            match centre {
                Centre::All => self.centre.outer_iter_mut().for_each(|mut row| row.assign(&all)),
                Centre::Lane => {
                    let mut perturbed = vec![0usize; n.len()];
                    self.members.iter().flatten().for_each(|r| perturbed[self.lane_of[*r as usize] as usize] += 1);
                    let uncontrolled: Vec<&String> =
                        (0..n.len()).filter(|&i| n[i] == 0 && perturbed[i] > 0).map(|i| &self.lane_names[i]).collect();
                    if !uncontrolled.is_empty() {
                        return Err(Error::Data(format!(
                            "{}: {} of {} lanes have perturbed cells and no control cells: {}; set centre = \"all\" to \
                             compare with the control cells of all lanes, or take these lanes out of the file",
                            path.display(),
                            uncontrolled.len(),
                            n.len(),
                            listed(uncontrolled.iter())
                        )));
                    }
                    for (mut row, (sum, n)) in self.centre.outer_iter_mut().zip(sums.outer_iter().zip(&n)) {
                        row.assign(&(&sum / (*n as f64).max(1.0)));
                    }
                }
            }
            let cells = self.single_cells.then(|| Arc::new(self.centred_cells(&self.controls)));
            let outputs = self.control.outputs.clone();
            let (mean, squares) = self.moments(&self.controls);
            self.control_moments = (mean, squares / (self.controls.len() as f64 - 1.0).max(1.0));
            self.control = Arc::new(Control { mean: all, cells, outputs });
        }
        let mut truth = Array2::zeros((self.pool.len(), l));
        let (mut within, mut free) = (Array1::<f64>::zeros(l), 0usize);
        for start in (0..self.pool.len()).step_by(TILE) {
            let ids = start..(start + TILE).min(self.pool.len());
            let each: Vec<_> = ids.clone().into_par_iter().map(|id| self.moments(&self.members[id])).collect();
            for (id, (mean, squares)) in ids.zip(each) {
                truth.row_mut(id).assign(&mean);
                within += &squares;
                free += self.members[id].len() - 1;
            }
        }
        self.truth = truth;
        if free > 0 {
            within /= free as f64;
            // An error of exactly 0 would claim a certainty that no weighting survives.
            let least = 1e-6 * within.mean().unwrap_or(0.0);
            within.mapv_inplace(|v| v.max(least));
            self.pooled = Some(within).filter(|_| least > 0.0);
        }
        Ok(())
    }

    /// The entries of a row that are not zero.
    pub(super) fn entries(&self, row: u32) -> impl Iterator<Item = (usize, f64)> + '_ {
        let span = self.cells.starts[row as usize]..self.cells.starts[row as usize + 1];
        self.cells.output[span.clone()].iter().zip(&self.cells.value[span]).map(|(o, v)| (*o as usize, f64::from(*v)))
    }

    /// A row minus the control of its lane.
    fn centred(&self, row: u32, into: &mut Array1<f64>) {
        into.assign(&self.centre.row(self.lane_of[row as usize] as usize));
        into.mapv_inplace(|v| -v);
        self.entries(row).for_each(|(o, v)| into[o] += v);
    }

    /// Mean of centred rows, and sum of squares about it.
    pub(super) fn moments(&self, rows: &[u32]) -> (Array1<f64>, Array1<f64>) {
        let l = self.n_outputs();
        let (mut mean, mut squares, mut x) = (Array1::<f64>::zeros(l), Array1::<f64>::zeros(l), Array1::zeros(l));
        for &row in rows {
            self.centred(row, &mut x);
            mean += &x;
        }
        mean /= (rows.len() as f64).max(1.0);
        for &row in rows {
            self.centred(row, &mut x);
            squares.zip_mut_with(&(&x - &mean), |s, d| *s += d * d);
        }
        (mean, squares)
    }

    pub(super) fn centred_cells(&self, rows: &[u32]) -> Cells {
        let mut x = Array2::<f32>::zeros((rows.len(), self.n_outputs()));
        let mut buffer = Array1::zeros(self.n_outputs());
        for (mut to, &row) in x.outer_iter_mut().zip(rows) {
            self.centred(row, &mut buffer);
            to.zip_mut_with(&buffer, |t, v| *t = *v as f32);
        }
        Cells { x, lane: rows.iter().map(|r| self.lane_of[*r as usize]).collect() }
    }

    /// The rows of a perturbation that a round may use.
    pub(super) fn rows(&self, id: usize, lanes: Option<&[u32]>) -> Result<Vec<u32>> {
        let Some(lanes) = lanes else { return Ok(self.members[id].clone()) };
        let rows: Vec<u32> =
            self.members[id].iter().copied().filter(|r| lanes.contains(&self.lane_of[*r as usize])).collect();
        if !rows.is_empty() {
            return Ok(rows);
        }
        match self.no_cells {
            NoCells::AllLanes => Ok(self.members[id].clone()),
            NoCells::Error => Err(Error::Data(format!(
                "perturbation {} has no cell in the {} lanes of this round ({}); set no_cells = \"all_lanes\" to use its \
                 cells of other lanes, or use larger groups of lanes",
                self.pool.label(id),
                lanes.len(),
                listed(lanes.iter().map(|l| self.lane_names[*l as usize].as_str()).collect::<Vec<_>>().iter())
            ))),
        }
    }
}
