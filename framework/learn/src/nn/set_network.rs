//! A network on sets of genes: what their effects alone say, and what learned embeddings of the genes add.
//!
//! f(S) = A(y_g: g in S) + B(Σ_{g in S} h(x_g)), after NAIAD (Qin et al.; `docs/design/naiad.md`). With D for dropout
//! before an activation, scaled by 1/(1 - p):
//!
//! A = w·gelu(D(y W1)) + b, or, deep, w·gelu(D(gelu(D(y W1)) W2)) + b: no biases inside, one number an effect, so that
//! its order counts. B = v·relu(D(s L3 + b3)) + c with s = Σ relu(x_g L1 + b1), or, lifted, s = Σ (relu(D(x_g L1 + b1)) L2
//! + b2). x_g is a row of a table of parameters, or a learned product of given features (tied).
//!
//! Sums of linear maps are linear maps of sums, so L2 L3 is one matrix while rows pass, and x_g L1 is computed once a
//! gene. Dropped units are found by drawing how many are kept before the next one: a tenth of the numbers at p = 0.1.
//! A step costs 6 rows x order x hidden (+ 6 rows x hidden² deep) + 6 (rows + genes) x width² operations and
//! rows x hidden normal distribution functions. Units are padded to a multiple of eight that stay 0. The same bits on
//! any number of threads: rows pass in tiles with streams of their own, whose gradients are added in order.

use super::fused::{WIDE, add_product, total};
use super::optimiser::Adam;
use numerics::Real;
use numerics::special::exp_f32;
use numerics::streams::{StreamRng, Streams};
use numerics::wide::madd;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use std::sync::Arc;

/// Rows of a tile: fixed, so that results do not depend on the number of threads.
const TILE: usize = 64;
/// Below this much work a step takes less time than handing its tiles to threads.
const SMALL: usize = 1 << 21;
/// Rows that are predicted in one piece.
const ROWS: usize = 1024;

/// f32 and f64, with the activation of the effects.
pub trait Lane: Real {
    /// z Φ(z) and its derivative, Φ the normal distribution function.
    fn gelu<const FMA: bool>(z: Self) -> (Self, Self);
}

impl Lane for f32 {
    /// Φ by 7.1.26 of Abramowitz & Stegun: absolute error below 2e-7.
    #[inline(always)]
    fn gelu<const FMA: bool>(z: f32) -> (f32, f32) {
        let c = -0.5 * z * z;
        let e = exp_f32::<FMA>(if c < -87.0 { -87.0 } else { c });
        let t = 1.0 / madd::<f32, FMA>(0.327_591_1, z.abs() * std::f32::consts::FRAC_1_SQRT_2, 1.0);
        let mut p = 1.061_405_4;
        for of in [-1.453_152, 1.421_413_8, -0.284_496_74, 0.254_829_6] {
            p = madd::<f32, FMA>(p, t, of);
        }
        let tail = 0.5 * p * t * e;
        let below = if z > 0.0 { 1.0 - tail } else { tail };
        (z * below, madd::<f32, FMA>(z * e, 0.398_942_3, below))
    }
}

impl Lane for f64 {
    #[inline(always)]
    fn gelu<const FMA: bool>(z: f64) -> (f64, f64) {
        let below = 0.5 * (1.0 + statrs::function::erf::erf(z * std::f64::consts::FRAC_1_SQRT_2));
        let density = (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt();
        (z * below, below + z * density)
    }
}

/// Sizes of a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SetForm {
    /// Effects that enter A: the most genes of a set.
    pub order: usize,
    /// Units of A.
    pub hidden: usize,
    /// Whether A has two hidden layers.
    pub deep: bool,
    /// Numbers of an embedding.
    pub width: usize,
    /// Whether genes pass dropout and a second linear layer before they are summed.
    pub lifted: bool,
}

impl SetForm {
    fn hidden_lanes(&self) -> usize {
        self.hidden.next_multiple_of(WIDE)
    }

    fn width_lanes(&self) -> usize {
        self.width.next_multiple_of(WIDE)
    }

    /// Numbers that training fits beside the table of embeddings.
    pub fn n_shared(&self) -> usize {
        let (h, p) = (self.hidden, self.width);
        let lifted = if self.lifted { p * p + p } else { 0 };
        self.order * h + if self.deep { h * h } else { 0 } + h + 1 + 2 * (p * p + p) + lifted + p + 1
    }

    fn at(&self) -> Places {
        let (h, p) = (self.hidden_lanes(), self.width_lanes());
        let mut end = 0;
        let mut next = |n: usize| {
            end += n;
            end - n
        };
        let w1 = next(self.order * h);
        let w2 = next(if self.deep { h * h } else { 0 });
        let out = next(h);
        let constants = next(WIDE);
        let (l1, b1) = (next(p * p), next(p));
        let (l2, b2) = if self.lifted { (next(p * p), next(p)) } else { (next(0), next(0)) };
        let (l3, b3, head) = (next(p * p), next(p), next(p));
        Places { w1, w2, out, constants, l1, b1, l2, b2, l3, b3, head, table: next(0) }
    }
}

/// Where the parts of the parameters begin.
#[derive(Clone, Copy)]
struct Places {
    w1: usize,
    w2: usize,
    out: usize,
    /// b and c.
    constants: usize,
    l1: usize,
    b1: usize,
    l2: usize,
    b2: usize,
    l3: usize,
    b3: usize,
    head: usize,
    table: usize,
}

/// Sets of genes with the effects of their members.
#[derive(Clone, Debug, Default)]
pub struct Sets<T> {
    /// Where the genes of each set begin; one number more than sets.
    pub start: Vec<usize>,
    /// Rows of the table of embeddings.
    pub genes: Vec<u32>,
    /// Sets x order, in the order in which they enter; 0 where a set has fewer genes.
    pub effects: Vec<T>,
}

