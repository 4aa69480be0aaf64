//! GEARS (Roohani, Huang & Leskovec 2024): a network that predicts a profile from the genes perturbed, trained on cells.
//!
//! Gene u: e = relu(BN(E_u)), z_u = MLP(d, d, d)(e + 0.2 SGConv(E'; co-expression)_u). Perturbation P: q = SGConv(E"; graph)
//! or a linear map of supplied embeddings, w = MLP(d, d, d)(Σ_{v∈P} q_v). Decoder: h = MLP(d, 2d, d)(relu(BN(z_u + w))),
//! o_u = ⟨w¹_u, h⟩ + b¹_u, g = MLP(L, d, d)(o), δ_u = ⟨w²_u, [o_u; g]⟩ + b²_u. MLP = linear, BN, ReLU a layer, the last
//! ReLU left out; rows of embeddings have norm at most 1; SGConv = D^-½(A + I)D^-½ X Θ. Loss of a batch: mean over its
//! perturbations of the mean over their cells and genes of |x + δ - y|^(2+γ), y a perturbed and x a control cell.
//!
//! Start, optimiser and schedule are those of the released code (snap-stanford/GEARS: model.py, gears.py), and with
//! `choose = "last"` of its copy in IterPert (Huang et al. 2023). δ does not depend on the cell: the cells of a
//! perturbation in a batch share one pass with their number as weight, to the same result. Trains in single precision.
//! 12 L d h operations, h = 2d, a step and different perturbation of its batch: 0.1 GFLOP at L = 1000, d = 64.

use framework::numerics::linalg::{product, product_into};
use framework::numerics::{Real, Sparse};
use framework::prelude::*;
use learn::nn::batch_norm::{Batch, Norm, NormedMlp, Running, Trace, add_column_sums, rows};
use learn::nn::optimiser::Adam;
use learn::nn::outer_mlp::{OuterMlp, OuterPass};
use learn::nn::scaling::standardised;
use ndarray::s;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// Graph-enhanced network on perturbed genes, trained on single cells (or on pseudobulk rows where there are none).
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gears {
    /// Name of the prior whose network joins the perturbed genes; absent: embeddings are used instead.
    pub graph: Option<String>,
    /// Name of the prior whose features describe the perturbed genes, through a learned linear map; absent, and
    /// without `graph`: all active priors side by side.
    pub embeddings: Option<String>,
    /// What is done about genes of the pool that the network of `graph` lacks: "refuse" (default), or "mean": they
    /// are taken for the mean of its genes.
    pub absent: Absent,
    /// Neighbours of a gene kept in the network of `graph`, those of largest weight; default 20.
    pub neighbours: usize,
    /// Partners of an output in the co-expression network, those of largest absolute correlation; default 20.
    pub partners: usize,
    /// Absolute correlation above which outputs are partners; default 0.4.
    pub threshold: f64,
    /// Width d of the network; default 64.
    pub hidden: usize,
    /// Passes over the cells; default 20, and 100 where rows take the place of cells.
    pub epochs: Option<usize>,
    /// Cells of a step; default 256, and 16 rows where there are no cells.
    pub batch: Option<usize>,
    /// Cells of a perturbation that stay together in a batch; 1 shuffles single cells as the paper does. The time of
    /// a step goes with the number of different perturbations in it. Default 8.
    pub together: usize,
    /// Learning rate of the first epoch; default 0.001.
    pub learning_rate: f64,
    /// Factor on the learning rate after every epoch; default 0.5, and 0.97 without cells.
    pub decay: Option<f64>,
    /// Penalty on half the squared parameters; default 0.0005.
    pub weight_decay: f64,
    /// Largest absolute value of an entry of the gradient; default 1.
    pub clip: f64,
    /// The γ of the loss |residual|^(2+γ): how much large effects count above small ones; default 2.
    pub gamma: f64,
    /// Weight λ of the loss for wrong directions, λ(tanh((y - x̄)/τ) - tanh((ŷ - x̄)/τ))² with x̄ the control mean;
    /// default 0. GEARS' code has 0.1 (its help says 1) with a sign in place of tanh, which trains nothing.
    pub direction: f64,
    /// The τ of that loss, in units of the readout; default 0.1.
    pub tau: f64,
    /// Share of the measured perturbations kept from training; default 0.1.
    pub validation: f64,
    /// "last" epoch (default, IterPert) or the "best" (GEARS): that of least validation error in the 20 outputs that
    /// differ most clearly from control.
    pub choose: Choose,
    /// For screens of one number: this many genes are made up, whose expression in control is drawn from N(0, 1) once, and
    /// the number is a learned linear map of their expression after perturbation (NAIAD's use of GEARS). Without active
    /// priors perturbed genes have embeddings of their own. Default: none, outputs are those of the screen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synthetic: Option<usize>,
}

impl Default for Gears {
    fn default() -> Self {
        Self {
            graph: None,
            embeddings: None,
            absent: Absent::Refuse,
            neighbours: 20,
            partners: 20,
            threshold: 0.4,
            hidden: 64,
            epochs: None,
            batch: None,
            together: 8,
            learning_rate: 0.001,
            decay: None,
            weight_decay: 5e-4,
            clip: 1.0,
            gamma: 2.0,
            direction: 0.0,
            tau: 0.1,
            validation: 0.1,
            choose: Choose::Last,
            synthetic: None,
        }
    }
}

/// What is done about genes that a network lacks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Absent {
    /// An error names them.
    Refuse,
    /// The mean of the genes of the network stands for them.
    Mean,
}

/// Which epoch is kept.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choose {
    /// The last.
    Last,
    /// That of least validation error.
    Best,
}

/// Outputs that the validation error looks at.
const CLEAREST: usize = 20;
/// Factor on the co-expression path.
const POSITION: f64 = 0.2;

impl Gears {
    fn check(&self) -> Result<()> {
        let wrong = |what: &str| Err(Error::Config(format!("model gears: {what}")));
        let positive = |v: f64| v > 0.0 && v.is_finite();
        let not_negative = |v: f64| v >= 0.0 && v.is_finite();
        if self.graph.is_some() && self.embeddings.is_some() {
            return wrong("`graph` and `embeddings` both name what describes the perturbed genes; keep one of them");
        }
        if self.hidden == 0 || self.together == 0 || [self.epochs, self.batch, self.synthetic].contains(&Some(0)) {
            return wrong("`hidden`, `epochs`, `batch`, `together` and `synthetic` must be at least 1");
        }
        if !positive(self.learning_rate) || !positive(self.tau) || self.clip.is_nan() || self.clip <= 0.0 {
            return wrong("`learning_rate`, `clip` and `tau` must be positive numbers");
        }
        if !self.decay.is_none_or(positive) {
            return wrong("`decay` must be a positive number");
        }
        if ![self.weight_decay, self.gamma, self.direction, self.threshold].into_iter().all(not_negative) {
            return wrong("`weight_decay`, `gamma`, `direction` and `threshold` must not be below 0");
        }
        if !(0.0..1.0).contains(&self.validation) {
            return wrong("`validation` must be at least 0 and below 1");
        }
        if self.choose == Choose::Best && self.validation == 0.0 {
            return wrong("choose = \"best\" looks at validation errors; set `validation` above 0");
        }
        Ok(())
    }

    /// What describes the perturbed genes.
    pub fn source(&self, inputs: &Inputs) -> Result<Source<f32>> {
        let find = |name: &str| {
            inputs.blocks().iter().find(|b| b.name == name).ok_or_else(|| {
                let known: Vec<&str> = inputs.blocks().iter().map(|b| b.name.as_str()).collect();
                Error::Config(format!(
                    "model gears: no active prior is called `{name}`{}; active: {}",
                    framework::error::hint(name, known.iter().copied()),
                    if known.is_empty() { "none".into() } else { known.join(", ") }
                ))
            })
        };
        if let Some(name) = &self.graph {
            return self.graph_source(find(name)?, inputs.pool());
        }
        let x = match &self.embeddings {
            Some(name) => find(name)?.x.clone(),
            None => inputs.gene_matrix().as_ref().clone(),
        };
        if x.ncols() == 0 && self.synthetic.is_some() {
            let n = inputs.pool().genes().len();
            return Ok(Source::Graph(propagation(&Sparse::new(n, n, vec![]))));
        }
        if x.ncols() == 0 {
            return Err(Error::Config(
                "model gears: nothing describes the perturbed genes; add a [prior.NAME] section, or name a prior that \
                 has a network in `graph`"
                    .into(),
            ));
        }
        if let Some(((g, c), v)) = x.indexed_iter().find(|(_, v)| !v.is_finite()) {
            return Err(Error::Data(format!(
                "model gears: feature {c} of gene number {g} is {v}; features must be finite, so correct the prior's \
                 table"
            )));
        }
        // Columns of unit variance, and rows of norm about 1 as learned embeddings have.
        let width = (x.ncols() as f64).sqrt();
        Ok(Source::Features(standardised(&x).mapv(|v| (v / width) as f32)))
    }

