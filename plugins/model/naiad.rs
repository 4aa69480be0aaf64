//! NAIAD: what the single effects of a set of genes say about their joint effect, and what learned embeddings add (Qin et
//! al., sections 3 and 4.3).
//!
//! ŷ(S) = A(y_g: g in S) + B(Σ_{g in S} h(x_g)): a wide network on the measured effects of the genes alone, and one on
//! embeddings x_g whose size grows with the data. Layers, dropout and cost stand in `learn::nn::set_network`.
//! Sum of squared errors, Adam at 0.01 that rises over a tenth of the steps and falls to a tenth, batches of 1,024 rows
//! in a fixed order, all epochs run: no label that was not paid for is read.
//!
//! `form = "code"`, the released network, has two hidden layers in A and lifts genes once more before they are summed;
//! `"paper"` has one hidden layer in each branch, as the equation is printed. A depends on the order of its inputs. The
//! released program shuffles it once for each pair; so does `order = "shuffle"`. The default trains so and predicts the
//! mean over all orders (over rotations above three genes). Sets with fewer genes than the largest of the pool have 0 in
//! the places left.
//!
//! `genes = "initialised"` and `"tied"` go beyond the paper: embeddings start at the leading principal components of the
//! prior features, or are a learned linear map of them, so that pairs with genes that were never measured are told apart.

use framework::numerics::{eigh, symmetric_product};
use framework::prelude::*;
use learn::nn::scaling::standardised;
use learn::nn::set_network::{Ready, SetNetwork, SetSizes, SetTraining, Sets, Table};
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use std::sync::Arc;

/// Network on the effects of single genes and on gene embeddings, for pools of gene sets with one readout. Gives its last
/// hidden units as embedding; for a spread put it into an `ensemble`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Naiad {
    /// Layers: "code" (default), of the released program, or "paper", of the printed equation.
    pub form: Form,
    /// Order of effects: "average" (default), prediction over all orders; "shuffle", one at random for each set; "sorted",
    /// ascending.
    pub order: Order,
    /// Numbers of an embedding; absent: by `schedule`.
    pub width: Option<usize>,
    /// How the size of embeddings follows the data: "size" (default), by the measured perturbations N; "frequency", by
    /// measured perturbations a gene, 2N/M with M genes; "code", by N/M below (the released program).
    pub schedule: Schedule,
    /// The paper's sizes for one of its screens: "norman" (default), "simpson" or "horlbeck"; "code" has one for all.
    pub table: Sizes,
    /// Own sizes instead: pairs of N (of frequency) and numbers of an embedding, ascending. The nearest N counts.
    pub points: Vec<(f64, usize)>,
    /// Units of the layers on effects; absent: 64 for table "norman", 256 for the others and for schedule "code".
    pub hidden: Option<usize>,
    /// Embeddings: "free" (default), "initialised" by the prior features, or "tied" to them.
    pub genes: GeneTable,
    /// Passes over the measured rows; default 200 (the paper: 500 on Norman's screen).
    pub epochs: usize,
    /// Rows of a step; default 1,024.
    pub batch: usize,
    /// Largest rate of Adam; default 0.01.
    pub learning_rate: f64,
    /// Share of it at the end; default 0.1.
    pub last_rate: f64,
    /// Share of units left out in training; default 0.1.
    pub dropout: f64,
    /// Times a parameter, added to its gradient; default 0.
    pub l2: f64,
    /// Loss of a batch: "sum" (default) or "mean" of squared errors.
    pub loss: Loss,
}

impl Default for Naiad {
    fn default() -> Self {
        Self {
            form: Form::Code,
            order: Order::Average,
            width: None,
            schedule: Schedule::Size,
            table: Sizes::Norman,
            points: vec![],
            hidden: None,
            genes: GeneTable::Free,
            epochs: 200,
            batch: 1024,
            learning_rate: 0.01,
            last_rate: 0.1,
            dropout: 0.1,
            l2: 0.0,
            loss: Loss::Sum,
        }
    }
}

