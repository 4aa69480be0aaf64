//! What a tree in growth knows: read by the searches for a split, changed by what follows from one.

use super::four::Record;
use super::sorted::Sorted;
use super::tree::Tree;
use ndarray::ArrayView2;
use numerics::streams::StreamRng;

/// How trees are grown.
#[derive(Clone, Debug)]
pub struct Growth {
    pub trees: usize,
    /// Most splits on the way to a leaf.
    pub max_depth: Option<usize>,
    /// Least rows in a leaf, counted as often as drawn.
    pub min_leaf: usize,
    /// Features tried at each split.
    pub tried: usize,
    /// Whether each tree learns from as many rows, drawn with replacement.
    pub bootstrap: bool,
}

/// The best split found so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    pub gain: f64,
    /// Gains that differ by no more are equal.
    pub tie: f64,
    /// Place of the feature among those tried.
    pub place: usize,
    /// How many of the node's rows, in the order of the feature, come before the last of the left side.
    pub at: usize,
}

impl Split {
    /// Takes a split that is better, or as good and earlier: features and thresholds may come in any order.
    #[inline(always)]
    pub fn offer(&mut self, gain: f64, place: usize, at: usize) {
        let better = gain > self.gain + self.tie;
        if better || (gain >= self.gain - self.tie && (place, at) < (self.place, self.at)) {
            *self = Split { gain, place, at, ..*self };
        }
    }

    /// Whether no split can be better than this one if none gains more than `most`.
    pub fn reaches(&self, most: f64) -> bool {
        self.gain >= most - self.tie
    }
}

/// Grows one tree from the rows drawn for it, which are numbered anew. The rows of a node are one stretch `lo..hi` of
/// `rows`, and of the list of each feature where the node has more than `few` rows.
pub(super) struct Grower<'a, I> {
    pub how: &'a Growth,
    pub sorted: &'a Sorted<I>,
    pub x: ArrayView2<'a, f64>,
    /// Row of `x` of each drawn row.
    pub drawn: Vec<u32>,
    pub outputs: usize,
    /// Outcomes of the drawn rows (rows x outputs).
    pub y: Vec<f64>,
    /// For rows of the node at hand: weighted deviation of the first output from the node's mean; weight.
    pub record: Vec<Record>,
    /// Weighted deviations of all outputs (rows x outputs), where there are several.
    pub deviation: Vec<f64>,
    pub n: usize,
    /// Drawn rows in ascending order of each feature: features x `n`.
    pub lists: Vec<I>,
    pub rows: Vec<I>,
    pub buffer: Vec<I>,
    pub goes_left: Vec<bool>,
    /// Mean outputs of the node at hand.
    pub mean: Vec<f64>,
    pub few: usize,
    /// Features that vary, in order of precedence among equal gains: shuffled for bagged trees, as one order would favour the
    /// first columns wherever few rows are left.
    pub order: Vec<usize>,
    pub rng: StreamRng,
    pub tree: Tree,
}

/// What the searches need to know of a node.
#[derive(Clone, Copy)]
pub(super) struct Stretch {
    pub lo: usize,
    pub hi: usize,
    /// Total weight.
    pub weight: f64,
}
