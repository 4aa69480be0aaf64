use super::super::bandwidth::median_distance;
use super::sums::{COLUMNS, ROWS, block, own};
use super::*;
use ndarray::{Array1, Array2};
use numerics::streams::Streams;
use rand::RngExt;
use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};

const SHAPES: [Shape; 3] = [Shape::Linear, Shape::Rbf, Shape::Matern52];

fn normal(n: usize, d: usize, mean: f64, sd: f64, seed: u64) -> Array2<f64> {
    let mut rng = Streams::new(seed).rng("x");
    Array2::from_shape_simple_fn((n, d), || {
        let z: f64 = StandardNormal.sample(&mut rng);
        mean + sd * z
    })
}

fn plain(kernel: MeanKernel, x: ndarray::ArrayView1<f64>, y: ndarray::ArrayView1<f64>) -> f64 {
    let r2: f64 = x.iter().zip(&y).map(|(a, b)| (a - b).powi(2)).sum();
    let q = (5.0 * r2).sqrt() / kernel.length;
    match kernel.shape {
        Shape::Linear => x.dot(&y),
        Shape::Rbf => (-r2 / 2.0 / kernel.length.powi(2)).exp(),
        Shape::Matern52 => (1.0 + q + q * q / 3.0) * (-q).exp(),
    }
}

#[test]
fn golden_values() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/numerics.json");
    let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let rows = |v: &serde_json::Value| {
        let rows: Vec<Vec<f64>> = serde_json::from_value(v.clone()).unwrap();
        Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
    };
    let mut compared = 0;
    for case in golden["two_sample"].as_array().unwrap() {
        let (x, y) = (rows(&case["x"]), rows(&case["y"]));
        let both = ndarray::concatenate(ndarray::Axis(0), &[x.view(), y.view()]).unwrap();
        let m = median_distance(both.view()).unwrap();
        assert!((m / case["median_pooled_distance"].as_f64().unwrap() - 1.0).abs() < 1e-9);
        for want in case["mmd"].as_array().unwrap() {
            let shape = serde_json::from_value(want["kernel"].clone()).unwrap();
            let kernel = MeanKernel::new(shape, want["bandwidth"].as_f64().unwrap()).unwrap();
            let centre = x.mean_axis(ndarray::Axis(0)).unwrap();
            let (px, py) = (Points::<f64>::new(x.view(), &centre), Points::<f64>::new(y.view(), &centre));
            let want = want["mmd2_unbiased"].as_f64().unwrap();
            let got = mmd2(kernel, &px.unwrap(), &py.unwrap());
            assert!((got - want).abs() < 1e-9 * want.abs(), "{got} {want}");
            let (px, py) = (Points::<f32>::new(x.view(), &centre), Points::<f32>::new(y.view(), &centre));
            let got = mmd2(kernel, &px.unwrap(), &py.unwrap());
            assert!((got - want).abs() < 1e-6, "single precision {got} {want}");
            compared += 1;
        }
    }
    assert!(compared >= 18, "{compared}");
}

#[test]
fn expected_values_of_gaussian_classes() {
    // E k = (l² / (l² + s² + t²))^(d/2) exp(-|m|² / 2 (l² + s² + t²)) for N(0, s² I) and N(m, t² I).
    let (d, l, n) = (3, 1.7f64, 4000);
    let expected = |s: f64, t: f64, m: f64| {
        let v = l * l + s * s + t * t;
        (l * l / v).powf(d as f64 / 2.0) * (-(d as f64) * m * m / 2.0 / v).exp()
    };
    let (x, y) = (normal(n, d, 0.0, 1.0, 1), normal(n, d, 0.8, 1.5, 2));
    let centre = Array1::zeros(d);
    let (x, y) = (Points::<f32>::new(x.view(), &centre).unwrap(), Points::<f32>::new(y.view(), &centre).unwrap());
    let got = mmd2(MeanKernel::new(Shape::Rbf, l).unwrap(), &x, &y);
    let want = expected(1.0, 1.0, 0.0) + expected(1.5, 1.5, 0.0) - 2.0 * expected(1.0, 1.5, 0.8);
    // The standard error at this size is 0.003.
    assert!((got - want).abs() < 0.01, "{got} {want}");
}

