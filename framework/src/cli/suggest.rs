use super::Folders;
use super::named::{checked, parse_plugin, set_parameter};
use crate::compatibility::{Facts, Lab, Misfit, Parts, misfits};
use crate::data::DataRoot;
use crate::domain::{
    Block, Candidates, Compose, Genes, Inputs, NameReport, Observed, Pool, Readouts, Suspects, SymbolUpdates, Target,
};
use crate::error::{Error, Result, counted};
use crate::laboratory::Laboratory;
use crate::plugin::{
    Ability, Acquisition, FitContext, Kernel, Kind, PriorContext, Round, RunContext, Screen, Setup, select_batch,
};
use crate::scenario::{Campaign, Document, Mistake, Place, check_campaign};
use clap::Args;
use ndarray::Array2;
use numerics::streams::Streams;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use table::{Column, FeatureChoice, Table};

#[derive(Args)]
#[command(
    group = clap::ArgGroup::new("source").required(true).args(["campaign", "features"]),
    after_help = "Examples:\n  screenwright suggest campaign.toml --out next.csv\n  screenwright suggest --features embedding.csv --measured done.csv --rule lcmd --batch 96\n  screenwright suggest --features embedding.npy --names genes.csv --measured done.csv --rule max_det:sigma=0.1 --kernel rbf --transform posterior:sigma=0.1 --batch 96\n\nThe second form needs no model: a table with a gene column and feature columns (or a NumPy array, one\nrow a perturbation), the rows already measured, and a selection rule. Rules, kernels and transforms are\nlisted by `screenwright plugins`; their parameters follow a colon. Output: rank, perturbation, score\nand, with a model, mean and sd."
)]
pub(crate) struct Suggest {
    /// Campaign file: pool, readouts so far, priors, model, kernel, acquisition, batch, seed
    campaign: Option<PathBuf>,
    /// Without a campaign file: features as CSV, CSV.gz, TSV, Parquet or NPY (n x d)
    #[arg(long, value_name = "FILE")]
    features: Option<PathBuf>,
    /// Names of the rows of an NPY array, a table with the --id column [default: row numbers from 0]
    #[arg(long, value_name = "FILE", requires = "features")]
    names: Option<PathBuf>,
    /// Table of genes measured so far, its other columns ignored, or NPY of row numbers from 0
    #[arg(long, value_name = "FILE", requires = "features")]
    measured: Option<PathBuf>,
    /// Column of gene names in both tables
    #[arg(long, value_name = "COLUMN", default_value = "gene")]
    id: String,
    /// Feature columns, by name or pattern such as "pca_*"; may be repeated [default: columns of measurements]
    #[arg(long, value_name = "COLUMN", requires = "features")]
    columns: Vec<String>,
    /// Columns that are no features, by name or pattern; may be repeated
    #[arg(long, value_name = "COLUMN", requires = "features")]
    exclude: Vec<String>,
    /// Names that are genes although they look like a control or a missing value; may be repeated
    #[arg(long, value_name = "NAME", requires = "features")]
    accept: Vec<String>,
    /// Name every feature that is used
    #[arg(long)]
    verbose: bool,
    /// Acquisition to use, such as lcmd or max_det:sigma=0.1
    #[arg(
        long,
        value_name = "NAME[:KEY=VALUE,...]",
        requires = "features",
        default_value_if("features", clap::builder::ArgPredicate::IsPresent, "max_dist")
    )]
    rule: Option<String>,
    /// A parameter of the acquisition, as KEY=VALUE; may be repeated
    #[arg(long = "param", value_name = "KEY=VALUE", requires = "features")]
    params: Vec<String>,
    /// Choose among all pairs of the rows; measured pairs are written GENE+GENE
    #[arg(long, requires = "features")]
    pairs: bool,
    /// How the rows of two genes become the row of their pair: sum, product or mean
    #[arg(long, value_name = "HOW", requires = "pairs")]
    compose: Option<String>,
    /// Select on a GPU, in single precision (max_dist, lcmd, max_det, bait)
    #[arg(long, requires = "features")]
    gpu: bool,
    /// Kernel of the features [default: inner products]
    #[arg(long, value_name = "NAME[:KEY=VALUE,...]", requires = "features")]
    kernel: Option<String>,
    /// Transform of the kernel; may be repeated, applied in order
    #[arg(long = "transform", value_name = "NAME[:KEY=VALUE,...]", requires = "features")]
    transforms: Vec<String>,
    /// Perturbations to choose; overrides the campaign file
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Seed; overrides the campaign file
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// File to write [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    folders: Folders,
}

