//! One hidden layer with dropout before its ReLU, trained by Adam on squared errors: the network of a dropout
//! ensemble, and small enough that general products would spend their time around the work.
//!
//! z = x W + b, a = m relu(z) with m = 0 or 1/(1 - p) for each row and unit, f = V a + c. Scaling by m and the ReLU
//! commute, so the mean over masks is the network without dropout.
//!
//! W is held as inputs x lanes, the units padded to a multiple of eight that stay 0. A step gathers the rows of a
//! batch in tiles, runs both passes over each tile, and then forms gradient and update of W in blocks of inputs:
//! eight units at a time, several rows or inputs in registers, nothing allocated. 4 rows x inputs x lanes operations
//! a step: single precision on one core of 3.4 GHz with two fused multiply-adds of eight numbers a cycle has its
//! floor at 109 GFLOP/s.

use super::fused::{WIDE, add_product, total};
use super::optimiser::Adam;
use numerics::wide::madd;
use rand::{Rng, RngExt};
use rayon::prelude::*;

/// Rows of a tile and inputs of a block: fixed, so that results do not depend on the number of threads.
const TILE: usize = 64;
const BLOCK: usize = 128;
/// Below this many rows x inputs x lanes a step takes less time than handing its tiles to threads.
const SMALL: usize = 1 << 20;

/// Its parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct DropoutMlp {
    /// Features of a row.
    pub inputs: usize,
    /// Units.
    pub hidden: usize,
    /// Values of a prediction.
    pub outputs: usize,
    lanes: usize,
    /// W (inputs x lanes), b (lanes), V (outputs x lanes), c (outputs).
    values: Vec<f32>,
}

/// z = x W + b for rows of x that lie `stride` apart.
#[inline(always)]
fn sums<const FMA: bool>(z: &mut [f32], x: &[f32], stride: usize, weight: &[f32], bias: &[f32]) {
    let lanes = bias.len();
    let (rows, inputs) = (z.len() / lanes, weight.len() / lanes);
    z.chunks_exact_mut(lanes).for_each(|z| z.copy_from_slice(bias));
    // A block of W stays in the nearest cache while all rows pass.
    for j in (0..inputs).step_by(BLOCK) {
        add_product::<f32, FMA>(z, rows, lanes, &x[j..], stride, 1, &weight[j * lanes..], BLOCK.min(inputs - j));
    }
}

fused! {
    fn pre_activation(z: &mut [f32], x: &[f32], stride: usize, weight: &[f32], bias: &[f32]) = sums
}

/// What a tile needs besides its own rows.
struct Layers<'a> {
    weight: &'a [f32],
    bias: &'a [f32],
    head: &'a [f32],
    offset: &'a [f32],
    stride: usize,
    /// 1/(1 - p), and the derivative of the loss by a prediction over the error.
    scale: f32,
    factor: f32,
}