/// Across tile edges, with units and factors, against double loops.
#[test]
fn sums_and_forms_match_their_definition() {
    let (n, m, d, draws) = (ROWS + 40, COLUMNS + 70, 4, 3);
    let (x, y) = (normal(n, d, 10.0, 1.0, 3), normal(m, d, 10.5, 1.0, 4));
    let factor = |n: usize, seed| normal(n, draws, 0.0, 1.0, seed);
    let (left, right) = (factor(n, 5), factor(m, 6));
    let units: Vec<usize> = (0..n).map(|i| (3 * i + i / 11) % 7).collect();
    let sizes = unit_sizes(&units);
    for shape in SHAPES {
        let kernel = MeanKernel::new(shape, 2.0).unwrap();
        let centre = Array1::from_elem(d, 10.0);
        let (cx, cy) = (&x - &centre, &y - &centre);
        let (px, py) = (Points::<f64>::new(x.view(), &centre).unwrap(), Points::<f64>::new(y.view(), &centre).unwrap());
        let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-8 * (1.0 + b.abs()), "{shape:?}: {a} {b}");
        let mut want = BlockSums { sum: 0.0, forms: vec![0.0; draws] };
        for a in 0..n {
            for b in 0..m {
                let k = plain(kernel, cx.row(a), cy.row(b));
                want.sum += k;
                (0..draws).for_each(|f| want.forms[f] += left[[a, f]] * k * right[[b, f]]);
            }
        }
        let got = block(kernel, &px, &py, &left, &right);
        near(got.sum, want.sum);
        (0..draws).for_each(|f| near(got.forms[f], want.forms[f]));
        let mut want = OwnSums { same: vec![0.0; 7], forms: vec![0.0; draws], ..OwnSums::default() };
        let mut diagonal = vec![0.0; n];
        for a in 0..n {
            for b in 0..n {
                let k = plain(kernel, cx.row(a), cx.row(b));
                want.sum += k;
                want.lever += sizes[units[a]] * k;
                if units[a] == units[b] {
                    want.same[units[a]] += k;
                }
                if a == b {
                    diagonal[a] = k;
                }
                (0..draws).for_each(|f| want.forms[f] += left[[a, f]] * k * left[[b, f]]);
            }
        }
        let got = own(kernel, &px, Some(&units), &left);
        near(got.sum, want.sum);
        near(got.lever, want.lever);
        (0..7).for_each(|u| near(got.same[u], want.same[u]));
        (0..draws).for_each(|f| near(got.forms[f], want.forms[f]));
        let got = own(kernel, &px, None, &left);
        near(got.lever, want.sum);
        (0..n).for_each(|a| near(got.same[a], diagonal[a]));
        // Single precision, whose products of rows are rounded.
        let single = (
            Points::<f32>::new(x.view(), &centre).unwrap(),
            own(kernel, &Points::<f32>::new(x.view(), &centre).unwrap(), Some(&units), &left.mapv(|v| v as f32)),
        );
        assert_eq!(single.0.len(), n);
        assert!((single.1.sum - want.sum).abs() < 1e-5 * want.sum.abs());
        let scale: f64 = want.same.iter().sum::<f64>().abs();
        (0..draws).for_each(|f| assert!((single.1.forms[f] - want.forms[f]).abs() < 1e-4 * scale));
    }
}

#[test]
fn far_off_samples_lose_nothing_and_overflow_is_reported() {
    let x = normal(60, 5, 0.0, 1.0, 7);
    let y = normal(50, 5, 0.4, 1.0, 8);
    let kernel = MeanKernel::new(Shape::Rbf, 2.0).unwrap();
    let at = |offset: f64| {
        let (x, y) = (&x + offset, &y + offset);
        let centre = x.mean_axis(ndarray::Axis(0)).unwrap();
        let points = |v: &Array2<f64>| Points::<f32>::new(v.view(), &centre).unwrap();
        mmd2(kernel, &points(&x), &points(&y))
    };
    assert!((at(0.0) - at(1e5)).abs() < 1e-6);
    let text = Points::<f32>::new((&x * 1e17).view(), &Array1::zeros(5)).unwrap_err().to_string();
    assert!(text.contains("too far for single precision"), "{text}");
    assert!(MeanKernel::new(Shape::Rbf, 0.0).is_err() && MeanKernel::new(Shape::Linear, 0.0).is_ok());
}

/// By definition, with permutations drawn the same way.
fn by_loops(kernel: MeanKernel, x: &Array2<f64>, weight: &[f64], unit: &[usize], side: &[bool]) -> f64 {
    let mut sums = [[0.0; 2]; 3];
    for a in 0..x.nrows() {
        for b in 0..x.nrows() {
            let (s, t) = (side[unit[a]], side[unit[b]]);
            if s == t && unit[a] == unit[b] {
                continue;
            }
            let at = &mut sums[if s != t { 2 } else { usize::from(!s) }];
            let w = weight[a] * weight[b];
            at[0] += w * plain(kernel, x.row(a), x.row(b));
            at[1] += w;
        }
    }
    let mean = |k: usize| sums[k][0] / sums[k][1];
    mean(0) + mean(1) - 2.0 * mean(2)
}

