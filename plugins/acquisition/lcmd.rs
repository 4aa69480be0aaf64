//! Largest cluster maximum distance: the farthest candidate of the heaviest cluster.
//!
//! Every candidate x belongs to its nearest centre, measured or picked; a new centre takes it over only when it is
//! strictly nearer. The next pick is argmax d²(x) over the cluster of largest Σ d² (Holzmüller et al. 2023,
//! section 4 and algorithm 6), ties to the first centre and the lowest id. While there is no centre, the candidate
//! of largest k(x, x) is taken.
//!
//! Cost: O(n (|S| + batch) d) at most. A pass over the rows reads memory for one centre as for several, so with
//! explicit features the distances to the eight likely next picks are worked out together; the picks are those of
//! single passes. Memory n d.

use framework::numerics::Nearest;
use framework::prelude::*;

/// Picks the farthest candidate of the cluster of largest weight, one after another. The score is the squared
/// distance at the time of picking (k(x, x) for a first pick from nothing).
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lcmd {
    /// Centres from which to start: `"tp"` (default), the measured perturbations, or `"p"`, none.
    #[serde(default)]
    pub mode: Mode,
    /// What a cluster weighs: `"sq_distance"` (default), the sum of its squared distances, `"distance"`, the sum of
    /// its distances, or `"count"`, the number of its candidates that do not coincide with a centre.
    #[serde(default)]
    pub weight: Weight,
}

/// What a candidate adds to the weight of its cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// Its squared distance.
    #[default]
    SqDistance,
    /// Its distance.
    Distance,
    /// 1.
    Count,
}

impl Weight {
    fn of(self, d2: f64) -> f64 {
        match self {
            Weight::SqDistance => d2,
            Weight::Distance => d2.sqrt(),
            Weight::Count => f64::from(u8::from(d2 > 0.0)),
        }
    }
}

/// Likely next picks worked out together.
const AHEAD: usize = 8;

#[typetag::serde(name = "lcmd")]
impl Acquisition for Lcmd {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        if self.weight == Weight::SqDistance
            && let Some(batch) = cx.on_device(self.mode, |gpu, rows, centres| gpu.lcmd(rows, centres, cx.batch()))?
        {
            return Ok(cx.fill(batch));
        }
        let ids = cx.candidates.to_vec();
        let batch = self.pick(cx.gram()?, &ids, &cx.centres(self.mode), cx.batch(), AHEAD)?;
        // Candidates left over coincide with centres: distance says nothing more of them.
        Ok(cx.fill(batch))
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Similarity])
    }
}

impl Lcmd {
    /// Up to `n` picks; fewer when all candidates left are at distance 0.
    fn pick(&self, gram: &Gram, ids: &[usize], centres: &[usize], n: usize, ahead: usize) -> Result<Batch> {
        let mut batch = Batch::default();
        let mut state = Nearest::new(gram, ids, centres)?;
        if centres.is_empty() && n > 0 {
            batch = Batch::top(ids, &gram.diagonal(ids), 1)?;
            if let Some(first) = batch.ids.first().and_then(|id| ids.binary_search(id).ok()) {
                state.add(first)?;
            }
        }
        let mut weights = vec![];
        while batch.ids.len() < n {
            weights.clear();
            weights.resize(state.n_centres(), 0.0);
            for (&c, &d2) in state.nearest().iter().zip(state.d2()) {
                weights[c as usize] += self.weight.of(d2);
            }
            let Some((c, weight)) = largest(weights.iter().copied()) else { break };
            if weight <= 0.0 {
                break;
            }
            let of_c = state.nearest().iter().zip(state.d2()).map(|(n, d)| if *n as usize == c { *d } else { -1.0 });
            let Some((i, d2)) = largest(of_c) else { break };
            batch.ids.push(ids[i]);
            batch.scores.push(d2);
            if batch.ids.len() == n {
                break;
            }
            if !state.is_ahead(i) {
                let likely = self.likely(&state, &weights, i, ahead.min(n - batch.ids.len()));
                state.look_ahead(&likely);
            }
            state.add(i)?;
        }
        Ok(batch)
    }