/// All that a selection needs, from either form.
struct Problem {
    campaign_seed: u64,
    batch: usize,
    target: Target,
    inputs: Arc<Inputs>,
    observed: Observed,
    /// Under way: not chosen again, and seen by rules and model as if measured.
    pending: Vec<usize>,
    /// Never chosen.
    excluded: Vec<usize>,
    /// Rows of the user's tables that are no candidates although nothing was measured: of control, excluded, under way.
    withheld: usize,
    model: Option<Box<dyn crate::plugin::Model>>,
    kernel: Option<Box<dyn crate::plugin::Kernel>>,
    acquisition: Box<dyn Acquisition>,
    device: Place,
    notes: Vec<String>,
    /// Names that symbol updates left lost or ambiguous.
    unplaced: Option<Table>,
}

impl Suggest {
    pub(crate) fn execute(self) -> Result<u8> {
        let problem = match (&self.campaign, &self.features) {
            (Some(file), _) => self.read_campaign(file)?,
            (None, Some(features)) => self.read_features(features)?,
            (None, None) => return Err(Error::Config("give a campaign file or --features".into())),
        };
        problem.notes.iter().for_each(|n| eprintln!("{n}"));
        let unplaced = problem.unplaced.clone();
        let table = choose(problem)?;
        match &self.out {
            Some(path) => {
                table::write_csv(&table, path)?;
                eprintln!("wrote {} ({} perturbations)", path.display(), table.height());
                if let Some(names) = unplaced {
                    let path = path.with_extension("names.csv");
                    table::write_csv(&names, &path)?;
                    eprintln!("wrote {} ({} lost or ambiguous)", path.display(), counted(names.height(), "name"));
                }
            }
            None => super::print(&table::to_csv(&table)),
        }
        Ok(super::OK)
    }

    fn read_campaign(&self, file: &Path) -> Result<Problem> {
        let doc = Document::read(file)?;
        let campaign: Campaign = check_campaign(&doc)?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let own = DataRoot::new(folder);
        let lab = Laboratory::open(&campaign, &own)?;
        let mut notes = lab.notes.clone();
        let streams = Streams::new(self.seed.unwrap_or(campaign.seed));
        let updates = match campaign.pool.symbol_updates.as_ref().or(campaign.symbol_updates.as_ref()) {
            Some(f) => {
                // Beside the campaign file, like its tables, or below the data root, like those of priors.
                let beside = folder.join(f);
                Some(SymbolUpdates::read(&if beside.exists() { beside } else { self.folders.data().path(f) })?)
            }
            None => None,
        };
        // Prior tables are looked up beside the campaign file first, then below the data root.
        let root = self.folders.data();
        let mut blocks = Vec::new();
        let mut names: Vec<(&str, NameReport)> = Vec::new();
        for (name, prior) in &campaign.prior {
            let beside = prior.data_files().iter().all(|f| own.path(f).exists());
            let data = if beside { &own } else { &root };
            let setup = Setup { data, streams: &streams.child("prior").child(name) };
            let genes = lab.pool.genes();
            let cx = PriorContext { name, genes, updates: updates.as_ref(), screen: Some(&lab), setup: &setup };
            let mut block = prior.embed(&cx)?;
            notes.push(format!("prior {name}: {}; {}", counted(block.x.ncols(), "feature"), block.note));
            if !block.features.is_empty() {
                let most = if self.verbose { usize::MAX } else { 5 };
                notes.push(format!("prior {name} uses {}", crate::error::listed(&block.features, most)));
            }
            notes.extend(block.warning.take().map(|w| format!("warning: {w}")));
            names.push((name.as_str(), std::mem::take(&mut block.names)));
            block.fill(campaign.pool.missing.unwrap_or(campaign.missing));
            blocks.push(Arc::new(block));
        }
        let parts = Parts {
            model: campaign.model.as_deref(),
            kernel: campaign.kernel.as_deref(),
            acquisition: &*campaign.acquisition,
            features: !blocks.is_empty(),
            measured: !lab.observed.is_empty(),
        };
        let single_effects = lab.single_effects();
        let found = misfits(&parts, Some(&facts(&lab.pool, &lab.observed, single_effects.is_some())));
        let found: Vec<Mistake> = found.into_iter().map(|m| Mistake::at(&[m.section], m.text)).collect();
        if !found.is_empty() {
            return Err(doc.report(&found));
        }
        let reports: Vec<(&str, &NameReport)> = names.iter().map(|(name, report)| (*name, report)).collect();
        let unplaced = updates.as_ref().and_then(|_| NameReport::unplaced(&reports));
        Ok(Problem {
            unplaced,
            campaign_seed: self.seed.unwrap_or(campaign.seed),
            batch: self.batch.unwrap_or(campaign.batch),
            target: campaign.target,
            inputs: Arc::new(
                Inputs::new(lab.pool, blocks, campaign.pool.compose.unwrap_or(campaign.compose))?
                    .with_single_effects(single_effects),
            ),
            observed: lab.observed,
            pending: lab.pending,
            excluded: lab.excluded,
            withheld: lab.withheld,
            model: campaign.model,
            kernel: campaign.kernel,
            acquisition: campaign.acquisition,
            device: campaign.device,
            notes,
        })
    }

