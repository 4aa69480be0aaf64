//! The network: its parameters, their start, a training pass and its derivative, and prediction.

use super::graph::{GeneInput, propagation};
use framework::numerics::linalg::product;
use framework::numerics::{Real, Sparse};
use framework::prelude::*;
use learn::nn::batch_norm::{Batch, Norm, NormedMlp, Running, Trace, add_column_sums, rows};
use learn::nn::outer_mlp::{OuterMlp, OuterPass};
use ndarray::s;
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use std::ops::Range;

/// Factor on the co-expression path.
const POSITION: f64 = 0.2;

/// `A x`, blocks of rows in parallel.
pub(super) fn spread<T: Real>(a: &Sparse, x: ArrayView2<T>) -> Array2<T> {
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

/// Where each part of the network starts among its parameters.
#[derive(Clone, Debug)]
struct Layout {
    starts: Vec<usize>,
}

/// Parts in their order: embeddings of outputs (L x d), their γ and β, embeddings for co-expression (L x d), their map
/// (d x d), the outputs' MLP, embeddings of perturbed genes (genes x d, none where supplied), their map and its bias,
/// the perturbations' MLP, the decoder, the cross-gene MLP, w² (L x (d + 1)) and b².
pub(super) const GENE: usize = 0;
pub(super) const GENE_NORM: usize = 1;
pub(super) const PARTNER: usize = 2;
pub(super) const PARTNER_MAP: usize = 3;
pub(super) const GENE_MLP: usize = 4;
pub(super) const SOURCE: usize = 5;
pub(super) const SOURCE_MAP: usize = 6;
pub(super) const SOURCE_BIAS: usize = 7;
pub(super) const SOURCE_MLP: usize = 8;
pub(super) const DECODER: usize = 9;
pub(super) const CROSS: usize = 10;
pub(super) const OUT: usize = 11;
pub(super) const OUT_BIAS: usize = 12;
/// After all others, where there is one: the map from expression to a readout, and its constant.
pub(super) const HEAD: usize = 13;

/// Names of the parts, for programs that read the parameters.
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
    pub(super) width: usize,
    pub(super) outputs: usize,
    pub(super) coexpression: Sparse,
    coexpression_t: Sparse,
    pub(super) source: GeneInput<T>,
    layout: Layout,
    gene_mlp: NormedMlp,
    pub(super) decoder: OuterMlp,
    cross: NormedMlp,
    statistics: Statistics,
    /// Expression of the made-up genes in control, where a readout is a linear map of expression.
    pub(super) expression: Option<Vec<T>>,
    /// All parameters, part after part.
    pub parameters: Vec<T>,
}

/// What a training pass leaves for its derivative.
pub(super) struct Forward<T> {
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
    pub(super) delta: Array2<T>,
}

impl<T: Real> Net<T> {
    /// A network at its start: embeddings N(0, 1) brought to norm 1 at most, linear maps uniform in ±1/√inputs, the
    /// weights of single outputs as Xavier's normal start gives them for the shapes of the released code.
    pub fn new(outputs: usize, width: usize, coexpression: Sparse, source: GeneInput<T>, rng: &mut impl Rng) -> Self {
        let (learned, features) = match &source {
            GeneInput::Graph(g) => (g.dim().0, width),
            GeneInput::Features(x) => (0, x.ncols()),
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

    /// The same with a readout that is a linear map of all outputs, which are made-up genes: their expression in control is
    /// N(0, 1), the map starts uniform in ±1/√outputs.
    pub fn with_head(mut self, rng: &mut impl Rng) -> Self {
        let bound = 1.0 / (self.outputs as f64).sqrt();
        self.expression = Some((0..self.outputs).map(|_| T::of(StandardNormal.sample(rng))).collect());
        self.parameters.extend((0..self.outputs + 1).map(|_| T::of(rng.random_range(-bound..=bound))));
        self.layout.starts.push(self.parameters.len());
        self
    }

    /// Readouts from δ: δ itself, or the map of expression.
    pub(super) fn readouts(&self, delta: Array2<T>) -> Array2<T> {
        let Some(expression) = &self.expression else { return delta };
        let map = self.values(HEAD);
        let of = |d: ArrayView1<T>| {
            let sum = d.iter().zip(expression).zip(map).fold(T::zero(), |sum, ((d, x), a)| sum + *a * (*x + *d));
            sum + map[self.outputs]
        };
        delta.map_axis(Axis(1), of).insert_axis(Axis(1))
    }

    /// How many numbers a readout has.
    pub(super) fn n_readouts(&self) -> usize {
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
        let mlp = |x: &mut [T], shape: NormedMlp, rng: &mut dyn Rng| {
            let (first, rest) = x.split_at_mut(shape.inputs * shape.hidden);
            uniform(first, shape.inputs, rng);
            rest[..shape.hidden].fill(T::one());
            let (second, rest) = rest[2 * shape.hidden..].split_at_mut(shape.hidden * shape.outputs);
            uniform(second, shape.hidden, rng);
            rest[..shape.outputs].fill(T::one());
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

    pub(super) fn values(&self, part: usize) -> &[T] {
        &self.parameters[self.layout.part(part)]
    }

    /// Brings rows of embeddings that are longer than 1 to norm 1.
    pub(super) fn renormalise(&mut self) {
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
                GeneInput::Graph(a) => a.row(g.index()).map(|(c, v)| (c, T::of(v))).collect(),
                GeneInput::Features(_) => vec![(g.index(), T::one())],
            }
        };
        genes.iter().map(|genes| genes.iter().flat_map(of).collect()).collect()
    }

    /// Σ_v q_v of each perturbation, and what the map of q is applied to.
    fn source_path(&self, entries: &[Vec<(usize, T)>], orders: &[T]) -> (Array2<T>, Array2<T>) {
        let table = match &self.source {
            GeneInput::Graph(_) => rows(self.values(SOURCE), self.width),
            GeneInput::Features(x) => x.view(),
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
    pub(super) fn forward(
        &mut self,
        genes: &[&[Gene]],
        weights: &[T],
        samples: f64,
        pass: &mut OuterPass<T>,
    ) -> Forward<T> {
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
    pub(super) fn backward(
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
        if let GeneInput::Graph(_) = self.source {
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
    pub(super) fn outputs_for_prediction(&self) -> Array2<T> {
        self.gene_path(&Batch::Prediction, &mut self.statistics.clone()).0
    }

    /// Readouts and the cross-gene state of perturbations given by their genes, with the running statistics.
    pub(super) fn evaluate(&self, z: &Array2<T>, genes: &[&[Gene]]) -> (Array2<T>, Array2<T>) {
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
