//! Regression network of BMDAL (Holzmüller et al. 2023): fully connected, ReLU, trained from scratch every round.
//!
//! z = σ_w/√inputs aW + σ_b b in each layer, W ~ N(0, 1), b = 0 at the start; mean squared error over rows and
//! outputs; Adam (0.9, 0.999, 1e-8) with learning rate η(1 - step/steps). Widths, epochs, batch, η = 0.375,
//! σ_w = σ_b = 0.2, the schedule, the soft limit 5 tanh(x/5) of standardised inputs, the rows beyond the last full
//! batch left out of an epoch and the choice of the best validation epoch are those of the paper's released code
//! (dholzmueller/bmdal_reg: run_experiments, models, layers, train, data). The standard parametrisation starts as
//! PyTorch's Linear, uniform in ±1/√inputs, at Adam's own default rate 0.001.
//!
//! Trains in single precision, answers in double. O(epochs x rows x parameters) for each member, members and tiles
//! of rows in parallel.

use framework::prelude::*;
use learn::nn::ensemble::Ensemble;
use learn::nn::network::{Activation, Network, Pass, Start};
use learn::nn::optimiser::Adam;
use learn::nn::scaling::{OutputScale, Scaling};
use rand::seq::SliceRandom;
use rayon::prelude::*;

/// Fully connected ReLU network on the prior features, or an ensemble of them. Gives its last hidden layer and the
/// factors of its gradient; several members also the sd between them, and themselves as draws.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mlp {
    /// Units of each hidden layer; default [512, 512].
    pub widths: Vec<usize>,
    /// Passes over the measured rows; default 256.
    pub epochs: usize,
    /// Rows of a step, at most as many as there are; default 256.
    pub batch: usize,
    /// Learning rate of the first step, falling linearly to 0; absent: 0.375 for "ntk", 0.001 for "standard".
    pub learning_rate: Option<f64>,
    /// "ntk" (default): weights start as N(0, 1) and enter with a factor; "standard": they enter as they are.
    pub parametrisation: Parametrisation,
    /// Factor √inputs times that of the weights in "ntk"; default 0.2.
    pub sigma_w: f64,
    /// Factor of the biases in "ntk"; default 0.2.
    pub sigma_b: f64,
    /// Standard deviation of the biases at the start in "ntk"; default 0.
    pub bias_sd: f64,
    /// Soft limit c of standardised inputs x, which become c tanh(x/c); 0: none; default 5.
    pub clip: f64,
    /// How outputs are scaled: "together" (default), centred and over the root mean square sd of all outputs; "each",
    /// over the own sd; "raw", as they are.
    pub output_scale: OutputScale,
    /// Share of the measured perturbations kept from training, whose error chooses the epoch; default 0: the last.
    pub validation: f64,
    /// Networks of the ensemble, each with its own start and order of rows; default 1.
    pub members: usize,
}

impl Default for Mlp {
    fn default() -> Self {
        Self {
            widths: vec![512, 512],
            epochs: 256,
            batch: 256,
            learning_rate: None,
            parametrisation: Parametrisation::Ntk,
            sigma_w: 0.2,
            sigma_b: 0.2,
            bias_sd: 0.0,
            clip: 5.0,
            output_scale: OutputScale::Together,
            validation: 0.0,
            members: 1,
        }
    }
}

/// How parameters enter the network.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parametrisation {
    /// With factors that keep the gradient's size at any width (Jacot et al. 2018).
    Ntk,
    /// As they are.
    Standard,
}

