//! Counts: how many each output has, and what the log-normalised value of a cell is expected to be.

use super::LatentDag;
use super::world::normal;
use framework::prelude::*;
use learn::simulate::{CountLaw, SHARES};
use std::sync::{Arc, Mutex};

/// The distribution of each output's counts.
#[derive(Debug)]
pub(super) struct CountModel {
    laws: Arc<Vec<CountLaw>>,
    /// The law of each output.
    class: Vec<usize>,
    pub(super) alpha: Vec<f64>,
    /// ln(share) of each output in control.
    pub(super) base: Vec<f64>,
    /// Mean, variance and ln P(0) of each output in control.
    pub(super) control: Vec<[f64; 3]>,
    /// How the state of a cell moves each output: outputs x STATES, rows of length `cell_state_sd`.
    pub(super) state: Vec<f32>,
}

/// How many different dispersions there are.
const CLASSES: usize = 8;
/// Dimensions of the state of a cell.
pub(super) const STATES: usize = 8;
impl CountModel {
    pub(super) fn new(s: &LatentDag, loadings: &Array2<f64>, streams: &Streams) -> Self {
        let mut rng = streams.rng("expression");
        let raw: Vec<f64> = (0..s.outputs).map(|_| (s.expression_sd * normal(&mut rng)).exp()).collect();
        let total: f64 = raw.iter().sum();
        // Room for changes below the largest share that the tables reach.
        let most = SHARES.1 / 4.0;
        let base = raw.iter().map(|v| (s.measured_share * v / total).clamp(SHARES.0, most).ln()).collect::<Vec<_>>();
        let mut rng = streams.rng("dispersion");
        let n = if s.dispersion_sd > 0.0 { CLASSES } else { 1 };
        let of_class: Vec<f64> = (0..n)
            .map(|c| framework::numerics::stats::normal_quantile((c as f64 + 0.5) / n as f64))
            .map(|z| s.dispersion * (s.dispersion_sd * z).exp())
            .collect();
        let class: Vec<usize> = (0..s.outputs).map(|_| rng.random_range(0..n)).collect();
        let laws = laws_of(s, &of_class);
        let control = base.iter().zip(&class).map(|(&b, &c)| triple(&laws[c], b)).collect();
        // Every program has a direction among the states, so that outputs of one program vary together.
        let mut rng = streams.rng("cell state");
        let directions = Array2::from_shape_simple_fn((s.programs, STATES), || normal(&mut rng));
        let mut state = loadings.dot(&directions);
        for mut row in state.outer_iter_mut() {
            let length = row.dot(&row).sqrt();
            row *= if length > 0.0 { s.cell_state_sd / length } else { 0.0 };
        }
        let alpha = class.iter().map(|&c| of_class[c]).collect();
        Self { laws, class, alpha, base, control, state: state.iter().map(|v| *v as f32).collect() }
    }

    /// Mean, variance and ln P(0) of an output whose ln(share) differs by `change` from control.
    pub(super) fn at(&self, output: usize, change: f64) -> [f64; 3] {
        triple(&self.laws[self.class[output]], self.base[output] + change)
    }
}

/// Settings, and the laws that follow from them.
type Tabulated = ([u64; 6], Arc<Vec<CountLaw>>);

/// The laws of the dispersions. Worlds of one scenario differ in seed and not in these, so they are tabulated once.
fn laws_of(s: &LatentDag, alpha: &[f64]) -> Arc<Vec<CountLaw>> {
    static KNOWN: Mutex<Vec<Tabulated>> = Mutex::new(Vec::new());
    let key = [s.dispersion, s.dispersion_sd, s.library, s.library_sd, s.cell_state_sd, s.target].map(f64::to_bits);
    if let Some(found) = KNOWN.lock().unwrap_or_else(|e| e.into_inner()).iter().find(|t| t.0 == key) {
        return found.1.clone();
    }
    let law = |a: &f64| CountLaw::new(*a, s.library, s.library_sd, s.cell_state_sd, s.target);
    let made: Arc<Vec<CountLaw>> = Arc::new(alpha.iter().map(law).collect());
    let mut known = KNOWN.lock().unwrap_or_else(|e| e.into_inner());
    if known.len() >= 8 {
        known.remove(0);
    }
    known.push((key, made.clone()));
    made
}

fn triple(law: &CountLaw, ln_share: f64) -> [f64; 3] {
    let m = law.moments(ln_share);
    [m.mean, m.variance, m.ln_zero]
}
