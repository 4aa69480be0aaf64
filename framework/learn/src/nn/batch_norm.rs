//! Batch normalisation (Ioffe & Szegedy 2015) over weighted rows, and the small perceptrons made of it.
//!
//! Where several samples of a batch share a row, the row enters once with its share w of the samples (Σw = 1):
//! mean Σwx, variance Σw(x - mean)², the same as over the samples. y = γx̂ + β with x̂ = (x - mean)/√(variance + ε).
//! With G the derivative of the loss by y, summed over the samples of a row, that by x is
//! γ(G - wΣG - wx̂ΣGx̂)/√(variance + ε), and those by γ and β are ΣGx̂ and ΣG. Running statistics are those of
//! PyTorch: momentum 0.1, the variance of the samples with divisor n - 1.

use ndarray::{Array2, ArrayView2, Axis};
use numerics::Real;
use numerics::linalg::product;

/// Added to variances.
pub const EPSILON: f64 = 1e-5;
/// Share of a new batch in the running statistics.
const MOMENTUM: f64 = 0.1;

/// Mean and variance of each column.
#[derive(Clone, Debug, Default)]
pub struct Moments {
    /// Weight of the rows so far.
    weight: f64,
    /// Mean of each column.
    pub mean: Vec<f64>,
    /// Sum of weighted squares about the mean.
    squares: Vec<f64>,
}

impl Moments {
    /// Of no row.
    pub fn new(width: usize) -> Self {
        Self { weight: 0.0, mean: vec![0.0; width], squares: vec![0.0; width] }
    }

    /// Of the rows of `x` with their weights.
    pub fn of<T: Real>(x: ArrayView2<T>, weights: &[T]) -> Self {
        let mut out = Self::new(x.ncols());
        for (row, w) in x.outer_iter().zip(weights) {
            let w: f64 = (*w).into();
            out.weight += w;
            out.mean.iter_mut().zip(row).for_each(|(m, x)| *m += w * (*x).into());
        }
        out.mean.iter_mut().for_each(|m| *m /= out.weight);
        for (row, w) in x.outer_iter().zip(weights) {
            let w: f64 = (*w).into();
            out.squares.iter_mut().zip(row).zip(&out.mean).for_each(|((s, x), m)| *s += w * ((*x).into() - m).powi(2));
        }
        out
    }

    /// Takes in rows of `weight` in all, given by their mean and their mean square about it.
    pub fn add<T: Real>(&mut self, weight: f64, mean: &[T], variance: &[T]) {
        let all = self.weight + weight;
        let (share, between) = (weight / all, self.weight * weight / all);
        let own = self.mean.iter_mut().zip(&mut self.squares);
        for ((m, s), (mean, variance)) in own.zip(mean.iter().zip(variance)) {
            let apart = (*mean).into() - *m;
            *m += share * apart;
            *s += weight * (*variance).into() + between * apart * apart;
        }
        self.weight = all;
    }

    /// Takes in the rows of another.
    pub fn merge(&mut self, other: &Moments) {
        if other.weight > 0.0 {
            let variance: Vec<f64> = other.squares.iter().map(|s| s / other.weight).collect();
            self.add(other.weight, &other.mean, &variance);
        }
    }

    /// Of the sums of every row of one table with every row of another.
    pub fn sum(a: &Moments, b: &Moments) -> Self {
        let add = |a: &[f64], b: &[f64], (of_a, of_b): (f64, f64)| -> Vec<f64> {
            a.iter().zip(b).map(|(a, b)| a / of_a + b / of_b).collect()
        };
        Self {
            weight: 1.0,
            mean: add(&a.mean, &b.mean, (1.0, 1.0)),
            squares: add(&a.squares, &b.squares, (a.weight, b.weight)),
        }
    }

    /// What normalises by them.
    pub fn norm<T: Real>(&self) -> Norm<T> {
        let variance = self.squares.iter().map(|s| s / self.weight);
        Norm::new(&self.mean, &variance.collect::<Vec<_>>())
    }
}

