//! BAIT, and sums over ranges of rows.

use super::common::*;
use cubecl::prelude::*;

/// Partial sums of X'X (`d x d`) over a range of rows: out is `ranges x d x d`. Grid: d / 32, d / 32, ranges.
#[cube(launch_unchecked)]
pub fn scatter(x: &Array<Four>, out: &mut Array<f32>, n4: u32, range4: u32, #[comptime] d: usize) {
    let mut a = SharedMemory::<Four>::new(288usize);
    let mut b = SharedMemory::<Four>::new(288usize);
    let n4 = n4 as usize;
    let unit = UNIT_POS as usize;
    let (i, j) = (unit / 32, unit % 32);
    let first = CUBE_POS_Z as usize * range4 as usize;
    let mut last = first + range4 as usize;
    if last > n4 {
        last = n4;
    }
    let i0 = CUBE_POS_Y as usize * 32;
    let j0 = CUBE_POS_X as usize * 32;
    let mut sums = Array::<Four>::new(4usize);
    #[unroll]
    for s in 0..4usize {
        sums[s] = Four::new(0.0);
    }
    let mut at = first;
    while at < last {
        sync_cube();
        // 32 features times 8 vectors of four rows.
        let (line, lane) = (unit / 8, unit % 8);
        let mut va = Four::new(0.0);
        let mut vb = Four::new(0.0);
        if at + lane < last {
            va = x[(i0 + line) * n4 + at + lane];
            vb = x[(j0 + line) * n4 + at + lane];
        }
        a[line * 9 + lane] = va;
        b[line * 9 + lane] = vb;
        sync_cube();
        for k in 0..8usize {
            #[unroll]
            for s in 0..4usize {
                sums[s] += a[(i + 8 * s) * 9 + k] * b[j * 9 + k];
            }
        }
        at += 8;
    }
    #[unroll]
    for s in 0..4usize {
        let v = sums[s];
        out[(CUBE_POS_Z as usize * d + i0 + i + 8 * s) * d + j0 + j] = (v[0] + v[1]) + (v[2] + v[3]);
    }
}

/// Adds the ranges of `scatter`. Grid: d x d / 256.
#[cube(launch_unchecked)]
pub fn add_ranges(parts: &Array<f32>, out: &mut Array<f32>, ranges: u32, len: u32) {
    let at = CUBE_POS_X as usize * UNITS + UNIT_POS as usize;
    let len = len as usize;
    if at < len {
        let mut sum = 0.0f32.runtime();
        for r in 0..ranges as usize {
            sum += parts[r * len + at];
        }
        out[at] = sum;
    }
}

/// x'Sx of every row, S symmetric (`d x d`). A unit forms Sx for four rows and four features at a time.
/// Grid: n_pad / 128.
#[cube(launch_unchecked)]
pub fn quadratic(x: &Array<Four>, s: &Array<f32>, out: &mut Array<f32>, n4: u32, #[comptime] d: usize) {
    let mut part = SharedMemory::<f32>::new(8 * ROWS);
    let n4 = n4 as usize;
    let unit = UNIT_POS as usize;
    let column = CUBE_POS_X as usize * 32 + unit % 32;
    let mut sum = Four::new(0.0);
    let mut j = unit / 32;
    while j < d {
        let mut a = Four::new(0.0);
        let mut b = Four::new(0.0);
        let mut c = Four::new(0.0);
        let mut e = Four::new(0.0);
        for i in 0..d {
            let v = x[i * n4 + column];
            a += v * Four::new(s[i * d + j]);
            b += v * Four::new(s[i * d + j + 8]);
            c += v * Four::new(s[i * d + j + 16]);
            e += v * Four::new(s[i * d + j + 24]);
        }
        sum += a * x[j * n4 + column];
        sum += b * x[(j + 8) * n4 + column];
        sum += c * x[(j + 16) * n4 + column];
        sum += e * x[(j + 24) * n4 + column];
        j += 32;
    }
    store_part(&mut part, sum);
    if unit < ROWS {
        out[CUBE_POS_X as usize * ROWS + unit] = total(&part, unit);
    }
}

