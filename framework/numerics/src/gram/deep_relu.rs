//! Kernels of infinitely wide ReLU networks: elementwise functions of inner products.

use super::features::Rows;
use super::matrix::{Gram, GramSource};
use super::of_rows::FeatureGram;
use crate::error::{Error, Result};
use ndarray::{Array2, Axis};
use rayon::prelude::*;
use std::f64::consts::{FRAC_1_PI, FRAC_PI_2, PI};
use std::sync::Arc;

/// Which limit of a wide network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wide {
    /// The network at initialisation, a Gaussian process (NNGP).
    AtStart,
    /// Its gradient during training, the neural tangent kernel (NTK).
    Tangent,
}

/// The kernel of a wide ReLU network on inputs whose inner products are known.
///
/// With a = weight gain², b = bias²: S = a⟨x, x'⟩/d + b and T = S; then `layers` - 1 times, with
/// ρ = S/√(S(x, x) S(x', x')) and t = arccos ρ, S ← a √(S(x, x) S(x', x')) (√(1-ρ²) + (π-t) ρ)/2π + b and
/// T ← S + a T (π-t)/2π (Cho & Saul 2009; Jacot et al. 2018). The diagonal is taken from its closed form,
/// where arccos would lose half the digits. O(layers) an entry beside the product.
#[derive(Clone)]
pub struct DeepRelu {
    products: Gram,
    /// ⟨x, x⟩ of all positions, once prepared.
    norms: Option<Arc<Vec<f64>>>,
    wide: Wide,
    layers: usize,
    /// Weight gain² over the number of inputs.
    first: f64,
    /// Weight gain².
    a: f64,
    /// Bias².
    b: f64,
}

/// Entries computed together; small enough to stay in the cache over all layers.
const TILE: usize = 128;

impl DeepRelu {
    /// `products` are inner products of rows of `d` inputs; `layers` counts the linear layers, at least 1.
    pub fn new(products: Gram, d: usize, wide: Wide, layers: usize, weight_gain: f64, bias: f64) -> Self {
        let a = weight_gain * weight_gain;
        Self { products, norms: None, wide, layers, first: a / d.max(1) as f64, a, b: bias * bias }
    }

    /// Of feature rows; `kernel` names who asks.
    pub fn of_rows(kernel: &str, rows: Rows, wide: Wide, layers: usize, weight_gain: f64, bias: f64) -> Result<Gram> {
        let d = rows.d();
        let wrong = if d == 0 {
            format!("the {kernel} kernel compares feature rows but no prior is active; add a [prior.NAME] section")
        } else if layers == 0 {
            format!("{kernel}: layers must be at least 1")
        } else if !(weight_gain > 0.0 && weight_gain.is_finite()) {
            format!("{kernel}: weight_gain must be a positive number, not {weight_gain}")
        } else if !(bias >= 0.0 && bias.is_finite()) {
            format!("{kernel}: bias must be a number not below 0, not {bias}")
        } else {
            let products = Gram::new(FeatureGram::linear(rows));
            return Ok(Gram::new(Self::new(products, d, wide, layers, weight_gain, bias)));
        };
        Err(Error::Setting(wrong))
    }

    fn norms(&self, ids: &[usize]) -> Vec<f64> {
        match &self.norms {
            Some(all) => ids.iter().map(|&i| all[i]).collect(),
            None => self.products.diagonal(ids),
        }
    }

    /// The entry of a position with itself.
    fn own(&self, norm: f64) -> f64 {
        let mut s = self.first * norm + self.b;
        let mut t = s;
        for _ in 1..self.layers {
            s = 0.5 * self.a * s + self.b;
            t = s + 0.5 * self.a * t;
        }
        if self.wide == Wide::Tangent { t } else { s }
    }

    /// Inner products with a position of squared norm `norm` become entries.
    fn entries(&self, products: &mut [f64], norm: f64, norms: &[f64]) {
        for (products, norms) in products.chunks_mut(TILE).zip(norms.chunks(TILE)) {
            let (mut s, mut n) = ([0.0; TILE], [0.0; TILE]);
            s[..products.len()].copy_from_slice(products);
            n[..norms.len()].copy_from_slice(norms);
            tile(self, &mut s, norm, &mut n);
            products.copy_from_slice(&s[..products.len()]);
        }
    }
}

