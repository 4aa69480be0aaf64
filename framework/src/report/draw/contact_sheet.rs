//! The first pictures of a study of interactions whose samples are images.

use super::canvas::Canvas;
use super::font::{fit, register_fonts};
use super::theme::INK;
use crate::domain::Samples;
use crate::error::{Error, Result};
use crate::report::files::put;
use numerics::stats::quantile;
use plotters::style::text_anchor::HPos;
use std::path::{Path, PathBuf};

const LEFT: f64 = 24.0;
const TEXT: f64 = 12.0;

/// Draws the first pictures of every class (control, singles, pairs) side by side as `samples.png`; nothing where
/// samples are no square pictures.
pub fn write_contact_sheet(samples: &Samples, study: &str, dir: &Path) -> Result<Option<PathBuf>> {
    const EACH: usize = 8;
    const MOST: usize = 24;
    const SIZE: f64 = 80.0;
    let Some([channels, side, columns]) = samples.image.filter(|i| i[1] == i[2] && (i[0] == 3 || i[0] == 1)) else {
        return Ok(None);
    };
    register_fonts()?;
    std::fs::create_dir_all(dir).map_err(Error::io(dir, "making the folder of results"))?;
    let n = samples.n_classes().min(MOST);
    let width = LEFT + 90.0 + EACH as f64 * (SIZE + 4.0) + LEFT;
    let mut c = Canvas::new(width, 76.0 + n as f64 * (SIZE + 4.0) + 12.0);
    c.heading(study, &format!("The first {EACH} samples of each class, {side} x {columns} pixels"));
    for class in 0..n {
        let y = 70.0 + class as f64 * (SIZE + 4.0);
        c.text(
            &fit(&samples.name(class), TEXT, false, 84.0),
            (LEFT + 80.0, y + SIZE / 2.0),
            TEXT,
            HPos::Right,
            INK,
            false,
        );
        let at: Vec<usize> = (0..samples.class(class).len().min(EACH)).collect();
        let x = samples.class(class).rows(&at)?;
        // Pictures with values from 0 to 1 are shown as they are, others from their 1st to their 99th percentile.
        let values: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
        let plain = values.iter().all(|v| (0.0..=1.0).contains(v));
        let (lo, hi) = if plain { (0.0, 1.0) } else { (quantile(&values, 0.01), quantile(&values, 0.99)) };
        for (k, picture) in x.outer_iter().enumerate() {
            let mut rgb = Vec::with_capacity(3 * side * side);
            for p in 0..side * side {
                for colour in 0..3 {
                    let v = f64::from(picture[(colour % channels) * side * side + p]);
                    rgb.push((255.0 * ((v - lo) / (hi - lo).max(1e-12)).clamp(0.0, 1.0)).round() as u8);
                }
            }
            c.image((LEFT + 90.0 + k as f64 * (SIZE + 4.0), y), SIZE, side, rgb);
        }
    }
    let path = dir.join("samples.png");
    put(&path, |part| c.write_png(part))?;
    Ok(Some(path))
}
