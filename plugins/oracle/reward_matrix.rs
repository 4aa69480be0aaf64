//! A simulated matrix of pair rewards: low rank with pathways, plus sparse planted interactions.
//!
//! R_ij = a Σ_k d_k u_ik v_jk / √m + s_ij. The m factors of a gene are √w times those of its pathway plus √(1 - w) of its
//! own, all N(0, 1); d_k are random signs, so that a symmetric matrix (V = U) has eigenvalues of both signs. s_ij is 0
//! but for planted pairs, where it is positive and known: strength x exp(0.3 z - 0.045), mean `strength`. A measurement
//! adds N(0, noise²), drawn from the stream of the pair. Cost O(genes x rank) to open, O(rank) a reward; all pairs of a
//! symmetric matrix are never listed.

use framework::prelude::*;
use rand_distr::{Distribution, StandardNormal};
use std::collections::HashMap;
use std::sync::Arc;

/// Simulates rewards of gene pairs with known truth, for rules that search a matrix. Runs without any data.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RewardMatrix {
    /// Genes g0, g1, ... of a symmetric matrix, or its rows where `columns` is set; default 50.
    pub genes: usize,
    /// Genes q0, q1, ... that form the columns of a rectangular matrix; absent: symmetric, all pairs of genes.
    pub columns: Option<usize>,
    /// Rank m of the smooth part; default 5.
    pub rank: usize,
    /// Size a of the smooth part, about its standard deviation; default 1.
    pub smooth: f64,
    /// Pathways that genes fall into, in turn; 0: none. Default 5.
    pub pathways: usize,
    /// Share w of a gene's factors that its pathway decides, 0 to 1; default 0.5.
    pub within: f64,
    /// Share of pairs with a planted interaction, 0 to 0.5 (rounded to a whole number); default 0.02.
    pub interactions: f64,
    /// How many times likelier a planted pair lies within a pathway, 1 to 1000; default 5.
    pub enrichment: f64,
    /// Mean size of a planted interaction, in units of the reward; default 2.
    pub strength: f64,
    /// Standard deviation of a measurement, in units of the reward; default 0.1.
    pub noise: f64,
    /// Seed of the matrix; absent: each scenario seed has its own.
    pub world_seed: Option<u64>,
}

impl Default for RewardMatrix {
    fn default() -> Self {
        Self {
            genes: 50,
            columns: None,
            rank: 5,
            smooth: 1.0,
            pathways: 5,
            within: 0.5,
            interactions: 0.02,
            enrichment: 5.0,
            strength: 2.0,
            noise: 0.1,
            world_seed: None,
        }
    }
}

#[typetag::serde(name = "reward_matrix")]
impl Oracle for RewardMatrix {
    fn open(&self, setup: &Setup) -> Result<Box<dyn Screen>> {
        self.check()?;
        let streams = match self.world_seed {
            Some(seed) => Streams::new(seed),
            None => setup.streams.clone(),
        }
        .child("reward_matrix");
        let columns = self.columns.unwrap_or(0);
        let names = (0..self.genes).map(|g| format!("g{g}")).chain((0..columns).map(|g| format!("q{g}")));
        let genes = Arc::new(Genes::new(names)?);
        let n = genes.len();
        let pool = match self.columns {
            None => Pool::all_pairs(genes),
            Some(_) => {
                let row = |i: usize| (self.genes..n).map(move |j| Perturbation::new([Gene(i as u32), Gene(j as u32)]));
                Pool::list(genes, (0..self.genes).flat_map(row))?
            }
        };
        let mut rng = streams.rng("factors");
        let mut draw = || -> f64 { StandardNormal.sample(&mut rng) };
        let pathways = Array2::from_shape_simple_fn((self.pathways, self.rank), &mut draw);
        let (shared, own) =
            if self.pathways == 0 { (0.0, 1.0) } else { (self.within.sqrt(), (1.0 - self.within).sqrt()) };
        let factors = Array2::from_shape_fn((n, self.rank), |(g, k)| {
            let common = if self.pathways == 0 { 0.0 } else { pathways[(self.pathway(g), k)] };
            shared * common + own * draw()
        });
        let mut rng = streams.rng("signs");
        let scale = self.smooth / (self.rank as f64).sqrt();
        let signs = (0..self.rank).map(|_| if rng.random::<bool>() { scale } else { -scale }).collect();
        let mut rng = streams.rng("interactions");
        let wanted = (self.interactions * pool.len() as f64).round() as usize;
        let mut planted = HashMap::with_capacity(wanted);
        while planted.len() < wanted {
            let id = rng.random_range(0..pool.len());
            let together = pool.with_genes(id, |g| self.pathway(g[0].index()) == self.pathway(g[1].index()));
            let (keep, z): (f64, f64) = (rng.random(), StandardNormal.sample(&mut rng));
            if (together || keep * self.enrichment < 1.0) && !planted.contains_key(&id) {
                planted.insert(id, self.strength * (0.3 * z - 0.045).exp());
            }
        }
        Ok(Box::new(Matrix { pool: Arc::new(pool), factors, signs, planted, noise: self.noise }))
    }

