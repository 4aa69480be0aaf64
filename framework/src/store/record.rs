//! Run folders: begun, kept round by round, finished, read back.

use super::provenance::{DataHashes, Provenance};
use super::round::{RoundRecord, Seconds};
use super::seeds::RunSeeds;
use super::tables::{picks_table, rounds_table};
use crate::error::{Error, Result};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use table::Table;

/// Bumped when the layout of a run folder changes; readers accept older ones.
pub const FORMAT: u32 = 1;

/// The content of `run.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunHeader {
    /// Layout of the folder.
    pub format: u32,
    /// Name of the folder.
    pub id: String,
    /// `ok` or `failed`.
    pub status: String,
    /// Why it failed.
    pub error: Option<String>,
    /// Scenario name.
    pub scenario: String,
    /// Label of the arm.
    pub arm: String,
    /// Axis values of the arm.
    pub axes: Vec<(String, String)>,
    /// Seed of the run.
    pub seed: u64,
    /// The scenario with every default filled in.
    pub resolved: Value,
    /// SHA-256 of the data files it read.
    pub data: DataHashes,
    /// Program, revision, machine.
    pub provenance: Provenance,
    /// When it started, seconds since 1970.
    pub started: u64,
    /// When it ended, seconds since 1970.
    pub ended: u64,
    /// Where the time went.
    pub seconds: Seconds,
    /// Definitions of its metrics.
    pub metrics: Vec<(String, String)>,
}

/// A finished run, read back.
pub struct Finished {
    /// `run.json`.
    pub header: RunHeader,
    /// Its folder.
    pub folder: PathBuf,
}

impl Finished {
    /// `rounds.parquet`.
    pub fn rounds(&self) -> Result<Table> {
        Ok(table::read(&self.folder.join("rounds.parquet"))?)
    }
    /// `picks.parquet`.
    pub fn picks(&self) -> Result<Table> {
        Ok(table::read(&self.folder.join("picks.parquet"))?)
    }
}

/// The id of a run: a hash of what decides its numbers.
pub fn run_id(resolved: &Value, seeds: RunSeeds, data: &DataHashes) -> String {
    let mut h = blake3::Hasher::new();
    h.update(resolved.to_string().as_bytes());
    for s in [seeds.world, seeds.init, seeds.training] {
        h.update(&s.to_le_bytes());
    }
    for (file, hash) in data {
        h.update(file.as_bytes()).update(b"\0").update(hash.as_bytes()).update(b"\0");
    }
    h.finalize().to_hex()[..16].to_string()
}

/// The results folder of one scenario.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// `results/<scenario>`, made and tried for writing.
    pub fn create(results: &Path, scenario: &str) -> Result<Self> {
        let store = Self::at(results, scenario);
        fs::create_dir_all(&store.folder).map_err(Error::io(&store.folder, "creating the results folder"))?;
        let probe = store.folder.join(".write-test");
        fs::write(&probe, b"x").map_err(Error::io(&store.folder, "writing to the results folder"))?;
        let _ = fs::remove_file(&probe);
        Ok(store)
    }

    /// The same without making it.
    pub fn at(results: &Path, scenario: &str) -> Self {
        Self { folder: results.join(scenario) }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether a run has finished.
    pub fn is_finished(&self, id: &str) -> bool {
        self.folder.join(id).join("run.json").is_file()
    }

    /// Whether a run was begun and not finished.
    pub fn is_partial(&self, id: &str) -> bool {
        self.folder.join(format!("{id}.partial")).is_dir()
    }

    /// Whether the last attempt at an unfinished run failed rather than being cut off.
    pub fn has_failed(&self, id: &str) -> bool {
        let header = read_header(&self.folder.join(format!("{id}.partial")).join("run.json"));
        header.is_ok_and(|h| h.status == "failed")
    }

    /// Opens or goes on with an unfinished run.
    pub fn begin(&self, id: &str) -> Result<Partial> {
        let folder = self.folder.join(format!("{id}.partial"));
        fs::create_dir_all(&folder).map_err(Error::io(&folder, "creating a run folder"))?;
        let lines = folder.join("rounds.jsonl");
        let mut done: Vec<RoundRecord> = Vec::new();
        let mut good = 0;
        if lines.is_file() {
            let text = fs::read_to_string(&lines).map_err(Error::io(&lines, "reading"))?;
            // A line without its end was being written when the run was cut off.
            for line in text.split_inclusive('\n').filter(|l| l.ends_with('\n')) {
                match serde_json::from_str::<RoundRecord>(line) {
                    Ok(r) if r.round == done.len() => {
                        done.push(r);
                        good += line.len() as u64;
                    }
                    _ => break,
                }
            }
        }
        let file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&lines)
            .map_err(Error::io(&lines, "opening the record of rounds"))?;
        if file.metadata().is_ok_and(|m| m.is_file() && m.len() > good) {
            file.set_len(good).map_err(Error::io(&lines, "shortening the record of rounds"))?;
        }
        // A reason left by an earlier failure would outlive this attempt if it were cut off.
        let _ = fs::remove_file(folder.join("run.json"));
        let (log, begun_before) = open_log(&folder.join("log.txt"))?;
        Ok(Partial { folder, lines, file, log, done, begun_before })
    }

    /// Every finished run of the scenario, by folder name, and for each that cannot be read why and what to do.
    pub fn finished(&self) -> Result<(Vec<Finished>, Vec<String>)> {
        let (mut all, mut unreadable) = (vec![], vec![]);
        for folder in self.folders()? {
            if folder.extension().is_none() && folder.join("run.json").is_file() {
                match read_header(&folder.join("run.json")) {
                    Ok(header) => all.push(Finished { header, folder }),
                    Err(e) => unreadable.push(e.to_string()),
                }
            }
        }
        Ok((all, unreadable))
    }

    /// The finished runs of these ids, by id, each with its rounds, and for each that cannot be read why and what to do.
    pub fn read(&self, ids: &[String]) -> (HashMap<String, (RunHeader, Table)>, Vec<String>) {
        let read: Vec<Result<(RunHeader, Table)>> = ids
            .par_iter()
            .filter(|id| self.is_finished(id))
            .map(|id| {
                let folder = self.folder.join(id);
                let rounds = Finished { header: read_header(&folder.join("run.json"))?, folder: folder.clone() };
                let table = rounds.rounds().map_err(|e| {
                    Error::Data(format!("{e}; delete the folder {} to compute this run again", folder.display()))
                })?;
                Ok((rounds.header, table))
            })
            .collect();
        let (mut runs, mut unreadable) = (HashMap::new(), vec![]);
        for run in read {
            match run {
                Ok((header, table)) => drop(runs.insert(header.id.clone(), (header, table))),
                Err(e) => unreadable.push(e.to_string()),
            }
        }
        (runs, unreadable)
    }

    /// Every unfinished run, by folder name, with the reason if it failed.
    pub fn partial(&self) -> Result<Vec<(PathBuf, Option<RunHeader>)>> {
        let partial = self.folders()?.into_iter().filter(|f| f.extension().is_some_and(|e| e == "partial"));
        Ok(partial
            .map(|f| {
                let header = read_header(&f.join("run.json")).ok();
                (f, header)
            })
            .collect())
    }

    fn folders(&self) -> Result<Vec<PathBuf>> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(e) => e,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(vec![]),
            Err(e) => return Err(Error::io(&self.folder, "listing results")(e)),
        };
        let mut folders: Vec<PathBuf> = entries.flatten().map(|e| e.path()).filter(|p| p.is_dir()).collect();
        folders.sort();
        Ok(folders)
    }
}

