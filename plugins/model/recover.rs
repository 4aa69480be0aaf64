//! RECOVER (Bertin et al. 2023) in NAIAD's form for gene pairs: a bilinear product of encoded genes predicts what a set's
//! effect has beyond that of its genes.
//!
//! h_g = encoder(x_g), two ReLU layers; z_k = Σ_{pairs (i, j) of S} ⟨W_k h_i, D_k ∘ (W_k h_j)⟩ + o_k, D_k ∘ a product by
//! elements; s = predictor(z), one hidden ReLU layer. ŷ = Σ y_g + s for readouts on a log scale, ŷ = Π v_g + s for
//! viabilities. W_k starts at I + 0.01 N, D at 1 + 0.01 N, o at 0.01 N: D may turn negative, so that the form need not be
//! positive. With the same W_k on both sides, z(i, j) = z(j, i); the released bilinear code sums over p instead,
//! Σ_p (W_p h_i)_q (W_q h_j)_p, which is not (`docs/design/naiad.md`).
//!
//! Sum of squared errors, Adam with the schedule of `naiad`. A step costs 6 genes x rank³ + 6 rows x rank² operations;
//! the W_k side by side in parallel.

use framework::prelude::*;
use learn::nn::network::{Activation, Network, Pass, Start};
use learn::nn::optimiser::Adam;
use learn::nn::scaling::standardised;
use learn::nn::set_network::rate_share;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use std::sync::Arc;

/// Bilinear network on gene embeddings beside the sum (or product) of the single effects, for pools of gene sets with one
/// readout. Gives z as embedding.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Recover {
    /// Units of the encoder, and bilinear forms; default 128.
    pub rank: usize,
    /// Units of the hidden layer of the predictor; default 64.
    pub hidden: usize,
    /// x_g: "free" (default), as many numbers as `rank`, learned, standard normal at the start; "features", the prior
    /// features, standardised.
    pub genes: Genetics,
    /// What is known without the network: "sum" (default) of the single effects, or their "product".
    pub base: Base,
    /// Passes over the measured rows; default 200.
    pub epochs: usize,
    /// Rows of a step; default 1,024.
    pub batch: usize,
    /// Largest rate of Adam; default 0.001 (NAIAD's text has 0.1, which predicts worse: docs/design/naiad.md).
    pub learning_rate: f64,
    /// Share of it at the end; default 0.1.
    pub last_rate: f64,
    /// Times a parameter, added to its gradient; default 0.
    pub l2: f64,
}

impl Default for Recover {
    fn default() -> Self {
        Self {
            rank: 128,
            hidden: 64,
            genes: Genetics::Free,
            base: Base::Sum,
            epochs: 200,
            batch: 1024,
            learning_rate: 0.001,
            last_rate: 0.1,
            l2: 0.0,
        }
    }
}

/// Where the numbers of a gene come from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Genetics {
    /// Learned.
    #[default]
    Free,
    /// From priors.
    Features,
}

/// How single effects combine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Base {
    /// Added, as on a log scale.
    #[default]
    Sum,
    /// Multiplied (Bliss), as viabilities.
    Product,
}

/// Parameters of the bilinear forms: W (forms x inputs x rank), D (forms x rank), o (forms), then embeddings.
struct Forms {
    rank: usize,
    values: Vec<f32>,
}

impl Forms {
    fn new(rank: usize, embeddings: usize, rng: &mut StreamRng) -> Self {
        let mut normal = |scale: f32| Distribution::<f64>::sample(&StandardNormal, rng) as f32 * scale;
        let mut values = Vec::with_capacity(rank * rank * rank);
        for _ in 0..rank {
            values.extend((0..rank * rank).map(|at| f32::from(at / rank == at % rank) + normal(0.01)));
        }
        values.extend((0..rank * rank).map(|_| 1.0 + normal(0.01)));
        values.extend((0..rank).map(|_| normal(0.01)));
        values.extend((0..embeddings).map(|_| normal(1.0)));
        Self { rank, values }
    }

    /// Where D, o and the embeddings begin.
    fn at(&self) -> [usize; 3] {
        let r = self.rank;
        [r * r * r, r * r * r + r * r, r * r * r + r * r + r]
    }

