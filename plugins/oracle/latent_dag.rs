//! A simulated screen: genes act on a random graph of latent programs.
//!
//! World. Programs stand in layers; a program of an earlier layer drives one of a later with probability
//! `edge_probability` and weight w_lk. Genes fall into modules, one a program; a gene pushes its module's programs
//! with a strength a_g of heavy tail, which gives its row u_g of inputs. A perturbation of genes G with guides of
//! efficacy e enters as v = Σ_{g in G} e_g u_g and runs down the graph, h_l = φ(v_l + Σ_k w_lk h_k) with
//! φ(t) = (1 - ν) t + ν tanh t, so that genes add up exactly at ν = 0 and interact above. Readouts: the scalar
//! phenotype βᵀh + ν/4 (√(1 + q²) - 1), q = γᵀh, or the profile C h; both have unit size over the single genes, and an
//! unperturbed cell reads 0. With several `components` a gene acts only in the cells of its own subpopulation.
//!
//! Measurement. A scalar has a Gaussian error. A profile is the mean of cells, `cells` for each guide, minus the mean
//! of the finite control cells of the same lanes. With `noise = "gaussian"` a cell is C h plus normal noise. With
//! `noise = "counts"` output o holds the share π_o of a cell's counts, ln π_o = base_o + s_l effect_size (C h)_o +
//! shift_lo (lane l), counts are negative binomial, and the cell's value is ln(1 + T k / library). The truth is then
//! the exact expectation of that value in a lane without shift, minus control's, over the guides of the perturbation.
//! The design imitates Replogle et al. 2022 as used by IterPert (Huang et al. 2023, section 4); the document
//! docs/design/simulator.md compares the presets with published facts.
//!
//! Cost: O(programs² + outputs x programs) for the truth of one perturbation, O(cells x outputs) to measure it (20 ns
//! a count). Pairs are never listed unless asked for, so all pairs of 20,000 genes cost no more than the genes.

use framework::prelude::*;
use learn::simulate::{CountLaw, CountSampler, SHARES};
use rand_distr::{Beta, Distribution, StandardNormal};
use rayon::prelude::*;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, Visitor};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

/// Simulates a screen of single genes, pairs or triples, with known truth. Runs without any data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct LatentDag {
    /// Values for what is not set here: `"k562_essential"` (2,058 genes, profiles of 1,000 outputs from counts, 30
    /// cells for each of 2 guides, 48 lanes) or `"genome"` (the same with 9,748 genes). Absent: the defaults below.
    pub preset: Option<Preset>,
    /// Genes that can be perturbed, named g0, g1, ...; default 1000.
    pub genes: usize,
    /// Latent programs; default 20.
    pub programs: usize,
    /// Layers in which programs stand: at most this many in a chain. Absent: each is a layer of its own.
    pub depth: Option<usize>,
    /// Probability that a program drives one of a later layer, 0 to 1; default 0.2.
    pub edge_probability: f64,
    /// Standard deviation of the weights on these edges; default 1.
    pub edge_scale: f64,
    /// How non-linear programs respond, 0 (linear: genes add up) to 1 (tanh). At the default of 0.7 about 5 %
    /// of the variance of pairs is not additive.
    pub nonlinearity: f64,
    /// Programs that a gene acts on directly; default 5.
    pub programs_per_gene: usize,
    /// Spread of gene strengths: the sd of their logarithm. Larger: fewer genes carry the effects. Default 1.
    pub effect_tail: f64,
    /// Share of genes that do nothing at all, 0 to below 1; default 0.
    pub inert: f64,
    /// Push of every gene on the first program, in one direction and in units of its strength: the response that
    /// perturbations have in common. Default 0.
    pub common: f64,
    /// Subpopulations of cells, equally frequent; each gene acts in one of them. Default 1: in all cells.
    pub components: usize,
    /// Measured outputs of a profile, named g0, g1, ... like the genes; default 100.
    pub outputs: usize,
    /// Probability that an output follows the program of the module of the gene of its name; default 0.5.
    pub coexpression: f64,
    /// What a measurement is: `"scalar"` (default), `"profile"`, or `"cells"` (profiles with their cells,
    /// each after subtraction of its lane's control mean).
    pub readout: Readout,
    /// Genes in a perturbation: 1 (every gene, default); 2 (all pairs, or those asked for below); 3 (triples asked
    /// for below). With sets asked for, the pool lists every gene, the pairs within triples, and the sets.
    pub order: usize,
    /// Sets of `order` genes whose programs, and all that these drive, have nothing in common: they separate.
    /// Default 0.
    pub separable: usize,
    /// Sets of `order` genes that act in different components; default 0.
    pub disjoint: usize,
    /// Sets of `order` genes that share programs and have an interaction of their own; default 0.
    pub interacting: usize,
    /// Pairs out of all pairs that are given an interaction of their own (order 2); default 0.
    pub interactions: usize,
    /// Size of such an interaction, as a multiple of the inputs of a typical gene; default 1.
    pub interaction_strength: f64,
    /// How cells vary: `"gaussian"` (default) or `"counts"`.
    pub noise: Noise,
    /// Cells of a perturbation for each guide, over all lanes; default 30.
    pub cells: usize,
    /// Guides of a perturbation; default 1.
    pub guides: usize,
    /// Mean share of a gene's effect that a guide brings about, above 0 to 1; default 1. With counts the gene's own
    /// output falls to the rest.
    pub guide_efficacy: f64,
    /// Standard deviation of that share between guides (a beta distribution); default 0.
    pub efficacy_sd: f64,
    /// Gaussian noise only: standard deviation of an offset that a guide gives all its cells; default 0.
    pub guide_sd: f64,
    /// Gaussian noise only: standard deviation between cells, in units of the profile; default 1.
    pub cell_sd: f64,
    /// Counts only: root mean square over genes and outputs of the change of ln(share), before efficacy; default 0.2.
    pub effect_size: f64,
    /// Counts only: median number of counts of a cell; default 10,000.
    pub library: f64,
    /// Counts only: sd of the logarithm of that number; default 0.35.
    pub library_sd: f64,
    /// Counts only: share of a cell's counts that falls on the outputs, 0 to 1; default 0.2.
    pub measured_share: f64,
    /// Counts only: sd between outputs of the logarithm of their share; default 1.2.
    pub expression_sd: f64,
    /// Counts only: typical dispersion α, in variance = mean + α mean²; default 0.2.
    pub dispersion: f64,
    /// Counts only: sd between outputs of the logarithm of the dispersion; default 0.5.
    pub dispersion_sd: f64,
    /// Counts only: sd of ln(share) that all outputs have from the state of the cell. Outputs of one program vary
    /// together. Default 0.
    pub cell_state_sd: f64,
    /// Counts only: T of ln(1 + T k / library); default 10,000.
    pub target: f64,
    /// Lanes (batches) over which cells are spread; default 1.
    pub lanes: usize,
    /// Standard deviation of a lane's shift of each output, in units of the profile (with counts: of ln(share));
    /// default 0.5.
    pub lane_sd: f64,
    /// Sd of the logarithm of the factor by which a lane scales all effects (its mean is 1); default 0.
    pub lane_scale: f64,
    /// Counts only: sd of the logarithm of a lane's factor on the number of counts of its cells; default 0.
    pub lane_library: f64,
    /// Control cells of each lane; default 100.
    pub control_cells: usize,
    /// Standard deviation of a scalar measurement, in sds of the single-gene effects; default 0.3.
    pub phenotype_noise: f64,
    /// Seed of the world (graph, genes, readout, lanes); absent: each scenario seed has its own world.
    pub world_seed: Option<u64>,
}

/// What a measurement is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readout {
    /// One number.
    #[default]
    Scalar,
    /// One number for each output.
    Profile,
    /// The same, with the cells.
    Cells,
}

/// How cells vary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Noise {
    /// Normal noise around the profile.
    #[default]
    Gaussian,
    /// Log-normalised negative binomial counts.
    Counts,
}

/// Settings under one name.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// The K562 essential-scale screen.
    #[serde(rename = "k562_essential")]
    K562Essential,
    /// The genome-scale screen.
    Genome,
}

impl Preset {
    /// Its settings.
    pub fn settings(self) -> LatentDag {
        let (genes, inert, effect_tail, effect_size) = match self {
            Preset::K562Essential => (2058, 0.2, 0.8, 0.19),
            Preset::Genome => (9748, 0.6, 1.0, 0.11),
        };
        LatentDag {
            preset: Some(self),
            genes,
            inert,
            programs: 40,
            depth: Some(4),
            edge_probability: 0.1,
            programs_per_gene: 4,
            effect_tail,
            common: 0.8,
            outputs: 1000,
            readout: Readout::Profile,
            noise: Noise::Counts,
            cells: 30,
            guides: 2,
            guide_efficacy: 0.85,
            efficacy_sd: 0.12,
            effect_size,
            cell_state_sd: 0.25,
            lanes: 48,
            lane_sd: 0.1,
            lane_scale: 0.1,
            lane_library: 0.15,
            control_cells: 200,
            ..LatentDag::default()
        }
    }
}

impl Default for LatentDag {
    fn default() -> Self {
        Self {
            preset: None,
            genes: 1000,
            programs: 20,
            depth: None,
            edge_probability: 0.2,
            edge_scale: 1.0,
            nonlinearity: 0.7,
            programs_per_gene: 5,
            effect_tail: 1.0,
            inert: 0.0,
            common: 0.0,
            components: 1,
            outputs: 100,
            coexpression: 0.5,
            readout: Readout::Scalar,
            order: 1,
            separable: 0,
            disjoint: 0,
            interacting: 0,
            interactions: 0,
            interaction_strength: 1.0,
            noise: Noise::Gaussian,
            cells: 30,
            guides: 1,
            guide_efficacy: 1.0,
            efficacy_sd: 0.0,
            guide_sd: 0.0,
            cell_sd: 1.0,
            effect_size: 0.2,
            library: 10_000.0,
            library_sd: 0.35,
            measured_share: 0.2,
            expression_sd: 1.2,
            dispersion: 0.2,
            dispersion_sd: 0.5,
            cell_state_sd: 0.0,
            target: 10_000.0,
            lanes: 1,
            lane_sd: 0.5,
            lane_scale: 0.0,
            lane_library: 0.0,
            control_cells: 100,
            phenotype_noise: 0.3,
            world_seed: None,
        }
    }
}

impl Serialize for LatentDag {
    fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        Self::serialize(self, s)
    }
}

impl<'de> Deserialize<'de> for LatentDag {
    fn deserialize<D: Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        Self::deserialize(WithPreset(d))
    }
}

/// Reads a table of settings and, after those that are given, the others from the preset that it names.
struct WithPreset<T>(T);