/// Forward and backward pass of a tile: z becomes the signal at z, `small` takes the gradients of b, V and c. Gives the sum of
/// squared errors.
#[inline(always)]
fn forward_and_backward<const FMA: bool>(
    layers: &Layers,
    x: &[f32],
    y: &[f32],
    bits: &[u8],
    z: &mut [f32],
    small: &mut [f32],
    work: &mut [f32],
) -> f64 {
    let lanes = layers.bias.len();
    sums::<FMA>(z, x, layers.stride, layers.weight, layers.bias);
    small.fill(0.0);
    let (by_bias, rest) = small.split_at_mut(lanes);
    let (by_head, by_offset) = rest.split_at_mut(layers.head.len());
    let (a, rest) = work.split_at_mut(lanes);
    let (slope, signal) = rest.split_at_mut(lanes);
    let (a, slope, signal) =
        (a.as_chunks_mut::<WIDE>().0, slope.as_chunks_mut::<WIDE>().0, signal.as_chunks_mut::<WIDE>().0);
    let by_bias = by_bias.as_chunks_mut::<WIDE>().0;
    let mut squares = 0.0;
    let rows = z.chunks_exact_mut(lanes).zip(bits.chunks_exact(lanes / WIDE));
    for ((z, bits), y) in rows.zip(y.chunks_exact(layers.offset.len())) {
        let z = z.as_chunks_mut::<WIDE>().0;
        for (c, z) in z.iter().enumerate() {
            for l in 0..WIDE {
                let m = f32::from(bits[c] >> l & 1) * layers.scale;
                slope[c][l] = if z[l] > 0.0 { m } else { 0.0 };
                a[c][l] = z[l] * slope[c][l];
            }
            signal[c] = [0.0; WIDE];
        }
        let outputs = layers.head.chunks_exact(lanes).zip(by_head.chunks_exact_mut(lanes));
        for (((head, by_head), (offset, by_offset)), y) in
            outputs.zip(layers.offset.iter().zip(by_offset.iter_mut())).zip(y)
        {
            let (head, by_head) = (head.as_chunks::<WIDE>().0, by_head.as_chunks_mut::<WIDE>().0);
            let mut f = [0.0; WIDE];
            for (a, v) in a.iter().zip(head) {
                for l in 0..WIDE {
                    f[l] = madd::<f32, FMA>(a[l], v[l], f[l]);
                }
            }
            let error = total(f) + *offset - *y;
            squares += f64::from(error * error);
            let g = layers.factor * error;
            *by_offset += g;
            for (((a, v), by), s) in a.iter().zip(head).zip(by_head).zip(signal.iter_mut()) {
                for l in 0..WIDE {
                    by[l] = madd::<f32, FMA>(g, a[l], by[l]);
                    s[l] = madd::<f32, FMA>(g, v[l], s[l]);
                }
            }
        }
        for (((z, s), slope), by) in z.iter_mut().zip(signal.iter()).zip(slope.iter()).zip(by_bias.iter_mut()) {
            for l in 0..WIDE {
                z[l] = s[l] * slope[l];
                by[l] += z[l];
            }
        }
    }
    squares
}

fused! {
    fn tile_step(
        layers: &Layers,
        x: &[f32],
        y: &[f32],
        bits: &[u8],
        z: &mut [f32],
        small: &mut [f32],
        work: &mut [f32],
    ) -> f64 = forward_and_backward
}

/// xᵀ δ for the block of inputs from `from` on, tile by tile.
#[inline(always)]
fn outer<const FMA: bool>(gradient: &mut [f32], lanes: usize, from: usize, stride: usize, tiles: &[Tile]) {
    gradient.fill(0.0);
    let inputs = gradient.len() / lanes;
    for tile in tiles {
        add_product::<f32, FMA>(gradient, inputs, lanes, &tile.x[from..], 1, stride, &tile.z, tile.z.len() / lanes);
    }
}

fused! {
    fn weight_gradient(gradient: &mut [f32], lanes: usize, from: usize, stride: usize, tiles: &[Tile]) = outer
}

/// Some rows of a batch, and what both passes need of them.
#[derive(Clone, Debug, Default)]
struct Tile {
    x: Vec<f32>,
    y: Vec<f32>,
    /// A bit for each row and unit: whether the mask keeps it.
    bits: Vec<u8>,
    /// Sums of the units, then the signal there: rows x lanes.
    z: Vec<f32>,
    /// Gradients of b, V and c.
    small: Vec<f32>,
    /// Three rows of lanes.
    work: Vec<f32>,
    squares: f64,
}

impl Tile {
    /// Takes some rows in.
    fn gather(&mut self, x: &[f32], y: &[f32], rows: &[usize], n: &DropoutMlp, stride: usize) {
        self.x.resize(rows.len() * stride, 0.0);
        self.y.resize(rows.len() * n.outputs, 0.0);
        self.z.resize(rows.len() * n.lanes, 0.0);
        let to = self.x.chunks_exact_mut(stride).zip(self.y.chunks_exact_mut(n.outputs));
        for ((x_to, y_to), row) in to.zip(rows) {
            x_to[..n.inputs].copy_from_slice(&x[row * n.inputs..(row + 1) * n.inputs]);
            y_to.copy_from_slice(&y[row * n.outputs..(row + 1) * n.outputs]);
        }
    }
}

