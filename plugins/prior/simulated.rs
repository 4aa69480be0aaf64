//! A prior of chosen quality, made from the hidden factors of a simulator.
//!
//! φ = ρ F̃ + √(1 - ρ²) ε + offset, with F̃ the simulator's gene factors, standardised, rotated at random and
//! standardised again, and ε ~ N(0, 1): ρ is the correlation of each feature with the truth. For questions
//! of the form "how good must prior knowledge be". Cost O(genes x factors x dims).

use framework::numerics::matmul;
use framework::prelude::*;
use rand_distr::{Distribution, StandardNormal};

/// Features that know the simulator's hidden gene factors to a chosen degree. Needs an oracle that is a
/// simulator.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simulated {
    /// Correlation ρ of each feature with the hidden truth, 0 (noise) to 1 (the truth); default 0.7.
    #[serde(default = "informativeness")]
    pub informativeness: f64,
    /// Share of the genes that the prior covers, 0 to 1, drawn at random; default 1.
    #[serde(default = "coverage")]
    pub coverage: f64,
    /// A constant added to every feature, as a source with a large common mean has; in sds; default 0.
    #[serde(default)]
    pub offset: f64,
    /// Number of features; absent: as many as the simulator has factors.
    #[serde(default)]
    pub dims: Option<usize>,
    /// Whether the prior also knows how strong each gene is; default false: a gene's factors are scaled to
    /// length 1 first, so that it knows what a gene acts on but not how much.
    #[serde(default)]
    pub sizes: bool,
}

fn informativeness() -> f64 {
    0.7
}

fn coverage() -> f64 {
    1.0
}

impl Default for Simulated {
    fn default() -> Self {
        Self { informativeness: informativeness(), coverage: coverage(), offset: 0.0, dims: None, sizes: false }
    }
}

#[typetag::serde(name = "simulated")]
impl Prior for Simulated {
    fn embed(&self, cx: &PriorContext) -> Result<Block> {
        let wrong = |what: String| Error::Config(format!("prior `{}`: {what}", cx.name));
        for (name, v) in [("informativeness", self.informativeness), ("coverage", self.coverage)] {
            if !(0.0..=1.0).contains(&v) {
                return Err(wrong(format!("{name} = {v} is not within 0 to 1")));
            }
        }
        if !self.offset.is_finite() || self.dims == Some(0) {
            return Err(wrong("`offset` must be a finite number and `dims` at least 1".into()));
        }
        let known = cx.screen.and_then(|s| Some((s, s.gene_factors()?)));
        let Some((screen, factors)) = known else {
            return Err(wrong(
                "a simulated prior needs an oracle that is a simulator (such as latent_dag); use embedding_table \
                 with a recorded screen"
                    .into(),
            ));
        };
        let streams = cx.setup.streams.child("prior").child(cx.name);
        let k = factors.ncols();
        let d = self.dims.unwrap_or(k);

        // Orthonormal columns (or rows, where there are more features than factors): the Cholesky factor L
        // of GᵀG makes G L⁻ᵀ orthonormal.
        let mut rng = streams.rng("rotation");
        let g = Array2::<f64>::from_shape_simple_fn((k, d), || StandardNormal.sample(&mut rng));
        let rotation = if d <= k {
            Cholesky::new(matmul(g.t(), g.view()).view())?.half_solve(g.t()).reversed_axes()
        } else {
            Cholesky::new(matmul(g.view(), g.t()).view())?.half_solve(g.view())
        };
        let mut truth = factors;
        if !self.sizes {
            for mut row in truth.outer_iter_mut() {
                let length = row.dot(&row).sqrt();
                if length > 0.0 {
                    row /= length;
                }
            }
        }
        standardise(&mut truth);
        let mut x = matmul(truth.view(), rotation.view());
        standardise(&mut x);

        let mut rng = streams.rng("noise");
        let noise = (1.0 - self.informativeness * self.informativeness).sqrt();
        x.mapv_inplace(|v| {
            let z: f64 = StandardNormal.sample(&mut rng);
            self.informativeness * v + noise * z + self.offset
        });
        let genes = screen.pool().genes();
        let n = (self.coverage * genes.len() as f64).round() as usize;
        let mut covered = rand::seq::index::sample(&mut streams.rng("coverage"), genes.len(), n).into_vec();
        covered.sort_unstable();
        let names: Vec<&str> = covered.iter().map(|&g| genes.name(Gene(g as u32))).collect();
        cx.block_from_rows(&names, &x.select(Axis(0), &covered))
    }