fn read_header(path: &Path) -> Result<RunHeader> {
    let text = fs::read_to_string(path).map_err(Error::io(path, "reading"))?;
    let header: RunHeader = serde_json::from_str(&text)
        .map_err(|e| Error::Data(format!("{}: {e}; delete this run's folder to compute it again", path.display())))?;
    if header.format > FORMAT {
        return Err(Error::Data(format!(
            "{}: written by a newer version (format {}, this program knows {FORMAT}); update screenwright",
            path.display(),
            header.format
        )));
    }
    Ok(header)
}

/// The log of a run, open at its end, and whether it has lines already. A line that was cut off is ended first.
fn open_log(path: &Path) -> Result<(File, bool)> {
    let mut log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .open(path)
        .map_err(Error::io(path, "opening the log"))?;
    let mut last = [b'\n'];
    let begun_before = log.seek(SeekFrom::End(-1)).is_ok();
    // A log that cannot be written or read never stops a run.
    if begun_before && log.read_exact(&mut last).is_ok() && last != [b'\n'] {
        let _ = log.write_all(b"\n");
    }
    Ok((log, begun_before))
}

/// A run in progress.
pub struct Partial {
    folder: PathBuf,
    lines: PathBuf,
    file: File,
    log: File,
    done: Vec<RoundRecord>,
    begun_before: bool,
}

impl Partial {
    /// Rounds that were finished before.
    pub fn done(&self) -> &[RoundRecord] {
        &self.done
    }

    /// Whether an earlier attempt left something in the log.
    pub fn begun_before(&self) -> bool {
        self.begun_before
    }

    /// Appends a round; it is on disk when this returns.
    pub fn keep(&mut self, record: &RoundRecord) -> Result<()> {
        let mut line = serde_json::to_string(record).map_err(|e| Error::Data(e.to_string()))?;
        line.push('\n');
        self.file
            .write_all(line.as_bytes())
            .and_then(|()| self.file.flush())
            .map_err(Error::io(&self.lines, "writing a finished round"))
    }

    /// Adds a line to the log; a log that cannot be written never stops a run.
    pub fn log(&mut self, line: &str) {
        let _ = writeln!(self.log, "{line}");
    }

    /// Converts the record of rounds into tables and renames the folder.
    pub fn finish(mut self, header: &RunHeader, rounds: &[RoundRecord]) -> Result<PathBuf> {
        let metric_names: Vec<String> = header.metrics.iter().map(|m| m.0.clone()).collect();
        table::write_parquet(&rounds_table(rounds, &metric_names)?, &self.folder.join("rounds.parquet"))?;
        table::write_parquet(&picks_table(rounds)?, &self.folder.join("picks.parquet"))?;
        write_header(&self.folder.join("run.json"), header)?;
        let _ = self.log.flush();
        let target = self.folder.with_extension("");
        fs::remove_file(&self.lines).map_err(Error::io(&self.lines, "removing the record of rounds"))?;
        fs::rename(&self.folder, &target).map_err(Error::io(&target, "renaming the finished run"))?;
        Ok(target)
    }

    /// Leaves the reason of a failure beside what was finished.
    pub fn fail(&mut self, header: &RunHeader) {
        self.log(&format!("failed: {}", header.error.as_deref().unwrap_or("")));
        let _ = write_header(&self.folder.join("run.json"), header);
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

fn write_header(path: &Path, header: &RunHeader) -> Result<()> {
    let text = serde_json::to_string_pretty(header).map_err(|e| Error::Data(e.to_string()))?;
    fs::write(path, text + "\n").map_err(Error::io(path, "writing"))
}
