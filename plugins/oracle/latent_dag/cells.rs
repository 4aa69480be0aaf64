//! Cells: the lanes that hold them, how one is drawn, and the mean of those of a perturbation.

use super::Readout;
use super::counts::STATES;
use super::world::{World, normal};
use framework::domain::{Cells, Control};
use framework::prelude::*;
use learn::simulate::{CountSampler, SHARES};
use rayon::prelude::*;
use std::sync::Arc;

/// One lane: what it does to cells, and the mean of its control cells.
#[derive(Debug)]
pub(super) struct Lane {
    number: u32,
    shift: Vec<f32>,
    scale: f64,
    library: f64,
    pub(super) control: Vec<f32>,
}

/// Work space for drawing cells.
struct Work {
    sampler: Option<CountSampler>,
    row: Vec<f32>,
}

impl World {
    /// Draws what each lane does, and its control cells.
    pub(super) fn open_lanes(&mut self, streams: &Streams) -> Result<()> {
        let s = &self.settings;
        let keep = s.readout == Readout::Cells;
        let opened: Vec<(Lane, Option<Array2<f32>>)> = (0..s.lanes)
            .into_par_iter()
            .map(|number| {
                let key = streams.child("lane").index(number);
                let mut rng = key.rng("shift");
                let shift = (0..s.outputs).map(|_| (s.lane_sd * normal(&mut rng)) as f32).collect();
                let mut rng = key.rng("factors");
                let scale = (s.lane_scale * normal(&mut rng) - 0.5 * s.lane_scale * s.lane_scale).exp();
                let library = (s.lane_library * normal(&mut rng)).exp();
                let mut lane = Lane { number: number as u32, shift, scale, library, control: vec![] };
                let mut rng = key.rng("control");
                let (mut work, no_effect) = (self.work(), vec![0.0; s.outputs]);
                let mut cell = vec![0.0; s.outputs];
                let mut sum = vec![0.0f64; s.outputs];
                let mut kept = Array2::zeros((if keep { s.control_cells } else { 0 }, s.outputs));
                for c in 0..s.control_cells {
                    self.draw(&lane, &no_effect, &mut work, &mut rng, &mut cell);
                    sum.iter_mut().zip(&cell).for_each(|(t, v)| *t += f64::from(*v));
                    if keep {
                        kept.row_mut(c).assign(&ArrayView1::from(&cell[..]));
                    }
                }
                lane.control = sum.iter().map(|t| (t / s.control_cells as f64) as f32).collect();
                kept -= &ArrayView1::from(&lane.control[..]);
                (lane, keep.then_some(kept))
            })
            .collect();
        let mut mean = Array1::<f64>::zeros(s.outputs);
        let mut blocks = vec![];
        let mut labels = vec![];
        for (lane, cells) in opened {
            mean.iter_mut().zip(&lane.control).for_each(|(m, v)| *m += f64::from(*v) / s.lanes as f64);
            if let Some(cells) = cells {
                labels.extend(std::iter::repeat_n(lane.number, cells.nrows()));
                blocks.push(cells);
            }
            self.lanes.push(lane);
        }
        let views: Vec<_> = blocks.iter().map(|b| b.view()).collect();
        let cells = if views.is_empty() {
            None
        } else {
            let x = ndarray::concatenate(Axis(0), &views).map_err(|e| Error::Plugin(e.to_string()))?;
            Some(Arc::new(Cells { x, lane: labels }))
        };
        let outputs = Some((0..self.settings.outputs).map(|o| format!("g{o}")).collect());
        self.control = Some(Arc::new(Control { mean, cells, outputs }));
        Ok(())
    }

    fn work(&self) -> Work {
        let sampler = self.counts.as_ref().map(|c| CountSampler::new(&c.alpha, self.settings.target));
        Work { sampler, row: vec![0.0; self.settings.outputs] }
    }

    /// The value of each output in one cell of a lane, from the effect on the profile (with counts: on ln(share)).
    fn draw(&self, lane: &Lane, effect: &[f32], work: &mut Work, rng: &mut StreamRng, out: &mut [f32]) {
        let s = &self.settings;
        let scale = lane.scale as f32;
        let (Some(counts), Some(sampler)) = (&self.counts, &mut work.sampler) else {
            for ((v, e), shift) in out.iter_mut().zip(effect).zip(&lane.shift) {
                *v = scale * e + shift + (s.cell_sd * normal(rng)) as f32;
            }
            return;
        };
        let (least, most) = (SHARES.0.ln() as f32, SHARES.1.ln() as f32);
        let rows = work.row.iter_mut().zip(&counts.base).zip(effect).zip(&lane.shift);
        for (((v, base), e), shift) in rows {
            *v = (*base as f32 + scale * e).clamp(least, most) + shift;
        }
        if s.cell_state_sd > 0.0 {
            let z: [f32; STATES] = std::array::from_fn(|_| normal(rng) as f32);
            for (v, direction) in work.row.iter_mut().zip(counts.state.as_chunks::<STATES>().0) {
                *v += direction.iter().zip(&z).map(|(a, b)| a * b).sum::<f32>();
            }
        }
        let library = s.library * lane.library * (s.library_sd * normal(rng)).exp();
        sampler.cell(&work.row, library, rng, out);
    }

