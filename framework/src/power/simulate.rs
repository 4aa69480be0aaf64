//! Plans played in simulated worlds.
//!
//! In a world each perturbation has an effect θ. Measured with c cells in each of R replicates it is θ + se ε, with
//! se² = (cell² (1/c + 1/control cells) + replicate²) / R; the spread is taken as known, as it is when it is pooled over
//! many perturbations. Round 1 is drawn at random. Later rounds measure what a linear model expects most of: Bayesian
//! regression on features that explain a share r² of the effects' variance, its weights a random direction among all
//! features. In the end every measured perturbation is tested against 0 and called by Benjamini and Hochberg's rule. All
//! plans meet the same worlds, orders and errors, so that they are compared in pairs.

use super::effects::EffectSizes;
use super::file::{Noise, PlanStudy, Prices};
use crate::domain::{Direction, Target};
use crate::error::{Error, Result};
use crate::metrics::hit_flags;
use ndarray::{Array1, Array2};
use numerics::Cholesky;
use numerics::stats::calls::ErrorControl;
use numerics::stats::{half_width_95, mean, normal_cdf, normal_quantile, sd};
use numerics::streams::Streams;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use std::collections::BTreeMap;
use table::{Column, Table};

/// One way to run a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct ScreenPlan {
    /// Cells of each perturbation in each replicate.
    pub cells: usize,
    /// Replicates.
    pub replicates: usize,
    /// Perturbations a round.
    pub batch: usize,
    /// Rounds.
    pub rounds: usize,
}

impl ScreenPlan {
    /// Perturbations measured.
    pub fn n_measured(&self) -> usize {
        self.batch * self.rounds
    }

    /// Standard error of a measured effect.
    pub fn standard_error(&self, noise: &Noise, replicate: f64) -> f64 {
        let per_replicate =
            noise.cell.powi(2) * (1.0 / self.cells as f64 + 1.0 / noise.control_cells) + replicate.powi(2);
        (per_replicate / self.replicates as f64).sqrt()
    }

    /// USD.
    pub fn cost(&self, prices: &Prices) -> f64 {
        let (n, r, t) = (self.n_measured() as f64, self.replicates as f64, self.rounds as f64);
        n * (prices.per_cell * self.cells as f64 * r + prices.per_perturbation)
            + t * (prices.per_replicate * r + prices.per_round)
    }
}

/// What a plan finds, over all worlds.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Outlook {
    /// The plan.
    pub plan: ScreenPlan,
    /// Its standard error of an effect.
    pub standard_error: f64,
    /// The effect that it would call with 80 % probability where it is measured, at the mean threshold of its calls.
    pub detectable: f64,
    /// Share of all hits that it calls, mean over worlds.
    pub recall: f64,
    /// Half width of its 95 % interval over worlds.
    pub recall_half_width: f64,
    /// Share of all hits that it measures.
    pub measured: f64,
    /// Calls.
    pub calls: f64,
    /// Share of the calls that are hits; NaN where nothing is called in any world.
    pub precision: f64,
    /// USD.
    pub cost: f64,
    /// USD for each hit called; NaN where none is.
    pub cost_per_hit: f64,
    /// Months.
    pub months: f64,
}

/// Perturbations of one world.
struct World {
    effects: Vec<f64>,
    hits: Vec<bool>,
    /// The order in which perturbations are drawn at random.
    order: Vec<usize>,
    errors: Vec<f64>,
    /// Perturbations x features, where a model learns.
    features: Option<Array2<f64>>,
}

/// What one plan found in one world.
struct Found {
    hits: usize,
    called_hits: usize,
    measured_hits: usize,
    calls: usize,
    /// The largest p value that is called, or would be if it were the least.
    threshold: f64,
}

