//! What an acquisition is handed.

use super::Held;
use crate::domain::{Batch, Candidates, Direction, Inputs, Observed, Pool, Posterior, Target, Top};
use crate::error::{Error, Result};
use crate::plugin::{Covariance, Drawn, Kernel, KernelContext, Surrogate};
use device::Device;
use ndarray::{Array1, Array2, Array3, ArrayView2};
use numerics::Gram;
use numerics::stats::sum_of_logs;
use numerics::streams::{StreamRng, Streams};
use serde::{Deserialize, Serialize};
use std::cell::{OnceCell, RefCell};
use std::sync::Arc;

/// Where the campaign stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Round {
    /// Number of this round, from 1.
    pub index: usize,
    /// Rounds planned.
    pub of: usize,
    /// Perturbations to choose.
    pub batch: usize,
}

/// What a selection rule sees as chosen before it starts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// The measured perturbations (the rule sees train and pool).
    #[default]
    Tp,
    /// Nothing (the rule sees the pool only).
    P,
    /// The perturbations of the last round only, as in GeneDisco's released Core-Set.
    Last,
}

/// What counts as the best so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Best {
    /// The best measured readout.
    #[default]
    Measured,
    /// The best predicted mean of a measured perturbation, which noise does not flatter.
    Mean,
}

/// Everything an acquisition sees.
pub struct RunContext<'a> {
    /// Where the campaign stands.
    pub round: Round,
    /// What counts as a hit.
    pub target: Target,
    /// All perturbations.
    pub pool: &'a Pool,
    /// Features of all perturbations.
    pub inputs: &'a Arc<Inputs>,
    /// Perturbations that may be chosen.
    pub candidates: &'a Candidates,
    /// Measurements so far.
    pub observed: &'a Observed,
    /// Perturbations under way without a readout yet, none of them a candidate.
    pub pending: &'a [usize],
    surrogate: Option<&'a dyn Surrogate>,
    kernel: Option<&'a dyn Kernel>,
    streams: Streams,
    gram: OnceCell<Gram>,
    recorded: RefCell<Vec<(String, f64)>>,
    progress: Option<&'a dyn Fn(usize, usize)>,
    device: Option<&'a dyn Device>,
}

/// Candidates scored in one piece; bounds the memory of score-based rules on huge pools.
const TILE: usize = 16_384;

impl<'a> RunContext<'a> {
    /// A round without a model and without a kernel, for the default target.
    pub fn new(
        round: Round,
        inputs: &'a Arc<Inputs>,
        candidates: &'a Candidates,
        observed: &'a Observed,
        streams: Streams,
    ) -> Self {
        Self {
            round,
            target: Target::default(),
            pool: inputs.pool(),
            inputs,
            candidates,
            observed,
            pending: &[],
            surrogate: None,
            kernel: None,
            streams,
            gram: OnceCell::new(),
            recorded: RefCell::default(),
            progress: None,
            device: None,
        }
    }

    /// What counts as a hit.
    pub fn with_target(self, target: Target) -> Self {
        Self { target, ..self }
    }

    /// The fitted model, if there is one.
    pub fn with_surrogate(self, surrogate: Option<&'a dyn Surrogate>) -> Self {
        Self { surrogate, ..self }
    }

    /// Perturbations under way: rules that start from what is measured start from these too.
    pub fn with_pending(self, pending: &'a [usize]) -> Self {
        Self { pending, ..self }
    }

    /// The scenario's kernel, if it names one.
    pub fn with_kernel(self, kernel: Option<&'a dyn Kernel>) -> Self {
        Self { kernel, ..self }
    }

    /// A GPU for the rules that can use one.
    pub fn with_device(self, device: Option<&'a dyn Device>) -> Self {
        Self { device, ..self }
    }

    /// Somebody to tell how far a long selection has come: steps done and steps in all.
    pub fn with_progress(self, progress: &'a dyn Fn(usize, usize)) -> Self {
        Self { progress: Some(progress), ..self }
    }

