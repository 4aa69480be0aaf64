//! What a device is, and what none accepts.

use ndarray::ArrayView2;

/// What can go wrong.
#[derive(thiserror::Error, Debug)]
pub enum Error {
    /// The arguments are unusable: shapes, sizes or values that are not finite.
    #[error("{0}")]
    Input(String),
    /// The device failed while working; the same call on [`Cpu`] may succeed.
    #[error("the device {device} failed ({cause}); the CPU can do this instead")]
    Failed { device: String, cause: String },
}

/// Shorthand used throughout.
pub type Result<T> = std::result::Result<T, Error>;

/// Row numbers in the order in which they were picked, each with its score at that moment.
pub type Picks = Vec<(usize, f32)>;

/// The function of a row a and a row b that [`Device::reduce`] runs over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tile {
    /// a'b.
    Product,
    /// |a - b|², from direct differences: exactly 0 between equal rows.
    SqDistance,
    /// exp(-r² / (2 length²)), r = |a - b|.
    Rbf { length: f32 },
    /// (1 + q + q²/3) exp(-q), q = sqrt(5) r / length.
    Matern52 { length: f32 },
}

/// Per row of a, over all rows of b.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reduced {
    /// Smallest value.
    pub min: Vec<f32>,
    /// Where it is; the first of equals.
    pub argmin: Vec<usize>,
    /// Largest value.
    pub max: Vec<f32>,
    /// Where it is; the first of equals.
    pub argmax: Vec<usize>,
    /// Sum of the values.
    pub sum: Vec<f32>,
}

/// What [`Device::quadratic_forms`] gives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Forms {
    /// Σ_ab left[a, c] k(x_a, y_b) right[b, c] for each column c of the factors.
    pub forms: Vec<f64>,
    /// Σ_b k(x_a, y_b) of each row of x.
    pub row_sums: Vec<f64>,
}

/// Reductions over pairs of rows, and greedy selection from a linear kernel.
///
/// `rows` is `n x d`, `centres` and `train` are `m x d` and may have no rows. `batch` is at most `n`. Values that
/// are not finite are an error. Fewer than `batch` picks come back when a rule cannot continue.
pub trait Device: Send + Sync {
    /// What runs, for messages: `cpu`, or the runtime and the adapter's own name.
    fn name(&self) -> String;

    /// Minimum, maximum (with their places) and sum of the tile function, per row of `a` (`n x d`) over the rows
    /// of `b` (`m x d`, at least one). O(n m d) time, O(n) memory beside the inputs.
    fn reduce(&self, a: ArrayView2<f32>, b: ArrayView2<f32>, tile: Tile) -> Result<Reduced>;

    /// Quadratic forms of the matrix of tile values of the rows of `x` (`n x d`) and of `y` (`m x d`, at least
    /// one), one for each column of `left` (`n x c`) and `right` (`m x c`), and its row sums. O(n m (d + c)) time.
    fn quadratic_forms(
        &self,
        x: ArrayView2<f32>,
        y: ArrayView2<f32>,
        tile: Tile,
        left: ArrayView2<f32>,
        right: ArrayView2<f32>,
    ) -> Result<Forms>;

    /// Farthest-first: each pick is the row farthest from its nearest centre or earlier pick; score = that
    /// squared distance. Without centres the first pick is the row of largest squared norm (its score). Stops
    /// when all distances are 0. O((m + batch) n d).
    fn max_dist(&self, rows: ArrayView2<f32>, centres: ArrayView2<f32>, batch: usize) -> Result<Picks>;

    /// Largest-cluster farthest-first (LCMD): every row belongs to its nearest centre (a new one takes over only
    /// when strictly nearer); picked is the farthest row of the cluster with the largest sum of squared
    /// distances; score = its squared distance. First pick and end as in `max_dist`. O((m + batch) n d).
    fn lcmd(&self, rows: ArrayView2<f32>, centres: ArrayView2<f32>, batch: usize) -> Result<Picks>;

    /// Largest conditional variance given the centres and earlier picks, by pivoted Cholesky of X X' + sigma2 I;
    /// score = that variance, noise included. Stops when none is positive.
    /// O((m + batch) n (d + m + batch)) time, O(n (m + batch)) memory.
    fn max_det(&self, rows: ArrayView2<f32>, centres: ArrayView2<f32>, sigma2: f32, batch: usize) -> Result<Picks>;

