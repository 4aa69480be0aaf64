//! Training, step by step.

use super::dropout::Gaps;
use super::gelu::Lane;
use super::loops::{product, transpose};
use super::parameters::{SetNetwork, encoder};
use super::sets::Sets;
use super::tile::{Part, Shared, Tile, gradient_places, scatter, tile_step};
use crate::nn::optimiser::Adam;
use numerics::streams::Streams;
use rayon::prelude::*;

/// Rows of a tile: fixed, so that results do not depend on the number of threads.
pub(super) const TILE: usize = 64;

/// Below this much work a step takes less time than handing its tiles to threads.
const SMALL: usize = 1 << 21;

/// How a network is trained: Adam (0.9, 0.999, 1e-8) on the sum of squared errors of a batch.
#[derive(Clone, Copy, Debug)]
pub struct SetTraining {
    /// Passes over the rows.
    pub epochs: usize,
    /// Rows of a step; the rows keep their order.
    pub batch: usize,
    /// Largest learning rate.
    pub rate: f64,
    /// Share of the rate that is left at the end: it rises from 0 over a tenth of the steps and falls to this along a line.
    pub last_rate: f64,
    /// Share of units that a step leaves out.
    pub dropout: f64,
    /// Times a parameter, added to its gradient.
    pub l2: f64,
    /// Whether the loss of a batch is the mean instead of the sum.
    pub mean: bool,
}

/// Share of the learning rate in step `s` of `steps`: rises along a line over a tenth of them, then falls to `last`.
pub fn rate_share(s: usize, steps: usize, last: f64) -> f64 {
    let warm = (steps as f64 / 10.0).max(1.0);
    let s = s as f64;
    if s < warm {
        ((s + 1.0) / warm).min(1.0)
    } else {
        last + (1.0 - last) * (steps as f64 - s) / (steps as f64 - warm)
    }
}

impl<T: Lane> SetNetwork<T> {
    /// Trains on sets with their outcomes; gives the mean squared error of each epoch, with dropout and before updates.
    pub fn train(&mut self, sets: &Sets<T>, y: &[T], how: &SetTraining, streams: &Streams) -> Vec<f64> {
        let mut training = Training::new(self, sets, how, streams);
        let steps = how.epochs * sets.len().div_ceil(how.batch);
        let mut losses = vec![];
        let mut s = 0;
        for _ in 0..how.epochs {
            let mut squares = 0.0;
            for from in (0..sets.len()).step_by(how.batch) {
                let to = (from + how.batch).min(sets.len());
                squares += training.gradient(y, from..to);
                let Training { adam, values, gradient, .. } = &mut training;
                adam.step(values, gradient, how.rate * rate_share(s, steps, how.last_rate));
                s += 1;
            }
            losses.push(squares / sets.len() as f64);
        }
        training.finish();
        losses
    }
}

/// A network in training: the genes of the data are numbered anew, so that others cost nothing.
pub(super) struct Training<'a, T> {
    pub(super) network: &'a mut SetNetwork<T>,
    /// Gene of each row of the table at hand.
    pub(super) used: Vec<usize>,
    start: &'a [usize],
    genes: Vec<u32>,
    effects: &'a [T],
    /// Parameters as in the network, the table that of the genes used.
    values: Vec<T>,
    pub(super) gradient: Vec<T>,
    adam: Adam<T>,
    features: Option<Vec<T>>,
    embeddings: Vec<T>,
    units: Vec<T>,
    signals: Vec<T>,
    pub(super) tiles: Vec<Tile<T>>,
    gaps: Option<Gaps>,
    dropout: f64,
    mean_loss: bool,
    /// W2, encoder, L1 and L3 transposed.
    turned: [Vec<T>; 4],
}

