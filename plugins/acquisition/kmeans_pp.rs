//! k-means++ selection: draws in proportion to the squared distance to the nearest centre.
//!
//! P(x) = d²(x) / Σ_z d²(z), d² to the nearest of everything measured (mode TP) and drawn; the first draw is uniform
//! while there is no centre (Arthur & Vassilvitskii 2007; the sampling step of BADGE, Ash et al. 2020; Holzmüller et
//! al. 2023, section 4). BADGE as released starts from the row of largest norm instead.
//!
//! Cost: O(n |S| d) for the measured, in tiled products, and little for the batch: a draw in proportion to older
//! distances that is kept with probability new / old is a draw in proportion to new ones, and needs the new distance
//! of the drawn candidate only. All are brought up to date when too many draws are turned down. Memory n d.

use framework::numerics::Nearest;
use framework::prelude::*;

/// Draws candidates with probability proportional to the squared distance to the nearest centre, one after another.
/// The score is that distance at the time of drawing (0 for a first pick from nothing).
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KmeansPp {
    /// Centres from which to start: `"tp"` (default), the measured perturbations, or `"p"`, none.
    #[serde(default)]
    pub mode: Mode,
    /// The first pick while there is no centre: `"uniform"` (default), or `"largest"`, the candidate of largest norm
    /// (ties to the lowest id), as in the released BADGE.
    #[serde(default)]
    pub first: First,
}

/// The first pick from nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum First {
    /// Any candidate.
    #[default]
    Uniform,
    /// That of largest norm.
    Largest,
}

#[typetag::serde(name = "kmeans_pp")]
impl Acquisition for KmeansPp {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        let ids = cx.candidates.to_vec();
        let centres = cx.centres(self.mode);
        let batch = drawn(cx.gram()?, &ids, &centres, cx.batch(), self.first, &mut cx.rng("kmeans_pp"))?;
        // Candidates left over coincide with centres: no distance is left to draw by.
        Ok(cx.fill(batch))
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Similarity])
    }
}

/// Up to `n` draws; fewer when all candidates left are at distance 0.
fn drawn(gram: &Gram, ids: &[usize], centres: &[usize], n: usize, first: First, rng: &mut StreamRng) -> Result<Batch> {
    let mut state = Nearest::new(gram, ids, centres)?;
    let mut batch = Batch::default();
    if centres.is_empty() && first == First::Largest && n > 0 {
        let largest = Batch::top(ids, &gram.diagonal(ids), 1)?;
        if let Some(i) = ids.iter().position(|id| largest.ids.first() == Some(id)) {
            state.add(i)?;
            batch = Batch { scores: vec![0.0], ..largest };
        }
    }
    while batch.ids.len() < n
        && let Some((i, d2)) = state.draw(rng)?
    {
        batch.ids.push(ids[i]);
        batch.scores.push(if d2.is_finite() { d2 } else { 0.0 });
    }
    Ok(batch)
}

