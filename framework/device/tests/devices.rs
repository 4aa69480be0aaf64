//! The same tests over every device that is compiled in and works here.

use device::{Choice, Cpu, Device, Picks, Tile, devices, open};
use ndarray::{Array2, ArrayView2, Axis, arr2, s};

/// Values in [-1, 1) from a fixed congruence.
fn block(n: usize, d: usize, seed: u32) -> Array2<f32> {
    let mut state = seed;
    Array2::from_shape_fn((n, d), |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1u32 << 23) as f32 - 1.0
    })
}

fn rows_of(picks: &Picks) -> Vec<usize> {
    picks.iter().map(|pick| pick.0).collect()
}

#[track_caller]
fn near(name: &str, a: &[f32], b: &[f32], tolerance: f32) {
    assert_eq!(a.len(), b.len(), "{name}");
    for (i, (a, b)) in a.iter().zip(b).enumerate() {
        assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{name}: entry {i} is {a}, expected {b}");
    }
}

/// f64, nothing shared with the crate.
fn plain(a: ArrayView2<f32>, b: ArrayView2<f32>, tile: Tile) -> Array2<f64> {
    Array2::from_shape_fn((a.nrows(), b.nrows()), |(i, j)| {
        let pairs = || a.row(i).into_iter().zip(b.row(j)).map(|(x, y)| (f64::from(*x), f64::from(*y)));
        let squared: f64 = pairs().map(|(x, y)| (x - y).powi(2)).sum();
        match tile {
            Tile::Product => pairs().map(|(x, y)| x * y).sum(),
            Tile::SqDistance => squared,
            Tile::Rbf { length } => (-squared / 2.0 / f64::from(length).powi(2)).exp(),
            Tile::Matern52 { length } => {
                let q = (5.0 * squared).sqrt() / f64::from(length);
                (1.0 + q + q * q / 3.0) * (-q).exp()
            }
        }
    })
}

#[test]
fn reductions_agree_with_plain_loops() {
    for device in devices() {
        for (n, m, d) in [(1, 1, 1), (7, 130, 5), (129, 3, 33), (200, 256, 64)] {
            let (a, b) = (block(n, d, 1), block(m, d, 2));
            for tile in [Tile::Product, Tile::SqDistance, Tile::Rbf { length: 2.0 }, Tile::Matern52 { length: 3.0 }] {
                let name = format!("{} {n} x {m} x {d} {tile:?}", device.name());
                let expected = plain(a.view(), b.view(), tile);
                let got = device.reduce(a.view(), b.view(), tile).unwrap();
                let fold = |f: fn(f64, f64) -> f64, start| -> Vec<f32> {
                    expected.outer_iter().map(|row| row.fold(start, |x, &y| f(x, y)) as f32).collect()
                };
                near(&name, &got.min, &fold(f64::min, f64::INFINITY), 2e-5);
                near(&name, &got.max, &fold(f64::max, f64::NEG_INFINITY), 2e-5);
                near(&name, &got.sum, &fold(|x, y| x + y, 0.0), 2e-5);
                for i in 0..n {
                    near(&name, &[expected[[i, got.argmin[i]]] as f32], &[got.min[i]], 2e-5);
                    near(&name, &[expected[[i, got.argmax[i]]] as f32], &[got.max[i]], 2e-5);
                }
            }
        }
    }
}

#[test]
fn quadratic_forms_agree_with_plain_loops() {
    for device in devices() {
        for (n, m, d, draws) in [(1, 1, 1, 1), (7, 130, 5, 3), (129, 3, 33, 0), (200, 141, 40, 150)] {
            let (x, y) = (block(n, d, 1), block(m, d, 2));
            let (left, right) = (block(n, draws, 3), block(m, draws, 4));
            for tile in [Tile::Product, Tile::Rbf { length: 2.0 }, Tile::Matern52 { length: 3.0 }] {
                let name = format!("{} {n} x {m} x {d} by {draws} {tile:?}", device.name());
                let k = plain(x.view(), y.view(), tile);
                let got = device.quadratic_forms(x.view(), y.view(), tile, left.view(), right.view()).unwrap();
                let single = |v: &[f64]| v.iter().map(|v| *v as f32).collect::<Vec<_>>();
                near(&name, &single(&got.row_sums), &single(&k.sum_axis(Axis(1)).to_vec()), 2e-5);
                let v = k.dot(&right.mapv(f64::from));
                let forms = (&v * &left.mapv(f64::from)).sum_axis(Axis(0));
                // What is summed up is as large as its parts, not as what they leave.
                let size = (v.mapv(f64::abs) * left.mapv(|l| f64::from(l.abs()))).sum_axis(Axis(0));
                assert_eq!(got.forms.len(), draws, "{name}");
                for c in 0..draws {
                    let error = (got.forms[c] - forms[c]).abs();
                    assert!(error <= 2e-5 * size[c], "{name}: {c} is {}, expected {}", got.forms[c], forms[c]);
                }
            }
        }
        let (x, few) = (block(4, 2, 1), block(3, 5, 2));
        assert!(device.quadratic_forms(x.view(), x.view(), Tile::Product, few.view(), few.view()).is_err());
    }
}

