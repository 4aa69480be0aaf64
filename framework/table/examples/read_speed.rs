//! Reads a table and prints seconds and peak memory: `cargo run --release --example read_speed FILE`.

use std::path::PathBuf;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path: PathBuf = std::env::args_os().nth(1).ok_or("name a file")?.into();
    let start = Instant::now();
    let table = table::read(&path)?;
    let seconds = start.elapsed().as_secs_f64();
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("not known").trim();
    let (rows, columns) = (table.height(), table.names().len());
    println!("{rows} rows, {columns} columns: {seconds:.2} s, peak {peak}");
    Ok(())
}
