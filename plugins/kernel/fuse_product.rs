//! Elementwise product of kernels: k(x, x') = Π kₘ(x, x') over the priors and the model (Huang et al. 2023, App. A).
//!
//! Positive semidefinite (Schur). Similar only where every source says so; negative similarities of an even number
//! of sources become positive. Evaluated where it is read: an entry costs those of the sources.

use framework::plugin::Fusion;
use framework::prelude::*;

framework::fusion! {
    "fuse_product",
    /// The elementwise product of the kernels of the active priors and of the model, each normalised.
    pub struct FuseProduct {}
}

impl Fusion for FuseProduct {
    fn fuse(&self, cx: &KernelContext, sources: &Sources, found: Vec<Source>) -> Result<Gram> {
        let psd = found.iter().all(|s| s.psd);
        let factors = found.into_iter().map(|s| s.gram).collect();
        sources.finish(cx, Gram::new(framework::numerics::Product::new(factors)?), psd)
    }
}

framework::register!(Kernel, FuseProduct, "fuse_product", "elementwise product of the kernels of priors and model");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::{MockSurrogate, TinyWorld};

    #[test]
    fn entries_are_products_of_normalised_entries() {
        let world = TinyWorld::new(15, 3, 1, false, 2).unwrap();
        let (observed, streams) = (world.observe(&[0, 5], 1).unwrap(), Streams::new(1));
        let model = MockSurrogate { mean: (0..15).map(|i| i as f64 - 4.0).collect(), sd: vec![1.0; 15] };
        let cx = KernelContext { surrogate: Some(&model), ..KernelContext::new(&world.inputs, &observed, &streams) };
        let ids: Vec<usize> = (0..15).collect();
        let got = FuseProduct::default().gram(&cx).unwrap().to_dense(&ids);
        let x = world.inputs.features(&ids);
        let k = x.dot(&x.t());
        let largest = k.diag().iter().fold(0.0f64, |m, v| m.max(*v));
        for ((i, j), v) in got.indexed_iter() {
            let want = k[(i, j)] / largest * (i as f64 - 4.0) * (j as f64 - 4.0) / 100.0;
            assert!((v - want).abs() < 1e-12, "{i} {j}");
        }
    }
}