    fn seeded(&self) -> bool {
        self.world_seed.is_none()
    }
}

impl RewardMatrix {
    fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::Config(format!("reward_matrix: {what}")));
        if self.genes < 2 || self.columns == Some(0) || self.rank == 0 {
            return wrong("there must be at least 2 genes, 1 column and rank 1".into());
        }
        for (name, v, low, high) in [
            ("smooth", self.smooth, 0.0, f64::MAX),
            ("within", self.within, 0.0, 1.0),
            ("interactions", self.interactions, 0.0, 0.5),
            ("enrichment", self.enrichment, 1.0, 1000.0),
            ("strength", self.strength, 0.0, f64::MAX),
            ("noise", self.noise, 0.0, f64::MAX),
        ] {
            if !(low..=high).contains(&v) {
                let range = if high == f64::MAX { format!("at least {low}") } else { format!("from {low} to {high}") };
                return wrong(format!("{name} = {v}; it must be {range}"));
            }
        }
        Ok(())
    }

    /// The pathway of a gene; columns start again with the first.
    fn pathway(&self, gene: usize) -> usize {
        let g = if gene < self.genes { gene } else { gene - self.genes };
        g % self.pathways.max(1)
    }
}

struct Matrix {
    pool: Arc<Pool>,
    factors: Array2<f64>,
    signs: Vec<f64>,
    planted: HashMap<usize, f64>,
    noise: f64,
}

impl Matrix {
    fn value(&self, id: usize) -> f64 {
        let smooth = self.pool.with_genes(id, |g| {
            let (a, b) = (self.factors.row(g[0].index()), self.factors.row(g[1].index()));
            self.signs.iter().zip(a).zip(b).map(|((d, a), b)| d * a * b).sum::<f64>()
        });
        smooth + self.planted.get(&id).unwrap_or(&0.0)
    }
}

impl Screen for Matrix {
    fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    fn n_outputs(&self) -> usize {
        1
    }

    fn measure(&self, ids: &[usize], _: &Experiment, streams: &Streams) -> Result<Readouts> {
        let mut out = Readouts::plain(ids, Array2::from_shape_fn((ids.len(), 1), |(r, _)| self.value(ids[r])));
        if self.noise > 0.0 {
            let streams = streams.child("reward_matrix");
            for (r, &id) in ids.iter().enumerate() {
                let z: f64 =
                    StandardNormal.sample(&mut streams.index(id).index(out.replicate[r] as usize).rng("noise"));
                out.y[(r, 0)] += self.noise * z;
            }
            out.sd = Some(Array2::from_elem(out.y.dim(), self.noise));
        }
        Ok(out)
    }

    fn truth(&self, ids: &[usize]) -> Option<Array2<f64>> {
        Some(Array2::from_shape_fn((ids.len(), 1), |(r, _)| self.value(ids[r])))
    }

    fn gene_factors(&self) -> Option<Array2<f64>> {
        Some(self.factors.clone())
    }

    fn relations(&self, ids: &[usize]) -> Option<Vec<Relation>> {
        let of = |id: &usize| if self.planted.contains_key(id) { Relation::Interacting } else { Relation::Separable };
        Some(ids.iter().map(of).collect())
    }

    fn notes(&self) -> Vec<String> {
        vec![format!("{} of {} pairs have a planted interaction", self.planted.len(), self.pool.len())]
    }
}

framework::register!(
    Oracle,
    RewardMatrix,
    "reward_matrix",
    "simulates pair rewards: low rank with pathways plus planted interactions"
);

#[cfg(test)]
mod tests {
    use super::*;
    use framework::data::DataRoot;
    use framework::numerics::{eigh, stats};

    fn open(oracle: &RewardMatrix, seed: u64) -> Box<dyn Screen> {
        oracle.open(&Setup { data: &DataRoot::default(), streams: &Streams::new(seed) }).unwrap()
    }

    fn all(s: &dyn Screen) -> Vec<usize> {
        (0..s.pool().len()).collect()
    }

