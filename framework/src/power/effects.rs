//! Where effect sizes come from.

use super::file::{Pilot, PlanStudy};
use crate::data::DataRoot;
use crate::error::{Error, Result};
use crate::plugin::Setup;
use numerics::stats::{mean, sd};
use numerics::streams::{StreamRng, Streams};
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

/// Effects of perturbations, from which worlds are drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct EffectSizes {
    /// Effects without their errors; nothing where they come from a formula.
    pub known: Vec<f64>,
    /// Share that has an effect and its standard deviation, where `known` is empty.
    pub mixture: (f64, f64),
    /// Standard deviation between replicates of the pilot.
    pub replicate: Option<f64>,
    /// What was read and how it was brought to this, for the reader.
    pub note: String,
}

impl EffectSizes {
    /// Reads the pilot, opens the oracle, or takes the formula.
    pub fn of(study: &PlanStudy, data: &DataRoot) -> Result<Self> {
        if let Some(m) = study.effects {
            let note =
                format!("{} % of perturbations have an effect, of standard deviation {}", 100.0 * m.active, m.sd);
            return Ok(Self { known: vec![], mixture: (m.active, m.sd), replicate: None, note });
        }
        if let Some(oracle) = &study.oracle {
            let streams = Streams::new(study.plans.seed).child("world").child("oracle");
            let screen = oracle.open(&Setup { data, streams: &streams })?;
            let n = screen.pool().len();
            if screen.n_outputs() != 1 {
                return Err(Error::Config(format!(
                    "[oracle] has readouts of {} outputs; power needs one number a perturbation (for latent_dag: readout = \
                     \"scalar\")",
                    screen.n_outputs()
                )));
            }
            let ids: Vec<usize> = (0..n).collect();
            let truth = screen.truth(&ids).ok_or_else(|| {
                Error::Config(
                    "[oracle] does not know its noise-free readouts; give its measured ones as [pilot]".into(),
                )
            })?;
            let known: Vec<f64> = truth.column(0).to_vec();
            let note = format!("{n} effects of the oracle, of standard deviation {:.4}", sd(&known));
            return Self { known, mixture: (0.0, 0.0), replicate: None, note }.checked();
        }
        match &study.pilot {
            Some(pilot) => Self::of_pilot(pilot, data),
            None => Err(Error::Config("no effects; give [pilot], [oracle] or [effects]".into())),
        }
    }

    fn of_pilot(pilot: &Pilot, data: &DataRoot) -> Result<Self> {
        let table = data.table(&pilot.path)?;
        let columns: Vec<Vec<f64>> =
            pilot.values.iter().map(|c| table.numbers_or_missing(c)).collect::<std::result::Result<_, _>>()?;
        let errors = pilot.error.as_ref().map(|c| table.numbers_or_missing(c)).transpose()?;
        let k = columns.len();
        if k == 0 {
            return Err(Error::Config("values under [pilot] names no column".into()));
        }
        let (mut raw, mut error2, mut within) = (vec![], vec![], vec![]);
        for row in 0..table.height() {
            let values: Vec<f64> = columns.iter().map(|c| c[row]).collect();
            let error = errors.as_ref().map_or(0.0, |e| e[row]);
            if values.iter().any(|v| v.is_nan()) || error.is_nan() {
                continue;
            }
            raw.push(mean(&values));
            if k > 1 {
                within.push(sd(&values).powi(2));
            }
            error2.push(error * error);
        }
        if raw.len() < 10 {
            return Err(Error::Data(format!(
                "{}: {} rows have all of {}; a distribution of effects needs at least 10",
                data.path(&pilot.path).display(),
                raw.len(),
                pilot.values.join(", ")
            )));
        }
        let replicate2 = if within.is_empty() { f64::NAN } else { mean(&within) };
        // The spread of what was measured is that of the effects and of their errors.
        let error2 = if errors.is_some() || k == 1 { mean(&error2) } else { replicate2 / k as f64 };
        let (centre, total) = (mean(&raw), sd(&raw).powi(2));
        let keep = ((total - error2) / total).max(0.0).sqrt();
        if keep < 0.05 {
            return Err(Error::Data(format!(
                "{}: the {} effects vary no more (standard deviation {:.4}) than their errors do ({:.4}); there is nothing to \
                 plan for",
                data.path(&pilot.path).display(),
                raw.len(),
                total.sqrt(),
                error2.sqrt()
            )));
        }
        let known: Vec<f64> = raw.iter().map(|v| centre + keep * (v - centre)).collect();
        let note = format!(
            "{} effects of {}, of standard deviation {:.4}, brought to {:.4} without their errors ({:.4})",
            raw.len(),
            pilot.path.display(),
            total.sqrt(),
            sd(&known),
            error2.sqrt()
        );
        let replicate = (k > 1).then(|| replicate2.sqrt());
        Self { known, mixture: (0.0, 0.0), replicate, note }.checked()
    }

    fn checked(self) -> Result<Self> {
        match self.known.iter().all(|v| v.is_finite()) && self.known.iter().any(|v| *v != self.known[0]) {
            true => Ok(self),
            false => Err(Error::Data("all effects are equal, or one is not a number; there is nothing to find".into())),
        }
    }

    /// How many there are to draw from without repeats; 1,000 where a formula gives them.
    pub fn n(&self) -> usize {
        if self.known.is_empty() { 1000 } else { self.known.len() }
    }

    /// The effects of a world of `n` perturbations: a random order of the known ones, drawn again where more are asked for.
    pub fn draw(&self, n: usize, rng: &mut StreamRng) -> Vec<f64> {
        if self.known.is_empty() {
            let (active, spread) = self.mixture;
            return (0..n)
                .map(|_| {
                    let z: f64 = StandardNormal.sample(rng);
                    if rng.random::<f64>() < active { spread * z } else { 0.0 }
                })
                .collect();
        }
        if n <= self.known.len() {
            return rand::seq::index::sample(rng, self.known.len(), n).into_iter().map(|i| self.known[i]).collect();
        }
        (0..n).map(|_| self.known[rng.random_range(0..self.known.len())]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn a_pilot_gives_its_effects_without_their_errors() {
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
            let s: PlanStudy = serde_json::from_value(json!({
                "name": "t", "pilot": { "path": "p.csv", "values": values, "error": error }, "noise": { "cell": 2.0 },
                "plans": { "cells": [40], "batch": [200], "worlds": 300, "perturbations": 400 },
            }))
            .unwrap();
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
