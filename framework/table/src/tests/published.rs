//! Tables as the field's tools and spreadsheets write them.

use super::*;

fn named(name: &str, text: impl AsRef<[u8]>) -> Table {
    let folder = Folder::new();
    read(&folder.file(name, text)).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn notes(table: &Table, wanted: &[&str]) {
    assert_eq!(table.notes(), wanted);
}

#[test]
fn endings_and_delimiters() {
    for (name, text) in [
        ("t.txt", "gene\tlfc\nTP53\t-1.3\nMYC\t2\n"),
        ("t.TXT", "gene,lfc\nTP53,-1.3\nMYC,2\n"),
        ("t.tab", "gene;lfc\nTP53;-1.3\nMYC;2\n"),
        ("t.txt", "gene lfc\nTP53  -1.3\nMYC 2\n"),
        ("t.csv", "gene;lfc\nTP53;-1,3\nMYC;2\n"),
        ("t.CSV", "gene\tlfc\nTP53\t-1.3\nMYC\t2\n"),
        ("t.tsv", "gene,lfc\nTP53,-1.3\nMYC,2\n"),
    ] {
        let folder = Folder::new();
        for path in [folder.file(name, text), folder.file(&format!("{name}.GZ"), gzip(text.as_bytes()))] {
            let table = read(&path).unwrap();
            assert_eq!(table.text("gene").unwrap(), ["TP53", "MYC"], "{name}");
            assert_eq!(table.numbers("lfc").unwrap(), [-1.3, 2.0], "{name}");
            assert!(table.notes()[0].starts_with("cells are separated by "), "{:?}", table.notes());
        }
    }
    notes(
        &named("t.csv", "gene;lfc\nTP53;-1,3\nMYC;2\n"),
        &["cells are separated by semicolons", "decimals are written with commas: lfc"],
    );
    notes(&named("t.tsv", "gene\tlfc\nTP53\t1\n"), &[]);
    let table = named("t.gene_summary.txt", "id\tnum\tneg|lfc\nTP53\t4\t-1.3\nMYC\t4\t-2.1\nCD28\t4\t0.1\n");
    assert_eq!(table.numbers("neg|lfc").unwrap(), [-1.3, -2.1, 0.1]);
    // A list of names has no delimiter, whatever its names hold.
    let table = named("t.txt", "cell type\nT cell\nB cell\n");
    assert_eq!(table.text("cell type").unwrap(), ["T cell", "B cell"]);
    notes(&table, &[]);
}

#[test]
fn string_links() {
    let text = "protein1 protein2 combined_score\n9606.ENSP1 9606.ENSP2 402\n9606.ENSP1 9606.ENSP3 403\n";
    for name in ["links.tsv", "9606.protein.links.v12.0.txt"] {
        let table = named(name, text);
        assert_eq!(table.text("protein2").unwrap(), ["9606.ENSP2", "9606.ENSP3"]);
        assert_eq!(table.integers("combined_score").unwrap(), [402, 403]);
        notes(&table, &["cells are separated by spaces"]);
    }
}

#[test]
fn encodings() {
    let text = "gene,dose (µM),name\nTP53,0.5,naïve\nMYC,1,x\n";
    let wide = |bytes: fn(u16) -> [u8; 2], mark: [u8; 2]| {
        mark.into_iter().chain(text.encode_utf16().flat_map(bytes)).collect::<Vec<u8>>()
    };
    let latin: Vec<u8> = text.chars().map(|c| c as u8).collect();
    for (bytes, note) in [
        (text.as_bytes().to_vec(), None),
        ([b"\xef\xbb\xbf", text.as_bytes()].concat(), None),
        (wide(u16::to_le_bytes, [0xff, 0xfe]), Some("UTF-16 (little endian)")),
        (wide(u16::to_be_bytes, [0xfe, 0xff]), Some("UTF-16 (big endian)")),
        (latin, Some("Windows-1252 (Latin-1)")),
    ] {
        let folder = Folder::new();
        for path in [folder.file("t.csv", &bytes), folder.file("t.csv.gz", gzip(&bytes))] {
            let table = read(&path).unwrap();
            assert_eq!(table.names(), ["gene", "dose (µM)", "name"]);
            assert_eq!(table.text("name").unwrap(), ["naïve", "x"]);
            let notes: Vec<_> =
                note.map(|name| format!("the text is not UTF-8: it is read as {name}")).into_iter().collect();
            assert_eq!(table.notes(), notes);
        }
    }
    // The first byte beyond ASCII may come late.
    let mut late = b"gene,name\n".to_vec();
    for row in 0..100_000 {
        late.extend_from_slice(format!("g{row},abc\n").as_bytes());
    }
    late.extend_from_slice(b"last,na\xefve\n");
    assert_eq!(named("t.csv", &late).text("name").unwrap()[100_000], "naïve");
    says(csv([b"\xc3\xaf,b\n".as_slice(), &late].concat()), &["line 100003", "not UTF-8"]);
    says(csv(b"a,b\n\x00\x01,2\n"), &["not a text file", "zero bytes", "CSV in UTF-8"]);
}

#[test]
fn lines_before_the_header() {
    let text = "# exported by pipeline 3\n# cell line: Jurkat\ngene,lfc\nTP53,-1.3\nMYC,-2.1\n";
    let table = named("t.csv", text);
    assert_eq!(table.numbers("lfc").unwrap(), [-1.3, -2.1]);
    notes(&table, &["2 lines before the header that begin with # are left out"]);
    says(csv(text.replace("-1.3", "x")).unwrap().numbers("lfc"), &["line 4", "\"x\" is not a number"]);
    let table = named("BIOGRID.tab3.txt", "#BioGRID Interaction ID\tScore\tGene\n103\t-\tMAP2K4\n117\t0.5\tMYPN\n");
    assert_eq!(table.names(), ["#BioGRID Interaction ID", "Score", "Gene"]);
    assert!(table.numbers_or_missing("Score").unwrap()[0].is_nan());
}

#[test]
fn gct() {
    let text = "#1.2\n2\t3\nNAME\tDescription\ts1\ts2\ts3\nTP53\tna\t1\t2\t3.5\nMYC\tna\t4\t5\t6\n";
    for name in ["t.gct", "t.GCT", "t.txt"] {
        let table = named(name, text);
        assert_eq!(table.names(), ["Name", "Description", "s1", "s2", "s3"]);
        assert_eq!(table.numbers("s3").unwrap(), [3.5, 6.0]);
        assert_eq!(table.source().unwrap().format, "GCT");
    }
    let folder = Folder::new();
    says(read(&folder.file("t.gct", text.replace("2\t3\n", "9\t3\n"))), &["promises 9 rows", "there are 2"]);
    says(read(&folder.file("t.gct", "gene\tx\nA\t1\n")), &["not a GCT file", "GCT 1.3, or as CSV"]);
}

#[test]
fn gct_with_descriptions_of_rows_and_samples() {
    let text = "#1.3\n2\t2\t2\t3\nid\tsymbol\tentrez\ts1\ts2\ncell\tna\tna\tA375\tHT29\ndose\tna\tna\t10\t-666\ntime\tna\tna\t24\t6\n\
        200814_at\tPSME1\t5720\t1.5\t-2\n222103_at\tATF1\t466\t0.25\t3\n";
    for name in ["t.gct", "t.txt"] {
        let table = named(name, text);
        assert_eq!(table.names(), ["id", "symbol", "entrez", "s1", "s2"]);
        assert_eq!((table.numeric_columns(), table.text("symbol").unwrap()), (vec!["s1", "s2"], vec!["PSME1", "ATF1"]));
        assert_eq!((table.numbers("s1").unwrap(), table.place(0)), (vec![1.5, 0.25], "line 7".into()));
        let features = crate::FeatureChoice::default().of(&table, &["symbol"]).unwrap();
        assert_eq!(features.names, ["s1", "s2"]);
        assert!(features.lines()[0].contains("no measurement: entrez"), "{:?}", features.lines());
        assert!(table.notes()[0].ends_with("that describe samples are left out: 3"), "{:?}", table.notes());
    }
    let folder = Folder::new();
    let says_so =
        |from: &str, to: &str, parts: &[&str]| says(read(&folder.file("t.gct", text.replace(from, to))), parts);
    says_so("2\t2\t2\t3", "2\t2\t2\t2", &["promises 2 rows", "there are 3"]);
    says_so("2\t2\t2\t3", "2\t2", &["not a GCT file"]);
}

#[test]
fn rows_that_are_taken_keep_their_places_and_spelling() {
    let table = csv("id,x,y\n007,1,\n8,2.50,a\n0x,3,b\n").unwrap();
    let taken = table.take(&[2, 0]).take(&[1, 0]);
    assert_eq!(taken.text("id").unwrap(), ["007", "0x"]);
    assert_eq!((taken.place(0), taken.place(1)), ("line 2".into(), "line 4".into()));
    assert_eq!((taken.numbers("x").unwrap(), taken.height()), (vec![1.0, 3.0], 2));
    says(taken.text("y"), &["line 2, column \"y\": the cell is empty"]);
    let memory = Table::new().with("x", Column::Integer(vec![5, 6, 7])).take(&[2]);
    assert_eq!((memory.place(0), memory.emptied().names().len()), ("row 3".into(), 0));
}

#[test]
fn gmt() {
    let text = "SET_A\thttp://x\tTP53\tMYC\tLAT\t\nSET_B\t\tCD28,1.0\tLAT\n\nEMPTY\tx\n";
    let folder = Folder::new();
    for path in [folder.file("s.gmt", text), folder.file("s.GMT.gz", gzip(text.as_bytes()))] {
        let table = read(&path).unwrap();
        assert_eq!(table.names(), ["set", "description", "gene"]);
        assert_eq!(table.text("set").unwrap(), ["SET_A", "SET_A", "SET_A", "SET_B", "SET_B"]);
        assert_eq!(table.text("gene").unwrap(), ["TP53", "MYC", "LAT", "CD28", "LAT"]);
        assert_eq!(table.place(3), "line 2");
        assert_eq!(table.notes().len(), 2);
    }
    says(read(&folder.file("s.gmt", "a\tb\tc\nno tab\n")), &["damaged GMT file", "line 2 has no tab"]);
    says(read(&folder.file("s.gmt", "\n")), &["is empty"]);
}

#[test]
fn headers_of_another_length() {
    let table = named("t.tsv", "gene\tlfc\t\nTP53\t-1.3\nMYC\t-2.1\n");
    assert_eq!((table.names(), table.numbers("lfc").unwrap()), (vec!["gene", "lfc"], vec![-1.3, -2.1]));
    notes(&table, &["the header ends with a tab too many"]);
    let table = named("t.csv", "gene,lfc\nTP53,-1.3,\nMYC,-2.1,\n");
    assert_eq!((table.names(), table.numbers("lfc").unwrap()), (vec!["gene", "lfc"], vec![-1.3, -2.1]));
    notes(&table, &["rows end with a comma too many"]);
    // R's write.table, with all of its defaults and with tabs.
    for (name, text) in [
        ("t.txt", "\"gene\" \"lfc\"\n\"1\" \"TP53\" -1.3\n\"2\" \"MYC\" NA\n"),
        ("t.txt", "gene\tlfc\n1\tTP53\t-1.3\n2\tMYC\tNA\n"),
        ("t.csv", "gene,lfc\nr1,TP53,-1.3\nr2,MYC,NA\n"),
    ] {
        let table = named(name, text);
        assert_eq!(table.names(), ["Unnamed: 0", "gene", "lfc"], "{text}");
        assert_eq!(table.text("gene").unwrap(), ["TP53", "MYC"]);
        assert_eq!(table.index(), ["Unnamed: 0"]);
        assert_eq!(table.numeric_columns(), ["lfc"]);
    }
    // A comma within a cell is no row name.
    says(csv("gene,text\nTP53,a, b\nMYC,c\n"), &["line 2: 3 cells, but the header names 2", "put \" around"]);
}

#[test]
fn index_columns() {
    let table = named("t.csv", ",gene,f1\n0,A,0\n1,B,0.1\n");
    assert_eq!((table.index(), table.numeric_columns()), (vec!["Unnamed: 0"], vec!["f1"]));
    notes(&table, &["column \"Unnamed: 0\" is taken for the index of the rows"]);
    for (first, numbers) in [("X", "1 2"), ("...1", "7 9"), ("Unnamed: 0", "5 5"), ("X", "0 1")] {
        let rows: Vec<_> = numbers.split(' ').map(|number| format!("{number},0.5\n")).collect();
        assert_eq!(named("t.csv", format!("{first},f1\n{}", rows.concat())).numeric_columns(), ["f1"], "{first}");
    }
    assert_eq!(named("t.csv", "X,f1\n3,1\n7,2\n").numeric_columns(), ["X", "f1"]);
    let folder = Folder::new();
    let frame =
        Table::new().with("f1", Column::Number(vec![0.5, 1.5])).with("__index_level_0__", Column::Integer(vec![4, 9]));
    write_parquet(&frame, &folder.path("t.parquet")).unwrap();
    let table = read(&folder.path("t.parquet")).unwrap();
    assert_eq!((table.index(), table.numeric_columns()), (vec!["__index_level_0__"], vec!["f1"]));
}

#[test]
fn words_for_no_value() {
    let words = ["", "NaN", "NA", "N/A", "#N/A", "<NA>", "null", "NULL", "-", ".", "None", "nan", "#VALUE!", "#DIV/0!"];
    for word in words {
        let table = named("t.tsv", format!("gene\tv\nA\t0.5\nB\t{word}\nNA\t2\n"));
        let values = table.numbers_or_missing("v").unwrap();
        assert!(values[0] == 0.5 && values[1].is_nan() && values[2] == 2.0, "{word}");
        assert_eq!(table.text("gene").unwrap(), ["A", "B", "NA"]);
        says(table.numbers("v"), &["line 3", "a number is needed"]);
    }
    // A column of nothing but such words is missing where numbers are asked for.
    let table = named("t.tsv", "gene\tv\nA\t-\nB\t-\n");
    assert!(table.numbers_or_missing("v").unwrap().iter().all(|v| v.is_nan()));
}

#[test]
fn numbers_with_commas() {
    let table = csv("gene,n\nA,\"1,204,300\"\nB,950\nC,\"12,044\"\n").unwrap();
    assert_eq!(table.integers("n").unwrap(), [1204300, 950, 12044]);
    assert_eq!(table.text("n").unwrap()[0], "1,204,300");
    notes(&table, &["commas separate thousands: n"]);
    let table = csv("gene,lfc\nTP53,\"1,204\"\nMYC,\"10,500\"\nCD28,950\n").unwrap();
    says(table.numbers("lfc"), &["line 2", "\"1,204\" may mean 1204 or 1.204", "(as in line 3)", "without separators"]);
}

#[test]
fn several_bad_cells_and_columns() {
    let table = csv("gene,a,b\nA,x,1\nB,2,y\nC,z,\n").unwrap();
    says(table.numbers("a"), &["line 2, column \"a\": \"x\" is not a number (as in line 4)"]);
    says(
        table.all_numbers(&["a", "b", "c"], true),
        &["line 2, column \"a\"", "also: ", "line 3, column \"b\"", "no column \"c\""],
    );
    assert_eq!(csv("a,b\n1,2\n").unwrap().all_numbers(&["b", "a"], false).unwrap(), [[2.0], [1.0]]);
    let text: String = (0..30).map(|row| format!("x{row}\n")).collect();
    says(csv(format!("v\n{text}")).unwrap().numbers("v"), &["line 2", "(as in line 3, line 4,", "and in 24 more)"]);
}

#[test]
fn files_of_other_programs() {
    let folder = Folder::new();
    for (name, parts) in [
        ("t.xlsx", ["a spreadsheet", "save the sheet as CSV"]),
        ("t.XLS", ["a spreadsheet", "CSV"]),
        ("t.ods", ["a spreadsheet", "CSV"]),
        ("t.rds", ["a file of R", "write.csv(readRDS("]),
        ("t.rda", ["a file of R", "write.csv"]),
        ("t.pkl", ["a pickle", "to_parquet"]),
        ("t.npy", ["an array of NumPy", "to_csv"]),
        ("t.feather", ["an Arrow file", "to_parquet"]),
        ("t.h5ad", ["single cells", "to_parquet"]),
        ("t.json", ["a JSON file", "to_csv"]),
        ("t.csv.zip", ["an archive", "unpack it"]),
        ("t.csv.bz2", ["a compressed file", "gzip"]),
    ] {
        says(read(&folder.file(name, "x")), &[name, parts[0], parts[1]]);
    }
    for (bytes, part) in
        [(b"\xd0\xcf\x11\xe0....".as_slice(), "old Excel"), (b"\x89HDF\r\n\x1a\n", "HDF5"), (b"BZh9", "gzip")]
    {
        says(read(&folder.file("t.csv", bytes)), &["t.csv is not a text file", part]);
    }
    says(read(&folder.file("t.csv", "\u{feff}<html>")), &["web page"]);
}

#[test]
fn numbers_come_back_as_they_are_written() {
    // Kinds of cells that change the type of a column late, and what is written is kept.
    for cells in [
        ["1", "2", "x"],
        ["007", "1.50", "x"],
        ["1.0", "2.0", "NA"],
        ["1.0", "2", "-0.0"],
        ["0.12345678901234567", "1.5e-05", "x"],
        ["9007199254740993", "0.5", "2"],
        ["12345678901234567890", "+3", " 4 "],
        ["True", "FALSE", "x"],
        ["true", "True", "false"],
        ["NA", "1e5", "2310009E13"],
        ["-", "5.", ".5"],
        ["nan", "NaN", "1"],
    ] {
        let text: String = cells.iter().map(|cell| format!("{cell},a\n")).collect();
        assert_eq!(csv(format!("v,w\n{text}")).unwrap().text("v").unwrap(), cells);
    }
}