/// The identity (`d x d`). Grid: d x d / 256.
#[cube(launch_unchecked)]
pub fn identity(out: &mut Array<f32>, d: u32) {
    let at = CUBE_POS_X as usize * UNITS + UNIT_POS as usize;
    let d = d as usize;
    if at < d * d {
        out[at] = if at / d == at % d { 1.0f32.runtime() } else { 0.0f32.runtime() };
    }
}

/// Names the pivot as in `max_det_step` (`picks[total + 0]` keeps it) and forms u = P x, v = S x for it; both are 0
/// when there is none. Grid: d / 32.
#[cube(launch_unchecked)]
pub fn bait_direction(
    x: &Array<Four>,
    p: &Array<f32>,
    s: &Array<f32>,
    u: &mut Array<f32>,
    v: &mut Array<f32>,
    win_score: &Array<f32>,
    win_row: &Array<u32>,
    picks: &mut Array<u32>,
    scores: &mut Array<f32>,
    n4: u32,
    step: u32,
    before: u32,
    forced: u32,
    flip: u32,
    cubes: u32,
    total_picks: u32,
    #[comptime] d: usize,
) {
    let mut score = SharedMemory::<f32>::new(UNITS);
    let mut row = SharedMemory::<u32>::new(UNITS);
    let mut target = SharedMemory::<f32>::new(CHUNK);
    let n4 = n4 as usize;
    let unit = UNIT_POS as usize;
    let cubes = cubes as usize;
    best_of_winners(win_score, win_row, flip as usize * cubes, cubes, &mut score, &mut row);
    let best = score[0];
    let mut pivot = row[0];
    let mut go = best > 0.0;
    if forced != NONE {
        pivot = forced;
        go = true;
    }
    if CUBE_POS_X == 0 && unit == 0 {
        let named = if go { pivot } else { NONE.runtime() };
        picks[total_picks as usize] = named;
        if forced == NONE {
            picks[step as usize - before as usize] = named;
            scores[step as usize - before as usize] = best;
        }
    }
    if !go {
        pivot = 0u32.runtime();
    }
    let at = CUBE_POS_X as usize * 32 + unit % 32;
    let (mut su, mut sv) = (0.0f32.runtime(), 0.0f32.runtime());
    for chunk in 0..comptime!(d.div_ceil(CHUNK)) {
        let base = chunk * CHUNK;
        let mut width = CHUNK.runtime();
        if base + CHUNK > d {
            width = d - base;
        }
        sync_cube();
        let mut k = unit;
        while k < width {
            target[k] = component(x[(base + k) * n4 + pivot as usize / 4], pivot as usize % 4);
            k += UNITS;
        }
        sync_cube();
        let mut k = unit / 32;
        while k < width {
            su += p[(base + k) * d + at] * target[k];
            sv += s[(base + k) * d + at] * target[k];
            k += 8;
        }
    }
    sync_cube();
    score[unit] = su;
    target[unit] = sv;
    sync_cube();
    if unit < 32 {
        su = 0.0f32.runtime();
        sv = 0.0f32.runtime();
        for slice in 0..8usize {
            su += score[slice * 32 + unit];
            sv += target[slice * 32 + unit];
        }
        if !go {
            su = 0.0f32.runtime();
            sv = 0.0f32.runtime();
        }
        u[at] = su;
        v[at] = sv;
    }
}

/// P and S after conditioning on the pivot, and 1 / d_x and q for the rows. Grid: d.
#[cube(launch_unchecked)]
pub fn bait_update(
    x: &Array<Four>,
    p: &mut Array<f32>,
    s: &mut Array<f32>,
    u: &Array<f32>,
    v: &Array<f32>,
    picks: &Array<u32>,
    of_pivot: &mut Array<f32>,
    n4: u32,
    total_picks: u32,
    sigma2: f32,
    #[comptime] d: usize,
) {
    let mut first = SharedMemory::<f32>::new(UNITS);
    let mut second = SharedMemory::<f32>::new(UNITS);
    let unit = UNIT_POS as usize;
    let mut pivot = picks[total_picks as usize];
    if pivot == NONE {
        pivot = 0u32.runtime();
    }
    let (mut ux, mut vx) = (0.0f32.runtime(), 0.0f32.runtime());
    let mut k = unit;
    while k < d {
        let t = component(x[k * n4 as usize + pivot as usize / 4], pivot as usize % 4);
        ux += u[k] * t;
        vx += v[k] * t;
        k += UNITS;
    }
    first[unit] = ux;
    second[unit] = vx;
    sync_cube();
    let mut half = HALF.runtime();
    while half > 0 {
        if unit < half {
            first[unit] += first[unit + half];
            second[unit] += second[unit + half];
        }
        sync_cube();
        half /= 2;
    }
    let denominator = first[0] + sigma2;
    let q = second[0];
    let mut inverse = 0.0f32.runtime();
    if denominator > 0.0 {
        inverse = 1.0f32 / denominator;
    }
    if CUBE_POS_X == 0 && unit == 0 {
        of_pivot[0] = inverse;
        of_pivot[1] = q;
    }
    let i = CUBE_POS_X as usize;
    let (ui, vi) = (u[i] * inverse, v[i] * inverse);
    let mut j = unit;
    while j < d {
        p[i * d + j] -= ui * u[j];
        s[i * d + j] += ui * (q * u[j] * inverse - v[j]) - vi * u[j];
        j += UNITS;
    }
}

