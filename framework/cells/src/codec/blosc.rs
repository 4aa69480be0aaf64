//! Blosc 1: a header, then blocks of shuffled bytes, each packed in one or several parts by LZ4, zstd or zlib.

use super::{little, lz4_block, zlib, zstd};

/// The bytes behind a frame, at most `most` of them.
pub(crate) fn decompress(data: &[u8], most: usize) -> Result<Vec<u8>, String> {
    let short = || "blosc: the chunk ends early or is damaged".to_string();
    let (flags, type_size) = match data {
        [_, _, flags, size, ..] => (*flags, usize::from(*size).max(1)),
        _ => return Err(short()),
    };
    let size = little(data, 4).ok_or_else(short)?;
    let block = little(data, 8).ok_or_else(short)?;
    if size > most {
        return Err(format!("blosc: {size} bytes where a chunk has {most}"));
    }
    if flags & 2 != 0 {
        // Stored as it is.
        return data.get(16..16 + size).map(<[u8]>::to_vec).ok_or_else(short);
    }
    if size > 0 && block == 0 {
        return Err(short());
    }
    let unpack = |bytes: &[u8], want: usize| match flags >> 5 {
        1 => lz4_block(bytes, want),
        3 => zlib(bytes, want),
        4 => zstd(bytes, want),
        0 => Err("blosc: packed by blosclz, which is not read; use lz4 or zstd".to_string()),
        2 => Err("blosc: packed by snappy, which is not read; use lz4 or zstd".to_string()),
        other => Err(format!("blosc: packed by the unknown method {other}")),
    };
    let mut out = Vec::with_capacity(size);
    for b in 0..size.div_ceil(block.max(1)) {
        let n = block.min(size - out.len());
        let mut at = little(data, 16 + 4 * b).ok_or_else(short)?;
        // Whole blocks of small items are packed in one part for each byte of an item.
        let whole = n == block && flags & 0x10 == 0 && type_size <= 16 && block / type_size >= 128;
        let parts = if whole { type_size } else { 1 };
        let mut plain = Vec::with_capacity(n);
        for p in 0..parts {
            let want = if p + 1 == parts { n - (n / parts) * p } else { n / parts };
            let packed = little(data, at).ok_or_else(short)?;
            let bytes = data.get(at + 4..at.saturating_add(4).saturating_add(packed)).ok_or_else(short)?;
            match packed == want {
                true => plain.extend_from_slice(bytes),
                false => plain.extend(unpack(bytes, want)?),
            }
            at += 4 + packed;
        }
        if plain.len() != n {
            return Err(short());
        }
        match flags {
            f if f & 1 != 0 && type_size > 1 => unshuffle(&plain, type_size, &mut out),
            f if f & 4 != 0 => unshuffle_bits(&plain, type_size, &mut out),
            _ => out.extend_from_slice(&plain),
        }
    }
    Ok(out)
}

/// First bytes of all items, then second bytes, and so on; what is no whole item stays behind.
fn unshuffle(plain: &[u8], type_size: usize, out: &mut Vec<u8>) {
    let items = plain.len() / type_size;
    let start = out.len();
    out.extend_from_slice(plain);
    let to = &mut out[start..];
    for (j, bytes) in plain[..items * type_size].chunks_exact(items.max(1)).enumerate() {
        to[j..].iter_mut().step_by(type_size).zip(bytes).for_each(|(to, b)| *to = *b);
    }
}

/// First bits of all items, then second bits, and so on, for as many items as make whole bytes.
fn unshuffle_bits(plain: &[u8], type_size: usize, out: &mut Vec<u8>) {
    let row = plain.len() / type_size / 8;
    let start = out.len();
    out.extend_from_slice(plain);
    let to = &mut out[start..];
    if row == 0 {
        return;
    }
    let bytes = row * 8 * type_size;
    to[..bytes].fill(0);
    for (plane, bits) in plain[..bytes].chunks_exact(row).enumerate() {
        let (byte, bit) = (plane / 8, plane % 8);
        for (k, v) in bits.iter().enumerate() {
            for i in 0..8 {
                to[(k * 8 + i) * type_size + byte] |= (v >> i & 1) << bit;
            }
        }
    }
}
