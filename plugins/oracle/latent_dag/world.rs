//! The world: genes, the graph of programs that they act on, and the readout, drawn once and brought to unit size.

use super::cells::Lane;
use super::counts::CountModel;
use super::sets::Reach;
use super::{LatentDag, Noise, Readout};
use framework::domain::Control;
use framework::prelude::*;
use rand_distr::{Beta, Distribution, StandardNormal};
use std::collections::HashMap;
use std::sync::Arc;

/// An opened simulation.
#[derive(Debug)]
pub(super) struct World {
    pub(super) settings: LatentDag,
    pub(super) pool: Arc<Pool>,
    /// u: genes x programs.
    pub(super) inputs: Array2<f64>,
    /// w: programs x programs, below the diagonal.
    pub(super) edges: Array2<f64>,
    /// The subpopulation of cells in which each gene acts.
    pub(super) component: Vec<u32>,
    /// Programs that each gene moves, itself or through others (for more than single genes).
    pub(super) reach: Reach,
    /// e: genes x guides.
    pub(super) efficacy: Array2<f64>,
    /// Inputs that some perturbations have on top of those of their genes, by pool id.
    pub(super) planted: HashMap<usize, Array1<f64>>,
    /// Scalar: β and γ as rows. Profile: C, outputs x programs. Scaled.
    pub(super) loadings: Array2<f64>,
    /// What the non-linear part of the scalar is multiplied by.
    pub(super) scale: f64,
    pub(super) counts: Option<CountModel>,
    pub(super) lanes: Vec<Lane>,
    pub(super) control: Option<Arc<Control>>,
}

pub(super) fn normal(rng: &mut StreamRng) -> f64 {
    StandardNormal.sample(rng)
}

impl World {
    pub(super) fn new(settings: &LatentDag, streams: &Streams) -> Result<Self> {
        settings.check()?;
        let s = settings.clone();
        let (n, k) = (s.genes, s.programs);

        let mut rng = streams.rng("edges");
        let mut edges = Array2::zeros((k, k));
        let layer = |l: usize| s.depth.map_or(l, |depth| l * depth.min(k) / k);
        for l in 0..k {
            for j in 0..l {
                // Both numbers are drawn whatever the probability, so that changing it keeps the other edges.
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
        let mut inert = streams.rng("inert");
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
            if inert.random::<f64>() < s.inert {
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

    /// Program states h under the given inputs.
    pub(super) fn states(&self, mut h: Array1<f64>) -> Array1<f64> {
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

    /// The scalar phenotype of program states.
    pub(super) fn read(&self, h: &Array1<f64>) -> Array1<f64> {
        let r = self.loadings.dot(h);
        let bend = 0.25 * self.settings.nonlinearity * ((1.0 + r[1] * r[1]).sqrt() - 1.0);
        ndarray::array![self.scale * (r[0] + bend)]
    }
}
