use super::progress::Progress;
use super::{Folders, Which, duration};
use crate::compatibility::misfits;
use crate::data::DataRoot;
use crate::error::{Error, Result};
use crate::runner::{Job, Outcome, RunSeeds, Split, Worlds, run_all};
use crate::scenario::{ScenarioForm, Sweep};
use crate::store::{DataHashes, Provenance, Store, run_id};
use clap::Args;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    folders: Folders,
}

/// Why a run would be done, or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Why {
    Finished,
    Interrupted,
    Failed,
    New,
}

impl Why {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Why::Finished => "finished",
            Why::Interrupted => "to go on (interrupted)",
            Why::Failed => "to try again (failed before)",
            Why::New => "to do (new)",
        }
    }
}

/// A sweep with its runs and what is to be done.
pub(crate) struct Plan {
    pub(crate) sweep: Sweep,
    pub(crate) store: Store,
    pub(crate) data: Arc<DataRoot>,
    /// Unfinished runs in order of start: seed by seed, arm by arm.
    pub(crate) jobs: Vec<Job>,
    /// Arm-major reasons of all runs.
    pub(crate) why: Vec<Why>,
    /// Arm-major ids of all runs.
    pub(crate) ids: Vec<String>,
}

impl Plan {
    pub(crate) fn read(file: &Path, which: &Which, folders: &Folders) -> Result<Self> {
        Self::of(file, &which.form(), folders)
    }

    pub(crate) fn of(file: &Path, form: &ScenarioForm, folders: &Folders) -> Result<Self> {
        let sweep = Sweep::read(file, form)?;
        let data = Arc::new(folders.data());
        let store = Store::at(&folders.results_dir, &sweep.name);
        let mut hashes: HashMap<PathBuf, String> = HashMap::new();
        let mut arm_data: Vec<DataHashes> = Vec::new();
        for arm in &sweep.arms {
            let files = arm.scenario.data_files();
            for f in &files {
                if !hashes.contains_key(f) {
                    let h = crate::store::hash_file(&data.path(f))?;
                    hashes.insert(f.clone(), h);
                }
            }
            arm_data.push(files.iter().map(|f| (f.display().to_string(), hashes[f].clone())).collect());
        }
        let mut why = Vec::new();
        let mut ids = Vec::new();
        let mut all = Vec::new();
        for (arm, data) in sweep.arms.iter().zip(&arm_data) {
            for seed in sweep.seeds.iter() {
                let id = run_id(&arm.resolved, RunSeeds::new(&arm.scenario, seed), data);
                why.push(if store.is_finished(&id) {
                    Why::Finished
                } else if store.is_partial(&id) {
                    if store.has_failed(&id) { Why::Failed } else { Why::Interrupted }
                } else {
                    Why::New
                });
                ids.push(id.clone());
                all.push(Job {
                    id,
                    name: sweep.name.clone(),
                    arm: arm.label.clone(),
                    axes: arm.axes.clone(),
                    seed,
                    scenario: arm.scenario.clone(),
                    resolved: arm.resolved.clone(),
                    data: data.clone(),
                });
            }
        }
        let (n_arms, n_seeds) = (sweep.arms.len(), sweep.seeds.count as usize);
        let order = (0..n_seeds).flat_map(|s| (0..n_arms).map(move |a| a * n_seeds + s));
        let mut slots: Vec<Option<Job>> = all.into_iter().map(Some).collect();
        let jobs = order.filter(|&i| why[i] != Why::Finished).filter_map(|i| slots[i].take()).collect();
        Ok(Self { sweep, store, data, jobs, why, ids })
    }

    /// The command that makes these runs.
    pub(crate) fn command(&self) -> String {
        let form = &self.sweep.form;
        let variants: String = form.variants.iter().map(|v| format!(" --variant {v}")).collect();
        let quick = if form.quick { " --quick" } else { "" };
        format!("screenwright run {}{variants}{quick}", self.sweep.file.display())
    }

    pub(crate) fn why_of_jobs(&self) -> Vec<Why> {
        let by_id: HashMap<&str, Why> = self.ids.iter().map(String::as_str).zip(self.why.iter().copied()).collect();
        self.jobs.iter().map(|j| by_id[j.id.as_str()]).collect()
    }

