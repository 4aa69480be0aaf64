//! What joins genes: the network (or the embeddings) of the perturbed genes, and the co-expression of outputs.

use super::{Absent, Gears};
use framework::numerics::Sparse;
use framework::numerics::linalg::product_into;
use framework::prelude::*;
use learn::nn::scaling::standardised;
use ndarray::s;
use rayon::prelude::*;

impl Gears {
    /// What describes the perturbed genes.
    pub fn source(&self, inputs: &Inputs) -> Result<GeneInput<f32>> {
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
            return Ok(GeneInput::Graph(propagation(&Sparse::new(n, n, vec![]))));
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
        Ok(GeneInput::Features(standardised(&x).mapv(|v| (v / width) as f32)))
    }

    fn graph_source(&self, block: &Block, pool: &Pool) -> Result<GeneInput<f32>> {
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
        Ok(GeneInput::Graph(Sparse::new(n, n, entries)))
    }
}

/// What describes the perturbed genes.
#[derive(Clone, Debug)]
pub enum GeneInput<T> {
    /// Learned embeddings, averaged over neighbours by this genes x genes matrix.
    Graph(Sparse),
    /// Supplied embeddings: genes x features.
    Features(Array2<T>),
}

/// The `k` entries of largest weight in each row, the diagonal aside; of equals the first.
pub(super) fn strongest(graph: &Sparse, k: usize) -> Sparse {
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
pub(super) fn propagation(graph: &Sparse) -> Sparse {
    let n = graph.dim().0;
    let root: Vec<f64> = (0..n).map(|r| (1.0 + graph.row(r).map(|e| e.1).sum::<f64>()).sqrt()).collect();
    let own = (0..n).map(|r| (r as u32, r as u32, 1.0 / (root[r] * root[r])));
    let other = graph.entries().map(|(r, c, v)| (r as u32, c as u32, v / (root[r] * root[c])));
    Sparse::new(n, n, own.chain(other).collect())
}

/// For each output those of largest absolute correlation over the samples, if above the threshold: outputs x outputs.
pub(super) fn coexpression(samples: &[&[f32]], partners: usize, threshold: f64) -> Sparse {
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
    // A constant has some variance in single precision, by rounding.
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
