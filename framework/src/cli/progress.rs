//! What a person sees while runs go on: a bar on a terminal, plain lines elsewhere.

use super::duration;
use crate::campaign::Plan;
use crate::runner::{Event, Job};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

pub(crate) struct Progress {
    bar: ProgressBar,
    terminal: bool,
    names: Vec<(String, String, u64, usize)>,
    width: usize,
    /// Runs under way, by number.
    running: Vec<usize>,
    ended: usize,
    rounds_left: usize,
    rounds_done: usize,
    clock: Instant,
    metrics: Vec<String>,
    last_plain: Instant,
}

impl Progress {
    pub(crate) fn new(plan: &Plan) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = ProgressBar::new(plan.jobs.len() as u64);
        bar.set_draw_target(if terminal {
            ProgressDrawTarget::stderr_with_hz(8)
        } else {
            ProgressDrawTarget::hidden()
        });
        if let Ok(style) = ProgressStyle::with_template(" [{bar:28}] {pos}/{len}   {msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        if terminal && !plan.jobs.is_empty() {
            bar.enable_steady_tick(Duration::from_millis(500));
        }
        let per_run = |j: &Job| j.scenario.rounds + 1;
        Self {
            bar,
            terminal,
            names: plan.jobs.iter().map(|j| (j.id[..8].to_string(), j.arm.clone(), j.seed, per_run(j))).collect(),
            width: plan.jobs.iter().map(|j| j.arm.chars().count()).max().unwrap_or(0).min(60),
            running: vec![],
            ended: 0,
            rounds_left: plan.jobs.iter().map(per_run).sum(),
            rounds_done: 0,
            clock: Instant::now(),
            metrics: plan.sweep.arms[0].scenario.metrics.iter().take(3).cloned().collect(),
            last_plain: Instant::now(),
        }
    }

    /// Shows an event of the run of that number.
    pub(crate) fn show(&mut self, run: usize, event: &Event) {
        match event {
            Event::RunStarted { .. } => self.running.push(run),
            Event::RoundFinished { .. } => {
                self.rounds_done += 1;
                self.rounds_left = self.rounds_left.saturating_sub(1);
            }
            Event::RunFinished { metrics, seconds, .. } => {
                let shown: Vec<String> =
                    self.metrics.iter().filter_map(|m| Some(format!("{m} {:.4}", metrics.get(m)?))).collect();
                self.ended(run, format!("{}  {}   {}", self.head(run, "ok"), shown.join("  "), duration(*seconds)));
            }
            Event::RunFailed { reason, folder, .. } => {
                let log = folder.join("log.txt");
                self.ended(run, format!("{}  {reason}\n        see {}", self.head(run, "FAIL"), log.display()));
            }
            Event::RunStopped { .. } => {
                self.ended(run, format!("{}  will go on next time", self.head(run, "stop")));
            }
            // The log has them.
            Event::Note { .. } | Event::Unplaced { .. } | Event::RoundStarted { .. } => return,
        }
        self.bar.set_message(self.message());
    }

    fn message(&self) -> String {
        let left = if self.rounds_done == 0 {
            String::new()
        } else {
            let per_round = self.clock.elapsed().as_secs_f64() / self.rounds_done as f64;
            format!("   {} left", duration(per_round * self.rounds_left as f64))
        };
        // The oldest ones by name: they are what a long wait waits for.
        let name = |i: &usize| format!("{} seed {}", clip(&self.names[*i].1), self.names[*i].2);
        let shown: Vec<String> = self.running.iter().take(2).map(name).collect();
        let more = if self.running.len() > 2 { ", ..." } else { "" };
        let what = if shown.is_empty() { String::new() } else { format!(": {}{more}", shown.join(", ")) };
        format!("{} running{what}{left}", self.running.len())
    }

    /// What every line about the run begins with.
    fn head(&self, run: usize, word: &str) -> String {
        let (id, arm, seed, _) = &self.names[run];
        format!("  {word:>4}  {id}  {arm:width$}  seed {seed:<3}", width = self.width)
    }

    fn ended(&mut self, run: usize, text: String) {
        self.running.retain(|r| *r != run);
        self.ended += 1;
        self.bar.inc(1);
        if self.terminal {
            self.bar.println(text);
        } else {
            eprintln!("{text}");
            if self.last_plain.elapsed() > Duration::from_secs(30) {
                self.last_plain = Instant::now();
                eprintln!("  {}/{} runs   {}", self.ended, self.names.len(), self.message());
            }
        }
    }

    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// An arm's label, short enough for a line.
fn clip(label: &str) -> String {
    match label.chars().count() {
        0..=28 => label.to_string(),
        _ => label.chars().take(27).chain(['…']).collect(),
    }
}
