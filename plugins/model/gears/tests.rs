use super::data::Pair;
use super::graph::{GeneInput, propagation, strongest};
use super::network::*;
use super::training::Work;
use super::*;
use framework::domain::{Cells, Control};
use ndarray::s;
use rand_distr::{Distribution, StandardNormal};
use std::collections::HashMap;

fn rng(name: &str) -> StreamRng {
    Streams::new(11).rng(name)
}

fn normals(n: usize, rng: &mut StreamRng) -> Vec<f32> {
    (0..n).map(|_| StandardNormal.sample(rng)).collect()
}

/// The network on every cell by itself, as plain loops; rows are cells, or cells and outputs.
struct Naive<'a> {
    net: &'a Net<f64>,
}

type Rows = Vec<Vec<f64>>;

impl Naive<'_> {
    fn norm(x: &Rows, gamma: &[f64], beta: &[f64]) -> Rows {
        let n = x.len() as f64;
        let of = |c: usize| {
            let mean = x.iter().map(|r| r[c]).sum::<f64>() / n;
            (mean, x.iter().map(|r| (r[c] - mean).powi(2)).sum::<f64>() / n)
        };
        let moments: Vec<(f64, f64)> = (0..gamma.len()).map(of).collect();
        let row = |r: &Vec<f64>| {
            let each = r.iter().zip(&moments).zip(gamma.iter().zip(beta));
            each.map(|((x, (m, v)), (g, b))| g * (x - m) / (v + 1e-5).sqrt() + b).collect()
        };
        x.iter().map(row).collect()
    }

    fn relu(x: Rows) -> Rows {
        x.into_iter().map(|r| r.into_iter().map(|v| v.max(0.0)).collect()).collect()
    }

    fn linear(x: &Rows, w: &[f64], outputs: usize) -> Rows {
        let row = |r: &Vec<f64>| {
            (0..outputs).map(|o| r.iter().enumerate().map(|(i, v)| v * w[i * outputs + o]).sum()).collect()
        };
        x.iter().map(row).collect()
    }

    fn mlp(x: &Rows, mut p: &[f64], hidden: usize, outputs: usize) -> Rows {
        let mut next = |n: usize| {
            let (a, b) = p.split_at(n);
            p = b;
            a
        };
        let h = Self::linear(x, next(x[0].len() * hidden), hidden);
        let h = Self::relu(Self::norm(&h, next(hidden), next(hidden)));
        let h = Self::linear(&h, next(hidden * outputs), outputs);
        Self::norm(&h, next(outputs), next(outputs))
    }

    /// δ of every cell.
    fn delta(&self, data: &Data, batch: &[u32]) -> Rows {
        let (net, d, l) = (self.net, self.net.width, self.net.outputs);
        let embedding = |part: usize, row: usize| net.values(part)[row * d..(row + 1) * d].to_vec();
        let norms = net.values(GENE_NORM);
        let of_cells = |f: &dyn Fn(usize) -> Vec<f64>| -> Rows { batch.iter().flat_map(|_| (0..l).map(f)).collect() };
        let e = Self::relu(Self::norm(&of_cells(&|u| embedding(GENE, u)), &norms[..d], &norms[d..]));
        let near = |u: usize| {
            let mut sum = vec![0.0; d];
            for (v, a) in net.coexpression.row(u) {
                sum.iter_mut().zip(embedding(PARTNER, v)).for_each(|(s, x)| *s += a * x);
            }
            sum
        };
        let c = Self::linear(&of_cells(&near), net.values(PARTNER_MAP), d);
        let x: Rows = e.iter().zip(&c).map(|(e, c)| e.iter().zip(c).map(|(e, c)| e + 0.2 * c).collect()).collect();
        let z = Self::mlp(&x, net.values(GENE_MLP), d, d);
        let s: Rows = batch
            .iter()
            .map(|&cell| {
                let mut sum = vec![0.0; d];
                for g in &data.genes[data.cells[cell as usize].perturbation as usize] {
                    let q = match &net.source {
                        GeneInput::Graph(a) => {
                            let mut near = vec![0.0; d];
                            for (v, a) in a.row(g.index()) {
                                near.iter_mut().zip(embedding(SOURCE, v)).for_each(|(s, x)| *s += a * x);
                            }
                            near
                        }
                        GeneInput::Features(x) => x.row(g.index()).to_vec(),
                    };
                    let q = &Self::linear(&vec![q], net.values(SOURCE_MAP), d)[0];
                    let each = sum.iter_mut().zip(q).zip(net.values(SOURCE_BIAS));
                    each.for_each(|((s, q), b)| *s += q + b);
                }
                sum
            })
            .collect();
        let w = Self::mlp(&s, net.values(SOURCE_MLP), d, d);
        let sum: Rows = (0..z.len()).map(|r| z[r].iter().zip(&w[r / l]).map(|(z, w)| z + w).collect()).collect();
        let p = net.values(DECODER);
        let x = Self::relu(Self::norm(&sum, &p[..d], &p[d..2 * d]));
        let at = 2 * d + net.decoder.hidden * (2 * d + 2) + 2 * d;
        let h = Self::mlp(&x, &p[2 * d..at], net.decoder.hidden, d);
        let (readout, bias) = p[at..].split_at(l * d);
        let own = |r: usize| {
            let u = r % l;
            h[r].iter().zip(&readout[u * d..(u + 1) * d]).map(|(h, w)| h * w).sum::<f64>() + bias[u]
        };
        let o: Rows = (0..batch.len()).map(|c| (0..l).map(|u| own(c * l + u)).collect()).collect();
        let g = Self::mlp(&o, net.values(CROSS), d, d);
        let out = |c: usize, u: usize| {
            let w = &net.values(OUT)[u * (d + 1)..(u + 1) * (d + 1)];
            w[0] * o[c][u] + w[1..].iter().zip(&g[c]).map(|(w, g)| w * g).sum::<f64>() + net.values(OUT_BIAS)[u]
        };
        (0..batch.len()).map(|c| (0..l).map(|u| out(c, u)).collect()).collect()
    }

    fn loss(&self, model: &Gears, data: &Data, batch: &[u32]) -> f64 {
        let delta = self.delta(data, batch);
        let mut of: HashMap<u32, Vec<f64>> = HashMap::new();
        for (delta, &c) in delta.iter().zip(batch) {
            let cell = &data.cells[c as usize];
            let keep = &data.keep[cell.perturbation as usize];
            let mut losses = vec![];
            for (v, delta) in delta.iter().enumerate().filter(|(v, _)| keep.is_empty() || keep[*v]) {
                let (x, y) = (f64::from(cell.control[v]), f64::from(cell.x[v]));
                let side = ((x + delta) / model.tau).tanh() - (y / model.tau).tanh();
                losses.push((x + delta - y).abs().powf(2.0 + model.gamma) + model.direction * side * side);
            }
            of.entry(cell.perturbation).or_default().push(losses.iter().sum::<f64>() / losses.len() as f64);
        }
        of.values().map(|l| l.iter().sum::<f64>() / l.len() as f64).sum::<f64>() / of.len() as f64
    }
}

