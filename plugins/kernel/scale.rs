//! Scaling: k ← c k, by default so that measured perturbations have a mean diagonal of 1.
//!
//! c = 1 / mean_{x measured} k(x, x) (Holzmüller et al. 2023, section 3.2); it gives the noise of a posterior
//! after it a meaning. Features stay features. Cost: one diagonal over the measured perturbations.

use framework::prelude::*;

/// Multiplies a kernel by one number. While nothing is measured the candidates' mean diagonal stands in, and
/// `scale_from_pool` = 1 is recorded.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scale {
    /// What the kernel is multiplied by; absent: one over its mean diagonal at the measured perturbations.
    #[serde(default)]
    pub factor: Option<f64>,
    /// The kernel to transform; absent: what stands before it in a chain.
    #[serde(default)]
    pub of: Option<Box<dyn Kernel>>,
}

#[typetag::serde(name = "scale")]
impl Kernel for Scale {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        cx.scaled(cx.base(self.of.as_deref(), "scale")?, self.factor, "scale")
    }

    fn keeps_psd(&self) -> bool {
        self.of.as_deref().is_none_or(|k| k.keeps_psd())
    }

    fn needs(&self) -> Abilities {
        transform_needs(self.of.as_deref())
    }
}

framework::register!(Kernel, Scale, "scale", "a kernel times a number, by default to a mean diagonal of 1");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::TinyWorld;
    use std::cell::RefCell;

    #[test]
    fn the_mean_diagonal_becomes_one_where_it_is_known() {
        let world = TinyWorld::new(9, 3, 1, false, 2).unwrap();
        let ids: Vec<usize> = (0..9).collect();
        let x = world.inputs.features(&ids);
        let streams = Streams::new(1);
        let mean = |of: &[usize]| of.iter().map(|&i| x.row(i).dot(&x.row(i))).sum::<f64>() / of.len() as f64;
        let candidates = Candidates::new(9, vec![0, 5]);
        for (measured, over) in [(vec![5, 0, 5], vec![5, 0]), (vec![], vec![1, 2, 3, 4, 6, 7, 8])] {
            let recorded = RefCell::new(vec![]);
            let observed = world.observe(&measured, 1).unwrap();
            let input = Gram::of_features(x.clone());
            let cx = KernelContext {
                input: Some(&input),
                candidates: Some(&candidates),
                recorded: Some(&recorded),
                ..KernelContext::new(&world.inputs, &observed, &streams)
            };
            let k = Scale::default().gram(&cx).unwrap();
            let want = x.dot(&x.t()) / mean(&over);
            assert!((&k.to_dense(&ids) - &want).iter().all(|d| d.abs() < 1e-12));
            assert_eq!(recorded.borrow().len(), usize::from(measured.is_empty()));
        }
    }

    #[test]
    fn a_kernel_of_zeros_cannot_be_scaled() {
        let world = TinyWorld::new(4, 3, 1, false, 2).unwrap();
        let (observed, streams, zero) =
            (world.observe(&[1], 1).unwrap(), Streams::new(1), Gram::of_features(Array2::zeros((4, 2))));
        let cx = KernelContext { input: Some(&zero), ..KernelContext::new(&world.inputs, &observed, &streams) };
        let e = Scale::default().gram(&cx).unwrap_err().to_string();
        assert!(e.contains("over the 1 measured perturbations, which is 0"), "{e}");
        let e = Scale { factor: Some(-1.0), of: None }.gram(&cx).unwrap_err().to_string();
        assert!(e.contains("factor must be a positive number, not -1"), "{e}");
        let e = world.gram(&Scale::default(), &observed).unwrap_err().to_string();
        assert!(e.contains("`scale` transforms another kernel"), "{e}");
    }
}
