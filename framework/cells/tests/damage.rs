//! Files cut short, damaged or lying: an error that names the place, never a panic, and memory within bounds.

mod common;

use cells::{CellsError, Options};
use common::*;
use std::path::Path;

/// Everything that callers do; whatever comes out, it is no panic, and an error is one line with the file's name.
fn try_all(path: &Path) {
    let options = Options::default();
    let read = || -> Result<(), CellsError> {
        let m = cells::open(path, &options)?;
        if m.has_columns() {
            for c in ["label", "batch", "text", "nullable", "whole", "flag", "real"] {
                m.column(c)?;
            }
        }
        m.names()?;
        m.entries(|_, _, _| Ok(()))
    };
    if let Err(e) = read() {
        let e = e.to_string();
        assert!(e.starts_with(&path.display().to_string()) && !e.contains('\n'), "{e}");
    }
}

#[test]
fn cut_and_damaged_files_are_errors() {
    let dir = Folder::new();
    for name in ["csr.h5ad", "csr_i64_chunks.h5ad", "v07.h5ad", "tenx_v3.h5", "tenx_v2.h5"] {
        let whole = fixture(name);
        let ending = name.rsplit('.').next().expect("an ending");
        for part in 0..24 {
            try_all(&dir.write(&format!("cut.{ending}"), &whole[..whole.len() * part / 24]));
        }
        // Bytes changed at places that walk through the file.
        let mut state = 7u64;
        for _ in 0..60 {
            let mut bytes = whole.clone();
            for _ in 0..4 {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                let at = (state >> 33) as usize % bytes.len();
                bytes[at] = [0, 255, 1, 128][(state >> 20) as usize % 4];
            }
            try_all(&dir.write(&format!("damaged.{ending}"), &bytes));
        }
    }
}

#[test]
fn damaged_stores_are_errors() {
    let dir = Folder::new();
    for name in ["v2.zarr", "v3.zarr", "codec_blosc_lz4.zarr", "codec_blosc_zstd.zarr", "codec_lz4.zarr"] {
        let store = unpack(&dir, name);
        let mut files = vec![];
        walk(&store, &mut files);
        for (i, file) in files.iter().enumerate() {
            let whole = std::fs::read(file).expect("a file");
            std::fs::write(file, &whole[..whole.len() / 2]).expect("a file");
            try_all(&store);
            let mut turned = whole.clone();
            let n = turned.len().max(1);
            turned.iter_mut().skip(i * 7 % n).take(2).for_each(|b| *b = 255);
            std::fs::write(file, &turned).expect("a file");
            try_all(&store);
            std::fs::remove_file(file).expect("a file");
            try_all(&store);
            std::fs::write(file, &whole).expect("a file");
        }
        holds_again(&store);
    }
}

fn holds_again(store: &Path) {
    cells::open(store, &Options::default()).expect("whole again");
}

fn walk(folder: &Path, files: &mut Vec<std::path::PathBuf>) {
    let mut here: Vec<_> = std::fs::read_dir(folder).expect("a folder").flatten().map(|e| e.path()).collect();
    here.sort();
    for path in here {
        if path.is_dir() { walk(&path, files) } else { files.push(path) }
    }
}

/// A store whose metadata say something else.
fn lie(name: &str, file: &str, from: &str, to: &str, texts: &[&str]) {
    let dir = Folder::new();
    let store = unpack(&dir, name);
    let path = store.join(file);
    let text = std::fs::read_to_string(&path).expect("metadata");
    let plain = |s: &str| s.split_whitespace().collect::<String>();
    let changed = plain(&text).replace(from, to);
    assert_ne!(plain(&text), changed, "{text}");
    std::fs::write(&path, changed).expect("a file");
    refuses(&store, &Options::default(), texts);
}

