use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

use flate2::Compression;
use flate2::write::GzEncoder;
use polars::prelude::{DataFrame, IntoColumn, IntoSeries, NamedFrom, ParquetWriter, Series, UInt64Chunked};

use crate::{Column, Table, TableError, read, write_csv, write_json, write_parquet};

mod bombs;
mod published;
mod random;

/// A folder which is removed at the end of a test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("table-{}-{count}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(&self.0).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn csv(text: impl AsRef<[u8]>) -> Result<Table, TableError> {
    let folder = Folder::new();
    read(&folder.file("t.csv", text))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packed = GzEncoder::new(Vec::new(), Compression::default());
    packed.write_all(bytes).unwrap();
    packed.finish().unwrap()
}

fn texts(values: &[Option<&str>]) -> Column {
    Column::Text(values.iter().map(|value| value.map(str::to_owned)).collect())
}

/// The error's message must hold each of these.
#[track_caller]
fn says<T>(result: Result<T, TableError>, parts: &[&str]) {
    let Err(error) = result else { panic!("no error, but one that says {parts:?} is expected") };
    let message = error.to_string();
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
    assert!(!message.contains('\n'), "more than one line: {message}");
}

fn sample() -> Table {
    Table::new()
        .with("gene", texts(&[Some("TP53"), Some("a \"b\", c\nd"), None]))
        .with("value", Column::Number(vec![0.1, f64::NAN, -1e-300]))
        .with("count", Column::Integer(vec![i64::MIN, 0, i64::MAX]))
        .with("hit", Column::Flag(vec![true, false, true]))
}

#[test]
fn builds_a_table() {
    let table = sample();
    assert_eq!(table.height(), 3);
    assert_eq!(table.names(), ["gene", "value", "count", "hit"]);
    assert_eq!(table.numeric_columns(), ["value", "count"]);
    assert_eq!(table.column("hit"), Some(&Column::Flag(vec![true, false, true])));
    assert_eq!(table.column("none"), None);
    assert_eq!(table.path(), None);
    assert_eq!(Table::new().height(), 0);
}

#[test]
fn refuses_columns_that_do_not_fit() {
    let mut table = sample();
    says(table.push("hit", Column::Flag(vec![true; 3])), &["two columns named \"hit\"", "rename"]);
    says(table.push("more", Column::Flag(vec![true])), &["\"more\" has 1 row,", "the table has 3", "same length"]);
    assert_eq!(table.names().len(), 4);
    let chained = sample().with("more", Column::Flag(vec![])).with("last", Column::Flag(vec![true; 3]));
    says(chained.text("last"), &["\"more\" has 0 rows"]);
    let folder = Folder::new();
    says(write_csv(&chained, &folder.path("t.csv")), &["\"more\" has 0 rows"]);
}

#[test]
fn reads_csv() {
    let table = csv("gene,value,count,hit\nNA,0.5,1,True\n1-Mar,,2,false\nSEPT2,-1e3,3,TRUE\n").unwrap();
    assert_eq!(table.text("gene").unwrap(), ["NA", "1-Mar", "SEPT2"]);
    assert_eq!(table.column("count"), Some(&Column::Integer(vec![1, 2, 3])));
    assert_eq!(table.column("hit"), Some(&Column::Flag(vec![true, false, true])));
    let values = table.numbers_or_missing("value").unwrap();
    assert!(values[0] == 0.5 && values[1].is_nan() && values[2] == -1000.0);
    assert!(table.path().unwrap().ends_with("t.csv"));
}

#[test]
fn names_stay_as_they_are_written() {
    let table = csv("gene\n007\n1e5\nNA\n+3\n1.50\n").unwrap();
    assert_eq!(table.text("gene").unwrap(), ["007", "1e5", "NA", "+3", "1.50"]);
    let table = csv("gene\n7157\n007\n").unwrap();
    assert_eq!(table.text("gene").unwrap(), ["7157", "007"]);
    assert_eq!(table.integers("gene").unwrap(), [7157, 7]);
    let table = csv("gene\nNA\n").unwrap();
    assert_eq!(table.column("gene"), Some(&texts(&[Some("NA")])));
    let table = csv("gene\nINF\nNAN\n").unwrap();
    assert_eq!(table.column("gene"), Some(&texts(&[Some("INF"), Some("NAN")])));
    let table = csv("gene\nTrue\nfalse\n").unwrap();
    assert_eq!(table.text("gene").unwrap(), ["True", "false"]);
    let memory = Table::new().with("id", Column::Integer(vec![7157])).with("f", Column::Number(vec![1.0]));
    assert_eq!((memory.text("id").unwrap(), memory.text("f").unwrap()), (vec!["7157"], vec!["1"]));
}

