//! k-means clustering: Lloyd's iterations from k-means++ starts.
//!
//! An iteration compares rows with centres by one product, and only where something can have changed: a
//! centre that lost and won no row stays where it is, so rows of such clusters are compared with the moved
//! centres alone. Late iterations, in which few rows change cluster, cost a fraction of the first.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use numerics::gram::Gram;
use numerics::gram::Nearest;
use numerics::gram::Rows;
use numerics::linalg::{matmul_t, sq_norms};
use numerics::streams::StreamRng;
use numerics::{Error, Result};
use rayon::prelude::*;
use std::sync::Arc;

/// Rows of a tile.
const TILE: usize = 256;

/// The feature rows of `ids` under a kernel, for rules (named `rule`) that average rows.
pub fn feature_rows(gram: &Gram, ids: &[usize], rule: &str) -> Result<Array2<f64>> {
    let slim = gram.up_to_constant();
    let Some(rows) = slim.as_ref().unwrap_or(gram).rows() else {
        return Err(Error::Unsupported(format!(
            "`{rule}` averages feature rows, and this kernel is known by its values only; use a kernel of features \
             (`linear`, `cosine`, `last_layer`, ..., their weighted sums, or one that `rp` can project)"
        )));
    };
    let x = rows.get(ids);
    match x.outer_iter().position(|r| r.iter().any(|v| !v.is_finite())) {
        None => Ok(x),
        Some(i) => Err(Error::Breakdown(format!(
            "perturbation {} has kernel features that are not finite numbers; check the priors, the model and the kernel",
            ids[i]
        ))),
    }
}

/// How to cluster.
#[derive(Clone, Copy, Debug)]
pub struct Lloyd {
    /// Independent starts, of which the one of least objective is kept.
    pub restarts: usize,
    /// Most iterations of one start.
    pub iterations: usize,
    /// A start ends when its objective falls by less than this part of itself.
    pub tolerance: f64,
    /// Start from k-means++ (draws in proportion to squared distance) or from rows drawn uniformly.
    pub plus_plus: bool,
}

/// Clusters of rows.
#[derive(Clone, Debug)]
pub struct Clusters {
    /// Means of the clusters: k x d. Of a cluster without members, where it was last.
    pub centres: Array2<f64>,
    /// The cluster of each row.
    pub of: Vec<u32>,
    /// Squared distance of each row to the centre of its cluster.
    pub d2: Vec<f64>,
    /// Members of each cluster.
    pub sizes: Vec<usize>,
    /// Objective after each iteration of the start that was kept; never increases.
    pub objectives: Vec<f64>,
}

impl Lloyd {
    /// `k` clusters (at most as many as there are rows) of the rows of `x` (n x d). A cluster that loses all its
    /// members moves to the row farthest from its centre; clusters stay empty only where rows coincide.
    /// O(n k d) an iteration at most, memory n d.
    pub fn cluster(&self, x: ArrayView2<f64>, k: usize, rng: &mut StreamRng) -> Result<Clusters> {
        let n = x.nrows();
        let k = k.min(n);
        // Distances do not change when the origin moves, and products lose less near it.
        let origin = x.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(x.ncols()));
        let x = Arc::new(&x - &origin);
        let all: Vec<usize> = (0..n).collect();
        let blank = Nearest::of_rows(&Rows::Held(x.clone()), false, &all, &[])?;
        let mut best: Option<Clusters> = None;
        for _ in 0..self.restarts.max(1) {
            let mut starts = vec![];
            if self.plus_plus {
                let mut state = blank.without_centres();
                while starts.len() < k
                    && let Some((i, _)) = state.draw(rng)?
                {
                    starts.push(i);
                }
            }
            if starts.len() < k {
                // Uniform starts, or rows that coincide with starts: their clusters will be empty.
                let rest = rand::seq::index::sample(rng, n, k);
                starts.extend(rest.into_iter().take(k - starts.len()));
            }
            let found = self.iterate(&x, x.select(Axis(0), &starts));
            if best.as_ref().is_none_or(|b| found.objective() < b.objective()) {
                best = Some(found);
            }
        }
        let mut best = match best {
            Some(b) => b,
            None => self.iterate(&x, Array2::zeros((0, x.ncols()))),
        };
        best.centres += &origin;
        Ok(best)
    }

    fn iterate(&self, x: &Array2<f64>, centres: Array2<f64>) -> Clusters {
        let (n, k) = (x.nrows(), centres.nrows());
        let mut c = Clusters {
            centres,
            of: vec![u32::MAX; n],
            d2: vec![f64::INFINITY; n],
            sizes: vec![0; k],
            objectives: vec![],
        };
        if k == 0 {
            return c;
        }
        let norms = sq_norms(x.view());
        let mut moved = vec![true; k];
        loop {
            let changed = c.assign(x, &norms, &moved);
            let before = c.objectives.last().copied();
            let now: f64 = c.d2.iter().sum();
            c.objectives.push(now);
            let slow = before.is_some_and(|b| b - now <= self.tolerance * b);
            if changed.iter().all(|m| !m) || slow || c.objectives.len() > self.iterations {
                return c;
            }
            moved = c.update(x, changed);
        }
    }
}

