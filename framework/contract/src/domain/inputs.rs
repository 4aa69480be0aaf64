//! Feature rows: what priors know about genes, composed into what models and kernels see.

use super::gene::{Gene, NameReport};
use super::pool::Pool;
use super::readout::Control;
use crate::error::{Error, Result};
use ndarray::{Array2, ArrayView1, s};
use numerics::{MakeRows, Sparse};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, OnceLock};

/// How the rows of several genes become the row of their joint perturbation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compose {
    /// Sum of the rows (the additive null in feature space).
    #[default]
    Sum,
    /// Elementwise product.
    Product,
    /// Mean of the rows.
    Mean,
}

/// What stands in for the row of a gene that a prior does not cover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    /// The mean of the covered genes of the pool (IterPert's released code).
    #[default]
    Mean,
    /// Zeros.
    Zero,
}

/// One source of features: a row for each gene of the pool.
#[derive(Clone, Debug)]
pub struct Block {
    /// The prior's name in the scenario.
    pub name: String,
    /// genes x features.
    pub x: Array2<f64>,
    /// Which genes the source covers; rows of the others hold no information.
    pub present: Vec<bool>,
    /// What was found and not found, in words, for the log.
    pub note: String,
    /// Which names of the source found their genes.
    pub names: NameReport,
    /// What makes it a poor guide, for the user to see.
    pub warning: Option<String>,
    /// What the features are called, where they have names.
    pub features: Vec<String>,
    /// Weighted neighbours of each gene (genes x genes, symmetric), where the source is a network or makes one.
    pub graph: Option<Arc<Sparse>>,
}

impl Block {
    /// A block over all genes; every value of a covered row must be finite.
    pub fn new(name: impl Into<String>, x: Array2<f64>, present: Vec<bool>) -> Result<Self> {
        let name = name.into();
        if x.nrows() != present.len() {
            return Err(Error::Data(format!("prior `{name}`: {} rows for {} genes", x.nrows(), present.len())));
        }
        for (g, row) in x.outer_iter().enumerate() {
            if present[g]
                && let Some(c) = row.iter().position(|v| !v.is_finite())
            {
                return Err(Error::Data(format!(
                    "prior `{name}`: feature {c} of gene number {g} is {}; values must be finite",
                    row[c]
                )));
            }
        }
        Ok(Self {
            name,
            x,
            present,
            note: String::new(),
            names: NameReport::default(),
            warning: None,
            features: vec![],
            graph: None,
        })
    }

    /// Attaches a network of the same genes.
    pub fn with_graph(mut self, graph: Sparse) -> Self {
        self.graph = Some(Arc::new(graph));
        self
    }

    /// The rows and neighbours of the `kept` genes, in that order.
    pub fn restrict(&mut self, kept: &[usize]) {
        self.x = self.x.select(ndarray::Axis(0), kept);
        self.present = kept.iter().map(|&g| self.present[g]).collect();
        self.graph = self.graph.take().map(|g| Arc::new(g.restrict(kept)));
    }

    /// Number of covered genes.
    pub fn n_present(&self) -> usize {
        self.present.iter().filter(|p| **p).count()
    }

    /// Puts a stand-in into the rows of missing genes.
    pub fn fill(&mut self, how: Missing) {
        let n = self.n_present();
        let mut stand_in = ndarray::Array1::<f64>::zeros(self.x.ncols());
        if how == Missing::Mean && n > 0 {
            for (row, _) in self.x.outer_iter().zip(&self.present).filter(|(_, p)| **p) {
                stand_in += &row;
            }
            stand_in /= n as f64;
        }
        for (mut row, _) in self.x.outer_iter_mut().zip(&self.present).filter(|(_, p)| !**p) {
            row.assign(&stand_in);
        }
    }
}

/// Everything known about the perturbations of a pool before any is measured.
#[derive(Debug)]
pub struct Inputs {
    pool: Arc<Pool>,
    blocks: Vec<Arc<Block>>,
    compose: Compose,
    single_effects: Option<Array2<f64>>,
    control: Option<Arc<Control>>,
    matrix: OnceLock<Arc<Array2<f64>>>,
}

impl Inputs {
    /// From filled blocks over the genes of `pool`.
    pub fn new(pool: Arc<Pool>, blocks: Vec<Arc<Block>>, compose: Compose) -> Result<Self> {
        for b in &blocks {
            if b.x.nrows() != pool.genes().len() {
                return Err(Error::Data(format!(
                    "prior `{}` has {} rows for a pool of {} genes",
                    b.name,
                    b.x.nrows(),
                    pool.genes().len()
                )));
            }
        }
        Ok(Self { pool, blocks, compose, single_effects: None, control: None, matrix: OnceLock::new() })
    }

    /// Adds the known effects of single genes (genes x outputs).
    pub fn with_single_effects(mut self, effects: Option<Array2<f64>>) -> Self {
        self.single_effects = effects;
        self
    }

    /// Adds the unperturbed state that readouts are differences from.
    pub fn with_control(mut self, control: Option<Arc<Control>>) -> Self {
        self.control = control;
        self
    }

    /// The unperturbed state, where the screen is one of profiles.
    pub fn control(&self) -> Option<&Arc<Control>> {
        self.control.as_ref()
    }

