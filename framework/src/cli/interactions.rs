use super::Folders;
use super::named::{checked, parse_plugin};
use crate::domain::Names;
use crate::error::{Error, Result, counted, listed};
use crate::interactions::{Calls, Loaded, PairStudy, SampleFile, TestTable};
use crate::measured::GuideMap;
use crate::plugin::{InteractionTest, Kind};
use crate::report::{write_contact_sheet, write_test};
use crate::scenario::{Place, Seeds};
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use numerics::stats::calls::ErrorControl;
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Pairs printed for each test.
const SHOWN: usize = 10;

#[derive(Args)]
#[command(
    group = clap::ArgGroup::new("source").required(true).args(["study", "samples"]),
    after_help = "Examples:\n  screenwright interactions scenarios/interactions/separability.toml\n  screenwright interactions --samples cells.parquet --labels perturbation --control NT --test mmd_contrast\n  screenwright interactions --samples wells.csv --unit plate_well --test additivity --test mmd_contrast:kernel=matern52 --rate 0.05\n\nA sample is a row: its label names a gene, two genes joined by the separator, or control; its features are\nthe columns of numbers. Each test writes TEST.csv (pair, score, p, q, called, sample sizes, diagnostics),\na map of scores and, with p values, a volcano figure. Tests are listed by `screenwright plugins list --kind interaction`."
)]
pub(crate) struct Interactions {
    /// Study file: [oracle] or [samples], [test.NAME] sections, [calls], seeds
    study: Option<PathBuf>,
    /// Without a study file: samples as CSV, TSV, Parquet or AnnData (h5ad, zarr), here or below the data root
    #[arg(long, value_name = "FILE")]
    samples: Option<PathBuf>,
    /// Columns that name what was done to a sample, with commas between them
    #[arg(long, value_name = "COLUMNS", requires = "samples", value_delimiter = ',', default_value = "perturbation")]
    labels: Vec<String>,
    /// Label of unperturbed samples; may be repeated
    #[arg(long, value_name = "LABEL", requires = "samples", default_values_t = ["control".to_string()])]
    control: Vec<String>,
    /// What joins two genes in a label
    #[arg(long, value_name = "TEXT", requires = "samples", default_value = "+")]
    separator: String,
    /// Column of the guide or well of a sample, where samples of one are not independent
    #[arg(long, value_name = "COLUMN", requires = "samples")]
    unit: Option<String>,
    /// Feature columns, by name or pattern such as "Cells_*", with commas between them [default: columns of measurements]
    #[arg(long, alias = "features", value_name = "COLUMNS", requires = "samples", value_delimiter = ',')]
    columns: Option<Vec<String>>,
    /// Columns of numbers that are not features, by name or pattern, with commas between them
    #[arg(long, alias = "ignore", value_name = "COLUMNS", requires = "samples", value_delimiter = ',')]
    exclude: Vec<String>,
    /// Layer of an AnnData file, or raw [default: X]
    #[arg(long, value_name = "NAME", requires = "samples")]
    layer: Option<String>,
    /// Use only samples with that value in that column, such as cell_type=K562; may be repeated
    #[arg(long, value_name = "COLUMN=VALUE", requires = "samples", value_parser = column_value)]
    only: Vec<(String, String)>,
    /// Table that tells the genes of guides, where labels name guides; in a study file: guides
    #[arg(long, value_name = "FILE", requires = "samples")]
    guides: Option<PathBuf>,
    /// Its columns of guides and genes, with a comma between them (several genes: a construct)
    #[arg(long, value_name = "COLUMNS", requires = "guides", value_delimiter = ',', default_value = "guide,gene")]
    guide_columns: Vec<String>,
    /// Name every feature that is used
    #[arg(long)]
    verbose: bool,
    /// Bring features to one scale: none, or control (standard deviations over control)
    #[arg(long, value_name = "HOW", requires = "samples", default_value = "none")]
    scale: String,
    /// Test to run, such as additivity or mmd_contrast:kernel=rbf; may be repeated
    #[arg(long = "test", value_name = "NAME[:KEY=VALUE,...]", requires = "samples")]
    tests: Vec<String>,
    /// Share of false calls that is accepted; overrides the study file [default: 0.1]
    #[arg(long, value_name = "RATE")]
    rate: Option<f64>,
    /// How false calls are held down: bh, by or online; overrides the study file [default: bh]
    #[arg(long, value_name = "HOW")]
    adjust: Option<String>,
    /// Number of seeds of a simulated study; overrides its file
    #[arg(long, value_name = "N", requires = "study")]
    seeds: Option<usize>,
    /// Compute on a GPU, in single precision (mmd_contrast); in a study file: device = "gpu"
    #[arg(long, requires = "samples")]
    gpu: bool,
    /// Threads [default: all cores]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Folder of tables and figures [default: NAME in the results folder]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    folders: Folders,
}