wide! {
    /// The recursion over layers for a tile of inner products.
    fn tile(w: &DeepRelu, s: &mut [f64; TILE], norm: f64, norms: &mut [f64; TILE]) {
        let (a, b) = (w.a, w.b);
        let mut t = [0.0; TILE];
        let mut own = w.first * norm + b;
        for j in 0..TILE {
            s[j] = w.first * s[j] + b;
            norms[j] = w.first * norms[j] + b;
            t[j] = s[j];
        }
        for _ in 1..w.layers {
            for j in 0..TILE {
                let root = (own * norms[j]).sqrt();
                let rho = if root > 0.0 { s[j] / root } else { 0.0 };
                let rho = if rho > 1.0 { 1.0 } else { rho };
                let rho = if rho < -1.0 { -1.0 } else { rho };
                let slope = 0.5 - 0.5 * FRAC_1_PI * arccos(rho);
                let sine = ((1.0 - rho) * (1.0 + rho)).sqrt();
                s[j] = a * root * (0.5 * FRAC_1_PI * sine + slope * rho) + b;
                t[j] = s[j] + a * t[j] * slope;
                norms[j] = 0.5 * a * norms[j] + b;
            }
            own = 0.5 * a * own + b;
        }
        if w.wide == Wide::Tangent {
            *s = t;
        }
    }
}

/// arccos on [-1, 1] to 2e-16 of π, without branches: arcsin of the argument, or of √((1-|x|)/2) near the ends, by
/// the rational approximation of fdlibm.
#[inline(always)]
fn arccos(x: f64) -> f64 {
    let size = x.abs();
    let near = size > 0.5;
    let z = if near { 0.5 * (1.0 - size) } else { x * x };
    let y = if near { z.sqrt() } else { size };
    let p = 3.479_331_075_960_212e-5;
    let p = p * z + 7.915_349_942_898_145e-4;
    let p = p * z - 4.005_553_450_067_941e-2;
    let p = p * z + 2.012_125_321_348_629_3e-1;
    let p = p * z - 3.255_658_186_224_009e-1;
    let p = p * z + 1.0 / 6.0;
    let q = 7.703_815_055_590_194e-2;
    let q = q * z - 6.882_839_716_054_533e-1;
    let q = q * z + 2.020_945_760_233_505_7;
    let q = q * z - 2.403_394_911_734_414;
    let q = q * z + 1.0;
    let arcsin = y + y * (z * p / q);
    let of_size = if near { 2.0 * arcsin } else { FRAC_PI_2 - arcsin };
    if x < 0.0 { PI - of_size } else { of_size }
}

impl GramSource for DeepRelu {
    fn n(&self) -> usize {
        self.products.n()
    }

    fn diagonal(&self, ids: &[usize]) -> Vec<f64> {
        self.norms(ids).into_iter().map(|n| self.own(n)).collect()
    }

    fn block(&self, a: &[usize], b: &[usize]) -> Array2<f64> {
        let mut k = self.products.block(a, b).as_standard_layout().into_owned();
        let (na, nb) = (self.norms(a), self.norms(b));
        k.axis_chunks_iter_mut(Axis(0), 16).into_par_iter().enumerate().for_each(|(t, mut rows)| {
            for (i, mut row) in (16 * t..).zip(rows.outer_iter_mut()) {
                if let Some(row) = row.as_slice_mut() {
                    self.entries(row, na[i], &nb);
                    row.iter_mut().zip(b).filter(|(_, j)| a[i] == **j).for_each(|(v, _)| *v = self.own(na[i]));
                }
            }
        });
        k
    }

    fn row(&self, i: usize, out: &mut [f64]) {
        const PIECE: usize = 16 * TILE;
        self.products.row(i, out);
        let computed;
        let norms = match &self.norms {
            Some(all) => all.as_slice(),
            None => {
                computed = self.products.diagonal(&(0..self.n()).collect::<Vec<_>>());
                &computed
            }
        };
        out.par_chunks_mut(PIECE).zip(norms.par_chunks(PIECE)).for_each(|(o, n)| self.entries(o, norms[i], n));
        out[i] = self.own(norms[i]);
    }

