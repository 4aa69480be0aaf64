//! Random tables, written in the ways of the field: the answer is that of the clean table.

use super::*;

/// A small generator, so that a failure comes back.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % limit
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}

struct Clean {
    genes: Vec<String>,
    columns: Vec<(String, Vec<f64>)>,
}

/// Genes and columns of numbers; some values are missing.
fn clean(random: &mut Random) -> Clean {
    let rows = 3 + random.below(40);
    let genes = (0..rows).map(|row| format!("G{row}")).collect();
    let columns = (0..1 + random.below(6))
        .map(|at| {
            let digits = 1 + random.below(17);
            let values = (0..rows).map(|row| match random.below(8) {
                0 if row > 0 => f64::NAN,
                _ => {
                    let text = format!("{:.digits$}", random.below(2_000_000) as f64 / 7e5 - 1.0 + 1e-3);
                    text.parse().unwrap()
                }
            });
            (format!("f{at}"), values.collect())
        })
        .collect();
    Clean { genes, columns }
}

/// The same table, in one of the ways in which tools write it; the file's name and its bytes.
fn dirty(random: &mut Random, clean: &Clean) -> (String, Vec<u8>) {
    let (name, delimiter) = *random.pick(&[
        ("t.csv", ","),
        ("t.csv", ";"),
        ("t.tsv", "\t"),
        ("t.TXT", "\t"),
        ("t.tab", ","),
        ("t.txt", ";"),
        ("t.csv", "\t"),
    ]);
    let decimal_comma = delimiter == ";" && random.below(2) == 0;
    let missing = *random.pick(&["", "NaN", "NA", "N/A", "#N/A", "<NA>", "null", "-", ".", "None", "nan", "#DIV/0!"]);
    let index = *random.pick(&["none", "nameless", "pandas", "row names"]);
    let tail = index != "row names" && random.below(4) == 0;
    let end = *random.pick(&["\n", "\r\n"]);
    let mut text = String::new();
    for _ in 0..random.below(3) {
        text.push_str(&format!("# made by a tool{delimiter} at noon{end}"));
    }
    let mut header: Vec<String> = Vec::new();
    match index {
        "nameless" => header.push(String::new()),
        "pandas" => header.push("Unnamed: 0".into()),
        _ => {}
    }
    header.push("gene".into());
    header.extend(clean.columns.iter().map(|(name, _)| name.clone()));
    if tail {
        header.push(String::new());
    }
    text.push_str(&(header.join(delimiter) + end));
    let quote = random.below(3) == 0;
    for (row, gene) in clean.genes.iter().enumerate() {
        let mut cells = Vec::new();
        if index != "none" {
            cells.push(row.to_string());
        }
        cells.push(if quote { format!("\"{gene}\"") } else { gene.clone() });
        for (_, values) in &clean.columns {
            let cell = if values[row].is_nan() { missing.to_owned() } else { values[row].to_string() };
            cells.push(if decimal_comma { cell.replace('.', if cell == "." { "." } else { "," }) } else { cell });
        }
        text.push_str(&(cells.join(delimiter) + end));
    }
    let bytes = match random.below(4) {
        0 => [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect(),
        1 => [b"\xef\xbb\xbf", text.as_bytes()].concat(),
        _ => text.into_bytes(),
    };
    if random.below(3) == 0 { (format!("{name}.gz"), gzip(&bytes)) } else { (name.into(), bytes) }
}

#[test]
fn dirty_tables_read_as_the_clean_ones() {
    let mut random = Random(11);
    let folder = Folder::new();
    for case in 0..1000 {
        let clean = clean(&mut random);
        let (name, bytes) = dirty(&mut random, &clean);
        let path = folder.file(&name, &bytes);
        let shown = || format!("case {case}, {name}: {}", String::from_utf8_lossy(&bytes));
        let table = read(&path).unwrap_or_else(|error| panic!("{error}\n{}", shown()));
        assert_eq!(table.text("gene").unwrap(), clean.genes, "{}", shown());
        let features = crate::FeatureChoice::default().of(&table, &["gene"]);
        let features = features.unwrap_or_else(|error| panic!("{error}\n{}", shown()));
        let names: Vec<&String> = clean.columns.iter().map(|(name, _)| name).collect();
        assert_eq!(features.names.iter().collect::<Vec<_>>(), names, "{}", shown());
        for (name, values) in &clean.columns {
            let read = table.numbers_or_missing(name).unwrap_or_else(|error| panic!("{error}\n{}", shown()));
            let same = read.iter().zip(values).all(|(a, b)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan()));
            assert!(same, "{read:?} is not {values:?}, {}", shown());
        }
    }
}

#[test]
fn metadata_changes_no_feature() {
    let mut random = Random(5);
    let extra = ["Metadata_Plate", "Image_Metadata_Site", "num_cells", "Well", "neg|fdr", "sgRNA", "p-value", "batch"];
    for _ in 0..200 {
        let clean = clean(&mut random);
        let mut table = Table::new().with("gene", Column::Text(clean.genes.iter().cloned().map(Some).collect()));
        let mut wanted = Vec::new();
        for (name, values) in &clean.columns {
            if random.below(2) == 0 {
                let name = format!("{}_{}", random.pick(&extra), wanted.len());
                let name = extra.iter().find(|extra| name.starts_with(**extra)).unwrap_or(&extra[0]);
                // A second one of the same name is refused, and changes nothing.
                let _ = table.push(*name, Column::Integer((0..values.len() as i64).collect()));
            }
            table.push(name, Column::Number(values.clone())).unwrap();
            wanted.push(name.clone());
        }
        assert_eq!(crate::FeatureChoice::default().of(&table, &["gene"]).unwrap().names, wanted);
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let mut random = Random(3);
    let pieces: [&[u8]; 22] = [
        b",",
        b";",
        b"\t",
        b" ",
        b"\"",
        b"\n",
        b"\r",
        b"#",
        b"# ",
        b"#1.2\n",
        b"1",
        b"0.5",
        b"1,204",
        b"NA",
        b"-",
        b"gene",
        b"TP53",
        b"\xff",
        b"\xc3\xa4",
        b"\xef\xbb\xbf",
        b"\xff\xfe",
        b"e5",
    ];
    let folder = Folder::new();
    for case in 0..1000 {
        let count = random.below(40);
        let bytes: Vec<u8> = (0..count).flat_map(|_| random.pick(&pieces).to_vec()).collect();
        let name = *random.pick(&["t.csv", "t.tsv", "t.txt", "t.gmt", "t.gct", "t.tab"]);
        match read(&folder.file(name, &bytes)) {
            Ok(table) => {
                crate::describe(&table);
                let _ = crate::FeatureChoice::default().of(&table, &[]);
                for column in table.names() {
                    let _ = (table.text(column), table.numbers_or_missing(column), table.integers(column));
                }
            }
            Err(error) => assert!(error.to_string().contains(name), "case {case}: {error}"),
        }
    }
}