impl World {
    fn draw(study: &PlanStudy, sizes: &EffectSizes, n: usize, world: u64) -> Self {
        let streams = Streams::new(study.plans.seed).child("power").index(world as usize);
        let effects = sizes.draw(n, &mut streams.rng("effects"));
        let mut order: Vec<usize> = (0..n).collect();
        order.shuffle(&mut streams.rng("order"));
        let normal = |name: &str, n: usize| -> Vec<f64> {
            let mut rng = streams.rng(name);
            (0..n).map(|_| StandardNormal.sample(&mut rng)).collect()
        };
        let column = Array2::from_shape_fn((n, 1), |(i, _)| effects[i]);
        let hits = hit_flags(&column, &study.target).unwrap_or_else(|| vec![false; n]);
        let r2 = study.learning.r2;
        let features = (r2 > 0.0).then(|| {
            let d = study.learning.features;
            let (centre, spread) = (mean(&effects), sd(&effects).max(f64::MIN_POSITIVE));
            let mut x =
                Array2::from_shape_vec((n, d), normal("features", n * d)).unwrap_or_else(|_| Array2::zeros((n, d)));
            for (row, e) in x.outer_iter_mut().zip(&effects) {
                // The first feature carries what can be known; the model does not know which one it is, and its prior
                // treats all directions alike.
                let mut row = row;
                row[0] = r2.sqrt() * (e - centre) / spread + (1.0 - r2).sqrt() * row[0];
            }
            x
        });
        Self { hits, order, errors: normal("errors", n), features, effects }
    }

    fn play(&self, plan: &ScreenPlan, se: f64, study: &PlanStudy) -> Found {
        let n = self.effects.len();
        let wanted = plan.n_measured().min(n);
        let value = |i: usize| self.effects[i] + se * self.errors[i];
        let mut taken = vec![false; n];
        let mut measured: Vec<usize> = Vec::with_capacity(wanted);
        let mut learner = self.features.as_ref().map(|x| Learner::new(x, study.learning.r2, se));
        while measured.len() < wanted {
            let batch = plan.batch.min(wanted - measured.len());
            let chosen: Vec<usize> = match &mut learner {
                Some(l) if !measured.is_empty() => l.choose(&taken, batch, &study.target),
                _ => self.order.iter().copied().filter(|&i| !taken[i]).take(batch).collect(),
            };
            chosen.iter().for_each(|&i| taken[i] = true);
            if let Some(l) = &mut learner {
                chosen.iter().for_each(|&i| l.see(i, value(i)));
            }
            measured.extend(chosen);
        }
        let p: Vec<f64> = measured.iter().map(|&i| p_value(value(i) / se, study.target.direction)).collect();
        let q = ErrorControl::Bh.adjust(&p);
        let called: Vec<usize> = (0..p.len()).filter(|&k| q[k] <= study.plans.fdr).collect();
        let of = |i: &usize| self.hits[*i];
        Found {
            hits: self.hits.iter().filter(|h| **h).count(),
            measured_hits: measured.iter().filter(|i| of(i)).count(),
            called_hits: called.iter().filter(|&&k| self.hits[measured[k]]).count(),
            calls: called.len(),
            threshold: study.plans.fdr * called.len().max(1) as f64 / measured.len() as f64,
        }
    }
}

/// p of z against 0, on the side that is wanted.
fn p_value(z: f64, direction: Direction) -> f64 {
    match direction {
        Direction::Abs => 2.0 * normal_cdf(-z.abs()),
        Direction::Max => normal_cdf(-z),
        Direction::Min => normal_cdf(z),
    }
}

/// Bayesian linear regression with known variances: weights of mean 0 and variance r² s² / d, residuals of (1 - r²) s² and
/// the error of the measurement, s² the variance of the effects.
struct Learner<'a> {
    x: &'a Array2<f64>,
    precision: Array2<f64>,
    moment: Array1<f64>,
    values: Vec<f64>,
    seen: Vec<usize>,
    r2: f64,
    se: f64,
}

impl<'a> Learner<'a> {
    fn new(x: &'a Array2<f64>, r2: f64, se: f64) -> Self {
        let d = x.ncols();
        Self { x, precision: Array2::zeros((d, d)), moment: Array1::zeros(d), values: vec![], seen: vec![], r2, se }
    }