impl DropoutMlp {
    /// Weights and biases uniform in ±1/√inputs of their layer, as PyTorch's Linear. None of the sizes may be 0.
    pub fn new(inputs: usize, hidden: usize, outputs: usize, rng: &mut impl Rng) -> Self {
        assert!(inputs > 0 && hidden > 0 && outputs > 0, "sizes of a network");
        let lanes = hidden.next_multiple_of(WIDE);
        let mut network = Self { inputs, hidden, outputs, lanes, values: vec![] };
        network.values = vec![0.0; network.at()[3] + outputs];
        let [bias, head, offset] = [network.at()[1], network.at()[2], network.at()[3]];
        let (first, second) = ((inputs as f32).sqrt().recip(), (hidden as f32).sqrt().recip());
        let mut draw = |part: &mut [f32], bound: f32| {
            for row in part.chunks_mut(lanes) {
                let units = row.len().min(hidden);
                row[..units].iter_mut().for_each(|v| *v = rng.random_range(-bound..=bound));
            }
        };
        draw(&mut network.values[..head], first);
        debug_assert_eq!(bias + lanes, head);
        draw(&mut network.values[head..offset], second);
        // Offsets are not padded.
        let v = &mut network.values[offset..];
        v.iter_mut().for_each(|v| *v = rng.random_range(-second..=second));
        network
    }

    /// Where W, b, V and c begin.
    fn at(&self) -> [usize; 4] {
        let bias = self.inputs * self.lanes;
        let head = bias + self.lanes;
        [0, bias, head, head + self.outputs * self.lanes]
    }

    fn weight_and_bias(&self) -> (&[f32], &[f32]) {
        self.values[..self.at()[2]].split_at(self.at()[1])
    }

    /// W, row by row: what each input gives the units.
    pub fn weight(&self) -> impl Iterator<Item = &[f32]> {
        self.values[..self.at()[1]].chunks_exact(self.lanes).map(|w| &w[..self.hidden])
    }

    /// b.
    pub fn bias(&self) -> &[f32] {
        &self.values[self.at()[1]..][..self.hidden]
    }

    /// V, row by row: what each output takes of the units.
    pub fn head(&self) -> impl Iterator<Item = &[f32]> {
        self.values[self.at()[2]..self.at()[3]].chunks_exact(self.lanes).map(|v| &v[..self.hidden])
    }

    /// c.
    pub fn offset(&self) -> &[f32] {
        &self.values[self.at()[3]..]
    }

    /// Whether every parameter is a finite number; training that diverges ends otherwise.
    pub fn is_finite(&self) -> bool {
        self.values.iter().all(|v| v.is_finite())
    }

    /// Sums of the units before dropout, of rows of `inputs` numbers: `to` takes the rows, each of `width` numbers of
    /// which the first `hidden` are units.
    pub fn sums(&self, x: &[f32], to: &mut Vec<f32>) {
        to.resize(x.len() / self.inputs * self.lanes, 0.0);
        let (weight, bias) = self.weight_and_bias();
        pre_activation(to, x, self.inputs, weight, bias);
    }

    /// Numbers of a row of [`DropoutMlp::sums`].
    pub fn width(&self) -> usize {
        self.lanes
    }

    /// Mean squared and mean absolute error of the network without dropout on rows of `inputs` and `outputs` numbers.
    pub fn errors(&self, x: &[f32], y: &[f32]) -> (f64, f64) {
        let (mut z, mut squares, mut absolute) = (vec![], 0.0, 0.0);
        self.sums(x, &mut z);
        for (z, y) in z.chunks_exact(self.lanes).zip(y.chunks_exact(self.outputs)) {
            for ((v, c), y) in self.head().zip(self.offset()).zip(y) {
                let f: f32 = v.iter().zip(z).map(|(v, z)| v * z.max(0.0)).sum();
                let error = f64::from(f + c - y);
                squares += error * error;
                absolute += error.abs();
            }
        }
        (squares / y.len().max(1) as f64, absolute / y.len().max(1) as f64)
    }
}

/// A network in training.
#[derive(Clone, Debug)]
pub struct DropoutTraining {
    /// As it is now.
    pub network: DropoutMlp,
    dropout: f64,
    rate: f64,
    adam: Adam<f32>,
    gradient: Vec<f32>,
    batch: usize,
    stride: usize,
    tiles: Vec<Tile>,
    drawn: Vec<u8>,
}