#[test]
fn types_are_told_by_the_whole_file() {
    let mut text = String::from("a,b\n");
    for row in 0..5000 {
        text.push_str(&format!("{row},{row}\n"));
    }
    text.push_str("0.5,TP53\n");
    let table = csv(text).unwrap();
    assert_eq!(table.numbers("a").unwrap()[5000], 0.5);
    assert_eq!(table.text("b").unwrap()[4999..], ["4999", "TP53"]);
    says(table.numbers("b"), &["line 5002", "\"TP53\" is not a number"]);
}

#[test]
fn reads_rfc_4180() {
    let table = csv("\u{feff}gene,\"va\"\"lue\"\r\n\"a,b\",1\r\n\r\n\"c\r\nd\",2\r\n\"\"\"\",3").unwrap();
    assert_eq!(table.names(), ["gene", "va\"lue"]);
    assert_eq!(table.text("gene").unwrap(), ["a,b", "c\r\nd", "\""]);
    assert_eq!(table.integers("va\"lue").unwrap(), [1, 2, 3]);
    // Lines are counted through blank lines and through quoted cells of two lines.
    let table = csv("a,b\n\n\"x\ny\",1\nz,\n").unwrap();
    says(table.numbers("b"), &["line 5, column \"b\"", "empty"]);
    // Line ends of old Macs, blank ends, names with blanks around, and pandas' nameless index.
    let table = csv(", value\r0,1.5\r1,2.5\r\r").unwrap();
    assert_eq!(table.names(), ["Unnamed: 0", "value"]);
    assert_eq!(table.numbers("value").unwrap(), [1.5, 2.5]);
    let folder = Folder::new();
    let table = read(&folder.file("t.TSV", "a\tb\n1,5\tx\n")).unwrap();
    assert_eq!(table.text("a").unwrap(), ["1,5"]);
}

#[test]
fn reads_gzip() {
    let folder = Folder::new();
    let packed = gzip(b"gene,value\nTP53,1\n");
    let table = read(&folder.file("t.csv.gz", &packed)).unwrap();
    assert_eq!(table.text("gene").unwrap(), ["TP53"]);
    let both = [packed.clone(), gzip(b"KRAS,2\n")].concat();
    assert_eq!(read(&folder.file("t.CSV.GZ", both)).unwrap().height(), 2);

    for cut in [1, 5, packed.len() / 2, packed.len() - 1] {
        let path = folder.file("cut.csv.gz", &packed[..cut]);
        says(read(&path), &["cut.csv.gz ends early", "truncated gzip", "again"]);
    }
    let plain = folder.file("plain.csv.gz", "gene,value\n");
    says(read(&plain), &["plain.csv.gz is not a gzip file", "\"gene,val\"", "remove .gz"]);
    let mut wrong = packed.clone();
    let crc = wrong.len() - 6;
    wrong[crc] ^= 1;
    says(read(&folder.file("bad.csv.gz", wrong)), &["bad.csv.gz is a damaged gzip file", "again"]);
    says(read(&folder.file("none.csv.gz", gzip(b""))), &["none.csv.gz is empty"]);
    says(read(&folder.file("zero.csv.gz", "")), &["zero.csv.gz is empty"]);
}

#[test]
fn tells_what_is_wrong_with_a_file() {
    let folder = Folder::new();
    let absent = folder.path("absent.csv");
    let name = absent.display().to_string();
    says(read(&absent), &["no file", &name, "--data-dir", "SCREENWRIGHT_DATA"]);
    let file = folder.file("file.csv", "a\n1\n");
    says(read(&file.join("t.csv")), &["no file", "file.csv"]);
    says(read(&folder.0), &["is a folder", ".parquet"]);
    for name in ["t.doc", "t", "t.gz", "t.parquet.gz"] {
        says(read(&folder.file(name, "a\n")), &[name, "must end in .csv, .tsv, .tab, .txt, .gmt or .gct", ".parquet"]);
    }
    for (name, bytes) in [("t.csv", ""), ("t.csv", "\n\n"), ("t.tsv", "\u{feff}"), ("t.parquet", "")] {
        says(read(&folder.file(name, bytes)), &[name, "is empty"]);
    }
    says(
        read(&folder.file("t.csv", gzip(b"a\n"))),
        &["is not a text file", "compressed with gzip", "add .gz to its name"],
    );
    says(read(&folder.file("t.csv", "PAR1...")), &["it is a Parquet file", ".parquet"]);
    says(read(&folder.file("t.csv", "PK\x03\x04")), &["Excel or zip", "save the sheet as CSV"]);
    says(read(&folder.file("t.csv", "version https://git-lfs.github.com/spec/v1\n")), &["git lfs pull"]);
    says(read(&folder.file("t.parquet", "\n<!DOCTYPE html>")), &["web page", "download"]);
    says(read(&folder.file("t.csv", b"a,b\n\xc2\xb5,2\n\xff,3\n")), &["t.csv, line 3", "UTF-8"]);
    says(read(&folder.file("t.csv", b"\xff\xfea\0b")), &["t.csv is a damaged text file", "UTF-16"]);
}

