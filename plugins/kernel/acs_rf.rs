//! Random features of a Bayesian linear head for sparse subset approximation (ACS-RF).
//!
//! With θ_s ~ N(0, Σ), Σ = σ² (ΦᵀΦ + σ²I)⁻¹ over the measured perturbations, and v = φᵀΣφ, the features are
//! f_s = p^(-1/2) (½ log(1 + v/σ²) - ((φᵀθ_s)² + v)/(2σ²)), s = 1..p: what a label at x would say about draw s
//! of the head (Pinsler et al. 2019; Holzmüller et al. 2023, section 3.2). The kernel is scaled first, see
//! `factor`. Cost: O(n_train d² + d³) and O(d² + d p) a row.

use framework::numerics::{matmul, posterior_rows};
use framework::prelude::*;
use rand_distr::{Distribution, StandardNormal};

/// Turns the features of a kernel into likelihoods of draws of a linear head on them; for `frank_wolfe` and its
/// relatives. Needs a kernel of features, at most 16,384 (put `rp` before it).
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcsRf {
    /// Number of draws. Default 512.
    #[serde(default = "p")]
    pub p: usize,
    /// Standard deviation of the noise, in units of the scaled kernel. Default 0.1.
    #[serde(default = "sigma")]
    pub sigma: f64,
    /// The form of the released code: Σ without its σ², and √(number of input features) in place of √p. Default
    /// false.
    #[serde(default)]
    pub code_form: bool,
    /// What the kernel is multiplied by before; absent: one over its mean diagonal at the measured perturbations
    /// (see `scale`). 1 leaves it as it is.
    #[serde(default)]
    pub factor: Option<f64>,
    /// The kernel to transform; absent: what stands before it in a chain.
    #[serde(default)]
    pub of: Option<Box<dyn Kernel>>,
}

fn p() -> usize {
    512
}

fn sigma() -> f64 {
    0.1
}

#[typetag::serde(name = "acs_rf")]
impl Kernel for AcsRf {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        if self.p == 0 {
            return Err(Error::Config("acs_rf: p must be at least 1".into()));
        }
        let base = cx.scaled(cx.base(self.of.as_deref(), "acs_rf")?, self.factor, "acs_rf")?;
        let rows = base.rows().ok_or_else(|| {
            Error::Config(
                "`acs_rf` needs the features of a kernel, and the kernel it acts on has none; put `rp` before it where \
                 that can project it (gradient), or use a kernel of features (linear, last_layer, embedding)"
                    .into(),
            )
        })?;
        let d = rows.d();
        let (rows, jitter) = posterior_rows(rows, &cx.train(), self.sigma)?;
        if jitter > 0.0 {
            cx.record("posterior_jitter", jitter);
        }
        let mut rng = cx.streams.rng("acs_rf");
        let z = Array2::<f64>::from_shape_simple_fn((d, self.p), || StandardNormal.sample(&mut rng));
        let noise = self.sigma * self.sigma;
        // The posterior features u = Σ^½ φ in some basis make v = |u|² and φᵀθ = uᵀz.
        let (variance, count) = if self.code_form { (1.0 / noise, d) } else { (1.0, self.p) };
        let scale = (count.max(1) as f64).sqrt().recip();
        let rows = rows.map(self.p, move |u| {
            let mut f = matmul(u.view(), z.view());
            for (mut f, u) in f.outer_iter_mut().zip(u.outer_iter()) {
                let v = variance * u.dot(&u);
                let constant = 0.5 * (v / noise).ln_1p() - 0.5 * v / noise;
                f.mapv_inplace(|g| scale * (constant - 0.5 * variance * g * g / noise));
            }
            f
        });
        Ok(FeatureGram::linear(rows).into())
    }

    fn needs(&self) -> Abilities {
        transform_needs(self.of.as_deref())
    }
}

framework::register!(Kernel, AcsRf, "acs_rf", "likelihoods of draws of a linear head, for subset approximation");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::numerics::stats;
    use framework::testing::TinyWorld;

    #[test]
    fn entries_are_right_on_average() {
        let world = TinyWorld::new(8, 3, 1, false, 2).unwrap();
        let train = [2, 6];
        let observed = world.observe(&train, 1).unwrap();
        let ids: Vec<usize> = (0..8).collect();
        let x = world.inputs.features(&ids);
        let sigma = 0.7;
        let mut a = Array2::<f64>::eye(3) * (sigma * sigma);
        train.iter().for_each(|&t| (0..3).for_each(|i| (0..3).for_each(|j| a[(i, j)] += x[(t, i)] * x[(t, j)])));
        let inverse = Cholesky::new(a.view()).unwrap().solve(Array2::eye(3).view());
        let noise = sigma * sigma;
        let (runs, p, root) = (3000, 4, Streams::new(5));
        for code_form in [false, true] {
            let w = x.dot(&inverse).dot(&x.t()) * if code_form { 1.0 } else { noise };
            let constant = |i: usize| 0.5 * (1.0 + w[(i, i)] / noise).ln() - w[(i, i)] / (2.0 * noise);
            // E of (c - g²/2σ²)(c' - g'²/2σ²) for jointly normal g, g'.
            let want = |i: usize, j: usize| {
                let (c, e, v, u) = (constant(i), constant(j), w[(i, i)], w[(j, j)]);
                let moment = v * u + 2.0 * w[(i, j)] * w[(i, j)];
                let mean = c * e - (c * u + e * v) / (2.0 * noise) + moment / (4.0 * noise * noise);
                if code_form { mean * p as f64 / 3.0 } else { mean }
            };
            let draws: Vec<Array2<f64>> = (0..runs)
                .map(|r| {
                    let input = Gram::of_features(x.clone());
                    let streams = root.index(r);
                    let cx =
                        KernelContext { input: Some(&input), ..KernelContext::new(&world.inputs, &observed, &streams) };
                    let k = AcsRf { p, sigma, code_form, factor: Some(1.0), of: None };
                    k.gram(&cx).unwrap().to_dense(&ids)
                })
                .collect();
            for (i, j) in [(0, 0), (1, 5), (2, 2), (7, 3)] {
                let v: Vec<f64> = draws.iter().map(|k| k[(i, j)]).collect();
                let (mean, error) = (stats::mean(&v), stats::sd(&v) / (runs as f64).sqrt());
                assert!((mean - want(i, j)).abs() < 5.0 * error, "{i} {j}: {mean} for {} ± {error}", want(i, j));
            }
        }
    }

    #[test]
    fn kernels_without_features_are_refused() {
        let world = TinyWorld::new(5, 3, 1, false, 2).unwrap();
        let k: Box<dyn Kernel> =
            serde_json::from_str(r#"{"use": "acs_rf", "of": {"use": "rbf", "length": 1.0}}"#).unwrap();
        let e = world.gram(&*k, &world.observe(&[1], 1).unwrap()).unwrap_err().to_string();
        assert!(e.contains("has none") && e.contains("`rp`"), "{e}");
    }
}
