//! Fits and what is known after them.

use super::ascent::improve_any;
use super::draws::{MatrixDraws, Table};
use super::factor::{Factor, SLACK};
use super::problem::{Problem, State};
use super::settings::{Entries, Factorisation, MatrixSettings};
use numerics::streams::{StreamRng, Streams};
use numerics::{Error, Result};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

/// A fit to be made: [`fit_all`] makes many.
#[derive(Clone, Debug)]
pub struct MatrixJob<'a> {
    /// What to fit and how.
    pub settings: MatrixSettings,
    /// The known entries. Several lists are fitted one after another, each from where the last one ended; every list
    /// holds all that is known by then.
    pub stages: &'a [Entries],
    /// Most steps or sweeps of every stage but the last, which has those of the settings.
    pub stage_steps: usize,
    /// Where the start is drawn.
    pub streams: Streams,
}

/// Makes many fits, several at a time; each is the same on any number of threads.
pub fn fit_all(jobs: &[MatrixJob]) -> Vec<Result<MatrixPosterior>> {
    jobs.par_iter().map(MatrixPosterior::fit).collect()
}

fn check(s: &MatrixSettings, e: &Entries) -> Result<()> {
    let wrong = |what: String| Err(Error::Setting(format!("low-rank matrix: {what}")));
    let symmetric = s.form != Factorisation::Rectangular;
    if s.rank == 0 || s.rank > SLACK {
        return wrong(format!("rank = {}; it must be from 1 to {SLACK}", s.rank));
    }
    if s.rank > e.rows.min(e.columns) {
        let size =
            if symmetric { format!("{} genes", e.rows) } else { format!("{} rows and {} columns", e.rows, e.columns) };
        return wrong(format!("rank = {} is larger than a matrix of {size} can have; lower the rank", s.rank));
    }
    for (name, v) in [("noise", s.noise), ("rate", s.rate)] {
        if !(v > 0.0 && v.is_finite()) {
            return wrong(format!("{name} = {v}; it must be a positive number"));
        }
    }
    if !(s.tolerance >= 0.0 && s.tolerance.is_finite()) {
        return wrong(format!("tolerance = {}; it must be a finite number, not negative", s.tolerance));
    }
    if s.steps == 0 || s.restarts == 0 {
        return wrong("steps and restarts must be at least 1".into());
    }
    for &(i, j, y) in &e.list {
        if i as usize >= e.rows || j as usize >= e.columns || (symmetric && i == j) || !y.is_finite() {
            return wrong(format!(
                "entry ({i}, {j}) = {y} cannot be used; entries are finite, within the matrix, and off the diagonal of a \
                 symmetric one"
            ));
        }
    }
    Ok(())
}

/// The fitted posterior.
#[derive(Clone, Debug)]
pub struct MatrixPosterior {
    pub(super) form: Factorisation,
    pub(super) u: Factor,
    pub(super) v: Factor,
    /// Standard deviation of the noise of an entry, as given or fitted.
    pub noise: f64,
    /// The bound on the logarithm of the evidence; where the noise is fitted, plus the logarithm of its prior without
    /// constants.
    pub elbo: f64,
    /// The bound after each sweep of the last stage; after the last step only, with Adam.
    pub trace: Vec<f64>,
    /// Sweeps or steps made, over all stages.
    pub steps: usize,
}

impl MatrixPosterior {
    /// Fits; of several starts the one of largest bound is kept, the first of equals.
    pub fn fit(job: &MatrixJob) -> Result<Self> {
        for entries in job.stages {
            check(&job.settings, entries)?;
        }
        let Some(last) = job.stages.last() else {
            return Err(Error::Setting("low-rank matrix: there are no entries to fit".into()));
        };
        let mut best: Option<Self> = None;
        for start in 0..job.settings.restarts {
            let fitted = Self::fit_from(job, last, &mut job.streams.index(start).rng("factors"));
            if !fitted.elbo.is_finite() {
                return Err(Error::Breakdown(format!(
                    "the bound of the low-rank matrix became {}; standardise the rewards, raise the noise or lower the rate",
                    fitted.elbo
                )));
            }
            if best.as_ref().is_none_or(|b| fitted.elbo > b.elbo) {
                best = Some(fitted);
            }
        }
        best.ok_or_else(|| Error::Setting("low-rank matrix: restarts must be at least 1".into()))
    }

