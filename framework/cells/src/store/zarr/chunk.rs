//! A chunk of a zarr array: unpacked, and its bytes as values.

use super::meta::{Codec, Item};
use crate::codec::{blosc, gzip, numcodecs_lz4, zlib, zstd};
use std::path::Path;

/// The bytes of a chunk, at most `most` of them.
pub(super) fn decode(codecs: &[Codec], packed: Vec<u8>, most: usize) -> Result<Vec<u8>, String> {
    // What one step leaves for the next may still be packed, which adds a little.
    let room = most.saturating_add(most / 8 + 4096);
    codecs.iter().enumerate().try_fold(packed, |mut bytes, (i, codec)| {
        let most = if i + 1 == codecs.len() { most } else { room };
        match codec {
            Codec::Blosc => blosc::decompress(&bytes, most),
            Codec::Zstd => zstd(&bytes, most),
            Codec::Gzip => gzip(&bytes, most),
            Codec::Zlib => zlib(&bytes, most),
            Codec::Lz4 => numcodecs_lz4(&bytes, most),
            Codec::Checksum => {
                let n = bytes.len().checked_sub(4).ok_or("it is too short for its checksum")?;
                bytes.truncate(n);
                Ok(bytes)
            }
        }
    })
}

/// Bytes as values of `N` bytes each.
pub(super) fn values<const N: usize, V>(raw: &[u8], big_endian: bool, of: impl Fn([u8; N]) -> V) -> Vec<V> {
    let (items, _) = raw.as_chunks::<N>();
    let turned = |mut b: [u8; N]| {
        if big_endian {
            b.reverse();
        }
        b
    };
    items.iter().map(|b| of(turned(*b))).collect()
}

/// The first `n` texts of a chunk.
pub(super) fn texts(item: Item, bytes: &[u8], n: usize, big_endian: bool) -> Result<Vec<String>, String> {
    let short = || "it ends early or is damaged".to_string();
    let text = |b: &[u8]| String::from_utf8(b.to_vec()).map_err(|_| "it holds text that is not UTF-8".to_string());
    match item {
        Item::Letters(_) | Item::Bytes(_) => bytes
            .chunks_exact(item.size() as usize)
            .take(n)
            .map(|b| match item {
                Item::Letters(_) => {
                    let letters = values(b, big_endian, |b| char::from_u32(u32::from_le_bytes(b)));
                    letters.into_iter().take_while(|c| *c != Some('\0')).map(|c| c.ok_or_else(short)).collect()
                }
                _ => text(b.split(|b| *b == 0).next().unwrap_or_default()),
            })
            .collect(),
        // How many there are, then each with its length.
        _ => {
            let number = |at: usize| -> Option<usize> {
                let b = bytes.get(at..at.checked_add(4)?)?;
                Some(u32::from_le_bytes(b.try_into().ok()?) as usize)
            };
            let mut at = 4;
            let held = number(0).ok_or_else(short)?;
            if held < n {
                return Err(short());
            }
            let mut out = Vec::new();
            for _ in 0..n {
                let length = number(at).ok_or_else(short)?;
                let b = bytes.get(at + 4..(at + 4).saturating_add(length)).ok_or_else(short)?;
                out.push(text(b)?);
                at += 4 + length;
            }
            Ok(out)
        }
    }
}

/// Bytes of all files of an array.
pub(super) fn stored(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    entries
        .flatten()
        .map(|e| match e.metadata() {
            Ok(m) if m.is_dir() => stored(&e.path()),
            Ok(m) => m.len(),
            Err(_) => 0,
        })
        .sum()
}