/// Mean and inverse standard deviation of each column.
#[derive(Clone, Debug)]
pub struct Norm<T> {
    /// Mean.
    pub mean: Vec<T>,
    /// 1/√(variance + ε).
    pub inverse: Vec<T>,
}

impl<T: Real> Norm<T> {
    /// Of a mean and a variance.
    pub fn new(mean: &[f64], variance: &[f64]) -> Self {
        Self {
            mean: mean.iter().map(|m| T::of(*m)).collect(),
            inverse: variance.iter().map(|v| T::of(1.0 / (v + EPSILON).sqrt())).collect(),
        }
    }

    /// y = scale x + shift for each column.
    pub fn affine(&self, gamma: &[T], beta: &[T]) -> (Vec<T>, Vec<T>) {
        let scale: Vec<T> = self.inverse.iter().zip(gamma).map(|(i, g)| *i * *g).collect();
        let shift = scale.iter().zip(&self.mean).zip(beta).map(|((s, m), b)| *b - *m * *s).collect();
        (scale, shift)
    }

    /// γx̂ + β of all rows.
    pub fn apply(&self, x: ArrayView2<T>, gamma: &[T], beta: &[T]) -> Array2<T> {
        let (scale, shift) = self.affine(gamma, beta);
        let mut out = x.to_owned();
        for mut row in out.outer_iter_mut() {
            row.iter_mut().zip(scale.iter().zip(&shift)).for_each(|(x, (s, t))| *x = *x * *s + *t);
        }
        out
    }

    /// From the derivative by y, in place, to that by x, which entered with these statistics of its own; adds to
    /// the derivatives by γ and β.
    pub fn backward(
        &self,
        signal: &mut Array2<T>,
        x: ArrayView2<T>,
        weights: &[T],
        gamma: &[T],
        d_gamma: &mut [T],
        d_beta: &mut [T],
    ) {
        let width = gamma.len();
        let (mut sums, mut products) = (vec![0.0f64; width], vec![0.0f64; width]);
        for (g, x) in signal.outer_iter().zip(x.outer_iter()) {
            for c in 0..width {
                let hat = (x[c] - self.mean[c]) * self.inverse[c];
                sums[c] += g[c].into();
                products[c] += (g[c] * hat).into();
            }
        }
        let (sums, products): (Vec<T>, Vec<T>) =
            sums.into_iter().zip(products).map(|(s, p)| (T::of(s), T::of(p))).unzip();
        for ((mut g, x), w) in signal.outer_iter_mut().zip(x.outer_iter()).zip(weights) {
            for c in 0..width {
                let hat = (x[c] - self.mean[c]) * self.inverse[c];
                g[c] = gamma[c] * self.inverse[c] * (g[c] - *w * (sums[c] + hat * products[c]));
            }
        }
        d_gamma.iter_mut().zip(&products).for_each(|(d, p)| *d += *p);
        d_beta.iter_mut().zip(&sums).for_each(|(d, s)| *d += *s);
    }
}

/// Statistics for prediction, gathered in training.
#[derive(Clone, Debug)]
pub struct Running {
    mean: Vec<f64>,
    variance: Vec<f64>,
}

impl Running {
    /// Mean 0, variance 1.
    pub fn new(width: usize) -> Self {
        Self { mean: vec![0.0; width], variance: vec![1.0; width] }
    }

    /// Takes in a batch of `samples` samples.
    pub fn update(&mut self, moments: &Moments, samples: f64) {
        let unbiased = samples / (samples - 1.0).max(1.0) / moments.weight;
        self.mean.iter_mut().zip(&moments.mean).for_each(|(r, m)| *r += MOMENTUM * (m - *r));
        self.variance.iter_mut().zip(&moments.squares).for_each(|(r, s)| *r += MOMENTUM * (s * unbiased - *r));
    }

