//! The command line: one file a verb. `main` lives here so that a binary of your own, with your own
//! plugins linked in, is two lines long.

mod completions;
mod data;
mod describe;
mod interactions;
mod named;
mod new;
mod paper;
mod plan;
mod plugins;
mod power;
mod progress;
mod report;
mod results;
mod run;
mod suggest;

use crate::campaign::Plan;
use crate::data::DataRoot;
use crate::error::{Error, Result};
use crate::panics;
use crate::plugin::Kind;
use crate::scenario::ScenarioForm;
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Everything went well.
pub const OK: u8 = 0;
/// The command line, a scenario or its data is wrong; nothing was run.
pub const USAGE: u8 = 2;
/// Some runs failed; the others are kept.
pub const SOME_FAILED: u8 = 3;
/// Stopped with Ctrl-C; the same command goes on.
pub const STOPPED: u8 = 130;

const EXIT_CODES: &str = "Exit codes: 0 ok; 2 usage, configuration or data error (nothing was run); \
3 some runs failed (the others are kept); 130 stopped with Ctrl-C (the same command goes on).";

#[derive(Parser)]
#[command(
    name = "screenwright",
    version,
    about = "Design and simulate sequential genetic-perturbation screens",
    after_help = EXIT_CODES,
    after_long_help = concat!(
        "Examples:\n",
        "  screenwright run scenarios/quickstart.toml          simulate, print the arm table, draw the curves\n",
        "  screenwright plan scenarios/ifng.toml               what would run, and why\n",
        "  screenwright plugins show thompson                  what a plugin does and its parameters\n",
        "  screenwright suggest campaign.toml --out next.csv   the next batch of a real screen\n",
        "  screenwright interactions --samples cells.parquet --test mmd_contrast    which pairs interact\n",
        "  screenwright new acquisition my_rule                a commented plugin file to start from\n\n",
        "Exit codes: 0 ok; 2 usage, configuration or data error (nothing was run);\n",
        "  3 some runs failed (the others are kept); 130 stopped with Ctrl-C (the same command goes on)."
    )
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

/// Where data comes from and results go.
#[derive(Args, Clone, Debug)]
pub(crate) struct Folders {
    /// Folder of the data files named in scenarios [default: $SCREENWRIGHT_DATA, else ./data]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Folder that results are written to
    #[arg(long, value_name = "DIR", default_value = "results")]
    results_dir: PathBuf,
}

impl Folders {
    fn data(&self) -> DataRoot {
        DataRoot::locate(self.data_dir.clone())
    }

    /// What is to do of a scenario, and what is done.
    fn plan(&self, file: &Path, form: &ScenarioForm) -> Result<Plan> {
        Plan::read(file, form, self.data(), &self.results_dir)
    }
}

/// Which form of a scenario file is meant.
#[derive(Args, Clone, Debug)]
pub(crate) struct Which {
    /// The small form: 2 seeds, 2 rounds and the [quick] overrides
    #[arg(long)]
    quick: bool,
    /// Apply a [variant.NAME] section of the scenario (may be given several times, applied in this order)
    #[arg(long = "variant", value_name = "NAME")]
    variants: Vec<String>,
}

impl Which {
    fn form(&self) -> ScenarioForm {
        ScenarioForm { variants: self.variants.clone(), quick: self.quick }
    }

    /// The options again, for messages that repeat a command.
    fn words(&self) -> String {
        let variants: String = self.variants.iter().map(|v| format!(" --variant {v}")).collect();
        variants + if self.quick { " --quick" } else { "" }
    }
}

#[derive(Subcommand)]
enum Verb {
    /// Run every arm and seed of a scenario that has not finished yet, then report
    Run(run::Run),
    /// Show what `run` would do and why, without doing it
    Plan(plan::Plan),
    /// List plugins or show one
    #[command(subcommand)]
    Plugins(plugins::Plugins),
    /// List, export or prune stored runs
    #[command(subcommand)]
    Results(results::Results),
    /// Draw learning curves and write the arm table of a scenario
    Report(Box<report::Report>),
    /// Choose the next batch of a real screen
    Suggest(Box<suggest::Suggest>),
    /// Test which pairs of perturbations interact, from samples of cells or wells
    Interactions(Box<interactions::Interactions>),
    /// Make the figures and tables of a paper from finished runs, and say what is missing
    Paper(paper::Paper),
    /// Plan a screen: what cells, replicates, batch sizes and rounds find for what they cost
    Power(power::Power),
    /// Write a commented plugin file to start from
    New(new::New),
    /// Check data files
    #[command(subcommand)]
    Data(data::Data),
    /// Print a completion script for a shell
    Completions(completions::Completions),
}

