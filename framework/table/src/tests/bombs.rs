//! Files that would fill the memory.

use super::*;

/// Gzip of a byte that is repeated, made at once from copies of one packed block.
fn repeated(byte: u8, start: &str, megabytes: usize) -> Vec<u8> {
    let block = gzip(&vec![byte; 1 << 20]);
    let mut packed = gzip(start.as_bytes());
    for _ in 0..megabytes {
        packed.extend_from_slice(&block);
    }
    packed
}

#[test]
fn gzip_of_zeros() {
    let folder = Folder::new();
    says(read(&folder.file("t.csv.gz", repeated(0, "", 200))), &["t.csv.gz is not a text file", "zero bytes"]);
    says(read(&folder.file("t.csv.gz", repeated(b' ', "a,b\n", 80))), &["line 2 is longer than 64 MB"]);
    says(read(&folder.file("t.gmt.gz", repeated(b'x', "", 80))), &["line 1 is longer than 64 MB"]);
    says(read(&folder.file("t.csv.gz", repeated(b',', "", 80))), &["line 1 is longer than 64 MB"]);
    says(read(&folder.file("t.csv.gz", repeated(b'\n', "a,b\n", 150))), &["more than 100 times its size"]);
    // Honest text in front, and as much of it as the rest is packed to, hides nothing.
    let mut state = 1u32;
    let mut honest = String::from("v\n");
    for _ in 0..20_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        honest.push_str(&format!("{state}\n"));
    }
    let same = gzip(format!("{}\n", "x".repeat(4095)).repeat(1 << 8).as_bytes());
    let packed = [gzip(honest.as_bytes()), same.repeat(300)].concat();
    says(read(&folder.file("t.csv.gz", packed)), &["more than 100 times its size"]);
    says(csv(",".repeat(20_000_000)), &["its header names more than 1048576 columns"]);
}

#[test]
fn parquet_that_claims_too_much() {
    let folder = Folder::new();
    let rows = 0x1234_5678_i64;
    // A footer with a number of rows that is easy to find in it, as thrift writes it.
    let zigzag = |value: i64| {
        let mut value = (value << 1) as u64;
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    };
    let table = Table::new().with("v", Column::Integer(vec![7; 1000]));
    write_parquet(&table, &folder.path("t.parquet")).unwrap();
    let whole = fs::read(folder.path("t.parquet")).unwrap();
    let length = u32::from_le_bytes(whole[whole.len() - 8..][..4].try_into().unwrap()) as usize;
    let (body, footer) = whole[..whole.len() - 8].split_at(whole.len() - 8 - length);
    let honest = zigzag(1000);
    for claim in [rows, 1_000_000_000_000] {
        let mut forged = Vec::new();
        let mut at = 0;
        while at < footer.len() {
            if footer[at..].starts_with(&honest) {
                forged.extend(zigzag(claim));
                at += honest.len();
            } else {
                forged.push(footer[at]);
                at += 1;
            }
        }
        let bytes = [body, &forged, &(forged.len() as u32).to_le_bytes(), b"PAR1"].concat();
        let claimed = format!("claims {claim} rows");
        says(read(&folder.file("forged.parquet", bytes)), &["forged.parquet is a damaged Parquet file", &claimed]);
    }
}
