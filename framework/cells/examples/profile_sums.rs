//! Sums of each gene over the cells of each label, with seconds and peak memory:
//! `cargo run --example profile_sums FILE LABEL`.

use cells::{CellsError, Options};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

fn main() -> Result<(), CellsError> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, file, label] = arguments.as_slice() else {
        eprintln!("profile_sums FILE LABEL");
        return Ok(());
    };
    let start = Instant::now();
    let m = cells::open(Path::new(file), &Options::default())?;
    let labels = m.column(label)?;
    let mut rows: BTreeMap<&str, usize> = labels.iter().flatten().map(|l| (l.as_str(), 0)).collect();
    rows.values_mut().enumerate().for_each(|(i, row)| *row = i);
    let row_of: Vec<Option<usize>> = labels.iter().map(|l| l.as_deref().and_then(|l| rows.get(l).copied())).collect();
    let n = m.genes().len();
    let mut sums = vec![0.0; rows.len() * n];
    m.entries::<CellsError>(|cell, gene, v| {
        if let Some(row) = row_of[cell] {
            sums[row * n + gene] += v;
        }
        Ok(())
    })?;
    let peak = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = peak.lines().find(|l| l.starts_with("VmHWM")).unwrap_or("").to_string();
    println!("{} cells x {n} genes, {} labels, sum {:.3}", m.n_cells(), rows.len(), sums.iter().sum::<f64>());
    println!("{:.2} s; peak memory {peak}", start.elapsed().as_secs_f64());
    Ok(())
}
