//! A small screen, model and rule that no catalogue lists, to test what is built around runs.

use crate::domain::{Batch, Genes, Pool, Posterior, Readouts};
use crate::error::Result;
use crate::plugin::{
    Abilities, Ability, Acquisition, Experiment, FitContext, Model, Oracle, RunContext, Screen, Setup, Surrogate,
};
use crate::runner::{Job, Workers, Worlds};
use crate::scenario::{Arm, Scenario, Seeds, Sweep};
use crate::store::{Provenance, RunSeeds, Store, run_id};
use ndarray::{Array2, Axis};
use numerics::streams::Streams;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::Duration;

/// Single genes whose readout is a bell over their number, with noise.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bell {
    genes: usize,
}

struct BellScreen {
    pool: Arc<Pool>,
    truth: Array2<f64>,
}

#[typetag::serde(name = "tiny_bell")]
impl Oracle for Bell {
    fn open(&self, _: &Setup) -> Result<Box<dyn Screen>> {
        let genes = Genes::new((0..self.genes).map(|g| format!("G{g:02}")))?;
        let middle = self.genes as f64 / 2.0;
        let truth = Array2::from_shape_fn((self.genes, 1), |(g, _)| (-((g as f64 - middle) / 4.0).powi(2)).exp());
        Ok(Box::new(BellScreen { pool: Arc::new(Pool::singles(Arc::new(genes))), truth }))
    }
    fn seeded(&self) -> bool {
        false
    }
}

impl Screen for BellScreen {
    fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }
    fn n_outputs(&self) -> usize {
        1
    }
    fn measure(&self, ids: &[usize], experiment: &Experiment, streams: &Streams) -> Result<Readouts> {
        let noise =
            |id: usize| -> f64 { StandardNormal.sample(&mut streams.index(id).index(experiment.round).rng("noise")) };
        let y = Array2::from_shape_fn((ids.len(), 1), |(i, _)| self.truth[(ids[i], 0)] + 0.05 * noise(ids[i]));
        Ok(Readouts::plain(ids, y))
    }
    fn truth(&self, ids: &[usize]) -> Option<Array2<f64>> {
        Some(self.truth.select(Axis(0), ids))
    }
    fn notes(&self) -> Vec<String> {
        vec!["the bell is open".into()]
    }
}

/// Measured neighbours weighted by nearness, with a little noise of its own.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Near {}

struct Fitted {
    mean: Vec<f64>,
    rows: usize,
}

#[typetag::serde(name = "tiny_near")]
impl Model for Near {
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>> {
        let (ids, y) = (&cx.observed.ids, &cx.observed.y);
        let mut rng = cx.streams.rng("fit");
        let mean = (0..cx.inputs.pool().len()).map(|id| {
            let weight = |other: usize| (-(id as f64 - other as f64).abs()).exp();
            let (sum, all) = ids
                .iter()
                .zip(y.column(0))
                .fold((0.0, 1e-9), |(sum, all), (&other, v)| (sum + weight(other) * v, all + weight(other)));
            let noise: f64 = StandardNormal.sample(&mut rng);
            sum / all + 0.01 * noise
        });
        Ok(Box::new(Fitted { mean: mean.collect(), rows: ids.len() }))
    }
}

impl Surrogate for Fitted {
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        Ok(Posterior { mean: Array2::from_shape_fn((ids.len(), 1), |(i, _)| self.mean[ids[i]]), sd: None })
    }
    fn record(&self) -> Vec<(String, f64)> {
        vec![("rows".into(), self.rows as f64), ("nothing".into(), f64::NAN)]
    }
    fn notes(&self) -> Vec<String> {
        vec![format!("fitted to {} rows", self.rows)]
    }
}

/// The largest predicted means, unless it is told to break.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Largest {
    /// The round in which it panics.
    #[serde(default)]
    panic_in: Option<usize>,
    /// A file without which it does not go on in round 2; given up after a while.
    #[serde(default)]
    wait_for: Option<PathBuf>,
}

#[typetag::serde(name = "tiny_largest")]
impl Acquisition for Largest {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        assert_ne!(Some(cx.round.index), self.panic_in, "the rule broke");
        if let (2, Some(file)) = (cx.round.index, &self.wait_for) {
            (0..10_000).take_while(|_| !file.exists()).for_each(|_| sleep(Duration::from_millis(1)));
        }
        let ids = cx.candidates.to_vec();
        let mean = cx.posterior(&ids)?.mean.column(0).to_vec();
        cx.record("largest", mean.iter().copied().fold(f64::MIN, f64::max));
        Batch::top(&ids, &mean, cx.batch())
    }
    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Model])
    }
}

/// Four rounds of three after an initial set of five, of forty genes; `acquisition` as in a scenario file.
pub(crate) fn scenario(acquisition: Value) -> Scenario {
    let form = json!({
        "name": "tiny", "seeds": { "from": 3, "count": 2 }, "rounds": 4, "batch": 3,
        "metrics": ["hits", "rmse", "fraction_discovered", "marginal_gain", "hits_per_kusd"],
        "pool": { "init": 5, "test": 0.2 }, "target": { "direction": "max", "hit_fraction": 0.2 },
        "oracle": { "use": "tiny_bell", "genes": 40 }, "model": { "use": "tiny_near" }, "acquisition": acquisition,
    });
    serde_json::from_value(form).expect("a scenario")
}

/// The same with the rule that works, or breaks in a round.
pub(crate) fn breaking(panic_in: Option<usize>) -> Scenario {
    scenario(json!({ "use": "tiny_largest", "panic_in": panic_in }))
}

/// A sweep of these arms under seeds 3 and 4; each is compared with the first.
pub(crate) fn sweep(arms: Vec<(&str, Scenario)>) -> Sweep {
    let arm = |(label, scenario): (&str, Scenario)| Arm {
        label: label.into(),
        axes: vec![("rule".into(), label.into()), ("model".into(), "near".into())],
        resolved: serde_json::to_value(&scenario).expect("plain data"),
        scenario: Arc::new(scenario),
        reference: Some(0),
    };
    Sweep {
        name: "tiny".into(),
        form: Default::default(),
        variants: vec![],
        cost: Default::default(),
        published: None,
        claims: vec![],
        file: PathBuf::from("tiny.toml"),
        arms: arms.into_iter().map(arm).collect(),
        by: vec![],
        incompatible: vec![],
        seeds: Seeds { from: 3, count: 2 },
        question: "Does it work?".into(),
    }
}

/// A run of a scenario under seed 3, with an id of its own choice or the one that the store would give it.
pub(crate) fn job(id: Option<&str>, scenario: Scenario) -> Job {
    let resolved = serde_json::to_value(&scenario).expect("plain data");
    let own = run_id(&resolved, RunSeeds::new(&scenario, 3), &BTreeMap::new());
    Job {
        id: id.map_or(own, String::from),
        name: "tiny".into(),
        arm: "arm".into(),
        axes: vec![],
        seed: 3,
        scenario: Arc::new(scenario),
        resolved,
        data: BTreeMap::new(),
    }
}

/// Does jobs two at a time; `listen` is told of events with the place of their job.
pub(crate) fn run(jobs: &[Job], store: &Store, stop: &AtomicBool, listen: impl FnMut(usize, crate::runner::Event)) {
    let (worlds, provenance) = (Worlds::new(Arc::default(), 4), Provenance::default());
    Workers { workers: 2, threads: 1, worlds: &worlds, store, provenance: &provenance, stop }.run(jobs, listen);
}
