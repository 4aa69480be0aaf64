//! How near the kernels come to what the device can do.
//!
//! `cargo run --release -p screenwright-device --features gpu --example ceiling -- n=100000 d=512 batch=300`
//!
//! Prints one JSON line a measurement. `seconds` leaves out the upload of the rows, `total` has it. `fraction` is
//! of the measured ceiling that binds: reading memory for the greedy loops, arithmetic for the tile reductions.
//! `m` is the number of centres (default 0), `b` the rows of the second block of the reductions (default n).
//! `device=cpu` measures the CPU, which has no ceilings here.

use device::{Ceilings, Choice, Device, Picks, Tile};
use ndarray::Array2;
use std::time::Instant;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut n, mut d, mut batch, mut m, mut b, mut want) = (2_000usize, 64usize, 20usize, 0usize, None, Choice::Gpu);
    for argument in std::env::args().skip(1) {
        let (key, value) = argument.split_once('=').ok_or_else(|| format!("{argument}: give key=value"))?;
        match key {
            "n" => n = value.parse()?,
            "d" => d = value.parse()?,
            "batch" => batch = value.parse()?,
            "m" => m = value.parse()?,
            "b" => b = Some(value.parse()?),
            "device" => want = if value == "cpu" { Choice::Cpu } else { Choice::Gpu },
            _ => return Err(format!("{key}: the keys are n, d, batch, m, b and device").into()),
        }
    }
    let b = b.unwrap_or(n);
    let (device, reason) = device::open(want);
    if let Some(reason) = reason {
        eprintln!("{reason}");
    }
    let device = device.as_ref();
    let ceilings = device.ceilings()?;
    println!("{{\"device\": {:?}, \"n\": {n}, \"d\": {d}, \"batch\": {batch}, \"m\": {m}, \"b\": {b}}}", device.name());
    if let Some(c) = ceilings {
        println!(
            "{{\"ceilings\": {{\"read_gb_s\": {:.1}, \"copy_gb_s\": {:.1}, \"multiply_add_gflop_s\": {:.1}, \
             \"difference_square_gflop_s\": {:.1}}}}}",
            c.read / 1e9,
            c.copy / 1e9,
            c.multiply_add / 1e9,
            c.difference_square / 1e9
        );
    }

    let rows = block(n, d, 1);
    let centres = block(m, d, 2);
    let second = block(b, d, 3);
    let nd = (n * d) as f64;
    let pairs = n as f64 * b as f64 * d as f64;
    // Two operations a product, three a squared difference.
    type Ceiling = fn(&Ceilings) -> f64;
    let tiles: [(&str, Tile, f64, Ceiling); 4] = [
        ("product", Tile::Product, 2.0, |c| c.multiply_add),
        ("sq_distance", Tile::SqDistance, 3.0, |c| c.difference_square),
        ("rbf", Tile::Rbf { length: 4.0 }, 3.0, |c| c.difference_square),
        ("matern52", Tile::Matern52 { length: 4.0 }, 3.0, |c| c.difference_square),
    ];
    for (name, tile, operations, ceiling) in tiles {
        let work = || device.reduce(rows.view(), second.view(), tile).map(|_| ());
        let bytes = 4.0 * (n + b) as f64 * d as f64;
        report(
            device,
            &format!("reduce {name}"),
            bytes,
            operations * pairs,
            |_, operations| operations,
            ceilings.as_ref().map(ceiling),
            work,
        )?;
    }
    // Every pick reads all rows once.
    let picks = |result: device::Result<Picks>| result.map(|_| ());
    let read = ceilings.map(|c| c.read);
    let (all, batch_f) = (nd * batch as f64, batch as f64);
    let work = || picks(device.max_dist(rows.view(), centres.view(), batch));
    report(device, "max_dist", 4.0 * all, 3.0 * all, |bytes, _| bytes, read, work)?;
    let work = || picks(device.lcmd(rows.view(), centres.view(), batch));
    report(device, "lcmd", 4.0 * all, 3.0 * all, |bytes, _| bytes, read, work)?;
    // And, for max_det, the columns made so far.
    let columns = n as f64 * batch_f * (batch_f - 1.0) / 2.0;
    let work = || picks(device.max_det(rows.view(), centres.view(), 0.1, batch));
    report(device, "max_det", 4.0 * (all + columns), 2.0 * (all + columns), |bytes, _| bytes, read, work)?;
    let work = || picks(device.bait(rows.view(), centres.view(), 0.1, batch, false));
    report(device, "bait", 4.0 * all, 4.0 * all, |bytes, _| bytes, read, work)?;
    Ok(())
}

/// Runs twice, the first time to warm up, and prints the second.
fn report(
    device: &dyn Device,
    what: &str,
    bytes: f64,
    operations: f64,
    bound: fn(f64, f64) -> f64,
    ceiling: Option<f64>,
    work: impl Fn() -> device::Result<()>,
) -> device::Result<()> {
    work()?;
    let start = Instant::now();
    work()?;
    let total = start.elapsed().as_secs_f64();
    let seconds = device.last_seconds().unwrap_or(total);
    let fraction =
        ceiling.map_or("null".into(), |ceiling| format!("{:.3}", bound(bytes, operations) / seconds / ceiling));
    println!(
        "{{\"what\": \"{what}\", \"seconds\": {seconds:.6}, \"total\": {total:.6}, \"gb_s\": {:.1}, \
         \"gflop_s\": {:.1}, \"fraction\": {fraction}}}",
        bytes / seconds / 1e9,
        operations / seconds / 1e9
    );
    Ok(())
}

/// Values in [-1, 1) from a fixed congruence.
fn block(n: usize, d: usize, seed: u64) -> Array2<f32> {
    let mut state = seed;
    Array2::from_shape_simple_fn((n, d), || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u32 << 23) as f32 - 1.0
    })
}
