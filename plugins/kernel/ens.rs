//! Sum of a kernel over the members of an ensemble: k = Σ_m k_m.
//!
//! The same as their features side by side (Holzmüller et al. 2023, section 3.2). Projected by `rp` it adds the
//! projections of the members. Cost: that of the kernel, times the number of members.

use framework::numerics::Sum;
use framework::prelude::*;

/// Adds a kernel of gradients (`gradient`, `last_layer`) over all members of the model; these read the first
/// member otherwise. Kernels that do not look into members are multiplied by their number.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ens {
    /// The kernel to add up: `of = { use = "gradient" }`; no default.
    pub of: Box<dyn Kernel>,
}

#[typetag::serde(name = "ens")]
impl Kernel for Ens {
    fn gram(&self, cx: &KernelContext) -> Result<Gram> {
        let members = cx.surrogate("ens")?.n_members();
        let terms: Result<Vec<(f64, Gram)>> = (0..members)
            .map(|member| {
                let streams = cx.streams.index(member);
                Ok((1.0, self.of.gram(&KernelContext { member, streams: &streams, ..*cx })?))
            })
            .collect();
        let terms = terms?;
        if terms.is_empty() {
            return Err(Error::Plugin("`ens`: the model says that it has no members".into()));
        }
        Ok(Gram::new(Sum::new(terms)?))
    }

    fn keeps_psd(&self) -> bool {
        self.of.keeps_psd()
    }

    fn needs(&self) -> Abilities {
        self.of.needs().with(Ability::Model)
    }
}

framework::register!(
    Kernel,
    Ens,
    "ens",
    "sum of a kernel over the members of an ensemble",
    example = |_| serde_json::json!({"of": {"use": "gradient"}})
);

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::{MockSurrogate, TinyWorld};
    use ndarray::ArrayView2;

    struct Three(MockSurrogate);

    impl Surrogate for Three {
        fn predict(&self, ids: &[usize]) -> Result<Posterior> {
            self.0.predict(ids)
        }

        fn layers(&self) -> Option<&dyn LayerGradients> {
            Some(self)
        }

        fn n_members(&self) -> usize {
            3
        }
    }

    impl LayerGradients for Three {
        fn factors(&self, ids: &[usize], member: usize, d: ArrayView2<f64>) -> Result<Vec<LayerFactors>> {
            self.0.factors(ids, member, d)
        }
    }

    #[test]
    fn it_adds_the_members_up() {
        let world = TinyWorld::new(6, 3, 1, false, 2).unwrap();
        let (observed, streams) = (world.observe(&[1, 4], 1).unwrap(), Streams::new(3));
        let mean: Vec<f64> = (0..6).map(|i| (i as f64 * 0.7).sin()).collect();
        let model = Three(MockSurrogate { sd: mean.iter().map(|m| 0.2 + m * m).collect(), mean });
        let cx = KernelContext { surrogate: Some(&model), ..KernelContext::new(&world.inputs, &observed, &streams) };
        let ids: Vec<usize> = (0..6).collect();
        for name in ["gradient", "last_layer"] {
            let one: Box<dyn Kernel> = serde_json::from_value(serde_json::json!({"use": name})).unwrap();
            let part = |member| one.gram(&KernelContext { member, ..cx }).unwrap().to_dense(&ids);
            assert!((&part(0) - &part(1)).iter().any(|d| d.abs() > 1e-3), "members differ");
            let want = part(0) + part(1) + part(2);
            let all = Ens { of: serde_json::from_value(serde_json::json!({"use": name})).unwrap() };
            let k = all.gram(&cx).unwrap();
            assert!((&k.to_dense(&ids) - &want).iter().all(|d| d.abs() < 1e-12));
            assert_eq!(k.rows().is_some(), name == "last_layer", "features side by side");
            assert_eq!(k.sketch(5, &streams).unwrap().rows().unwrap().d(), 5);
        }
    }
}