impl Interactions {
    pub(crate) fn execute(self) -> Result<u8> {
        let (study, data) = match (&self.study, &self.samples) {
            (Some(file), _) => (self.overridden(PairStudy::read(file)?)?, self.folders.data()),
            // A file named on the command line lies where the user says, or else below the data root.
            (None, Some(file)) => {
                let root = self.folders.data();
                let here = file.exists() || !root.path(file).exists();
                let data = if here { crate::data::DataRoot::new("") } else { root };
                (self.overridden(self.of_samples(file)?)?, data)
            }
            (None, None) => return Err(Error::Config("give a study file or --samples".into())),
        };
        study.check()?;
        if let Some(n) = self.threads {
            // A pool that exists already keeps its size: only tests of this program start it earlier.
            let _ = rayon::ThreadPoolBuilder::new().num_threads(n).build_global();
        }
        let dir = self.out.clone().unwrap_or_else(|| self.folders.results_dir.join(&study.name));
        let clock = Instant::now();
        let mut tables: Vec<TestTable> =
            study.test.iter().map(|(n, t)| TestTable { name: n.clone(), null: t.null(), rows: vec![] }).collect();
        let mut seconds = vec![0.0; tables.len()];
        let bar = bar(study.seeds.count * tables.len() as u64);
        for (k, seed) in study.seeds.iter().enumerate() {
            let loaded = study.load(seed, &data)?;
            if k == 0 {
                if !loaded.features.is_empty() {
                    let most = if self.verbose { usize::MAX } else { 5 };
                    let n = counted(loaded.features.len(), "feature");
                    bar.suspend(|| eprintln!("{n}: {}", listed(&loaded.features, most)));
                }
                loaded.notes.iter().for_each(|n| bar.suspend(|| eprintln!("{n}")));
                if let Some(sheet) = write_contact_sheet(&loaded.samples, &study.name, &dir)? {
                    bar.suspend(|| eprintln!("wrote {}", sheet.display()));
                }
            }
            self.one_seed(&study, &loaded, seed, &bar, &mut tables, &mut seconds)?;
            // What is computed is on disk before the next seed starts.
            for t in &tables {
                std::fs::create_dir_all(&dir).map_err(Error::io(&dir, "making the folder of results"))?;
                table::write_csv(&t.table(), &dir.join(format!("{}.csv", t.name)))?;
            }
        }
        bar.finish_and_clear();
        let mut text = String::new();
        for (t, s) in tables.iter().zip(&seconds) {
            let figures = write_test(t, &study.name, &study.calls, &dir)?;
            text.push_str(&summary(t, &study.calls, *s));
            let _ = writeln!(text, "  {}", dir.join(format!("{}.csv", t.name)).display());
            for f in &figures {
                let _ = writeln!(text, "  {}", f.display());
            }
            text.push('\n');
        }
        super::print(text.trim_end());
        eprintln!("{} in all", super::duration(clock.elapsed().as_secs_f64()));
        Ok(super::OK)
    }

