//! One selection of any rule on any kernel: synthetic rows with a decaying spectrum, or rows from files.
//!
//! cargo bench --profile dev -p screenwright-benches --bench select -- n=10000 d=512 batch=100 \
//!     rule='{"use":"max_det","sigma":0.1}' kernel='{"use":"linear"}' single=1 threads=2 repeats=5
//!
//! `pool=` and `train=` name files of little-endian f32 rows (d numbers each). `single=1` keeps rows in single
//! precision (the `single` transform around the kernel). Everything that a round would compute is in the time:
//! the Gram matrix, its restriction to the candidates, and the picks. One JSON line.

use framework::Result;
use framework::domain::{Block, Candidates, Compose, Genes, Inputs, Observed, Pool, Readouts};
use framework::error::Error;
use framework::ndarray::{Array2, Axis, concatenate};
use framework::plugin::{Acquisition, Kernel, KernelContext, Round, RunContext};
use framework::streams::Streams;
use plugins as _;
use rand_distr::{Distribution, StandardNormal};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

fn read(path: &str, d: usize) -> Result<Array2<f64>> {
    let bytes = std::fs::read(path).map_err(Error::io(path.as_ref(), "reading rows"))?;
    let values: Vec<f64> =
        bytes.chunks_exact(4).map(|b| f64::from(f32::from_le_bytes([b[0], b[1], b[2], b[3]]))).collect();
    Array2::from_shape_vec((values.len() / d, d), values).map_err(|e| Error::Data(format!("{path}: {e}")))
}

fn normal(n: usize, d: usize, seed: u64) -> Array2<f64> {
    let mut rng = Streams::new(seed).rng("rows");
    Array2::from_shape_fn((n, d), |(_, j)| {
        let z: f64 = StandardNormal.sample(&mut rng);
        // Exact in single precision, as rows from files are.
        f64::from((z / (1.0 + j as f64).sqrt()) as f32)
    })
}

fn main() -> Result<()> {
    let mut set: BTreeMap<String, String> = BTreeMap::new();
    for argument in std::env::args().skip(1).filter(|a| a != "--bench") {
        let (name, value) = argument.split_once('=').ok_or_else(|| {
            Error::Config(format!("`{argument}` is not of the form name=value; see benches/select.rs"))
        })?;
        set.insert(name.into(), value.into());
    }
    let text = |name: &str, default: &str| set.get(name).cloned().unwrap_or_else(|| default.into());
    let number = |name: &str, default: usize| -> Result<usize> {
        text(name, &default.to_string()).parse().map_err(|e| Error::Config(format!("{name}: {e}")))
    };
    let (d, batch, threads, repeats) =
        (number("d", 512)?, number("batch", 100)?, number("threads", 2)?, number("repeats", 5)?);
    let bad = |e: serde_json::Error| Error::Config(e.to_string());
    let rule_text = text("rule", r#"{"use":"max_det","sigma":0.1}"#);
    let rule: Box<dyn Acquisition> = serde_json::from_str(&rule_text).map_err(bad)?;
    let mut kernel: Value = serde_json::from_str(&text("kernel", r#"{"use":"linear"}"#)).map_err(bad)?;
    let single = number("single", 0)? == 1;
    if single {
        kernel = json!({ "use": "single", "of": kernel });
    }
    let kernel: Box<dyn Kernel> = serde_json::from_value(kernel).map_err(bad)?;
    let pool = set.get("pool").map_or_else(|| Ok(normal(number("n", 10_000)?, d, 1)), |p| read(p, d))?;
    let train = set.get("train").map_or_else(|| Ok(normal(number("n_train", 200)?, d, 2)), |p| read(p, d))?;

    let (n, x) = (pool.nrows(), concatenate(Axis(0), &[pool.view(), train.view()]));
    let x = x.map_err(|e| Error::Data(e.to_string()))?;
    drop((pool, train));
    let (all, measured) = (x.nrows(), (n..x.nrows()).collect::<Vec<_>>());
    let genes = Arc::new(Genes::new((0..all).map(|i| format!("g{i}")))?);
    let block = Arc::new(Block::new("x", x, vec![true; all])?);
    let inputs = Arc::new(Inputs::new(Arc::new(Pool::singles(genes)), vec![block], Compose::Sum)?);
    let mut observed = Observed::empty(1);
    observed.push(&Readouts::plain(&measured, Array2::zeros((measured.len(), 1))), 0)?;
    let candidates = Candidates::new(all, measured.clone());
    let workers = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    workers.map_err(|e| Error::Numerical(e.to_string()))?.install(|| {
        let (mut times, mut prepare, mut ids) = (vec![], vec![], vec![]);
        for _ in 0..=repeats {
            let round = Round { index: 1, of: 1, batch };
            let streams = Streams::new(1).child("bench");
            let cx =
                RunContext::new(round, &inputs, &candidates, &observed, streams.clone()).with_kernel(Some(&*kernel));
            let start = Instant::now();
            ids = rule.select(&cx)?.ids;
            times.push(start.elapsed().as_secs_f64());
            let kcx =
                KernelContext { candidates: Some(&candidates), ..KernelContext::new(&inputs, &observed, &streams) };
            let (gram, some) = (kernel.gram(&kcx)?, candidates.to_vec());
            let start = Instant::now();
            std::hint::black_box(gram.restrict(&some));
            prepare.push(start.elapsed().as_secs_f64());
        }
        // The first warms up.
        let median = |times: &mut Vec<f64>| {
            times.remove(0);
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        };
        let (median_s, restrict_s) = (median(&mut times), median(&mut prepare));
        let line = json!({
            "rule": rule_text, "n": n, "d": d, "n_train": all - n, "batch": batch, "single": single,
            "threads": threads, "wall_s": median_s, "wall_min_s": times[0], "restrict_s": restrict_s,
            "picks": ids,
        });
        println!("{line}");
        Ok(())
    })
}
