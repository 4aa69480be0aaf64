//! Random features of a Bayesian linear head whose noise is learned too (ACS-RF with hyperparameters).
//!
//! Noise has an inverse-gamma prior (a₀ = b₀ = 1) and the head N(0, noise I). Given n measured rows,
//! ã = a₀ + n/2, b̃ = b₀ + ½ (yᵀy - m̂ᵀ(ΦᵀΦ + I)m̂) with m̂ = (ΦᵀΦ + I)⁻¹Φᵀy, the predictive variance is
//! w = (b̃/ã)(1 + φᵀ(ΦᵀΦ + I)⁻¹φ), and the features are
//! f_s = p^(-1/2) (-½ log 2π - ½ ((φᵀθ_s)² + w)): the expected log density, at unit noise, of a label under a
//! draw θ_s of the head about its mean, θ_s ~ N(0, τ_s (ΦᵀΦ + I)⁻¹) with τ_s ~ InverseGamma(ã, b̃) (Pinsler et
//! al. 2019; Holzmüller et al. 2023, section 3.2). Cost: O(n_train d² + d³) and O(d² + d p) a row.
//!
//! Readouts are standardised, one output after the other, since the prior has no units. Several outputs share
//! the noise: with L outputs n counts rows times L, and b̃ sums over outputs.

use framework::numerics::{matmul, posterior_rows};
use framework::prelude::*;
use rand_distr::{Distribution, Gamma, StandardNormal};

/// `acs_rf` without a noise to choose: it is learned from the readouts. Needs a kernel of features, at most
/// 16,384 (put `rp` before it).
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcsRfHyper {
    /// Number of draws. Default 512.
    #[serde(default = "p")]
    pub p: usize,
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

#[typetag::serde(name = "acs_rf_hyper")]
impl Kernel for AcsRfHyper {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        if self.p == 0 {
            return Err(Error::Config("acs_rf_hyper: p must be at least 1".into()));
        }
        let base = cx.scaled(cx.base(self.of.as_deref(), "acs_rf_hyper")?, self.factor, "acs_rf_hyper")?;
        let rows = base.rows().ok_or_else(|| {
            Error::Config(
                "`acs_rf_hyper` needs the features of a kernel, and the kernel it acts on has none; put `rp` before it \
                 where that can project it (gradient), or use a kernel of features (linear, last_layer, embedding)"
                    .into(),
            )
        })?;
        let d = rows.d();
        let (rows, _) = posterior_rows(rows, &cx.observed.ids, 1.0)?;
        let (shape, rate) = noise(&rows, cx.observed);
        let wrong = |e| Error::Numerical(format!("acs_rf_hyper: the posterior of the noise is broken: {e}"));
        let precision = Gamma::new(shape, rate.recip()).map_err(wrong)?;
        let mut rng = cx.streams.rng("acs_rf_hyper");
        let mut z = Array2::<f64>::from_shape_simple_fn((d, self.p), || StandardNormal.sample(&mut rng));
        for mut draw in z.columns_mut() {
            draw /= precision.sample(&mut rng).sqrt();
        }
        let scale = (self.p as f64).sqrt().recip();
        let log_root = 0.5 * std::f64::consts::TAU.ln();
        let rows = rows.map(self.p, move |u| {
            let mut f = matmul(u.view(), z.view());
            for (mut f, u) in f.outer_iter_mut().zip(u.outer_iter()) {
                let variance = rate / shape * (1.0 + u.dot(&u));
                f.mapv_inplace(|g| -scale * (log_root + 0.5 * (g * g + variance)));
            }
            f
        });
        Ok(FeatureGram::linear(rows).into())
    }

    fn needs(&self) -> Abilities {
        transform_needs(self.of.as_deref())
    }
}

