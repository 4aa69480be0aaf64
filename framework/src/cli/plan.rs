use super::{Folders, Which, duration};
use crate::campaign::{Estimate, Why};
use crate::error::Result;
use clap::Args;
use std::fmt::Write as _;
use std::path::PathBuf;

#[derive(Args)]
#[command(after_help = "Example: screenwright plan scenarios/ifng.toml --quick")]
pub(crate) struct Plan {
    /// Scenario file
    scenario: PathBuf,
    /// List every run, not only the arms
    #[arg(long)]
    runs: bool,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    folders: Folders,
}

impl Plan {
    pub(crate) fn execute(self) -> Result<u8> {
        let planned = self.folders.plan(&self.scenario, &self.which.form())?;
        let mut out = planned.headline();
        let _ = writeln!(out);
        if !planned.sweep.question.is_empty() {
            let _ = writeln!(out, "{}", planned.sweep.question);
        }
        let last_seed = planned.sweep.seeds.from + planned.sweep.seeds.count - 1;
        let _ = writeln!(out, "seeds {} to {last_seed}", planned.sweep.seeds.from);
        let cost = planned.sweep.cost;
        let mut shapes: Vec<(usize, usize, usize)> = vec![];
        for s in planned.sweep.arms.iter().map(|a| &a.scenario) {
            let shape = (s.pool.init, s.rounds, s.batch);
            if !shapes.contains(&shape) {
                shapes.push(shape);
            }
        }
        for (init, rounds, batch) in shapes {
            let measured = init + rounds * batch;
            let _ = writeln!(
                out,
                "a screen: {init} initial + {rounds} rounds x {batch} = {measured} perturbations, {:.0} USD, {} months (see [cost])",
                cost.money(rounds as f64, measured as f64),
                cost.months(rounds as f64)
            );
        }
        if !planned.sweep.variants.is_empty() {
            let _ = writeln!(out, "variants (--variant NAME): {}", planned.sweep.variants.join(", "));
        }
        let left_out: usize = planned.sweep.incompatible.iter().map(|i| i.1).sum();
        if left_out > 0 {
            let _ = writeln!(out, "left out as incompatible: {left_out} arms");
            for (why, n) in &planned.sweep.incompatible {
                let _ = writeln!(out, "  {n} x {why}");
            }
        }
        if !planned.sweep.claims.is_empty() {
            let _ = writeln!(out, "claims that `report` will judge: {}", planned.sweep.claims.len());
        }
        let seeds = planned.sweep.seeds.count as usize;
        let width = planned.sweep.arms.iter().map(|a| a.label.chars().count()).max().unwrap_or(3);
        for (a, arm) in planned.sweep.arms.iter().enumerate() {
            let of = |why: Why| planned.why[a * seeds..(a + 1) * seeds].iter().filter(|w| **w == why).count();
            let reasons: Vec<String> = [Why::Finished, Why::Interrupted, Why::Failed, Why::New]
                .into_iter()
                .filter(|w| of(*w) > 0)
                .map(|w| format!("{} {}", of(w), w.words()))
                .collect();
            let reference = if arm.reference == Some(a) { "   (reference)" } else { "" };
            let _ = writeln!(out, "  {:width$}   {}{reference}", arm.label, reasons.join(", "));
        }
        if self.runs {
            for (job, why) in planned.jobs.iter().zip(&planned.why_of_jobs()) {
                let _ = writeln!(out, "  {}   {}   seed {}   {}", job.id, job.arm, job.seed, why.words());
            }
        }
        if let Some(cost) = planned.cost() {
            let _ = writeln!(out, "{}", words(cost));
        }
        super::print(&out);
        Ok(super::OK)
    }
}

fn words(cost: Estimate) -> String {
    match cost {
        Estimate::NothingToDo => "nothing to do".into(),
        Estimate::Unknown => "cost: unknown until one run has finished; try --quick first".into(),
        Estimate::About { seconds, finished } => {
            format!("cost: about {} of one core for the rest, judged by {finished} finished runs", duration(seconds))
        }
    }
}
