//! k-means selection: as many clusters of the candidates as the batch has places, the nearest candidate to each
//! centre.
//!
//! Lloyd's iterations in feature space on the candidates alone (the rule `KMeans` of IterPert and `kmeansdata` of
//! GeneDisco; Mehrjou et al. 2022). Clusters are taken by size, largest first, ties to the cluster started first;
//! each takes the candidate nearest to its centre that none has taken, ties to the lowest id. A cluster that stays
//! empty (fewer different candidates than places) gives its place to a random candidate.
//!
//! Cost: O(n batch d) an iteration at most, late ones a fraction; memory n d in double precision. Kernels without
//! feature rows are refused.

use framework::numerics::sq_distances;
use framework::prelude::*;
use learn::clustering::{Lloyd, feature_rows};

/// One candidate for each of as many clusters as the batch has places: the nearest to the centre, clusters in order
/// of size. The score is the size of the cluster.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KMeans {
    /// First centres: `"k_means_pp"` (default), drawn in proportion to squared distance, or `"random"`, uniformly.
    #[serde(default)]
    pub init: Init,
    /// Independent starts, of which the best is kept (default 10).
    #[serde(default = "ten")]
    pub restarts: usize,
    /// Most iterations of a start (default 300). A start ends earlier when the sum of squared distances to the
    /// centres falls by less than 1e-4 of itself.
    #[serde(default = "three_hundred")]
    pub iterations: usize,
}

/// First centres.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// Drawn in proportion to squared distance.
    #[default]
    KMeansPp,
    /// Drawn uniformly.
    Random,
}

fn ten() -> usize {
    10
}

fn three_hundred() -> usize {
    300
}

impl Default for KMeans {
    fn default() -> Self {
        Self { init: Init::default(), restarts: ten(), iterations: three_hundred() }
    }
}

#[typetag::serde(name = "k_means")]
impl Acquisition for KMeans {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        let batch = self.pick(cx.gram()?, &cx.candidates.to_vec(), cx.batch(), &mut cx.rng("k_means"))?;
        Ok(cx.fill(batch))
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Similarity])
    }
}

impl KMeans {
    fn pick(&self, gram: &Gram, ids: &[usize], n: usize, rng: &mut StreamRng) -> Result<Batch> {
        if self.restarts == 0 || self.iterations == 0 {
            return Err(Error::Config("`k_means` needs `restarts` and `iterations` of at least 1".into()));
        }
        let x = feature_rows(gram, ids, "k_means")?;
        let lloyd = Lloyd {
            restarts: self.restarts,
            iterations: self.iterations,
            tolerance: 1e-4,
            plus_plus: self.init == Init::KMeansPp,
        };
        let clusters = lloyd.cluster(x.view(), n, rng)?;
        let mut order: Vec<usize> = (0..clusters.sizes.len()).filter(|&c| clusters.sizes[c] > 0).collect();
        order.sort_by(|&a, &b| clusters.sizes[b].cmp(&clusters.sizes[a]).then(a.cmp(&b)));
        let mut taken = vec![false; ids.len()];
        let mut batch = Batch::default();
        for group in order.chunks(64) {
            let d = sq_distances(clusters.centres.select(Axis(0), group).view(), x.view());
            for (&c, d) in group.iter().zip(d.outer_iter()) {
                let open = d.iter().enumerate().filter(|(i, _)| !taken[*i]);
                if let Some((i, _)) = open.reduce(|best, v| if v.1 < best.1 { v } else { best }) {
                    taken[i] = true;
                    batch.ids.push(ids[i]);
                    batch.scores.push(clusters.sizes[c] as f64);
                }
            }
        }
        Ok(batch)
    }
}

framework::register!(Acquisition, KMeans, "k_means", "nearest candidate to each k-means centre");

#[cfg(test)]
mod tests {
    use super::*;
    use rand_distr::{Distribution, StandardNormal};

    /// 20, 30, 40 and 50 candidates around four far points, mixed.
    fn planted() -> (Array2<f64>, Vec<usize>) {
        let mut rng = Streams::new(1).rng("rows");
        let of: Vec<usize> = (0..140).map(|i| [3, 2, 3, 1, 3, 0, 2, 1, 2, 3, 0, 1, 2, 3][i * 5 % 14]).collect();
        let x = Array2::from_shape_fn((140, 3), |(i, j)| {
            let z: f64 = StandardNormal.sample(&mut rng);
            0.2 * z + if of[i] == j { 9.0 } else { 0.0 }
        });
        (x, of)
    }

    #[test]
    fn each_planted_cluster_gives_the_candidate_nearest_to_its_mean_largest_first() {
        let (x, of) = planted();
        let ids: Vec<usize> = (0..140).collect();
        let run = |x: Array2<f64>, seed: u64| {
            KMeans::default().pick(&Gram::of_features(x), &ids, 4, &mut Streams::new(seed).rng("k")).unwrap()
        };
        let b = run(x.clone(), 1);
        let mut sizes = [0; 4];
        of.iter().for_each(|&c| sizes[c] += 1);
        assert_eq!(b.scores, b.ids.iter().map(|&i| f64::from(sizes[of[i]])).collect::<Vec<_>>());
        assert!(b.scores.windows(2).all(|w| w[0] >= w[1]));
        for &pick in &b.ids {
            let members: Vec<usize> = ids.iter().copied().filter(|&i| of[i] == of[pick]).collect();
            let mean = x.select(Axis(0), &members).mean_axis(Axis(0)).unwrap();
            let d = |i: usize| (&x.row(i) - &mean).mapv(|v| v * v).sum();
            assert!(members.iter().all(|&i| d(i) >= d(pick) - 1e-12));
        }
        // Neither the seed (the clusters are plain) nor the scale changes the choice.
        assert_eq!(run(x.clone(), 2).ids, b.ids);
        assert_eq!(run(x * 8.0, 1).ids, b.ids);
    }

    #[test]
    fn coinciding_candidates_are_not_both_taken_and_other_kernels_are_refused() {
        let x = Array2::from_shape_fn((30, 2), |(i, j)| (i % 5 * (j + 1)) as f64);
        let ids: Vec<usize> = (0..30).collect();
        let rng = || Streams::new(3).rng("k");
        let got = KMeans::default().pick(&Gram::of_features(x.clone()), &ids, 8, &mut rng()).unwrap().ids;
        let mut points: Vec<usize> = got.iter().map(|i| i % 5).collect();
        points.sort_unstable();
        assert_eq!(points, [0, 1, 2, 3, 4]);
        let stored = Gram::stored(x.dot(&x.t()));
        let e = KMeans::default().pick(&stored, &ids, 8, &mut rng()).unwrap_err().to_string();
        assert!(e.contains("`k_means`") && e.contains("feature"), "{e}");
        let mut bad = x;
        bad[(7, 0)] = f64::INFINITY;
        let e = KMeans::default().pick(&Gram::of_features(bad), &ids, 8, &mut rng()).unwrap_err().to_string();
        assert!(e.contains("perturbation 7"), "{e}");
    }
}
