//! ACS-FW: a batch whose sum of features comes closest to that of the whole pool (active Bayesian coresets
//! by Frank-Wolfe; Pinsler et al. 2019, Algorithm 1; Holzmüller et al. 2023, section 4).
//!
//! With e* = Σ φ_z over the candidates, e = 0 and r = Σ ‖φ_z‖, each pick is the unselected candidate of
//! largest ⟨φ_x / ‖φ_x‖, e* - e⟩, ties to the lowest id; then e moves towards v = r φ_x / ‖φ_x‖ by the step
//! that is best on the line, γ = ⟨v - e, e* - e⟩ / ‖v - e‖², not clipped. Kernels without features track the
//! same inner products by columns. Candidates of norm 0 explain nothing and are never picked; when all
//! scores are 0 or less, or no others are left, the batch is filled at random.
//!
//! Cost: features, O(nd) a pick; other kernels, one column a pick after one pass over the n x n matrix,
//! which is formed in tiles and not held.

use framework::numerics::Features;
use framework::prelude::*;
use rayon::prelude::*;

/// Picks the candidate most aligned with what the batch does not yet represent of the pool, one after
/// another; the measured perturbations play no part (mode P). The score is ⟨φ_x / ‖φ_x‖, e* - e⟩.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FrankWolfe {}

#[typetag::serde(name = "frank_wolfe")]
impl Acquisition for FrankWolfe {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        let held = cx.prepared("frank_wolfe", &[])?;
        let gram = held.gram();
        let all: Vec<usize> = (0..held.len()).collect();
        let norms: Vec<f64> = gram.diagonal(&all).into_iter().map(f64::sqrt).collect();
        let finite = |values: &[f64], what: &str| match values.iter().position(|v| !v.is_finite()) {
            None => Ok(()),
            Some(i) => Err(Error::Numerical(format!(
                "the {what} of candidate {} is not a finite number; check the features and the kernel",
                held.name(Position(i), cx.pool)
            ))),
        };
        finite(&norms, "norm")?;
        let path: Box<dyn Path> = match gram.features() {
            Some(phi) => Box::new(ByFeatures::new(phi, &norms)),
            None => Box::new(ByColumns::new(gram, &norms)),
        };
        let (at, scores) = walk(path, &norms, cx.batch(), |scores| finite(scores, "score"))?;
        Ok(cx.fill(held.batch(at.into_iter().map(Position), scores)))
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Similarity])
    }
}

/// Where e is on its way to e*.
trait Path {
    /// ⟨φ_x, e* - e⟩ for all candidates.
    fn gaps(&mut self, out: &mut [f64]);
    /// Moves towards r φ_i / ‖φ_i‖.
    fn step(&mut self, i: usize);
}

/// Length of the best step: ⟨v - e, e* - e⟩ / ‖v - e‖², and none where v is e.
fn length(along: f64, squared: f64) -> f64 {
    if squared > 0.0 { along / squared } else { 0.0 }
}

fn walk(
    mut path: Box<dyn Path + '_>,
    norms: &[f64],
    batch: usize,
    check: impl Fn(&[f64]) -> Result<()>,
) -> Result<(Vec<usize>, Vec<f64>)> {
    // e* - e is a difference of sums of this size, and zero up to their rounding.
    let zero = 1e-14 * norms.iter().sum::<f64>();
    let (mut picks, mut scores) = (Vec::with_capacity(batch), Vec::with_capacity(batch));
    let mut open: Vec<bool> = norms.iter().map(|n| *n > 0.0).collect();
    let mut gaps = vec![0.0; norms.len()];
    while picks.len() < batch {
        path.gaps(&mut gaps);
        gaps.iter_mut().zip(norms).filter(|(_, n)| **n > 0.0).for_each(|(g, n)| *g /= n);
        check(&gaps)?;
        let mut best = (zero, usize::MAX);
        for (i, &score) in gaps.iter().enumerate() {
            if score > best.0 && open[i] {
                best = (score, i);
            }
        }
        let (score, i) = best;
        if i == usize::MAX {
            break;
        }
        open[i] = false;
        picks.push(i);
        scores.push(score);
        path.step(i);
    }
    Ok((picks, scores))
}