    /// The lanes that an experiment may use, in ascending order.
    pub(super) fn lanes_of(&self, experiment: &Experiment) -> Result<Vec<&Lane>> {
        let Some(chosen) = &experiment.lanes else { return Ok(self.lanes.iter().collect()) };
        let mut chosen = chosen.to_vec();
        chosen.sort_unstable();
        chosen.dedup();
        match chosen.iter().find(|&&l| l as usize >= self.lanes.len()) {
            Some(l) => {
                Err(Error::Config(format!("latent_dag: there is no lane {l} among lanes = {}", self.lanes.len())))
            }
            None if chosen.is_empty() => Err(Error::Config("latent_dag: an experiment needs at least one lane".into())),
            None => Ok(chosen.iter().map(|&l| &self.lanes[l as usize]).collect()),
        }
    }

    /// Measures one perturbation: the mean of its cells, its standard error, and the cells where they are kept.
    pub(super) fn measure_one(
        &self,
        id: usize,
        key: &Streams,
        streams: &Streams,
        lanes: &[&Lane],
    ) -> (Array1<f64>, Array1<f64>, Option<Cells>) {
        let s = &self.settings;
        // Fewer lanes hold fewer of its cells.
        let each = ((s.cells as f64 * lanes.len() as f64 / s.lanes as f64).round() as usize).max(1);
        let n = each * s.guides;
        let keep = s.readout == Readout::Cells;
        let mut rng = key.rng("noise");
        let first = rng.random_range(0..lanes.len());
        let mut of_lane = vec![0usize; lanes.len()];
        let mut labels = Vec::with_capacity(if keep { n } else { 0 });
        let mut kept = Array2::zeros((if keep { n } else { 0 }, s.outputs));
        let (mut work, mut cell) = (self.work(), vec![0.0f32; s.outputs]);
        let mut sum = vec![0.0f64; s.outputs];
        let mut within = Array1::<f64>::zeros(s.outputs);
        for guide in 0..s.guides {
            let distinct = if s.efficacy_sd > 0.0 { guide } else { 0 };
            let parts = self.pool.with_genes(id, |genes| self.parts(genes, self.planted.get(&id), distinct));
            let effects: Vec<(f64, Array1<f64>)> = parts.iter().map(|p| (p.weight, self.effect(p))).collect();
            within += &self.cell_moments(&effects)[1];
            let mut drawn: Vec<(f64, Vec<f32>)> =
                effects.iter().map(|(w, e)| (*w, e.iter().map(|v| *v as f32).collect())).collect();
            if s.guide_sd > 0.0 {
                let mut rng = streams.child("guides").index(id).index(guide).rng("offset");
                for o in 0..s.outputs {
                    let offset = (s.guide_sd * normal(&mut rng)) as f32;
                    drawn.iter_mut().for_each(|d| d.1[o] += offset);
                }
            }
            for c in 0..each {
                let l = (first + c) % lanes.len();
                let mut part = 0;
                if drawn.len() > 1 {
                    let mut u: f64 = rng.random();
                    while part + 1 < drawn.len() && u >= drawn[part].0 {
                        u -= drawn[part].0;
                        part += 1;
                    }
                }
                self.draw(lanes[l], &drawn[part].1, &mut work, &mut rng, &mut cell);
                of_lane[l] += 1;
                for ((v, control), total) in cell.iter_mut().zip(&lanes[l].control).zip(&mut sum) {
                    *v -= control;
                    *total += f64::from(*v);
                }
                if keep {
                    labels.push(lanes[l].number);
                    kept.row_mut(guide * each + c).assign(&ArrayView1::from(&cell[..]));
                }
            }
        }
        let y = sum.iter().map(|t| t / n as f64).collect();
        let of_control = of_lane.iter().map(|&m| (m as f64 / n as f64).powi(2)).sum::<f64>() / s.control_cells as f64;
        let offsets = s.guide_sd * s.guide_sd / s.guides as f64;
        let mut sd = within * (each as f64 / (n * n) as f64);
        for (o, v) in sd.iter_mut().enumerate() {
            *v = (*v + of_control * self.control_variance(o) + offsets).sqrt();
        }
        (y, sd, keep.then_some(Cells { x: kept, lane: labels }))
    }
}
