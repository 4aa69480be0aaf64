//! One function, two sets of instructions: what the processor can do is asked here and nowhere else.
//!
//! [`wide!`] and [`fused!`] serve loops that compilers turn into vector instructions by themselves. Functions that are
//! written in intrinsics, or differ in more than their instructions, ask [`has_avx2`] and [`has_avx2_and_fma`].

use crate::real::Real;

/// Whether the processor has AVX2.
#[inline(always)]
pub fn has_avx2() -> bool {
    #[cfg(target_arch = "x86_64")]
    let found = std::arch::is_x86_feature_detected!("avx2");
    #[cfg(not(target_arch = "x86_64"))]
    let found = false;
    found
}

/// Whether the processor has AVX2 and fused multiply-add.
#[inline(always)]
pub fn has_avx2_and_fma() -> bool {
    #[cfg(target_arch = "x86_64")]
    let found = has_avx2() && std::arch::is_x86_feature_detected!("fma");
    #[cfg(not(target_arch = "x86_64"))]
    let found = false;
    found
}

/// a b + c, where the processor can in one rounding: for the bodies of [`fused!`].
#[inline(always)]
pub fn madd<T: Real, const FMA: bool>(a: T, b: T, c: T) -> T {
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// Compiles a function a second time for processors with AVX2: the same operations eight at a time, the same bits. It
/// may have one type parameter, one constant, or one of each.
#[macro_export]
macro_rules! wide {
    ($(#[$doc:meta])* $vis:vis fn $name:ident <const $n:ident: usize> $($rest:tt)*) => {
        $crate::wide!(@ [$(#[$doc])* $vis] $name [const $n: usize] [$n] $($rest)*);
    };
    ($(#[$doc:meta])* $vis:vis fn $name:ident <$t:ident: $bound:ident, const $n:ident: usize> $($rest:tt)*) => {
        $crate::wide!(@ [$(#[$doc])* $vis] $name [$t: $bound, const $n: usize] [$t, $n] $($rest)*);
    };
    ($(#[$doc:meta])* $vis:vis fn $name:ident <$t:ident: $bound:ident> $($rest:tt)*) => {
        $crate::wide!(@ [$(#[$doc])* $vis] $name [$t: $bound] [$t] $($rest)*);
    };
    ($(#[$doc:meta])* $vis:vis fn $name:ident ($($arg:tt)*) $($rest:tt)*) => {
        $crate::wide!(@ [$(#[$doc])* $vis] $name [] [] ($($arg)*) $($rest)*);
    };
    (@ [$($front:tt)*] $name:ident [$($generic:tt)*] [$($use:ident),*] ($($arg:ident: $type:ty),* $(,)?)
        $(-> $out:ty)? $body:block) => {
        #[allow(clippy::too_many_arguments)]
        $($front)* fn $name <$($generic)*> ($($arg: $type),*) $(-> $out)? {
            #[inline(always)]
            #[allow(clippy::too_many_arguments)]
            fn any <$($generic)*> ($($arg: $type),*) $(-> $out)? $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                #[allow(clippy::too_many_arguments)]
                fn avx2 <$($generic)*> ($($arg: $type),*) $(-> $out)? {
                    any::<$($use),*>($($arg),*)
                }
                if $crate::wide::has_avx2() {
                    // SAFETY: the feature that the function is compiled for was just found.
                    return unsafe { avx2::<$($use),*>($($arg),*) };
                }
            }
            any::<$($use),*>($($arg),*)
        }
    };
}

/// Compiles a function twice: for processors with AVX2 and fused multiply-add, and for any. The body is a function that
/// is told by a constant which of the two it is, for its calls of [`madd`]; the two differ by rounding.
#[macro_export]
macro_rules! fused {
    ($(#[$doc:meta])* $vis:vis fn $name:ident $(<$t:ident: $bound:ident>)? ($($arg:ident: $type:ty),* $(,)?)
        $(-> $out:ty)? = $body:ident) => {
        $(#[$doc])*
        #[allow(clippy::too_many_arguments)]
        $vis fn $name $(<$t: $bound>)? ($($arg: $type),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                #[allow(clippy::too_many_arguments)]
                fn with_fma $(<$t: $bound>)? ($($arg: $type),*) $(-> $out)? {
                    $body::<$($t,)? true>($($arg),*)
                }
                if $crate::wide::has_avx2_and_fma() {
                    // SAFETY: the features that the function is compiled for were just found.
                    return unsafe { with_fma($($arg),*) };
                }
            }
            $body::<$($t,)? false>($($arg),*)
        }
    };
}
