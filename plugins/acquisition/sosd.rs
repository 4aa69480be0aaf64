//! Least sum of squared distances: the candidate after which Σ_z d²(z) over all candidates is least.
//!
//! Each pick is argmin_c Σ_z min(d²(z), d²(z, c)), ties to the lowest id, c over the candidates that coincide with
//! no centre: greedy k-medoids on squared distances (the experimental rule `sosd` of the code of Holzmüller et al.
//! 2023, with what is already chosen left out of the choice). While there is no centre d² is infinite and the pick
//! has the least sum of squared distances to all.
//!
//! Cost: O(batch n² d) by the definition. What a candidate takes off the sum can only become less while centres are
//! added, so an old value is an upper bound: each pick works out new values from the best bound downwards, until no
//! bound is above the best new value. The picks are those of the definition; in practice the first pick costs n² d
//! (two such passes without centres) and a later one a small part of it. Values are worked out for 64 candidates at
//! a time, so memory is n d + 64 n, never n².

use framework::numerics::Nearest;
use framework::prelude::*;
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Picks the candidate after which the sum of all squared distances to the nearest centre is least, one after
/// another. The score is its own squared distance at that time (0 for a first pick from nothing). Looks at all
/// pairs of candidates at least once, so ten times the candidates take a hundred times as long.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sosd {
    /// Centres from which to start: `"tp"` (default), the measured perturbations, or `"p"`, none.
    #[serde(default)]
    pub mode: Mode,
}

#[typetag::serde(name = "sosd")]
impl Acquisition for Sosd {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        let ids = cx.candidates.to_vec();
        let batch = least_sums(cx.gram()?, &ids, &cx.centres(self.mode), cx.batch())?;
        Ok(cx.fill(batch))
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Similarity])
    }
}

/// What a candidate takes off the sum, or once took off. The heap gives the largest first, ties to the lowest
/// position.
struct Gain(f64, usize);

/// Candidates whose values are worked out together.
const MOST: usize = 64;

fn least_sums(gram: &Gram, ids: &[usize], centres: &[usize], n: usize) -> Result<Batch> {
    let mut state = Nearest::new(gram, ids, centres)?;
    let mut batch = Batch::default();
    if centres.is_empty() && n > 0 {
        let all: Vec<usize> = (0..ids.len()).collect();
        let sums = all.chunks(MOST).flat_map(|group| state.sums_with(group));
        let first = sums.enumerate().reduce(|best, v| if v.1 < best.1 { v } else { best });
        if let Some((i, _)) = first {
            batch.ids.push(ids[i]);
            batch.scores.push(0.0);
            state.add(i)?;
        }
    }
    let mut heap: BinaryHeap<Gain> = (0..ids.len()).map(|i| Gain(f64::INFINITY, i)).collect();
    while batch.ids.len() < n {
        let sum: f64 = state.d2().iter().sum();
        // Sums are known up to their rounding; whatever could reach the best within it is worked out too.
        let slack = 1e-12 * sum;
        let mut most = f64::NEG_INFINITY;
        let mut seen: Vec<Gain> = vec![];
        let mut size = 8;
        loop {
            let mut group = vec![];
            while group.len() < size
                && let Some(top) = heap.peek()
                && top.0 >= most - slack
            {
                // Candidates at distance 0 are or equal a centre, and stay so.
                group.extend(heap.pop().map(|g| g.1).filter(|&i| state.d2()[i] > 0.0));
            }
            if group.is_empty() {
                break;
            }
            for (&i, left) in group.iter().zip(state.sums_with(&group)) {
                most = most.max(sum - left);
                seen.push(Gain(sum - left, i));
            }
            size = MOST.min(2 * size);
        }
        let Some(i) = seen.iter().filter(|g| g.0 >= most - slack).map(|g| g.1).min() else { break };
        heap.extend(seen);
        batch.ids.push(ids[i]);
        batch.scores.push(state.d2()[i]);
        state.add(i)?;
    }
    Ok(batch)
}

impl Ord for Gain {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0).then(other.1.cmp(&self.1))
    }
}
impl PartialOrd for Gain {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Gain {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Gain {}

framework::register!(Acquisition, Sosd, "sosd", "least sum of squared distances left, over all candidates");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::normal;

    fn plain(x: &Array2<f64>, ids: &[usize], start: &[usize], n: usize) -> Vec<usize> {
        let d = |a: usize, b: usize| (&x.row(a) - &x.row(b)).mapv(|v| v * v).sum();
        let mut centres = start.to_vec();
        let mut picks = vec![];
        while picks.len() < n {
            let d2 = |z: usize| centres.iter().map(|&c| d(z, c)).fold(f64::INFINITY, f64::min);
            let own: Vec<f64> = ids.iter().map(|&z| d2(z)).collect();
            let left = |c: usize| -> f64 { ids.iter().zip(&own).map(|(&z, o)| o.min(d(z, c))).sum() };
            let open = ids.iter().zip(&own).filter(|(_, o)| **o > 0.0).map(|(&i, _)| (left(i), i));
            let open: Vec<(f64, usize)> = open.collect();
            let least = open.iter().map(|o| o.0).fold(f64::INFINITY, f64::min);
            // Two candidates nearest to each other leave the same sum, up to rounding: a tie.
            let rounding = Some(1e-12 * own.iter().sum::<f64>()).filter(|r| r.is_finite()).unwrap_or(0.0);
            let Some(&(_, pick)) = open.iter().find(|o| o.0 <= least + rounding) else { break };
            picks.push(pick);
            centres.push(pick);
        }
        picks
    }

    #[test]
    fn picks_are_those_of_the_definition_and_never_repeat() {
        let x = normal(160, 3, 1) + 1.0;
        let ids: Vec<usize> = (20..160).filter(|i| i % 9 > 0).collect();
        let start: Vec<usize> = (0..20).collect();
        for start in [&start[..], &[]] {
            let want = plain(&x, &ids, start, 30);
            for gram in [Gram::of_features(x.clone()), Gram::stored(x.dot(&x.t()))] {
                assert_eq!(least_sums(&gram, &ids, start, 30).unwrap().ids, want);
            }
            let all = least_sums(&Gram::of_features(x.clone()), &ids, start, 500).unwrap().ids;
            let mut sorted = all.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, ids);
        }
    }

    #[test]
    fn the_middle_of_a_line_comes_first_and_order_does_not_matter() {
        let x = ndarray::array![[0.0], [1.0], [2.0], [7.0], [3.0]];
        let ids: Vec<usize> = (0..5).collect();
        let b = least_sums(&Gram::of_features(x), &ids, &[], 2).unwrap();
        assert_eq!(b.ids, [4, 3]);
        let x = normal(90, 3, 2);
        let ids: Vec<usize> = (0..90).collect();
        let want = least_sums(&Gram::of_features(x.clone()), &ids, &[], 20).unwrap().ids;
        let turned = x.select(Axis(0), &ids.iter().rev().copied().collect::<Vec<_>>());
        let got = least_sums(&Gram::of_features(turned), &ids, &[], 20).unwrap().ids;
        assert_eq!(got.iter().map(|i| 89 - i).collect::<Vec<_>>(), want);
    }
}