impl<'a, T: Lane> Training<'a, T> {
    pub(super) fn new(network: &'a mut SetNetwork<T>, sets: &'a Sets<T>, how: &SetTraining, streams: &Streams) -> Self {
        let (sizes, at) = (network.sizes, network.sizes.at());
        let (h, p) = (sizes.hidden_lanes(), sizes.width_lanes());
        let mut used: Vec<usize> = sets.genes.iter().map(|g| *g as usize).collect();
        used.sort_unstable();
        used.dedup();
        let mut number = vec![0u32; network.genes];
        used.iter().enumerate().for_each(|(new, old)| number[*old] = new as u32);
        let genes = sets.genes.iter().map(|g| number[*g as usize]).collect();
        let mut values = network.values[..at.table].to_vec();
        let table = &network.values[at.table..];
        let features = match &network.features {
            None => {
                used.iter().for_each(|g| values.extend_from_slice(&table[g * p..(g + 1) * p]));
                None
            }
            Some((features, n)) => {
                values.extend_from_slice(table);
                Some(used.iter().flat_map(|g| &features[g * n..(g + 1) * n]).copied().collect())
            }
        };
        let gaps = Gaps::new(how.dropout);
        let scale = T::of(1.0 / (1.0 - how.dropout));
        let most = sets.start.windows(2).map(|w| w[1] - w[0]).max().unwrap_or(0);
        let rows = TILE.min(how.batch);
        let tile = |t: usize| {
            let zeros = |n: usize| vec![T::zero(); n];
            let deep = if sizes.deep { rows * h } else { 0 };
            Tile {
                rng: streams.index(t).rng("dropout"),
                dropped: Default::default(),
                value: [zeros(rows * h), zeros(deep)],
                slope: [zeros(rows * h), zeros(deep)],
                signal: zeros(rows * h),
                mask: vec![scale; if sizes.lifted { rows * most * p } else { 0 }],
                sums: zeros(rows * p),
                encoded: zeros(rows * p),
                at_code: zeros(rows * p),
                at_sums: zeros(rows * p),
                gradient: zeros(gradient_places(&sizes)[8]),
                squares: 0.0,
            }
        };
        let tiles = (0..how.batch.min(sets.len()).div_ceil(TILE)).map(tile).collect();
        let n = values.len();
        let mut adam = Adam::new(n);
        adam.l2 = how.l2;
        Self {
            used,
            start: &sets.start,
            genes,
            effects: &sets.effects,
            gradient: vec![T::zero(); n],
            adam,
            values,
            features,
            embeddings: vec![],
            units: vec![],
            signals: vec![],
            tiles,
            gaps,
            dropout: how.dropout,
            mean_loss: how.mean,
            turned: Default::default(),
            network,
        }
    }

    fn n_features(&self) -> usize {
        self.features.as_ref().map_or(0, |f| f.len() / self.used.len().max(1))
    }

