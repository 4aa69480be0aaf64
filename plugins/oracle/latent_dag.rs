//! A simulated screen: genes act on a random graph of latent programs.
//!
//! World. Programs stand in a fixed order; each pair k < l is joined with probability `edge_probability` by a
//! weight w_lk. Genes fall into modules, one a program; a gene pushes its module's programs with a strength
//! a_g of heavy tail, which gives its row u_g of inputs. A perturbation of genes G enters as v = Σ_{g in G} u_g
//! and runs down the graph, h_l = φ(v_l + Σ_k w_lk h_k) with φ(t) = (1 - ν) t + ν tanh t, so that genes add up
//! exactly at ν = 0 and interact above. Readouts: the scalar phenotype βᵀh + ν/4 (√(1 + q²) - 1), q = γᵀh,
//! or the profile C h; both are scaled to unit size over all single genes, and an unperturbed cell reads 0.
//!
//! Measurement. A scalar has a Gaussian error. A profile is the mean of `cells` cells, each with its own
//! noise, the offset of its guide and the shift of its lane, minus the mean of that lane's own finite control
//! cells. Following the batch-effect design of IterPert (section 4), lanes can be divided over rounds.
//!
//! Cost: O(programs² + outputs x programs) for the truth of one perturbation, O(cells x outputs) to measure
//! it. Pairs are never listed, so all pairs of 20,000 genes cost no more than the genes.

