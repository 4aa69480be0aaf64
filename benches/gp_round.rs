//! Gaussian process: one round of 640 measurements with 256 features, then mean and sd of 1,500, on one thread.
//!
//! cargo bench --profile dev -p screenwright-benches --bench gp_round

use framework::numerics::{Band, Cholesky, sq_distances};
use framework::prelude::*;
use plugins as _;
use screenwright_benches::{milliseconds, screen};
use std::hint::black_box;

fn main() -> Result<()> {
    let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().map_err(|e| Error::Numerical(e.to_string()))?;
    let (inputs, observed) = screen(640, 2140, 256);
    let ids: Vec<usize> = (640..2140).collect();
    let streams = Streams::new(1);
    one.install(|| {
        for kernel in ["rbf", "matern52", "linear"] {
            let form = serde_json::json!({ "use": "gp", "kernel": { "use": kernel } });
            let model: Box<dyn Model> = serde_json::from_value(form).map_err(|e| Error::Config(e.to_string()))?;
            let fit = || model.fit(&FitContext { inputs: &inputs, observed: &observed, streams: &streams });
            let fitted = fit()?;
            let f = milliseconds(15, || {
                black_box(fit().ok());
            });
            let p = milliseconds(15, || {
                black_box(fitted.predict(&ids).ok());
            });
            println!(
                "{kernel:9} fit {:.1} ms (least {:.1}), predict with sd {:.1} ms (least {:.1})",
                f.0, f.1, p.0, p.1
            );
        }
        let (x, star) = (inputs.features(&observed.ids), inputs.features(&ids));
        let kernel: Box<dyn Kernel> =
            serde_json::from_value(serde_json::json!({ "use": "rbf" })).map_err(|e| Error::Config(e.to_string()))?;
        let cx = KernelContext::new(&inputs, &observed, &streams);
        let gram = kernel.gram(&cx)?;
        let mut k = gram.to_dense(&observed.ids);
        let report = |name: &str, t: (f64, f64)| println!("  {name:28} {:.1} ms (least {:.1})", t.0, t.1);
        report(
            "median distance",
            milliseconds(15, || {
                black_box(kernel.gram(&cx).ok());
            }),
        );
        report(
            "Gram 640 x 640",
            milliseconds(15, || {
                let t = gram.restrict(&observed.ids);
                black_box(t.to_dense(&observed.ids));
            }),
        );
        report(
            "band form",
            milliseconds(15, || {
                black_box(Band::new(k.view(), observed.y.view()));
            }),
        );
        let band = Band::new(k.view(), observed.y.view());
        report(
            "one likelihood",
            milliseconds(15, || {
                black_box(band.log_det_and_quadratic(0.1));
            }),
        );
        k.diag_mut().iter_mut().for_each(|v| *v += 0.1);
        report(
            "Cholesky",
            milliseconds(15, || {
                black_box(Cholesky::new(k.view()).ok());
            }),
        );
        let factor = Cholesky::new(k.view())?;
        report(
            "squared distances 1500 x 640",
            milliseconds(15, || {
                black_box(sq_distances(star.view(), x.view()));
            }),
        );
        report(
            "Gram 1500 x 640",
            milliseconds(15, || {
                black_box(gram.block(&ids, &observed.ids));
            }),
        );
        let cross = gram.block(&ids, &observed.ids);
        report(
            "variances",
            milliseconds(15, || {
                black_box(factor.quadratic(cross.t()));
            }),
        );
        Ok(())
    })
}