    fn restrict(&self, ids: &[usize]) -> Gram {
        let products = self.products.restrict(ids);
        let norms = Some(Arc::new(self.norms(ids)));
        Gram::new(Self { products, norms, ..self.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn arccos_agrees_with_the_standard_library() {
        let n = 400_000;
        let mut worst = 0.0f64;
        for i in 0..=n {
            let x = -1.0 + 2.0 * f64::from(i) / f64::from(n);
            worst = worst.max((arccos(x) - x.acos()).abs());
        }
        assert!(worst < 9e-16, "{worst:e}");
        for x in [1.0, -1.0, 0.0, 0.5, -0.5, 1.0 - 1e-12, -1.0 + 1e-12, 1e-300] {
            assert!((arccos(x) - f64::acos(x)).abs() <= 9e-16, "{x}");
        }
    }

    /// One entry by the definition.
    fn formula(x: &[f64], y: &[f64], wide: Wide, layers: usize, (gain, bias): (f64, f64)) -> f64 {
        let (a, b, d) = (gain * gain, bias * bias, x.len() as f64);
        let dot = |x: &[f64], y: &[f64]| a * x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>() / d + b;
        let (mut s, mut sx, mut sy) = (dot(x, y), dot(x, x), dot(y, y));
        let mut t = s;
        for _ in 1..layers {
            let root = (sx * sy).sqrt();
            let c = (s / root).clamp(-1.0, 1.0);
            let angle = PI - c.acos();
            s = a * root * ((1.0 - c * c).sqrt() + angle * c) / (2.0 * PI) + b;
            t = s + a * t * angle / (2.0 * PI);
            (sx, sy) = (a * sx / 2.0 + b, a * sy / 2.0 + b);
        }
        if wide == Wide::Tangent { t } else { s }
    }

    #[test]
    fn rows_blocks_and_diagonals_are_the_recursion() {
        // More columns than a tile, opposite rows and one of zeros.
        let n = 300;
        let mut x = Array2::from_shape_fn((n, 4), |(i, j)| ((i * 7 + j * 13 + i * j) % 17) as f64 / 4.0 - 2.0);
        x.row_mut(5).fill(0.0);
        let opposite = -&x.row(7);
        x.row_mut(8).assign(&opposite);
        let all: Vec<usize> = (0..n).collect();
        for (wide, layers, options) in
            [(Wide::AtStart, 1, (1.0, 0.0)), (Wide::AtStart, 4, (1.3, 0.5)), (Wide::Tangent, 3, (1.4, 0.0))]
        {
            let k = DeepRelu::new(Gram::of_features(x.clone()), 4, wide, layers, options.0, options.1);
            let full = Gram::new(k.clone()).to_dense(&all);
            let some = k.restrict(&[9, 5, 8, 7]);
            let (mut row, mut short) = (vec![0.0; n], vec![0.0; 4]);
            for i in 0..n {
                k.row(i, &mut row);
                for j in 0..n {
                    let (a, b) = (x.row(i).to_vec(), x.row(j).to_vec());
                    let zero = layers > 1 && options.1 == 0.0 && (i == 5 || j == 5);
                    let want = if zero { 0.0 } else { formula(&a, &b, wide, layers, options) };
                    // Equal rows: arccos of the formula loses half the digits.
                    let slack = if a == b || i == j { 1e-7 } else { 1e-12 };
                    assert!((full[(i, j)] - want).abs() <= slack * (1.0 + want.abs()), "{i} {j}: {}", full[(i, j)]);
                    assert!((row[j] - full[(i, j)]).abs() <= 1e-7 * (1.0 + want.abs()));
                }
                assert_eq!(k.diagonal(&[i])[0], full[(i, i)]);
            }
            some.row(1, &mut short);
            assert!((short[2] - full[(5, 8)]).abs() < 1e-12);
        }
    }

    #[test]
    fn closed_forms() {
        // Two layers, no bias, orthogonal unit inputs: a²/(2πd) at start.
        let x = array![[1.0, 0.0], [0.0, 1.0]];
        let k = DeepRelu::new(Gram::of_features(x), 2, Wide::AtStart, 2, 1.0, 0.0);
        let k = Gram::new(k).to_dense(&[0, 1]);
        assert!((k[(0, 1)] - 0.25 / PI).abs() < 1e-15 && (k[(0, 0)] - 0.25).abs() < 1e-15);
    }
}
