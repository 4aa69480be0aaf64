//! The test kit: small worlds, a surrogate with known moments, and the conformance suite. Public, so
//! that a crate with its own plugins runs the same checks:
//!
//! ```no_run
//! // In a test of your crate, after `use my_plugins as _;`:
//! # use contract as framework;
//! framework::testing::conformance(); // panics with the list of everything that is wrong
//! framework::testing::conformance_of("my_plugin"); // one of them alone
//! ```

mod conformance;
mod metrics;
mod mixture;

pub use conformance::{check_entry, conformance, conformance_of};
pub use mixture::Mixture;

use crate::data::DataRoot;
use crate::domain::{
    Batch, Block, Candidates, Compose, Direction, Genes, Inputs, Observed, Pool, Posterior, Readouts, Target,
};
use crate::error::{Error, Result};
use crate::plugin::{
    Acquisition, Functions, JointDraws, Kernel, KernelContext, LayerFactors, LayerGradients, PosteriorCovariance,
    Prior, PriorContext, Representation, Round, RunContext, Setup, Surrogate, VarianceGradient,
};
use ndarray::{Array1, Array2, Array3, ArrayView2, Axis};
use numerics::Gram;
use numerics::streams::{StreamRng, Streams};
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;

/// What a rule chooses, three at once, among `n` genes of which the first ones are measured.
pub fn choose(
    rule: &dyn Acquisition,
    model: &dyn Surrogate,
    n: usize,
    direction: Direction,
    measured: &[f64],
) -> Result<Batch> {
    let genes = Arc::new(Genes::new((0..n).map(|i| format!("g{i}")))?);
    let inputs = Arc::new(Inputs::new(Arc::new(Pool::singles(genes)), vec![], Compose::Sum)?);
    let mut observed = Observed::empty(1);
    let ids: Vec<usize> = (0..measured.len()).collect();
    observed.push(&Readouts::plain(&ids, Array2::from_shape_fn((ids.len(), 1), |(i, _)| measured[i])), 0)?;
    let candidates = Candidates::new(n, ids);
    let round = Round { index: 1, of: 1, batch: 3 };
    let target = Target { direction, ..Target::default() };
    let cx = RunContext::new(round, &inputs, &candidates, &observed, Streams::new(1))
        .with_target(target)
        .with_surrogate(Some(model));
    rule.select(&cx)
}

/// A surrogate with chosen means and standard deviations, one output.
#[derive(Clone, Debug)]
pub struct MockSurrogate {
    /// Mean by pool id.
    pub mean: Vec<f64>,
    /// Standard deviation by pool id.
    pub sd: Vec<f64>,
}

impl Surrogate for MockSurrogate {
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        let column = |v: &[f64]| Array2::from_shape_fn((ids.len(), 1), |(i, _)| v[ids[i]]);
        Ok(Posterior { mean: column(&self.mean), sd: Some(column(&self.sd)) })
    }

    fn draws(&self) -> Option<&dyn JointDraws> {
        Some(self)
    }

    fn covariance(&self) -> Option<&dyn PosteriorCovariance> {
        Some(self)
    }

    fn variance_gradient(&self) -> Option<&dyn VarianceGradient> {
        Some(self)
    }

    fn representation(&self) -> Option<&dyn Representation> {
        Some(self)
    }

    fn layers(&self) -> Option<&dyn LayerGradients> {
        Some(self)
    }
}

impl JointDraws for MockSurrogate {
    fn draw(&self, ids: &[usize], n: usize, rng: &mut StreamRng) -> Result<Array3<f64>> {
        let mut out = Array3::zeros((n, ids.len(), 1));
        for l in 0..n {
            // One value an id and draw, over the whole pool, so that a draw is one function.
            let z: Vec<f64> = self.mean.iter().map(|_| StandardNormal.sample(rng)).collect();
            for (i, &id) in ids.iter().enumerate() {
                out[(l, i, 0)] = self.mean[id] + self.sd[id] * z[id];
            }
        }
        Ok(out)
    }
}

impl PosteriorCovariance for MockSurrogate {
    /// Perturbations are independent.
    fn between(&self, a: &[usize], b: &[usize], _: usize) -> Result<Array2<f64>> {
        let own = |i: usize, j: usize| if a[i] == b[j] { self.sd[a[i]].powi(2) } else { 0.0 };
        Ok(Array2::from_shape_fn((a.len(), b.len()), |(i, j)| own(i, j)))
    }
}