impl DropoutTraining {
    /// Adam (0.9, 0.999, 1e-8) at rate `rate`, with `l2` times the parameter added to the gradient; batches of at most
    /// `batch` rows; masks leave out a share `dropout` (0 to below 1) of the units.
    pub fn new(network: DropoutMlp, batch: usize, dropout: f64, rate: f64, l2: f64) -> Self {
        assert!((0.0..1.0).contains(&dropout) && batch > 0, "dropout below 1 and at least one row");
        let (n, lanes) = (network.values.len(), network.lanes);
        let tile = Tile { small: vec![0.0; n - network.at()[1]], work: vec![0.0; 3 * lanes], ..Tile::default() };
        let mut adam = Adam::new(n);
        adam.l2 = l2;
        Self {
            dropout,
            rate,
            adam,
            gradient: vec![0.0; n],
            batch,
            // An odd number of cache lines: rows of a tile do not compete for the same places of the cache.
            stride: (network.inputs.div_ceil(16) | 1) * 16,
            tiles: vec![tile; batch.div_ceil(TILE)],
            drawn: vec![],
            network,
        }
    }

    /// A pass over the `rows` of `x` and `y` (numbers of a row one after another) in the order given, the last batch as
    /// large as what is left. Gives the mean over batches of the mean squared error with dropout before the update.
    pub fn epoch(&mut self, x: &[f32], y: &[f32], rows: &[usize], rng: &mut impl Rng) -> f64 {
        let mut sum = 0.0;
        for rows in rows.chunks(self.batch) {
            self.draw(rows.len(), rng);
            sum += self.pass(x, y, rows);
            self.update(rows.len());
        }
        sum / rows.len().div_ceil(self.batch).max(1) as f64
    }

    /// Masks for `rows` rows: a bit a unit, sixteen where the shares of 0 and 1 differ.
    fn draw(&mut self, rows: usize, rng: &mut impl Rng) {
        let least = (self.dropout * 65536.0).round() as u32;
        for (t, tile) in self.tiles.iter_mut().enumerate().take(rows.div_ceil(TILE)) {
            tile.bits.resize((rows - t * TILE).min(TILE) * self.network.lanes / WIDE, u8::MAX);
            if self.dropout == 0.5 {
                rng.fill_bytes(&mut tile.bits);
            } else if self.dropout > 0.0 {
                self.drawn.resize(tile.bits.len() * 2 * WIDE, 0);
                rng.fill_bytes(&mut self.drawn);
                for (bits, drawn) in tile.bits.iter_mut().zip(self.drawn.as_chunks::<{ 2 * WIDE }>().0) {
                    let kept = |l: usize| u32::from(u16::from_le_bytes([drawn[2 * l], drawn[2 * l + 1]])) >= least;
                    *bits = (0..WIDE).map(|l| u8::from(kept(l)) << l).sum();
                }
            }
        }
    }

    /// Both passes over the rows, with the masks drawn for them; gives the loss.
    fn pass(&mut self, x: &[f32], y: &[f32], rows: &[usize]) -> f64 {
        let n = &self.network;
        let ([_, bias, head, offset], values) = (n.at(), (rows.len() * n.outputs) as f64);
        let layers = Layers {
            weight: &n.values[..bias],
            bias: &n.values[bias..head],
            head: &n.values[head..offset],
            offset: &n.values[offset..],
            stride: self.stride,
            scale: (1.0 / (1.0 - self.dropout)) as f32,
            factor: (2.0 / values) as f32,
        };
        let tiles = &mut self.tiles[..rows.len().div_ceil(TILE)];
        let run = |(t, rows): (&mut Tile, &[usize])| {
            t.gather(x, y, rows, n, layers.stride);
            t.squares = tile_step(&layers, &t.x, &t.y, &t.bits, &mut t.z, &mut t.small, &mut t.work);
        };
        if tiles.len() < 2 || rows.len() * bias < SMALL {
            tiles.iter_mut().zip(rows.chunks(TILE)).for_each(run);
        } else {
            tiles.par_iter_mut().zip(rows.par_chunks(TILE)).for_each(run);
        }
        tiles.iter().map(|t| t.squares).sum::<f64>() / values
    }

