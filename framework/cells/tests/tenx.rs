//! Cell Ranger's matrices: HDF5 of versions 2 and 3, folders, and files with the prefixes of GEO.

mod common;

use cells::{Form, Options, form};
use common::*;

const HEAD: &str = "%%MatrixMarket matrix coordinate integer general\n";

/// Three files of the matrix of all fixtures.
fn files(dir: &Folder, prefix: &str, features: &str) {
    let (mut entries, mut n) = (String::new(), 0);
    for cell in 0..23 {
        for gene in (0..6).filter(|g| value(cell, *g, 1.0) != 0.0) {
            n += 1;
            entries += &format!("{} {} {}\n", gene + 1, cell + 1, value(cell, gene, 1.0));
        }
    }
    dir.write(&format!("{prefix}matrix.mtx"), format!("{HEAD}%metadata_json: {{}}\n%\n6 23 {n}\n{entries}"));
    let barcodes: String = (0..23).map(|k| format!("cell{k}-1\n")).collect();
    dir.write(&format!("{prefix}barcodes.tsv"), barcodes);
    let rows: String = (0..6)
        .map(|k| format!("ENSG{k}\tG{k}{}\n", if features == "genes" { "" } else { "\tGene Expression" }))
        .collect();
    dir.write(&format!("{prefix}{features}.tsv"), rows);
}

#[test]
fn hdf5_of_both_versions() {
    let dir = Folder::new();
    let all = Options {
        feature_types: ["Gene Expression", "CRISPR Guide Capture", "Antibody Capture"].map(String::from).to_vec(),
        ..Options::default()
    };
    holds(&unpack(&dir, "tenx_v2.h5"), &Options::default(), 1.0);
    let v3 = unpack(&dir, "tenx_v3.h5");
    holds(&v3, &all, 1.0);
    // Guides and antibodies are no genes unless asked for.
    let m = cells::open(&v3, &Options::default()).expect("opens");
    assert_eq!(m.genes(), ["G0", "G1", "G2", "G3"]);
    assert_eq!(
        m.notes(),
        ["features that are no genes were left out: 1 of Antibody Capture, 1 of CRISPR Guide Capture"]
    );
    assert_eq!(dense(&m)[3], [0, 1, 2, 3].map(|g| value(3, g, 1.0)));
    assert_eq!((m.n_cells(), m.has_columns()), (23, false));
    let e = m.column("label").expect_err("no columns").to_string();
    assert!(e.contains("tenx_v3.h5") && e.contains("name a table of cells in `obs`"), "{e}");
    let by_id = Options { gene_column: Some("id".into()), ..Options::default() };
    assert_eq!(cells::open(&v3, &by_id).expect("opens").genes()[1], "ENSGG1");
    let none = Options { feature_types: vec!["Peaks".into()], ..Options::default() };
    refuses(
        &v3,
        &none,
        &["no feature has the type Peaks; the file has: Antibody Capture, CRISPR Guide Capture, Gene Exp"],
    );
    refuses(
        &unpack(&dir, "tenx_v2_two.h5"),
        &by_id,
        &["several genomes: hg19, mm10", "read_10x_h5(path, genome=\"hg19\")"],
    );
    // The ending does not matter where the content is clear.
    holds(&dir.write("anndata.h5", fixture("csr.h5ad")), &Options::default(), 0.5);
    holds(&dir.write("RAW.H5AD", fixture("tenx_v2.h5")), &Options::default(), 1.0);
}

#[test]
fn folders_and_prefixes() {
    let of = Options::default();
    let dir = Folder::new();
    files(&dir, "plain/", "features");
    files(&dir, "old/", "genes");
    holds(&dir.0.join("plain"), &of, 1.0);
    holds(&dir.0.join("old"), &of, 1.0);
    files(&dir, "one/GSM1234567_sampleA_", "genes");
    holds(&dir.0.join("one"), &of, 1.0);
    files(&dir, "geo/GSM1234567_sampleA_", "genes");
    files(&dir, "geo/GSM1234568_sampleB_", "features");
    for name in ["GSM1234567_sampleA_", "GSM1234567_sampleA", "GSM1234567", "GSM1234568_sampleB_"] {
        assert_eq!(form(&dir.0.join("geo").join(name)), Form::TenX);
        holds(&dir.0.join("geo").join(name), &of, 1.0);
    }
    let both = ["there are 2 matrices here", "GSM1234567_sampleA_", "GSM1234568_sampleB_", "as `path`"];
    refuses(&dir.0.join("geo"), &of, &both);
    refuses(&dir.0.join("geo/GSM123456"), &of, &both);
    assert_eq!(form(&dir.0.join("geo/GSM9")), Form::Other);
    assert_eq!(cells::behind(&dir.0.join("geo/GSM1234568")).len(), 3);
    assert!(cells::behind(&dir.0.join("geo/GSM123456")).is_empty() && cells::behind(&dir.0.join("geo")).is_empty());
    std::fs::remove_file(dir.0.join("geo/GSM1234567_sampleA_barcodes.tsv")).expect("a file");
    refuses(&dir.0.join("geo/GSM1234567_sampleA_"), &of, &["there is no GSM1234567_sampleA_barcodes.tsv (or .gz)"]);
}

