//! What a prior is handed.

use crate::domain::{Block, Genes, NameReport, SymbolUpdates};
use crate::error::{Error, Result};
use crate::plugin::{Screen, Setup};
use ndarray::Array2;
use numerics::Sparse;

/// What a prior may look at.
pub struct PriorContext<'a> {
    /// The name it has in the scenario.
    pub name: &'a str,
    /// The genes of the pool.
    pub genes: &'a Genes,
    /// Old and current gene symbols, if the scenario names such a table.
    pub updates: Option<&'a SymbolUpdates>,
    /// The opened screen, for priors derived from a simulator; absent outside simulation.
    pub screen: Option<&'a dyn Screen>,
    /// Data files and streams.
    pub setup: &'a Setup<'a>,
}

impl PriorContext<'_> {
    /// Builds a block from table rows: `names[i]` labels row `i` of `x` (rows x features). Rows of genes
    /// outside the pool are ignored, genes without a row are marked missing, repeats are refused, and a
    /// table that covers no gene of the pool is an error.
    pub fn block_from_rows(&self, names: &[&str], x: &Array2<f64>) -> Result<Block> {
        let mut seen = std::collections::HashMap::with_capacity(names.len());
        for (i, n) in names.iter().enumerate() {
            if let Some(first) = seen.insert(*n, i) {
                return Err(Error::Data(format!(
                    "prior `{}`: gene `{n}` has two rows ({} and {}); average or remove the repeats",
                    self.name,
                    first + 1,
                    i + 1
                )));
            }
        }
        let joined = self.genes.join(names, self.updates);
        let mut rows = Array2::zeros((self.genes.len(), x.ncols()));
        let mut present = vec![false; self.genes.len()];
        for (i, g) in joined.gene.iter().enumerate() {
            if let Some(g) = g {
                rows.row_mut(g.index()).assign(&x.row(i));
                present[g.index()] = true;
            }
        }
        self.finish(Block::new(self.name, rows, present)?, &joined.report)
    }

    /// A network among the genes of the pool from undirected links between table rows (each given once), which `names`
    /// label: genes x genes, symmetric. Links of genes outside the pool are left out.
    pub fn network(&self, names: &[&str], links: impl IntoIterator<Item = (u32, u32, f64)>) -> Sparse {
        let gene = self.genes.join(names, self.updates).gene;
        let both = links.into_iter().filter_map(|(a, b, w)| {
            let (a, b) = (gene[a as usize]?.0, gene[b as usize]?.0);
            Some([(a, b, w), (b, a, w)])
        });
        Sparse::new(self.genes.len(), self.genes.len(), both.flatten().collect())
    }

    /// Attaches the coverage note and refuses a block that covers nothing.
    pub fn finish(&self, mut block: Block, report: &NameReport) -> Result<Block> {
        if block.n_present() == 0 {
            let example = |mut it: Box<dyn Iterator<Item = &str> + '_>| it.next().unwrap_or("none").to_string();
            let remedy = match &report.cause {
                Some(cause) => cause.clone(),
                None => "check that both use the same kind of gene name, or set `symbol_updates` under [pool]".into(),
            };
            return Err(Error::Data(format!(
                "prior `{}` covers no gene of the pool ({} rows, {} pool genes such as `{}`); {remedy}",
                self.name,
                report.rows,
                self.genes.len(),
                example(Box::new(self.genes.names()))
            )));
        }
        block.note = report.to_string();
        block.names = report.clone();
        if report.uninformed() {
            block.warning = Some(format!(
                "prior `{}` knows {} of {} genes of the pool; all others get the same features, so that a choice among them is not \
                 informed by it{}",
                self.name,
                report.exact + report.updated,
                self.genes.len(),
                report.cause.as_ref().map_or(String::new(), |c| format!(". Of the missing, {c}"))
            ));
        }
        Ok(block)
    }
}
