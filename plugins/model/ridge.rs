//! Bayesian ridge regression with an intercept: y = b + xᵀw + ε, w ~ N(0, σ²/λ), ε ~ N(0, σ²).
//!
//! ŵ = (XᵀX + λI)⁻¹Xᵀy on centred data, posterior variance σ²(1/n + xᵀ(XᵀX + λI)⁻¹x). λ is shared by the
//! outputs and maximises the evidence (MacKay 1992), or minimises the exact leave-one-out error (Golub,
//! Heath & Wahba 1979); σ² is one number an output. Everything comes from one eigendecomposition on the
//! smaller side: O(min(n, d)² max(n, d)), then O(min(n, d) L) for each λ tried.

use framework::numerics::{eigh, matmul, matmul_t, symmetric_product};
use framework::prelude::*;
use rand_distr::{Distribution, StandardNormal};

/// Linear regression on the prior features with a normal prior on the weights. Gives the sd of the noise-free
/// readout, exact draws of the weights and exact leave-one-out residuals.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ridge {
    /// Penalty λ > 0 on the squared weights, in units of the squared features; absent: chosen from the data.
    #[serde(default)]
    pub penalty: Option<f64>,
    /// How an absent penalty is chosen; default "evidence".
    #[serde(default)]
    pub choose: Choose,
}

/// How the penalty is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choose {
    /// Largest marginal likelihood, intercept integrated out. Steady when features outnumber rows.
    #[default]
    Evidence,
    /// Smallest leave-one-out squared error. Does not assume that the noise is normal.
    Loo,
}

#[typetag::serde(name = "ridge")]
impl Model for Ridge {
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>> {
        if let Some(p) = self.penalty
            && !(p > 0.0 && p.is_finite())
        {
            return Err(Error::Config(format!("ridge: the penalty must be a positive number, not {p}")));
        }
        if cx.inputs.n_features() == 0 {
            return Err(Error::Config(
                "ridge regresses on prior features but no prior is active; add a [prior.NAME] section".into(),
            ));
        }
        let data = Decomposed::new(cx.inputs.features(&cx.observed.ids), &cx.observed.y)?;
        let penalty = match (self.penalty, self.choose) {
            (Some(p), _) => p,
            (None, Choose::Evidence) => data.best_penalty(|p| -data.log_evidence(p)),
            (None, Choose::Loo) => data.best_penalty(|p| data.loo_residuals(p).mapv(|v| v * v).sum()),
        };
        let n = data.y.nrows() as f64;
        let noise = data.misfit(penalty).mapv(|q| if n > 1.0 { (q / (n - 1.0)).sqrt() } else { 0.0 });
        let shrunk = Array2::from_shape_fn(data.rotated.dim(), |(j, o)| {
            data.rotated[(j, o)] * data.squared[j].sqrt() / (data.squared[j] + penalty)
        });
        Ok(Box::new(Fitted {
            inputs: cx.inputs.clone(),
            n,
            penalty,
            noise,
            weights: matmul(data.axes.view(), shrunk.view()),
            residuals: (n > 1.0).then(|| data.loo_residuals(penalty)),
            x_mean: data.x_mean,
            y_mean: data.y_mean,
            squared: data.squared,
            axes: data.axes,
        }))
    }

    fn provides(&self) -> Abilities {
        Abilities::of([Ability::Sd, Ability::Draws, Ability::Covariance])
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Features])
    }
}

/// Centred data in the axes of its features, X = U diag(√squared) axesᵀ.
struct Decomposed {
    x_mean: Array1<f64>,
    y_mean: Array1<f64>,
    y: Array2<f64>,
    squared: Array1<f64>,
    /// features x rank.
    axes: Array2<f64>,
    /// rows x rank.
    u: Array2<f64>,
    /// Uᵀ y: rank x outputs.
    rotated: Array2<f64>,
    /// Sum of squares of y outside the span of U, an output each.
    outside: Array1<f64>,
}

