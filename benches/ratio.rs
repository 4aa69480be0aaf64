//! Density ratios: the nearest-neighbour divergence, and epochs of the ratio network on the 11 tabular classes. Prints
//! one JSON line. The data come as raw files, so that scipy and PyTorch see the same:
//!
//! cargo bench --profile dev -p screenwright-benches --bench ratio -- work=knn x=FILE y=FILE d=3 k=5 threads=1
//! cargo bench --profile dev -p screenwright-benches --bench ratio -- work=nre x=FILE d=3 hidden=128,64 epochs=5 threads=1

use framework::domain::{Class, PairClass, Samples};
use framework::prelude::*;
use learn::density::knn_kl::knn_kl;
use learn::density::ratio::{Keep, MlpEncoder, Schedule, Trained, train};
use learn::density::smile::smile;
use learn::nn::network::{Activation, Network, Start};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Instant;

fn read(path: &str) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|e| Error::Config(format!("{path}: {e}")))
}

/// Rows of little-endian numbers of `WIDTH` bytes.
fn table<const WIDTH: usize, T: Clone + Default>(path: &str, d: usize, of: fn([u8; WIDTH]) -> T) -> Result<Array2<T>> {
    let v: Vec<T> = read(path)?.as_chunks::<WIDTH>().0.iter().map(|b| of(*b)).collect();
    Array2::from_shape_vec((v.len() / d, d), v).map_err(|e| Error::Data(format!("{path}: {e}")))
}

/// Median of the seconds of some runs after one to warm up, their least, and the answer.
fn timed<T>(repeats: usize, mut f: impl FnMut() -> Result<T>) -> Result<(f64, f64, T)> {
    let mut answer = f()?;
    let mut all = vec![];
    for _ in 0..repeats {
        let start = Instant::now();
        answer = f()?;
        all.push(start.elapsed().as_secs_f64());
    }
    all.sort_by(f64::total_cmp);
    Ok((all[repeats / 2], all[0], answer))
}

fn knn(set: &BTreeMap<String, String>, d: usize, repeats: usize) -> Result<Value> {
    let (x, y) = (table(&set["x"], d, f64::from_le_bytes)?, table(&set["y"], d, f64::from_le_bytes)?);
    let k = set["k"].parse().map_err(|_| Error::Config("k is no number".into()))?;
    let (wall, least, kl) = timed(repeats, || Ok(knn_kl(x.view(), y.view(), k)?))?;
    Ok(json!({ "bench": "knn_kl", "wall_s": wall, "least_s": least, "kl": kl.value }))
}

fn nre(set: &BTreeMap<String, String>, d: usize, repeats: usize) -> Result<Value> {
    let x = table(&set["x"], d, f32::from_le_bytes)?;
    let n = x.nrows() / 11;
    let class = |c: usize| Class::held(x.slice(ndarray::s![c * n..(c + 1) * n, ..]).to_owned());
    let pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)];
    let samples = Samples {
        genes: ["A", "B", "C", "D"].map(String::from).to_vec(),
        control: class(0),
        singles: (1..5).map(class).collect(),
        pairs: pairs
            .iter()
            .enumerate()
            .map(|(p, (first, second))| PairClass { first: *first, second: *second, both: class(5 + p) })
            .collect(),
        image: None,
    };
    let number = |text: &str| text.parse::<usize>().map_err(|_| Error::Config(format!("`{text}` is no number")));
    let hidden: Vec<usize> = set["hidden"].split(',').map(number).collect::<Result<_>>()?;
    let widths: Vec<usize> = std::iter::once(d).chain(hidden).collect();
    let streams = Streams::new(1);
    let schedule =
        Schedule { rate: 5e-3, epochs: number(&set["epochs"])?, batch: 1024, keep: Keep::Train, held_out: 0.0 };
    let (wall, least, t): (_, _, Trained) = timed(repeats, || {
        let network = Network::new(&widths, Activation::Relu, Start::Standard, &mut streams.rng("start"));
        Ok(train(&samples, Box::new(MlpEncoder::new(network, 0.0)), None, &schedule, &streams, &|_| ())?)
    })?;
    // As the peer: KL(p_c ‖ p_0) of the singles.
    let start = Instant::now();
    let ratio = |class: usize, c: usize| -> Result<Vec<f64>> {
        let f = t.ratio.values(&samples, class, t.ratio.head())?;
        Ok(f.row(c).iter().zip(f.row(0)).map(|(a, b)| f64::from(a - b)).collect())
    };
    let kl = (1..5).map(|c| Ok(smile(&ratio(c, c)?, &ratio(0, c)?, 5.0))).collect::<Result<Vec<f64>>>()?;
    Ok(json!({
        "bench": "nre", "wall_s": wall, "least_s": least, "final_loss": t.loss, "accuracy": t.accuracy, "kl_single": kl,
        "smile_s": start.elapsed().as_secs_f64(),
    }))
}

fn main() -> Result<()> {
    let mut set: BTreeMap<String, String> = [
        ("work", "knn"),
        ("x", ""),
        ("y", ""),
        ("d", "3"),
        ("k", "5"),
        ("hidden", "128,64"),
        ("epochs", "5"),
        ("threads", "1"),
        ("repeats", "5"),
    ]
    .map(|(k, v)| (k.to_string(), v.to_string()))
    .into();
    for word in std::env::args().skip(1).filter(|w| w.contains('=')) {
        let (key, value) = word.split_once('=').unwrap_or_default();
        *set.get_mut(key).ok_or_else(|| Error::Config(format!("no setting `{key}`")))? = value.to_string();
    }
    let number = |key: &str| set[key].parse::<usize>().map_err(|_| Error::Config(format!("`{key}` is no number")));
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(number("threads")?)
        .build()
        .map_err(|e| Error::Numerical(e.to_string()))?;
    let (d, repeats) = (number("d")?, number("repeats")?);
    let line = pool.install(|| if set["work"] == "nre" { nre(&set, d, repeats) } else { knn(&set, d, repeats) })?;
    println!("{line}");
    Ok(())
}