impl<'de, D: Deserializer<'de>> Deserializer<'de> for WithPreset<D> {
    type Error = D::Error;
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, D::Error> {
        self.0.deserialize_any(visitor)
    }
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> std::result::Result<V::Value, D::Error> {
        self.0.deserialize_struct(name, fields, WithPreset(visitor))
    }
    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

impl<'de, V: Visitor<'de>> Visitor<'de> for WithPreset<V> {
    type Value = V::Value;
    fn expecting(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        self.0.expecting(f)
    }
    fn visit_map<A: MapAccess<'de>>(self, given: A) -> std::result::Result<V::Value, A::Error> {
        self.0.visit_map(Settings { given, seen: vec![], rest: None, preset: None, value: None })
    }
}

struct Settings<A> {
    given: A,
    seen: Vec<String>,
    preset: Option<Preset>,
    /// What the preset adds, once all that is given was read.
    rest: Option<serde_json::map::IntoIter>,
    value: Option<serde_json::Value>,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Settings<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> std::result::Result<Option<K::Value>, A::Error> {
        if self.rest.is_none()
            && let Some(key) = self.given.next_key::<String>()?
        {
            self.seen.push(key.clone());
            return seed.deserialize(key.into_deserializer()).map(Some);
        }
        let (preset, seen) = (self.preset, &self.seen);
        let rest = self.rest.get_or_insert_with(|| {
            let mut all = match preset.map(|p| serde_json::to_value(p.settings())) {
                Some(Ok(serde_json::Value::Object(map))) => map,
                _ => serde_json::Map::new(),
            };
            all.retain(|k, _| !seen.contains(k));
            all.into_iter()
        });
        let Some((key, value)) = rest.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(key.into_deserializer()).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> std::result::Result<S::Value, A::Error> {
        if let Some(value) = self.value.take() {
            return seed.deserialize(value).map_err(A::Error::custom);
        }
        if self.seen.last().is_some_and(|k| k == "preset") {
            let value: serde_json::Value = self.given.next_value()?;
            self.preset = serde_json::from_value(value.clone()).unwrap_or_default();
            return seed.deserialize(value).map_err(A::Error::custom);
        }
        self.given.next_value_seed(seed)
    }
}

#[typetag::serde(name = "latent_dag")]
impl Oracle for LatentDag {
    fn open(&self, setup: &Setup) -> Result<Box<dyn Screen>> {
        let streams = self.world_seed.map_or_else(|| setup.streams.clone(), Streams::new);
        Ok(Box::new(World::new(self, &streams.child("latent_dag"))?))
    }

    fn seeded(&self) -> bool {
        self.world_seed.is_none()
    }
}

impl LatentDag {
    fn check(&self) -> Result<()> {
        let wrong = |what: &str| Err(Error::Config(format!("latent_dag: {what}")));
        let most = usize::MAX;
        let whole = [
            ("genes", self.genes, 2, u32::MAX as usize),
            ("programs", self.programs, 1, most),
            ("depth", self.depth.unwrap_or(1), 1, most),
            ("programs_per_gene", self.programs_per_gene, 1, self.programs),
            ("components", self.components, 1, self.genes),
            ("outputs", self.outputs, 1, u32::MAX as usize),
            ("order", self.order, 1, 3),
            ("cells", self.cells, 1, most),
            ("guides", self.guides, 1, most),
            ("lanes", self.lanes, 1, u32::MAX as usize),
            ("control_cells", self.control_cells, 1, most),
        ];
        let real = [
            ("edge_probability", self.edge_probability, 0.0, 1.0),
            ("edge_scale", self.edge_scale, 0.0, f64::MAX),
            ("nonlinearity", self.nonlinearity, 0.0, 1.0),
            ("effect_tail", self.effect_tail, 0.0, 5.0),
            ("inert", self.inert, 0.0, 0.999),
            ("common", self.common, 0.0, f64::MAX),
            ("coexpression", self.coexpression, 0.0, 1.0),
            ("interaction_strength", self.interaction_strength, 0.0, f64::MAX),
            ("guide_efficacy", self.guide_efficacy, 1e-6, 1.0),
            ("efficacy_sd", self.efficacy_sd, 0.0, 0.5),
            ("cell_sd", self.cell_sd, 0.0, f64::MAX),
            ("guide_sd", self.guide_sd, 0.0, f64::MAX),
            ("effect_size", self.effect_size, 0.0, 5.0),
            ("library", self.library, 10.0, 1e6),
            ("library_sd", self.library_sd, 0.0, 1.5),
            ("measured_share", self.measured_share, 1e-6, 1.0),
            ("expression_sd", self.expression_sd, 0.0, 3.0),
            ("dispersion", self.dispersion, 0.001, 5.0),
            ("dispersion_sd", self.dispersion_sd, 0.0, 1.5),
            ("cell_state_sd", self.cell_state_sd, 0.0, 1.5),
            ("target", self.target, 1.0, 1e9),
            ("lane_sd", self.lane_sd, 0.0, f64::MAX),
            ("lane_scale", self.lane_scale, 0.0, 2.0),
            ("lane_library", self.lane_library, 0.0, 1.5),
            ("phenotype_noise", self.phenotype_noise, 0.0, f64::MAX),
        ];
        for (name, v, least, upper) in whole {
            if v < least || v > upper {
                let upper = if upper == most { "more".into() } else { upper.to_string() };
                return wrong(&format!("{name} = {v}; it must be {least} to {upper}"));
            }
        }
        for (name, v, least, upper) in real {
            if !(least..=upper).contains(&v) {
                let upper = if upper == f64::MAX { "more".into() } else { upper.to_string() };
                return wrong(&format!("{name} = {v}; it must be {least} to {upper}"));
            }
        }
        let (mean, sd) = (self.guide_efficacy, self.efficacy_sd);
        if sd > 0.0 && sd * sd >= mean * (1.0 - mean) {
            return wrong(&format!(
                "efficacy_sd = {sd} is too large around guide_efficacy = {mean}; no share of 0 to 1 spreads so far"
            ));
        }
        if self.noise == Noise::Counts && self.guide_sd > 0.0 {
            return wrong("guide_sd belongs to gaussian noise; with counts, guides differ by efficacy_sd");
        }
        let sets = self.separable + self.disjoint + self.interacting;
        match self.order {
            1 if self.interactions + sets > 0 => wrong("interactions are between two genes; set order = 2"),
            2 if self.interactions > 0 && sets > 0 => {
                wrong("interactions are planted among all pairs; with listed sets say how many are `interacting`")
            }
            3 if sets == 0 || self.interactions > 0 => wrong(
                "triples are listed: say how many with `separable`, `disjoint` and `interacting` (and no `interactions`)",
            ),
            order if self.genes < order => wrong(&format!("genes = {} are too few for order = {order}", self.genes)),
            order if self.disjoint > 0 && self.components < order => wrong(&format!(
                "components = {}; {order} genes act in different ones only if there are {order} or more",
                self.components
            )),
            _ => Ok(()),
        }
    }
}

/// An opened simulation.
#[derive(Debug)]
struct World {
    settings: LatentDag,
    pool: Arc<Pool>,
    /// u: genes x programs.
    inputs: Array2<f64>,
    /// w: programs x programs, below the diagonal.
    edges: Array2<f64>,
    /// The subpopulation of cells in which each gene acts.
    component: Vec<u32>,
    /// Programs that each gene moves, itself or through others (for more than single genes).
    reach: Reach,
    /// e: genes x guides.
    efficacy: Array2<f64>,
    /// Inputs that some perturbations have on top of those of their genes, by pool id.
    planted: HashMap<usize, Array1<f64>>,
    /// Scalar: β and γ as rows. Profile: C, outputs x programs. Scaled.
    loadings: Array2<f64>,
    /// What the non-linear part of the scalar is multiplied by.
    scale: f64,
    counts: Option<CountModel>,
    lanes: Vec<Lane>,
    control: Option<Arc<Control>>,
}

fn normal(rng: &mut StreamRng) -> f64 {
    StandardNormal.sample(rng)
}

/// A set of programs for each gene, as bits.
#[derive(Debug, Default)]
struct Reach {
    words: usize,
    bits: Vec<u64>,
}

impl Reach {
    /// What follows from direct inputs along the edges.
    fn new(inputs: &Array2<f64>, edges: &Array2<f64>) -> Self {
        let (n, k) = inputs.dim();
        let words = k.div_ceil(64);
        let mut below = vec![0u64; k * words];
        for j in (0..k).rev() {
            below[j * words + j / 64] |= 1 << (j % 64);
            for l in j + 1..k {
                if edges[(l, j)] != 0.0 {
                    let (head, tail) = below.split_at_mut(l * words);
                    head[j * words..(j + 1) * words].iter_mut().zip(&*tail).for_each(|(a, b)| *a |= b);
                }
            }
        }
        let mut bits = vec![0u64; n * words];
        for (row, set) in inputs.outer_iter().zip(bits.chunks_mut(words)) {
            for (j, _) in row.iter().enumerate().filter(|(_, v)| **v != 0.0) {
                set.iter_mut().zip(&below[j * words..]).for_each(|(a, b)| *a |= b);
            }
        }
        Self { words, bits }
    }

    fn of(&self, gene: Gene) -> &[u64] {
        &self.bits[gene.index() * self.words..][..self.words]
    }

    fn meet(&self, a: Gene, b: Gene) -> bool {
        self.of(a).iter().zip(self.of(b)).any(|(a, b)| a & b != 0)
    }
}

/// How the counts of each output come about.
#[derive(Debug)]
struct CountModel {
    laws: Arc<Vec<CountLaw>>,
    /// The law of each output.
    class: Vec<usize>,
    alpha: Vec<f64>,
    /// ln(share) of each output in control.
    base: Vec<f64>,
    /// Mean, variance and ln P(0) of each output in control.
    control: Vec<[f64; 3]>,
    /// How the state of a cell moves each output: outputs x STATES, rows of length `cell_state_sd`.
    state: Vec<f32>,
}

/// Dispersions between which no difference is made.
const CLASSES: usize = 8;
/// Dimensions of the state of a cell.
const STATES: usize = 8;
/// The smallest share of its expression that a gene keeps when it is itself the target.
const LEFT: f64 = 0.02;

impl CountModel {
    fn new(s: &LatentDag, loadings: &Array2<f64>, streams: &Streams) -> Self {
        let mut rng = streams.rng("expression");
        let raw: Vec<f64> = (0..s.outputs).map(|_| (s.expression_sd * normal(&mut rng)).exp()).collect();
        let total: f64 = raw.iter().sum();
        // Room for changes below the largest share that the tables reach.
        let most = SHARES.1 / 4.0;
        let base = raw.iter().map(|v| (s.measured_share * v / total).clamp(SHARES.0, most).ln()).collect::<Vec<_>>();
        let mut rng = streams.rng("dispersion");
        let n = if s.dispersion_sd > 0.0 { CLASSES } else { 1 };
        let of_class: Vec<f64> = (0..n)
            .map(|c| framework::numerics::stats::normal_quantile((c as f64 + 0.5) / n as f64))
            .map(|z| s.dispersion * (s.dispersion_sd * z).exp())
            .collect();
        let class: Vec<usize> = (0..s.outputs).map(|_| rng.random_range(0..n)).collect();
        let laws = laws_of(s, &of_class);
        let control = base.iter().zip(&class).map(|(&b, &c)| triple(&laws[c], b)).collect();
        // Every program has a direction among the states, so that outputs of one program vary together.
        let mut rng = streams.rng("cell state");
        let directions = Array2::from_shape_simple_fn((s.programs, STATES), || normal(&mut rng));
        let mut state = loadings.dot(&directions);
        for mut row in state.outer_iter_mut() {
            let length = row.dot(&row).sqrt();
            row *= if length > 0.0 { s.cell_state_sd / length } else { 0.0 };
        }
        let alpha = class.iter().map(|&c| of_class[c]).collect();
        Self { laws, class, alpha, base, control, state: state.iter().map(|v| *v as f32).collect() }
    }

