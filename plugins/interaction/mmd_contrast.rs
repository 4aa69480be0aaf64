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

mod bootstrap;
#[cfg(test)]
mod tests;

use bootstrap::{Shared, Side, Signed, Tally, WORD};
use framework::domain::Class;
use framework::prelude::*;
use learn::density::mmd::Place;
use learn::density::{Bandwidth, MeanKernel, Shape};
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