impl Decomposed {
    fn new(x: Array2<f64>, y: &Array2<f64>) -> Result<Self> {
        let centre = |a: &Array2<f64>| a.mean_axis(Axis(0)).unwrap_or_else(|| Array1::zeros(a.ncols()));
        let (x_mean, y_mean) = (centre(&x), centre(y));
        let (x, y) = (x - &x_mean, y - &y_mean);
        let (n, d) = x.dim();
        let by_features = d <= n;
        let (values, vectors) =
            eigh(if by_features { symmetric_product(x.view()) } else { matmul_t(x.view(), x.view()) }.view())?;
        // Directions without variance have no eigenvector worth keeping; the penalty alone rules them.
        let least = values.iter().fold(0.0f64, |m, v| m.max(*v)) * n.max(d) as f64 * f64::EPSILON;
        let kept: Vec<usize> = (0..values.len()).filter(|&j| values[j] > least).collect();
        let squared = values.select(Axis(0), &kept);
        let lengths = squared.mapv(f64::sqrt);
        let vectors = vectors.select(Axis(1), &kept);
        let (u, axes) = if by_features {
            (matmul(x.view(), vectors.view()) / &lengths, vectors)
        } else {
            let axes = matmul(x.t(), vectors.view()) / &lengths;
            (vectors, axes)
        };
        let rotated = matmul(u.t(), y.view());
        let squares = |a: &Array2<f64>| a.mapv(|v| v * v).sum_axis(Axis(0));
        let outside = (squares(&y) - squares(&rotated)).mapv(|v| v.max(0.0));
        Ok(Self { x_mean, y_mean, y, squared, axes, u, rotated, outside })
    }

    /// σ²(n - 1) of each output at its most likely σ²: the residual sum of squares plus λ‖w‖².
    fn misfit(&self, penalty: f64) -> Array1<f64> {
        let kept = self.squared.mapv(|s| penalty / (s + penalty));
        let mut q = self.outside.clone();
        for (row, k) in self.rotated.outer_iter().zip(&kept) {
            q.zip_mut_with(&row, |q, a| *q += k * a * a);
        }
        q
    }

    /// Log evidence of the n - 1 contrasts at the most likely σ², without constants. Outputs that do not
    /// vary say nothing.
    fn log_evidence(&self, penalty: f64) -> f64 {
        let half_det = 0.5 * self.squared.iter().map(|s| (1.0 + s / penalty).ln()).sum::<f64>();
        let half_n = 0.5 * (self.y.nrows() as f64 - 1.0);
        let misfit = self.misfit(penalty);
        misfit.iter().filter(|q| **q > 0.0).map(|q| -half_n * q.ln() - half_det).sum()
    }

    /// y - ŷ of each row when it is left out, intercept refitted: the residual over one minus its leverage.
    fn loo_residuals(&self, penalty: f64) -> Array2<f64> {
        let share = self.squared.mapv(|s| s / (s + penalty));
        let scaled = Array2::from_shape_fn(self.rotated.dim(), |(j, o)| share[j] * self.rotated[(j, o)]);
        let mut residuals = &self.y - &matmul(self.u.view(), scaled.view());
        let n = self.y.nrows() as f64;
        for (mut r, u) in residuals.outer_iter_mut().zip(self.u.outer_iter()) {
            let leverage = 1.0 / n + u.iter().zip(&share).map(|(u, s)| u * u * s).sum::<f64>();
            r /= (1.0 - leverage).max(f64::EPSILON);
        }
        residuals
    }

