use super::Folders;
use crate::campaign::{Plan, Why, add_published, restrict, study};
use crate::error::{Error, ErrorKind, Result};
use crate::report::{self, Finding, latex};
use crate::scenario::{Document, Location, Mistake, ScenarioForm};
use clap::Args;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use table::{Column, Table};

#[derive(Args)]
#[command(
    after_help = "Examples:\n  screenwright paper                     what is missing, and the command and time to make it; then all that is complete\n  screenwright paper --check             only say what is missing\n  screenwright paper --only naiad        items whose id or paper has this in it\n\nWrites figures/ID.svg and .png, tables/ID.csv and .tex, manifest.json and README.md beside the paper file. Items whose\nruns are missing keep what was made of them before.\nExit codes: 0 all made; 2 usage, configuration or data error; 3 some items are missing."
)]
pub(crate) struct Paper {
    /// File that lists figures and tables and the scenarios they come from
    #[arg(default_value = "paper/paper.toml")]
    file: PathBuf,
    /// Say what is missing and write nothing
    #[arg(long)]
    check: bool,
    /// Only items whose id or paper has this text in it
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    #[command(flatten)]
    folders: Folders,
}

/// The content of the file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listing {
    /// Figures and tables.
    #[serde(default)]
    item: Vec<Item>,
}

/// A figure, a table, or both, from one study.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Item {
    /// Name of its files.
    id: String,
    /// Whose figure or table it repeats.
    paper: String,
    /// What it is there, or what it is of ours.
    what: String,
    /// Scenario file.
    scenario: PathBuf,
    /// Variants of it.
    #[serde(default)]
    variants: Vec<String>,
    /// Only arms with these values of axes, as in `report --where`.
    #[serde(default, rename = "where")]
    only: Vec<String>,
    /// A figure of the report, by the stem of its file: curves_METRIC, heat_METRIC, tradeoff, ranks_METRIC,
    /// published_METRIC.
    #[serde(default)]
    figure: Option<String>,
    /// A table of the report: arms, groups, speedup, ranks, claims, published, published_values.
    #[serde(default)]
    table: Option<String>,
    /// Columns of the table, all by default.
    #[serde(default)]
    columns: Vec<String>,
    /// Rows of the table whose column `metric` has this value, all by default.
    #[serde(default)]
    metric: Option<String>,
    /// Width of the figure in print: 183 mm, a page of two columns, by default. Below 120 mm learning curves of one panel
    /// are drawn for one column.
    #[serde(default = "two_columns")]
    width_mm: f64,
    /// Processor time of its runs as measured, in hours.
    hours: f64,
}

fn two_columns() -> f64 {
    183.0
}

/// What is kept of an item: how it was made and what it says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Made {
    files: Vec<String>,
    scenario: String,
    variants: Vec<String>,
    runs: Vec<String>,
    data: BTreeMap<String, String>,
    program: Vec<String>,
    findings: Vec<Finding>,
}

#[derive(Default, Serialize, Deserialize)]
struct Manifest {
    items: BTreeMap<String, Made>,
}

/// Where an item stands.
enum Status {
    Complete(Box<Plan>),
    Missing { left: usize, of: usize, command: String },
    NoData(String),
}

