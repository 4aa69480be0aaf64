//! An ensemble of any model: fits that differ in their random start, or in the rows they see, and their spread.
//!
//! Member m is fitted on streams of its own. Mean and sd (÷ members, or ÷ members - 1 with `ddof = 1`) over members are the
//! posterior, a draw is a member. `resample = "bootstrap"` gives each member as many rows, drawn with replacement (Breiman
//! 1996): the only difference between members of a model without randomness. Cost: that of the members, in parallel.

use framework::prelude::*;
use rayon::prelude::*;

/// Several fits of one model: their mean, and their spread as sd. What the members' own sds say is not added.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnsembleOf {
    /// The model, as a table with `use`.
    pub of: Box<dyn Model>,
    /// Fits; default 5.
    #[serde(default = "five")]
    pub members: usize,
    /// Rows of a member: "none" (default), all of them; "bootstrap", as many drawn with replacement.
    #[serde(default)]
    pub resample: Resample,
    /// What is taken from the number of members where squares are averaged: 0 (default) or 1.
    #[serde(default)]
    pub ddof: usize,
}

/// Rows of a member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resample {
    /// All.
    #[default]
    None,
    /// Drawn with replacement.
    Bootstrap,
}

fn five() -> usize {
    5
}

#[typetag::serde(name = "ensemble")]
impl Model for EnsembleOf {
    fn fit(&self, cx: &FitContext) -> Result<Box<dyn Surrogate>> {
        if self.members < 2 || self.ddof > 1 {
            return Err(Error::Config(
                "model ensemble: `members` must be at least 2 and `ddof` 0 or 1; one fit is the model itself".into(),
            ));
        }
        let members = (0..self.members)
            .into_par_iter()
            .map(|m| {
                let streams = cx.streams.child("member").index(m);
                let drawn = match self.resample {
                    Resample::None => None,
                    Resample::Bootstrap => Some(resampled(cx.observed, &mut streams.rng("rows"))),
                };
                let observed = drawn.as_ref().unwrap_or(cx.observed);
                self.of.fit(&FitContext { inputs: cx.inputs, observed, streams: &streams })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Box::new(Fitted { members, ddof: self.ddof }))
    }

    fn provides(&self) -> Abilities {
        let kept = Abilities::of([Ability::Embedding, Ability::Layers]);
        Abilities::of([Ability::Sd, Ability::Draws]) | self.of.provides().common(kept)
    }

    fn needs(&self) -> Abilities {
        self.of.needs()
    }
}

/// As many rows, drawn with replacement, in ascending order.
fn resampled(of: &Observed, rng: &mut StreamRng) -> Observed {
    let mut rows: Vec<usize> = (0..of.len()).map(|_| rng.random_range(0..of.len())).collect();
    rows.sort_unstable();
    Observed {
        ids: rows.iter().map(|r| of.ids[*r]).collect(),
        y: of.y.select(Axis(0), &rows),
        sd: of.sd.as_ref().map(|s| s.select(Axis(0), &rows)),
        round: rows.iter().map(|r| of.round[*r]).collect(),
        lane: rows.iter().map(|r| of.lane[*r]).collect(),
        cells: of.cells.as_ref().map(|c| rows.iter().map(|r| c[*r].clone()).collect()),
    }
}

struct Fitted {
    members: Vec<Box<dyn Surrogate>>,
    ddof: usize,
}

impl Fitted {
    fn values(&self, ids: &[usize], members: &[usize]) -> Result<Array3<f64>> {
        let means = members.iter().map(|m| self.members[*m].predict(ids)).collect::<Result<Vec<_>>>()?;
        let n_outputs = means.first().map_or(0, |p| p.mean.ncols());
        Ok(Array3::from_shape_fn((members.len(), ids.len(), n_outputs), |(m, i, o)| means[m].mean[(i, o)]))
    }
}

impl Surrogate for Fitted {
    fn predict(&self, ids: &[usize]) -> Result<Posterior> {
        let n = self.members.len();
        let f = self.values(ids, &(0..n).collect::<Vec<_>>())?;
        // Distances from the first member, so that members that agree have no spread.
        let first = f.index_axis(Axis(0), 0).to_owned();
        let away = f - &first;
        let centre = away.sum_axis(Axis(0)) / n as f64;
        let squares = (away - &centre).mapv(|v| v * v).sum_axis(Axis(0));
        let sd = squares.mapv(|s| (s / (n - self.ddof) as f64).sqrt());
        Ok(Posterior { mean: first + centre, sd: Some(sd) })
    }

    fn draws(&self) -> Option<&dyn JointDraws> {
        Some(self)
    }

    fn functions(&self) -> Option<&dyn Functions> {
        Some(self)
    }

    fn representation(&self) -> Option<&dyn Representation> {
        self.members[0].representation().map(|_| self as _)
    }

    fn layers(&self) -> Option<&dyn LayerGradients> {
        self.members[0].layers().map(|_| self as _)
    }

    fn noise_variance(&self) -> Option<Array1<f64>> {
        let all: Vec<Array1<f64>> = self.members.iter().map(|m| m.noise_variance()).collect::<Option<_>>()?;
        let n = all.len() as f64;
        all.into_iter().reduce(|a, b| a + b).map(|v| v / n)
    }

