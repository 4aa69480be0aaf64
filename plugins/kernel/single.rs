//! Single precision: feature rows are held and multiplied as 32-bit numbers.
//!
//! Half the memory and memory traffic of a kernel of features; relative errors of about 1e-6 of the squared
//! norms. It takes effect where a rule prepares rows for reading. Not for `posterior`, `max_det` or `bait` with
//! little noise, which lose all digits in single precision (Holzmüller et al. 2023, appendix). Costs nothing.

use framework::prelude::*;

/// Holds a kernel's features in single precision, as the last step of a chain; a kernel without feature rows
/// (rbf, ntk, a product) is left as it is.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Single {
    /// The kernel to transform; absent: what stands before it in a chain.
    #[serde(default)]
    pub of: Option<Box<dyn Kernel>>,
}

#[typetag::serde(name = "single")]
impl Kernel for Single {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        let base = cx.base(self.of.as_deref(), "single")?;
        Ok(match base.rows() {
            Some(rows) => Gram::new(FeatureGram::linear(rows).single()),
            None => base,
        })
    }

    fn keeps_psd(&self) -> bool {
        self.of.as_deref().is_none_or(|k| k.keeps_psd())
    }

    fn needs(&self) -> Abilities {
        transform_needs(self.of.as_deref())
    }
}

framework::register!(Kernel, Single, "single", "feature rows held in single precision");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::numerics::Features;
    use framework::testing::TinyWorld;

    #[test]
    fn rows_are_held_in_single_precision_and_others_are_left() {
        let world = TinyWorld::new(20, 5, 1, false, 2).unwrap();
        let ids: Vec<usize> = (0..20).collect();
        for (name, changes) in [("linear", true), ("laplace", false)] {
            let of = || -> Box<dyn Kernel> { serde_json::from_value(serde_json::json!({"use": name})).unwrap() };
            let exact = world.gram(&*of(), &Observed::empty(1)).unwrap().to_dense(&ids);
            let k = world.gram(&Single { of: Some(of()) }, &Observed::empty(1)).unwrap().restrict(&ids);
            assert_eq!(matches!(k.features(), Some(Features::F32(_))), changes);
            let off = (&k.to_dense(&ids) - &exact).iter().fold(0.0f64, |m, d| m.max(d.abs()));
            assert!(if changes { (1e-9..1e-5).contains(&off) } else { off < 1e-12 }, "{name}: {off}");
        }
    }
}