impl Paper {
    pub(crate) fn execute(self) -> Result<u8> {
        let listing = read(&self.file)?;
        let wanted = |i: &&Item| self.only.as_ref().is_none_or(|t| i.id.contains(t) || i.paper.contains(t.as_str()));
        let items: Vec<&Item> = listing.item.iter().filter(wanted).collect();
        if items.is_empty() {
            let ids: Vec<&str> = listing.item.iter().map(|i| i.id.as_str()).collect();
            return Err(Error::Config(format!(
                "{}: no item {}; there are: {}",
                self.file.display(),
                self.only.as_ref().map_or("in the file".into(), |t| format!("with `{t}` in its id or paper")),
                ids.join(", ")
            )));
        }
        let folder = self.file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf();
        let mut manifest: Manifest = match std::fs::read_to_string(folder.join("manifest.json")) {
            Ok(text) => serde_json::from_str(&text).map_err(|e| {
                Error::Data(format!("{}: {e}; delete it to start anew", folder.join("manifest.json").display()))
            })?,
            Err(_) => Manifest::default(),
        };
        let mut missing = 0;
        for item in &items {
            let status = self.status(item)?;
            let made = manifest.items.contains_key(&item.id);
            let earlier = if made { "; made before, kept" } else { "" };
            match status {
                Status::Complete(plan) if self.check => {
                    super::print(&format!("{:24} complete   {} runs", item.id, plan.ids.len()));
                }
                Status::Complete(plan) => {
                    let made = make(item, &plan, &folder)?;
                    super::print(&format!("{:24} made       {}", item.id, made.files.join(", ")));
                    manifest.items.insert(item.id.clone(), made);
                    // What is made stays, whatever becomes of the next item.
                    write_manifest(&manifest, &folder)?;
                }
                Status::Missing { left, of, command } => {
                    missing += 1;
                    let hours = item.hours * left as f64 / of.max(1) as f64;
                    super::print(&format!(
                        "{:24} missing    {left} of {of} runs, about {} of one core: {command}{earlier}",
                        item.id,
                        super::duration(3600.0 * hours)
                    ));
                }
                Status::NoData(why) => {
                    missing += 1;
                    super::print(&format!("{:24} no data    {why}{earlier}", item.id));
                }
            }
        }
        if !self.check {
            manifest.items.retain(|id, _| listing.item.iter().any(|i| i.id == *id));
            write_manifest(&manifest, &folder)?;
            let path = folder.join("README.md");
            std::fs::write(&path, readme(&listing.item, &manifest)).map_err(Error::io(&path, "writing"))?;
            super::print(&format!("\nwrote {} and {}", path.display(), folder.join("manifest.json").display()));
        }
        let n = items.len();
        super::print(&format!("{} of {n} items are complete", n - missing));
        Ok(if missing > 0 { super::SOME_FAILED } else { super::OK })
    }

    fn status(&self, item: &Item) -> Result<Status> {
        let form = ScenarioForm { variants: item.variants.clone(), quick: false };
        let plan = match self.folders.plan(&item.scenario, &form) {
            Ok(plan) => plan,
            // A scenario that is wrong is an error; data that is not here is something to fetch.
            Err(e) if e.kind() == ErrorKind::Data => return Ok(Status::NoData(e.to_string())),
            Err(e) => return Err(e),
        };
        let left = plan.why.iter().filter(|w| **w != Why::Finished).count();
        Ok(match left {
            0 => Status::Complete(Box::new(plan)),
            _ => Status::Missing { left, of: plan.ids.len(), command: plan.command() },
        })
    }
}

fn read(file: &Path) -> Result<Listing> {
    let doc = Document::read(file)?;
    let listing: Listing = serde_json::from_value(Value::Object(doc.value.clone())).map_err(|e| {
        Error::Config(format!(
            "{}: {e}; an [[item]] has id, paper, what, scenario, hours, and a figure, a table or both",
            file.display()
        ))
    })?;
    let mut mistakes = vec![];
    let plain = |n: &str| !n.is_empty() && n.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    for (k, item) in listing.item.iter().enumerate() {
        let mut wrong = |text: String| mistakes.push(Mistake::in_value(Location::of(["item"]).item(k), text));
        if !plain(&item.id) {
            wrong(format!("id `{}` names files; use letters, digits, _ and - only", item.id));
        }
        if listing.item[..k].iter().any(|other| other.id == item.id) {
            wrong(format!("id `{}` is there twice", item.id));
        }
        if item.figure.is_none() && item.table.is_none() {
            wrong(format!("`{}` has neither figure nor table", item.id));
        }
        if !(item.width_mm > 20.0 && item.width_mm < 1000.0) {
            wrong(format!("width_mm of `{}` is {}; journals take 85 to 183", item.id, item.width_mm));
        }
    }
    if mistakes.is_empty() { Ok(listing) } else { Err(doc.report(&mistakes)) }
}

