//! Kernel ridge regression of profiles on the fused priors: the strong simple baseline of Perturb-seq prediction.
//!
//! Δ̂(x) = Δ̄ + k_xᵀ(K + λI)⁻¹(Δ - Δ̄), K over the measured rows and, like k, centred by them, so that the intercept is
//! not penalised and a common mean of a source has no say. λ minimises the leave-one-out error; with A = (K + λI)⁻¹ the
//! residuals are λ[A(Δ - Δ̄)]ᵢ / (λAᵢᵢ - 1/n), intercept refitted. One eigendecomposition, O(n³), then O(n r²) for each
//! λ tried with r the rank of K; prediction O(n (d + L)) an id with d features behind the kernel. For a standard deviation or draws use `gp`.

use argmin::core::Executor;
use argmin::solver::goldensectionsearch::GoldenSectionSearch;
use framework::numerics::minimise::Cost;
use framework::numerics::{eigh, matmul, matmul_t};
use framework::prelude::*;
use framework::serde_json::{self, json};

/// Kernel ridge regression, all outputs with one penalty. The kernel's own representation is that of its Nyström
/// features on the measured rows, L⁻¹k_x with LLᵀ = K + λI: inner products are the part of the kernel that the
/// measurements explain.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KernelRidge {
    /// A kernel, as a table with `use`; default the mean of the priors' kernels, each centred and over its mean diagonal:
    /// { use = "fuse_mean", with = [], normalise = "center_diag" }.
    #[serde(default)]
    pub kernel: Option<Box<dyn Kernel>>,
    /// Penalty λ > 0 as a multiple of the mean of the kernel's diagonal over the measured rows; absent: by leave-one-out.
    #[serde(default)]
    pub penalty: Option<f64>,
}

#[typetag::serde(name = "kernel_ridge")]
impl Model for KernelRidge {
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>> {
        if let Some(p) = self.penalty
            && !(p > 0.0 && p.is_finite())
        {
            return Err(Error::Config(format!("kernel_ridge: the penalty must be a positive number, not {p}")));
        }
        let made: Box<dyn Kernel>;
        let kernel = match &self.kernel {
            Some(k) => k,
            None => {
                let form = json!({ "use": "fuse_mean", "with": [], "normalise": "center_diag" });
                made = serde_json::from_value(form).map_err(|e| {
                    Error::Config(format!("kernel_ridge: name a kernel; the default needs fuse_mean ({e})"))
                })?;
                &made
            }
        };
        let observed = cx.observed;
        let gram = kernel.gram(&KernelContext::new(cx.inputs, observed, &cx.streams.child("kernel")))?;
        let all: Vec<usize> = (0..observed.len()).collect();
        let mut matrix = gram.restrict(&observed.ids).to_dense(&all);
        if matrix.iter().any(|v| !v.is_finite()) {
            return Err(Error::Numerical(
                "kernel_ridge: the kernel of the measured perturbations holds values that are not finite; check the \
                 prior features for huge values"
                    .into(),
            ));
        }
        let centre = matrix.mean_axis(Axis(0)).unwrap_or_default();
        let level = centre.mean().unwrap_or(0.0);
        for (mut row, m) in matrix.outer_iter_mut().zip(&centre) {
            row.zip_mut_with(&centre, |v, c| *v += level - c - m);
        }
        let mean = observed.mean();
        let y = &observed.y - &mean;
        let unit = matrix.diag().mean().filter(|u| *u > 0.0).unwrap_or(1.0);
        let loo = LeaveOneOut::new(&matrix, &y)?;
        let penalty = match self.penalty {
            Some(p) => p * unit,
            None => loo.best(unit)?,
        };
        let (weights, residuals) = loo.solve(penalty, &y);
        let mut shifted = matrix;
        shifted.diag_mut().iter_mut().for_each(|v| *v += penalty);
        Ok(Box::new(Fitted {
            train: observed.ids.clone(),
            gram,
            centre,
            level,
            mean,
            weights,
            residuals: (observed.len() > 1).then_some(residuals),
            factor: Cholesky::new(shifted.view())?,
            penalty: penalty / unit,
        }))
    }