fn ring(n: usize) -> Sparse {
    let entries = (0..n as u32).flat_map(|i| [(i, (i + 1) % n as u32, 0.5), (i, (i + 3) % n as u32, 0.8)]);
    Sparse::new(n, n, entries.collect())
}

/// Three perturbations, one of them a pair, with 1, 2 and 4 cells; one output does not count for the second.
fn small<'a>(values: &'a [f32], outputs: usize) -> (Data<'a>, Vec<u32>) {
    let of = [0u32, 1, 1, 2, 2, 2, 2];
    let mut rows = values.chunks_exact(outputs);
    let cells =
        of.iter().map(|&perturbation| Pair { perturbation, x: rows.next().unwrap(), control: rows.next().unwrap() });
    let mut keep = vec![vec![]; 3];
    keep[1] = (0..outputs).map(|v| v != 2).collect();
    let data = Data {
        cells: cells.collect(),
        cells_of: vec![vec![0], vec![1, 2], vec![3, 4, 5, 6]],
        genes: vec![vec![Gene(4)], vec![Gene(1), Gene(2)], vec![Gene(0)]],
        keep,
        has_cells: true,
    };
    (data, vec![3, 1, 0, 4, 5, 2, 6])
}

#[test]
fn shared_passes_equal_single_cells_and_gradients_central_differences() {
    let outputs = 5;
    let values = normals(2 * 7 * outputs, &mut rng("cells"));
    let (data, batch) = small(&values, outputs);
    let features = Array2::from_shape_vec((6, 4), normals(24, &mut rng("features"))).unwrap().mapv(f64::from);
    for (source, gamma, direction) in [
        (GeneInput::Graph(propagation(&ring(6))), 2.0, 0.0),
        (GeneInput::Features(features.clone()), 0.0, 0.3),
        (GeneInput::Features(features), 1.5, 0.0),
    ] {
        let model = Gears { gamma, direction, tau: 0.7, ..Gears::default() };
        let mut net = Net::<f64>::new(outputs, 3, ring(outputs), source, &mut rng("start"));
        // Away from the start, where betas are 0 and gammas 1.
        let mut shake = rng("shake");
        net.parameters.iter_mut().for_each(|p| *p += 0.3 * f64::from(normals(1, &mut shake)[0]));
        let mut work = Work::new(&net);
        let loss = model.loss_and_gradient(&mut net, &mut work, &data, &batch);
        let naive = Naive { net: &net }.loss(&model, &data, &batch);
        assert!((loss - naive).abs() < 1e-12 * naive, "{loss} {naive}");
        let gradient = work.gradient.clone();
        for (part, name) in PARTS.iter().enumerate() {
            for at in net.part(part) {
                let was = net.parameters[at];
                let mut loss_at = |step: f64| {
                    net.parameters[at] = was + step;
                    Naive { net: &net }.loss(&model, &data, &batch)
                };
                let (far, near) = ((loss_at(2e-5) - loss_at(-2e-5)) / 4e-5, (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5);
                net.parameters[at] = was;
                let want = (4.0 * near - far) / 3.0;
                let got = gradient[at];
                assert!((got - want).abs() < 2e-6 * want.abs().max(1.0), "{name} {at}: {got} {want}");
            }
        }
    }
}

#[test]
fn a_readout_that_is_a_map_of_made_up_expression() {
    let values = normals(2 * 7, &mut rng("cells"));
    let (data, batch) = small(&values, 1);
    let apart = |n| Sparse::new(n, n, vec![]);
    for gamma in [0.0, 2.0] {
        let model = Gears { gamma, ..Gears::default() };
        let source = GeneInput::Graph(propagation(&apart(6)));
        let mut net = Net::<f64>::new(4, 3, apart(4), source, &mut rng("start")).with_head(&mut rng("head"));
        let mut shake = rng("shake");
        net.parameters.iter_mut().for_each(|p| *p += 0.3 * f64::from(normals(1, &mut shake)[0]));
        let mut work = Work::new(&net);
        model.loss_and_gradient(&mut net, &mut work, &data, &batch);
        let gradient = work.gradient.clone();
        assert!(gradient[net.part(HEAD)].iter().all(|g| *g != 0.0) && net.part(HEAD).len() == 5);
        for (at, got) in gradient.iter().enumerate() {
            let was = net.parameters[at];
            let mut loss_at = |step: f64| {
                net.parameters[at] = was + step;
                model.loss_and_gradient(&mut net, &mut work, &data, &batch)
            };
            let (far, near) = ((loss_at(2e-5) - loss_at(-2e-5)) / 4e-5, (loss_at(1e-5) - loss_at(-1e-5)) / 2e-5);
            net.parameters[at] = was;
            let want = (4.0 * near - far) / 3.0;
            assert!((got - want).abs() < 2e-6 * want.abs().max(1.0), "{at}: {got} {want}");
        }
    }
    // Pairs of twelve genes without a prior: the sum of a number a gene.
    let genes = Arc::new(Genes::new((0..12).map(|i| format!("g{i}"))).unwrap());
    let pool = Arc::new(Pool::all_pairs(genes));
    let number = |g: Gene| (f64::from(g.0) * 1.3).sin();
    let y = Array2::from_shape_fn((66, 1), |(i, _)| pool.with_genes(i, |g| number(g[0]) + number(g[1])));
    let inputs = Arc::new(Inputs::new(pool, vec![], Compose::Sum).unwrap());
    let mut observed = Observed::empty(1);
    let ids: Vec<usize> = (0..66).collect();
    observed.push(&Readouts::plain(&ids, y.clone()), 0).unwrap();
    let model = Gears {
        synthetic: Some(12),
        hidden: 16,
        gamma: 0.0,
        learning_rate: 0.01,
        epochs: Some(150),
        validation: 0.0,
        ..Gears::default()
    };
    let s = model.fit(&FitContext { inputs: &inputs, observed: &observed, streams: &Streams::new(1) }).unwrap();
    let p = s.predict(&ids).unwrap().mean;
    assert_eq!(p.dim(), (66, 1));
    let error = (&p - &y).mapv(|e| e * e).mean().unwrap().sqrt();
    assert!(error < 0.5 * y.std(0.0), "{error}");
}

#[test]
fn strongest_neighbours_and_propagation_by_hand() {
    let full = Sparse::new(3, 3, vec![(0, 0, 1.0), (0, 1, 0.5), (0, 2, 0.9), (1, 0, 0.5), (2, 0, 0.9)]);
    let best = strongest(&full, 1);
    assert_eq!(best.entries().collect::<Vec<_>>(), [(0, 2, 0.9), (1, 0, 0.5), (2, 0, 0.9)]);
    let a = propagation(&best);
    let want = [(0, 0, 1.0 / 1.9), (0, 2, 0.9 / 1.9), (1, 0, 0.5 / (1.5f64 * 1.9).sqrt()), (1, 1, 1.0 / 1.5)];
    for ((r, c, v), (i, j, w)) in a.entries().zip(want) {
        assert!((r, c) == (i, j) && (v - w).abs() < 1e-12, "{r} {c} {v} {w}");
    }
}

#[test]
fn coexpression_is_the_absolute_correlation_above_the_threshold() {
    let mut draw = rng("coexpression");
    let rows: Vec<Vec<f32>> = (0..2500)
        .map(|_| {
            let z = normals(4, &mut draw);
            vec![3.0 + z[0], -2.0 * z[0] + 0.5 * z[1], z[2], 7.0, z[2] + 0.2 * z[3]]
        })
        .collect();
    let samples: Vec<&[f32]> = rows.iter().map(Vec::as_slice).collect();
    let graph = coexpression(&samples, 2, 0.4);
    let pearson = |i: usize, j: usize| {
        let of = |k: usize| -> Vec<f64> { rows.iter().map(|r| f64::from(r[k])).collect() };
        framework_pearson(&of(i), &of(j))
    };
    let found: Vec<(usize, usize, f64)> = graph.entries().collect();
    assert_eq!(found.iter().map(|e| (e.0, e.1)).collect::<Vec<_>>(), [(0, 1), (1, 0), (2, 4), (4, 2)]);
    for (i, j, r) in found {
        assert!((r - pearson(i, j).abs()).abs() < 1e-4, "{i} {j} {r}");
    }
    assert_eq!(coexpression(&samples, 2, 0.999).entries().count(), 0);
}

fn framework_pearson(x: &[f64], y: &[f64]) -> f64 {
    let mean = |x: &[f64]| x.iter().sum::<f64>() / x.len() as f64;
    let (mx, my) = (mean(x), mean(y));
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 { x.iter().zip(y).map(|(a, b)| f(a - mx, b - my)).sum() };
    sum(&|a, b| a * b) / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt()
}

/// Genes with features, outputs that are genes, and cells around effects that add up over genes. Singles first,
/// then some pairs and one triple.
struct World {
    inputs: Arc<Inputs>,
    observed: Observed,
    truth: Array2<f64>,
}

const GENES: usize = 60;
const OUTPUTS: usize = 30;

fn world(train: usize, n_cells: usize, absent: usize) -> World {
    let names = Arc::new(Genes::new((0..GENES).map(|i| format!("G{i:02}"))).unwrap());
    let mut draw = rng("world");
    let x = Array2::from_shape_vec((GENES, 3), normals(GENES * 3, &mut draw)).unwrap().mapv(f64::from);
    let map = Array2::from_shape_vec((3, OUTPUTS), normals(3 * OUTPUTS, &mut draw)).unwrap().mapv(f64::from) * 0.4;
    let singles = (0..GENES as u32).map(|g| Perturbation::new([Gene(g)]));
    let pairs = (0..20u32).map(|g| Perturbation::new([Gene(g), Gene(g + 25)]));
    let triple = [Perturbation::new([Gene(3), Gene(33), Gene(53)])];
    let pool = Arc::new(Pool::list(names, singles.chain(pairs).chain(triple)).unwrap());
    let near = |i: usize, j: usize| (-(&x.row(i) - &x.row(j)).mapv(|v| v * v).sum()).exp();
    let edges = (0..GENES).flat_map(|i| (0..GENES).filter(move |j| i != *j).map(move |j| (i, j)));
    let graph = Sparse::new(GENES, GENES, edges.map(|(i, j)| (i as u32, j as u32, near(i, j))).collect());
    let present = (0..GENES).map(|g| g >= absent).collect();
    let block = Block::new("signal", x.clone(), present).unwrap().with_graph(graph);
    let lane = |n: usize, mean: &[f64], draw: &mut StreamRng| {
        let noise = normals(n * OUTPUTS, draw);
        let cells = Array2::from_shape_fn((n, OUTPUTS), |(c, v)| mean[v] as f32 + 0.3 * noise[c * OUTPUTS + v]);
        Arc::new(Cells { x: cells, lane: vec![0; n] })
    };
    let control = Control {
        mean: Array1::from_elem(OUTPUTS, 1.0),
        cells: Some(lane(200, &[0.0; OUTPUTS], &mut draw)),
        outputs: None,
    };
    let inputs = Inputs::new(pool.clone(), vec![Arc::new(block)], Compose::Sum).unwrap();
    let inputs = Arc::new(inputs.with_control(Some(Arc::new(control))));
    let truth = inputs.features(&(0..pool.len()).collect::<Vec<_>>()).dot(&map);
    let ids: Vec<usize> = (0..pool.len()).filter(|i| i % 5 != 4).take(train).collect();
    let cells: Vec<Arc<Cells>> = ids.iter().map(|&i| lane(n_cells, &truth.row(i).to_vec(), &mut draw)).collect();
    let mut readouts = Readouts::plain(&ids, truth.select(Axis(0), &ids));
    for (mut y, cells) in readouts.y.outer_iter_mut().zip(&cells) {
        y.assign(&cells.in_f64().mean_axis(Axis(0)).unwrap());
    }
    readouts.cells = Some(cells);
    let mut observed = Observed::empty(OUTPUTS);
    observed.push(&readouts, 0).unwrap();
    World { inputs, observed, truth }
}

fn fit(model: &Gears, world: &World) -> Result<Box<dyn Surrogate>> {
    model.fit(&FitContext { inputs: &world.inputs, observed: &world.observed, streams: &Streams::new(4) })
}

/// Squared error on the perturbations that were not measured, in units of that of the mean.
fn error(world: &World, surrogate: &dyn Surrogate) -> f64 {
    let test: Vec<usize> = (0..world.truth.nrows()).filter(|i| i % 5 == 4).collect();
    let predicted = surrogate.predict(&test).unwrap().mean;
    let truth = world.truth.select(Axis(0), &test);
    let squares = |x: Array2<f64>| x.mapv(|v| v * v).sum();
    squares(predicted - &truth) / squares(&truth - &world.observed.mean())
}

fn quick() -> Gears {
    Gears { hidden: 16, epochs: Some(12), batch: Some(64), learning_rate: 0.01, decay: Some(0.8), ..Gears::default() }
}

#[test]
fn it_learns_what_the_mean_does_not() {
    let world = world(65, 30, 0);
    for model in [
        quick(),
        Gears { together: 1, ..quick() },
        Gears { together: 4, ..quick() },
        Gears { graph: Some("signal".into()), ..quick() },
        Gears { direction: 0.1, choose: Choose::Best, ..quick() },
    ] {
        let s = fit(&model, &world).unwrap();
        let e = error(&world, &*s);
        println!("{e:.3} {:?}", s.record());
        assert!(e < 0.5, "{model:?}: {e}");
    }
    // Without cells, and of pairs by their genes.
    let mut rows = world;
    rows.observed.cells = None;
    let s = fit(&Gears { gamma: 0.0, hidden: 16, learning_rate: 0.01, ..Gears::default() }, &rows).unwrap();
    let e = error(&rows, &*s);
    assert!(e < 0.5, "{e}");
}

#[test]
fn a_single_output_is_a_profile_of_one() {
    let world = framework::testing::TinyWorld::new(90, 3, 1, false, 21).unwrap();
    let (train, test): (Vec<usize>, Vec<usize>) = (0..90).partition(|i| i % 3 != 0);
    let observed = world.observe(&train, 4).unwrap();
    let model = Gears { hidden: 16, gamma: 0.0, learning_rate: 0.01, ..Gears::default() };
    let cx = FitContext { inputs: &world.inputs, observed: &observed, streams: &Streams::new(4) };
    let predicted = model.fit(&cx).unwrap().predict(&test).unwrap().mean;
    let error = |f: &dyn Fn(usize) -> f64| -> f64 {
        test.iter().enumerate().map(|(i, &id)| (f(i) - world.truth[(id, 0)]).powi(2)).sum()
    };
    let (own, mean) = (error(&|i| predicted[(i, 0)]), error(&|_| observed.mean()[0]));
    assert!(own < 0.5 * mean, "{own} {mean}");
}

#[test]
fn the_clearest_outputs_have_the_largest_t() {
    let rows = [[1.0f32, 5.0, 0.0], [3.0, 5.0, 0.0], [2.0, 8.0, 0.0]];
    let views: Vec<&[f32]> = rows.iter().map(|r| r.as_slice()).collect();
    let got = mean_and_error(&views, 3);
    for (got, want) in got.iter().zip([(2.0, 1.0 / 3.0), (6.0, 1.0), (0.0, 0.0)]) {
        assert!((got.0 - want.0).abs() < 1e-12 && (got.1 - want.1).abs() < 1e-12, "{got:?}");
    }
}

#[test]
fn threads_change_no_bit() {
    let world = world(50, 20, 0);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let s = fit(&Gears { hidden: 64, epochs: Some(2), ..quick() }, &world).unwrap();
            let ids: Vec<usize> = (0..80).collect();
            (s.predict(&ids).unwrap().mean, s.representation().unwrap().embed(&ids).unwrap(), s.record())
        })
    };
    let one = run(1);
    assert_eq!(one.1.dim(), (80, 64));
    assert!(one == run(3));
}

