//! A text file as bytes, unpacked where it is compressed.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::encoding::{Encoding, ToUtf8};
use crate::error::TableError;

/// A text file, which may be read several times.
pub(crate) struct TextFile<'a> {
    pub path: &'a Path,
    pub gzip: bool,
    /// Size on disk.
    pub bytes: u64,
}

impl<'a> TextFile<'a> {
    /// Its encoding by its mark, or UTF-8.
    pub fn marked(&self) -> Result<(Encoding, usize), TableError> {
        let mut start = Vec::new();
        self.raw()?.take(3).read_to_end(&mut start).map_err(|cause| self.fault(cause))?;
        if start.is_empty() {
            return Err(TableError::Empty { path: self.path.into() });
        }
        Ok(Encoding::marked(&start))
    }

    /// The text behind its mark, as UTF-8 unless it is broken.
    pub fn open(&self, encoding: Encoding, mark: usize) -> Result<Box<dyn Read + 'a>, TableError> {
        let mut raw = self.raw()?;
        raw.by_ref().take(mark as u64).read_to_end(&mut Vec::new()).map_err(|cause| self.fault(cause))?;
        Ok(if encoding == Encoding::Utf8 { raw } else { Box::new(ToUtf8::new(raw, encoding)) })
    }

    fn raw(&self) -> Result<Box<dyn Read + 'a>, TableError> {
        let file = File::open(self.path).map_err(|cause| TableError::Unreadable { path: self.path.into(), cause })?;
        Ok(if self.gzip {
            let packed = BufReader::with_capacity(1 << 16, Counted { inner: file, count: 0 });
            Box::new(Bounded { inner: MultiGzDecoder::new(packed), unpacked: 0, packed: 0 })
        } else {
            Box::new(file)
        })
    }

    /// What a failed read means.
    pub fn fault(&self, cause: io::Error) -> TableError {
        let path = self.path.into();
        if cause.get_ref().is_some_and(|inner| inner.is::<TooMuch>()) {
            let cause = format!("it unpacks to more than {RATIO} times its size, as no table does");
            return TableError::Damaged { path, kind: "gzip", cause };
        }
        match cause.kind() {
            ErrorKind::UnexpectedEof if self.gzip => TableError::Truncated { path, kind: "gzip" },
            ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::Other => {
                let kind = if self.gzip { "gzip" } else { "text" };
                TableError::Damaged { path, kind, cause: cause.to_string() }
            }
            _ => TableError::Unreadable { path, cause },
        }
    }
}

/// Tables of almost nothing but zeros pack to a fiftieth; gzip itself ends near a thousandth.
const RATIO: u64 = 100;

/// Unpacked size over which the ratio is taken, again and again.
const STRETCH: u64 = 1 << 27;

#[derive(Debug, thiserror::Error)]
#[error("too much")]
struct TooMuch;

struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.count += read as u64;
        Ok(read)
    }
}

/// Refuses a long stretch that was packed to almost nothing.
struct Bounded<R> {
    inner: MultiGzDecoder<BufReader<Counted<R>>>,
    /// Unpacked bytes of this stretch.
    unpacked: u64,
    /// Packed bytes before it.
    packed: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(out)?;
        self.unpacked += read as u64;
        if self.unpacked > STRETCH {
            let packed = self.inner.get_ref().get_ref().count;
            if (packed - self.packed).saturating_mul(RATIO) < self.unpacked {
                return Err(io::Error::other(TooMuch));
            }
            (self.unpacked, self.packed) = (0, packed);
        }
        Ok(read)
    }
}
