//! What Cell Ranger writes: a folder of `matrix.mtx`, `barcodes.tsv` and `features.tsv` (or `genes.tsv`), also with
//! the prefixes of GEO; or one `.h5` file. Features x cells, cell by cell.

mod features;
mod files;
mod h5;
mod mtx;

pub(crate) use files::is_prefix;
pub use files::{behind, unpacked};

use crate::sparse::Sparse;
use crate::store::Group;
use crate::{CellsError, Options, Result};
use features::Features;
use mtx::Mtx;
use std::path::Path;

/// An opened matrix.
pub(crate) struct TenX {
    barcodes: Vec<String>,
    features: Features,
    matrix: Matrix,
}

enum Matrix {
    Text(Mtx),
    H5(Sparse),
}

impl TenX {
    /// Reads the names below a folder or a prefix; the matrix stays on disk.
    pub(crate) fn open_folder(path: &Path, options: &Options) -> Result<Self> {
        let found = files::find(path)?;
        let barcodes = files::column(&found.barcodes, 0)?;
        let features = files::features(&found.features, options)?;
        let matrix = Mtx { path: found.matrix, rows: features.of_row.len(), columns: barcodes.len() };
        Ok(Self { barcodes, features, matrix: Matrix::Text(matrix) })
    }

    /// Whether an HDF5 file looks like one of Cell Ranger.
    pub(crate) fn is_in(root: &dyn Group) -> bool {
        !matches!(h5::holder(root), Ok(None))
    }

    /// Reads the names of an HDF5 file; the matrix stays on disk.
    pub(crate) fn open_h5(root: &dyn Group, options: &Options) -> Result<Self> {
        let (barcodes, features, matrix) = h5::open(root, options)?;
        Ok(Self { barcodes, features, matrix: Matrix::H5(matrix) })
    }

    pub(crate) fn barcodes(&self) -> &[String] {
        &self.barcodes
    }

    pub(crate) fn genes(&self) -> &[String] {
        &self.features.genes
    }

    pub(crate) fn notes(&self) -> Vec<String> {
        self.features.note().into_iter().collect()
    }

    pub(crate) fn entries<E: From<CellsError>>(
        &self,
        piece: usize,
        mut f: impl FnMut(usize, usize, f64) -> Result<(), E>,
    ) -> Result<(), E> {
        let visit = |cell: usize, row: usize, v: f64| match self.features.of_row[row] {
            Some(gene) => f(cell, gene as usize, v),
            None => Ok(()),
        };
        match &self.matrix {
            Matrix::Text(m) => m.entries(visit),
            Matrix::H5(m) => m.entries(piece, visit),
        }
    }
}