    /// For each gene of the pool the output that measures it, where outputs are genes.
    pub fn output_of_genes(&self) -> Vec<Option<usize>> {
        let names = self.control.as_ref().and_then(|c| c.outputs.as_deref()).unwrap_or_default();
        let index: std::collections::HashMap<&str, usize> =
            names.iter().enumerate().map(|(i, n)| (n.as_str(), i)).collect();
        self.pool.genes().names().map(|n| index.get(n).copied()).collect()
    }

    /// The pool that the rows belong to.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// The blocks in the order of their names.
    pub fn blocks(&self) -> &[Arc<Block>] {
        &self.blocks
    }

    /// Effects of single genes, genes x outputs, where the screen knows them.
    pub fn single_effects(&self) -> Option<&Array2<f64>> {
        self.single_effects.as_ref()
    }

    /// Effects of single genes (genes x outputs), for the model named; an error where one that is needed for `ids` is not
    /// known.
    pub fn effects_for(&self, model: &str, ids: &[usize]) -> Result<&Array2<f64>> {
        let single = self.single_effects().ok_or_else(|| {
            Error::Config(format!("the model {model} needs the effects of single genes, and the oracle gives none"))
        })?;
        for &id in ids {
            let missing = |g: &&Gene| single.row(g.index()).iter().any(|v| v.is_nan());
            if let Some(g) = self.pool.with_genes(id, |genes| genes.iter().find(missing).copied()) {
                return Err(Error::Data(format!(
                    "perturbation {}: gene `{}` has no measured effect of its own; fill in its single effect in the screen's \
                     table, remove its rows, or use a model that needs no single effects",
                    self.pool.label(id),
                    self.pool.genes().name(g)
                )));
            }
        }
        Ok(single)
    }

    /// The same with some of the blocks only.
    pub fn only(&self, blocks: &[usize]) -> Inputs {
        Inputs {
            pool: self.pool.clone(),
            blocks: blocks.iter().map(|&b| self.blocks[b].clone()).collect(),
            compose: self.compose,
            single_effects: self.single_effects.clone(),
            control: self.control.clone(),
            matrix: OnceLock::new(),
        }
    }

    /// Number of features of all blocks together.
    pub fn n_features(&self) -> usize {
        self.blocks.iter().map(|b| b.x.ncols()).sum()
    }

    /// The concatenated features of the given perturbations: ids x features. O(ids x features).
    pub fn features(&self, ids: &[usize]) -> Array2<f64> {
        if self.pool.is_singles() {
            let all = self.gene_matrix();
            return all.select(ndarray::Axis(0), ids);
        }
        let all = self.gene_matrix();
        let mut out = Array2::zeros((ids.len(), self.n_features()));
        for (mut row, &id) in out.outer_iter_mut().zip(ids) {
            self.pool.with_genes(id, |genes| {
                let mut rest = genes.iter().map(|g| all.row(g.index()));
                if let Some(first) = rest.next() {
                    row.assign(&first);
                }
                let combine: fn(&mut ndarray::ArrayViewMut1<f64>, ArrayView1<f64>) = match self.compose {
                    Compose::Product => |r, x| *r *= &x,
                    Compose::Sum | Compose::Mean => |r, x| *r += &x,
                };
                rest.for_each(|x| combine(&mut row, x));
                if self.compose == Compose::Mean && genes.len() > 1 {
                    row /= genes.len() as f64;
                }
            });
        }
        out
    }

    /// All blocks side by side: genes x features, built at first use.
    pub fn gene_matrix(&self) -> &Arc<Array2<f64>> {
        self.matrix.get_or_init(|| {
            let mut x = Array2::zeros((self.pool.genes().len(), self.n_features()));
            let mut at = 0;
            for b in &self.blocks {
                let d = b.x.ncols();
                x.slice_mut(s![.., at..at + d]).assign(&b.x);
                at += d;
            }
            Arc::new(x)
        })
    }
}

/// Rows of the whole pool, composed when asked for.
impl MakeRows for Inputs {
    fn n(&self) -> usize {
        self.pool.len()
    }
    fn d(&self) -> usize {
        self.n_features()
    }
    fn get(&self, ids: &[usize]) -> Array2<f64> {
        self.features(ids)
    }
    fn label(&self, id: usize) -> String {
        self.pool.label(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Genes;
    use ndarray::array;

    #[test]
    fn rows_of_pairs_are_composed_and_missing_genes_filled() {
        let genes = Arc::new(Genes::new(["a", "b", "c"]).unwrap());
        let mut b = Block::new("p", array![[1.0, 2.0], [3.0, 4.0], [f64::NAN, 0.0]], vec![true, true, false]).unwrap();
        b.fill(Missing::Mean);
        assert_eq!(b.x.row(2), array![2.0, 3.0]);
        let pool = Arc::new(Pool::all_pairs(genes));
        let of = |c| Inputs::new(pool.clone(), vec![Arc::new(b.clone())], c).unwrap().features(&[0, 2]);
        assert_eq!(of(Compose::Sum), array![[4.0, 6.0], [5.0, 7.0]]);
        assert_eq!(of(Compose::Product), array![[3.0, 8.0], [6.0, 12.0]]);
        assert_eq!(of(Compose::Mean), array![[2.0, 3.0], [2.5, 3.5]]);
    }

    #[test]
    fn values_that_are_not_finite_are_refused() {
        let e = Block::new("ppi", array![[1.0], [f64::INFINITY]], vec![true, true]).unwrap_err().to_string();
        assert_eq!(e, "prior `ppi`: feature 0 of gene number 1 is inf; values must be finite");
    }
}