    /// The penalty of least cost: twelve decades around the mean variance along the axes, five steps a decade,
    /// then the vertex of the parabola through the best three.
    fn best_penalty(&self, cost: impl Fn(f64) -> f64) -> f64 {
        const STEPS: usize = 60;
        let middle = self.squared.mean().unwrap_or(1.0);
        let at = |t: f64| middle * 10f64.powf(-6.0 + t / 5.0);
        let costs: Vec<f64> = (0..=STEPS).map(|t| cost(at(t as f64))).collect();
        let best = (0..=STEPS).rev().min_by(|&a, &b| costs[a].total_cmp(&costs[b])).unwrap_or(STEPS);
        if best == 0 || best == STEPS {
            return at(best as f64);
        }
        let (before, after) = (costs[best - 1] - costs[best], costs[best + 1] - costs[best]);
        let shift = if before + after > 0.0 { 0.5 * (before - after) / (before + after) } else { 0.0 };
        at(best as f64 + shift)
    }
}

struct Fitted {
    inputs: std::sync::Arc<Inputs>,
    n: f64,
    penalty: f64,
    /// Noise sd of each output.
    noise: Array1<f64>,
    /// features x outputs.
    weights: Array2<f64>,
    residuals: Option<Array2<f64>>,
    x_mean: Array1<f64>,
    y_mean: Array1<f64>,
    squared: Array1<f64>,
    axes: Array2<f64>,
}

/// Rows predicted in one piece.
const TILE: usize = 4096;

impl Fitted {
    fn rows(&self, ids: &[usize]) -> Array2<f64> {
        self.inputs.features(ids) - &self.x_mean
    }

    /// Posterior variance of the function in units of σ², a row each.
    fn variance(&self, x: &Array2<f64>) -> Array1<f64> {
        let along = matmul(x.view(), self.axes.view());
        let inside = self.squared.mapv(|s| 1.0 / (s + self.penalty));
        // Full rank leaves nothing outside the axes but rounding.
        let outside = if self.squared.len() < x.ncols() { 1.0 / self.penalty } else { 0.0 };
        let rows = x.outer_iter().zip(along.outer_iter()).map(|(x, a)| {
            let seen: f64 = a.iter().zip(&inside).map(|(a, w)| a * a * w).sum();
            1.0 / self.n + seen + outside * (x.dot(&x) - a.dot(&a)).max(0.0)
        });
        rows.collect()
    }
}

impl Surrogate for Fitted {
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        let l = self.y_mean.len();
        let (mut mean, mut sd) = (Array2::zeros((ids.len(), l)), Array2::zeros((ids.len(), l)));
        for (t, tile) in ids.chunks(TILE).enumerate() {
            let x = self.rows(tile);
            let m = matmul(x.view(), self.weights.view()) + &self.y_mean;
            let v = self.variance(&x);
            for i in 0..tile.len() {
                mean.row_mut(t * TILE + i).assign(&m.row(i));
                sd.row_mut(t * TILE + i).assign(&(&self.noise * v[i].sqrt()));
            }
        }
        Ok(Posterior { mean, sd: Some(sd) })
    }

    fn draws(&self) -> Option<&dyn JointDraws> {
        Some(self)
    }

    fn covariance(&self) -> Option<&dyn PosteriorCovariance> {
        Some(self)
    }

    fn noise_variance(&self) -> Option<Array1<f64>> {
        Some(&self.noise * &self.noise)
    }

    fn loo_residuals(&self) -> Option<Array2<f64>> {
        self.residuals.clone()
    }

    fn record(&self) -> Vec<(String, f64)> {
        let noise = (self.noise.dot(&self.noise) / self.noise.len() as f64).sqrt();
        vec![("ridge.penalty".into(), self.penalty), ("ridge.noise".into(), noise)]
    }
}

