//! Perturbations and the indexable space they are drawn from.

use super::gene::{Gene, Genes};
use crate::error::{Error, Result};
use std::collections::HashMap;
use std::sync::Arc;

/// One or more genes perturbed together, in ascending order. A gene may stand twice where a screen
/// puts two guides against it; `{A, A}` and `{A}` are different perturbations.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Perturbation(Vec<Gene>);

impl Perturbation {
    /// From its genes in any order.
    pub fn new(genes: impl IntoIterator<Item = Gene>) -> Self {
        let mut g: Vec<Gene> = genes.into_iter().collect();
        g.sort_unstable();
        Self(g)
    }

    /// The genes in ascending order.
    pub fn genes(&self) -> &[Gene] {
        &self.0
    }
}

/// How ids map to perturbations.
#[derive(Clone, Debug)]
enum Space {
    /// Id i is gene i alone.
    Singles,
    /// Any list: the genes of id i are `members[start[i]..start[i + 1]]`.
    List { start: Vec<u32>, members: Vec<Gene>, index: HashMap<Perturbation, usize> },
    /// All pairs i < j of the genes, in lexicographic order, by formula.
    AllPairs,
}

/// What a screen calls a perturbation, beside its id in a pool that lacks some of the screen's genes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ScreenId(pub usize);

/// The space of perturbations of a screen: a number of ids `0..len`, each with its genes. All pairs of
/// n genes take no memory beyond the gene names.
#[derive(Clone, Debug)]
pub struct Pool {
    genes: Arc<Genes>,
    space: Space,
}

impl Pool {
    /// Every gene alone.
    pub fn singles(genes: Arc<Genes>) -> Self {
        Self { genes, space: Space::Singles }
    }

    /// All n(n-1)/2 unordered pairs of different genes.
    pub fn all_pairs(genes: Arc<Genes>) -> Self {
        Self { genes, space: Space::AllPairs }
    }

    /// An explicit list in the given order; a repeated perturbation is an error.
    pub fn list(genes: Arc<Genes>, perturbations: impl IntoIterator<Item = Perturbation>) -> Result<Self> {
        let mut start = vec![0u32];
        let mut members = Vec::new();
        let mut index = HashMap::new();
        for (i, p) in perturbations.into_iter().enumerate() {
            if p.0.is_empty() {
                return Err(Error::Data(format!("perturbation {i} has no gene")));
            }
            members.extend_from_slice(&p.0);
            start.push(members.len() as u32);
            if let Some(first) = index.insert(p, i) {
                let names: Vec<&str> = members[start[i] as usize..].iter().map(|g| genes.name(*g)).collect();
                return Err(Error::Data(format!(
                    "perturbation {} is listed twice (entries {first} and {i}); average or remove the repeats",
                    names.join("+")
                )));
            }
        }
        Ok(Self { genes, space: Space::List { start, members, index } })
    }

    /// The gene table.
    pub fn genes(&self) -> &Arc<Genes> {
        &self.genes
    }

    /// Number of perturbations.
    pub fn len(&self) -> usize {
        let n = self.genes.len();
        match &self.space {
            Space::Singles => n,
            Space::List { start, .. } => start.len() - 1,
            Space::AllPairs => n * n.saturating_sub(1) / 2,
        }
    }

    /// True without perturbations.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True if every perturbation is one gene and id i is gene i.
    pub fn is_singles(&self) -> bool {
        matches!(self.space, Space::Singles)
    }

    /// True if the perturbations are all pairs of the genes, found by formula.
    pub fn is_all_pairs(&self) -> bool {
        matches!(self.space, Space::AllPairs)
    }

    /// In a pool of all pairs: the ids of gene `i` with the genes `from..to`, all above `i`, which follow one another.
    pub(super) fn pairs_of(&self, i: usize, from: usize, to: usize) -> std::ops::Range<usize> {
        let first = index_of_pair(i, from, self.genes.len());
        first..first + (to - from)
    }

    /// Largest number of genes in a perturbation.
    pub fn max_order(&self) -> usize {
        match &self.space {
            Space::Singles => 1,
            Space::AllPairs => 2,
            Space::List { start, .. } => start.windows(2).map(|w| (w[1] - w[0]) as usize).max().unwrap_or(0),
        }
    }

    /// Calls `f` with the genes of a perturbation, without allocating.
    pub fn with_genes<T>(&self, id: usize, f: impl FnOnce(&[Gene]) -> T) -> T {
        match &self.space {
            Space::Singles => f(&[Gene(id as u32)]),
            Space::List { start, members, .. } => f(&members[start[id] as usize..start[id + 1] as usize]),
            Space::AllPairs => {
                let (i, j) = pair_of(id, self.genes.len());
                f(&[Gene(i as u32), Gene(j as u32)])
            }
        }
    }

