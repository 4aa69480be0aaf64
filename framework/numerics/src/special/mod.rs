//! Elementary functions over slices.

mod cos;
mod exp;

pub use cos::cos_slice;
pub use exp::{Exp, exp_f32, exp_f32_cephes, exp_slice, exp_slice_f32};