    fn graph_source(&self, block: &Block, pool: &Pool) -> Result<Source<f32>> {
        let name = &block.name;
        let Some(graph) = &block.graph else {
            return Err(Error::Config(format!(
                "model gears: prior `{name}` has features but no network; name a prior that has one (a network, or gene \
                 sets) in `graph`, or use `embeddings = \"{name}\"`"
            )));
        };
        let absent: Vec<usize> = (0..block.present.len()).filter(|g| !block.present[*g]).collect();
        if !absent.is_empty() && self.absent == Absent::Refuse {
            let names: Vec<&str> = pool.genes().names().collect();
            let some: Vec<&str> = absent.iter().take(5).map(|g| names[*g]).collect();
            return Err(Error::Data(format!(
                "model gears: {} of {} genes of the pool are not in the network of prior `{name}` ({}{}), and what is not \
                 in it cannot be predicted; leave them out of the pool, or set absent = \"mean\" to take them for the \
                 mean of its genes",
                absent.len(),
                block.present.len(),
                some.join(", "),
                if absent.len() > some.len() { ", ..." } else { "" }
            )));
        }
        if absent.len() == block.present.len() {
            return Err(Error::Data(format!(
                "model gears: the network of prior `{name}` has none of the pool's genes"
            )));
        }
        let n = block.present.len();
        let full = propagation(&strongest(graph, self.neighbours));
        let mut entries: Vec<(u32, u32, f64)> = vec![];
        let mut mean = vec![0.0; n];
        let share = 1.0 / (n - absent.len()) as f64;
        for (r, c, v) in full.entries().filter(|(r, ..)| block.present[*r]) {
            entries.push((r as u32, c as u32, v));
            mean[c] += share * v;
        }
        for r in absent {
            let row = mean.iter().enumerate().filter(|(_, v)| **v != 0.0);
            entries.extend(row.map(|(c, v)| (r as u32, c as u32, *v)));
        }
        Ok(Source::Graph(Sparse::new(n, n, entries)))
    }

    fn epochs(&self, cells: bool) -> usize {
        self.epochs.unwrap_or(if cells { 20 } else { 100 })
    }

    fn decay(&self, cells: bool) -> f64 {
        self.decay.unwrap_or(if cells { 0.5 } else { 0.97 })
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

    /// One step on the given cells; gives the loss before it.
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

    /// The derivative of the loss by δ where a readout is a linear map of expression, that by the map in `gradient`, and
    /// the loss.
    fn head<T: Real>(
        &self,
        net: &Net<T>,
        delta: &Array2<T>,
        data: &Data,
        groups: &[(u32, Vec<u32>)],
        gradient: &mut [T],
    ) -> (Array2<T>, f64) {
        let said = net.readouts(delta.clone());
        let (map, at) = (net.values(HEAD), net.part(HEAD));
        let mut signal = Array2::zeros(delta.dim());
        let mut sum = 0.0;
        for (k, (_, cells)) in groups.iter().enumerate() {
            let share = 1.0 / (cells.len() * groups.len()) as f64;
            let mut by = [T::zero()];
            for &c in cells {
                let cell = &data.cells[c as usize];
                sum += share * self.cell_loss(&[said[(k, 0)]], cell.x, cell.control, &[], &mut by);
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
                let (is, said) = ((of(x[v]) / tau).tanh(), ((delta[v] + of(control[v])) / tau).tanh());
                loss += weight * (said - is) * (said - is);
                slope += weight * (said - is) * (T::one() - said * said) * T::of(2.0) / tau;
            }
            if keep.is_empty() || keep[v] {
                sum += loss;
                to[v] += slope;
            }
        }
        sum.into()
    }
}

/// What describes the perturbed genes.
#[derive(Clone, Debug)]
pub enum Source<T> {
    /// Learned embeddings, averaged over neighbours by this genes x genes matrix.
    Graph(Sparse),
    /// Supplied embeddings: genes x features.
    Features(Array2<T>),
}

/// The `k` entries of largest weight in each row, the diagonal aside; of equals the first.
fn strongest(graph: &Sparse, k: usize) -> Sparse {
    let (n, m) = graph.dim();
    let mut entries = vec![];
    for r in 0..n {
        let mut row: Vec<(usize, f64)> = graph.row(r).filter(|(c, v)| *c != r && *v > 0.0).collect();
        row.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        entries.extend(row.iter().take(k).map(|(c, v)| (r as u32, *c as u32, *v)));
    }
    Sparse::new(n, m, entries)
}

/// D^-½(A + I)D^-½ with D the row sums of A + I.
fn propagation(graph: &Sparse) -> Sparse {
    let n = graph.dim().0;
    let root: Vec<f64> = (0..n).map(|r| (1.0 + graph.row(r).map(|e| e.1).sum::<f64>()).sqrt()).collect();
    let own = (0..n).map(|r| (r as u32, r as u32, 1.0 / (root[r] * root[r])));
    let other = graph.entries().map(|(r, c, v)| (r as u32, c as u32, v / (root[r] * root[c])));
    Sparse::new(n, n, own.chain(other).collect())
}

/// For each output those of largest absolute correlation over the samples, if above the threshold: outputs x outputs.
fn coexpression(samples: &[&[f32]], partners: usize, threshold: f64) -> Sparse {
    const ROWS: usize = 1024;
    const BLOCK: usize = 64;
    let width = samples.first().map_or(0, |s| s.len());
    let mut products = Array2::<f32>::zeros((width, width));
    let mut sums = vec![0.0f64; width];
    let mut x = Array2::<f32>::zeros((ROWS, width));
    for part in samples.chunks(ROWS) {
        for (mut row, sample) in x.outer_iter_mut().zip(part) {
            row.iter_mut().zip(*sample).for_each(|(x, s)| *x = *s);
            sums.iter_mut().zip(*sample).for_each(|(t, s)| *t += f64::from(*s));
        }
        let x = x.slice(s![..part.len(), ..]);
        products.axis_chunks_iter_mut(Axis(0), BLOCK).into_par_iter().enumerate().for_each(|(k, mut out)| {
            let (from, to) = (k * BLOCK, k * BLOCK + out.nrows());
            let (left, right) = (x.slice(s![.., from..to]), x.slice(s![.., from..]));
            product_into(&mut out.slice_mut(s![.., from..]), left.t(), right, true, 1.0);
        });
    }
    let n = samples.len().max(1) as f64;
    let mean: Vec<f64> = sums.iter().map(|s| s / n).collect();
    let covariance = |i: usize, j: usize| f64::from(products[(i.min(j), i.max(j))]) / n - mean[i] * mean[j];
    // What single precision leaves of a constant is no variance.
    let least = |i: usize| 1e-6 * (covariance(i, i) + mean[i] * mean[i]);
    let sd: Vec<f64> = (0..width).map(|i| covariance(i, i).max(0.0).sqrt()).collect();
    let varies: Vec<bool> = (0..width).map(|i| covariance(i, i) > least(i) && sd[i] > 0.0).collect();
    let rows: Vec<Vec<(u32, u32, f64)>> = (0..width)
        .into_par_iter()
        .map(|i| {
            let mut row: Vec<(u32, f64)> = (0..width)
                .filter(|&j| j != i && varies[i] && varies[j])
                .map(|j| (j as u32, (covariance(i, j) / (sd[i] * sd[j])).abs().min(1.0)))
                .filter(|(_, r)| *r > threshold)
                .collect();
            row.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            row.iter().take(partners).map(|(j, r)| (i as u32, *j, *r)).collect()
        })
        .collect();
    Sparse::new(width, width, rows.concat())
}

/// `A x`, blocks of rows in parallel.
fn spread<T: Real>(a: &Sparse, x: ArrayView2<T>) -> Array2<T> {
    const ROWS: usize = 64;
    let mut out = Array2::zeros((a.dim().0, x.ncols()));
    out.axis_chunks_iter_mut(Axis(0), ROWS).into_par_iter().enumerate().for_each(|(t, mut tile)| {
        for (i, mut row) in tile.outer_iter_mut().enumerate() {
            let to = row.as_slice_mut().unwrap_or_default();
            for (c, v) in a.row(t * ROWS + i) {
                add_scaled(to, x.row(c), T::of(v));
            }
        }
    });
    out
}

fn add_scaled<T: Real>(to: &mut [T], x: ArrayView1<T>, factor: T) {
    match x.to_slice() {
        Some(x) => to.iter_mut().zip(x).for_each(|(t, x)| *t += factor * *x),
        None => to.iter_mut().zip(x).for_each(|(t, x)| *t += factor * *x),
    }
}

/// Places of the parts of the network in the line of its parameters.
#[derive(Clone, Debug)]
struct Layout {
    starts: Vec<usize>,
}

/// Parts in their order: embeddings of outputs (L x d), their γ and β, embeddings for co-expression (L x d), their map
/// (d x d), the outputs' MLP, embeddings of perturbed genes (genes x d, none where supplied), their map and its bias,
/// the perturbations' MLP, the decoder, the cross-gene MLP, w² (L x (d + 1)) and b².
const GENE: usize = 0;
const GENE_NORM: usize = 1;
const PARTNER: usize = 2;
const PARTNER_MAP: usize = 3;
const GENE_MLP: usize = 4;
const SOURCE: usize = 5;
const SOURCE_MAP: usize = 6;
const SOURCE_BIAS: usize = 7;
const SOURCE_MLP: usize = 8;
const DECODER: usize = 9;
const CROSS: usize = 10;
const OUT: usize = 11;
const OUT_BIAS: usize = 12;
/// Behind all others, where there is one: the map from expression to a readout, and its constant.
const HEAD: usize = 13;

/// Names of the parts, for whoever reads the parameters elsewhere.
pub const PARTS: [&str; 13] = [
    "gene",
    "gene_norm",
    "partner",
    "partner_map",
    "gene_mlp",
    "source",
    "source_map",
    "source_bias",
    "source_mlp",
    "decoder",
    "cross",
    "out",
    "out_bias",
];

/// Running statistics of all normalisations.
#[derive(Clone, Debug)]
struct Statistics {
    gene: Running,
    gene_mlp: [Running; 2],
    source_mlp: [Running; 2],
    decoder: [Running; 3],
    cross: [Running; 2],
}

/// The network.
#[derive(Clone, Debug)]
pub struct Net<T> {
    width: usize,
    outputs: usize,
    coexpression: Sparse,
    coexpression_t: Sparse,
    source: Source<T>,
    layout: Layout,
    gene_mlp: NormedMlp,
    decoder: OuterMlp,
    cross: NormedMlp,
    statistics: Statistics,
    /// Of made up genes in control, where a readout is a linear map of expression.
    expression: Option<Vec<T>>,
    /// All parameters in one line.
    pub parameters: Vec<T>,
}

/// What a training keeps from one step to the next.
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

/// A batch on its way.
struct Forward<T> {
    gene_norm: Norm<T>,
    gene: Array2<T>,
    neighbours: Array2<T>,
    gene_input: Array2<T>,
    gene_trace: Trace<T>,
    entries: Vec<Vec<(usize, T)>>,
    orders: Vec<T>,
    source_input: Array2<T>,
    source_sum: Array2<T>,
    source_trace: Trace<T>,
    o: Array2<T>,
    cross_trace: Trace<T>,
    state: Array2<T>,
    delta: Array2<T>,
}

impl<T: Real> Net<T> {
    /// A network at its start: embeddings N(0, 1) brought to norm 1 at most, linear maps uniform in ±1/√inputs, the
    /// weights of single outputs as Xavier's normal start gives them for the shapes of the released code.
    pub fn new(outputs: usize, width: usize, coexpression: Sparse, source: Source<T>, rng: &mut impl Rng) -> Self {
        let (learned, features) = match &source {
            Source::Graph(g) => (g.dim().0, width),
            Source::Features(x) => (0, x.ncols()),
        };
        let gene_mlp = NormedMlp { inputs: width, hidden: width, outputs: width };
        let decoder = OuterMlp { units: outputs, width, hidden: 2 * width };
        let cross = NormedMlp { inputs: outputs, hidden: width, outputs: width };
        let sizes = [
            outputs * width,
            2 * width,
            outputs * width,
            width * width,
            gene_mlp.n_parameters(),
            learned * width,
            features * width,
            width,
            gene_mlp.n_parameters(),
            decoder.n_parameters(),
            cross.n_parameters(),
            outputs * (width + 1),
            outputs,
        ];
        let mut starts = vec![0];
        sizes.iter().for_each(|s| starts.push(starts.last().copied().unwrap_or(0) + s));
        let mut net = Self {
            width,
            outputs,
            coexpression_t: propagation(&coexpression).transpose(),
            coexpression: propagation(&coexpression),
            source,
            parameters: vec![T::zero(); sizes.iter().sum()],
            layout: Layout { starts },
            gene_mlp,
            decoder,
            cross,
            statistics: Statistics {
                gene: Running::new(width),
                gene_mlp: gene_mlp.running(),
                source_mlp: gene_mlp.running(),
                decoder: decoder.running(),
                cross: cross.running(),
            },
            expression: None,
        };
        net.start(rng, features);
        net
    }