    /// The same round with another batch size and other candidates, for a rule that hands a part of its work to another
    /// rule. It meets the same streams; keep what it records with [`RunContext::absorb`].
    pub fn part<'b>(&'b self, batch: usize, candidates: &'b Candidates) -> RunContext<'b> {
        RunContext {
            round: Round { batch, ..self.round },
            candidates,
            streams: self.streams.clone(),
            gram: OnceCell::new(),
            recorded: RefCell::default(),
            ..*self
        }
    }

    /// Keeps what a part recorded with this round's results.
    pub fn absorb(&self, recorded: Vec<(String, f64)>) {
        self.recorded.borrow_mut().extend(recorded);
    }

    /// Runs a rule on the GPU, if there is one and the kernel has explicit features: `f` gets the rows of the
    /// candidates and of the centres in single precision and gives picks as row numbers with their scores.
    /// `None` where the rule has to work by itself; a device that fails is one such case, and says so.
    pub fn on_device(
        &self,
        mode: Mode,
        f: impl FnOnce(&dyn Device, ArrayView2<f32>, ArrayView2<f32>) -> device::Result<device::Picks>,
    ) -> Result<Option<Batch>> {
        // Rows of 4 GB are about what fits beside the host's own copy.
        const MOST: usize = 1 << 30;
        let Some(device) = self.device else { return Ok(None) };
        let Some(rows) = self.gram()?.rows() else { return Ok(None) };
        if self.candidates.len().saturating_mul(rows.d()) > MOST {
            return Ok(None);
        }
        let mut x = Array2::<f32>::zeros((self.candidates.len(), rows.d()));
        let mut at = 0;
        self.candidates.tiles::<Error>(TILE, |ids| {
            let part = rows.get(ids);
            x.slice_mut(ndarray::s![at..at + ids.len(), ..]).zip_mut_with(&part, |o, v| *o = *v as f32);
            at += ids.len();
            Ok(())
        })?;
        let centres = rows.get(&self.centres(mode)).mapv(|v| v as f32);
        match f(device, x.view(), centres.view()) {
            Ok(picks) => {
                self.record("on_gpu", 1.0);
                let ids = picks.iter().map(|p| self.candidates.nth(p.0)).collect();
                Ok(Some(Batch { ids, scores: picks.iter().map(|p| f64::from(p.1)).collect() }))
            }
            Err(device::Error::Input(text)) => Err(Error::Numerical(text)),
            Err(e) => {
                eprintln!("{e}");
                self.record("on_gpu", 0.0);
                Ok(None)
            }
        }
    }

    /// Tells how far a selection has come. Rules that may take seconds call it now and then.
    pub fn tick(&self, done: usize, of: usize) {
        if let Some(p) = self.progress {
            p(done, of);
        }
    }

    /// Perturbations to choose.
    pub fn batch(&self) -> usize {
        self.round.batch
    }

    /// The generator for one purpose in this round.
    pub fn rng(&self, purpose: &str) -> StreamRng {
        self.streams.rng(purpose)
    }

    /// The node of streams for one purpose in this round, for numbers keyed by perturbation.
    pub fn stream(&self, purpose: &str) -> Streams {
        self.streams.child(purpose)
    }

    /// The fitted model.
    pub fn surrogate(&self) -> Result<&dyn Surrogate> {
        self.surrogate.ok_or_else(|| {
            Error::Config("this acquisition needs a model; add a [model] section to the scenario".into())
        })
    }

    /// Mean and sd of the given perturbations, checked.
    pub fn posterior(&self, ids: &[usize]) -> Result<Posterior> {
        let p = self.surrogate()?.predict(ids)?;
        p.check(ids.len(), self.observed.n_outputs())?;
        Ok(p)
    }

    /// The merit of the best perturbation so far, for the rule of the given name.
    pub fn best(&self, rule: &str, by: Best) -> Result<f64> {
        let merits: Vec<f64> = match by {
            Best::Measured => self.observed.y.outer_iter().map(|y| self.target.merit(&y.to_vec())).collect(),
            Best::Mean => {
                let ids = self.observed.distinct();
                let p = self.posterior(&ids)?;
                (0..ids.len()).map(|i| p.merit(i, &self.target)).collect()
            }
        };
        merits.into_iter().reduce(f64::max).ok_or_else(|| {
            Error::Config(format!(
                "`{rule}` improves on the best measurement and there are none yet; set `init` under [pool]"
            ))
        })
    }

