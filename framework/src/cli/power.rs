use super::Folders;
use crate::error::{Error, Result};
use crate::power::{EffectSizes, Outlook, PlanStudy, frontier, recommended, table};
use crate::report::write_plans;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Instant;

/// Plans printed.
const SHOWN: usize = 14;

#[derive(Args)]
#[command(
    after_help = "Examples:\n  screenwright power scenarios/power/planning.toml\n  screenwright power scenarios/power/planning.toml --budget 20000\n\nA study file names where effect sizes come from ([pilot], [oracle] or [effects]), the noise of a measurement, prices and\nlists of cells, replicates, batch sizes and rounds. Every plan is played in the same simulated worlds. Writes plans.csv\nand two figures: recall against cost, and what cells and replicates change."
)]
pub(crate) struct Power {
    /// Study file
    study: PathBuf,
    /// USD there are; overrides the study file
    #[arg(long, value_name = "USD", allow_negative_numbers = true)]
    budget: Option<f64>,
    /// Simulated worlds; overrides the study file
    #[arg(long, value_name = "N")]
    worlds: Option<usize>,
    /// Threads [default: all cores]; results do not depend on it
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Folder of table and figures [default: NAME in the results folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    folders: Folders,
}

impl Power {
    pub(crate) fn execute(self) -> Result<u8> {
        let mut study = PlanStudy::read(&self.study)?;
        if let Some(b) = self.budget {
            if !(b > 0.0 && b.is_finite()) {
                return Err(Error::Config("--budget must be a number of USD above 0".into()));
            }
            study.plans.budget = Some(b);
        }
        if let Some(n) = self.worlds {
            if n < 2 {
                return Err(Error::Config("--worlds must be at least 2: intervals are over worlds".into()));
            }
            study.plans.worlds = n;
        }
        if let Some(n) = self.threads {
            // A pool that exists already keeps its size: only tests of this program start it earlier.
            let _ = rayon::ThreadPoolBuilder::new().num_threads(n).build_global();
        }
        let clock = Instant::now();
        let data = self.folders.data();
        let sizes = EffectSizes::of(&study, &data)?;
        let n = study.plans.perturbations.unwrap_or(sizes.n());
        let (plans, left_out) = study.plans(n);
        super::print(&format!(
            "{}   {} plans x {} worlds of {n} perturbations\n{}",
            study.name,
            plans.len(),
            study.plans.worlds,
            sizes.note
        ));
        left_out.iter().for_each(|note| eprintln!("warning: {note}"));
        let bar = bar(study.plans.worlds as u64);
        let all = study.simulate(&sizes, &|| bar.inc(1))?;
        bar.finish_and_clear();
        let dir = self.out.clone().unwrap_or_else(|| self.folders.results_dir.join(&study.name));
        let figures = write_plans(&study.name, &all, study.plans.budget, &dir)?;
        let path = dir.join("plans.csv");
        table::write_csv(&table(&all, study.plans.budget), &path)?;
        super::print(&summary(&study, &all));
        super::print(&format!("wrote {}", path.display()));
        figures.iter().for_each(|f| super::print(&format!("wrote {}", f.display())));
        eprintln!("{} in all", super::duration(clock.elapsed().as_secs_f64()));
        Ok(super::OK)
    }
}

fn bar(n: u64) -> ProgressBar {
    let bar = ProgressBar::new(n);
    if !std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    if let Ok(style) = ProgressStyle::with_template(" [{bar:28}] {pos}/{len} worlds   {eta} left") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// The plans worth a look, cheap to dear, and the recommendation.
fn summary(study: &PlanStudy, all: &[Outlook]) -> String {
    let best = study.plans.budget.and_then(|b| recommended(all, b));
    let mut listed = frontier(all);
    let hidden = listed.len().saturating_sub(SHOWN);
    if hidden > 0 {
        // Evenly over the range, the recommended one among them.
        let keep: Vec<usize> = (0..SHOWN).map(|k| listed[k * (listed.len() - 1) / (SHOWN - 1)]).collect();
        listed.retain(|i| keep.contains(i) || best == Some(*i));
    }
    let mut out = String::from(
        "\nPlans that no other beats in both recall and cost, cheap to dear\n\n\
         rounds  batch  cells  replicates  measured      cost   months   detectable          recall  precision   USD a hit\n",
    );
    let money = |v: f64| if v.is_finite() { format!("{v:.0}") } else { "-".into() };
    for &i in &listed {
        let o = &all[i];
        let p = &o.plan;
        let _ = writeln!(
            out,
            "{:>6}  {:>5}  {:>5}  {:>10}  {:>8}  {:>8}  {:>7}  {:>11.3}  {:.3} +- {:.3}  {:>9}  {:>10}{}",
            p.rounds,
            p.batch,
            p.cells,
            p.replicates,
            p.n_measured(),
            money(o.cost),
            o.months,
            o.detectable,
            o.recall,
            o.recall_half_width,
            if o.precision.is_finite() { format!("{:.3}", o.precision) } else { "-".into() },
            money(o.cost_per_hit),
            if best == Some(i) { "   <- recommended" } else { "" }
        );
    }
    if hidden > 0 {
        let _ = writeln!(out, "... {} more in plans.csv", frontier(all).len() - listed.len());
    }
    out += "\ndetectable: effect called with 80 % probability where it is measured; recall: share of all hits that are \
            called,\n  mean over worlds +- half width of its 95 % interval; precision: share of the calls that are hits\n";
    match (study.plans.budget, best) {
        (Some(b), Some(i)) => {
            let o = &all[i];
            let _ = writeln!(
                out,
                "recommended for {b:.0} USD: {}: {:.0} USD, {:.1} % of hits called ({:.1} % measured), {} months",
                o.plan.words(),
                o.cost,
                100.0 * o.recall,
                100.0 * o.measured,
                o.months
            );
        }
        (Some(b), None) => {
            let least = all.iter().map(|o| o.cost).fold(f64::INFINITY, f64::min);
            let _ = writeln!(
                out,
                "no plan fits {b:.0} USD, the cheapest costs {least:.0}: add smaller batches or fewer cells"
            );
        }
        (None, _) => out += "no budget given, so nothing is recommended: set budget under [plans] or --budget USD\n",
    }
    out
}
