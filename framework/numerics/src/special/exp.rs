//! The exponential of a slice, the inner loop of every radial kernel.

#[cfg(target_arch = "x86_64")]
use crate::wide::has_avx2_and_fma;
use crate::wide::madd;

/// Replaces each value by its exponential. Four at a time where the processor has AVX2 and FMA (relative
/// error below 1e-15, several times the speed of one at a time), otherwise by the standard library; the
/// value of an element does not depend on its place in the slice.
pub fn exp_slice(x: &mut [f64]) {
    #[cfg(target_arch = "x86_64")]
    if has_avx2_and_fma() {
        // SAFETY: the two features that the function is compiled for were just found.
        return unsafe { avx2::exp_slice(x) };
    }
    x.iter_mut().for_each(|v| *v = v.exp());
}

wide! {
    /// [`exp_slice`] in single precision: relative error below 2e-7, the same bits on every processor. Results below
    /// 1.7e-38 are 0.
    pub fn exp_slice_f32(x: &mut [f32]) {
        for v in x {
            let y = exp_f32::<false>(v.clamp(LOW, HIGH));
            let y = if *v < LOW { 0.0 } else { y };
            *v = if *v > HIGH { f32::INFINITY } else { y };
        }
    }
}

/// Where e^x is a normal number in single precision.
const LOW: f32 = -87.0;
const HIGH: f32 = 88.0;

/// r and 2ᵏ of x = r + k ln 2, k a whole number and |r| <= ln 2 / 2, for x from -87 to 88.
#[inline(always)]
fn reduce_f32<const FMA: bool>(x: f32) -> (f32, f32) {
    const MAGIC: f32 = 12_582_912.0;
    let shifted = madd::<f32, FMA>(x, std::f32::consts::LOG2_E, MAGIC);
    let k = shifted - MAGIC;
    let r = madd::<f32, FMA>(k, 2.121_944_4e-4, madd::<f32, FMA>(k, -0.693_359_4, x));
    // The low bits of `shifted` hold k; two's complement keeps negative ones right.
    (r, f32::from_bits(shifted.to_bits().wrapping_sub(MAGIC.to_bits()).wrapping_add(127) << 23))
}

/// e^x for x from -87 to 88 (NaN of NaN), by the series up to r⁷/7!: relative error below 2e-7. In a form that compilers
/// turn into vector instructions.
#[inline(always)]
pub fn exp_f32<const FMA: bool>(x: f32) -> f32 {
    let (r, power) = reduce_f32::<FMA>(x);
    let mut e = 1.0 / 5040.0;
    for of in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        e = madd::<f32, FMA>(e, r, of);
    }
    e * power
}

/// e^x of x cut off at -87 and 88, by the polynomial of Cephes: relative error below 1e-6. It differs from [`exp_f32`] in
/// the last bits, and stays for draws of counts, which would change.
#[inline(always)]
pub fn exp_f32_cephes(x: f32) -> f32 {
    let (r, power) = reduce_f32::<false>(x.clamp(LOW, HIGH));
    let mut p = 1.987_569_1e-4;
    for of in [1.398_2e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 5e-1] {
        p = p * r + of;
    }
    (p * r * r + r + 1.0) * power
}

/// f32 and f64, with their exponential of a slice.
pub trait Exp: Sized {
    /// Replaces each value by its exponential.
    fn exp_all(x: &mut [Self]);
}

impl Exp for f32 {
    fn exp_all(x: &mut [Self]) {
        exp_slice_f32(x);
    }
}