impl<T> Sets<T> {
    /// Number of sets.
    pub fn len(&self) -> usize {
        self.start.len().saturating_sub(1)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Where embeddings come from.
#[derive(Clone, Debug)]
pub enum Table<T> {
    /// Each gene has its own; these are where they start: genes x width.
    Free(Vec<T>),
    /// Given features (genes x features) times a matrix that is learned.
    Tied {
        /// Features of all genes, one gene after another.
        features: Arc<Vec<T>>,
        /// Features of a gene.
        n: usize,
    },
}

/// A network and its parameters.
#[derive(Clone, Debug)]
pub struct SetNetwork<T> {
    /// Its sizes.
    pub form: SetForm,
    /// In the order of [`Places`]; then the table, or the matrix that features are multiplied with.
    values: Vec<T>,
    features: Option<(Arc<Vec<T>>, usize)>,
    genes: usize,
}

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

/// Draws how many units are kept before the next that is left out, by its distribution function in steps of 2⁻³².
struct Gaps {
    below: Vec<u32>,
    guide: Vec<u8>,
}

impl Gaps {
    const MOST: usize = 255;

    /// `None` where nothing is left out.
    fn new(dropout: f64) -> Option<Self> {
        let least = |k: usize| (1.0 - (1.0 - dropout).powi(k as i32 + 1)) * 4_294_967_296.0;
        let below: Vec<u32> = (0..Self::MOST).map(|k| least(k).round().min(4_294_967_295.0) as u32).collect();
        let first = |b: u32| below.partition_point(|v| *v <= b << 24).min(Self::MOST) as u8;
        let guide = (0..256).map(first).collect();
        (dropout > 0.0).then_some(Self { guide, below })
    }

    fn next(&self, rng: &mut StreamRng) -> usize {
        let mut kept = 0;
        loop {
            let u: u32 = rng.random();
            let mut k = usize::from(self.guide[(u >> 24) as usize]);
            while k < Self::MOST && u >= self.below[k] {
                k += 1;
            }
            kept += k;
            if k < Self::MOST {
                return kept;
            }
        }
    }

    /// Places left out among `n`.
    fn places(&self, n: usize, rng: &mut StreamRng, to: &mut Vec<u32>) {
        to.clear();
        let mut at = self.next(rng);
        while at < n {
            to.push(at as u32);
            at += 1 + self.next(rng);
        }
    }
}

/// What all rows of a step share.
struct Shared<'a, T> {
    form: SetForm,
    w1: &'a [T],
    w2: &'a [T],
    /// W2 transposed.
    w2_back: &'a [T],
    out: &'a [T],
    constants: &'a [T],
    /// L3, or L2 L3.
    encoder: &'a [T],
    /// Transposed.
    encoder_back: &'a [T],
    bias: &'a [T],
    /// b2 L3, added once a gene, where lifted.
    lift: &'a [T],
    head: &'a [T],
    /// relu(x L1 + b1) of all genes.
    units: &'a [T],
    /// 1/(1 - p).
    scale: T,
    /// The derivative of the loss by a prediction over the error.
    factor: T,
}

/// Rows of a batch on their way.
struct Tile<T> {
    rng: StreamRng,
    /// Places left out: first and second layer of A, genes, encoder.
    dropped: [Vec<u32>; 4],
    /// gelu and its slope, for each layer of A: rows x hidden.
    value: [Vec<T>; 2],
    slope: [Vec<T>; 2],
    signal: Vec<T>,
    /// Factors of the units of genes: occurrences x width.
    mask: Vec<T>,
    /// s, relu(D(z)), and the signals at z and s: rows x width.
    sums: Vec<T>,
    encoded: Vec<T>,
    at_code: Vec<T>,
    at_sums: Vec<T>,
    gradient: Vec<T>,
    squares: f64,
}

/// Where the gradients of a tile begin: W1, W2, w, constants, encoder, b3, the sum of signals a gene, v.
fn gradient_places(form: &SetForm) -> [usize; 9] {
    let (h, p) = (form.hidden_lanes(), form.width_lanes());
    let mut at = [0; 9];
    let sizes = [form.order * h, if form.deep { h * h } else { 0 }, h, WIDE, p * p, p, p, p];
    for (k, n) in sizes.iter().enumerate() {
        at[k + 1] = at[k] + n;
    }
    at
}

/// Rows of a tile: genes by `start`, effects, and what was measured.
struct Part<'a, T> {
    start: &'a [usize],
    genes: &'a [u32],
    effects: &'a [T],
    y: &'a [T],
}

impl<T> Part<'_, T> {
    fn genes(&self, r: usize) -> &[u32] {
        let base = self.start[0];
        &self.genes[self.start[r] - base..self.start[r + 1] - base]
    }
}

#[inline(always)]
fn dot<T: Real, const FMA: bool>(a: &[T], b: &[T]) -> T {
    let mut sum = [T::zero(); WIDE];
    for (a, b) in a.as_chunks::<WIDE>().0.iter().zip(b.as_chunks::<WIDE>().0) {
        for l in 0..WIDE {
            sum[l] = madd::<T, FMA>(a[l], b[l], sum[l]);
        }
    }
    total(sum)
}

/// `to` += s v.
#[inline(always)]
fn add<T: Real, const FMA: bool>(to: &mut [T], s: T, v: &[T]) {
    for (to, v) in to.as_chunks_mut::<WIDE>().0.iter_mut().zip(v.as_chunks::<WIDE>().0) {
        for l in 0..WIDE {
            to[l] = madd::<T, FMA>(s, v[l], to[l]);
        }
    }
}

/// Sums become gelu(scale · sum) with its slope; those left out become 0.
#[inline(always)]
fn activate<T: Lane, const FMA: bool>(z: &mut [T], slope: &mut [T], scale: T, dropped: &[u32]) {
    // One loop over all: cut into pieces of a register it would not become vector instructions.
    for (z, d) in z.iter_mut().zip(slope.iter_mut()) {
        let (g, s) = T::gelu::<FMA>(*z * scale);
        *z = g;
        *d = s * scale;
    }
    for &at in dropped {
        z[at as usize] = T::zero();
        slope[at as usize] = T::zero();
    }
}