    /// Mean, variance and ln P(0) of an output whose ln(share) differs by `change` from control.
    fn at(&self, output: usize, change: f64) -> [f64; 3] {
        triple(&self.laws[self.class[output]], self.base[output] + change)
    }
}

/// The settings that laws follow from, and the laws.
type Tabulated = ([u64; 6], Arc<Vec<CountLaw>>);

/// The laws of the dispersions. Worlds of one scenario differ in seed and not in these, so they are tabulated once.
fn laws_of(s: &LatentDag, alpha: &[f64]) -> Arc<Vec<CountLaw>> {
    static KNOWN: Mutex<Vec<Tabulated>> = Mutex::new(Vec::new());
    let key = [s.dispersion, s.dispersion_sd, s.library, s.library_sd, s.cell_state_sd, s.target].map(f64::to_bits);
    if let Some(found) = KNOWN.lock().unwrap_or_else(|e| e.into_inner()).iter().find(|t| t.0 == key) {
        return found.1.clone();
    }
    let law = |a: &f64| CountLaw::new(*a, s.library, s.library_sd, s.cell_state_sd, s.target);
    let made: Arc<Vec<CountLaw>> = Arc::new(alpha.iter().map(law).collect());
    let mut known = KNOWN.lock().unwrap_or_else(|e| e.into_inner());
    if known.len() >= 8 {
        known.remove(0);
    }
    known.push((key, made.clone()));
    made
}

fn triple(law: &CountLaw, ln_share: f64) -> [f64; 3] {
    let m = law.moments(ln_share);
    [m.mean, m.variance, m.ln_zero]
}

/// One lane: what it does to cells, and the mean of its control cells.
#[derive(Debug)]
struct Lane {
    number: u32,
    shift: Vec<f32>,
    scale: f64,
    library: f64,
    control: Vec<f32>,
}

/// Cells of one kind under a perturbation and guide.
struct Part {
    /// Share of the cells.
    weight: f64,
    /// Their program states.
    states: Array1<f64>,
    /// Outputs of the target genes themselves, and the change of ln(share) there.
    own: Vec<(usize, f64)>,
}

/// Work space for drawing cells.
struct Work {
    sampler: Option<CountSampler>,
    row: Vec<f32>,
}

impl World {
    fn new(settings: &LatentDag, streams: &Streams) -> Result<Self> {
        settings.check()?;
        let s = settings.clone();
        let (n, k) = (s.genes, s.programs);

        let mut rng = streams.rng("edges");
        let mut edges = Array2::zeros((k, k));
        let layer = |l: usize| s.depth.map_or(l, |depth| l * depth.min(k) / k);
        for l in 0..k {
            for j in 0..l {
                // Both numbers are drawn whatever the probability, so that the dial keeps the other edges.
                let (u, w): (f64, f64) = (rng.random(), normal(&mut rng));
                if u < s.edge_probability && layer(j) < layer(l) {
                    edges[(l, j)] = s.edge_scale * w;
                }
            }
        }

        // A module acts on its own program at full strength and on some others at half.
        let mut rng = streams.rng("modules");
        let modules: Vec<Vec<(usize, f64)>> = (0..k)
            .map(|own| {
                let others = rand::seq::index::sample(&mut rng, k - 1, s.programs_per_gene - 1);
                let others = others.into_iter().map(|p| if p < own { p } else { p + 1 });
                let mut acts: Vec<(usize, f64)> = others.map(|p| (p, 0.0)).collect();
                acts.iter_mut().for_each(|a| a.1 = 0.5 * normal(&mut rng));
                acts.push((own, 1.0));
                acts
            })
            .collect();
        let mut rng = streams.rng("genes");
        let mut still = streams.rng("inert");
        let mut inputs = Array2::zeros((n, k));
        let mut module_of = Vec::with_capacity(n);
        for mut row in inputs.outer_iter_mut() {
            let module = rng.random_range(0..k);
            module_of.push(module);
            // Log-normal with mean square 1.
            let strength = (s.effect_tail * normal(&mut rng) - s.effect_tail * s.effect_tail).exp();
            for &(p, w) in &modules[module] {
                row[p] = strength * (w + 0.3 * normal(&mut rng));
            }
            row[0] += s.common * strength;
            if still.random::<f64>() < s.inert {
                row.fill(0.0);
            }
        }
        let mut rng = streams.rng("components");
        let component: Vec<u32> = (0..n).map(|_| rng.random_range(0..s.components as u32)).collect();
        let mut rng = streams.rng("efficacy");
        let (mean, sd) = (s.guide_efficacy, s.efficacy_sd);
        let concentration = mean * (1.0 - mean) / (sd * sd) - 1.0;
        let share = Beta::new(mean * concentration, (1.0 - mean) * concentration).ok().filter(|_| sd > 0.0);
        let efficacy = Array2::from_shape_simple_fn((n, s.guides), || share.map_or(mean, |b| b.sample(&mut rng)));

        let mut rng = streams.rng("readout");
        let loadings = match s.readout {
            Readout::Scalar => Array2::from_shape_simple_fn((2, k), || normal(&mut rng) / (k as f64).sqrt()),
            _ => {
                // Each output follows one program, and all others a little.
                let mut c = Array2::from_shape_simple_fn((s.outputs, k), || 0.2 * normal(&mut rng));
                for (o, mut row) in c.outer_iter_mut().enumerate() {
                    let sign = if rng.random::<bool>() { 1.0 } else { -1.0 };
                    let (any, with_gene) = (rng.random_range(0..k), rng.random::<f64>() < s.coexpression);
                    let program = module_of.get(o).filter(|_| with_gene).copied().unwrap_or(any);
                    row[program] += sign * (1.0 + 0.3 * normal(&mut rng));
                }
                c
            }
        };
        let reach = if s.order > 1 { Reach::new(&inputs, &edges) } else { Reach::default() };
        let mut world = Self {
            pool: Arc::new(Pool::singles(Arc::new(Genes::new((0..n).map(|g| format!("g{g}")))?))),
            settings: s,
            inputs,
            edges,
            component,
            reach,
            efficacy,
            planted: HashMap::new(),
            loadings,
            scale: 1.0,
            counts: None,
            lanes: vec![],
            control: None,
        };
        world.set_size()?;
        world.list_sets(streams)?;
        if world.settings.readout != Readout::Scalar {
            if world.settings.noise == Noise::Counts {
                world.counts = Some(CountModel::new(&world.settings, &world.loadings, streams));
                world.loadings *= world.settings.effect_size;
            }
            world.open_lanes(streams)?;
        }
        Ok(world)
    }

    /// Unit size over the single genes: the sd of a scalar, the root mean square of a profile's entries.
    fn set_size(&mut self) -> Result<()> {
        let n = self.settings.genes;
        let single = |g: usize| self.states(self.inputs.row(g).to_owned());
        let size = if self.settings.readout == Readout::Scalar {
            let y: Vec<f64> = (0..n).map(|g| self.read(&single(g))[0]).collect();
            framework::numerics::stats::sd(&y)
        } else {
            let square = self.loadings.t().dot(&self.loadings);
            let total: f64 = (0..n).map(single).map(|h| h.dot(&square.dot(&h))).sum();
            (total / (n * self.settings.outputs) as f64).sqrt()
        };
        if !(size > 0.0 && size.is_finite()) {
            return Err(Error::Config(format!(
                "latent_dag: the single-gene effects have size {size}, so they cannot be scaled; lower edge_scale, \
                 effect_tail or inert"
            )));
        }
        self.scale = 1.0 / size;
        if self.settings.readout != Readout::Scalar {
            self.loadings /= size;
        }
        Ok(())
    }

    /// The pool of more than single genes, and the interactions planted in it.
    fn list_sets(&mut self, streams: &Streams) -> Result<()> {
        let s = &self.settings;
        if s.order == 1 {
            return Ok(());
        }
        let genes = self.pool.genes().clone();
        let wanted = [
            (Relation::Separable, "separable", s.separable),
            (Relation::Disjoint, "disjoint", s.disjoint),
            (Relation::Interacting, "interacting", s.interacting),
        ];
        let n_sets: usize = wanted.iter().map(|w| w.2).sum();
        let mut extra = vec![];
        if n_sets == 0 {
            self.pool = Arc::new(Pool::all_pairs(genes));
            let mut rng = streams.rng("interactions");
            extra = rand::seq::index::sample(&mut rng, self.pool.len(), s.interactions.min(self.pool.len())).into_vec();
        } else {
            let active: Vec<usize> = (0..s.genes).filter(|&g| self.inputs.row(g).iter().any(|v| *v != 0.0)).collect();
            let mut found: [Vec<Perturbation>; 3] = Default::default();
            let mut seen = BTreeSet::new();
            let mut rng = streams.rng("sets");
            for _ in 0..2000 * n_sets {
                if found.iter().zip(&wanted).all(|(f, w)| f.len() == w.2) || active.len() < s.order {
                    break;
                }
                let drawn = rand::seq::index::sample(&mut rng, active.len(), s.order);
                let set = Perturbation::new(drawn.into_iter().map(|i| Gene(active[i] as u32)));
                let relation = self.relation(set.genes());
                if let Some(kind) = wanted.iter().position(|w| w.0 == relation)
                    && found[kind].len() < wanted[kind].2
                    && seen.insert(set.clone())
                {
                    found[kind].push(set);
                }
            }
            if let Some((f, (_, name, n))) = found.iter().zip(&wanted).find(|(f, w)| f.len() < w.2) {
                return Err(Error::Config(format!(
                    "latent_dag: found {} of {name} = {n} sets of {} genes; genes separate more often with more \
                     programs, fewer programs_per_gene, a lower edge_probability and common = 0, and are more often \
                     disjoint with more components",
                    f.len(),
                    s.order
                )));
            }
            let mut list: Vec<Perturbation> = (0..s.genes).map(|g| Perturbation::new([Gene(g as u32)])).collect();
            if s.order == 3 {
                let pairs = found.iter().flatten().flat_map(|t| {
                    let g = t.genes();
                    [[g[0], g[1]], [g[0], g[2]], [g[1], g[2]]].map(Perturbation::new)
                });
                list.extend(pairs.collect::<BTreeSet<_>>());
            }
            let [separable, disjoint, interacting] = found;
            list.extend(separable.into_iter().chain(disjoint));
            extra.extend(list.len()..list.len() + interacting.len());
            list.extend(interacting);
            self.pool = Arc::new(Pool::list(genes, list)?);
        }
        let mut rng = streams.rng("planted");
        for id in extra {
            let mut v = Array1::zeros(s.programs);
            for p in rand::seq::index::sample(&mut rng, s.programs, s.programs_per_gene) {
                v[p] = s.interaction_strength * normal(&mut rng);
            }
            self.planted.insert(id, v);
        }
        Ok(())
    }

