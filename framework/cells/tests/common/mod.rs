//! Folders that vanish, fixtures unpacked into them, and the values that all fixtures hold.

#![allow(dead_code)] // Each file of tests uses a part.

use cells::{Cells, CellsError, Options};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("screenwright-cells-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        std::fs::write(&path, content).expect("a file");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(format!("{name}.gz"));
    let mut bytes = vec![];
    cells::unpacked(&path).expect("a fixture").read_to_end(&mut bytes).expect("gzip");
    bytes
}

/// A fixture in a folder: a file, or a store with all of its files.
pub fn unpack(dir: &Folder, name: &str) -> PathBuf {
    let bytes = fixture(name);
    if !name.ends_with(".zarr") {
        return dir.write(name, bytes);
    }
    let mut rest = bytes.as_slice();
    while let Some(end) = rest.iter().position(|b| *b == b'\n') {
        let head = std::str::from_utf8(&rest[..end]).expect("a line");
        let (file, length) = head.split_once('\t').expect("name and length");
        let length: usize = length.parse().expect("a length");
        dir.write(&format!("{name}/{file}"), &rest[end + 1..end + 1 + length]);
        rest = &rest[end + 1 + length..];
    }
    dir.0.join(name)
}

pub fn layer(name: &str) -> Options {
    Options { layer: Some(name.into()), ..Options::default() }
}

/// The whole matrix; a position that comes twice fails.
pub fn dense(m: &Cells) -> Vec<Vec<f64>> {
    let mut x = vec![vec![0.0; m.genes().len()]; m.n_cells()];
    m.entries::<CellsError>(|cell, gene, v| {
        assert_eq!(x[cell][gene], 0.0, "cell {cell}, gene {gene} twice");
        x[cell][gene] = v;
        Ok(())
    })
    .expect("entries");
    x
}

/// What every fixture holds, times `scale`: 1 for counts, 0.5 for values.
pub fn value(cell: usize, gene: usize, scale: f64) -> f64 {
    ((7 * cell + 3 * gene) % 5) as f64 * scale
}

#[track_caller]
pub fn holds(path: &Path, options: &Options, scale: f64) {
    for piece in [1, 16, 1 << 20] {
        let m = cells::open(path, options).unwrap_or_else(|e| panic!("{e}")).with_piece(piece);
        for (cell, row) in dense(&m).iter().enumerate() {
            for (gene, v) in row.iter().enumerate() {
                assert_eq!(*v, value(cell, gene, scale), "{}: cell {cell}, gene {gene}", path.display());
            }
        }
    }
}

/// The error of opening or reading, with everything it must say.
#[track_caller]
pub fn refuses(path: &Path, options: &Options, texts: &[&str]) {
    let read = |m: Cells| m.entries(|_, _, _| Ok(())).err().or_else(|| m.column("label").err());
    let e = match cells::open(path, options) {
        Ok(m) if m.has_columns() => read(m),
        Ok(m) => m.entries(|_, _, _| Ok::<(), CellsError>(())).err(),
        Err(e) => Some(e),
    };
    let e = e.unwrap_or_else(|| panic!("{} is read", path.display())).to_string();
    for t in texts {
        assert!(e.contains(t), "no `{t}` in: {e}");
    }
    assert!(!e.contains('\n'), "one message: {e}");
}
