use super::size::extremes_of;
use super::*;
use crate::gram::Gram;
use crate::streams::Streams;
use crate::{Product, Sum, eigh};
use ndarray::Axis;
use ndarray::{Array2, s};
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;

fn normals(n: usize, d: usize, seed: u64) -> Array2<f64> {
    let mut rng = Streams::new(seed).rng("x");
    Array2::from_shape_simple_fn((n, d), || StandardNormal.sample(&mut rng))
}

fn golden() -> serde_json::Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/numerics.json");
    let all: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    all["kernels"].clone()
}

fn matrix(v: &serde_json::Value) -> Array2<f64> {
    let rows: Vec<Vec<f64>> = serde_json::from_value(v.clone()).unwrap();
    Array2::from_shape_fn((rows.len(), rows[0].len()), |(i, j)| rows[i][j])
}

fn near(a: &Array2<f64>, b: &Array2<f64>) {
    let scale = b.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    assert_eq!(a.dim(), b.dim());
    for ((at, a), b) in a.indexed_iter().zip(b) {
        assert!((a - b).abs() <= 1e-9 * b.abs().max(1e-3 * scale), "{at:?}: {a} {b}");
    }
}

#[test]
fn golden_matrices_alignments_and_fusions() {
    let g = golden();
    let all: Vec<usize> = (0..9).collect();
    let grams: Vec<Gram> = (0..3).map(|m| Gram::dense(matrix(&g["matrices"][m])).unwrap()).collect();
    for (i, j) in [(0, 1), (0, 2), (1, 2)] {
        for (centred, name) in [(false, "alignment"), (true, "centred_alignment")] {
            let Some(want) = g[format!("{name}_{i}{j}")].as_f64() else { continue };
            let got = alignment(&grams[i], &grams[j], centred).unwrap().unwrap();
            assert!((got - want).abs() < 1e-12, "{name} {i} {j}: {got} {want}");
        }
    }
    let scaled: Vec<Gram> = grams.iter().map(|k| Normalise::MinMax.apply(k, &all, true).unwrap().0).collect();
    for m in 0..3 {
        near(&scaled[m].to_dense(&all), &matrix(&g["minmax"][m]));
    }
    let sum = |w: &[f64]| Gram::new(Sum::new(w.iter().copied().zip(scaled.clone()).collect()).unwrap());
    near(&sum(&[1.0 / 3.0; 3]).to_dense(&all), &matrix(&g["fusion_mean"]));
    near(&Gram::new(Product::new(scaled.clone()).unwrap()).to_dense(&all), &matrix(&g["fusion_product"]));
    let weights: Vec<f64> = (0..3).map(|m| alignment(&scaled[0], &scaled[m], false).unwrap().unwrap()).collect();
    for (m, w) in weights.iter().enumerate() {
        assert!((w - g["alignment_weights_to_minmax0"][m].as_f64().unwrap()).abs() < 1e-12);
    }
    near(&sum(&weights).to_dense(&all), &matrix(&g["fusion_alignment_weighted"]));
}

/// Entry by entry from the definition, for features, for a stored matrix, and over part of the positions.
#[test]
fn every_normalisation_is_its_formula() {
    let x = normals(300, 5, 1) + 0.7;
    let scope: Vec<usize> = (0..300).filter(|i| i % 7 != 3).collect();
    let n = scope.len() as f64;
    let full = x.dot(&x.t());
    let k = Array2::from_shape_fn((scope.len(), scope.len()), |(i, j)| full[(scope[i], scope[j])]);
    let (low, high, _) = extremes_of(k.as_slice().unwrap());
    let d = k.diag().to_owned();
    let mut centred = k.clone();
    centre_dense(&mut centred);
    let want = |by| match by {
        Normalise::None => k.clone(),
        Normalise::Max => &k / high,
        Normalise::MinMax => (&k - low) / (high - low),
        Normalise::Diag => &k / (d.sum() / n),
        Normalise::Cosine => Array2::from_shape_fn(k.dim(), |(i, j)| k[(i, j)] / (d[i] * d[j]).sqrt()),
        Normalise::Trace => &k / d.sum(),
        Normalise::Frobenius => &k / dot(&k, &k).sqrt(),
        Normalise::Center => centred.clone(),
        Normalise::CenterDiag => &centred / (centred.diag().sum() / n),
    };
    let all = [
        Normalise::None,
        Normalise::Max,
        Normalise::MinMax,
        Normalise::Diag,
        Normalise::Cosine,
        Normalise::Trace,
        Normalise::Frobenius,
        Normalise::Center,
        Normalise::CenterDiag,
    ];
    for by in all {
        for (gram, features) in [(Gram::of_features(x.clone()), true), (Gram::stored(full.clone()), false)] {
            for psd in [false, true] {
                let (got, still) = by.apply(&gram, &scope, psd).unwrap();
                near(&got.to_dense(&scope), &want(by));
                near(&got.restrict(&scope).to_dense(&(0..scope.len()).collect::<Vec<_>>()), &want(by));
                let mut row = vec![0.0; 300];
                got.row(scope[4], &mut row);
                let row = Array2::from_shape_fn((1, scope.len()), |(_, j)| row[scope[j]]);
                near(&row, &want(by).slice(s![4..5, ..]).to_owned());
                let diagonal = Array2::from_shape_vec((1, scope.len()), got.diagonal(&scope)).unwrap();
                near(&diagonal, &want(by).diag().to_owned().insert_axis(Axis(0)));
                assert_eq!(got.rows().is_some(), features && (by != Normalise::MinMax || low <= 0.0), "{by:?}");
                assert_eq!(still, (psd || features) && (by != Normalise::MinMax || low <= 0.0));
            }
        }
    }
    // Large values are no larger after centring than their spread.
    let far = Gram::of_features(&x + 1e6);
    let (got, _) = Normalise::CenterDiag.apply(&far, &scope, true).unwrap();
    let got = got.to_dense(&scope);
    assert!((&got - &want(Normalise::CenterDiag)).iter().all(|d| d.abs() < 1e-8));
}