impl Mlp {
    fn check(&self, inputs: &Inputs) -> Result<()> {
        let wrong = |what: &str| Err(Error::Config(format!("model mlp: {what}")));
        let positive = |v: f64| v > 0.0 && v.is_finite();
        if self.widths.is_empty() || self.widths.contains(&0) {
            return wrong("`widths` needs at least one hidden layer, and every layer at least one unit");
        }
        if self.epochs == 0 || self.batch == 0 || self.members == 0 {
            return wrong("`epochs`, `batch` and `members` must be at least 1");
        }
        if !positive(self.rate()) {
            return wrong("`learning_rate` must be a positive number");
        }
        if !positive(self.sigma_w) || [self.sigma_b, self.bias_sd, self.clip].iter().any(|v| *v < 0.0 || !v.is_finite())
        {
            return wrong("`sigma_w` must be a positive number and `sigma_b`, `bias_sd` and `clip` not below 0");
        }
        if !(0.0..1.0).contains(&self.validation) {
            return wrong("`validation` must be at least 0 and below 1");
        }
        if inputs.n_features() == 0 {
            return wrong("it learns from features and no prior is active; add a [prior.NAME] section");
        }
        Ok(())
    }

    fn rate(&self) -> f64 {
        self.learning_rate.unwrap_or(match self.parametrisation {
            Parametrisation::Ntk => 0.375,
            Parametrisation::Standard => 0.001,
        })
    }

    /// Network and root mean squared training error of one member, on inputs and outputs as it sees them; with
    /// validation rows, of the epoch with the least error on them.
    fn train(&self, train: &Rowed, validation: &Rowed, streams: &Streams) -> Result<(Network<f32>, f64)> {
        let start = match self.parametrisation {
            Parametrisation::Standard => Start::Standard,
            Parametrisation::Ntk => Start::Ntk { sigma_w: self.sigma_w, sigma_b: self.sigma_b, bias_sd: self.bias_sd },
        };
        let ends = ([train.x.ncols()], [train.y.ncols()]);
        let widths = [&ends.0[..], &self.widths, &ends.1].concat();
        let mut network = Network::new(&widths, Activation::Relu, start, &mut streams.rng("start"));
        let batch = self.batch.min(train.x.nrows());
        let (mut pass, mut adam) = (Pass::new(&network, batch), Adam::new(network.n_parameters()));
        let (mut order, mut rng): (Vec<usize>, _) = ((0..train.x.nrows()).collect(), streams.rng("order"));
        let steps = (self.epochs * (order.len() / batch)) as f64;
        let (mut step, mut best) = (0.0, None);
        for _ in 0..self.epochs {
            order.shuffle(&mut rng);
            for rows in order.chunks_exact(batch) {
                pass.input_mut().outer_iter_mut().zip(rows).for_each(|(mut to, r)| to.assign(&train.x.row(*r)));
                pass.forward(&network);
                let (output, mut signal) = pass.output_and_signal();
                let factor = 2.0 / output.len() as f32;
                for ((mut s, f), r) in signal.outer_iter_mut().zip(output.outer_iter()).zip(rows) {
                    s.iter_mut().zip(f).zip(train.y.row(*r)).for_each(|((s, f), y)| *s = factor * (f - y));
                }
                pass.backward(&network);
                pass.step(&mut network, &mut adam, self.rate() * (1.0 - step / steps));
                step += 1.0;
            }
            if validation.x.nrows() > 0 {
                let error = validation.error(&network);
                if best.as_ref().is_none_or(|(least, _)| error < *least) {
                    best = Some((error, network.clone()));
                }
            }
        }
        let network = best.map_or(network, |b| b.1);
        if !network.is_finite() {
            return Err(Error::Numerical(format!(
                "model mlp: training diverged at learning rate {}; lower `learning_rate`",
                self.rate()
            )));
        }
        let error = train.error(&network);
        Ok((network, error))
    }
}

/// Rows as the network sees them.
struct Rowed {
    x: Array2<f32>,
    y: Array2<f32>,
}

impl Rowed {
    fn error(&self, network: &Network<f32>) -> f64 {
        let f = network.forward(self.x.view());
        let squares: f64 = f.iter().zip(&self.y).map(|(f, y)| f64::from(f - y).powi(2)).sum();
        (squares / f.len() as f64).sqrt()
    }
}

