use super::{Folders, Which};
use crate::campaign::{self, combined, known_axis, restrict, study};
use crate::error::{Error, Result, hint};
use crate::report::{self, Along};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

#[derive(Clone, Copy, Default, ValueEnum)]
pub(crate) enum Axis {
    /// Perturbations measured
    #[default]
    Measured,
    /// Rounds
    Round,
    /// USD, by the scenario's [cost]
    Cost,
    /// Months, by the scenario's [cost]
    Months,
}

#[derive(Args)]
#[command(
    after_help = "Example: screenwright report scenarios/ifng.toml\n         screenwright report my_screen.toml --axis cost --target 0.3 --against curves.csv\n         screenwright report scenarios/ifng.toml scenarios/il2.toml\nWrites results/NAME/report/ (report.html, figures as SVG and PNG, arms.csv, curves.csv, speedup.csv, report.md) and\nresults/NAME.parquet; with --alignment [ARM] only the figure and table of kernel alignment by round."
)]
pub(crate) struct Report {
    /// Scenario file; several are compared with each other, arm by arm, with a panel and a block of ranks a scenario
    #[arg(required = true)]
    scenario: Vec<PathBuf>,
    #[command(flatten)]
    which: Which,
    /// What figures are drawn over; areas under curves stay over perturbations measured
    #[arg(long, value_enum, default_value = "measured")]
    axis: Axis,
    /// Metric whose speed-up is reported (may be given several times) [default: the first]
    #[arg(long = "metric", value_name = "NAME")]
    metrics: Vec<String>,
    /// Report also the rounds until this value of these metrics is reached
    #[arg(long, value_name = "VALUE", allow_negative_numbers = true)]
    target: Option<f64>,
    /// Lay published learning curves over ours: a table below the data root or any path; how its columns and methods
    /// are matched is set in the scenario's [published]
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Group arms by these axes (comma between them) and report what each choice changes, averaged over the rest of the
    /// grid [default: the scenario's [compare] by]
    #[arg(long, value_name = "AXIS,...", value_delimiter = ',')]
    by: Vec<String>,
    /// Only arms with this value of an axis (may be given several times; several values of an axis are all kept); the
    /// report goes to a folder of its own
    #[arg(long = "where", value_name = "AXIS=VALUE")]
    only: Vec<String>,
    /// Draw kernel alignment with the truth by round, for the model and each prior, in one arm (default: the
    /// reference arm, else the first); the scenario must list `alignment` or `centred_alignment` in metrics
    #[arg(long, value_name = "ARM", num_args = 0..=1, default_missing_value = "")]
    alignment: Option<String>,
    #[command(flatten)]
    folders: Folders,
}

impl Report {
    pub(crate) fn execute(self) -> Result<u8> {
        if self.scenario.len() > 1 {
            return self.together();
        }
        let plan = self.folders.plan(&self.scenario[0], &self.which.form())?;
        let (mut report, runs) = study(&plan)?;
        if !self.by.is_empty() {
            for axis in &self.by {
                known_axis(&report.study, axis, "--by")?;
            }
            report.view.by = self.by.clone();
        }
        let folder = restrict(&mut report, &self.only)?;
        report.view.along = match self.axis {
            Axis::Measured => Along::Measured,
            Axis::Round => Along::Round,
            Axis::Cost => Along::Cost,
            Axis::Months => Along::Months,
        };
        for m in &self.metrics {
            if !report.study.metrics.contains(m) {
                let near = hint(m, report.study.metrics.iter().map(String::as_str));
                let list =
                    if near.is_empty() { format!("; it lists: {}", report.study.metrics.join(", ")) } else { near };
                return Err(Error::Config(format!("--metric {m}: not among the scenario's metrics{list}")));
            }
        }
        report.view.speed_metrics = self.metrics.clone();
        if self.target.is_some_and(|t| !t.is_finite()) {
            return Err(Error::Config("--target must be a finite number".into()));
        }
        report.view.target = self.target;
        if report.study.arms.iter().all(|a| a.runs.is_empty()) {
            return Err(Error::Data(format!(
                "{}: no finished run of this scenario; first do: screenwright run {}{}",
                plan.store.folder().display(),
                self.scenario[0].display(),
                self.which.words()
            )));
        }
        super::print(&plan.headline());
        if let Some(arm) = &self.alignment {
            let (study, stem) = campaign::alignment(&plan, &report.study, &runs, arm)?;
            for path in report::write_curves(&study, &report.view, &plan.store.folder().join("report"), &stem)? {
                super::print(&format!("wrote {}", path.display()));
            }
            return Ok(super::OK);
        }
        super::warn(&campaign::add_published(&mut report, &plan, self.against.as_deref())?);
        super::print(&report::table(&report));
        for path in campaign::write(&plan, &report, &runs, &folder)? {
            super::print(&format!("wrote {}", path.display()));
        }
        Ok(if report.study.unreadable.is_empty() { super::OK } else { super::SOME_FAILED })
    }
}

impl Report {
    /// One report over several scenarios.
    fn together(&self) -> Result<u8> {
        if self.alignment.is_some() || self.against.is_some() || !self.by.is_empty() {
            return Err(Error::Config(
                "--alignment, --against and --by take one scenario; give them one at a time".into(),
            ));
        }
        let mut studies = vec![];
        for file in &self.scenario {
            let plan = self.folders.plan(file, &self.which.form())?;
            let (one, _) = study(&plan)?;
            if one.study.arms.iter().all(|a| a.runs.is_empty()) {
                return Err(Error::Data(format!("{}: no finished run; first do: {}", file.display(), plan.command())));
            }
            super::print(&plan.headline());
            studies.push(one);
        }
        let mut report = combined(studies)?;
        let folder = restrict(&mut report, &self.only)?;
        let dir = self.folders.results_dir.join(report.study.name.replace(" and ", "+")).join(folder);
        super::print(&report::table(&report));
        for path in report::write(&report, &dir)? {
            super::print(&format!("wrote {}", path.display()));
        }
        Ok(if report.study.unreadable.is_empty() { super::OK } else { super::SOME_FAILED })
    }
}
