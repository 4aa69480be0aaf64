//! No change: every perturbation leaves the cells as they are. The floor of every table of expression models.
//!
//! ŷ = 0, since readouts are differences from control; sd of an output = root mean square of its readouts.
//! Nothing is fitted. O(n L).

use framework::prelude::*;

/// Predicts 0, the control state, for every perturbation.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoChange {}

#[typetag::serde(name = "no_change")]
impl Model for NoChange {
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>> {
        let n = (cx.observed.len() as f64).max(1.0);
        let sd = cx.observed.y.map_axis(Axis(0), |y| (y.dot(&y) / n).sqrt());
        Ok(Box::new(Fitted { sd, y: cx.observed.y.clone() }))
    }

    fn provides(&self) -> Abilities {
        Abilities::of([Ability::Sd])
    }
}

struct Fitted {
    sd: Array1<f64>,
    y: Array2<f64>,
}

impl Surrogate for Fitted {
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        let shape = (ids.len(), self.sd.len());
        let sd = Array2::from_shape_fn(shape, |(_, o)| self.sd[o]);
        Ok(Posterior { mean: Array2::zeros(shape), sd: Some(sd) })
    }

    /// What is left when a row is left out of a model that learns nothing: the row.
    fn loo_residuals(&self) -> Option<Array2<f64>> {
        Some(self.y.clone())
    }
}

framework::register!(Model, NoChange, "no_change", "the control state, for every perturbation");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::TinyWorld;

    #[test]
    fn nothing_changes() {
        let world = TinyWorld::new(9, 2, 2, false, 3).unwrap();
        let observed = world.observe(&[0, 2, 5, 7], 1).unwrap();
        let cx = FitContext { inputs: &world.inputs, observed: &observed, streams: &Streams::new(1) };
        let s = NoChange {}.fit(&cx).unwrap();
        let p = s.predict(&[1, 8, 3]).unwrap();
        assert_eq!(p.mean, Array2::<f64>::zeros((3, 2)));
        let square: f64 = observed.y.column(1).iter().map(|v| v * v).sum();
        assert!((p.sd.unwrap()[(2, 1)] - (square / 4.0).sqrt()).abs() < 1e-14);
        assert_eq!(s.loo_residuals().unwrap(), observed.y);
    }
}
