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

mod cells;
mod counts;
mod effects;
mod presets;
mod sets;
#[cfg(test)]
mod tests;
mod world;

use framework::domain::{Cells, Control};
use framework::prelude::*;
use rayon::prelude::*;
use std::sync::Arc;
use world::{World, normal};

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

impl World {
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