    fn provides(&self) -> Abilities {
        Abilities::of([Ability::Embedding])
    }

    fn needs(&self) -> Abilities {
        self.kernel.as_ref().map_or(Abilities::of([Ability::Features]), |k| k.needs())
    }
}

/// The leave-one-out error as a function of the penalty.
struct LeaveOneOut {
    /// Eigenvalues above rounding, and their vectors (rows x rank).
    values: Array1<f64>,
    vectors: Array2<f64>,
    /// Z = VᵀΔ̃: rank x outputs. Outputs enter the error only through the inner products ZZᵀ, Δ̃Zᵀ and |Δ̃ᵢ|².
    along: Array2<f64>,
    inner: Array2<f64>,
    cross: Array2<f64>,
    squares: Vec<f64>,
}

impl LeaveOneOut {
    fn new(matrix: &Array2<f64>, y: &Array2<f64>) -> Result<Self> {
        let (values, vectors) = eigh(matrix.view())?;
        let least = values.iter().fold(0.0f64, |m, v| m.max(*v)) * y.nrows() as f64 * f64::EPSILON;
        let kept: Vec<usize> = (0..values.len()).filter(|&j| values[j] > least).collect();
        let (values, vectors) = (values.select(Axis(0), &kept), vectors.select(Axis(1), &kept));
        let along = matmul(vectors.t(), y.view());
        Ok(Self {
            inner: matmul_t(along.view(), along.view()),
            cross: matmul_t(y.view(), along.view()),
            squares: y.outer_iter().map(|r| r.dot(&r)).collect(),
            values,
            vectors,
            along,
        })
    }

    /// V diag(s / (s + λ)), and one minus the leverage of each row, intercept included.
    fn fitted(&self, penalty: f64) -> (Array2<f64>, Vec<f64>) {
        let scaled = &self.vectors * &self.values.mapv(|s| s / (s + penalty));
        let n = self.squares.len() as f64;
        let rows = scaled.outer_iter().zip(self.vectors.outer_iter());
        let rest = rows.map(|(a, v)| (1.0 - a.dot(&v) - 1.0 / n).max(f64::EPSILON)).collect();
        (scaled, rest)
    }

    /// Sum over rows and outputs of the squared residuals. O(rows x rank²).
    fn error(&self, penalty: f64) -> f64 {
        let (scaled, rest) = self.fitted(penalty);
        let product = matmul(scaled.view(), self.inner.view());
        let each =
            product.outer_iter().zip(scaled.outer_iter()).zip(self.cross.outer_iter().zip(&self.squares)).zip(rest);
        each.map(|(((p, s), (c, square)), rest)| (square - 2.0 * s.dot(&c) + p.dot(&s)).max(0.0) / (rest * rest)).sum()
    }

    /// The best penalty: seven decades around the mean diagonal, then golden sections within the best.
    fn best(&self, unit: f64) -> Result<f64> {
        if self.squares.len() < 2 {
            return Ok(unit);
        }
        let at = |t: f64| unit * 10f64.powf(t);
        let cost = |t: f64| self.error(at(t));
        // From the largest down: rows that teach nothing are answered by the mean.
        let tried: Vec<(f64, f64)> = (-4..=3).rev().map(|t| (f64::from(t), cost(f64::from(t)))).collect();
        let best = tried.iter().fold((0.0, f64::INFINITY), |b, c| if c.1 < b.1 { *c } else { b }).0;
        let text =
            |e: argmin::core::Error| Error::Numerical(format!("kernel_ridge: the search for a penalty failed: {e}"));
        let solver =
            GoldenSectionSearch::new(best - 1.0, best + 1.0).and_then(|s| s.with_tolerance(0.05)).map_err(text)?;
        let run = Executor::new(Cost(&cost), solver).configure(|s| s.param(best).max_iters(12)).run().map_err(text)?;
        Ok(at(run.state.best_param.unwrap_or(best)))
    }

