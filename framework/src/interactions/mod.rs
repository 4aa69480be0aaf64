//! Which pairs of a screen interact: tests over samples, error control over pairs, tables and figures.

mod file;
mod outcome;
mod read;

pub use file::{Calls, PairStudy, SampleFile};
pub use outcome::{Row, TestTable};

use crate::context::{Setup, TestContext};
use crate::data::DataRoot;
use crate::domain::{Gene, Genes, Perturbation, Pool, Samples};
use crate::error::{Error, Result};
use crate::plugin::{InteractionTest, Relation};
use crate::runner::known_pairs;
use device::Device;
use numerics::streams::Streams;
use std::sync::Arc;

/// The samples of one seed, and what is known of them.
pub struct Loaded {
    /// What is tested.
    pub samples: Samples,
    /// How each pair is known to act, in a simulator.
    pub relations: Option<Vec<Relation>>,
    /// Whether each pair is in the study's table of known pairs.
    pub known: Option<Vec<bool>>,
    /// Pairs that cannot be tested, with the reason.
    pub left_out: Vec<(String, String)>,
    /// What the log should say.
    pub notes: Vec<String>,
}

impl PairStudy {
    /// Reads or simulates the samples of one seed.
    pub fn load(&self, seed: u64, data: &DataRoot) -> Result<Loaded> {
        let mut loaded = self.load_samples(seed, data)?;
        if let Some(known) = &self.known {
            let s = &loaded.samples;
            let pairs = s.pairs.iter().map(|p| Perturbation::new([Gene(p.first as u32), Gene(p.second as u32)]));
            let pool = Pool::list(Arc::new(Genes::new(&s.genes)?), pairs)?;
            let ids = known_pairs(known, &pool, data)?;
            let flags: Vec<bool> = (0..s.pairs.len()).map(|p| ids.binary_search(&p).is_ok()).collect();
            loaded.notes.push(format!("{} of {} pairs are known", ids.len(), flags.len()));
            loaded.known = Some(flags);
        }
        Ok(loaded)
    }

    fn load_samples(&self, seed: u64, data: &DataRoot) -> Result<Loaded> {
        let streams = Streams::new(seed);
        match (&self.oracle, &self.samples) {
            (Some(oracle), None) => {
                let screen = oracle.open(&Setup { data, streams: &streams.child("world") })?;
                let Some(samples) = screen.samples(&streams.child("noise"))? else {
                    return Err(Error::Config(
                        "the oracle gives no samples of control and of perturbations, which tests of interaction need; \
                         simulators have readout = \"cells\", and perturb_seq reads cells"
                            .into(),
                    ));
                };
                if samples.pairs.is_empty() {
                    return Err(Error::Data(
                        "no pair of the screen can be tested: it has no pair with samples of both genes alone".into(),
                    ));
                }
                samples.check()?;
                let pool = screen.pool();
                let of = |p: usize| pool.parse(&samples.label(p));
                let ids = (0..samples.pairs.len()).map(of).collect::<Result<Vec<_>>>()?;
                let relations = screen.relations(&ids);
                Ok(Loaded { relations, known: None, notes: screen.notes(), samples, left_out: vec![] })
            }
            (None, Some(file)) => file.read(data),
            _ => Err(Error::Config("give either an [oracle] or [samples], and not both".into())),
        }
    }

    /// Runs one test on the samples of one seed: a row for each pair, tested or not.
    pub fn run(
        &self,
        name: &str,
        test: &dyn InteractionTest,
        loaded: &Loaded,
        seed: u64,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<TestTable> {
        let samples = &loaded.samples;
        let least = test.min_samples();
        let (enough, few): (Vec<usize>, Vec<usize>) =
            (0..samples.pairs.len()).partition(|p| samples.sizes(*p).iter().all(|n| *n >= least));
        let some = samples.with_pairs(&enough);
        let streams = Streams::new(seed).child("test").child(name);
        let device: Option<&dyn Device> = self.device.open();
        let cx = TestContext::new(&some, &streams).with_device(device).with_progress(progress);
        let outcomes = if enough.is_empty() { vec![] } else { test.test(&cx)? };
        if outcomes.len() != enough.len() {
            return Err(Error::Plugin(format!(
                "the test {name} gave {} outcomes for {} pairs",
                outcomes.len(),
                enough.len()
            )));
        }
        let mut rows = vec![];
        for (&p, o) in enough.iter().zip(outcomes) {
            if !o.score.is_finite() || o.p_value.is_some_and(|p| !(p > 0.0 && p <= 1.0)) {
                return Err(Error::Numerical(format!(
                    "the test {name} gave {} the score {} and the p value {:?}",
                    samples.label(p),
                    o.score,
                    o.p_value
                )));
            }
            let (relation, known) = (loaded.relations.as_ref().map(|r| r[p]), loaded.known.as_ref().map(|k| k[p]));
            rows.push(Row::tested(seed, samples, p, relation, known, o));
        }
        for p in few {
            let n = samples.sizes(p);
            let why = format!("a class has fewer than {least} samples ({}, {}, {}, {})", n[0], n[1], n[2], n[3]);
            rows.push(Row::untested(seed, samples.label(p), why));
        }
        rows.extend(loaded.left_out.iter().map(|(label, why)| Row::untested(seed, label.clone(), why.clone())));
        let mut table = TestTable { name: name.into(), null: test.null(), rows };
        table.call(&self.calls);
        Ok(table)
    }
}
