//! Plans played in simulated worlds.
//!
//! In a world each perturbation has an effect θ. Measured with c cells in each of R replicates it is θ + se ε, with
//! se² = (cell² (1/c + 1/control cells) + replicate²) / R; the spread is taken as known, as it is when it is pooled over
//! many perturbations. Round 1 is drawn at random. Later rounds measure what a linear model expects most of: Bayesian
//! regression on features that explain a share r² of the effects' variance, its weights a random direction among all
//! features. In the end every measured perturbation is tested against 0 and called by Benjamini and Hochberg's rule. All
//! plans meet the same worlds, orders and errors, so that they are compared in pairs.

use super::effects::EffectSizes;
use super::file::PlanStudy;
use super::outlook::Outlook;
use super::plan::ScreenPlan;
use super::world::{Found, World};
use crate::domain::Direction;
use crate::error::{Error, Result};
use numerics::stats::{half_width_95, mean, normal_quantile};
use rayon::prelude::*;

impl PlanStudy {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataRoot;
    use crate::power::outlook::{frontier, recommended, table};
    use numerics::stats::normal_cdf;
    use serde_json::{Value, json};
    use table::Column;

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
}
