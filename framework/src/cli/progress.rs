//! What a person sees while runs go on: a bar on a terminal, plain lines elsewhere.

use super::duration;
use super::run::Plan;
use crate::runner::{Event, Outcome};
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
    pub(crate) fn new(plan: &Plan, _workers: usize) -> Self {
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
        let per_run = |j: &crate::runner::Job| j.scenario.rounds + 1;
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

    pub(crate) fn show(&mut self, event: &Event) {
        match event {
            Event::Started(i) => self.running.push(*i),
            Event::Round(..) => {
                self.rounds_done += 1;
                self.rounds_left = self.rounds_left.saturating_sub(1);
            }
            Event::Ended(i, outcome, seconds) => {
                self.running.retain(|r| r != i);
                self.ended += 1;
                self.bar.inc(1);
                self.line(*i, outcome, *seconds);
            }
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

    fn line(&mut self, i: usize, outcome: &Outcome, seconds: f64) {
        let (id, arm, seed, _) = &self.names[i];
        let head = |word: &str| format!("  {word:>4}  {id}  {arm:width$}  seed {seed:<3}", width = self.width);
        let text = match outcome {
            Outcome::Ok(metrics, _) => {
                let shown: Vec<String> =
                    self.metrics.iter().filter_map(|m| Some(format!("{m} {:.4}", metrics.get(m)?))).collect();
                format!("{}  {}   {}", head("ok"), shown.join("  "), duration(seconds))
            }
            Outcome::Failed(why, folder) => {
                format!("{}  {why}\n        see {}", head("FAIL"), folder.join("log.txt").display())
            }
            Outcome::Stopped => format!("{}  will go on next time", head("stop")),
        };
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
