//! Gaussian conditioning of kernels: what is left of the covariance after noisy observation.

use super::compositions::Sum;
use super::features::{MakeRows, Rows};
use super::matrix::Gram;
use super::of_rows::FeatureGram;
use crate::error::{Error, Result};
use crate::linalg::{Cholesky, symmetric_product};
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;
use std::sync::Arc;

/// Largest matrix that is factored here (2 GB).
const MOST: usize = 16_384;

/// k(x, x') - k(x, X) (k(X, X) + σ²I)⁻¹ k(X, x') for the positions `on`, and what had to be added to a
/// diagonal to factor it. Stays in feature form while d <= max(1024, 3 |X|); otherwise the correction is held
/// as |X| features a position by a restriction. O(|X| d² + d³) or O(|X|³).
pub fn posterior(gram: &Gram, on: &[usize], sigma: f64) -> Result<(Gram, f64)> {
    if let Some(rows) = gram.rows()
        && rows.d() <= 1024.max(3 * on.len())
    {
        let (rows, jitter) = posterior_rows(rows, on, sigma)?;
        return Ok((FeatureGram::linear(rows).into(), jitter));
    }
    let sigma = positive(sigma)?;
    if on.len() > MOST {
        return Err(Error::Setting(format!(
            "a posterior given {} perturbations by a kernel without few features would factor a matrix of that size; \
             project the kernel before (`rp`), or condition on at most {MOST}",
            on.len()
        )));
    }
    let mut k = gram.to_dense(on);
    k.diag_mut().iter_mut().for_each(|v| *v += sigma * sigma);
    let factor = factored(&k)?;
    let jitter = factor.jitter;
    let whitened = Whitened { of: gram.clone(), on: on.to_vec(), factor };
    let correction = FeatureGram::linear(Rows::Made(Arc::new(whitened)));
    Ok((Gram::new(Sum::new(vec![(1.0, gram.clone()), (-1.0, correction.into())])?), jitter))
}

/// Features of the posterior kernel, φ ← σ L⁻¹ φ with LLᵀ = ΦᵀΦ + σ²I and Φ the rows of `on`, and what had to
/// be added to a diagonal to factor it.
pub fn posterior_rows(rows: Rows, on: &[usize], sigma: f64) -> Result<(Rows, f64)> {
    let (d, sigma) = (rows.d(), positive(sigma)?);
    if d > MOST {
        return Err(Error::Setting(format!(
            "a posterior in feature space of {d} features would factor a matrix of that size; project the kernel \
             before (`rp`)"
        )));
    }
    let mut a = Array2::zeros((d, d));
    for tile in on.chunks(4096) {
        a += &symmetric_product(rows.get(tile).view());
    }
    a.diag_mut().iter_mut().for_each(|v| *v += sigma * sigma);
    let factor = factored(&a)?;
    let jitter = factor.jitter;
    Ok((rows.map(d, move |x| half_rows(&factor, x.view()) * sigma), jitter))
}

fn positive(sigma: f64) -> Result<f64> {
    if sigma > 0.0 && sigma.is_finite() {
        return Ok(sigma);
    }
    Err(Error::Setting(format!("the noise sigma of a posterior must be a positive number, not {sigma}")))
}

fn factored(a: &Array2<f64>) -> Result<Cholesky> {
    if a.iter().any(|v| !v.is_finite()) {
        return Err(Error::Breakdown(
            "the kernel to condition holds values that are not finite; check the features for huge values".into(),
        ));
    }
    Cholesky::new(a.view())
}

/// `L⁻¹ x` for each row, tiles of rows in parallel.
fn half_rows(factor: &Cholesky, x: ArrayView2<f64>) -> Array2<f64> {
    const TILE: usize = 256;
    let mut out = Array2::zeros(x.dim());
    out.axis_chunks_iter_mut(Axis(0), TILE)
        .into_par_iter()
        .zip(x.axis_chunks_iter(Axis(0), TILE))
        .for_each(|(mut o, x)| o.assign(&factor.half_solve(x.t()).t()));
    out
}

