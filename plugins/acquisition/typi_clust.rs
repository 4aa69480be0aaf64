//! TypiClust: the most typical candidate of each cluster that holds the fewest measured perturbations.
//!
//! k-means splits measured and candidate perturbations into (measured + batch) clusters, which are ordered by
//! measured members ascending, then by size descending. The list is walked again and again; each visit takes the
//! candidate of highest typicality, 1 / (mean distance to its K nearest members + 1e-5), K = min(20, ⌊members / 2⌋),
//! and removes it; the last one of a cluster is taken as it is (Hacohen et al. 2022, section 3; as used in IterPert).
//! Ties go to the lowest id.
//!
//! The forms differ so. `fixed`: Euclidean distances; neighbours are all members that this batch has not taken,
//! measured ones too. `iterpert`: squared distances; neighbours are the remaining candidates only. `original`: as
//! `iterpert`, with at most 500 clusters, and clusters of 5 members or fewer dropped. The candidate itself is never
//! its own neighbour. Every form runs full Lloyd iterations; the original takes mini-batches above 50 clusters, only
//! to save time.
//!
//! Cost: O(N C d) an iteration for N perturbations and C clusters, then the pairs within the clusters visited;
//! memory N d in double precision. Kernels without feature rows are refused.

use framework::numerics::sq_distances;
use framework::prelude::*;
use learn::clustering::{Clusters, Lloyd, feature_rows};

/// Takes the most typical candidates of clusters that hold few measured perturbations. The score is the typicality.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TypiClust {
    /// `"fixed"` (default), `"iterpert"` or `"original"`; the header of this file says how they differ.
    #[serde(default)]
    pub form: Form,
    /// Independent starts of k-means, of which the best is kept (default 1).
    #[serde(default = "one")]
    pub restarts: usize,
    /// Most iterations of k-means (default 300).
    #[serde(default = "three_hundred")]
    pub iterations: usize,
}

/// Which published form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Euclidean distances among all members.
    #[default]
    Fixed,
    /// Squared distances among candidates.
    Iterpert,
    /// The same with at most 500 clusters, none of them small.
    Original,
}

fn one() -> usize {
    1
}

fn three_hundred() -> usize {
    300
}

impl Default for TypiClust {
    fn default() -> Self {
        Self { form: Form::default(), restarts: one(), iterations: three_hundred() }
    }
}

#[typetag::serde(name = "typi_clust")]
impl Acquisition for TypiClust {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        if self.restarts == 0 || self.iterations == 0 {
            return Err(Error::Config("`typi_clust` needs `restarts` and `iterations` of at least 1".into()));
        }
        let measured = cx.observed.distinct();
        let mut ids = cx.candidates.to_vec();
        ids.extend(&measured);
        ids.sort_unstable();
        ids.dedup();
        let x = feature_rows(cx.gram()?, &ids, "typi_clust")?;
        let wanted = measured.len() + cx.batch();
        let k = if self.form == Form::Original { wanted.min(500) } else { wanted };
        let lloyd = Lloyd { restarts: self.restarts, iterations: self.iterations, tolerance: 1e-4, plus_plus: true };
        let clusters = lloyd.cluster(x.view(), k, &mut cx.rng("typi_clust"))?;
        let open: Vec<bool> = ids.iter().map(|&id| cx.candidates.contains(id)).collect();
        let picks = self.walk(&x, &clusters, open, cx.batch());
        let batch =
            Batch { ids: picks.iter().map(|p| ids[p.0]).collect(), scores: picks.iter().map(|p| p.1).collect() };
        // Places are left over only where dropped clusters hold all remaining candidates.
        Ok(cx.fill(batch))
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Similarity])
    }
}

impl TypiClust {
    /// Up to `n` picks with their typicality; `open` rows may be chosen.
    fn walk(&self, x: &Array2<f64>, clusters: &Clusters, mut open: Vec<bool>, n: usize) -> Vec<(usize, f64)> {
        let mut members = vec![vec![]; clusters.sizes.len()];
        clusters.of.iter().enumerate().for_each(|(i, &c)| members[c as usize].push(i));
        let measured = |c: usize| members[c].iter().filter(|&&i| !open[i]).count();
        let least = if self.form == Form::Original { 6 } else { 1 };
        let mut order: Vec<usize> = (0..members.len()).filter(|&c| members[c].len() >= least).collect();
        order.sort_by_key(|&c| (measured(c), std::cmp::Reverse(members[c].len()), c));
        // What may be a neighbour: candidates, and in the fixed form the measured members.
        for m in &mut members {
            m.retain(|&i| open[i] || self.form == Form::Fixed);
        }
        let mut picks = vec![];
        while picks.len() < n {
            let before = picks.len();
            for &c in &order {
                if picks.len() == n {
                    break;
                }
                if let Some((at, typicality)) = self.most_typical(x, &members[c], &open) {
                    let i = members[c].remove(at);
                    open[i] = false;
                    picks.push((i, typicality));
                }
            }
            if picks.len() == before {
                break;
            }
        }
        picks
    }

