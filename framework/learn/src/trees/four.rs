//! Four numbers side by side, with the same bits on every processor.

/// Two numbers of a row, read at once.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(16))]
pub(super) struct Record(pub f64, pub f64);

/// Four numbers; operations act on each.
pub(super) trait Four: Copy {
    fn splat(v: f64) -> Self;
    fn array(self) -> [f64; 4];
    fn add(self, b: Self) -> Self;
    fn sub(self, b: Self) -> Self;
    fn mul(self, b: Self) -> Self;
    fn div(self, b: Self) -> Self;
    fn max(self, b: Self) -> Self;
    /// First and second numbers of four records.
    ///
    /// # Safety
    /// Every place is one of `records`.
    unsafe fn gather(records: &[Record], at: [usize; 4]) -> (Self, Self);
}

impl Four for [f64; 4] {
    fn splat(v: f64) -> Self {
        [v; 4]
    }
    fn array(self) -> [f64; 4] {
        self
    }
    fn add(self, b: Self) -> Self {
        std::array::from_fn(|i| self[i] + b[i])
    }
    fn sub(self, b: Self) -> Self {
        std::array::from_fn(|i| self[i] - b[i])
    }
    fn mul(self, b: Self) -> Self {
        std::array::from_fn(|i| self[i] * b[i])
    }
    fn div(self, b: Self) -> Self {
        std::array::from_fn(|i| self[i] / b[i])
    }
    fn max(self, b: Self) -> Self {
        std::array::from_fn(|i| if self[i] > b[i] { self[i] } else { b[i] })
    }
    unsafe fn gather(records: &[Record], at: [usize; 4]) -> (Self, Self) {
        (at.map(|i| records[i].0), at.map(|i| records[i].1))
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod avx {
    use super::{Four, Record};
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
}
