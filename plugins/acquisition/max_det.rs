//! Greedy maximisation of the determinant of the batch's kernel matrix (BatchBALD for a Gaussian process,
//! MAP inference of a determinantal point process, D-optimal design).
//!
//! Each pick is argmax_x D_x, where D_x = k_S(x, x) + σ² is the variance of x given the picks S so far, ties
//! to the lowest id: k_S(x, y) = k(x, y) - k(x, S) (k(S, S) + σ² I)⁻¹ k(S, y) (Kirsch et al. 2019;
//! Holzmüller et al. 2023, section 4). S starts empty (mode P, as after a `posterior` transform) or as the
//! measured perturbations (mode TP); P after `posterior` with one σ equals TP without it.
//!
//! Cost: features, O(n s d) at most for s = |S|. D_x can only fall, so only the candidates at the top are
//! kept up to date; when the best of them falls below what the rest had, all catch up in one product. Other
//! kernels: a pivoted Cholesky by columns, O(n s²) and n s numbers, without the n x n matrix.

use framework::numerics::Explained;
use framework::numerics::Features;
use framework::prelude::*;
use rayon::prelude::*;

/// Picks the candidate of largest variance given what was picked before, one after another. The score is
/// that variance, noise included.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxDet {
    /// What counts as known at the start: `"p"` (default), nothing, or `"tp"`, the measured perturbations.
    #[serde(default = "pool_only")]
    pub mode: Mode,
    /// Noise standard deviation of a measurement, on the kernel's scale; default 0, where a batch ends (and
    /// is filled at random) when no variance is left.
    #[serde(default)]
    pub sigma: f64,
}

fn pool_only() -> Mode {
    Mode::P
}

impl Default for MaxDet {
    fn default() -> Self {
        Self { mode: pool_only(), sigma: 0.0 }
    }
}

#[typetag::serde(name = "max_det")]
impl Acquisition for MaxDet {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        if !(self.sigma >= 0.0 && self.sigma.is_finite()) {
            return Err(Error::Config(format!(
                "`sigma` of max_det must be 0 or a positive number, not {}",
                self.sigma
            )));
        }
        let noise = self.sigma * self.sigma;
        let on_gpu =
            cx.on_device(self.mode, |gpu, rows, centres| gpu.max_det(rows, centres, noise as f32, cx.batch()))?;
        if let Some(batch) = on_gpu {
            return Ok(cx.fill(batch));
        }
        let held = cx.prepared("max_det", &cx.centres(self.mode))?;
        let gram = held.gram();
        let n = cx.candidates.len();
        let picks = match gram.features() {
            Some(phi) => by_features(phi, n, noise, cx.batch(), None),
            None => by_columns(gram, n, noise, cx.batch()),
        }
        .map_err(|e| match e {
            Failed::At(i) => Error::Numerical(format!(
                "the variance of candidate {} is not a finite number; check the features and the kernel",
                held.name(Position(i), cx.pool)
            )),
            Failed::With(e) => e,
        })?;
        let (at, scores): (Vec<usize>, Vec<f64>) = picks.into_iter().unzip();
        // Candidates left over are determined by what was chosen: variance says nothing more of them.
        Ok(cx.fill(held.batch(at.into_iter().map(Position), scores)))
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Similarity])
    }
}

/// Why there are no picks: the variance at a position is not finite, or something else.
#[derive(Debug)]
enum Failed {
    At(usize),
    With(Error),
}

impl<E: Into<Error>> From<E> for Failed {
    fn from(e: E) -> Self {
        Failed::With(e.into())
    }
}

/// Variances at the level of rounding are 0.
fn negligible(epsilon: f64, diagonal: &[f64]) -> f64 {
    64.0 * epsilon * diagonal.iter().fold(0.0, |a: f64, b| a.max(*b))
}

/// Larger first, ties to the lower position.
fn better(a: (f64, usize), b: (f64, usize)) -> bool {
    a.0 > b.0 || (a.0 == b.0 && a.1 < b.1)
}

/// Takes `directions` into account in the variances of the rows: D_x -= Σ (xᵀ g)².
fn catch_up(phi: &Features, directions: ArrayView2<f64>, variance: &mut [f64]) {
    // Some at a time: the products of all rows with all directions need not fit in memory.
    const SOME: usize = 128;
    for some in directions.axis_chunks_iter(Axis(0), SOME) {
        let along = phi.times_rows(some);
        variance
            .par_chunks_mut(1024)
            .zip(along.axis_chunks_iter(Axis(0), 1024).into_par_iter())
            .for_each(|(v, a)| v.iter_mut().zip(a.outer_iter()).for_each(|(v, a)| *v -= a.dot(&a)));
    }
}

