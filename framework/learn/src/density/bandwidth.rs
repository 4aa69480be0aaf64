//! The length scale of kernels on samples.

use ndarray::{Array2, ArrayView2, s};
use numerics::linalg::sq_distances;
use numerics::samples::{Class, Design};
use numerics::streams::{StreamRng, Streams};
use numerics::{Error, Result};
use rayon::prelude::*;
use serde::de::{Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How the length scale of a kernel on samples is found: `"global"`, `"pair"`, or a number.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Bandwidth {
    /// The median distance between samples of control and of the single perturbations: one for all pairs, so that
    /// their scores can be compared.
    #[default]
    Global,
    /// The median distance between samples of the pair's own four classes.
    Pair,
    /// Given, in units of the features.
    Length(f64),
}

/// Samples that a median distance is taken over at most.
const MOST: usize = 1000;

impl Bandwidth {
    /// The length scale of each pair, from at most 1,000 samples drawn at random. Where the samples of control and
    /// singles are all alike, those of the pairs join them; where these are alike too, every length gives the same
    /// kernel values, and it is 1.
    pub fn lengths(self, samples: &dyn Design, streams: &Streams) -> Result<Vec<f64>> {
        let pairs = 0..samples.n_pairs();
        let median = |classes: &[&Class], rng: StreamRng| median_of(classes, rng);
        match self {
            Bandwidth::Length(l) => Ok(vec![l; pairs.len()]),
            Bandwidth::Global => {
                let shared = samples.n_shared();
                let some = |n: usize| (0..n).map(|c| samples.class(c)).collect::<Vec<_>>();
                let length = match median(&some(shared), streams.rng("bandwidth"))? {
                    Some(l) => l,
                    None => median(&some(samples.n_classes()), streams.rng("bandwidth"))?.unwrap_or(1.0),
                };
                Ok(vec![length; pairs.len()])
            }
            Bandwidth::Pair => pairs
                .into_par_iter()
                .map(|p| {
                    Ok(median(&samples.four(p).map(|c| samples.class(c)), streams.index(p).rng("bandwidth"))?
                        .unwrap_or(1.0))
                })
                .collect(),
        }
    }
}

/// The median Euclidean distance between the rows (the mean of the two middle ones of an even number). Where more
/// than half of the distances are 0, the median of the others; `None` where all rows are alike.
pub(super) fn median_distance(x: ArrayView2<f64>) -> Option<f64> {
    let d = sq_distances(x, x);
    let largest = d.iter().fold(0.0f64, |m, v| m.max(*v));
    let mut pairs: Vec<f64> = Vec::with_capacity(d.len() / 2);
    for (i, row) in d.outer_iter().enumerate() {
        pairs.extend(row.iter().take(i));
    }
    let median = |pairs: &mut [f64]| {
        let (even, half) = (pairs.len().is_multiple_of(2), pairs.len() / 2);
        let (below, middle, _) = pairs.select_nth_unstable_by(half, f64::total_cmp);
        let other = if even { below.iter().fold(0.0, |m: f64, v| m.max(*v)) } else { *middle };
        (other.sqrt() + middle.sqrt()) / 2.0
    };
    // Rounding leaves equal rows a little apart.
    let zero = 1e-14 * largest;
    if pairs.is_empty() || largest == 0.0 {
        return None;
    }
    let m = median(&mut pairs);
    if m * m > zero {
        return Some(m);
    }
    pairs.retain(|v| *v > zero);
    Some(median(&mut pairs))
}

fn median_of(classes: &[&Class], mut rng: StreamRng) -> Result<Option<f64>> {
    let n: usize = classes.iter().map(|c| c.len()).sum();
    let mut at = if n > MOST { rand::seq::index::sample(&mut rng, n, MOST).into_vec() } else { (0..n).collect() };
    at.sort_unstable();
    let mut x = Array2::<f64>::zeros((at.len(), classes.first().map_or(0, |c| c.n_features())));
    let (mut first, mut row) = (0, 0);
    for class in classes {
        let here: Vec<usize> = at[row..].iter().take_while(|i| **i < first + class.len()).map(|i| i - first).collect();
        let rows = class.rows(&here)?;
        x.slice_mut(s![row..row + here.len(), ..]).zip_mut_with(&rows, |o, v| *o = f64::from(*v));
        (first, row) = (first + class.len(), row + here.len());
    }
    let median = median_distance(x.view());
    if median.is_some_and(|m| !m.is_finite()) {
        return Err(Error::Breakdown(
            "the distances between samples are not finite; check the features for missing or huge values".into(),
        ));
    }
    Ok(median)
}

impl Serialize for Bandwidth {
    fn serialize<S: Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        match self {
            Bandwidth::Global => s.serialize_str("global"),
            Bandwidth::Pair => s.serialize_str("pair"),
            Bandwidth::Length(l) => s.serialize_f64(*l),
        }
    }
}

