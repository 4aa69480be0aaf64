//! The rows that a forest learns from, sorted by every feature once for all trees.

use ndarray::ArrayView2;
use rayon::prelude::*;

/// Numbers of rows and ranks, as narrow as the number of rows allows: narrow ones fit the caches.
pub(super) trait Id: Copy + Default + Send + Sync {
    /// A rank, and below it a place among few rows.
    type Key: Copy + Ord;
    const LAST: Self::Key;
    fn new(v: usize) -> Self;
    fn at(self) -> usize;
    fn key(self, place: usize) -> Self::Key;
    fn place(key: Self::Key) -> usize;
    fn same_rank(a: Self::Key, b: Self::Key) -> bool;
}

macro_rules! id {
    ($id:ty, $key:ty) => {
        impl Id for $id {
            type Key = $key;
            const LAST: $key = <$key>::MAX;
            #[inline(always)]
            fn new(v: usize) -> Self {
                v as $id
            }
            #[inline(always)]
            fn at(self) -> usize {
                self as usize
            }
            #[inline(always)]
            fn key(self, place: usize) -> $key {
                (<$key>::from(self) << <$id>::BITS) | place as $key
            }
            #[inline(always)]
            fn place(key: $key) -> usize {
                (key as $id) as usize
            }
            #[inline(always)]
            fn same_rank(a: $key, b: $key) -> bool {
                (a ^ b) >> <$id>::BITS == 0
            }
        }
    };
}
id!(u16, u32);
id!(u32, u64);

/// Features searched side by side where rows are few; ranks are padded to a multiple.
pub(super) const LANES: usize = 8;

pub(super) struct Sorted<I> {
    pub n_features: usize,
    /// Rows in ascending order of each feature: features x rows.
    pub order: Vec<I>,
    /// Rank of each row's value (equal values share one): rows x `stride`, 0 beyond the last feature.
    pub rank: Vec<I>,
    pub stride: usize,
    /// Features with more than one value.
    pub varying: Vec<usize>,
}

/// Bits that order as the number does; zeros of either sign are one value.
fn ordered(v: f64) -> u64 {
    let bits = (v + 0.0).to_bits();
    bits ^ ((((bits as i64) >> 63) as u64) | 1 << 63)
}

impl<I: Id> Sorted<I> {
    pub fn new(x: ArrayView2<f64>) -> Self {
        let (n_rows, n_features) = x.dim();
        let stride = n_features.next_multiple_of(LANES);
        let columns: Vec<(Vec<I>, Vec<I>)> = (0..n_features)
            .into_par_iter()
            .map(|f| {
                let mut pairs: Vec<(u64, u32)> =
                    x.column(f).iter().enumerate().map(|(i, v)| (ordered(*v), i as u32)).collect();
                pairs.sort_unstable();
                let mut rank = vec![I::new(0); n_rows];
                let mut r = 0;
                for w in 1..n_rows {
                    r += usize::from(pairs[w].0 != pairs[w - 1].0);
                    rank[pairs[w].1 as usize] = I::new(r);
                }
                (pairs.into_iter().map(|p| I::new(p.1 as usize)).collect(), rank)
            })
            .collect();
        let varying =
            (0..n_features).filter(|&f| columns[f].0.last().is_some_and(|r| columns[f].1[r.at()].at() > 0)).collect();
        let mut rank = vec![I::new(0); n_rows * stride];
        rank.par_chunks_mut(stride).enumerate().for_each(|(i, row)| {
            row.iter_mut().zip(&columns).for_each(|(to, c)| *to = c.1[i]);
        });
        let order = columns.iter().flat_map(|c| c.0.iter().copied()).collect();
        Self { n_features, order, rank, stride, varying }
    }

    /// Rank of a row in a feature.
    pub fn rank(&self, row: usize, feature: usize) -> usize {
        self.rank[row * self.stride + feature].at()
    }
}