/// Picks among the first `n` rows of `phi`, given the others, with `leaders` candidates kept up to date.
fn by_features(
    phi: &Features,
    n: usize,
    noise: f64,
    batch: usize,
    leaders: Option<usize>,
) -> Result<Vec<(usize, f64)>, Failed> {
    // Their rows are read at every pick and should stay in a core's cache.
    let leaders = leaders.unwrap_or_else(|| ((1 << 18) / phi.d().max(1)).clamp(256, 8192));
    let mut variance = phi.sq_norms();
    if let Some(i) = variance.iter().position(|v| !v.is_finite()) {
        return Err(Failed::At(i));
    }
    let zero = negligible(phi.epsilon(), &variance);
    let mut known = Explained::new(phi.d(), noise);
    if phi.n() > n {
        let others: Vec<usize> = (n..phi.n()).collect();
        known.observe_all(phi.select(&others).view(), zero)?;
    }
    variance.truncate(n);
    variance.iter_mut().for_each(|v| *v += noise);
    let mut done = 0;
    let mut picks: Vec<(usize, f64)> = Vec::with_capacity(batch);
    let mut taken = vec![false; n];
    while picks.len() < batch {
        catch_up(phi, known.directions().slice(ndarray::s![done.., ..]), &mut variance);
        done = known.directions().nrows();
        let mut order: Vec<(f64, usize)> = (0..n).filter(|&i| !taken[i]).map(|i| (variance[i], i)).collect();
        let mut floor = None;
        if order.len() > leaders {
            let by_rank = |a: &(f64, usize), b: &(f64, usize)| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1));
            let (_, next, _) = order.select_nth_unstable_by(leaders, by_rank);
            floor = Some(*next);
            order.truncate(leaders);
        }
        order.sort_unstable_by_key(|o| o.1);
        let rows = phi.subset(&order.iter().map(|o| o.1).collect::<Vec<_>>());
        let mut along = vec![0.0; order.len()];
        let before = picks.len();
        while picks.len() < batch {
            let mut best = (f64::NEG_INFINITY, usize::MAX);
            for &o in order.iter().filter(|o| !taken[o.1]) {
                if better(o, best) {
                    best = o;
                }
            }
            let (value, i) = best;
            // The rest can only have fallen below their floor.
            if i == usize::MAX || (picks.len() > before && floor.is_some_and(|f| better(f, best))) {
                break;
            }
            if value - noise <= zero && noise == 0.0 {
                return Ok(picks);
            }
            let x = phi.row(i);
            let v = known.rest(x.view());
            let own = if noise == 0.0 { v.dot(&v) } else { x.dot(&v).max(0.0) + noise };
            if !own.is_finite() {
                return Err(Failed::At(i));
            }
            taken[i] = true;
            picks.push((i, own));
            if own <= zero && noise == 0.0 {
                continue;
            }
            known.observe(v, own)?;
            let g = known.directions();
            let last = g.row(g.nrows() - 1);
            rows.times(&last.to_vec(), &mut along);
            order.iter_mut().zip(&along).for_each(|(o, a)| o.0 -= a * a);
        }
        if picks.len() == before {
            break;
        }
    }
    Ok(picks)
}

/// Picks among the first `n` positions of any kernel, given the others: pivoted Cholesky by columns.
fn by_columns(gram: &Gram, n: usize, noise: f64, batch: usize) -> Result<Vec<(usize, f64)>, Failed> {
    const TILE: usize = 2048;
    let all: Vec<usize> = (0..gram.n()).collect();
    let mut variance = gram.diagonal(&all);
    if let Some(i) = variance.iter().position(|v| !v.is_finite()) {
        return Err(Failed::At(i));
    }
    let zero = negligible(f64::EPSILON, &variance);
    variance.iter_mut().for_each(|v| *v += noise);
    let mut columns: Vec<Vec<f64>> = Vec::new();
    let mut taken = vec![false; n];
    let mut picks = Vec::with_capacity(batch);
    let mut first = n..gram.n();
    while picks.len() < batch {
        let centre = first.next();
        let i = match centre {
            Some(i) => i,
            None => {
                let mut best = (f64::NEG_INFINITY, usize::MAX);
                for i in (0..n).filter(|i| !taken[*i]) {
                    if better((variance[i], i), best) {
                        best = (variance[i], i);
                    }
                }
                if best.1 == usize::MAX {
                    return Ok(picks);
                }
                best.1
            }
        };
        let own = variance[i];
        if own <= zero && noise == 0.0 {
            if centre.is_some() {
                continue;
            }
            return Ok(picks);
        }
        if centre.is_none() {
            taken[i] = true;
            picks.push((i, own));
        }
        let mut column = vec![0.0; gram.n()];
        gram.row(i, &mut column);
        // With noise a variance never falls below it.
        let scale = own.max(noise).sqrt().recip();
        let weights: Vec<f64> = columns.iter().map(|c| c[i]).collect();
        column.par_chunks_mut(TILE).zip(variance.par_chunks_mut(TILE)).enumerate().for_each(|(t, (out, variance))| {
            for (c, w) in columns.iter().zip(&weights) {
                out.iter_mut().zip(&c[t * TILE..]).for_each(|(o, c)| *o -= w * c);
            }
            for (o, v) in out.iter_mut().zip(variance) {
                *o *= scale;
                *v -= *o * *o;
            }
        });
        if let Some(i) = variance.iter().position(|v| !v.is_finite()) {
            return Err(Failed::At(i));
        }
        columns.push(column);
    }
    Ok(picks)
}

