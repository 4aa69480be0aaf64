//! A device is used only after it has given the CPU's answers on a small known pattern.

#[cfg(feature = "gpu")]
use crate::{Cpu, Device, Picks, Result, Tile};
#[cfg(feature = "gpu")]
use ndarray::{Array2, s};

/// The device that `start` gives, if it starts and computes rightly; otherwise the reason.
#[cfg(feature = "gpu")]
pub fn accept(start: fn() -> std::result::Result<Box<dyn Device>, String>) -> std::result::Result<Box<dyn Device>, String> {
    let device = start()?;
    match probe(device.as_ref()) {
        Ok(None) => Ok(device),
        Ok(Some(what)) => Err(format!("{} gave a wrong answer for {what} on a known pattern", device.name())),
        Err(error) => Err(error.to_string()),
    }
}

/// What the device gets wrong, if anything.
#[cfg(feature = "gpu")]
fn probe(device: &dyn Device) -> Result<Option<&'static str>> {
    // Odd sizes, so that padding is exercised; values from a full-period congruence.
    let mut state = 12345u32;
    let x = Array2::from_shape_fn((149, 37), |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1u32 << 23) as f32 - 1.0
    });
    let (rows, others) = (x.slice(s![..140, ..]), x.slice(s![140.., ..]));
    let none = others.slice(s![..0, ..]);
    for tile in [Tile::Product, Tile::SqDistance] {
        let (here, there) = (Cpu.reduce(rows, others, tile)?, device.reduce(rows, others, tile)?);
        let same = here.argmin == there.argmin
            && here.argmax == there.argmax
            && near(&here.min, &there.min)
            && near(&here.max, &there.max)
            && near(&here.sum, &there.sum);
        if !same {
            return Ok(Some("reductions over pairs of rows"));
        }
    }
    let rules: [(&str, &dyn Fn(&dyn Device) -> Result<Picks>); 4] = [
        ("max_dist", &|device| device.max_dist(rows, none, 6)),
        ("lcmd", &|device| device.lcmd(rows, others, 6)),
        ("max_det", &|device| device.max_det(rows, none, 0.1, 6)),
        ("bait", &|device| device.bait(rows, others, 0.5, 4, false)),
    ];
    for (what, rule) in rules {
        let (here, there) = (rule(&Cpu)?, rule(device)?);
        let (rows_here, scores_here): (Vec<_>, Vec<_>) = here.into_iter().unzip();
        let (rows_there, scores_there): (Vec<_>, Vec<_>) = there.into_iter().unzip();
        if rows_here != rows_there || !near(&scores_here, &scores_there) {
            return Ok(Some(what));
        }
    }
    Ok(None)
}

#[cfg(feature = "gpu")]
fn near(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-4 * (1.0 + a.abs()))
}