    /// BAIT, forward only: argmax of N_x / (D_x + sigma2 + 1e-8), D_x the posterior variance of x and N_x the sum
    /// of its squared posterior covariances with all of `rows` and `train`; score = that ratio.
    /// `condition_on_train` conditions on the rows of `train` first, in their order.
    /// O((m + batch) (n d + d²) + n d²).
    fn bait(
        &self,
        rows: ArrayView2<f32>,
        train: ArrayView2<f32>,
        sigma2: f32,
        batch: usize,
        condition_on_train: bool,
    ) -> Result<Picks>;

    /// What this device can do at best, measured now (takes a moment); `None` where it is not measured.
    fn ceilings(&self) -> Result<Option<Ceilings>> {
        Ok(None)
    }

    /// Seconds of the latest call between the arrival of its inputs on the device and that of its answer here;
    /// `None` where there is no transfer to leave out.
    fn last_seconds(&self) -> Option<f64> {
        None
    }
}

/// Measured limits of a device, for benches.
#[derive(Clone, Copy, Debug)]
pub struct Ceilings {
    /// Bytes a second when a large array is only read.
    pub read: f64,
    /// Bytes a second, read and written together, when a large array is copied.
    pub copy: f64,
    /// `f32` operations a second in independent multiply-adds (two each).
    pub multiply_add: f64,
    /// `f32` operations a second in subtract, multiply, add (three each), as squared distances need them.
    pub difference_square: f64,
}

/// Refuses what no device accepts.
pub(crate) fn check(rows: ArrayView2<f32>, others: ArrayView2<f32>, others_named: &str, batch: usize) -> Result<()> {
    let (n, d) = rows.dim();
    if n == 0 || d == 0 {
        return Err(Error::Input(format!("the rows are {n} x {d}: at least one row and one feature are needed")));
    }
    if others.ncols() != d && others.nrows() > 0 {
        return Err(Error::Input(format!("{others_named} have {} features, the rows {d}", others.ncols())));
    }
    if batch > n {
        return Err(Error::Input(format!("a batch of {batch} was asked from {n} rows: ask for at most {n}")));
    }
    for (what, block) in [("rows", rows), (others_named, others)] {
        if let Some(at) = first_not_finite(block) {
            let (row, column) = (at / d, at % d);
            let value = block[[row, column]];
            return Err(Error::Input(format!(
                "{what}: row {row}, feature {column} is {value}: replace missing and infinite values first"
            )));
        }
    }
    Ok(())
}

/// Refuses factors that do not fit the rows.
pub(crate) fn check_factors(
    x: ArrayView2<f32>,
    y: ArrayView2<f32>,
    tile: Tile,
    left: ArrayView2<f32>,
    right: ArrayView2<f32>,
) -> Result<()> {
    check(x, y, "y", 0)?;
    check_tile(tile)?;
    let fits = y.nrows() > 0
        && left.nrows() == x.nrows()
        && right.nrows() == y.nrows()
        && left.ncols() == right.ncols()
        && first_not_finite(left).is_none()
        && first_not_finite(right).is_none();
    if fits {
        return Ok(());
    }
    Err(Error::Input(format!(
        "factors of {} x {} and {} x {} for {} and {} rows: they need one finite row for each, and equal columns",
        left.nrows(),
        left.ncols(),
        right.nrows(),
        right.ncols(),
        x.nrows(),
        y.nrows()
    )))
}

pub(crate) fn check_noise(sigma2: f32) -> Result<()> {
    if sigma2.is_finite() && sigma2 >= 0.0 {
        return Ok(());
    }
    Err(Error::Input(format!("the noise variance is {sigma2}: give a finite number, 0 or more")))
}

pub(crate) fn check_tile(tile: Tile) -> Result<()> {
    match tile {
        Tile::Rbf { length } | Tile::Matern52 { length } if !(length.is_finite() && length > 0.0) => {
            Err(Error::Input(format!("the length scale is {length}: give a finite number above 0")))
        }
        _ => Ok(()),
    }
}

fn first_not_finite(block: ArrayView2<f32>) -> Option<usize> {
    // A whole slice is scanned without branches; the place is looked for only when something is wrong.
    let bad = |x: &f32| !x.is_finite();
    match block.as_slice() {
        Some(all) if !all.chunks(4096).any(|part| part.iter().fold(false, |any, x| any | bad(x))) => None,
        _ => block.iter().position(bad),
    }
}

/// The CPU's and the GPU's last step: scores that overflowed are an error, never a result.
pub(crate) fn checked(picks: Picks) -> Result<Picks> {
    match picks.iter().position(|(_, score)| !score.is_finite()) {
        None => Ok(picks),
        Some(at) => Err(Error::Input(format!(
            "pick {at} (row {}) has the score {}: the features are too large for f32, scale them down",
            picks[at].0, picks[at].1
        ))),
    }
}