#[inline(always)]
fn there_and_back<T: Lane, const FMA: bool>(n: &Shared<T>, part: &Part<T>, t: &mut Tile<T>) {
    let (h, p, k) = (n.form.hidden_lanes(), n.form.width_lanes(), n.form.order);
    let (hidden, width) = (n.form.hidden, n.form.width);
    let rows = part.y.len();
    let zero = T::zero();
    // A.
    let [value1, value2] = &mut t.value;
    let [slope1, slope2] = &mut t.slope;
    value1[..rows * h].fill(zero);
    add_product::<T, FMA>(value1, rows, h, part.effects, k, 1, n.w1, k);
    activate::<T, FMA>(&mut value1[..rows * h], &mut slope1[..rows * h], n.scale, &t.dropped[0]);
    if n.form.deep {
        value2[..rows * h].fill(zero);
        add_product::<T, FMA>(value2, rows, h, value1, h, 1, n.w2, hidden);
        activate::<T, FMA>(&mut value2[..rows * h], &mut slope2[..rows * h], n.scale, &t.dropped[1]);
    }
    // B: `mask` is `scale` where nothing is left out.
    for &at in &t.dropped[2] {
        t.mask[at as usize] = zero;
    }
    let mut occurrence = 0;
    for (r, (sums, code)) in t.sums.chunks_exact_mut(p).zip(t.encoded.chunks_exact_mut(p)).enumerate().take(rows) {
        sums.fill(zero);
        code.copy_from_slice(n.bias);
        for &g in part.genes(r) {
            let units = &n.units[g as usize * p..][..p];
            if n.form.lifted {
                let mask = &t.mask[occurrence * p..][..p];
                for ((s, u), m) in sums.iter_mut().zip(units).zip(mask) {
                    *s = madd::<T, FMA>(*m, *u, *s);
                }
                add::<T, FMA>(code, T::one(), n.lift);
                occurrence += 1;
            } else {
                add::<T, FMA>(sums, T::one(), units);
            }
        }
    }
    add_product::<T, FMA>(&mut t.encoded, rows, p, &t.sums, p, 1, n.encoder, width);
    let code = &mut t.encoded[..rows * p];
    code.iter_mut().for_each(|c| *c = if *c > zero { *c * n.scale } else { zero });
    for &at in &t.dropped[3] {
        code[at as usize] = zero;
    }
    // Errors and the way back.
    let at = gradient_places(&n.form);
    t.gradient.fill(zero);
    let (value, slope) = if n.form.deep { (value2, slope2) } else { (&mut *value1, &mut *slope1) };
    t.squares = 0.0;
    for r in 0..rows {
        let (value, slope) = (&value[r * h..][..h], &slope[r * h..][..h]);
        let code = &t.encoded[r * p..][..p];
        let effects = dot::<T, FMA>(value, n.out) + n.constants[0];
        let error = effects + dot::<T, FMA>(code, n.head) + n.constants[1] - part.y[r];
        t.squares += {
            let e: f64 = error.into();
            e * e
        };
        let g = n.factor * error;
        add::<T, FMA>(&mut t.gradient[at[2]..at[3]], g, value);
        t.gradient[at[3]] += g;
        t.gradient[at[3] + 1] += g;
        add::<T, FMA>(&mut t.gradient[at[7]..at[8]], g, code);
        for ((s, w), d) in t.signal[r * h..][..h].iter_mut().zip(n.out).zip(slope) {
            *s = g * *w * *d;
        }
        let of = &mut t.at_code[r * p..][..p];
        for ((s, v), c) in of.iter_mut().zip(n.head).zip(code) {
            *s = if *c > zero { g * *v * n.scale } else { zero };
        }
        let genes = T::of(part.genes(r).len() as f64);
        add::<T, FMA>(&mut t.gradient[at[5]..at[6]], T::one(), of);
        add::<T, FMA>(&mut t.gradient[at[6]..at[7]], genes, of);
    }
    add_product::<T, FMA>(&mut t.gradient[at[4]..at[5]], width, p, &t.sums, 1, p, &t.at_code, rows);
    t.at_sums[..rows * p].fill(zero);
    add_product::<T, FMA>(&mut t.at_sums, rows, p, &t.at_code, p, 1, n.encoder_back, width);
    if n.form.deep {
        add_product::<T, FMA>(&mut t.gradient[at[1]..at[2]], hidden, h, value1, 1, h, &t.signal, rows);
        // The second layer's values have served; the signal at the first layer takes their place.
        let back = &mut t.value[1];
        back[..rows * h].fill(zero);
        add_product::<T, FMA>(back, rows, h, &t.signal, h, 1, n.w2_back, hidden);
        for ((s, b), d) in t.signal[..rows * h].iter_mut().zip(back).zip(&t.slope[0]) {
            *s = *b * *d;
        }
    }
    add_product::<T, FMA>(&mut t.gradient[..at[1]], k, h, part.effects, 1, k, &t.signal, rows);
}

fused! {
    fn tile_step<T: Lane>(n: &Shared<T>, part: &Part<T>, t: &mut Tile<T>) = there_and_back
}

fused! {
    /// [`add_product`] for a whole matrix at once.
    fn product<T: Lane>(
        to: &mut [T],
        rows: usize,
        lanes: usize,
        s: &[T],
        s_row: usize,
        s_term: usize,
        v: &[T],
        terms: usize,
    ) = add_product
}

/// Signals at the units of genes: each occurrence gives what its set got, where it was not left out.
#[inline(always)]
fn to_genes<T: Lane, const FMA: bool>(form: &SetForm, part: &Part<T>, t: &Tile<T>, signals: &mut [T]) {
    let p = form.width_lanes();
    let mut occurrence = 0;
    for r in 0..part.y.len() {
        let from = &t.at_sums[r * p..][..p];
        for &g in part.genes(r) {
            let to = &mut signals[g as usize * p..][..p];
            if form.lifted {
                for ((to, from), m) in to.iter_mut().zip(from).zip(&t.mask[occurrence * p..][..p]) {
                    *to = madd::<T, FMA>(*m, *from, *to);
                }
                occurrence += 1;
            } else {
                add::<T, FMA>(to, T::one(), from);
            }
        }
    }
}