    /// What normalises by them.
    pub fn norm<T: Real>(&self) -> Norm<T> {
        Norm::new(&self.mean, &self.variance)
    }
}

/// How a batch is normalised.
pub enum Batch<'a, T> {
    /// By itself: the share of each row in the samples, and how many there are.
    Training { weights: &'a [T], samples: f64 },
    /// By the running statistics.
    Prediction,
}

impl<T: Real> Batch<'_, T> {
    /// The normalisation of `x`; in training its moments go into the running statistics.
    pub fn norm(&self, x: ArrayView2<T>, running: &mut Running) -> Norm<T> {
        match self {
            Batch::Training { weights, samples } => {
                let moments = Moments::of(x, weights);
                running.update(&moments, *samples);
                moments.norm()
            }
            Batch::Prediction => running.norm(),
        }
    }
}

/// Linear, batch normalisation, ReLU, linear, batch normalisation. The linear maps have no bias: the normalisation
/// would take it away. Parameters in one line: W₁ (inputs x hidden), γ₁, β₁, W₂ (hidden x outputs), γ₂, β₂.
#[derive(Clone, Copy, Debug)]
pub struct NormedMlp {
    /// Width of its input.
    pub inputs: usize,
    /// Width between.
    pub hidden: usize,
    /// Width of its output.
    pub outputs: usize,
}

/// What the backward pass of a [`NormedMlp`] needs of the forward pass.
#[derive(Debug)]
pub struct Trace<T> {
    first: Array2<T>,
    first_norm: Norm<T>,
    middle: Array2<T>,
    second: Array2<T>,
    second_norm: Norm<T>,
}

/// The first `n` of a slice, which keeps the rest.
pub fn take<'a, T>(from: &mut &'a [T], n: usize) -> &'a [T] {
    let (head, rest) = from.split_at(n);
    *from = rest;
    head
}

/// The same, to write.
pub fn take_mut<'a, T>(from: &mut &'a mut [T], n: usize) -> &'a mut [T] {
    let (head, rest) = std::mem::take(from).split_at_mut(n);
    *from = rest;
    head
}

/// A matrix of `columns` columns over a slice of whole rows.
pub fn rows<T>(x: &[T], columns: usize) -> ArrayView2<'_, T> {
    debug_assert!(columns > 0 && x.len().is_multiple_of(columns));
    // Lengths that do not fit would be a slip in this file or its callers; a view of nothing fails their tests.
    ArrayView2::from_shape((x.len() / columns.max(1), columns), x).unwrap_or_else(|_| ArrayView2::from(&[[]; 0]))
}

fn add_to<T: Real>(to: &mut [T], from: &Array2<T>) {
    to.iter_mut().zip(from).for_each(|(t, f)| *t += *f);
}

impl NormedMlp {
    /// Number of parameters.
    pub fn n_parameters(&self) -> usize {
        (self.inputs + 2) * self.hidden + (self.hidden + 2) * self.outputs
    }

    /// Output for the rows of `x`: rows x outputs.
    pub fn forward<T: Real>(
        &self,
        mut parameters: &[T],
        x: ArrayView2<T>,
        batch: &Batch<T>,
        running: &mut [Running; 2],
    ) -> (Array2<T>, Trace<T>) {
        let p = &mut parameters;
        let (w1, gamma1, beta1) = (take(p, self.inputs * self.hidden), take(p, self.hidden), take(p, self.hidden));
        let (w2, gamma2, beta2) = (take(p, self.hidden * self.outputs), take(p, self.outputs), take(p, self.outputs));
        let [running1, running2] = running;
        let first = product(x, rows(w1, self.hidden));
        let first_norm = batch.norm(first.view(), running1);
        let mut middle = first_norm.apply(first.view(), gamma1, beta1);
        middle.mapv_inplace(|v| if v > T::zero() { v } else { T::zero() });
        let second = product(middle.view(), rows(w2, self.outputs));
        let second_norm = batch.norm(second.view(), running2);
        let out = second_norm.apply(second.view(), gamma2, beta2);
        (out, Trace { first, first_norm, middle, second, second_norm })
    }