#[test]
fn ties_go_to_the_lowest_row() {
    // Rows 3 and 200 are equal and farthest; so are many others nearest. Integers are exact everywhere.
    let mut rows = Array2::<f32>::zeros((256, 4));
    rows.row_mut(3).fill(2.0);
    rows.row_mut(200).fill(2.0);
    rows.row_mut(130).fill(-2.0);
    for device in devices() {
        let name = device.name();
        let got = device.reduce(rows.slice(s![..2, ..]), rows.view(), Tile::SqDistance).unwrap();
        assert_eq!((got.argmin, got.argmax), (vec![0, 0], vec![3, 3]), "{name}");
        let none = rows.slice(s![..0, ..]);
        let all = device.max_dist(rows.view(), none, 10).unwrap();
        assert_eq!(all, [(3, 16.0), (130, 64.0), (0, 16.0)], "{name}: stops when all distances are 0");
        let origin = rows.slice(s![..1, ..]);
        assert_eq!(device.max_dist(rows.view(), origin, 5).unwrap(), [(3, 16.0), (130, 16.0)], "{name}");
        assert_eq!(device.lcmd(rows.view(), none, 10).unwrap(), [(3, 16.0), (130, 64.0), (0, 16.0)], "{name}");
        // One owner of all, sum 48: its farthest are 3, 130, 200, the first is taken and takes 200 with it.
        assert_eq!(device.lcmd(rows.view(), origin, 5).unwrap(), [(3, 16.0), (130, 16.0)], "{name}");
    }
}

#[test]
fn line_points_come_in_the_known_order() {
    let rows = arr2(&[[0.0f32], [1.0], [4.0], [10.0]]);
    for device in devices() {
        let picks = device.max_dist(rows.view(), rows.slice(s![..1, ..]), 3).unwrap();
        assert_eq!(picks, [(3, 100.0), (2, 16.0), (1, 1.0)], "{}", device.name());
    }
}

#[test]
fn identical_rows_give_one_pick_from_nothing() {
    let rows = Array2::<f32>::zeros((5, 2));
    for device in devices() {
        let none = rows.slice(s![..0, ..]);
        assert_eq!(device.max_dist(rows.view(), none, 5).unwrap(), [(0, 0.0)], "{}", device.name());
        assert_eq!(device.lcmd(rows.view(), none, 5).unwrap(), [(0, 0.0)], "{}", device.name());
        assert!(device.max_dist(rows.view(), rows.view(), 5).unwrap().is_empty());
        assert!(device.max_dist(rows.view(), none, 0).unwrap().is_empty());
    }
}

#[test]
fn rules_agree_with_the_reference_answers() {
    for file in ["select_a", "select_b", "select_c"] {
        let path = format!("{}/../../tests/golden/{file}.json", env!("CARGO_MANIFEST_DIR"));
        let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let (pool, train) = (matrix(&golden["pool"]), matrix(&golden["train"]));
        let none = train.slice(s![..0, ..]);
        for device in devices() {
            let mut compared = 0;
            for case in golden["cases"].as_array().unwrap() {
                let linear = case["base_kernel"] == "linear" && case["transforms"].as_array().unwrap().is_empty();
                let options = &case["options"];
                let method = case["method"].as_str().unwrap();
                if !linear || options["overselection_factor"].as_f64().is_some_and(|factor| factor != 1.0) {
                    continue;
                }
                let tp = options["sel_with_train"] == true;
                let centres = if tp { train.view() } else { none };
                let batch = case["batch"].as_u64().unwrap() as usize;
                let picks = match method {
                    "maxdist" => device.max_dist(pool.view(), centres, batch),
                    "lcmd" => device.lcmd(pool.view(), centres, batch),
                    "maxdet" => {
                        let sigma = options["maxdet_sigma"].as_f64().unwrap() as f32;
                        device.max_det(pool.view(), centres, sigma * sigma, batch)
                    }
                    "bait" => {
                        let sigma = options["bait_sigma"].as_f64().unwrap() as f32;
                        device.bait(pool.view(), train.view(), sigma * sigma, batch, tp)
                    }
                    _ => continue,
                };
                let expected: Vec<usize> =
                    case["selected"].as_array().unwrap().iter().map(|row| row.as_u64().unwrap() as usize).collect();
                let agrees_for = case["float32_agrees_for"].as_u64().unwrap() as usize;
                let got = rows_of(&picks.unwrap());
                let name = format!("{file} {} on {}", case["id"], device.name());
                assert_eq!(got.get(..agrees_for), Some(&expected[..agrees_for]), "{name}");
                println!("{name}: {} of {batch}", got.iter().zip(&expected).take_while(|(a, b)| a == b).count());
                compared += 1;
            }
            assert_eq!(compared, 9, "{file}");
        }
    }
}