fused! {
    fn scatter<T: Lane>(form: &SetForm, part: &Part<T>, t: &Tile<T>, signals: &mut [T]) = to_genes
}

fn transpose<T: Real>(from: &[T], n: usize, to: &mut Vec<T>) {
    to.resize(n * n, T::zero());
    for (i, row) in from.chunks_exact(n).enumerate() {
        row.iter().enumerate().for_each(|(j, v)| to[j * n + i] = *v);
    }
}

impl<T: Lane> SetNetwork<T> {
    /// Weights and biases uniform in ±1/√inputs of their layer, as PyTorch's Linear; a learned matrix of tied embeddings
    /// standard normal over √features.
    pub fn new(form: SetForm, genes: usize, table: Table<T>, rng: &mut StreamRng) -> Self {
        assert!(form.order > 0 && form.hidden > 0 && form.width > 0, "sizes of a network");
        let (h, p, at) = (form.hidden_lanes(), form.width_lanes(), form.at());
        let mut values = vec![T::zero(); at.table];
        let mut fill = |from: usize, rows: usize, lanes: usize, units: usize, inputs: usize| {
            let bound = (inputs as f64).sqrt().recip();
            for row in values[from..from + rows * lanes].chunks_exact_mut(lanes) {
                row[..units].iter_mut().for_each(|v| *v = T::of(rng.random_range(-bound..=bound)));
            }
        };
        let (k, hidden, width) = (form.order, form.hidden, form.width);
        fill(at.w1, k, h, hidden, k);
        if form.deep {
            fill(at.w2, hidden, h, hidden, hidden);
        }
        fill(at.out, 1, h, hidden, hidden);
        fill(at.constants, 1, 1, 1, hidden);
        fill(at.constants + 1, 1, 1, 1, width);
        let mut linear = |l: usize, b: usize| {
            fill(l, width, p, width, width);
            fill(b, 1, p, width, width);
        };
        linear(at.l1, at.b1);
        if form.lifted {
            linear(at.l2, at.b2);
        }
        linear(at.l3, at.b3);
        fill(at.head, 1, p, width, width);
        let features = match table {
            Table::Free(start) => {
                assert_eq!(start.len(), genes * width, "an embedding for each gene");
                for row in start.chunks_exact(width) {
                    values.extend_from_slice(row);
                    values.resize(values.len() + p - width, T::zero());
                }
                None
            }
            Table::Tied { features, n } => {
                assert_eq!(features.len(), genes * n, "features of each gene");
                let scale = (n as f64).sqrt().recip();
                for _ in 0..n {
                    let draw = |_| T::of(scale * Distribution::<f64>::sample(&StandardNormal, rng));
                    values.extend((0..width).map(draw));
                    values.resize(values.len() + p - width, T::zero());
                }
                Some((features, n))
            }
        };
        Self { form, values, features, genes }
    }

    /// Numbers that training fits.
    pub fn n_parameters(&self) -> usize {
        let rows = self.features.as_ref().map_or(self.genes, |(_, n)| *n);
        self.form.n_shared() + rows * self.form.width
    }

    /// Whether every parameter is a finite number; training that diverges ends otherwise.
    pub fn is_finite(&self) -> bool {
        self.values.iter().all(|v| v.is_finite())
    }

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

    /// x L1 + b1 with negative numbers made 0, of some embeddings (rows x width, padded).
    fn units(form: &SetForm, values: &[T], embeddings: &[T], to: &mut Vec<T>) {
        let (p, at) = (form.width_lanes(), form.at());
        let rows = embeddings.len() / p;
        to.clear();
        (0..rows).for_each(|_| to.extend_from_slice(&values[at.b1..at.b1 + p]));
        product(to, rows, p, embeddings, p, 1, &values[at.l1..], form.width);
        to.iter_mut().for_each(|u| *u = if *u > T::zero() { *u } else { T::zero() });
    }

    /// Embeddings of some genes (rows x width, padded).
    fn embeddings(&self, genes: impl Iterator<Item = usize>) -> Vec<T> {
        let (p, table) = (self.form.width_lanes(), &self.values[self.form.at().table..]);
        match &self.features {
            None => genes.flat_map(|g| &table[g * p..(g + 1) * p]).copied().collect(),
            Some((features, n)) => {
                let mut out = vec![];
                for g in genes {
                    let from = out.len();
                    out.resize(from + p, T::zero());
                    product(&mut out[from..], 1, p, &features[g * n..(g + 1) * n], *n, 1, table, *n);
                }
                out
            }
        }
    }

    /// Ready to predict, without dropout.
    pub fn ready(&self) -> Ready<T> {
        let (form, at, p) = (self.form, self.form.at(), self.form.width_lanes());
        let v = &self.values;
        let (encoder, bias, lift) = encoder(&form, v);
        // A set's sums pass the encoder gene by gene.
        let mut units = vec![];
        let mut coded = vec![];
        for from in (0..self.genes).step_by(ROWS) {
            let to = (from + ROWS).min(self.genes);
            Self::units(&form, v, &self.embeddings(from..to), &mut units);
            let first = coded.len();
            (from..to).for_each(|_| coded.extend_from_slice(&lift));
            product(&mut coded[first..], to - from, p, &units, p, 1, &encoder, form.width);
        }
        Ready {
            form,
            w1: v[at.w1..at.w2].to_vec(),
            w2: v[at.w2..at.out].to_vec(),
            out: v[at.out..at.constants].to_vec(),
            constant: v[at.constants] + v[at.constants + 1],
            coded,
            bias,
            head: v[at.head..at.table].to_vec(),
        }
    }
}