    fn see(&mut self, i: usize, value: f64) {
        let row = self.x.row(i);
        for a in 0..row.len() {
            for b in 0..=a {
                self.precision[[a, b]] += row[a] * row[b];
            }
        }
        self.values.push(value);
        self.seen.push(i);
    }

    /// The unmeasured perturbations of highest expected merit, ties to the lower one.
    fn choose(&mut self, taken: &[bool], batch: usize, target: &Target) -> Vec<usize> {
        let (centre, total) = (mean(&self.values), sd(&self.values).powi(2));
        // What of the spread is not measurement error; a tenth of it at the least.
        let variance = (total - self.se * self.se).max(0.1 * total).max(f64::MIN_POSITIVE);
        let d = self.x.ncols();
        let penalty = d as f64 * ((1.0 - self.r2) * variance + self.se * self.se) / (self.r2 * variance);
        self.moment.fill(0.0);
        for (&i, v) in self.seen.iter().zip(&self.values) {
            self.moment.scaled_add(v - centre, &self.x.row(i));
        }
        let mut a = self.precision.clone();
        for i in 0..d {
            a[[i, i]] += penalty;
            for j in 0..i {
                a[[j, i]] = a[[i, j]];
            }
        }
        let weights = match Cholesky::new(a.view()) {
            Ok(c) => c.solve(self.moment.view().insert_axis(ndarray::Axis(1))).column(0).to_owned(),
            // Above the penalty the matrix is positive definite; without weights all are expected to be alike.
            Err(_) => Array1::zeros(d),
        };
        let mut merit: Vec<(f64, usize)> = (0..taken.len())
            .filter(|&i| !taken[i])
            .map(|i| (target.merit(&[centre + self.x.row(i).dot(&weights)]), i))
            .collect();
        let by_merit = |a: &(f64, usize), b: &(f64, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
        if batch < merit.len() {
            merit.select_nth_unstable_by(batch, by_merit);
            merit.truncate(batch);
        }
        merit.sort_unstable_by(by_merit);
        merit.into_iter().map(|m| m.1).collect()
    }
}

impl PlanStudy {
    /// All plans, in the order of the lists; larger ones than the pool are left out and named.
    pub fn plans(&self, n: usize) -> (Vec<ScreenPlan>, Option<String>) {
        let p = &self.plans;
        let mut all = vec![];
        for &rounds in &p.rounds {
            for &batch in &p.batch {
                for &replicates in &p.replicates {
                    all.extend(p.cells.iter().map(|&cells| ScreenPlan { cells, replicates, batch, rounds }));
                }
            }
        }
        let (fit, large): (Vec<_>, Vec<_>) = all.into_iter().partition(|p| p.n_measured() <= n);
        let note = large.iter().map(ScreenPlan::n_measured).max().map(|most| {
            format!(
                "{} plans measure up to {most} perturbations and there are {n}; they are left out (lower batch or rounds, or \
                 raise perturbations under [plans])",
                large.len()
            )
        });
        (fit, note)
    }

    /// Plays every plan in every world. `tick` hears of each finished world. Cost: worlds x plans x pool x features a
    /// round.
    pub fn simulate(&self, sizes: &EffectSizes, tick: &(dyn Fn() + Sync)) -> Result<Vec<Outlook>> {
        let n = self.plans.perturbations.unwrap_or(sizes.n());
        let (plans, _) = self.plans(n);
        if plans.is_empty() {
            return Err(Error::Config(format!(
                "every plan measures more than the {n} perturbations there are; lower batch or rounds, or raise perturbations \
                 under [plans]"
            )));
        }
        let replicate = self.noise.replicate.or(sizes.replicate).unwrap_or(0.0);
        let errors: Vec<f64> = plans.iter().map(|p| p.standard_error(&self.noise, replicate)).collect();
        let worlds: Vec<Vec<Found>> = (0..self.plans.worlds as u64)
            .into_par_iter()
            .map(|w| {
                let world = World::draw(self, sizes, n, w);
                let found = plans.iter().zip(&errors).map(|(p, se)| world.play(p, *se, self)).collect();
                tick();
                found
            })
            .collect();
        if worlds.iter().all(|w| w[0].hits == 0) {
            return Err(Error::Config(
                "no perturbation of any world is a hit; lower hit_threshold or raise hit_fraction under [target]"
                    .into(),
            ));
        }
        Ok((0..plans.len())
            .map(|k| self.outlook(plans[k], errors[k], worlds.iter().map(|w| &w[k]).collect()))
            .collect())
    }