impl Clusters {
    /// Sum of the squared distances of rows to the centres of their clusters.
    pub fn objective(&self) -> f64 {
        self.objectives.last().copied().unwrap_or(0.0)
    }

    /// Brings the cluster of each row up to date and says which clusters won or lost rows.
    fn assign(&mut self, x: &Array2<f64>, norms: &[f64], moved: &[bool]) -> Vec<bool> {
        let k = self.centres.nrows();
        let all: Vec<u32> = (0..k as u32).collect();
        let some: Vec<u32> = all.iter().copied().filter(|&c| moved[c as usize]).collect();
        let lengths = sq_norms(self.centres.view());
        let moved_centres = self.centres.select(Axis(0), &some.iter().map(|&c| c as usize).collect::<Vec<_>>());
        let (centres, of, d2) = (&self.centres, &mut self.of, &mut self.d2);
        let tiles = x.axis_chunks_iter(Axis(0), TILE).into_par_iter().zip(norms.par_chunks(TILE));
        let parts: Vec<Vec<(u32, u32)>> = tiles
            .zip(of.par_chunks_mut(TILE))
            .zip(d2.par_chunks_mut(TILE))
            .map(|(((x, norms), of), d2)| {
                let stale = |c: u32| c == u32::MAX || moved[c as usize];
                let (again, kept): (Vec<usize>, Vec<usize>) = (0..norms.len()).partition(|&i| stale(of[i]));
                let mut changes = vec![];
                for (rows, numbers, to) in [(again, &all, centres), (kept, &some, &moved_centres)] {
                    if rows.is_empty() || numbers.is_empty() {
                        continue;
                    }
                    let products = match rows.len() == norms.len() {
                        true => matmul_t(x, to.view()),
                        false => matmul_t(x.select(Axis(0), &rows).view(), to.view()),
                    };
                    for (&i, products) in rows.iter().zip(products.outer_iter()) {
                        let old = of[i];
                        let mut best = if stale(old) { (f64::INFINITY, u32::MAX) } else { (d2[i], old) };
                        for (&c, p) in numbers.iter().zip(products) {
                            let v = (norms[i] + lengths[c as usize] - 2.0 * p).max(0.0);
                            if v < best.0 {
                                best = (v, c);
                            }
                        }
                        (d2[i], of[i]) = best;
                        if best.1 != old {
                            changes.push((old, best.1));
                        }
                    }
                }
                changes
            })
            .collect();
        let mut changed = vec![false; k];
        for (from, to) in parts.into_iter().flatten() {
            if let Some(size) = self.sizes.get_mut(from as usize) {
                *size -= 1;
                changed[from as usize] = true;
            }
            self.sizes[to as usize] += 1;
            changed[to as usize] = true;
        }
        changed
    }

