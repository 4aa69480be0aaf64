//! What kernels share: sizes, reductions over a cube, and products with a pivot.

use cubecl::prelude::*;

/// Units of a cube.
pub const UNITS: usize = 256;
/// Rows of a cube.
pub const ROWS: usize = 128;
/// A score below every score.
pub const NOTHING: f32 = -3.0e38;
/// Above every value.
pub const HUGE: f32 = 3.0e38;
/// Room for what 16 units hold of a row; one more, so that neighbouring rows lie in different banks.
pub const ACROSS: usize = 17;
/// No row, no owner.
pub const NONE: u32 = u32::MAX;
/// Features of the pivot held in shared memory at once.
pub const CHUNK: usize = 1024;
pub const HALF: usize = UNITS / 2;

/// Four rows.
pub type Four = Vector<f32, Const<4>>;

/// One of the four, by a number known only when the kernel runs.
#[cube]
pub fn component(four: Four, at: usize) -> f32 {
    let mut one = four[0];
    if at == 1 {
        one = four[1];
    }
    if at == 2 {
        one = four[2];
    }
    if at == 3 {
        one = four[3];
    }
    one
}

/// Brings the best of all units' (score, row) to entry 0; the lower row wins a tie.
#[cube]
pub fn best_of_cube(score: &mut SharedMemory<f32>, row: &mut SharedMemory<u32>) {
    let unit = UNIT_POS as usize;
    sync_cube();
    let mut half = HALF.runtime();
    while half > 0 {
        if unit < half {
            let (a, b) = (score[unit], score[unit + half]);
            let (i, j) = (row[unit], row[unit + half]);
            if b > a || (b == a && j < i) {
                score[unit] = b;
                row[unit] = j;
            }
        }
        sync_cube();
        half /= 2;
    }
}

/// The best of the previous launch's winners, in entry 0.
#[cube]
pub fn best_of_winners(
    win_score: &Array<f32>,
    win_row: &Array<u32>,
    from: usize,
    cubes: usize,
    score: &mut SharedMemory<f32>,
    row: &mut SharedMemory<u32>,
) {
    let unit = UNIT_POS as usize;
    let mut v = NOTHING.runtime();
    let mut i = NONE.runtime();
    let mut c = unit;
    while c < cubes {
        let w = win_score[from + c];
        let j = win_row[from + c];
        if w > v || (w == v && j < i) {
            v = w;
            i = j;
        }
        c += UNITS;
    }
    score[unit] = v;
    row[unit] = i;
    best_of_cube(score, row);
}

/// This cube's best into the half that the next launch reads.
#[cube]
pub fn publish(
    win_score: &mut Array<f32>,
    win_row: &mut Array<u32>,
    to: usize,
    score: &mut SharedMemory<f32>,
    row: &mut SharedMemory<u32>,
    mine: f32,
    at: usize,
) {
    let unit = UNIT_POS as usize;
    sync_cube();
    score[unit] = mine;
    row[unit] = at as u32;
    best_of_cube(score, row);
    if unit == 0 {
        win_score[to + CUBE_POS_X as usize] = score[0];
        win_row[to + CUBE_POS_X as usize] = row[0];
    }
}

/// The products (or squared distances) of this cube's rows with row `pivot`, as 8 partial sums a row in `part`.
#[cube]
pub fn along_pivot(
    x: &Array<Four>,
    pivot: usize,
    n4: usize,
    target: &mut SharedMemory<f32>,
    part: &mut SharedMemory<f32>,
    #[comptime] d: usize,
    #[comptime] squares: bool,
) {
    let unit = UNIT_POS as usize;
    let lane = unit % 32;
    let slice = unit / 32;
    let column = CUBE_POS_X as usize * 32 + lane;
    let mut sum = Four::new(0.0);
    for chunk in 0..comptime!(d.div_ceil(CHUNK)) {
        let base = chunk * CHUNK;
        let mut width = CHUNK.runtime();
        if base + CHUNK > d {
            width = d - base;
        }
        sync_cube();
        let mut k = unit;
        while k < width {
            target[k] = component(x[(base + k) * n4 + pivot / 4], pivot % 4);
            k += UNITS;
        }
        sync_cube();
        let mut k = slice;
        // d is a multiple of 32: four loads at once keep memory busy.
        while k < width {
            let at = (base + k) * n4 + column;
            let a = x[at];
            let b = x[at + 8 * n4];
            let c = x[at + 16 * n4];
            let e = x[at + 24 * n4];
            if squares {
                let a = a - Four::new(target[k]);
                let b = b - Four::new(target[k + 8]);
                let c = c - Four::new(target[k + 16]);
                let e = e - Four::new(target[k + 24]);
                sum += a * a;
                sum += b * b;
                sum += c * c;
                sum += e * e;
            } else {
                sum += a * Four::new(target[k]);
                sum += b * Four::new(target[k + 8]);
                sum += c * Four::new(target[k + 16]);
                sum += e * Four::new(target[k + 24]);
            }
            k += 32;
        }
    }
    store_part(part, sum);
}

/// Partial sums of four rows into `part`, and all partial sums visible.
#[cube]
pub fn store_part(part: &mut SharedMemory<f32>, sum: Four) {
    let at = UNIT_POS as usize / 32 * ROWS + UNIT_POS as usize % 32 * 4;
    sync_cube();
    part[at] = sum[0];
    part[at + 1] = sum[1];
    part[at + 2] = sum[2];
    part[at + 3] = sum[3];
    sync_cube();
}

/// The 8 partial sums of a row, always in the same order.
#[cube]
pub fn total(part: &SharedMemory<f32>, row: usize) -> f32 {
    ((part[row] + part[ROWS + row]) + (part[2 * ROWS + row] + part[3 * ROWS + row]))
        + ((part[4 * ROWS + row] + part[5 * ROWS + row]) + (part[6 * ROWS + row] + part[7 * ROWS + row]))
}