    fn one_seed(
        &self,
        study: &PairStudy,
        loaded: &Loaded,
        seed: u64,
        bar: &ProgressBar,
        tables: &mut [TestTable],
        seconds: &mut [f64],
    ) -> Result<()> {
        let terminal = std::io::stderr().is_terminal();
        for (at, (name, test)) in study.test.iter().enumerate() {
            let start = Instant::now();
            bar.set_message(format!("{name}, seed {seed}"));
            let last = std::sync::Mutex::new(Instant::now());
            let tick = |done: usize, of: usize| {
                bar.set_message(format!("{name}, seed {seed}: {done}/{of}"));
                let mut last = last.lock().unwrap_or_else(|e| e.into_inner());
                if !terminal && last.elapsed().as_secs() >= 20 {
                    *last = Instant::now();
                    eprintln!("{name}, seed {seed}: {done}/{of}");
                }
            };
            let t = study.run(name, &**test, loaded, seed, &tick).map_err(|e| match e {
                Error::Data(m) => Error::Data(format!("test {name}, seed {seed}: {m}")),
                Error::Config(m) => Error::Config(format!("test {name}: {m}")),
                other => other,
            })?;
            tables[at].rows.extend(t.rows);
            seconds[at] += start.elapsed().as_secs_f64();
            bar.inc(1);
        }
        Ok(())
    }

    fn overridden(&self, mut study: PairStudy) -> Result<PairStudy> {
        if let Some(rate) = self.rate {
            study.calls.rate = rate;
        }
        if let Some(word) = &self.adjust {
            study.calls.control = serde_json::from_value::<ErrorControl>(json!(word))
                .map_err(|e| Error::Config(format!("--adjust {word}: {e}")))?;
        }
        if let Some(n) = self.seeds {
            study.seeds.count = n as _;
        }
        Ok(study)
    }

    fn of_samples(&self, file: &Path) -> Result<PairStudy> {
        let [guide, genes @ ..] = &self.guide_columns[..] else {
            return Err(Error::Config("--guide-columns names no column; give two, as in guide,gene".into()));
        };
        if genes.is_empty() {
            return Err(Error::Config(format!(
                "--guide-columns {guide} lacks the column of genes; give two, as in guide,gene"
            )));
        }
        let scale = serde_json::from_value(json!(self.scale))
            .map_err(|e| Error::Config(format!("--scale {}: {e}", self.scale)))?;
        let mut test: BTreeMap<String, Box<dyn InteractionTest>> = BTreeMap::new();
        for text in &self.tests {
            let t: Box<dyn InteractionTest> = checked("--test", parse_plugin("--test", text, Kind::InteractionTest)?)?;
            let base = text.split(':').next().unwrap_or_default();
            let taken = |n: &String| test.contains_key(n);
            let name = (1..).map(|k| if k == 1 { base.to_string() } else { format!("{base}_{k}") }).find(|n| !taken(n));
            test.insert(name.unwrap_or_default(), t);
        }
        if test.is_empty() {
            return Err(Error::Config(
                "say which test to run, for example --test mmd_contrast or --test additivity; it may be repeated"
                    .into(),
            ));
        }
        let stem = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let name: String = stem
            .split('.')
            .next()
            .unwrap_or_default()
            .chars()
            .map(|c| if c.is_alphanumeric() || "_-".contains(c) { c } else { '_' })
            .collect();
        Ok(PairStudy {
            name: if name.is_empty() { "samples".into() } else { name },
            seeds: Seeds { from: 0, count: 1 },
            oracle: None,
            samples: Some(SampleFile {
                path: file.to_path_buf(),
                labels: self.labels.clone(),
                control: self.control.clone(),
                separator: self.separator.clone(),
                unit: self.unit.clone(),
                columns: self.columns.clone(),
                exclude: self.exclude.clone(),
                layer: self.layer.clone(),
                only: self.only.iter().cloned().collect(),
                guides: self.guides.clone().map(|path| GuideMap {
                    path,
                    guide: guide.clone(),
                    gene: Names(genes.to_vec()),
                }),
                scale,
            }),
            test,
            known: None,
            calls: Calls::default(),
            device: if self.gpu { Place::Gpu } else { Place::Cpu },
        })
    }
}

