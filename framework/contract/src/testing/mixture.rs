//! A screen of one pair with a known answer, for level and power of interaction tests.

use crate::domain::{Class, PairClass, Samples};
use ndarray::Array2;
use numerics::streams::StreamRng;
use rand::RngExt;
use rand_distr::{Cauchy, Distribution, StandardNormal};

/// Samples from a mixture of three equal components in three dimensions. The first perturbation shifts the first
/// component, the second the second, both together both: densities add up, so that the additive null holds.
#[derive(Clone, Copy, Debug)]
pub struct Mixture {
    /// Samples of control, first, second, both.
    pub n: [usize; 4],
    /// Cauchy instead of normal values around the centres.
    pub heavy: bool,
    /// Cells of a well, all of which are shifted by a standard normal vector of the well; 0: no wells.
    pub cells: usize,
    /// How far both together shift the third component, which breaks the null.
    pub planted: f64,
}

impl Mixture {
    /// With normal values, no wells and no interaction.
    pub fn of(n: [usize; 4]) -> Self {
        Self { n, heavy: false, cells: 0, planted: 0.0 }
    }

    /// Fresh samples of all four classes.
    pub fn draw(&self, rng: &mut StreamRng) -> Samples {
        let mut class = |c: usize| {
            let n = self.n[c];
            let mut shift = [0.0f64; 3];
            let mut out = Array2::<f32>::zeros((n, 3));
            for i in 0..n {
                if self.cells > 0 && i % self.cells == 0 {
                    shift = std::array::from_fn(|_| StandardNormal.sample(rng));
                }
                let component = rng.random_range(0..3);
                let move_by = match component {
                    0 if c == 1 || c == 3 => 3.0,
                    1 if c == 2 || c == 3 => -4.0,
                    2 if c == 3 => self.planted,
                    _ => 0.0,
                };
                for (j, s) in shift.iter().enumerate() {
                    let noise: f64 = match (self.heavy, Cauchy::new(0.0, 1.0)) {
                        (true, Ok(tails)) => tails.sample(rng),
                        _ => StandardNormal.sample(rng),
                    };
                    out[[i, j]] = (2.0 * component as f64 + move_by + s + noise) as f32;
                }
            }
            let class = Class::held(out);
            match self.cells {
                0 => class,
                cells => class.with_units((0..n).map(|i| (i / cells) as u32).collect()),
            }
        };
        let (control, first, second, both) = (class(0), class(1), class(2), class(3));
        Samples {
            genes: vec!["A".into(), "B".into()],
            control,
            singles: vec![first, second],
            pairs: vec![PairClass { first: 0, second: 1, both }],
            image: None,
        }
    }
}