    fn read_features(&self, features: &Path) -> Result<Problem> {
        let at = |e: Error| e.at(features.display().to_string());
        let mut notes = vec![];
        let (names, x) =
            if is_npy(features) { self.npy_features(features)? } else { self.table_features(features, &mut notes)? };
        let suspects = Suspects::among(names.iter().map(String::as_str), &self.accept);
        suspects.refuse_missing(&features.display().to_string(), "--accept")?;
        notes.extend(suspects.lines());
        let genes = Arc::new(Genes::new(&names).map_err(at)?);
        let control: Vec<bool> = names.iter().map(|n| suspects.controls.contains(n)).collect();
        if !suspects.controls.is_empty() {
            notes.push(format!(
                "taken as control, which is never chosen: {} (--accept NAME if one is a gene)",
                suspects.controls.join(", ")
            ));
        }
        let block = Block::new("features", x, vec![true; names.len()]).map_err(at)?;
        let width = block.x.ncols();
        let pool = Arc::new(if self.pairs { Pool::all_pairs(genes) } else { Pool::singles(genes) });
        let compose = match &self.compose {
            None => Compose::default(),
            Some(word) => serde_json::from_value(json!(word)).map_err(|e| Error::Config(format!("--compose: {e}")))?,
        };
        let mut observed = Observed::empty(1);
        if let Some(m) = &self.measured {
            let ids = if is_npy(m) {
                if self.pairs {
                    return Err(Error::Config(format!(
                        "{}: measured pairs are a table with the column `{}` of names such as A+B, not row numbers",
                        m.display(),
                        self.id
                    )));
                }
                let rows: ndarray::Array1<i64> = read_npy(m)?;
                let known = |r: &i64| usize::try_from(*r).ok().filter(|r| *r < pool.len());
                rows.iter()
                    .map(|r| {
                        known(r).ok_or_else(|| {
                            let n = pool.len();
                            Error::Data(format!(
                                "{}: row {r} is not one of the {n} feature rows (0 to {})",
                                m.display(),
                                n - 1
                            ))
                        })
                    })
                    .collect::<Result<Vec<_>>>()?
            } else {
                ids_of(&pool, &[table::read(m)?.text(&self.id)?], m)?
            };
            observed.push(&Readouts::plain(&ids, Array2::zeros((ids.len(), 1))), 0)?;
        }
        let (acquisition, kernel) = (self.acquisition()?, self.kernel()?);
        let parts = Parts {
            model: None,
            kernel: kernel.as_deref(),
            acquisition: &*acquisition,
            features: true,
            measured: !observed.is_empty(),
        };
        if let Some(Misfit { text, .. }) = misfits(&parts, Some(&facts(&pool, &observed, false))).into_iter().next() {
            let rule = self.rule.as_deref().unwrap_or_default();
            return Err(Error::Config(format!("--rule {rule}: {text} (a campaign file has one; --features has none)")));
        }
        notes.push(format!(
            "{} x {}, {} measured",
            counted(pool.len(), if self.pairs { "pair" } else { "perturbation" }),
            counted(width, "feature"),
            observed.len()
        ));
        let excluded = (0..pool.len()).filter(|id| {
            !suspects.controls.is_empty() && pool.with_genes(*id, |g| g.iter().any(|g| control[g.index()]))
        });
        let excluded: Vec<usize> = excluded.collect();
        Ok(Problem {
            unplaced: None,
            campaign_seed: self.seed.unwrap_or(0),
            batch: self.batch.ok_or_else(|| Error::Config("say how many to choose with --batch".into()))?,
            target: Target::default(),
            inputs: Arc::new(Inputs::new(pool, vec![Arc::new(block)], compose)?),
            observed,
            pending: vec![],
            withheld: excluded.len(),
            excluded,
            model: None,
            kernel,
            acquisition,
            device: if self.gpu { Place::Gpu } else { Place::Cpu },
            notes,
        })
    }

