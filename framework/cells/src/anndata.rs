//! AnnData as the Python package writes it since 0.7, in an HDF5 file or a zarr store: X, a layer or raw, dense,
//! CSR or CSC; columns of obs and var of every kind.

mod column;

use crate::ahead::ahead;
use crate::error::listed;
use crate::sparse::Sparse;
use crate::store::{Array, Group, Kind, wrong};
use crate::{CellsError, Result};
use column::Frame;
use std::path::Path;

/// An opened file.
pub(crate) struct AnnData {
    obs: Frame,
    cells: usize,
    genes: Vec<String>,
    matrix: Matrix,
}

enum Matrix {
    Dense(Box<dyn Array>),
    ByCell(Sparse),
    ByGene(Sparse),
}

/// Errors unless the encoding of an element is one of those known. Files before 0.8 name fewer.
fn check(path: &Path, place: &str, kind: &str, version: Option<&str>, known: &[(&str, &[&str])]) -> Result<()> {
    let wrong = |what: String| CellsError::of(path, what);
    let Some((_, versions)) = known.iter().find(|k| k.0 == kind) else {
        let kinds: Vec<&str> = known.iter().map(|k| k.0).collect();
        let what = format!("{place} has the encoding `{kind}`; {} can be read", kinds.join(", "));
        return Err(wrong(format!("{what}. Convert it in Python and write the file again")));
    };
    match version {
        Some(v) if !versions.contains(&v) => Err(wrong(format!(
            "{place} has version {v} of the encoding `{kind}`, and {} can be read; it was written by a newer \
             anndata: write it with anndata 0.12 or older, or update this program",
            versions.join(", ")
        ))),
        _ => Ok(()),
    }
}

impl AnnData {
    /// Reads the structure and the names of genes; the matrix stays on disk. `layer`: a layer of that name, or
    /// `raw`, else X. `gene_column`: a column of var with the names of genes, else the index of var.
    pub(crate) fn open(root: Box<dyn Group>, layer: Option<&str>, gene_column: Option<&str>) -> Result<Self> {
        let obs = Frame::open(&*root, "obs")?;
        let cells = obs.rows()?;
        let (holder, name) = holder(&*root, layer)?;
        let holder = holder.as_deref().unwrap_or(&*root);
        let var = Frame::open(if holder.place() == "raw" { holder } else { &*root }, "var")?;
        let genes = var.names(gene_column)?;
        let matrix = matrix(holder, &name, cells, genes.len())?;
        Ok(Self { obs, cells, genes, matrix })
    }

    pub(crate) fn n_cells(&self) -> usize {
        self.cells
    }

    pub(crate) fn genes(&self) -> &[String] {
        &self.genes
    }

    /// The names of cells, the index of obs.
    pub(crate) fn names(&self) -> Result<Vec<String>> {
        self.obs.names(None)
    }

    /// A column of obs as text; `None` where it is missing.
    pub(crate) fn column(&self, name: &str) -> Result<Vec<Option<String>>> {
        self.obs.column(name, self.cells)
    }

    pub(crate) fn entries<E: From<CellsError>>(
        &self,
        piece: usize,
        mut f: impl FnMut(usize, usize, f64) -> Result<(), E>,
    ) -> Result<(), E> {
        let x = match &self.matrix {
            Matrix::ByCell(x) => return x.entries(piece, f),
            Matrix::ByGene(x) => return x.entries(piece, |gene, cell, v| f(cell, gene, v)),
            Matrix::Dense(x) => x,
        };
        let n = self.genes.len().max(1);
        let rows = (piece / n).max(1);
        // Whole chunks, unless they are so large that pieces are not.
        let chunk = x.chunk_rows() as usize;
        let rows =
            if chunk.saturating_mul(n) <= piece.saturating_mul(16) { rows.next_multiple_of(chunk) } else { rows };
        let all = self.cells as u64;
        let read = |start: u64| x.numbers(start..start.saturating_add(rows as u64).min(all));
        ahead(x.path(), (0..all).step_by(rows), read, |start, values| {
            for (cell, line) in (start as usize..).zip(values.chunks_exact(n)) {
                for (gene, &v) in line.iter().enumerate() {
                    if v != 0.0 {
                        f(cell, gene, v)?;
                    }
                }
            }
            Ok(())
        })
    }
}