#[test]
fn permutations_match_their_definition() {
    let x = normal(30, 2, 0.0, 1.0, 9);
    let unit: Vec<usize> = (0..30).map(|i| i / 3).collect();
    let single: Vec<usize> = (0..30).collect();
    let kernel = MeanKernel::new(Shape::Matern52, 1.0).unwrap();
    let points = Points::<f64>::new(x.view(), &Array1::zeros(2)).unwrap();
    for units in [&unit, &single] {
        let n = units.iter().max().unwrap() + 1;
        let first: Vec<bool> = (0..n).map(|u| u < 2 * n / 5).collect();
        let weight: Vec<f64> = units.iter().map(|u| if *u % 2 == 0 { 0.5 } else { 1.5 }).collect();
        let streams = Streams::new(4);
        let pooled = Pooled { points: &points, weight: &weight, unit: units, first: &first };
        let got = two_sample(kernel, &pooled, 300, &streams);
        let observed = by_loops(kernel, &x, &weight, units, &first);
        let mut reached = 0;
        for b in 1..=300 {
            let mut side = first.clone();
            side.shuffle(&mut streams.index(b).rng("permutation"));
            reached += usize::from(by_loops(kernel, &x, &weight, units, &side) >= observed - 1e-9);
        }
        assert!((got.mmd2 - observed).abs() < 1e-9);
        assert_eq!(got.p, Some((1 + reached) as f64 / 301.0));
    }
}

#[test]
fn a_constant_statistic_has_p_one_and_so_have_equal_samples() {
    let streams = Streams::new(1);
    let one = |x: Array2<f64>, shape| {
        let points = Points::<f32>::new(x.view(), &Array1::zeros(2)).unwrap();
        let unit: Vec<usize> = (0..20).collect();
        let first: Vec<bool> = (0..20).map(|u| u < 12).collect();
        let pooled = Pooled { points: &points, weight: &[1.0; 20], unit: &unit, first: &first };
        two_sample(MeanKernel::new(shape, 1.0).unwrap(), &pooled, 99, &streams)
    };
    for shape in SHAPES {
        let equal = one(Array2::from_elem((20, 2), 0.3), shape);
        assert!(equal.mmd2.abs() < 1e-6, "{equal:?}");
        assert_eq!(equal.p, Some(1.0), "{shape:?}");
    }
    let mut rng = Streams::new(2).rng("x");
    let x = Array2::from_shape_fn((20, 2), |(i, _)| if i < 12 { 4.0 } else { 0.0 } + rng.random::<f64>());
    assert_eq!(one(x, Shape::Rbf).p, Some(0.01));
}

#[test]
fn a_device_gives_the_same_sums() {
    let (x, y) = (normal(60, 5, 3.0, 1.0, 14), normal(40, 5, 3.1, 1.0, 15));
    let centre = Array1::from_elem(5, 3.0);
    let (x, y) = (Points::<f32>::new(x.view(), &centre).unwrap(), Points::<f32>::new(y.view(), &centre).unwrap());
    let factor = |n, seed| normal(n, 4, 0.0, 1.0, seed).mapv(|v| v as f32);
    let (left, right) = (factor(60, 16), factor(40, 17));
    let units: Vec<usize> = (0..60).map(|i| (i * i + i / 9) % 5).collect();
    // The CPU as a device computes in its own way.
    let (here, there) = (Place::new(None), Place::new(Some(&device::Cpu)));
    let near = |a: &[f64], b: &[f64]| {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).for_each(|(a, b)| assert!((a - b).abs() < 2e-3 * (1.0 + b.abs()), "{a} {b}"));
    };
    for shape in SHAPES {
        let kernel = MeanKernel::new(shape, 2.0).unwrap();
        let of = |p: &Place| p.block(kernel, &x, &y, &left, &right).unwrap();
        near(&[of(&here).sum], &[of(&there).sum]);
        near(&of(&here).forms, &of(&there).forms);
        for units in [None, Some(units.as_slice())] {
            let of = |p: &Place| p.own(kernel, &x, units, &left).unwrap();
            let (a, b) = (of(&here), of(&there));
            near(&[a.sum, a.lever], &[b.sum, b.lever]);
            near(&a.same, &b.same);
            near(&a.forms, &b.forms);
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (x, y) = (normal(700, 5, 0.0, 1.0, 10), normal(900, 5, 0.1, 1.0, 11));
    let centre = Array1::zeros(5);
    let (x, y) = (Points::<f32>::new(x.view(), &centre).unwrap(), Points::<f32>::new(y.view(), &centre).unwrap());
    let (left, right) =
        (normal(700, 9, 0.0, 1.0, 12).mapv(|v| v as f32), normal(900, 9, 0.0, 1.0, 13).mapv(|v| v as f32));
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let kernel = MeanKernel::new(Shape::Matern52, 2.0).unwrap();
        pool.install(|| (block(kernel, &x, &y, &left, &right), own(kernel, &x, None, &left)))
    };
    assert_eq!(run(1), run(3));
}