/// Writes the files of an item.
fn make(item: &Item, plan: &Plan, folder: &Path) -> Result<Made> {
    let (mut report, runs) = study(plan)?;
    restrict(&mut report, &item.only)?;
    super::warn(&add_published(&mut report, plan, None)?);
    report.view.narrow = item.width_mm < 120.0;
    let scratch = Scratch::new(folder)?;
    let written = report::write(&report, &scratch.0)?;
    let has = |name: &str| scratch.0.join(name).is_file();
    let lists = |ending: &str| -> String {
        let names = written.iter().filter(|p| p.extension().is_some_and(|e| e == ending));
        names.filter_map(|p| Some(p.file_stem()?.to_string_lossy().into_owned())).collect::<Vec<_>>().join(", ")
    };
    let mut files = vec![];
    if let Some(stem) = &item.figure {
        if !has(&format!("{stem}.svg")) {
            return Err(Error::Config(format!(
                "`{}`: the report has no figure `{stem}`; it has: {}",
                item.id,
                lists("svg")
            )));
        }
        let to = folder.join("figures");
        std::fs::create_dir_all(&to).map_err(Error::io(&to, "making the folder of figures"))?;
        let from = scratch.0.join(format!("{stem}.svg"));
        let svg = std::fs::read_to_string(&from).map_err(Error::io(&from, "reading"))?;
        put(&to.join(format!("{}.svg", item.id)), &in_millimetres(&svg, item.width_mm))?;
        let png = to.join(format!("{}.png", item.id));
        std::fs::copy(scratch.0.join(format!("{stem}.png")), &png).map_err(Error::io(&png, "writing"))?;
        files.extend([format!("figures/{}.svg", item.id), format!("figures/{}.png", item.id)]);
    }
    if let Some(name) = &item.table {
        if !has(&format!("{name}.csv")) {
            return Err(Error::Config(format!(
                "`{}`: the report has no table `{name}`; it has: {}",
                item.id,
                lists("csv")
            )));
        }
        let t = chosen(&table::read(&scratch.0.join(format!("{name}.csv")))?, item)?;
        let to = folder.join("tables");
        std::fs::create_dir_all(&to).map_err(Error::io(&to, "making the folder of tables"))?;
        table::write_csv(&t, &to.join(format!("{}.csv", item.id)))?;
        let caption = format!("{} ({})", item.what, item.paper);
        put(&to.join(format!("{}.tex", item.id)), &latex(&t, &caption, &item.id))?;
        files.extend([format!("tables/{}.csv", item.id), format!("tables/{}.tex", item.id)]);
    }
    let mut program: Vec<String> = runs
        .values()
        .map(|(h, _)| {
            let p = &h.provenance;
            let dirty = if p.git_dirty == Some(true) { ", uncommitted changes" } else { "" };
            format!("{} ({}{dirty})", p.version, p.git_revision.as_deref().unwrap_or("no revision"))
        })
        .collect();
    program.sort();
    program.dedup();
    Ok(Made {
        files,
        scenario: item.scenario.display().to_string(),
        variants: item.variants.clone(),
        runs: plan.ids.clone(),
        data: runs.values().flat_map(|(h, _)| h.data.clone()).collect(),
        program,
        findings: report::findings(&report.study, &report.comparisons),
    })
}

/// The rows and columns that an item asks for.
fn chosen(t: &Table, item: &Item) -> Result<Table> {
    let keep: Vec<usize> = match &item.metric {
        None => (0..t.height()).collect(),
        Some(m) => {
            let of = t.text("metric")?;
            (0..t.height()).filter(|&i| of[i] == m).collect()
        }
    };
    let names: Vec<String> =
        if item.columns.is_empty() { t.names().into_iter().map(String::from).collect() } else { item.columns.clone() };
    let mut out = Table::new();
    for name in names {
        let column = t.column(&name).ok_or_else(|| {
            Error::Config(format!("`{}`: its table has no column `{name}`; it has: {}", item.id, t.names().join(", ")))
        })?;
        let column = match column {
            Column::Text(v) => Column::Text(keep.iter().map(|&i| v[i].clone()).collect()),
            Column::Number(v) => Column::Number(keep.iter().map(|&i| v[i]).collect()),
            Column::Integer(v) => Column::Integer(keep.iter().map(|&i| v[i]).collect()),
            Column::Flag(v) => Column::Flag(keep.iter().map(|&i| v[i]).collect()),
        };
        out.push(&name, column)?;
    }
    Ok(out)
}

