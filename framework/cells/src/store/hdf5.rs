//! HDF5 files, through a reader in pure Rust.

use super::{Array, Group, Kind, Members, Node, within, wrong};
use crate::{CellsError, Result, codec};
use hdf5_reader::error::Error as H5;
use hdf5_reader::{
    Attribute, DEFAULT_MAX_CHUNK_BYTES, Dataset, Datatype, FilterRegistry, H5Type, Hdf5File, OpenOptions, SliceInfo,
    SliceInfoElem,
};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

const MEBIBYTE: usize = 1 << 20;

/// The root group of a file.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Group>> {
    let mut filters = FilterRegistry::new();
    for (id, decode) in codec::HDF5 {
        let decode = move |filter: &hdf5_reader::messages::filter_pipeline::FilterDescription, data: &[u8], _| {
            // LZF and others note the size of a chunk; without it the largest chunk that is read at all.
            let most = filter
                .client_data
                .get(2)
                .filter(|_| *id == codec::LZF)
                .map_or(DEFAULT_MAX_CHUNK_BYTES, |n| *n as usize);
            decode(data, most.min(DEFAULT_MAX_CHUNK_BYTES)).map_err(H5::DecompressionError)
        };
        filters.register(*id, Box::new(decode));
    }
    let options = OpenOptions::default()
        .with_filter_registry(filters)
        .with_chunk_cache_bytes(64 * MEBIBYTE)
        .with_max_read_bytes(1 << 32);
    let opened = Hdf5File::open_with_options(path, options).and_then(|f| f.root_group());
    let of = Of { path: path.into(), place: String::new(), stored: std::fs::metadata(path).map_or(0, |m| m.len()) };
    let group = opened.map_err(|e| of.fault(e))?;
    Ok(Box::new(H5Group { of, group }))
}

/// The place of a node, for messages.
#[derive(Clone)]
struct Of {
    path: Arc<Path>,
    place: String,
    /// Bytes of the file.
    stored: u64,
}

impl Of {
    fn member(&self, name: &str) -> Self {
        Self { place: within(&self.place, name), ..self.clone() }
    }

    /// What the reader says, with the place, and the remedy where the cause is known.
    fn fault(&self, e: H5) -> CellsError {
        let mut root = &e;
        while let H5::Context { source, .. } = root {
            root = source;
        }
        let place = if self.place.is_empty() { "the file" } else { &self.place };
        let what = match root {
            H5::InvalidMagic => {
                "it is not an HDF5 file, whatever its name says; download or write it again".to_string()
            }
            H5::UnexpectedEof { .. } | H5::OffsetOutOfBounds(_) => {
                format!("{place}: the file ends before its content does; it is cut short, copy or download it again")
            }
            H5::UnsupportedFilter(id) => {
                let name = codec::name_of(id.trim_start_matches("filter id ").trim());
                format!(
                    "{place} is compressed with {name}, which is not supported (gzip, lzf, szip, zstd, lz4 and blosc \
                     are); write it again from Python: adata.write_h5ad(path, compression=\"gzip\")"
                )
            }
            H5::ResourceLimit(what) => {
                format!("{place}: {what}; the file is damaged, or its chunks are too large to read: write it again")
            }
            H5::Io(e) => format!("{place}: reading failed: {e}; check the path and the disk"),
            other => format!("{place}: {other}; the file is damaged or of a kind not read, write it again"),
        };
        CellsError::of(&self.path, what)
    }
}

struct H5Group {
    of: Of,
    group: hdf5_reader::group::Group,
}

struct H5Array {
    of: Of,
    data: Dataset,
    kind: Kind,
}

fn text(a: Result<Attribute, H5>) -> Option<String> {
    a.ok()?.read_string().ok()
}

fn sizes(a: Result<Attribute, H5>) -> Option<Vec<u64>> {
    fn of<T: H5Type, V: TryFrom<T>>(a: &Attribute) -> Option<Vec<V>> {
        a.read_1d::<T>().ok()?.into_iter().map(|v| V::try_from(v).ok()).collect()
    }
    let a = a.ok()?;
    of::<i64, u64>(&a).or_else(|| of::<i32, u64>(&a)).or_else(|| of::<u64, u64>(&a)).or_else(|| of::<u32, u64>(&a))
}

macro_rules! node {
    ($type:ty, $field:ident) => {
        impl Node for $type {
            fn path(&self) -> &Path {
                &self.of.path
            }

            fn place(&self) -> &str {
                &self.of.place
            }

            fn text(&self, attribute: &str) -> Option<String> {
                text(self.$field.attribute(attribute))
            }

            fn texts(&self, attribute: &str) -> Option<Vec<String>> {
                self.$field.attribute(attribute).ok()?.read_strings().ok()
            }

            fn sizes(&self, attribute: &str) -> Option<Vec<u64>> {
                sizes(self.$field.attribute(attribute))
            }
        }
    };
}

node!(H5Group, group);
node!(H5Array, data);