    fn w(&self, k: usize) -> ArrayView2<'_, f32> {
        let (r, at) = (self.rank, k * self.rank * self.rank);
        ArrayView2::from_shape((r, r), &self.values[at..at + r * r]).unwrap_or_else(|_| unreachable!("a square"))
    }

    fn d(&self, k: usize) -> &[f32] {
        &self.values[self.at()[0] + k * self.rank..][..self.rank]
    }

    /// z of some sets from encoded genes (genes x rank): sets x forms.
    fn z(&self, h: &Array2<f32>, sets: &[Vec<usize>]) -> Array2<f32> {
        let o = &self.values[self.at()[1]..];
        let columns: Vec<Vec<f32>> = (0..self.rank)
            .into_par_iter()
            .map(|k| {
                let (g, d) = (h.dot(&self.w(k)), self.d(k));
                sets.iter().map(|s| o[k] + pairs(s).map(|(a, b)| product(&g, d, a, b)).sum::<f32>()).collect()
            })
            .collect();
        Array2::from_shape_fn((sets.len(), self.rank), |(r, k)| columns[k][r])
    }
}

/// All pairs of places of a set.
fn pairs(set: &[usize]) -> impl Iterator<Item = (usize, usize)> {
    (0..set.len()).flat_map(move |j| (0..j).map(move |i| (set[i], set[j])))
}

/// ⟨g_a, D ∘ g_b⟩.
fn product(g: &Array2<f32>, d: &[f32], a: usize, b: usize) -> f32 {
    g.row(a).iter().zip(g.row(b)).zip(d).map(|((a, b), d)| a * d * b).sum()
}

/// Networks and forms on their way.
struct Training {
    forms: Forms,
    encoder: Network<f32>,
    predictor: Network<f32>,
    /// Of the forms and embeddings.
    gradient: Vec<f32>,
    /// Genes of each row, by their place in `used`.
    sets: Vec<Vec<usize>>,
    /// What the network is to say of each row.
    target: Vec<f32>,
    used: Vec<usize>,
    /// Features of all genes, where they are given.
    x: Option<Array2<f32>>,
}

impl Training {
    /// Leaves the gradient of the squared errors of some rows behind, in itself and in the passes; gives their sum.
    fn gradient(&mut self, rows: std::ops::Range<usize>, encoding: &mut Pass<f32>, predicting: &mut Pass<f32>) -> f64 {
        let (forms, r, part) = (&self.forms, self.forms.rank, &self.sets[rows.clone()]);
        let [at_d, at_o, at_x] = forms.at();
        for (mut row, g) in encoding.input_mut().outer_iter_mut().zip(&self.used) {
            match &self.x {
                Some(x) => row.assign(&x.row(*g)),
                None => row.iter_mut().zip(&forms.values[at_x + g * r..]).for_each(|(t, v)| *t = *v),
            }
        }
        let h = encoding.forward(&self.encoder).mapv(|v| v.max(0.0));
        predicting.input_mut().assign(&forms.z(&h, part));
        predicting.forward(&self.predictor);
        let mut squares = 0.0f64;
        let (out, mut signal) = predicting.output_and_signal();
        for ((s, o), t) in signal.iter_mut().zip(&out).zip(&self.target[rows]) {
            let error = o - t;
            squares += f64::from(error * error);
            *s = 2.0 * error;
        }
        predicting.backward(&self.predictor);
        let at_z = predicting.input_signal(&self.predictor);
        // Form by form: gradients of W_k, D_k and o_k, and the signal at the encoded genes.
        self.gradient.clear();
        self.gradient.resize(forms.values.len(), 0.0);
        let (by_w, rest) = self.gradient.split_at_mut(at_d);
        let (by_d, rest) = rest.split_at_mut(at_o - at_d);
        let (by_o, by_x) = rest.split_at_mut(at_x - at_o);
        let parts = by_w.par_chunks_mut(r * r).zip(by_d.par_chunks_mut(r)).zip(by_o.par_iter_mut()).enumerate();
        let signals: Vec<Array2<f32>> = parts
            .map(|(k, ((by_w, by_d), by_o))| {
                let (w, d) = (forms.w(k), forms.d(k));
                let g = h.dot(&w);
                let mut at_g = Array2::<f32>::zeros(g.dim());
                for (set, s) in part.iter().zip(at_z.column(k)) {
                    *by_o += s;
                    for (a, b) in pairs(set) {
                        for l in 0..r {
                            let (ga, gb) = (g[(a, l)], g[(b, l)]);
                            by_d[l] += s * ga * gb;
                            at_g[(a, l)] += s * d[l] * gb;
                            at_g[(b, l)] += s * d[l] * ga;
                        }
                    }
                }
                by_w.iter_mut().zip(&h.t().dot(&at_g)).for_each(|(t, v)| *t = *v);
                at_g.dot(&w.t())
            })
            .collect();
        let (_, mut at_h) = encoding.output_and_signal();
        at_h.fill(0.0);
        signals.iter().for_each(|s| at_h += s);
        at_h.zip_mut_with(&h, |s, h| *s = if *h > 0.0 { *s } else { 0.0 });
        encoding.backward(&self.encoder);
        if self.x.is_none() {
            let signal = encoding.input_signal(&self.encoder);
            for (row, g) in signal.outer_iter().zip(&self.used) {
                by_x[g * r..(g + 1) * r].iter_mut().zip(row).for_each(|(t, v)| *t = *v);
            }
        }
        squares
    }
}

