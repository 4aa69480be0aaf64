//! Training: what is held out, when a network stops, and which of those that were tried is kept.

use super::{McDropoutMlp, Protocol};
use framework::prelude::*;
use learn::nn::dropout_mlp::{DropoutMlp, DropoutTraining};
use rand::seq::SliceRandom;
use rayon::prelude::*;

/// Measured rows in single precision, one after another.
pub(super) struct Table {
    pub(super) x: Vec<f32>,
    pub(super) y: Vec<f32>,
    pub(super) inputs: usize,
    pub(super) outputs: usize,
}

impl Table {
    /// Some of the rows, packed.
    fn select(&self, rows: &[usize]) -> (Vec<f32>, Vec<f32>) {
        let part = |v: &[f32], width: usize| -> Vec<f32> {
            rows.iter().flat_map(|r| &v[r * width..(r + 1) * width]).copied().collect()
        };
        (part(&self.x, self.inputs), part(&self.y, self.outputs))
    }
}

/// A trained network, and what training saw of it.
pub(super) struct Trained {
    pub(super) network: DropoutMlp,
    pub(super) epochs: usize,
    /// The loss that chose the epoch.
    pub(super) loss: f64,
    /// Mean absolute error on the held out rows, if there are any.
    pub(super) absolute: f64,
}

impl McDropoutMlp {
    /// Trains one network on `rows`; the loss that is watched is that on `held`, or of training where it is empty.
    fn train(&self, table: &Table, rows: &[usize], held: &[usize], hidden: usize, streams: &Streams) -> Trained {
        let network = DropoutMlp::new(table.inputs, hidden, table.outputs, &mut streams.rng("start"));
        let batch = self.batch.min(rows.len());
        let mut training = DropoutTraining::new(network, batch, self.dropout, self.learning_rate, self.l2);
        let (mut order, mut orders, mut masks) = (rows.to_vec(), streams.rng("order"), streams.rng("dropout"));
        let (held_x, held_y) = table.select(held);
        let watched = !held.is_empty() && self.protocol == Protocol::Paper;
        let (mut best, mut least, mut waited, mut epochs) = (training.network.clone(), f64::INFINITY, 0, 0);
        while epochs < self.epochs && waited < self.patience {
            order.shuffle(&mut orders);
            let mut loss = training.epoch(&table.x, &table.y, &order, &mut masks);
            if watched {
                loss = training.network.errors(&held_x, &held_y).0;
            }
            epochs += 1;
            waited += 1;
            if loss < least {
                (least, waited) = (loss, 0);
                best.clone_from(&training.network);
            }
        }
        let absolute = if held.is_empty() { f64::NAN } else { best.errors(&held_x, &held_y).1 };
        Trained { network: best, epochs, loss: least, absolute }
    }

    /// Rows held out in each fold, by the perturbation they belong to.
    pub(super) fn held_out(&self, observed: &Observed, streams: &Streams) -> Vec<Vec<bool>> {
        let mut distinct = observed.distinct();
        distinct.shuffle(&mut streams.rng("validation"));
        // A whole number of perturbations may come out a rounding error short of itself.
        let share = (self.validation * distinct.len() as f64 + 1e-9) as usize;
        let folds = if self.protocol == Protocol::Paper && self.hidden.len() > 1 { self.folds } else { 1 };
        (0..folds)
            .map(|f| {
                let held: std::collections::HashSet<usize> =
                    distinct.iter().skip(f * share).take(share).copied().collect();
                observed.ids.iter().map(|id| held.contains(id)).collect()
            })
            .collect()
    }

    /// The network that the protocol keeps.
    pub(super) fn choose(&self, table: &Table, observed: &Observed, streams: &Streams) -> Trained {
        let folds: Vec<(Vec<usize>, Vec<usize>)> = self
            .held_out(observed, streams)
            .into_iter()
            .map(|held| (0..observed.len()).partition(|r| held[*r]))
            .collect();
        // Which units in which fold, with streams that do not depend on what else is tried.
        let tried: Vec<(usize, usize, Streams)> = match self.protocol {
            _ if folds[0].0.is_empty() => {
                let of = self.hidden[if self.protocol == Protocol::Code { self.hidden.len() - 1 } else { 0 }];
                vec![(of, 0, streams.child("fit").index(of).index(0))]
            }
            Protocol::Paper => {
                let each = |h: &usize| {
                    let h = *h;
                    (0..folds.len()).map(move |f| (h, f, streams.child("fit").index(h).index(f)))
                };
                self.hidden.iter().flat_map(each).collect()
            }
            Protocol::Code if self.search == 0 => {
                let of = self.hidden[self.hidden.len() - 1];
                vec![(of, 0, streams.child("fit").index(of).index(0))]
            }
            Protocol::Code => {
                let mut rng = streams.rng("search");
                let mut draw =
                    |s| (self.hidden[rng.random_range(0..self.hidden.len())], 0, streams.child("search").index(s));
                (0..self.search).map(&mut draw).collect()
            }
        };
        let mut all: Vec<Trained> = tried
            .par_iter()
            .map(|(h, f, streams)| self.train(table, &folds[*f].1, &folds[*f].0, *h, streams))
            .collect();
        // Folds of one number of units stand side by side; the first of the best group is kept, ties to the first.
        let group = if self.protocol == Protocol::Paper { folds.len().min(all.len()) } else { 1 };
        let score = |g: &[Trained]| match self.protocol {
            Protocol::Paper => g.iter().map(|t| t.loss).sum::<f64>(),
            Protocol::Code => g.iter().map(|t| t.absolute).sum::<f64>(),
        };
        let scores: Vec<f64> = all.chunks(group).map(score).collect();
        let best = (1..scores.len()).fold(0, |b, k| if scores[k] < scores[b] { k } else { b });
        all.swap_remove(best * group)
    }
}
