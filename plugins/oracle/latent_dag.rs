//! A synthetic screen: genes push latent programs, programs drive each other along a random directed
//! acyclic graph, and what is measured depends on the programs.
//!
//! Input of a perturbation S: u = Σ_{g in S} a_g. Programs in topological order:
//! z_k = u_k + Σ_{j<k} W_kj φ(z_j), φ(v) = (1-ν) v + ν tanh(v). Scalar phenotype wᵀφ(z), profile Mφ(z),
//! both relative to the unperturbed state (z = 0) and scaled over the single genes: the phenotype to
//! standard deviation 1, the profile to a mean square of 1 an entry. With ν > 0 genes of a pair interact.
//! Cost of an exact readout: O(programs² + outputs x programs).

use framework::prelude::*;
use rand_distr::{Distribution, StandardNormal};
use std::sync::Arc;

/// What an experiment returns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Readout {
    /// One phenotype.
    #[default]
    Scalar,
    /// The pseudobulk profile: mean of the cells minus the control mean of the same lanes.
    Profile,
    /// The profile and the cells behind it.
    Cells,
}

/// A simulated screen; the same seed always gives the same world.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LatentDag {
    /// Number of genes.
    pub genes: usize,
    /// 1 for single genes, 2 for all their pairs (addressed by formula, never listed).
    pub order: usize,
    /// Latent programs.
    pub programs: usize,
    /// Chance of an edge from an earlier to a later program.
    pub edge_probability: f64,
    /// Standard deviation of edge weights.
    pub edge_scale: f64,
    /// ν: 0 is linear, 1 saturates fully.
    pub nonlinearity: f64,
    /// Programs that a gene acts on directly.
    pub programs_per_gene: usize,
    /// Spread of log effect sizes between genes; larger means that few genes do much and most do little.
    pub effect_tail: f64,
    /// What an experiment returns: scalar, profile or cells.
    pub readout: Readout,
    /// Measured features of a profile.
    pub outputs: usize,
    /// Noise standard deviation of a scalar phenotype, in units of its spread over genes.
    pub noise: f64,
    /// Cells a perturbation, for profiles.
    pub cells: usize,
    /// Control cells a lane.
    pub control_cells: usize,
    /// Standard deviation between cells of one perturbation, a feature.
    pub cell_sd: f64,
    /// Lanes (experimental batches).
    pub lanes: usize,
    /// Standard deviation of a lane's shift, a feature.
    pub lane_sd: f64,
    /// If above 0, lanes are shuffled and divided into this many groups, and round r only uses group r
    /// (the last group from then on).
    pub lane_groups: usize,
    /// Fixes the world whatever the seed of the run; absent: every seed has a world of its own.
    pub world_seed: Option<u64>,
}

impl Default for LatentDag {
    fn default() -> Self {
        Self {
            genes: 1000,
            order: 1,
            programs: 20,
            edge_probability: 0.2,
            edge_scale: 0.6,
            nonlinearity: 0.5,
            programs_per_gene: 2,
            effect_tail: 1.0,
            readout: Readout::Scalar,
            outputs: 200,
            noise: 0.3,
            cells: 30,
            control_cells: 200,
            cell_sd: 1.0,
            lanes: 1,
            lane_sd: 0.0,
            lane_groups: 0,
            world_seed: None,
        }
    }
}

#[typetag::serde(name = "latent_dag")]
impl Oracle for LatentDag {
    fn open(&self, setup: &Setup) -> Result<Box<dyn Screen>> {
        self.check()?;
        let streams = match self.world_seed {
            Some(s) => Streams::new(s).child("latent_dag"),
            None => setup.streams.child("latent_dag"),
        };
        Ok(Box::new(World::new(self, &streams)?))
    }

    fn seeded(&self) -> bool {
        self.world_seed.is_none()
    }
}