#[test]
fn tells_why_a_file_cannot_be_read() {
    let error = |kind: ErrorKind| TableError::Unreadable { path: "t.csv".into(), cause: kind.into() };
    says(
        Err::<(), _>(error(ErrorKind::PermissionDenied)),
        &["cannot read t.csv", "permission denied", "ask for the right"],
    );
    says(Err::<(), _>(error(ErrorKind::TimedOut)), &["cannot read t.csv", "timed out", "check the disk"]);
}

#[cfg(unix)]
#[test]
fn tells_when_a_file_may_not_be_read() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new();
    let path = folder.file("t.csv", "a\n1\n");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::read(&path).is_ok() {
        println!("skipped: this user may read everything");
        return;
    }
    says(read(&path), &["cannot read", "t.csv", "ermission denied", "copy it to your own folder"]);
}

#[test]
fn tells_what_is_wrong_in_a_text_file() {
    says(csv("a,b\n1,2\n\n1,2,3\n"), &["t.csv, line 4: 3 cells, but the header names 2 columns", "comma"]);
    says(csv("a,b\n1\n"), &["line 2: 1 cell, but", "add the missing cells"]);
    says(csv("a,b,a\n1,2,3\n"), &["t.csv has two columns named \"a\"", "rename"]);
    says(csv("a\n\"x\n\ny"), &["line 2", "never closed", "put \" around"]);
    says(csv("a\n\"x\ny\" z\n"), &["line 3", "text after a closing \""]);
    let table = csv("gene;value\nTP53;1;2\n").unwrap();
    says(table.text("gene"), &["separated by ';'", "',' is expected", "every row as many cells"]);
}

#[test]
fn header_only() {
    let table = csv("gene,value\n").unwrap();
    assert_eq!((table.height(), table.names()), (0, vec!["gene", "value"]));
    assert!(table.text("gene").unwrap().is_empty());
    assert!(table.numbers("value").unwrap().is_empty());
    assert!(table.integers("value").unwrap().is_empty());
    assert!(table.flags("value").unwrap().is_empty());
}

#[test]
fn tells_which_column_is_missing() {
    let table = csv("gene_symbol,value,log2FC\nTP53,1,2\n").unwrap();
    says(
        table.text("Gene Symbol"),
        &["t.csv has no column \"Gene Symbol\"", "it has gene_symbol, value, log2FC", "did you mean \"gene_symbol\"?"],
    );
    says(table.numbers("valeu"), &["did you mean \"value\"?"]);
    says(table.numbers("phenotype"), &["name one of these, or rename the column"]);
    let wide = (0..65).fold(Table::new(), |t, at| t.with(format!("f{at}"), Column::Flag(vec![])));
    says(wide.flags("gene"), &["the table has no column", "f9 and 55 more"]);
    says(Table::new().flags("gene"), &["it has no columns"]);
}

