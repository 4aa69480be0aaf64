use super::Folders;
use crate::error::{Error, Result};
use crate::store::{Store, stack};
use clap::{Subcommand, ValueEnum};
use std::fmt::Write as _;
use std::path::PathBuf;

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Format {
    Csv,
    Json,
    Parquet,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum What {
    /// A row a round with metrics
    Rounds,
    /// A row a measured perturbation
    Picks,
}

#[derive(Subcommand)]
pub(crate) enum Results {
    /// List scenarios, or the runs of one
    List {
        /// Scenario name (the folder below the results folder)
        name: Option<String>,
        #[command(flatten)]
        folders: Folders,
    },
    /// Write all rounds or picks of a scenario's finished runs as one table
    #[command(after_help = "Example: screenwright results export quickstart --what picks --format csv --out picks.csv")]
    Export {
        /// Scenario name
        name: String,
        /// Which table
        #[arg(long, value_enum, default_value = "rounds")]
        what: What,
        /// File format
        #[arg(long, value_enum, default_value = "csv")]
        format: Format,
        /// File to write [default: NAME_WHAT.FORMAT]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        #[command(flatten)]
        folders: Folders,
    },
    /// Delete unfinished and failed runs of a scenario
    Prune {
        /// Scenario name
        name: String,
        /// Show what would be deleted
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        folders: Folders,
    },
}

impl Results {
    pub(crate) fn execute(self) -> Result<u8> {
        match self {
            Results::List { name: None, folders } => list_scenarios(&folders),
            Results::List { name: Some(name), folders } => list_runs(&existing(&folders, &name)?),
            Results::Export { name, what, format, out, folders } => {
                let store = existing(&folders, &name)?;
                let (word, suffix) = (
                    match what {
                        What::Rounds => "rounds",
                        What::Picks => "picks",
                    },
                    match format {
                        Format::Csv => "csv",
                        Format::Json => "json",
                        Format::Parquet => "parquet",
                    },
                );
                let out = out.unwrap_or_else(|| PathBuf::from(format!("{name}_{word}.{suffix}")));
                export(&store, what, format, &out)
            }
            Results::Prune { name, dry_run, folders } => prune(&existing(&folders, &name)?, dry_run),
        }
    }
}

fn scenario_names(folders: &Folders) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(&folders.results_dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| e.path().is_dir())
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn existing(folders: &Folders, name: &str) -> Result<Store> {
    let store = Store::at(&folders.results_dir, name);
    if store.folder().is_dir() {
        return Ok(store);
    }
    let names = scenario_names(folders);
    let near = crate::error::hint(name, names.iter().map(String::as_str));
    let list = if near.is_empty() && !names.is_empty() { format!("; there are: {}", names.join(", ")) } else { near };
    Err(Error::Config(format!("no results of a scenario `{name}` in {}{list}", folders.results_dir.display())))
}

fn list_scenarios(folders: &Folders) -> Result<u8> {
    let mut out = String::new();
    for name in scenario_names(folders) {
        let store = Store::at(&folders.results_dir, &name);
        let ((f, unreadable), p) = (store.finished()?, store.partial()?);
        let failed = p.iter().filter(|x| x.1.is_some()).count();
        let more = if unreadable.is_empty() { String::new() } else { format!(", {} unreadable", unreadable.len()) };
        let _ = writeln!(out, "{name}   {} finished, {} interrupted, {failed} failed{more}", f.len(), p.len() - failed);
    }
    if out.is_empty() {
        out = format!("no results in {}", folders.results_dir.display());
    }
    super::print(&out);
    Ok(super::OK)
}

fn list_runs(store: &Store) -> Result<u8> {
    let mut out = String::new();
    let (finished, unreadable) = store.finished()?;
    for f in finished {
        let h = f.header;
        let _ = writeln!(out, "{}  ok      {}  seed {}  {}", h.id, h.arm, h.seed, super::duration(h.seconds.total()));
    }
    for (folder, header) in store.partial()? {
        let id = folder.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        match header {
            Some(h) => {
                let _ = writeln!(out, "{id}  failed  {}  seed {}  {}", h.arm, h.seed, h.error.unwrap_or_default());
            }
            None => {
                let _ = writeln!(out, "{id}  interrupted");
            }
        }
    }
    super::print(if out.is_empty() { "no runs" } else { &out });
    Ok(told(&unreadable))
}

/// Names the runs that could not be read; the exit code says that there were some.
fn told(unreadable: &[String]) -> u8 {
    unreadable.iter().for_each(|why| eprintln!("unreadable run, skipped: {why}"));
    if unreadable.is_empty() { super::OK } else { super::SOME_FAILED }
}

fn export(store: &Store, what: What, format: Format, out: &std::path::Path) -> Result<u8> {
    let (mut runs, mut unreadable) = store.finished()?;
    if runs.is_empty() && unreadable.is_empty() {
        return Err(Error::Data(format!("{}: no finished run to export", store.folder().display())));
    }
    runs.sort_by(|a, b| (&a.header.arm, a.header.seed).cmp(&(&b.header.arm, b.header.seed)));
    let mut parts = Vec::new();
    for f in runs {
        let table = match what {
            What::Rounds => f.rounds(),
            What::Picks => f.picks(),
        };
        match table {
            Ok(t) => parts.push((f.header.id, f.header.arm, f.header.seed, t)),
            Err(e) => unreadable.push(format!("{e}; delete the folder {} to compute it again", f.folder.display())),
        }
    }
    let all = stack(&parts)?;
    match format {
        Format::Csv => table::write_csv(&all, out)?,
        Format::Json => table::write_json(&all, out)?,
        Format::Parquet => table::write_parquet(&all, out)?,
    }
    super::print(&format!("wrote {} ({} rows of {} runs)", out.display(), all.height(), parts.len()));
    Ok(told(&unreadable))
}

fn prune(store: &Store, dry_run: bool) -> Result<u8> {
    let partial = store.partial()?;
    for (folder, _) in &partial {
        if !dry_run {
            std::fs::remove_dir_all(folder).map_err(Error::io(folder, "deleting"))?;
        }
        super::print(&format!("{} {}", if dry_run { "would delete" } else { "deleted" }, folder.display()));
    }
    if partial.is_empty() {
        super::print("nothing to prune");
    }
    Ok(super::OK)
}
