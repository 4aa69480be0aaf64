//! Additivity of kernel means, by the weighted contrast of four classes: do two perturbations act on different parts
//! of the population?
//!
//! With weights w = ½ for control and both, -½ for the singles, T = Σ_c w_c² U_c + Σ_{c≠c'} w_c w_c' M_cc', U_c the
//! mean of the kernel over different samples of a class and M_cc' over two classes: without bias the squared distance
//! between the kernel means of ½(p_ij + p_0) and ½(p_i + p_j) (disjointedness, Xu, Jain et al. 2024, section 3.2,
//! there by resampling to equal sizes). It may be negative. With the linear kernel it is a quarter of `additivity`'s
//! debiased score. p by multiplier bootstrap: one sign for each sample, or each guide or well where these are told
//! apart, centred within its class, T_b = g_b Σ w_c w_c' (n_c n_c' / N_c N_c') e_c' K_cc' e_c' less the terms within
//! units, N_c the pairs of samples of different units (n(n - 1) without units). Centring the signs centres the kernel
//! within classes. g_b = ν/χ²_ν with Welch's degrees of freedom ν of Σ w_c p_c stands for the spread being estimated,
//! as in a t test: with it the level holds in classes of ten. Cost: a pair pays 5 blocks of n² (2d + 2 resamples)
//! operations; control, singles and their blocks are shared by all pairs, and no block is stored.

use framework::prelude::*;
use learn::density::mmd::{BlockSums, OwnSums, Place, unit_sizes};
use learn::density::{Bandwidth, MeanKernel, Points, Shape};
use rand_distr::{ChiSquared, Distribution};
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Scores a pair by the distance between the kernel means of its two mixtures, without bias for any class sizes. Where
/// all samples are alike the score is 0 and p is 1. Where a class has a single guide or well, its samples stand for
/// themselves in the score, and there is no p value.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MmdContrast {
    /// `"rbf"` (default), `"matern52"`, or `"linear"`.
    #[serde(default)]
    pub kernel: Shape,
    /// Length scale of the kernel: `"global"` (default), the median distance between samples of control and singles (of
    /// at most 1,000), one for all pairs so that scores can be compared; `"pair"`, the same over each pair's own four
    /// classes, which shares nothing between pairs; or a number in units of the features.
    #[serde(default)]
    pub bandwidth: Bandwidth,
    /// Bootstrap resamples for the p value; the smallest p is 1/(resamples + 1). 0: no p value. Default 999.
    #[serde(default = "resamples")]
    pub resamples: usize,
}

fn resamples() -> usize {
    999
}

impl Default for MmdContrast {
    fn default() -> Self {
        Self { kernel: Shape::default(), bandwidth: Bandwidth::default(), resamples: resamples() }
    }
}

/// Signs of the shared classes that are held at once (of 4 bytes).
const TILE_NUMBERS: usize = 1 << 26;
/// Resamples whose signs come from one random number.
const WORD: usize = 64;

/// One class, ready to be compared.
struct Side {
    points: Points<f32>,
    /// The unit of each sample; absent where every sample stands for itself.
    units: Option<Vec<usize>>,
    /// Ordered pairs of samples of different units.
    across: f64,
    /// What a sign counts: 1/(n - 1) without units.
    scale: f64,
    /// There are several units, so that their spread can be told.
    repeated: bool,
    streams: Streams,
}

