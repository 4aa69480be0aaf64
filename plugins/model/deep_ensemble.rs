//! Deep ensemble (Lakshminarayanan et al. 2017): networks of different start and order that predict mean and noise.
//!
//! A member gives μ(t) and σ²(t) = softplus(r(t)) + 1e-6 for each output and is trained on the Gaussian likelihood,
//! ℓ = ½ log σ² + (y - μ)²/2σ², by Adam (0.9, 0.999, 1e-8) on all measured rows. The mean over members is the
//! prediction, the spread of their means (÷ members) the sd: that of the noise-free readout. The mean σ² over members
//! and measured rows is the noise variance. With `adversarial` = ε > 0 each row also enters as t + ε sign ∂ℓ/∂t (the
//! paper's adversarial training; ε in units of the features' standard deviation).
//!
//! Unlike `mlp` with several members it has a noise head: rows that are noisy weigh less. Its ReLU network is in the
//! standard parametrisation, and features and readouts are standardised.
//!
//! Trains in single precision, answers in double. O(epochs x rows x parameters) for each member (twice as much, and the
//! way to the input, with `adversarial`), members and tiles of rows in parallel.

use framework::prelude::*;
use learn::nn::ensemble::Ensemble;
use learn::nn::network::{Activation, Network, Pass, Start};
use learn::nn::optimiser::Adam;
use learn::nn::scaling::{OutputScale, Scaling};
use rand::seq::SliceRandom;
use rayon::prelude::*;

/// Networks with a mean and a noise variance each, on the prior features. Gives sd between members, themselves as draws
/// and functions, their last hidden layers, the factors of their gradients (of the means), and the noise variance.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeepEnsemble {
    /// Networks; default 5.
    pub members: usize,
    /// Units of each hidden layer; default [64].
    pub widths: Vec<usize>,
    /// Passes over the measured rows; default 100.
    pub epochs: usize,
    /// Rows of a step; default 64.
    pub batch: usize,
    /// Of Adam; default 0.005.
    pub learning_rate: f64,
    /// Times a parameter, added to its gradient; default 1e-4.
    pub l2: f64,
    /// Step of adversarial training in standard deviations of the features; default 0: off.
    pub adversarial: f64,
    /// Readouts: "together" (default), centred and over the root mean square sd of all outputs; "each", over the own
    /// sd; "raw", as they are.
    pub output_scale: OutputScale,
}

impl Default for DeepEnsemble {
    fn default() -> Self {
        Self {
            members: 5,
            widths: vec![64],
            epochs: 100,
            batch: 64,
            learning_rate: 0.005,
            l2: 1e-4,
            adversarial: 0.0,
            output_scale: OutputScale::Together,
        }
    }
}

/// Least noise variance, of scaled readouts.
const FLOOR: f64 = 1e-6;

/// σ² and its derivative by r.
fn noise(r: f64) -> (f64, f64) {
    let softplus = r.max(0.0) + (-r.abs()).exp().ln_1p();
    (softplus + FLOOR, 1.0 / (1.0 + (-r).exp()))
}

/// Negative log likelihood, constant aside, and its derivatives by μ and r.
fn likelihood(mean: f64, r: f64, y: f64) -> (f64, f64, f64) {
    let ((v, slope), error) = (noise(r), mean - y);
    (0.5 * (v.ln() + error * error / v), error / v, 0.5 * slope * (1.0 - error * error / v) / v)
}

/// Mean likelihood of rows whose outputs are means and then noises; leaves the signal of the `rows` behind.
fn signals(pass: &mut Pass<f32>, y: &Array2<f32>, rows: &[usize]) -> f64 {
    let (output, mut signal) = pass.output_and_signal();
    let outputs = y.ncols();
    let share = 1.0 / (output.nrows() * outputs) as f64;
    let mut sum = 0.0;
    for ((mut s, f), r) in signal.outer_iter_mut().zip(output.outer_iter()).zip(rows.iter().cycle()) {
        for o in 0..outputs {
            let (loss, by_mean, by_noise) =
                likelihood(f64::from(f[o]), f64::from(f[outputs + o]), f64::from(y[(*r, o)]));
            sum += loss;
            s[o] = (share * by_mean) as f32;
            s[outputs + o] = (share * by_noise) as f32;
        }
    }
    sum * share
}