/// In feature space.
struct ByFeatures<'a> {
    phi: &'a Features,
    norms: &'a [f64],
    r: f64,
    e: Array1<f64>,
    target: Array1<f64>,
}

impl<'a> ByFeatures<'a> {
    fn new(phi: &'a Features, norms: &'a [f64]) -> Self {
        Self { phi, norms, r: norms.iter().sum(), e: Array1::zeros(phi.d()), target: phi.sum() }
    }
}

impl Path for ByFeatures<'_> {
    fn gaps(&mut self, out: &mut [f64]) {
        self.phi.times(&(&self.target - &self.e).to_vec(), out);
    }

    fn step(&mut self, i: usize) {
        let direction = self.phi.row(i) * (self.r / self.norms[i]) - &self.e;
        let along = direction.dot(&(&self.target - &self.e));
        self.e.scaled_add(length(along, direction.dot(&direction)), &direction);
    }
}

/// By inner products alone.
struct ByColumns<'a> {
    gram: &'a Gram,
    norms: &'a [f64],
    r: f64,
    /// ⟨φ_x, e*⟩ and ⟨φ_x, e⟩.
    target: Vec<f64>,
    at: Vec<f64>,
    /// ⟨e, e*⟩ and ⟨e, e⟩.
    shared: f64,
    own: f64,
    column: Vec<f64>,
}

impl<'a> ByColumns<'a> {
    fn new(gram: &'a Gram, norms: &'a [f64]) -> Self {
        const TILE: usize = 256;
        let n = gram.n();
        let all: Vec<usize> = (0..n).collect();
        let sums: Vec<Vec<f64>> =
            all.par_chunks(TILE).map(|t| gram.block(t, &all).sum_axis(Axis(1)).to_vec()).collect();
        let (target, r) = (sums.concat(), norms.iter().sum());
        Self { gram, norms, r, target, at: vec![0.0; n], shared: 0.0, own: 0.0, column: vec![0.0; n] }
    }
}

impl Path for ByColumns<'_> {
    fn gaps(&mut self, out: &mut [f64]) {
        out.iter_mut().zip(self.target.iter().zip(&self.at)).for_each(|(o, (t, a))| *o = t - a);
    }

    fn step(&mut self, i: usize) {
        let scale = self.r / self.norms[i];
        let (to_target, to_e) = (scale * self.target[i], scale * self.at[i]);
        let along = to_target - to_e - self.shared + self.own;
        let step = length(along, self.r * self.r - 2.0 * to_e + self.own);
        let keep = 1.0 - step;
        self.gram.row(i, &mut self.column);
        self.at.iter_mut().zip(&self.column).for_each(|(a, k)| *a = keep * *a + step * scale * k);
        self.shared = keep * self.shared + step * to_target;
        self.own = keep * keep * self.own + 2.0 * step * keep * to_e + step * step * self.r * self.r;
    }
}