/// L3 or L2 L3, b3, and b2 L3 (zeros where not lifted).
fn encoder<T: Lane>(form: &SetForm, v: &[T]) -> (Vec<T>, Vec<T>, Vec<T>) {
    let (p, at) = (form.width_lanes(), form.at());
    let bias = v[at.b3..at.b3 + p].to_vec();
    let l3 = &v[at.l3..at.l3 + p * p];
    let mut lift = vec![T::zero(); p];
    if !form.lifted {
        return (l3.to_vec(), bias, lift);
    }
    let mut both = vec![T::zero(); p * p];
    product(&mut both, form.width, p, &v[at.l2..], p, 1, l3, form.width);
    product(&mut lift, 1, p, &v[at.b2..], p, 1, l3, form.width);
    (both, bias, lift)
}

/// A network that predicts.
#[derive(Clone, Debug)]
pub struct Ready<T> {
    /// Its sizes.
    pub form: SetForm,
    w1: Vec<T>,
    w2: Vec<T>,
    out: Vec<T>,
    constant: T,
    /// Of each gene, what it adds to the sums of the encoder.
    coded: Vec<T>,
    bias: Vec<T>,
    head: Vec<T>,
}

/// gelu of sums in place.
#[inline(always)]
fn values_only<T: Lane, const FMA: bool>(z: &mut [T]) {
    z.iter_mut().for_each(|z| *z = T::gelu::<FMA>(*z).0);
}

#[inline(always)]
fn of_effects<T: Lane, const FMA: bool>(n: &Ready<T>, effects: &[T], work: &mut [Vec<T>; 2], to: &mut [T]) {
    let (h, k, rows) = (n.form.hidden_lanes(), n.form.order, to.len());
    let [first, second] = work;
    first.clear();
    first.resize(rows * h, T::zero());
    add_product::<T, FMA>(first, rows, h, effects, k, 1, &n.w1, k);
    values_only::<T, FMA>(first);
    if n.form.deep {
        second.clear();
        second.resize(rows * h, T::zero());
        add_product::<T, FMA>(second, rows, h, first, h, 1, &n.w2, n.form.hidden);
        values_only::<T, FMA>(second);
        std::mem::swap(first, second);
    }
    for (to, value) in to.iter_mut().zip(first.chunks_exact(h)) {
        *to += dot::<T, FMA>(value, &n.out);
    }
}

fused! {
    fn effects_part<T: Lane>(n: &Ready<T>, effects: &[T], work: &mut [Vec<T>; 2], to: &mut [T]) = of_effects
}

#[inline(always)]
fn of_genes<T: Lane, const FMA: bool>(n: &Ready<T>, genes: &[u32], code: &mut [T]) -> T {
    let p = n.form.width_lanes();
    code.copy_from_slice(&n.bias);
    for &g in genes {
        add::<T, FMA>(code, T::one(), &n.coded[g as usize * p..][..p]);
    }
    code.iter_mut().for_each(|c| *c = if *c > T::zero() { *c } else { T::zero() });
    dot::<T, FMA>(code, &n.head) + n.constant
}

fused! {
    fn genes_part<T: Lane>(n: &Ready<T>, genes: &[u32], code: &mut [T]) -> T = of_genes
}

impl<T: Lane> Ready<T> {
    /// A of effects (rows x order) is added to `to`; with the last units of A left in `work[0]` (rows x padded units).
    pub fn effects(&self, effects: &[T], work: &mut [Vec<T>; 2], to: &mut [T]) {
        effects_part(self, effects, work, to);
    }

    /// B of a set and all constants; `code` takes the last units of B (as many as [`Ready::code`] says).
    pub fn genes(&self, genes: &[u32], code: &mut [T]) -> T {
        genes_part(self, genes, code)
    }

    /// Numbers that [`Ready::genes`] writes, of which the first `width` are units.
    pub fn code(&self) -> usize {
        self.form.width_lanes()
    }

    /// Numbers of a row that [`Ready::effects`] leaves behind, of which the first `hidden` are units.
    pub fn units(&self) -> usize {
        self.form.hidden_lanes()
    }
}

/// A network on its way: genes of the data numbered anew, so that others cost nothing.
struct Training<'a, T> {
    network: &'a mut SetNetwork<T>,
    /// Gene of each row of the table at hand.
    used: Vec<usize>,
    start: &'a [usize],
    genes: Vec<u32>,
    effects: &'a [T],
    /// Parameters as in the network, the table that of the genes used.
    values: Vec<T>,
    gradient: Vec<T>,
    adam: Adam<T>,
    features: Option<Vec<T>>,
    embeddings: Vec<T>,
    units: Vec<T>,
    signals: Vec<T>,
    tiles: Vec<Tile<T>>,
    gaps: Option<Gaps>,
    dropout: f64,
    mean_loss: bool,
    /// W2, encoder, L1 and L3 transposed.
    turned: [Vec<T>; 4],
}