    fn outlook(&self, plan: ScreenPlan, se: f64, found: Vec<&Found>) -> Outlook {
        let with: Vec<&&Found> = found.iter().filter(|f| f.hits > 0).collect();
        let recall: Vec<f64> = with.iter().map(|f| f.called_hits as f64 / f.hits as f64).collect();
        let measured: Vec<f64> = with.iter().map(|f| f.measured_hits as f64 / f.hits as f64).collect();
        let all = |f: fn(&Found) -> f64| mean(&found.iter().map(|v| f(v)).collect::<Vec<_>>());
        let (calls, hits) = (all(|f| f.calls as f64), all(|f| f.called_hits as f64));
        let sides = if self.target.direction == Direction::Abs { 2.0 } else { 1.0 };
        let bar = -normal_quantile(all(|f| f.threshold) / sides);
        let cost = plan.cost(&self.cost);
        Outlook {
            plan,
            standard_error: se,
            detectable: (bar + normal_quantile(0.8)) * se,
            recall: mean(&recall),
            recall_half_width: half_width_95(&recall),
            measured: mean(&measured),
            calls,
            precision: if calls > 0.0 { hits / calls } else { f64::NAN },
            cost,
            cost_per_hit: if hits > 0.0 { cost / hits } else { f64::NAN },
            months: self.cost.months_per_round * plan.rounds as f64,
        }
    }
}

/// The plan of highest recall that a budget pays for, of equal ones the cheaper; nothing where none is affordable.
pub fn recommended(all: &[Outlook], budget: f64) -> Option<usize> {
    let able = (0..all.len()).filter(|&i| all[i].cost <= budget && all[i].recall.is_finite());
    able.min_by(|&a, &b| all[b].recall.total_cmp(&all[a].recall).then(all[a].cost.total_cmp(&all[b].cost)))
}

/// One row for each plan.
pub fn table(all: &[Outlook], budget: Option<f64>) -> Table {
    let number = |f: fn(&Outlook) -> f64| Column::Number(all.iter().map(f).collect());
    let whole = |f: fn(&ScreenPlan) -> usize| Column::Integer(all.iter().map(|o| f(&o.plan) as i64).collect());
    let best = budget.and_then(|b| recommended(all, b));
    let mut cheapest: BTreeMap<usize, bool> = BTreeMap::new();
    cheapest.extend(frontier(all).into_iter().map(|i| (i, true)));
    Table::new()
        .with("cells", whole(|p| p.cells))
        .with("replicates", whole(|p| p.replicates))
        .with("batch", whole(|p| p.batch))
        .with("rounds", whole(|p| p.rounds))
        .with("n_measured", whole(ScreenPlan::n_measured))
        .with("cost", number(|o| o.cost))
        .with("months", number(|o| o.months))
        .with("standard_error", number(|o| o.standard_error))
        .with("detectable_effect", number(|o| o.detectable))
        .with("recall", number(|o| o.recall))
        .with("recall_half_width", number(|o| o.recall_half_width))
        .with("hits_measured", number(|o| o.measured))
        .with("calls", number(|o| o.calls))
        .with("precision", number(|o| o.precision))
        .with("cost_per_hit", number(|o| o.cost_per_hit))
        .with("on_frontier", Column::Flag((0..all.len()).map(|i| cheapest.contains_key(&i)).collect()))
        .with("recommended", Column::Flag((0..all.len()).map(|i| best == Some(i)).collect()))
}

/// Plans that no other beats in both recall and cost, from cheap to dear.
pub(crate) fn frontier(all: &[Outlook]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..all.len()).filter(|&i| all[i].recall.is_finite()).collect();
    order.sort_by(|&a, &b| all[a].cost.total_cmp(&all[b].cost).then(all[b].recall.total_cmp(&all[a].recall)));
    let mut best = f64::NEG_INFINITY;
    order.retain(|&i| {
        let better = all[i].recall > best;
        best = best.max(all[i].recall);
        better
    });
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataRoot;
    use serde_json::{Value, json};

