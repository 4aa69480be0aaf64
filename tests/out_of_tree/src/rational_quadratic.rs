//! Rational quadratic kernel (1 + ‖x-x'‖²/2αℓ²)^-α: an RBF kernel whose length scale is not known for sure.
//!
//! The mean of RBF kernels over length scales l with l⁻² gamma distributed, of mean ℓ⁻² and shape α; it tends to RBF
//! as α grows (Rasmussen & Williams 2006, eq. 4.19). Genes that are far apart stay a little alike, which a pool of
//! close complexes and lone genes may want. Cost of a block: one product of its feature rows and one power an entry.

use framework::plugin::median_distance;
use framework::prelude::*;

/// Rational quadratic kernel on the concatenated features of the active priors. Unit diagonal.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RationalQuadratic {
    /// Length scale ℓ in units of the features; absent: the median distance between measured perturbations.
    #[serde(default)]
    pub length: Option<f64>,
    /// Shape α, above 0: the smaller, the wider the mixture of length scales. Default 1.
    #[serde(default = "one")]
    pub alpha: f64,
}

fn one() -> f64 {
    1.0
}

#[typetag::serde(name = "rational_quadratic")]
impl Kernel for RationalQuadratic {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        if !(self.alpha > 0.0 && self.alpha.is_finite()) {
            return Err(Error::Config(format!(
                "rational_quadratic: alpha must be a positive number, not {}",
                self.alpha
            )));
        }
        let length = median_distance(self.length, cx)?;
        let (alpha, scale) = (self.alpha, 0.5 / (self.alpha * length * length));
        // Squared distances in, kernel values out, in place; 0 must become the diagonal.
        let f = move |d2: &mut [f64]| d2.iter_mut().for_each(|v| *v = (1.0 + *v * scale).powf(-alpha));
        Ok(Gram::new(FeatureGram::radial(Rows::Made(cx.inputs.clone()), f)))
    }
}

framework::register!(Kernel, RationalQuadratic, "rational_quadratic", "a mixture of RBF kernels of many lengths");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::TinyWorld;

    #[test]
    fn entries_are_the_formula_and_tend_to_rbf() {
        let world = TinyWorld::new(8, 3, 1, false, 4).unwrap();
        let ids: Vec<usize> = (0..8).collect();
        let x = world.inputs.features(&ids);
        let gram = |alpha| {
            let kernel = RationalQuadratic { length: Some(1.5), alpha };
            world.gram(&kernel, &Observed::empty(1)).map(|g| g.to_dense(&ids))
        };
        for (i, j) in [(0, 0), (0, 5), (7, 2)] {
            let d2: f64 = (&x.row(i) - &x.row(j)).iter().map(|v| v * v).sum();
            assert!((gram(2.0).unwrap()[(i, j)] - (1.0 + d2 / 9.0).powi(-2)).abs() < 1e-12);
            assert!((gram(1e7).unwrap()[(i, j)] - (-d2 / 4.5).exp()).abs() < 1e-5);
        }
        assert!(gram(0.0).is_err());
    }
}
