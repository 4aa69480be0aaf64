//! Mean of kernels: K = (1/m) Σ Kₘ over the priors and the model (Huang et al. 2023, section 3.4; their best).
//!
//! Positive semidefinite, and the inner products of the sources' features side by side: linear sources stay in
//! feature form and nothing of the size of the pool squared is made. One row of n entries then costs one product
//! of n x Σdₘ numbers; rules that read features (farthest-first, clustering) never read rows. Other sources are
//! read row by row. `framework::numerics::fuse_dense` makes the stored matrix, O(n² Σdₘ): it pays only for
//! rules that read hundreds of rows one by one, so no rule is made to wait for it here.

use framework::plugin::Fusion;
use framework::prelude::*;

framework::fusion! {
    "fuse_mean",
    /// The mean of the kernels of the active priors and of the model, each normalised. The kernel of IterPert.
    pub struct FuseMean {}
}

impl Fusion for FuseMean {
    fn fuse(&self, cx: &KernelContext, sources: &Sources, found: Vec<Source>) -> Result<Gram> {
        let (share, psd) = ((found.len() as f64).recip(), found.iter().all(|s| s.psd));
        let terms = found.into_iter().map(|s| (share, s.gram)).collect();
        sources.finish(cx, Gram::new(framework::numerics::Sum::new(terms)?), psd)
    }
}

framework::register!(Kernel, FuseMean, "fuse_mean", "mean of the kernels of priors and model");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::serde_json::{self, json};
    use framework::testing::{MockSurrogate, TinyWorld};
    use std::sync::Arc;

    /// Two priors over the genes of a tiny world.
    pub fn two_priors(world: &TinyWorld) -> Arc<Inputs> {
        let first = world.inputs.blocks()[0].clone();
        let x = first.x.mapv(|v| (3.0 * v).sin() + 0.4);
        let second = Block::new("wave", x, vec![true; first.x.nrows()]).unwrap();
        let blocks = vec![first, Arc::new(second)];
        Arc::new(Inputs::new(world.inputs.pool().clone(), blocks, Compose::Sum).unwrap())
    }

    fn kernel(form: serde_json::Value) -> FuseMean {
        serde_json::from_value(form).unwrap()
    }

    #[test]
    fn the_mean_of_each_priors_kernel_over_its_largest_entry() {
        for pairs in [false, true] {
            let world = TinyWorld::new(if pairs { 8 } else { 30 }, 3, 2, pairs, 1).unwrap();
            let inputs = two_priors(&world);
            let n = inputs.pool().len();
            let (observed, streams) = (world.observe(&[0, 5, 9], 1).unwrap(), Streams::new(1));
            let candidates = Candidates::new(n, vec![0, 5, 9, 11, 12]);
            let cx =
                KernelContext { candidates: Some(&candidates), ..KernelContext::new(&inputs, &observed, &streams) };
            let g = kernel(json!({ "with": [] })).gram(&cx).unwrap();
            let scope: Vec<usize> = (0..n).filter(|i| ![11, 12].contains(i)).collect();
            let mut want = Array2::<f64>::zeros((scope.len(), scope.len()));
            for b in 0..2 {
                let x = inputs.only(&[b]).features(&scope);
                let k = x.dot(&x.t());
                let largest = k.iter().fold(0.0f64, |m, v| m.max(*v));
                want.scaled_add(0.5 / largest, &k);
            }
            assert!((&g.to_dense(&scope) - &want).iter().all(|d| d.abs() < 1e-12));
            assert!(g.restrict(&scope).features().is_some(), "features stay features");
        }
    }

    #[test]
    fn any_kernel_may_be_each_priors_and_stand_beside_them() {
        let world = TinyWorld::new(20, 3, 1, false, 1).unwrap();
        let inputs = two_priors(&world);
        let (observed, streams) = (world.observe(&[0, 5, 9], 1).unwrap(), Streams::new(1));
        let cx = KernelContext::new(&inputs, &observed, &streams);
        let rbf = json!({ "use": "rbf", "length": 2.0 });
        let g = kernel(json!({ "normalise": "none", "each": rbf, "with": [{ "use": "linear" }, { "use": "linear" }] }));
        let ids: Vec<usize> = (0..20).collect();
        let got = g.gram(&cx).unwrap().to_dense(&ids);
        let all = inputs.features(&ids);
        let mut want = all.dot(&all.t()) * 0.5;
        for b in 0..2 {
            let x = inputs.only(&[b]).features(&ids);
            let d = framework::numerics::sq_distances(x.view(), x.view());
            want += &(d.mapv(|v| (-v / 8.0).exp()) * 0.25);
        }
        assert!((&got - &want).iter().all(|d| d.abs() < 1e-12));
    }

    #[test]
    fn the_model_alone_priors_alone_and_nothing() {
        let world = TinyWorld::new(20, 3, 1, false, 1).unwrap();
        let none = Arc::new(Inputs::new(world.inputs.pool().clone(), vec![], Compose::Sum).unwrap());
        let (observed, streams) = (world.observe(&[0, 5, 9], 1).unwrap(), Streams::new(1));
        let model = MockSurrogate { mean: (0..20).map(|i| i as f64 - 7.5).collect(), sd: vec![1.0; 20] };
        let cx = KernelContext { surrogate: Some(&model), ..KernelContext::new(&none, &observed, &streams) };
        let ids: Vec<usize> = (0..20).collect();
        let k = FuseMean::default().gram(&cx).unwrap().to_dense(&ids);
        let want = |i: usize, j: usize| (i as f64 - 7.5) * (j as f64 - 7.5) / 11.5f64.powi(2);
        assert!(k.indexed_iter().all(|((i, j), v)| (v - want(i, j)).abs() < 1e-12));
        assert!(
            FuseMean::default().needs().contains(Ability::Model)
                && !FuseMean::default().needs().contains(Ability::Features)
        );
        let alone = kernel(json!({ "with": [] }));
        assert!(alone.needs().contains(Ability::Features) && !alone.needs().contains(Ability::Model));
        let e = alone.gram(&cx).unwrap_err().to_string();
        assert!(e.contains("no prior is active and `with` is empty"), "{e}");
        let flat = MockSurrogate { mean: vec![0.0; 20], sd: vec![1.0; 20] };
        let e = FuseMean::default().gram(&KernelContext { surrogate: Some(&flat), ..cx }).unwrap_err().to_string();
        assert!(e.contains("kernel `prediction`") && e.contains("is 0 cannot be normalised"), "{e}");
    }
}
