//! Cells of a mixture of components: genes that act on different components are disjoint, and their densities add up.
//!
//! A sample draws its component once, by fixed weights, and then all its features independently from that component's
//! distribution; x = g(z), g a random invertible network. A gene replaces the distribution of one component; two genes
//! of one component act together by a law of their own. Then p_ij + p_0 = p_i + p_j for genes of different components,
//! and not for the others (Xu, Jain et al. 2024, appendix D.1.3; second parameters of its laws are taken as standard
//! deviations and scales). Cauchy tails overflow a network, so z is clipped to ±`clip`. O(layers features²) a sample.

use framework::domain::{Cells, SampleSource};
use framework::plugin::SampledScreen;
use framework::prelude::*;
use learn::simulate::Mixing;
use rand_distr::{Cauchy, Distribution, StandardNormal};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Simulates singles and pairs of genes that act on components of a mixture, with known interactions. Runs without
/// any data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LatentMixture {
    /// Weights of the components, which sum to 1; default `[0.125, 0.125, 0.125, 0.125, 0.25, 0.25]`.
    pub weights: Vec<f64>,
    /// What each gene, and each pair of genes that share a component, makes of it, as in
    /// `{ D = { component = 4, at = 0, scale = 5 }, "D+E" = { component = 4, at = 10, scale = 5 } }`. An unperturbed
    /// component is N(0, 1). Default: the seven genes A to G of the paper, where D and E, and F and G, share one.
    pub laws: BTreeMap<String, Law>,
    /// Features of a sample; default 10.
    pub features: usize,
    /// Samples of control and of each perturbation; default 2,000.
    pub samples: usize,
    /// Layers of the network; default 10.
    pub layers: usize,
    /// Slope of its rectifier below 0; default 0.2.
    pub slope: f64,
    /// Largest absolute value before the network; default 1000.
    pub clip: f64,
}

/// The laws of pairs that share a component, by the numbers of their genes.
type Joint = BTreeMap<(usize, usize), Law>;

/// The distribution of a component.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Law {
    /// Number of the component, from 1.
    pub component: usize,
    /// `"normal"` (default) or `"cauchy"`.
    #[serde(default)]
    pub shape: Shape,
    /// Its centre.
    pub at: f64,
    /// Its standard deviation, or scale; default 1.
    #[serde(default = "one")]
    pub scale: f64,
}

/// The form of a distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Gaussian.
    #[default]
    Normal,
    /// Without mean or variance.
    Cauchy,
}

fn one() -> f64 {
    1.0
}

impl Default for LatentMixture {
    fn default() -> Self {
        let law = |component, shape, at, scale| Law { component, shape, at, scale };
        use Shape::{Cauchy, Normal};
        let laws = [
            ("A", law(1, Normal, 5.0, 1.0)),
            ("B", law(2, Normal, 10.0, 1.0)),
            ("C", law(3, Normal, -5.0, 5.0)),
            ("D", law(4, Normal, 0.0, 5.0)),
            ("E", law(4, Normal, -10.0, 5.0)),
            ("D+E", law(4, Normal, 10.0, 5.0)),
            ("F", law(5, Cauchy, 15.0, 1.0)),
            ("G", law(5, Cauchy, -15.0, 1.0)),
            ("F+G", law(5, Cauchy, 20.0, 1.0)),
        ];
        Self {
            weights: vec![0.125, 0.125, 0.125, 0.125, 0.25, 0.25],
            laws: laws.into_iter().map(|(k, l)| (k.to_string(), l)).collect(),
            features: 10,
            samples: 2000,
            layers: 10,
            slope: 0.2,
            clip: 1e3,
        }
    }
}

