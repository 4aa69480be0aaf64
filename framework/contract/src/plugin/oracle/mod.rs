//! Oracles: who answers a batch, a recorded screen or a simulator.

mod sampled;
mod setup;

pub use sampled::{DrawClass, SampledScreen};
pub use setup::Setup;

use super::Plugin;
use crate::domain::{Cells, Class, Control, Gene, PairClass, Perturbation, Pool, Readouts, Samples};
use crate::error::Result;
use ndarray::Array2;
use numerics::streams::Streams;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// A source of measurements with its settings.
///
/// [`Oracle::open`] gives a [`Screen`], which names its pool and measures. What else a screen knows (a truth, replicates,
/// control cells) it says by the further methods of that trait.
///
/// ```
/// use contract::prelude::*;
/// # use contract::typetag;
/// use std::sync::Arc;
///
/// /// Genes 0 to n - 1; the readout of a gene is its number.
/// #[derive(Debug, Serialize, Deserialize)]
/// struct Numbers {
///     genes: usize,
/// }
///
/// #[typetag::serde(name = "numbers")]
/// impl Oracle for Numbers {
///     fn open(&self, _: &Setup) -> Result<Box<dyn Screen>> {
///         let genes = Genes::new((0..self.genes).map(|g| format!("G{g}")))?;
///         Ok(Box::new(Counted(Arc::new(Pool::singles(Arc::new(genes))))))
///     }
/// }
///
/// struct Counted(Arc<Pool>);
///
/// impl Screen for Counted {
///     fn pool(&self) -> &Arc<Pool> {
///         &self.0
///     }
///     fn n_outputs(&self) -> usize {
///         1
///     }
///     fn measure(&self, ids: &[usize], _: &Experiment, _: &Streams) -> Result<Readouts> {
///         Ok(Readouts::plain(ids, Array2::from_shape_fn((ids.len(), 1), |(i, _)| ids[i] as f64)))
///     }
/// }
///
/// let (data, streams) = (contract::data::DataRoot::new("data"), Streams::new(1));
/// let screen = Numbers { genes: 9 }.open(&Setup { data: &data, streams: &streams })?;
/// assert_eq!(screen.measure(&[4], &Experiment::of_round(1), &streams)?.y[(0, 0)], 4.0);
/// # Ok::<(), Error>(())
/// ```
#[typetag::serde(tag = "use")]
pub trait Oracle: Plugin {
    /// Reads or builds the screen.
    fn open(&self, setup: &Setup) -> Result<Box<dyn Screen>>;
    /// Files it reads, relative to the data root.
    fn data_files(&self) -> Vec<PathBuf> {
        vec![]
    }
    /// Whether the screen depends on the seed; one that does not is opened once and shared by all runs.
    fn seeded(&self) -> bool {
        true
    }
}

/// When and where a batch is measured.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Experiment {
    /// The round; 0 for the initial set.
    pub round: usize,
    /// The lanes whose cells count; absent: all.
    pub lanes: Option<Arc<[u32]>>,
}

impl Experiment {
    /// A round in which all lanes count.
    pub fn of_round(round: usize) -> Self {
        Self { round, lanes: None }
    }
}

/// How the genes of a perturbation act together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// One gene.
    Single,
    /// Each gene acts on cells of its own subpopulation: densities add up.
    Disjoint,
    /// Each gene moves latent variables of its own: density ratios multiply.
    Separable,
    /// Genes share latent variables, or have an interaction of their own.
    Interacting,
    /// Of three or more genes: not all pairs are of one kind.
    Mixed,
}

impl Relation {
    /// The word in notes and tables.
    pub fn word(self) -> &'static str {
        match self {
            Relation::Single => "single",
            Relation::Disjoint => "disjoint",
            Relation::Separable => "separable",
            Relation::Interacting => "interacting",
            Relation::Mixed => "mixed",
        }
    }
}

/// An opened screen.
pub trait Screen: Send + Sync {
    /// All perturbations.
    fn pool(&self) -> &Arc<Pool>;

    /// Number of outputs of a readout.
    fn n_outputs(&self) -> usize;

