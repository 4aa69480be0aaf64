//! What HDF5 files and zarr stores have in common: groups of arrays, both with attributes.

mod hdf5;
mod zarr;

pub(crate) use hdf5::open as open_hdf5;
pub(crate) use zarr::{is_store, open as open_zarr};

use crate::{CellsError, Result};
use std::ops::Range;
use std::path::Path;

/// The most that an array read whole may take in memory: 4 GiB.
const MOST_WHOLE: u64 = 1 << 32;

/// A group or an array.
pub(crate) trait Node: Send + Sync {
    /// The file or folder, for messages.
    fn path(&self) -> &Path;
    /// Where it lies in the file, as `obs/perturbation`; empty for the root.
    fn place(&self) -> &str;
    /// An attribute of one text.
    fn text(&self, attribute: &str) -> Option<String>;
    /// An attribute of several texts.
    fn texts(&self, attribute: &str) -> Option<Vec<String>>;
    /// An attribute of sizes.
    fn sizes(&self, attribute: &str) -> Option<Vec<u64>>;
}

/// Names of members.
#[derive(Default)]
pub(crate) struct Members {
    pub(crate) groups: Vec<String>,
    pub(crate) arrays: Vec<String>,
}

impl Members {
    pub(crate) fn has_group(&self, name: &str) -> bool {
        self.groups.iter().any(|n| n == name)
    }

    pub(crate) fn has_array(&self, name: &str) -> bool {
        self.arrays.iter().any(|n| n == name)
    }
}

pub(crate) trait Group: Node {
    fn members(&self) -> Result<Members>;
    fn group(&self, name: &str) -> Result<Box<dyn Group>>;
    fn array(&self, name: &str) -> Result<Box<dyn Array>>;
}

/// What an array holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Integer,
    Real,
    Truth,
    Text,
    /// Something else, in words.
    Other(&'static str),
}

pub(crate) trait Array: Node {
    fn shape(&self) -> &[u64];
    fn kind(&self) -> Kind;
    /// Length of a chunk along the first axis; 1 where the array has no chunks.
    fn chunk_rows(&self) -> u64;
    /// Bytes of one value in the file, unpacked.
    fn item_size(&self) -> u64;
    /// Bytes that are there, and those that may be claimed without them.
    fn stored(&self) -> (u64, u64);
    /// Rows as numbers, in the order of the file; truth values are 0 and 1.
    fn numbers(&self, rows: Range<u64>) -> Result<Vec<f64>>;
    /// As `numbers`, for integers and truth values.
    fn integers(&self, rows: Range<u64>) -> Result<Vec<i64>>;
    /// All values of an array of text.
    fn strings(&self) -> Result<Vec<String>>;
}

impl dyn Array + '_ {
    /// Length of the first axis.
    pub(crate) fn rows(&self) -> u64 {
        self.shape().first().copied().unwrap_or(0)
    }

    /// Errors unless the array has one axis, and as many values as it should.
    pub(crate) fn check_rows(&self, wanted: usize, of: &str) -> Result<()> {
        if self.shape() == [wanted as u64] {
            return Ok(());
        }
        let what = format!("has the shape {:?}, and there are {wanted} {of}", self.shape());
        Err(wrong(self.path(), self.place(), format!("{what}: the file is damaged; copy it again or write it again")))
    }

    /// Errors where the array claims more values than a file of that size can hold. Damaged and made-up sizes are
    /// found here, before memory is asked for. gzip packs 1,032 bytes into one at most.
    pub(crate) fn check_claim(&self) -> Result<()> {
        const PACKED: u64 = 1100;
        let bytes = self.shape().iter().try_fold(self.item_size().max(1), |a, b| a.checked_mul(*b));
        let (stored, free) = self.stored();
        if bytes.is_some_and(|b| b <= stored.saturating_mul(PACKED).saturating_add(free)) {
            return Ok(());
        }
        let what = format!("claims the shape {:?}, and {stored} bytes are there", self.shape());
        Err(wrong(self.path(), self.place(), format!("{what}: the file is damaged or cut short; copy it again")))
    }

    /// `check_claim`, for an array that is read whole.
    pub(crate) fn check_whole(&self) -> Result<()> {
        self.check_claim()?;
        // A text takes 24 bytes beside its letters.
        let each = if self.kind() == Kind::Text { 32 } else { 8 };
        if self.rows().saturating_mul(each) <= MOST_WHOLE {
            return Ok(());
        }
        let what = format!("has {} values, too many to keep in memory", self.rows());
        Err(wrong(self.path(), self.place(), format!("{what}; split the file")))
    }

    /// All values as integers.
    pub(crate) fn all_integers(&self) -> Result<Vec<i64>> {
        self.check_whole()?;
        self.integers(0..self.rows())
    }
}

/// A message about a place in a file.
pub(crate) fn wrong(path: &Path, place: &str, what: impl std::fmt::Display) -> CellsError {
    match place {
        "" => CellsError::of(path, what),
        _ => CellsError::of(path, format!("{place} {what}")),
    }
}

/// The place of a member.
fn within(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_string() } else { format!("{place}/{name}") }
}
