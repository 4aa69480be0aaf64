//! Gradient kernel of sparse subset approximation: σ⁻⁴ k(x, x') k_post(x, x') (ACS-GRAD).
//!
//! The inner product, averaged over the posterior of a linear head, of the gradients of the two labels' log
//! likelihoods (Holzmüller et al. 2023, section 3.2); k_post is the kernel given the measured perturbations, as
//! in `posterior`. The kernel is scaled first, see `factor`. Its features would number d²; `rp` after it
//! projects the two factors. Cost: that of `posterior`, and two products a row.

use framework::numerics::{Affine, Product, posterior};
use framework::prelude::*;

/// Product of a kernel and its posterior.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcsGrad {
    /// Standard deviation of the noise, in units of the scaled kernel. Default 0.1.
    #[serde(default = "sigma")]
    pub sigma: f64,
    /// What the kernel is multiplied by before; absent: one over its mean diagonal at the measured perturbations
    /// (see `scale`). 1 leaves it as it is.
    #[serde(default)]
    pub factor: Option<f64>,
    /// The kernel to transform; absent: what stands before it in a chain.
    #[serde(default)]
    pub of: Option<Box<dyn Kernel>>,
}

fn sigma() -> f64 {
    0.1
}

#[typetag::serde(name = "acs_grad")]
impl Kernel for AcsGrad {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        let base = cx.scaled(cx.base(self.of.as_deref(), "acs_grad")?, self.factor, "acs_grad")?;
        let (left, jitter) = posterior(&base, &cx.train(), self.sigma)?;
        if jitter > 0.0 {
            cx.record("posterior_jitter", jitter);
        }
        let product = Gram::new(Product::new(vec![base, left])?);
        Ok(Gram::new(Affine::new(product, self.sigma.powi(-4), 0.0)))
    }

    fn keeps_psd(&self) -> bool {
        self.of.as_deref().is_none_or(|k| k.keeps_psd())
    }

    fn needs(&self) -> Abilities {
        transform_needs(self.of.as_deref())
    }
}

framework::register!(Kernel, AcsGrad, "acs_grad", "a kernel times its posterior, for subset approximation");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::TinyWorld;

    #[test]
    fn it_is_the_product_and_can_be_projected() {
        let world = TinyWorld::new(10, 3, 1, false, 2).unwrap();
        let observed = world.observe(&[2, 6, 9], 1).unwrap();
        let ids: Vec<usize> = (0..10).collect();
        for name in ["linear", "laplace"] {
            let of = |extra: serde_json::Value| -> Box<dyn Kernel> {
                let mut v = extra;
                v["of"] = serde_json::json!({"use": name});
                serde_json::from_value(v).unwrap()
            };
            let dense = |k: &dyn Kernel| world.gram(k, &observed).unwrap().to_dense(&ids);
            let k = of(serde_json::json!({"use": "acs_grad", "sigma": 0.5}));
            let scaled = dense(&*of(serde_json::json!({"use": "scale"})));
            let left = dense(&*of(serde_json::json!({"use": "posterior", "sigma": 0.5})));
            let want = scaled * left * 16.0;
            assert!((&dense(&*k) - &want).iter().all(|d| d.abs() < 1e-10));
            let projected = world.gram(&*k, &observed).unwrap().sketch(8, &Streams::new(1));
            assert_eq!(projected.is_some(), name == "linear");
        }
    }
}
