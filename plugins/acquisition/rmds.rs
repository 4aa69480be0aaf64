//! Best of several draws: of a few candidates drawn in proportion to d², the one that leaves the least Σ d².
//!
//! Each pick draws `candidates` times with P(x) = d²(x) / Σ_z d²(z) (independent draws, so one candidate can come
//! twice and counts once) and keeps argmin_c Σ_z min(d²(z), d²(z, c)), ties to the lowest id: greedy k-means++
//! (Arthur & Vassilvitskii 2007, section 5; the experimental rule `rmds` of the code of Holzmüller et al. 2023).
//! While there is no centre the draws are uniform. A drawn candidate is known by its place among the candidates
//! left, never by a number of the whole pool.
//!
//! Cost: O(n (|S| + batch (candidates + 1)) d). Memory n d.

use framework::numerics::Nearest;
use framework::prelude::*;

/// Picks, of several candidates drawn in proportion to squared distance, the one after which the sum of all squared
/// distances is least. The score is its own squared distance at that time (0 for a first pick from nothing).
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rmds {
    /// Centres from which to start: `"tp"` (default), the measured perturbations, or `"p"`, none.
    #[serde(default)]
    pub mode: Mode,
    /// Draws for each pick (default 5).
    #[serde(default = "five")]
    pub candidates: usize,
}

fn five() -> usize {
    5
}

impl Default for Rmds {
    fn default() -> Self {
        Self { mode: Mode::Tp, candidates: five() }
    }
}

#[typetag::serde(name = "rmds")]
impl Acquisition for Rmds {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        let ids = cx.candidates.to_vec();
        let batch = self.pick(cx.gram()?, &ids, &cx.centres(self.mode), cx.batch(), &mut cx.rng("rmds"))?;
        Ok(cx.fill(batch))
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Similarity])
    }
}

impl Rmds {
    fn pick(&self, gram: &Gram, ids: &[usize], centres: &[usize], n: usize, rng: &mut StreamRng) -> Result<Batch> {
        if self.candidates == 0 {
            return Err(Error::Config("`rmds` cannot choose from no draws; set `candidates` to 1 or more".into()));
        }
        let mut state = Nearest::new(gram, ids, centres)?;
        let mut batch = Batch::default();
        while batch.ids.len() < n {
            let mut drawn = vec![];
            for _ in 0..self.candidates {
                drawn.extend(state.propose(rng)?);
            }
            drawn.sort_unstable();
            drawn.dedup();
            let sums = state.sums_with(&drawn);
            // Two candidates nearest to each other leave the same sum, up to rounding: a tie.
            let least = sums.iter().copied().fold(f64::INFINITY, f64::min) * (1.0 + 1e-12);
            let Some((&i, _)) = drawn.iter().zip(&sums).find(|(_, s)| **s <= least) else { break };
            batch.ids.push(ids[i]);
            batch.scores.push(Some(state.d2()[i]).filter(|d| d.is_finite()).unwrap_or(0.0));
            state.add(i)?;
        }
        Ok(batch)
    }
}

framework::register!(Acquisition, Rmds, "rmds", "of several draws by squared distance, the one that leaves least");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::normal;

    /// The definition on a matrix of squared distances, with the same draws.
    fn plain(d: &Array2<f64>, ids: &[usize], start: &[usize], n: usize, m: usize, rng: &mut StreamRng) -> Vec<usize> {
        let mut centres = start.to_vec();
        let mut picks = vec![];
        for _ in 0..n {
            let d2 = |z: usize| centres.iter().map(|&c| d[(z, c)]).fold(f64::INFINITY, f64::min);
            let weights: Vec<f64> = ids.iter().map(|&z| d2(z)).collect();
            let total: f64 = weights.iter().sum();
            let draw = |rng: &mut StreamRng| {
                if centres.is_empty() {
                    return ids[rng.random_range(0..ids.len())];
                }
                let at = rng.random::<f64>() * total;
                let mut sum = 0.0;
                let of = weights.iter().position(|w| {
                    sum += w;
                    sum > at
                });
                ids[of.unwrap()]
            };
            let drawn: Vec<usize> = (0..m).map(|_| draw(rng)).collect();
            let left = |c: usize| -> f64 { ids.iter().map(|&z| d2(z).min(d[(z, c)])).sum() };
            let pick = *drawn.iter().min_by(|a, b| left(**a).total_cmp(&left(**b)).then(a.cmp(b))).unwrap();
            picks.push(pick);
            centres.push(pick);
        }
        picks
    }

    #[test]
    fn picks_are_those_of_the_definition() {
        let x = normal(150, 4, 1) + 2.0;
        let d = Array2::from_shape_fn((150, 150), |(i, j)| (&x.row(i) - &x.row(j)).mapv(|v| v * v).sum());
        // Candidates are not the first of the pool: their places and their ids differ.
        let ids: Vec<usize> = (30..150).filter(|i| i % 7 > 0).collect();
        let start: Vec<usize> = (0..30).collect();
        for m in [1, 5] {
            for start in [&start[..], &[]] {
                let want = plain(&d, &ids, start, 25, m, &mut Streams::new(3).rng("r"));
                for gram in [Gram::of_features(x.clone()), Gram::stored(x.dot(&x.t()))] {
                    let rule = Rmds { candidates: m, ..Rmds::default() };
                    let got = rule.pick(&gram, &ids, start, 25, &mut Streams::new(3).rng("r")).unwrap();
                    assert_eq!(got.ids, want);
                }
            }
        }
    }

    #[test]
    fn more_draws_leave_less_and_duplicates_come_once() {
        let x = normal(100, 2, 5);
        let x = ndarray::concatenate![Axis(0), x, x];
        let gram = Gram::of_features(x.clone());
        let ids: Vec<usize> = (0..200).collect();
        let run = |m: usize, n: usize, seed: u64| {
            let rule = Rmds { candidates: m, ..Rmds::default() };
            rule.pick(&gram, &ids, &[], n, &mut Streams::new(seed).rng("r")).unwrap().ids
        };
        let left = |picks: &[usize]| Nearest::new(&gram, &ids, picks).unwrap().d2().iter().sum::<f64>();
        let mean = |m: usize| (0..40).map(|s| left(&run(m, 10, s))).sum::<f64>();
        assert!(mean(8) < 0.9 * mean(1));
        let mut points: Vec<usize> = run(5, 200, 1).iter().map(|i| i % 100).collect();
        points.sort_unstable();
        assert_eq!(points, (0..100).collect::<Vec<_>>());
    }
}
