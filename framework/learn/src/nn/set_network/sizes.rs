//! Sizes of a network, and where its parameters lie.

use crate::nn::fused::WIDE;

/// Sizes of a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SetSizes {
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

impl SetSizes {
    pub(super) fn hidden_lanes(&self) -> usize {
        self.hidden.next_multiple_of(WIDE)
    }

    pub(super) fn width_lanes(&self) -> usize {
        self.width.next_multiple_of(WIDE)
    }

    /// Numbers that training fits beside the table of embeddings.
    pub fn n_shared(&self) -> usize {
        let (h, p) = (self.hidden, self.width);
        let lifted = if self.lifted { p * p + p } else { 0 };
        self.order * h + if self.deep { h * h } else { 0 } + h + 1 + 2 * (p * p + p) + lifted + p + 1
    }

    pub(super) fn at(&self) -> Places {
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
pub(super) struct Places {
    pub(super) w1: usize,
    pub(super) w2: usize,
    pub(super) out: usize,
    /// b and c.
    pub(super) constants: usize,
    pub(super) l1: usize,
    pub(super) b1: usize,
    pub(super) l2: usize,
    pub(super) b2: usize,
    pub(super) l3: usize,
    pub(super) b3: usize,
    pub(super) head: usize,
    pub(super) table: usize,
}
