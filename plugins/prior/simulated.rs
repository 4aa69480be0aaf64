//! Knowledge of known quality, made from the hidden factors of a simulator:
//! φ(gene) = ρ R f(gene) + √(1-ρ²) ε + offset, with f the standardised factors, R a random projection
//! and ε standard normal. ρ = 1 shows the factors, ρ = 0 is noise.

use framework::prelude::*;
use rand_distr::{Distribution, StandardNormal};

/// Features of genes with a dial for what they are worth.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Simulated {
    /// ρ, between 0 (noise) and 1 (the factors themselves).
    pub informativeness: f64,
    /// Share of genes covered.
    pub coverage: f64,
    /// Number of features.
    pub dims: usize,
    /// Added to every feature: the common mean of an uncentred source.
    pub offset: f64,
}

impl Default for Simulated {
    fn default() -> Self {
        Self { informativeness: 0.7, coverage: 1.0, dims: 32, offset: 0.0 }
    }
}

#[typetag::serde(name = "simulated")]
impl Prior for Simulated {
    fn embed(&self, cx: &PriorContext) -> Result<Block> {
        for (name, v) in [("informativeness", self.informativeness), ("coverage", self.coverage)] {
            if !(0.0..=1.0).contains(&v) {
                return Err(Error::Config(format!("prior `{}`: `{name}` must lie between 0 and 1, not {v}", cx.name)));
            }
        }
        if self.dims == 0 || !self.offset.is_finite() {
            return Err(Error::Config(format!("prior `{}`: `dims` must be at least 1 and `offset` finite", cx.name)));
        }
        let mut factors = cx.screen.and_then(Screen::gene_factors).ok_or_else(|| {
            Error::Config(format!(
                "prior `{}` is made from a simulator's hidden factors and this screen has none; use embedding_table for real data",
                cx.name
            ))
        })?;
        for mut column in factors.columns_mut() {
            let (mean, sd) = (column.mean().unwrap_or(0.0), column.std(0.0));
            column.mapv_inplace(|v| if sd > 0.0 { (v - mean) / sd } else { 0.0 });
        }
        let streams = cx.setup.streams;
        let draw = |name: &str, shape: (usize, usize)| {
            let mut rng = streams.rng(name);
            Array2::from_shape_simple_fn(shape, || -> f64 { StandardNormal.sample(&mut rng) })
        };
        let (n, k) = factors.dim();
        let projection = draw("projection", (k, self.dims)) / (k as f64).sqrt();
        let noise = draw("noise", (n, self.dims));
        let rho = self.informativeness;
        let x = factors.dot(&projection) * rho + noise * (1.0 - rho * rho).sqrt() + self.offset;
        let covered = (self.coverage * n as f64).ceil() as usize;
        let mut present = vec![false; n];
        rand::seq::index::sample(&mut streams.rng("coverage"), n, covered.min(n)).iter().for_each(|i| present[i] = true);
        let missing = cx.genes.names().zip(&present).filter(|(_, p)| !**p).map(|(g, _)| g.to_string()).collect();
        let report = NameReport { rows: covered, exact: covered, missing, ..NameReport::default() };
        cx.finish(Block::new(cx.name, x, present)?, &report)
    }

    fn seeded(&self) -> bool {
        true
    }
}

framework::register!(Prior, Simulated, "simulated", "features of chosen quality from a simulator's hidden factors");

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    struct Hidden(Arc<Pool>, Array2<f64>);
    impl Screen for Hidden {
        fn pool(&self) -> &Arc<Pool> {
            &self.0
        }
        fn n_outputs(&self) -> usize {
            1
        }
        fn measure(&self, ids: &[usize], _: usize, _: &Streams) -> Result<Readouts> {
            Ok(Readouts::plain(ids, Array2::zeros((ids.len(), 1))))
        }
        fn gene_factors(&self) -> Option<Array2<f64>> {
            Some(self.1.clone())
        }
    }

    fn embed(p: Simulated) -> Result<Block> {
        let genes = Arc::new(Genes::new((0..500).map(|i| format!("g{i}")))?);
        let mut rng = Streams::new(1).rng("factors");
        let f = Array2::from_shape_simple_fn((500, 4), || StandardNormal.sample(&mut rng));
        let screen = Hidden(Arc::new(Pool::singles(genes.clone())), f);
        let setup = Setup { data: &framework::data::DataRoot::default(), streams: &Streams::new(2) };
        p.embed(&PriorContext { name: "p", genes: &genes, updates: None, screen: Some(&screen), setup: &setup })
    }

    #[test]
    fn the_dials_do_what_they_say() {
        let b = embed(Simulated { coverage: 0.4, offset: 10.0, ..Simulated::default() }).unwrap();
        assert_eq!((b.n_present(), b.x.ncols()), (200, 32));
        assert!((b.x.mean().unwrap() - 10.0).abs() < 0.1);
        // Full information has the rank of the factors, none has all dimensions.
        let rank = |informativeness| {
            let b = embed(Simulated { informativeness, ..Simulated::default() }).unwrap();
            let (e, _) = framework::numerics::eigh(framework::numerics::symmetric_product(b.x.view()).view()).unwrap();
            e.iter().filter(|v| **v > 1e-6 * e[31]).count()
        };
        assert_eq!((rank(1.0), rank(0.0)), (4, 32));
        assert!(embed(Simulated { informativeness: 1.5, ..Simulated::default() }).unwrap_err().to_string().contains("between 0 and 1"));
    }
}
