//! Lanes divided over rounds, around any oracle.
//!
//! The lanes are shuffled once and cut into `groups` consecutive groups of ⌊lanes / groups⌋; round r, with the
//! initial set as round 0, is measured in the lanes of group r only (IterPert, Huang et al. 2023, section 4 and its
//! released code: 48 lanes, 6 groups). What is held out is scored against the truth, which has no lanes.
//!
//! An oracle that knows its lanes (latent_dag with a profile, perturb_seq with a lane column) uses its own cells of
//! these lanes. For any other, lane l adds a shift c_l ~ N(0, shift²) to each output and multiplies what is measured
//! by a factor a_l of mean 1, y = Σ_l w_l (a_l y₀ + c_l), where w_l is the part of the perturbation's material that
//! fell into lane l: uniform on the simplex of the group's lanes, drawn anew for each measurement. Cells, where the
//! oracle has them, go to one lane each. Standard errors stay those of the oracle. Cost: O(outputs x lanes of a group)
//! for a perturbation on top of its measurement.

use framework::domain::Control;
use framework::prelude::*;
use rand_distr::{Distribution, Exp1, StandardNormal};
use std::path::PathBuf;
use std::sync::Arc;

/// Restricts each round to its own lanes, and gives lanes to oracles without any.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchEffect {
    /// The oracle that measures.
    pub oracle: Box<dyn Oracle>,
    /// Number of lanes. Absent: those of the oracle, or 48 if it knows of none.
    #[serde(default)]
    pub lanes: Option<usize>,
    /// Groups of lanes, one a round with the initial set as round 0: set it to rounds + 1, or to 1 for a screen in
    /// which every round has all lanes; default 6.
    #[serde(default = "groups")]
    pub groups: usize,
    /// Standard deviation of a lane's shift of each output, in units of the readout; default 0.5. Only for an oracle
    /// without lanes of its own.
    #[serde(default)]
    pub shift: Option<f64>,
    /// Sd of the logarithm of a lane's factor on readouts; default 0. Only for an oracle without lanes of its own.
    #[serde(default)]
    pub scale: Option<f64>,
}

fn groups() -> usize {
    6
}

/// Lanes of an oracle that knows of none.
const LANES: usize = 48;

#[typetag::serde(name = "batch_effect")]
impl Oracle for BatchEffect {
    fn open(&self, setup: &Setup) -> Result<Box<dyn Screen>> {
        let inner = self.oracle.open(setup)?;
        let wrong = |what: String| Err(Error::Config(format!("batch_effect: {what}")));
        let own = inner.n_lanes();
        let n = match self.lanes {
            Some(n) if own > 0 && n != own => {
                return wrong(format!(
                    "lanes = {n}, but the oracle has {own} lanes of its own; leave `lanes` out here"
                ));
            }
            given => given.unwrap_or(if own > 0 { own } else { LANES }),
        };
        if self.groups == 0 || n / self.groups == 0 {
            return wrong(format!(
                "{n} lane{} cannot be divided into groups = {}; set more lanes{}, or groups to the number of rounds plus one",
                if n == 1 { "" } else { "s" },
                self.groups,
                if own > 0 { " on the oracle" } else { "" }
            ));
        }
        for (name, v) in [("shift", self.shift), ("scale", self.scale)] {
            match v {
                Some(v) if !(v.is_finite() && v >= 0.0) => return wrong(format!("{name} = {v}; it must be 0 or more")),
                Some(_) if own > 0 => {
                    return wrong(format!(
                        "the oracle has lanes of its own, which have their own effects; set those there and leave `{name}` out"
                    ));
                }
                _ => {}
            }
        }
        let streams = setup.streams.child("batch_effect");
        let mut lanes: Vec<u32> = (0..n as u32).collect();
        rand::seq::SliceRandom::shuffle(&mut lanes[..], &mut streams.rng("lanes"));
        let size = n / self.groups;
        let groups = lanes.chunks(size).take(self.groups).map(Arc::from).collect();
        let (shift, scale) = (self.shift.unwrap_or(0.5), self.scale.unwrap_or(0.0));
        let added = (own == 0).then(|| {
            let lane = |l: usize| {
                let mut rng = streams.child("lane").index(l).rng("effect");
                let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
                let factor = (scale * normal() - 0.5 * scale * scale).exp();
                (factor, Array1::from_shape_simple_fn(inner.n_outputs(), || shift * normal()))
            };
            (0..n).map(lane).collect()
        });
        Ok(Box::new(Restricted { inner, n_lanes: n, groups, added }))
    }

    fn data_files(&self) -> Vec<PathBuf> {
        self.oracle.data_files()
    }
}