/// Shape and rate of the noise's inverse-gamma posterior, from posterior features u with |u|² = φᵀ(ΦᵀΦ + I)⁻¹φ,
/// so that m̂ᵀ(ΦᵀΦ + I)m̂ = |Uᵀy|².
fn noise(rows: &Rows, observed: &Observed) -> (f64, f64) {
    let (mut shape, mut rate) = (1.0, 1.0);
    let u = rows.get(&observed.ids);
    for y in observed.y.columns() {
        let values = y.to_vec();
        let (mean, sd) = (framework::numerics::stats::mean(&values), framework::numerics::stats::sd(&values));
        let y = y.mapv(|v| if sd > 0.0 { (v - mean) / sd } else { v - mean });
        let fitted = u.t().dot(&y);
        shape += 0.5 * y.len() as f64;
        rate += 0.5 * (y.dot(&y) - fitted.dot(&fitted)).max(0.0);
    }
    (shape, rate)
}

framework::register!(Kernel, AcsRfHyper, "acs_rf_hyper", "likelihoods of draws of a linear head with learned noise");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::numerics::stats;
    use framework::testing::TinyWorld;

    #[test]
    fn entries_are_right_on_average() {
        let world = TinyWorld::new(40, 3, 2, false, 2).unwrap();
        let mut train: Vec<usize> = (0..24).collect();
        train.push(3);
        let mut observed = world.observe(&train, 1).unwrap();
        // Something that the features do not explain.
        observed.y.indexed_iter_mut().for_each(|((i, o), v)| *v += ((i * 7 + o) % 5) as f64 / 2.0);
        let ids: Vec<usize> = (0..40).collect();
        let x = world.inputs.features(&ids);
        let xt = x.select(Axis(0), &train);
        let inverse =
            Cholesky::new((xt.t().dot(&xt) + Array2::<f64>::eye(3)).view()).unwrap().solve(Array2::eye(3).view());
        let (mut shape, mut rate) = (1.0, 1.0);
        for y in observed.y.columns() {
            let sd = stats::sd(&y.to_vec());
            let y = y.mapv(|v| (v - stats::mean(&y.to_vec())) / sd);
            let m = inverse.dot(&xt.t().dot(&y));
            shape += 25.0 / 2.0;
            rate += 0.5 * (y.dot(&y) - m.dot(&(xt.t().dot(&xt) + Array2::<f64>::eye(3)).dot(&m)));
        }
        let w = x.dot(&inverse).dot(&x.t());
        let constant = |i: usize| -0.5 * std::f64::consts::TAU.ln() - 0.5 * rate / shape * (1.0 + w[(i, i)]);
        let (t1, t2) = (rate / (shape - 1.0), rate * rate / ((shape - 1.0) * (shape - 2.0)));
        let want = |i: usize, j: usize| {
            let (c, e, v, u) = (constant(i), constant(j), w[(i, i)], w[(j, j)]);
            c * e - 0.5 * t1 * (c * u + e * v) + 0.25 * t2 * (v * u + 2.0 * w[(i, j)] * w[(i, j)])
        };
        let (runs, root) = (3000, Streams::new(5));
        let draws: Vec<Array2<f64>> = (0..runs)
            .map(|r| {
                let input = Gram::of_features(x.clone());
                let streams = root.index(r);
                let cx =
                    KernelContext { input: Some(&input), ..KernelContext::new(&world.inputs, &observed, &streams) };
                AcsRfHyper { p: 4, factor: Some(1.0), of: None }.gram(&cx).unwrap().to_dense(&ids)
            })
            .collect();
        for (i, j) in [(0, 0), (1, 35), (30, 30), (37, 3)] {
            let v: Vec<f64> = draws.iter().map(|k| k[(i, j)]).collect();
            let (mean, error) = (stats::mean(&v), stats::sd(&v) / (runs as f64).sqrt());
            assert!((mean - want(i, j)).abs() < 5.0 * error, "{i} {j}: {mean} for {} ± {error}", want(i, j));
        }
    }
}