/// The group that holds the matrix (`None`: the root) and its name in it.
fn holder(root: &dyn Group, layer: Option<&str>) -> Result<(Option<Box<dyn Group>>, String)> {
    let members = root.members()?;
    let mut layers = vec![];
    if members.has_group("layers") {
        let known = root.group("layers")?.members()?;
        layers = [known.groups, known.arrays].concat();
    }
    let raw = members.has_group("raw");
    let others = || format!("layers: {}{}", listed(&layers), if raw { "; also `raw`" } else { "" });
    match layer {
        None | Some("X") => {
            let absent = !members.has_group("X")
                && (!members.has_array("X") || root.array("X")?.text("encoding-type").as_deref() == Some("null"));
            if absent {
                let what = format!("X is empty; name the matrix to read in `layer` ({})", others());
                return Err(CellsError::of(root.path(), what));
            }
            Ok((None, "X".into()))
        }
        Some(layer) if layers.iter().any(|l| l == layer) => Ok((Some(root.group("layers")?), layer.into())),
        Some("raw") if raw => Ok((Some(root.group("raw")?), "X".into())),
        Some(layer) => {
            let what = format!("there is no layer `{layer}`; {}. Leave `layer` out to read X", others());
            Err(CellsError::of(root.path(), what))
        }
    }
}

fn matrix(holder: &dyn Group, name: &str, cells: usize, genes: usize) -> Result<Matrix> {
    let members = holder.members()?;
    let agree = |place: &str, shape: &[u64]| match shape == [cells as u64, genes as u64] {
        true => Ok(()),
        false => Err(CellsError::of(
            holder.path(),
            format!(
                "{place} is {shape:?} in shape, and obs has {cells} rows and var {genes}: the file is damaged or not \
                 AnnData, write it again"
            ),
        )),
    };
    if members.has_array(name) {
        let x = holder.array(name)?;
        if let Some(kind) = x.text("encoding-type") {
            check(x.path(), x.place(), &kind, x.text("encoding-version").as_deref(), &[("array", &["0.2.0"])])?;
        }
        agree(x.place(), x.shape())?;
        x.check_claim()?;
        if let Kind::Text | Kind::Other(_) = x.kind() {
            // Says what the array holds instead.
            x.numbers(0..0)?;
            x.integers(0..0)?;
        }
        return Ok(Matrix::Dense(x));
    }
    if !members.has_group(name) {
        let place = if holder.place().is_empty() { name.to_string() } else { format!("{}/{name}", holder.place()) };
        let what = format!("there is no {place}; name the matrix to read in `layer`");
        return Err(CellsError::of(holder.path(), what));
    }
    let x = holder.group(name)?;
    // anndata before 0.7 named the kind and shape otherwise.
    let (kind, shape) = match (x.text("encoding-type"), x.text("h5sparse_format")) {
        (Some(kind), _) => (kind, x.sizes("shape")),
        (None, Some(kind)) => (format!("{kind}_matrix"), x.sizes("h5sparse_shape")),
        (None, None) => (String::new(), None),
    };
    let known: [(&str, &[&str]); 2] = [("csr_matrix", &["0.1.0"]), ("csc_matrix", &["0.1.0"])];
    check(x.path(), x.place(), &kind, x.text("encoding-version").as_deref(), &known)?;
    let shape = shape.ok_or_else(|| wrong(x.path(), x.place(), "has no attribute `shape`; write the file again"))?;
    agree(x.place(), &shape)?;
    match kind.as_str() {
        "csr_matrix" => Ok(Matrix::ByCell(Sparse::open(&*x, cells, genes)?)),
        _ => Ok(Matrix::ByGene(Sparse::open(&*x, genes, cells)?)),
    }
}