    fn study(change: impl FnOnce(&mut Value)) -> PlanStudy {
        let mut v = json!({
            "name": "t", "effects": { "active": 1.0, "sd": 1.0 }, "noise": { "cell": 2.0 },
            "plans": { "cells": [40], "batch": [200], "worlds": 300, "perturbations": 400 },
        });
        change(&mut v);
        serde_json::from_value(v).unwrap()
    }

    fn play(s: &PlanStudy) -> Vec<Outlook> {
        let sizes = EffectSizes::of(s, &DataRoot::new("")).unwrap();
        s.simulate(&sizes, &|| {}).unwrap()
    }

    #[test]
    fn standard_errors_and_prices_by_hand() {
        let s = study(|v| {
            v["cost"] = json!({ "per_cell": 0.5, "per_perturbation": 2, "per_replicate": 10, "per_round": 100 })
        });
        let p = ScreenPlan { cells: 50, replicates: 2, batch: 30, rounds: 3 };
        // (4 (1/50 + 1/1000) + 0.09) / 2
        assert!((p.standard_error(&s.noise, 0.3).powi(2) - (4.0 * 0.021 + 0.09) / 2.0).abs() < 1e-12);
        // 90 x (0.5 x 100 + 2) + 3 x (20 + 100)
        assert_eq!(p.cost(&s.cost), 90.0 * 52.0 + 360.0);
    }

    #[test]
    fn false_discoveries_keep_their_rate() {
        // A tenth has an effect; hits are exactly those.
        let s = study(|v| {
            v["effects"] = json!({ "active": 0.1, "sd": 1.0 });
            v["target"] = json!({ "hit_threshold": 1e-9 });
            v["plans"]["fdr"] = json!(0.2);
        });
        let o = &play(&s)[0];
        // Benjamini and Hochberg's rate is 0.2 times the share without effect, 0.18; over worlds the ratio of means is near it.
        let false_rate = 1.0 - o.precision;
        assert!((0.15..=0.21).contains(&false_rate), "{false_rate}");
    }

    #[test]
    fn recall_of_one_round_is_the_integral() {
        // All but the noise-free limit: half of the pool is measured, every effect is far above its error.
        let s = study(|v| v["noise"] = json!({ "cell": 1e-6 }));
        let o = &play(&s)[0];
        assert!((o.measured - 0.5).abs() < 3.0 * o.recall_half_width && o.measured == o.recall, "{o:?}");
        // With noise: the share of strong effects called is that of a normal test at the mean threshold.
        let s = study(|v| {
            v["plans"]["batch"] = json!([400]);
            v["noise"] = json!({ "cell": 4.0 });
        });
        let o = &play(&s)[0];
        let bar = o.detectable / o.standard_error - normal_quantile(0.8);
        let hit = -normal_quantile(0.025);
        let (mut called, mut all, mut theta) = (0.0, 0.0, hit);
        while theta < 6.0 {
            let w = (-0.5 * theta * theta).exp();
            let z = theta / o.standard_error;
            called += w * (normal_cdf(z - bar) + normal_cdf(-z - bar));
            all += w;
            theta += 1e-3;
        }
        assert!((o.recall - called / all).abs() < 0.02, "{} {}", o.recall, called / all);
        // An effect of the detectable size is called in 80 % of the cases.
        let z = o.detectable / o.standard_error;
        assert!((normal_cdf(z - bar) - 0.8).abs() < 1e-6);
    }