#[test]
fn a_matrix_that_is_wrong_names_its_line() {
    let dir = Folder::new();
    let of = Options::default();
    dir.write("m/barcodes.tsv", "c1\nc2\nc3\n");
    dir.write("m/genes.tsv", "E1\tg1\nE2\tg2\n");
    let m = dir.0.join("m");
    for (text, say) in [
        ("", "it is empty"),
        ("%%MatrixMarket matrix coordinate pattern general\n", "a pattern has no values"),
        ("%%MatrixMarket matrix coordinate integer symmetric\n", "a matrix of genes and cells cannot be symmetric"),
        ("%%MatrixMarket matrix array real general\n", "a dense matrix is not read"),
        ("%%MatrixMarket matrix coordinate complex general\n", "complex numbers are no counts"),
        ("gene,cell\n", "line 1 is `gene,cell`; a 10x matrix begins with `%%MatrixMarket"),
        ("@%\n2 3\n", "line 3 is `2 3`; it must give rows, columns and entries"),
        (
            "@3 2 1\n1 1 5\n",
            "line 2: it has 3 rows and 2 columns, and there are 2 features and 3 barcodes; it has cells as rows",
        ),
        ("@1000000000000 3 1\n1 1 5\n", "without header lines"),
        ("@2 3 2\n1 1 5\n\n% late\n0 1 5\n", "line 6 is `0 1 5`, outside the 2 x 3"),
        ("@2 3 1\n3 1 5\n", "line 3 is `3 1 5`, outside"),
        ("@2 3 1\n1 4 5\n", "outside"),
        ("@2 3 1\n1 1\n", "line 3 is `1 1`; it must give row, column (from 1) and value"),
        ("@2 3 1\n1 -1 5\n", "line 3 is `1 -1 5`"),
        ("@2 3 1\n1 1 5 5\n", "line 3"),
        ("@2 3 1\n99999999999999999999 1 5\n", "line 3"),
        ("@2 3 1\n1 1 5\n2 1 5\n", "line 4 is entry 2, and the file announces 1 entries"),
        ("@2 3 4\n1 1 5\n", "announces 4 entries and holds 1: it is cut short"),
        ("@%\n", "no line of sizes"),
    ] {
        dir.write("m/matrix.mtx", text.replace('@', HEAD));
        refuses(&m, &of, &["matrix.mtx", say]);
    }
    // What is sound: other words for numbers, capitals, spaces, Windows lines, exponents.
    dir.write(
        "m/matrix.mtx",
        "%%matrixmarket MATRIX Coordinate double general\r\n 2  3\t2\r\n1 1 2.5e-1\r\n 2 3  7 \r\n",
    );
    let x = dense(&cells::open(&m, &of).expect("opens"));
    assert_eq!(x, [[0.25, 0.0], [0.0, 0.0], [0.0, 7.0]]);
    dir.write("m/matrix.mtx", [HEAD.as_bytes(), &vec![b'1'; 3 << 20]].concat());
    refuses(&m, &of, &["line 2 is longer than 1048576 bytes"]);
    dir.write("m/barcodes.tsv", vec![0; 4 << 20]);
    refuses(&m, &of, &["barcodes.tsv", "line 1 is longer"]);
    dir.write("m/barcodes.tsv", b"c1\n\xff\xfe\n");
    refuses(&m, &of, &["barcodes.tsv: line 2 is not UTF-8"]);
}

#[test]
fn forms_that_are_not_read_say_how_to_export() {
    let dir = Folder::new();
    for (name, say) in [
        ("a.rds", "sceasy::convertFormat"),
        ("a.h5Seurat", "sceasy::convertFormat"),
        ("a.loom", "read_loom(path).write_h5ad"),
        ("a.h5ad.gz", "unpack it: gunzip"),
        ("a.mtx.gz", "name the folder (or the prefix"),
        ("a.h5mu", ".mod[\"rna\"]"),
        ("a.zarr.zip", "unpack it into a folder"),
    ] {
        let path = dir.write(name, "x");
        assert_eq!(form(&path), Form::Refused);
        refuses(&path, &Options::default(), &[name, say]);
    }
    assert_eq!(form(&dir.write("t.csv", "a,b\n")), Form::Other);
    refuses(&dir.0.join("t.csv"), &Options::default(), &["none of a file of cells"]);
    refuses(&dir.0.join("absent"), &Options::default(), &["check the path"]);
    let other = dir.write("group.h5", fixture("filter_zstd.h5ad"));
    assert_eq!(form(&other), Form::Store);
}
