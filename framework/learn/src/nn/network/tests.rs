use super::*;
use crate::nn::optimiser::Adam;
use ndarray::{Array2, s};
use numerics::Real;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

#[test]
fn input_gradients_are_those_of_the_outputs() {
    for activation in [Activation::Relu, Activation::Gelu] {
        let network = Network::<f64>::new(&[5, 7, 6, 3], activation, NTK, &mut rng("start"));
        let (x, signal) = (normal::<f64>(140, 5, "x"), normal::<f64>(140, 3, "signal"));
        let own = network.input_gradient(x.view(), signal.view());
        for (r, j) in [(0, 0), (17, 3), (128, 4), (139, 2)] {
            let by = |h: f64| {
                let mut x = x.clone();
                x[(r, j)] += h;
                (network.forward(x.view()) * &signal).sum()
            };
            let want = (by(1e-6) - by(-1e-6)) / 2e-6;
            assert!((own[(r, j)] - want).abs() < 1e-6, "{activation:?} {r} {j}: {} {want}", own[(r, j)]);
        }
    }
}

/// Moves one number of a network or its input by a step.
type Move<'a> = dyn Fn(&mut Network<f64>, &mut Array2<f64>, f64) + 'a;
use numerics::streams::{StreamRng, Streams};

const NTK: Start = Start::Ntk { sigma_w: 1.3, sigma_b: 0.4, bias_sd: 1.0 };

fn rng(name: &str) -> StreamRng {
    Streams::new(5).rng(name)
}

fn normal<T: Real>(rows: usize, columns: usize, name: &str) -> Array2<T> {
    let mut rng = rng(name);
    Array2::from_shape_simple_fn((rows, columns), || {
        let z: f64 = StandardNormal.sample(&mut rng);
        T::of(z)
    })
}

/// Half the squared error, with its gradient left in the pass.
fn loss(network: &Network<f64>, pass: &mut Pass<f64>, x: &Array2<f64>, y: &Array2<f64>) -> f64 {
    pass.input_mut().assign(x);
    pass.forward(network);
    let (output, mut signal) = pass.output_and_signal();
    signal.assign(&(&output - y));
    let loss = 0.5 * signal.mapv(|v| v * v).sum();
    pass.backward(network);
    loss
}

#[test]
fn gradients_match_central_differences() {
    let (x, y) = (normal(6, 3, "x"), normal(6, 2, "y"));
    let mut keep = rng("mask");
    let masks: Vec<Array2<f64>> = [(6, 5), (1, 4)]
        .map(|shape| Array2::from_shape_simple_fn(shape, || if keep.random_bool(0.7) { 1.0 / 0.7 } else { 0.0 }))
        .to_vec();
    for (start, activation, masked) in [
        (NTK, Activation::Relu, false),
        (NTK, Activation::Relu, true),
        (NTK, Activation::Gelu, false),
        (Start::Standard, Activation::Relu, false),
        (Start::Standard, Activation::Gelu, true),
    ] {
        let mut network = Network::new(&[3, 5, 4, 2], activation, start, &mut rng("start"));
        let mut pass = Pass::new(&network, 6);
        if masked {
            pass.set_masks(masks.clone());
        }
        loss(&network, &mut pass, &x, &y);
        let gradients: Vec<_> = (0..3).map(|l| pass.gradient(&network, l)).collect();
        let input = pass.input_signal(&network).to_owned();
        let h = 1e-6;
        let mut central = |set: &Move<'_>| {
            let mut at = |step: f64| {
                let mut x = x.clone();
                set(&mut network, &mut x, step);
                let l = loss(&network, &mut pass, &x, &y);
                set(&mut network, &mut x, -step);
                l
            };
            (at(h) - at(-h)) / (2.0 * h)
        };
        for (l, (weight, bias)) in gradients.iter().enumerate() {
            for (at, g) in weight.indexed_iter() {
                let d = central(&|n, _, step| n.layers[l].weight[at] += step);
                assert!((g - d).abs() < 1e-7 * g.abs().max(1.0), "{start:?} {activation:?} W{l} {at:?}: {g} {d}");
            }
            for (at, g) in bias.indexed_iter() {
                let d = central(&|n, _, step| n.layers[l].bias[at] += step);
                assert!((g - d).abs() < 1e-7 * g.abs().max(1.0), "{start:?} {activation:?} b{l} {at}: {g} {d}");
            }
        }
        for (at, g) in input.indexed_iter() {
            let d = central(&|_, x, step| x[at] += step);
            assert!((g - d).abs() < 1e-7 * g.abs().max(1.0), "{start:?} {activation:?} x {at:?}: {g} {d}");
        }
    }
}