/// Layers of the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Two hidden layers on effects; genes pass two layers before they are summed.
    #[default]
    Code,
    /// One of each.
    Paper,
}

/// Order in which effects enter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// At random in training, all of them in prediction.
    #[default]
    Average,
    /// At random, fixed for each set.
    Shuffle,
    /// Ascending.
    Sorted,
}

/// What the size of embeddings follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Measured perturbations.
    #[default]
    Size,
    /// Measured perturbations a gene, each gene of a pair counted.
    Frequency,
    /// Measured perturbations over genes.
    Code,
}

/// A row of the paper's table 5.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sizes {
    /// 112 genes.
    #[default]
    Norman,
    /// 73 genes.
    Simpson,
    /// 448 and 437 genes.
    Horlbeck,
}

/// What embeddings are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GeneTable {
    /// Parameters, standard normal at the start.
    #[default]
    Free,
    /// Parameters that start at the leading principal components of the prior features.
    Initialised,
    /// The prior features times a matrix of parameters.
    Tied,
}

/// Loss of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Sum of squared errors.
    #[default]
    Sum,
    /// Their mean.
    Mean,
}

/// Frequencies of the paper's table 5, sizes of the data that stand over them, and sizes of embeddings below.
const FREQUENCY: [f64; 9] = [2.0, 4.0, 10.0, 20.0, 30.0, 40.0, 60.0, 80.0, 100.0];
const SMALL_SCREEN: [f64; 9] = [100.0, 200.0, 500.0, 1000.0, 1500.0, 2000.0, 3000.0, 4000.0, 5000.0];
const LARGE_SCREEN: [f64; 9] = [500.0, 1000.0, 5000.0, 10000.0, 15000.0, 20000.0, 30000.0, 40000.0, 50000.0];
const WIDTHS: [usize; 9] = [2, 4, 16, 16, 32, 64, 64, 128, 128];
const WIDTHS_HORLBECK: [usize; 9] = [4, 16, 32, 32, 64, 64, 64, 128, 128];
/// Most numbers of an embedding and units.
const MOST: usize = 4096;

impl Naiad {
    fn check(&self) -> Result<()> {
        let wrong = |what: &str| Err(Error::Config(format!("model naiad: {what}")));
        if self.epochs == 0 || self.batch == 0 {
            return wrong("`epochs` and `batch` must be at least 1");
        }
        if [self.width, self.hidden].iter().flatten().any(|n| *n == 0 || *n > MOST) {
            return wrong("`width` and `hidden` must be from 1 to 4096");
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            return wrong("`learning_rate` must be a positive number");
        }
        if !(0.0..=1.0).contains(&self.last_rate) || !(0.0..1.0).contains(&self.dropout) {
            return wrong("`last_rate` must be from 0 to 1 and `dropout` from 0 to below 1");
        }
        if !(self.l2 >= 0.0 && self.l2.is_finite()) {
            return wrong("`l2` must be a number not below 0");
        }
        let ascending = self.points.windows(2).all(|w| w[0].0 < w[1].0);
        if !ascending || self.points.iter().any(|p| !(p.0 > 0.0 && p.0.is_finite()) || p.1 == 0 || p.1 > MOST) {
            return wrong(
                "`points` must ascend without a hole: each is [measured perturbations, numbers of an embedding], both above 0, \
                 as in points = [[100, 2], [500, 16]]",
            );
        }
        Ok(())
    }