    /// Names and features of a table: its gene column and the columns that are features.
    fn table_features(&self, file: &Path, notes: &mut Vec<String>) -> Result<(Vec<String>, Array2<f64>)> {
        let t = table::read(file)?;
        notes.extend(t.notes().iter().cloned());
        let names: Vec<String> = t.text(&self.id)?.into_iter().map(String::from).collect();
        let choice = FeatureChoice { columns: self.columns.clone(), exclude: self.exclude.clone() };
        let features = choice.of(&t, &[&self.id])?;
        notes.push(format!(
            "{} of {}: {}",
            counted(features.names.len(), "feature"),
            file.display(),
            crate::error::listed(&features.names, if self.verbose { usize::MAX } else { 5 })
        ));
        notes.extend(features.lines());
        let mut x = Array2::zeros((names.len(), features.names.len()));
        for (j, values) in t.all_numbers(&features.names, false)?.into_iter().enumerate() {
            x.column_mut(j).assign(&ndarray::Array1::from(values));
        }
        Ok((names, x))
    }

    /// Features of a NumPy array and the names that go with its rows.
    fn npy_features(&self, file: &Path) -> Result<(Vec<String>, Array2<f64>)> {
        let x: Array2<f64> = match read_npy::<_, Array2<f64>>(file) {
            Ok(x) => x,
            // Half the arrays that people save are in single precision.
            Err(double) => read_npy::<_, Array2<f32>>(file).map_err(|_| double)?.mapv(f64::from),
        };
        let Some(table_of_names) = &self.names else { return Ok(((0..x.nrows()).map(|i| i.to_string()).collect(), x)) };
        let t = table::read(table_of_names)?;
        let names: Vec<String> = t.text(&self.id)?.into_iter().map(String::from).collect();
        if names.len() != x.nrows() {
            return Err(Error::Data(format!(
                "{} names {} rows and {} has {}; they must be the same rows in the same order",
                table_of_names.display(),
                names.len(),
                file.display(),
                x.nrows()
            )));
        }
        Ok((names, x))
    }

    /// The acquisition of `--rule` with its `--param`s.
    fn acquisition(&self) -> Result<Box<dyn Acquisition>> {
        let mut form = parse_plugin("--rule", self.rule.as_deref().unwrap_or_default(), Kind::Acquisition)?;
        for p in &self.params {
            set_parameter(&mut form, "--param", p)?;
        }
        checked("--rule", form)
    }

    /// The kernel of `--kernel` under the `--transform`s, the first of them innermost.
    fn kernel(&self) -> Result<Option<Box<dyn Kernel>>> {
        if self.kernel.is_none() && self.transforms.is_empty() {
            return Ok(None);
        }
        let mut form = parse_plugin("--kernel", self.kernel.as_deref().unwrap_or("linear"), Kind::Kernel)?;
        for t in &self.transforms {
            let mut outer = parse_plugin("--transform", t, Kind::Kernel)?;
            if !(outer.entry.fields)().contains(&"of") {
                return Err(Error::Config(format!(
                    "--transform {t}: `{}` is a kernel of its own and transforms none; give it to --kernel",
                    outer.entry.name
                )));
            }
            let inner: Box<dyn Kernel> = checked("--kernel", form)?;
            outer.map.insert("of".into(), serde_json::to_value(inner).map_err(|e| Error::Config(e.to_string()))?);
            form = outer;
        }
        checked(if self.transforms.is_empty() { "--kernel" } else { "--transform" }, form).map(Some)
    }
}

/// What is known of a laboratory's screen.
fn facts(pool: &Pool, observed: &Observed, single_effects: bool) -> Facts {
    Facts { pairs: !pool.is_singles(), n_outputs: observed.n_outputs(), single_effects, lab: Lab::User }
}

fn is_npy(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("npy"))
}

/// Reads a NumPy array; a wrong type or shape, or a file cut short, is one message.
fn read_npy<P: AsRef<Path>, T: ndarray_npy::ReadNpyExt>(path: P) -> Result<T> {
    let path = path.as_ref();
    ndarray_npy::read_npy(path).map_err(|e| {
        Error::Data(format!(
            "{}: {e}; features are saved as numpy.save(file, array) of shape (rows, features) in float64 or float32, \
             measured rows as an int64 vector",
            path.display()
        ))
    })
}

