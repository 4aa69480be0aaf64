//! zarr stores in folders, of version 2 and 3: what AnnData writes, and no more.

mod chunk;
mod meta;

use super::{Array, Group, Kind, Members, Node, hdf5::not_numbers, within, wrong};
use crate::{CellsError, Result};
use meta::{Item, Layout};
use serde_json::Value;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The largest chunk that is read, as for HDF5.
const MOST_CHUNK: u64 = 256 << 20;
/// Chunks of zeros may be absent, so that an array of some size needs no bytes at all.
const FREE: u64 = 256 << 20;

/// Whether a folder is a zarr store.
pub(crate) fn is_store(folder: &Path) -> bool {
    [".zgroup", "zarr.json", ".zmetadata"].iter().any(|f| folder.join(f).is_file())
}

/// The root group of a store.
pub(crate) fn open(path: &Path) -> Result<Box<dyn Group>> {
    if !is_store(path) {
        let what = "this folder has neither .zgroup nor zarr.json, so it is no zarr store; copy it again whole";
        return Err(CellsError::of(path, what));
    }
    Ok(Box::new(ZarrGroup { of: Of::open(path.into(), path.into(), String::new())? }))
}

/// A node: the store, the folder, the place and the attributes.
struct Of {
    store: Arc<Path>,
    folder: PathBuf,
    place: String,
    attributes: Value,
}

impl Of {
    fn open(store: Arc<Path>, folder: PathBuf, place: String) -> Result<Self> {
        let attributes = meta::attributes(&folder).map_err(|e| wrong(&store, &place, e))?;
        Ok(Self { store, folder, place, attributes })
    }

    fn member(&self, name: &str) -> Result<Self> {
        Self::open(self.store.clone(), self.folder.join(name), within(&self.place, name))
    }

    fn wrong(&self, what: impl std::fmt::Display) -> CellsError {
        wrong(&self.store, &self.place, what)
    }
}

struct ZarrGroup {
    of: Of,
}

struct ZarrArray {
    of: Of,
    layout: Layout,
}

macro_rules! node {
    ($type:ty) => {
        impl Node for $type {
            fn path(&self) -> &Path {
                &self.of.store
            }

            fn place(&self) -> &str {
                &self.of.place
            }

            fn text(&self, attribute: &str) -> Option<String> {
                self.of.attributes.get(attribute)?.as_str().map(str::to_string)
            }

            fn texts(&self, attribute: &str) -> Option<Vec<String>> {
                let values = self.of.attributes.get(attribute)?.as_array()?;
                values.iter().map(|v| v.as_str().map(str::to_string)).collect()
            }

            fn sizes(&self, attribute: &str) -> Option<Vec<u64>> {
                self.of.attributes.get(attribute)?.as_array()?.iter().map(Value::as_u64).collect()
            }
        }
    };
}

node!(ZarrGroup);
node!(ZarrArray);

impl Group for ZarrGroup {
    fn members(&self) -> Result<Members> {
        let mut members = Members::default();
        let fault = |e| self.of.wrong(format!("cannot be listed: {e}; check the folder"));
        for entry in std::fs::read_dir(&self.of.folder).map_err(fault)? {
            let entry = entry.map_err(fault)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            match meta::is_array(&entry.path()) {
                Some(true) => members.arrays.push(name),
                Some(false) => members.groups.push(name),
                None => {}
            }
        }
        // A folder has no order of its own.
        members.arrays.sort();
        members.groups.sort();
        Ok(members)
    }

    fn group(&self, name: &str) -> Result<Box<dyn Group>> {
        Ok(Box::new(ZarrGroup { of: self.of.member(name)? }))
    }

    fn array(&self, name: &str) -> Result<Box<dyn Array>> {
        let of = self.of.member(name)?;
        let layout = meta::layout(&of.folder).map_err(|e| of.wrong(e))?;
        let bytes = layout.chunk.iter().try_fold(layout.item.size(), |a, b| a.checked_mul(*b));
        if bytes.is_none_or(|b| b > MOST_CHUNK) {
            return Err(of.wrong(format!(
                "has chunks of {:?} values, too large to read; the file is damaged, or write it again with smaller chunks",
                layout.chunk
            )));
        }
        Ok(Box::new(ZarrArray { of, layout }))
    }
}

