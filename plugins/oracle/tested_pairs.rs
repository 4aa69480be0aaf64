//! A screen whose readout is the score of an interaction test: which pairs interact, searched pair by pair.
//!
//! The inner oracle gives samples of control, singles and pairs; the test scores every pair from them once; measuring a
//! pair gives its score (Jain et al. 2024, section 4: the reward of a pair is its score). p values, where the test gives
//! them, become calls over rounds by an online procedure. Singles and control count as measured beforehand. Cost: that of
//! the test, once a world.

use framework::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;

/// Scores of an interaction test on the samples of another oracle; the pool is its pairs.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestedPairs {
    /// The oracle that gives samples: a simulator with cells, or a measured screen with cells.
    pub oracle: Box<dyn Oracle>,
    /// The test whose score is the readout.
    pub test: Box<dyn InteractionTest>,
}

#[typetag::serde(name = "tested_pairs")]
impl Oracle for TestedPairs {
    fn open(&self, setup: &Setup) -> Result<Box<dyn Screen>> {
        let inner = self.oracle.open(setup)?;
        let streams = setup.streams.child("tested_pairs");
        let Some(samples) = inner.samples(&streams.child("samples"))? else {
            return Err(Error::Config(
                "tested_pairs: the inner oracle gives no samples of control and of perturbations; simulators have \
                 readout = \"cells\", and perturb_seq reads cells"
                    .into(),
            ));
        };
        samples.check()?;
        let least = self.test.min_samples();
        let enough = |p: &usize| samples.sizes(*p).iter().all(|n| *n >= least);
        let kept: Vec<usize> = (0..samples.pairs.len()).filter(enough).collect();
        if kept.is_empty() {
            return Err(Error::Data(format!(
                "tested_pairs: no pair has {least} samples of itself, of both genes alone and of control"
            )));
        }
        let some = samples.with_pairs(&kept);
        let node = streams.child("test");
        let outcomes = self.test.test(&TestContext::new(&some, &node))?;
        let genes = Arc::new(Genes::new(&some.genes)?);
        let number = |g: usize| Gene(g as u32);
        let pairs = some.pairs.iter().map(|p| Perturbation::new([number(p.first), number(p.second)]));
        let pool = Arc::new(Pool::list(genes, pairs)?);
        let ids: Vec<Option<usize>> = (0..pool.len()).map(|p| inner.pool().parse(&pool.label(p)).ok()).collect();
        let relations = ids.into_iter().collect::<Option<Vec<usize>>>().and_then(|ids| inner.relations(&ids));
        let mut notes = inner.notes();
        let lost = samples.pairs.len() - kept.len();
        if lost > 0 {
            notes.push(format!("{lost} pairs have a class of fewer than {least} samples and are left out"));
        }
        Ok(Box::new(Scored {
            scores: Array2::from_shape_fn((pool.len(), 1), |(i, _)| outcomes[i].score),
            p: outcomes.iter().map(|o| o.p_value).collect(),
            pool,
            relations,
            notes,
        }))
    }

    fn data_files(&self) -> Vec<PathBuf> {
        self.oracle.data_files()
    }
}

struct Scored {
    pool: Arc<Pool>,
    scores: Array2<f64>,
    p: Option<Vec<f64>>,
    relations: Option<Vec<Relation>>,
    notes: Vec<String>,
}

impl Screen for Scored {
    fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    fn n_outputs(&self) -> usize {
        1
    }

    fn measure(&self, ids: &[usize], _: &Experiment, _: &Streams) -> Result<Readouts> {
        Ok(Readouts::plain(ids, self.scores.select(Axis(0), ids)))
    }

    fn truth(&self, ids: &[usize]) -> Option<Array2<f64>> {
        Some(self.scores.select(Axis(0), ids))
    }

    fn p_values(&self, ids: &[usize]) -> Option<Vec<f64>> {
        self.p.as_ref().map(|p| ids.iter().map(|i| p[*i]).collect())
    }

    fn relations(&self, ids: &[usize]) -> Option<Vec<Relation>> {
        self.relations.as_ref().map(|r| ids.iter().map(|i| r[*i]).collect())
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

framework::register!(
    Oracle,
    TestedPairs,
    "tested_pairs",
    "scores of an interaction test on the samples of another oracle",
    example = |_| serde_json::json!({
        "oracle": { "use": "latent_mixture", "samples": 50, "layers": 0 },
        "test": { "use": "additivity", "resamples": 99 }
    })
);

#[cfg(test)]
mod tests {
    use super::*;
    use framework::data::DataRoot;

    #[test]
    fn a_readout_is_the_score_of_its_pair() {
        let oracle: TestedPairs = serde_json::from_value(serde_json::json!({
            "oracle": { "use": "latent_mixture", "samples": 200, "layers": 0 }, "test": { "use": "additivity" }
        }))
        .unwrap();
        let (data, streams) = (DataRoot::new("."), Streams::new(1));
        let screen = oracle.open(&Setup { data: &data, streams: &streams }).unwrap();
        assert_eq!((screen.pool().len(), screen.n_outputs()), (21, 1));
        let all: Vec<usize> = (0..21).collect();
        let y = screen.measure(&all, &Experiment::default(), &Streams::new(5)).unwrap().y;
        assert_eq!(screen.measure(&[7], &Experiment::default(), &Streams::new(6)).unwrap().y[[0, 0]], y[[7, 0]]);
        let p = screen.p_values(&all).unwrap();
        let relations = screen.relations(&all).unwrap();
        let at = all.iter().position(|i| screen.pool().label(*i) == "D+E").unwrap();
        assert_eq!(relations[at], Relation::Interacting);
        assert_eq!(relations.iter().filter(|r| **r == Relation::Interacting).count(), 2);
        assert!(p[at] < 0.01, "{}", p[at]);
    }

    #[test]
    fn an_oracle_without_cells_is_refused() {
        let oracle: TestedPairs = serde_json::from_value(serde_json::json!({
            "oracle": { "use": "latent_dag", "order": 2, "genes": 10 }, "test": { "use": "additivity" }
        }))
        .unwrap();
        let (data, streams) = (DataRoot::new("."), Streams::new(1));
        let e = oracle.open(&Setup { data: &data, streams: &streams }).map(|_| ()).unwrap_err().to_string();
        assert!(e.contains("gives no samples"), "{e}");
    }
}