impl<'a, T: Lane> Training<'a, T> {
    fn new(network: &'a mut SetNetwork<T>, sets: &'a Sets<T>, how: &SetTraining, streams: &Streams) -> Self {
        let (form, at) = (network.form, network.form.at());
        let (h, p) = (form.hidden_lanes(), form.width_lanes());
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
            let deep = if form.deep { rows * h } else { 0 };
            Tile {
                rng: streams.index(t).rng("dropout"),
                dropped: Default::default(),
                value: [zeros(rows * h), zeros(deep)],
                slope: [zeros(rows * h), zeros(deep)],
                signal: zeros(rows * h),
                mask: vec![scale; if form.lifted { rows * most * p } else { 0 }],
                sums: zeros(rows * p),
                encoded: zeros(rows * p),
                at_code: zeros(rows * p),
                at_sums: zeros(rows * p),
                gradient: zeros(gradient_places(&form)[8]),
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
    fn gradient(&mut self, y: &[T], rows: std::ops::Range<usize>) -> f64 {
        let (form, at) = (self.network.form, self.network.form.at());
        let (h, p) = (form.hidden_lanes(), form.width_lanes());
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
        SetNetwork::units(&form, v, &self.embeddings, &mut self.units);
        let (encoder, bias, lift) = encoder(&form, v);
        let [w2_back, encoder_back, l1_back, l3_back] = &mut self.turned;
        if form.deep {
            transpose(&v[at.w2..at.out], h, w2_back);
        }
        transpose(&encoder, p, encoder_back);
        transpose(&v[at.l1..at.b1], p, l1_back);
        transpose(&v[at.l3..at.b3], p, l3_back);
        let factor = if self.mean_loss { 2.0 / rows.len() as f64 } else { 2.0 };
        let shared = Shared {
            form,
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
                effects: &effects[from * form.order..to * form.order],
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
                let occurrences = if form.lifted { part.genes.len() } else { 0 };
                let sizes = [n * h, if form.deep { n * h } else { 0 }, occurrences * p, n * p];
                for (to, n) in tile.dropped.iter_mut().zip(sizes) {
                    gaps.places(n, &mut tile.rng, to);
                }
            }
            tile_step(&shared, &part, tile);
        };
        let work = rows.len() * h * (20 + if form.deep { 6 * h } else { 0 });
        if tiles.len() < 2 || work < SMALL {
            tiles.iter_mut().enumerate().for_each(run);
        } else {
            tiles.par_iter_mut().enumerate().for_each(run);
        }
        // The gradients of what all rows share, in the order of the tiles.
        let places = gradient_places(&form);
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
        if form.lifted {
            product(&mut g[at.l2..at.b2], form.width, p, by_encoder, p, 1, l3_back, form.width);
            product(&mut g[at.b2..at.b2 + p], 1, p, by_gene, p, 1, l3_back, form.width);
            product(&mut g[at.l3..at.b3], form.width, p, &v[at.l2..], 1, p, by_encoder, form.width);
            product(&mut g[at.l3..at.b3], form.width, p, &v[at.b2..], 1, 1, by_gene, 1);
        } else {
            g[at.l3..at.b3].copy_from_slice(by_encoder);
        }
        self.signals.clear();
        self.signals.resize(self.used.len() * p, T::zero());
        for (t, tile) in self.tiles[..rows.len().div_ceil(TILE)].iter().enumerate() {
            scatter(&form, &part(t), tile, &mut self.signals);
        }
        for (s, u) in self.signals.iter_mut().zip(&self.units) {
            *s = if *u > T::zero() { *s } else { T::zero() };
        }
        product(&mut g[at.l1..at.b1], form.width, p, &self.embeddings, 1, p, &self.signals, self.used.len());
        for s in self.signals.chunks_exact(p) {
            g[at.b1..at.b1 + p].iter_mut().zip(s).for_each(|(g, s)| *g += *s);
        }
        match &self.features {
            None => product(&mut g[at.table..], self.used.len(), p, &self.signals, p, 1, l1_back, form.width),
            Some(f) => {
                // The signals at the embeddings take their place.
                let e = &mut self.embeddings;
                e.fill(T::zero());
                product(e, self.used.len(), p, &self.signals, p, 1, l1_back, form.width);
                product(&mut g[at.table..], n_features, p, f, 1, n_features, e, self.used.len());
            }
        }
        self.tiles[..rows.len().div_ceil(TILE)].iter().map(|t| t.squares).sum()
    }

    fn finish(self) {
        let (p, at) = (self.network.form.width_lanes(), self.network.form.at());
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

#[cfg(test)]
mod tests {
    use super::*;

    fn forms() -> Vec<SetForm> {
        let form = |deep, lifted| SetForm { order: 3, hidden: 11, deep, width: 5, lifted };
        vec![form(false, false), form(true, true), form(false, true), form(true, false)]
    }

    /// 150 sets of one to three of nine genes (gene 4 in none), effects in order, 0 where genes lack.
    fn data() -> (Sets<f64>, Vec<f64>) {
        let mut rng = Streams::new(5).rng("data");
        let mut sets = Sets { start: vec![0], ..Sets::default() };
        let mut y = vec![];
        for i in 0..150 {
            let n = 1 + i % 3;
            for place in 0..3 {
                if place < n {
                    let g = rng.random_range(0..8u32);
                    sets.genes.push(if g < 4 { g } else { g + 1 });
                }
                sets.effects.push(if place < n { rng.random_range(-1.0..1.0) } else { 0.0 });
            }
            sets.start.push(sets.genes.len());
            y.push(rng.random_range(-1.0..1.0));
        }
        (sets, y)
    }

    fn network(form: SetForm, tied: bool) -> SetNetwork<f64> {
        let mut rng = Streams::new(1).rng("start");
        let mut draw = |n: usize| -> Vec<f64> { (0..n).map(|_| StandardNormal.sample(&mut rng)).collect() };
        let table = if tied {
            Table::Tied { features: Arc::new(draw(9 * 4)), n: 4 }
        } else {
            Table::Free(draw(9 * form.width))
        };
        SetNetwork::new(form, 9, table, &mut Streams::new(2).rng("start"))
    }

    fn training(dropout: f64, batch: usize) -> SetTraining {
        SetTraining { epochs: 1, batch, rate: 0.01, last_rate: 0.1, dropout, l2: 0.0, mean: false }
    }

    /// What a set gets by the definition, layer by layer; `kept(kind, place)` is 0 or 1/(1 - p).
    fn plain(
        n: &SetNetwork<f64>,
        values: &[f64],
        sets: &Sets<f64>,
        i: usize,
        kept: &dyn Fn(usize, usize) -> f64,
    ) -> f64 {
        let (f, at) = (n.form, n.form.at());
        let (h, p) = (f.hidden_lanes(), f.width_lanes());
        let gelu = |z: f64| 0.5 * z * (1.0 + statrs::function::erf::erf(z / 2f64.sqrt()));
        let genes = &sets.genes[sets.start[i]..sets.start[i + 1]];
        let y = &sets.effects[i * f.order..][..f.order];
        let mut a: Vec<f64> = (0..f.hidden)
            .map(|u| {
                let z: f64 = y.iter().enumerate().map(|(k, y)| y * values[at.w1 + k * h + u]).sum();
                gelu(kept(0, u) * z)
            })
            .collect();
        if f.deep {
            a = (0..f.hidden)
                .map(|u| {
                    let z: f64 = a.iter().enumerate().map(|(k, a)| a * values[at.w2 + k * h + u]).sum();
                    gelu(kept(1, u) * z)
                })
                .collect();
        }
        let mut sums = vec![0.0; f.width];
        for (o, &g) in genes.iter().enumerate() {
            let x: Vec<f64> = match &n.features {
                None => (0..f.width).map(|l| values[at.table + g as usize * p + l]).collect(),
                Some((of, d)) => (0..f.width)
                    .map(|l| (0..*d).map(|j| of[g as usize * d + j] * values[at.table + j * p + l]).sum())
                    .collect(),
            };
            let linear = |x: &[f64], w: usize, b: usize, u: usize| {
                values[b + u] + x.iter().enumerate().map(|(j, x)| x * values[w + j * p + u]).sum::<f64>()
            };
            let units: Vec<f64> = (0..f.width)
                .map(|u| linear(&x, at.l1, at.b1, u).max(0.0) * if f.lifted { kept(2, o * p + u) } else { 1.0 })
                .collect();
            for (u, s) in sums.iter_mut().enumerate() {
                *s += if f.lifted { linear(&units, at.l2, at.b2, u) } else { units[u] };
            }
        }
        let code = (0..f.width).map(|u| {
            let z = values[at.b3 + u] + (0..f.width).map(|j| sums[j] * values[at.l3 + j * p + u]).sum::<f64>();
            kept(3, u) * z.max(0.0)
        });
        let out: f64 = a.iter().enumerate().map(|(u, a)| a * values[at.out + u]).sum();
        out + values[at.constants]
            + values[at.constants + 1]
            + code.enumerate().map(|(u, c)| c * values[at.head + u]).sum::<f64>()
    }

    /// The loss of all rows with the masks that the tiles drew.
    fn plain_loss(t: &Training<f64>, sets: &Sets<f64>, values: &[f64], y: &[f64], dropout: f64) -> f64 {
        let (h, p) = (t.network.form.hidden_lanes(), t.network.form.width_lanes());
        let scale = 1.0 / (1.0 - dropout);
        (0..y.len())
            .map(|i| {
                let tile = &t.tiles[i / TILE];
                let r = i % TILE;
                let first = sets.start[i] - sets.start[i / TILE * TILE];
                let kept = |kind: usize, place: usize| {
                    let at = match kind {
                        0 | 1 => r * h + place,
                        2 => first * p + place,
                        _ => r * p + place,
                    };
                    if tile.dropped[kind].contains(&(at as u32)) { 0.0 } else { scale }
                };
                (plain(t.network, values, sets, i, &kept) - y[i]).powi(2)
            })
            .sum()
    }

    #[test]
    fn gradients_are_those_of_the_loss_with_its_masks() {
        let (sets, y) = data();
        for (f, tied) in forms().into_iter().flat_map(|f| [(f, false), (f, true)]) {
            let mut n = network(f, tied);
            let whole = n.values.clone();
            let dropout = 0.3;
            let mut t = Training::new(&mut n, &sets, &training(dropout, 150), &Streams::new(3));
            // The second time, masks of the first must have gone.
            t.gradient(&y, 0..150);
            let loss = t.gradient(&y, 0..150);
            assert!((loss / plain_loss(&t, &sets, &whole, &y, dropout) - 1.0).abs() < 1e-12);
            assert!(t.tiles.iter().all(|t| t.dropped[0].len() > 100 && t.dropped[3].len() > 30));
            let at = f.at();
            // From the place among the genes used to that among all.
            let p = f.width_lanes();
            let full = |k: usize| match (k.checked_sub(at.table), tied) {
                (Some(k), false) => at.table + t.used[k / p] * p + k % p,
                _ => k,
            };
            let mut checked = 0;
            for k in 0..t.gradient.len() {
                let mut v = whole.clone();
                let mut by = |h: f64| {
                    v[full(k)] = whole[full(k)] + h;
                    plain_loss(&t, &sets, &v, &y, dropout)
                };
                // A kink of a ReLU between the two points would be a wrong answer of the check, not of the gradient.
                let want = (by(1e-6) - by(-1e-6)) / 2e-6;
                let got = t.gradient[k];
                if got == 0.0 && want == 0.0 {
                    continue;
                }
                checked += 1;
                assert!((got - want).abs() < 1e-5 * want.abs().max(1.0), "{f:?} tied {tied}, {k}: {got} {want}");
            }
            let used = if tied { 4 } else { t.used.len() };
            // Units whose ReLU is off everywhere have no gradient.
            assert!(checked > (f.n_shared() + used * f.width) * 2 / 3, "{checked} of {}", f.n_shared());
        }
    }

    #[test]
    fn losses_follow_an_independent_training() {
        let (sets, y) = data();
        for (f, tied) in [(forms()[0], false), (forms()[1], true)] {
            let f = SetForm { hidden: 3, width: 2, ..f };
            let mut n = network(f, tied);
            let mut v = n.values.clone();
            let how = SetTraining { epochs: 6, ..training(0.0, 100) };
            // Adam by its definition on numerical gradients, two batches an epoch, in the order of the rows.
            let (mut m, mut s) = (vec![0.0; v.len()], vec![0.0; v.len()]);
            let mut want = vec![];
            let error = |v: &[f64], i: usize| (plain(&n, v, &sets, i, &|_, _| 1.0) - y[i]).powi(2);
            let mut step = 0i32;
            for _ in 0..6 {
                let mut squares = 0.0;
                for rows in [0..100, 100..150] {
                    let loss = |v: &[f64]| rows.clone().map(|i| error(v, i)).sum::<f64>();
                    squares += loss(&v);
                    let g: Vec<f64> = (0..v.len())
                        .map(|k| {
                            let mut by = v.clone();
                            by[k] += 1e-5;
                            let up = loss(&by);
                            by[k] -= 2e-5;
                            (up - loss(&by)) / 2e-5
                        })
                        .collect();
                    // Twelve steps: a rise over 1.2 of them, then a line down to a tenth.
                    let s0 = f64::from(step);
                    let share: f64 =
                        if s0 < 1.2 { ((s0 + 1.0) / 1.2f64).min(1.0) } else { 0.1 + 0.9 * (12.0 - s0) / 10.8 };
                    step += 1;
                    for k in 0..v.len() {
                        m[k] = 0.9 * m[k] + 0.1 * g[k];
                        s[k] = 0.999 * s[k] + 0.001 * g[k] * g[k];
                        let (m, s) = (m[k] / (1.0 - 0.9f64.powi(step)), s[k] / (1.0 - 0.999f64.powi(step)));
                        v[k] -= 0.01 * share * m / (s.sqrt() + 1e-8);
                    }
                }
                want.push(squares / 150.0);
            }
            let got = n.train(&sets, &y, &how, &Streams::new(3));
            for (g, w) in got.iter().zip(&want) {
                assert!((g / w - 1.0).abs() < 1e-5, "{got:?} {want:?}");
            }
        }
    }

    #[test]
    fn predictions_are_those_of_the_definition() {
        let (sets, _) = data();
        for (f, tied) in forms().into_iter().flat_map(|f| [(f, false), (f, true)]) {
            let n = network(f, tied);
            let ready = n.ready();
            let mut out = vec![0.0; sets.len()];
            ready.effects(&sets.effects, &mut Default::default(), &mut out);
            let mut code = vec![0.0; ready.code()];
            for (i, out) in out.iter_mut().enumerate() {
                *out += ready.genes(&sets.genes[sets.start[i]..sets.start[i + 1]], &mut code);
                let want = plain(&n, &n.values, &sets, i, &|_, _| 1.0);
                assert!((*out - want).abs() < 1e-12, "{out} {want}");
            }
        }
    }

    #[test]
    fn single_precision_learns_and_threads_do_not_matter() {
        let (sets, y) = data();
        let single = Sets {
            start: sets.start.clone(),
            genes: sets.genes.clone(),
            effects: sets.effects.iter().map(|v| *v as f32).collect(),
        };
        let y: Vec<f32> = y.iter().map(|v| *v as f32).collect();
        // Large enough for several threads.
        let f = SetForm { order: 3, hidden: 128, deep: true, width: 8, lifted: true };
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut rng = Streams::new(1).rng("start");
                let start = (0..9 * 8).map(|_| Distribution::<f64>::sample(&StandardNormal, &mut rng) as f32).collect();
                let mut n = SetNetwork::<f32>::new(f, 9, Table::Free(start), &mut rng);
                let how = SetTraining { epochs: 60, ..training(0.1, 150) };
                let losses = n.train(&single, &y, &how, &Streams::new(3));
                (losses, n.values)
            })
        };
        let (losses, values) = run(1);
        assert!(losses[59] < 0.8 * losses[0], "{losses:?}");
        assert_eq!((losses, values), run(3));
    }

