//! Products of small matrices in registers: the inner loops of networks so small that general products would spend their
//! time around the work.

use super::network::Real;

/// Numbers side by side in a register.
pub(super) const WIDE: usize = 8;

/// Compiles a function twice: for processors with AVX2 and fused multiply-add, and for any.
macro_rules! fused {
    ($(#[$doc:meta])* fn $name:ident $(<$t:ident: $bound:ident>)? ($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)? = $body:ident) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments)]
        fn $name $(<$t: $bound>)? ($($arg: $type),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn with_fma $(<$t: $bound>)? ($($arg: $type),*) $(-> $out)? {
                    $body::<$($t,)? true>($($arg),*)
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the features that the function is compiled for were just found.
                    return unsafe { with_fma($($arg),*) };
                }
            }
            $body::<$($t,)? false>($($arg),*)
        }
    };
}
pub(super) use fused;

/// a b + c, where the processor can in one rounding.
#[inline(always)]
pub(super) fn madd<T: Real, const FMA: bool>(a: T, b: T, c: T) -> T {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Terms and lanes of a panel of vectors that is packed, and from how many lanes on: rows so far apart compete for the same
/// places of the cache.
const PANEL: usize = 128;
const PACKED: usize = 32;
const FAR: usize = 128;

/// `to` (R rows of W numbers, `step` apart) += Σ_t s_rt v_t: the scalar of row r and term t lies at
/// `s[r * s_row + t * s_term]`, the vector of term t at `v[t * v_step]`.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn block<T: Real, const FMA: bool, const W: usize, const R: usize>(
    to: &mut [T],
    step: usize,
    s: &[T],
    s_row: usize,
    s_term: usize,
    v: &[T],
    v_step: usize,
    terms: usize,
) {
    let mut sums = [[T::zero(); W]; R];
    for (r, sums) in sums.iter_mut().enumerate() {
        sums.copy_from_slice(&to[r * step..r * step + W]);
    }
    let last = (R - 1) * s_row + terms.saturating_sub(1) * s_term;
    let s = &s[..=last];
    for t in 0..terms {
        let v = &v[t * v_step..t * v_step + W];
        for (r, sums) in sums.iter_mut().enumerate() {
            let s = s[r * s_row + t * s_term];
            for l in 0..W {
                sums[l] = madd::<T, FMA>(s, v[l], sums[l]);
            }
        }
    }
    for (r, sums) in sums.iter().enumerate() {
        to[r * step..r * step + W].copy_from_slice(sums);
    }
}

/// The same for any number of rows, R at a time.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn blocks<T: Real, const FMA: bool, const W: usize, const R: usize>(
    to: &mut [T],
    rows: usize,
    step: usize,
    s: &[T],
    s_row: usize,
    s_term: usize,
    v: &[T],
    v_step: usize,
    terms: usize,
) {
    let mut r = 0;
    while r + R <= rows {
        block::<T, FMA, W, R>(&mut to[r * step..], step, &s[r * s_row..], s_row, s_term, v, v_step, terms);
        r += R;
    }
    while r < rows {
        block::<T, FMA, W, 1>(&mut to[r * step..], step, &s[r * s_row..], s_row, s_term, v, v_step, terms);
        r += 1;
    }
}

/// The same for any number of lanes: at most 32 at a time, with as many rows as fill the registers. The order of the terms
/// is that of the plain sum, whatever is packed.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
pub(super) fn add_product<T: Real, const FMA: bool>(
    to: &mut [T],
    rows: usize,
    lanes: usize,
    s: &[T],
    s_row: usize,
    s_term: usize,
    v: &[T],
    terms: usize,
) {
    if terms == 0 || rows == 0 {
        return;
    }
    let mut at = 0;
    while lanes >= FAR && at + PACKED <= lanes {
        let mut panel = [T::zero(); PANEL * PACKED];
        for from in (0..terms).step_by(PANEL) {
            let n = PANEL.min(terms - from);
            for (t, p) in panel.chunks_exact_mut(PACKED).enumerate().take(n) {
                p.copy_from_slice(&v[(from + t) * lanes + at..][..PACKED]);
            }
            let s = &s[from * s_term..];
            blocks::<T, FMA, PACKED, 2>(&mut to[at..], rows, lanes, s, s_row, s_term, &panel, PACKED, n);
        }
        at += PACKED;
    }
    while at < lanes {
        let (to, v) = (&mut to[at..], &v[at..]);
        at += match lanes - at {
            32.. => {
                blocks::<T, FMA, 32, 2>(to, rows, lanes, s, s_row, s_term, v, lanes, terms);
                32
            }
            16.. => {
                blocks::<T, FMA, 16, 4>(to, rows, lanes, s, s_row, s_term, v, lanes, terms);
                16
            }
            _ => {
                blocks::<T, FMA, WIDE, 8>(to, rows, lanes, s, s_row, s_term, v, lanes, terms);
                WIDE
            }
        };
    }
}

/// The sum of eight numbers, in a fixed order.
#[inline(always)]
pub(super) fn total<T: Real>(v: [T; WIDE]) -> T {
    ((v[0] + v[4]) + (v[2] + v[6])) + ((v[1] + v[5]) + (v[3] + v[7]))
}
