//! The bundled font: widths of texts, where their letters stand, and texts fitted to a width.

use crate::error::{Error, Result};
use ab_glyph::{Font, FontRef};
use plotters::style::{FontDesc, FontFamily, FontStyle, register_font};
use std::sync::OnceLock;

/// The font of all text; viewers without it take the next, which has the same widths or narrower ones.
const FAMILY: &str = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif";

/// DejaVu Sans: (ascent + descent) / em, which is how the bitmap backend measures font sizes.
pub const FONT_HEIGHT: f64 = 2384.0 / 2048.0;

/// Makes the bundled fonts known to the drawing library, once.
pub fn register_fonts() -> Result<()> {
    static DONE: OnceLock<bool> = OnceLock::new();
    let done = DONE.get_or_init(|| {
        register_font(FAMILY, FontStyle::Normal, dejavu::sans::regular()).is_ok()
            && register_font(FAMILY, FontStyle::Bold, dejavu::sans::bold()).is_ok()
    });
    match done {
        true => Ok(()),
        false => Err(Error::Unsupported("the font built into the program is damaged; build it again".into())),
    }
}

pub fn font(size: f64, bold: bool) -> FontDesc<'static> {
    FontDesc::new(FontFamily::Name(FAMILY), size, if bold { FontStyle::Bold } else { FontStyle::Normal })
}

/// Width of a text in pixels.
pub fn text_width(text: &str, em: f64, bold: bool) -> f64 {
    match font(1000.0 * FONT_HEIGHT, bold).layout_box(text) {
        Ok((low, high)) => f64::from(high.0 - low.0) * em / 1000.0,
        Err(_) => 0.6 * em * text.chars().count() as f64,
    }
}

/// The text, shortened in its middle to the width given.
pub fn fit(text: &str, em: f64, bold: bool, width: f64) -> String {
    let chars: Vec<char> = text.chars().collect();
    (0..=chars.len())
        .rev()
        .map(|keep| match keep == chars.len() {
            true => text.to_string(),
            false => {
                let (head, tail) = (keep.div_ceil(2), keep / 2);
                chars[..head].iter().chain(&['…']).chain(&chars[chars.len() - tail..]).collect()
            }
        })
        .find(|t| text_width(t, em, bold) <= width)
        .unwrap_or_default()
}

/// A text in at most so many lines of a width, broken after any of the characters; what is left over is shortened in the
/// last, and so is a part that no line holds.
pub fn wrapped(text: &str, breaks: &[char], em: f64, width: f64, most: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for part in text.split_inclusive(breaks) {
        let full = lines.len() == most;
        match lines.last_mut() {
            Some(line)
                if full || line.is_empty() || text_width(format!("{line}{part}").trim_end(), em, false) <= width =>
            {
                line.push_str(part);
            }
            _ => lines.push(part.to_string()),
        }
    }
    lines.iter().map(|l| fit(l.trim_end(), em, false, width)).collect()
}

/// The letters of a text with the left edge of each, in em from the start of the text. The bitmap backend leaves out the
/// space that a font keeps before each letter (its left side bearing), which spoils the rhythm of words.
pub fn letters(text: &str, bold: bool) -> Vec<(f64, char)> {
    let font = FontRef::try_from_slice(if bold { dejavu::sans::bold() } else { dejavu::sans::regular() }).ok();
    let mut before = String::new();
    text.chars()
        .map(|c| {
            before.push(c);
            // As a difference, so that kerning with the letter before is in it.
            let start = text_width(&before, 1.0, bold) - text_width(&c.to_string(), 1.0, bold);
            (start + font.as_ref().map_or(0.0, |f| left_bearing(f, c)), c)
        })
        .collect()
}

/// Left side bearing of a letter in em.
fn left_bearing(font: &FontRef, letter: char) -> f64 {
    let units = font.units_per_em().unwrap_or(1000.0);
    f64::from(font.h_side_bearing_unscaled(font.glyph_id(letter))) / f64::from(units)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bearings_of_the_bundled_font() {
        // Published metrics of DejaVu Sans, units of 1/2048 em: H 201, l 193, j -37, T -6.
        let font = FontRef::try_from_slice(dejavu::sans::regular()).unwrap();
        let of = |c| (left_bearing(&font, c) * 2048.0).round();
        assert_eq!(['H', 'l', 'j', 'T'].map(of), [201.0, 193.0, -37.0, -6.0]);
    }

    #[test]
    fn letters_advance() {
        register_fonts().unwrap();
        let l = letters("lil", false);
        assert!(l[0].0 > 0.05 && l.windows(2).all(|w| w[0].0 < w[1].0), "{l:?}");
    }

    #[test]
    fn long_text_is_shortened_to_fit() {
        register_fonts().unwrap();
        let long = "acquisition / model / a very long kernel with many parts";
        let short = fit(long, 12.0, false, 120.0);
        assert!(text_width(&short, 12.0, false) <= 120.0 && short.contains('…'), "{short}");
        assert_eq!(fit("ucb", 12.0, false, 120.0), "ucb");
    }
}
