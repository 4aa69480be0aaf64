//! Where the letters of a text stand. The bitmap backend leaves out the space that a font keeps before each
//! letter (its left bearing), which spoils the rhythm of words, so it is read from the font here.

use super::canvas::text_width;

/// The letters of a text with the left edge of each, in em from the start of the text.
pub(super) fn letters(text: &str, bold: bool) -> Vec<(f64, char)> {
    let font = if bold { dejavu::sans::bold() } else { dejavu::sans::regular() };
    let mut before = String::new();
    text.chars()
        .map(|c| {
            before.push(c);
            // As a difference, so that kerning with the letter before is in it.
            let start = text_width(&before, 1.0, bold) - text_width(&c.to_string(), 1.0, bold);
            (start + left_bearing(font, c).unwrap_or(0.0), c)
        })
        .collect()
}

/// Left bearing of a letter in em, from the tables of a TrueType font (cmap format 4, then hmtx).
fn left_bearing(font: &[u8], letter: char) -> Option<f64> {
    let u16_at = |at: usize| Some(u16::from_be_bytes(font.get(at..at + 2)?.try_into().ok()?) as usize);
    let u32_at = |at: usize| Some(u32::from_be_bytes(font.get(at..at + 4)?.try_into().ok()?) as usize);
    let table = |tag: &[u8]| {
        let entry = (0..u16_at(4)?).map(|i| 12 + 16 * i).find(|at| font.get(*at..at + 4) == Some(tag))?;
        u32_at(entry + 8)
    };
    let cmap = table(b"cmap")?;
    let sub = (0..u16_at(cmap + 2)?)
        .filter_map(|i| Some(cmap + u32_at(cmap + 8 + 8 * i)?))
        .find(|at| u16_at(*at) == Some(4))?;
    // Four arrays, one entry each for a segment of codes: last, first, delta, offset.
    let (code, size) = (u32::from(letter) as usize, u16_at(sub + 6)?);
    let segment = (0..size).step_by(2).find(|s| u16_at(sub + 14 + s).is_some_and(|last| last >= code))?;
    let first = u16_at(sub + 16 + size + segment)?;
    let delta = u16_at(sub + 16 + 2 * size + segment)?;
    let offset_at = sub + 16 + 3 * size + segment;
    let glyph = match (first <= code, u16_at(offset_at)?) {
        (false, _) => 0,
        (true, 0) => (code + delta) & 0xFFFF,
        (true, offset) => match u16_at(offset_at + offset + 2 * (code - first))? {
            0 => 0,
            glyph => (glyph + delta) & 0xFFFF,
        },
    };
    let (hmtx, long) = (table(b"hmtx")?, u16_at(table(b"hhea")? + 34)?);
    let at = if glyph < long { hmtx + 4 * glyph + 2 } else { hmtx + 4 * long + 2 * (glyph - long) };
    let units = u16_at(table(b"head")? + 18)?;
    Some(f64::from(u16_at(at)? as u16 as i16) / units as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearings_of_the_bundled_font() {
        // Published metrics of DejaVu Sans, units of 1/2048 em: H 201, l 193, j -37, T -6.
        let of = |c| (left_bearing(dejavu::sans::regular(), c).unwrap() * 2048.0).round();
        assert_eq!(['H', 'l', 'j', 'T'].map(of), [201.0, 193.0, -37.0, -6.0]);
        assert_eq!(left_bearing(&[], 'H'), None);
    }

    #[test]
    fn letters_advance() {
        super::super::theme::register_fonts().unwrap();
        let l = letters("lil", false);
        assert!(l[0].0 > 0.05 && l.windows(2).all(|w| w[0].0 < w[1].0), "{l:?}");
    }
}