impl Recover {
    fn check(&self, cx: &FitContext) -> Result<()> {
        let wrong = |what: String| Err(Error::Config(format!("model recover: {what}")));
        if [self.rank, self.hidden, self.epochs, self.batch].contains(&0) || self.rank > 512 {
            return wrong("`rank` (at most 512), `hidden`, `epochs` and `batch` must be at least 1".into());
        }
        let rates = self.learning_rate > 0.0 && self.learning_rate.is_finite() && self.l2 >= 0.0 && self.l2.is_finite();
        if !rates || !(0.0..=1.0).contains(&self.last_rate) {
            return wrong(
                "`learning_rate` must be positive, `l2` not below 0 and `last_rate` from 0 to 1, all finite".into(),
            );
        }
        if cx.observed.n_outputs() != 1 {
            return wrong(format!("it predicts one number and readouts have {} outputs", cx.observed.n_outputs()));
        }
        if self.genes == Genetics::Features && cx.inputs.n_features() == 0 {
            return wrong("genes = \"features\" needs a prior and none is active; add a [prior.NAME] section".into());
        }
        Ok(())
    }

    /// What is known of some sets without the network.
    fn known(&self, inputs: &Inputs, ids: &[usize]) -> Result<Vec<f64>> {
        let single = inputs.effects_for("recover", ids)?;
        let of = |id: &usize| {
            inputs.pool().with_genes(*id, |genes| {
                let effects = genes.iter().map(|g| single[(g.index(), 0)]);
                if self.base == Base::Sum { effects.sum() } else { effects.product() }
            })
        };
        Ok(ids.iter().map(of).collect())
    }
}

