use super::progress::Progress;
use super::{Folders, Which, duration};
use crate::campaign;
use crate::error::{Error, Result, listed};
use crate::runner::{Event, Workers, Worlds};
use crate::store::{Provenance, Store};
use clap::Args;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

#[derive(Args)]
#[command(
    after_help = "Examples:\n  screenwright run scenarios/quickstart.toml\n  screenwright run scenarios/ifng.toml -j 2 --data-dir ~/screens\n  screenwright run scenarios/ifng.toml --quick\n  screenwright run my_screen.toml --variant cheap      with the overrides of its [variant.cheap]\n\nAn interrupted sweep goes on when the same command is given again; finished runs are not repeated.\nExit codes: 0 ok; 2 usage, configuration or data error; 3 some runs failed; 130 stopped with Ctrl-C."
)]
pub(crate) struct Run {
    /// Scenario file
    scenario: PathBuf,
    /// Runs at the same time [default: number of cores]
    #[arg(short, long, value_name = "N")]
    jobs: Option<usize>,
    /// Threads inside each run [default: cores / jobs]; results do not depend on it
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Name every feature that priors use in log.txt of each run
    #[arg(long)]
    verbose: bool,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    folders: Folders,
}

impl Run {
    pub(crate) fn execute(self) -> Result<u8> {
        let clock = Instant::now();
        let plan = self.folders.plan(&self.scenario, &self.which.form())?;
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        if self.jobs == Some(0) || self.threads == Some(0) {
            return Err(Error::Config("--jobs and --threads must be at least 1".into()));
        }
        let workers = self.jobs.unwrap_or(cores).min(plan.jobs.len().max(1));
        let threads = self.threads.unwrap_or((cores / workers).max(1));
        let store = Store::create(&self.folders.results_dir, &plan.sweep.name)?;
        super::print(&plan.headline());
        let worlds = Worlds::new(plan.data.clone(), workers + 2);
        let worlds = if self.verbose { worlds.verbose() } else { worlds };
        if !plan.jobs.is_empty() {
            plan.preflight(&worlds)?;
        }
        let stop = interrupt_flag()?;
        let provenance = Provenance::gather(&self.scenario);
        let mut failed = 0;
        let mut stopped = false;
        let mut unplaced = BTreeSet::new();
        let mut progress = Progress::new(&plan);
        let (worlds, store, provenance) = (&worlds, &store, &provenance);
        Workers { workers, threads, worlds, store, provenance, stop }.run(&plan.jobs, |job, event| {
            match &event {
                Event::RunFailed { .. } => failed += 1,
                Event::RunStopped { .. } => stopped = true,
                Event::Unplaced { names } => drop(unplaced.insert(names.summary.clone())),
                _ => {}
            }
            progress.show(job, &event);
        });
        progress.end();
        stopped |= stop.load(Ordering::Relaxed);
        let n = plan.why.len();
        let left = plan.ids.iter().filter(|id| !store.is_finished(id)).count();
        super::print(&format!(
            "\n{n} runs: {} ok, {failed} failed{}   in {}   {}",
            n - left,
            if left > failed { format!(", {} not run", left - failed) } else { String::new() },
            duration(clock.elapsed().as_secs_f64()),
            store.folder().display()
        ));
        if !unplaced.is_empty() {
            let all: Vec<String> = unplaced.into_iter().collect();
            super::print(&format!("genes by name: {} (names.csv in the folder of each run)", listed(&all, 3)));
        }
        let mut unreadable = false;
        if n > left {
            let (mut report, runs) = campaign::study(&plan)?;
            super::warn(&campaign::add_published(&mut report, &plan, None)?);
            super::print(&crate::report::table(&report));
            unreadable = !report.study.unreadable.is_empty();
            let written = campaign::write(&plan, &report, &runs, "report")?;
            // The curves of the first metric; where nothing is drawn over rounds, any figure.
            let named = |p: &&PathBuf, start: &str, end: &str| {
                p.file_name().and_then(|n| n.to_str()).is_some_and(|n| n.starts_with(start) && n.ends_with(end))
            };
            let find = |start: &str, end: &str| written.iter().find(|p| named(p, start, end));
            for (word, path) in
                [("figure", find("curves_", ".svg").or(find("", ".svg"))), ("report", find("", ".html"))]
            {
                if let Some(path) = path {
                    super::print(&format!("{word}: {}", path.display()));
                }
            }
            super::print(&crate::report::best_lines(&report.study));
        }
        if stopped {
            super::print("stopped; the same command goes on from here");
            return Ok(super::STOPPED);
        }
        Ok(if failed > 0 || unreadable { super::SOME_FAILED } else { super::OK })
    }
}

/// A flag that the first Ctrl-C sets; the second ends the program at once.
fn interrupt_flag() -> Result<&'static AtomicBool> {
    static STOP: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(i32::from(super::STOPPED));
        }
        eprintln!("\nfinishing the rounds under way; press Ctrl-C again to stop at once");
    })
    .map_err(|e| Error::Config(format!("Ctrl-C cannot be handled: {e}")))?;
    Ok(&STOP)
}
