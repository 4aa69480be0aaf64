//! What is to do: a scenario's runs, which of them are finished, and what the rest will cost.

use crate::compatibility::misfits;
use crate::data::DataRoot;
use crate::error::{Error, Result};
use crate::runner::{Job, Split, Worlds};
use crate::scenario::{ScenarioForm, Sweep};
use crate::store::{DataHashes, RunSeeds, Store, run_id};
use numerics::stats::quantile;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a run would be done, or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Why {
    /// It is finished, and stays as it is.
    Finished,
    /// It was begun, and goes on.
    Interrupted,
    /// Its last attempt failed, and it is tried again.
    Failed,
    /// Nothing is stored of it.
    New,
}

impl Why {
    fn of(store: &Store, id: &str) -> Self {
        if store.is_finished(id) {
            Why::Finished
        } else if store.has_failed(id) {
            Why::Failed
        } else if store.is_partial(id) {
            Why::Interrupted
        } else {
            Why::New
        }
    }

    /// The word for it in listings.
    pub fn words(self) -> &'static str {
        match self {
            Why::Finished => "finished",
            Why::Interrupted => "to go on (interrupted)",
            Why::Failed => "to try again (failed before)",
            Why::New => "to do (new)",
        }
    }
}

/// The processor time that the unfinished runs will take.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Estimate {
    /// All runs are finished.
    NothingToDo,
    /// No run has finished that it could be judged by.
    Unknown,
    /// About as much as the finished runs suggest.
    About {
        /// Seconds of one core.
        seconds: f64,
        /// How many finished runs it is judged by.
        finished: usize,
    },
}

/// A sweep with its runs and what is to be done.
pub struct Plan {
    /// The scenario's arms and seeds.
    pub sweep: Sweep,
    /// Where its runs are stored; the folder need not exist.
    pub store: Store,
    /// Where its data lies.
    pub data: Arc<DataRoot>,
    /// Unfinished runs in order of start: seed by seed, arm by arm.
    pub jobs: Vec<Job>,
    /// Arm-major reasons of all runs.
    pub why: Vec<Why>,
    /// Arm-major ids of all runs.
    pub ids: Vec<String>,
}

impl Plan {
    /// Reads a scenario file in one of its forms and looks up in the results folder what is done already.
    pub fn read(file: &Path, form: &ScenarioForm, data: DataRoot, results: &Path) -> Result<Self> {
        Self::of(Sweep::read(file, form)?, data, results)
    }

    /// The same for a scenario that is read already.
    pub fn of(sweep: Sweep, data: DataRoot, results: &Path) -> Result<Self> {
        let data = Arc::new(data);
        let store = Store::at(results, &sweep.name);
        let arm_data = hash_data(&sweep, &data)?;
        let mut why = Vec::new();
        let mut ids = Vec::new();
        let mut all = Vec::new();
        for (arm, data) in sweep.arms.iter().zip(&arm_data) {
            for seed in sweep.seeds.iter() {
                let id = run_id(&arm.resolved, RunSeeds::new(&arm.scenario, seed), data);
                why.push(Why::of(&store, &id));
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
    pub fn command(&self) -> String {
        let form = &self.sweep.form;
        let variants: String = form.variants.iter().map(|v| format!(" --variant {v}")).collect();
        let quick = if form.quick { " --quick" } else { "" };
        format!("screenwright run {}{variants}{quick}", self.sweep.file.display())
    }

    /// The reasons of the unfinished runs, in order of start.
    pub fn why_of_jobs(&self) -> Vec<Why> {
        let by_id: HashMap<&str, Why> = self.ids.iter().map(String::as_str).zip(self.why.iter().copied()).collect();
        self.jobs.iter().map(|j| by_id[j.id.as_str()]).collect()
    }

    /// One line: the scenario, its size, and how much of it is done.
    pub fn headline(&self) -> String {
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

    /// What the rest will take, from the time that finished runs of the same sweep took; nothing where the store cannot be
    /// read.
    pub fn cost(&self) -> Option<Estimate> {
        if self.jobs.is_empty() {
            return Some(Estimate::NothingToDo);
        }
        let (finished, _) = self.store.finished().ok()?;
        let seconds: Vec<f64> = finished.iter().map(|f| f.header.seconds.total()).collect();
        if seconds.is_empty() {
            return Some(Estimate::Unknown);
        }
        // The median of the same arm where it has finished runs, of all runs elsewhere.
        let overall = quantile(&seconds, 0.5);
        let mut by_arm: HashMap<&str, Vec<f64>> = HashMap::new();
        for f in &finished {
            by_arm.entry(&f.header.arm).or_default().push(f.header.seconds.total());
        }
        let typical: HashMap<&str, f64> = by_arm.into_iter().map(|(arm, s)| (arm, quantile(&s, 0.5))).collect();
        let total = self.jobs.iter().map(|j| typical.get(j.arm.as_str()).copied().unwrap_or(overall)).sum();
        Some(Estimate::About { seconds: total, finished: finished.len() })
    }

    /// Opens every distinct world once, so that bad data is found before anything runs.
    pub fn preflight(&self, worlds: &Worlds) -> Result<()> {
        let first = self.sweep.seeds.from;
        for arm in &self.sweep.arms {
            let seeds = RunSeeds::new(&arm.scenario, first);
            let place = |e: Error| e.at(self.sweep.file.display().to_string());
            let base = worlds.get(&arm.scenario, seeds).map_err(place)?;
            Split::new(&base, &arm.scenario, seeds).map_err(place)?;
            if let Some(m) = misfits(&arm.scenario.parts(), Some(&base.facts())).first() {
                return Err(place(Error::Config(m.text.clone()).at(format!("arm `{}`", arm.label))));
            }
        }
        Ok(())
    }
}

/// The hashes of the data files of each arm; every file is read once.
fn hash_data(sweep: &Sweep, data: &DataRoot) -> Result<Vec<DataHashes>> {
    let mut hashes: HashMap<PathBuf, String> = HashMap::new();
    let mut by_arm = Vec::new();
    for arm in &sweep.arms {
        let files = arm.scenario.data_files();
        for f in &files {
            if !hashes.contains_key(f) {
                let h = crate::store::hash_file(&data.path(f))?;
                hashes.insert(f.clone(), h);
            }
        }
        by_arm.push(files.iter().map(|f| (f.display().to_string(), hashes[f].clone())).collect());
    }
    Ok(by_arm)
}