    /// Variance of the noise of a measurement, an output each: the model's, or the mean squared residual of the
    /// measured rows where it assumes none.
    pub fn noise_variance(&self) -> Result<Array1<f64>> {
        if let Some(noise) = self.surrogate()?.noise_variance() {
            return Ok(noise);
        }
        let mut sum = Array1::zeros(self.observed.n_outputs());
        if self.observed.is_empty() {
            return Ok(sum);
        }
        for (ids, y) in self.observed.ids.chunks(TILE).zip(self.observed.y.axis_chunks_iter(ndarray::Axis(0), TILE)) {
            sum += &(&y - &self.posterior(ids)?.mean).mapv(|d| d * d).sum_axis(ndarray::Axis(0));
        }
        Ok(sum / self.observed.len() as f64)
    }

    /// Posterior covariances of the given perturbations, in whatever form the model has them; `draws` joint draws
    /// stand in where it has neither covariances nor functions.
    pub fn covariance(&self, ids: Vec<usize>, draws: usize, rng: &mut StreamRng) -> Result<Covariance<'_>> {
        let n_outputs = self.observed.n_outputs();
        let (mut mean, mut sd) = (Array2::zeros((ids.len(), n_outputs)), Array2::zeros((ids.len(), n_outputs)));
        for (t, tile) in ids.chunks(TILE).enumerate() {
            let p = self.posterior(tile)?;
            let rows = ndarray::s![t * TILE..t * TILE + tile.len(), ..];
            mean.slice_mut(rows).assign(&p.mean);
            match p.sd {
                Some(s) => sd.slice_mut(rows).assign(&s),
                None => {
                    return Err(Error::Unsupported(
                        "this acquisition needs predicted standard deviations and the model gives none".into(),
                    ));
                }
            }
        }
        Covariance::new(self.surrogate()?, ids, Posterior { mean, sd: Some(sd) }, draws, rng)
    }

    /// `n` joint draws of the candidates, evaluated piece by piece, or `None` where the model cannot do that.
    pub fn streamed_draws(&self, n: usize, rng: &mut StreamRng) -> Result<Option<DrawnMerits<'_>>> {
        Ok(match self.surrogate()?.draws() {
            Some(draws) => draws.drawn(n, rng)?.map(|d| self.merits(d)),
            None => None,
        })
    }

    /// `n` joint draws of the candidates, for the rule of the given name: the model's own way of evaluating them piece by
    /// piece, or all of them drawn at once and kept.
    pub fn draws(&self, rule: &str, n: usize, rng: &mut StreamRng) -> Result<DrawnMerits<'_>> {
        // Four gigabytes.
        const MOST: usize = 1 << 29;
        if let Some(streamed) = self.streamed_draws(n, rng)? {
            return Ok(streamed);
        }
        let n_outputs = self.observed.n_outputs();
        let size = n.saturating_mul(self.candidates.len()).saturating_mul(n_outputs);
        if size > MOST {
            return Err(Error::Config(format!(
                "`{rule}` needs {n} draws of {} candidates, {:.0} GB, since this model does not draw piece by piece; ask for \
                 fewer draws, make the pool smaller, or use `low_rank_matrix`",
                self.candidates.len(),
                size as f64 * 8e-9
            )));
        }
        let ids = self.candidates.to_vec();
        let x = self.surrogate()?.try_draws()?.draw(&ids, n, rng)?;
        if x.dim() != (n, ids.len(), n_outputs) {
            return Err(Error::Plugin(format!(
                "the model returned draws of shape {:?} for {n} draws of {} candidates and {n_outputs} outputs",
                x.dim(),
                ids.len()
            )));
        }
        Ok(self.merits(Box::new(Kept { candidates: self.candidates, x })))
    }

    fn merits<'b>(&'b self, drawn: Box<dyn Drawn + 'b>) -> DrawnMerits<'b> {
        let n_outputs = self.observed.n_outputs();
        DrawnMerits { drawn, target: self.target, n_outputs, candidates: self.candidates, pool: self.pool }
    }

    /// The scenario's kernel over the pool, or inner products of the prior features where it names none;
    /// computed at first use.
    pub fn gram(&self) -> Result<&Gram> {
        if let Some(g) = self.gram.get() {
            return Ok(g);
        }
        let g = match self.kernel {
            Some(k) => k.gram(&KernelContext {
                inputs: self.inputs,
                surrogate: self.surrogate,
                observed: self.observed,
                candidates: Some(self.candidates),
                input: None,
                member: 0,
                streams: &self.streams.child("kernel"),
                recorded: Some(&self.recorded),
            })?,
            None if self.inputs.n_features() > 0 => {
                Gram::new(numerics::FeatureGram::linear(numerics::Rows::Made(self.inputs.clone())))
            }
            None => {
                return Err(Error::Config(
                    "this acquisition compares perturbations but nothing describes them; add a [kernel] or a [prior.NAME] section"
                        .into(),
                ));
            }
        };
        Ok(self.gram.get_or_init(|| g))
    }

    /// What a rule starts from: the measured perturbations in the order of their first measurement and those under way,
    /// those of the last round, or nothing.
    pub fn centres(&self, mode: Mode) -> Vec<usize> {
        match mode {
            Mode::Tp => {
                let mut all = self.observed.distinct();
                all.extend(self.pending.iter().filter(|id| !self.observed.ids.contains(id)));
                all
            }
            Mode::P => vec![],
            Mode::Last => {
                let last = self.observed.round.iter().max();
                let of_last = |r: &usize| Some(&self.observed.round[*r]) == last;
                let rows = (0..self.observed.len()).filter(of_last);
                let mut seen = std::collections::HashSet::new();
                rows.map(|r| self.observed.ids[r]).filter(|id| seen.insert(*id)).collect()
            }
        }
    }

    /// The kernel over the candidates, ascending, and then `others`, prepared for many row reads: for rules
    /// that hold all candidates. Refuses feature rows above 8 GB.
    pub fn prepared(&self, rule: &str, others: &[usize]) -> Result<Held> {
        const MOST: usize = 1 << 30;
        let gram = self.gram()?;
        let n = self.candidates.len() + others.len();
        let d = gram.rows().map_or(1, |r| r.d());
        if n.saturating_mul(d) > MOST {
            return Err(Error::Config(format!(
                "`{rule}` holds the features of all candidates, {:.0} GB for {n} x {d}; project them (`rp`), make the \
                 pool smaller, or use `max_dist`, `max_diag` or a score-based rule, which stream",
                (n as f64) * (d as f64) * 8e-9
            )));
        }
        let mut ids = self.candidates.to_vec();
        ids.extend(others);
        Ok(Held::new(gram, ids))
    }

    /// Fills a batch that a rule could not finish with candidates drawn uniformly, with score 0, and records
    /// how many as `filled`.
    pub fn fill(&self, mut batch: Batch) -> Batch {
        let missing = self.batch().saturating_sub(batch.ids.len());
        if missing > 0 {
            let mut left = self.candidates.clone();
            left.remove(&batch.ids);
            batch.ids.extend(left.sample(missing, &mut self.rng("fill")));
            batch.scores.resize(batch.ids.len(), 0.0);
        }
        self.record("filled", missing as f64);
        batch
    }

    /// The batch of highest scores, where `score` maps a tile of candidates and their posterior to one
    /// number each. Memory does not grow with the pool.
    pub fn top_by(&self, mut score: impl FnMut(&[usize], &Posterior) -> Result<Vec<f64>>) -> Result<Batch> {
        let mut top = Top::new(self.batch());
        self.candidates.tiles(TILE, |ids| {
            let p = self.posterior(ids)?;
            top.extend(ids, &score(ids, &p)?)
        })?;
        Ok(top.into_batch())
    }

    /// Like [`RunContext::top_by`] for rules that score one candidate from its scalar mean and sd.
    pub fn top_by_mean_sd(&self, score: impl Fn(f64, f64) -> f64) -> Result<Batch> {
        self.top_by(|ids, p| {
            (0..ids.len())
                .map(|i| match p.scalar(i) {
                    (m, Some(s)) => Ok(score(m, s)),
                    _ => Err(Error::Unsupported(
                        "this acquisition needs predicted standard deviations and the model gives none".into(),
                    )),
                })
                .collect()
        })
    }

    /// Like [`RunContext::top_by_mean_sd`] for scores that are a mean over what lies beyond a threshold on the merit
    /// scale: `log_tail(mean, sd)` is the logarithm of what the upper tail gives. The lower one counts for small
    /// targets, both for large absolute values, and the upper one for the norm of a profile. Ranks by logarithms, so
    /// that scores too small to write down keep their order.
    pub fn top_by_log_tail(&self, log_tail: impl Fn(f64, f64) -> f64) -> Result<Batch> {
        // Stands for the logarithm of 0.
        const NONE: f64 = -1e300;
        let two_sided = self.target.direction == Direction::Abs && self.observed.n_outputs() == 1;
        let mut batch = self.top_by_mean_sd(|mean, sd| {
            let log = match self.target.direction {
                Direction::Abs if two_sided => sum_of_logs(log_tail(mean, sd), log_tail(-mean, sd)),
                Direction::Min => log_tail(-mean, sd),
                _ => log_tail(mean, sd),
            };
            log.max(NONE)
        })?;
        batch.scores.iter_mut().for_each(|s| *s = s.exp());
        Ok(batch)
    }

    /// Keeps a number with this round's results.
    pub fn record(&self, name: &str, value: f64) {
        self.recorded.borrow_mut().push((name.into(), value));
    }

    /// What was recorded.
    pub fn into_recorded(self) -> Vec<(String, f64)> {
        self.recorded.into_inner()
    }
}

