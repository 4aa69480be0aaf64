//! A matrix in compressed rows or columns, read in pieces.

use crate::ahead::ahead;
use crate::store::{Array, Group, wrong};
use crate::{CellsError, Result};
use std::path::PathBuf;

/// Lines `i` (rows of CSR, columns of CSC) hold the entries `starts[i]..starts[i + 1]`.
pub(crate) struct Sparse {
    path: PathBuf,
    starts: Vec<u64>,
    /// Length of the other axis.
    across: u64,
    index: Box<dyn Array>,
    value: Box<dyn Array>,
}

impl Sparse {
    /// Reads where lines start, and checks that the three arrays agree.
    pub(crate) fn open(group: &dyn Group, lines: usize, across: usize) -> Result<Self> {
        let (indptr, index, value) = (group.array("indptr")?, group.array("indices")?, group.array("data")?);
        indptr.check_rows(lines + 1, "starts of rows (one more than rows)")?;
        let starts = indptr.all_integers()?;
        let fault = |what: String| {
            let remedy = "the file is damaged; copy it again or write it again";
            wrong(group.path(), indptr.place(), format!("{what}: {remedy}"))
        };
        if let Some(i) = (1..starts.len()).find(|&i| starts[i] < starts[i - 1]) {
            return Err(fault(format!("falls from {} to {} at position {i}", starts[i - 1], starts[i])));
        }
        let (first, last) = (starts.first().copied().unwrap_or(0), starts.last().copied().unwrap_or(0));
        if first != 0 {
            return Err(fault(format!("begins with {first} and not with 0")));
        }
        for a in [&index, &value] {
            if a.shape() != [last as u64] {
                return Err(fault(format!("ends with {last}, and {} has the shape {:?}", a.place(), a.shape())));
            }
            a.check_claim()?;
        }
        let starts = starts.into_iter().map(|v| v as u64).collect();
        Ok(Self { path: group.path().into(), starts, across: across as u64, index, value })
    }

    /// Calls `f` with line, position across and value of every entry, about `piece` entries in memory at a time.
    pub(crate) fn entries<E: From<CellsError>>(
        &self,
        piece: usize,
        mut f: impl FnMut(usize, usize, f64) -> Result<(), E>,
    ) -> Result<(), E> {
        let piece = (piece as u64).max(1);
        // Whole chunks, unless they are so large that pieces are not.
        let chunk = self.value.chunk_rows();
        let piece = if chunk <= piece.saturating_mul(16) { piece.next_multiple_of(chunk) } else { piece };
        let all = self.starts.last().copied().unwrap_or(0);
        let read = |start: u64| {
            let rows = start..start.saturating_add(piece).min(all);
            Ok((self.index.integers(rows.clone())?, self.value.numbers(rows)?))
        };
        let mut line = 0;
        ahead(&self.path, (0..all).step_by(piece as usize), read, |start, (indices, values)| {
            let mut at = 0;
            while at < indices.len() {
                while self.starts[line + 1] <= start + at as u64 {
                    line += 1;
                }
                let stop = ((self.starts[line + 1] - start) as usize).min(indices.len());
                for (&j, &v) in indices[at..stop].iter().zip(&values[at..stop]) {
                    if j < 0 || j as u64 >= self.across {
                        return Err(self.outside(j, line).into());
                    }
                    f(line, j as usize, v)?;
                }
                at = stop;
            }
            Ok(())
        })
    }

    fn outside(&self, j: i64, line: usize) -> CellsError {
        let what = format!("holds {j} in line {}, where positions are from 0 and below {}", line + 1, self.across);
        wrong(&self.path, self.index.place(), format!("{what}: the file is damaged; copy it again or write it again"))
    }
}