    /// (K + λI)⁻¹Δ̃ and the leave-one-out residuals.
    fn solve(&self, penalty: f64, y: &Array2<f64>) -> (Array2<f64>, Array2<f64>) {
        let (scaled, rest) = self.fitted(penalty);
        let mut residuals = y - &matmul(scaled.view(), self.along.view());
        let weights = &residuals / penalty;
        residuals.outer_iter_mut().zip(rest).for_each(|(mut r, d)| r /= d);
        (weights, residuals)
    }
}

struct Fitted {
    train: Vec<usize>,
    gram: Gram,
    /// Means of the kernel's columns over the measured rows, and of all of it.
    centre: Array1<f64>,
    level: f64,
    mean: Array1<f64>,
    weights: Array2<f64>,
    residuals: Option<Array2<f64>>,
    factor: Cholesky,
    penalty: f64,
}

/// Perturbations predicted in one piece.
const TILE: usize = 4096;

impl Fitted {
    /// The centred kernel with the measured rows: ids x rows.
    fn similar(&self, ids: &[usize]) -> Array2<f64> {
        let mut k = self.gram.block(ids, &self.train);
        for mut row in k.outer_iter_mut() {
            let shift = self.level - row.mean().unwrap_or(0.0);
            row.zip_mut_with(&self.centre, |v, c| *v += shift - c);
        }
        k
    }
}

impl Surrogate for Fitted {
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        let mut mean = Array2::zeros((ids.len(), self.mean.len()));
        for (ids, mut out) in ids.chunks(TILE).zip(mean.axis_chunks_iter_mut(Axis(0), TILE)) {
            out.assign(&(matmul(self.similar(ids).view(), self.weights.view()) + &self.mean));
        }
        Ok(Posterior { mean, sd: None })
    }

    fn representation(&self) -> Option<&dyn Representation> {
        Some(self)
    }

    fn loo_residuals(&self) -> Option<Array2<f64>> {
        self.residuals.clone()
    }

    fn record(&self) -> Vec<(String, f64)> {
        vec![("kernel_ridge_penalty".into(), self.penalty)]
    }
}

impl Representation for Fitted {
    fn embed(&self, ids: &[usize]) -> Result<Array2<f64>> {
        Ok(self.factor.half_solve(self.similar(ids).t()).reversed_axes().as_standard_layout().into_owned())
    }
}