#[typetag::serde(name = "recover")]
impl Model for Recover {
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>> {
        self.check(cx)?;
        let (inputs, observed, r) = (cx.inputs, cx.observed, self.rank);
        let pool = inputs.pool();
        let n_genes = pool.genes().len();
        let known = self.known(inputs, &observed.ids)?;
        let target: Vec<f32> = observed.y.iter().zip(&known).map(|(y, k)| (y - k) as f32).collect();
        // Genes of the data, numbered anew.
        let of = |id: &usize| pool.with_genes(*id, |g| g.iter().map(|g| g.index()).collect::<Vec<_>>());
        let mut sets: Vec<Vec<usize>> = observed.ids.iter().map(of).collect();
        let mut used: Vec<usize> = sets.concat();
        used.sort_unstable();
        used.dedup();
        sets.iter_mut().flatten().for_each(|g| *g = used.partition_point(|u| *u < *g));
        let x = (self.genes == Genetics::Features).then(|| standardised(inputs.gene_matrix()).mapv(|v| v as f32));
        let wide = x.as_ref().map_or(r, |x| x.ncols());
        let mut rng = cx.streams.rng("start");
        let mut t = Training {
            forms: Forms::new(r, if x.is_some() { 0 } else { n_genes * r }, &mut cx.streams.rng("forms")),
            encoder: Network::new(&[wide, r, r], Activation::Relu, Start::Standard, &mut rng),
            predictor: Network::new(&[r, self.hidden, 1], Activation::Relu, Start::Standard, &mut rng),
            gradient: vec![],
            sets,
            target,
            used,
            x,
        };
        let sizes = [t.forms.values.len(), t.encoder.n_parameters(), t.predictor.n_parameters()];
        let mut adams = sizes.map(Adam::new);
        adams.iter_mut().for_each(|a| a.l2 = self.l2);
        let mut encoding = Pass::new(&t.encoder, t.used.len());
        let starts: Vec<usize> = (0..t.sets.len()).step_by(self.batch).collect();
        let steps = self.epochs * starts.len();
        let mut loss = 0.0f64;
        for s in 0..steps {
            let from = starts[s % starts.len()];
            let rows = from..(from + self.batch).min(t.sets.len());
            let mut predicting = Pass::new(&t.predictor, rows.len());
            loss = t.gradient(rows, &mut encoding, &mut predicting) + if from == 0 { 0.0 } else { loss };
            let rate = self.learning_rate * rate_share(s, steps, self.last_rate);
            adams[0].step(&mut t.forms.values, &mut t.gradient, rate);
            encoding.step(&mut t.encoder, &mut adams[1], rate);
            predicting.step(&mut t.predictor, &mut adams[2], rate);
        }
        let Training { forms, encoder, predictor, x, .. } = t;
        if !loss.is_finite() || forms.values.iter().any(|v| !v.is_finite()) || !encoder.is_finite() {
            return Err(Error::Numerical(format!(
                "model recover: training diverged at learning rate {}; lower `learning_rate`",
                self.learning_rate
            )));
        }
        let at_x = forms.at()[2];
        let x = x.unwrap_or_else(|| Array2::from_shape_fn((n_genes, r), |(g, l)| forms.values[at_x + g * r + l]));
        let encoded = encoder.forward(x.view()).mapv(|v| v.max(0.0));
        let loss = loss / observed.len() as f64;
        Ok(Box::new(Fitted { inputs: inputs.clone(), settings: self.clone(), forms, encoded, predictor, loss }))
    }

    fn provides(&self) -> Abilities {
        Abilities::of([Ability::Embedding])
    }

    fn needs(&self) -> Abilities {
        let features = self.genes == Genetics::Features;
        Abilities::of([Ability::SingleEffects, Ability::Scalar]).with_if(Ability::Features, features)
    }
}

struct Fitted {
    inputs: Arc<Inputs>,
    settings: Recover,
    forms: Forms,
    /// h of all genes.
    encoded: Array2<f32>,
    predictor: Network<f32>,
    loss: f64,
}

/// Sets answered in one piece.
const TILE: usize = 4096;

impl Fitted {
    fn z(&self, ids: &[usize]) -> Array2<f32> {
        let of = |id: &usize| self.inputs.pool().with_genes(*id, |g| g.iter().map(|g| g.index()).collect());
        let sets: Vec<Vec<usize>> = ids.iter().map(of).collect();
        self.forms.z(&self.encoded, &sets)
    }
}

impl Surrogate for Fitted {
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        let mut mean = Array2::zeros((ids.len(), 1));
        for (mut to, ids) in mean.axis_chunks_iter_mut(Axis(0), TILE).zip(ids.chunks(TILE)) {
            let s = self.predictor.forward(self.z(ids).view());
            let known = self.settings.known(&self.inputs, ids)?;
            to.iter_mut().zip(&s).zip(known).for_each(|((t, s), k)| *t = f64::from(*s) + k);
        }
        Ok(Posterior { mean, sd: None })
    }

    fn representation(&self) -> Option<&dyn Representation> {
        Some(self)
    }

    fn record(&self) -> Vec<(String, f64)> {
        vec![("recover.loss".into(), self.loss)]
    }
}

impl Representation for Fitted {
    /// z.
    fn embed(&self, ids: &[usize]) -> Result<Array2<f64>> {
        Ok(self.z(ids).mapv(f64::from))
    }
}

framework::register!(Model, Recover, "recover", "bilinear product of encoded genes beside their single effects");

#[cfg(test)]
mod tests {
    use super::*;

