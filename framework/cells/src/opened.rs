//! One way to open all of them.

use crate::anndata::AnnData;
use crate::store::{is_store, open_hdf5, open_zarr};
use crate::tenx::{TenX, is_prefix};
use crate::{CellsError, Options, Result};
use std::path::{Path, PathBuf};

/// Entries read in one piece: some tens of megabytes.
const PIECE: usize = 1 << 20;

/// What a path is, by its name and by what lies there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `.h5ad`, `.h5` or a zarr store: opened to see whether it is AnnData or 10x.
    Store,
    /// A folder of Cell Ranger, or the first letters of its files.
    TenX,
    /// Cells in a form that is not read; [`open`] says how to convert it.
    Refused,
    /// None of these: a table, perhaps.
    Other,
}

/// What a path is, without opening it.
pub fn form(path: &Path) -> Form {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let ends = |ends: &[&str]| ends.iter().any(|e| name.ends_with(e));
    match path.is_dir() {
        true if ends(&[".zarr"]) || is_store(path) => Form::Store,
        true => Form::TenX,
        false if ends(&[".h5ad", ".h5", ".hdf5", ".zarr"]) => Form::Store,
        false if remedy(&name).is_some() => Form::Refused,
        false if is_prefix(path) => Form::TenX,
        false => Form::Other,
    }
}

/// How to convert a form that is not read.
fn remedy(name: &str) -> Option<&'static str> {
    let known: [(&[&str], &str); 7] = [
        (&[".h5ad.gz", ".h5.gz"], "a packed file cannot be read in pieces; unpack it: gunzip FILE"),
        (&[".zarr.zip"], "a packed store is not read; unpack it into a folder ending in .zarr"),
        (
            &[".rds", ".rdata", ".rda", ".h5seurat"],
            "an R object is not read; export it in R: sceasy::convertFormat(object, from = \"seurat\", to = \"anndata\", \
             outFile = \"file.h5ad\"), or DropletUtils::write10xCounts(\"folder\", counts, version = \"3\") and a table \
             of object@meta.data",
        ),
        (
            &[".loom"],
            "a .loom file is not read; convert it in Python: scanpy.read_loom(path).write_h5ad(\"file.h5ad\")",
        ),
        (
            &[".h5mu"],
            "a MuData file holds several matrices; write one in Python: \
             mudata.read(path).mod[\"rna\"].write_h5ad(\"file.h5ad\")",
        ),
        (
            &[".mtx", ".mtx.gz"],
            "a matrix alone does not name its genes and cells; name the folder (or the prefix of the files) that holds \
             matrix.mtx, barcodes.tsv and features.tsv or genes.tsv",
        ),
        (&[".pkl", ".pickle"], "a pickle is not read; write it in Python: adata.write_h5ad(\"file.h5ad\")"),
    ];
    known.iter().find(|(ends, _)| ends.iter().any(|e| name.ends_with(e))).map(|(_, remedy)| *remedy)
}

/// An opened matrix, cells x genes.
pub struct Cells {
    path: PathBuf,
    source: Source,
    piece: usize,
}

enum Source {
    AnnData(AnnData),
    TenX(TenX),
}

/// Opens a matrix and reads the names of its genes; the values stay on disk.
///
/// # Errors
/// A path that is none of the forms, a file that is damaged or cut short, an encoding or a compression that is not read.
pub fn open(path: &Path, options: &Options) -> Result<Cells> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let source = match form(path) {
        Form::TenX => Source::TenX(TenX::open_folder(path, options)?),
        Form::Store => {
            let root = if path.is_dir() { open_zarr(path)? } else { open_hdf5(path)? };
            // What lies inside decides; the ending says only what the message about neither is.
            let members = root.members()?;
            let is_frame = members.has_group("obs") || members.has_array("obs");
            match path.is_dir() || is_frame || name.ends_with(".h5ad") && !TenX::is_in(&*root) {
                true => Source::AnnData(AnnData::open(root, options.layer.as_deref(), options.gene_column.as_deref())?),
                false => Source::TenX(TenX::open_h5(&*root, options)?),
            }
        }
        Form::Refused => return Err(CellsError::of(path, remedy(&name).unwrap_or_default())),
        Form::Other => {
            let what = if path.exists() {
                "its name is none of a file of cells; .h5ad, .h5 (Cell Ranger), a .zarr store and a folder with \
                 matrix.mtx are read"
            } else {
                "there is no such file, folder or prefix of files; check the path"
            };
            return Err(CellsError::of(path, what));
        }
    };
    Ok(Cells { path: path.into(), source, piece: PIECE })
}

impl Cells {
    /// Reads about that many entries at a time (default a million), rounded up to whole chunks of the file.
    pub fn with_piece(mut self, entries: usize) -> Self {
        self.piece = entries.max(1);
        self
    }

    /// Number of cells.
    pub fn n_cells(&self) -> usize {
        match &self.source {
            Source::AnnData(m) => m.n_cells(),
            Source::TenX(m) => m.barcodes().len(),
        }
    }

    /// The genes in the order of the matrix.
    pub fn genes(&self) -> &[String] {
        match &self.source {
            Source::AnnData(m) => m.genes(),
            Source::TenX(m) => m.genes(),
        }
    }

    /// The names of cells: barcodes, or the index of obs.
    pub fn names(&self) -> Result<Vec<String>> {
        match &self.source {
            Source::AnnData(m) => m.names(),
            Source::TenX(m) => Ok(m.barcodes().to_vec()),
        }
    }

    /// Whether the file has columns about its cells; Cell Ranger's have none.
    pub fn has_columns(&self) -> bool {
        matches!(self.source, Source::AnnData(_))
    }

    /// A column of obs as text, a value for each cell; `None` where it is missing.
    ///
    /// # Errors
    /// A column that does not exist, with the nearest that does; a damaged one; any column of a 10x matrix.
    pub fn column(&self, name: &str) -> Result<Vec<Option<String>>> {
        match &self.source {
            Source::AnnData(m) => m.column(name),
            Source::TenX(m) => Err(CellsError::of(
                &self.path,
                format!(
                    "there is no column `{name}` about its {} cells; Cell Ranger writes barcodes only, so name a table of \
                     cells in `obs` (oracle perturb_seq)",
                    m.barcodes().len()
                ),
            )),
        }
    }

    /// What was left out on opening, a sentence each.
    pub fn notes(&self) -> Vec<String> {
        match &self.source {
            Source::AnnData(_) => vec![],
            Source::TenX(m) => m.notes(),
        }
    }

    /// Calls `f` with cell, gene and value of every entry, in the order of the file. Zeros of a dense matrix are
    /// left out.
    ///
    /// # Errors
    /// What `f` answers; a position outside the matrix; a file that ends early or cannot be unpacked.
    pub fn entries<E: From<CellsError>>(&self, f: impl FnMut(usize, usize, f64) -> Result<(), E>) -> Result<(), E> {
        match &self.source {
            Source::AnnData(m) => m.entries(self.piece, f),
            Source::TenX(m) => m.entries(self.piece, f),
        }
    }
}
