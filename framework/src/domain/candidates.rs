//! The part of a pool that may still be chosen.

/// All ids of `0..n` except an excluded few, held as the sorted list of the excluded: memory does not
/// grow with the pool.
#[derive(Clone, Debug)]
pub struct Candidates {
    n: usize,
    excluded: Vec<usize>,
}

impl Candidates {
    /// Everything in `0..n` but `excluded` (any order, repeats allowed).
    pub fn new(n: usize, mut excluded: Vec<usize>) -> Self {
        excluded.sort_unstable();
        excluded.dedup();
        Self { n, excluded }
    }

    /// How many are left.
    pub fn len(&self) -> usize {
        self.n - self.excluded.len()
    }

    /// True if none is left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether an id may be chosen. O(log excluded).
    pub fn contains(&self, id: usize) -> bool {
        id < self.n && self.excluded.binary_search(&id).is_err()
    }

    /// The k-th candidate in ascending order. O(log excluded).
    pub fn nth(&self, k: usize) -> usize {
        // excluded[j] - j candidates stand before excluded[j].
        let (mut lo, mut hi) = (0, self.excluded.len());
        while lo < hi {
            let mid = (lo + hi) / 2;
            if self.excluded[mid] - mid <= k { lo = mid + 1 } else { hi = mid }
        }
        k + lo
    }

    /// All candidates in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        let mut skip = self.excluded.iter().copied().peekable();
        (0..self.n).filter(move |id| {
            if skip.peek() == Some(id) {
                skip.next();
                false
            } else {
                true
            }
        })
    }

    /// All candidates as a list; only for pools that fit in memory.
    pub fn to_vec(&self) -> Vec<usize> {
        self.iter().collect()
    }

    /// Calls `f` with consecutive lists of at most `size` candidates.
    pub fn tiles<E>(&self, size: usize, mut f: impl FnMut(&[usize]) -> Result<(), E>) -> Result<(), E> {
        let mut tile = Vec::with_capacity(size.min(self.len()));
        for id in self.iter() {
            tile.push(id);
            if tile.len() == size {
                f(&tile)?;
                tile.clear();
            }
        }
        if tile.is_empty() { Ok(()) } else { f(&tile) }
    }

    /// `k` different candidates, uniformly, in the order drawn. O(k log excluded) time, O(k) memory.
    pub fn sample(&self, k: usize, rng: &mut impl rand::Rng) -> Vec<usize> {
        rand::seq::index::sample(rng, self.len(), k.min(self.len())).into_iter().map(|r| self.nth(r)).collect()
    }

    /// Excludes more ids.
    pub fn remove(&mut self, ids: &[usize]) {
        self.excluded.extend_from_slice(ids);
        self.excluded.sort_unstable();
        self.excluded.dedup();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nth_iter_and_contains_agree() {
        let mut c = Candidates::new(10, vec![0, 3, 4, 9, 3]);
        assert_eq!(c.to_vec(), [1, 2, 5, 6, 7, 8]);
        let by_nth: Vec<usize> = (0..c.len()).map(|k| c.nth(k)).collect();
        assert_eq!(by_nth, c.to_vec());
        assert!(c.contains(5) && !c.contains(4) && !c.contains(10));
        c.remove(&[5, 1]);
        let mut tiles = Vec::new();
        c.tiles::<()>(3, |t| {
            tiles.push(t.to_vec());
            Ok(())
        })
        .unwrap();
        assert_eq!(tiles, [vec![2, 6, 7], vec![8]]);
    }

    #[test]
    fn huge_pools_take_no_memory() {
        let c = Candidates::new(199_990_000, vec![5, 7]);
        assert_eq!((c.nth(5), c.nth(6), c.nth(199_989_997)), (6, 8, 199_989_999));
    }
}