    fn fit_from(job: &MatrixJob, last: &Entries, rng: &mut StreamRng) -> Self {
        let s = &job.settings;
        let columns = if s.form.one_sided() { 1 } else { last.columns };
        let mut u = Factor::cold(last.rows, s.rank, s, rng);
        let mut v = Factor::cold(columns, s.rank, s, rng);
        if s.form == Factorisation::Gram {
            v.mu.fill(1.0);
            v.var.fill(0.0);
        }
        let mut ln_noise = s.noise.ln();
        let mut done = Self {
            form: s.form,
            u: Factor::prior(last.rows, s.rank),
            v: Factor::prior(columns, s.rank),
            noise: s.noise,
            elbo: 0.0,
            trace: vec![0.0],
            steps: 0,
        };
        for (t, entries) in job.stages.iter().enumerate() {
            let p = Problem::new(s.form, entries);
            if p.list.is_empty() {
                continue;
            }
            let steps = if t + 1 == job.stages.len() { s.steps } else { job.stage_steps };
            let (cu, cv) = p.compact(&u, &v);
            let mut state = State::new(&p, cu, cv, ln_noise);
            // Only a cold start comes down.
            let s = MatrixSettings { anneal: s.anneal && t == 0, ..*s };
            let made;
            (done.trace, made) = improve_any(&s, &p, &mut state, steps);
            done.steps += made;
            ln_noise = state.ln_noise;
            u.put(&p.rows, &state.u);
            done.u.put(&p.rows, &state.u);
            if s.form.one_sided() {
                (v, done.v) = (state.v.clone(), state.v);
            } else {
                v.put(&p.columns, &state.v);
                done.v.put(&p.columns, &state.v);
            }
        }
        done.noise = ln_noise.exp();
        done.elbo = done.trace.last().copied().unwrap_or(f64::NAN);
        done
    }

    /// Rank of the factors.
    pub fn rank(&self) -> usize {
        self.u.m
    }

    /// Mean and variance of the noise-free entry (i, j), i ≠ j where the matrix is symmetric.
    pub fn moments(&self, i: usize, j: usize) -> (f64, f64) {
        let (mut mean, mut var) = (0.0, 0.0);
        let mut add = |weight: f64, (am, av): (f64, f64), (bm, bv): (f64, f64)| {
            mean += weight * am * bm;
            var += weight * weight * (av * bv + av * bm * bm + am * am * bv);
        };
        for k in 0..self.rank() {
            match self.form {
                Factorisation::Rectangular => add(1.0, self.u.at(i, k), self.v.at(j, k)),
                Factorisation::Mirror => {
                    add(0.5, self.u.at(i, k), self.v.at(j, k));
                    add(0.5, self.u.at(j, k), self.v.at(i, k));
                }
                Factorisation::Diag | Factorisation::Gram => {
                    let ((am, av), (bm, bv)) = (self.u.at(i, k), self.u.at(j, k));
                    let product = am * bm;
                    add(1.0, self.v.at(0, k), (product, (am * am + av) * (bm * bm + bv) - product * product));
                }
            }
        }
        (mean, var)
    }

    /// `n` draws of the factors, in single precision: O(n m) numbers a row, made in parallel, the same on any number of
    /// threads.
    pub fn draws(&self, n: usize, streams: &Streams) -> MatrixDraws {
        let m = self.rank();
        let table = |sides: &[&Factor], name: &str| Table::draw(sides, n, &streams.child(name));
        let ones = |w: f32| vec![w; n * m];
        match self.form {
            Factorisation::Mirror => {
                // ½ (u_i v_j + v_i u_j): rows (u, v) against rows (v, u).
                let left = table(&[&self.u, &self.v], "rows");
                MatrixDraws { n, left, right: None, turn: m, weight: vec![0.5; n * 2 * m] }
            }
            Factorisation::Rectangular => {
                let (left, right) = (table(&[&self.u], "rows"), table(&[&self.v], "columns"));
                MatrixDraws { n, left, right: Some(right), turn: 0, weight: ones(1.0) }
            }
            Factorisation::Diag | Factorisation::Gram => {
                let mut rng = streams.rng("scales");
                let mut weight = ones(0.0);
                for (at, w) in weight.iter_mut().enumerate() {
                    let (mean, var) = self.v.at(0, at % m);
                    let z: f64 = StandardNormal.sample(&mut rng);
                    *w = (mean + var.sqrt() * z) as f32;
                }
                MatrixDraws { n, left: table(&[&self.u], "rows"), right: None, turn: 0, weight }
            }
        }
    }
}
