//! The part of a pool that may still be chosen.

use super::pool::Pool;

/// Genes along a side of a piece of a pool of all pairs, and of a list of it.
const SQUARE: usize = 256;
const LIST: (usize, usize) = (8, 16);
/// Ids of a piece of another pool.
const PIECE: usize = 8192;

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

    /// The place of a candidate in ascending order: the inverse of [`Candidates::nth`].
    pub fn rank(&self, id: usize) -> usize {
        id - self.excluded.partition_point(|e| *e < id)
    }

    /// Adds the candidates of a range of ids to a list.
    fn push_range(&self, ids: std::ops::Range<usize>, list: &mut Vec<usize>) {
        let mut skip = self.excluded[self.excluded.partition_point(|e| *e < ids.start)..].iter().copied().peekable();
        list.extend(ids.filter(|id| skip.next_if_eq(id).is_none()));
    }

    /// How many [`Candidates::piece`]s the candidates of a pool make.
    pub fn pieces(&self, pool: &Pool) -> usize {
        if pool.is_all_pairs() {
            let squares = pool.genes().len().div_ceil(SQUARE);
            squares * (squares + 1) / 2
        } else {
            self.n.div_ceil(PIECE)
        }
    }

    /// Calls `f` with the candidates of one piece in lists of at most 128. Pieces together hold every candidate once. In a
    /// pool of all pairs a piece is a square of 256 x 256 genes and a list 8 genes with 16 others, so that what is known
    /// of few genes serves many pairs; elsewhere ids follow one another.
    pub fn piece<E>(&self, pool: &Pool, piece: usize, mut f: impl FnMut(&[usize]) -> Result<(), E>) -> Result<(), E> {
        let mut list = Vec::with_capacity(LIST.0 * LIST.1);
        let mut give = |list: &mut Vec<usize>| {
            let done = if list.is_empty() { Ok(()) } else { f(list) };
            list.clear();
            done
        };
        if !pool.is_all_pairs() {
            let (start, end) = (piece * PIECE, ((piece + 1) * PIECE).min(self.n));
            for from in (start..end).step_by(LIST.0 * LIST.1) {
                self.push_range(from..(from + LIST.0 * LIST.1).min(end), &mut list);
                give(&mut list)?;
            }
            return Ok(());
        }
        // Squares on and above the diagonal, row after row of them.
        let (genes, squares) = (pool.genes().len(), pool.genes().len().div_ceil(SQUARE));
        let (mut row, mut before) = (0, 0);
        while piece - before >= squares - row {
            before += squares - row;
            row += 1;
        }
        let column = row + piece - before;
        for i in (row * SQUARE..((row + 1) * SQUARE).min(genes)).step_by(LIST.0) {
            for j in (column * SQUARE..((column + 1) * SQUARE).min(genes)).step_by(LIST.1) {
                for i in i..(i + LIST.0).min(genes) {
                    let (from, to) = (j.max(i + 1), (j + LIST.1).min(genes));
                    if from < to {
                        self.push_range(pool.pairs_of(i, from, to), &mut list);
                    }
                }
                give(&mut list)?;
            }
        }
        Ok(())
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
    fn pieces_hold_every_candidate_once() {
        use crate::domain::{Gene, Genes, Perturbation};
        use std::sync::Arc;
        for n in [0usize, 2, 5, 40, 300, 530] {
            let genes = Arc::new(Genes::new((0..n).map(|i| format!("g{i}"))).unwrap());
            let all = Pool::all_pairs(genes.clone());
            let listed = (0..n as u32).map(|g| Perturbation::new([Gene(g), Gene(g)]));
            for pool in [all, Pool::singles(genes.clone()), Pool::list(genes, listed).unwrap()] {
                let c = Candidates::new(pool.len(), (0..pool.len()).filter(|i| i % 7 == 3 || *i / 50 == 4).collect());
                let mut seen = vec![];
                for k in 0..c.pieces(&pool) {
                    c.piece::<()>(&pool, k, |ids| {
                        assert!(!ids.is_empty() && ids.len() <= 128);
                        seen.extend_from_slice(ids);
                        Ok(())
                    })
                    .unwrap();
                }
                seen.sort_unstable();
                assert_eq!(seen, c.to_vec());
                assert!(seen.iter().enumerate().all(|(k, id)| c.rank(*id) == k));
            }
        }
    }

    #[test]
    fn huge_pools_take_no_memory() {
        let c = Candidates::new(199_990_000, vec![5, 7]);
        assert_eq!((c.nth(5), c.nth(6), c.nth(199_989_997)), (6, 8, 199_989_999));
    }
}
