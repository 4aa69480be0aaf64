//! ε-mix: a share of the batch at random, the rest by another rule.
//!
//! ⌊ε b⌉ perturbations (halves up) are drawn uniformly from what the rule has left, after it has chosen its b - ⌊ε b⌉
//! (ε-greedy, Sutton & Barto 2018, section 2.2, with a fixed number for each batch). With ε = 0 the batch is the
//! rule's, with ε = 1 it is `random`'s distribution. Cost: that of the rule.

use framework::prelude::*;

/// Mixes the batch of another rule with random candidates, which come last and have score 0.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EpsilonMix {
    /// The rule for the rest of the batch, as a table with `use`.
    pub of: Box<dyn Acquisition>,
    /// Share of the batch drawn at random, 0 to 1. Default 0.1.
    #[serde(default = "tenth")]
    pub epsilon: f64,
}

fn tenth() -> f64 {
    0.1
}

#[typetag::serde(name = "epsilon_mix")]
impl Acquisition for EpsilonMix {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        if !(0.0..=1.0).contains(&self.epsilon) {
            return Err(Error::Config(format!("epsilon_mix: epsilon = {} is not within 0 to 1", self.epsilon)));
        }
        let n_random = (self.epsilon * cx.batch() as f64).round() as usize;
        let mut batch = Batch::default();
        if n_random < cx.batch() {
            let inner = cx.part(cx.batch() - n_random, cx.candidates);
            batch = self.of.select(&inner)?;
            cx.absorb(inner.into_recorded());
        }
        let mut left = cx.candidates.clone();
        left.remove(&batch.ids);
        batch.ids.extend(left.sample(n_random, &mut cx.rng("epsilon_mix")));
        batch.scores.resize(batch.ids.len(), 0.0);
        cx.record("n_random", n_random as f64);
        Ok(batch)
    }

    fn needs(&self) -> Abilities {
        self.of.needs()
    }
}

framework::register!(
    Acquisition,
    EpsilonMix,
    "epsilon_mix",
    "another rule with a share of the batch at random",
    example = |_| framework::serde_json::json!({ "of": { "use": "top_uncertain" } })
);

#[cfg(test)]
mod tests {
    use super::*;
    use framework::serde_json::{self, json};
    use framework::testing::{MockSurrogate, TinyWorld};

    fn mix(epsilon: f64) -> EpsilonMix {
        serde_json::from_value(json!({ "of": { "use": "ucb", "beta": 2.0 }, "epsilon": epsilon })).unwrap()
    }

    #[test]
    fn shares_are_exact_and_the_rest_is_the_rules() {
        let world = TinyWorld::new(60, 2, 1, false, 1).unwrap();
        let observed = world.observe(&[0, 1], 1).unwrap();
        let candidates = Candidates::new(60, vec![0, 1]);
        let model = MockSurrogate { mean: (0..60).map(|i| i as f64).collect(), sd: vec![0.5; 60] };
        let run = |rule: &dyn Acquisition, batch: usize, seed: u64| {
            rule.select(&world.context(batch, &candidates, &observed, Some(&model), None, seed)).unwrap()
        };
        let inner: Box<dyn Acquisition> = serde_json::from_value(json!({ "use": "ucb", "beta": 2.0 })).unwrap();
        let plain = run(&*inner, 10, 1);
        assert_eq!(run(&mix(0.0), 10, 1), plain);
        let b = run(&mix(0.25), 10, 1);
        assert_eq!((&b.ids[..7], &b.scores[7..]), (&plain.ids[..7], &[0.0; 3][..]), "2.5 rounds to 3");
        // With ε = 1 each of the 58 candidates comes alike often.
        let mut seen = [0.0; 60];
        (0..5800).for_each(|seed| run(&mix(1.0), 5, seed).ids.iter().for_each(|&i| seen[i] += 1.0));
        let chi: f64 = seen[2..].iter().map(|s: &f64| (s - 500.0).powi(2) / 500.0).sum();
        // 57 degrees of freedom (and less spread without replacement): above 95.8 with probability 0.001.
        assert!(chi < 95.8, "chi-square {chi}");
        assert!(mix(0.1).needs() == Abilities::of([Ability::Model, Ability::Sd]));
        let e = mix(1.5).select(&world.context(2, &candidates, &observed, Some(&model), None, 1)).unwrap_err();
        assert!(e.to_string().contains("epsilon = 1.5 is not within 0 to 1"));
    }

    #[test]
    fn what_the_rule_records_is_kept() {
        let world = TinyWorld::new(20, 2, 1, false, 1).unwrap();
        let observed = world.observe(&[0, 1], 1).unwrap();
        let candidates = Candidates::new(20, vec![0, 1]);
        let model = MockSurrogate { mean: vec![0.0; 20], sd: vec![0.5; 20] };
        let rule: EpsilonMix = serde_json::from_value(json!({ "of": { "use": "ei" }, "epsilon": 0.5 })).unwrap();
        let cx = world.context(4, &candidates, &observed, Some(&model), None, 1);
        rule.select(&cx).unwrap();
        let names: Vec<String> = cx.into_recorded().into_iter().map(|r| r.0).collect();
        assert_eq!(names, ["best", "n_random"]);
    }
}
