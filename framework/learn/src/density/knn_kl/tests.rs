use super::*;
use ndarray::{Array2, ArrayView2, Axis, s};
use numerics::Result;
use numerics::streams::Streams;
use rand_distr::{Distribution, StandardNormal};

fn normal(n: usize, d: usize, shift: f64, name: &str) -> Array2<f64> {
    let mut rng = Streams::new(4).rng(name);
    Array2::from_shape_fn((n, d), |(_, j)| {
        let z: f64 = StandardNormal.sample(&mut rng);
        z + if j == 0 { shift } else { 0.0 }
    })
}

fn distance(a: ArrayView2<f64>, i: usize, b: ArrayView2<f64>, j: usize) -> f64 {
    a.row(i).iter().zip(b.row(j)).map(|(x, y)| (x - y) * (x - y)).sum()
}

/// Distances to the k nearest, by the definition.
fn plain(x: ArrayView2<f64>, y: ArrayView2<f64>, k: usize, own: bool) -> Vec<Vec<f64>> {
    (0..x.nrows())
        .map(|i| {
            let mut all: Vec<f64> = (0..y.nrows()).filter(|j| !own || i != *j).map(|j| distance(x, i, y, j)).collect();
            all.sort_by(f64::total_cmp);
            all.truncate(k);
            all
        })
        .collect()
}

#[test]
fn neighbours_are_those_of_brute_force() {
    for (d, n, m) in
        [(1, 300, 200), (2, 17, 16), (3, 700, 530), (5, 257, 33), (10, 300, 300), (11, 300, 1100), (40, 90, 90)]
    {
        let mut x = normal(n, d, 0.3, "x");
        let y = normal(m, d, 0.0, "y");
        // Duplicates, within and across.
        x.row_mut(3).assign(&y.row(5));
        let again = x.row(1).to_owned();
        x.row_mut(7).assign(&again);
        let (p, q) = (Index::new(x.view()), Index::new(y.view()));
        for k in [1, 4, 16] {
            for (found, want) in [
                (q.nearest(&p, k), plain(x.view(), y.view(), k, false)),
                (p.own(k), plain(x.view(), x.view(), k, true)),
            ] {
                for (r, i) in p.order().iter().enumerate() {
                    let got = &found.d2[r * k..(r + 1) * k];
                    let want = &want[*i as usize];
                    assert_eq!(want.len(), k);
                    let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-12 * (1.0 + b);
                    assert!(got.iter().zip(want).all(near), "d {d} k {k}: {got:?} {want:?}");
                }
            }
        }
    }
}

#[test]
fn golden_divergences() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/numerics.json");
    let all: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let mut seen = 0;
    for case in all["two_sample"].as_array().unwrap() {
        let table = |name: &str| {
            let rows: Vec<Vec<f64>> = serde_json::from_value(case[name].clone()).unwrap();
            Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j])
        };
        let (x, y) = (table("x"), table("y"));
        for kl in case["knn_kl"].as_array().unwrap() {
            let got = knn_kl(x.view(), y.view(), kl["k"].as_u64().unwrap() as usize).unwrap();
            for (name, want) in kl.as_object().unwrap().iter().filter(|(name, _)| *name != "k") {
                let want = want.as_f64().unwrap();
                let got = match name.as_str() {
                    "kl_x_to_y" | "kl" | "x_to_y" | "kl_xy" => got.value,
                    _ => knn_kl(y.view(), x.view(), kl["k"].as_u64().unwrap() as usize).unwrap().value,
                };
                assert!((got - want).abs() < 1e-9 * want.abs().max(1.0), "{name}: {got} {want}");
                seen += 1;
            }
        }
    }
    assert!(seen >= 9);
}

#[test]
fn known_divergences_and_special_samples() {
    // KL of normals a shift of 1 apart is 1/2.
    let (x, y) = (normal(4000, 2, 1.0, "x"), normal(3000, 2, 0.0, "y"));
    let kl = knn_kl(x.view(), y.view(), 5).unwrap();
    assert!((kl.value - 0.5).abs() < 0.06 && kl.duplicates == 0, "{kl:?}");
    let same = Array2::<f64>::ones((10, 2));
    assert_eq!(knn_kl(same.view(), same.view(), 3).unwrap(), Kl { value: 0.0, duplicates: 10, halves: None });
    let far = knn_kl(same.view(), y.view(), 3).unwrap();
    assert!(far.value > 20.0 && far.value.is_finite() && far.duplicates == 10);
    let text = |r: Result<Kl>| r.unwrap_err().to_string();
    assert!(text(knn_kl(same.slice(s![..3, ..]), y.view(), 3)).contains("needs k of at least 1 and 4 samples"));
    let mut bad = x.clone();
    bad[(2, 1)] = f64::NAN;
    assert!(text(knn_kl(bad.view(), y.view(), 1)).contains("sample 3"));
}

#[test]
fn halves_are_estimated_by_themselves() {
    for d in [2, 12] {
        let (x, y) = (normal(60, d, 0.5, "x"), normal(45, d, 0.0, "y"));
        let rng = &mut Streams::new(1).rng("halves");
        // Units that own whole regions, so that lists are too short.
        let units: Vec<usize> = (0..60).map(|i| if x[(i, 0)] > 0.8 { 0 } else { 1 + i % 20 }).collect();
        let (p, q) = (Halves::new(60, Some(&units), 30, rng), Halves::new(45, None, 30, rng));
        let kl = Base::new(x.view(), 2, Some(p.clone())).unwrap().kl(y.view(), Some(&q)).unwrap();
        let half = |x: &Array2<f64>, h: &Halves, r: usize, bit: u64| {
            let keep: Vec<usize> = (0..x.nrows()).filter(|i| h.bits[*i] >> r & 1 == bit).collect();
            x.select(Axis(0), &keep)
        };
        for (r, apart) in kl.halves.unwrap().iter().enumerate() {
            let of = |bit| knn_kl(half(&x, &p, r, bit).view(), half(&y, &q, r, bit).view(), 2).unwrap().value;
            let want = of(1) - of(0);
            assert!((apart - want).abs() < 1e-10, "{r}: {apart} {want}");
        }
    }
}

#[test]
fn the_error_of_a_mean_by_halves_is_its_error() {
    let x: Vec<f64> = (0..40).map(|i| f64::from(i * i % 17)).collect();
    let halves = Halves::new(40, None, 64, &mut Streams::new(2).rng("halves"));
    let apart = |r: usize| (0..40).map(|i| x[i] / if halves.bits[i] >> r & 1 == 1 { 20.0 } else { -20.0 }).sum::<f64>();
    let (error, df) = half_error(&(0..64).map(apart).collect::<Vec<f64>>(), 40);
    let want = numerics::stats::sd(&x) / 40f64.sqrt();
    assert!((error / want - 1.0).abs() < 0.25, "{error} {want}");
    assert!((df - 1.0 / (1.0 / 64.0 + 1.0 / 39.0)).abs() < 1e-12);
}

#[test]
fn threads_change_no_bit() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            [3, 14].map(|d| {
                let halves = Halves::new(700, None, 9, &mut Streams::new(1).rng("halves"));
                let base = Base::new(normal(700, d, 0.4, "x").view(), 5, Some(halves.clone())).unwrap();
                base.kl(normal(700, d, 0.0, "y").view(), Some(&halves)).unwrap()
            })
        })
    };
    assert!(run(1) == run(4));
}
