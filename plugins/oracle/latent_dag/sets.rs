//! Pairs and triples: which genes act together, the sets that a scenario asks for, and planted interactions.

use super::world::{World, normal};
use framework::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A set of programs for each gene, as bits.
#[derive(Debug, Default)]
pub(super) struct Reach {
    words: usize,
    bits: Vec<u64>,
}

impl Reach {
    /// The programs that each gene reaches from its direct inputs along the edges.
    pub(super) fn new(inputs: &Array2<f64>, edges: &Array2<f64>) -> Self {
        let (n, k) = inputs.dim();
        let words = k.div_ceil(64);
        let mut below = vec![0u64; k * words];
        for j in (0..k).rev() {
            below[j * words + j / 64] |= 1 << (j % 64);
            for l in j + 1..k {
                if edges[(l, j)] != 0.0 {
                    let (head, tail) = below.split_at_mut(l * words);
                    head[j * words..(j + 1) * words].iter_mut().zip(&*tail).for_each(|(a, b)| *a |= b);
                }
            }
        }
        let mut bits = vec![0u64; n * words];
        for (row, set) in inputs.outer_iter().zip(bits.chunks_mut(words)) {
            for (j, _) in row.iter().enumerate().filter(|(_, v)| **v != 0.0) {
                set.iter_mut().zip(&below[j * words..]).for_each(|(a, b)| *a |= b);
            }
        }
        Self { words, bits }
    }

    fn of(&self, gene: Gene) -> &[u64] {
        &self.bits[gene.index() * self.words..][..self.words]
    }

    fn meet(&self, a: Gene, b: Gene) -> bool {
        self.of(a).iter().zip(self.of(b)).any(|(a, b)| a & b != 0)
    }
}

impl World {
    /// The pool of more than single genes, and the interactions planted in it.
    pub(super) fn list_sets(&mut self, streams: &Streams) -> Result<()> {
        let s = &self.settings;
        if s.order == 1 {
            return Ok(());
        }
        let genes = self.pool.genes().clone();
        let wanted = [
            (Relation::Separable, "separable", s.separable),
            (Relation::Disjoint, "disjoint", s.disjoint),
            (Relation::Interacting, "interacting", s.interacting),
        ];
        let n_sets: usize = wanted.iter().map(|w| w.2).sum();
        let mut extra = vec![];
        if n_sets == 0 {
            self.pool = Arc::new(Pool::all_pairs(genes));
            let mut rng = streams.rng("interactions");
            extra = rand::seq::index::sample(&mut rng, self.pool.len(), s.interactions.min(self.pool.len())).into_vec();
        } else {
            let active: Vec<usize> = (0..s.genes).filter(|&g| self.inputs.row(g).iter().any(|v| *v != 0.0)).collect();
            let mut found: [Vec<Perturbation>; 3] = Default::default();
            let mut seen = BTreeSet::new();
            let mut rng = streams.rng("sets");
            for _ in 0..2000 * n_sets {
                if found.iter().zip(&wanted).all(|(f, w)| f.len() == w.2) || active.len() < s.order {
                    break;
                }
                let drawn = rand::seq::index::sample(&mut rng, active.len(), s.order);
                let set = Perturbation::new(drawn.into_iter().map(|i| Gene(active[i] as u32)));
                let relation = self.relation(set.genes());
                if let Some(kind) = wanted.iter().position(|w| w.0 == relation)
                    && found[kind].len() < wanted[kind].2
                    && seen.insert(set.clone())
                {
                    found[kind].push(set);
                }
            }
            if let Some((f, (_, name, n))) = found.iter().zip(&wanted).find(|(f, w)| f.len() < w.2) {
                return Err(Error::Config(format!(
                    "latent_dag: found {} of {name} = {n} sets of {} genes; genes separate more often with more \
                     programs, fewer programs_per_gene, a lower edge_probability and common = 0, and are more often \
                     disjoint with more components",
                    f.len(),
                    s.order
                )));
            }
            let mut list: Vec<Perturbation> = (0..s.genes).map(|g| Perturbation::new([Gene(g as u32)])).collect();
            if s.order == 3 {
                let pairs = found.iter().flatten().flat_map(|t| {
                    let g = t.genes();
                    [[g[0], g[1]], [g[0], g[2]], [g[1], g[2]]].map(Perturbation::new)
                });
                list.extend(pairs.collect::<BTreeSet<_>>());
            }
            let [separable, disjoint, interacting] = found;
            list.extend(separable.into_iter().chain(disjoint));
            extra.extend(list.len()..list.len() + interacting.len());
            list.extend(interacting);
            self.pool = Arc::new(Pool::list(genes, list)?);
        }
        let mut rng = streams.rng("planted");
        for id in extra {
            let mut v = Array1::zeros(s.programs);
            for p in rand::seq::index::sample(&mut rng, s.programs, s.programs_per_gene) {
                v[p] = s.interaction_strength * normal(&mut rng);
            }
            self.planted.insert(id, v);
        }
        Ok(())
    }

    /// How genes act together, apart from what is planted.
    pub(super) fn relation(&self, genes: &[Gene]) -> Relation {
        let mut all = (0..genes.len()).flat_map(|i| (0..i).map(move |j| (genes[i], genes[j]))).map(|(a, b)| {
            if self.component[a.index()] != self.component[b.index()] {
                Relation::Disjoint
            } else if self.reach.meet(a, b) {
                Relation::Interacting
            } else {
                Relation::Separable
            }
        });
        let Some(first) = all.next() else { return Relation::Single };
        if all.all(|r| r == first) { first } else { Relation::Mixed }
    }
}
