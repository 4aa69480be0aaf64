//! Figures as files.

use super::canvas::Canvas;
use crate::error::Result;
use crate::report::files::{plain, put};
use std::path::{Path, PathBuf};

/// Writes a figure, if there is one, as SVG and PNG; gives the file name without its ending.
pub fn write_figure(canvas: Option<Canvas>, name: &str, dir: &Path) -> Result<Option<String>> {
    let Some(canvas) = canvas else { return Ok(None) };
    let name = plain(name);
    put(&dir.join(format!("{name}.svg")), |part| std::fs::write(part, canvas.svg()?))?;
    put(&dir.join(format!("{name}.png")), |part| canvas.write_png(part))?;
    Ok(Some(name))
}

/// The files of a figure, given their name without ending.
pub fn files_of(dir: &Path, name: &str) -> [PathBuf; 2] {
    ["svg", "png"].map(|ending| dir.join(format!("{name}.{ending}")))
}