#[typetag::serde(name = "mlp")]
impl Model for Mlp {
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>> {
        self.check(cx.inputs)?;
        let observed = cx.observed;
        let scaling = Scaling::new("mlp", &**cx.inputs, &observed.ids, &observed.y, self.output_scale)?;
        let y = scaling.targets(&observed.y);
        let mut ensemble = Ensemble { inputs: cx.inputs.clone(), scaling, clip: self.clip, networks: vec![] };
        let x = ensemble.rows(&observed.ids)?;
        // A perturbation is kept from training with all its replicates.
        let mut distinct = observed.distinct();
        distinct.shuffle(&mut cx.streams.rng("validation"));
        distinct.truncate((self.validation * distinct.len() as f64) as usize);
        let kept: std::collections::HashSet<usize> = distinct.into_iter().collect();
        let (validation, train): (Vec<usize>, Vec<usize>) =
            (0..observed.len()).partition(|r| kept.contains(&observed.ids[*r]));
        let rowed = |rows: &[usize]| Rowed {
            x: x.select(Axis(0), rows).mapv(|v| v as f32),
            y: y.select(Axis(0), rows).mapv(|v| v as f32),
        };
        let (train, validation) = (rowed(&train), rowed(&validation));
        let fits: Result<Vec<_>> =
            (0..self.members).into_par_iter().map(|m| self.train(&train, &validation, &cx.streams.index(m))).collect();
        let errors: Vec<f64>;
        (ensemble.networks, errors) = fits?.into_iter().map(|(n, e)| (n.cast::<f64>(), e)).unzip();
        let error = errors.iter().sum::<f64>() / errors.len() as f64;
        Ok(Box::new(Fitted { ensemble, error }))
    }

    fn provides(&self) -> Abilities {
        let of_one = Abilities::of([Ability::Embedding, Ability::Layers]);
        let of_several = Abilities::of([Ability::Sd, Ability::Draws, Ability::VarianceGradient]);
        if self.members > 1 { of_one | of_several } else { of_one }
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Features])
    }
}

struct Fitted {
    ensemble: Ensemble,
    /// Root mean squared training error in units of the scaled outputs, mean over members.
    error: f64,
}

impl Fitted {
    /// One network has no spread.
    fn several(&self) -> bool {
        self.ensemble.networks.len() > 1
    }
}

impl Surrogate for Fitted {
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        let (mean, sd) = self.ensemble.predict(ids)?;
        Ok(Posterior { mean, sd })
    }

    fn draws(&self) -> Option<&dyn JointDraws> {
        self.several().then_some(self as _)
    }

    fn functions(&self) -> Option<&dyn Functions> {
        self.several().then_some(self as _)
    }

    fn variance_gradient(&self) -> Option<&dyn VarianceGradient> {
        self.several().then_some(self as _)
    }

    fn representation(&self) -> Option<&dyn Representation> {
        Some(self)
    }

    fn layers(&self) -> Option<&dyn LayerGradients> {
        Some(self)
    }

    fn n_members(&self) -> usize {
        self.ensemble.networks.len()
    }

    fn record(&self) -> Vec<(String, f64)> {
        vec![("mlp.train_error".into(), self.error)]
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
    /// Of the network itself, whose outputs are centred and scaled.
    fn factors(&self, ids: &[usize], member: usize, directions: ArrayView2<f64>) -> Result<Vec<LayerFactors>> {
        let factors = self.ensemble.factors(ids, member, directions)?;
        Ok(factors.into_iter().map(|(input, signal)| LayerFactors { input, signal }).collect())
    }
}

