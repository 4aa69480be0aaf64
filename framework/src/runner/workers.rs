//! Many runs at once, each its own fault domain.

use super::round::{Seconds, Start, execute};
use super::world::{RunSeeds, Worlds};
use crate::error::{Error, Result};
use crate::metric;
use crate::scenario::Scenario;
use crate::store::{DataHashes, FORMAT, Partial, Provenance, RunHeader, Store};
use serde_json::Value;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// One run to do.
#[derive(Clone, Debug)]
pub struct Job {
    /// Run id.
    pub id: String,
    /// Scenario name (the results folder).
    pub name: String,
    /// Label of its arm.
    pub arm: String,
    /// Axis values of its arm.
    pub axes: Vec<(String, String)>,
    /// Seed.
    pub seed: u64,
    /// What to run.
    pub scenario: Arc<Scenario>,
    /// The same as plain data.
    pub resolved: Value,
    /// Hashes of its data files.
    pub data: DataHashes,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Finished; metrics of the last round and the folder.
    Ok(BTreeMap<String, f64>, PathBuf),
    /// Failed; the reason and the folder with the log.
    Failed(String, PathBuf),
    /// Stopped on request; will go on next time.
    Stopped,
}

/// Something to show.
#[derive(Clone, Debug)]
pub enum Event {
    /// A run began.
    Started(usize),
    /// A round of a run was finished.
    Round(usize, usize),
    /// A run ended after that many seconds.
    Ended(usize, Outcome, f64),
}

/// Runs all jobs on `workers` threads, `threads` of computation each, in the given order of start.
/// Events arrive on the calling thread.
#[allow(clippy::too_many_arguments)]
pub fn run_all(
    jobs: &[Job],
    workers: usize,
    threads: usize,
    worlds: &Worlds,
    store: &Store,
    provenance: &Provenance,
    stop: &AtomicBool,
    mut show: impl FnMut(Event),
) -> Result<()> {
    let next = AtomicUsize::new(0);
    let (tx, rx) = mpsc::channel();
    let _quiet = QuietPanics::install();
    std::thread::scope(|scope| {
        for _ in 0..workers.max(1) {
            let (tx, next) = (tx.clone(), &next);
            scope.spawn(move || {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.max(1)).build();
                loop {
                    let i = next.fetch_add(1, Ordering::Relaxed);
                    if i >= jobs.len() || stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let clock = Instant::now();
                    let _ = tx.send(Event::Started(i));
                    let one = || {
                        run_one(&jobs[i], worlds, store, provenance, stop, |r| {
                            let _ = tx.send(Event::Round(i, r));
                        })
                    };
                    let outcome = match &pool {
                        Ok(pool) => pool.install(one),
                        Err(_) => one(),
                    };
                    let _ = tx.send(Event::Ended(i, outcome, clock.elapsed().as_secs_f64()));
                }
            });
        }
        drop(tx);
        rx.into_iter().for_each(&mut show);
    });
    Ok(())
}

fn run_one(
    job: &Job,
    worlds: &Worlds,
    store: &Store,
    provenance: &Provenance,
    stop: &AtomicBool,
    round_done: impl Fn(usize) + Sync + Send,
) -> Outcome {
    let folder = store.folder().join(format!("{}.partial", job.id));
    let mut partial = match store.begin(&job.id) {
        Ok(p) => p,
        Err(e) => return Outcome::Failed(e.to_string(), folder),
    };
    let started = now();
    let result = catch_unwind(AssertUnwindSafe(|| attempt(job, worlds, &mut partial, stop, &round_done)));
    let result = result.unwrap_or_else(|payload| Err(Error::Plugin(panic_text(payload))));
    let mut header = RunHeader {
        format: FORMAT,
        id: job.id.clone(),
        status: "ok".into(),
        error: None,
        scenario: job.name.clone(),
        arm: job.arm.clone(),
        axes: job.axes.clone(),
        seed: job.seed,
        resolved: job.resolved.clone(),
        data: job.data.clone(),
        provenance: provenance.clone(),
        started,
        ended: now(),
        seconds: Seconds::default(),
        metrics: job
            .scenario
            .metrics
            .iter()
            .filter_map(|m| metric::find(m))
            .map(|m| (m.name.to_string(), m.definition.to_string()))
            .collect(),
    };
    let outcome = match result {
        Ok(None) => return Outcome::Stopped,
        Ok(Some((records, seconds))) => {
            header.seconds = seconds;
            let last = records.last().map(|r| r.metrics.clone()).unwrap_or_default();
            partial.finish(&header, &records).map(|folder| Outcome::Ok(last, folder))
        }
        Err(e) => {
            header.status = "failed".into();
            header.error = Some(e.to_string());
            partial.fail(&header);
            Err(e)
        }
    };
    outcome.unwrap_or_else(|e| Outcome::Failed(e.to_string(), folder))
}

type Attempt = Result<Option<(Vec<super::RoundRecord>, Seconds)>>;

fn attempt(
    job: &Job,
    worlds: &Worlds,
    partial: &mut Partial,
    stop: &AtomicBool,
    round_done: &dyn Fn(usize),
) -> Attempt {
    let seeds = RunSeeds::new(&job.scenario, job.seed);
    let base = worlds.get(&job.scenario, seeds)?;
    partial.log(&format!("{} / seed {} / run {}", job.arm, job.seed, job.id));
    base.notes.iter().for_each(|n| partial.log(n));
    let done = partial.done().to_vec();
    if !done.is_empty() {
        partial.log(&format!("going on after round {}", done.len() - 1));
    }
    let start = Start { scenario: &job.scenario, seeds, base: &base, done, stop };
    let mut lines = Vec::new();
    let out = execute(
        start,
        |r| {
            partial.keep(r)?;
            round_done(r.round);
            Ok(())
        },
        &mut |line| lines.push(line),
    );
    lines.iter().for_each(|l| partial.log(l));
    out
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

static LAST_PANIC: Mutex<Vec<(std::thread::ThreadId, String)>> = Mutex::new(Vec::new());

/// While runs are under way a panic is a failed run, not a page of text on the terminal.
struct QuietPanics;

impl QuietPanics {
    fn install() -> Self {
        std::panic::set_hook(Box::new(|info| {
            let place = info.location().map_or(String::new(), |l| format!(" at {}:{}", l.file(), l.line()));
            let mut last = LAST_PANIC.lock().unwrap_or_else(|e| e.into_inner());
            last.push((std::thread::current().id(), place));
        }));
        Self
    }
}

impl Drop for QuietPanics {
    fn drop(&mut self) {
        // The default hook again.
        let _ = std::panic::take_hook();
    }
}

fn panic_text(payload: Box<dyn std::any::Any + Send>) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|s| s.to_string())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into());
    let mut last = LAST_PANIC.lock().unwrap_or_else(|e| e.into_inner());
    let here = std::thread::current().id();
    let at = last.iter().rposition(|(id, _)| *id == here).or(last.len().checked_sub(1));
    let place = at.map(|i| last.remove(i).1).unwrap_or_default();
    format!("a plugin panicked{place}: {text}; this is a mistake in the plugin, other runs are not affected")
}
