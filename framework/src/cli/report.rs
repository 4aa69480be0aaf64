use super::Folders;
use super::run::Plan;
use crate::error::{Error, Result};
use crate::report::{RunCurve, Study, StudyArm};
use crate::store::Finished;
use clap::Args;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use table::Table;

#[derive(Args)]
#[command(
    after_help = "Example: screenwright report scenarios/ifng.toml\nWrites results/NAME/report/ (figures as SVG and PNG, arms.csv, curves.csv, report.md) and results/NAME.parquet."
)]
pub(crate) struct Report {
    /// Scenario file
    scenario: PathBuf,
    /// Report on the small form of the scenario
    #[arg(long)]
    quick: bool,
    #[command(flatten)]
    folders: Folders,
}

impl Report {
    pub(crate) fn execute(self) -> Result<u8> {
        let plan = Plan::read(&self.scenario, self.quick, &self.folders)?;
        let study = study(&plan)?;
        if study.arms.iter().all(|a| a.runs.is_empty()) {
            return Err(Error::Data(format!(
                "{}: no finished run of this scenario; first do: screenwright run {}{}",
                plan.store.folder().display(),
                self.scenario.display(),
                if self.quick { " --quick" } else { "" }
            )));
        }
        super::print(&plan.headline());
        super::print(&study.table());
        for path in write(&plan, &study)? {
            super::print(&format!("wrote {}", path.display()));
        }
        Ok(super::OK)
    }
}

/// Finished runs of a plan by arm.
pub(crate) fn study(plan: &Plan) -> Result<Study> {
    let finished: HashMap<String, Finished> =
        plan.store.finished()?.into_iter().map(|f| (f.header.id.clone(), f)).collect();
    let seeds: Vec<u64> = plan.sweep.seeds.iter().collect();
    let metrics = plan.sweep.arms[0].scenario.metrics.clone();
    let mut arms = Vec::new();
    for (a, arm) in plan.sweep.arms.iter().enumerate() {
        let mut runs = Vec::new();
        for (s, &seed) in seeds.iter().enumerate() {
            let Some(f) = finished.get(&plan.ids[a * seeds.len() + s]) else { continue };
            let rounds = f.rounds()?;
            let n_measured = rounds.integers("n_measured")?.into_iter().map(|n| n as f64).collect();
            let values: BTreeMap<String, Vec<f64>> =
                metrics.iter().filter_map(|m| Some((m.clone(), rounds.numbers_or_missing(m).ok()?))).collect();
            runs.push(RunCurve { seed, n_measured, values });
        }
        arms.push(StudyArm { label: arm.label.clone(), reference: arm.reference, runs });
    }
    Ok(Study { name: plan.sweep.name.clone(), question: plan.sweep.question.clone(), metrics, arms })
}

/// Figures and tables in the store, and the long table beside it.
pub(crate) fn write(plan: &Plan, study: &Study) -> Result<Vec<PathBuf>> {
    let mut written = study.write(&plan.store.folder().join("report"))?;
    let path = plan.store.folder().with_extension("parquet");
    table::write_parquet(&long_table(plan)?, &path)?;
    written.push(path);
    Ok(written)
}

/// All rounds of all finished runs of the plan: run, arm, seed, then the columns of `rounds.parquet`.
pub(crate) fn long_table(plan: &Plan) -> Result<Table> {
    let finished: HashMap<String, Finished> =
        plan.store.finished()?.into_iter().map(|f| (f.header.id.clone(), f)).collect();
    let n_seeds = plan.sweep.seeds.count as usize;
    let mut parts = Vec::new();
    for (i, id) in plan.ids.iter().enumerate() {
        if let Some(f) = finished.get(id) {
            let arm = plan.sweep.arms[i / n_seeds].label.clone();
            parts.push((id.clone(), arm, f.header.seed, f.rounds()?));
        }
    }
    super::results::stack(&parts)
}
