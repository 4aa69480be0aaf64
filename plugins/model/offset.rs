//! A model of what another model leaves unexplained.
//!
//! y = b(S) + r(S): b is fitted to the measurements and r to what remains of them, y - b. Readouts that are mostly a sum of
//! single effects leave a Gaussian process, a forest or a network only the deviation to learn (for pairs: `base` additive
//! or linear_single). Mean: the sum of both. Draws, functions, covariances and sds are those of r: b counts as known, which
//! understates the sd where b has many parameters for few measurements. Cost: that of both.

use framework::prelude::*;

/// A base model, and another one on its residuals.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Offset {
    /// What is fitted first, as a table with `use`; its mean counts.
    pub base: Box<dyn Model>,
    /// What is fitted to the residuals, as a table with `use`.
    pub of: Box<dyn Model>,
}

#[typetag::serde(name = "offset")]
impl Model for Offset {
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>> {
        let streams = cx.streams.child("base");
        let base = self.base.fit(&FitContext { streams: &streams, ..*cx })?;
        let known = base.predict(&cx.observed.ids)?;
        known.check(cx.observed.len(), cx.observed.n_outputs())?;
        let mut rest = cx.observed.clone();
        rest.y -= &known.mean;
        let streams = cx.streams.child("of");
        let of = self.of.fit(&FitContext { observed: &rest, streams: &streams, ..*cx })?;
        Ok(Box::new(Fitted { base, of }))
    }

    fn provides(&self) -> Abilities {
        // The gradient of the base is not part of it.
        self.of.provides().without(Ability::Layers)
    }

    fn needs(&self) -> Abilities {
        self.base.needs() | self.of.needs()
    }
}

struct Fitted {
    base: Box<dyn Surrogate>,
    of: Box<dyn Surrogate>,
}

impl Fitted {
    fn raised(&self, ids: &[usize], mut f: Array3<f64>) -> Result<Array3<f64>> {
        let base = self.base.predict(ids)?;
        f.outer_iter_mut().for_each(|mut f| f += &base.mean);
        Ok(f)
    }
}

impl Surrogate for Fitted {
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        let of = self.of.predict(ids)?;
        Ok(Posterior { mean: of.mean + &self.base.predict(ids)?.mean, sd: of.sd })
    }

    fn draws(&self) -> Option<&dyn JointDraws> {
        self.of.draws().map(|_| self as _)
    }

    fn functions(&self) -> Option<&dyn Functions> {
        self.of.functions().map(|_| self as _)
    }

    fn covariance(&self) -> Option<&dyn PosteriorCovariance> {
        self.of.covariance()
    }

    fn variance_gradient(&self) -> Option<&dyn VarianceGradient> {
        self.of.variance_gradient()
    }

    fn representation(&self) -> Option<&dyn Representation> {
        self.of.representation()
    }

    fn noise_variance(&self) -> Option<Array1<f64>> {
        self.of.noise_variance()
    }

    fn record(&self) -> Vec<(String, f64)> {
        [self.base.record(), self.of.record()].concat()
    }

    fn notes(&self) -> Vec<String> {
        [self.base.notes(), self.of.notes()].concat()
    }
}

impl JointDraws for Fitted {
    fn draw(&self, ids: &[usize], n: usize, rng: &mut StreamRng) -> Result<Array3<f64>> {
        self.raised(ids, self.of.try_draws()?.draw(ids, n, rng)?)
    }
}

impl Functions for Fitted {
    fn evaluate(&self, ids: &[usize]) -> Result<Array3<f64>> {
        let of = self.of.functions().ok_or_else(|| Error::Plugin("model offset: no functions".into()))?;
        self.raised(ids, of.evaluate(ids)?)
    }
}

framework::register!(
    Model,
    Offset,
    "offset",
    "a model of what another model leaves unexplained",
    example = |_| framework::serde_json::json!({ "base": { "use": "mean" }, "of": { "use": "ridge" } })
);

#[cfg(test)]
mod tests {
    use super::*;
    use framework::serde_json::{self, json};
    use framework::testing::TinyWorld;

    #[test]
    fn the_second_model_gets_the_residuals_and_the_sum_is_predicted() {
        let world = TinyWorld::new(50, 3, 2, false, 4).unwrap();
        let observed = world.observe(&(0..30).collect::<Vec<_>>(), 1).unwrap();
        let fit = |form: serde_json::Value, observed: &Observed| {
            let model: Box<dyn Model> = serde_json::from_value(form).unwrap();
            model.fit(&FitContext { inputs: &world.inputs, observed, streams: &Streams::new(3) }).unwrap()
        };
        let ids = [2, 33, 48];
        let base = fit(json!({ "use": "ridge" }), &observed);
        let mut rest = observed.clone();
        rest.y -= &base.predict(&observed.ids).unwrap().mean;
        let of = fit(json!({ "use": "gp" }), &rest);
        let both = fit(json!({ "use": "offset", "base": { "use": "ridge" }, "of": { "use": "gp" } }), &observed);
        let (b, o, s) = (base.predict(&ids).unwrap(), of.predict(&ids).unwrap(), both.predict(&ids).unwrap());
        assert!((&s.mean - &(&b.mean + &o.mean)).iter().all(|d| d.abs() < 1e-10));
        assert_eq!(s.sd, o.sd);
        let (d, e) = (
            both.draws().unwrap().draw(&ids, 3, &mut Streams::new(1).rng("d")).unwrap(),
            of.draws().unwrap().draw(&ids, 3, &mut Streams::new(1).rng("d")).unwrap(),
        );
        assert!((0..3).all(|k| (d[(k, 1, 0)] - e[(k, 1, 0)] - b.mean[(1, 0)]).abs() < 1e-10));
    }

    #[test]
    fn a_mean_leaves_what_a_centred_model_would_see() {
        let world = TinyWorld::new(50, 3, 1, false, 4).unwrap();
        let observed = world.observe(&(0..30).collect::<Vec<_>>(), 1).unwrap();
        let fit = |form: serde_json::Value| {
            let model: Box<dyn Model> = serde_json::from_value(form).unwrap();
            let cx = FitContext { inputs: &world.inputs, observed: &observed, streams: &Streams::new(3) };
            model.fit(&cx).unwrap().predict(&[40, 41]).unwrap()
        };
        let plain = fit(json!({ "use": "ridge" }));
        let both = fit(json!({ "use": "offset", "base": { "use": "mean" }, "of": { "use": "ridge" } }));
        assert!((&plain.mean - &both.mean).iter().all(|d| d.abs() < 1e-9));
    }
}
