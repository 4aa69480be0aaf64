//! Functions of two rows, tile by tile, and sums of them.

use super::common::*;
use cubecl::prelude::*;

/// What `tiles` evaluates.
pub const PRODUCT: u32 = 0;
pub const SQ_DISTANCE: u32 = 1;
pub const RBF: u32 = 2;
pub const MATERN52: u32 = 3;

#[cube]
fn transform(value: f32, inverse: f32, #[comptime] kind: u32) -> f32 {
    if comptime!(kind == RBF) {
        f32::exp(-0.5f32 * value * inverse)
    } else if comptime!(kind == MATERN52) {
        let q = f32::sqrt(5.0f32 * value * inverse);
        (1.0f32 + q + q * q * 0.333_333_34f32) * f32::exp(-q)
    } else {
        value
    }
}

/// Per row of a: minimum and maximum with their places, and the sum, over one range of the rows of b. A cube owns
/// 128 rows and walks over tiles of 128 columns; each unit holds 8 x 8 values in registers.
/// `values` is `3 x ranges x n_pad` (min, max, sum), `places` `2 x ranges x n_pad`. Grid: n_pad / 128, ranges.
#[cube(launch_unchecked)]
pub fn tiles(
    a: &Array<Four>,
    b: &Array<Four>,
    values: &mut Array<f32>,
    places: &mut Array<u32>,
    a4: u32,
    b4: u32,
    n_b: u32,
    tiles_per_range: u32,
    inverse: f32,
    #[comptime] d: usize,
    #[comptime] kind: u32,
) {
    let mut shared_a = SharedMemory::<Four>::new(UNITS);
    let mut shared_b = SharedMemory::<Four>::new(UNITS);
    let mut value = SharedMemory::<f32>::new(ROWS * ACROSS);
    let mut place = SharedMemory::<u32>::new(ROWS * ACROSS);
    let (a4, b4, n_b) = (a4 as usize, b4 as usize, n_b as usize);
    let unit = UNIT_POS as usize;
    let (tx, ty) = (unit % 16, unit / 16);
    let (lane, line) = (unit % 32, unit / 32);
    let row4 = CUBE_POS_X as usize * 32;
    let steps = comptime!(d / 8);

    // Of row `unit`, in the first 128 units.
    let mut low = HUGE.runtime();
    let mut low_at = NONE.runtime();
    let mut high = NOTHING.runtime();
    let mut high_at = NONE.runtime();
    let mut sum = 0.0f32.runtime();

    let first = CUBE_POS_Y as usize * tiles_per_range as usize;
    let mut last = first + tiles_per_range as usize;
    if last > b4 / 32 {
        last = b4 / 32;
    }
    for tile in first..last {
        let mut sums = Array::<Four>::new(16usize);
        #[unroll]
        for i in 0..16usize {
            sums[i] = Four::new(0.0);
        }
        let mut next_a = a[line * a4 + row4 + lane];
        let mut next_b = b[line * b4 + tile * 32 + lane];
        for step in 0..steps {
            sync_cube();
            shared_a[unit] = next_a;
            shared_b[unit] = next_b;
            sync_cube();
            // The next features are fetched while these are worked on; the last fetch is not used.
            let mut ahead = step + 1;
            if ahead == steps {
                ahead = 0usize.runtime();
            }
            next_a = a[(ahead * 8 + line) * a4 + row4 + lane];
            next_b = b[(ahead * 8 + line) * b4 + tile * 32 + lane];
            #[unroll]
            for k in 0..8usize {
                let a0 = shared_a[k * 32 + ty];
                let a1 = shared_a[k * 32 + 16 + ty];
                let b0 = shared_b[k * 32 + tx];
                let b1 = shared_b[k * 32 + 16 + tx];
                #[unroll]
                for i in 0..4usize {
                    let x = Four::new(a0[i]);
                    let y = Four::new(a1[i]);
                    if comptime!(kind == PRODUCT) {
                        sums[2 * i] += x * b0;
                        sums[2 * i + 1] += x * b1;
                        sums[8 + 2 * i] += y * b0;
                        sums[9 + 2 * i] += y * b1;
                    } else {
                        let x0 = x - b0;
                        let x1 = x - b1;
                        let y0 = y - b0;
                        let y1 = y - b1;
                        sums[2 * i] += x0 * x0;
                        sums[2 * i + 1] += x1 * x1;
                        sums[8 + 2 * i] += y0 * y0;
                        sums[9 + 2 * i] += y1 * y1;
                    }
                }
            }
        }
        #[unroll]
        for i in 0..16usize {
            let four = sums[i];
            let mut out = Four::new(0.0);
            #[unroll]
            for c in 0..4usize {
                out[c] = transform(four[c], inverse, kind);
            }
            sums[i] = out;
        }

        // The tile into the state of its rows: each unit folds its 8 columns, then one unit a row folds 16 units.
        let column = tile * 128 + tx * 4;
        #[unroll]
        for i in 0..8usize {
            let (mut v, mut at) = (HUGE.runtime(), NONE.runtime());
            #[unroll]
            for half in 0..2usize {
                let four = sums[2 * i + half];
                #[unroll]
                for c in 0..4usize {
                    let j = column + half * 64 + c;
                    if j < n_b && four[c] < v {
                        v = four[c];
                        at = j as u32;
                    }
                }
            }
            let slot = ((i / 4) * 64 + ty * 4 + i % 4) * ACROSS + tx;
            value[slot] = v;
            place[slot] = at;
        }
        sync_cube();
        if unit < ROWS {
            for t in 0..16usize {
                let v = value[unit * ACROSS + t];
                let at = place[unit * ACROSS + t];
                if v < low || (v == low && at < low_at) {
                    low = v;
                    low_at = at;
                }
            }
        }
        sync_cube();
        #[unroll]
        for i in 0..8usize {
            let (mut v, mut at) = (NOTHING.runtime(), NONE.runtime());
            #[unroll]
            for half in 0..2usize {
                let four = sums[2 * i + half];
                #[unroll]
                for c in 0..4usize {
                    let j = column + half * 64 + c;
                    if j < n_b && four[c] > v {
                        v = four[c];
                        at = j as u32;
                    }
                }
            }
            let slot = ((i / 4) * 64 + ty * 4 + i % 4) * ACROSS + tx;
            value[slot] = v;
            place[slot] = at;
        }
        sync_cube();
        if unit < ROWS {
            for t in 0..16usize {
                let v = value[unit * ACROSS + t];
                let at = place[unit * ACROSS + t];
                if v > high || (v == high && at < high_at) {
                    high = v;
                    high_at = at;
                }
            }
        }
        sync_cube();
        #[unroll]
        for i in 0..8usize {
            let mut v = 0.0f32.runtime();
            #[unroll]
            for half in 0..2usize {
                let four = sums[2 * i + half];
                #[unroll]
                for c in 0..4usize {
                    if column + half * 64 + c < n_b {
                        v += four[c];
                    }
                }
            }
            value[((i / 4) * 64 + ty * 4 + i % 4) * ACROSS + tx] = v;
        }
        sync_cube();
        if unit < ROWS {
            let mut of_tile = 0.0f32.runtime();
            for t in 0..16usize {
                of_tile += value[unit * ACROSS + t];
            }
            sum += of_tile;
        }
        sync_cube();
    }
    if unit < ROWS {
        let plane = CUBE_COUNT_Y as usize * a4 * 4;
        let out = CUBE_POS_Y as usize * a4 * 4 + row4 * 4 + unit;
        values[out] = low;
        values[plane + out] = high;
        values[2 * plane + out] = sum;
        places[out] = low_at;
        places[plane + out] = high_at;
    }
}