    /// Leaves the gradient of the loss of some rows behind; gives their squared errors, summed.
    pub(super) fn gradient(&mut self, y: &[T], rows: std::ops::Range<usize>) -> f64 {
        let (sizes, at) = (self.network.sizes, self.network.sizes.at());
        let (h, p) = (sizes.hidden_lanes(), sizes.width_lanes());
        let n_features = self.n_features();
        let v = &self.values;
        match &self.features {
            None => {
                self.embeddings.clear();
                self.embeddings.extend_from_slice(&v[at.table..]);
            }
            Some(f) => {
                self.embeddings.clear();
                self.embeddings.resize(self.used.len() * p, T::zero());
                product(&mut self.embeddings, self.used.len(), p, f, n_features, 1, &v[at.table..], n_features);
            }
        }
        SetNetwork::units(&sizes, v, &self.embeddings, &mut self.units);
        let (encoder, bias, lift) = encoder(&sizes, v);
        let [w2_back, encoder_back, l1_back, l3_back] = &mut self.turned;
        if sizes.deep {
            transpose(&v[at.w2..at.out], h, w2_back);
        }
        transpose(&encoder, p, encoder_back);
        transpose(&v[at.l1..at.b1], p, l1_back);
        transpose(&v[at.l3..at.b3], p, l3_back);
        let factor = if self.mean_loss { 2.0 / rows.len() as f64 } else { 2.0 };
        let shared = Shared {
            sizes,
            w1: &v[at.w1..at.w2],
            w2: &v[at.w2..at.out],
            w2_back,
            out: &v[at.out..at.constants],
            constants: &v[at.constants..at.l1],
            encoder: &encoder,
            encoder_back,
            bias: &bias,
            lift: &lift,
            head: &v[at.head..at.table],
            units: &self.units,
            scale: T::of(1.0 / (1.0 - self.dropout)),
            factor: T::of(factor),
        };
        let (start, genes, effects, gaps) = (self.start, &self.genes, self.effects, &self.gaps);
        let part = |t: usize| {
            let (from, to) = (rows.start + t * TILE, (rows.start + (t + 1) * TILE).min(rows.end));
            Part {
                start: &start[from..=to],
                genes: &genes[start[from]..start[to]],
                effects: &effects[from * sizes.order..to * sizes.order],
                y: &y[from..to],
            }
        };
        let tiles = &mut self.tiles[..rows.len().div_ceil(TILE)];
        let run = |(t, tile): (usize, &mut Tile<T>)| {
            let part = part(t);
            // What the last step left out counts again.
            for &at in &tile.dropped[2] {
                tile.mask[at as usize] = shared.scale;
            }
            if let Some(gaps) = gaps {
                let n = part.y.len();
                let occurrences = if sizes.lifted { part.genes.len() } else { 0 };
                let sizes = [n * h, if sizes.deep { n * h } else { 0 }, occurrences * p, n * p];
                for (to, n) in tile.dropped.iter_mut().zip(sizes) {
                    gaps.places(n, &mut tile.rng, to);
                }
            }
            tile_step(&shared, &part, tile);
        };
        let work = rows.len() * h * (20 + if sizes.deep { 6 * h } else { 0 });
        if tiles.len() < 2 || work < SMALL {
            tiles.iter_mut().enumerate().for_each(run);
        } else {
            tiles.par_iter_mut().enumerate().for_each(run);
        }
        // The gradients of what all rows share, in the order of the tiles.
        let places = gradient_places(&sizes);
        let (first, rest) = tiles.split_at_mut(1);
        let sum = &mut first[0].gradient;
        for tile in rest.iter() {
            sum.iter_mut().zip(&tile.gradient).for_each(|(s, g)| *s += *g);
        }
        let g = &mut self.gradient;
        g.fill(T::zero());
        g[..at.l1].copy_from_slice(&sum[..places[4]]);
        g[at.b3..at.b3 + p].copy_from_slice(&sum[places[5]..places[6]]);
        g[at.head..at.head + p].copy_from_slice(&sum[places[7]..places[8]]);
        let (by_encoder, by_gene) = (&sum[places[4]..places[5]], &sum[places[6]..places[7]]);
        if sizes.lifted {
            product(&mut g[at.l2..at.b2], sizes.width, p, by_encoder, p, 1, l3_back, sizes.width);
            product(&mut g[at.b2..at.b2 + p], 1, p, by_gene, p, 1, l3_back, sizes.width);
            product(&mut g[at.l3..at.b3], sizes.width, p, &v[at.l2..], 1, p, by_encoder, sizes.width);
            product(&mut g[at.l3..at.b3], sizes.width, p, &v[at.b2..], 1, 1, by_gene, 1);
        } else {
            g[at.l3..at.b3].copy_from_slice(by_encoder);
        }
        self.signals.clear();
        self.signals.resize(self.used.len() * p, T::zero());
        for (t, tile) in self.tiles[..rows.len().div_ceil(TILE)].iter().enumerate() {
            scatter(&sizes, &part(t), tile, &mut self.signals);
        }
        for (s, u) in self.signals.iter_mut().zip(&self.units) {
            *s = if *u > T::zero() { *s } else { T::zero() };
        }
        product(&mut g[at.l1..at.b1], sizes.width, p, &self.embeddings, 1, p, &self.signals, self.used.len());
        for s in self.signals.chunks_exact(p) {
            g[at.b1..at.b1 + p].iter_mut().zip(s).for_each(|(g, s)| *g += *s);
        }
        match &self.features {
            None => product(&mut g[at.table..], self.used.len(), p, &self.signals, p, 1, l1_back, sizes.width),
            Some(f) => {
                // The signals at the embeddings take their place.
                let e = &mut self.embeddings;
                e.fill(T::zero());
                product(e, self.used.len(), p, &self.signals, p, 1, l1_back, sizes.width);
                product(&mut g[at.table..], n_features, p, f, 1, n_features, e, self.used.len());
            }
        }
        self.tiles[..rows.len().div_ceil(TILE)].iter().map(|t| t.squares).sum()
    }

    pub(super) fn finish(self) {
        let (p, at) = (self.network.sizes.width_lanes(), self.network.sizes.at());
        let values = &mut self.network.values;
        values[..at.table].copy_from_slice(&self.values[..at.table]);
        if self.features.is_some() {
            values[at.table..].copy_from_slice(&self.values[at.table..]);
        } else {
            for (row, g) in self.values[at.table..].chunks_exact(p).zip(&self.used) {
                values[at.table + g * p..][..p].copy_from_slice(row);
            }
        }
    }
}
