//! Separability by nearest neighbours: do divergences from control add up?
//!
//! If two perturbations act on different factors of independent latents, density ratios multiply, p_ij/p_0 =
//! (p_i/p_0)(p_j/p_0), and with them KL(p_0‖p_ij) = KL(p_0‖p_i) + KL(p_0‖p_j) (Xu, Jain et al. 2024, theorem 3.6). The
//! score is the absolute value of the difference T = KL(p_0‖p_i) + KL(p_0‖p_j) - KL(p_0‖p_ij), each divergence from the
//! distances to k-th neighbours (Wang, Kulkarni & Verdú 2009). Estimates of large divergences lie below the truth, the
//! more so with more features, so that T of a separable pair need not be 0: docs/design/interactions.md has numbers.
//! Divergences of singles are computed once for all pairs. O(N log n) up to ten features, O(N n d) above, for n samples
//! of control and N in all; a class is held whole while it is looked at. For images or many features use
//! `separability_nre`.

use framework::domain::Class;
use framework::numerics::stats::Reference;
use framework::prelude::*;
use learn::density::knn_kl::{Base, Halves, Kl, half_error};
use learn::density::ratio::{Scale, Standard};
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Scores a pair by how far the divergences of its singles from control are from summing to its own.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeparabilityKnn {
    /// Which neighbour. Larger is steadier and more biased; 5 is a good second choice, also where samples coincide.
    /// Each class needs k + 1 samples. Default 1.
    #[serde(default = "k")]
    pub k: usize,
    /// Brings features to mean 0 and sd 1 in control before distances are taken. Divergences do not change, their
    /// estimates do. Default true.
    #[serde(default = "standardise")]
    pub standardise: bool,
    /// Where p values come from. `"pairs"` (default): the other pairs. T over its standard error is standardised by
    /// median and MAD over all pairs; valid where most pairs are separable and alike in bias; needs 10 pairs. `"zero"`:
    /// T = 0, by its standard error; valid only where the bias is small beside it (small divergences, few
    /// features). `"none"`: no p values.
    #[serde(default)]
    pub null: Reference,
    /// Random splits of each class (of its guides or wells where they are told apart) into halves, from which the
    /// standard error comes; 2 to 64. Default 40.
    #[serde(default = "splits")]
    pub splits: usize,
}

fn k() -> usize {
    1
}

fn standardise() -> bool {
    true
}

fn splits() -> usize {
    40
}

impl Default for SeparabilityKnn {
    fn default() -> Self {
        Self { k: k(), standardise: standardise(), null: Reference::default(), splits: splits() }
    }
}

#[typetag::serde(name = "separability_knn")]
impl InteractionTest for SeparabilityKnn {
    fn test(&self, cx: &TestContext) -> Result<Vec<TestOutcome>> {
        let samples = cx.samples;
        if self.k == 0 || !(2..=64).contains(&self.splits) {
            return Err(Error::Config(format!(
                "separability_knn: `k` = {} and `splits` = {}; they must be at least 1 and from 2 to 64",
                self.k, self.splits
            )));
        }
        let scale = if self.standardise { Scale::Each } else { Scale::None };
        let standard = Standard::new(samples, 0..1, 1, scale)?;
        let rows = |c: usize| -> Result<Array2<f64>> {
            let x = samples.class(c).x()?;
            Ok(standard.as_ref().map_or_else(|| x.mapv(f64::from), |s| s.rows(x.view())))
        };
        let streams = cx.streams.child("separability_knn");
        let halves = |c: usize| {
            let (class, rng) = (samples.class(c), &mut streams.index(c).rng("halves"));
            Halves::new(class.len(), class.units().as_deref(), self.splits, rng)
        };
        let of = |c: usize| {
            move |e: framework::numerics::Error| match e {
                framework::numerics::Error::Input(_) => {
                    Error::from(e).at(format!("separability_knn: `{}`", samples.name(c)))
                }
                e => e.into(),
            }
        };
        let control = Base::new(rows(0)?.view(), self.k, Some(halves(0))).map_err(of(0))?;
        let mut used = vec![false; samples.n_classes()];
        (0..samples.pairs.len()).for_each(|p| samples.four(p)[1..].iter().for_each(|c| used[*c] = true));
        let (done, all) = (AtomicUsize::new(0), used.iter().filter(|u| **u).count());
        let kls: Vec<Option<Kl>> = (0..samples.n_classes())
            .into_par_iter()
            .map(|c| {
                if !used[c] {
                    return Ok(None);
                }
                let kl = control.kl(rows(c)?.view(), Some(&halves(c))).map_err(of(c))?;
                cx.tick(done.fetch_add(1, Ordering::Relaxed) + 1, all);
                Ok(Some(kl))
            })
            .collect::<Result<_>>()?;
        let mut outcomes = vec![];
        let (mut statistics, mut errors) = (vec![], vec![]);
        for p in 0..samples.pairs.len() {
            let [_, i, j, ij] = samples.four(p);
            let (Some(i), Some(j), Some(ij)) = (&kls[i], &kls[j], &kls[ij]) else { continue };
            let signed = i.value + j.value - ij.value;
            let error = match (&i.halves, &j.halves, &ij.halves) {
                (Some(i), Some(j), Some(ij)) => {
                    let apart: Vec<f64> = i.iter().zip(j).zip(ij).map(|((i, j), ij)| i + j - ij).collect();
                    let least = samples.classes(p).map(Class::n_units).into_iter().min().unwrap_or(1);
                    half_error(&apart, least)
                }
                _ => (f64::NAN, f64::NAN),
            };
            statistics.push(signed);
            errors.push(error);
            let diagnostics = vec![
                ("signed".to_string(), signed),
                ("standard_error".to_string(), error.0),
                ("kl_first".to_string(), i.value),
                ("kl_second".to_string(), j.value),
                ("kl_both".to_string(), ij.value),
                ("duplicates".to_string(), i.duplicates.max(j.duplicates).max(ij.duplicates) as f64),
            ];
            outcomes.push(TestOutcome { score: signed.abs(), p_value: None, n: samples.sizes(p), diagnostics });
        }
        let p_values = self.null.p_values(&statistics, &errors);
        outcomes.iter_mut().zip(p_values).for_each(|(o, p)| o.p_value = p);
        Ok(outcomes)
    }

