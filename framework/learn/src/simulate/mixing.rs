//! An invertible map through which hidden variables become measurements.

use ndarray::{Array1, Array2};
use numerics::streams::StreamRng;
use rand_distr::{Distribution, StandardNormal};

/// A square network of random rotations, each followed by a leaky rectifier: a homeomorphism, so that densities keep
/// their ratios and divergences their values. O(layers d²) a point.
#[derive(Clone, Debug)]
pub struct Mixing {
    rotations: Vec<Array2<f64>>,
    slope: f64,
}

impl Mixing {
    /// Of `d` variables; no layers leave them as they are.
    pub fn new(d: usize, layers: usize, slope: f64, rng: &mut StreamRng) -> Self {
        Self { rotations: (0..layers).map(|_| rotation(d, rng)).collect(), slope }
    }

    /// The image of a point, in place.
    pub fn apply(&self, x: &mut Array1<f64>) {
        for r in &self.rotations {
            *x = r.dot(x);
            x.mapv_inplace(|v| if v < 0.0 { self.slope * v } else { v });
        }
    }
}

/// A random orthogonal matrix: Gram-Schmidt of normal rows.
fn rotation(d: usize, rng: &mut StreamRng) -> Array2<f64> {
    let mut q = Array2::<f64>::zeros((d, d));
    for i in 0..d {
        loop {
            let mut row = Array1::from_shape_simple_fn(d, || StandardNormal.sample(rng));
            // Twice is enough for full precision.
            for _ in 0..2 {
                for k in 0..i {
                    let along = q.row(k).dot(&row);
                    row.scaled_add(-along, &q.row(k));
                }
            }
            let length = row.dot(&row).sqrt();
            if length > 1e-6 {
                q.row_mut(i).assign(&(row / length));
                break;
            }
        }
    }
    q
}

#[cfg(test)]
mod tests {
    use super::*;
    use numerics::streams::Streams;

    #[test]
    fn rotations_are_orthogonal_and_the_map_is_one_to_one() {
        let mut rng = Streams::new(1).rng("x");
        let q = rotation(6, &mut rng);
        let product = q.dot(&q.t());
        assert!(product.indexed_iter().all(|((i, j), v)| (v - f64::from(u8::from(i == j))).abs() < 1e-12));
        let m = Mixing::new(3, 7, 0.2, &mut rng);
        let mut x = ndarray::arr1(&[0.3, -1.2, 2.0]);
        let start = x.clone();
        m.apply(&mut x);
        for r in m.rotations.iter().rev() {
            x.mapv_inplace(|v| if v < 0.0 { v / 0.2 } else { v });
            x = r.t().dot(&x);
        }
        assert!((&x - &start).iter().all(|d| d.abs() < 1e-9));
    }
}