impl Exp for f64 {
    fn exp_all(x: &mut [Self]) {
        exp_slice(x);
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    //! In intrinsics: the shift that forms 2ᵏ is not found by compilers.

    use std::arch::x86_64::*;

    /// 1/0!, 1/1!, ... 1/12!: on |r| <= ln 2 / 2 the remainder is below 2e-16.
    const TAYLOR: [f64; 13] = [
        1.0,
        1.0,
        1.0 / 2.0,
        1.0 / 6.0,
        1.0 / 24.0,
        1.0 / 120.0,
        1.0 / 720.0,
        1.0 / 5040.0,
        1.0 / 40320.0,
        1.0 / 362880.0,
        1.0 / 3628800.0,
        1.0 / 39916800.0,
        1.0 / 479001600.0,
    ];
    /// Adding it leaves the nearest integer in the low bits of the mantissa.
    const MAGIC: f64 = 6755399441055744.0;

    #[target_feature(enable = "avx2,fma")]
    pub fn exp_slice(x: &mut [f64]) {
        let (fours, rest) = x.as_chunks_mut::<4>();
        for four in fours {
            exp4(four);
        }
        if !rest.is_empty() {
            let mut four = [0.0; 4];
            four[..rest.len()].copy_from_slice(rest);
            exp4(&mut four);
            rest.copy_from_slice(&four[..rest.len()]);
        }
    }

    /// exp x = 2ᵏ exp r with r = x - k ln 2 in two parts; 2ᵏ in two factors, so that tiny results lose
    /// precision gradually. Beyond the range of f64 it gives 0 and infinity, and NaN of NaN.
    #[target_feature(enable = "avx2,fma")]
    fn exp4(x: &mut [f64; 4]) {
        let all = |v: f64| _mm256_set1_pd(v);
        let magic = all(MAGIC);
        // SAFETY: four consecutive numbers are read, and the load needs no alignment.
        let v = unsafe { _mm256_loadu_pd(x.as_ptr()) };
        let v = _mm256_min_pd(all(1000.0), _mm256_max_pd(all(-1000.0), v));
        let k = _mm256_sub_pd(_mm256_fmadd_pd(v, all(std::f64::consts::LOG2_E), magic), magic);
        let r = _mm256_fnmadd_pd(k, all(6.931_471_803_691_238e-1), v);
        let r = _mm256_fnmadd_pd(k, all(1.908_214_929_270_587_7e-10), r);
        let mut p = all(TAYLOR[12]);
        for c in TAYLOR[..12].iter().rev() {
            p = _mm256_fmadd_pd(p, r, all(*c));
        }
        let half = _mm256_sub_pd(_mm256_fmadd_pd(k, all(0.5), magic), magic);
        for part in [half, _mm256_sub_pd(k, half)] {
            let bits = _mm256_castpd_si256(_mm256_add_pd(part, magic));
            let power = _mm256_slli_epi64::<52>(_mm256_add_epi64(bits, _mm256_set1_epi64x(1023)));
            p = _mm256_mul_pd(p, _mm256_castsi256_pd(power));
        }
        // SAFETY: as for the load.
        unsafe { _mm256_storeu_pd(x.as_mut_ptr(), p) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_standard_library_over_the_whole_range() {
        let mut worst = 0.0f64;
        let x: Vec<f64> = (0..400_000).map(|i| -708.0 + 1417.0 * (i as f64 / 399_999.0)).collect();
        let mut y = x.clone();
        exp_slice(&mut y);
        for (x, y) in x.iter().zip(&y) {
            worst = worst.max((y / x.exp() - 1.0).abs());
        }
        assert!(worst < 1e-15, "relative error {worst:e}");
        // Near zero, where kernels of close neighbours live.
        let x: Vec<f64> = (-300..300).map(|i| i as f64 * 1e-9).collect();
        let mut y = x.clone();
        exp_slice(&mut y);
        assert!(x.iter().zip(&y).all(|(x, y)| (y - x.exp()).abs() < 3e-16));
    }

    #[test]
    fn single_precision_agrees_and_has_the_same_bits_on_every_path() {
        let mut x: Vec<f32> = (0..200_001).map(|i| -87.0 + 175.0 * (i as f32 / 200_000.0)).collect();
        x.extend([0.0, -0.0, -1e-9, 1e-9, -200.0, 200.0, f32::NEG_INFINITY, f32::INFINITY, f32::NAN]);
        let mut y = x.clone();
        exp_slice_f32(&mut y);
        // One at a time, as no vector instruction would.
        let plain = |x: f32| std::hint::black_box(exp_f32::<false>(std::hint::black_box(x)));
        assert!(x[..200_001].iter().zip(&y).all(|(x, y)| plain(*x).to_bits() == y.to_bits()));
        let exact = |x: f32| f64::from(x).exp();
        let worst =
            x[..200_001].iter().zip(&y).map(|(x, y)| (f64::from(*y) / exact(*x) - 1.0).abs()).fold(0.0, f64::max);
        assert!(worst < 2e-7, "relative error {worst:e}");
        for fused in [exp_f32::<true>, exp_f32_cephes] {
            let far = |x: &f32| (f64::from(fused(*x)) / exact(*x) - 1.0).abs();
            assert!(x[..200_001].iter().map(far).fold(0.0, f64::max) < 1e-6);
        }
        assert!(exp_f32::<true>(f32::NAN).is_nan());
        let ends = &y[200_001..];
        assert_eq!(ends[..8], [1.0, 1.0, 1.0, 1.0, 0.0, f32::INFINITY, 0.0, f32::INFINITY]);
        assert!(ends[8].is_nan());
    }

    #[test]
    fn edges_and_any_length() {
        let mut x = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 709.9, -746.0, -740.0, 1e300, -1e300];
        let want: Vec<f64> = x.iter().map(|v: &f64| v.exp()).collect();
        exp_slice(&mut x);
        for (a, b) in x.iter().zip(&want) {
            assert!((a.is_nan() && b.is_nan()) || a == b || (a - b).abs() < 1e-320, "{a} {b}");
        }
        for n in 0..9 {
            let mut x = vec![-1.5; n];
            exp_slice(&mut x);
            assert!(x.iter().all(|v| (v - (-1.5f64).exp()).abs() < 1e-16), "{n}");
            assert!(x.iter().all(|v| v.to_bits() == x[0].to_bits()));
        }
    }
}