    /// Numbers of an embedding for `n` measured perturbations of pairs of `genes` genes.
    pub fn width_for(&self, n: usize, genes: usize) -> usize {
        if let Some(width) = self.width {
            return width;
        }
        let (n, genes) = (n as f64, genes.max(1) as f64);
        let widths = if self.table == Sizes::Horlbeck { WIDTHS_HORLBECK } else { WIDTHS };
        let columns = match (self.schedule, self.table) {
            (Schedule::Size, Sizes::Norman) => SMALL_SCREEN,
            (Schedule::Size, _) => LARGE_SCREEN,
            _ => FREQUENCY,
        };
        let table: Vec<(f64, usize)> = match (self.points.is_empty(), self.schedule) {
            (false, _) => self.points.clone(),
            (true, Schedule::Code) => FREQUENCY.into_iter().zip(WIDTHS).collect(),
            (true, _) => columns.into_iter().zip(widths).collect(),
        };
        let nearest = |x: f64| {
            let away = |p: &(f64, usize)| (p.0 - x).abs();
            let best = |a: (f64, usize), b: &(f64, usize)| if away(b) < away(&a) { *b } else { a };
            table.iter().fold(table[0], best).1
        };
        match self.schedule {
            Schedule::Size => nearest(n),
            Schedule::Frequency => nearest(2.0 * n / genes),
            Schedule::Code => table.iter().take_while(|p| p.0 < n / genes).last().unwrap_or(&table[0]).1,
        }
    }

    fn units(&self) -> usize {
        let norman = self.table == Sizes::Norman && self.schedule != Schedule::Code;
        self.hidden.unwrap_or(if norman { 64 } else { 256 })
    }

    fn table(&self, inputs: &Inputs, width: usize, streams: &Streams) -> Result<Table<f32>> {
        let genes = inputs.pool().genes().len();
        let mut rng = streams.rng("embeddings");
        let mut draw = |n: usize| -> Vec<f32> {
            (0..n).map(|_| Distribution::<f64>::sample(&StandardNormal, &mut rng) as f32).collect()
        };
        if self.genes == GeneTable::Free {
            return Ok(Table::Free(draw(genes * width)));
        }
        let x = standardised(inputs.gene_matrix());
        let d = x.ncols();
        if self.genes == GeneTable::Tied {
            let features = Arc::new(x.iter().map(|v| *v as f32).collect());
            return Ok(Table::Tied { features, n: d });
        }
        // Leading components first, each with sd 1; what features do not fill starts as without them.
        let (values, vectors) = eigh(symmetric_product(x.t()).view())?;
        let mut start = draw(genes * width);
        let least = 1e-9 * values.iter().fold(0.0f64, |m, v| m.max(*v));
        for k in (0..width.min(d)).filter(|k| values[d - 1 - k] > least) {
            let scores = x.dot(&vectors.column(d - 1 - k));
            let sd = (scores.dot(&scores) / genes as f64).sqrt();
            scores.iter().enumerate().for_each(|(g, s)| start[g * width + k] = (s / sd) as f32);
        }
        Ok(Table::Free(start))
    }
}

#[typetag::serde(name = "naiad")]
impl Model for Naiad {
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>> {
        self.check()?;
        let (inputs, observed) = (cx.inputs, cx.observed);
        if observed.n_outputs() != 1 {
            return Err(Error::Config(format!(
                "model naiad: an effect is one number, and readouts have {} outputs; reduce them to one in the oracle \
                 (screen_table: reduce = \"norm\")",
                observed.n_outputs()
            )));
        }
        if self.genes != GeneTable::Free && inputs.n_features() == 0 {
            return Err(Error::Config(
                "model naiad: embeddings come from prior features and no prior is active; add a [prior.NAME] section, or set \
                 genes = \"free\""
                    .into(),
            ));
        }
        let order = inputs.pool().max_order();
        let measured = observed.distinct().len();
        let width = self.width_for(measured, inputs.pool().genes().len());
        let form = SetSizes {
            order,
            hidden: self.units(),
            deep: self.form == Form::Code,
            width,
            lifted: self.form == Form::Code,
        };
        let orders = Orders { rule: self.order, streams: cx.streams.child("order"), order };
        let mut sets = Sets { start: vec![0], ..Sets::default() };
        orders.add(inputs, &observed.ids, &mut sets)?;
        let y: Vec<f32> = observed.y.iter().map(|v| *v as f32).collect();
        let table = self.table(inputs, width, cx.streams)?;
        let genes = inputs.pool().genes().len();
        let mut network = SetNetwork::new(form, genes, table, &mut cx.streams.rng("start"));
        let how = SetTraining {
            epochs: self.epochs,
            batch: self.batch,
            rate: self.learning_rate,
            last_rate: self.last_rate,
            dropout: self.dropout,
            l2: self.l2,
            mean: self.loss == Loss::Mean,
        };
        let losses = network.train(&sets, &y, &how, &cx.streams.child("training"));
        if !network.is_finite() || losses.iter().any(|l| !l.is_finite()) {
            return Err(Error::Numerical(format!(
                "model naiad: training diverged at learning rate {}; lower `learning_rate`, or bring the readouts to a scale \
                 near 1",
                self.learning_rate
            )));
        }
        let mut used = sets.genes;
        used.sort_unstable();
        used.dedup();
        let mut notes = vec![];
        if self.genes != GeneTable::Tied && width * used.len() > measured * 8 {
            notes.push(format!(
                "naiad: embeddings of {} genes have {width} numbers each, {} in all, for {measured} measured perturbations; \
                 `width` or `schedule` makes them smaller",
                used.len(),
                width * used.len()
            ));
        }
        let record = vec![
            ("naiad.width".into(), width as f64),
            ("naiad.parameters".into(), network.n_parameters() as f64),
            ("naiad.loss".into(), losses.last().copied().unwrap_or(f64::NAN)),
        ];
        Ok(Box::new(Fitted { inputs: inputs.clone(), network: network.ready(), orders, record, notes }))
    }

