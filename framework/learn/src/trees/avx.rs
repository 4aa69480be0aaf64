//! Four numbers in one register, written in intrinsics: no compiler turns the gather of records into these loads.

use super::four::{Four, Record};
use std::arch::x86_64::*;

/// Only made in functions that are compiled for, and only called on, processors with AVX2.
#[derive(Clone, Copy)]
pub struct Avx(__m256d);

// SAFETY of all blocks: see `Avx`.
impl Four for Avx {
    #[inline(always)]
    fn splat(v: f64) -> Self {
        Self(unsafe { _mm256_set1_pd(v) })
    }
    #[inline(always)]
    fn array(self) -> [f64; 4] {
        unsafe { std::mem::transmute::<__m256d, [f64; 4]>(self.0) }
    }
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        Self(unsafe { _mm256_add_pd(self.0, b.0) })
    }
    #[inline(always)]
    fn sub(self, b: Self) -> Self {
        Self(unsafe { _mm256_sub_pd(self.0, b.0) })
    }
    #[inline(always)]
    fn mul(self, b: Self) -> Self {
        Self(unsafe { _mm256_mul_pd(self.0, b.0) })
    }
    #[inline(always)]
    fn div(self, b: Self) -> Self {
        Self(unsafe { _mm256_div_pd(self.0, b.0) })
    }
    #[inline(always)]
    fn max(self, b: Self) -> Self {
        Self(unsafe { _mm256_max_pd(self.0, b.0) })
    }
    #[inline(always)]
    unsafe fn gather(records: &[Record], at: [usize; 4]) -> (Self, Self) {
        unsafe {
            // Neither call checks anything, in debug builds too: this is the innermost loop of all.
            let one = |i: usize| _mm_load_pd(records.as_ptr().wrapping_add(i).cast());
            let even = _mm256_insertf128_pd::<1>(_mm256_castpd128_pd256(one(at[0])), one(at[2]));
            let odd = _mm256_insertf128_pd::<1>(_mm256_castpd128_pd256(one(at[1])), one(at[3]));
            (Self(_mm256_unpacklo_pd(even, odd)), Self(_mm256_unpackhi_pd(even, odd)))
        }
    }
}
