//! Random forest: fit on 640 x 256, mean and spread over the trees for 6,000, on two threads; and the same fit and
//! mean by smartcore (which gives no spread and uses one thread). `forest_sklearn.py` does the first in scikit-learn.
//!
//! cargo bench --profile dev -p screenwright-benches --bench forest

use framework::prelude::*;
use plugins as _;
use screenwright_benches::{milliseconds, screen};
use smartcore::ensemble::random_forest_regressor::{RandomForestRegressor, RandomForestRegressorParameters};
use smartcore::linalg::basic::matrix::DenseMatrix;
use std::hint::black_box;

fn main() -> Result<()> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().map_err(|e| Error::Numerical(e.to_string()))?;
    let (inputs, observed) = screen(640, 6640, 256);
    let ids: Vec<usize> = (640..6640).collect();
    let model: Box<dyn Model> =
        serde_json::from_value(serde_json::json!({ "use": "forest" })).map_err(|e| Error::Config(e.to_string()))?;
    let streams = Streams::new(1);
    let fit = || model.fit(&FitContext { inputs: &inputs, observed: &observed, streams: &streams });
    let fitted = fit()?;
    let (fit_ms, predict_ms) = pool.install(|| {
        let fit_ms = milliseconds(7, || {
            black_box(fit().ok());
        });
        (
            fit_ms,
            milliseconds(7, || {
                black_box(fitted.predict(&ids).ok());
            }),
        )
    });
    println!(
        "forest     fit {:.0} ms (least {:.0}), predict with sd {:.0} ms (least {:.0})",
        fit_ms.0, fit_ms.1, predict_ms.0, predict_ms.1
    );

    let dense = |ids: &[usize]| {
        DenseMatrix::from_2d_vec(&inputs.features(ids).outer_iter().map(|r| r.to_vec()).collect::<Vec<_>>())
            .map_err(|e| Error::Numerical(e.to_string()))
    };
    let (x, star) = (dense(&observed.ids)?, dense(&ids)?);
    let y: Vec<f64> = observed.y.iter().copied().collect();
    let settings = RandomForestRegressorParameters::default().with_n_trees(100).with_m(256).with_min_samples_split(2);
    let fit = || RandomForestRegressor::fit(&x, &y, settings.clone()).map_err(|e| Error::Numerical(e.to_string()));
    let other = fit()?;
    let fit_ms = milliseconds(2, || {
        black_box(fit().ok());
    });
    let predict_ms = milliseconds(2, || {
        black_box(other.predict(&star).ok());
    });
    println!(
        "smartcore  fit {:.0} ms (least {:.0}), predict mean {:.0} ms (least {:.0})",
        fit_ms.0, fit_ms.1, predict_ms.0, predict_ms.1
    );
    Ok(())
}
