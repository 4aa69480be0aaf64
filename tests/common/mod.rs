//! Driving the binary and reading what it leaves.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The binary, in a folder of its own, without any data root.
pub fn screenwright(dir: &Path) -> Command {
    let mut c = Command::new(env!("CARGO_BIN_EXE_screenwright"));
    c.current_dir(dir).env_remove("SCREENWRIGHT_DATA");
    c
}

pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

pub fn run(dir: &Path, args: &[&str]) -> Ran {
    finish(screenwright(dir).args(args).output().expect("the binary runs"))
}

pub fn finish(o: Output) -> Ran {
    Ran {
        code: o.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&o.stdout).into_owned(),
        err: String::from_utf8_lossy(&o.stderr).into_owned(),
    }
}

pub fn write(dir: &Path, name: &str, text: &str) -> PathBuf {
    let path = dir.join(name);
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).expect("a folder for test files");
    }
    std::fs::write(&path, text).expect("a test file");
    path
}

/// A scenario on the embedded simulator that takes a moment.
pub const TINY: &str = r#"name = "tiny"
seeds = { from = 0, count = 3 }
rounds = 3
batch = 6
metrics = ["hit_ratio", "rmse"]

[pool]
init = 8
test = 0.2

[oracle]
use = "latent_dag"
genes = 120

[prior.knowledge]
use = "simulated"

[model]
use = "ridge"

[acquisition]
use = "random"

[grid]
"acquisition" = [{ use = "random" }, { use = "greedy" }, { use = "max_dist" }]

[compare]
reference = { "acquisition" = "random" }
"#;

/// Bytes of every rounds.parquet and picks.parquet below a results folder, by run.
pub fn result_bytes(results: &Path, scenario: &str) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for e in std::fs::read_dir(results.join(scenario)).expect("results").flatten() {
        for file in ["rounds.parquet", "picks.parquet"] {
            let p = e.path().join(file);
            if let Ok(bytes) = std::fs::read(&p) {
                all.push((format!("{}/{file}", e.file_name().to_string_lossy()), bytes));
            }
        }
    }
    all.sort();
    all
}

/// The public data, or the reason why a test is skipped.
pub fn data_root() -> Option<PathBuf> {
    match std::env::var_os("SCREENWRIGHT_DATA").map(PathBuf::from) {
        Some(p) if p.is_dir() => Some(std::fs::canonicalize(p).expect("an absolute path")),
        _ => {
            eprintln!("SKIPPED: SCREENWRIGHT_DATA is not set to a folder with the public data (see docs/data.md)");
            None
        }
    }
}