impl Side {
    fn new(class: &Class, name: impl Fn() -> String, centre: &Array1<f64>, streams: Streams) -> Result<Self> {
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
    fn signs(&self, from: usize, draws: usize) -> Array2<f32> {
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
struct Term {
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

    fn add(&mut self, weight: f64, term: &Term) {
        self.observed += weight * term.observed;
        self.resampled.iter_mut().zip(&term.resampled).for_each(|(a, t)| *a += weight * t);
    }
}

/// A class with its signs in some resamples.
struct Signed<'a> {
    side: &'a Side,
    signs: Array2<f32>,
}

impl<'a> Signed<'a> {
    fn new(side: &'a Side, from: usize, draws: usize) -> Self {
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
struct Shared {
    within: Term,
    control: Option<Term>,
}

impl Shared {
    fn new(at: &Place, kernel: MeanKernel, class: &Signed, control: Option<&Signed>) -> Result<Self> {
        let control = control.map(|c| class.with(c, at, kernel)).transpose()?;
        Ok(Self { within: class.within(at, kernel)?, control })
    }
}

/// A pair's answer so far.
#[derive(Clone, Default)]
struct Tally {
    score: f64,
    /// Squared distances of first, second and both from control.
    effects: [f64; 3],
    reached: usize,
    sum: f64,
    squares: f64,
    repeated: bool,
}

#[typetag::serde(name = "mmd_contrast")]
impl InteractionTest for MmdContrast {
    fn test(&self, cx: &TestContext) -> Result<Vec<TestOutcome>> {
        let samples = cx.samples;
        let streams = cx.streams.child("mmd_contrast");
        let pairs = samples.pairs.len();
        let lengths = match self.kernel {
            Shape::Linear => vec![1.0; pairs],
            _ => self.bandwidth.lengths(samples, &streams)?,
        };
        let centre = mean(&samples.control)?;
        let shared = 1 + samples.singles.len();
        let mut used = vec![false; shared];
        (0..pairs).flat_map(|p| samples.four(p)).filter(|c| *c < shared).for_each(|c| used[c] = true);
        let side = |c: usize| {
            let streams = match c {
                0 => streams.child("control"),
                _ => streams.child("single").child(&samples.name(c)),
            };
            Side::new(samples.class(c), || samples.name(c), &centre, streams)
        };
        let sides: Vec<Option<Side>> =
            (0..shared).into_par_iter().map(|c| used[c].then(|| side(c)).transpose()).collect::<Result<_>>()?;
        let held: usize = sides.iter().flatten().map(|s| s.points.len()).sum();
        let tile = (TILE_NUMBERS / held.max(1) / WORD).max(1) * WORD;
        let place = Place::new(cx.device());
        let mut tallies = vec![Tally::default(); pairs];
        let (done, steps) = (AtomicUsize::new(0), pairs * self.resamples.div_ceil(tile).max(1));
        for from in (0..self.resamples.max(1)).step_by(tile) {
            let draws = tile.min(self.resamples - from.min(self.resamples));
            let signed: Vec<Option<Signed>> =
                sides.par_iter().map(|s| s.as_ref().map(|s| Signed::new(s, from, draws))).collect();
            let Some(control) = signed.first().and_then(Option::as_ref) else { return Ok(vec![]) };
            let common = |c: usize, kernel: MeanKernel| {
                let control = (c > 0).then_some(control);
                signed[c].as_ref().map(|class| Shared::new(&place, kernel, class, control)).transpose()
            };
            // One length, one kernel: what control and singles bring is the same for all pairs.
            let one = match self.bandwidth {
                Bandwidth::Pair => None,
                _ => {
                    let kernel = MeanKernel::new(self.kernel, lengths[0])?;
                    Some((0..shared).into_par_iter().map(|c| common(c, kernel)).collect::<Result<Vec<_>>>()?)
                }
            };
            tallies.par_iter_mut().enumerate().try_for_each(|(p, tally)| {
                let kernel = MeanKernel::new(self.kernel, lengths[p])?;
                let [_, i, j, ij] = samples.four(p);
                let pair = &samples.pairs[p];
                let own = streams.child("pair").child(&samples.genes[pair.first]).child(&samples.genes[pair.second]);
                let both = Side::new(samples.class(ij), || samples.label(p), &centre, own)?;
                let both = Signed::new(&both, from, draws);
                let (Some(first), Some(second)) = (&signed[i], &signed[j]) else { return Ok(()) };
                let own;
                let [a, b, c] = match &one {
                    Some(all) => [0, i, j].map(|c| all[c].as_ref()),
                    None => {
                        own = [common(0, kernel)?, common(i, kernel)?, common(j, kernel)?];
                        own.each_ref().map(Option::as_ref)
                    }
                };
                if let (Some(zero), Some(a), Some(b)) = (a, b, c) {
                    tally.add(&place, kernel, [control, first, second, &both], [zero, a, b], from)?;
                }
                cx.tick(done.fetch_add(1, Ordering::Relaxed) + 1, steps);
                Ok::<(), Error>(())
            })?;
        }
        Ok((0..pairs).map(|p| self.outcome(&tallies[p], lengths[p], samples.sizes(p))).collect())
    }

    fn null(&self) -> Null {
        Null::Additive
    }

    fn min_samples(&self) -> usize {
        2
    }
}

impl Tally {
    /// Joins some resamples of control, first, second, both.
    fn add(
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
fn widen(resampled: &mut [f64], from: usize, variances: [f64; 4], four: [&Signed; 4]) {
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

impl MmdContrast {
    fn outcome(&self, t: &Tally, length: f64, n: [usize; 4]) -> TestOutcome {
        let draws = self.resamples as f64;
        let tested = t.repeated && self.resamples > 0;
        let sd = ((t.squares - t.sum * t.sum / draws) / (draws - 1.0)).max(0.0).sqrt();
        let z = match (tested, sd > 0.0) {
            (true, true) => t.score / sd,
            (true, false) => 0.0,
            _ => f64::NAN,
        };
        let mut diagnostics = vec![("z".to_string(), z)];
        if self.kernel != Shape::Linear {
            diagnostics.push(("bandwidth".into(), length));
        }
        for (name, value) in ["mmd2_first", "mmd2_second", "mmd2_both"].into_iter().zip(t.effects) {
            diagnostics.push((name.into(), value));
        }
        let p_value = tested.then(|| (1 + t.reached) as f64 / (draws + 1.0));
        TestOutcome { score: t.score, p_value, n, diagnostics }
    }
}

/// One value a feature.
fn mean(class: &Class) -> Result<Array1<f64>> {
    let x = class.x()?;
    let mut sum = Array1::<f64>::zeros(x.ncols());
    for row in x.outer_iter() {
        sum.iter_mut().zip(&row).for_each(|(s, v)| *s += f64::from(*v));
    }
    Ok(sum / x.nrows().max(1) as f64)
}

framework::register!(
    InteractionTest,
    MmdContrast,
    "mmd_contrast",
    "distance of kernel means between the mixtures of pair with control and of the two singles"
);

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::Mixture;
    use rand_distr::{Cauchy, Normal};

    fn outcomes(t: &MmdContrast, s: &Samples, seed: usize) -> Vec<TestOutcome> {
        t.test(&TestContext::new(s, &Streams::new(seed as u64))).unwrap()
    }

    fn get(o: &TestOutcome, name: &str) -> f64 {
        o.diagnostics.iter().find(|d| d.0 == name).unwrap().1
    }

    fn k(shape: Shape, length: f64, a: ArrayView1<f64>, b: ArrayView1<f64>) -> f64 {
        let r2: f64 = a.iter().zip(&b).map(|(a, b)| (a - b).powi(2)).sum();
        let q = (5.0 * r2).sqrt() / length;
        match shape {
            Shape::Linear => a.dot(&b),
            Shape::Rbf => (-r2 / 2.0 / length.powi(2)).exp(),
            Shape::Matern52 => (1.0 + q + q * q / 3.0) * (-q).exp(),
        }
    }

    const WEIGHT: [f64; 4] = [0.5, -0.5, -0.5, 0.5];

    /// The contrast by its definition, and its resamples with the kernel centred within classes.
    fn by_loops(t: &MmdContrast, s: &Samples, length: f64, seed: usize) -> (f64, Vec<f64>) {
        // The linear kernel has its origin at the mean of control, which matters where wells differ in size.
        let origin = mean(&s.control).unwrap();
        let x = s.classes(0).map(|c| c.x().unwrap().mapv(f64::from) - &origin);
        let unit = s.classes(0).map(|c| c.units().unwrap_or_else(|| (0..c.len()).collect()));
        let streams = Streams::new(seed as u64).child("mmd_contrast");
        let streams = [
            streams.child("control"),
            streams.child("single").child("A"),
            streams.child("single").child("B"),
            streams.child("pair").child("A").child("B"),
        ];
        let centre = Array1::zeros(x[0].ncols());
        let sides: Vec<Side> =
            (0..4).map(|c| Side::new(s.classes(0)[c], String::new, &centre, streams[c].clone()).unwrap()).collect();
        let signs: Vec<Array2<f32>> = sides.iter().map(|s| s.signs(0, t.resamples)).collect();
        let (mut score, mut resampled, mut variances) = (0.0, vec![0.0; t.resamples], [0.0; 4]);
        for a in 0..4 {
            for b in 0..4 {
                let (na, nb) = (x[a].nrows(), x[b].nrows());
                let mut gram = Array2::from_shape_fn((na, nb), |(i, j)| k(t.kernel, length, x[a].row(i), x[b].row(j)));
                let differs = |i: usize, j: usize| a != b || unit[a][i] != unit[b][j];
                let cells = || (0..na).flat_map(|i| (0..nb).map(move |j| (i, j))).filter(|(i, j)| differs(*i, *j));
                let sum: f64 = cells().map(|at| gram[at]).sum();
                score += WEIGHT[a] * WEIGHT[b] * sum / cells().count() as f64;
                let rows = gram.mean_axis(Axis(1)).unwrap();
                let columns = gram.mean_axis(Axis(0)).unwrap();
                let all = gram.mean().unwrap();
                gram.indexed_iter_mut().for_each(|((i, j), v)| *v += all - rows[i] - columns[j]);
                let scale = WEIGHT[a] * WEIGHT[b] * sides[a].scale * sides[b].scale;
                if a == b {
                    let within: f64 = gram.indexed_iter().filter(|((i, j), _)| !differs(*i, *j)).map(|(_, v)| v).sum();
                    variances[a] = within / sides[a].across;
                }
                // Differences of centred signs are those of signs: with the first as ±1, all are.
                let sign = |c: usize, i: usize, d: usize| {
                    let column = signs[c].column(d);
                    let high = column.iter().fold(f32::MIN, |m, v| m.max(*v));
                    let low = column.iter().fold(f32::MAX, |m, v| m.min(*v));
                    if high == low { 1.0 } else { f64::from(column[i] * 2.0 - high - low).signum() }
                };
                for (d, r) in resampled.iter_mut().enumerate() {
                    *r += scale * cells().map(|(i, j)| sign(a, i, d) * sign(b, j, d) * gram[(i, j)]).sum::<f64>();
                }
            }
        }
        let signed: Vec<Signed> = sides.iter().zip(signs).map(|(side, signs)| Signed { side, signs }).collect();
        widen(&mut resampled, 0, variances, [&signed[0], &signed[1], &signed[2], &signed[3]]);
        (score, resampled)
    }

    #[test]
    fn score_and_resamples_match_their_definition() {
        let plain = Mixture::of([7, 5, 9, 6]).draw(&mut Streams::new(1).rng("x"));
        let mut wells = Mixture { cells: 2, ..Mixture::of([8, 6, 10, 6]) }.draw(&mut Streams::new(2).rng("x"));
        wells.control.unit = Some([0u32, 0, 0, 4, 4, 9, 9, 9].into());
        for s in [&plain, &wells] {
            for kernel in [Shape::Linear, Shape::Rbf, Shape::Matern52] {
                let t = MmdContrast { kernel, bandwidth: Bandwidth::Length(2.5), resamples: 150 };
                let (score, resampled) = by_loops(&t, s, 2.5, 3);
                let o = &outcomes(&t, s, 3)[0];
                let size = if kernel == Shape::Linear { 30.0 } else { 1.0 };
                assert!((o.score - score).abs() < 1e-6 * size, "{kernel:?} {} {score}", o.score);
                let reached = resampled.iter().filter(|v| **v >= score - 1e-6 * size).count();
                assert_eq!(o.p_value, Some((1 + reached) as f64 / 151.0), "{kernel:?}");
                let mean = resampled.iter().sum::<f64>() / 150.0;
                let var = resampled.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 149.0;
                assert!((get(o, "z") - score / var.sqrt()).abs() < 1e-3 * (1.0 + get(o, "z").abs()));
            }
        }
    }

    #[test]
    fn linear_is_a_quarter_of_the_debiased_additivity_score() {
        for n in [[12, 5, 9, 7], [40, 300, 2, 30]] {
            let s = Mixture::of(n).draw(&mut Streams::new(4).rng("x"));
            let json = r#"{"use": "additivity", "form": "debiased", "resamples": 0}"#;
            let additivity: Box<dyn InteractionTest> = framework::serde_json::from_str(json).unwrap();
            let want = additivity.test(&TestContext::new(&s, &Streams::new(1))).unwrap()[0].score / 4.0;
            let t = MmdContrast { kernel: Shape::Linear, resamples: 0, ..Default::default() };
            let got = outcomes(&t, &s, 1)[0].score;
            assert!((got - want).abs() < 1e-5 * (1.0 + want.abs()), "{got} {want}");
        }
    }

    #[test]
    fn the_score_is_unbiased_for_unequal_classes() {
        let n = [9, 3, 5, 4];
        for heavy in [false, true] {
            let mixture = Mixture { heavy, ..Mixture::of(n) };
            let t = MmdContrast { bandwidth: Bandwidth::Length(2.0), resamples: 0, ..Default::default() };
            let scores: Vec<f64> = (0..6000usize)
                .into_par_iter()
                .map(|i| outcomes(&t, &mixture.draw(&mut Streams::new(5).index(i).rng("x")), 1)[0].score)
                .collect();
            use framework::numerics::stats::{mean, sd};
            let error = sd(&scores) / (scores.len() as f64).sqrt();
            // The truth is 0; four standard errors. Keeping the diagonal would add Σ 1/(4 n_c) = 0.2.
            assert!(mean(&scores).abs() < 4.0 * error && error < 0.005, "{} +- {error}", mean(&scores));
        }
    }

    fn rejected(t: &MmdContrast, mixture: Mixture, trials: usize, by_cell: bool) -> f64 {
        let reached = (0..trials).into_par_iter().filter(|i| {
            let mut s = mixture.draw(&mut Streams::new(78).index(*i).rng("x"));
            if by_cell {
                s.control.unit = None;
                s.singles.iter_mut().for_each(|c| c.unit = None);
                s.pairs[0].both.unit = None;
            }
            outcomes(t, &s, *i)[0].p_value.unwrap() <= 0.05
        });
        reached.count() as f64 / trials as f64
    }

    #[test]
    fn level_under_the_null() {
        let (trials, resamples) = (2000, 199);
        let mut bad = vec![];
        let wells = |n: [usize; 4]| Mixture { cells: 5, ..Mixture::of(n) };
        let heavy = |n| Mixture { heavy: true, ..Mixture::of(n) };
        for (name, mixture) in [
            ("10 each", Mixture::of([10; 4])),
            ("20 each", Mixture::of([20; 4])),
            ("unequal", Mixture::of([200, 10, 15, 30])),
            ("few in both", Mixture::of([60, 40, 30, 10])),
            ("heavy", heavy([15; 4])),
            ("heavy, unequal", heavy([100, 15, 20, 30])),
            ("heavy, very few", heavy([100, 10, 20, 15])),
            ("wells", wells([50; 4])),
            ("wells, unequal", wells([100, 50, 60, 40])),
        ] {
            for kernel in [Shape::Rbf, Shape::Matern52] {
                let t = MmdContrast { kernel, resamples, ..Default::default() };
                let level = rejected(&t, mixture, trials, false);
                println!("{name}, {kernel:?}: level {level}");
                // 99 % of binomial counts. Ten samples with Cauchy tails are tested a little too cautiously.
                let least = if name == "heavy, very few" { 0.03 } else { 0.05 - 0.0126 };
                if !(least..0.05 + 0.0126).contains(&level) {
                    bad.push(format!("{name}, {kernel:?}: {level}"));
                }
            }
        }
        assert!(bad.is_empty(), "{bad:?}");
        let t = MmdContrast { resamples, ..Default::default() };
        let by_cell = rejected(&t, wells([50; 4]), 200, true);
        println!("wells taken for independent cells: {by_cell}");
        assert!(by_cell > 0.1, "{by_cell}");
    }

    #[test]
    fn power_grows_with_the_interaction() {
        let t = MmdContrast { resamples: 199, ..Default::default() };
        let power: Vec<f64> = [0.0, 1.5, 3.0, 6.0]
            .map(|planted| rejected(&t, Mixture { planted, ..Mixture::of([100, 50, 50, 50]) }, 300, false))
            .to_vec();
        println!("power at shifts of 0, 1.5, 3 and 6 of a third of the samples: {power:?}");
        assert!(power.windows(2).all(|w| w[0] < w[1]) && power[3] > 0.9, "{power:?}");
    }

    #[test]
    fn equal_samples_score_nothing_and_have_p_one() {
        let mut s = Mixture::of([5, 4, 3, 6]).draw(&mut Streams::new(1).rng("x"));
        let same = |n| Class::held(Array2::from_elem((n, 3), 0.7));
        (s.control, s.pairs[0].both) = (same(5), same(6));
        s.singles = vec![same(4), same(3)];
        for kernel in [Shape::Linear, Shape::Rbf, Shape::Matern52] {
            let o = &outcomes(&MmdContrast { kernel, ..Default::default() }, &s, 1)[0];
            assert!(o.score.abs() < 1e-9);
            assert_eq!((o.p_value, get(o, "z").abs() < 1e-3), (Some(1.0), true), "{kernel:?} {o:?}");
        }
    }

    #[test]
    fn a_single_well_gives_a_score_without_p_and_a_single_sample_an_error() {
        let mut s = Mixture { cells: 3, ..Mixture::of([6, 6, 6, 3]) }.draw(&mut Streams::new(1).rng("x"));
        let o = &outcomes(&MmdContrast::default(), &s, 1)[0];
        assert!(o.p_value.is_none() && o.score.is_finite() && get(o, "z").is_nan());
        s.pairs[0].both = Class::held(Array2::ones((1, 3)));
        let text = MmdContrast::default().test(&TestContext::new(&s, &Streams::new(1))).unwrap_err().to_string();
        assert!(text.contains("`A+B` has 1 sample"), "{text}");
        s.pairs[0].both = Class::held(Array2::from_elem((2, 3), 1e20));
        let text = MmdContrast::default().test(&TestContext::new(&s, &Streams::new(1))).unwrap_err().to_string();
        assert!(text.contains("`A+B`: a sample lies"), "{text}");
    }

    #[test]
    fn pairs_do_not_disturb_each_other_nor_do_threads() {
        let mut rng = Streams::new(5).rng("x");
        let one = Mixture::of([300, 20, 30, 25]).draw(&mut rng);
        let mut two = one.clone();
        two.pairs.insert(0, PairClass { first: 1, second: 0, both: Class::held(Array2::ones((2, 3))) });
        for bandwidth in [Bandwidth::Global, Bandwidth::Pair] {
            let t = MmdContrast { bandwidth, ..Default::default() };
            let all = outcomes(&t, &two, 7);
            if bandwidth == Bandwidth::Global {
                assert_eq!(outcomes(&t, &one, 7)[0], all[1]);
            }
            assert_eq!(all[0].n, [300, 30, 20, 2]);
            let alone = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| outcomes(&t, &two, 7))
            };
            assert_eq!((alone(1), alone(3)), (all.clone(), all));
        }
    }

    /// Section D.1.3 of Xu, Jain et al. 2024: a latent mixture of six components, seven perturbations, all 21 pairs;
    /// only D and E, and F and G, act on the same component with an effect of their own together.
    fn latent_mixture(n: usize, seed: u64) -> Samples {
        const D: usize = 10;
        let streams = Streams::new(seed);
        let layers: Vec<Array2<f64>> = (0..10).map(|l| orthogonal(D, streams.index(l).rng("layer"))).collect();
        // What each perturbation does to its component: mean, scale, Cauchy.
        let single = [
            (0, 5.0, 1.0),
            (1, 10.0, 1.0),
            (2, -5.0, 5.0),
            (3, 0.0, 5.0),
            (3, -10.0, 5.0),
            (4, 15.0, 1.0),
            (4, -15.0, 1.0),
        ];
        let class = |acts: &[(usize, f64, f64)], number: usize| {
            let mut rng = streams.index(number).rng("samples");
            let mut x = Array2::zeros((n, D));
            for mut row in x.outer_iter_mut() {
                let u: f64 = rng.random();
                let component = if u < 0.5 { (u * 8.0) as usize } else { 4 + usize::from(u >= 0.75) };
                let law = acts.iter().find(|a| a.0 == component);
                let (mean, scale) = law.map_or((0.0, 1.0), |a| (a.1, a.2));
                for v in row.iter_mut() {
                    let z: f64 = if law.is_some() && component == 4 {
                        Cauchy::new(mean, scale).unwrap().sample(&mut rng)
                    } else {
                        Normal::new(mean, scale).unwrap().sample(&mut rng)
                    };
                    // Tails of the Cauchy law would leave the range of single precision.
                    *v = z.clamp(-1e3, 1e3);
                }
            }
            for w in &layers {
                x = framework::numerics::matmul(x.view(), w.view());
                x.mapv_inplace(|v| if v > 0.0 { v } else { 0.2 * v });
            }
            Class::held(x.mapv(|v| v as f32))
        };
        let mut pairs = vec![];
        for first in 0..7 {
            for second in first + 1..7 {
                let acts = match (first, second) {
                    (3, 4) => vec![(3, 10.0, 5.0)],
                    (5, 6) => vec![(4, 20.0, 1.0)],
                    _ => vec![single[first], single[second]],
                };
                pairs.push(PairClass { first, second, both: class(&acts, 100 + 7 * first + second) });
            }
        }
        Samples {
            genes: ["A", "B", "C", "D", "E", "F", "G"].map(String::from).to_vec(),
            control: class(&[], 50),
            singles: (0..7).map(|g| class(&single[g..=g], 60 + g)).collect(),
            pairs,
            image: None,
        }
    }

    fn orthogonal(d: usize, mut rng: StreamRng) -> Array2<f64> {
        let mut w = Array2::from_shape_simple_fn((d, d), || Normal::new(0.0, 1.0).unwrap().sample(&mut rng));
        for i in 0..d {
            for j in 0..i {
                let (before, mut row) =
                    w.multi_slice_mut((framework::ndarray::s![j, ..], framework::ndarray::s![i, ..]));
                let along: f64 = before.dot(&row);
                row.scaled_add(-along, &before);
            }
            let length = w.row(i).dot(&w.row(i)).sqrt();
            w.row_mut(i).mapv_inplace(|v| v / length);
        }
        w
    }

    #[test]
    fn the_two_joint_pairs_of_the_latent_mixture_rank_first() {
        let mut margins = vec![];
        for seed in 0..20 {
            let s = latent_mixture(1000, seed);
            for kernel in [Shape::Rbf, Shape::Matern52] {
                let t = MmdContrast { kernel, resamples: 0, ..Default::default() };
                let mut ranked: Vec<(f64, String)> =
                    outcomes(&t, &s, 1).iter().enumerate().map(|(p, o)| (o.score, s.label(p))).collect();
                ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
                let mut first = [ranked[0].1.as_str(), ranked[1].1.as_str()];
                first.sort_unstable();
                assert_eq!(first, ["D+E", "F+G"], "seed {seed}, {kernel:?}: {ranked:?}");
                margins.push(ranked[1].0 / ranked[2].0.abs());
            }
        }
        println!("second over third, least of 40: {:.2}", margins.iter().fold(f64::INFINITY, |m, v| m.min(*v)));
    }
}