    /// Measures a batch in a round. The answer for a perturbation depends on the streams, its id, the
    /// replicate and the experiment only, never on what else is in the batch, so that all arms under one
    /// seed meet the same world.
    fn measure(&self, ids: &[usize], experiment: &Experiment, streams: &Streams) -> Result<Readouts>;

    /// Lanes over which cells are spread; 0 where the screen knows of none.
    fn n_lanes(&self) -> usize {
        0
    }

    /// The unperturbed state, for screens of profiles.
    fn control(&self) -> Option<Arc<Control>> {
        None
    }

    /// How clearly each output differs from control, ids x outputs: the absolute t score, or minus infinity where
    /// the output does not count (not seen under the perturbation). Test metrics rank outputs by it.
    fn clarity(&self, ids: &[usize]) -> Option<Array2<f64>> {
        let _ = ids;
        None
    }

    /// The noise-free readouts (ids x outputs), where they are known: hits and test scores use them.
    fn truth(&self, ids: &[usize]) -> Option<Array2<f64>> {
        let _ = ids;
        None
    }

    /// Replicates (donors, wells) behind scalar true readouts, ids x replicates, whose mean is the truth: what their
    /// noise allows is reported beside the scores.
    fn replicates(&self, ids: &[usize]) -> Option<Array2<f64>> {
        let _ = ids;
        None
    }

    /// Known effects of single genes, genes x outputs, for pools of pairs; NaN where unknown.
    fn single_effects(&self) -> Option<Array2<f64>> {
        None
    }

    /// The hidden factors behind each gene (genes x factors) of a simulator, from which priors of known
    /// quality can be made.
    fn gene_factors(&self) -> Option<Array2<f64>> {
        None
    }

    /// How the genes of each perturbation are known to act together, in a simulator that plants it.
    fn relations(&self, ids: &[usize]) -> Option<Vec<Relation>> {
        let _ = ids;
        None
    }

    /// The p value behind each readout, where a readout is the score of a test: calls over rounds are made from them.
    fn p_values(&self, ids: &[usize]) -> Option<Vec<f64>> {
        let _ = ids;
        None
    }

    /// Samples by perturbation, for tests of interaction: what control and a measurement of every single gene and pair
    /// of the pool give. Nothing where the screen has no cells. Screens that make samples when asked for do so here.
    fn samples(&self, streams: &Streams) -> Result<Option<Samples>> {
        let pool = self.pool();
        let Some(control) = self.control().and_then(|c| c.cells.clone()) else { return Ok(None) };
        let ids: Vec<usize> = (0..pool.len())
            .filter(|id| pool.with_genes(*id, |g| g.len() < 2 || (g.len() == 2 && g[0] != g[1])))
            .collect();
        let Some(cells) = self.measure(&ids, &Experiment::default(), streams)?.cells else { return Ok(None) };
        let of: HashMap<usize, Arc<Cells>> = ids.into_iter().zip(cells).collect();
        let mut number = HashMap::new();
        let (mut genes, mut singles) = (vec![], vec![]);
        for gene in 0..pool.genes().len() as u32 {
            if let Some(cells) = pool.find(&Perturbation::new([Gene(gene)])).and_then(|id| of.get(&id)) {
                number.insert(gene, singles.len());
                genes.push(pool.genes().name(Gene(gene)).to_string());
                singles.push(Class::of(cells.clone()));
            }
        }
        let pair = |id: usize| {
            let of_gene = |g: Gene| number.get(&(g.index() as u32)).copied();
            let (first, second) =
                pool.with_genes(id, |g| if g.len() == 2 { Some((of_gene(g[0])?, of_gene(g[1])?)) } else { None })?;
            Some(PairClass { first, second, both: Class::of(of.get(&id)?.clone()) })
        };
        let pairs = (0..pool.len()).filter_map(pair).collect();
        Ok(Some(Samples { genes, control: Class::of(control), singles, pairs, image: None }))
    }

    /// What the reader of the log should know (rows dropped, names lost).
    fn notes(&self) -> Vec<String> {
        vec![]
    }
}
