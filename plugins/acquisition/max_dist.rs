//! Farthest-first selection (core-set, k-centre greedy): spread the batch over the pool.
//!
//! Each pick is argmax_x min_{s in S} d²(x, s) with d²(x, y) = k(x, x) + k(y, y) - 2 k(x, y), ties to the
//! lowest id; S starts as the measured perturbations (mode TP) or empty (mode P), and while S is empty the
//! candidate of largest k(x, x) is taken (Sener & Savarese 2018; Holzmüller et al. 2023, section 4; the rule
//! of IterPert on its fused kernel).
//!
//! Cost: at most O(n (|S| + batch) d), in practice about a third of it for S and next to nothing for the
//! batch: a distance to some of the centres is an upper bound that can only fall, so a candidate is brought
//! up to date only when it comes to the top, and the picks are those of full passes. Explicit features are
//! compared by direct differences in the end, so duplicates are at distance exactly 0. Pools above 131,072
//! candidates are streamed: the 131,072 farthest of a pass are kept, and a new pass is made only when a
//! pick could lie among the rest.

use framework::numerics::matmul_t;
use framework::prelude::*;
use rayon::prelude::*;
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::ops::Range;

/// Picks the candidate farthest from everything measured and picked so far, one after another. The score
/// is the squared distance at the time of picking (k(x, x) for a first pick from nothing).
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxDist {
    /// What the batch is kept away from: `"tp"` (default), the measured perturbations and the batch itself,
    /// or `"p"`, the batch itself only.
    #[serde(default)]
    pub mode: Mode,
}

/// Candidates held at once.
const KEEP: usize = 1 << 17;
/// Candidates of a tile of a pass over a larger pool, and tiles worked on together.
const TILE: usize = 4096;
const TILES: usize = 128;

#[typetag::serde(name = "max_dist")]
impl Acquisition for MaxDist {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        if let Some(batch) = cx.on_device(self.mode, |gpu, rows, centres| gpu.max_dist(rows, centres, cx.batch()))? {
            return Ok(cx.fill(batch));
        }
        let centres = cx.centres(self.mode);
        let tick = |done| cx.tick(done, cx.batch());
        let batch = farthest_first(cx.gram()?, cx.candidates, centres, cx.batch(), KEEP, &tick)?;
        // Candidates left over coincide with centres: distance says nothing more of them.
        Ok(cx.fill(batch))
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Similarity])
    }
}

/// Up to `n` picks; fewer when all candidates left are at distance 0. Holds at most `keep` candidates.
fn farthest_first(
    gram: &Gram,
    candidates: &Candidates,
    mut centres: Vec<usize>,
    n: usize,
    keep: usize,
    tick: &dyn Fn(usize),
) -> Result<Batch> {
    let mut batch = Batch::default();
    if centres.is_empty() && n > 0 {
        let mut top = framework::domain::Top::new(1);
        candidates.tiles(keep, |ids| top.extend(ids, &gram.diagonal(ids)))?;
        batch = top.into_batch();
        centres.extend(&batch.ids);
    }
    while batch.ids.len() < n {
        let mut left = candidates.clone();
        left.remove(&batch.ids);
        let (ids, floor) = if left.len() <= keep {
            (left.to_vec(), None)
        } else {
            let mut top = framework::domain::Top::new(keep);
            left.tiles(TILE * TILES, |ids| {
                let tiles: Vec<&[usize]> = ids.chunks(TILE).collect();
                let distances = |tile: &&[usize]| Part::new(gram, tile.to_vec(), &centres).distances();
                let found: Result<Vec<Vec<f64>>> = tiles.par_iter().map(distances).collect();
                tick(batch.ids.len());
                tiles.iter().zip(found?).try_for_each(|(tile, d)| top.extend(tile, &d))
            })?;
            let kept = top.into_batch();
            let floor = kept.scores.last().copied().zip(kept.ids.last().copied());
            let mut ids = kept.ids;
            ids.sort_unstable();
            (ids, floor)
        };
        let picked = batch.ids.len();
        Part::new(gram, ids, &centres).pick(&mut batch, n, floor)?;
        tick(batch.ids.len());
        if batch.ids.len() == picked {
            break;
        }
        centres.extend(&batch.ids[picked..]);
    }
    Ok(batch)
}