/// Joint draws of the candidates, on the scale of what is wanted. Rules read them in pieces, several at a time.
pub struct DrawnMerits<'a> {
    drawn: Box<dyn Drawn + 'a>,
    target: Target,
    n_outputs: usize,
    candidates: &'a Candidates,
    pool: &'a Pool,
}

impl DrawnMerits<'_> {
    /// Number of pieces; see [`Candidates::piece`].
    pub fn pieces(&self) -> usize {
        self.candidates.pieces(self.pool)
    }

    /// Calls `f` with lists of candidates of one piece and their merits: draws x candidates of the list.
    pub fn piece(&self, piece: usize, mut f: impl FnMut(&[usize], &[f64]) -> Result<()>) -> Result<()> {
        let mut x = Vec::new();
        self.candidates.piece(self.pool, piece, |ids| {
            self.drawn.at(ids, &mut x)?;
            if self.n_outputs > 1 {
                x = x.chunks_exact(self.n_outputs).map(|row| self.target.merit(row)).collect();
            } else {
                match self.target.direction {
                    Direction::Max => {}
                    Direction::Min => x.iter_mut().for_each(|v| *v = -*v),
                    Direction::Abs => x.iter_mut().for_each(|v| *v = v.abs()),
                }
            }
            // Without a way out of the loop several are looked at a time.
            if !x.iter().fold(true, |all, v| all & v.is_finite()) {
                let at = x.iter().position(|v| !v.is_finite()).unwrap_or(0);
                return Err(Error::Numerical(format!(
                    "a posterior draw of candidate {} is {}; draws must be finite numbers",
                    ids[at % ids.len()],
                    x[at]
                )));
            }
            f(ids, &x)
        })
    }
}

/// Draws of all candidates.
struct Kept<'a> {
    candidates: &'a Candidates,
    x: Array3<f64>,
}

impl Drawn for Kept<'_> {
    fn at(&self, ids: &[usize], out: &mut Vec<f64>) -> Result<()> {
        if let Some(id) = ids.iter().find(|id| !self.candidates.contains(**id)) {
            return Err(Error::Plugin(format!("draws were asked for perturbation {id}, which is not a candidate")));
        }
        let places: Vec<usize> = ids.iter().map(|&id| self.candidates.rank(id)).collect();
        out.clear();
        for draw in self.x.outer_iter() {
            places.iter().for_each(|&p| out.extend(draw.row(p)));
        }
        Ok(())
    }
}
