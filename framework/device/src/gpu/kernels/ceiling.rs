//! Loads without work, for the ceilings that kernels are measured against.

use super::common::*;
use cubecl::prelude::*;

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