    fn provides(&self) -> Abilities {
        Abilities::of([Ability::Embedding])
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::SingleEffects, Ability::Scalar])
            .with_if(Ability::Features, self.genes != GeneTable::Free)
    }
}

/// The order in which the effects of a set enter.
struct Orders {
    rule: Order,
    streams: Streams,
    order: usize,
}

impl Orders {
    /// The genes of some perturbations, and their effects in the order of training.
    fn add(&self, inputs: &Inputs, ids: &[usize], to: &mut Sets<f32>) -> Result<()> {
        let single = inputs.effects_for("naiad", ids)?;
        for &id in ids {
            inputs.pool().with_genes(id, |genes| {
                let mut effects: Vec<f32> = genes.iter().map(|g| single[(g.index(), 0)] as f32).collect();
                match self.rule {
                    Order::Sorted => effects.sort_by(f32::total_cmp),
                    // By the perturbation's own stream: the same order in every round and in prediction.
                    _ => effects.shuffle(&mut self.streams.index(id).rng("order")),
                }
                effects.resize(self.order, 0.0);
                to.effects.extend(effects);
                to.genes.extend(genes.iter().map(|g| g.0));
            });
            to.start.push(to.genes.len());
        }
        Ok(())
    }

    /// How many orders a prediction is the mean of.
    fn count(&self) -> usize {
        match (self.rule, self.order) {
            (Order::Average, 3) => 6,
            (Order::Average, k) => k,
            _ => 1,
        }
    }

    /// Puts rows of effects into their `k`-th order.
    fn turn(&self, effects: &mut [f32], k: usize) {
        if k > 0 {
            for row in effects.chunks_exact_mut(self.order) {
                if self.order == 3 && k == 3 {
                    row.swap(0, 1);
                } else {
                    row.rotate_left(1);
                }
            }
        }
    }
}

struct Fitted {
    inputs: Arc<Inputs>,
    network: Ready<f32>,
    orders: Orders,
    record: Vec<(String, f64)>,
    notes: Vec<String>,
}

/// Rows answered in one piece.
const TILE: usize = 512;

