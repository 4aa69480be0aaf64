//! Which pairs of a screen interact: tests over samples, error control over pairs, tables and figures.

mod file;
mod load;
mod loaded;
mod outcome;
mod read;
mod run;

pub use file::{Calls, PairStudy, SampleFile};
pub use loaded::Loaded;
pub use outcome::{Row, TestTable};