    /// The perturbation of an id.
    pub fn get(&self, id: usize) -> Perturbation {
        self.with_genes(id, |g| Perturbation(g.to_vec()))
    }

    /// The id of a perturbation, if it is in the pool. O(genes of the perturbation).
    pub fn find(&self, p: &Perturbation) -> Option<usize> {
        match (&self.space, p.genes()) {
            (Space::Singles, [g]) => (g.index() < self.genes.len()).then_some(g.index()),
            (Space::AllPairs, [a, b]) if a < b && b.index() < self.genes.len() => {
                Some(index_of_pair(a.index(), b.index(), self.genes.len()))
            }
            (Space::List { index, .. }, _) => index.get(p).copied(),
            _ => None,
        }
    }

    /// The names joined by `+`, as written in every result file.
    pub fn label(&self, id: usize) -> String {
        self.with_genes(id, |g| g.iter().map(|g| self.genes.name(*g)).collect::<Vec<_>>().join("+"))
    }

    /// The id behind a label written by [`Pool::label`]. Names of genes may contain a plus sign.
    pub fn parse(&self, label: &str) -> Result<usize> {
        let parts: Vec<&str> = label.split('+').collect();
        // Of each part: the genes whose names begin there, with where they end, the shortest first.
        let genes: Vec<Vec<(Gene, usize)>> = (0..parts.len())
            .map(|i| {
                let ends = i + 1..=parts.len();
                ends.filter_map(|end| Some((self.genes.find(parts[i..end].join("+").trim())?, end))).collect()
            })
            .collect();
        let mut readable = vec![true; parts.len() + 1];
        for i in (0..parts.len()).rev() {
            readable[i] = genes[i].iter().any(|g| readable[g.1]);
        }
        if !readable[0] {
            let unknown = parts.iter().map(|p| p.trim()).find(|p| self.genes.find(p).is_none());
            return Err(self.unknown(unknown.unwrap_or(label)));
        }
        // Ways to read it that end well, until one is of the pool.
        let mut ways = vec![(0, vec![])];
        while let Some((i, read)) = ways.pop() {
            if i == parts.len() {
                if let Some(id) = self.find(&Perturbation::new(read)) {
                    return Ok(id);
                }
                continue;
            }
            let next = genes[i].iter().rev().filter(|g| readable[g.1]);
            ways.extend(next.map(|&(gene, end)| (end, [&read[..], &[gene]].concat())));
        }
        Err(Error::Data(format!("`{label}` is not a perturbation of the pool")))
    }

    /// The id of the perturbation of some genes, in any order.
    pub fn find_named(&self, names: &[&str]) -> Result<usize> {
        let genes =
            names.iter().map(|n| self.genes.find(n).ok_or_else(|| self.unknown(n))).collect::<Result<Vec<_>>>()?;
        self.find(&Perturbation::new(genes))
            .ok_or_else(|| Error::Data(format!("`{}` is not a perturbation of the pool", names.join("+"))))
    }

    fn unknown(&self, name: &str) -> Error {
        Error::Data(format!(
            "unknown gene `{name}`: the pool has {} genes and none of that name{}",
            self.genes.len(),
            crate::error::hint(name, self.genes.names())
        ))
    }

    /// The pool that keeps the perturbations all of whose genes are kept. Genes keep their order and
    /// lose their numbers; returns for each new id that of the whole screen.
    pub fn restrict_genes(&self, keep: &[bool]) -> Result<(Pool, Vec<ScreenId>)> {
        let kept: Vec<usize> = (0..self.genes.len()).filter(|&g| keep[g]).collect();
        let genes = Arc::new(Genes::new(kept.iter().map(|&g| self.genes.name(Gene(g as u32))))?);
        match &self.space {
            Space::Singles => Ok((Pool::singles(genes), kept.into_iter().map(ScreenId).collect())),
            Space::AllPairs => {
                let n = self.genes.len();
                let mut old = Vec::with_capacity(kept.len() * kept.len().saturating_sub(1) / 2);
                for (a, &i) in kept.iter().enumerate() {
                    old.extend(kept[a + 1..].iter().map(|&j| ScreenId(index_of_pair(i, j, n))));
                }
                Ok((Pool::all_pairs(genes), old))
            }
            Space::List { .. } => {
                let mut new = vec![None; self.genes.len()];
                for (k, &g) in kept.iter().enumerate() {
                    new[g] = Some(Gene(k as u32));
                }
                let mut old = Vec::new();
                let mut list = Vec::new();
                for id in 0..self.len() {
                    let mapped: Option<Vec<Gene>> = self.with_genes(id, |g| g.iter().map(|g| new[g.index()]).collect());
                    if let Some(p) = mapped {
                        old.push(ScreenId(id));
                        list.push(Perturbation::new(p));
                    }
                }
                Ok((Pool::list(genes, list)?, old))
            }
        }
    }
}

