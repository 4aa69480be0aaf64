//! Largest prior uncertainty: the candidates of largest k(x, x).
//!
//! After a `posterior` transform k(x, x) is the predictive variance, and the rule is BALD for a Gaussian
//! process (Houlsby et al. 2011; Holzmüller et al. 2023, section 4). Blind to overlap within the batch.
//!
//! Cost: one pass over the diagonal, O(n) or O(nd); candidates are streamed and no matrix is formed.

use framework::domain::Top;
use framework::prelude::*;

/// Picks the candidates of largest kernel diagonal, best first; the score is k(x, x).
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaxDiag {}

#[typetag::serde(name = "max_diag")]
impl Acquisition for MaxDiag {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        const TILE: usize = 16_384;
        let gram = cx.gram()?;
        let mut top = Top::new(cx.batch());
        cx.candidates.tiles(TILE, |ids| top.extend(ids, &gram.diagonal(ids)))?;
        Ok(cx.fill(top.into_batch()))
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Similarity])
    }
}

framework::register!(Acquisition, MaxDiag, "max_diag", "largest kernel diagonal (BALD after `posterior`)");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::testing::TinyWorld;

    #[test]
    fn the_longest_rows_come_first() {
        let world = TinyWorld::new(30, 4, 1, true, 3).unwrap();
        let measured = vec![4, 17, 200];
        let observed = world.observe(&measured, 1).unwrap();
        let candidates = Candidates::new(435, measured);
        let got = MaxDiag {}.select(&world.context(20, &candidates, &observed, None, None, 1)).unwrap();
        let x = world.inputs.features(&(0..435).collect::<Vec<_>>());
        let mut want: Vec<usize> = candidates.to_vec();
        let norm = |i: usize| x.row(i).dot(&x.row(i));
        want.sort_by(|a, b| norm(*b).total_cmp(&norm(*a)));
        assert_eq!(got.ids, want[..20]);
        assert!(got.ids.iter().zip(&got.scores).all(|(i, s)| (norm(*i) - s).abs() < 1e-12));
    }
}
