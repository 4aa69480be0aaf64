//! The records of a delimited text by RFC 4180, one after the other, in bounded memory.

use std::io::{ErrorKind, Read};
use std::ops::Range;

use memchr::{memchr, memchr_iter, memchr2};

use crate::delimiter::Delimiter;
use crate::error::TableError;
use crate::text::file::TextFile;
use crate::text::split::Misquoted;

/// Reads records; holds no more of the file than the longest of them, which is bounded.
pub(crate) struct Records<'a> {
    file: &'a TextFile<'a>,
    reader: Box<dyn Read + 'a>,
    pub delimiter: Delimiter,
    buffer: Vec<u8>,
    at: usize,
    end: usize,
    ended: bool,
    line: usize,
    /// Whether text beyond ASCII was read.
    beyond_ascii: bool,
}

/// Why there is no next record.
pub(crate) enum Stop {
    Fault(TableError),
    /// The line is not UTF-8; whether text before it is, beyond ASCII.
    NotUtf8 {
        line: usize,
        some_is: bool,
    },
}

impl From<TableError> for Stop {
    fn from(error: TableError) -> Self {
        Self::Fault(error)
    }
}

const BLOCK: usize = 1 << 18;

/// No line of a table is longer: it would hold millions of cells.
const LONGEST: usize = 1 << 26;

impl<'a> Records<'a> {
    pub fn new(file: &'a TextFile<'a>, reader: Box<dyn Read + 'a>) -> Self {
        let buffer = vec![0; 2 * BLOCK];
        Self {
            file,
            reader,
            delimiter: Delimiter::Comma,
            buffer,
            at: 0,
            end: 0,
            ended: false,
            line: 1,
            beyond_ascii: false,
        }
    }

    /// The first lines, without those that are blank; whole lines only.
    pub fn sample(&mut self) -> Result<Vec<String>, Stop> {
        const LINES: usize = 64;
        // Long lines: a few of them tell as much.
        const FEW: usize = 3;
        const ENOUGH: usize = 4 << 20;
        loop {
            let ends = memchr_iter(b'\n', &self.buffer[..self.end]).count();
            let old_mac = memchr_iter(b'\r', &self.buffer[..self.end]).count();
            let lines = if ends == 0 { old_mac } else { ends };
            if self.ended || lines > LINES || (lines > 8 && self.end > 4 * BLOCK) {
                break;
            }
            self.fill(self.end)?;
        }
        let mut text = &self.buffer[..self.end];
        if !self.ended {
            let last = memchr::memrchr2(b'\n', b'\r', text).unwrap_or_default();
            text = &text[..last];
        }
        let text = std::str::from_utf8(text).map_err(|cause| self.not_utf8(&text[..cause.valid_up_to()]))?;
        let mut sample: Vec<String> = Vec::new();
        let mut size = 0;
        for line in text.split(['\n', '\r']).filter(|line| !line.trim().is_empty()).take(LINES) {
            if size > ENOUGH && sample.len() >= FEW {
                break;
            }
            size += line.len();
            sample.push(line.to_owned());
        }
        Ok(sample)
    }

    /// Leaves out the next line that is not blank.
    pub fn skip_line(&mut self) -> Result<(), Stop> {
        while let Some((_, range)) = self.record(false)? {
            if !self.buffer[range].trim_ascii().is_empty() {
                break;
            }
        }
        Ok(())
    }

    /// The next record that is not blank, and its line.
    pub fn next(&mut self) -> Result<Option<(usize, &str)>, Stop> {
        self.text(true)
    }

    /// The next line that is not blank, and its number; quotes mean nothing.
    pub fn next_line(&mut self) -> Result<Option<(usize, &str)>, Stop> {
        self.text(false)
    }

    fn text(&mut self, quotes: bool) -> Result<Option<(usize, &str)>, Stop> {
        let (line, range) = loop {
            // Blank lines in one go: there may be millions.
            let blank = self.buffer[self.at..self.end].iter().take_while(|&&byte| byte == b'\n').count();
            self.at += blank;
            self.line += blank;
            let Some((line, range)) = self.record(quotes)? else { return Ok(None) };
            let bytes = &self.buffer[range.clone()];
            // A line of delimiters is a row of empty cells.
            let cells = self.delimiter != Delimiter::Spaces && memchr(self.delimiter.byte(), bytes).is_some();
            if cells || !bytes.trim_ascii().is_empty() {
                break (line, range);
            }
        };
        let bytes = &self.buffer[range];
        match std::str::from_utf8(bytes) {
            Ok(record) => {
                self.beyond_ascii |= !record.is_ascii();
                Ok(Some((line, record)))
            }
            Err(cause) => {
                let valid = &bytes[..cause.valid_up_to()];
                let some_is = self.beyond_ascii || !valid.is_ascii();
                Err(Stop::NotUtf8 { line: line + lines(valid), some_is })
            }
        }
    }

