use super::*;
use crate::gram::FeatureGram;
use crate::gram::Gram;
use crate::gram::features::Rows;
use crate::streams::Streams;
use ndarray::Array2;
use ndarray::Axis;
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;

fn rows(n: usize, d: usize, far: f64) -> Array2<f64> {
    let mut rng = Streams::new(1).rng("rows");
    Array2::from_shape_simple_fn((n, d), || -> f64 { StandardNormal.sample(&mut rng) }) + far
}

fn forms(x: &Array2<f64>) -> Vec<(Gram, f64)> {
    let held = || Rows::Held(Arc::new(x.clone()));
    let shifted = crate::gram::Affine::new(Gram::of_features(x.clone()), 1.0, 1e6);
    vec![
        (Gram::of_features(x.clone()), 1e-10),
        (FeatureGram::linear(held()).single().into(), 2e-5),
        (Gram::stored(x.dot(&x.t())), 1e-10),
        (Gram::new(shifted), 1e-10),
        (FeatureGram::linear(held().map(x.ncols(), |x| x)).into(), 1e-10),
    ]
}

/// Distances and nearest centres by the definition.
fn plain(x: &Array2<f64>, ids: &[usize], centres: &[usize]) -> (Vec<f64>, Vec<u32>) {
    let d2 = |a: usize, b: usize| (&x.row(a) - &x.row(b)).mapv(|v| v * v).sum();
    let nearest = |&i: &usize| {
        let all = centres.iter().enumerate().map(|(c, &s)| (d2(i, s), c as u32));
        all.fold((f64::INFINITY, u32::MAX), |best, v| if v.0 < best.0 { v } else { best })
    };
    ids.iter().map(nearest).unzip()
}

#[test]
fn every_form_keeps_the_distances_of_the_definition() {
    let x = rows(900, 17, 5.0);
    let (ids, centres): (Vec<usize>, Vec<usize>) = (0..900).partition(|i| i % 3 > 0);
    for (f, (gram, tolerance)) in forms(&x).into_iter().enumerate() {
        let mut state = Nearest::new(&gram, &ids, &centres).unwrap();
        let mut all = centres.clone();
        state.look_ahead(&[7, 50, 300]);
        for c in [50, 11, 7, 599, 300] {
            state.add(c).unwrap();
            all.push(ids[c]);
        }
        let (d2, nearest) = plain(&x, &ids, &all);
        assert_eq!(state.nearest(), nearest, "form {f}");
        assert!(state.d2().iter().zip(&d2).all(|(a, b)| (a - b).abs() <= tolerance * (1.0 + b)), "form {f}");
        assert!([50, 11, 7, 599, 300].iter().all(|&c| state.d2()[c] == 0.0));
        let (sums, to) = (state.sums_with(&[3, 4]), state.distances(&[3, 4]));
        for j in 0..2 {
            let want: f64 = state.d2().iter().zip(to.row(j)).map(|(a, b)| a.min(*b)).sum();
            assert!((sums[j] - want).abs() < 1e-9 * want);
            assert_eq!(to[(j, 3 + j)], 0.0);
        }
        assert!((state.least(9, &[3, 4]) - to[(0, 9)].min(to[(1, 9)])).abs() < tolerance * 50.0);
    }
}

#[test]
fn duplicates_are_at_distance_zero_far_from_the_origin() {
    let x = rows(60, 5, 1000.0);
    let x = ndarray::concatenate![Axis(0), x, x];
    let ids: Vec<usize> = (0..120).collect();
    for (gram, _) in &forms(&x)[..2] {
        let mut state = Nearest::new(gram, &ids[60..], &ids[..30]).unwrap();
        assert!(state.d2()[..30].iter().all(|d| *d == 0.0) && state.d2()[30..].iter().all(|d| *d > 0.0));
        assert_eq!(state.nearest()[..30], (0..30).collect::<Vec<u32>>());
        state.add(45).unwrap();
        assert_eq!((state.d2()[45], state.nearest()[45]), (0.0, 30));
    }
}

#[test]
fn draws_settle_to_the_distances_of_all_that_was_drawn() {
    let x = rows(300, 3, 0.0);
    let ids: Vec<usize> = (0..300).collect();
    for (gram, tolerance) in forms(&x) {
        let mut state = Nearest::new(&gram, &ids, &[]).unwrap();
        let mut rng = Streams::new(2).rng("draws");
        let mut drawn = vec![];
        for _ in 0..40 {
            let (i, d2) = state.draw(&mut rng).unwrap().unwrap();
            let own = plain(&x, &[i], &drawn).0[0];
            assert!(own == d2 || (own - d2).abs() < tolerance * (1.0 + own), "{own} {d2}");
            drawn.push(i);
        }
        state.settle().unwrap();
        let (d2, nearest) = plain(&x, &ids, &drawn);
        assert_eq!((state.n_centres(), state.nearest()), (40, &nearest[..]));
        assert!(state.d2().iter().zip(&d2).all(|(a, b)| (a - b).abs() <= tolerance * (1.0 + b)));
    }
}