impl Fitted {
    /// Predictions of some perturbations; `hidden` takes the last units (rows x (units + code)) where given.
    fn tile(&self, ids: &[usize], mut hidden: Option<&mut Vec<f64>>) -> Result<Vec<f64>> {
        let n = &self.network;
        let mut sets = Sets { start: vec![0], ..Sets::default() };
        self.orders.add(&self.inputs, ids, &mut sets)?;
        let (count, wide) = (self.orders.count(), n.sizes.hidden + n.sizes.width);
        let mut sum = vec![0.0; ids.len()];
        let mut work = <[Vec<f32>; 2]>::default();
        if let Some(h) = hidden.as_deref_mut() {
            h.resize(ids.len() * wide, 0.0);
        }
        for k in 0..count {
            self.orders.turn(&mut sets.effects, k);
            let mut part = vec![0.0; ids.len()];
            n.effects(&sets.effects, &mut work, &mut part);
            sum.iter_mut().zip(&part).for_each(|(s, p)| *s += f64::from(*p) / count as f64);
            if let Some(h) = hidden.as_deref_mut() {
                for (to, from) in h.chunks_exact_mut(wide).zip(work[0].chunks_exact(n.units())) {
                    to.iter_mut().zip(&from[..n.sizes.hidden]).for_each(|(t, f)| *t += f64::from(*f) / count as f64);
                }
            }
        }
        let mut code = vec![0.0; n.code()];
        for (i, s) in sum.iter_mut().enumerate() {
            *s += f64::from(n.genes(&sets.genes[sets.start[i]..sets.start[i + 1]], &mut code));
            if let Some(h) = hidden.as_deref_mut() {
                let to = &mut h[i * wide + n.sizes.hidden..(i + 1) * wide];
                to.iter_mut().zip(&code).for_each(|(t, c)| *t = f64::from(*c));
            }
        }
        Ok(sum)
    }
}

impl Surrogate for Fitted {
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        let tiles: Vec<Vec<f64>> = ids.par_chunks(TILE).map(|ids| self.tile(ids, None)).collect::<Result<_>>()?;
        let mean = Array2::from_shape_vec((ids.len(), 1), tiles.concat())
            .map_err(|e| Error::Numerical(format!("model naiad: {e}")))?;
        Ok(Posterior { mean, sd: None })
    }

    fn representation(&self) -> Option<&dyn Representation> {
        Some(self)
    }

    fn record(&self) -> Vec<(String, f64)> {
        self.record.clone()
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}

impl Representation for Fitted {
    /// The last hidden units of both branches, those of effects as the mean over orders.
    fn embed(&self, ids: &[usize]) -> Result<Array2<f64>> {
        let wide = self.network.sizes.hidden + self.network.sizes.width;
        let tile = |ids: &[usize]| {
            let mut hidden = vec![];
            self.tile(ids, Some(&mut hidden)).map(|_| hidden)
        };
        let tiles: Vec<Vec<f64>> = ids.par_chunks(TILE).map(tile).collect::<Result<_>>()?;
        Array2::from_shape_vec((ids.len(), wide), tiles.concat())
            .map_err(|e| Error::Numerical(format!("model naiad: {e}")))
    }
}

framework::register!(Model, Naiad, "naiad", "network on single effects and gene embeddings that grow with the data");

#[cfg(test)]
mod tests {
    use super::*;

    /// All pairs of 14 genes (and all triples for `order` 3); effects of genes alone, an interaction of latent vectors.
    fn world(order: usize) -> (Arc<Inputs>, Array2<f64>) {
        let n = 14;
        let genes = Arc::new(Genes::new((0..n).map(|i| format!("g{i}"))).unwrap());
        let mut sets: Vec<Vec<u32>> = vec![];
        for i in 0..n as u32 {
            for j in i..n as u32 {
                sets.push(vec![i, j]);
                if order == 3 {
                    sets.extend((j + 1..n as u32).map(|k| vec![i, j, k]));
                }
            }
        }
        let list = sets.iter().map(|s| Perturbation::new(s.iter().map(|g| Gene(*g))));
        let pool = Pool::list(genes, list).unwrap();
        let effect = |g: u32| (f64::from(g) * 1.7).sin() * 0.8;
        let latent = |g: u32| (f64::from(g) * 2.3).cos();
        let y = Array2::from_shape_fn((sets.len(), 1), |(i, _)| {
            let s = &sets[i];
            0.7 * s.iter().map(|g| effect(*g)).sum::<f64>() - 0.4 * s.iter().map(|g| latent(*g)).product::<f64>()
        });
        let single = Array2::from_shape_fn((n, 1), |(g, _)| effect(g as u32));
        let x = Array2::from_shape_fn((n, 2), |(g, k)| if k == 0 { latent(g as u32) } else { effect(g as u32) });
        let block = Block::new("x", x, vec![true; n]).unwrap();
        let inputs = Inputs::new(Arc::new(pool), vec![Arc::new(block)], Compose::Sum).unwrap();
        (Arc::new(inputs.with_single_effects(Some(single))), y)
    }