/// The size of an SVG in print; what it shows stays as it is.
fn in_millimetres(svg: &str, width: f64) -> String {
    let number = |name: &str| -> Option<(f64, String)> {
        let key = format!(" {name}=\"");
        let from = svg.find(&key)? + key.len();
        let text = &svg[from..from + svg[from..].find('"')?];
        Some((text.parse().ok()?, format!("{key}{text}\"")))
    };
    match (number("width"), number("height")) {
        (Some((w, old_width)), Some((h, old_height))) => svg
            .replacen(&old_width, &format!(" width=\"{width}mm\""), 1)
            .replacen(&old_height, &format!(" height=\"{:.2}mm\"", width * h / w), 1),
        _ => svg.to_string(),
    }
}

/// A folder that goes away with its name.
struct Scratch(PathBuf);

impl Scratch {
    fn new(beside: &Path) -> Result<Self> {
        let path = beside.join(format!(".making-{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(Error::io(&path, "making a folder"))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn put(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(Error::io(path, "writing"))
}

fn write_manifest(manifest: &Manifest, folder: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(manifest).map_err(|e| Error::Data(e.to_string()))?;
    put(&folder.join("manifest.json"), &(text + "\n"))
}

/// Claim by claim, then figure by figure.
fn readme(items: &[Item], manifest: &Manifest) -> String {
    let cell = |t: &str| t.replace('|', "\\|");
    let mut out = "# Published against ours\n\nWritten by `screenwright paper` from `paper.toml`; do not edit. \
                   Intervals are 95 %, paired by seed where arms are compared. A claim is *supported* where the whole interval agrees with \
                   it, *contradicted* where the whole interval disagrees, *undecided* where it holds both. A number *agrees* where ours \
                   lies within a published standard error or the published one within our interval. `manifest.json` names the runs \
                   and data behind each file.\n"
        .to_string();
    let mut papers: Vec<&str> = vec![];
    for item in items {
        if !papers.contains(&item.paper.as_str()) {
            papers.push(&item.paper);
        }
    }
    for paper in papers {
        let _ = writeln!(out, "\n## {paper}\n");
        let of: Vec<&Item> = items.iter().filter(|i| i.paper == paper).collect();
        let mut seen: Vec<&Finding> = vec![];
        for item in &of {
            let Some(made) = manifest.items.get(&item.id) else { continue };
            seen.extend(made.findings.iter().filter(|f| !f.ours.is_empty()));
        }
        let mut rows: Vec<&Finding> = vec![];
        seen.into_iter().for_each(|f| {
            if !rows.contains(&f) {
                rows.push(f)
            }
        });
        if !rows.is_empty() {
            out += "| claim or number | published | ours | n | verdict |\n|:--|:--|:--|--:|:--|\n";
            for f in rows {
                let verdict = if matches!(f.verdict.as_str(), "contradicted" | "differs") {
                    format!("**{}**", f.verdict)
                } else {
                    f.verdict.clone()
                };
                let _ = writeln!(
                    out,
                    "| {} | {} | {} | {} | {verdict} |",
                    cell(&f.claim),
                    cell(&f.published),
                    cell(&f.ours),
                    f.n
                );
            }
            out.push('\n');
        }
        for item in of {
            let variants: String = item.variants.iter().map(|v| format!(" --variant {v}")).collect();
            match manifest.items.get(&item.id) {
                Some(made) => {
                    // The PNG has the same name as the SVG.
                    let links = made.files.iter().filter_map(|f| Some((f, f.rsplit_once('.')?.1)));
                    let files: Vec<String> =
                        links.filter(|l| l.1 != "png").map(|(f, ending)| format!("[{ending}]({f})")).collect();
                    let _ = writeln!(
                        out,
                        "- {}: {} (`{}`{variants}, {} runs)",
                        item.what,
                        files.join(", "),
                        made.scenario,
                        made.runs.len()
                    );
                }
                None => {
                    let _ = writeln!(
                        out,
                        "- {}: not made yet; `screenwright run {}{variants}`, about {} of one core",
                        item.what,
                        item.scenario.display(),
                        super::duration(3600.0 * item.hours)
                    );
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_their_width_in_print() {
        let svg = "<svg width=\"1000\" height=\"600\" viewBox=\"0 0 10000 6000\"><rect width=\"10000\" height=\"6000\"/></svg>";
        let out = in_millimetres(svg, 183.0);
        assert_eq!(
            out,
            "<svg width=\"183mm\" height=\"109.80mm\" viewBox=\"0 0 10000 6000\"><rect width=\"10000\" height=\"6000\"/></svg>"
        );
    }
}
