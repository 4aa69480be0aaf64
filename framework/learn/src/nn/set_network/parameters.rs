//! A network and its parameters.

use super::gelu::Lane;
use super::loops::product;
use super::sets::Table;
use super::sizes::SetSizes;
use numerics::streams::StreamRng;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;

/// A network and its parameters.
#[derive(Clone, Debug)]
pub struct SetNetwork<T> {
    /// Its sizes.
    pub sizes: SetSizes,
    /// In the order of [`Places`]; then the table, or the matrix that features are multiplied with.
    pub(super) values: Vec<T>,
    pub(super) features: Option<(Arc<Vec<T>>, usize)>,
    pub(super) genes: usize,
}

impl<T: Lane> SetNetwork<T> {
    /// Weights and biases uniform in ±1/√inputs of their layer, as PyTorch's Linear; a learned matrix of tied embeddings
    /// standard normal over √features.
    pub fn new(sizes: SetSizes, genes: usize, table: Table<T>, rng: &mut StreamRng) -> Self {
        assert!(sizes.order > 0 && sizes.hidden > 0 && sizes.width > 0, "sizes of a network");
        let (h, p, at) = (sizes.hidden_lanes(), sizes.width_lanes(), sizes.at());
        let mut values = vec![T::zero(); at.table];
        let mut fill = |from: usize, rows: usize, lanes: usize, units: usize, inputs: usize| {
            let bound = (inputs as f64).sqrt().recip();
            for row in values[from..from + rows * lanes].chunks_exact_mut(lanes) {
                row[..units].iter_mut().for_each(|v| *v = T::of(rng.random_range(-bound..=bound)));
            }
        };
        let (k, hidden, width) = (sizes.order, sizes.hidden, sizes.width);
        fill(at.w1, k, h, hidden, k);
        if sizes.deep {
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
        if sizes.lifted {
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
        Self { sizes, values, features, genes }
    }

    /// Numbers that training fits.
    pub fn n_parameters(&self) -> usize {
        let rows = self.features.as_ref().map_or(self.genes, |(_, n)| *n);
        self.sizes.n_shared() + rows * self.sizes.width
    }

    /// Whether every parameter is a finite number; training that diverges ends otherwise.
    pub fn is_finite(&self) -> bool {
        self.values.iter().all(|v| v.is_finite())
    }

    /// x L1 + b1 with negative numbers made 0, of some embeddings (rows x width, padded).
    pub(super) fn units(sizes: &SetSizes, values: &[T], embeddings: &[T], to: &mut Vec<T>) {
        let (p, at) = (sizes.width_lanes(), sizes.at());
        let rows = embeddings.len() / p;
        to.clear();
        (0..rows).for_each(|_| to.extend_from_slice(&values[at.b1..at.b1 + p]));
        product(to, rows, p, embeddings, p, 1, &values[at.l1..], sizes.width);
        to.iter_mut().for_each(|u| *u = if *u > T::zero() { *u } else { T::zero() });
    }

    /// Embeddings of some genes (rows x width, padded).
    pub(super) fn embeddings(&self, genes: impl Iterator<Item = usize>) -> Vec<T> {
        let (p, table) = (self.sizes.width_lanes(), &self.values[self.sizes.at().table..]);
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
}

/// L3 or L2 L3, b3, and b2 L3 (zeros where not lifted).
pub(super) fn encoder<T: Lane>(sizes: &SetSizes, v: &[T]) -> (Vec<T>, Vec<T>, Vec<T>) {
    let (p, at) = (sizes.width_lanes(), sizes.at());
    let bias = v[at.b3..at.b3 + p].to_vec();
    let l3 = &v[at.l3..at.l3 + p * p];
    let mut lift = vec![T::zero(); p];
    if !sizes.lifted {
        return (l3.to_vec(), bias, lift);
    }
    let mut both = vec![T::zero(); p * p];
    product(&mut both, sizes.width, p, &v[at.l2..], p, 1, l3, sizes.width);
    product(&mut lift, 1, p, &v[at.b2..], p, 1, l3, sizes.width);
    (both, bias, lift)
}