    /// Completes the gradient and takes a step along it.
    fn update(&mut self, rows: usize) {
        let (step, mean, square) = self.adam.begin(self.rate);
        let (lanes, bias, stride) = (self.network.lanes, self.network.at()[1], self.stride);
        let tiles = &self.tiles[..rows.div_ceil(TILE)];
        let (weights, small) = self.network.values.split_at_mut(bias);
        let (gradient, small_gradient) = self.gradient.split_at_mut(bias);
        let (mean, small_mean) = mean.split_at_mut(bias);
        let (square, small_square) = square.split_at_mut(bias);
        let length = BLOCK * lanes;
        // A block of weights, its gradient, and the two moments of Adam.
        type Parts<'a> = (((&'a mut [f32], &'a mut [f32]), &'a mut [f32]), &'a mut [f32]);
        let run = |(b, (((w, g), m), v)): (usize, Parts)| {
            weight_gradient(g, lanes, b * BLOCK, stride, tiles);
            step.update(w, m, v, g);
        };
        if tiles.len() < 2 || rows * bias < SMALL {
            let blocks = weights.chunks_mut(length).zip(gradient.chunks_mut(length));
            blocks.zip(mean.chunks_mut(length)).zip(square.chunks_mut(length)).enumerate().for_each(run);
        } else {
            let blocks = weights.par_chunks_mut(length).zip(gradient.par_chunks_mut(length));
            blocks.zip(mean.par_chunks_mut(length)).zip(square.par_chunks_mut(length)).enumerate().for_each(run);
        }
        small_gradient.fill(0.0);
        for tile in tiles {
            small_gradient.iter_mut().zip(&tile.small).for_each(|(g, t)| *g += *t);
        }
        step.update(small, small_mean, small_square, small_gradient);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use numerics::streams::Streams;
    use rand_distr::{Distribution, StandardNormal};

    fn normal(n: usize, name: &str) -> Vec<f32> {
        let mut rng = Streams::new(3).rng(name);
        let mut draw = || -> f64 { StandardNormal.sample(&mut rng) };
        (0..n).map(|_| draw() as f32).collect()
    }

    fn start(inputs: usize, hidden: usize, outputs: usize, batch: usize, dropout: f64) -> DropoutTraining {
        let network = DropoutMlp::new(inputs, hidden, outputs, &mut Streams::new(1).rng("start"));
        DropoutTraining::new(network, batch, dropout, 0.001, 1e-4)
    }

    /// The loss in double precision, by the definition, with the masks of the training.
    fn plain_loss(t: &DropoutTraining, values: &[f64], rows: usize) -> f64 {
        let n = &t.network;
        let [_, bias, head, offset] = n.at();
        let mut sum = 0.0;
        for r in 0..rows {
            let (tile, r) = (&t.tiles[r / TILE], r % TILE);
            let x = &tile.x[r * t.stride..];
            let a: Vec<f64> = (0..n.hidden)
                .map(|u| {
                    let z: f64 = (0..n.inputs).map(|j| f64::from(x[j]) * values[j * n.lanes + u]).sum();
                    let kept = tile.bits[r * n.lanes / WIDE + u / WIDE] >> (u % WIDE) & 1;
                    f64::from(kept) / (1.0 - t.dropout) * (z + values[bias + u]).max(0.0)
                })
                .collect();
            for o in 0..n.outputs {
                let f: f64 = (0..n.hidden).map(|u| a[u] * values[head + o * n.lanes + u]).sum();
                sum += (f + values[offset + o] - f64::from(tile.y[r * n.outputs + o])).powi(2);
            }
        }
        sum / (rows * n.outputs) as f64
    }

    #[test]
    fn gradients_are_those_of_the_loss_with_its_masks() {
        for (inputs, hidden, outputs, rows, dropout) in
            [(5, 4, 1, 7, 0.5), (130, 16, 2, 70, 0.5), (3, 33, 3, 9, 0.2), (17, 60, 1, 13, 0.0), (1, 1, 1, 1, 0.7)]
        {
            let mut t = start(inputs, hidden, outputs, rows, dropout);
            let (x, y) = (normal(inputs * 100, "x"), normal(outputs * 100, "y"));
            let order: Vec<usize> = (0..rows).rev().collect();
            t.draw(rows, &mut Streams::new(2).rng("masks"));
            let values: Vec<f64> = t.network.values.iter().map(|v| f64::from(*v)).collect();
            let loss = t.pass(&x, &y, &order);
            assert!((loss / plain_loss(&t, &values, rows) - 1.0).abs() < 1e-5);
            let signals = t.clone();
            t.update(rows);
            let n = &signals.network;
            let largest = t.gradient.iter().fold(0.0f32, |m, g| m.max(g.abs()));
            for (k, g) in t.gradient.iter().enumerate() {
                let at = n.at();
                let unit = if k < at[3] { k % n.lanes } else { 0 };
                if unit >= hidden {
                    assert_eq!((*g, n.values[k], t.network.values[k]), (0.0, 0.0, 0.0), "padding stays");
                    continue;
                }
                let by = |h: f64| {
                    let mut v = values.clone();
                    v[k] += h;
                    plain_loss(&signals, &v, rows)
                };
                let want = (by(1e-6) - by(-1e-6)) / 2e-6;
                assert!((f64::from(*g) - want).abs() < 2e-5 * f64::from(largest).max(0.1), "{k}: {g} {want}");
                // The first step of Adam goes by the rate against the sign of gradient and penalty.
                let penalised = f64::from(*g) + 1e-4 * values[k];
                if penalised.abs() > 1e-4 {
                    let moved = f64::from(t.network.values[k]) - values[k];
                    assert!((moved + 0.001 * penalised.signum()).abs() < 2e-6, "{k} moved by {moved}");
                }
            }
        }
    }

