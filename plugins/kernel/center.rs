//! Centring of a kernel: K ← H K H with H = I - 11ᵀ/n over measured perturbations and candidates (Φ ← Φ - mean).
//!
//! Distances do not change; inner products, norms and alignments lose what all perturbations share. With features
//! O(n d); without, one pass over the matrix for its row means, nothing stored.

use framework::prelude::*;

/// A kernel whose features have mean 0 over measured perturbations and candidates.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Center {
    /// The kernel to centre, as a table with `use`; absent: what stands before this in a chain.
    #[serde(default)]
    pub of: Option<Box<dyn Kernel>>,
}

#[typetag::serde(name = "center")]
impl Kernel for Center {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        let base = cx.base(self.of.as_deref(), "center")?;
        Ok(Normalise::Center.apply(&base, &cx.scope(), false)?.0)
    }

    fn keeps_psd(&self) -> bool {
        self.of.as_ref().is_none_or(|k| k.keeps_psd())
    }

    fn needs(&self) -> Abilities {
        transform_needs(self.of.as_deref())
    }
}

framework::register!(Kernel, Center, "center", "a kernel without what all perturbations share");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::serde_json::{self, json};
    use framework::testing::TinyWorld;

    #[test]
    fn rows_sum_to_nothing_and_distances_stay() {
        let world = TinyWorld::new(9, 3, 1, false, 4).unwrap();
        let ids: Vec<usize> = (0..9).collect();
        for of in ["linear", "rbf"] {
            let kernel: Center = serde_json::from_value(json!({ "of": { "use": of } })).unwrap();
            let base: Box<dyn Kernel> = serde_json::from_value(json!({ "use": of })).unwrap();
            let observed = Observed::empty(1);
            let (g, plain) = (world.gram(&kernel, &observed).unwrap(), world.gram(&*base, &observed).unwrap());
            assert!(g.to_dense(&ids).sum_axis(Axis(0)).iter().all(|s| s.abs() < 1e-12));
            let difference = &g.sq_distances(&ids, &ids) - &plain.sq_distances(&ids, &ids);
            assert!(difference.iter().all(|d| d.abs() < 1e-12));
            assert_eq!(g.rows().is_some(), of == "linear");
        }
    }
}