/// Values of the tile function of 128 rows of a and 128 rows of b: `block` is `b_pad x a_pad`, so that it can be the
/// left side of a product over the rows of b, and `sums` (`tiles of b x a_pad`) holds each row's sum over the tile.
/// Grid: a_pad / 128, b_pad / 128.
#[cube(launch_unchecked)]
pub fn block_values(
    a: &Array<Four>,
    b: &Array<Four>,
    block: &mut Array<Four>,
    row_sums: &mut Array<f32>,
    a4: u32,
    b4: u32,
    n_b: u32,
    inverse: f32,
    #[comptime] d: usize,
    #[comptime] kind: u32,
) {
    let mut shared_a = SharedMemory::<Four>::new(UNITS);
    let mut shared_b = SharedMemory::<Four>::new(UNITS);
    let mut value = SharedMemory::<f32>::new(ROWS * ACROSS);
    let (a4, b4, n_b) = (a4 as usize, b4 as usize, n_b as usize);
    let unit = UNIT_POS as usize;
    let (tx, ty) = (unit % 16, unit / 16);
    let (lane, line) = (unit % 32, unit / 32);
    let row4 = CUBE_POS_X as usize * 32;
    let column4 = CUBE_POS_Y as usize * 32;
    let steps = comptime!(d / 8);
    let mut sums = Array::<Four>::new(16usize);
    #[unroll]
    for i in 0..16usize {
        sums[i] = Four::new(0.0);
    }
    for step in 0..steps {
        sync_cube();
        shared_a[unit] = a[(step * 8 + line) * a4 + row4 + lane];
        shared_b[unit] = b[(step * 8 + line) * b4 + column4 + lane];
        sync_cube();
        #[unroll]
        for k in 0..8usize {
            let a0 = shared_a[k * 32 + ty];
            let a1 = shared_a[k * 32 + 16 + ty];
            let b0 = shared_b[k * 32 + tx];
            let b1 = shared_b[k * 32 + 16 + tx];
            #[unroll]
            for i in 0..4usize {
                let x = Four::new(a0[i]);
                let y = Four::new(a1[i]);
                if comptime!(kind == PRODUCT) {
                    sums[2 * i] += x * b0;
                    sums[2 * i + 1] += x * b1;
                    sums[8 + 2 * i] += y * b0;
                    sums[9 + 2 * i] += y * b1;
                } else {
                    let x0 = x - b0;
                    let x1 = x - b1;
                    let y0 = y - b0;
                    let y1 = y - b1;
                    sums[2 * i] += x0 * x0;
                    sums[2 * i + 1] += x1 * x1;
                    sums[8 + 2 * i] += y0 * y0;
                    sums[9 + 2 * i] += y1 * y1;
                }
            }
        }
    }
    #[unroll]
    for i in 0..16usize {
        let four = sums[i];
        let mut out = Four::new(0.0);
        #[unroll]
        for c in 0..4usize {
            out[c] = transform(four[c], inverse, kind);
        }
        sums[i] = out;
    }

    let column = CUBE_POS_Y as usize * 128 + tx * 4;
    #[unroll]
    for i in 0..8usize {
        let mut v = 0.0f32.runtime();
        #[unroll]
        for half in 0..2usize {
            let four = sums[2 * i + half];
            #[unroll]
            for c in 0..4usize {
                if column + half * 64 + c < n_b {
                    v += four[c];
                }
            }
        }
        value[((i / 4) * 64 + ty * 4 + i % 4) * ACROSS + tx] = v;
    }
    sync_cube();
    if unit < ROWS {
        let mut of_tile = 0.0f32.runtime();
        for t in 0..16usize {
            of_tile += value[unit * ACROSS + t];
        }
        row_sums[CUBE_POS_Y as usize * a4 * 4 + row4 * 4 + unit] = of_tile;
    }
    // Turned: four rows of a to a vector.
    #[unroll]
    for group in 0..2usize {
        #[unroll]
        for half in 0..2usize {
            let r0 = sums[8 * group + half];
            let r1 = sums[8 * group + 2 + half];
            let r2 = sums[8 * group + 4 + half];
            let r3 = sums[8 * group + 6 + half];
            #[unroll]
            for c in 0..4usize {
                let mut out = Four::new(0.0);
                out[0] = r0[c];
                out[1] = r1[c];
                out[2] = r2[c];
                out[3] = r3[c];
                block[(column + half * 64 + c) * a4 + row4 + group * 16 + ty] = out;
            }
        }
    }
}

