//! The kernels. Every cube has 256 units. Rows lie on the device feature by feature (`d_pad x n_pad`, four rows to
//! a vector), so that neighbouring units read neighbouring memory; padding is zero. A cube of a greedy kernel owns
//! 128 rows: 32 lanes of four rows, times 8 slices of the features that are added in a fixed order.
//!
//! Best rows travel between launches as one (score, row) per cube; every cube of the next launch reduces them for
//! itself, so that a pick costs no launch and no transfer of its own. `flip` tells which half of the winners is
//! read; the other half is written.

use cubecl::prelude::*;

/// Units of a cube.
pub const UNITS: usize = 256;
/// Rows of a cube.
pub const ROWS: usize = 128;
/// A score below every score.
pub const NOTHING: f32 = -3.0e38;
/// Above every value.
const HUGE: f32 = 3.0e38;
/// Room for what 16 units hold of a row; one more, so that neighbouring rows lie in different banks.
const ACROSS: usize = 17;
/// No row, no owner.
pub const NONE: u32 = u32::MAX;
/// Features of the pivot held in shared memory at once.
const CHUNK: usize = 1024;
const HALF: usize = UNITS / 2;

/// Four rows.
pub type Four = Vector<f32, Const<4>>;

/// One of the four, by a number known only when the kernel runs.
#[cube]
fn component(four: Four, at: usize) -> f32 {
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
fn best_of_cube(score: &mut SharedMemory<f32>, row: &mut SharedMemory<u32>) {
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
fn best_of_winners(
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
fn publish(
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
fn along_pivot(
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
fn store_part(part: &mut SharedMemory<f32>, sum: Four) {
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
fn total(part: &SharedMemory<f32>, row: usize) -> f32 {
    ((part[row] + part[ROWS + row]) + (part[2 * ROWS + row] + part[3 * ROWS + row]))
        + ((part[4 * ROWS + row] + part[5 * ROWS + row]) + (part[6 * ROWS + row] + part[7 * ROWS + row]))
}

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

/// Each cube's best of the first `n` scores. Grid: n_pad / 128.
#[cube(launch_unchecked)]
pub fn winners(scores: &Array<f32>, win_score: &mut Array<f32>, win_row: &mut Array<u32>, n: u32, flip: u32) {
    let mut score = SharedMemory::<f32>::new(UNITS);
    let mut row = SharedMemory::<u32>::new(UNITS);
    let unit = UNIT_POS as usize;
    let at = CUBE_POS_X as usize * ROWS + unit;
    let mut mine = NOTHING.runtime();
    if unit < ROWS && at < n as usize {
        mine = scores[at];
    }
    let to = (1 - flip as usize) * CUBE_COUNT_X as usize;
    publish(win_score, win_row, to, &mut score, &mut row, mine, at);
}

/// One pick of farthest-first: the best of the winners becomes pick `step`, every row's distance is lowered to it,
/// and the next winners are found. `fresh`: there was no centre before. Grid: n_pad / 128.
#[cube(launch_unchecked)]
pub fn max_dist_step(
    x: &Array<Four>,
    near: &mut Array<f32>,
    win_score: &mut Array<f32>,
    win_row: &mut Array<u32>,
    picks: &mut Array<u32>,
    scores: &mut Array<f32>,
    n: u32,
    n4: u32,
    step: u32,
    flip: u32,
    #[comptime] d: usize,
    #[comptime] fresh: bool,
) {
    let mut score = SharedMemory::<f32>::new(UNITS);
    let mut row = SharedMemory::<u32>::new(UNITS);
    let mut target = SharedMemory::<f32>::new(CHUNK);
    let mut part = SharedMemory::<f32>::new(8 * ROWS);
    let unit = UNIT_POS as usize;
    let cubes = CUBE_COUNT_X as usize;
    best_of_winners(win_score, win_row, flip as usize * cubes, cubes, &mut score, &mut row);
    let best = score[0];
    let mut pivot = row[0] as usize;
    let go = if fresh { best >= 0.0 } else { best > 0.0 };
    if CUBE_POS_X == 0 && unit == 0 {
        picks[step as usize] = if go { row[0] } else { NONE.runtime() };
        scores[step as usize] = best;
    }
    if !go {
        // All distances are 0 and stay so; any row will do.
        pivot = 0;
    }
    along_pivot(x, pivot, n4 as usize, &mut target, &mut part, d, true);
    let at = CUBE_POS_X as usize * ROWS + unit;
    let mut mine = NOTHING.runtime();
    if unit < ROWS && at < n as usize {
        mine = total(&part, unit);
        if !fresh {
            let old = near[at];
            if old < mine {
                mine = old;
            }
        }
        near[at] = mine;
    }
    publish(win_score, win_row, (1 - flip as usize) * cubes, &mut score, &mut row, mine, at);
}

/// A squared distance as three limbs of 11 bits, of which sums are exact in any order. `t` is at most 2^33.
#[cube]
fn limbs(t: f32) -> (u32, u32, u32) {
    let high = u32::cast_from(t * 2.384_185_8e-7f32);
    let rest = t - f32::cast_from(high) * 4194304.0f32;
    let middle = u32::cast_from(rest * 4.8828125e-4f32);
    let mut low = u32::cast_from(rest - f32::cast_from(middle) * 2048.0f32);
    // What is above 0 stays above 0.
    if t > 0.0 && high + middle + low == 0 {
        low = 1u32.runtime();
    }
    (high, middle, low)
}

/// Every row's squared distance joins the sum of its owner; the winners' best sets the scale. Grid: n_pad / 128.
#[cube(launch_unchecked)]
pub fn lcmd_start(
    near: &Array<f32>,
    owner: &Array<u32>,
    sums: &mut Array<Atomic<u32>>,
    scale: &mut Array<f32>,
    win_score: &Array<f32>,
    win_row: &Array<u32>,
    n: u32,
    flip: u32,
    clusters: u32,
) {
    let mut score = SharedMemory::<f32>::new(UNITS);
    let mut row = SharedMemory::<u32>::new(UNITS);
    let unit = UNIT_POS as usize;
    let cubes = CUBE_COUNT_X as usize;
    let clusters = clusters as usize;
    best_of_winners(win_score, win_row, flip as usize * cubes, cubes, &mut score, &mut row);
    let mut top = score[0];
    if top < 1.0e-25f32 {
        top = 1.0e-25f32.runtime();
    }
    let to_fixed = 8589934592.0f32 / top;
    if CUBE_POS_X == 0 && unit == 0 {
        scale[0] = to_fixed;
    }
    sync_cube();
    let at = CUBE_POS_X as usize * ROWS + unit;
    let mut mine = NONE.runtime();
    if unit < ROWS && at < n as usize {
        mine = owner[at];
        score[unit] = near[at] * to_fixed;
    }
    row[unit] = mine;
    sync_cube();
    if mine != NONE {
        let (mut high, mut middle, mut low) = (0u32.runtime(), 0u32.runtime(), 0u32.runtime());
        let mut leads = true.runtime();
        for other in 0..ROWS {
            if row[other] == mine {
                if other < unit {
                    leads = false;
                }
                let (h, m, l) = limbs(score[other]);
                high += h;
                middle += m;
                low += l;
            }
        }
        if leads {
            sums[mine as usize].fetch_add(high);
            sums[clusters + mine as usize].fetch_add(middle);
            sums[2 * clusters + mine as usize].fetch_add(low);
        }
    }
}

/// The heaviest of the first `used` clusters, then each cube's farthest row in it. Grid: n_pad / 128.
#[cube(launch_unchecked)]
pub fn lcmd_farthest(
    near: &Array<f32>,
    owner: &Array<u32>,
    sums: &Array<u32>,
    win_score: &mut Array<f32>,
    win_row: &mut Array<u32>,
    n: u32,
    flip: u32,
    clusters: u32,
    used: u32,
) {
    let mut score = SharedMemory::<f32>::new(UNITS);
    let mut row = SharedMemory::<u32>::new(UNITS);
    let mut high = SharedMemory::<u32>::new(UNITS);
    let mut low = SharedMemory::<u32>::new(UNITS);
    let unit = UNIT_POS as usize;
    let clusters = clusters as usize;
    let (mut best_high, mut best_low, mut best) = (0u32.runtime(), 0u32.runtime(), NONE.runtime());
    let mut c = unit;
    while c < used as usize {
        let carry = sums[clusters + c] + (sums[2 * clusters + c] >> 11u32);
        let h = sums[c] + (carry >> 11u32);
        let l = ((carry & 2047u32) << 11u32) | (sums[2 * clusters + c] & 2047u32);
        if h > best_high || (h == best_high && l > best_low) {
            best_high = h;
            best_low = l;
            best = c as u32;
        }
        c += UNITS;
    }
    high[unit] = best_high;
    low[unit] = best_low;
    row[unit] = best;
    sync_cube();
    let mut half = HALF.runtime();
    while half > 0 {
        if unit < half {
            let (h, l, i) = (high[unit + half], low[unit + half], row[unit + half]);
            let more = h > high[unit] || (h == high[unit] && (l > low[unit] || (l == low[unit] && i < row[unit])));
            if more {
                high[unit] = h;
                low[unit] = l;
                row[unit] = i;
            }
        }
        sync_cube();
        half /= 2;
    }
    let heaviest = row[0];
    let at = CUBE_POS_X as usize * ROWS + unit;
    let mut mine = NOTHING.runtime();
    // Nested, because both sides of && may be evaluated.
    #[allow(clippy::collapsible_if)]
    if unit < ROWS && at < n as usize {
        if heaviest != NONE && owner[at] == heaviest {
            mine = near[at];
        }
    }
    let to = (1 - flip as usize) * CUBE_COUNT_X as usize;
    publish(win_score, win_row, to, &mut score, &mut row, mine, at);
}

/// One pick of lcmd: the best of the winners becomes pick `step` and centre `centre`; the rows that are strictly
/// nearer to it change owner, and the sums follow exactly. Grid: n_pad / 128.
#[cube(launch_unchecked)]
pub fn lcmd_step(
    x: &Array<Four>,
    near: &mut Array<f32>,
    owner: &mut Array<u32>,
    sums: &mut Array<Atomic<u32>>,
    scale: &Array<f32>,
    win_score: &Array<f32>,
    win_row: &Array<u32>,
    picks: &mut Array<u32>,
    scores: &mut Array<f32>,
    n: u32,
    n4: u32,
    step: u32,
    flip: u32,
    clusters: u32,
    centre: u32,
    #[comptime] d: usize,
) {
    let mut score = SharedMemory::<f32>::new(UNITS);
    let mut row = SharedMemory::<u32>::new(UNITS);
    let mut target = SharedMemory::<f32>::new(CHUNK);
    let mut part = SharedMemory::<f32>::new(8 * ROWS);
    let unit = UNIT_POS as usize;
    let cubes = CUBE_COUNT_X as usize;
    let clusters = clusters as usize;
    best_of_winners(win_score, win_row, flip as usize * cubes, cubes, &mut score, &mut row);
    let best = score[0];
    let mut pivot = row[0] as usize;
    let go = best > 0.0;
    if CUBE_POS_X == 0 && unit == 0 {
        picks[step as usize] = if go { row[0] } else { NONE.runtime() };
        scores[step as usize] = best;
    }
    if !go {
        pivot = 0;
    }
    along_pivot(x, pivot, n4 as usize, &mut target, &mut part, d, true);
    let at = CUBE_POS_X as usize * ROWS + unit;
    let mut left = NONE.runtime();
    if unit < ROWS && at < n as usize {
        let new = total(&part, unit);
        let old = near[at];
        if go && new < old {
            left = owner[at];
            near[at] = new;
            owner[at] = centre;
            score[unit] = old * scale[0];
            target[unit] = new * scale[0];
        }
    }
    row[unit] = left;
    sync_cube();
    if left != NONE {
        let (mut high, mut middle, mut low) = (0u32.runtime(), 0u32.runtime(), 0u32.runtime());
        let (mut to_high, mut to_middle, mut to_low) = (0u32.runtime(), 0u32.runtime(), 0u32.runtime());
        let mut leads = true.runtime();
        let mut first = true.runtime();
        for other in 0..ROWS {
            if row[other] != NONE {
                if other < unit {
                    first = false;
                }
                if first {
                    let (h, m, l) = limbs(target[other]);
                    to_high += h;
                    to_middle += m;
                    to_low += l;
                }
                if row[other] == left {
                    if other < unit {
                        leads = false;
                    }
                    let (h, m, l) = limbs(score[other]);
                    high += h;
                    middle += m;
                    low += l;
                }
            }
        }
        if leads {
            sums[left as usize].fetch_sub(high);
            sums[clusters + left as usize].fetch_sub(middle);
            sums[2 * clusters + left as usize].fetch_sub(low);
        }
        if first {
            sums[centre as usize].fetch_add(to_high);
            sums[clusters + centre as usize].fetch_add(to_middle);
            sums[2 * clusters + centre as usize].fetch_add(to_low);
        }
    }
}

/// One step of the pivoted Cholesky: column `step` of the factor (`steps x n_pad`) and the variances after it. The
/// pivot is row `forced`, or when that is none the best of the winners, which becomes pick `step - before`.
/// Variances are read from the half `flip` and written to the other. Grid: n_pad / 128.
#[cube(launch_unchecked)]
pub fn max_det_step(
    x: &Array<Four>,
    factor: &mut Array<Four>,
    variance: &mut Array<f32>,
    win_score: &mut Array<f32>,
    win_row: &mut Array<u32>,
    picks: &mut Array<u32>,
    scores: &mut Array<f32>,
    n: u32,
    n4: u32,
    step: u32,
    before: u32,
    forced: u32,
    flip: u32,
    #[comptime] d: usize,
) {
    let mut score = SharedMemory::<f32>::new(UNITS);
    let mut row = SharedMemory::<u32>::new(UNITS);
    let mut target = SharedMemory::<f32>::new(CHUNK);
    let mut part = SharedMemory::<f32>::new(8 * ROWS);
    let unit = UNIT_POS as usize;
    let cubes = CUBE_COUNT_X as usize;
    let (n4, step) = (n4 as usize, step as usize);
    let here = flip as usize * n4 * 4;
    let there = (1 - flip as usize) * n4 * 4;
    best_of_winners(win_score, win_row, flip as usize * cubes, cubes, &mut score, &mut row);
    let mut of_pivot = score[0];
    let mut pivot = row[0];
    if forced != NONE {
        pivot = forced;
        of_pivot = variance[here + forced as usize];
    }
    let go = of_pivot > 0.0;
    if CUBE_POS_X == 0 && unit == 0 && forced == NONE {
        picks[step - before as usize] = if go { pivot } else { NONE.runtime() };
        scores[step - before as usize] = of_pivot;
    }
    let mut root = 0.0f32.runtime();
    if go {
        root = 1.0f32 / f32::sqrt(of_pivot);
    } else {
        pivot = 0u32.runtime();
    }
    let pivot = pivot as usize;
    along_pivot(x, pivot, n4, &mut target, &mut part, d, false);
    let mut value = 0.0f32.runtime();
    if unit < ROWS {
        value = total(&part, unit);
    }

    // What the columns so far explain of it. Columns not made yet are zero.
    let column = CUBE_POS_X as usize * 32 + unit % 32;
    let mut sum = Four::new(0.0);
    let mut base = 0usize.runtime();
    while base < step {
        sync_cube();
        let mut k = unit;
        while k < CHUNK {
            let mut l = 0.0f32.runtime();
            if base + k < step {
                l = component(factor[(base + k) * n4 + pivot / 4], pivot % 4);
            }
            target[k] = l;
            k += UNITS;
        }
        sync_cube();
        let mut width = step - base;
        if width > CHUNK {
            width = CHUNK.runtime();
        }
        let mut k = unit / 32;
        while k < width {
            let l = (base + k) * n4 + column;
            let a = factor[l];
            let b = factor[l + 8 * n4];
            let c = factor[l + 16 * n4];
            let e = factor[l + 24 * n4];
            sum += a * Four::new(target[k]);
            sum += b * Four::new(target[k + 8]);
            sum += c * Four::new(target[k + 16]);
            sum += e * Four::new(target[k + 24]);
            k += 32;
        }
        base += CHUNK;
    }
    store_part(&mut part, sum);
    let at = CUBE_POS_X as usize * ROWS + unit;
    let mut mine = NOTHING.runtime();
    if unit < ROWS {
        let l = (value - total(&part, unit)) * root;
        let old = variance[here + at];
        let mut new = old - l * l;
        if go && at == pivot {
            new = NOTHING.runtime();
        }
        if old == NOTHING {
            new = old;
        }
        variance[there + at] = new;
        if at < n as usize {
            mine = new;
        }
        target[unit] = l;
    }
    sync_cube();
    if unit < 32 {
        let mut l = Four::new(0.0);
        l[0] = target[4 * unit];
        l[1] = target[4 * unit + 1];
        l[2] = target[4 * unit + 2];
        l[3] = target[4 * unit + 3];
        factor[step * n4 + column] = l;
    }
    publish(win_score, win_row, (1 - flip as usize) * cubes, &mut score, &mut row, mine, at);
}

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

/// Reads everything once; the sums keep the reads alive. For the memory ceiling.
#[cube(launch_unchecked)]
pub fn read_all(x: &Array<Four>, out: &mut Array<Four>, len4: u32) {
    let stride = CUBE_COUNT_X as usize * UNITS;
    let unit = CUBE_POS_X as usize * UNITS + UNIT_POS as usize;
    let len = len4 as usize;
    let mut sum = Four::new(0.0);
    let mut i = unit;
    // The length is a multiple of 4 strides.
    while i < len {
        let a = x[i];
        let b = x[i + stride];
        let c = x[i + 2 * stride];
        let e = x[i + 3 * stride];
        sum += (a + b) + (c + e);
        i += 4 * stride;
    }
    out[unit] = sum;
}

/// Copies everything once. For the memory ceiling.
#[cube(launch_unchecked)]
pub fn copy_all(x: &Array<Four>, out: &mut Array<Four>, len4: u32) {
    let stride = CUBE_COUNT_X as usize * UNITS;
    let mut i = CUBE_POS_X as usize * UNITS + UNIT_POS as usize;
    while i < len4 as usize {
        out[i] = x[i];
        i += stride;
    }
}

/// 64 independent multiply-adds (or subtract, multiply, add) a unit and round. For the arithmetic ceiling.
#[cube(launch_unchecked)]
pub fn arithmetic(x: &Array<f32>, out: &mut Array<f32>, rounds: u32, #[comptime] squares: bool) {
    let unit = CUBE_POS_X as usize * UNITS + UNIT_POS as usize;
    let (a, mut b) = (x[0], x[1]);
    let mut sums = Array::<f32>::new(64usize);
    #[unroll]
    for i in 0..64usize {
        sums[i] = x[2] + f32::cast_from(UNIT_POS);
    }
    for _ in 0..rounds as usize {
        #[unroll]
        for i in 0..64usize {
            if squares {
                let difference = sums[i] - b;
                sums[i] = difference * difference + a;
            } else {
                sums[i] = sums[i] * b + a;
            }
        }
        b += a;
    }
    let mut sum = 0.0f32.runtime();
    #[unroll]
    for i in 0..64usize {
        sum += sums[i];
    }
    out[unit] = sum;
}
