//! Text in other encodings than UTF-8, made UTF-8 while it is read.

use std::io::{self, Read};

/// How the characters of a text file are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Utf8,
    /// Little endian, with its mark.
    Utf16Le,
    /// Big endian, with its mark.
    Utf16Be,
    /// Windows-1252, which Latin-1 is a part of.
    Windows1252,
}

impl Encoding {
    /// The encoding by the mark at the beginning, and the length of the mark.
    pub(crate) fn marked(start: &[u8]) -> (Self, usize) {
        match start {
            [0xef, 0xbb, 0xbf, ..] => (Self::Utf8, 3),
            [0xff, 0xfe, ..] => (Self::Utf16Le, 2),
            [0xfe, 0xff, ..] => (Self::Utf16Be, 2),
            _ => (Self::Utf8, 0),
        }
    }

    /// Its usual name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16Le => "UTF-16 (little endian)",
            Self::Utf16Be => "UTF-16 (big endian)",
            Self::Windows1252 => "Windows-1252 (Latin-1)",
        }
    }
}

/// Gives the text of a reader as UTF-8.
pub(crate) struct ToUtf8<R> {
    inner: R,
    encoding: Encoding,
    raw: Box<[u8]>,
    /// Bytes of a character whose rest has not come yet.
    rest: Vec<u8>,
    ready: Vec<u8>,
    at: usize,
    ended: bool,
}

impl<R: Read> ToUtf8<R> {
    pub fn new(inner: R, encoding: Encoding) -> Self {
        let raw = vec![0; 1 << 16].into_boxed_slice();
        Self { inner, encoding, raw, rest: Vec::new(), ready: Vec::new(), at: 0, ended: false }
    }

    fn refill(&mut self) -> io::Result<()> {
        self.ready.clear();
        self.at = 0;
        let read = self.inner.read(&mut self.raw)?;
        self.ended = read == 0;
        let big = match self.encoding {
            Encoding::Utf8 => {
                self.ready.extend_from_slice(&self.raw[..read]);
                return Ok(());
            }
            Encoding::Windows1252 => {
                let text: String = self.raw[..read].iter().map(|&byte| windows_1252(byte)).collect();
                self.ready = text.into_bytes();
                return Ok(());
            }
            Encoding::Utf16Le => false,
            Encoding::Utf16Be => true,
        };
        self.rest.extend_from_slice(&self.raw[..read]);
        let unit = |pair: &[u8]| {
            let pair = [pair[0], pair[1]];
            if big { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) }
        };
        let mut units: Vec<u16> = self.rest.chunks_exact(2).map(unit).collect();
        // The first half of a pair waits for the second.
        if !self.ended && units.last().is_some_and(|last| (0xd800..0xdc00).contains(last)) {
            units.pop();
        }
        let used = units.len() * 2;
        if self.ended && used < self.rest.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the UTF-16 text ends within a character"));
        }
        self.rest.drain(..used);
        let text: Result<String, _> = char::decode_utf16(units).collect();
        let text = text.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it holds what is no UTF-16 text"))?;
        self.ready = text.into_bytes();
        Ok(())
    }
}

impl<R: Read> Read for ToUtf8<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.at == self.ready.len() && !self.ended {
            self.refill()?;
        }
        let count = out.len().min(self.ready.len() - self.at);
        out[..count].copy_from_slice(&self.ready[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}

fn windows_1252(byte: u8) -> char {
    // 0x80 to 0x9f; the five that Windows leaves undefined stay control characters.
    const SPECIAL: [char; 32] = [
        '\u{20ac}', '\u{81}', '\u{201a}', '\u{192}', '\u{201e}', '\u{2026}', '\u{2020}', '\u{2021}', '\u{2c6}',
        '\u{2030}', '\u{160}', '\u{2039}', '\u{152}', '\u{8d}', '\u{17d}', '\u{8f}', '\u{90}', '\u{2018}', '\u{2019}',
        '\u{201c}', '\u{201d}', '\u{2022}', '\u{2013}', '\u{2014}', '\u{2dc}', '\u{2122}', '\u{161}', '\u{203a}',
        '\u{153}', '\u{9d}', '\u{17e}', '\u{178}',
    ];
    match byte {
        0x80..=0x9f => SPECIAL[usize::from(byte - 0x80)],
        _ => char::from(byte),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a byte at a time, as a slow pipe may.
    struct Dribble<'a>(&'a [u8]);

    impl Read for Dribble<'_> {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let (Some(&first), true) = (self.0.first(), !out.is_empty()) else { return Ok(0) };
            out[0] = first;
            self.0 = &self.0[1..];
            Ok(1)
        }
    }

    fn text(bytes: &[u8], encoding: Encoding) -> io::Result<String> {
        let mut out = String::new();
        ToUtf8::new(Dribble(bytes), encoding).read_to_string(&mut out)?;
        Ok(out)
    }

    #[test]
    fn decodes() {
        let wanted = "IL-1β;\u{1f9ec}\n";
        let little: Vec<u8> = wanted.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = wanted.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(text(&little, Encoding::Utf16Le).unwrap(), wanted);
        assert_eq!(text(&big, Encoding::Utf16Be).unwrap(), wanted);
        assert_eq!(text(b"5\xb5g \x80", Encoding::Windows1252).unwrap(), "5µg €");
        assert!(text(&little[..little.len() - 1], Encoding::Utf16Le).is_err());
        assert!(text(&[0x00, 0xdc, 0x41, 0x00], Encoding::Utf16Le).is_err());
    }
}