impl JointDraws for Fitted {
    /// Exact draws of intercept and weights. With g standard normal, w = ŵ + σ(A^{-1/2} g) where A^{-1/2} is
    /// (s² + λ)^{-1/2} along the axes and λ^{-1/2} across them.
    fn draw(&self, ids: &[usize], n: usize, rng: &mut StreamRng) -> Result<Array3<f64>> {
        let (d, l) = self.weights.dim();
        let g = Array2::from_shape_simple_fn((d, n * l), || -> f64 { StandardNormal.sample(rng) });
        let intercept: Vec<f64> = (0..n * l).map(|_| StandardNormal.sample(rng)).collect();
        let across = 1.0 / self.penalty.sqrt();
        let mut along = matmul(self.axes.t(), g.view());
        for (mut row, s) in along.outer_iter_mut().zip(&self.squared) {
            row *= 1.0 / (s + self.penalty).sqrt() - across;
        }
        let deviation = matmul(self.axes.view(), along.view()) + g * across;
        let mut out = Array3::zeros((n, ids.len(), l));
        for (t, tile) in ids.chunks(TILE).enumerate() {
            let x = self.rows(tile);
            let (m, z) = (matmul(x.view(), self.weights.view()), matmul(x.view(), deviation.view()));
            for k in 0..n {
                for i in 0..tile.len() {
                    for o in 0..l {
                        let c = k * l + o;
                        let off = z[(i, c)] + intercept[c] / self.n.sqrt();
                        out[(k, t * TILE + i, o)] = self.y_mean[o] + m[(i, o)] + self.noise[o] * off;
                    }
                }
            }
        }
        Ok(out)
    }
}

impl PosteriorCovariance for Fitted {
    /// σ²(1/n + xᵀ(XᵀX + λI)⁻¹x') of centred rows.
    fn between(&self, a: &[usize], b: &[usize], output: usize) -> Result<Array2<f64>> {
        let (x, y) = (self.rows(a), self.rows(b));
        let (along_x, along_y) = (matmul(x.view(), self.axes.view()), matmul(y.view(), self.axes.view()));
        // Inside the axes 1 / (s + λ), outside 1 / λ.
        let outside = if self.squared.len() < x.ncols() { 1.0 / self.penalty } else { 0.0 };
        let inside = self.squared.mapv(|s| 1.0 / (s + self.penalty) - outside);
        let mut k = matmul_t((&along_x * &inside).view(), along_y.view()) + 1.0 / self.n;
        if outside > 0.0 {
            k += &(matmul_t(x.view(), y.view()) * outside);
        }
        Ok(k * self.noise[output].powi(2))
    }

    fn scales(&self) -> Option<Array1<f64>> {
        Some(&self.noise * &self.noise)
    }
}