#[test]
fn best_epoch_is_the_least_and_last_the_last() {
    let world = world(60, 20, 0);
    let value = |s: &dyn Surrogate, name: &str| s.record().into_iter().find(|r| r.0 == name).unwrap().1;
    // Epochs of the same training: the streams of an epoch do not depend on how many there are.
    let of = |epochs| fit(&Gears { epochs: Some(epochs), learning_rate: 0.05, decay: Some(1.0), ..quick() }, &world);
    let all: Vec<f64> = (1..=6).map(|e| value(&*of(e).unwrap(), "validation_mse_top20")).collect();
    let best = Gears { epochs: Some(6), learning_rate: 0.05, decay: Some(1.0), choose: Choose::Best, ..quick() };
    let best = fit(&best, &world).unwrap();
    let least = all.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(value(&*best, "validation_mse_top20"), least);
    assert_eq!(all[value(&*best, "epoch") as usize - 1], least);
    assert_eq!(value(&*of(6).unwrap(), "epoch"), 6.0);
}

#[test]
fn embeddings_stay_within_norm_one_and_the_rate_falls() {
    let values = normals(2 * 7 * 5, &mut rng("cells"));
    let (data, batch) = small(&values, 5);
    let model = Gears::default();
    let mut net = Net::<f64>::new(5, 3, ring(5), GeneInput::Graph(propagation(&ring(6))), &mut rng("start"));
    let mut work = Work::new(&net);
    let worst = |net: &Net<f64>| {
        let rows = [GENE, PARTNER, SOURCE].into_iter().flat_map(|p| net.values(p).chunks_exact(3));
        rows.map(|r| r.iter().map(|v| v * v).sum::<f64>().sqrt()).fold(0.0, f64::max)
    };
    for _ in 0..3 {
        model.step(&mut net, &mut work, &data, &batch, 0.5);
    }
    assert!(worst(&net) > 1.0);
    let before = net.parameters.clone();
    model.step(&mut net, &mut work, &data, &batch, 0.0);
    assert!((worst(&net) - 1.0).abs() < 1e-12);
    let kept = net.part(DECODER);
    assert_eq!(net.parameters[kept.clone()], before[kept]);
    assert!((0..3).all(|e| model.learning_rate * model.decay(true).powi(e) == 0.001 / f64::from(1 << e)));
}