#[test]
fn a_positive_minimum_may_cost_definiteness_and_is_said() {
    let k = ndarray::array![[1.0, 0.8, 0.5], [0.8, 1.0, 0.8], [0.5, 0.8, 1.0]];
    let (g, psd) = Normalise::MinMax.apply(&Gram::stored(k), &[0, 1, 2], true).unwrap();
    let smallest = eigh(g.to_dense(&[0, 1, 2]).view()).unwrap().0[0];
    assert!(!psd && smallest > -1.0, "{smallest}");
}

#[test]
fn kernels_that_tell_nothing_apart_are_refused() {
    let refused = |by: Normalise, x: Array2<f64>| {
        let n = x.nrows();
        let ids: Vec<usize> = (0..n).collect();
        let a = by.apply(&Gram::of_features(x.clone()), &ids, true).unwrap_err().to_string();
        let b = by.apply(&Gram::stored(x.dot(&x.t())), &ids, false).unwrap_err().to_string();
        assert_eq!(a, b);
        a
    };
    for by in [Normalise::Max, Normalise::MinMax, Normalise::Diag, Normalise::Trace, Normalise::Frobenius] {
        let e = refused(by, Array2::zeros((4, 2)));
        assert!(e.contains("is 0 cannot be normalised by it"), "{by:?}: {e}");
    }
    assert!(refused(Normalise::MinMax, Array2::ones((4, 2))).contains("range from the smallest"));
    assert!(refused(Normalise::CenterDiag, Array2::ones((4, 2)) * 0.1).contains("after centring"));
    let mut x = Array2::ones((4, 2));
    x.row_mut(2).fill(0.0);
    assert!(refused(Normalise::Cosine, x.clone()).contains("perturbation 2 has zero norm"));
    x[(1, 1)] = f64::NAN;
    let e = Normalise::Max.apply(&Gram::of_features(x), &[0, 1, 2], true).unwrap_err().to_string();
    assert!(e.contains("perturbation 1 with itself is NaN"), "{e}");
    assert!(Normalise::Max.apply(&Gram::of_features(normals(3, 2, 1)), &[], true).is_err());
}

#[test]
fn dense_fusion_is_the_mean_of_the_normalised_matrices() {
    for n in [2, 255, 256, 600] {
        let sources: Vec<Array2<f64>> = (0..3).map(|m| normals(n, 4 + m as usize, m) + m as f64 * 0.3).collect();
        let single: Vec<_> = sources.iter().map(|x| Arc::new(x.mapv(|v| v as f32))).collect();
        let ids: Vec<usize> = (0..n).collect();
        for by in [Normalise::Max, Normalise::MinMax] {
            let got = fuse_dense(&single, by).unwrap().to_dense(&ids);
            let mut want = Array2::<f64>::zeros((n, n));
            for x in &sources {
                let k = by.apply(&Gram::of_features(x.clone()), &ids, true).unwrap().0.to_dense(&ids);
                want.scaled_add(1.0 / 3.0, &k);
            }
            assert!((&got - &want).iter().all(|d| d.abs() < 2e-6), "{n} {by:?}");
            assert!((&got - &got.t()).iter().all(|d| *d == 0.0));
        }
    }
    let e = fuse_dense(&[Arc::new(Array2::ones((3, 2)))], Normalise::Trace).unwrap_err().to_string();
    assert!(e.contains("max or min_max"), "{e}");
}

#[test]
fn alignments_of_features_and_matrices_agree() {
    let (x, y) = (normals(40, 3, 1) + 0.5, normals(40, 6, 2) - 0.2);
    let (a, b) = (x.dot(&x.t()), y.dot(&y.t()));
    for centred in [false, true] {
        let dense = alignment(&Gram::stored(a.clone()), &Gram::stored(b.clone()), centred).unwrap().unwrap();
        let by_features = alignment(&Gram::of_features(x.clone()), &Gram::of_features(y.clone()), centred);
        assert!((dense - by_features.unwrap().unwrap()).abs() < 1e-12);
        let few = feature_alignment(x.slice(s![..4, ..]), y.slice(s![..4, ..]), centred).unwrap();
        let small = |k: &Array2<f64>| Gram::stored(k.slice(s![..4, ..4]).to_owned());
        assert!((few - alignment(&small(&a), &small(&b), centred).unwrap().unwrap()).abs() < 1e-12);
    }
    assert!(feature_alignment(x.view(), Array2::zeros((40, 2)).view(), false).is_none());
    assert!((feature_alignment(x.view(), (&x * 3.0).view(), true).unwrap() - 1.0).abs() < 1e-12);
}