    fn null(&self) -> Null {
        Null::Separable
    }

    fn min_samples(&self) -> usize {
        self.k + 1
    }
}

framework::register!(
    InteractionTest,
    SeparabilityKnn,
    "separability_knn",
    "do divergences from control add up, by nearest neighbours"
);

#[cfg(test)]
mod tests {
    use super::*;
    use framework::domain::{PairClass, Samples};
    use rand_distr::{Distribution, StandardNormal};

    /// Control, singles and pairs of normal latents; each gene moves the latents of its mask by `shift`.
    fn screen(
        genes: &[&[usize]],
        pairs: &[(usize, usize)],
        n: &dyn Fn(usize) -> usize,
        shift: f64,
        seed: u64,
    ) -> Samples {
        let number = std::cell::Cell::new(0);
        let class = |moved: Vec<usize>| {
            let c = number.replace(number.get() + 1);
            let mut rng = Streams::new(seed).index(c).rng("x");
            Class::held(Array2::from_shape_fn((n(c), 3), |(_, l)| {
                let z: f64 = StandardNormal.sample(&mut rng);
                (z + if moved.contains(&l) { shift } else { 0.0 }) as f32
            }))
        };
        let control = class(vec![]);
        let singles = genes.iter().map(|g| class(g.to_vec())).collect();
        let both = |(a, b): &(usize, usize)| PairClass {
            first: *a,
            second: *b,
            both: class(genes[*a].iter().chain(genes[*b]).copied().collect()),
        };
        let pairs = pairs.iter().map(both).collect();
        let genes = (0..genes.len()).map(|g| format!("g{g}")).collect();
        Samples { genes, control, singles, pairs, image: None }
    }

    /// A on latent 1, B on 1 and 2, C and D on 3.
    fn tabular(n: usize, seed: u64) -> Samples {
        let pairs = [(0, 1), (2, 3), (0, 2), (0, 3), (1, 2), (1, 3)];
        screen(&[&[0], &[0, 1], &[2], &[2]], &pairs, &|_| n, 3.0, seed)
    }

    fn test(t: &SeparabilityKnn, s: &Samples) -> Vec<TestOutcome> {
        let streams = Streams::new(1);
        t.test(&TestContext::new(s, &streams)).unwrap()
    }

    fn get(o: &TestOutcome, name: &str) -> f64 {
        o.diagnostics.iter().find(|d| d.0 == name).unwrap().1
    }

    #[test]
    fn scores_of_known_latents() {
        let s = tabular(20_000, 1);
        let outcomes = test(&SeparabilityKnn::default(), &s);
        let truth = [4.5, 4.5, 0.0, 0.0, 0.0, 0.0];
        for (o, truth) in outcomes.iter().zip(truth) {
            println!("{truth} {:.3} {:?}", o.score, o.diagnostics);
            // Divergences of 4.5, 9 and 13.5 are about 0.4, 2.1 and 4.6 below the truth here: 20,000 samples hardly reach
            // where control is.
            assert!((o.score - truth).abs() < 3.0, "{truth} {}", o.score);
        }
        let separable = outcomes[2..].iter().map(|o| o.score).fold(0.0, f64::max);
        assert!(outcomes[0].score.min(outcomes[1].score) > 1.3 * separable);
    }

