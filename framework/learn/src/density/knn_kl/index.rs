//! Points in which to look for neighbours.

use super::brute::Brute;
use super::search::{Search, Without};
use super::tree::Tree;
use ndarray::ArrayView2;
use rayon::prelude::*;

/// Queries of a task.
pub(super) const TILE: usize = 256;

/// Dimensions up to which a tree pays.
const TREE: usize = 10;

/// Nearest points of each query, nearest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbours {
    /// How many a query.
    pub k: usize,
    /// Squared distances, query after query in the order of [`Index::order`] of the queries.
    pub d2: Vec<f64>,
    /// Numbers of the points.
    pub at: Vec<u32>,
}

/// Points in which to look for neighbours.
pub struct Index {
    search: Box<dyn Search>,
    pub(super) d: usize,
    /// Row by row, in the order of the index.
    pub(super) points: Vec<f64>,
    pub(super) order: Vec<u32>,
}

impl Index {
    /// Of the rows of `x`, all finite, of at least one number.
    pub fn new(x: ArrayView2<f64>) -> Self {
        match x.ncols() {
            1 => Self::tree::<1>(x),
            2 => Self::tree::<2>(x),
            3 => Self::tree::<3>(x),
            4 => Self::tree::<4>(x),
            5 => Self::tree::<5>(x),
            6 => Self::tree::<6>(x),
            7 => Self::tree::<7>(x),
            8 => Self::tree::<8>(x),
            9 => Self::tree::<9>(x),
            TREE => Self::tree::<TREE>(x),
            _ => Self::brute(x),
        }
    }

    fn tree<const D: usize>(x: ArrayView2<f64>) -> Self {
        let (tree, order, points) = Tree::<D>::new(x);
        Self { search: Box::new(tree), d: D, points, order }
    }

    fn brute(x: ArrayView2<f64>) -> Self {
        Self {
            search: Box::new(Brute::new(x)),
            d: x.ncols(),
            points: x.iter().copied().collect(),
            order: (0..x.nrows() as u32).collect(),
        }
    }

    /// Number of points.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// True without points.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Numbers of the points in the order in which they are taken as queries.
    pub fn order(&self) -> &[u32] {
        &self.order
    }

    /// The `k` nearest of these points to each point of `queries`.
    pub fn nearest(&self, queries: &Index, k: usize) -> Neighbours {
        self.run(&queries.points, k, None)
    }

    /// The `k` nearest others of each of these points.
    pub fn own(&self, k: usize) -> Neighbours {
        let labels: Vec<u32> = (0..self.len() as u32).collect();
        self.run(&self.points, k, Some(Without { labels: &labels, of_query: &self.order }))
    }

    pub(super) fn run(&self, queries: &[f64], k: usize, without: Option<Without>) -> Neighbours {
        let n = queries.len() / self.d;
        let (mut d2, mut at) = (vec![f64::INFINITY; n * k], vec![u32::MAX; n * k]);
        let parts = d2.par_chunks_mut(TILE * k).zip(at.par_chunks_mut(TILE * k));
        parts.zip(queries.par_chunks(TILE * self.d)).enumerate().for_each(|(t, ((d2, at), q))| {
            let rows = t * TILE..t * TILE + d2.len() / k;
            let without = without.map(|w| Without { of_query: &w.of_query[rows], ..w });
            self.search.search(q, k, without, d2, at);
        });
        Neighbours { k, d2, at }
    }
}