struct Restricted {
    inner: Box<dyn Screen>,
    n_lanes: usize,
    /// The lanes of each round.
    groups: Vec<Arc<[u32]>>,
    /// Factor and shift of each lane, for a screen without lanes of its own.
    added: Option<Vec<(f64, Array1<f64>)>>,
}

impl Screen for Restricted {
    fn pool(&self) -> &Arc<Pool> {
        self.inner.pool()
    }

    fn n_outputs(&self) -> usize {
        self.inner.n_outputs()
    }

    fn measure(&self, ids: &[usize], experiment: &Experiment, streams: &Streams) -> Result<Readouts> {
        let round = experiment.round;
        let at = if self.groups.len() == 1 { 0 } else { round };
        let Some(group) = self.groups.get(at) else {
            return Err(Error::Config(format!(
                "batch_effect: groups = {} serves rounds 0 to {}, and this is round {round}; set it to the number of \
                 rounds plus one",
                self.groups.len(),
                self.groups.len() - 1
            )));
        };
        let group: Arc<[u32]> = match &experiment.lanes {
            None => group.clone(),
            Some(also) => group.iter().copied().filter(|l| also.contains(l)).collect(),
        };
        if group.is_empty() {
            return Err(Error::Config(format!(
                "batch_effect: the experiment asks for lanes outside those of round {round}"
            )));
        }
        let mut out = match &self.added {
            None => self.inner.measure(ids, &Experiment { round, lanes: Some(group) }, streams)?,
            Some(lanes) => {
                let mut out = self.inner.measure(ids, &Experiment::of_round(round), streams)?;
                add(&mut out, lanes, &group, streams);
                out
            }
        };
        out.lane.fill(round as u32);
        Ok(out)
    }

    fn n_lanes(&self) -> usize {
        self.n_lanes
    }

    fn control(&self) -> Option<Arc<Control>> {
        self.inner.control()
    }

    fn clarity(&self, ids: &[usize]) -> Option<Array2<f64>> {
        self.inner.clarity(ids)
    }

    fn truth(&self, ids: &[usize]) -> Option<Array2<f64>> {
        self.inner.truth(ids)
    }

    fn single_effects(&self) -> Option<Array2<f64>> {
        self.inner.single_effects()
    }

    fn gene_factors(&self) -> Option<Array2<f64>> {
        self.inner.gene_factors()
    }

    fn relations(&self, ids: &[usize]) -> Option<Vec<Relation>> {
        self.inner.relations(ids)
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.inner.notes();
        let (n, size, groups) = (self.n_lanes, self.groups[0].len(), self.groups.len());
        notes.push(format!("batch effect: {n} lanes in {groups} groups of {size}, one group a round"));
        notes
    }
}

/// Adds to each row the effects of the lanes over which it is spread.
fn add(out: &mut Readouts, lanes: &[(f64, Array1<f64>)], group: &[u32], streams: &Streams) {
    for (i, mut y) in out.y.outer_iter_mut().enumerate() {
        let key = streams.child("batch_effect").index(out.ids[i]).index(out.replicate[i] as usize);
        let mut rng = key.rng("spread");
        let mut weight: Vec<f64> = group.iter().map(|_| Exp1.sample(&mut rng)).collect();
        if let Some(cells) = out.cells.as_mut().map(|all| &mut all[i]) {
            let own = Arc::make_mut(cells);
            weight.fill(0.0);
            for (mut x, label) in own.x.outer_iter_mut().zip(&mut own.lane) {
                let l = rng.random_range(0..group.len());
                weight[l] += 1.0;
                *label = group[l];
                let (factor, shift) = &lanes[group[l] as usize];
                x.zip_mut_with(shift, |v, c| *v = (factor * f64::from(*v) + c) as f32);
            }
        }
        let total: f64 = weight.iter().sum();
        if total <= 0.0 {
            continue;
        }
        let mut factor = 0.0;
        let mut shift = Array1::<f64>::zeros(y.len());
        for (w, &l) in weight.iter().zip(group) {
            factor += w / total * lanes[l as usize].0;
            shift.scaled_add(w / total, &lanes[l as usize].1);
        }
        y *= factor;
        y += &shift;
    }
}

framework::register!(
    Oracle,
    BatchEffect,
    "batch_effect",
    "any oracle, each round in lanes of its own",
    example = |_| { framework::serde_json::json!({ "oracle": { "use": "latent_dag", "genes": 40 } }) }
);

#[cfg(test)]
mod tests {
    use super::*;
    use framework::data::DataRoot;
    use framework::numerics::stats::{mean, sd};
    use framework::serde_json::{Value, json};
    use std::collections::BTreeSet;

    fn open(settings: Value, seed: u64) -> Result<Box<dyn Screen>> {
        let oracle: BatchEffect = framework::serde_json::from_value(settings).unwrap();
        oracle.open(&Setup { data: &DataRoot::default(), streams: &Streams::new(seed) })
    }