#[test]
fn batches_hold_every_cell_once_and_pieces_stay_together() {
    let values = vec![0.0; 2 * 7 * 5];
    let (mut data, _) = small(&values, 5);
    data.cells_of = (0..10u32).map(|p| (p * 30..(p + 1) * 30).collect()).collect();
    data.cells = vec![data.cells[0]; 300];
    for (together, distinct) in [(1, 9), (10, 6), (30, 2)] {
        let batches = Gears { together, batch: Some(60), ..Gears::default() }.batches(&data, &mut rng("order"));
        let mut all: Vec<u32> = batches.concat();
        all.sort_unstable();
        assert_eq!(all, (0..300).collect::<Vec<_>>());
        for b in &batches {
            let mut of: Vec<u32> = b.iter().map(|c| c / 30).collect();
            of.sort_unstable();
            of.dedup();
            assert!(b.len() == 60 && (of.len() <= distinct) == (together > 1), "{together}: {}", of.len());
        }
    }
    // 300 = 4 x 64 + 44: the rest is left out.
    let batches = Gears { together: 1, batch: Some(64), ..Gears::default() }.batches(&data, &mut rng("order"));
    assert!(batches.len() == 4 && batches.iter().all(|b| b.len() == 64));
    // One batch of all, if it is the only one.
    assert_eq!(Gears { batch: Some(1000), ..Gears::default() }.batches(&data, &mut rng("order")).len(), 1);
}

