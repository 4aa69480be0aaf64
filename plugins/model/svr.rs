//! Support vector regression with a Gaussian kernel on the prior features (Smola and Schölkopf 2004, eq. 10 to 16).
//!
//! ŷ(x) = b + Σ_i w_i exp(-γ‖x - x_i‖²) with |w_i| ≤ C, Σ w_i = 0, fitted to readouts over their sd: errors below ε cost
//! nothing. smartcore solves the dual by sequential minimal optimisation; predictions are a matrix product here. Fit
//! O(n² d) and more an output, prediction O(n d) an id.

use framework::numerics::{matmul, sq_distances};
use framework::prelude::*;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::svm::Kernels;
use smartcore::svm::svr::{SVR, SVRParameters};
use std::sync::Arc;

/// A baseline without a standard deviation, for rules that ask for a mean only. Each output is fitted by itself.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Svr {
    /// Largest weight of a measurement, in sds of the readouts; default 1.
    #[serde(default = "one")]
    pub c: f64,
    /// Errors below it cost nothing, in sds of the readouts; default 0.1.
    #[serde(default = "tenth")]
    pub epsilon: f64,
    /// γ of the kernel, per squared unit of the features; absent: 1 over the number of features times the variance of
    /// all their values, as scikit-learn's "scale".
    #[serde(default)]
    pub gamma: Option<f64>,
}

fn one() -> f64 {
    1.0
}

fn tenth() -> f64 {
    0.1
}

impl Default for Svr {
    fn default() -> Self {
        Self { c: one(), epsilon: tenth(), gamma: None }
    }
}

/// By how much the conditions of the optimum may be missed, in sds of the readouts.
const TOLERANCE: f64 = 1e-3;

#[typetag::serde(name = "svr")]
impl Model for Svr {
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>> {
        for (name, value, least) in [("c", self.c, f64::MIN_POSITIVE), ("epsilon", self.epsilon, 0.0)] {
            if !(value >= least && value.is_finite()) {
                let words = if least > 0.0 { "a positive number" } else { "0 or a positive number" };
                return Err(Error::Config(format!("svr: {name} must be {words}, not {value}")));
            }
        }
        if cx.inputs.n_features() == 0 {
            return Err(Error::Config(
                "svr compares feature rows but no prior is active; add a [prior.NAME] section".into(),
            ));
        }
        let x = cx.inputs.features(&cx.observed.ids);
        let spread = x.var(0.0);
        let gamma = match self.gamma {
            Some(g) if g > 0.0 && g.is_finite() => g,
            Some(g) => return Err(Error::Config(format!("svr: gamma must be a positive number, not {g}"))),
            None if spread > 0.0 => 1.0 / (x.ncols() as f64 * spread),
            None => 1.0,
        };
        let (mean, l) = (cx.observed.mean(), cx.observed.n_outputs());
        let mut weights = Array2::zeros((x.nrows(), l));
        let mut intercept = mean.clone();
        for o in 0..l {
            let y = &cx.observed.y.column(o) - mean[o];
            let unit = y.mapv(|v| v * v).mean().unwrap_or(0.0).sqrt();
            // Readouts that are all alike are their mean.
            if unit > 0.0 {
                let (w, b) = self.weights(&x, &(y / unit), gamma)?;
                weights.column_mut(o).assign(&(w * unit));
                intercept[o] += b * unit;
            }
        }
        let supports = weights.outer_iter().filter(|w| w.iter().any(|w| *w != 0.0)).count();
        Ok(Box::new(Fitted { inputs: cx.inputs.clone(), x, gamma, weights, intercept, supports }))
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Features])
    }
}

impl Svr {
    /// w and b of one output.
    fn weights(&self, x: &Array2<f64>, y: &Array1<f64>, gamma: f64) -> Result<(Array1<f64>, f64)> {
        let broke = |what: &dyn std::fmt::Display| Error::Numerical(format!("svr: the fit broke down: {what}"));
        let rows: Vec<Vec<f64>> = x.outer_iter().map(|r| r.to_vec()).collect();
        let matrix = DenseMatrix::from_2d_vec(&rows).map_err(|e| broke(&e))?;
        let y = y.to_vec();
        let settings = SVRParameters::default()
            .with_c(self.c)
            .with_eps(self.epsilon)
            .with_tol(TOLERANCE)
            .with_kernel(Kernels::rbf().with_gamma(gamma));
        let fitted = SVR::fit(&matrix, &y, &settings).map_err(|e| broke(&e))?;
        // What was found can be read in its serialised form only.
        let Solution { instances, w, b } =
            serde_json::to_value(&fitted).and_then(serde_json::from_value).map_err(|e| broke(&e))?;
        // Support vectors are rows of x, in order.
        let mut all = Array1::zeros(x.nrows());
        let mut found = instances.iter().zip(w).peekable();
        for (row, w) in rows.iter().zip(&mut all) {
            if let Some((_, weight)) = found.next_if(|(instance, _)| *instance == row) {
                *w = weight;
            }
        }
        match (found.next(), b.is_finite() && all.iter().all(|w: &f64| w.is_finite())) {
            (None, true) => Ok((all, b)),
            _ => Err(broke(&"its weights cannot be used; check the features for extreme values")),
        }
    }
}

/// A fitted machine, as smartcore writes it.
#[derive(Deserialize)]
struct Solution {
    instances: Vec<Vec<f64>>,
    w: Vec<f64>,
    b: f64,
}

struct Fitted {
    inputs: Arc<Inputs>,
    /// Rows of the measurements.
    x: Array2<f64>,
    gamma: f64,
    /// Measurements x outputs.
    weights: Array2<f64>,
    intercept: Array1<f64>,
    /// Measurements with a weight.
    supports: usize,
}

