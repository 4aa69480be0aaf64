//! A screen of single genes and pairs whose samples a simulator draws class by class.

use super::{Experiment, Relation, Screen};
use crate::domain::{
    Cells, Class, Control, Gene, Genes, PairClass, Perturbation, Pool, Readouts, SampleSource, Samples,
};
use crate::error::{Error, Result};
use ndarray::{Array1, Array2, Axis};
use numerics::streams::Streams;
use rayon::prelude::*;
use std::sync::{Arc, OnceLock};

/// Draws the samples of a set of genes (by number, ascending; none for control) from a node of streams.
pub type DrawClass = dyn Fn(&[usize], &Streams) -> Arc<dyn SampleSource> + Send + Sync;

/// How the genes of a set act together.
type Relate = dyn Fn(&[usize]) -> Relation + Send + Sync;

/// Every gene alone and all pairs of genes. The readout is the mean sample minus that of control.
pub struct SampledScreen {
    pool: Arc<Pool>,
    control: Arc<dyn SampleSource>,
    mean: OnceLock<Result<Array1<f64>, Arc<Error>>>,
    draw: Box<DrawClass>,
    relation: Box<Relate>,
    image: Option<[usize; 3]>,
    notes: Vec<String>,
}

/// Samples read at once where their mean is taken.
const TILE: usize = 1024;

impl SampledScreen {
    /// Of named genes; `streams` are those of the world, from which control is drawn.
    pub fn new(
        genes: &[String],
        streams: &Streams,
        draw: Box<DrawClass>,
        relation: impl Fn(&[usize]) -> Relation + Send + Sync + 'static,
    ) -> Result<Self> {
        let n = genes.len() as u32;
        let singles = (0..n).map(|g| Perturbation::new([Gene(g)]));
        let pairs = (0..n).flat_map(|a| (a + 1..n).map(move |b| Perturbation::new([Gene(a), Gene(b)])));
        let pool = Arc::new(Pool::list(Arc::new(Genes::new(genes)?), singles.chain(pairs))?);
        let control = draw(&[], &streams.child("control"));
        let relation = Box::new(relation);
        Ok(Self { pool, control, mean: OnceLock::new(), draw, relation, image: None, notes: vec![] })
    }

    /// Samples are images of so many channels, rows and columns.
    pub fn images(self, shape: [usize; 3]) -> Self {
        Self { image: Some(shape), ..self }
    }

    /// What the log should say.
    pub fn with_notes(self, notes: Vec<String>) -> Self {
        Self { notes, ..self }
    }

    fn source(&self, id: usize, replicate: usize, streams: &Streams) -> Arc<dyn SampleSource> {
        let genes: Vec<usize> = self.pool.with_genes(id, |g| g.iter().map(|g| g.index()).collect());
        (self.draw)(&genes, &streams.child("samples").index(id).index(replicate))
    }

    fn control_mean(&self) -> Result<&Array1<f64>> {
        let mean = self.mean.get_or_init(|| mean(&*self.control).map_err(Arc::new));
        Ok(mean.as_ref().map_err(Arc::clone)?)
    }
}

fn mean(source: &dyn SampleSource) -> Result<Array1<f64>> {
    let mut sum = Array1::<f64>::zeros(source.n_features());
    for start in (0..source.len()).step_by(TILE) {
        let at: Vec<usize> = (start..source.len().min(start + TILE)).collect();
        let mut x = Array2::zeros((at.len(), source.n_features()));
        source.rows(&at, x.view_mut())?;
        sum += &x.mapv(f64::from).sum_axis(Axis(0));
    }
    Ok(sum / source.len() as f64)
}

impl Screen for SampledScreen {
    fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    fn n_outputs(&self) -> usize {
        self.control.n_features()
    }

    fn measure(&self, ids: &[usize], _: &Experiment, streams: &Streams) -> Result<Readouts> {
        let mut out = Readouts::plain(ids, Array2::zeros((ids.len(), self.n_outputs())));
        let control = self.control_mean()?;
        let rows: Vec<(Array1<f64>, Option<Arc<Cells>>)> = (0..ids.len())
            .into_par_iter()
            .map(|i| {
                let source = self.source(ids[i], out.replicate[i] as usize, streams);
                let cells = source.held().map(|x| Arc::new(Cells { lane: vec![0; x.nrows()], x: x.clone() }));
                Ok((mean(&*source)? - control, cells))
            })
            .collect::<Result<_>>()?;
        rows.iter().zip(out.y.outer_iter_mut()).for_each(|((mean, _), mut y)| y.assign(mean));
        out.cells = rows.into_iter().map(|r| r.1).collect();
        Ok(out)
    }

    fn control(&self) -> Option<Arc<Control>> {
        let mean = self.control_mean().ok()?.clone();
        let cells = self.control.held().map(|x| Arc::new(Cells { lane: vec![0; x.nrows()], x: x.clone() }));
        Some(Arc::new(Control { mean, cells, outputs: None }))
    }

    fn relations(&self, ids: &[usize]) -> Option<Vec<Relation>> {
        let of = |id: &usize| {
            let genes: Vec<usize> = self.pool.with_genes(*id, |g| g.iter().map(|g| g.index()).collect());
            if genes.len() < 2 { Relation::Single } else { (self.relation)(&genes) }
        };
        Some(ids.iter().map(of).collect())
    }

    fn samples(&self, streams: &Streams) -> Result<Option<Samples>> {
        let sources: Vec<Class> =
            (0..self.pool.len()).into_par_iter().map(|id| Class::of(self.source(id, 0, streams))).collect();
        let n = self.pool.genes().len();
        let genes = (0..n).map(|g| self.pool.genes().name(Gene(g as u32)).to_string()).collect();
        let pair = |id: usize| {
            let (first, second) = self.pool.with_genes(id, |g| (g[0].index(), g[1].index()));
            PairClass { first, second, both: sources[id].clone() }
        };
        Ok(Some(Samples {
            genes,
            control: Class::of(self.control.clone()),
            singles: sources[..n].to_vec(),
            pairs: (n..self.pool.len()).map(pair).collect(),
            image: self.image,
        }))
    }

    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}
