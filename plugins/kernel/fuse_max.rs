//! Elementwise maximum of kernels: k(x, x') = maxₘ kₘ(x, x') over the priors and the model (Huang et al. 2023, App. A).
//!
//! Similar where any source says so. Not positive semidefinite in general: the smallest eigenvalue is recorded and
//! `repair` says what is done. Evaluated where it is read: an entry costs those of the sources.

use framework::numerics::GramSource;
use framework::plugin::Fusion;
use framework::prelude::*;

framework::fusion! {
    "fuse_max",
    /// The elementwise maximum of the kernels of the active priors and of the model, each normalised.
    pub struct FuseMax {}
}

impl Fusion for FuseMax {
    fn fuse(&self, cx: &KernelContext, sources: &Sources, found: Vec<Source>) -> Result<Gram> {
        if let [only] = &found[..] {
            return sources.finish(cx, only.gram.clone(), only.psd);
        }
        let grams = found.into_iter().map(|s| s.gram).collect();
        sources.finish(cx, Gram::new(Maximum { grams }), false)
    }

    fn stays_psd(&self, _: bool) -> bool {
        self.repair == Repair::Clip
    }
}

/// The elementwise maximum of at least one kernel.
struct Maximum {
    grams: Vec<Gram>,
}

impl Maximum {
    /// Folds what each kernel gives into the first.
    fn fold<T>(&self, read: impl Fn(&Gram) -> T, mut join: impl FnMut(&mut T, T)) -> Option<T> {
        let mut all = self.grams.iter().map(read);
        let mut most = all.next()?;
        all.for_each(|next| join(&mut most, next));
        Some(most)
    }
}

impl GramSource for Maximum {
    fn n(&self) -> usize {
        self.grams.first().map_or(0, |g| g.n())
    }
    fn diagonal(&self, ids: &[usize]) -> Vec<f64> {
        let join = |most: &mut Vec<f64>, next: Vec<f64>| most.iter_mut().zip(next).for_each(|(a, b)| *a = a.max(b));
        self.fold(|g| g.diagonal(ids), join).unwrap_or_default()
    }
    fn block(&self, a: &[usize], b: &[usize]) -> Array2<f64> {
        let join = |most: &mut Array2<f64>, next: Array2<f64>| most.zip_mut_with(&next, |a, b| *a = a.max(*b));
        self.fold(|g| g.block(a, b), join).unwrap_or_default()
    }
    fn row(&self, i: usize, out: &mut [f64]) {
        let mut part = vec![0.0; out.len()];
        out.fill(f64::NEG_INFINITY);
        for g in &self.grams {
            g.row(i, &mut part);
            out.iter_mut().zip(&part).for_each(|(o, v)| *o = o.max(*v));
        }
    }
    fn restrict(&self, ids: &[usize]) -> Gram {
        Gram::new(Maximum { grams: self.grams.iter().map(|g| g.restrict(ids)).collect() })
    }
}

framework::register!(Kernel, FuseMax, "fuse_max", "elementwise maximum of the kernels of priors and model");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::numerics::eigh;
    use framework::testing::{MockSurrogate, TinyWorld};
    use std::cell::RefCell;

    fn with(repair: Repair, check: impl Fn(Result<Gram>, Vec<(String, f64)>, Array2<f64>)) {
        let world = TinyWorld::new(15, 3, 1, false, 2).unwrap();
        let (observed, streams) = (world.observe(&[0, 5], 1).unwrap(), Streams::new(1));
        let model = MockSurrogate { mean: (0..15).map(|i| i as f64 - 4.0).collect(), sd: vec![1.0; 15] };
        let recorded = RefCell::default();
        let cx = KernelContext {
            surrogate: Some(&model),
            recorded: Some(&recorded),
            ..KernelContext::new(&world.inputs, &observed, &streams)
        };
        let ids: Vec<usize> = (0..15).collect();
        let x = world.inputs.features(&ids);
        let k = x.dot(&x.t());
        let largest = k.diag().iter().fold(0.0f64, |m, v| m.max(*v));
        let want = Array2::from_shape_fn((15, 15), |(i, j)| {
            (k[(i, j)] / largest).max((i as f64 - 4.0) * (j as f64 - 4.0) / 100.0)
        });
        let gram = FuseMax { repair, ..FuseMax::default() }.gram(&cx);
        check(gram, recorded.take(), want);
    }

    #[test]
    fn golden_maximum() {
        use framework::serde_json::{self, Value};
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/numerics.json");
        let golden: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let matrix = |v: &Value| {
            let rows: Vec<Vec<f64>> = serde_json::from_value(v.clone()).unwrap();
            Array2::from_shape_fn((rows.len(), rows.len()), |(i, j)| rows[i][j])
        };
        let ids: Vec<usize> = (0..9).collect();
        let scaled = |m: usize| {
            let k = Gram::stored(matrix(&golden["kernels"]["matrices"][m]));
            Normalise::MinMax.apply(&k, &ids, true).unwrap().0
        };
        let got = Maximum { grams: (0..3).map(scaled).collect() };
        let want = matrix(&golden["kernels"]["fusion_max"]);
        assert!((&got.block(&ids, &ids) - &want).iter().all(|d| d.abs() < 1e-12));
        let mut row = vec![0.0; 9];
        got.row(4, &mut row);
        assert!(row.iter().zip(want.row(4)).all(|(a, b)| (a - b).abs() < 1e-12));
    }

    #[test]
    fn entries_are_the_largest_and_a_negative_eigenvalue_is_recorded() {
        let ids: Vec<usize> = (0..15).collect();
        with(Repair::None, |gram, recorded, want| {
            assert!((&gram.unwrap().to_dense(&ids) - &want).iter().all(|d| d.abs() < 1e-12));
            let smallest = eigh(want.view()).unwrap().0[0];
            assert!(smallest < -1e-3);
            assert_eq!(recorded.len(), 1);
            assert!(recorded[0].0 == "smallest_eigenvalue" && (recorded[0].1 - smallest).abs() < 1e-12);
        });
        with(Repair::Refuse, |gram, _, _| {
            let e = gram.unwrap_err().to_string();
            assert!(e.contains("not positive semidefinite") && e.contains("clip"), "{e}");
        });
        with(Repair::Clip, |gram, _, want| {
            let (values, vectors) = eigh(want.view()).unwrap();
            let clipped = (&vectors * &values.mapv(|v| v.max(0.0))).dot(&vectors.t());
            let gram = gram.unwrap();
            assert!((&gram.to_dense(&ids) - &clipped).iter().all(|d| d.abs() < 1e-12));
            assert!(gram.rows().is_some(), "determinant rules get features");
        });
    }
}