    fn world() -> (Arc<Inputs>, Array2<f64>) {
        let n = 14;
        let genes = Arc::new(Genes::new((0..n).map(|i| format!("g{i}"))).unwrap());
        let pool = Pool::all_pairs(genes);
        let effect = |g: u32| (f64::from(g) * 1.7).sin() * 0.8;
        let latent = |g: u32| (f64::from(g) * 2.3).cos();
        let y = Array2::from_shape_fn((pool.len(), 1), |(i, _)| {
            pool.with_genes(i, |s| {
                s.iter().map(|g| effect(g.0)).sum::<f64>() - 0.6 * s.iter().map(|g| latent(g.0)).product::<f64>()
            })
        });
        let single = Array2::from_shape_fn((n, 1), |(g, _)| effect(g as u32));
        let inputs = Inputs::new(Arc::new(pool), vec![], Compose::Sum).unwrap();
        (Arc::new(inputs.with_single_effects(Some(single))), y)
    }

    fn fit(model: &Recover, inputs: &Arc<Inputs>, y: &Array2<f64>, ids: &[usize]) -> Result<Box<dyn Surrogate>> {
        let mut observed = Observed::empty(1);
        observed.push(&Readouts::plain(ids, y.select(Axis(0), ids)), 0).unwrap();
        model.fit(&FitContext { inputs, observed: &observed, streams: &Streams::new(1) })
    }

    #[test]
    fn the_bilinear_form_is_the_formula_and_does_not_know_the_order() {
        // W_1 = [[1, 2], [0, 1]] as it acts on h, W_2 = [[0, 1], [1, 0]], D = [[1, -2], [3, 0.5]], o = [0.1, -0.2].
        let w = [1.0, 0.0, 2.0, 1.0, 0.0, 1.0, 1.0, 0.0];
        let rest = [1.0, -2.0, 3.0, 0.5, 0.1, -0.2];
        let forms = Forms { rank: 2, values: [&w[..], &rest[..]].concat() };
        let h = framework::ndarray::array![[1.0f32, 2.0], [3.0, -1.0]];
        let z = forms.z(&h, &[vec![0, 1], vec![1, 0], vec![0], vec![0, 1, 1]]);
        // W_1 h: (5, 2) and (1, -1); W_2 h: (2, 1) and (-1, 3).
        // z_0 = 5 * 1 * 1 + 2 * -2 * -1 + 0.1, z_1 = 2 * 3 * -1 + 1 * 0.5 * 3 - 0.2.
        let want = [9.1, -4.7];
        for k in 0..2 {
            assert!((z[(0, k)] - want[k]).abs() < 1e-6, "{z}");
            assert_eq!(z[(0, k)], z[(1, k)]);
            assert_eq!(z[(2, k)], [0.1f32, -0.2][k]);
        }
        // Of three genes, all three pairs: twice (0, 1) and once (1, 1).
        let own = [1.0 - 2.0, 3.0 + 0.5 * 9.0];
        assert!((0..2).all(|k| (z[(3, k)] - (2.0 * want[k] - forms.values[12 + k] + own[k])).abs() < 1e-5), "{z}");
    }

    #[test]
    fn interactions_are_learnt() {
        let (inputs, y) = world();
        let (train, test): (Vec<usize>, Vec<usize>) = (0..y.len()).partition(|i| i % 4 > 0);
        let model = Recover { rank: 16, hidden: 16, epochs: 400, learning_rate: 0.003, ..Recover::default() };
        let s = fit(&model, &inputs, &y, &train).unwrap();
        let error = |ids: &[usize], p: &Array2<f64>| {
            let squares = ids.iter().enumerate().map(|(i, id)| (p[(i, 0)] - y[(*id, 0)]).powi(2));
            (squares.sum::<f64>() / ids.len() as f64).sqrt()
        };
        // What is known without the network leaves 0.3 of error; with it the measured pairs are reproduced.
        let known = Array2::from_shape_vec((train.len(), 1), model.known(&inputs, &train).unwrap()).unwrap();
        let (got, additive) = (error(&train, &s.predict(&train).unwrap().mean), error(&train, &known));
        assert!(got < 0.1 * additive, "{got} {additive}");
        assert!(error(&test, &s.predict(&test).unwrap().mean).is_finite());
        assert_eq!(s.representation().unwrap().embed(&[0, 1, 2]).unwrap().dim(), (3, 16));
    }

