//! A small simulated screen in which genes act through their pathway: y_g = a_p(g) s_g + noise.
//!
//! Gene g belongs to pathway p(g) = g mod `pathways`. A share `active` of the pathways has an effect a_p ~ N(0, 1), the
//! others have none; s_g is uniform between 0 and 1. A measurement adds N(0, noise²), keyed by gene and replicate, so
//! that all arms under one seed meet the same numbers. Hits come in groups here, as they do in complexes, and a method
//! that learns the pathway of one hit finds the others. Our own form, after no paper. Cost O(1) a measurement.

use framework::prelude::*;
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;

/// Simulates one number a gene. Runs without any data.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PathwayScreen {
    /// Genes G000, G001, ...; default 500.
    pub genes: usize,
    /// Pathways that genes fall into, in turn; default 50.
    pub pathways: usize,
    /// Share of the pathways with an effect, 0 to 1; default 0.1.
    pub active: f64,
    /// Standard deviation of a measurement; default 0.1.
    pub noise: f64,
}

impl Default for PathwayScreen {
    fn default() -> Self {
        Self { genes: 500, pathways: 50, active: 0.1, noise: 0.1 }
    }
}

#[typetag::serde(name = "pathway_screen")]
impl Oracle for PathwayScreen {
    fn open(&self, setup: &Setup) -> Result<Box<dyn Screen>> {
        let ranges = (0.0..=1.0).contains(&self.active) && (0.0..=f64::MAX).contains(&self.noise);
        if self.genes == 0 || self.pathways == 0 || !ranges {
            return Err(Error::Config(
                "pathway_screen: genes and pathways must be at least 1, active from 0 to 1 and noise at least 0".into(),
            ));
        }
        let genes = Arc::new(Genes::new((0..self.genes).map(|g| format!("G{g:03}")))?);
        let streams = setup.streams.child("pathway_screen");
        let mut rng = streams.rng("pathways");
        let effects: Vec<f64> = (0..self.pathways)
            .map(|_| {
                let (keep, z): (f64, f64) = (rng.random(), StandardNormal.sample(&mut rng));
                if keep < self.active { z } else { 0.0 }
            })
            .collect();
        let mut rng = streams.rng("strengths");
        let strengths = (0..self.genes).map(|_| rng.random()).collect();
        Ok(Box::new(Opened { pool: Arc::new(Pool::singles(genes)), effects, strengths, noise: self.noise }))
    }
}

/// The world of one seed.
struct Opened {
    pool: Arc<Pool>,
    effects: Vec<f64>,
    strengths: Vec<f64>,
    noise: f64,
}

impl Opened {
    fn value(&self, gene: usize) -> f64 {
        self.effects[gene % self.effects.len()] * self.strengths[gene]
    }
}

impl Screen for Opened {
    fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    fn n_outputs(&self) -> usize {
        1
    }

    fn measure(&self, ids: &[usize], _: &Experiment, streams: &Streams) -> Result<Readouts> {
        let mut out = Readouts::plain(ids, Array2::from_shape_fn((ids.len(), 1), |(r, _)| self.value(ids[r])));
        for (r, &id) in ids.iter().enumerate() {
            let mut rng = streams.index(id).index(out.replicate[r] as usize).rng("pathway_screen");
            let z: f64 = StandardNormal.sample(&mut rng);
            out.y[(r, 0)] += self.noise * z;
        }
        Ok(out)
    }

    // Hits and test scores are judged by the noise-free value.
    fn truth(&self, ids: &[usize]) -> Option<Array2<f64>> {
        Some(Array2::from_shape_fn((ids.len(), 1), |(r, _)| self.value(ids[r])))
    }

    // Which pathway a gene is in; the prior `simulated` makes features of chosen quality from it.
    fn gene_factors(&self) -> Option<Array2<f64>> {
        let shape = (self.pool.len(), self.effects.len());
        Some(Array2::from_shape_fn(shape, |(g, p)| if g % shape.1 == p { 1.0 } else { 0.0 }))
    }
}

framework::register!(Oracle, PathwayScreen, "pathway_screen", "simulates genes that act through their pathway");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::data::DataRoot;
    use framework::numerics::stats;

    #[test]
    fn genes_of_a_pathway_share_a_sign_and_noise_is_as_asked() {
        let oracle = PathwayScreen { pathways: 7, active: 1.0, noise: 0.5, ..PathwayScreen::default() };
        let open = |seed| oracle.open(&Setup { data: &DataRoot::default(), streams: &Streams::new(seed) }).unwrap();
        let (screen, other) = (open(1), open(2));
        let all: Vec<usize> = (0..500).collect();
        let truth = screen.truth(&all).unwrap();
        assert!((7..500).all(|g| truth[(g, 0)] * truth[(g - 7, 0)] >= 0.0));
        assert_ne!(truth, other.truth(&all).unwrap(), "each seed has its own world");
        // 20,000 replicates of one gene: the standard error of their sd is 0.5 / 200.
        let y = screen.measure(&[3; 20_000], &Experiment::of_round(1), &Streams::new(9)).unwrap().y;
        let off: Vec<f64> = y.iter().map(|v| v - truth[(3, 0)]).collect();
        assert!((stats::sd(&off) - 0.5).abs() < 5.0 * 0.5 / 200.0, "{}", stats::sd(&off));
        let bad = PathwayScreen { active: 2.0, ..oracle.clone() };
        assert!(bad.open(&Setup { data: &DataRoot::default(), streams: &Streams::new(1) }).is_err());
    }
}
