//! Compressions that HDF5 and zarr do not have of their own. Every decoder is given the most bytes it may make.

pub(crate) mod blosc;
mod lzf;

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use std::io::Read;

/// A decoder: packed bytes and the most bytes that may come out.
pub(crate) type Decode = fn(&[u8], usize) -> Result<Vec<u8>, String>;

/// The number under which h5py registered LZF.
pub(crate) const LZF: u16 = 32000;

/// Filters of HDF5, by their registered numbers.
pub(crate) const HDF5: &[(u16, Decode)] =
    &[(LZF, lzf::decompress), (32001, blosc::decompress), (32004, hdf5_lz4), (32015, zstd)];

/// The name of a filter of HDF5, for a message.
pub(crate) fn name_of(id: &str) -> &str {
    match id {
        "307" => "bzip2",
        "32008" => "bitshuffle",
        "32013" => "zfp",
        "32026" => "blosc2",
        _ => id,
    }
}

pub(crate) fn zstd(data: &[u8], most: usize) -> Result<Vec<u8>, String> {
    ::zstd::bulk::decompress(data, most).map_err(|e| format!("zstd: {e}"))
}

pub(crate) fn gzip(data: &[u8], most: usize) -> Result<Vec<u8>, String> {
    bounded("gzip", MultiGzDecoder::new(data), most)
}

pub(crate) fn zlib(data: &[u8], most: usize) -> Result<Vec<u8>, String> {
    bounded("zlib", ZlibDecoder::new(data), most)
}

fn bounded(name: &str, from: impl Read, most: usize) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    from.take(most as u64 + 1).read_to_end(&mut out).map_err(|e| format!("{name}: {e}"))?;
    if out.len() > most { Err(format!("{name}: more than the {most} bytes of a chunk")) } else { Ok(out) }
}

/// An LZ4 block of known size.
pub(crate) fn lz4_block(data: &[u8], size: usize) -> Result<Vec<u8>, String> {
    let fault = |e: &dyn std::fmt::Display| format!("lz4: {e}");
    let n = i32::try_from(size).map_err(|e| fault(&e))?;
    let out = lz4::block::decompress(data, Some(n)).map_err(|e| fault(&e))?;
    if out.len() == size { Ok(out) } else { Err(format!("lz4: {} bytes for {size}", out.len())) }
}

/// numcodecs' LZ4: the size in four bytes, then a block.
pub(crate) fn numcodecs_lz4(data: &[u8], most: usize) -> Result<Vec<u8>, String> {
    let size = little(data, 0).filter(|n| *n <= most).ok_or("lz4: a wrong size")?;
    lz4_block(data.get(4..).unwrap_or_default(), size)
}

/// HDF5's LZ4: the size of the whole and of a block, then blocks, each with its packed size; all big-endian.
fn hdf5_lz4(data: &[u8], most: usize) -> Result<Vec<u8>, String> {
    let short = || "lz4: the chunk ends early".to_string();
    let big = |at: usize, n: usize| -> Option<usize> {
        let bytes = data.get(at..at.checked_add(n)?)?;
        usize::try_from(bytes.iter().fold(0u64, |v, b| v << 8 | u64::from(*b))).ok()
    };
    let size = big(0, 8).filter(|n| *n <= most).ok_or("lz4: a wrong size")?;
    let block = big(8, 4).filter(|n| *n > 0).ok_or_else(short)?;
    let (mut out, mut at) = (Vec::with_capacity(size), 12);
    while out.len() < size {
        let want = block.min(size - out.len());
        let packed = big(at, 4).ok_or_else(short)?;
        let bytes = data.get(at + 4..at + 4 + packed).ok_or_else(short)?;
        match packed == want {
            true => out.extend_from_slice(bytes),
            false => out.extend(lz4_block(bytes, want)?),
        }
        at += 4 + packed;
    }
    Ok(out)
}

/// Four bytes as a number, little-endian.
fn little(data: &[u8], at: usize) -> Option<usize> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?) as usize)
}
