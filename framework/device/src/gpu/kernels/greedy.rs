//! Greedy selection: a step, or a start, of each rule.

use super::common::*;
use cubecl::prelude::*;

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