framework::register!(Acquisition, FrankWolfe, "frank_wolfe", "batch whose features sum to the pool's (ACS-FW)");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::numerics::Rows;
    use framework::testing::normal;
    use std::sync::Arc;

    fn pick(gram: &Gram, batch: usize) -> (Vec<usize>, Vec<f64>) {
        let gram = gram.restrict(&(0..gram.n()).collect::<Vec<_>>());
        let norms: Vec<f64> = gram.diagonal(&(0..gram.n()).collect::<Vec<_>>()).into_iter().map(f64::sqrt).collect();
        let path: Box<dyn Path> = match gram.features() {
            Some(phi) => Box::new(ByFeatures::new(phi, &norms)),
            None => Box::new(ByColumns::new(&gram, &norms)),
        };
        walk(path, &norms, batch, |_| Ok(())).unwrap()
    }

    /// The algorithm on weights: e = Σ w_i σ_i-scaled rows, all sums written out.
    fn plain(k: &Array2<f64>, batch: usize) -> Vec<usize> {
        let n = k.nrows();
        let norm = |i: usize| k[(i, i)].sqrt();
        let r: f64 = (0..n).map(norm).sum();
        // e* and e as combinations of rows.
        let star = Array1::<f64>::ones(n);
        let mut e = Array1::<f64>::zeros(n);
        let inner = |a: &Array1<f64>, b: &Array1<f64>| a.dot(&k.dot(b));
        let mut out: Vec<usize> = vec![];
        for _ in 0..batch {
            let gap = k.dot(&(&star - &e));
            let mut best = (f64::NEG_INFINITY, 0);
            for i in (0..n).filter(|i| !out.contains(i)) {
                if gap[i] / norm(i) > best.0 {
                    best = (gap[i] / norm(i), i);
                }
            }
            let mut v = Array1::<f64>::zeros(n);
            v[best.1] = r / norm(best.1);
            let direction = &v - &e;
            let step = inner(&direction, &(&star - &e)) / inner(&direction, &direction);
            e = &e + &(direction * step);
            out.push(best.1);
        }
        out
    }

    #[test]
    fn both_forms_pick_as_the_definition() {
        for shift in [0.0, 0.5] {
            let x = normal(80, 9, 1) + shift;
            let k = x.dot(&x.t());
            let want = plain(&k, 7);
            assert_eq!(pick(&Gram::of_features(x.clone()), 7).0, want);
            let (dense, scores) = pick(&Gram::dense(k.clone()).unwrap(), 7);
            assert_eq!(dense, want);
            // Scale changes scores and nothing else.
            let (scaled, other) = pick(&Gram::of_features(x * 3.0), 7);
            assert_eq!(scaled, want);
            assert!(scores.iter().zip(&other).all(|(a, b)| (3.0 * a - b).abs() < 1e-9 * b.abs()));
        }
    }

    #[test]
    fn the_order_of_the_candidates_does_not_matter() {
        let x = normal(60, 12, 5) + 0.3;
        let turned: Vec<usize> = (0..60).map(|i| (i * 7 + 3) % 60).collect();
        let want = pick(&Gram::of_features(x.clone()), 10).0;
        let got = pick(&Gram::of_features(x.select(Axis(0), &turned)), 10).0;
        assert_eq!(got.iter().map(|&i| turned[i]).collect::<Vec<_>>(), want);
    }

    #[test]
    fn rows_of_zeros_are_passed_over_and_ties_go_to_the_lowest() {
        let mut x = normal(40, 6, 2) + 0.2;
        x.row_mut(0).fill(0.0);
        let copies = ndarray::concatenate(Axis(0), &[x.view(), x.view()]).unwrap();
        for gram in [Gram::of_features(copies.clone()), Gram::dense(copies.dot(&copies.t())).unwrap()] {
            let (picks, _) = pick(&gram, 80);
            assert!(picks.len() < 80 && !picks.contains(&0) && !picks.contains(&40));
            assert!(picks[0] < 40);
            for i in picks.iter().filter(|i| **i >= 40) {
                let twin = picks.iter().position(|j| j + 40 == *i).unwrap();
                assert!(twin < picks.iter().position(|j| j == i).unwrap());
            }
        }
    }

    #[test]
    fn single_precision_picks_the_same() {
        let x = normal(3000, 40, 9) + 0.1;
        let rows = Rows::Held(Arc::new(x));
        let (double, a) = pick(&FeatureGram::linear(rows.clone()).into(), 25);
        let (single, b) = pick(&FeatureGram::linear(rows).single().into(), 25);
        assert_eq!(single, double);
        assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-4 * a.abs()));
    }

    #[test]
    fn features_that_are_not_numbers_are_named() {
        use framework::testing::TinyWorld;
        #[derive(Debug, Serialize, Deserialize)]
        struct Broken;
        #[typetag::serde(name = "broken_for_frank_wolfe")]
        impl Kernel for Broken {
            fn gram(&self, cx: &KernelContext) -> Result<Gram> {
                let mut x = cx.inputs.features(&(0..20).collect::<Vec<_>>());
                x[(7, 0)] = f64::NAN;
                Ok(Gram::of_features(x))
            }
        }
        let world = TinyWorld::new(20, 3, 1, false, 1).unwrap();
        let (candidates, observed) = (Candidates::new(20, vec![2]), Observed::empty(1));
        let cx = world.context(5, &candidates, &observed, None, Some(&Broken), 1);
        let e = FrankWolfe {}.select(&cx).unwrap_err().to_string();
        assert!(e.contains("norm of candidate 7 (`G007`)"), "{e}");
    }
}