    #[test]
    fn the_activation_in_single_precision() {
        for i in -3000..=3000 {
            let z = f64::from(i) * 0.005;
            let (g, d) = f64::gelu::<false>(z);
            for (h, s) in [f32::gelu::<false>(z as f32), f32::gelu::<true>(z as f32)] {
                assert!((f64::from(h) - g).abs() < 4e-7 * z.abs().max(1.0), "{z}: {h} {g}");
                assert!((f64::from(s) - d).abs() < 1e-6, "{z}: {s} {d}");
            }
        }
        assert!(f32::gelu::<false>(f32::NAN).0.is_nan());
    }

    #[test]
    fn units_are_left_out_at_their_share_and_independently() {
        for dropout in [0.1, 0.5, 0.004] {
            let gaps = Gaps::new(dropout).unwrap();
            let mut rng = Streams::new(1).rng("gaps");
            let (n, mut places, mut count, mut twice) = (400_000usize, vec![], 0usize, 0usize);
            gaps.places(n, &mut rng, &mut places);
            count += places.len();
            twice += places.windows(2).filter(|w| w[1] == w[0] + 1).count();
            let sd = (n as f64 * dropout * (1.0 - dropout)).sqrt();
            assert!((count as f64 - n as f64 * dropout).abs() < 4.0 * sd, "{count} at {dropout}");
            let pairs = n as f64 * dropout * dropout;
            assert!((twice as f64 - pairs).abs() < 5.0 * pairs.sqrt() + 1.0, "{twice} for {pairs}");
        }
        assert!(Gaps::new(0.0).is_none());
    }