/// D and N of every row after conditioning on the pivot, and the winners of N / (D + sigma2 + 1e-8) among the first
/// `n`. A row that is taken has N = NOTHING. Grid: n_pad / 128.
#[cube(launch_unchecked)]
pub fn bait_rows(
    x: &Array<Four>,
    u: &Array<f32>,
    v: &Array<f32>,
    of_pivot: &Array<f32>,
    variance: &mut Array<f32>,
    weight: &mut Array<f32>,
    picks: &Array<u32>,
    win_score: &mut Array<f32>,
    win_row: &mut Array<u32>,
    n: u32,
    n4: u32,
    flip: u32,
    total_picks: u32,
    sigma2: f32,
    #[comptime] d: usize,
) {
    let mut score = SharedMemory::<f32>::new(UNITS);
    let mut row = SharedMemory::<u32>::new(UNITS);
    let mut target = SharedMemory::<f32>::new(CHUNK);
    let mut second = SharedMemory::<f32>::new(CHUNK);
    let mut part = SharedMemory::<f32>::new(8 * ROWS);
    let n4 = n4 as usize;
    let unit = UNIT_POS as usize;
    let column = CUBE_POS_X as usize * 32 + unit % 32;
    let mut g = Four::new(0.0);
    let mut h = Four::new(0.0);
    for chunk in 0..comptime!(d.div_ceil(CHUNK)) {
        let base = chunk * CHUNK;
        let mut width = CHUNK.runtime();
        if base + CHUNK > d {
            width = d - base;
        }
        sync_cube();
        let mut k = unit;
        while k < width {
            target[k] = u[base + k];
            second[k] = v[base + k];
            k += UNITS;
        }
        sync_cube();
        let mut k = unit / 32;
        while k < width {
            let at = (base + k) * n4 + column;
            let a = x[at];
            let b = x[at + 8 * n4];
            let c = x[at + 16 * n4];
            let e = x[at + 24 * n4];
            g += a * Four::new(target[k]);
            g += b * Four::new(target[k + 8]);
            g += c * Four::new(target[k + 16]);
            g += e * Four::new(target[k + 24]);
            h += a * Four::new(second[k]);
            h += b * Four::new(second[k + 8]);
            h += c * Four::new(second[k + 16]);
            h += e * Four::new(second[k + 24]);
            k += 32;
        }
    }
    store_part(&mut part, g);
    let mut along = 0.0f32.runtime();
    if unit < ROWS {
        along = total(&part, unit);
    }
    store_part(&mut part, h);
    let at = CUBE_POS_X as usize * ROWS + unit;
    let mut mine = NOTHING.runtime();
    if unit < ROWS && at < n as usize {
        let share = along * of_pivot[0];
        let left = variance[at] - along * share;
        let mut sum = weight[at];
        if sum != NOTHING {
            sum += share * (share * of_pivot[1] - 2.0 * total(&part, unit));
        }
        if picks[total_picks as usize] == at as u32 {
            sum = NOTHING.runtime();
        }
        variance[at] = left;
        weight[at] = sum;
        if sum != NOTHING {
            mine = sum / (left + sigma2 + 1.0e-8f32);
        }
    }
    let to = (1 - flip as usize) * CUBE_COUNT_X as usize;
    publish(win_score, win_row, to, &mut score, &mut row, mine, at);
}