impl DeepEnsemble {
    fn check(&self, inputs: &Inputs) -> Result<()> {
        let wrong = |what: &str| Err(Error::Config(format!("model deep_ensemble: {what}")));
        if self.widths.is_empty() || self.widths.contains(&0) {
            return wrong("`widths` needs at least one hidden layer, and every layer at least one unit");
        }
        if self.members < 2 {
            return wrong("`members` must be at least 2; one network is `mlp`");
        }
        if self.epochs == 0 || self.batch == 0 {
            return wrong("`epochs` and `batch` must be at least 1");
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            return wrong("`learning_rate` must be a positive number");
        }
        if [self.l2, self.adversarial].iter().any(|v| *v < 0.0 || !v.is_finite()) {
            return wrong("`l2` and `adversarial` must be numbers not below 0");
        }
        if inputs.n_features() == 0 {
            return wrong("it learns from features and no prior is active; add a [prior.NAME] section");
        }
        Ok(())
    }

    /// One member, and the mean loss of its last epoch.
    fn train(&self, x: &Array2<f32>, y: &Array2<f32>, streams: &Streams) -> (Network<f32>, f64) {
        let widths = [&[x.ncols()], &self.widths[..], &[2 * y.ncols()]].concat();
        let mut network = Network::new(&widths, Activation::Relu, Start::Standard, &mut streams.rng("start"));
        let mut adam = Adam::new(network.n_parameters());
        adam.l2 = self.l2;
        let (mut order, mut rng): (Vec<usize>, _) = ((0..x.nrows()).collect(), streams.rng("order"));
        let copies = if self.adversarial > 0.0 { 2 } else { 1 };
        let pass_of = |rows: usize| {
            let attack = (copies > 1).then(|| Pass::new(&network, rows));
            (Pass::new(&network, copies * rows), attack)
        };
        let batch = self.batch.min(x.nrows());
        let mut full = pass_of(batch);
        // The last batch of an epoch is as large as what is left.
        let mut rest = (!x.nrows().is_multiple_of(batch)).then(|| pass_of(x.nrows() % batch));
        let mut loss = 0.0;
        for _ in 0..self.epochs {
            order.shuffle(&mut rng);
            loss = 0.0;
            for rows in order.chunks(batch) {
                let (pass, attack) = match &mut rest {
                    Some(rest) if rows.len() < batch => rest,
                    _ => &mut full,
                };
                pass.input_mut()
                    .outer_iter_mut()
                    .zip(rows.iter().cycle())
                    .for_each(|(mut to, r)| to.assign(&x.row(*r)));
                if let Some(attack) = attack {
                    attack.input_mut().outer_iter_mut().zip(rows).for_each(|(mut to, r)| to.assign(&x.row(*r)));
                    attack.forward(&network);
                    signals(attack, y, rows);
                    attack.backward(&network);
                    let step = self.adversarial as f32;
                    let up = attack.input_signal(&network);
                    for (mut to, g) in pass.input_mut().outer_iter_mut().skip(rows.len()).zip(up.outer_iter()) {
                        to.zip_mut_with(&g, |t, g| *t += if *g == 0.0 { 0.0 } else { step * g.signum() });
                    }
                }
                pass.forward(&network);
                loss += signals(pass, y, rows) * rows.len() as f64 / x.nrows() as f64;
                pass.backward(&network);
                pass.step(&mut network, &mut adam, self.learning_rate);
            }
        }
        (network, loss)
    }
}