    /// Moves centres to the means of their members, where these changed, and says which moved.
    fn update(&mut self, x: &Array2<f64>, mut moved: Vec<bool>) -> Vec<bool> {
        if self.sizes.contains(&0) {
            let mut far: Vec<usize> = (0..x.nrows()).collect();
            far.sort_by(|&a, &b| self.d2[b].total_cmp(&self.d2[a]).then(a.cmp(&b)));
            let mut far = far.into_iter();
            for c in 0..self.sizes.len() {
                if self.sizes[c] > 0 {
                    continue;
                }
                let Some(i) = far.find(|&i| self.sizes[self.of[i] as usize] > 1) else { break };
                if self.d2[i] <= 0.0 {
                    break;
                }
                let from = self.of[i] as usize;
                (self.sizes[from], self.sizes[c]) = (self.sizes[from] - 1, 1);
                (self.of[i], self.d2[i]) = (c as u32, 0.0);
                (moved[from], moved[c]) = (true, true);
            }
        }
        let mut members = vec![vec![]; self.sizes.len()];
        for (i, &c) in self.of.iter().enumerate() {
            if moved[c as usize] {
                members[c as usize].push(i);
            }
        }
        self.centres.axis_iter_mut(Axis(0)).into_par_iter().zip(&members).for_each(|(mut centre, members)| {
            if !members.is_empty() {
                centre.fill(0.0);
                members.iter().for_each(|&i| centre += &x.row(i));
                centre /= members.len() as f64;
            }
        });
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use numerics::streams::Streams;
    use rand_distr::{Distribution, StandardNormal};

    const LLOYD: Lloyd = Lloyd { restarts: 4, iterations: 300, tolerance: 0.0, plus_plus: true };

    /// `per` rows around each of `k` far centres on a diagonal, in turn.
    fn planted(k: usize, per: usize, d: usize) -> Array2<f64> {
        let mut rng = Streams::new(4).rng("rows");
        Array2::from_shape_fn((k * per, d), |(i, j)| {
            let z: f64 = StandardNormal.sample(&mut rng);
            0.3 * z + if j == i % k % d { 20.0 + 10.0 * (i % k / d) as f64 } else { 0.0 }
        })
    }

    fn noise(n: usize, d: usize) -> Array2<f64> {
        let mut rng = Streams::new(5).rng("rows");
        Array2::from_shape_simple_fn((n, d), || StandardNormal.sample(&mut rng))
    }

    #[test]
    fn planted_clusters_are_found() {
        let x = planted(12, 60, 5);
        let c = LLOYD.cluster(x.view(), 12, &mut Streams::new(1).rng("k")).unwrap();
        assert_eq!(c.sizes, [60; 12]);
        for i in 0..x.nrows() {
            assert_eq!(c.of[i], c.of[i % 12], "rows of one planted cluster stay together");
        }
        let mean = x.select(Axis(0), &(0..60).map(|t| 12 * t).collect::<Vec<_>>()).mean_axis(Axis(0)).unwrap();
        let centre = c.centres.row(c.of[0] as usize);
        assert!((&mean - &centre).iter().all(|d| d.abs() < 1e-12));
    }

    #[test]
    fn the_result_is_a_fixed_point_and_the_objective_never_rises() {
        let x = noise(900, 6) + 30.0;
        for plus_plus in [true, false] {
            let lloyd = Lloyd { restarts: 1, plus_plus, ..LLOYD };
            let c = lloyd.cluster(x.view(), 40, &mut Streams::new(2).rng("k")).unwrap();
            assert!(c.objectives.len() > 5, "{}", c.objectives.len());
            assert!(c.objectives.windows(2).all(|w| w[1] <= w[0] * (1.0 + 1e-12)), "{:?}", c.objectives);
            // Every row belongs to the nearest mean, every mean is that of its rows, by the definitions.
            let mut sizes = vec![0; 40];
            for (i, row) in x.outer_iter().enumerate() {
                let d = |c: ndarray::ArrayView1<f64>| (&row - &c).mapv(|v| v * v).sum();
                let all: Vec<f64> = c.centres.outer_iter().map(d).collect();
                let own = all[c.of[i] as usize];
                assert!(all.iter().all(|v| *v >= own - 1e-9) && (own - c.d2[i]).abs() < 1e-9);
                sizes[c.of[i] as usize] += 1;
            }
            assert_eq!(sizes, c.sizes);
            for k in 0..40 {
                let members: Vec<usize> = (0..900).filter(|&i| c.of[i] == k).collect();
                let mean = x.select(Axis(0), &members).mean_axis(Axis(0)).unwrap();
                assert!((&mean - &c.centres.row(k as usize)).iter().all(|v| v.abs() < 1e-9));
            }
        }
    }

    #[test]
    fn coinciding_rows_leave_clusters_empty_and_nothing_else() {
        let x = Array2::from_shape_fn((30, 2), |(i, j)| (i % 3 * (j + 1)) as f64);
        let c = LLOYD.cluster(x.view(), 8, &mut Streams::new(3).rng("k")).unwrap();
        assert!(c.objective() < 1e-20);
        assert_eq!(c.sizes.iter().filter(|s| **s > 0).count(), 3);
        let all = LLOYD.cluster(noise(7, 2).view(), 20, &mut Streams::new(3).rng("k")).unwrap();
        assert_eq!(all.sizes, [1; 7], "as many clusters as rows, at most");
        assert!(LLOYD.cluster(Array2::zeros((0, 2)).view(), 3, &mut Streams::new(3).rng("k")).unwrap().of.is_empty());
    }

    #[test]
    fn threads_do_not_change_the_result() {
        let x = noise(3000, 9);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| LLOYD.cluster(x.view(), 25, &mut Streams::new(6).rng("k")).unwrap())
        };
        let (one, three) = (run(1), run(3));
        assert_eq!((one.of, one.objectives), (three.of, three.objectives));
    }
}