    /// How genes act together, apart from what is planted.
    fn relation(&self, genes: &[Gene]) -> Relation {
        let mut all = (0..genes.len()).flat_map(|i| (0..i).map(move |j| (genes[i], genes[j]))).map(|(a, b)| {
            if self.component[a.index()] != self.component[b.index()] {
                Relation::Disjoint
            } else if self.reach.meet(a, b) {
                Relation::Interacting
            } else {
                Relation::Separable
            }
        });
        let Some(first) = all.next() else { return Relation::Single };
        if all.all(|r| r == first) { first } else { Relation::Mixed }
    }

    /// Draws what each lane does, and its control cells.
    fn open_lanes(&mut self, streams: &Streams) -> Result<()> {
        let s = &self.settings;
        let keep = s.readout == Readout::Cells;
        let opened: Vec<(Lane, Option<Array2<f32>>)> = (0..s.lanes)
            .into_par_iter()
            .map(|number| {
                let key = streams.child("lane").index(number);
                let mut rng = key.rng("shift");
                let shift = (0..s.outputs).map(|_| (s.lane_sd * normal(&mut rng)) as f32).collect();
                let mut rng = key.rng("factors");
                let scale = (s.lane_scale * normal(&mut rng) - 0.5 * s.lane_scale * s.lane_scale).exp();
                let library = (s.lane_library * normal(&mut rng)).exp();
                let mut lane = Lane { number: number as u32, shift, scale, library, control: vec![] };
                let mut rng = key.rng("control");
                let (mut work, still) = (self.work(), vec![0.0; s.outputs]);
                let mut cell = vec![0.0; s.outputs];
                let mut sum = vec![0.0f64; s.outputs];
                let mut kept = Array2::zeros((if keep { s.control_cells } else { 0 }, s.outputs));
                for c in 0..s.control_cells {
                    self.draw(&lane, &still, &mut work, &mut rng, &mut cell);
                    sum.iter_mut().zip(&cell).for_each(|(t, v)| *t += f64::from(*v));
                    if keep {
                        kept.row_mut(c).assign(&ArrayView1::from(&cell[..]));
                    }
                }
                lane.control = sum.iter().map(|t| (t / s.control_cells as f64) as f32).collect();
                kept -= &ArrayView1::from(&lane.control[..]);
                (lane, keep.then_some(kept))
            })
            .collect();
        let mut mean = Array1::<f64>::zeros(s.outputs);
        let mut blocks = vec![];
        let mut labels = vec![];
        for (lane, cells) in opened {
            mean.iter_mut().zip(&lane.control).for_each(|(m, v)| *m += f64::from(*v) / s.lanes as f64);
            if let Some(cells) = cells {
                labels.extend(std::iter::repeat_n(lane.number, cells.nrows()));
                blocks.push(cells);
            }
            self.lanes.push(lane);
        }
        let views: Vec<_> = blocks.iter().map(|b| b.view()).collect();
        let cells = if views.is_empty() {
            None
        } else {
            let x = ndarray::concatenate(Axis(0), &views).map_err(|e| Error::Plugin(e.to_string()))?;
            Some(Arc::new(Cells { x, lane: labels }))
        };
        let outputs = Some((0..self.settings.outputs).map(|o| format!("g{o}")).collect());
        self.control = Some(Arc::new(Control { mean, cells, outputs }));
        Ok(())
    }

    fn work(&self) -> Work {
        let sampler = self.counts.as_ref().map(|c| CountSampler::new(&c.alpha, self.settings.target));
        Work { sampler, row: vec![0.0; self.settings.outputs] }
    }

    /// The value of each output in one cell of a lane, from the effect on the profile (with counts: on ln(share)).
    fn draw(&self, lane: &Lane, effect: &[f32], work: &mut Work, rng: &mut StreamRng, out: &mut [f32]) {
        let s = &self.settings;
        let scale = lane.scale as f32;
        let (Some(counts), Some(sampler)) = (&self.counts, &mut work.sampler) else {
            for ((v, e), shift) in out.iter_mut().zip(effect).zip(&lane.shift) {
                *v = scale * e + shift + (s.cell_sd * normal(rng)) as f32;
            }
            return;
        };
        let (least, most) = (SHARES.0.ln() as f32, SHARES.1.ln() as f32);
        let rows = work.row.iter_mut().zip(&counts.base).zip(effect).zip(&lane.shift);
        for (((v, base), e), shift) in rows {
            *v = (*base as f32 + scale * e).clamp(least, most) + shift;
        }
        if s.cell_state_sd > 0.0 {
            let z: [f32; STATES] = std::array::from_fn(|_| normal(rng) as f32);
            for (v, direction) in work.row.iter_mut().zip(counts.state.as_chunks::<STATES>().0) {
                *v += direction.iter().zip(&z).map(|(a, b)| a * b).sum::<f32>();
            }
        }
        let library = s.library * lane.library * (s.library_sd * normal(rng)).exp();
        sampler.cell(&work.row, library, rng, out);
    }

    /// Program states h under the given inputs.
    fn states(&self, mut h: Array1<f64>) -> Array1<f64> {
        let nu = self.settings.nonlinearity;
        for l in 0..h.len() {
            let mut v = h[l];
            for (w, earlier) in self.edges.row(l).iter().zip(&h).take(l) {
                v += w * earlier;
            }
            h[l] = (1.0 - nu) * v + nu * v.tanh();
        }
        h
    }

    /// The kinds of cells under genes that are perturbed together by their guides of number `guide`.
    fn parts(&self, genes: &[Gene], extra: Option<&Array1<f64>>, guide: usize) -> Vec<Part> {
        let components = self.settings.components;
        let mut acted: Vec<u32> = genes.iter().map(|g| self.component[g.index()]).collect();
        acted.sort_unstable();
        acted.dedup();
        let mut parts = vec![];
        for (i, &c) in acted.iter().enumerate() {
            let mut v = Array1::zeros(self.settings.programs);
            let mut own = vec![];
            for g in genes.iter().filter(|g| self.component[g.index()] == c) {
                let e = self.efficacy[(g.index(), guide)];
                v.scaled_add(e, &self.inputs.row(g.index()));
                if g.index() < self.settings.outputs {
                    own.push((g.index(), (1.0 - e).max(LEFT).ln()));
                }
            }
            // An interaction of its own sits where the first gene acts.
            if let Some(extra) = extra.filter(|_| i == 0) {
                v += extra;
            }
            parts.push(Part { weight: 1.0 / components as f64, states: self.states(v), own });
        }
        if acted.len() < components {
            let weight = (components - acted.len()) as f64 / components as f64;
            parts.push(Part { weight, states: Array1::zeros(self.settings.programs), own: vec![] });
        }
        parts
    }

    /// The effect on the outputs of the cells of a part: on the profile, or on ln(share).
    fn effect(&self, part: &Part) -> Array1<f64> {
        let mut effect = self.loadings.dot(&part.states);
        if self.counts.is_some() {
            part.own.iter().for_each(|&(o, change)| effect[o] += change);
        }
        effect
    }

    /// Mean (minus control), variance between cells and ln P(no count) of each output, over the cells of one guide.
    fn cell_moments(&self, effects: &[(f64, Array1<f64>)]) -> [Array1<f64>; 3] {
        let s = &self.settings;
        let mut sums: [Array1<f64>; 3] = std::array::from_fn(|_| Array1::zeros(s.outputs));
        let [mean, square, zero] = &mut sums;
        let several = effects.len() > 1;
        for (weight, effect) in effects {
            for (o, e) in effect.iter().enumerate() {
                let [m, v, z] = match &self.counts {
                    None => [*e, s.cell_sd * s.cell_sd, f64::NEG_INFINITY],
                    Some(c) => {
                        let [m, v, z] = c.at(o, *e);
                        [m - c.control[o][0], v, z]
                    }
                };
                mean[o] += weight * m;
                square[o] += weight * (v + m * m);
                zero[o] += if several { weight * z.exp() } else { z };
            }
        }
        square.zip_mut_with(mean, |q, m| *q = (*q - m * m).max(0.0));
        if several {
            zero.mapv_inplace(f64::ln);
        }
        sums
    }

    /// Guides that differ: one where all have the same efficacy.
    fn n_different_guides(&self) -> usize {
        if self.settings.efficacy_sd > 0.0 { self.settings.guides } else { 1 }
    }

    /// For each different guide the moments of its cells.
    fn guide_moments(&self, genes: &[Gene], extra: Option<&Array1<f64>>) -> Vec<[Array1<f64>; 3]> {
        (0..self.n_different_guides())
            .map(|guide| {
                let parts = self.parts(genes, extra, guide);
                let effects: Vec<_> = parts.iter().map(|p| (p.weight, self.effect(p))).collect();
                self.cell_moments(&effects)
            })
            .collect()
    }

    /// The noise-free readout: the mean over guides.
    fn expected(&self, genes: &[Gene], extra: Option<&Array1<f64>>) -> Array1<f64> {
        let n = self.n_different_guides() as f64;
        let mut sum = Array1::zeros(self.n_outputs());
        if self.settings.readout == Readout::Scalar {
            for guide in 0..self.n_different_guides() {
                for part in self.parts(genes, extra, guide) {
                    sum.scaled_add(part.weight / n, &self.read(&part.states));
                }
            }
        } else {
            self.guide_moments(genes, extra).iter().for_each(|m| sum.scaled_add(1.0 / n, &m[0]));
        }
        sum
    }

    fn expected_of(&self, id: usize) -> Array1<f64> {
        self.pool.with_genes(id, |genes| self.expected(genes, self.planted.get(&id)))
    }