impl LatentMixture {
    /// Names of the genes, and the law of every pair that shares a component.
    fn check(&self) -> Result<(Vec<String>, Joint)> {
        let wrong = |what: String| Err(Error::Config(format!("latent_mixture: {what}")));
        let total: f64 = self.weights.iter().sum();
        if !self.weights.iter().all(|w| *w > 0.0) || (total - 1.0).abs() > 1e-9 {
            return wrong(format!("`weights` must be positive and sum to 1; they sum to {total}"));
        }
        let positive = |v: f64| v > 0.0;
        for (name, law) in &self.laws {
            if !(1..=self.weights.len()).contains(&law.component) || !positive(law.scale) || !law.at.is_finite() {
                return wrong(format!(
                    "the law of `{name}` needs a component of 1 to {}, a finite `at` and a `scale` above 0",
                    self.weights.len()
                ));
            }
        }
        if self.features == 0 || self.samples == 0 || !positive(self.clip) || !positive(self.slope) || self.slope > 1.0
        {
            return wrong("features, samples and clip must be positive, and slope above 0 and at most 1".into());
        }
        let genes: Vec<String> = self.laws.keys().filter(|k| !k.contains('+')).cloned().collect();
        if genes.len() < 2 {
            return wrong("`laws` needs at least two genes".into());
        }
        let mut pairs = BTreeMap::new();
        for (key, law) in self.laws.iter().filter(|(k, _)| k.contains('+')) {
            let of: Vec<Option<usize>> = key.split('+').map(|g| genes.iter().position(|n| n == g)).collect();
            match of[..] {
                [Some(a), Some(b)] if a != b => pairs.insert((a.min(b), a.max(b)), *law),
                _ => return wrong(format!("`{key}` does not name two of the genes {}", genes.join(", "))),
            };
        }
        for a in 0..genes.len() {
            for b in a + 1..genes.len() {
                let share = self.laws[&genes[a]].component == self.laws[&genes[b]].component;
                if share != pairs.contains_key(&(a, b)) {
                    return wrong(format!(
                        "{0} and {1} {2}: {3} a law for \"{0}+{1}\"",
                        genes[a],
                        genes[b],
                        if share {
                            "share a component"
                        } else {
                            "act on different components, where each keeps its own"
                        },
                        if share { "give" } else { "remove" }
                    ));
                }
            }
        }
        Ok((genes, pairs))
    }
}

#[typetag::serde(name = "latent_mixture")]
impl Oracle for LatentMixture {
    fn open(&self, setup: &Setup) -> Result<Box<dyn Screen>> {
        let (genes, pairs) = self.check()?;
        let mixing = Mixing::new(self.features, self.layers, self.slope, &mut setup.streams.rng("network"));
        let (own, names, joint) = (self.clone(), genes.clone(), pairs.clone());
        let draw = move |g: &[usize], streams: &Streams| -> Arc<dyn SampleSource> {
            let mut laws: Vec<Option<Law>> = vec![None; own.weights.len()];
            let mut put = |law: Law| laws[law.component - 1] = Some(law);
            match *g {
                [a, b] if joint.contains_key(&(a, b)) => put(joint[&(a, b)]),
                _ => g.iter().for_each(|a| put(own.laws[&names[*a]])),
            }
            let mut rng = streams.rng("mixture");
            let mut x = Array2::<f32>::zeros((own.samples, own.features));
            for mut row in x.outer_iter_mut() {
                let mut u: f64 = rng.random();
                let mut component = 0;
                while component + 1 < own.weights.len() && u >= own.weights[component] {
                    u -= own.weights[component];
                    component += 1;
                }
                let law = laws[component];
                let mut z =
                    Array1::from_shape_simple_fn(own.features, || one_value(law, &mut rng).clamp(-own.clip, own.clip));
                mixing.apply(&mut z);
                row.iter_mut().zip(&z).for_each(|(x, z)| *x = *z as f32);
            }
            Arc::new(Cells { lane: vec![0; own.samples], x })
        };
        let relation = move |g: &[usize]| match pairs.contains_key(&(g[0], g[1])) {
            true => Relation::Interacting,
            false => Relation::Disjoint,
        };
        let mut notes = vec![];
        if self.laws.values().any(|l| l.shape == Shape::Cauchy) {
            notes.push(format!("values beyond ±{} are clipped before the network", self.clip));
        }
        Ok(Box::new(SampledScreen::new(&genes, setup.streams, Box::new(draw), relation)?.with_notes(notes)))
    }
}

