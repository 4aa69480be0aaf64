//! What a plugin is handed, and the rules that hold for what it gives back.

mod batch;

pub use batch::{check_batch, fill_note, select_batch};
