//! Training of `gears` on a made-up screen of normal cells, as one JSON line; benches/peer_gears.py trains the same
//! network in PyTorch.
//!
//!   cargo bench --profile dev -p screenwright-benches --bench gears -- perturbations=600 outputs=1000 threads=2
//!
//! steps=N: time of N steps of the first epoch (0: the whole epoch), and the loss of each. dump=DIR: also writes start,
//! cells and order of these steps there for the peer. fits=100,200: a whole fit of so many perturbations each, by the
//! plugin, with the error on the rest in units of the mean's.

use framework::domain::Readouts;
use framework::domain::{Cells, Control};
use framework::numerics::Sparse;
use framework::prelude::*;
use plugins::model::gears::Gears;
use plugins::model::gears::data::{Data, Pair};
use plugins::model::gears::graph::GeneInput;
use plugins::model::gears::network::{Net, PARTS};
use plugins::model::gears::training::Work;
use rand_distr::{Distribution, StandardNormal};
use screenwright_benches::on_processor;
use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

fn normals(n: usize, sd: f32, name: &str) -> Vec<f32> {
    let mut rng = Streams::new(1).child("bench").rng(name);
    (0..n)
        .map(|_| {
            sd * {
                let z: f32 = StandardNormal.sample(&mut rng);
                z
            }
        })
        .collect()
}

fn write<T: Copy, const N: usize>(
    folder: &str,
    name: &str,
    x: impl IntoIterator<Item = T>,
    bytes: fn(T) -> [u8; N],
) -> Result<()> {
    let path = Path::new(folder).join(name);
    let all: Vec<u8> = x.into_iter().flat_map(bytes).collect();
    std::fs::write(&path, all).map_err(Error::io(&path, "writing"))
}

fn entries(a: &Sparse) -> serde_json::Value {
    let all: Vec<_> = a.entries().collect();
    serde_json::json!({ "n": a.dim().0, "row": all.iter().map(|e| e.0).collect::<Vec<_>>(),
        "column": all.iter().map(|e| e.1).collect::<Vec<_>>(), "value": all.iter().map(|e| e.2).collect::<Vec<_>>() })
}

/// A ring of neighbours on each side, normalised as the model does: what matters here is how many there are.
fn ring(n: usize, neighbours: usize) -> Sparse {
    let share = 1.0 / (neighbours + 1) as f64;
    let of = |i: usize| (0..=neighbours).map(move |k| (i as u32, ((i + k * k) % n) as u32, share));
    Sparse::new(n, n, (0..n).flat_map(of).collect())
}

