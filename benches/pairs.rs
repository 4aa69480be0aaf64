//! Farthest-first selection among all pairs of many genes, which are never listed:
//! `cargo bench -p screenwright-benches --bench pairs -- [genes] [features] [picks] [measured] [sum|product]`.

use framework::plugin::Round;
use framework::prelude::*;
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;
use std::time::Instant;

/// Peak resident memory of this process in MB.
fn peak() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1024.0
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let number = |i: usize, or: usize| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(or);
    let (genes, d, picks, measured) = (number(0, 2000), number(1, 32), number(2, 100), number(3, 0));
    let compose = if args.get(4).is_some_and(|a| a == "product") { Compose::Product } else { Compose::Sum };
    let mut rng = Streams::new(1).rng("bench");
    let x = Array2::from_shape_fn((genes, d), |(_, j)| {
        let z: f64 = StandardNormal.sample(&mut rng);
        z / ((1 + j) as f64).sqrt()
    });
    let table = Arc::new(Genes::new((0..genes).map(|i| format!("g{i}")))?);
    let block = Block::new("x", x, vec![true; genes])?;
    let inputs = Arc::new(Inputs::new(Arc::new(Pool::all_pairs(table)), vec![Arc::new(block)], compose)?);
    let n = inputs.pool().len();
    let ids: Vec<usize> = (0..measured).map(|i| i * (n / measured.max(1))).collect();
    let mut observed = Observed::empty(1);
    observed.push(&framework::domain::Readouts::plain(&ids, Array2::zeros((ids.len(), 1))), 0)?;
    let candidates = Candidates::new(n, ids);
    let rule: Box<dyn Acquisition> = serde_json::from_value(serde_json::json!({ "use": "max_dist" }))
        .map_err(|e| framework::Error::Config(e.to_string()))?;
    let round = Round { index: 1, of: 1, batch: picks };
    let start = Instant::now();
    let tick = |done: usize, of: usize| eprintln!("{:8.1} s  {done} of {of}", start.elapsed().as_secs_f64());
    let cx = RunContext::new(round, &inputs, &candidates, &observed, Streams::new(1)).with_progress(&tick);
    let batch = rule.select(&cx)?;
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{{\"pairs\": {n}, \"features\": {d}, \"measured\": {measured}, \"picks\": {picks}, \"seconds\": {seconds:.1}, \
         \"peak_mb\": {:.0}, \"first\": {:?}, \"last_distance\": {:.6}}}",
        peak(),
        &batch.ids[..batch.ids.len().min(5)],
        batch.scores.last().copied().unwrap_or(f64::NAN)
    );
    Ok(())
}

use plugins as _;
