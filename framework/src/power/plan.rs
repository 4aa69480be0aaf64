//! One way to run a screen, and all of those that a study compares.

use super::file::{Noise, PlanStudy, Prices};

/// One way to run a screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
pub struct ScreenPlan {
    /// Cells of each perturbation in each replicate.
    pub cells: usize,
    /// Replicates.
    pub replicates: usize,
    /// Perturbations measured in each round.
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

    /// In words: rounds, perturbations in each, cells and replicates.
    pub fn words(&self) -> String {
        let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        format!(
            "{} of {}, {}, {}",
            plural(self.rounds, "round"),
            self.batch,
            plural(self.cells, "cell"),
            plural(self.replicates, "replicate")
        )
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_errors_and_prices_by_hand() {
        let noise = Noise { cell: 2.0, replicate: None, control_cells: 1000.0 };
        let prices =
            Prices { per_cell: 0.5, per_perturbation: 2.0, per_replicate: 10.0, per_round: 100.0, ..Prices::default() };
        let p = ScreenPlan { cells: 50, replicates: 2, batch: 30, rounds: 3 };
        // (4 (1/50 + 1/1000) + 0.09) / 2
        assert!((p.standard_error(&noise, 0.3).powi(2) - (4.0 * 0.021 + 0.09) / 2.0).abs() < 1e-12);
        // 90 x (0.5 x 100 + 2) + 3 x (20 + 100)
        assert_eq!(p.cost(&prices), 90.0 * 52.0 + 360.0);
    }

    #[test]
    fn words_have_their_number() {
        let p = ScreenPlan { cells: 50, replicates: 2, batch: 30, rounds: 1 };
        assert_eq!(p.words(), "1 round of 30, 50 cells, 2 replicates");
    }
}
