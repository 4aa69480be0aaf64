//! How much of the strongest pairs a search could find with so many measurements, as one JSON line a case: what NAIAD's
//! count (`fraction_discovered`) would be if the pairs measured were the best by predictions far better than a search has.
//!
//!   SCREENWRIGHT_DATA=DIR cargo bench --profile dev -p screenwright-benches --bench ceiling -- screen=norman measured=250,500
//!   SCREENWRIGHT_DATA=DIR cargo bench --profile dev -p screenwright-benches --bench ceiling -- screen=k562 measured=1250,2500
//!
//! crossfit: a pair's prediction comes from a model trained on the readouts of all pairs in the other nine of `folds` parts.
//! error: the readout itself plus normal noise of so many hundredths; the mean over `draws`. noise: predictions without
//! error of the noise-free screen, when the screen measured is that one plus normal noise of so many hundredths (the same
//! screen serves as the noise-free one, so its own noise is there twice: a bound from above on what is lost to noise).

use framework::data::DataRoot;
use framework::domain::Readouts;
use framework::plugin::Setup;
use framework::prelude::*;
use plugins as _;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The pairs sought: the most negative readouts.
const SOUGHT: usize = 200;

/// The `n` ids of least value; ties to the lowest id.
fn least(values: &[f64], n: usize) -> Vec<usize> {
    let mut ids: Vec<usize> = (0..values.len()).collect();
    ids.sort_by(|a, b| values[*a].total_cmp(&values[*b]).then(a.cmp(b)));
    ids.truncate(n);
    ids
}

/// Of the pairs sought, those listed and those measured when the best `n` by prediction are measured.
fn counts(y: &[f64], predicted: &[f64], n: usize) -> (usize, usize) {
    let sought: HashSet<usize> = least(y, SOUGHT).into_iter().collect();
    let measured = least(predicted, n);
    let mut list = predicted.to_vec();
    measured.iter().for_each(|i| list[*i] = y[*i]);
    let among = |ids: &[usize]| ids.iter().filter(|i| sought.contains(i)).count();
    (among(&least(&list, SOUGHT)), among(&measured))
}

fn main() -> Result<()> {
    let given: HashMap<String, String> = std::env::args()
        .skip(1)
        .filter_map(|a| a.split_once('=').map(|(k, v)| (k.to_string(), v.to_string())))
        .collect();
    let text = |key: &str, default: &str| given.get(key).cloned().unwrap_or_else(|| default.into());
    let number = |key: &str, default: usize| given.get(key).and_then(|v| v.parse().ok()).unwrap_or(default);
    let (screen, folds, draws) = (text("screen", "norman"), number("folds", 10), number("draws", 20));
    let norman = screen == "norman";
    let measured: Vec<usize> = text("measured", if norman { "250,500" } else { "1250,2500" })
        .split(',')
        .filter_map(|n| n.parse().ok())
        .collect();
    let Some(dir) = std::env::var_os("SCREENWRIGHT_DATA") else {
        eprintln!("SCREENWRIGHT_DATA is not set: nothing to measure");
        return Ok(());
    };
    let path = if norman { "norman2019_pairs/gene_pairs.csv.gz" } else { "horlbeck2018_pairs/k562_gene_pairs.csv.gz" };
    let config = |e: serde_json::Error| Error::Config(e.to_string());
    let oracle: Box<dyn Oracle> = serde_json::from_value(serde_json::json!({
        "use": "screen_table", "path": path, "genes": ["gene1", "gene2"], "values": ["gamma"], "single": ["gamma1", "gamma2"],
    }))
    .map_err(config)?;
    let (data, streams) = (DataRoot::new(dir), Streams::new(number("seed", 0) as u64));
    let screen_of = oracle.open(&Setup { data: &data, streams: &streams })?;
    let pool = screen_of.pool().clone();
    let ids: Vec<usize> = (0..pool.len()).collect();
    let y = screen_of.truth(&ids).ok_or_else(|| Error::Data("the screen has no truth".into()))?;
    let values = y.column(0).to_vec();
    let inputs = Inputs::new(pool, vec![], Compose::Sum)?.with_single_effects(screen_of.single_effects());
    let inputs = Arc::new(inputs);
    let rmse =
        |p: &[f64]| (p.iter().zip(&values).map(|(p, y)| (p - y).powi(2)).sum::<f64>() / p.len() as f64).sqrt() * 100.0;
    let report = |case: &str, error: f64, of: &dyn Fn(usize) -> (f64, f64)| {
        for n in &measured {
            let (listed, found) = of(*n);
            println!(
                "{}",
                serde_json::json!({ "screen": screen, "case": case, "rmse_x100": error, "measurements": n,
                                    "listed": listed, "measured": found, "sought": SOUGHT })
            );
        }
    };

    let mut parts = ids.clone();
    parts.shuffle(&mut streams.rng("folds"));
    let table = if norman { "norman" } else { "horlbeck" };
    let models = [
        serde_json::json!({ "use": "linear_single" }),
        serde_json::json!({ "use": "naiad", "table": table, "epochs": number("epochs", if norman { 500 } else { 100 }) }),
    ];
    for settings in models {
        let model: Box<dyn Model> = serde_json::from_value(settings.clone()).map_err(config)?;
        let mut predicted = vec![0.0; values.len()];
        for k in 0..folds {
            let (held, rest): (Vec<usize>, Vec<usize>) = (0..parts.len()).partition(|i| i % folds == k);
            let (held, rest): (Vec<usize>, Vec<usize>) =
                (held.iter().map(|i| parts[*i]).collect(), rest.iter().map(|i| parts[*i]).collect());
            let mut observed = Observed::empty(1);
            observed.push(&Readouts::plain(&rest, y.select(Axis(0), &rest)), 0)?;
            let streams = streams.child(&format!("fold {k}"));
            let fitted = model.fit(&FitContext { inputs: &inputs, observed: &observed, streams: &streams })?;
            let p = fitted.predict(&held)?;
            held.iter().zip(p.mean.iter()).for_each(|(i, p)| predicted[*i] = *p);
        }
        let name = settings["use"].as_str().unwrap_or_default();
        report(&format!("crossfit {name}"), rmse(&predicted), &|n| {
            let (listed, found) = counts(&values, &predicted, n);
            (listed as f64, found as f64)
        });
    }

    let noisy = |sd: f64, draw: usize| -> Vec<f64> {
        let mut rng = streams.child("noise").rng(&format!("{draw}"));
        values
            .iter()
            .map(|y| y + sd * <StandardNormal as Distribution<f64>>::sample(&StandardNormal, &mut rng))
            .collect()
    };
    for hundredths in [1.0, 2.0, 2.5, 3.0, 4.0, 5.0] {
        for (case, swapped) in [("error", false), ("noise", true)] {
            report(case, hundredths, &|n| {
                let mut sums = (0, 0);
                for d in 0..draws {
                    let other = noisy(hundredths / 100.0, d);
                    let (a, b) = if swapped { counts(&other, &values, n) } else { counts(&values, &other, n) };
                    sums = (sums.0 + a, sums.1 + b);
                }
                (sums.0 as f64 / draws as f64, sums.1 as f64 / draws as f64)
            });
        }
    }
    Ok(())
}
