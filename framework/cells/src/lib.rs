//! Matrices of single cells, read in pieces so that a file may be larger than memory.
//!
//! [`open`] reads AnnData (`.h5ad`, zarr stores) and Cell Ranger's matrices (`.h5`, folders, prefixes of files). It
//! hands out a matrix entry by entry, in the order of the file, and never the matrix itself: the caller keeps what it
//! needs. Zeros may be left out. Every error is one message that names the file, the place in it, the cause and the
//! remedy; no input, however damaged, makes it panic or ask for memory that the file does not account for.

mod ahead;
mod anndata;
mod codec;
mod error;
mod only;
mod opened;
mod options;
mod sparse;
mod store;
mod tenx;

pub use error::{CellsError, Result};
pub use only::only;
pub use opened::{Cells, Form, form, open};
pub use options::Options;
pub use tenx::{behind, unpacked};
