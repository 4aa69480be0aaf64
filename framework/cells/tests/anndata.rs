//! AnnData in every form that its package has written since 0.7, from HDF5 and from zarr.

mod common;

use cells::Options;
use common::*;

fn texts(values: &[Option<String>]) -> Vec<&str> {
    values.iter().map(|v| v.as_deref().unwrap_or("-")).collect()
}

#[test]
fn every_form_of_the_matrix_holds_the_same_values() {
    let dir = Folder::new();
    for name in [
        "csr.h5ad",
        "csc_f64.h5ad",
        "dense.h5ad",
        "dense_gzip.h5ad",
        "csr_i64_chunks.h5ad",
        "v07.h5ad",
        "pandas3.h5ad",
        "v2.zarr",
        "v3.zarr",
    ] {
        let path = unpack(&dir, name);
        holds(&path, &Options::default(), 0.5);
        let m = cells::open(&path, &Options::default()).expect("opens");
        assert_eq!((m.n_cells(), m.genes()[5].as_str(), m.has_columns()), (23, "G5", true));
        assert_eq!(m.names().expect("names")[22], "cell22");
    }
    for kind in ["int8", "uint16", "int32", "int64", "uint64"] {
        holds(&unpack(&dir, &format!("dense_{kind}.h5ad")), &Options::default(), 1.0);
    }
    for name in ["v2.zarr", "v3.zarr"] {
        let path = unpack(&dir, name);
        holds(&path, &layer("dense"), 0.5);
        holds(&path, &layer("csc"), 0.5);
    }
}

#[test]
fn columns_of_every_kind_are_text_with_gaps() {
    let dir = Folder::new();
    for name in ["csr.h5ad", "v07.h5ad", "pandas3.h5ad", "v2.zarr", "v3.zarr"] {
        println!("{name}");
        let m = cells::open(&unpack(&dir, name), &Options::default()).expect("opens");
        let column = |name: &str| m.column(name).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(texts(&column("label"))[..6], ["A", "B", "A+B", "control", "-", "A"]);
        assert_eq!(texts(&column("batch"))[..3], ["0", "1", "0"]);
        assert_eq!(texts(&column("text"))[3..5], ["control", ""]);
        assert_eq!(texts(&column("flag"))[..2], ["True", "False"]);
        assert_eq!(texts(&column("real"))[..3], ["-", "0.25", "0.5"]);
        if name != "v07.h5ad" {
            assert_eq!(texts(&column("nullable"))[3..6], ["control", "-", "A"]);
            assert_eq!(texts(&column("whole"))[..3], ["-", "1", "2"]);
            assert_eq!(texts(&column("truth"))[..3], ["-", "True", "False"]);
        }
        let e = m.column("lable").expect_err("no such column").to_string();
        assert!(e.contains("did you mean `label`?"), "{e}");
        let symbol = Options { gene_column: Some("symbol".into()), ..Options::default() };
        assert_eq!(cells::open(&dir.0.join(name), &symbol).expect("opens").genes()[2], "S2");
    }
}

#[test]
fn layers_and_raw_are_named_where_x_is_empty() {
    let dir = Folder::new();
    let no_x = unpack(&dir, "no_x.h5ad");
    refuses(&no_x, &Options::default(), &["X is empty; name the matrix to read in `layer` (layers: counts)"]);
    holds(&no_x, &layer("counts"), 1.0);
    let raw = unpack(&dir, "raw.h5ad");
    holds(&raw, &layer("raw"), 1.0);
    let m = cells::open(&raw, &Options::default()).expect("opens");
    assert_eq!(m.genes(), ["G1", "G3"]);
    assert_eq!(dense(&m)[4], [value(4, 1, 0.5), value(4, 3, 0.5)]);
    refuses(&raw, &layer("counts"), &["no layer `counts`; layers: none; also `raw`"]);
    refuses(&unpack(&dir, "v06.h5ad"), &Options::default(), &["obs is stored as by anndata before 0.7"]);
}

#[test]
fn compressions_are_read_or_refused_by_name() {
    let dir = Folder::new();
    let check = |name: &str| {
        let m = cells::open(&unpack(&dir, name), &Options::default()).unwrap_or_else(|e| panic!("{e}"));
        let x = dense(&m);
        for (cell, row) in x.iter().enumerate() {
            for (gene, v) in row.iter().enumerate() {
                assert_eq!(*v, value(cell % 23, gene % 6, 0.5), "{name}: {cell} {gene}");
            }
        }
    };
    for filter in ["zstd", "lz4", "blosc_lz4", "blosc_zstd_bits", "blosc_zlib"] {
        check(&format!("filter_{filter}.h5ad"));
    }
    let of = Options::default();
    for (name, say) in [
        ("blosclz", "blosclz, which is not read"),
        ("bitshuffle", "compressed with bitshuffle, which is not supported"),
        ("blosc2", "compressed with blosc2, which is not supported"),
    ] {
        refuses(&unpack(&dir, &format!("filter_{name}.h5ad")), &of, &["X", say]);
    }
    for name in [
        "blosc_lz4",
        "blosc_lz4hc_bits",
        "blosc_zstd",
        "blosc_zlib",
        "zstd",
        "gzip",
        "zlib",
        "lz4",
        "none",
        "gzip3",
        "blosc3",
        "none3",
    ] {
        check(&format!("codec_{name}.zarr"));
    }
    let convert = "anndata.read_zarr(store).write_h5ad";
    refuses(&unpack(&dir, "codec_bz2.zarr"), &of, &["X is packed by `bz2`, which is not read", convert]);
    refuses(&unpack(&dir, "sharded.zarr"), &of, &["X is packed by `sharding_indexed`", convert]);
}