    /// Place among `members` and typicality of the most typical open one.
    fn most_typical(&self, x: &Array2<f64>, members: &[usize], open: &[bool]) -> Option<(usize, f64)> {
        let some: Vec<usize> = (0..members.len()).filter(|&m| open[members[m]]).collect();
        let k = 20.min(members.len() / 2);
        if k == 0 || some.is_empty() {
            return some.first().map(|&m| (m, 1e5));
        }
        let all = x.select(Axis(0), members);
        let d2 = sq_distances(all.select(Axis(0), &some).view(), all.view());
        let typicality = some.iter().zip(d2.outer_iter()).map(|(&m, d2)| {
            let others = d2.iter().enumerate().filter(|(o, _)| *o != m).map(|(_, d2)| *d2);
            let mut d: Vec<f64> =
                if self.form == Form::Fixed { others.map(f64::sqrt).collect() } else { others.collect() };
            d.select_nth_unstable_by(k - 1, f64::total_cmp);
            let near = &mut d[..k];
            // In one order, so that equal distances give equal sums.
            near.sort_unstable_by(f64::total_cmp);
            (m, 1.0 / (near.iter().sum::<f64>() / k as f64 + 1e-5))
        });
        typicality.reduce(|best, v| if v.1 > best.1 { v } else { best })
    }
}

framework::register!(Acquisition, TypiClust, "typi_clust", "most typical candidates of clusters with few measured");

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(form: Form) -> TypiClust {
        TypiClust { form, ..TypiClust::default() }
    }

    fn clusters(of: &[u32], k: usize) -> Clusters {
        let mut sizes = vec![0; k];
        of.iter().for_each(|&c| sizes[c as usize] += 1);
        Clusters { centres: Array2::zeros((k, 1)), of: of.to_vec(), d2: vec![], sizes, objectives: vec![] }
    }

    fn column(x: &[f64]) -> Array2<f64> {
        Array2::from_shape_fn((x.len(), 1), |(i, _)| x[i])
    }

    #[test]
    fn typicality_is_that_of_the_definition_in_each_form() {
        // One cluster: 0 and 10 measured, five candidates. K = 3 of 7 members, or 2 of 5 candidates.
        let x: [f64; 7] = [0.0, 0.4, 1.0, 3.0, 3.5, 9.0, 10.0];
        let open = vec![false, true, true, true, true, true, false];
        let by_hand = |i: usize, among: &[usize], k: usize, square: bool| {
            let d = |j: &usize| (x[i] - x[*j]).abs().powi(if square { 2 } else { 1 });
            let mut all: Vec<f64> = among.iter().filter(|j| **j != i).map(d).collect();
            all.sort_by(f64::total_cmp);
            1.0 / (all[..k].iter().sum::<f64>() / k as f64 + 1e-5)
        };
        for (form, among, k, square) in [
            (Form::Fixed, vec![0, 1, 2, 3, 4, 5, 6], 3, false),
            (Form::Iterpert, vec![1, 2, 3, 4, 5], 2, true),
            (Form::Original, vec![1, 2, 3, 4, 5], 2, true),
        ] {
            let got = rule(form).walk(&column(&x), &clusters(&[0; 7], 1), open.clone(), 1);
            let all: Vec<(usize, f64)> = (1..6).map(|i| (i, by_hand(i, &among, k, square))).collect();
            let want = all.iter().copied().reduce(|b, v| if v.1 > b.1 { v } else { b }).unwrap();
            assert_eq!(got[0].0, want.0, "{form:?}");
            assert!((got[0].1 / want.1 - 1.0).abs() < 1e-9, "{form:?}");
        }
    }

    #[test]
    fn clusters_come_by_measured_members_then_size_and_again_in_turn() {
        // Sizes 7, 6, 3, 8 with 0, 0, 0, 2 measured.
        let of: Vec<u32> = [0; 7].into_iter().chain([1; 6]).chain([2; 3]).chain([3; 8]).collect();
        let x: Vec<f64> = (0..24).map(|i| f64::from(of[i]) * 100.0 + ((i * i) % 11) as f64).collect();
        let mut open = vec![true; 24];
        (open[16], open[20]) = (false, false);
        let visits = |form: Form, n: usize| -> Vec<u32> {
            let picks = rule(form).walk(&column(&x), &clusters(&of, 4), open.clone(), n);
            let mut once: Vec<usize> = picks.iter().map(|p| p.0).collect();
            once.sort_unstable();
            once.dedup();
            assert!(once.len() == picks.len() && once.iter().all(|&i| open[i]));
            picks.iter().map(|p| of[p.0]).collect()
        };
        for form in [Form::Fixed, Form::Iterpert] {
            assert_eq!(visits(form, 9), [0, 1, 2, 3, 0, 1, 2, 3, 0]);
            assert_eq!(visits(form, 30).len(), 22, "all candidates, the last of a cluster too");
        }
        assert_eq!(visits(Form::Original, 7), [0, 1, 3, 0, 1, 3, 0]);
        assert_eq!(visits(Form::Original, 30).len(), 19, "clusters of five or fewer are dropped");
    }

    #[test]
    fn uncovered_clumps_are_visited_before_covered_ones() {
        let genes: usize = 60;
        let world = framework::testing::TinyWorld::new(genes, 2, 1, false, 1).unwrap();
        let measured: Vec<usize> = (0..6).collect();
        let observed = world.observe(&measured, 1).unwrap();
        let candidates = Candidates::new(genes, measured);
        for form in [Form::Fixed, Form::Iterpert, Form::Original] {
            let cx = world.context(5, &candidates, &observed, None, None, 3);
            let b = rule(form).select(&cx).unwrap();
            assert_eq!(b.ids.len(), 5);
            let again = rule(form).select(&world.context(5, &candidates, &observed, None, None, 3)).unwrap();
            assert_eq!(b, again);
        }
    }
}