    /// The scalar phenotype of program states.
    fn read(&self, h: &Array1<f64>) -> Array1<f64> {
        let r = self.loadings.dot(h);
        let bend = 0.25 * self.settings.nonlinearity * ((1.0 + r[1] * r[1]).sqrt() - 1.0);
        ndarray::array![self.scale * (r[0] + bend)]
    }

    /// Rows of many perturbations, in tiles of fixed size.
    fn rows(&self, n: usize, row_of: impl Fn(usize) -> Array1<f64> + Sync) -> Array2<f64> {
        const TILE: usize = 16;
        let mut out = Array2::zeros((n, self.n_outputs()));
        out.axis_chunks_iter_mut(Axis(0), TILE).into_par_iter().enumerate().for_each(|(t, mut tile)| {
            for (i, mut row) in tile.outer_iter_mut().enumerate() {
                row.assign(&row_of(t * TILE + i));
            }
        });
        out
    }

    /// The lanes that an experiment may use, in ascending order.
    fn lanes_of(&self, experiment: &Experiment) -> Result<Vec<&Lane>> {
        let Some(chosen) = &experiment.lanes else { return Ok(self.lanes.iter().collect()) };
        let mut chosen = chosen.to_vec();
        chosen.sort_unstable();
        chosen.dedup();
        match chosen.iter().find(|&&l| l as usize >= self.lanes.len()) {
            Some(l) => {
                Err(Error::Config(format!("latent_dag: there is no lane {l} among lanes = {}", self.lanes.len())))
            }
            None if chosen.is_empty() => Err(Error::Config("latent_dag: an experiment needs at least one lane".into())),
            None => Ok(chosen.iter().map(|&l| &self.lanes[l as usize]).collect()),
        }
    }

    /// Measures one perturbation: the mean of its cells, its standard error, and the cells where they are kept.
    fn measure_one(
        &self,
        id: usize,
        key: &Streams,
        streams: &Streams,
        lanes: &[&Lane],
    ) -> (Array1<f64>, Array1<f64>, Option<Cells>) {
        let s = &self.settings;
        // Fewer lanes hold fewer of its cells.
        let each = ((s.cells as f64 * lanes.len() as f64 / s.lanes as f64).round() as usize).max(1);
        let n = each * s.guides;
        let keep = s.readout == Readout::Cells;
        let mut rng = key.rng("noise");
        let first = rng.random_range(0..lanes.len());
        let mut of_lane = vec![0usize; lanes.len()];
        let mut labels = Vec::with_capacity(if keep { n } else { 0 });
        let mut kept = Array2::zeros((if keep { n } else { 0 }, s.outputs));
        let (mut work, mut cell) = (self.work(), vec![0.0f32; s.outputs]);
        let mut sum = vec![0.0f64; s.outputs];
        let mut within = Array1::<f64>::zeros(s.outputs);
        for guide in 0..s.guides {
            let distinct = if s.efficacy_sd > 0.0 { guide } else { 0 };
            let parts = self.pool.with_genes(id, |genes| self.parts(genes, self.planted.get(&id), distinct));
            let effects: Vec<(f64, Array1<f64>)> = parts.iter().map(|p| (p.weight, self.effect(p))).collect();
            within += &self.cell_moments(&effects)[1];
            let mut drawn: Vec<(f64, Vec<f32>)> =
                effects.iter().map(|(w, e)| (*w, e.iter().map(|v| *v as f32).collect())).collect();
            if s.guide_sd > 0.0 {
                let mut rng = streams.child("guides").index(id).index(guide).rng("offset");
                for o in 0..s.outputs {
                    let offset = (s.guide_sd * normal(&mut rng)) as f32;
                    drawn.iter_mut().for_each(|d| d.1[o] += offset);
                }
            }
            for c in 0..each {
                let l = (first + c) % lanes.len();
                let mut part = 0;
                if drawn.len() > 1 {
                    let mut u: f64 = rng.random();
                    while part + 1 < drawn.len() && u >= drawn[part].0 {
                        u -= drawn[part].0;
                        part += 1;
                    }
                }
                self.draw(lanes[l], &drawn[part].1, &mut work, &mut rng, &mut cell);
                of_lane[l] += 1;
                for ((v, control), total) in cell.iter_mut().zip(&lanes[l].control).zip(&mut sum) {
                    *v -= control;
                    *total += f64::from(*v);
                }
                if keep {
                    labels.push(lanes[l].number);
                    kept.row_mut(guide * each + c).assign(&ArrayView1::from(&cell[..]));
                }
            }
        }
        let y = sum.iter().map(|t| t / n as f64).collect();
        let of_control = of_lane.iter().map(|&m| (m as f64 / n as f64).powi(2)).sum::<f64>() / s.control_cells as f64;
        let offsets = s.guide_sd * s.guide_sd / s.guides as f64;
        let mut sd = within * (each as f64 / (n * n) as f64);
        for (o, v) in sd.iter_mut().enumerate() {
            *v = (*v + of_control * self.control_variance(o) + offsets).sqrt();
        }
        (y, sd, keep.then_some(Cells { x: kept, lane: labels }))
    }

    fn control_variance(&self, output: usize) -> f64 {
        self.counts.as_ref().map_or(self.settings.cell_sd.powi(2), |c| c.control[output][1])
    }
}

impl Screen for World {
    fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    fn n_outputs(&self) -> usize {
        if self.settings.readout == Readout::Scalar { 1 } else { self.settings.outputs }
    }

    fn measure(&self, ids: &[usize], experiment: &Experiment, streams: &Streams) -> Result<Readouts> {
        let s = &self.settings;
        let mut out = Readouts::plain(ids, Array2::zeros((ids.len(), self.n_outputs())));
        let keys: Vec<Streams> = ids
            .iter()
            .zip(&out.replicate)
            .map(|(&id, &r)| streams.child("cells").index(id).index(r as usize))
            .collect();
        if s.readout == Readout::Scalar {
            if experiment.lanes.is_some() {
                return Err(Error::Config("latent_dag: a scalar phenotype has no lanes".into()));
            }
            out.y = self.rows(ids.len(), |i| self.expected_of(ids[i]));
            for (y, key) in out.y.iter_mut().zip(&keys) {
                *y += s.phenotype_noise * normal(&mut key.rng("noise"));
            }
            if s.phenotype_noise > 0.0 {
                out.sd = Some(Array2::from_elem(out.y.dim(), s.phenotype_noise));
            }
            return Ok(out);
        }
        let lanes = self.lanes_of(experiment)?;
        let mut sd = Array2::zeros(out.y.dim());
        let cells: Vec<Option<Arc<Cells>>> = out
            .y
            .outer_iter_mut()
            .into_par_iter()
            .zip(sd.outer_iter_mut().into_par_iter())
            .enumerate()
            .map(|(i, (mut y, mut error))| {
                let (mean, sd, cells) = self.measure_one(ids[i], &keys[i], streams, &lanes);
                y.assign(&mean);
                error.assign(&sd);
                cells.map(Arc::new)
            })
            .collect();
        out.sd = sd.iter().all(|v| *v > 0.0).then_some(sd);
        out.cells = cells.into_iter().collect();
        Ok(out)
    }

    fn n_lanes(&self) -> usize {
        self.lanes.len()
    }

    fn control(&self) -> Option<Arc<Control>> {
        self.control.clone()
    }

    /// From the expected values: |mean difference| over its standard error, with the cells of the perturbation on one
    /// side and all control cells on the other. An output does not count where more likely than not all cells of the
    /// perturbation are without a count of it while some control cell has one: its measured mean would be zero.
    fn clarity(&self, ids: &[usize]) -> Option<Array2<f64>> {
        let s = &self.settings;
        if s.readout == Readout::Scalar {
            return None;
        }
        let (n, n_control) = ((s.cells * s.guides) as f64, (s.control_cells * s.lanes) as f64);
        let half = 0.5f64.ln();
        Some(self.rows(ids.len(), |i| {
            let guides = self.pool.with_genes(ids[i], |g| self.guide_moments(g, self.planted.get(&ids[i])));
            let share = 1.0 / guides.len() as f64;
            let over = |f: &dyn Fn(&[Array1<f64>; 3]) -> f64| guides.iter().map(f).sum::<f64>() * share;
            Array1::from_shape_fn(s.outputs, |o| {
                let (mean, zero) = (over(&|m| m[0][o]), over(&|m| m[2][o]));
                let spread = over(&|m| m[1][o] + (m[0][o] - mean).powi(2));
                let control_zero = self.counts.as_ref().map_or(f64::NEG_INFINITY, |c| c.control[o][2]);
                if n * zero > half && n_control * control_zero <= half {
                    return f64::NEG_INFINITY;
                }
                let variance = spread / n + self.control_variance(o) / n_control;
                if mean == 0.0 { 0.0 } else { mean.abs() / variance.max(1e-300).sqrt() }
            })
        }))
    }

    fn truth(&self, ids: &[usize]) -> Option<Array2<f64>> {
        Some(self.rows(ids.len(), |i| self.expected_of(ids[i])))
    }

    fn single_effects(&self) -> Option<Array2<f64>> {
        (self.settings.order > 1).then(|| self.rows(self.settings.genes, |g| self.expected(&[Gene(g as u32)], None)))
    }

    fn gene_factors(&self) -> Option<Array2<f64>> {
        Some(self.inputs.clone())
    }

    fn relations(&self, ids: &[usize]) -> Option<Vec<Relation>> {
        if self.settings.order == 1 {
            return None;
        }
        let of = |id: &usize| match self.planted.contains_key(id) {
            true => Relation::Interacting,
            false => self.pool.with_genes(*id, |genes| self.relation(genes)),
        };
        Some(ids.iter().map(of).collect())
    }

    fn notes(&self) -> Vec<String> {
        let s = &self.settings;
        let some = |ids: &[usize]| {
            let few: Vec<String> = ids.iter().take(5).map(|&id| self.pool.label(id)).collect();
            format!("{}{}", few.join(", "), if ids.len() > 5 { ", ..." } else { "" })
        };
        let mut planted: Vec<usize> = self.planted.keys().copied().collect();
        planted.sort_unstable();
        let sets = [("separable", s.separable), ("disjoint", s.disjoint), ("interacting", s.interacting)];
        let mut at = self.pool.len() - sets.iter().map(|k| k.1).sum::<usize>().min(self.pool.len());
        if s.interactions > 0 {
            return vec![format!("{} pairs have an interaction of their own: {}", planted.len(), some(&planted))];
        }
        let mut notes = vec![];
        for (name, n) in sets.into_iter().filter(|k| k.1 > 0) {
            let ids: Vec<usize> = (at..at + n).collect();
            notes.push(format!("{n} sets of {} genes are {name}: {}", s.order, some(&ids)));
            at += n;
        }
        notes
    }
}

framework::register!(Oracle, LatentDag, "latent_dag", "simulated screen: genes act on a graph of latent programs");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::numerics::stats::{mean, sd};