impl LatentDag {
    fn check(&self) -> Result<()> {
        let bad = |text: String| Err(Error::Config(format!("oracle latent_dag: {text}")));
        for (name, n) in [("genes", self.genes), ("programs", self.programs), ("outputs", self.outputs)]
            .into_iter()
            .chain([("cells", self.cells), ("control_cells", self.control_cells), ("lanes", self.lanes)])
            .chain([("programs_per_gene", self.programs_per_gene)])
        {
            if n == 0 {
                return bad(format!("`{name}` must be at least 1"));
            }
        }
        if !(1..=2).contains(&self.order) {
            return bad(format!("`order` is 1 (single genes) or 2 (pairs), not {}", self.order));
        }
        if self.order == 2 && self.genes < 2 {
            return bad("pairs need at least 2 genes".into());
        }
        for (name, v) in [
            ("edge_scale", self.edge_scale),
            ("effect_tail", self.effect_tail),
            ("noise", self.noise),
            ("cell_sd", self.cell_sd),
            ("lane_sd", self.lane_sd),
        ] {
            if !(v >= 0.0 && v.is_finite()) {
                return bad(format!("`{name}` must be 0 or more, not {v}"));
            }
        }
        for (name, v) in [("edge_probability", self.edge_probability), ("nonlinearity", self.nonlinearity)] {
            if !(0.0..=1.0).contains(&v) {
                return bad(format!("`{name}` must lie between 0 and 1, not {v}"));
            }
        }
        if self.lane_groups > self.lanes {
            return bad(format!("{} lane groups cannot be made of {} lanes", self.lane_groups, self.lanes));
        }
        Ok(())
    }
}

struct World {
    pool: Arc<Pool>,
    readout: Readout,
    nonlinearity: f64,
    noise: f64,
    cells: usize,
    cell_sd: f64,
    /// genes x programs: direct pushes.
    push: Array2<f64>,
    /// programs x programs, strictly lower triangular.
    edges: Array2<f64>,
    /// outputs x programs: what is measured of the programs.
    mixing: Array2<f64>,
    /// lanes x outputs.
    shift: Array2<f64>,
    /// lanes x outputs: mean of the control cells, lane shift included.
    control: Array2<f64>,
    /// Lanes of each group; one group of all where lanes are not restricted.
    groups: Vec<Vec<usize>>,
}

fn normal(rng: &mut StreamRng) -> f64 {
    StandardNormal.sample(rng)
}

impl World {
    fn new(p: &LatentDag, streams: &Streams) -> Result<Self> {
        let width = (p.genes.max(2) - 1).to_string().len().max(4);
        let genes = Arc::new(Genes::new((0..p.genes).map(|i| format!("G{i:0width$}")))?);
        let pool = Arc::new(if p.order == 2 { Pool::all_pairs(genes) } else { Pool::singles(genes) });
        let mut rng = streams.rng("push");
        let mut push = Array2::zeros((p.genes, p.programs));
        for mut row in push.outer_iter_mut() {
            let size = (p.effect_tail * normal(&mut rng)).exp();
            for k in rand::seq::index::sample(&mut rng, p.programs, p.programs_per_gene.min(p.programs)) {
                row[k] = size * normal(&mut rng);
            }
        }
        let mut rng = streams.rng("edges");
        let mut edges = Array2::zeros((p.programs, p.programs));
        for k in 0..p.programs {
            for j in 0..k {
                if rng.random::<f64>() < p.edge_probability {
                    edges[(k, j)] = p.edge_scale * normal(&mut rng);
                }
            }
        }
        let scalar = p.readout == Readout::Scalar;
        let outputs = if scalar { 1 } else { p.outputs };
        let mut rng = streams.rng("mixing");
        // A profile feature listens to three programs in ten, the phenotype to all.
        let mixing = Array2::from_shape_simple_fn((outputs, p.programs), || {
            let w = normal(&mut rng);
            if scalar || rng.random::<f64>() < 0.3 { w } else { 0.0 }
        });
        let mut rng = streams.rng("lanes");
        let shift = Array2::from_shape_simple_fn((p.lanes, outputs), || p.lane_sd * normal(&mut rng));
        let control_error = p.cell_sd / (p.control_cells as f64).sqrt();
        let control = shift.mapv(|s| if scalar { s } else { s + control_error * normal(&mut rng) });
        let order = rand::seq::index::sample(&mut rng, p.lanes, p.lanes).into_vec();
        let groups = match p.lane_groups {
            0 => vec![(0..p.lanes).collect()],
            g => order.chunks(p.lanes / g).take(g).map(<[usize]>::to_vec).collect(),
        };
        let mut world = Self {
            pool,
            readout: p.readout,
            nonlinearity: p.nonlinearity,
            noise: p.noise,
            cells: p.cells,
            cell_sd: p.cell_sd,
            push,
            edges,
            mixing,
            shift,
            control,
            groups,
        };
        let singles = Array2::from_shape_vec(
            (p.genes, outputs),
            (0..p.genes).flat_map(|g| world.effect(&[Gene(g as u32)])).collect(),
        )
        .map_err(|e| Error::Numerical(e.to_string()))?;
        let spread = if scalar {
            singles.std(0.0)
        } else {
            (singles.iter().map(|v| v * v).sum::<f64>() / singles.len() as f64).sqrt()
        };
        if spread > 0.0 {
            world.mixing /= spread;
        }
        Ok(world)
    }