#[test]
fn factors_give_the_inner_products_of_explicit_gradients() {
    let x = normal::<f64>(300, 3, "x");
    let directions = normal::<f64>(2, 3, "directions");
    for (start, activation) in [(NTK, Activation::Relu), (Start::Standard, Activation::Gelu)] {
        let network = Network::new(&[3, 5, 4, 2], activation, start, &mut rng("start"));
        let factors = network.gradient_factors(x.view(), directions.view());
        // The gradient of one direction of one row, all parameters in a line.
        let explicit = |row: usize, k: usize| -> Vec<f64> {
            let mut pass = Pass::new(&network, 1);
            pass.input_mut().row_mut(0).assign(&x.row(row));
            pass.forward(&network);
            pass.output_and_signal().1.row_mut(0).assign(&directions.column(k));
            pass.backward(&network);
            let all = (0..3).map(|l| pass.gradient(&network, l));
            all.flat_map(|(w, b)| w.into_iter().chain(b)).collect()
        };
        for (i, j) in [(0, 0), (1, 299), (127, 128), (200, 5)] {
            let mut want = 0.0;
            for k in 0..3 {
                let (a, b) = (explicit(i, k), explicit(j, k));
                want += a.iter().zip(&b).map(|(a, b)| a * b).sum::<f64>();
            }
            let dot = |m: &Array2<f64>| m.row(i).dot(&m.row(j));
            let got: f64 = factors.iter().map(|(a, s)| dot(a) * dot(s)).sum();
            assert!((got - want).abs() < 1e-12 * want.abs().max(1.0), "{start:?} {i} {j}: {got} {want}");
        }
        let none = network.gradient_factors(x.view(), directions.slice(s![.., ..0]));
        assert!(none.iter().zip(&factors).all(|(n, f)| n.0 == f.0 && n.1.dim() == (300, 0)));
    }
}

/// Neural tangent kernel of three layers in the limit of infinite width (Lee et al. 2019).
fn ntk(x: ndarray::ArrayView1<f64>, z: ndarray::ArrayView1<f64>, sigma_w: f64, sigma_b: f64) -> f64 {
    let (a, b, pi) = (sigma_w * sigma_w, sigma_b * sigma_b, std::f64::consts::PI);
    let first = |u: ndarray::ArrayView1<f64>, v: ndarray::ArrayView1<f64>| a * u.dot(&v) / u.len() as f64 + b;
    let (mut sxx, mut szz, mut s) = (first(x, x), first(z, z), first(x, z));
    let mut theta = s;
    for _ in 0..2 {
        let root = (sxx * szz).sqrt();
        let c = (s / root).clamp(-1.0, 1.0);
        let angle = pi - c.acos();
        s = a * root * ((1.0 - c * c).sqrt() + angle * c) / (2.0 * pi) + b;
        theta = s + a * theta * angle / (2.0 * pi);
        (sxx, szz) = (a * sxx / 2.0 + b, a * szz / 2.0 + b);
    }
    theta
}

