//! What goes in: sets of genes with their effects, and where embeddings come from.

use std::sync::Arc;

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
