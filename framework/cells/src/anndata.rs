//! AnnData `.h5ad` files as the Python package writes them: X or a layer, dense, CSR or CSC; columns of obs and
//! var as plain arrays, text, nullable arrays or categories of the present and the former encoding.

use crate::{CellsError, Result, listed, lzf};
use hdf5_reader::error::Error as H5;
use hdf5_reader::group::Group;
use hdf5_reader::{Attribute, Dataset, Datatype, FilterRegistry, Hdf5File, OpenOptions, SliceInfo, SliceInfoElem};
use std::path::{Path, PathBuf};

/// Entries read in one piece: a few tens of megabytes.
const PIECE: usize = 1 << 21;
const MEBIBYTE: usize = 1 << 20;

/// An opened file.
pub struct AnnData {
    path: PathBuf,
    obs: Group,
    cells: usize,
    genes: Vec<String>,
    matrix: Matrix,
    /// Where the matrix lies in the file.
    place: String,
    piece: usize,
}

enum Matrix {
    Dense(Box<Dataset>),
    /// Rows (or columns) `i` hold the entries `starts[i]..starts[i + 1]`.
    Sparse {
        by_cell: bool,
        starts: Vec<usize>,
        index: Box<Dataset>,
        value: Box<Dataset>,
    },
}

impl AnnData {
    /// Reads the structure and the names of genes; the matrix stays on disk. `layer`: a layer of that name, else
    /// X. `gene_column`: a column of var with the names of genes, else the index of var.
    pub fn open(path: &Path, layer: Option<&str>, gene_column: Option<&str>) -> Result<Self> {
        let at = At { path };
        let mut filters = FilterRegistry::new();
        filters.register(
            lzf::ID,
            Box::new(|filter, data, _| {
                let most = filter.client_data.get(2).copied().unwrap_or(u32::MAX >> 3);
                lzf::decompress(data, most as usize)
            }),
        );
        let options = OpenOptions::default()
            .with_filter_registry(filters)
            .with_chunk_cache_bytes(64 * MEBIBYTE)
            .with_max_read_bytes(usize::MAX);
        let file = Hdf5File::open_with_options(path, options).map_err(|e| at.fault("the file", e))?;
        let root = file.root_group().map_err(|e| at.fault("/", e))?;
        let obs = at.frame(&root, "obs")?;
        let var = at.frame(&root, "var")?;
        let cells = at.names(&obs, "obs", None)?.len();
        let genes = at.names(&var, "var", gene_column)?;
        let (holder, name, place) = match layer {
            None | Some("X") => (root, "X", "X".to_string()),
            Some(layer) => {
                let layers = root.group("layers").map_err(|_| at.no_layer(layer, &[]))?;
                let (mut known, more) = layers.member_names().map_err(|e| at.fault("layers", e))?;
                known.extend(more);
                if !known.iter().any(|k| k == layer) {
                    return Err(at.no_layer(layer, &known));
                }
                (layers, layer, format!("layers/{layer}"))
            }
        };
        let matrix = at.matrix(&holder, name, &place, cells, genes.len())?;
        Ok(Self { path: path.into(), obs, cells, genes, matrix, place, piece: PIECE })
    }

    /// Reads about that many entries at a time (default two million), rounded up to whole chunks of the file.
    pub fn with_piece(mut self, entries: usize) -> Self {
        self.piece = entries.max(1);
        self
    }

    /// Number of cells.
    pub fn n_cells(&self) -> usize {
        self.cells
    }

    /// The genes in the order of the matrix.
    pub fn genes(&self) -> &[String] {
        &self.genes
    }

    /// A column of obs as text, a value for each cell; `None` where it is missing.
    pub fn column(&self, name: &str) -> Result<Vec<Option<String>>> {
        let at = At { path: &self.path };
        let values = at.column(&self.obs, "obs", name)?;
        if values.len() != self.cells {
            let what = format!("obs/{name} has {} values for {} cells", values.len(), self.cells);
            return Err(CellsError::of(&self.path, format!("{what}: the file is damaged; write it again")));
        }
        Ok(values)
    }

