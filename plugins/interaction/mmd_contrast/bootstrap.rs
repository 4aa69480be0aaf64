//! The multiplier bootstrap: signs of samples, and the terms of the contrast, observed and in each resample.

use framework::domain::Class;
use framework::prelude::*;
use learn::density::mmd::{BlockSums, OwnSums, Place, unit_sizes};
use learn::density::{MeanKernel, Points};
use rand_distr::{ChiSquared, Distribution};

/// Resamples whose signs come from one random number.
pub(super) const WORD: usize = 64;

/// One class, ready to be compared.
pub(super) struct Side {
    pub(super) points: Points<f32>,
    /// The unit of each sample; absent where every sample stands for itself.
    units: Option<Vec<usize>>,
    /// Ordered pairs of samples of different units.
    pub(super) across: f64,
    /// What a sign counts: 1/(n - 1) without units.
    pub(super) scale: f64,
    /// There are several units, so that their spread can be told.
    pub(super) repeated: bool,
    streams: Streams,
}

impl Side {
    pub(super) fn new(
        class: &Class,
        name: impl Fn() -> String,
        centre: &Array1<f64>,
        streams: Streams,
    ) -> Result<Self> {
        let n = class.len() as f64;
        if class.len() < 2 {
            return Err(Error::Data(format!(
                "`{}` has {} sample, and the contrast of kernel means needs two in each class; leave it out",
                name(),
                class.len()
            )));
        }
        let points = Points::new(class.x()?.view(), centre).map_err(|e| Error::Data(format!("`{}`: {e}", name())))?;
        let units = class.units();
        let within = units.as_ref().map_or(n, |u| unit_sizes(u).iter().map(|s| s * s).sum());
        let repeated = within < n * n;
        let (units, within) = if repeated { (units, within) } else { (None, n) };
        let across = n * n - within;
        Ok(Self { points, units, across, scale: n / across, repeated, streams })
    }

    /// Degrees of freedom: units less one, where they are of one size.
    fn freedom(&self) -> f64 {
        let n = self.points.len() as f64;
        self.across / (n * n - self.across)
    }

    /// Signs of the samples less their mean over the class, samples x draws; `from` is a multiple of [`WORD`]. Signs
    /// depend on the class's name and the number of the draw alone.
    pub(super) fn signs(&self, from: usize, draws: usize) -> Array2<f32> {
        let n = self.points.len();
        let n_units = self.units.as_ref().map_or(n, |u| u.iter().max().map_or(0, |m| m + 1));
        let mut out = Array2::<f32>::zeros((n, draws));
        for at in (0..draws).step_by(WORD) {
            let mut rng = self.streams.index((from + at) / WORD).rng("signs");
            let words: Vec<u64> = (0..n_units).map(|_| rng.random()).collect();
            let width = WORD.min(draws - at);
            let mut sum = [0.0f32; WORD];
            let mut part = out.slice_mut(framework::ndarray::s![.., at..at + width]);
            for (i, mut row) in part.outer_iter_mut().enumerate() {
                let word = words[self.units.as_ref().map_or(i, |u| u[i])];
                for (b, (v, s)) in row.iter_mut().zip(&mut sum).enumerate() {
                    *v = if word >> b & 1 == 1 { 1.0 } else { -1.0 };
                    *s += *v;
                }
            }
            let mean = sum.map(|s| s / n as f32);
            part.outer_iter_mut().for_each(|mut row| row.iter_mut().zip(&mean).for_each(|(v, m)| *v -= m));
        }
        out
    }
}

/// A U_c or M_cc', observed and in each resample.
#[derive(Clone, Default)]
pub(super) struct Term {
    observed: f64,
    resampled: Vec<f64>,
    /// Of a U_c: the variance of the class's kernel mean.
    variance: f64,
}

impl Term {
    fn within(own: OwnSums, side: &Side) -> Self {
        let n = side.points.len() as f64;
        let same: f64 = own.same.iter().sum();
        let squares = side.units.as_ref().map_or(n, |u| unit_sizes(u).iter().map(|s| s * s).sum());
        // What units share with themselves once the kernel is centred within the class: the same in every resample.
        let fixed = same - 2.0 * own.lever / n + squares * own.sum / (n * n);
        Self {
            observed: (own.sum - same) / side.across,
            resampled: own.forms.iter().map(|f| (f - fixed) * side.scale * side.scale).collect(),
            variance: (fixed / side.across).max(0.0),
        }
    }

    fn between(block: BlockSums, a: &Side, b: &Side) -> Self {
        Self {
            observed: block.sum / (a.points.len() as f64 * b.points.len() as f64),
            resampled: block.forms.iter().map(|f| f * a.scale * b.scale).collect(),
            variance: 0.0,
        }
    }

    pub(super) fn add(&mut self, weight: f64, term: &Term) {
        self.observed += weight * term.observed;
        self.resampled.iter_mut().zip(&term.resampled).for_each(|(a, t)| *a += weight * t);
    }
}

