//! Normalisation of a kernel: divides by its largest entry, mean diagonal, trace or norm, or makes it a cosine, or
//! centres it (the specification of IterPert's fusion, usable on its own).
//!
//! Constants come from the matrix over measured perturbations and candidates, recomputed every round. The diagonal
//! is enough for `max`, `diag`, `trace` and `cosine` of a positive semidefinite kernel; `min_max` passes over the
//! matrix once without storing it, O(n² d); `frobenius` of d features is O(n d²). Features stay features.

use framework::numerics::Normalise as By;
use framework::prelude::*;

/// A kernel normalised over measured perturbations and candidates.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalise {
    /// `"max"` (default), `"min_max"`, `"diag"`, `"cosine"`, `"trace"`, `"frobenius"`, `"center"`, `"center_diag"` or
    /// `"none"`.
    #[serde(default)]
    pub by: By,
    /// The kernel to normalise, as a table with `use`; absent: what stands before this in a chain.
    #[serde(default)]
    pub of: Option<Box<dyn Kernel>>,
}

#[typetag::serde(name = "normalise")]
impl Kernel for Normalise {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        let base = cx.base(self.of.as_deref(), "normalise")?;
        let psd = self.of.as_ref().is_some_and(|k| k.keeps_psd());
        Ok(self.by.apply(&base, &cx.scope(), psd)?.0)
    }

    fn keeps_psd(&self) -> bool {
        self.by != By::MinMax && self.of.as_ref().is_none_or(|k| k.keeps_psd())
    }

    fn needs(&self) -> Abilities {
        transform_needs(self.of.as_deref())
    }
}

framework::register!(Kernel, Normalise, "normalise", "a kernel over its largest entry, trace or norm, or as a cosine");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::serde_json::{self, json};
    use framework::testing::TinyWorld;

    #[test]
    fn constants_come_from_measured_perturbations_and_candidates() {
        let world = TinyWorld::new(12, 3, 1, false, 4).unwrap();
        let observed = world.observe(&[1, 2], 1).unwrap();
        let streams = Streams::new(1);
        let largest = |ids: &[usize]| {
            let x = world.inputs.features(ids);
            x.outer_iter().map(|r| r.dot(&r)).fold(0.0f64, f64::max)
        };
        let everything: Vec<usize> = (0..12).collect();
        let top = (0..12).find(|&i| largest(&[i]) == largest(&everything)).unwrap();
        // The largest entry belongs to a perturbation that is held out: it must not decide.
        let left: Vec<usize> = (0..12).filter(|i| *i != top).collect();
        let candidates = Candidates::new(12, vec![1, 2, top]);
        let kernel: Normalise = serde_json::from_value(json!({ "of": { "use": "linear" } })).unwrap();
        let cx =
            KernelContext { candidates: Some(&candidates), ..KernelContext::new(&world.inputs, &observed, &streams) };
        let scope: Vec<usize> = if [1, 2].contains(&top) { everything.clone() } else { left };
        let k = kernel.gram(&cx).unwrap();
        let x = world.inputs.features(&everything);
        let want = x.dot(&x.t()) / largest(&scope);
        assert!(
            (&k.to_dense(&scope)
                - &Array2::from_shape_fn((scope.len(), scope.len()), |(i, j)| want[(scope[i], scope[j])]))
                .iter()
                .all(|d| d.abs() < 1e-12)
        );
        assert!(k.rows().is_some());
    }

    #[test]
    fn without_a_kernel_it_takes_the_one_before_it() {
        let world = TinyWorld::new(6, 3, 1, false, 4).unwrap();
        let (observed, streams) = (Observed::empty(1), Streams::new(1));
        let ids: Vec<usize> = (0..6).collect();
        let input = Gram::stored({
            let x = world.inputs.features(&ids);
            x.dot(&x.t())
        });
        let cx = KernelContext { input: Some(&input), ..KernelContext::new(&world.inputs, &observed, &streams) };
        let kernel = Normalise { by: By::Cosine, of: None };
        assert!(kernel.gram(&cx).unwrap().diagonal(&ids).iter().all(|d| (d - 1.0).abs() < 1e-12));
        assert!(kernel.needs().contains(Ability::InputKernel));
        let e = kernel.gram(&KernelContext { input: None, ..cx }).unwrap_err().to_string();
        assert!(e.contains("`normalise` transforms another kernel"), "{e}");
    }
}