fn matrix(value: &serde_json::Value) -> Array2<f32> {
    let rows: Vec<Vec<f32>> = value
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row.as_array().unwrap().iter().map(|x| x.as_f64().unwrap() as f32).collect())
        .collect();
    Array2::from_shape_vec((rows.len(), rows[0].len()), rows.concat()).unwrap()
}

#[test]
fn every_device_picks_what_the_cpu_picks() {
    let all = block(256, 40, 7);
    let (rows, others) = (all.slice(s![..231, ..]), all.slice(s![231.., ..]));
    let none = others.slice(s![..0, ..]);
    for device in devices() {
        let name = device.name();
        type Rule<'a> = &'a dyn Fn(&dyn Device) -> Picks;
        let rules: [(&str, Rule); 8] = [
            ("max_dist", &|device| device.max_dist(rows, none, 60).unwrap()),
            ("max_dist from centres", &|device| device.max_dist(rows, others, 60).unwrap()),
            ("lcmd", &|device| device.lcmd(rows, none, 60).unwrap()),
            ("lcmd from centres", &|device| device.lcmd(rows, others, 60).unwrap()),
            ("max_det", &|device| device.max_det(rows, none, 0.1, 45).unwrap()),
            ("max_det from centres", &|device| device.max_det(rows, others, 0.1, 45).unwrap()),
            ("bait", &|device| device.bait(rows, others, 0.5, 20, false).unwrap()),
            ("bait after train", &|device| device.bait(rows, others, 0.5, 20, true).unwrap()),
        ];
        for (rule, pick) in rules {
            let (here, there) = (pick(&Cpu), pick(device.as_ref()));
            assert_eq!(rows_of(&there), rows_of(&here), "{rule} on {name}");
            let scores = |picks: Picks| picks.into_iter().map(|pick| pick.1).collect::<Vec<_>>();
            near(&format!("{rule} on {name}"), &scores(there), &scores(here), 1e-4);
        }
    }
}

/// The kernels hold 1024 features, or columns of the Cholesky factor, at a time.
#[test]
fn features_and_columns_beyond_one_chunk() {
    let wide = block(140, 1100, 5);
    let (rows, others) = (wide.slice(s![..130, ..]), wide.slice(s![130.., ..]));
    let long = block(1100, 6, 9);
    let (few, many) = (long.slice(s![..60, ..]), long.slice(s![60.., ..]));
    let shift = |mut rows: Array2<f32>| {
        // Far from all centres along few directions, so that the order is clear in f32 too.
        rows.indexed_iter_mut().for_each(|((i, j), x)| *x *= 1.0 + if i % 6 == j { 0.5 * i as f32 } else { 0.0 });
        rows
    };
    let few = shift(few.to_owned());
    for device in devices() {
        let name = device.name();
        for (here, there) in [
            (Cpu.max_dist(rows, others, 20), device.max_dist(rows, others, 20)),
            (Cpu.lcmd(rows, others, 20), device.lcmd(rows, others, 20)),
            (Cpu.max_det(rows, others, 1.0, 20), device.max_det(rows, others, 1.0, 20)),
            (Cpu.bait(rows, others, 50.0, 5, true), device.bait(rows, others, 50.0, 5, true)),
            (Cpu.max_det(few.view(), many, 0.5, 4), device.max_det(few.view(), many, 0.5, 4)),
        ] {
            let (here, there) = (here.unwrap(), there.unwrap());
            assert_eq!(rows_of(&there), rows_of(&here), "{name}");
            let scores = |picks: Picks| picks.into_iter().map(|pick| pick.1).collect::<Vec<_>>();
            near(&name, &scores(there), &scores(here), 1e-3);
        }
    }
}