    /// The same with a readout that is a linear map of all outputs, which are made up: their expression in control is
    /// N(0, 1), the map starts uniform in ±1/√outputs.
    pub fn with_head(mut self, rng: &mut impl Rng) -> Self {
        let bound = 1.0 / (self.outputs as f64).sqrt();
        self.expression = Some((0..self.outputs).map(|_| T::of(StandardNormal.sample(rng))).collect());
        self.parameters.extend((0..self.outputs + 1).map(|_| T::of(rng.random_range(-bound..=bound))));
        self.layout.starts.push(self.parameters.len());
        self
    }

    /// Readouts from δ: δ itself, or the map of expression.
    fn readouts(&self, delta: Array2<T>) -> Array2<T> {
        let Some(expression) = &self.expression else { return delta };
        let map = self.values(HEAD);
        let of = |d: ArrayView1<T>| {
            let sum = d.iter().zip(expression).zip(map).fold(T::zero(), |sum, ((d, x), a)| sum + *a * (*x + *d));
            sum + map[self.outputs]
        };
        delta.map_axis(Axis(1), of).insert_axis(Axis(1))
    }

    /// Numbers of a readout.
    fn n_readouts(&self) -> usize {
        if self.expression.is_some() { 1 } else { self.outputs }
    }

    fn start(&mut self, rng: &mut impl Rng, features: usize) {
        let (d, outputs) = (self.width, self.outputs);
        let layout = self.layout.clone();
        let normal = |x: &mut [T], sd: f64, rng: &mut dyn Rng| {
            x.iter_mut().for_each(|x| {
                let z: f64 = StandardNormal.sample(rng);
                *x = T::of(sd * z);
            });
        };
        let uniform = |x: &mut [T], inputs: usize, rng: &mut dyn Rng| {
            let bound = 1.0 / (inputs as f64).sqrt();
            x.iter_mut().for_each(|x| *x = T::of(rng.random_range(-bound..=bound)));
        };
        let mlp = |x: &mut [T], form: NormedMlp, rng: &mut dyn Rng| {
            let (first, rest) = x.split_at_mut(form.inputs * form.hidden);
            uniform(first, form.inputs, rng);
            rest[..form.hidden].fill(T::one());
            let (second, rest) = rest[2 * form.hidden..].split_at_mut(form.hidden * form.outputs);
            uniform(second, form.hidden, rng);
            rest[..form.outputs].fill(T::one());
        };
        let p = &mut self.parameters;
        for part in [GENE, PARTNER, SOURCE] {
            normal(&mut p[layout.part(part)], 1.0, rng);
        }
        p[layout.part(GENE_NORM)][..d].fill(T::one());
        uniform(&mut p[layout.part(PARTNER_MAP)], d, rng);
        uniform(&mut p[layout.part(SOURCE_MAP)], features, rng);
        uniform(&mut p[layout.part(SOURCE_BIAS)], features, rng);
        mlp(&mut p[layout.part(GENE_MLP)], self.gene_mlp, rng);
        mlp(&mut p[layout.part(SOURCE_MLP)], self.gene_mlp, rng);
        mlp(&mut p[layout.part(CROSS)], self.cross, rng);
        let (h, decoder) = (self.decoder.hidden, &mut p[layout.part(DECODER)]);
        decoder[..d].fill(T::one());
        let (w1, rest) = decoder[2 * d..].split_at_mut(d * h);
        uniform(w1, d, rng);
        rest[..h].fill(T::one());
        let (w2, rest) = rest[2 * h..].split_at_mut(h * d);
        uniform(w2, h, rng);
        rest[..d].fill(T::one());
        let (readout, bias) = rest[2 * d..].split_at_mut(outputs * d);
        let xavier = |inputs: usize, outputs: usize| (2.0 / (inputs + outputs) as f64).sqrt();
        normal(readout, xavier(d, outputs), rng);
        normal(bias, xavier(1, outputs), rng);
        normal(&mut p[layout.part(OUT)], xavier(outputs * (d + 1), d + 1), rng);
        normal(&mut p[layout.part(OUT_BIAS)], xavier(outputs, 1), rng);
        self.renormalise();
    }

    /// Where a part lies among the parameters.
    pub fn part(&self, part: usize) -> Range<usize> {
        self.layout.part(part)
    }

    /// The normalised co-expression network.
    pub fn coexpression(&self) -> &Sparse {
        &self.coexpression
    }

    fn values(&self, part: usize) -> &[T] {
        &self.parameters[self.layout.part(part)]
    }

    /// Brings rows of embeddings that are longer than 1 to norm 1.
    fn renormalise(&mut self) {
        for part in [GENE, PARTNER, SOURCE] {
            for row in self.parameters[self.layout.part(part)].chunks_exact_mut(self.width) {
                let norm = row.iter().map(|v| *v * *v).fold(T::zero(), |a, b| a + b).sqrt();
                if norm > T::one() {
                    row.iter_mut().for_each(|v| *v /= norm);
                }
            }
        }
    }

    /// z of all outputs, with what leads there.
    fn gene_path(&self, batch: &Batch<T>, statistics: &mut Statistics) -> (Array2<T>, GenePath<T>) {
        let d = self.width;
        let norms = self.values(GENE_NORM);
        let x = rows(self.values(GENE), d);
        let norm = batch.norm(x, &mut statistics.gene);
        let mut gene = norm.apply(x, &norms[..d], &norms[d..]);
        gene.mapv_inplace(|v| if v > T::zero() { v } else { T::zero() });
        let neighbours = spread(&self.coexpression, rows(self.values(PARTNER), d));
        let mut input = product(neighbours.view(), rows(self.values(PARTNER_MAP), d));
        input.zip_mut_with(&gene, |i, g| *i = *g + T::of(POSITION) * *i);
        let (z, trace) = self.gene_mlp.forward(self.values(GENE_MLP), input.view(), batch, &mut statistics.gene_mlp);
        (z, GenePath { norm, gene, neighbours, input, trace })
    }

    /// The rows of embeddings that the genes of each perturbation take part in, with their weights.
    fn entries(&self, genes: &[&[Gene]]) -> Vec<Vec<(usize, T)>> {
        let of = |g: &Gene| -> Vec<(usize, T)> {
            match &self.source {
                Source::Graph(a) => a.row(g.index()).map(|(c, v)| (c, T::of(v))).collect(),
                Source::Features(_) => vec![(g.index(), T::one())],
            }
        };
        genes.iter().map(|genes| genes.iter().flat_map(of).collect()).collect()
    }