/// Lexicographic index of the pair i < j among all pairs of n.
fn index_of_pair(i: usize, j: usize, n: usize) -> usize {
    i * (2 * n - i - 1) / 2 + (j - i - 1)
}

/// The pair behind a lexicographic index; the square root is only a first guess, corrected exactly.
fn pair_of(id: usize, n: usize) -> (usize, usize) {
    let first = |i: usize| i * (2 * n - i - 1) / 2;
    let b = 2.0 * n as f64 - 1.0;
    let mut i = ((b - (b * b - 8.0 * id as f64).max(0.0).sqrt()) / 2.0) as usize;
    i = i.min(n.saturating_sub(2));
    while first(i) > id {
        i -= 1;
    }
    while i + 2 < n && first(i + 1) <= id {
        i += 1;
    }
    (i, id - first(i) + i + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn genes(n: usize) -> Arc<Genes> {
        Arc::new(Genes::new((0..n).map(|i| format!("g{i}"))).unwrap())
    }

    #[test]
    fn all_pairs_by_formula_match_the_list() {
        for n in [0, 1, 2, 3, 7, 50] {
            let pool = Pool::all_pairs(genes(n));
            let mut id = 0;
            for i in 0..n {
                for j in i + 1..n {
                    let p = Perturbation::new([Gene(j as u32), Gene(i as u32)]);
                    assert_eq!(pool.get(id), p);
                    assert_eq!(pool.find(&p), Some(id));
                    id += 1;
                }
            }
            assert_eq!(pool.len(), id);
        }
    }

    #[test]
    fn two_hundred_million_pairs_cost_nothing() {
        let n = 20_000;
        let pool = Pool::all_pairs(genes(n));
        assert_eq!(pool.len(), 199_990_000);
        for id in (0..pool.len()).step_by(999_983).chain([pool.len() - 1]) {
            let p = pool.get(id);
            assert!(p.genes()[0] < p.genes()[1] && p.genes()[1].index() < n);
            assert_eq!(pool.find(&p), Some(id));
        }
    }

    #[test]
    fn lists_hold_any_order_and_refuse_repeats() {
        let g = genes(4);
        let p = |v: &[u32]| Perturbation::new(v.iter().map(|&i| Gene(i)));
        let pool = Pool::list(g.clone(), [p(&[2]), p(&[3, 1]), p(&[0, 1, 2]), p(&[1, 1])]).unwrap();
        assert_eq!((pool.len(), pool.max_order()), (4, 3));
        assert_eq!(pool.label(1), "g1+g3");
        assert_eq!(pool.parse("g3+g1").unwrap(), 1);
        assert_eq!(pool.parse("g1+g1").unwrap(), 3);
        assert!(pool.parse("g1").is_err());
        let e = Pool::list(g, [p(&[1, 2]), p(&[2, 1])]).unwrap_err().to_string();
        assert!(e.contains("g1+g2 is listed twice (entries 0 and 1)"), "{e}");
    }

    #[test]
    fn unknown_genes_are_named_with_the_nearest() {
        let g = Arc::new(Genes::new(["TP53", "MYC"]).unwrap());
        let e = Pool::singles(g).parse("TP35").unwrap_err().to_string();
        assert!(e.contains("unknown gene `TP35`") && e.contains("did you mean `TP53`?"), "{e}");
    }

    #[test]
    fn names_of_genes_may_hold_a_plus_sign() {
        let g = Arc::new(Genes::new(["AHR_+_17", "MYC_-_2", "A", "B", "A+B"]).unwrap());
        let pool = Pool::all_pairs(g.clone());
        for id in 0..pool.len() {
            let label = pool.label(id);
            assert_eq!(pool.label(pool.parse(&label).unwrap()), label);
        }
        assert_eq!(pool.find_named(&["MYC_-_2", "AHR_+_17"]).unwrap(), 0);
        assert_eq!(Pool::singles(g).parse("A+B").unwrap(), 4);
        let e = pool.find_named(&["AHR_"]).unwrap_err().to_string();
        assert!(e.contains("unknown gene `AHR_`"), "{e}");
    }

    #[test]
    fn restriction_keeps_order() {
        let keep = [true, false, true, true];
        let (p, old) = Pool::all_pairs(genes(4)).restrict_genes(&keep).unwrap();
        let labels: Vec<String> = (0..p.len()).map(|i| p.label(i)).collect();
        assert_eq!(labels, ["g0+g2", "g0+g3", "g2+g3"]);
        let full = Pool::all_pairs(genes(4));
        assert_eq!(old.iter().map(|&i| full.label(i.0)).collect::<Vec<_>>(), labels);
    }
}
