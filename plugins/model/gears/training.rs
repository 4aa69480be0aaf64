//! Training: batches, the loss and its gradient, a step, and the error on perturbations kept from training.

use super::data::{Data, Held};
use super::network::{HEAD, Net};
use super::{Choose, Gears, TILE};
use framework::numerics::Real;
use framework::prelude::*;
use learn::nn::optimiser::Adam;
use learn::nn::outer_mlp::OuterPass;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use std::collections::HashMap;

impl Gears {
    fn epochs(&self, cells: bool) -> usize {
        self.epochs.unwrap_or(if cells { 20 } else { 100 })
    }

    pub(super) fn decay(&self, cells: bool) -> f64 {
        self.decay.unwrap_or(if cells { 0.5 } else { 0.97 })
    }

    /// Trains through all epochs. Gives the network that `choose` keeps, the epoch it is from, counted from 1, and the
    /// training loss of the last epoch.
    pub(super) fn train(
        &self,
        mut net: Net<f32>,
        data: &Data,
        held: &[Held],
        streams: &Streams,
    ) -> Result<(Net<f32>, usize, f64)> {
        let mut work = Work::new(&net);
        let (epochs, decay) = (self.epochs(data.has_cells), self.decay(data.has_cells));
        let mut best: Option<(f64, usize, Net<f32>)> = None;
        let mut last_loss = 0.0;
        for epoch in 0..epochs {
            let rate = self.learning_rate * decay.powi(epoch as i32);
            let batches = self.batches(data, &mut streams.index(epoch).rng("order"));
            last_loss = 0.0;
            for batch in &batches {
                let loss = self.step(&mut net, &mut work, data, batch, rate);
                if !loss.is_finite() {
                    return Err(self.diverged(epoch, &format!("the loss is {loss}")));
                }
                last_loss += loss / batches.len() as f64;
            }
            if !net.parameters.iter().all(|p| p.is_finite()) {
                return Err(self.diverged(epoch, "a parameter is not a finite number"));
            }
            if self.choose == Choose::Best {
                let error = validation_error(&net, held).1;
                if best.as_ref().is_none_or(|b| error < b.0) {
                    best = Some((error, epoch + 1, net.clone()));
                }
            }
        }
        Ok(best.map_or((net, epochs, last_loss), |(_, epoch, net)| (net, epoch, last_loss)))
    }

    fn diverged(&self, epoch: usize, what: &str) -> Error {
        Error::Numerical(format!(
            "model gears: training diverged in epoch {}: {what}; lower `learning_rate` ({}), or bring the readouts to \
             units in which effects are of size 1 or less, since the loss raises residuals to the power {}",
            epoch + 1,
            self.learning_rate,
            2.0 + self.gamma
        ))
    }

    /// Batches of an epoch: the cells of each perturbation in a new order, cut into pieces of `together`, the pieces
    /// in a new order. The last batch is left out where it is not full and not the only one.
    pub fn batches(&self, data: &Data, rng: &mut StreamRng) -> Vec<Vec<u32>> {
        let size = self.batch.unwrap_or(if data.has_cells { 256 } else { 16 }).min(data.cells.len());
        let mut pieces: Vec<Vec<u32>> = vec![];
        for own in &data.cells_of {
            let mut own = own.clone();
            own.shuffle(rng);
            pieces.extend(own.chunks(self.together.min(size)).map(<[u32]>::to_vec));
        }
        pieces.shuffle(rng);
        let largest = pieces.iter().map(Vec::len).max().unwrap_or(0);
        let mut out: Vec<Vec<u32>> = vec![];
        let mut now: Vec<u32> = Vec::with_capacity(size);
        for piece in pieces {
            if now.len() + piece.len() > size {
                out.push(std::mem::take(&mut now));
            }
            now.extend(piece);
        }
        if out.is_empty() || now.len() + largest > size {
            out.push(now);
        }
        out
    }

    /// One step on the given cells. Returns the loss before it.
    pub fn step<T: Real>(&self, net: &mut Net<T>, work: &mut Work<T>, data: &Data, batch: &[u32], rate: f64) -> f64 {
        net.renormalise();
        let loss = self.loss_and_gradient(net, work, data, batch);
        work.adam.l2 = self.weight_decay;
        work.adam.clip = self.clip;
        work.adam.step(&mut net.parameters, &mut work.gradient, rate);
        loss
    }

