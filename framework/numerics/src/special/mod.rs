//! Elementary functions over slices.

mod cos;
pub mod exp;

pub use cos::cos_slice;
pub use exp::{exp_slice, exp_slice_f32};