framework::register!(Model, Mlp, "mlp", "fully connected network, or an ensemble of them");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::domain::Readouts;
    use framework::testing::TinyWorld;
    use std::sync::Arc;

    fn fit(model: &dyn Model, inputs: &Arc<Inputs>, observed: &Observed) -> Result<Box<dyn Surrogate>> {
        model.fit(&FitContext { inputs, observed, streams: &Streams::new(1).child("model") })
    }

    fn small(members: usize) -> Mlp {
        Mlp { widths: vec![32, 16], epochs: 60, batch: 32, members, ..Mlp::default() }
    }

    /// Readouts of the first `n` perturbations, bent functions of the features.
    fn bent(inputs: &Inputs, n: usize) -> (Observed, Array2<f64>) {
        let all: Vec<usize> = (0..inputs.pool().len()).collect();
        let x = inputs.features(&all);
        let truth = Array2::from_shape_fn((all.len(), 2), |(i, o)| match o {
            0 => 3.0 * x[(i, 0)].abs() + x[(i, 1)],
            _ => 10.0 + 2.0 * x[(i, 1)] * x[(i, 2)],
        });
        let mut observed = Observed::empty(2);
        let measured = truth.slice(framework::ndarray::s![..n, ..]).to_owned();
        observed.push(&Readouts::plain(&all[..n], measured), 0).unwrap();
        (observed, truth)
    }

    #[test]
    fn learns_bent_functions_that_ridge_cannot() {
        let world = TinyWorld::new(400, 3, 1, false, 2).unwrap();
        let (observed, truth) = bent(&world.inputs, 300);
        let test: Vec<usize> = (300..400).collect();
        let error = |model: &dyn Model| {
            let p = fit(model, &world.inputs, &observed).unwrap().predict(&test).unwrap();
            let squares: f64 = (0..100).map(|i| (&p.mean.row(i) - &truth.row(300 + i)).mapv(|d| d * d).sum()).sum();
            (squares / 200.0).sqrt()
        };
        let ridge: Box<dyn Model> = serde_json::from_value(serde_json::json!({ "use": "ridge" })).unwrap();
        let ridge = error(&*ridge);
        let standard = Parametrisation::Standard;
        for model in [
            Mlp { widths: vec![64, 64], batch: 64, ..Mlp::default() },
            Mlp { widths: vec![64, 64], batch: 64, output_scale: OutputScale::Each, ..Mlp::default() },
            Mlp { widths: vec![64, 64], batch: 32, parametrisation: standard, ..Mlp::default() },
            Mlp { widths: vec![64, 64], batch: 64, validation: 0.2, ..Mlp::default() },
        ] {
            let own = error(&model);
            assert!(own < 0.3 * ridge, "{model:?}: {own} against {ridge} of ridge");
        }
    }

    #[test]
    fn members_give_mean_sd_and_draws() {
        let world = TinyWorld::new(60, 4, 2, false, 3).unwrap();
        let observed = world.observe(&(0..40).collect::<Vec<_>>(), 1).unwrap();
        let ids: Vec<usize> = (35..60).collect();
        let model = small(3);
        let spread = Abilities::of([Ability::Sd, Ability::Draws]);
        assert!(model.provides().common(spread) == spread && !small(1).provides().meets(spread));
        let s = fit(&model, &world.inputs, &observed).unwrap();
        let p = s.predict(&ids).unwrap();
        let draws = s.draws().unwrap().draw(&ids, 60, &mut Streams::new(4).rng("draw")).unwrap();
        let mut members: Vec<Array2<f64>> = vec![];
        for d in draws.outer_iter() {
            if !members.iter().any(|m| m == d) {
                members.push(d.to_owned());
            }
        }
        assert_eq!((members.len(), s.n_members()), (3, 3));
        for ((i, o), m) in p.mean.indexed_iter() {
            let v: Vec<f64> = members.iter().map(|m| m[(i, o)]).collect();
            let mean = v.iter().sum::<f64>() / 3.0;
            let sd = (v.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 3.0).sqrt();
            assert!((m - mean).abs() < 1e-12 && (p.sd.as_ref().unwrap()[(i, o)] - sd).abs() < 1e-12);
        }
        // The first member of an ensemble is the network of one.
        let one = fit(&small(1), &world.inputs, &observed).unwrap();
        assert!(members.contains(&one.predict(&ids).unwrap().mean));
        assert!(one.predict(&ids).unwrap().sd.is_none() && one.draws().is_none());
        assert_eq!(one.try_draws().err().unwrap().to_string(), "this model gives no posterior draws");
    }

    #[test]
    fn members_are_functions_and_the_variance_has_their_gradient() {
        let world = TinyWorld::new(60, 4, 2, false, 3).unwrap();
        let observed = world.observe(&(0..40).collect::<Vec<_>>(), 1).unwrap();
        let ids: Vec<usize> = (35..60).collect();
        let s = fit(&small(3), &world.inputs, &observed).unwrap();
        let (p, f) = (s.predict(&ids).unwrap(), s.functions().unwrap().evaluate(&ids).unwrap());
        assert_eq!(f.dim(), (3, 25, 2));
        let sd = p.sd.unwrap();
        for ((i, o), m) in p.mean.indexed_iter() {
            let v: Vec<f64> = (0..3).map(|m| f[(m, i, o)]).collect();
            let mean = v.iter().sum::<f64>() / 3.0;
            let var = v.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 3.0;
            assert!((m - mean).abs() < 1e-12 && (sd[(i, o)] - var.sqrt()).abs() < 1e-12);
        }
        let x = world.inputs.features(&ids);
        let (variance, gradient) = s.variance_gradient().unwrap().at(x.view()).unwrap();
        for (i, v) in variance.iter().enumerate() {
            let want: f64 = sd.row(i).mapv(|s| s * s).sum();
            assert!((v / want - 1.0).abs() < 1e-9);
            for j in 0..4 {
                let by = |h: f64| {
                    let mut x = x.clone();
                    x[(i, j)] += h;
                    s.variance_gradient().unwrap().at(x.view()).unwrap().0[i]
                };
                let want = (by(1e-6) - by(-1e-6)) / 2e-6;
                assert!(
                    (gradient[(i, j)] - want).abs() < 1e-6 * variance.sum(),
                    "{i} {j}: {} {want}",
                    gradient[(i, j)]
                );
            }
        }
        let one = fit(&small(1), &world.inputs, &observed).unwrap();
        assert!(one.functions().is_none() && one.variance_gradient().is_none());
        assert!(
            small(3).provides().contains(Ability::VarianceGradient)
                && !small(1).provides().contains(Ability::VarianceGradient)
        );
    }

    #[test]
    fn layers_end_in_the_embedding_and_scale_with_the_parametrisation() {
        let world = TinyWorld::new(30, 4, 2, false, 3).unwrap();
        let observed = world.observe(&(0..20).collect::<Vec<_>>(), 1).unwrap();
        let ids = [3, 25, 29];
        let s = fit(&small(2), &world.inputs, &observed).unwrap();
        let h = s.representation().unwrap().embed(&ids).unwrap();
        assert_eq!(h.dim(), (3, 32));
        for member in 0..2 {
            let layers = s.layers().unwrap().factors(&ids, member, Array2::eye(2).view()).unwrap();
            let shapes: Vec<_> = layers.iter().map(|l| (l.input.ncols(), l.signal.ncols())).collect();
            assert_eq!(shapes, [(5, 64), (33, 32), (17, 4)]);
            for i in 0..3 {
                for j in 0..16 {
                    let want = 0.2 / 4.0 * h[(i, 16 * member + j)];
                    assert!((layers[2].input[(i, j)] - want).abs() < 1e-15);
                }
                assert_eq!(layers[2].input[(i, 16)], 0.2);
                assert_eq!(layers[2].signal.row(i).to_vec(), [1.0, 0.0, 0.0, 1.0]);
            }
        }
        assert!(s.layers().unwrap().factors(&ids, 2, Array2::eye(2).view()).is_err());
        assert!(s.layers().unwrap().factors(&ids, 0, Array2::eye(3).view()).is_err());
    }

    #[test]
    fn threads_change_no_bit() {
        let world = TinyWorld::new(300, 30, 1, false, 3).unwrap();
        let observed = world.observe(&(0..280).collect::<Vec<_>>(), 1).unwrap();
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let model = Mlp { widths: vec![128, 64], epochs: 6, members: 2, ..Mlp::default() };
            pool.install(|| {
                let s = fit(&model, &world.inputs, &observed).unwrap();
                let p = s.predict(&[0, 290, 299]).unwrap();
                let layers = s.layers().unwrap().factors(&[0, 290], 1, Array2::ones((1, 1)).view()).unwrap();
                (p.mean, p.sd, layers.into_iter().map(|l| (l.input, l.signal)).collect::<Vec<_>>())
            })
        };
        assert!(run(1) == run(4));
    }

    #[test]
    fn constants_single_rows_and_repeats_are_predicted() {
        let world = TinyWorld::new(30, 4, 2, false, 3).unwrap();
        let mut observed = world.observe(&(0..20).collect::<Vec<_>>(), 1).unwrap();
        observed.y.column_mut(1).fill(0.1);
        for output_scale in [OutputScale::Each, OutputScale::Together] {
            let p =
                fit(&Mlp { output_scale, ..small(2) }, &world.inputs, &observed).unwrap().predict(&[1, 25]).unwrap();
            assert!(output_scale == OutputScale::Together || (p.mean[(1, 1)] - 0.1).abs() < 1e-12);
            assert!(p.mean[(0, 0)] != p.mean[(1, 0)]);
        }
        observed.y.fill(0.1);
        let p = fit(&small(2), &world.inputs, &observed).unwrap().predict(&[1, 25]).unwrap();
        assert!(p.mean.iter().all(|m| (m - 0.1).abs() < 1e-12) && p.sd.unwrap().iter().all(|s| *s == 0.0));
        let one = world.observe(&[7], 1).unwrap();
        let p = fit(&Mlp { validation: 0.5, ..small(1) }, &world.inputs, &one).unwrap().predict(&[1, 25]).unwrap();
        assert!(p.mean.outer_iter().all(|r| r == one.y.row(0)));
        let mut twice = world.observe(&[7, 8], 1).unwrap();
        twice.push(&Readouts::plain(&[7, 8, 7], Array2::zeros((3, 2))), 1).unwrap();
        fit(&Mlp { validation: 0.5, ..small(1) }, &world.inputs, &twice).unwrap().predict(&[1]).unwrap();
    }

    #[test]
    fn what_cannot_be_trained_is_refused() {
        let world = TinyWorld::new(30, 4, 1, false, 3).unwrap();
        let observed = world.observe(&(0..20).collect::<Vec<_>>(), 1).unwrap();
        let refused = |model: Mlp| fit(&model, &world.inputs, &observed).err().unwrap().to_string();
        assert!(refused(Mlp { widths: vec![], ..small(1) }).contains("`widths`"));
        assert!(refused(Mlp { members: 0, ..small(1) }).contains("`members`"));
        assert!(refused(Mlp { learning_rate: Some(-1.0), ..small(1) }).contains("`learning_rate`"));
        assert!(refused(Mlp { validation: 1.0, ..small(1) }).contains("`validation`"));
        let diverged = refused(Mlp { learning_rate: Some(1e30), ..small(1) });
        assert!(diverged.contains("diverged") && diverged.contains("`learning_rate`"), "{diverged}");
        let block = |value: f64| {
            let mut x = Array2::from_shape_fn((30, 2), |(i, j)| (i * (j + 1) % 7) as f64);
            x[(4, 1)] = value;
            // A block refuses such a value; a model may meet it where a file was read elsewhere.
            let mut block = Block::new("b", Array2::zeros((30, 2)), vec![true; 30]).unwrap();
            block.x = x;
            Arc::new(Inputs::new(world.inputs.pool().clone(), vec![Arc::new(block)], Compose::Sum).unwrap())
        };
        let want = "model mlp: feature 1 of perturbation `G004` is NaN; features must be finite, so correct the prior's \
                    table";
        assert_eq!(fit(&small(1), &block(f64::NAN), &observed).err().unwrap().to_string(), want);
    }
}