    /// Σ_v q_v of each perturbation, and what the map of q is applied to.
    fn source_path(&self, entries: &[Vec<(usize, T)>], orders: &[T]) -> (Array2<T>, Array2<T>) {
        let table = match &self.source {
            Source::Graph(_) => rows(self.values(SOURCE), self.width),
            Source::Features(x) => x.view(),
        };
        let mut input = Array2::zeros((entries.len(), table.ncols()));
        for (mut row, entries) in input.outer_iter_mut().zip(entries) {
            let to = row.as_slice_mut().unwrap_or_default();
            entries.iter().for_each(|(c, v)| add_scaled(to, table.row(*c), *v));
        }
        let mut sum = product(input.view(), rows(self.values(SOURCE_MAP), self.width));
        for (mut row, order) in sum.outer_iter_mut().zip(orders) {
            row.iter_mut().zip(self.values(SOURCE_BIAS)).for_each(|(s, b)| *s += *order * *b);
        }
        (input, sum)
    }

    /// δ from o and the cross-gene state.
    fn out(&self, o: &Array2<T>, state: &Array2<T>) -> Array2<T> {
        let out = rows(self.values(OUT), self.width + 1);
        let mut delta = product(state.view(), out.slice(s![.., 1..]).t());
        let own = out.column(0).to_vec();
        for (mut row, o) in delta.outer_iter_mut().zip(o.outer_iter()) {
            let each = row.iter_mut().zip(o).zip(own.iter().zip(self.values(OUT_BIAS)));
            each.for_each(|((d, o), (w, b))| *d += *o * *w + *b);
        }
        delta
    }

    /// A training pass: perturbations by their genes and their shares in the samples of the batch.
    fn forward(&mut self, genes: &[&[Gene]], weights: &[T], samples: f64, pass: &mut OuterPass<T>) -> Forward<T> {
        let equal = vec![T::of(1.0 / self.outputs as f64); self.outputs];
        let mut statistics = self.statistics.clone();
        let of_genes = Batch::Training { weights: &equal, samples: samples * self.outputs as f64 };
        let (z, path) = self.gene_path(&of_genes, &mut statistics);
        let entries = self.entries(genes);
        let orders: Vec<T> = genes.iter().map(|g| T::of(g.len() as f64)).collect();
        let (source_input, source_sum) = self.source_path(&entries, &orders);
        let batch = Batch::Training { weights, samples };
        let (w, source_trace) =
            self.gene_mlp.forward(self.values(SOURCE_MLP), source_sum.view(), &batch, &mut statistics.source_mlp);
        let decoder = &mut statistics.decoder;
        let o = self.decoder.forward(self.values(DECODER), z.view(), w.view(), weights, samples, decoder, pass);
        let (state, cross_trace) = self.cross.forward(self.values(CROSS), o.view(), &batch, &mut statistics.cross);
        let delta = self.out(&o, &state);
        self.statistics = statistics;
        let GenePath { norm: gene_norm, gene, neighbours, input: gene_input, trace: gene_trace } = path;
        Forward {
            gene_norm,
            gene,
            neighbours,
            gene_input,
            gene_trace,
            entries,
            orders,
            source_input,
            source_sum,
            source_trace,
            o,
            cross_trace,
            state,
            delta,
        }
    }

    /// Adds the derivative of the loss by the parameters to `gradient`, from that by δ.
    fn backward(
        &self,
        forward: &Forward<T>,
        weights: &[T],
        signal: Array2<T>,
        pass: &mut OuterPass<T>,
        gradient: &mut [T],
    ) {
        let (d, at) = (self.width, |part| self.layout.part(part));
        // δ.
        add_column_sums(&mut gradient[at(OUT_BIAS)], signal.view());
        let out = rows(self.values(OUT), d + 1);
        let d_out = product(signal.t(), forward.state.view());
        for ((to, from), (s, o)) in gradient[at(OUT)]
            .chunks_exact_mut(d + 1)
            .zip(d_out.outer_iter())
            .zip(signal.columns().into_iter().zip(forward.o.columns()))
        {
            to[0] += s.dot(&o);
            to[1..].iter_mut().zip(from).for_each(|(t, f)| *t += *f);
        }
        let d_state = product(signal.view(), out.slice(s![.., 1..]));
        let mut d_o = signal;
        let own = out.column(0).to_vec();
        d_o.outer_iter_mut().for_each(|mut row| row.iter_mut().zip(&own).for_each(|(s, w)| *s *= *w));
        let (cross, trace) = (self.values(CROSS), &forward.cross_trace);
        d_o += &self.cross.backward(cross, trace, forward.o.view(), weights, d_state, &mut gradient[at(CROSS)]);
        // The decoder.
        let decoder = self.values(DECODER);
        let (d_z, d_w) = self.decoder.backward(decoder, weights, d_o.view(), pass, &mut gradient[at(DECODER)]);
        // Perturbations.
        let (mlp, trace) = (self.values(SOURCE_MLP), &forward.source_trace);
        let sum = forward.source_sum.view();
        let d_sum = self.gene_mlp.backward(mlp, trace, sum, weights, d_w, &mut gradient[at(SOURCE_MLP)]);
        add(&mut gradient[at(SOURCE_MAP)], &product(forward.source_input.t(), d_sum.view()));
        for (row, order) in d_sum.outer_iter().zip(&forward.orders) {
            add_scaled(&mut gradient[at(SOURCE_BIAS)], row, *order);
        }
        if let Source::Graph(_) = self.source {
            let d_input = product(d_sum.view(), rows(self.values(SOURCE_MAP), d).t());
            let to = &mut gradient[at(SOURCE)];
            for (row, entries) in d_input.outer_iter().zip(&forward.entries) {
                entries.iter().for_each(|(c, v)| add_scaled(&mut to[c * d..(c + 1) * d], row, *v));
            }
        }
        // Outputs.
        let equal = vec![T::of(1.0 / self.outputs as f64); self.outputs];
        let (mlp, trace) = (self.values(GENE_MLP), &forward.gene_trace);
        let input = forward.gene_input.view();
        let mut d_input = self.gene_mlp.backward(mlp, trace, input, &equal, d_z, &mut gradient[at(GENE_MLP)]);
        let d_conv = d_input.mapv(|v| T::of(POSITION) * v);
        add(&mut gradient[at(PARTNER_MAP)], &product(forward.neighbours.t(), d_conv.view()));
        let d_neighbours = product(d_conv.view(), rows(self.values(PARTNER_MAP), d).t());
        add(&mut gradient[at(PARTNER)], &spread(&self.coexpression_t, d_neighbours.view()));
        d_input.zip_mut_with(&forward.gene, |s, g| *s = if *g > T::zero() { *s } else { T::zero() });
        let gamma = &self.values(GENE_NORM)[..d];
        let (d_gamma, d_beta) = gradient[at(GENE_NORM)].split_at_mut(d);
        let x = rows(self.values(GENE), d);
        forward.gene_norm.backward(&mut d_input, x, &equal, gamma, d_gamma, d_beta);
        add(&mut gradient[at(GENE)], &d_input);
    }

    /// z of all outputs with the running statistics.
    fn outputs_for_prediction(&self) -> Array2<T> {
        self.gene_path(&Batch::Prediction, &mut self.statistics.clone()).0
    }

