//! Simulated worlds and what a plan finds in one of them.

use super::effects::EffectSizes;
use super::file::PlanStudy;
use super::learner::Learner;
use super::plan::ScreenPlan;
use crate::domain::Direction;
use crate::metrics::hit_flags;
use ndarray::Array2;
use numerics::stats::calls::ErrorControl;
use numerics::stats::{mean, normal_cdf, sd};
use numerics::streams::Streams;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};

/// Perturbations of one world.
pub(super) struct World {
    effects: Vec<f64>,
    hits: Vec<bool>,
    /// The order in which perturbations are drawn at random.
    order: Vec<usize>,
    errors: Vec<f64>,
    /// Perturbations x features, where a model learns.
    features: Option<Array2<f64>>,
}

/// What one plan found in one world.
pub(super) struct Found {
    pub hits: usize,
    pub called_hits: usize,
    pub measured_hits: usize,
    pub calls: usize,
    /// The largest p value that is called, or would be if it were the least.
    pub threshold: f64,
}

impl World {
    /// The world of this index, with `n` perturbations.
    pub fn draw(study: &PlanStudy, sizes: &EffectSizes, n: usize, world: u64) -> Self {
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

    /// Plays a plan whose measured effects have the standard error `se`.
    pub fn play(&self, plan: &ScreenPlan, se: f64, study: &PlanStudy) -> Found {
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