/// Column-major and strided inputs are taken as they are.
#[test]
fn layout_does_not_matter() {
    let rows = block(150, 6, 3);
    let turned = rows.t().as_standard_layout().into_owned();
    for device in devices() {
        let none = rows.slice(s![..0, ..]);
        let straight = device.max_dist(rows.view(), none, 9).unwrap();
        assert_eq!(device.max_dist(turned.t(), none, 9).unwrap(), straight, "{}", device.name());
        let every_other = rows.slice(s![..;2, ..]);
        let copied = every_other.as_standard_layout();
        let expected = device.reduce(copied.view(), rows.view(), Tile::Product).unwrap();
        assert_eq!(device.reduce(every_other, rows.view(), Tile::Product).unwrap(), expected, "{}", device.name());
    }
}

/// Brute force: the conditional variances from the inverse of the whole matrix, on a problem small enough.
#[test]
fn max_det_scores_are_conditional_variances() {
    let (rows, train) = (block(12, 5, 11), block(3, 5, 12));
    let sigma2 = 0.3f32;
    for device in devices() {
        let picks = device.max_det(rows.view(), train.view(), sigma2, 6).unwrap();
        let mut known = train.clone();
        for (row, score) in picks {
            let variances: Vec<f64> = rows.outer_iter().map(|x| posterior(&known, &x.to_vec(), sigma2)).collect();
            near(&device.name(), &[score], &[variances[row] as f32], 1e-4);
            known.append(Axis(0), rows.slice(s![row..=row, ..])).unwrap();
        }
    }
}

/// k(x, x) + s² - k(x, K) (k(K, K) + s² I)⁻¹ k(K, x), by elimination.
fn posterior(known: &Array2<f32>, x: &[f32], sigma2: f32) -> f64 {
    let k = known.nrows();
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>();
    let row = |i: usize| if i < k { known.row(i).to_vec() } else { x.to_vec() };
    let mut a = Array2::from_shape_fn((k + 1, k + 1), |(i, j)| {
        dot(&row(i), &row(j)) + if i == j { f64::from(sigma2) } else { 0.0 }
    });
    for p in 0..k {
        for i in p + 1..=k {
            let factor = a[[i, p]] / a[[p, p]];
            for j in p..=k {
                a[[i, j]] -= factor * a[[p, j]];
            }
        }
    }
    a[[k, k]]
}

#[test]
fn unusable_input_is_refused_in_words() {
    let rows = block(4, 3, 1);
    let mut holed = rows.clone();
    holed[[2, 1]] = f32::NAN;
    let narrow = block(2, 2, 1);
    for device in devices() {
        let none = rows.slice(s![..0, ..]);
        let text = |result: device::Result<Picks>| result.unwrap_err().to_string();
        assert!(text(device.max_dist(holed.view(), none, 1)).contains("row 2, feature 1 is NaN"));
        assert!(text(device.lcmd(rows.view(), holed.view(), 1)).contains("the centres: row 2"));
        assert!(text(device.max_det(rows.view(), none, -1.0, 1)).contains("noise variance is -1"));
        assert!(text(device.max_dist(rows.view(), none, 5)).contains("at most 4"));
        assert!(text(device.bait(rows.view(), narrow.view(), 1.0, 1, false)).contains("2 features, the rows 3"));
        let huge = rows.mapv(|x| x * 1e30);
        assert!(text(device.max_dist(huge.view(), none, 1)).contains("scale them down"), "{}", device.name());
        let zero = Tile::Rbf { length: 0.0 };
        assert!(device.reduce(rows.view(), rows.view(), zero).unwrap_err().to_string().contains("length scale is 0"));
    }
}

#[test]
fn a_device_always_opens() {
    assert_eq!(open(Choice::Cpu).0.name(), "cpu");
    for want in [Choice::Auto, Choice::Gpu] {
        let (device, reason) = open(want);
        println!("{want:?}: {} {reason:?}", device.name());
        assert_eq!(device.name() == "cpu", reason.is_some());
    }
}

/// The other tests would pass over a GPU that is there but fails; this one does not.
#[cfg(feature = "gpu")]
#[test]
fn a_gpu_that_is_there_works() {
    let (device, reason) = open(Choice::Gpu);
    let reason = reason.unwrap_or_default();
    println!("tested on {}; {reason}", device.name());
    assert!(!reason.contains("failed") && !reason.contains("wrong answer"), "{reason}");
}
