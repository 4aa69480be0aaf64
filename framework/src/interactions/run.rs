//! A test on the samples of one seed.

use super::file::PairStudy;
use super::loaded::Loaded;
use super::outcome::{Row, TestTable};
use crate::error::{Error, Result};
use crate::plugin::{InteractionTest, TestContext};
use device::Device;
use numerics::streams::Streams;

impl PairStudy {
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