    fn seeded(&self) -> bool {
        true
    }
}

/// Gives every column mean 0 and sd 1; a constant column becomes 0.
fn standardise(x: &mut Array2<f64>) {
    let n = x.nrows() as f64;
    for mut column in x.columns_mut() {
        let mean = column.sum() / n;
        column -= mean;
        let sd = (column.dot(&column) / n).sqrt();
        if sd > 0.0 {
            column /= sd;
        }
    }
}

framework::register!(Prior, Simulated, "simulated", "a simulator's hidden gene factors with noise, of chosen quality");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::data::DataRoot;
    use framework::numerics::stats::pearson;
    use std::sync::Arc;

    struct World(Arc<Pool>, Array2<f64>);
    impl Screen for World {
        fn pool(&self) -> &Arc<Pool> {
            &self.0
        }
        fn n_outputs(&self) -> usize {
            1
        }
        fn measure(&self, ids: &[usize], _: &Experiment, _: &Streams) -> Result<Readouts> {
            Ok(Readouts::plain(ids, Array2::zeros((ids.len(), 1))))
        }
        fn gene_factors(&self) -> Option<Array2<f64>> {
            Some(self.1.clone())
        }
    }

    fn embed(settings: Simulated, name: &str) -> Result<(Array2<f64>, Block)> {
        let genes = Arc::new(Genes::new((0..3000).map(|i| format!("g{i}"))).unwrap());
        let mut rng = Streams::new(9).rng("factors");
        let f = Array2::from_shape_simple_fn((3000, 4), || StandardNormal.sample(&mut rng));
        let screen = World(Arc::new(Pool::singles(genes.clone())), f.clone());
        let (data, streams) = (DataRoot::default(), Streams::new(1));
        let setup = Setup { data: &data, streams: &streams };
        let cx = PriorContext { name, genes: &genes, updates: None, screen: Some(&screen), setup: &setup };
        Ok((f, settings.embed(&cx)?))
    }

    /// Share of each feature's variance that a linear map of the factors explains (factors independent).
    fn explained(f: &Array2<f64>, b: &Block) -> Vec<f64> {
        let column = |x: &Array2<f64>, c: usize| x.column(c).to_vec();
        (0..b.x.ncols())
            .map(|c| (0..4).map(|k| pearson(&column(f, k), &column(&b.x, c)).powi(2)).sum())
            .collect()
    }

    #[test]
    fn informativeness_is_the_correlation_with_the_truth() {
        for dims in [None, Some(2), Some(9)] {
            for rho in [0.0, 0.7, 1.0] {
                let settings = Simulated { informativeness: rho, dims, sizes: true, ..Simulated::default() };
                let (f, b) = embed(settings, "p").unwrap();
                assert_eq!(b.x.ncols(), dims.unwrap_or(4));
                // Sampling error of a squared correlation at n = 3000, and of the factors' independence.
                assert!(explained(&f, &b).iter().all(|r| (r - rho * rho).abs() < 0.06), "{:?}", explained(&f, &b));
            }
        }
    }

    #[test]
    fn coverage_offset_and_name_count() {
        let settings = || Simulated { coverage: 0.25, offset: 10.0, ..Simulated::default() };
        let (_, b) = embed(settings(), "p").unwrap();
        assert_eq!(b.n_present(), 750);
        assert!(b.note.starts_with("750 of 3000 genes covered"), "{}", b.note);
        let (_, again) = embed(settings(), "p").unwrap();
        assert_eq!(b.x, again.x);
        let (_, other) = embed(settings(), "q").unwrap();
        assert_ne!(b.x, other.x);
        let full = embed(Simulated { offset: 10.0, ..Simulated::default() }, "p").unwrap().1;
        assert!((full.x.mean().unwrap() - 10.0).abs() < 0.05);
        let e = embed(Simulated { coverage: 1.5, ..Simulated::default() }, "p").unwrap_err().to_string();
        assert_eq!(e, "prior `p`: coverage = 1.5 is not within 0 to 1");
    }
}
