//! The inner loops of both passes, on a few numbers at a time.

use super::gelu::Lane;
use crate::nn::fused::{WIDE, add_product, total};
use numerics::Real;
use numerics::wide::madd;

#[inline(always)]
pub(super) fn dot<T: Real, const FMA: bool>(a: &[T], b: &[T]) -> T {
    let mut sum = [T::zero(); WIDE];
    for (a, b) in a.as_chunks::<WIDE>().0.iter().zip(b.as_chunks::<WIDE>().0) {
        for l in 0..WIDE {
            sum[l] = madd::<T, FMA>(a[l], b[l], sum[l]);
        }
    }
    total(sum)
}

/// `to` += s v.
#[inline(always)]
pub(super) fn add<T: Real, const FMA: bool>(to: &mut [T], s: T, v: &[T]) {
    for (to, v) in to.as_chunks_mut::<WIDE>().0.iter_mut().zip(v.as_chunks::<WIDE>().0) {
        for l in 0..WIDE {
            to[l] = madd::<T, FMA>(s, v[l], to[l]);
        }
    }
}

/// Sums become gelu(scale · sum) with its slope; those left out become 0.
#[inline(always)]
pub(super) fn activate<T: Lane, const FMA: bool>(z: &mut [T], slope: &mut [T], scale: T, dropped: &[u32]) {
    // One loop over all: cut into pieces of a register it would not become vector instructions.
    for (z, d) in z.iter_mut().zip(slope.iter_mut()) {
        let (g, s) = T::gelu::<FMA>(*z * scale);
        *z = g;
        *d = s * scale;
    }
    for &at in dropped {
        z[at as usize] = T::zero();
        slope[at as usize] = T::zero();
    }
}

fused! {
    /// [`add_product`] for a whole matrix at once.
    pub(super) fn product<T: Lane>(
        to: &mut [T],
        rows: usize,
        lanes: usize,
        s: &[T],
        s_row: usize,
        s_term: usize,
        v: &[T],
        terms: usize,
    ) = add_product
}

pub(super) fn transpose<T: Real>(from: &[T], n: usize, to: &mut Vec<T>) {
    to.resize(n * n, T::zero());
    for (i, row) in from.chunks_exact(n).enumerate() {
        row.iter().enumerate().for_each(|(j, v)| to[j * n + i] = *v);
    }
}
