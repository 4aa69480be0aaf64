//! Data files: missing, damaged, and with cells that cannot be used.

use crate::common::*;
use framework::table::{Column, Table, write_csv, write_parquet};

/// The scenario of a table, run.
const RUN: &str = "run s.toml --data-dir .";

#[test]
fn unusable_tables_are_explained() {
    let mut s = Session::new();
    let text = table_scenario(s.path());
    s.write("s.toml", &text);
    s.silently(0, RUN);
    let screen = s.read("screen.csv");
    let mut with = |what: &str, screen: &str| {
        s.note(what);
        s.write("screen.csv", screen);
        s.run(2, RUN);
    };
    with("a gene twice", &screen.replace("G003,", "G002,"));
    for word in ["NaN", "inf", "", "high"] {
        let line = |l: &str| if l.starts_with("G007,") { format!("G007,{word}\n") } else { format!("{l}\n") };
        with(&format!("a cell is {word:?}"), &screen.lines().map(line).collect::<String>());
    }
    with("no rows", "gene,value\n");
    with("nothing", "");
    with("another name of the first column", &screen.replace("gene,value", "symbol,value"));
    s.note("no file");
    std::fs::remove_file(s.path().join("screen.csv")).expect("remove");
    s.run(2, RUN);
    s.matches("tables_unusable");
}

#[test]
fn damaged_files_are_told_apart() {
    let mut s = Session::new();
    let text = table_scenario(s.path());
    let table = Table::new()
        .with("gene", Column::Text((0..40).map(|i| Some(format!("G{i:03}"))).collect()))
        .with("value", Column::Number((0..40).map(|i| f64::from((i * 37) % 19)).collect()));
    s.write("s.toml", &text.replace("screen.csv", "screen.parquet"));
    s.note("text under another name");
    s.write("screen.parquet", "gene,value\nA,1\n");
    s.run(2, RUN);
    write_parquet(&table, &s.path().join("screen.parquet")).expect("a table");
    halved(&mut s, "screen.parquet");
    s.write("s.toml", &text.replace("screen.csv", "screen.csv.gz"));
    write_csv(&table, &s.path().join("screen.csv.gz")).expect("a table");
    halved(&mut s, "screen.csv.gz");
    s.matches("tables_damaged");
}

/// The file serves as it is, and not without its second half.
fn halved(s: &mut Session, name: &str) {
    s.silently(0, RUN);
    let path = s.path().join(name);
    let bytes = std::fs::read(&path).expect("bytes");
    std::fs::write(&path, &bytes[..bytes.len() / 2]).expect("write");
    s.note(&format!("half of {name}"));
    s.run(2, RUN);
}

#[test]
fn data_check_tells_present_missing_and_corrupt() {
    let mut s = Session::new();
    s.write("s.toml", &table_scenario(s.path()));
    let hash = |f: &str| {
        use std::process::Command;
        let out = Command::new("sha256sum").arg(s.path().join(f)).output().expect("sha256sum");
        String::from_utf8_lossy(&out.stdout)[..64].to_string()
    };
    let sums = format!("{}  screen.csv\n{}  prior.csv\n", hash("screen.csv"), hash("prior.csv"));
    s.write("data.sha256", &sums);
    s.run(0, "data check s.toml --data-dir .");
    s.write("prior.csv", "gene,a\nG001,1\n");
    std::fs::remove_file(s.path().join("screen.csv")).expect("remove");
    s.note("one file removed, one changed");
    s.run(2, "data check s.toml --data-dir .");
    s.matches("data_check");
}
