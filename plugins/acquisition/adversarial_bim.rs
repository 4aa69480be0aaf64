//! Adversarial search of uncertain places (GeneDisco's `adversarialBIM`, Mehrjou et al. 2022, after the basic iterative
//! method of Kurakin et al. 2017).
//!
//! From each candidate t, t̃ climbs the predictive variance by steps ε sign ∇Var inside the ball |t̃ - t| ≤ γ|t|.
//!
//! "paper": a step that leaves the ball is brought back to it radially; ε is a tenth of the radius over √features
//! unless given, so that it fits features of any unit. A start rests when two steps in a row raise its best variance by
//! less than a thousandth, or the gradient is 0; the best place it has seen is its t̃. Starts in order of the variance
//! they attain, ties to the lower id, each take the nearest candidate (Euclidean, in feature space, ties to the lower
//! id) that none before has taken.
//!
//! "code": what the released genedisco does. Only the first 100 candidates climb, from t by ε = 0.05 in each feature,
//! without a way back: until |t̃ - t| is no longer below γ|t|, or for 1000 steps. Those of least |t̃ - t|² are chosen,
//! ties to the lower id: as a rule those of smallest norm, for the way ends just outside the ball. Candidates beyond
//! the first 100 follow in their order; how many were chosen so is recorded as `unscored`.
//!
//! Cost: a gradient of the variance for each start and step, most starts resting after some 15 steps, and batch x
//! candidates x features for the nearest. All starts of a tile climb together.

use framework::numerics::memory::Limit;
use framework::numerics::sq_distances;
use framework::prelude::*;

/// Climbs the predictive variance from the candidates and takes the candidates nearest to where it ends. The score is
/// the variance attained ("paper") or minus the squared way ("code").
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdversarialBim {
    /// "paper" (default) or "code", as in the header.
    pub form: Form,
    /// Radius of the ball over the norm of the candidate's features; default 0.35.
    pub gamma: f64,
    /// Change of each feature in a step, in its unit; absent: a tenth of the radius over √features in "paper", 0.05
    /// in "code".
    pub step: Option<f64>,
    /// Most steps of a start; absent: 50 in "paper", 1000 in "code".
    pub steps: Option<usize>,
    /// Candidates that climb, at least the batch; absent: in "paper" all up to 16,384, which bounds the time, above
    /// that as many drawn uniformly; in "code" the first 100.
    pub starts: Option<usize>,
}

impl Default for AdversarialBim {
    fn default() -> Self {
        Self { form: Form::Paper, gamma: 0.35, step: None, steps: None, starts: None }
    }
}

/// Which of the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// All candidates climb; the nearest to where they end are taken.
    #[default]
    Paper,
    /// The first candidates climb; those that went the least are taken.
    Code,
}

/// Starts that climb together: bounds the memory.
const TILE: usize = 4096;
/// A start rests after so many steps that raise its variance by less than this share.
const WAIT: usize = 2;
const RISE: f64 = 1e-3;
/// Most starts by default.
const MOST_STARTS: usize = 16_384;

#[typetag::serde(name = "adversarial_bim")]
impl Acquisition for AdversarialBim {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        let wrong = |what: &str| Err(Error::Config(format!("adversarial_bim: {what}")));
        if !(self.gamma > 0.0 && self.gamma.is_finite()) || self.step.is_some_and(|s| !(s > 0.0 && s.is_finite())) {
            return wrong("`gamma` and `step` must be positive numbers");
        }
        if self.steps == Some(0) || self.starts == Some(0) {
            return wrong("`steps` and `starts` must be at least 1");
        }
        if cx.inputs.n_features() == 0 {
            return wrong("it moves in feature space and no prior is active; add a [prior.NAME] section");
        }
        match self.form {
            Form::Paper => self.paper(cx),
            Form::Code => self.code(cx),
        }
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Model, Ability::VarianceGradient])
    }
}

