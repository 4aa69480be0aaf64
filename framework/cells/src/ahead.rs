//! Pieces of a file, read one ahead of their use.

use crate::{CellsError, Result};
use std::path::Path;

/// Calls `f` with each start and what `read` makes of it, in order; the next piece is read on another thread meanwhile, so
/// that two are in memory at a time.
pub(crate) fn ahead<T: Send, E: From<CellsError>>(
    path: &Path,
    starts: impl Iterator<Item = u64>,
    read: impl Fn(u64) -> Result<T> + Sync,
    mut f: impl FnMut(u64, T) -> Result<(), E>,
) -> Result<(), E> {
    std::thread::scope(|scope| {
        let read = &read;
        let mut reading = None;
        for start in starts.map(Some).chain([None]) {
            let now = reading.take();
            reading = start.map(|s| (s, scope.spawn(move || read(s))));
            if let Some((s, piece)) = now {
                let fault = |_| CellsError::of(path, "reading a piece failed; the file is damaged, copy it again");
                f(s, piece.join().map_err(fault)??)?;
            }
        }
        Ok(())
    })
}