framework::register!(Model, Ridge, "ridge", "Bayesian linear regression on the prior features");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::domain::Readouts;
    use framework::testing::TinyWorld;

    fn fit(model: &Ridge, world: &TinyWorld, observed: &Observed) -> Box<dyn Surrogate> {
        model.fit(&FitContext { inputs: &world.inputs, observed, streams: &Streams::new(1) }).unwrap()
    }

    /// Readouts with noise of sd 1 an output, so that the penalty matters.
    fn noisy(world: &TinyWorld, ids: &[usize]) -> Observed {
        let mut rng = Streams::new(8).rng("noise");
        let y = Array2::from_shape_fn((ids.len(), world.truth.ncols()), |(i, o)| {
            let z: f64 = StandardNormal.sample(&mut rng);
            world.truth[(ids[i], o)] + z
        });
        let mut observed = Observed::empty(world.truth.ncols());
        observed.push(&Readouts::plain(ids, y), 0).unwrap();
        observed
    }

    /// (centred X, A = XᵀX + λI as a Cholesky factor).
    fn normal_equations(x: &Array2<f64>, penalty: f64) -> (Array2<f64>, Cholesky) {
        let x = x - &x.mean_axis(Axis(0)).unwrap();
        let a = x.t().dot(&x) + Array2::<f64>::eye(x.ncols()) * penalty;
        (x, Cholesky::new(a.view()).unwrap())
    }

    #[test]
    fn mean_and_sd_solve_the_normal_equations_on_either_side() {
        for (features, rows) in [(3, 12), (20, 8)] {
            let world = TinyWorld::new(30, features, 2, false, 5).unwrap();
            let ids: Vec<usize> = (0..rows).map(|i| 2 * i).collect();
            let observed = noisy(&world, &ids);
            let p = fit(&Ridge { penalty: Some(0.7), ..Ridge::default() }, &world, &observed).predict(&[1, 2]).unwrap();
            let x = world.inputs.features(&ids);
            let (xc, a) = normal_equations(&x, 0.7);
            let yc = &observed.y - &observed.mean();
            let w = a.solve(xc.t().dot(&yc).view());
            let star = world.inputs.features(&[1, 2]) - &x.mean_axis(Axis(0)).unwrap();
            let (mean, quad) = (star.dot(&w) + &observed.mean(), a.quadratic(star.t()));
            for o in 0..2 {
                let fitted = xc.dot(&w.column(o));
                let ssq = (&yc.column(o) - &fitted).mapv(|v| v * v).sum() + 0.7 * w.column(o).dot(&w.column(o));
                let noise2 = ssq / (rows as f64 - 1.0);
                for i in 0..2 {
                    assert!((p.mean[(i, o)] - mean[(i, o)]).abs() < 1e-10);
                    let sd = (noise2 * (1.0 / rows as f64 + quad[i])).sqrt();
                    assert!((p.sd.as_ref().unwrap()[(i, o)] - sd).abs() < 1e-10);
                }
            }
        }
    }

    #[test]
    fn leave_one_out_residuals_equal_refits() {
        for (features, rows) in [(4, 15), (12, 9)] {
            let world = TinyWorld::new(30, features, 1, false, 6).unwrap();
            let ids: Vec<usize> = (0..rows).map(|i| i + 3).collect();
            let observed = noisy(&world, &ids);
            let model = Ridge { penalty: Some(0.4), ..Ridge::default() };
            let loo = fit(&model, &world, &observed).loo_residuals().unwrap();
            for i in 0..rows {
                let rest: Vec<usize> = (0..rows).filter(|j| *j != i).collect();
                let mut others = Observed::empty(1);
                let rest_ids: Vec<usize> = rest.iter().map(|&j| ids[j]).collect();
                others.push(&Readouts::plain(&rest_ids, observed.y.select(Axis(0), &rest)), 0).unwrap();
                let p = fit(&model, &world, &others).predict(&[ids[i]]).unwrap();
                assert!((loo[(i, 0)] - (observed.y[(i, 0)] - p.mean[(0, 0)])).abs() < 1e-9, "{i}");
            }
        }
    }

    #[test]
    fn the_chosen_penalty_is_the_best_of_a_fine_grid() {
        for choose in [Choose::Evidence, Choose::Loo] {
            for (features, rows) in [(5, 40), (40, 20)] {
                let world = TinyWorld::new(60, features, 2, false, 7).unwrap();
                let observed = noisy(&world, &(0..rows).collect::<Vec<_>>());
                let data = Decomposed::new(world.inputs.features(&observed.ids), &observed.y).unwrap();
                let cost = |p: f64| match choose {
                    Choose::Evidence => -data.log_evidence(p),
                    Choose::Loo => data.loo_residuals(p).mapv(|v| v * v).sum(),
                };
                let chosen = fit(&Ridge { penalty: None, choose }, &world, &observed).record()[0].1;
                let middle = data.squared.mean().unwrap();
                let best = (0..4000).map(|t| cost(middle * 10f64.powf(-6.0 + 12.0 * t as f64 / 3999.0)));
                let best = best.fold(f64::INFINITY, f64::min);
                assert!(
                    cost(chosen) - best < 1e-3 * best.abs().max(1.0),
                    "{choose:?} {features}: {} {best}",
                    cost(chosen)
                );
            }
        }
    }

    #[test]
    fn the_evidence_is_that_of_the_marginal_normal_distribution() {
        // Contrasts C y of covariance σ²(I + C X Xᵀ Cᵀ / λ), C the n - 1 rows of a Helmert matrix.
        let world = TinyWorld::new(12, 3, 1, false, 9).unwrap();
        let ids: Vec<usize> = (0..7).collect();
        let observed = noisy(&world, &ids);
        let x = world.inputs.features(&ids);
        let helmert = Array2::from_shape_fn((6, 7), |(i, j)| {
            let k = (i + 1) as f64;
            let length = (k * (k + 1.0)).sqrt();
            if j <= i {
                1.0 / length
            } else if j == i + 1 {
                -k / length
            } else {
                0.0
            }
        });
        let data = Decomposed::new(x.clone(), &observed.y).unwrap();
        let brute = |penalty: f64| {
            let cx = helmert.dot(&x);
            let c = Cholesky::new((Array2::<f64>::eye(6) + cx.dot(&cx.t()) / penalty).view()).unwrap();
            let q = c.quadratic(helmert.dot(&observed.y).view())[0];
            -3.0 * q.ln() - 0.5 * c.log_det()
        };
        for penalty in [0.1, 3.0] {
            assert!((data.log_evidence(penalty) - brute(penalty)).abs() < 1e-9);
        }
    }

    #[test]
    fn covariances_inside_and_outside_the_axes_have_the_variances_on_their_diagonal() {
        for (features, rows) in [(3, 12), (20, 8)] {
            let world = TinyWorld::new(30, features, 2, false, 5).unwrap();
            let observed = noisy(&world, &(0..rows).collect::<Vec<_>>());
            let s = fit(&Ridge { penalty: Some(0.9), ..Ridge::default() }, &world, &observed);
            let ids: Vec<usize> = (4..30).collect();
            let sd = s.predict(&ids).unwrap().sd.unwrap();
            for o in 0..2 {
                let k = s.covariance().unwrap().between(&ids, &ids, o).unwrap();
                assert!((0..26).all(|i| (k[(i, i)] - sd[(i, o)].powi(2)).abs() < 1e-10));
                assert!(
                    (&k / s.covariance().unwrap().scales().unwrap()[o]
                        - s.covariance().unwrap().between(&ids, &ids, 0).unwrap() / s.noise_variance().unwrap()[0])
                        .iter()
                        .all(|d| d.abs() < 1e-10)
                );
            }
        }
    }

    #[test]
    fn draws_have_the_posterior_mean_and_covariance() {
        let world = TinyWorld::new(30, 9, 1, false, 5).unwrap();
        let observed = noisy(&world, &[0, 3, 5, 8, 11, 12]);
        let s = fit(&Ridge { penalty: Some(0.9), ..Ridge::default() }, &world, &observed);
        let (ids, n) = ([1, 2, 3], 40_000);
        let p = s.predict(&ids).unwrap();
        let d = s.draws().unwrap().draw(&ids, n, &mut Streams::new(3).rng("draw")).unwrap();
        let x = world.inputs.features(&observed.ids);
        let (_, a) = normal_equations(&x, 0.9);
        let star = world.inputs.features(&ids) - &x.mean_axis(Axis(0)).unwrap();
        let noise2 = s.record()[1].1.powi(2);
        let covariance = (star.dot(&a.solve(star.t())) + 1.0 / 6.0) * noise2;
        let own = s.covariance().unwrap().between(&ids[..2], &ids, 0).unwrap();
        assert!((&own - &covariance.slice(ndarray::s![..2, ..])).iter().all(|d| d.abs() < 1e-10));
        for i in 0..3 {
            let m = d.slice(ndarray::s![.., i, 0]).mean().unwrap();
            assert!((m - p.mean[(i, 0)]).abs() < 4.0 * p.sd.as_ref().unwrap()[(i, 0)] / (n as f64).sqrt());
            for j in 0..3 {
                let c = (0..n).map(|k| (d[(k, i, 0)] - p.mean[(i, 0)]) * (d[(k, j, 0)] - p.mean[(j, 0)])).sum::<f64>();
                let spread = (covariance[(i, i)] * covariance[(j, j)]).sqrt();
                assert!((c / n as f64 - covariance[(i, j)]).abs() < 0.04 * spread, "{i} {j}");
            }
        }
    }
}