#[test]
fn tells_which_cell_is_wrong() {
    let table = csv("gene,a,b,c,d,e\nx,1.5,inf,NA,,1\n,x,2,2,2,0\nz,3,3,3,3,2\n").unwrap();
    says(table.text("gene"), &["t.csv, line 3, column \"gene\": the cell is empty", "fill it in"]);
    says(table.numbers("a"), &["line 3, column \"a\": \"x\" is not a number", "remove the row"]);
    says(table.numbers_or_missing("a"), &["\"x\" is not a number", "leave the cell empty"]);
    says(table.numbers("b"), &["line 2", "\"inf\" is not a finite number"]);
    says(table.numbers_or_missing("b"), &["line 2", "\"inf\" is not a finite number"]);
    says(table.numbers("c"), &["line 2", "\"NA\" stands for a missing value"]);
    assert!(table.numbers_or_missing("c").unwrap()[0].is_nan());
    says(table.numbers("d"), &["line 2", "the cell is empty"]);
    says(table.integers("a"), &["line 2", "\"1.5\" is not a whole number"]);
    says(table.integers("gene"), &["line 2", "\"x\" is not a whole number"]);
    says(table.integers("d"), &["line 2", "the cell is empty, and a whole number is needed"]);
    says(table.flags("e"), &["line 4", "\"2\" is not true or false", "write true or false"]);
    says(csv("v\n\"1,5\"\n").unwrap().numbers("v"), &["\"1,5\" is not a number", "point, as in 0.5"]);
    says(csv("v\ntrue\n").unwrap().numbers("v"), &["line 2", "\"true\" is not a number"]);
    says(csv("v\n1e999\n").unwrap().numbers("v"), &["\"1e999\" is not a finite number"]);
    let memory = Table::new().with("v", Column::Number(vec![1.0, f64::NAN, f64::INFINITY]));
    says(memory.numbers("v"), &["the table, row 2, column \"v\": the cell is empty (or NaN)"]);
    says(memory.numbers_or_missing("v"), &["row 3", "\"inf\" is not a finite number"]);
}

#[test]
fn converts_what_loses_nothing() {
    let table = csv("a,b,c,d\n1,1.0,1,TRUE\n0,-2.0,0,False\n").unwrap();
    assert_eq!(table.numbers("a").unwrap(), [1.0, 0.0]);
    assert_eq!(table.integers("b").unwrap(), [1, -2]);
    assert_eq!(table.flags("c").unwrap(), [true, false]);
    assert_eq!(table.flags("d").unwrap(), [true, false]);
    let text = Table::new().with("n", texts(&[Some("1.5"), Some(" 2 ")]));
    assert_eq!(text.numbers("n").unwrap(), [1.5, 2.0]);
}

#[test]
fn writes_and_reads_back() {
    let folder = Folder::new();
    for name in ["t.csv", "t.csv.gz", "t.tsv", "t.tsv.gz", "t.parquet"] {
        let path = folder.path(name);
        let write = if name == "t.parquet" { write_parquet } else { write_csv };
        write(&sample(), &path).unwrap();
        let table = read(&path).unwrap();
        assert_eq!(table.names(), sample().names(), "{name}");
        for column in ["gene", "count", "hit"] {
            assert_eq!(table.column(column), sample().column(column), "{name}");
        }
        let values = table.numbers_or_missing("value").unwrap();
        assert!(values[0] == 0.1 && values[1].is_nan() && values[2] == -1e-300, "{name}");
        says(table.numbers("value"), &[name, if name == "t.parquet" { "row 2" } else { "line " }]);

        let first = fs::read(&path).unwrap();
        write(&sample(), &path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), first, "{name} differs from itself");
    }
    assert_eq!(folder.names().len(), 5, "a temporary file stayed: {:?}", folder.names());
    assert_eq!(
        fs::read_to_string(folder.path("t.csv")).unwrap(),
        "gene,value,count,hit\nTP53,0.1,-9223372036854775808,true\n\"a \"\"b\"\", c\nd\",,0,false\n,-1e-300,9223372036854775807,true\n"
    );
}

#[test]
fn numbers_survive_text() {
    let values = vec![1.0, -0.0, 1e300, 5e-324, 1.0 / 3.0, f64::MAX, 123456789.0];
    let folder = Folder::new();
    let table = Table::new().with("v", Column::Number(values.clone()));
    for (name, write) in [("t.csv", write_csv as fn(&Table, &Path) -> _), ("t.parquet", write_parquet)] {
        write(&table, &folder.path(name)).unwrap();
        let back = read(&folder.path(name)).unwrap().numbers("v").unwrap();
        assert!(back.iter().zip(&values).all(|(a, b)| a.to_bits() == b.to_bits()), "{name}: {back:?}");
    }
    let one = Table::new().with("v", Column::Number(vec![f64::NAN, 1.5]));
    write_csv(&one, &folder.path("one.csv")).unwrap();
    assert_eq!(fs::read_to_string(folder.path("one.csv")).unwrap(), "v\n\"\"\n1.5\n");
    assert_eq!(read(&folder.path("one.csv")).unwrap().height(), 2);
}