    fn profile(lanes: usize) -> Value {
        json!({ "use": "latent_dag", "genes": 30, "outputs": 5, "readout": "cells", "lanes": lanes })
    }

    #[test]
    fn each_round_uses_lanes_of_its_own() {
        let screen = open(json!({ "oracle": profile(13), "groups": 4 }), 1).unwrap();
        let st = Streams::new(2);
        let lanes: Vec<BTreeSet<u32>> = (0..4)
            .map(|round| {
                let r = screen.measure(&[1, 2, 3], &Experiment::of_round(round), &st).unwrap();
                assert_eq!(r.lane, [round as u32; 3]);
                r.cells.unwrap().iter().flat_map(|c| c.lane.clone()).collect()
            })
            .collect();
        assert!(lanes.iter().all(|l| l.len() == 3), "{lanes:?}");
        assert_eq!(lanes.iter().flatten().collect::<BTreeSet<_>>().len(), 12);
        let other = open(json!({ "oracle": profile(13), "groups": 4 }), 7).unwrap();
        let r = other.measure(&[1, 2, 3], &Experiment::of_round(0), &st).unwrap();
        let first: BTreeSet<u32> = r.cells.unwrap().iter().flat_map(|c| c.lane.clone()).collect();
        assert_ne!(first, lanes[0], "lanes are shuffled by the world");
        let e = screen.measure(&[1], &Experiment::of_round(4), &st).unwrap_err().to_string();
        assert!(e.contains("groups = 4 serves rounds 0 to 3, and this is round 4"), "{e}");
        let whole = open(json!({ "oracle": profile(13), "groups": 1 }), 1).unwrap();
        let all =
            |round| whole.measure(&[1], &Experiment::of_round(round), &st).unwrap().cells.unwrap()[0].lane.clone();
        assert!(all(4).iter().collect::<BTreeSet<_>>().len() > 3 && all(0) == all(4), "one group serves every round");
        assert!(screen.notes().last().unwrap().contains("13 lanes in 4 groups of 3"));
        assert!(screen.control().is_some() && screen.clarity(&[1]).is_some());
    }

    #[test]
    fn an_oracle_without_lanes_gets_shifts() {
        let inner = json!({ "use": "latent_dag", "genes": 400, "phenotype_noise": 0.0 });
        let ids: Vec<usize> = (0..400).collect();
        let (mut offsets, mut slopes) = (vec![], vec![]);
        for seed in 0..40 {
            let screen =
                open(json!({ "oracle": inner, "shift": 0.8, "scale": 0.3, "lanes": 12, "groups": 3 }), seed).unwrap();
            let truth = screen.truth(&ids).unwrap();
            for round in 0..3 {
                let r = screen.measure(&ids, &Experiment::of_round(round), &Streams::new(seed)).unwrap();
                let turned: Vec<usize> = ids.iter().rev().copied().collect();
                let b = screen.measure(&turned, &Experiment::of_round(round), &Streams::new(seed)).unwrap();
                assert_eq!(r.y.row(3), b.y.row(396), "whatever else is in the batch");
                let (t, y) = (truth.column(0).to_vec(), r.y.column(0).to_vec());
                let slope = framework::numerics::stats::pearson(&t, &y) * sd(&y) / sd(&t);
                slopes.push(slope);
                offsets.push(mean(&y) - slope * mean(&t));
            }
        }
        // The mean over four lanes: 0.8 / 2, and a factor with mean 1 and sd about 0.3 / 2.
        assert!(
            (sd(&offsets) - 0.4).abs() < 0.09 && mean(&offsets).abs() < 0.12,
            "{} {}",
            sd(&offsets),
            mean(&offsets)
        );
        assert!(
            (mean(&slopes) - 1.0).abs() < 0.05 && (sd(&slopes) - 0.155).abs() < 0.05,
            "{} {}",
            mean(&slopes),
            sd(&slopes)
        );
    }

    #[test]
    fn mistakes_are_named() {
        let message = |settings: Value| open(settings, 1).err().unwrap().to_string();
        assert_eq!(
            message(json!({ "oracle": profile(12), "lanes": 48 })),
            "batch_effect: lanes = 48, but the oracle has 12 lanes of its own; leave `lanes` out here"
        );
        assert!(
            message(json!({ "oracle": profile(1) }))
                .contains("1 lane cannot be divided into groups = 6; set more lanes on the oracle")
        );
        assert!(message(json!({ "oracle": profile(12), "shift": 0.1 })).contains("leave `shift` out"));
        let scalar = json!({ "use": "latent_dag", "genes": 10 });
        assert!(message(json!({ "oracle": scalar, "shift": -1.0 })).contains("shift = -1; it must be 0 or more"));
        assert!(message(json!({ "oracle": scalar, "groups": 0 })).contains("groups = 0"));
    }
}