fn one_value(law: Option<Law>, rng: &mut StreamRng) -> f64 {
    match law {
        None => StandardNormal.sample(rng),
        Some(Law { shape: Shape::Normal, at, scale, .. }) => {
            let z: f64 = StandardNormal.sample(rng);
            at + scale * z
        }
        // The scale has been checked; a mistake would show as the centre.
        Some(Law { shape: Shape::Cauchy, at, scale, .. }) => Cauchy::new(at, scale).map_or(at, |c| c.sample(rng)),
    }
}

framework::register!(
    Oracle,
    LatentMixture,
    "latent_mixture",
    "genes act on components of a mixture of cells: disjointness known",
    example = |_| serde_json::json!({ "samples": 200 })
);

#[cfg(test)]
mod tests {
    use super::*;
    use framework::data::DataRoot;
    use framework::domain::{Class, Samples};

    fn samples(oracle: LatentMixture) -> Samples {
        let (data, streams) = (DataRoot::new("."), Streams::new(1));
        let screen = oracle.open(&Setup { data: &data, streams: &streams }).unwrap();
        screen.samples(&Streams::new(2)).unwrap().unwrap()
    }

    fn plain() -> LatentMixture {
        LatentMixture { layers: 0, samples: 20_000, features: 2, ..LatentMixture::default() }
    }

    #[test]
    fn densities_add_up_unless_a_component_is_shared() {
        let s = samples(plain());
        assert_eq!((s.genes.len(), s.pairs.len()), (7, 21));
        // Shares of samples with a first feature above some values, in units of at most one standard error.
        let share =
            |c: &Class, above: f32| c.x().unwrap().column(0).iter().filter(|v| **v > above).count() as f64 / 20_000.0;
        for p in 0..s.pairs.len() {
            let t = [4.0, 17.5].map(|above| {
                let [zero, i, j, ij] = s.classes(p).map(|c| share(c, above));
                (ij + zero - i - j).abs() / (4.0 * 0.25 / 20_000.0f64).sqrt()
            });
            let shared = ["D+E", "F+G"].contains(&s.label(p).as_str());
            assert_eq!(t[0].max(t[1]) > 5.0, shared, "{}: {t:?}", s.label(p));
        }
    }

    #[test]
    fn one_component_a_sample() {
        // Both features of a sample of B lie near 10, or neither does.
        let s = samples(plain());
        let x = s.singles[1].x().unwrap().into_owned();
        let high = |v: f32| v > 6.0;
        assert!(x.outer_iter().all(|r| high(r[0]) == high(r[1])));
        let share = x.outer_iter().filter(|r| high(r[0])).count() as f64 / 20_000.0;
        assert!((share - 0.125).abs() < 0.01, "{share}");
        let worst = s.singles[5].x().unwrap().iter().fold(0.0f32, |a, b| a.max(b.abs()));
        assert!(worst > 500.0 && worst <= 1000.0, "{worst}");
    }

    #[test]
    fn mistakes_are_named() {
        let text = |o: LatentMixture| o.check().unwrap_err().to_string();
        assert!(text(LatentMixture { weights: vec![0.5, 0.4], ..plain() }).contains("sum to 1"));
        let mut o = plain();
        o.laws.remove("D+E");
        assert!(text(o).contains("D and E share a component: give a law for \"D+E\""));
        let mut o = plain();
        o.laws.insert("A+Q".into(), o.laws["A"]);
        assert!(text(o).contains("does not name two of the genes"));
        let mut o = plain();
        o.laws.get_mut("A").unwrap().component = 9;
        assert!(text(o).contains("component of 1 to 6"));
    }
}