    fn phi(&self, v: f64) -> f64 {
        (1.0 - self.nonlinearity) * v + self.nonlinearity * v.tanh()
    }

    /// Exact change of every output under a set of genes.
    fn effect(&self, genes: &[Gene]) -> Vec<f64> {
        let mut state = Array1::<f64>::zeros(self.edges.nrows());
        for g in genes {
            state += &self.push.row(g.index());
        }
        for k in 0..state.len() {
            // Earlier programs already hold φ(z).
            let inflow: f64 = (0..k).map(|j| self.edges[(k, j)] * state[j]).sum();
            state[k] = self.phi(state[k] + inflow);
        }
        self.mixing.dot(&state).to_vec()
    }

    fn outputs(&self) -> usize {
        self.mixing.nrows()
    }

    /// The cells of one measurement: samples x outputs, and the lane of each.
    fn grow(&self, effect: &[f64], lanes: &[usize], rng: &mut StreamRng) -> Cells {
        let mut x = Array2::zeros((self.cells, effect.len()));
        let mut lane = Vec::with_capacity(self.cells);
        for mut row in x.outer_iter_mut() {
            let l = lanes[rng.random_range(0..lanes.len())];
            lane.push(l as u32);
            for (o, v) in row.iter_mut().enumerate() {
                *v = effect[o] + self.shift[(l, o)] + self.cell_sd * normal(rng);
            }
        }
        Cells { x, lane }
    }
}

impl Screen for World {
    fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    fn n_outputs(&self) -> usize {
        self.outputs()
    }

    fn measure(&self, ids: &[usize], round: usize, streams: &Streams) -> Result<Readouts> {
        let lanes = &self.groups[round.min(self.groups.len() - 1)];
        let mut out = Readouts::plain(ids, Array2::zeros((ids.len(), self.outputs())));
        let mut kept = Vec::new();
        for (r, &id) in ids.iter().enumerate() {
            let effect = self.pool.with_genes(id, |g| self.effect(g));
            let mut rng = streams.child("latent_dag").index(id).index(out.replicate[r] as usize).rng("cells");
            if self.readout == Readout::Scalar {
                let lane = lanes[rng.random_range(0..lanes.len())];
                out.lane[r] = lane as u32;
                out.y[(r, 0)] = effect[0] + self.shift[(lane, 0)] + self.noise * normal(&mut rng);
                continue;
            }
            let cells = self.grow(&effect, lanes, &mut rng);
            out.lane[r] = cells.lane[0];
            let n = cells.x.nrows() as f64;
            let mut mean = cells.x.sum_axis(Axis(0)) / n;
            for l in &cells.lane {
                mean.scaled_add(-1.0 / n, &self.control.row(*l as usize));
            }
            out.y.row_mut(r).assign(&mean);
            if self.readout == Readout::Cells {
                kept.push(Arc::new(cells));
            }
        }
        let error = match self.readout {
            Readout::Scalar => self.noise,
            _ => self.cell_sd / (self.cells as f64).sqrt(),
        };
        out.sd = Some(Array2::from_elem(out.y.dim(), error));
        out.cells = (self.readout == Readout::Cells).then_some(kept);
        Ok(out)
    }

    fn truth(&self, ids: &[usize]) -> Option<Array2<f64>> {
        let flat = ids.iter().flat_map(|&id| self.pool.with_genes(id, |g| self.effect(g))).collect();
        Array2::from_shape_vec((ids.len(), self.outputs()), flat).ok()
    }

    fn single_effects(&self) -> Option<Array2<f64>> {
        let n = self.pool.genes().len();
        let flat = (0..n).flat_map(|g| self.effect(&[Gene(g as u32)])).collect();
        Array2::from_shape_vec((n, self.outputs()), flat).ok()
    }

    fn gene_factors(&self) -> Option<Array2<f64>> {
        Some(self.push.clone())
    }
}

framework::register!(Oracle, LatentDag, "latent_dag", "simulated screen: genes act on a random DAG of latent programs");

#[cfg(test)]
mod tests {
    use super::*;
    use framework::data::DataRoot;

    fn open(p: LatentDag) -> Box<dyn Screen> {
        p.open(&Setup { data: &DataRoot::default(), streams: &Streams::new(5) }).unwrap()
    }