    #[test]
    fn what_is_planted_is_known_and_the_rest_has_the_rank_asked_for() {
        let smooth = RewardMatrix { interactions: 0.0, rank: 3, ..RewardMatrix::default() };
        let s = open(&smooth, 1);
        let (n, y) = (50, s.truth(&all(&*s)).unwrap());
        assert_eq!(y.nrows(), 1225);
        let f = s.gene_factors().unwrap();
        // Off the diagonal the matrix is F diag(d) Fᵀ: what is left after fitting d by least squares is nothing.
        let rows: Vec<(usize, usize)> = (0..n).flat_map(|i| (i + 1..n).map(move |j| (i, j))).collect();
        let x = Array2::from_shape_fn((rows.len(), 3), |(r, k)| f[(rows[r].0, k)] * f[(rows[r].1, k)]);
        let d = Cholesky::new(x.t().dot(&x).view()).unwrap().solve(x.t().dot(&y).view());
        assert!((x.dot(&d) - &y).iter().all(|v| v.abs() < 1e-9));
        assert!(d.iter().all(|v| (v.abs() * 3f64.sqrt() - 1.0).abs() < 1e-9), "{d}");
        let sparse = open(&RewardMatrix { interactions: 0.02, rank: 3, ..smooth.clone() }, 1);
        let planted = sparse.truth(&all(&*sparse)).unwrap() - &y;
        let known = sparse.relations(&all(&*sparse)).unwrap();
        let counted = known.iter().filter(|r| **r == Relation::Interacting).count();
        assert_eq!(counted, 25, "2 % of 1,225, rounded");
        assert!(planted.iter().zip(&known).all(|(v, r)| (*v > 0.2) == (*r == Relation::Interacting)));
        let sizes: Vec<f64> = planted.iter().copied().filter(|v| *v > 0.2).collect();
        assert!((stats::mean(&sizes) - 2.0).abs() < 5.0 * 0.6 / 5.0);
    }

    #[test]
    fn pathways_gather_rewards_and_interactions() {
        let oracle = RewardMatrix { genes: 200, within: 0.9, enrichment: 20.0, pathways: 4, ..RewardMatrix::default() };
        let s = open(&oracle, 2);
        let known = s.relations(&all(&*s)).unwrap();
        let same = |id: &usize| s.pool().with_genes(*id, |g| g[0].0 % 4 == g[1].0 % 4);
        let planted: Vec<usize> = all(&*s).into_iter().filter(|&i| known[i] == Relation::Interacting).collect();
        let share = planted.iter().filter(|i| same(i)).count() as f64 / planted.len() as f64;
        // About a quarter of pairs, 20 times as likely: 20 / 23.
        assert!((share - 0.866).abs() < 5.0 * (0.866f64 * 0.134 / planted.len() as f64).sqrt(), "{share}");
        let f = s.gene_factors().unwrap();
        let (values, _) = eigh((f.t().dot(&f)).view()).unwrap();
        assert!(values.len() == 5 && values[4] > 0.0);
    }

    #[test]
    fn measurements_are_noisy_by_pair_and_worlds_by_seed() {
        let oracle = RewardMatrix { columns: Some(7), genes: 11, noise: 0.5, ..RewardMatrix::default() };
        let s = open(&oracle, 3);
        assert_eq!((s.pool().len(), s.pool().label(8)), (77, "g1+q1".into()));
        let streams = Streams::new(9);
        let at = |ids: &[usize]| s.measure(ids, &Experiment::of_round(1), &streams).unwrap().y;
        assert_eq!(at(&[5, 60])[(1, 0)], at(&[60])[(0, 0)]);
        let off: Vec<f64> = (at(&[4; 20_000]) - s.truth(&[4]).unwrap()[(0, 0)]).into_iter().collect();
        assert!((stats::sd(&off) - 0.5).abs() < 0.015 && stats::mean(&off).abs() < 0.02);
        let truth = |o: &RewardMatrix, seed| open(o, seed).truth(&[3, 9]).unwrap();
        assert_eq!(truth(&oracle, 3), truth(&oracle, 3));
        assert_ne!(truth(&oracle, 3), truth(&oracle, 4));
        let fixed = RewardMatrix { world_seed: Some(1), ..oracle };
        assert_eq!(truth(&fixed, 3), truth(&fixed, 4));
        assert!(!fixed.seeded());
    }

    #[test]
    fn two_hundred_million_pairs_open_and_mistakes_are_told() {
        let s = open(&RewardMatrix { genes: 20_000, interactions: 1e-5, ..RewardMatrix::default() }, 1);
        assert_eq!(s.pool().len(), 199_990_000);
        assert!(s.truth(&[199_989_999]).unwrap()[(0, 0)].is_finite());
        let bad = RewardMatrix { interactions: 0.7, ..RewardMatrix::default() };
        let e = bad.open(&Setup { data: &DataRoot::default(), streams: &Streams::new(1) }).err().unwrap().to_string();
        assert_eq!(e, "reward_matrix: interactions = 0.7; it must be from 0 to 0.5");
    }
}