#[test]
fn outputs_at_the_floor_of_every_cell_do_not_count() {
    let row = |v: [f32; 3]| v.to_vec();
    let control = [row([-1.0, -2.0, 0.5]), row([1.0, -2.0, 0.4]), row([0.3, 0.7, 0.1])];
    let own = [[row([-1.0, -1.0, 0.3]), row([-1.0, 0.0, 0.6])], [row([0.0, -2.0, 0.3]), row([1.0, -2.0, 0.2])]];
    let views = |rows: &'static [Vec<f32>]| -> Vec<&'static [f32]> { rows.iter().map(Vec::as_slice).collect() };
    let leak = |rows: Vec<Vec<f32>>| views(Box::leak(rows.into_boxed_slice()));
    let samples = Samples {
        of: own.into_iter().enumerate().map(|(i, rows)| (i, leak(rows.to_vec()))).collect(),
        control: leak(control.to_vec()),
        lanes: vec![vec![0, 0]; 2],
        control_lanes: &[0, 0, 0],
    };
    assert_eq!(samples.seen(3), [vec![false, true, true], vec![true, false, true]]);
}

#[test]
fn mistakes_are_named() {
    let world = world(30, 5, 7);
    let text = |m: &Gears| fit(m, &world).err().unwrap().to_string();
    let graph = |name: &str| Gears { graph: Some(name.into()), epochs: Some(1), ..quick() };
    assert!(text(&graph("sinal")).contains("no active prior is called `sinal`"));
    let e = text(&graph("signal"));
    assert!(e.contains("7 of 60 genes") && e.contains("G00, G01, G02, G03, G04, ...") && e.contains("absent"), "{e}");
    assert!(fit(&Gears { absent: Absent::Mean, ..graph("signal") }, &world).is_ok());
    assert!(text(&Gears { embeddings: Some("signal".into()), ..graph("signal") }).contains("keep one of them"));
    assert!(text(&Gears { validation: 0.0, choose: Choose::Best, ..quick() }).contains("set `validation`"));
    let e = text(&Gears { learning_rate: 1e30, ..quick() });
    assert!(e.contains("training diverged in epoch 1") && e.contains("learning_rate"), "{e}");
    let with = |change: &dyn Fn(&mut Cells)| {
        let mut observed = world.observed.clone();
        if let Some(cells) = &mut observed.cells {
            change(Arc::make_mut(&mut cells[1]));
        }
        let (inputs, streams) = (&world.inputs, &Streams::new(4));
        quick().fit(&FitContext { inputs, observed: &observed, streams }).err().unwrap().to_string()
    };
    let name = world.inputs.pool().label(world.observed.ids[1]);
    let none = with(&|c| *c = Cells { x: Array2::zeros((0, OUTPUTS)), lane: vec![] });
    assert!(none.contains(&format!("`{name}` was measured without a cell")), "{none}");
    let wide = with(&|c| c.x = Array2::zeros((5, OUTPUTS + 1)));
    assert!(wide.contains("have 31 values and readouts 30"), "{wide}");
    let nan = with(&|c| c.x[(2, 3)] = f32::NAN);
    assert!(nan.contains(&format!("a cell of `{name}` holds the value NaN")), "{nan}");
}

#[test]
fn genes_that_a_network_lacks_are_the_mean_of_its_genes() {
    let world = world(30, 5, 7);
    let model = Gears { graph: Some("signal".into()), absent: Absent::Mean, ..quick() };
    let GeneInput::Graph(a) = model.source(&world.inputs).unwrap() else { panic!() };
    let x = Array2::from_shape_fn((GENES, 2), |(i, j)| (i * 7 % 11) as f64 + j as f64);
    let q = spread(&a, x.view());
    let mean = q.slice(s![7.., ..]).mean_axis(Axis(0)).unwrap();
    assert!((0..7).all(|g| (&q.row(g) - &mean).iter().all(|d| d.abs() < 1e-12)));
}