/// A class with its signs in some resamples.
pub(super) struct Signed<'a> {
    pub(super) side: &'a Side,
    pub(super) signs: Array2<f32>,
}

impl<'a> Signed<'a> {
    pub(super) fn new(side: &'a Side, from: usize, draws: usize) -> Self {
        Self { side, signs: side.signs(from, draws) }
    }

    fn within(&self, at: &Place, kernel: MeanKernel) -> Result<Term> {
        let side = self.side;
        Ok(Term::within(at.own(kernel, &side.points, side.units.as_deref(), &self.signs)?, side))
    }

    fn with(&self, other: &Signed, at: &Place, kernel: MeanKernel) -> Result<Term> {
        let (a, b) = (&self.side.points, &other.side.points);
        Ok(Term::between(at.block(kernel, a, b, &self.signs, &other.signs)?, self.side, other.side))
    }
}

/// What a class that several pairs share brings to each of them: U_c, and M_c0 of a single.
pub(super) struct Shared {
    within: Term,
    control: Option<Term>,
}

impl Shared {
    pub(super) fn new(at: &Place, kernel: MeanKernel, class: &Signed, control: Option<&Signed>) -> Result<Self> {
        let control = control.map(|c| class.with(c, at, kernel)).transpose()?;
        Ok(Self { within: class.within(at, kernel)?, control })
    }
}

/// A pair's answer so far.
#[derive(Clone, Default)]
pub(super) struct Tally {
    pub(super) score: f64,
    /// Squared distances of first, second and both from control.
    pub(super) effects: [f64; 3],
    pub(super) reached: usize,
    pub(super) sum: f64,
    pub(super) squares: f64,
    pub(super) repeated: bool,
}

impl Tally {
    /// Joins some resamples of control, first, second, both.
    pub(super) fn add(
        &mut self,
        at: &Place,
        kernel: MeanKernel,
        four: [&Signed; 4],
        [zero, i, j]: [&Shared; 3],
        from: usize,
    ) -> Result<()> {
        let [control, first, second, both] = four;
        let within = both.within(at, kernel)?;
        let to_control = both.with(control, at, kernel)?;
        let mut t = Term { resampled: vec![0.0; control.signs.ncols()], ..Term::default() };
        for own in [&zero.within, &i.within, &j.within, &within] {
            t.add(0.25, own);
        }
        t.add(0.5, &to_control);
        t.add(0.5, &first.with(second, at, kernel)?);
        t.add(-0.5, &both.with(first, at, kernel)?);
        t.add(-0.5, &both.with(second, at, kernel)?);
        for single in [i, j] {
            if let Some(m) = &single.control {
                t.add(-0.5, m);
            }
        }
        let effect = |own: &Term, cross: f64| own.observed + zero.within.observed - 2.0 * cross;
        let of = |s: &Shared| effect(&s.within, s.control.as_ref().map_or(0.0, |m| m.observed));
        self.score = t.observed;
        self.effects = [of(i), of(j), effect(&within, to_control.observed)];
        self.repeated = four.iter().all(|c| c.side.repeated);
        let variances = [&zero.within, &i.within, &j.within, &within].map(|t| t.variance);
        widen(&mut t.resampled, from, variances, four);
        // Rounding must not break ties: the sums are of single precision, whose error falls with the classes' sizes.
        let size = |c: &Signed| c.side.points.len() as f64;
        let kernel_size = [&zero.within, &i.within, &j.within, &within].map(|t| t.observed.abs());
        let slack: f64 = four.iter().zip(kernel_size).map(|(c, k)| 0.25e-6 * k / size(c)).sum();
        self.reached += t.resampled.iter().filter(|v| **v >= t.observed - slack).count();
        self.sum += t.resampled.iter().sum::<f64>();
        self.squares += t.resampled.iter().map(|v| v * v).sum::<f64>();
        Ok(())
    }
}

/// Multiplies each resample by its own ν/χ²_ν, ν the degrees of freedom of a sum of class means (Welch 1938,
/// Satterthwaite 1946).
pub(super) fn widen(resampled: &mut [f64], from: usize, variances: [f64; 4], four: [&Signed; 4]) {
    let (sum, squares) = variances
        .iter()
        .zip(four)
        .fold((0.0, 0.0), |(sum, squares), (v, class)| (sum + v, squares + v * v / class.side.freedom()));
    let freedom: f64 = sum * sum / squares;
    let Ok(law) = ChiSquared::new(freedom) else { return };
    for (at, part) in resampled.chunks_mut(WORD).enumerate() {
        let mut rng = four[3].side.streams.index(from / WORD + at).rng("scale");
        part.iter_mut().for_each(|v| *v *= freedom / law.sample(&mut rng).max(f64::MIN_POSITIVE));
    }
}
