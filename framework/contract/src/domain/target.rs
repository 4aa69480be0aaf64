//! What the screen looks for.

use serde::{Deserialize, Serialize};

/// Which readouts are hits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Large in absolute value (GeneDisco).
    #[default]
    Abs,
    /// Large.
    Max,
    /// Small (the strongest growth defects of a pair screen).
    Min,
}

impl Direction {
    /// How much one readout or mean is wanted: larger is better.
    pub fn merit(self, y: f64) -> f64 {
        match self {
            Direction::Abs => y.abs(),
            Direction::Max => y,
            Direction::Min => -y,
        }
    }
}

/// The aim of a screen: a direction and how many of the pool count as hits. A profile is judged by its
/// Euclidean norm.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Target {
    /// Which end of the readout is wanted.
    pub direction: Direction,
    /// Share of the non-test pool that counts as hits; the number is rounded down, at least 1.
    pub hit_fraction: f64,
    /// Hits are instead all perturbations whose merit (|y|, y or -y by `direction`; the norm of a profile) is at least
    /// this.
    pub hit_threshold: Option<f64>,
    /// Hits are instead this many of highest merit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hit_count: Option<usize>,
}

impl Default for Target {
    fn default() -> Self {
        Self { direction: Direction::Abs, hit_fraction: 0.05, hit_threshold: None, hit_count: None }
    }
}

impl Target {
    /// How much a measured readout is wanted: larger is better.
    pub fn merit(&self, readout: &[f64]) -> f64 {
        match readout {
            [y] => self.direction.merit(*y),
            many => {
                let norm = many.iter().map(|v| v * v).sum::<f64>().sqrt();
                if self.direction == Direction::Min { -norm } else { norm }
            }
        }
    }

    /// Number of hits among `n`: `hit_count` or floor(hit_fraction x n), at least 1 of a pool that is not empty.
    pub fn n_hits(&self, n: usize) -> usize {
        if let Some(count) = self.hit_count {
            return count.max(1).min(n);
        }
        // The product of a decimal fraction and an integer may fall just below a whole number.
        ((self.hit_fraction * n as f64 + 1e-9).floor() as usize).max(1).min(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merit_follows_the_direction() {
        let t = |direction| Target { direction, ..Target::default() };
        assert_eq!(t(Direction::Abs).merit(&[-2.0]), 2.0);
        assert_eq!(t(Direction::Max).merit(&[-2.0]), -2.0);
        assert_eq!(t(Direction::Min).merit(&[-2.0]), 2.0);
        assert_eq!(t(Direction::Max).merit(&[3.0, -4.0]), 5.0);
        assert_eq!(t(Direction::Max).n_hits(6048), 302);
        assert_eq!(t(Direction::Max).n_hits(20), 1);
        assert_eq!(Target { hit_fraction: 0.3, ..t(Direction::Max) }.n_hits(10), 3);
        let counted = Target { hit_count: Some(7), ..t(Direction::Max) };
        assert_eq!((counted.n_hits(10), counted.n_hits(5)), (7, 5));
    }
}
