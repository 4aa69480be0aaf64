//! What the timings share.

use framework::prelude::*;
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;
use std::time::Instant;

/// A pool of single genes with normal features, and readouts of the first `train` of them: a smooth function of the
/// first ten features plus noise.
pub fn screen(train: usize, pool: usize, features: usize) -> (Arc<Inputs>, Observed) {
    let mut rng = Streams::new(1).rng("bench");
    let x = Array2::from_shape_simple_fn((pool, features), || -> f64 { StandardNormal.sample(&mut rng) });
    let y = Array2::from_shape_fn((train, 1), |(i, _)| {
        let noise: f64 = StandardNormal.sample(&mut rng);
        let signal: f64 = (0..10).map(|f| f64::sin(x[(i, f)] * (1.0 + f as f64 / 5.0))).sum();
        signal + 0.5 * noise
    });
    let genes = Arc::new(Genes::new((0..pool).map(|i| format!("g{i}"))).expect("different names"));
    let block = Block::new("x", x, vec![true; pool]).expect("finite features");
    let inputs = Inputs::new(Arc::new(Pool::singles(genes)), vec![Arc::new(block)], Compose::Sum).expect("one block");
    let mut observed = Observed::empty(1);
    let ids: Vec<usize> = (0..train).collect();
    observed.push(&framework::domain::Readouts::plain(&ids, y), 0).expect("finite readouts");
    (Arc::new(inputs), observed)
}

/// Median and least of the milliseconds that `f` takes, over `runs` runs after one to warm up.
pub fn milliseconds(runs: usize, mut f: impl FnMut()) -> (f64, f64) {
    f();
    let mut all: Vec<f64> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            f();
            start.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    all.sort_by(f64::total_cmp);
    (all[runs / 2], all[0])
}

/// Seconds that the threads of this process have spent on a processor; wall time tells little on a shared machine.
pub fn on_processor() -> f64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let spent = tasks.filter_map(|t| std::fs::read_to_string(t.path().join("schedstat")).ok());
    spent.filter_map(|s| s.split_whitespace().next()?.parse::<f64>().ok()).sum::<f64>() * 1e-9
}