    #[test]
    fn gradients_are_those_of_the_loss() {
        let (rank, n) = (5, 6);
        let mut rng = Streams::new(7).rng("gradient");
        let forms = Forms::new(rank, n * rank, &mut rng);
        let encoder = Network::new(&[rank, rank, rank], Activation::Relu, Start::Standard, &mut rng);
        let predictor = Network::new(&[rank, 7, 1], Activation::Relu, Start::Standard, &mut rng);
        let sets: Vec<Vec<usize>> = vec![vec![0, 1], vec![1, 2, 3], vec![4, 4], vec![2], vec![3, 0]];
        let target = vec![10.0, -20.0, 40.0, 6.0, 30.0];
        let used = vec![0, 1, 2, 3, 5];
        let mut t = Training { forms, encoder, predictor, gradient: vec![], sets, target, used, x: None };
        let (mut encoding, mut predicting) = (Pass::new(&t.encoder, 5), Pass::new(&t.predictor, 5));
        t.gradient(0..5, &mut encoding, &mut predicting);
        let got = t.gradient.clone();
        let layers = [encoding.gradient(&t.encoder, 0).0, encoding.gradient(&t.encoder, 1).0];
        let head = predicting.gradient(&t.predictor, 0).0;
        // In single precision, with steps large enough to be felt: within a few percent, or small.
        let near = |got: f32, want: f64| (f64::from(got) - want).abs() < 0.03 * want.abs() + 0.1;
        let (mut wrong, mut large) = (vec![], 0);
        for (k, got) in got.iter().copied().enumerate() {
            let v = t.forms.values[k];
            let mut by = |h: f32| {
                t.forms.values[k] = v + h;
                t.gradient(0..5, &mut encoding, &mut predicting)
            };
            let want = (by(4e-3) - by(-4e-3)) / 8e-3;
            t.forms.values[k] = v;
            large += usize::from(want.abs() > 1.0);
            if !near(got, want) {
                wrong.push((k, got, want));
            }
        }
        // A kink of a ReLU may lie between the two points of a few.
        assert!(wrong.len() <= got.len() / 50 && large >= 10, "{large} large, wrong: {wrong:?}");
        // Gene 4 of the table is in no set.
        assert!(got[t.forms.at()[2] + 4 * rank..][..rank].iter().all(|g| *g == 0.0));
        for (l, gradient) in layers.iter().enumerate() {
            let of = |t: &mut Training, h: f32, e: &mut Pass<f32>, p: &mut Pass<f32>| {
                t.encoder.layers[l].weight[(1, 2)] += h;
                t.gradient(0..5, e, p)
            };
            let up = of(&mut t, 4e-3, &mut encoding, &mut predicting);
            let down = of(&mut t, -8e-3, &mut encoding, &mut predicting);
            of(&mut t, 4e-3, &mut encoding, &mut predicting);
            assert!(near(gradient[(1, 2)], (up - down) / 8e-3), "{l}: {} {}", gradient[(1, 2)], (up - down) / 8e-3);
        }
        t.predictor.layers[0].weight[(2, 3)] += 4e-3;
        let up = t.gradient(0..5, &mut encoding, &mut predicting);
        t.predictor.layers[0].weight[(2, 3)] -= 8e-3;
        let down = t.gradient(0..5, &mut encoding, &mut predicting);
        assert!(near(head[(2, 3)], (up - down) / 8e-3), "{} {}", head[(2, 3)], (up - down) / 8e-3);
    }

    #[test]
    fn what_cannot_work_is_told() {
        let (inputs, y) = world();
        let text = |m: Recover| fit(&m, &inputs, &y, &[0, 1, 2]).err().unwrap().to_string();
        assert!(text(Recover { rank: 0, ..Recover::default() }).contains("must be at least 1"));
        assert!(text(Recover { genes: Genetics::Features, ..Recover::default() }).contains("needs a prior"));
        let wild = Recover { rank: 8, learning_rate: 1e20, ..Recover::default() };
        assert!(text(wild).contains("training diverged"));
    }
}