#[test]
fn writes_json() {
    let folder = Folder::new();
    let path = folder.path("t.json");
    write_json(&sample(), &path).unwrap();
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        "[\n{\"gene\":\"TP53\",\"value\":0.1,\"count\":-9223372036854775808,\"hit\":true},\n\
         {\"gene\":\"a \\\"b\\\", c\\nd\",\"value\":null,\"count\":0,\"hit\":false},\n\
         {\"gene\":null,\"value\":-1e-300,\"count\":9223372036854775807,\"hit\":true}\n]\n"
    );
    write_json(&Table::new().with("v", Column::Flag(vec![])), &path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "[]\n");
    let infinite = Table::new().with("v", Column::Number(vec![1.0, f64::INFINITY]));
    says(write_json(&infinite, &path), &["row 2, column \"v\"", "inf cannot be written as JSON", "CSV or Parquet"]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "[]\n", "the old file is lost");
}

#[test]
fn tells_why_a_table_cannot_be_written() {
    let folder = Folder::new();
    says(
        write_csv(&sample(), &folder.path("no/t.csv")),
        &["cannot write", "no/t.csv", "create the folder it is in first", "nothing already written is lost"],
    );
    fs::create_dir(folder.path("t.csv")).unwrap();
    says(write_csv(&sample(), &folder.path("t.csv")), &["there is a folder of that name"]);
    says(write_parquet(&Table::new(), &folder.path("t.parquet")), &["the table has no columns"]);
    assert_eq!(folder.names(), ["t.csv"]);
}

#[test]
fn parquet_without_rows() {
    let folder = Folder::new();
    let path = folder.path("t.parquet");
    let empty = Table::new().with("gene", texts(&[])).with("value", Column::Number(vec![]));
    write_parquet(&empty, &path).unwrap();
    let table = read(&path).unwrap();
    assert_eq!((table.height(), table.names()), (0, vec!["gene", "value"]));
    assert_eq!(table.numeric_columns(), ["value"]);
}

#[test]
fn parquet_of_many_row_groups_keeps_its_order() {
    let rows = 600_000;
    let table = Table::new()
        .with("id", Column::Integer((0..rows).collect()))
        .with("gene", Column::Text((0..rows).map(|row| Some(format!("g{}", row % 1000))).collect()));
    let folder = Folder::new();
    write_parquet(&table, &folder.path("t.parquet")).unwrap();
    let back = read(&folder.path("t.parquet")).unwrap();
    assert_eq!(back.column("id"), table.column("id"));
    assert_eq!(back.column("gene"), table.column("gene"));
}

#[test]
fn parquet_types_of_pyarrow() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pyarrow_types.parquet");
    let table = read(&path).unwrap();
    assert_eq!(table.height(), 3);
    assert_eq!(table.text("gene").unwrap(), ["TP53", "NA", "1-Mar"]);
    let f16 = table.numbers_or_missing("f16").unwrap();
    assert!(f16[0] == 0.5 && f16[1] == -65504.0 && f16[2].is_nan());
    let f32 = table.numbers_or_missing("f32").unwrap();
    assert!(f32[0] == 0.5 && f32[1].is_nan() && f32[2] == -2.0);
    says(table.numbers("f32"), &["pyarrow_types.parquet, row 2, column \"f32\": the cell is empty (or NaN)"]);
    assert_eq!(table.numbers("f64").unwrap(), [0.1, 1e300, -0.0]);
    for (name, values) in [
        ("i8", [-128, 0, 127]),
        ("i16", [-32768, 0, 32767]),
        ("i32", [-2147483648, 0, 2147483647]),
        ("i64", [i64::MIN, 0, i64::MAX]),
        ("u8", [0, 1, 255]),
        ("u16", [0, 1, 65535]),
        ("u32", [0, 1, 4294967295]),
        ("u64", [0, 1, i64::MAX]),
    ] {
        assert_eq!(table.column(name), Some(&Column::Integer(values.to_vec())), "{name}");
    }
    let gaps = table.numbers_or_missing("gaps").unwrap();
    assert!(gaps[0] == 1.0 && gaps[1].is_nan() && gaps[2] == 3.0);
    assert_eq!(table.flags("flag").unwrap(), [true, false, true]);
    says(table.flags("doubt"), &["row 2, column \"doubt\"", "the cell is empty, and true or false is needed"]);
    assert!(table.numbers_or_missing("nothing").unwrap().iter().all(|v| v.is_nan()));
    assert_eq!(table.column("large"), Some(&texts(&[Some("a"), Some("b"), None])));
    says(table.text("large"), &["row 3", "empty"]);
    assert_eq!(table.numbers("level").unwrap(), [1.5, 2.5, 1.5]);

    assert_eq!(table.column("spans"), None);
    says(table.numbers("spans"), &["\"spans\" cannot be used", "its type is list", "as text or as numbers"]);
    says(table.numbers("point"), &["struct"]);
    says(table.numbers("day"), &["date"]);
    says(table.numbers("price"), &["decimal"]);
    says(table.integers("huge"), &["row 2 holds 18446744073709551615, above the largest integer"]);
    says(table.numbers("span"), &["not readable, huge (row 2", "spans (its type is list)"]);
}