    /// Readouts and the cross-gene state of perturbations given by their genes, with the running statistics.
    fn evaluate(&self, z: &Array2<T>, genes: &[&[Gene]]) -> (Array2<T>, Array2<T>) {
        let mut statistics = self.statistics.clone();
        let orders: Vec<T> = genes.iter().map(|g| T::of(g.len() as f64)).collect();
        let (_, sum) = self.source_path(&self.entries(genes), &orders);
        let batch = Batch::Prediction;
        let mlp = self.values(SOURCE_MLP);
        let w = self.gene_mlp.forward(mlp, sum.view(), &batch, &mut statistics.source_mlp).0;
        let o = self.decoder.evaluate(self.values(DECODER), z.view(), w.view(), &self.statistics.decoder);
        let state = self.cross.forward(self.values(CROSS), o.view(), &batch, &mut statistics.cross).0;
        (self.readouts(self.out(&o, &state)), state)
    }
}

struct GenePath<T> {
    norm: Norm<T>,
    gene: Array2<T>,
    neighbours: Array2<T>,
    input: Array2<T>,
    trace: Trace<T>,
}

impl Layout {
    fn part(&self, part: usize) -> Range<usize> {
        self.starts[part]..self.starts[part + 1]
    }
}

fn add<T: Real>(to: &mut [T], from: &Array2<T>) {
    to.iter_mut().zip(from).for_each(|(t, f)| *t += *f);
}

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

/// The measurements as rows of single precision, owned here where there are no cells.
struct Samples<'a> {
    /// Measured perturbations with their rows: cells, or readouts in their place.
    of: Vec<(usize, Vec<&'a [f32]>)>,
    control: Vec<&'a [f32]>,
    lanes: Vec<Vec<u32>>,
    control_lanes: &'a [u32],
}

impl<'a> Samples<'a> {
    fn new(cx: &'a FitContext, plain: &'a Array2<f32>) -> Result<Self> {
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
    fn seen(&self, outputs: usize) -> Vec<Vec<bool>> {
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

/// Rows of cells, each of them as wide as a readout and finite.
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
struct Held {
    genes: Vec<Gene>,
    mean: Array1<f64>,
    /// Outputs that differ most clearly from control.
    clearest: Vec<usize>,
}

/// Mean of each column, and its squared standard error.
fn mean_and_error(rows: &[&[f32]], width: usize) -> Vec<(f64, f64)> {
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
    fn new(samples: &Samples, at: usize, control: &[(f64, f64)], cx: &FitContext) -> Self {
        let (id, own) = &samples.of[at];
        let observed = cx.observed;
        let measured: Vec<usize> = (0..observed.len()).filter(|r| observed.ids[*r] == *id).collect();
        let mean = observed.y.select(Axis(0), &measured).sum_axis(Axis(0)) / measured.len() as f64;
        // The absolute t score, or the absolute mean where there are no cells to tell a spread from.
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

/// Mean squared validation error over all outputs, and over the clearest of each perturbation.
fn validation_error(net: &Net<f32>, held: &[Held]) -> (f64, f64) {
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

#[typetag::serde(name = "gears")]
impl Model for Gears {
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>> {
        self.check()?;
        let source = self.source(cx.inputs)?;
        let outputs = cx.observed.n_outputs();
        if self.synthetic.is_some() && outputs != 1 {
            return Err(Error::Config(format!(
                "model gears: `synthetic` is for screens of one number, and readouts have {outputs} outputs; leave it out"
            )));
        }
        let plain = cx.observed.y.mapv(|v| v as f32);
        let samples = Samples::new(cx, &plain)?;
        let has_cells = cx.observed.cells.is_some();

        // A perturbation is kept from training with all its cells.
        let mut order: Vec<usize> = (0..samples.of.len()).collect();
        order.shuffle(&mut cx.streams.rng("validation"));
        let n_held = (self.validation * order.len() as f64).round() as usize;
        let (mut held, mut trained) = (order[..n_held].to_vec(), order[n_held..].to_vec());
        held.sort_unstable();
        trained.sort_unstable();
        if self.choose == Choose::Best && held.is_empty() {
            return Err(Error::Config(format!(
                "model gears: choose = \"best\" needs a validation set, and {} of {} measured perturbations is none; \
                 measure more, raise `validation`, or use choose = \"last\"",
                self.validation,
                samples.of.len()
            )));
        }
        let control = mean_and_error(&samples.control, outputs);
        let held: Vec<Held> = held.into_iter().map(|at| Held::new(&samples, at, &control, cx)).collect();

        let seen = samples.seen(outputs);
        let none = vec![0.0f32; outputs];
        let mut pairs = cx.streams.rng("pairs");
        let mut data = Data { cells: vec![], cells_of: vec![], genes: vec![], keep: vec![], has_cells };
        for (p, &at) in trained.iter().enumerate() {
            let (id, own) = &samples.of[at];
            let first = data.cells.len() as u32;
            for x in own {
                let control = match samples.control.len() {
                    0 => none.as_slice(),
                    n => samples.control[pairs.random_range(0..n)],
                };
                data.cells.push(Pair { perturbation: p as u32, x, control });
            }
            data.cells_of.push((first..data.cells.len() as u32).collect());
            data.genes.push(cx.inputs.pool().get(*id).genes().to_vec());
            data.keep.push(seen[at].clone());
        }

        let all: Vec<&[f32]> = samples.control.iter().copied().chain(data.cells.iter().map(|c| c.x)).collect();
        let mut net = match self.synthetic {
            None => {
                let graph = coexpression(&all, self.partners, self.threshold);
                Net::new(outputs, self.hidden, graph, source, &mut cx.streams.rng("start"))
            }
            Some(n) => {
                let none = Sparse::new(n, n, vec![]);
                let net = Net::new(n, self.hidden, none, source, &mut cx.streams.rng("start"));
                net.with_head(&mut cx.streams.rng("head"))
            }
        };
        let mut work = Work::new(&net);
        let (epochs, decay) = (self.epochs(has_cells), self.decay(has_cells));
        let mut best: Option<(f64, usize, Net<f32>)> = None;
        let mut last_loss = 0.0;
        for epoch in 0..epochs {
            let rate = self.learning_rate * decay.powi(epoch as i32);
            let batches = self.batches(&data, &mut cx.streams.index(epoch).rng("order"));
            last_loss = 0.0;
            for batch in &batches {
                let loss = self.step(&mut net, &mut work, &data, batch, rate);
                if !loss.is_finite() {
                    return Err(self.diverged(epoch, &format!("the loss is {loss}")));
                }
                last_loss += loss / batches.len() as f64;
            }
            if !net.parameters.iter().all(|p| p.is_finite()) {
                return Err(self.diverged(epoch, "a parameter is not a finite number"));
            }
            if self.choose == Choose::Best {
                let error = validation_error(&net, &held).1;
                if best.as_ref().is_none_or(|b| error < b.0) {
                    best = Some((error, epoch + 1, net.clone()));
                }
            }
        }
        let (chosen, net) = best.map_or((epochs, net), |(_, epoch, net)| (epoch, net));
        let mut record = vec![("epoch".into(), chosen as f64), ("training_loss".into(), last_loss)];
        if !held.is_empty() {
            let (all, clearest) = validation_error(&net, &held);
            record.extend([("validation_mse".into(), all), (format!("validation_mse_top{CLEAREST}"), clearest)]);
        }
        let z = net.outputs_for_prediction();
        Ok(Box::new(Fitted { inputs: cx.inputs.clone(), net, z, record }))
    }

    fn provides(&self) -> Provides {
        Provides { embedding: true, ..Provides::default() }
    }

    fn requires(&self) -> Requires {
        let scalar = self.synthetic.is_some();
        Requires { features: !scalar, scalar, ..Requires::default() }
    }
}

impl Gears {
    fn diverged(&self, epoch: usize, what: &str) -> Error {
        Error::Numerical(format!(
            "model gears: training diverged in epoch {}: {what}; lower `learning_rate` ({}), or bring the readouts to \
             units in which effects are of size 1 or less, since the loss raises residuals to the power {}",
            epoch + 1,
            self.learning_rate,
            2.0 + self.gamma
        ))
    }
}

/// Perturbations answered in one piece.
const TILE: usize = 256;

struct Fitted {
    inputs: Arc<Inputs>,
    net: Net<f32>,
    /// The outputs' side of the decoder, which is the same for every perturbation.
    z: Array2<f32>,
    record: Vec<(String, f64)>,
}

impl Fitted {
    /// δ, or the cross-gene state, of each id.
    fn answer(
        &self,
        ids: &[usize],
        width: usize,
        pick: impl Fn((Array2<f32>, Array2<f32>)) -> Array2<f32>,
    ) -> Array2<f64> {
        let mut out = Array2::zeros((ids.len(), width));
        for (tile, mut to) in ids.chunks(TILE).zip(out.axis_chunks_iter_mut(Axis(0), TILE)) {
            let sets: Vec<Perturbation> = tile.iter().map(|id| self.inputs.pool().get(*id)).collect();
            let genes: Vec<&[Gene]> = sets.iter().map(Perturbation::genes).collect();
            to.zip_mut_with(&pick(self.net.evaluate(&self.z, &genes)), |t, v| *t = f64::from(*v));
        }
        out
    }
}

impl Surrogate for Fitted {
    /// Readouts with the running statistics.
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        Ok(Posterior { mean: self.answer(ids, self.net.n_readouts(), |a| a.0), sd: None })
    }

    /// The cross-gene state g.
    fn embed(&self, ids: &[usize]) -> Result<Array2<f64>> {
        Ok(self.answer(ids, self.net.width, |a| a.1))
    }

    fn record(&self) -> Vec<(String, f64)> {
        self.record.clone()
    }
}

framework::register!(
    Model,
    Gears,
    "gears",
    "graph-enhanced network on perturbed genes, trained on cells",
    example = |_| framework::serde_json::json!({ "hidden": 16, "gamma": 0.0, "learning_rate": 0.01 })
);

#[cfg(test)]
mod tests {
    use super::*;

    fn rng(name: &str) -> StreamRng {
        Streams::new(11).rng(name)
    }

    fn normals(n: usize, rng: &mut StreamRng) -> Vec<f32> {
        (0..n).map(|_| StandardNormal.sample(rng)).collect()
    }

    /// The network on every cell by itself, as plain loops; rows are cells, or cells and outputs.
    struct Naive<'a> {
        net: &'a Net<f64>,
    }

    type Rows = Vec<Vec<f64>>;

    impl Naive<'_> {
        fn norm(x: &Rows, gamma: &[f64], beta: &[f64]) -> Rows {
            let n = x.len() as f64;
            let of = |c: usize| {
                let mean = x.iter().map(|r| r[c]).sum::<f64>() / n;
                (mean, x.iter().map(|r| (r[c] - mean).powi(2)).sum::<f64>() / n)
            };
            let moments: Vec<(f64, f64)> = (0..gamma.len()).map(of).collect();
            let row = |r: &Vec<f64>| {
                let each = r.iter().zip(&moments).zip(gamma.iter().zip(beta));
                each.map(|((x, (m, v)), (g, b))| g * (x - m) / (v + 1e-5).sqrt() + b).collect()
            };
            x.iter().map(row).collect()
        }

        fn relu(x: Rows) -> Rows {
            x.into_iter().map(|r| r.into_iter().map(|v| v.max(0.0)).collect()).collect()
        }

        fn linear(x: &Rows, w: &[f64], outputs: usize) -> Rows {
            let row = |r: &Vec<f64>| {
                (0..outputs).map(|o| r.iter().enumerate().map(|(i, v)| v * w[i * outputs + o]).sum()).collect()
            };
            x.iter().map(row).collect()
        }

        fn mlp(x: &Rows, mut p: &[f64], hidden: usize, outputs: usize) -> Rows {
            let mut next = |n: usize| {
                let (a, b) = p.split_at(n);
                p = b;
                a
            };
            let h = Self::linear(x, next(x[0].len() * hidden), hidden);
            let h = Self::relu(Self::norm(&h, next(hidden), next(hidden)));
            let h = Self::linear(&h, next(hidden * outputs), outputs);
            Self::norm(&h, next(outputs), next(outputs))
        }

        /// δ of every cell.
        fn delta(&self, data: &Data, batch: &[u32]) -> Rows {
            let (net, d, l) = (self.net, self.net.width, self.net.outputs);
            let embedding = |part: usize, row: usize| net.values(part)[row * d..(row + 1) * d].to_vec();
            let norms = net.values(GENE_NORM);
            let of_cells =
                |f: &dyn Fn(usize) -> Vec<f64>| -> Rows { batch.iter().flat_map(|_| (0..l).map(f)).collect() };
            let e = Self::relu(Self::norm(&of_cells(&|u| embedding(GENE, u)), &norms[..d], &norms[d..]));
            let near = |u: usize| {
                let mut sum = vec![0.0; d];
                for (v, a) in net.coexpression.row(u) {
                    sum.iter_mut().zip(embedding(PARTNER, v)).for_each(|(s, x)| *s += a * x);
                }
                sum
            };
            let c = Self::linear(&of_cells(&near), net.values(PARTNER_MAP), d);
            let x: Rows = e.iter().zip(&c).map(|(e, c)| e.iter().zip(c).map(|(e, c)| e + 0.2 * c).collect()).collect();
            let z = Self::mlp(&x, net.values(GENE_MLP), d, d);
            let s: Rows = batch
                .iter()
                .map(|&cell| {
                    let mut sum = vec![0.0; d];
                    for g in &data.genes[data.cells[cell as usize].perturbation as usize] {
                        let q = match &net.source {
                            Source::Graph(a) => {
                                let mut near = vec![0.0; d];
                                for (v, a) in a.row(g.index()) {
                                    near.iter_mut().zip(embedding(SOURCE, v)).for_each(|(s, x)| *s += a * x);
                                }
                                near
                            }
                            Source::Features(x) => x.row(g.index()).to_vec(),
                        };
                        let q = &Self::linear(&vec![q], net.values(SOURCE_MAP), d)[0];
                        let each = sum.iter_mut().zip(q).zip(net.values(SOURCE_BIAS));
                        each.for_each(|((s, q), b)| *s += q + b);
                    }
                    sum
                })
                .collect();
            let w = Self::mlp(&s, net.values(SOURCE_MLP), d, d);
            let sum: Rows = (0..z.len()).map(|r| z[r].iter().zip(&w[r / l]).map(|(z, w)| z + w).collect()).collect();
            let p = net.values(DECODER);
            let x = Self::relu(Self::norm(&sum, &p[..d], &p[d..2 * d]));
            let at = 2 * d + net.decoder.hidden * (2 * d + 2) + 2 * d;
            let h = Self::mlp(&x, &p[2 * d..at], net.decoder.hidden, d);
            let (readout, bias) = p[at..].split_at(l * d);
            let own = |r: usize| {
                let u = r % l;
                h[r].iter().zip(&readout[u * d..(u + 1) * d]).map(|(h, w)| h * w).sum::<f64>() + bias[u]
            };
            let o: Rows = (0..batch.len()).map(|c| (0..l).map(|u| own(c * l + u)).collect()).collect();
            let g = Self::mlp(&o, net.values(CROSS), d, d);
            let out = |c: usize, u: usize| {
                let w = &net.values(OUT)[u * (d + 1)..(u + 1) * (d + 1)];
                w[0] * o[c][u] + w[1..].iter().zip(&g[c]).map(|(w, g)| w * g).sum::<f64>() + net.values(OUT_BIAS)[u]
            };
            (0..batch.len()).map(|c| (0..l).map(|u| out(c, u)).collect()).collect()
        }

        fn loss(&self, model: &Gears, data: &Data, batch: &[u32]) -> f64 {
            let delta = self.delta(data, batch);
            let mut of: HashMap<u32, Vec<f64>> = HashMap::new();
            for (delta, &c) in delta.iter().zip(batch) {
                let cell = &data.cells[c as usize];
                let keep = &data.keep[cell.perturbation as usize];
                let mut losses = vec![];
                for (v, delta) in delta.iter().enumerate().filter(|(v, _)| keep.is_empty() || keep[*v]) {
                    let (x, y) = (f64::from(cell.control[v]), f64::from(cell.x[v]));
                    let side = ((x + delta) / model.tau).tanh() - (y / model.tau).tanh();
                    losses.push((x + delta - y).abs().powf(2.0 + model.gamma) + model.direction * side * side);
                }
                of.entry(cell.perturbation).or_default().push(losses.iter().sum::<f64>() / losses.len() as f64);
            }
            of.values().map(|l| l.iter().sum::<f64>() / l.len() as f64).sum::<f64>() / of.len() as f64
        }
    }

    fn ring(n: usize) -> Sparse {
        let entries = (0..n as u32).flat_map(|i| [(i, (i + 1) % n as u32, 0.5), (i, (i + 3) % n as u32, 0.8)]);
        Sparse::new(n, n, entries.collect())
    }

    /// Three perturbations, one of them a pair, with 1, 2 and 4 cells; one output does not count for the second.
    fn small<'a>(values: &'a [f32], outputs: usize) -> (Data<'a>, Vec<u32>) {
        let of = [0u32, 1, 1, 2, 2, 2, 2];
        let mut rows = values.chunks_exact(outputs);
        let cells = of.iter().map(|&perturbation| Pair {
            perturbation,
            x: rows.next().unwrap(),
            control: rows.next().unwrap(),
        });
        let mut keep = vec![vec![]; 3];
        keep[1] = (0..outputs).map(|v| v != 2).collect();
        let data = Data {
            cells: cells.collect(),
            cells_of: vec![vec![0], vec![1, 2], vec![3, 4, 5, 6]],
            genes: vec![vec![Gene(4)], vec![Gene(1), Gene(2)], vec![Gene(0)]],
            keep,
            has_cells: true,
        };
        (data, vec![3, 1, 0, 4, 5, 2, 6])
    }

    #[test]
    fn shared_passes_equal_single_cells_and_gradients_central_differences() {
        let outputs = 5;
        let values = normals(2 * 7 * outputs, &mut rng("cells"));
        let (data, batch) = small(&values, outputs);
        let features = Array2::from_shape_vec((6, 4), normals(24, &mut rng("features"))).unwrap().mapv(f64::from);
        for (source, gamma, direction) in [
            (Source::Graph(propagation(&ring(6))), 2.0, 0.0),
            (Source::Features(features.clone()), 0.0, 0.3),
            (Source::Features(features), 1.5, 0.0),
        ] {
            let model = Gears { gamma, direction, tau: 0.7, ..Gears::default() };
            let mut net = Net::<f64>::new(outputs, 3, ring(outputs), source, &mut rng("start"));
            // Away from the start, where betas are 0 and gammas 1.
            let mut shake = rng("shake");
            net.parameters.iter_mut().for_each(|p| *p += 0.3 * f64::from(normals(1, &mut shake)[0]));
            let mut work = Work::new(&net);
            let loss = model.loss_and_gradient(&mut net, &mut work, &data, &batch);
            let naive = Naive { net: &net }.loss(&model, &data, &batch);
            assert!((loss - naive).abs() < 1e-12 * naive, "{loss} {naive}");
            let gradient = work.gradient.clone();
            for (part, name) in PARTS.iter().enumerate() {
                for at in net.part(part) {
                    let was = net.parameters[at];
                    let mut loss_at = |step: f64| {
                        net.parameters[at] = was + step;
                        Naive { net: &net }.loss(&model, &data, &batch)
                    };
                    let (far, near) =
                        ((loss_at(2e-5) - loss_at(-2e-5)) / 4e-5, (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5);
                    net.parameters[at] = was;
                    let want = (4.0 * near - far) / 3.0;
                    let got = gradient[at];
                    assert!((got - want).abs() < 2e-6 * want.abs().max(1.0), "{name} {at}: {got} {want}");
                }
            }
        }
    }

    #[test]
    fn a_readout_that_is_a_map_of_made_up_expression() {
        let values = normals(2 * 7, &mut rng("cells"));
        let (data, batch) = small(&values, 1);
        let apart = |n| Sparse::new(n, n, vec![]);
        for gamma in [0.0, 2.0] {
            let model = Gears { gamma, ..Gears::default() };
            let source = Source::Graph(propagation(&apart(6)));
            let mut net = Net::<f64>::new(4, 3, apart(4), source, &mut rng("start")).with_head(&mut rng("head"));
            let mut shake = rng("shake");
            net.parameters.iter_mut().for_each(|p| *p += 0.3 * f64::from(normals(1, &mut shake)[0]));
            let mut work = Work::new(&net);
            model.loss_and_gradient(&mut net, &mut work, &data, &batch);
            let gradient = work.gradient.clone();
            assert!(gradient[net.part(HEAD)].iter().all(|g| *g != 0.0) && net.part(HEAD).len() == 5);
            for (at, got) in gradient.iter().enumerate() {
                let was = net.parameters[at];
                let mut loss_at = |step: f64| {
                    net.parameters[at] = was + step;
                    model.loss_and_gradient(&mut net, &mut work, &data, &batch)
                };
                let (far, near) = ((loss_at(2e-5) - loss_at(-2e-5)) / 4e-5, (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5);
                net.parameters[at] = was;
                let want = (4.0 * near - far) / 3.0;
                assert!((got - want).abs() < 2e-6 * want.abs().max(1.0), "{at}: {got} {want}");
            }
        }
        // Pairs of twelve genes without a prior: the sum of a number a gene.
        let genes = Arc::new(Genes::new((0..12).map(|i| format!("g{i}"))).unwrap());
        let pool = Arc::new(Pool::all_pairs(genes));
        let number = |g: Gene| (f64::from(g.0) * 1.3).sin();
        let y = Array2::from_shape_fn((66, 1), |(i, _)| pool.with_genes(i, |g| number(g[0]) + number(g[1])));
        let inputs = Arc::new(Inputs::new(pool, vec![], Compose::Sum).unwrap());
        let mut observed = Observed::empty(1);
        let ids: Vec<usize> = (0..66).collect();
        observed.push(&Readouts::plain(&ids, y.clone()), 0).unwrap();
        let model = Gears {
            synthetic: Some(12),
            hidden: 16,
            gamma: 0.0,
            learning_rate: 0.01,
            epochs: Some(150),
            validation: 0.0,
            ..Gears::default()
        };
        let s = model.fit(&FitContext { inputs: &inputs, observed: &observed, streams: &Streams::new(1) }).unwrap();
        let p = s.predict(&ids).unwrap().mean;
        assert_eq!(p.dim(), (66, 1));
        let error = (&p - &y).mapv(|e| e * e).mean().unwrap().sqrt();
        assert!(error < 0.5 * y.std(0.0), "{error}");
    }

    #[test]
    fn strongest_neighbours_and_propagation_by_hand() {
        let full = Sparse::new(3, 3, vec![(0, 0, 1.0), (0, 1, 0.5), (0, 2, 0.9), (1, 0, 0.5), (2, 0, 0.9)]);
        let best = strongest(&full, 1);
        assert_eq!(best.entries().collect::<Vec<_>>(), [(0, 2, 0.9), (1, 0, 0.5), (2, 0, 0.9)]);
        let a = propagation(&best);
        let want = [(0, 0, 1.0 / 1.9), (0, 2, 0.9 / 1.9), (1, 0, 0.5 / (1.5f64 * 1.9).sqrt()), (1, 1, 1.0 / 1.5)];
        for ((r, c, v), (i, j, w)) in a.entries().zip(want) {
            assert!((r, c) == (i, j) && (v - w).abs() < 1e-12, "{r} {c} {v} {w}");
        }
    }

    #[test]
    fn coexpression_is_the_absolute_correlation_above_the_threshold() {
        let mut draw = rng("coexpression");
        let rows: Vec<Vec<f32>> = (0..2500)
            .map(|_| {
                let z = normals(4, &mut draw);
                vec![3.0 + z[0], -2.0 * z[0] + 0.5 * z[1], z[2], 7.0, z[2] + 0.2 * z[3]]
            })
            .collect();
        let samples: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
        let graph = coexpression(&samples, 2, 0.4);
        let pearson = |i: usize, j: usize| {
            let of = |k: usize| -> Vec<f64> { rows.iter().map(|r| f64::from(r[k])).collect() };
            framework_pearson(&of(i), &of(j))
        };
        let found: Vec<(usize, usize, f64)> = graph.entries().collect();
        assert_eq!(found.iter().map(|e| (e.0, e.1)).collect::<Vec<_>>(), [(0, 1), (1, 0), (2, 4), (4, 2)]);
        for (i, j, r) in found {
            assert!((r - pearson(i, j).abs()).abs() < 1e-4, "{i} {j} {r}");
        }
        assert_eq!(coexpression(&samples, 2, 0.999).entries().count(), 0);
    }

    fn framework_pearson(x: &[f64], y: &[f64]) -> f64 {
        let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
        let (mx, my) = (mean(x), mean(y));
        let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 { x.iter().zip(y).map(|(a, b)| f(a - mx, b - my)).sum() };
        sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
    }

    /// Genes with features, outputs that are genes, and cells around effects that add up over genes. Singles first,
    /// then some pairs and one triple.
    struct World {
        inputs: Arc<Inputs>,
        observed: Observed,
        truth: Array2<f64>,
    }

    const GENES: usize = 60;
    const OUTPUTS: usize = 30;

    fn world(train: usize, n_cells: usize, absent: usize) -> World {
        let names = Arc::new(Genes::new((0..GENES).map(|i| format!("G{i:02}"))).unwrap());
        let mut draw = rng("world");
        let x = Array2::from_shape_vec((GENES, 3), normals(GENES * 3, &mut draw)).unwrap().mapv(f64::from);
        let map = Array2::from_shape_vec((3, OUTPUTS), normals(3 * OUTPUTS, &mut draw)).unwrap().mapv(f64::from) * 0.4;
        let singles = (0..GENES as u32).map(|g| Perturbation::new([Gene(g)]));
        let pairs = (0..20u32).map(|g| Perturbation::new([Gene(g), Gene(g + 25)]));
        let triple = [Perturbation::new([Gene(3), Gene(33), Gene(53)])];
        let pool = Arc::new(Pool::list(names, singles.chain(pairs).chain(triple)).unwrap());
        let near = |i: usize, j: usize| (-(&x.row(i) - &x.row(j)).mapv(|v| v * v).sum()).exp();
        let edges = (0..GENES).flat_map(|i| (0..GENES).filter(move |j| i != *j).map(move |j| (i, j)));
        let graph = Sparse::new(GENES, GENES, edges.map(|(i, j)| (i as u32, j as u32, near(i, j))).collect());
        let present = (0..GENES).map(|g| g >= absent).collect();
        let block = Block::new("signal", x.clone(), present).unwrap().with_graph(graph);
        let lane = |n: usize, mean: &[f64], draw: &mut StreamRng| {
            let noise = normals(n * OUTPUTS, draw);
            let cells = Array2::from_shape_fn((n, OUTPUTS), |(c, v)| mean[v] as f32 + 0.3 * noise[c * OUTPUTS + v]);
            Arc::new(Cells { x: cells, lane: vec![0; n] })
        };
        let control = Control {
            mean: Array1::from_elem(OUTPUTS, 1.0),
            cells: Some(lane(200, &[0.0; OUTPUTS], &mut draw)),
            outputs: None,
        };
        let inputs = Inputs::new(pool.clone(), vec![Arc::new(block)], Compose::Sum).unwrap();
        let inputs = Arc::new(inputs.with_control(Some(Arc::new(control))));
        let truth = inputs.features(&(0..pool.len()).collect::<Vec<_>>()).dot(&map);
        let ids: Vec<usize> = (0..pool.len()).filter(|i| i % 5 != 4).take(train).collect();
        let cells: Vec<Arc<Cells>> = ids.iter().map(|&i| lane(n_cells, &truth.row(i).to_vec(), &mut draw)).collect();
        let mut readouts = Readouts::plain(&ids, truth.select(Axis(0), &ids));
        for (mut y, cells) in readouts.y.outer_iter_mut().zip(&cells) {
            y.assign(&cells.in_f64().mean_axis(Axis(0)).unwrap());
        }
        readouts.cells = Some(cells);
        let mut observed = Observed::empty(OUTPUTS);
        observed.push(&readouts, 0).unwrap();
        World { inputs, observed, truth }
    }

    fn fit(model: &Gears, world: &World) -> Result<Box<dyn Surrogate>> {
        model.fit(&FitContext { inputs: &world.inputs, observed: &world.observed, streams: &Streams::new(4) })
    }

    /// Squared error on the perturbations that were not measured, in units of that of the mean.
    fn error(world: &World, surrogate: &dyn Surrogate) -> f64 {
        let test: Vec<usize> = (0..world.truth.nrows()).filter(|i| i % 5 == 4).collect();
        let said = surrogate.predict(&test).unwrap().mean;
        let truth = world.truth.select(Axis(0), &test);
        let squares = |x: Array2<f64>| x.mapv(|v| v * v).sum();
        squares(said - &truth) / squares(&truth - &world.observed.mean())
    }

    fn quick() -> Gears {
        Gears {
            hidden: 16,
            epochs: Some(12),
            batch: Some(64),
            learning_rate: 0.01,
            decay: Some(0.8),
            ..Gears::default()
        }
    }

    #[test]
    fn it_learns_what_the_mean_does_not() {
        let world = world(65, 30, 0);
        for model in [
            quick(),
            Gears { together: 1, ..quick() },
            Gears { together: 4, ..quick() },
            Gears { graph: Some("signal".into()), ..quick() },
            Gears { direction: 0.1, choose: Choose::Best, ..quick() },
        ] {
            let s = fit(&model, &world).unwrap();
            let e = error(&world, &*s);
            println!("{e:.3} {:?}", s.record());
            assert!(e < 0.5, "{model:?}: {e}");
        }
        // Without cells, and of pairs by their genes.
        let mut rows = world;
        rows.observed.cells = None;
        let s = fit(&Gears { gamma: 0.0, hidden: 16, learning_rate: 0.01, ..Gears::default() }, &rows).unwrap();
        let e = error(&rows, &*s);
        assert!(e < 0.5, "{e}");
    }

    #[test]
    fn a_single_output_is_a_profile_of_one() {
        let world = framework::testing::TinyWorld::new(90, 3, 1, false, 21).unwrap();
        let (train, test): (Vec<usize>, Vec<usize>) = (0..90).partition(|i| i % 3 != 0);
        let observed = world.observe(&train, 4).unwrap();
        let model = Gears { hidden: 16, gamma: 0.0, learning_rate: 0.01, ..Gears::default() };
        let cx = FitContext { inputs: &world.inputs, observed: &observed, streams: &Streams::new(4) };
        let said = model.fit(&cx).unwrap().predict(&test).unwrap().mean;
        let error = |f: &dyn Fn(usize) -> f64| -> f64 {
            test.iter().enumerate().map(|(i, &id)| (f(i) - world.truth[(id, 0)]).powi(2)).sum()
        };
        let (own, mean) = (error(&|i| said[(i, 0)]), error(&|_| observed.mean()[0]));
        assert!(own < 0.5 * mean, "{own} {mean}");
    }

    #[test]
    fn the_clearest_outputs_have_the_largest_t() {
        let rows = [[1.0f32, 5.0, 0.0], [3.0, 5.0, 0.0], [2.0, 8.0, 0.0]];
        let views: Vec<&[f32]> = rows.iter().map(|r| r.as_slice()).collect();
        let got = mean_and_error(&views, 3);
        for (got, want) in got.iter().zip([(2.0, 1.0 / 3.0), (6.0, 1.0), (0.0, 0.0)]) {
            assert!((got.0 - want.0).abs() < 1e-12 && (got.1 - want.1).abs() < 1e-12, "{got:?}");
        }
    }

    #[test]
    fn threads_change_no_bit() {
        let world = world(50, 20, 0);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let s = fit(&Gears { hidden: 64, epochs: Some(2), ..quick() }, &world).unwrap();
                let ids: Vec<usize> = (0..80).collect();
                (s.predict(&ids).unwrap().mean, s.embed(&ids).unwrap(), s.record())
            })
        };
        let one = run(1);
        assert_eq!(one.1.dim(), (80, 64));
        assert!(one == run(3));
    }

    #[test]
    fn best_epoch_is_the_least_and_last_the_last() {
        let world = world(60, 20, 0);
        let value = |s: &dyn Surrogate, name: &str| s.record().into_iter().find(|r| r.0 == name).unwrap().1;
        // Epochs of the same training: the streams of an epoch do not depend on how many there are.
        let of =
            |epochs| fit(&Gears { epochs: Some(epochs), learning_rate: 0.05, decay: Some(1.0), ..quick() }, &world);
        let all: Vec<f64> = (1..=6).map(|e| value(&*of(e).unwrap(), "validation_mse_top20")).collect();
        let best = Gears { epochs: Some(6), learning_rate: 0.05, decay: Some(1.0), choose: Choose::Best, ..quick() };
        let best = fit(&best, &world).unwrap();
        let least = all.iter().copied().fold(f64::INFINITY, f64::min);
        assert_eq!(value(&*best, "validation_mse_top20"), least);
        assert_eq!(all[value(&*best, "epoch") as usize - 1], least);
        assert_eq!(value(&*of(6).unwrap(), "epoch"), 6.0);
    }

    #[test]
    fn embeddings_stay_within_norm_one_and_the_rate_falls() {
        let values = normals(2 * 7 * 5, &mut rng("cells"));
        let (data, batch) = small(&values, 5);
        let model = Gears::default();
        let mut net = Net::<f64>::new(5, 3, ring(5), Source::Graph(propagation(&ring(6))), &mut rng("start"));
        let mut work = Work::new(&net);
        let worst = |net: &Net<f64>| {
            let rows = [GENE, PARTNER, SOURCE].into_iter().flat_map(|p| net.values(p).chunks_exact(3));
            rows.map(|r| r.iter().map(|v| v * v).sum::<f64>().sqrt()).fold(0.0, f64::max)
        };
        for _ in 0..3 {
            model.step(&mut net, &mut work, &data, &batch, 0.5);
        }
        assert!(worst(&net) > 1.0);
        let before = net.parameters.clone();
        model.step(&mut net, &mut work, &data, &batch, 0.0);
        assert!((worst(&net) - 1.0).abs() < 1e-12);
        let kept = net.part(DECODER);
        assert_eq!(net.parameters[kept.clone()], before[kept]);
        assert!((0..3).all(|e| model.learning_rate * model.decay(true).powi(e) == 0.001 / f64::from(1 << e)));
    }

    #[test]
    fn batches_hold_every_cell_once_and_pieces_stay_together() {
        let values = vec![0.0; 2 * 7 * 5];
        let (mut data, _) = small(&values, 5);
        data.cells_of = (0..10u32).map(|p| (p * 30..(p + 1) * 30).collect()).collect();
        data.cells = vec![data.cells[0]; 300];
        for (together, distinct) in [(1, 9), (10, 6), (30, 2)] {
            let batches = Gears { together, batch: Some(60), ..Gears::default() }.batches(&data, &mut rng("order"));
            let mut all: Vec<u32> = batches.concat();
            all.sort_unstable();
            assert_eq!(all, (0..300).collect::<Vec<_>>());
            for b in &batches {
                let mut of: Vec<u32> = b.iter().map(|c| c / 30).collect();
                of.sort_unstable();
                of.dedup();
                assert!(b.len() == 60 && (of.len() <= distinct) == (together > 1), "{together}: {}", of.len());
            }
        }
        // 300 = 4 x 64 + 44: the rest is left out.
        let batches = Gears { together: 1, batch: Some(64), ..Gears::default() }.batches(&data, &mut rng("order"));
        assert!(batches.len() == 4 && batches.iter().all(|b| b.len() == 64));
        // One batch of all, if it is the only one.
        assert_eq!(Gears { batch: Some(1000), ..Gears::default() }.batches(&data, &mut rng("order")).len(), 1);
    }

    #[test]
    fn outputs_at_the_floor_of_every_cell_do_not_count() {
        let row = |v: [f32; 3]| v.to_vec();
        let control = [row([-1.0, -2.0, 0.5]), row([1.0, -2.0, 0.4]), row([0.3, 0.7, 0.1])];
        let own = [[row([-1.0, -1.0, 0.3]), row([-1.0, 0.0, 0.6])], [row([0.0, -2.0, 0.3]), row([1.0, -2.0, 0.2])]];
        let views = |rows: &'static [Vec<f32>]| -> Vec<&'static [f32]> { rows.iter().map(Vec::as_slice).collect() };
        let leak = |rows: Vec<Vec<f32>>| views(Box::leak(rows.into_boxed_slice()));
        let samples = Samples {
            of: own.into_iter().enumerate().map(|(i, rows)| (i, leak(rows.to_vec()))).collect(),
            control: leak(control.to_vec()),
            lanes: vec![vec![0, 0]; 2],
            control_lanes: &[0, 0, 0],
        };
        assert_eq!(samples.seen(3), [vec![false, true, true], vec![true, false, true]]);
    }

    #[test]
    fn mistakes_are_named() {
        let world = world(30, 5, 7);
        let text = |m: &Gears| fit(m, &world).err().unwrap().to_string();
        let graph = |name: &str| Gears { graph: Some(name.into()), epochs: Some(1), ..quick() };
        assert!(text(&graph("sinal")).contains("no active prior is called `sinal`"));
        let e = text(&graph("signal"));
        assert!(
            e.contains("7 of 60 genes") && e.contains("G00, G01, G02, G03, G04, ...") && e.contains("absent"),
            "{e}"
        );
        assert!(fit(&Gears { absent: Absent::Mean, ..graph("signal") }, &world).is_ok());
        assert!(text(&Gears { embeddings: Some("signal".into()), ..graph("signal") }).contains("keep one of them"));
        assert!(text(&Gears { validation: 0.0, choose: Choose::Best, ..quick() }).contains("set `validation`"));
        let e = text(&Gears { learning_rate: 1e30, ..quick() });
        assert!(e.contains("training diverged in epoch 1") && e.contains("learning_rate"), "{e}");
        let with = |change: &dyn Fn(&mut Cells)| {
            let mut observed = world.observed.clone();
            if let Some(cells) = &mut observed.cells {
                change(Arc::make_mut(&mut cells[1]));
            }
            let (inputs, streams) = (&world.inputs, &Streams::new(4));
            quick().fit(&FitContext { inputs, observed: &observed, streams }).err().unwrap().to_string()
        };
        let name = world.inputs.pool().label(world.observed.ids[1]);
        let none = with(&|c| *c = Cells { x: Array2::zeros((0, OUTPUTS)), lane: vec![] });
        assert!(none.contains(&format!("`{name}` was measured without a cell")), "{none}");
        let wide = with(&|c| c.x = Array2::zeros((5, OUTPUTS + 1)));
        assert!(wide.contains("have 31 values and readouts 30"), "{wide}");
        let nan = with(&|c| c.x[(2, 3)] = f32::NAN);
        assert!(nan.contains(&format!("a cell of `{name}` holds the value NaN")), "{nan}");
    }

    #[test]
    fn genes_that_a_network_lacks_are_the_mean_of_its_genes() {
        let world = world(30, 5, 7);
        let model = Gears { graph: Some("signal".into()), absent: Absent::Mean, ..quick() };
        let Source::Graph(a) = model.source(&world.inputs).unwrap() else { panic!() };
        let x = Array2::from_shape_fn((GENES, 2), |(i, j)| (i * 7 % 11) as f64 + j as f64);
        let q = spread(&a, x.view());
        let mean = q.slice(s![7.., ..]).mean_axis(Axis(0)).unwrap();
        assert!((0..7).all(|g| (&q.row(g) - &mean).iter().all(|d| d.abs() < 1e-12)));
    }
}