/// Perturbations predicted in one piece.
const TILE: usize = 1024;

impl Surrogate for Fitted {
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        let mut mean = Array2::zeros((ids.len(), self.intercept.len()));
        for (tile, mut out) in ids.chunks(TILE).zip(mean.axis_chunks_iter_mut(Axis(0), TILE)) {
            let mut k = sq_distances(self.inputs.features(tile).view(), self.x.view());
            k.mapv_inplace(|d| (-self.gamma * d).exp());
            out.assign(&(matmul(k.view(), self.weights.view()) + &self.intercept));
        }
        Ok(Posterior { mean, sd: None })
    }

    fn record(&self) -> Vec<(String, f64)> {
        vec![("svr.gamma".into(), self.gamma), ("svr.supports".into(), self.supports as f64)]
    }
}

framework::register!(Model, Svr, "svr", "support vector regression with a Gaussian kernel on the prior features");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::domain::Readouts;
    use framework::testing::TinyWorld;
    use rand_distr::{Distribution, StandardNormal};

    fn noisy(world: &TinyWorld, n: usize) -> Observed {
        let mut rng = Streams::new(8).rng("noise");
        let y = Array2::from_shape_fn((n, world.truth.ncols()), |(i, o)| {
            let z: f64 = StandardNormal.sample(&mut rng);
            world.truth[(i, o)] + z
        });
        let mut observed = Observed::empty(world.truth.ncols());
        observed.push(&Readouts::plain(&(0..n).collect::<Vec<_>>(), y), 0).unwrap();
        observed
    }

    /// The problem is convex: what meets the conditions of Karush, Kuhn and Tucker solves it.
    #[test]
    fn the_fit_meets_the_conditions_of_the_optimum() {
        let world = TinyWorld::new(80, 3, 2, false, 5).unwrap();
        let observed = noisy(&world, 60);
        for (c, epsilon) in [(1.0, 0.1), (0.3, 0.4), (20.0, 0.02)] {
            let model = Svr { c, epsilon, gamma: Some(0.2) };
            let x = world.inputs.features(&observed.ids);
            for o in 0..2 {
                let y = &observed.y.column(o) - observed.mean()[o];
                let y = &y / y.mapv(|v| v * v).mean().unwrap().sqrt();
                let (w, b) = model.weights(&x, &y, 0.2).unwrap();
                assert!(w.sum().abs() < 1e-9 && w.iter().all(|w| w.abs() <= c * (1.0 + 1e-12)), "{c} {epsilon}");
                let k = sq_distances(x.view(), x.view()).mapv(|d| (-0.2 * d).exp());
                let off = &y - &(k.dot(&w) + b);
                let slack = 2.0 * TOLERANCE;
                for (w, off) in w.iter().zip(&off) {
                    let kept = match *w {
                        w if w.abs() < 1e-12 => off.abs() <= epsilon + slack,
                        w if w.abs() > c * (1.0 - 1e-9) => off * w.signum() >= epsilon - slack,
                        w => (off * w.signum() - epsilon).abs() <= slack,
                    };
                    assert!(kept, "weight {w}, residual {off} with c = {c}, epsilon = {epsilon}");
                }
            }
        }
    }

    #[test]
    fn predictions_do_not_depend_on_the_unit_of_the_readouts() {
        let world = TinyWorld::new(80, 3, 1, false, 6).unwrap();
        let observed = noisy(&world, 50);
        let fit = |observed: &Observed| {
            let cx = FitContext { inputs: &world.inputs, observed, streams: &Streams::new(1) };
            Svr::default().fit(&cx).unwrap().predict(&(50..80).collect::<Vec<_>>()).unwrap().mean
        };
        let mut scaled = observed.clone();
        scaled.y.mapv_inplace(|v| 8.0 * v + 3.0);
        assert!((fit(&observed) * 8.0 + 3.0 - fit(&scaled)).iter().all(|d| d.abs() < 1e-8));
        let r = framework::numerics::stats::pearson(
            &fit(&observed).iter().copied().collect::<Vec<_>>(),
            &(50..80).map(|i| world.truth[(i, 0)]).collect::<Vec<_>>(),
        );
        assert!(r > 0.5, "it learns something: {r}");
    }

    #[test]
    fn readouts_that_are_all_alike_are_predicted() {
        let world = TinyWorld::new(20, 2, 1, false, 6).unwrap();
        let mut observed = Observed::empty(1);
        observed.push(&Readouts::plain(&[1, 2, 3], Array2::from_elem((3, 1), 0.7)), 0).unwrap();
        let cx = FitContext { inputs: &world.inputs, observed: &observed, streams: &Streams::new(1) };
        let fitted = Svr::default().fit(&cx).unwrap();
        assert_eq!(fitted.predict(&[0, 1]).unwrap().mean, Array2::from_elem((2, 1), 0.7));
        assert_eq!(fitted.record()[1].1, 0.0);
    }

    #[test]
    fn settings_out_of_range_are_refused() {
        let world = TinyWorld::new(20, 2, 1, false, 6).unwrap();
        let observed = noisy(&world, 5);
        let cx = FitContext { inputs: &world.inputs, observed: &observed, streams: &Streams::new(1) };
        for (model, text) in [
            (Svr { c: 0.0, ..Svr::default() }, "svr: c must be a positive number, not 0"),
            (Svr { epsilon: -1.0, ..Svr::default() }, "svr: epsilon must be 0 or a positive number, not -1"),
            (Svr { gamma: Some(f64::NAN), ..Svr::default() }, "svr: gamma must be a positive number, not NaN"),
        ] {
            assert_eq!(model.fit(&cx).err().unwrap().to_string(), text);
        }
    }
}