impl VarianceGradient for MockSurrogate {
    /// Var(x) = Σ_j (x_j - m)² about the sum m of all means.
    fn at(&self, x: ArrayView2<f64>) -> Result<(Array1<f64>, Array2<f64>)> {
        let away = &x - self.mean.iter().sum::<f64>();
        Ok(((&away * &away).sum_axis(Axis(1)), 2.0 * away))
    }
}

impl Representation for MockSurrogate {
    fn embed(&self, ids: &[usize]) -> Result<Array2<f64>> {
        Ok(Array2::from_shape_fn((ids.len(), 2), |(i, j)| if j == 0 { self.mean[ids[i]] } else { self.sd[ids[i]] }))
    }
}

impl LayerGradients for MockSurrogate {
    /// Of the network Σ_u w_u tanh(z_u) + c with z_u = v_u mean + w_u sd + b_u, three hidden units and fixed weights.
    fn factors(&self, ids: &[usize], member: usize, directions: ArrayView2<f64>) -> Result<Vec<LayerFactors>> {
        let weight = |u: usize, j: usize| 0.4 * (u as f64 + 1.0) - 0.3 * j as f64 - 0.1 * member as f64;
        let input = Array2::from_shape_fn((ids.len(), 3), |(i, j)| [self.mean[ids[i]], self.sd[ids[i]], 1.0][j]);
        let hidden = input.dot(&Array2::from_shape_fn((3, 3), |(j, u)| weight(u, j))).mapv(f64::tanh);
        let q = directions.ncols();
        let signal = Array2::from_shape_fn((ids.len(), 3 * q), |(i, c)| {
            let (k, u) = (c / 3, c % 3);
            directions[(0, k)] * weight(u, 1) * (1.0 - hidden[(i, u)].powi(2))
        });
        let head = Array2::from_shape_fn((ids.len(), 4), |(i, u)| if u < 3 { hidden[(i, u)] } else { 1.0 });
        let out = Array2::from_shape_fn((ids.len(), q), |(_, k)| directions[(0, k)]);
        Ok(vec![LayerFactors { input, signal }, LayerFactors { input: head, signal: out }])
    }
}

/// A Gaussian posterior with chosen means and covariances of the whole pool, one output.
#[derive(Clone, Debug)]
pub struct MockGaussian {
    /// Mean by pool id.
    pub mean: Vec<f64>,
    /// Covariance of the pool.
    pub covariance: Array2<f64>,
    /// Noise variance of a measurement, if the model is to know it.
    pub noise: Option<f64>,
}

impl Surrogate for MockGaussian {
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        let column = |f: &dyn Fn(usize) -> f64| Array2::from_shape_fn((ids.len(), 1), |(i, _)| f(ids[i]));
        let sd = |i: usize| self.covariance[(i, i)].sqrt();
        Ok(Posterior { mean: column(&|i| self.mean[i]), sd: Some(column(&sd)) })
    }

    fn draws(&self) -> Option<&dyn JointDraws> {
        Some(self)
    }

    fn covariance(&self) -> Option<&dyn PosteriorCovariance> {
        Some(self)
    }

    fn noise_variance(&self) -> Option<ndarray::Array1<f64>> {
        self.noise.map(|v| ndarray::Array1::from_elem(1, v))
    }
}

impl JointDraws for MockGaussian {
    fn draw(&self, ids: &[usize], n: usize, rng: &mut StreamRng) -> Result<Array3<f64>> {
        let z = Array2::from_shape_simple_fn((self.mean.len(), n), || StandardNormal.sample(rng));
        let off = numerics::Cholesky::new(self.covariance.view())?.times(z.view());
        Ok(Array3::from_shape_fn((n, ids.len(), 1), |(k, i, _)| self.mean[ids[i]] + off[(ids[i], k)]))
    }
}

impl PosteriorCovariance for MockGaussian {
    fn between(&self, a: &[usize], b: &[usize], _: usize) -> Result<Array2<f64>> {
        Ok(Array2::from_shape_fn((a.len(), b.len()), |(i, j)| self.covariance[(a[i], b[j])]))
    }
}

