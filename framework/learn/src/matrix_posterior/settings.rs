//! What to fit, how, and to which entries.

use serde::{Deserialize, Serialize};

/// How the matrix is made of its factors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Factorisation {
    /// Symmetric: U Vᵀ with every entry put in as (i, j) and as (j, i), and read as the mean of the two.
    #[default]
    Mirror,
    /// Symmetric: U diag(s) Uᵀ, every entry put in once.
    Diag,
    /// Symmetric without negative eigenvalues: U Uᵀ, every entry put in once. For matrices known to be of that kind.
    Gram,
    /// U Vᵀ between two different sets.
    Rectangular,
}

impl Factorisation {
    /// Made of one side only, scaled by s; [`Factorisation::Gram`] has s = 1 once and for all.
    pub(super) fn one_sided(self) -> bool {
        matches!(self, Factorisation::Diag | Factorisation::Gram)
    }
}

/// How the bound is raised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inference {
    /// Coordinate ascent, a row at a time, until a sweep gains less than the tolerance.
    #[default]
    Cavi,
    /// Adam, a fixed number of steps.
    Adam,
}

/// Where the means start; every sd starts at 0.1. All means 0 would be a saddle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Init {
    /// Normal with sd 0.1, or 0.5 where three factors are multiplied, which fall back to 0 from less.
    #[default]
    Small,
    /// Uniform between -2 and 2, as probabilistic programming libraries do.
    Uniform,
}

/// What to fit and how.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatrixSettings {
    /// Rank m, from 1 to the number of rows and columns, at most 64.
    pub rank: usize,
    /// How the matrix is made of its factors.
    pub form: Factorisation,
    /// How the bound is raised.
    pub inference: Inference,
    /// Steps of Adam, or the most sweeps of coordinate ascent.
    pub steps: usize,
    /// Step size of Adam.
    pub rate: f64,
    /// Coordinate ascent ends when a sweep gains less than this, in nats.
    pub tolerance: f64,
    /// Where the means start.
    pub init: Init,
    /// Standard deviation σ of the noise of an entry.
    pub noise: f64,
    /// Whether σ is fitted: the point of largest bound under ln σ ~ N(ln `noise`, 1).
    pub learn_noise: bool,
    /// Whether coordinate ascent with a given noise first comes down from the size of the entries: see [`sweeps`].
    pub anneal: bool,
    /// Starts, of which the one of largest bound is kept.
    pub restarts: usize,
}

impl Default for MatrixSettings {
    fn default() -> Self {
        Self {
            rank: 5,
            form: Factorisation::Mirror,
            inference: Inference::Cavi,
            steps: 500,
            rate: 0.01,
            tolerance: 1e-3,
            init: Init::Small,
            noise: 0.1,
            learn_noise: false,
            anneal: true,
            restarts: 1,
        }
    }
}

/// The known entries: row, column, value. Of a symmetric matrix either triangle will do; the same entry may stand
/// several times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Entries {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// Row, column and value of each.
    pub list: Vec<(u32, u32, f64)>,
}