fn column_value(text: &str) -> Result<(String, String), String> {
    let (column, value) = text.split_once('=').ok_or("write COLUMN=VALUE")?;
    Ok((column.into(), value.into()))
}

fn bar(steps: u64) -> ProgressBar {
    let bar = ProgressBar::new(steps);
    let terminal = std::io::stderr().is_terminal();
    bar.set_draw_target(if terminal { ProgressDrawTarget::stderr_with_hz(8) } else { ProgressDrawTarget::hidden() });
    if let Ok(style) = ProgressStyle::with_template(" [{bar:28}] {pos}/{len}   {msg}") {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}

/// What a person reads of one test.
fn summary(t: &TestTable, calls: &Calls, seconds: f64) -> String {
    let mut out = String::new();
    let pairs = t.by_pair();
    let seeds = pairs.iter().map(|p| p.4).max().unwrap_or(0);
    let untested = t.rows.iter().filter(|r| r.why_not.is_some()).count();
    let _ = write!(out, "{} (null: {}): {} pairs", t.name, t.null.word(), pairs.len());
    if seeds > 1 {
        let _ = write!(out, ", {seeds} seeds");
    }
    let with_p = t.rows.iter().filter(|r| !r.p().is_nan()).count();
    if with_p > 0 {
        let called = t.rows.iter().filter(|r| r.called).count();
        let _ = write!(out, "; {called} called at a false discovery rate of {} %", 100.0 * calls.rate);
    }
    if untested > 0 {
        let _ = write!(out, "; {untested} not tested (see not_tested)");
    }
    let _ = writeln!(out, "; {}", super::duration(seconds));
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    order.sort_by(|&a, &b| pairs[b].2.total_cmp(&pairs[a].2).then(a.cmp(&b)));
    let width = order.iter().take(SHOWN).map(|&i| pairs[i].0.chars().count()).max().unwrap_or(4).max(4);
    let head = if seeds > 1 { "score        sd" } else { "score         p         q" };
    let _ = writeln!(out, "  {:width$}  {head:>9}", "pair");
    // The largest with four digits, and no minus before a zero.
    let largest = pairs.iter().map(|p| p.2.abs()).filter(|v| v.is_finite()).fold(0.0, f64::max);
    let decimals = if largest > 0.0 { (3.0 - largest.log10().floor()).clamp(0.0, 7.0) as usize } else { 4 };
    let score = |v: f64| {
        let text = format!("{v:.decimals$}");
        match text.strip_prefix('-') {
            _ if v.is_nan() => "-".to_string(),
            Some(rest) if rest.chars().all(|c| c == '0' || c == '.') => rest.to_string(),
            _ => text,
        }
    };
    for &i in order.iter().take(SHOWN) {
        let (pair, _, m, sd, _) = &pairs[i];
        let row = t.rows.iter().find(|r| r.pair == *pair);
        let number = |v: f64| if v.is_nan() { "-".to_string() } else { format!("{v:.4}") };
        let rest = match row {
            _ if seeds > 1 => score(*sd),
            Some(r) => format!("{:>8}  {:>8}{}", number(r.p()), number(r.q), if r.called { "  called" } else { "" }),
            None => String::new(),
        };
        let _ = writeln!(out, "  {pair:width$}  {:>9}  {rest}", score(*m));
    }
    if pairs.len() > SHOWN {
        let _ = writeln!(out, "  ... {} more", pairs.len() - SHOWN);
    }
    let (first, of) = t.ranked_first();
    if of > 0 {
        let _ = writeln!(out, "  the pairs that interact in truth rank first in {first} of {of} seeds");
    }
    if let Some([called, wrong, planted, found]) = t.against_truth() {
        let _ = writeln!(out, "  against the truth: {called} calls, {wrong} of them wrong; {found} of {planted} found");
    }
    if let Some([auc, precision, share]) = t.against_known() {
        let _ = writeln!(
            out,
            "  known pairs: area under the curve {auc:.3}, average precision {precision:.4} (by chance 0.5 and {share:.4})"
        );
    }
    out
}