use framework::prelude::*;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Simulates a screen of single genes or of all pairs, with known truth. Runs without any data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LatentDag {
    /// Genes that can be perturbed, named g0, g1, ...; default 1000.
    pub genes: usize,
    /// Latent programs; default 20.
    pub programs: usize,
    /// Probability that one program drives a later one, 0 to 1; default 0.2.
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
    /// Measured outputs of a profile; default 100.
    pub outputs: usize,
    /// What a measurement is: `"scalar"` (default), `"profile"`, or `"cells"` (profiles with their cells,
    /// each after subtraction of its lane's control mean).
    pub readout: Readout,
    /// Genes in a perturbation: 1 (every gene, default) or 2 (all pairs).
    pub order: usize,
    /// Pairs given an interaction of their own, on top of those from the non-linearity (order 2); default 0.
    pub interactions: usize,
    /// Size of such an interaction, as a multiple of the inputs of a typical gene; default 1.
    pub interaction_strength: f64,
    /// Cells of a perturbation over all lanes; default 30.
    pub cells: usize,
    /// Standard deviation between cells, in units of the profile; default 1.
    pub cell_sd: f64,
    /// Guides of a perturbation, which share its cells; default 1.
    pub guides: usize,
    /// Standard deviation of the offset that a guide gives all its cells; default 0.
    pub guide_sd: f64,
    /// Lanes (batches) over which cells are spread; default 1.
    pub lanes: usize,
    /// Standard deviation of a lane's shift of each output; default 0.5.
    pub lane_sd: f64,
    /// Groups of lanes, one a round with the initial set as round 0: set it to rounds + 1. A measurement
    /// then has only its group's share of the cells. 0 (default): every round uses all lanes.
    pub lane_groups: usize,
    /// Control cells of each lane; default 100.
    pub control_cells: usize,
    /// Standard deviation of a scalar measurement, in sds of the single-gene effects; default 0.3.
    pub phenotype_noise: f64,
    /// Seed of the world (graph, genes, readout); absent: each scenario seed has its own world.
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

impl Default for LatentDag {
    fn default() -> Self {
        Self {
            genes: 1000,
            programs: 20,
            edge_probability: 0.2,
            edge_scale: 1.0,
            nonlinearity: 0.7,
            programs_per_gene: 5,
            effect_tail: 1.0,
            outputs: 100,
            readout: Readout::Scalar,
            order: 1,
            interactions: 0,
            interaction_strength: 1.0,
            cells: 30,
            cell_sd: 1.0,
            guides: 1,
            guide_sd: 0.0,
            lanes: 1,
            lane_sd: 0.5,
            lane_groups: 0,
            control_cells: 100,
            phenotype_noise: 0.3,
            world_seed: None,
        }
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
        let whole = [
            ("genes", self.genes, 2, u32::MAX as usize),
            ("programs", self.programs, 1, usize::MAX),
            ("programs_per_gene", self.programs_per_gene, 1, self.programs),
            ("outputs", self.outputs, 1, usize::MAX),
            ("order", self.order, 1, 2),
            ("cells", self.cells, 1, usize::MAX),
            ("guides", self.guides, 1, self.cells),
            ("lanes", self.lanes, 1, u32::MAX as usize),
            ("lane_groups", self.lane_groups, 0, self.lanes),
            ("control_cells", self.control_cells, 1, usize::MAX),
        ];
        let real = [
            ("edge_probability", self.edge_probability, 1.0),
            ("edge_scale", self.edge_scale, f64::MAX),
            ("nonlinearity", self.nonlinearity, 1.0),
            ("effect_tail", self.effect_tail, 5.0),
            ("interaction_strength", self.interaction_strength, f64::MAX),
            ("cell_sd", self.cell_sd, f64::MAX),
            ("guide_sd", self.guide_sd, f64::MAX),
            ("lane_sd", self.lane_sd, f64::MAX),
            ("phenotype_noise", self.phenotype_noise, f64::MAX),
        ];
        for (name, v, least, most) in whole {
            if v < least || v > most {
                let upper = if most == usize::MAX { "more".into() } else { most.to_string() };
                return Err(Error::Config(format!("latent_dag: {name} = {v}; it must be {least} to {upper}")));
            }
        }
        for (name, v, most) in real {
            if !(0.0..=most).contains(&v) {
                let upper = if most == f64::MAX { "more".into() } else { most.to_string() };
                return Err(Error::Config(format!("latent_dag: {name} = {v}; it must be 0 to {upper}")));
            }
        }
        if self.interactions > 0 && self.order == 1 {
            return Err(Error::Config("latent_dag: interactions are between two genes; set order = 2".into()));
        }
        Ok(())
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
    /// Planted inputs of some pairs, by pool id.
    planted: HashMap<usize, Array1<f64>>,
    /// Scalar: β and γ as rows. Profile: C, outputs x programs. Scaled.
    loadings: Array2<f64>,
    /// What the non-linear part of the scalar is multiplied by.
    scale: f64,
}

fn normal(rng: &mut StreamRng) -> f64 {
    StandardNormal.sample(rng)
}

impl World {
    fn new(settings: &LatentDag, streams: &Streams) -> Result<Self> {
        settings.check()?;
        let s = settings.clone();
        let (n, k) = (s.genes, s.programs);

        let mut rng = streams.rng("edges");
        let mut edges = Array2::zeros((k, k));
        for l in 0..k {
            for j in 0..l {
                // Both numbers are drawn whatever the probability, so that the dial keeps the other edges.
                let (u, w): (f64, f64) = (rng.random(), normal(&mut rng));
                if u < s.edge_probability {
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
        let mut inputs = Array2::zeros((n, k));
        for mut row in inputs.outer_iter_mut() {
            let module = rng.random_range(0..k);
            // Log-normal with mean square 1.
            let strength = (s.effect_tail * normal(&mut rng) - s.effect_tail * s.effect_tail).exp();
            for &(p, w) in &modules[module] {
                row[p] = strength * (w + 0.3 * normal(&mut rng));
            }
        }

        let genes = Arc::new(Genes::new((0..n).map(|g| format!("g{g}")))?);
        let pool = Arc::new(if s.order == 1 { Pool::singles(genes) } else { Pool::all_pairs(genes) });
        let mut rng = streams.rng("interactions");
        let mut planted = HashMap::new();
        let n_planted = s.interactions.min(pool.len());
        for id in rand::seq::index::sample(&mut rng, pool.len(), n_planted) {
            let mut v = Array1::zeros(k);
            for p in rand::seq::index::sample(&mut rng, k, s.programs_per_gene) {
                v[p] = s.interaction_strength * normal(&mut rng);
            }
            planted.insert(id, v);
        }

        let mut rng = streams.rng("readout");
        let loadings = match s.readout {
            Readout::Scalar => Array2::from_shape_simple_fn((2, k), || normal(&mut rng) / (k as f64).sqrt()),
            _ => {
                // Each output follows one program, and all others a little.
                let mut c = Array2::from_shape_simple_fn((s.outputs, k), || 0.2 * normal(&mut rng));
                for mut row in c.outer_iter_mut() {
                    let sign = if rng.random::<bool>() { 1.0 } else { -1.0 };
                    row[rng.random_range(0..k)] += sign * (1.0 + 0.3 * normal(&mut rng));
                }
                c
            }
        };
        let mut world = Self { settings: s, pool, inputs, edges, planted, loadings, scale: 1.0 };

        // Unit size over the single genes: the sd of a scalar, the root mean square of a profile's entries.
        let size = if world.settings.readout == Readout::Scalar {
            let y: Vec<f64> = (0..n).map(|g| world.read(&world.single(g))[0]).collect();
            framework::numerics::stats::sd(&y)
        } else {
            let square = framework::numerics::symmetric_product(world.loadings.view());
            let total: f64 = (0..n).map(|g| world.single(g)).map(|h| h.dot(&square.dot(&h))).sum();
            (total / (n * world.settings.outputs) as f64).sqrt()
        };
        if size > 0.0 && size.is_finite() {
            world.scale = 1.0 / size;
            if world.settings.readout != Readout::Scalar {
                world.loadings /= size;
            }
        } else {
            return Err(Error::Config(format!(
                "latent_dag: the single-gene effects have size {size}, so they cannot be scaled; lower edge_scale or effect_tail"
            )));
        }
        Ok(world)
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

    fn single(&self, gene: usize) -> Array1<f64> {
        self.states(self.inputs.row(gene).to_owned())
    }

    fn perturbed(&self, id: usize) -> Array1<f64> {
        let mut v = Array1::zeros(self.settings.programs);
        self.pool.with_genes(id, |genes| genes.iter().for_each(|g| v += &self.inputs.row(g.index())));
        if let Some(extra) = self.planted.get(&id) {
            v += extra;
        }
        self.states(v)
    }

    /// The noise-free readout of program states.
    fn read(&self, h: &Array1<f64>) -> Array1<f64> {
        let r = self.loadings.dot(h);
        match self.settings.readout {
            Readout::Scalar => {
                let bend = 0.25 * self.settings.nonlinearity * ((1.0 + r[1] * r[1]).sqrt() - 1.0);
                ndarray::array![self.scale * (r[0] + bend)]
            }
            _ => r,
        }
    }

    /// Readouts of many perturbations, in tiles of fixed size.
    fn rows(&self, n: usize, state: impl Fn(usize) -> Array1<f64> + Sync) -> Array2<f64> {
        const TILE: usize = 64;
        let mut out = Array2::zeros((n, self.n_outputs()));
        out.axis_chunks_iter_mut(Axis(0), TILE).into_par_iter().enumerate().for_each(|(t, mut tile)| {
            for (i, mut row) in tile.outer_iter_mut().enumerate() {
                row.assign(&self.read(&state(t * TILE + i)));
            }
        });
        out
    }

    /// The lanes that a round may use.
    fn lanes_of(&self, round: usize, streams: &Streams) -> Result<Vec<u32>> {
        let s = &self.settings;
        let mut lanes: Vec<u32> = (0..s.lanes as u32).collect();
        if s.lane_groups == 0 {
            return Ok(lanes);
        }
        if round >= s.lane_groups {
            return Err(Error::Config(format!(
                "latent_dag: lane_groups = {} serves rounds 0 to {}, and this is round {round}; set it to the \
                 number of rounds plus one",
                s.lane_groups,
                s.lane_groups - 1
            )));
        }
        rand::seq::SliceRandom::shuffle(&mut lanes[..], &mut streams.rng("lanes"));
        let size = s.lanes / s.lane_groups;
        Ok(lanes[round * size..(round + 1) * size].to_vec())
    }

    /// Cells of one perturbation minus their lane's control mean (cells x outputs), with their lanes, and the
    /// variance of their mean around the truth.
    fn cells(&self, truth: ArrayView1<f64>, id: usize, key: &Streams, streams: &Streams, lanes: &[Lane]) -> ((Array2<f64>, Vec<u32>), f64) {
        let s = &self.settings;
        let share = lanes.len() as f64 / s.lanes as f64;
        let n = ((s.cells as f64 * share).round() as usize).max(1);
        let guides: Vec<Array1<f64>> = (0..s.guides)
            .map(|g| {
                let mut rng = streams.child("guides").index(id).index(g).rng("offset");
                Array1::from_shape_simple_fn(truth.len(), || s.guide_sd * normal(&mut rng))
            })
            .collect();
        let mut rng = key.rng("noise");
        let first = rng.random_range(0..lanes.len());
        let mut of_lane = vec![0usize; lanes.len()];
        let mut of_guide = vec![0usize; s.guides];
        let mut lane = Vec::with_capacity(n);
        let mut x = Array2::zeros((n, truth.len()));
        for (c, mut row) in x.outer_iter_mut().enumerate() {
            let (g, l) = (c % s.guides, (first + c / s.guides) % lanes.len());
            of_guide[g] += 1;
            of_lane[l] += 1;
            lane.push(lanes[l].number);
            for (o, v) in row.iter_mut().enumerate() {
                let raw = truth[o] + guides[g][o] + lanes[l].shift[o] + s.cell_sd * normal(&mut rng);
                *v = raw - lanes[l].control[o];
            }
        }
        let shares = |counts: &[usize]| counts.iter().map(|&m| (m as f64 / n as f64).powi(2)).sum::<f64>();
        let variance = s.cell_sd.powi(2) * (1.0 / n as f64 + shares(&of_lane) / s.control_cells as f64)
            + s.guide_sd.powi(2) * shares(&of_guide);
        ((x, lane), variance)
    }
}

/// One lane: its shift and the mean of its control cells.
struct Lane {
    number: u32,
    shift: Vec<f64>,
    control: Vec<f64>,
}

impl Screen for World {
    fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    fn n_outputs(&self) -> usize {
        if self.settings.readout == Readout::Scalar { 1 } else { self.settings.outputs }
    }

    fn measure(&self, ids: &[usize], experiment: &Experiment, streams: &Streams) -> Result<Readouts> {
        let round = experiment.round;
        let s = &self.settings;
        let mut out = Readouts::plain(ids, self.rows(ids.len(), |i| self.perturbed(ids[i])));
        let keys: Vec<Streams> = ids
            .iter()
            .zip(&out.replicate)
            .map(|(&id, &r)| streams.child("cells").index(id).index(r as usize))
            .collect();
        if s.readout == Readout::Scalar {
            for (y, key) in out.y.iter_mut().zip(&keys) {
                *y += s.phenotype_noise * normal(&mut key.rng("noise"));
            }
            if s.phenotype_noise > 0.0 {
                out.sd = Some(Array2::from_elem(out.y.dim(), s.phenotype_noise));
            }
            return Ok(out);
        }
        let lanes: Vec<Lane> = self
            .lanes_of(round, streams)?
            .into_iter()
            .map(|number| {
                let mut rng = streams.child("lane").index(number as usize).rng("shift");
                let shift: Vec<f64> = (0..s.outputs).map(|_| s.lane_sd * normal(&mut rng)).collect();
                let error = s.cell_sd / (s.control_cells as f64).sqrt();
                let control = shift.iter().map(|v| v + error * normal(&mut rng)).collect();
                Lane { number, shift, control }
            })
            .collect();
        let measured: Vec<((Array2<f64>, Vec<u32>), f64)> = (0..ids.len())
            .into_par_iter()
            .map(|r| self.cells(out.y.row(r), ids[r], &keys[r], streams, &lanes))
            .collect();
        let mut sd = Array2::zeros(out.y.dim());
        let mut cells = Vec::with_capacity(if s.readout == Readout::Cells { ids.len() } else { 0 });
        for (r, (c, variance)) in measured.into_iter().enumerate() {
            out.y.row_mut(r).assign(&(c.0.sum_axis(Axis(0)) / c.0.nrows() as f64));
            sd.row_mut(r).fill(variance.sqrt());
            if s.readout == Readout::Cells {
                cells.push(Arc::new(Cells { x: c.0.mapv(|v| v as f32), lane: c.1 }));
            }
        }
        if s.lane_groups > 0 {
            out.lane.fill(round as u32);
        }
        out.sd = sd.iter().all(|v| *v > 0.0).then_some(sd);
        out.cells = (s.readout == Readout::Cells).then_some(cells);
        Ok(out)
    }

    fn truth(&self, ids: &[usize]) -> Option<Array2<f64>> {
        Some(self.rows(ids.len(), |i| self.perturbed(ids[i])))
    }

    fn single_effects(&self) -> Option<Array2<f64>> {
        (self.settings.order > 1).then(|| self.rows(self.settings.genes, |g| self.single(g)))
    }

    fn gene_factors(&self) -> Option<Array2<f64>> {
        Some(self.inputs.clone())
    }

    fn notes(&self) -> Vec<String> {
        if self.planted.is_empty() {
            return vec![];
        }
        let ids: BTreeSet<usize> = self.planted.keys().copied().collect();
        let some: Vec<String> = ids.iter().take(5).map(|&id| self.pool.label(id)).collect();
        let more = if ids.len() > 5 { ", ..." } else { "" };
        vec![format!("{} pairs have an interaction of their own: {}{more}", ids.len(), some.join(", "))]
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
        let measure = |readout| world(LatentDag { readout, guides: 2, guide_sd: 0.1, ..small() }, 1).measure(&ids, &Experiment::of_round(1), &Streams::new(2)).unwrap();
        let (profile, cells) = (measure(Readout::Profile), measure(Readout::Cells));
        assert_eq!(profile.y, cells.y);
        for (row, c) in cells.y.outer_iter().zip(cells.cells.unwrap()) {
            assert_eq!(c.x.nrows(), 30);
            let m = c.x.mean_axis(Axis(0)).unwrap();
            assert!((&row - &m.mapv(f64::from)).iter().all(|d| d.abs() < 1e-5));
        }
        assert!(profile.cells.is_none());
    }

    #[test]
    fn the_stated_error_is_the_error() {
        let settings = LatentDag { readout: Readout::Profile, guides: 3, guide_sd: 0.4, lanes: 4, control_cells: 5, ..small() };
        let w = world(settings, 1);
        let ids: Vec<usize> = (0..60).collect();
        let truth = w.truth(&ids).unwrap();
        let mut z = vec![];
        for seed in 0..40 {
            let r = w.measure(&ids, &Experiment::of_round(1), &Streams::new(seed)).unwrap();
            z.extend(((&r.y - &truth) / &r.sd.unwrap()).iter().copied());
        }
        // Rows of one seed share their control cells, so the effective number is a few hundred.
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
    fn lanes_are_divided_over_rounds() {
        let settings = LatentDag { readout: Readout::Cells, lane_groups: 3, ..small() };
        let w = world(settings, 1);
        let st = Streams::new(2);
        let lanes: Vec<BTreeSet<u32>> = (0..3)
            .map(|round| {
                let r = w.measure(&[1, 2, 3], &Experiment::of_round(round), &st).unwrap();
                assert_eq!(r.lane, [round as u32; 3]);
                let cells = r.cells.unwrap();
                assert_eq!(cells[0].x.nrows(), 10, "a third of the lanes, a third of the cells");
                cells.iter().flat_map(|c| c.lane.clone()).collect()
            })
            .collect();
        assert!(lanes.iter().all(|l| l.len() == 2));
        assert_eq!(lanes.iter().flatten().collect::<BTreeSet<_>>().len(), 6);
        let e = w.measure(&[1], &Experiment::of_round(3), &st).unwrap_err().to_string();
        assert!(e.contains("lane_groups = 3 serves rounds 0 to 2, and this is round 3"), "{e}");
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
        assert_eq!(told(LatentDag { order: 3, ..small() }), "latent_dag: order = 3; it must be 1 to 2");
        assert_eq!(
            told(LatentDag { nonlinearity: 1.5, ..small() }),
            "latent_dag: nonlinearity = 1.5; it must be 0 to 1"
        );
    }
}