framework::register!(Acquisition, KmeansPp, "kmeans_pp", "draws in proportion to squared distance");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::normal;
    use std::sync::Arc;

    fn sq(x: &Array2<f64>, a: usize, b: usize) -> f64 {
        (&x.row(a) - &x.row(b)).mapv(|v| v * v).sum()
    }

    #[test]
    fn the_first_two_draws_have_the_probabilities_of_the_definition() {
        let x = normal(9, 2, 1);
        let gram = Gram::of_features(x.clone());
        let ids: Vec<usize> = (2..9).collect();
        for start in [vec![0, 1], vec![]] {
            let mut want = Array2::<f64>::zeros((9, 9));
            let d2 = |i: usize, centres: &[usize]| centres.iter().map(|&c| sq(&x, i, c)).fold(f64::INFINITY, f64::min);
            let first = |i: usize| if start.is_empty() { 1.0 } else { d2(i, &start) };
            let total: f64 = ids.iter().map(|&i| first(i)).sum();
            for &a in &ids {
                let centres = [start.clone(), vec![a]].concat();
                let rest: f64 = ids.iter().map(|&i| d2(i, &centres)).sum();
                ids.iter().for_each(|&b| want[(a, b)] = first(a) / total * d2(b, &centres) / rest);
            }
            const RUNS: usize = 40_000;
            let mut seen = Array2::<f64>::zeros((9, 9));
            let mut rng = Streams::new(2).rng("draws");
            for _ in 0..RUNS {
                let b = drawn(&gram, &ids, &start, 2, First::Uniform, &mut rng).unwrap();
                seen[(b.ids[0], b.ids[1])] += 1.0;
            }
            let cells = want.iter().zip(&seen).filter(|(w, _)| **w > 0.0);
            let chi: f64 = cells.map(|(w, s)| (s - w * RUNS as f64).powi(2) / (w * RUNS as f64)).sum();
            assert!(want.iter().zip(&seen).all(|(w, s)| *w > 0.0 || *s == 0.0));
            // 42 cells, 41 degrees of freedom: above 74.7 with probability 0.001.
            assert!(chi < 74.7, "chi-square {chi}");
        }
    }

    /// A long batch, in which distances are brought up to date many times: the mean potential left after it is
    /// that of plain k-means++.
    #[test]
    fn long_batches_leave_the_potential_of_plain_draws() {
        let mut x = normal(200, 2, 3) * 0.1;
        x.outer_iter_mut().enumerate().for_each(|(i, mut r)| r[0] += (i % 20) as f64);
        let ids: Vec<usize> = (0..200).collect();
        let gram = Gram::of_features(x.clone());
        let left = |picks: &[usize]| -> f64 {
            let d2 = |i: usize| picks.iter().map(|&c| sq(&x, i, c)).fold(f64::INFINITY, f64::min);
            ids.iter().map(|&i| d2(i)).sum()
        };
        let plain = |rng: &mut StreamRng| {
            let mut picks = vec![rng.random_range(0..200)];
            while picks.len() < 30 {
                let d2 = |i: usize| picks.iter().map(|&c| sq(&x, i, c)).fold(f64::INFINITY, f64::min);
                let all: Vec<f64> = ids.iter().map(|&i| d2(i)).collect();
                let mut at = rng.random::<f64>() * all.iter().sum::<f64>();
                let pick = all.iter().position(|d| {
                    at -= d;
                    at < 0.0
                });
                picks.push(pick.unwrap_or(199));
            }
            picks
        };
        const RUNS: usize = 300;
        let mut rng = Streams::new(5).rng("draws");
        let (mut ours, mut theirs) = (vec![], vec![]);
        for _ in 0..RUNS {
            ours.push(left(&drawn(&gram, &ids, &[], 30, First::Uniform, &mut rng).unwrap().ids));
            theirs.push(left(&plain(&mut rng)));
        }
        let mean = |v: &[f64]| v.iter().sum::<f64>() / RUNS as f64;
        let var = |v: &[f64]| v.iter().map(|x| (x - mean(v)).powi(2)).sum::<f64>() / RUNS as f64;
        let z = (mean(&ours) - mean(&theirs)) / ((var(&ours) + var(&theirs)) / RUNS as f64).sqrt();
        // Two-sided at level 0.001.
        assert!(z.abs() < 3.3, "{} against {}", mean(&ours), mean(&theirs));
    }

    #[test]
    fn scale_form_and_threads_do_not_matter_and_duplicates_come_once() {
        let x = normal(60, 3, 4);
        let x = ndarray::concatenate![Axis(0), x, x] + 50.0;
        let ids: Vec<usize> = (5..120).collect();
        let draw = |gram: &Gram| {
            drawn(gram, &ids, &[0, 1, 2, 3, 4], 115, First::Uniform, &mut Streams::new(7).rng("d")).unwrap().ids
        };
        let want = draw(&Gram::of_features(x.clone()));
        let mut points: Vec<usize> = want.iter().map(|i| i % 60).collect();
        points.sort_unstable();
        assert_eq!(points, (5..60).collect::<Vec<_>>());
        assert_eq!(draw(&Gram::of_features(&x * 4.0)), want);
        let single = FeatureGram::linear(Rows::Held(Arc::new(x.clone()))).single();
        assert_eq!(draw(&single.into()).len(), 55);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(pool.install(|| draw(&Gram::of_features(x))), want);
    }

    #[test]
    fn the_largest_norm_comes_first_where_there_is_no_centre() {
        let mut x = normal(20, 3, 6);
        let most = (0..20).map(|i| x.row(i).dot(&x.row(i))).fold(0.0, f64::max);
        let long = x.row(11).to_owned() * (1.5 * (most / x.row(11).dot(&x.row(11))).sqrt());
        x.row_mut(11).assign(&long);
        x.row_mut(4).assign(&(-&long));
        let gram = Gram::of_features(x.clone());
        let ids: Vec<usize> = (0..20).collect();
        let mut seen = [0.0; 20];
        const RUNS: usize = 20_000;
        let mut rng = Streams::new(2).rng("draws");
        for _ in 0..RUNS {
            let b = drawn(&gram, &ids, &[], 2, First::Largest, &mut rng).unwrap();
            assert_eq!((b.ids[0], b.scores[0]), (4, 0.0), "ties to the lowest id");
            seen[b.ids[1]] += 1.0;
        }
        let total: f64 = ids.iter().map(|&i| sq(&x, i, 4)).sum();
        let want = |i: usize| RUNS as f64 * sq(&x, i, 4) / total;
        let chi: f64 = ids.iter().filter(|i| **i != 4).map(|&i| (seen[i] - want(i)).powi(2) / want(i)).sum();
        // 18 degrees of freedom: above 42.3 with probability 0.001.
        assert!(chi < 42.3, "chi-square {chi}");
        let b = drawn(&gram, &ids[1..], &[0], 1, First::Largest, &mut Streams::new(9).rng("d")).unwrap();
        assert!(b.scores[0] > 0.0, "with a centre it is drawn by distance");
    }

    #[test]
    fn values_that_are_not_finite_are_refused() {
        let mut k = Array2::eye(6);
        (k[(2, 4)], k[(4, 2)]) = (f64::NAN, f64::NAN);
        let gram = Gram::stored(k);
        let e = drawn(&gram, &[0, 1, 2, 3, 5], &[4], 3, First::Uniform, &mut Streams::new(1).rng("d"))
            .unwrap_err()
            .to_string();
        assert!(e.contains("must be finite"), "{e}");
        let e = drawn(&gram, &[0, 1, 2, 3, 4, 5], &[], 6, First::Uniform, &mut Streams::new(1).rng("d"))
            .unwrap_err()
            .to_string();
        assert!(e.contains("must be finite"), "{e}");
    }
}