/// Rows L⁻¹ k(X, x), whose inner products are what observation takes away.
struct Whitened {
    of: Gram,
    on: Vec<usize>,
    factor: Cholesky,
}

impl MakeRows for Whitened {
    fn n(&self) -> usize {
        self.of.n()
    }
    fn d(&self) -> usize {
        self.on.len()
    }
    fn get(&self, ids: &[usize]) -> Array2<f64> {
        half_rows(&self.factor, self.of.block(ids, &self.on).view())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(r: usize, c: usize) -> Array2<f64> {
        Array2::from_shape_fn((r, c), |(i, j)| ((i * 31 + j * 17 + i * i * 3 + i * j * 5) % 23) as f64 / 7.0 - 1.5)
    }

    /// By the definition, one solve for each entry.
    fn formula(k: &Array2<f64>, on: &[usize], sigma: f64) -> Array2<f64> {
        let mut a = Array2::from_shape_fn((on.len(), on.len()), |(i, j)| k[(on[i], on[j])]);
        a.diag_mut().iter_mut().for_each(|v| *v += sigma * sigma);
        let b = Array2::from_shape_fn((on.len(), k.nrows()), |(i, j)| k[(on[i], j)]);
        k - &b.t().dot(&Cholesky::new(a.view()).unwrap().solve(b.view()))
    }

    fn near(a: &Array2<f64>, b: &Array2<f64>) {
        let scale = b.iter().fold(0.0f64, |m, v| m.max(v.abs()));
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-10 * scale), "{a:.6} {b:.6}");
    }

    #[test]
    fn both_forms_are_the_formula_in_every_way_of_reading() {
        let x = table(30, 6);
        let k = x.dot(&x.t());
        let all: Vec<usize> = (0..30).collect();
        for on in [vec![3, 17, 4, 20], all.clone(), vec![]] {
            let want = formula(&k, &on, 0.4);
            for gram in [Gram::of_features(x.clone()), Gram::dense(k.clone()).unwrap()] {
                let (post, jitter) = posterior(&gram, &on, 0.4).unwrap();
                assert_eq!(jitter, 0.0);
                near(&post.to_dense(&all), &want);
                let turned: Vec<usize> = (0..30).rev().collect();
                let held = post.restrict(&turned);
                let mut row = vec![0.0; 30];
                held.row(0, &mut row);
                row.reverse();
                near(&Array2::from_shape_vec((1, 30), row).unwrap(), &want.row(29).insert_axis(Axis(0)).to_owned());
                near(
                    &Array2::from_shape_vec((1, 30), post.diagonal(&all)).unwrap(),
                    &want.diag().insert_axis(Axis(0)).to_owned(),
                );
                assert_eq!(gram.rows().is_some(), post.rows().is_some(), "features stay features");
            }
        }
    }

    #[test]
    fn conditioning_twice_is_conditioning_on_both() {
        let x = table(25, 5);
        let k = Gram::dense(x.dot(&x.t())).unwrap();
        let all: Vec<usize> = (0..25).collect();
        let (first, second): (Vec<usize>, Vec<usize>) = ((0..7).collect(), (10..14).collect());
        let both: Vec<usize> = first.iter().chain(&second).copied().collect();
        for gram in [Gram::of_features(x), k] {
            let twice = posterior(&posterior(&gram, &first, 0.3).unwrap().0, &second, 0.3).unwrap().0;
            near(&twice.to_dense(&all), &posterior(&gram, &both, 0.3).unwrap().0.to_dense(&all));
        }
    }

    #[test]
    fn what_cannot_be_done_is_said() {
        let wide = Rows::Held(Arc::new(Array2::zeros((2, MOST + 1))));
        let e = posterior_rows(wide, &[0], 0.1).err().unwrap().to_string();
        assert!(e.contains("16385 features") && e.contains("`rp`"), "{e}");
        let e = posterior(&Gram::of_features(table(3, 2)), &[0], 0.0).unwrap_err().to_string();
        assert!(e.contains("must be a positive number"), "{e}");
        let e = posterior(&Gram::of_features(table(3, 2) * f64::NAN), &[0], 0.1).unwrap_err().to_string();
        assert!(e.contains("not finite"), "{e}");
    }
}