/// Some candidates and the centres to keep away from, with what is needed for their distances.
struct Part<'a> {
    gram: &'a Gram,
    /// Candidates (ascending), then centres.
    ids: Vec<usize>,
    n: usize,
    rows: Option<Explicit>,
}

/// Explicit features whose inner products are the kernel.
struct Explicit {
    /// The rows of `ids`.
    x: Array2<f64>,
    /// Their mean. Distances do not change when the origin moves, and products lose less near it.
    origin: Array1<f64>,
    /// The rows of the centres, from that origin.
    centres: Array2<f64>,
    /// Squared lengths of these.
    lengths: Vec<f64>,
}

impl<'a> Part<'a> {
    fn new(gram: &'a Gram, candidates: Vec<usize>, centres: &[usize]) -> Self {
        let n = candidates.len();
        let mut ids = candidates;
        ids.extend(centres);
        let rows = gram.rows().and_then(|rows| {
            let x = rows.get(&ids);
            let origin = x.mean_axis(Axis(0))?;
            let centres = &x.slice(ndarray::s![n.., ..]) - &origin;
            let lengths = centres.outer_iter().map(|c| c.dot(&c)).collect();
            Some(Explicit { x, origin, centres, lengths })
        });
        Self { gram, ids, n, rows }
    }

    /// For each of the given candidates, the nearest of some centres (by their numbers) and the squared
    /// distance: exact for a kernel, and never below the exact one for explicit features, where rounding of
    /// the product is added.
    fn bounds(&self, candidates: &[usize], centres: Range<usize>) -> Result<Vec<(f64, u32)>> {
        let mut bounds = Vec::with_capacity(candidates.len());
        for tile in candidates.chunks(1024) {
            let mut keep = |offset: f64, distances: &[f64]| {
                let (c, least) = least(distances);
                bounds.push(((offset + least).max(0.0), (self.n + centres.start + c) as u32));
            };
            match &self.rows {
                Some(r) => {
                    let x = &r.x;
                    let inflate = 1.0 + 4.0 * f64::EPSILON * (x.ncols() + 4) as f64;
                    let x = x.select(Axis(0), tile) - &r.origin;
                    let products = matmul_t(x.view(), r.centres.slice(ndarray::s![centres.clone(), ..]));
                    let lengths: Vec<f64> = r.lengths[centres.clone()].iter().map(|l| l * inflate).collect();
                    let mut d = vec![0.0; lengths.len()];
                    for (x, products) in x.outer_iter().zip(products.outer_iter()) {
                        d.iter_mut().zip(&lengths).zip(products).for_each(|((d, l), p)| *d = l - 2.0 * p);
                        keep(x.dot(&x) * inflate, &d);
                    }
                }
                None => {
                    let some: Vec<usize> = tile.iter().map(|&i| self.ids[i]).collect();
                    let to = &self.ids[self.n + centres.start..self.n + centres.end];
                    let d = self.gram.sq_distances(&some, to);
                    d.outer_iter().for_each(|row| keep(0.0, &row.to_vec()));
                }
            }
        }
        match bounds.iter().position(|b| !b.0.is_finite()) {
            None => Ok(bounds),
            Some(i) => Err(Error::Numerical(format!(
                "the kernel distance of candidate {} to the perturbations already chosen is not a finite number; \
                 check the features and the kernel",
                self.ids[candidates[i]]
            ))),
        }
    }

    /// Squared distance of each candidate to its nearest centre.
    fn distances(&self) -> Result<Vec<f64>> {
        let all: Vec<usize> = (0..self.n).collect();
        let bounds = self.bounds(&all, 0..self.ids.len() - self.n)?;
        let exact = |(i, (d, nearest))| if self.rows.is_some() { self.distance(i, &[nearest]) } else { d };
        Ok(bounds.into_iter().enumerate().map(exact).collect())
    }