    /// Rejections at 5 % where the truth is separable, with small divergences.
    #[test]
    fn level_and_power() {
        let sizes = |c: usize| [200, 60, 90, 120][c.min(3)];
        let trials = 400;
        let zero = SeparabilityKnn { null: Reference::Zero, k: 3, ..SeparabilityKnn::default() };
        let (mut level, mut power, mut t2) = (0, 0, 0.0);
        for t in 0..trials {
            let null = screen(&[&[0], &[1]], &[(0, 1)], &sizes, 0.5, t);
            let planted = screen(&[&[0, 1], &[0, 1]], &[(0, 1)], &|c| 2 * sizes(c), 1.5, t);
            let o = test(&zero, &null).remove(0);
            level += usize::from(o.p_value.unwrap() <= 0.05);
            t2 += (get(&o, "signed") / get(&o, "standard_error")).powi(2) / trials as f64;
            power += usize::from(test(&zero, &planted)[0].p_value.unwrap() <= 0.05);
        }
        let (level, power) = (level as f64 / trials as f64, power as f64 / trials as f64);
        println!("level {level}, power {power}, mean t² {t2}");
        // Binomial standard error 0.011; the 99 % band around 5 % is 0.022 to 0.078.
        assert!((0.022..0.078).contains(&level), "{level}");
        assert!(power > 0.9, "{power}");
    }

    #[test]
    fn wells_that_shift_all_their_cells_are_the_units() {
        let (trials, wells, cells) = (200, 12, 10);
        let zero = SeparabilityKnn { null: Reference::Zero, k: 3, ..SeparabilityKnn::default() };
        let (mut by_well, mut by_cell) = (0, 0);
        for t in 0..trials {
            let mut s = screen(&[&[0], &[1]], &[(0, 1)], &|_| wells * cells, 0.0, t);
            let units: Vec<u32> = (0..wells * cells).map(|i| (i / cells) as u32).collect();
            let moved = |c: &Class, name: usize| {
                let mut rng = Streams::new(t).index(name).rng("wells");
                let shift: Vec<f64> = (0..3 * wells).map(|_| StandardNormal.sample(&mut rng)).collect();
                let mut x = c.x().unwrap().into_owned();
                x.indexed_iter_mut().for_each(|((i, l), v)| *v += 0.7 * shift[3 * (i / cells) + l] as f32);
                Class::held(x).with_units(units.clone())
            };
            s.control = moved(&s.control, 0);
            s.singles = (0..2).map(|g| moved(&s.singles[g], 1 + g)).collect();
            s.pairs[0].both = moved(&s.pairs[0].both, 3);
            by_well += usize::from(test(&zero, &s)[0].p_value.unwrap() <= 0.05);
            s.control.unit = None;
            s.singles.iter_mut().for_each(|c| c.unit = None);
            s.pairs[0].both.unit = None;
            by_cell += usize::from(test(&zero, &s)[0].p_value.unwrap() <= 0.05);
        }
        let (by_well, by_cell) = (by_well as f64 / trials as f64, by_cell as f64 / trials as f64);
        println!("level by wells {by_well}, by cells {by_cell}");
        assert!(by_well < 0.1 && by_cell > by_well, "{by_well} {by_cell}");
    }

    #[test]
    fn pairs_are_held_against_each_other() {
        // Forty pairs of genes on different latents, two on the same.
        let genes: Vec<&[usize]> =
            (0..42).flat_map(|p| if p < 40 { [&[0][..], &[1][..]] } else { [&[0][..]; 2] }).collect();
        let pairs: Vec<(usize, usize)> = (0..42).map(|p| (2 * p, 2 * p + 1)).collect();
        let s = screen(&genes, &pairs, &|c| if c == 0 { 2000 } else { 500 }, 1.5, 3);
        let outcomes = test(&SeparabilityKnn { k: 3, ..SeparabilityKnn::default() }, &s);
        let p: Vec<f64> = outcomes.iter().map(|o| o.p_value.unwrap()).collect();
        assert!(p[40..].iter().all(|p| *p < 0.01), "{p:?}");
        assert!(p[..40].iter().filter(|p| **p <= 0.05).count() <= 6, "{p:?}");
        // A pair alone has nothing to be held against.
        assert!(test(&SeparabilityKnn::default(), &s.with_pairs(&[0]))[0].p_value.is_none());
    }

    #[test]
    fn identical_samples_and_few_samples() {
        let class = |n: usize, v: f32| Class::held(Array2::from_elem((n, 2), v));
        let screen = |v: [f32; 4]| Samples {
            genes: vec!["A".into(), "B".into()],
            control: class(9, v[0]),
            singles: vec![class(9, v[1]), class(9, v[2])],
            pairs: vec![PairClass { first: 0, second: 1, both: class(9, v[3]) }],
            image: None,
        };
        let same = test(&SeparabilityKnn::default(), &screen([1.0; 4])).remove(0);
        assert_eq!((same.score, same.p_value, get(&same, "duplicates")), (0.0, None, 9.0));
        let apart = test(&SeparabilityKnn::default(), &screen([1.0, 2.0, 3.0, 4.0])).remove(0);
        assert!(apart.score.is_finite() && apart.score > 20.0);
        let mut few = screen([1.0; 4]);
        few.singles[1] = class(3, 1.0);
        let streams = Streams::new(1);
        let t = SeparabilityKnn { k: 5, ..SeparabilityKnn::default() };
        let e = t.test(&TestContext::new(&few, &streams)).unwrap_err().to_string();
        assert!(e.contains("`g1`") || e.contains("`B`"), "{e}");
        assert!(SeparabilityKnn { k: 0, ..t }.test(&TestContext::new(&few, &streams)).is_err());
    }
}
