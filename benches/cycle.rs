//! One round of a screen for a model: fit on the measured rows, mean and spread of the pool and, with acquisition=, the
//! choice of a batch (select_s), as one JSON line. The rows are drawn as in bench_cycle.py (impl=bnn), whose network,
//! batches and epochs are the default here.
//!
//!   cargo bench --profile dev -p screenwright-benches --bench cycle -- n=1000 d=808 pool=17000 threads=2
//!   cargo bench --profile dev -p screenwright-benches --bench cycle -- n=1300 d=64 pool=8000 threads=1 \
//!       model='{"use":"mc_dropout_mlp"}' acquisition='{"use":"adversarial_bim"}' choose=64
//!
//! pool_r is the correlation of mean and readout over the pool, mean_std the mean spread, to compare answers by.
//! floor_s is the time of the arithmetic of the default network on `threads` cores at 109 GFLOP/s (two fused
//! multiply-adds of eight single precision numbers a cycle at 3.4 GHz): 4 n d hidden an epoch, 2 pool d hidden.

use framework::prelude::*;
use plugins as _;
use rand_distr::{Distribution, StandardNormal};
use screenwright_benches::on_processor;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

fn main() -> Result<()> {
    let given: HashMap<String, String> = std::env::args()
        .skip(1)
        .filter_map(|a| a.split_once('=').map(|(k, v)| (k.to_string(), v.to_string())))
        .collect();
    let number = |key: &str, default: usize| given.get(key).and_then(|v| v.parse().ok()).unwrap_or(default);
    let (n, d, pool, hidden) = (number("n", 1000), number("d", 808), number("pool", 17000), number("hidden", 32));
    let (epochs, threads, repeats) = (number("epochs", 100), number("threads", 2), number("repeats", 5));
    let form = match given.get("model") {
        Some(text) => serde_json::from_str(text).map_err(|e| Error::Config(e.to_string()))?,
        None => serde_json::json!({
            "use": "mc_dropout_mlp", "protocol": "code", "hidden": [hidden], "validation": 0.0, "epochs": epochs,
            "patience": epochs, "batch": number("batch", 256), "masks": number("passes", 100), "l2": 0.0,
            "input_scale": "raw", "output_scale": "raw",
        }),
    };
    let model: Box<dyn Model> = serde_json::from_value(form.clone()).map_err(|e| Error::Config(e.to_string()))?;

    let rule: Option<Box<dyn Acquisition>> = match given.get("acquisition") {
        Some(text) => Some(serde_json::from_str(text).map_err(|e| Error::Config(e.to_string()))?),
        None => None,
    };

    let mut rng = Streams::new(number("seed", 0) as u64).rng("bench");
    let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
    let x = Array2::from_shape_simple_fn((n + pool, d), &mut normal);
    let w = Array1::from_shape_simple_fn(d, || normal() / (d as f64).sqrt());
    let y = x.dot(&w).mapv(|f| f.tanh() + 0.1 * normal());
    let genes = Arc::new(Genes::new((0..n + pool).map(|i| format!("g{i}")))?);
    let block = Block::new("x", x, vec![true; n + pool])?;
    let inputs = Arc::new(Inputs::new(Arc::new(Pool::singles(genes)), vec![Arc::new(block)], Compose::Sum)?);
    let mut observed = Observed::empty(1);
    let ids: Vec<usize> = (0..n).collect();
    let measured = Array2::from_shape_fn((n, 1), |(i, _)| y[i]);
    observed.push(&framework::domain::Readouts::plain(&ids, measured), 0)?;
    let asked: Vec<usize> = (n..n + pool).collect();
    inputs.features(&[0]);

    let threads_pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let threads_pool = threads_pool.map_err(|e| Error::Numerical(e.to_string()))?;
    threads_pool.install(|| {
        let (mut fits, mut predictions, mut choices, mut cpus) = (vec![], vec![], vec![], vec![]);
        let candidates = Candidates::new(n + pool, ids.clone());
        let round = Round { index: 1, of: 1, batch: number("choose", 64) };
        let mut last = None;
        // The first round warms up.
        for _ in 0..=repeats {
            let (cpu, start) = (on_processor(), Instant::now());
            let fitted =
                model.fit(&FitContext { inputs: &inputs, observed: &observed, streams: &Streams::new(1) })?;
            let fit = start.elapsed().as_secs_f64();
            let p = fitted.predict(&asked)?;
            fits.push(fit);
            predictions.push(start.elapsed().as_secs_f64() - fit);
            cpus.push(on_processor() - cpu);
            if let Some(rule) = &rule {
                let streams = Streams::new(1).child("rule");
                let cx = RunContext::new(round, &inputs, &candidates, &observed, streams).with_surrogate(Some(&*fitted));
                let start = Instant::now();
                rule.select(&cx)?;
                choices.push(start.elapsed().as_secs_f64());
            }
            last = Some((p, fitted.record()));
        }
        let median = |v: &[f64]| {
            let mut v = v[1..].to_vec();
            v.sort_by(f64::total_cmp);
            v[v.len() / 2]
        };
        let Some((p, record)) = last else { return Ok(()) };
        let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
        let (f, y): (Vec<f64>, Vec<f64>) = asked.iter().zip(&p.mean).map(|(i, m)| (*m, y[*i])).unzip();
        let (mf, my) = (mean(&f), mean(&y));
        let product = |a: &[f64], ma: f64, b: &[f64], mb: f64| {
            a.iter().zip(b).map(|(a, b)| (a - ma) * (b - mb)).sum::<f64>()
        };
        let r = product(&f, mf, &y, my) / (product(&f, mf, &f, mf) * product(&y, my, &y, my)).sqrt();
        let work = (4 * n * d * hidden * epochs + 2 * pool * d * hidden) as f64;
        println!(
            "{}",
            serde_json::json!({
                "bench": "cycle", "model": form, "n": n, "d": d, "pool": pool, "threads": threads,
                "wall_s": median(&fits) + median(&predictions), "fit_s": median(&fits), "predict_s": median(&predictions),
                "select_s": rule.is_some().then(|| median(&choices)),
                "cpu_s": median(&cpus), "pool_r": r,
                "mean_std": p.sd.map(|s| mean(s.as_slice().unwrap_or_default())),
                "floor_s": (!given.contains_key("model")).then_some(work / 109e9 / threads as f64),
                "record": record.into_iter().collect::<HashMap<_, _>>(),
            })
        );
        Ok(())
    })
}