    /// Calls `f` with cell, gene and value of every entry, in the order of the file. Zeros of a dense matrix are
    /// left out.
    pub fn entries<E: From<CellsError>>(&self, mut f: impl FnMut(usize, usize, f64) -> Result<(), E>) -> Result<(), E> {
        let at = At { path: &self.path };
        match &self.matrix {
            Matrix::Dense(x) => {
                let n = self.genes.len().max(1);
                let chunk = x.chunks().and_then(|c| c.first().copied()).map_or(1, |c| c.max(1) as usize);
                let rows = (self.piece / n).max(1).next_multiple_of(chunk);
                for start in (0..self.cells).step_by(rows) {
                    let end = (start + rows).min(self.cells);
                    let values = at.numbers(x, &self.place, start..end)?;
                    for (i, &v) in values.iter().enumerate() {
                        if v != 0.0 {
                            f(start + i / n, i % n, v)?;
                        }
                    }
                }
            }
            Matrix::Sparse { by_cell, starts, index, value } => {
                let across = if *by_cell { self.genes.len() } else { self.cells };
                let chunk = value.chunks().and_then(|c| c.first().copied()).map_or(1, |c| c.max(1) as usize);
                let piece = self.piece.next_multiple_of(chunk);
                let all = starts.last().copied().unwrap_or(0);
                let mut line = 0;
                for start in (0..all).step_by(piece) {
                    let end = (start + piece).min(all);
                    let indices = at.integers(index, &format!("{}/indices", self.place), start..end)?;
                    let values = at.numbers(value, &format!("{}/data", self.place), start..end)?;
                    for (k, (&j, &v)) in indices.iter().zip(&values).enumerate() {
                        while starts[line + 1] <= start + k {
                            line += 1;
                        }
                        let Some(j) = usize::try_from(j).ok().filter(|j| *j < across) else {
                            let what = format!("{}/indices holds {j}, and there are {across}", self.place);
                            return Err(CellsError::of(&self.path, format!("{what}: damaged; write it again")).into());
                        };
                        match by_cell {
                            true => f(line, j, v)?,
                            false => f(j, line, v)?,
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// Reads parts of one file, with its name for messages.
struct At<'a> {
    path: &'a Path,
}

impl At<'_> {
    fn wrong(&self, what: impl std::fmt::Display) -> CellsError {
        CellsError::of(self.path, what)
    }

    fn no_layer(&self, layer: &str, known: &[String]) -> CellsError {
        self.wrong(format!("there is no layer `{layer}`; layers: {}. Leave `layer` out to read X", listed(known)))
    }

    /// What the HDF5 reader says, with the place, and the remedy where the cause is known.
    fn fault(&self, place: &str, e: H5) -> CellsError {
        let mut root = &e;
        while let H5::Context { source, .. } = root {
            root = source;
        }
        self.wrong(match root {
            H5::InvalidMagic => "it is not an HDF5 file, so not an .h5ad file; download or write it again".to_string(),
            H5::UnexpectedEof { .. } | H5::OffsetOutOfBounds(_) => {
                format!("{place}: the file ends before its content does; it is cut short, copy or download it again")
            }
            H5::UnsupportedFilter(id) => {
                let name = match id.trim_start_matches("filter id ").trim() {
                    "32001" => "blosc",
                    "32004" => "lz4",
                    "32008" => "bitshuffle",
                    "32013" => "zfp",
                    "32015" => "zstd",
                    "32026" => "blosc2",
                    "307" => "bzip2",
                    _ => id,
                };
                format!(
                    "{place} is compressed with {name}, which is not supported (gzip, lzf and szip are); write it \
                     again from Python: adata.write_h5ad(path, compression=\"gzip\")"
                )
            }
            H5::Io(e) => format!("{place}: reading failed: {e}; check the path and the disk"),
            other => format!("{place}: {other}; the file is damaged or of a kind not read, write it again"),
        })
    }

    fn text(&self, attribute: std::result::Result<Attribute, H5>) -> Option<String> {
        attribute.ok()?.read_string().ok()
    }

    /// Errors unless the element's encoding is one of those known.
    fn check(&self, place: &str, kind: &str, version: Option<&str>, known: &[(&str, &[&str])]) -> Result<()> {
        let Some((_, versions)) = known.iter().find(|k| k.0 == kind) else {
            let kinds: Vec<&str> = known.iter().map(|k| k.0).collect();
            let what = format!("{place} has the encoding `{kind}`; {} can be read", kinds.join(", "));
            return Err(self.wrong(format!("{what}. Convert it in Python and write the file again")));
        };
        match version {
            Some(v) if !versions.contains(&v) => Err(self.wrong(format!(
                "{place} has version {v} of the encoding `{kind}`, and {} can be read; it was written by a newer \
                 anndata: write it with anndata 0.12 or older, or update this program",
                versions.join(", ")
            ))),
            _ => Ok(()),
        }
    }

    fn frame(&self, root: &Group, name: &str) -> Result<Group> {
        let (groups, datasets) = root.member_names().map_err(|e| self.fault("/", e))?;
        if datasets.iter().any(|d| d == name) {
            return Err(self.wrong(format!(
                "{name} is stored as by anndata before 0.7; read the file with a newer anndata and write it again"
            )));
        }
        if !groups.iter().any(|g| g == name) {
            let here: Vec<&String> = groups.iter().chain(&datasets).collect();
            return Err(self.wrong(format!(
                "there is no `{name}`, so this is not an AnnData file (it holds {}); write it with adata.write_h5ad(path)",
                listed(&here)
            )));
        }
        let frame = root.group(name).map_err(|e| self.fault(name, e))?;
        if let Some(kind) = self.text(frame.attribute("encoding-type")) {
            let version = self.text(frame.attribute("encoding-version"));
            self.check(name, &kind, version.as_deref(), &[("dataframe", &["0.1.0", "0.2.0"])])?;
        }
        Ok(frame)
    }

    /// The index of a frame, or a column in its place; every value present.
    fn names(&self, frame: &Group, place: &str, column: Option<&str>) -> Result<Vec<String>> {
        let index = self.text(frame.attribute("_index")).unwrap_or_else(|| "_index".into());
        let name = column.unwrap_or(&index);
        let values = self.column(frame, place, name)?;
        if let Some(row) = values.iter().position(Option::is_none) {
            return Err(self.wrong(format!("{place}/{name} has no value in row {}; fill it in", row + 1)));
        }
        Ok(values.into_iter().flatten().collect())
    }

    fn column(&self, frame: &Group, place: &str, name: &str) -> Result<Vec<Option<String>>> {
        let here = format!("{place}/{name}");
        let (groups, datasets) = frame.member_names().map_err(|e| self.fault(place, e))?;
        if datasets.iter().any(|d| d == name) {
            let column = frame.dataset(name).map_err(|e| self.fault(&here, e))?;
            // anndata before 0.8 keeps the categories of all columns in a group of their own.
            if groups.iter().any(|g| g == "__categories") {
                let former = frame.group("__categories").map_err(|e| self.fault(place, e))?;
                let (_, known) = former.member_names().map_err(|e| self.fault(place, e))?;
                if known.iter().any(|k| k == name) {
                    let categories = former.dataset(name).map_err(|e| self.fault(&here, e))?;
                    return self.categories(&column, &categories, &here);
                }
            }
            if let Some(kind) = self.text(column.attribute("encoding-type")) {
                let version = self.text(column.attribute("encoding-version"));
                self.check(&here, &kind, version.as_deref(), &[("array", &["0.2.0"]), ("string-array", &["0.2.0"])])?;
            }
            return Ok(self.values(&column, &here)?.into_iter().map(Some).collect());
        }
        if groups.iter().any(|g| g == name) && name != "__categories" {
            let group = frame.group(name).map_err(|e| self.fault(&here, e))?;
            let kind = self.text(group.attribute("encoding-type")).unwrap_or_default();
            let version = self.text(group.attribute("encoding-version"));
            let known: [(&str, &[&str]); 4] = [
                ("categorical", &["0.2.0"]),
                ("nullable-integer", &["0.1.0"]),
                ("nullable-boolean", &["0.1.0"]),
                ("nullable-string-array", &["0.1.0"]),
            ];
            self.check(&here, &kind, version.as_deref(), &known)?;
            let part = |name: &str| group.dataset(name).map_err(|e| self.fault(&format!("{here}/{name}"), e));
            if kind == "categorical" {
                return self.categories(&part("codes")?, &part("categories")?, &here);
            }
            let values = self.values(&part("values")?, &here)?;
            let mask = self.values(&part("mask")?, &here)?;
            return Ok(values.into_iter().zip(mask).map(|(v, m)| (m != "True").then_some(v)).collect());
        }
        let order = frame.attribute("column-order").ok().and_then(|a| a.read_strings().ok()).unwrap_or_default();
        let index = self.text(frame.attribute("_index"));
        let mut known: Vec<String> = order;
        if known.is_empty() {
            known = groups
                .into_iter()
                .chain(datasets)
                .filter(|k| k != "__categories" && Some(k) != index.as_ref())
                .collect();
        }
        let near = nearest(name, &known).map_or(String::new(), |k| format!("; did you mean `{k}`?"));
        Err(self.wrong(format!("there is no column `{name}` in {place}; columns: {}{near}", listed(&known))))
    }

    fn categories(&self, codes: &Dataset, categories: &Dataset, here: &str) -> Result<Vec<Option<String>>> {
        let names = self.values(categories, here)?;
        let n = codes.shape().first().copied().unwrap_or(0) as usize;
        let codes = self.integers(codes, here, 0..n)?;
        let of = |code: i64| match usize::try_from(code) {
            // A negative code is a missing value.
            Err(_) => Ok(None),
            Ok(c) if c < names.len() => Ok(Some(names[c].clone())),
            Ok(c) => Err(self.wrong(format!(
                "{here} holds the code {c} and there are {} categories: the file is damaged, write it again",
                names.len()
            ))),
        };
        codes.into_iter().map(of).collect()
    }

    /// A column as text: strings as they are, numbers as Python writes them.
    fn values(&self, column: &Dataset, here: &str) -> Result<Vec<String>> {
        let n = column.shape().first().copied().unwrap_or(0) as usize;
        match column.dtype() {
            Datatype::FixedPoint { .. } => Ok(self.integers(column, here, 0..n)?.iter().map(i64::to_string).collect()),
            Datatype::FloatingPoint { .. } => {
                Ok(self.numbers(column, here, 0..n)?.iter().map(|v| format!("{v:?}")).collect())
            }
            // h5py stores booleans as an enumeration over bytes.
            Datatype::Enum { .. } => {
                let raw = column.read_raw_bytes().map_err(|e| self.fault(here, e))?;
                Ok(raw.iter().map(|b| if *b == 0 { "False".into() } else { "True".to_string() }).collect())
            }
            _ => column.read_strings().map_err(|e| self.fault(here, e)),
        }
    }

    fn matrix(&self, holder: &Group, name: &str, place: &str, cells: usize, genes: usize) -> Result<Matrix> {
        let agree = |shape: &[u64]| match shape == [cells as u64, genes as u64] {
            true => Ok(()),
            false => Err(self.wrong(format!(
                "{place} is {shape:?} in shape, and obs has {cells} rows and var {genes}: the file is damaged or not \
                 AnnData, write it again"
            ))),
        };
        let (groups, datasets) = holder.member_names().map_err(|e| self.fault(place, e))?;
        if datasets.iter().any(|d| d == name) {
            let x = holder.dataset(name).map_err(|e| self.fault(place, e))?;
            if let Some(kind) = self.text(x.attribute("encoding-type")) {
                let version = self.text(x.attribute("encoding-version"));
                self.check(place, &kind, version.as_deref(), &[("array", &["0.2.0"])])?;
            }
            agree(x.shape())?;
            return Ok(Matrix::Dense(Box::new(x)));
        }
        if !groups.iter().any(|g| g == name) {
            return Err(self.wrong(format!("there is no {place}; name the matrix to read in `layer`")));
        }
        let x = holder.group(name).map_err(|e| self.fault(place, e))?;
        let known: [(&str, &[&str]); 2] = [("csr_matrix", &["0.1.0"]), ("csc_matrix", &["0.1.0"])];
        // anndata before 0.8 named the kind and shape otherwise.
        let (kind, former) = match self.text(x.attribute("encoding-type")) {
            Some(kind) => (kind, false),
            None => match self.text(x.attribute("h5sparse_format")) {
                Some(kind) => (format!("{kind}_matrix"), true),
                None => (String::new(), false),
            },
        };
        let version = self.text(x.attribute("encoding-version"));
        self.check(place, &kind, version.as_deref(), &known)?;
        let shape = x.attribute(if former { "h5sparse_shape" } else { "shape" }).and_then(|a| a.read_1d::<i64>());
        let shape: Vec<u64> = shape.map_err(|e| self.fault(place, e))?.iter().map(|v| *v as u64).collect();
        agree(&shape)?;
        let part = |name: &str| x.dataset(name).map_err(|e| self.fault(&format!("{place}/{name}"), e));
        let (starts, index, value) = (part("indptr")?, part("indices")?, part("data")?);
        let by_cell = kind == "csr_matrix";
        let length = |d: &Dataset| d.shape().first().copied().unwrap_or(0) as usize;
        let starts = self.integers(&starts, &format!("{place}/indptr"), 0..length(&starts))?;
        let starts: Vec<usize> = starts.into_iter().map(|v| usize::try_from(v).unwrap_or(usize::MAX)).collect();
        let whole = starts.len() == 1 + if by_cell { cells } else { genes }
            && starts[0] == 0
            && starts.windows(2).all(|w| w[0] <= w[1])
            && starts.last().copied() == Some(length(&index))
            && length(&index) == length(&value);
        if !whole {
            return Err(self.wrong(format!(
                "{place}/indptr does not agree with its indices and data: the file is damaged, write it again"
            )));
        }
        Ok(Matrix::Sparse { by_cell, starts, index: Box::new(index), value: Box::new(value) })
    }

    /// Rows `range` of a dataset as numbers, in the order of the file.
    fn numbers(&self, d: &Dataset, here: &str, range: std::ops::Range<usize>) -> Result<Vec<f64>> {
        match d.dtype() {
            Datatype::FloatingPoint { size: 4, .. } => self.read::<f32, f64>(d, here, range, f64::from),
            Datatype::FloatingPoint { size: 8, .. } => self.read::<f64, f64>(d, here, range, |v| v),
            Datatype::FixedPoint { size: 8, signed: false, .. } => self.read::<u64, f64>(d, here, range, |v| v as f64),
            _ => Ok(self.integers(d, here, range)?.into_iter().map(|v| v as f64).collect()),
        }
    }

    fn integers(&self, d: &Dataset, here: &str, range: std::ops::Range<usize>) -> Result<Vec<i64>> {
        match d.dtype() {
            Datatype::FixedPoint { size, signed, .. } => match (size, signed) {
                (1, true) => self.read::<i8, i64>(d, here, range, i64::from),
                (1, false) => self.read::<u8, i64>(d, here, range, i64::from),
                (2, true) => self.read::<i16, i64>(d, here, range, i64::from),
                (2, false) => self.read::<u16, i64>(d, here, range, i64::from),
                (4, true) => self.read::<i32, i64>(d, here, range, i64::from),
                (4, false) => self.read::<u32, i64>(d, here, range, i64::from),
                (_, true) => self.read::<i64, i64>(d, here, range, |v| v),
                (_, false) => self.read::<u64, i64>(d, here, range, |v| i64::try_from(v).unwrap_or(i64::MAX)),
            },
            other => Err(self.wrong(format!(
                "{here} holds {} where numbers are expected; store it as float32, float64 or integers",
                kind(other)
            ))),
        }
    }

    fn read<T: hdf5_reader::H5Type + Copy, U>(
        &self,
        d: &Dataset,
        here: &str,
        range: std::ops::Range<usize>,
        convert: impl Fn(T) -> U,
    ) -> Result<Vec<U>> {
        if range.is_empty() {
            return Ok(vec![]);
        }
        let mut selections: Vec<SliceInfoElem> =
            d.shape().iter().map(|n| SliceInfoElem::Slice { start: 0, end: *n, step: 1 }).collect();
        if let Some(first) = selections.first_mut() {
            *first = SliceInfoElem::Slice { start: range.start as u64, end: range.end as u64, step: 1 };
        }
        let x = d.read_slice_parallel::<T>(&SliceInfo { selections }).map_err(|e| self.fault(here, e))?;
        Ok(x.iter().map(|v| convert(*v)).collect())
    }
}

fn kind(d: &Datatype) -> &'static str {
    match d {
        Datatype::FloatingPoint { .. } => "numbers of half precision",
        Datatype::String { .. } | Datatype::VarLen { .. } => "text",
        Datatype::Enum { .. } => "true and false",
        _ => "records",
    }
}

/// The name that differs in fewest places by letter, if it is near.
fn nearest<'a>(wanted: &str, known: &'a [String]) -> Option<&'a String> {
    let plain = |s: &str| -> Vec<char> { s.to_lowercase().chars().filter(|c| c.is_alphanumeric()).collect() };
    let a = plain(wanted);
    known
        .iter()
        .map(|k| {
            let b = plain(k);
            let mut row: Vec<usize> = (0..=b.len()).collect();
            for (i, x) in a.iter().enumerate() {
                let mut diagonal = row[0];
                row[0] = i + 1;
                for (j, y) in b.iter().enumerate() {
                    let change = diagonal + usize::from(x != y);
                    diagonal = row[j + 1];
                    row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
                }
            }
            (row[b.len()], k)
        })
        .min_by_key(|(d, _)| *d)
        .filter(|(d, k)| *d <= 1 + a.len().max(k.len()) / 4)
        .map(|(_, k)| k)
}
