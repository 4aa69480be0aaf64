//! Information-directed search over gene pairs.
//!
//! - `data=FILE`: one round on the problem that peers/bench_ids.py makes (JSON: n, i, j, y of the measured pairs, truth of all
//!   pairs in order): 5,000 steps of Adam, or sweeps, then 500 draws and scores. Prints seconds and the correlation with
//!   the truth of the pairs not measured.
//! - `genes=N`: one round on all pairs of N genes, with peak memory.
//! - `run=1`: the 50 rounds of the scenario pair_50 on simulated rewards.
//!
//! cargo bench --profile dev -p screenwright-benches --bench ids -- genes=2000 threads=2

use framework::data::DataRoot;
use framework::error::Error;
use framework::plugin::Round;
use framework::prelude::*;
use framework::runner::{Base, Start, execute};
use framework::scenario::Scenario;
use framework::store::RunSeeds;
use plugins as _;
use rand_distr::{Distribution, StandardNormal};
use screenwright_benches::on_processor;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

fn plugin<T: for<'de> Deserialize<'de>>(form: &Value) -> Result<T> {
    serde_json::from_value(form.clone()).map_err(|e| Error::Config(e.to_string()))
}

/// Peak resident memory of this process in MB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}

fn pool(n: usize) -> Result<Arc<Inputs>> {
    let genes = Arc::new(Genes::new((0..n).map(|i| format!("g{i}")))?);
    Ok(Arc::new(Inputs::new(Arc::new(Pool::all_pairs(genes)), vec![], Compose::Sum)?))
}

/// One round: fit, then select ten; seconds of both and the surrogate's means of the candidates.
fn round(inputs: &Arc<Inputs>, observed: &Observed, model: &Value, rule: &Value) -> Result<(f64, f64, Batch)> {
    let (model, rule): (Box<dyn Model>, Box<dyn Acquisition>) = (plugin(model)?, plugin(rule)?);
    let start = Instant::now();
    let s = model.fit(&FitContext { inputs, observed, streams: &Streams::new(1) })?;
    let fit = start.elapsed().as_secs_f64();
    let candidates = Candidates::new(inputs.pool().len(), observed.ids.clone());
    let target = Target { direction: Direction::Max, ..Target::default() };
    let at = Round { index: 1, of: 1, batch: 10 };
    let cx = RunContext::new(at, inputs, &candidates, observed, Streams::new(1))
        .with_target(target)
        .with_surrogate(Some(&*s));
    let start = Instant::now();
    let batch = rule.select(&cx)?;
    Ok((fit, start.elapsed().as_secs_f64(), batch))
}

/// The peer's problem.
fn beside_peer(file: &str) -> Result<()> {
    let text = std::fs::read_to_string(file).map_err(Error::io(std::path::Path::new(file), "reading"))?;
    let data: Value = serde_json::from_str(&text).map_err(|e| Error::Data(e.to_string()))?;
    let list = |name: &str| -> Result<Vec<f64>> { plugin(&data[name]) };
    let (i, j, y, truth) = (list("i")?, list("j")?, list("y")?, list("truth")?);
    let inputs = pool(data["n"].as_u64().unwrap_or(50) as usize)?;
    let pair = |a: &f64, b: &f64| Perturbation::new([Gene(*a as u32), Gene(*b as u32)]);
    let ids: Vec<usize> = i.iter().zip(&j).filter_map(|(a, b)| inputs.pool().find(&pair(a, b))).collect();
    let mut observed = Observed::empty(1);
    let y = Array2::from_shape_vec((ids.len(), 1), y).map_err(|e| Error::Data(e.to_string()))?;
    observed.push(&Readouts::plain(&ids, y), 0)?;
    let free: Vec<usize> = (0..inputs.pool().len()).filter(|id| !ids.contains(id)).collect();
    let want: Vec<f64> = free.iter().map(|&f| truth[f]).collect();
    for (name, model) in [
        ("adam", json!({ "use": "low_rank_matrix", "inference": "adam" })),
        ("adam, U U' as the peer", json!({ "use": "low_rank_matrix", "inference": "adam", "symmetry": "gram" })),
        ("adam, uniform start", json!({ "use": "low_rank_matrix", "inference": "adam", "init": "uniform" })),
        ("cavi", json!({ "use": "low_rank_matrix" })),
        ("cavi, 5 starts", json!({ "use": "low_rank_matrix", "restarts": 5 })),
        ("cavi, noise fitted", json!({ "use": "low_rank_matrix", "learn_noise": true })),
        ("cavi, noise fitted, 5 starts", json!({ "use": "low_rank_matrix", "learn_noise": true, "restarts": 5 })),
        ("cavi, U U'", json!({ "use": "low_rank_matrix", "symmetry": "gram" })),
        ("cavi, U U', noise fitted", json!({ "use": "low_rank_matrix", "symmetry": "gram", "learn_noise": true })),
    ] {
        let (mut times, before) = (vec![], on_processor());
        for _ in 0..5 {
            let (fit, select, _) = round(&inputs, &observed, &model, &json!({ "use": "ids" }))?;
            times.push((fit + select, fit, select));
        }
        let processor = (on_processor() - before) / times.len() as f64;
        times.sort_by(|a, b| a.0.total_cmp(&b.0));
        let made: Box<dyn Model> = plugin(&model)?;
        let s = made.fit(&FitContext { inputs: &inputs, observed: &observed, streams: &Streams::new(1) })?;
        let got = s.predict(&free)?.mean.column(0).to_vec();
        let recorded: std::collections::BTreeMap<String, f64> = s.record().into_iter().collect();
        let line = json!({
            "fit": name, "wall_s": times[2].0, "processor_s": processor, "fit_s": times[2].1, "select_s": times[2].2,
            "corr_free": framework::numerics::stats::pearson(&got, &want),
            "elbo": recorded["low_rank_matrix.elbo"], "steps": recorded["low_rank_matrix.steps"],
        });
        println!("{line}");
    }
    Ok(())
}