    /// Loss of a batch, its gradient left in `work`.
    pub fn loss_and_gradient<T: Real>(&self, net: &mut Net<T>, work: &mut Work<T>, data: &Data, batch: &[u32]) -> f64 {
        // Perturbations in the order of their first cell.
        let mut place: HashMap<u32, usize> = HashMap::new();
        let mut groups: Vec<(u32, Vec<u32>)> = vec![];
        for &c in batch {
            let p = data.cells[c as usize].perturbation;
            let at = *place.entry(p).or_insert(groups.len());
            if at == groups.len() {
                groups.push((p, vec![]));
            }
            groups[at].1.push(c);
        }
        let weights: Vec<T> = groups.iter().map(|g| T::of(g.1.len() as f64 / batch.len() as f64)).collect();
        let genes: Vec<&[Gene]> = groups.iter().map(|g| data.genes[g.0 as usize].as_slice()).collect();
        let forward = net.forward(&genes, &weights, batch.len() as f64, &mut work.pass);
        work.gradient.fill(T::zero());
        if net.expression.is_some() {
            let (signal, loss) = self.head(net, &forward.delta, data, &groups, &mut work.gradient);
            net.backward(&forward, &weights, signal, &mut work.pass, &mut work.gradient);
            return loss;
        }
        let mut signal = Array2::zeros(forward.delta.dim());
        let losses: Vec<f64> = signal
            .axis_iter_mut(Axis(0))
            .into_par_iter()
            .zip(forward.delta.axis_iter(Axis(0)))
            .zip(&groups)
            .map(|((mut signal, delta), (p, cells))| {
                let (to, delta) = (signal.as_slice_mut().unwrap_or_default(), delta.to_slice().unwrap_or_default());
                let keep = &data.keep[*p as usize];
                let counted = if keep.is_empty() { delta.len() } else { keep.iter().filter(|k| **k).count() };
                let share = 1.0 / (cells.len() * counted * groups.len()) as f64;
                let mut loss = 0.0;
                for &c in cells {
                    let cell = &data.cells[c as usize];
                    loss += self.cell_loss(delta, cell.x, cell.control, keep, to);
                }
                to.iter_mut().for_each(|t| *t *= T::of(share));
                loss * share
            })
            .collect();
        net.backward(&forward, &weights, signal, &mut work.pass, &mut work.gradient);
        losses.iter().sum()
    }

    /// Where a readout is a linear map of expression: the derivative of the loss by δ, and the loss. The derivative by
    /// the map is added to `gradient`.
    fn head<T: Real>(
        &self,
        net: &Net<T>,
        delta: &Array2<T>,
        data: &Data,
        groups: &[(u32, Vec<u32>)],
        gradient: &mut [T],
    ) -> (Array2<T>, f64) {
        let predicted = net.readouts(delta.clone());
        let (map, at) = (net.values(HEAD), net.part(HEAD));
        let mut signal = Array2::zeros(delta.dim());
        let mut sum = 0.0;
        for (k, (_, cells)) in groups.iter().enumerate() {
            let share = 1.0 / (cells.len() * groups.len()) as f64;
            let mut by = [T::zero()];
            for &c in cells {
                let cell = &data.cells[c as usize];
                sum += share * self.cell_loss(&[predicted[(k, 0)]], cell.x, cell.control, &[], &mut by);
            }
            let by = by[0] * T::of(share);
            signal.row_mut(k).iter_mut().zip(map).for_each(|(s, a)| *s = by * *a);
            let expression = net.expression.iter().flatten().zip(delta.row(k)).map(|(x, d)| *x + *d);
            let to = &mut gradient[at.clone()];
            to.iter_mut().zip(expression.chain([T::one()])).for_each(|(t, x)| *t += by * x);
        }
        (signal, sum)
    }

    /// Sum of the losses of one cell's outputs; the derivative by δ is added to `to`.
    fn cell_loss<T: Real>(&self, delta: &[T], x: &[f32], control: &[f32], keep: &[bool], to: &mut [T]) -> f64 {
        let (gamma, power) = (self.gamma, T::of(2.0 + self.gamma));
        let of = |v: f32| T::of(f64::from(v));
        let mut sum = T::zero();
        for v in 0..delta.len() {
            let residual = delta[v] + of(control[v]) - of(x[v]);
            let slope = if gamma == 2.0 {
                residual * residual * residual
            } else {
                residual * T::of(residual.abs().into().powf(gamma))
            };
            let (mut loss, mut slope) = (slope * residual, power * slope);
            if self.direction > 0.0 {
                let (tau, weight) = (T::of(self.tau), T::of(self.direction));
                let (measured, predicted) = ((of(x[v]) / tau).tanh(), ((delta[v] + of(control[v])) / tau).tanh());
                loss += weight * (predicted - measured) * (predicted - measured);
                slope += weight * (predicted - measured) * (T::one() - predicted * predicted) * T::of(2.0) / tau;
            }
            if keep.is_empty() || keep[v] {
                sum += loss;
                to[v] += slope;
            }
        }
        sum.into()
    }
}

/// What training keeps from one step to the next.
#[derive(Debug)]
pub struct Work<T> {
    pass: OuterPass<T>,
    /// Derivative of the loss by the parameters.
    pub gradient: Vec<T>,
    adam: Adam<T>,
}

impl<T: Real> Work<T> {
    /// For a network.
    pub fn new(net: &Net<T>) -> Self {
        let n = net.parameters.len();
        Self { pass: OuterPass::new(), gradient: vec![T::zero(); n], adam: Adam::new(n) }
    }
}

/// Mean squared validation error over all outputs, and over the clearest of each perturbation.
pub(super) fn validation_error(net: &Net<f32>, held: &[Held]) -> (f64, f64) {
    let z = net.outputs_for_prediction();
    let (mut all, mut clearest) = (0.0, 0.0);
    for part in held.chunks(TILE) {
        let genes: Vec<&[Gene]> = part.iter().map(|h| h.genes.as_slice()).collect();
        let delta = net.evaluate(&z, &genes).0;
        for (h, delta) in part.iter().zip(delta.outer_iter()) {
            let square = |v: usize| (f64::from(delta[v]) - h.mean[v]).powi(2);
            all += (0..delta.len()).map(square).sum::<f64>() / delta.len() as f64;
            clearest += h.clearest.iter().map(|v| square(*v)).sum::<f64>() / h.clearest.len() as f64;
        }
    }
    (all / held.len() as f64, clearest / held.len() as f64)
}