    /// The error for a mistake in the quotes of a record.
    pub fn misquoted(&self, line: usize, record: &str, (at, problem): Misquoted) -> TableError {
        let line = line + lines(&record.as_bytes()[..at]);
        TableError::Quote { path: self.file.path.into(), line, problem }
    }

    /// The place of the next record in the buffer, and its first line.
    fn record(&mut self, quotes: bool) -> Result<Option<(usize, Range<usize>)>, Stop> {
        let (line, mut seen, mut state) = (self.line, 0, Inside::Start);
        if self.at == self.end && !self.fill(0)? {
            return Ok(None);
        }
        let mut passed = 0;
        loop {
            let Some(found) = memchr2(b'\n', b'\r', &self.buffer[self.at + seen..self.end]) else {
                seen = self.end - self.at;
                if self.fill(seen)? {
                    continue;
                }
                let range = self.at..self.end;
                self.at = self.end;
                return Ok(Some((line, range)));
            };
            let stop = seen + found;
            let rest = &self.buffer[self.at + stop..self.end];
            // A line end of Windows has two bytes.
            if rest == b"\r" && !self.ended {
                seen = stop;
                self.fill(stop + 1)?;
                continue;
            }
            let width = if rest.starts_with(b"\r\n") { 2 } else { 1 };
            self.line += 1;
            let part = &self.buffer[self.at + passed..self.at + stop];
            if quotes && (state == Inside::Quotes || memchr(b'"', part).is_some()) {
                state = state.after(part, self.delimiter.byte());
                if state == Inside::Quotes {
                    seen = stop + width;
                    passed = seen;
                    if self.at + seen < self.end || self.fill(seen)? {
                        continue;
                    }
                }
            }
            let range = self.at..self.at + stop;
            self.at = range.end + width;
            return Ok(Some((line, range)));
        }
    }

    /// Reads on behind `kept` bytes of the current record; whether there was more.
    fn fill(&mut self, kept: usize) -> Result<bool, Stop> {
        if self.ended {
            return Ok(false);
        }
        let path = || self.file.path.into();
        if kept > LONGEST {
            let line = self.line + lines(&self.buffer[self.at..self.end]);
            let cause = format!("line {line} is longer than {} MB", LONGEST >> 20);
            return Err(TableError::Damaged { path: path(), kind: "text", cause }.into());
        }
        self.buffer.copy_within(self.at..self.end, 0);
        (self.at, self.end) = (0, self.end - self.at);
        if self.buffer.len() < self.end + BLOCK {
            self.buffer.resize((self.end + BLOCK).max(self.buffer.len() * 3 / 2), 0);
        }
        let read = loop {
            match self.reader.read(&mut self.buffer[self.end..]) {
                Err(cause) if cause.kind() == ErrorKind::Interrupted => {}
                read => break read.map_err(|cause| self.file.fault(cause))?,
            }
        };
        let new = &self.buffer[self.end..self.end + read];
        if memchr(0, new).is_some() {
            return Err(TableError::WrongKind {
                path: path(),
                expected: "a text file",
                found: "it holds zero bytes, as binary files do, and UTF-16 text without its mark".into(),
                remedy: "save the table as CSV in UTF-8",
            }
            .into());
        }
        self.end += read;
        self.ended = read == 0;
        Ok(read > 0)
    }

    fn not_utf8(&self, before: &[u8]) -> Stop {
        Stop::NotUtf8 { line: self.line + lines(before), some_is: !before.is_ascii() }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Start,
    Plain,
    Quotes,
    Closed,
}

impl Inside {
    /// Where a reader stands after a part of a record.
    fn after(self, part: &[u8], delimiter: u8) -> Self {
        // Behind a line end the reader is inside of quotes, or at a start.
        part.iter().fold(self, |state, &byte| match (state, byte) {
            (Self::Start, b'"') | (Self::Closed, b'"') => Self::Quotes,
            (Self::Quotes, b'"') => Self::Closed,
            (Self::Quotes, _) => Self::Quotes,
            (_, byte) if byte == delimiter => Self::Start,
            _ => Self::Plain,
        })
    }
}

/// Line ends of any kind.
fn lines(part: &[u8]) -> usize {
    (0..part.len()).filter(|&at| part[at] == b'\n' || (part[at] == b'\r' && part.get(at + 1) != Some(&b'\n'))).count()
}
