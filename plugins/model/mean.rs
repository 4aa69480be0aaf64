//! The mean of the measured readouts, whatever the perturbation: the baseline every table needs.
//!
//! ŷ = ȳ, sd = s, the sample standard deviation (n - 1). Needs no features. O(n L).

use framework::prelude::*;
use rand_distr::{Distribution, StandardNormal};

/// Predicts the mean of the measurements for every perturbation. The sd is that of the measured outputs: how
/// far a perturbation lies from the mean, measurement noise included (0 below two rows).
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mean {}

#[typetag::serde(name = "mean")]
impl Model for Mean {
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>> {
        let n = cx.observed.len();
        let mean = cx.observed.mean();
        let sd = match n {
            0 | 1 => Array1::zeros(mean.len()),
            _ => cx.observed.y.std_axis(Axis(0), 1.0),
        };
        let residuals = (n > 1).then(|| (&cx.observed.y - &mean) * (n as f64 / (n as f64 - 1.0)));
        Ok(Box::new(Fitted { mean, sd, residuals }))
    }

    fn provides(&self) -> Abilities {
        Abilities::of([Ability::Sd, Ability::Draws])
    }
}

struct Fitted {
    mean: Array1<f64>,
    sd: Array1<f64>,
    residuals: Option<Array2<f64>>,
}

impl Surrogate for Fitted {
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        let rows = |v: &Array1<f64>| Array2::from_shape_fn((ids.len(), v.len()), |(_, o)| v[o]);
        Ok(Posterior { mean: rows(&self.mean), sd: Some(rows(&self.sd)) })
    }

    fn draws(&self) -> Option<&dyn JointDraws> {
        Some(self)
    }

    fn loo_residuals(&self) -> Option<Array2<f64>> {
        self.residuals.clone()
    }
}

impl JointDraws for Fitted {
    /// A draw is a constant function: one normal number a draw and output, with the mean and sd of
    /// `predict`.
    fn draw(&self, ids: &[usize], n: usize, rng: &mut StreamRng) -> Result<Array3<f64>> {
        let mut out = Array3::zeros((n, ids.len(), self.mean.len()));
        for mut draw in out.outer_iter_mut() {
            for (o, mut column) in draw.columns_mut().into_iter().enumerate() {
                let z: f64 = StandardNormal.sample(rng);
                column.fill(self.mean[o] + self.sd[o] * z);
            }
        }
        Ok(out)
    }
}

framework::register!(Model, Mean, "mean", "the mean of the measurements, for every perturbation");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::TinyWorld;

    #[test]
    fn mean_sd_residuals_and_draws() {
        let world = TinyWorld::new(9, 2, 2, false, 3).unwrap();
        let observed = world.observe(&[0, 2, 5, 7], 1).unwrap();
        let cx = FitContext { inputs: &world.inputs, observed: &observed, streams: &Streams::new(1) };
        let s = Mean {}.fit(&cx).unwrap();
        let p = s.predict(&[1, 8]).unwrap();
        let y: Vec<f64> = observed.y.column(1).to_vec();
        assert!((p.mean[(1, 1)] - y.iter().sum::<f64>() / 4.0).abs() < 1e-14);
        assert!((p.sd.as_ref().unwrap()[(0, 1)] - framework::numerics::stats::sd(&y)).abs() < 1e-14);
        // Leaving out row 2.
        let want = y[2] - (y[0] + y[1] + y[3]) / 3.0;
        assert!((s.loo_residuals().unwrap()[(2, 1)] - want).abs() < 1e-14);
        let d = s.draws().unwrap().draw(&[3, 4], 4000, &mut Streams::new(2).rng("draw")).unwrap();
        assert!(d.outer_iter().all(|f| f.row(0) == f.row(1)), "a draw is a constant function");
        let first: Vec<f64> = (0..4000).map(|l| d[(l, 0, 0)]).collect();
        let sd = p.sd.unwrap()[(0, 0)];
        assert!((framework::numerics::stats::mean(&first) - p.mean[(0, 0)]).abs() < 4.0 * sd / 4000f64.sqrt());
        assert!((framework::numerics::stats::sd(&first) / sd - 1.0).abs() < 0.05);
    }

    #[test]
    fn one_row_has_no_spread() {
        let world = TinyWorld::new(9, 2, 1, false, 3).unwrap();
        let observed = world.observe(&[4], 1).unwrap();
        let cx = FitContext { inputs: &world.inputs, observed: &observed, streams: &Streams::new(1) };
        let p = Mean {}.fit(&cx).unwrap().predict(&[0]).unwrap();
        assert_eq!((p.mean[(0, 0)], p.sd.unwrap()[(0, 0)]), (observed.y[(0, 0)], 0.0));
    }
}