    /// Least squared distance of position `i` to the positions `to`.
    fn distance(&self, i: usize, to: &[u32]) -> f64 {
        match &self.rows {
            Some(Explicit { x, .. }) => {
                let row = x.row(i);
                let between = |j: &u32| {
                    let other = x.row(*j as usize);
                    match (row.as_slice(), other.as_slice()) {
                        (Some(a), Some(b)) => squared_difference(a, b),
                        _ => row.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum(),
                    }
                };
                to.iter().map(between).fold(f64::INFINITY, f64::min)
            }
            None => {
                let to: Vec<usize> = to.iter().map(|&j| self.ids[j as usize]).collect();
                self.gram.sq_distances(&[self.ids[i]], &to).fold(f64::INFINITY, |a, b| a.min(*b))
            }
        }
    }

    /// Adds picks to `batch` until it holds `n`, all distances are 0, or (after one pick) the best left
    /// falls below what was dropped: `floor` is the least (distance, id) that was kept.
    fn pick(self, batch: &mut Batch, n: usize, floor: Option<(f64, usize)>) -> Result<()> {
        // Kernel distances at the level of rounding are 0; direct differences need no such allowance.
        let zero = match &self.rows {
            Some(_) => 0.0,
            None => 1e-14 * self.gram.diagonal(&self.ids[..self.n]).into_iter().fold(0.0, f64::max),
        };
        // A quarter of the centres rules most candidates out; only the others are compared with the rest.
        const GROUP: usize = 256;
        let n_centres = self.ids.len() - self.n;
        let early = n_centres.min((n_centres / 4).max(64));
        let stage = if early < n_centres { Stage::Some } else { Stage::All };
        let all: Vec<usize> = (0..self.n).collect();
        let bounds = self.bounds(&all, 0..early)?.into_iter().zip(0..);
        let mut heap: BinaryHeap<Bound> =
            bounds.map(|((value, nearest), i)| Bound { value, nearest, i, stage }).collect();
        let mut picks: Vec<u32> = Vec::new();
        while batch.ids.len() < n {
            let Some(mut top) = heap.pop() else { return Ok(()) };
            match top.stage {
                Stage::Some => {
                    let mut group = vec![top];
                    while group.len() < GROUP && heap.peek().is_some_and(|b| b.stage == Stage::Some) {
                        group.extend(heap.pop());
                    }
                    let positions: Vec<usize> = group.iter().map(|b| b.i).collect();
                    for (mut b, (value, nearest)) in group.into_iter().zip(self.bounds(&positions, early..n_centres)?) {
                        if value < b.value {
                            (b.value, b.nearest) = (value, nearest);
                        }
                        b.stage = Stage::All;
                        heap.push(b);
                    }
                    continue;
                }
                Stage::All => {
                    if self.rows.is_some() {
                        top.value = self.distance(top.i, &[top.nearest]);
                    }
                    top.stage = Stage::Exact(0);
                    heap.push(top);
                    continue;
                }
                Stage::Exact(seen) if seen < picks.len() => {
                    top.value = top.value.min(self.distance(top.i, &picks[seen..]));
                    top.stage = Stage::Exact(picks.len());
                    heap.push(top);
                    continue;
                }
                Stage::Exact(_) => {}
            }
            let id = self.ids[top.i];
            let dropped_is_farther = floor.is_some_and(|(v, last)| top.value < v || (top.value == v && id > last));
            if top.value <= zero || (dropped_is_farther && !picks.is_empty()) {
                return Ok(());
            }
            picks.push(top.i as u32);
            batch.ids.push(id);
            batch.scores.push(top.value);
        }
        Ok(())
    }
}

/// Position and value of the least number, the first of several.
fn least(values: &[f64]) -> (usize, f64) {
    let mut best = (0, f64::INFINITY);
    for (i, &v) in values.iter().enumerate() {
        if v < best.1 {
            best = (i, v);
        }
    }
    best
}