    /// From the derivative by the output to that by `x`; that by the parameters is added to `gradient`.
    pub fn backward<T: Real>(
        &self,
        mut parameters: &[T],
        trace: &Trace<T>,
        x: ArrayView2<T>,
        weights: &[T],
        mut signal: Array2<T>,
        mut gradient: &mut [T],
    ) -> Array2<T> {
        let (p, g) = (&mut parameters, &mut gradient);
        let sizes = (self.inputs * self.hidden, self.hidden * self.outputs);
        let (w1, gamma1) = (take(p, sizes.0), take(p, self.hidden));
        take(p, self.hidden);
        let (w2, gamma2) = (take(p, sizes.1), take(p, self.outputs));
        let (dw1, dg1, db1) = (take_mut(g, sizes.0), take_mut(g, self.hidden), take_mut(g, self.hidden));
        let (dw2, dg2, db2) = (take_mut(g, sizes.1), take_mut(g, self.outputs), take_mut(g, self.outputs));
        trace.second_norm.backward(&mut signal, trace.second.view(), weights, gamma2, dg2, db2);
        add_to(dw2, &product(trace.middle.t(), signal.view()));
        let mut signal = product(signal.view(), rows(w2, self.outputs).t());
        signal.zip_mut_with(&trace.middle, |s, m| *s = if *m > T::zero() { *s } else { T::zero() });
        trace.first_norm.backward(&mut signal, trace.first.view(), weights, gamma1, dg1, db1);
        add_to(dw1, &product(x.t(), signal.view()));
        product(signal.view(), rows(w1, self.hidden).t())
    }

    /// Statistics before training.
    pub fn running(&self) -> [Running; 2] {
        [Running::new(self.hidden), Running::new(self.outputs)]
    }
}

/// Sum over rows, added to `to`.
pub fn add_column_sums<T: Real>(to: &mut [T], x: ArrayView2<T>) {
    for row in x.axis_iter(Axis(0)) {
        to.iter_mut().zip(row).for_each(|(t, x)| *t += *x);
    }
}

