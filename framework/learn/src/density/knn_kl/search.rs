//! What a search for neighbours is asked, and how it keeps the nearest.

/// A point is passed over where its label is that of the query.
#[derive(Clone, Copy)]
pub(super) struct Without<'a> {
    pub(super) labels: &'a [u32],
    pub(super) of_query: &'a [u32],
}

pub(super) trait Search: Send + Sync {
    /// Writes squared distances and numbers of the nearest of `queries` (row by row).
    fn search(&self, queries: &[f64], k: usize, without: Option<Without>, d2: &mut [f64], at: &mut [u32]);
}

/// Puts a nearer point in its place; gives the distance of the last.
#[inline(always)]
pub(super) fn insert(best: &mut [f64], at: &mut [u32], v: f64, id: u32) -> f64 {
    let mut p = best.len() - 1;
    while p > 0 && best[p - 1] > v {
        (best[p], at[p]) = (best[p - 1], at[p - 1]);
        p -= 1;
    }
    (best[p], at[p]) = (v, id);
    best[best.len() - 1]
}