    fn fit(model: &Naiad, inputs: &Arc<Inputs>, y: &Array2<f64>, ids: &[usize]) -> Result<Box<dyn Surrogate>> {
        let mut observed = Observed::empty(1);
        observed.push(&Readouts::plain(ids, y.select(Axis(0), ids)), 0).unwrap();
        model.fit(&FitContext { inputs, observed: &observed, streams: &Streams::new(1) })
    }

    fn error(s: &dyn Surrogate, y: &Array2<f64>, ids: &[usize]) -> f64 {
        let p = s.predict(ids).unwrap();
        let squares: f64 = ids.iter().enumerate().map(|(i, id)| (p.mean[(i, 0)] - y[(*id, 0)]).powi(2)).sum();
        (squares / ids.len() as f64).sqrt()
    }

    #[test]
    fn pairs_are_learnt_in_every_form() {
        let (inputs, y) = world(2);
        let (train, test): (Vec<usize>, Vec<usize>) = (0..y.len()).partition(|i| i % 4 > 0);
        let sd = y.std(0.0);
        let base = Naiad { width: Some(8), epochs: 400, hidden: Some(32), ..Naiad::default() };
        for form in [Form::Code, Form::Paper] {
            for order in [Order::Average, Order::Shuffle, Order::Sorted] {
                for genes in [GeneTable::Free, GeneTable::Initialised, GeneTable::Tied] {
                    let model = Naiad { form, order, genes, ..base.clone() };
                    let s = fit(&model, &inputs, &y, &train).unwrap();
                    let e = error(&*s, &y, &test);
                    assert!(e < 0.5 * sd, "{form:?} {order:?} {genes:?}: {e} of {sd}");
                    // Rows asked for alone get the same answer.
                    let all = s.predict(&test).unwrap().mean;
                    assert_eq!(s.predict(&test[3..4]).unwrap().mean[(0, 0)], all[(3, 0)]);
                }
            }
        }
    }

    #[test]
    fn tied_embeddings_tell_pairs_with_unseen_genes_apart() {
        let (inputs, y) = world(2);
        let unseen = |id: usize| inputs.pool().with_genes(id, |g| g.iter().any(|g| g.0 >= 12));
        let (test, train): (Vec<usize>, Vec<usize>) = (0..y.len()).partition(|i| unseen(*i));
        let of = |genes| {
            let model = Naiad { genes, width: Some(8), epochs: 400, hidden: Some(32), ..Naiad::default() };
            error(&*fit(&model, &inputs, &y, &train).unwrap(), &y, &test)
        };
        let (free, tied) = (of(GeneTable::Free), of(GeneTable::Tied));
        assert!(tied < 0.6 * free, "{tied} {free}");
    }

    #[test]
    fn triples_do_not_depend_on_the_order_of_effects() {
        let (inputs, y) = world(3);
        let train: Vec<usize> = (0..y.len()).filter(|i| i % 3 > 0).collect();
        let model = Naiad { width: Some(4), epochs: 60, hidden: Some(16), ..Naiad::default() };
        let s = fit(&model, &inputs, &y, &train).unwrap();
        assert!(error(&*s, &y, &(0..y.len()).collect::<Vec<_>>()) < y.std(0.0));
        // All six orders of three effects occur, each once.
        let orders = Orders { rule: Order::Average, streams: Streams::new(1), order: 3 };
        let mut row = vec![1.0f32, 2.0, 3.0];
        let mut seen: Vec<Vec<f32>> = (0..orders.count())
            .map(|k| {
                orders.turn(&mut row, k);
                row.clone()
            })
            .collect();
        seen.sort_by(|a, b| a.partial_cmp(b).unwrap());
        seen.dedup();
        assert_eq!(seen.len(), 6);
        let e = s.representation().unwrap().embed(&[0, 5]).unwrap();
        assert_eq!(e.dim(), (2, 20));
    }