impl<'de> Deserialize<'de> for Bandwidth {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        struct Words;
        impl Visitor<'_> for Words {
            type Value = Bandwidth;
            fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
                f.write_str("\"global\", \"pair\" or a positive number")
            }
            fn visit_str<E: serde::de::Error>(self, v: &str) -> std::result::Result<Bandwidth, E> {
                match v {
                    "global" => Ok(Bandwidth::Global),
                    "pair" => Ok(Bandwidth::Pair),
                    _ => Err(E::invalid_value(Unexpected::Str(v), &self)),
                }
            }
            fn visit_f64<E: serde::de::Error>(self, v: f64) -> std::result::Result<Bandwidth, E> {
                if v > 0.0 && v.is_finite() {
                    Ok(Bandwidth::Length(v))
                } else {
                    Err(E::invalid_value(Unexpected::Float(v), &self))
                }
            }
            fn visit_u64<E: serde::de::Error>(self, v: u64) -> std::result::Result<Bandwidth, E> {
                self.visit_f64(v as f64)
            }
            fn visit_i64<E: serde::de::Error>(self, v: i64) -> std::result::Result<Bandwidth, E> {
                self.visit_f64(v as f64)
            }
        }
        d.deserialize_any(Words)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PairClass, Samples};
    use super::*;
    use serde_json::{Value, json};

    fn line(x: &[f32]) -> Class {
        Class::held(Array2::from_shape_vec((x.len(), 1), x.to_vec()).unwrap())
    }

    #[test]
    fn lengths_are_medians_of_the_classes_they_name() {
        let mut s = Samples {
            genes: vec!["A".into(), "B".into(), "C".into()],
            control: line(&[0.0]),
            singles: vec![line(&[1.0]), line(&[4.0]), line(&[4.0])],
            pairs: vec![PairClass { first: 0, second: 1, both: line(&[100.0]) }],
        };
        let streams = Streams::new(1);
        let of = |b: Bandwidth, s: &Samples| b.lengths(s, &streams).unwrap();
        // 1, 4, 4, 3, 3, 0; and 1, 4, 100, 3, 99, 96.
        assert_eq!(of(Bandwidth::Global, &s), [3.0]);
        assert_eq!(of(Bandwidth::Pair, &s), [50.0]);
        assert_eq!(of(Bandwidth::Length(2.0), &s), [2.0]);
        s.singles = vec![line(&[0.0]), line(&[0.0]), line(&[0.0])];
        assert_eq!(of(Bandwidth::Global, &s), [100.0]);
        s.pairs[0].both = line(&[0.0]);
        assert_eq!((of(Bandwidth::Global, &s), of(Bandwidth::Pair, &s)), (vec![1.0], vec![1.0]));
        let many: Vec<f32> = (0..5000).map(|i| i as f32).collect();
        s.control = line(&many);
        let length = of(Bandwidth::Global, &s)[0];
        // (1 - 1/√2) n; at most 1,000 of them are looked at.
        assert!((length / 5000.0 - 0.293).abs() < 0.03, "{length}");
    }

    #[test]
    fn words_and_numbers_are_read_and_written() {
        for v in [json!("global"), json!("pair"), json!(2.5)] {
            let b: Bandwidth = serde_json::from_value(v.clone()).unwrap();
            assert_eq!(serde_json::to_value(b).unwrap(), v);
        }
        let wrong = |v: Value| serde_json::from_value::<Bandwidth>(v).unwrap_err().to_string();
        assert!(wrong(json!("globl")).contains("expected \"global\", \"pair\" or a positive number"));
        assert!(wrong(json!(-1)).contains("positive") && wrong(json!(0.0)).contains("positive"));
    }

    #[test]
    fn medians_of_even_odd_and_equal_distances() {
        let line = |x: &[f64]| Array2::from_shape_vec((x.len(), 1), x.to_vec()).unwrap();
        // Distances 1, 3, 4; and 1, 2, 3, 4, 6, 7.
        assert!((median_distance(line(&[0.0, 1.0, 4.0]).view()).unwrap() - 3.0).abs() < 1e-12);
        assert!((median_distance(line(&[0.0, 1.0, 4.0, 7.0]).view()).unwrap() - 3.5).abs() < 1e-12);
        assert_eq!(median_distance(line(&[5.1; 9]).view()), None);
        // 28 of 36 distances are 0.
        let mut most = [0.0; 9];
        most[8] = 2.0;
        assert!((median_distance(line(&most).view()).unwrap() - 2.0).abs() < 1e-12);
    }
}
