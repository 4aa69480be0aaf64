//! The rows of a delimited text, brought into its columns a batch at a time.

use rayon::prelude::*;

use crate::delimiter::Delimiter;
use crate::error::TableError;
use crate::text::TextFile;
use crate::text::column::Growing;
use crate::text::records::{Records, Stop};
use crate::text::sniff::{Plan, Shape};
use crate::text::split::{split, split_plain};

/// Text that is handed to the columns at once: large enough for threads, and small enough for caches.
const BATCH: usize = 1 << 20;

const TOGETHER: usize = 16;

/// Reads the rows into the columns; gives their lines.
pub(super) fn read(
    file: &TextFile<'_>,
    records: &mut Records<'_>,
    plan: &Plan,
    columns: &mut [Growing],
) -> Result<Vec<usize>, Stop> {
    let (delimiter, width) = (plan.delimiter, columns.len());
    let tail = matches!(plan.shape, Shape::HeaderTail | Shape::RowTail);
    let mut lines = Vec::new();
    let mut batch = Batch::default();
    while let Some((line, record)) = records.next()? {
        let before = batch.cells.len();
        if delimiter != Delimiter::Spaces && !record.contains('"') {
            batch.add_plain(record, delimiter);
        } else if let Err(mistake) = split(record, delimiter, |cell| batch.add(&cell)) {
            let record = record.to_owned();
            return Err(records.misquoted(line, &record, mistake).into());
        }
        let found = batch.cells.len() - before;
        if tail && found == width + 1 && batch.last().trim().is_empty() {
            batch.cells.pop();
        } else if found != width {
            let path = file.path.into();
            return Err(TableError::Ragged { path, line, found, expected: width, delimiter }.into());
        }
        lines.push(line);
        if batch.text.len() > BATCH {
            batch.hand_over(columns);
        }
    }
    batch.hand_over(columns);
    Ok(lines)
}

/// Cells of some rows, row by row.
#[derive(Default)]
struct Batch {
    text: String,
    /// Where each cell starts and ends.
    cells: Vec<(usize, usize)>,
}

impl Batch {
    fn add(&mut self, cell: &str) {
        let start = self.text.len();
        self.text.push_str(cell);
        self.cells.push((start, self.text.len()));
    }

    fn add_plain(&mut self, record: &str, delimiter: Delimiter) {
        let mut start = self.text.len();
        self.text.push_str(record);
        split_plain(record, delimiter.byte(), |cell| {
            self.cells.push((start, start + cell.len()));
            start += cell.len() + 1;
        });
    }

    fn last(&self) -> &str {
        self.cells.last().map_or("", |&(start, end)| &self.text[start..end])
    }

    /// Each column takes its cells in order, so that the number of threads changes nothing.
    fn hand_over(&mut self, columns: &mut [Growing]) {
        let width = columns.len();
        if width == 0 {
            return;
        }
        // Some columns at a time, so that their ends and the cells of a row stay in the cache.
        let put = |(part, columns): (usize, &mut [Growing])| {
            for row in self.cells.chunks_exact(width) {
                for (column, &(start, end)) in columns.iter_mut().zip(&row[part * TOGETHER..]) {
                    column.push(&self.text[start..end]);
                }
            }
        };
        // A thread pool is not started for small files.
        if self.text.len() > BATCH {
            columns.par_chunks_mut(TOGETHER).enumerate().for_each(put);
        } else {
            columns.chunks_mut(TOGETHER).enumerate().for_each(put);
        }
        self.text.clear();
        self.cells.clear();
    }
}