framework::register!(
    Model,
    KernelRidge,
    "kernel_ridge",
    "kernel ridge regression on the fused priors, penalty by leave-one-out"
);

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::TinyWorld;

    fn linear(penalty: Option<f64>) -> KernelRidge {
        serde_json::from_value(json!({ "kernel": { "use": "linear" }, "penalty": penalty })).unwrap()
    }

    fn fit(model: &KernelRidge, world: &TinyWorld, observed: &Observed) -> Box<dyn Surrogate> {
        model.fit(&FitContext { inputs: &world.inputs, observed, streams: &Streams::new(1) }).unwrap()
    }

    /// Ridge on the features has the same predictions: wᵀ = (XᵀX + λI)⁻¹Xᵀỹ.
    #[test]
    fn a_linear_kernel_is_ridge_regression() {
        let world = TinyWorld::new(30, 4, 3, false, 2).unwrap();
        let measured: Vec<usize> = (0..12).chain(3..5).collect();
        let observed = world.observe(&measured, 1).unwrap();
        let s = fit(&linear(Some(0.3)), &world, &observed);
        let x = world.inputs.features(&measured);
        let x_mean = x.mean_axis(Axis(0)).unwrap();
        let x = x - &x_mean;
        let lambda = 0.3 * x.iter().map(|v| v * v).sum::<f64>() / 14.0;
        let mean = observed.mean();
        let a = x.t().dot(&x) + Array2::<f64>::eye(4) * lambda;
        let w = Cholesky::new(a.view()).unwrap().solve(x.t().dot(&(&observed.y - &mean)).view());
        let ids: Vec<usize> = (0..30).collect();
        let all = world.inputs.features(&ids) - &x_mean;
        let want = all.dot(&w) + &mean;
        let got = s.predict(&ids).unwrap().mean;
        assert!((&got - &want).iter().all(|d| d.abs() < 1e-9));
        // The embedding's inner products are the explained part of the kernel.
        let (e, k) = (s.representation().unwrap().embed(&ids).unwrap(), all.dot(&x.t()));
        let full = x.dot(&x.t()) + Array2::<f64>::eye(14) * lambda;
        let want = k.dot(&Cholesky::new(full.view()).unwrap().solve(k.t()));
        assert!((e.dot(&e.t()) - want).iter().all(|d| d.abs() < 1e-9));
    }

    #[test]
    fn leave_one_out_is_what_refitting_gives_and_its_least_is_found() {
        let world = TinyWorld::new(20, 5, 2, false, 3).unwrap();
        let ids: Vec<usize> = (0..9).collect();
        let mut observed = world.observe(&ids, 1).unwrap();
        let mut rng = Streams::new(5).rng("noise");
        observed.y.mapv_inplace(|v| v + rng.random_range(-1.5..1.5));
        let x = world.inputs.features(&ids);
        let centred = |a: &Array2<f64>| a - &a.mean_axis(Axis(0)).unwrap();
        let (k, y) = (centred(&x).dot(&centred(&x).t()), centred(&observed.y));
        let loo = LeaveOneOut::new(&k, &y).unwrap();
        let brute = |lambda: f64| {
            let left_out = |i: usize| {
                let rest: Vec<usize> = (0..9).filter(|j| *j != i).collect();
                let (xr, yr) = (x.select(Axis(0), &rest), observed.y.select(Axis(0), &rest));
                let a = centred(&xr).t().dot(&centred(&xr)) + Array2::<f64>::eye(5) * lambda;
                let w = Cholesky::new(a.view()).unwrap().solve(centred(&xr).t().dot(&yr).view());
                let at = &x.row(i) - &xr.mean_axis(Axis(0)).unwrap();
                &observed.y.row(i) - &yr.mean_axis(Axis(0)).unwrap() - at.dot(&w)
            };
            (0..9).map(left_out).collect::<Vec<_>>()
        };
        let want = brute(0.7);
        let got = loo.solve(0.7, &y).1;
        assert!(got.outer_iter().zip(&want).all(|(g, w)| (&g - w).iter().all(|d| d.abs() < 1e-9)));
        let square: f64 = want.iter().map(|r| r.dot(r)).sum();
        assert!((loo.error(0.7) / square - 1.0).abs() < 1e-9);
        let unit = k.diag().mean().unwrap();
        let found = loo.error(loo.best(unit).unwrap());
        let grid =
            (0..400).map(|i| loo.error(unit * 10f64.powf(-4.5 + 0.02 * f64::from(i)))).fold(f64::INFINITY, f64::min);
        assert!(found <= grid * 1.002, "{found} {grid}");
    }

    #[test]
    fn the_default_kernel_learns_and_one_row_gives_its_mean() {
        let world = TinyWorld::new(60, 4, 3, false, 4).unwrap();
        let observed = world.observe(&(0..40).collect::<Vec<_>>(), 1).unwrap();
        let rest: Vec<usize> = (40..60).collect();
        let p = fit(&KernelRidge::default(), &world, &observed).predict(&rest).unwrap().mean;
        let truth = world.truth.select(Axis(0), &rest);
        let error = (&p - &truth).mapv(|v| v * v).mean().unwrap();
        assert!(error < 0.02, "{error}");
        let one = world.observe(&[3], 1).unwrap();
        let s = fit(&KernelRidge::default(), &world, &one);
        assert_eq!(s.predict(&[9]).unwrap().mean.row(0), one.y.row(0));
        let e =
            linear(Some(-1.0)).fit(&FitContext { inputs: &world.inputs, observed: &one, streams: &Streams::new(1) });
        assert!(e.is_err_and(|e| e.to_string().contains("positive")));
    }
}