/// Σ (a - b)², in four running sums so that it need not wait on one.
fn squared_difference(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; 4];
    let (mut x, mut y) = (a.chunks_exact(4), b.chunks_exact(4));
    for (a, b) in x.by_ref().zip(y.by_ref()) {
        for k in 0..4 {
            sums[k] += (a[k] - b[k]) * (a[k] - b[k]);
        }
    }
    let rest: f64 = x.remainder().iter().zip(y.remainder()).map(|(a, b)| (a - b) * (a - b)).sum();
    sums[0] + sums[1] + (sums[2] + sums[3]) + rest
}

/// An upper bound of a candidate's distance. The heap gives the largest first, ties to the lowest position.
struct Bound {
    value: f64,
    nearest: u32,
    i: usize,
    stage: Stage,
}

/// What a bound takes account of.
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    /// Some of the starting centres.
    Some,
    /// All of them.
    All,
    /// All of them without rounding, and so many picks.
    Exact(usize),
}

impl Ord for Bound {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.total_cmp(&other.value).then(other.i.cmp(&self.i))
    }
}
impl PartialOrd for Bound {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Bound {}

framework::register!(Acquisition, MaxDist, "max_dist", "farthest from everything measured and picked");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::normal;
    use std::sync::Arc;

    /// The definition, one full pass for each pick.
    fn plain(k: &Array2<f64>, candidates: &Candidates, mut centres: Vec<usize>, n: usize) -> Vec<usize> {
        let mut out = vec![];
        while out.len() < n {
            let score = |i: usize| {
                let d = |s: &usize| k[(i, i)] + k[(*s, *s)] - 2.0 * k[(i, *s)];
                if centres.is_empty() { k[(i, i)] } else { centres.iter().map(d).fold(f64::INFINITY, f64::min) }
            };
            let mut best = (usize::MAX, 0.0);
            for i in candidates.iter().filter(|i| !out.contains(i)) {
                if score(i) > best.1 + 1e-12 {
                    best = (i, score(i));
                }
            }
            if best.0 == usize::MAX {
                break;
            }
            out.push(best.0);
            centres.push(best.0);
        }
        out
    }

    #[test]
    fn every_form_and_every_memory_gives_the_picks_of_the_definition() {
        let x = normal(600, 7, 1) + 50.0;
        let k = x.dot(&x.t());
        // Above 64 starting centres distances come in two stages.
        let train: Vec<usize> = (0..600).step_by(4).collect();
        let candidates = Candidates::new(600, train.clone());
        let forms = [Gram::of_features(x.clone()), Gram::dense(k.clone()).unwrap()];
        for start in [train, vec![]] {
            let want = plain(&k, &candidates, start.clone(), 40);
            for gram in &forms {
                for keep in [1000, 160, 7] {
                    let got = farthest_first(gram, &candidates, start.clone(), 40, keep, &|_| {}).unwrap();
                    assert_eq!(got.ids, want, "keep {keep}");
                    assert!(start.is_empty() || got.scores.windows(2).all(|w| w[0] >= w[1]));
                }
            }
        }
    }

    #[test]
    fn points_on_a_line() {
        let x = ndarray::array![[0.0], [1.0], [4.0], [10.0]];
        let b = farthest_first(&Gram::of_features(x), &Candidates::new(4, vec![0]), vec![0], 3, KEEP, &|_| {}).unwrap();
        assert_eq!((b.ids, b.scores), (vec![3, 2, 1], vec![100.0, 16.0, 1.0]));
    }