/// Of 128 columns of the factors, Σ_a left[a, c] Σ_b block[b, a] right[b, c] over this cube's 128 rows a. `right`
/// (`8 steps x c_pad`) and `left` (`left_rows x c_pad`) are zero where nothing belongs. `out` is `cubes of rows x
/// c_pad`. Grid: a_pad / 128, c_pad / 128.
#[cube(launch_unchecked)]
pub fn block_forms(
    block: &Array<Four>,
    right: &Array<Four>,
    left: &Array<Four>,
    out: &mut Array<f32>,
    a4: u32,
    c4: u32,
    steps: u32,
    left_rows: u32,
) {
    let mut shared_a = SharedMemory::<Four>::new(UNITS);
    let mut shared_b = SharedMemory::<Four>::new(UNITS);
    let mut value = SharedMemory::<f32>::new(ROWS * ACROSS);
    let (a4, c4, left_rows) = (a4 as usize, c4 as usize, left_rows as usize);
    let unit = UNIT_POS as usize;
    let (tx, ty) = (unit % 16, unit / 16);
    let (lane, line) = (unit % 32, unit / 32);
    let row4 = CUBE_POS_X as usize * 32;
    let column4 = CUBE_POS_Y as usize * 32;
    let mut sums = Array::<Four>::new(16usize);
    #[unroll]
    for i in 0..16usize {
        sums[i] = Four::new(0.0);
    }
    for step in 0..steps as usize {
        sync_cube();
        shared_a[unit] = block[(step * 8 + line) * a4 + row4 + lane];
        shared_b[unit] = right[(step * 8 + line) * c4 + column4 + lane];
        sync_cube();
        #[unroll]
        for k in 0..8usize {
            let a0 = shared_a[k * 32 + ty];
            let a1 = shared_a[k * 32 + 16 + ty];
            let b0 = shared_b[k * 32 + tx];
            let b1 = shared_b[k * 32 + 16 + tx];
            #[unroll]
            for i in 0..4usize {
                let x = Four::new(a0[i]);
                let y = Four::new(a1[i]);
                sums[2 * i] += x * b0;
                sums[2 * i + 1] += x * b1;
                sums[8 + 2 * i] += y * b0;
                sums[9 + 2 * i] += y * b1;
            }
        }
    }
    let mut first = Four::new(0.0);
    let mut second = Four::new(0.0);
    #[unroll]
    for i in 0..8usize {
        let row = row4 * 4 + (i / 4) * 64 + ty * 4 + i % 4;
        if row < left_rows {
            first += sums[2 * i] * left[row * c4 + column4 + tx];
            second += sums[2 * i + 1] * left[row * c4 + column4 + 16 + tx];
        }
    }
    #[unroll]
    for c in 0..4usize {
        value[(tx * 4 + c) * ACROSS + ty] = first[c];
        value[(64 + tx * 4 + c) * ACROSS + ty] = second[c];
    }
    sync_cube();
    if unit < ROWS {
        let mut sum = 0.0f32.runtime();
        for t in 0..16usize {
            sum += value[unit * ACROSS + t];
        }
        out[CUBE_POS_X as usize * c4 * 4 + column4 * 4 + unit] = sum;
    }
}

