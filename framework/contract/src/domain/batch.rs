//! What an acquisition returns.

use crate::error::{Error, Result};

/// Chosen perturbations in order of selection, with the score that chose each.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch {
    /// Pool ids, best or first chosen first.
    pub ids: Vec<usize>,
    /// One score an id; its meaning is the acquisition's.
    pub scores: Vec<f64>,
}

impl Batch {
    /// The `k` candidates of highest score, best first, ties to the lower id. A score that is not
    /// finite is an error. O(n log k).
    pub fn top(ids: &[usize], scores: &[f64], k: usize) -> Result<Self> {
        let mut top = Top::new(k);
        top.extend(ids, scores)?;
        Ok(top.into_batch())
    }
}

/// The best `k` of a stream of scored candidates.
#[derive(Clone, Debug)]
pub struct Top {
    k: usize,
    kept: Vec<(f64, usize)>,
}

impl Top {
    /// Keeps `k`.
    pub fn new(k: usize) -> Self {
        Self { k, kept: Vec::with_capacity(2 * k) }
    }

    /// Offers candidates in any order.
    pub fn extend(&mut self, ids: &[usize], scores: &[f64]) -> Result<()> {
        debug_assert_eq!(ids.len(), scores.len());
        for (&id, &s) in ids.iter().zip(scores) {
            if !s.is_finite() {
                return Err(Error::Numerical(format!(
                    "the score of candidate {id} is {s}; scores must be finite numbers"
                )));
            }
            if self.kept.len() < self.k || self.beats_last(s, id) {
                self.kept.push((s, id));
                if self.kept.len() == self.k || self.kept.len() >= 2 * self.k.max(1) {
                    self.shrink();
                }
            }
        }
        Ok(())
    }

    fn beats_last(&self, s: f64, id: usize) -> bool {
        // `kept[k - 1]` is the k-th best at the last shrink, so never better than the k-th best now.
        self.kept.get(self.k.wrapping_sub(1)).is_none_or(|&(t, other)| s > t || (s == t && id < other))
    }

    fn shrink(&mut self) {
        self.kept.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        self.kept.truncate(self.k);
    }

    /// The winners, best first.
    pub fn into_batch(mut self) -> Batch {
        // -0.0 and 0.0 are one score to a reader, so they tie.
        for e in &mut self.kept {
            e.0 += 0.0;
        }
        self.shrink();
        Batch { ids: self.kept.iter().map(|e| e.1).collect(), scores: self.kept.iter().map(|e| e.0).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn top_is_stable_and_ties_go_to_the_lower_id() {
        let ids: Vec<usize> = (0..1000).rev().collect();
        let scores: Vec<f64> = ids.iter().map(|i| (i % 7) as f64).collect();
        let b = Batch::top(&ids, &scores, 5).unwrap();
        assert_eq!(b.ids, [6, 13, 20, 27, 34]);
        assert_eq!(b.scores, [6.0; 5]);
        let all = Batch::top(&ids, &vec![0.0; 1000], 1000).unwrap();
        assert_eq!(all.ids, (0..1000).collect::<Vec<_>>());
        assert_eq!(Batch::top(&[4, 2], &[-0.0, 0.0], 1).unwrap().ids, [2]);
    }

    #[test]
    fn top_agrees_with_a_full_sort() {
        let scores: Vec<f64> = (0..500u64).map(|i| ((i * 7919) % 101) as f64).collect();
        let ids: Vec<usize> = (0..500).collect();
        let mut sorted = ids.clone();
        sorted.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        for k in [0, 1, 2, 3, 17, 499, 500] {
            assert_eq!(Batch::top(&ids, &scores, k).unwrap().ids, sorted[..k]);
        }
    }

    #[test]
    fn scores_that_are_not_finite_are_refused() {
        let e = Batch::top(&[3, 4], &[0.1, f64::NAN], 1).unwrap_err().to_string();
        assert_eq!(e, "the score of candidate 4 is NaN; scores must be finite numbers");
    }
}
