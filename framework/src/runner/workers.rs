//! Many runs at once, each its own fault domain.

use super::event::Event;
use super::job::Job;
use super::setup::Start;
use super::world::Worlds;
use super::{execute, log};
use crate::error::{Error, Result};
use crate::metric;
use crate::panics;
use crate::store::{FORMAT, Partial, Provenance, RoundRecord, RunHeader, RunSeeds, Seconds, Store};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Who does runs, and where they are stored.
pub struct Workers<'a> {
    /// Runs at the same time.
    pub workers: usize,
    /// Threads of computation inside each run; results do not depend on it.
    pub threads: usize,
    /// Opened worlds, shared by runs.
    pub worlds: &'a Worlds,
    /// Where runs are kept, also while they go on.
    pub store: &'a Store,
    /// What makes the runs.
    pub provenance: &'a Provenance,
    /// Set to stop all runs after the round that each is in.
    pub stop: &'a AtomicBool,
}

impl Workers<'_> {
    /// Does all jobs, started in the given order. Each event, with the place of its job in `jobs`, is in the run's folder
    /// before `listen` hears of it, on the calling thread.
    pub fn run(&self, jobs: &[Job], mut listen: impl FnMut(usize, Event)) {
        let next = AtomicUsize::new(0);
        let (tx, rx) = mpsc::channel();
        std::thread::scope(|scope| {
            for _ in 0..self.workers.max(1) {
                let (tx, next) = (tx.clone(), &next);
                scope.spawn(move || {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(self.threads.max(1)).build();
                    loop {
                        let i = next.fetch_add(1, Ordering::Relaxed);
                        if i >= jobs.len() || self.stop.load(Ordering::Relaxed) {
                            break;
                        }
                        // Nobody listens any more only when the program ends.
                        let tell = |event| drop(tx.send((i, event)));
                        let one = || self.one(&jobs[i], &tell);
                        match &pool {
                            Ok(pool) => pool.install(one),
                            Err(_) => one(),
                        }
                    }
                });
            }
            drop(tx);
            rx.into_iter().for_each(|(job, event)| listen(job, event));
        });
    }

    fn one(&self, job: &Job, tell: &(dyn Fn(Event) + Sync)) {
        let clock = Instant::now();
        let seconds = || clock.elapsed().as_secs_f64();
        let folder = self.store.folder().join(format!("{}.partial", job.id));
        let failed = |e: Error| Event::RunFailed { reason: e.to_string(), folder: folder.clone(), seconds: seconds() };
        let mut partial = match self.store.begin(&job.id) {
            Ok(partial) => partial,
            Err(e) => {
                tell(Event::RunStarted { rounds_done: 0 });
                return tell(failed(e));
            }
        };
        let started = now();
        let caught = panics::catch(|| self.attempt(job, &mut partial, tell));
        let result = caught.unwrap_or_else(|panic| {
            Err(Error::Plugin(format!(
                "a plugin {panic}; this is a mistake in the plugin, other runs are not affected"
            )))
        });
        let end = match result {
            Ok(None) => {
                partial.log("stopped");
                Event::RunStopped { seconds: seconds() }
            }
            Ok(Some((records, spent))) => {
                let header = RunHeader { seconds: spent, ..self.header(job, started) };
                let metrics = records.last().map(|r| r.metrics.clone()).unwrap_or_default();
                match partial.finish(&header, &records) {
                    Ok(folder) => Event::RunFinished { metrics, folder, seconds: seconds() },
                    Err(e) => failed(e),
                }
            }
            Err(e) => {
                let (status, error) = ("failed".into(), Some(e.to_string()));
                partial.fail(&RunHeader { status, error, ..self.header(job, started) });
                failed(e)
            }
        };
        tell(end);
    }

    fn attempt(
        &self,
        job: &Job,
        partial: &mut Partial,
        tell: &dyn Fn(Event),
    ) -> Result<Option<(Vec<RoundRecord>, Seconds)>> {
        let done = partial.done().to_vec();
        let mut listen = |event: Event| {
            log::write(&event, job, partial)?;
            tell(event);
            Ok(())
        };
        listen(Event::RunStarted { rounds_done: done.len() })?;
        let seeds = RunSeeds::new(&job.scenario, job.seed);
        let base = self.worlds.get(&job.scenario, seeds)?;
        for text in base.notes.iter().cloned() {
            listen(Event::Note { round: None, text })?;
        }
        if let Some(names) = base.unplaced.clone() {
            listen(Event::Unplaced { names })?;
        }
        execute(Start { scenario: &job.scenario, seeds, base: &base, done, stop: self.stop }, &mut listen)
    }

    /// The header of a run that ends now and well.
    fn header(&self, job: &Job, started: u64) -> RunHeader {
        RunHeader {
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
            provenance: self.provenance.clone(),
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
        }
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}
