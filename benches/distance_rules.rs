//! Rules that choose by distance, on features like those of a network: normal times 1 / √(1 + j).
//!
//! RAYON_NUM_THREADS=2 cargo bench --profile dev -p screenwright-benches --bench distance_rules [-- lcmd max_dist]

use framework::prelude::*;
use learn::clustering::Lloyd;
use plugins as _;
use rand_distr::{Distribution, StandardNormal};
use screenwright_benches::milliseconds;
use std::hint::black_box;
use std::sync::Arc;

fn main() -> Result<()> {
    let only: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let wanted = |name: &str| only.is_empty() || only.iter().any(|o| o == name);
    let config = |e: serde_json::Error| Error::Config(e.to_string());
    for (n, d, batch) in [(10_000, 512, 100), (50_000, 128, 300)] {
        let (inputs, observed) = screen(n, d)?;
        let candidates = Candidates::new(n + TRAIN, observed.distinct());
        println!("{n} candidates x {d}, {TRAIN} measured, {batch} picks, {} threads", rayon::current_num_threads());
        for (precision, form) in [
            ("f64", serde_json::json!({ "use": "linear" })),
            ("f32", serde_json::json!({ "use": "single", "of": { "use": "linear" } })),
        ] {
            let kernel: Box<dyn Kernel> = match serde_json::from_value(form) {
                Ok(k) => k,
                Err(e) => {
                    println!("  {precision} left out: {e}");
                    continue;
                }
            };
            for name in ["max_dist", "lcmd", "kmeans_pp", "rmds", "dirichlet", "sosd"] {
                // All pairs of the larger pool take a minute.
                if !wanted(name) || (n > 10_000 && matches!(name, "sosd" | "dirichlet")) {
                    continue;
                }
                let rule: Box<dyn Acquisition> =
                    serde_json::from_value(serde_json::json!({ "use": name })).map_err(config)?;
                let (median, least) = milliseconds(if name == "sosd" { 1 } else { 5 }, || {
                    let round = Round { index: 1, of: 1, batch };
                    let cx = RunContext::new(round, &inputs, &candidates, &observed, Streams::new(1))
                        .with_kernel(Some(&*kernel));
                    black_box(rule.select(&cx).expect("a batch"));
                });
                println!("  {precision} {name:10} {median:8.1} ms (least {least:.1})");
            }
        }
    }
    if wanted("k_means") {
        let (inputs, _) = screen(10_000, 64)?;
        let x = inputs.features(&(0..10_000).collect::<Vec<_>>());
        let lloyd = Lloyd { restarts: 10, iterations: 300, tolerance: 1e-4, plus_plus: true };
        let mut last = None;
        let (median, least) = milliseconds(3, || {
            last = lloyd.cluster(x.view(), 100, &mut Streams::new(1).rng("k")).ok();
        });
        let iterations = last.map_or(0, |c| c.objectives.len());
        println!(
            "Lloyd 10,000 x 64, 100 clusters, 10 starts: {median:.1} ms (least {least:.1}), {iterations} iterations"
        );
    }
    Ok(())
}

const TRAIN: usize = 200;

fn screen(n: usize, d: usize) -> Result<(Arc<Inputs>, Observed)> {
    let mut rng = Streams::new(1).rng("bench");
    let x = Array2::from_shape_fn((n + TRAIN, d), |(_, j)| {
        let z: f64 = StandardNormal.sample(&mut rng);
        z / (1.0 + j as f64).sqrt()
    });
    let genes = Arc::new(Genes::new((0..n + TRAIN).map(|i| format!("g{i}")))?);
    let block = Block::new("x", x, vec![true; n + TRAIN])?;
    let inputs = Inputs::new(Arc::new(Pool::singles(genes)), vec![Arc::new(block)], Compose::Sum)?;
    let mut observed = Observed::empty(1);
    let train: Vec<usize> = (n..n + TRAIN).collect();
    observed.push(&framework::domain::Readouts::plain(&train, Array2::zeros((TRAIN, 1))), 0)?;
    Ok((Arc::new(inputs), observed))
}
