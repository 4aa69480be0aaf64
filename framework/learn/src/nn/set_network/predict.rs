//! Prediction, without dropout: what sets and genes share is computed once.

use super::gelu::Lane;
use super::loops::{add, dot, product};
use super::parameters::{SetNetwork, encoder};
use super::sizes::SetSizes;
use crate::nn::fused::add_product;

/// Rows that are predicted in one piece.
const ROWS: usize = 1024;

/// A network that predicts.
#[derive(Clone, Debug)]
pub struct Ready<T> {
    /// Its sizes.
    pub sizes: SetSizes,
    w1: Vec<T>,
    w2: Vec<T>,
    out: Vec<T>,
    constant: T,
    /// Of each gene, what it adds to the sums of the encoder.
    coded: Vec<T>,
    bias: Vec<T>,
    head: Vec<T>,
}

impl<T: Lane> SetNetwork<T> {
    /// Ready to predict, without dropout.
    pub fn ready(&self) -> Ready<T> {
        let (sizes, at, p) = (self.sizes, self.sizes.at(), self.sizes.width_lanes());
        let v = &self.values;
        let (encoder, bias, lift) = encoder(&sizes, v);
        // A set's sums pass the encoder gene by gene.
        let mut units = vec![];
        let mut coded = vec![];
        for from in (0..self.genes).step_by(ROWS) {
            let to = (from + ROWS).min(self.genes);
            Self::units(&sizes, v, &self.embeddings(from..to), &mut units);
            let first = coded.len();
            (from..to).for_each(|_| coded.extend_from_slice(&lift));
            product(&mut coded[first..], to - from, p, &units, p, 1, &encoder, sizes.width);
        }
        Ready {
            sizes,
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

/// gelu of sums in place.
#[inline(always)]
fn values_only<T: Lane, const FMA: bool>(z: &mut [T]) {
    z.iter_mut().for_each(|z| *z = T::gelu::<FMA>(*z).0);
}

#[inline(always)]
fn of_effects<T: Lane, const FMA: bool>(n: &Ready<T>, effects: &[T], work: &mut [Vec<T>; 2], to: &mut [T]) {
    let (h, k, rows) = (n.sizes.hidden_lanes(), n.sizes.order, to.len());
    let [first, second] = work;
    first.clear();
    first.resize(rows * h, T::zero());
    add_product::<T, FMA>(first, rows, h, effects, k, 1, &n.w1, k);
    values_only::<T, FMA>(first);
    if n.sizes.deep {
        second.clear();
        second.resize(rows * h, T::zero());
        add_product::<T, FMA>(second, rows, h, first, h, 1, &n.w2, n.sizes.hidden);
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
    let p = n.sizes.width_lanes();
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
        self.sizes.width_lanes()
    }

    /// Numbers of a row that [`Ready::effects`] leaves behind, of which the first `hidden` are units.
    pub fn units(&self) -> usize {
        self.sizes.hidden_lanes()
    }
}