impl ZarrArray {
    /// The unpacked bytes of the chunk at that place of the grid; `None` where it is absent, which means fill value.
    fn chunk(&self, at: &[u64]) -> Result<Option<Vec<u8>>> {
        let key = self.layout.key(at);
        let file = self.of.folder.join(&key);
        let packed = match std::fs::read(&file) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(self.of.wrong(format!("chunk {key}: reading failed: {e}; check the disk"))),
        };
        let values: u64 = self.layout.chunk.iter().product();
        let most = match self.layout.item {
            Item::Texts => MOST_CHUNK,
            item => values * item.size(),
        };
        let damaged =
            |e: String| self.of.wrong(format!("chunk {key}: {e}; the file is damaged or cut short, copy it again"));
        let bytes = chunk::decode(&self.layout.codecs, packed, most as usize).map_err(damaged)?;
        if self.layout.item != Item::Texts && bytes.len() as u64 != most {
            return Err(damaged(format!("{} bytes for {most}", bytes.len())));
        }
        Ok(Some(bytes))
    }

    /// Bytes of rows, chunk by chunk, without what chunks hold beyond the edge.
    fn read(&self, rows: Range<u64>) -> Result<Vec<u8>> {
        let l = &self.layout;
        let (width, chunk_width) = (l.shape.get(1).copied().unwrap_or(1), l.chunk.get(1).copied().unwrap_or(1));
        if l.shape.is_empty() || l.shape.len() > 2 {
            return Err(self.of.wrong(format!("has the shape {:?}; one or two axes are read", l.shape)));
        }
        let size = l.item.size() as usize;
        let line = width as usize * size;
        let mut out = l.fill.repeat((rows.end - rows.start) as usize * width as usize);
        for i in rows.start / l.chunk[0]..rows.end.div_ceil(l.chunk[0]) {
            let first = rows.start.max(i * l.chunk[0]);
            let last = rows.end.min((i + 1) * l.chunk[0]);
            for j in 0..width.div_ceil(chunk_width) {
                let at = if l.shape.len() == 1 { vec![i] } else { vec![i, j] };
                let Some(bytes) = self.chunk(&at)? else { continue };
                let n = chunk_width.min(width - j * chunk_width) as usize * size;
                for row in first..last {
                    let from = (row - i * l.chunk[0]) as usize * chunk_width as usize * size;
                    let to = (row - rows.start) as usize * line + (j * chunk_width) as usize * size;
                    out[to..to + n].copy_from_slice(&bytes[from..from + n]);
                }
            }
        }
        Ok(out)
    }
}

impl Array for ZarrArray {
    fn shape(&self) -> &[u64] {
        &self.layout.shape
    }

    fn kind(&self) -> Kind {
        match self.layout.item {
            Item::Signed(_) | Item::Unsigned(_) => Kind::Integer,
            Item::Real(_) => Kind::Real,
            Item::Truth => Kind::Truth,
            Item::Texts | Item::Letters(_) | Item::Bytes(_) => Kind::Text,
        }
    }

    fn chunk_rows(&self) -> u64 {
        self.layout.chunk.first().copied().unwrap_or(1)
    }

    fn item_size(&self) -> u64 {
        self.layout.item.size()
    }

    fn stored(&self) -> (u64, u64) {
        (chunk::stored(&self.of.folder), FREE)
    }

    fn numbers(&self, rows: Range<u64>) -> Result<Vec<f64>> {
        let big = self.layout.big_endian;
        match self.layout.item {
            Item::Real(4) => Ok(chunk::values(&self.read(rows)?, big, |b| f64::from(f32::from_le_bytes(b)))),
            Item::Real(_) => Ok(chunk::values(&self.read(rows)?, big, f64::from_le_bytes)),
            Item::Unsigned(8) => Ok(chunk::values(&self.read(rows)?, big, |b| u64::from_le_bytes(b) as f64)),
            _ => Ok(self.integers(rows)?.into_iter().map(|v| v as f64).collect()),
        }
    }

    fn integers(&self, rows: Range<u64>) -> Result<Vec<i64>> {
        let big = self.layout.big_endian;
        let item = self.layout.item;
        if !matches!(item, Item::Signed(_) | Item::Unsigned(_) | Item::Truth) {
            return Err(not_numbers(self, self.kind()));
        }
        let raw = self.read(rows)?;
        Ok(match item {
            Item::Signed(1) => chunk::values(&raw, big, |b| i64::from(i8::from_le_bytes(b))),
            Item::Signed(2) => chunk::values(&raw, big, |b| i64::from(i16::from_le_bytes(b))),
            Item::Signed(4) => chunk::values(&raw, big, |b| i64::from(i32::from_le_bytes(b))),
            Item::Signed(_) => chunk::values(&raw, big, i64::from_le_bytes),
            Item::Unsigned(2) => chunk::values(&raw, big, |b| i64::from(u16::from_le_bytes(b))),
            Item::Unsigned(4) => chunk::values(&raw, big, |b| i64::from(u32::from_le_bytes(b))),
            Item::Unsigned(8) => chunk::values(&raw, big, |b| i64::try_from(u64::from_le_bytes(b)).unwrap_or(i64::MAX)),
            Item::Truth => raw.iter().map(|b| i64::from(*b != 0)).collect(),
            _ => raw.into_iter().map(i64::from).collect(),
        })
    }

    fn strings(&self) -> Result<Vec<String>> {
        let l = &self.layout;
        if l.shape.len() != 1 {
            return Err(self.of.wrong(format!("is text of the shape {:?}; one axis is read", l.shape)));
        }
        let mut out = Vec::new();
        for i in 0..l.shape[0].div_ceil(l.chunk[0]) {
            let n = l.chunk[0].min(l.shape[0] - i * l.chunk[0]) as usize;
            let Some(bytes) = self.chunk(&[i])? else {
                let key = l.key(&[i]);
                return Err(self.of.wrong(format!("lacks its chunk {key}: the store is cut short; copy it again")));
            };
            let texts = chunk::texts(l.item, &bytes, n, l.big_endian);
            out.extend(texts.map_err(|e| self.of.wrong(format!("chunk {}: {e}; copy the store again", l.key(&[i]))))?);
        }
        Ok(out)
    }
}