    #[test]
    fn rounds_gain_what_features_know_and_nothing_without() {
        let of = |r2: f64| {
            let s = study(|v| {
                v["learning"] = json!({ "r2": r2, "features": 5 });
                v["plans"]["batch"] = json!([50, 200]);
                v["plans"]["rounds"] = json!([1, 4]);
            });
            play(&s)
        };
        let find = |all: &[Outlook], batch, rounds| {
            all.iter().find(|o| (o.plan.batch, o.plan.rounds) == (batch, rounds)).map(|o| o.measured).unwrap()
        };
        let (none, much) = (of(0.0), of(0.6));
        // The same order and the same worlds: exactly the same perturbations. 4 x 200 is more than there are.
        assert_eq!(find(&none, 50, 4), find(&none, 200, 1));
        assert_eq!(none.len(), 3);
        assert_eq!(find(&much, 200, 1), find(&none, 200, 1));
        assert!(find(&much, 50, 4) > find(&none, 50, 4) + 0.25, "{} {}", find(&much, 50, 4), find(&none, 50, 4));
    }

    #[test]
    fn more_cells_and_replicates_never_find_less_and_threads_change_nothing() {
        let s = study(|v| {
            v["plans"]["cells"] = json!([4, 40, 160]);
            v["plans"]["replicates"] = json!([1, 3]);
            v["plans"]["worlds"] = json!(60);
            v["learning"] = json!({ "r2": 0.2 });
        });
        let all = play(&s);
        for pair in all[..3].windows(2) {
            // Where all that is measured is called, what is measured differs by chance.
            assert!(pair[0].recall < pair[1].recall + 0.01 && pair[0].detectable > pair[1].detectable);
        }
        assert!(all[0].recall + 0.1 < all[1].recall, "{} {}", all[0].recall, all[1].recall);
        assert!(all[..3].iter().zip(&all[3..]).all(|(one, three)| one.recall < three.recall + 0.01));
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(|| play(&s));
        assert_eq!(serde_json::to_string(&one).unwrap(), serde_json::to_string(&all).unwrap());
        // Cheapest first, each better than the last; the recommended one is the best that can be paid.
        let f = frontier(&all);
        assert!(f.windows(2).all(|w| all[w[0]].cost < all[w[1]].cost && all[w[0]].recall < all[w[1]].recall));
        let best = recommended(&all, all[f[1]].cost).unwrap();
        assert_eq!(best, f[1]);
        assert_eq!(recommended(&all, 1.0), None);
        let t = table(&all, Some(all[f[1]].cost));
        assert_eq!(t.height(), 6);
        assert!(matches!(t.column("recommended"), Some(Column::Flag(v)) if v.iter().filter(|r| **r).count() == 1));
    }

    #[test]
    fn a_pilot_gives_its_effects_without_their_errors() {
        use rand_distr::Distribution;
        let dir = std::env::temp_dir().join(format!("screenwright-pilot-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let mut rng = Streams::new(4).rng("pilot");
        let mut text = "gene,a,b\n".to_string();
        for i in 0..4000 {
            let mut z = || -> f64 { StandardNormal.sample(&mut rng) };
            let effect = z();
            text += &format!("g{i},{},{}\n", effect + 0.5 * z(), effect + 0.5 * z());
        }
        std::fs::write(dir.join("p.csv"), text).unwrap();
        let of = |values: Value, error: Value| {
            let s = study(|v| {
                v.as_object_mut().unwrap().remove("effects");
                v["pilot"] = json!({ "path": "p.csv", "values": values, "error": error });
            });
            EffectSizes::of(&s, &DataRoot::new(&dir))
        };
        let both = of(json!(["a", "b"]), Value::Null).unwrap();
        assert!((sd(&both.known) - 1.0).abs() < 0.05 && (both.replicate.unwrap() - 0.5).abs() < 0.02, "{}", both.note);
        let one = of(json!(["a"]), Value::Null).unwrap();
        assert!((sd(&one.known) - 1.25f64.sqrt()).abs() < 0.05 && one.replicate.is_none());
        let missing = of(json!(["c"]), Value::Null).unwrap_err().to_string();
        assert!(missing.contains("`c`") || missing.contains("c"), "{missing}");
        std::fs::write(dir.join("p.csv"), "gene,a,b\nx,1,2\n").unwrap();
        assert!(of(json!(["a"]), Value::Null).unwrap_err().to_string().contains("at least 10"));
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
