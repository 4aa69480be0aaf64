//! Files that appear whole or not at all.

use crate::error::{Error, Result};
use std::path::Path;

/// A name that every file system takes.
pub fn plain(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        match c.is_ascii_alphanumeric() || c == '-' {
            true => out.push(c),
            false if out.ends_with('_') => {}
            false => out.push('_'),
        }
    }
    out.trim_end_matches('_').to_string()
}

/// Fills a file beside the target and renames it.
pub fn put(path: &Path, fill: impl FnOnce(&Path) -> std::io::Result<()>) -> Result<()> {
    let name = path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned());
    // The ending stays: it decides the format.
    let part = path.with_file_name(format!(".part-{}-{name}", std::process::id()));
    fill(&part).and_then(|()| std::fs::rename(&part, path)).map_err(|e| {
        let _ = std::fs::remove_file(&part);
        Error::io(path, "writing")(e)
    })
}
