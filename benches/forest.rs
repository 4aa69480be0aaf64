//! One cycle of a gene screen with a random forest: fit on n rows, mean and spread over the trees for a pool. Prints
//! one JSON line with medians over the repeats. `forest_sklearn.py` does
//! the same in scikit-learn.
//!
//! cargo bench --profile dev -p screenwright-benches --bench forest -- n=1000 d=808 pool=17000 trees=100 threads=2

use framework::prelude::*;
use plugins as _;
use rand_distr::{Distribution, StandardNormal};
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

/// The outcome is tanh of a linear function of all features, plus noise a tenth as large.
fn world(n: usize, pool: usize, d: usize, seed: u64) -> Result<(Arc<Inputs>, Observed, Vec<f64>)> {
    let mut rng = Streams::new(seed).rng("bench");
    let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
    let x = Array2::from_shape_simple_fn((n + pool, d), || f64::from(normal() as f32));
    let w = Array1::from_shape_simple_fn(d, || normal() / (d as f64).sqrt());
    let y: Vec<f64> = x.dot(&w).iter().map(|v| v.tanh() + 0.1 * normal()).collect();
    let genes = Arc::new(Genes::new((0..n + pool).map(|i| format!("g{i}")))?);
    let block = Block::new("x", x, vec![true; n + pool])?;
    let inputs = Inputs::new(Arc::new(Pool::singles(genes)), vec![Arc::new(block)], Compose::Sum)?;
    let mut observed = Observed::empty(1);
    let ids: Vec<usize> = (0..n).collect();
    let readouts = Array2::from_shape_fn((n, 1), |(i, _)| y[i]);
    observed.push(&framework::domain::Readouts::plain(&ids, readouts), 0)?;
    Ok((Arc::new(inputs), observed, y[n..].to_vec()))
}

/// Processor seconds of all threads so far (10 ms ticks; 0 where the system does not tell).
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let rest = stat.rsplit(')').next().unwrap_or_default();
    let ticks = |i: usize| rest.split_whitespace().nth(i).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
    (ticks(11) + ticks(12)) / 100.0
}

fn median(mut v: Vec<f64>) -> f64 {
    v.sort_by(f64::total_cmp);
    v[v.len() / 2]
}

fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let (ma, mb) = (mean(a), mean(b));
    let sum = |f: &dyn Fn(f64, f64) -> f64| a.iter().zip(b).map(|(x, y)| f(x - ma, y - mb)).sum::<f64>();
    sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
}

fn main() -> Result<()> {
    let mut set: BTreeMap<String, usize> =
        [("n", 1000), ("d", 808), ("pool", 17000), ("trees", 100), ("threads", 2), ("repeats", 5), ("seed", 1)]
            .map(|(k, v)| (k.to_string(), v))
            .into();
    for word in std::env::args().skip(1).filter(|w| w.contains('=')) {
        let refuse = || Error::Config(format!("setting `{word}`: want one of {set:?}"));
        let (key, value) = word.split_once('=').ok_or_else(refuse)?;
        let value = value.parse().map_err(|_| refuse())?;
        *set.get_mut(key).ok_or_else(|| Error::Config(format!("no setting `{key}`")))? = value;
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(set["threads"])
        .build()
        .map_err(|e| Error::Numerical(e.to_string()))?;
    let (inputs, observed, truth) = world(set["n"], set["pool"], set["d"], set["seed"] as u64)?;
    let ids: Vec<usize> = (set["n"]..set["n"] + set["pool"]).collect();
    let model: Box<dyn Model> = serde_json::from_value(json!({ "use": "forest", "trees": set["trees"] }))
        .map_err(|e| Error::Config(e.to_string()))?;
    let streams = Streams::new(1);
    let cycle = || {
        let start = Instant::now();
        let fitted = model.fit(&FitContext { inputs: &inputs, observed: &observed, streams: &streams })?;
        let fit_s = start.elapsed().as_secs_f64();
        let p = fitted.predict(&ids)?;
        Ok::<_, Error>((fit_s, start.elapsed().as_secs_f64() - fit_s, p))
    };
    pool.install(|| {
        let (_, _, p) = cycle()?; // warm up
        let before = processor_seconds();
        let runs: Vec<_> = (0..set["repeats"]).map(|_| cycle()).collect::<Result<_>>()?;
        let cpu = (processor_seconds() - before) / set["repeats"] as f64;
        let sd = p.sd.as_ref().map_or(0.0, |s| s.iter().sum::<f64>() / s.len() as f64);
        let line = json!({
            "bench": "forest", "settings": set,
            "wall_s": median(runs.iter().map(|r| r.0 + r.1).collect()),
            "fit_s": median(runs.iter().map(|r| r.0).collect()),
            "predict_s": median(runs.iter().map(|r| r.1).collect()),
            "least_s": runs.iter().map(|r| r.0 + r.1).fold(f64::INFINITY, f64::min),
            "cpu_s": cpu,
            "pool_r": correlation(&p.mean.column(0).to_vec(), &truth),
            "mean_std": sd,
            "checksum": p.mean.sum(),
        });
        println!("{line}");
        Ok(())
    })
}