/// A surrogate made of chosen functions.
#[derive(Clone, Debug)]
pub struct MockFunctions(pub Array3<f64>);

impl Surrogate for MockFunctions {
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        let f = self.0.select(ndarray::Axis(1), ids);
        let mean = f.mean_axis(ndarray::Axis(0)).ok_or_else(|| Error::Plugin("no functions".into()))?;
        Ok(Posterior { mean, sd: Some(f.std_axis(ndarray::Axis(0), 0.0)) })
    }

    fn functions(&self) -> Option<&dyn Functions> {
        Some(self)
    }
}

impl Functions for MockFunctions {
    fn evaluate(&self, ids: &[usize]) -> Result<Array3<f64>> {
        Ok(self.0.select(ndarray::Axis(1), ids))
    }
}

/// A small world: genes with normal features, and readouts linear in them with a little noise.
#[derive(Debug)]
pub struct TinyWorld {
    /// Features of one prior, `signal`.
    pub inputs: Arc<Inputs>,
    /// True readouts of the pool (perturbations x outputs).
    pub truth: Array2<f64>,
}

impl TinyWorld {
    /// `genes` single genes (or all their pairs) with `features` features and `outputs` outputs.
    pub fn new(genes: usize, features: usize, outputs: usize, pairs: bool, seed: u64) -> Result<Self> {
        let streams = Streams::new(seed).child("tiny world");
        let table = Arc::new(Genes::new((0..genes).map(|i| format!("G{i:03}")))?);
        let mut rng = streams.rng("features");
        let x = Array2::from_shape_simple_fn((genes, features), || StandardNormal.sample(&mut rng));
        let w: Array2<f64> = Array2::from_shape_simple_fn((features, outputs), || StandardNormal.sample(&mut rng));
        let block = Block::new("signal", x.clone(), vec![true; genes])?;
        let pool = Arc::new(if pairs { Pool::all_pairs(table) } else { Pool::singles(table) });
        let single = x.dot(&w);
        let inputs =
            Arc::new(Inputs::new(pool.clone(), vec![Arc::new(block)], Compose::Sum)?.with_single_effects(Some(single)));
        let all: Vec<usize> = (0..pool.len()).collect();
        let truth = inputs.features(&all).dot(&w);
        Ok(Self { inputs, truth })
    }

    /// The given ids measured with noise of standard deviation 0.05.
    pub fn observe(&self, ids: &[usize], seed: u64) -> Result<Observed> {
        let streams = Streams::new(seed).child("tiny noise");
        let mut observed = Observed::empty(self.truth.ncols());
        let y = Array2::from_shape_fn((ids.len(), self.truth.ncols()), |(i, j)| {
            let z: f64 = StandardNormal.sample(&mut streams.index(ids[i]).index(j).rng("noise"));
            self.truth[(ids[i], j)] + 0.05 * z
        });
        observed.push(&Readouts::plain(ids, y), 0)?;
        Ok(observed)
    }

    /// The matrix of a kernel that needs no model.
    pub fn gram(&self, kernel: &dyn Kernel, observed: &Observed) -> Result<Gram> {
        kernel.gram(&KernelContext::new(&self.inputs, observed, &Streams::new(1).child("kernel")))
    }

    /// A context for an acquisition in its first round.
    pub fn context<'a>(
        &'a self,
        batch: usize,
        candidates: &'a Candidates,
        observed: &'a Observed,
        surrogate: Option<&'a dyn Surrogate>,
        kernel: Option<&'a dyn Kernel>,
        seed: u64,
    ) -> RunContext<'a> {
        let round = Round { index: 1, of: 1, batch };
        let streams = Streams::new(seed).child("context");
        RunContext::new(round, &self.inputs, candidates, observed, streams)
            .with_surrogate(surrogate)
            .with_kernel(kernel)
    }
}

