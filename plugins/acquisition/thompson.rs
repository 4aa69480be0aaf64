//! Thompson sampling: slot l of the batch goes to the best candidate, not yet chosen, of the l-th draw
//! of the posterior function. Cost: `batch` joint draws over the candidates, held as batch x candidates
//! numbers.

use framework::prelude::*;

/// One posterior draw a slot, its best unselected candidate.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thompson {}

#[typetag::serde(name = "thompson")]
impl Acquisition for Thompson {
    fn needs(&self) -> Needs {
        Needs { model: true, draws: true, ..Needs::default() }
    }

    fn select(&self, cx: &RunContext) -> Result<Batch> {
        let ids = cx.candidates.to_vec();
        let draws = cx.surrogate()?.draw(&ids, cx.batch(), &mut cx.rng("thompson"))?;
        if draws.dim().0 != cx.batch() || draws.dim().1 != ids.len() {
            return Err(Error::Plugin("the model returned draws of the wrong shape".into()));
        }
        let mut taken = vec![false; ids.len()];
        let mut batch = Batch::default();
        for draw in draws.outer_iter() {
            let mut best: Option<(usize, f64)> = None;
            for (i, value) in draw.outer_iter().enumerate() {
                let merit = match value.as_slice() {
                    Some(v) => cx.target.merit(v),
                    None => cx.target.merit(&value.to_vec()),
                };
                if !merit.is_finite() {
                    return Err(Error::Numerical(format!("a posterior draw of candidate {} is {merit}", ids[i])));
                }
                if !taken[i] && best.is_none_or(|(_, b)| merit > b) {
                    best = Some((i, merit));
                }
            }
            if let Some((i, merit)) = best {
                taken[i] = true;
                batch.ids.push(ids[i]);
                batch.scores.push(merit);
            }
        }
        Ok(batch)
    }
}

framework::register!(Acquisition, Thompson, "thompson", "one posterior draw a slot, its best candidate");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::{MockSurrogate, TinyWorld};

    #[test]
    fn chooses_in_proportion_to_the_probability_of_being_best() {
        let world = TinyWorld::new(3, 2, 1, false, 1).unwrap();
        let s = MockSurrogate { mean: vec![0.0, 0.5, -50.0], sd: vec![1.0, 1.0, 1.0] };
        let (observed, candidates) = (Observed::empty(1), Candidates::new(3, vec![]));
        let mut wins = [0; 3];
        for seed in 0..2000 {
            let mut cx = world.context(1, &candidates, &observed, Some(&s), None, seed);
            cx.target.direction = Direction::Max;
            wins[Thompson {}.select(&cx).unwrap().ids[0]] += 1;
        }
        // P(second beats first) = Φ(0.5 / √2) = 0.6382; the standard error of the share is 0.011.
        assert!((wins[1] as f64 / 2000.0 - 0.6382).abs() < 0.04, "{wins:?}");
        assert_eq!(wins[2], 0);
    }
}