/// One answer a row from those of all ranges. Grid: n_pad / 256 rounded up.
#[cube(launch_unchecked)]
pub fn join_ranges(
    values: &Array<f32>,
    places: &Array<u32>,
    out: &mut Array<f32>,
    out_places: &mut Array<u32>,
    ranges: u32,
    n_pad: u32,
) {
    let at = CUBE_POS_X as usize * UNITS + UNIT_POS as usize;
    let n_pad = n_pad as usize;
    let ranges = ranges as usize;
    if at < n_pad {
        let plane = ranges * n_pad;
        let mut low = values[at];
        let mut low_at = places[at];
        let mut high = values[plane + at];
        let mut high_at = places[plane + at];
        let mut sum = values[2 * plane + at];
        for r in 1..ranges {
            let l = values[r * n_pad + at];
            if l < low {
                low = l;
                low_at = places[r * n_pad + at];
            }
            let h = values[plane + r * n_pad + at];
            if h > high {
                high = h;
                high_at = places[plane + r * n_pad + at];
            }
            sum += values[2 * plane + r * n_pad + at];
        }
        out[at] = low;
        out[n_pad + at] = high;
        out[2 * n_pad + at] = sum;
        out_places[at] = low_at;
        out_places[n_pad + at] = high_at;
    }
}
