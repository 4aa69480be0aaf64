//! What a person sees, verb by verb: what is printed (as transcripts in `tests/snapshots`), what is written, exit codes.

#[path = "../common/mod.rs"]
mod common;

mod files;
mod help;
mod interactions;
mod mistakes;
mod paper;
mod plan;
mod plugins;
mod power;
mod report;
mod results;
mod run;
mod scenarios;
mod suggest;
mod tables;