    /// The pick and the `n` - 1 that would follow if each took over no row but itself.
    fn likely(&self, state: &Nearest, weights: &[f64], pick: usize, n: usize) -> Vec<usize> {
        let mut heaviest: Vec<usize> = (0..weights.len()).collect();
        heaviest.sort_by(|&a, &b| weights[b].total_cmp(&weights[a]).then(a.cmp(&b)));
        heaviest.truncate(n);
        let mut place = vec![usize::MAX; weights.len()];
        heaviest.iter().enumerate().for_each(|(p, &c)| place[c] = p);
        let mut members = vec![vec![]; heaviest.len()];
        for (i, (&c, &d2)) in state.nearest().iter().zip(state.d2()).enumerate() {
            if let Some(members) = members.get_mut(place[c as usize])
                && i != pick
                && d2 > 0.0
                && !state.is_ahead(i)
            {
                members.push((d2, i));
            }
        }
        for m in &mut members {
            // The farthest n, the farthest last.
            m.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(b.1.cmp(&a.1)));
        }
        let mut left: Vec<f64> = heaviest.iter().map(|&c| weights[c]).collect();
        let mut likely = vec![pick];
        while likely.len() < n {
            let Some((p, _)) = largest(left.iter().copied()) else { break };
            match members[p].pop() {
                Some((d2, i)) => {
                    likely.push(i);
                    left[p] -= self.weight.of(d2);
                }
                None if left[p] == f64::NEG_INFINITY => break,
                None => left[p] = f64::NEG_INFINITY,
            }
        }
        likely
    }
}

/// Position and value of the largest number, the first of several.
fn largest(values: impl Iterator<Item = f64>) -> Option<(usize, f64)> {
    values.enumerate().reduce(|best, v| if v.1 > best.1 { v } else { best })
}

