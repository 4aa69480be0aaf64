//! The optimistic linear function.

use super::{Oae, Reward, WIDE, best_left, too_large};
use framework::domain::Top;
use framework::numerics::memory::Limit;
use framework::numerics::stats::sd;
use framework::numerics::{Explained, lbfgs, symmetric_product};
use framework::prelude::*;
use framework::serde_json::{self, json};

/// The optimistic linear function around a ridge regression.
pub(super) struct Fit<'a> {
    rule: &'a Oae,
    ids: Vec<usize>,
    /// Ridge prediction of each candidate.
    plain: Array1<f64>,
    /// Whitened rows of the candidates, the last column for the intercept: candidates x (features + 1).
    z: Array2<f64>,
    /// λn in units of the readout.
    pull: f64,
    /// 1 for optimism upwards, -1 downwards.
    signs: &'static [f64],
}

impl<'a> Fit<'a> {
    pub(super) fn new(rule: &'a Oae, cx: &RunContext) -> Result<Self> {
        if cx.observed.is_empty() {
            return Err(Error::Config(
                "oae with form = \"fit\" learns from measurements and there are none yet; set `init` under [pool]"
                    .into(),
            ));
        }
        let (ids, d) = (cx.candidates.to_vec(), cx.inputs.n_features());
        if d > WIDE {
            return Err(Error::Config(format!(
                "oae with form = \"fit\" factors a matrix of the features and there are {d}, above {WIDE}; use fewer \
                 priors"
            )));
        }
        Limit::USUAL.check(&[ids.len(), d + 1]).map_err(too_large)?;
        let mut observed = cx.observed.clone();
        let outputs = observed.n_outputs();
        if outputs > 1 {
            // A profile counts by the merit of its norm, already signed.
            let merits: Vec<f64> = observed.y.outer_iter().map(|y| cx.target.merit(&y.to_vec())).collect();
            observed.y = Array1::from_vec(merits).insert_axis(Axis(1));
            observed.sd = None;
        }
        let mut form = json!({ "use": "ridge" });
        if let Some(p) = rule.penalty {
            form["penalty"] = json!(p);
        }
        let ridge: Box<dyn Model> = serde_json::from_value(form)
            .map_err(|e| Error::Config(format!("oae with form = \"fit\" regresses by `ridge`: {e}")))?;
        let fitted =
            ridge.fit(&FitContext { inputs: cx.inputs, observed: &observed, streams: &cx.stream("oae.fit") })?;
        let plain = fitted.predict(&ids)?;
        plain.check(ids.len(), 1)?;
        let recorded = fitted.record();
        let penalty = recorded.iter().find(|r| r.0 == "ridge.penalty").map(|r| r.1).ok_or_else(|| {
            Error::Plugin("oae reads the penalty that `ridge` records as ridge.penalty, and there is none".into())
        })?;
        cx.record("oae.penalty", penalty);
        let x = cx.inputs.features(&observed.ids);
        let centre = x.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(d));
        let mut a = symmetric_product((x - &centre).view());
        a.diag_mut().iter_mut().for_each(|v| *v += penalty);
        let factor = Cholesky::new(a.view())?;
        let mut z = Array2::from_elem((ids.len(), d + 1), 1.0 / (observed.len() as f64).sqrt());
        for (mut rows, tile) in z.axis_chunks_iter_mut(Axis(0), 2048).zip(ids.chunks(2048)) {
            let x = cx.inputs.features(tile) - &centre;
            rows.slice_mut(framework::ndarray::s![.., ..d]).assign(&factor.half_solve(x.t()).t());
        }
        let spread = Some(sd(&observed.y.column(0).to_vec())).filter(|s| s.is_finite() && *s > 0.0).unwrap_or(1.0);
        let signs: &[f64] = match cx.target.direction {
            _ if outputs > 1 => &[1.0],
            Direction::Abs => &[1.0, -1.0],
            Direction::Max => &[1.0],
            Direction::Min => &[-1.0],
        };
        let pull = rule.lambda * spread * observed.len() as f64;
        Ok(Self { rule, plain: plain.mean.column(0).to_owned(), ids, z, pull, signs })
    }

    /// Optimistic values of the candidates.
    pub(super) fn values(&self) -> Result<Vec<f64>> {
        let mut step = vec![Array1::zeros(self.z.ncols()); self.signs.len()];
        self.optimistic(&Explained::new(self.z.ncols(), 1.0), &[], &vec![false; self.ids.len()], &mut step)
    }

    /// Optimistic values once the picks (positions) count as measured at their plain predictions: then the squared
    /// error grows by (z_sᵀv)² each, and `known` holds the inverse of I + Σ z_s z_sᵀ. `step` holds v of each sign,
    /// from which searches start.
    fn optimistic(
        &self,
        known: &Explained,
        picks: &[usize],
        taken: &[bool],
        step: &mut [Array1<f64>],
    ) -> Result<Vec<f64>> {
        let left = taken.iter().filter(|t| !**t).count().max(1) as f64;
        let half = 0.5 * self.pull;
        let mut best = vec![f64::NEG_INFINITY; self.ids.len()];
        for (sign, v) in self.signs.iter().zip(step) {
            let plain = &self.plain * *sign;
            let mean = || {
                let mut sum = Array1::<f64>::zeros(self.z.ncols());
                self.z.outer_iter().zip(taken).filter(|(_, t)| !**t).for_each(|(z, _)| sum += &z);
                known.rest((sum / left).view()) * half
            };
            match self.rule.reward {
                Reward::Mean => *v = mean(),
                Reward::Max => {
                    let mut top = Top::new(1);
                    for i in (0..self.ids.len()).filter(|i| !taken[*i]) {
                        let z = self.z.row(i);
                        let along = known.directions().dot(&z);
                        let h = z.dot(&z) - along.dot(&along);
                        top.extend(&[i], &[plain[i] + 0.5 * half * h])?;
                    }
                    if let Some(&i) = top.into_batch().ids.first() {
                        *v = known.rest(self.z.row(i)) * half;
                    }
                }
                Reward::PNorm => {
                    if picks.is_empty() {
                        *v = mean();
                    }
                    let objective = |v: &[f64], g: &mut [f64]| self.objective(&plain, picks, taken, left, v, g);
                    let found = lbfgs(objective, &v.to_vec(), 1e-9 * (1.0 + self.pull), 300).ok_or_else(|| {
                        Error::Numerical("oae: the optimistic fit has no finite value; check the features".into())
                    })?;
                    *v = Array1::from_vec(found.0);
                }
            }
            let f = plain + self.z.dot(v);
            best.iter_mut().zip(&f).for_each(|(b, f)| *b = b.max(*f));
        }
        Ok(best)
    }

    /// ‖v‖² + Σ_s (z_sᵀv)² - λn A with A the p-norm of the positive parts, and its gradient.
    fn objective(
        &self,
        plain: &Array1<f64>,
        picks: &[usize],
        taken: &[bool],
        left: f64,
        v: &[f64],
        gradient: &mut [f64],
    ) -> f64 {
        let (p, v) = (self.rule.p, ArrayView1::from(v));
        let f = plain + &self.z.dot(&v);
        // Over the largest value, so that no power overflows.
        let largest = f.iter().zip(taken).filter(|(_, t)| !**t).fold(0.0f64, |m, (f, _)| m.max(*f));
        let mut g = &v * 2.0;
        let mut value = v.dot(&v);
        for &s in picks {
            let along = self.z.row(s).dot(&v);
            value += along * along;
            g.scaled_add(2.0 * along, &self.z.row(s));
        }
        if largest > 0.0 {
            let part = |(f, t): (&f64, &bool)| if *t { 0.0 } else { f.max(0.0) / largest };
            let parts: Vec<f64> = f.iter().zip(taken).map(part).collect();
            let sum = parts.iter().map(|u| u.powf(p)).sum::<f64>() / left;
            value -= self.pull * largest * sum.powf(1.0 / p);
            let outer = sum.powf(1.0 / p - 1.0) / left;
            let slope: Array1<f64> =
                parts.iter().map(|u| if *u > 0.0 { outer * u.powf(p - 1.0) } else { 0.0 }).collect();
            g.scaled_add(-self.pull, &self.z.t().dot(&slope));
        }
        gradient.iter_mut().zip(&g).for_each(|(o, g)| *o = *g);
        value
    }

    pub(super) fn in_sequence(&self, cx: &RunContext) -> Result<Batch> {
        let mut known = Explained::new(self.z.ncols(), 1.0);
        let mut step = vec![Array1::zeros(self.z.ncols()); self.signs.len()];
        let (mut taken, mut picks) = (vec![false; self.ids.len()], vec![]);
        let mut batch = Batch::default();
        while batch.ids.len() < cx.batch() {
            cx.tick(batch.ids.len(), cx.batch());
            let value = self.optimistic(&known, &picks, &taken, &mut step)?;
            let Some(i) = best_left(&taken, |i| value[i], &self.ids, &mut batch)? else { break };
            taken[i] = true;
            picks.push(i);
            let z = self.z.row(i);
            let rest = known.rest(z);
            let variance = z.dot(&rest).max(0.0) + 1.0;
            known.observe(rest, variance)?;
        }
        Ok(batch)
    }
}