/// One round among all pairs of many genes, of which a few thousand are measured.
fn large(n: usize, samples: usize, rule: &str) -> Result<()> {
    let inputs = pool(n)?;
    let mut rng = Streams::new(1).rng("bench");
    let ids = rand::seq::index::sample(&mut rng, inputs.pool().len(), 2000.min(inputs.pool().len() / 2)).into_vec();
    let y = Array2::from_shape_simple_fn((ids.len(), 1), || -> f64 { StandardNormal.sample(&mut rng) });
    let mut observed = Observed::empty(1);
    observed.push(&Readouts::plain(&ids, y), 0)?;
    let form = if rule == "ids" { json!({ "use": rule, "samples": samples }) } else { json!({ "use": rule }) };
    let before = on_processor();
    let (fit, select, batch) = round(&inputs, &observed, &json!({ "use": "low_rank_matrix" }), &form)?;
    println!(
        "{}",
        json!({ "pairs": inputs.pool().len(), "rule": rule, "samples": samples, "fit_s": fit, "select_s": select,
                "processor_s": on_processor() - before, "peak_mb": peak(), "first": batch.ids[..3] })
    );
    Ok(())
}

/// A whole run.
fn whole(model: Value) -> Result<()> {
    let scenario: Scenario = plugin(&json!({
        "name": "pair_50", "seeds": { "count": 1 }, "rounds": 49, "batch": 10, "metrics": ["hit_ratio", "regret"],
        "target": { "direction": "max" }, "pool": { "test": 0.0, "init": 10 },
        "oracle": { "use": "reward_matrix" }, "model": model, "acquisition": { "use": "ids" },
    }))?;
    let seeds = RunSeeds::new(&scenario, 0);
    let base = Base::open(&scenario, &DataRoot::locate(None), seeds.world)?;
    let stop = AtomicBool::new(false);
    let (clock, before) = (Instant::now(), on_processor());
    let start = Start { scenario: &scenario, seeds, base: &base, done: vec![], stop: &stop };
    let Some((rounds, seconds)) = execute(start, &mut |_| Ok(()))? else { return Ok(()) };
    let metrics = rounds.last().map(|r| r.metrics.clone());
    println!(
        "{}",
        json!({ "run": "pair_50", "model": scenario.model, "wall_s": clock.elapsed().as_secs_f64(),
                "processor_s": on_processor() - before, "fit_s": seconds.fit, "select_s": seconds.select, "last": metrics })
    );
    Ok(())
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let value = |key: &str| args.iter().find_map(|a| a.strip_prefix(key)?.strip_prefix('=').map(String::from));
    let number = |key: &str, or: usize| value(key).and_then(|v| v.parse().ok()).unwrap_or(or);
    let threads = rayon::ThreadPoolBuilder::new().num_threads(number("threads", 1)).build();
    threads.map_err(|e| Error::Numerical(e.to_string()))?.install(|| {
        if let Some(file) = value("data") {
            beside_peer(&file)?;
        }
        if let Some(n) = value("genes") {
            let n = n.parse().map_err(|_| Error::Config(format!("genes={n} is no number")))?;
            large(n, number("samples", 500), &value("rule").unwrap_or("ids".into()))?;
        }
        if value("run").is_some() {
            whole(json!({ "use": "low_rank_matrix" }))?;
            whole(json!({ "use": "low_rank_matrix", "inference": "adam" }))?;
        }
        Ok(())
    })
}