impl Group for H5Group {
    fn members(&self) -> Result<Members> {
        let (groups, arrays) = self.group.member_names().map_err(|e| self.of.fault(e))?;
        Ok(Members { groups, arrays })
    }

    fn group(&self, name: &str) -> Result<Box<dyn Group>> {
        let of = self.of.member(name);
        let group = self.group.group(name).map_err(|e| of.fault(e))?;
        Ok(Box::new(H5Group { of, group }))
    }

    fn array(&self, name: &str) -> Result<Box<dyn Array>> {
        let of = self.of.member(name);
        let data = self.group.dataset(name).map_err(|e| of.fault(e))?;
        let kind = match data.dtype() {
            Datatype::FixedPoint { .. } => Kind::Integer,
            Datatype::FloatingPoint { size: 4 | 8, .. } => Kind::Real,
            Datatype::FloatingPoint { .. } => Kind::Other("numbers of half or extended precision"),
            Datatype::String { .. } | Datatype::VarLen { .. } => Kind::Text,
            // h5py stores truth values as an enumeration over bytes.
            Datatype::Enum { .. } => Kind::Truth,
            _ => Kind::Other("records"),
        };
        Ok(Box::new(H5Array { of, data, kind }))
    }
}

impl H5Array {
    fn read<T: H5Type + Copy, U>(&self, rows: Range<u64>, convert: impl Fn(T) -> U) -> Result<Vec<U>> {
        if rows.is_empty() {
            return Ok(vec![]);
        }
        let mut selections: Vec<SliceInfoElem> =
            self.data.shape().iter().map(|n| SliceInfoElem::Slice { start: 0, end: *n, step: 1 }).collect();
        if let Some(first) = selections.first_mut() {
            *first = SliceInfoElem::Slice { start: rows.start, end: rows.end, step: 1 };
        }
        let x = self.data.read_slice_parallel::<T>(&SliceInfo { selections }).map_err(|e| self.of.fault(e))?;
        Ok(x.into_raw_vec_and_offset().0.into_iter().map(convert).collect())
    }
}

impl Array for H5Array {
    fn shape(&self) -> &[u64] {
        self.data.shape()
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    fn chunk_rows(&self) -> u64 {
        self.data.chunks().and_then(|c| c.first().copied()).map_or(1, |c| u64::from(c).max(1))
    }

    fn item_size(&self) -> u64 {
        self.data.raw_element_size().unwrap_or(1) as u64
    }

    fn stored(&self) -> (u64, u64) {
        (self.of.stored, MEBIBYTE as u64)
    }

    fn numbers(&self, rows: Range<u64>) -> Result<Vec<f64>> {
        match self.data.dtype() {
            Datatype::FloatingPoint { size: 4, .. } => self.read(rows, |v: f32| f64::from(v)),
            Datatype::FloatingPoint { size: 8, .. } => self.read(rows, |v: f64| v),
            Datatype::FixedPoint { size: 8, signed: false, .. } => self.read(rows, |v: u64| v as f64),
            _ => Ok(self.integers(rows)?.into_iter().map(|v| v as f64).collect()),
        }
    }

    fn integers(&self, rows: Range<u64>) -> Result<Vec<i64>> {
        match (self.data.dtype(), self.kind) {
            (Datatype::FixedPoint { size, signed, .. }, _) => match (size, signed) {
                (1, true) => self.read(rows, |v: i8| i64::from(v)),
                (1, false) => self.read(rows, |v: u8| i64::from(v)),
                (2, true) => self.read(rows, |v: i16| i64::from(v)),
                (2, false) => self.read(rows, |v: u16| i64::from(v)),
                (4, true) => self.read(rows, |v: i32| i64::from(v)),
                (4, false) => self.read(rows, |v: u32| i64::from(v)),
                (_, true) => self.read(rows, |v: i64| v),
                (_, false) => self.read(rows, |v: u64| i64::try_from(v).unwrap_or(i64::MAX)),
            },
            (_, Kind::Truth) if self.item_size() == 1 => {
                let raw = self.data.read_raw_bytes().map_err(|e| self.of.fault(e))?;
                let rows = rows.start as usize..rows.end as usize;
                Ok(raw.get(rows).unwrap_or_default().iter().map(|b| i64::from(*b != 0)).collect())
            }
            _ => Err(not_numbers(self, self.kind)),
        }
    }

    fn strings(&self) -> Result<Vec<String>> {
        self.data.read_strings().map_err(|e| self.of.fault(e))
    }
}

/// The message about an array of another kind.
pub(super) fn not_numbers(node: &dyn Node, kind: Kind) -> CellsError {
    let holds = match kind {
        Kind::Integer | Kind::Real => "numbers of an unknown form",
        Kind::Truth => "true and false",
        Kind::Text => "text",
        Kind::Other(what) => what,
    };
    let what = format!("holds {holds} where numbers are expected; store it as float32, float64 or integers");
    wrong(node.path(), node.place(), what)
}