fn main() -> Result<()> {
    let mut settings: HashMap<&str, &str> = HashMap::from([
        ("perturbations", "600"),
        ("pool", "2058"),
        ("cells", "60"),
        ("outputs", "1000"),
        ("hidden", "64"),
        ("together", "8"),
        ("epochs", "20"),
        ("decay", "0.5"),
        ("threads", "2"),
        ("steps", "20"),
        ("dump", ""),
        ("fits", ""),
    ]);
    let words: Vec<String> = std::env::args().skip(1).filter(|a| a.contains('=')).collect();
    for (key, value) in words.iter().filter_map(|w| w.split_once('=')) {
        match settings.get_mut(key) {
            Some(v) => *v = value,
            None => return Err(Error::Config(format!("unknown setting `{key}`"))),
        }
    }
    let number = |name: &str| -> Result<usize> {
        settings[name].parse().map_err(|_| Error::Config(format!("`{name}` must be a whole number")))
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(number("threads")?).build();
    let pool = pool.map_err(|e| Error::Numerical(e.to_string()))?;
    let model = Gears {
        hidden: number("hidden")?,
        together: number("together")?,
        epochs: Some(number("epochs")?),
        decay: settings["decay"].parse().ok(),
        ..Gears::default()
    };
    let (n, of, outputs, all) = (number("perturbations")?, number("cells")?, number("outputs")?, number("pool")?);
    if !settings["fits"].is_empty() {
        let world = World::new(all, outputs, of)?;
        for n in settings["fits"].split(',').filter_map(|n| n.parse().ok()) {
            pool.install(|| world.fit(&model, n))?;
        }
        return Ok(());
    }

    let (x, control) = (normals(n * of * outputs, 0.5, "cells"), normals(2000 * outputs, 0.5, "control"));
    let cells = (0..n * of).map(|c| Pair {
        perturbation: (c / of) as u32,
        x: &x[c * outputs..(c + 1) * outputs],
        control: &control[c * 7 % 2000 * outputs..][..outputs],
    });
    let data = Data {
        cells: cells.collect(),
        cells_of: (0..n).map(|p| (p * of..(p + 1) * of).map(|c| c as u32).collect()).collect(),
        genes: (0..n).map(|p| vec![Gene(p as u32)]).collect(),
        keep: vec![vec![]; n],
        has_cells: true,
    };
    let streams = Streams::new(1).child("bench");
    let source = GeneInput::Graph(ring(all, 20));
    let mut net = Net::<f32>::new(outputs, model.hidden, ring(outputs, 20), source, &mut streams.rng("start"));
    let mut work = Work::new(&net);
    let mut batches = model.batches(&data, &mut streams.rng("order"));
    let epoch = batches.len();
    if number("steps")? > 0 {
        batches.truncate(number("steps")?);
    }
    let folder = settings["dump"];
    if !folder.is_empty() {
        std::fs::create_dir_all(folder).map_err(Error::io(Path::new(folder), "creating"))?;
        write(folder, "parameters", net.parameters.iter().copied(), f32::to_le_bytes)?;
        let (cells, rows) = (&data.cells, |row: &[f32]| row.to_vec());
        let used: Vec<usize> = batches.iter().flatten().map(|c| *c as usize).collect();
        write(folder, "x", used.iter().flat_map(|c| rows(cells[*c].x)), f32::to_le_bytes)?;
        write(folder, "control", used.iter().flat_map(|c| rows(cells[*c].control)), f32::to_le_bytes)?;
        write(folder, "perturbation", used.iter().map(|c| cells[*c].perturbation), u32::to_le_bytes)?;
        let parts: HashMap<&str, Vec<usize>> =
            PARTS.iter().enumerate().map(|(i, name)| (*name, vec![net.part(i).start, net.part(i).end])).collect();
        let form = serde_json::json!({ "outputs": outputs, "hidden": model.hidden, "parts": parts,
            "batches": batches.iter().map(Vec::len).collect::<Vec<_>>(), "gamma": model.gamma,
            "learning_rate": model.learning_rate, "weight_decay": model.weight_decay, "clip": model.clip,
            "coexpression": entries(net.coexpression()), "graph": entries(&ring(all, 20)) });
        write(folder, "form.json", form.to_string().into_bytes(), |b| [b])?;
    }
    let mut losses = vec![];
    let (start, before) = (Instant::now(), on_processor());
    let mut walls = vec![];
    for batch in &batches {
        let step = Instant::now();
        losses.push(pool.install(|| model.step(&mut net, &mut work, &data, batch, model.learning_rate)));
        walls.push(step.elapsed().as_secs_f64());
    }
    let (wall, processor) = (start.elapsed().as_secs_f64(), on_processor() - before);
    walls.sort_by(f64::total_cmp);
    let distinct = |b: &Vec<u32>| {
        b.iter().map(|c| data.cells[*c as usize].perturbation).collect::<std::collections::HashSet<_>>().len()
    };
    let distinct = batches.iter().map(distinct).sum::<usize>() as f64 / batches.len() as f64;
    println!(
        "{}",
        serde_json::json!({ "bench": "gears", "settings": settings, "steps": batches.len(), "steps_of_epoch": epoch,
            "different_perturbations": distinct, "wall_s_step": wall / batches.len() as f64,
            "least_wall_s_step": walls[0], "processor_s_step": processor / batches.len() as f64,
            "gflop_step": distinct * outputs as f64 * 24.0 * (model.hidden * model.hidden) as f64 * 1e-9, "loss": losses })
    );
    Ok(())
}

/// A screen in which effects are low-rank, heavy-tailed and smooth in the features, with cells.
struct World {
    inputs: Arc<Inputs>,
    truth: Array2<f64>,
    of: usize,
}

impl World {
    fn new(pool: usize, outputs: usize, of: usize) -> Result<Self> {
        const FACTORS: usize = 16;
        let genes = Arc::new(Genes::new((0..pool).map(|i| format!("g{i}")))?);
        let table = |n: usize, d: usize, name: &str| {
            let x: Vec<f64> = normals(n * d, 1.0, name).into_iter().map(f64::from).collect();
            Array2::from_shape_fn((n, d), |(i, j)| x[i * d + j])
        };
        let x = table(pool, FACTORS, "features");
        // Few perturbations do much: the sizes are log-normal, in the first feature.
        let hidden = x.mapv(f64::tanh).dot(&table(FACTORS, FACTORS, "mix")).mapv(f64::tanh);
        let sizes: Vec<f64> = x.column(0).iter().map(|z| 0.1 * z.exp()).collect();
        let mut truth = hidden.dot(&table(FACTORS, outputs, "loadings"));
        truth.outer_iter_mut().zip(sizes).for_each(|(mut row, s)| row *= s);
        let control = Cells {
            x: Array2::from_shape_vec((2000, outputs), normals(2000 * outputs, 0.5, "control")).unwrap_or_default(),
            lane: vec![0; 2000],
        };
        let control = Control { mean: Array1::ones(outputs), cells: Some(Arc::new(control)), outputs: None };
        let block = Block::new("features", x, vec![true; pool])?;
        let inputs = Inputs::new(Arc::new(Pool::singles(genes)), vec![Arc::new(block)], Compose::Sum)?;
        Ok(Self { inputs: Arc::new(inputs.with_control(Some(Arc::new(control)))), truth, of })
    }

    fn fit(&self, model: &Gears, n: usize) -> Result<()> {
        let outputs = self.truth.ncols();
        let ids: Vec<usize> = (0..n).collect();
        let noise = normals(n * self.of * outputs, 0.5, "noise");
        let cells = ids.iter().map(|&p| {
            let at = |(c, v): (usize, usize)| self.truth[(p, v)] as f32 + noise[(p * self.of + c) * outputs + v];
            Arc::new(Cells { x: Array2::from_shape_fn((self.of, outputs), at), lane: vec![0; self.of] })
        });
        let cells: Vec<Arc<Cells>> = cells.collect();
        let mut readouts = Readouts::plain(&ids, Array2::zeros((n, outputs)));
        for (mut y, c) in readouts.y.outer_iter_mut().zip(&cells) {
            y += &(c.in_f64().sum_axis(Axis(0)) / self.of as f64);
        }
        readouts.cells = Some(cells);
        let mut observed = Observed::empty(outputs);
        observed.push(&readouts, 0)?;
        let (start, before) = (Instant::now(), on_processor());
        let cx = FitContext { inputs: &self.inputs, observed: &observed, streams: &Streams::new(2) };
        let fitted = model.fit(&cx)?;
        let (wall, processor) = (start.elapsed().as_secs_f64(), on_processor() - before);
        let test: Vec<usize> = (n..self.truth.nrows()).collect();
        let start = Instant::now();
        let said = fitted.predict(&test)?.mean;
        let predict = start.elapsed().as_secs_f64();
        let truth = self.truth.select(Axis(0), &test);
        let squares = |x: Array2<f64>| x.iter().map(|v| v * v).sum::<f64>();
        let error = squares(&said - &truth) / squares(&truth - &observed.mean());
        println!(
            "{}",
            serde_json::json!({ "bench": "gears", "fit": n, "together": model.together, "hidden": model.hidden,
                "decay": model.decay, "epochs": model.epochs,
                "wall_s": wall, "processor_s": processor, "predict_s": predict, "error_of_mean": error,
                "record": fitted.record() })
        );
        Ok(())
    }
}