framework::register!(Acquisition, Lcmd, "lcmd", "farthest candidate of the heaviest cluster");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::normal;
    use std::sync::Arc;

    /// The definition, everything worked out again for each pick.
    fn plain(weight: Weight, x: &Array2<f64>, ids: &[usize], centres: &[usize], n: usize) -> Vec<usize> {
        let d2 = |a: usize, b: usize| (&x.row(a) - &x.row(b)).mapv(|v| v * v).sum();
        let mut centres = centres.to_vec();
        let mut out = vec![];
        while out.len() < n {
            if centres.is_empty() {
                let norm = |i: &usize| x.row(*i).dot(&x.row(*i));
                centres.push(*ids.iter().max_by(|a, b| norm(a).total_cmp(&norm(b)).then(b.cmp(a))).unwrap());
                out.push(centres[0]);
                continue;
            }
            let own = |i: usize| {
                let first = |best: (usize, f64), (c, &s): (usize, &usize)| {
                    if d2(i, s) < best.1 { (c, d2(i, s)) } else { best }
                };
                centres.iter().enumerate().fold((0, f64::INFINITY), first)
            };
            let own: Vec<(usize, f64)> = ids.iter().map(|&i| own(i)).collect();
            let mut weights = vec![0.0; centres.len()];
            own.iter().for_each(|(c, d)| weights[*c] += weight.of(*d));
            let (c, w) = largest(weights.iter().copied()).unwrap();
            if w == 0.0 {
                break;
            }
            let (i, _) = largest(own.iter().map(|o| if o.0 == c { o.1 } else { -1.0 })).unwrap();
            out.push(ids[i]);
            centres.push(ids[i]);
        }
        out
    }

    fn forms(x: &Array2<f64>) -> Vec<Gram> {
        let single = FeatureGram::linear(Rows::Held(Arc::new(x.clone()))).single();
        vec![Gram::of_features(x.clone()), Gram::stored(x.dot(&x.t())), single.into()]
    }

    #[test]
    fn every_form_gives_the_picks_of_the_definition_however_many_are_worked_out_ahead() {
        let x = normal(500, 6, 1) + 3.0;
        let centres: Vec<usize> = (0..500).step_by(5).rev().collect();
        let ids = Candidates::new(500, centres.clone()).to_vec();
        for weight in [Weight::SqDistance, Weight::Distance, Weight::Count] {
            for start in [centres.clone(), vec![]] {
                let want = plain(weight, &x, &ids, &start, 60);
                let rule = Lcmd { weight, ..Lcmd::default() };
                for (f, gram) in forms(&x).iter().enumerate() {
                    for ahead in [1, 3, 8] {
                        let got = rule.pick(gram, &ids, &start, 60, ahead).unwrap();
                        assert_eq!(got.ids, want, "{weight:?}, form {f}, {} centres, {ahead} ahead", start.len());
                    }
                }
            }
        }
    }

    #[test]
    fn neither_order_nor_scale_nor_threads_matter() {
        let x = normal(300, 5, 2);
        let rule = Lcmd::default();
        let ids: Vec<usize> = (20..300).collect();
        let centres: Vec<usize> = (0..20).collect();
        let want = rule.pick(&Gram::of_features(x.clone()), &ids, &centres, 50, AHEAD).unwrap().ids;
        let turned = x.select(Axis(0), &(0..20).chain((20..300).rev()).collect::<Vec<_>>());
        let got = rule.pick(&Gram::of_features(turned), &ids, &centres, 50, AHEAD).unwrap().ids;
        assert_eq!(got.iter().map(|i| 319 - i).collect::<Vec<_>>(), want);
        let got = rule.pick(&Gram::of_features(&x * 37.0), &ids, &centres, 50, AHEAD).unwrap().ids;
        assert_eq!(got, want);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let got = pool.install(|| rule.pick(&Gram::of_features(x), &ids, &centres, 50, AHEAD).unwrap().ids);
        assert_eq!(got, want);
    }

    #[test]
    fn coinciding_candidates_are_left_over() {
        let x = normal(40, 3, 3);
        let three = ndarray::concatenate![Axis(0), x, x, x] + 100.0;
        let ids: Vec<usize> = (10..120).collect();
        for weight in [Weight::SqDistance, Weight::Count] {
            let rule = Lcmd { weight, ..Lcmd::default() };
            for gram in forms(&three) {
                let start: Vec<usize> = (0..10).collect();
                let got = rule.pick(&gram, &ids, &start, 110, AHEAD).unwrap().ids;
                let mut points: Vec<usize> = got.iter().take(30).map(|i| i % 40).collect();
                points.sort_unstable();
                assert_eq!(points, (10..40).collect::<Vec<_>>());
                assert!(got.len() == 30 || gram.rows().is_none(), "{}", got.len());
            }
        }
    }

    #[test]
    fn values_that_are_not_finite_are_refused() {
        let mut x = normal(10, 3, 4);
        x[(4, 1)] = f64::NAN;
        let ids: Vec<usize> = (2..10).collect();
        for gram in forms(&x) {
            let e = Lcmd::default().pick(&gram, &ids, &[0, 1], 5, AHEAD).unwrap_err().to_string();
            assert!(e.contains("perturbation 4") && e.contains("finite"), "{e}");
        }
    }

    #[test]
    fn published_sequences() {
        let mut cases = 0;
        for file in ["a", "b", "c"] {
            let path = format!("{}/../tests/golden/select_{file}.json", env!("CARGO_MANIFEST_DIR"));
            let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
            let rows = |v: &serde_json::Value| -> Vec<Vec<f64>> { serde_json::from_value(v.clone()).unwrap() };
            let (pool, train) = (rows(&golden["pool"]), rows(&golden["train"]));
            let all: Vec<f64> = pool.iter().chain(&train).flatten().copied().collect();
            let x = Array2::from_shape_vec((pool.len() + train.len(), pool[0].len()), all).unwrap();
            let ids: Vec<usize> = (0..pool.len()).collect();
            let measured: Vec<usize> = (pool.len()..x.nrows()).collect();
            for case in golden["cases"].as_array().unwrap() {
                let untouched = case["transforms"].as_array().unwrap().iter().all(|t| t[0] == "scale");
                if case["method"] != "lcmd" || case["base_kernel"] != "linear" || !untouched {
                    continue;
                }
                let start = if case["options"]["sel_with_train"] == true { &measured[..] } else { &[] };
                let size = case["batch"].as_u64().unwrap() as usize;
                for gram in &forms(&x)[..2] {
                    let got = Lcmd::default().pick(gram, &ids, start, size, AHEAD).unwrap();
                    let want: Vec<usize> = serde_json::from_value(case["selected"].clone()).unwrap();
                    assert_eq!(got.ids, want, "{file} {}", case["id"]);
                }
                cases += 1;
            }
        }
        assert_eq!(cases, 12);
    }
}
