use super::*;
use crate::streams::Streams;
use ndarray::{Array2, array};
use std::sync::Arc;

fn rows() -> Array2<f64> {
    array![[1.0, 0.5], [0.2, -1.0], [3.0, 1.0], [0.0, 0.25]]
}

fn agree(g: &Gram, k: impl Fn(usize, usize) -> f64) {
    let all: Vec<usize> = (0..g.n()).collect();
    let full = g.to_dense(&all);
    let sub = g.restrict(&[2, 0]);
    let mut row = vec![0.0; g.n()];
    for i in 0..g.n() {
        g.row(i, &mut row);
        for j in 0..g.n() {
            assert!((full[(i, j)] - k(i, j)).abs() < 1e-12, "block {i} {j}");
            assert!((row[j] - k(i, j)).abs() < 1e-12, "row {i} {j}");
        }
        assert!((g.diagonal(&[i])[0] - k(i, i)).abs() < 1e-12, "diagonal {i}");
    }
    assert!((sub.to_dense(&[0, 1])[(0, 1)] - k(2, 0)).abs() < 1e-12);
}

#[test]
fn every_form_answers_alike() {
    let x = rows();
    let dot = |i: usize, j: usize| x.row(i).dot(&x.row(j));
    let rbf = |i: usize, j: usize| (-(dot(i, i) + dot(j, j) - 2.0 * dot(i, j)) / 2.0).exp();
    agree(&Gram::of_features(x.clone()), dot);
    agree(&Gram::dense(x.dot(&x.t())).unwrap(), dot);
    let exp = |s: &mut [f64]| s.iter_mut().for_each(|v| *v = (-*v / 2.0).exp());
    let radial: Gram = FeatureGram::radial(Rows::Held(Arc::new(x.clone())), exp).into();
    agree(&radial, rbf);
    let cosine: Gram = FeatureGram::cosine(Rows::Held(Arc::new(x.clone()))).unwrap().into();
    agree(&cosine, |i, j| dot(i, j) / (dot(i, i) * dot(j, j)).sqrt());
    let mixed = Sum::new(vec![(0.5, radial), (2.0, Gram::of_features(x.clone()))]).unwrap();
    agree(&Gram::new(mixed), |i, j| 0.5 * rbf(i, j) + 2.0 * dot(i, j));
    let both = Gram::of_features(x.clone());
    let sum = Gram::new(Sum::new(vec![(0.25, both.clone()), (0.75, both)]).unwrap());
    agree(&sum, dot);
    assert!(sum.restrict(&[0, 1]).features().is_some(), "a sum of features stays in feature form");
}

#[test]
fn only_features_are_projected() {
    let x = Rows::Held(Arc::new(rows()));
    let linear = Gram::from(FeatureGram::linear(x.clone()));
    let sketch = |g: &Gram| g.sketch(5, &Streams::new(1)).map(|s| s.rows().unwrap().d());
    assert_eq!(sketch(&linear), Some(5));
    assert_eq!(sketch(&Gram::new(Affine::new(linear.clone(), 2.0, 0.0))), Some(5));
    let radial = |v: &mut [f64]| v.iter_mut().for_each(|v| *v = (-*v).exp());
    assert_eq!(sketch(&Gram::from(FeatureGram::radial(x, radial))), None);
    assert_eq!(sketch(&Gram::stored(linear.to_dense(&[0, 1, 2, 3]))), None);
}

#[test]
fn bad_matrices_are_refused() {
    let text = |k: Array2<f64>| Gram::dense(k).unwrap_err().to_string();
    assert!(text(array![[1.0, 0.2], [0.3, 1.0]]).contains("not symmetric"));
    assert!(text(array![[1.0, f64::NAN], [0.3, 1.0]]).contains("must be finite"));
    assert!(text(array![[1.0, 0.0]]).contains("square"));
    assert!(text(array![[1.0, 0.0], [0.0, -1.0]]).contains("negative diagonal entry -1 at 1"));
    let zero = Rows::Held(Arc::new(array![[1.0, 1.0], [0.0, 0.0]]));
    let e = FeatureGram::cosine(zero).err().unwrap().to_string();
    assert!(e.contains("row 1 has zero norm"), "{e}");
}
