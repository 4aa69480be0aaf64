//! Training of `naiad` (several members: an `ensemble`) and prediction of all pairs, as one JSON line. Effects, pairs and
//! sizes are those of bench_naiad.py.
//!
//!   cargo bench --profile dev -p screenwright-benches --bench naiad -- genes=112 n_train=500 epochs=500 members=5 d_embed=16
//!   cargo bench --profile dev -p screenwright-benches --bench naiad -- genes=448 n_train=2000 epochs=200 d_single=256
//!   cargo bench --profile dev -p screenwright-benches --bench naiad -- all=20000 d_embed=16 d_single=64
//!
//! hidden=1 is the printed equation, hidden=2 the released network. `all` trains on 500 pairs of that many genes and takes
//! the best 1,000 of all pairs, in pieces (pairs_per_s). test_rmse is over the pairs not trained on. floor_s is the time of
//! the arithmetic of training and prediction on `threads` cores: multiply-adds at 109 GFLOP/s, normal distribution functions
//! as exponentials at 1.15 G/s a core.

use framework::prelude::*;
use plugins as _;
use rand::seq::SliceRandom;
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
    let all = number("all", 0);
    let (genes, n) = (if all > 0 { all } else { number("genes", 112) }, number("n_train", 500));
    let (epochs, p, h) = (number("epochs", 500), number("d_embed", 16), number("d_single", 64));
    let (members, deep) = (number("members", 1), number("hidden", 1) == 2);
    let (threads, repeats) = (number("threads", 2), number("repeats", 3));
    let form = if deep { "code" } else { "paper" };
    let one = serde_json::json!({
        "use": "naiad", "form": form, "order": "shuffle", "width": p, "hidden": h, "epochs": epochs, "last_rate": 0.0,
    });
    let settings =
        if members > 1 { serde_json::json!({ "use": "ensemble", "of": one, "members": members }) } else { one };
    let model: Box<dyn Model> = serde_json::from_value(settings).map_err(|e| Error::Config(e.to_string()))?;

    let mut rng = Streams::new(number("seed", 0) as u64).rng("bench");
    let mut normal = || -> f64 { StandardNormal.sample(&mut rng) };
    let single = Array2::from_shape_simple_fn((genes, 1), &mut normal);
    let latent = Array2::from_shape_simple_fn((genes, 4), || normal() / 2.0);
    let names = Arc::new(Genes::new((0..genes).map(|i| format!("g{i}")))?);
    let pool = if all > 0 {
        Pool::all_pairs(names)
    } else {
        // Pairs of a gene with itself included.
        let pair = |i: usize, j: usize| Perturbation::new([Gene(i as u32), Gene(j as u32)]);
        Pool::list(names, (0..genes).flat_map(|i| (i..genes).map(move |j| pair(i, j))))?
    };
    let mut order: Vec<usize> = if all > 0 {
        rand::seq::index::sample(&mut Streams::new(2).rng("order"), pool.len(), n).into_vec()
    } else {
        (0..pool.len()).collect()
    };
    order.shuffle(&mut Streams::new(2).rng("order"));
    let mut truth = |id: usize| {
        pool.with_genes(id, |g| {
            let (a, b) = (g[0].index(), g[1].index());
            0.8 * (single[(a, 0)] + single[(b, 0)]) + latent.row(a).dot(&latent.row(b)) + 0.1 * normal()
        })
    };
    let y: Vec<f64> = order.iter().map(|id| truth(*id)).collect();
    let mut observed = Observed::empty(1);
    observed.push(&framework::domain::Readouts::plain(&order[..n], Array2::from_shape_fn((n, 1), |(i, _)| y[i])), 0)?;
    let n_pairs = pool.len();
    let inputs = Inputs::new(Arc::new(pool), vec![], Compose::Sum)?.with_single_effects(Some(single));
    let inputs = Arc::new(inputs);
    let threads_pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    let threads_pool = threads_pool.map_err(|e| Error::Numerical(e.to_string()))?;
    threads_pool.install(|| {
        let (mut fits, mut predictions, mut cpus, mut test) = (vec![], vec![], vec![], f64::NAN);
        // The first round warms up.
        for _ in 0..=repeats {
            let (cpu, start) = (on_processor(), Instant::now());
            let fitted = model.fit(&FitContext { inputs: &inputs, observed: &observed, streams: &Streams::new(1) })?;
            let fit = start.elapsed().as_secs_f64();
            if all > 0 {
                let candidates = Candidates::new(n_pairs, observed.ids.clone());
                let round = Round { index: 1, of: 1, batch: 1000 };
                let target = Target { direction: Direction::Min, ..Target::default() };
                let (model, streams) = (Some(&*fitted), Streams::new(1));
                let cx = RunContext::new(round, &inputs, &candidates, &observed, streams).with_target(target).with_surrogate(model);
                let rule: Box<dyn Acquisition> = serde_json::from_value(serde_json::json!({ "use": "greedy" }))
                    .map_err(|e| Error::Config(e.to_string()))?;
                rule.select(&cx)?;
            } else {
                let p = fitted.predict(&order)?;
                let squares = y[n..].iter().zip(p.mean.iter().skip(n)).map(|(y, m)| (y - m).powi(2)).sum::<f64>();
                test = (squares / (y.len() - n) as f64).sqrt();
            }
            fits.push(fit);
            predictions.push(start.elapsed().as_secs_f64() - fit);
            cpus.push(on_processor() - cpu);
        }
        let median = |v: &[f64]| {
            let mut v = v[1..].to_vec();
            v.sort_by(f64::total_cmp);
            v[v.len() / 2]
        };
        let layers = h * 2 + if deep { h * h } else { 0 };
        let trained = 6 * epochs * members * (n * (layers + h + p * p) + genes.min(2 * n) * p * p);
        let predicted = 2 * members * n_pairs * (layers + h + p);
        let activations = members * (epochs * n + n_pairs) * h * (1 + usize::from(deep));
        let floor = (trained + predicted) as f64 / 109e9 + activations as f64 / 1.15e9;
        println!(
            "{}",
            serde_json::json!({
                "bench": "naiad", "genes": genes, "n_train": n, "epochs": epochs, "members": members, "d_embed": p, "d_single": h,
                "hidden": number("hidden", 1), "threads": threads, "wall_s": median(&fits) + median(&predictions),
                "train_s": median(&fits), "predict_s": median(&predictions), "cpu_s": median(&cpus), "n_pairs": n_pairs,
                "pairs_per_s": n_pairs as f64 / median(&predictions), "test_rmse": test,
                "floor_s": floor / threads as f64,
            })
        );
        Ok(())
    })
}
