//! Rows as they lie on the device.

use super::common::*;
use cubecl::prelude::*;

/// Row-major `n x d` to feature by feature with padding. Grid: n_pad / 32, d_pad / 32.
#[cube(launch_unchecked)]
pub fn transpose(rows: &Array<f32>, out: &mut Array<f32>, n: u32, d: u32, n_pad: u32, first: u32) {
    let (n, d, n_pad) = (n as usize, d as usize, n_pad as usize);
    let mut tile = SharedMemory::<f32>::new(1056usize);
    let lane = UNIT_POS as usize % 32;
    let line = UNIT_POS as usize / 32;
    let row0 = CUBE_POS_X as usize * 32;
    let k0 = CUBE_POS_Y as usize * 32;
    for step in 0..4usize {
        let r = line + 8 * step;
        let mut value = 0.0f32.runtime();
        if row0 + r < n && k0 + lane < d {
            value = rows[(row0 + r) * d + k0 + lane];
        }
        tile[r * 33 + lane] = value;
    }
    sync_cube();
    for step in 0..4usize {
        let k = line + 8 * step;
        if row0 + lane < n {
            out[(k0 + k) * n_pad + first as usize + row0 + lane] = tile[lane * 33 + k];
        }
    }
}

/// Sets every entry.
#[cube(launch_unchecked)]
pub fn fill(out: &mut Array<f32>, value: f32, len: u32) {
    let mut i = CUBE_POS_X as usize * UNITS + UNIT_POS as usize;
    let stride = CUBE_COUNT_X as usize * UNITS;
    while i < len as usize {
        out[i] = value;
        i += stride;
    }
}

/// Squared norms plus a constant. Grid: n_pad / 128.
#[cube(launch_unchecked)]
pub fn norms(x: &Array<Four>, out: &mut Array<f32>, n4: u32, add: f32, #[comptime] d: usize) {
    let mut part = SharedMemory::<f32>::new(8 * ROWS);
    let n4 = n4 as usize;
    let unit = UNIT_POS as usize;
    let column = CUBE_POS_X as usize * 32 + unit % 32;
    let mut sum = Four::new(0.0);
    let mut k = unit / 32;
    while k < d {
        let a = x[k * n4 + column];
        sum += a * a;
        k += 8;
    }
    store_part(&mut part, sum);
    if unit < ROWS {
        out[CUBE_POS_X as usize * ROWS + unit] = total(&part, unit) + add;
    }
}