    fn world(settings: LatentDag, seed: u64) -> World {
        World::new(&settings, &Streams::new(seed)).unwrap()
    }

    fn small() -> LatentDag {
        LatentDag { genes: 60, outputs: 12, lanes: 6, ..LatentDag::default() }
    }

    #[test]
    fn a_measurement_depends_on_the_perturbation_only() {
        for readout in [Readout::Scalar, Readout::Profile, Readout::Cells] {
            let w = world(LatentDag { readout, ..small() }, 1);
            let st = Streams::new(2);
            let a = w.measure(&[3, 7, 11], &Experiment::of_round(1), &st).unwrap();
            let b = w.measure(&[11, 3], &Experiment::of_round(1), &st).unwrap();
            assert_eq!(a.y.row(0), b.y.row(1));
            assert_eq!(a.y.row(2), b.y.row(0));
            let again = w.measure(&[3, 3], &Experiment::of_round(1), &st).unwrap();
            assert_eq!(again.y.row(0), a.y.row(0));
            assert_ne!(again.y.row(1), a.y.row(0), "replicates have their own noise");
            assert_eq!(w.measure(&[3], &Experiment::of_round(2), &st).unwrap().y.row(0), a.y.row(0), "in any round");
            assert_ne!(w.measure(&[3], &Experiment::of_round(1), &Streams::new(3)).unwrap().y.row(0), a.y.row(0));
        }
    }

    #[test]
    fn a_profile_is_the_mean_of_its_cells() {
        let ids: Vec<usize> = (0..60).collect();
        let measure = |readout| {
            world(LatentDag { readout, guides: 2, guide_sd: 0.1, ..small() }, 1)
                .measure(&ids, &Experiment::of_round(1), &Streams::new(2))
                .unwrap()
        };
        let (profile, cells) = (measure(Readout::Profile), measure(Readout::Cells));
        assert_eq!(profile.y, cells.y);
        for (row, c) in cells.y.outer_iter().zip(cells.cells.unwrap()) {
            assert_eq!(c.x.nrows(), 60, "30 for each guide");
            let m = c.x.mean_axis(Axis(0)).unwrap();
            assert!((&row - &m.mapv(f64::from)).iter().all(|d| d.abs() < 1e-5));
        }
        assert!(profile.cells.is_none());
    }

    #[test]
    fn the_stated_error_is_the_error() {
        let settings = LatentDag {
            readout: Readout::Profile,
            guides: 3,
            guide_sd: 0.4,
            lanes: 4,
            control_cells: 5,
            components: 2,
            ..small()
        };
        let ids: Vec<usize> = (0..60).collect();
        let mut z = vec![];
        for seed in 0..40 {
            let w = world(settings.clone(), seed);
            let r = w.measure(&ids, &Experiment::of_round(1), &Streams::new(seed)).unwrap();
            z.extend(((&r.y - &w.truth(&ids).unwrap()) / &r.sd.unwrap()).iter().copied());
        }
        // Rows of one world share their control cells, so the effective number is a few hundred.
        assert!(mean(&z).abs() < 0.15 && (sd(&z) - 1.0).abs() < 0.06, "{} {}", mean(&z), sd(&z));
    }

    #[test]
    fn effects_have_unit_size_and_a_heavy_tail() {
        let w = world(LatentDag::default(), 4);
        let ids: Vec<usize> = (0..1000).collect();
        let y = w.truth(&ids).unwrap().into_raw_vec_and_offset().0;
        assert!((sd(&y) - 1.0).abs() < 1e-9);
        let mut squares: Vec<f64> = y.iter().map(|v| v * v).collect();
        squares.sort_by(|a, b| b.total_cmp(a));
        let share = squares[..50].iter().sum::<f64>() / squares.iter().sum::<f64>();
        let still = y.iter().filter(|v| v.abs() < 0.5).count();
        println!("top 5 % carry {share:.2} of the sum of squares, {still} of 1000 below half an sd");
        assert!(share > 0.4 && still > 500, "{share} {still}");
        let p = world(LatentDag { readout: Readout::Profile, ..LatentDag::default() }, 4);
        let t = p.truth(&ids).unwrap();
        assert!((t.iter().map(|v| v * v).sum::<f64>() / t.len() as f64 - 1.0).abs() < 1e-9);
    }

    #[test]
    fn linear_programs_add_up_except_where_an_interaction_is_planted() {
        for readout in [Readout::Scalar, Readout::Profile] {
            let pairs = LatentDag { readout, order: 2, nonlinearity: 0.0, interactions: 5, ..small() };
            let w = world(pairs.clone(), 5);
            let single = w.single_effects().unwrap();
            let ids: Vec<usize> = (0..w.pool().len()).collect();
            let truth = w.truth(&ids).unwrap();
            let residual = |truth: &Array2<f64>, single: &Array2<f64>, id: usize| {
                w.pool().with_genes(id, |g| {
                    let sum = &single.row(g[0].index()) + &single.row(g[1].index());
                    (&truth.row(id) - &sum).iter().map(|v| v.abs()).fold(0.0, f64::max)
                })
            };
            let apart: Vec<usize> = ids.iter().copied().filter(|&id| residual(&truth, &single, id) > 1e-9).collect();
            assert_eq!(apart.len(), 5);
            assert!(apart.iter().all(|id| w.planted.contains_key(id)));
            assert!(w.notes()[0].starts_with("5 pairs have an interaction"));

            let bent = world(LatentDag { nonlinearity: 0.5, interactions: 0, ..pairs }, 5);
            let (t, s) = (bent.truth(&ids).unwrap(), bent.single_effects().unwrap());
            let many = ids.iter().filter(|&&id| residual(&t, &s, id) > 0.01).count();
            assert!(many > ids.len() / 4, "{many} of {}", ids.len());
        }
    }

    #[test]
    fn worlds_follow_their_seed() {
        let data = framework::data::DataRoot::default();
        let truth = |settings: &LatentDag, seed| {
            let s = settings.open(&Setup { data: &data, streams: &Streams::new(seed) }).unwrap();
            s.truth(&[0, 1, 2]).unwrap()
        };
        let (free, fixed) = (small(), LatentDag { world_seed: Some(3), ..small() });
        assert_ne!(truth(&free, 1), truth(&free, 2));
        assert_eq!(truth(&fixed, 1), truth(&fixed, 2));
        assert!(free.seeded() && !fixed.seeded());
    }

    #[test]
    fn all_pairs_of_twenty_thousand_genes_are_cheap() {
        let start = std::time::Instant::now();
        let w = world(LatentDag { genes: 20_000, order: 2, ..LatentDag::default() }, 1);
        let opened = start.elapsed();
        assert_eq!(w.pool().len(), 199_990_000);
        let ids: Vec<usize> = (0..10_000).map(|i| i * 19_999).collect();
        let start = std::time::Instant::now();
        let t = w.truth(&ids).unwrap();
        println!("opened in {opened:?}, truth of 10,000 pairs in {:?}", start.elapsed());
        assert!(t.iter().all(|v| v.is_finite()));
    }

    #[test]
    fn at_the_defaults_most_of_a_pair_is_additive() {
        let mut shares = vec![];
        for seed in 0..6 {
            let w = world(LatentDag { genes: 150, order: 2, ..LatentDag::default() }, seed);
            let ids: Vec<usize> = (0..w.pool().len()).collect();
            let (t, single) = (w.truth(&ids).unwrap(), w.single_effects().unwrap());
            let sum = |id: usize| w.pool().with_genes(id, |g| single[(g[0].index(), 0)] + single[(g[1].index(), 0)]);
            let residual: f64 = ids.iter().map(|&id| (t[(id, 0)] - sum(id)).powi(2)).sum();
            shares.push(residual / (ids.len() as f64 * t.var(0.0)));
        }
        println!("variance of pairs not additive: {shares:.3?}");
        assert!((0.02..0.12).contains(&mean(&shares)), "{shares:?}");
    }

    #[test]
    fn mistakes_name_the_setting() {
        let told = |s: LatentDag| World::new(&s, &Streams::new(1)).unwrap_err().to_string();
        assert_eq!(told(LatentDag { order: 4, ..small() }), "latent_dag: order = 4; it must be 1 to 3");
        assert_eq!(
            told(LatentDag { nonlinearity: 1.5, ..small() }),
            "latent_dag: nonlinearity = 1.5; it must be 0 to 1"
        );
    }

    /// Counts without anything that differs between lanes.
    fn counted() -> LatentDag {
        LatentDag {
            genes: 40,
            outputs: 60,
            readout: Readout::Profile,
            noise: Noise::Counts,
            guides: 2,
            guide_efficacy: 0.8,
            efficacy_sd: 0.2,
            effect_size: 0.5,
            cell_state_sd: 0.3,
            lane_sd: 0.0,
            ..LatentDag::default()
        }
    }

    #[test]
    fn the_truth_of_counts_is_what_cells_measure() {
        // Half a million cells: errors are a thousandth, and the truth is of the guides at hand.
        let settings = LatentDag { cells: 40_000, control_cells: 200_000, components: 2, ..counted() };
        let w = world(settings, 3);
        let ids = [0, 5, 17, 39];
        let r = w.measure(&ids, &Experiment::of_round(0), &Streams::new(4)).unwrap();
        let (truth, error) = (w.truth(&ids).unwrap(), r.sd.unwrap());
        let z: Vec<f64> = ((&r.y - &truth) / &error).iter().copied().collect();
        let largest = error.iter().fold(0.0f64, |m, v| m.max(*v));
        println!("largest error {largest:.4}, z: mean {:.2}, sd {:.2}", mean(&z), sd(&z));
        assert!(largest < 0.006, "{largest}");
        assert!(z.iter().all(|v| v.abs() < 5.0), "{z:?}");
        assert!((sd(&z) - 1.0).abs() < 0.2, "{}", sd(&z));
        // Effects are much larger than what is tested here.
        assert!(truth.iter().filter(|v| v.abs() > 0.1).count() > 40);
    }