    #[test]
    fn sizes_are_those_of_the_table() {
        let of = |schedule, table, n, genes| Naiad { schedule, table, ..Naiad::default() }.width_for(n, genes);
        // Norman: 500 pairs of 112 genes are 16 in the paper and 4 in the code.
        assert_eq!(of(Schedule::Size, Sizes::Norman, 500, 112), 16);
        assert_eq!(of(Schedule::Code, Sizes::Norman, 500, 112), 4);
        assert_eq!(of(Schedule::Frequency, Sizes::Norman, 500, 112), 16);
        assert_eq!([100, 200, 350, 5000, 9000].map(|n| of(Schedule::Size, Sizes::Norman, n, 112)), [2, 4, 4, 128, 128]);
        assert_eq!([500, 1000, 5000, 60000].map(|n| of(Schedule::Size, Sizes::Horlbeck, n, 448)), [4, 16, 32, 128]);
        assert_eq!(of(Schedule::Size, Sizes::Simpson, 1000, 73), 4);
        // Strictly below: 224 pairs of 112 genes are 2 each, so that the smallest size is all there is.
        assert_eq!(of(Schedule::Code, Sizes::Norman, 224, 112), 2);
        assert_eq!(of(Schedule::Code, Sizes::Norman, 449, 112), 4);
        let own = Naiad { points: vec![(10.0, 3), (30.0, 7)], ..Naiad::default() };
        assert_eq!([1, 20, 21, 99].map(|n| own.width_for(n, 5)), [3, 3, 7, 7]);
        assert_eq!((Naiad::default().units(), Naiad { table: Sizes::Horlbeck, ..Naiad::default() }.units()), (64, 256));
    }

    #[test]
    fn what_cannot_work_is_told() {
        let (inputs, y) = world(2);
        let text = |m: Naiad| fit(&m, &inputs, &y, &[0, 1, 2]).err().unwrap().to_string();
        let hole = Naiad { points: vec![(500.0, 16), (100.0, 2)], ..Naiad::default() };
        assert!(text(hole).contains("must ascend without a hole"));
        assert!(text(Naiad { points: vec![(100.0, 0)], ..Naiad::default() }).contains("both above 0"));
        assert!(text(Naiad { dropout: 1.0, ..Naiad::default() }).contains("`dropout` from 0 to below 1"));
        let wild = Naiad { learning_rate: 1e30, width: Some(4), ..Naiad::default() };
        assert!(text(wild).contains("training diverged at learning rate"));
        // Wide embeddings for few rows work, and are mentioned.
        let s = fit(&Naiad { width: Some(64), epochs: 2, ..Naiad::default() }, &inputs, &y, &[0, 1, 2]).unwrap();
        assert!(s.notes()[0].contains("64 numbers each"), "{:?}", s.notes());
        let narrow = fit(&Naiad { width: Some(2), epochs: 2, ..Naiad::default() }, &inputs, &y, &[0, 1, 2]).unwrap();
        assert!(narrow.notes().is_empty());
        let mut unknown = inputs.single_effects().unwrap().clone();
        unknown[(1, 0)] = f64::NAN;
        let without = Inputs::new(inputs.pool().clone(), vec![], Compose::Sum).unwrap();
        let without = Arc::new(without.with_single_effects(Some(unknown)));
        let e = fit(&Naiad::default(), &without, &y, &[0, 1, 2]).err().unwrap().to_string();
        assert!(e.contains("gene `g1` has no measured effect of its own"), "{e}");
        let tied = Naiad { genes: GeneTable::Tied, ..Naiad::default() };
        assert!(fit(&tied, &without, &y, &[0]).err().unwrap().to_string().contains("no prior is active"));
    }
}