    fn n_members(&self) -> usize {
        self.members.len()
    }

    /// The first member's; means over members would hide that there are several.
    fn record(&self) -> Vec<(String, f64)> {
        self.members[0].record()
    }

    fn notes(&self) -> Vec<String> {
        self.members[0].notes()
    }
}

impl JointDraws for Fitted {
    fn draw(&self, ids: &[usize], n: usize, rng: &mut StreamRng) -> Result<Array3<f64>> {
        let drawn: Vec<usize> = (0..n).map(|_| rng.random_range(0..self.members.len())).collect();
        let mut used = drawn.clone();
        used.sort_unstable();
        used.dedup();
        let f = self.values(ids, &used)?;
        let rows: Vec<usize> = drawn.iter().map(|m| used.partition_point(|u| u < m)).collect();
        Ok(f.select(Axis(0), &rows))
    }
}

impl Functions for Fitted {
    /// With `ddof = 1` their spread is not quite the sd that `predict` gives.
    fn evaluate(&self, ids: &[usize]) -> Result<Array3<f64>> {
        self.values(ids, &(0..self.members.len()).collect::<Vec<_>>())
    }
}

impl Representation for Fitted {
    /// The members' side by side.
    fn embed(&self, ids: &[usize]) -> Result<Array2<f64>> {
        let parts = self.members.iter().map(|m| m.try_representation()?.embed(ids)).collect::<Result<Vec<_>>>()?;
        let views: Vec<ArrayView2<f64>> = parts.iter().map(|p| p.view()).collect();
        framework::ndarray::concatenate(Axis(1), &views).map_err(|e| Error::Plugin(format!("model ensemble: {e}")))
    }
}

impl LayerGradients for Fitted {
    fn factors(&self, ids: &[usize], member: usize, directions: ArrayView2<f64>) -> Result<Vec<LayerFactors>> {
        self.members[member].try_layers()?.factors(ids, 0, directions)
    }
}

framework::register!(
    Model,
    EnsembleOf,
    "ensemble",
    "several fits of any model, their mean and spread",
    example = |_| framework::serde_json::json!({ "of": { "use": "ridge" }, "members": 3, "resample": "bootstrap" })
);

#[cfg(test)]
mod tests {
    use super::*;
    use framework::serde_json::{self, json};
    use framework::testing::TinyWorld;

    fn fit(settings: serde_json::Value, world: &TinyWorld) -> Result<Box<dyn Surrogate>> {
        let model: EnsembleOf = serde_json::from_value(settings).unwrap();
        let observed = world.observe(&(0..30).collect::<Vec<_>>(), 1)?;
        model.fit(&FitContext { inputs: &world.inputs, observed: &observed, streams: &Streams::new(3) })
    }

    #[test]
    fn moments_and_draws_are_those_of_the_members() {
        let world = TinyWorld::new(50, 3, 2, false, 4).unwrap();
        let of = json!({ "use": "mlp", "widths": [16], "epochs": 20 });
        let ids = [3, 44, 31];
        for ddof in [0, 1] {
            let s = fit(json!({ "of": of, "members": 4, "ddof": ddof }), &world).unwrap();
            let (p, f) = (s.predict(&ids).unwrap(), s.functions().unwrap().evaluate(&ids).unwrap());
            assert_eq!(f.dim(), (4, 3, 2));
            let (mean, sd) = (f.mean_axis(Axis(0)).unwrap(), f.std_axis(Axis(0), ddof as f64));
            assert!((&mean - &p.mean).iter().all(|v| v.abs() < 1e-12));
            assert!((&sd - p.sd.as_ref().unwrap()).iter().all(|v| v.abs() < 1e-12) && sd.iter().all(|v| *v > 0.0));
            let d = s.draws().unwrap().draw(&ids, 40, &mut Streams::new(1).rng("draw")).unwrap();
            let member = |d: ArrayView2<f64>| f.outer_iter().position(|f| f == d).unwrap();
            let mut seen: Vec<usize> = d.outer_iter().map(member).collect();
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen, [0, 1, 2, 3]);
        }
        assert_eq!(
            fit(json!({ "of": of, "members": 3 }), &world)
                .unwrap()
                .representation()
                .unwrap()
                .embed(&ids)
                .unwrap()
                .dim(),
            (3, 48)
        );
    }

    #[test]
    fn a_model_without_randomness_needs_other_rows() {
        let world = TinyWorld::new(50, 3, 1, false, 4).unwrap();
        let of = json!({ "use": "ridge" });
        let same = fit(json!({ "of": of }), &world).unwrap().predict(&[40, 45]).unwrap();
        assert!(same.sd.unwrap().iter().all(|s| *s == 0.0));
        let apart = fit(json!({ "of": of, "resample": "bootstrap" }), &world).unwrap().predict(&[40, 45]).unwrap();
        assert!(apart.sd.unwrap().iter().all(|s| *s > 0.0));
    }

    #[test]
    fn one_member_is_refused() {
        let world = TinyWorld::new(50, 3, 1, false, 4).unwrap();
        let e = fit(json!({ "of": { "use": "ridge" }, "members": 1 }), &world).err().unwrap().to_string();
        assert!(e.contains("`members` must be at least 2"), "{e}");
    }
}