    #[test]
    fn masks_keep_the_share_they_should_independently() {
        for dropout in [0.5, 0.2, 0.85] {
            let (rows, hidden) = (64, 16);
            let mut t = start(3, hidden, 1, rows, dropout);
            let mut rng = Streams::new(2).rng("masks");
            let (mut kept, mut both, draws) = (vec![0usize; hidden], 0, 400);
            for _ in 0..draws {
                t.draw(rows, &mut rng);
                for bits in t.tiles[0].bits.chunks(2) {
                    let word = u16::from_le_bytes([bits[0], bits[1]]);
                    (0..hidden).for_each(|u| kept[u] += usize::from(word >> u & 1));
                    both += usize::from(word & 0b1001 == 0b1001);
                }
            }
            let n = (draws * rows) as f64;
            let near = |count: usize, p: f64| (count as f64 - n * p).abs() < 5.0 * (n * p * (1.0 - p)).sqrt();
            assert!(kept.iter().all(|k| near(*k, 1.0 - dropout)), "{dropout} {kept:?}");
            assert!(near(both, (1.0 - dropout).powi(2)), "{dropout} {both}");
        }
    }

    #[test]
    fn training_lowers_the_loss_and_threads_change_no_bit() {
        let (inputs, rows) = (300, 200);
        let (x, noise) = (normal(inputs * rows, "x"), normal(rows, "y"));
        let y: Vec<f32> = (0..rows).map(|r| (2.0 * x[r * inputs]).abs() + 0.1 * noise[r]).collect();
        let order: Vec<usize> = (0..rows).collect();
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut t = start(inputs, 24, 1, 192, 0.5);
                let mut rng = Streams::new(2).rng("masks");
                let losses: Vec<f64> = (0..60).map(|_| t.epoch(&x, &y, &order, &mut rng)).collect();
                (losses, t.network)
            })
        };
        let (losses, network) = run(1);
        assert!(losses[59] < 0.5 * losses[0], "{losses:?}");
        assert!(run(4) == (losses, network.clone()));
        // Without dropout: the mean over masks, and the plain formula.
        let (mse, mae) = network.errors(&x, &y);
        let mut z = vec![];
        network.sums(&x, &mut z);
        let (head, mut own) = (network.head().next().unwrap().to_vec(), (0.0, 0.0));
        for (r, z) in z.chunks(network.width()).enumerate() {
            let weights: Vec<&[f32]> = network.weight().collect();
            let mut f = f64::from(network.offset()[0]);
            for u in 0..24 {
                let sum: f64 = (0..inputs).map(|j| f64::from(x[r * inputs + j]) * f64::from(weights[j][u])).sum();
                assert!((sum + f64::from(network.bias()[u]) - f64::from(z[u])).abs() < 1e-4);
                f += f64::from(head[u]) * f64::from(z[u]).max(0.0);
            }
            own = (own.0 + (f - f64::from(y[r])).powi(2), own.1 + (f - f64::from(y[r])).abs());
        }
        assert!((own.0 / 200.0 - mse).abs() < 1e-4 && (own.1 / 200.0 - mae).abs() < 1e-4);
    }

    #[test]
    fn any_processor_gives_the_same_within_rounding() {
        let (x, w, bias) = (normal(9 * 150, "x"), normal(150 * 56, "w"), normal(56, "b"));
        let (mut fast, mut plain) = (vec![0.0; 9 * 56], vec![0.0; 9 * 56]);
        pre_activation(&mut fast, &x, 150, &w, &bias);
        sums::<false>(&mut plain, &x, 150, &w, &bias);
        assert!(fast.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-4));
    }
}