/// Checks a stationary kernel of the prior features, made from its length scale, against its `formula` of
/// distance over length: entries, random features on the average, and the median distance as default length.
///
/// # Panics
/// Where they differ.
pub fn check_stationary(make: impl Fn(Option<f64>) -> Box<dyn Kernel>, formula: impl Fn(f64) -> f64) {
    let check = || -> Result<()> {
        let world = TinyWorld::new(12, 3, 1, false, 4)?;
        let ids: Vec<usize> = (0..12).collect();
        let x = world.inputs.features(&ids);
        let distance = |i: usize, j: usize| (&x.row(i) - &x.row(j)).mapv(|v| v * v).sum().sqrt();
        let kernel = make(Some(1.7));
        let (observed, streams) = (world.observe(&[1, 4, 9], 1)?, Streams::new(1));
        let k = world.gram(&*kernel, &observed)?.to_dense(&ids);
        let (n, cx) = (40_000, KernelContext::new(&world.inputs, &observed, &streams));
        let map = kernel.random_features(&cx, n, &mut streams.rng("features"))?;
        let z = map.ok_or_else(|| Error::Plugin("no random features".into()))?(&x);
        let estimate = z.dot(&z.t());
        for i in 0..12 {
            for j in 0..12 {
                let want = formula(distance(i, j) / 1.7);
                assert!((k[(i, j)] - want).abs() < 1e-12, "entry {i} {j}");
                // A term of the average has variance below 2: five standard errors.
                assert!((estimate[(i, j)] - want).abs() < 5.0 * (2.0 / n as f64).sqrt(), "random features {i} {j}");
            }
        }
        let mut all = [distance(1, 4), distance(1, 9), distance(4, 9)];
        all.sort_by(f64::total_cmp);
        let of = |length| world.gram(&*make(length), &observed).map(|g| g.to_dense(&[0, 5])[(0, 1)]);
        assert!((of(None)? - of(Some(all[1]))?).abs() < 1e-12, "the default length is the median distance");
        assert!(of(Some(0.0)).is_err_and(|e| e.to_string().contains("positive")), "a length of 0 is refused");
        Ok(())
    };
    if let Err(e) = check() {
        panic!("{e}");
    }
}

/// What a fusion makes of two priors, `other` (noise) and `signal` (the readouts are linear in it), of 60 genes.
pub struct Fused {
    /// Its matrix over the pool.
    pub gram: Gram,
    /// What it recorded.
    pub recorded: Vec<(String, f64)>,
    /// The priors' own matrices, each over its largest diagonal entry.
    pub sources: Vec<Array2<f64>>,
    /// Mean readouts of the distinct measured genes.
    pub readouts: Array2<f64>,
}

/// Runs a fusion on that world with some genes measured, half of them twice.
pub fn fuse(kernel: &dyn Kernel, measured: &[usize]) -> Result<Fused> {
    use rand::RngExt;
    let world = TinyWorld::new(60, 4, 6, false, 3)?;
    let mut rng = Streams::new(5).rng("noise");
    let x = Array2::from_shape_simple_fn((60, 4), || rng.random_range(-1.0..1.0));
    let blocks = vec![Arc::new(Block::new("other", x, vec![true; 60])?), world.inputs.blocks()[0].clone()];
    let inputs = Arc::new(Inputs::new(world.inputs.pool().clone(), blocks, Compose::Sum)?);
    let mut observed = world.observe(measured, 1)?;
    let again = world.observe(&measured[..measured.len() / 2], 2)?;
    observed.push(&Readouts::plain(&again.ids, again.y), 1)?;
    let (recorded, streams) = (std::cell::RefCell::default(), Streams::new(1));
    let cx = KernelContext { recorded: Some(&recorded), ..KernelContext::new(&inputs, &observed, &streams) };
    let gram = kernel.gram(&cx)?;
    let ids: Vec<usize> = (0..60).collect();
    let source = |b: usize| {
        let x = inputs.only(&[b]).features(&ids);
        let k = x.dot(&x.t());
        let largest = k.diag().iter().fold(0.0f64, |m, v| m.max(*v));
        k / largest
    };
    let readouts = crate::plugin::mean_readouts(&observed);
    Ok(Fused { gram, sources: vec![source(0), source(1)], recorded: recorded.take(), readouts })
}

impl Fused {
    /// A number that the fusion recorded.
    ///
    /// # Panics
    /// If it recorded none of that name.
    pub fn number(&self, name: &str) -> f64 {
        match self.recorded.iter().find(|r| r.0 == name) {
            Some(r) => r.1,
            None => panic!("nothing called `{name}` was recorded"),
        }
    }

