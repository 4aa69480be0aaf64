//! What a plugin is handed, and the rules that hold for what it gives back.

mod batch;
mod fuse;

pub use batch::{check_batch, fill_note, select_batch};
pub use fuse::{Fusion, SHARED_SETTINGS};