wide! {
    /// Mean and mean square about it of the columns of some rows.
    pub(crate) fn moments<T: Real>(x: &[T], mean: &mut [T], variance: &mut [T]) {
        let width = mean.len();
        let share = T::of(width as f64 / x.len() as f64);
        mean.fill(T::zero());
        for row in x.chunks_exact(width) {
            mean.iter_mut().zip(row).for_each(|(m, x)| *m += *x);
        }
        mean.iter_mut().for_each(|m| *m *= share);
        variance.fill(T::zero());
        for row in x.chunks_exact(width) {
            for ((v, m), x) in variance.iter_mut().zip(mean.iter()).zip(row) {
                let apart = *x - *m;
                *v += apart * apart;
            }
        }
        variance.iter_mut().for_each(|v| *v *= share);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{array, concatenate};

    /// Rows 0, 1, 2 with 1, 3 and 2 samples.
    fn rows_and_samples() -> (Array2<f64>, Vec<f64>, Array2<f64>) {
        let x = array![[1.0, -2.0], [0.5, 4.0], [3.0, 0.0]];
        let repeated: Vec<_> = [0, 1, 1, 1, 2, 2].iter().map(|r| x.row(*r).insert_axis(Axis(0))).collect();
        let all = concatenate(Axis(0), &repeated).unwrap();
        (x, vec![1.0 / 6.0, 0.5, 1.0 / 3.0], all)
    }

    #[test]
    fn weighted_rows_are_samples() {
        let (x, weights, all) = rows_and_samples();
        let (by_rows, by_samples) = (Moments::of(x.view(), &weights), Moments::of(all.view(), &[1.0 / 6.0; 6]));
        let mut parts = Moments::new(2);
        for (row, w) in x.outer_iter().zip(&weights) {
            let mut one = Moments::new(2);
            one.add(*w, row.as_slice().unwrap(), &[0.0; 2]);
            parts.merge(&one);
        }
        let mut running = [Running::new(2), Running::new(2)];
        running[0].update(&by_rows, 6.0);
        running[1].update(&by_samples, 6.0);
        for c in 0..2 {
            let column = all.column(c);
            let mean = column.sum() / 6.0;
            let variance = column.mapv(|v| (v - mean).powi(2)).sum() / 6.0;
            for m in [&by_rows, &by_samples, &parts] {
                let norm = m.norm::<f64>();
                assert!((norm.mean[c] - mean).abs() < 1e-14);
                assert!((norm.inverse[c] - 1.0 / (variance + 1e-5).sqrt()).abs() < 1e-13);
            }
            for r in &running {
                assert!((r.mean[c] - 0.1 * mean).abs() < 1e-14);
                assert!((r.variance[c] - (0.9 + 0.1 * variance * 6.0 / 5.0)).abs() < 1e-13);
            }
        }
    }

    #[test]
    fn moments_of_sums_are_sums_of_moments() {
        let (a, wa, _) = rows_and_samples();
        let (b, wb) = (array![[0.3, 1.0], [-2.0, 0.1]], [0.25, 0.75]);
        let all = Array2::from_shape_fn((6, 2), |(r, c)| a[(r / 2, c)] + b[(r % 2, c)]);
        let weights: Vec<f64> = (0..6).map(|r| wa[r / 2] * wb[r % 2]).collect();
        let want = Moments::of(all.view(), &weights).norm::<f64>();
        let got = Moments::sum(&Moments::of(a.view(), &wa), &Moments::of(b.view(), &wb)).norm::<f64>();
        for c in 0..2 {
            assert!((want.mean[c] - got.mean[c]).abs() < 1e-14 && (want.inverse[c] - got.inverse[c]).abs() < 1e-14);
        }
    }

    #[test]
    fn a_perceptron_gives_central_differences() {
        let form = NormedMlp { inputs: 2, hidden: 4, outputs: 3 };
        let (x, weights, _) = rows_and_samples();
        let p: Vec<f64> = (0..form.n_parameters()).map(|i| ((i * 37 % 19) as f64 - 9.0) / 7.0).collect();
        let direction = Array2::from_shape_fn((3, 3), |(i, j)| ((i * 5 + j * 3) % 7) as f64 / 3.0 - 1.0);
        let value = |p: &[f64], x: &Array2<f64>| {
            let batch = Batch::Training { weights: &weights, samples: 6.0 };
            (&form.forward(p, x.view(), &batch, &mut form.running()).0 * &direction).sum()
        };
        let batch = Batch::Training { weights: &weights, samples: 6.0 };
        let (_, trace) = form.forward(&p, x.view(), &batch, &mut form.running());
        let mut gradient = vec![0.0; p.len()];
        let to_x = form.backward(&p, &trace, x.view(), &weights, direction.clone(), &mut gradient);
        let h = 1e-6;
        for i in 0..p.len() {
            let at = |step: f64| {
                let mut p = p.clone();
                p[i] += step;
                value(&p, &x)
            };
            let want = (at(h) - at(-h)) / (2.0 * h);
            assert!((gradient[i] - want).abs() < 1e-7 * want.abs().max(1.0), "{i}: {} {want}", gradient[i]);
        }
        for (i, got) in to_x.indexed_iter() {
            let at = |step: f64| {
                let mut x = x.clone();
                x[i] += step;
                value(&p, &x)
            };
            let want = (at(h) - at(-h)) / (2.0 * h);
            assert!((got - want).abs() < 1e-7 * want.abs().max(1.0), "{i:?}: {got} {want}");
        }
    }
}
