//! Thompson sampling: each slot of the batch follows one draw from the posterior.
//!
//! Slot l takes the best candidate under draw l that no earlier slot has taken (Thompson 1933; for batches
//! Kandasamy et al. 2018). The rule that the pair papers call Thompson sampling takes the posterior mean:
//! that is `greedy` here. One joint draw of all candidates for each slot. Where the model can evaluate draws piece by
//! piece (`low_rank_matrix`), memory does not grow with the pool; elsewhere O(batch x candidates), cut into several calls
//! of the model above 2²⁷ numbers.

use framework::plugin::DrawnMerits;
use framework::prelude::*;
use ndarray::s;
use rayon::prelude::*;

/// One joint posterior draw for each slot, whose best candidate is taken.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Thompson {}

#[typetag::serde(name = "thompson")]
impl Acquisition for Thompson {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        const MOST: usize = 1 << 27;
        if let Some(draws) = cx.streamed_draws(cx.batch(), &mut cx.rng("thompson"))? {
            return streamed(&draws, cx.batch());
        }
        let ids = cx.candidates.to_vec();
        let size = ids.len() * cx.observed.n_outputs();
        let at_once = (MOST / size.max(1)).clamp(1, cx.batch().max(1));
        let mut rng = cx.rng("thompson");
        let mut taken = vec![false; ids.len()];
        let mut batch = Batch::default();
        while batch.ids.len() < cx.batch() {
            let n = at_once.min(cx.batch() - batch.ids.len());
            let draws = cx.surrogate()?.try_draws()?.draw(&ids, n, &mut rng)?;
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

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Model, Ability::Draws])
    }
}

/// The batch from draws that are read in pieces: before slot l at most l candidates are taken, so the l + 1 best of its
/// draw are enough.
fn streamed(draws: &DrawnMerits, batch: usize) -> Result<Batch> {
    let none = || -> Vec<Top> { (0..batch).map(|l| Top::new(l + 1)).collect() };
    let tops = (0..draws.pieces())
        .into_par_iter()
        .map(|piece| -> Result<Vec<Top>> {
            let mut tops = none();
            draws.piece(piece, |ids, x| {
                tops.iter_mut().zip(x.chunks_exact(ids.len())).try_for_each(|(t, x)| t.extend(ids, x))
            })?;
            Ok(tops)
        })
        .try_reduce(none, |mut a, b| {
            for (a, b) in a.iter_mut().zip(b) {
                let b = b.into_batch();
                a.extend(&b.ids, &b.scores)?;
            }
            Ok(a)
        })?;
    let mut chosen = Batch::default();
    for top in tops {
        let best = top.into_batch();
        if let Some(at) = best.ids.iter().position(|id| !chosen.ids.contains(id)) {
            chosen.ids.push(best.ids[at]);
            chosen.scores.push(best.scores[at]);
        }
    }
    Ok(chosen)
}

framework::register!(Acquisition, Thompson, "thompson", "best candidate of one posterior draw a slot");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::plugin::Drawn;
    use framework::testing::choose;
    use std::sync::Arc;

    /// A model that believes what it is told: mean and sd of each id; draw l is mean + l sd.
    struct Told(Vec<(f64, f64)>);
    impl Surrogate for Told {
        fn predict(&self, ids: &[usize]) -> Result<Posterior> {
            let column = |f: &dyn Fn(usize) -> f64| Array2::from_shape_fn((ids.len(), 1), |(i, _)| f(ids[i]));
            Ok(Posterior { mean: column(&|i| self.0[i].0), sd: Some(column(&|i| self.0[i].1)) })
        }

        fn draws(&self) -> Option<&dyn JointDraws> {
            Some(self)
        }
    }

    impl JointDraws for Told {
        fn draw(&self, ids: &[usize], n: usize, _: &mut StreamRng) -> Result<Array3<f64>> {
            Ok(Array3::from_shape_fn((n, ids.len(), 1), |(l, i, _)| self.0[ids[i]].0 + l as f64 * self.0[ids[i]].1))
        }
    }

    fn select(
        rule: &dyn Acquisition,
        posterior: &[(f64, f64)],
        direction: Direction,
        measured: &[f64],
    ) -> Result<Batch> {
        choose(rule, &Told(posterior.to_vec()), posterior.len(), direction, measured)
    }

    #[test]
    fn each_slot_takes_the_best_left_of_its_draw() {
        // Draws 0, 1, 2 are mean + 0, 1, 2 sd.
        let posterior = [(9.0, 9.0), (1.0, 0.0), (0.9, 0.5), (0.8, 0.55), (-5.0, 0.0)];
        let b = select(&Thompson {}, &posterior, Direction::Max, &[0.0]).unwrap();
        assert_eq!(b.ids, [1, 2, 3]);
        assert!((b.scores[1] - 1.4).abs() < 1e-12 && (b.scores[2] - 1.9).abs() < 1e-12);
        assert_eq!(select(&Thompson {}, &posterior, Direction::Min, &[0.0]).unwrap().ids[0], 4);
    }

    /// The same draws, evaluated piece by piece.
    struct Pieces(Told);
    impl Surrogate for Pieces {
        fn predict(&self, ids: &[usize]) -> Result<Posterior> {
            self.0.predict(ids)
        }

        fn draws(&self) -> Option<&dyn JointDraws> {
            Some(self)
        }
    }

    impl JointDraws for Pieces {
        fn draw(&self, _: &[usize], _: usize, _: &mut StreamRng) -> Result<Array3<f64>> {
            Err(Error::Plugin("all at once".into()))
        }

        fn drawn(&self, n: usize, _: &mut StreamRng) -> Result<Option<Box<dyn Drawn + '_>>> {
            Ok(Some(Box::new(Piecewise(&self.0, n))))
        }
    }
    struct Piecewise<'a>(&'a Told, usize);
    impl Drawn for Piecewise<'_> {
        fn at(&self, ids: &[usize], out: &mut Vec<f64>) -> Result<()> {
            let x = self.0.draw(ids, self.1, &mut Streams::new(1).rng("unused"))?;
            out.clear();
            out.extend(x.iter());
            Ok(())
        }
    }

    #[test]
    fn draws_in_pieces_give_the_same_batch() {
        let mut rng = Streams::new(5).rng("posterior");
        let posterior: Vec<(f64, f64)> =
            (0..20_000).map(|_| (rng.random_range(-1.0..1.0), rng.random_range(0.0..0.1))).collect();
        let genes = Arc::new(Genes::new((0..posterior.len()).map(|i| format!("g{i}"))).unwrap());
        let inputs = Arc::new(Inputs::new(Arc::new(Pool::singles(genes)), vec![], Compose::Sum).unwrap());
        let (observed, candidates) = (Observed::empty(1), Candidates::new(posterior.len(), vec![3, 9000]));
        let pick = |model: &dyn Surrogate, direction| {
            let round = Round { index: 1, of: 1, batch: 30 };
            let target = Target { direction, ..Target::default() };
            let streams = Streams::new(1);
            let cx = RunContext::new(round, &inputs, &candidates, &observed, streams)
                .with_target(target)
                .with_surrogate(Some(model));
            Thompson {}.select(&cx).unwrap()
        };
        for d in [Direction::Abs, Direction::Max, Direction::Min] {
            assert_eq!(pick(&Told(posterior.clone()), d), pick(&Pieces(Told(posterior.clone())), d));
        }
    }
}