    #[test]
    fn ties_go_to_the_lowest_id_and_coinciding_points_are_left_over() {
        // A grid of 5 x 5 three times over: after its corners everything ties.
        let x = Array2::from_shape_fn((75, 2), |(i, c)| if c == 0 { (i % 5) as f64 } else { (i % 25 / 5) as f64 });
        let b =
            farthest_first(&Gram::of_features(x.clone()), &Candidates::new(75, vec![12]), vec![12], 60, KEEP, &|_| {})
                .unwrap();
        assert_eq!(b.ids[..4], [0, 4, 20, 24]);
        assert_eq!(b.ids[4..8], [2, 10, 14, 22]);
        assert_eq!(b.ids.len(), 24, "24 grid points differ from the measured one");
        for keep in [30, 5] {
            let same = farthest_first(
                &Gram::of_features(x.clone()),
                &Candidates::new(75, vec![12]),
                vec![12],
                60,
                keep,
                &|_| {},
            );
            assert_eq!(same.unwrap().ids, b.ids);
        }
    }

    #[test]
    fn the_batch_is_filled_at_random_when_no_distance_is_left() {
        let genes = Arc::new(Genes::new((0..9).map(|i| format!("g{i}"))).unwrap());
        let x = Array2::from_shape_fn((9, 1), |(i, _)| f64::from(u8::from(i == 3)));
        let block = Block::new("p", x, vec![true; 9]).unwrap();
        let inputs =
            Arc::new(Inputs::new(Arc::new(Pool::singles(genes)), vec![Arc::new(block)], Compose::Sum).unwrap());
        let (candidates, observed) = (Candidates::new(9, vec![0]), {
            let mut o = Observed::empty(1);
            o.push(&Readouts::plain(&[0], ndarray::array![[0.5]]), 0).unwrap();
            o
        });
        let round = Round { index: 1, of: 1, batch: 4 };
        let cx = RunContext::new(round, &inputs, &candidates, &observed, Streams::new(1));
        let b = MaxDist::default().select(&cx).unwrap();
        assert_eq!(b.ids[0], 3);
        let mut sorted = b.ids.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), 4);
        assert!(sorted.iter().all(|i| candidates.contains(*i)));
        assert_eq!(cx.into_recorded(), [("filled".to_string(), 3.0)]);
    }

    #[test]
    fn published_sequences() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/select_a.json");
        let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let rows = |v: &serde_json::Value| -> Vec<Vec<f64>> { serde_json::from_value(v.clone()).unwrap() };
        let (pool, train) = (rows(&golden["pool"]), rows(&golden["train"]));
        let (n, d) = (pool.len(), pool[0].len());
        let all: Vec<f64> = pool.iter().chain(&train).flatten().copied().collect();
        let x = Array2::from_shape_vec((n + train.len(), d), all).unwrap();
        let measured: Vec<usize> = (n..n + train.len()).collect();
        let candidates = Candidates::new(x.nrows(), measured.clone());
        let mut cases = 0;
        for case in golden["cases"].as_array().unwrap() {
            let untouched = case["transforms"].as_array().unwrap().iter().all(|t| t[0] == "scale");
            if case["method"] != "maxdist" || case["base_kernel"] != "linear" || !untouched {
                continue;
            }
            let start = if case["options"]["sel_with_train"] == true { measured.clone() } else { vec![] };
            let size = case["batch"].as_u64().unwrap() as usize;
            let got = farthest_first(&Gram::of_features(x.clone()), &candidates, start, size, KEEP, &|_| {}).unwrap();
            let want: Vec<usize> = serde_json::from_value(case["selected"].clone()).unwrap();
            assert_eq!(got.ids, want, "{}", case["id"]);
            cases += 1;
        }
        assert_eq!(cases, 4);
    }

    #[test]
    fn many_picks_from_many_candidates_are_all_found() {
        let gram = Gram::of_features(normal(6688, 256, 2));
        let train: Vec<usize> = (6048..6688).collect();
        let candidates = Candidates::new(6688, train.clone());
        let b = farthest_first(&gram, &candidates, train, 128, KEEP, &|_| {}).unwrap();
        assert_eq!(b.ids.len(), 128);
        assert_eq!(farthest_first(&gram, &candidates, vec![], 128, KEEP, &|_| {}).unwrap().ids.len(), 128);
    }
}
