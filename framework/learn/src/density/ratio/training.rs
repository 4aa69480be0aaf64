//! Training on all classes at once.

use super::encoder::Encoder;
use super::head::Head;
use super::standard::{Standard, fetch};
use super::trained::{ROWS, Ratio, Trained};
use ndarray::Array2;
use numerics::samples::Design;
use numerics::streams::{StreamRng, Streams};
use numerics::{Error, Result};
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

/// Which parameters training hands back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keep {
    /// Those of the epoch with the largest accuracy on its own batches.
    #[default]
    Train,
    /// Those of the epoch with the least loss on samples that are held out.
    HeldOut,
    /// The last.
    Last,
}

/// How long and how fast to train.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Learning rate of Adam.
    pub rate: f64,
    /// Passes over the samples.
    pub epochs: usize,
    /// Samples of a step; what is left at the end of an epoch below that waits for the next.
    pub batch: usize,
    /// What is handed back.
    pub keep: Keep,
    /// Share of the units of each class that is held out, with [`Keep::HeldOut`].
    pub held_out: f64,
}

/// Joint and marginal class of each pick; marginal ones are the joint ones in random order.
pub(super) fn pair(picks: &[(u32, u32)], rng: &mut StreamRng, to: &mut Vec<[u32; 2]>) {
    let mut marginal: Vec<u32> = picks.iter().map(|p| p.0).collect();
    marginal.shuffle(rng);
    to.clear();
    to.extend(picks.iter().zip(marginal).map(|(p, m)| [p.0, m]));
}

/// Trains f on all classes at once; `tick` is called with the number of epochs done.
pub fn train(
    samples: &dyn Design,
    mut encoder: Box<dyn Encoder>,
    standard: Option<Standard>,
    schedule: &Schedule,
    streams: &Streams,
    tick: &dyn Fn(usize),
) -> Result<Trained> {
    let (mut picks, mut held) = (vec![], vec![]);
    for c in 0..samples.n_classes() {
        let class = samples.class(c);
        let (units, of) = (class.n_units(), class.units());
        // Whole units are held out, and never the last of a class.
        let share = if schedule.keep == Keep::HeldOut { schedule.held_out } else { 0.0 };
        let out = ((share * units as f64).ceil() as usize).min(units - 1);
        let mut is_out = vec![false; units];
        is_out[..out].fill(true);
        is_out.shuffle(&mut streams.child("held out").index(c).rng("units"));
        for i in 0..class.len() {
            let to = if is_out[of.as_ref().map_or(i, |u| u[i])] { &mut held } else { &mut picks };
            to.push((c as u32, i as u32));
        }
    }
    let rows = schedule.batch.min(picks.len());
    if rows < 2 {
        return Err(Error::Setting(format!(
            "a batch of {rows} sample cannot tell joint from marginal pairs; use 2 or more"
        )));
    }
    encoder.begin(rows);
    let mut head = Head::new(samples.n_classes(), encoder.width(), encoder.rectified(), streams.rng("head"));
    let mut best = None;
    let (mut batch, mut classes) = (vec![], vec![]);
    let mut kept = head.w.clone();
    for epoch in 1..=schedule.epochs {
        let mut rng = streams.index(epoch).rng("batches");
        picks.shuffle(&mut rng);
        let (mut loss, mut accuracy, steps) = (0.0, 0.0, picks.len() / rows);
        for chosen in picks.chunks_exact(rows) {
            batch.clear();
            batch.extend_from_slice(chosen);
            batch.sort_unstable();
            fetch(samples, standard.as_ref(), &batch, encoder.input())?;
            encoder.forward(&mut rng);
            pair(&batch, &mut rng, &mut classes);
            let (out, mut signal) = encoder.output_and_signal();
            let found = match (out.as_slice(), signal.as_slice_mut()) {
                (Some(out), Some(signal)) => head.pass(out, &classes, signal),
                _ => return Err(Error::Breakdown("an encoder whose output is not row by row".into())),
            };
            loss += found.0 / steps as f64;
            accuracy += found.1 / steps as f64;
            encoder.step(schedule.rate);
            head.step(&classes, schedule.rate);
        }
        if !loss.is_finite() || !encoder.is_finite() || head.w.iter().any(|v| !v.is_finite()) {
            return Err(Error::Breakdown(format!(
                "the density ratio diverged in epoch {epoch} of {} (loss {loss}); lower `rate`, {}",
                schedule.epochs,
                if standard.is_some() {
                    "and look for samples far from all others"
                } else {
                    "or standardise the features"
                }
            )));
        }
        let held_out = match schedule.keep {
            Keep::HeldOut if !held.is_empty() => {
                Some(held_out_loss(samples, &*encoder, standard.as_ref(), &held, &mut head, streams)?)
            }
            _ => None,
        };
        let gain = match schedule.keep {
            Keep::Train => accuracy,
            Keep::HeldOut => -held_out.unwrap_or(0.0),
            Keep::Last => epoch as f64,
        };
        if best.as_ref().is_none_or(|b: &(f64, _)| gain > b.0) {
            // The last needs no copy.
            if schedule.keep != Keep::Last {
                encoder.keep();
                kept.copy_from_slice(&head.w);
            }
            best = Some((gain, (epoch, loss, accuracy, held_out)));
        }
        tick(epoch);
    }
    let Some((_, (epoch, loss, accuracy, held_out))) = best else {
        return Err(Error::Setting("a density ratio needs at least one epoch".into()));
    };
    if schedule.keep == Keep::Last {
        kept = head.w;
    } else {
        encoder.restore();
    }
    let head = crate::nn::batch_norm::rows(&kept, head.width).to_owned();
    Ok(Trained { ratio: Ratio { encoder, standard, head }, epoch, loss, accuracy, held_out })
}

/// Loss of what is held out, with the same marginal classes in every epoch.
fn held_out_loss(
    samples: &dyn Design,
    encoder: &dyn Encoder,
    standard: Option<&Standard>,
    held: &[(u32, u32)],
    head: &mut Head,
    streams: &Streams,
) -> Result<f64> {
    let mut classes = vec![];
    pair(held, &mut streams.child("held out").rng("marginal"), &mut classes);
    let mut sum = 0.0;
    for (picks, classes) in held.chunks(ROWS).zip(classes.chunks(ROWS)) {
        let mut x = Array2::zeros((picks.len(), samples.n_features()));
        fetch(samples, standard, picks, x.view_mut())?;
        let out = encoder.predict(x.view());
        let mut signal = vec![0.0; out.len()];
        sum += head.pass(out.as_slice().unwrap_or_default(), classes, &mut signal).0 * picks.len() as f64;
    }
    Ok(sum / held.len() as f64)
}
