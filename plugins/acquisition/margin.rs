//! Margin sampling: the candidates on which the model's functions disagree most.
//!
//! score(x) = max_j f_j(x) - min_j f_j(x) over the functions that the surrogate is made of (trees, members, dropout
//! masks; GeneDisco, Mehrjou et al. 2022), or over joint draws of a model that has no functions; for a profile the sum
//! over its outputs. Functions are read in tiles of the pool; draws come for all candidates at once, as many at a time
//! as 2²⁷ numbers hold.

use framework::domain::Top;
use framework::ndarray::Array3;
use framework::prelude::*;

/// Takes the candidates of largest range over the model's functions.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Margin {
    /// Number of joint draws for a model that is not made of functions; default 100.
    #[serde(default = "hundred")]
    pub draws: usize,
}

fn hundred() -> usize {
    100
}

impl Default for Margin {
    fn default() -> Self {
        Self { draws: hundred() }
    }
}

/// Widens the ranges (ids x outputs of lowest and highest) by functions x ids x outputs.
fn widen(low: &mut Array2<f64>, high: &mut Array2<f64>, f: &Array3<f64>) -> Result<()> {
    if f.shape()[1..] != *low.shape() {
        return Err(Error::Plugin(format!(
            "the model returned functions of shape {:?} for {} perturbations and {} outputs",
            f.dim(),
            low.nrows(),
            low.ncols()
        )));
    }
    if let Some(v) = f.iter().find(|v| !v.is_finite()) {
        return Err(Error::Numerical(format!("a function of the model predicted {v}; predictions must be finite")));
    }
    for g in f.outer_iter() {
        low.zip_mut_with(&g, |a, v| *a = a.min(*v));
        high.zip_mut_with(&g, |a, v| *a = a.max(*v));
    }
    Ok(())
}

#[typetag::serde(name = "margin")]
impl Acquisition for Margin {
    fn select(&self, cx: &RunContext) -> Result<Batch> {
        const TILE: usize = 2048;
        const MOST: usize = 1 << 27;
        let (surrogate, outputs) = (cx.surrogate()?, cx.observed.n_outputs());
        let empty = |n: usize| {
            (Array2::from_elem((n, outputs), f64::INFINITY), Array2::from_elem((n, outputs), f64::NEG_INFINITY))
        };
        if let Some(functions) = surrogate.functions() {
            let mut top = Top::new(cx.batch());
            cx.candidates.tiles(TILE, |ids| {
                let (mut low, mut high) = empty(ids.len());
                widen(&mut low, &mut high, &functions.evaluate(ids)?)?;
                top.extend(ids, &(high - low).sum_axis(Axis(1)).to_vec())
            })?;
            return Ok(top.into_batch());
        }
        if self.draws == 0 {
            return Err(Error::Config("margin: draws must be at least 1".into()));
        }
        let ids = cx.candidates.to_vec();
        let at_once = (MOST / (ids.len() * outputs).max(1)).clamp(1, self.draws);
        let (mut low, mut high) = empty(ids.len());
        let (draws, mut rng) = (surrogate.try_draws()?, cx.rng("margin"));
        let mut done = 0;
        while done < self.draws {
            let n = at_once.min(self.draws - done);
            widen(&mut low, &mut high, &draws.draw(&ids, n, &mut rng)?)?;
            done += n;
        }
        Batch::top(&ids, &(high - low).sum_axis(Axis(1)).to_vec(), cx.batch())
    }

    fn needs(&self) -> Abilities {
        Abilities::of([Ability::Model, Ability::Draws])
    }
}

framework::register!(Acquisition, Margin, "margin", "largest range over the model's functions");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::ndarray::s;
    use framework::testing::{MockFunctions, MockSurrogate, TinyWorld};

    #[test]
    fn ranges_of_functions_are_the_definition() {
        let n = 5000;
        let world = TinyWorld::new(n, 2, 2, false, 1).unwrap();
        let observed = world.observe(&[0, 7], 1).unwrap();
        let candidates = Candidates::new(n, vec![0, 7]);
        let f = Array3::from_shape_fn((6, n, 2), |(j, i, o)| ((i * 7919 + j * 104_729 + o * 31) % 1009) as f64 / 100.0);
        let b = Margin::default()
            .select(&world.context(40, &candidates, &observed, Some(&MockFunctions(f.clone())), None, 1))
            .unwrap();
        let range = |i: usize, o: usize| {
            let v = f.slice(s![.., i, o]);
            v.iter().fold(f64::MIN, |a, b| a.max(*b)) - v.iter().fold(f64::MAX, |a, b| a.min(*b))
        };
        let all = candidates.to_vec();
        let want = Batch::top(&all, &all.iter().map(|&i| range(i, 0) + range(i, 1)).collect::<Vec<_>>(), 40).unwrap();
        assert_eq!(b, want);
    }

    #[test]
    fn the_range_of_normal_draws_is_that_of_their_sd() {
        let world = TinyWorld::new(300, 2, 1, false, 1).unwrap();
        let observed = world.observe(&[0], 1).unwrap();
        let candidates = Candidates::new(300, vec![0]);
        let model = MockSurrogate { mean: (0..300).map(|i| i as f64).collect(), sd: vec![2.0; 300] };
        let b = Margin::default().select(&world.context(299, &candidates, &observed, Some(&model), None, 1)).unwrap();
        // The expected range of 100 standard normal numbers is 5.015, its sd 0.605.
        let mean = b.scores.iter().sum::<f64>() / 299.0;
        assert!((mean / 2.0 - 5.015).abs() < 4.0 * 0.605 / 299f64.sqrt(), "{mean}");
    }
}