    #[test]
    fn counts_agree_with_a_simulation_written_out() {
        // One output, one guide, by gamma and Poisson numbers and nothing from the plugin but ln(share).
        let settings = LatentDag { guides: 1, efficacy_sd: 0.0, guide_efficacy: 0.6, cell_state_sd: 0.0, ..counted() };
        let w = world(settings.clone(), 8);
        let counts = w.counts.as_ref().unwrap();
        let mut rng = Streams::new(9).rng("by hand");
        for (id, o) in [(3, 3), (3, 10), (7, 20)] {
            let part = &w.parts(&[Gene(id)], None, 0)[0];
            let changed = counts.base[o] + w.effect(part)[o];
            let mut value = |ln_share: f64| {
                let l = settings.library * (settings.library_sd * normal(&mut rng)).exp();
                let alpha = counts.alpha[o];
                let rate = rand_distr::Gamma::new(1.0 / alpha, alpha * l * ln_share.exp()).unwrap().sample(&mut rng);
                let k = rand_distr::Poisson::new(rate.max(1e-12)).unwrap().sample(&mut rng);
                (1.0 + settings.target * k / l).ln()
            };
            let n = 100_000;
            let difference: Vec<f64> = (0..n).map(|_| value(changed) - value(counts.base[o])).collect();
            let truth = w.truth(&[id as usize]).unwrap()[(0, o)];
            let error = sd(&difference) / (n as f64).sqrt();
            assert!(
                (mean(&difference) - truth).abs() < 4.0 * error,
                "{id} {o}: {} {truth} ± {error}",
                mean(&difference)
            );
        }
    }

    #[test]
    fn guides_differ_and_the_target_itself_falls() {
        let w = world(LatentDag { efficacy_sd: 0.2, ..counted() }, 3);
        let e = w.efficacy.row(5).to_vec();
        assert!(e[0] != e[1] && e.iter().all(|v| (0.0..=1.0).contains(v)));
        let all = w.efficacy.iter().copied().collect::<Vec<_>>();
        assert!((mean(&all) - 0.8).abs() < 0.08 && (sd(&all) - 0.2).abs() < 0.06, "{} {}", mean(&all), sd(&all));
        for (guide, e) in e.iter().enumerate() {
            let part = &w.parts(&[Gene(5)], None, guide)[0];
            assert_eq!(part.states, w.states(w.inputs.row(5).mapv(|v| v * e)));
            assert_eq!(part.own, [(5, (1.0 - e).max(LEFT).ln())]);
        }
        let moments = w.guide_moments(&[Gene(5)], None);
        let both = (&moments[0][0] + &moments[1][0]) / 2.0;
        let truth = w.truth(&[5]).unwrap();
        assert!((&both - &truth.row(0)).iter().all(|d| d.abs() < 1e-12));
        assert!(truth[(0, 5)] < 0.0);
    }

    #[test]
    fn lanes_cancel_on_average() {
        let lanes = LatentDag {
            lanes: 48,
            lane_sd: 0.2,
            lane_scale: 0.2,
            lane_library: 0.3,
            control_cells: 400,
            cells: 96,
            ..counted()
        };
        let mut z = vec![];
        let mut bias = Array1::<f64>::zeros(60);
        let runs = 12;
        for seed in 0..runs {
            let w = world(lanes.clone(), seed);
            let ids: Vec<usize> = (0..40).collect();
            let r = w.measure(&ids, &Experiment::of_round(0), &Streams::new(seed)).unwrap();
            let miss = &r.y - &w.truth(&ids).unwrap();
            bias += &(miss.mean_axis(Axis(0)).unwrap() / runs as f64);
            z.extend((miss / r.sd.unwrap()).iter().copied());
        }
        // The error that is stated leaves out what lanes do to effects, so it is a little small.
        println!("z: mean {:.3}, sd {:.3}; bias of outputs: {:.4}", mean(&z), sd(&z), bias.mean().unwrap());
        assert!(mean(&z).abs() < 0.1 && (0.95..1.4).contains(&sd(&z)), "{} {}", mean(&z), sd(&z));
        assert!(bias.mean().unwrap().abs() < 0.005);
    }

    #[test]
    fn lanes_can_be_restricted() {
        for noise in [Noise::Gaussian, Noise::Counts] {
            let w = world(LatentDag { noise, readout: Readout::Cells, lanes: 6, ..small() }, 1);
            let some = |lanes: &[u32]| Experiment { round: 1, lanes: Some(lanes.into()) };
            let r = w.measure(&[1, 2], &some(&[4, 2]), &Streams::new(2)).unwrap();
            let cells = &r.cells.unwrap()[0];
            assert_eq!(cells.x.nrows(), 10, "a third of the lanes, a third of the cells");
            assert_eq!(cells.lane.iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from([2, 4]));
            assert_eq!(w.n_lanes(), 6);
            let e = w.measure(&[1], &some(&[6]), &Streams::new(2)).unwrap_err().to_string();
            assert_eq!(e, "latent_dag: there is no lane 6 among lanes = 6");
            let control = w.control().unwrap();
            let own = control.cells.as_ref().unwrap();
            assert_eq!((own.x.nrows(), own.lane.len()), (600, 600));
            // Control cells have no lane effect left.
            let lane: Vec<usize> = (0..600).filter(|&c| own.lane[c] == 3).collect();
            assert!(lane.iter().map(|&c| own.x[(c, 0)]).sum::<f32>().abs() < 1e-3);
            assert_eq!(control.outputs.as_ref().unwrap()[11], "g11");
        }
    }