impl AdversarialBim {
    fn paper(&self, cx: &RunContext) -> Result<Batch> {
        let (n, d) = (cx.candidates.len(), cx.inputs.n_features());
        if Limit::USUAL.check(&[n, d]).is_err() {
            return Err(Error::Config(format!(
                "`adversarial_bim` compares with the features of all candidates, {n} x {d}; make the pool smaller or \
                 the features fewer, or use a score-based rule, which streams"
            )));
        }
        let most = self.starts.unwrap_or(MOST_STARTS).max(cx.batch());
        let mut starts = match most < n {
            false => cx.candidates.to_vec(),
            true => cx.candidates.sample(most, &mut cx.rng("adversarial_bim")),
        };
        starts.sort_unstable();
        let climb = Climb { gamma: self.gamma, step: self.step, steps: self.steps.unwrap_or(50) };
        let (mut order, mut places, mut steps) = (vec![], Array2::zeros((starts.len(), d)), 0);
        for (k, tile) in starts.chunks(TILE).enumerate() {
            let (place, variance, taken) = climb.run(cx.surrogate()?, cx.inputs.features(tile))?;
            places.slice_mut(framework::ndarray::s![k * TILE..k * TILE + tile.len(), ..]).assign(&place);
            order.extend(variance.iter().enumerate().map(|(i, v)| (*v, k * TILE + i)));
            steps += taken;
            cx.tick(k * TILE + tile.len(), starts.len());
        }
        cx.record("adversarial_bim.steps", steps as f64 / starts.len() as f64);
        // Starts ascend by id, and the sort is stable.
        order.sort_by(|a, b| b.0.total_cmp(&a.0));
        let ids = cx.candidates.to_vec();
        let x = cx.inputs.features(&ids);
        let (mut taken, mut batch) = (vec![false; ids.len()], Batch::default());
        for group in order[..cx.batch().min(order.len())].chunks(64) {
            let at: Vec<usize> = group.iter().map(|g| g.1).collect();
            let distances = sq_distances(places.select(Axis(0), &at).view(), x.view());
            for ((variance, _), row) in group.iter().zip(distances.outer_iter()) {
                let open = row.iter().enumerate().filter(|(i, _)| !taken[*i]);
                if let Some((i, _)) = open.reduce(|best, v| if v.1 < best.1 { v } else { best }) {
                    taken[i] = true;
                    batch.ids.push(ids[i]);
                    batch.scores.push(*variance);
                }
            }
        }
        Ok(batch)
    }

    fn code(&self, cx: &RunContext) -> Result<Batch> {
        let starts: Vec<usize> = cx.candidates.iter().take(self.starts.unwrap_or(100)).collect();
        let (step, steps) = (self.step.unwrap_or(0.05), self.steps.unwrap_or(1000));
        let t = cx.inputs.features(&starts);
        let radius: Vec<f64> = t.outer_iter().map(|t| self.gamma * t.dot(&t).sqrt()).collect();
        let mut eta = Array2::<f64>::zeros(t.dim());
        let mut way = vec![0.0; starts.len()];
        for done in 0..steps {
            let active: Vec<usize> = (0..starts.len()).filter(|i| f64::sqrt(way[*i]) < radius[*i]).collect();
            if active.is_empty() {
                break;
            }
            let at = t.select(Axis(0), &active) + &eta.select(Axis(0), &active);
            let (variance, gradient) = checked(cx.surrogate()?, at.view())?;
            debug_assert_eq!(variance.len(), active.len());
            for (i, g) in active.iter().zip(gradient.outer_iter()) {
                let mut eta = eta.row_mut(*i);
                eta.zip_mut_with(&g, |e, g| *e += step * sign(*g));
                way[*i] = eta.dot(&eta);
            }
            cx.tick(done + 1, steps);
        }
        let mut order: Vec<usize> = (0..starts.len()).collect();
        order.sort_by(|a, b| way[*a].total_cmp(&way[*b]));
        order.truncate(cx.batch());
        let mut batch = Batch {
            ids: order.iter().map(|i| starts[*i]).collect(),
            scores: order.iter().map(|i| -way[*i] + 0.0).collect(),
        };
        let rest: Vec<usize> = cx.candidates.iter().skip(starts.len()).take(cx.batch() - batch.ids.len()).collect();
        cx.record("unscored", rest.len() as f64);
        let least = batch.scores.last().copied().unwrap_or(0.0);
        batch.scores.extend(rest.iter().map(|_| least));
        batch.ids.extend(rest);
        Ok(batch)
    }
}

/// -1, 0 or 1.
fn sign(v: f64) -> f64 {
    if v == 0.0 { 0.0 } else { v.signum() }
}

