//! Posterior kernel of a Gaussian process: k(x, x') - k(x, X) (k(X, X) + σ²I)⁻¹ k(X, x').
//!
//! What the measured perturbations X leave unknown. In feature space φ ← σ L⁻¹ φ with LLᵀ = ΦᵀΦ + σ²I
//! (Holzmüller et al. 2023, section 3.2: `train` and `pool`), used while features number at most
//! max(1024, 3 |X|); otherwise the kernel form, with L⁻¹ k(X, ·) held for the rows a rule restricts to. The
//! kernel is scaled first, see `factor`. Cost: O(|X| d² + d³) and O(d²) a row, or O(|X|³) and O(|X|²) a row.

use framework::numerics::posterior;
use framework::prelude::*;

/// The covariance that is left once some perturbations are known up to noise.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Posterior {
    /// Standard deviation of the noise, in units of the scaled kernel. Default 0.001, as in Holzmüller et al.;
    /// IterPert uses 0.1.
    #[serde(default = "sigma")]
    pub sigma: f64,
    /// What is known: `"train"` (default), the measured perturbations, or `"pool"`, the candidates.
    #[serde(default)]
    pub on: On,
    /// What the kernel is multiplied by before; absent: one over its mean diagonal at the measured perturbations
    /// (see `scale`). 1 leaves it as it is.
    #[serde(default)]
    pub factor: Option<f64>,
    /// The kernel to transform; absent: what stands before it in a chain.
    #[serde(default)]
    pub of: Option<Box<dyn Kernel>>,
}

/// The perturbations that are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum On {
    /// Those that were measured.
    #[default]
    Train,
    /// Those that may be chosen.
    Pool,
}

fn sigma() -> f64 {
    1e-3
}

#[typetag::serde(name = "posterior")]
impl Kernel for Posterior {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        let on = match self.on {
            On::Train => cx.train(),
            On::Pool => cx.pool().to_vec(),
        };
        if on.is_empty() {
            return Err(Error::Config(
                "`posterior` conditions on measured perturbations and nothing is measured; set init under [pool], or \
                 on = \"pool\""
                    .into(),
            ));
        }
        let base = cx.scaled(cx.base(self.of.as_deref(), "posterior")?, self.factor, "posterior")?;
        let (gram, jitter) = posterior(&base, &on, self.sigma)?;
        if jitter > 0.0 {
            cx.record("posterior_jitter", jitter);
        }
        Ok(gram)
    }

    fn keeps_psd(&self) -> bool {
        self.of.as_deref().is_none_or(|k| k.keeps_psd())
    }

    fn needs(&self) -> Abilities {
        transform_needs(self.of.as_deref()).with_if(Ability::Measured, self.on == On::Train)
    }
}

framework::register!(Kernel, Posterior, "posterior", "a kernel given what was measured, up to noise");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::TinyWorld;

    /// By the definition on a stored matrix.
    fn formula(k: &Array2<f64>, on: &[usize], sigma: f64) -> Array2<f64> {
        let mut a = Array2::from_shape_fn((on.len(), on.len()), |(i, j)| k[(on[i], on[j])]);
        a.diag_mut().iter_mut().for_each(|v| *v += sigma * sigma);
        let b = Array2::from_shape_fn((on.len(), k.nrows()), |(i, j)| k[(on[i], j)]);
        k - &b.t().dot(&Cholesky::new(a.view()).unwrap().solve(b.view()))
    }

    fn of(name: &str) -> Option<Box<dyn Kernel>> {
        Some(serde_json::from_value(serde_json::json!({"use": name})).unwrap())
    }

    #[test]
    fn both_forms_are_the_formula_after_scaling() {
        let world = TinyWorld::new(30, 4, 1, false, 2).unwrap();
        let train = [3, 17, 4, 25];
        let observed = world.observe(&train, 1).unwrap();
        let ids: Vec<usize> = (0..30).collect();
        for name in ["linear", "rbf"] {
            let k = world.gram(of(name).unwrap().as_ref(), &observed).unwrap();
            let mean = k.diagonal(&train).iter().sum::<f64>() / 4.0;
            for (factor, c) in [(None, 1.0 / mean), (Some(2.5), 2.5)] {
                for (on, given) in [
                    (On::Train, train.to_vec()),
                    (On::Pool, ids.iter().copied().filter(|i| !train.contains(i)).collect()),
                ] {
                    let p = Posterior { sigma: 0.1, on, factor, of: of(name) };
                    let got = world.gram(&p, &observed).unwrap();
                    assert_eq!(got.rows().is_some(), name == "linear");
                    let want = formula(&(k.to_dense(&ids) * c), &given, 0.1);
                    assert!((&got.to_dense(&ids) - &want).iter().all(|d| d.abs() < 1e-10));
                }
            }
        }
    }

    #[test]
    fn train_then_pool_is_both_together() {
        let world = TinyWorld::new(12, 3, 1, false, 2).unwrap();
        let observed = world.observe(&[3, 7], 1).unwrap();
        let all: Vec<usize> = (0..12).collect();
        for name in ["linear", "laplace"] {
            let train = Posterior { sigma: 0.3, on: On::Train, factor: Some(1.0), of: of(name) };
            let k = world.gram(of(name).unwrap().as_ref(), &observed).unwrap().to_dense(&all);
            let twice = Posterior { sigma: 0.3, on: On::Pool, factor: Some(1.0), of: Some(Box::new(train)) };
            let got = world.gram(&twice, &observed).unwrap().to_dense(&all);
            assert!((&got - &formula(&k, &all, 0.3)).iter().all(|d| d.abs() < 1e-10));
        }
    }

    #[test]
    fn with_nothing_measured_it_says_so_before_and_during_a_run() {
        let world = TinyWorld::new(5, 3, 1, false, 2).unwrap();
        let p = |on| Posterior { sigma: 0.3, on, factor: None, of: of("linear") };
        assert_eq!(p(On::Train).needs(), Abilities::of([Ability::Measured]));
        assert!(p(On::Pool).needs().is_empty());
        let e = world.gram(&p(On::Train), &Observed::empty(1)).unwrap_err().to_string();
        assert!(e.contains("nothing is measured"), "{e}");
        world.gram(&p(On::Pool), &Observed::empty(1)).unwrap();
    }
}
