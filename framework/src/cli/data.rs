use super::Folders;
use super::describe;
use crate::error::{Error, Result};
use crate::scenario::{ScenarioForm, Sweep};
use clap::Subcommand;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

#[derive(Subcommand)]
pub(crate) enum Data {
    /// Say for each scenario which of its data files are present, missing or corrupt
    #[command(
        after_help = "Example: screenwright data check scenarios/*.toml --data-dir ~/screens\nChecksums are read from data.sha256 beside each scenario file.\nExit code 2 if anything is missing or corrupt."
    )]
    Check {
        /// Scenario files [default: all of ./scenarios]
        scenarios: Vec<PathBuf>,
        #[command(flatten)]
        folders: Folders,
    },
    /// Say what the program sees in a file: columns and their kinds, genes, controls, and the lines that read it
    #[command(after_help = "Example: screenwright data describe screen.gene_summary.txt")]
    Describe {
        /// A table, or a file or folder of cells
        file: PathBuf,
        /// Show every column
        #[arg(long)]
        verbose: bool,
        #[command(flatten)]
        folders: Folders,
    },
}

impl Data {
    pub(crate) fn execute(self) -> Result<u8> {
        match self {
            Data::Check { scenarios, folders } => check(scenarios, folders),
            Data::Describe { file, verbose, folders } => {
                describe::check(&file)?;
                super::print(&describe::describe(&file, &folders.data(), verbose)?);
                Ok(super::OK)
            }
        }
    }
}

fn check(mut scenarios: Vec<PathBuf>, folders: Folders) -> Result<u8> {
    if scenarios.is_empty() {
        let here = Path::new("scenarios");
        let entries = std::fs::read_dir(here).map_err(Error::io(here, "listing scenarios"))?;
        scenarios =
            entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "toml")).collect();
        scenarios.sort();
    }
    let data = folders.data();
    let mut out = format!("data root: {}\n", data.root().display());
    let mut bad = 0;
    for file in &scenarios {
        let sweep = Sweep::read(file, &ScenarioForm::default())?;
        let mut files: Vec<PathBuf> = sweep.arms.iter().flat_map(|a| a.scenario.data_files()).collect();
        files.sort();
        files.dedup();
        let known = checksums(file)?;
        let _ = writeln!(out, "{}{}", file.display(), if files.is_empty() { "   needs no data" } else { "" });
        for f in files {
            let path = data.path(&f);
            let word = if !path.exists() && cells::behind(&path).is_empty() {
                bad += 1;
                "MISSING"
            } else {
                match known.get(&f.display().to_string()) {
                    None => "present (no checksum known)",
                    Some(want) if crate::store::hash_file(&path)? == *want => "ok",
                    Some(_) => {
                        bad += 1;
                        "CORRUPT (checksum differs; fetch it again)"
                    }
                }
            };
            let _ = writeln!(out, "  {word:8} {}", f.display());
        }
    }
    if bad > 0 {
        let _ = writeln!(
            out,
            "{bad} files missing or corrupt; docs/data.md tells where each comes from. Point --data-dir or SCREENWRIGHT_DATA at the folder that holds them"
        );
    }
    super::print(&out);
    Ok(if bad > 0 { super::USAGE } else { super::OK })
}

/// `data.sha256` beside a scenario, in the format of sha256sum: hash, two spaces, path.
fn checksums(scenario: &Path) -> Result<HashMap<String, String>> {
    let path = scenario.with_file_name("data.sha256");
    if !path.is_file() {
        return Ok(HashMap::new());
    }
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path, "reading"))?;
    Ok(text
        .lines()
        .filter_map(|l| l.split_once(char::is_whitespace))
        .map(|(hash, file)| (file.trim().trim_start_matches('*').to_string(), hash.to_string()))
        .collect())
}