    pub(crate) fn headline(&self) -> String {
        let (a, s) = (self.sweep.arms.len(), self.sweep.seeds.count);
        let done = self.why.iter().filter(|w| **w == Why::Finished).count();
        let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
        let variants = match &self.sweep.form.variants[..] {
            [] => String::new(),
            [one] => format!(" (variant {one})"),
            many => format!(" (variants {})", many.join(", ")),
        };
        format!(
            "{}{variants}   {} x {} = {}   ({done} finished, {} to do)",
            self.sweep.name,
            plural(a, "arm"),
            plural(s as usize, "seed"),
            plural(self.why.len(), "run"),
            self.jobs.len()
        )
    }

    /// What the rest will take, from the time that finished runs of the same sweep took.
    pub(crate) fn cost(&self) -> Option<String> {
        if self.jobs.is_empty() {
            return Some("nothing to do".into());
        }
        let (finished, _) = self.store.finished().ok()?;
        let seconds: Vec<f64> = finished.iter().map(|f| f.header.seconds.total()).collect();
        if seconds.is_empty() {
            return Some("cost: unknown until one run has finished; try --quick first".into());
        }
        // The median of the same arm where it has finished runs, of all runs elsewhere.
        let overall = numerics::stats::quantile(&seconds, 0.5);
        let mut by_arm: HashMap<&str, Vec<f64>> = HashMap::new();
        for f in &finished {
            by_arm.entry(&f.header.arm).or_default().push(f.header.seconds.total());
        }
        let typical: HashMap<&str, f64> =
            by_arm.into_iter().map(|(arm, s)| (arm, numerics::stats::quantile(&s, 0.5))).collect();
        let total: f64 = self.jobs.iter().map(|j| typical.get(j.arm.as_str()).copied().unwrap_or(overall)).sum();
        Some(format!(
            "cost: about {} of one core for the rest, judged by {} finished runs",
            duration(total),
            seconds.len()
        ))
    }

    /// Opens every distinct world once, so that bad data is told before anything runs.
    fn preflight(&self, worlds: &Worlds) -> Result<()> {
        let first = self.sweep.seeds.from;
        for arm in &self.sweep.arms {
            let seeds = RunSeeds::new(&arm.scenario, first);
            let place = |e: Error| Error::Data(format!("{}: {e}", self.sweep.file.display()));
            let base = worlds.get(&arm.scenario, seeds).map_err(place)?;
            Split::new(&base, &arm.scenario, seeds).map_err(place)?;
            if let Some(m) = misfits(&arm.scenario.parts(), Some(&base.facts())).first() {
                return Err(place(Error::Config(format!("arm `{}`: {}", arm.label, m.text))));
            }
        }
        Ok(())
    }
}

impl Run {
    pub(crate) fn execute(self) -> Result<u8> {
        let clock = Instant::now();
        let plan = Plan::read(&self.scenario, &self.which, &self.folders)?;
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        if self.jobs == Some(0) || self.threads == Some(0) {
            return Err(Error::Config("--jobs and --threads must be at least 1".into()));
        }
        let workers = self.jobs.unwrap_or(cores).min(plan.jobs.len().max(1));
        let threads = self.threads.unwrap_or((cores / workers).max(1));
        let store = Store::create(&self.folders.results_dir, &plan.sweep.name)?;
        super::print(&plan.headline());
        let worlds = Worlds::new(plan.data.clone(), workers + 2);
        if !plan.jobs.is_empty() {
            plan.preflight(&worlds)?;
        }
        let stop = interrupt_flag()?;
        let provenance = Provenance::gather(&self.scenario);
        let mut failed = 0;
        let mut stopped = false;
        let mut progress = Progress::new(&plan, workers);
        run_all(&plan.jobs, workers, threads, &worlds, &store, &provenance, stop, |event| {
            if let crate::runner::Event::Ended(_, outcome, _) = &event {
                match outcome {
                    Outcome::Failed(..) => failed += 1,
                    Outcome::Stopped => stopped = true,
                    Outcome::Ok(..) => {}
                }
            }
            progress.show(&event);
        })?;
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
        let mut unreadable = false;
        if n > left {
            let (mut report, runs) = super::report::study(&plan)?;
            super::report::add_published(&mut report, &plan, None)?;
            super::print(&crate::report::table(&report));
            unreadable = !report.study.unreadable.is_empty();
            let written = super::report::write(&plan, &report, &runs, "report")?;
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
