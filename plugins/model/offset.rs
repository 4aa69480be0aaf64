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

    fn provides(&self) -> Provides {
        // The gradient of the base is not part of it.
        Provides { layers: false, ..self.of.provides() }
    }

    fn requires(&self) -> Requires {
        let (b, o) = (self.base.requires(), self.of.requires());
        Requires {
            features: b.features || o.features,
            single_effects: b.single_effects || o.single_effects,
            pairs: b.pairs || o.pairs,
            scalar: b.scalar || o.scalar,
        }
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

    fn draw(&self, ids: &[usize], n: usize, rng: &mut StreamRng) -> Result<Array3<f64>> {
        self.raised(ids, self.of.draw(ids, n, rng)?)
    }

    fn functions(&self, ids: &[usize]) -> Result<Option<Array3<f64>>> {
        self.of.functions(ids)?.map(|f| self.raised(ids, f)).transpose()
    }

    fn covariance(&self, a: &[usize], b: &[usize], output: usize) -> Result<Array2<f64>> {
        self.of.covariance(a, b, output)
    }

    fn covariance_scales(&self) -> Option<Array1<f64>> {
        self.of.covariance_scales()
    }

    fn noise_variance(&self) -> Option<Array1<f64>> {
        self.of.noise_variance()
    }

    fn variance_gradient(&self, x: ArrayView2<f64>) -> Result<(Array1<f64>, Array2<f64>)> {
        self.of.variance_gradient(x)
    }

    fn embed(&self, ids: &[usize]) -> Result<Array2<f64>> {
        self.of.embed(ids)
    }

    fn record(&self) -> Vec<(String, f64)> {
        [self.base.record(), self.of.record()].concat()
    }

    fn notes(&self) -> Vec<String> {
        [self.base.notes(), self.of.notes()].concat()
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
            both.draw(&ids, 3, &mut Streams::new(1).rng("d")).unwrap(),
            of.draw(&ids, 3, &mut Streams::new(1).rng("d")).unwrap(),
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