/// Variance and gradient, every one a number.
fn checked(surrogate: &dyn Surrogate, x: ArrayView2<f64>) -> Result<(Array1<f64>, Array2<f64>)> {
    let (variance, gradient) = surrogate.try_variance_gradient()?.at(x)?;
    if variance.len() != x.nrows() || gradient.dim() != x.dim() {
        return Err(Error::Plugin(format!(
            "the model gave {} variances and gradients of {:?} for {} points of {} features",
            variance.len(),
            gradient.dim(),
            x.nrows(),
            x.ncols()
        )));
    }
    match variance.iter().chain(&gradient).find(|v| !v.is_finite()) {
        None => Ok((variance, gradient)),
        Some(v) => Err(Error::Numerical(format!(
            "adversarial_bim: the model's variance or its gradient is {v}; check the features and the fit"
        ))),
    }
}

/// The way up of "paper".
struct Climb {
    gamma: f64,
    step: Option<f64>,
    steps: usize,
}

impl Climb {
    /// Best places (starts x features) and their variances, from the starts `t`; also the gradients asked for.
    fn run(&self, surrogate: &dyn Surrogate, t: Array2<f64>) -> Result<(Array2<f64>, Array1<f64>, usize)> {
        let radius: Vec<f64> = t.outer_iter().map(|t| self.gamma * t.dot(&t).sqrt()).collect();
        let root = (t.ncols() as f64).sqrt();
        let (mut best, mut x) = (t.clone(), t.clone());
        let (mut most, all) = checked(surrogate, t.view())?;
        let mut waited = vec![0; t.nrows()];
        let mut active: Vec<usize> = (0..t.nrows()).filter(|i| radius[*i] > 0.0).collect();
        let mut gradient = all.select(Axis(0), &active);
        let mut asked = t.nrows();
        for _ in 0..self.steps {
            let mut moving = vec![];
            for (&i, g) in active.iter().zip(gradient.outer_iter()) {
                if waited[i] == WAIT || g.iter().all(|g| *g == 0.0) {
                    continue;
                }
                moving.push(i);
                let step = self.step.unwrap_or(radius[i] / (10.0 * root));
                let mut x = x.row_mut(i);
                x.zip_mut_with(&g, |x, g| *x += step * sign(*g));
                let away = &x - &t.row(i);
                let length = away.dot(&away).sqrt();
                if length > radius[i] {
                    x.assign(&(&t.row(i) + &(away * (radius[i] / length))));
                }
            }
            if moving.is_empty() {
                break;
            }
            let (variance, next) = checked(surrogate, x.select(Axis(0), &moving).view())?;
            asked += moving.len();
            for (k, &i) in moving.iter().enumerate() {
                waited[i] = if variance[k] > most[i] * (1.0 + RISE) { 0 } else { waited[i] + 1 };
                if variance[k] > most[i] {
                    most[i] = variance[k];
                    best.row_mut(i).assign(&x.row(i));
                }
            }
            (active, gradient) = (moving, next);
        }
        Ok((best, most, asked))
    }
}