#[typetag::serde(name = "deep_ensemble")]
impl Model for DeepEnsemble {
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>> {
        self.check(cx.inputs)?;
        let scaling = Scaling::new("deep_ensemble", &**cx.inputs, &cx.observed.ids, &cx.observed.y, self.output_scale)?;
        let x = scaling.rows(&**cx.inputs, &cx.observed.ids)?;
        let (single, y) = (x.mapv(|v| v as f32), scaling.targets(&cx.observed.y).mapv(|v| v as f32));
        let members: Vec<(Network<f32>, f64)> =
            (0..self.members).into_par_iter().map(|m| self.train(&single, &y, &cx.streams.index(m))).collect();
        let loss = members.iter().map(|m| m.1).sum::<f64>() / members.len() as f64;
        if !(loss.is_finite() && members.iter().all(|m| m.0.is_finite())) {
            return Err(Error::Numerical(format!(
                "model deep_ensemble: training diverged at learning rate {}; lower `learning_rate`",
                self.learning_rate
            )));
        }
        let networks: Vec<Network<f64>> = members.iter().map(|m| m.0.cast()).collect();
        let outputs = y.ncols();
        let mut noise_variance = Array1::<f64>::zeros(outputs);
        for network in &networks {
            for f in network.forward(x.view()).outer_iter() {
                (0..outputs).for_each(|o| noise_variance[o] += noise(f[outputs + o]).0);
            }
        }
        noise_variance /= (networks.len() * x.nrows()) as f64;
        noise_variance *= &scaling.y_sd.mapv(|s| s * s);
        let ensemble = Ensemble { inputs: cx.inputs.clone(), scaling, clip: 0.0, networks };
        Ok(Box::new(Fitted { ensemble, noise_variance, loss }))
    }

    fn provides(&self) -> Abilities {
        Abilities::of([Ability::Sd, Ability::Draws, Ability::Embedding, Ability::Layers, Ability::VarianceGradient])
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Features])
    }
}

struct Fitted {
    ensemble: Ensemble,
    noise_variance: Array1<f64>,
    loss: f64,
}

impl Surrogate for Fitted {
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        let (mean, sd) = self.ensemble.predict(ids)?;
        Ok(Posterior { mean, sd })
    }

    fn draws(&self) -> Option<&dyn JointDraws> {
        Some(self)
    }

    fn functions(&self) -> Option<&dyn Functions> {
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

    fn noise_variance(&self) -> Option<Array1<f64>> {
        Some(self.noise_variance.clone())
    }

    fn n_members(&self) -> usize {
        self.ensemble.networks.len()
    }

    fn record(&self) -> Vec<(String, f64)> {
        vec![
            ("deep_ensemble.loss".into(), self.loss),
            ("deep_ensemble.noise_variance".into(), self.noise_variance.sum() / self.noise_variance.len() as f64),
        ]
    }
}

impl JointDraws for Fitted {
    fn draw(&self, ids: &[usize], n: usize, rng: &mut StreamRng) -> Result<Array3<f64>> {
        Ok(self.ensemble.draw(ids, n, rng)?)
    }
}

impl Functions for Fitted {
    fn evaluate(&self, ids: &[usize]) -> Result<Array3<f64>> {
        Ok(self.ensemble.values(ids, &(0..self.n_members()).collect::<Vec<_>>())?)
    }
}

impl VarianceGradient for Fitted {
    fn at(&self, x: ArrayView2<f64>) -> Result<(Array1<f64>, Array2<f64>)> {
        Ok(self.ensemble.variance_gradient(x)?)
    }
}

impl Representation for Fitted {
    fn embed(&self, ids: &[usize]) -> Result<Array2<f64>> {
        Ok(self.ensemble.embed(ids)?)
    }
}

impl LayerGradients for Fitted {
    fn factors(&self, ids: &[usize], member: usize, directions: ArrayView2<f64>) -> Result<Vec<LayerFactors>> {
        let factors = self.ensemble.factors(ids, member, directions)?;
        Ok(factors.into_iter().map(|(input, signal)| LayerFactors { input, signal }).collect())
    }
}

