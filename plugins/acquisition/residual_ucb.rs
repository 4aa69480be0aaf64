//! Largest deviation from a simple model, optimistically (NAIAD, section 3.4).
//!
//! score(x) = |ȳ(x) - L(x)| + κ u(x): ȳ the model's prediction, L another model fitted to the same measurements, the linear
//! one on single effects unless told otherwise, and u the predicted variance (the paper) or sd (the released program, there
//! ÷ N - 1: `ddof = 1` of `ensemble`). κ = 0 is the paper's residual rule. A profile counts by the norms of the deviation
//! and of the sds. Cost: one prediction of the pool by each model, and one fit of L.

use framework::prelude::*;
use framework::serde_json::{self, json};

/// Takes the candidates whose prediction differs most from that of a simple model, plus a multiple of the spread.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResidualUcb {
    /// Weight κ of the spread; default 1.
    #[serde(default = "one")]
    pub kappa: f64,
    /// The spread u: "var" (default) or "sd".
    #[serde(default)]
    pub spread: Spread,
    /// The simple model L, as a table with `use`; default `linear_single`.
    #[serde(default)]
    pub from: Option<Box<dyn Model>>,
}

/// How uncertainty enters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// As variance.
    #[default]
    Var,
    /// As standard deviation.
    Sd,
}

fn one() -> f64 {
    1.0
}

impl Default for ResidualUcb {
    fn default() -> Self {
        Self { kappa: one(), spread: Spread::Var, from: None }
    }
}

#[typetag::serde(name = "residual_ucb")]
impl Acquisition for ResidualUcb {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        if !(self.kappa >= 0.0 && self.kappa.is_finite()) {
            return Err(Error::Config(format!("residual_ucb: kappa = {} must be a number not below 0", self.kappa)));
        }
        let streams = cx.stream("residual_ucb");
        let linear;
        let from = match &self.from {
            Some(m) => m,
            None => {
                linear = serde_json::from_value::<Box<dyn Model>>(json!({ "use": "linear_single" }))
                    .map_err(|e| Error::Config(format!("residual_ucb: the linear model cannot be built: {e}")))?;
                &linear
            }
        };
        let simple = from.fit(&FitContext { inputs: cx.inputs, observed: cx.observed, streams: &streams })?;
        cx.top_by(|ids, p| {
            let l = simple.predict(ids)?;
            l.check(ids.len(), p.mean.ncols())?;
            let away = &p.mean - &l.mean;
            let norm = |r: ArrayView1<f64>| r.dot(&r).sqrt();
            let residual = away.outer_iter().map(norm);
            if self.kappa == 0.0 {
                return Ok(residual.collect());
            }
            let sd = p.sd.as_ref().ok_or_else(|| {
                Error::Unsupported(
                    "residual_ucb needs predicted standard deviations and the model gives none; put it into an `ensemble`, or \
                     set kappa = 0"
                        .into(),
                )
            })?;
            let spread = sd.outer_iter().map(|s| if self.spread == Spread::Var { norm(s).powi(2) } else { norm(s) });
            Ok(residual.zip(spread).map(|(r, u)| r + self.kappa * u).collect())
        })
    }

    fn needs(&self) -> Abilities {
        let of_simple = self.from.as_ref().map_or(Abilities::of([Ability::SingleEffects]), |m| m.needs());
        of_simple.with(Ability::Model).with_if(Ability::Sd, self.kappa > 0.0)
    }
}

framework::register!(
    Acquisition,
    ResidualUcb,
    "residual_ucb",
    "largest deviation from a simple model plus kappa times the spread",
    example = |_| json!({ "from": { "use": "mean" } })
);

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::MockSurrogate;
    use std::sync::Arc;

    /// Pairs of four genes with effects 0, 1, 2, 4 alone; the first three measured as half their sums.
    fn scores(rule: &ResidualUcb, mean: Vec<f64>, sd: Vec<f64>) -> Vec<(usize, f64)> {
        let genes = Arc::new(Genes::new(["a", "b", "c", "d"]).unwrap());
        let effects = framework::ndarray::array![[0.0], [1.0], [2.0], [4.0]];
        let inputs = Inputs::new(Arc::new(Pool::all_pairs(genes)), vec![], Compose::Sum).unwrap();
        let inputs = Arc::new(inputs.with_single_effects(Some(effects)));
        let mut observed = Observed::empty(1);
        let y = framework::ndarray::array![[0.5], [1.0], [2.0]];
        observed.push(&Readouts::plain(&[0, 1, 2], y), 0).unwrap();
        let candidates = Candidates::new(6, vec![0, 1, 2]);
        let model = MockSurrogate { mean, sd };
        let round = Round { index: 1, of: 1, batch: 3 };
        let cx = RunContext::new(round, &inputs, &candidates, &observed, Streams::new(1)).with_surrogate(Some(&model));
        let batch = rule.select(&cx).unwrap();
        batch.ids.into_iter().zip(batch.scores).collect()
    }

    #[test]
    fn scores_are_those_of_the_definition() {
        // The line through (1, 0.5), (2, 1), (4, 2) says 1.5, 2.5 and 3 of the sums 3, 5 and 6.
        let (mean, sd) = (vec![0.0, 0.0, 0.0, 1.0, 2.7, 4.0], vec![0.0, 0.0, 0.0, 2.0, 0.5, 1.0]);
        let of = |kappa, spread| scores(&ResidualUcb { kappa, spread, from: None }, mean.clone(), sd.clone());
        let near = |got: Vec<(usize, f64)>, want: [(usize, f64); 3]| {
            assert!(got.iter().zip(&want).all(|(g, w)| g.0 == w.0 && (g.1 - w.1).abs() < 1e-9), "{got:?} {want:?}");
        };
        near(of(0.0, Spread::Var), [(5, 1.0), (3, 0.5), (4, 0.2)]);
        near(of(1.0, Spread::Var), [(3, 4.5), (5, 2.0), (4, 0.45)]);
        near(of(2.0, Spread::Sd), [(3, 4.5), (5, 3.0), (4, 1.2)]);
        let mean_of = serde_json::from_value(json!({ "kappa": 0.0, "from": { "use": "mean" } })).unwrap();
        let (centre, got) = (3.5 / 3.0, scores(&mean_of, mean.clone(), sd.clone()));
        near(got, [(5, 4.0 - centre), (4, 2.7 - centre), (3, centre - 1.0)]);
    }
}
