//! Priors: what is known about genes before the screen.

mod context;

pub use context::PriorContext;

use super::Plugin;
use crate::domain::Block;
use crate::error::Result;
use std::path::PathBuf;

/// A source of gene features with its settings.
///
/// [`Prior::embed`] is all that a prior must have. [`PriorContext::block_from_rows`] joins a table's rows with the genes of
/// the pool by name, counts what was lost and reports it.
///
/// ```
/// use contract::prelude::*;
/// # use contract::typetag;
///
/// /// The length of a gene's name.
/// #[derive(Debug, Serialize, Deserialize)]
/// struct NameLength {}
///
/// #[typetag::serde(name = "name_length")]
/// impl Prior for NameLength {
///     fn embed(&self, cx: &PriorContext) -> Result<Block> {
///         let lengths: Vec<f64> = cx.genes.names().map(|name| name.len() as f64).collect();
///         let x = Array1::from_vec(lengths).insert_axis(Axis(1));
///         Block::new(cx.name, x, vec![true; cx.genes.len()])
///     }
/// }
///
/// let block = contract::testing::embed(&NameLength {}, &["TP53", "MYC"], contract::data::DataRoot::new("data"))?;
/// assert_eq!(block.x.column(0).to_vec(), [4.0, 3.0]);
/// # Ok::<(), Error>(())
/// ```
#[typetag::serde(tag = "use")]
pub trait Prior: Plugin {
    /// One row a gene of the pool; genes that the source lacks are marked missing, not invented.
    fn embed(&self, cx: &PriorContext) -> Result<Block>;
    /// Files it reads, relative to the data root.
    fn data_files(&self) -> Vec<PathBuf> {
        vec![]
    }
    /// Whether the block depends on the seed (a simulated prior) and must be made anew for each.
    fn seeded(&self) -> bool {
        false
    }
}
