//! What runs leave behind: `results/<scenario>/<run id>/` with `run.json`, `rounds.parquet`,
//! `picks.parquet` and `log.txt`. While a run goes on its folder is `<run id>.partial/`, with one JSON
//! line a round; finishing converts and renames. Folders are the truth, everything else is derived.

mod provenance;
mod record;
mod round;
mod seeds;
mod tables;
#[cfg(test)]
mod tests;

pub(crate) use provenance::sha256 as hash_file;
pub use provenance::{DataHashes, Provenance};
pub use record::{FORMAT, Finished, Partial, RunHeader, Store, run_id};
pub use round::{RoundRecord, Seconds};
pub use seeds::RunSeeds;
pub use tables::stack;