framework::register!(Model, DeepEnsemble, "deep_ensemble", "networks that each predict mean and noise");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::domain::Readouts;
    use framework::testing::TinyWorld;
    use rand_distr::{Distribution, StandardNormal};
    use std::sync::Arc;

    fn fit(model: &DeepEnsemble, inputs: &Arc<Inputs>, observed: &Observed) -> Result<Box<dyn Surrogate>> {
        model.fit(&FitContext { inputs, observed, streams: &Streams::new(1).child("model") })
    }

    #[test]
    fn the_likelihood_has_its_derivatives() {
        for (mean, r, y) in [(0.3, -2.0, 1.0), (-1.0, 0.0, 2.5), (0.0, 5.0, 0.1), (2.0, -9.0, 2.001), (0.0, 40.0, 3.0)]
        {
            let (loss, by_mean, by_noise) = likelihood(mean, r, y);
            let v = f64::ln_1p(f64::exp(r)) + 1e-6;
            assert!((loss - (0.5 * v.ln() + 0.5 * (y - mean) * (y - mean) / v)).abs() < 1e-9 * loss.abs().max(1.0));
            let at = |dm: f64, dr: f64| likelihood(mean + dm, r + dr, y).0;
            let near = |a: f64, b: f64| (a - b).abs() < 1e-5 * b.abs().max(1.0);
            assert!(near(by_mean, (at(1e-6, 0.0) - at(-1e-6, 0.0)) / 2e-6));
            assert!(near(by_noise, (at(0.0, 1e-6) - at(0.0, -1e-6)) / 2e-6), "{r}");
        }
        assert!(likelihood(0.0, -800.0, 1.0).0.is_finite() && likelihood(0.0, 800.0, 1.0).1 >= -1.0);
    }

    #[test]
    fn the_signal_of_a_batch_is_the_gradient_of_its_loss() {
        let mut rng = Streams::new(2).rng("n");
        let network = Network::<f32>::new(&[3, 5, 4], Activation::Relu, Start::Standard, &mut rng);
        let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
        let y = Array2::from_shape_simple_fn((6, 2), || normal() as f32);
        let x = Array2::from_shape_simple_fn((4, 3), || normal() as f32);
        let rows = [5, 0, 2, 3];
        let mut pass = Pass::new(&network, 4);
        pass.input_mut().assign(&x);
        pass.forward(&network);
        signals(&mut pass, &y, &rows);
        pass.backward(&network);
        let (weight, _) = pass.gradient(&network, 1);
        let loss = |network: &Network<f64>| {
            let f = network.forward(x.mapv(f64::from).view());
            let of = |i: usize, o: usize| likelihood(f[(i, o)], f[(i, 2 + o)], f64::from(y[(rows[i], o)])).0;
            (0..4).flat_map(|i| (0..2).map(move |o| (i, o))).map(|(i, o)| of(i, o)).sum::<f64>() / 8.0
        };
        for at in [(0, 0), (1, 1), (2, 2), (4, 3)] {
            let by = |h: f64| {
                let mut n = network.cast::<f64>();
                n.layers[1].weight[at] += h;
                loss(&n)
            };
            let want = (by(1e-6) - by(-1e-6)) / 2e-6;
            assert!((f64::from(weight[at]) - want).abs() < 1e-5, "{at:?}: {} {want}", weight[at]);
        }
    }

    /// 1,500 genes of one feature x in ±2: readouts sin 2x with noise of sd 0.1 below 0 and 0.5 above.
    fn uneven() -> (Arc<Inputs>, Observed, Vec<f64>) {
        let n = 1500;
        let mut rng = Streams::new(3).rng("x");
        let x: Vec<f64> = (0..n).map(|_| rng.random_range(-2.0..2.0)).collect();
        let y = Array2::from_shape_fn((n, 1), |(i, _)| {
            let z: f64 = StandardNormal.sample(&mut rng);
            (2.0 * x[i]).sin() + z * if x[i] < 0.0 { 0.1 } else { 0.5 }
        });
        let genes = Arc::new(Genes::new((0..n).map(|i| format!("G{i:04}"))).unwrap());
        let block = Block::new("x", Array2::from_shape_fn((n, 1), |(i, _)| x[i]), vec![true; n]).unwrap();
        let pool = Arc::new(Pool::singles(genes));
        let inputs = Arc::new(Inputs::new(pool, vec![Arc::new(block)], Compose::Sum).unwrap());
        let mut observed = Observed::empty(1);
        observed.push(&Readouts::plain(&(0..n).collect::<Vec<_>>(), y), 0).unwrap();
        (inputs, observed, x)
    }

    #[test]
    fn it_finds_the_noise_where_it_is() {
        let (inputs, observed, x) = uneven();
        for adversarial in [0.0, 0.01] {
            let model = DeepEnsemble { members: 3, adversarial, ..DeepEnsemble::default() };
            let scaling = Scaling::new("t", &*inputs, &observed.ids, &observed.y, OutputScale::Together).unwrap();
            let rows = scaling.rows(&*inputs, &observed.ids).unwrap();
            let targets = scaling.targets(&observed.y).mapv(|v| v as f32);
            let (network, loss) = model.train(&rows.mapv(|v| v as f32), &targets, &Streams::new(1));
            let f = network.cast::<f64>().forward(rows.view());
            let sd = |below: bool| {
                let of: Vec<f64> = (0..1500)
                    .filter(|i| (x[*i] < 0.0) == below && x[*i].abs() > 0.4)
                    .map(|i| noise(f[(i, 1)]).0)
                    .collect();
                (of.iter().sum::<f64>() / of.len() as f64).sqrt() * scaling.y_sd[0]
            };
            assert!((sd(true) - 0.1).abs() < 0.05 && (sd(false) - 0.5).abs() < 0.08, "{} {}", sd(true), sd(false));
            assert!(loss < -0.3, "{loss}");
            let s = fit(&model, &inputs, &observed).unwrap();
            let variance = s.noise_variance().unwrap();
            assert!((variance[0] - 0.13).abs() < 0.04, "{variance}");
            // The sd is that of the noise-free readout.
            let p = s.predict(&(0..1500).collect::<Vec<_>>()).unwrap();
            let error = (0..1500).map(|i| (p.mean[(i, 0)] - (2.0 * x[i]).sin()).powi(2)).sum::<f64>() / 1500.0;
            assert!(error.sqrt() < 0.15, "{error}");
            assert!(p.sd.unwrap().mean().unwrap() < 0.15);
        }
    }

    #[test]
    fn members_are_functions_of_their_own_and_the_variance_has_their_gradient() {
        let world = TinyWorld::new(80, 4, 2, false, 3).unwrap();
        let observed = world.observe(&(0..60).collect::<Vec<_>>(), 1).unwrap();
        let ids: Vec<usize> = (50..80).collect();
        let model = DeepEnsemble { widths: vec![16, 8], epochs: 20, members: 3, ..DeepEnsemble::default() };
        let s = fit(&model, &world.inputs, &observed).unwrap();
        let (p, f) = (s.predict(&ids).unwrap(), s.functions().unwrap().evaluate(&ids).unwrap());
        let (mean, sd) = (f.mean_axis(Axis(0)).unwrap(), f.std_axis(Axis(0), 0.0));
        let own = p.sd.unwrap();
        assert!((&p.mean - &mean).iter().chain(&(&own - &sd)).all(|d| d.abs() < 1e-12));
        assert!(own.iter().all(|s| *s > 0.0) && s.n_members() == 3);
        let draws = s.draws().unwrap().draw(&ids, 20, &mut Streams::new(4).rng("draw")).unwrap();
        assert!(draws.outer_iter().all(|d| f.outer_iter().any(|f| f == d)));
        assert_eq!(s.representation().unwrap().embed(&ids).unwrap().dim(), (30, 24));
        let layers = s.layers().unwrap().factors(&ids, 1, Array2::eye(2).view()).unwrap();
        assert_eq!(layers.iter().map(|l| l.input.ncols()).collect::<Vec<_>>(), [5, 17, 9]);
        assert!(s.layers().unwrap().factors(&ids, 3, Array2::eye(2).view()).is_err());
        let x = world.inputs.features(&ids);
        let (variance, gradient) = s.variance_gradient().unwrap().at(x.view()).unwrap();
        for i in 0..30 {
            let want: f64 = own.row(i).mapv(|s| s * s).sum();
            assert!((variance[i] / want - 1.0).abs() < 1e-9);
            for j in 0..4 {
                let by = |h: f64| {
                    let mut x = x.clone();
                    x[(i, j)] += h;
                    s.variance_gradient().unwrap().at(x.view()).unwrap().0[i]
                };
                let want = (by(1e-6) - by(-1e-6)) / 2e-6;
                assert!((gradient[(i, j)] - want).abs() < 1e-6 * variance.sum(), "{} {want}", gradient[(i, j)]);
            }
        }
    }

    #[test]
    fn threads_change_no_bit_and_constants_are_predicted() {
        let world = TinyWorld::new(200, 20, 2, false, 3).unwrap();
        let mut observed = world.observe(&(0..150).collect::<Vec<_>>(), 1).unwrap();
        observed.y.column_mut(1).fill(0.1);
        let model = DeepEnsemble {
            epochs: 5,
            members: 3,
            adversarial: 0.02,
            output_scale: OutputScale::Each,
            ..DeepEnsemble::default()
        };
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let s = fit(&model, &world.inputs, &observed).unwrap();
                let p = s.predict(&[0, 190, 199]).unwrap();
                (p.mean, p.sd, s.noise_variance(), s.record())
            })
        };
        let (mean, sd, noise, record) = run(1);
        assert!(mean.column(1).iter().all(|m| (m - 0.1).abs() < 1e-12) && sd.as_ref().unwrap().column(1).sum() == 0.0);
        assert_eq!(noise.as_ref().unwrap()[1], 0.0);
        assert!(run(4) == (mean, sd, noise, record));
        for n in 1..4 {
            let few = world.observe(&(0..n).collect::<Vec<_>>(), 1).unwrap();
            fit(&model, &world.inputs, &few).unwrap().predict(&[1, 25]).unwrap().check(2, 2).unwrap();
        }
    }

    #[test]
    fn what_cannot_be_trained_is_refused() {
        let world = TinyWorld::new(30, 4, 1, false, 3).unwrap();
        let observed = world.observe(&(0..20).collect::<Vec<_>>(), 1).unwrap();
        let base = DeepEnsemble::default;
        let refused = |model: DeepEnsemble| fit(&model, &world.inputs, &observed).err().unwrap().to_string();
        assert!(refused(DeepEnsemble { widths: vec![0], ..base() }).contains("`widths`"));
        assert!(refused(DeepEnsemble { members: 1, ..base() }).contains("`members`"));
        assert!(refused(DeepEnsemble { adversarial: -1.0, ..base() }).contains("`adversarial`"));
        assert!(refused(DeepEnsemble { learning_rate: 0.0, ..base() }).contains("`learning_rate`"));
        let diverged = refused(DeepEnsemble { learning_rate: 1e30, ..base() });
        assert!(diverged.contains("diverged"), "{diverged}");
        let nothing = Arc::new(Inputs::new(world.inputs.pool().clone(), vec![], Compose::Sum).unwrap());
        assert!(fit(&base(), &nothing, &observed).err().unwrap().to_string().contains("[prior.NAME]"));
    }
}
