//! A Gram matrix over part of the pool, whose rows are not numbered as the pool is.

use crate::domain::{Batch, Pool};
use numerics::Gram;

/// A row and column of a [`Held`] matrix; not an id of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(pub usize);

/// A Gram matrix over some perturbations of the pool, prepared for many row reads.
pub struct Held {
    ids: Vec<usize>,
    gram: Gram,
}

impl Held {
    /// `gram` of the pool over `ids`, in their order.
    pub(super) fn new(gram: &Gram, ids: Vec<usize>) -> Self {
        let gram = gram.restrict(&ids);
        Self { ids, gram }
    }

    /// The matrix, n x n over positions.
    pub fn gram(&self) -> &Gram {
        &self.gram
    }

    /// Number of positions.
    #[allow(clippy::len_without_is_empty)]
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// The perturbation at a position.
    pub fn id(&self, at: Position) -> usize {
        self.ids[at.0]
    }

    /// The id and the name of the perturbation at a position, for messages.
    pub fn name(&self, at: Position, pool: &Pool) -> String {
        format!("{} (`{}`)", self.id(at), pool.label(self.id(at)))
    }

    /// The batch of the perturbations picked, with a score for each.
    pub fn batch(&self, picks: impl IntoIterator<Item = Position>, scores: Vec<f64>) -> Batch {
        Batch { ids: picks.into_iter().map(|at| self.id(at)).collect(), scores }
    }
}