fn choose(p: Problem) -> Result<Table> {
    let pool = p.inputs.pool().clone();
    if pool.is_empty() {
        return Err(Error::Data("the pool is empty; its table has no rows".into()));
    }
    let candidates = Candidates::new(pool.len(), [&p.observed.ids[..], &p.pending, &p.excluded].concat());
    let streams = Streams::new(p.campaign_seed).child("suggest");
    let surrogate = match &p.model {
        Some(m) if !p.observed.is_empty() => {
            let of_model = streams.child("model");
            let fit = |observed: &Observed| m.fit(&FitContext { inputs: &p.inputs, observed, streams: &of_model });
            let fitted = fit(&p.observed)?;
            if p.pending.is_empty() {
                Some(fitted)
            } else {
                // As if what is under way had come out as predicted (Ginsbourger et al. 2010), so that the model is no longer
                // unsure there.
                let mean = fitted.predict(&p.pending)?.mean;
                let mut believed = p.observed.clone();
                let mut readouts = Readouts::plain(&p.pending, mean.clone());
                readouts.sd = p.observed.sd.as_ref().map(|_| Array2::zeros(mean.dim()));
                believed.push(&readouts, 0)?;
                Some(fit(&believed)?)
            }
        }
        _ => None,
    };
    surrogate.iter().flat_map(|s| s.notes()).for_each(|text| eprintln!("{text}"));
    let left = candidates.len();
    let batch = if p.batch > left && left > 0 && p.batch <= left + p.withheld {
        eprintln!(
            "warning: a batch of {} was asked for, and {left} are left that are not of control, excluded or under way",
            p.batch
        );
        left
    } else {
        p.batch
    };
    let round = Round { index: 1, of: 1, batch };
    let cx = RunContext::new(round, &p.inputs, &candidates, &p.observed, streams.child("acquisition"))
        .with_target(p.target)
        .with_surrogate(surrogate.as_deref())
        .with_kernel(p.kernel.as_deref())
        .with_pending(&p.pending);
    let shown = std::cell::Cell::new(std::time::Instant::now());
    let terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let tick = |done: usize, of: usize| {
        // Short work says nothing; long work is heard of every second on a terminal, every 10 in a log.
        if shown.get().elapsed().as_secs() >= if terminal { 1 } else { 10 } {
            shown.set(std::time::Instant::now());
            eprintln!("selecting: {done} of {of}");
        }
    };
    let cx = cx.with_progress(&tick).with_device(p.device.open());
    let batch = select_batch(&*p.acquisition, &cx)?;
    if let Some(text) = crate::plugin::fill_note(&cx.into_recorded(), batch.ids.len()) {
        eprintln!("{text}");
    }
    // A rule that goes by distances may well give equal ones.
    let scores_one_by_one = p.acquisition.needs().contains(Ability::Model);
    if let Some(text) = crate::plugin::tie_note(&batch, candidates.len()).filter(|_| scores_one_by_one) {
        eprintln!("warning: {text}");
    }
    let mut t = Table::new();
    t.push("rank", Column::Integer((1..=batch.ids.len() as i64).collect()))?;
    t.push("perturbation", Column::Text(batch.ids.iter().map(|&i| Some(pool.label(i))).collect()))?;
    t.push("score", Column::Number(batch.scores.clone()))?;
    if let Some(s) = &surrogate {
        let posterior = s.predict(&batch.ids)?;
        posterior.check(batch.ids.len(), p.observed.n_outputs())?;
        let (mean, sd): (Vec<f64>, Vec<Option<f64>>) = (0..batch.ids.len()).map(|i| posterior.scalar(i)).unzip();
        t.push("mean", Column::Number(mean))?;
        if sd.iter().all(Option::is_some) {
            t.push("sd", Column::Number(sd.into_iter().flatten().collect()))?;
        }
    }
    Ok(t)
}

/// Pool ids of the perturbations in some gene columns.
fn ids_of(pool: &Pool, columns: &[Vec<&str>], file: &Path) -> Result<Vec<usize>> {
    let n = columns.first().map_or(0, Vec::len);
    (0..n)
        .map(|row| {
            let names: Vec<&str> = columns.iter().map(|c| c[row]).collect();
            pool.parse(&names.join("+")).map_err(|e| Error::Data(format!("{}, row {}: {e}", file.display(), row + 1)))
        })
        .collect()
}