framework::register!(Acquisition, MaxDet, "max_det", "largest variance given the batch so far (BatchBALD, greedy DPP)");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::numerics::{Cholesky, Rows};
    use framework::testing::{TinyWorld, normal};
    use std::sync::Arc;

    /// k given the positions `s`, from the textbook formula.
    fn posterior(k: &Array2<f64>, s: &[usize], noise: f64) -> Array2<f64> {
        let mut kss = k.select(Axis(0), s).select(Axis(1), s);
        kss.diag_mut().iter_mut().for_each(|v| *v += noise);
        let cross = k.select(Axis(0), s);
        k - &cross.t().dot(&Cholesky::new(kss.view()).unwrap().solve(cross.view()))
    }

    fn plain(k: &Array2<f64>, n: usize, given: &[usize], noise: f64, batch: usize) -> Vec<(usize, f64)> {
        let mut picks: Vec<(usize, f64)> = vec![];
        while picks.len() < batch {
            let s: Vec<usize> = given.iter().copied().chain(picks.iter().map(|p| p.0)).collect();
            let now = posterior(k, &s, noise);
            let mut best = (0, f64::NEG_INFINITY);
            for i in (0..n).filter(|i| !s.contains(i)) {
                if now[(i, i)] + noise > best.1 {
                    best = (i, now[(i, i)] + noise);
                }
            }
            picks.push(best);
        }
        picks
    }

    fn pick(gram: &Gram, n: usize, tp: bool, noise: f64, batch: usize, leaders: Option<usize>) -> Vec<(usize, f64)> {
        let last = if tp { gram.n() } else { n };
        let gram = gram.restrict(&(0..last).collect::<Vec<_>>());
        match gram.features() {
            Some(phi) => by_features(phi, n, noise, batch, leaders).unwrap(),
            None => by_columns(&gram, n, noise, batch).unwrap(),
        }
    }

    fn ids(picks: &[(usize, f64)]) -> Vec<usize> {
        picks.iter().map(|p| p.0).collect()
    }

    #[test]
    fn every_form_picks_as_the_definition_however_few_are_kept_up_to_date() {
        let x = normal(90, 14, 1);
        let k = x.dot(&x.t());
        let given: Vec<usize> = (80..90).collect();
        for (noise, tp, batch) in [(0.0, false, 13), (0.0, true, 3), (0.09, false, 30), (0.09, true, 30)] {
            let want = plain(&k, 80, if tp { &given } else { &[] }, noise, batch);
            let check = |got: Vec<(usize, f64)>| {
                assert_eq!(ids(&got), ids(&want), "noise {noise} tp {tp}");
                assert!(got.iter().zip(&want).all(|(a, b)| (a.1 - b.1).abs() < 1e-9 * k[(0, 0)]));
            };
            for leaders in [1, 7, 1000] {
                check(pick(&Gram::of_features(x.clone()), 80, tp, noise, batch, Some(leaders)));
            }
            check(pick(&Gram::dense(k.clone()).unwrap(), 80, tp, noise, batch, None));
        }
    }

    #[test]
    fn a_radial_kernel_picks_as_its_matrix() {
        let x = normal(200, 5, 3);
        let rbf = |s: &mut [f64]| s.iter_mut().for_each(|v| *v = (-*v / 4.0).exp());
        let radial: Gram = FeatureGram::radial(Rows::Held(Arc::new(x)), rbf).into();
        let k = radial.to_dense(&(0..200).collect::<Vec<_>>());
        let want = plain(&k, 180, &(180..200).collect::<Vec<_>>(), 0.01, 25);
        assert_eq!(ids(&pick(&radial, 180, true, 0.01, 25, None)), ids(&want));
    }

    #[test]
    fn p_after_the_posterior_is_tp_without() {
        let x = normal(60, 12, 3);
        let given: Vec<usize> = (50..60).collect();
        let after = Gram::stored(posterior(&x.dot(&x.t()), &given, 0.09));
        let p = pick(&after, 50, false, 0.09, 20, None);
        assert_eq!(ids(&p), ids(&pick(&Gram::of_features(x), 50, true, 0.09, 20, None)));
    }

    #[test]
    fn scale_order_and_copies() {
        let x = normal(300, 20, 5);
        let want = ids(&pick(&Gram::of_features(x.clone()), 300, false, 0.0, 18, None));
        assert_eq!(ids(&pick(&Gram::of_features(&x * 1e-3), 300, false, 0.0, 18, None)), want);
        let turned: Vec<usize> = (0..300).map(|i| (i * 7 + 3) % 300).collect();
        let got = ids(&pick(&Gram::of_features(x.select(Axis(0), &turned)), 300, false, 0.0, 18, None));
        assert_eq!(got.iter().map(|&i| turned[i]).collect::<Vec<_>>(), want);
        // Three copies of everything: the first of each, and none twice while variance is left.
        let copies = ndarray::concatenate(Axis(0), &[x.view(), x.view(), x.view()]).unwrap();
        for gram in [Gram::of_features(copies.clone()), Gram::stored(copies.dot(&copies.t()))] {
            for leaders in [Some(5), Some(100), None] {
                assert_eq!(ids(&pick(&gram, 900, false, 0.0, 18, leaders)), want, "leaders {leaders:?}");
            }
            let all = pick(&gram, 900, false, 0.0, 40, Some(30));
            assert_eq!(all.len(), 20, "the rank");
        }
    }

    #[test]
    fn single_precision_picks_the_same() {
        let mut x = normal(4000, 60, 9);
        for (j, mut column) in x.columns_mut().into_iter().enumerate() {
            column /= (1.0 + j as f64).sqrt();
        }
        let rows = Rows::Held(Arc::new(x));
        let double = pick(&FeatureGram::linear(rows.clone()).into(), 3900, true, 0.01, 50, None);
        let single = pick(&FeatureGram::linear(rows).single().into(), 3900, true, 0.01, 50, None);
        assert_eq!(ids(&single), ids(&double));
        assert!(double.iter().zip(&single).all(|(a, b)| (a.1 - b.1).abs() < 1e-4 * a.1));
    }

    #[test]
    fn any_number_of_threads_gives_the_same() {
        let x = normal(6000, 80, 4);
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| pick(&Gram::of_features(x.clone()), 5900, true, 0.1, 60, Some(300)))
        };
        assert_eq!(on(1), on(3));
    }

    #[test]
    fn what_is_left_over_is_filled_and_broken_kernels_are_named() {
        #[derive(Debug, Serialize, Deserialize)]
        struct Broken {
            diagonal: bool,
        }
        #[typetag::serde(name = "broken_for_max_det")]
        impl Kernel for Broken {
            fn gram(&self, cx: &KernelContext) -> Result<Gram> {
                let x = cx.inputs.features(&(0..20).collect::<Vec<_>>());
                let mut k = x.dot(&x.t());
                let at = if self.diagonal { (7, 7) } else { (7, 9) };
                k[at] = f64::NAN;
                k[(at.1, at.0)] = f64::NAN;
                Ok(Gram::stored(k))
            }
        }
        let world = TinyWorld::new(20, 3, 1, false, 1).unwrap();
        let (candidates, observed) = (Candidates::new(20, vec![2]), Observed::empty(1));
        let cx = world.context(6, &candidates, &observed, None, None, 1);
        let batch = MaxDet::default().select(&cx).unwrap();
        assert_eq!(batch.ids.len(), 6);
        assert_eq!(cx.into_recorded(), [("filled".to_string(), 3.0)]);
        for diagonal in [true, false] {
            let broken = Broken { diagonal };
            let cx = world.context(15, &candidates, &observed, None, Some(&broken), 1);
            let e = MaxDet { sigma: 0.5, ..MaxDet::default() }.select(&cx).unwrap_err().to_string();
            assert!(e.contains("variance of candidate") && e.contains("not a finite number"), "{e}");
        }
    }
}