    #[test]
    fn cells_do_not_depend_on_threads_or_company() {
        let w = world(LatentDag { readout: Readout::Cells, lanes: 5, ..counted() }, 1);
        let ids: Vec<usize> = (0..40).collect();
        let run = |threads: usize, ids: &[usize]| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let w = world(w.settings.clone(), 1);
                let r = w.measure(ids, &Experiment::of_round(0), &Streams::new(2)).unwrap();
                (
                    r.y,
                    r.sd.unwrap(),
                    r.cells.unwrap()[0].x.clone(),
                    w.truth(ids).unwrap(),
                    w.control().unwrap().mean.clone(),
                )
            })
        };
        let one = run(1, &ids);
        assert_eq!(one, run(4, &ids));
        let alone = run(2, &[0]);
        assert_eq!(alone.0.row(0), one.0.row(0));
        assert_eq!(alone.2, one.2);
    }

    #[test]
    fn sets_are_what_they_are_called() {
        for noise in [Noise::Gaussian, Noise::Counts] {
            for order in [2, 3] {
                let settings = LatentDag {
                    noise,
                    order,
                    genes: 80,
                    programs: 30,
                    programs_per_gene: 1,
                    edge_probability: 0.05,
                    components: 3,
                    separable: 12,
                    disjoint: 10,
                    interacting: 8,
                    efficacy_sd: 0.0,
                    guide_efficacy: 1.0,
                    ..counted()
                };
                let w = world(settings, 2);
                let n = w.pool().len();
                assert_eq!(w.pool().max_order(), order);
                let ids: Vec<usize> = (0..n).collect();
                let relations = w.relations(&ids).unwrap();
                assert!(relations[..80].iter().all(|r| *r == Relation::Single));
                let last = &relations[n - 30..];
                assert!(last[..12].iter().all(|r| *r == Relation::Separable), "{last:?}");
                assert!(last[12..22].iter().all(|r| *r == Relation::Disjoint), "{last:?}");
                assert!(last[22..].iter().all(|r| *r == Relation::Interacting), "{last:?}");
                assert_eq!(w.notes().len(), 3);
                assert!(
                    w.notes()[0].starts_with(&format!("12 sets of {order} genes are separable: g")),
                    "{:?}",
                    w.notes()
                );

                let single = w.single_effects().unwrap();
                let truth = w.truth(&ids).unwrap();
                // What adds up: the truth for disjoint sets, in any scale; ln(share) or the profile of responding
                // cells for separable ones, at any non-linearity.
                for (id, relation) in relations.iter().enumerate().skip(n - 30) {
                    let missing = w.pool().with_genes(id, |genes| {
                        let sum = genes.iter().fold(Array1::<f64>::zeros(60), |s, g| s + single.row(g.index()));
                        let in_truth = (&truth.row(id) - &sum).iter().fold(0.0f64, |m, v| m.max(v.abs()));
                        let of = |genes: &[Gene], extra| w.effect(&w.parts(genes, extra, 0)[0]);
                        let together = of(genes, w.planted.get(&id));
                        let apart = genes.iter().fold(Array1::<f64>::zeros(60), |s, g| s + of(&[*g], None));
                        let in_cells = (&together - &apart).iter().fold(0.0f64, |m, v| m.max(v.abs()));
                        (in_truth, in_cells)
                    });
                    match relation {
                        Relation::Disjoint => assert!(missing.0 < 1e-9, "{missing:?}"),
                        Relation::Separable => assert!(missing.1 < 1e-9, "{missing:?}"),
                        _ => assert!(missing.0 > 1e-3 && missing.1 > 1e-3, "{missing:?}"),
                    }
                }
            }
        }
        let all = world(LatentDag { order: 2, components: 2, interactions: 3, ..small() }, 1);
        let ids: Vec<usize> = (0..all.pool().len()).collect();
        let relations = all.relations(&ids).unwrap();
        assert!(relations.contains(&Relation::Disjoint) && relations.contains(&Relation::Interacting));
        let e =
            World::new(&LatentDag { order: 2, separable: 5, common: 1.0, ..small() }, &Streams::new(1)).unwrap_err();
        assert!(e.to_string().contains("found 0 of separable = 5 sets of 2 genes"), "{e}");
    }

    #[test]
    fn counts_add_up_in_the_logarithm_where_programs_are_linear() {
        let w = world(LatentDag { order: 2, nonlinearity: 0.0, ..counted() }, 5);
        for id in [0, 100, 779] {
            w.pool().with_genes(id, |g| {
                let of = |genes: &[Gene]| w.effect(&w.parts(genes, None, 0)[0]);
                let miss = of(g) - of(&g[..1]) - of(&g[1..]);
                assert!(miss.iter().all(|v| v.abs() < 1e-10));
            });
        }
    }

    #[test]
    fn clarity_is_the_t_of_many_experiments() {
        let w = world(LatentDag { lanes: 4, expression_sd: 2.5, control_cells: 50, ..counted() }, 2);
        let ids = [1, 9];
        let clarity = w.clarity(&ids).unwrap();
        let truth = w.truth(&ids).unwrap();
        let runs: Vec<Array2<f64>> =
            (0..400).map(|seed| w.measure(&ids, &Experiment::of_round(0), &Streams::new(seed)).unwrap().y).collect();
        let (mut unseen, mut checked) = (0, 0);
        for (i, id) in ids.iter().enumerate() {
            for o in 0..60 {
                let values: Vec<f64> = runs.iter().map(|y| y[(i, o)]).collect();
                if clarity[(i, o)] == f64::NEG_INFINITY {
                    unseen += 1;
                    // The measured mean sits at zero counts in most experiments.
                    let lowest = values.iter().fold(f64::MAX, |m, v| m.min(*v));
                    assert!(values.iter().filter(|v| **v < lowest + 0.01).count() > 150, "{id} {o}");
                } else if truth[(i, o)].abs() > 0.05 {
                    // Without the control part, which is fixed in this world.
                    let spread = (truth[(i, o)] / clarity[(i, o)]).powi(2) - w.control_variance(o) / 200.0;
                    assert!(
                        (sd(&values) / spread.sqrt() - 1.0).abs() < 0.25,
                        "{id} {o}: {} {}",
                        sd(&values),
                        spread.sqrt()
                    );
                    checked += 1;
                }
            }
        }
        assert!(checked > 20 && unseen > 0, "{checked} {unseen}");
    }

    #[test]
    fn dials_of_the_graph() {
        let w = world(LatentDag { depth: Some(3), programs: 30, edge_probability: 1.0, ..small() }, 1);
        let mut longest = [1; 30];
        for l in 0..30 {
            for j in 0..l {
                if w.edges[(l, j)] != 0.0 {
                    longest[l] = longest[l].max(longest[j] + 1);
                }
            }
        }
        assert_eq!(longest.iter().max(), Some(&3));
        let quiet = world(LatentDag { genes: 1000, inert: 0.4, readout: Readout::Profile, ..small() }, 1);
        let ids: Vec<usize> = (0..1000).collect();
        let truth = quiet.truth(&ids).unwrap();
        let still = truth.outer_iter().filter(|r| r.iter().all(|v| *v == 0.0)).count();
        assert!((350..450).contains(&still), "{still}");
        let along = |common: f64| {
            let t = world(LatentDag { genes: 400, common, readout: Readout::Profile, ..small() }, 1)
                .truth(&ids[..400])
                .unwrap();
            let m = t.mean_axis(Axis(0)).unwrap();
            400.0 * m.dot(&m) / t.iter().map(|v| v * v).sum::<f64>()
        };
        println!("share of the mean response: {:.2} {:.2} {:.2}", along(0.0), along(0.5), along(2.0));
        assert!(along(0.0) < along(0.5) && along(0.5) < along(2.0));
    }

    #[test]
    fn presets_give_way_to_what_is_set() {
        let read = |text: &str| serde_json::from_str::<LatentDag>(text);
        let plain = read(r#"{"preset": "k562_essential"}"#).unwrap();
        assert_eq!(plain, Preset::K562Essential.settings());
        assert_eq!((plain.genes, plain.outputs, plain.cells, plain.guides, plain.lanes), (2058, 1000, 30, 2, 48));
        assert_eq!(read(r#"{"preset": "genome"}"#).unwrap().genes, 9748);
        for text in [
            r#"{"preset": "genome", "genes": 50, "depth": null}"#,
            r#"{"depth": null, "genes": 50, "preset": "genome"}"#,
        ] {
            let own = read(text).unwrap();
            assert_eq!(own, LatentDag { genes: 50, depth: None, ..Preset::Genome.settings() });
            assert_eq!(read(&serde_json::to_string(&own).unwrap()).unwrap(), own);
        }
        assert_eq!(read("{}").unwrap(), LatentDag::default());
        let e = read(r#"{"preset": "k562_essential", "cell": 3}"#).unwrap_err().to_string();
        assert!(e.starts_with("unknown field `cell`"), "{e}");
        let e = read(r#"{"preset": "k562"}"#).unwrap_err().to_string();
        assert!(e.starts_with("unknown variant `k562`, expected `k562_essential` or `genome`"), "{e}");
        let (path, e) = framework::plugin::check::<LatentDag>(serde_json::json!({"preset": "genome", "cells": "many"}))
            .unwrap_err();
        assert_eq!((path.as_str(), e.as_str()), ("cells", "invalid type: string \"many\", expected usize"));
        assert!(framework::plugin::fields::<LatentDag>().contains(&"lane_library"));
    }

    #[test]
    fn presets_can_be_opened() {
        let w = world(LatentDag { genes: 300, control_cells: 10, ..Preset::K562Essential.settings() }, 1);
        let r = w.measure(&[0, 1], &Experiment::of_round(0), &Streams::new(1)).unwrap();
        assert_eq!(r.y.dim(), (2, 1000));
        assert!(r.y.iter().all(|v| v.is_finite()));
        // What docs/design/simulator.md states of this preset: 0.0083 and 0.0025.
        let w = world(Preset::K562Essential.settings(), 0);
        let truth = w.truth(&(0..w.pool().len()).collect::<Vec<_>>()).unwrap();
        let power = |p: i32| truth.iter().map(|v| v.abs().powi(p)).sum::<f64>() / truth.len() as f64;
        assert!((power(2) - 0.0083).abs() < 0.0002 && (power(4) - 0.0025).abs() < 0.0001, "{} {}", power(2), power(4));
    }

    /// Prints what docs/design/simulator.md states. Settings other than the first preset's can be given as JSON:
    /// `SIMULATOR='{"preset": "genome"}' cargo test --lib preset_statistics -- --ignored --nocapture`
    #[test]
    #[ignore = "prints a table for the design note and asserts nothing; what it says is asserted in presets_can_be_opened"]
    fn preset_statistics() {
        use framework::numerics::stats::{pearson, quantile};
        let text = std::env::var("SIMULATOR").unwrap_or_else(|_| r#"{"preset": "k562_essential"}"#.into());
        let settings: LatentDag = serde_json::from_str(&text).unwrap();
        let clock = std::time::Instant::now;
        let memory = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
            let peak = status.lines().find(|l| l.starts_with("VmHWM")).map(|l| l[6..].trim().to_string());
            peak.unwrap_or_else(|| "unknown".into())
        };
        let start = clock();
        let w = world(settings.clone(), 0);
        println!("{text}: opened in {:.2?}, peak memory {}", start.elapsed(), memory());
        let n = w.pool().len();
        let ids: Vec<usize> = (0..n).collect();
        let start = clock();
        let truth = w.truth(&ids).unwrap();
        println!("truth of {n} perturbations in {:.2?}, peak memory {}", start.elapsed(), memory());

        let noise = Streams::new(0).child("noise");
        let some: Vec<usize> = (0..100).map(|i| i * n / 100).collect();
        let twice: Vec<usize> = some.iter().flat_map(|&id| [id, id]).collect();
        let one = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        // Time on the processor, whatever else runs on the machine.
        let busy = || -> f64 {
            let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
            text.split(' ').next().and_then(|t| t.parse::<f64>().ok()).unwrap_or(f64::NAN) / 1e6
        };
        let times: Vec<f64> = (0..5)
            .map(|_| {
                one.install(|| {
                    let start = busy();
                    w.measure(&some, &Experiment::of_round(0), &noise).unwrap();
                    (busy() - start) / 100.0
                })
            })
            .collect();
        println!(
            "measured in {:.2} ms of one core a perturbation (least of 5)",
            times.iter().fold(f64::MAX, |m, v| m.min(*v))
        );

        let show = |name: &str, v: &[f64]| {
            let q: Vec<String> =
                [0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99].iter().map(|q| format!("{:.3}", quantile(v, *q))).collect();
            println!("{name}: quantiles 5 25 50 75 90 95 99 %: {}", q.join(" "));
        };
        let norms: Vec<f64> = truth.outer_iter().map(|r| r.dot(&r).sqrt()).collect();
        show("norm of the effect", &norms);
        let median = quantile(&norms, 0.5);
        println!(
            "95 % over median {:.2}, 75 % over 25 % {:.2}",
            quantile(&norms, 0.95) / median,
            quantile(&norms, 0.75) / quantile(&norms, 0.25)
        );
        let power = |p: i32| truth.iter().map(|v| v.abs().powi(p)).sum::<f64>() / truth.len() as f64;
        println!("no change: mse {:.5}, fourth power {:.5}", power(2), power(4));

        let clear = w.clarity(&some).unwrap();
        let (mut mse, mut fourth) = (0.0, 0.0);
        let mut significant = vec![];
        for (i, &id) in some.iter().enumerate() {
            let mut order: Vec<usize> = (0..w.n_outputs()).collect();
            order.sort_by(|&a, &b| clear[(i, b)].total_cmp(&clear[(i, a)]));
            for &o in &order[..20.min(order.len())] {
                mse += truth[(id, o)].powi(2) / 2000.0;
                fourth += truth[(id, o)].powi(4) / 2000.0;
            }
            significant.push(clear.row(i).iter().filter(|t| **t > 4.5).count());
        }
        let at_least = |k: usize| significant.iter().filter(|s| **s >= k).count();
        println!("no change, 20 clearest outputs: mse {mse:.4}, fourth power {fourth:.4}");
        println!(
            "of 100 perturbations {} have 1, {} have 10, {} have 50 outputs with |t| > 4.5",
            at_least(1),
            at_least(10),
            at_least(50)
        );

        let r = w.measure(&twice, &Experiment::of_round(0), &noise).unwrap();
        let pair = |i: usize| (r.y.row(2 * i).to_vec(), r.y.row(2 * i + 1).to_vec());
        let between: Vec<f64> = (0..100).map(|i| pearson(&pair(i).0, &pair(i).1)).collect();
        show("correlation of two measurements", &between);
        let strong: Vec<f64> =
            (0..100).filter(|&i| norms[some[i]] >= quantile(&norms, 0.75)).map(|i| between[i]).collect();
        show("the same, strongest quarter", &strong);
        println!(
            "no change against measurements: mse {:.5}",
            r.y.iter().map(|v| v * v).sum::<f64>() / r.y.len() as f64
        );
        let mean_effect = truth.mean_axis(Axis(0)).unwrap();
        let common: Vec<f64> = some.iter().map(|&id| pearson(&truth.row(id).to_vec(), &mean_effect.to_vec())).collect();
        let common_measured: Vec<f64> = (0..100).map(|i| pearson(&pair(i).0, &mean_effect.to_vec())).collect();
        println!(
            "correlation with the mean effect: truth {:.3}, measured {:.3}",
            mean(&common),
            mean(&common_measured)
        );
        for centred in [false, true] {
            let x = if centred { &truth - &mean_effect } else { truth.clone() };
            let values = framework::numerics::eigh(x.t().dot(&x).view()).unwrap().0;
            let total: f64 = values.iter().map(|v| v.max(0.0)).sum();
            let shares: Vec<f64> = values.iter().rev().map(|v| v.max(0.0) / total).collect();
            let entropy: f64 = shares.iter().filter(|s| **s > 0.0).map(|s| -s * s.ln()).sum();
            let participation = 1.0 / shares.iter().map(|s| s * s).sum::<f64>();
            println!(
                "effective rank{}: {:.1} by entropy, {participation:.1} by participation; first {:.2}, first ten {:.2}",
                if centred { ", centred" } else { "" },
                entropy.exp(),
                shares[0],
                shares[..10.min(shares.len())].iter().sum::<f64>()
            );
        }
        if let Some(c) = &w.counts {
            let seen: Vec<f64> = c.base.iter().map(|b| b.exp() * settings.library).collect();
            show("mean count of an output", &seen);
            println!(
                "zeros among control values {:.2}",
                c.control.iter().map(|m| m[2].exp()).sum::<f64>() / seen.len() as f64
            );
        }
        println!("peak memory {}", memory());
    }
}