impl Verb {
    /// As it is typed.
    fn word(&self) -> &'static str {
        match self {
            Verb::Run(_) => "run",
            Verb::Plan(_) => "plan",
            Verb::Plugins(_) => "plugins",
            Verb::Results(_) => "results",
            Verb::Report(_) => "report",
            Verb::Suggest(_) => "suggest",
            Verb::Interactions(_) => "interactions",
            Verb::Paper(_) => "paper",
            Verb::Power(_) => "power",
            Verb::New(_) => "new",
            Verb::Data(_) => "data",
            Verb::Completions(_) => "completions",
        }
    }
}

/// The whole program.
pub fn main() -> ExitCode {
    // A closed pipe (`screenwright plan ... | head`) ends the program quietly.
    let cli = Cli::parse();
    match dispatch(cli) {
        Ok(code) => ExitCode::from(code),
        Err(e) => {
            let text = e.to_string();
            eprintln!("{}{text}", if text.starts_with("error:") { "" } else { "error: " });
            ExitCode::from(USAGE)
        }
    }
}

fn dispatch(cli: Cli) -> Result<u8> {
    if crate::plugin::catalogue().is_empty() && !matches!(cli.verb, Verb::Completions(_)) {
        return Err(Error::Config(
            "no plugin is linked into this program; add `use plugins as _;` (or your own plugin crate) to its main.rs, \
             since the linker drops a crate that nothing names"
                .into(),
        ));
    }
    let is_known = |kind: Kind, name: &str| crate::plugin::find(name).is_some_and(|e| e.kind == kind);
    guarded(cli.verb.word(), is_known, || match cli.verb {
        Verb::Run(v) => v.execute(),
        Verb::Plan(v) => v.execute(),
        Verb::Plugins(v) => v.execute(),
        Verb::Results(v) => v.execute(),
        Verb::Report(v) => v.execute(),
        Verb::Suggest(v) => v.execute(),
        Verb::Interactions(v) => v.execute(),
        Verb::Paper(v) => v.execute(),
        Verb::Power(v) => v.execute(),
        Verb::New(v) => v.execute(),
        Verb::Data(v) => v.execute(),
        Verb::Completions(v) => v.execute(),
    })
}

/// Does the work of a verb; a plugin that panics is an error that says which verb and which plugin.
fn guarded(verb: &str, is_known: impl Fn(Kind, &str) -> bool, work: impl FnOnce() -> Result<u8>) -> Result<u8> {
    panics::catch(work).unwrap_or_else(|panic| {
        let which = panic.plugin(is_known).map(|(kind, name)| format!(" ({} `{name}`)", kind.word()));
        Err(Error::Plugin(format!(
            "{verb}: a plugin {panic}{}; this is a mistake in the plugin, not in your files: please report it to whoever wrote the plugin",
            which.unwrap_or_default()
        )))
    })
}

/// Prints to standard output; a reader that has gone away is not an error.
pub(crate) fn print(text: &str) {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let _ =
        out.write_all(text.as_bytes()).and_then(|()| if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") });
    let _ = out.flush();
}

/// Prints lines to standard error.
pub(crate) fn warn(lines: &[String]) {
    lines.iter().for_each(|line| eprintln!("{line}"));
}

/// Seconds in words a person reads.
pub(crate) fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 0.95 => format!("{:.0} ms", s * 1e3),
        s if s < 99.5 => format!("{s:.1} s"),
        s if s < 5940.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3600.0),
    }
}

/// The clap command, for completions and documentation.
pub(crate) fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_in_a_verb_is_one_message_about_the_plugin() {
        assert_eq!(guarded("plan", |_, _| false, || Ok(SOME_FAILED)).unwrap(), SOME_FAILED);
        let e = guarded("suggest", |_, _| false, || panic!("index 3 of 2")).unwrap_err().to_string();
        let (start, end) =
            (format!("suggest: a plugin panicked at {}:", file!()), ": index 3 of 2; this is a mistake in");
        assert!(e.starts_with(&start) && e.contains(end) && e.contains("not in your files"), "{e}");
        // As if this file were one of the acquisition `mod`'s.
        let e = guarded("suggest", |_, _| true, || panic!("x")).unwrap_err().to_string();
        assert!(!e.contains("acquisition"), "its folder names no kind: {e}");
    }
}
