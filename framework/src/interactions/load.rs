//! The samples of a study, read or simulated.

use super::file::PairStudy;
use super::loaded::Loaded;
use crate::data::DataRoot;
use crate::domain::{Gene, Genes, Perturbation, Pool};
use crate::error::{Error, Result};
use crate::plugin::Setup;
use crate::runner::known_pairs;
use numerics::streams::Streams;
use std::sync::Arc;

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
                Ok(Loaded {
                    relations,
                    known: None,
                    features: vec![],
                    notes: screen.notes(),
                    samples,
                    left_out: vec![],
                })
            }
            (None, Some(file)) => file.read(data),
            _ => Err(Error::Config("give either an [oracle] or [samples], and not both".into())),
        }
    }
}
