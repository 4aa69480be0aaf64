//! Thompson sampling: each slot of the batch follows one draw from the posterior.
//!
//! Slot l takes the best candidate under draw l that no earlier slot has taken (Thompson 1933; for batches
//! Kandasamy et al. 2018). The rule that the pair papers call Thompson sampling takes the posterior mean:
//! that is `greedy` here. One joint draw of all candidates for each slot: O(batch x candidates) memory, cut
//! into several calls of the model above 2²⁷ numbers.

use framework::prelude::*;
use ndarray::s;

/// One joint posterior draw for each slot, whose best candidate is taken.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thompson {}

#[typetag::serde(name = "thompson")]
impl Acquisition for Thompson {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        const MOST: usize = 1 << 27;
        let ids = cx.candidates.to_vec();
        let size = ids.len() * cx.observed.n_outputs();
        let at_once = (MOST / size.max(1)).clamp(1, cx.batch().max(1));
        let mut rng = cx.rng("thompson");
        let mut taken = vec![false; ids.len()];
        let mut batch = Batch::default();
        while batch.ids.len() < cx.batch() {
            let n = at_once.min(cx.batch() - batch.ids.len());
            let draws = cx.surrogate()?.draw(&ids, n, &mut rng)?;
            if draws.dim() != (n, ids.len(), cx.observed.n_outputs()) {
                return Err(Error::Plugin(format!(
                    "the model returned draws of shape {:?} for {n} draws of {} candidates and {} outputs",
                    draws.dim(),
                    ids.len(),
                    cx.observed.n_outputs()
                )));
            }
            for l in 0..n {
                let mut best: Option<(usize, f64)> = None;
                for i in (0..ids.len()).filter(|&i| !taken[i]) {
                    let row = draws.slice(s![l, i, ..]);
                    let merit = match row.len() {
                        1 => cx.target.merit(&[row[0]]),
                        _ => cx.target.merit(&row.to_vec()),
                    };
                    if !merit.is_finite() {
                        return Err(Error::Numerical(format!("a posterior draw of candidate {} is {merit}", ids[i])));
                    }
                    if best.is_none_or(|(_, b)| merit > b) {
                        best = Some((i, merit));
                    }
                }
                let Some((i, merit)) = best else { return Ok(batch) };
                taken[i] = true;
                batch.ids.push(ids[i]);
                batch.scores.push(merit);
            }
        }
        Ok(batch)
    }

    fn needs(&self) -> Needs {
        Needs { model: true, draws: true, ..Needs::default() }
    }
}

framework::register!(Acquisition, Thompson, "thompson", "best candidate of one posterior draw a slot");