#[test]
fn sizes_that_cannot_be_are_refused_before_memory_is_asked_for() {
    let dir = Folder::new();
    for (name, say) in [
        ("obs", "obs/_index claims the shape [1000000000000]"),
        ("categories", "obs/label/categories claims the shape [1000000000000]"),
        ("indptr", "X/indptr has the shape [1000000000000], and there are 24 starts of rows"),
    ] {
        refuses(&unpack(&dir, &format!("huge_{name}.h5ad")), &Options::default(), &[say, "copy it again"]);
    }
    let huge = "\"shape\":[1000000000000]";
    let claims = "1000000000000";
    lie(
        "v2.zarr",
        "obs/_index/.zarray",
        "\"shape\":[23]",
        huge,
        &["obs/_index claims the shape", claims, "copy it again"],
    );
    lie("v3.zarr", "obs/_index/zarr.json", "\"shape\":[23]", huge, &["obs/_index claims the shape", claims]);
    lie("v2.zarr", "obs/label/codes/.zarray", "\"shape\":[23]", huge, &["obs/label/codes has the shape", "23 rows"]);
    lie("v2.zarr", "obs/label/categories/.zarray", "\"shape\":[4]", huge, &["obs/label/categories claims the shape"]);
    lie("v2.zarr", "X/indptr/.zarray", "\"shape\":[24]", huge, &["X/indptr has the shape", "24 starts of rows"]);
    lie("v2.zarr", "X/data/.zarray", "\"shape\":[", "\"shape\":[9", &["X/indptr ends with", "X/data has the shape"]);
    lie(
        "v2.zarr",
        "X/data/.zarray",
        "\"chunks\":[",
        "\"chunks\":[7000000000000",
        &["X/data", "chunks of", "too large"],
    );
    lie(
        "v2.zarr",
        "X/data/.zarray",
        "\"chunks\":[110]",
        "\"chunks\":[0]",
        &["X/data has the shape", "the store is damaged"],
    );
    lie("v2.zarr", "X/.zattrs", "[23,6]", "[23,1000000000000]", &["X is [23, 1000000000000] in shape"]);
    lie("v2.zarr", "X/data/.zarray", "<f4", "<f2", &["X/data has the type `<f2`", "write_h5ad"]);
    lie("v2.zarr", "obs/label/.zattrs", "\"0.2.0\"", "\"0.9.0\"", &["obs/label has version 0.9.0"]);
}

/// Bytes of one array of a store that packs nothing.
fn patched(array: &str, patch: impl Fn(&mut Vec<u8>), texts: &[&str]) {
    let dir = Folder::new();
    let store = unpack(&dir, "v2.zarr");
    let folder = store.join(array);
    let meta = std::fs::read_to_string(folder.join(".zarray")).expect("metadata");
    let mut json: serde_json::Value = serde_json::from_str(&meta).expect("json");
    // One chunk, stored as it is.
    let n = json["shape"][0].as_u64().expect("a length") as usize;
    let m = cells::open(&store, &Options::default()).expect("opens");
    let mut starts = vec![0i64];
    let mut indices = vec![];
    m.entries::<CellsError>(|cell, gene, _| {
        starts.resize(cell + 2, *starts.last().expect("a start"));
        starts[cell + 1] += 1;
        indices.push(gene as i64);
        Ok(())
    })
    .expect("entries");
    let values = if array == "X/indptr" { starts } else { indices };
    assert_eq!(values.len(), n);
    let mut bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    patch(&mut bytes);
    json["compressor"] = serde_json::Value::Null;
    json["chunks"] = serde_json::json!([n]);
    json["dtype"] = serde_json::json!("<i8");
    for entry in std::fs::read_dir(&folder).expect("a folder").flatten() {
        let name = entry.file_name();
        if name.to_string_lossy().parse::<u64>().is_ok() {
            std::fs::remove_file(entry.path()).expect("a chunk");
        }
    }
    std::fs::write(folder.join(".zarray"), json.to_string()).expect("a file");
    std::fs::write(folder.join("0"), bytes).expect("a file");
    if texts.is_empty() {
        holds(&store, &Options::default(), 0.5);
    } else {
        refuses(&store, &Options::default(), texts);
    }
}

#[test]
fn starts_and_positions_that_cannot_be() {
    let set = |at: usize, v: i64| move |b: &mut Vec<u8>| b[8 * at..8 * at + 8].copy_from_slice(&v.to_le_bytes());
    patched("X/indptr", |_| {}, &[]);
    patched("X/indptr", set(5, 3), &["X/indptr falls from", "at position", "damaged"]);
    patched("X/indptr", set(0, 1), &["X/indptr begins with 1 and not with 0"]);
    patched("X/indptr", set(23, 1 << 40), &["X/indptr ends with 1099511627776, and X/indices has the shape"]);
    patched("X/indptr", set(3, -4), &["X/indptr falls from"]);
    patched("X/indices", set(9, 6), &["X/indices holds 6 in line 3, where positions are from 0 and below 6"]);
    patched("X/indices", set(0, -1), &["X/indices holds -1 in line 1"]);
    patched("X/indices", |b| b.truncate(40), &["X/indices chunk 0: 40 bytes for", "cut short"]);
}
