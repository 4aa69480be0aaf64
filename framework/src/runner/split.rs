//! How a pool is divided: held out, measured first, free to be chosen; and what in it counts as a hit.

use super::world::Base;
use crate::domain::Candidates;
use crate::error::{Error, Result};
use crate::metrics::hit_flags;
use crate::scenario::{Exhausted, Scenario};
use crate::store::RunSeeds;
use ndarray::{Array2, Axis};
use numerics::streams::Streams;

/// Which perturbations are held out, which are measured first, and which are hits.
pub struct Split {
    /// Held-out ids, ascending.
    pub test: Vec<usize>,
    /// Initial set in the order drawn.
    pub init: Vec<usize>,
    /// For each pool id whether it is a hit among the non-test ids, if known.
    pub is_hit: Option<Vec<bool>>,
    /// Ids that may be chosen, ascending.
    pub choosable: Vec<usize>,
    /// The same as `is_hit`, among all ids.
    pub is_hit_all: Option<Vec<bool>>,
    /// How much the true readout of each of them is wanted, if known.
    pub merit: Option<Vec<f64>>,
    /// Rounds that will be run: the scenario's, or as many as the pool can fill.
    pub rounds: usize,
    /// True readouts of the test ids, if known.
    pub test_truth: Option<Array2<f64>>,
}

impl Split {
    /// Draws the split; the same for every arm under one seed.
    pub fn new(base: &Base, scenario: &Scenario, seeds: RunSeeds) -> Result<Self> {
        let n = base.pool().len();
        let n_test = (scenario.pool.test * n as f64 + 1e-9).floor() as usize;
        let mut rng = Streams::new(seeds.world).child("split").rng("test");
        let mut test = rand::seq::index::sample(&mut rng, n, n_test).into_vec();
        test.sort_unstable();
        let rest = Candidates::new(n, test.clone());
        let wanted = scenario.pool.init + scenario.rounds * scenario.batch;
        let mut rounds = scenario.rounds;
        if wanted > rest.len() && scenario.pool.exhausted == Exhausted::Stop && scenario.pool.init <= rest.len() {
            rounds = (rest.len() - scenario.pool.init) / scenario.batch;
        } else if wanted > rest.len() {
            return Err(Error::Config(format!(
                "the screen asks for {wanted} perturbations ({} initial + {} rounds x {}) but only {} are left of {n} \
                 after {n_test} were held out; lower rounds, batch, init or test, or set exhausted = \"stop\" under [pool] to end the \
                 screen with the last full round",
                scenario.pool.init,
                scenario.rounds,
                scenario.batch,
                rest.len()
            )));
        }
        let init = rest.sample(scenario.pool.init, &mut Streams::new(seeds.init).child("split").rng("init"));
        let choosable = rest.to_vec();
        let merit = base
            .all_truth()
            .map(|t| choosable.iter().map(|&id| scenario.target.merit(&t.row(id).to_vec())).collect::<Vec<f64>>());
        let is_hit = base.all_truth().and_then(|t| {
            let mut hit = vec![false; n];
            let flags = hit_flags(&t.select(Axis(0), &choosable), &scenario.target)?;
            choosable.iter().zip(flags).for_each(|(&id, f)| hit[id] = f);
            Some(hit)
        });
        if let (Some(hit), Some(least)) = (&is_hit, scenario.target.hit_threshold)
            && !hit.contains(&true)
        {
            return Err(Error::Config(format!(
                "no perturbation reaches hit_threshold = {least}; lower it under [target], or use hit_fraction"
            )));
        }
        let is_hit_all = base.all_truth().and_then(|t| hit_flags(t, &scenario.target));
        let test_truth = if test.is_empty() { None } else { base.truth(&test) };
        Ok(Self { test, init, choosable, merit, is_hit, is_hit_all, rounds, test_truth })
    }
}