#[test]
fn wide_networks_approach_the_neural_tangent_kernel() {
    const MEMBERS: usize = 12;
    let x = normal::<f64>(4, 6, "x");
    let mut mean = Array2::<f64>::zeros((4, 4));
    let mut rng = rng("start");
    for _ in 0..MEMBERS {
        let network = Network::new(&[6, 1024, 1024, 1], Activation::Relu, NTK, &mut rng);
        for (a, s) in network.gradient_factors(x.view(), Array2::ones((1, 1)).view()) {
            mean += &(a.dot(&a.t()) * s.dot(&s.t()) / MEMBERS as f64);
        }
    }
    let limit = Array2::from_shape_fn((4, 4), |(i, j)| ntk(x.row(i), x.row(j), 1.3, 0.4));
    // What is left falls with the root of width x networks.
    let mut worst = 0.0f64;
    for ((i, j), k) in mean.indexed_iter() {
        worst = worst.max((k - limit[(i, j)]).abs() / (limit[(i, i)] * limit[(j, j)]).sqrt());
    }
    assert!(worst < 0.05, "{worst}");
}

#[test]
fn adam_follows_its_formula_in_both_precisions() {
    let (x, y) = (normal::<f64>(20, 3, "x"), normal::<f64>(20, 1, "y"));
    let start = Network::<f64>::new(&[3, 4, 1], Activation::Relu, NTK, &mut rng("start"));
    let (mut network, mut adam, mut pass) = (start.clone(), Adam::new(start.n_parameters()), Pass::new(&start, 20));
    adam.l2 = 0.1;
    let (mut m, mut v, mut want) = ([0.0; 12], [0.0; 12], start.layers[0].weight.clone());
    for t in 1..=5 {
        loss(&network, &mut pass, &x, &y);
        let g = pass.gradient(&network, 0).0 + 0.1 * &network.layers[0].weight;
        pass.step(&mut network, &mut adam, 0.01);
        for (k, (g, p)) in g.iter().zip(&mut want).enumerate() {
            m[k] = 0.9 * m[k] + 0.1 * g;
            v[k] = 0.999 * v[k] + 0.001 * g * g;
            let (m, v) = (m[k] / (1.0 - 0.9f64.powi(t)), v[k] / (1.0 - 0.999f64.powi(t)));
            *p -= 0.01 * m / (v.sqrt() + 1e-8);
        }
        let worst = (&network.layers[0].weight - &want).fold(0.0f64, |w, d| w.max(d.abs()));
        assert!(worst < 1e-13, "step {t}: {worst:e}");
    }
    let mut single = start.cast::<f32>();
    let (mut adam, mut pass) = (Adam::new(single.n_parameters()), Pass::new(&single, 20));
    adam.l2 = 0.1;
    for _ in 0..5 {
        pass.input_mut().assign(&x.mapv(|v| v as f32));
        pass.forward(&single);
        let (output, mut signal) = pass.output_and_signal();
        signal.assign(&(&output - &y.mapv(|v| v as f32)));
        pass.backward(&single);
        pass.step(&mut single, &mut adam, 0.01);
    }
    assert!((&single.cast::<f64>().layers[0].weight - &want).iter().all(|d| d.abs() < 1e-4));
}

#[test]
fn threads_change_no_bit() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (x, y) = (normal::<f32>(700, 40, "x"), normal::<f32>(700, 2, "y"));
            let mut network = Network::new(&[40, 1100, 50, 2], Activation::Relu, NTK, &mut rng("start"));
            let (mut adam, mut pass) = (Adam::new(network.n_parameters()), Pass::new(&network, 700));
            for _ in 0..3 {
                pass.input_mut().assign(&x);
                pass.forward(&network);
                let (output, mut signal) = pass.output_and_signal();
                signal.assign(&(&output - &y));
                pass.backward(&network);
                pass.step(&mut network, &mut adam, 0.01);
            }
            let factors = network.gradient_factors(x.view(), Array2::ones((2, 1)).view());
            (network.forward(x.view()), network.layers[1].weight.clone(), factors)
        })
    };
    assert!(run(1) == run(4));
}