#[test]
fn parquet_of_polars_categories() {
    use polars::prelude::{Categories, DataType};
    let genes = Series::new("gene".into(), ["TP53", "KRAS", "TP53"])
        .cast(&DataType::from_categories(Categories::global()))
        .unwrap();
    let big = UInt64Chunked::new("big".into(), [1u64, 2, 3]).into_series();
    let mut frame = DataFrame::new(3, vec![genes.into_column(), big.into_column()]).unwrap();
    let mut bytes = Vec::new();
    ParquetWriter::new(&mut bytes).finish(&mut frame).unwrap();
    let folder = Folder::new();
    let table = read(&folder.file("t.parquet", bytes)).unwrap();
    assert_eq!(table.text("gene").unwrap(), ["TP53", "KRAS", "TP53"]);
    assert_eq!(table.integers("big").unwrap(), [1, 2, 3]);
}

#[test]
fn tells_what_is_wrong_with_parquet() {
    let folder = Folder::new();
    says(
        read(&folder.file("t.parquet", "gene,value\nTP53,1\n")),
        &["t.parquet is not a Parquet file", "it begins with \"gene,val\"", ".csv"],
    );
    says(read(&folder.file("t.parquet", "PARE....PARE")), &["encrypted", "without encryption"]);
    write_parquet(&sample(), &folder.path("whole.parquet")).unwrap();
    let whole = fs::read(folder.path("whole.parquet")).unwrap();
    for cut in [4, 11, whole.len() / 2, whole.len() - 1] {
        says(
            read(&folder.file("cut.parquet", &whole[..cut])),
            &["cut.parquet ends early", "truncated Parquet", "again"],
        );
    }
    // A cut in the middle that keeps the footer.
    let gap = [&whole[..4], &whole[60..]].concat();
    says(read(&folder.file("gap.parquet", gap)), &["gap.parquet is a damaged Parquet file"]);
    let mut length = whole.clone();
    let at = length.len() - 6;
    length[at] = 0xff;
    says(read(&folder.file("length.parquet", length)), &["is a damaged Parquet file", "again"]);
}

#[test]
fn a_damaged_footer_is_an_error_and_never_a_crash() {
    let folder = Folder::new();
    write_parquet(&sample(), &folder.path("whole.parquet")).unwrap();
    let whole = fs::read(folder.path("whole.parquet")).unwrap();
    let end = whole.len() - 8;
    let length = u32::from_le_bytes(whole[end..end + 4].try_into().unwrap()) as usize;
    for at in (end - length..end).step_by(7) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        if let Err(error) = read(&folder.file("t.parquet", damaged)) {
            let message = error.to_string();
            assert!(message.contains("t.parquet"), "{message}");
        }
    }
}

#[test]
fn real_data() {
    let root = std::env::var("SCREENWRIGHT_DATA").unwrap_or_else(|_| "/nonexistent".into());
    for (name, rows, columns, numeric) in [
        ("descriptors/go_bp2021_svd64.parquet", 14472, 65, 64),
        ("genedisco_assays/schmidt2021_ifng.csv.gz", 18899, 2, 1),
    ] {
        let path = Path::new(&root).join(name);
        if !path.exists() {
            println!("skipped: {} is not there; set SCREENWRIGHT_DATA to the data", path.display());
            continue;
        }
        let start = Instant::now();
        let table = read(&path).unwrap();
        println!("{name}: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
        assert_eq!((table.height(), table.names().len()), (rows, columns));
        assert_eq!(table.text("gene").unwrap().len(), rows);
        assert_eq!(table.numeric_columns().len(), numeric);
        for column in table.numeric_columns() {
            table.numbers(column).unwrap();
        }
    }
}
