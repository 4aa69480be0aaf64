//! The LZF filter of h5py, which HDF5 itself does not have.

/// The bytes behind a compressed chunk, at most `most` of them. A control byte below 32 is followed by that many
/// literals and one more; any other gives the length and, with the next bytes, how far back a repeat lies.
pub(super) fn decompress(data: &[u8], most: usize) -> Result<Vec<u8>, String> {
    let short = || "an LZF chunk ends early or is damaged".to_string();
    let mut out = Vec::with_capacity(most.min(1 << 20));
    let mut at = 0;
    while at < data.len() {
        let control = usize::from(data[at]);
        at += 1;
        if control < 32 {
            let literals = data.get(at..at + control + 1).ok_or_else(short)?;
            out.extend_from_slice(literals);
            at += control + 1;
        } else {
            let mut length = control >> 5;
            if length == 7 {
                length += usize::from(*data.get(at).ok_or_else(short)?);
                at += 1;
            }
            let low = usize::from(*data.get(at).ok_or_else(short)?);
            at += 1;
            let back = ((control & 31) << 8 | low) + 1;
            let from = out.len().checked_sub(back).ok_or_else(short)?;
            for i in 0..length + 2 {
                out.push(out[from + i]);
            }
        }
        if out.len() > most {
            return Err(short());
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_and_overlapping_repeats() {
        // "ab", then 6 bytes from 2 back.
        assert_eq!(decompress(&[1, b'a', b'b', 4 << 5, 1], 8).unwrap(), b"abababab");
        for bad in [&[5u8, 1][..], &[4 << 5, 9], &[1, b'a', b'b', 4 << 5]] {
            assert!(decompress(bad, 8).is_err());
        }
        assert!(decompress(&[1, b'a', b'b', 4 << 5, 1], 7).is_err());
    }
}