    #[test]
    fn the_rate_rises_and_falls_along_lines() {
        let of = |s| rate_share(s, 100, 0.1);
        assert!((of(0) - 0.1).abs() < 1e-12 && (of(9) - 1.0).abs() < 1e-12 && (of(10) - 1.0).abs() < 1e-12);
        assert!((of(55) - 0.55).abs() < 1e-12 && (of(99) - (0.1 + 0.9 / 90.0)).abs() < 1e-12);
        assert_eq!(rate_share(0, 1, 0.0), 1.0);
    }

    #[test]
    fn parameters_are_counted() {
        // 2 x 64 + 64 + 1, 2 x (16² + 16) + 16 + 1, embeddings 112 x 16.
        let f = SetForm { order: 2, hidden: 64, deep: false, width: 16, lifted: false };
        assert_eq!(f.n_shared(), 193 + 544 + 17);
        let n = SetNetwork::new(f, 112, Table::Free(vec![0.0f64; 112 * 16]), &mut Streams::new(1).rng("start"));
        assert_eq!(n.n_parameters(), 193 + 544 + 17 + 1792);
        // 64² more with two layers, 16² + 16 more where genes are lifted.
        let code = SetForm { deep: true, lifted: true, ..f };
        assert_eq!(code.n_shared(), f.n_shared() + 4096 + 272);
    }
}