    /// Whether its matrix is the sum of the priors' own with these weights, to 1e-12 of the larger weight or of 1.
    pub fn is_sum(&self, other: f64, signal: f64) -> bool {
        let within = 1e-12 * other.abs().max(signal.abs()).max(1.0);
        let want = &self.sources[0] * other + &self.sources[1] * signal;
        let ids: Vec<usize> = (0..60).collect();
        (&self.gram.to_dense(&ids) - &want).iter().all(|d| d.abs() < within)
    }
}

/// Checks that a fusion of priors by what was measured is their mean while nothing is, and records that.
///
/// # Panics
/// If it is not.
pub fn check_fusion_starts_as_mean(kernel: &dyn Kernel) -> Result<()> {
    let fused = fuse(kernel, &[])?;
    assert_eq!(fused.number("weights_from_data"), 0.0);
    assert_eq!((fused.number("weight other"), fused.number("weight signal")), (0.5, 0.5));
    assert!(fused.is_sum(0.5, 0.5));
    Ok(())
}

/// Checks that a fusion that fits a Gaussian process gives the informative prior nine tenths of the weight.
///
/// # Panics
/// If it does not.
pub fn check_fusion_finds_the_signal(kernel: &dyn Kernel) -> Result<()> {
    let fused = fuse(kernel, &(0..40).collect::<Vec<_>>())?;
    let (other, signal) = (fused.number("weight other"), fused.number("weight signal"));
    assert!(signal > 0.9 && (other + signal - 1.0).abs() < 1e-12, "{signal}");
    assert!(fused.number("weights_from_data") == 1.0 && fused.number("noise_to_signal") < 0.1);
    assert!(fused.is_sum(other, signal));
    Ok(())
}

/// Checks the derivatives of a function of a symmetric matrix (and outputs) by its entries against central differences.
///
/// # Panics
/// If they differ.
pub fn check_matrix_derivatives(f: impl Fn(&Array2<f64>, &Array2<f64>) -> Option<(f64, Array2<f64>)>) {
    use rand::RngExt;
    let mut rng = Streams::new(2).rng("x");
    let x = Array2::from_shape_simple_fn((9, 4), || rng.random_range(-1.0..1.0));
    let y = Array2::from_shape_simple_fn((9, 3), || rng.random_range(-1.0..1.0));
    let a = x.dot(&x.t()) + Array2::<f64>::eye(9) * 0.3;
    let at = |a: &Array2<f64>| f(a, &y).expect("a value at a positive definite matrix");
    let by_entry = at(&a).1;
    for (i, j) in [(0, 0), (3, 3), (2, 5), (8, 1)] {
        let moved = |h: f64| {
            let mut b = a.clone();
            b[(i, j)] += h;
            if i != j {
                b[(j, i)] += h;
            }
            at(&b).0
        };
        let slope = (moved(1e-6) - moved(-1e-6)) / 2e-6;
        let want = if i == j { by_entry[(i, j)] } else { by_entry[(i, j)] + by_entry[(j, i)] };
        assert!((slope - want).abs() < 1e-5 * want.abs().max(1.0), "{i} {j}: {slope} {want}");
    }
}

/// Standard normal numbers, the same for the same seed: rows x columns.
pub fn normal(rows: usize, columns: usize, seed: u64) -> Array2<f64> {
    let mut rng = Streams::new(seed).rng("rows");
    Array2::from_shape_simple_fn((rows, columns), || StandardNormal.sample(&mut rng))
}

/// What a prior knows of some genes, on tables below `data`.
pub fn embed(prior: &dyn Prior, genes: &[&str], data: DataRoot) -> Result<Block> {
    let (genes, streams) = (Genes::new(genes.iter().copied())?, Streams::new(1));
    let setup = Setup { data: &data, streams: &streams };
    prior.embed(&PriorContext { name: "p", genes: &genes, updates: None, screen: None, setup: &setup })
}

/// A folder of its own for a test, deleted with everything in it when the value is dropped.
#[derive(Debug)]
pub struct TempDir(std::path::PathBuf);

impl TempDir {
    /// Makes one below the system's folder for temporary files.
    pub fn new() -> Result<Self> {
        use std::sync::atomic::{AtomicUsize, Ordering};
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("screenwright-{}-{n}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(Error::io(&path, "creating a test folder"))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &std::path::Path {
        &self.0
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn fail<T>(text: impl Into<String>) -> Result<T> {
    Err(Error::Plugin(text.into()))
}