framework::register!(
    Acquisition,
    AdversarialBim,
    "adversarial_bim",
    "nearest candidates to where the predictive variance is climbed to"
);

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::TinyWorld;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Var = Σ_j w_j (x_j - c_j)², and how many points were asked about.
    struct Bowl {
        centre: Array1<f64>,
        weight: Array1<f64>,
        asked: AtomicUsize,
    }

    impl Bowl {
        fn new(centre: &[f64], weight: &[f64]) -> Self {
            let own = |v: &[f64]| v.iter().copied().collect();
            Self { centre: own(centre), weight: own(weight), asked: AtomicUsize::new(0) }
        }
    }

    impl Surrogate for Bowl {
        fn predict(&self, ids: &[usize]) -> Result<Posterior> {
            Ok(Posterior { mean: Array2::zeros((ids.len(), 1)), sd: None })
        }

        fn variance_gradient(&self) -> Option<&dyn VarianceGradient> {
            Some(self)
        }
    }

    impl VarianceGradient for Bowl {
        fn at(&self, x: ArrayView2<f64>) -> Result<(Array1<f64>, Array2<f64>)> {
            self.asked.fetch_add(x.nrows(), Ordering::Relaxed);
            let away = &x - &self.centre;
            Ok(((&away * &away).dot(&self.weight), 2.0 * away * &self.weight))
        }
    }

    fn world(x: Array2<f64>) -> (TinyWorld, Observed) {
        let n = x.nrows();
        let genes = Arc::new(Genes::new((0..n).map(|i| format!("G{i:03}"))).unwrap());
        let block = Block::new("x", x, vec![true; n]).unwrap();
        let inputs = Inputs::new(Arc::new(Pool::singles(genes)), vec![Arc::new(block)], Compose::Sum).unwrap();
        (TinyWorld { inputs: Arc::new(inputs), truth: Array2::zeros((n, 1)) }, Observed::empty(1))
    }

    /// Corner of the ball around `t` in the direction of signs away from the centre.
    fn corner(t: ArrayView1<f64>, gamma: f64) -> Array1<f64> {
        let radius = gamma * t.dot(&t).sqrt();
        let signs = t.mapv(f64::signum);
        &t + &(signs * (radius / (t.len() as f64).sqrt()))
    }

    #[test]
    fn the_climb_ends_where_the_ball_does() {
        let mut rng = Streams::new(1).rng("x");
        let t =
            Array2::from_shape_simple_fn((50, 6), || rng.random_range(0.5..3.0) * [1.0, -1.0][rng.random_range(0..2)]);
        let bowl = Bowl::new(&[0.0; 6], &[1.0; 6]);
        let climb = Climb { gamma: 0.35, step: None, steps: 50 };
        let (best, variance, asked) = climb.run(&bowl, t.clone()).unwrap();
        for ((t, b), v) in t.outer_iter().zip(best.outer_iter()).zip(&variance) {
            let (radius, away) = (0.35 * t.dot(&t).sqrt(), &b - &t);
            assert!((away.dot(&away).sqrt() - radius).abs() < 1e-9, "on the rim");
            // Farther from the centre than by the same signs all along, no farther than straight on.
            let c = corner(t, 0.35);
            assert!(*v > c.dot(&c) * (1.0 - 1e-2), "{v} {}", c.dot(&c));
            assert!(*v <= (1.35 * t.dot(&t).sqrt()).powi(2) * (1.0 + 1e-12));
            assert!((v - b.dot(&b)).abs() < 1e-9);
            // No sign changes on the way.
            assert!(b.iter().zip(t).all(|(b, t)| b * t > 0.0));
        }
        assert_eq!(asked, bowl.asked.load(Ordering::Relaxed));
        assert!(asked < 50 * 20, "rests after some steps: {asked}");
        // One step of a given size.
        let one = Climb { gamma: 0.35, step: Some(0.01), steps: 1 };
        let (best, ..) = one.run(&bowl, t.clone()).unwrap();
        for (b, t) in best.iter().zip(&t) {
            assert!((b - t - 0.01 * t.signum()).abs() < 1e-12);
        }
        // Where nothing can be gained everything stays.
        let flat = Bowl::new(&[0.0; 6], &[0.0; 6]);
        let (best, _, asked) = climb.run(&flat, t.clone()).unwrap();
        assert!(best == t && asked == 50);
        // A ball of radius 0 holds its centre alone.
        let nowhere = Bowl::new(&[1.0; 6], &[1.0; 6]);
        let (best, ..) = climb.run(&nowhere, Array2::zeros((2, 6))).unwrap();
        assert!(best == Array2::<f64>::zeros((2, 6)));
    }

    #[test]
    fn each_start_takes_the_nearest_that_is_left_in_order_of_variance() {
        // On a line: variance grows with x, steps lead to 1.35 x.
        let at = [1.0, 1.34, 1.8, 2.43, 3.3, 3.31];
        let x = Array2::from_shape_fn((6, 1), |(i, _)| at[i]);
        let (world, observed) = world(x);
        let bowl = Bowl::new(&[0.0], &[1.0]);
        let all = Candidates::new(6, vec![]);
        let pick = |k: usize, rule: &AdversarialBim, c: &Candidates| {
            rule.select(&world.context(k, c, &observed, Some(&bowl), None, 1)).unwrap()
        };
        let rule = AdversarialBim::default();
        // 5 goes beyond and takes itself, 4 likewise, 3 goes to 3.28 where 4 and 5 are gone: itself, then 2 to 2.43.
        assert_eq!(pick(3, &rule, &all).ids, [5, 4, 3]);
        let five = Candidates::new(6, vec![5]);
        let b = pick(5, &rule, &five);
        assert_eq!(b.ids, [4, 3, 2, 1, 0]);
        assert!((b.scores[0] - (1.35f64 * 3.3).powi(2)).abs() < 1e-9);
        // Without 4 and 5 start 3 takes itself, start 2 (to 2.43) finds 3 taken: brute force agrees.
        let three = Candidates::new(6, vec![4, 5]);
        assert_eq!(pick(2, &rule, &three).ids, [3, 2]);
        // Starts drawn: at least the batch.
        let few = AdversarialBim { starts: Some(1), ..AdversarialBim::default() };
        assert_eq!(pick(6, &few, &all).ids.len(), 6);
        // Where the variance falls with x, the way is down.
        let pit = Bowl::new(&[10.0], &[1.0]);
        let got = rule.select(&world.context(1, &all, &observed, Some(&pit), None, 1)).unwrap();
        assert_eq!(got.ids, [0]);
        assert!((got.scores[0] - (10.0f64 - 0.65).powi(2)).abs() < 1e-9);
    }

    #[test]
    fn the_codes_form_ranks_the_first_hundred_by_their_way() {
        let mut rng = Streams::new(2).rng("x");
        let x = Array2::from_shape_simple_fn((120, 4), || rng.random_range(-2.0..2.0));
        let (world, observed) = world(x.clone());
        let bowl = Bowl::new(&[0.0; 4], &[1.0; 4]);
        let candidates = Candidates::new(120, vec![3]);
        let rule = AdversarialBim { form: Form::Code, ..AdversarialBim::default() };
        let cx = world.context(110, &candidates, &observed, Some(&bowl), None, 1);
        let b = rule.select(&cx).unwrap();
        // Signs never change on the way out, so the way after k steps is 0.05 k √4.
        let ids: Vec<usize> = candidates.iter().take(100).collect();
        let way = |i: usize| {
            let radius = 0.35 * x.row(i).dot(&x.row(i)).sqrt();
            let mut k = 0.0;
            while 0.05 * k * 2.0 < radius - 1e-12 {
                k += 1.0;
            }
            0.1 * k
        };
        let mut order = ids.clone();
        order.sort_by(|a, b| way(*a).total_cmp(&way(*b)));
        assert_eq!(b.ids[..100], order[..]);
        assert!(b.ids[..100].iter().zip(&b.scores).all(|(i, s)| (s + way(*i).powi(2)).abs() < 1e-9));
        assert_eq!(b.ids[100..], candidates.iter().skip(100).take(10).collect::<Vec<_>>()[..]);
        assert_eq!(cx.into_recorded(), [("unscored".to_string(), 10.0)]);
        // A flat variance ends nowhere: all ways are 0.
        let flat = Bowl::new(&[0.0; 4], &[0.0; 4]);
        let b = rule.select(&world.context(2, &candidates, &observed, Some(&flat), None, 1)).unwrap();
        assert_eq!((b.ids, b.scores), (vec![0, 1], vec![0.0, 0.0]));
    }

    #[test]
    fn what_cannot_be_climbed_is_refused() {
        let (world, observed) = world(Array2::ones((5, 2)));
        let all = Candidates::new(5, vec![]);
        let bowl = Bowl::new(&[0.0; 2], &[f64::NAN; 2]);
        let refused = |rule: AdversarialBim, s: &dyn Surrogate| {
            rule.select(&world.context(2, &all, &observed, Some(s), None, 1)).unwrap_err().to_string()
        };
        for form in [Form::Paper, Form::Code] {
            let rule = AdversarialBim { form, ..AdversarialBim::default() };
            assert!(refused(rule, &bowl).contains("variance or its gradient is NaN"));
        }
        let good = Bowl::new(&[0.0; 2], &[1.0; 2]);
        assert!(refused(AdversarialBim { gamma: 0.0, ..AdversarialBim::default() }, &good).contains("`gamma`"));
        assert!(refused(AdversarialBim { starts: Some(0), ..AdversarialBim::default() }, &good).contains("`starts`"));
    }
}