    fn small(readout: Readout) -> LatentDag {
        LatentDag { genes: 60, outputs: 12, readout, ..LatentDag::default() }
    }

    #[test]
    fn phenotype_is_standardised_and_measured_with_the_stated_noise() {
        let s = open(LatentDag { genes: 4000, ..LatentDag::default() });
        let ids: Vec<usize> = (0..4000).collect();
        let truth = s.truth(&ids).unwrap();
        assert!((truth.std(0.0) - 1.0).abs() < 1e-9);
        let y = s.measure(&ids, 1, &Streams::new(1)).unwrap().y;
        let error = (&y - &truth).std(0.0);
        // The standard error of a standard deviation from 4,000 draws is 1.1 %.
        assert!((error - 0.3).abs() < 0.015, "{error}");
        // Heavy tail: the middle half of the genes does much less than a standard deviation.
        let mut size: Vec<f64> = truth.iter().map(|v| v.abs()).collect();
        size.sort_by(f64::total_cmp);
        assert!(size[2000] < 0.5 && size[3990] > 3.0, "{} {}", size[2000], size[3990]);
    }

    #[test]
    fn profiles_are_means_of_cells_minus_control() {
        let lanes = |readout| LatentDag { lanes: 4, lane_sd: 2.0, ..small(readout) };
        let (profile, cells) = (open(lanes(Readout::Profile)), open(lanes(Readout::Cells)));
        let streams = Streams::new(2);
        let (a, b) = (profile.measure(&[3, 9], 0, &streams).unwrap(), cells.measure(&[9, 3], 0, &streams).unwrap());
        assert_eq!(a.y.row(0), b.y.row(1));
        assert_eq!(a.y.row(1), b.y.row(0));
        assert_eq!(b.cells.as_ref().unwrap()[0].x.dim(), (30, 12));
        // Lane shifts cancel: the error stays that of 30 cells and the control, far below a shift of 2.
        let ids: Vec<usize> = (0..60).collect();
        let error = &profile.measure(&ids, 0, &streams).unwrap().y - &profile.truth(&ids).unwrap();
        let rms = error.mapv(|v| v * v).mean().unwrap().sqrt();
        let want = (1.0f64 / 30.0 + 1.0 / 200.0 / 4.0).sqrt();
        assert!((rms / want - 1.0).abs() < 0.1, "{rms} {want}");
    }

    #[test]
    fn rounds_use_their_own_lanes() {
        let s = open(LatentDag { lanes: 12, lane_groups: 3, ..small(Readout::Cells) });
        let used = |round| -> std::collections::BTreeSet<u32> {
            let r = s.measure(&(0..40).collect::<Vec<_>>(), round, &Streams::new(3)).unwrap();
            r.cells.unwrap().iter().flat_map(|c| c.lane.clone()).collect()
        };
        let (a, b, c) = (used(0), used(1), used(2));
        assert_eq!((a.len(), b.len(), c.len()), (4, 4, 4));
        assert!(a.is_disjoint(&b) && b.is_disjoint(&c) && a.is_disjoint(&c));
        assert_eq!(used(7), c);
    }

    #[test]
    fn pairs_add_only_without_nonlinearity() {
        let pair_error = |nonlinearity| {
            let s = open(LatentDag { order: 2, nonlinearity, ..small(Readout::Scalar) });
            let single = s.single_effects().unwrap();
            let ids: Vec<usize> = (0..s.pool().len()).collect();
            let truth = s.truth(&ids).unwrap();
            ids.iter().map(|&i| {
                let p = s.pool().get(i);
                let sum: f64 = p.genes().iter().map(|g| single[(g.index(), 0)]).sum();
                (truth[(i, 0)] - sum).abs()
            }).fold(0.0, f64::max)
        };
        assert!(pair_error(0.0) < 1e-9);
        assert!(pair_error(0.8) > 0.5);
    }

    #[test]
    fn a_fixed_world_ignores_the_seed() {
        let p = LatentDag { world_seed: Some(4), ..small(Readout::Scalar) };
        assert!(!p.seeded());
        let at = |seed| p.open(&Setup { data: &DataRoot::default(), streams: &Streams::new(seed) }).unwrap().truth(&[0, 1]);
        assert_eq!(at(1), at(2));
        let e = LatentDag { lane_groups: 3, lanes: 2, ..small(Readout::Scalar) }.check().unwrap_err().to_string();
        assert_eq!(e, "oracle latent_dag: 3 lane groups cannot be made of 2 lanes");
    }
}
